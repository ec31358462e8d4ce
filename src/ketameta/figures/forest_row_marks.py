"""Turns one row of a laid-out forest plot into marks."""

from __future__ import annotations

import math

from ketameta.figures import style
from ketameta.figures.forest_columns import BOLD_KINDS, RISK_RADIUS, ForestColumn
from ketameta.figures.forest_value import ForestLayout, ForestRow
from ketameta.figures.marks import (
    Area,
    Disc,
    Line,
    Mark,
    Text,
    arrow_head,
    block_height,
    centred_baseline,
    diamond,
    rectangle,
    square,
    text_block,
)
from ketameta.figures.text import text_width, wrap_text

_SMALL_KINDS = frozenset({"heterogeneity", "subgroup_test", "subgroup_note", "single", "note"})
_PREDICTION_HALF_HEIGHT = 1.9


def row_marks(layout: ForestLayout, row: ForestRow) -> list[Mark]:
    """Return the words and marks of one row, in drawing order."""
    if row.kind == "empty" and not layout.rows_of("subgroup_header"):
        return _empty(layout, row)
    marks = _labels(layout, row)
    for column in layout.columns:
        pieces = row.cells.get(column.name)
        if pieces:
            marks.extend(_cell(column, row, pieces))
    if row.kind == "study":
        marks.extend(_study_marks(row))
        marks.extend(_risk_marks(layout, row))
    elif row.kind in ("overall", "subgroup_pool"):
        marks.extend(_pool_marks(layout, row))
    elif row.kind == "prediction":
        marks.extend(_prediction_marks(row))
    return marks


def _colour(row: ForestRow) -> str:
    if row.excluded:
        return style.LIGHT
    return style.GREY if row.kind in _SMALL_KINDS or row.kind == "empty" else style.INK


def _labels(layout: ForestLayout, row: ForestRow) -> list[Mark]:
    size = style.SMALL_SIZE if row.kind in _SMALL_KINDS else style.BODY_SIZE
    bold = row.kind in BOLD_KINDS
    italic = row.kind in ("subgroup_note", "single", "note", "empty")
    colour = _colour(row)
    part = row.kind if row.kind in ("heterogeneity", "subgroup_test") else "label"
    x = style.MARGIN + row.indent
    height = block_height(len(row.label_lines), size)
    height += block_height(len(row.remark_lines), style.SMALL_SIZE)
    top = row.middle - height / 2
    step = style.LINE_SPACING * size
    faint = style.LIGHT if row.excluded else style.GREY
    marks: list[Mark] = []
    for index, line in enumerate(row.label_lines):
        baseline = centred_baseline(top + (index + 0.5) * step, size)
        marks.append(Text(part, x, baseline, line, size, "left", bold, italic, colour))
    if row.marker or row.tag:
        right = x + text_width(row.label_lines[-1], size, bold=bold)
        if row.marker:
            marks.append(
                Text(
                    "note_marker",
                    right + 1.0,
                    baseline - 0.34 * size,
                    row.marker,
                    0.75 * size,
                    colour=colour,
                )
            )
            right += 1.0 + text_width(row.marker, 0.75 * size)
        if row.tag and row.tag_inline:
            marks.append(
                Text(
                    "tag",
                    right + 4.0,
                    baseline,
                    row.tag,
                    style.SMALL_SIZE,
                    italic=True,
                    colour=faint,
                )
            )
    top += len(row.label_lines) * step
    marks.extend(text_block("remark", row.remark_lines, x, top, italic=True, colour=faint))
    return marks


def _cell(column: ForestColumn, row: ForestRow, pieces: tuple[str, ...]) -> list[Mark]:
    bold, colour = row.kind in BOLD_KINDS, _colour(row)
    size = style.BODY_SIZE
    if column.name == "comparison":
        lines = row.comparison_lines
        step = style.LINE_SPACING * size
        top = row.middle - block_height(len(lines), size) / 2
        return [
            Text(
                "cell",
                column.left,
                centred_baseline(top + (index + 0.5) * step, size),
                line,
                size,
                colour=colour,
            )
            for index, line in enumerate(lines)
        ]
    baseline = centred_baseline(row.middle, size)
    if len(pieces) != len(column.anchors):  # one phrase instead of numbers
        words = pieces[0]
        return [
            Text(
                "cell",
                column.middle,
                baseline,
                words,
                style.SMALL_SIZE,
                "center",
                False,
                True,
                style.GREY,
            )
        ]
    return [
        Text("cell", x, baseline, piece, size, align, bold, False, colour)
        for (x, align), piece in zip(column.anchors, pieces, strict=True)
        if piece
    ]


def _study_marks(row: ForestRow) -> list[Mark]:
    y = row.middle
    ink = style.LIGHT if row.excluded else style.INK
    fill = style.PAPER if row.excluded else style.BLUE
    edge = style.LIGHT if row.excluded else style.BLUE
    marks: list[Mark] = []
    if row.x_low is not None and row.x_high is not None:
        dash = style.DASHED if row.excluded else ()
        line = ((row.x_low, y), (row.x_high, y))
        marks.append(Line("study_interval", line, 0.95, ink, dash))
        marks.extend(_clip_arrows(row, ink))
    if row.x is not None:
        corners = square(row.x, y, math.sqrt(row.area))
        marks.append(Area("study_marker", corners, fill=fill, edge=edge, width=0.4))
    return marks


def _clip_arrows(row: ForestRow, colour: str, *, out: float = 1.0, size: float = 4.2) -> list[Mark]:
    marks: list[Mark] = []
    if row.clipped_left and row.x_low is not None:
        head = arrow_head(row.x_low - out, row.middle, direction=-1, size=size)
        marks.append(Area("clip_arrow", head, fill=colour))
    if row.clipped_right and row.x_high is not None:
        head = arrow_head(row.x_high + out, row.middle, direction=1, size=size)
        marks.append(Area("clip_arrow", head, fill=colour))
    return marks


def _pool_marks(layout: ForestLayout, row: ForestRow) -> list[Mark]:
    axis = layout.axis
    if axis is None or row.estimate is None:
        return []
    overall = row.kind == "overall"
    part = "pooled_diamond" if overall else "subgroup_diamond"
    half = style.DIAMOND_HALF_HEIGHT * (1.0 if overall else 0.85)
    x = axis.position(row.estimate)
    low = axis.position(row.low) if row.low is not None else x - 3.0
    high = axis.position(row.high) if row.high is not None else x + 3.0
    if high < axis.start or low > axis.stop:
        return _clip_arrows(row, style.NAVY)
    points = diamond(low, x, high, row.middle, half, axis.start, axis.stop)
    fill = style.NAVY if overall else style.SKY
    marks: list[Mark] = [Area(part, points, fill=fill, edge=style.NAVY, width=0.6)]
    return marks + _clip_arrows(row, style.NAVY, out=6.0, size=4.6)


def _prediction_marks(row: ForestRow) -> list[Mark]:
    if row.x_low is None or row.x_high is None:
        return []
    y, half = row.middle, _PREDICTION_HALF_HEIGHT
    corners = rectangle(row.x_low, y - half, row.x_high, y + half)
    marks: list[Mark] = [
        Area("prediction_bar", corners, fill=style.ORANGE, edge=style.VERMILLION, width=0.6)
    ]
    return marks + _clip_arrows(row, style.VERMILLION, out=6.0, size=4.6)


def _risk_marks(layout: ForestLayout, row: ForestRow) -> list[Mark]:
    column = layout.column("risk_of_bias")
    if column is None:
        return []
    marks: list[Mark] = []
    for (x, _), judgement in zip(column.anchors, row.risk_of_bias, strict=True):
        look = style.RISK_OF_BIAS.get(judgement, style.RISK_OF_BIAS["unclear"])
        symbol, fill, ink, _ = look
        hollow = judgement == "not_assessed"
        marks.append(
            Disc(
                "risk_of_bias",
                (x, row.middle),
                RISK_RADIUS,
                fill=fill,
                edge=style.LIGHT if hollow else style.INK,
                width=0.4,
                dash=(1.2, 1.2) if hollow else (),
            )
        )
        if symbol:
            baseline = centred_baseline(row.middle, 6.2)
            marks.append(
                Text("risk_of_bias_symbol", x, baseline, symbol, 6.2, "center", True, False, ink)
            )
    return marks


def _empty(layout: ForestLayout, row: ForestRow) -> list[Mark]:
    left, right = style.MARGIN, layout.width - style.MARGIN
    middle = (left + right) / 2
    words = f"Looked for: {layout.looked_for}" if layout.looked_for else ""
    lines = wrap_text(words, 0.8 * (right - left), style.BODY_SIZE, most=4)
    total = 14.0 + block_height(len(lines), style.BODY_SIZE)
    top = row.middle - total / 2
    frame = rectangle(left, row.top + 4.0, right, row.bottom - 2.0)
    marks: list[Mark] = [
        Area("empty_frame", frame, fill=style.BAND),
        Text("empty", middle, top + 9.0, row.label, 10.0, "center", True, False, style.INK),
    ]
    marks.extend(
        text_block(
            "looked_for",
            lines,
            middle,
            top + 15.0,
            size=style.BODY_SIZE,
            align="center",
            colour=style.GREY,
        )
    )
    return marks
