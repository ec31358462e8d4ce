"""Lays out a forest plot as frozen data: columns, rows, axis and words, placed in points.

Draws nothing; tests read the result, and :mod:`ketameta.plots.forest` draws it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ketameta.errors import check_choice
from ketameta.plots import look
from ketameta.plots.forest_data import Forest, arranged
from ketameta.plots.forest_rows import (
    BOLD,
    GAP,
    SMALL_KINDS,
    STYLES,
    Align,
    ForestRow,
    Reader,
    RowKind,
    Spec,
    Style,
    column_specs,
    footnotes,
    known_sum,
)
from ketameta.plots.look import BODY, MARGIN, SMALL, text_width, widest, wrap
from ketameta.plots.scale import Axis, choose_range, make_axis

#: Trials up to which each has a row with its words.
MOST_LABELLED = 200
#: Rows that are pools are drawn whole, as long as they are so few.
FEW = 20
#: Together, trials without words are so tall.
UNLABELLED_HEIGHT = 620.0

PLOT_GAP, INDENT = 4.5, 6.0
#: The plot itself: what it likes, what it never falls below, and from what on it gives way.
PLOT_COMFORTABLE, PLOT_LEAST, PLOT_AMPLE = 122.0, 98.0, 180.0
LABEL_MOST, LABEL_LEAST, BLOCK_WANTED = 156.0, 74.0, 240.0
COMPARISON_MOST = 108.0
RISK_PITCH, RISK_ALONE = 10.2, 31.0
ROW, GROUP_SPACE, TICK_SPACE, ARROW_SPACE = 13.0, 5.0, 14.0, 15.0
#: Bodies taller than this have the axis above them too; pages as tall as this are not split.
REPEAT_AXIS_BEYOND, PAGE_HEIGHT = 430.0, 640.0
FOOTNOTE_LINES = 3
LARGEST, SMALLEST, UNWEIGHTED = 8.6, 1.7, 4.7


@dataclass(frozen=True, slots=True)
class ForestColumn:
    """One column: its heading, its edges, and where each piece of a cell is put and aligned."""

    name: str
    header: tuple[str, ...]
    left: float
    right: float
    anchors: tuple[tuple[float, Align], ...] = ()

    @property
    def middle(self) -> float:
        """The centre of the column."""
        return (self.left + self.right) / 2


@dataclass(frozen=True, slots=True)
class Spanner:
    """A heading over several columns, such as the name of an arm."""

    lines: tuple[str, ...]
    left: float
    right: float
    ruled: bool


@dataclass(frozen=True, slots=True)
class Direction:
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
    height: float
    title_lines: tuple[str, ...]
    subtitle_lines: tuple[str, ...]
    columns: tuple[ForestColumn, ...]
    spanners: tuple[Spanner, ...]
    rows: tuple[ForestRow, ...]
    axis: Axis | None
    axis_y: float
    axis_repeated: bool
    body_top: float
    directions: tuple[Direction, ...]
    direction_top: float
    footnotes: tuple[tuple[str, ...], ...]
    footnote_top: float
    digits: int
    k: int
    participants: float | None
    labelled: bool = True

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
        """Return the plot cut into pages with the headings and the axis on each.

        Parameters
        ----------
        height : float
            Of a page at most, in points; ignored where ``rows`` is given.
        rows : int, optional
            Rows of a page at most.

        Returns
        -------
        tuple of ForestLayout
            The plot itself where it fits. A group's heading stays with its first trial, and what
            is said of a pool with the pool; the notes stand on the last page.
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
        notes = [note for note in self.footnotes if note]
        return tuple(
            _compose(
                self, lot, notes if number == len(lots) - 1 else [],
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


def _label_width(rows: Sequence[ForestRow]) -> float:
    titled = any(row.kind == "subgroup_header" for row in rows)
    compared = any("comparison" in row.cells for row in rows)
    widths = [text_width(rows[0].label, BODY, bold=True)]
    for row in rows[1:]:
        if row.kind == "study" or (row.kind in ("subgroup_pool", "overall") and not compared):
            indent = INDENT if titled and row.kind != "overall" else 0.0
            wide = text_width(row.label, BODY, bold=row.kind in BOLD)
            widths.append(indent + _extras(row) + wide)
    return max(widths) + 1.0


def _extras(row: ForestRow) -> float:
    """Return the width that the tag and the footnote letter take beside a label."""
    extra = 1.5 + text_width(row.marker, SMALL) if row.marker else 0.0
    return extra + (4.0 + text_width(row.tag, SMALL) if row.tag else 0.0)


def _columns(
    reader: Reader, rows: Sequence[ForestRow], weights: bool, labelled: bool
) -> tuple[float, tuple[ForestColumn, ...], tuple[Spanner, ...]]:
    """Return the width of the page, the columns from left to right, and what spans them."""
    forest, style = reader.forest, reader.style
    specs = column_specs(reader, rows, weights and labelled)
    if not labelled:
        specs |= {"arms": [], "more": []}
    domains = len(forest.domains) if labelled else 0
    compared = labelled and any("comparison" in row.cells for row in rows)
    numbers = [spec for name in style.order for spec in specs.get(name, [])]
    label = min(_label_width(rows), LABEL_MOST)
    comparison = comparison_least = 0.0
    if compared:
        texts = [row.cells["comparison"][0] for row in rows if "comparison" in row.cells]
        header = text_width(reader.write.comparison_header, BODY, bold=True)
        comparison = min(max(widest(texts, BODY), header) + 1.0, COMPARISON_MOST)
        words = widest([word for text in texts for word in text.split(" ")], BODY)
        comparison_least = min(max(words, header) + 1.0, COMPARISON_MOST)
    fixed = sum(spec.width + GAP for spec in numbers) + (comparison and GAP)
    risk = RISK_ALONE if domains == 1 else domains * RISK_PITCH
    fixed += risk + GAP if domains else 0.0
    width = look.PAGE_WIDTH
    room = width - 2 * MARGIN - fixed - 2 * GAP - 2 * PLOT_GAP
    short = PLOT_COMFORTABLE - (room - label - comparison)
    if short > 0 and compared:
        given = min(short, comparison - comparison_least)
        comparison, short = comparison - given, short - given
    if short > 0:
        label -= min(short, max(0.0, label - LABEL_LEAST))
    plot = room - label - comparison
    if plot > PLOT_AMPLE:  # room for the words under the trials
        first = style.order.index("plot")
        beside = sum(s.width + GAP for name in style.order[:first] for s in specs.get(name, []))
        given = min(plot - PLOT_AMPLE, max(0.0, BLOCK_WANTED - label - beside - comparison))
        label, plot = label + given, plot - given
    if plot < PLOT_LEAST:
        width += PLOT_LEAST - plot
        plot = PLOT_LEAST
    columns: list[ForestColumn] = []
    x = MARGIN
    for name in style.order:
        if name == "study":
            columns.append(ForestColumn("study", (rows[0].label,), x, x + label, ((x, "left"),)))
            x += label + GAP
        elif name == "comparison" and compared:
            wide, what = x + comparison, (reader.write.comparison_header,)
            columns.append(ForestColumn(name, what, x, wide, ((x, "left"),)))
            x += comparison + GAP
        elif name == "plot":
            x += PLOT_GAP
            # The "g" of Hedges' g stays with its owner.
            heading = wrap(forest.scale.axis_label.replace("' ", "'\u00a0"), plot, BODY, bold=True,
                           most=3)  # fmt: skip
            columns.append(ForestColumn(name, heading, x, x + plot))
            x += plot + GAP + PLOT_GAP
        elif name == "risk_of_bias" and domains:
            anchors: list[tuple[float, Align]] = [
                (x + (i + 0.5) * risk / domains, "center") for i in range(domains)
            ]
            heading = ("Risk of", "bias") if domains == 1 else ()
            columns.append(ForestColumn(name, heading, x, x + risk, tuple(anchors)))
        else:
            for spec in specs.get(name, []):
                columns.append(_placed(spec, x))
                x += spec.width + GAP
    return width, tuple(columns), _spanners(columns, specs["arms"])


def _placed(spec: Spec, left: float) -> ForestColumn:
    """Centre the block of pieces under the heading; pieces stay aligned with each other."""
    x = left + (spec.width - spec.content) / 2
    anchors: list[tuple[float, Align]] = []
    for index, (align, piece) in enumerate(zip(spec.aligns, spec.widths, strict=True)):
        anchors.append((x + piece if align == "right" else x, align))
        x += piece + (spec.gaps[index] if index < len(spec.gaps) else 0.0)
    return ForestColumn(spec.name, spec.header, left, left + spec.width, tuple(anchors))


def _spanners(columns: Sequence[ForestColumn], specs: Sequence[Spec]) -> tuple[Spanner, ...]:
    found = []
    for arm in dict.fromkeys(spec.arm for spec in specs):
        names = [spec.name for spec in specs if spec.arm == arm]
        group = [column for column in columns if column.name in names]
        left, right = group[0].left, group[-1].right
        words = next(spec.spanner for spec in specs if spec.arm == arm)
        lines = wrap(words, right - left, BODY, bold=True, most=2)
        found.append(Spanner(lines, left, right, len(group) > 1))
    risk = next((column for column in columns if column.name == "risk_of_bias"), None)
    if risk is not None and not risk.header:
        lines = wrap("Risk of bias", max(risk.right - risk.left, RISK_ALONE), BODY, bold=True)
        found.append(Spanner(lines, risk.left, risk.right, False))
    return tuple(found)


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
    width, columns, spanners = _columns(reader, rows, weights, labelled)
    if width > look.PAGE_WIDTH and any("comparison" in row.cells for row in rows):
        rows = [_stacked(row) for row in rows]
        width, columns, spanners = _columns(reader, rows, weights, labelled)
    plot = next(column for column in columns if column.name == "plot")
    axis = _axis(forest, rows, xlim, plot.right - plot.left)
    sized = _sized(reader, rows, columns, axis, labelled)
    used = [row for row in rows if row.kind == "study" and not row.excluded and row.cells]
    used = [row for row in used if row.estimate is not None]
    people = forest.participants
    if people is None:
        people = known_sum([known_sum(row.trial.n)[0] for row in used if row.trial])[0]
    inner = width - 2 * MARGIN
    draft = ForestLayout(
        forest=forest, style=look_of, width=width, height=0.0, title_lines=(),
        subtitle_lines=wrap(look.clean(forest.subtitle), inner, SMALL), columns=columns,
        spanners=spanners, rows=(sized[0],), axis=axis, axis_y=0.0, axis_repeated=False,
        body_top=0.0, direction_top=0.0,
        directions=_directions(
            forest, axis, plot, width, above=look_of.favours_above
        ),
        footnotes=(), footnote_top=0.0, digits=reader.write.digits,
        k=len(used) if forest.k is None else forest.k, participants=people, labelled=labelled,
    )  # fmt: skip
    notes = footnotes(reader, sized, labelled=labelled)
    lines = [wrap(note, inner, SMALL, most=FOOTNOTE_LINES) for note in notes]
    return _compose(draft, sized[1:], lines)


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
        xlim = choose_range(
            forest.scale,
            [row.estimate for row in trials if row.estimate is not None],
            [(row.low, row.high) for row in trials],
            whole=[(row.low, row.high) for row in few if row.kind != "prediction"],
            predictions=[(row.low, row.high) for row in few if row.kind == "prediction"],
            extra=[] if forest.important is None else [forest.important],
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
        most = heaviest.get(None if reader.one_pool else row.group, 0.0)
        made = replace(
            row,
            indent=INDENT if titled and not flush else 0.0,
            area=_area(row.weight, most) if row.kind == "study" else 0.0,
            cut_low=axis is not None and row.low is not None and axis.side(row.low) < 0,
            cut_high=axis is not None and row.high is not None and axis.side(row.high) > 0,
        )
        if not row.drawn:
            made = replace(made, cut_low=False, cut_high=False)
        if axis is not None and row.estimate is not None and row.kind == "study":
            made = replace(
                made,
                cut_low=made.cut_low or axis.side(row.estimate) < 0,
                cut_high=made.cut_high or axis.side(row.estimate) > 0,
            )
        if row.kind == "study" and not labelled:
            tall = min(3.0, UNLABELLED_HEIGHT / trials)
            sized.append(replace(made, height=tall, cells={}, area=min(made.area, 2.2)))
            continue
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
        beside = wrap(row.cells["comparison"][0], comparison.right - comparison.left, BODY, most=3)
    height = max(
        ROW if size == BODY else 10.4,
        look.LINE * (len(lines) * size + len(remarks) * SMALL) + 3.4,
        look.LINE * len(beside) * BODY + 3.4,
    )
    space = GROUP_SPACE if row.kind in ("subgroup_header", "overall", "subgroup_test") else 0.0
    return replace(
        row, lines=lines, remarks=remarks, beside=beside, tag_inline=inline, height=height,
        space=space,
    )  # fmt: skip


def _area(weight: float | None, heaviest: float) -> float:
    """Return the area of a square, proportional to the weight down to the smallest drawn."""
    if weight is None or heaviest <= 0:
        return UNWEIGHTED**2
    return max(LARGEST**2 * weight / heaviest, SMALLEST**2)


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
    title = look.clean(draft.forest.title)
    inner = draft.width - 2 * MARGIN
    heading = wrap(f"{title}{words}".strip(), inner, look.TITLE, bold=True)
    second = draft.subtitle_lines if not words else ()
    top = MARGIN + len(heading) * look.LINE * look.TITLE
    top += len(second) * look.LINE * SMALL + (4.0 if heading else 0.0)
    above = draft.style.favours_above and bool(draft.directions)
    depth = max((len(item.lines) for item in draft.directions), default=0) * look.LINE * BODY
    lines = max(
        max(len(column.header) for column in draft.columns),
        max((len(item.lines) + 1 for item in draft.spanners), default=1),
    )
    bare = draft.axis is None and not any(row.kind != "empty" for row in rows)
    header_height = 2.0 if bare else lines * look.LINE * BODY + 4.0 + (depth if above else 0.0)
    header = replace(draft.rows[0], top=top, height=header_height,
                     lines=() if bare else (draft.rows[0].label,))  # fmt: skip
    repeated = draft.axis is not None and sum(r.space + r.height for r in rows) > REPEAT_AXIS_BEYOND
    y = body_top = top + header_height + (TICK_SPACE + 4.0 if repeated else 0.0) + 2.0
    placed = [header]
    for row in rows:
        y += row.space if y > body_top else 0.0
        placed.append(replace(row, top=y))
        y += row.height
    axis_y = y + 5.0
    after = axis_y + TICK_SPACE + (depth + 3.0 if depth and not above else 0.0)
    if draft.axis is None:
        after = y + 4.0
    footnote_top = after + 6.0
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
    null = plot.left + share * (plot.right - plot.left)
    texts = [look.clean(words) for words in forest.scale.favours]
    edges = (plot.left, plot.right) if above else (MARGIN, width - MARGIN)
    if above:  # inside the plot, as other headings stand beside it
        middle = (plot.left + plot.right) / 2
        most = middle - plot.left - ARROW_SPACE - 5.0
        needs = [
            ARROW_SPACE + 5.0 + max(widest(text.split(" ")), min(text_width(text), most))
            for text in texts
        ]
        null = min(max(null, plot.left + needs[0]), plot.right - needs[1])
    placed = []
    for side, text, edge in zip((-1, 1), texts, edges, strict=True):
        if text:
            room = abs(null - edge) - ARROW_SPACE - 5.0
            half = abs(null - (plot.left if side < 0 else plot.right)) - ARROW_SPACE - 5.0
            wanted = min(room, max(half, widest(text.split(" "), BODY), 100.0))
            placed.append(Direction(wrap(text, wanted, BODY, most=3), null + side * 5.0, side))
    return tuple(placed)
