"""The largest likelihood of the three-level model, and its profile: global first, then exact.

A grid sees every hill; a bounded Newton search climbs each; what they disagree by is reported.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ketameta.models.multilevel_likelihood import (
    Evaluation,
    Rotated,
    evaluate,
    log_likelihoods,
)

FloatArray = NDArray[np.float64]

#: Grid of candidate variances as multiples of the spread of the residuals: zero, then six decades.
_GRID = np.concatenate([[0.0], np.geomspace(1e-4, 1e2, 19)])
#: A step shorter than this share of the variances ends the climb.
_STEP = 1e-13
_MOST_STEPS = 300
#: Relative rounding error of a log-likelihood.
_ROUNDING = 1e-12
#: Two hilltops within this log-likelihood are the same optimum.
SAME_OPTIMUM = 1e-8
#: An upper limit beyond this many times the spread of the data is not a limit.
_UNBOUNDED = 1e6


class Optimum(NamedTuple):
    """Where the likelihood is largest.

    Attributes
    ----------
    variances : ndarray of shape (2,)
        Between studies, between effects.
    log_likelihood : float
    starts : int
        Hills the grid saw and the search climbed.
    gap : float or None
        Log-likelihood lost at the best of the other optima; ``None`` when every start agrees.
    converged : bool
    """

    variances: FloatArray
    log_likelihood: float
    starts: int
    gap: float | None
    converged: bool


def spread(data: Rotated) -> float:
    """Return the size of a variance in these data: residual variance, or sampling variance."""
    return float(max(np.mean(data.y**2), np.median(data.eigenvalues)))


def maximise(data: Rotated, restricted: bool) -> Optimum:
    """Find the global maximum over both variances, each >= 0."""
    values = _GRID * spread(data)
    pairs = np.stack(np.meshgrid(values, values, indexing="ij"), axis=-1)
    surface = log_likelihoods(data, values, values, restricted)
    padded = np.pad(surface, 1, constant_values=-np.inf)
    around = np.stack(
        [
            padded[1 + i : 1 + i + len(values), 1 + j : 1 + j + len(values)]
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
            if (i, j) != (0, 0)
        ]
    )
    hills = pairs[surface >= around.max(axis=0)]
    climbed = [climb(data, start, restricted, np.array([True, True])) for start in hills]
    climbed.sort(key=lambda top: -top[1])
    best = climbed[0]
    others = [top[1] for top in climbed[1:] if best[1] - top[1] > SAME_OPTIMUM]
    gap = float(best[1] - max(others)) if others else None
    return Optimum(best[0], best[1], len(climbed), gap, best[2])


def climb(
    data: Rotated, start: FloatArray, restricted: bool, free: NDArray[np.bool_]
) -> tuple[FloatArray, float, bool]:
    """Climb from ``start`` by average-information steps over the free variances.

    Returns
    -------
    tuple
        Variances (2,), log-likelihood, and whether the steps ended by themselves.
    """
    x = np.array(start, dtype=np.float64)
    here = evaluate(data, x[None], restricted)
    size = spread(data)
    slack = _ROUNDING * (1 + abs(float(here.log_likelihood[0])))
    for _ in range(_MOST_STEPS):
        score = here.score[0]
        moving = free & ((x > 0) | (score > 0))
        if not np.any(moving):
            return x, float(here.log_likelihood[0]), True
        step = np.zeros(2)
        information = here.information[0][np.ix_(moving, moving)]
        step[moving] = np.linalg.lstsq(information, score[moving], rcond=1e-14)[0]
        # No step longer than the data can mean; a bound is reached, never crossed.
        step *= min(1.0, 10 * (size + x.max()) / max(float(np.abs(step).max()), 1e-300))
        share, improved = 1.0, False
        for _ in range(60):
            trial = np.maximum(x + share * step, 0.0)
            there = evaluate(data, trial[None], restricted)
            # The score is exact where differences of likelihoods are rounding error already.
            if there.log_likelihood[0] >= here.log_likelihood[0] - slack:
                improved = True
                break
            share /= 2
        if not improved:
            return x, float(here.log_likelihood[0]), _is_flat(here, x, moving)
        moved = float(np.abs(trial - x).max())
        x, here = trial, there
        if moved <= _STEP * (x.max() + size):
            return x, float(here.log_likelihood[0]), True
    return x, float(here.log_likelihood[0]), _is_flat(here, x, free & (x > 0))


def _is_flat(here: Evaluation, x: FloatArray, moving: NDArray[np.bool_]) -> bool:
    """Whether the slope that is left is rounding error: no gain above 1e-9 in log-likelihood."""
    return bool(np.all(np.abs(here.score[0] * x)[moving] < 1e-4))


def profile_interval(
    data: Rotated, optimum: Optimum, component: int, restricted: bool, level: float
) -> tuple[float, float | None]:
    """Return the profile-likelihood interval of one variance.

    Parameters
    ----------
    data : Rotated
    optimum : Optimum
    component : {0, 1}
        The variance between studies, or between effects.
    restricted : bool
    level : float

    Returns
    -------
    tuple of float and (float or None)
        The lower limit is 0 where the profile never falls below the cut-off; the upper limit is
        ``None`` where it stays above it out to a million times the spread of the data.
    """
    cutoff = optimum.log_likelihood - float(special.chdtri(1, 1 - level)) / 2
    at = float(optimum.variances[component])
    size = spread(data)
    free = np.array([component == 1, component == 0])

    def profile(value: float) -> float:
        fixed, grid = np.array([value]), _GRID * size
        between, within = (fixed, grid) if component == 0 else (grid, fixed)
        other = grid[int(np.argmax(log_likelihoods(data, between, within, restricted)))]
        start = np.array([value, other] if component == 0 else [other, value])
        return climb(data, start, restricted, free)[1] - cutoff

    def root(low: float, high: float) -> float:
        return float(optimize.brentq(profile, low, high, xtol=1e-13 * size, rtol=1e-12))

    lower = 0.0
    if at > 0 and profile(0.0) < 0:
        lower = root(0.0, at)
    far = max(2 * at, 1e-3 * size)
    while profile(far) > 0:
        if far > _UNBOUNDED * size:
            return lower, None
        far *= 4
    return lower, root(at, far)
