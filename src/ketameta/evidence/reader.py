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

from ketameta.errors import did_you_mean
from ketameta.evidence.findings import Finding, Gathered, Severity, file_finding
from ketameta.evidence.schema import Table
from ketameta.evidence.textfiles import SAVE_AS, decode, wide_encoding, without_hidden
from ketameta.formatting import plural

#: So many lines from the first filled one on are looked at for the header.
LOOKED_AT = 6
#: More columns than this in another spelling are told in one message.
_TOLD_ONE_BY_ONE = 3
#: What spreadsheets and papers call our columns.
OTHER_NAMES = {
    other: name
    for name, others in {
        "sd": ("std", "stdev", "std_dev", "standard_deviation"),
        "se": ("sem", "std_error", "standard_error"),
        "ci_low": ("lower", "lower_ci", "ci_lower"),
        "ci_high": ("upper", "upper_ci", "ci_upper"),
        "n": ("total", "sample_size"),
        "p": ("p_value", "pvalue"),
        "study_id": ("study", "trial"),
        "arm_id": ("arm", "group"),
        "comparator_arm_id": ("comparator",),
        "instrument": ("scale", "measure"),
        "time_days": ("time", "day", "days"),
        "locator": ("page",),
        "note": ("notes", "comment", "comments"),
    }.items()
    for other in others
}


@dataclass(frozen=True, slots=True)
class Header:
    """Where the header stands and which column each of its cells names.

    Attributes
    ----------
    index : int
        Position of the header among the records, 0 for the first.
    names : tuple of str
        The schema column of each cell; empty where it names none.
    unnamed : tuple of int
        Positions of cells without a name.
    findings : tuple of Finding
    """

    index: int
    names: tuple[str, ...]
    unnamed: tuple[int, ...]
    findings: tuple[Finding, ...]


def read_header(records: Sequence[Sequence[str]], start: int, table: Table, file: str) -> Header:
    """Return the header of ``records``, looked for from ``start``, the first filled one, on."""
    looked_at = range(start, min(start + LOOKED_AT, len(records)))
    index = max(looked_at, key=lambda place: _known(records[place], table))
    # A line of data may hold one word of the schema; a header holds several.
    if index != start and _known(records[index], table) < min(3, len(table.column_names)):
        index = start
    why = f"this line stands above the header, which is line {index + 1}"
    above = [
        file_finding("line_above_header", file, why, "delete the line", line=line + 1,
                     value=", ".join(cell for cell in records[line] if cell.strip()))
        for line in range(start, index)
        if any(cell.strip() for cell in records[line])
    ]  # fmt: skip
    names, findings = _match(records[index], table, file, index + 1)
    unnamed = tuple(place for place, cell in enumerate(records[index]) if not without_hidden(cell))
    return Header(index, tuple(names), unnamed, (*above, *findings))


def unnamed_columns(
    header: Header, rows: Sequence[tuple[int, Sequence[str]]], file: str
) -> tuple[Finding, ...]:
    """Return what to say about columns without a name: values lost under them, or nothing there.

    ``rows`` are the line and the cells of every record below the header.
    """
    findings: list[Finding] = []
    blank = 0
    line = header.index + 1
    for place in header.unnamed:
        filled = [
            (number, cells[place])
            for number, cells in rows
            if place < len(cells) and cells[place].strip()
        ]
        if not filled:
            blank += 1
            continue
        first, value = filled[0]
        where = f"line {first}" if len(filled) == 1 else f"line {first} and {len(filled) - 1} more"
        why = f"the column has no name, so its cells are not read ({where})"
        remedy = "write the name of the column above it, or move the cells"
        letters = column_letters(place)
        findings.append(Finding("error", "column_unnamed", file, line, letters, value, why, remedy))
    if blank:
        why = f"{plural(blank, 'empty column')} without a name"
        remedy = "delete what stands between or behind the columns (it changes nothing)"
        findings.append(
            file_finding("column_unnamed", file, why, remedy, severity="warning", line=line)
        )
    return tuple(findings)


def column_letters(place: int) -> str:
    """Return what a spreadsheet calls a column: A for 0, Z for 25, AA for 26."""
    text, rest = "", place + 1
    while rest:
        rest, letter = divmod(rest - 1, 26)
        text = chr(ord("A") + letter) + text
    return text


def plain_name(cell: str) -> str:
    """Return a header cell in the spelling of the schema."""
    return without_hidden(cell).lower().replace(" ", "_").replace("-", "_")


def _known(cells: Sequence[str], table: Table) -> int:
    """Return how many cells name a column of the table."""
    return len({plain_name(cell) for cell in cells} & set(table.column_names))


def _match(
    cells: Sequence[str], table: Table, file: str, line: int
) -> tuple[list[str], list[Finding]]:
    """Return the schema column of each cell ('' where none) and what is wrong with the header."""
    findings: list[Finding] = []
    known = table.column_names
    present = {plain_name(cell) for cell in cells}
    names: list[str] = []
    respelled = [
        (without_hidden(cell), plain_name(cell))
        for cell in cells
        if plain_name(cell) in known and cell != plain_name(cell)
    ]

    def report(severity: Severity, check: str, value: str, why: str, remedy: str) -> None:
        findings.append(Finding(severity, check, file, line, value, "", why, remedy))

    for cell in cells:
        plain = plain_name(cell)
        again = bool(plain) and plain in names
        names.append(plain if plain in known and not again else "")
        if again:
            why = "the column stands twice; only the first is read"
            report("error", "column_duplicated", plain, why, "merge the two columns")
        elif plain in known:
            if cell != plain and len(respelled) <= _TOLD_ONE_BY_ONE:
                why = "the name is not written as in the schema"
                report("error", "column_unknown", without_hidden(cell), why, f"write {plain}")
        elif plain:
            absent = [name for name in known if name not in present]
            other = OTHER_NAMES.get(plain, "")
            near = did_you_mean(plain, absent or known)
            hint = f"; did you mean {other}?" if other in absent else near
            why = f"{table.name}.csv has no such column, so its cells are not read"
            remedy = f"rename or delete the column{hint}"
            report("error", "column_unknown", without_hidden(cell), why, remedy)
    if not any(names):
        why = f"the first line names no column of {table.name}.csv; nothing of the file was read"
        remedy = "copy the header from data/README.md, or from a batch of 'ketameta new'"
        value = ", ".join(cell for cell in cells if cell.strip())
        return names, [Finding("error", "header_missing", file, line, "", value, why, remedy)]
    if len(respelled) > _TOLD_ONE_BY_ONE:
        (first, right), *_ = respelled
        why = f"{len(respelled)} names are not written as in the schema (such as {first})"
        remedy = f"write them in lower case with underscores, such as {right}"
        report("error", "column_unknown", "", why, remedy)
    missing = [c for c in table.columns if c.name not in names and not c.rare]
    for column in missing:
        if column.required:
            report("error", "column_missing", column.name, "the column is missing", "add it")
    optional = ", ".join(column.name for column in missing if not column.required)
    if optional:
        why = f"columns that may stay empty are missing ({optional})"
        report("warning", "column_missing", "", why, "add them, as in the template")
    return names, findings


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
_LONGEST_LINE = 2_000_000
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


class _UnreadError(Exception):
    """Why a file is not read: check, reason, remedy, and the line."""


def read_csv(path: Path, file: str, table: Table) -> CsvFile:
    """Return the rows of ``path`` by the columns of ``table``; every problem becomes a finding.

    ``file`` is the path as messages print it.
    """
    found = Gathered()
    try:
        return _read(path, file, table, found)
    except _UnreadError as stop:
        check, why, remedy, line = stop.args
        found.add(file_finding(check, file, why, remedy, line=line))
        return CsvFile(findings=tuple(found.findings()))


def _too_large(why: str, line: int = 0) -> _UnreadError:
    remedy = (
        f"split it into batches of at most {MOST_LINES:,} lines and {LARGEST_CSV:,} bytes, or "
        "look what it holds"
    )
    return _UnreadError("too_large", f"{why}, so it is not read", remedy, line)


def _bytes_of(path: Path) -> bytes:
    """Return the content of a file that can hold a table."""
    unreadable = "file_unreadable"
    try:
        size = path.stat().st_size
        if size > LARGEST_CSV:
            raise _too_large(f"the file has {size:,} bytes")
        if not path.is_file() and not path.is_dir():
            why = "this is no file of the ordinary kind"
            raise _UnreadError(unreadable, why, "put the table in its place", 0)
        data = path.read_bytes()
    except FileNotFoundError:
        why = "there is no such file"
        raise _UnreadError("file_missing", why, "create it, or check its name", 0) from None
    except IsADirectoryError:
        why = "this is a folder, where a file belongs"
        remedy = "move what is in it, delete it, and put the table here"
        raise _UnreadError(unreadable, why, remedy, 0) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        why = f"the file cannot be opened ({reason})"
        remedy = "close other programs that hold it, or check what it is"
        raise _UnreadError(unreadable, why, remedy, 0) from None
    kind = other_kind(data)
    if kind:
        why = f"this is {kind} with the ending .csv"
        raise _UnreadError("not_csv", why, f"open it and {SAVE_AS}", 0)
    return data


def _read(path: Path, file: str, table: Table, found: Gathered) -> CsvFile:
    """Return the rows of a file; what is wrong with them is added to ``found``."""

    def report(
        severity: Severity, check: str, why: str, remedy: str, line: int = 0, value: str = ""
    ) -> None:
        found.add(Finding(severity, check, file, line, "", value, why, remedy))

    text, problem = decode(_bytes_of(path), file)
    if problem is not None:
        found.add(problem)
    if not text.strip("\ufeff \t\r\n,;|"):
        why = "the file has no header and no rows"
        raise _UnreadError("empty_file", why, "write the header, or delete the file", 0)
    separator = _separator(text, table)
    if separator != ",":
        why = f"the cells are separated by {_SEPARATORS[separator]}"
        report("error", "separator", why, f"{SAVE_AS}, with decimal points", 1)
    lines = max(text.count("\n"), text.count("\r"))
    if lines > MOST_LINES:
        raise _too_large(f"the file has {lines:,} lines")
    wide = _wide_line(text, separator)
    if wide is not None:
        raise _too_large(f"the line has {wide[1]}", wide[0])
    records, broken = _records(text, separator)
    if broken is not None:
        line, detail = broken
        why = f"the quotation marks do not pair up from here on ({detail}); nothing below was read"
        remedy = 'put one " at each end of a cell that contains a comma, and double those inside it'
        report("error", "quotes", why, remedy, line)
    start = next((index for index, record in enumerate(records) if any(record)), None)
    if start is None:
        why = "the file has no header"
        raise _UnreadError("empty_file", why, "write the header as in the template", 0)
    head = read_header(records, start, table, file)
    header = head.names
    for finding in head.findings:
        found.add(finding)
    blank = head.index
    for line in range(1, start + 1):
        why = "the line above the header is blank"
        report("warning", "blank_line", why, "delete it", line)
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
            report("warning", "blank_line", "the line is blank", "delete it", line)
            continue
        extra = [cell for cell in record[width:] if cell.strip()]
        if len(record) >= needed and not extra:
            rows.append((line, _cells(header, record)))
            if len(record) > width:
                why = (
                    f"the row has {plural(len(record) - width, 'empty cell')} more than the header"
                )
                report("warning", "ragged_row", why, "delete the commas at its end", line)
            continue
        why = (
            f"the row has {plural(len(record), 'cell')} and the header {width}, so "
            "its values cannot be told apart"
        )
        hint = "a cell with a comma in it needs quotation marks" if extra else "a comma is missing"
        report("error", "ragged_row", why, hint, line, record[0])
        keys = {name: cell for name, cell in _cells(header, record).items() if name in table.core}
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
