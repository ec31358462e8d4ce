"""What one arm brings to the variance of a comparison, by measure; refuses impossible arms."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.arrays import SMALLEST
from ketameta.errors import ImpossibleDataError
from ketameta.models.dependence_inputs import check_vector

FloatArray = NDArray[np.float64]


def positive_vector(argument: str, values: ArrayLike, k: int) -> FloatArray:
    """Return ``k`` numbers that are all above 0, or refuse them by position."""
    array = check_vector(argument, values, k)
    bad = np.flatnonzero(array < SMALLEST)
    if bad.size:
        least = "> 0" if array[bad[0]] <= 0 else f"at least {SMALLEST:g}"
        raise ImpossibleDataError(f"{argument}[{bad[0]}] is {array[bad[0]]:g}; it must be {least}")
    return array


def check_arms(
    study: tuple[str, ...],
    treatment: tuple[str, ...],
    control: tuple[str, ...],
    data: dict[str, FloatArray],
) -> None:
    """Refuse an arm against itself, a comparison given twice, and arms with two sets of numbers."""
    seen: dict[tuple[str, str], tuple[int, dict[str, float]]] = {}
    pairs: dict[tuple[str, frozenset[str]], int] = {}
    for row, (name, *arms) in enumerate(zip(study, treatment, control, strict=True)):
        if arms[0] == arms[1]:
            raise ImpossibleDataError(f"row {row} compares arm {arms[0]!r} of {name!r} with itself")
        before = pairs.setdefault((name, frozenset(arms)), row)
        if before != row:
            raise ImpossibleDataError(
                f"rows {before} and {row} both compare arms {arms[0]!r} and {arms[1]!r} of {name!r}"
            )
        for arm, side in zip(arms, ("treatment", "control"), strict=True):
            numbers = {
                column.removesuffix(f"_{side}"): float(values[row])
                for column, values in data.items()
                if column.endswith(f"_{side}")
            }
            at, known = seen.setdefault((name, arm), (row, numbers))
            for what, value in numbers.items():
                if known[what] != value:
                    raise ImpossibleDataError(
                        f"arm {arm!r} of {name!r} has {what} {known[what]:g} in row {at} and"
                        f" {value:g} in row {row}; a shared arm has one set of numbers"
                    )


def arm_variances(
    measure: str, data: dict[str, FloatArray], continuity: float
) -> tuple[FloatArray, FloatArray]:
    """Return the variance that the treatment and the control arm of each comparison bring."""
    n = (data["n_treatment"], data["n_control"])
    if measure == "SMD":
        return 1 / n[0], 1 / n[1]
    if measure in ("MD", "ROM"):
        sd = (data["sd_treatment"], data["sd_control"])
        if measure == "MD":
            return sd[0] ** 2 / n[0], sd[1] ** 2 / n[1]
        mean = (
            positive_vector("mean_treatment", data["mean_treatment"], n[0].size),
            positive_vector("mean_control", data["mean_control"], n[0].size),
        )
        return (sd[0] / mean[0]) ** 2 / n[0], (sd[1] / mean[1]) ** 2 / n[1]
    events = (data["events_treatment"], data["events_control"])
    for name, count, total in zip(("treatment", "control"), events, n, strict=True):
        bad = np.flatnonzero((count < 0) | (count > total))
        if bad.size:
            raise ImpossibleDataError(
                f"events_{name}[{bad[0]}] is {count[bad[0]]:g} of {total[bad[0]]:g} participants"
            )
    if measure == "RD":
        shares = [count / total for count, total in zip(events, n, strict=True)]
        found = [p * (1 - p) / total for p, total in zip(shares, n, strict=True)]
        flat = np.flatnonzero((found[0] + found[1]) <= 0)
        if flat.size:
            raise ImpossibleDataError(
                f"row {flat[0]}: a risk difference between arms without variation has no variance"
            )
        return found[0], found[1]
    empty = np.zeros(n[0].size, dtype=bool)
    for count, total in zip(events, n, strict=True):
        empty |= (count == 0) | (count == total)
    add = np.where(empty, continuity, 0.0)
    if np.any(empty) and continuity <= 0:
        where = int(np.flatnonzero(empty)[0])
        raise ImpossibleDataError(f"row {where} has a zero cell; give continuity > 0")
    both = [(count + add, total + 2 * add) for count, total in zip(events, n, strict=True)]
    if measure == "OR":
        first, second = (1 / count + 1 / (total - count) for count, total in both)
    else:
        first, second = (1 / count - 1 / total for count, total in both)
    return first, second
