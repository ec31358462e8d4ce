"""Shared-arm covariances against published tables, vcalc, simulation and matrix algebra."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dependence_values import STORED
from ketameta import (
    log_odds_ratio,
    log_ratio_of_means,
    log_risk_ratio,
    mean_difference,
    multilevel,
    risk_difference,
    shared_arm_covariance,
    standardized_mean_difference,
)
from ketameta.errors import ImpossibleDataError, KetametaError, UsageError
from ketameta.models.dependent import SHARED_ARM_MEASURES
from tolerances import DIRECT, SHARED_ARM_SIMULATED

CHAPTER = STORED["gleser_olkin_2009"]
BINARY = {
    name: [row[name] for row in CHAPTER["binary"]["data"]]
    for name in ("study", "trt", "events_control", "n_control", "events_treatment", "n_treatment")
}


def generalised_least_squares(y, V, groups):
    X = (np.asarray(groups)[:, None] == np.unique(groups)).astype(float)
    W = np.linalg.inv(V)
    covariance = np.linalg.inv(X.T @ W @ X)
    beta = covariance @ X.T @ W @ y
    r = y - X @ beta
    return beta, covariance, r @ W @ r


# Gleser and Olkin (2009), pages 360 to 363: common effects and Q
PUBLISHED = {
    "RD": ([0.0200, 0.0043, 0.0211], 7.1907),
    "OR": ([0.5099, 0.0044, 0.4301], 2.0563),
    "RR": ([0.4875, 0.0006, 0.4047], 1.8954),
}


@pytest.mark.parametrize("measure", PUBLISHED)
def test_binary_examples_of_gleser_and_olkin(measure):
    stored = CHAPTER["binary"][measure]
    found = shared_arm_covariance(
        measure,
        BINARY["study"],
        BINARY["trt"],
        ["control"] * 6,
        n_treatment=BINARY["n_treatment"],
        n_control=BINARY["n_control"],
        events_treatment=BINARY["events_treatment"],
        events_control=BINARY["events_control"],
    )
    np.testing.assert_allclose(found.matrix, stored["V"], rtol=DIRECT, atol=1e-18)
    # The chapter takes control minus treatment; a sign for all leaves the covariance alone.
    beta, covariance, q = generalised_least_squares(stored["yi"], found.matrix, BINARY["trt"])
    np.testing.assert_allclose(np.round(beta, 4), PUBLISHED[measure][0], atol=1e-10)
    assert round(q, 4) == PUBLISHED[measure][1]
    np.testing.assert_allclose(beta, stored["beta"], rtol=1e-9)
    np.testing.assert_allclose(covariance, stored["vcov"], rtol=1e-9)
    assert q == pytest.approx(stored["QE"], rel=1e-9)
    assert found.shared == 4


def test_standardised_example_of_gleser_and_olkin():
    stored = CHAPTER["smd"]
    rows = {name: [row[name] for row in stored["data"]] for name in stored["data"][0]}
    found = shared_arm_covariance(
        "SMD",
        rows["study"],
        rows["trt"],
        ["control"] * 6,
        n_treatment=rows["n_treatment"],
        n_control=rows["n_control"],
        estimates=rows["yi"],
        pooled_sd="trial",
    )
    np.testing.assert_allclose(found.matrix, stored["V"], rtol=DIRECT, atol=1e-18)
    beta, covariance, q = generalised_least_squares(rows["yi"], found.matrix, rows["trt"])
    np.testing.assert_allclose(np.round(beta, 4), [2.3743, 1.5702])  # page 367
    np.testing.assert_allclose(np.round(covariance, 5), [[0.02257, 0.01244], [0.01244, 0.03554]])
    assert round(q, 4) == 3.9447


def test_mean_differences_with_one_sd_equal_vcalc():
    rows = {
        name: [row[name] for row in STORED["vcalc_md"]["data"]]
        for name in STORED["vcalc_md"]["data"][0]
    }
    found = shared_arm_covariance(
        "MD",
        rows["study"],
        rows["treatment"],
        rows["control"],
        n_treatment=rows["n_treatment"],
        n_control=rows["n_control"],
        sd_treatment=[2.0] * 6,
        sd_control=[2.0] * 6,
    )
    np.testing.assert_allclose(found.matrix, STORED["vcalc_md"]["V"], rtol=DIRECT, atol=1e-15)
    assert found.matrix[3, 4] < 0  # p is a control in one comparison and a treatment in the other


ARMS = {"n": np.array([20, 25, 31]), "mean": np.array([11.0, 9.0, 14.0])}
ARMS |= {"sd": np.array([3.0, 2.5, 4.0]), "events": np.array([6, 11, 8])}


def columns(pairs):
    """The columns of comparisons between the three arms above."""
    first, second = np.array(pairs).T
    found = {}
    for name, values in ARMS.items():
        found[f"{name}_treatment"], found[f"{name}_control"] = values[first], values[second]
    return found


def needed(measure, data):
    wanted = {"n": SHARED_ARM_MEASURES, "sd": ("MD", "ROM"), "mean": ("ROM",)}
    wanted["events"] = ("OR", "RR", "RD")
    return {name: values for name, values in data.items() if measure in wanted[name.split("_")[0]]}


@pytest.mark.parametrize("measure", SHARED_ARM_MEASURES)
def test_variances_equal_those_of_the_effect_sizes(measure):
    data = columns([(0, 2), (1, 2)])
    means = [
        data[f"{part}_{arm}"] for arm in ("treatment", "control") for part in ("mean", "sd", "n")
    ]
    events = [data[f"{part}_{arm}"] for arm in ("treatment", "control") for part in ("events", "n")]
    effect = {
        "SMD": standardized_mean_difference,
        "MD": mean_difference,
        "ROM": log_ratio_of_means,
        "OR": log_odds_ratio,
        "RR": log_risk_ratio,
        "RD": risk_difference,
    }[measure](*(events if measure in ("OR", "RR", "RD") else means))
    found = shared_arm_covariance(
        measure,
        ["a", "a"],
        ["x", "y"],
        ["p", "p"],
        estimates=effect.estimate,
        **needed(measure, data),
    )
    np.testing.assert_allclose(np.diag(found.matrix), effect.variance, rtol=1e-12)
    assert 0.2 < found.correlation[0, 1] < 0.8


@pytest.mark.parametrize("measure", ["SMD", "MD", "RD"])
def test_simulated_trials_have_that_covariance(measure):
    rng = np.random.default_rng(20)
    n, draws = np.array([60, 80, 70]), 40_000
    if measure == "RD":
        shares = rng.binomial(n, [0.3, 0.5, 0.2], size=(draws, 3)) / n
        effects = shares[:, :2] - shares[:, 2:]
        data = {"events_treatment": n[:2] * [0.3, 0.5], "events_control": [14, 14]}
    else:
        means = rng.normal([2.0, 1.2, 0.0], 1 / np.sqrt(n), size=(draws, 3))
        squares = rng.chisquare(n - 1, size=(draws, 3))
        effects = means[:, :2] - means[:, 2:]
        data = {"sd_treatment": [1, 1], "sd_control": [1, 1]}
        if measure == "SMD":
            pooled = np.sqrt((squares[:, :2] + squares[:, 2:]) / (n[:2] + n[2] - 2))
            effects, data = effects / pooled, {"estimates": [2.0, 1.2]}
    found = shared_arm_covariance(
        measure, ["a", "a"], ["x", "y"], ["p", "p"], n_treatment=n[:2], n_control=[70, 70], **data
    )
    np.testing.assert_allclose(np.cov(effects.T), found.matrix, rtol=SHARED_ARM_SIMULATED)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SHARED_ARM_MEASURES), st.lists(st.integers(2, 60), min_size=8, max_size=8))
def test_two_comparisons_of_three_arms_are_always_positive_definite(measure, numbers):
    n = np.array(numbers[:3])
    events = np.minimum(np.array(numbers[3:6]) - 1, n)
    if measure == "RD":
        events = np.clip(events, 1, n - 1)
    found = shared_arm_covariance(
        measure,
        ["a", "a"],
        ["x", "y"],
        ["p", "p"],
        n_treatment=n[:2],
        n_control=[n[2]] * 2,
        estimates=np.array(numbers[6:]) / 20 - 1,
        mean_treatment=[3.0, 4.0],
        mean_control=[2.0, 2.0],
        sd_treatment=np.array(numbers[:2]) / 10,
        sd_control=[0.5, 0.5],
        events_treatment=events[:2],
        events_control=[events[2]] * 2,
    )
    assert np.linalg.eigvalsh(found.correlation)[0] > 0


def test_swapping_the_arms_of_one_comparison_flips_its_covariances():
    one = shared_arm_covariance(
        "SMD",
        ["a"] * 2,
        ["x", "y"],
        ["p", "p"],
        n_treatment=[20, 25],
        n_control=[31, 31],
        estimates=[0.5, -0.3],
    )
    two = shared_arm_covariance(
        "SMD",
        ["a"] * 2,
        ["x", "p"],
        ["p", "y"],
        n_treatment=[20, 31],
        n_control=[31, 25],
        estimates=[0.5, 0.3],
    )
    np.testing.assert_allclose(two.matrix, one.matrix * [[1, -1], [-1, 1]], rtol=1e-12)


def test_given_variances_keep_the_correlations():
    options = {"n_treatment": [20, 25], "n_control": [31, 31], "estimates": [0.5, -0.3]}
    one = shared_arm_covariance("SMD", ["a"] * 2, ["x", "y"], ["p", "p"], **options)
    two = shared_arm_covariance(
        "SMD", ["a"] * 2, ["x", "y"], ["p", "p"], variances=[0.2, 0.05], **options
    )
    np.testing.assert_array_equal(np.diag(two.matrix), [0.2, 0.05])
    np.testing.assert_allclose(two.correlation, one.correlation, rtol=1e-12)


def test_the_result_goes_into_a_multilevel_model():
    y, v = [0.3, 0.5, -0.1, 0.4], [0.1, 0.08, 0.09, 0.12]
    study = ["a", "a", "b", "c"]
    covariance = shared_arm_covariance(
        "MD",
        study,
        ["x", "y", "x", "x"],
        ["p"] * 4,
        n_treatment=[20] * 4,
        n_control=[20] * 4,
        sd_treatment=[1.0] * 4,
        sd_control=[1.0] * 4,
        variances=v,
    )
    fit = multilevel(y, v, study, sampling_covariance=covariance, variance_intervals=False)
    by_hand = np.diag(v)
    by_hand[0, 1] = by_hand[1, 0] = 0.5 * np.sqrt(v[0] * v[1])
    other = multilevel(y, v, study, sampling_covariance=by_hand, variance_intervals=False)
    assert fit.estimate == pytest.approx(other.estimate, rel=1e-10)


def test_all_three_differences_of_three_arms_are_refused_by_the_model():
    covariance = shared_arm_covariance(
        "MD",
        ["a"] * 3 + ["b"],
        ["x", "y", "x", "x"],
        ["p", "p", "y", "p"],
        n_treatment=[20] * 4,
        n_control=[20] * 4,
        sd_treatment=[1.0] * 4,
        sd_control=[1.0] * 4,
    )
    v = np.diag(covariance.matrix)
    with pytest.raises(KetametaError, match="study 'a' carry the same information"):
        multilevel([0.3, 0.1, 0.2, 0.4], v, ["a"] * 3 + ["b"], sampling_covariance=covariance)


def test_the_result_prints_tidies_and_serialises():
    data = columns([(0, 2), (1, 2)])
    found = shared_arm_covariance("OR", ["a", "a"], ["x", "y"], ["p", "p"], **needed("OR", data))
    assert repr(found) == (
        "<Sampling covariance, OR: 2 comparisons in 1 study;"
        f" 1 pair with an arm in common, correlation {found.correlation[0, 1]:.2f}>"
    )
    assert list(found.tidy()["first"]) == ["x - p"]
    assert json.loads(found.to_json())["shared"] == 1
    alone = shared_arm_covariance("OR", ["a", "b"], ["x", "y"], ["p", "p"], **needed("OR", data))
    assert alone.shared == 0 and "no arm is shared" in repr(alone) and alone.tidy().empty


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"measure": "HR"}, UsageError, "measure is 'HR'"),
        ({"events_control": None}, UsageError, "events_control is missing; RD needs"),
        ({"events_control": [8]}, UsageError, "events_control has 1 values where 2"),
        ({"n_control": [40, 0]}, ImpossibleDataError, r"n_control\[1\] is 0"),
        ({"n_control": [40, 50]}, ImpossibleDataError, "has n 40 in row 0 and 50 in row 1"),
        ({"events_treatment": [10, 90]}, ImpossibleDataError, r"events_treatment\[1\] is 90 of 50"),
        ({"treatment": ["x", "p"]}, ImpossibleDataError, "row 1 compares arm 'p'"),
        (
            {"treatment": ["x", "x"], "events_treatment": [9, 9]},
            ImpossibleDataError,
            "rows 0 and 1",
        ),
        ({"control": ["p", None]}, ImpossibleDataError, r"control\[1\] is None"),
        ({"pooled_sd": "arm"}, UsageError, "pooled_sd is 'arm'"),
        ({"variances": [0.1, -1]}, ImpossibleDataError, r"variances\[1\] is -1"),
        (
            {"events_treatment": [0, 9], "events_control": [0, 0]},
            ImpossibleDataError,
            "row 0: a risk difference between arms without variation",
        ),
        (
            {"measure": "OR", "events_treatment": [0, 9], "continuity": 0.0},
            ImpossibleDataError,
            "row 0 has a zero cell",
        ),
    ],
)
def test_unusable_input_is_named(change, error, message):
    arguments = {
        "measure": "RD",
        "study": ["a", "a"],
        "treatment": ["x", "y"],
        "control": ["p", "p"],
        "n_treatment": [50, 50],
        "n_control": [40, 40],
        "events_treatment": [10, 20],
        "events_control": [8, 8],
    } | change
    with pytest.raises(error, match=message):
        shared_arm_covariance(**arguments)
