"""The one door for data frames: columns in, :class:`Effects` out.

Frames of pandas, polars and pyarrow are read through narwhals; nothing else of the package's
statistics sees a frame. Rows are never paired by position where two indexes disagree.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ketameta.effects import events, means, one_group
from ketameta.effects.arrays import EffectSize, Floats, Problems, as_numbers, effect, frozen
from ketameta.errors import (
    CallError,
    ImpossibleDataError,
    NotEstimableError,
    UsageError,
    check_choice,
    did_you_mean,
)
from ketameta.formatting import first_names, for_console, format_number, format_significant, plural
from ketameta.measures import MEASURES, Measure, Way, display_words, find_measure, measure_entry

_ROOMS = {"events": events, "means": means, "one_group": one_group}
#: What may be given for any measure: effects that are computed already, on the pooled scale.
COMPUTED = (Way("", ("estimate", "variance")), Way("", ("estimate", "se")))
#: Rows that a printed table shows; more are counted.
_SHOWN = 20
_NORMAL_975 = 1.959963984540054


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Effects:
    """Estimates and sampling variances with the names of their studies; prints a table.

    Attributes
    ----------
    estimate, variance : ndarray of shape (k,)
        On the scale that is pooled: ratios are natural logarithms.
    labels : tuple of str
        One per study.
    measure : Measure or None
        None for effects that came computed and without a name.
    raw : dict of str to ndarray of shape (k,)
        The columns that the effects were computed from, by argument name.
    positions : ndarray of int, shape (k,)
        The row of the data each effect stands in; differs from 0, 1, 2, ... where rows were
        dropped.
    rows : int
        Rows of the data.
    dropped : tuple of str
        Labels of rows left out because a value is missing.
    corrected : ndarray of bool, shape (k,)
        Whether a constant was added to the counts.
    frame : data frame or None
        The frame that was given, with all of its columns.
    constant : float or None
        What was added where ``corrected`` says so.
    """

    estimate: Floats
    variance: Floats
    labels: tuple[str, ...]
    measure: Measure | None
    raw: Mapping[str, Floats]
    positions: NDArray[np.int64]
    rows: int
    dropped: tuple[str, ...] = ()
    corrected: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    frame: Any = None
    constant: float | None = None

    @property
    def k(self) -> int:
        """Number of effects."""
        return int(self.estimate.size)

    @property
    def se(self) -> Floats:
        """Standard errors, of shape (k,)."""
        return np.sqrt(self.variance)

    def __len__(self) -> int:
        return self.k

    def forest(self, *_: Any, **__: Any) -> NoReturn:
        """Say that plots are of what is pooled."""
        raise CallError(
            "effects are not pooled yet: km.random_effects(effects).forest() draws them with their"
            " pooled effect, and .funnel() against their standard errors"
        )

    funnel = forest

    def model_arguments(self) -> dict[str, Any]:
        """Return what a model takes from these effects, by the names of its parameters."""
        return {"labels": self.labels, "measure": self.measure}

    def column(self, name: str, argument: str, data: Any = None) -> Any:
        """Return a column of the frame (or of ``data``), one value per effect.

        Raises
        ------
        UsageError
            No frame, no such column, or a frame of other rows.
        """
        frame = self.frame if data is None else data
        if frame is None:
            raise UsageError(
                f"{argument} is the text {name!r}, a column's name; give data= a frame"
            )
        if data is not None:
            self._check_rows(data)
        return read_column(read_frame(frame), name, argument)[self.positions]

    def per_study(self, name: str, values: Any, data: Any = None) -> Any:
        """Return one value per effect: a column by its name, or the values of the kept rows.

        Raises
        ------
        UsageError
            No such column, or values whose index is not that of the data.
        """
        if values is None or (np.ndim(values) == 0 and not isinstance(values, str)):
            return values
        if isinstance(values, str):
            return self.column(values, name, data)
        index, found = _index(self.frame), _index(values)
        whole = self.rows != self.k and len(values) == self.rows
        if index is not None and found is not None and self.rows != self.k == len(values):
            check_indexes(effects=self.of_frame(), **{name: values})
        check_indexes(effects=self.frame, **{name: values})
        return np.asarray(values, dtype=object)[self.positions].tolist() if whole else values

    def of_frame(self, data: Any = None) -> Any:
        """Return the rows of the frame (or of ``data``) that the effects stand in, as pandas'."""
        frame = self.frame if data is None else data
        if frame is None:
            raise UsageError("give data= the frame that holds the moderators")
        if data is not None:
            self._check_rows(data)
        whole = as_pandas(frame)
        return whole if len(whole) == self.k else whole.iloc[self.positions]

    def _check_rows(self, data: Any) -> None:
        check_indexes(effects=self.frame, data=data)
        found = len(read_frame(data))
        if found != self.rows:
            raise UsageError(
                f"data has {plural(found, 'row')} and the effects come from"
                f" {plural(self.rows, 'row')}; give the same rows"
            )

    def to_frame(self) -> Any:
        """Return ``label, estimate, variance`` beside the columns given, as the frame's own kind.

        Without a frame the columns are the arguments, in pandas. A column of the frame that is
        called ``label``, ``estimate`` or ``variance`` is replaced.
        """
        import narwhals as nw

        own = {
            "label": list(self.labels),
            "estimate": self.estimate.copy(),
            "variance": self.variance.copy(),
        }
        if self.frame is None or isinstance(self.frame, Mapping):
            given = self.raw if self.frame is None else {
                name: read_column(read_frame(self.frame), name, name)[self.positions]
                for name in self.frame
            }  # fmt: skip
            return nw.from_dict({**own, **{k: v for k, v in given.items() if k not in own}},
                                backend="pandas").to_native()  # fmt: skip
        kept = nw.from_native(self.frame, eager_only=True)[self.positions.tolist()]
        columns = [nw.new_series(name, values, backend=nw.get_native_namespace(kept))
                   for name, values in own.items()]  # fmt: skip
        if (index := _index(self.frame)) is not None:
            columns = [nw.maybe_set_index(c, index=index[self.positions]) for c in columns]
        others = [name for name in kept.columns if name not in own]
        return kept.with_columns(*columns).select(*own, *others).to_native()

    def to_dict(self) -> dict[str, Any]:
        """Return the effects as JSON-ready Python, at full precision."""
        return {
            "measure": None if self.measure is None else self.measure.value,
            "labels": list(self.labels),
            "estimate": self.estimate.tolist(),
            "variance": self.variance.tolist(),
            "raw": {name: values.tolist() for name, values in self.raw.items()},
            "positions": self.positions.tolist(),
            "dropped": list(self.dropped),
        }

    def _table(self) -> tuple[str, list[str], list[list[str]], list[str]]:
        """Return the title, headings, rows and notes of the printed table."""
        entry = measure_entry(self.measure)
        shown = "effect" if entry is None else entry.label
        if entry is not None and entry.name != "SMD":
            shown = shown[0].lower() + shown[1:]
        title = f"Effects: {shown}, {plural(self.k, 'study', 'studies')}"
        half = _NORMAL_975 * self.se
        bounds = (self.estimate, self.estimate - half, self.estimate + half)
        apart = entry is not None and entry.transformation != "identity"
        heads = ["study", "estimate", "95% CI", "variance"]
        if entry is not None and apart:
            heads.insert(3, entry.pooled_label)
        rows = []
        for i in range(min(self.k, _SHOWN)):
            parts = [float(part[i]) for part in bounds]
            if entry is not None:
                parts = [float(entry.to_reader(part, self.variance[[i]])) for part in parts]
            row = [self.labels[i], *display_words(self.measure, *parts)]
            if apart:
                row.append(format_number(float(self.estimate[i]), 4))
            rows.append([*row, format_significant(float(self.variance[i]), 4)])
        notes = [f"... and {self.k - _SHOWN} more"] if self.k > _SHOWN else []
        if self.corrected.any():
            who = [label for label, flag in zip(self.labels, self.corrected, strict=True) if flag]
            notes.append(f"a constant was added to the counts of {first_names(who)}")
        if self.dropped:
            notes.append(f"left out, a value is missing: {first_names(self.dropped)}")
        return title, heads, rows, notes

    def __repr__(self) -> str:
        title, heads, rows, notes = self._table()
        widths = [max(len(line[j]) for line in [heads, *rows]) for j in range(len(heads))]
        lines = [f"<{title}>"]
        for line in [heads, *rows]:
            first, *rest = (
                text.ljust(width) if j == 0 else text.rjust(width)
                for j, (text, width) in enumerate(zip(line, widths, strict=True))
            )
            lines.append("  " + "  ".join([first, *rest]))
        return for_console("\n".join([*lines, *(f"  {note}" for note in notes)]))

    def _repr_html_(self) -> str:
        title, heads, rows, notes = self._table()
        head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>"
            for row in rows
        )
        below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
        return (
            f"<table><caption>{html.escape(title)}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>{below}"
        )


def is_frame(data: object) -> bool:
    """Return whether something is a table with named columns."""
    if isinstance(data, Mapping):
        return True
    named = hasattr(data, "columns") or hasattr(data, "column_names")
    return (named and hasattr(data, "__len__")) or hasattr(data, "collect_schema")


def read_frame(data: Any) -> Any:
    """Return a frame as narwhals reads it; a mapping of columns becomes pandas'."""
    import narwhals as nw

    try:
        if isinstance(data, Mapping):
            return nw.from_dict(dict(data), backend="pandas")
        return nw.from_native(data, eager_only=True)
    except TypeError:
        advice = "collect() it first" if hasattr(data, "collect") else "give a data frame"
        raise UsageError(
            f"data is a {type(data).__name__}; {advice} (pandas, polars, pyarrow), or leave it out"
            " and give every column as an array"
        ) from None
    except Exception as problem:  # every backend has its own errors, for columns of one name
        names = Counter(map(str, getattr(data, "columns", ())))
        if twice := [name for name, count in names.items() if count > 1]:
            raise UsageError(
                f"data has more than one column {', '.join(map(repr, twice))}; rename or drop one"
            ) from None
        raise UsageError(f"data cannot be read: {str(problem).splitlines()[0]}") from None


def as_pandas(data: Any) -> Any:
    """Return a frame of any kind (or a mapping of columns) as pandas', without pyarrow."""
    if hasattr(data, "iloc"):
        return data
    import narwhals as nw

    frame = read_frame(data)
    lists = {name: frame[name].to_list() for name in frame.columns}
    return nw.from_dict(lists, backend="pandas").to_native()


def read_column(frame: Any, name: str, argument: str) -> Any:
    """Return a column as an array of numbers or objects."""
    if name not in frame.columns:
        listed = ", ".join(map(repr, frame.columns[:30]))
        more = " ..." if len(frame.columns) > 30 else ""
        raise UsageError(
            f"{argument} is {name!r}, and the frame has no such column; it has {listed}{more}"
            f"{did_you_mean(name, [str(c) for c in frame.columns])}"
        )
    values = frame[name].to_list()
    kinds = {type(value) for value in values}
    if kinds <= {int, float, bool, type(None)}:
        return np.array(values, dtype=bool if kinds == {bool} else float)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _index(data: Any) -> Any:
    """Return the index of a pandas object; None for anything else."""
    index = getattr(data, "index", None)
    return index if hasattr(index, "equals") else None


def check_indexes(**arguments: Any) -> None:
    """Refuse columns whose indexes differ: pairing them by position would mix up studies."""
    indexed = [(name, i) for name, data in arguments.items() if (i := _index(data)) is not None]
    for name, index in indexed[1:]:
        first_name, first = indexed[0]
        if len(first) != len(index) or first.equals(index):
            continue
        at = next(i for i, (a, b) in enumerate(zip(first, index, strict=True)) if a != b)
        order = f"{first_name}{'.frame' if first_name == 'effects' else ''}.index"
        raise UsageError(
            f"{first_name} and {name} have different indexes: row {at} is {str(first[at])!r} in one"
            f" and {str(index[at])!r} in the other. {_align(name, order)}"
        )


def _align(name: str, order: str) -> str:
    """Return what to do about values that stand in another order than ``order``."""
    return (
        f"Align them, as by {name}.reindex({order}), or give .to_numpy() to pair them by position"
    )


def of_fit(name: str, values: Any, fit: Any) -> Any:
    """Return one value per study of a fit: the one door for such arguments after a fit.

    A text names a column of the frame that the fit was made from; values whose index is another
    than the frame's, or whose labels are the studies in another order, are refused.
    """
    effects = getattr(fit, "source", None)
    framed = effects is not None and effects.frame is not None
    if isinstance(values, str) and not framed:
        raise UsageError(
            f"{name} is the text {values!r}; a fit of numbers keeps no other columns: give the"
            f" values themselves, such as data[{values!r}]"
        )
    if effects is not None and (framed or effects.rows != effects.k):
        values = effects.per_study(name, values)
    known, labels = index_labels(values) or (), tuple(getattr(fit, "labels", ()))
    if len(known) != len(labels) or known == labels or not {*known} & {*labels}:
        return values
    at = next(i for i, (a, b) in enumerate(zip(known, labels, strict=True)) if a != b)
    raise UsageError(
        f"{name} has {known[at]!r} in row {at}, where the fit has {labels[at]!r}."
        f" {_align(name, 'fit.labels')}"
    )


def index_labels(data: Any) -> tuple[str, ...] | None:
    """Return the index of a pandas object as labels, when it holds words or has a name.

    The levels of an index of several are joined.
    """
    index = _index(data)
    if index is None:
        return None
    several = getattr(index, "nlevels", 1) > 1
    items = [item if several else (item,) for item in index]
    words = any(isinstance(part, str) for item in items for part in item)
    if not words and all(name is None for name in getattr(index, "names", [index.name])):
        return None
    return tuple(", ".join(map(str, item)) for item in items)


def check_alike(argument: str, words: Sequence[str]) -> None:
    """Refuse names that differ only in case or in outer spaces: they are one thing misspelt."""
    spelt: dict[str, list[str]] = {}
    for word in dict.fromkeys(words):
        spelt.setdefault(" ".join(word.split()).casefold(), []).append(word)
    twice = [same for same in spelt.values() if len(same) > 1]
    if twice:
        listed = "; ".join(" and ".join(map(repr, same)) for same in twice)
        raise ImpossibleDataError(
            f"{argument} has names that differ only in case or spaces: {listed}. Spell each one way"
        )


def effect_sizes(
    data: Any = None,
    measure: Measure | str | None = None,
    *,
    labels: Any = None,
    missing: str = "refuse",
    **columns: Any,
) -> Effects:
    """Compute an effect size for every row of a data frame.

    Parameters
    ----------
    data : data frame, mapping of columns or None
        pandas, polars or pyarrow. With None every column is an array.
    measure : str
        ``SMD, MD, ROM``; ``OR, RR, RD, PETO``; ``IRR``; ``HR``; ``SMCR, SMCC``; ``COR, ZCOR``;
        ``PR, PLO, PAS, PFT``; ``IRLN``; ``MN``. Only effects that are computed already
        (``estimate`` with ``variance`` or ``se``) may come without.
    labels : str, sequence of str or sequence of length k, optional
        A column, several columns that are joined, or the labels themselves. When not given, the
        index where it holds words or has a name; otherwise ``study 1``, ``study 2``, ...
    missing : {"refuse", "drop"}
        What happens to a row in which a needed value is missing: it is named in an error, or left
        out and named in the result.
    **columns : str or array_like of shape (k,)
        Column names of ``data``, or values. By measure:

        ==================== =====================================================================
        SMD, MD, ROM         ``mean_treatment, sd_treatment, n_treatment, mean_control, sd_control,
                             n_control``; SMD also ``t`` or ``d`` with the numbers of people
        OR, RR, RD, PETO     ``events_treatment, n_treatment, events_control, n_control``
        IRR                  ``events_treatment, time_treatment, events_control, time_control``
        OR, RR, IRR          also ``ratio, ci_low, ci_high``, as printed
        HR                   ``hr, ci_low, ci_high``, or ``log_hr, se``, or
                             ``observed_minus_expected, variance``
        SMCR, SMCC           ``mean_before, mean_after, sd_before, sd_after, n, correlation``
        COR, ZCOR            ``correlation, n``
        PR, PLO, PAS, PFT    ``events, n``
        IRLN                 ``events, time``
        MN                   ``mean, sd, n``
        any                  ``estimate`` with ``variance`` or ``se``, on the scale that is pooled
        ==================== =====================================================================

        and the options of the function behind it: ``zero_cells, double_zeros, correction``, and
        the ``level`` of the interval of a printed ratio.

    Returns
    -------
    Effects
        Goes into every model.

    Raises
    ------
    UsageError
        A measure, column or argument that does not exist (with the nearest one), columns that are
        missing, or indexes that differ.
    ImpossibleDataError, NotEstimableError
        A missing value, or values from which no effect can be computed, by row and label.

    Notes
    -----
    Each measure equals metafor's ``escalc``; the functions behind them say how.

    Examples
    --------
    >>> es = effect_sizes(
    ...     {"trial": ["A", "B"], "e1": [4, 0], "n1": [20, 15], "e2": [9, 3], "n2": [21, 15]}, "RR",
    ...     events_treatment="e1", n_treatment="n1", events_control="e2", n_control="n2",
    ...     labels="trial")
    >>> es
    <Effects: risk ratio, 2 studies>
      study  estimate          95% CI  log risk ratio  variance
      A          0.47    0.17 to 1.28         −0.7621    0.2635
      B          0.14  < 0.01 to 2.55         −1.9459     2.161
      a constant was added to the counts of B
    """
    if isinstance(data, str) and measure is None:
        data, measure = None, data
    check_choice("missing", missing, ("refuse", "drop"))
    entry = None if measure is None else find_measure(measure)
    columns = {name: value for name, value in columns.items() if value is not None}
    way = _chosen_way(entry, columns)
    frame = None if data is None else read_frame(data)
    given = {name: value for name, value in columns.items() if name not in way.options}
    check_indexes(**({} if data is None else {"data": data}), **given)
    values = {name: column_values(frame, name, value) for name, value in given.items()}
    sizes = {name: array.size for name, array in values.items() if array.ndim == 1}
    rows = len(frame) if frame is not None else next(iter(sizes.values()), 1)
    if set(sizes.values()) - {rows}:
        listed = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        other = "" if frame is None else f"data has {plural(rows, 'row')}, "
        raise UsageError(f"columns differ in length: {other}{listed}")
    full = {
        name: array if array.ndim == 1 else np.full(rows, float(array))
        for name, array in values.items()
    }
    source = data if data is not None else next(
        (value for value in given.values() if _index(value) is not None), None)  # fmt: skip
    names = _labels(frame, labels, source, rows)
    needed = {name: full[name] for name in way.columns}
    kept = complete_rows(needed, names, missing)
    used = {name: array[kept] for name, array in needed.items()} if kept.size < rows else needed
    options = {name: columns[name] for name in way.options if name in columns}
    if not kept.size:
        raise NotEstimableError("no row is left: in every one a needed value is missing, or none is"
                                " given")  # fmt: skip
    room, _, name = way.function.partition(".")
    try:
        if way.function:
            found: EffectSize = getattr(_ROOMS[room], name)(*used.values(), **options)
        else:
            found = _as_given(None if entry is None else entry.name, **used)
    except (ImpossibleDataError, NotEstimableError) as problem:
        raise named_rows(problem, kept, names) from None
    at = kept[found.positions]
    gone = sorted(set(range(rows)) - set(kept.tolist())) if kept.size < rows else ()
    whole = at.size == rows
    return Effects(
        estimate=found.estimate,
        variance=found.variance,
        labels=names if whole else tuple(names[i] for i in at),
        measure=None if entry is None else entry.name,
        raw={name: frozen(array if whole else array[at]) for name, array in full.items()},
        positions=at,
        rows=rows,
        dropped=tuple(names[i] for i in gone),
        corrected=found.corrected,
        frame=data.copy() if hasattr(data, "copy") else data,
        constant=float(options.get("correction", 0.5)) if found.corrected.any() else None,
    )


def _chosen_way(entry: Any, columns: Iterable[str]) -> Way:
    """Return the set of columns that was meant."""
    ways = (*(() if entry is None else entry.ways), *COMPUTED)
    given = set(columns)
    for way in ways:
        if set(way.columns) <= given <= way.every:
            return way
    known = sorted(set().union(*(way.every for way in ways)))
    every = set().union(*(way.every for other in MEASURES.values() for way in other.ways))
    what = "without measure= this" if entry is None else entry.name.value
    for name in columns:
        if name not in known:
            other = ", which belongs to other measures" if name in every else ""
            hint = "" if other else did_you_mean(name, known)
            raise UsageError(
                f"{what} takes no argument {name!r}{other}; it takes {_ways_words(ways)}{hint}"
            )
    best = max(ways, key=lambda way: len(given & set(way.columns)))
    lacking = [name for name in best.columns if name not in given]
    if lacking and given & set(best.columns):
        raise UsageError(f"{what} needs {', '.join(best.columns)}; missing: {', '.join(lacking)}")
    raise UsageError(f"{what} takes {_ways_words(ways)}; give the columns of one of these")


def _ways_words(ways: Sequence[Way]) -> str:
    return ", or ".join(f"({', '.join(way.columns)})" for way in ways)


def column_values(frame: Any, argument: str, value: Any) -> Floats:
    """Return a column by its name, or the values given, as numbers."""
    if isinstance(value, str):
        if frame is None:
            raise UsageError(
                f"{argument} is the text {value!r}; a column's name needs data= a frame"
            )
        called = argument if argument == value else f"{argument} (column {value!r})"
        return as_numbers(called, read_column(frame, value, argument))
    array = as_numbers(argument, value)
    if array.ndim > 1:
        raise UsageError(f"{argument} has shape {array.shape}; give one number per study")
    return array


def _labels(frame: Any, labels: Any, source: Any, rows: int) -> tuple[str, ...]:
    if labels is None:
        return index_labels(source) or tuple(f"study {i + 1}" for i in range(rows))
    if isinstance(labels, str):
        if frame is None:
            raise UsageError(f"labels is the text {labels!r}; give one label per study")
        columns = [labels]
    else:
        items = list(labels) if hasattr(labels, "__iter__") else [labels]
        joined = frame is not None and bool(items) and all(
            isinstance(item, str) and item in frame.columns for item in items)  # fmt: skip
        if not joined:
            check_indexes(data=source, labels=labels)
            if len(items) != rows:
                raise UsageError(
                    f"labels has {len(items)} values; give one for each of {rows} rows"
                )
            return _label_words([items])
        columns = items
    return _label_words([read_column(frame, name, "labels").tolist() for name in columns])


def as_name(value: object) -> str:
    """Return the name of a study, an effect or a group: 1940 for 1940.0."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _label_words(parts: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    words = []
    for at, items in enumerate(zip(*parts, strict=True)):
        if any(item is None or item != item or str(item).strip() == "" for item in items):
            raise ImpossibleDataError(f"labels[{at}] is missing; every study needs a label")
        words.append(" ".join(map(as_name, items)))
    return tuple(words)


def complete_rows(
    columns: Mapping[str, Floats], labels: tuple[str, ...], missing: str
) -> NDArray[np.int64]:
    """Return the rows without a missing value, or refuse the others by name."""
    if not any(np.isnan(values).any() for values in columns.values()):
        return np.arange(next(iter(columns.values())).size)
    holes = {name: np.isnan(values) for name, values in columns.items()}
    bad = np.logical_or.reduce(list(holes.values()))
    if missing == "refuse":
        lines = [
            f"row {i} ({labels[i]}): {', '.join(name for name in holes if holes[name][i])}"
            for i in np.flatnonzero(bad)
        ]
        raise ImpossibleDataError(
            f"values are missing in {first_names(lines, '; ')}. Fill them in (km.sd_from_se"
            " and its like help), or leave these rows out with missing='drop'"
        )
    return np.flatnonzero(~bad)


def _as_given(measure: Measure | None, estimate: Floats, **spread: Floats) -> EffectSize:
    """Return effects that came computed, with their variances or their standard errors."""
    ((name, values),) = spread.items()
    problems = Problems()
    problems.add(name, values, values <= 0, "> 0")
    problems.check()
    variance = values**2 if name == "se" else values
    return effect(measure or Measure.MD, frozen(estimate), frozen(variance))


def named_rows(
    problem: ImpossibleDataError | NotEstimableError,
    rows: NDArray[np.int64],
    labels: Sequence[str],
) -> ImpossibleDataError | NotEstimableError:
    """Return an error that counts positions with the rows of the data and their labels."""

    def named(match: re.Match[str]) -> str:
        found = [int(rows[int(at)]) for at in match[1].split(", ")]
        return "position " + ", ".join(f"{row} ({labels[row]})" for row in found)

    return type(problem)(re.sub(r"position (\d+(?:, \d+\b(?! at))*)", named, str(problem)))
