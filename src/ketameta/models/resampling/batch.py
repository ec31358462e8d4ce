"""Many meta-analyses side by side: the arrays of a batch and the sums over their studies.

One column per meta-analysis, one row per study; an array that all share has a single column.
Estimates nothing; the searches are in ``batched_tau2``, the door is ``batched``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.effects.arrays import Floats, as_numbers
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models.least_squares import orthonormal_basis, power_of_two_scale
from ketameta.models.validation import RANK_TOLERANCE

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

    With ``P`` the projection of :class:`ketameta.models.least_squares.Moments`: ``rss`` is
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


class LeftOut(NamedTuple):
    """All studies but one, for each of T studies: sums over all studies less their own terms.

    The same questions as of a :class:`Batch` without moderators, in time and memory of T and not of
    k T; for tame variances, where no study may hold nearly all of the weight. ``y`` (estimates less
    ``centre``) and ``v`` have shape (k,), ``own`` (T,) is the study left out of each column.
    """

    y: Floats
    v: Floats
    own: NDArray[np.intp]
    centre: float
    p: int = 1

    @property
    def columns(self) -> int:
        """Number of meta-analyses."""
        return len(self.own)

    @property
    def n(self) -> Floats:
        """Studies of each column."""
        return np.full(len(self.own), len(self.y) - 1.0)

    @property
    def shares_variances(self) -> bool:
        """Whether all columns have the same variances: but for one each."""
        return True

    def take(self, index: NDArray[np.intp]) -> LeftOut:
        """Return the columns at ``index``."""
        return self._replace(own=self.own[index])

    def ordinary(self) -> LeftOut:
        """Return the same with variances of 1."""
        return self._replace(v=np.ones(len(self.v)))

    def ends(self) -> tuple[Floats, Floats]:
        """Return the smallest and the largest variance of every column, or a bound on them."""
        return np.full(self.columns, self.v.min()), np.full(self.columns, self.v.max())

    def squares(self) -> Floats:
        """Return the sum of squares of the estimates of every column."""
        return float(self.y @ self.y) - self.y[self.own] ** 2

    def raw_variance(self) -> Floats:
        """Return the variance of the estimates (divisor n)."""
        mean = (float(self.y.sum()) - self.y[self.own]) / self.n
        return self.squares() / self.n - mean**2

    def within(self) -> Floats:
        """Return the sum of the variances, each times 1 less its leverage."""
        return (float(self.v.sum()) - self.v[self.own]) * (1 - 1 / self.n)

    def _whole(self, tau2: Floats) -> Floats:
        """Return the sums of ``w^a y^b`` over all studies, shape (3, 3, T): a from 1, b from 0."""
        powers = np.array([np.ones(len(self.y)), self.y, self.y * self.y]).T

        def exact(points: Floats) -> Floats:
            w = 1 / (self.v + points[:, None])
            return np.array([(w**a @ powers).T for a in (1, 2, 3)])

        least = float(self.v.min())
        place = np.log(tau2 + least)
        out = np.empty((3, 3, len(tau2)))
        todo = np.ones(len(tau2), dtype=bool)
        while todo.any():
            start = place[todo].min()
            inside = todo & (place <= start + WINDOW)
            span = float(place[inside].max()) - start
            if span == 0:
                out[..., inside] = exact(tau2[inside][:1])
            else:
                angles = (np.arange(NODES) + 0.5) * np.pi / NODES
                nodes = start + span * (1 - np.cos(angles)) / 2
                values = exact(np.exp(nodes) - least)
                signs = np.sin(angles) * (-1.0) ** np.arange(NODES)
                gaps = place[inside][:, None] - nodes
                gaps[gaps == 0] = np.finfo(float).tiny
                shares = signs / gaps
                out[..., inside] = values @ (shares / shares.sum(1, keepdims=True)).T
            todo &= ~inside
        return out

    def _without(self, tau2: Floats) -> Floats:
        """Return the same sums without the study of each column."""
        w, y = 1 / (self.v[self.own] + tau2), self.y[self.own]
        own = np.array([[w**a * y**b for b in (0, 1, 2)] for a in (1, 2, 3)])
        return self._whole(np.broadcast_to(tau2, self.columns)) - own

    def projections(self, tau2: Floats, *, derivative: bool = True) -> Projections:
        """Return the projections of every column at its own ``tau2``."""
        (s1, y1, q1), (s2, y2, q2), (s3, y3, q3) = self._without(tau2)
        mean, ratio = y1 / s1, s2 / s1
        rss, score = q1 - mean * y1, q2 - mean * (2 * y2 - mean * s2)
        cubic = q3 - mean * (2 * y3 - mean * s3) - (y2 - mean * s2) ** 2 / s1
        trace_squared = s2 - 2 * s3 / s1 + ratio * ratio
        return Projections(rss, score, cubic, s1 - ratio, trace_squared, s1, s2, np.log(s1))

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
        own = np.log(self.v[self.own] + tau2)
        logs = np.array([np.log(self.v + value).sum() for value in tau2]) - own
        value: Floats = -0.5 * logs - 0.5 * at.rss
        return value - 0.5 * at.log_det if restricted else value

    def coefficients(self, tau2: Floats) -> tuple[Floats, Floats]:
        """Return the means (1, T) and their Wald variances (1, 1, T)."""
        (s1, y1, _), _, _ = self._without(tau2)
        return (self.centre + y1 / s1)[None], (1 / s1)[None, None]


#: Columns on which searches run.
AnyBatch: TypeAlias = Batch | LeftOut


def inverse(matrices: Floats) -> tuple[Floats, Floats]:
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
    log_det: Floats = np.linalg.slogdet(stacked)[1]
    return np.moveaxis(inverted, (-2, -1), (0, 1)), log_det


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


Scalar = TypeVar("Scalar", bound=np.generic)
#: A chunk has at least this many columns, so that no sum is taken over a single one.
MIN_COLUMNS = 4
#: Arrays of k rows per column that a fit holds at once, without moderators; and per coefficient.
LIVE_ARRAYS, LIVE_ARRAYS_PER_COEFFICIENT = 12, 6
#: Arrays of one row per grid point that a search holds at once.
LIVE_GRIDS = 8


@dataclasses.dataclass(frozen=True, slots=True)
class BatchInputs:
    """Checked data of T meta-analyses.

    ``y, v`` (k, T) or (k, 1), in units of ``scale``; ``mask`` (k, T) or (k, 1); ``design``
    (p, k, T), (p, k, 1) or None; ``count`` is T.
    """

    y: Floats
    v: Floats
    mask: NDArray[np.bool_]
    design: Floats | None
    scale: float
    count: int

    @property
    def p(self) -> int:
        """Coefficients of each meta-analysis."""
        return 1 if self.design is None else len(self.design)

    def chunks(self, size: int, *, designs: bool = True) -> Iterator[Batch]:
        """Yield batches of at most ``size`` columns; a single column comes twice.

        Without ``designs`` those are left out, for what needs estimates and variances only.
        """
        common = self._common_basis()
        pieces = -(-self.count // size)
        edges = np.linspace(0, self.count, pieces + 1).astype(int)
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            index = np.arange(start, stop) if stop > start + 1 else np.array([start, start])
            mask = _columns(self.mask, index).astype(float)
            y = _columns(self.y, index)
            n = np.broadcast_to(mask.sum(0), index.size)
            design = None
            if self.design is not None and designs:
                design = _columns(self.design, index) * mask
            basis = None if design is None else orthonormal(design)[0]
            centred = y  # by sums, not a matrix product, whose last bit depends on its size
            for column in common.T[:, :, None]:
                centred = centred - column * sums(column, y)
            yield Batch(centred, y, _columns(self.v, index), mask, design, basis, n, self.p)

    def _common_basis(self) -> Floats:
        """Return a basis whose fit is taken from the estimates, so that sums lose fewer digits."""
        k = len(self.y)
        if self.design is None or self.design.shape[-1] > 1:
            return np.full((k, 1), k**-0.5)
        return orthonormal_basis(self.design[:, :, 0].T)


def read_batch(
    estimates: ArrayLike, variances: ArrayLike, design: ArrayLike | None, mask: ArrayLike | None
) -> BatchInputs:
    """Return checked arrays, or refuse them; see :func:`ketameta.batched_fit`."""
    y, v = _array("estimates", estimates, 2), _array("variances", variances, 2)
    k = len(y)
    counts = {"estimates": y.shape[1], "variances": v.shape[1]}
    rows = {"estimates": k, "variances": len(v)}
    matrix: Floats | None = None
    if design is not None:
        matrix = np.moveaxis(_array("design", design, 3), 1, 0)
        rows["design"], counts["design"] = matrix.shape[1], matrix.shape[2]
    inside = np.ones((k, 1), dtype=np.bool_)
    if mask is not None:
        flags = np.asarray(mask)
        if flags.dtype != np.bool_ or flags.ndim not in (1, 2):
            raise UsageError(
                f"mask has type {flags.dtype} and shape {flags.shape}; give True or False, (k, T)"
            )
        inside = flags.reshape(len(flags), -1)
        rows["mask"], counts["mask"] = inside.shape
    _same("studies (rows)", rows)
    _same("meta-analyses (columns)", {name: n for name, n in counts.items() if n != 1})
    if not np.all(v > 0):
        i, j = np.argwhere(~(v > 0))[0]
        raise ImpossibleDataError(
            f"variances[{i}, {j}] is {v[i, j]:g}: a sampling variance is finite and > 0"
        )
    empty = np.flatnonzero(~inside.any(0))
    if k == 0 or empty.size:
        raise NotEstimableError(
            "there are no studies" if k == 0 else f"mask leaves no study in column {empty[0]}"
        )
    scale = power_of_two_scale(v.ravel())
    return BatchInputs(y / scale, v / scale**2, inside, matrix, scale, max(counts.values()))


def chunk_columns(k: int, p: int, grid_points: int, budget_bytes: int) -> int:
    """Return how many columns fit the budget, at least :data:`MIN_COLUMNS`."""
    arrays = LIVE_ARRAYS + LIVE_ARRAYS_PER_COEFFICIENT * (p - 1)
    each = 8 * (k * arrays + grid_points * (LIVE_GRIDS + 3 * (p * p - 1)))
    needed = each * MIN_COLUMNS
    if budget_bytes < needed:
        raise UsageError(
            f"budget_bytes is {budget_bytes}; {k} studies and {p} coefficients need at least"
            f" {needed} bytes"
        )
    return budget_bytes // each


def _array(name: str, values: ArrayLike, most: int) -> Floats:
    array = as_numbers(name, values, booleans=True)
    if array.ndim not in (most - 1, most):
        shape = "(k, p) or (k, p, T)" if most == 3 else "(k,) or (k, T)"
        raise UsageError(f"{name} has shape {array.shape}; give {shape}")
    if array.ndim == most - 1:
        array = array[..., None]
    if not np.all(np.isfinite(array)):
        where = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        raise ImpossibleDataError(
            f"{name}{list(where)} is {array[where]}: a finite number is needed"
        )
    return array


def _same(what: str, sizes: dict[str, int]) -> None:
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise UsageError(f"the numbers of {what} differ: {listed}")


def _columns(array: NDArray[Scalar], index: NDArray[np.intp]) -> NDArray[Scalar]:
    """Return columns as a contiguous array; an array that all share stays one column."""
    if array.shape[-1] == 1 and index.size > 1:
        return array
    return np.ascontiguousarray(array[..., index])
