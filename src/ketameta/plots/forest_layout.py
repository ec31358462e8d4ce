"""Lays out a forest plot as frozen data: columns, rows, axis and words, placed in points.

Draws nothing; tests read the result, and :mod:`ketameta.plots.forest` draws it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ketameta.errors import check_choice
from ketameta.plots import look
from ketameta.plots.forest_data import Forest, arranged
from ketameta.plots.forest_rows import (
    BOLD,
    SMALL_KINDS,
    STYLES,
    ForestColumn,
    ForestRow,
    Reader,
    RowKind,
    Style,
    footnotes,
    known_sum,
)
from ketameta.plots.frame import area
from ketameta.plots.look import BODY, MARGIN, SMALL, text_width, widest, wrap
from ketameta.plots.scale import Axis, choose_range, make_axis

#: Trials up to which each has a row with its words.
MOST_LABELLED = 200
#: Rows that are pools are drawn whole, as long as they are so few.
FEW = 20
#: Together, trials without words are so tall.
UNLABELLED_HEIGHT = 620.0

GAP, PLOT_GAP, INDENT = 7.0, 4.5, 6.0
#: The plot itself: what it likes, what it never falls below, and from what on it gives way.
PLOT_COMFORTABLE, PLOT_LEAST, PLOT_AMPLE = 122.0, 98.0, 180.0
LABEL_MOST, LABEL_LEAST, BLOCK_WANTED = 156.0, 74.0, 240.0
COMPARISON_MOST = 108.0
ROW, GROUP_SPACE, TICK_SPACE, ARROW_SPACE = 13.0, 5.0, 14.0, 15.0
#: Bodies taller than this have the axis above them too; pages as tall as this are not split.
REPEAT_AXIS_BEYOND, PAGE_HEIGHT = 430.0, 640.0
FOOTNOTE_LINES = 3
LARGEST, SMALLEST, UNWEIGHTED = 8.6, 1.7, 4.7


class Direction(NamedTuple):
    """Direction words on one side of no effect: lines that end (or start) at ``x``."""

    lines: tuple[str, ...]
    x: float
    side: int


@dataclass(frozen=True, slots=True)
class ForestLayout:
    """A forest plot as data: what is written and marked where, in points from the top left."""

    forest: Forest
    style: Style
    width: float
    columns: tuple[ForestColumn, ...]
    rows: tuple[ForestRow, ...]
    axis: Axis | None
    directions: tuple[Direction, ...]
    digits: int
    k: int
    participants: float | None
    labelled: bool
    subtitle_lines: tuple[str, ...]
    title_lines: tuple[str, ...] = ()
    footnotes: tuple[tuple[str, ...], ...] = ()
    height: float = 0.0
    axis_y: float = 0.0
    axis_repeated: bool = False
    body_top: float = 0.0
    direction_top: float = 0.0
    footnote_top: float = 0.0

    def column(self, name: str) -> ForestColumn | None:
        """Return the column called ``name``, or None where the plot has none."""
        return next((column for column in self.columns if column.name == name), None)

    def rows_of(self, kind: RowKind) -> tuple[ForestRow, ...]:
        """Return the rows of one kind, top to bottom."""
        return tuple(row for row in self.rows if row.kind == kind)

    @property
    def pooled_estimate(self) -> float | None:
        """The estimate of all trials, where the axis holds it."""
        overall = (row for row in self.rows if row.kind == "overall" and row.drawn)
        value = next((row.estimate for row in overall), None)
        return None if value is None or self.axis is None or self.axis.side(value) else value

    def pages(
        self, height: float = PAGE_HEIGHT, rows: int | None = None
    ) -> tuple[ForestLayout, ...]:
        """Return the plot cut into pages of so many points, or of so many rows.

        Headings and axis stand on each. A group's heading stays with its first trial, and what is
        said of a pool with the pool; the notes stand on the last page.
        """
        body = self.rows[1:]
        if (self.height <= height) if rows is None else (len(body) <= rows):
            return (self,)
        whole = body[-1].bottom - body[0].top
        below = sum(len(lines) for lines in self.footnotes) * look.LINE * SMALL
        room = height - (self.height - whole - below)
        lots = _cut(body, room, rows)
        while rows is None and room > 0 and (len(lots) < 2 or _tall(lots[-1]) + below > room):
            lots = _cut(body, min(room, whole / (len(lots) + 1) + ROW), None)
            room -= ROW  # until the notes have their place on the last page
        return tuple(
            _compose(
                self, lot, self.footnotes if number == len(lots) - 1 else (),
                words="" if number == 0 else f" (continued, {number + 1} of {len(lots)})",
            )
            for number, lot in enumerate(lots)
        )  # fmt: skip


def _tall(rows: Sequence[ForestRow]) -> float:
    return sum(row.space + row.height for row in rows)


def _cut(body: Sequence[ForestRow], room: float, most: int | None) -> list[list[ForestRow]]:
    """Return rows in lots of so many points, or of so many rows; what belongs together stays so."""
    lots: list[list[ForestRow]] = [[]]
    for row, following in zip(body, [*body[1:], None], strict=True):
        together = following.height if following and row.kind == "subgroup_header" else 0.0
        full = len(lots[-1]) >= (most or 0)
        joined = False
        if most is None:
            full = _tall(lots[-1]) + _tall([row]) + together > room
            joined = row.kind in SMALL_KINDS or row.kind in ("prediction", "subgroup_pool")
        if lots[-1] and full and not joined:
            lots.append([])
        lots[-1].append(row)
    return lots


# --- columns --------------------------------------------------------------------------------------


def _label_width(rows: Sequence[ForestRow], titled: bool, compared: bool) -> float:
    widths = [text_width(rows[0].label, BODY, bold=True)]
    for row in rows[1:]:
        if row.kind == "study" or (row.kind in ("subgroup_pool", "overall") and not compared):
            indent = INDENT if titled and row.kind != "overall" else 0.0
            wide = text_width(row.label, BODY, bold=row.kind in BOLD)
            widths.append(indent + _extras(row) + wide)
    return min(max(widths) + 1.0, LABEL_MOST)


def _extras(row: ForestRow) -> float:
    """Return the width that the tag and the footnote letter take beside a label."""
    extra = 1.5 + text_width(row.marker, SMALL) if row.marker else 0.0
    return extra + (4.0 + text_width(row.tag, SMALL) if row.tag else 0.0)


def _columns(
    reader: Reader, rows: Sequence[ForestRow], weights: bool, labelled: bool
) -> tuple[float, tuple[ForestColumn, ...]]:
    """Return the width of the page, and the columns from left to right."""
    order, found = reader.style.order, reader.columns(rows, weights, labelled)
    texts = [row.cells["comparison"][0] for row in rows if "comparison" in row.cells]
    compared = labelled and bool(texts)
    titled = any(row.kind == "subgroup_header" for row in rows)
    label = _label_width(rows, titled, bool(texts))
    comparison = least = 0.0
    if compared:
        vary = [len(names) > 1 for names in reader.names]
        words = "Comparison" if all(vary) else "Intervention" if vary[0] else "Comparator"
        head = text_width(words, BODY, bold=True)
        comparison = min(max(widest(texts, BODY), head) + 1.0, COMPARISON_MOST)
        longest = widest([word for text in texts for word in text.split(" ")], BODY)
        least = min(max(longest, head) + 1.0, COMPARISON_MOST)
        found["comparison"] = [ForestColumn("comparison", (words,))]
    fixed = sum(column.width + GAP for name in order for column in found.get(name, []))
    width = look.PAGE_WIDTH
    room = width - 2 * MARGIN - fixed - 2 * GAP - 2 * PLOT_GAP
    short = PLOT_COMFORTABLE - (room - label - comparison)
    if short > 0 and compared:
        given = min(short, comparison - least)
        comparison, short = comparison - given, short - given
    if short > 0:
        label -= min(short, max(0.0, label - LABEL_LEAST))
    plot = room - label - comparison
    if plot > PLOT_AMPLE:  # room for the words under the trials
        before = order[: order.index("plot")]
        beside = sum(column.width + GAP for name in before for column in found.get(name, []))
        beside -= GAP if compared else 0.0
        given = min(plot - PLOT_AMPLE, max(0.0, BLOCK_WANTED - label - beside - comparison))
        label, plot = label + given, plot - given
    if plot < PLOT_LEAST:
        width += PLOT_LEAST - plot
        plot = PLOT_LEAST
    found["study"] = [ForestColumn("study", (rows[0].label,), widths=(label,), width=label)]
    if compared:
        found["comparison"] = [
            replace(found["comparison"][0], widths=(comparison,), width=comparison)
        ]
    # The "g" of Hedges' g stays with its owner.
    axis_label = reader.forest.scale.axis_label.replace("' ", "'\u00a0")
    heading = wrap(axis_label, plot, BODY, bold=True, most=3)
    found["plot"] = [ForestColumn("plot", heading, width=plot)]
    columns: list[ForestColumn] = []
    x = MARGIN
    for column in (column for name in order for column in found.get(name, [])):
        aside = PLOT_GAP if column.name == "plot" else 0.0
        columns.append(replace(column, left=x + aside))
        x += column.width + GAP + 2 * aside
    return width, tuple(columns)


# --- rows -----------------------------------------------------------------------------------------


def lay_out(
    forest: Forest,
    *,
    style: str = "house",
    xlim: tuple[float, float] | None = None,
    weights: bool = True,
    labels: bool | None = None,
) -> ForestLayout:
    """Lay out a forest plot; see :func:`ketameta.plots.forest.plot`.

    Examples
    --------
    >>> from ketameta.plots.forest_data import Group, Trial
    >>> layout = lay_out(Forest((Group(None, (Trial("Alder 2014", -0.5, -1.1, 0.1),)),)))
    >>> [row.kind for row in layout.rows]
    ['header', 'study', 'single']
    """
    look_of = STYLES[check_choice("style", str(style).lower(), tuple(STYLES))]
    labelled = len(forest.trials) <= MOST_LABELLED if labels is None else labels
    if not labelled:
        forest = arranged(forest, sort="estimate")
    reader = Reader(forest, look_of)
    rows = reader.rows()
    width, columns = _columns(reader, rows, weights, labelled)
    if width > look.PAGE_WIDTH and any("comparison" in row.cells for row in rows):
        rows = [_stacked(row) for row in rows]
        width, columns = _columns(reader, rows, weights, labelled)
    plot = next(column for column in columns if column.name == "plot")
    axis = _axis(forest, rows, xlim, plot.width)
    head, *body = _sized(reader, rows, columns, axis, labelled)
    used = [row for row in body if row.kind == "study" and not row.excluded and row.cells]
    used = [row for row in used if row.estimate is not None]
    people = forest.participants
    if people is None:
        people = known_sum([known_sum(row.trial.n)[0] for row in used if row.trial])[0]
    inner = width - 2 * MARGIN
    draft = ForestLayout(
        forest, look_of, width, columns, (head,), axis,
        _directions(forest, axis, plot, width, above=look_of.favours_above), reader.digits,
        len(used) if forest.k is None else forest.k, people, labelled,
        wrap(look.clean(forest.subtitle), inner, SMALL),
    )  # fmt: skip
    notes = footnotes(reader, [head, *body], labelled=labelled)
    return _compose(draft, body, [wrap(note, inner, SMALL, most=FOOTNOTE_LINES) for note in notes])


def _stacked(row: ForestRow) -> ForestRow:
    """Return the row with what was compared below the label instead of in a column beside."""
    cells = dict(row.cells)
    texts = [text for text in (*cells.pop("comparison", ()), row.remark) if text]
    return replace(row, cells=cells, remark="\u00a0· ".join(texts))


def _axis(
    forest: Forest, rows: Sequence[ForestRow], xlim: tuple[float, float] | None, room: float
) -> Axis | None:
    marked = [
        row for row in rows if row.drawn and (row.estimate is not None or row.low is not None)
    ]
    if xlim is None:
        if not marked:
            return None
        few = [row for row in marked if row.kind != "study"]
        trials = [row for row in marked if row.kind == "study"]
        if forest.rows_are_pools and len(trials) <= FEW:
            few, trials = [*few, *trials], []
        unit = {"RD": 0.5, "MD": 5.0}.get(forest.scale.measure, 1.0)
        important = [] if forest.important is None else [forest.important]
        estimates = [row.estimate for row in trials if row.estimate is not None]
        xlim = choose_range(
            forest.scale,
            estimates,
            [(row.low, row.high) for row in trials],
            whole=[(row.low, row.high) for row in few if row.kind != "prediction"],
            predictions=[(row.low, row.high) for row in few if row.kind == "prediction"],
            extra=[*important, *([] if forest.scale.has_null else estimates)],
            unit=math.log(10.0) if forest.scale.is_ratio else unit,
        )
    return make_axis(*xlim, log=forest.scale.is_ratio, room=room)


def _sized(
    reader: Reader,
    rows: Sequence[ForestRow],
    columns: Sequence[ForestColumn],
    axis: Axis | None,
    labelled: bool,
) -> list[ForestRow]:
    """Return the rows with their printed lines, their heights, squares and cut ends."""
    titled = any(row.kind == "subgroup_header" for row in rows)
    trials = sum(row.kind == "study" for row in rows)
    heaviest: dict[int | None, float] = {}
    for row in rows:
        pool = None if reader.one_pool else row.group
        heaviest[pool] = max(heaviest.get(pool, 0.0), row.weight or 0.0)
    sized = []
    for row in rows:
        flush = row.kind in ("subgroup_header", "overall", "header")
        # The estimate of a trial is inside its interval, or stands for it.
        ends = [row.low, row.high] + ([row.estimate] if row.kind == "study" else [])
        sides = {axis.side(x) for x in ends if x is not None} if axis and row.drawn else set()
        most = heaviest.get(None if reader.one_pool else row.group, 0.0)
        made = replace(
            row, indent=INDENT if titled and not flush else 0.0, cut_low=-1 in sides,
            cut_high=1 in sides, area=area(row.weight, most, LARGEST, SMALLEST, UNWEIGHTED),
        )  # fmt: skip
        if row.kind == "study" and not labelled:
            tall = min(3.0, UNLABELLED_HEIGHT / trials)
            sized.append(replace(made, height=tall, cells={}, area=min(made.area, 2.2)))
        else:
            sized.append(_lines(made, columns, titled, reader.forest))
    return sized


def _lines(
    row: ForestRow, columns: Sequence[ForestColumn], titled: bool, forest: Forest
) -> ForestRow:
    """Wrap the words of a row into the room they have, and give the row its height."""
    left = MARGIN + row.indent
    size, bold = SMALL if row.kind in SMALL_KINDS else BODY, row.kind in BOLD
    if row.kind == "empty" and not titled:
        looked = wrap(looked_for(forest), 0.8 * (columns[-1].right - MARGIN), size, most=4)
        return replace(row, lines=(row.label,), height=44.0 + len(looked) * look.LINE * size)
    # Words run on as far as the row has nothing else, and never under the plot.
    taken = [c.left for c in columns[1:] if any(row.cells.get(c.name, ())) or c.name == "plot"]
    room = min(taken) - 5.0 - left
    lines = wrap(row.label, room, size, bold=bold, most=3)
    reach = text_width(lines[-1], size, bold=bold) if lines else 0.0
    inline = not row.tag or reach + _extras(row) <= room + 1e-6
    remark = row.remark if inline else "\u00a0· ".join(filter(None, (row.tag, row.remark)))
    remarks = wrap(remark, room, SMALL, most=3)
    beside: tuple[str, ...] = ()
    comparison = next((column for column in columns if column.name == "comparison"), None)
    if comparison is not None and "comparison" in row.cells:
        beside = wrap(row.cells["comparison"][0], comparison.width, BODY, most=3)
    height = max(
        ROW if size == BODY else 10.4,
        look.LINE * (len(lines) * size + len(remarks) * SMALL) + 3.4,
        look.LINE * len(beside) * BODY + 3.4,
    )
    space = GROUP_SPACE if row.kind in ("subgroup_header", "overall", "subgroup_test") else 0.0
    return replace(
        row, lines=lines, remarks=remarks, beside=beside, tag=row.tag if inline else "",
        height=height, space=space,
    )  # fmt: skip


def looked_for(forest: Forest) -> str:
    """Return the words of an empty plot."""
    words = look.clean(forest.looked_for)
    return f"Looked for: {words}" if words else ""


# --- the page -------------------------------------------------------------------------------------


def _compose(
    draft: ForestLayout,
    rows: Sequence[ForestRow],
    notes: Sequence[tuple[str, ...]],
    words: str = "",
) -> ForestLayout:
    """Return the layout with ``rows`` placed below each other, between headings and notes."""
    title = f"{look.clean(draft.forest.title)}{words}".strip()
    heading = wrap(title, draft.width - 2 * MARGIN, look.TITLE, bold=True)
    second = draft.subtitle_lines if not words else ()
    top = MARGIN + len(heading) * look.LINE * look.TITLE
    top += len(second) * look.LINE * SMALL + (4.0 if heading else 0.0)
    above = draft.style.favours_above and bool(draft.directions)
    depth = max((len(item.lines) for item in draft.directions), default=0) * look.LINE * BODY
    lines = max(
        max(len(column.header), len(column.over) + 1 if column.over else 1)
        for column in draft.columns
    )
    bare = draft.axis is None and not any(row.kind != "empty" for row in rows)
    header_height = 2.0 if bare else lines * look.LINE * BODY + 4.0 + (depth if above else 0.0)
    header = replace(draft.rows[0], top=top, height=header_height,
                     lines=() if bare else (draft.rows[0].label,))  # fmt: skip
    repeated = draft.axis is not None and _tall(rows) > REPEAT_AXIS_BEYOND
    y = body_top = top + header_height + (TICK_SPACE + 4.0 if repeated else 0.0) + 2.0
    placed = [header]
    for row in rows:
        y += row.space if y > body_top else 0.0
        placed.append(replace(row, top=y))
        y += row.height
    axis_y = y + 5.0
    after = axis_y + TICK_SPACE + (depth + 3.0 if depth and not above else 0.0)
    footnote_top = (y + 4.0 if draft.axis is None else after) + 6.0
    foot = sum(len(note) for note in notes) * look.LINE * SMALL
    return replace(
        draft, title_lines=heading, subtitle_lines=second, rows=tuple(placed), axis_y=axis_y,
        axis_repeated=repeated, body_top=body_top, footnotes=tuple(notes),
        footnote_top=footnote_top, height=footnote_top + foot + MARGIN,
        direction_top=header.bottom - 3.0 - depth if above else axis_y + TICK_SPACE + 1.5,
    )  # fmt: skip


def _directions(
    forest: Forest, axis: Axis | None, plot: ForestColumn, width: float, *, above: bool
) -> tuple[Direction, ...]:
    """Place the words beside no effect; long ones wrap, and never leave the page."""
    if axis is None or not (forest.scale.has_null and any(forest.scale.favours)):
        return ()
    share = min(max(axis.share(forest.scale.no_effect), 0.0), 1.0)
    null, space = plot.left + share * plot.width, ARROW_SPACE + 5.0
    texts = [look.clean(words) for words in forest.scale.favours]
    edges = (plot.left, plot.right) if above else (MARGIN, width - MARGIN)
    if above:  # inside the plot, as other headings stand beside it
        most = plot.middle - plot.left - space
        needs = [
            space + max(widest(text.split(" ")), min(text_width(text), most)) for text in texts
        ]
        null = min(max(null, plot.left + needs[0]), plot.right - needs[1])
    placed = []
    for side, text, edge in zip((-1, 1), texts, edges, strict=True):
        if text:
            room = abs(null - edge) - space
            half = abs(null - (plot.left if side < 0 else plot.right)) - space
            wanted = min(room, max(half, widest(text.split(" "), BODY), 100.0))
            placed.append(Direction(wrap(text, wanted, BODY, most=3), null + side * 5.0, side))
    return tuple(placed)
