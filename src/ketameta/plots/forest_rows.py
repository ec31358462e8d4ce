"""The rows and columns of a forest plot, with every text already written. Places nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from ketameta.formatting import MISSING, format_count, format_p, format_percent, trials_words
from ketameta.measures import measure_entry
from ketameta.plots import look
from ketameta.plots.forest_data import (
    Forest,
    Group,
    Pool,
    Trial,
    cochran,
    heterogeneity_words,
    pooled_reports,
)
from ketameta.plots.look import BODY, text_width, widest, wrap

RowKind = Literal[
    "header", "subgroup_header", "study", "subgroup_pool", "subgroup_note", "overall",
    "prediction", "heterogeneity", "subgroup_test", "single", "note", "empty",
]  # fmt: skip
#: Column name -> pieces of text, aligned with the same piece of the other rows.
Cells = dict[str, tuple[str, ...]]
Ends = tuple[float | None, float | None, float | None]

ARMS = ("treatment", "control")
BOLD = frozenset({"subgroup_header", "subgroup_pool", "overall"})
SMALL_KINDS = frozenset({"heterogeneity", "subgroup_test", "subgroup_note", "single", "note"})
#: Over the column of effects, where the name of the measure is too long for it.
SHORT_LABELS = {
    "IRR": "Rate ratio", "PETO": "Odds ratio", "SMCC": "SMC", "SMCR": "SMC", "SMD": "SMD",
}  # fmt: skip
#: Weights that add up to more were given within groups; their sum says nothing.
ALL_WEIGHT = 1.005
#: The widest heading over the columns of an arm, and a circle of risk of bias, in points.
SPANNER_MOST, RISK_PITCH, RISK_ALONE = 76.0, 10.2, 31.0


@dataclass(frozen=True, slots=True)
class Style:
    """Order of columns, words and colours of one way to draw forest plots.

    ``effect`` frames an interval: before, between and after its ends.
    """

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


def _order(*last: str) -> tuple[str, ...]:
    return ("study", "comparison", *ARMS, "more", *last, "risk_of_bias")


STYLES = {
    "house": Style(
        _order("plot", "effect", "weight"), ("[", ",", "]"), "All trials", "All subgroups",
        "Subtotal", look.BLUE, look.NAVY, look.SKY,
    ),
    "revman": Style(
        _order("weight", "effect", "plot"), ("[", ",", "]"), "Total ({ci})", "Total ({ci})",
        "Subtotal ({ci})", look.BLUE, look.INK, look.INK, cochrane_words=True,
    ),
    "jama": Style(
        _order("effect", "plot", "weight"), ("(", " to", ")"), "Overall", "Overall", "Subtotal",
        "#5B8FA8", "#2C5F7C", "#8FB5C8", favours_above=True,
    ),
    "bmj": Style(
        _order("plot", "weight", "effect"), ("(", " to", ")"), "Total", "Total", "Subtotal",
        "#2A6EBB", "#1B3E6F", "#7FA9D6", bands=True, head_fill="#DCE7F3",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One row of a forest plot.

    Attributes
    ----------
    label : str
        The words of the row, in full; ``lines``, ``remarks`` and ``beside`` (what was compared)
        are wrapped as printed.
    estimate, low, high : float or None
        As shown (ratios, not their logarithms).
    tag : str
        Stands beside the label, where that has room.
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
    trial: Trial | None = None
    remark: str = ""
    tag: str = ""
    marker: str = ""
    excluded: bool = False
    risk_of_bias: tuple[str, ...] = ()
    credible: bool = False
    drawn: bool = True
    cut_low: bool = False
    cut_high: bool = False
    area: float = 0.0
    lines: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
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
class ForestColumn:
    """One column: its heading, one over it, and the pieces that a cell has, with their widths."""

    name: str
    header: tuple[str, ...] = ()
    aligns: str = "l"
    widths: tuple[float, ...] = ()
    gaps: tuple[float, ...] = ()
    over: tuple[str, ...] = ()
    width: float = 0.0
    left: float = 0.0

    @property
    def right(self) -> float:
        """Where the column ends."""
        return self.left + self.width

    @property
    def middle(self) -> float:
        """The centre of the column."""
        return self.left + self.width / 2

    @property
    def anchors(self) -> list[tuple[float, str]]:
        """Where each piece is put and how it is aligned; the block of pieces is centred."""
        x = self.left + (self.width - sum(self.widths) - sum(self.gaps)) / 2
        found = []
        for align, wide, gap in zip(self.aligns, self.widths, (*self.gaps, 0.0, 0.0), strict=False):
            share, word = {"l": (0.0, "left"), "c": (0.5, "center"), "r": (1.0, "right")}[align]
            found.append((x + share * wide, word))
            x += wide + gap
        return found


def _used(members: Sequence[ForestRow], pool: Pool | None) -> list[ForestRow]:
    """Return the rows behind a pool; a trial whose own ratio has no bound may be one of them."""
    shown = [row for row in members if not row.excluded]
    if pool is not None and pool.k == len(shown):
        return shown
    return [row for row in shown if row.estimate is not None]


def _alone(used: Sequence[ForestRow]) -> str:
    """Return that rows are not pooled, and which one stands alone."""
    if len(used) != 1:
        return "Not pooled"
    reports = pooled_reports([used[0].trial])
    return f"{trials_words(1, reports, one='One trial')}; not pooled"


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
    return 2 if typical >= 0.05 else max(3, 1 - math.floor(math.log10(typical)))


class Reader:
    """Turns trials and pools into rows and columns; collects the footnotes on the way."""

    def __init__(self, forest: Forest, style: Style) -> None:
        self.forest, self.style = forest, style
        self.letters: dict[str, str] = {}
        self.digits = display_digits(forest)
        trials = forest.trials
        self.has_events = any(value is not None for trial in trials for value in trial.events)
        self.names = [{arm_words(t.arms[side]) for t in trials if t.arms[side]} for side in (0, 1)]
        total = sum(trial.weight or 0.0 for trial in trials if trial.used)
        #: Whether weights are shares of one pool, rather than of each group's.
        self.one_pool = forest.pool is not None and total < ALL_WEIGHT

    # --- rows -------------------------------------------------------------------------------------

    def rows(self) -> list[ForestRow]:
        """Return all rows, the header first."""
        forest = self.forest
        titled = len(forest.groups) > 1 or any(group.label for group in forest.groups)
        rows: list[ForestRow] = []
        for index, group in enumerate(forest.groups):
            members = [self._study(trial, index, group) for trial in group.trials]
            if titled:
                label = look.clean(group.label or "Other trials")
                rows.append(ForestRow("subgroup_header", label, group=index))
            rows += members
            if titled:
                rows += self._group_end(group, members, index)
        studies = [row for row in rows if row.kind == "study"]
        head = ForestRow("header", look.clean(forest.header))
        return [head, *rows, *self._overall(studies, titled)]

    def _shown(self, item: Trial | Pool) -> Ends:
        """Return an estimate and its interval as shown."""
        show = self.forest.scale.show
        return show(item.estimate), show(item.low), show(item.high)

    def _study(self, trial: Trial, index: int, group: Group) -> ForestRow:
        excluded = trial.set_aside is not None
        note = look.clean(trial.note)
        if excluded:
            reason = look.clean(trial.set_aside) or note
            note = f"Set aside: {reason}" if reason else ""
        in_pool = (self.one_pool or group.pool is not None) and not excluded
        weight = trial.weight if in_pool else None
        shown = self._shown(trial)
        count = len(self.letters)
        letter = chr(ord("a") + count % 26) * (1 + count // 26)
        return ForestRow(
            "study", look.clean(trial.label or trial.study or MISSING),
            self._cells(trial, shown, weight), *shown, weight, index, trial,
            remark="Set aside" if excluded else "", tag=look.clean(trial.tag),
            marker=self.letters.setdefault(note, letter) if note else "", excluded=excluded,
            risk_of_bias=tuple(
                trial.risk_of_bias.get(code) or "not_assessed" for code, _ in self.forest.domains
            ),
        )  # fmt: skip

    def _group_end(self, group: Group, members: Sequence[ForestRow], index: int) -> list[ForestRow]:
        """Return the rows under a group's trials; one prediction is that of all trials."""
        used = _used(members, group.pool)
        if not members:
            return [ForestRow("empty", "No eligible trials", group=index)]
        if group.pool is None:
            return [ForestRow("subgroup_note", _alone(used), group=index)]
        alone = self.forest.pool is None
        return self._pool("subgroup_pool", group.pool, self.style.subtotal, used, index, alone)

    def _overall(self, members: Sequence[ForestRow], titled: bool) -> list[ForestRow]:
        """Return the rows under all trials."""
        forest = self.forest
        used = _used(members, forest.pool)
        rows: list[ForestRow] = []
        if not members:
            rows += [] if titled else [ForestRow("empty", "No eligible trials")]
        elif forest.pool is not None:
            words = self.style.groups_total if titled else self.style.total
            rows += self._pool("overall", forest.pool, words, used, None, True)
            if not self.one_pool:  # weights are shares of the groups, not of this pool
                rows[0].cells.pop("weight", None)
        elif not forest.rows_are_pools and not titled:
            rows.append(ForestRow("single" if len(used) == 1 else "note", _alone(used)))
        if forest.test is not None:
            text = cochran(*forest.test, self.style.cochrane_words)
            rows.append(ForestRow("subgroup_test", f"Test for subgroup differences: {text}"))
        return rows

    def _pool(
        self, kind: RowKind, pool: Pool, words: str, used: Sequence[ForestRow], group: int | None,
        predict: bool,
    ) -> list[ForestRow]:  # fmt: skip
        """Return the rows of a pooled estimate: itself, its prediction, how much trials differ."""
        shown, scale = self._shown(pool), self.forest.scale
        label = look.clean(pool.label or words.format(ci=scale.kind_words([pool.credible])))
        cochrane, k = self.style.cochrane_words, len(used) if pool.k is None else pool.k
        if reports := pooled_reports(row.trial for row in used):  # which are no trials
            label = f"{label.removesuffix(' trials')} ({trials_words(k, reports, short=True)})"
        elif not cochrane:
            label += f" (k\u00a0=\u00a0{format_count(k)})"
        cells = self._effect(*shown) | self._sums(used)
        rows = [ForestRow(kind, label, cells, *shown, group=group, drawn=pool.drawn,
                          credible=pool.credible)]  # fmt: skip
        low, high = scale.show(pool.pi_low), scale.show(pool.pi_high)
        if predict and self.forest.predictions and low is not None and high is not None:
            words = f"{format_percent(scale.level)} prediction interval (a new trial)"
            cells = self._effect(None, low, high)
            rows.append(ForestRow("prediction", words, cells, None, low, high, group=group))
        elif predict and self.forest.predictions and pool.k == 2 and pool.model != "common":
            several = trials_words(2, reports) if reports else "Two trials"
            words = f"{several}: no prediction interval"
            if not pool.drawn:
                words += ", and the interval of the mean is too wide to draw"
            rows.append(ForestRow("note", words, group=group))
        texts = [heterogeneity_words(pool, cochrane)]
        if cochrane and pool.p_value is not None:
            words = format_p(pool.p_value).replace("p ", "P ")
            texts.append(f"Test for overall effect: {words}")
        return rows + [ForestRow("heterogeneity", text, group=group) for text in texts if text]

    # --- cells ------------------------------------------------------------------------------------

    def _effect(self, estimate: float | None, low: float | None, high: float | None) -> Cells:
        """Return the cell of an estimate and its interval."""

        def number(value: float | None) -> str:
            return self.forest.scale.write(value, self.digits)

        if estimate is None and low is None and high is None:
            return {"effect": ("not estimable",)}
        middle = number(estimate) if estimate is not None else ""
        if low is None and high is None:
            return {"effect": (middle, "", "")}
        before, between, after = self.style.effect
        return {"effect": (middle, f"{before}{number(low)}{between}", f"{number(high)}{after}")}

    def _cells(self, trial: Trial, shown: Ends, weight: float | None) -> Cells:
        """Return the cells of a trial."""
        cells = self._effect(*shown)
        cells["weight"] = (MISSING if weight is None else format_percent(weight, 1),)
        vary = [arm_words(trial.arms[side]) for side in (0, 1) if len(self.names[side]) > 1]
        if vary:
            cells["comparison"] = (" v ".join(vary),)
        for arm, n, events in zip(ARMS, trial.n, trial.events, strict=True):
            if not self.has_events:
                cells[arm] = (format_count(n),)
            elif n is None and events is None:
                cells[arm] = (MISSING, "")
            else:
                cells[arm] = (format_count(events), f"/{format_count(n)}")
        return cells | {f"more_{number}": (text,) for number, text in enumerate(trial.more)}

    def _sums(self, used: Sequence[ForestRow]) -> Cells:
        """Return sums over the rows of a pool; those that would count people twice are left out."""
        cells: Cells = {}
        weights = math.fsum(row.weight for row in used if row.weight is not None)
        if 0 < weights < ALL_WEIGHT:
            cells["weight"] = (format_percent(weights, 1),)
        trials = [row.trial for row in used if row.trial is not None]
        keys = [trial.study for trial in trials if trial.study]
        if len(set(keys)) < len(keys):
            return cells
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

    # --- columns ----------------------------------------------------------------------------------

    def columns(
        self, rows: Sequence[ForestRow], weights: bool, labelled: bool
    ) -> dict[str, list[ForestColumn]]:
        """Return the columns that hold numbers or lights, by the place that a style gives them."""
        forest, scale = self.forest, self.forest.scale

        def column(
            name: str, header: tuple[str, ...], aligns: str = "r", over: str = "", *gaps: float
        ) -> ForestColumn:
            widths = [0.0] * len(aligns)
            for row in rows:
                cell = row.cells.get(name, ())
                if len(cell) == len(aligns):
                    bold = row.kind in BOLD
                    widths = [
                        max(wide, text_width(piece, BODY, bold=bold))
                        for wide, piece in zip(widths, cell, strict=True)
                    ]
            width = max(sum(widths) + sum(gaps), widest(header, BODY, bold=True))
            if over:  # on two lines at most, unless it is far too long
                words = widest(over.split(" "), BODY, bold=True)
                width = max(width, min(words, SPANNER_MOST))
                while width < SPANNER_MOST and len(wrap(over, width, BODY, bold=True)) > 2:
                    width += 1.0
            lines = wrap(over, width, BODY, bold=True, most=2)
            return ForestColumn(name, header, aligns, tuple(widths), gaps, lines, width)

        framed = "[]" if self.style.effect[0] == "[" else "()"
        entry = measure_entry(scale.measure)
        short = SHORT_LABELS.get(scale.measure, entry.label if entry else "Effect")
        interval = scale.kind_words(row.credible for row in rows)
        heading = (forest.heads[2] or short, f"{framed[0]}{interval}{framed[1]}")
        found = {"effect": [column("effect", heading, "rrr", "", 3.0, 3.2)]}
        if not labelled:
            return found
        if weights and any(row.weight is not None for row in rows):
            found["weight"] = [column("weight", ("Weight",))]
        for number, name in enumerate(forest.more):
            numeric = all(_numeric(trial.more[number]) for trial in forest.trials if trial.more)
            header = wrap(look.clean(name), SPANNER_MOST, BODY, bold=True, most=2)
            made = column(f"more_{number}", header, "r" if numeric else "l")
            found["more"] = [*found.get("more", ()), made]
        for side, arm in enumerate(ARMS):
            counts = [row.cells[arm] for row in rows if arm in row.cells]
            if any(piece[0] not in ("", MISSING) for piece in counts):
                name = min(self.names[side]) if len(self.names[side]) == 1 else arm
                name = forest.heads[side] or name[:1].upper() + name[1:]
                what = (("events/n",), "rl") if self.has_events else (("n",), "r")
                found[arm] = [column(arm, *what, name)]
        if one := len(forest.domains):
            wide = RISK_ALONE if one == 1 else one * RISK_PITCH
            over = wrap("Risk of bias", max(wide, RISK_ALONE), BODY, bold=True) if one > 1 else ()
            found["risk_of_bias"] = [
                ForestColumn("risk_of_bias", ("Risk of", "bias") if one == 1 else (), "c" * one,
                             (wide / one,) * one, (), over, wide)
            ]  # fmt: skip
        return found


def _numeric(text: str) -> bool:
    try:
        float(text.replace("−", "-").replace(",", "") or 0)
    except ValueError:
        return False
    return True


# --- the sentences under the plot ---------------------------------------------------------------


CI_METHODS = {
    "wald": "Wald",
    "knapp-hartung": "Knapp–Hartung",
    "knapp-hartung-conservative": "Knapp–Hartung, never narrower than Wald",
}


def method_words(forest: Forest) -> str:
    """Return how the pools were made, where they say so; by name where not all in one way."""
    made: dict[str, list[str]] = {}
    groups = ((group.label or "", group.pool) for group in forest.groups)
    for name, pool in (("Overall", forest.pool), *groups):
        if pool is None or (pool.k or 0) < 2:
            continue
        words = []
        if pool.model == "common":
            words.append("common effect, inverse variance")
        elif pool.model == "bayes":
            words.append("Bayesian random effects; credible intervals")
        elif pool.tau2_method:
            words.append(f"random effects, τ² by {pool.tau2_method}")
        if method := CI_METHODS.get(str(pool.ci_method)):
            words.append(f"{forest.scale.interval_words} by {method}")
        if words:
            made.setdefault("; ".join(words), []).append(name)
    if len(made) > 1:
        return " ".join(f"{', '.join(names)}: {how}." for how, names in made.items())
    return "".join(f"{how[:1].upper()}{how[1:]}." for how in made)


def risk_letters(count: int) -> tuple[str, ...]:
    """Return the letters over the risk-of-bias circles: A, B, C, ..."""
    return tuple(chr(ord("A") + index % 26) for index in range(count))


def footnotes(reader: Reader, rows: Sequence[ForestRow], *, labelled: bool) -> list[str]:
    """Return the sentences under the plot, in order."""
    forest, scale = reader.forest, reader.forest.scale
    kinds = {row.kind for row in rows}
    studies = [row for row in rows if row.kind == "study"]
    square = f"Square: trial{', or report that pools several' if forest.pools else ''}"
    if any(row.weight is not None for row in studies):
        square += ", area by weight"
    if not labelled:
        count = trials_words(len(forest.trials), forest.pools)
        square = f"{count}, sorted, without names; square: estimate"
    dotted = " (dotted line)" if "overall" in kinds else ""
    pooled = [row for row in rows if row.drawn and row.kind in ("overall", "subgroup_pool")]
    interval = scale.kind_words(row.credible for row in pooled)
    important = scale.write(forest.important, reader.digits)
    legend = [
        (any(row.estimate is not None for row in studies),
         f"{forest.meaning or square}; line: {scale.interval_words}."),
        (bool(pooled), f"Diamond: pooled estimate{dotted} with {interval}."),
        ("prediction" in kinds, f"Bar: {format_percent(scale.level)} prediction interval."),
        (any(not row.drawn for row in rows),
         "A t interval on one degree of freedom is written, not drawn."),
        (any(row.cut_low or row.cut_high for row in rows), "Arrowhead: runs past the axis."),
        (any(row.excluded for row in rows), "Grey: set aside, not pooled."),
        (forest.important is not None, f"Dashed line: minimal important difference ({important})."),
    ]  # fmt: skip
    notes = [" ".join(words for said, words in legend if said), method_words(forest)]
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
    return [note for note in (*notes, *map(look.clean, forest.notes)) if note]
