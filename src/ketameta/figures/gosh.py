"""GOSH plot: the pooled estimate and the heterogeneity of every subset of trials."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.errors import UsageError
from ketameta.figures import style
from ketameta.figures.axis import Scale
from ketameta.figures.frame import AxisSpec, Frame, PlotLayout, frame_marks, make_frame, plot_layout
from ketameta.figures.marks import Area, Line, Mark, rectangle
from ketameta.figures.numbers import display, display_number, finite
from ketameta.numberformat import format_count, format_percent

#: Cells of the picture across and down.
CELLS = (72, 48)
_MARGIN_PLOT = 34.0
#: Fewest and most subsets in a cell: pale to dark.
_PALE, _DARK = (0xD6, 0xE6, 0xF2), (0x08, 0x30, 0x6B)


def lay_out_gosh(
    data: Mapping[str, Any], *, title: str | None = None, width: float = style.PLOT_WIDTH
) -> PlotLayout:
    """Lay out a GOSH plot as a picture of densities, with both margins.

    Parameters
    ----------
    data : mapping
        ``estimates`` and ``i2`` (shares of one) of the subsets, of equal length; ``pooled``
        (``estimate``, ``i2``) of all trials; ``with_study`` (booleans) and ``study`` to set off
        the subsets that contain one trial in the margins; ``is_ratio``, ``measure_label``,
        ``null`` (displayed units), ``k``, ``title``, ``note``.
    title : str, optional
    width : float
        Of the page, in points.

    Returns
    -------
    PlotLayout
        Parts: ``cell`` (darker: more subsets, on a logarithmic scale), ``estimate_margin``,
        ``i2_margin``, ``estimate_margin_with``, ``i2_margin_with``, ``null_line``,
        ``pooled_line``.

    Raises
    ------
    UsageError
        If the lists are empty, hold no pair of finite numbers, or differ in length.

    References
    ----------
    Olkin, Dahabreh, Trikalinos (2012), Res. Synth. Methods 3(3), 214-223.
    """
    is_ratio = bool(data.get("is_ratio"))
    estimates = [display(value, is_ratio) for value in data.get("estimates") or ()]
    shares = [finite(value) for value in data.get("i2") or ()]
    if not estimates or len(estimates) != len(shares):
        raise UsageError(
            f"data['estimates'] has {len(estimates)} values and data['i2'] {len(shares)};"
            " give one of each per subset"
        )
    flags = [bool(flag) for flag in data.get("with_study") or ()] or [False] * len(estimates)
    if len(flags) != len(estimates):
        raise UsageError(
            f"data['with_study'] has {len(flags)} values, 'estimates' {len(estimates)}"
        )
    points = [
        (x, y, flag)
        for x, y, flag in zip(estimates, shares, flags, strict=True)
        if x is not None and y is not None
    ]
    if not points:
        raise UsageError("data has no subset with both an estimate and an I²")
    scale: Scale = "log" if is_ratio else "linear"
    low, high = _ends([x for x, _, _ in points], is_ratio)
    words = str(data.get("measure_label") or "Effect")
    study = str(data.get("study") or "")
    frame = make_frame(
        title=str(title if title is not None else data.get("title") or "GOSH plot"),
        x=AxisSpec(low, high, f"{words} (log scale)" if is_ratio else words, scale),
        y=AxisSpec(-0.01, 1.0, "I²", ticks=tuple((t / 5, f"{20 * t}%") for t in range(6))),
        footnotes=[_legend(len(points), study), str(data.get("note") or "")],
        width=width,
        right_room=_MARGIN_PLOT + 4.0,
        top_room=_MARGIN_PLOT + 4.0,
    )
    marks = _cells(frame, [(x, y) for x, y, _ in points])
    marks.extend(_margins(frame, points))
    marks.extend(frame_marks(frame))
    for part, value, dash, colour in (
        ("null_line", finite(data.get("null")), (), style.GREY),
        (
            "pooled_line",
            display((data.get("pooled") or {}).get("estimate"), is_ratio),
            style.DOTTED,
            style.VERMILLION,
        ),
    ):
        if value is not None and frame.x.holds(value):
            x = frame.x.position(value)
            ends = ((x, frame.top), (x, frame.bottom))
            marks.append(Line(part, ends, style.MEDIUM, colour, dash))
    return plot_layout("gosh", frame, [], marks, _sentences(frame, points, data, is_ratio))


def _ends(values: Sequence[float], is_ratio: bool) -> tuple[float, float]:
    inner = [math.log(value) for value in values] if is_ratio else list(values)
    low, high = min(inner), max(inner)
    pad = 0.03 * (high - low) or 0.5
    low, high = low - pad, high + pad
    return (math.exp(low), math.exp(high)) if is_ratio else (low, high)


def _bin(position: float, start: float, stop: float, count: int) -> int:
    share = (position - start) / (stop - start)
    return min(count - 1, max(0, int(share * count)))


def _cells(frame: Frame, pairs: Sequence[tuple[float, float]]) -> list[Mark]:
    across, down = CELLS
    wide = (frame.right - frame.left) / across
    high = (frame.bottom - frame.top) / down
    counts: Counter[tuple[int, int]] = Counter()
    for x, y in pairs:
        px, py = frame.place(x, y)
        counts[
            _bin(px, frame.left, frame.right, across), _bin(py, frame.top, frame.bottom, down)
        ] += 1
    most = max(counts.values())
    marks: list[Mark] = []
    for (column, row), count in sorted(counts.items()):
        depth = math.log1p(count) / math.log1p(most)
        left, top = frame.left + column * wide, frame.top + row * high
        corners = rectangle(left, top, left + wide, top + high)
        marks.append(Area("cell", corners, fill=_shade(depth)))
    return marks


def _shade(depth: float) -> str:
    mixed = (round(a + depth * (b - a)) for a, b in zip(_PALE, _DARK, strict=True))
    return "#" + "".join(f"{value:02X}" for value in mixed)


def _margins(frame: Frame, points: Sequence[tuple[float, float, bool]]) -> list[Mark]:
    """Return the two histograms; subsets with the named trial are drawn over all subsets."""
    across, down = CELLS
    placed = [(*frame.place(x, y), flag) for x, y, flag in points]
    columns = [(_bin(px, frame.left, frame.right, across), flag) for px, _, flag in placed]
    rows = [(_bin(py, frame.top, frame.bottom, down), flag) for _, py, flag in placed]
    marks: list[Mark] = []
    for part, bins, count in (("estimate_margin", columns, across), ("i2_margin", rows, down)):
        whole = Counter(index for index, _ in bins)
        named = Counter(index for index, flag in bins if flag)
        most = max(whole.values())
        for suffix, counts, fill in (("", whole, "#B8C7D6"), ("_with", named, style.ORANGE)):
            if not counts:
                continue
            steps = [counts[index] / most for index in range(count)]
            outline = _outline(frame, part, steps)
            marks.append(Area(part + suffix, outline, fill=fill, opacity=0.85))
    return marks


def _outline(frame: Frame, part: str, steps: Sequence[float]) -> tuple[tuple[float, float], ...]:
    points: list[tuple[float, float]] = []
    if part == "estimate_margin":
        base, size = frame.top - 3.0, (frame.right - frame.left) / len(steps)
        for index, share in enumerate(steps):
            y = base - share * _MARGIN_PLOT
            points += [(frame.left + index * size, y), (frame.left + (index + 1) * size, y)]
        return ((frame.left, base), *points, (frame.right, base))
    base, size = frame.right + 3.0, (frame.bottom - frame.top) / len(steps)
    for index, share in enumerate(steps):
        x = base + share * _MARGIN_PLOT
        points += [(x, frame.top + index * size), (x, frame.top + (index + 1) * size)]
    return ((base, frame.top), *points, (base, frame.bottom))


def _legend(count: int, study: str) -> str:
    text = f"{format_count(count)} subsets of trials; darker: more subsets (logarithmic)."
    text += " Dotted line: all trials."
    return text + (f" Orange in the margins: subsets with {study}." if study else "")


def _sentences(
    frame: Frame,
    points: Sequence[tuple[float, float, bool]],
    data: Mapping[str, Any],
    is_ratio: bool,
) -> list[str]:
    def write(value: float) -> str:
        return display_number(value, 2, is_ratio=is_ratio)

    values = sorted(x for x, _, _ in points)
    shares = sorted(y for _, y, _ in points)
    count = len(values)

    def quantile(ordered: Sequence[float], share: float) -> float:
        return ordered[min(count - 1, int(share * count))]

    sentences = [
        f"GOSH plot: {frame.title}.",
        f"{format_count(count)} subsets of trials; {frame.x.label}.",
        f"Pooled estimates from {write(values[0])} to {write(values[-1])}, the middle 90% from"
        f" {write(quantile(values, 0.05))} to {write(quantile(values, 0.95))}.",
        f"I² from {format_percent(shares[0])} to {format_percent(shares[-1])}.",
    ]
    study = str(data.get("study") or "")
    named = sorted(x for x, _, flag in points if flag)
    others = sorted(x for x, _, flag in points if not flag)
    if study and named and others:
        sentences.append(
            f"Median with {study} {write(named[len(named) // 2])}, without it"
            f" {write(others[len(others) // 2])}."
        )
    return sentences
