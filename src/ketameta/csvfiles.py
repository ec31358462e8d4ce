"""One CSV file from bytes to cells, whatever the bytes are. Knows the columns' names, no types.

Rows are counted as a spreadsheet counts them: the header is 1, a blank line is a row, and a cell
with a line break in it does not add one.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ketameta.csvheader import LOOKED_AT, plain_name, read_header, unnamed_columns
from ketameta.findings import Finding, Gathered, Severity
from ketameta.numberformat import plural
from ketameta.schema import Table
from ketameta.textfiles import SAVE_AS, decode, wide_encoding

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
#: How files that are no CSV start, and what they are.
_OTHER_KINDS = {
    b"PK\x03\x04": "a spreadsheet workbook",
    b"\xd0\xcf\x11\xe0": "a spreadsheet workbook",
    b"%PDF-": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"{\\rtf": "a text document (RTF)",
    b"\x1f\x8b": "a compressed file",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML file",
}
#: Control characters that text files hold.
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0b\x0c\x1b")
#: The largest file that is read, and the longest: a hundred times the largest batch.
LARGEST_CSV = 20_000_000
MOST_LINES = 100_000
#: Nobody mends more mistakes at once: what is below them is not read.
MOST_MISTAKES = 20_000
#: The longest cell that is read at all; longer ones are refused where cells are looked at.
_LONGEST_FIELD = LARGEST_CSV
#: No line of a table has so many cells, nor so many commas in its texts.
_MOST_CELLS = 1_000
_LONGEST_LINE = 1_000_000
#: So much of a line is looked at for its separator.
_LOOKED_AT_CHARACTERS = 20_000


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
    found = Gathered()

    def report(
        severity: Severity,
        check: str,
        why: str,
        remedy: str,
        line: int = 0,
        column: str = "",
        value: str = "",
    ) -> None:
        found.add(Finding(severity, check, file, line, column, value, why, remedy))

    def too_large(why: str, line: int = 0) -> None:
        remedy = (
            f"split it into batches of at most {MOST_LINES:,} lines and {LARGEST_CSV:,} bytes, or "
            "look what it holds"
        )
        report("error", "too_large", f"{why}, so it is not read", remedy, line=line)

    try:
        size = path.stat().st_size
        if size > LARGEST_CSV:
            too_large(f"the file has {size:,} bytes")
            return CsvFile(findings=tuple(found.findings()))
        if not path.is_file() and not path.is_dir():
            report(
                "error",
                "file_unreadable",
                "this is no file of the ordinary kind",
                "put the table in its place",
            )
            return CsvFile(findings=tuple(found.findings()))
        data = path.read_bytes()
    except FileNotFoundError:
        report("error", "file_missing", "there is no such file", "create it, or check its name")
        return CsvFile(findings=tuple(found.findings()))
    except IsADirectoryError:
        report(
            "error",
            "file_unreadable",
            "this is a folder, where a file belongs",
            "move what is in it, delete it, and put the table here",
        )
        return CsvFile(findings=tuple(found.findings()))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        report(
            "error",
            "file_unreadable",
            f"the file cannot be opened ({reason})",
            "close other programs that hold it, or check what it is",
        )
        return CsvFile(findings=tuple(found.findings()))

    kind = other_kind(data)
    if kind:
        report("error", "not_csv", f"this is {kind} with the ending .csv", f"open it and {SAVE_AS}")
        return CsvFile(findings=tuple(found.findings()))

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
        return CsvFile(findings=tuple(found.findings()))

    separator = _separator(text, table)
    if separator != ",":
        report(
            "error",
            "separator",
            f"the cells are separated by {_SEPARATORS[separator]}",
            f"{SAVE_AS}, with decimal points",
            line=1,
        )
    lines = max(text.count("\n"), text.count("\r"))
    if lines > MOST_LINES:
        too_large(f"the file has {lines:,} lines")
        return CsvFile(findings=tuple(found.findings()))
    wide = _wide_line(text, separator)
    if wide is not None:
        line, much = wide
        too_large(f"the line has {much}", line)
        return CsvFile(findings=tuple(found.findings()))
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
        return CsvFile(findings=tuple(found.findings()))
    head = read_header(records, start, table, file)
    header = head.names
    for finding in head.findings:
        found.add(finding)
    blank = head.index
    for line in range(1, start + 1):
        report(
            "warning", "blank_line", "the line above the header is blank", "delete it", line=line
        )
    if not any(header):
        return CsvFile(findings=tuple(found.findings()), blank=blank)
    below = [(line, record) for line, record in enumerate(records, 1) if line > head.index + 1]
    for finding in unnamed_columns(head, below, file):
        found.add(finding)

    rows: list[tuple[int, dict[str, str]]] = []
    refused: list[tuple[int, dict[str, str]]] = []
    width = len(header)
    # Columns without a name at the end of the header are nobody's.
    needed = max(place for place, name in enumerate(header, 1) if name)
    for line, record in below:
        if found.total > MOST_MISTAKES:
            report(*given_up(line))
            break
        if not any(cell.strip() for cell in record):
            blank += 1
            report("warning", "blank_line", "the line is blank", "delete it", line=line)
            continue
        extra = [cell for cell in record[width:] if cell.strip()]
        if len(record) >= needed and not extra:
            rows.append((line, _cells(header, record)))
            if len(record) > width:
                surplus = plural(len(record) - width, "empty cell")
                report(
                    "warning",
                    "ragged_row",
                    f"the row has {surplus} more than the header",
                    "delete the commas at its end",
                    line=line,
                )
            continue
        hint = "a cell with a comma in it needs quotation marks" if extra else "a comma is missing"
        report(
            "error",
            "ragged_row",
            f"the row has {plural(len(record), 'cell')} and the header {width}, so "
            "its values cannot be told apart",
            hint,
            line=line,
            value=record[0],
        )
        keys = {name: cell for name, cell in _cells(header, record).items() if name in table.key}
        refused.append((line, keys))
    return CsvFile(tuple(rows), tuple(refused), blank, tuple(found.findings()))


def _separator(text: str, table: Table) -> str:
    """Return the separator under which one of the first lines names most columns of ``table``."""
    lines = itertools.islice((line for line in io.StringIO(text) if line.strip()), LOOKED_AT)
    first = list(lines)
    known = set(table.column_names)

    def score(separator: str) -> int:
        return max(
            sum(
                plain_name(cell.strip('" \r\n')) in known
                for cell in line[:_LOOKED_AT_CHARACTERS].split(separator)
            )
            for line in first
        )

    return max(_SEPARATORS, key=score)


def given_up(line: int) -> tuple[Severity, str, str, str, int]:
    """Return what to report where a file holds more mistakes than anybody mends at once."""
    why = f"there are more than {MOST_MISTAKES:,} mistakes above, so nothing from here on was read"
    return "error", "too_many", why, "look what the file holds, and start with the first", line


def _wide_line(text: str, separator: str) -> tuple[int, str] | None:
    """Return the first line that no table has, and what is too much of it."""
    for number, line in enumerate(io.StringIO(text), 1):
        cells = line.count(separator) + 1
        if cells > _MOST_CELLS:
            return number, f"{cells:,} cells"
        if len(line) > _LONGEST_LINE:
            return number, f"{len(line):,} characters"
    return None


def _records(text: str, separator: str) -> tuple[list[list[str]], tuple[int, str] | None]:
    """Return the records of ``text`` and, if quoting breaks, the row where and the reason."""
    records: list[list[str]] = []
    before = csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        records.extend(reader)
    except csv.Error as error:
        return records, (len(records) + 1, str(error))
    finally:
        csv.field_size_limit(before)
    return records, None


def other_kind(data: bytes) -> str:
    """Return what a file is in truth, if it is no text; nothing for text of any encoding."""
    start = data[:32].lstrip(b"\xef\xbb\xbf \r\n").lower()
    for mark, kind in _OTHER_KINDS.items():
        if start.startswith(mark.lower()):
            return kind
    sample = data[:2000]
    controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in sample)
    # UTF-16 is half zeros; anything else that is a twentieth control characters is no text.
    if wide_encoding(data) or controls < max(2, len(sample) / 20):
        return ""
    return "a file of another kind"


def _cells(header: Sequence[str], record: list[str]) -> dict[str, str]:
    """Return the cells of ``record`` by the column they stand under."""
    return {name: cell for name, cell in zip(header, record, strict=False) if name}
