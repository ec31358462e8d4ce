"""The Bayesian companion against quadrature, closed forms, brute force and its own identities."""

from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from ketameta import (
    HalfCauchy,
    HalfNormal,
    LogNormal,
    LogT,
    Normal,
    Uniform,
    bayes_random_effects,
    posterior_curves,
    rhodes_2015,
    turner_2015,
)
from ketameta.errors import ImpossibleDataError, KetametaError, NotEstimableError, UsageError
from ketameta.models.bayes import (
    RHODES_AREAS,
    RHODES_COMPARISONS,
    RHODES_OUTCOMES,
    TURNER_COMPARISONS,
    TURNER_OUTCOMES,
)
from tolerances import BRUTE_FORCE, POSTERIOR, RESCALED_POSTERIOR

REFERENCE = json.loads((Path(__file__).parent / "reference" / "bayes.json").read_text("utf-8"))
CASES = [(key, name) for key, data in REFERENCE["datasets"].items() for name in data["results"]]
#: A half-Cauchy tail with two or three studies falls so slowly that the stored values, integrated
#: to a finite upper limit, lose digits; these posteriors are checked by brute force instead.
SLOW_TAILS = {("bcg_OR_first2", "HC(0.5)"), ("bcg_OR_first3", "HC(0.5)")}

Y2 = np.array([-0.938694140870392, -1.66619072902655])
V2 = np.array([0.5975993241743409, 0.45621529309875836]) ** 2


def priors_of(name):
    scale = 10.0 if "(scale x10)" in name else 1.0
    mean = Normal(0.0, 4.0 * scale) if "mu~N(0,4)" in name else None
    if found := re.match(r"HN\(([\d.]+)\)", name):
        return HalfNormal(float(found[1]) * scale), mean
    if found := re.match(r"HC\(([\d.]+)\)", name):
        return HalfCauchy(float(found[1]) * scale), mean
    if "marginal" in name:
        return turner_2015(), mean
    return turner_2015("all-cause mortality", TURNER_COMPARISONS[0]), mean


def fit_case(key, name):
    data = REFERENCE["datasets"][key]
    tau_prior, mean_prior = priors_of(name)
    fit = bayes_random_effects(data["yi"], np.square(data["sei"]), tau_prior, mean_prior)
    return fit, data["results"][name]


def test_the_reference_holds_six_data_sets_and_every_prior():
    assert len(REFERENCE["datasets"]) == 6
    assert len(CASES) == 34
    assert {type(priors_of(name)[0]) for _, name in CASES} == {HalfNormal, HalfCauchy, LogNormal}


@pytest.mark.parametrize(("key", "name"), [case for case in CASES if case not in SLOW_TAILS])
def test_posterior_equals_the_reference_quadrature(key, name):
    fit, expected = fit_case(key, name)
    found = {
        "tau": (fit.tau, expected["tau"]),
        "mu": (fit.mu, expected["mu"]),
        "theta_new": (fit.new_effect, expected["theta_new"]),
    }
    for part, reference in found.values():
        unit = reference["sd"]
        for value, wanted in [
            (part.mean, "mean"),
            (part.sd, "sd"),
            (part.ci_low, "q2.5"),
            (part.median, "median"),
            (part.ci_high, "q97.5"),
        ]:
            assert value == pytest.approx(reference[wanted], rel=0, abs=POSTERIOR * unit)
    assert fit.p_mean_below_zero == pytest.approx(expected["mu"]["P(<0)"], rel=0, abs=POSTERIOR)
    assert fit.p_new_below_zero == pytest.approx(
        expected["theta_new"]["P(<0)"], rel=0, abs=POSTERIOR
    )
    np.testing.assert_allclose(
        fit.shrunken_mean,
        expected["shrinkage_mean"],
        rtol=0,
        atol=POSTERIOR * expected["theta_new"]["sd"],
    )


@pytest.mark.parametrize(("key", "name"), [case for case in CASES if case not in SLOW_TAILS])
def test_marginal_likelihood_equals_the_reference_with_the_normal_constants(key, name):
    """The reference leaves out sqrt(2 pi) for each normal density that is not integrated away."""
    fit, expected = fit_case(key, name)
    constants = fit.k - 1 if fit.mean_prior is None else fit.k
    assert fit.log_marginal + constants * 0.5 * math.log(2 * math.pi) == pytest.approx(
        expected["log_marginal"], rel=0, abs=1e-9
    )


def tau_integral(y, v, prior, function, top=300.0):
    """Integrate ``function(tau)`` times prior times marginal likelihood, written out."""

    def integrand(u):
        tau = math.exp(u)
        w = 1 / (v + tau**2)
        mu = (w * y).sum() / w.sum()
        log_likelihood = -0.5 * (
            np.log(v + tau**2).sum() + (w * (y - mu) ** 2).sum() + math.log(w.sum())
        )
        return math.exp(log_likelihood) * float(prior.pdf(tau)) * tau * function(tau)

    edges = [-300, -60, -20, -8, -4, -2, -1, 0, 1, 2, 4, 8, 20, 60, 300]
    edges = [edge for edge in edges if edge < top] + [top]
    return sum(
        integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-12, limit=400)[0]
        for a, b in itertools.pairwise(edges)
    )


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
@pytest.mark.parametrize(
    "prior",
    [HalfCauchy(0.5), LogT(-3.44, 2.59), HalfNormal(0.5), Uniform(4.0), LogNormal(-2.56, 1.74)],
    ids=lambda prior: type(prior).__name__,
)
def test_two_studies_against_brute_force(prior):
    fit = bayes_random_effects(Y2, V2, prior)
    top = min(300.0, math.log(prior.upper))
    total = tau_integral(Y2, V2, prior, lambda tau: 1.0, top)
    mean = tau_integral(Y2, V2, prior, lambda tau: tau, top) / total
    assert fit.tau.mean == pytest.approx(mean, rel=BRUTE_FORCE)
    below = tau_integral(Y2, V2, prior, lambda tau: 1.0, math.log(fit.tau.median)) / total
    assert below == pytest.approx(0.5, rel=0, abs=BRUTE_FORCE)
    assert math.log(total) - 0.5 * math.log(2 * math.pi) == pytest.approx(
        fit.log_marginal, rel=0, abs=BRUTE_FORCE
    )


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
def test_probabilities_and_shrinkage_against_brute_force():
    prior = HalfNormal(0.5)
    y, v = np.array([-0.6, -0.2, 0.3]), np.array([0.04, 0.09, 0.02])
    fit = bayes_random_effects(y, v, prior, thresholds=[-0.5, 0.1])

    def mu_parts(tau):
        w = 1 / (v + tau**2)
        return (w * y).sum() / w.sum(), w.sum() ** -0.5

    def below(x, new):
        def probability(tau):
            mean, sd = mu_parts(tau)
            return float(special.ndtr((x - mean) / math.hypot(sd, tau if new else 0.0)))

        return probability

    def shrunken(tau):
        return (tau**2 * y[0] + v[0] * mu_parts(tau)[0]) / (tau**2 + v[0])

    total = tau_integral(y, v, prior, lambda tau: 1.0)

    def expectation(function):
        return tau_integral(y, v, prior, function) / total

    for item in fit.thresholds:
        assert item.p_mean_below == pytest.approx(
            expectation(below(item.value, False)), rel=0, abs=BRUTE_FORCE
        )
        assert item.p_new_below == pytest.approx(
            expectation(below(item.value, True)), rel=0, abs=BRUTE_FORCE
        )
        assert item.p_mean_above == 1 - item.p_mean_below
    assert fit.shrunken_mean[0] == pytest.approx(expectation(shrunken), rel=BRUTE_FORCE)
    weights = [
        expectation(lambda tau, i=i: float((1 / (v + tau**2) / (1 / (v + tau**2)).sum())[i]))
        for i in range(3)
    ]
    np.testing.assert_allclose(fit.weights, weights, rtol=BRUTE_FORCE)
    assert expectation(below(fit.pi_low, True)) == pytest.approx(0.025, rel=0, abs=BRUTE_FORCE)
    assert expectation(below(fit.ci_high, False)) == pytest.approx(0.975, rel=0, abs=BRUTE_FORCE)


def test_a_prior_close_to_zero_gives_the_common_effect_in_closed_form():
    y, v = np.array([0.2, 0.5, -0.1, 0.4]), np.array([0.04, 0.02, 0.09, 0.05])
    fit = bayes_random_effects(y, v, HalfNormal(1e-9))
    mean, se = (y / v).sum() / (1 / v).sum(), (1 / v).sum() ** -0.5
    assert fit.estimate == pytest.approx(mean, rel=1e-12)
    assert fit.mu.sd == pytest.approx(se, rel=1e-12)
    assert fit.ci_low == pytest.approx(mean - stats.norm.ppf(0.975) * se, rel=1e-12)
    np.testing.assert_allclose(fit.shrunken_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(fit.weights, (1 / v) / (1 / v).sum(), rtol=1e-12)


def test_a_proper_mean_prior_adds_its_precision_in_closed_form():
    y, v = np.array([0.2, 0.5]), np.array([0.04, 0.02])
    fit = bayes_random_effects(y, v, HalfNormal(1e-9), Normal(1.0, 0.1))
    precision = (1 / v).sum() + 100
    assert fit.mu.mean == pytest.approx(((y / v).sum() + 100) / precision, rel=1e-12)
    assert fit.mu.sd == pytest.approx(precision**-0.5, rel=1e-12)
    marginal = stats.multivariate_normal([1, 1], np.diag(v) + 0.01).logpdf(y)
    assert fit.log_marginal == pytest.approx(marginal, rel=1e-10)


def test_one_study_returns_the_prior_of_tau_and_says_so():
    fit = bayes_random_effects([0.3], [0.04], HalfNormal(0.5))
    assert fit.tau.median == pytest.approx(stats.halfnorm(scale=0.5).median(), rel=1e-11)
    assert fit.tau_shortest_low == 0.0
    assert fit.tau_shortest_high == pytest.approx(stats.halfnorm(scale=0.5).ppf(0.95), rel=1e-11)
    assert fit.estimate == pytest.approx(0.3, rel=1e-11)
    assert [caveat.code for caveat in fit.caveats] == ["single_study"]
    assert "nothing was pooled" in repr(fit)


def test_no_study_is_refused_in_words():
    with pytest.raises(NotEstimableError, match="there are no studies"):
        bayes_random_effects([], [])


def test_moments_that_do_not_exist_are_absent_and_explained():
    fit = bayes_random_effects(Y2, V2, HalfCauchy(0.5))
    assert fit.tau.mean is not None
    assert fit.tau.sd is None and fit.mu.sd is None and fit.new_effect.sd is None
    assert "moments_do_not_exist" in {caveat.code for caveat in fit.caveats}
    assert json.loads(fit.to_json())["tau"]["sd"] is None
    bounded = bayes_random_effects(Y2, V2, HalfCauchy(0.5), Normal(0, 4))
    assert bounded.mu.sd is not None
    assert bayes_random_effects([0.3], [0.04], HalfCauchy(0.5)).tau.mean is None


@pytest.mark.parametrize("power", range(-6, 7))
def test_unit_of_the_effect_does_not_matter(power):
    c = 10.0**power
    y, v = np.array([0.1, 0.5, -0.3, 0.8]), np.array([0.02, 0.05, 0.03, 0.1])
    one = bayes_random_effects(y, v, HalfNormal(0.5))
    other = bayes_random_effects(c * y, c**2 * v, HalfNormal(0.5 * c))
    for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high", "tau_shortest_high"):
        assert getattr(other, name) == pytest.approx(c * getattr(one, name), rel=RESCALED_POSTERIOR)
    assert other.tau.median == pytest.approx(c * one.tau.median, rel=RESCALED_POSTERIOR)
    assert other.p_mean_below_zero == pytest.approx(one.p_mean_below_zero, rel=RESCALED_POSTERIOR)


effects = st.lists(st.tuples(st.floats(-3, 3), st.floats(0.001, 2)), min_size=1, max_size=12).map(
    lambda rows: (np.array([r[0] for r in rows]), np.array([r[1] for r in rows]))
)


@settings(max_examples=30, deadline=None)
@given(effects)
def test_identities_of_every_posterior(data):
    y, v = data
    fit = bayes_random_effects(y, v, measure="SMD")
    slack = 1e-9 * (1 + np.ptp(y))
    assert y.min() - slack <= fit.mu.mean <= y.max() + slack
    assert fit.pi_low < fit.ci_low < fit.estimate < fit.ci_high < fit.pi_high
    assert 0 <= fit.tau_shortest_low < fit.tau_shortest_high
    width = fit.tau.ci_high - fit.tau.ci_low
    assert fit.tau_shortest_high - fit.tau_shortest_low <= width * (1 + 1e-9)
    between = np.minimum(y, fit.mu.mean) - slack, np.maximum(y, fit.mu.mean) + slack
    if y.size > 1 and np.ptp(v) == 0:
        assert np.all(between[0] <= fit.shrunken_mean) and np.all(fit.shrunken_mean <= between[1])
    assert fit.weights.sum() == pytest.approx(1, rel=1e-12)
    mirrored = bayes_random_effects(-y[::-1], v[::-1], measure="SMD")
    assert mirrored.ci_low == pytest.approx(-fit.ci_high, rel=1e-8, abs=1e-9)
    assert mirrored.p_new_below_zero == pytest.approx(1 - fit.p_new_below_zero, rel=0, abs=1e-10)


@pytest.mark.parametrize("unit", [1.0, 10.0, 100.0, 1e-6])
def test_the_posterior_is_the_same_in_any_unit_or_its_prior_is_asked_for(unit):
    y, v = np.array([-0.6, -0.2, -0.4]) * unit, np.array([0.04, 0.09, 0.06]) * unit**2
    for measure in (None, "MD", "RD", "PLO"):
        with pytest.raises(UsageError, match=r"give tau_prior_scale="):
            bayes_random_effects(y, v, measure=measure)
    one = bayes_random_effects(y / unit, v / unit**2, measure="SMD")
    other = bayes_random_effects(y, v, measure="MD", tau_prior_scale=0.5 * unit)
    assert other.p_mean_below_zero == pytest.approx(one.p_mean_below_zero, rel=RESCALED_POSTERIOR)
    assert other.estimate == pytest.approx(one.estimate * unit, rel=RESCALED_POSTERIOR)
    with pytest.raises(UsageError, match="not both"):
        bayes_random_effects(y, v, HalfNormal(1.0), tau_prior_scale=1.0)


@pytest.mark.parametrize("measure", ["SMD", "SMCR", "OR", "RR", "PETO", "IRR", "HR", "ROM"])
def test_a_measure_with_a_fixed_unit_has_the_default_prior(measure):
    fit = bayes_random_effects(Y2, V2, measure=measure)
    assert fit.tau_prior == HalfNormal(0.5) and fit.measure == measure


@settings(max_examples=15, deadline=None)
@given(effects, st.floats(-100, 100))
def test_shifting_every_effect_shifts_the_mean_and_leaves_tau(data, shift):
    y, v = data
    one = bayes_random_effects(y, v, measure="SMD")
    other = bayes_random_effects(y + shift, v, measure="SMD")
    assert other.estimate == pytest.approx(one.estimate + shift, rel=0, abs=1e-9)
    assert other.tau.median == pytest.approx(one.tau.median, rel=1e-8)


def test_shortest_interval_has_equal_densities_at_both_ends():
    fit = bayes_random_effects(
        REFERENCE["datasets"]["bcg_OR"]["yi"],
        np.square(REFERENCE["datasets"]["bcg_OR"]["sei"]),
        HalfNormal(0.5),
    )

    def log_density(tau):
        v, y = np.square(REFERENCE["datasets"]["bcg_OR"]["sei"]), fit.estimates
        w = 1 / (v + tau**2)
        mu = (w * y).sum() / w.sum()
        deviance = np.log(v + tau**2).sum() + (w * (y - mu) ** 2).sum() + math.log(w.sum())
        return -0.5 * deviance + float(HalfNormal(0.5).logpdf(tau))

    assert fit.tau_shortest_low > 0
    assert log_density(fit.tau_shortest_low) == pytest.approx(
        log_density(fit.tau_shortest_high), abs=1e-6
    )


def test_curves_integrate_to_one_and_hold_the_prior():
    fit = bayes_random_effects(Y2, V2, HalfNormal(0.5), Normal(0, 4))
    curves = posterior_curves(fit, points=2001)
    for grid, density in [
        (curves.tau, curves.tau_posterior),
        (curves.effect, curves.mean_posterior),
        (curves.effect, curves.new_effect),
    ]:
        assert integrate.trapezoid(density, grid) == pytest.approx(1, abs=0.003)
    np.testing.assert_allclose(
        curves.tau_prior[1:], stats.halfnorm(scale=0.5).pdf(curves.tau[1:]), rtol=1e-12
    )
    np.testing.assert_allclose(curves.mean_prior, stats.norm(0, 4).pdf(curves.effect), rtol=1e-12)
    with pytest.raises(UsageError, match="points"):
        posterior_curves(fit, points=1)


@pytest.mark.parametrize(
    ("prior", "frozen"),
    [
        (HalfNormal(0.5), stats.halfnorm(scale=0.5)),
        (HalfCauchy(0.3), stats.halfcauchy(scale=0.3)),
        (Uniform(4.0), stats.uniform(0, 4.0)),
        (LogNormal(-2.56, 1.74), stats.lognorm(s=0.87, scale=math.exp(-1.28))),
    ],
    ids=lambda item: type(item).__name__,
)
def test_densities_equal_scipy(prior, frozen):
    tau = np.array([1e-8, 0.01, 0.3, 1.0, 3.9, 40.0])
    np.testing.assert_allclose(prior.pdf(tau), frozen.pdf(tau), rtol=1e-12)
    assert prior.pdf(-0.1) == 0


def test_log_t_density_is_student_t_of_the_logarithm():
    prior, tau = LogT(-3.44, 2.59), np.array([1e-6, 0.1, 1.0, 50.0])
    expected = stats.t(5, loc=-1.72, scale=1.295).pdf(np.log(tau)) / tau
    np.testing.assert_allclose(prior.pdf(tau), expected, rtol=1e-12)


def test_published_tables_equal_the_reference():
    stored = REFERENCE["meta"]["prior_parameters"]
    turner = np.array(stored["Turner"]["values"]).reshape((16, 5, 2), order="F")
    for i, outcome in enumerate(TURNER_OUTCOMES):
        for j, comparison in enumerate(TURNER_COMPARISONS):
            assert turner_2015(outcome, comparison) == LogNormal(*turner[i, j])
    rhodes = np.array(stored["Rhodes"]["values"]).reshape((8, 3, 2, 3), order="F")
    for i, outcome in enumerate(RHODES_OUTCOMES):
        for j, comparison in enumerate(RHODES_COMPARISONS):
            for a, area in enumerate(RHODES_AREAS):
                assert rhodes_2015(outcome, comparison, area) == LogT(*rhodes[i, j, :, a])
    assert list(TURNER_OUTCOMES) == stored["Turner"]["dim"]["outcome"]
    assert list(RHODES_OUTCOMES) == stored["Rhodes"]["dim"]["outcome"]
    assert turner_2015() == LogNormal(*stored["Turner_marginal"][0])
    assert rhodes_2015() == LogT(*stored["Rhodes_marginal"][0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.1, math.nan], [0.1, 0.1]), r"estimates\[1\] \(study 2\) is nan"),
        (([0.1, 0.2], [0.1, 0.0]), r"variances\[1\] \(study 2\) is 0"),
        (([0.1, 0.2], [0.1, -0.2]), r"variances\[1\] \(study 2\) is -0.2"),
        (([0.1, 0.2], [0.1]), "variances has 1; give one each"),
        (([[0.1, 0.2]], [0.1, 0.2]), "estimates has shape"),
        ((["x", 0.2], [0.1, 0.2]), "must be numbers"),
        (([0.1, 0.2], [0.1, 0.2], 0.5), "tau_prior is 0.5"),
        (([0.1, 0.2], [0.1, 0.2], None, 0.5), "mean_prior is 0.5"),
    ],
)
def test_unusable_input_is_named(arguments, message):
    with pytest.raises(KetametaError, match=message):
        bayes_random_effects(*arguments, measure="SMD")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 95}, "level is 95"),
        ({"labels": ["a"]}, "labels has 1 values and estimates has 2"),
        ({"labels": ["a", "a"]}, "labels repeat"),
        ({"thresholds": [math.inf]}, r"thresholds\[0\]"),
    ],
)
def test_unusable_options_are_named(options, message):
    with pytest.raises((UsageError, ImpossibleDataError), match=message):
        bayes_random_effects([0.1, 0.2], [0.1, 0.2], measure="SMD", **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: HalfNormal(0.0),
        lambda: HalfCauchy(-1.0),
        lambda: Uniform(math.inf),
        lambda: LogNormal(math.nan, 1.0),
        lambda: LogT(0.0, 0.0),
        lambda: Normal(0.0, 0.0),
    ],
)
def test_impossible_priors_are_refused(make):
    with pytest.raises(UsageError):
        make()


def test_an_unknown_setting_lists_the_choices():
    with pytest.raises(UsageError, match="mental health indicators"):
        turner_2015("mental health", TURNER_COMPARISONS[0])
    with pytest.raises(UsageError, match="comparison is None"):
        rhodes_2015("biological marker")


def test_the_result_prints_tidies_and_serialises_the_same_bytes():
    options = {"labels": ["a", "b"], "thresholds": -0.3, "measure": "SMD"}
    fit = bayes_random_effects([-0.6, -0.2], [0.04, 0.09], **options)
    assert fit.summary().splitlines()[0] == (
        "<Bayesian random effects: 2 studies, half-normal with scale 0.5 on τ,"
        " uniform prior on the mean effect>"
    )
    again = bayes_random_effects([-0.6, -0.2], [0.04, 0.09], **options)
    assert fit.to_json() == again.to_json()
    stored = json.loads(fit.to_json())
    assert stored["tau_prior"] == {
        "name": "HalfNormal",
        "words": "half-normal with scale 0.5 on τ",
        "scale": 0.5,
    }
    assert list(fit.tidy()["term"]) == ["mean_effect", "tau", "new_effect"]
    with pytest.raises(ValueError, match="read-only"):
        fit.estimates[0] = 1.0


def test_thresholds_of_ratios_are_printed_as_ratios_with_their_logarithm():
    fit = bayes_random_effects([0.1, 0.2, 0.3], [0.1] * 3, measure="OR", thresholds=0.8)
    assert "beyond odds ratio 2.23 (log 0.80)  P(mean is below it) = 0.9" in repr(fit)
    assert fit.thresholds[0].value == 0.8
