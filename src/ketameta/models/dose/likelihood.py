"""Slopes that differ between studies: restricted likelihood of their covariance, and its maximum.

Arrays in, arrays out. Contrasts are few, so that matrices are dense.

A room of its own because it holds arrays and a search only, and knows no trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ketameta.effects.arrays import Floats

IntArray = NDArray[np.intp]

#: Standard deviations of the slopes tried first, as multiples of the precision of the data.
_STARTS = np.geomspace(1e-2, 1e2, 9)
#: Grid of one variance: zero, then sixteen decades around the precision of the data.
_GRID = np.concatenate([[0.0], np.geomspace(1e-8, 1e8, 129)])
#: Two optima within this log-likelihood are the same.
SAME_OPTIMUM = 1e-7
#: Newton steps at most after the search, which stops where processors differ by 1e-8; few are made.
_NEWTON_STEPS = 20
#: Step of the differences that give the curvature, as a share of the largest parameter.
_DIFFERENCE = 1e-5
#: Directions with less curvature than this share of the largest are left as they are: a covariance
#: matrix of lower rank has several factors.
_FLAT = 1e-9
#: Variances and covariances below this share of the precision of the data are rounding of nothing.
_NOTHING = 1e-12


class SlopeFit(NamedTuple):
    """A generalised least squares fit at one covariance of the slopes.

    The restricted log-likelihood is as metafor's ``rma.mv`` counts it, ``rss`` the weighted sum of
    squared residuals, and ``gradient`` (p, p) that of the log-likelihood by the covariance.
    """

    coefficients: Floats
    covariance: Floats
    log_likelihood: float
    rss: float
    gradient: Floats


class SlopeOptimum(NamedTuple):
    """The largest restricted likelihood: ``between`` (p, p), and ``gap`` to the next optimum."""

    between: Floats
    gap: float | None


def fit_slopes(
    y: Floats,
    design: Floats,
    sampling: Floats,
    rows: Sequence[IntArray],
    between: Floats,
) -> SlopeFit:
    """Fit ``y = X b + Z u + e`` at a given covariance ``between`` of the study slopes ``u``.

    Each study's rows of the design are also its random design. With
    ``P = W - W X (X' W X)^-1 X' W`` the gradient is ``sum_i X_i' (P y y' P - P)_ii X_i / 2``.
    """
    n, p = design.shape
    total = sampling.copy()
    for at in rows:
        total[np.ix_(at, at)] += design[at] @ between @ design[at].T
    root = np.linalg.cholesky(total)
    white_y = np.linalg.solve(root, y)
    white_design = np.linalg.solve(root, design)
    q, r = np.linalg.qr(white_design)
    coefficients = np.linalg.solve(r, q.T @ white_y)
    residual = white_y - white_design @ coefficients
    coefficients = coefficients + np.linalg.solve(r, q.T @ residual)
    residual = white_y - white_design @ coefficients
    rss = float(residual @ residual)
    inverse = np.linalg.solve(r, np.eye(p))
    half = np.linalg.solve(root, np.eye(n))
    projected = half - q @ (q.T @ half)
    p_matrix = projected.T @ projected
    py = half.T @ residual
    gradient = np.zeros((p, p))
    for at in rows:
        inner = np.outer(py[at], py[at]) - p_matrix[np.ix_(at, at)]
        gradient += design[at].T @ inner @ design[at] / 2
    log_likelihood = -0.5 * (
        (n - p) * math.log(2 * math.pi)
        + 2 * float(np.log(np.diag(root)).sum())
        + 2 * float(np.log(np.abs(np.diag(r))).sum())
        - float(np.linalg.slogdet(design.T @ design)[1])
        + rss
    )
    return SlopeFit(coefficients, inverse @ inverse.T, log_likelihood, rss, gradient)


def maximise_slopes(
    y: Floats, design: Floats, sampling: Floats, rows: Sequence[IntArray]
) -> SlopeOptimum:
    """Return the covariance of the slopes at the global maximum of the restricted likelihood.

    Parameters as in :func:`fit_slopes`, in units in which precision is about 1. One slope is found
    on a grid and then as the root of the derivative; several by a quasi-Newton search over the
    Cholesky factor from several starts, and Newton steps from the best until they gain nothing.
    """
    if design.shape[1] == 1:
        return _one_slope(y, design, sampling, rows)
    return _several_slopes(y, design, sampling, rows)


def _one_slope(
    y: Floats, design: Floats, sampling: Floats, rows: Sequence[IntArray]
) -> SlopeOptimum:
    def at(value: float) -> SlopeFit:
        return fit_slopes(y, design, sampling, rows, np.array([[value]]))

    def slope(value: float) -> float:
        return float(at(value).gradient[0, 0])

    slopes = np.array([slope(value) for value in _GRID])
    tops = [0.0] if slopes[0] <= 0 else []
    for j in range(len(_GRID) - 1):
        if slopes[j] > 0 >= slopes[j + 1]:
            low, high = float(_GRID[j]), float(_GRID[j + 1])
            tops.append(float(optimize.brentq(slope, low, high, xtol=1e-300, rtol=1e-14)))
    heights = [(at(top).log_likelihood, top) for top in tops]
    heights.sort(reverse=True)
    return SlopeOptimum(np.array([[heights[0][1]]]), _gap([height for height, _ in heights]))


def _several_slopes(
    y: Floats, design: Floats, sampling: Floats, rows: Sequence[IntArray]
) -> SlopeOptimum:
    p = design.shape[1]
    lower = np.tril_indices(p)

    def factor(flat: Floats) -> Floats:
        made = np.zeros((p, p))
        made[lower] = flat
        return made

    def objective(flat: Floats) -> tuple[float, Floats]:
        root = factor(flat)
        here = fit_slopes(y, design, sampling, rows, root @ root.T)
        return -here.log_likelihood, np.asarray(-2 * (here.gradient @ root)[lower])

    nothing = np.zeros(len(lower[0]))
    found = [(-objective(nothing)[0], nothing)]
    for size in _STARTS:
        for sign in (-1.0, 0.0, 1.0):
            start = size * np.eye(p)
            start[1:, 0] = 0.7 * sign * size
            climbed = optimize.minimize(
                objective,
                start[lower],
                jac=True,
                method="L-BFGS-B",
                options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500},
            )
            found.append((-float(climbed.fun), np.asarray(climbed.x, dtype=np.float64)))
    best = max(found, key=lambda item: item[0])
    # Where no slope at all is as good, none is the answer.
    if found[0][0] >= best[0] - SAME_OPTIMUM:
        return SlopeOptimum(np.zeros((p, p)), None)
    root = factor(_polished(lambda flat: objective(flat)[1], best[1]))
    between = root @ root.T
    return SlopeOptimum(np.where(np.abs(between) < _NOTHING, 0.0, between), None)


def _polished(gradient: Callable[[Floats], Floats], start: Floats) -> Floats:
    """Return the root of a gradient near ``start`` by Newton steps, while each halves its size."""
    here, slope = start, gradient(start)
    for _ in range(_NEWTON_STEPS):
        width = _DIFFERENCE * float(np.abs(here).max())
        shifts = width * np.eye(len(here))
        curvature = np.stack(
            [(gradient(here + s) - gradient(here - s)) / (2 * width) for s in shifts]
        )
        step = np.linalg.lstsq((curvature + curvature.T) / 2, -slope, rcond=_FLAT)[0]
        there = gradient(here + step)
        if not np.linalg.norm(there) < np.linalg.norm(slope) / 2:
            break
        here, slope = here + step, there
    return here


def _gap(heights: Sequence[float]) -> float | None:
    """Return what the next optimum lacks; ``None`` where there is one."""
    others = [height for height in heights[1:] if heights[0] - height > SAME_OPTIMUM]
    return heights[0] - max(others) if others else None
