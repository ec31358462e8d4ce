"""The step-function selection model: global maxima, derivatives, and what it promises."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm

from ketameta import common_effect, meta_regression, random_effects, selection_model
from ketameta.errors import NotEstimableError, UsageError
from ketameta.models.small_study import derivatives, interval_chances, selection_data
from metafor_values import DATASETS, data
from tolerances import RESCALED, SELECTION_PARAMETER, SELECTION_VALUE

REFERENCE = Path(__file__).parent / "reference"
GLOBAL = json.loads((REFERENCE / "selection.json").read_text("utf-8"))["datasets"]
MAGNESIUM = json.loads((REFERENCE / "selection_magnesium.json").read_text("utf-8"))
STEPS = {"stepfun_0.025": (0.025,), "stepfun_0.025_0.5": (0.025, 0.5)}
#: Without a significant study the weights run to their bound.
AT_BOUND = {"hine1989_RD", "yusuf1985_table6_OR", "eight_schools"}
#: metafor's climb ends at a lower maximum.
LOCAL = {("li2007_OR", "stepfun_0.025")}


def in_se(ours, theirs, se):
    return abs(ours - theirs) / se


# --- reference values -----------------------------------------------------------------------------


@pytest.mark.parametrize("key", GLOBAL)
def test_three_parameter_model_reaches_the_global_maximum(key):
    stored = GLOBAL[key]["stepfun_0.025"]
    fit = random_effects(*data(key))
    ours = selection_model(fit)
    assert ours.log_likelihood == pytest.approx(stored["ll"], abs=SELECTION_VALUE)
    assert in_se(ours.estimate, stored["beta"], ours.se) < SELECTION_PARAMETER
    typical = ours.tau2 + np.median(fit.variances)
    assert abs(ours.tau2 - stored["tau2"]) < SELECTION_PARAMETER * typical
    assert ours.selection_weights == pytest.approx(stored["delta"], rel=SELECTION_PARAMETER)
    assert ours.alternative == stored["alternative"]
    unadjusted = stored["ll_ML_no_selection"]
    assert ours.log_likelihood_unadjusted == pytest.approx(unadjusted, abs=SELECTION_VALUE)
    assert ours.lrt == pytest.approx(stored["LRT"], abs=2 * SELECTION_VALUE)
    assert ("weight_at_bound" in [c.code for c in ours.caveats]) == stored["delta_at_bound_100"]


def blocks():
    for key, entry in DATASETS.items():
        for name, stored in entry["outputs"].get("selmodel_ML", {}).items():
            if name in STEPS:
                yield key, name, stored


@pytest.mark.parametrize(("key", "name", "stored"), list(blocks()))
def test_never_below_metafor_and_equal_where_it_converged(key, name, stored):
    fit = random_effects(*data(key))
    if "error" in stored and "intervals" in stored["error"]:
        with pytest.raises(NotEstimableError, match="no study has a one-sided p-value in"):
            selection_model(fit, STEPS[name])
        return
    ours = selection_model(fit, STEPS[name])
    if "error" in stored:  # metafor did not converge
        assert np.isfinite(ours.log_likelihood)
        return
    above = ours.log_likelihood - stored["ll"]
    assert above > -SELECTION_VALUE
    assert above < 3e-3 or (key, name) in LOCAL
    assert ours.alternative == stored["alternative"]
    if above < 1e-8:  # metafor's search stops at about this
        assert in_se(ours.estimate, stored["beta"], stored["se"]) < SELECTION_PARAMETER
        assert ours.se == pytest.approx(stored["se"], rel=SELECTION_PARAMETER)
        pairs = zip(ours.selection_weight_se[1:], stored["se.delta"][1:])
        for mine, theirs in pairs:
            assert mine == pytest.approx(theirs, rel=SELECTION_PARAMETER)
        assert ours.lrt_p_value == pytest.approx(stored["LRTp"], rel=SELECTION_PARAMETER)


def test_the_comparison_is_complete():
    assert len(GLOBAL) == 19
    assert len(list(blocks())) == 40
    bounded = {key for key in GLOBAL if GLOBAL[key]["stepfun_0.025"]["delta_at_bound_100"]}
    assert bounded == AT_BOUND


def test_magnesium_finds_the_maximum_that_one_climb_misses():
    y, v = (np.array(MAGNESIUM["inputs"][name]) for name in ("yi", "vi"))
    ours = selection_model(random_effects(y, v, measure="OR"))
    local, better = MAGNESIUM["default_start"], MAGNESIUM["better_start"]
    assert ours.log_likelihood > local["ll"] + 1.5
    # metafor's own likelihood, started near our answer, climbs to it.
    assert ours.log_likelihood == pytest.approx(better["ll"], abs=1e-3)
    assert ours.estimate == pytest.approx(better["beta"], abs=1e-4)
    assert ours.selection_weights[1] == pytest.approx(better["delta"][1], rel=1e-3)
    assert ours.tau2 == 0
    assert ours.maxima == 2
    assert ours.gap == pytest.approx(ours.log_likelihood - local["ll"], abs=1e-6)
    assert ours.next_estimate == pytest.approx(local["beta"], abs=1e-4)
    [caveat] = [c for c in ours.caveats if c.code == "several_maxima"]
    assert "1.5 above the next" in caveat.message


# --- the likelihood -------------------------------------------------------------------------------


Y = np.array([0.41, 0.62, 0.25, 0.05, 0.9, -0.2, 0.33, 0.7])
V = np.array([0.02, 0.05, 0.01, 0.03, 0.2, 0.06, 0.04, 0.08])
POINT = np.array([0.1, 0.2, -0.5, -1.0])[:, None]


def written_out(mean, tau2, weights, steps):
    """Vevea and Hedges (1995): each density times its weight, over the chance of being seen."""
    total = 0.0
    for y, v in zip(Y, V):
        edges = [np.inf, *(norm.isf(step) * np.sqrt(v) for step in steps), -np.inf]
        spread = np.sqrt(v + tau2)
        chance = sum(
            w * (norm.cdf(high, mean, spread) - norm.cdf(low, mean, spread))
            for w, high, low in zip(weights, edges, edges[1:])
        )
        weight = weights[int(np.sum(norm.sf(y / np.sqrt(v)) > np.array(steps)))]
        total += np.log(weight) + norm.logpdf(y, mean, spread) - np.log(chance)
    return total


@pytest.mark.parametrize("steps", [(0.025,), (0.025, 0.3)])
def test_likelihood_equals_the_one_written_out(steps):
    seen = selection_data(Y, V, np.array(steps))
    point = POINT[: 2 + len(steps)]
    weights = [1.0, *np.exp(point[2:, 0])]
    expected = written_out(0.1, 0.2, weights, steps)
    assert derivatives(seen, point).value[0] == pytest.approx(expected, rel=1e-12)


def test_derivatives_equal_finite_differences():
    seen = selection_data(Y, V, np.array([0.025, 0.3]))
    at, h = derivatives(seen, POINT), 1e-5
    for j, direction in enumerate(np.eye(4)[:, :, None]):
        up, down = POINT + h * direction, POINT - h * direction
        slope = (derivatives(seen, up).value - derivatives(seen, down).value) / (2 * h)
        assert at.gradient[j] == pytest.approx(slope, abs=1e-7)
        bend = derivatives(seen, up).gradient - derivatives(seen, down).gradient
        assert at.hessian[:, j] == pytest.approx(bend / (2 * h), abs=1e-5)


def test_interval_probabilities_keep_their_digits_in_the_tails():
    cuts = np.array([[11.0, 10.0, -1.0, -10.0, -11.0], [3.0, 2.0, -5.0, -20.0, -30.0]]).T
    found = interval_chances(cuts)
    edges = np.vstack([np.full(2, np.inf), cuts, np.full(2, -np.inf)])
    sums = norm.sf(edges[1:]) - norm.sf(edges[:-1])
    mirrored = norm.cdf(edges[:-1]) - norm.cdf(edges[1:])
    assert found == pytest.approx(np.where(edges[1:] > 0, sums, mirrored), rel=1e-12, abs=0)
    assert found[1, 0] == pytest.approx(found[4, 0], rel=1e-14)
    assert found.sum(0) == pytest.approx(1.0, rel=1e-14)


def test_no_random_start_climbs_higher():
    rng = np.random.default_rng(8)
    for _ in range(4):
        k = int(rng.integers(5, 12))
        v = np.exp(rng.normal(-3, 1.2, k))
        y = rng.normal(0.3, np.sqrt(v + 0.05))
        seen = selection_data(y, v, np.array([0.025]))
        if seen.counts.min() == 0:
            continue
        ours = selection_model(random_effects(y, v), alternative="greater")

        def falls(x, seen=seen):
            at = derivatives(seen, x[:, None])
            return -at.value[0], -at.gradient[:, 0]

        limits = [(None, None), (0, None), (np.log(1e-5), np.log(100))]
        for _ in range(5):
            start = [rng.normal(0, 1), rng.exponential(0.2), rng.normal(0, 2)]
            found = minimize(falls, start, jac=True, method="L-BFGS-B", bounds=limits)
            assert -found.fun <= ours.log_likelihood + 1e-8


# --- what it promises -----------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(st.integers(-6, 6), st.sampled_from([1.0, -1.0]))
def test_a_change_of_unit_changes_only_the_unit(power, sign):
    c = sign * 10.0**power
    one, other = (
        selection_model(random_effects(Y, V)),
        selection_model(random_effects(c * Y, c * c * V)),
    )
    assert other.estimate / c == pytest.approx(one.estimate, rel=1e3 * RESCALED)
    assert other.se / abs(c) == pytest.approx(one.se, rel=1e3 * RESCALED)
    assert other.selection_weights == pytest.approx(one.selection_weights, rel=1e3 * RESCALED)
    assert other.lrt == pytest.approx(one.lrt, abs=1e3 * RESCALED)
    assert other.maxima == one.maxima


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-1, 1.5), min_size=5, max_size=9))
def test_selection_never_fits_worse_than_none(values):
    y = np.round(np.array(values), 2)
    v = 0.02 * (1 + np.arange(len(y)))
    fit = random_effects(y, v)
    p = norm.sf(y / np.sqrt(v))
    if not (p > 0.025).any():
        with pytest.raises(NotEstimableError):
            selection_model(fit, alternative="greater")
        return
    ours = selection_model(fit, alternative="greater")
    assert ours.log_likelihood >= ours.log_likelihood_unadjusted - 1e-9
    assert ours.lrt_p_value <= 1
    assert sum(ours.interval_counts) == len(y)


def test_a_simulated_selection_is_recovered():
    rng = np.random.default_rng(4)
    v = rng.uniform(0.01, 0.1, 3_000)
    y = rng.normal(0.15, np.sqrt(v + 0.02))
    shown = (norm.sf(y / np.sqrt(v)) <= 0.025) | (rng.random(3_000) < 0.2)
    fit = random_effects(y[shown][:300], v[shown][:300])
    ours = selection_model(fit)
    assert in_se(ours.estimate, 0.15, ours.se) < 4
    assert in_se(ours.selection_weights[1], 0.2, ours.selection_weight_se[1]) < 4
    assert in_se(fit.estimate, 0.15, fit.se) > 4  # what the selection does to the plain mean
    assert ours.lrt_p_value < 1e-6


def test_common_effect_keeps_tau2_at_zero():
    ours = selection_model(common_effect(Y, V))
    assert ours.tau2 is None
    seen = selection_data(Y, V, np.array([0.025]))
    point = np.array([[ours.estimate], [0.0], [np.log(ours.selection_weights[1])]])
    at = derivatives(seen, point)
    assert at.gradient[[0, 2], 0] == pytest.approx(0, abs=1e-10)
    assert ours.log_likelihood == pytest.approx(at.value[0], rel=1e-12)


def test_several_steps_and_the_table_of_intervals():
    fit = random_effects(*data("hackshaw1998_OR"), measure="OR")
    ours = selection_model(fit, [0.5, 0.025, 0.5])
    assert ours.steps == (0.025, 0.5)
    assert ours.lrt_df == 2
    frame = ours.tidy()
    assert frame["p_high"].tolist() == [0.025, 0.5, 1.0]
    assert frame["studies"].sum() == 37
    assert "p 0.025 to 0.5  " in ours.summary()
    assert json.loads(ours.to_json())["selection_weight_se"][0] is None


def test_caveats_say_what_the_weights_rest_on():
    codes = [c.code for c in selection_model(random_effects(Y, V)).caveats]
    assert codes == ["too_few_for_small_study", "few_in_interval"]
    none = selection_model(random_effects(*data("eight_schools")))
    assert [c.code for c in none.caveats] == [
        "too_few_for_small_study",
        "weight_at_bound",
        "no_significant_study",
    ]
    few = selection_model(random_effects(*data("gibson2002_SMD")))
    assert [c.code for c in few.caveats] == ["few_in_interval"]
    assert selection_model(random_effects(*data("bcg_RR"))).caveats == ()


def test_what_cannot_be_fitted_is_refused():
    fit = random_effects(Y, V)
    with pytest.raises(NotEstimableError, match="with 3 parameters needs at least 3 studies"):
        selection_model(random_effects(Y[:2], V[:2]))
    with pytest.raises(NotEstimableError, match=r"one-sided p-value in 0\.999 to 1, so that"):
        selection_model(fit, (0.025, 0.999))
    for steps in (0, 1.2, [], "high", [[0.1], [0.2]][:0]):
        with pytest.raises(UsageError, match="steps"):
            selection_model(fit, steps)
    with pytest.raises(UsageError, match="alternative is 'both'"):
        selection_model(fit, alternative="both")
    with pytest.raises(UsageError, match="meta-regression"):
        selection_model(meta_regression(Y, V, np.arange(8)))
