"""What a fit takes: checked numbers, labels and designs; what a model cannot use is refused here.

Fits nothing. Problems are told by name and position, counted from 0, as in Python.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import (
    LARGEST,
    RANK_TOLERANCE,
    SMALLEST,
    Floats,
    as_numbers,
    as_sequence,
)
from ketameta.effects.table import as_name, as_pandas, check_alike, is_frame
from ketameta.errors import (
    ImpossibleDataError,
    NotEstimableError,
    UsageError,
    check_choice,
    near_matches,
)
from ketameta.formatting import alternatives, first_names

INTERCEPT = "intercept"
#: Ratio of the largest to the smallest variance beyond which a sum of weights is the largest one.
UNUSABLE_RATIO = 1e14
#: A number as text.
_NUMBER = re.compile(r"\s*[-+\u2212]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*")


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
    plain = Inputs(y, v, np.ones((k, 1)), known, (INTERCEPT,))
    return plain if design is None else with_design(plain, design, names)


def with_design(inputs: Inputs, design: ArrayLike, names: Sequence[str] | None = None) -> Inputs:
    """Return checked arrays with a design of their own, or refuse that; see above."""
    matrix, k = numeric_rows(design, "moderators"), len(inputs.y)
    if len(matrix) != k or matrix.shape[1] == 0:
        raise UsageError(f"moderators has shape {matrix.shape}; give one row per study, ({k}, p)")
    columns = _names(names, matrix.shape[1])
    _check_design(matrix, columns, inputs.labels)
    return inputs._replace(design=matrix, names=columns)


def _check_numbers(y: Floats, v: Floats, known: tuple[str, ...]) -> None:
    """Refuse numbers of which some cannot be used, by name and position."""
    check_values("estimates", y, ~np.isfinite(y), known, "a finite number is needed")
    check_values("estimates", y, np.abs(y) > LARGEST, known, f"at most {LARGEST:g} in size")
    bad = ~(np.isfinite(v) & (v > 0))
    check_values("variances", v, bad, known, "a sampling variance is finite and > 0")
    bad = (v > LARGEST**2) | (v < SMALLEST**2)
    rule = f"a sampling variance is between {SMALLEST**2:g} and {LARGEST**2:g}; check its units"
    check_values("variances", v, bad, known, rule)


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number; True and False are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_count(value: Any, least: int, name: str) -> int:
    """Return ``value`` when it is a whole number of at least ``least``."""
    if not is_whole(value) or value < least:
        raise UsageError(f"{name} is {value!r}; give a whole number of at least {least}")
    return int(value)


def check_fit(fit: object, what: str, *, regression: bool = True) -> None:
    """Refuse with ``UsageError`` what is not a fit where the method called ``what`` needs one.

    A meta-regression does unless ``regression`` is false.
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
    empty = [i for i, x in enumerate(items) if x is None or x != x or not str(x).strip()]
    if empty:
        raise ImpossibleDataError(f"labels[{empty[0]}] is missing; every study needs a label")
    return tuple(map(as_name, items))


@lru_cache(maxsize=8)
def _numbered(k: int) -> tuple[str, ...]:
    return tuple(f"study {i + 1}" for i in range(k))


def check_values(
    argument: str, values: Floats, bad: np.ndarray[Any, Any], labels: Sequence[str], rule: str
) -> None:
    """Refuse values that are bad, each by position and label; ``rule`` says what is possible."""
    where = np.flatnonzero(bad)
    if not where.size:
        return
    listed = [f"{argument}[{i}] ({labels[i]}) is {values[i]:g}" for i in where.tolist()]
    raise ImpossibleDataError(
        f"{first_names(listed, '; ')}: {rule}. Correct the value or leave the study out"
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
    listed = first_names([f"{label!r} at {at}" for label, at in twice.items()], "; ")
    raise ImpossibleDataError(
        f"labels repeat: {listed}. A study enters once; give each independent comparison its own"
        " label, combine the rows, use multilevel() for dependent effects, or pass"
        " repeated_labels='allow'"
    )


def _check_design(matrix: Floats, names: tuple[str, ...], labels: tuple[str, ...]) -> None:
    k, p = matrix.shape
    for j, name in enumerate(names):
        if np.abs(matrix[:, j]).max() <= LARGEST:
            continue  # which a missing value is not
        bad = ~np.isfinite(matrix[:, j])
        check_values(f"moderator {name!r}", matrix[:, j], bad, labels, "a finite number is needed")
        bad = np.abs(matrix[:, j]) > LARGEST
        rule = f"at most {LARGEST:g} in size"
        check_values(f"moderator {name!r}", matrix[:, j], bad, labels, rule)
    if k == 1 and p == 1 and names == (INTERCEPT,):
        return
    if k <= p:
        raise NotEstimableError(
            f"{k} studies cannot estimate {p} coefficients ({', '.join(names)}) and the"
            f" differences between studies; at least {p + 1} studies are needed"
        )
    redundant = dependent_columns(matrix)
    if redundant:
        listed = ", ".join(repr(names[j]) for j in redundant)
        others = [name for j, name in enumerate(names) if j not in redundant]
        raise NotEstimableError(
            f"the design is singular: column {listed} is a combination of the columns before it"
            f" ({', '.join(others)}); leave it out"
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


# --- from moderators to the columns of a regression, by formula or by name ------------------------


class Design(NamedTuple):
    """Columns of a regression: ``matrix`` (k, p) and their ``names``.

    ``terms`` gives the columns of each term (a category has several); ``encoder`` encodes new rows
    by the formula and is None for a numeric design.
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
    """Return the design of ``moderators``, or refuse it by column and study.

    Parameters
    ----------
    moderators : DataFrame or array_like of shape (k, m) or (k,)
        With a formula such as ``"~ dose + setting"``, a frame that holds its variables (words
        become categories); without, numeric columns with ``names``.
    intercept : bool
        Whether to put a column of ones before numeric columns; a formula says it itself.
    labels : sequence of str
        Of the studies, for messages.
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
        raise UsageError(f"names has {len(given)} values and the design has {m} columns")
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
    frame = _used_categories(frame, variables, formula)
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


def _used_categories(frame: Any, variables: Sequence[str], formula: str) -> Any:
    """Return the frame without categories that no study has; names that differ in case refused."""
    for name in variables:
        column = frame[name]
        if column.dtype.kind in "mM":
            raise UsageError(
                f"moderator {name!r} holds dates or times; give numbers, such as years:"
                f" data[{name!r}].dt.year"
            )
        as_names = re.search(rf"\bC\(\s*{re.escape(name)}\b", formula)
        if not as_names and _numbers_as_words(column):
            raise UsageError(
                f"moderator {name!r} holds numbers written as text, which would be a category each;"
                f" give pd.to_numeric(data[{name!r}]), or C({name}) in the formula for names"
            )
        words = [item for item in column.unique() if isinstance(item, str)]
        check_alike(f"moderator {name!r}", words)
        if hasattr(column.dtype, "categories"):
            frame = frame.assign(**{name: column.cat.remove_unused_categories()})
    return frame


def _numbers_as_words(column: Any) -> bool:
    """Return whether a column of text holds nothing but numbers."""
    if hasattr(column.dtype, "categories"):
        return False
    words = set(column.tolist())
    return all(isinstance(word, str) and _NUMBER.fullmatch(word) for word in words)


def categories(encoder: Any) -> dict[str, list[object]]:
    """Return the levels of each category of a formula, by the name of its column."""
    found = {}
    for factor, (kind, state) in encoder.encoder_state.items():
        if "categor" in str(kind.value):
            name = re.sub(r"^C\(\s*([^,)]+?)\s*(,.*)?\)$", r"\1", str(factor))
            found[name] = list(state["categories"])
    return found


def _check_columns(frame: Any, variables: Sequence[str], formula: str, encoder: Any = None) -> None:
    """Refuse a frame without a variable; new rows of a fit are told what to give for each."""
    columns = [str(c) for c in frame.columns]
    unknown = [v for v in variables if v not in columns]
    if not unknown:
        return
    near = near_matches(unknown[0], columns)
    hint = f"; did you mean {near[0]}?" if near else ""
    if encoder is not None and not near:
        levels = {name: alternatives(of) for name, of in categories(encoder).items()}
        wanted = [f"{name}: {levels.get(name, 'a number')}" for name in unknown]
        hint = f"; give {'; '.join(wanted)}"
    raise UsageError(
        f"formula {formula!r} uses {unknown[0]!r}, which is not a column of"
        f" {'moderators' if encoder is None else 'new'} ({', '.join(columns)}){hint}"
    )


def _check_missing(frame: Any, variables: Sequence[str], labels: Sequence[str]) -> None:
    for variable in variables:
        where = np.flatnonzero(frame[variable].isna().to_numpy())
        if where.size:
            listed = [
                f"{variable}[{i}] ({labels[i]})" if i < len(labels) else f"{variable}[{i}]"
                for i in where.tolist()
            ]
            raise ImpossibleDataError(
                f"moderators: {first_names(listed)} is missing; a study without a moderator must be"
                " left out before the fit"
            )


def _check_kinds(encoder: Any, new: Any) -> None:
    """Refuse words where the fit has numbers, and levels that it has not seen, by column."""
    problems = []
    for factor, (kind, _) in encoder.encoder_state.items():
        name = str(factor)
        if "numerical" in str(kind.value) and name in new.columns:
            words = [value for value in new[name].tolist() if isinstance(value, str)]
            if words:
                problems.append(f"{name} is {words[0]!r}, and the fit has numbers: give a number")
    for name, levels in categories(encoder).items():
        values = new[name].tolist() if name in new.columns else ()
        if unseen := [value for value in dict.fromkeys(values) if value not in levels]:
            problems.append(
                f"{name} is {unseen[0]!r}, which the fit has not seen; choose one of"
                f" {', '.join(map(str, levels))}"
            )
    if problems:
        raise UsageError(f"new cannot be coded as the data of the fit: {'; '.join(problems)}")


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
        from formulaic.errors import DataMismatchWarning, FormulaicError

        if not hasattr(new, "columns"):
            raise UsageError("new must be a DataFrame with the variables of the formula")
        variables = sorted(str(v) for v in encoder.required_variables)
        _check_columns(new, variables, str(encoder.formula), encoder)
        _check_missing(new, variables, ())
        _check_kinds(encoder, new)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", DataMismatchWarning)
                rows = np.array(encoder.get_model_matrix(new, na_action="ignore"), dtype=float)
        except (DataMismatchWarning, FormulaicError, TypeError, ValueError) as problem:
            reason = str(problem).splitlines()[0].split(". They are")[0]
            raise UsageError(f"new cannot be coded as the data of the fit: {reason}") from None
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
