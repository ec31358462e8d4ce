"""Checks within one row of contrasts.csv: an effect that its own p-value and interval support."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite, log, sqrt
from statistics import NormalDist

from ketameta.checks.context import Context, Problem, error, half_unit, warning
from ketameta.checks.rows import SPREAD_FACTOR, half_width_in_se
from ketameta.checks.student import t_two_sided
from ketameta.evidence import Row

RATIOS = ("OR", "RR", "HR")
#: z from the interval and z from the p-value may differ by this factor: t quantiles with few
#: degrees of freedom, covariates and score tests explain that much.
Z_FACTOR = 1.6
#: ... and below this difference nobody would notice.
Z_SLACK = 0.5
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


def _z_of_p(row: Row, p: float) -> tuple[float, float]:
    """Return the smallest and largest normal deviate that the printed p allows."""
    slack = half_unit(row, "p")
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
