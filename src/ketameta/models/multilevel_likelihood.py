"""The likelihood of the three-level model as arrays, without any k by k matrix.

Within a study the sampling covariance is diagonalised once; the variance between effects then adds
to the eigenvalues, and the variance between studies is a matrix of rank one (Woodbury). Every
likelihood is a sum over rows and studies, evaluated for many candidate variances at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ketameta.errors import NotEstimableError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Rotated:
    """Data whose sampling covariance is diagonal within each study, sorted by study.

    Attributes
    ----------
    y : ndarray of shape (k,)
        Residuals of ordinary least squares, rotated.
    basis : ndarray of shape (k, p)
        Orthonormal basis of the design, rotated.
    ones : ndarray of shape (k,)
        A column of ones, rotated.
    eigenvalues : ndarray of shape (k,)
        Sampling variances after the rotation.
    starts : ndarray of shape (m,)
        First row of each study.
    """

    y: FloatArray
    basis: FloatArray
    ones: FloatArray
    eigenvalues: FloatArray
    starts: IntArray

    def by_study(self, rows: FloatArray) -> FloatArray:
        """Return sums over the rows of each study; (T, k, ...) to (T, m, ...)."""
        return np.add.reduceat(rows, self.starts, axis=1)

    def expand(self, values: FloatArray) -> FloatArray:
        """Return a value per study for each of its rows; (T, m, ...) to (T, k, ...)."""
        counts = np.diff(np.append(self.starts, self.y.size))
        return np.repeat(values, counts, axis=1)


class Evaluation(NamedTuple):
    """Log-likelihood and derivatives at T candidate pairs of variances.

    Attributes
    ----------
    log_likelihood : ndarray of shape (T,)
    score : ndarray of shape (T, 2)
        Derivatives with respect to the variances between studies and between effects.
    information : ndarray of shape (T, 2, 2)
        Average information of the restricted (or full) likelihood.
    coefficients : ndarray of shape (T, p)
        For the orthonormal basis.
    cross_products : ndarray of shape (T, p, p)
        ``B' W B``.
    """

    log_likelihood: FloatArray
    score: FloatArray
    information: FloatArray
    coefficients: FloatArray
    cross_products: FloatArray


def rotate(
    y: FloatArray, basis: FloatArray, blocks: Sequence[FloatArray], starts: IntArray
) -> Rotated:
    """Diagonalise the sampling covariance of each study.

    Parameters
    ----------
    y : ndarray of shape (k,)
    basis : ndarray of shape (k, p)
    blocks : sequence of m ndarrays
        Sampling covariance of each study, in row order; a vector is a diagonal.
    starts : ndarray of shape (m,)
        First row of each study.

    Returns
    -------
    Rotated

    Raises
    ------
    NotEstimableError
        A covariance block is not positive definite.
    """
    turned_y, turned_basis = np.empty_like(y), np.empty_like(basis)
    ones, eigenvalues = np.ones_like(y), np.empty_like(y)
    stops = np.append(starts[1:], y.size)
    for index, (block, first, last) in enumerate(zip(blocks, starts, stops, strict=True)):
        rows = slice(int(first), int(last))
        if block.ndim == 1:
            values, turn = block, None
        else:
            values, turn = np.linalg.eigh(block)
        if values.min() <= 1e-12 * values.max():
            raise NotEstimableError(
                f"the sampling covariance of study {index} (in order of appearance) is singular:"
                " two of its effects carry the same information; leave one out"
            )
        eigenvalues[rows] = values
        turned_y[rows] = y[rows] if turn is None else turn.T @ y[rows]
        turned_basis[rows] = basis[rows] if turn is None else turn.T @ basis[rows]
        if turn is not None:
            ones[rows] = turn.sum(axis=0)
    return Rotated(turned_y, turned_basis, ones, eigenvalues, starts)


def evaluate(data: Rotated, variances: FloatArray, restricted: bool) -> Evaluation:
    """Evaluate the likelihood and its derivatives.

    Parameters
    ----------
    data : Rotated
    variances : ndarray of shape (T, 2)
        Candidate variances between studies and between effects, >= 0.
    restricted : bool
        Restricted likelihood (REML) or full likelihood (ML).

    Returns
    -------
    Evaluation

    Notes
    -----
    Restricted: ``-((k - p) log 2 pi + log|M| + log|B' W B| + r' W r) / 2`` with an orthonormal
    basis B, which equals metafor's ``rma.mv`` (it adds ``log|X'X| / 2``). The score is
    ``(y' P A P y - tr(P A)) / 2`` and the average information ``y' P A_i P A_j P y / 2``
    (Gilmour, Thompson and Cullis 1995, doi:10.2307/2533274); without REML the trace is of ``W A``.
    """
    between, within = variances[:, 0, None], variances[:, 1, None]
    u = 1.0 / (data.eigenvalues + within)  # (T, k)
    weighted_ones = u * data.ones

    one_one = data.by_study(weighted_ones * data.ones)  # (T, m)
    growth = 1.0 + between * one_one
    shrink = between / growth

    def times_w(rows: FloatArray) -> FloatArray:
        """Return W times columns; shape (T, k, q)."""
        inner = data.by_study(weighted_ones[:, :, None] * rows)
        return u[:, :, None] * rows - weighted_ones[:, :, None] * data.expand(
            shrink[:, :, None] * inner
        )

    basis = np.broadcast_to(data.basis, (len(variances), *data.basis.shape))
    w_basis = times_w(basis)
    cross = np.swapaxes(basis, 1, 2) @ w_basis
    inverse = np.linalg.inv(cross)
    coefficients = np.einsum("tpq,tkq,k->tp", inverse, w_basis, data.y)
    residual = data.y - coefficients @ data.basis.T
    py = times_w(residual[:, :, None])[:, :, 0]

    log_det = -np.log(u).sum(axis=1) + np.log(growth).sum(axis=1)
    log_cross = np.linalg.slogdet(cross)[1]
    lost = data.basis.shape[1] if restricted else 0
    log_likelihood = -0.5 * (
        (data.y.size - lost) * math.log(2 * math.pi)
        + log_det
        + (log_cross if restricted else 0.0)
        + (py * residual).sum(axis=1)
    )

    ones_py = data.by_study(data.ones * py)  # (T, m)
    quadratic = np.stack([(ones_py**2).sum(axis=1), (py**2).sum(axis=1)], axis=1)
    trace = np.stack(
        [
            (one_one / growth).sum(axis=1),
            u.sum(axis=1) - (shrink * data.by_study(weighted_ones**2)).sum(axis=1),
        ],
        axis=1,
    )
    if restricted:
        ones_w_basis = data.by_study(data.ones[:, None] * w_basis)
        for j, part in enumerate((ones_w_basis, w_basis)):
            trace[:, j] -= np.einsum("tpq,trp,trq->t", inverse, part, part)
    moved = np.stack([data.expand(ones_py) * data.ones, py], axis=2)  # A_j P y, shape (T, k, 2)
    w_moved = times_w(moved)
    pull = np.swapaxes(w_basis, 1, 2) @ moved
    information = np.swapaxes(moved, 1, 2) @ w_moved - np.swapaxes(pull, 1, 2) @ inverse @ pull
    return Evaluation(
        log_likelihood, 0.5 * (quadratic - trace), 0.5 * information, coefficients, cross
    )


def log_likelihoods(
    data: Rotated, between: FloatArray, within: FloatArray, restricted: bool
) -> FloatArray:
    """Return the log-likelihood on a grid of variances, without derivatives.

    Parameters
    ----------
    data : Rotated
    between, within : ndarray of shape (G,) and (H,)
        Variances between studies and between effects, >= 0.
    restricted : bool

    Returns
    -------
    ndarray of shape (G, H)
        As :func:`evaluate`, but for cancellation in ``y' W y - b' B' W y``; for finding hills.

    Notes
    -----
    The rows are summed within studies once for each variance between effects; the variance between
    studies enters through those sums alone, so that time and memory grow with ``H k + G H m``.
    """
    p = data.basis.shape[1]
    columns = np.column_stack([data.basis, data.y])
    surface = np.empty((between.size, within.size))
    constant = (data.y.size - (p if restricted else 0)) * math.log(2 * math.pi)
    for h, variance in enumerate(within.tolist()):
        u = 1.0 / (data.eigenvalues + variance)
        weighted = u * data.ones
        one_one = np.add.reduceat(weighted * data.ones, data.starts)
        inner = np.add.reduceat(weighted[:, None] * columns, data.starts, axis=0)
        pairs = (inner[:, :, None] * inner[:, None, :]).reshape(len(inner), -1)
        growth = 1.0 + between[:, None] * one_one
        gram = columns.T @ (u[:, None] * columns)
        grams = gram - ((between[:, None] / growth) @ pairs).reshape(-1, p + 1, p + 1)
        cross, mixed, total = grams[:, :p, :p], grams[:, :p, p], grams[:, p, p]
        solved = np.linalg.solve(cross, mixed[:, :, None])[:, :, 0]
        surface[:, h] = np.log(growth).sum(axis=1) - np.log(u).sum()
        surface[:, h] += total - (mixed * solved).sum(axis=1)
        if restricted:
            surface[:, h] += np.linalg.slogdet(cross)[1]
    return -0.5 * (constant + surface)
