"""The rows of a forest plot, top to bottom, with every text already written. Places nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal

from ketameta.formatting import (
    MISSING,
    format_count,
    format_number,
    format_p,
    format_percent,
    plural,
)
from ketameta.plots import look
from ketameta.plots.forest_data import (
    Forest,
    Group,
    Pool,
    Trial,
    cochran,
    heterogeneity_words,
    method_words,
)
from ketameta.plots.look import BODY, text_width, widest, wrap

RowKind = Literal[
    "header", "subgroup_header", "study", "subgroup_pool", "subgroup_note", "overall",
    "prediction", "heterogeneity", "subgroup_test", "single", "note", "empty",
]  # fmt: skip
#: Column name -> pieces of text, aligned with the same piece of the other rows.
Cells = dict[str, tuple[str, ...]]

Align = Literal["left", "center", "right"]

ARMS = ("treatment", "control")
BOLD = frozenset({"subgroup_header", "subgroup_pool", "overall"})
SMALL_KINDS = frozenset({"heterogeneity", "subgroup_test", "subgroup_note", "single", "note"})
SHORT_LABELS = {
    "MD": "Mean difference", "ROM": "Ratio of means", "OR": "Odds ratio", "RR": "Risk ratio",
    "HR": "Hazard ratio", "RD": "Risk difference", "SMCR": "SMC", "SMD": "SMD",
}  # fmt: skip
#: Weights that add up to more were given within groups; their sum says nothing.
ALL_WEIGHT = 1.005
#: Between columns, and the widest heading over the columns of an arm, in points.
GAP, SPANNER_MOST = 7.0, 76.0


@dataclass(frozen=True, slots=True)
class Style:
    """Order of columns, words and colours of one way to draw forest plots.

    ``effect`` frames an interval: before, between and after its ends.
    """

    name: str
    order: tuple[str, ...]
    effect: tuple[str, str, str]
    total: str
    groups_total: str
    subtotal: str
    square: str
    diamond: str
    group_diamond: str
    interval: str = look.INK
    favours_above: bool = False
    cochrane_words: bool = False
    bands: bool = False
    head_fill: str = ""


_HOUSE = ("study", "comparison", "arms", "more", "plot", "effect", "weight", "risk_of_bias")
STYLES = {
    "house": Style(
        "house", _HOUSE, ("[", ",", "]"), "All trials", "All subgroups", "Subtotal",
        look.BLUE, look.NAVY, look.SKY,
    ),
    "revman": Style(
        "revman",
        ("study", "comparison", "arms", "more", "weight", "effect", "plot", "risk_of_bias"),
        ("[", ",", "]"), "Total ({ci})", "Total ({ci})", "Subtotal ({ci})",
        look.BLUE, look.INK, look.INK, cochrane_words=True,
    ),
    "jama": Style(
        "jama",
        ("study", "comparison", "arms", "more", "effect", "plot", "weight", "risk_of_bias"),
        ("(", " to", ")"), "Overall", "Overall", "Subtotal",
        "#5B8FA8", "#2C5F7C", "#8FB5C8", favours_above=True,
    ),
    "bmj": Style(
        "bmj",
        ("study", "comparison", "arms", "more", "plot", "weight", "effect", "risk_of_bias"),
        ("(", " to", ")"), "Total", "Total", "Subtotal",
        "#2A6EBB", "#1B3E6F", "#7FA9D6", bands=True, head_fill="#DCE7F3",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One row of a forest plot.

    Attributes
    ----------
    kind : str
        ``header``, ``subgroup_header``, ``study``, ``subgroup_pool``, ``subgroup_note``,
        ``overall``, ``prediction``, ``heterogeneity``, ``subgroup_test``, ``single`` (one trial;
        not pooled), ``note`` or ``empty`` (no eligible trials).
    label : str
        The words of the row, in full; ``lines``, ``remarks`` and ``beside`` (what was compared)
        are wrapped as printed.
    cells : dict
        Column name -> pieces of text.
    estimate, low, high : float or None
        As shown (ratios, not their logarithms).
    drawn : bool
        Whether estimate and interval are drawn, beside being written.
    cut_low, cut_high : bool
        Whether the interval runs past the axis there, and has an arrow.
    """

    kind: RowKind
    label: str
    cells: Cells = field(default_factory=dict)
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    weight: float | None = None
    group: int | None = None
    study: str = ""
    remark: str = ""
    tag: str = ""
    marker: str = ""
    excluded: bool = False
    risk_of_bias: tuple[str, ...] = ()
    trial: Trial | None = None
    drawn: bool = True
    cut_low: bool = False
    cut_high: bool = False
    area: float = 0.0
    lines: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    tag_inline: bool = True
    indent: float = 0.0
    space: float = 0.0
    top: float = 0.0
    height: float = 0.0

    @property
    def middle(self) -> float:
        """The line on which the row's interval is drawn."""
        return self.top + self.height / 2

    @property
    def bottom(self) -> float:
        """Where the row ends."""
        return self.top + self.height

    def cell(self, name: str) -> str:
        """Return the text of one column, pieces joined; empty where the row has none."""
        return " ".join(piece for piece in self.cells.get(name, ()) if piece).replace(" /", "/")


@dataclass(frozen=True, slots=True)
class Writer:
    """One way of writing numbers for all rows of a plot."""

    forest: Forest
    style: Style
    digits: int
    has_events: bool
    has_means: bool
    vary: tuple[bool, bool]

    @classmethod
    def of(cls, forest: Forest, style: Style) -> Writer:
        """Return the way that suits all trials of a forest."""
        trials = forest.trials
        names = [{arm_words(t.arms[side]) for t in trials if t.arms[side]} for side in (0, 1)]
        return cls(
            forest,
            style,
            display_digits(forest),
            any(value is not None for trial in trials for value in trial.events),
            forest.show_means and any(trial.means[0] is not None for trial in trials),
            (len(names[0]) > 1, len(names[1]) > 1),
        )

    @property
    def comparison_header(self) -> str:
        """The heading over what was compared."""
        words = {(True, False): "Intervention", (False, True): "Comparator"}
        return words.get(self.vary, "Comparison")

    def number(self, value: float | None) -> str:
        """Write an effect as shown."""
        return self.forest.scale.write(value, self.digits)

    def effect(self, estimate: float | None, low: float | None, high: float | None) -> Cells:
        """Return the cell of an estimate and its interval."""
        if estimate is None and low is None and high is None:
            return {"effect": ("not estimable",)}
        middle = self.number(estimate) if estimate is not None else ""
        if low is None and high is None:
            return {"effect": (middle, "", "")}
        before, between, after = self.style.effect
        ends = f"{before}{self.number(low)}{between}", f"{self.number(high)}{after}"
        return {"effect": (middle, *ends)}

    def study(self, trial: Trial, shown: Sequence[float | None], weight: float | None) -> Cells:
        """Return the cells of a trial."""
        cells = self.effect(*shown)
        cells["weight"] = (MISSING if weight is None else format_percent(weight, 1),)
        names = [arm_words(trial.arms[side]) for side in (0, 1) if self.vary[side]]
        if names:
            cells["comparison"] = (" v ".join(names),)
        for side, arm in enumerate(ARMS):
            n, events = trial.n[side], trial.events[side]
            if not self.has_events:
                cells[arm] = (format_count(n),)
            elif n is None and events is None:
                cells[arm] = (MISSING, "")
            else:
                cells[arm] = (format_count(events), f"/{format_count(n)}")
            if self.has_means:
                sd = trial.sds[side]
                inside = f"({format_number(sd, 1)})" if sd is not None else ""
                cells[f"mean_{arm}"] = (format_number(trial.means[side], 1), inside)
        cells |= {f"more_{number}": (text,) for number, text in enumerate(trial.more)}
        return cells

    def pool(self, shown: Sequence[float | None], used: Sequence[ForestRow]) -> Cells:
        """Return the cells of a pool; a sum that would count people twice is left out."""
        cells = self.effect(*shown)
        weights = math.fsum(row.weight for row in used if row.weight is not None)
        if 0 < weights < ALL_WEIGHT:
            cells["weight"] = (format_percent(weights, 1),)
        keys = [row.study for row in used if row.study]
        if len(set(keys)) < len(keys):
            return cells
        trials = [row.trial for row in used if row.trial is not None]
        for side, arm in enumerate(ARMS):
            total, unknown = known_sum([trial.n[side] for trial in trials])
            if total is None:
                continue
            text = ("≥\u00a0" if unknown else "") + format_count(total)
            if not self.has_events:
                cells[arm] = (text,)
                continue
            events, some = known_sum([trial.events[side] for trial in trials])
            complete = not (events is None or unknown or some)
            cells[arm] = (format_count(events), f"/{text}") if complete else ("", text)
        return cells


def _used(members: Sequence[ForestRow], pool: Pool | None) -> list[ForestRow]:
    """Return the rows behind a pool; a trial whose own ratio has no bound may be one of them."""
    shown = [row for row in members if not row.excluded]
    if pool is not None and pool.k == len(shown):
        return shown
    return [row for row in shown if row.estimate is not None]


def arm_words(value: str) -> str:
    """Return the name of an intervention as readers see it: words, not the data's keys."""
    return look.clean((value or MISSING).replace("_", " ").replace(" / ", ", "))


def known_sum(values: Sequence[float | None]) -> tuple[float | None, bool]:
    """Return the sum of what is known, and whether something is unknown."""
    known = [value for value in values if value is not None]
    return (math.fsum(known) if known else None), len(known) < len(values)


def display_digits(forest: Forest) -> int:
    """Return how many decimals an effect needs: two, unless the typical interval says otherwise."""
    if forest.scale.is_ratio:
        return 2
    show = forest.scale.show
    ends = [(show(trial.low), show(trial.high)) for trial in forest.trials]
    halves = [(b - a) / 2 for a, b in ends if a is not None and b is not None and b > a]
    if not halves:
        return 2
    typical = median(halves)
    if typical >= 5:
        return 1 if typical < 500 else 0
    return 2 if typical >= 0.05 else min(6, max(3, 1 - math.floor(math.log10(typical))))


class Reader:
    """Turns trials and pools into rows; collects the footnotes on the way."""

    def __init__(self, forest: Forest, style: Style) -> None:
        self.forest, self.style = forest, style
        self.write = Writer.of(forest, style)
        self.letters: dict[str, str] = {}
        pooled = [trial for trial in forest.trials if trial.used]
        total = sum(trial.weight or 0.0 for trial in pooled)
        #: Whether weights are shares of one pool, rather than of each group's.
        self.one_pool = forest.pool is not None and total < ALL_WEIGHT

    def rows(self) -> list[ForestRow]:
        """Return all rows, the header first."""
        forest = self.forest
        titled = len(forest.groups) > 1 or any(group.label for group in forest.groups)
        predictions = forest.group_predictions
        if predictions is None:
            predictions = forest.pool is None
        rows: list[ForestRow] = []
        for index, group in enumerate(forest.groups):
            members = [self.study(trial, index, group) for trial in group.trials]
            if titled:
                label = look.clean(group.label or "Other trials")
                rows.append(ForestRow("subgroup_header", label, group=index))
            rows += members
            if titled:
                rows += self.group_end(group, members, index, predictions)
        return [
            ForestRow("header", look.clean(forest.header)),
            *rows,
            *self.overall([row for row in rows if row.kind == "study"], titled),
        ]

    def shown(self, item: Trial | Pool) -> tuple[float | None, float | None, float | None]:
        """Return an estimate and its interval as shown."""
        show = self.forest.scale.show
        return show(item.estimate), show(item.low), show(item.high)

    def study(self, trial: Trial, index: int, group: Group) -> ForestRow:
        """Return the row of a trial."""
        excluded = trial.set_aside is not None
        note = look.clean(trial.note)
        if excluded:
            reason = look.clean(trial.set_aside) or note
            note = f"Set aside: {reason}" if reason else ""
        in_pool = (self.one_pool or group.pool is not None) and not excluded
        weight = trial.weight if in_pool else None
        shown = self.shown(trial)
        return ForestRow(
            "study",
            look.clean(trial.label or trial.study or MISSING),
            self.write.study(trial, shown, weight),
            *shown,
            weight,
            index,
            trial.study,
            remark="Set aside" if excluded else "",
            tag=look.clean(trial.tag),
            marker=self.marker(note) if note else "",
            excluded=excluded,
            risk_of_bias=tuple(
                trial.risk_of_bias.get(code) or "not_assessed" for code, _ in self.forest.domains
            ),
            trial=trial,
        )

    def group_end(
        self, group: Group, members: Sequence[ForestRow], index: int, predictions: bool
    ) -> list[ForestRow]:
        """Return the rows under a group's trials."""
        used = _used(members, group.pool)
        if not members:
            return [ForestRow("empty", "No eligible trials", group=index)]
        if group.pool is None:
            words = "One trial; not pooled" if len(used) == 1 else "Not pooled"
            return [ForestRow("subgroup_note", words, group=index)]
        rows = [self.pool("subgroup_pool", group.pool, self.style.subtotal, used, index)]
        if predictions:
            rows += self.prediction(group.pool, index)
        return rows + self.heterogeneity(group.pool, index)

    def overall(self, members: Sequence[ForestRow], titled: bool) -> list[ForestRow]:
        """Return the rows under all trials."""
        forest = self.forest
        used = _used(members, forest.pool)
        rows: list[ForestRow] = []
        if not members:
            rows += [] if titled else [ForestRow("empty", "No eligible trials")]
        elif forest.pool is not None:
            words = self.style.groups_total if titled else self.style.total
            row = self.pool("overall", forest.pool, words, used, None)
            if not self.one_pool:  # weights are shares of the groups, not of this pool
                row.cells.pop("weight", None)
            rows.append(row)
            if forest.predictions:
                rows += self.prediction(forest.pool, None)
            rows += self.heterogeneity(forest.pool, None)
        elif not forest.rows_are_pools and not titled:
            one = len(used) == 1
            rows.append(
                ForestRow("single" if one else "note",
                          "One trial; not pooled" if one else "Not pooled")
            )  # fmt: skip
        if forest.test is not None:
            q, df, p = forest.test
            text = cochran(q, df, p, self.style.cochrane_words)
            rows.append(ForestRow("subgroup_test", f"Test for subgroup differences: {text}"))
        return rows

    def pool(
        self, kind: RowKind, pool: Pool, words: str, used: Sequence[ForestRow], group: int | None
    ) -> ForestRow:
        """Return the row of a pooled estimate."""
        shown = self.shown(pool)
        label = look.clean(pool.label or words.format(ci=self.forest.scale.interval_words))
        if not self.style.cochrane_words:
            label += f" (k\u00a0=\u00a0{format_count(len(used) if pool.k is None else pool.k)})"
        cells = self.write.pool(shown, used)
        return ForestRow(kind, label, cells, *shown, group=group, drawn=pool.drawn)

    def prediction(self, pool: Pool, group: int | None) -> list[ForestRow]:
        """Return the row of a prediction interval, or why there is none."""
        show = self.forest.scale.show
        low, high = show(pool.pi_low), show(pool.pi_high)
        if low is None or high is None:
            two = pool.k == 2 and pool.model != "common"
            words = "Two trials: no prediction interval"
            if not pool.drawn:
                words += ", and the interval of the mean is too wide to draw"
            return [ForestRow("note", words, group=group)] if two else []
        words = f"{format_percent(self.forest.scale.level)} prediction interval (a new trial)"
        cells = self.write.effect(None, low, high)
        return [ForestRow("prediction", words, cells, None, low, high, group=group)]

    def heterogeneity(self, pool: Pool, group: int | None) -> list[ForestRow]:
        """Return how much the trials differ."""
        text = heterogeneity_words(pool, self.style.cochrane_words)
        rows = [ForestRow("heterogeneity", text, group=group)] if text else []
        if self.style.cochrane_words and pool.p_value is not None:
            words = f"Test for overall effect: {format_p(pool.p_value).replace('p ', 'P ')}"
            rows.append(ForestRow("heterogeneity", words, group=group))
        return rows

    def marker(self, note: str) -> str:
        """Return the footnote letter of a note."""
        count = len(self.letters)
        return self.letters.setdefault(note, chr(ord("a") + count % 26) * (1 + count // 26))


# --- what columns hold ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spec:
    """A column before it has a place."""

    name: str
    header: tuple[str, ...]
    aligns: tuple[Align, ...]
    widths: tuple[float, ...]
    gaps: tuple[float, ...] = ()
    spanner: str = ""
    arm: str = ""
    least: float = 0.0

    @property
    def content(self) -> float:
        """Width of the pieces with the gaps between them."""
        return sum(self.widths) + sum(self.gaps)

    @property
    def width(self) -> float:
        """Width of the column."""
        return max(self.content, widest(self.header, BODY, bold=True), self.least)


def _pieces(rows: Sequence[ForestRow], name: str, count: int) -> tuple[float, ...]:
    widths = [0.0] * count
    for row in rows:
        cell = row.cells.get(name, ())
        if len(cell) == count:
            bold = row.kind in BOLD
            for index, piece in enumerate(cell):
                widths[index] = max(widths[index], text_width(piece, BODY, bold=bold))
    return tuple(widths)


def column_specs(reader: Reader, rows: Sequence[ForestRow], weights: bool) -> dict[str, list[Spec]]:
    """Return the columns that hold numbers, by the place that a style gives them."""
    forest, scale = reader.forest, reader.forest.scale
    short = SHORT_LABELS.get(scale.measure, "Effect")
    framed = "[]" if reader.style.effect[0] == "[" else "()"
    heading = (short, f"{framed[0]}{scale.interval_words}{framed[1]}")
    right: Align = "right"
    effect = Spec("effect", heading, (right,) * 3, _pieces(rows, "effect", 3), (3.0, 3.2))
    found: dict[str, list[Spec]] = {"arms": [], "more": [], "weight": [], "effect": [effect]}
    if weights and any(row.weight is not None for row in rows):
        found["weight"].append(
            Spec("weight", ("Weight",), (right,), _pieces(rows, "weight", 1))
        )  # fmt: skip
    for number, name in enumerate(forest.more):
        key = f"more_{number}"
        numeric = all(_numeric(trial.more[number]) for trial in forest.trials if trial.more)
        header = wrap(look.clean(name), SPANNER_MOST, BODY, bold=True, most=2)
        found["more"].append(
            Spec(key, header, (right if numeric else "left",), _pieces(rows, key, 1))
        )
    for side, arm in enumerate(ARMS):
        counts = [row.cells[arm] for row in rows if arm in row.cells]
        if not any(piece[0] not in ("", MISSING) for piece in counts):
            continue
        words = {arm_words(t.arms[side]) for t in forest.trials if t.arms[side]}
        name = words.pop() if len(words) == 1 else arm
        name = name[:1].upper() + name[1:]
        if reader.write.has_means:
            key = f"mean_{arm}"
            widths = _pieces(rows, key, 2)
            found["arms"].append(
                Spec(key, ("mean (SD)",), (right, right), widths, (2.5,), name, arm)
            )
        if reader.write.has_events:
            widths = _pieces(rows, arm, 2)
            spec = Spec(arm, ("events/n",), (right, "left"), widths, (0.0,), name, arm)
        else:
            spec = Spec(arm, ("n",), (right,), _pieces(rows, arm, 1), (), name, arm)
        found["arms"].append(spec)
    found["arms"] = [_widened(spec, found["arms"]) for spec in found["arms"]]
    return found


def _numeric(text: str) -> bool:
    try:
        float(text.replace("−", "-").replace(",", "") or 0)
    except ValueError:
        return False
    return True


def _widened(spec: Spec, specs: Sequence[Spec]) -> Spec:
    """Give the columns under an arm's name enough room for the name on at most two lines."""
    group = [other for other in specs if other.arm == spec.arm]
    total = sum(other.width for other in group) + GAP * (len(group) - 1)
    wanted = max(total, min(widest(spec.spanner.split(" "), BODY, bold=True), SPANNER_MOST))
    while wanted < SPANNER_MOST and len(wrap(spec.spanner, wanted, BODY, bold=True)) > 2:
        wanted += 1.0
    return replace(spec, least=spec.width + (wanted - total) / len(group))


# --- the sentences under the plot ---------------------------------------------------------------


def risk_letters(count: int) -> tuple[str, ...]:
    """Return the letters over the risk-of-bias circles: A, B, C, ..."""
    return tuple(chr(ord("A") + index % 26) for index in range(count))


def footnotes(reader: Reader, rows: Sequence[ForestRow], *, labelled: bool) -> list[str]:
    """Return the sentences under the plot, in order."""
    forest, scale = reader.forest, reader.forest.scale
    kinds = {row.kind for row in rows}
    legend = []
    if any(row.kind == "study" and row.estimate is not None for row in rows):
        weighted = any(row.weight is not None for row in rows if row.kind == "study")
        square = f"Square: trial{', area by weight' if weighted else ''}"
        if not labelled:
            count = plural(len(forest.trials), "trial")
            square = f"{count}, sorted, without names; square: estimate"
        legend.append(f"{forest.meaning or square}; line: {scale.interval_words}.")
    if any(row.drawn and row.kind in ("overall", "subgroup_pool") for row in rows):
        dotted = " (dotted line)" if "overall" in kinds else ""
        pools = [forest.pool, *(group.pool for group in forest.groups)]
        credible = any(pool is not None and pool.credible for pool in pools)
        words = scale.interval_words.replace("CI", "credible interval" if credible else "CI")
        legend.append(f"Diamond: pooled estimate{dotted} with {words}.")
    if "prediction" in kinds:
        legend.append(f"Bar: {format_percent(scale.level)} prediction interval.")
    if any(not row.drawn for row in rows):
        legend.append("A t interval on one degree of freedom is written, not drawn.")
    if any(row.cut_low or row.cut_high for row in rows):
        legend.append("Arrowhead: runs past the axis.")
    if any(row.excluded for row in rows):
        legend.append("Grey: set aside, not pooled.")
    if forest.important is not None:
        value = scale.write(forest.important, reader.write.digits)
        legend.append(f"Dashed line: minimal important difference ({value}).")
    notes = [" ".join(legend), method_words(forest)]
    if forest.domains and labelled:
        letters = risk_letters(len(forest.domains))
        named = "; ".join(
            f"{letter} {words}" if len(letters) > 1 else words
            for letter, (_, words) in zip(letters, forest.domains, strict=True)
        )
        shown = {judgement for row in rows for judgement in row.risk_of_bias}
        signs = ", ".join(
            f"{sign or 'empty circle'} {words}"
            for judgement, (sign, _, _, words) in look.RISK_OF_BIAS.items()
            if judgement in shown
        )
        notes.append(f"Risk of bias: {named}. {signs[:1].upper()}{signs[1:]}.")
    notes += [f"{letter}\u00a0\u00a0{text}" for text, letter in reader.letters.items()]
    notes += [look.clean(note) for note in forest.notes]
    return [note for note in notes if note]
