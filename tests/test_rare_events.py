"""Mantel-Haenszel and Peto against metafor, single tables and algebra."""

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers import each
from ketameta import log_odds_ratio, log_risk_ratio, mantel_haenszel, peto, risk_difference
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.measures import Measure
from ketameta.models.rare_events import MEASURES
from tolerances import STRATIFIED, STRATIFIED_TAIL

REFERENCE = json.loads(
    (Path(__file__).parent / "reference" / "rare_events.json").read_text(encoding="utf-8")
)
SETS = REFERENCE["sets"]
METHODS = (*(f"mh_{measure}" for measure in MEASURES), "peto")
FIELDS = ("estimate", "se", "statistic", "ci_low", "ci_high", "q", "q_df", "h2")
PROBABILITIES = ("p_value", "q_p_value")


def counts(name):
    inputs = SETS[name]["inputs"]
    return [np.array(inputs[column]) for column in ("ai", "n1i", "ci", "n2i")]


def fit(method, *arguments, **options):
    if method == "peto":
        return peto(*arguments, **options)
    return mantel_haenszel(*arguments, measure=method.removeprefix("mh_"), **options)


def test_reference_grid_is_complete():
    assert len(SETS) == 10
    for block in SETS.values():
        assert {*METHODS, "inputs"} <= set(block)
        for method in METHODS:
            assert all(block[method][field] is not None for field in (*FIELDS, *PROBABILITIES))


@each(product(SETS, METHODS))
def test_pooled_effects_equal_metafor(name, method):
    ours, theirs = fit(method, *counts(name)), SETS[name][method]
    for field in FIELDS:
        assert getattr(ours, field) == pytest.approx(theirs[field], rel=STRATIFIED), field
    for field in PROBABILITIES:
        assert getattr(ours, field) == pytest.approx(theirs[field], rel=STRATIFIED_TAIL), field
    assert 100 * ours.i2 == pytest.approx(theirs["i2_percent"], rel=STRATIFIED)


@pytest.mark.parametrize("name", SETS)
def test_tests_on_tables_equal_metafor(name):
    ours, theirs = mantel_haenszel(*counts(name)), SETS[name]["mh_OR"]
    for test, key in (
        (ours.association, "cmh"),
        (ours.association_uncorrected, "cmh_plain"),
        (ours.breslow_day, "breslow_day"),
        (ours.tarone, "tarone"),
    ):
        assert test.statistic == pytest.approx(theirs[key], rel=STRATIFIED)
        assert test.p_value == pytest.approx(theirs[f"{key}_p"], rel=STRATIFIED_TAIL)
    assert ours.breslow_day.df == ours.tarone.df == theirs["equal_df"]


def test_yusuf_1985_published_value():
    # Yusuf et al. (1985), table 6: odds ratio 0.9332 (0.7385 to 1.1792) by Peto's method.
    ours = peto(*counts("dat.yusuf1985 table 6"))
    shown = [math.exp(value) for value in (ours.estimate, ours.ci_low, ours.ci_high)]
    np.testing.assert_allclose(shown, [0.9332, 0.7385, 1.1792], atol=6e-5)


# --- single tables and algebra --------------------------------------------------------------------

TABLE = st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))


def as_counts(tables):
    a, b, c, d = np.array(tables, dtype=float).T
    return a, a + b, c, c + d


@given(TABLE)
def test_one_table_is_its_own_effect(table):
    arguments = as_counts([table])
    for measure, function in zip(MEASURES, (log_odds_ratio, log_risk_ratio, risk_difference)):
        pooled, own = mantel_haenszel(*arguments, measure=measure), function(*arguments)
        assert pooled.estimate == pytest.approx(own.estimate[0], rel=1e-9, abs=1e-12)
        assert (pooled.q, pooled.i2, pooled.breslow_day, pooled.tarone) == (None,) * 4
        assert [c.code for c in pooled.caveats][:1] == ["single_study"]
        # Sato's variance of one table is not the binomial one, but those of OR and RR are.
        if measure != "RD":
            assert pooled.se == pytest.approx(own.se[0], rel=1e-9)


@given(TABLE)
def test_one_table_by_peto_is_observed_minus_expected(table):
    a, b, c, d = table
    n = a + b + c + d
    expected = (a + b) * (a + c) / n
    variance = (a + b) * (c + d) * (a + c) * (b + d) / (n**2 * (n - 1))
    ours = peto(*as_counts([table]))
    assert ours.estimate == pytest.approx((a - expected) / variance, rel=1e-9, abs=1e-12)
    assert ours.se == pytest.approx(variance**-0.5, rel=1e-12)


@given(st.lists(TABLE, min_size=1, max_size=6))
def test_swapping_arms_flips_the_sign(tables):
    e1, n1, e2, n2 = as_counts(tables)
    for method in METHODS:
        one, other = fit(method, e1, n1, e2, n2), fit(method, e2, n2, e1, n1)
        assert one.estimate == pytest.approx(-other.estimate, rel=1e-8, abs=1e-11)
        assert one.se == pytest.approx(other.se, rel=1e-9)
        if one.q is not None:
            assert one.q == pytest.approx(other.q, rel=1e-8, abs=1e-10)


@given(st.lists(TABLE, min_size=2, max_size=5), st.randoms())
def test_order_of_trials_does_not_matter(tables, random):
    shuffled = random.sample(tables, len(tables))
    for method in METHODS:
        one, other = fit(method, *as_counts(tables)), fit(method, *as_counts(shuffled))
        assert one.estimate == pytest.approx(other.estimate, rel=1e-9, abs=1e-12)
        assert one.se == pytest.approx(other.se, rel=1e-10)


@given(st.lists(TABLE, min_size=1, max_size=4), st.integers(2, 50))
def test_trials_of_many_times_the_size_have_the_same_estimate(tables, factor):
    scaled = [tuple(factor * cell for cell in table) for table in tables]
    for measure in MEASURES:
        one = mantel_haenszel(*as_counts(tables), measure=measure)
        other = mantel_haenszel(*as_counts(scaled), measure=measure)
        assert other.estimate == pytest.approx(one.estimate, rel=1e-9, abs=1e-12)
        assert other.se == pytest.approx(one.se / math.sqrt(factor), rel=1e-9)


@given(TABLE, st.integers(2, 5))
def test_equal_tables_have_no_heterogeneity(table, k):
    for method in METHODS:
        ours = fit(method, *as_counts([table] * k))
        assert ours.q == pytest.approx(0, abs=1e-8)
        assert ours.i2 == 0
    fitted = mantel_haenszel(*as_counts([table] * k))
    assert fitted.breslow_day.statistic == pytest.approx(0, abs=1e-8)


@given(st.lists(TABLE, min_size=1, max_size=4), st.integers(2, 40), st.integers(2, 40))
def test_double_zeros_change_no_ratio_and_shrink_the_difference(tables, n1, n2):
    e1, m1, e2, m2 = as_counts(tables)
    with_zero = [np.append(e1, 0), np.append(m1, n1), np.append(e2, 0), np.append(m2, n2)]
    for method in ("mh_OR", "mh_RR", "peto"):
        one, other = fit(method, e1, m1, e2, m2), fit(method, *with_zero)
        assert other.estimate == one.estimate
        assert other.se == pytest.approx(one.se, rel=1e-14)
        assert (other.q, other.k, other.zeros.k_informative) == (
            pytest.approx(one.q) if one.q is not None else None,
            one.k + 1,
            one.zeros.k_informative,
        )
    one, other = fit("mh_RD", e1, m1, e2, m2), fit("mh_RD", *with_zero)
    assert abs(other.estimate) <= abs(one.estimate)
    assert other.zeros.k_informative == other.k


# --- zeros as data --------------------------------------------------------------------------------


def test_zeros_are_reported_by_position_and_name():
    labels = [f"trial_{letter}" for letter in "abcdefgh"]
    ours = mantel_haenszel(*counts("zeros of every kind"), labels=labels)
    assert ours.zeros.double_zero == (0, 3)
    assert ours.zeros.double_zero_labels == ("trial_a", "trial_d")
    assert ours.zeros.single_zero == (1, 2, 4, 5, 6)
    assert ours.zeros.single_zero_labels == tuple(f"trial_{letter}" for letter in "bcefg")
    assert (ours.zeros.k_double_zero, ours.zeros.k_single_zero) == (2, 5)
    assert ours.zeros.k_informative == 6
    messages = {caveat.code: caveat.message for caveat in ours.caveats}
    assert messages["double_zero"].startswith("2 of 8 trials had no event")
    assert messages["single_zero"].startswith("5 of 8 trials had a zero cell")
    assert "carry no information" in messages["double_zero"]


def test_all_events_in_both_arms_inform_the_risk_ratio_but_not_the_odds_ratio():
    table = ([3, 9], [20, 9], [5, 7], [20, 7])
    assert mantel_haenszel(*table, measure="RR").zeros.k_informative == 2
    assert mantel_haenszel(*table, measure="OR").zeros.k_informative == 1
    no_event = ([3, 0], [20, 9], [5, 0], [20, 7])
    assert mantel_haenszel(*no_event, measure="RR").zeros.k_informative == 1
    risk = mantel_haenszel(*no_event, measure="RD")
    assert "count as trials without a difference" in risk.caveats[0].message


def test_few_events_are_flagged_by_the_mantel_fleiss_criterion():
    few = mantel_haenszel([1, 0, 1], [50, 60, 40], [0, 2, 1], [50, 60, 40])
    assert "few_events" in {caveat.code for caveat in few.caveats}
    # Expected events under treatment 1/2 + 1 + 1 = 2.5, smallest possible sum 0.
    assert "criterion 2.5" in next(c.message for c in few.caveats if c.code == "few_events")
    assert not mantel_haenszel([20, 30], [50, 60], [25, 31], [50, 60]).caveats


def test_peto_says_where_it_should_not_be_used():
    codes = {c.code for c in peto([30, 2], [40, 200], [3, 1], [40, 50]).caveats}
    assert codes == {"peto_imbalance", "peto_large_effect"}
    assert not peto([3, 2], [40, 60], [4, 3], [40, 50]).caveats


def test_continuity_correction_stops_at_zero():
    # Observed equals expected: metafor squares 0 - 0.5, a statistic that grows as effects vanish.
    ours = mantel_haenszel([5, 5], [50, 50], [5, 5], [50, 50])
    assert (ours.association.statistic, ours.association.p_value) == (0, 1)
    assert ours.association_uncorrected.statistic == pytest.approx(0, abs=1e-25)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 0], [20, 30], [2, 3], [20, 30]), "events 0 of 50 under treatment, 5 of 50"),
        (([2, 1], [20, 30], [0, 0], [20, 30]), "events 3 of 50 under treatment, 0 of 50"),
        (([0], [20], [0], [30]), "0, infinite or undefined"),
    ],
)
@pytest.mark.parametrize("measure", ["OR", "RR"])
def test_ratios_without_events_in_an_arm_are_refused(arguments, message, measure):
    with pytest.raises(NotEstimableError, match=message):
        mantel_haenszel(*arguments, measure=measure)
    assert math.isfinite(peto([0, 0], [20, 30], [2, 3], [20, 30]).estimate)


def test_nothing_to_pool_is_refused_with_the_reason():
    with pytest.raises(NotEstimableError, match="no trials"):
        mantel_haenszel([], [], [], [])
    with pytest.raises(NotEstimableError, match="no trial of 2 has both events and non-events"):
        peto([0, 5], [9, 5], [0, 7], [8, 7])
    with pytest.raises(NotEstimableError, match="no standard error"):
        mantel_haenszel([5], [5], [7], [7], measure="RR")
    with pytest.raises(NotEstimableError, match="variance of the Mantel-Haenszel risk difference"):
        mantel_haenszel([0, 0], [5, 9], [0, 0], [7, 7], measure="RD")


def test_arguments_are_named():
    with pytest.raises(ImpossibleDataError, match="events_t must be at most n_t: 9 at position 1"):
        mantel_haenszel([1, 9], [5, 8], [1, 1], [5, 5])
    with pytest.raises(UsageError, match="measure is 'HR'"):
        mantel_haenszel(1, 5, 1, 5, measure="HR")
    with pytest.raises(UsageError, match="level is 95"):
        peto(1, 5, 1, 5, level=95)
    with pytest.raises(UsageError, match="labels has 1 values and events_t has 2"):
        peto([1, 2], 5, [1, 2], 5, labels=["a"])
    with pytest.raises(ImpossibleDataError, match="labels repeat: a"):
        peto([1, 2], 5, [1, 2], 5, labels=["a", "a"])


# --- the result -----------------------------------------------------------------------------------


def test_result_prints_a_sentence_and_serialises():
    ours = mantel_haenszel(*counts("dat.nielweise2007"))
    lines = ours.summary().splitlines()
    assert lines[0] == ("<Mantel–Haenszel odds ratio: 18 trials, 17 informative, common effect>")
    assert lines[1] == "  events      27/2,495 v 87/2,495"
    assert lines[2] == "  pooled      0.30 [0.19, 0.46] (95% CI)   z = −5.43, p < 0.001"
    assert lines[3].startswith("  between     I² = ")
    assert repr(ours) == ours.summary()
    stored = json.loads(ours.to_json())
    assert stored["estimate"] == ours.estimate
    assert stored["measure"] == "OR"
    assert stored["zeros"]["double_zero"] == list(ours.zeros.double_zero)
    assert stored["tarone"]["df"] == 16
    assert ours.tidy()["estimate"].tolist() == [ours.estimate]


def test_risk_difference_is_printed_as_a_share():
    ours = mantel_haenszel([4, 9], [100, 120], [10, 13], [100, 118], measure="RD")
    assert ours.measure is Measure.RD
    assert "pooled      −0.047 [" in ours.summary()


@given(level=st.floats(0.5, 0.999))
def test_interval_is_the_normal_one_at_its_level(level):
    ours = mantel_haenszel([4, 9], [100, 120], [10, 13], [100, 118], level=level)
    assume(ours.level == level)
    z = (ours.ci_high - ours.estimate) / ours.se
    assert math.erf(z / math.sqrt(2)) == pytest.approx(level, abs=1e-12)
    assert ours.ci_high - ours.estimate == pytest.approx(ours.estimate - ours.ci_low, rel=1e-12)
