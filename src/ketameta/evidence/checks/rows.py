"""Checks of results that fit each other, people and arms that fit their trial, judgements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from math import isfinite, log, sqrt
from statistics import NormalDist

from ketameta.errors import did_you_mean
from ketameta.evidence.checks.context import (
    CROSSOVERS,
    NOWHERE,
    Context,
    error,
    grouped,
    half_unit,
    list_items,
    number_rule,
    of_columns,
    place,
    rule,
    warning,
)
from ketameta.evidence.findings import Finding
from ketameta.evidence.project import CONTROL_CLASSES
from ketameta.evidence.tables import Row
from ketameta.measures import RATIOS, ROB_DOMAINS, ROB_RANK, ROB_WORDS, UNCONTROLLED

#: Columns that describe a score; a row of counts has none of them.
SCORE_COLUMNS: tuple[str, ...] = (
    *("mean", "sd", "se", "median", "q1", "q3", "minimum", "maximum"),
    *("baseline_mean", "baseline_sd"),
)
COUNT_COLUMNS: tuple[str, ...] = ("events", "percent")
#: A model's standard error and a t quantile of a small group stretch an interval by up to this
#: factor against 1.96 standard errors of the raw scores (t with 5 df is 2.57: a factor of 1.31).
SPREAD_FACTOR = 1.5
#: By how many percentage points a share may differ from its count: one unit of the first decimal.
_FACT_ROUNDING = 0.1
#: How far off the middle, in half-widths, a printed estimate may lie: rounding is allowed for.
LOPSIDED = 0.2
#: Ratios with exact or profile intervals lie further off the middle of their logarithms.
LOPSIDED_RATIO = 0.5


@number_rule("one_kind_of_data")
def check_one_kind_of_data_per_row(context: Context) -> Iterator[Finding]:
    """Each row holds counts or scores, not both, and a contrast an estimate or a test."""
    for row in context.rows("outcomes"):
        if row["statistic"] == "events":
            wrong, what = SCORE_COLUMNS, "a score stands in a row of counts"
        elif row["statistic"] in ("endpoint", "change", "percent_change"):
            wrong, what = COUNT_COLUMNS, "a count stands in a row of scores"
        else:
            continue
        found = [name for name in wrong if row[name]]
        if found:
            yield error(row, found[0], what, "give it a row of its own with its own statistic")
    for row in context.rows("contrasts"):
        found = [name for name in ("estimate", "se", "ci_low", "ci_high") if row[name]]
        if row["effect_type"] == "test" and found:
            why = "an effect stands in a row of effect_type test"
            remedy = "name the effect (MD, SMD, OR ...); test is for a lone t, F or p"
            yield error(row, found[0], why, remedy)


@number_rule("no_result")
def check_rows_have_results(context: Context) -> Iterator[Finding]:
    """Each row has the number its statistic promises; a row without one goes to exclusions.csv."""
    remedy = "type it, or move the row to exclusions.csv (no_number)"
    scores = dict.fromkeys(("endpoint", "change", "percent_change"), ("mean", "median"))
    needed = {"events": ("events", "percent"), **scores}
    for row in context.rows("outcomes"):
        names = needed.get(row["statistic"], ())
        if names and not any(row[name] for name in names):
            yield error(row, names[0], f"neither {names[0]} nor {names[1]} is filled", remedy)
    for row in context.rows("contrasts"):
        kind = row["effect_type"]
        if kind == "test" and not any(row[name] for name in ("p", "t", "f", "z", "chi2")):
            yield error(row, "p", "neither p, t nor f is filled", remedy)
        told = row["estimate"] or (row["ci_low"] and row["ci_high"])
        if kind not in ("", "test") and not told and not (kind == "interaction" and row["p"]):
            why = f"a row of {kind} has neither estimate nor interval"
            yield error(row, "estimate", why, remedy)


@number_rule("events_above_n", "outcomes")
def check_events_within_n(context: Context, row: Row) -> Iterator[Finding]:
    """No arm has more people with the event than people."""
    events, n = row.number("events"), row.number("n")
    if events is not None and n is not None and events > n:
        why = f"more than the {n:g} people in n"
        remedy = "look for a dropped digit in n, or for events counted instead of people"
        yield error(row, "events", why, remedy)


@number_rule("events_percent", "outcomes")
def check_events_agree_with_percent(context: Context, row: Row) -> Iterator[Finding]:
    """Each printed count and its percentage say the same; if not, one was misread or misprinted."""
    events, percent, n = row.number("events"), row.number("percent"), row.number("n")
    if events is None or percent is None or not n:
        return
    if abs(100 * events / n - percent) > half_unit(row, "percent") * 1.01 + 1e-9:
        why = f"{events:g} of {n:g} is {100 * events / n:.3g}%"
        remedy = "look which of the three numbers was misread; keep what is printed"
        yield warning(row, "percent", why, remedy)


@number_rule("percent_of_n", "outcomes")
def check_percent_is_possible(context: Context, row: Row) -> Iterator[Finding]:
    """Each percentage is that of a whole number of people; if not, n is another group's.

    A whole unit of the last printed digit is allowed for: authors cut as often as they round.
    """
    percent, n = row.number("percent"), row.number("n")
    if percent is None or row["events"] or not n or n != int(n) or not 0 <= percent <= 100:
        return
    slack = 2.02 * half_unit(row, "percent") + 1e-9
    nearest = round(percent * n / 100)
    if abs(100 * nearest / n - percent) > slack:
        why = (
            f"no whole number of {n:g} people is {row['percent']}% "
            f"({nearest} is {100 * nearest / n:.4g}%)"
        )
        remedy = "look for the denominator that belongs to this percentage"
        yield warning(row, "percent", why, remedy)


@number_rule("order_statistics", "outcomes")
def check_order_statistics_in_order(context: Context, row: Row) -> Iterator[Finding]:
    """Minimum, first quartile, median, third quartile and maximum do not decrease."""
    names = ("minimum", "q1", "median", "q3", "maximum")
    remedy = "look for exchanged cells or a lost minus sign"
    filled = [(name, row.numbers[name]) for name in names if name in row.numbers]
    for (lower, low), (higher, high) in pairwise(filled):
        if low > high:
            yield error(row, higher, f"below {lower} ({row[lower]})", remedy)
    mean, scores = row.number("mean"), dict(filled)
    if mean is not None and not (
        scores.get("minimum", mean) <= mean <= scores.get("maximum", mean)
    ):
        yield error(row, "mean", "outside the smallest and largest score", remedy)


def estimate_column(row: Row) -> str:
    """Return the column whose interval ci_low and ci_high are."""
    if row.table == "contrasts":
        return "estimate"
    return "percent" if row["statistic"] == "events" else "mean"


def _intervals(context: Context) -> Iterator[tuple[Row, float | None, float | None, float | None]]:
    """Yield every row with a limit, its limits and the number they belong to."""
    for row in (*context.rows("outcomes"), *context.rows("contrasts")):
        if row["ci_low"] or row["ci_high"]:
            limits = row.number("ci_low"), row.number("ci_high")
            yield row, *limits, row.number(estimate_column(row))


@number_rule("interval_half")
def check_intervals_are_whole(context: Context) -> Iterator[Finding]:
    """Each interval has both limits."""
    for row, _, _, _ in _intervals(context):
        for name, other in (("ci_low", "ci_high"), ("ci_high", "ci_low")):
            if not row[name]:
                yield warning(
                    row, name, f"{other} stands without it", "type both limits as printed"
                )


@number_rule("interval_order")
def check_intervals_are_in_order(context: Context) -> Iterator[Finding]:
    """Each lower limit is below the upper one."""
    for row, low, high, _ in _intervals(context):
        if low is not None and high is not None and low >= high:
            hint = ""
            if -high < -low and low != high and low > 0 and high > 0:
                hint = " (both may have lost a minus sign)"
            why = f"not below ci_high ({row['ci_high']})"
            remedy = f"look for exchanged limits or a lost minus sign{hint}"
            yield error(row, "ci_low", why, remedy)


@number_rule("interval_contains")
def check_intervals_contain_the_estimate(context: Context) -> Iterator[Finding]:
    """Each interval contains its estimate."""
    for row, low, high, value in _intervals(context):
        if low is None or high is None or value is None or low >= high:
            continue
        column = estimate_column(row)
        slack = half_unit(row, column) + max(half_unit(row, "ci_low"), half_unit(row, "ci_high"))
        if low - slack <= value <= high + slack:
            continue
        hint = f"; {-value:g} would lie inside" if low <= -value <= high else ""
        why = f"outside its interval ({row['ci_low']} to {row['ci_high']})"
        remedy = f"look for a lost minus sign or another row's interval{hint}"
        yield error(row, column, why, remedy)


@number_rule("interval_symmetry")
def check_intervals_are_symmetric(context: Context) -> Iterator[Finding]:
    """Each interval of a mean or a difference lies evenly around it; a dash is not a minus."""
    for row, low, high, value in _intervals(context):
        if low is None or high is None or value is None or not low <= value <= high or low == high:
            continue
        kind = row["effect_type"]
        column = estimate_column(row)
        if kind in (*RATIOS, "RD", "median_difference") or column == "percent":
            continue
        slack = half_unit(row, column) + max(half_unit(row, "ci_low"), half_unit(row, "ci_high"))
        off = max(0.0, abs((low + high) / 2 - value) - slack)
        if off <= LOPSIDED * (high - low) / 2:
            continue
        hint = ""
        for name, one, two in (("ci_low", -low, high), ("ci_high", low, -high)):
            if one < two and abs((one + two) / 2 - value) <= 0.05 * (two - one) + slack:
                flipped = one if name == "ci_low" else two
                hint = f"; {name} {flipped:g} would fit: a dash may have been read as a minus"
        why = f"not in the middle of its interval ({row['ci_low']} to {row['ci_high']})"
        remedy = f"compare all three with the source{hint}"
        yield warning(row, column, why, remedy)


@number_rule("ratio_symmetry")
def check_intervals_of_ratios_are_symmetric(context: Context) -> Iterator[Finding]:
    """Each interval of a ratio lies evenly around it on the logarithmic scale."""
    for row, low, high, value in _intervals(context):
        if row["effect_type"] not in RATIOS or low is None or high is None:
            continue
        if value is None or not 0 < low <= value <= high or low == high:
            continue
        lowest = max(low - half_unit(row, "ci_low"), low / 10)
        slack = log(low / lowest) + half_unit(row, "estimate") / value
        slack += half_unit(row, "ci_high") / high
        off = max(0.0, abs((log(low) + log(high)) / 2 - log(value)) - slack)
        if off > LOPSIDED_RATIO * log(high / low) / 2:
            why = (
                "far from the middle of its interval "
                f"({row['ci_low']} to {row['ci_high']}) on the logarithmic scale"
            )
            remedy = "compare all three with the source"
            yield warning(row, "estimate", why, remedy)


def half_width_in_se(row: Row) -> float:
    """Return how many standard errors an interval of the row's level reaches to each side."""
    level = row.number("ci_level")
    level = level if level is not None and 50 < level < 100 else 95.0
    return NormalDist().inv_cdf(0.5 + level / 200)


@number_rule("spreads_disagree", "outcomes")
def check_spreads_agree(context: Context, row: Row) -> Iterator[Finding]:
    """Each mean's standard deviation, standard error, interval and n tell one story."""
    n = row.number("n")
    low, high = row.number("ci_low"), row.number("ci_high")
    found: dict[str, float] = {}
    sd, se = row.number("sd"), row.number("se")
    if sd is not None and sd > 0 and n is not None and n > 0:
        found["sd"] = sd / sqrt(n)
    if se is not None and se > 0:
        found["se"] = se
    if low is not None and high is not None and low < high:
        found["ci_low"] = (high - low) / (2 * half_width_in_se(row))
    if len(found) < 2:
        return
    small = min(found, key=found.__getitem__)
    large = max(found, key=found.__getitem__)
    ratio = found[large] / found[small]
    if isfinite(ratio) and ratio > SPREAD_FACTOR:
        names = {"sd": "sd with n", "se": "se", "ci_low": "the interval"}
        why = (
            f"{names[large]} gives a standard error of {found[large]:.3g}, "
            f"{names[small]} one of {found[small]:.3g}"
        )
        remedy = (
            "keep the one the source prints in its own words, and look for an SE in the sd column"
        )
        yield warning(row, large, why, remedy)


@rule("arm_circle", "arms")
def check_pooled_arms_are_no_circle(context: Context, row: Row) -> Iterator[Finding]:
    """No arm contains an arm that contains it."""
    by_name = {other["arm_id"]: other for other in context.arms_of[row["study_id"]]}
    for name in list_items(row["contains_arms"]):
        other = by_name.get(name)
        if other is None or other is row or name < row["arm_id"]:
            continue
        if row["arm_id"] in _inside(other, by_name):
            why = f"{name} also contains this arm ({place(other)})"
            remedy = "keep the arms of the smaller doses in the pooled arm only"
            yield error(row, "contains_arms", why, remedy, value=name, others=(other,))


def _inside(arm: Row, by_name: dict[str, Row]) -> set[str]:
    """Return every arm that lies inside an arm, however deep."""
    found: set[str] = set()
    waiting = [arm]
    while waiting:
        for name in list_items(waiting.pop()["contains_arms"]):
            if name not in found:
                found.add(name)
                if name in by_name:
                    waiting.append(by_name[name])
    return found


# --- how many people there are: in an analysis, an arm, a trial -----------------------------------

#: Safety sets count people by what they took, not by what they were allotted to.
_AS_TREATED = ("safety", "per_protocol")


def _sizes(context: Context) -> Iterator[tuple[Row, str, str, float]]:
    """Yield every number of people analysed: row, its column, its arm, the number."""
    for row in context.rows("outcomes"):
        n = row.number("n")
        if n is not None:
            yield row, "n", row["arm_id"], n
    for row in context.rows("contrasts"):
        for column, arm in (("n_treatment", "arm_id"), ("n_control", "comparator_arm_id")):
            n = row.number(column)
            if n is not None:
                yield row, column, row[arm], n


@number_rule("n_zero")
def check_somebody_was_analysed(context: Context) -> Iterator[Finding]:
    """No result rests on nobody."""
    for row, column, _, n in _sizes(context):
        if n == 0:
            why = "nobody was analysed, so there is no result"
            remedy = "type the number of people, or leave the cell empty where none is printed"
            yield error(row, column, why, remedy)


@number_rule("n_above_randomised")
def check_n_within_randomised(context: Context) -> Iterator[Finding]:
    """No arm has more people analysed than randomised."""
    for row, column, arm_id, n in _sizes(context):
        arm = context.arms[row["study_id"], arm_id]
        randomised = arm.number("n_randomised")
        if randomised is None or n <= randomised:
            continue
        tell = warning if row["analysis_set"] in _AS_TREATED else error
        why = f"more than the {randomised:g} people randomised to {arm_id} ({place(arm)})"
        remedy = "look for another arm's n, a copied cell, or a wrong n_randomised"
        yield tell(row, column, why, remedy, others=(arm,))


@number_rule("n_above_study")
def check_n_within_study(context: Context) -> Iterator[Finding]:
    """No analysis has more people than the trial; a copied-down cell often has."""
    for row, column, arm_id, n in _sizes(context):
        if n <= (context.arms[row["study_id"], arm_id].number("n_randomised") or 0):
            continue  # check_arms_within_study says it once for the arm
        for study, total in context.trial_size(row["study_id"]):
            if n > total and not _is_doubled(context, row, n, total):
                why = f"more than the {total:g} people of the trial ({place(study)})"
                remedy = "look for a cell copied from another trial, or a wrong n_randomised"
                yield error(row, column, why, remedy, others=(study,))


def _is_doubled(context: Context, row: Row, n: float, total: float) -> bool:
    """Return whether a crossover's people seem to be counted once per period."""
    return context.design(row) in CROSSOVERS and n == 2 * total


@number_rule("crossover_doubled")
def check_crossovers_count_people_once(context: Context) -> Iterator[Finding]:
    """Each person of a crossover counts once; both arms are the same people."""
    remedy = "type the number of people, not of treatment periods"
    for row, column, _, n in _sizes(context):
        for study, total in context.trial_size(row["study_id"]):
            if _is_doubled(context, row, n, total):
                why = f"twice the {total:g} people of this crossover ({place(study)})"
                yield error(row, column, why, remedy, others=(study,))
    for arm in context.rows("arms"):
        for study, total in context.trial_size(arm["study_id"]):
            if study["design"] in CROSSOVERS and (arm.number("n_randomised") or 0) > total:
                why = f"more than the {total:g} people of this crossover ({place(study)})"
                yield error(arm, "n_randomised", why, remedy, others=(study,))


@number_rule("arms_above_study")
def check_arms_within_study(context: Context) -> Iterator[Finding]:
    """All arms together have no more people than the trial, pooled arms aside."""
    trials = context.arms_of.items()
    for arms, (study, total) in (
        (arms, found) for study_id, arms in trials for found in context.trial_size(study_id)
    ):
        if study["design"] in CROSSOVERS:
            continue
        pooled = {arm["arm_id"] for arm in arms if list_items(arm["contains_arms"])}
        single = [arm for arm in arms if arm["arm_id"] not in pooled]
        sizes = [arm.number("n_randomised") or 0.0 for arm in single]
        if single and sum(sizes) > total:
            parts = ", ".join(arm["n_randomised"] for arm in single if arm["n_randomised"])
            why = (
                f"the arms have {sum(sizes):g} people ({parts}), the "
                f"trial {total:g} ({place(study)})"
            )
            remedy = "correct one of the numbers, or name pooled arms in contains_arms"
            yield error(single[0], "n_randomised", why, remedy, others=(study, *single[1:]))
        for arm in arms:
            size = arm.number("n_randomised")
            if arm["arm_id"] in pooled and size is not None and size > total:
                why = f"more than the {total:g} people of the trial ({place(study)})"
                remedy = "correct one of the numbers"
                yield error(arm, "n_randomised", why, remedy, others=(study,))


@number_rule("denominators", needs=["outcomes"])
def check_one_denominator(context: Context) -> Iterator[Finding]:
    """One arm has one n at one time in one analysis set; several n are several sets."""

    def key(row: Row) -> tuple[object, ...]:
        # Events found in one way share their n; a record of medicines may cover fewer.
        counted = row["statistic"] == "events"
        what = (row.number("time_days"), row["analysis_set"] or "not_reported")
        way = row["instrument"] if counted else ""
        return row["study_id"], row["arm_id"], row["subgroup"], *what, counted, way

    sized = (row for row in context.rows("outcomes") if row.number("n") is not None)
    for rows in grouped(sized, key).values():
        sizes = [row.number("n") for row in rows]
        distinct = sorted({size for size in sizes if size is not None})
        # Scores lose a person here and there.
        if len(distinct) < (2 if rows[0]["statistic"] == "events" else 3):
            continue
        rarest = min(rows, key=lambda row: (sizes.count(row.number("n")), row.file, row.line))
        listed = ", ".join(f"{size:g}" for size in distinct)
        why = f"the arm is analysed with n = {listed} at this time and in one analysis set"
        remedy = "say in analysis_set which people each row is about"
        yield warning(
            rarest, "n", why, remedy, others=[row for row in rows if row is not rarest][:3]
        )


@number_rule("trial_size")
def check_trial_size_is_told(context: Context) -> Iterator[Finding]:
    """Each trial whose arms all say how many were randomised says so itself."""
    for study_id, arms in context.arms_of.items():
        study = context.studies[study_id]
        single = [arm for arm in arms if not arm["contains_arms"]]
        sizes = [arm.number("n_randomised") for arm in single]
        known = [size for size in sizes if size is not None]
        told = study is NOWHERE or study["n_randomised"]
        if told or len(known) < len(sizes) or not known:
            continue
        people = max(known) if study["design"] in CROSSOVERS else sum(known)
        why = f"empty, though the arms are {people:g} people together ({place(single[0])})"
        remedy = "type it where the source prints it; shares of the people are read against it"
        yield warning(study, "n_randomised", why, remedy, others=(single[0],))


@number_rule("contrast_above_study", "contrasts")
def check_contrast_sizes_fit_the_trial(context: Context, row: Row) -> Iterator[Finding]:
    """Both sides of a parallel comparison together have no more people than the trial."""
    one, two = row.number("n_treatment"), row.number("n_control")
    for study, total in context.trial_size(row["study_id"]):
        parallel = study["design"] not in CROSSOVERS
        if parallel and one is not None and two is not None and max(one, two) <= total < one + two:
            people = f"{one:g} and {two:g} people are more than the {total:g}"
            why = f"{people} of the trial ({place(study)})"
            remedy = "type the people of each arm; a crossover needs its design in studies.csv"
            yield error(row, "n_treatment", why, remedy, others=(study,))


@rule("control_role", "arms")
def check_controls_are_called_so(context: Context, row: Row) -> Iterator[Finding]:
    """Every placebo, usual care or absence of treatment has the role of a control."""
    if row["role"] == "treatment" and row["drug_class"] in CONTROL_CLASSES:
        why = f"{row['drug_class']} is called a treatment, so it is compared with nothing"
        remedy = "write control"
        yield warning(row, "role", why, remedy)


@rule("one_arm", needs=["arms"])
def check_controlled_trials_have_a_comparator(context: Context) -> Iterator[Finding]:
    """Each trial of a controlled design has at least two arms."""
    for study_id, arms in context.arms_of.items():
        study = context.studies[study_id]
        if len(arms) == 1 and study["design"] not in ("", *UNCONTROLLED):
            why = f"the only arm of a trial whose design is {study['design']} ({place(study)})"
            remedy = "add the arm it is compared with, or correct the design"
            yield warning(arms[0], "arm_id", why, remedy, others=(study,))


@rule("design_control", needs=["arms"])
def check_uncontrolled_designs_have_no_control(context: Context) -> Iterator[Finding]:
    """No trial of an uncontrolled design has a control arm."""
    for study_id, arms in context.arms_of.items():
        study = context.studies[study_id]
        for arm in arms:
            if arm["role"] == "control" and study["design"] in UNCONTROLLED:
                why = f"a control in a trial whose design is {study['design']} ({place(study)})"
                remedy = "correct the design, or the role"
                yield warning(arm, "role", why, remedy, others=(study,))


@number_rule("harm_fact", "harm_facts")
def check_facts_say_something(context: Context, row: Row) -> Iterator[Finding]:
    """Each fact about harm has a number or a statement, and its numbers fit each other."""
    n, events = row.number("n"), row.number("events")
    percent = row.number("percent")
    if not any(row[name] for name in ("events", "percent", "mean", "statement")):
        yield error(row, "statement", "nothing is said", "type the number or what is said")
    if n is not None and events is not None and events > n:
        yield error(row, "events", f"more than the {n:g} people", "correct one of them")
    elif n and events is not None and percent is not None:
        given = 100 * events / n
        if abs(given - percent) > _FACT_ROUNDING:
            why = f"{events:g} of {n:g} are {given:.1f} percent"
            remedy = "compare them with the source; the percentage may be of others"
            yield warning(row, "percent", why, remedy)


OVERALL = "overall"
#: How many rows a table of events has, as a locator says it: ``Table 4, 25 rows``.
_TABLE_ROWS = re.compile(r"\b(\d+) rows\b")


@number_rule("half_table")
def check_tables_are_read_whole(context: Context) -> Iterator[Finding]:
    """Each table of events that says how many rows it has is here with all of them, or left out."""
    left: dict[str, float] = {}
    for row in context.rows("exclusions"):
        left[row["study"]] = left.get(row["study"], 0) + (row.number("records") or 0)
    events = (row for row in context.rows("outcomes") if row["statistic"] == "events")
    tables = grouped(events, of_columns("study_id", "arm_id", "locator"))
    for (study, _, locator), rows in tables.items():
        found = _TABLE_ROWS.search(locator)
        told = int(found[1]) if found else 0
        here = len({(row["outcome"], row["instrument"], row["time_days"]) for row in rows})
        if here + left.get(study, 0) < told:
            why = (
                f"the table has {told} rows; {here} are here and {left.get(study, 0):g} records of "
                "the trial are among the exclusions"
            )
            remedy = "type the others, or say in exclusions.csv why they are left out"
            yield warning(rows[0], "locator", why, remedy)


def _assessments(context: Context) -> Iterator[tuple[list[Row], Row | None]]:
    """Yield the domains of each assessment and its overall judgement."""
    same = of_columns("study_id", "outcome", "tool", "source_url")
    for rows in grouped(context.rows("risk_of_bias"), same).values():
        overall = next((row for row in rows if row["domain"] == OVERALL), None)
        yield [row for row in rows if row["domain"] != OVERALL], overall


@number_rule("bias_overall")
def check_overall_bias_covers_its_domains(context: Context) -> Iterator[Finding]:
    """Each overall judgement is as bad as its worst domain, unless accepted in support."""
    for domains, overall in _assessments(context):
        judged = [row for row in domains if row["judgement"] in ROB_RANK]
        if overall is None or overall["judgement"] not in ROB_RANK or not judged:
            continue
        worst = max(judged, key=lambda row: ROB_RANK[row["judgement"]])
        if ROB_RANK[overall["judgement"]] < ROB_RANK[worst["judgement"]]:
            why = f"better than {worst['domain']}, which is {worst['judgement']} ({place(worst)})"
            remedy = "raise it, or write 'accept: bias_overall because <reason>' in support"
            yield warning(overall, "judgement", why, remedy, others=(worst,))


@number_rule("bias_without_overall", needs=["risk_of_bias"])
def check_assessments_have_an_overall(context: Context) -> Iterator[Finding]:
    """Each assessment made here ends in a row with domain 'overall', where its tool has one."""
    for domains, overall in _assessments(context):
        known = domains and OVERALL in ROB_DOMAINS.get(domains[0]["tool"], ())
        if overall is None and known and not domains[0]["source_url"]:
            why = "no row of this assessment is 'overall'"
            remedy = "add the overall judgement"
            yield warning(domains[0], "domain", why, remedy)


@number_rule("bias_domain", "risk_of_bias")
def check_domains_are_of_the_tool(context: Context, row: Row) -> Iterator[Finding]:
    """Each domain is one of its tool, unless the words of an import were kept."""
    domains = ROB_DOMAINS.get(row["tool"], ())
    if domains and row["domain"] and row["domain"] not in (*domains, OVERALL):
        hint = did_you_mean(row["domain"], domains)
        why = f"not a domain of {row['tool']}"
        remedy = f"one of {', '.join(domains)}{hint}"
        yield warning(row, "domain", why, remedy)


@number_rule("bias_words", "risk_of_bias")
def check_judgements_fit_the_tool(context: Context, row: Row) -> Iterator[Finding]:
    """Each judgement is a word of its tool: some concerns is of RoB 2, serious of ROBINS-I."""
    allowed = ROB_WORDS.get(row["tool"])
    judged = row["judgement"] in ROB_RANK
    if allowed and judged and row["judgement"] not in allowed:
        why = f"not a judgement of {row['tool']}"
        remedy = f"one of {', '.join(allowed)}, or not_assessed"
        yield warning(row, "judgement", why, remedy)
