"""Bayesian random effects from counts: brute force, the normal limit, properties."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import special

import ketameta as km
from ketameta import HalfCauchy, HalfNormal, Normal, bayes_random_effects
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models import WEAK_PRIOR, bayes_event_counts

#: Trapezoids of brute force and panels of the model agree to this, in SDs of the posterior.
BRUTE_FORCE = 1e-7
#: A likelihood from 500 events is normal but for terms of order 1 / sqrt(events).
NORMAL_LIMIT = 0.03

#: Blurred vision under esketamine and placebo: three trials, one without events on placebo.
BLURRED = ([17, 27, 23], [231, 227, 126], [0, 11, 1], [113, 225, 126])
ZERO = ([4, 3], [20, 18], [0, 1], [18, 20])
SMALL = ([3, 1], [12, 9], [1, 2], [11, 10])


def likelihood(a, n1, c, n2, theta):
    """The noncentral hypergeometric probability of ``a``, written out."""
    events = a + c
    counts = np.arange(max(0, events - n2), min(n1, events) + 1)
    logs = np.log(special.comb(n1, counts)) + np.log(special.comb(n2, events - counts))
    terms = np.exp(logs[:, None] + counts[:, None] * theta.ravel())
    own = np.exp(math.log(special.comb(n1, a)) + math.log(special.comb(n2, c)) + a * theta.ravel())
    return (own / terms.sum(axis=0)).reshape(theta.shape)


def brute_force(tables, scale, mean_prior=None):
    """Mean and SD of the mean, and mean of tau squared, by trapezoids in z, mu and tau."""
    mu = np.arange(-24, 24, 0.15)
    z = np.arange(-8.1, 8.2, 0.3)
    tau = np.arange(0, 8 * scale, scale / 8)
    blur = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * 0.3
    joint = np.exp(-(tau[:, None] ** 2) / (2 * scale**2)) * np.ones(mu.size)
    if mean_prior is not None:
        joint = joint * np.exp(mean_prior.logpdf(mu))
    for trial in zip(*np.asarray(tables)[[0, 1, 2, 3]], strict=True):
        a, n1, c, n2 = trial
        at = mu[None, :, None] + tau[:, None, None] * z
        joint = joint * (likelihood(a, n1, c, n2, at) @ blur)
    joint[0] /= 2  # an even function of tau: half of the trapezoid on the whole line
    joint = joint / joint.sum()
    mean = joint.sum(axis=0)
    spread = joint.sum(axis=1)
    centre = float(mean @ mu)
    return centre, math.sqrt(float(mean @ (mu - centre) ** 2)), float(spread @ tau**2)


@pytest.mark.parametrize(("tables", "scale"), [(SMALL, 0.5), (SMALL, 1.0), (ZERO, 0.5)])
def test_moments_are_those_of_brute_force(tables, scale):
    prior = None if tables is SMALL else Normal(0.0, 2.82)
    fit = bayes_event_counts(*tables, HalfNormal(scale), prior)
    mean, sd, tau = brute_force(tables, scale, prior)
    assert fit.mu.mean == pytest.approx(mean, abs=BRUTE_FORCE * sd)
    assert fit.mu.sd == pytest.approx(sd, rel=BRUTE_FORCE)
    assert fit.tau.mean**2 + fit.tau.sd**2 == pytest.approx(tau, rel=BRUTE_FORCE)


def test_large_counts_give_the_normal_model():
    tables = ([300, 250, 280], [900, 800, 950], [330, 260, 270], [900, 800, 950])
    e1, n1, e2, n2 = (np.array(part, float) for part in tables)
    logs = np.log(e1 * (n2 - e2) / (e2 * (n1 - e1)))
    variance = 1 / e1 + 1 / (n1 - e1) + 1 / e2 + 1 / (n2 - e2)
    exact = bayes_event_counts(*tables, HalfNormal(0.5))
    normal = bayes_random_effects(logs, variance, HalfNormal(0.5))
    assert exact.estimate == pytest.approx(normal.estimate, abs=NORMAL_LIMIT * normal.mu.sd)
    assert exact.ci_low == pytest.approx(normal.ci_low, abs=NORMAL_LIMIT * normal.mu.sd)
    assert exact.new_effect.ci_high == pytest.approx(
        normal.new_effect.ci_high, abs=NORMAL_LIMIT * normal.new_effect.sd
    )


def test_swapping_the_arms_turns_the_sign():
    e1, n1, e2, n2 = BLURRED
    one, other = bayes_event_counts(e1, n1, e2, n2), bayes_event_counts(e2, n2, e1, n1)
    assert one.estimate == pytest.approx(-other.estimate, abs=1e-9)
    assert one.ci_low == pytest.approx(-other.ci_high, abs=1e-8)
    assert one.p_mean_below_zero == pytest.approx(1 - other.p_mean_below_zero, abs=1e-10)


def test_the_order_of_trials_does_not_matter():
    one = bayes_event_counts(*BLURRED)
    other = bayes_event_counts(*([column[i] for i in (2, 0, 1)] for column in BLURRED))
    assert one.estimate == pytest.approx(other.estimate, abs=1e-10)


def test_a_trial_without_events_changes_nothing_and_is_named():
    e1, n1, e2, n2 = SMALL
    more = bayes_event_counts([*e1, 0], [*n1, 40], [*e2, 0], [*n2, 40])
    assert more.estimate == bayes_event_counts(*SMALL).estimate
    assert more.k == 3 and more.zeros.k_informative == 2
    assert any(caveat.code == "double_zero" for caveat in more.caveats)


def test_a_wider_prior_gives_a_wider_interval():
    widths = [
        fit.ci_high - fit.ci_low
        for fit in (bayes_event_counts(*BLURRED, HalfNormal(scale)) for scale in (0.25, 0.5, 1.0))
    ]
    assert widths == sorted(widths)


def test_events_on_one_side_only_get_a_weak_prior_and_say_so():
    fit = bayes_event_counts([0, 0], [50, 30], [3, 2], [50, 30])
    assert fit.mean_prior == WEAK_PRIOR
    assert [caveat.code for caveat in fit.caveats].count("all_events_on_one_side") == 1
    assert fit.p_mean_below_zero > 0.95
    mean, sd, _ = brute_force(([0, 0], [50, 30], [3, 2], [50, 30]), 0.5, WEAK_PRIOR)
    assert fit.mu.mean == pytest.approx(mean, abs=1e-6 * sd)


def test_one_trial_is_its_own_likelihood_with_the_spread_of_the_prior():
    fit = bayes_event_counts([5], [50], [2], [50])
    assert fit.new_effect.ci_high - fit.new_effect.ci_low > fit.ci_high - fit.ci_low
    assert fit.shrunken_high[0] - fit.shrunken_low[0] < fit.ci_high - fit.ci_low


def test_thresholds_and_other_priors():
    fit = bayes_event_counts(*BLURRED, HalfCauchy(0.5), Normal(0, 2.82), thresholds=[0.0, 1.0])
    assert fit.thresholds[0].p_mean_below == fit.p_mean_below_zero
    assert fit.thresholds[0].p_mean_below < fit.thresholds[1].p_mean_below
    assert "beyond odds ratio 2.72 (log 1.00)  P(mean is below it)" in repr(fit)


def test_it_prints_odds_ratios_with_counts():
    text = str(bayes_event_counts(*BLURRED))
    assert "67/584 v 12/464" in text and "half-normal with scale 0.5" in text


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([0, 0], [5, 5], [0, 0], [5, 5]), NotEstimableError, "no odds ratio to estimate"),
        (([6], [5], [1], [5]), ImpossibleDataError, "events_t"),
        (([1.5], [5], [1], [5]), ImpossibleDataError, "a whole number"),
        (([1], [5], [1], [5], 0.5), UsageError, "tau_prior is 0.5"),
        (([1], [5], [1], [5], None, 2.82), UsageError, "mean_prior is 2.82"),
        (
            ([4_000_000] * 2, [9_000_000] * 2, [4_000_000] * 2, [9_000_000] * 2),
            NotEstimableError,
            "bayes_random_effects",
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        bayes_event_counts(*arguments)


def test_effects_and_frames_are_taken_as_the_counts_they_hold():
    names = ("events_treatment", "n_treatment", "events_control", "n_control")
    frame = pd.DataFrame(dict(zip(("a", "b", "c", "d"), BLURRED, strict=True)))
    columns = dict(zip(names, "abcd", strict=True))
    one = bayes_event_counts(*BLURRED, HalfNormal(1.0))
    effects = km.effect_sizes(frame, "OR", **columns)
    assert bayes_event_counts(effects, HalfNormal(1.0)).estimate == one.estimate
    assert bayes_event_counts(frame, HalfNormal(1.0), **columns).estimate == one.estimate
    arrays = dict(zip(names, BLURRED, strict=True))
    assert bayes_event_counts(**arrays, tau_prior=HalfNormal(1.0)).estimate == one.estimate
