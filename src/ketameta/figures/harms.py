"""Harms at a glance: risk ratio and people per 1,000 side by side, one row per harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ketameta.errors import UsageError
from ketameta.figures import style
from ketameta.figures.axis import Axis, Scale, choose_range, make_axis
from ketameta.figures.frame import PlotLayout, PlotPoint
from ketameta.figures.marks import (
    Align,
    Area,
    Line,
    Mark,
    Text,
    arrow_head,
    block_height,
    centred_baseline,
    footnote_marks,
    rectangle,
    square,
    text_block,
    wrap_notes,
)
from ketameta.figures.numbers import ci_words, display, display_number, finite
from ketameta.figures.text import clean_text, wrap_text
from ketameta.numberformat import format_count, plural

#: Widths in points: names, trials and people, risk without, and the words beside a panel.
_NAME, _COUNT, _BASE, _WORDS = 104.0, 34.0, 48.0, 62.0
_GAP = 8.0
_ROW = 22.0
_HEAD = 26.0
_SIDE = 4.6
_PANELS = ("ratio", "difference")


@dataclass(frozen=True, slots=True)
class _Value:
    """An estimate with its interval in displayed units."""

    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    k: int
    people: float | None
    baseline: float | None
    ratio: _Value | None
    difference: _Value | None


def lay_out_harms(
    data: Mapping[str, Any], *, title: str | None = None, width: float = style.PAGE_WIDTH
) -> PlotLayout:
    """Lay out risk ratio and risk difference of several harms in two panels that share rows.

    Parameters
    ----------
    data : mapping
        ``rows`` (each ``label, k, participants, baseline`` in people per 1,000, and ``ratio`` and
        ``difference`` with ``estimate, ci_low, ci_high``: logarithms, and people per 1,000; either
        may be None), ``favours``, ``level``, ``title``, ``note``.
    title : str, optional
    width : float
        Of the page, in points.

    Returns
    -------
    PlotLayout
        Parts: ``harm_name``, ``count``, ``baseline``, ``ratio_marker``, ``ratio_interval``,
        ``ratio_words``, the same with ``difference``, ``null_line``, ``clip_arrow``, ``empty``.

    Raises
    ------
    UsageError
        If there are no rows.
    """
    rows = [_row(item) for item in data.get("rows") or ()]
    if not rows:
        raise UsageError("data['rows'] is empty; a summary of harms needs at least one")
    words = clean_text(str(title if title is not None else data.get("title") or "Harms"))
    inner = width - 2 * style.MARGIN
    title_lines = wrap_text(words, 0.97 * inner, style.TITLE_SIZE, bold=True)
    top = style.MARGIN + block_height(len(title_lines), style.TITLE_SIZE) + 8.0
    first = top + _HEAD
    bottom = first + _ROW * len(rows)
    axes = _axes(rows, width)
    marks: list[Mark] = list(
        text_block(
            "title", title_lines, style.MARGIN, style.MARGIN, size=style.TITLE_SIZE, bold=True
        )
    )
    interval = ci_words(float(data.get("level") or 0.95))
    marks.extend(_bands(rows, first, width))
    marks.extend(_heads(axes, top, interval, width))
    favours = [str(word or "") for word in data.get("favours") or ("", "")]
    for panel in _PANELS:
        marks.extend(_axis_marks(axes[panel], first, bottom, favours))
    points: list[PlotPoint] = []
    for index, row in enumerate(rows):
        middle = first + (index + 0.5) * _ROW
        marks.extend(_cells(row, middle))
        for panel in _PANELS:
            made, point = _panel(row, panel, axes[panel], middle)
            marks.extend(made)
            points.extend(point)
    y = bottom + 36.0
    notes = wrap_notes((_legend(rows, interval), str(data.get("note") or "")), inner)
    foot, y = footnote_marks(notes, style.MARGIN, y)
    marks.extend(foot)
    return PlotLayout(
        "harms",
        width,
        y + style.MARGIN,
        words,
        None,
        tuple(points),
        tuple(marks),
        tuple(_sentences(words, rows, interval)),
    )


def _row(item: Mapping[str, Any]) -> _Row:
    return _Row(
        clean_text(str(item.get("label") or "")),
        int(finite(item.get("k")) or 0),
        finite(item.get("participants")),
        finite(item.get("baseline")),
        _value(item.get("ratio"), True),
        _value(item.get("difference"), False),
    )


def _value(item: Mapping[str, Any] | None, is_ratio: bool) -> _Value | None:
    estimate = display(item.get("estimate"), is_ratio) if item else None
    if item is None or estimate is None:
        return None
    return _Value(
        estimate, display(item.get("ci_low"), is_ratio), display(item.get("ci_high"), is_ratio)
    )


def _axes(rows: Sequence[_Row], width: float) -> dict[str, Axis]:
    """Return the axis of each panel; both get half of the room that words leave."""
    left = style.MARGIN + _NAME + _COUNT + _BASE + _GAP
    panel = (width - style.MARGIN - left - 2 * _WORDS - 3 * _GAP) / 2
    axes = {}
    for place, name in enumerate(_PANELS):
        start = left + place * (panel + _WORDS + 2 * _GAP)
        scale: Scale = "log" if name == "ratio" else "linear"
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        low, high = choose_range(
            scale,
            [value.estimate for value in values],
            [
                (value.low, value.high)
                for value in values
                if value.low is not None and value.high is not None
            ],
            null=1.0 if name == "ratio" else 0.0,
        )
        axes[name] = make_axis(scale, low, high, start, start + panel, most=5)
    return axes


def _bands(rows: Sequence[_Row], first: float, width: float) -> list[Mark]:
    return [
        Area(
            "row_band",
            rectangle(
                style.MARGIN,
                first + index * _ROW,
                width - style.MARGIN,
                first + (index + 1) * _ROW,
            ),
            fill=style.BAND,
        )
        for index in range(0, len(rows), 2)
    ]


def _heads(axes: Mapping[str, Axis], top: float, interval: str, width: float) -> list[Mark]:
    heads: list[tuple[float, Align, tuple[str, str]]] = [
        (style.MARGIN + 2.0, "left", ("Harm", "")),
        (style.MARGIN + _NAME + _COUNT, "right", ("Trials", "People")),
        (style.MARGIN + _NAME + _COUNT + _BASE, "right", ("On control", "per 1,000")),
        (_middle(axes["ratio"]), "center", ("Risk ratio", "(log scale)")),
        (_words_at(axes["ratio"]), "right", ("Risk ratio", interval)),
        (_middle(axes["difference"]), "center", ("More people", "per 1,000")),
        (_words_at(axes["difference"]), "right", ("Per 1,000", interval)),
    ]
    marks: list[Mark] = []
    for x, align, lines in heads:
        marks.extend(
            text_block("head", lines, x, top, size=style.BODY_SIZE, align=align, bold=True)
        )
    y = top + _HEAD - 4.0
    marks.append(Line("head_rule", ((style.MARGIN, y), (width - style.MARGIN, y)), style.MEDIUM))
    return marks


def _middle(axis: Axis) -> float:
    return (axis.start + axis.stop) / 2


def _words_at(axis: Axis) -> float:
    """Return the right edge of the words beside a panel."""
    return axis.stop + _GAP + _WORDS - 2.0


def _cells(row: _Row, middle: float) -> list[Mark]:
    lines = wrap_text(row.label, _NAME - 4.0, style.BODY_SIZE, most=2)
    height = block_height(len(lines), style.BODY_SIZE)
    marks: list[Mark] = list(
        text_block(
            "harm_name", lines, style.MARGIN + 2.0, middle - height / 2, size=style.BODY_SIZE
        )
    )
    if row.k == 0:
        return marks
    count = (f"{row.k}", format_count(row.people) if row.people else "not printed")
    marks.extend(_two_lines("count", style.MARGIN + _NAME + _COUNT, middle, count))
    if row.baseline is not None:
        x = style.MARGIN + _NAME + _COUNT + _BASE
        baseline = centred_baseline(middle, style.BODY_SIZE)
        marks.append(Text("baseline", x, baseline, f"{row.baseline:.0f}", align="right"))
    return marks


def _two_lines(part: str, x: float, middle: float, lines: tuple[str, str]) -> list[Mark]:
    """Return a value and, smaller, what belongs to it."""
    return [
        Text(part, x, middle - 1.6, lines[0], style.BODY_SIZE, "right"),
        Text(part, x, middle + 7.0, lines[1], style.SMALL_SIZE, "right", colour=style.GREY),
    ]


def _panel(row: _Row, panel: str, axis: Axis, middle: float) -> tuple[list[Mark], list[PlotPoint]]:
    """Return interval, marker and words of one harm in one panel."""
    value: _Value | None = getattr(row, panel)
    if value is None:
        text = "no eligible trial" if row.k == 0 else "not estimated"
        baseline = centred_baseline(middle, style.SMALL_SIZE)
        return [
            Text("empty", _words_at(axis), baseline, text, style.SMALL_SIZE, "right", italic=True,
                 colour=style.GREY)
        ], []  # fmt: skip
    marks: list[Mark] = []
    x = axis.clipped_position(value.estimate)[0]
    if value.low is not None and value.high is not None:
        (left, below), (right, above) = map(axis.clipped_position, (value.low, value.high))
        marks.append(Line(f"{panel}_interval", ((left, middle), (right, middle)), 1.1))
        if below:
            head = arrow_head(left - 1.0, middle, direction=-1, size=4.2)
            marks.append(Area("clip_arrow", head, style.INK))
        if above:
            head = arrow_head(right + 1.0, middle, direction=1, size=4.2)
            marks.append(Area("clip_arrow", head, style.INK))
    fill = style.BLUE if row.k > 1 else style.PAPER
    marks.append(Area(f"{panel}_marker", square(x, middle, _SIDE), fill, style.NAVY, 0.8))
    estimate, interval = _written(value, panel)
    marks.extend(_two_lines(f"{panel}_words", _words_at(axis), middle, (estimate, interval)))
    return marks, [PlotPoint(row.label, value.estimate, middle, (x, middle), _SIDE**2, panel)]


def _written(value: _Value, panel: str) -> tuple[str, str]:
    is_ratio = panel == "ratio"
    digits = 2 if is_ratio else 0

    def write(number: float | None) -> str:
        return display_number(number, digits, is_ratio=is_ratio)

    if value.low is None or value.high is None:
        return write(value.estimate), "no interval"
    return write(value.estimate), f"{write(value.low)} to {write(value.high)}"


def _axis_marks(axis: Axis, first: float, bottom: float, favours: Sequence[str]) -> list[Mark]:
    null = axis.position(1.0 if axis.scale == "log" else 0.0)
    marks: list[Mark] = [
        Line("null_line", ((null, first), (null, bottom)), colour=style.GREY),
        Line("axis", ((axis.start, bottom), (axis.stop, bottom))),
    ]
    for x, label in zip(axis.tick_positions, axis.tick_labels, strict=True):
        marks.append(Line("tick", ((x, bottom), (x, bottom + 3.0))))
        marks.append(Text("tick_label", x, bottom + 10.2, label, style.SMALL_SIZE, "center"))
    less, more = ("fewer", "more") if favours[0] and favours[1] else ("", "")
    y = bottom + 20.0
    if less:
        marks.append(Text("side", null - 4.0, y, f"\u2190 {less}", style.SMALL_SIZE, "right"))
        marks.append(Text("side", null + 4.0, y, f"{more} \u2192", style.SMALL_SIZE))
    return marks


def _legend(rows: Sequence[_Row], interval: str) -> str:
    words = f"Square: pooled estimate; line: {interval}; arrow: the interval goes on."
    if any(row.k == 1 for row in rows):
        words += " Open square: one trial, as it is."
    words += " On control: events over people of all control arms. More people per 1,000: pooled"
    words += " risk difference."
    beyond = [row for row in rows if _is_beyond(row)]
    if beyond:
        words += (
            " An interval that falls below minus the risk on control goes beyond what is possible:"
            " a sign of few events or trials."
        )
    return words


def _is_beyond(row: _Row) -> bool:
    """Whether the interval allows fewer people than have the harm on control."""
    if row.difference is None or row.difference.low is None or row.baseline is None:
        return False
    return row.difference.low < -row.baseline


def _sentences(title: str, rows: Sequence[_Row], interval: str) -> list[str]:
    found = [row for row in rows if row.ratio is not None]
    sentences = [f"Summary of harms: {title}.", f"{plural(len(rows), 'harm')}."]
    for row in found:
        if row.ratio is None:
            continue
        estimate, limits = _written(row.ratio, "ratio")
        words = (
            f"{row.label}: {plural(row.k, 'trial')}, risk ratio {estimate} ({interval} {limits})"
        )
        if row.difference is not None:
            more, span = _written(row.difference, "difference")
            words += f", {more} more per 1,000 ({span})"
        sentences.append(f"{words}.")
    none = [row.label.lower() for row in rows if row.k == 0]
    if none:
        sentences.append(f"No eligible trial: {', '.join(none)}.")
    return sentences
