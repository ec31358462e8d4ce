"""Checks between the arms of one trial, and of what contrasts.csv prints about them.

A room of its own because checks are kept by what they look at, and the registry lists them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite, log, sqrt
from statistics import NormalDist

from ketameta.evidence.checks.context import (
    CROSSOVERS,
    Context,
    Problem,
    error,
    half_unit,
    place,
    warning,
)
from ketameta.evidence.checks.people import t_two_sided
from ketameta.evidence.checks.rows import SPREAD_FACTOR, half_width_in_se
from ketameta.evidence.tables import Row
from ketameta.measures import RATIOS

#: Arms of one trial rarely differ more than this in their standard deviations.
SD_RATIO = 3.0
#: A standardised difference beyond this is a typing error more often than a result.
LARGEST_EFFECT = 3.0
#: A difference this large against the treatment contradicts most abstracts.
AGAINST = 1.0
_INERT = ("placebo", "active_placebo", "usual_care", "no_treatment")


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
        if first["statistic"] in ("endpoint", "change"):
            yield first, second


def check_sds_of_arms_are_similar(context: Context) -> Iterator[Problem]:
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
        yield warning(
            odd,
            column,
            f"{ratio:.2g} times apart from {other['arm_id']} "
            f"({other[_spread_column(other)]} in {place(other)})",
            "compare both with the source; look for an SE, a range or a lost digit",
            others=(other,),
        )


def check_effects_are_plausible(context: Context) -> Iterator[Problem]:
    """No difference between arms exceeds three standard deviations; an SE as SD makes such ones."""
    for first, second in _score_pairs(context):
        effect = standardised_difference(first, second)
        if effect is None or abs(effect) <= LARGEST_EFFECT:
            continue
        yield warning(
            first,
            "mean",
            f"{abs(effect):.2g} standard deviations from {second['arm_id']} "
            f"({second['mean']} in {place(second)}){_if_standard_errors(first, second, effect)}",
            "look for a standard error in the sd column, a lost digit or exchanged arms",
            others=(second,),
        )
    for row in context.rows("contrasts"):
        estimate = row.number("estimate")
        if row["effect_type"] == "SMD" and estimate is not None and abs(estimate) > LARGEST_EFFECT:
            yield warning(
                row,
                "estimate",
                "a standardised difference above 3 is rarely right",
                "look for a difference in scale points (MD) or a standard error used as SD",
            )


def _if_standard_errors(first: Row, second: Row, effect: float) -> str:
    """Return what the effect would be if the typed SDs were standard errors."""
    sizes = first.number("n"), second.number("n")
    if not (first["sd"] and second["sd"]) or sizes[0] is None or sizes[1] is None:
        return ""
    as_se = effect / sqrt(max(1.0, (sizes[0] + sizes[1]) / 2))
    return f"; {abs(as_se):.2g} if the SDs are standard errors"


def check_effects_favour_the_likely_arm(context: Context) -> Iterator[Problem]:
    """No treatment is far worse than an inert control on what it is meant to improve."""
    for first, second in _score_pairs(context):
        if context.role(first) != "treatment" or context.role(second) != "control":
            continue
        control = context.arms[(second["study_id"], second["arm_id"])]
        if control["drug_class"] not in _INERT or not context.improves(first):
            continue
        direction = context.direction(first)
        effect = standardised_difference(first, second)
        if effect is None or direction not in ("lower_is_better", "higher_is_better"):
            continue
        worse = effect if direction == "lower_is_better" else -effect
        if worse >= AGAINST:
            yield warning(
                first,
                "mean",
                f"{worse:.2g} standard deviations worse than {second['arm_id']} "
                f"({second['mean']} in {place(second)})",
                "compare arms and signs with what the source says in words",
                others=(second,),
            )


def check_contrasts_agree_with_arms(context: Context) -> Iterator[Problem]:
    """Each printed difference in means is near the difference of the arms' printed means."""
    means: dict[tuple[object, ...], list[Row]] = {}
    for row in context.rows("outcomes"):
        if row["statistic"] in ("endpoint", "change") and row.number("mean") is not None:
            means.setdefault((row["study_id"], row["arm_id"], *_occasion(row)), []).append(row)
    for row in context.rows("contrasts"):
        estimate = row.number("estimate")
        if row["effect_type"] != "MD" or estimate is None:
            continue
        for first in means.get((row["study_id"], row["arm_id"], *_occasion(row)), []):
            for second in means.get(
                (row["study_id"], row["comparator_arm_id"], *_occasion(row)), []
            ):
                if first["statistic"] == second["statistic"]:
                    yield from _disagreement(row, estimate, first, second)


def _occasion(row: Row) -> tuple[object, ...]:
    return (row["outcome"], row["instrument"], row.number("time_days"), row["subgroup"])


def _disagreement(row: Row, estimate: float, first: Row, second: Row) -> Iterator[Problem]:
    """Yield a warning when a printed difference has the other sign, or another size."""
    difference = (first.number("mean") or 0.0) - (second.number("mean") or 0.0)
    slack = half_unit(row, "estimate") + half_unit(first, "mean") + half_unit(second, "mean")
    sd = spread(first) or spread(second) or abs(difference) + abs(estimate)
    if abs(difference - estimate) <= max(slack, 0.5 * sd):
        return
    is_flipped = abs(difference + estimate) <= max(slack, 0.25 * sd)
    hint = ": the sign is the other way round" if is_flipped else ""
    yield warning(
        row,
        "estimate",
        f"the arms' means differ by {difference:.3g} ({place(first)}, {place(second)}){hint}",
        "compare all three with the source; keep them as printed and say in favours which arm did "
        "better",
        others=(first, second),
    )


def check_arms_share_their_statistic(context: Context) -> Iterator[Problem]:
    """Both arms give the endpoint, or both the change; one of each cannot be compared."""
    for rows in _by_occasion(context).values():
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
        yield warning(
            odd,
            "statistic",
            f"{odd['arm_id']} gives the {odd['statistic']}, {other['arm_id']} "
            f"the {other['statistic']} ({place(other)})",
            "type the same kind of score for every arm, as the source prints it",
            others=(other,),
        )


def _by_occasion(context: Context) -> dict[tuple[object, ...], list[Row]]:
    """Return rows of scores by trial, outcome, instrument, time and subgroup."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in context.rows("outcomes"):
        if row["statistic"] in ("endpoint", "change"):
            groups.setdefault((row["study_id"], *_occasion(row)), []).append(row)
    return groups


def check_changes_have_the_sign_of_change(context: Context) -> Iterator[Problem]:
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
            yield warning(
                first,
                "mean",
                f"every arm got worse, as {direction.replace('_', ' ')}",
                "if the source prints improvements as positive numbers, write them with a minus; "
                "if these are endpoints, say so",
                others=rows[1:],
            )


def check_arms_have_partners(context: Context) -> Iterator[Problem]:
    """Each outcome of a controlled trial is given for two arms at one time on one instrument."""
    contrasted = {(row["study_id"], row["outcome"]) for row in context.rows("contrasts")}
    by_outcome: dict[tuple[str, str], list[Row]] = {}
    for row in context.rows("outcomes"):
        by_outcome.setdefault((row["study_id"], row["outcome"]), []).append(row)
    for rows in context.comparisons:
        first = rows[0]
        design = context.design(first)
        if len(rows) > 1 or not design or design in ("single_arm", "case_report", "cohort"):
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
        yield warning(
            first,
            "arm_id",
            f"no other arm has this outcome, instrument, time and statistic{hint}",
            "type the other arm, or make the words and the time agree",
            others=others[:1],
        )


#: z from the interval and z from the p-value may differ by this factor: t quantiles with few
#: degrees of freedom, covariates and score tests explain that much.
Z_FACTOR = 1.6
#: ... and below this difference nobody would notice.
Z_SLACK = 0.5
#: How far above the printed p the two-sided one must lie before half of it is spoken of.
SIDE_FACTOR = 1.3
_NORMAL = NormalDist()


def check_ratios_are_positive(context: Context) -> Iterator[Problem]:
    """Ratios and their limits are above 0; a negative one is a logarithm."""
    for row in context.rows("contrasts"):
        if row["effect_type"] not in RATIOS:
            continue
        for column in ("estimate", "ci_low", "ci_high"):
            number = row.number(column)
            if number is not None and number <= 0:
                is_rounded = number == 0 and column == "ci_low"
                yield (warning if is_rounded else error)(
                    row,
                    column,
                    "a ratio of 0 has no logarithm"
                    if number == 0
                    else "a ratio cannot be negative",
                    "type it with more digits if the source has them; otherwise leave it empty"
                    if number == 0
                    else "if this is a logarithm, enter the ratio itself as printed",
                )


def check_risk_differences_are_shares(context: Context) -> Iterator[Problem]:
    """Risk differences are shares of one: 13.4 percentage points are 0.134."""
    for row in context.rows("contrasts"):
        if row["effect_type"] != "RD":
            continue
        for column in ("estimate", "ci_low", "ci_high"):
            number = row.number(column)
            if number is not None and abs(number) > 1:
                yield error(
                    row,
                    column,
                    "a risk difference above 1",
                    f"write {number / 100:g} if it is printed in percentage points",
                )


def check_p_is_not_zero(context: Context) -> Iterator[Problem]:
    """No p-value is 0; 0.000 is printed for a bound."""
    for row in context.rows("contrasts"):
        if row.number("p") == 0:
            yield error(
                row, "p", "no p-value is 0", "write 0.001 with p_relation <, if 0.000 is printed"
            )


def check_p_says_whether_it_is_exact(context: Context) -> Iterator[Problem]:
    """Each p-value says in p_relation whether it is exact or a bound."""
    for row in context.rows("contrasts"):
        if row.number("p") is not None and "p_relation" not in row.texts:
            yield warning(
                row,
                "p_relation",
                f"p is {row['p']}, and nothing says whether that is exact; it is read as exact",
                "write = for an exact p, < for a bound such as p < 0.001",
            )


def check_p_agrees_with_the_effect(context: Context) -> Iterator[Problem]:
    """Each p-value and its interval (or SE, or t, or F) tell one story."""
    for row in context.rows("contrasts"):
        p = row.number("p")
        if p is None or not 0 < p < 1:
            continue
        for source, smallest, largest in _z_ranges(row):
            low, high = _z_of_p(row, p)
            # Apart by more than a factor: even the nearest values of both ranges disagree.
            if smallest > high * Z_FACTOR + Z_SLACK:
                says = "a far smaller p"
            elif low > largest * Z_FACTOR + Z_SLACK:
                says = "a far larger p"
            else:
                continue
            nearest = smallest if smallest > high else largest
            yield warning(
                row,
                "p",
                f"{source} means {says} (about {2 * _NORMAL.cdf(-nearest):.2g})",
                "look for a misread sign or limit, another row's p, or p_relation",
            )
            break


def check_one_sided_p_is_called_so(context: Context) -> Iterator[Problem]:
    """No p-value that is half of what the estimate and its precision give stands as two-sided."""
    for row in context.rows("contrasts"):
        p, slack = row.number("p"), half_unit(row, "p")
        exact = row["p_relation"] in ("", "=") and row["p_sided"] != "one"
        if p is None or not exact or not 0 < p < 0.5 or p < 2 * slack:
            continue
        for source, smallest, largest in _z_ranges(row):
            low, high = _NORMAL.cdf(-largest), _NORMAL.cdf(-smallest)
            fits = low <= p + slack and high >= p - slack
            if fits and 2 * low > (p + slack) * SIDE_FACTOR:
                yield warning(
                    row,
                    "p",
                    f"{source} gives {2 * low:.2g} to {2 * high:.2g} two-sided; p is half of it",
                    "write one in p_sided if the source's test is one-sided",
                )
                break


def _z_of_p(row: Row, p: float) -> tuple[float, float]:
    """Return the smallest and largest normal deviate that the printed p allows."""
    slack = half_unit(row, "p")
    if row["p_sided"] == "one":
        p, slack = min(2 * p, 1.0), 2 * slack
    largest = -_NORMAL.inv_cdf(max(p - slack, p / 10, 1e-300) / 2)
    smallest = -_NORMAL.inv_cdf(min(p + slack, 1.0) / 2)
    relation = row["p_relation"]
    if relation.startswith("<"):
        return -_NORMAL.inv_cdf(p / 2), float("inf")
    if relation == ">":
        return 0.0, -_NORMAL.inv_cdf(p / 2)
    return max(0.0, smallest), largest


def _z_ranges(row: Row) -> Iterator[tuple[str, float, float]]:
    """Yield, for each printed precision, its name and the deviates that rounding allows."""
    estimate, se = row.number("estimate"), row.number("se")
    low, high = row.number("ci_low"), row.number("ci_high")
    if row["effect_type"] in RATIOS:
        if estimate is not None and low is not None and high is not None and 0 < low < high:
            yield from _ratio_interval(row, estimate, low, high)
        return
    half = half_unit(row, "estimate")
    if estimate is not None and low is not None and high is not None and low < high:
        slack = max(half_unit(row, "ci_low"), half_unit(row, "ci_high"))
        yield from _range(
            "the interval",
            estimate,
            half,
            (high - low) / 2 / half_width_in_se(row),
            slack / half_width_in_se(row),
        )
    if estimate is not None and se is not None and se > 0:
        yield from _range("the standard error", estimate, half, se, half_unit(row, "se"))
    t, f, df = row.number("t"), row.number("f"), row.number("df")
    statistic = abs(t) if t is not None else sqrt(f) if f is not None and f >= 0 else None
    if statistic is not None and df is not None and df > 0:
        p = t_two_sided(statistic, df)
        if isfinite(p) and 0 < p <= 1:
            z = -_NORMAL.inv_cdf(p / 2)
            yield ("t" if t is not None else "F"), 0.95 * z - 0.05, 1.05 * z + 0.05
    if (deviate := row.number("z")) is not None:
        yield "z", abs(deviate) - half_unit(row, "z"), abs(deviate) + half_unit(row, "z")
    if (square := row.number("chi2")) is not None and df in (None, 1):
        half = half_unit(row, "chi2")
        yield "chi-square", sqrt(max(0.0, square - half)), sqrt(square + half)


def _ratio_interval(
    row: Row, estimate: float, low: float, high: float
) -> Iterator[tuple[str, float, float]]:
    """Yield the deviates of a ratio with its interval."""
    if estimate <= 0:
        return
    value = log(estimate)
    width = log(high / low) / (2 * half_width_in_se(row))
    slack = (half_unit(row, "ci_low") / low + half_unit(row, "ci_high") / high) / (
        2 * half_width_in_se(row)
    )
    yield from _range("the interval", value, half_unit(row, "estimate") / estimate, width, slack)


def _range(
    name: str, estimate: float, half: float, se: float, slack: float
) -> Iterator[tuple[str, float, float]]:
    """Yield the smallest and largest ratio of an estimate to its standard error."""
    if se <= 0:
        return
    smallest = max(0.0, abs(estimate) - half) / (se + slack)
    largest = (abs(estimate) + half) / max(se - slack, se / 10)
    if isfinite(smallest) and isfinite(largest):
        yield name, smallest, largest


def check_contrast_spreads_agree(context: Context) -> Iterator[Problem]:
    """Each standard error and its interval tell one story."""
    for row in context.rows("contrasts"):
        se, low, high = row.number("se"), row.number("ci_low"), row.number("ci_high")
        if se is None or se <= 0 or low is None or high is None or low >= high:
            continue
        if row["effect_type"] in RATIOS:
            if low <= 0:
                continue
            low, high = log(low), log(high)
        ratio = (high - low) / (2 * half_width_in_se(row)) / se
        if not 1 / SPREAD_FACTOR <= ratio <= SPREAD_FACTOR:
            what = "of the logarithm " if row["effect_type"] in RATIOS else ""
            yield warning(
                row,
                "se",
                f"the interval gives a standard error {what}of {ratio * se:.3g}",
                "keep the one the source prints in its own words",
            )


def check_signs_are_known(context: Context) -> Iterator[Problem]:
    """SMD and test rows say in favours which arm did better; without it they enter no effect."""
    for row in context.rows("contrasts"):
        if row["effect_type"] in ("SMD", "test") and not row["favours"]:
            yield warning(
                row,
                "favours",
                "sign unknown: the row will not enter an effect",
                "fill it if the source says which arm did better",
            )
