"""Tables that stand beside a result, from its numbers: times, doses, groups, league, influence.

A room of its own because a table of a result is the same whatever stands around it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

from ketameta.analyses.dose_response import dose_label
from ketameta.analyses.network import treatment_label
from ketameta.analyses.parts import (
    Comparison,
    Credibility,
    Curve,
    GroupFacts,
    Number,
    Slope,
    Split,
    kept,
)
from ketameta.analyses.policy import bounds_words
from ketameta.analyses.result import AnalysisResult
from ketameta.analyses.run import group_label
from ketameta.analyses.sentences import (
    agreement_words,
    estimate_words,
    lower_first,
    measure_words,
    network_order,
    words_of,
    written,
)
from ketameta.evidence.project import NOTHING_DECLARED, Project
from ketameta.formatting import (
    format_count,
    format_number,
    format_p,
    format_percent,
    plural,
    trials_heading,
)
from ketameta.measures import Measure
from ketameta.report.tables import Cell, Heading, Table

#: Below this many degrees of freedom a Satterthwaite interval is not to be relied on (Tipton 2015).
LEAST_DF = 4.0
#: A number with its interval, as a heading of a column says.
ESTIMATE = ("Estimate (interval)", "n")


def trials(result: AnalysisResult) -> tuple[str, str]:
    """Return the heading of how many trials there are, of a result that may hold pooled reports."""
    return trials_heading(result["headline"]["pools"]), "n"


def sensitivity_table(result: AnalysisResult) -> Table | None:
    """Return what other choices would give."""
    measure = Measure(result["measure"])
    rows = [
        (item["label"], str(item["k"]),
         "no trial left" if item["k"] == 0 else estimate_words(item, measure))
        for item in result["sensitivity"]
    ]  # fmt: skip
    caption = f"Sensitivity analyses: {result['title']}"
    return Table.of(caption, ("Choice", trials(result), ESTIMATE), rows) if rows else None


def beside_table(result: AnalysisResult) -> Table | None:
    """Return the estimates that stand beside the headline, each with what it assumes."""
    led = result["headline"]
    rows = []
    for item in led["beside"]:
        measure = Measure(item["measure"])
        open_ended = None in (item["estimate"], item["ci_low"], item["ci_high"])
        ends = bounds_words(item["ci_low"], item["ci_high"], measure)
        value = ends if open_ended else estimate_words(item, measure)
        same = item["measure"] == result["measure"]
        rows.append(
            (item["label"],
             lower_first(result["measure_label"]) if same else measure_words(measure),
             str(item["k"]), item["withheld"] or value)
        )  # fmt: skip
    caption = f"Beside the headline: {result['title']}"
    head = ("Estimate", "Measure", trials(result), ESTIMATE)
    return Table.of(caption, head, rows) if rows else None


def event_table(result: AnalysisResult) -> Table | None:
    """Return the other ways to pool counts, each with its estimate or why there is none."""
    events = result["events"]
    if events is None:
        return None
    rows = [
        (item["method"], measure_words(Measure(item["measure"])), str(events["k"]),
         item["withheld"] or estimate_words(item, Measure(item["measure"])))
        for item in events["methods"]
    ]  # fmt: skip
    caption = f"Other ways to pool the counts: {result['title']}"
    return Table.of(caption, ("Method", "Measure", trials(result), ESTIMATE), rows)


def over_time_table(result: AnalysisResult) -> Table | None:
    """Return one row per time class: effects, mean and change from the reference."""
    if (found := kept(result["over_time"])) is None:
        return None
    measure = Measure(result["measure"])
    changes = {item["name"]: item for item in found["changes"]}
    rows = []
    for item in found["means"]:
        change = changes.get(item["name"])
        rows.append(
            (words_of(item["name"]), str(item["effects"]), estimate_words(item, measure),
             "reference" if change is None else estimate_words(change, measure),
             format_number(item["df"], 1),
             "yes" if (item["df"] or 0.0) >= LEAST_DF else "no, too few trials")
        )  # fmt: skip
    head = (
        "Time", ("Effects", "n"), ("Mean effect (interval)", "n"), ("Change (interval)", "n"),
        ("df", "n"), "Enough trials",
    )  # fmt: skip
    return Table.of(f"Effect by time since the first dose: {result['title']}", head, rows)


def rho_words(result: AnalysisResult) -> str:
    """Return the last change under each assumed correlation."""
    if (found := kept(result["over_time"])) is None:
        return ""
    measure = Measure(result["measure"])
    listed = "; ".join(
        f"{format_number(item['rho'], 1)}: {estimate_words(item, measure)}"
        for item in found["sensitivity"]
    )
    return (
        f"The change from {words_of(found['reference'])} to the last time, under other assumed "
        f"correlations within a trial: {listed}."
    )


def within_table(result: AnalysisResult) -> Table | None:
    """Return the late-minus-early difference of each trial measured at both times, and the pool."""
    found = result["over_time"]
    within = found["within_trials"] if found else None
    if found is None or within is None:
        return None
    measure = Measure(result["measure"])
    head = (
        f"Effect at {words_of(found['changes'][-1]['name'])} minus that at "
        f"{words_of(found['reference'])} (interval)"
    )
    rows = [(row["label"], estimate_words(row, measure)) for row in within["rows"]]
    caption = f"Late minus early, within the trials measured at both times: {result['title']}"
    return Table.of(
        caption, ("Trial", (head, "n")), [*rows, ("Together", estimate_words(within, measure))]
    )


def influence_table(result: AnalysisResult) -> Table | None:
    """Return one row per trial: its deletion diagnostics and the estimate without it."""
    found, left = result["influence"], result["leave_one_out"]
    if found is None or left is None:
        return None
    measure = Measure(result["measure"])
    without = {item["study_id"]: item for item in left["rows"]}
    rows = [
        (item["label"], format_percent(item["weight"]),
         estimate_words(without[item["study_id"]], measure), format_number(item["rstudent"]),
         format_number(item["cooks_distance"]), format_number(item["dffits"]),
         "; ".join(item["reasons"]) if item["influential"] else "")
        for item in found["rows"]
    ]  # fmt: skip
    head = (
        "Left out", ("Weight", "n"), ("Estimate without it (interval)", "n"),
        ("Studentised residual", "n"), ("Cook's distance", "n"), ("DFFITS", "n"), "Flagged for",
    )  # fmt: skip
    return Table.of(f"Influence of each trial: {result['title']}", head, rows)


def network_table(result: AnalysisResult, cards: Mapping[str, str]) -> Table | None:
    """Return one row per treatment of a network; ``cards`` are places by treatment.

    Best first with their P-scores where they are ranked, else by name and without.
    """
    if (net := kept(result["network"])) is None:
        return None
    measure = Measure(result["measure"])
    effects = {item["treatment"]: item for item in net["effects"]}
    splits = {(item["treatment"], item["control"]): item for item in net["splits"]}
    scores = [(format_number(item["p_score"]),) for item in net["ranking"]]
    rows = []
    for place, name in enumerate(network_order(net)):
        effect = effects.get(name)
        rows.append(
            (Cell(treatment_label(name), href=cards.get(name, "")),
             "" if effect is None else str(effect["k_direct"]),
             "reference" if effect is None else estimate_words(effect, measure),
             *(scores[place] if scores else ()),
             "" if effect is None else _split_words(splits.get((name, net["reference"]))))
        )  # fmt: skip
    head = (
        "Treatment", ("Direct trials", "n"), (f"Against {net['reference']} (interval)", "n"),
        *((("P-score", "n"),) if scores else ()), "Direct against indirect",
    )  # fmt: skip
    return Table.of(f"Treatments: {result['title']}", head, rows)


def _split_words(split: Split | None) -> str:
    """Return whether direct and indirect evidence disagree."""
    if split is None or split["p_value"] is None:
        return "only one kind of evidence"
    return f"difference {format_number(split['difference'])}, {format_p(split['p_value'])}"


def transitivity_table(result: AnalysisResult, project: Project) -> Table | None:
    """Return who was studied, per comparison of a network."""
    if (net := kept(result["network"])) is None:
        return None
    facts = ("age_group", *project.categories)
    rows = [
        (f"{treatment_label(str(row['treatment']))} v {words_of(str(row['control']))}",
         str(row["k"]), format_number(cast("Number", row["median_days"]), 0),
         *(", ".join(f"{words_of(key)} {count}" for key, count in counts.items())
           for fact in facts if isinstance(counts := row[fact], dict)))
        for row in net["transitivity"]
    ]  # fmt: skip
    labels = (item.label for item in project.categories.values())
    head: list[Heading] = ["Comparison", trials(result), ("Median day", "n"), "Age", *labels]
    return Table.of(f"Who was studied, by comparison: {result['title']}", head, rows)


def dose_table(result: AnalysisResult) -> Table | None:
    """Return one row per dose: trials, and the effect against no dose by each curve."""
    if (found := kept(result["dose_response"])) is None:
        return None
    measure = Measure(result["measure"])
    rows = [
        (dose_label(dose, found["unit"]),
         str(len({p["study_id"] for p in found["points"] if p["dose"] == dose})),
         *(_at(found[curve], dose, measure) for curve in ("linear", "spline")))
        for dose in found["doses"]
    ]  # fmt: skip
    head = ("Dose", trials(result), ("By a line (interval)", "n"), ("By a spline (interval)", "n"))
    return Table.of(f"Effect of each dose against no dose: {result['title']}", head, rows)


def _at(curve: Curve, dose: float, measure: Measure) -> str:
    """Return the effect of a dose on one curve, or why there is none."""
    if curve["withheld"]:
        return "withheld"
    return estimate_words(next(item for item in curve["at_doses"] if item["dose"] == dose), measure)


def dose_check_table(result: AnalysisResult) -> Table | None:
    """Return the slope of the line under other choices and without each trial; main first."""
    found = kept(result["dose_response"])
    if found is None or found["checks"]["withheld"]:
        return None
    measure = Measure(result["measure"])
    checks, linear = found["checks"], found["linear"]
    left = checks["leave_one_out"]
    items: list[tuple[str, int, Slope]] = [
        ("The line shown above", linear["k"], linear["slope"]),
        *((item["label"], item["k"], item) for item in checks["sensitivity"]),
    ]
    for item in left["rows"] if left else ():
        one = ", one slope for all" if item["method"] == "common" else ""
        items.append((f"Without {item['label']}{one}", item["k"], item))
    step = f"{format_number(found['step'], 0)} {words_of(found['unit'])}"
    return Table.of(
        f"Does the slope hold? {result['title']}",
        ("Choice", trials(result), (f"Slope per {step} (interval)", "n")),
        [(label, str(k), estimate_words(slope, measure)) for label, k, slope in items],
    )


def two_stage_words(result: AnalysisResult) -> str:
    """Return how a slope per trial, pooled by another program, agrees with the one stage."""
    if (found := kept(result["dose_response"])) is None:
        return ""
    stages = found["checks"]["two_stage"]
    if stages is None:
        return ""
    measure = Measure(result["measure"])
    slopes = "; ".join(
        f"{item['label']} {written(item['estimate'], measure)}" for item in stages["slopes"]
    )
    return (
        f"In two stages, a slope per trial ({slopes}) and their pool by {stages['engine']} "
        f"{stages['version']}: the pool {agreement_words(stages['agrees_to'])} of a standard "
        "error with the line in one stage."
    )


Fact = Literal["route", "regimen", "comparator", "blinding", "design", "age_group"]
#: Facts of a group, in the order of the columns, with their headings.
FACTS: Mapping[Fact, str] = {
    "route": "Route",
    "regimen": "Regimen",
    "comparator": "Comparator",
    "blinding": "Blinding",
    "design": "Design",
    "age_group": "Age",
}


def group_tables(result: AnalysisResult, project: Project = NOTHING_DECLARED) -> list[Table]:
    """Return what differs between the groups, and how each trial defines them.

    A fact that is the same in all trials has no column (:func:`same_words` tells it). Empty where
    the groups are not kinds of people. Definitions stand side by side: one group may hold several.
    """
    found = result.get("group_facts")
    if not found:
        return []
    within = result["kind"] == "within_trial"
    facts = [(key, label) for key, label in FACTS.items() if _differs(found, key)]
    tables = []
    if not within:
        rows = [
            (group_label(entry["key"], project), str(entry["k"]),
             format_number(entry["median_days"], 0),
             *("; ".join(f"{words_of(word)} {n}" for word, n in entry[key].items())
               for key, _ in facts))
            for entry in found
        ]  # fmt: skip
        labels = (label for _, label in facts)
        head: list[Heading] = ["Group", trials(result), ("Median day", "n"), *labels]
        tables.append(Table.of(f"What else differs between groups: {result['title']}", head, rows))
    defined = [
        (item["label"], group_label(entry["key"], project), item["definition"])
        for entry in (found[:1] if within else found)
        for item in entry["definitions"]
    ]
    if defined:
        asked = ("What the trial asked of earlier treatment", "wide")
        caption = f"How each trial defines it: {result['title']}"
        tables.append(Table.of(caption, ("Trial", "Group", asked), defined))
    return tables


def same_words(result: AnalysisResult) -> str:
    """Return the facts that are the same in all trials of the groups."""
    found = result.get("group_facts")
    if not found or result["kind"] == "within_trial":
        return ""
    return "; ".join(
        f"{label.lower()} {words_of(next(iter(found[0][key])))}"
        for key, label in FACTS.items()
        if not _differs(found, key)
    )


def _differs(found: Sequence[GroupFacts], key: Fact) -> bool:
    return len({word for entry in found for word in entry[key]}) > 1


def league_table(result: AnalysisResult) -> Table | None:
    """Return every treatment against each before it; direct pairs are marked.

    A row reads as this row's treatment against the column's. ``None`` without a network.
    """
    if (net := kept(result["network"])) is None:
        return None
    measure = Measure(result["measure"])
    pairs: dict[tuple[str, str], Comparison] = {}
    for item in net["league"]:
        pairs[item["treatment"], item["control"]] = item
        pairs[item["control"], item["treatment"]] = {
            **item,
            "estimate": _minus(item["estimate"]),
            "ci_low": _minus(item["ci_high"]),
            "ci_high": _minus(item["ci_low"]),
        }
    order = network_order(net)
    rows: list[list[str | Cell]] = []
    for place, name in enumerate(order[1:], start=1):
        better = (pairs[name, other] for other in order[:place])
        cells = (
            Cell(estimate_words(p, measure), mark="some" if p["k_direct"] > 0 else "")
            for p in better
        )
        rows.append([treatment_label(name), *cells, *("" for _ in order[place:-1])])
    head: list[Heading] = ["Treatment", *((treatment_label(name), "n") for name in order[:-1])]
    return Table.of(f"League table: {result['title']}", head, rows)


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def certainty_tables(result: AnalysisResult) -> list[Table]:
    """Return, per main result, the five domains: what can be computed, and what was judged."""
    tables = []
    found = result.get("certainty")
    for item in found["assessments"] if found else ():
        rows = [
            (domain["label"], " ".join(domain["words"]),
             Cell(domain["by_rule"]["level"] or "not judged", domain["by_rule"]["reason"]),
             Cell(judged["level"] or "", judged["reason"])
             if (judged := domain["judgement"]) else "not judged")
            for domain in item["domains"]
        ]  # fmt: skip
        of = f"{result['title']}, {item['group']}" if item["group"] else result["title"]
        head = ("Domain", ("What can be computed", "wide"), "By rule, provisional", "Judgement")
        tables.append(Table.of(f"Certainty by domain: {of}", head, rows))
    return tables


def choices_table(result: AnalysisResult) -> Table | None:
    """Return the choices of a multiverse and how much each matters."""
    if (found := kept(result.get("multiverse"))) is None:
        return None
    rows = []
    for choice in found["choices"]:
        effect = choice["effect"]
        unknown = effect["alone"] is None and effect["in_all"] is not None
        alone = "cannot be told" if unknown else format_percent(effect["alone"])
        rows.append(
            (choice["label"], "; ".join(map(str, choice["options"])), alone,
             format_percent(effect["in_all"]), format_percent(effect["changes"]))
        )  # fmt: skip
    head = (
        "Choice", ("Options, the main one first", "wide"),
        ("Spread of estimates it explains alone", "n"), ("With other choices", "n"),
        ("Switches that change the conclusion", "n"),
    )  # fmt: skip
    return Table.of(f"Choices that could be defended: {result['title']}", head, rows)


def next_trial_table(result: AnalysisResult) -> Table | None:
    """Return the chances of a next trial by its size."""
    if (plan := kept(result.get("next_trial"))) is None:
        return None
    priors = [item for item in plan["priors"] if not item["withheld"]]
    after = plan["after"]
    like = "Chance to show benefit if it acts like one more trial of"
    pooled = "Chance that all trials pooled show benefit (expected width of the interval), if"
    head: list[Heading] = [
        "People per arm",
        (f"Power to detect {plan['declared']['difference_words']}", "n"),
        *((f"{like}: {item['title']} ({plural(item['k'], 'trial')})", "n") for item in priors),
        *((f"{pooled} {item['label']} ({format_number(item['true_effect'])})", "n")
          for item in (after["scenarios"] if after else ())),
    ]  # fmt: skip
    rows = [
        (format_count(n), format_percent(plan["power"]["power"][at]),
         *(format_percent(item["assurance"]["assurance"][at]) for item in priors),
         *(f"{format_percent(look['p_benefit'])} ({format_number(look['expected_width'])})"
           for look in (after["rows"][at]["outlooks"] if after else ())))
        for at, n in enumerate(plan["power"]["n_per_arm"])
    ]  # fmt: skip
    return Table.of(f"Chances of a next trial: {result['title']}", head, rows)


def credibility_table(entry: Credibility, title: str) -> Table | None:
    """Return the questions behind a rating of one moderator."""
    if not entry["questions"] or entry["withheld"]:
        return None
    return Table.of(
        f"Can a difference be believed? {entry['label']}: {title}",
        ("Question", "Answer from the data", ("Because", "wide")),
        [(item["text"], item["answer"], item["basis"]) for item in entry["questions"]],
    )
