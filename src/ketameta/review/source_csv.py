"""A CSV of somebody else's format, from bytes to records. Knows no format and never raises."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ketameta.csvguard import unguarded
from ketameta.numberformat import plural
from ketameta.textfiles import decode, without_hidden

_SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class Record:
    """One row: its line as a spreadsheet counts it, and its cells by column name.

    ``extra`` says that cells stand beyond the header, ``missing`` that some are absent.
    """

    line: int
    cells: Mapping[str, str]
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
    """

    columns: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    separator: str = ","
    decimal_comma: bool = False


def read_source(data: bytes) -> SourceCsv:
    """Return the records of a CSV, whatever its encoding and separator."""
    text, encoding = decode(data)
    notes = []
    if encoding is not None:
        _, word, _, _, why, _ = encoding
        notes.append(f"{why}; it was read all the same" if word != "byte_order_mark" else why)
    text = text.lstrip("\ufeff")
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    if not first:
        return SourceCsv(problems=("the file is empty",), notes=tuple(notes))
    separator = max(_SEPARATORS, key=first.count)
    lines, broken = _lines(text, separator)
    start = next((index for index, line in enumerate(lines) if _filled(line)), None)
    if start is None:
        why = broken or "the file holds no row"
        return SourceCsv(problems=(why,), notes=tuple(notes))
    header = [without_hidden(cell) for cell in lines[start]]
    names: list[str] = []
    problems = [broken] if broken else []
    for name in header:
        if name and name in names:
            problems.append(f"the column {name!r} stands twice; only the first is read")
        names.append(name if name not in names else "")
    lost = [
        line
        for line, cells in enumerate(lines[start + 1 :], start + 2)
        for name, cell in zip(header, cells, strict=False)
        if not name and cell.strip()
    ]
    if lost:
        problems.append(
            f"{plural(len(lost), 'cell')} under a column without a name cannot be read (the first "
            f"in line {lost[0]}); name the column or empty it"
        )
    records = tuple(
        _record(names, cells, line)
        for line, cells in enumerate(lines[start + 1 :], start + 2)
        if _filled(cells)
    )
    comma = separator != "," and _commas_are_decimal(records)
    return SourceCsv(
        tuple(name for name in names if name),
        records,
        tuple(problems),
        tuple(notes),
        separator,
        comma,
    )


def _lines(text: str, separator: str) -> tuple[list[list[str]], str]:
    """Return the rows of the text and, where quoting breaks, what to say about the rest."""
    lines: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        lines.extend(reader)
    except csv.Error as error:
        why = f"from line {len(lines) + 1} on nothing could be read: quotation marks ({error})"
        return lines, why
    return lines, ""


def _filled(cells: Iterable[str]) -> bool:
    return any(cell.strip() for cell in cells)


def _record(names: list[str], cells: list[str], line: int) -> Record:
    found = {
        name: unguarded(cell.strip()) for name, cell in zip(names, cells, strict=False) if name
    }
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
