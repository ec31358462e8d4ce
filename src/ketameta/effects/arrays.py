"""Arguments become arrays, their problems are told all at once; and what effect sizes return."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.formatting import first_names
from ketameta.measures import Measure

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

#: Numbers further from 1 than this are no data: their squares and ratios leave double precision.
LARGEST, SMALLEST = 1e50, 1e-50
#: Singular values below this share of the largest, after scaling every column to length 1, count
#: as zero: the coefficients of such a design have lost half of their sixteen digits.
RANK_TOLERANCE = 1e-8


def as_numbers(argument: str, values: Any, *, booleans: bool = False) -> Floats:
    """Return ``values`` as a new float array of any shape, with NaN where one is missing.

    A masked entry, ``None`` and pandas' ``NA`` are missing. Words (also those that look like
    numbers), dates, yes/no values (unless ``booleans``, as in a column of a design), complex
    numbers and rows of different lengths are refused by the ``argument``'s name with
    ``UsageError``.
    """
    if isinstance(values, np.ma.MaskedArray):
        filled: Floats = np.where(np.ma.getmaskarray(values), np.nan, np.asarray(values))
        return filled.astype(np.float64)
    try:
        raw = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    except ValueError as error:
        raise UsageError(f"{argument} must be numbers: {error}") from None
    if raw.dtype.kind in ("b" if booleans else "") + "iuf":
        return np.array(raw, dtype=np.float64)
    if raw.dtype.kind not in "OUS":
        kind = {"b": "yes/no values", "M": "dates", "m": "times", "c": "complex numbers"}
        raise UsageError(
            f"{argument} must be numbers, and holds {kind.get(raw.dtype.kind, str(raw.dtype))}"
        )
    items = np.empty(raw.shape, dtype=np.float64)
    # A list that holds one word becomes all words; the word itself is worth naming.
    mixed = list(values) if isinstance(values, list | tuple) and raw.ndim == 1 else raw.ravel()
    for place, item in enumerate(mixed):
        items.flat[place] = _as_number(argument, item, place if raw.ndim else None, booleans)
    return items


def _as_number(argument: str, item: object, place: int | None, booleans: bool) -> float:
    if item is None or type(item).__name__ == "NAType":
        return math.nan
    number = isinstance(item, Real | Decimal | np.bool_)
    if number and (booleans or not isinstance(item, bool | np.bool_)):
        try:
            return float(item)  # type: ignore[arg-type]
        except OverflowError:
            return math.inf
    where = argument if place is None else f"{argument}[{place}]"
    simple = isinstance(item, str | bytes | bool | complex)
    shown = repr(str(item) if isinstance(item, str) else item) if simple else type(item).__name__
    raise UsageError(f"{argument} must be numbers, and {where} is {shown}")


def as_number(argument: str, value: Any) -> float:
    """Return one finite number, or refuse it by name."""
    found = as_numbers(argument, value)
    if found.ndim != 0 or not np.isfinite(found):
        raise UsageError(f"{argument} is {value!r}; give one finite number")
    return float(found)


def as_sequence(argument: str, values: Any) -> list[Any]:
    """Return the items of a list of labels or names, or refuse what has none."""
    if isinstance(values, str) or not hasattr(values, "__iter__") or np.ndim(values) == 0:
        raise UsageError(f"{argument} is {values!r}; give a list")
    return list(values)


def columns(**arguments: ArrayLike) -> tuple[Floats, ...]:
    """Return arguments (scalars are repeated) as finite float arrays of one shape (k,), in order.

    Copies, never views of the caller's data. ``UsageError`` for what is not numeric, has two
    dimensions or differs in length; ``ImpossibleDataError`` for a value that is missing or
    infinite.
    """
    arrays = [
        value
        if type(value) is np.ndarray and value.dtype == np.float64
        else as_numbers(name, value)
        for name, value in arguments.items()
    ]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1:
        arrays = _of_one_length(arguments, arrays)
    every = np.concatenate(arrays)
    table = every.reshape(len(arrays), -1)
    if not every.size or np.maximum.reduce(np.abs(every)) <= LARGEST:  # a missing value is not
        return tuple(table)
    problems = Problems()
    for name, array in zip(arguments, table, strict=True):
        problems.add(name, array, ~np.isfinite(array), "a finite number")
        huge = np.isfinite(array) & (np.abs(array) > LARGEST)
        problems.add(name, array, huge, f"at most {LARGEST:g} in size")
    problems.check()
    return tuple(table)


def _of_one_length(names: Iterable[str], arrays: list[Floats]) -> list[Floats]:
    """Return scalars repeated to the one length that the others have."""
    lengths = {}
    for name, array in zip(names, arrays, strict=True):
        if array.ndim > 1:
            raise UsageError(f"{name} has shape {array.shape}; one dimension is expected")
        if array.ndim:
            lengths[name] = array.size
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise UsageError(f"arguments differ in length: {listed}")
    k = next(iter(lengths.values()), 1)
    return [array if array.ndim else np.full(k, float(array)) for array in arrays]


def frozen(array: ArrayLike) -> Floats:
    """Return a read-only float copy, for a field of a frozen result."""
    copy = np.array(array, dtype=np.float64)
    copy.setflags(write=False)
    return copy


def check_share(argument: str, value: float) -> float:
    """Return ``value`` when it lies strictly between 0 and 1; a ``level`` is 0.5 or more."""
    if not (isinstance(value, (int, float)) and math.isfinite(value) and 0 < value < 1):
        raise UsageError(f"{argument} is {value!r}; it is a share between 0 and 1, such as 0.95")
    if argument == "level" and value < 0.5:
        raise UsageError(
            f"level is {value!r}, which is the level of a test; give the share that the interval"
            f" covers, such as {1 - value:g}"
        )
    return float(value)


class Problems:
    """Collects the rules that values break, and raises one error that lists them all."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, argument: str, values: Floats, broken: Bools, rule: str) -> None:
        """Note the positions where ``broken`` is true; ``rule`` completes "must be ..."."""
        if not broken.any():
            return
        listed = [f"{values[i]:.10g} at position {i}" for i in np.flatnonzero(broken)]
        self._lines.append(f"{argument} must be {rule}: {first_names(listed)}")

    def add_tiny(self, argument: str, values: Floats) -> None:
        """Note numbers so near 0 that dividing by them leaves double precision."""
        size = np.abs(values)
        if size.size and size.min() >= SMALLEST:
            return
        tiny = (values != 0) & (size < SMALLEST)
        self.add(argument, values, tiny, f"0 or at least {SMALLEST:g} in size")

    def check(
        self, error: type[ImpossibleDataError] | type[NotEstimableError] = ImpossibleDataError
    ) -> None:
        """Raise ``error`` when anything was noted (positions count from 0)."""
        if self._lines:
            raise error("\n".join(self._lines))


#: Arguments that are above 0, by the first word of their name.
_POSITIVE = {"sd", "se", "time", "variance", "df", "hr", "ratio", "f"}


def checked(fewest: int, /, **arguments: ArrayLike) -> tuple[Floats, ...]:
    """Return what :func:`columns` returns when every argument obeys the rule its name stands for.

    Standard deviations and errors, variances and times are above 0; correlations and p-values lie
    strictly between their bounds; ``n`` (``n_treatment``) is ``fewest`` or more, or above 0 where
    ``fewest`` is 0; ``events`` are 0 or more and at most the ``n`` of that name; ``ci_high`` is
    above ``ci_low``. Every argument and position that breaks a rule is in one
    ``ImpossibleDataError``.
    """
    arrays = columns(**arguments)
    given = dict(zip(arguments, arrays, strict=True))
    problems = Problems()
    for name, values in given.items():
        word, _, rest = name.partition("_")
        if word in _POSITIVE:
            problems.add(name, values, values <= 0, "> 0")
        if word in ("sd", "events"):
            problems.add_tiny(name, values)
        if word == "n":
            few = values < fewest if fewest else values <= 0
            problems.add(name, values, few, f"{fewest} or more" if fewest else "> 0")
        elif word == "correlation":
            problems.add(name, values, np.abs(values) >= 1, "strictly between -1 and 1")
        elif word == "p":
            problems.add(name, values, (values <= 0) | (values >= 1), "strictly between 0 and 1")
        elif word == "events":
            problems.add(name, values, values < 0, "0 or more")
            people = f"n_{rest}" if rest else "n"
            if people in given:
                above = (values > given[people]) & (given[people] > 0)
                problems.add(name, values, above, f"at most {people}")
        elif name == "ci_high":
            problems.add(name, values, values <= given["ci_low"], "above ci_low")
    problems.check()
    return arrays


@dataclass(frozen=True, slots=True, eq=False)
class EffectSize:
    """Estimates and sampling variances of k comparisons, as read-only arrays.

    Attributes
    ----------
    measure : Measure
    estimate : ndarray of shape (k,)
        On the scale that is pooled: ratios are natural logarithms.
    variance : ndarray of shape (k,)
        Sampling variances, > 0.
    positions : ndarray of int, shape (k,)
        Where each estimate stood in the arguments; differs from 0, 1, 2, ... only where
        double-zero studies were dropped on request.
    corrected : ndarray of bool, shape (k,)
        Whether a constant was added to the cells of the comparison.
    """

    measure: Measure
    estimate: Floats
    variance: Floats
    positions: NDArray[np.int64]
    corrected: Bools

    @property
    def se(self) -> Floats:
        """Standard errors, of shape (k,)."""
        return np.sqrt(self.variance)

    @property
    def k(self) -> int:
        """Number of comparisons."""
        return int(self.estimate.size)

    def __len__(self) -> int:
        return self.k

    def __repr__(self) -> str:
        count = f"{self.k} comparison" if self.k == 1 else f"{self.k} comparisons"
        return f"<EffectSize: {self.measure.value}, {count}>"


def effect(
    measure: Measure,
    estimate: Floats,
    variance: Floats,
    positions: NDArray[np.int64] | None = None,
    corrected: Bools | None = None,
) -> EffectSize:
    """Return the arrays as a read-only :class:`EffectSize`, positions counting from 0."""
    where = np.arange(estimate.size) if positions is None else positions
    added = np.zeros(estimate.size, dtype=bool) if corrected is None else corrected
    for array in (estimate, variance, where, added):
        array.setflags(write=False)
    return EffectSize(measure, estimate, variance, where, added)
