"""Three-level and correlated-effects models against rma.mv, dense algebra and a grid."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dependence_values import FITS, REFERENCE, STORED, reference_fit
from ketameta import che, che_sensitivity, effect_sizes, multilevel, robust
from ketameta.effects.table import Effects
from ketameta.errors import ImpossibleDataError, KetametaError, NotEstimableError, UsageError
from ketameta.models.dependent import evaluate, log_likelihoods, rotate
from tolerances import (
    DENSE,
    PROFILE_LIMIT,
    RESCALED,
    THREE_LEVEL,
    THREE_LEVEL_LIKELIHOOD,
    THREE_LEVEL_P,
    THREE_LEVEL_VARIANCE,
)

CI_METHODS = {"wald": "z", "t": "t", "t-contain": "contain"}


def close(found, expected, tolerance):
    np.testing.assert_allclose(np.atleast_1d(found), np.atleast_1d(expected), rtol=tolerance)


def test_the_reference_is_complete():
    assert len(FITS) == 12
    assert {name.rsplit("_", 1)[1] for _, name in FITS} == {"REML", "ML"}
    assert {"che_0.6_REML", "che_0.2_REML", "che_0.6_deltype_REML"} <= {name for _, name in FITS}


@pytest.mark.parametrize(("key", "name"), FITS)
def test_variances_likelihood_and_heterogeneity_equal_rma_mv(key, name):
    expected = REFERENCE[key]["fits"][name]
    fit = reference_fit(key, name, ci_method="wald", variance_intervals=False)
    close([fit.sigma2_study, fit.sigma2_effect], expected["sigma2"], THREE_LEVEL_VARIANCE)
    close(
        [fit.log_likelihood, fit.deviance, fit.aic, fit.bic, fit.aicc],
        expected["logLik"],
        THREE_LEVEL_LIKELIHOOD,
    )
    assert fit.log_likelihood >= expected["logLik"][0] - 1e-10
    close(fit.qe, expected["QE"], THREE_LEVEL_LIKELIHOOD)
    assert fit.qe_p_value == pytest.approx(expected["QEp"], rel=1e-8)
    close([100 * fit.i2_study, 100 * fit.i2_effect], expected["I2"], THREE_LEVEL_VARIANCE)
    if "weights" in expected:
        close(fit.weights, expected["weights"], THREE_LEVEL_VARIANCE)
        close([fit.pi_low, fit.pi_high], expected["pi"], THREE_LEVEL)
    else:
        assert fit.weights is None and fit.pi_low is None


@pytest.mark.parametrize("ci_method", CI_METHODS)
@pytest.mark.parametrize(("key", "name"), FITS)
def test_coefficients_and_tests_equal_rma_mv(key, name, ci_method):
    expected = REFERENCE[key]["fits"][name][CI_METHODS[ci_method]]
    fit = reference_fit(key, name, ci_method=ci_method, variance_intervals=False)
    table, unit = fit.coefficients, np.atleast_1d(expected["se"])
    close(table.se, expected["se"], THREE_LEVEL)
    close(table.p_value, expected["pval"], THREE_LEVEL_P)
    for found, wanted in (("estimate", "beta"), ("ci_low", "ci.lb"), ("ci_high", "ci.ub")):
        gap = np.abs(getattr(table, found) - np.atleast_1d(expected[wanted])) / unit
        assert gap.max() < THREE_LEVEL
    if ci_method == "t-contain":
        np.testing.assert_array_equal(table.df, np.atleast_1d(expected["ddf"]))
    if len(table.names) > 1:
        close(fit.qm, expected["QM"], THREE_LEVEL)
        close(fit.qm_p_value, expected["QMp"], THREE_LEVEL_P)
        assert fit.qm_df == np.atleast_1d(expected["QMdf"])[0]
    if "pi.contain" in REFERENCE[key]["fits"][name] and ci_method == "t-contain":
        close([fit.pi_low, fit.pi_high], REFERENCE[key]["fits"][name]["pi.contain"], THREE_LEVEL)


PROFILED = [case for case in FITS if "profile" in REFERENCE[case[0]]["fits"][case[1]]]


@pytest.mark.parametrize(("key", "name"), PROFILED)
def test_profile_intervals_equal_confint(key, name):
    fit = reference_fit(key, name)
    expected = REFERENCE[key]["fits"][name]["profile"]
    found = [
        (fit.sigma2_study_low, fit.sigma2_study_high),
        (fit.sigma2_effect_low, fit.sigma2_effect_high),
    ]
    for limits, wanted in zip(found, expected):
        assert None not in wanted
        np.testing.assert_allclose(limits, wanted, rtol=PROFILE_LIMIT, atol=1e-12)


def test_four_sets_were_profiled():
    assert len(PROFILED) == 4


@pytest.mark.parametrize(
    ("key", "mean", "se", "between", "within"),
    [
        # Konstantopoulos (2011); Assink and Wibbelink (2016)
        ("konstantopoulos2011", 0.185, 0.085, 0.065, 0.033),
        ("assink2016", 0.427, None, 0.188, 0.112),
    ],
)
def test_published_values(key, mean, se, between, within):
    fit = reference_fit(key, "intercept_REML", variance_intervals=False)
    assert round(fit.estimate, 3) == mean
    assert se is None or round(fit.se, 3) == se
    assert round(fit.sigma2_study, 3) == between and round(fit.sigma2_effect, 3) == within


def dense_likelihood(y, X, V, study, between, within):
    """The restricted log-likelihood, with every matrix written out."""
    k, p = X.shape
    M = V + between * (study[:, None] == study) + within * np.eye(k)
    W = np.linalg.inv(M)
    beta = np.linalg.solve(X.T @ W @ X, X.T @ W @ y)
    r = y - X @ beta
    return (
        -0.5
        * (
            (k - p) * math.log(2 * math.pi)
            - np.linalg.slogdet(X.T @ X)[1]
            + np.linalg.slogdet(M)[1]
            + np.linalg.slogdet(X.T @ W @ X)[1]
            + r @ W @ r
        ),
        beta,
        np.linalg.inv(X.T @ W @ X),
    )


def example(seed, k=14, m=5):
    rng = np.random.default_rng(seed)
    study = np.sort(rng.integers(0, m, k))
    study[:m], study[-1] = np.arange(m), 0
    v = rng.uniform(0.02, 0.3, k)
    y = rng.normal(0, 0.5, m)[study] + rng.normal(0, np.sqrt(v + 0.1))
    root = np.sqrt(v)
    V = np.where(study[:, None] == study, 0.4 * np.outer(root, root), 0)
    V[np.diag_indices(k)] = v
    return y, v, V, study, rng.normal(size=k)


@pytest.mark.parametrize("seed", range(6))
def test_dense_algebra_and_a_grid_agree_with_the_fit(seed):
    y, v, V, study, x = example(seed)
    X = np.column_stack([np.ones_like(x), x])
    fit = multilevel(y, v, study, moderators=x, sampling_covariance=V, variance_intervals=False)
    here, beta, covariance = dense_likelihood(y, X, V, study, fit.sigma2_study, fit.sigma2_effect)
    assert fit.log_likelihood == pytest.approx(here, rel=DENSE)
    np.testing.assert_allclose(fit.coefficients.estimate, beta, rtol=DENSE)
    np.testing.assert_allclose(fit.coefficients.covariance, covariance, rtol=DENSE)
    grid = [0.0, *np.geomspace(1e-4, 10, 25)]
    highest = max(dense_likelihood(y, X, V, study, a, b)[0] for a in grid for b in grid)
    assert fit.log_likelihood >= highest - 1e-9
    for a, b in [(1.001, 1), (0.999, 1), (1, 1.001), (1, 0.999)]:
        near = dense_likelihood(y, X, V, study, a * fit.sigma2_study, b * fit.sigma2_effect)[0]
        assert near <= fit.log_likelihood + 1e-10


def test_the_higher_of_two_hills_is_found_and_the_gap_reported():
    """rma.mv stops on the lower hill of these four invented effects."""
    stored = STORED["local_optimum"]
    data = stored["inputs"]
    fit = multilevel(data["yi"], data["vi"], data["cluster"], data["effect"])
    assert fit.log_likelihood == pytest.approx(stored["ll_higher"], abs=1e-8)
    assert fit.optima_gap == pytest.approx(stored["ll_higher"] - stored["ll"], abs=1e-6)
    assert fit.estimate > 4 * stored["beta"]
    assert "several_optima" in {caveat.code for caveat in fit.caveats}


@pytest.mark.parametrize("seed", range(3))
def test_profile_limits_lose_half_a_chi_square(seed):
    y, v, V, study, x = example(seed)
    X = np.column_stack([np.ones_like(x), x])
    fit = multilevel(y, v, study, moderators=x, sampling_covariance=V)
    drop = stats.chi2.ppf(0.95, 1) / 2
    grid = [0.0, *np.geomspace(1e-5, 10, 2000)]
    profile = max(
        dense_likelihood(y, X, V, study, fit.sigma2_study_high, within)[0] for within in grid
    )
    assert profile == pytest.approx(fit.log_likelihood - drop, abs=1e-4)


@pytest.mark.parametrize("power", range(-6, 7))
def test_unit_of_the_effect_does_not_matter(power):
    y, v, V, study, _ = example(3)
    c = 10.0**power
    one = multilevel(y, v, study, sampling_covariance=V)
    other = multilevel(c * y, c**2 * v, study, sampling_covariance=c**2 * V)
    assert other.estimate == pytest.approx(c * one.estimate, rel=RESCALED)
    assert other.ci_low == pytest.approx(c * one.ci_low, rel=RESCALED)
    assert other.pi_high == pytest.approx(c * one.pi_high, rel=RESCALED)
    assert other.i2_study == pytest.approx(one.i2_study, rel=1e-8)
    for name in ("sigma2_study", "sigma2_effect", "sigma2_study_high", "sigma2_effect_high"):
        assert getattr(other, name) == pytest.approx(c**2 * getattr(one, name), rel=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_order_of_rows_does_not_matter(seed):
    y, v, V, study, x = example(seed % 50)
    order = np.random.default_rng(seed).permutation(y.size)
    one = multilevel(y, v, study, moderators=x, sampling_covariance=V, variance_intervals=False)
    other = multilevel(
        y[order],
        v[order],
        study[order],
        moderators=x[order],
        sampling_covariance=V[np.ix_(order, order)],
        variance_intervals=False,
    )
    np.testing.assert_allclose(
        other.coefficients.estimate, one.coefficients.estimate, rtol=1e-7, atol=1e-9
    )
    assert other.log_likelihood == pytest.approx(one.log_likelihood, rel=1e-11)
    np.testing.assert_allclose(
        robust(other).coefficients.se, robust(one).coefficients.se, rtol=1e-6
    )


def test_che_is_the_model_with_that_covariance():
    y, v, V, study, _ = example(1)
    one = che(y, v, study, rho=0.4)
    other = multilevel(y, v, study, sampling_covariance=V)
    assert one.estimate == pytest.approx(other.estimate, rel=1e-12)
    assert one.rho == 0.4 and other.rho is None
    zero = che(y, v, study, rho=0.0, variance_intervals=False)
    plain = multilevel(y, v, study, variance_intervals=False)
    assert zero.estimate == pytest.approx(plain.estimate, rel=1e-10)


def test_che_sensitivity_is_one_robust_fit_per_correlation():
    data = REFERENCE["assink2016"]["inputs"]
    table = che_sensitivity(data["yi"], data["vi"], data["cluster"], rhos=(0.2, 0.6))
    for j, name in enumerate(["che_0.2_REML", "che_0.6_REML"]):
        expected = REFERENCE["assink2016"]["fits"][name]["robust"]
        close(table.estimate[j], expected["beta"], THREE_LEVEL)
        close(table.se[j], expected["SE"], THREE_LEVEL)
        close(table.df[j], expected["df"], THREE_LEVEL)
        close(table.ci_low[j], expected["ci.lb"], THREE_LEVEL)
    assert list(table.tidy()["rho"]) == [0.2, 0.6]
    assert repr(table).count("rho ") == 2
    with pytest.raises(UsageError, match="rhos is empty"):
        che_sensitivity(data["yi"], data["vi"], data["cluster"], rhos=())
    with pytest.raises(UsageError, match="term is 'x'"):
        che_sensitivity(data["yi"], data["vi"], data["cluster"], rhos=(0.2,), term="x")


def test_a_boundary_variance_is_said():
    fit = multilevel([0.2, 0.4, 0.1, 0.6], [0.04, 0.05, 0.03, 0.04], ["a", "a", "b", "b"])
    assert fit.sigma2_study == 0
    assert {caveat.code for caveat in fit.caveats} == {"few_studies", "boundary_between_studies"}
    assert fit.pi_low is None
    assert "estimated as zero" in repr(fit)


def test_a_data_frame_brings_its_names_and_an_intercept_can_be_left_out():
    y, v, _, study, x = example(2)
    frame = pd.DataFrame({"dose": x})
    fit = multilevel(y, v, study, moderators=frame, variance_intervals=False)
    assert fit.coefficients.names == ("intercept", "dose")
    groups = np.column_stack([x > 0, x <= 0]).astype(float)
    means = multilevel(y, v, study, moderators=groups, intercept=False, variance_intervals=False)
    assert means.coefficients.names == ("x1", "x2") and means.qm_df == 2
    with pytest.raises(UsageError, match="estimate is one number per coefficient"):
        _ = fit.estimate
    frame["group"] = np.where(x > 0, "high", "low")
    coded = multilevel(
        y, v, study, moderators=frame, formula="~ 0 + group", variance_intervals=False
    )
    np.testing.assert_allclose(coded.coefficients.estimate, means.coefficients.estimate, rtol=1e-9)


def test_the_result_prints_tidies_and_serialises():
    fit = reference_fit("assink2016", "che_0.6_REML", variance_intervals=False)
    lines = repr(fit).splitlines()
    assert lines[0] == (
        "<Three-level model: 100 effects in 17 studies, REML, within-study correlation 0.6 assumed>"
    )
    assert "interval not computed" in repr(fit)
    stored = json.loads(fit.to_json())
    assert "sampling_blocks" not in stored and stored["coefficients"]["names"] == ["intercept"]
    assert list(fit.tidy()["term"]) == ["intercept"]
    with pytest.raises(ValueError, match="read-only"):
        fit.estimates[0] = 1.0


Y, V4, STUDY = [0.2, 0.4, 0.1, 0.6], [0.04, 0.05, 0.03, 0.04], ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((Y, V4, ["a"] * 4), {}, NotEstimableError, "one value"),
        ((Y, V4, list("abcd")), {}, NotEstimableError, "one effect, so the two levels are one"),
        ((Y, V4, ["a", "a", "b"]), {}, UsageError, "study has 3 values where 4"),
        ((Y, V4, ["a", "a", None, "b"]), {}, ImpossibleDataError, r"study\[2\] is None"),
        ((Y, V4, ["a", "a", math.nan, "b"]), {}, ImpossibleDataError, r"study\[2\] is nan"),
        ((Y, V4, "aabb"), {}, UsageError, "study is the text"),
        ((Y, V4, STUDY, list("xxyz")), {}, ImpossibleDataError, "effect 'x' of study 'a'"),
        ((Y, [0.04, 0.05, -0.03, 0.04], STUDY), {}, ImpossibleDataError, r"variances\[2\]"),
        ((Y, V4, STUDY), {"method": "reml"}, UsageError, "did you mean REML"),
        ((Y, V4, STUDY), {"ci_method": "z"}, UsageError, "ci_method is 'z'"),
        ((Y, V4, STUDY), {"rho": 1.5}, UsageError, "rho is 1.5"),
        ((Y, V4, STUDY), {"rho": 1.0}, NotEstimableError, "same information"),
        ((Y, V4, STUDY), {"moderators": [1, 1, 1, 1]}, NotEstimableError, "singular"),
        ((Y, V4, STUDY), {"moderators": [[1, 2]]}, UsageError, "moderators has 1 rows"),
        ((Y, V4, STUDY), {"moderators": ["x"] * 4}, UsageError, "must be numbers"),
        (
            (Y, V4, STUDY),
            {"moderators": [1, 2, 3, 4], "names": ["a", "b"]},
            UsageError,
            "names has 2",
        ),
        ((Y, V4, STUDY), {"formula": "~ x"}, UsageError, "formula needs moderators"),
        ((Y, V4, STUDY), {"intercept": False}, UsageError, "nothing to estimate"),
        ((Y, V4, STUDY), {"sampling_covariance": np.eye(3)}, UsageError, "shape"),
        ((Y, V4, STUDY), {"sampling_covariance": np.eye(4)}, ImpossibleDataError, r"\[0, 0\] = 1"),
        (
            (Y, V4, STUDY),
            {"sampling_covariance": np.diag(V4) + np.diag([0.0, 0.01, 0.0], 1)},
            ImpossibleDataError,
            "mirror image",
        ),
        (
            (Y, V4, STUDY),
            {"sampling_covariance": np.diag(V4) + 0.001 * (1 - np.eye(4))},
            ImpossibleDataError,
            "two studies",
        ),
        (
            (Y, V4, STUDY),
            {"sampling_covariance": np.diag(V4), "rho": 0.5},
            UsageError,
            "not both",
        ),
    ],
)
def test_unusable_input_is_named(arguments, options, error, message):
    with pytest.raises(KetametaError, match=message) as caught:
        multilevel(*arguments, **options)
    assert isinstance(caught.value, error)


@pytest.mark.parametrize("restricted", [True, False])
def test_the_grid_has_the_likelihood_of_each_point(restricted):
    random = np.random.default_rng(4)
    starts = np.array([0, 3, 4, 9])
    blocks = [random.normal(size=(n, n + 2)) for n in (3, 1, 5, 2)]
    blocks = [0.05 * a @ a.T for a in blocks]
    basis = np.linalg.qr(np.column_stack([np.ones(11), random.normal(size=11)]))[0]
    y = random.normal(size=11)
    data = rotate(y - basis @ (basis.T @ y), basis, blocks, starts)
    between, within = np.array([0.0, 0.02, 3.0]), np.array([0.0, 0.5])
    surface = log_likelihoods(data, between, within, restricted)
    for g, b in enumerate(between):
        for h, w in enumerate(within):
            one = evaluate(data, np.array([[b, w]]), restricted).log_likelihood[0]
            assert surface[g, h] == pytest.approx(one, rel=DENSE)


def test_one_small_matrix_per_study_does_for_a_large_one():
    study = ["a", "a", "b", "c", "c", "c"]
    y, v = np.linspace(-0.4, 0.5, 6), np.linspace(0.02, 0.09, 6)
    same = np.array(study)[:, None] == np.array(study)
    V = np.sqrt(np.outer(v, v)) * np.where(np.eye(6, dtype=bool), 1.0, 0.4 * same)
    blocks = [V[:2, :2], V[2:3, 2:3], V[3:, 3:]]
    dense = multilevel(y, v, study, sampling_covariance=V)
    assert multilevel(y, v, study, sampling_covariance=blocks).to_json() == dense.to_json()
    with pytest.raises(UsageError, match="has 2 matrices; give one for each of the 3 studies"):
        multilevel(y, v, study, sampling_covariance=blocks[:2])
    with pytest.raises(ImpossibleDataError, match=r"study 'a': .*is not the sampling variance"):
        multilevel(y, v, study, sampling_covariance=[2 * V[:2, :2], *blocks[1:]])


# --- predictions and labels -----------------------------------------------------------------------

PREDICTED = json.loads(
    (Path(__file__).parent / "reference" / "multilevel_predict.json").read_text("utf-8")
)["fits"]


@pytest.mark.parametrize("ci_method", CI_METHODS)
@pytest.mark.parametrize("stored", PREDICTED, ids=lambda x: f"{x['data']} {x['rho']}")
def test_predictions_at_new_values_equal_rma_mv(stored, ci_method):
    expected, new = stored[ci_method.replace("wald", "z")], np.array(stored["new"])
    fit = predicted_fit(stored, ci_method)
    found = fit.predict(dict(zip(stored["names"], new.T.tolist(), strict=True)))
    unit = np.array(expected["se"])
    close(found.se, expected["se"], THREE_LEVEL)
    for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high"):
        gap = np.abs(getattr(found, name) - np.array(expected[name])) / unit
        assert gap.max() < THREE_LEVEL, name
    if ci_method == "wald":
        assert found.df is None
    else:
        assert found.df.tolist() == found.pi_df.tolist() == expected["df"]
    assert fit.predict(new) == found


@pytest.mark.parametrize("stored", PREDICTED, ids=lambda x: f"{x['data']} {x['rho']}")
def test_robust_predictions_equal_linear_contrasts_of_clubsandwich(stored):
    sandwich = robust(predicted_fit(stored, "t-contain"))
    new, kept = np.array(stored["new"]), [0, 1, 2]
    if stored["data"] == "assink2016":  # its covert effects are all of one study
        kept = [1, 2]
        with pytest.raises(NotEstimableError, match="alone identifies the mean of row 0 of new"):
            sandwich.predict(new)
    found = sandwich.predict(new[kept])
    expected = {name: np.array(values)[kept] for name, values in stored["robust"].items()}
    close(found.se, expected["se"], THREE_LEVEL)
    close(found.df, expected["df"], THREE_LEVEL)
    for name in ("estimate", "ci_low", "ci_high"):
        assert (np.abs(getattr(found, name) - expected[name]) / found.se).max() < THREE_LEVEL
    assert found.pi_low is None
    assert [caveat.code for caveat in found.caveats][-1] == "no_prediction"


def predicted_fit(stored, ci_method):
    data = REFERENCE[stored["data"]]["inputs"]
    columns = np.column_stack([data[name] for name in stored["names"]])
    return multilevel(
        data["yi"], data["vi"], data["cluster"], data["effect"], columns, stored["names"],
        rho=stored["rho"], ci_method=ci_method, variance_intervals=False,
    )  # fmt: skip


def test_predictions_by_formula_take_a_dict_and_print_what_is_read():
    frame = pd.DataFrame(
        {"yi": [0.2, 0.5, 0.1, 0.6, 0.3, 0.4, 0.9, 0.2], "vi": [0.04, 0.05, 0.03, 0.04] * 2,
         "trial": list("aabbccdd"), "setting": list("xyxyxyxy"), "dose": [1, 2, 3, 4, 2, 1, 4, 2]}
    )  # fmt: skip
    fit = multilevel(frame, estimate="yi", variance="vi", study="trial",
                     moderators="~ setting + dose", measure="OR")  # fmt: skip
    found = fit.predict({"dose": [1, 9], "setting": "y"})
    rows = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 9.0]])
    at = [("intercept", "setting[T.y]", "dose").index(name) for name in fit.coefficients.names]
    assert found.estimate == pytest.approx(rows[:, at] @ fit.coefficients.estimate, rel=1e-12)
    assert found.display_estimate == pytest.approx(np.exp(found.estimate), rel=1e-14)
    first = found.summary().splitlines()[1]
    assert first.startswith(f"  row 1       {np.exp(found.estimate[0]):.2f}  95% CI ")
    assert [caveat.code for caveat in found.caveats] == ["extrapolation"]
    assert (fit.predict().estimate == fit.design @ fit.coefficients.estimate).all()
    with pytest.raises(UsageError, match=r"uses 'dose', which is not .*did you mean dosis"):
        fit.predict({"dosis": [1], "setting": "y"})
    with pytest.raises(UsageError, match="cannot be coded"):
        fit.predict({"dose": [1], "setting": "z"})


def test_a_mean_of_three_levels_predicts_itself_and_two_studies_predict_nothing():
    fit = reference_fit("konstantopoulos2011", "intercept_REML", variance_intervals=False)
    found = fit.predict()
    for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high"):
        assert getattr(found, name) == pytest.approx(np.full(fit.k, getattr(fit, name)), rel=1e-14)
    few = multilevel([0.2, 0.4, 0.1, 0.6], [0.04, 0.05, 0.03, 0.04], list("aabb")).predict()
    assert few.pi_low is None
    assert [caveat.code for caveat in few.caveats] == ["no_prediction"]


def test_labels_of_effects_travel_where_they_tell_effects_of_a_study_apart():
    frame = pd.DataFrame(
        {"y": [0.2, 0.4, 0.1, 0.6], "v": [0.04, 0.05, 0.03, 0.04], "trial": list("aabb"),
         "at": ["a, day 1", "a, day 7", "b 1", "b 7"]}
    )  # fmt: skip
    named = effect_sizes(frame, None, estimate="y", variance="v", labels="at")
    for fit in (multilevel(named, study="trial"), che(named, study="trial")):
        assert fit.labels == robust(fit).labels == ("a, day 1", "a, day 7", "b 1", "b 7")
    other = multilevel(named, study="trial", effect=["p", "q", "p", "q"])
    assert other.labels == ("p", "q", "p", "q")
    # A trial's name, or none, says nothing of which effect it is.
    by_trial = Effects(named.estimate, named.variance, tuple("aabb"), None, {}, named.positions, 4)
    for effects in (by_trial, effect_sizes(frame, None, estimate="y", variance="v")):
        assert multilevel(effects, study=list("aabb")).labels == ("a 1", "a 2", "b 1", "b 2")
