"""Many meta-analyses side by side: the arrays of a batch and the sums over their studies.

One column per meta-analysis, one row per study; an array that all share has a single column.
Estimates nothing; the searches are in ``tau2``, the door is ``batched``.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ketameta.effects.arrays import RANK_TOLERANCE, Floats

#: Multiplications up to which OpenBLAS leaves a product to one thread. Waiting for other threads
#: costs more than they bring here: ten times the time of a fit on a machine that is busy.
ONE_THREAD = 2**18


class Batch(NamedTuple):
    """Data of T meta-analyses of up to k studies each, scaled to standard errors near 1.

    Arrays have shape (k, T), or (k, 1) where all columns share them: estimates ``y`` less a fit
    that all columns share, as they are in ``raw``, variances ``v`` and a ``mask`` of the studies
    that are in. ``design`` and ``basis`` (p, k, T) are the columns of the design and orthonormal
    ones that span the same, 0 where a study is left out; None for the mean alone. ``n`` (T,) counts
    the studies.
    """

    y: Floats
    raw: Floats
    v: Floats
    mask: Floats
    design: Floats | None
    basis: Floats | None
    n: Floats
    p: int

    @property
    def columns(self) -> int:
        """Number of meta-analyses."""
        return len(self.n)

    def take(self, index: slice | np.ndarray[tuple[int], np.dtype[np.intp]]) -> Batch:
        """Return the columns at ``index``; shared arrays stay shared."""

        def part(array: Floats) -> Floats:
            return array if array.shape[-1] == 1 else array[..., index]

        y, raw, v, mask = part(self.y), part(self.raw), part(self.v), part(self.mask)
        design = None if self.design is None else part(self.design)
        basis = None if self.basis is None else part(self.basis)
        return Batch(y, raw, v, mask, design, basis, self.n[index], self.p)

    def projections(self, tau2: Floats, *, derivative: bool = True) -> Projections:
        """Return the projections of every column at its own ``tau2``, from residuals.

        ``cubic`` and ``trace_squared`` are 0 unless ``derivative``.
        """
        w = self.mask / (self.v + tau2)
        total = np.einsum("kt->t", w)
        w2 = w * w
        total_squared = np.einsum("kt->t", w2)
        nothing = np.zeros(len(total))
        if self.basis is None:
            e = self.y - sums(w, self.y) / total
            we = w * e
            rss, score = sums(we, e), sums(we, we)
            trace = total - total_squared / total
            cubic = trace_squared = nothing
            if derivative:
                wwe = w * we
                ratio = total_squared / total
                cubic = sums(wwe, we) - np.einsum("kt->t", wwe) ** 2 / total
                trace_squared = total_squared - 2 * sums(w2, w) / total + ratio * ratio
            sizes = total, total_squared, np.log(total)
            return Projections(rss, score, cubic, trace, trace_squared, *sizes)
        basis = self.basis
        inverted, log_det = inverse(gram(basis, w))
        e = self.y - fitted(basis, inverted, w * self.y)
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

    def score_on_grid(self, grid: Floats, *, restricted: bool) -> Floats:
        """Return twice the derivative of the log-likelihood at each tau-squared, shape (G, T).

        Variances must be shared, so that the sums over studies are matrix products; they lose
        digits to cancellation and serve to find changes of sign only.
        """
        w = 1 / (self.v[:, 0] + grid[:, None])
        w2 = w * w
        if self.basis is None:
            s1, s2 = product(w, self.mask), product(w2, self.mask)
            if self.y.shape[-1] == 1:
                wy, w2y, w2y2 = w * self.y[:, 0], w2 * self.y[:, 0], w2 * self.y[:, 0] ** 2
                first, second, third = (product(a, self.mask) for a in (wy, w2y, w2y2))
            else:
                y = self.mask * self.y
                first, second, third = product(w, y), product(w2, y), product(w2, y * self.y)
            mean = first / s1
            score = third - mean * (2 * second - mean * s2)
            return score - (s1 - s2 / s1 if restricted else s1)
        basis, p = self.basis, self.p
        shape = (p, p, len(grid), basis.shape[-1])
        first_gram, second_gram = np.empty(shape), np.empty(shape)
        for a in range(p):
            for b in range(a, p):
                pair = basis[a] * basis[b]
                first_gram[a, b] = first_gram[b, a] = product(w, pair)
                second_gram[a, b] = second_gram[b, a] = product(w2, pair)
        inverted, _ = inverse(first_gram)
        first_cross = np.array([product(w, column * self.y) for column in basis])
        second_cross = np.array([product(w2, column * self.y) for column in basis])
        beta = np.einsum("abgt,bgt->agt", inverted, first_cross)
        score = product(w2, self.mask * self.y**2) - 2 * (beta * second_cross).sum(0)
        score = score + np.einsum("agt,abgt,bgt->gt", beta, second_gram, beta)
        trace = product(w, self.mask)
        if restricted:
            trace = trace - np.einsum("abgt,abgt->gt", inverted, second_gram)
        return score - trace

    @property
    def shares_variances(self) -> bool:
        """Whether all columns have the same variances."""
        return self.v.shape[-1] == 1

    def ends(self) -> tuple[Floats, Floats]:
        """Return the smallest and the largest variance of every column."""
        inside = self.mask > 0
        low, high = np.where(inside, self.v, np.inf).min(0), np.where(inside, self.v, 0.0).max(0)
        return np.broadcast_to(low, self.columns), np.broadcast_to(high, self.columns)

    def squares(self) -> Floats:
        """Return the sum of squares of the estimates of every column."""
        return sums(self.mask * self.y, self.y)

    def ordinary(self) -> Batch:
        """Return the same with variances of 1."""
        return self._replace(v=np.ones((1, 1)))

    def raw_variance(self) -> Floats:
        """Return the variance of the estimates (divisor n), whatever the design."""
        means = self.ordinary()._replace(basis=None, y=self.raw)
        return means.projections(np.zeros(self.columns), derivative=False).rss / self.n

    def within(self) -> Floats:
        """Return the sum of the variances, each times 1 less its leverage."""
        leverage = self.mask / self.n if self.basis is None else (self.basis**2).sum(0)
        return sums(self.mask * (1 - leverage), self.v)

    def heights(self, tau2: Floats, *, restricted: bool) -> Floats:
        """Return the log-likelihood of every column, but for a constant of the column."""
        at = self.projections(tau2, derivative=False)
        logs = np.log(np.where(self.mask > 0, self.v + tau2, 1.0))
        value: Floats = -0.5 * sums(np.ones((len(logs), 1)), logs) - 0.5 * at.rss
        return value - 0.5 * at.log_det if restricted else value

    def coefficients(self, tau2: Floats) -> tuple[Floats, Floats]:
        """Return coefficients (p, T) and their Wald covariance (p, p, T)."""
        w = self.mask / (self.v + tau2)
        if self.basis is None or self.design is None:
            total = np.einsum("kt->t", w)
            mean = sums(w, self.raw) / total
            mean = mean + sums(w, self.raw - mean) / total  # one step of refinement
            return mean[None], (1 / total)[None, None]
        basis = self.basis
        inverted, _ = inverse(gram(basis, w))

        def solve(y: Floats) -> Floats:
            cross = np.array([sums(column, w * y) for column in basis])
            return np.einsum("abt,bt->at", inverted, cross)

        gamma = solve(self.raw)
        gamma = gamma + solve(self.raw - np.einsum("akt,at->kt", basis, gamma))
        triangle = np.einsum("akt,bkt->tab", basis, self.design)
        back = np.moveaxis(np.linalg.inv(triangle), 0, -1)
        return (
            np.einsum("abt,bt->at", back, gamma),
            np.einsum("abt,bct,dct->adt", back, inverted, back),
        )


class Projections(NamedTuple):
    """What the estimators need at one tau-squared per column; each of shape (T,).

    With ``P`` the projection of :class:`ketameta.models.tau2.Moments`: ``rss`` is
    ``y'Py``, ``score`` is ``y'PPy``, ``cubic`` is ``y'PPPy``, ``trace`` and ``trace_squared`` are
    those of ``P`` and ``PP``, ``total`` and ``total_squared`` the sums of the weights and of their
    squares, ``log_det`` is ``log |B'WB|``.
    """

    rss: Floats
    score: Floats
    cubic: Floats
    trace: Floats
    trace_squared: Floats
    total: Floats
    total_squared: Floats
    log_det: Floats


def sums(a: Floats, b: Floats) -> Floats:
    """Return the sums over studies of ``a * b``, column by column; shape (T,).

    The studies of a column are added in order, whatever the number of columns, so that results
    do not depend on how a batch is cut.
    """
    total: Floats = np.einsum("kt,kt->t", a, b)
    return total


#: Points of an interpolation over one window of ``log(tau2 + least v)``, and its width. What is
#: interpolated is analytic to a distance of pi, so that the error falls by 4.4 with every point.
NODES, WINDOW = 32, 3.0
#: Sums keep their digits where no study has more than this share of the weight (or this leverage),
#: and what is left of the squares about a mean is at least this share of them.
MOST_WEIGHT, LEAST_REST = 0.9, 1e-4


class Subsets(NamedTuple):
    """T subsets of one data set, by sums over its studies: all but one of them, or the first few.

    The same questions as of a :class:`Batch`, in time and memory of T and not of k T. ``y`` (k,)
    are estimates less a fit with the coefficients ``start`` (p,), ``raw`` those less their mean;
    ``basis`` (k, p) spans the design and ``back`` (p, p) leads from its coefficients to those of
    the design. ``own`` (T,) is the study left out of each column, or the last one of those that it
    has where the subsets are ``growing``.
    """

    y: Floats
    raw: Floats
    v: Floats
    basis: Floats
    start: Floats
    back: Floats
    own: NDArray[np.intp]
    growing: bool

    @classmethod
    def of(cls, y: Floats, v: Floats, design: Floats | None, own: NDArray[np.intp], *,
           growing: bool) -> Subsets:  # fmt: skip
        """Return subsets of data in a unit near their standard errors; the mean without design."""
        k = len(y)
        basis, triangle = (np.ones((k, 1)), np.eye(1)) if design is None else np.linalg.qr(design)
        back = np.asarray(np.linalg.inv(triangle), dtype=np.float64)
        # The fit of studies that all columns have: what others are from it is theirs to keep.
        root = np.sqrt(1 / v[: own[0]] if growing else 1 / v)[:, None]
        n = len(root)
        gamma = np.linalg.lstsq(basis[:n] * root, y[:n] * root[:, 0])[0]
        left, raw = y - basis @ gamma, y - y[:n].mean()
        return cls(left, raw, v, basis, back @ gamma, back, own, growing)

    @property
    def columns(self) -> int:
        """Number of meta-analyses."""
        return len(self.own)

    @property
    def p(self) -> int:
        """Coefficients of each meta-analysis."""
        return self.basis.shape[1]

    @property
    def n(self) -> Floats:
        """Studies of each column."""
        return np.asarray(
            self.own + 1.0 if self.growing else np.full(self.columns, len(self.y) - 1.0)
        )

    @property
    def shares_variances(self) -> bool:
        """Whether all columns have the same variances: as far as they have the same studies."""
        return True

    @property
    def sound(self) -> bool:
        """Whether sums keep the digits of what single studies tell, at every tau-squared."""
        for data in (self, self.ordinary()):
            w = 1 / data.v
            if self.growing:
                share = (np.maximum.accumulate(w) / np.cumsum(w))[self.own]
                squares = np.cumsum(w * self.y * self.y)[self.own]
            else:
                inverted = np.linalg.pinv((self.basis.T * w) @ self.basis)
                share = w * np.einsum("kp,pq,kq->k", self.basis, inverted, self.basis)
                squares = (w * self.y * self.y).sum()
            if share.max() > MOST_WEIGHT:
                return False
            if (data.projections(np.zeros(self.columns)).rss < LEAST_REST * squares).any():
                return False
        return True

    def take(self, index: NDArray[np.intp]) -> Subsets:
        """Return the columns at ``index``."""
        return self._replace(own=self.own[index])

    def ordinary(self) -> Subsets:
        """Return the same with variances of 1."""
        return self._replace(v=np.ones(len(self.v)))

    def ends(self) -> tuple[Floats, Floats]:
        """Return the smallest and the largest variance of every column, or a bound on them."""
        return np.full(self.columns, self.v.min()), np.full(self.columns, self.v.max())

    def over(self, values: Floats) -> Floats:
        """Return the sums of ``values`` (..., k) over the studies of each column, (..., T)."""
        if self.growing:
            return np.asarray(np.cumsum(values, -1)[..., self.own])
        return np.asarray(values.sum(-1, keepdims=True) - values[..., self.own])

    def squares(self) -> Floats:
        """Return the sum of squares of the estimates of every column."""
        return self.over(self.y * self.y)

    def raw_variance(self) -> Floats:
        """Return the variance of the estimates (divisor n), whatever the design."""
        mean = self.over(self.raw) / self.n
        return self.over(self.raw * self.raw) / self.n - mean * mean

    def within(self) -> Floats:
        """Return the sum of the variances, each times 1 less its leverage."""
        pairs = self.basis.T[:, None] * self.basis.T
        inverted, _ = inverse(self.over(pairs))
        return self.over(self.v) - np.einsum("abt,abt->t", inverted, self.over(self.v * pairs))

    def _sums(self, tau2: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return sums with the weights, their squares and their cubes, each of shape (3, ..., T).

        Of 1, of the squares of the estimates, of their products with the p columns of the basis,
        and of the products (p, p) of these.
        """
        b, p = self.basis.T, self.p
        pairs = (b[:, None] * b).reshape(p * p, -1)
        terms = np.vstack([np.ones(len(self.y)), self.y * self.y, b * self.y, pairs])
        least = float(self.v.min())
        place = np.log(tau2 + least)
        out = np.zeros((3, len(terms), self.columns))
        todo = np.ones(self.columns, dtype=bool)

        def sums(point: float, inside: NDArray[np.bool_]) -> Floats:
            w = 1 / (self.v + point)
            weighted = terms * np.array([w, w * w, w * w * w])[:, None]
            if self.growing:
                return np.asarray(np.cumsum(weighted, -1)[..., self.own[inside]])
            return np.asarray(weighted.sum(-1, keepdims=True))

        while todo.any():
            start = place[todo].min()
            inside = todo & (place <= start + WINDOW)
            span = float(place[inside].max()) - start
            if span == 0:
                out[..., inside] = sums(float(tau2[inside][0]), inside)
            else:
                angles = (np.arange(NODES) + 0.5) * np.pi / NODES
                nodes = start + span * (1 - np.cos(angles)) / 2
                gaps = place[inside][:, None] - nodes
                gaps[gaps == 0] = np.finfo(float).tiny
                shares = np.sin(angles) * (-1.0) ** np.arange(NODES) / gaps
                shares /= shares.sum(1, keepdims=True)
                points = (np.exp(nodes) - least).tolist()
                if self.growing:
                    for point, share in zip(points, shares.T, strict=True):
                        out[..., inside] += sums(point, inside) * share
                else:
                    at = np.concatenate([sums(point, inside) for point in points], axis=-1)
                    out[..., inside] = at @ shares.T
            todo &= ~inside
        if not self.growing:
            w = 1 / (self.v[self.own] + tau2)
            out -= terms[:, self.own] * np.array([w, w * w, w * w * w])[:, None]
        grams = out[:, 2 + p :].reshape(3, p, p, -1)
        return out[:, 0], out[:, 1], out[:, 2 : 2 + p], grams

    def projections(self, tau2: Floats, *, derivative: bool = True) -> Projections:
        """Return the projections of every column at its own ``tau2``; always with derivatives."""
        total, squares, cross, grams = self._sums(np.broadcast_to(tau2, self.columns))
        inverted, log_det = inverse(grams[0])
        beta = np.einsum("abt,bt->at", inverted, cross[0])
        moved = np.einsum("iabt,bt->iat", grams, beta)
        rss, score, cubed = squares + np.einsum("at,iat->it", beta, moved - 2 * cross)
        shift = cross[1] - moved[1]
        cubic = cubed - np.einsum("at,abt,bt->t", shift, inverted, shift)
        product = np.einsum("abt,bct->act", inverted, grams[1])
        trace = total[0] - np.einsum("aat->t", product)
        trace_squared = total[1] + np.einsum("abt,bat->t", product, product)
        trace_squared -= 2 * np.einsum("abt,abt->t", inverted, grams[2])
        return Projections(rss, score, cubic, trace, trace_squared, total[0], total[1], log_det)

    def score_on_grid(self, grid: Floats, *, restricted: bool) -> Floats:
        """Return twice the derivative of the log-likelihood at each tau-squared, shape (G, T)."""
        rows = []
        for value in grid:
            at = self.projections(np.full(self.columns, value))
            rows.append(at.score - (at.trace if restricted else at.total))
        return np.array(rows)

    def heights(self, tau2: Floats, *, restricted: bool) -> Floats:
        """Return the log-likelihood of every column, but for a constant of the column."""
        at = self.projections(tau2)
        logs = [self.take(np.array([i])).over(np.log(self.v + value))[0]
                for i, value in enumerate(tau2)]  # fmt: skip
        value: Floats = -0.5 * np.array(logs) - 0.5 * at.rss
        return value - 0.5 * at.log_det if restricted else value

    def coefficients(self, tau2: Floats) -> tuple[Floats, Floats]:
        """Return coefficients (p, T) and their Wald covariance (p, p, T)."""
        _, _, cross, grams = self._sums(tau2)
        inverted, _ = inverse(grams[0])
        moved = np.einsum("ab,bct,ct->at", self.back, inverted, cross[0])
        covariance = np.einsum("ab,bct,dc->adt", self.back, inverted, self.back)
        return self.start[:, None] + moved, covariance


#: Columns on which searches run.
AnyBatch: TypeAlias = Batch | Subsets


def inverse(matrices: Floats) -> tuple[Floats, Floats]:
    """Return the inverses and log-determinants of positive definite ``(p, p, ...)`` matrices."""
    inverted, log_det = matrices.copy(), np.zeros(matrices.shape[2:])
    for j in range(len(matrices)):  # Gauss-Jordan, in steps for all of them
        pivot = 1 / inverted[j, j]
        row = inverted[j] * pivot
        for i in (i for i in range(len(matrices)) if i != j):
            share = inverted[i, j].copy()
            inverted[i] -= share * row
            inverted[i, j] = -share * pivot
        inverted[j], inverted[j, j] = row, pivot
        log_det -= np.log(pivot)
    return inverted, log_det


def gram(basis: Floats, weight: Floats) -> Floats:
    """Return ``B' W B``, shape (p, p, T)."""
    p = len(basis)
    rows = [basis[a] * weight for a in range(p)]
    out = np.empty((p, p, np.broadcast_shapes(basis.shape[-1:], weight.shape[-1:])[0]))
    for a in range(p):
        for b in range(a, p):
            out[a, b] = out[b, a] = sums(rows[a], basis[b])
    return out


def fitted(basis: Floats, inverted: Floats, wy: Floats) -> Floats:
    """Return ``B (B'WB)^-1 B' wy``, shape (k, T)."""
    cross = np.array([sums(column, wy) for column in basis])
    gamma = np.einsum("abt,bt->at", inverted, cross)
    out = basis[0] * gamma[0]
    for column, weight in zip(basis[1:], gamma[1:], strict=True):
        out = out + column * weight
    return out


def orthonormal(design: Floats) -> tuple[Floats, Floats]:
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


def product(weights: Floats, columns: Floats) -> Floats:
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
