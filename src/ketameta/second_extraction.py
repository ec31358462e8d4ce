"""Two independent extractions of the same trials, side by side.

The first extraction is the batch; the second stands in its folder ``second``. It may be partial: a
row whose note begins with ``partial:`` holds only the cells that were read again, and the rows of
its trial that are not there were not read again. What was agreed on is in ``reconciliation``.
Computes no statistic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ketameta.evidence import Evidence, Row
from ketameta.extraction import SECOND, batch_folders, is_link, read_rows
from ketameta.findings import Finding, sort_findings
from ketameta.paths import ProjectPaths
from ketameta.schema import TABLES, Column, Schema, Table

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


def key_text(row: Row) -> str:
    """Return the key of a row as the reconciliation table writes it."""
    parts = []
    for name in TABLES[row.table].key:
        number = row.number(name)
        parts.append(f"{number:g}" if number is not None else row[name] or "-")
    return " / ".join(parts)


def is_partial(row: Row) -> bool:
    """Return whether a row of the second extraction holds only the cells that were read again."""
    return row["note"].lower().startswith(PARTIAL)


def same_cell(column: str, first: Row, second: Row) -> bool:
    """Return whether a cell is the same in two rows."""
    one, two = first.number(column), second.number(column)
    if one is not None and two is not None:
        return one == two
    return first[column].lower() == second[column].lower()


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
    in_part = {row["study_id"] for rows in second.values() for row in rows if is_partial(row)}
    cells: list[CellPair] = []
    only_first: list[Row] = []
    only_second: list[Row] = []
    unread: list[Row] = []
    matched = unread_cells = 0
    for table in first.schema.batch:
        if table.name not in second:
            continue
        mine = {
            key_text(row): row
            for row in first.rows(table.name)
            if row.file == f"{name}/{table.name}.csv" and row["study_id"] in studies
        }
        other = {key_text(row): row for row in second[table.name]}
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
    )


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
        if column.kind not in _COMPARED or column.name in table.key:
            continue
        if first[column.name] or second[column.name]:
            yield CellPair(table.name, column, first, second)


def open_rows(comparison: Comparison) -> list[dict[str, str]]:
    """Return one undecided line of the reconciliation table per difference."""
    lines = [
        _line(pair.table, key_text(pair.first), pair.column.name, pair.first, pair.second)
        for pair in comparison.differences
    ]
    lines += [_line(r.table, key_text(r), WHOLE_ROW, r, None) for r in comparison.only_first]
    lines += [_line(r.table, key_text(r), WHOLE_ROW, None, r) for r in comparison.only_second]
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
