"""One CSV file from bytes to cells, whatever the bytes are. Knows the columns' names, no types.

Rows are counted as a spreadsheet counts them: the header is 1, a blank line is a row, and a cell
with a line break in it does not add one.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from ketameta.errors import did_you_mean
from ketameta.findings import Finding, Severity
from ketameta.schema import Table
from ketameta.textfiles import SAVE_AS, decode, without_hidden

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}


@dataclass(frozen=True, slots=True)
class CsvFile:
    """The cells of one file, by schema column, and what was wrong with the file.

    Attributes
    ----------
    rows : tuple of (int, dict)
        Line and cells by column name, exactly as typed.
    refused : tuple of (int, dict)
        Rows whose cells do not line up with the header; the key cells only.
    blank : int
        Number of blank lines.
    findings : tuple of Finding
    """

    rows: tuple[tuple[int, dict[str, str]], ...] = ()
    refused: tuple[tuple[int, dict[str, str]], ...] = ()
    blank: int = 0
    findings: tuple[Finding, ...] = ()


def read_csv(path: Path, file: str, table: Table) -> CsvFile:
    """Return the rows of ``path`` by the columns of ``table``; every problem becomes a finding.

    Parameters
    ----------
    path : Path
    file : str
        The path as messages print it.
    table : Table
    """
    findings: list[Finding] = []

    def report(
        severity: Severity,
        check: str,
        why: str,
        remedy: str,
        line: int = 0,
        column: str = "",
        value: str = "",
    ) -> None:
        findings.append(Finding(severity, check, file, line, column, value, why, remedy))

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        report("error", "file_missing", "there is no such file", "create it, or check its name")
        return CsvFile(findings=tuple(findings))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        report(
            "error",
            "file_unreadable",
            f"the file cannot be opened ({reason})",
            "close other programs that hold it, or check what it is",
        )
        return CsvFile(findings=tuple(findings))

    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        report(
            "error",
            "not_csv",
            "this is a spreadsheet workbook with the ending .csv",
            f"open it and {SAVE_AS}",
        )
        return CsvFile(findings=tuple(findings))

    text, encoding_problem = decode(data)
    if encoding_problem is not None:
        severity, check, line, value, why, remedy = encoding_problem
        report(severity, check, why, remedy, line=line, value=value)
    if not text.strip("\ufeff \t\r\n,;|"):
        report(
            "error",
            "empty_file",
            "the file has no header and no rows",
            "write the header, or delete the file",
        )
        return CsvFile(findings=tuple(findings))

    separator = _separator(text, table)
    if separator != ",":
        report(
            "error",
            "separator",
            f"the cells are separated by {_SEPARATORS[separator]}",
            f"{SAVE_AS}, with decimal points",
            line=1,
        )
    records, broken = _records(text, separator)
    if broken is not None:
        line, detail = broken
        report(
            "error",
            "quotes",
            f"the quotation marks do not pair up from here on ({detail}); nothing below was read",
            'put one " at each end of a cell that contains a comma, and double those inside it',
            line=line,
        )

    start = next((index for index, record in enumerate(records) if any(record)), None)
    if start is None:
        report(
            "error", "empty_file", "the file has no header", "write the header as in the template"
        )
        return CsvFile(findings=tuple(findings))
    header, header_findings = _match_header(records[start], table, file, start + 1)
    findings.extend(header_findings)
    blank = start
    for line in range(1, start + 1):
        report(
            "warning", "blank_line", "the line above the header is blank", "delete it", line=line
        )
    if not any(header):
        return CsvFile(findings=tuple(findings), blank=blank)

    rows: list[tuple[int, dict[str, str]]] = []
    refused: list[tuple[int, dict[str, str]]] = []
    width = len(header)
    for line, record in enumerate(records[start + 1 :], start + 2):
        if not any(cell.strip() for cell in record):
            blank += 1
            report("warning", "blank_line", "the line is blank", "delete it", line=line)
            continue
        extra = [cell for cell in record[width:] if cell.strip()]
        if len(record) == width or (len(record) > width and not extra):
            rows.append((line, _cells(header, record)))
            if len(record) > width:
                report(
                    "warning",
                    "ragged_row",
                    f"the row has {len(record) - width} empty cells more than the header",
                    "delete the commas at its end",
                    line=line,
                )
            continue
        hint = "a cell with a comma in it needs quotation marks" if extra else "a comma is missing"
        report(
            "error",
            "ragged_row",
            f"the row has {len(record)} cells and the header {width}, so "
            "its values cannot be told apart",
            hint,
            line=line,
            value=record[0],
        )
        keys = {name: cell for name, cell in _cells(header, record).items() if name in table.key}
        refused.append((line, keys))
    return CsvFile(tuple(rows), tuple(refused), blank, tuple(findings))


def _separator(text: str, table: Table) -> str:
    """Return the separator under which the first line names most columns of ``table``."""
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    known = set(table.column_names)

    def score(separator: str) -> int:
        return sum(_plain_name(cell.strip('" \r\n')) in known for cell in first.split(separator))

    return max(_SEPARATORS, key=score)


def _records(text: str, separator: str) -> tuple[list[list[str]], tuple[int, str] | None]:
    """Return the records of ``text`` and, if quoting breaks, the row where and the reason."""
    records: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        records.extend(reader)
    except csv.Error as error:
        return records, (len(records) + 1, str(error))
    return records, None


def _plain_name(cell: str) -> str:
    """Return a header cell in the spelling of the schema."""
    return without_hidden(cell).lower().replace(" ", "_").replace("-", "_")


def _match_header(
    cells: list[str], table: Table, file: str, line: int
) -> tuple[list[str], list[Finding]]:
    """Return the schema column of each cell ('' where none) and what is wrong with the header."""
    findings: list[Finding] = []
    known = table.column_names
    names: list[str] = []

    def report(severity: Severity, check: str, value: str, why: str, remedy: str) -> None:
        findings.append(Finding(severity, check, file, line, value, "", why, remedy))

    for cell in cells:
        plain = _plain_name(cell)
        if plain in names:
            report(
                "error",
                "column_duplicated",
                plain,
                "the column stands twice; only the first is read",
                "merge the two columns",
            )
            names.append("")
        elif plain in known:
            if cell != plain:
                report(
                    "error",
                    "column_unknown",
                    without_hidden(cell),
                    "the name is not written as in the schema",
                    f"write {plain}",
                )
            names.append(plain)
        else:
            names.append("")
            if not plain:
                continue
            absent = [name for name in known if name not in {_plain_name(item) for item in cells}]
            report(
                "error",
                "column_unknown",
                without_hidden(cell),
                f"{table.name}.csv has no such column, so its cells are not read",
                f"rename or delete the column{did_you_mean(plain, absent or known)}",
            )
    if not any(names):
        return names, [
            Finding(
                "error",
                "header_missing",
                file,
                line,
                "",
                ", ".join(cells),
                f"the first line names no column of {table.name}.csv",
                "copy the header from the template",
            )
        ]
    missing = [column for column in table.columns if column.name not in names]
    for column in missing:
        if column.required:
            report("error", "column_missing", column.name, "the column is missing", "add it")
    optional = ", ".join(column.name for column in missing if not column.required)
    if optional:
        why = f"columns that may stay empty are missing ({optional})"
        report("warning", "column_missing", "", why, "add them, as in the template")
    return names, findings


def _cells(header: list[str], record: list[str]) -> dict[str, str]:
    """Return the cells of ``record`` by the column they stand under."""
    return {name: cell for name, cell in zip(header, record, strict=False) if name}
