"""What a batch accepts: shapes and values are checked here, and cut into chunks that fit a budget.

Fits nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.arrays import as_numbers
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models.batched_data import Batch, orthonormal, sums
from ketameta.models.least_squares import Array, orthonormal_basis, power_of_two_scale

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

    y: Array
    v: Array
    mask: NDArray[np.bool_]
    design: Array | None
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

    def _common_basis(self) -> Array:
        """Return a basis whose fit is taken from the estimates, so that sums lose fewer digits."""
        k = len(self.y)
        if self.design is None or self.design.shape[-1] > 1:
            return np.full((k, 1), k**-0.5)
        return orthonormal_basis(self.design[:, :, 0].T)


def read_batch(
    estimates: ArrayLike, variances: ArrayLike, design: ArrayLike | None, mask: ArrayLike | None
) -> BatchInputs:
    """Return checked arrays, or refuse them; see :func:`ketameta.models.batched.batched_fit`."""
    y, v = _array("estimates", estimates, 2), _array("variances", variances, 2)
    k = len(y)
    counts = {"estimates": y.shape[1], "variances": v.shape[1]}
    rows = {"estimates": k, "variances": len(v)}
    matrix: Array | None = None
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


def _array(name: str, values: ArrayLike, most: int) -> Array:
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
