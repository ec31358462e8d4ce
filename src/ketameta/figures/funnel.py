"""Funnel plot with contours of significance: whether small trials are missing, and where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.errors import UsageError
from ketameta.figures import style
from ketameta.figures.axis import Scale
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
from ketameta.figures.numbers import display, display_number, finite
from ketameta.numberformat import plural

#: Two-sided p-values at the edges of the contours and their normal quantiles.
CONTOURS = ((0.10, 1.6448536269514722), (0.05, 1.959963984540054), (0.01, 2.5758293035489004))
#: Fills from the middle outwards: p > 0.10, 0.05 to 0.10, 0.01 to 0.05, < 0.01.
SHADES = (style.PAPER, "#EAEFF4", "#D8E1EA", "#C2CFDC")
#: Small-study tests and their plot need at least this many trials.
TRIALS_NEEDED = 10
_RADIUS = 2.6


def lay_out_funnel(
    data: Mapping[str, Any], *, title: str | None = None, width: float = style.PLOT_WIDTH
) -> PlotLayout:
    """Lay out a contour-enhanced funnel plot.

    Parameters
    ----------
    data : mapping
        ``rows`` (each ``label, estimate, se``), ``pooled`` (``estimate``) or None, ``is_ratio``
        (estimates are then logarithms), ``measure_label``, ``null`` (displayed units), ``title``,
        ``filled`` (rows that trim-and-fill added) and ``note``.
    title : str, optional
    width : float
        Of the page, in points.

    Returns
    -------
    PlotLayout
        Parts: ``contour``, ``null_line``, ``pooled_line``, ``pseudo_limit``, ``study``,
        ``filled_study``.

    Raises
    ------
    UsageError
        If there is no row, or a standard error is not positive.

    References
    ----------
    Peters, Sutton, Jones, Abrams, Rushton (2008), J. Clin. Epidemiol. 61(10), 991-996.
    """
    is_ratio = bool(data.get("is_ratio"))
    rows = _rows(data.get("rows") or (), "rows")
    filled = _rows(data.get("filled") or (), "filled")
    if not rows:
        raise UsageError("data['rows'] is empty; a funnel plot needs at least one trial")
    centre = finite((data.get("pooled") or {}).get("estimate"))
    null = finite(data.get("null"))
    inner_null = 0.0 if null is None else (math.log(null) if is_ratio and null > 0 else null)
    deepest = 1.06 * max(se for _, _, se in [*rows, *filled])
    reach = max(abs(estimate - inner_null) for _, estimate, _ in [*rows, *filled])
    middle = inner_null if centre is None else centre
    low = min(inner_null - CONTOURS[2][1] * deepest, middle - CONTOURS[1][1] * deepest)
    high = max(inner_null + CONTOURS[2][1] * deepest, middle + CONTOURS[1][1] * deepest)
    low, high = min(low, inner_null - 1.05 * reach), max(high, inner_null + 1.05 * reach)
    scale: Scale = "log" if is_ratio else "linear"
    ends = (math.exp(low), math.exp(high)) if is_ratio else (low, high)
    words = str(data.get("measure_label") or "Effect")
    frame = make_frame(
        title=str(title if title is not None else data.get("title") or "Funnel plot"),
        x=AxisSpec(*ends, f"{words} (log scale)" if is_ratio else words, scale),
        y=AxisSpec(0.0, deepest, "Standard error", reverse=True),
        footnotes=[*_notes(len(rows), len(filled), centre), str(data.get("note") or "")],
        width=width,
    )

    def at(estimate: float, se: float) -> Point:
        return frame.place(math.exp(estimate) if is_ratio else estimate, se)

    marks = _contours(frame, inner_null, deepest, at)
    marks.extend(frame_marks(frame))
    tip, foot = at(inner_null, 0.0), at(inner_null, deepest)
    marks.append(Line("null_line", (tip, foot), style.THIN, style.GREY))
    if centre is not None:
        top, base = at(centre, 0.0), at(centre, deepest)
        marks.append(Line("pooled_line", (top, base), style.THIN, style.NAVY, style.DOTTED))
        for sign in (-1, 1):
            end = at(centre + sign * CONTOURS[1][1] * deepest, deepest)
            line = Line("pseudo_limit", (top, end), style.THIN, style.NAVY, style.DASHED)
            marks.append(line)
    points = []
    for part, members in (("study", rows), ("filled_study", filled)):
        hollow = part == "filled_study"
        for label, estimate, se in members:
            place = at(estimate, se)
            fill = style.PAPER if hollow else style.BLUE
            marks.append(Disc(part, place, _RADIUS, fill=fill, edge=style.NAVY, width=0.5))
            shown = math.exp(estimate) if is_ratio else estimate
            points.append(PlotPoint(label, shown, se, place, math.pi * _RADIUS**2, part))
    sentences = _sentences(frame.title, rows, filled, centre, is_ratio, words)
    return plot_layout("funnel", frame, points, marks, sentences)


def _rows(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[str, float, float]]:
    """Return label, estimate and standard error of the rows that have an estimate."""
    read = []
    for position, row in enumerate(rows):
        estimate, se = finite(row.get("estimate")), finite(row.get("se"))
        if estimate is None:
            continue
        if se is None or se <= 0:
            raise UsageError(
                f"data['{name}'][{position}] ({row.get('label')}): se is {row.get('se')!r};"
                " a standard error is above 0"
            )
        read.append((str(row.get("label") or ""), estimate, se))
    return read


def _contours(frame: Frame, null: float, deepest: float, at: Any) -> list[Mark]:
    """Return the shaded bands, widest first, each from the tip at no effect."""
    corners = (
        (frame.left, frame.top),
        (frame.right, frame.top),
        (frame.right, frame.bottom),
        (frame.left, frame.bottom),
    )
    marks: list[Mark] = [Area("contour", corners, fill=SHADES[3])]
    tip = at(null, 0.0)
    for (_, quantile), shade in zip(reversed(CONTOURS), reversed(SHADES[:3]), strict=True):
        left = at(null - quantile * deepest, deepest)
        right = at(null + quantile * deepest, deepest)
        marks.append(Area("contour", (tip, right, left), fill=shade))
    return marks


def _notes(k: int, added: int, centre: float | None) -> list[str]:
    legend = "Shading, from white outwards: p > 0.10, 0.05 to 0.10, 0.01 to 0.05, < 0.01."
    if centre is not None:
        legend += " Dotted line: pooled estimate, with pseudo 95% limits (dashed)."
    if added:
        legend += f" Hollow: {plural(added, 'trial')} that trim-and-fill added."
    notes = [legend]
    if k < TRIALS_NEEDED:
        notes.append(
            f"{plural(k, 'trial')}: fewer than {TRIALS_NEEDED}, too few to judge asymmetry."
        )
    return notes


def _sentences(
    title: str,
    rows: Sequence[tuple[str, float, float]],
    filled: Sequence[tuple[str, float, float]],
    centre: float | None,
    is_ratio: bool,
    words: str,
) -> tuple[str, ...]:
    def write(value: float) -> str:
        return display_number(display(value, is_ratio), 2, is_ratio=is_ratio)

    smallest, largest = min(se for _, _, se in rows), max(se for _, _, se in rows)
    text = [f"Funnel plot: {title}.", f"{plural(len(rows), 'trial')}; {words}."]
    text.append(
        f"Standard errors from {display_number(smallest, 2)} to {display_number(largest, 2)}."
    )
    if centre is not None:
        left = sum(estimate < centre for _, estimate, _ in rows)
        text.append(
            f"{left} of {len(rows)} estimates lie below the pooled estimate of {write(centre)}."
        )
    if filled:
        text.append(f"Trim-and-fill added {plural(len(filled), 'trial')}.")
    if len(rows) < TRIALS_NEEDED:
        text.append("Too few trials to judge asymmetry.")
    return tuple(text)
