"""What every model of dependent effects refuses before it computes. Fits nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.errors import NotEstimableError, UsageError

FloatArray = NDArray[np.float64]

#: Singular values below this share of the largest, after scaling each column to length one, count
#: as zero: a design that close to collinear loses eight of sixteen digits in its coefficients.
RANK_TOLERANCE = 1e-8


def frozen(values: ArrayLike) -> FloatArray:
    """Return a read-only copy as float64, so that a result cannot change after the fit."""
    copy = np.array(values, dtype=np.float64)
    copy.setflags(write=False)
    return copy


def check_vector(argument: str, values: ArrayLike, k: int | None = None) -> FloatArray:
    """Return ``values`` as a finite vector (of length ``k`` when given).

    Raises
    ------
    UsageError
        Naming the argument and the first offending position (counted from 0).
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{argument} holds something that is not a number: {error}") from None
    if array.ndim != 1:
        raise UsageError(f"{argument} has shape {array.shape}; give one number per effect, (k,)")
    if k is not None and array.size != k:
        raise UsageError(f"{argument} has {array.size} values where {k} are needed")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        where = int(bad[0])
        raise UsageError(
            f"{argument}[{where}] is {array[where]}; every value must be a finite number"
            f" (positions {bad.tolist()})"
        )
    return array


def check_effects(
    estimates: ArrayLike, variances: ArrayLike, *, least: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Return estimates and variances that a model can use.

    Raises
    ------
    UsageError
        A value is not finite, a variance is not positive, or the lengths differ.
    NotEstimableError
        There are fewer than ``least`` effects.
    """
    y = check_vector("estimates", estimates)
    v = check_vector("variances", variances, y.size)
    bad = np.flatnonzero(v <= 0)
    if bad.size:
        where = int(bad[0])
        raise UsageError(
            f"variances[{where}] is {v[where]}; a sampling variance is > 0"
            f" (positions {bad.tolist()})"
        )
    if y.size < least:
        raise NotEstimableError(
            "no eligible trials: estimates is empty"
            if y.size == 0
            else f"estimates has {y.size} effect(s); this model needs at least {least}"
        )
    return y, v


def check_labels(
    argument: str, labels: Sequence[object] | ArrayLike | None, k: int
) -> tuple[str, ...]:
    """Return ``k`` labels as text; ``"1", "2", ...`` when none are given.

    Raises
    ------
    UsageError
        The count is wrong or a label is missing.
    """
    if labels is None:
        return tuple(str(i + 1) for i in range(k))
    items = np.asarray(labels, dtype=object).ravel().tolist()
    if len(items) != k:
        raise UsageError(f"{argument} has {len(items)} values where {k} are needed")
    for where, item in enumerate(items):
        if item is None or item != item or str(item).strip() == "":
            raise UsageError(f"{argument}[{where}] is {item!r}; every effect needs a label")
    return tuple(str(item) for item in items)


def check_level(level: float, argument: str = "level") -> float:
    """Return a confidence level strictly between 0 and 1.

    Raises
    ------
    UsageError
        For anything else; 95 means 0.95.
    """
    value = float(level)
    if not (math.isfinite(value) and 0 < value < 1):
        raise UsageError(f"{argument} is {level!r}; write 95% as 0.95 (between 0 and 1)")
    return value


def check_between(argument: str, value: float, low: float, high: float) -> float:
    """Return ``value`` when ``low <= value <= high``.

    Raises
    ------
    UsageError
        Naming argument, value and range.
    """
    number = float(value)
    if not low <= number <= high:
        raise UsageError(f"{argument} is {value!r}; it lies between {low:g} and {high:g}")
    return number


def check_design(
    design: ArrayLike | None, k: int, names: Sequence[str] | None = None
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return a full-rank design of shape (k, p) and the names of its columns.

    Parameters
    ----------
    design : array_like of shape (k, p) or (k,), optional
        Used as it is: an intercept is a column of ones. ``None`` means an intercept only.
    k : int
        Number of effects.
    names : sequence of str, optional
        One name per column.

    Raises
    ------
    UsageError
        Wrong shape, a value that is not finite, or names that do not fit.
    NotEstimableError
        A column follows from the others, or there are no effects left over (``k <= p``).
    """
    if design is None:
        matrix = np.ones((k, 1))
        default: tuple[str, ...] = ("intercept",)
    else:
        matrix = np.asarray(design, dtype=np.float64)
        matrix = matrix[:, None] if matrix.ndim == 1 else matrix
        if matrix.ndim != 2 or matrix.shape[0] != k or matrix.shape[1] == 0:
            raise UsageError(f"moderators has shape {matrix.shape}; it needs {k} rows, one each")
        default = tuple(f"x{j + 1}" for j in range(matrix.shape[1]))
    columns = default if names is None else tuple(str(name) for name in names)
    if len(columns) != matrix.shape[1] or len(set(columns)) != len(columns):
        raise UsageError(f"names is {list(columns)}; {matrix.shape[1]} different names are needed")
    bad = np.argwhere(~np.isfinite(matrix))
    if bad.size:
        row, column = (int(i) for i in bad[0])
        raise UsageError(
            f"moderators[{row}, {columns[column]!r}] is {matrix[row, column]};"
            " every value must be a finite number"
        )
    if k <= matrix.shape[1]:
        raise NotEstimableError(
            f"{k} effect(s) cannot estimate {matrix.shape[1]} coefficient(s) and a variance:"
            f" {', '.join(columns)}"
        )
    length = np.linalg.norm(matrix, axis=0)
    zero = np.flatnonzero(length == 0)
    if zero.size:
        raise NotEstimableError(f"moderators column {columns[int(zero[0])]!r} is zero throughout")
    rank = 0
    for j in range(matrix.shape[1]):
        values = np.linalg.svd((matrix / length)[:, : j + 1], compute_uv=False)
        found = int(np.sum(values > RANK_TOLERANCE * values[0]))
        if found == rank:
            raise NotEstimableError(
                f"moderators column {columns[j]!r} follows from the columns before it"
                f" ({', '.join(columns[:j])}); leave one of them out"
            )
        rank = found
    return matrix, columns
