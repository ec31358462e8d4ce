"""Specification curve: every combination of choices, ordered by its estimate, above its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ketameta.errors import UsageError
from ketameta.figures import style
from ketameta.figures.axis import Axis, Scale, choose_range, make_axis
from ketameta.figures.frame import PlotLayout, PlotPoint
from ketameta.figures.marks import (
    Area,
    Cloud,
    Line,
    Mark,
    Text,
    block_height,
    centred_baseline,
    footnote_marks,
    rectangle,
    text_block,
    wrap_notes,
)
from ketameta.figures.numbers import ci_words, display, display_number, finite
from ketameta.figures.text import clean_text, text_width, widest, wrap_text
from ketameta.numberformat import format_count, plural

_TITLE = "All combinations of choices"
_CURVE_HEIGHT = 150.0
_ROW = 10.0
_GAP = 5.0
_TICK = 3.0
_LARGEST_DOT = 1.7
#: Side of the interval -> colour. Its place beside the line of no effect says the same, so that no
#: meaning hangs on colour alone.
_COLOURS = {-1: style.BLUE, 0: style.LIGHT, 1: style.VERMILLION}


@dataclass(frozen=True, slots=True)
class _Row:
    """One option: the choice it belongs to, its words, and the ranks that use it."""

    choice: str
    option: str
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Column:
    """One combination in displayed units."""

    estimate: float
    low: float | None
    high: float | None
    side: int
    is_main: bool


def lay_out_specification_curve(
    data: Mapping[str, Any], *, title: str | None = None, width: float = style.PAGE_WIDTH
) -> PlotLayout:
    """Lay out the estimates of all combinations of choices, and which options each one has.

    Parameters
    ----------
    data : mapping
        ``multiverse`` (``combinations``, ``choices``, ``main``), ``is_ratio`` (estimates are then
        logarithms), ``measure_label``, ``null`` (displayed units), ``favours``, ``level``,
        ``title``.
    title : str, optional
    width : float
        Of the page, in points.

    Returns
    -------
    PlotLayout
        Parts: ``null_line``, ``interval`` (coloured where it excludes no effect), ``estimate``,
        ``main`` and ``main_name``, ``band``, ``choice_name``, ``option_name``, ``option``.

    Raises
    ------
    UsageError
        If no combination has an estimate.
    """
    is_ratio = bool(data.get("is_ratio"))
    columns, rows, left_out = _read(data.get("multiverse") or {}, is_ratio)
    if not columns:
        raise UsageError("data['multiverse'] has no combination with an estimate")
    words = clean_text(str(data.get("measure_label") or "Effect"))
    level = ci_words(float(data.get("level") or 0.95))
    heading = clean_text(str(title if title is not None else data.get("title") or _TITLE))
    inner = width - 2 * style.MARGIN
    title_lines = wrap_text(heading, 0.97 * inner, style.TITLE_SIZE, bold=True)
    top = style.MARGIN + block_height(len(title_lines), style.TITLE_SIZE) + 8.0
    names = widest([row.option for row in rows], style.SMALL_SIZE) + 8.0
    left = style.MARGIN + min(max(names, 70.0), 0.4 * inner) + 8.0
    right = width - style.MARGIN - 4.0
    x = Axis("linear", 0.5, len(columns) + 0.5, left, right, (), ())
    null = finite(data.get("null"))
    y = _effect_axis(columns, is_ratio, null, words, top)
    marks: list[Mark] = list(
        text_block(
            "title", title_lines, style.MARGIN, style.MARGIN, size=style.TITLE_SIZE, bold=True
        )
    )
    marks += _curve(columns, x, y, null, left, right)
    below, bottom = _matrix(rows, x, top + _CURVE_HEIGHT + 8.0, right)
    marks += below
    favours = [str(word or "") for word in data.get("favours") or ("", "")]
    notes = [
        f"Each column is one combination of choices, ordered by its estimate; "
        f"lines: {level}, coloured where they exclude no effect. Blocks below: its options.",
        f"Below no effect: {favours[0]}; above: {favours[1]}." if all(favours) else "",
        f"{plural(left_out, 'combination')} with fewer than two trials left out."
        if left_out
        else "",
    ]
    told, foot = footnote_marks(wrap_notes(notes, inner), style.MARGIN, bottom + 8.0)
    marks += told
    points = tuple(
        PlotPoint(
            "main model" if column.is_main else "",
            float(rank),
            column.estimate,
            (x.position(rank), y.clipped_position(column.estimate)[0]),
            group=str(column.side),
        )
        for rank, column in enumerate(columns, start=1)
    )
    sentences = _sentences(heading, columns, is_ratio, words)
    return PlotLayout(
        "specification_curve",
        width,
        foot + style.MARGIN,
        heading,
        None,
        points,
        tuple(marks),
        sentences,
    )


def _read(found: Mapping[str, Any], is_ratio: bool) -> tuple[list[_Column], list[_Row], int]:
    """Return the combinations in order of their estimates, and the rows of their options."""
    table = found.get("combinations") or {}
    estimates = [display(value, is_ratio) for value in table.get("estimate") or ()]
    sizes = list(table.get("k") or ())
    usable = [i for i, value in enumerate(estimates) if value is not None and sizes[i] >= 2]
    order = sorted(usable, key=lambda i: (estimates[i], table["ci_low"][i] or 0.0, i))
    columns = [
        _Column(
            float(estimates[i] or 0.0),
            display(table["ci_low"][i], is_ratio),
            display(table["ci_high"][i], is_ratio),
            int(table["excludes"][i]),
            i == found.get("main"),
        )
        for i in order
    ]
    rows = []
    for choice in found.get("choices") or ():
        numbers = table["options"][choice["name"]]
        for number, option in enumerate(choice["options"]):
            ranks = [rank for rank, i in enumerate(order, start=1) if numbers[i] == number]
            rows.append(_Row(clean_text(choice["label"]), clean_text(str(option)), tuple(ranks)))
    return columns, rows, sum(size < 2 for size in sizes)


def _effect_axis(
    columns: Sequence[_Column], is_ratio: bool, null: float | None, words: str, top: float
) -> Axis:
    scale: Scale = "log" if is_ratio else "linear"
    bounds = [
        (column.low, column.high)
        for column in columns
        if column.low is not None and column.high is not None
    ]
    estimates = [column.estimate for column in columns]
    low, high = choose_range(scale, estimates, bounds, null=null)
    return make_axis(scale, low, high, top + _CURVE_HEIGHT, top, label=words, most=7, vertical=True)


def _curve(
    columns: Sequence[_Column], x: Axis, y: Axis, null: float | None, left: float, right: float
) -> list[Mark]:
    """Return axis, no effect, intervals and estimates."""
    marks: list[Mark] = [Line("axis", ((left, y.start), (left, y.stop)))]
    for place, label in zip(y.tick_positions, y.tick_labels, strict=True):
        marks.append(Line("tick", ((left - _TICK, place), (left, place))))
        baseline = centred_baseline(place, style.SMALL_SIZE)
        marks.append(
            Text("tick_label", left - _TICK - 1.5, baseline, label, style.SMALL_SIZE, "right")
        )
    # The widest tick label and the axis label share the room of the option names.
    lines = wrap_text(y.label, _CURVE_HEIGHT, style.SMALL_SIZE, most=2)
    edge = left - _TICK - 4.0 - widest(y.tick_labels, style.SMALL_SIZE)
    for index, line in enumerate(reversed(lines)):
        at = edge - 2.0 - index * style.LINE_SPACING * style.SMALL_SIZE
        middle = (y.start + y.stop) / 2
        marks.append(
            Text("axis_label", at, middle, line, style.SMALL_SIZE, "center", rotation=90.0)
        )
    if null is not None and y.holds(null):
        place = y.position(null)
        marks.append(Line("null_line", ((left, place), (right, place)), style.THIN, style.GREY))
    radius = min(_LARGEST_DOT, 0.45 * (right - left) / len(columns))
    for rank, column in enumerate(columns, start=1):
        at = x.position(rank)
        colour = _COLOURS[column.side]
        ends = [
            edge if value is None else y.clipped_position(value)[0]
            for value, edge in ((column.low, y.start), (column.high, y.stop))
        ]
        marks.append(
            Line("interval", ((at, ends[0]), (at, ends[1])), min(0.8, 1.2 * radius), colour)
        )
        if column.is_main:
            marks += _main_sign(at, y, left, right)
    for decided, fill in ((False, style.GREY), (True, style.INK)):
        places = tuple(
            (x.position(rank), y.clipped_position(column.estimate)[0])
            for rank, column in enumerate(columns, start=1)
            if (column.side != 0) == decided
        )
        if places:
            marks.append(Cloud("estimate", places, radius, fill))
    return marks


def _main_sign(at: float, y: Axis, left: float, right: float) -> list[Mark]:
    """Return a dotted line and a name where the main model stands."""
    text = "main model"
    half = text_width(text, style.SMALL_SIZE) / 2
    centre = min(max(at, left + half), right - half)
    return [
        Line("main", ((at, y.start), (at, y.stop)), style.THIN, style.INK, style.DOTTED),
        Text("main_name", centre, y.stop - 2.0, text, style.SMALL_SIZE, "center"),
    ]


def _matrix(rows: Sequence[_Row], x: Axis, top: float, right: float) -> tuple[list[Mark], float]:
    """Return the options below the curve, grouped by choice, and where they end."""
    marks: list[Mark] = []
    y, choice = top, ""
    step = (x.stop - x.start) / max(1.0, x.high - x.low)
    half = min(4.0, 0.42 * step)
    for row in rows:
        if row.choice != choice:
            y += _GAP if choice else 0.0
            choice = row.choice
            lines = wrap_text(choice, right - style.MARGIN, style.SMALL_SIZE, bold=True, most=2)
            marks.extend(text_block("choice_name", lines, style.MARGIN, y, bold=True))
            y += block_height(len(lines), style.SMALL_SIZE)
        band = rectangle(x.start, y + 0.8, right, y + _ROW - 0.8)
        marks.append(Area("band", band, fill=style.BAND))
        baseline = centred_baseline(y + _ROW / 2, style.SMALL_SIZE)
        marks.append(
            Text("option_name", x.start - 5.0, baseline, row.option, style.SMALL_SIZE, "right")
        )
        for first, last in _runs(row.ranks):
            ends = x.position(first) - half, x.position(last) + half
            box = rectangle(ends[0], y + 2.0, ends[1], y + _ROW - 2.0)
            marks.append(Area("option", box, fill=style.NAVY))
        y += _ROW
    return marks, y


def _runs(ranks: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of neighbouring ranks."""
    runs: list[tuple[int, int]] = []
    for rank in ranks:
        if runs and rank == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], rank)
        else:
            runs.append((rank, rank))
    return runs


def _sentences(
    title: str, columns: Sequence[_Column], is_ratio: bool, words: str
) -> tuple[str, ...]:
    def write(value: float) -> str:
        return display_number(value, 2, is_ratio=is_ratio)

    n = len(columns)
    decided = sum(column.side != 0 for column in columns)
    main = next((rank for rank, column in enumerate(columns, start=1) if column.is_main), None)
    text = [
        f"Specification curve: {title}.",
        f"{format_count(n)} combinations of choices; {words}.",
        f"Estimates from {write(columns[0].estimate)} to {write(columns[-1].estimate)}.",
        f"The interval excludes no effect in {format_count(decided)} of {format_count(n)}.",
    ]
    if main is not None:
        text.append(
            f"The main model, {write(columns[main - 1].estimate)}, is number {main} from below."
        )
    return tuple(text)
