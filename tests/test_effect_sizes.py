"""Effect sizes against metafor's escalc, open data, published examples and algebra."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketameta import effects as es
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.measures import Measure
from tolerances import EFFECT_SIZE, LARGE_SAMPLE, OPEN_DATA

HERE = Path(__file__).parent


def reference(name):
    return json.loads((HERE / "reference" / name).read_text(encoding="utf-8"))


def column(values):
    return np.array([math.nan if v is None else v for v in values])


def assert_close(ours, theirs, tolerance=EFFECT_SIZE):
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * 1e-2)


MEANS = reference("escalc_means.json")
EVENTS = reference("escalc_events.json")
PAIRED = reference("escalc_paired.json")
MEAN_FUNCTIONS = {
    "SMD": es.standardized_mean_difference,
    "MD": es.mean_difference,
    "ROM": es.log_ratio_of_means,
}
EVENT_FUNCTIONS = {
    "OR": es.log_odds_ratio,
    "RR": es.log_risk_ratio,
    "RD": es.risk_difference,
}


def mean_inputs():
    return [column(MEANS["inputs"][name]) for name in ("m1", "sd1", "n1", "m2", "sd2", "n2")]


def event_inputs():
    return [column(EVENTS["inputs"][name]) for name in ("ai", "n1", "ci", "n2")]


# --- other software -------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEAN_FUNCTIONS)
def test_means_equal_escalc(measure):
    ours = MEAN_FUNCTIONS[measure](*mean_inputs())
    assert ours.measure == Measure(measure)
    assert ours.k == 5 * 4 * 4 * 2 * 2
    assert_close(ours.estimate, MEANS[measure]["yi"])
    assert_close(ours.variance, MEANS[measure]["vi"])


@pytest.mark.parametrize(
    ("block", "function"), [("SMD_from_t", es.smd_from_t), ("SMD_from_d", es.smd_from_estimate)]
)
def test_g_from_t_or_d_equals_escalc(block, function):
    t, n1, n2 = (column(MEANS["inputs"][name]) for name in ("t", "n1", "n2"))
    ours = function(t, n1, n2)
    assert_close(ours.estimate, MEANS[block]["yi"])
    assert_close(ours.variance, MEANS[block]["vi"])


def test_event_grid_holds_every_pattern_of_zero_cells():
    e1, n1, e2, n2 = event_inputs()
    patterns = set(zip(e1 == 0, e1 == n1, e2 == 0, e2 == n2))
    assert len(patterns) == 9  # each arm: no event, some, all


@pytest.mark.parametrize("measure", EVENT_FUNCTIONS)
@pytest.mark.parametrize("rule", ["only0", "all"])
def test_events_equal_escalc(measure, rule):
    ours = EVENT_FUNCTIONS[measure](*event_inputs(), zero_cells=rule)
    block = EVENTS[f"{measure}_{rule}"]
    assert_close(ours.estimate, block["yi"])
    assert_close(ours.variance, block["vi"])


@pytest.mark.parametrize("measure", EVENT_FUNCTIONS)
def test_dropping_double_zeros_equals_escalc_drop00(measure):
    ours = EVENT_FUNCTIONS[measure](*event_inputs(), double_zeros="drop")
    yi, vi = (column(EVENTS[f"{measure}_drop00"][name]) for name in ("yi", "vi"))
    kept = np.flatnonzero(~np.isnan(yi))
    assert 0 < kept.size < yi.size
    np.testing.assert_array_equal(ours.positions, kept)
    assert_close(ours.estimate, yi[kept])
    assert_close(ours.variance, vi[kept])


@pytest.mark.parametrize("measure", EVENT_FUNCTIONS)
def test_uncorrected_events_equal_escalc_where_defined(measure):
    yi, vi = (column(EVENTS[f"{measure}_none"][name]) for name in ("yi", "vi"))
    defined = ~np.isnan(yi) & (vi > 0)
    inputs = [values[defined] for values in event_inputs()]
    ours = EVENT_FUNCTIONS[measure](*inputs, zero_cells="none")
    assert_close(ours.estimate, yi[defined])
    assert_close(ours.variance, vi[defined])
    for position in np.flatnonzero(~defined):
        with pytest.raises(NotEstimableError, match="not defined at position 0"):
            EVENT_FUNCTIONS[measure](
                *(values[position] for values in event_inputs()), zero_cells="none"
            )


def test_standardized_change_equals_escalc():
    before, after, sd, n, r = (
        column(PAIRED["inputs"][name]) for name in ("before", "after", "sd_before", "n", "r")
    )
    ours = es.standardized_mean_change(before, after, sd, n, r)
    assert ours.measure is Measure.SMCR
    assert_close(ours.estimate, PAIRED["SMCR"]["yi"])
    assert_close(ours.variance, PAIRED["SMCR"]["vi"])


def test_paired_mean_difference_equals_escalc():
    before, after, s1, s2, n, r = (
        column(PAIRED["inputs"][name])
        for name in ("before", "after", "sd_before", "sd_after", "n", "r")
    )
    ours = es.paired_mean_difference(after - before, np.sqrt(s1**2 + s2**2 - 2 * r * s1 * s2), n)
    assert_close(ours.estimate, PAIRED["MC"]["yi"])
    assert_close(ours.variance, PAIRED["MC"]["vi"])


@pytest.mark.parametrize(
    ("n", "effect", "g", "variance"),
    [
        # escalc(SMD) of metafor 3.8-1 for d = effect and SD 2.
        ((5, 5), 1.0, 0.9027033337, 0.4407436654),
        ((10, 12), 1.0, 0.9619445337, 0.2043637262),
        ((20, 20), 1.0, 0.9801104021, 0.1120077050),
        ((200, 30), 0.4, 0.3986825249, 0.0386788719),
    ],
)
def test_variance_is_the_large_sample_one(n, effect, g, variance):
    ours = es.standardized_mean_difference(10 + 2 * effect, 2, n[0], 10, 2, n[1])
    assert ours.estimate[0] == pytest.approx(g, abs=5e-11)
    assert ours.variance[0] == pytest.approx(variance, abs=5e-11)


# --- open data ------------------------------------------------------------------------------------


def psilocybin(outcome_types):
    path = HERE / "golden" / "psilocybin" / "data.csv"
    with path.open(encoding="utf-8", newline="") as handle:
        rows = [
            row
            for row in csv.DictReader(handle, delimiter=";")
            if row["outcome_type"] in outcome_types
        ]

    def numbers(*names):
        return [np.array([float(row[name].replace(",", ".")) for row in rows]) for name in names]

    return numbers


def arms(prefix=""):
    return [f"{part}_{prefix}arm{arm}" for arm in (1, 2) for part in ("mean", "sd", "n")]


@pytest.mark.parametrize(("kind", "prefix", "k"), [("msd", "", 71), ("change", "change_", 38)])
def test_psilocybin_means_reproduce_the_published_g(kind, prefix, k):
    # The database prints g with the approximate correction 1 - 3 / (4N - 9) and the SE of d.
    numbers = psilocybin({kind})
    inputs = numbers(*arms(prefix))
    n = inputs[2] + inputs[5]
    (published,) = numbers(".g")
    assert published.size == k
    exact = es.standardized_mean_difference(*inputs)
    d = exact.estimate / es.hedges_correction(n - 2)
    np.testing.assert_allclose(d * (1 - 3 / (4 * n - 9)), published, rtol=OPEN_DATA)
    np.testing.assert_allclose(exact.estimate, published, rtol=5e-4)
    if kind == "msd":
        (se,) = numbers(".g_se")
        ours = 1 / inputs[2] + 1 / inputs[5] + d**2 / (2 * n)
        np.testing.assert_allclose(np.sqrt(ours), se, rtol=OPEN_DATA)


def test_psilocybin_counts_reproduce_the_published_risk_ratios():
    numbers = psilocybin({"response", "remission"})
    inputs = numbers(".event_arm1", ".totaln_arm1", ".event_arm2", ".totaln_arm2")
    ours = es.log_risk_ratio(*inputs)
    published, se = numbers(".log_rr", ".log_rr_se")
    assert ours.k == 81
    np.testing.assert_allclose(ours.estimate, published, rtol=OPEN_DATA, atol=OPEN_DATA)
    np.testing.assert_allclose(ours.se, se, rtol=OPEN_DATA)


# --- published examples ---------------------------------------------------------------------------


def test_morris_2008_standardized_changes():
    # Morris (2008), table 5, treatment groups; values printed by metafor's worked example.
    ours = es.standardized_mean_change(
        [30.6, 23.5, 0.5, 53.4, 35.6],
        [38.5, 26.8, 0.7, 75.9, 36.0],
        [15.0, 3.1, 0.1, 14.5, 4.7],
        [20, 50, 9, 10, 14],
        [0.47, 0.64, 0.77, 0.89, 0.44],
    )
    np.testing.assert_allclose(ours.estimate, [0.5056, 1.0481, 1.8054, 1.4181, 0.0801], atol=5e-5)
    np.testing.assert_allclose(ours.variance, [0.0594, 0.0254, 0.2322, 0.1225, 0.0802], atol=5e-5)


def test_handbook_crossover_example():
    # Cochrane Handbook 5.1, 16.4.6.4: means 7.0 and 6.5, SDs 2.38 and 2.21, n 10, correlation 0.68
    # give a mean difference of 0.5 (SE 0.583) and d = 0.218 (SE 0.256), without correction.
    ours = es.standardized_mean_difference_paired(7.0, 2.38, 6.5, 2.21, 10, 0.68)
    correction = es.hedges_correction(2 * 9 / (1 + 0.68**2))
    assert ours.estimate[0] / correction[0] == pytest.approx(0.218, abs=5e-4)
    assert ours.se[0] == pytest.approx(0.256, abs=1e-3)
    sd = math.sqrt(2.38**2 + 2.21**2 - 2 * 0.68 * 2.38 * 2.21)
    assert es.paired_mean_difference(0.5, sd, 10).se[0] == pytest.approx(0.583, abs=5e-4)


# --- algebra --------------------------------------------------------------------------------------

ARM = st.tuples(st.floats(-50, 50), st.floats(0.5, 30), st.integers(2, 3000))
COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize("function", [es.standardized_mean_difference, es.mean_difference])
@given(treatment=ARM, control=ARM)
def test_swapping_arms_flips_the_sign_of_means(function, treatment, control):
    one, other = function(*treatment, *control), function(*control, *treatment)
    assert_close(one.estimate, -other.estimate)
    assert_close(one.variance, other.variance)


@pytest.mark.parametrize("measure", EVENT_FUNCTIONS)
@given(treatment=COUNTS, control=COUNTS)
def test_swapping_arms_flips_the_sign_of_events(measure, treatment, control):
    function = EVENT_FUNCTIONS[measure]
    one, other = function(*treatment, *control), function(*control, *treatment)
    assert_close(one.estimate, -other.estimate)
    assert_close(one.variance, other.variance)


@given(treatment=COUNTS, control=COUNTS)
def test_counting_the_other_event_inverts_the_odds_ratio(treatment, control):
    (e1, n1), (e2, n2) = treatment, control
    one = es.log_odds_ratio(e1, n1, e2, n2)
    other = es.log_odds_ratio(n1 - e1, n1, n2 - e2, n2)
    assert_close(one.estimate, -other.estimate)
    assert_close(one.variance, other.variance)


@given(treatment=ARM, control=ARM, scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_g_ignores_the_unit_of_the_scale(treatment, control, scale, shift):
    (m1, s1, n1), (m2, s2, n2) = treatment, control
    one = es.standardized_mean_difference(m1, s1, n1, m2, s2, n2)
    other = es.standardized_mean_difference(
        scale * m1 + shift, scale * s1, n1, scale * m2 + shift, scale * s2, n2
    )
    # A shift moves the last digits of the means: 100 points on an SD of 0.005.
    np.testing.assert_allclose(one.estimate, other.estimate, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(one.variance, other.variance, rtol=1e-8)


@given(df=st.floats(1.5, 1e6))
def test_correction_satisfies_the_recurrence_of_the_gamma_function(df):
    # J(m) J(m + 1) = (m - 1) / sqrt(m (m + 1)), from Gamma(x + 1) = x Gamma(x).
    product = es.hedges_correction(df)[0] * es.hedges_correction(df + 1)[0]
    assert product == pytest.approx((df - 1) / math.sqrt(df * (df + 1)), rel=EFFECT_SIZE)


def test_correction_is_a_ratio_of_gamma_functions():
    # Closed forms: J(2) = 1/sqrt(pi), J(3) = sqrt(2/3) Gamma(3/2) / Gamma(1) = sqrt(pi/6).
    assert_close(
        es.hedges_correction([2, 3]), [1 / math.sqrt(math.pi), math.sqrt(math.pi / 6)], 1e-14
    )
    large = es.hedges_correction(1e12)[0]
    assert large == pytest.approx(1 - 3 / (4e12 - 1), abs=1e-15)


@given(treatment=ARM, control=ARM)
def test_t_and_d_lead_back_to_g(treatment, control):
    (m1, s1, n1), (m2, s2, n2) = treatment, control
    direct = es.standardized_mean_difference(m1, s1, n1, m2, s2, n2)
    pooled = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2))
    d = (m1 - m2) / pooled
    for route in (
        es.smd_from_t(d / math.sqrt(1 / n1 + 1 / n2), n1, n2),
        es.smd_from_estimate(d, n1, n2),
        es.smd_from_estimate(direct.estimate, n1, n2, already_corrected=True),
    ):
        assert_close(route.estimate, direct.estimate)
        assert_close(route.variance, direct.variance)


@pytest.mark.parametrize("r", [-0.4, 0.0, 0.5, 0.9])
def test_variance_of_a_crossover_is_that_of_the_delta_method(r):
    n, mean, sd = 1_000_000, np.array([12.0, 18.0]), np.array([7.5, 7.5])
    found = es.standardized_mean_difference_paired(mean[0], sd[0], mean[1], sd[1], n, r)
    # Means and variances of two correlated normal scores, and the slopes of d in all four.
    correlated = np.array([[1, r], [r, 1]]) * np.outer(sd, sd)
    spread = np.block([[correlated, np.zeros((2, 2))], [np.zeros((2, 2)), 2 * correlated**2]]) / n
    d = (mean[0] - mean[1]) / np.sqrt((sd**2).mean())
    slopes = np.array([1, -1, 0, 0]) / sd[0] - d / (4 * sd[0] ** 2) * np.array([0, 0, 1, 1])
    assert found.variance[0] == pytest.approx(slopes @ spread @ slopes, rel=LARGE_SAMPLE)


@given(treatment=ARM, control=ARM, n=st.integers(2, 500))
def test_uncorrelated_pairs_are_two_independent_arms(treatment, control, n):
    (m1, s1, _), (m2, s2, _) = treatment, control
    paired = es.standardized_mean_difference_paired(m1, s1, m2, s2, n, 0.0)
    independent = es.standardized_mean_difference(m1, s1, n, m2, s2, n)
    assert_close(paired.estimate, independent.estimate)
    assert_close(paired.variance, independent.variance)


@given(m1=st.floats(-9, 9), m2=st.floats(-9, 9), sd=st.floats(1, 9), r=st.floats(-0.9, 0.95))
def test_paired_t_leads_back_to_the_paired_effect(m1, m2, sd, r):
    n = 24
    t = (m1 - m2) / math.sqrt(2 * sd**2 * (1 - r) / n)
    direct = es.standardized_mean_difference_paired(m1, sd, m2, sd, n, r)
    from_t = es.smd_paired_from_t(t, n, r)
    assert_close(from_t.estimate, direct.estimate)
    assert_close(from_t.variance, direct.variance)


def test_paired_variance_matches_simulated_pairs():
    # 200,000 simulated trials of 20 people: the mean of g is the true effect, and its variance is
    # the formula's within 3% (the formula is a large-sample one).
    rng = np.random.default_rng(20260101)
    n, r, effect, trials = 20, 0.6, 0.8, 200_000
    first = rng.standard_normal((trials, n), dtype=np.float32)
    second = r * first + math.sqrt(1 - r**2) * rng.standard_normal((trials, n), dtype=np.float32)
    g = es.standardized_mean_difference_paired(
        first.mean(axis=1) + effect, first.std(axis=1, ddof=1),
        second.mean(axis=1), second.std(axis=1, ddof=1), n, r,
    )  # fmt: skip
    assert g.estimate.mean() == pytest.approx(effect, abs=0.003)
    assert g.estimate.var() == pytest.approx(g.variance.mean(), rel=0.03)


# --- what is refused ------------------------------------------------------------------------------


def test_every_impossible_value_is_listed_at_once():
    with pytest.raises(ImpossibleDataError) as caught:
        es.standardized_mean_difference(
            [1, 2, 3], [0, 1, -2], [5, 1, 5], [1, 2, 3], [1, 1, 1], [5, 5, 0]
        )
    message = str(caught.value)
    assert "sd_treatment must be > 0: 0 at position 0, -2 at position 2" in message
    assert "n_treatment must be 2 or more: 1 at position 1" in message
    assert "n_control must be 2 or more: 0 at position 2" in message


def test_a_long_list_of_positions_is_counted():
    with pytest.raises(ImpossibleDataError, match=r"at position 9 and 15 more$"):
        es.mean_difference(0, np.zeros(25), 5, 0, 1, 5)


@pytest.mark.parametrize("function", EVENT_FUNCTIONS.values())
def test_impossible_counts_are_refused(function):
    with pytest.raises(ImpossibleDataError) as caught:
        function([40, -1, 3], [10, 10, 0], [1, 1, 1], [9, 9, 9])
    message = str(caught.value)
    assert "events_treatment must be at most n_treatment: 40 at position 0" in message
    assert "events_treatment must be 0 or more: -1 at position 1" in message
    assert "n_treatment must be > 0: 0 at position 2" in message


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_missing_and_infinite_numbers_are_refused(bad):
    with pytest.raises(ImpossibleDataError, match="mean_control must be a finite number"):
        es.mean_difference(1, 1, 5, [0, bad], 1, 5)


@pytest.mark.parametrize("correlation", [1, -1, 1.2])
def test_correlation_of_one_is_refused(correlation):
    with pytest.raises(ImpossibleDataError, match="correlation must be strictly between -1 and 1"):
        es.standardized_mean_change(1, 2, 1, 10, correlation)
    with pytest.raises(ImpossibleDataError, match="correlation"):
        es.smd_paired_from_t(1, 10, correlation)


def test_ratio_of_means_needs_one_sign():
    with pytest.raises(NotEstimableError, match="of the same sign as mean_control"):
        es.log_ratio_of_means([1, -1, 0], 1, 5, 2, 1, 5)


def test_lengths_must_agree():
    with pytest.raises(UsageError, match="mean_treatment has 2, sd_treatment has 3"):
        es.mean_difference([1, 2], [1, 1, 1], 5, 0, 1, 5)


def test_words_of_options_are_checked():
    with pytest.raises(UsageError, match=r"zero_cells is 'only'.*did you mean only0"):
        es.log_odds_ratio(1, 5, 2, 5, zero_cells="only")
    with pytest.raises(UsageError, match="correction is 0"):
        es.log_odds_ratio(1, 5, 2, 5, correction=0)
    with pytest.raises(UsageError, match=r"df must be numbers, and df is .many"):
        es.hedges_correction("many")
    with pytest.raises(UsageError, match="one dimension"):
        es.hedges_correction([[5.0]])


# --- the value ------------------------------------------------------------------------------------


def test_effect_sizes_are_read_only_and_independent_of_the_arguments():
    means = np.array([1.0, 2.0])
    effect = es.mean_difference(means, 1, 5, 0, 1, 5)
    means[0] = 99
    assert effect.estimate.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        effect.estimate[0] = 0
    assert (len(effect), repr(effect)) == (2, "<EffectSize: MD, 2 comparisons>")


def test_corrected_comparisons_are_named():
    effect = es.log_odds_ratio([0, 2, 0], [9, 9, 9], [1, 3, 0], [9, 9, 9])
    assert effect.corrected.tolist() == [True, False, True]
    effect = es.log_odds_ratio([0, 2, 0], 9, [1, 3, 0], 9, double_zeros="drop")
    assert effect.positions.tolist() == [0, 1]
    assert effect.corrected.tolist() == [True, False]


def test_no_comparison_is_an_empty_effect_size():
    assert es.mean_difference([], [], [], [], [], []).k == 0
