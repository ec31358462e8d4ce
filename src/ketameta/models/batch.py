"""Many fits at once: D data sets of k studies that share a design. Arrays in, arrays out.

PyMARE estimates tau-squared where it can (polished to rounding); the rest is ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ketameta.models import _pymare
from ketameta.models.least_squares import (
    Array,
    moments,
    orthonormal_basis,
    power_of_two_scale,
    residualised,
)
from ketameta.models.tau2 import COMMON

#: Data sets fitted in one go; it bounds the memory, not the result.
CHUNK = 4096
#: Newton steps of Paule-Mandel; the equation is nearly linear in the variable used.
PM_STEPS = 60


class BatchFit(NamedTuple):
    """Fits of D data sets.

    Attributes
    ----------
    coefficients, se, statistic : ndarray of shape (D, p)
        ``statistic`` is infinite where a standard error is 0 and the coefficient is not.
    tau2 : ndarray of shape (D,)
    qm : ndarray of shape (D,)
        The Wald statistic of the columns asked for.
    """

    coefficients: Array
    se: Array
    statistic: Array
    tau2: Array
    qm: Array


def fit_batch(
    y: Array,
    v: Array,
    design: Array,
    tau2_method: str = "REML",
    ci_method: str = "knapp-hartung-conservative",
    tested: tuple[int, ...] = (0,),
) -> BatchFit:
    """Fit every row of ``y`` and ``v`` on one design.

    Parameters
    ----------
    y, v : ndarray of shape (D, k)
        Taken as checked.
    design : ndarray of shape (k, p)
    tau2_method, ci_method : str
        As in :func:`~ketameta.models.mixed_model.fit_mixed_model`.
    tested : tuple of int
        Columns of the joint test.
    """
    parts = [
        _fit(y[i : i + CHUNK], v[i : i + CHUNK], design, tau2_method, ci_method, tested)
        for i in range(0, len(y), CHUNK)
    ]
    return BatchFit(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _fit(
    y: Array, v: Array, design: Array, tau2_method: str, ci_method: str, tested: tuple[int, ...]
) -> BatchFit:
    k, p = design.shape
    tau2 = tau2_batch(y, v, design, tau2_method)
    w = 1 / (v + tau2[:, None])
    root = np.sqrt(w)
    q, r = np.linalg.qr(root[:, :, None] * design)
    z = root * y
    projected = np.einsum("dkp,dk->dp", q, z)
    coefficients = np.linalg.solve(r, projected[:, :, None])[:, :, 0]
    residual = z - np.einsum("dkp,dp->dk", q, projected)
    inverse = np.linalg.solve(r, np.broadcast_to(np.eye(p), r.shape))
    covariance = inverse @ np.swapaxes(inverse, 1, 2)
    if ci_method != "wald":
        factor = (residual**2).sum(1) / (k - p)
        if ci_method == "knapp-hartung-conservative":
            factor = np.maximum(1.0, factor)
        covariance = covariance * factor[:, None, None]
    se = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    statistic = np.where(coefficients == 0, 0.0, np.copysign(np.inf, coefficients))
    np.divide(coefficients, se, out=statistic, where=se > 0)
    at = list(tested)
    usable = (se[:, at] > 0).all(1)
    block = covariance[:, at][:, :, at]
    block = np.where(usable[:, None, None], block, np.eye(len(at)))
    b = coefficients[:, at]
    solved = np.linalg.solve(block, b[:, :, None])[:, :, 0]
    qm = np.where(usable, (b * solved).sum(1), np.inf)
    return BatchFit(coefficients, se, statistic, tau2, qm)


def tau2_batch(y: Array, v: Array, design: Array, method: str) -> Array:
    """Return tau-squared of every data set, shape (D,), by any estimator.

    Equal to :func:`ketameta.models.tau2.estimate_tau2` to rounding; with several maxima of a
    likelihood the one nearest PyMARE's search.
    """
    if method == COMMON:
        return np.zeros(len(y))
    if method in _pymare.PYMARE_METHODS:
        return _pymare.tau2_batch(y, v, design, method)
    scale = power_of_two_scale(v)
    basis = orthonormal_basis(design)
    small, spread = residualised(y / scale, basis), v / scale**2
    k, p = design.shape
    if method == "HS":
        w = 1 / spread
        tau2 = np.maximum(0.0, (moments(small, basis, w).rss - k) / w.sum(1))
    elif method == "SJ":
        start = np.var(y / scale, axis=1)
        at = moments(small, basis, 1 / (spread + start[:, None]))
        tau2 = start * at.rss / (k - p)
    else:
        tau2 = _paule_mandel(small, spread, basis)
    return tau2 * scale**2


def _paule_mandel(y: Array, v: Array, basis: Array) -> Array:
    """Solve Q = k - p by Newton's method on 1 / Q, which rises to the root from below."""
    k, p = basis.shape
    tau2 = np.zeros(len(y))
    start = moments(y, basis, 1 / v).rss
    active = np.flatnonzero(start > k - p)
    for _ in range(PM_STEPS):
        if not active.size:
            break
        at = moments(y[active], basis, 1 / (v[active] + tau2[active, None]))
        step = (at.rss / (k - p) - 1) * at.rss / at.score
        tau2[active] = np.maximum(0.0, tau2[active] + step)
        moving = np.abs(step) > 1e-15 * (tau2[active] + v[active].min(1))
        active = active[moving]
    return tau2
