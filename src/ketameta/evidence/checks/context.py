"""What every check is given: the rows, looked up by key, and the shape of what it returns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial, wraps
from statistics import median
from typing import NamedTuple, TypeVar

from ketameta.evidence.findings import Finding, Severity
from ketameta.evidence.tables import Evidence, Row, stated
from ketameta.measures import ANALYSIS

_Key = TypeVar("_Key")
#: Designs in which the same people are in every arm.
CROSSOVERS = ("crossover_rct", "crossover_nonrandomised")


@dataclass(frozen=True, slots=True)
class Problem:
    """What a check says about a row; the runner adds the check's word and the place.

    Attributes
    ----------
    severity : {"error", "warning"}
    row : Row
    column : str
        Empty for the whole row.
    why, remedy : str
    value : str or None
        What to show; the cell when not given.
    others : tuple of Row
        Other rows the problem is about.
    """

    severity: Severity
    row: Row
    column: str
    why: str
    remedy: str
    value: str | None = None
    others: tuple[Row, ...] = ()

    def finding(self, check: str) -> Finding:
        """Return the finding of the check called ``check``."""
        row = self.row
        value = self.value if self.value is not None else row[self.column] if self.column else ""
        places = tuple((other.file, other.line) for other in self.others)
        return Finding(
            self.severity,
            check,
            row.file,
            row.line,
            self.column,
            value,
            self.why,
            self.remedy,
            row.in_words,
            places,
        )


def _problem(
    severity: Severity,
    row: Row,
    column: str,
    why: str,
    remedy: str,
    *,
    value: str | None = None,
    others: Iterable[Row] = (),
) -> Problem:
    return Problem(severity, row, column, why, remedy, value, tuple(others))


#: A problem that makes a number unusable or impossible, and one that looks wrong and may be right.
error, warning = partial(_problem, "error"), partial(_problem, "warning")


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
    _cells: set[tuple[str, int, str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        refused = {(item.file, item.line, item.column) for item in self.reading if item.is_error}
        object.__setattr__(self, "_cells", refused)

    def is_refused(self, row: Row, column: str) -> bool:
        """Return whether reading already reported an error of this cell, or lacks its column."""
        return (row.file, row.line, column) in self._cells or (row.file, column) in self._absent

    @cached_property
    def _absent(self) -> set[tuple[str, str]]:
        return {(item.file, item.column) for item in self.reading if item.check == "column_missing"}

    def rows(self, table: str) -> tuple[Row, ...]:
        """Return the rows of one table."""
        return self.evidence.rows(table)

    def with_refused(self, table: str) -> Iterator[Row]:
        """Yield the rows of one table, with those that did not line up with the header."""
        yield from self.evidence.rows(table)
        yield from self.evidence.refused.get(table, ())

    @cached_property
    def studies(self) -> Mapping[str, Row]:
        """The first row of each study_id."""
        return _first((row["study_id"], row) for row in self.with_refused("studies"))

    @cached_property
    def arms(self) -> Mapping[tuple[str, str], Row]:
        """The first row of each arm."""
        return _first(((row["study_id"], row["arm_id"]), row) for row in self.with_refused("arms"))

    @cached_property
    def arms_of(self) -> Mapping[str, list[Row]]:
        """The arms of each study."""
        return group_rows(self.rows("arms"), "study_id")

    @cached_property
    def outcome_words(self) -> Mapping[str, Row]:
        """The row of each outcome word."""
        return _first((row["outcome"], row) for row in self.with_refused("outcome_words"))

    @cached_property
    def instruments(self) -> Mapping[str, Row]:
        """The row of each instrument."""
        return _first((row["instrument"], row) for row in self.with_refused("instruments"))

    @cached_property
    def comparisons(self) -> tuple[tuple[Row, ...], ...]:
        """Rows of outcomes.csv that could be compared: same all but the arm, an arm once.

        Where a source prints several analyses of a result, each is compared with its like.
        """
        results: dict[tuple[object, ...], list[Row]] = {}
        for row in self.rows("outcomes"):
            study, _, *rest = row.core
            results.setdefault((study, *rest), []).append(row)
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
        arm = self.arms.get((row["study_id"], row["arm_id"]))
        return arm["role"] if arm is not None else ""

    def shares_people(self, first: Row, second: Row) -> bool:
        """Return whether one of two arms of a study is contained in the other."""
        one, two = (self.contained(row) | {row["arm_id"]} for row in (first, second))
        return bool(one & two)

    def contained(self, row: Row) -> set[str]:
        """Return the arms that the arm of a row contains."""
        arm = self.arms.get((row["study_id"], row["arm_id"]))
        return set(list_items(arm["contains_arms"])) if arm is not None else set()

    def design(self, row: Row) -> str:
        """Return the design of the study of a row."""
        study = self.studies.get(row["study_id"])
        return study["design"] if study is not None else ""

    def trial_size(self, study_id: str) -> Iterator[tuple[Row, float]]:
        """Yield the row of a study with how many people were randomised, where that is known."""
        study = self.studies.get(study_id)
        total = study.number("n_randomised") if study is not None else None
        if study is not None and total is not None:
            yield study, total

    def direction(self, row: Row) -> str:
        """Return which way is better for the outcome of a row; empty when nobody says."""
        word = self.outcome_words.get(row["outcome"])
        if word is not None and word["kind"] == "event":
            return word["direction"]
        instrument = self.instruments.get(row["instrument"])
        return instrument["direction"] if instrument is not None else ""

    def domain(self, row: Row) -> str:
        """Return the domain of the outcome of a row."""
        word = self.outcome_words.get(row["outcome"])
        return word["domain"] if word is not None else ""

    def improves(self, row: Row) -> bool:
        """Return whether a treatment is meant to do better than an inert control here."""
        return self.domain(row) in self.evidence.project.words.meant_to_improve


def list_items(cell: str) -> list[str]:
    """Return the items of a cell that joins them by ``;``."""
    return [item.strip() for item in cell.split(";") if item.strip()]


def group_rows(rows: Iterable[Row], *columns: str) -> dict[str, list[Row]]:
    """Return rows grouped by one column, or by several joined with a tab."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault("\t".join(row[column] for column in columns), []).append(row)
    return groups


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


def _first(pairs: Iterable[tuple[_Key, Row]]) -> dict[_Key, Row]:
    """Return a dictionary in which the first of equal keys wins."""
    found: dict[_Key, Row] = {}
    for key, row in pairs:
        found.setdefault(key, row)
    return found


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
        Yields every place where the rule does not hold.
    of_numbers : bool
        Whether it is about numbers: a declared ``flag`` excuses it.
    """

    word: str
    rule: str
    function: Callable[[Context], Iterator[Problem]]
    of_numbers: bool


#: Every rule by its word; each room of checks adds its own when it is imported.
RULES: dict[str, Check] = {}
_Found = TypeVar("_Found", bound=Callable[..., Iterator[Problem]])


def _adding(*, of_numbers: bool) -> Callable[..., Callable[[_Found], _Found]]:
    """Return a decorator that adds a rule: of everything, or of each row of the tables named."""

    def adds(word: str, *tables: str) -> Callable[[_Found], _Found]:
        def add(function: _Found) -> _Found:
            @wraps(function)
            def of_rows(context: Context) -> Iterator[Problem]:
                for table in tables:
                    for row in context.rows(table):
                        yield from function(context, row)

            sentence = (function.__doc__ or "").partition("\n")[0]
            RULES[word] = Check(word, sentence, of_rows if tables else function, of_numbers)
            return function

        return add

    return adds


rule, number_rule = _adding(of_numbers=False), _adding(of_numbers=True)
