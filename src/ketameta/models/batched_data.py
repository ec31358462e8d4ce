"""Many meta-analyses side by side: the arrays of a batch and the sums over their studies.

One column per meta-analysis, one row per study; an array that all share has a single column.
Estimates nothing; the searches are in ``batched_tau2``, the door is ``batched``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ketameta.models.gate import RANK_TOLERANCE
from ketameta.models.least_squares import Array

#: Multiplications up to which OpenBLAS leaves a product to one thread. Waiting for other threads
#: costs more than they bring here: ten times the time of a fit on a machine that is busy.
ONE_THREAD = 2**18


class Batch(NamedTuple):
    """Data of T meta-analyses of up to k studies each, scaled to standard errors near 1.

    Attributes
    ----------
    y : ndarray of shape (k, T) or (k, 1)
        Estimates, less a fit that all columns share.
    raw : ndarray of shape (k, T) or (k, 1)
        Estimates as they are.
    v : ndarray of shape (k, T) or (k, 1)
        Sampling variances.
    mask : ndarray of shape (k, T) or (k, 1)
        1 where a study is in, 0 where it is not.
    design, basis : ndarray of shape (p, k, T) or (p, k, 1), or None
        Columns of the design, and orthonormal ones that span the same, 0 where a study is left
        out; None for the mean alone.
    n : ndarray of shape (T,)
        Studies of each column.
    p : int
    """

    y: Array
    raw: Array
    v: Array
    mask: Array
    design: Array | None
    basis: Array | None
    n: Array
    p: int

    @property
    def columns(self) -> int:
        """Number of meta-analyses."""
        return len(self.n)

    def take(self, index: slice | np.ndarray[tuple[int], np.dtype[np.intp]]) -> Batch:
        """Return the columns at ``index``; shared arrays stay shared."""

        def part(array: Array) -> Array:
            return array if array.shape[-1] == 1 else array[..., index]

        y, raw, v, mask = part(self.y), part(self.raw), part(self.v), part(self.mask)
        design = None if self.design is None else part(self.design)
        basis = None if self.basis is None else part(self.basis)
        return Batch(y, raw, v, mask, design, basis, self.n[index], self.p)


class Projections(NamedTuple):
    """What the estimators need at one tau-squared per column; each of shape (T,).

    With ``P`` the projection of :class:`ketameta.models.least_squares.Moments`: ``rss`` is
    ``y'Py``, ``score`` is ``y'PPy``, ``cubic`` is ``y'PPPy``, ``trace`` and ``trace_squared`` are
    those of ``P`` and ``PP``, ``total`` and ``total_squared`` the sums of the weights and of their
    squares, ``log_det`` is ``log |B'WB|``.
    """

    rss: Array
    score: Array
    cubic: Array
    trace: Array
    trace_squared: Array
    total: Array
    total_squared: Array
    log_det: Array


def sums(a: Array, b: Array) -> Array:
    """Return the sums over studies of ``a * b``, column by column; shape (T,).

    The studies of a column are added in order, whatever the number of columns, so that results
    do not depend on how a batch is cut.
    """
    total: Array = np.einsum("kt,kt->t", a, b)
    return total


def inverse(matrices: Array) -> tuple[Array, Array]:
    """Return the inverses and log-determinants of positive definite ``(p, p, ...)`` matrices."""
    p = len(matrices)
    if p == 1:
        return 1 / matrices, np.log(matrices[0, 0])
    if p == 2:
        (a, b), (_, d) = matrices
        determinant = a * d - b * b
        return np.array([[d, -b], [-b, a]]) / determinant, np.log(determinant)
    stacked = np.moveaxis(matrices, (0, 1), (-2, -1))
    inverted = np.asarray(np.linalg.inv(stacked), dtype=np.float64)
    log_det: Array = np.linalg.slogdet(stacked)[1]
    return np.moveaxis(inverted, (-2, -1), (0, 1)), log_det


def gram(basis: Array, weight: Array) -> Array:
    """Return ``B' W B``, shape (p, p, T)."""
    p = len(basis)
    rows = [basis[a] * weight for a in range(p)]
    out = np.empty((p, p, np.broadcast_shapes(basis.shape[-1:], weight.shape[-1:])[0]))
    for a in range(p):
        for b in range(a, p):
            out[a, b] = out[b, a] = sums(rows[a], basis[b])
    return out


def projections(data: Batch, tau2: Array, *, derivative: bool = True) -> Projections:
    """Return the projections of every column at its own ``tau2``, from residuals.

    ``cubic`` and ``trace_squared`` are 0 unless ``derivative``.
    """
    w = data.mask / (data.v + tau2)
    total = np.einsum("kt->t", w)
    w2 = w * w
    total_squared = np.einsum("kt->t", w2)
    nothing = np.zeros(len(total))
    if data.basis is None:
        e = data.y - sums(w, data.y) / total
        we = w * e
        rss, score = sums(we, e), sums(we, we)
        trace = total - total_squared / total
        cubic = trace_squared = nothing
        if derivative:
            wwe = w * we
            ratio = total_squared / total
            cubic = sums(wwe, we) - np.einsum("kt->t", wwe) ** 2 / total
            trace_squared = total_squared - 2 * sums(w2, w) / total + ratio * ratio
        log_det = np.log(total)
        return Projections(rss, score, cubic, trace, trace_squared, total, total_squared, log_det)
    basis = data.basis
    inverted, log_det = inverse(gram(basis, w))
    e = data.y - fitted(basis, inverted, w * data.y)
    we = w * e
    rss, score = sums(we, e), sums(we, we)
    second = gram(basis, w2)
    trace = total - np.einsum("abt,abt->t", inverted, second)
    cubic = trace_squared = nothing
    if derivative:
        wwe = w * we
        cross = np.array([sums(column, wwe) for column in basis])
        cubic = sums(wwe, we) - np.einsum("at,abt,bt->t", cross, inverted, cross)
        product = np.einsum("abt,bct->act", inverted, second)
        trace_squared = (
            total_squared
            - 2 * np.einsum("abt,abt->t", inverted, gram(basis, w2 * w))
            + np.einsum("abt,bat->t", product, product)
        )
    return Projections(rss, score, cubic, trace, trace_squared, total, total_squared, log_det)


def fitted(basis: Array, inverted: Array, wy: Array) -> Array:
    """Return ``B (B'WB)^-1 B' wy``, shape (k, T)."""
    cross = np.array([sums(column, wy) for column in basis])
    gamma = np.einsum("abt,bt->at", inverted, cross)
    out = basis[0] * gamma[0]
    for column, weight in zip(basis[1:], gamma[1:], strict=True):
        out = out + column * weight
    return out


def orthonormal(design: Array) -> tuple[Array, Array]:
    """Return orthonormal columns and which meta-analyses have independent ones.

    Gram-Schmidt, twice over, on ``design`` of shape (p, k, T); the second value has shape (T,).
    A column that depends on those before it is left as zeros.
    """
    basis = np.empty_like(design)
    sound = np.ones(design.shape[-1], dtype=bool)
    for j, column in enumerate(design):
        length = np.sqrt(sums(column, column))
        unit = column / np.where(length > 0, length, 1.0)
        for _ in range(2):
            for before in basis[:j]:
                unit = unit - before * sums(before, unit)
        remaining = np.sqrt(sums(unit, unit))
        good = (remaining > RANK_TOLERANCE) & (length > 0)
        sound &= good
        basis[j] = np.where(good, unit / np.where(good, remaining, 1.0), 0.0)
    return basis, sound


def product(weights: Array, columns: Array) -> Array:
    """Return ``weights @ columns``, in pieces that one thread computes; shape (G, T)."""
    step = max(1, ONE_THREAD // weights.size)
    count = columns.shape[1]
    if step >= count:
        return weights @ columns
    out = np.empty((len(weights), count))
    for start in range(0, count, step):
        piece = slice(start, start + step)
        np.matmul(weights, columns[:, piece], out=out[:, piece])
    return out


def score_on_grid(data: Batch, grid: Array, *, restricted: bool) -> Array:
    """Return twice the derivative of the log-likelihood at each tau-squared of ``grid``.

    Shape (G, T). Variances must be shared, so that the sums over studies are matrix products;
    they lose digits to cancellation and serve to find changes of sign only.
    """
    w = 1 / (data.v[:, 0] + grid[:, None])
    w2 = w * w
    if data.basis is None:
        s1, s2 = product(w, data.mask), product(w2, data.mask)
        if data.y.shape[-1] == 1:
            wy, w2y, w2y2 = w * data.y[:, 0], w2 * data.y[:, 0], w2 * data.y[:, 0] ** 2
            first, second, third = (product(a, data.mask) for a in (wy, w2y, w2y2))
        else:
            y = data.mask * data.y
            first, second, third = product(w, y), product(w2, y), product(w2, y * data.y)
        mean = first / s1
        score = third - mean * (2 * second - mean * s2)
        return score - (s1 - s2 / s1 if restricted else s1)
    basis, p = data.basis, data.p
    shape = (p, p, len(grid), basis.shape[-1])
    first_gram, second_gram = np.empty(shape), np.empty(shape)
    for a in range(p):
        for b in range(a, p):
            pair = basis[a] * basis[b]
            first_gram[a, b] = first_gram[b, a] = product(w, pair)
            second_gram[a, b] = second_gram[b, a] = product(w2, pair)
    inverted, _ = inverse(first_gram)
    first_cross = np.array([product(w, column * data.y) for column in basis])
    second_cross = np.array([product(w2, column * data.y) for column in basis])
    beta = np.einsum("abgt,bgt->agt", inverted, first_cross)
    score = product(w2, data.mask * data.y**2) - 2 * (beta * second_cross).sum(0)
    score = score + np.einsum("agt,abgt,bgt->gt", beta, second_gram, beta)
    trace = product(w, data.mask)
    if restricted:
        trace = trace - np.einsum("abgt,abgt->gt", inverted, second_gram)
    return score - trace
