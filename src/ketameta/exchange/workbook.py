"""The templates as one spreadsheet workbook, written with drop-downs and help, and read back."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from ketameta.errors import did_you_mean
from ketameta.evidence.findings import without_hidden
from ketameta.evidence.reader import column_letters
from ketameta.evidence.schema import Column, Schema, Table
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
    from openpyxl.cell.cell import Cell
    from openpyxl.worksheet.worksheet import Worksheet

    #: The filled cells of a sheet by line and column, both counted from 1.
    Lines = Mapping[int, Mapping[int, Cell]]
    #: The range of each list of words: those of a column, or what a project declares.
    Lists = Mapping[str | tuple[str, ...], str]


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
    """Return an empty workbook as ``.xlsx``, with the trial in the heading of its help sheet.

    Outcomes and instruments have a drop-down where the project that declares them is named.
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


def _write_words(sheet: Worksheet, schema: Schema, declared: dict[str, tuple[str, ...]]) -> Lists:
    """Write every list of words into a column of its own; return the range of each."""
    from openpyxl.utils import get_column_letter

    lists: dict[str | tuple[str, ...], tuple[str, ...]] = {
        column.allowed: column.allowed
        for table in schema.batch
        for column in table.columns
        if column.allowed
    }
    lists |= {name: words for name, words in declared.items() if words}
    ranges: dict[str | tuple[str, ...], str] = {}
    for place, (key, words) in enumerate(lists.items(), 1):
        letter = get_column_letter(place)
        for row, word in enumerate(words, 1):
            # "=" and "<=" are words of p_relation: as text, never as a formula.
            cell = sheet.cell(row, place)
            cell.value = word
            cell.data_type = "s"
        ranges[key] = f"{WORDS}!${letter}$1:${letter}${len(words)}"
    return ranges


def _write_table(sheet: Worksheet, table: Table, lists: Lists) -> None:
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
_ROW = re.compile(rb"""<(?:\w+:)?row\b[^>]*\sr=["'](\d+)""")
#: How a workbook writes a control character into a text.
_WRITTEN_OUT = re.compile(r"_x(00[01][0-9A-Fa-f])_")


def read_workbook(data: bytes, source: str, schema: Schema) -> ImportReport:
    """Return what a workbook holds. Never raises: what cannot be read is in the report.

    Sheets whose names differ in spaces or capitals only are read one after the other. Hidden rows
    and sheets are read like others. Cells may stand in any line and column.
    """
    try:
        sheets, too_large = _sheets(data)
    except Exception as error:
        # openpyxl meets a damaged file with whatever breaks first: zip, XML, keys, attributes.
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        said = (
            f"the workbook cannot be read ({why}): it is damaged, protected, or no .xlsx; open it "
            "and save it again as .xlsx"
        )
        if b"application/vnd.oasis.opendocument" in data[:200]:
            said = "this is an OpenDocument file (.ods); save it as .xlsx and import that"
        return ImportReport(source, KIND, problems=(said,))
    if too_large:
        return ImportReport(source, KIND, problems=(too_large,))
    rows: list[ImportedRow] = []
    problems: list[str] = []
    notes: list[str] = []
    tables: dict[str, list[dict[str, str]]] = {}
    names = {table.name: table for table in schema.batch}
    filled = 0
    first: dict[tuple[object, ...], ImportedRow] = {}
    read_as: dict[str, list[str]] = {}
    for sheet, lines in sheets:
        key = without_hidden(sheet.title).lower().replace(" ", "_")
        if key in (HELP, WORDS):
            notes.append(f"sheet {quoted(sheet.title)} holds no row of the batch: not read")
            continue
        if not lines:
            continue
        if key not in names:
            why = f"the sheet is not one of {', '.join(names)}{did_you_mean(key, names)}"
            problems.append(
                f"sheet {quoted(sheet.title)} is not one of {', '.join(names)}, so its "
                f"{plural(len(lines), 'row')} cannot be read{did_you_mean(key, names)}"
            )
            filled += len(lines)
            rows += [ImportedRow(n, "", "refused", (why,), (), sheet.title) for n in lines]
            continue
        filled += len(lines) - 1
        read_as.setdefault(key, []).append(quoted(sheet.title))
        found, wrong = _read_sheet(names[key], sheet, lines)
        tables.setdefault(key, [])
        for row, record in found:
            if record is not None:
                twin = first.setdefault((key, *sorted(record.items())), row)
                if twin is row:
                    tables[key].append(record)
                else:
                    where = f"line {twin.line}"
                    where += f" of sheet {quoted(twin.sheet)}" if twin.sheet != row.sheet else ""
                    detail = f"the same as {where}, cell by cell: entered once"
                    row = replace(row, verdict="changed", details=(*row.details, detail))
            rows.append(row)
        for line in wrong:
            (notes if line.endswith("holds nothing") else problems).append(line)
        notes += _unseen(sheet, lines)
    notes += [f"sheets {' and '.join(alike)} were both read as {key}"
              for key, alike in read_as.items() if len(alike) > 1]  # fmt: skip
    if not read_as:
        problems.append(f"no sheet is called {' or '.join(names)}")
    elif not rows and not problems:
        problems.append("no sheet holds a row below its header")
    once = {name: tuple(records) for name, records in tables.items()}
    return ImportReport(
        source, KIND, tuple(rows), tuple(problems), tuple(notes), once, rows_in=filled
    )


def _sheets(data: bytes) -> tuple[list[tuple[Worksheet, Lines]], str]:
    """Return every sheet, or why the workbook is larger than any extraction sheet."""
    from openpyxl.reader.excel import ExcelReader
    from openpyxl.worksheet.worksheet import Worksheet

    remedy = "nothing of it was read. Split it, or delete what is no row of the batch"
    with zipfile.ZipFile(io.BytesIO(data)) as archive, warnings.catch_warnings():
        size = sum(part.file_size for part in archive.infolist())
        if size > _MOST_BYTES:
            return [], f"the workbook unpacks to {size / 1e6:,.0f} MB; {remedy}"
        # Extensions that openpyxl does not know, such as colours, do not concern the values.
        warnings.simplefilter("ignore")
        reader = ExcelReader(io.BytesIO(data), data_only=False)
        reader.read()
        for item, part in reader.parser.find_sheets():
            order = [int(found) for found in _ROW.findall(archive.read(part.target))]
            if order != sorted(set(order)):
                raise ValueError(f"the rows of sheet {quoted(item.name)} are out of order")
    sheets = [(s, _lines(s)) for s in reader.wb.worksheets if isinstance(s, Worksheet)]
    if sum(len(lines) for _, lines in sheets) > _MOST_ROWS:
        return [], f"the workbook holds more than {_MOST_ROWS:,} rows; {remedy}"
    return sheets, ""


def _lines(sheet: Worksheet) -> Lines:
    """Return the lines of a sheet that hold something, or whose cells a merged area took."""
    lines: dict[int, dict[int, Cell]] = {}
    for (line, column), cell in sorted(sheet._cells.items()):
        if cell.value is not None and str(cell.value).strip():
            lines.setdefault(line, {})[column] = cell
    for area in sheet.merged_cells.ranges:
        if area.min_row in lines and area.min_row > min(lines):
            for line in range(area.min_row, min(area.max_row, area.min_row + _MOST_ROWS) + 1):
                lines.setdefault(line, {})
    return dict(sorted(lines.items()))


def _unseen(sheet: Worksheet, lines: Lines) -> Iterator[str]:
    """Yield what to know about a hidden sheet, hidden rows and comments."""
    if sheet.sheet_state != "visible":
        yield f"sheet {quoted(sheet.title)} is hidden; it was read like the others"
    told = [c.coordinate for c in sheet._cells.values() if c.comment and c.row > min(lines)]
    if told:
        listed = ", ".join(told[:10]) + (" ..." if len(told) > 10 else "")
        yield (
            f"sheet {quoted(sheet.title)}: {plural(len(told), 'comment')} not read ({listed}); "
            "what matters belongs into the note of its row"
        )
    hidden = [n for n in lines if n in sheet.row_dimensions and sheet.row_dimensions[n].hidden]
    if hidden:
        yield (
            f"sheet {quoted(sheet.title)}: {plural(len(hidden), 'hidden row')} read like the "
            f"others (line {line_ranges(hidden)})"
        )


def _read_sheet(
    table: Table, sheet: Worksheet, lines: Lines
) -> tuple[list[tuple[ImportedRow, dict[str, str] | None]], list[str]]:
    """Return the verdicts and cells of one sheet, and its problems."""
    start, *below = lines
    known = table.column_names
    problems = []
    names: dict[int, str] = {}
    used = {column for line in below for column in lines[line]}
    for column, cell in lines[start].items():
        name = without_hidden(str(cell.value)).lower().replace(" ", "_")
        if name in known and name not in names.values():
            names[column] = name
            continue
        why = "stands twice" if name in known else "is not a column of this table"
        hint = "" if name in known else did_you_mean(name, known)
        read = f"so its cells are not read{hint}" if column in used else "and holds nothing"
        problems.append(f"sheet {table.name}: {quoted(name)} {why}, {read}")
    unnamed = sorted(used - set(lines[start]))
    if unnamed:
        listed = ", ".join(column_letters(column - 1) for column in unnamed[:10])
        listed += " ..." if len(unnamed) > 10 else ""
        problems.append(
            f"sheet {table.name}: cells stand in columns without a name ({listed}), so they are "
            "not read; name the column or empty it"
        )
    missing = [c.name for c in table.columns if c.required and c.name not in names.values()]
    if not names:
        problems = [f"sheet {table.name}: its first line names no column of the table"]
    elif missing:
        problems.append(f"sheet {table.name}: needed columns are missing: {', '.join(missing)}")
    return [_read_row(table, sheet, names, lines[line], line) for line in below], problems


def _read_row(
    table: Table, sheet: Worksheet, names: Mapping[int, str], cells: Mapping[int, Cell], line: int
) -> tuple[ImportedRow, dict[str, str] | None]:
    """Return the verdict on one row and its cells, if it is taken."""
    record: dict[str, str] = {}
    changes: list[str] = []
    refusals: list[str] = []
    for area in sheet.merged_cells.ranges:
        taken = [
            names[column]
            for column in range(area.min_col, area.max_col + 1)
            if column in names
            and area.min_row <= line <= area.max_row
            and (line, column) != (area.min_row, area.min_col)
        ]
        if taken:
            refusals.append(
                f"the merged cells {area.coord} hide {', '.join(taken)}; unmerge them and type the "
                "value into each row"
            )
    for column, cell in cells.items():
        name = names.get(column, "")
        if not name:
            changes.append(
                f"the cell {quoted(str(cell.value))} stands under no known column "
                f"({cell.column_letter}); left out"
            )
            continue
        record[name], change, refusal = _cell_text(cell)
        changes += [f"{name}: {change}"] if change else []
        refusals += [f"{name}: {refusal}"] if refusal else []
    label = ", ".join(record.get(name, "") for name in table.core if record.get(name))
    if not record and not refusals:
        refusals.append("no cell stands under a known column")
    verdict: Verdict = "refused" if refusals else "changed" if changes else "taken"
    became = () if refusals else (row_name(table.name, record),)
    row = ImportedRow(line, label, verdict, tuple(refusals or changes), became, sheet.title)
    return row, None if refusals else record


def _cell_text(cell: Cell) -> tuple[str, str, str]:
    """Return a cell as text, what was changed about it, and why it is refused."""
    value = cell.value
    if isinstance(value, bool):
        return str(value).lower(), f"the truth value {value} became a word", ""
    if isinstance(value, (datetime, date, time)):
        text = value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
        return text, "", f"the cell holds the date {text}; type what the source prints, as text"
    if isinstance(value, timedelta):
        why = f"the cell holds the duration {value}; type what the source prints, as text"
        return str(value), "", why
    if isinstance(value, (int, float)) and "%" in str(cell.number_format):
        text = f"{100 * value:.12g}"
        return text, f"shown as {text}% and entered as {text}", ""
    if isinstance(value, (int, float)):
        return str(value) if isinstance(value, int) else f"{value:.15g}", "", ""
    if not isinstance(value, str):
        # A formula over several cells comes as an object of its own.
        return "", "", "the cell holds an array formula; type the value as printed"
    text = _WRITTEN_OUT.sub(lambda found: chr(int(found[1], 16)), value)
    if cell.data_type == "e":
        return text, "", f"the cell holds the error {text}; type the value as printed"
    if text.startswith("=") and len(text) > 1 and text not in {"=="}:
        return text, "", f"the cell holds the formula {quoted(text)}; type the value as printed"
    clean = " ".join(without_hidden(text).split())
    return clean, "" if clean == value else "spaces or invisible characters removed", ""
