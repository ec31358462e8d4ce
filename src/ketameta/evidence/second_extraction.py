"""Two independent extractions of the same trials, side by side: differences and agreement.

The first extraction is the batch; the second stands in its folder ``second``, with the decisions
in ``reconciliation.csv``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ketameta.errors import UsageError
from ketameta.evidence.findings import Finding, sort_findings
from ketameta.evidence.schema import RECONCILIATION, TABLES, Column
from ketameta.evidence.tables import (
    DECISIONS,
    SECOND,
    Evidence,
    Row,
    batch_folders,
    is_link,
    load_tables,
    read_rows,
    stated,
)
from ketameta.formatting import csv_text, unguarded
from ketameta.measures import ROB_RANK
from ketameta.paths import ProjectPaths, write_atomically

#: Stands for the whole row where only one extractor has it.
WHOLE_ROW = "(row)"
#: Begins the note of a row of the second extraction that holds only what was read again.
PARTIAL = "partial:"
#: Stands in such a note before the columns that were read with the first value in sight.
NOT_BLIND = "not blind:"
#: Kinds of columns that are compared; free text is worded differently by any two people.
_COMPARED = ("number", "integer", "words", "key", "list")


@dataclass(frozen=True, slots=True)
class CellPair:
    """One cell of a row that both extractors have, filled by at least one of them."""

    table: str
    column: Column
    first: Row
    second: Row

    @property
    def numbers(self) -> tuple[float | None, float | None]:
        """The cell as a number, in both rows."""
        return self.first.number(self.column.name), self.second.number(self.column.name)

    @property
    def agrees(self) -> bool:
        """Whether both typed the same: numbers as numbers, words without regard to case."""
        if None not in self.numbers:
            return self.numbers[0] == self.numbers[1]
        return self.first[self.column.name].lower() == self.second[self.column.name].lower()

    @property
    def is_blind(self) -> bool:
        """Whether the second was read without sight of the first, by the note of its row."""
        named = self.second["note"].partition(NOT_BLIND)[2].partition(";")[0]
        return self.column.name not in {name.strip() for name in named.split(",")}

    @property
    def is_alike(self) -> bool:
        """Whether the two differ in how they are written alone.

        One is the other rounded, or the effect is printed with benefit above 0 rather than below:
        with the sign of a difference its limits change places.
        """
        name, (one, two) = self.column.name, self.numbers
        if one is None or two is None or one == two:
            return False
        if _rounded(two, self.first[name]) == one or _rounded(one, self.second[name]) == two:
            return True
        ours, theirs = self.first.number("estimate"), self.second.number("estimate")
        turned = self.second.number(_TURNED.get(name, ""))
        is_turned = None not in (ours, theirs, turned) and ours == -(theirs or 0)
        return is_turned and one == -(turned or 0)


#: What a cell becomes when the sign of the difference is turned.
_TURNED = {"estimate": "estimate", "ci_low": "ci_high", "ci_high": "ci_low"}


def _rounded(number: float, text: str) -> float:
    """Return a number rounded to the decimals of a printed one."""
    return round(number, len(text.partition(".")[2]))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two extractions of one batch, side by side.

    Attributes
    ----------
    batch : str
        Folder as messages print it.
    cells : tuple of CellPair
        Every compared cell that at least one extractor filled.
    only_first, only_second : tuple of Row
        Rows that the other extractor does not have.
    matched : int
        Rows that both have.
    unread : tuple of Row
        Rows of the first extraction that a partial second extraction of their trial left out.
    unread_cells : int
        Cells filled in the first extraction that a partial row of the second left empty.
    several : frozenset of str
        Results that an extractor typed in more than one analysis.
    copied : bool
        Whether the second extraction repeats rows of the first in every cell, and nothing else.
    findings : tuple of Finding
        What could not be read in the second extraction.
    """

    batch: str
    cells: tuple[CellPair, ...] = ()
    only_first: tuple[Row, ...] = ()
    only_second: tuple[Row, ...] = ()
    matched: int = 0
    findings: tuple[Finding, ...] = ()
    unread: tuple[Row, ...] = ()
    unread_cells: int = 0
    several: frozenset[str] = frozenset()
    copied: bool = False

    def name_of(self, row: Row) -> str:
        """Return the key of a row as the reconciliation table writes it."""
        return key_text(row, whole=key_text(row) in self.several)

    @property
    def differences(self) -> tuple[CellPair, ...]:
        """The cells in which the two differ."""
        return tuple(pair for pair in self.cells if not pair.agrees)


def second_folders(paths: ProjectPaths, also: Iterable[Path] = ()) -> tuple[Path, ...]:
    """Return the batch folders that hold a second extraction; none that cannot be looked into."""
    return tuple(folder for folder in (*batch_folders(paths), *also) if _has_second(folder))


def _has_second(folder: Path) -> bool:
    try:
        return (folder / SECOND).is_dir() and not is_link(folder / SECOND)
    except OSError:
        return False


def key_text(row: Row, *, whole: bool = False) -> str:
    """Return the key of a row as the reconciliation table writes it.

    Which analysis of its result it is stands there only (``whole``) where an extractor typed
    several: elsewhere it is a cell like others, about which two people may differ.
    """
    parts = []
    for name in TABLES[row.table].key if whole else TABLES[row.table].core:
        number = row.number(name)
        parts.append(f"{number:g}" if number is not None else stated(row[name]) or "-")
    return " / ".join(parts)


def is_partial(row: Row) -> bool:
    """Return whether a row of the second extraction holds only the cells that were read again."""
    return row["note"].lower().startswith(PARTIAL)


def compare_batch(paths: ProjectPaths, folder: Path, first: Evidence) -> Comparison:
    """Return the two extractions of a batch with a folder ``second`` side by side.

    The rows of the batch in ``first``, the project as read, are the first extraction. A second
    extraction may cover some of the tables, and some of the trials, of a batch; only these are
    compared. Where a row of a trial is partial, what the second extraction of this trial leaves
    empty or out was not read again: it is no difference, and is counted as unread.
    """
    name = paths.relative(folder)
    second: dict[str, list[Row]] = {}
    findings: list[Finding] = []
    for table in first.schema.batch:
        path = folder / SECOND / f"{table.name}.csv"
        if path.exists():
            # A refused row is an error among the findings.
            second[table.name], _, problems = read_rows(path, paths.relative(path), table)
            findings.extend(problems)
    again = [row for rows in second.values() for row in rows]
    studies = {row["study_id"] for row in again}
    in_part = {row["study_id"] for row in again if is_partial(row)}
    texts = {_all_cells(row) for rows in first.tables.values() for row in rows
             if row["study_id"] in studies}  # fmt: skip
    cells: list[CellPair] = []
    only_first: list[Row] = []
    only_second: list[Row] = []
    several: set[str] = set()
    matched = unread_cells = 0
    for table in first.schema.batch:
        if table.name not in second:
            continue
        file = f"{name}/{table.name}.csv"
        own = [r for r in first.rows(table.name) if r.file == file and r["study_id"] in studies]
        for rows in (own, second[table.name]):
            several |= {key for key, n in Counter(map(key_text, rows)).items() if n > 1}
        mine, other = (
            {key_text(row, whole=key_text(row) in several): row for row in rows}
            for rows in (own, second[table.name])
        )
        only_first += [row for key, row in mine.items() if key not in other]
        only_second += [row for key, row in other.items() if key not in mine]
        for key in (key for key in mine if key in other):
            matched += 1
            pairs = [
                CellPair(table.name, column, mine[key], other[key])
                for column in table.columns
                if column.kind in _COMPARED and column.name not in table.core
                if mine[key][column.name] or other[key][column.name]
            ]
            read = [p for p in pairs if p.second[p.column.name] or not is_partial(p.second)]
            unread_cells += len(pairs) - len(read)
            cells += read
    return Comparison(
        name,
        tuple(cells),
        tuple(row for row in only_first if row["study_id"] not in in_part),
        tuple(only_second),
        matched,
        sort_findings(findings),
        tuple(row for row in only_first if row["study_id"] in in_part),
        unread_cells,
        frozenset(several),
        len(again) >= FEWEST_COPIED and all(_all_cells(row) in texts for row in again),
    )


def compare_batches(
    paths: ProjectPaths, first: Evidence, also: Iterable[Path] = ()
) -> tuple[Comparison, ...]:
    """Compare every batch that has two extractions; ``also`` are batches outside the project."""
    return tuple(compare_batch(paths, folder, first) for folder in second_folders(paths, also))


#: Fewer rows may be equal in every cell by chance.
FEWEST_COPIED = 2


def _all_cells(row: Row) -> tuple[object, ...]:
    return (row.table, *sorted(row.texts.items()))


def likely_matches(comparison: Comparison) -> Iterator[tuple[Row, Row]]:
    """Yield rows of one extractor only that may be one row under other names.

    Two rows of a trial whose printed numbers agree wherever both have one, in at least two cells,
    are likely the same result; each row is proposed once.
    """
    left = list(comparison.only_second)
    for first in comparison.only_first:
        for second in left:
            alike = (first.table, first["study_id"]) == (second.table, second["study_id"])
            if alike and _same_numbers(first, second):
                left.remove(second)
                yield first, second
                break


def _same_numbers(first: Row, second: Row) -> bool:
    both = first.numbers.keys() & second.numbers.keys() - {"time_days"}
    if first.table == "arms":
        return bool(first["intervention"]) and first["intervention"] == second["intervention"]
    return len(both) > 1 and all(first.number(name) == second.number(name) for name in both)


def decided(
    paths: ProjectPaths, study: str = "", folder: Path | None = None
) -> Iterator[tuple[str, Row]]:
    """Yield the decisions on two extractions, of a study or a batch, with the file of each."""
    for batch in second_folders(paths) if folder is None else (folder,):
        decisions, _ = read_decisions(paths, batch)
        for decision in decisions:
            if decision["agreed"] and (not study or decision["row"].startswith(f"{study} / ")):
                yield paths.relative(batch / SECOND / DECISIONS), decision


def is_named(row: Row, key: str) -> bool:
    """Return whether a key of the reconciliation table is that of a row."""
    mine = key.startswith(stated(row["study_id"]))  # with which every key begins
    return mine and key in (key_text(row), key_text(row, whole=True))


def open_rows(comparison: Comparison) -> list[dict[str, str]]:
    """Return one undecided line of the reconciliation table per difference."""
    named = comparison.name_of
    lines = [
        _line(pair.table, named(pair.first), pair.column.name, pair.first, pair.second)
        for pair in comparison.differences
    ]
    lines += [_line(r.table, named(r), WHOLE_ROW, r, None) for r in comparison.only_first]
    lines += [_line(r.table, named(r), WHOLE_ROW, None, r) for r in comparison.only_second]
    return lines


def _line(
    table: str, key: str, column: str, first: Row | None, second: Row | None
) -> dict[str, str]:
    def value(row: Row | None) -> str:
        if column == WHOLE_ROW:
            return "present" if row is not None else "absent"
        return row[column] if row is not None else ""

    cells = {"table": table, "row": key, "column": column}
    for side, row in (("first", first), ("second", second)):
        cells[side] = value(row)
        cells[f"{side}_locator"] = row["locator"] or row["support"] if row is not None else ""
        cells[f"{side}_by"] = row["extracted_by"] or row["judged_by"] if row is not None else ""
    return cells


#: What a decision writes for a cell that stays empty, and for a row that only one extractor has.
EMPTY, KEEP, LEAVE_OUT = "(empty)", "keep", "leave out"


def place_of(line: Mapping[str, str] | Row) -> tuple[str, str, str]:
    """Return table, row and column that a line of the reconciliation table is about."""
    return line["table"], line["row"], line["column"]


def read_decisions(paths: ProjectPaths, folder: Path) -> tuple[list[Row], list[Finding]]:
    """Return the decisions on a batch, and what is wrong with their file; none without it."""
    path = folder / SECOND / DECISIONS
    if not path.exists():
        return [], []
    rows, _, findings = read_rows(path, paths.relative(path), RECONCILIATION)
    plain = ({name: unguarded(cell) for name, cell in row.texts.items()} for row in rows)
    return [replace(row, texts=texts) for row, texts in zip(rows, plain, strict=True)], findings


class Limits(NamedTuple):
    """Mean difference (first minus second) and 95% limits of agreement, in the numbers' unit."""

    bias: float
    low: float
    high: float


def cohens_kappa(
    first: Sequence[str], second: Sequence[str], order: Sequence[Sequence[str]] = ()
) -> float | None:
    """Return Cohen's kappa of two raters; with linear weights where the words have an order.

    Parameters
    ----------
    first, second : sequence of str
    order : sequence of sequence of str
        The words from best to worst; words in one place count as equal. Pairs with another word
        are left out.

    Returns
    -------
    float or None
        None where both raters used a single and the same word, so that chance explains everything.

    Notes
    -----
    One minus observed over expected disagreement, each pair weighted by how far it is apart.

    References
    ----------
    Cohen (1960), Educ. Psychol. Meas. 20(1), 37-46. doi:10.1177/001316446002000104

    Cohen (1968), Psychol. Bull. 70(4), 213-220. doi:10.1037/h0026256
    """
    words = order or [[word] for word in sorted({*first, *second})]
    place = {word: index for index, group in enumerate(words) for word in group}
    table = np.zeros((len(words), len(words)))
    for one, two in zip(first, second, strict=True):
        if one in place and two in place:
            table[place[one], place[two]] += 1
    if ((table.sum(axis=0) + table.sum(axis=1)) > 0).sum() < 2:
        return None
    at = np.arange(len(words))
    apart = abs(at[:, None] - at) if order else at[:, None] != at
    expected = table.sum(axis=1)[:, None] * table.sum(axis=0) / table.sum()
    return float(1 - (apart * table).sum() / (apart * expected).sum())


def intraclass_correlation(ratings: ArrayLike) -> float | None:
    """Return ICC(2,1): absolute agreement of single ratings, targets and raters at random.

    Parameters
    ----------
    ratings : array_like of shape (n, k)
        n targets, each rated by the same k raters.

    Returns
    -------
    float or None
        None for fewer than two targets, or where all ratings are equal.

    Notes
    -----
    With the mean squares between targets (BMS), between raters (JMS) and of the residual (EMS)::

        ICC(2,1) = (BMS - EMS) / (BMS + (k - 1) EMS + k (JMS - EMS) / n)

    Another pair could have read the same papers, and a constant difference is disagreement.

    References
    ----------
    Shrout and Fleiss (1979), Psychol. Bull. 86(2), 420-428. doi:10.1037/0033-2909.86.2.420

    Examples
    --------
    >>> round(intraclass_correlation([[10, 11], [14, 15], [20, 21]]), 4)
    0.9808
    """
    x = np.asarray(ratings, dtype=float)
    if x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < 2:
        return None
    # Agreement does not depend on the unit or the origin, rounding does.
    scale = float(np.abs(x - x.mean()).max())
    if scale == 0:
        return None
    x = (x - x.mean()) / scale
    n, k = x.shape
    targets, raters, grand = x.mean(axis=1), x.mean(axis=0), x.mean()
    within = float(((x - targets[:, None]) ** 2).sum())
    judges = n * float(((raters - grand) ** 2).sum())
    bms = k * float(((targets - grand) ** 2).sum()) / (n - 1)
    jms, ems = judges / (k - 1), max(0.0, within - judges) / ((n - 1) * (k - 1))
    bottom = bms + (k - 1) * ems + k * (jms - ems) / n
    return (bms - ems) / bottom if bottom > 0 else None


def limits_of_agreement(first: ArrayLike, second: ArrayLike) -> Limits | None:
    """Return the limits between which 95% of the differences of two extractors lie.

    None for fewer than two pairs. The paper rounds the normal quantile 1.96 to 2.

    References
    ----------
    Bland and Altman (1986), Lancet 327(8476), 307-310. doi:10.1016/S0140-6736(86)90837-8
    """
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    if differences.size < 2:
        return None
    bias, spread = float(differences.mean()), float(differences.std(ddof=1))
    return Limits(bias, bias - 1.96 * spread, bias + 1.96 * spread)


#: Words with an order, from best to worst; words in one place count as equal.
ORDERED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "judgement": tuple(
        tuple(word for word, place in ROB_RANK.items() if place == rank)
        for rank in sorted(set(ROB_RANK.values()))
    )
}


@dataclass(frozen=True, slots=True)
class ColumnAgreement:
    """How the two agree in one column.

    Attributes
    ----------
    name : str
        ``table.column``.
    cells, agreeing : int
        Cells that at least one extractor filled, in rows that both have; and those that are equal.
    alike : int
        Cells that differ in how they are written alone: see :attr:`CellPair.is_alike`.
    kappa, weighted_kappa : float or None
        For words; a cell that one left empty counts as a word of its own.
    icc : float or None
        ICC(2,1) of the cells that both filled with a number.
    limits : Limits or None
        Of the same cells.
    """

    name: str
    cells: int
    agreeing: int
    alike: int
    kappa: float | None = None
    weighted_kappa: float | None = None
    icc: float | None = None
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class BatchAgreement:
    """The two extractions of one batch, every difference with its decision, and where these are."""

    comparison: Comparison
    lines: tuple[Mapping[str, str], ...]
    path: Path

    @property
    def columns(self) -> tuple[ColumnAgreement, ...]:
        """The agreement of every column."""
        return agreement_by_column(self.comparison.cells)

    @property
    def open(self) -> int:
        """Number of differences without a decision."""
        return sum(not line.get("agreed") for line in self.lines)


def agreement(
    paths: ProjectPaths, batch: Path | None = None, *, write: bool = True
) -> tuple[BatchAgreement, ...]:
    """Compare the extractions of every batch that has two, or of one batch folder.

    With ``write``, the reconciliation tables are written; else it only reports.

    Raises
    ------
    UsageError
        If the batch has no second extraction.
    """
    if batch is not None and not (batch / SECOND).is_dir():
        raise UsageError(
            f"{paths.relative(batch)} has no second extraction; it starts with: ketameta new "
            f"{batch.name} --second"
        )
    folders = second_folders(paths) if batch is None else (batch,)
    evidence, _ = load_tables(paths, folders)
    compared = (compare_batch(paths, folder, evidence) for folder in folders)
    found = tuple(with_decisions(paths, comparison) for comparison in compared)
    for item in found if write else ():
        write_atomically(item.path, csv_text(RECONCILIATION.column_names, item.lines))
    return found


def with_decisions(paths: ProjectPaths, comparison: Comparison) -> BatchAgreement:
    """Return two extractions of a batch with the decisions that still fit them."""
    path = paths.root / comparison.batch / SECOND / DECISIONS
    made, _ = read_decisions(paths, path.parent.parent)
    known = {(*place_of(row), row["first"], row["second"]): row for row in made}
    lines = open_rows(comparison)
    for line in lines:
        decision = known.get((*place_of(line), line["first"], line["second"]))
        if decision is not None:
            line |= {name: decision[name] for name in ("agreed", "decided_by", "reason")}
    return BatchAgreement(comparison, tuple(lines), path)


def agreement_by_column(pairs: Iterable[CellPair]) -> tuple[ColumnAgreement, ...]:
    """Return the agreement of every column, in the order of the cells."""
    groups: dict[str, list[CellPair]] = {}
    for pair in pairs:
        groups.setdefault(f"{pair.table}.{pair.column.name}", []).append(pair)
    return tuple(_column(name, found) for name, found in groups.items())


def _column(name: str, pairs: Sequence[CellPair]) -> ColumnAgreement:
    column = pairs[0].column
    counts = sum(pair.agrees for pair in pairs), sum(pair.is_alike for pair in pairs)
    if column.kind == "words":
        words = [[row[column.name].lower() for row in (p.first, p.second)] for p in pairs]
        first, second = zip(*words, strict=True)
        order = ORDERED.get(column.name)
        weighted = cohens_kappa(first, second, order) if order else None
        return ColumnAgreement(name, len(pairs), *counts, cohens_kappa(first, second), weighted)
    both = [(a, b) for a, b in (p.numbers for p in pairs) if a is not None and b is not None]
    limits = limits_of_agreement([one for one, _ in both], [two for _, two in both])
    icc = intraclass_correlation(both)
    return ColumnAgreement(name, len(pairs), *counts, icc=icc, limits=limits)
