"""Reads a filled workbook back into the tables of a batch, row by row with a verdict."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from typing import Any

from ketameta.errors import did_you_mean
from ketameta.review.import_report import ImportedRow, ImportReport, Verdict, quoted
from ketameta.review.workbook import HELP, WORDS
from ketameta.schema import BATCH_TABLES, Table
from ketameta.textfiles import without_hidden

KIND = "workbook"
#: A sheet wider or longer than this is not one of ours.
_MOST_COLUMNS, _MOST_ROWS = 200, 100_000
#: A workbook that unpacks to more holds something else; a filled one of ours has a few million.
_LARGEST_UNPACKED = 30_000_000


def read_workbook(data: bytes, source: str) -> ImportReport:
    """Return what a workbook holds. Never raises: what cannot be read is in the report.

    Parameters
    ----------
    data : bytes
        An ``.xlsx`` file.
    source : str
        Its name, for messages.
    """
    unpacked = _unpacked(data)
    if unpacked > _LARGEST_UNPACKED:
        why = (
            f"the workbook unpacks to {unpacked:,} bytes, so it is not read; copy the filled cells "
            "alone into a new one"
        )
        return ImportReport(source, KIND, problems=(why,))
    try:
        sheets = _sheets(data)
    except Exception as error:
        # openpyxl meets a damaged file with whatever breaks first: zip, XML, keys, attributes.
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        return ImportReport(source, KIND, problems=(_unreadable(data, why),))
    rows: list[ImportedRow] = []
    problems: list[str] = []
    tables: dict[str, tuple[dict[str, str], ...]] = {}
    names = {table.name: table for table in BATCH_TABLES}
    for title, lines in sheets:
        key = title.strip().lower().replace(" ", "_")
        if key in (HELP, WORDS):
            continue
        if key not in names:
            if any(any(cell is not None for cell in line) for line in lines):
                hint = did_you_mean(key, names)
                problems.append(
                    f"sheet {quoted(title)} is not one of {', '.join(names)}, so it is not read"
                    f"{hint}"
                )
            continue
        found, wrong, cells = _read_sheet(names[key], lines)
        rows.extend(found)
        problems.extend(wrong)
        tables[key] = tuple(cells)
    if not tables:
        problems.append(f"no sheet is called {' or '.join(names)}")
    elif not rows and not problems:
        problems.append("no sheet holds a row below its header")
    return ImportReport(source, KIND, tuple(rows), tuple(problems), (), tables)


def _unpacked(data: bytes) -> int:
    """Return how large a workbook is once it is unpacked, as it says itself; 0 if it cannot say.

    No more than that is unpacked of it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return sum(item.file_size for item in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return 0


def _unreadable(data: bytes, why: str) -> str:
    """Return what to say about an archive that is no workbook we can open."""
    if b"application/vnd.oasis.opendocument" in data[:200]:
        return "this is an OpenDocument file (.ods); save it as .xlsx and import that"
    return (
        f"the workbook cannot be read ({why}): it is damaged, protected, or no .xlsx; open it and "
        "save it again as .xlsx"
    )


def _sheets(data: bytes) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """Return the name and the cells of every sheet."""
    from openpyxl import load_workbook

    with warnings.catch_warnings():
        # Extensions that openpyxl does not know, such as colours, do not concern the values.
        warnings.simplefilter("ignore")
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=False)
        try:
            return [
                (
                    sheet.title,
                    list(
                        sheet.iter_rows(values_only=True, max_col=_MOST_COLUMNS, max_row=_MOST_ROWS)
                    ),
                )
                for sheet in book.worksheets
            ]
        finally:
            book.close()


def _read_sheet(
    table: Table, lines: list[tuple[Any, ...]]
) -> tuple[list[ImportedRow], list[str], list[dict[str, str]]]:
    """Return verdicts, problems and cells of one sheet."""
    start = next((index for index, line in enumerate(lines) if _filled(line)), None)
    if start is None:
        return [], [], []
    header = [
        without_hidden(str(cell)).lower().replace(" ", "_") if cell is not None else ""
        for cell in lines[start]
    ]
    known = table.column_names
    problems = []
    names: list[str] = []
    for name in header:
        if name in known and name not in names:
            names.append(name)
            continue
        names.append("")
        if name:
            why = "stands twice" if name in known else "is not a column of this table"
            hint = "" if name in known else did_you_mean(name, known)
            problems.append(
                f"sheet {table.name}: {quoted(name)} {why}, so its cells are not read{hint}"
            )
    missing = [
        column.name for column in table.columns if column.required and column.name not in names
    ]
    if not any(names):
        problems = [f"sheet {table.name}: its first line names no column of the table"]
    elif missing:
        problems.append(f"sheet {table.name}: needed columns are missing: {', '.join(missing)}")
    rows, cells = [], []
    for line, values in enumerate(lines[start + 1 :], start + 2):
        if not _filled(values):
            continue
        row, record = _read_row(table, names, values, line)
        rows.append(row)
        if record is not None:
            cells.append(record)
    return rows, problems, cells


def _filled(values: Iterable[Any]) -> bool:
    return any(value is not None and str(value).strip() for value in values)


def _read_row(
    table: Table, names: list[str], values: tuple[Any, ...], line: int
) -> tuple[ImportedRow, dict[str, str] | None]:
    """Return the verdict on one row and its cells, if it is taken."""
    record: dict[str, str] = {}
    changes: list[str] = []
    refusals: list[str] = []
    for place, value in enumerate(values):
        name = names[place] if place < len(names) else ""
        if value is None or not str(value).strip():
            continue
        if not name:
            changes.append(f"the cell {quoted(str(value))} stands under no known column; left out")
            continue
        text, change, refusal = _cell_text(value)
        record[name] = text
        changes.extend(f"{name}: {words}" for words in change)
        refusals.extend(f"{name}: {words}" for words in refusal)
    label = ", ".join(record.get(name, "") for name in table.key if record.get(name))
    if not any(name in record for name in names if name):
        refusals.append("no cell stands under a known column")
    verdict: Verdict = "refused" if refusals else "changed" if changes else "taken"
    became = () if refusals else (f"{table.name}: {label}",)
    row = ImportedRow(line, label, verdict, tuple(refusals or changes), became, table.name)
    return row, None if refusals else record


def _cell_text(value: Any) -> tuple[str, Iterator[str] | list[str], list[str]]:
    """Return a cell as text, what was changed about it, and why it is refused."""
    if isinstance(value, bool):
        return str(value).lower(), [f"the truth value {value} became a word"], []
    if isinstance(value, (datetime, date, time)):
        text = value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
        why = f"the cell holds the date {text}; type what the source prints, as text"
        return text, [], [why]
    if isinstance(value, int):
        return str(value), [], []
    if isinstance(value, float):
        return f"{value:.15g}", [], []
    text = str(value)
    if text.startswith("=") and len(text) > 1 and text not in {"=="}:
        return text, [], [f"the cell holds the formula {quoted(text)}; type the value as printed"]
    clean = " ".join(without_hidden(text).split())
    if clean != text:
        return clean, ["spaces or invisible characters removed"], []
    return text, [], []
