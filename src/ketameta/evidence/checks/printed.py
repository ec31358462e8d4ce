"""Checks of what sources print about comparisons: alone, and against their own arms.

A room of its own because checks are kept by what they look at, and `run` lists them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import exp, isfinite, lgamma, log, log1p, sqrt
from statistics import NormalDist

from ketameta.evidence.checks.context import (
    Context,
    error,
    grouped,
    half_unit,
    number_rule,
    of_columns,
    place,
    warning,
)
from ketameta.evidence.checks.rows import SPREAD_FACTOR, half_width_in_se
from ketameta.evidence.checks.scores import occasion, spread
from ketameta.evidence.findings import Finding
from ketameta.evidence.pairing import MODELLED
from ketameta.evidence.tables import Row
from ketameta.measures import RATIOS, Measure

#: A printed comparison may lie so many standard errors from what its arms give: covariates, other
#: people and other models move it. Less is asked of one that is said to be adjusted.
FROM_ARMS, FROM_ARMS_ADJUSTED = 1.0, 2.0
#: ... and, for differences of means, so many standard deviations of the scores.
FROM_MEANS = 0.5
#: Rounding and small-sample corrections move what is computed twice by this share.
SAME_SHARE = 0.02
#: An estimate this near to its own arms, in standard errors, is never called by another name.
NEAR = 0.25


@dataclass(frozen=True, slots=True)
class _Given:
    """What two arms give for one measure, on the scale of the model, with its standard error."""

    kind: str
    value: float
    se: float

    @property
    def read(self) -> float:
        """The value as a reader sees it."""
        return exp(self.value) if self.kind in RATIOS else self.value

    @property
    def exchanged(self) -> float:
        """The same with the groups exchanged."""
        return 1 / self.read if self.kind in RATIOS else -self.value


def _given_by_counts(first: Row, second: Row) -> dict[str, _Given]:
    """Return the odds, risk and hazard ratio and the risk difference of two arms' counts."""
    counts = []
    for row in (first, second):
        n, events, percent = row.number("n"), row.number("events"), row.number("percent")
        if events is None and percent is not None and n:
            events = round(percent * n / 100)
        if events is None or not n or not 0 <= events <= n:
            return {}
        counts.append((events, n))
    (a, m), (c, n) = counts
    shares = (a / m, c / n)
    found = {
        "RD": (
            shares[0] - shares[1],
            sum(p * (1 - p) / k for p, (_, k) in zip(shares, counts, strict=True)),
        )
    }
    if 0 < a < m and 0 < c < n:
        found["OR"] = (log(a * (n - c) / ((m - a) * c)), 1 / a + 1 / (m - a) + 1 / c + 1 / (n - c))
        found["RR"] = (log(shares[0] / shares[1]), 1 / a - 1 / m + 1 / c - 1 / n)
        # With proportional hazards, the logarithms of the shares without the event have this ratio.
        without = [log1p(-p) for p in shares]
        found["HR"] = (
            log(without[0] / without[1]),
            sum(
                p / ((1 - p) * k * w * w)
                for p, (_, k), w in zip(shares, counts, without, strict=True)
            ),
        )
    return {kind: _Given(kind, value, sqrt(variance)) for kind, (value, variance) in found.items()}


def _given_by_scores(first: Row, second: Row) -> dict[str, _Given]:
    """Return the difference of two arms' means, and the standardised one where SDs are known."""
    means = first.number("mean"), second.number("mean")
    if means[0] is None or means[1] is None:
        return {}
    difference = means[0] - means[1]
    sd1, sd2, n1, n2 = spread(first), spread(second), first.number("n"), second.number("n")
    if sd1 is None or sd2 is None or n1 is None or n2 is None or min(n1, n2) < 2:
        return {"MD": _Given("MD", difference, float("inf"))}
    pooled = sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / (n1 + n2 - 2))
    g = difference / pooled * (1 - 3 / (4 * (n1 + n2) - 9))
    return {
        "MD": _Given("MD", difference, sqrt(sd1**2 / n1 + sd2**2 / n2)),
        "SMD": _Given("SMD", g, sqrt(1 / n1 + 1 / n2 + g * g / (2 * (n1 + n2)))),
    }


@number_rule("contrast_disagrees")
def check_contrasts_agree_with_arms(context: Context) -> Iterator[Finding]:
    """Each printed comparison is near what the numbers of its own arms give."""
    arms = grouped(
        context.rows("outcomes"), lambda row: (row["study_id"], row["arm_id"], *occasion(row))
    )
    for row in context.rows("contrasts"):
        one, two = (
            arms.get((row["study_id"], row[name], *occasion(row)), ())
            for name in ("arm_id", "comparator_arm_id")
        )
        for first, second in product(one, two):
            same = first["statistic"] == second["statistic"]
            if same and not any(
                a.is_other_analysis(b) for a, b in ((first, second), (row, first), (row, second))
            ):
                counted = first["statistic"] == "events"
                given = (_given_by_counts if counted else _given_by_scores)(first, second)
                yield from _contradiction(context, row, first, second, given)


def _contradiction(
    context: Context, row: Row, first: Row, second: Row, given: Mapping[str, _Given]
) -> Iterator[Finding]:
    """Yield what two arms say against a comparison: its value, its kind or its direction."""
    kind, estimate = row["effect_type"], row.number("estimate")
    own = given.get(kind)
    why = ""
    if own is not None and estimate is not None and not (kind in RATIOS and estimate <= 0):
        # The words give the sign of a standardised difference, and mend that of a plain one.
        agreed = kind == "MD" and _better(context, row, own.value) == row["favours"] != ""
        turned = kind == "SMD" or agreed
        why = _says(row, abs(estimate) if turned else estimate, own, given, first, second, turned)
    if not why and row["favours"] in ("treatment", "control"):
        why = _other_direction(context, row, given)
    if why:
        why = f"{why} ({place(first)}, {place(second)})"
        remedy = (
            "compare all three with the source; keep them as printed and say in favours which arm "
            "did better"
        )
        yield warning(
            row,
            "favours" if why.startswith("the arms say") else "estimate",
            why,
            remedy,
            others=(first, second),
        )


def _says(
    row: Row, estimate: float, own: _Given, given: Mapping[str, _Given], first: Row, second: Row,
    turned: bool,
) -> str:  # fmt: skip
    """Return how a printed estimate contradicts its arms; nothing where it does not."""
    half = half_unit(row, "estimate")
    target = abs(own.read) if turned else own.read
    rounding = half + half_unit(first, "mean") + half_unit(second, "mean")
    if abs(estimate - target) <= rounding + SAME_SHARE * abs(target):
        return ""
    on_scale = log(estimate) if own.kind in RATIOS else estimate
    away = abs(on_scale - (log(target) if own.kind in RATIOS else target))
    told = f"the arms give {_named(own)} {own.read:.3g}"
    if away > NEAR * own.se or not isfinite(own.se):
        adjusted = row["sd_origin"] in MODELLED
        for other, value, what in _other_names(own, given):
            near = abs(estimate - value) <= half + SAME_SHARE * abs(value) / 2
            if near and (not adjusted or "exchanged" in what) and not (turned and other is own):
                return f"{told}; {row['estimate']} is {what}"
    sd = spread(first) or spread(second) or abs(target) + abs(estimate)
    limit = FROM_ARMS_ADJUSTED if row["sd_origin"] in MODELLED else FROM_ARMS
    if own.kind in RATIOS:
        rounding = 2 * half / estimate
    reach = FROM_MEANS * sd if own.kind == "MD" else limit * own.se
    return told if away > max(rounding, reach) else ""


def _other_names(own: _Given, given: Mapping[str, _Given]) -> Iterator[tuple[_Given, float, str]]:
    """Yield what else a number could be: groups exchanged, a logarithm, another measure."""
    yield own, own.exchanged, "that with the groups exchanged"
    if own.kind in RATIOS:
        yield own, own.value, "its logarithm"
    for other in given.values():
        if other is not own and other.kind != "HR":
            yield other, other.read, f"their {_named(other)}"
            yield other, other.exchanged, f"their {_named(other)} with the groups exchanged"


def _named(given: _Given) -> str:
    label = Measure(given.kind).label
    label = label[0].lower() + label[1:]
    return f"{label} near" if given.kind == "HR" else label


def _better(context: Context, row: Row, value: float) -> str:
    """Return which arm did better, by treatment minus control; nothing where nobody can say."""
    direction = context.direction(row)
    if value == 0 or direction not in ("lower_is_better", "higher_is_better"):
        return ""
    return "treatment" if (value < 0) == (direction == "lower_is_better") else "control"


def _other_direction(context: Context, row: Row, given: Mapping[str, _Given]) -> str:
    """Return that the arms clearly say another arm did better than ``favours`` does."""
    telling = given.get("SMD") or given.get("OR")
    if telling is None or abs(telling.value) < telling.se:
        return ""
    better = _better(context, row, telling.value)
    if not better or better == row["favours"]:
        return ""
    name = "arm_id" if better == "treatment" else "comparator_arm_id"
    return f"the arms say that {row[name]} did better: {_named(telling)} {telling.read:.3g}"


@number_rule("includes")
def check_larger_groups_hold_smaller_ones(context: Context) -> Iterator[Finding]:
    """No outcome has fewer people than one that it includes, by one scale at one time."""
    includes = context.evidence.project.words.includes
    same = of_columns("study_id", "arm_id", "subgroup", "analysis_set")

    def key(row: Row) -> tuple[object, ...]:
        return *same(row), row.number("time_days"), row["instrument"].split("_")[0]

    events = (row for row in context.rows("outcomes") if row["statistic"] == "events")
    for rows in grouped((row for row in events if row.number("n")), key).values():
        for wide, narrow in product(rows, rows):
            if narrow["outcome"] not in includes.get(wide["outcome"], ()):
                continue
            counts = [row.number("events") or 0.0 for row in (wide, narrow)]
            if wide["events"] and narrow["events"] and counts[0] < counts[1]:
                why = (
                    f"fewer than the {counts[1]:g} people with {narrow['outcome']}, who are among "
                    f"them ({place(narrow)})"
                )
                remedy = "look for exchanged rows, or for another definition in the instrument"
                yield warning(wide, "events", why, remedy, others=(narrow,))


#: z from the interval and z from the p-value may differ by this factor: t quantiles with few
#: degrees of freedom, covariates and score tests explain that much.
Z_FACTOR = 1.6
#: ... and below this difference nobody would notice.
Z_SLACK = 0.5
#: How far above the printed p the two-sided one must lie before half of it is spoken of.
SIDE_FACTOR = 1.3
_NORMAL = NormalDist()


@number_rule("ratio_positive", "contrasts")
def check_ratios_are_positive(context: Context, row: Row) -> Iterator[Finding]:
    """Ratios and their limits are above 0; a negative one is a logarithm."""
    if row["effect_type"] not in RATIOS:
        return
    for column in ("estimate", "ci_low", "ci_high"):
        number = row.number(column)
        if number is not None and number <= 0:
            is_rounded = number == 0 and column == "ci_low"
            yield (warning if is_rounded else error)(
                row,
                column,
                "a ratio of 0 has no logarithm" if number == 0 else "a ratio cannot be negative",
                "type it with more digits if the source has them; otherwise leave it empty"
                if number == 0
                else "if this is a logarithm, enter the ratio itself as printed",
            )


@number_rule("risk_difference", "contrasts")
def check_risk_differences_are_shares(context: Context, row: Row) -> Iterator[Finding]:
    """Risk differences are shares of one: 13.4 percentage points are 0.134."""
    if row["effect_type"] != "RD":
        return
    for column in ("estimate", "ci_low", "ci_high"):
        number = row.number(column)
        if number is not None and abs(number) > 1:
            why = "a risk difference above 1"
            remedy = f"write {number / 100:g} if it is printed in percentage points"
            yield error(row, column, why, remedy)


@number_rule("p_zero", "contrasts")
def check_p_is_not_zero(context: Context, row: Row) -> Iterator[Finding]:
    """No p-value is 0; 0.000 is printed for a bound."""
    if row.number("p") == 0:
        yield error(
            row, "p", "no p-value is 0", "write 0.001 with p_relation <, if 0.000 is printed"
        )


@number_rule("p_exact", "contrasts")
def check_p_says_whether_it_is_exact(context: Context, row: Row) -> Iterator[Finding]:
    """Each p-value says in p_relation whether it is exact or a bound."""
    if row.number("p") is not None and "p_relation" not in row.texts:
        why = f"p is {row['p']}, and nothing says whether that is exact; it is read as exact"
        remedy = "write = for an exact p, < for a bound such as p < 0.001"
        yield warning(row, "p_relation", why, remedy)


@number_rule("p_contradicts", "contrasts")
def check_p_agrees_with_the_effect(context: Context, row: Row) -> Iterator[Finding]:
    """Each p-value and its interval (or SE, or t, or F) tell one story."""
    p = row.number("p")
    if p is None or not 0 < p < 1:
        return
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
        why = f"{source} means {says} (about {2 * _NORMAL.cdf(-nearest):.2g})"
        remedy = "look for a misread sign or limit, another row's p, or p_relation"
        yield warning(row, "p", why, remedy)
        break


@number_rule("p_one_sided", "contrasts")
def check_one_sided_p_is_called_so(context: Context, row: Row) -> Iterator[Finding]:
    """No p-value that is half of what the estimate and its precision give stands as two-sided."""
    p, slack = row.number("p"), half_unit(row, "p")
    exact = row["p_relation"] in ("", "=") and row["p_sided"] != "one"
    if p is None or not exact or not 0 < p < 0.5 or p < 2 * slack:
        return
    for source, smallest, largest in _z_ranges(row):
        low, high = _NORMAL.cdf(-largest), _NORMAL.cdf(-smallest)
        fits = low <= p + slack and high >= p - slack
        if fits and 2 * low > (p + slack) * SIDE_FACTOR:
            why = f"{source} gives {2 * low:.2g} to {2 * high:.2g} two-sided; p is half of it"
            remedy = "write one in p_sided if the source's test is one-sided"
            yield warning(row, "p", why, remedy)
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


#: Terms of the continued fraction: enough for a hundred thousand degrees of freedom.
_TERMS = 100


def t_two_sided(statistic: float, df: float) -> float:
    """Return ``P(|T| > |statistic|)`` for Student's t with ``df > 0`` degrees of freedom.

    Notes
    -----
    The regularised incomplete beta function ``I_x(df / 2, 1 / 2)`` with ``x = df / (df + t^2)`` by
    its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22): the import of
    a library would take longer than all checks.
    """
    square = statistic * statistic
    if square == 0:
        return 1.0
    log_x, log_rest = -log1p(square / df), -log1p(df / square)
    a, b = df / 2, 0.5
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log_x + b * log_rest)
    # The fraction converges fast on one side of (a + 1) / (a + b + 2); the other is 1 minus it.
    if log_x < log((a + 1) / (a + b + 2)):
        return front / _fraction(a, b, exp(log_x)) / a
    return 1 - front / _fraction(b, a, exp(log_rest)) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction ``1 + d1 x / (1 + d2 x / (1 + ...))``, from its end on."""
    value = 1.0
    for m in range(_TERMS, 0, -1):
        odd = -(a + m) * (a + b + m) / ((a + 2 * m) * (a + 2 * m + 1))
        even = m * (b - m) / ((a + 2 * m - 1) * (a + 2 * m))
        value = 1 + even * x / (1 + odd * x / value)
    return 1 - (a + b) / (a + 1) * x / value


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


@number_rule("contrast_spreads", "contrasts")
def check_contrast_spreads_agree(context: Context, row: Row) -> Iterator[Finding]:
    """Each standard error and its interval tell one story."""
    se, low, high = row.number("se"), row.number("ci_low"), row.number("ci_high")
    if se is None or se <= 0 or low is None or high is None or low >= high:
        return
    if row["effect_type"] in RATIOS:
        if low <= 0:
            return
        low, high = log(low), log(high)
    ratio = (high - low) / (2 * half_width_in_se(row)) / se
    if not 1 / SPREAD_FACTOR <= ratio <= SPREAD_FACTOR:
        what = "of the logarithm " if row["effect_type"] in RATIOS else ""
        why = f"the interval gives a standard error {what}of {ratio * se:.3g}"
        remedy = "keep the one the source prints in its own words"
        yield warning(row, "se", why, remedy)


@number_rule("sign_unknown", "contrasts")
def check_signs_are_known(context: Context, row: Row) -> Iterator[Finding]:
    """SMD and test rows say in favours which arm did better; without it they enter no effect."""
    if row["effect_type"] in ("SMD", "test") and not row["favours"]:
        why = "sign unknown: the row will not enter an effect"
        remedy = "fill it if the source says which arm did better"
        yield warning(row, "favours", why, remedy)
