"""From moderators to the columns of a regression, by formula or by name. Fits nothing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Floats, as_numbers, as_sequence
from ketameta.effects.table import as_pandas, check_alike, is_frame
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError, near_matches

INTERCEPT = "intercept"


class Design(NamedTuple):
    """Columns of a regression.

    Attributes
    ----------
    matrix : ndarray of shape (k, p)
    names : tuple of str
        ``"intercept"`` for the column of ones.
    terms : dict of str to tuple of str
        The columns of each term: a category has several.
    encoder : object or None
        Encodes new rows by the formula; None for a numeric design.
    """

    matrix: Floats
    names: tuple[str, ...]
    terms: dict[str, tuple[str, ...]]
    encoder: Any = None


def build_design(
    moderators: Any,
    formula: str | None,
    names: Sequence[str] | None,
    *,
    intercept: bool,
    labels: Sequence[str],
) -> Design:
    """Return the design of ``moderators``.

    Parameters
    ----------
    moderators : DataFrame or array_like of shape (k, m) or (k,)
        With a formula, a frame that holds its variables; without, numeric columns.
    formula : str, optional
        Such as ``"~ dose + setting"``; words become categories.
    names : sequence of str, optional
        Of numeric columns.
    intercept : bool
        Whether to put a column of ones before numeric columns; a formula says it itself.
    labels : sequence of str
        Of the studies, for messages.

    Raises
    ------
    UsageError
        A formula that cannot be read or names an unknown column; words without a formula.
    ImpossibleDataError
        A missing value, by column and study.
    """
    if is_table := is_frame(moderators):
        moderators = as_pandas(moderators)
    if formula is not None:
        if not is_table:
            raise UsageError("formula needs moderators to be a DataFrame that holds its variables")
        return _by_formula(moderators, formula, labels)
    if is_table:
        words = [str(c) for c in moderators.columns if moderators[c].dtype.kind not in "iufb"]
        if words:
            every = " + ".join(str(c) for c in moderators.columns)
            raise UsageError(
                f"moderators holds words in {', '.join(map(repr, words))}; give formula='~ {every}'"
            )
        names = [str(c) for c in moderators.columns] if names is None else names
        moderators = moderators.to_numpy(dtype=float)
    matrix = numeric_rows(moderators, "moderators")
    known = _names(names, matrix.shape[1])
    if intercept:
        matrix = np.column_stack([np.ones(len(matrix)), matrix])
        known = (INTERCEPT, *known)
    return Design(matrix, known, {name: (name,) for name in known})


def numeric_rows(values: ArrayLike, argument: str) -> Floats:
    """Return ``values`` as a matrix of rows; a vector is one column."""
    try:
        matrix = as_numbers(argument, values, booleans=True)
    except UsageError as problem:
        raise UsageError(f"{problem}; give categories through formula=") from None
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2:
        raise UsageError(f"{argument} has shape {matrix.shape}; give one row per study, (k, m)")
    return matrix


def _names(names: Sequence[str] | None, m: int) -> tuple[str, ...]:
    if names is None:
        return tuple(f"x{j + 1}" for j in range(m))
    given = [names] if isinstance(names, str) else as_sequence("names", names)
    if len(given) != m:
        raise UsageError(f"names has {len(given)} values and moderators has {m} columns")
    return tuple(str(name) for name in given)


def _by_formula(frame: Any, formula: str, labels: Sequence[str]) -> Design:
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        parsed = Formula(formula)
        variables = sorted(str(v) for v in parsed.required_variables)
    except (FormulaicError, AttributeError, SyntaxError) as problem:
        reason = str(problem).splitlines()[0]
        raise UsageError(f"formula {formula!r} cannot be read: {reason}") from None
    if hasattr(parsed, "lhs"):
        raise UsageError(f"formula {formula!r} has a left side; write it as '~ moderator'")
    _check_columns(frame, variables, formula)
    _check_missing(frame, variables, labels)
    frame = _used_categories(frame, variables)
    try:
        encoded = parsed.get_model_matrix(frame, na_action="ignore")
    except (FormulaicError, TypeError, ValueError) as problem:
        reason = str(problem).splitlines()[0]
        raise UsageError(f"formula {formula!r} cannot be computed: {reason}") from None
    spec = encoded.model_spec
    if len(encoded.columns) == 0:
        raise UsageError(f"formula {formula!r} has no terms")
    for term, columns in spec.term_indices.items():
        if not columns:
            raise NotEstimableError(
                f"formula {formula!r}: {term} is the same for every study, so that nothing can be"
                " compared; leave it out"
            )
    rename = {"Intercept": INTERCEPT}
    names = tuple(rename.get(str(c), str(c)) for c in encoded.columns)
    terms = {
        ("intercept" if str(term) == "1" else str(term)): tuple(names[i] for i in columns)
        for term, columns in spec.term_indices.items()
    }
    return Design(np.array(encoded, dtype=float), names, terms, spec)


def _used_categories(frame: Any, variables: Sequence[str]) -> Any:
    """Return the frame without categories that no study has; names that differ in case refused."""
    for name in variables:
        column = frame[name]
        words = [item for item in column.unique() if isinstance(item, str)]
        check_alike(f"moderator {name!r}", words)
        if hasattr(column.dtype, "categories"):
            frame = frame.assign(**{name: column.cat.remove_unused_categories()})
    return frame


def _check_columns(frame: Any, variables: Sequence[str], formula: str) -> None:
    columns = [str(c) for c in frame.columns]
    unknown = [v for v in variables if v not in columns]
    if unknown:
        near = near_matches(unknown[0], columns)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(
            f"formula {formula!r} uses {unknown[0]!r}, which is not a column of moderators"
            f" ({', '.join(columns)}){hint}"
        )


def _check_missing(frame: Any, variables: Sequence[str], labels: Sequence[str]) -> None:
    for variable in variables:
        where = np.flatnonzero(frame[variable].isna().to_numpy())
        if where.size:
            listed = ", ".join(
                f"{variable}[{i}] ({labels[i]})" if i < len(labels) else f"{variable}[{i}]"
                for i in where[:6]
            )
            raise ImpossibleDataError(
                f"moderators: {listed} is missing; a study without a moderator must be left out"
                " before the fit"
            )


def _encoded(encoder: Any, new: Any) -> Floats:
    """Return new rows by the coding of the fit; a category it has not seen is refused."""
    from formulaic.errors import DataMismatchWarning, FormulaicError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DataMismatchWarning)
            return np.array(encoder.get_model_matrix(new, na_action="ignore"), dtype=float)
    except (DataMismatchWarning, FormulaicError, TypeError, ValueError) as problem:
        reason = str(problem).splitlines()[0].split(". They are")[0]
        raise UsageError(f"new cannot be coded as the data of the fit: {reason}") from None


def encode_rows(
    encoder: Any, names: tuple[str, ...], new: Any, ranges: dict[str, tuple[float, float]]
) -> tuple[Floats, tuple[str, ...]]:
    """Return the design rows of new moderators, and the columns where they leave the data.

    ``new`` is a DataFrame for a formula, rows of the numeric moderators otherwise (without the
    intercept). ``ranges`` are the lowest and highest value of each column in the data.
    """
    if isinstance(new, Mapping) and new:
        length = max(np.size(value) for value in new.values())
        new = {name: [x] * length if np.ndim(x) == 0 else x for name, x in new.items()}
    if is_frame(new):
        new = as_pandas(new)
    if encoder is not None:
        if not hasattr(new, "columns"):
            raise UsageError("new must be a DataFrame with the variables of the formula")
        variables = sorted(str(v) for v in encoder.required_variables)
        _check_columns(new, variables, str(encoder.formula))
        _check_missing(new, variables, ())
        rows = _encoded(encoder, new)
    else:
        expected = tuple(name for name in names if name != INTERCEPT)
        if hasattr(new, "columns"):
            _check_columns(new, expected, " + ".join(expected))
            new = new[list(expected)].to_numpy(dtype=float)
        values = np.atleast_1d(as_numbers("new", new, booleans=True))
        one_row = values.ndim == 1 and len(expected) > 1
        rows = numeric_rows(values[None, :] if one_row else values, "new")
        if rows.shape[1] != len(expected):
            raise UsageError(
                f"new has {rows.shape[1]} columns; give {len(expected)}: {', '.join(expected)}"
            )
        if INTERCEPT in names:
            rows = np.insert(rows, names.index(INTERCEPT), 1.0, axis=1)
    if not np.isfinite(rows).all():
        raise ImpossibleDataError("new holds a value that is missing or infinite")
    outside = tuple(
        name
        for j, name in enumerate(names)
        if (rows[:, j] < ranges[name][0]).any() or (rows[:, j] > ranges[name][1]).any()
    )
    return rows, outside
