"""What one more trial would do to a pooled result. Deterministic: no simulation.

The pooled interval is refitted for a grid of results of the new trial; the results at which it
starts or stops to exclude no effect are found as roots, so that probabilities are exact for the
normal distribution of the new result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.errors import NotEstimableError, UsageError
from ketameta.models.batched import batched_fit, batched_inference
from ketameta.models.gate import checked_inputs
from ketameta.models.least_squares import Array

#: Sampling variance of a new trial's effect, from the effect it finds and its people per arm.
NewVariance = Callable[[Array, int], Array]

#: Results of the new trial that are tried, in standard errors of the result around each scenario.
_REACH = 8.0
#: Steps of the grid per standard error of the result; the mean width, which has kinks where the
#: variance between trials leaves 0, is then good to 1e-4 of itself.
_STEPS = 8
#: Points beyond the scenarios, on either side, where a range may still end.
_BEYOND = 64
#: Coarsest and finest grid.
_FEWEST, _MOST = 257, 2049
#: Refinements of a root between two grid points, each an eightfold narrowing.
_REFINEMENTS = 8
_SPLIT = 9


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be expected of one scenario.

    Attributes
    ----------
    true_effect : float
        In the new trial.
    p_below, p_above : float
        Probability that the new pooled interval lies wholly below, or above, no effect.
    expected_width : float
        Mean width of the new pooled interval.
    """

    true_effect: float
    p_below: float
    p_above: float
    expected_width: float


@dataclass(frozen=True, slots=True)
class NewTrial:
    """One size of a new trial.

    Attributes
    ----------
    n_per_arm : int
    below, above : tuple of (float, float)
        Ranges of the new trial's own result with which the pooled interval lies wholly below
        (above) no effect; infinite where the range does not end within the results tried.
    outlooks : tuple of Outlook
        One per scenario.
    """

    n_per_arm: int
    below: tuple[tuple[float, float], ...]
    above: tuple[tuple[float, float], ...]
    outlooks: tuple[Outlook, ...]


def smd_variance(effects: Array, n_per_arm: int) -> Array:
    """Return the sampling variance of g in a trial of two equal arms.

    ``2 / n + g^2 / (4 n)``: Hedges (1982) with ``n1 = n2 = n``, as metafor's ``SMD``.
    """
    return 2 / n_per_arm + effects**2 / (4 * n_per_arm)


def md_variance(sd: float) -> NewVariance:
    """Return the sampling variance of a mean difference, ``2 sd^2 / n``, as a function."""

    def variance(effects: Array, n_per_arm: int) -> Array:
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
        As the gate; no trial; fewer than two people per arm; a negative ``tau2_new``.

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

    def bounds(results: Array) -> tuple[Array, Array]:
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
    grid: Array, values: Array, value: Callable[[Array], Array]
) -> tuple[tuple[float, float], ...]:
    """Return the ranges in which ``value`` is positive, with their ends found as roots."""
    grid, values = _with_peak(grid, values, value)
    inside = values > 0
    turns = np.flatnonzero(inside[1:] != inside[:-1])
    ends = [_root(float(grid[i]), float(grid[i + 1]), bool(inside[i]), value) for i in turns]
    if inside[0]:
        ends.insert(0, -math.inf)
    if inside[-1]:
        ends.append(math.inf)
    return tuple(zip(ends[::2], ends[1::2], strict=True))


def _with_peak(grid: Array, values: Array, value: Callable[[Array], Array]) -> tuple[Array, Array]:
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


def _root(low: float, high: float, starts_inside: bool, value: Callable[[Array], Array]) -> float:
    """Return where ``value`` changes its sign between two points, by repeated splitting."""
    for _ in range(_REFINEMENTS):
        points = np.linspace(low, high, _SPLIT)
        same = (value(points) > 0) == starts_inside
        same[0], same[-1] = True, False
        last = int(np.argmin(same)) - 1
        low, high = float(points[last]), float(points[last + 1])
    return (low + high) / 2


def _chance(ranges: tuple[tuple[float, float], ...], mean: float, sd: float) -> float:
    """Return the probability of a normal variable to fall into one of the ranges."""
    total = sum(special.ndtr((b - mean) / sd) - special.ndtr((a - mean) / sd) for a, b in ranges)
    return min(1.0, max(0.0, float(total)))


def _mean(grid: Array, values: Array, mean: float, sd: float) -> float:
    """Return the mean of a function of a normal variable, by the trapezium rule."""
    density = np.exp(-0.5 * ((grid - mean) / sd) ** 2)
    return float(density @ values / density.sum())
