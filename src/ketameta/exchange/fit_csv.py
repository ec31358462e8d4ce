"""A CSV of trials, fitted without a project: columns in; words, JSON or CSV and a picture out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.effects.table import COMPUTED, Effects, effect_sizes
from ketameta.errors import (
    ExtractionError,
    ImpossibleDataError,
    KetametaError,
    NotEstimableError,
    UsageError,
    check_choice,
    did_you_mean,
)
from ketameta.evidence.reader import other_kind
from ketameta.exchange.draft import MISSING, SourceCsv, as_number, read_source
from ketameta.measures import CI_METHODS, MEASURES, MeasureEntry, Way, find_measure
from ketameta.models.tau2 import TAU2_METHODS

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.models.pooling import RandomEffects
    from ketameta.models.regression import MetaRegression

OUTPUTS = ("text", "json", "csv")
PICTURES = (".svg", ".png", ".pdf")
#: Options of the functions behind a measure that are no words.
_NUMBERS, _FLAGS = ("correction", "level"), ("already_corrected",)
#: What an option is called where a model has one of that name.
_CALLED = {"level": "reported_level"}
#: Problems of a file that are listed; more are counted.
_LISTED = 20


def _ways(entry: MeasureEntry | None) -> tuple[Way, ...]:
    return (*(() if entry is None else entry.ways), *COMPUTED)


def option(name: str) -> str:
    """Return how an argument is written at the shell."""
    return "--" + _CALLED.get(name, name).replace("_", "-")


#: Every column that a measure can take, by its option.
_COLUMNS = {option(n): n for e in MEASURES.values() for w in _ways(e) for n in sorted(w.every)}


def column_help() -> str:
    """Return the columns of every measure, as options, one set a line, and the estimators."""
    lines: dict[str, list[str]] = {}
    for entry in MEASURES.values():
        for way in entry.ways:
            words = " ".join(option(name) for name in way.columns)
            lines.setdefault(words, []).append(entry.name.value)
    for way in COMPUTED:
        lines[" ".join(option(name) for name in way.columns)] = ["any"]
    extra = dict.fromkeys(name for e in MEASURES.values() for w in e.ways for name in w.options)
    found = [f"  {', '.join(codes)}: {words}" for words, codes in lines.items()]
    found.append(f"  where they apply: {' '.join(option(name) for name in extra)}")
    return "\n".join([*found, "", f"Estimators of tau-squared: {', '.join(TAU2_METHODS)}"])


def column_options(words: Sequence[str], known: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the files and the columns that the rest of a command line names.

    ``known`` are the command's own options, for hints. Raises :class:`UsageError` for an option
    that no measure has, twice the same, or one without its value.
    """
    files, columns, left = [], dict[str, str](), list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            files.append(word)
            continue
        head, given, value = word.partition("=")
        if head not in _COLUMNS:
            raise UsageError(f"there is no option {head}{did_you_mean(head, [*_COLUMNS, *known])}")
        name = _COLUMNS[head]
        if name in columns:
            raise UsageError(f"{head} is given twice")
        if name in _FLAGS:
            columns[name] = value or "yes"
            continue
        if not given:
            if not left or left[0].startswith("--"):
                raise UsageError(f"{head} needs a value: a column of the file")
            value = left.pop(0)
        columns[name] = value
    return files, columns


def read_trials(
    path: Path, numbers: Mapping[str, str], missing: str, labels: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[int], list[str]]:
    """Return the rows of a CSV of any separator and encoding, the line of each, and problems.

    ``numbers`` are the columns that have to hold numbers, by the option that names them; an empty
    cell of theirs is a problem where ``missing`` is "refuse". Raises :class:`UsageError` without
    such a file or column, :class:`ExtractionError` for a file that is no CSV.
    """
    import pandas as pd

    if not path.is_file():
        raise UsageError(f"{path}: {'this is a folder' if path.is_dir() else 'no such file'}")
    data = path.read_bytes()
    if kind := other_kind(data):
        raise ExtractionError(f"{path}: this is {kind}; save the sheet as CSV")
    source = read_source(data)
    named = [*numbers.items(), *(("--labels", name) for name in labels)]
    _check_columns(path, source, named)
    problems = [f"{path}: {problem}" for problem in source.problems]
    problems += [
        f"{path}, line {record.line}: {'more' if record.extra else 'fewer'} cells than the header"
        " has; a separator is in a cell, or missing"
        for record in source.records
        if record.extra or record.missing
    ]
    columns: dict[str, list[object]] = {}
    for name in source.columns:
        cells = [record.cells.peek(name) for record in source.records]
        read = [_number(cell, source.decimal_comma) for cell in cells]
        if name in numbers.values():
            head = next(head for head, column in numbers.items() if column == name)
            told = f"column {name!r} ({head})"
            if len(read) > 1 and all(value is None for value in read):
                word = f"every cell is a word, such as {cells[0]!r}"
                problems.append(f"{path}, {told}: {word}; name another column")
            else:
                for record, cell, value in zip(source.records, cells, read, strict=True):
                    where = f"{path}, line {record.line}, {told}"
                    if value is None:
                        problems.append(f"{where}: {cell!r} is no number")
                    elif value != value and missing == "refuse":
                        why = "the cell is empty; fill it in, or add --missing drop"
                        problems.append(f"{where}: {why}")
        numeric = name in numbers.values() or None not in read
        columns[name] = [np.nan if value is None else value for value in read]
        if not numeric:
            columns[name] = [cell or None for cell in cells]
    if not source.records and not problems:
        problems.append(f"{path}: there is no row below the header")
    return pd.DataFrame(columns), [record.line for record in source.records], problems


def _check_columns(path: Path, source: SourceCsv, named: Sequence[tuple[str, str]]) -> None:
    unknown = [(head, name) for head, name in named if name not in source.columns]
    if unknown and source.columns:
        raise UsageError(
            "\n".join(
                f"{path} has no column {name!r} ({head}){did_you_mean(name, source.columns)}"
                for head, name in unknown
            )
            + f"\nIt has {', '.join(map(repr, source.columns))}"
        )


def _number(cell: str, decimal_comma: bool) -> float | None:
    """Return a cell as a number, NaN where it is empty; None where it is a word."""
    if cell.strip().lower() in MISSING:
        return float("nan")
    text = as_number(cell, decimal_comma=decimal_comma)
    if text is None and re.fullmatch(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", cell.strip()):
        text = cell  # a number of any size, such as 1e16
    return None if text is None else float(text)


def fit_file(
    file: Path,
    columns: Mapping[str, str],
    *,
    measure: str = "",
    labels: Sequence[str] = (),
    moderators: str = "",
    model: str = "random",
    tau2_method: str = "REML",
    ci_method: str = "",
    level: float = 0.95,
    missing: str = "refuse",
    better: str = "",
) -> tuple[Effects, RandomEffects | MetaRegression]:
    """Compute the effects of a file and fit them; errors use the words of the command line.

    ``columns`` names, by argument of the measure, a column or one number for all trials;
    ``labels`` are columns that are joined. The measure is empty only for effects that are computed
    already; an empty ``ci_method`` is the model's own. The rest is as in :func:`ketameta.pool`.
    """
    from ketameta.models.pooling import RandomEffects, pool
    from ketameta.models.regression import meta_regression

    entry = find_measure(measure, "--measure") if measure else None
    check_choice("--model", model, ("random", "common"))
    check_choice("--missing", missing, ("refuse", "drop"))
    if better:
        check_choice("--better", better, ("lower", "higher"))
        if entry is not None and entry.null is None:
            raise UsageError(f"--better: {entry.name} is of one group and favours neither side")
    check_choice("--tau2-method", tau2_method, TAU2_METHODS)
    if ci_method:
        check_choice("--ci-method", ci_method, CI_METHODS)
    named, given, fixed = _split(columns)
    lines: list[int] = []
    idle = {name for way in _ways(entry) for name in way.unused}
    numbers = {option(name): column for name, column in named.items() if name not in idle}
    try:
        for way in _ways(entry):  # a wrong set of columns is said before the file is read
            if set(way.columns) <= {*named, *fixed} <= way.every:
                break
        else:
            probe: Any = {name: [1.0] for name in (*named, *fixed)}
            effect_sizes(None, measure or None, **probe, **given)
        frame, lines, problems = read_trials(file, numbers, missing, labels)
        marks: Any = list(labels) or [f"line {line}" for line in lines]
        effects = None
        try:
            effects = effect_sizes(frame, measure or None, labels=marks,
                missing="drop" if problems else missing, **named, **fixed, **given)  # fmt: skip
        except ImpossibleDataError as impossible:
            problems.append(f"{file}: {_as_options(impossible, lines)}")
        except KetametaError:
            if not problems:
                raise
        if problems or effects is None:
            more = [f"and {len(problems) - _LISTED} more"] if len(problems) > _LISTED else []
            raise ExtractionError("\n".join(problems[:_LISTED] + more))
        lines = [lines[at] for at in effects.positions]
        common = model == "common"
        method = ci_method or ("wald" if common else "knapp-hartung-conservative")
        options = {"ci_method": method, "level": level}
        if moderators:
            tau2 = "common" if common else tau2_method
            return effects, meta_regression(effects, moderators, tau2_method=tau2, **options)
        fit = pool(effects, model=model, tau2_method=tau2_method, **options)
    except KetametaError as problem:
        raise _as_options(problem, lines) from None
    if not isinstance(fit, RandomEffects):
        raise NotEstimableError(f"{file}: there is no trial to pool")
    return effects, fit


def _split(columns: Mapping[str, str]) -> tuple[dict[str, str], Any, dict[str, float]]:
    """Return columns, options of the measure, and numbers that hold for every trial."""
    options = {name for e in MEASURES.values() for way in e.ways for name in way.options}
    named: dict[str, str] = {}
    fixed: dict[str, float] = {}
    given: dict[str, str | float | bool] = {}
    for name, value in columns.items():
        number = as_number(value, decimal_comma=False)
        if name in _FLAGS:
            given[name] = check_choice(option(name), value, ("yes", "no")) == "yes"
        elif name in _NUMBERS and name in options:
            if number is None:
                raise UsageError(f"{option(name)} is {value!r}; give a number")
            given[name] = float(number)
        elif name in options:
            given[name] = value
        elif number is not None:
            fixed[name] = float(number)
        else:
            named[name] = value
    return named, given, fixed


_ARGUMENTS = {"tau2_method", "ci_method", *(name for name in _COLUMNS.values() if "_" in name)}
_LONGEST_FIRST = "|".join(sorted(_ARGUMENTS, key=len, reverse=True))
_ARGUMENT = re.compile(rf"(?<![\w'-])({_LONGEST_FIRST})(?![\w'])")


#: Where a message names trials: by position, as an item of an argument, or as items of the labels.
_PLACES = re.compile(
    r" at position ((?:\d+ \([^)]*\)(?:, (?=\d+ \())?)+)|(?<=\w)\[(\d+)\](?= \()"
    r"|(?<=') at \[(\d+(?:, \d+)*)\]"
)


def _as_options(problem: KetametaError, lines: Sequence[int] = ()) -> KetametaError:
    """Return an error that calls arguments what the command line does, and trials by their lines.

    ``lines`` are those of the trials, none where no trial was read.
    """

    def in_line(found: re.Match[str]) -> str:
        at = found[1] or found[2] or found[3]
        named = re.sub(r"\d+(?= \(|, |$)", lambda place: str(lines[int(place[0])]), at)
        return f" at lines {named}" if found[3] else f" in line {named}"

    text = str(problem)
    if lines:
        text = re.sub(r"line (\d+) \(line \1\)", r"line \1", _PLACES.sub(in_line, text))

    def as_options(found: re.Match[str]) -> str:
        names = found[1].split(", ")
        return (
            f"({', '.join(map(option, names))})" if {*names} <= {*_COLUMNS.values()} else found[0]
        )

    text = re.sub(r"\((\w+(?:, \w+)+)\)", as_options, text)
    text = _ARGUMENT.sub(lambda found: option(found[1]), text)
    text = text.replace("missing='drop'", "--missing drop").replace("measure= ", "--measure ")
    text = re.sub(
        r"give each independent comparison its own.*",
        "join columns that tell them apart (--labels again), or combine the rows",
        text,
    )
    return type(problem)(text.replace("moderators: ", "--moderators: "))


def draw_fit(fit: RandomEffects | MetaRegression, path: Path, better: str = "") -> None:
    """Draw a forest plot, or the bubbles of the first number of a formula, into a file, whole."""
    from ketameta.models.regression import MetaRegression
    from ketameta.plots import bubble, forest, look, save

    check_picture(path)
    with look.detached():
        if isinstance(fit, MetaRegression):
            slopes = [name for name in fit.names if name != "intercept"]
            numbers = [name for name in slopes if name in fit.terms]
            if not numbers and len(slopes) > 1:
                raise UsageError(
                    f"--plot draws trials against a number and the formula {fit.formula} has none;"
                    " leave --plot out, or --moderators for a forest plot"
                )
            ax = bubble(fit, (numbers or slopes)[0])
        else:
            ax = forest(fit, lower_is_better=better == "lower" if better else None)
        save(ax, path)


def check_picture(path: Path) -> None:
    """Refuse a picture's name whose ending says no format."""
    if path.suffix.lower() not in PICTURES:
        raise UsageError(f"--plot is {str(path)!r}; the name ends in {', '.join(PICTURES)}")


def fit_words(
    effects: Effects, fit: RandomEffects | MetaRegression, output: str, better: str = ""
) -> str:
    """Return effects and fit as text, JSON (everything) or CSV (the estimates)."""
    from ketameta.models.results import plain

    if output == "json":
        whole = {"effects": plain(effects.to_dict()), "fit": fit.to_dict(),
                 "methods": fit.methods_sentence()}  # fmt: skip
        return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=True)
    if output == "csv":
        text: str = fit.tidy().to_csv(index=False, lineterminator="\n")
        return text.rstrip("\n")
    parts = [repr(effects), fit.summary(), fit.methods_sentence()]
    if better and np.ndim(fit.estimate) == 0:
        parts.insert(2, fit.favours(lower_is_better=better == "lower"))
    return "\n\n".join(parts)
