"""How certain a result is, domain by domain: facts, a provisional rating by rule, and judgements.

The domains are those of GRADE (Guyatt et al. 2011, J. Clin. Epidemiol. 64, 383-394). A declared
rule rates what can be computed; it is called provisional and never GRADE. A person's judgement
replaces the rule's; risk of bias that nobody judged stays not judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketameta.analyses.parts import part
from ketameta.analyses.policy import (
    bounds_words,
    direction_words,
    effect_words,
    sd_of,
    short_absolute,
    side_of,
)
from ketameta.analyses.result import (
    AnalysisResult,
    Assessment,
    BiasFacts,
    Certainty,
    Domain,
    Events,
    Excluded,
    Finding,
    Headline,
    ImprecisionFacts,
    InconsistencyFacts,
    IndirectnessFacts,
    InformationSize,
    Pooled,
    PublicationFacts,
    Rating,
    SmallStudy,
    StudyRow,
)
from ketameta.analyses.sensitivity import FULL_ACCESS, event_models
from ketameta.analyses.sentences import (
    DIFFERS_BELOW,
    lower_first,
    measure_words,
    pools_in,
    words_of,
    written,
)
from ketameta.analyses.spec import CONCERNS, DOMAINS
from ketameta.errors import UsageError
from ketameta.formatting import (
    first_names,
    format_count,
    format_number,
    format_p,
    format_percent,
    plural,
    published,
    trials_words,
)
from ketameta.measures import (
    DATASET,
    FREQUENTIST_FROM,
    MIN_STUDIES_SMALL_STUDY,
    RANDOMISED,
    ROB_DOMAINS,
    ROB_SUMMARY,
    Measure,
)
from ketameta.models.power import (
    ALPHA,
    POWER,
    RELATIVE_CHANGE,
    information_size_means,
    information_size_risks,
)

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.project import Directness
    from ketameta.evidence.tables import Row


Rows = Sequence[StudyRow]
Facts = BiasFacts | InconsistencyFacts | IndirectnessFacts | ImprecisionFacts | PublicationFacts
#: Judgements of reviews, a row per trial, outcome and domain.
Judged = Sequence["Mapping[str, str] | Row"]

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


def bias_judgement(study: str, outcome: str, risk_of_bias: Judged) -> str | None:
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


def _about(study: str, outcome: str, risk_of_bias: Judged) -> Judged:
    """Return what reviews judged of a trial and outcome, or of the whole trial."""
    own = [row for row in risk_of_bias if row["study_id"] == study]
    for about in (outcome, outcome.removesuffix(DATASET), ""):
        rows = [row for row in own if row["outcome"] == about]
        if _worst(rows):
            return rows
    return []


def _worst(rows: Judged) -> str | None:
    words = [ROB_SUMMARY.get(str(row["judgement"]), str(row["judgement"])) for row in rows]
    return max((word for word in words if word in _SEVERITY), key=_SEVERITY.index, default=None)


def domain_shares(rows: Rows, risk_of_bias: Judged) -> dict[str, dict[str, dict[str, float]]]:
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


def bias_facts(rows: Rows, risk_of_bias: Judged) -> tuple[BiasFacts, list[str]]:
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


def _bias_words(found: BiasFacts) -> list[str]:
    if found["share_not_judged"] == 1:
        judged = "Risk of bias has been judged for none of these trials."
    else:
        judged = (
            "Weight in the usual model by risk of bias: low "
            f"{format_percent(found['share_low'])}, some concerns "
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
        f"{format_percent(found['share_double_blind'])} of the weight in the usual model is from "
        f"double-blind trials, {format_percent(found['share_full_access'])} from trials read in "
        "full or in a registry.",
    ]


def inconsistency_facts(
    spec: AnalysisSpec, headline: Headline, pooled: Pooled, rows: Rows
) -> tuple[InconsistencyFacts, list[str]]:
    """Return how much trials differ, and what the prediction interval includes."""
    found: InconsistencyFacts = {"k": len(rows), "pools": pools_in(rows)}
    if len(rows) > 1:
        side = headline["estimate"] or 0.0
        across = sum(row["estimate"] * side < 0 for row in rows)
        of_fit = published(pooled)
        found = part(InconsistencyFacts, found, headline, of_fit, trials_on_other_side=across)
        if found["pi_low"] is not None:
            found["pi_includes"] = regions(spec, found["pi_low"], found["pi_high"])
    return found, _inconsistency_words(found)


def _inconsistency_words(found: InconsistencyFacts) -> list[str]:
    if found["k"] < 2:
        one = trials_words(found["k"], found["pools"], one="One trial")
        return [f"{one}: consistency cannot be assessed."]
    i2 = f"I² is {format_percent(found['i2'])}"
    if found["i2_ci_low"] is not None:
        low, high = format_percent(found["i2_ci_low"]), format_percent(found["i2_ci_high"])
        i2 += f" ({low} to {high})"
    of = trials_words(found["k"], found["pools"])
    if found["pools"]:
        of = f"{format_count(found['k'])} ({of})"
    return [
        f"{i2}; {format_count(found['trials_on_other_side'])} of {of} on the other side of no "
        "effect than the pooled estimate.",
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


def regions(spec: AnalysisSpec, low: float | None, high: float | None) -> list[str]:
    """Return what an interval includes: either direction, and an important difference.

    An important difference has the sign of benefit, and one as large on the side of harm is told
    where it is included; without one only directions are told apart. An end without bound is None.
    """
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    important = important_difference(spec)
    left, right = map(lower_first, spec.favours)
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
        harm = high >= -important if important < 0 else low <= -important
        name = f"the important difference of {format_number(important)}"
        if beyond and within:
            found.append(name)
        elif not beyond:
            found.append(f"nothing as large as {name}{' on the side of benefit' if harm else ''}")
        else:
            found.append(f"nothing smaller than {name}")
        if harm:
            found.append(f"a difference as large on the side of harm ({format_number(-important)})")
    return found


def indirectness_facts(spec: AnalysisSpec, rows: Rows) -> tuple[IndirectnessFacts, list[str]]:
    """Return how near people and treatment are to those that the project asks about."""
    direct = spec.project.directness
    # Where the project names nobody and nothing, what the analysis declares is all that is known.
    as_declared = ("direct", "related"), ("direct", "indirect")
    people = [
        row["diagnosis"] in direct.diagnosis
        if direct.diagnosis
        else spec.directness in as_declared[0]
        for row in rows
    ]
    given = [
        set(str(row["intervention"]).split(" / ")) <= {*direct.intervention}
        if direct.intervention
        else spec.directness in as_declared[1]
        for row in rows
    ]
    words = spec.project.words_of
    found: IndirectnessFacts = {
        "directness": spec.directness,
        "share_of_people": published(share(rows, people)),
        "share_of_treatment": published(share(rows, given)),
        "diagnoses": sorted({words(row["diagnosis"]) for row in rows}),
        "outcomes": sorted({words(row["outcome"]) for row in rows}),
    }
    return found, _indirectness_words(found, direct)


def _indirectness_words(found: IndirectnessFacts, direct: Directness) -> list[str]:
    share = f"{format_percent(found['share_of_people'])} of the weight in the usual model"
    people = f"{share} is from {direct.people}"
    given = f"{format_percent(found['share_of_treatment'])} from trials of {direct.treatment}"
    if not direct.diagnosis:
        people = "the project does not name the people that it asks about"
    if not direct.intervention:
        given = "the project does not name the treatment that it asks about"
    return [
        f"Declared as {direct.tag(found['directness'])} on {direct.topic}: {people}, {given}.",
        f"People: {', '.join(found['diagnoses'])}. Measured: {', '.join(found['outcomes'])}.",
    ]


def imprecision_facts(
    spec: AnalysisSpec,
    headline: Headline,
    rows: Rows,
    events: Events | None,
) -> tuple[ImprecisionFacts, list[str]]:
    """Return what the interval includes, and the optimal information size."""
    people = sum(row["n_participants"] or 0 for row in rows)
    found = part(
        ImprecisionFacts,
        headline,
        _information_size(spec, rows, events),
        n_participants=people,
        trials_without_size=sum(row["n_participants"] is None for row in rows),
    )
    if headline["side"] != "none":
        found["ci_includes"] = regions(spec, headline["ci_low"], headline["ci_high"])
    if found["information_size"] is not None:
        found["information_size_reached"] = people >= found["information_size"]
    return found, _imprecision_words(found)


def _imprecision_words(found: ImprecisionFacts) -> list[str]:
    words = []
    if "ci_includes" in found:
        interval = bounds_words(found["ci_low"], found["ci_high"], Measure(found["measure"]))
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


def _information_size(spec: AnalysisSpec, rows: Rows, events: Events | None) -> InformationSize:
    """Return the optimal information size and what it assumes, or why there is none."""
    conventional = f"two-sided alpha {format_number(ALPHA)}, power {format_percent(POWER)}"
    measure = spec.model.measure

    def none(reason: str) -> InformationSize:
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
        if (implied := sd_of(rows)) is None:
            return none("No optimal information size: the trials print no sizes.")
        sd = published(implied)
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
    rows: Rows, small_study: SmallStudy | None, unused: Sequence[Excluded]
) -> tuple[PublicationFacts, list[str]]:
    """Return small-study tests where there are enough trials, and trials that print nothing usable.

    ``unused`` holds the extracted rows that yield no effect size; those that answer count.
    """
    silent = {row["study_id"]: row["label"] for row in unused if row["answers"] is not None}
    for row in rows:
        silent.pop(row["study_id"], None)
    egger = small_study.get("egger") if small_study else None
    filled = small_study.get("trim_and_fill") if small_study else None
    found: PublicationFacts = {
        "k": len(rows),
        "pools": pools_in(rows),
        "egger_p_value": published(egger.get("p_value")) if egger else None,
        "trim_and_fill_missing": filled.get("missing") if filled else None,
        "trials_without_usable_result": len(silent),
        "without_usable_result": sorted(silent.values()),
    }
    return found, _publication_words(found)


def _publication_words(found: PublicationFacts) -> list[str]:
    if found["k"] < MIN_STUDIES_SMALL_STUDY:
        words = [
            f"{trials_words(found['k'], found['pools'])}: small-study tests need "
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
            f"{plural(silent, 'other trial')} measured it as asked (people, comparison, design, "
            "instrument, time) and printed nothing that can be used: "
            f"{first_names(found['without_usable_result'], most=6)}."
        )
    return words


def _listed(items: Sequence[str]) -> str:
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


LABELS: Mapping[str, str] = {code: words_of(code).capitalize() for code in DOMAINS}
RATINGS = ("very low", "low", "moderate", "high")


def certainty(
    spec: AnalysisSpec,
    result: AnalysisResult,
    rows: Rows,
    risk_of_bias: Judged,
) -> Certainty:
    """Return the assessment of every main result of an analysis, or why nothing is assessed.

    One for the analysis or, where its groups are not pooled together, one per group. ``rows`` are
    one per trial, as the main model saw them, with ``weight``; ``risk_of_bias`` the rows of that
    table.
    """
    withheld = "" if rows else "No eligible trial: there is nothing to be certain of."
    if spec.kind not in ("pooled", "within_trial"):  # networks need one per comparison
        withheld = "Certainty is not assessed for this kind of analysis."
    if withheld:
        return {"withheld": withheld, "assessments": []}
    mains: list[tuple[str | None, str, Headline, Pooled, Rows]] = [
        (group["key"], group["label"] or "", group["headline"], group["pooled"], group["rows"])
        for group in result["groups"]
        if group["pooled"] is not None and group["headline"] is not None
    ]
    if result["pooled"] is not None:
        mains = [(None, "", result["headline"], result["pooled"], rows)]
    return {
        "withheld": "",
        "assessments": [_assessment(spec, result, *main, risk_of_bias) for main in mains],
    }


def _assessment(
    spec: AnalysisSpec,
    result: AnalysisResult,
    key: str | None,
    label: str,
    headline: Headline,
    pooled: Pooled,
    rows: Rows,
    risk_of_bias: Judged,
) -> Assessment:
    """Return the assessment of the whole (no key) or of a group."""
    whole = key is None
    unused = [row for row in result["unused"] if whole or row["answers"] == key]
    events = result["events"] if whole else event_models(spec, list(rows))
    computed: dict[str, tuple[Facts, list[str]]] = {
        "risk_of_bias": bias_facts(rows, risk_of_bias),
        "inconsistency": inconsistency_facts(spec, headline, pooled, rows),
        "indirectness": indirectness_facts(spec, rows),
        "imprecision": imprecision_facts(spec, headline, rows, events),
        "publication_bias": publication_facts(
            rows, result.get("small_study") if whole else None, unused
        ),
    }
    judgements = spec.judgements
    domains: list[Domain] = []
    for code in DOMAINS:
        found, sentences = computed[code]
        judged = judgements.get(code)
        level, reason = RULE[code](found)
        domains.append(
            {
                "code": code,
                "label": LABELS[code],
                "facts": found,
                "words": sentences,
                "judgement": None
                if judged is None
                else {"level": judged.level, "reason": judged.reason},
                "by_rule": {"level": level, "reason": reason},
            }
        )
    rating = rate(
        [judgements[code].level if code in judgements else None for code in DOMAINS],
        [domain["by_rule"]["level"] for domain in domains],
        randomised=all(row["design"] in RANDOMISED for row in rows),
    )
    return {
        "group": label,
        "domains": domains,
        "rating": rating,
        "summary": _summary(spec, label, headline, rating),
    }


def rate(judged: Sequence[str | None], ruled: Sequence[str | None], *, randomised: bool) -> Rating:
    """Return the rating: a panel's, or a provisional one by rule where somebody did not judge.

    Parameters
    ----------
    judged : sequence of str or None
        One level per domain; None where nobody has judged it.
    ruled : sequence of str or None
        The levels by rule; None where the rule needs somebody's judgement.
    randomised : bool
        Whether every trial was randomised: the rating then starts at high, otherwise at low.

    Returns
    -------
    dict
        ``level`` (one of ``RATINGS``), ``starts_at``, ``awaiting`` (domains that nobody judged),
        ``provisional`` and ``words``.

    Notes
    -----
    Each serious concern lowers certainty by one level, each very serious one by two, not below very
    low. What nobody could judge may be a concern: risk of bias that is not judged leaves at most
    low, another domain at most moderate. Reasons to rate up are not considered.
    """
    start = "high" if randomised else "low"
    levels = [one or other for one, other in zip(judged, ruled, strict=True)]
    level = RATINGS[
        max(0, RATINGS.index(start) - sum(CONCERNS[item] for item in levels if item is not None))
    ]
    awaiting = sum(item is None for item in judged)
    silent = [code for code, item in zip(DOMAINS, levels, strict=True) if item is None]
    most = min((_MOST[code] for code in silent), key=RATINGS.index, default="high")
    capped = RATINGS.index(level) > RATINGS.index(most)
    level = most if capped else level
    words = level
    if awaiting:
        bound = f"at most {most} while " if capped else ""
        listed = _listed([LABELS[code].lower() for code in silent])
        unjudged = f"; {bound}{listed} not judged" if silent else ""
        words = f"provisional rating by rule: {level}{unjudged}"
    return {
        "level": level,
        "starts_at": start,
        "awaiting": awaiting,
        "provisional": awaiting > 0,
        "words": words,
    }


# --- the rule -------------------------------------------------------------------------------------


def _bias_rule(found: BiasFacts) -> tuple[str | None, str]:
    unjudged = found["share_not_judged"]
    if unjudged >= _MOSTLY:
        return None, f"not judged for {format_percent(unjudged)} of the weight in the usual model"
    high, low = found["share_high"], found["share_low"]
    between = found["share_some_concerns"] + found["share_unclear"]
    reason = (
        f"of the weight in the usual model, published reviews judged {format_percent(low)} low, "
        f"{format_percent(between)} with some concerns or unclear and {format_percent(high)} high; "
        f"{format_percent(unjudged)} is not judged"
    )
    if high >= _MOSTLY:
        return "very serious", reason
    return ("no concern" if low >= _MOSTLY and high < _PARTLY else "serious"), reason


def _inconsistency_rule(found: InconsistencyFacts) -> tuple[str | None, str]:
    if found["k"] < 2:
        one = trials_words(found["k"], found["pools"], one="one trial")
        return None, f"{one} has nothing to differ from"
    p, i2 = found["q_p_value"], found["i2"] or 0.0
    if p is None or p >= DIFFERS_BELOW:
        few = "; few trials, so that the test finds little" if found["k"] < FREQUENTIST_FROM else ""
        reason = f"I² is {format_percent(i2)}, Q test {format_p(p)}, limit {DIFFERS_BELOW:.2f}{few}"
        return "no concern", f"no difference beyond chance was shown that is large ({reason})"
    limit = f"{format_p(p)}, limit {DIFFERS_BELOW:.2f}"
    reason = f"trials differ more than chance explains (I² {format_percent(i2)}, {limit})"
    if i2 < _MOSTLY:
        return "no concern", f"{reason}, but I² is below {format_percent(_MOSTLY)}"
    low, high = found["pi_low"], found["pi_high"]
    both = low is not None and high is not None and low < 0 < high
    if both and i2 >= _CONSIDERABLE:
        return "very serious", f"{reason}, and a new one may show either direction"
    return "serious", reason


def _indirectness_rule(found: IndirectnessFacts) -> tuple[str, str]:
    if found.get("directness") == "context":
        return "no concern", "context, rated on its own question"
    other = [
        name
        for name, share in (
            ("people", found["share_of_people"]),
            ("treatments", found["share_of_treatment"]),
        )
        if share < _MOSTLY
    ]
    level = ("no concern", "serious", "very serious")[len(other)]
    asked = "the people and the treatment that are asked about"
    return level, f"mostly other {' and other '.join(other)}" if other else asked


def _imprecision_rule(found: ImprecisionFacts) -> tuple[str | None, str]:
    reasons = []
    if "no effect" in found.get("ci_includes", ()):
        reasons.append("the interval includes no effect")
    if found["ci_low"] is None or found["ci_high"] is None:
        reasons.append("the interval has no bound on one side")
    if found.get("information_size_reached") is False:
        reasons.append("fewer people than the optimal information size")
    if not reasons and "information_size_reached" not in found:
        return None, "the interval excludes no effect; the people needed are not known"
    level = ("no concern", "serious", "very serious")[min(len(reasons), 2)]
    return level, " and ".join(reasons) or "the interval excludes no effect"


def _publication_rule(found: PublicationFacts) -> tuple[str | None, str]:
    silent, p = found["trials_without_usable_result"], found["egger_p_value"]
    if silent and silent >= found["k"]:
        with_one = trials_words(found["k"], found["pools"])
        without = f"{plural(silent, 'trial')} measured it as asked without a usable result"
        return "serious", f"{without}, {with_one} with one"
    if p is not None and p < DIFFERS_BELOW:
        return "serious", f"small trials show other effects than large ones ({format_p(p)})"
    if found["k"] < MIN_STUDIES_SMALL_STUDY:
        few = trials_words(found["k"], found["pools"]) if found["pools"] else found["k"]
        return None, f"too few trials to test for it ({few})"
    return "no concern", "no sign of small-study effects"


#: The highest rating while a domain is not judged.
_MOST = dict.fromkeys(DOMAINS, "moderate") | {"risk_of_bias": "low"}
#: Shares of the weight, and of I-squared, at which the rule sees a part, most, or a lot.
_PARTLY, _MOSTLY, _CONSIDERABLE = 0.25, 0.5, 0.75
#: How each domain is rated where nobody judges: level and reason, from its facts.
RULE: Mapping[str, Callable[[Any], tuple[str | None, str]]] = {
    "risk_of_bias": _bias_rule,
    "inconsistency": _inconsistency_rule,
    "indirectness": _indirectness_rule,
    "imprecision": _imprecision_rule,
    "publication_bias": _publication_rule,
}


def _summary(spec: AnalysisSpec, label: str, headline: Headline, rating: Rating) -> Finding:
    """Return one row of the summary-of-findings table."""
    least = "at least " if headline["trials_without_size"] else ""
    people = f"{least}{format_count(headline['people'])}"
    return part(
        Finding,
        headline,
        analysis=spec.name,
        title=f"{spec.title}: {label.lower()}" if label else spec.title,
        directness=spec.directness,
        people=people if headline["people"] else "not printed",
        effect=effect_words(headline),
        absolute=short_absolute(headline),
        certainty=rating["words"],
    )


def summary_of_findings(results: Sequence[AnalysisResult]) -> list[Finding]:
    """Return the summary-of-findings table: one row per main result, in report order.

    Questions without a trial have a row too, which says so. Times of one model of the effect over
    time have none: each has an analysis of its own.
    """
    table: list[Finding] = []
    for result in results:
        if result.get("over_time"):
            continue
        assessed = result.get("certainty")
        if result["k"] == 0:
            table.append(
                part(
                    Finding,
                    result,
                    analysis=result["name"],
                    pools=0,
                    people="none",
                    effect="no eligible trial found",
                    direction="",
                    absolute="",
                    certainty="nothing to rate",
                )
            )
        table += [item["summary"] for item in assessed["assessments"]] if assessed else []
        table += _dose_summary(result)
    return table


def _dose_summary(result: AnalysisResult) -> list[Finding]:
    """Return the row of a dose-response line: its slope per step of dose."""
    doses = result.get("dose_response")
    if result["k"] == 0 or doses is None or doses["withheld"] or doses["linear"]["withheld"]:
        return []
    measure = Measure(result["measure"])
    slope = doses["linear"]["slope"]
    step = f"{doses['step']:g} {doses['unit'].replace('_', ' ')}"
    least = "at least " if result["n_trials_without_size"] else ""
    interval = bounds_words(slope["ci_low"], slope["ci_high"], measure)
    effect = f"{measure_words(measure)} {written(slope['estimate'], measure)} ({interval})"
    return [
        part(
            Finding,
            result,
            analysis=result["name"],
            pools=result["headline"]["pools"],
            people=f"{least}{format_count(result['n_participants'])}",
            effect=f"{effect} per {step} more",
            direction=direction_words(
                side_of(slope["ci_low"], slope["ci_high"]), result["favours"]
            ),
            absolute="",
            certainty="not assessed",
        )
    ]
