"""Conversions against the Cochrane Handbook, metafor, raw data and their own inverses."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats

from ketameta import effects as es
from ketameta.effects import conversions as cv
from ketameta.errors import ImpossibleDataError, UsageError
from tolerances import INVERSE_CONVERSION, PRINTED_FIVE_NUMBERS

N = st.integers(2, 2000)
SD = st.floats(0.01, 500)


def one(array):
    assert array.shape == (1,)
    return float(array[0])


# --- printed examples -----------------------------------------------------------------------------


def test_handbook_example_from_p_to_sd():
    # Cochrane Handbook 6.5.2.3: difference 3.8, P = 0.008, 25 and 22 participants give t = 2.78 on
    # 45 degrees of freedom, SE = 1.37, SD = 4.69.
    assert one(cv.t_from_p(0.008, 45)) == pytest.approx(2.78, abs=5e-3)
    assert one(cv.se_from_p(3.8, 0.008, df=45)) == pytest.approx(1.37, abs=5e-3)
    assert one(cv.sd_from_difference_se(1.37, 25, 22)) == pytest.approx(4.69, abs=5e-3)
    assert one(cv.sd_from_p(3.8, 0.008, 25, 22)) == pytest.approx(4.69, abs=0.02)
    assert one(cv.sd_from_t(-3.8, 2.78, 25, 22)) == pytest.approx(4.69, abs=0.02)
    assert one(cv.sd_from_f(3.8, 2.78**2, 25, 22)) == pytest.approx(4.69, abs=0.02)


def test_handbook_divisors_of_arm_intervals():
    # Cochrane Handbook 6.5.2.2: divisor 3.92 for a large sample, 4.128 for 25 participants; 3.29
    # and 5.15 for 90% and 99% intervals.
    assert one(cv.sd_from_ci(0, 4.128, 25)) == pytest.approx(math.sqrt(25), abs=2e-3)
    for level, divisor in ((0.95, 3.92), (0.90, 3.29), (0.99, 5.15)):
        sd = one(cv.sd_from_ci(0, divisor, 400, level=level, distribution="normal"))
        assert sd == pytest.approx(math.sqrt(400), rel=1e-3)


def test_the_best_known_quantile():
    assert one(cv.z_from_p(0.05)) == pytest.approx(1.959963984540054, rel=1e-14)


def test_combined_arms_of_three_printed_groups():
    # Example of the Stata command combine: groups of 50 with means 26.5, 32.9, 36.4 and SDs 4.5,
    # 5.8, 3.8; expected values from the sums of squares within and between.
    arm = cv.combine_arms([50, 50, 50], [26.5, 32.9, 36.4], [4.5, 5.8, 3.8])
    mean = (26.5 + 32.9 + 36.4) / 3
    squares = 49 * (4.5**2 + 5.8**2 + 3.8**2) + 50 * sum(
        (m - mean) ** 2 for m in (26.5, 32.9, 36.4)
    )
    assert (arm.n, arm.mean) == (150, pytest.approx(mean, rel=1e-14))
    assert arm.sd == pytest.approx(math.sqrt(squares / 149), rel=1e-14)


def test_handbook_formula_of_two_combined_arms():
    # Cochrane Handbook table 6.5.a, written out.
    n1, m1, s1, n2, m2, s2 = 20, 12.0, 8.0, 22, 18.0, 7.0
    numerator = (n1 - 1) * s1**2 + (n2 - 1) * s2**2
    numerator += n1 * n2 / (n1 + n2) * (m1**2 + m2**2 - 2 * m1 * m2)
    arm = cv.combine_arms([n1, n2], [m1, m2], [s1, s2])
    assert arm.sd == pytest.approx(math.sqrt(numerator / (n1 + n2 - 1)), rel=1e-13)
    assert arm.mean == pytest.approx((n1 * m1 + n2 * m2) / (n1 + n2), rel=1e-14)


# --- quantiles ------------------------------------------------------------------------------------

#: conv.fivenum of metafor 4.4 (test=FALSE) for 2, 6, 9, 17, 41: n, then mean and SD from the range,
#: from the quartiles, and from all five with Wan's SD.
FIVE_NUMBERS = [
    (7, 15.021544795358952, 14.29106691143328, 10.889285714285714, 10.103962147784886,
     14.361220613598714, 12.197514529609084),
    (30, 11.972897250696676, 9.5575055212413016, 10.782500000000001, 8.5626224066574625,
     12.3038216208361, 9.0600639639493821),
    (100, 10.403596372036779, 7.804399930371213, 10.75975, 8.2742542328822122,
     11.420082492316839, 8.0393270816267126),
]  # fmt: skip


@pytest.mark.parametrize("row", FIVE_NUMBERS, ids=lambda row: f"n={row[0]}")
def test_quantiles_equal_metafor(row):
    n, *expected = row
    ours = [
        cv.mean_sd_from_range(2, 9, 41, n),
        cv.mean_sd_from_quartiles(6, 9, 17, n),
        cv.mean_sd_from_five_numbers(2, 6, 9, 17, 41, n, sd_method="wan"),
    ]
    flat = [one(value) for result in ours for value in (result.mean, result.sd)]
    np.testing.assert_allclose(flat, expected, rtol=PRINTED_FIVE_NUMBERS)


def test_shi_weights_lie_between_range_and_quartiles():
    n = np.array([5, 20, 100, 1000])
    five = cv.mean_sd_from_five_numbers(2, 6, 9, 17, 41, n)
    by_range, by_quartiles = (
        cv.mean_sd_from_range(2, 9, 41, n),
        cv.mean_sd_from_quartiles(6, 9, 17, n),
    )
    weight = (five.sd - by_quartiles.sd) / (by_range.sd - by_quartiles.sd)
    # Shi et al. (2020): the optimal weight of the range falls with n; at n = 1 it is 1 / 1.07.
    np.testing.assert_allclose(1 / weight - 1, 0.07 * n**0.6, rtol=1e-9)


@pytest.mark.parametrize("n", [5, 9, 25, 101, 401])
def test_widths_are_those_of_normal_samples(n):
    # The SD formulas divide by the expected width of a normal sample; here by integration:
    # E(range) = integral of 1 - F^n - (1 - F)^n, and order statistics for the quartiles
    # (n = 4Q + 1). The approximation is 1.4% off at n = 5 and 0.8% or less from n = 9.
    expected_range, _ = integrate.quad(
        lambda x: 1 - stats.norm.cdf(x) ** n - stats.norm.sf(x) ** n, -12, 12, limit=400
    )
    assert one(cv.mean_sd_from_range(0, expected_range / 2, expected_range, n).sd) == pytest.approx(
        1, abs=0.015 if n == 5 else 0.008
    )
    third = 3 * (n - 1) // 4 + 1
    upper, _ = integrate.quad(
        lambda p: stats.norm.ppf(p) * stats.beta.pdf(p, third, n - third + 1), 0, 1, limit=400
    )
    assert one(cv.mean_sd_from_quartiles(-upper, 0, upper, n).sd) == pytest.approx(
        1, abs=0.015 if n == 5 else 0.008
    )


@given(st.floats(-50, 50), st.floats(0.1, 20), st.integers(5, 5000))
def test_symmetric_quantiles_return_their_centre(centre, half, n):
    results = (
        cv.mean_sd_from_quartiles(centre - half, centre, centre + half, n),
        cv.mean_sd_from_range(centre - half, centre, centre + half, n),
        cv.mean_sd_from_five_numbers(
            centre - 3 * half, centre - half, centre, centre + half, centre + 3 * half, n
        ),
    )
    for result in results:
        assert one(result.mean) == pytest.approx(centre, abs=1e-9)
        assert one(result.sd) > 0


def test_skewed_quantiles_are_flagged():
    assert cv.mean_sd_from_quartiles(10, [15, 10.5], 20, 100).is_skewed.tolist() == [False, True]
    assert cv.mean_sd_from_range(10, [15, 10.5], 20, 100).is_skewed.tolist() == [False, True]
    five = cv.mean_sd_from_five_numbers(0, 10, [15, 10.5], 20, 30, 100)
    assert five.is_skewed.tolist() == [False, True]


def test_skewness_test_keeps_its_level():
    # 5% of normal samples are flagged, within the accuracy of the published approximations.
    rng = np.random.default_rng(4)
    samples = np.sort(rng.standard_normal((20_000, 101)), axis=1)
    quartiles = cv.mean_sd_from_quartiles(*samples[:, [25, 50, 75]].T, 101)
    extremes = cv.mean_sd_from_range(*samples[:, [0, 50, 100]].T, 101)
    assert quartiles.is_skewed.mean() == pytest.approx(0.05, abs=0.02)
    assert extremes.is_skewed.mean() == pytest.approx(0.05, abs=0.02)
    assert quartiles.sd.mean() == pytest.approx(1, abs=0.01)
    assert extremes.sd.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((9, 8, 12, 30), "median must be at least q1: 8 at position 0"),
        ((9, 10, 9.5, 30), "q3 must be at least median"),
        ((9, 9, 9, 30), "q3 must be above q1"),
        ((9, 10, 12, 4), "n must be 5 or more: 4 at position 0"),
    ],
)
def test_impossible_quantiles_are_refused(values, message):
    with pytest.raises(ImpossibleDataError, match=message):
        cv.mean_sd_from_quartiles(*values)


def test_five_numbers_with_equal_quartiles_are_refused():
    with pytest.raises(ImpossibleDataError, match="q3 must be above q1"):
        cv.mean_sd_from_five_numbers(0, 5, 5, 5, 9, 30)
    with pytest.raises(UsageError, match=r"sd_method is 'shih'.*did you mean shi"):
        cv.mean_sd_from_five_numbers(0, 4, 5, 6, 9, 30, sd_method="shih")


# --- inverses and identities ----------------------------------------------------------------------


@given(sd=SD, n=N)
def test_sd_survives_a_standard_error(sd, n):
    assert one(cv.sd_from_se(cv.se_from_sd(sd, n), n)) == pytest.approx(sd, rel=INVERSE_CONVERSION)


@given(sd=SD, n=N, mean=st.floats(-100, 100), level=st.sampled_from([0.9, 0.95, 0.99]))
def test_sd_survives_an_arm_interval(sd, n, mean, level):
    for distribution, q in (
        ("t", stats.t.ppf((1 + level) / 2, n - 1)),
        ("normal", stats.norm.ppf((1 + level) / 2)),
    ):
        half = q * sd / math.sqrt(n)
        back = cv.sd_from_ci(mean - half, mean + half, n, level=level, distribution=distribution)
        assert one(back) == pytest.approx(sd, rel=1e-8)  # the bounds carry the digits of the mean


@given(sd=SD, n1=N, n2=N, difference=st.floats(0.01, 50))
def test_sd_survives_every_statistic_of_a_difference(sd, n1, n2, difference):
    se = sd * math.sqrt(1 / n1 + 1 / n2)
    t = difference / se
    df = n1 + n2 - 2
    half = stats.t.ppf(0.975, df) * se
    routes = [
        cv.sd_from_difference_se(se, n1, n2),
        cv.sd_from_t(-difference, t, n1, n2),
        cv.sd_from_f(difference, t**2, n1, n2),
    ]
    p = 2 * stats.t.sf(t, df)
    if 1e-200 < p < 0.999:
        routes.append(cv.sd_from_p(difference, p, n1, n2))
    for back in routes:
        assert one(back) == pytest.approx(sd, rel=1e-9)
    by_ci = cv.sd_from_difference_ci(difference - half, difference + half, n1, n2)
    assert one(by_ci) == pytest.approx(sd, rel=1e-6)


@given(estimate=st.floats(-3, 3), se=st.floats(0.01, 2))
def test_se_survives_intervals_and_p_values(estimate, se):
    assume(abs(estimate) > 0.01)
    z = stats.norm.ppf(0.975)
    low, high = estimate - z * se, estimate + z * se
    assert one(cv.se_from_ci(low, high, estimate=estimate)) == pytest.approx(se, rel=1e-9)
    assert one(cv.log_se_from_ci(math.exp(low), math.exp(high))) == pytest.approx(se, rel=1e-9)
    q = stats.t.ppf(0.975, 7)
    by_t = cv.se_from_ci(estimate - q * se, estimate + q * se, df=7)
    assert one(by_t) == pytest.approx(se, rel=1e-9)
    p = 2 * stats.norm.sf(abs(estimate / se))
    if 1e-250 < p < 0.999:
        assert one(cv.se_from_p(estimate, p)) == pytest.approx(se, rel=1e-9)


@given(f=st.floats(0, 1e4))
def test_f_with_one_degree_of_freedom_is_t_squared(f):
    assert one(cv.t_from_f(f)) ** 2 == pytest.approx(f, rel=INVERSE_CONVERSION)
    if f > 0.01:
        p = stats.f.sf(f, 1, 40)
        if p > 1e-200:
            assert one(cv.t_from_p(p, 40)) == pytest.approx(math.sqrt(f), rel=1e-9)


@given(s1=SD, s2=SD, r=st.floats(-0.99, 0.99))
def test_correlation_survives_the_sd_of_the_change(s1, s2, r):
    assume(0.05 < s1 / s2 < 20)
    back = cv.correlation_from_change_sd(s1, s2, cv.change_sd(s1, s2, r))
    assert one(back) == pytest.approx(r, abs=1e-9)


def test_sd_of_the_change_is_that_of_the_raw_differences():
    before = [3.0, 9.0, 4.0, 7.5, 1.0, 6.0]
    after = [2.0, 5.0, 4.5, 3.0, 1.5, 2.0]
    change = [b - a for a, b in zip(before, after)]
    r = statistics.correlation(before, after)
    ours = cv.change_sd(statistics.stdev(before), statistics.stdev(after), r)
    assert one(ours) == pytest.approx(statistics.stdev(change), rel=1e-12)


@given(
    st.lists(
        st.lists(st.integers(-1000, 1000), min_size=2, max_size=12).filter(
            lambda x: len(set(x)) > 1
        ),
        min_size=1,
        max_size=5,
    )
)
def test_combined_arms_are_the_arm_of_all_people(groups):
    arm = cv.combine_arms(
        [len(group) for group in groups],
        [statistics.fmean(group) for group in groups],
        [statistics.stdev(group) for group in groups],
    )
    everyone = [value for group in groups for value in group]
    assert arm.n == len(everyone)
    assert arm.mean == pytest.approx(statistics.fmean(everyone), rel=1e-12, abs=1e-10)
    assert arm.sd == pytest.approx(statistics.stdev(everyone), rel=1e-10)


@given(sd1=SD, sd2=SD, n1=N, n2=N)
def test_pooled_sd_gives_the_standard_error_that_d_uses(sd1, sd2, n1, n2):
    pooled = one(cv.pooled_sd(sd1, n1, sd2, n2))
    assert min(sd1, sd2) * (1 - 1e-12) <= pooled <= max(sd1, sd2) * (1 + 1e-12)
    g = es.standardized_mean_difference(pooled, sd1, n1, 0, sd2, n2)
    correction = es.hedges_correction(n1 + n2 - 2)
    assert one(g.estimate / correction) == pytest.approx(1, rel=1e-12)


# --- counts ---------------------------------------------------------------------------------------


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_whole_counts_survive_percentages(case):
    events, n = case
    for decimals in (0, 1, 2):
        percent = round(100 * events / n, decimals)
        result = cv.count_from_percent(percent, n, decimals)
        candidates = [c for c in range(n + 1) if round(100 * c / n, decimals) == percent]
        if result.is_whole[0]:
            assert candidates == [events]
            assert one(result.count) == events
        # Ties such as 12.5 may print either way, so a tie can add candidates, never remove one.
        assert one(result.candidates) >= len(candidates) >= 1


def test_unfitting_and_ambiguous_percentages_are_not_whole():
    result = cv.count_from_percent([55, 12, 33.3, 0, 100], [15, 250, 12, 40, 40])
    assert result.is_whole.tolist() == [False, False, True, True, True]
    assert result.candidates.tolist() == [0, 3, 1, 1, 1]
    assert result.count.tolist() == [8, 30, 4, 0, 40]
    assert np.isfinite(result.count).all()


def test_printed_decimals_sharpen_the_count():
    assert not cv.count_from_percent(12.0, 250).is_whole[0]
    sharp = cv.count_from_percent(12.0, 250, decimals=1)
    assert (one(sharp.count), sharp.is_whole[0]) == (30, True)


def test_events_of_arms_are_added():
    assert cv.combine_events([3, 0, 5], [20, 11, 22]) == cv.CombinedEvents(8, 53)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cv.sd_from_se([1, 0, -2], 9), "se must be > 0: 0 at position 1, -2 at position 2"),
        (lambda: cv.sd_from_se(1, [9, 1]), "n must be 2 or more: 1 at position 1"),
        (lambda: cv.se_from_sd(0, 9), "sd must be > 0"),
        (lambda: cv.sd_from_ci(5, 3, 9), "ci_high must be above ci_low: 3 at position 0"),
        (lambda: cv.se_from_ci(5, 5), "ci_high must be above ci_low"),
        (lambda: cv.se_from_ci(1, 5, df=0), "df must be > 0"),
        (lambda: cv.se_from_ci(1, 5, estimate=-3), "estimate must be between ci_low and ci_high"),
        (lambda: cv.log_se_from_ci(-0.5, 5), "ci_low must be > 0"),
        (lambda: cv.t_from_p(0, 9), "p must be strictly between 0 and 1: 0 at position 0"),
        (lambda: cv.t_from_p(0.5, 0), "df must be > 0"),
        (lambda: cv.z_from_p(1), "p must be strictly between 0 and 1"),
        (lambda: cv.t_from_f(-1), "f must be 0 or more"),
        (lambda: cv.se_from_p(0, 0.5), "estimate must be other than 0"),
        (lambda: cv.sd_from_difference_se(1, 1, 9), "n_treatment must be 2 or more"),
        (lambda: cv.sd_from_difference_ci(1, 2, 9, 1), "n_control must be 2 or more"),
        (lambda: cv.sd_from_t(1, 0, 9, 9), "t must be other than 0"),
        (lambda: cv.sd_from_f(1, 0, 9, 9), "f must be > 0"),
        (lambda: cv.sd_from_p(0, 0.5, 9, 9), "mean_difference must be other than 0"),
        (lambda: cv.pooled_sd(1, 9, 0, 9), "sd_control must be > 0"),
        (lambda: cv.change_sd(1, 1, 1), "correlation must be strictly between -1 and 1"),
        (lambda: cv.correlation_from_change_sd(1, 2, 9), "sd_change must be between"),
        (lambda: cv.combine_arms([5, 1], 1, 1), "n must be 2 or more: 1 at position 1"),
        (lambda: cv.combine_events([5, 9], [6, 8]), "events must be at most n: 9 at position 1"),
        (lambda: cv.combine_events(-1, 6), "events must be 0 or more"),
        (lambda: cv.count_from_percent(101, 6), "percent must be between 0 and 100"),
        (lambda: cv.count_from_percent(50, 6.5), "n must be whole and > 0"),
        (lambda: cv.count_from_percent(50, 6, -1), "decimals must be whole and 0 or more"),
    ],
)
def test_impossible_numbers_are_refused_by_name(call, message):
    with pytest.raises(ImpossibleDataError, match=message):
        call()


@pytest.mark.parametrize("level", [95, 0, 1, math.nan])
def test_a_level_is_a_share(level):
    with pytest.raises(UsageError, match=r"level is .*; it is a share between 0 and 1"):
        cv.se_from_ci(1, 2, level)


def test_options_and_empty_lists_are_named():
    with pytest.raises(UsageError, match="distribution is 'T'"):
        cv.sd_from_ci(1, 2, 9, distribution="T")
    with pytest.raises(UsageError, match="at least one arm"):
        cv.combine_arms([], [], [])
    with pytest.raises(UsageError, match="at least one arm"):
        cv.combine_events([], [])


# --- routes ---------------------------------------------------------------------------------------


def test_every_route_says_what_was_done_and_where_it_is_described():
    assert len(cv.ROUTES) >= 30
    for code, route in cv.ROUTES.items():
        assert code == route.code
        assert code == code.lower() and code.replace("_", "").isalnum()
        assert route.description and route.source
    with pytest.raises(TypeError):
        cv.ROUTES["new"] = cv.ROUTES["counts"]


@pytest.mark.parametrize(
    "code",
    [
        "sd_printed", "sd_from_se", "sd_from_ci", "sd_from_quartiles", "combined_arms", "t_from_p",
        "f_to_t", "smd_printed", "ci_to_se", "paired_correlation_assumed", "count_from_percent",
        "counts",
    ],
)  # fmt: skip
def test_codes_of_the_data_format_exist(code):
    assert code in cv.ROUTES


def test_routes_that_assume_something_are_not_exact():
    assumed = {code for code, route in cv.ROUTES.items() if not route.is_exact}
    assert {"paired_correlation_assumed", "sd_from_quartiles", "sd_from_p"} <= assumed
    assert not {"sd_printed", "sd_from_se", "combined_arms", "counts"} & assumed
