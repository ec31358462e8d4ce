"""How certain a result is, domain by domain: what can be computed, and what a person must judge.

After GRADE (Guyatt et al. 2011, J. Clin. Epidemiol. 64, 383-394). Computed facts never make a
judgement: where nobody has judged a domain, that is what is said, and no overall rating is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketameta.analyses.companions import FULL_ACCESS
from ketameta.analyses.spec import CONCERNS, DOMAINS
from ketameta.analyses.words import interval_words, words_of, written
from ketameta.errors import UsageError
from ketameta.formatting import (
    format_count,
    format_number,
    format_p,
    format_percent,
    plural,
    published,
)
from ketameta.measures import DATASET, ROB_DOMAINS, ROB_SUMMARY, Measure
from ketameta.models.policy import MIN_STUDIES_SMALL_STUDY
from ketameta.models.power import (
    ALPHA,
    POWER,
    RELATIVE_CHANGE,
    implied_sd,
    information_size_means,
    information_size_risks,
)

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.project import Directness, Project


Facts = tuple[dict[str, Any], list[str]]
Rows = Sequence[Mapping[str, Any]]

#: Names of tools within a sentence.
_TOOLS = {"rob2": "RoB 2", "rob1": "RoB 1", "robins_i": "ROBINS-I"}
#: Judgements from best to worst; a trial takes its worst domain where no overall one is given.
_SEVERITY = ("low", "unclear", "some_concerns", "high")


def share(rows: Rows, holds: Sequence[bool]) -> float:
    """Return the share of the weight for which something holds; of trials where none is given."""
    weights = [row.get("weight") for row in rows]
    known = [1.0 if weight is None else float(weight) for weight in weights]
    if None in weights:
        known = [1.0] * len(rows)
    total = sum(weight for weight, holding in zip(known, holds, strict=True) if holding)
    return total / sum(known)


def bias_judgement(
    study: str, outcome: str, risk_of_bias: Sequence[Mapping[str, Any]]
) -> str | None:
    """Return the judgement on one trial and outcome; None where nobody has judged it.

    The domain ``overall`` decides; without it the worst domain does, and where reviews differ the
    worse one; domains of which some are missing are not low. Judgements of the outcome go before
    those of the whole trial.
    """
    rows = _about(study, outcome, risk_of_bias)
    overall = [row for row in rows if row["domain"] == "overall"]
    found = _worst(overall or rows)
    if found == "low" and not overall:
        wanted = set(ROB_DOMAINS[rows[0]["tool"]]) - {"overall", "other"}
        found = found if wanted <= {row["domain"] for row in rows} else "unclear"
    return found


def _about(study: str, outcome: str, risk_of_bias: Rows) -> Rows:
    """Return what reviews judged of a trial and outcome, or of the whole trial."""
    own = [row for row in risk_of_bias if row["study_id"] == study]
    for about in (outcome, outcome.removesuffix(DATASET), ""):
        rows = [row for row in own if row["outcome"] == about]
        if _worst(rows):
            return rows
    return []


def _worst(rows: Rows) -> str | None:
    words = [ROB_SUMMARY.get(str(row["judgement"]), str(row["judgement"])) for row in rows]
    return max((word for word in words if word in _SEVERITY), key=_SEVERITY.index, default=None)


def domain_shares(rows: Rows, risk_of_bias: Rows) -> dict[str, dict[str, dict[str, float]]]:
    """Return, by tool and domain, the share of weight of each judgement; low first.

    What a domain of a tool does not say of some trial is in none of the shares.
    """
    about = [_about(row["study_id"], row["outcome"], risk_of_bias) for row in rows]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for tool, domains in ROB_DOMAINS.items():
        for domain in domains:
            said = [
                _worst([one for one in all_of if (one["tool"], one["domain"]) == (tool, domain)])
                for all_of in about
            ]
            if any(said) and domain != "overall":
                shares = {level: share(rows, [one == level for one in said]) for level in _SEVERITY}
                found.setdefault(tool, {})[domain] = shares
    return found


def bias_facts(rows: Rows, risk_of_bias: Sequence[Mapping[str, Any]]) -> Facts:
    """Return the shares of weight by risk of bias, blinding and how the source was read."""
    judged = [bias_judgement(row["study_id"], row["outcome"], risk_of_bias) for row in rows]
    shares = {level: share(rows, [item == level for item in judged]) for level in _SEVERITY}
    found = published(
        {
            **{f"share_{level}": value for level, value in shares.items()},
            "share_not_judged": share(rows, [item is None for item in judged]),
            "share_double_blind": share(rows, [row["blinding"] == "double_blind" for row in rows]),
            "share_full_access": share(rows, [row["access"] in FULL_ACCESS for row in rows]),
            "by_domain": domain_shares(rows, risk_of_bias),
        }
    )
    return found, _bias_words(found)


def _bias_words(found: Mapping[str, Any]) -> list[str]:
    if found["share_not_judged"] == 1:
        judged = "Risk of bias has been judged for none of these trials."
    else:
        judged = (
            f"Weight by risk of bias: low {format_percent(found['share_low'])}, some concerns "
            f"{format_percent(found['share_some_concerns'])}, high "
            f"{format_percent(found['share_high'])}, unclear "
            f"{format_percent(found['share_unclear'])}, not judged "
            f"{format_percent(found['share_not_judged'])}."
        )
    by_domain = [
        f"By domain of {_TOOLS.get(tool, tool)}, weight judged low, with some concerns or unclear, "
        "and high: "
        + "; ".join(
            f"{domain.replace('_', ' ')} "
            + ", ".join(
                format_percent(part)
                for part in (at["low"], at["some_concerns"] + at["unclear"], at["high"])
            )
            for domain, at in domains.items()
        )
        + "."
        for tool, domains in found.get("by_domain", {}).items()
    ]
    return [
        judged,
        *by_domain,
        f"{format_percent(found['share_double_blind'])} of the weight is from double-blind trials, "
        f"{format_percent(found['share_full_access'])} from trials read in full or in a registry.",
    ]


def inconsistency_facts(spec: AnalysisSpec, pooled: Mapping[str, Any], rows: Rows) -> Facts:
    """Return how much trials differ, and what the prediction interval includes."""
    found: dict[str, Any] = {"k": len(rows)}
    if len(rows) > 1:
        numbers = ("tau2", "i2", "i2_ci_low", "i2_ci_high", "q_p_value", "pi_low", "pi_high")
        found |= published({name: pooled[name] for name in numbers})
        found["trials_on_other_side"] = sum(
            row["estimate"] * pooled["estimate"] < 0 for row in rows
        )
        if found["pi_low"] is not None:
            found["pi_includes"] = regions(spec, found["pi_low"], found["pi_high"])
    return found, _inconsistency_words(found)


def _inconsistency_words(found: Mapping[str, Any]) -> list[str]:
    if found["k"] < 2:
        return ["One trial: consistency cannot be assessed."]
    i2 = f"I² is {format_percent(found['i2'])}"
    if found["i2_ci_low"] is not None:
        low, high = format_percent(found["i2_ci_low"]), format_percent(found["i2_ci_high"])
        i2 += f" ({low} to {high})"
    return [
        f"{i2}; {format_count(found['trials_on_other_side'])} of {plural(found['k'], 'trial')} on "
        "the other side of no effect than the pooled estimate.",
        "No prediction interval: too few trials."
        if found["pi_low"] is None
        else f"The prediction interval includes {_listed(found['pi_includes'])}.",
    ]


def important_difference(spec: AnalysisSpec) -> float | None:
    """Return the important difference an analysis declares, for its model or for a next trial."""
    if spec.model.important_difference is not None:
        return spec.model.important_difference
    plan = spec.next_trial
    # A plan about risks has a difference of shares, which is no effect on the scale of a ratio.
    return None if plan is None or plan.baseline_risk is not None else plan.important_difference


def regions(spec: AnalysisSpec, low: float, high: float) -> list[str]:
    """Return what an interval includes: either direction, and an important difference.

    An important difference has the sign of benefit; without one only directions are told apart.
    """
    important = important_difference(spec)
    left, right = (text[:1].lower() + text[1:] for text in spec.favours)
    found = []
    if low < 0:
        found.append(f"effects on the side “{left}”")
    if low <= 0 <= high:
        found.append("no effect")
    if high > 0:
        found.append(f"effects on the side “{right}”")
    if important is not None:
        beyond = low <= important if important < 0 else high >= important
        within = high > important if important < 0 else low < important
        name = f"the important difference of {format_number(important)}"
        if beyond and within:
            found.append(name)
        elif not beyond:
            found.append(f"nothing as large as {name}")
        else:
            found.append(f"nothing smaller than {name}")
    return found


def indirectness_facts(spec: AnalysisSpec, rows: Rows) -> Facts:
    """Return how near people and treatment are to those that the project asks about."""
    direct = spec.project.directness
    people = [row["diagnosis"] in direct.diagnosis for row in rows]
    given = [set(str(row["intervention"]).split(" / ")) <= {*direct.intervention} for row in rows]
    words = spec.project.words_of
    found = {
        "directness": spec.directness,
        "share_of_people": published(share(rows, people)),
        "share_of_treatment": published(share(rows, given)),
        "diagnoses": sorted({words(row["diagnosis"]) for row in rows}),
        "outcomes": sorted({words(row["outcome"]) for row in rows}),
    }
    return found, _indirectness_words(found, direct)


def _indirectness_words(found: Mapping[str, Any], direct: Directness) -> list[str]:
    return [
        f"Declared as {found['directness']} evidence on {direct.topic}: "
        f"{format_percent(found['share_of_people'])} of the weight is from {direct.people}, "
        f"{format_percent(found['share_of_treatment'])} from trials of {direct.treatment}.",
        f"People: {', '.join(found['diagnoses'])}. Measured: {', '.join(found['outcomes'])}.",
    ]


def imprecision_facts(
    spec: AnalysisSpec,
    pooled: Mapping[str, Any],
    rows: Rows,
    events: Mapping[str, Any] | None,
) -> Facts:
    """Return what the interval includes, and the optimal information size."""
    people = sum(row["n_participants"] or 0 for row in rows)
    found: dict[str, Any] = {
        "ci_low": published(pooled["ci_low"]),
        "ci_high": published(pooled["ci_high"]),
        "n_participants": people,
        "trials_without_size": sum(row["n_participants"] is None for row in rows),
        **_information_size(spec, rows, events),
    }
    if found["ci_low"] is not None:
        found["ci_includes"] = regions(spec, found["ci_low"], found["ci_high"])
    if found["information_size"] is not None:
        found["information_size_reached"] = people >= found["information_size"]
    return found, _imprecision_words(found, spec.model.measure)


def _imprecision_words(found: Mapping[str, Any], measure: Measure) -> list[str]:
    words = []
    if found["ci_low"] is not None:
        interval = interval_words(found["ci_low"], found["ci_high"], measure)
        words.append(f"The interval, {interval}, includes {_listed(found['ci_includes'])}.")
    if found["information_size"] is None:
        return [*words, found["information_size_basis"]]
    least = "at least " if found["trials_without_size"] else ""
    relation = "reach it" if found["information_size_reached"] else "do not reach it"
    return [
        *words,
        f"Optimal information size: {format_count(found['information_size'])} people "
        f"({found['information_size_basis']}). The trials have {least}"
        f"{format_count(found['n_participants'])} and {relation}.",
    ]


def _information_size(
    spec: AnalysisSpec, rows: Rows, events: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the optimal information size and what it assumes, or why there is none."""
    conventional = f"two-sided alpha {format_number(ALPHA)}, power {format_percent(POWER)}"
    measure = spec.model.measure

    def none(reason: str) -> dict[str, Any]:
        return {"information_size": None, "information_size_basis": reason}

    if spec.kind == "within_trial":
        return none("No optimal information size: a difference between groups of people.")
    if measure in (Measure.RR, Measure.OR, Measure.RD):
        if events is None or not 0 < events["baseline_risk"] < 1:
            return none("No optimal information size: the risk on control is not known.")
        risk = published(events["baseline_risk"])
        rare_harm = spec.section == spec.project.harms.section != "" and risk < 0.75
        change = RELATIVE_CHANGE if rare_harm else -RELATIVE_CHANGE
        side = "more" if change > 0 else "fewer"
        return {
            "information_size": information_size_risks(risk, change),
            "information_size_basis": f"{format_percent(RELATIVE_CHANGE)} {side} than the "
            f"{format_percent(risk, 1)} on control, {conventional}",
        }
    if measure not in (Measure.SMD, Measure.MD):
        return none("No optimal information size: there is no control group.")
    important = important_difference(spec)
    if important is None:
        return none("No optimal information size: no important difference is declared.")
    sd = 1.0
    if measure is Measure.MD:
        sized = [row for row in rows if row["n_treatment"] and row["n_control"]]
        if not sized:
            return none("No optimal information size: the trials print no sizes.")
        columns = [[row[key] for row in sized] for key in ("variance", "n_treatment", "n_control")]
        sd = published(implied_sd(*columns))
    try:
        size = information_size_means(important, sd)
    except UsageError as error:
        return none(f"No optimal information size: {error}.")
    spread = "" if measure is Measure.SMD else f" with an SD of {format_number(sd, 1)}"
    return {
        "information_size": size,
        "information_size_basis": f"for a difference of {format_number(abs(important))}{spread}, "
        f"{conventional}",
    }


def publication_facts(
    rows: Rows, small_study: Mapping[str, Any] | None, unused: Sequence[Mapping[str, Any]]
) -> Facts:
    """Return small-study tests where there are enough trials, and trials that print nothing usable.

    ``unused`` holds the extracted rows in scope that yield no effect size.
    """
    silent = {row["study_id"] for row in unused} - {row["study_id"] for row in rows}
    egger = (small_study or {}).get("egger") or {}
    found = {
        "k": len(rows),
        "egger_p_value": published(egger.get("p_value")),
        "trim_and_fill_missing": ((small_study or {}).get("trim_and_fill") or {}).get("missing"),
        "trials_without_usable_result": len(silent),
    }
    return found, _publication_words(found)


def _publication_words(found: Mapping[str, Any]) -> list[str]:
    if found["k"] < MIN_STUDIES_SMALL_STUDY:
        words = [
            f"{plural(found['k'], 'trial')}: small-study tests need "
            f"{format_count(MIN_STUDIES_SMALL_STUDY)} and are not made."
        ]
    elif found["egger_p_value"] is not None:
        words = [f"Egger's test for small-study effects: {format_p(found['egger_p_value'])}."]
        if found["trim_and_fill_missing"] is not None:
            words.append(f"Trim-and-fill adds {plural(found['trim_and_fill_missing'], 'trial')}.")
    else:
        words = ["Small-study tests could not be made."]
    silent = found["trials_without_usable_result"]
    if silent:
        words.append(
            f"{plural(silent, 'other trial')} measured it but "
            f"{'prints' if silent == 1 else 'print'} nothing that can be used."
        )
    return words


def domain_words(
    code: str, found: Mapping[str, Any], measure: Measure, project: Project
) -> list[str]:
    """Return what the facts of a domain say, from the facts as published alone."""
    if code == "indirectness":
        return _indirectness_words(found, project.directness)
    if code == "imprecision":
        return _imprecision_words(found, measure)
    return _WORDS[code](found)


_WORDS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "risk_of_bias": _bias_words,
    "inconsistency": _inconsistency_words,
    "publication_bias": _publication_words,
}


def _listed(items: Sequence[str]) -> str:
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


LABELS: Mapping[str, str] = {
    "risk_of_bias": "Risk of bias",
    "inconsistency": "Inconsistency",
    "indirectness": "Indirectness",
    "imprecision": "Imprecision",
    "publication_bias": "Publication bias",
}
RATINGS = ("very low", "low", "moderate", "high")
#: Kinds of analysis that are assessed; networks need an assessment per comparison.
_ASSESSED = ("pooled", "within_trial")
_RANDOMISED = ("parallel_rct", "crossover_rct", "withdrawal_rct", "cluster_rct",
               "factorial_rct", "pooled_rcts")  # fmt: skip


def certainty(
    spec: AnalysisSpec,
    result: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    risk_of_bias: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the assessment of every main result of an analysis.

    Parameters
    ----------
    spec : AnalysisSpec
    result : mapping
        Of the analysis: ``pooled``, ``groups``, ``events``, ``small_study``, ``unused``.
    rows : sequence of mapping
        One per trial, as the main model saw them, with ``weight``.
    risk_of_bias : sequence of mapping
        Rows ``study_id, outcome, domain, judgement``.

    Returns
    -------
    dict
        ``withheld``, the reason when nothing is assessed, and ``assessments``, one for the analysis
        or, where its groups are not pooled together, one per group: ``group``, ``domains`` (each
        ``code, label, facts, words, judgement``), ``rating`` (see :func:`rate`) and ``summary`` (a
        row of the summary-of-findings table).
    """
    if spec.kind not in _ASSESSED:
        return {"withheld": "Certainty is not assessed for this kind of analysis.",
                "assessments": []}  # fmt: skip
    if not rows:
        return {"withheld": "No eligible trial: there is nothing to be certain of.",
                "assessments": []}  # fmt: skip
    if result["pooled"] is not None:
        mains = [("", result["pooled"], rows)]
    else:
        mains = [
            (group["label"] or "", group["pooled"], group["rows"])
            for group in result["groups"]
            if group["pooled"] is not None
        ]
    return {
        "withheld": "",
        "assessments": [
            _assessment(spec, result, label, pooled, members, risk_of_bias)
            for label, pooled, members in mains
        ],
    }


def _assessment(
    spec: AnalysisSpec,
    result: Mapping[str, Any],
    label: str,
    pooled: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    risk_of_bias: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    whole = label == ""
    computed = {
        "risk_of_bias": bias_facts(rows, risk_of_bias),
        "inconsistency": inconsistency_facts(spec, pooled, rows),
        "indirectness": indirectness_facts(spec, rows),
        "imprecision": imprecision_facts(spec, pooled, rows, result["events"] if whole else None),
        "publication_bias": publication_facts(
            rows,
            result.get("small_study") if whole else None,
            result["unused"],
        ),
    }
    judgements = spec.judgements
    domains = []
    for code in DOMAINS:
        found, sentences = computed[code]
        judged = judgements.get(code)
        domains.append(
            {
                "code": code,
                "label": LABELS[code],
                "facts": found,
                "words": sentences,
                "judgement": None
                if judged is None
                else {"level": judged.level, "reason": judged.reason},
            }
        )
    rating = rate(
        [judgements[code].level if code in judgements else None for code in DOMAINS],
        randomised=all(row["design"] in _RANDOMISED for row in rows),
    )
    return {
        "group": label,
        "domains": domains,
        "rating": rating,
        "summary": _summary(spec, result, label, pooled, rows, rating),
    }


def rate(levels: Sequence[str | None], *, randomised: bool) -> dict[str, Any]:
    """Return the overall rating, or how many judgements it awaits.

    Parameters
    ----------
    levels : sequence of str or None
        One per domain; None where nobody has judged it.
    randomised : bool
        Whether every trial was randomised: the rating then starts at high, otherwise at low.

    Returns
    -------
    dict
        ``level`` (one of ``RATINGS`` or None), ``starts_at``, ``awaiting`` and ``words``.

    Notes
    -----
    Each serious concern lowers certainty by one level, each very serious one by two, not below very
    low. Reasons to rate up are not considered.
    """
    start = "high" if randomised else "low"
    awaiting = sum(level is None for level in levels)
    if awaiting:
        await_ = "awaits" if awaiting == 1 else "await"
        return {
            "level": None,
            "starts_at": start,
            "awaiting": awaiting,
            "words": f"not rated: {plural(awaiting, 'domain')} {await_} judgement",
        }
    down = sum(CONCERNS[level] for level in levels if level is not None)
    level = RATINGS[max(0, RATINGS.index(start) - down)]
    return {"level": level, "starts_at": start, "awaiting": 0, "words": level}


def _summary(
    spec: AnalysisSpec,
    result: Mapping[str, Any],
    label: str,
    pooled: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    rating: Mapping[str, Any],
) -> dict[str, Any]:
    """Return one row of the summary-of-findings table."""
    measure = spec.model.measure
    people = [row["n_participants"] for row in rows if row["n_participants"] is not None]
    least = "at least " if len(people) < len(rows) else ""
    events = result["events"] if label == "" else None
    return {
        "analysis": spec.name,
        "title": f"{spec.title}: {label.lower()}" if label else spec.title,
        "directness": spec.directness,
        "k": len(rows),
        "people": f"{least}{format_count(sum(people))}" if people else "not printed",
        "effect": _effect_words(pooled, measure, spec.select.instrument),
        "direction": _direction(pooled, spec.favours),
        "absolute": _absolute_words(events),
        "certainty": rating["words"],
    }


def _effect_words(
    pooled: Mapping[str, Any], measure: Measure, instruments: Sequence[str] = ()
) -> str:
    """Return the estimate with its measure, its interval and, of a mean difference, its scale."""
    name = {"SMD": "SMD", "MD": "mean difference", "SMCR": "standardised change"}.get(
        str(measure), measure.label.lower()
    )
    value = written(pooled["estimate"], measure)
    if measure is Measure.MD and len(instruments) == 1:
        value += f" {words_of(instruments[0]).upper()} points"
    if pooled["ci_low"] is None:
        return f"{name} {value}"
    return f"{name} {value} ({interval_words(pooled['ci_low'], pooled['ci_high'], measure)})"


def _direction(pooled: Mapping[str, Any], favours: Sequence[str]) -> str:
    """Return the side on which the whole interval lies, in the words of the axis."""
    low, high = pooled["ci_low"], pooled["ci_high"]
    if low is None or high is None:
        return "no interval"
    if low <= 0 <= high:
        return "includes no difference"
    side = favours[0] if high < 0 else favours[1]
    return side[:1].lower() + side[1:]


def _absolute_words(events: Mapping[str, Any] | None) -> str:
    """Return people per thousand on control, and how many more on treatment."""
    if not events or events["per_thousand"]["estimate"] is None:
        return ""
    more = events["per_thousand"]
    words = f"{format_number(1000 * events['baseline_risk'], 0)} per 1,000 on control; "
    words += f"{format_number(abs(more['estimate']), 0)} "
    words += "more" if more["estimate"] >= 0 else "fewer"
    if more["ci_low"] is not None:
        low, high = format_number(more["ci_low"], 0), format_number(more["ci_high"], 0)
        words += f" (difference {low} to {high})"
    return words


def summary_of_findings(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the summary-of-findings table: one row per main result, in report order.

    Questions without a trial have a row too, which says so. Times of one model of the effect over
    time have none: each has an analysis of its own.
    """
    table = []
    for result in results:
        if result.get("over_time"):
            continue
        found = result.get("certainty") or {"assessments": []}
        if result["k"] == 0:
            table.append(
                {
                    "analysis": result["name"],
                    "title": result["title"],
                    "directness": result["directness"],
                    "k": 0,
                    "people": "none",
                    "effect": "no eligible trial",
                    "direction": "",
                    "absolute": "",
                    "certainty": "nothing to rate",
                }
            )
        table += [item["summary"] for item in found["assessments"]]
        table += _dose_summary(result)
    return table


def _dose_summary(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the row of a dose-response line: its slope per step of dose."""
    doses = result.get("dose_response")
    if result["k"] == 0 or doses is None or doses["withheld"] or doses["linear"]["withheld"]:
        return []
    measure = Measure(result["measure"])
    slope = doses["linear"]["slope"]
    step = f"{doses['step']:g} {doses['unit'].replace('_', ' ')}"
    least = "at least " if result["n_trials_without_size"] else ""
    effect = _effect_words(slope, measure, result["spec"]["select"]["instrument"])
    return [
        {
            "analysis": result["name"],
            "title": result["title"],
            "directness": result["directness"],
            "k": result["k"],
            "people": f"{least}{format_count(result['n_participants'])}",
            "effect": f"{effect} per {step} more",
            "direction": _direction(slope, result["favours"]),
            "absolute": "",
            "certainty": "not assessed",
        }
    ]
