"""The batched core against one fit at a time, whatever is shared and however it is cut."""

import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ketameta as km
from helpers import each
from ketameta import batched_fit
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.measures import CI_METHODS
from ketameta.models import (
    COMMON,
    TAU2_METHODS,
    estimate_tau2,
    fit_mixed_model,
    heterogeneity,
    mean_inference,
)
from ketameta.models.resampling import batched_inference, fit_data
from metafor_values import DATASETS, data, keys_with, moderators
from tolerances import BATCHED, RESCALED

METHODS = (*TAU2_METHODS, COMMON)
NUMBERS = ("coefficients", "covariance", "tau2", "q", "i2", "h2", "factor")


def design_of(name):
    return moderators(name)[0] if name in keys_with("mods") else None


def random_subsets(k, p, count, seed=3):
    rng = np.random.default_rng(seed)
    mask = rng.random((k, count)) < 0.6
    mask[:, 0] = True
    for column in mask.T:
        while column.sum() <= p:
            column[rng.integers(k)] = True
    return mask


def assert_same(fits, j, y, v, design, method):
    single = fit_mixed_model(y, v, design, method)
    spread = heterogeneity(y, v, design, None if method == COMMON else single.tau2.value)
    se = np.sqrt(np.diag(single.least_squares.covariance))
    unit = single.tau2.value + v.min()
    assert fits.tau2[j] == pytest.approx(single.tau2.value, rel=0, abs=BATCHED * unit)
    np.testing.assert_allclose(fits.coefficients[:, j] / se, single.coefficients / se, 0, BATCHED)
    np.testing.assert_allclose(fits.se[:, j], se, BATCHED)
    factor = single.least_squares.rss / single.least_squares.df
    pairs = [(fits.q, spread.q), (fits.i2, spread.i2), (fits.h2, spread.h2), (fits.factor, factor)]
    for ours, theirs in pairs:
        assert ours[j] == pytest.approx(theirs, rel=BATCHED, abs=BATCHED)
    assert (fits.k[j], fits.df[j]) == (len(y), len(y) - design.shape[1])


@each(itertools.product(DATASETS, METHODS))
def test_subsets_equal_one_fit_at_a_time(name, method):
    y, v = data(name)
    for design in (None, design_of(name)):
        p = 1 if design is None else design.shape[1]
        if len(y) < p + 2:
            continue
        mask = random_subsets(len(y), p, 6)
        fits = batched_fit(y, v, design, mask=mask, tau2_method=method)
        for j, inside in enumerate(mask.T):
            x = np.ones((len(y), 1)) if design is None else design
            if np.linalg.matrix_rank(x[inside]) < p:
                assert not fits.estimable[j]
                continue
            assert_same(fits, j, y[inside], v[inside], x[inside], method)


def batches(k=12, count=7):
    """Every combination of shared and own estimates, variances, designs and subsets."""
    rng = np.random.default_rng(11)
    own_y, own_v = rng.normal(0, 0.5, (k, count)), rng.uniform(0.01, 0.3, (k, count))
    design = np.column_stack([np.ones(k), rng.normal(size=k)])
    own_design = np.stack([design[rng.permutation(k)] for _ in range(count)], -1)
    mask = random_subsets(k, 2, count)
    return list(
        itertools.product(
            (own_y[:, 0], own_y), (own_v[:, 0], own_v), (None, design, own_design), (None, mask)
        )
    )


@pytest.mark.parametrize("method", ["REML", "DL", "PM", "SJ"])
def test_whatever_is_shared_equals_one_fit_at_a_time(method):
    for y, v, design, mask in batches():
        fits = batched_fit(y, v, design, mask=mask, tau2_method=method)
        for j in range(len(fits.k)):
            yj, vj = (a if a.ndim == 1 else a[:, j] for a in (y, v))
            xj = np.ones((12, 1)) if design is None else design
            xj = xj[:, :, j] if xj.ndim == 3 else xj
            inside = np.ones(12, bool) if mask is None else mask[:, j]
            assert_same(fits, j, yj[inside], vj[inside], xj[inside], method)


def test_three_moderators_equal_one_fit_at_a_time():
    rng = np.random.default_rng(2)
    y, v = rng.normal(0, 0.6, 15), rng.uniform(0.02, 0.4, 15)
    design = np.column_stack([np.ones(15), rng.normal(size=(15, 3))])
    mask = random_subsets(15, 4, 5)
    fits = batched_fit(y, v, design, mask=mask)
    for j, inside in enumerate(mask.T):
        assert_same(fits, j, y[inside], v[inside], design[inside], "REML")


@pytest.mark.parametrize("method", ["REML", "ML", "PM", "HE"])
def test_cutting_a_batch_changes_no_bit(method):
    for y, v, design, mask in batches(count=23):
        whole = batched_fit(y, v, design, mask=mask, tau2_method=method)
        for budget in (60_000, 131_072):
            cut = batched_fit(y, v, design, mask=mask, tau2_method=method, budget_bytes=budget)
            for name in NUMBERS:
                assert np.array_equal(getattr(whole, name), getattr(cut, name)), name


def test_the_highest_of_two_maxima_is_found():
    found = 0
    for y, v in [
        ([1.01, 0.5, 3.75, -0.03], [2.63, 7.832, 2.187, 0.176]),
        ([1.71, -4.8, -2.32], [10.37, 0.014, 1.21]),
        ([-4.15, -1.8, 7.54, -6.66], [0.008, 8.907, 2.663, 3.806]),
    ]:
        y, v = np.array(y), np.array(v)
        single = estimate_tau2(y, v, np.ones((len(y), 1)), "ML")
        assert single.maxima == 2
        fits = batched_fit(np.column_stack([y, y + 1, 2 * y]), v, tau2_method="ML")
        assert fits.tau2[0] == pytest.approx(single.value, rel=BATCHED, abs=BATCHED)
        found += single.value > 0
    assert found == 2  # once the higher one is at zero


@pytest.mark.parametrize("ci_method", CI_METHODS)
def test_inference_equals_one_at_a_time(ci_method):
    y, v = data("bcg_RR_ablat_year")
    design = design_of("bcg_RR_ablat_year")
    mask = random_subsets(13, 3, 8)
    fits = batched_fit(y, v, design, mask=mask)
    ours = batched_inference(fits, ci_method, 0.9)
    for j, inside in enumerate(mask.T):
        single = fit_mixed_model(y[inside], v[inside], design[inside])
        theirs = mean_inference(single.least_squares, ci_method, 0.9)
        for name in ("se", "statistic", "p_value", "ci_low", "ci_high"):
            np.testing.assert_allclose(getattr(ours, name)[:, j], getattr(theirs, name), 1e-9)
        assert ours.df[j] == (np.inf if theirs.df is None else theirs.df)


def test_one_study_is_itself_and_has_the_wald_test():
    y, v = np.array([0.5, 0.9]), np.array([0.04, 0.09])
    fits = batched_fit(y, v, mask=np.eye(2, dtype=bool))
    assert fits.estimate.tolist() == y.tolist()
    assert fits.se[0].tolist() == pytest.approx([0.2, 0.3])
    values = (fits.tau2, fits.q, fits.i2, fits.h2, fits.factor)
    assert [a.tolist() for a in values] == [[0, 0], [0, 0], [0, 0], [1, 1], [1, 1]]
    assert batched_inference(fits, "knapp-hartung").df.tolist() == [np.inf, np.inf]


def test_identical_estimates_have_no_knapp_hartung_test():
    fits = batched_fit([0.5, 0.5], [0.04, 0.05])
    found = batched_inference(fits, "knapp-hartung")
    assert found.se[0, 0] == 0
    assert np.isnan([found.statistic, found.p_value, found.ci_low, found.ci_high]).all()


def test_a_singular_subset_is_marked_and_spoils_no_other():
    y, v = np.array([0.1, 0.4, 0.2, 0.9]), np.full(4, 0.05)
    design = np.column_stack([np.ones(4), [0, 0, 0, 1]])
    mask = ~np.eye(4, dtype=bool)
    fits = batched_fit(y, v, design, mask=mask)
    assert fits.estimable.tolist() == [True, True, True, False]
    assert np.isnan(fits.coefficients[:, 3]).all()
    assert_same(fits, 0, y[1:], v[1:], design[1:], "REML")
    only = batched_fit(y, v, design, mask=mask[:, 3:])
    assert not only.estimable.any()


def test_memory_stays_within_the_budget():
    k, count, budget = 30, 40_000, 2 * 2**20
    rng = np.random.default_rng(1)
    y, v = rng.normal(0, 0.5, k), rng.uniform(0.01, 0.3, k)
    mask = rng.random((k, count)) < 0.5
    mask[0] = True
    tracemalloc.start()
    batched_fit(y, v, mask=mask, budget_bytes=budget)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    inputs, outputs = 8 * k * count, 8 * 12 * count
    assert peak < inputs + 3 * outputs + 2 * budget
    assert 8 * 12 * k * count > 5 * (2 * budget)  # what it would be in one piece


def test_progress_is_told_after_every_chunk():
    seen = []
    y, v, _, mask = batches(count=23)[1]
    batched_fit(
        y,
        v,
        mask=mask,
        budget_bytes=20_000,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (23, 23)
    assert len(seen) > 2
    assert seen == sorted(seen)


def test_a_batch_says_what_it_is():
    fits = batched_fit([0.1, 0.4], [0.02, 0.03])
    assert fits.summary() == "<BatchedFits: 1 meta-analyses, REML>"
    assert fits.to_dict()["k"] == [2]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=3, max_size=8),
    st.integers(-6, 6),
    st.sampled_from(METHODS),
)
def test_a_change_of_unit_changes_only_the_unit(values, power, method):
    y = np.round(np.array(values), 3)
    v = 0.01 * (1 + np.arange(len(y)))
    c = 10.0**power
    mask = ~np.eye(len(y), dtype=bool)
    one = batched_fit(y, v, mask=mask, tau2_method=method)
    other = batched_fit(c * y, c**2 * v, mask=mask, tau2_method=method)
    floor = v.min()
    np.testing.assert_allclose(other.tau2 / c**2, one.tau2, RESCALED, RESCALED * floor)
    np.testing.assert_allclose(other.estimate / c, one.estimate, RESCALED, RESCALED)
    np.testing.assert_allclose(other.se / c, one.se, RESCALED)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([0.1, 0.2], [0.1]), UsageError, "estimates has 2, variances has 1"),
        (([0.1, 0.2], [0.1, -0.2]), ImpossibleDataError, r"variances\[1, 0\] is -0.2"),
        (([0.1, np.nan], [0.1, 0.2]), ImpossibleDataError, r"estimates\[1, 0\] is nan"),
        ((["a", "b"], [0.1, 0.2]), UsageError, "estimates must be numbers"),
        (([], []), NotEstimableError, "no studies"),
        ((np.zeros((2, 3)), np.ones((2, 4))), UsageError, "estimates has 3, variances has 4"),
        ((np.zeros((2, 3, 1)), np.ones(2)), UsageError, r"shape \(2, 3, 1\)"),
    ],
)
def test_what_cannot_be_fitted_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        batched_fit(*arguments)


def test_masks_methods_and_budgets_that_cannot_work_are_refused():
    y, v = [0.1, 0.2], [0.1, 0.1]
    with pytest.raises(NotEstimableError, match="no study in column 1"):
        batched_fit(y, v, mask=[[True, False], [True, False]])
    with pytest.raises(UsageError, match="True or False"):
        batched_fit(y, v, mask=[[1, 0], [1, 1]])
    with pytest.raises(UsageError, match="tau2_method"):
        batched_fit(y, v, tau2_method="reml")
    with pytest.raises(UsageError, match=r"need at least \d+ bytes"):
        batched_fit(y, v, budget_bytes=10)


def of_many(outlier, method, design=None):
    """Return the data of a fit to 1,000 studies, the eighth of them an outlier."""
    rng = np.random.default_rng(5)
    v = rng.uniform(0.02, 0.3, 1000)
    y = rng.normal(0.3, np.sqrt(v + 0.1))
    y[7] += outlier
    fit = km.common_effect(y, v) if method == COMMON else km.random_effects(y, v, method)
    return fit_data(fit, "a test")._replace(design=design)


def check_same_fits(ours, theirs):
    for name in ("coefficients", "tau2", "q", "i2", "h2", "factor", "covariance", "k", "df"):
        expected = getattr(theirs, name)
        assert getattr(ours, name) == pytest.approx(expected, rel=BATCHED, abs=1e-12), name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("outlier", [0.0, 8.0, 60.0])
@pytest.mark.parametrize("moderators", [0, 2])
def test_leaving_one_of_many_out_is_what_refits_give(method, outlier, moderators) -> None:
    x = np.random.default_rng(6).normal(3, 1, (1000, moderators))
    design = np.column_stack([np.ones(1000), x]) if moderators else None
    data = of_many(outlier, method, design)
    some = np.r_[0:12, 500, 999]
    found, every = data._by_sums(some, growing=False), np.arange(1000)[:, None]
    assert found is not None
    check_same_fits(found, data.refit(every != some))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("outlier", [0.0, 8.0, 60.0])
@pytest.mark.parametrize("by_size", [False, True])
def test_growing_data_are_what_refits_give(method, outlier, by_size) -> None:
    data = of_many(outlier, method)
    order = np.argsort(data.y) if by_size else np.arange(1000)[::-1]
    ranks = np.argsort(order)
    some = np.r_[0:3, 398:403, 798:803, 999]
    found, slow = data.grown(order), data.refit(ranks[:, None] <= some)
    part = {name: getattr(found, name)[..., some] for name in (*NUMBERS, "k", "df", "estimable")}
    check_same_fits(dataclasses.replace(found, **part), slow)
    grown = data._replace(y=data.y[order], v=data.v[order])
    assert grown._by_sums(np.arange(500, 1000), growing=True) is not None


def test_sums_that_would_lose_digits_are_not_used() -> None:
    data, at = of_many(0.0, "REML"), np.arange(1000)
    heavy = data._replace(v=np.where(at == 7, 1e-6, data.v))
    apart = data._replace(y=np.where(at == 7, 1e6, data.y))
    alone = data._replace(design=np.column_stack([np.ones(1000), at == 7]))
    late = data._replace(v=np.where(at < 500, 0.1, 1e-7), y=np.where(at < 500, data.y, 1e4))
    for growing, lost in ((False, (heavy, apart, alone)), (True, (heavy, late))):
        own = at[500:] if growing else at
        assert data._by_sums(own, growing=growing) is not None
        assert all(other._by_sums(own, growing=growing) is None for other in lost)


def test_refits_of_very_many_studies_take_little_memory() -> None:
    rng = np.random.default_rng(1)
    v = rng.uniform(0.01, 0.3, 5000)
    fit = km.random_effects(rng.normal(0.3, np.sqrt(v + 0.05)), v, "DL")
    tracemalloc.start()
    found = km.cumulative(fit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.estimate[-1] == pytest.approx(fit.estimate, rel=BATCHED)
    assert peak < 10 * 2**20  # one bit for every pair of studies would be 3 MiB, a byte 24


def test_columns_with_several_maxima_keep_the_highest_when_one_of_many_is_left_out() -> None:
    rng = np.random.default_rng(3)
    v = np.exp(rng.uniform(-3.5, 3.5, 450))
    y = rng.normal(0, np.sqrt(v))
    y[np.argsort(v)[:3]] += [-1.5, 0.0, 1.5]
    data = fit_data(km.random_effects(y, v, "ML"), "a test")
    quick, slow = data.left_out(), data.refit(~np.eye(450, dtype=bool))
    assert quick.tau2 == pytest.approx(slow.tau2, rel=BATCHED, abs=1e-12)
