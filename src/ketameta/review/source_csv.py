"""A CSV of somebody else's format, from bytes to records. Knows no format and never raises."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ketameta.csvguard import unguarded
from ketameta.numberformat import plural
from ketameta.textfiles import decode, without_hidden

#: What a cell without a value holds, in lower case.
MISSING = frozenset({"", "na", "n/a", "nan"})
_SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class Record:
    """One row: its line as a spreadsheet counts it, and its cells by column name.

    ``extra`` says that cells stand beyond the header, ``missing`` that some are absent. Of the
    cells, those of a column that nobody asks for are told of at the end.
    """

    line: int
    cells: Cells
    extra: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True)
class SourceCsv:
    """The records of a file.

    Attributes
    ----------
    columns : tuple of str
        Names as written, without outer spaces; repeated and empty names are left out.
    records : tuple of Record
    problems, notes : tuple of str
    separator : str
    decimal_comma : bool
        Whether numbers of the file are written with a decimal comma.
    filled : int
        Rows below the header that hold something, counted before any is taken apart.
    unread : tuple of int
        Lines below a quotation mark without a partner.
    asked : set of str
        Columns of which a cell was looked at so far.
    """

    columns: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    separator: str = ","
    decimal_comma: bool = False
    filled: int = 0
    unread: tuple[int, ...] = ()
    asked: set[str] = field(default_factory=set)

    def unasked(self) -> str:
        """Return what to say about filled columns that no row was asked for; empty where none."""
        left = [
            name
            for name in self.columns
            if name not in self.asked
            and any(record.cells.peek(name).lower() not in MISSING for record in self.records)
        ]
        if not left:
            return ""
        return f"{plural(len(left), 'column')} that no row needed, not read: {', '.join(left)}"


class Cells(dict[str, str]):
    """The cells of a row by column; remembers which columns were asked for."""

    def __init__(self, cells: Mapping[str, str], asked: set[str]) -> None:
        super().__init__(cells)
        self._asked = asked

    def __getitem__(self, name: str) -> str:
        self._asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """Return a cell, and remember that its column was asked for."""
        self._asked.add(name)
        return self.peek(name, default)

    def peek(self, name: str, default: str = "") -> str:
        """Return a cell without remembering."""
        return super().get(name, default)

    def mapped(self, change: Callable[[str], str]) -> Cells:
        """Return the same cells, each changed alike."""
        return Cells({name: change(cell) for name, cell in self.items()}, self._asked)


def read_source(data: bytes) -> SourceCsv:
    """Return the records of a CSV, whatever its encoding and separator."""
    text, encoding = decode(data)
    notes = []
    if encoding is not None:
        _, word, _, _, why, _ = encoding
        notes.append(f"{why}; it was read all the same" if word != "byte_order_mark" else why)
    text = text.lstrip("\ufeff")
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        return SourceCsv(problems=("the file is empty",), notes=tuple(notes))
    separator = max(_SEPARATORS, key=first.count)
    lines, broken, unread = _lines(text, separator)
    start = next((index for index, line in enumerate(lines) if _filled(line)), None)
    if start is None:
        why = broken or "the file holds no row"
        return SourceCsv(
            problems=(why,), notes=tuple(notes), filled=len(unread), unread=tuple(unread)
        )
    header = [without_hidden(cell) for cell in lines[start]]
    below = [
        (line, cells) for line, cells in enumerate(lines[start + 1 :], start + 2) if _filled(cells)
    ]
    names: list[str] = []
    problems = [broken] if broken else []
    for name in header:
        if name and name in names:
            problems.append(f"the column {name!r} stands twice; only the first is read")
        names.append(name if name not in names else "")
    numbered = not header[0] and [cells[0].strip() for _, cells in below] == [
        str(number) for number in range(1, len(below) + 1)
    ]
    if numbered:
        notes.append("the first column has no name and numbers the rows; it was not read")
    lost = [
        line
        for line, cells in below
        for name, cell in list(zip(header, cells, strict=False))[numbered:]
        if not name and cell.strip()
    ]
    if lost:
        problems.append(
            f"{plural(len(lost), 'cell')} under a column without a name cannot be read (the first "
            f"in line {lost[0]}); name the column or empty it"
        )
    asked: set[str] = set()
    records = tuple(_record(names, cells, line, asked) for line, cells in below)
    comma = separator != "," and _commas_are_decimal(records)
    return SourceCsv(
        tuple(name for name in names if name),
        records,
        tuple(problems),
        tuple(notes),
        separator,
        comma,
        len(below) + len(unread),
        tuple(unread),
        asked,
    )


def _lines(text: str, separator: str) -> tuple[list[list[str]], str, list[int]]:
    """Return the rows of the text and, where quoting breaks, what to say about the rest.

    The rest is counted as lines, because nobody can say where its rows end.
    """
    lines: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    whole = 0
    try:
        for row in reader:
            lines.append(row)
            whole = reader.line_num
    except csv.Error as error:
        why = f"from line {len(lines) + 1} on nothing could be read: quotation marks ({error})"
        rest = list(io.StringIO(text, newline=""))[whole:]
        first = len(lines) + 1
        return lines, why, [first + place for place, line in enumerate(rest) if line.strip()]
    return lines, "", []


def _filled(cells: Iterable[str]) -> bool:
    return any(cell.strip() for cell in cells)


def _record(names: list[str], cells: list[str], line: int, asked: set[str]) -> Record:
    found = Cells(
        {name: unguarded(cell.strip()) for name, cell in zip(names, cells, strict=False) if name},
        asked,
    )
    extra = any(cell.strip() for cell in cells[len(names) :])
    return Record(line, found, extra, len(cells) < len(names))


def _commas_are_decimal(records: tuple[Record, ...]) -> bool:
    """Return whether cells such as ``27,670`` outnumber cells such as ``27.670``."""
    commas = points = 0
    for record in records[:200]:
        for cell in record.cells.values():
            if not cell or not cell.lstrip("+-")[:1].isdigit():
                continue
            plain = cell.lstrip("+-")
            commas += plain.replace(",", "", 1).isdigit() and "," in plain
            points += plain.replace(".", "", 1).isdigit() and "." in plain
    return commas > points


def as_number(cell: str, *, decimal_comma: bool) -> str | None:
    """Return a cell as a plain number without padding zeros; None where it is none.

    ``27,670`` is ``27.67`` with a decimal comma and 27670 without; ``5.27000`` is ``5.27``.
    """
    text = cell.strip().replace("\u2212", "-")
    if decimal_comma:
        text = text.replace(".", "") if "," in text else text
        text = text.replace(",", ".")
    elif "," in text:
        whole, *groups = text.lstrip("+-").split(".")[0].split(",")
        if not whole.isdigit() or not all(len(group) == 3 for group in groups):
            return None
        text = text.replace(",", "")
    try:
        value = float(text)
    except ValueError:
        return None
    plain = text.lstrip("+-").replace(".", "", 1)
    if value != value or abs(value) > 1e12 or not plain.isascii():
        return None
    if plain.isdigit():
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        text = text.lstrip("+")
        return text if text not in {"", "-", "-0"} else "0"
    return f"{value:.15g}"
