"""Checks of scores: possible on their scale, with possible spreads, alike between arms."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

from ketameta.evidence.checks.context import (
    CROSSOVERS,
    Context,
    error,
    grouped,
    number_rule,
    of_columns,
    place,
    warning,
)
from ketameta.evidence.checks.rows import half_width_in_se
from ketameta.evidence.findings import Finding
from ketameta.evidence.project import CONTROL_CLASSES
from ketameta.evidence.tables import Row
from ketameta.measures import UNCONTROLLED

#: A standard deviation below this share of the usual one may be a standard error.
SE_SHARE = 1 / 3
#: ... if times the square root of n it comes within this factor of the usual one.
SE_FIT = 2.0
#: Without a usual SD: below this share of the scale's range (the golden errors have 0.5 to 1.8%,
#: scores of trial populations spread over 8 to 25% of their scale).
SE_SHARE_OF_RANGE = 0.03
#: ... if times the square root of n it comes within these shares of the range.
SE_FIT_OF_RANGE = (0.02, 0.35)
#: This many other trials with the instrument make a usual SD.
TRIALS_FOR_A_USUAL_SD = 2
#: What a row of scores gives.
_SCORES = ("endpoint", "change")
#: Scores on the scale; a change is measured in differences.
_SCORE_COLUMNS = ("mean", "median", "q1", "q3", "minimum", "maximum")


def scale_range(context: Context, row: Row) -> tuple[float, float] | None:
    """Return the lowest and highest score of the row's instrument, where both are known."""
    instrument = context.instruments[row["instrument"]]
    low, high = instrument.number("minimum"), instrument.number("maximum")
    return (low, high) if low is not None and high is not None and low < high else None


@number_rule("score_range", "outcomes")
def check_scores_are_on_the_scale(context: Context, row: Row) -> Iterator[Finding]:
    """Each score lies within the range of its instrument, and a change within its width."""
    instrument = context.instruments[row["instrument"]]
    if row["statistic"] not in _SCORES:
        return
    low, high = instrument.number("minimum"), instrument.number("maximum")
    columns = (
        ("baseline_mean",) if row["statistic"] == "change" else (*_SCORE_COLUMNS, "baseline_mean")
    )
    for column in columns:
        score = row.number(column)
        if score is None:
            continue
        if low is not None and score < low:
            hint = "; a change has statistic change" if score < 0 <= low else ""
            why = f"below {low:g}, the lowest score of {row['instrument']}"
            remedy = f"compare it with the source{hint}"
            yield error(row, column, why, remedy)
        elif high is not None and score > high:
            why = f"above {high:g}, the highest score of {row['instrument']}"
            remedy = "compare it with the source; look for another version of the scale"
            yield error(row, column, why, remedy)
    limits = scale_range(context, row) if row["statistic"] == "change" else None
    change = row.number("mean") if limits else None
    if limits and change is not None and abs(change) > limits[1] - limits[0]:
        width = f"{limits[1] - limits[0]:g} points"
        why = f"a change larger than {row['instrument']} is wide ({width})"
        remedy = "compare it with the source"
        yield error(row, "mean", why, remedy)


@number_rule("change_as_endpoint")
def check_endpoints_are_not_changes(context: Context) -> Iterator[Finding]:
    """Each score at a time point is positive where the instrument's other scores are."""
    means = (row for row in context.rows("outcomes") if row.number("mean") is not None)
    endpoints = (row for row in means if row["statistic"] == "endpoint")
    for name, rows in grouped(endpoints, lambda row: row["instrument"]).items():
        if context.instruments[name].number("minimum") is not None:
            continue
        below = [row for row in rows if (row.number("mean") or 0.0) < 0]
        if below and len(below) < len(rows) / 2:
            for row in below:
                why = f"negative, where {len(rows) - len(below)} other endpoints of {name} are not"
                remedy = "if this is a change, write statistic change"
                yield warning(row, "mean", why, remedy)


def largest_sd(low: float, high: float, mean: float, n: float | None) -> float:
    """Return the largest standard deviation that scores between two limits can have.

    The Bhatia-Davis inequality, variance <= (high - mean)(mean - low), times n / (n - 1) for the
    sample variance. Bhatia and Davis (2000), Am. Math. Mon. 107(4), 353-357.
    """
    inside = max(0.0, (high - mean) * (mean - low))
    return sqrt(inside * (n / (n - 1) if n is not None and n > 1 else 2.0))


@number_rule("sd_impossible", "outcomes")
def check_sds_are_possible(context: Context, row: Row) -> Iterator[Finding]:
    """No standard deviation is larger than scores between the scale's ends can have."""
    limits = scale_range(context, row)
    if limits is None or row["sd_origin"] == "model":
        return
    for column, centre in (("sd", "mean"), ("baseline_sd", "baseline_mean")):
        sd, mean = row.number(column), row.number(centre)
        if sd is None or mean is None or (column == "sd" and row["statistic"] != "endpoint"):
            continue
        if not limits[0] <= mean <= limits[1]:
            continue
        largest = largest_sd(*limits, mean, row.number("n"))
        if sd > 1.02 * largest + 0.01:
            why = (
                f"with {centre} {mean:g} no SD on {limits[0]:g} to {limits[1]:g} "
                f"can exceed {largest:.3g}"
            )
            remedy = "look for a variance, an interval or another scale"
            yield error(row, column, why, remedy)


@number_rule("se_as_sd")
def check_sds_are_not_standard_errors(context: Context) -> Iterator[Finding]:
    """Each standard deviation is of the usual size; one that fits only times root n is an SE."""
    for row in context.rows("outcomes"):
        sd, n = row.number("sd"), row.number("n")
        if sd is None or sd <= 0 or n is None or n < 3:
            continue
        for reference, source in _references(context, row):
            fits = reference / SE_FIT <= sd * sqrt(n) <= reference * SE_FIT
            if sd < SE_SHARE * reference and fits:
                yield _se_warning(row, sd, n, f"{reference:.3g}, {source}")
                break
        else:
            limits = scale_range(context, row)
            if limits is None:
                continue
            width = limits[1] - limits[0]
            share = sd * sqrt(n) / width
            if sd < SE_SHARE_OF_RANGE * width and SE_FIT_OF_RANGE[0] < share < SE_FIT_OF_RANGE[1]:
                yield _se_warning(row, sd, n, f"small on a scale {width:g} points wide")


def _references(context: Context, row: Row) -> Iterator[tuple[float, str]]:
    """Yield the usual standard deviations that a row can be compared with."""
    printed = context.instruments[row["instrument"]].number("usual_sd")
    if printed is not None and printed > 0 and row["statistic"] == "endpoint":
        yield printed, "the usual SD of the instrument"
    before = row.number("baseline_sd")
    if before is not None and before > 0:
        yield before, "the SD of the arm at baseline"
    studies = context.usual_sds.get((row["instrument"], row["statistic"]))
    if studies is not None:
        count, middle = studies.without(row["study_id"])
        if middle is not None and count >= TRIALS_FOR_A_USUAL_SD:
            yield middle, f"the middle SD of {count} other trials"


def _se_warning(row: Row, sd: float, n: float, than: str) -> Finding:
    """Return the warning that a standard error may stand in the sd column."""
    why = f"far below {than}" if than[0].isdigit() else than
    remedy = (
        f"look whether it is a standard error ({sd:g} x root {n:g} = {sd * sqrt(n):.3g}); if so, "
        "move it to se"
    )
    return warning(row, "sd", why, remedy)


@number_rule("sd_as_se")
def check_standard_errors_are_not_sds(context: Context) -> Iterator[Finding]:
    """Each standard error is of the usual size; one as large as a usual SD is an SD."""
    for row in context.rows("outcomes"):
        se, n = row.number("se"), row.number("n")
        if se is None or se <= 0 or n is None or n < 8:
            continue
        for reference, source in _references(context, row):
            if reference / SE_FIT <= se <= reference * SE_FIT and se * sqrt(n) > 3 * reference:
                why = f"as large as an SD ({reference:.3g}, {source})"
                remedy = "look whether it is a standard deviation; if so, move it to sd"
                yield warning(row, "se", why, remedy)
                break


#: Arms of one trial rarely differ more than this in their standard deviations.
SD_RATIO = 3.0
#: A standardised difference beyond this is a typing error more often than a result.
LARGEST_EFFECT = 3.0
#: A difference this large against the treatment contradicts most abstracts.
AGAINST = 1.0


def spread(row: Row) -> float | None:
    """Return the standard deviation of a row as typed, or as its SE or interval implies it."""
    sd, n = row.number("sd"), row.number("n")
    if sd is not None:
        return sd if sd > 0 else None
    if n is None or n < 2:
        return None
    se, low, high = row.number("se"), row.number("ci_low"), row.number("ci_high")
    if se is None and low is not None and high is not None and low < high:
        se = (high - low) / (2 * half_width_in_se(row))
    return se * sqrt(n) if se is not None and se > 0 else None


def _spread_column(row: Row) -> str:
    return next((name for name in ("sd", "se", "ci_low") if row[name]), "sd")


def standardised_difference(first: Row, second: Row) -> float | None:
    """Return the difference of two means in pooled standard deviations, or nothing."""
    means = first.number("mean"), second.number("mean")
    spreads = spread(first), spread(second)
    if means[0] is None or means[1] is None or spreads[0] is None or spreads[1] is None:
        return None
    sizes = first.number("n") or 1.0, second.number("n") or 1.0
    pooled = sqrt(
        (sizes[0] * spreads[0] * spreads[0] + sizes[1] * spreads[1] * spreads[1])
        / (sizes[0] + sizes[1])
    )
    return (means[0] - means[1]) / pooled if pooled > 0 else None


def _score_pairs(context: Context) -> Iterator[tuple[Row, Row]]:
    for first, second in context.pairs():
        if first["statistic"] in _SCORES:
            yield first, second


@number_rule("sd_ratio")
def check_sds_of_arms_are_similar(context: Context) -> Iterator[Finding]:
    """All standard deviations of one trial differ less than three-fold."""
    for first, second in _score_pairs(context):
        spreads = spread(first), spread(second)
        if spreads[0] is None or spreads[1] is None:
            continue
        ratio = max(spreads[0], spreads[1]) / min(spreads[0], spreads[1])
        if ratio <= SD_RATIO:
            continue
        odd, other = (first, second) if spreads[0] < spreads[1] else (second, first)
        column = _spread_column(odd)
        why = (
            f"{ratio:.2g} times apart from {other['arm_id']} "
            f"({other[_spread_column(other)]} in {place(other)})"
        )
        remedy = "compare both with the source; look for an SE, a range or a lost digit"
        yield warning(odd, column, why, remedy, others=(other,))


@number_rule("implausible_effect")
def check_effects_are_plausible(context: Context) -> Iterator[Finding]:
    """No difference between arms exceeds three standard deviations; an SE as SD makes such ones."""
    for first, second in _score_pairs(context):
        effect = standardised_difference(first, second)
        if effect is None or abs(effect) <= LARGEST_EFFECT:
            continue
        why = (
            f"{abs(effect):.2g} standard deviations from {second['arm_id']} "
            f"({second['mean']} in {place(second)}){_if_standard_errors(first, second, effect)}"
        )
        remedy = "look for a standard error in the sd column, a lost digit or exchanged arms"
        yield warning(first, "mean", why, remedy, others=(second,))
    for row in context.rows("contrasts"):
        estimate = row.number("estimate")
        if row["effect_type"] == "SMD" and estimate is not None and abs(estimate) > LARGEST_EFFECT:
            why = "a standardised difference above 3 is rarely right"
            remedy = "look for a difference in scale points (MD) or a standard error used as SD"
            yield warning(row, "estimate", why, remedy)


def _if_standard_errors(first: Row, second: Row, effect: float) -> str:
    """Return what the effect would be if the typed SDs were standard errors."""
    sizes = first.number("n"), second.number("n")
    if not (first["sd"] and second["sd"]) or sizes[0] is None or sizes[1] is None:
        return ""
    as_se = effect / sqrt(max(1.0, (sizes[0] + sizes[1]) / 2))
    return f"; {abs(as_se):.2g} if the SDs are standard errors"


@number_rule("wrong_direction")
def check_effects_favour_the_likely_arm(context: Context) -> Iterator[Finding]:
    """No treatment is far worse than an inert control on what it is meant to improve."""
    for first, second in _score_pairs(context):
        if context.role(first) != "treatment" or context.role(second) != "control":
            continue
        control = context.arms[(second["study_id"], second["arm_id"])]
        if control["drug_class"] not in CONTROL_CLASSES or not context.improves(first):
            continue
        direction = context.direction(first)
        effect = standardised_difference(first, second)
        if effect is None or direction not in ("lower_is_better", "higher_is_better"):
            continue
        worse = effect if direction == "lower_is_better" else -effect
        if worse >= AGAINST:
            why = (
                f"{worse:.2g} standard deviations worse than {second['arm_id']} "
                f"({second['mean']} in {place(second)})"
            )
            remedy = "compare arms and signs with what the source says in words"
            yield warning(first, "mean", why, remedy, others=(second,))


@number_rule("direction_disagrees")
def check_scales_point_as_their_outcome(context: Context) -> Iterator[Finding]:
    """No scale is better at the other end than the outcome that it measures."""
    ends = {"lower_is_better", "higher_is_better"}
    seen: set[tuple[str, str]] = set()
    for row in (*context.rows("outcomes"), *context.rows("contrasts")):
        outcome = context.outcome_words[row["outcome"]]
        scale = context.instruments[row["instrument"]]
        pair = row["outcome"], row["instrument"]
        opposed = outcome["kind"] != "event" and {outcome["direction"], scale["direction"]} == ends
        if opposed and pair not in seen:
            seen.add(pair)
            why = (
                f"{scale['direction']} for the instrument, {outcome['direction']} for the outcome "
                f"{row['outcome']}: standardised differences are turned by the instrument"
            )
            remedy = "put the wrong one right, in instruments.csv or in outcome_words.csv"
            yield warning(row, "instrument", why, remedy, value=row["instrument"])


def occasion(row: Row) -> tuple[object, ...]:
    """Return what, how and when a row measures, and on whom."""
    return (row["outcome"], row["instrument"], row.number("time_days"), row["subgroup"])


@number_rule("change_beside_endpoint")
def check_arms_share_their_statistic(context: Context) -> Iterator[Finding]:
    """Both arms give the endpoint, or both the change; one of each cannot be compared."""
    scores = (row for row in context.rows("outcomes") if row["statistic"] in _SCORES)
    for rows in grouped(scores, lambda row: (row["study_id"], *occasion(row))).values():
        kinds: dict[str, set[str]] = {}
        for row in rows:
            kinds.setdefault(row["arm_id"], set()).add(row["statistic"])
        if len(kinds) < 2 or set.intersection(*kinds.values()):
            continue
        counts = {"endpoint": 0, "change": 0}
        for row in rows:
            counts[row["statistic"]] = counts.get(row["statistic"], 0) + 1
        odd = min(rows, key=lambda row: (counts[row["statistic"]], row.line))
        other = next((row for row in rows if row["statistic"] != odd["statistic"]), odd)
        why = (
            f"{odd['arm_id']} gives the {odd['statistic']}, {other['arm_id']} "
            f"the {other['statistic']} ({place(other)})"
        )
        remedy = "type the same kind of score for every arm, as the source prints it"
        yield warning(odd, "statistic", why, remedy, others=(other,))


@number_rule("change_sign")
def check_changes_have_the_sign_of_change(context: Context) -> Iterator[Finding]:
    """Each change is end minus start: an improvement on a lower-is-better scale is negative."""
    for rows in context.comparisons:
        first = rows[0]
        if first["statistic"] != "change" or not context.improves(first):
            continue
        direction = context.direction(first)
        means = [row.number("mean") for row in rows]
        known = [mean for mean in means if mean is not None]
        if len(known) < 2 or direction not in ("lower_is_better", "higher_is_better"):
            continue
        wrong = (
            all(mean > 0 for mean in known)
            if direction == "lower_is_better"
            else all(mean < 0 for mean in known)
        )
        if wrong:
            why = f"every arm got worse, as {direction.replace('_', ' ')}"
            remedy = (
                "if the source prints improvements as positive numbers, write them with a minus; "
                "if these are endpoints, say so"
            )
            yield warning(first, "mean", why, remedy, others=rows[1:])


@number_rule("no_partner", needs=["outcomes", "contrasts"])
def check_arms_have_partners(context: Context) -> Iterator[Finding]:
    """Each outcome of a controlled trial is given for two arms at one time on one instrument."""
    contrasted = {(row["study_id"], row["outcome"]) for row in context.rows("contrasts")}
    by_outcome = grouped(context.rows("outcomes"), of_columns("study_id", "outcome"))
    for rows in context.comparisons:
        first = rows[0]
        design = context.design(first)
        if len(rows) > 1 or not design or design in UNCONTROLLED:
            continue
        key = (first["study_id"], first["outcome"])
        others = [row for row in by_outcome[key] if row["arm_id"] != first["arm_id"]]
        if key in contrasted or (not others and design in CROSSOVERS):
            continue
        hint = ""
        if others:
            names = ("instrument", "time_days", "subgroup", "statistic")
            near = min(others, key=lambda row: sum(row[name] != first[name] for name in names))
            differs = ", ".join(
                f"{name} {near[name] or 'empty'}" for name in names if near[name] != first[name]
            )
            hint = f"; {near['arm_id']} has {differs} ({place(near)})"
        why = f"no other arm has this outcome, instrument, time and statistic{hint}"
        remedy = "type the other arm, or make the words and the time agree"
        yield warning(first, "arm_id", why, remedy, others=others[:1])
