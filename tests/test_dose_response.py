"""One-stage dose-response models against rma.mv, dense algebra and their own identities."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import ketameta as km
from ketameta import dose_response, shared_arm_covariance
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models import curve_basis, knots_at
from tolerances import (
    DENSE,
    DIRECT,
    DOSE_RESPONSE,
    DOSE_RESPONSE_SEARCHED,
    DOSE_RESPONSE_SEVERAL,
    RESCALED,
)

REFERENCE = json.loads(
    (Path(__file__).parent / "reference" / "dose_response.json").read_text("utf-8")
)
SETS = ("ratio", "difference")


def columns(key):
    rows = REFERENCE[key]["data"]
    return {name: [row[name] for row in rows] for name in rows[0]}


def fit_reference(key, **options):
    data = columns(key)
    return dose_response(
        data["yi"],
        data["vi"],
        data["dose"],
        data["study"],
        sampling_covariance=REFERENCE[key]["V"],
        **{"ci_method": "wald"} | options,
    )


def three_doses(**more):
    """Four invented trials; the first three share a control between three doses."""
    dose = [28.0, 56.0, 84.0] * 3 + [84.0]
    study = [name for name in "abc" for _ in range(3)] + ["d"]
    v = np.array([3.0, 2.8, 3.1, 2.0, 2.1, 1.9, 4.0, 4.4, 4.2, 1.5])
    covariance = np.diag(v)
    for start, shared in ((0, 1.2), (3, 0.9), (6, 1.8)):
        block = covariance[start : start + 3, start : start + 3]
        block[~np.eye(3, dtype=bool)] = shared
    y = np.array([-1.0, -3.1, -3.6, -2.2, -2.9, -5.2, 0.4, -1.5, -1.0, -3.9])
    return {"y": y, "v": v, "dose": np.array(dose), "study": study, "V": covariance} | more


def fit_doses(data, **options):
    return dose_response(
        data["y"], data["v"], data["dose"], data["study"], sampling_covariance=data["V"], **options
    )


# --- against rma.mv -------------------------------------------------------------------------------


def test_the_reference_is_complete():
    assert [len(REFERENCE[key]["data"]) for key in SETS] == [19, 15]
    fits = ("linear_common", "linear_REML", "spline_common", "spline_REML")
    assert all(fit in REFERENCE[key] for key in SETS for fit in fits)


@pytest.mark.parametrize("method", ["common", "REML"])
@pytest.mark.parametrize("key", SETS)
def test_a_line_equals_rma_mv(key, method):
    expected = REFERENCE[key][f"linear_{method}"]
    fit = fit_reference(key, method=method)
    tolerance = DOSE_RESPONSE_SEARCHED if method == "REML" else DOSE_RESPONSE
    assert (fit.method, fit.ci_method) == (method, "wald")
    assert fit.coefficients.estimate[0] == pytest.approx(expected["beta"], rel=tolerance)
    assert fit.coefficients.covariance[0, 0] == pytest.approx(expected["vcov"][0][0], rel=tolerance)
    assert fit.log_likelihood == pytest.approx(expected["ll"], rel=DOSE_RESPONSE)
    assert fit.test.statistic == pytest.approx(expected["QM"], rel=tolerance)
    assert fit.test.p_value == pytest.approx(expected["QMp"], rel=20 * tolerance)
    assert fit.q == pytest.approx(expected["QE"], rel=DOSE_RESPONSE)
    assert fit.q_p_value == pytest.approx(expected["QEp"], rel=20 * DOSE_RESPONSE)
    if method == "REML":
        assert fit.between[0, 0] == pytest.approx(expected["tau2"], rel=tolerance)


@pytest.mark.parametrize("method", ["common", "REML"])
@pytest.mark.parametrize("key", SETS)
def test_a_spline_equals_rma_mv(key, method):
    expected = REFERENCE[key][f"spline_{method}"]
    fit = fit_reference(key, method=method, transformation="spline")
    tolerance = DOSE_RESPONSE_SEVERAL if method == "REML" else DOSE_RESPONSE
    assert fit.method == method
    assert fit.knots == pytest.approx(REFERENCE[key]["knots"], rel=DIRECT)
    np.testing.assert_allclose(fit.coefficients.estimate, expected["beta"], rtol=tolerance)
    np.testing.assert_allclose(fit.coefficients.covariance, expected["vcov"], rtol=tolerance)
    assert fit.nonlinearity.p_value == pytest.approx(expected["nonlinear"], rel=tolerance)
    assert fit.q == pytest.approx(expected["QE"], rel=DOSE_RESPONSE)
    if method == "REML":
        np.testing.assert_allclose(fit.between, expected["between"], rtol=tolerance)
        # Ours is the larger likelihood where the searches stop apart.
        assert fit.log_likelihood >= expected["ll"] - 1e-9
        assert fit.log_likelihood == pytest.approx(expected["ll"], rel=DOSE_RESPONSE_SEARCHED)
    else:
        grid = fit.predict(REFERENCE[key]["grid"])
        made = np.stack([grid.estimate, grid.se, grid.ci_low, grid.ci_high], axis=1)
        np.testing.assert_allclose(made, expected["predicted"], rtol=DOSE_RESPONSE)


def test_the_covariance_of_shared_controls_is_the_references():
    counts = REFERENCE["ratio"]["counts"]
    data = columns("ratio")
    arms = {name: [row[name] for row in counts] for name in counts[0]}
    built = shared_arm_covariance(
        "RR",
        data["study"],
        [f"{dose:g}" for dose in data["dose"]],
        ["control"] * len(counts),
        **arms,
    )
    np.testing.assert_allclose(built.matrix, REFERENCE["ratio"]["V"], rtol=DENSE, atol=1e-15)


# --- against dense algebra ------------------------------------------------------------------------


@pytest.mark.parametrize("transformation", ["linear", "spline"])
@pytest.mark.parametrize("method", ["common", "REML"])
def test_coefficients_are_generalised_least_squares(transformation, method):
    data = three_doses()
    fit = fit_doses(data, transformation=transformation, method=method)
    X = curve_basis(data["dose"], fit.knots)
    total = data["V"].copy()
    same = np.equal.outer(np.array(data["study"]), np.array(data["study"]))
    total += same * (X @ fit.between @ X.T)
    inverse = np.linalg.inv(total)
    covariance = np.linalg.inv(X.T @ inverse @ X)
    beta = covariance @ X.T @ inverse @ data["y"]
    np.testing.assert_allclose(fit.coefficients.estimate, beta, rtol=DENSE)
    np.testing.assert_allclose(fit.coefficients.covariance, covariance, rtol=DENSE)
    precision = np.linalg.inv(data["V"])
    flat = np.linalg.solve(X.T @ precision @ X, X.T @ precision @ data["y"])
    residual = data["y"] - X @ flat
    assert fit.q == pytest.approx(residual @ precision @ residual, rel=DENSE)
    if fit.method == "REML":
        df = fit.k - X.shape[1]
        half = stats.t.ppf(0.975, df) * np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(fit.coefficients.ci_high - beta, half, rtol=DENSE)


def test_no_other_variance_of_the_slopes_is_likelier():
    data = three_doses()
    fit = fit_doses(data)

    def likelihood(tau2):
        total = data["V"] + tau2 * np.equal.outer(
            np.array(data["study"]), np.array(data["study"])
        ) * np.outer(data["dose"], data["dose"])
        inverse = np.linalg.inv(total)
        x = data["dose"]
        weight = x @ inverse @ x
        residual = data["y"] - x * (x @ inverse @ data["y"] / weight)
        n = len(x)
        return -0.5 * (
            (n - 1) * np.log(2 * np.pi)
            + np.linalg.slogdet(total)[1]
            + np.log(weight / (x @ x))
            + residual @ inverse @ residual
        )

    at = float(fit.between[0, 0])
    assert fit.log_likelihood == pytest.approx(likelihood(at), rel=DENSE)
    tried = [likelihood(tau2) for tau2 in np.concatenate([[0], np.geomspace(1e-9, 1e3, 400)])]
    assert max(tried) <= fit.log_likelihood + 1e-10


def test_one_study_with_one_dose_is_its_own_slope():
    fit = dose_response([-4.2], [1.44], [84], ["a"])
    assert fit.coefficients.estimate[0] == pytest.approx(-4.2 / 84, rel=DIRECT)
    assert fit.coefficients.se[0] == pytest.approx(1.2 / 84, rel=DIRECT)
    assert (fit.method, fit.q_df, fit.q_p_value) == ("common", 0, None)


# --- identities -----------------------------------------------------------------------------------


@given(power=st.floats(-6, 6), other=st.floats(-6, 6))
@settings(max_examples=25, deadline=None)
def test_units_change_the_slope_and_nothing_else(power, other):
    c, d = 10.0**power, 10.0**other
    data = three_doses()
    plain = fit_doses(data)
    moved = fit_doses(
        three_doses(y=c * data["y"], v=c**2 * data["v"], V=c**2 * data["V"], dose=d * data["dose"])
    )
    scale = c / d
    assert moved.coefficients.estimate[0] == pytest.approx(
        scale * plain.coefficients.estimate[0], rel=RESCALED
    )
    assert moved.coefficients.se[0] == pytest.approx(scale * plain.coefficients.se[0], rel=RESCALED)
    assert moved.between[0, 0] == pytest.approx(scale**2 * plain.between[0, 0], rel=1e-8)
    assert moved.test.p_value == pytest.approx(plain.test.p_value, rel=RESCALED)
    assert moved.q == pytest.approx(plain.q, rel=RESCALED)


@pytest.mark.parametrize("c", [1e-3, 1 / 70, 70.0])
def test_a_spline_follows_the_unit_of_the_dose(c):
    data = three_doses()
    plain = fit_doses(data, transformation="spline", method="common")
    moved = fit_doses(three_doses(dose=c * data["dose"]), transformation="spline", method="common")
    assert moved.nonlinearity.p_value == pytest.approx(plain.nonlinearity.p_value, rel=DENSE)
    np.testing.assert_allclose(
        moved.predict(c * np.array([20.0, 60.0])).estimate,
        plain.predict([20.0, 60.0]).estimate,
        rtol=DENSE,
    )


def test_a_line_is_the_spline_without_curvature():
    data = three_doses()
    line = 0.07 * data["dose"]
    fit = fit_doses(three_doses(y=-line), transformation="spline", method="common")
    assert fit.coefficients.estimate[0] == pytest.approx(-0.07, rel=DENSE)
    assert fit.coefficients.estimate[1] == pytest.approx(0, abs=1e-12)
    assert fit.nonlinearity.p_value == pytest.approx(1, abs=1e-6)
    straight = fit_doses(three_doses(y=-line), method="common")
    assert straight.coefficients.estimate[0] == pytest.approx(-0.07, rel=DENSE)
    np.testing.assert_allclose(
        fit.predict([10.0, 84.0]).estimate, straight.predict([10.0, 84.0]).estimate, rtol=DENSE
    )


def test_equal_slopes_have_no_variance_between_studies():
    data = three_doses()
    fit = fit_doses(three_doses(y=-0.05 * data["dose"]))
    assert fit.method == "REML"
    assert fit.between[0, 0] == 0
    assert "boundary_between" in {caveat.code for caveat in fit.caveats}


def test_order_of_rows_does_not_matter():
    data = three_doses()
    order = np.array([9, 3, 0, 8, 1, 5, 2, 7, 4, 6])
    moved = {
        "y": data["y"][order],
        "v": data["v"][order],
        "dose": data["dose"][order],
        "study": [data["study"][i] for i in order],
        "V": data["V"][np.ix_(order, order)],
    }
    plain, shuffled = fit_doses(data), fit_doses(moved)
    assert shuffled.coefficients.estimate[0] == pytest.approx(
        plain.coefficients.estimate[0], rel=RESCALED
    )
    assert shuffled.coefficients.se[0] == pytest.approx(plain.coefficients.se[0], rel=RESCALED)


def test_active_doses_against_each_other():
    fit = dose_response([-1.0, -1.4], [0.5, 0.4], [84, 56], ["a", "b"], dose_control=[56, 28])
    w = np.array([1 / 0.5, 1 / 0.4])
    assert fit.coefficients.estimate[0] == pytest.approx(
        float(w @ [-1.0, -1.4] / w.sum() / 28), rel=DIRECT
    )


# --- the curve ------------------------------------------------------------------------------------


def test_the_spline_is_smooth_and_straight_at_both_ends():
    knots = (10.0, 50.0, 90.0)
    x = np.linspace(-20, 140, 1601)
    bend = curve_basis(x, knots)[:, 1]
    assert np.all(bend[x <= 10] == 0)
    step = x[1] - x[0]
    second = np.diff(bend, 2) / step**2
    assert np.abs(second[x[1:-1] > 90 + step]).max() < 1e-6
    assert np.abs(np.diff(second)).max() < 1e-2
    assert bend[x > 10].min() > 0


def test_knots_are_quantiles_of_the_doses_of_all_arms():
    doses = [0, 28, 56, 84, 0, 56, 84, 0, 84]
    assert knots_at(doses) == tuple(np.quantile(doses, [0.1, 0.5, 0.9]))
    with pytest.raises(NotEstimableError, match="coincide"):
        knots_at([0, 84, 84, 84])
    with pytest.raises(UsageError, match="rising shares"):
        knots_at(doses, (0.5, 0.1))


def test_predictions_start_at_no_effect():
    fit = fit_doses(three_doses())
    at = fit.predict([0.0, 84.0])
    assert (at.estimate[0], at.se[0]) == (0, 0)
    assert at.estimate[1] == pytest.approx(84 * fit.coefficients.estimate[0], rel=DIRECT)
    other = fit.predict([84.0], reference=56.0)
    assert other.estimate[0] == pytest.approx(28 * fit.coefficients.estimate[0], rel=DIRECT)


# --- few studies, and what is refused -------------------------------------------------------------


def test_two_studies_get_one_curve_and_a_caveat():
    data = three_doses()
    first = slice(0, 6)
    fit = dose_response(
        data["y"][first],
        data["v"][first],
        data["dose"][first],
        data["study"][first],
        sampling_covariance=data["V"][first, first],
    )
    assert fit.method == "common" and fit.ci_method == "wald"
    assert fit.coefficients.df is None
    assert "common_curve" in {caveat.code for caveat in fit.caveats}


def test_single_doses_are_said():
    codes = {caveat.code for caveat in fit_doses(three_doses()).caveats}
    assert "single_dose" in codes


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"estimates": [np.nan]}, ImpossibleDataError, "estimates"),
        ({"variances": [0.0]}, ImpossibleDataError, "variances"),
        ({"dose": [-1.0]}, ImpossibleDataError, "dose is 0 or more"),
        ({"dose": [0.0]}, ImpossibleDataError, "with itself"),
        ({"dose": [1.0, 2.0]}, UsageError, "dose"),
        ({"transformation": "cubic"}, UsageError, "transformation"),
        ({"method": "DL"}, UsageError, "method"),
        ({"level": 95}, UsageError, "level"),
        ({"transformation": "spline", "knots": [1, 2]}, UsageError, "knots"),
        ({"transformation": "spline", "knots": [0, 1, 2]}, NotEstimableError, "coefficients"),
    ],
)
def test_what_is_refused(change, error, words):
    data = {"estimates": [-1.0], "variances": [1.0], "dose": [2.0], "study": ["a"]} | change
    with pytest.raises(error, match=words):
        dose_response(**data)


def test_correlated_contrasts_need_their_covariance():
    with pytest.raises(UsageError, match="share a control"):
        dose_response([-1, -2], [1, 1], [28, 56], ["a", "a"])


def test_one_dose_level_cannot_bend():
    with pytest.raises(NotEstimableError, match="apart"):
        dose_response(
            [-1, -2, -3], [1, 1, 1], [84, 84, 84], ["a", "b", "c"],
            transformation="spline", knots=[0, 28, 56],
        )  # fmt: skip


def test_the_result_prints_and_serialises():
    fit = fit_doses(three_doses(), transformation="spline")
    assert repr(fit).startswith(
        "<Dose-response, restricted cubic spline: 10 contrasts of 4 studies"
    )
    assert "not a line" in repr(fit)
    json.loads(fit.to_json())
    assert fit == fit_doses(three_doses(), transformation="spline")


def test_a_fit_draws_its_trials_and_its_curve():
    fit = km.dose_response([-0.5, -0.9], [0.04, 0.04], [10, 20], ["a", "b"], measure="SMD")
    axes = fit.plot(title="One line")
    (curve,) = [line for line in axes.get_lines() if line.get_gid() == "curve"]
    doses, effects = np.array(curve.get_data(), dtype=float)
    assert doses[[0, -1]].tolist() == [0, 20]
    assert effects == pytest.approx(fit.predict(doses).estimate, rel=1e-12)
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["a", "b"]
    controls = km.dose_response(
        [-0.5, -0.9], [0.04, 0.04], [10, 20], ["a", "b"], dose_control=[0, 1]
    )
    with pytest.raises(UsageError, match="several doses \\(0, 1\\)"):
        controls.plot()
    with pytest.raises(UsageError, match="a fit of dose_response"):
        km.plots.dose_response(3)


@pytest.mark.parametrize("shape", ["linear", "spline"])
def test_a_frame_has_the_coefficients(shape: str):
    y, doses = [-0.5, -0.9, -0.4, -0.6], [10, 20, 15, 30]
    fit = km.dose_response(y, [0.04] * 4, doses, list("abcd"), transformation=shape)
    found, own = fit.to_frame(), fit.coefficients
    assert tuple(found["term"]) == own.names
    for name in ("estimate", "se", "ci_low", "ci_high"):
        assert found[name].tolist() == getattr(own, name).tolist()


def test_predicted_ratios_are_printed_as_ratios():
    y, doses = [-0.5, -0.9, -0.4, -0.6], [10, 20, 15, 20]
    fit = km.dose_response(y, [0.04] * 4, doses, list("abcd"), measure="OR")
    at = fit.predict([10.0, 20.0])
    assert f"dose 20     {np.exp(at.estimate[1]):.2f}  95% CI " in repr(at)
    assert f"(log scale {at.estimate[1]:.2f})".replace("-", "−") in repr(at)
    assert list(at.to_frame()) == ["dose", "estimate", "se", "ci_low", "ci_high"]
