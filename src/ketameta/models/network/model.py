"""The random-effects network model on independent rows: one variance for all comparisons.

Turns the contrasts of each study into independent rows; the model knows nothing of studies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ketameta.models.network.inputs import NetworkStudy

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


class Rows(NamedTuple):
    """Independent rows.

    Attributes
    ----------
    z : ndarray of shape (N,)
    X : ndarray of shape (N, p)
    growth : ndarray of shape (N,)
        ``lambda``: variance of a row is ``1 + tau2 * growth``.
    log_det : float
        ``log|V|`` of all sampling covariances.
    """

    z: FloatArray
    X: FloatArray
    growth: FloatArray
    log_det: float


class Whitened(NamedTuple):
    """Studies made ready for any design.

    Attributes
    ----------
    z, growth : ndarray of shape (N,)
    log_det : float
        As in :class:`Rows`.
    contrasts : ndarray of shape (N, T)
        Each row's contrast of the treatments, before whitening.
    study : ndarray of shape (N,)
        Position of each row's study.
    blocks : tuple of (rows, matrix)
        For the studies of each size: their rows, shape (studies, size), and what whitens them,
        shape (studies, size, size).
    """

    z: FloatArray
    growth: FloatArray
    log_det: float
    contrasts: FloatArray
    study: IntArray
    blocks: tuple[tuple[IntArray, FloatArray], ...]


def whiten(studies: Sequence[NetworkStudy]) -> Whitened:
    """Return the studies with independent rows.

    Notes
    -----
    Heterogeneity has variance tau-squared for every comparison and covariance of half of it for two
    comparisons with an arm in common (``C C' / 2`` with the arms' contrasts C), as in Salanti et
    al. (2008) and metafor's ``random = ~ comp | study, rho = 1/2``. With ``V = L L'`` and
    ``L^-1 C C' L^-T / 2 = U diag(lambda) U'`` a study is whitened by ``U' L^-1``.
    """
    sizes = np.array([len(study.y) for study in studies])
    ends = np.cumsum(sizes)
    z, growth = np.empty(ends[-1]), np.empty(ends[-1])
    contrasts = np.concatenate([study.contrasts for study in studies])
    blocks = []
    log_det = 0.0
    for size in np.unique(sizes):
        at = np.flatnonzero(sizes == size)
        rows = (ends[at] - size)[:, None] + np.arange(size)
        root = np.linalg.cholesky(np.stack([studies[int(i)].V for i in at]))
        inverse = np.linalg.inv(root)
        shape = inverse @ contrasts[rows]
        values, turn = np.linalg.eigh(0.5 * shape @ shape.swapaxes(1, 2))
        matrix = turn.swapaxes(1, 2) @ inverse
        y = np.stack([studies[int(i)].y for i in at])
        z[rows] = (matrix @ y[:, :, None])[:, :, 0]
        growth[rows] = values
        log_det += 2 * float(np.log(np.diagonal(root, axis1=1, axis2=2)).sum())
        blocks.append((rows, matrix))
    study = np.repeat(np.arange(len(studies)), sizes)
    return Whitened(z, growth, log_det, contrasts, study, tuple(blocks))


def network_rows(whitened: Whitened, design: FloatArray) -> Rows:
    """Return the rows under a design.

    Parameters
    ----------
    whitened : Whitened
    design : ndarray of shape (N, p)
        One row per contrast, in the order of the studies.
    """
    X = np.empty(design.shape)
    for rows, matrix in whitened.blocks:
        X[rows] = matrix @ design[rows]
    return Rows(whitened.z, X, whitened.growth, whitened.log_det)


NETWORK_TAU2_METHODS = ("REML", "DL", "common")
#: Candidate variances, as multiples of the typical sampling variance: eight decades.
_GRID = np.geomspace(1e-5, 1e3, 41)
#: Rows of one piece of a large decomposition.
_PIECE = 256
#: An upper limit of tau-squared beyond this multiple of the typical sampling variance is none.
_UNBOUNDED = 1e8


class NetworkFit(NamedTuple):
    """Coefficients at a given or estimated tau-squared.

    Attributes
    ----------
    coefficients : ndarray of shape (p,)
    covariance : ndarray of shape (p, p)
    tau2 : float
    q : float
        Weighted residual sum of squares at ``tau2``.
    df : int
        Rows less coefficients.
    """

    coefficients: FloatArray
    covariance: FloatArray
    tau2: float
    q: float
    df: int


def tall_qr(a: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the QR decomposition of a matrix with many rows, in pieces that one thread does.

    The pieces are decomposed one by one, then their triangles together. Threads that share one
    large decomposition wait for each other on a busy machine, which took fifty times as long.
    """
    n, p = a.shape
    if n <= _PIECE or p >= _PIECE // 2:
        q, r = np.linalg.qr(a)
        return q, r
    pieces = -(-n // _PIECE)
    padded = np.zeros((pieces * _PIECE, p))
    padded[:n] = a
    first, triangles = np.linalg.qr(padded.reshape(pieces, _PIECE, p))
    second, r = tall_qr(triangles.reshape(pieces * p, p))
    q = first @ second.reshape(pieces, p, p)
    return q.reshape(-1, p)[:n], r


def fit_at(rows: Rows, tau2: float) -> NetworkFit:
    """Return generalised least squares at ``tau2``."""
    return _fit(rows, tau2)[0]


def _fit(rows: Rows, tau2: float) -> tuple[NetworkFit, FloatArray, FloatArray]:
    """Return the fit, the weighted residuals and the leverages of the rows."""
    root = (1 + tau2 * rows.growth) ** -0.5
    q, r = tall_qr(root[:, None] * rows.X)
    inverse = np.linalg.inv(r)
    coefficients = inverse @ np.einsum("kp,k->p", q, root * rows.z)
    residual = root * (rows.z - np.einsum("kp,p->k", rows.X, coefficients))
    n, p = rows.X.shape
    q_value = float((residual**2).sum())
    fit = NetworkFit(coefficients, inverse @ inverse.T, tau2, q_value, n - p)
    return fit, residual, np.einsum("kp,kp->k", q, q)


def log_likelihood(rows: Rows, tau2: float) -> float:
    """Return the restricted log-likelihood, up to the constant ``log|X'X| / 2``."""
    fit = fit_at(rows, tau2)
    log_m = rows.log_det + float(np.log1p(tau2 * rows.growth).sum())
    log_cross = -float(np.linalg.slogdet(fit.covariance)[1])
    return -0.5 * (fit.df * math.log(2 * math.pi) + log_m + log_cross + fit.q)


def _score(rows: Rows, tau2: float) -> float:
    """Return twice the derivative of the restricted log-likelihood."""
    _, residual, leverage = _fit(rows, tau2)
    slope = rows.growth / (1 + tau2 * rows.growth)
    return float((slope * residual**2).sum()) - float((slope * (1 - leverage)).sum())


def estimate_tau2(rows: Rows, method: str) -> tuple[float, float | None]:
    """Return tau-squared, and the log-likelihood the best optimum gains over the next.

    Parameters
    ----------
    rows : Rows
        More rows than coefficients, unless the method is ``"common"``.
    method : {"REML", "DL", "common"}

    Notes
    -----
    DL is the moment estimator ``(Q - df) / tr(P H)``, truncated at 0, with P the residual
    projection of the common-effect model (Jackson, White and Riley 2012, doi:10.1002/sim.5453); it
    equals netmeta's. REML takes the best of all roots of the score between 0 and a thousand times
    the typical sampling variance.
    """
    if method == "common":
        return 0.0, None
    if method == "DL":
        fit, _, leverage = _fit(rows, 0.0)
        trace = float((rows.growth * (1 - leverage)).sum())
        return max(0.0, (fit.q - fit.df) / trace), None
    typical = 1 / float(np.median(rows.growth))
    values = [0.0, *(_GRID * max(typical, 1e-300))]
    scores = [_score(rows, value) for value in values]
    candidates = [0.0] if scores[0] <= 0 else []
    for low, high, left, right in zip(
        values[:-1], values[1:], scores[:-1], scores[1:], strict=True
    ):
        if left > 0 >= right:
            candidates.append(
                float(
                    optimize.brentq(
                        lambda x: _score(rows, x), low, high, xtol=1e-15 * typical, rtol=1e-14
                    )
                )
            )
    if scores[-1] > 0:
        candidates.append(values[-1])
    heights = sorted(((log_likelihood(rows, value), value) for value in candidates), reverse=True)
    gap = heights[0][0] - heights[1][0] if len(heights) > 1 else None
    return heights[0][1], gap


def q_profile(rows: Rows, level: float) -> tuple[float, float | None]:
    """Return the Q-profile interval of tau-squared; no upper limit where Q does not fall.

    Q at the true tau-squared has a chi-squared distribution (Viechtbauer 2007,
    doi:10.1002/sim.2514, with the network's regression).
    """
    df = rows.X.shape[0] - rows.X.shape[1]
    tail = (1 - level) / 2
    typical = 1 / float(np.median(rows.growth))

    def root(target: float) -> float | None:
        if fit_at(rows, 0.0).q <= target:
            return 0.0
        far = typical
        while fit_at(rows, far).q > target:
            if far > _UNBOUNDED * typical:
                return None
            far *= 4
        return float(
            optimize.brentq(
                lambda x: fit_at(rows, x).q - target, 0.0, far, xtol=1e-15 * typical, rtol=1e-13
            )
        )

    low = root(float(special.chdtri(df, tail)))
    return 0.0 if low is None else low, root(float(special.chdtri(df, 1 - tail)))
