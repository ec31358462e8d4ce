"""Every combination of defensible choices, and which choice decides the answer.

The specification curve of a meta-analysis: the main model is one of many that could have been
defended. Voracek, Kossmeier and Tran (2019), Z. Psychol. 227, doi:10.1027/2151-2604/a000357.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses.choice_effects import choice_effects
from ketameta.analyses.multiverse_data import DATA_CHOICES, Option, Trials, TrialSets
from ketameta.analyses.multiverse_words import CHOICE_LABELS, multiverse_sentences, option_label
from ketameta.models.batched import batched_fit, batched_inference
from ketameta.models.results import plain
from ketameta.numberformat import published
from ketameta.study_facts import Assumptions
from ketameta.vocabulary import Measure

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.effect_table import EffectTable
    from ketameta.evidence import Evidence

#: Measures of events that can be computed from the same counts.
_EVENTS = (Measure.RR, Measure.OR, Measure.RD)


def multiverse(
    spec: AnalysisSpec,
    used: pd.DataFrame,
    evidence: Evidence,
    table: Callable[[Assumptions], EffectTable],
    baseline_risk: float | None = None,
) -> dict[str, Any] | None:
    """Return the results of all combinations of the declared choices.

    Parameters
    ----------
    spec : AnalysisSpec
    used : DataFrame
        Effects of the main model.
    evidence : Evidence
    table : callable
        Gives the effect table under assumptions.
    baseline_risk : float, optional
        Risk on control, at which effects of events on other measures are put on the main one.

    Returns
    -------
    dict or None
        ``None`` where the analysis pools nothing. Otherwise ``n`` (combinations), ``n_pooled``
        (with at least two trials; the shares are of these), ``excludes`` (counts ``below``,
        ``above``, ``neither``), ``median, lowest, highest`` (of the estimates, on the scale of the
        main measure), ``choices`` (per choice: ``name, label, options, effect``), ``idle`` (choices
        that change nothing here), ``combinations`` (columns ``estimate, ci_low, ci_high, k,
        excludes`` and, per choice, the option's number), ``main`` (number of the main
        combination), ``sentences`` and ``withheld``, the reason when there is nothing to vary.
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
    result: dict[str, Any] = {
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
                "effect": dataclasses.asdict(effects[name]),
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
    result = published(plain(result))
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
