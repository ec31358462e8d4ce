"""Likelihood of a step-function selection model with its derivatives, at many points at once.

Effects are taken in the direction that is favoured: a large effect has a small p-value. Knows
nothing of starts, searches or results.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ketameta.models.least_squares import Array

LOG_ROOT_TWO_PI = 0.5 * float(np.log(2 * np.pi))


class SelectionData(NamedTuple):
    """Estimates and how likely each was to be seen.

    Attributes
    ----------
    y, v : ndarray of shape (k,)
        Scaled effects, large ones favoured, and their variances.
    cuts : ndarray of shape (J - 1, k)
        Effects at which the p-value of each study crosses a step, falling.
    group : ndarray of int, shape (k,)
        Interval of each p-value, 0 for the smallest.
    counts : ndarray of shape (J,)
        Studies in each interval.
    """

    y: Array
    v: Array
    cuts: Array
    group: NDArray[np.intp]
    counts: Array


class Derivatives(NamedTuple):
    """Log-likelihood (M,), gradient (q, M) and Hessian (q, q, M); q = 2 + (J - 1).

    Parameters are the mean, tau-squared and the logarithms of the weights but the first.
    """

    value: Array
    gradient: Array
    hessian: Array


def selection_data(y: Array, v: Array, steps: Array) -> SelectionData:
    """Return the data with one-sided p-values sorted into the intervals that ``steps`` bound."""
    se = np.sqrt(v)
    p_values = special.ndtr(-y / se)
    group = np.searchsorted(steps, p_values, side="left")
    cuts = -special.ndtri(steps)[:, None] * se
    counts = np.bincount(group, minlength=len(steps) + 1).astype(float)
    return SelectionData(y, v, cuts, group, counts)


def log_interval(low: Array, high: Array) -> Array:
    """Return ``log(Phi(high) - Phi(low))`` without cancellation in either tail."""
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    top, bottom = special.log_ndtr(b), special.log_ndtr(a)
    share: Array = np.where(bottom > -np.inf, np.exp(bottom - top), 0.0)
    return top + np.log1p(-np.minimum(share, 1 - 1e-16))


def log_chances(data: SelectionData, mean: Array, tau2: Array) -> Array:
    """Return the log-chance of each interval for each study at each point, shape (J, k, M)."""
    spread = np.sqrt(data.v[:, None] + tau2)
    u = (data.cuts[:, :, None] - mean) / spread
    edge = np.full((1, *u.shape[1:]), np.inf)
    above, below = np.concatenate([edge, u]), np.concatenate([u, -edge])
    return log_interval(below, above)


def value_only(data: SelectionData, point: Array) -> Array:
    """Return the log-likelihood at ``point`` (q, M), shape (M,)."""
    mean, tau2 = point[0], point[1]
    eta = np.concatenate([np.zeros((1, point.shape[1])), point[2:]])
    log_a = special.logsumexp(log_chances(data, mean, tau2) + eta[:, None], axis=0)
    total = data.v[:, None] + tau2
    densities = -0.5 * np.log(total) - (data.y[:, None] - mean) ** 2 / (2 * total)
    value: Array = (densities - log_a).sum(0) + data.counts @ eta
    return value - len(data.y) * LOG_ROOT_TWO_PI


def derivatives(data: SelectionData, point: Array) -> Derivatives:
    """Return value, gradient and Hessian at ``point`` (q, M).

    Notes
    -----
    With ``u_j`` the standardised cuts, the chance that a study is seen is ``A = 1 + sum_j d_j
    Phi(u_j)``, ``d_j`` the differences of successive weights. It solves the heat equation in the
    mean and tau-squared, ``A_mm = 2 A_t``, which gives every second derivative from powers of
    ``u``.
    """
    k, (q, points) = len(data.y), point.shape
    mean, tau2 = point[0], point[1]
    eta = np.concatenate([np.zeros((1, points)), point[2:]])
    total = data.v[:, None] + tau2
    spread = np.sqrt(total)
    chances = log_chances(data, mean, tau2)
    log_a = special.logsumexp(chances + eta[:, None], axis=0)
    share = np.exp(chances + eta[:, None] - log_a)[1:]  # of each interval in A, (J - 1, k, M)
    u = (data.cuts[:, :, None] - mean) / spread
    density = np.exp(-0.5 * u * u - LOG_ROOT_TWO_PI - log_a)  # relative to A
    weights = np.exp(eta)
    jump = (weights[1:] - weights[:-1])[:, None] * density
    a_m = -jump.sum(0) / spread
    a_t = -(jump * u).sum(0) / (2 * total)
    a_mt = (jump * (1 - u * u)).sum(0) / (2 * total * spread)
    a_tt = (jump * u * (3 - u * u)).sum(0) / (4 * total**2)
    edge = np.zeros((1, k, points))
    upper = np.concatenate([density, edge])[1:]  # density at the lower cut of intervals 1..J-1
    upper_u = np.concatenate([density * u, edge])[1:]
    scaled = weights[1:, None]
    b_m = scaled * (upper - density) / spread  # derivative of each share's numerator
    b_t = scaled * (upper_u - density * u) / (2 * total)

    residual = data.y[:, None] - mean
    z2 = residual**2 / total
    gradient = np.empty((q, points))
    hessian = np.empty((q, q, points))
    gradient[0] = (residual / total - a_m).sum(0)
    gradient[1] = ((z2 - 1) / (2 * total) - a_t).sum(0)
    gradient[2:] = data.counts[1:, None] - share.sum(1)
    hessian[0, 0] = (-1 / total - 2 * a_t + a_m**2).sum(0)
    hessian[0, 1] = hessian[1, 0] = (-residual / total**2 - a_mt + a_m * a_t).sum(0)
    hessian[1, 1] = ((0.5 - z2) / total**2 - a_tt + a_t**2).sum(0)
    hessian[2:, 0] = hessian[0, 2:] = (share * a_m - b_m).sum(1)
    hessian[2:, 1] = hessian[1, 2:] = (share * a_t - b_t).sum(1)
    hessian[2:, 2:] = np.einsum("akm,bkm->abm", share, share)
    for j in range(q - 2):
        hessian[2 + j, 2 + j] -= share[j].sum(0)
    densities = -0.5 * np.log(total) - 0.5 * z2 - LOG_ROOT_TWO_PI
    return Derivatives((densities - log_a).sum(0) + data.counts @ eta, gradient, hessian)
