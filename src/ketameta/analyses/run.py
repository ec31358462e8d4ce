"""Runs one declared analysis and returns its results as JSON-ready data, as published.

Everything is computed at full precision and rounded once; sentences are written from what is
published, so that they say the same on every processor.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ketameta.analyses import sentences
from ketameta.analyses.bubble import regressions_of
from ketameta.analyses.certainty import bias_judgement, certainty
from ketameta.analyses.credibility import credibility
from ketameta.analyses.dose_response import dose_groups, dose_results, dose_sentences
from ketameta.analyses.multiverse import multiverse
from ketameta.analyses.network import network, network_rows
from ketameta.analyses.next_trial import Related, next_trial_of
from ketameta.analyses.parts import GroupFacts, Network, People, part
from ketameta.analyses.policy import effect_name, headline_of
from ketameta.analyses.result import (
    AnalysisResult,
    Appraisal,
    Excluded,
    Group,
    Pooled,
    SecondEngine,
    Sizes,
    StudyRow,
    SubgroupTest,
)
from ketameta.analyses.rows import (
    SHARED,
    difference_rows,
    effects_of,
    in_several_levels,
    study_rows,
)
from ketameta.analyses.rows import pooled as pooled_of
from ketameta.analyses.selection import select_effects
from ketameta.analyses.sensitivity import (
    event_models,
    gosh_of,
    influence_of,
    leave_one_out_of,
    over_time,
    sensitivity_analyses,
    small_study_of,
)
from ketameta.analyses.sentences import caveats_of, is_pooled, pools_in
from ketameta.analyses.spec import AnalysisSpec
from ketameta.formatting import published
from ketameta.models.diagnostics.second_engine import agrees_to, second_engine
from ketameta.models.results import plain
from ketameta.models.subgroups import subgroup_analysis
from ketameta.paths import made_anew

if TYPE_CHECKING:
    from ketameta.evidence.derive import Effect, EffectTable
    from ketameta.evidence.project import Project
    from ketameta.evidence.tables import Evidence
    from ketameta.models.pooling import RandomEffects


#: Keys that an appraisal adds to a result.
KEYS = ("certainty", "multiverse", "next_trial", "regressions", "credibility")


def appraisal(
    spec: AnalysisSpec,
    result: AnalysisResult,
    shown: AnalysisResult,
    used: Sequence[Effect],
    trials: Sequence[StudyRow],
    weights: Sequence[float] | None,
    evidence: Evidence,
    related: Related | None,
) -> Appraisal:
    """Return certainty, multiverse, next trial, meta-regressions and credibility of a result.

    ``result`` and ``shown`` are the analysis as computed and as published; ``trials`` are the rows
    that the main model saw, ``weights`` their shares, None where they are not pooled. Without
    ``related`` nothing is computed: a single analysis knows nothing of the others.
    """
    if related is None:
        return cast("Appraisal", dict.fromkeys(KEYS))
    shares = weights if weights is not None else [None] * len(trials)
    main = [{**row, "weight": share} for row, share in zip(trials, shares, strict=True)]
    pooled, events = result["pooled"], result["events"]
    planned = spec.kind in ("pooled", "within_trial") and (spec.model.overall or not trials)
    numbers = (
        [row["estimate"] for row in trials],
        [row["variance"] for row in trials],
        pooled["tau2"] if pooled else None,
        related.priors_of(spec, evidence) if planned else (),
        pools_in(trials),
    )
    regressions = regressions_of(spec, trials, used, evidence)
    # Words about certainty are made from what is published, never from more digits.
    judged = certainty(spec, shown, published(plain(main)), evidence.rows("risk_of_bias"))
    risk = events["baseline_risk"] if events else None
    return {
        "certainty": judged,
        "multiverse": multiverse(spec, used, evidence, related.table, risk),
        "next_trial": related.keep(
            f"next-{spec.name}",
            partial(next_trial_of, spec, *numbers),
            of=f"{(spec.kind, spec.model, spec.next_trial, numbers)}",
        )
        if planned
        else None,
        "regressions": regressions,
        "credibility": credibility(spec, result, regressions, tuple(related.specs.values())),
    }


def run_analysis(
    spec: AnalysisSpec, table: EffectTable, evidence: Evidence, related: Related | None = None
) -> AnalysisResult:
    """Return everything a report needs to know about one analysis.

    Parameters
    ----------
    spec : AnalysisSpec
    table : EffectTable
        Effects derived under the assumptions of ``spec``.
    evidence : Evidence
    related : Related, optional
        The other analyses; with them the result is appraised (certainty, all combinations of
        choices, next trial, credibility of moderators), which takes longer.

    Returns
    -------
    dict
        JSON-ready, numbers as published (:func:`ketameta.formatting.published`); never raises
        for few or no studies.
    """
    selected = select_effects(spec, table, evidence)
    net = network(spec, selected.used)
    keep = related.keep if related else made_anew
    curves = partial(dose_results, spec, selected.used)
    seen = (spec.dose, spec.model, spec.project.study_labels, selected.used)
    doses = keep(f"doses-{spec.name}", curves, of=f"{seen}") if spec.dose else None
    level = spec.model.level
    rows_by = partial(
        study_rows, selected.used, spec.model.measure, level=level, project=spec.project
    )
    groups: list[Group]
    if spec.kind == "dose_response":
        groups = dose_groups(spec, selected.used)
        rows, independent = [row for group in groups for row in group["rows"]], rows_by("study_id")
    elif spec.kind == "pooled":
        rows, independent = rows_by("study_group"), rows_by("study_id")
        groups = _groups(spec, rows)
    else:
        rows = independent = (
            network_rows(net)
            if spec.kind == "network"
            else difference_rows(rows_by("study_group"), *spec.model.group_order, level=level)
        )
        groups = [{"key": "", "label": None, "rows": rows, "pooled": None}]
    low_risk = _give_lights([*rows, *independent], evidence) if net is None else set()
    pooled = pooled_of(spec, independent)
    overall = is_pooled(spec) and len(independent) > 0
    several = overall and len(independent) >= 2
    if spec.kind not in ("network", "dose_response"):
        _give_weights(groups, rows, independent, spec)
    sizes = _sizes(net, independent)
    instead = _NOT_POOLED.get(spec.kind, "" if overall else "groups_apart")
    scored = _instrument(spec, evidence)
    lead = partial(headline_of, spec, unit=scored.unit, usual_sd=scored.usual_sd)
    told = net.get("caveats", ()) if net else caveats_of(spec, pooled, groups, rows, independent)
    of_doses = doses.get("caveats", ()) if doses else ()
    result: AnalysisResult = {
        "name": spec.name,
        "kind": spec.kind,
        "title": spec.title,
        "question": spec.question,
        "section": spec.section,
        "order": spec.order,
        "directness": spec.directness,
        "status": spec.status,
        "registration": spec.registration,
        "note": spec.note,
        "favours": list(spec.favours),
        "looked_for": spec.looked_for,
        "measure": str(spec.model.measure),
        "measure_label": effect_name(spec, spec.model.measure).capitalize()
        if spec.kind == "within_trial"
        else spec.model.measure.label,
        "is_ratio": spec.model.measure.is_ratio,
        "null": spec.model.measure.null,
        "level": spec.model.level,
        "group_by": spec.model.group_by,
        "important_difference": spec.model.important_difference,
        "important_difference_source": spec.model.important_difference_source,
        "k": sizes["k"],
        "n_participants": sizes["n_participants"],
        "n_trials_without_size": sizes["n_trials_without_size"],
        "headline": lead(independent, instead=instead, sizes=(sizes["k"], sizes["n_participants"])),
        "groups": [
            {**one, "headline": lead(one["rows"]) if one["pooled"] else None} for one in groups
        ],
        "pooled": _stored(pooled) if overall else None,
        "subgroup_test": _between_groups(spec, rows),
        "sensitivity": sensitivity_analyses(spec, selected.used, independent, low_risk)
        if overall
        else [],
        "events": event_models(spec, independent) if overall else None,
        "leave_one_out": leave_one_out_of(spec, independent) if overall else None,
        "group_facts": group_facts(spec, selected.used, evidence),
        "over_time": over_time(spec, rows),
        "network": net,
        "dose_response": doses,
        "influence": influence_of(pooled, independent) if several else None,
        "gosh": gosh_of(pooled) if several else None,
        "small_study": small_study_of(pooled, independent) if several else None,
        "second_engine": keep(
            f"second-{spec.name}",
            partial(_second_engine, pooled),
            of=f"{pooled.tau2_method} {pooled.ci_method} {pooled.level} "
            f"{pooled.estimates.tolist()} {pooled.variances.tolist()}",
        )
        if several
        else None,
        "intervals": plain(pooled.intervals().rows) if several else [],
        "caveats": plain([*told, *of_doses]),
        "excluded": _listed(selected.excluded),
        "unused": _listed(selected.unused),
        "spec": plain(spec),
    }
    if not sizes["k"]:
        result["headline"]["sentence"] = sentences.nothing_found(result)
    shares = pooled.weights if overall and spec.kind != "network" else None
    shown: AnalysisResult = published(plain(result))
    judged = appraisal(spec, result, shown, selected.used, independent, shares, evidence, related)
    shown = {**shown, **published(plain(judged))}
    return {**shown, "sentences": sentences_of(shown)}


class Instrument(NamedTuple):
    """The unit of a mean difference, and the usual spread of scores where it is declared."""

    unit: str = ""
    usual_sd: float | None = None


def _instrument(spec: AnalysisSpec, evidence: Evidence) -> Instrument:
    """Return the unit of the one instrument of an analysis, or points of it."""
    if len(spec.select.instrument) != 1:
        return Instrument()
    name = spec.select.instrument[0]
    row = next((row for row in evidence.rows("instruments") if row["instrument"] == name), None)
    unit = (row["unit"] if row else "") or f"points of the {spec.project.words_of(name).upper()}"
    return Instrument(unit, row.number("usual_sd") if row else None)


#: Kinds without a pooled effect of their own, with the rule that says so.
_NOT_POOLED = {"network": "network", "dose_response": "doses"}


def sentences_of(result: AnalysisResult) -> list[str]:
    """Return what a published result says, in words."""
    return [
        sentence
        for sentence in (
            sentences.main_sentence(result),
            *sentences.group_sentences(result),
            *sentences.over_time_sentences(result),
            *dose_sentences(result),
            result["headline"]["disagreement"],
            sentences.prediction_sentence(result),
            sentences.heterogeneity_sentence(result),
        )
        if sentence
    ]


def _second_engine(fit: RandomEffects) -> SecondEngine:
    """Return who refitted a result, and the bound to which it agrees."""
    found = second_engine(fit)
    return part(SecondEngine, found, agrees_to=agrees_to(found.largest))


def _sizes(net: Network | None, independent: list[StudyRow]) -> Sizes:
    """Return the number of trials and people, and of trials that print no sizes."""
    if net is not None:
        nobody: People = {"n": 0, "without_size": []}
        people = net.get("people", nobody)
        return {
            "k": net.get("k", 0),
            "n_participants": people["n"],
            "n_trials_without_size": len(people["without_size"]),
        }
    sizes = [row["n_participants"] for row in independent if row["n_participants"] is not None]
    return {
        "k": len(independent),
        "n_participants": sum(sizes),
        "n_trials_without_size": len(independent) - len(sizes),
    }


def _stored(fit: Any) -> Pooled | None:
    return None if fit.k == 0 else part(Pooled, fit)


def _groups(spec: AnalysisSpec, rows: list[StudyRow]) -> list[Group]:
    """Return the groups in the declared order, then by name, each pooled on its own."""
    found = sorted({row["group"] for row in rows})
    order = [name for name in spec.model.group_order if name in found]
    names = [*order, *(name for name in found if name not in order)]
    groups: list[Group] = []
    for name in names:
        members = [row for row in rows if row["group"] == name]
        groups.append(
            {
                "key": name,
                "label": group_label(name, spec.project) if spec.model.group_by else None,
                "rows": members,
                "pooled": _stored(pooled_of(spec, members)) if spec.model.group_by else None,
            }
        )
    return groups


#: Classes of time as readers see them.
_TIMES = {
    "within_hours": "Within hours of the dose",
    "24_hours": "24 hours after the dose",
    "days_2_to_7": "Days 2 to 7",
    "days_8_to_21": "Days 8 to 21",
    "days_22_to_35": "Days 22 to 35",
    "later": "After day 35",
}


def group_label(key: str, project: Project) -> str:
    """Return a level of a moderator as readers see it."""
    return _TIMES.get(key) or project.label(key)


def _give_weights(
    groups: list[Group],
    rows: list[StudyRow],
    independent: list[StudyRow],
    spec: AnalysisSpec,
) -> None:
    """Add each row's share of the weight: of everything, or of its group where rows overlap."""
    together = spec.model.overall and len(rows) == len(independent)
    for members in [rows] if together else [group["rows"] for group in groups]:
        if members:
            weights = pooled_of(spec, members).weights
            for row, weight in zip(members, weights, strict=True):
                row["weight"] = float(weight)


def _give_lights(rows: list[StudyRow], evidence: Evidence) -> set[str]:
    """Add to each row what reviews judged of it, where any was judged; return those at low risk."""
    told = evidence.rows("risk_of_bias")
    known = {(row["study_id"], row["outcome"]) for row in rows}
    judged = {key: bias_judgement(*key, told) for key in known}
    if any(judged.values()):
        for row in rows:
            found = judged[row["study_id"], row["outcome"]]
            row["risk_of_bias"] = {"worst_domain": found} if found else {}
    return {study for (study, _), found in judged.items() if found == "low"}


def _between_groups(spec: AnalysisSpec, rows: list[StudyRow]) -> SubgroupTest | None:
    """Return the test for differences between groups, or why there is none."""
    rows = [row for row in rows if row["group"] not in spec.coding.silent]
    groups = [row["group"] for row in rows]
    if (
        not (spec.model.group_by and spec.model.overall)
        or len(set(groups)) < 2
        or (spec.kind == "within_trial")
    ):
        return None
    fit = subgroup_analysis(
        *effects_of(rows),
        groups,
        "separate",
        spec.model.tau2_method,
        spec.model.ci_method,
        spec.model.level,
        [row["label"] for row in rows],
        spec.model.measure,
        repeated_labels="allow",
    )
    tested = [row.level for row in fit.rows if row.tested]
    if in_several_levels(rows, tested):
        return {"q": None, "df": None, "p_value": None, "levels_tested": [], "withheld": SHARED}
    return {
        "q": fit.q_between,
        "df": fit.q_between_df,
        "p_value": fit.q_between_p_value,
        "levels_tested": tested,
        "withheld": ""
        if fit.q_between is not None
        else " ".join(caveat.message for caveat in fit.caveats),
    }


def _listed(rows: Sequence[Effect]) -> list[Excluded]:
    """Return rows that were left, with their reasons."""
    return plain([{name: row.get(name) for name in Excluded.__annotations__} for row in rows])


#: Facts counted in trials: the key, and the column of the effects.
_COUNTED = (
    ("route", "administration"),
    ("comparator", "comparator"),
    ("blinding", "blinding"),
    ("design", "design"),
    ("age_group", "age_group"),
)


def group_facts(
    spec: AnalysisSpec, used: Sequence[Effect], evidence: Evidence
) -> list[GroupFacts] | None:
    """Return what else differs between the groups of people that an analysis compares.

    ``None`` where the groups are not kinds of people. Facts are counts of trials by word;
    ``definitions`` are what each trial asked of earlier treatment, where that is the moderator.
    """
    name = spec.model.group_by
    categories = spec.project.categories
    if name not in (*categories, "diagnosis") or not used:
        return None
    told = categories[name].definition if name in categories else ""
    regimens = {(row["study_id"], row["arm_id"]): row["schedule"] for row in evidence.rows("arms")}
    groups: dict[str, list[Effect]] = {}
    for row in used:
        groups.setdefault(row["group"], []).append(row)
    if spec.kind == "within_trial":  # only trials that have both groups are compared
        pair = spec.model.group_order[:2]
        both = set.intersection(*({r["study_id"] for r in groups.get(key, ())} for key in pair))
        groups = {k: [r for r in groups.get(k, ()) if r["study_id"] in both] for k in pair}
        groups = {key: rows for key, rows in groups.items() if rows}
    order = [key for key in spec.model.group_order if key in groups]
    entries: list[GroupFacts] = []
    for key in [*order, *(key for key in sorted(groups) if key not in order)]:
        rows = groups[key]
        first = {row["study_id"]: row for row in reversed(rows)}
        days = [row["time_days"] for row in first.values() if not math.isnan(row["time_days"])]
        counts = {
            fact: _counted({(row["study_id"], row.get(column)) for row in rows})
            for fact, column in _COUNTED
        }
        entries.append(
            part(
                GroupFacts,
                counts,
                key=key,
                k=len(first),
                median_days=median(days) if days else None,
                regimen=_counted(
                    {(r["study_id"], regimens.get((r["study_id"], r["arm_id"]))) for r in rows}
                ),
                definitions=[
                    {
                        "study_id": study,
                        "label": spec.project.study_label(study),
                        "definition": _text(evidence.facts[study].get(told)) or "not stated",
                    }
                    for study in (sorted(first) if told else ())
                ],
            )
        )
    return entries


def _text(value: Any) -> str:
    return str(value) if value and value == value else ""


def _counted(pairs: set[tuple[str, Any]]) -> dict[str, int]:
    """Return how many trials have each word, the most frequent first."""
    counts = Counter(_text(word) or "not reported" for _, word in pairs)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
