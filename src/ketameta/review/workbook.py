"""The templates as one spreadsheet workbook, with drop-downs for controlled words and a help sheet.

Writes workbooks only; reading one back is in ``workbook_read``.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from ketameta.paths import ProjectPaths
from ketameta.review.example import SIMULATED, example
from ketameta.review.start import project_schema, project_words, worked_words
from ketameta.schema import Column, Schema, Table

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

    for place, column in enumerate(table.columns, 1):
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
        write(f"{number}.", step)
    line += 1
    write("A worked row of each sheet", strong=True)
    write("", f"The trial {SIMULATED} is simulated: it does not exist.")
    write("sheet", "column", "example", "what to think of", strong=True)
    for table in schema.batch:
        for name, cell, comment in worked[table.name]:
            write(table.name, name, cell, comment)
    line += 1
    write("Every column", strong=True)
    write("sheet", "column", "needed", "meaning", "words", strong=True)
    for table in schema.batch:
        for column in table.columns:
            needed = "yes" if column.required else ""
            write(table.name, column.name, needed, _meaning(column), ", ".join(column.allowed))
    for letter, width in zip("ABCDE", (16, 30, 30, 60, 60), strict=True):
        sheet.column_dimensions[letter].width = width
