"""Every combination of defensible choices, and which choice decides the answer.

The specification curve of a meta-analysis: the main model is one of many that could have been
defended. Voracek, Kossmeier and Tran (2019), Z. Psychol. 227, doi:10.1027/2151-2604/a000357.

A room of its own because it answers a question of its own, by many runs of the models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ketameta.analyses.parts import Choice as ChoiceTried
from ketameta.analyses.parts import ChoiceEffect, Multiverse
from ketameta.analyses.rows import difference_rows, effects_of, study_rows
from ketameta.analyses.selection import select_effects
from ketameta.analyses.sensitivity import has_raw_spread, is_read_in_full
from ketameta.analyses.sentences import interval_words, lower_first, written
from ketameta.effects.arrays import Floats
from ketameta.evidence.pairing import Assumptions
from ketameta.formatting import format_count, format_percent, published
from ketameta.measures import Measure
from ketameta.models.resampling.batched import batched_fit, batched_inference
from ketameta.models.results import plain

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.derive import Effect, EffectTable
    from ketameta.evidence.tables import Evidence


#: Choices of data, in the order in which they are applied.
DATA_CHOICES = ("correlation", "measure", "overlap", "spread", "source")

Option = str | float
#: Estimates and variances of one set of trials.
Trials = tuple[np.ndarray, np.ndarray]


class TrialSets:
    """The sets of trials of one analysis, by choice."""

    def __init__(
        self,
        spec: AnalysisSpec,
        used: Sequence[Effect],
        evidence: Evidence,
        table: Callable[[Assumptions], EffectTable],
    ) -> None:
        self._spec, self._evidence, self._table = spec, evidence, table
        main = (spec.assume.correlation, str(spec.model.measure), spec.choose.overlap_prefer)
        self._selected = {main: used}
        self._trials: dict[tuple[Option | None, ...], Trials] = {}

    def effects(self, key: Mapping[str, Option]) -> list[Effect]:
        """Return the effects that one combination uses."""
        raw, full = key.get("spread") == "raw", key.get("source") == "full_access"
        return [
            row
            for row in self._chosen(key)
            if (not raw or has_raw_spread(row)) and (not full or is_read_in_full(row))
        ]

    def content(self, key: Mapping[str, Option]) -> list[tuple[str, list[float]]]:
        """Return the effects that one combination uses, as published: name, estimate, variance."""
        return [
            (row["effect_id"], published([row["estimate"], row["variance"]]))
            for row in self.effects(key)
        ]

    def trials(self, key: Mapping[str, Option]) -> Trials:
        """Return estimates and variances of the trials that one combination pools."""
        name = tuple(key.get(choice) for choice in DATA_CHOICES)
        if name not in self._trials:
            spec, effects = self._spec, self.effects(key)
            measure = Measure(str(key.get("measure", spec.model.measure)))
            if spec.kind == "within_trial":
                rows = study_rows(effects, measure, project=spec.project)
                rows = difference_rows(rows, *spec.model.group_order)
            else:
                rows = study_rows(effects, measure, "study_id", project=spec.project)
            self._trials[name] = effects_of(rows)
        return self._trials[name]

    def _chosen(self, key: Mapping[str, Option]) -> Sequence[Effect]:
        """Return the selected effects under one correlation, measure and overlap rule."""
        spec = self._spec
        chosen = key.get("correlation")
        correlation = spec.assume.correlation if chosen is None else float(chosen)
        measure = str(key.get("measure", spec.model.measure))
        assume = spec.assume.model_copy(update={"correlation": correlation})
        prefer = self._preferred(str(key.get("overlap", "declared")), assume)
        name = (correlation, measure, prefer)
        if name not in self._selected:
            changed = spec.model_copy(
                update={
                    "assume": assume,
                    "model": spec.model.model_copy(update={"measure": Measure(measure)}),
                    "choose": spec.choose.model_copy(update={"overlap_prefer": prefer}),
                }
            )
            found = select_effects(changed, self._table(assume), self._evidence)
            self._selected[name] = found.used
        return self._selected[name]

    def _preferred(self, overlap: str, assume: Assumptions) -> tuple[str, ...]:
        """Return the studies that are kept where people overlap."""
        if overlap == "declared":
            return self._spec.choose.overlap_prefer
        if overlap == "trials":
            return ()
        asked = self._table(assume).rows.on(self._spec.select.outcome)
        present = {row["study_id"] for row in asked}
        return tuple(
            study
            for study, facts in self._evidence.facts.items()
            if facts["design"] == "pooled_rcts" and study in present
        )


def choice_effects(
    options: Mapping[str, np.ndarray], estimates: Floats, conclusions: np.ndarray
) -> dict[str, ChoiceEffect]:
    """Return how much each choice matters.

    ``alone`` is the share of the variance of the estimates between its options, the others
    averaged over; ``in_all`` the share that remains when every other choice is fixed, alone and
    together with others; ``changes`` the share of the switches of this choice alone that change the
    conclusion; ``switches`` the pairs of combinations that differ in it only.

    Parameters
    ----------
    options : mapping of str to ndarray of int, shape (n,)
        Per choice the option of each combination.
    estimates : ndarray of shape (n,)
        NaN where a combination has none on this scale.
    conclusions : ndarray of int, shape (n,)
        -1, 0 or 1.

    Notes
    -----
    With every combination present these are the first-order and the total sensitivity index of
    Sobol for independent choices with equally likely options (Saltelli et al. 2010, Comput. Phys.
    Commun. 181, 259-270), computed exactly as sums of squares of a full factorial. ``alone`` of all
    choices add up to 1 less their interactions. With combinations missing only the second has a
    meaning, over the switches that are there.
    """
    known = np.isfinite(estimates)
    complete = known.sum() == math.prod(len(np.unique(column)) for column in options.values())
    total = _squares(estimates[known])
    found = {}
    for name, column in options.items():
        others = [value for key, value in options.items() if key != name]
        cells = _cells(others, len(column))
        alone = in_all = None
        if total > 0:
            if complete:
                parts = [estimates[column == option] for option in np.unique(column)]
                alone = _squares(np.repeat([p.mean() for p in parts], [p.size for p in parts]))
                alone /= total
            in_all = (
                sum(_squares(estimates[known & (cells == c)]) for c in np.unique(cells)) / total
            )
        switches = changed = 0
        for cell in np.unique(cells):
            ends = conclusions[cells == cell]
            pairs = len(ends) * (len(ends) - 1) // 2
            alike = sum(
                count * (count - 1) // 2 for count in np.unique(ends, return_counts=True)[1]
            )
            switches, changed = switches + pairs, changed + pairs - int(alike)
        found[name] = ChoiceEffect(
            alone=alone,
            in_all=in_all,
            changes=changed / switches if switches else None,
            switches=switches,
        )
    return found


def _squares(values: Floats) -> float:
    """Return the sum of squared deviations; 0 where rounding is all there is."""
    if values.size < 2:
        return 0.0
    found = float(((values - values.mean()) ** 2).sum())
    return found if found > (1e-10 * float(np.abs(values).max())) ** 2 else 0.0


def _cells(columns: list[np.ndarray], n: int) -> np.ndarray:
    """Return a number per combination that is equal where all given choices are."""
    if not columns:
        return np.zeros(n, dtype=int)
    return np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1].ravel()


#: Choices as readers see them.
CHOICE_LABELS: Mapping[str, str] = {
    "correlation": "Assumed correlation",
    "measure": "Measure",
    "overlap": "Where trials and pooled reports share people",
    "spread": "Standard deviations",
    "source": "Sources",
    "tau2_method": "Between-trial variance",
    "ci_method": "Interval",
}
_OPTION_LABELS: Mapping[str, str] = {
    "knapp-hartung-conservative": "Knapp–Hartung, floored",
    "knapp-hartung": "Knapp–Hartung",
    "wald": "Wald",
    "RR": "risk ratio",
    "OR": "odds ratio",
    "RD": "risk difference",
    "raw": "without those from models",
    "full_access": "read in full only",
    "declared": "as declared",
    "trials": "trials",
    "pools": "pooled reports",
}


def option_label(choice: str, value: str | float) -> str:
    """Return one option as readers see it."""
    if choice == "correlation":
        return f"{value:g}"
    return _OPTION_LABELS.get(str(value), str(value))


def multiverse_sentences(result: Multiverse, spec: AnalysisSpec) -> list[str]:
    """Return what the combinations say, in words."""
    measure, n = spec.model.measure, result["n_pooled"]
    counts = result["excludes"]
    few = result["n"] - n
    sentences = [
        f"{format_count(n)} combinations of defensible choices were computed"
        + (f"; {format_count(few)} more leave fewer than two trials." if few else ".")
    ]
    decided = counts["below"] + counts["above"]
    share = f"{format_count(decided)} of {format_count(n)} ({format_percent(decided / n)})"
    if decided == 0:
        sentences.append("In none of them does the interval exclude no effect.")
    elif counts["below"] and counts["above"]:
        sentences.append(
            f"In {share} the interval excludes no effect: "
            f"{format_count(counts['below'])} below it, {format_count(counts['above'])} above it."
        )
    else:
        place, side = ("below", 0) if counts["below"] else ("above", 1)
        where = "all of them" if decided == n else share
        means = lower_first(spec.favours[side])
        sentences.append(f"In {where} the interval lies wholly {place} no effect ({means}).")
    spread = interval_words(result["lowest"], result["highest"], measure)
    sentences.append(
        f"The estimates run from {spread}, with a median of {written(result['median'], measure)}."
    )
    sentences += _what_matters(result["choices"])
    return sentences


def _what_matters(choices: list[ChoiceTried]) -> list[str]:
    moving = [item for item in choices if (item["effect"]["in_all"] or 0) > 0]
    turning = [item for item in choices if (item["effect"]["changes"] or 0) > 0]
    found = []
    if moving:
        first = max(moving, key=lambda item: item["effect"]["in_all"] or 0.0)
        found.append(
            f"What moves the estimate most: {lower_first(first['label'])} "
            f"({format_percent(first['effect']['in_all'])} of the spread of estimates)."
        )
    if turning:
        first = max(turning, key=lambda item: item["effect"]["changes"] or 0.0)
        found.append(
            f"What changes the conclusion most often: {lower_first(first['label'])} "
            f"({format_percent(first['effect']['changes'])} of the switches from one option to "
            "another)."
        )
    else:
        found.append("No single switch changes the conclusion.")
    return found


#: Measures of events that can be computed from the same counts.
_EVENTS = (Measure.RR, Measure.OR, Measure.RD)


def multiverse(
    spec: AnalysisSpec,
    used: Sequence[Effect],
    evidence: Evidence,
    table: Callable[[Assumptions], EffectTable],
    baseline_risk: float | None = None,
) -> Multiverse | None:
    """Return the results of all combinations of the declared choices; None where nothing is pooled.

    Shares are of the combinations with at least two trials. Estimates are on the scale of the main
    measure: those of events on another one are put there at ``baseline_risk``, the risk on control.
    Choices that change nothing here are ``idle``; options are numbered, the main one first.
    """
    if spec.kind not in ("pooled", "within_trial") or not spec.model.overall:
        return None
    data = TrialSets(spec, used, evidence, table)
    if len(data.trials({})[0]) < 2:
        return {"withheld": "Fewer than two trials: no choice of model can be varied."}
    options, idle = _active(spec, data)
    main = {name: values[0] for name, values in options.items()}
    keys = [dict(zip(options, key, strict=True)) for key in product(*options.values())]
    found = _fits(spec, [data.trials(key) for key in keys], keys)
    estimate, low, high = _on_main_scale(spec, keys, found, baseline_risk)
    pooled = found["k"] >= 2
    bounds = [np.array(published(found[name].tolist())) for name in ("ci_low", "ci_high")]
    sides = np.where(bounds[1] < 0, -1, np.where(bounds[0] > 0, 1, 0))
    numbers = {
        name: np.array([values.index(key[name]) for key in keys])
        for name, values in options.items()
    }
    effects = choice_effects(
        {name: column[pooled] for name, column in numbers.items()}, estimate[pooled], sides[pooled]
    )
    shown = estimate[pooled & np.isfinite(estimate)]
    result: Multiverse = published(
        plain(
            {
                "withheld": "",
                "n": len(keys),
                "n_pooled": int(pooled.sum()),
                "excludes": {
                    name: int((sides[pooled] == side).sum())
                    for name, side in (("below", -1), ("above", 1), ("neither", 0))
                },
                "median": float(np.median(shown)),
                "lowest": float(shown.min()),
                "highest": float(shown.max()),
                "choices": [
                    {
                        "name": name,
                        "label": CHOICE_LABELS[name],
                        "options": [option_label(name, value) for value in values],
                        "effect": effects[name],
                    }
                    for name, values in options.items()
                ],
                "idle": [CHOICE_LABELS[name] for name in idle],
                "baseline_risk": baseline_risk if "measure" in options else None,
                "main": keys.index(main),
                "combinations": {
                    "estimate": estimate,
                    "ci_low": low,
                    "ci_high": high,
                    "k": found["k"],
                    "excludes": np.where(pooled, sides, 0),
                    "options": numbers,
                },
            }
        )
    )
    return {**result, "sentences": multiverse_sentences(result, spec)}


def _active(spec: AnalysisSpec, data: TrialSets) -> tuple[dict[str, list[Option]], list[str]]:
    """Return the choices that change the data or the model, main option first, and the others."""
    declared = spec.multiverse
    wanted: dict[str, list[Option]] = {
        "correlation": list(declared.correlation) if spec.assume.correlation is not None else [],
        "measure": list(declared.measure)
        if spec.model.measure in _EVENTS and spec.kind == "pooled"
        else [],
        "overlap": list(declared.overlap),
        "spread": list(declared.spread),
        "source": list(declared.source),
    }
    options: dict[str, list[Option]] = {}
    idle = []
    for name in DATA_CHOICES:
        if not wanted[name]:
            continue
        main = _main_option(spec, name)
        values = [main, *(value for value in wanted[name] if value != main)]
        kept: list[Option] = []
        for value in values:
            alike = [other for other in kept if _same(data, options, name, value, other)]
            if not alike:
                kept.append(value)
        if len(kept) > 1:
            options[name] = kept
        else:
            idle.append(name)
    for name, main in (
        ("tau2_method", spec.model.tau2_method),
        ("ci_method", spec.model.ci_method),
    ):
        chosen = getattr(declared, name)
        options[name] = [main, *(value for value in chosen if value != main)]
    return options, idle


def _main_option(spec: AnalysisSpec, name: str) -> Option:
    if name == "correlation":
        return spec.assume.correlation or 0.0
    return {"measure": str(spec.model.measure), "overlap": "declared"}.get(name, "all")


def _same(
    data: TrialSets, options: Mapping[str, list[Option]], name: str, value: Option, other: Option
) -> bool:
    """Return whether two options give the same trials whatever was chosen before."""
    if name == "measure":
        return False
    return all(
        data.content({**before, name: value}) == data.content({**before, name: other})
        for before in (
            dict(zip(options, values, strict=True)) for values in product(*options.values())
        )
    )


def _fits(
    spec: AnalysisSpec, trials: list[Trials], keys: list[dict[str, Option]]
) -> dict[str, np.ndarray]:
    """Fit every combination; one batch per estimator of the variance between trials."""
    n, most = len(keys), max(len(y) for y, _ in trials)
    columns = {name: np.full(n, np.nan) for name in ("estimate", "ci_low", "ci_high")}
    k = np.array([len(y) for y, _ in trials])
    for method in dict.fromkeys(str(key["tau2_method"]) for key in keys):
        at = [i for i in range(n) if keys[i]["tau2_method"] == method and k[i] > 0]
        if not at:
            continue
        y, v, inside = (
            np.zeros((most, len(at))),
            np.ones((most, len(at))),
            np.zeros((most, len(at))),
        )
        for column, i in enumerate(at):
            size = k[i]
            y[:size, column], v[:size, column] = trials[i]
            # A trial that is masked out has the variance of one that is in: the scale of the batch
            # is taken from all of them.
            v[size:, column], inside[:size, column] = trials[i][1][0], 1
        fits = batched_fit(y, v, mask=inside.astype(bool), tau2_method=method)
        for interval in dict.fromkeys(str(keys[i]["ci_method"]) for i in at):
            found = batched_inference(fits, interval, spec.model.level)
            for column, i in enumerate(at):
                if keys[i]["ci_method"] == interval:
                    columns["estimate"][i] = fits.estimate[column]
                    columns["ci_low"][i] = found.ci_low[0, column]
                    columns["ci_high"][i] = found.ci_high[0, column]
    return {**columns, "k": k}


def _on_main_scale(
    spec: AnalysisSpec,
    keys: list[dict[str, Option]],
    found: Mapping[str, np.ndarray],
    baseline_risk: float | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return estimates and bounds on the scale of the main measure, at the risk on control.

    NaN where the measure gives a risk that does not exist: below 0 or above 1.
    """
    main = spec.model.measure
    columns = []
    for name in ("estimate", "ci_low", "ci_high"):
        values = np.array(found[name])
        for i, key in enumerate(keys):
            measure = Measure(str(key.get("measure", main)))
            if measure is not main:
                values[i] = _from_risk(
                    main, _to_risk(measure, values[i], baseline_risk), baseline_risk
                )
        columns.append(values)
    return columns[0], columns[1], columns[2]


def _to_risk(measure: Measure, value: float, control: float | None) -> float:
    """Return the risk on treatment that an effect means at a risk on control."""
    if control is None or not 0 < control < 1:
        return np.nan
    if measure is Measure.RR:
        return control * float(np.exp(value))
    if measure is Measure.OR:
        odds = control / (1 - control) * float(np.exp(value))
        return odds / (1 + odds)
    return control + value


def _from_risk(measure: Measure, risk: float, control: float | None) -> float:
    if control is None or not 0 < risk < 1:
        return float("nan")
    if measure is Measure.RR:
        return float(np.log(risk / control))
    if measure is Measure.OR:
        return float(np.log(risk / (1 - risk)) - np.log(control / (1 - control)))
    return risk - control
