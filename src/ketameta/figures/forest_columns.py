"""Finds the columns of a forest plot and where each begins, from the widths of what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ketameta.figures import style
from ketameta.figures.forest_rows import ForestContent, RowContent
from ketameta.figures.marks import Align
from ketameta.figures.numbers import ci_words
from ketameta.figures.text import text_width, widest, wrap_text

GAP = 7.0
#: Extra room beside the plot, for the arrowheads of cut intervals.
PLOT_GAP = 3.5
INDENT = 6.0
#: The plot itself is never narrower than this; label columns give way first, then the page grows.
PLOT_COMFORTABLE = 120.0
PLOT_LEAST = 98.0
#: A plot wider than this gives some of its room to the columns on its left, up to this width.
PLOT_AMPLE = 200.0
BLOCK_WANTED = 205.0
LABEL_MOST = 150.0
LABEL_LEAST = 72.0
#: Widest room that the name of an arm may claim over its columns.
SPANNER_MOST = 72.0
COMPARISON_MOST = 104.0
RISK_PITCH = 10.4
RISK_RADIUS = 4.1

#: Rows written in bold.
BOLD_KINDS = frozenset({"subgroup_header", "subgroup_pool", "overall"})

#: Words of the effect column where the full label would be too long.
SHORT_LABELS = {
    "SMD": "SMD",
    "MD": "Mean difference",
    "ROM": "Ratio of means",
    "OR": "Odds ratio",
    "RR": "Risk ratio",
    "HR": "Hazard ratio",
    "RD": "Risk difference",
    "SMCR": "SMC",
}


@dataclass(frozen=True, slots=True)
class ForestColumn:
    """One column on the page.

    Attributes
    ----------
    name : str
        ``study``, ``comparison``, ``mean_treatment``, ``treatment``, ``mean_control``,
        ``control``, ``plot``, ``effect``, ``weight``, ``risk_of_bias``.
    header : tuple of str
        Lines above the column.
    left, right : float
        Edges in points.
    anchors : tuple of (float, str)
        Where each piece of a cell is put, and how it is aligned there.
    """

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
class _Spec:
    name: str
    header: tuple[str, ...]
    aligns: tuple[Align, ...]
    piece_widths: tuple[float, ...]
    gaps: tuple[float, ...] = ()
    spanner: str = ""
    arm: str = ""
    least: float = 0.0

    @property
    def content_width(self) -> float:
        return sum(self.piece_widths) + sum(self.gaps)

    @property
    def width(self) -> float:
        header = widest(self.header, style.BODY_SIZE, bold=True)
        return max(self.content_width, header, self.least)


def place_columns(
    content: ForestContent, *, width: float, level: float, measure: str, plot_header: str
) -> tuple[float, tuple[ForestColumn, ...], tuple[Spanner, ...]]:
    """Return the page width, the columns from left to right, and the headings above them.

    Parameters
    ----------
    content : ForestContent
    width : float
        Wanted page width in points; the page grows only when the plot would otherwise be
        narrower than ``PLOT_LEAST``.
    level : float
        Of the intervals, for the heading of the effect column.
    measure : str
        Code of the effect measure.
    plot_header : str
        Words above the plot itself.
    """
    rows = content.rows
    before = _arm_specs(content)
    after = _result_specs(rows, measure, level)
    before = [_widened(spec, before) for spec in before]
    risk = RISK_PITCH * len(content.domains)
    fixed = sum(spec.width + GAP for spec in [*before, *after]) + (risk + GAP if risk else 0.0)
    label = min(max(_label_width(rows), LABEL_LEAST), LABEL_MOST)
    comparisons = [row.cells["comparison"][0] for row in rows if "comparison" in row.cells]
    comparison = comparison_least = 0.0
    if comparisons:
        words = [word for text in comparisons for word in text.split(" ")]
        title = text_width(content.comparison_header, style.BODY_SIZE, bold=True)
        comparison = max(min(widest(comparisons, style.BODY_SIZE), COMPARISON_MOST), title)
        comparison_least = min(max(widest(words, style.BODY_SIZE), title), COMPARISON_MOST)
        fixed += GAP
    room = width - 2 * style.MARGIN - fixed - GAP - 2 * PLOT_GAP
    short = PLOT_COMFORTABLE - (room - label - comparison)
    if short > 0 and comparisons:
        given = min(short, comparison - comparison_least)
        comparison, short = comparison - given, short - given
    if short > 0:
        given = min(short, label - LABEL_LEAST)
        label -= given
    plot = room - label - comparison
    if plot > PLOT_AMPLE:  # room for the words under the trials
        beside = sum(spec.width + GAP for spec in before) + (comparison + GAP if comparisons else 0)
        given = min(plot - PLOT_AMPLE, max(0.0, BLOCK_WANTED - label - beside))
        label, plot = label + given, plot - given
    if plot < PLOT_LEAST:
        width += PLOT_LEAST - plot
        plot = PLOT_LEAST

    columns: list[ForestColumn] = []
    x = style.MARGIN
    columns.append(ForestColumn("study", (content.study_header,), x, x + label, ((x, "left"),)))
    x += label + GAP
    if comparisons:
        columns.append(
            ForestColumn(
                "comparison", (content.comparison_header,), x, x + comparison, ((x, "left"),)
            )
        )
        x += comparison + GAP
    for spec in before:
        columns.append(_placed(spec, x))
        x += spec.width + GAP
    x += PLOT_GAP
    header = wrap_text(plot_header, plot, style.BODY_SIZE, bold=True, most=3)
    columns.append(ForestColumn("plot", header, x, x + plot))
    x += plot + GAP + PLOT_GAP
    for spec in after:
        columns.append(_placed(spec, x))
        x += spec.width + GAP
    if risk:
        anchors: tuple[tuple[float, Align], ...] = tuple(
            (x + (index + 0.5) * RISK_PITCH, "center") for index in range(len(content.domains))
        )
        columns.append(ForestColumn("risk_of_bias", (), x, x + risk, anchors))
    return width, tuple(columns), _spanners(columns, before)


def column_named(columns: Sequence[ForestColumn], name: str) -> ForestColumn:
    """Return the column called ``name``, which every forest plot has."""
    return next(column for column in columns if column.name == name)


def risk_letters(count: int) -> tuple[str, ...]:
    """Return the letters over the risk-of-bias circles: A, B, C, ..."""
    return tuple(chr(ord("A") + index % 26) for index in range(count))


def _label_width(rows: Sequence[RowContent]) -> float:
    """Return the width of the widest label; pool labels may run on into a comparison column."""
    titled = any(row.kind == "subgroup_header" for row in rows)
    compared = any("comparison" in row.cells for row in rows)
    widths = [0.0]
    for row in rows:
        if row.kind == "study" or (row.kind in ("subgroup_pool", "overall") and not compared):
            indent = INDENT if titled and row.kind != "overall" else 0.0
            bold = row.kind in BOLD_KINDS
            width = text_width(row.label, style.BODY_SIZE, bold=bold)
            widths.append(indent + label_extras(row) + width)
    return max(widths) + 1.0


def label_extras(row: RowContent) -> float:
    """Return the width that the tag and the footnote letter take beside a label."""
    extra = 0.0
    if row.marker:
        extra += 1.0 + text_width(row.marker, 0.75 * style.BODY_SIZE)
    if row.tag:
        extra += 4.0 + text_width(row.tag, style.SMALL_SIZE)
    return extra


def _pieces(rows: Sequence[RowContent], name: str, count: int) -> tuple[float, ...]:
    widths = [0.0] * count
    for row in rows:
        cell = row.cells.get(name, ())
        if len(cell) != count:
            continue
        bold = row.kind in BOLD_KINDS
        for index, piece in enumerate(cell):
            widths[index] = max(widths[index], text_width(piece, style.BODY_SIZE, bold=bold))
    return tuple(widths)


def _arm_specs(content: ForestContent) -> list[_Spec]:
    specs: list[_Spec] = []
    for arm, name in zip(("treatment", "control"), content.arm_names, strict=True):
        counts = [row.cells[arm] for row in content.rows if arm in row.cells]
        if not any(piece[0] not in ("", "–") for piece in counts):
            continue
        if content.has_means:
            key = f"mean_{arm}"
            widths = _pieces(content.rows, key, 2)
            specs.append(_Spec(key, ("mean (SD)",), ("right", "right"), widths, (2.5,), name, arm))
        if content.has_events:
            widths = _pieces(content.rows, arm, 2)
            specs.append(_Spec(arm, ("events/n",), ("right", "left"), widths, (0.0,), name, arm))
        else:
            widths = _pieces(content.rows, arm, 1)
            specs.append(_Spec(arm, ("n",), ("right",), widths, (), name, arm))
    return specs


def _widened(spec: _Spec, specs: Sequence[_Spec]) -> _Spec:
    """Give the columns under an arm's name enough room for the name on at most two lines."""
    group = [other for other in specs if other.arm == spec.arm]
    total = sum(other.width for other in group) + GAP * (len(group) - 1)
    longest_word = widest(spec.spanner.split(" "), style.BODY_SIZE, bold=True)
    wanted = max(total, min(longest_word, SPANNER_MOST))
    while (
        wanted < SPANNER_MOST
        and len(wrap_text(spec.spanner, wanted, style.BODY_SIZE, bold=True)) > 2
    ):
        wanted += 1.0
    return replace(spec, least=spec.width + (wanted - total) / len(group))


def _result_specs(rows: Sequence[RowContent], measure: str, level: float) -> list[_Spec]:
    heading = (SHORT_LABELS.get(measure, "Effect"), f"[{ci_words(level)}]")
    specs = [
        _Spec(
            "effect",
            heading,
            ("right", "right", "right"),
            _pieces(rows, "effect", 3),
            (3.0, 3.2),
        )
    ]
    if any(row.weight is not None for row in rows):
        specs.append(_Spec("weight", ("Weight",), ("right",), _pieces(rows, "weight", 1)))
    return specs


def _placed(spec: _Spec, left: float) -> ForestColumn:
    """Centre the block of pieces under the heading; the pieces stay aligned with each other."""
    x = left + (spec.width - spec.content_width) / 2
    anchors: list[tuple[float, Align]] = []
    for index, (align, piece) in enumerate(zip(spec.aligns, spec.piece_widths, strict=True)):
        anchors.append((x + piece if align == "right" else x, align))
        x += piece + (spec.gaps[index] if index < len(spec.gaps) else 0.0)
    return ForestColumn(spec.name, spec.header, left, left + spec.width, tuple(anchors))


def _spanners(columns: Sequence[ForestColumn], specs: Sequence[_Spec]) -> tuple[Spanner, ...]:
    spanners = []
    for arm in dict.fromkeys(spec.arm for spec in specs):
        names = [spec.name for spec in specs if spec.arm == arm]
        group = [column for column in columns if column.name in names]
        left, right = group[0].left, group[-1].right
        words = next(spec.spanner for spec in specs if spec.arm == arm)
        lines = wrap_text(words, right - left, style.BODY_SIZE, bold=True, most=2)
        spanners.append(Spanner(lines, left, right, len(group) > 1))
    risk = next((column for column in columns if column.name == "risk_of_bias"), None)
    if risk is not None:
        room = max(risk.right - risk.left, 26.0)
        lines = wrap_text("Risk of bias", room, style.BODY_SIZE, bold=True, most=2)
        spanners.append(Spanner(lines, risk.left, risk.right, False))
    return tuple(spanners)
