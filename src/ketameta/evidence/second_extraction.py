"""Two independent extractions of the same trials, side by side, and what was agreed on.

The first extraction is the batch; the second stands in its folder ``second``, with the decisions
in ``reconciliation.csv``. Computes no statistic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ketameta.evidence.cells import read_cell
from ketameta.evidence.findings import Finding, file_finding, sort_findings
from ketameta.evidence.schema import TABLES, Column, Schema, Table
from ketameta.evidence.tables import (
    DECISIONS,
    SECOND,
    Evidence,
    Row,
    batch_folders,
    is_link,
    read_rows,
    stated,
)
from ketameta.formatting import unguarded
from ketameta.paths import ProjectPaths

#: Stands for the whole row where only one extractor has it.
WHOLE_ROW = "(row)"
#: Begins the note of a row of the second extraction that holds only what was read again.
PARTIAL = "partial:"
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
    def agrees(self) -> bool:
        """Whether both typed the same: numbers as numbers, words without regard to case."""
        return same_cell(self.column.name, self.first, self.second)


def same_cell(column: str, first: Row, second: Row) -> bool:
    """Return whether a cell is the same in two rows."""
    one, two = first.number(column), second.number(column)
    if one is not None and two is not None:
        return one == two
    return first[column].lower() == second[column].lower()


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


def _several(*sides: Sequence[Row]) -> set[str]:
    """Return the results that one side or the other analyses more than once."""
    counts = [Counter(map(key_text, rows)) for rows in sides]
    return {key for found in counts for key, n in found.items() if n > 1}


def is_partial(row: Row) -> bool:
    """Return whether a row of the second extraction holds only the cells that were read again."""
    return row["note"].lower().startswith(PARTIAL)


def compare_batch(paths: ProjectPaths, folder: Path, first: Evidence) -> Comparison:
    """Return the two extractions of a batch side by side.

    Parameters
    ----------
    paths : ProjectPaths
    folder : Path
        A batch with a folder ``second``.
    first : Evidence
        The project as read; rows of the batch are the first extraction.

    Notes
    -----
    A second extraction may cover some of the tables, and some of the trials, of a batch; only these
    are compared. Where a row of a trial is partial, what the second extraction of this trial leaves
    empty or out was not read again: it is no difference, and is counted as unread.
    """
    name = paths.relative(folder)
    second, findings = _read_second(paths, folder, first.schema)
    studies = {row["study_id"] for rows in second.values() for row in rows}
    texts = {_all_cells(row) for rows in first.tables.values() for row in rows}
    typed = [_all_cells(row) for rows in second.values() for row in rows]
    in_part = {row["study_id"] for rows in second.values() for row in rows if is_partial(row)}
    cells: list[CellPair] = []
    only_first: list[Row] = []
    only_second: list[Row] = []
    unread: list[Row] = []
    several: set[str] = set()
    matched = unread_cells = 0
    for table in first.schema.batch:
        if table.name not in second:
            continue
        own = [
            row
            for row in first.rows(table.name)
            if row.file == f"{name}/{table.name}.csv" and row["study_id"] in studies
        ]
        several |= _several(own, second[table.name])
        mine, other = (
            {key_text(row, whole=key_text(row) in several): row for row in rows}
            for rows in (own, second[table.name])
        )
        matched += sum(key in other for key in mine)
        for key, row in mine.items():
            if key not in other:
                (unread if row["study_id"] in in_part else only_first).append(row)
        only_second.extend(row for key, row in other.items() if key not in mine)
        for key, row in mine.items():
            if key not in other:
                continue
            pairs = list(_cells_of(table, row, other[key]))
            read = [p for p in pairs if p.second[p.column.name] or not is_partial(p.second)]
            unread_cells += len(pairs) - len(read)
            cells.extend(read)
    return Comparison(
        name,
        tuple(cells),
        tuple(only_first),
        tuple(only_second),
        matched,
        sort_findings(findings),
        tuple(unread),
        unread_cells,
        frozenset(several),
        len(typed) >= FEWEST_COPIED and all(cells in texts for cells in typed),
    )


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
) -> Iterator[tuple[str, Decision]]:
    """Yield the decisions on two extractions, of a study or a batch, with the file of each."""
    for batch in second_folders(paths) if folder is None else (folder,):
        decisions, _ = read_decisions(paths, batch)
        for decision in decisions:
            if decision["agreed"] and (not study or decision["row"].startswith(f"{study} / ")):
                yield paths.relative(batch / SECOND / DECISIONS), decision


def _read_second(
    paths: ProjectPaths, folder: Path, schema: Schema
) -> tuple[dict[str, list[Row]], list[Finding]]:
    """Return the tables of a second extraction, and what could not be read."""
    tables: dict[str, list[Row]] = {}
    findings: list[Finding] = []
    for table in schema.batch:
        path = folder / SECOND / f"{table.name}.csv"
        if path.exists():
            # A refused row is an error among the findings.
            tables[table.name], _, problems = read_rows(path, paths.relative(path), table)
            findings.extend(problems)
    return tables, findings


def _cells_of(table: Table, first: Row, second: Row) -> Iterator[CellPair]:
    """Yield the compared cells of a row that at least one extractor filled."""
    for column in table.columns:
        if column.kind not in _COMPARED or column.name in table.core:
            continue
        if first[column.name] or second[column.name]:
            yield CellPair(table.name, column, first, second)


def _is_named(row: Row, key: str) -> bool:
    return key in (key_text(row), key_text(row, whole=True))


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

RECONCILIATION = Table(
    "reconciliation",
    "difference between two extractions",
    ("table", "row", "column"),
    (
        Column("table", "text", "Table of the difference.", required=True),
        Column("row", "text", "Key of the row, its parts joined by ' / '.", required=True),
        Column("column", "text", "The cell, or '(row)' for a row only one extractor has.", True),
        Column("first", "text", "Value of the first extraction; empty where the cell is empty."),
        Column("first_locator", "text", "Where the first extractor found it."),
        Column("first_by", "text", "Initials of the first extractor."),
        Column("second", "text", "Value of the second extraction."),
        Column("second_locator", "text", "Where the second extractor found it."),
        Column("second_by", "text", "Initials of the second extractor."),
        Column(
            "agreed",
            "text",
            "The agreed value; '(empty)' for an empty cell, 'keep' or 'leave out' for a row.",
        ),
        Column("decided_by", "text", "Initials of who decided."),
        Column("reason", "text", "What settled it."),
    ),
    in_batch=False,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of ``reconciliation.csv``."""

    line: int
    cells: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.cells.get(name, "")

    @property
    def place(self) -> tuple[str, str, str]:
        """Table, row and column that the decision is about."""
        return self["table"], self["row"], self["column"]


def read_decisions(paths: ProjectPaths, folder: Path) -> tuple[list[Decision], list[Finding]]:
    """Return the decisions on a batch, and what is wrong with their file; none without it."""
    path = folder / SECOND / DECISIONS
    if not path.exists():
        return [], []
    rows, _, findings = read_rows(path, paths.relative(path), RECONCILIATION)
    decisions = [
        Decision(row.line, {name: unguarded(cell) for name, cell in row.texts.items()})
        for row in rows
    ]
    return decisions, findings


def reconcile(
    paths: ProjectPaths, evidence: Evidence, also: Sequence[Path] = ()
) -> tuple[Evidence, tuple[Finding, ...]]:
    """Return the evidence with every agreed value, and an error for every open difference.

    Parameters
    ----------
    paths : ProjectPaths
    evidence : Evidence
        As read, before corrections: both extractors type what is printed, and a correction of a
        printed error comes after what they agree on.
    also : sequence of Path
        Batches outside the project that were read beside it.

    Returns
    -------
    evidence : Evidence
    findings : tuple of Finding
        ``unreconciled`` for a difference without a decision, ``reconciliation`` for a decision
        that no longer fits the tables or cannot be used.
    """
    folders = second_folders(paths, also)
    if not folders:
        return evidence, ()
    tables = {name: list(rows) for name, rows in evidence.tables.items()}
    findings: list[Finding] = []
    for folder in folders:
        comparison = compare_batch(paths, folder, evidence)
        decisions, problems = read_decisions(paths, folder)
        findings.extend((*comparison.findings, *problems))
        file = paths.relative(folder / SECOND / DECISIONS)
        findings.extend(_apply(comparison, decisions, file, tables, evidence.schema))
    return (
        replace(evidence, tables={name: tuple(rows) for name, rows in tables.items()}),
        sort_findings(findings),
    )


def _apply(
    comparison: Comparison,
    decisions: Sequence[Decision],
    file: str,
    tables: dict[str, list[Row]],
    schema: Schema,
) -> Iterator[Finding]:
    """Apply the decisions on one batch to the tables; yield what is open or does not fit."""
    made = {decision.place: decision for decision in decisions}
    wanted = {(line["table"], line["row"], line["column"]): line for line in open_rows(comparison)}
    rows = {(row.table, comparison.name_of(row)): row for row in comparison.only_second}
    for place, line in wanted.items():
        decision = made.get(place)
        if decision is None or not decision["agreed"]:
            yield _unreconciled(comparison, line, decision, file, tables)
        elif (decision["first"], decision["second"]) != (line["first"], line["second"]):
            yield _misfit(
                decision, file, "the values have changed since the decision", "decide again"
            )
        else:
            yield from _settle(decision, file, tables, rows, schema)
            yield from _doubts(decision, file)
    if comparison.copied:
        yield file_finding(
            "same_extractor",
            comparison.batch + f"/{SECOND}",
            "every row is one of the first extraction in every cell: a copy agrees with itself",
            "delete the folder and type it anew from the source (ketameta new --second)",
        )
    same = [
        line
        for line in wanted.values()
        if line["first_by"] and line["first_by"] == line["second_by"]
    ]
    if same:
        yield file_finding(
            "same_extractor",
            file,
            f"both extractions are by {same[0]['first_by']}, so they are not independent",
            "write in extracted_by who typed each of the two",
            severity="warning",
        )
    for place, decision in made.items():
        if place not in wanted:
            yield _misfit(
                decision,
                file,
                "the two extractions do not differ here (any more)",
                "delete the line, or run ketameta agreement again",
            )


def _unreconciled(
    comparison: Comparison,
    line: Mapping[str, str],
    decision: Decision | None,
    file: str,
    tables: Mapping[str, Sequence[Row]],
) -> Finding:
    """Return the error of a difference that nobody has decided."""
    first, second = line["first"] or EMPTY, line["second"] or EMPTY
    place, number = file, decision.line if decision is not None else 0
    prefix = f"{comparison.batch}/"
    for row in tables.get(line["table"], ()):
        if decision is None and row.file.startswith(prefix) and _is_named(row, line["row"]):
            place, number = row.file, row.line
    return Finding(
        "error",
        "unreconciled",
        place,
        number,
        line["column"],
        f"{first} v {second}",
        f"the two extractions differ ({line['first_locator'] or 'no locator'} v "
        f"{line['second_locator'] or 'no locator'})",
        f"run ketameta agreement and fill 'agreed' in {file}",
        f"{line['table']}: {line['row']}",
    )


def _settle(
    decision: Decision,
    file: str,
    tables: dict[str, list[Row]],
    second: Mapping[tuple[str, str], Row],
    schema: Schema,
) -> Iterator[Finding]:
    """Put an agreed value into the tables; yield why it cannot be used."""
    table, key, name = decision.place
    agreed = decision["agreed"]
    rows = tables.setdefault(table, [])
    place = next((index for index, row in enumerate(rows) if _is_named(row, key)), None)
    if name == WHOLE_ROW:
        if agreed.lower() not in (KEEP, LEAVE_OUT):
            yield _misfit(decision, file, "a row is kept or left out", f"{KEEP} or {LEAVE_OUT}")
        elif agreed.lower() == KEEP and place is None:
            rows.append(second[table, key])
        elif agreed.lower() == LEAVE_OUT and place is not None:
            del rows[place]
        return
    if place is None:
        return
    text = "" if agreed == EMPTY else agreed
    column = schema[table].column(name)
    clean, number, problems = read_cell(column, text)
    for problem in problems:
        if problem.severity == "error":
            yield _misfit(decision, file, problem.why, problem.remedy)
            return
    row = rows[place]
    texts = {other: cell for other, cell in row.texts.items() if other != name}
    numbers = {other: value for other, value in row.numbers.items() if other != name}
    if clean:
        texts[name] = clean
    if number is not None:
        numbers[name] = number
    rows[place] = replace(row, texts=texts, numbers=numbers)


def _doubts(decision: Decision, file: str) -> Iterator[Finding]:
    """Yield what a reader would ask about a decision that can be used."""
    agreed = "" if decision["agreed"] == EMPTY else decision["agreed"]
    is_row = decision["column"] == WHOLE_ROW
    if is_row or agreed in (decision["first"], decision["second"]) or decision["reason"]:
        return
    table, key, column = decision.place
    yield file_finding(
        "third_value",
        file,
        f"neither extractor typed this, and no reason stands beside it ({table}: {key}, {column})",
        "say in reason what settled it",
        severity="warning",
        line=decision.line,
        column="agreed",
        value=decision["agreed"],
    )


def _misfit(decision: Decision, file: str, why: str, remedy: str) -> Finding:
    """Return the error of a decision that does not fit."""
    table, key, column = decision.place
    return file_finding(
        "reconciliation",
        file,
        f"{why} ({table}: {key}, {column})",
        remedy,
        line=decision.line,
        column="agreed",
        value=decision["agreed"],
    )
