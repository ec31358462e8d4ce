"""Bubble plot of a meta-regression: effect against one moderator, with the fitted line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ketameta.errors import UsageError
from ketameta.figures import style
from ketameta.figures.axis import Scale, choose_range
from ketameta.figures.frame import (
    AxisSpec,
    Frame,
    PlotLayout,
    PlotPoint,
    frame_marks,
    make_frame,
    plot_layout,
)
from ketameta.figures.marks import Area, Disc, Line, Mark, Point
from ketameta.figures.numbers import ci_words, display, display_number, finite
from ketameta.figures.point_labels import label_points
from ketameta.figures.text import clean_text
from ketameta.numberformat import format_percent, plural

_LARGEST_RADIUS = 8.0
_SMALLEST_RADIUS = 1.6
#: Names are printed beside the bubbles up to this many trials.
NAMED_UP_TO = 20


def lay_out_bubble(
    data: Mapping[str, Any], *, title: str | None = None, width: float = style.PLOT_WIDTH
) -> PlotLayout:
    """Lay out a bubble plot.

    Parameters
    ----------
    data : mapping
        ``rows`` (each ``label, moderator, estimate, weight``), ``moderator_label``,
        ``measure_label``, ``is_ratio`` (estimates and lines are then logarithms), ``null``
        (displayed units), ``line`` (lists ``moderator, estimate, ci_low, ci_high`` and, where
        wanted, ``pi_low, pi_high``, in order of the moderator), ``favours``, ``title``, ``level``
        (of the bands, 0.95 when not given), ``note``.
    title : str, optional
    width : float
        Of the page, in points.

    Returns
    -------
    PlotLayout
        Parts: ``prediction_band``, ``confidence_band``, ``fitted_line``, ``null_line``,
        ``bubble`` (area in proportion to weight), ``name``.

    Raises
    ------
    UsageError
        If no row has both an estimate and a value of the moderator, or the lists of ``line``
        differ in length.
    """
    is_ratio = bool(data.get("is_ratio"))
    rows = [
        (str(row.get("label") or ""), x, y, finite(row.get("weight")))
        for row in data.get("rows") or ()
        if (x := finite(row.get("moderator"))) is not None
        and (y := display(row.get("estimate"), is_ratio)) is not None
    ]
    if not rows:
        raise UsageError("data['rows'] has no row with both 'moderator' and 'estimate'")
    curves = _curves(data.get("line"), is_ratio)
    null = finite(data.get("null"))
    scale: Scale = "log" if is_ratio else "linear"
    bounds = [(min(c), max(c)) for c in curves.values() if c]
    y_low, y_high = choose_range(scale, [y for _, _, y, _ in rows], bounds, null=null)
    xs = [x for _, x, _, _ in rows] + list(curves.get("moderator", ()))
    pad = 0.05 * (max(xs) - min(xs)) or 1.0
    words = str(data.get("measure_label") or "Effect")
    moderator = clean_text(str(data.get("moderator_label") or "Moderator"))
    legend = "Circle: trial, area by weight." if any(row[3] for row in rows) else "Circle: trial."
    if curves:
        level = float(data.get("level") or 0.95)
        legend += f" Line: meta-regression; dark band: {ci_words(level)}"
        predicted = f"; pale band: {format_percent(level)} prediction interval"
        legend += f"{predicted}." if "pi_low" in curves else "."
    left, right = (str(word or "") for word in data.get("favours") or ("", ""))
    direction = f"Below no effect: {left}; above: {right}." if left and right else ""
    frame = make_frame(
        title=str(title if title is not None else data.get("title") or "Bubble plot"),
        x=AxisSpec(min(xs) - pad, max(xs) + pad, moderator),
        y=AxisSpec(y_low, y_high, f"{words} (log scale)" if is_ratio else words, scale),
        footnotes=[legend, direction, str(data.get("note") or "")],
        width=width,
    )
    marks = _bands(frame, curves)
    marks.extend(frame_marks(frame))
    if null is not None and frame.y.holds(null):
        y = frame.y.position(null)
        ends = ((frame.left, y), (frame.right, y))
        marks.append(Line("null_line", ends, style.THIN, style.GREY))
    if curves:
        line = _places(frame, curves["moderator"], curves["estimate"])
        marks.append(Line("fitted_line", line, style.MEDIUM, style.NAVY))
    heaviest = max((weight or 0.0 for *_, weight in rows), default=0.0)
    points, names, obstacles = [], [], []
    for label, x, y, weight in sorted(rows, key=lambda row: -(row[3] or 0.0)):
        place = frame.place(x, y)
        radius = _radius(weight, heaviest)
        marks.append(
            Disc("bubble", place, radius, style.SKY, style.NAVY, style.HAIRLINE, opacity=0.75)
        )
        points.append(PlotPoint(label, x, y, place, math.pi * radius**2))
        obstacles.append((place, radius))
        names.append((label, place, radius))
    if len(rows) <= NAMED_UP_TO:
        obstacles += _beads(frame, curves)
        bounds_box = (frame.left + 2, frame.top, frame.right, frame.bottom - 2)
        marks.extend(label_points("name", names, obstacles, bounds_box, colour=style.GREY))
    return plot_layout("bubble", frame, points, marks, _sentences(frame, rows, curves, is_ratio))


def _curves(line: Mapping[str, Any] | None, is_ratio: bool) -> dict[str, list[float]]:
    if not line:
        return {}
    curves: dict[str, list[float]] = {}
    length = len(line.get("moderator") or ())
    for name in ("moderator", "estimate", "ci_low", "ci_high", "pi_low", "pi_high"):
        values = line.get(name)
        if values is None:
            continue
        if len(values) != length:
            raise UsageError(
                f"data['line']['{name}'] has {len(values)} values, 'moderator' has {length}"
            )
        ratio = is_ratio and name != "moderator"
        shown = [display(value, ratio) for value in values]
        if any(value is None for value in shown):
            raise UsageError(f"data['line']['{name}'] has a value that is not a finite number")
        curves[name] = [value for value in shown if value is not None]
    return curves


def _places(frame: Frame, xs: Sequence[float], ys: Sequence[float]) -> tuple[Point, ...]:
    return tuple(frame.place(x, y) for x, y in zip(xs, ys, strict=True))


def _bands(frame: Frame, curves: Mapping[str, Sequence[float]]) -> list[Mark]:
    marks: list[Mark] = []
    for part, name, fill in (
        ("prediction_band", "pi", "#F6E3C0"),
        ("confidence_band", "ci", "#BFD7EA"),
    ):
        if f"{name}_low" in curves and f"{name}_high" in curves:
            upper = _places(frame, curves["moderator"], curves[f"{name}_high"])
            lower = _places(frame, curves["moderator"], curves[f"{name}_low"])
            marks.append(Area(part, (*upper, *reversed(lower)), fill=fill))
    return marks


def _beads(frame: Frame, curves: Mapping[str, Sequence[float]]) -> list[tuple[Point, float]]:
    """Return small obstacles along the fitted line, so that names keep off it."""
    if not curves:
        return []
    places = _places(frame, curves["moderator"], curves["estimate"])
    beads: list[tuple[Point, float]] = []
    for (x0, y0), (x1, y1) in pairwise(places):
        count = max(1, math.ceil(math.dist((x0, y0), (x1, y1)) / 3.0))
        for step in range(count + 1):
            share = step / count
            beads.append(((x0 + share * (x1 - x0), y0 + share * (y1 - y0)), 1.5))
    return beads


def _radius(weight: float | None, heaviest: float) -> float:
    if weight is None or heaviest <= 0:
        return 3.2
    return max(_SMALLEST_RADIUS, _LARGEST_RADIUS * math.sqrt(weight / heaviest))


def _sentences(
    frame: Frame,
    rows: Sequence[tuple[str, float, float, float | None]],
    curves: Mapping[str, Sequence[float]],
    is_ratio: bool,
) -> list[str]:
    def write(value: float) -> str:
        return display_number(value, 2, is_ratio=is_ratio)

    xs = [x for _, x, _, _ in rows]
    sentences = [
        f"Bubble plot: {frame.title}.",
        f"{plural(len(rows), 'trial')}; {frame.x.label} from {display_number(min(xs), 1)}"
        f" to {display_number(max(xs), 1)}.",
    ]
    if curves:
        first, last = curves["estimate"][0], curves["estimate"][-1]
        sentences.append(
            f"{frame.y.label}: the fitted line goes from {write(first)} to {write(last)}."
        )
    return sentences
