"""Baujat plot: which trials make the results differ, and which of those move the pool."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ketameta.errors import UsageError
from ketameta.figures import style
from ketameta.figures.frame import (
    AxisSpec,
    PlotLayout,
    PlotPoint,
    frame_marks,
    make_frame,
    plot_layout,
)
from ketameta.figures.marks import Disc
from ketameta.figures.numbers import finite
from ketameta.figures.point_labels import label_points
from ketameta.numberformat import format_number, plural

_RADIUS = 2.8


def lay_out_baujat(
    data: Mapping[str, Any], *, title: str | None = None, width: float = style.PLOT_WIDTH
) -> PlotLayout:
    """Lay out a Baujat plot.

    Parameters
    ----------
    data : mapping
        ``rows`` (each ``label, contribution`` to Q and ``influence`` on the pooled estimate),
        ``title``, ``note``.
    title : str, optional
    width : float
        Of the page, in points.

    Returns
    -------
    PlotLayout
        Parts: ``study``, ``name``. Names are placed for the most extreme trials first, as long
        as they touch nothing.

    Raises
    ------
    UsageError
        If no row has both numbers.

    References
    ----------
    Baujat, Mahe, Pignon, Hill (2002), Stat. Med. 21(18), 2641-2652.
    """
    rows = [
        (str(row.get("label") or ""), x, y)
        for row in data.get("rows") or ()
        if (x := finite(row.get("contribution"))) is not None
        and (y := finite(row.get("influence"))) is not None
    ]
    if not rows:
        raise UsageError("data['rows'] has no row with both 'contribution' and 'influence'")
    far_x = max(x for _, x, _ in rows) or 1.0
    far_y = max(y for _, _, y in rows) or 1.0
    frame = make_frame(
        title=str(title if title is not None else data.get("title") or "Baujat plot"),
        x=AxisSpec(-0.02 * far_x, 1.12 * far_x, "Contribution to heterogeneity (part of Q)"),
        y=AxisSpec(-0.03 * far_y, 1.08 * far_y, "Influence on the pooled estimate"),
        footnotes=[
            "Right: differs from the other trials. Top: leaving it out moves the pooled estimate.",
            str(data.get("note") or ""),
        ],
        width=width,
    )
    marks = frame_marks(frame)
    ordered = sorted(rows, key=lambda row: -math.hypot(row[1] / far_x, row[2] / far_y))
    points = [PlotPoint(label, x, y, frame.place(x, y)) for label, x, y in ordered]
    for point in points:
        marks.append(
            Disc("study", point.at, _RADIUS, style.BLUE, style.NAVY, style.HAIRLINE, opacity=0.8)
        )
    bounds = (frame.left + 2, frame.top, frame.right + 4, frame.bottom - 2)
    names = [(point.label, point.at, _RADIUS) for point in points]
    marks.extend(label_points("name", names, [(p.at, _RADIUS) for p in points], bounds))
    total = math.fsum(x for _, x, _ in rows)
    top = max(rows, key=lambda row: row[1])
    moved = max(rows, key=lambda row: row[2])
    share = f", {format_number(100 * top[1] / total, 0)}% of the total" if total > 0 else ""
    sentences = [
        f"Baujat plot: {frame.title}.",
        f"{plural(len(rows), 'trial')}.",
        f"{top[0]} contributes most to heterogeneity ({format_number(top[1])}{share}).",
        f"{moved[0]} has most influence on the pooled estimate ({format_number(moved[2])}).",
    ]
    return plot_layout("baujat", frame, points, marks, sentences)
