"""Validation before every fit: what a model cannot use is refused here, by name and position.

Fits nothing. Positions are counted from 0, as in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import LARGEST, SMALLEST, Floats, as_numbers, as_sequence
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError, check_choice

#: Singular values below this share of the largest, after scaling every column to length 1, count
#: as zero: the coefficients of such a design have lost half of their sixteen digits.
RANK_TOLERANCE = 1e-8
#: Ratio of the largest to the smallest variance beyond which a sum of weights is the largest one.
UNUSABLE_RATIO = 1e14
#: Problems listed in one message; more are counted.
LISTED = 6


class Inputs(NamedTuple):
    """Checked arrays: ``y`` (k,), ``v`` (k,), ``design`` (k, p), ``labels`` and ``names``."""

    y: Floats
    v: Floats
    design: Floats
    labels: tuple[str, ...]
    names: tuple[str, ...]


def checked_inputs(
    estimates: ArrayLike,
    variances: ArrayLike,
    labels: Sequence[object] | ArrayLike | None = None,
    *,
    design: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    repeated_labels: str = "refuse",
) -> Inputs:
    """Return the arrays of a fit, or refuse them.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        Effects and their sampling variances (squared standard errors), > 0.
    labels : sequence of length k, optional
        Names of the studies; ``"study 1", "study 2", ...`` when not given.
    design : array_like of shape (k, p), optional
        Columns of a regression; a column of ones when not given.
    names : sequence of str of length p, optional
        Names of those columns.
    repeated_labels : {"refuse", "allow"}
        A label that occurs twice is a study counted twice, unless the caller knows better.

    Returns
    -------
    Inputs
        Copies; nothing is shared with the caller.

    Raises
    ------
    UsageError
        Not numbers, not one-dimensional, or lengths that differ.
    ImpossibleDataError
        A value that is missing or infinite, a variance that is not positive, a repeated label.
    NotEstimableError
        No study, not more studies than columns, or a design whose columns are not independent.
    """
    y, v = _numbers("estimates", estimates), _numbers("variances", variances)
    if len(y) != len(v):
        raise UsageError(f"estimates has {len(y)} values and variances has {len(v)}; give one each")
    k = len(y)
    if k == 0:
        raise NotEstimableError(
            "estimates is empty: there are no studies; use pool() for a result that says so"
        )
    known = checked_labels(labels, k)
    low, high = float(v.min()), float(v.max())
    fine = low >= SMALLEST**2 and high <= LARGEST**2 and float(np.abs(y).max()) <= LARGEST
    if not fine:
        _check_numbers(y, v, known)
    if high / UNUSABLE_RATIO > low:
        least, most = int(v.argmin()), int(v.argmax())
        raise NotEstimableError(
            f"variances[{most}] ({known[most]}) is {v[most]:g} and variances[{least}]"
            f" ({known[least]}) is {v[least]:g}: their ratio is beyond double precision; check"
            " the units of both"
        )
    if check_choice("repeated_labels", repeated_labels, ("refuse", "allow")) == "refuse":
        _check_repeats(known)
    plain = Inputs(y, v, np.ones((k, 1)), known, ("intercept",))
    return plain if design is None else with_design(plain, design, names)


def with_design(inputs: Inputs, design: ArrayLike, names: Sequence[str] | None = None) -> Inputs:
    """Return checked arrays with a design of their own, or refuse that; see above."""
    matrix, columns = _design(design, names, len(inputs.y))
    _check_design(matrix, columns, inputs.labels)
    return inputs._replace(design=matrix, names=columns)


def _check_numbers(y: Floats, v: Floats, known: tuple[str, ...]) -> None:
    """Refuse numbers of which some cannot be used, by name and position."""
    _check_values("estimates", y, ~np.isfinite(y), known, "a finite number is needed")
    _check_values("estimates", y, np.abs(y) > LARGEST, known, f"at most {LARGEST:g} in size")
    bad = ~(np.isfinite(v) & (v > 0))
    _check_values("variances", v, bad, known, "a sampling variance is finite and > 0")
    bad = (v > LARGEST**2) | (v < SMALLEST**2)
    rule = f"a sampling variance is between {SMALLEST**2:g} and {LARGEST**2:g}; check its units"
    _check_values("variances", v, bad, known, rule)


def check_fit(fit: object, what: str, *, regression: bool = True) -> None:
    """Refuse something that is not a fit where ``what`` needs one.

    Parameters
    ----------
    fit : object
    what : str
        The method, as the message names it.
    regression : bool
        Whether a meta-regression would do.

    Raises
    ------
    UsageError
        Naming the functions whose results are taken.
    """
    needed = ("k", "estimates", "variances", "tau2_method", "ci_method")
    if all(hasattr(fit, name) for name in needed):
        return
    makers = ["random_effects()", "common_effect()", *(["meta_regression()"] if regression else [])]
    raise UsageError(
        f"{what} takes the result of {', '.join(makers[:-1])} or {makers[-1]}, not"
        f" {type(fit).__name__}"
    )


def _numbers(argument: str, values: Any) -> Floats:
    """Return ``values`` as a new one-dimensional float array."""
    array = as_numbers(argument, values)
    if array.ndim != 1:
        raise UsageError(
            f"{argument} has shape {array.shape}; give one number per study, shape (k,)"
        )
    return array


def checked_labels(labels: Sequence[object] | ArrayLike | None, k: int) -> tuple[str, ...]:
    """Return labels as words, one per study, ``study 1`` and so on when not given."""
    if labels is None:
        return _numbered(k)
    if isinstance(labels, str):
        raise UsageError(f"labels is the text {labels!r}; give one label per study")
    items = np.asarray(labels, dtype=object).ravel().tolist()
    if len(items) != k:
        raise UsageError(f"labels has {len(items)} values and estimates has {k}; give one each")
    return tuple(map(str, items))


@lru_cache(maxsize=8)
def _numbered(k: int) -> tuple[str, ...]:
    return tuple(f"study {i + 1}" for i in range(k))


def _check_values(
    argument: str, values: Floats, bad: np.ndarray[Any, Any], labels: tuple[str, ...], rule: str
) -> None:
    where = np.flatnonzero(bad)
    if not where.size:
        return
    listed = [f"{argument}[{i}] ({labels[i]}) is {values[i]:g}" for i in where[:LISTED]]
    more = f" and {where.size - LISTED} more" if where.size > LISTED else ""
    raise ImpossibleDataError(
        f"{'; '.join(listed)}{more}: {rule}. Correct the value or leave the study out"
    )


def _check_repeats(labels: tuple[str, ...]) -> None:
    if len(set(labels)) == len(labels):
        return
    seen: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        seen.setdefault(label, []).append(i)
    twice = {label: at for label, at in seen.items() if len(at) > 1}
    if not twice:
        return
    listed = "; ".join(f"{label!r} at {at}" for label, at in list(twice.items())[:LISTED])
    raise ImpossibleDataError(
        f"labels repeat: {listed}. A study enters once; give each independent comparison its own"
        " label, combine the rows, use multilevel() for dependent effects, or pass"
        " repeated_labels='allow'"
    )


def _design(
    design: ArrayLike, names: Sequence[str] | None, k: int
) -> tuple[Floats, tuple[str, ...]]:
    try:
        matrix = as_numbers("moderators", design, booleans=True)
    except UsageError as problem:
        raise UsageError(f"{problem}; give categories through formula=") from None
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2 or matrix.shape[0] != k or matrix.shape[1] == 0:
        raise UsageError(f"moderators has shape {matrix.shape}; give one row per study, ({k}, p)")
    p = matrix.shape[1]
    known = None if names is None else as_sequence("names", names)
    columns = tuple(known) if known is not None else tuple(f"x{j + 1}" for j in range(p))
    if len(columns) != p:
        raise UsageError(f"names has {len(columns)} values and the design has {p} columns")
    return matrix, columns


def _check_design(matrix: Floats, names: tuple[str, ...], labels: tuple[str, ...]) -> None:
    k, p = matrix.shape
    for j, name in enumerate(names):
        if np.abs(matrix[:, j]).max() <= LARGEST:
            continue  # which a missing value is not
        bad = ~np.isfinite(matrix[:, j])
        _check_values(f"moderator {name!r}", matrix[:, j], bad, labels, "a finite number is needed")
        bad = np.abs(matrix[:, j]) > LARGEST
        rule = f"at most {LARGEST:g} in size"
        _check_values(f"moderator {name!r}", matrix[:, j], bad, labels, rule)
    if k == 1 and p == 1 and names == ("intercept",):
        return
    if k <= p:
        raise NotEstimableError(
            f"{k} studies cannot estimate {p} coefficients ({', '.join(names)}) and the"
            f" differences between studies; at least {p + 1} studies are needed"
        )
    redundant = dependent_columns(matrix)
    if redundant:
        listed = ", ".join(repr(names[j]) for j in redundant)
        raise NotEstimableError(
            f"the design is singular: column {listed} is a combination of the columns before it"
            f" ({', '.join(names)}); leave it out"
        )


def dependent_columns(matrix: Floats) -> tuple[int, ...]:
    """Return the columns that are (nearly) combinations of those before them."""
    lengths = np.sqrt((matrix**2).sum(0))
    unit = matrix / np.where(lengths > 0, lengths, 1.0)
    # Columns that are independent together are so among those before them.
    together = np.linalg.svd(unit, compute_uv=False)
    if len(matrix) >= matrix.shape[1] and together[-1] > RANK_TOLERANCE * together[0]:
        return ()
    found: list[int] = []
    kept: list[int] = []
    for j in range(matrix.shape[1]):
        tried = np.linalg.svd(unit[:, [*kept, j]], compute_uv=False)
        if tried[-1] <= RANK_TOLERANCE * tried[0]:
            found.append(j)
        else:
            kept.append(j)
    return tuple(found)
