"""How certain a result is, domain by domain: what can be computed, and what a person must judge.

After GRADE (Guyatt et al. 2011, J. Clin. Epidemiol. 64, 383-394). Computed facts never make a
judgement: where nobody has judged a domain, that is what is said, and no overall rating is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketameta.analyses import certainty_facts as facts
from ketameta.analyses.spec import CONCERNS, DOMAINS
from ketameta.analyses.words import interval_words, words_of, written
from ketameta.numberformat import format_count, format_number, plural
from ketameta.vocabulary import Measure

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec

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
_RANDOMISED = ("parallel_rct", "crossover_rct", "withdrawal_rct", "pooled_rcts")


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
        "risk_of_bias": facts.bias_facts(rows, risk_of_bias),
        "inconsistency": facts.inconsistency_facts(spec, pooled, rows),
        "indirectness": facts.indirectness_facts(spec, rows),
        "imprecision": facts.imprecision_facts(
            spec, pooled, rows, result["events"] if whole else None
        ),
        "publication_bias": facts.publication_facts(
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
