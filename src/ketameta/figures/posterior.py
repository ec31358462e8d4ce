"""Prior to posterior: what was believed before the trials, and what the trials left of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ketameta.errors import UsageError
from ketameta.figures import style
from ketameta.figures.frame import AxisSpec, Frame, PlotLayout, frame_marks, make_frame, plot_layout
from ketameta.figures.marks import Area, Line, Mark, Point, Text
from ketameta.figures.numbers import display, display_number, finite
from ketameta.numberformat import format_percent

#: Curve -> words, colour, dash, in drawing order.
CURVES: tuple[tuple[str, str, str, tuple[float, ...]], ...] = (
    ("prior", "Prior", style.GREY, style.DASHED),
    ("likelihood", "Trials alone", style.GREEN, style.DOTTED),
    ("predictive", "A new trial", style.VERMILLION, (5.0, 1.6, 1.0, 1.6)),
    ("posterior", "Posterior", style.BLUE, ()),
)


def lay_out_posterior(
    data: Mapping[str, Any], *, title: str | None = None, width: float = style.PLOT_WIDTH
) -> PlotLayout:
    """Lay out densities before and after the trials over one parameter.

    Parameters
    ----------
    data : mapping
        ``grid`` (increasing) and, of the same length, ``posterior`` and any of ``prior``,
        ``likelihood``, ``predictive`` (densities over the grid); ``estimate, ci_low, ci_high``
        (posterior median and interval, same unit as the grid); ``parameter_label``, ``null``,
        ``level``, ``probability_below_null``, ``is_ratio`` (the grid is then a logarithm),
        ``title``, ``note``.
    title : str, optional
    width : float
        Of the page, in points.

    Returns
    -------
    PlotLayout
        Parts: ``credible_area``, ``curve_prior`` and so on, ``curve_name``, ``estimate_line``,
        ``null_line``.

    Raises
    ------
    UsageError
        If ``grid`` or ``posterior`` is missing, or a list has another length.
    """
    is_ratio = bool(data.get("is_ratio"))
    grid = [float(value) for value in data.get("grid") or ()]
    if len(grid) < 2 or not data.get("posterior"):
        raise UsageError("data needs 'grid' with at least two values, and 'posterior'")
    curves: dict[str, list[float]] = {}
    for name, *_ in CURVES:
        values = data.get(name)
        if values is None:
            continue
        if len(values) != len(grid):
            raise UsageError(f"data['{name}'] has {len(values)} values, 'grid' has {len(grid)}")
        curves[name] = [finite(value) or 0.0 for value in values]
    shown = [display(value, is_ratio) or 0.0 for value in grid]
    tallest = max(max(values) for values in curves.values())
    words = str(data.get("parameter_label") or "Effect")
    level = format_percent(float(data.get("level") or 0.95))
    low, high = (display(data.get(key), is_ratio) for key in ("ci_low", "ci_high"))
    legend = f"Shaded: {level} credible interval." if low is not None and high is not None else ""
    frame = make_frame(
        title=str(title if title is not None else data.get("title") or "Prior and posterior"),
        x=AxisSpec(
            shown[0],
            shown[-1],
            f"{words} (log scale)" if is_ratio else words,
            "log" if is_ratio else "linear",
        ),
        y=AxisSpec(0.0, 1.06 * tallest, "Density", ticks=((0.0, "0"),)),
        footnotes=[legend, str(data.get("note") or "")],
        width=width,
        plot_height=170.0,
    )
    marks: list[Mark] = []
    if low is not None and high is not None:
        marks.append(_credible_area(frame, shown, curves["posterior"], low, high))
    marks.extend(frame_marks(frame))
    null = finite(data.get("null"))
    if null is not None and frame.x.holds(null):
        x = frame.x.position(null)
        marks.append(Line("null_line", ((x, frame.top), (x, frame.bottom)), colour=style.GREY))
    middle = display(data.get("estimate"), is_ratio)
    if middle is not None and frame.x.holds(middle):
        x, top = frame.place(middle, _height(shown, curves["posterior"], middle))
        line = ((x, top), (x, frame.bottom))
        marks.append(Line("estimate_line", line, style.THIN, style.NAVY, style.DOTTED))
    for name, _, colour, dash in CURVES:
        if name in curves:
            points = _curve(frame, shown, curves[name])
            marks.append(Line(f"curve_{name}", points, 1.4, colour, dash))
    marks.extend(_key(frame, curves))
    return plot_layout("posterior", frame, [], marks, _sentences(frame, data, is_ratio, level))


def _curve(frame: Frame, xs: Sequence[float], ys: Sequence[float]) -> tuple[Point, ...]:
    return tuple(frame.place(x, y) for x, y in zip(xs, ys, strict=True))


def _height(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """Return the curve at ``x``, straight between grid values."""
    for (x0, x1), (y0, y1) in zip(pairwise(xs), pairwise(ys), strict=True):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0) if x1 > x0 else y0
    return 0.0


def _credible_area(
    frame: Frame, xs: Sequence[float], ys: Sequence[float], low: float, high: float
) -> Area:
    low, high = max(low, xs[0]), min(high, xs[-1])
    inside = [(x, y) for x, y in zip(xs, ys, strict=True) if low < x < high]
    edge = [(low, _height(xs, ys, low)), *inside, (high, _height(xs, ys, high))]
    points = [frame.place(x, y) for x, y in edge]
    base = frame.bottom
    corners = ((points[0][0], base), *points, (points[-1][0], base))
    return Area("credible_area", corners, fill="#CFE2F0")


def _key(frame: Frame, curves: Mapping[str, Sequence[float]]) -> list[Mark]:
    """Return the key, on the side of the plot that the posterior leaves free."""
    values = curves["posterior"]
    peak = max(range(len(values)), key=values.__getitem__)
    on_left = peak > len(values) / 2
    x = frame.left + 8.0 if on_left else frame.right - 78.0
    marks: list[Mark] = []
    y = frame.top + 8.0
    for name, words, colour, dash in reversed(CURVES):
        if name in curves:
            marks.append(Line("curve_key", ((x, y), (x + 16.0, y)), 1.4, colour, dash))
            marks.append(Text("curve_name", x + 20.0, y + 2.4, words, style.SMALL_SIZE))
            y += 10.0
    return marks


def _sentences(frame: Frame, data: Mapping[str, Any], is_ratio: bool, level: str) -> list[str]:
    def write(key: str) -> str:
        return display_number(display(data.get(key), is_ratio), 2, is_ratio=is_ratio)

    sentences = [f"Prior and posterior densities: {frame.title}.", f"{frame.x.label}."]
    if finite(data.get("estimate")) is not None:
        sentences.append(
            f"Posterior median {write('estimate')} ({level} credible interval"
            f" {write('ci_low')} to {write('ci_high')})."
        )
    below = finite(data.get("probability_below_null"))
    null = finite(data.get("null"))
    if below is not None and null is not None:
        sentences.append(
            f"Probability of a value below {display_number(null, 0)}: {format_percent(below)}."
        )
    return sentences
