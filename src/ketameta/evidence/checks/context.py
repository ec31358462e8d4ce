"""What every check is given: the rows, looked up by key, and the shape of what it returns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, wraps
from itertools import chain
from pathlib import PurePath
from statistics import median
from typing import NamedTuple, TypeVar

from ketameta.evidence.findings import Finding, Severity
from ketameta.evidence.schema import TABLES, Column
from ketameta.evidence.tables import Evidence, Row, stated
from ketameta.measures import ANALYSIS

_Key = TypeVar("_Key")
#: Designs in which the same people are in every arm.
CROSSOVERS = ("crossover_rct", "crossover_nonrandomised")


def _finding(
    severity: Severity,
    row: Row,
    column: str,
    why: str,
    remedy: str,
    *,
    value: str | None = None,
    others: Iterable[Row] = (),
) -> Finding:
    """Return what a check says about a row, or about one of its cells.

    What is shown is the cell where no ``value`` is given; ``others`` are further rows that the
    problem is about. The rule adds its word.
    """
    told = value if value is not None else row[column] if column else ""
    places = tuple((other.file, other.line) for other in others)
    return Finding(
        severity, "", row.file, row.line, column, told, why, remedy, row.in_words, places
    )


#: A problem that makes a number unusable or impossible, and one that looks wrong and may be right.
error, warning = partial(_finding, "error"), partial(_finding, "warning")


class UsualSds(NamedTuple):
    """The middle printed SD of each trial, and all of them in order of size."""

    by_study: Mapping[str, float]
    ordered: Sequence[float]

    def without(self, study: str) -> tuple[int, float | None]:
        """Return how many other trials there are, and their median SD."""
        own = self.by_study.get(study)
        count = len(self.ordered) - (own is not None)
        if count == 0:
            return 0, None
        at = len(self.ordered) if own is None else bisect_left(self.ordered, own)
        low, high = ((count - 1) // 2, count // 2)
        # Beyond the place of the trial itself the others stand one place further on.
        return count, (self.ordered[low + (low >= at)] + self.ordered[high + (high >= at)]) / 2


@dataclass(frozen=True)
class Context:
    """The evidence and its indexes, computed once for all checks.

    Attributes
    ----------
    evidence : Evidence
    reading : tuple of Finding
        What the reading layer found; a cell it refused is not judged again.
    """

    evidence: Evidence
    reading: tuple[Finding, ...] = ()
    _refused: set[tuple[str, int, str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        refused = {(item.file, item.line, item.column) for item in self.reading if item.is_error}
        object.__setattr__(self, "_refused", refused)

    def is_refused(self, row: Row, column: str) -> bool:
        """Return whether reading already reported an error of this cell, or lacks its column."""
        return (row.file, row.line, column) in self._refused or (row.file, column) in self._absent

    @cached_property
    def unread(self) -> frozenset[str]:
        """Tables of which it is not known what they hold."""
        return unread_tables(self.evidence, self.reading)

    @cached_property
    def _absent(self) -> set[tuple[str, str]]:
        return {(item.file, item.column) for item in self.reading if item.check == "column_missing"}

    @cached_property
    def cells(self) -> list[tuple[Row, Column, str]]:
        """Every filled cell that reading accepted."""
        return [
            (row, columns[name], text)
            for table in self.evidence.schema.tables.values()
            for columns in [{column.name: column for column in table.columns}]
            for row in self.rows(table.name)
            for name, text in row.texts.items()
            if not self.is_refused(row, name)
        ]

    def rows(self, table: str) -> tuple[Row, ...]:
        """Return the rows of one table."""
        return self.evidence.rows(table)

    def with_refused(self, table: str) -> Iterator[Row]:
        """Yield the rows of one table, with those that did not line up with the header."""
        yield from self.evidence.rows(table)
        yield from self.evidence.refused.get(table, ())

    @cached_property
    def studies(self) -> First[str]:
        """The first row of each study_id."""
        return First(self.with_refused("studies"), lambda row: row["study_id"])

    @cached_property
    def arms(self) -> First[tuple[str, str]]:
        """The first row of each arm."""
        return First(self.with_refused("arms"), lambda row: (row["study_id"], row["arm_id"]))

    @cached_property
    def arms_of(self) -> Mapping[str, list[Row]]:
        """The arms of each study."""
        return grouped(self.rows("arms"), lambda row: row["study_id"])

    @cached_property
    def outcome_words(self) -> First[str]:
        """The row of each outcome word."""
        return First(self.with_refused("outcome_words"), lambda row: row["outcome"])

    @cached_property
    def instruments(self) -> First[str]:
        """The row of each instrument."""
        return First(self.with_refused("instruments"), lambda row: row["instrument"])

    @cached_property
    def comparisons(self) -> tuple[tuple[Row, ...], ...]:
        """Rows of outcomes.csv that could be compared: same all but the arm, an arm once.

        Where a source prints several analyses of a result, each is compared with its like.
        """
        results = grouped(self.rows("outcomes"), lambda row: (row.core[0], *row.core[2:]))
        groups: dict[tuple[object, ...], dict[str, Row]] = {}
        for key, rows in results.items():
            once = len({row["arm_id"] for row in rows}) == len(rows)
            for row in rows:
                apart = () if once else tuple(stated(row[name]) for name in ANALYSIS)
                groups.setdefault((key, apart), {}).setdefault(row["arm_id"], row)
        return tuple(tuple(rows.values()) for rows in groups.values())

    @cached_property
    def usual_sds(self) -> Mapping[tuple[str, str], UsualSds]:
        """The usual standard deviations by instrument and kind of score."""
        found: dict[tuple[str, str], dict[str, list[float]]] = {}
        for row in self.rows("outcomes"):
            sd = row.number("sd")
            if sd is not None and sd > 0 and row["sd_origin"] != "model":
                of_score = found.setdefault((row["instrument"], row["statistic"]), {})
                of_score.setdefault(row["study_id"], []).append(sd)
        medians = {
            key: {study: median(values) for study, values in studies.items()}
            for key, studies in found.items()
        }
        return {key: UsualSds(of, sorted(of.values())) for key, of in medians.items()}

    def pairs(self) -> Iterator[tuple[Row, Row]]:
        """Yield every two rows of a comparison, the treatment arm first, no arm with its part."""
        for rows in self.comparisons:
            for index, first in enumerate(rows):
                for second in rows[index + 1 :]:
                    if self.shares_people(first, second):
                        continue
                    if self.role(first) == "control" and self.role(second) == "treatment":
                        yield second, first
                    else:
                        yield first, second

    def role(self, row: Row) -> str:
        """Return the role of the arm of a row of outcomes.csv."""
        return self.arms[row["study_id"], row["arm_id"]]["role"]

    def shares_people(self, first: Row, second: Row) -> bool:
        """Return whether one of two arms of a study is contained in the other."""
        one, two = (self.contained(row) | {row["arm_id"]} for row in (first, second))
        return bool(one & two)

    def contained(self, row: Row) -> set[str]:
        """Return the arms that the arm of a row contains."""
        return set(list_items(self.arms[row["study_id"], row["arm_id"]]["contains_arms"]))

    def design(self, row: Row) -> str:
        """Return the design of the study of a row."""
        return self.studies[row["study_id"]]["design"]

    def trial_size(self, study_id: str) -> Iterator[tuple[Row, float]]:
        """Yield the row of a study with how many people were randomised, where that is known."""
        study = self.studies[study_id]
        if (total := study.number("n_randomised")) is not None:
            yield study, total

    def direction(self, row: Row) -> str:
        """Return which way is better for the outcome of a row; empty when nobody says."""
        word = self.outcome_words[row["outcome"]]
        return (word if word["kind"] == "event" else self.instruments[row["instrument"]])[
            "direction"
        ]

    def domain(self, row: Row) -> str:
        """Return the domain of the outcome of a row."""
        return self.outcome_words[row["outcome"]]["domain"]

    def improves(self, row: Row) -> bool:
        """Return whether a treatment is meant to do better than an inert control here."""
        return self.domain(row) in self.evidence.project.words.meant_to_improve


def unread_tables(evidence: Evidence, reading: Iterable[Finding]) -> frozenset[str]:
    """Return the tables of which a file, or the key of its rows, could not be read.

    What they lack is not known: nothing is said of it beside the cause.
    """
    errors = [item for item in reading if item.is_error]
    held = {row.file for rows in evidence.tables.values() for row in rows} if errors else set()
    unread = set[str]()
    for item in errors:
        name = PurePath(item.file).stem
        if name not in TABLES and item.check in ("file_unreadable", "link"):
            unread |= {*TABLES}
        elif name in TABLES and (
            item.file not in held
            or (item.check == "column_missing" and item.column in TABLES[name].key)
        ):
            unread.add(name)
    return frozenset(unread)


def list_items(cell: str) -> list[str]:
    """Return the items of a cell that joins them by ``;``."""
    return [item.strip() for item in cell.split(";") if item.strip()]


def grouped(rows: Iterable[Row], key: Callable[[Row], _Key]) -> dict[_Key, list[Row]]:
    """Return rows by what they have in common, in the order in which they come."""
    groups: dict[_Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def of_columns(*names: str) -> Callable[[Row], tuple[str, ...]]:
    """Return the function that gives the cells of a row in some columns."""
    return lambda row: tuple(row[name] for name in names)


def twins(
    rows: Iterable[Row], key: Callable[[Row], tuple[object, ...] | None]
) -> Iterator[tuple[Row, Row]]:
    """Yield each row behind the first one with the same key; a row without a key has no twin."""
    first_of: dict[tuple[object, ...], Row] = {}
    for row in rows:
        found = key(row)
        if found is not None and (first := first_of.setdefault(found, row)) is not row:
            yield first, row


def half_unit(row: Row, column: str) -> float:
    """Return half a unit of the last digit typed: 0.005 for ``0.30``, 0.5 for ``12``.

    0 where the cell holds no number.
    """
    if row.number(column) is None:
        return 0.0
    text = row[column].lower()
    digits, _, exponent = text.partition("e")
    decimals = len(digits.partition(".")[2])
    power = int(exponent) if exponent else 0
    return 0.5 * float(f"1e{min(300, max(-300, power - decimals))}")


def place(row: Row) -> str:
    """Return where a row stands, as messages print it."""
    return f"{row.file}:{row.line}"


#: The row of what no table names: its cells are empty.
NOWHERE = Row("", "", 0, {}, {})


class First(dict[_Key, Row]):
    """The first row of each key; one without cells for a key that no row has."""

    def __init__(self, rows: Iterable[Row], key: Callable[[Row], _Key]) -> None:
        super().__init__((key(row), row) for row in reversed([*rows]))

    def __missing__(self, key: _Key) -> Row:
        return NOWHERE


@dataclass(frozen=True, slots=True)
class Check:
    """One rule.

    Attributes
    ----------
    word : str
        Stable; what ``accept:`` in a note names.
    rule : str
        What must hold, in a sentence.
    function : callable
        Yields a finding for every place where the rule does not hold.
    of_numbers : bool
        Whether it is about numbers: a declared ``flag`` excuses it.
    """

    word: str
    rule: str
    function: Callable[[Context], Iterator[Finding]]
    of_numbers: bool


#: Every rule by its word; each room of checks adds its own when it is imported.
RULES: dict[str, Check] = {}
_Found = TypeVar("_Found", bound=Callable[..., Iterator[Finding]])


def _adding(*, of_numbers: bool) -> Callable[..., Callable[[_Found], _Found]]:
    """Return a decorator that adds a rule: of everything, or of each row of the tables named.

    A rule that looks for rows in other tables names them in ``needs``.
    """

    def adds(word: str, *tables: str, needs: Sequence[str] = ()) -> Callable[[_Found], _Found]:
        def add(function: _Found) -> _Found:
            @wraps(function)
            def found(context: Context) -> Iterator[Finding]:
                if not context.unread.isdisjoint(needs):
                    return
                rows = (row for table in tables for row in context.rows(table))
                parts = (function(context, row) for row in rows) if tables else [function(context)]
                for finding in chain.from_iterable(parts):
                    yield replace(finding, check=word)

            sentence = (function.__doc__ or "").partition("\n")[0]
            RULES[word] = Check(word, sentence, found, of_numbers)
            return function

        return add

    return adds


rule, number_rule = _adding(of_numbers=False), _adding(of_numbers=True)
