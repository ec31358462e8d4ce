"""How large a trial must be, and how likely it is to show something. Arrays in, arrays out.

Two equal arms throughout; sizes are people per arm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import Floats
from ketameta.errors import NotEstimableError, UsageError
from ketameta.models.bayes.quadrature import NODES, WEIGHTS, Mixture
from ketameta.models.resampling.batched import batched_fit, batched_inference
from ketameta.models.validation import checked_inputs

#: A sample size above this is not searched for: no such trial will be done.
LARGEST_TRIAL = 1_000_000
#: Gauss-Legendre panels over the prior of an effect. 30 panels of 16 nodes integrate a
#: power curve as steep as that of 1,000 people per arm to 1e-9.
_PANELS = 30
#: Share of the prior that is cut off at each end.
_TAIL = 1e-9
#: The same for the chi distribution behind the t test.
_FAR = 1e-16
#: Panels over it: fewer from this many degrees of freedom, where it is narrow.
_SPREAD_PANELS, _WIDE_SPREAD = {True: 9, False: 3}, 18


def normal_sample_size(difference: float, sd: float, alpha: float, power: float) -> float:
    """Return the people per arm for a difference of means, by the normal approximation.

    Not rounded: ``2 (z_(1 - alpha/2) + z_power)^2 (sd / difference)^2`` with ``sd`` within arms (1
    for a standardised difference) and a two-sided alpha (Julious 2004, Stat. Med. 23, 1921-1986;
    any textbook). The sign of the difference does not matter. The t test needs about one person per
    arm more.
    """
    _check(alpha, power, difference, sd)
    quantiles = float(special.ndtri(1 - alpha / 2) + special.ndtri(power))
    return 2 * quantiles**2 * (sd / difference) ** 2


def t_test_power(
    difference: ArrayLike, sd: float, n_per_arm: ArrayLike, alpha: float = 0.05
) -> Floats:
    """Return the power of the two-sided t test of two equal arms, from the noncentral t.

    ``P(|T| > t_(1 - alpha/2))`` for T noncentral t with ``2n - 2`` degrees of freedom and
    noncentrality ``|difference| / sd * sqrt(n / 2)``, both tails, as statsmodels' ``TTestIndPower``
    and R's ``power.t.test(strict = TRUE)``. ``difference`` and ``n_per_arm`` (at least 2)
    broadcast.
    """
    shift, df, critical = _noncentral(difference, sd, n_per_arm, alpha)
    return np.asarray(_upper(df, shift, critical) + _upper(df, -shift, critical))


def t_test_sample_size(difference: float, sd: float, alpha: float, power: float) -> int:
    """Return the smallest whole number of people per arm whose t test has the power.

    ``UsageError`` where more than a million people per arm would be needed.
    """
    _check(alpha, power, difference, sd)
    guess = normal_sample_size(difference, sd, alpha, power)
    if guess > LARGEST_TRIAL:
        raise UsageError(
            f"difference {difference:g} is {abs(difference) / sd:.2g} SD; a trial that detects it"
            f" has more than {LARGEST_TRIAL:,} people per arm"
        )
    n = max(2, math.ceil(guess) - 2)
    while float(t_test_power(difference, sd, n, alpha)) < power:
        n += 1
    while n > 2 and float(t_test_power(difference, sd, n - 1, alpha)) >= power:
        n -= 1
    return n


def two_proportions_sample_size(
    p_control: float, p_treatment: float, alpha: float, power: float
) -> float:
    """Return the people per arm for a difference of two risks, by the normal approximation.

    ``[z_(1 - alpha/2) sqrt(2 p q) + z_power sqrt(p1 q1 + p2 q2)]^2 / (p1 - p2)^2`` with p the mean
    of the two risks: Fleiss, Levin and Paik (2003), Statistical Methods for Rates and Proportions,
    3rd ed., ch. 4, without continuity correction; R's ``power.prop.test``. ``UsageError`` for a
    risk that is not between 0 and 1, or two that are equal.
    """
    for name, value in (("p_control", p_control), ("p_treatment", p_treatment)):
        if not 0 < value < 1:
            raise UsageError(f"{name} is {value:g}; a risk between 0 and 1 is needed")
    _check(alpha, power, p_treatment - p_control, 1.0)
    under_null, own = _binomial_spreads(p_control, p_treatment)
    z_alpha, z_power = float(special.ndtri(1 - alpha / 2)), float(special.ndtri(power))
    return ((z_alpha * under_null + z_power * own) / (p_treatment - p_control)) ** 2


def _binomial_spreads(p1: float, p2: float) -> tuple[float, float]:
    """Return the SD of a difference of two events where the risks are equal, and as they are."""
    mean = (p1 + p2) / 2
    return math.sqrt(2 * mean * (1 - mean)), math.sqrt(p1 * (1 - p1) + p2 * (1 - p2))


def two_proportions_power(
    p_control: float, p_treatment: float, n_per_arm: ArrayLike, alpha: float = 0.05
) -> Floats:
    """Return the power to tell two risks apart at people per arm, by the normal approximation.

    The inverse of :func:`two_proportions_sample_size`; R's ``power.prop.test``.
    """
    two_proportions_sample_size(p_control, p_treatment, alpha, 0.8)
    under_null, own = _binomial_spreads(p_control, p_treatment)
    z = float(special.ndtri(1 - alpha / 2))
    sizes = np.sqrt(np.asarray(n_per_arm, dtype=np.float64))
    return np.asarray(special.ndtr((abs(p_treatment - p_control) * sizes - z * under_null) / own))


def assurance(
    prior: Mixture, sd: float, n_per_arm: ArrayLike, alpha: float = 0.05, *, benefit: float = -1.0
) -> Floats:
    """Return the chance that a trial shows benefit, averaged over a prior on its true effect.

    Parameters
    ----------
    prior : Mixture
        Of the true effect in the new trial.
    sd : float
        Standard deviation within arms.
    n_per_arm : array_like
    alpha : float
        Of the two-sided t test; only its tail on the side of benefit counts.
    benefit : float
        The sign of benefit.

    Returns
    -------
    ndarray
        One value per size. However large the trial, it stays below the prior probability that the
        effect is on the side of benefit.

    Notes
    -----
    The expectation of the noncentral-t power over the prior, by Gauss-Legendre quadrature.
    O'Hagan, Stevens and Campbell (2005), Pharm. Stat. 4, 187-201.
    """
    effects, weights = _prior_nodes(prior)
    sizes = np.atleast_1d(np.asarray(n_per_arm, dtype=np.float64))
    side = math.copysign(1.0, benefit)
    shift, df, critical = _noncentral(side * effects[:, None], sd, sizes, alpha, signed=True)
    return np.asarray(weights @ _upper(df, shift, critical))


@lru_cache(maxsize=8)
def _prior_nodes(prior: Mixture) -> tuple[Floats, Floats]:
    """Return effects and weights that integrate over the prior; the weights sum to 1."""
    ends = prior.quantiles((_TAIL, 0.005, 0.995, 1 - _TAIL))
    # Half of the panels cover the middle, where the density is highest.
    places = np.cumsum([0, _PANELS // 4, _PANELS // 2, _PANELS // 4])
    edges = np.interp(np.arange(places[-1] + 1), places, ends)
    half = np.diff(edges) / 2
    effects = ((edges[:-1] + half)[:, None] + half[:, None] * NODES).ravel()
    density = Mixture(prior.weights, prior.means[:, None], prior.sds[:, None]).pdf(effects)
    weights = (half[:, None] * WEIGHTS).ravel() * density
    return effects, weights / weights.sum()


def _noncentral(
    difference: ArrayLike, sd: float, n_per_arm: ArrayLike, alpha: float, *, signed: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Return noncentrality, degrees of freedom and critical value of the t test."""
    n = np.asarray(n_per_arm, dtype=np.float64)
    if np.any(n < 2) or not np.all(np.isfinite(n)):
        raise UsageError(f"n_per_arm is {n.min():g}; two people per arm are the fewest")
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha:g}; a share between 0 and 1 is needed")
    if not sd > 0:
        raise UsageError(f"sd is {sd:g}; a standard deviation is above 0")
    effect = np.asarray(difference, dtype=np.float64) / sd
    shift = (effect if signed else np.abs(effect)) * np.sqrt(n / 2)
    df = 2 * n - 2
    return shift, df, np.asarray(special.stdtrit(df, 1 - alpha / 2), dtype=np.float64)


def _upper(df: Floats, shift: Floats, critical: Floats) -> Floats:
    """Return P(T > critical) for T noncentral t, to 2e-12.

    ``E[Phi(shift - critical r)]`` over r, the root of a chi-squared variable by its df. scipy's
    series for it returns NaN or values outside 0 to 1 in places (scipy 1.17: 75 per arm and 31
    standard errors; alpha of 0.001).
    """
    shape = np.broadcast_shapes(df.shape, shift.shape, critical.shape)
    sizes, places = np.unique(np.broadcast_to(df, shape), return_inverse=True)
    nodes, weights = _spread_nodes(sizes)
    at = places.reshape(shape)
    crossing = np.broadcast_to(critical, shape)[..., None] * nodes[at]
    chances = special.ndtr(np.broadcast_to(shift, shape)[..., None] - crossing)
    return np.einsum("...j,...j->...", chances, weights[at])


def _spread_nodes(df: Floats) -> tuple[Floats, Floats]:
    """Return values of ``sqrt(chi2 / df)`` and weights that sum to 1, shape (len(df), nodes)."""
    low = np.sqrt(2 * special.gammaincinv(df / 2, _FAR) / df)
    high = np.sqrt(2 * special.gammainccinv(df / 2, _FAR) / df)
    panels = _SPREAD_PANELS[bool(df.min() < _WIDE_SPREAD)]
    edges = np.linspace(low, high, panels + 1, axis=-1)
    half = np.diff(edges) / 2
    r = ((edges[:, :-1] + half)[..., None] + half[..., None] * NODES).reshape(len(df), -1)
    weights = np.tile(WEIGHTS, (len(df), panels))
    # The density without its constant, in a form that keeps its digits near its top at 1.
    rest = df[:, None]
    weights = weights * np.exp((rest - 1) * np.log(r) - rest * (r - 1) * (r + 1) / 2)
    return r, weights / weights.sum(-1, keepdims=True)


def _check(alpha: float, power: float, difference: float, sd: float) -> None:
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise UsageError(f"{name} is {value:g}; a share between 0 and 1 is needed")
    if power <= alpha:
        raise UsageError(f"power {power:g} is not above alpha {alpha:g}; any trial has that")
    if difference == 0 or not math.isfinite(difference):
        raise UsageError(f"difference is {difference:g}; a trial detects a difference other than 0")
    if not sd > 0:
        raise UsageError(f"sd is {sd:g}; a standard deviation is above 0")


#: Sampling variance of a new trial's effect, from the effect it finds and its people per arm.
NewVariance = Callable[[Floats, int], Floats]

#: Results of the new trial that are tried, in standard errors of the result around each scenario.
_REACH = 8.0
#: Steps of the grid per standard error of the result; the mean width, which has kinks where the
#: variance between trials leaves 0, is then good to 1e-4 of itself.
_STEPS = 8
#: Points beyond the scenarios, on either side, where a range may still end.
_BEYOND = 64
#: Coarsest and finest grid.
_FEWEST, _MOST = 257, 2049
#: Refinements of a root between two grid points, each a narrowing to a 64th.
_REFINEMENTS = 4
_SPLIT = 65


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be expected of one scenario, a ``true_effect`` in the new trial.

    ``p_below`` and ``p_above`` are the probabilities that the new pooled interval lies wholly
    below, or above, no effect; ``expected_width`` is its mean width.
    """

    true_effect: float
    p_below: float
    p_above: float
    expected_width: float


@dataclass(frozen=True, slots=True)
class NewTrial:
    """One size of a new trial, with an outlook per scenario.

    ``below`` and ``above`` are ranges of the new trial's own result with which the pooled interval
    lies wholly below (above) no effect; infinite where a range does not end within the results
    tried.
    """

    n_per_arm: int
    below: tuple[tuple[float, float], ...]
    above: tuple[tuple[float, float], ...]
    outlooks: tuple[Outlook, ...]


def smd_variance(effects: Floats, n_per_arm: int) -> Floats:
    """Return the sampling variance of g in a trial of two equal arms.

    ``2 / n + g^2 / (4 n)``: Hedges (1982) with ``n1 = n2 = n``, as metafor's ``SMD``.
    """
    return 2 / n_per_arm + effects**2 / (4 * n_per_arm)


def md_variance(sd: float) -> NewVariance:
    """Return the sampling variance of a mean difference, ``2 sd^2 / n``, as a function."""

    def variance(effects: Floats, n_per_arm: int) -> Floats:
        return np.full(np.shape(effects), 2 * sd**2 / n_per_arm)

    return variance


def new_trial(
    estimates: ArrayLike,
    variances: ArrayLike,
    n_per_arm: int,
    true_effects: Sequence[float],
    variance: NewVariance = smd_variance,
    tau2_new: float = 0.0,
    tau2_method: str = "REML",
    ci_method: str = "knapp-hartung-conservative",
    level: float = 0.95,
) -> NewTrial:
    """Say what a new trial of two equal arms would do to the pooled interval.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        The trials there are; at least one.
    n_per_arm : int
        At least 2.
    true_effects : sequence of float
        Scenarios: the true mean effect of trials like the new one.
    variance : callable
        Sampling variance of the new result, from the result and the size.
    tau2_new : float
        Variance between trials of their true effects, by which the new trial's true effect differs
        from the scenario's.
    tau2_method, ci_method, level
        Of the updated meta-analysis, which is refitted for every result of the new trial.

    Returns
    -------
    NewTrial

    Raises
    ------
    UsageError, ImpossibleDataError, NotEstimableError
        Estimates or variances that cannot be; no trial; fewer than two people per arm; a
        negative ``tau2_new``.

    Notes
    -----
    The new result is normal around the scenario with variance ``variance(scenario, n) +
    tau2_new``. The probabilities are the conditional power of Roloff, Higgins and Sutton (2013),
    Stat. Med. 32, 11-24, except that the variance between trials is estimated again with the new
    trial and the interval is the one the analysis uses; the ranges of the new result are the
    contours of an extended funnel plot at that trial's standard error (Langan, Higgins, Gregory and
    Sutton 2012, J. Clin. Epidemiol. 65, 511-519). With few trials a new one that differs much from
    them may widen the interval: the ranges then have two ends.
    """
    y, v, _, _, _ = checked_inputs(estimates, variances, None)
    if n_per_arm < 2:
        raise UsageError(f"n_per_arm is {n_per_arm}; two people per arm are the fewest")
    if not tau2_new >= 0:
        raise UsageError(f"tau2_new is {tau2_new:g}; a variance is not negative")
    if len(true_effects) == 0:
        raise NotEstimableError("true_effects is empty; give at least one scenario")
    scenarios = np.asarray(true_effects, dtype=np.float64)
    spreads = np.sqrt(variance(scenarios, n_per_arm) + tau2_new)

    def bounds(results: Floats) -> tuple[Floats, Floats]:
        shape = (len(y), len(results))
        fits = batched_fit(
            np.vstack([np.broadcast_to(y[:, None], shape), results]),
            np.vstack([np.broadcast_to(v[:, None], shape), variance(results, n_per_arm)]),
            tau2_method=tau2_method,
        )
        found = batched_inference(fits, ci_method, level)
        return found.ci_low[0], found.ci_high[0]

    low = float((scenarios - _REACH * spreads).min())
    high = float((scenarios + _REACH * spreads).max())
    points = math.ceil((high - low) / float(spreads.min()) * _STEPS) + 1
    inner = np.linspace(low, high, min(max(points, _FEWEST), _MOST))
    far = _REACH * float(max(np.sqrt(v).max(), spreads.max()))
    grid = np.concatenate(
        [
            np.linspace(min(low, float(y.min())) - far, low, _BEYOND, endpoint=False),
            inner,
            np.linspace(max(high, float(y.max())) + far, high, _BEYOND, endpoint=False)[::-1],
        ]
    )
    lower, upper = bounds(grid)
    below = _ranges(grid, -upper, lambda results: -bounds(results)[1])
    above = _ranges(grid, lower, lambda results: bounds(results)[0])
    return NewTrial(
        n_per_arm,
        below,
        above,
        tuple(
            Outlook(
                float(effect),
                _chance(below, effect, spread),
                _chance(above, effect, spread),
                _mean(inner, (upper - lower)[_BEYOND:-_BEYOND], effect, spread),
            )
            for effect, spread in zip(scenarios, spreads, strict=True)
        ),
    )


def _ranges(
    grid: Floats, values: Floats, value: Callable[[Floats], Floats]
) -> tuple[tuple[float, float], ...]:
    """Return the ranges in which ``value`` is positive; their ends by repeated splitting."""
    grid, values = _with_peak(grid, values, value)
    inside = values > 0
    turns = np.flatnonzero(inside[1:] != inside[:-1])
    low, high = grid[turns], grid[turns + 1]
    for _ in range(_REFINEMENTS if turns.size else 0):
        points = np.linspace(low, high, _SPLIT)
        same = (value(points.ravel()).reshape(points.shape) > 0) == inside[turns]
        same[0], same[-1] = True, False
        last, column = np.argmin(same, axis=0), np.arange(turns.size)
        low, high = points[last - 1, column], points[last, column]
    ends = ((low + high) / 2).tolist()
    if inside[0]:
        ends.insert(0, -math.inf)
    if inside[-1]:
        ends.append(math.inf)
    return tuple(zip(ends[::2], ends[1::2], strict=True))


def _with_peak(
    grid: Floats, values: Floats, value: Callable[[Floats], Floats]
) -> tuple[Floats, Floats]:
    """Add the place of the largest value, where a range narrower than the grid would hide."""
    top = int(np.argmax(values))
    if values[top] > 0:
        return grid, values
    low, high = float(grid[max(top - 1, 0)]), float(grid[min(top + 1, len(grid) - 1)])
    for _ in range(_REFINEMENTS):
        points = np.linspace(low, high, _SPLIT)
        found = value(points)
        best = int(np.argmax(found))
        if found[best] > 0:
            at = int(np.searchsorted(grid, points[best]))
            return np.insert(grid, at, points[best]), np.insert(values, at, found[best])
        low, high = float(points[max(best - 1, 0)]), float(points[min(best + 1, _SPLIT - 1)])
    return grid, values


def _chance(ranges: tuple[tuple[float, float], ...], mean: float, sd: float) -> float:
    """Return the probability of a normal variable to fall into one of the ranges."""
    total = sum(special.ndtr((b - mean) / sd) - special.ndtr((a - mean) / sd) for a, b in ranges)
    return min(1.0, max(0.0, float(total)))


def _mean(grid: Floats, values: Floats, mean: float, sd: float) -> float:
    """Return the mean of a function of a normal variable, by the trapezium rule."""
    density = np.exp(-0.5 * ((grid - mean) / sd) ** 2)
    return float(density @ values / density.sum())


#: Two-sided alpha and power of the conventional trial of GRADE.
ALPHA, POWER = 0.05, 0.8
#: Relative change of the risk on control that GRADE suggests to look for.
RELATIVE_CHANGE = 0.25


def information_size_means(
    difference: float, sd: float = 1.0, alpha: float = ALPHA, power: float = POWER
) -> int:
    """Return the people in both arms that a trial of a difference of means would need.

    Twice the whole number above ``2 (z_(1 - alpha/2) + z_power)^2 (sd / difference)^2`` at the
    smallest important difference, with ``sd`` within arms. The optimal information size of GRADE is
    the size of one adequately powered trial: Guyatt et al. (2011), J. Clin. Epidemiol. 64,
    1283-1293.
    """
    return 2 * math.ceil(normal_sample_size(difference, sd, alpha, power))


def information_size_risks(
    control_risk: float,
    relative_change: float = RELATIVE_CHANGE,
    alpha: float = ALPHA,
    power: float = POWER,
) -> int:
    """Return the people in both arms that a trial of a relative change of a risk would need.

    ``relative_change`` is 0.25 for a risk that is a quarter higher on treatment, -0.25 for a
    quarter lower. See :func:`two_proportions_sample_size`.
    """
    treated = control_risk * (1 + relative_change)
    return 2 * math.ceil(two_proportions_sample_size(control_risk, treated, alpha, power))


def implied_sd(variances: Sequence[float], n1: Sequence[float], n2: Sequence[float]) -> float:
    """Return the typical standard deviation behind the variances of mean differences.

    The median over trials of ``sqrt(v n1 n2 / (n1 + n2))``, the common SD of two arms whose
    difference has variance v. Standard errors from models with covariates make it smaller.
    """
    v, a, b = (np.asarray(values, dtype=np.float64) for values in (variances, n1, n2))
    return float(np.median(np.sqrt(v * a * b / (a + b))))
