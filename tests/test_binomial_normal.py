"""Binomial-normal models against metafor's rma.glmm, brute force and algebra."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats
from scipy.stats.contingency import odds_ratio

from ketameta import binomial_normal
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models import event_tables
from ketameta.models.rare_events import (
    COARSE,
    MODELS,
    ConditionalLikelihood,
    UnconditionalLikelihood,
)
from tolerances import BRUTE_LIKELIHOOD, BRUTE_TERMS, GLMM, LIKELIHOOD_RATIO

REFERENCE = json.loads(
    (Path(__file__).parent / "reference" / "rare_events.json").read_text(encoding="utf-8")
)
SETS = REFERENCE["sets"]
#: Fits of rma.glmm that are missing: too slow (li2007), or its optimiser gave up at tau2 = 0.
MISSING = {
    ("dat.li2007", "conditional"),
    ("dat.yusuf1985 table 6", "conditional"),
    ("two small trials", "conditional"),
}
#: Standard errors of rma.glmm that are not used: it stops at tau2 of 7e-5 and 1.5e-4 instead of 0
#: and its Hessian is singular there (it prints 6e-7), and at tau2 = 13 its numerical
#: Hessian is 1.7% off the one computed by brute force below.
OTHER_SE = {
    ("dat.hine1989", "conditional"),
    ("dat.hahn2001", "conditional"),
    ("zeros of every kind", "conditional"),
}
GRID = [(name, model) for name in SETS for model in MODELS]
FITTED = {}


def counts(name):
    inputs = SETS[name]["inputs"]
    return [np.array(inputs[column]) for column in ("ai", "n1i", "ci", "n2i")]


def fitted(name, model):
    if (name, model) not in FITTED:
        FITTED[name, model] = binomial_normal(*counts(name), model=model)
    return FITTED[name, model]


def test_reference_grid_is_complete():
    missing = {key for key in GRID if SETS[key[0]][f"glmm_{key[1]}"] is None}
    assert missing == MISSING
    assert len(GRID) == 20


@pytest.mark.parametrize(("name", "model"), [key for key in GRID if key not in MISSING])
def test_estimates_equal_metafor(name, model):
    ours, theirs = fitted(name, model), SETS[name][f"glmm_{model}"]
    assert ours.estimate == pytest.approx(theirs["estimate"], rel=GLMM)
    assert ours.tau2 == pytest.approx(theirs["tau2"], rel=GLMM, abs=2e-4)
    if (name, model) not in OTHER_SE:
        assert ours.se == pytest.approx(theirs["se"], rel=GLMM)
    assert ours.q == pytest.approx(theirs["q_lrt"], rel=LIKELIHOOD_RATIO)
    assert ours.q_df == theirs["q_df"]
    # lme4's log-likelihood with several quadrature nodes leaves out constants, so only fits
    # without variance between trials, and conditional fits, can be compared.
    if model == "conditional" or ours.tau2 == 0:
        assert ours.log_likelihood >= theirs["log_likelihood"] - 1e-7
        assert ours.log_likelihood == pytest.approx(theirs["log_likelihood"], rel=GLMM)


@pytest.mark.parametrize(("name", "model"), GRID)
def test_the_likelihood_has_one_maximum(name, model):
    ours = fitted(name, model)
    assert (ours.optima, ours.optimum_gap) == (1, None)


def test_stijnen_2010_published_value():
    # Stijnen et al. (2010): log odds ratio -1.35 and between-trial variance 0.69 by the exact
    # conditional model for catheter infections.
    ours = fitted("dat.nielweise2007", "conditional")
    assert round(ours.estimate, 2) == -1.35
    assert round(ours.tau2, 2) == 0.69


# --- brute force ----------------------------------------------------------------------------------

Z = np.linspace(-9, 9, 4001)
PHI = stats.norm.pdf(Z) * (Z[1] - Z[0])


def conditional_by_force(name, theta, tau):
    total = 0.0
    for a, n1, c, n2 in zip(*counts(name)):
        events = a + c
        if 0 < events < n1 + n2:
            support = np.arange(max(0, events - n2), min(n1, events) + 1)
            logs = np.log(special.comb(n1, support) * special.comb(n2, events - support))
            logs = logs[:, None] + np.outer(support, theta + tau * Z)
            chance = logs[support == a][0] - special.logsumexp(logs, axis=0)
            total += math.log(np.exp(chance) @ PHI)
    return total


def unconditional_by_force(name, theta, tau):
    total = 0.0
    for a, n1, c, n2 in zip(*counts(name)):
        if 0 < a + c < n1 + n2:

            def minus(alpha, a=a, n1=n1, c=c, n2=n2):
                one = stats.binom.pmf(a, n1, special.expit(alpha + theta + tau * Z / 2))
                two = stats.binom.pmf(c, n2, special.expit(alpha - tau * Z / 2))
                return -math.log((one * two) @ PHI)

            total -= optimize.minimize_scalar(minus, bounds=(-12, 12), method="bounded",
                                              options={"xatol": 1e-8}).fun  # fmt: skip
    return total


BRUTE = {"conditional": conditional_by_force, "unconditional": unconditional_by_force}
BRUTE_SETS = ("zeros of every kind", "two small trials", "crins2014 acute rejection")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", BRUTE_SETS)
def test_log_likelihood_equals_a_fine_grid(name, model):
    ours = fitted(name, model)
    by_force = BRUTE[model](name, ours.estimate, ours.tau)
    assert ours.log_likelihood == pytest.approx(by_force, abs=BRUTE_LIKELIHOOD)
    for theta, tau in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1)):
        moved = BRUTE[model](name, ours.estimate + theta, abs(ours.tau + tau))
        assert moved < by_force


def test_standard_error_is_that_of_the_brute_force_curvature():
    name, model = "zeros of every kind", "conditional"
    ours = fitted(name, model)
    step = 0.01

    def value(i, j):
        return conditional_by_force(name, ours.estimate + i * step, ours.tau + j * step)

    middle = value(0, 0)
    theta = (value(1, 0) - 2 * middle + value(-1, 0)) / step**2
    tau = (value(0, 1) - 2 * middle + value(0, -1)) / step**2
    cross = (value(1, 1) - value(1, -1) - value(-1, 1) + value(-1, -1)) / (4 * step**2)
    covariance = np.linalg.inv(-np.array([[theta, cross], [cross, tau]]))
    assert ours.se == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-4)


@pytest.mark.parametrize("kind", [ConditionalLikelihood, UnconditionalLikelihood])
@pytest.mark.parametrize(("theta", "tau"), [(-0.4, 0.0), (0.3, 0.7), (-2.0, 3.0), (0.5, 9.0)])
def test_derivatives_are_those_of_the_likelihood(kind, theta, tau):
    tables = event_tables(*counts("dat.linde2005"))
    likelihood = kind(tables.take(~tables.double_zero))
    at, step = likelihood.at(theta, tau), 1e-4
    points = {
        (i, j): likelihood.at(theta + i * step, abs(tau + j * step))
        for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1))
    }
    for axis, (up, down) in enumerate((((1, 0), (-1, 0)), ((0, 1), (0, -1)))):
        if axis == 1 and tau == 0:
            assert at.score[1] == pytest.approx(0, abs=1e-10)  # the likelihood is even in tau
            continue
        slope = (points[up].value - points[down].value) / (2 * step)
        assert at.score[axis] == pytest.approx(slope, rel=1e-6, abs=1e-6)
        bend = (points[down].score - points[up].score) / (2 * step)
        np.testing.assert_allclose(at.information[axis], bend, rtol=1e-5, atol=1e-5)
    rough = likelihood.at(theta, tau, COARSE)
    assert rough.value == pytest.approx(at.value, abs=1e-3)


# --- algebra --------------------------------------------------------------------------------------

ARM = st.integers(3, 40).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n)))
TRIALS = st.lists(st.tuples(ARM, ARM), min_size=1, max_size=3)


@given(ARM, ARM)
@settings(max_examples=25)
def test_one_trial_is_its_exact_or_sample_odds_ratio(treatment, control):
    (a, n1), (c, n2) = treatment, control
    table = [[a, n1 - a], [c, n2 - c]]
    exact = binomial_normal([a], [n1], [c], [n2])
    by_scipy = odds_ratio(table, kind="conditional").statistic
    assert exact.estimate == pytest.approx(math.log(by_scipy), abs=1e-6)
    sample = binomial_normal([a], [n1], [c], [n2], model="unconditional")
    assert sample.estimate == pytest.approx(
        math.log(a * (n2 - c) / ((n1 - a) * c)), rel=1e-9, abs=1e-9
    )
    assert sample.se == pytest.approx(
        math.sqrt(1 / a + 1 / (n1 - a) + 1 / c + 1 / (n2 - c)), rel=1e-9
    )
    assert (exact.tau2, exact.q, sample.q) == (0, None, None)


@pytest.mark.parametrize("model", MODELS)
@given(TRIALS)
@settings(max_examples=5, deadline=None)
def test_swapping_arms_or_events_flips_the_sign(model, trials):
    (e1, n1), (e2, n2) = (np.array([trial[arm] for trial in trials]).T for arm in (0, 1))
    try:
        one = binomial_normal(e1, n1, e2, n2, model=model)
    except NotEstimableError:
        with pytest.raises(NotEstimableError):
            binomial_normal(e2, n2, e1, n1, model=model)
        return
    swapped = binomial_normal(e2, n2, e1, n1, model=model)
    inverted = binomial_normal(n1 - e1, n1, n2 - e2, n2, model=model)
    for other in (swapped, inverted):
        assert other.estimate == pytest.approx(-one.estimate, rel=1e-7, abs=1e-8)
        assert other.se == pytest.approx(one.se, rel=1e-7)
        assert other.tau2 == pytest.approx(one.tau2, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_double_zeros_carry_no_information(model):
    e1, n1, e2, n2 = counts("crins2014 acute rejection")
    one = fitted("crins2014 acute rejection", model)
    other = binomial_normal(
        [*e1, 0, 7], [*n1, 30, 7], [*e2, 0, 9], [*n2, 31, 9], model=model, level=0.9
    )
    assert (other.estimate, other.se, other.tau2) == (one.estimate, one.se, one.tau2)
    assert (other.k, other.zeros.k_informative, other.zeros.double_zero) == (8, 6, (6, 7))
    assert other.ci_high - other.estimate < one.ci_high - one.estimate
    assert {"double_zero", "single_zero"} == {caveat.code for caveat in other.caveats}


@pytest.mark.parametrize("model", MODELS)
def test_equal_trials_have_no_variance_between_them(model):
    ours = binomial_normal([4] * 5, [20] * 5, [9] * 5, [21] * 5, model=model)
    assert ours.tau2 == 0
    assert ours.q == pytest.approx(0, abs=1e-9)
    assert ours.q_p_value == pytest.approx(1)


# --- what is refused and what is said -------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_separation_is_refused_with_the_counts(model):
    with pytest.raises(NotEstimableError, match=r"fewest events .*\(0 of 6 events in all\)"):
        binomial_normal([0, 0, 0], [20, 30, 9], [2, 4, 0], [20, 30, 9], model=model)
    with pytest.raises(NotEstimableError, match="most events"):
        binomial_normal([3, 1], [20, 30], [0, 0], [20, 30], model=model)
    with pytest.raises(NotEstimableError, match="none of 1 trial has both"):
        binomial_normal([0], [20], [0], [20], model=model)


def test_opposite_separation_has_no_finite_variance():
    with pytest.raises(NotEstimableError, match="no finite estimate"):
        binomial_normal([0, 5], [20, 20], [5, 0], [20, 20])


def test_arguments_are_named():
    with pytest.raises(ImpossibleDataError, match=r"events_c must be a whole number: 1\.5"):
        binomial_normal([1, 2], [20, 20], [2, 1.5], [20, 20])
    with pytest.raises(UsageError, match="model is 'exact'; choose one of 'conditional'"):
        binomial_normal(1, 5, 1, 5, model="exact")


def test_result_prints_a_sentence_and_serialises():
    ours = fitted("dat.nielweise2007", "conditional")
    assert ours.summary().splitlines()[:4] == [
        "<Binomial-normal odds ratio: 18 trials, 17 informative, exact conditional likelihood>",
        "  events      27/2,495 v 87/2,495",
        "  pooled      0.26 [0.13, 0.51] (95% CI)   z = −3.85, p < 0.001",
        "  between     τ² = 0.693, likelihood ratio χ²(16) = 28.6, p = 0.027",
    ]
    stored = json.loads(ours.to_json())
    assert stored["tau2"] == ours.tau2
    assert stored["zeros"]["k_informative"] == 17
    few = fitted("two small trials", "conditional")
    assert "few_studies" in {caveat.code for caveat in few.caveats}


def test_trials_of_every_size_have_their_noncentral_hypergeometric_probabilities():
    rng = np.random.default_rng(2)
    n1, n2 = np.append(rng.integers(5, 400, 60), 9000), np.append(rng.integers(5, 400, 60), 8000)
    a, c = rng.binomial(n1, 0.3), rng.binomial(n2, 0.2)
    tables = event_tables(a, n1, c, n2)
    assert not tables.double_zero.any()
    eta = rng.normal(0.3, 1.0, (61, 30))
    value, first, second = ConditionalLikelihood(tables).terms(eta)
    for i in range(61):
        events = a[i] + c[i]
        support = np.arange(max(0, events - n2[i]), min(n1[i], events) + 1)
        logs = special.gammaln([support + 1, events - support + 1]).sum(0)
        logs += special.gammaln([n1[i] - support + 1, n2[i] - events + support + 1]).sum(0)
        logs = -logs[:, None] + np.outer(support - a[i], eta[i])
        shares = special.softmax(logs, axis=0)
        observed = (logs[support == a[i]] - special.logsumexp(logs, axis=0))[0]
        mean = (support - a[i]) @ shares
        spread = ((support[:, None] - a[i] - mean) ** 2 * shares).sum(0)
        assert value[i] == pytest.approx(observed, abs=BRUTE_TERMS)
        assert first[i] == pytest.approx(-mean, abs=BRUTE_TERMS)
        assert second[i] == pytest.approx(-spread, abs=BRUTE_TERMS)


@pytest.mark.parametrize("model", MODELS)
def test_many_trials_in_parts_are_the_same_trials(model):
    few = [np.tile(column, 40) for column in counts("dat.nielweise2007")]
    whole, one = binomial_normal(*few, model=model), fitted("dat.nielweise2007", model)
    assert whole.k == 720  # more than are worked on together
    assert whole.estimate == pytest.approx(one.estimate, rel=1e-9)
    assert whole.tau2 == pytest.approx(one.tau2, rel=1e-9)
    assert whole.log_likelihood == pytest.approx(40 * one.log_likelihood, rel=1e-12)
    assert whole.se == pytest.approx(one.se / math.sqrt(40), rel=1e-9)
