"""Turns a laid-out forest plot into marks and draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ketameta.figures import style
from ketameta.figures.axis import Axis
from ketameta.figures.forest_columns import risk_letters
from ketameta.figures.forest_row_marks import row_marks
from ketameta.figures.forest_value import ForestLayout
from ketameta.figures.marks import (
    Area,
    Line,
    Mark,
    Text,
    arrow_head,
    block_height,
    footnote_marks,
    rectangle,
    text_block,
)
from ketameta.figures.text import text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Plots with more trials than this get a pale band behind every second row.
BAND_BEYOND = 16


def draw_forest(layout: ForestLayout, *, ax: Axes | None = None) -> Figure:
    """Draw a laid-out forest plot.

    Parameters
    ----------
    layout : ForestLayout
        From :func:`ketameta.figures.layout.lay_out_forest`.
    ax : Axes, optional
        Draw into these axes, scaled to fit, instead of a figure of its own.

    Returns
    -------
    Figure
        Its parts, by ``gid``: ``title``, ``subtitle``, ``header``, ``spanner``, ``label``,
        ``tag``, ``cell``, ``study_interval``, ``study_marker``, ``clip_arrow``,
        ``subgroup_diamond``, ``pooled_diamond``, ``prediction_bar``, ``null_line``,
        ``pooled_line``, ``important_line``, ``axis``, ``tick``, ``tick_label``, ``direction``,
        ``direction_arrow``, ``risk_of_bias``, ``heterogeneity``, ``footnote``; see
        :func:`ketameta.figures.canvas.find_parts`.

    Notes
    -----
    The reader should be able to say, in ten seconds, which way the trials point, how sure the
    pooled estimate is, and how different the next trial could be.
    """
    from ketameta.figures.canvas import draw_marks

    return draw_marks(forest_marks(layout), layout.width, layout.height, ax=ax)


def forest_marks(layout: ForestLayout) -> tuple[Mark, ...]:
    """Return every line, area and text of the plot, in drawing order."""
    marks: list[Mark] = []
    marks.extend(_bands(layout))
    marks.extend(_heading(layout))
    marks.extend(_header(layout))
    if layout.axis is not None:
        marks.extend(_vertical_lines(layout, layout.axis))
        marks.extend(_axis(layout, layout.axis))
    for row in layout.rows[1:]:
        marks.extend(row_marks(layout, row))
    marks.extend(_footnotes(layout))
    return tuple(marks)


def _bands(layout: ForestLayout) -> list[Mark]:
    studies = layout.rows_of("study")
    if len(studies) <= BAND_BEYOND:
        return []
    right = layout.width - style.MARGIN
    return [
        Area("band", rectangle(style.MARGIN, row.top, right, row.bottom), fill=style.BAND)
        for row in studies[1::2]
    ]


def _heading(layout: ForestLayout) -> list[Mark]:
    x, top = style.MARGIN, style.MARGIN
    title = text_block("title", layout.title_lines, x, top, size=style.TITLE_SIZE, bold=True)
    top += block_height(len(layout.title_lines), style.TITLE_SIZE)
    subtitle = text_block("subtitle", layout.subtitle_lines, x, top, colour=style.GREY)
    return [*title, *subtitle]


def _header(layout: ForestLayout) -> list[Mark]:
    header = layout.rows[0]
    rule = header.bottom
    if not header.label_lines:
        return []
    left, right = style.MARGIN, layout.width - style.MARGIN
    marks: list[Mark] = [
        Line("header_rule", ((left, rule), (right, rule)), style.THIN, style.INK),
    ]
    step = style.LINE_SPACING * style.BODY_SIZE
    base = rule - 4.2
    for column in layout.columns:
        align, x = ("left", column.left) if column.name in _LEFT else ("center", column.middle)
        for index, line in enumerate(column.header):
            baseline = base - (len(column.header) - 1 - index) * step
            marks.append(
                Text("header", x, baseline, line, align=align, bold=True)  # type: ignore[arg-type]
            )
        if column.name == "risk_of_bias":
            for (x, _), letter in zip(
                column.anchors, risk_letters(len(column.anchors)), strict=True
            ):
                marks.append(Text("header", x, base, letter, align="center", bold=True))
    for spanner in layout.spanners:
        middle = (spanner.left + spanner.right) / 2
        bottom = base - step
        for index, line in enumerate(spanner.lines):
            baseline = bottom - (len(spanner.lines) - 1 - index) * step
            marks.append(Text("spanner", middle, baseline, line, align="center", bold=True))
        if spanner.ruled:
            y = bottom + 2.2
            points = ((spanner.left, y), (spanner.right, y))
            marks.append(Line("spanner_rule", points, style.HAIRLINE, style.GREY))
    return marks


_LEFT = frozenset({"study", "comparison"})


def _vertical_lines(layout: ForestLayout, axis: Axis) -> list[Mark]:
    top, bottom = layout.body_top - 2.0, layout.axis_y
    marks: list[Mark] = []
    if axis.holds(layout.null):
        x = axis.position(layout.null)
        marks.append(Line("null_line", ((x, top), (x, bottom)), style.THIN, style.GREY))
    important = layout.minimal_important_difference
    if important is not None and axis.holds(important):
        x = axis.position(important)
        marks.append(
            Line("important_line", ((x, top), (x, bottom)), style.THIN, style.GREEN, style.DASHED)
        )
    overall = layout.rows_of("overall")
    if layout.pooled_estimate is not None and overall:
        x = axis.position(layout.pooled_estimate)
        points = ((x, layout.body_top), (x, overall[0].middle))
        marks.append(Line("pooled_line", points, style.THIN, style.NAVY, style.DOTTED))
    return marks


def _axis(layout: ForestLayout, axis: Axis) -> list[Mark]:
    marks = _axis_at(axis, layout.axis_y, 1)
    if layout.axis_repeated:
        marks.extend(_axis_at(axis, layout.body_top - 3.0, -1))
    top = layout.axis_y + 14.5
    for words in layout.directions:
        lines = words.lines
        align = "right" if words.side < 0 else "left"
        marks.extend(
            text_block("direction", lines, words.x, top, size=style.BODY_SIZE, align=align)  # type: ignore[arg-type]
        )
        reach = max(text_width(line, style.BODY_SIZE) for line in lines)
        middle = top + block_height(len(lines), style.BODY_SIZE) / 2 - 0.4
        start = words.x + words.side * (reach + 3.5)
        tip = start + words.side * 11.0
        shaft = ((start, middle), (tip - words.side * 2.0, middle))
        marks.append(Line("direction_arrow", shaft, style.THIN, style.GREY))
        head = arrow_head(tip, middle, direction=words.side, size=3.6)
        marks.append(Area("direction_arrow", head, fill=style.GREY))
    return marks


def _axis_at(axis: Axis, y: float, side: int) -> list[Mark]:
    marks: list[Mark] = [Line("axis", ((axis.start, y), (axis.stop, y)), style.THIN, style.INK)]
    for x, label in zip(axis.tick_positions, axis.tick_labels, strict=True):
        marks.append(Line("tick", ((x, y), (x, y + side * 3.0)), style.THIN, style.INK))
        baseline = y + 10.2 if side > 0 else y - 5.0
        marks.append(Text("tick_label", x, baseline, label, size=style.SMALL_SIZE, align="center"))
    return marks


def _footnotes(layout: ForestLayout) -> list[Mark]:
    marks: list[Mark] = [*footnote_marks(layout.footnotes, style.MARGIN, layout.footnote_top)[0]]
    bottom = layout.rows[-1].bottom
    if layout.axis is None:
        rule = ((style.MARGIN, bottom + 2.0), (layout.width - style.MARGIN, bottom + 2.0))
        marks.append(Line("footer_rule", rule, style.HAIRLINE, style.RULE))
    return marks
