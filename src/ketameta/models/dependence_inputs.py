"""What the models of dependent effects refuse beside the gate: groups, vectors, ranges.

Estimates, variances and designs go through :mod:`ketameta.models.gate`. Fits nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.arrays import LARGEST, as_number, as_numbers
from ketameta.errors import ImpossibleDataError, UsageError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


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
        Not numbers, not one-dimensional, or of another length.
    ImpossibleDataError
        A value that is missing or infinite; the positions are counted from 0.
    """
    array = as_numbers(argument, values)
    if array.ndim != 1:
        raise UsageError(f"{argument} has shape {array.shape}; give a list of numbers")
    if k is not None and array.size != k:
        raise UsageError(f"{argument} has {array.size} values where {k} are needed")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        where = int(bad[0])
        raise ImpossibleDataError(
            f"{argument}[{where}] is {array[where]}; every value must be a finite number"
            f" (positions {bad.tolist()})"
        )
    bad = np.flatnonzero(np.abs(array) > LARGEST)
    if bad.size:
        raise ImpossibleDataError(
            f"{argument}[{bad[0]}] is {array[bad[0]]:g}; at most {LARGEST:g} in size is possible"
        )
    return array


def check_groups(
    argument: str, groups: Sequence[object] | ArrayLike, k: int
) -> tuple[tuple[str, ...], tuple[str, ...], IntArray]:
    """Return the label of every effect, the different labels in order of appearance, and indices.

    Raises
    ------
    UsageError
        The number of labels is wrong.
    ImpossibleDataError
        A label is missing: the effect would silently form or join a group.
    """
    if isinstance(groups, str):
        raise UsageError(f"{argument} is the text {groups!r}; give one label per effect")
    items = np.asarray(groups, dtype=object).ravel().tolist()
    if len(items) != k:
        raise UsageError(f"{argument} has {len(items)} values where {k} are needed, one per effect")
    for where, item in enumerate(items):
        if item is None or item != item or str(item).strip() == "":
            raise ImpossibleDataError(
                f"{argument}[{where}] is {item!r}; every effect needs a label"
            )
    labels = tuple(str(item) for item in items)
    known = {label: index for index, label in enumerate(dict.fromkeys(labels))}
    return labels, tuple(known), np.array([known[label] for label in labels], dtype=np.intp)


def check_between(argument: str, value: float, low: float, high: float) -> float:
    """Return ``value`` when ``low <= value <= high``.

    Raises
    ------
    UsageError
        Naming argument, value and range.
    """
    number = as_number(argument, value)
    if not low <= number <= high:
        raise UsageError(f"{argument} is {value!r}; it lies between {low:g} and {high:g}")
    return number
