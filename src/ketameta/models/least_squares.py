"""Weighted least squares and the projections behind every estimator. Arrays in, arrays out.

Knows nothing of studies, methods of estimation or intervals.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ketameta.effects.arrays import Floats


class Moments(NamedTuple):
    """What the estimators of tau-squared need at T sets of weights, each of shape (T,).

    With ``W = diag(w)`` and ``P = W - W X (X' W X)^-1 X' W`` (Viechtbauer 2005): ``rss = y'Py``,
    ``score = y'PPy``, ``trace = tr(P)``, ``trace_squared = tr(PP)``, and ``log_det = log |B'WB|``
    for the orthonormal basis B that was given.
    """

    rss: Floats
    score: Floats
    trace: Floats
    trace_squared: Floats
    log_det: Floats


class LeastSquares(NamedTuple):
    """A weighted regression: ``coefficients`` (p,), ``covariance`` (p, p), ``rss``, ``df``."""

    coefficients: Floats
    covariance: Floats
    rss: float
    df: int


#: Residuals below this share of the effects are the rounding error of an exact fit.
EXACT_FIT = 1e-13


def dispersion(squares: float, effects: float) -> float:
    """Return a sum of squared residuals; 0 where it is rounding beside that of the effects."""
    return squares if squares > EXACT_FIT**2 * effects else 0.0


def power_of_two_scale(variances: Floats) -> float:
    """Return the power of two nearest the median standard error.

    Dividing by it moves data to the size of 1 without a rounding error, so that no tolerance
    depends on the unit of the effect.
    """
    k = len(variances)
    middle = np.partition(variances, (k // 2, (k - 1) // 2))
    median = (float(middle[k // 2]) + float(middle[(k - 1) // 2])) / 2
    return float(2.0 ** round(0.5 * math.log2(median)))


def orthonormal_basis(design: Floats) -> Floats:
    """Return an orthonormal basis of the columns of ``design``, shape (k, p)."""
    if design.shape[1] == 1 and (design == 1).all():
        return np.full(design.shape, len(design) ** -0.5)
    basis: Floats = np.linalg.qr(design)[0]
    return basis


def residualised(y: Floats, basis: Floats) -> Floats:
    """Return ``y`` less its ordinary least squares fit; shape (k,) or (T, k).

    ``P`` annihilates the fit, so every moment is unchanged while the numbers stay small.
    """
    residual: Floats = y - (y @ basis) @ basis.T
    return residual


def moments(y: Floats, basis: Floats, w: Floats) -> Moments:
    """Return the projections of residualised ``y`` (k,) or (T, k) at each set of weights (T, k).

    One column of the orthonormal ``basis`` (k, p) takes the closed form; more take a QR
    decomposition of ``W^(1/2) B``, which keeps half the digits that inverting ``X' W X`` would
    lose.
    """
    p = basis.shape[1]
    w2 = w * w
    if p == 0:
        py = w * y
        return Moments((py * y).sum(-1), (py * py).sum(-1), w.sum(-1), w2.sum(-1), np.zeros(len(w)))
    if p == 1:
        b = basis[:, 0]
        share = w * (b * b)
        g = share.sum(-1)
        residual = y - ((w * y) @ b / g)[:, None] * b
        py = w * residual
        # 1 - leverage of the heaviest study from the others' weights: no digits are lost.
        rows, heaviest = np.arange(len(w)), share.argmax(-1)
        free = 1 - share / g[:, None]
        share[rows, heaviest] = 0
        free[rows, heaviest] = share.sum(-1) / g
        diagonal = w * free
        cross = w2 * (b * b) / g[:, None]
        largest = cross[rows, heaviest]
        cross[rows, heaviest] = 0
        rest = cross.sum(-1)
        trace_squared = (diagonal * diagonal + cross * (rest[:, None] - cross)).sum(-1)
        trace_squared += 2 * largest * rest
        return Moments(
            (py * residual).sum(-1), (py * py).sum(-1), diagonal.sum(-1), trace_squared, np.log(g)
        )
    root = np.sqrt(w)
    q, r = np.linalg.qr(root[:, :, None] * basis)
    z = root * y
    e = z - np.einsum("tkp,tp->tk", q, np.einsum("tkp,tk->tp", q, z))
    leverage = (q * q).sum(-1)
    qwq = np.swapaxes(q, 1, 2) @ (w[:, :, None] * q)
    return Moments(
        (e * e).sum(-1),
        (w * e * e).sum(-1),
        (w * (1 - leverage)).sum(-1),
        (w2 * (1 - 2 * leverage)).sum(-1) + (qwq * qwq).sum((1, 2)),
        2 * np.log(np.abs(np.diagonal(r, axis1=1, axis2=2))).sum(-1),
    )


def weighted_least_squares(y: Floats, design: Floats, w: Floats) -> LeastSquares:
    """Regress ``y`` on ``design`` with weights ``w``; all of length k.

    The covariance is ``(X' W X)^-1``, through a QR decomposition of ``W^(1/2) X``.
    """
    k, p = design.shape
    if p == 1 and (design == 1).all():
        total = float(w.sum())
        mean = float(w @ y) / total
        mean += float(w @ (y - mean)) / total  # one step of refinement
        residual = y - mean
        rss = float((w * residual) @ residual)
        return LeastSquares(np.array([mean]), np.array([[1 / total]]), rss, k - 1)
    root = np.sqrt(w)
    q, r = np.linalg.qr(root[:, None] * design)
    coefficients = np.linalg.solve(r, q.T @ (root * y))
    coefficients = coefficients + np.linalg.solve(r, q.T @ (root * (y - design @ coefficients)))
    inverse = np.linalg.solve(r, np.eye(p))
    residual = y - design @ coefficients
    return LeastSquares(coefficients, inverse @ inverse.T, float(w @ (residual * residual)), k - p)
