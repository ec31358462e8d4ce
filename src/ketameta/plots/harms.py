"""Harms at a glance: risk ratio and people per 1,000, one row per harm; and people as dots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ketameta.errors import UsageError
from ketameta.formatting import format_count, format_percent, plural, trials_number, trials_words
from ketameta.plots import look
from ketameta.plots.frame import Pen, Row, centred, dress, intervals, null_line, table, titled
from ketameta.plots.look import BODY, LINE, MARGIN, SMALL
from ketameta.plots.scale import Axis, Estimate, Scale, choose_range, make_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Widths in points: names, trials and people, risk without, and the words beside a panel.
_NAME, _COUNT, _BASE, _WORDS = 120.0, 34.0, 50.0, 65.0
_GAP, _ROW, _HEAD, _FOOT = 8.0, 22.0, 28.0, 30.0
_SIDE = 4.8
RATIO = Scale("Risk ratio", is_ratio=True)


class Panel(NamedTuple):
    """Which number a panel shows: its scale and decimals, the words over it and beside it."""

    name: str
    scale: Scale
    digits: int
    over: tuple[str, str]
    beside: str

    def written(self, value: Estimate) -> tuple[str, str]:
        """Return the estimate and its interval as printed."""
        middle, *ends = (self.scale.write(x, self.digits) for x in value.shown(self.scale))
        return middle, "no interval" if None in (value.low, value.high) else " to ".join(ends)


PANELS = (
    Panel("ratio", RATIO, 2, ("Risk ratio", "(log scale)"), "Risk ratio"),
    Panel("difference", Scale("More people per 1,000"), 0, ("More people", "per 1,000"),
          "Per 1,000"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Harm:
    """One harm: log risk ratio, and difference and risk on control in people per 1,000."""

    label: str
    k: int = 0
    participants: float | None = None
    baseline: float | None = None
    ratio: Estimate | None = None
    difference: Estimate | None = None
    #: Whether the ratio was made of an odds ratio, and whether its interval is credible.
    converted: bool = False
    credible: bool = False
    #: How many of the k are reports that pool several trials.
    pools: int = 0
    empty: str = "no eligible trial"


@dataclass(frozen=True, slots=True)
class Harms:
    """Several harms of one treatment."""

    rows: tuple[Harm, ...]
    scale: Scale = field(default_factory=lambda: RATIO)
    title: str = "Harms"
    note: str = ""

    def __post_init__(self) -> None:
        if not self.rows:
            raise UsageError("rows is empty; a summary of harms needs at least one")

    @property
    def interval(self) -> str:
        """What the lines are; a trial alone has its own."""
        return self.scale.kind_words([False, *(row.credible for row in self.rows)])

    def describe(self) -> str:
        """Return the table in sentences, in numbers."""
        sentences = [f"Summary of harms: {self.title}.", f"{plural(len(self.rows), 'harm')}."]
        for row in self.rows:
            if row.ratio is None:
                continue
            estimate, limits = PANELS[0].written(row.ratio)
            words = f"{row.label}: {trials_words(row.k, row.pools)}, risk ratio {estimate}"
            words += f" ({self.scale.kind_words([row.credible])} {limits}"
            words += ", made of an odds ratio at the risk on control)" if row.converted else ")"
            if row.difference is not None:
                more, span = PANELS[1].written(row.difference)
                words += f", {more} more per 1,000 ({span})"
            sentences.append(f"{words}.")
        for empty in dict.fromkeys(row.empty for row in self.rows if row.k == 0):
            none = [row.label.lower() for row in self.rows if row.k == 0 and row.empty == empty]
            sentences.append(f"{empty.capitalize()}: {', '.join(none)}.")
        return " ".join(sentences)


def axis_of(data: Harms, panel: Panel, room: float) -> Axis:
    """Return the axis of a panel."""
    values = [getattr(row, panel.name) for row in data.rows]
    shown = [value.shown(panel.scale) for value in values if value is not None]
    ends = choose_range(
        panel.scale, [x for x, *_ in shown], [(low, high) for _, low, high in shown]
    )
    return make_axis(*ends, log=panel.scale.is_ratio, room=room, most=5)


@look.themed
def plot(data: Harms, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw risk ratio and risk difference in two panels that share rows; return the axes.

    Returns
    -------
    Axes
        Of the whole table, in points; its ``child_axes`` are the two panels in effect units.
        Parts: ``harm_name``, ``count``, ``baseline``, ``ratio_marker``, ``ratio_interval``,
        ``ratio_words``, the same with ``difference``, ``null_line``, ``clip_arrow``, ``empty``.
    """
    rows = data.rows
    width = look.PAGE_WIDTH
    bottom = _HEAD + _ROW * len(rows)
    pen = table(titled(data, title), ax, width, bottom + _FOOT, [_legend(data), data.note])
    for index in range(0, len(rows), 2):
        top = _HEAD + index * _ROW
        pen.box("row_band", MARGIN, top, width - MARGIN, top + _ROW, look.BAND)
    left = MARGIN + _NAME + _COUNT + _BASE + _GAP
    room = (width - MARGIN - left - 2 * _WORDS - 3 * _GAP) / 2
    interval = data.interval
    heads = [
        (MARGIN + 2.0, "left", ("Harm", "")),
        (MARGIN + _NAME + _COUNT, "right", ("Trials", "People")),
        (MARGIN + _NAME + _COUNT + _BASE, "right", ("On control", "per 1,000")),
    ]
    starts = (left, left + room + _WORDS + 2 * _GAP)
    for panel, start in zip(PANELS, starts, strict=True):
        edge = start + room + _GAP + _WORDS - 2.0
        heads.append((start + room / 2, "center", panel.over))
        heads.append((edge, "right", (panel.beside, interval)))
    for x, align, lines in heads:
        pen.paragraph("head", x, 8.0 - 0.8 * BODY, lines, align=align, bold=True)
    y = _HEAD - 3.0
    pen.line("head_rule", [(MARGIN, y), (width - MARGIN, y)], width=look.MEDIUM)
    for index, row in enumerate(rows):
        _cells(pen, row, _HEAD + (index + 0.5) * _ROW)
    for panel, start in zip(PANELS, starts, strict=True):
        _panel(pen, data, panel, start, room, bottom)
    return pen.ax


def _cells(pen: Pen, row: Harm, middle: float) -> None:
    lines = look.wrap(look.clean(row.label), _NAME - 4.0, BODY, most=2)
    pen.block("harm_name", MARGIN + 2.0, middle, lines)
    if row.k == 0:
        return
    people = format_count(row.participants) if row.participants else "not printed"
    _two_lines(
        pen, "count", MARGIN + _NAME + _COUNT, middle, (trials_number(row.k, row.pools), people)
    )
    if row.baseline is not None:
        x = MARGIN + _NAME + _COUNT + _BASE
        pen.text("baseline", x, centred(middle, BODY), f"{row.baseline:.0f}", align="right")


def _two_lines(pen: Pen, part: str, x: float, middle: float, lines: tuple[str, str]) -> None:
    """Write a value and, in grey, what belongs to it."""
    pen.text(part, x, middle - 1.6, lines[0], align="right")
    pen.text(part, x, middle + 7.6, lines[1], SMALL, align="right", colour=look.GREY)


def _panel(pen: Pen, data: Harms, panel: Panel, start: float, room: float, bottom: float) -> None:
    """Draw one panel as axes in effect units, and the words beside it."""
    name, scale, axis = panel.name, panel.scale, axis_of(data, panel, room)
    high, width = bottom + _FOOT, look.PAGE_WIDTH
    ax = pen.ax.inset_axes((start / width, _FOOT / high, room / width, (bottom - _HEAD) / high))
    dress(ax, axis, Axis(_HEAD, bottom, reverse=True), labelsize=pen.scale * SMALL)
    null_line(ax, scale.no_effect, axis, "x")
    rows: list[Row] = []
    for index, row in enumerate(data.rows):
        middle = _HEAD + (index + 0.5) * _ROW
        value: Estimate | None = getattr(row, name)
        x = start + room + _GAP + _WORDS - 2.0
        if value is None:
            words = look.wrap("not estimated" if row.k else row.empty, _WORDS + 20.0, SMALL)
            pen.block("empty", x, middle, words, SMALL, align="right", italic=True,
                      colour=look.GREY)  # fmt: skip
            continue
        rows.append((middle, *value.shown(scale)))
        shown = rows[-1][1] or 0.0
        if axis.side(shown) == 0:
            fill = look.BLUE if row.k > 1 else look.PAPER
            ax.plot([shown], [middle], marker="s", ms=_SIDE, mec=look.NAVY, mew=0.8, zorder=3,
                    color=fill, gid=f"{name}_marker")  # fmt: skip
        estimate, limits = panel.written(value)
        mark = "*" if row.converted and name == "ratio" else ""
        _two_lines(pen, f"{name}_words", x, middle, (estimate + mark, limits))
    intervals(ax, "x", axis, rows, part=f"{name}_interval", width=1.1)
    if all(data.scale.favours):
        null = start + axis.share(scale.no_effect) * room
        y = bottom + 22.0
        pen.text("side", null - 4.0, y, "← fewer", SMALL, align="right")
        pen.text("side", null + 4.0, y, "more →", SMALL)


def _legend(data: Harms) -> str:
    words = f"Square: pooled estimate; line: {data.interval}; arrow: the interval goes on."
    if any(row.k == 1 for row in data.rows):
        words += " Open square: one trial, as it is."
    if any(row.pools for row in data.rows):
        words += " After +: pooled reports of several trials, which are no trials."
    if any(row.converted for row in data.rows):
        words += " *: the model gives an odds ratio; shown is the risk ratio it makes of the risk"
        words += " on control."
    if any(row.credible for row in data.rows):
        words += " Intervals are credible intervals where a Bayesian model leads."
    words += " On control: events over people of all control arms. More people per 1,000: what the"
    words += " ratio makes of the risk on control."
    return words


# --- people as dots -------------------------------------------------------------------------------

#: People whose dots stand in one row, and the distance between dots in points.
IN_ROW, _PITCH, _DOT = 40, 3.3, 2.6
_BETWEEN = 22.0
_FILLS = {"people": look.RULE, "with_event": look.NAVY, "more_with_event": look.VERMILLION,
          "fewer_with_event": look.SKY}  # fmt: skip


@dataclass(frozen=True, slots=True)
class People:
    """One group: how many of ``Icons.of`` people have the event, and its interval."""

    label: str
    events: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Icons:
    """An event in two groups of people.

    Attributes
    ----------
    event : str
        What happens, as after "people with": ``an event``.
    control, treatment : People
        Without and with the treatment.
    of : int
        People in each group.
    title, note : str
    level : float
        Of the intervals.
    """

    event: str
    control: People
    treatment: People
    of: int = 1000
    title: str = ""
    note: str = ""
    level: float = 0.95

    def __post_init__(self) -> None:
        for name in ("control", "treatment"):
            group: People = getattr(self, name)
            for what in ("events", "low", "high"):
                value = getattr(group, what)
                if value is not None and not 0 <= value <= self.of:
                    raise UsageError(
                        f"{name}: {what} is {value:g}; of {format_count(self.of)} people between 0"
                        f" and {format_count(self.of)} can have an event"
                    )

    @property
    def groups(self) -> tuple[People, People]:
        """Without the treatment first."""
        return self.control, self.treatment

    def runs(self, index: int, in_row: int) -> list[tuple[str, int, int, int]]:
        """Return which people of a group look alike: part, row, first place in it, and how many."""
        base, more = (round(group.events) for group in self.groups)
        own, changed = (more, "more" if more > base else "fewer") if index else (base, "")
        parts = (
            ("people", max(base, own), self.of),
            ("with_event", 0, min(base, own)),
            (f"{changed}_with_event", min(base, own), max(base, own) if index else 0),
        )
        return [
            (part, row, start - row * in_row, min(last, (row + 1) * in_row) - start)
            for part, first, last in parts
            for row in range(first // in_row, math.ceil(last / in_row))
            if (start := max(first, row * in_row)) < last
        ]

    def counted(self, group: People) -> str:
        """Return ``110 of 1,000`` with the interval, where there is one."""
        words = f"{_whole(group.events)} of {format_count(self.of)}"
        if group.low is None or group.high is None:
            return words
        return f"{words} ({_whole(group.low)} to {_whole(group.high)})"

    @property
    def difference(self) -> str:
        """``51 more``, ``3 fewer`` or ``no more and no fewer``."""
        more = round(self.treatment.events) - round(self.control.events)
        if not more:
            return "no more and no fewer"
        return f"{format_count(abs(more))} {'more' if more > 0 else 'fewer'}"

    def describe(self) -> str:
        """Return the picture in sentences, in numbers."""
        named = f": {self.title}" if self.title else ""
        groups = "; ".join(f"{group.label}: {self.counted(group)}" for group in self.groups)
        return (
            f"People as dots{named}. Of {format_count(self.of)} people, those with {self.event}:"
            f" {groups}. With the treatment {self.difference}."
        )


def _whole(value: float) -> str:
    return "fewer than 1" if 0 < value < 0.5 else format_count(round(value))


@look.themed
def icons(data: Icons, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw two groups of people as dots, those with the event filled, and return the axes.

    Returns
    -------
    Axes
        In points. Parts: ``group_name``, ``group_count``, ``people`` (all of them), ``with_event``
        (as many as without the treatment), ``more_with_event`` (with the treatment alone),
        ``fewer_with_event`` (spared by it), ``key``.

    Notes
    -----
    A row of dots is one line of dashes without length and with round ends, so that a thousand
    people weigh little in a page.
    """
    row = _PITCH * IN_ROW
    deep = _PITCH * math.ceil(data.of / IN_ROW)
    width = 2 * row + _BETWEEN + 2 * MARGIN
    names = [look.wrap(look.clean(group.label), row, BODY, bold=True) for group in data.groups]
    counts = [look.wrap(data.counted(group), row, BODY) for group in data.groups]
    lines = max(map(len, names)) + max(map(len, counts))
    top = lines * LINE * BODY + 5.0
    base, more = round(data.control.events), round(data.treatment.events)
    keys = [(look.NAVY, f"with {data.event}")]
    if more != base:
        change = "more" if more > base else "fewer"
        keys.append((_FILLS[f"{change}_with_event"], f"{change} with the treatment"))
    keys.append((look.RULE, f"without {data.event}"))
    keyed = [look.wrap(look.clean(words), width - 2 * MARGIN - 10.0, SMALL) for _, words in keys]
    high = top + deep + 6.0 + sum(map(len, keyed)) * LINE * SMALL
    ends = f"In brackets: {format_percent(data.level)} interval." if "(" in "".join(
        data.counted(group) for group in data.groups) else ""  # fmt: skip
    notes = [f"One dot: one person of {format_count(data.of)}. {ends}", data.note]
    pen = table(titled(data, title), ax, width, high, notes)
    for index, (name, count) in enumerate(zip(names, counts, strict=True)):
        left = MARGIN + index * (row + _BETWEEN)
        y = pen.paragraph("group_name", left, 0.0, name, bold=True)
        pen.paragraph("group_count", left, y, count)
        for part, *run in data.runs(index, IN_ROW):
            _dots(pen, part, left, top, run)
    y = top + deep + 6.0
    for (fill, _), words in zip(keys, keyed, strict=True):
        _dots(pen, "key_mark", MARGIN, y + 0.5 * SMALL - _PITCH / 2, (0, 0, 1), fill)
        y = pen.paragraph("key", MARGIN + 10.0, y, words, SMALL)
    return pen.ax


def _dots(pen: Pen, part: str, left: float, top: float, run: Sequence[int], fill: str = "") -> None:
    """Draw people beside each other: dashes without length, a pitch apart."""
    row, first, count = run
    y = top + (row + 0.5) * _PITCH
    ends = [(left + (x + 0.5) * _PITCH, y) for x in (first, first + count - 1 + 0.05)]
    pen.line(part, ends, width=_DOT, colour=fill or _FILLS[part], dash=(0, (0.01, _PITCH - 0.01)),
             round_ends=True)  # fmt: skip
