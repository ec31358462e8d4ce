"""Arguments to equal-length float arrays, and one message for every impossible number in them.

Knows no statistics. Every array function of the package passes its arguments through here, so
that a refusal always names the argument, the value, the position and the rule.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

#: Impossible values listed per argument; a longer list is counted, not printed.
LISTED = 10


def columns(**arguments: ArrayLike) -> tuple[Floats, ...]:
    """Return every argument as a finite float array of one common shape ``(k,)``.

    Parameters
    ----------
    **arguments : array_like
        Scalars, which are repeated, or sequences of one common length.

    Returns
    -------
    tuple of ndarray of shape (k,)
        In the order given; copies, never views of the caller's data.

    Raises
    ------
    UsageError
        If an argument is not numeric or has two dimensions, or the lengths differ.
    ImpossibleDataError
        If a value is missing or infinite.
    """
    arrays: dict[str, Floats] = {}
    for name, value in arguments.items():
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{name} is not numeric: {error}") from None
        if array.ndim > 1:
            raise UsageError(f"{name} has shape {array.shape}; one dimension is expected")
        arrays[name] = array
    lengths = {name: array.size for name, array in arrays.items() if array.ndim == 1}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise UsageError(f"arguments differ in length: {listed}")
    k = next(iter(lengths.values()), 1)
    full = {
        name: array if array.ndim == 1 else np.full(k, float(array))
        for name, array in arrays.items()
    }
    problems = Problems()
    for name, array in full.items():
        problems.add(name, array, ~np.isfinite(array), "a finite number")
    problems.check()
    return tuple(full.values())


def frozen(array: ArrayLike) -> Floats:
    """Return a read-only float copy, for a field of a frozen result."""
    copy = np.array(array, dtype=np.float64)
    copy.setflags(write=False)
    return copy


def check_share(argument: str, value: float) -> float:
    """Return ``value`` when it lies strictly between 0 and 1, as a confidence level does.

    Raises
    ------
    UsageError
        Naming the argument and the value.
    """
    if not (isinstance(value, (int, float)) and math.isfinite(value) and 0 < value < 1):
        raise UsageError(f"{argument} is {value!r}; it is a share between 0 and 1, such as 0.95")
    return float(value)


class Problems:
    """Collects the rules that values break, and raises one error that lists them all."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, argument: str, values: Floats, broken: Bools, rule: str) -> None:
        """Note the positions where ``broken`` is true; ``rule`` completes "must be ..."."""
        positions = np.flatnonzero(broken)
        if positions.size == 0:
            return
        listed = ", ".join(f"{values[i]:.10g} at position {i}" for i in positions[:LISTED])
        more = f" and {positions.size - LISTED} more" if positions.size > LISTED else ""
        self._lines.append(f"{argument} must be {rule}: {listed}{more}")

    def check(
        self, error: type[ImpossibleDataError] | type[NotEstimableError] = ImpossibleDataError
    ) -> None:
        """Raise ``error`` when anything was noted (positions count from 0)."""
        if self._lines:
            raise error("\n".join(self._lines))
