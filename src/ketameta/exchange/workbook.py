"""The templates as one spreadsheet workbook, written with drop-downs and help, and read back."""

from __future__ import annotations

import io
import posixpath
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from ketameta.errors import did_you_mean
from ketameta.evidence.reader import column_letters
from ketameta.evidence.schema import Column, Schema, Table
from ketameta.evidence.textfiles import without_hidden
from ketameta.exchange.draft import (
    ImportedRow,
    ImportReport,
    Verdict,
    line_ranges,
    quoted,
    row_name,
)
from ketameta.formatting import plural
from ketameta.paths import ProjectPaths
from ketameta.review.start import SIMULATED, example, project_schema, project_words, worked_words

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet


#: Sheets that hold no data.
HELP, WORDS = "help", "words"
#: Rows that get a drop-down; more can be added, they only lack the list.
ROWS = 500
_WIDTHS = {"citation": 40, "population": 30, "locator": 24, "note": 30, "notes": 30, "support": 40}
_STEPS = (
    "Fill the sheets from left to right: studies, arms, outcomes, contrasts, risk_of_bias.",
    "One row per trial in studies, one per arm in arms, one per arm, outcome, instrument and time "
    "in outcomes. contrasts is for what is printed as a comparison.",
    "Type what the source prints. Leave a cell empty where nothing is printed; never type a "
    "formula. Cells are text, so that 3-5 stays 3-5 and 12.10 stays 12.10.",
    "Cells with an arrow offer the words that may be used.",
    "ketameta import this-file.xlsx turns the workbook into CSV tables and says what became of "
    "every row; ketameta check then says what looks wrong.",
)


def workbook_bytes(study: str = "", paths: ProjectPaths | None = None) -> bytes:
    """Return an empty workbook as ``.xlsx``.

    Parameters
    ----------
    study : str
        Name of the trial, for the heading of the help sheet.
    paths : ProjectPaths, optional
        Where the outcomes and instruments of the project are declared; without it, those columns
        have no drop-down.
    """
    from openpyxl import Workbook

    book = Workbook()
    help_sheet = book.active
    assert help_sheet is not None
    help_sheet.title = HELP
    schema = project_schema(paths)
    lists = _write_words(book.create_sheet(WORDS), schema, project_words(paths))
    for table in schema.batch:
        _write_table(book.create_sheet(table.name), table, lists)
    book.move_sheet(WORDS, len(schema.batch))
    book[WORDS].sheet_state = "hidden"
    _write_help(help_sheet, study, schema, example(schema, worked_words(paths)))
    book.properties.creator = "ketameta"
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _write_words(
    sheet: Worksheet, schema: Schema, declared: dict[str, tuple[str, ...]]
) -> dict[Any, str]:
    """Write every list of words into a column of its own; return the range of each."""
    from openpyxl.utils import get_column_letter

    lists: dict[Any, tuple[str, ...]] = {}
    for table in schema.batch:
        for column in table.columns:
            if column.allowed:
                lists.setdefault(column.allowed, column.allowed)
    lists.update({name: words for name, words in declared.items() if words})
    ranges: dict[Any, str] = {}
    for place, (key, words) in enumerate(lists.items(), 1):
        letter = get_column_letter(place)
        for row, word in enumerate(words, 1):
            # "=" and "<=" are words of p_relation: as text, never as a formula.
            cell = sheet.cell(row, place)
            cell.value = word
            cell.data_type = "s"
        ranges[key] = f"{WORDS}!${letter}$1:${letter}${len(words)}"
    return ranges


def _write_table(sheet: Worksheet, table: Table, lists: dict[Any, str]) -> None:
    """Write the header of one table, its drop-downs and its notes."""
    from openpyxl.comments import Comment
    from openpyxl.styles import Font, PatternFill
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    for place, column in enumerate(table.usual, 1):
        letter = get_column_letter(place)
        cell = sheet.cell(1, place, column.name)
        cell.font = Font(bold=True)
        if column.required:
            cell.fill = PatternFill("solid", fgColor="DCE9F5")
        cell.comment = Comment(_meaning(column), "ketameta", height=120, width=320)
        dimension = sheet.column_dimensions[letter]
        dimension.number_format = "@"
        dimension.width = _WIDTHS.get(column.name, max(12, len(column.name) + 3))
        words = lists.get(column.allowed) if column.allowed else lists.get(column.name)
        if words is None:
            continue
        rule = DataValidation(type="list", formula1=words, allow_blank=True, showErrorMessage=True)
        rule.errorTitle = column.name
        rule.error = "Choose a word of the list. A new outcome or instrument is declared in data/."
        # A word may be declared after the workbook was made: outcomes and instruments only warn.
        rule.errorStyle = "stop" if column.allowed else "warning"
        rule.add(f"{letter}2:{letter}{ROWS + 1}")
        sheet.add_data_validation(rule)
    sheet.freeze_panes = "B2"


def _meaning(column: Column) -> str:
    """Return what a reviewer should know about a column, in a few lines."""
    parts = [column.meaning]
    if column.unit:
        parts.append(f"Unit: {column.unit}.")
    parts.append("Needed." if column.required else "May stay empty.")
    return " ".join(parts)


def _write_help(
    sheet: Worksheet,
    study: str,
    schema: Schema,
    worked: dict[str, tuple[tuple[str, str, str], ...]],
) -> None:
    """Write the steps, the worked example and the meaning of every column."""
    from openpyxl.styles import Alignment, Font

    bold, wrap = Font(bold=True), Alignment(wrap_text=True, vertical="top")
    line = 1

    def write(*cells: str, strong: bool = False) -> None:
        nonlocal line
        for place, text in enumerate(cells, 1):
            cell = sheet.cell(line, place)
            cell.value = text
            cell.data_type = "s"
            cell.alignment = wrap
            if strong:
                cell.font = bold
        line += 1

    write(f"Extraction sheet{f' for {study}' if study else ''}", strong=True)
    for number, step in enumerate(_STEPS, 1):
        write(f"{number}.", "", "", step)
    line += 1
    write("A worked row of each sheet", strong=True)
    write("", "", "", f"The trial {SIMULATED} is simulated: it does not exist.")
    write("sheet", "column", "example", "what to think of", strong=True)
    for table in schema.batch:
        for name, cell, comment in worked[table.name]:
            write(table.name, name, cell, comment)
    line += 1
    write("Every column", strong=True)
    write("sheet", "column", "needed", "meaning", "words", strong=True)
    for table in schema.batch:
        for column in table.columns:
            needed = "yes" if column.required else "may be added" if column.rare else ""
            write(table.name, column.name, needed, _meaning(column), ", ".join(column.allowed))
    for letter, width in zip("ABCDE", (16, 30, 30, 60, 60), strict=True):
        sheet.column_dimensions[letter].width = width


KIND = "workbook"
#: A workbook that unpacks to more bytes, or that holds more rows, is no extraction sheet: it is
#: refused whole.
_MOST_BYTES, _MOST_ROWS = 64_000_000, 100_000
#: What the parts of a workbook say of a sheet, under any prefix.
_ROW = re.compile(rb"""<(?:\w+:)?row\b[^>]*\sr=["'](\d+)""")
_HIDDEN_ROW = re.compile(
    rb"""<(?:\w+:)?row\b(?=[^>]*\shidden=["'](?:1|true)["'])[^>]*\sr=["'](\d+)"""
)
_MERGED = re.compile(rb"""<(?:\w+:)?mergeCell\b[^>]*\sref=["']([A-Z]+\d+:[A-Z]+\d+)["']""")
_TARGET = re.compile(rb"""\sTarget=["']([^"']+)["']""")
_COMMENT = re.compile(rb"""<(?:\w+:)?comment\b[^>]*\sref=["']([A-Z]+\d+)["']""")
#: How a workbook writes a control character into a text.
_WRITTEN_OUT = re.compile(r"_x(00[01][0-9A-Fa-f])_")

#: Cells of a row by their place, 0 for column A; empty ones are left out.
Cells = Mapping[int, Any]


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The filled rows of a sheet by line, its lines that nobody sees, and its merged areas.

    A merged area is its first and last line and its first and last column, counted from 1.
    """

    title: str
    lines: Mapping[int, Cells]
    is_hidden: bool
    hidden: tuple[int, ...]
    merged: tuple[tuple[int, int, int, int], ...]
    comments: tuple[str, ...] = ()


class _Percent(float):
    """A number that its sheet shows as a percentage, as it is shown."""


def _value(cell: Any) -> Any:
    """Return what a cell holds; a number that is shown as a percentage as shown."""
    is_number = isinstance(cell.value, (int, float)) and not isinstance(cell.value, bool)
    if is_number and "%" in str(cell.number_format):
        return _Percent(100 * cell.value)
    return cell.value


def _comments(data: bytes, sheet: str) -> tuple[str, ...]:
    """Return the cells below the header of a sheet that somebody commented on."""
    folder, _, name = sheet.rpartition("/")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = set(archive.namelist())
        links = f"{folder}/_rels/{name}.rels"
        if links not in parts:
            return ()
        targets = _TARGET.findall(archive.read(links))
        found = []
        for target in targets:
            part = posixpath.normpath(posixpath.join(folder, target.decode())).lstrip("/")
            part = target.decode().lstrip("/") if target.startswith(b"/") else part
            if b"omment" in target and part in parts:
                found += [cell.decode() for cell in _COMMENT.findall(archive.read(part))]
    return tuple(cell for cell in found if cell.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "1")


def read_workbook(data: bytes, source: str, schema: Schema) -> ImportReport:
    """Return what a workbook holds. Never raises: what cannot be read is in the report.

    Parameters
    ----------
    data : bytes
        An ``.xlsx`` file.
    source : str
        Its name, for messages.

    Notes
    -----
    Sheets whose names differ in spaces or capitals only are read one after the other. Hidden rows
    and sheets are read like others. Cells may stand in any line and column.
    """
    try:
        sheets, too_large = _sheets(data)
    except Exception as error:
        # openpyxl meets a damaged file with whatever breaks first: zip, XML, keys, attributes.
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        return ImportReport(source, KIND, problems=(_unreadable(data, why),))
    if too_large:
        return ImportReport(source, KIND, problems=(too_large,))
    rows: list[ImportedRow] = []
    problems: list[str] = []
    notes: list[str] = []
    tables: dict[str, list[dict[str, str]]] = {}
    names = {table.name: table for table in schema.batch}
    filled = 0
    read_as: dict[str, list[str]] = {}
    for sheet in sheets:
        key = without_hidden(sheet.title).lower().replace(" ", "_")
        if key in (HELP, WORDS):
            notes.append(f"sheet {quoted(sheet.title)} holds no row of the batch: not read")
            continue
        if not sheet.lines:
            continue
        if key not in names:
            why = f"the sheet is not one of {', '.join(names)}{did_you_mean(key, names)}"
            problems.append(
                f"sheet {quoted(sheet.title)} is not one of {', '.join(names)}, so its "
                f"{plural(len(sheet.lines), 'row')} cannot be read{did_you_mean(key, names)}"
            )
            filled += len(sheet.lines)
            rows += [ImportedRow(n, "", "refused", (why,), (), sheet.title) for n in sheet.lines]
            continue
        filled += len(sheet.lines) - 1
        read_as.setdefault(key, []).append(quoted(sheet.title))
        found, wrong, cells = _read_sheet(names[key], sheet)
        tables.setdefault(key, []).extend(cells)
        rows += found
        problems += wrong
        notes += _unseen(sheet)
    notes += [f"sheets {' and '.join(alike)} were both read as {key}"
              for key, alike in read_as.items() if len(alike) > 1]  # fmt: skip
    if not read_as:
        problems.append(f"no sheet is called {' or '.join(names)}")
    elif not rows and not problems:
        problems.append("no sheet holds a row below its header")
    rows, once = _entered_once(rows, tables)
    return ImportReport(
        source, KIND, tuple(rows), tuple(problems), tuple(notes), once, rows_in=filled
    )


def _entered_once(
    rows: list[ImportedRow], tables: Mapping[str, list[dict[str, str]]]
) -> tuple[list[ImportedRow], dict[str, tuple[dict[str, str], ...]]]:
    """Return the rows with those said that stand twice, cell by cell, and the tables without."""
    first: dict[tuple[object, ...], ImportedRow] = {}
    left = {name: iter(records) for name, records in tables.items()}
    kept: dict[str, list[dict[str, str]]] = {name: [] for name in tables}
    told = []
    for row in rows:
        if row.verdict != "refused":
            name = row.became[0].partition(":")[0]
            record = next(left[name])
            twin = first.setdefault((name, *sorted(record.items())), row)
            if twin is row:
                kept[name].append(record)
            else:
                where = f"line {twin.line}"
                where += f" of sheet {quoted(twin.sheet)}" if twin.sheet != row.sheet else ""
                detail = f"the same as {where}, cell by cell: entered once"
                row = replace(row, verdict="changed", details=(*row.details, detail))
        told.append(row)
    return told, {name: tuple(records) for name, records in kept.items()}


def _unreadable(data: bytes, why: str) -> str:
    """Return what to say about an archive that is no workbook we can open."""
    if b"application/vnd.oasis.opendocument" in data[:200]:
        return "this is an OpenDocument file (.ods); save it as .xlsx and import that"
    return (
        f"the workbook cannot be read ({why}): it is damaged, protected, or no .xlsx; open it and "
        "save it again as .xlsx"
    )


def _sheets(data: bytes) -> tuple[list[_Sheet], str]:
    """Return every sheet, or why the workbook is larger than any extraction sheet."""
    from openpyxl import load_workbook

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(part.file_size for part in archive.infolist())
    remedy = "nothing of it was read. Split it, or delete what is no row of the batch"
    if size > _MOST_BYTES:
        return [], f"the workbook unpacks to {size / 1e6:,.0f} MB; {remedy}"
    sheets = []
    count = 0
    with warnings.catch_warnings():
        # Extensions that openpyxl does not know, such as colours, do not concern the values.
        warnings.simplefilter("ignore")
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=False)
        try:
            for sheet in book.worksheets:
                # What a file says of its own size is not believed: cells beyond it are read too.
                sheet.reset_dimensions()
                lines: dict[int, Cells] = {}
                for line, row in enumerate(sheet.iter_rows(), 1):
                    cells = {
                        n: _value(cell) for n, cell in enumerate(row) if _is_filled(cell.value)
                    }
                    if not cells:
                        continue
                    lines[line] = cells
                    count += 1
                    if count > _MOST_ROWS:
                        return [], f"the workbook holds more than {_MOST_ROWS:,} rows; {remedy}"
                with sheet._get_source() as part:
                    text = part.read()
                order = [int(found) for found in _ROW.findall(text)]
                if order != sorted(set(order)):
                    raise ValueError(f"the rows of sheet {quoted(sheet.title)} are out of order")
                sheets.append(
                    _Sheet(
                        sheet.title,
                        lines,
                        sheet.sheet_state != "visible",
                        tuple(int(found) for found in _HIDDEN_ROW.findall(text)),
                        tuple(_area(found.decode()) for found in _MERGED.findall(text)),
                        _comments(data, sheet._worksheet_path),
                    )
                )
        finally:
            book.close()
    return sheets, ""


def _area(reference: str) -> tuple[int, int, int, int]:
    """Return first and last line and first and last column of an area such as ``A2:B4``."""
    from openpyxl.utils import range_boundaries

    left, top, right, bottom = range_boundaries(reference)
    return top, bottom, left, right


def _unseen(sheet: _Sheet) -> Iterator[str]:
    """Yield what to know about a hidden sheet and hidden rows: they were read."""
    if sheet.is_hidden:
        yield f"sheet {quoted(sheet.title)} is hidden; it was read like the others"
    if sheet.comments:
        listed = ", ".join(sheet.comments[:10]) + (" ..." if len(sheet.comments) > 10 else "")
        yield (
            f"sheet {quoted(sheet.title)}: {plural(len(sheet.comments), 'comment')} not read "
            f"({listed}); what matters belongs into the note of its row"
        )
    hidden = [line for line in sheet.hidden if line in sheet.lines]
    if hidden:
        yield (
            f"sheet {quoted(sheet.title)}: {plural(len(hidden), 'hidden row')} read like the "
            f"others (line {line_ranges(hidden)})"
        )


def _read_sheet(
    table: Table, sheet: _Sheet
) -> tuple[list[ImportedRow], list[str], list[dict[str, str]]]:
    """Return verdicts, problems and cells of one sheet."""
    start = min(sheet.lines)
    known = table.column_names
    problems = []
    names: dict[int, str] = {}
    for place, cell in sheet.lines[start].items():
        name = without_hidden(str(cell)).lower().replace(" ", "_")
        if name in known and name not in names.values():
            names[place] = name
            continue
        why = "stands twice" if name in known else "is not a column of this table"
        hint = "" if name in known else did_you_mean(name, known)
        problems.append(
            f"sheet {table.name}: {quoted(name)} {why}, so its cells are not read{hint}"
        )
    unnamed = {place for cells in sheet.lines.values() for place in cells}
    unnamed -= set(sheet.lines[start])
    if unnamed:
        listed = ", ".join(column_letters(place) for place in sorted(unnamed)[:10])
        listed += " ..." if len(unnamed) > 10 else ""
        problems.append(
            f"sheet {table.name}: cells stand in columns without a name ({listed}), so they are "
            "not read; name the column or empty it"
        )
    missing = [
        column.name
        for column in table.columns
        if column.required and column.name not in names.values()
    ]
    if not names:
        problems = [f"sheet {table.name}: its first line names no column of the table"]
    elif missing:
        problems.append(f"sheet {table.name}: needed columns are missing: {', '.join(missing)}")
    rows, cells = [], []
    for line, values in sheet.lines.items():
        if line == start:
            continue
        row, record = _read_row(table, sheet, names, values, line)
        rows.append(row)
        if record is not None:
            cells.append(record)
    return rows, problems, cells


def _is_filled(value: Any) -> bool:
    return value is not None and bool(str(value).strip())


def _read_row(
    table: Table, sheet: _Sheet, names: Mapping[int, str], values: Cells, line: int
) -> tuple[ImportedRow, dict[str, str] | None]:
    """Return the verdict on one row and its cells, if it is taken."""
    record: dict[str, str] = {}
    changes: list[str] = []
    refusals = list(_swallowed(sheet, names, line))
    for place, value in values.items():
        name = names.get(place, "")
        if not name:
            changes.append(
                f"the cell {quoted(str(value))} stands under no known column "
                f"({column_letters(place)}); left out"
            )
            continue
        text, change, refusal = _cell_text(value)
        record[name] = text
        changes.extend(f"{name}: {words}" for words in change)
        refusals.extend(f"{name}: {words}" for words in refusal)
    label = ", ".join(record.get(name, "") for name in table.core if record.get(name))
    if not record:
        refusals.append("no cell stands under a known column")
    verdict: Verdict = "refused" if refusals else "changed" if changes else "taken"
    became = () if refusals else (row_name(table.name, record),)
    row = ImportedRow(line, label, verdict, tuple(refusals or changes), became, sheet.title)
    return row, None if refusals else record


def _swallowed(sheet: _Sheet, names: Mapping[int, str], line: int) -> Iterator[str]:
    """Yield which cells of a row a merged area took, apart from its own first cell."""
    for top, bottom, left, right in sheet.merged:
        taken = [
            names[column - 1]
            for column in range(left, right + 1)
            if column - 1 in names and top <= line <= bottom and (line, column) != (top, left)
        ]
        if taken:
            area = f"{column_letters(left - 1)}{top}:{column_letters(right - 1)}{bottom}"
            yield (
                f"the merged cells {area} hide {', '.join(taken)}; unmerge them and type the value "
                "into each row"
            )


def _cell_text(value: Any) -> tuple[str, Iterator[str] | list[str], list[str]]:
    """Return a cell as text, what was changed about it, and why it is refused."""
    if isinstance(value, bool):
        return str(value).lower(), [f"the truth value {value} became a word"], []
    if isinstance(value, (datetime, date, time)):
        text = value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
        why = f"the cell holds the date {text}; type what the source prints, as text"
        return text, [], [why]
    if isinstance(value, timedelta):
        why = f"the cell holds the duration {value}; type what the source prints, as text"
        return str(value), [], [why]
    if isinstance(value, int):
        return str(value), [], []
    if isinstance(value, _Percent):
        text = f"{value:.12g}"
        return text, [f"shown as {text}% and entered as {text}"], []
    if isinstance(value, float):
        return f"{value:.15g}", [], []
    if not isinstance(value, str):
        # A formula over several cells comes as an object of its own.
        return "", [], ["the cell holds an array formula; type the value as printed"]
    text = _WRITTEN_OUT.sub(lambda found: chr(int(found[1], 16)), value)
    if text.startswith("=") and len(text) > 1 and text not in {"=="}:
        return text, [], [f"the cell holds the formula {quoted(text)}; type the value as printed"]
    clean = " ".join(without_hidden(text).split())
    if clean != value:
        return clean, ["spaces or invisible characters removed"], []
    return text, [], []
