"""The rows of a network as independent numbers: studies whitened one small block at a time.

In each study sampling and heterogeneity covariance are diagonalised together, so that the whole
network becomes a weighted regression with independent rows whose variances are ``1 + tau2 lambda``.
No matrix is larger than a study or than (rows, coefficients): cost is linear in the studies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ketameta.models.network_inputs import NetworkStudy

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
