"""The pooled effect: small k, caveats, invariances, direct computation, a second engine."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from importlib.metadata import version
from itertools import product
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import ketameta as km
import metafor_values
from helpers import each
from ketameta import common_effect, meta_regression, pool, random_effects, second_engine
from ketameta.errors import NotEstimableError, UsageError
from ketameta.formatting import format_number
from ketameta.measures import CI_METHODS
from ketameta.models import (
    ESTIMATORS,
    REFERENCES,
    TAU2_METHODS,
    NoEvidence,
    RandomEffects,
    estimate_tau2,
    mean_inference,
    moments,
    orthonormal_basis,
    prepared,
    profile_log_likelihood,
    residualised,
    score,
    search_grid,
    single_maximum,
    small_k_rule,
    tau2_interval,
    two_sided_p,
    weighted_least_squares,
)
from metafor_values import DATASETS, data, in_units, relative
from tolerances import DIRECT, RESCALED, SECOND_ENGINE

BCG = data("bcg_RR")
ONES = np.ones((13, 1))
SMALL = (
    "bcg_OR_first2",
    "bcg_OR_first3",
    "hine1989_RD",
    "eight_schools",
    "normand1999_MD",
    "bcg_RR",
)


def codes(fit: RandomEffects) -> set[str]:
    return {caveat.code for caveat in fit.caveats}


# ----------------------------------------------------------------------------- small k


def test_no_study_is_a_result_that_says_so() -> None:
    found = pool([], [], measure="SMD", looked_for="ketamine trials in ADHD")
    assert isinstance(found, NoEvidence)
    assert (found.k, found.estimate, found.tau2) == (0, None, None)
    assert repr(found) == ("<NoEvidence: no eligible trials> Looked for: ketamine trials in ADHD.")
    assert [c.code for c in found.caveats] == ["no_studies"]
    assert json.loads(found.to_json())["k"] == 0


def test_an_empty_list_beside_a_full_one_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="estimates has 0 values and variances has 1"):
        pool([], [0.1])


def test_one_study_is_itself() -> None:
    fit = pool([0.5], [0.04])
    assert isinstance(fit, RandomEffects)
    assert (fit.estimate, fit.se, fit.k, fit.ci_method) == (0.5, 0.2, 1, "wald")
    assert fit.statistic == pytest.approx(2.5, rel=DIRECT)
    assert fit.ci_low == pytest.approx(0.5 - 0.2 * stats.norm.ppf(0.975), rel=DIRECT)
    assert fit.p_value == pytest.approx(2 * stats.norm.sf(2.5), rel=DIRECT)
    assert {fit.tau2, fit.i2, fit.h2, fit.q, fit.pi_low, fit.tau2_ci_low, fit.tau2_method} == {None}
    assert fit.weights.tolist() == [1.0]
    assert codes(fit) == {"single_study"}
    assert "1 study" in repr(fit)
    assert [row.ci_method for row in fit.intervals().rows] == ["wald"]


def test_two_studies_show_wald_and_conservative_side_by_side_and_predict_nothing() -> None:
    fit = pool([0.1, 0.9], [0.04, 0.05])
    assert isinstance(fit, RandomEffects)
    assert {"two_studies", "few_studies"} <= codes(fit)
    assert (fit.pi_low, fit.pi_high, fit.pi_df) == (None, None, None)
    rows = {row.ci_method: row for row in fit.intervals().rows}
    assert list(rows) == list(CI_METHODS)
    # metafor 3.8-1 on these two studies: knha and adhoc [-4.59, 5.58].
    for method in ("knapp-hartung", "knapp-hartung-conservative"):
        low, high = rows[method].ci_low, rows[method].ci_high
        assert low is not None and high is not None
        assert (round(low, 2), round(high, 2)) == (-4.59, 5.58)
    wald = rows["wald"]
    assert wald.ci_low is not None and round(wald.ci_low, 2) == -0.29
    assert wald.df is None


def test_three_studies_have_a_prediction_interval_with_its_rule() -> None:
    fit = random_effects([0.1, 0.3, 0.9], [0.04, 0.05, 0.06])
    assert fit.pi_df == 1
    assert "t with 1 degrees of freedom" in fit.rule
    assert fit.pi_low is not None and fit.ci_low is not None and fit.pi_low < fit.ci_low


@pytest.mark.parametrize(
    ("k", "p", "code"),
    [
        (0, 1, "no_studies"),
        (1, 1, "single_study"),
        (2, 1, "two_studies"),
        (3, 1, "pooled"),
        (3, 2, "no_prediction"),
        (5, 3, "pooled"),
    ],
)
def test_each_number_of_studies_has_its_rule(k: int, p: int, code: str) -> None:
    assert small_k_rule(k, p).code == code


def test_pool_pools_as_the_functions_do() -> None:
    y, v = BCG
    assert pool(y, v, "DL", "wald", 0.9) == random_effects(y, v, "DL", "wald", 0.9)
    assert pool(y, v, model="common") == common_effect(y, v)


# ------------------------------------------------------------------------------ caveats


def test_identical_estimates_never_give_a_p_of_zero() -> None:
    fit = random_effects([0.5] * 3, [0.04, 0.05, 0.06], ci_method="knapp-hartung")
    assert (fit.se, fit.statistic, fit.p_value, fit.ci_low, fit.ci_high) == (0, *4 * (None,))
    assert fit.pi_low is None
    assert {"knapp_hartung_degenerate", "tau2_zero"} <= codes(fit)
    assert "withheld" in repr(fit)
    rows = {row.ci_method: row for row in fit.intervals().rows}
    assert rows["knapp-hartung"].p_value is None
    assert rows["wald"].p_value is not None
    assert "withheld" in repr(fit.intervals())
    assert None in json.loads(fit.to_json()).values()


def test_the_default_is_never_narrower_than_wald() -> None:
    fit = random_effects([0.50, 0.51, 0.52], [0.04, 0.05, 0.06])
    rows = {row.ci_method: row for row in fit.intervals().rows}
    assert "knapp_hartung_floored" in codes(fit)
    plain = random_effects([0.50, 0.51, 0.52], [0.04, 0.05, 0.06], ci_method="knapp-hartung")
    assert "knapp_hartung_narrower" in codes(plain)
    # metafor: plain Knapp-Hartung [0.484, 0.533], ten times narrower than [0.259, 0.758].
    assert plain.ci_low == pytest.approx(0.484, abs=5e-4)
    wald = rows["wald"]
    assert wald.ci_low is not None and fit.ci_low is not None
    assert fit.ci_low < wald.ci_low == pytest.approx(0.259, abs=5e-4)


def test_rows_that_are_equal_to_the_last_digit_are_pointed_out() -> None:
    fit = random_effects([0.1, 0.4, 0.1], [0.04, 0.05, 0.04], labels=["a", "b", "c"])
    message = next(c.message for c in fit.caveats if c.code == "identical_studies")
    assert message.startswith("a, c have the same estimate")


def test_an_extreme_ratio_of_variances_is_pointed_out() -> None:
    assert "extreme_variances" in codes(random_effects([0.1, 0.4, 0.2], [1e-9, 0.05, 0.04]))


def test_an_estimate_outside_its_interval_is_shown() -> None:
    # ENGINES: DL lies outside the Q-profile interval on normand1999_MD.
    fit = random_effects(*data("normand1999_MD"), "DL")
    assert fit.tau2 is not None and fit.tau2_ci_low is not None
    assert fit.tau2 < fit.tau2_ci_low
    assert "tau2_outside_interval" in codes(fit)


def test_a_likelihood_with_two_maxima_reports_the_highest_and_the_gap() -> None:
    # One precise pair that agrees, and outliers that are imprecise or far: ML has two maxima.
    rng = np.random.default_rng(1)
    found = None
    for _ in range(4000):
        v = np.exp(rng.normal(-3, 1.5, 5))
        y = rng.normal(0, 1, 5)
        if estimate_tau2(y, v, np.ones((5, 1)), "ML").maxima > 1:
            found = y, v
            break
    assert found is not None
    y, v = found
    best = estimate_tau2(y, v, np.ones((5, 1)), "ML")
    assert best.gap is not None and best.gap > 0
    data_ = prepared(y, v, np.ones((5, 1)))
    fine = np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 40_000)])
    heights = profile_log_likelihood(data_, fine, restricted=False)
    at_best = profile_log_likelihood(
        data_, np.array([best.value / data_.scale**2]), restricted=False
    )
    assert float(at_best[0]) >= heights.max() - 1e-12
    fit = random_effects(y, v, "ML")
    assert "several_maxima" in codes(fit)


# -------------------------------------------------------------------- global optimum, grid


@each(product(DATASETS, ["ML", "REML"]))
def test_no_tau2_has_a_higher_likelihood(key: str, method: str) -> None:
    y, v = data(key)
    found = prepared(y, v, np.ones((len(y), 1)))
    best = estimate_tau2(y, v, np.ones((len(y), 1)), method).value / found.scale**2
    top = search_grid(found, restricted=method == "REML")[-1]
    fine = np.concatenate([[0.0], np.geomspace(1e-8, 10 * top + 1, 4000)])
    heights = profile_log_likelihood(found, fine, restricted=method == "REML")
    at_best = profile_log_likelihood(found, np.array([best]), restricted=method == "REML")
    assert float(at_best[0]) >= heights.max() - DIRECT * abs(heights.max())


# --------------------------------------------------------------------------- invariances


@each(product(SMALL, [1e-6, 1e-3, 0.01, 100.0, 1e3, 1e6, -1.0], TAU2_METHODS))
def test_the_unit_of_the_effect_changes_nothing_else(key: str, factor: float, method: str) -> None:
    y, v = data(key)
    fit = random_effects(y, v, method)
    other = random_effects(factor * y, factor**2 * v, method)
    se = abs(factor) * fit.se
    assert in_units(other.estimate, factor * fit.estimate, se) < RESCALED
    assert relative(other.se, se) < RESCALED
    for name in ("tau2", "tau2_se", "tau2_ci_low", "tau2_ci_high"):
        ours = getattr(fit, name)
        assert relative(getattr(other, name), factor**2 * ours) < RESCALED, name
    for name in ("i2", "h2", "i2_q", "h2_q", "q", "q_p_value", "p_value"):
        assert relative(getattr(other, name), getattr(fit, name)) < RESCALED, name
    if fit.pi_low is not None:
        bounds = sorted([factor * fit.pi_low, factor * fit.pi_high])  # type: ignore[operator]
        assert in_units([other.pi_low, other.pi_high], bounds, se) < RESCALED
    if method in ("ML", "REML"):
        design = np.ones((len(y), 1))
        options = {"method": "profile-likelihood", "tau2_method": method}
        low, high, _ = tau2_interval(y, v, design, **options)  # type: ignore[arg-type]
        scaled = tau2_interval(factor * y, factor**2 * v, design, **options)  # type: ignore[arg-type]
        assert relative(scaled.low, factor**2 * low) < RESCALED
        assert relative(scaled.high, factor**2 * high) < RESCALED


@pytest.mark.parametrize("method", TAU2_METHODS)
def test_the_order_of_studies_changes_nothing(method: str) -> None:
    y, v = BCG
    order = np.random.default_rng(3).permutation(13)
    fit, other = random_effects(y, v, method), random_effects(y[order], v[order], method)
    for name in ("estimate", "se", "ci_low", "pi_high", "tau2", "tau2_ci_high", "i2", "q"):
        assert relative(getattr(other, name), getattr(fit, name)) < RESCALED, name
    assert in_units(other.weights, fit.weights[order], 1) < RESCALED


@pytest.mark.parametrize("method", TAU2_METHODS)
def test_adding_a_constant_moves_the_pool_and_leaves_the_spread(method: str) -> None:
    y, v = BCG
    fit, other = random_effects(y, v, method), random_effects(y + 7, v, method)
    assert in_units(other.estimate, fit.estimate + 7, fit.se) < RESCALED
    assert relative(other.tau2, fit.tau2) < RESCALED


def effects(min_size: int = 2) -> st.SearchStrategy[list[tuple[float, float]]]:
    pair = st.tuples(st.floats(-3, 3), st.floats(1e-3, 10))
    return st.lists(pair, min_size=min_size, max_size=12)


@given(effects(), st.sampled_from(TAU2_METHODS), st.sampled_from(CI_METHODS))
@settings(max_examples=150, deadline=None)
def test_every_fit_is_finite_and_ordered(
    rows: list[tuple[float, float]], method: str, ci_method: str
) -> None:
    y, v = np.array(rows).T
    fit = random_effects(y, v, method, ci_method)
    assert y.min() - 1e-9 <= fit.estimate <= y.max() + 1e-9
    assert fit.tau2 is not None and fit.tau2 >= 0
    assert fit.i2 is not None and 0 <= fit.i2 <= 1
    assert abs(fit.weights.sum() - 1) < DIRECT
    if fit.ci_low is not None and fit.ci_high is not None:
        assert fit.ci_low <= fit.estimate <= fit.ci_high
        assert fit.p_value is not None and 0 <= fit.p_value <= 1
    if fit.pi_low is not None and fit.ci_low is not None:
        assert fit.pi_low <= fit.ci_low + 1e-9 * fit.se
    assert not (fit.p_value == 0 and fit.se == 0)
    assert json.loads(fit.to_json())["k"] == len(y)


@given(st.floats(-5, 5), st.lists(st.floats(1e-3, 10), min_size=2, max_size=9))
@settings(max_examples=60, deadline=None)
def test_identical_studies_pool_to_themselves(value: float, v: list[float]) -> None:
    for method in TAU2_METHODS:
        fit = random_effects([value] * len(v), v, method)
        assert fit.estimate == pytest.approx(value, abs=1e-12)
        assert fit.tau2 == pytest.approx(0, abs=1e-20)
        # Not the square of a rounding error, which is another on every processor.
        assert (fit.q, fit.q_p_value) == (0, 1)


# -------------------------------------------------------------------- direct computation


@pytest.mark.parametrize("key", SMALL)
def test_the_fit_equals_matrix_algebra_written_out(key: str) -> None:
    y, v = data(key)
    fit = random_effects(y, v)
    w = np.diag(1 / (v + fit.tau2))  # type: ignore[operator]
    x = np.ones((len(y), 1))
    inverse = np.linalg.inv(x.T @ w @ x)
    beta = inverse @ x.T @ w @ y
    factor = float((y - x @ beta) @ w @ (y - x @ beta)) / (len(y) - 1)
    se = float(np.sqrt(inverse[0, 0] * max(1, factor)))
    assert in_units(fit.estimate, beta[0], se) < DIRECT
    assert relative(fit.se, se) < DIRECT
    t = stats.t.ppf(0.975, len(y) - 1)
    assert in_units(fit.ci_low, beta[0] - t * se, se) < DIRECT


def test_moments_equal_full_matrices() -> None:
    y, v = BCG
    design = np.column_stack([np.ones(13), np.arange(13.0), np.sin(np.arange(13.0))])
    for columns in (0, 1, 2, 3):
        basis = orthonormal_basis(design[:, :columns]) if columns else np.zeros((13, 0))
        w = np.vstack([1 / v, 1 / (v + 0.3)])
        found = moments(residualised(y, basis), basis, w)
        for i, weights in enumerate(w):
            full = np.diag(weights)
            inner = basis.T @ full @ basis
            p = full - full @ basis @ np.linalg.inv(inner) @ basis.T @ full
            assert relative(found.rss[i], y @ p @ y) < DIRECT * 100
            assert relative(found.score[i], y @ p @ p @ y) < DIRECT * 100
            assert relative(found.trace[i], np.trace(p)) < DIRECT
            assert relative(found.trace_squared[i], np.trace(p @ p)) < DIRECT
            if columns:
                assert in_units(found.log_det[i], np.linalg.slogdet(inner)[1], 1) < DIRECT


def test_one_study_that_outweighs_the_rest_costs_no_digits() -> None:
    # Two studies: tr(P) = 2 w1 w2 / (w1 + w2), and P has one eigenvalue besides 0.
    w = np.array([[1e10, 1.0]])
    basis = orthonormal_basis(np.ones((2, 1)))
    found = moments(residualised(np.array([0.3, 0.7]), basis), basis, w)
    trace = 2e10 / (1e10 + 1)
    assert relative(float(found.trace[0]), trace) < DIRECT
    assert relative(float(found.trace_squared[0]), trace**2) < DIRECT


def test_p_values_are_accurate_in_the_tail() -> None:
    z = np.array([0.0, 1.96, 8.0, 30.0])
    assert np.allclose(two_sided_p(z, None), 2 * stats.norm.sf(z), rtol=DIRECT, atol=0)
    assert np.allclose(two_sided_p(z, 7), 2 * stats.t.sf(z, 7), rtol=DIRECT, atol=0)


def test_q_profile_bounds_put_q_on_the_chi_squared_quantiles() -> None:
    y, v = BCG
    bounds = tau2_interval(y, v, ONES)
    for tau2, share in ((bounds.low, 0.025), (bounds.high, 0.975)):
        w = 1 / (v + tau2)
        q = float(w @ (y - w @ y / w.sum()) ** 2)
        assert q == pytest.approx(stats.chi2.isf(share, 12), rel=RESCALED)
    with pytest.raises(UsageError, match="'ML' or 'REML', not 'DL'"):
        tau2_interval(y, v, ONES, method="profile-likelihood", tau2_method="DL")


def test_wald_and_knapp_hartung_from_one_regression() -> None:
    y, v = BCG
    ls = weighted_least_squares(y, ONES, 1 / v)
    wald, plain = mean_inference(ls, "wald"), mean_inference(ls, "knapp-hartung")
    assert relative(float(plain.se[0] / wald.se[0]), np.sqrt(ls.rss / 12)) < DIRECT
    assert (wald.df, plain.df) == (None, 12)


# ---------------------------------------------------------------- published, second engine


def test_viechtbauer_2010_bcg() -> None:
    # Viechtbauer 2010, J. Stat. Softw. 36(3): tau2 0.3132, mu -0.7145 (0.1798), I2 92.22.
    fit = random_effects(*BCG, ci_method="wald", measure="RR")
    assert (round(fit.tau2 or 0, 4), round(fit.estimate, 4), round(fit.se, 4)) == (
        0.3132,
        -0.7145,
        0.1798,
    )
    assert fit.i2 is not None and round(100 * fit.i2, 2) == 92.22
    assert fit.tau2_ci_low is not None and round(fit.tau2_ci_low, 4) == 0.1197


def test_raudenbush_2009_teacher_expectancy() -> None:
    # Raudenbush 2009: tau2 .0188, mean .0837, z 1.6208, Q 35.8295; common effect .0604.
    y, v = data("raudenbush1985_SMD")
    fit = random_effects(y, v, ci_method="wald")
    assert fit.tau2 is not None and round(fit.tau2, 4) == 0.0188
    assert fit.statistic is not None and round(fit.statistic, 4) == 1.6208
    assert fit.q is not None and round(fit.q, 4) == 35.8295
    assert round(common_effect(y, v).estimate, 4) == 0.0604


@pytest.mark.parametrize("method", TAU2_METHODS)
def test_a_second_engine_finds_the_same(method: str) -> None:
    for key in SMALL:
        for ci_method in CI_METHODS:
            other = second_engine(random_effects(*data(key), method, ci_method))
            assert other.largest < SECOND_ENGINE, (key, ci_method, other)
            assert {"estimate", "se", "ci_low", "ci_high", "tau2", "q"} == set(other.differences)


def test_the_second_engine_says_who_it_is() -> None:
    engines = {
        method: second_engine(random_effects(*BCG, method)).engine for method in TAU2_METHODS
    }
    assert engines == {
        "DL": "statsmodels",
        "PM": "statsmodels",
        "HE": "PyMARE",
        "HS": "numpy",
        "SJ": "numpy",
        "ML": "PyMARE",
        "REML": "PyMARE",
        "EB": "numpy",
    }
    # statsmodels lets tau-squared go negative; PyMARE takes over there.
    assert second_engine(random_effects(*data("eight_schools"), "DL")).engine == "PyMARE"
    other = second_engine(common_effect(*BCG))
    assert (other.engine, other.version) == ("PyMARE", version("pymare"))
    assert "largest difference" in repr(other)


def test_the_second_engine_notices_a_wrong_number() -> None:
    wrong = dataclasses.replace(random_effects(*BCG), estimate=-0.70)
    other = second_engine(wrong)
    assert other.largest > 0.05
    assert other.largest_quantity == "estimate"
    with pytest.raises(NotEstimableError, match="one study"):
        second_engine(random_effects([0.5], [0.04]))


# ---------------------------------------------------------------------------- the result


def test_the_printed_lines_open_a_paragraph() -> None:
    fit = random_effects(*BCG, measure="RR")
    assert repr(fit).splitlines() == [
        "<RandomEffects: risk ratio, 13 studies, REML, Knapp–Hartung (conservative)>",
        "  pooled      0.49  95% CI 0.33 to 0.73   t(12) = −3.95, p = 0.002",
        "  next study  95% PI 0.13 to 1.79 (t, 11 df)",
        "  log scale   −0.71  95% CI −1.11 to −0.32  95% PI −2.01 to 0.58",
        "  between     τ² = 0.313 (0.120 to 1.11), I² = 92.2%, Q(12) = 152.2, p < 0.001",
    ]
    assert "I² = 92.1% (from Q)" in repr(common_effect(*BCG))
    shown = fit._repr_html_()
    assert shown.startswith("<table><caption>RandomEffects: risk ratio, 13 studies, REML")
    assert '<tr><th scope="row">pooled</th><td>0.49</td><td>95% CI 0.33 to 0.73</td>' in shown
    assert '<tr><th scope="row">next study</th><td colspan="3">95% PI 0.13 to 1.79' in shown
    assert fit.to_frame().equals(fit.tidy())


def test_digits_follow_the_unit() -> None:
    y, v = data("hine1989_RD")
    assert "0.029" in repr(random_effects(y, v))
    assert "0.000029" in repr(random_effects(y * 1e-3, v * 1e-6))


def test_results_serialise_to_the_same_bytes_and_compare_by_content() -> None:
    fit, again = random_effects(*BCG), random_effects(*BCG)
    assert fit.to_json() == again.to_json()
    assert fit == again
    assert hash(fit) == hash(again)
    assert fit != random_effects(*BCG, "DL")
    assert json.loads(fit.to_json())["weights"] == fit.weights.tolist()


def test_tidy_has_the_same_columns_whatever_was_withheld() -> None:
    many, one = random_effects(*BCG).tidy(), random_effects([0.5], [0.04]).tidy()
    assert list(many.columns) == list(one.columns)
    assert many.loc[0, "k"] == 13
    assert list(random_effects(*BCG).intervals().tidy()["ci_method"]) == list(CI_METHODS)


def test_tau_is_the_root_of_tau2() -> None:
    fit = random_effects(*BCG)
    assert fit.tau == pytest.approx(np.sqrt(fit.tau2), rel=DIRECT)  # type: ignore[arg-type]
    assert common_effect(*BCG).tau is None


# --- what a fit says of itself --------------------------------------------------------------------

VACCINE = random_effects(
    [-0.8893, -1.5854, -1.3481, -1.4416], [0.3256, 0.1946, 0.4154, 0.0200], measure="RR",
    labels=["A | b", "C*d", "E", "<F>"],
)  # fmt: skip


def test_the_methods_sentence_names_what_was_done_with_numbers_and_sources():
    text = VACCINE.methods_sentence()
    for words in (
        "The risk ratios (as logarithms) of 4 studies were pooled in a random-effects model",
        "restricted maximum likelihood (Viechtbauer 2005), with a Q-profile interval",
        "95% confidence interval of the mean is Knapp–Hartung's (Knapp and Hartung 2003), from t"
        " with 3 degrees of freedom, with a factor of the variance of at least 1",
        "95% prediction interval for the true effect of a new study is from t with 2 degrees",
    ):
        assert words in text
    for method, entry in ESTIMATORS.items():
        said = random_effects([1, 2, 4], [1, 1, 1], method, "wald", level=0.9).methods_sentence()
        assert entry.words in said and "90% confidence interval of the mean is Wald's" in said
        assert "Knapp" not in said
    assert set(TAU2_METHODS) == {*metafor_values.ESTIMATORS} - {"FE"}
    common = common_effect([1, 2], [1, 1]).methods_sentence()
    assert "common-effect model" in common and "τ²" not in common and "prediction" not in common
    assert random_effects([1], [1]).methods_sentence().startswith("One study was found")
    assert pool([], []).methods_sentence() == "No study was eligible, so that nothing was pooled."


def test_a_report_is_markdown_or_html_with_the_numbers_of_the_fit():
    text = VACCINE.report(title="Vaccine")
    lines = text.splitlines()
    heads = [line for line in lines if line.startswith("#")]
    assert heads == ["# Vaccine", "## Methods", "## Results", "## Caveats", "## References"]
    assert f"Q({VACCINE.q_df})" in text and VACCINE.methods_sentence() in text
    table = [line for line in lines if line.startswith("|")]
    assert table[0] == "| Study | risk ratio | 95% CI | Weight |"
    assert len(table) == 2 + VACCINE.k
    assert table[2].startswith(r"| A \| b | 0.41 | 0.13 to 1.26 |")
    assert table[3].startswith(r"| C\*d |") and table[5].startswith(r"| \<F\> |")
    page = VACCINE.report("html", title="A < B")
    tree = ElementTree.fromstring(page)
    assert [node.text for node in tree.iter("h2")] == [head[3:] for head in heads[1:]]
    assert tree.find("h1").text == "A < B"
    assert [row[0].text for row in tree.iter("tr")][1:] == list(VACCINE.labels)
    with pytest.raises(UsageError, match=r"format is 'htm'; .*did you mean html"):
        VACCINE.report("htm")


@pytest.mark.parametrize("fit", [VACCINE, common_effect([1, 2], [1, 1]), pool([], [])])
def test_a_report_lists_every_source_it_names_and_no_other(fit):
    body, _, listed = fit.report().partition("## References")
    named = {who for who in REFERENCES if who in body}
    assert {line[2:].rpartition(who)[1] for line in listed.split("\n") for who in named
            if line[2:].startswith(f"{who},")} == named  # fmt: skip
    assert listed.count("\n- ") == len(named)


def test_a_report_of_a_regression_tells_coefficients_and_the_test_of_moderators():
    y, v = [0.1, 0.3, 0.35, 0.65, 0.5], [0.03, 0.04, 0.05, 0.02, 0.03]
    fit = meta_regression(y, v, {"dose": [1, 2, 3, 4, 5]}, "~ dose", measure="MD")
    text = fit.report()
    assert r"mean differences of 5 studies were regressed on \~ dose in a mixed-effects" in text
    assert "an F test. R² is the share" in text and "Raudenbush 2009, in Cooper" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| Coefficient", "| ---", "| intercept",
                                                    "| dose"]  # fmt: skip
    assert format_number(fit.estimate[1], 2) in rows[3]
    common = meta_regression(y, v, [1, 2, 3, 4, 5], tau2_method="common", ci_method="wald")
    said = common.methods_sentence()
    assert "regressed on x1 in a common-effect model" in said and "a Wald χ² test" in said


@pytest.mark.parametrize(
    ("mean", "lower", "words"),
    [
        (-1.0, True, "lower is better: favours treatment"),
        (-1.0, False, "higher is better: favours control"),
        (1.0, True, "lower is better: favours control"),
        (1.0, False, "higher is better: favours treatment"),
    ],
)
def test_the_side_that_is_favoured_is_said_where_the_better_direction_is_stated(mean, lower, words):
    sure = common_effect([mean, mean], [0.01, 0.02], measure="SMD")
    assert sure.favours(lower_is_better=lower) == words
    open_ = common_effect([mean, mean], [4.0, 4.0], measure="OR")
    assert open_.favours(lower_is_better=lower) == f"{words}, with no effect inside the interval"
    assert f"{words[0].upper()}{words[1:]}." in sure.report(lower_is_better=lower)
    assert "is better" not in sure.report()
    with pytest.raises(UsageError, match="of one group favours neither"):
        common_effect([mean, mean], [1, 1], measure="PLO").favours(lower_is_better=lower)
    with pytest.raises(UsageError, match="lower_is_better is 'yes'"):
        sure.favours(lower_is_better="yes")


def test_other_models_say_which_side_they_favour_too():
    y, v, groups = [-0.9, -0.7, -1.1, -0.8], [0.02, 0.03, 0.02, 0.04], list("aabb")
    for fit in (
        km.bayes_random_effects(y, v, measure="SMD"),
        km.multilevel(y, v, groups, measure="SMD"),
        km.mantel_haenszel([2, 3], [90, 80], [30, 28], [90, 80]),
    ):
        assert fit.favours(lower_is_better=True).startswith("lower is better: favours treatment")
        assert fit.favours(lower_is_better=False).startswith("higher is better: favours control")
    slopes = meta_regression(y, v, [1, 2, 3, 5])
    with pytest.raises(UsageError, match="not one estimate"):
        slopes.favours(lower_is_better=True)


# ---------------------------------------------------------------------------- computed when read


def test_what_is_computed_late_is_what_would_be_computed_at_once() -> None:
    late, read = random_effects(*BCG, measure="RR"), random_effects(*BCG, measure="RR")
    assert read.caveats == () and read.tau2_ci_low is not None and read.aic is not None
    assert pickle.loads(pickle.dumps(late)) == read == copy.copy(random_effects(*BCG, measure="RR"))
    assert dataclasses.replace(random_effects(*BCG, measure="RR"), measure=None).q == read.q
    with pytest.raises(AttributeError, match="no attribute 'tau_2'"):
        _ = late.tau_2  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        late.q = 1.0  # type: ignore[misc]


def many_studies(seed: int, k: int = 450) -> tuple[np.ndarray, np.ndarray]:
    """Return many studies, in one or two clumps, of very unlike precision."""
    rng = np.random.default_rng(seed)
    v = np.exp(rng.uniform(-1, 1, k) * rng.uniform(0.1, 4))
    y = rng.choice([0.0, rng.uniform(0, 40)], k, p=[0.98, 0.02]) * rng.choice([-1, 1], k)
    return y + rng.normal(0, np.sqrt(v + rng.choice([0.0, 0.3])), k), v


@each(product(range(40), [True, False]))
def test_a_proved_maximum_is_the_highest_of_a_fine_grid(seed: int, restricted: bool) -> None:
    y, v = many_studies(seed)
    found = prepared(y, v, np.ones((len(y), 1)))
    proved = single_maximum(found, restricted=restricted)
    assert found.tame
    if proved is None:
        return
    grid = np.linspace(0, search_grid(found, restricted=restricted)[-1], 4001)
    both = np.append(grid, proved)
    heights = profile_log_likelihood(found, both, restricted=restricted)
    assert heights[-1] >= heights.max() - 1e-9  # rounding of sums of 450 logarithms
    slope = score(found, grid, restricted=restricted)
    assert ((slope[:-1] > 0) & (slope[1:] <= 0)).sum() + (slope[0] <= 0) == 1


def test_most_likelihoods_of_many_studies_are_proved_to_have_one_maximum() -> None:
    proved = [
        single_maximum(prepared(*many_studies(seed), np.ones((450, 1))), restricted=True)
        for seed in range(40)
    ]
    assert sum(value is not None for value in proved) > 30


def test_equal_estimates_of_many_studies_have_no_variance_between_them() -> None:
    fit = random_effects(np.full(500, 0.3), np.linspace(0.1, 0.4, 500))
    assert fit.tau2 == 0 and fit.q == 0


def test_two_studies_print_the_other_interval_too() -> None:
    fit = random_effects([0.1, 0.9], [0.04, 0.05], measure="OR")
    wald = fit.intervals().rows[0]
    low, high = np.exp([wald.ci_low, wald.ci_high])
    shown = repr(fit).splitlines()
    assert f"  Wald        95% CI {low:.2f} to {high:.2f}" in shown
    plain = repr(random_effects([0.1, 0.9], [0.04, 0.05], ci_method="wald"))
    assert "Knapp–Hartung (conservative)  95% CI −4.59 to 5.58" in plain
    assert "Wald  " not in repr(random_effects([0.1, 0.9, 0.5], [0.04, 0.05, 0.1]))
