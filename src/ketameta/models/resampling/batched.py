"""Many meta-analyses in one call: the fitting core behind resampling, subsets and simulation.

One column per meta-analysis. The numbers are those of the one-at-a-time functions; the memory in
use is bounded by a budget, not by the number of fits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats, as_numbers
from ketameta.effects.table import Effects
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError, check_choice
from ketameta.formatting import format_count, plural
from ketameta.measures import CI_METHODS
from ketameta.models.intervals import ZERO_SCALE, check_level
from ketameta.models.resampling.batch import (
    AnyBatch,
    Batch,
    Subsets,
    orthonormal,
    sums,
)
from ketameta.models.results import Printed, Result
from ketameta.models.tau2 import (
    COMMON,
    ESTIMATORS,
    GRID_STEP,
    MANY_STUDIES,
    at_least_two,
    check_tau2_method,
    column_tau2,
    grid_span,
    orthonormal_basis,
    power_of_two_scale,
)
from ketameta.models.validation import check_fit

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects
    from ketameta.models.regression import MetaRegression


#: Working memory of a batch, in bytes; measured fastest between 4 and 32 MiB, where chunks stay
#: in the cache.
DEFAULT_BUDGET = 8 * 2**20
#: Columns, times pairs of coefficients, that are fitted at once where sums do.
SUMS = 2**18


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class BatchedFits(Result):
    """T fitted meta-analyses; every array has one entry (or column) per meta-analysis.

    Attributes
    ----------
    k : ndarray of int, shape (T,)
        Studies.
    coefficients : ndarray of shape (p, T)
    covariance : ndarray of shape (p, p, T)
        Wald: ``(X'WX)^-1``.
    tau2, q, i2, h2 : ndarray of shape (T,)
        As in :class:`ketameta.models.pooling.RandomEffects`; ``q`` is the residual Q.
    factor : ndarray of shape (T,)
        Knapp-Hartung factor on the variance, ``y'Py / (k - p)``; 1 where k = p.
    df : ndarray of int, shape (T,)
        ``k - p``.
    estimable : ndarray of bool, shape (T,)
        False where the design of a subset is singular; all numbers of that column are NaN.
    tau2_method : str
    """

    k: NDArray[np.intp]
    coefficients: Floats
    covariance: Floats
    tau2: Floats
    q: Floats
    i2: Floats
    h2: Floats
    factor: Floats
    df: NDArray[np.intp]
    estimable: NDArray[np.bool_]
    tau2_method: str

    @property
    def estimate(self) -> Floats:
        """First coefficient, the mean when there is no moderator; shape (T,)."""
        return self.coefficients[0]

    @property
    def se(self) -> Floats:
        """Wald standard errors, shape (p, T)."""
        return np.sqrt(np.einsum("aat->at", self.covariance))

    def printed(self) -> Printed:
        """Return one line."""
        count = format_count(len(self.k))
        return Printed(f"BatchedFits: {count} meta-analyses, {self.tau2_method}")


@dataclasses.dataclass(frozen=True, slots=True)
class BatchedInference:
    """Tests and intervals of a batch, shape (p, T); NaN where no test exists (se of 0).

    ``df`` (T,) is infinite for the normal distribution; ``scale`` (T,) is the Knapp-Hartung factor
    that was used, 1 for Wald.
    """

    se: Floats
    statistic: Floats
    df: Floats
    p_value: Floats
    ci_low: Floats
    ci_high: Floats
    scale: Floats


def batched_fit(
    estimates: ArrayLike | Effects,
    variances: ArrayLike | None = None,
    design: ArrayLike | None = None,
    *,
    mask: ArrayLike | None = None,
    tau2_method: str = "REML",
    budget_bytes: int = DEFAULT_BUDGET,
    progress: Callable[[int, int], None] | None = None,
) -> BatchedFits:
    """Fit many random-effects models at once.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,) or (k, T)
        Shared by all meta-analyses, or one column each; ``Effects`` instead of the two.
    design : array_like of shape (k, p) or (k, p, T), optional
        Shared, or one per meta-analysis; a column of ones when not given.
    mask : array_like of bool, shape (k, T), optional
        Which studies each meta-analysis contains; all when not given.
    tau2_method : {"REML", "DL", "ML", "PM", "EB", "HE", "HS", "SJ", "common"}
    budget_bytes : int
        Bound on working memory; the batch is cut into chunks that fit. Results do not depend on it.
    progress : callable, optional
        Called after each chunk with the number of fits done and their total.

    Returns
    -------
    BatchedFits

    Raises
    ------
    UsageError
        Shapes that do not fit together, an unknown method, a budget too small for one chunk.
    ImpossibleDataError
        A value that is not finite or a variance that is not positive.
    NotEstimableError
        A meta-analysis without studies.

    Notes
    -----
    Equal to :func:`ketameta.models.mixed_model.fit_mixed_model` column by column (tests hold
    1e-9), including the complete search of ML and REML likelihoods. With shared variances the
    search grid is a matrix product. Where a subset has as many studies as coefficients tau-squared
    is 0, as metafor has it for one study.

    Examples
    --------
    >>> subsets = [[True, True], [True, False], [True, True]]
    >>> fits = batched_fit([0.1, 0.3, 0.8], [0.02, 0.03, 0.02], mask=subsets)
    >>> fits.k.tolist(), fits.tau2.round(4).tolist()
    ([3, 2], [0.1125, 0.225])
    """
    check_tau2_method(tau2_method, common=True)
    if isinstance(estimates, Effects):
        variances, estimates = estimates.variance, estimates.estimate
    elif variances is None:
        raise UsageError("give variances beside estimates, or effects of km.effect_sizes()")
    inputs = read_batch(estimates, variances, design, mask)
    k, p = len(inputs.y), inputs.p
    size = chunk_columns(k, p, 2, budget_bytes)
    span = 0.0
    if tau2_method != COMMON and ESTIMATORS[tau2_method].by_likelihood:
        parts = inputs.chunks(size, designs=False)
        spans = [grid_span(part, restricted=tau2_method == "REML") for part in parts]
        span = float(np.concatenate(spans).max())
        size = chunk_columns(k, p, int(np.ceil(span / GRID_STEP)) + 2, budget_bytes)
    pieces, done = [], 0
    for part in inputs.chunks(size):
        pieces.append(_fit_chunk(part, tau2_method, span))
        done = min(done + part.columns, inputs.count)
        if progress is not None:
            progress(done, inputs.count)
    joined = [np.concatenate(items, -1)[..., : inputs.count] for items in zip(*pieces, strict=True)]
    return _scaled(_Chunk(*joined), inputs.scale, p, tau2_method)


def _scaled(fits: _Chunk, scale: float, p: int, tau2_method: str) -> BatchedFits:
    """Return fits in the unit of the effect."""
    studies = fits.k.astype(np.intp)
    return BatchedFits(
        k=studies,
        coefficients=fits.coefficients * scale,
        covariance=fits.covariance * scale**2,
        tau2=fits.tau2 * scale**2,
        q=fits.q,
        i2=fits.i2,
        h2=fits.h2,
        factor=fits.factor,
        df=studies - p,
        estimable=~np.isnan(fits.tau2),
        tau2_method=tau2_method,
    )


def joined(pieces: Sequence[BatchedFits]) -> BatchedFits:
    """Return the fits of several batches as one."""
    *names, _ = (field.name for field in dataclasses.fields(BatchedFits))
    found = {name: np.concatenate([getattr(part, name) for part in pieces], -1) for name in names}
    return BatchedFits(**found, tau2_method=pieces[0].tau2_method)


class _Chunk(NamedTuple):
    k: Floats
    coefficients: Floats
    covariance: Floats
    tau2: Floats
    q: Floats
    i2: Floats
    h2: Floats
    factor: Floats


def _fit_chunk(data: Batch, method: str, span: float) -> _Chunk:
    """Fit the columns whose design is sound; NaN for the others."""
    sound = np.arange(data.columns)
    if data.basis is not None:
        lengths = np.einsum("akt,akt->at", data.basis, data.basis)
        lengths = np.broadcast_to(lengths, (data.p, data.columns))
        sound = np.flatnonzero((lengths > 0.5).all(0))
    if sound.size == data.columns:
        return _fit_sound(data, method, span)
    p, count = data.p, data.columns
    shapes = [(p, count), (p, p, count), *[(count,)] * 5]
    filled = _Chunk(np.array(data.n), *[np.full(shape, np.nan) for shape in shapes])
    if sound.size:
        found = _fit_sound(data.take(at_least_two(sound)), method, span)
        for whole, part in zip(filled[1:], found[1:], strict=True):
            whole[..., sound] = part[..., : sound.size]
    return filled


def _fit_sound(data: AnyBatch, method: str, span: float) -> _Chunk:
    tau2 = column_tau2(data, method, span)
    df = data.n - data.p
    some = df > 0
    divisor = np.where(some, df, 1)
    at_zero = data.projections(np.zeros(data.columns), derivative=False)
    q = np.where(some, at_zero.rss, 0.0)
    typical = divisor / np.where(some, at_zero.trace, 1.0)
    if method == COMMON:
        h2 = np.where(some, q / divisor, 1.0)
        i2 = np.where(q > df, (q - df) / np.where(q > 0, q, 1.0), 0.0)
    else:
        h2, i2 = 1 + tau2 / typical, tau2 / (tau2 + typical)
    rss = data.projections(tau2, derivative=False).rss
    factor = np.where(some, rss / divisor, 1.0)
    coefficients, covariance = data.coefficients(tau2)
    return _Chunk(np.array(data.n), coefficients, covariance, tau2, q, i2, h2, factor)


def batched_inference(
    fits: BatchedFits, ci_method: str = "knapp-hartung-conservative", level: float = 0.95
) -> BatchedInference:
    """Test the coefficients of a batch and give their intervals.

    As :func:`ketameta.models.intervals.mean_inference` column by column; columns without degrees
    of freedom (k = p) have the Wald test and interval, as metafor has for a single study.
    """
    level = check_level(level)
    se, scale, df = scaled_se(fits, ci_method)
    sound = se > 0
    statistic = np.full(se.shape, np.nan)
    np.divide(fits.coefficients, se, out=statistic, where=sound)
    limited = np.isfinite(df)
    finite = np.where(limited, df, 1.0)
    upper = 0.5 + level / 2
    critical = np.where(limited, special.stdtrit(finite, upper), special.ndtri(upper))
    squared = np.where(np.isnan(statistic), 0.0, statistic) ** 2
    p_value = np.where(
        limited,
        special.betainc(finite / 2, 0.5, finite / (finite + squared)),
        special.erfc(np.sqrt(squared / 2)),
    )
    half = np.where(sound, critical * se, np.nan)
    return BatchedInference(
        se=se,
        statistic=statistic,
        df=df,
        p_value=np.where(sound, p_value, np.nan),
        ci_low=fits.coefficients - half,
        ci_high=fits.coefficients + half,
        scale=scale,
    )


def scaled_se(fits: BatchedFits, ci_method: str) -> tuple[Floats, Floats, Floats]:
    """Return standard errors (p, T), the factor on the variance (T,) and degrees of freedom (T,).

    As in :func:`batched_inference`, without tests.
    """
    check_choice("ci_method", ci_method, CI_METHODS)
    scale, df = np.ones(fits.tau2.shape), np.full(fits.tau2.shape, np.inf)
    if ci_method != "wald":
        df = np.where(fits.df > 0, fits.df, np.inf)
        scale = fits.factor
        if ci_method == "knapp-hartung-conservative":
            scale = np.maximum(scale, 1.0)
        else:
            scale = np.where(scale < ZERO_SCALE, 0.0, scale)
    return fits.se * np.sqrt(scale), scale, df


class FitData(NamedTuple):
    """Data of a fit; ``design`` is None for a mean alone."""

    y: Floats
    v: Floats
    design: Floats | None
    names: tuple[str, ...]
    labels: tuple[str, ...]
    tau2_method: str
    ci_method: str
    level: float
    measure: str | None

    def refit(self, mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]] | None) -> BatchedFits:
        """Refit subsets of the studies, one column of ``mask`` each, as the fit was made."""
        return batched_fit(self.y, self.v, self.design, mask=mask, tau2_method=self.tau2_method)

    def left_out(self) -> BatchedFits:
        """Refit without each study in turn; with many studies in time that grows with k alone."""
        k = len(self.y)
        found = self._by_sums(np.arange(k), growing=False) if k >= MANY_STUDIES else None
        return found or self.refit(~np.eye(k, dtype=bool))

    def grown(self, order: NDArray[np.intp]) -> BatchedFits:
        """Refit the first study of an order, the first two, and so on; for a mean alone."""
        k, start, pieces = len(self.y), 0, []
        while start < k:
            # As many new studies at a time as there were, so that sums about their mean are short.
            stop = min(k, max(MANY_STUDIES, 2 * start))
            part = self._replace(y=self.y[order[:stop]], v=self.v[order[:stop]])
            own = np.arange(start, stop)
            found = part._by_sums(own, growing=True) if start else None
            pieces.append(found or part.refit(np.arange(stop)[:, None] <= own))
            start = stop
        return joined(pieces)

    def _by_sums(self, own: NDArray[np.intp], *, growing: bool) -> BatchedFits | None:
        """Refit subsets by sums over all studies; None where these lose digits."""
        scale, method = power_of_two_scale(self.v), self.tau2_method
        y, v = self.y / scale, self.v / scale**2
        data = Subsets.of(y, v, self.design, own, growing=growing)
        if not data.sound:
            return None
        span = float(grid_span(data, restricted=method == "REML").max())
        size = -(-SUMS // data.p**2)
        pieces = [data.take(np.arange(at, min(at + size, len(own))))
                  for at in range(0, len(own), size)]  # fmt: skip
        return joined([_scaled(_fit_sound(part, method, span), scale, data.p, method)
                       for part in pieces])  # fmt: skip


def fit_data(
    fit: RandomEffects | MetaRegression, what: str, *, minimum: int = 2, regression: bool = False
) -> FitData:
    """Return the data of a fit for a method called ``what``.

    Refuses fewer than ``minimum`` studies, a meta-regression unless ``regression``, and what is no
    fit.
    """
    check_fit(fit, what, regression=regression)
    design = getattr(fit, "design", None)
    if design is not None and not regression:
        raise UsageError(
            f"{what} describes one mean effect and the fit is a meta-regression; pass the result of"
            " random_effects()"
        )
    if fit.k < minimum:
        raise NotEstimableError(
            f"{what} needs at least {minimum} studies; there {'is' if fit.k == 1 else 'are'}"
            f" {plural(fit.k, 'study', 'studies')}"
        )
    return FitData(
        np.array(fit.estimates),
        np.array(fit.variances),
        None if design is None else np.array(design),
        tuple(getattr(fit, "names", ("intercept",))),
        fit.labels,
        fit.tau2_method or COMMON,
        fit.ci_method,
        fit.level,
        fit.measure,
    )


# --- checked data, cut into chunks that fit the budget --------------------------------------------

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
        # A basis whose fit is taken from the estimates, so that sums lose fewer digits.
        common = np.full((len(self.y), 1), len(self.y) ** -0.5)
        if self.design is not None and self.design.shape[-1] < 2:
            common = orthonormal_basis(self.design[:, :, 0].T)
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
