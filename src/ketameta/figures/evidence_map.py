"""The evidence map: how many trials stand behind each outcome and intervention, zeros included."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ketameta.errors import UsageError
from ketameta.figures import style
from ketameta.figures.evidence_map_value import (
    DIRECT_HEADING,
    INDIRECT_HEADING,
    EvidenceMapLayout,
    MapCell,
    MapRow,
)
from ketameta.figures.marks import (
    Area,
    Disc,
    Line,
    Mark,
    Text,
    block_height,
    centred_baseline,
    footnote_marks,
    rectangle,
    square,
    text_block,
    wrap_notes,
)
from ketameta.figures.numbers import finite
from ketameta.figures.text import clean_text, text_width, widest, wrap_text
from ketameta.numberformat import format_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 25.0
HEADING = 17.0
LARGEST_RADIUS = 10.5
SMALLEST_RADIUS = 6.0
LABEL_MOST = 140.0
LABEL_LEAST = 112.0
COLUMN_LEAST = 50.0


def lay_out_evidence_map(
    data: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    title: str | None = None,
    width_mm: float = 180.0,
) -> EvidenceMapLayout:
    """Lay out the matrix of outcomes by interventions.

    Parameters
    ----------
    data : mapping or sequence of mapping
        Cells with ``row, column, trials, participants, direct``, alone or under ``"cells"``
        beside ``"rows"``, ``"columns"`` (labels in the wanted order) and ``"title"``. A pair that
        has no cell is shown as zero trials. A row that holds both direct and indirect evidence
        is shown once under each heading.
    title : str, optional
    width_mm : float

    Returns
    -------
    EvidenceMapLayout

    Raises
    ------
    UsageError
        If a cell lacks its row, its column or a whole number of trials, or is there twice.
    """
    frame: Mapping[str, Any] = data if isinstance(data, Mapping) else {"cells": data}
    known = _read_cells(frame.get("cells") or ())
    columns = _labels(frame.get("columns"), [column for _, column, _ in known])
    labels = _labels(frame.get("rows"), [row for row, _, _ in known])
    words = clean_text(str(title if title is not None else frame.get("title") or ""))
    width = width_mm * style.POINTS_PER_MM
    inner = width - 2 * style.MARGIN
    least = [
        max(widest(c.split(" "), style.BODY_SIZE, bold=True) + 5.0, COLUMN_LEAST) for c in columns
    ]
    spare = inner - sum(least)
    label_width = min(widest(labels, style.BODY_SIZE) + 4.0, max(spare, LABEL_LEAST), LABEL_MOST)
    width += max(0.0, label_width - spare)
    label_right = style.MARGIN + label_width
    share = max(0.0, spare - label_width) / max(len(columns), 1)
    widths = [needed + share for needed in least]
    rights = [label_right + total for total in accumulate(widths)]
    centres = [right - wide / 2 for right, wide in zip(rights, widths, strict=True)]
    heads = [
        wrap_text(c, wide - 5.0, style.BODY_SIZE, bold=True, most=3)
        for c, wide in zip(columns, widths, strict=True)
    ]
    title_lines = wrap_text(words, width - 2 * style.MARGIN, style.TITLE_SIZE, bold=True)
    y = style.MARGIN + block_height(len(title_lines), style.TITLE_SIZE) + 4.0
    y += block_height(max((len(lines) for lines in heads), default=0), style.BODY_SIZE) + 4.0
    header_bottom = y
    most = max((trials for trials, _ in known.values()), default=0)
    both = {direct for _, _, direct in known}
    rows: list[MapRow] = []
    for direct in (True, False):
        members = [label for label in labels if any((label, c, direct) in known for c in columns)]
        if direct and not known:
            members = list(labels)
        if not members:
            continue
        if len(both) > 1:
            heading = DIRECT_HEADING if direct else INDIRECT_HEADING
            rows.append(MapRow("heading", (heading,), heading, direct, y, HEADING))
            y += HEADING
        for label in members:
            lines = wrap_text(label, label_width - 4.0, style.BODY_SIZE, most=2)
            cells = []
            for column, x in zip(columns, centres, strict=True):
                trials, people = known.get((label, column, direct), (0, 0.0))
                radius = _radius(trials, most)
                at = (x - 8.0, y + ROW / 2, radius)
                cells.append(MapCell(label, column, trials, people, direct, *at))
            rows.append(MapRow("outcome", lines, label, direct, y, ROW, tuple(cells)))
            y += ROW
    wrapped = wrap_notes(_footnotes(both), inner)
    height = y + 6.0 + block_height(sum(map(len, wrapped)), style.SMALL_SIZE) + style.MARGIN
    return EvidenceMapLayout(
        width=width,
        height=height,
        title=words,
        title_lines=title_lines,
        columns=tuple(zip(columns, heads, centres, strict=True)),
        header_bottom=header_bottom,
        label_right=label_right,
        rows=tuple(rows),
        footnotes=wrapped,
    )


def _read_cells(
    cells: Sequence[Mapping[str, Any]],
) -> dict[tuple[str, str, bool], tuple[int, float | None]]:
    known: dict[tuple[str, str, bool], tuple[int, float | None]] = {}
    for position, cell in enumerate(cells):
        row, column = cell.get("row"), cell.get("column")
        trials = finite(cell.get("trials"))
        if not row or not column:
            raise UsageError(f"cells[{position}] is {dict(cell)!r}; it needs a row and a column")
        if trials is None or trials < 0 or trials != round(trials):
            raise UsageError(
                f"cells[{position}] ({row}, {column}): trials is {cell.get('trials')!r};"
                " give a whole number, 0 included"
            )
        key = (clean_text(str(row)), clean_text(str(column)), bool(cell.get("direct")))
        if key in known:
            raise UsageError(f"cells[{position}] ({row}, {column}) is there twice; join the cells")
        known[key] = (int(trials), finite(cell.get("participants")))
    return known


def _labels(declared: Sequence[str] | None, found: Sequence[str]) -> list[str]:
    """Return the declared labels in order, then any others in order of appearance."""
    first = [clean_text(str(label)) for label in declared or ()]
    return list(dict.fromkeys([*first, *found]))


def _radius(trials: int, most: int) -> float:
    if trials == 0 or most == 0:
        return SMALLEST_RADIUS
    return max(SMALLEST_RADIUS, LARGEST_RADIUS * math.sqrt(trials / most))


def _footnotes(kinds: set[bool]) -> list[str]:
    text = "Number in a mark: trials, area by their number. Beside it: participants."
    text += " Empty dashed mark: no trial."
    if len(kinds) > 1:
        text += " Circle: direct evidence (people with ADHD). Square: indirect evidence."
    return [text]


def draw_evidence_map(layout: EvidenceMapLayout, *, ax: Axes | None = None) -> Figure:
    """Draw a laid-out evidence map.

    Parameters
    ----------
    layout : EvidenceMapLayout
    ax : Axes, optional
        Draw into these axes, scaled to fit, instead of a figure of its own.

    Returns
    -------
    Figure
        Its parts, by ``gid``: ``title``, ``column``, ``heading``, ``label``, ``cell`` (marks with
        trials), ``empty_cell``, ``trials``, ``participants``, ``rule``, ``footnote``.

    Notes
    -----
    The reader should see at once what has never been studied.
    """
    from ketameta.figures.canvas import draw_marks

    return draw_marks(evidence_map_marks(layout), layout.width, layout.height, ax=ax)


def evidence_map_marks(layout: EvidenceMapLayout) -> tuple[Mark, ...]:
    """Return every line, area and text of the map, in drawing order."""
    left, right = style.MARGIN, layout.width - style.MARGIN
    marks: list[Mark] = list(
        text_block("title", layout.title_lines, left, left, size=style.TITLE_SIZE, bold=True)
    )
    step = style.LINE_SPACING * style.BODY_SIZE
    for _, lines, x in layout.columns:
        for index, line in enumerate(reversed(lines)):
            baseline = layout.header_bottom - 4.4 - index * step
            marks.append(Text("column", x, baseline, line, align="center", bold=True))
    top = layout.header_bottom
    marks.append(Line("rule", ((left, top), (right, top)), style.THIN, style.INK))
    for row in layout.rows:
        if row.kind == "heading":
            band = rectangle(left, row.top + 1.0, right, row.top + row.height - 1.0)
            marks.append(Area("heading_band", band, fill=style.BAND))
            baseline = centred_baseline(row.top + row.height / 2, style.BODY_SIZE)
            marks.append(Text("heading", left + 3.0, baseline, row.label, bold=True))
            continue
        bottom = row.top + row.height
        marks.append(Line("rule", ((left, bottom), (right, bottom)), 0.4, style.RULE))
        block_top = row.top + (row.height - block_height(len(row.label_lines), style.BODY_SIZE)) / 2
        for index, line in enumerate(row.label_lines):
            baseline = centred_baseline(block_top + (index + 0.5) * step, style.BODY_SIZE)
            marks.append(Text("label", left + 3.0, baseline, line))
        for cell in row.cells:
            marks.extend(_cell_marks(cell))
    y = layout.rows[-1].top + layout.rows[-1].height + 6.0 if layout.rows else top + 6.0
    marks.extend(footnote_marks(layout.footnotes, left, y)[0])
    return tuple(marks)


def _cell_marks(cell: MapCell) -> list[Mark]:
    empty = cell.trials == 0
    part = "empty_cell" if empty else "cell"
    fill = style.PAPER if empty else style.BLUE if cell.direct else style.SKY
    ink = style.GREY if empty else style.PAPER if cell.direct else style.INK
    edge = style.LIGHT if empty else style.NAVY
    dash = (1.6, 1.6) if empty else ()
    marks: list[Mark] = []
    if cell.direct:
        centre = (cell.x, cell.y)
        marks.append(Disc(part, centre, cell.radius, fill=fill, edge=edge, dash=dash))
    else:
        side = cell.radius * math.sqrt(math.pi)  # the same area as the circle
        marks.append(Area(part, square(cell.x, cell.y, side), fill=fill, edge=edge, dash=dash))
    count = format_count(cell.trials)
    size = style.BODY_SIZE if text_width(count, style.BODY_SIZE) < 1.7 * cell.radius else 5.6
    baseline = centred_baseline(cell.y, size)
    marks.append(Text("trials", cell.x, baseline, count, size, "center", not empty, False, ink))
    if not empty:
        people = format_count(cell.participants)
        baseline = centred_baseline(cell.y, style.SMALL_SIZE)
        x = cell.x + LARGEST_RADIUS + 3.0
        marks.append(Text("participants", x, baseline, people, style.SMALL_SIZE, colour=style.GREY))
    return marks
