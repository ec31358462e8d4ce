"""One CSV file from bytes of any kind to cells, each read as its column's type.

Rows are counted as a spreadsheet counts them: the header is 1, a blank line is a row, and a cell
with a line break in it does not add one.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ketameta.errors import did_you_mean
from ketameta.evidence.findings import (
    HIDDEN,
    SAVE_AS,
    Finding,
    Gathered,
    Severity,
    decode,
    kind_of_character,
    shown,
    wide_encoding,
    without_hidden,
)
from ketameta.evidence.schema import Column, Table
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


def read_header(
    records: Sequence[Sequence[str]], start: int, table: Table, found: Gathered
) -> tuple[int, list[str]]:
    """Return where the header stands and the column of the schema that each of its cells names.

    It is looked for from ``start``, the first filled record, on.
    """
    looked_at = range(start, min(start + LOOKED_AT, len(records)))
    index = max(looked_at, key=lambda place: _known(records[place], table))
    # A line of data may hold one word of the schema; a header holds several.
    if index != start and _known(records[index], table) < min(3, len(table.column_names)):
        index = start
    why = f"this line stands above the header, which is line {index + 1}"
    for line, record in enumerate(records[start:index], start + 1):
        if value := _filled(record):
            found.error("line_above_header", why, "delete the line", line, value=value)
    return index, _match(records[index], table, found, index + 1)


def _filled(cells: Sequence[str]) -> str:
    return ", ".join(cell for cell in cells if cell.strip())


def unnamed_columns(
    records: Sequence[Sequence[str]],
    index: int,
    rows: Sequence[tuple[int, Sequence[str]]],
    found: Gathered,
) -> None:
    """Say of columns without a name that values are lost under them, or that they hold nothing.

    ``rows`` are the line and the cells of every record below the header, which is ``index``.
    """
    blank = 0
    for place in (at for at, cell in enumerate(records[index]) if not without_hidden(cell)):
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
        found.error("column_unnamed", why, remedy, index + 1, column_letters(place), value)
    if blank:
        why = f"{plural(blank, 'empty column')} without a name"
        remedy = "delete what stands between or behind the columns (it changes nothing)"
        found.warn("column_unnamed", why, remedy, index + 1)


def column_letters(place: int) -> str:
    """Return what a spreadsheet calls a column: A for 0, Z for 25, AA for 26."""
    text, rest = "", place + 1
    while rest:
        rest, letter = divmod(rest - 1, 26)
        text = chr(ord("A") + letter) + text
    return text


@lru_cache(10_000)
def plain_name(cell: str) -> str:
    """Return a header cell in the spelling of the schema."""
    return without_hidden(cell).lower().replace(" ", "_").replace("-", "_")


def _known(cells: Sequence[str], table: Table) -> int:
    """Return how many cells name a column of the table."""
    return len({plain_name(cell) for cell in cells} & set(table.column_names))


def _match(cells: Sequence[str], table: Table, found: Gathered, line: int) -> list[str]:
    """Return the schema column of each cell, '' where it names none; say what is wrong with it."""
    known = table.column_names
    names: list[str] = []
    for plain in map(plain_name, cells):
        names.append(plain if plain in known and plain not in names else "")
    if not any(names):
        why = f"the first line names no column of {table.name}.csv; nothing of the file was read"
        remedy = "copy the header from data/README.md, or from a batch of 'ketameta new'"
        found.error("header_missing", why, remedy, line, value=_filled(cells))
        return names
    respelled = [
        (without_hidden(cell), plain_name(cell))
        for cell in cells
        if plain_name(cell) in known and cell != plain_name(cell)
    ]
    absent = [name for name in known if name not in names]
    for cell, name in zip(cells, names, strict=True):
        plain, typed = plain_name(cell), without_hidden(cell)
        if name:
            if cell != plain and len(respelled) <= _TOLD_ONE_BY_ONE:
                why = "the name is not written as in the schema"
                found.error("column_unknown", why, f"write {plain}", line, typed)
        elif plain in names:
            if plain:
                why = "the column stands twice; only the first is read"
                found.error("column_duplicated", why, "merge the two columns", line, plain)
        elif plain:
            other = OTHER_NAMES.get(plain, "")
            near = did_you_mean(plain, absent or known)
            hint = f"; did you mean {other}?" if other in absent else near
            why = f"{table.name}.csv has no such column, so its cells are not read"
            found.error("column_unknown", why, f"rename or delete the column{hint}", line, typed)
    if len(respelled) > _TOLD_ONE_BY_ONE:
        (first, right), *_ = respelled
        why = f"{len(respelled)} names are not written as in the schema (such as {first})"
        remedy = f"write them in lower case with underscores, such as {right}"
        found.error("column_unknown", why, remedy, line)
    missing = [column for column in table.columns if column.name in absent and not column.rare]
    for column in missing:
        if column.required:
            found.error("column_missing", "the column is missing", "add it", line, column.name)
    optional = ", ".join(column.name for column in missing if not column.required)
    if optional:
        why = f"columns that may stay empty are missing ({optional})"
        found.warn("column_missing", why, "add them, as in the template", line)
    return names


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
    found = Gathered(file)
    try:
        return _read(path, table, found)
    except _UnreadError as stop:
        found.error(*stop.args)
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


def _read(path: Path, table: Table, found: Gathered) -> CsvFile:
    """Return the rows of a file; what is wrong with them is added to ``found``."""
    text, problem = decode(_bytes_of(path), found.file)
    if problem is not None:
        found.add(problem)
    if not text.strip("\ufeff \t\r\n,;|"):
        why = "the file has no header and no rows"
        raise _UnreadError("empty_file", why, "write the header, or delete the file", 0)
    separator = _separator(text, table)
    if separator != ",":
        why = f"the cells are separated by {_SEPARATORS[separator]}"
        found.error("separator", why, f"{SAVE_AS}, with decimal points", 1)
    lines = max(text.count("\n"), text.count("\r"))
    if lines > MOST_LINES:
        raise _too_large(f"the file has {lines:,} lines")
    for number, typed in enumerate(io.StringIO(text, newline=None), 1):
        width = typed.count(separator) + 1
        if width > _MOST_CELLS:
            raise _too_large(f"the line has {width:,} cells", number)
        if len(typed) > _LONGEST_LINE:
            raise _too_large(f"the line has {len(typed):,} characters", number)
    records, broken, _ = csv_records(text, separator)
    if broken:
        why = f"the quotation marks do not pair up from here on ({broken}); nothing below was read"
        remedy = 'put one " at each end of a cell that contains a comma, and double those inside it'
        found.error("quotes", why, remedy, len(records) + 1)
    start = next((index for index, record in enumerate(records) if any(record)), None)
    if start is None:
        why = "the file has no header"
        raise _UnreadError("empty_file", why, "write the header as in the template", 0)
    index, header = read_header(records, start, table, found)
    blank = index
    for line in range(1, start + 1):
        why = "the line above the header is blank"
        found.warn("blank_line", why, "delete it", line)
    if not any(header):
        return CsvFile(findings=tuple(found.findings()), blank=blank)
    below = [*enumerate(records[index + 1 :], index + 2)]
    unnamed_columns(records, index, below, found)
    rows: list[tuple[int, dict[str, str]]] = []
    refused: list[tuple[int, dict[str, str]]] = []
    width = len(header)
    # Columns without a name at the end of the header are nobody's.
    needed = max(place for place, name in enumerate(header, 1) if name)
    for line, record in below:
        if found.total > MOST_MISTAKES:
            give_up(found, line)
            break
        if not any(cell.strip() for cell in record):
            blank += 1
            found.warn("blank_line", "the line is blank", "delete it", line)
            continue
        extra = [cell for cell in record[width:] if cell.strip()]
        if len(record) >= needed and not extra:
            rows.append((line, _cells(header, record)))
            if len(record) > width:
                why = (
                    f"the row has {plural(len(record) - width, 'empty cell')} more than the header"
                )
                found.warn("ragged_row", why, "delete the commas at its end", line)
            continue
        why = (
            f"the row has {plural(len(record), 'cell')} and the header {width}, so "
            "its values cannot be told apart"
        )
        hint = "a cell with a comma in it needs quotation marks" if extra else "a comma is missing"
        found.error("ragged_row", why, hint, line, value=record[0])
        keys = {name: cell for name, cell in _cells(header, record).items() if name in table.core}
        refused.append((line, keys))
    return CsvFile(tuple(rows), tuple(refused), blank, tuple(found.findings()))


def _separator(text: str, table: Table) -> str:
    """Return the separator under which one of the first lines names most columns of ``table``."""
    lines = itertools.islice(
        (line for line in io.StringIO(text, newline=None) if line.strip()), LOOKED_AT
    )
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


def give_up(found: Gathered, line: int) -> None:
    """Say that a file holds more mistakes than anybody mends at once."""
    why = f"there are more than {MOST_MISTAKES:,} mistakes above, so nothing from here on was read"
    found.error("too_many", why, "look what the file holds, and start with the first", line)


def csv_records(text: str, separator: str) -> tuple[list[list[str]], str, int]:
    """Return the records of ``text``, why quoting breaks behind them, and the lines they take."""
    records: list[list[str]] = []
    lines = 0
    before = csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for record in reader:
            records.append(record)
            lines = reader.line_num
    except csv.Error as error:
        return records, str(error), lines
    finally:
        csv.field_size_limit(before)
    return records, "", lines


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


# --- one cell: cleaned, read, or refused with the reason; it sees no other cell -------------------

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WITH_COMMA = re.compile(r"[+-]?[0-9.]*,[0-9,.]+")
_MINUSES = "\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d"
_ABSENT = {
    "na", "n/a", "n.a.", "nan", "nd", "n.d.", "nr", "n.r.", "ns", "n.s.", "none", "null", "nil",
    "-", "--", ".", "?", "x", "not reported", "not stated", "missing", "unknown",
}  # fmt: skip
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    rf"[0-9]{{1,2}}[-./ ]{_MONTH}(?:[-./ ][0-9]{{2,4}})?|{_MONTH}[-./ ][0-9]{{1,4}}"
    r"|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2,4}|[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9:]+)?",
    re.IGNORECASE,
)
#: In text, only the spreadsheet's own spelling of a range is certain to be one.
_DATE_IN_TEXT = re.compile(rf"[0-9]{{1,2}}-{_MONTH}|{_MONTH}-[0-9]{{1,4}}", re.IGNORECASE)
_RANGE = re.compile(r"[0-9.]+ ?(?:-|\u2013|to) ?[0-9.]+", re.IGNORECASE)
_SPREADSHEET_ERROR = re.compile(
    r"#(?:REF!|N/A|NAME\?|DIV/0!|VALUE!|NUM!|NULL!|SPILL!|CALC!|GETTING_DATA|BLOCKED!|FIELD!"
    r"|CONNECT!|UNKNOWN!|#+)|Err:[0-9]{3}"
)
_FORMULA = re.compile(r"=.+|[+@][A-Z]+[A-Z0-9]*\(.*\)|\+[A-Z]{1,2}[0-9]+\b.*")
_SCIENTIFIC = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE]\+?[0-9]+")
_UNUSUAL = re.compile(r"[^\x20-\x7e]|^[=#+@]|Err:|\A\s|\s\Z")
#: UTF-8 that was read as Windows-1252: two characters where one was meant.
_GARBLED = re.compile("[\u00c2\u00c3][\u0080-\u00bf\u0152-\u2122]|\u00e2\u20ac|\ufffd")
#: Nothing measured in a trial is larger; what is, is a typing error or an identifier.
_LARGEST = 1e12
#: Nothing but 0 is smaller, p-values included.
_SMALLEST = 1e-50
#: No number is written with more characters, and none of what is typed by mistake for one.
_LONGEST_NUMBER = 100
#: No note or citation is longer; what is, is a text that was pasted, or a quotation mark too few.
_LONGEST = 5_000
#: What people type where one number belongs, and what to do with it.
_ADVICE = (
    (
        re.compile(rf"{_NUMBER.pattern} ?(?:\u00b1|\+/-|\+-) ?{_NUMBER.pattern}"),
        "two numbers stand in one cell",
        "give each its own column; look whether the second is an SD or an SE",
    ),
    (
        re.compile(rf"{_NUMBER.pattern} ?[(\[] ?{_NUMBER.pattern} ?%? ?[)\]]"),
        "two numbers stand in one cell",
        "give each its own column (mean and sd, or events and percent)",
    ),
    (
        re.compile(r"[0-9]+ ?(?:/|of|out of) ?[0-9]+"),
        "a count and its total stand in one cell",
        "write the count into events and the total into n",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3}(?:[ '\u2019][0-9]{3})+(?:\.[0-9]+)?"),
        "thousands are set apart",
        "write the digits without spaces or signs between them",
    ),
    (
        re.compile(r"(?:day|week|month|hour|minute)s? ?[0-9.]+|[0-9.]+ ?[a-z%\u00b0/]+", re.I),
        "words or a unit stand in the cell",
        "write the number alone, in the unit of the column (time in days: week 6 is 42)",
    ),
    (
        re.compile(rf"'{_NUMBER.pattern}|{_NUMBER.pattern} ?[*\u2020\u2021\u00a7a-d]"),
        "a sign stands beside the number",
        "write the number alone; what a footnote says goes into the note",
    ),
)


class CellProblem(NamedTuple):
    """What is wrong with a cell, before anyone knows where it stands."""

    severity: Severity
    check: str
    why: str
    remedy: str


def read_cell(column: Column, typed: str) -> tuple[str, float | None, list[CellProblem]]:
    """Return the clean text, the number (of a number column that could be read), the problems.

    The text is without invisible characters and outer spaces: what other checks see.
    """
    if not typed:
        return "", None, []
    problems: list[CellProblem] = []
    text = typed
    if len(typed) > _LONGEST:
        too_long = CellProblem(
            "error",
            "too_long",
            f"the cell holds {len(typed):,} characters, so it is not read",
            "look for a missing quotation mark, or for a text that was pasted; short words are "
            "enough",
        )
        return shown(text), None, [too_long]
    if _UNUSUAL.search(typed):
        text = " ".join(without_hidden(typed).splitlines())
        problems.extend(_look_at_characters(column, typed))
        if _SPREADSHEET_ERROR.fullmatch(text):
            why = "the spreadsheet printed an error instead of a value"
            remedy = "type the value as printed, or leave the cell empty"
            problems.append(CellProblem("error", "spreadsheet_error", why, remedy))
            return text, None, problems
        if _FORMULA.fullmatch(text):
            remedy = "type what the source prints; ketameta does the arithmetic"
            problems.append(CellProblem("error", "formula", "the cell holds a formula", remedy))
            return text, None, problems
    if not text:
        return "", None, problems
    if column.is_number:
        if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
            return text, None, [*problems, CellProblem("error", *_no_number(text))]
        number = float(text)
        is_zero = not text.lower().partition("e")[0].strip("+-0.")
        if abs(number) <= _LARGEST and (abs(number) >= _SMALLEST or is_zero):
            return text, number, problems
        why = (
            f"the number is too {'small' if abs(number) < 1 else 'large'} to be a result of a trial"
        )
        remedy = "check the value in the source"
        problems.append(CellProblem("error", "not_a_number", why, remedy))
    elif column.kind in ("key", "list") and _SCIENTIFIC.fullmatch(text):
        why = "a spreadsheet turned the identifier into a number with an exponent"
        remedy = "format the column as text and type the identifier again"
        problems.append(CellProblem("error", "scientific_id", why, remedy))
    elif _DATE_IN_TEXT.fullmatch(text):
        severity: Severity = "error" if column.kind != "text" else "warning"
        why = "a spreadsheet may have made this date out of a range such as 3-5"
        remedy = "format the column as text and type what the source prints"
        problems.append(CellProblem(severity, "date_from_range", why, remedy))
    return text, None, problems


def _look_at_characters(column: Column, typed: str) -> Iterator[CellProblem]:
    """Yield what is wrong with single characters of the cell."""
    severity: Severity = "warning" if column.kind == "text" else "error"
    again = "type the cell again"
    for mark in sorted(set(typed) & HIDDEN.keys()):
        why = f"the cell contains a {HIDDEN[mark]} (U+{ord(mark):04X})"
        yield CellProblem(severity, "hidden_character", why, again)
    breaks = {"\n", "\r"} & set(typed)
    if breaks:
        why = "the cell contains a line break"
        yield CellProblem("warning", "line_break", why, "write it on one line")
    shown = {mark for mark in typed if mark in HIDDEN or mark in "\n\r" or mark.isprintable()}
    if control := sorted(set(typed) - shown):
        named = [f"{kind_of_character(mark)} (U+{ord(mark):04X})" for mark in control[:3]]
        why = f"the cell contains {' and '.join(named)}"
        yield CellProblem(severity, "hidden_character", why, again)
    if typed != typed.strip(" \t") and not breaks:
        why = "the cell starts or ends with a space"
        yield CellProblem("warning", "outer_space", why, "delete the space")
    if _GARBLED.search(typed):
        why = "a letter was garbled by a wrong encoding"
        yield CellProblem("warning", "garbled_text", why, "type the word again")


def _no_number(text: str) -> tuple[str, str, str]:
    """Return check, reason and remedy of a text that cannot be read as a number."""
    if len(text) > _LONGEST_NUMBER:
        why = f"the cell holds {len(text):,} characters, more than any number has"
        return "not_a_number", why, "write the number alone; a text goes into the note"
    if text.lower() in _ABSENT:
        why = "a word stands where a number belongs"
        remedy = "leave the cell empty when nothing is printed, and say why in the note"
        return "not_a_number", why, remedy
    if _WITH_COMMA.fullmatch(text):
        why = "a comma stands in a number, so that it is read as text"
        return "decimal_comma", why, "write a decimal point, and no comma between thousands"
    plain = "".join("-" if mark in _MINUSES else mark for mark in text).replace(" ", "")
    if any(mark in text for mark in _MINUSES) and _NUMBER.fullmatch(plain):
        why = "the minus is a typographic dash"
        return "minus_sign", why, f"write {plain} with a plain hyphen"
    if _DATE.fullmatch(text):
        why = "this is a date; a spreadsheet makes dates out of ranges such as 3-5"
        return "date_from_range", why, "format the column as text and type what the source prints"
    if _RANGE.fullmatch(text):
        why = "a range stands where one number belongs"
        return "not_a_number", why, "give each limit its own column"
    if text.endswith("%") and _NUMBER.fullmatch(bare := text[:-1].strip()):
        why = "a percent sign stands in a number"
        return "not_a_number", why, f"write {bare} in the percent column"
    if text[0] in "<>=~\u2264\u2265\u2248" and _NUMBER.fullmatch(bare := text[1:].strip("= ")):
        remedy = (
            f"write {bare}; the sign of a p-value goes into p_relation, any other into the note"
        )
        return "not_a_number", "a sign stands before the number", remedy
    for pattern, why, remedy in _ADVICE:
        if pattern.fullmatch(text):
            return "not_a_number", why, remedy
    remedy = "type the number as printed, without unit or sign of footnote"
    return "not_a_number", "this cannot be read as a number", remedy
