"""The between-study variance of many meta-analyses at once; the numbers of ``tau2``.

Every search runs on all columns together: brackets from a grid, then Newton steps that never
leave their bracket.

A room of its own because its searches run on all columns at once, unlike those of ``tau2``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ketameta.errors import NotEstimableError
from ketameta.models.least_squares import Array
from ketameta.models.resampling.batch import Batch, Projections, projections, score_on_grid, sums
from ketameta.models.tau2 import COMMON, GRID_STEP

#: A Newton step below this share of ``tau2 + min v`` is the last one: the error after it is of the
#: order of its square.
LAST_STEP = 1e-7
#: A search starts at one of so many equal parts of its bracket, so that the last bits of the scores
#: on the grid, which depend on how a batch is cut, do not reach the result.
START_PARTS = 4096
#: A bracket is halved at worst; 200 halvings empty any double.
MAX_STEPS = 200

Index = NDArray[np.intp]


def column_tau2(data: Batch, method: str, grid_end: float) -> Array:
    """Return tau-squared of every column, shape (T,), by a method of ``tau2``.

    Columns with as many studies as coefficients have none: 0. ``grid_end`` is the value from
    :func:`grid_span` for the whole batch.
    """
    found = np.zeros(data.columns)
    some = np.flatnonzero(data.n > data.p)
    if method == COMMON or not some.size:
        return found
    part = data if some.size == data.columns else data.take(at_least_two(some))
    if method in ("ML", "REML"):
        values = _likelihood(part, grid_end, restricted=method == "REML")
    elif method in ("PM", "EB"):
        values = _paule_mandel(part)
    else:
        values = _closed(part, method)
    found[some] = values[: some.size]
    return found


def at_least_two(index: Index) -> Index:
    """Return ``index``, a single entry repeated: sums over one column add in another order."""
    return np.repeat(index, 2) if index.size == 1 else index


def _closed(data: Batch, method: str) -> Array:
    """DL, HE, HS and SJ."""
    df = data.n - data.p
    if method == "HE":
        leverage = data.mask / data.n if data.basis is None else (data.basis**2).sum(0)
        within = sums(data.mask * (1 - leverage), data.v)
        return np.maximum(0.0, (_ordinary_rss(data) - within) / df)
    if method == "SJ":
        start = _raw_variance(data)
        positive = np.where(start > 0, start, 1.0)
        w = _relative(data, positive)
        return np.where(start > 0, start * w.rss / df, 0.0)
    at = projections(data, np.zeros(data.columns), derivative=False)
    if method == "DL":
        return np.maximum(0.0, (at.rss - df) / at.trace)
    return np.maximum(0.0, (at.rss - data.n) / at.total)


def _relative(data: Batch, tau2: Array) -> Projections:
    return projections(data, tau2, derivative=False)


def _ordinary_rss(data: Batch) -> Array:
    """Return the residual sum of squares of ordinary least squares."""
    ones = data._replace(v=np.ones((1, 1)))
    return projections(ones, np.zeros(data.columns), derivative=False).rss


def _raw_variance(data: Batch) -> Array:
    """Return the variance of the estimates (divisor n), whatever the design."""
    means = data._replace(v=np.ones((1, 1)), basis=None, y=data.raw)
    return projections(means, np.zeros(data.columns), derivative=False).rss / data.n


def _paule_mandel(data: Batch) -> Array:
    """PM and EB: Newton from 0 on a convex falling function never passes the root."""
    df = data.n - data.p

    def excess(part: Batch, tau2: Array, rows: Index) -> tuple[Array, Array]:
        at = projections(part, tau2, derivative=False)
        return at.rss - df[rows], -at.score

    everything = np.arange(data.columns)
    start = np.zeros(data.columns)
    positive = np.flatnonzero(excess(data, start, everything)[0] > 0)
    if not positive.size:
        return start
    high = _ordinary_rss(data) / df * (1 + 1e-9)
    start[positive] = _newton(
        data, positive, np.zeros(positive.size), high[positive], np.zeros(positive.size), excess
    )
    return start


def _likelihood(data: Batch, grid_end: float, *, restricted: bool) -> Array:
    """ML and REML: every change of sign of the score, then the highest maximum."""
    slope, grid = _slopes(data, grid_end, restricted=restricted)
    at_zero = slope[0] <= 0
    row, column = np.nonzero((slope[:-1] > 0) & (slope[1:] <= 0))
    found = np.zeros(data.columns)
    if not column.size:
        return found
    shared = grid.shape[1] == 1
    low = grid[row, 0 if shared else column]
    high = grid[row + 1, 0 if shared else column]

    def slope_at(part: Batch, tau2: Array, rows: Index) -> tuple[Array, Array]:
        at = projections(part, tau2)
        if restricted:
            return at.score - at.trace, at.trace_squared - 2 * at.cubic
        return at.score - at.total, at.total_squared - 2 * at.cubic

    start = low + (high - low) * _crossing(slope, grid, row, column)
    peaks = _newton(data, column, low, high, start, slope_at)
    candidates = np.bincount(column, minlength=data.columns) + at_zero
    single = candidates[column] == 1
    found[column[single]] = peaks[single]
    several = np.flatnonzero(candidates > 1)
    if several.size:
        _highest(data, found, several, column, peaks, at_zero, restricted=restricted)
    return found


def _crossing(slope: Array, grid: Array, row: Index, column: Index) -> Array:
    """Return where in its bracket each score is about 0, as a share of the bracket.

    Inverse interpolation by Neville's scheme through the bracket and the grid points around it,
    linear where that leaves the bracket or has no such points.
    """
    inner = (row > 0) & (row + 2 < len(slope))
    place = 0 if grid.shape[1] == 1 else column
    low, width = grid[row, place], grid[row + 1, place] - grid[row, place]
    at = [np.where(inner, row + i, row) for i in (-1, 0, 1, 2)]
    scores = [slope[rows, column] for rows in at]
    shares = [(grid[rows, place] - low) / width for rows in at]
    f0, f1 = slope[row, column], slope[row + 1, column]
    linear = f0 / (f0 - f1)
    with np.errstate(divide="ignore", invalid="ignore"):
        for order in (1, 2, 3):
            for i in range(4 - order):
                a, b = scores[i], scores[i + order]
                shares[i] = (a * shares[i + 1] - b * shares[i]) / (a - b)
    share = np.where((shares[0] >= 0) & (shares[0] <= 1), shares[0], linear)
    return np.asarray(np.round(share * START_PARTS) / START_PARTS)


def _highest(
    data: Batch,
    found: Array,
    several: Index,
    column: Index,
    peaks: Array,
    at_zero: NDArray[np.bool_],
    *,
    restricted: bool,
) -> None:
    """Fill ``found`` for the columns with several maxima."""
    for j in several.tolist():
        values = peaks[column == j]
        if at_zero[j]:
            values = np.concatenate([[0.0], values])
        part = data.take(np.full(len(values), j))
        at = projections(part, values, derivative=False)
        logs = np.log(np.where(part.mask > 0, part.v + values, 1.0))
        heights = -0.5 * sums(np.ones((len(logs), 1)), logs) - 0.5 * at.rss
        if restricted:
            heights = heights - 0.5 * at.log_det
        found[j] = values[np.argmax(heights)]


def grid_span(data: Batch, *, restricted: bool) -> Array:
    """Return ``log(1 + bound / min v)`` of every column: no stationary point lies beyond.

    The bound of :func:`ketameta.models.tau2.search_grid`, with the residual sum of squares of the
    common fit in place of each column's own, which is at most as large.
    """
    inside = data.mask > 0
    low = np.where(inside, data.v, np.inf).min(0)
    high = np.where(inside, data.v, 0.0).max(0)
    m = np.maximum(data.n - data.p if restricted else data.n, 1)
    total = sums(data.mask * data.y, data.y)
    b, c = 2 * m * low - total, m * low**2 - total * high
    bound = np.maximum(0.0, (-b + np.sqrt(np.maximum(0.0, b * b - 4 * m * c))) / (2 * m))
    if data.v.shape[-1] == 1:  # one grid for all: from the smallest variance of all
        low = np.full_like(low, data.v.min())
    return np.log1p(bound / low)


def _slopes(data: Batch, grid_end: float, *, restricted: bool) -> tuple[Array, Array]:
    """Return the score on a grid from 0, and the grid, shapes (G, T) and (G, 1) or (G, T)."""
    points = int(np.ceil(grid_end / GRID_STEP)) + 2
    steps = np.expm1(np.linspace(0.0, grid_end * (1 + 1e-9) + 1e-6, points))
    if data.v.shape[-1] == 1:
        grid = float(data.v.min()) * steps
        slope = score_on_grid(data, grid, restricted=restricted)
        return np.broadcast_to(slope, (points, data.columns)), grid[:, None]
    low = np.where(data.mask > 0, data.v, np.inf).min(0)
    grid_columns = low * steps[:, None]
    slopes = np.empty((points, data.columns))
    for g in range(points):
        at = projections(data, grid_columns[g], derivative=False)
        slopes[g] = at.score - (at.trace if restricted else at.total)
    return slopes, grid_columns


def _newton(
    data: Batch,
    column: Index,
    low: Array,
    high: Array,
    start: Array,
    function: Callable[[Batch, Array, Index], tuple[Array, Array]],
) -> Array:
    """Return the root of a function that falls through 0 inside each bracket.

    ``function`` returns value and derivative. A step that leaves the bracket is replaced by its
    middle. The result of a column does not depend on the other columns.
    """
    value, low, high = start.copy(), low.copy(), high.copy()
    floor = np.broadcast_to(np.where(data.mask > 0, data.v, np.inf).min(0), data.columns)[column]
    active = np.arange(len(column))
    for _ in range(MAX_STEPS):
        work = at_least_two(active)
        t = value[work]
        f, slope = function(data.take(column[work]), t, column[work])
        low[work] = np.where(f > 0, t, low[work])
        high[work] = np.where(f > 0, high[work], t)
        step = np.where(slope < 0, -f / np.where(slope < 0, slope, 1.0), np.inf)
        new = t + step
        inside = (new >= low[work]) & (new <= high[work])
        middle = 0.5 * (low[work] + high[work])
        new = np.where(inside, new, middle)
        scale = floor[work] + t
        done = (inside & (np.abs(step) <= LAST_STEP * scale)) | (
            high[work] - low[work] <= 1e-15 * scale
        )
        value[work] = new
        active = active[~done[: active.size]]
        if not active.size:
            return value
    raise NotEstimableError(
        f"the search for the between-study variance did not converge in {MAX_STEPS} steps for"
        f" {active.size} of {len(column)} meta-analyses"
    )
