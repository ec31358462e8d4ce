"""The workbook: drop-downs for controlled words, a help sheet, and the way back into CSVs."""

from __future__ import annotations

import datetime
import io
import zipfile

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from openpyxl.worksheet.formula import ArrayFormula

from batches import BATCH_TABLES, SCHEMA
from helpers import ROOT
from ketameta import measures
from ketameta.evidence import load_project
from ketameta.evidence.checks import run_checks
from ketameta.exchange import ROWS, Declared, import_file, read_import, workbook, workbook_bytes
from ketameta.paths import project_paths
from ketameta.review import worked_words
from test_review_start import example_row, shared_lists

DECLARED = Declared(project=load_project(ROOT))
WORDS = worked_words(project_paths(ROOT))


def read_book(data: bytes, name: str = "x.xlsx"):
    """Return what an import says of a workbook of this project."""
    return read_import(data, name, declared=DECLARED)


@pytest.fixture(scope="module")
def template(project_root):
    """An empty workbook with the words of the committed project, as bytes."""
    return workbook_bytes("alder_2014", project_paths(project_root))


def filled(template: bytes, **more: list[list[object]]) -> bytes:
    """Return the workbook with the example row of each sheet, and more rows."""
    book = load_workbook(io.BytesIO(template))
    for table in BATCH_TABLES:
        sheet = book[table.name]
        row = example_row(table.name, SCHEMA, WORDS)
        sheet.append([row.get(name) for name in (column.name for column in table.usual)])
        for cells in more.get(table.name, []):
            sheet.append(cells)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def test_there_is_a_sheet_per_table_with_its_header(template):
    book = load_workbook(io.BytesIO(template))
    for table in BATCH_TABLES:
        sheet = book[table.name]
        assert tuple(cell.value for cell in sheet[1]) == tuple(
            column.name for column in table.usual
        )
        assert all(cell.comment for cell in sheet[1])
        assert sheet.freeze_panes == "B2"


def test_every_controlled_word_is_in_a_drop_down(template):
    book = load_workbook(io.BytesIO(template))
    for table in BATCH_TABLES:
        rules = {
            str(rule.sqref).split(":")[0].rstrip("0123456789"): rule
            for rule in book[table.name].data_validations.dataValidation
        }
        letters = {cell.value: cell.column_letter for cell in book[table.name][1]}
        for column in table.usual:
            if not column.allowed:
                continue
            rule = rules[letters[column.name]]
            assert str(rule.sqref) == f"{letters[column.name]}2:{letters[column.name]}{ROWS + 1}"
            sheet, _, area = rule.formula1.partition("!")
            cells = book[sheet][area.replace("$", "")]
            assert tuple(cell[0].value for cell in cells) == column.allowed
            assert rule.errorStyle == "stop"
        for name in {"outcome", "instrument"} & set(letters) - {"study_id"}:
            assert rules[letters[name]].errorStyle == "warning"


def test_the_help_sheet_explains_every_column_and_says_the_example_is_simulated(template):
    sheet = load_workbook(io.BytesIO(template))["help"]
    text = "\n".join(str(cell.value) for row in sheet.iter_rows() for cell in row if cell.value)
    assert "simulated_2020 is simulated" in text and "Extraction sheet for alder_2014" in text
    for table in BATCH_TABLES:
        assert all(column.meaning in text for column in table.columns)


def test_cells_are_text_so_that_ranges_stay_ranges(template):
    sheet = load_workbook(io.BytesIO(template))["outcomes"]
    assert {sheet.column_dimensions[cell.column_letter].number_format for cell in sheet[1]} == {"@"}


def test_a_filled_workbook_becomes_a_batch_without_errors(template, tmp_path, project_root):
    paths = shared_lists(tmp_path, project_root)
    source = tmp_path / "alder_2014.xlsx"
    placebo = example_row("arms", SCHEMA, WORDS) | {
        "arm_id": "placebo", "intervention": "placebo", "drug_class": "placebo", "role": "control",
    }  # fmt: skip
    columns = next(table.column_names for table in BATCH_TABLES if table.name == "arms")
    source.write_bytes(filled(template, arms=[[placebo.get(name) for name in columns]]))
    report, _ = import_file(paths, source)
    assert report.is_whole and {row.verdict for row in report.rows} == {"taken"}
    assert len(report.rows) == len(BATCH_TABLES) + 1, "each table an example, arms one row more"
    found = run_checks(paths)
    assert found.errors == ()
    assert found.counts["outcomes"] == 1 and found.counts["contrasts"] == 1


def test_numbers_of_a_spreadsheet_are_written_as_typed(template):
    row: list[object] = ["birch_2016", "ketamine", "adhd_total", "aisrs", 7, None, "endpoint"]
    row += [30, 12.5, 0.1]
    report = read_book(filled(template, outcomes=[row]))
    cells = report.tables["outcomes"][1]
    assert (cells["time_days"], cells["n"], cells["mean"], cells["sd"]) == (
        "7",
        "30",
        "12.5",
        "0.1",
    )


def test_dates_and_formulas_are_refused_with_the_cell(template):
    date: list[object] = [
        "birch_2016",
        "ketamine",
        "adhd_total",
        "aisrs",
        datetime.date(2024, 5, 3),
    ]
    formula: list[object] = ["birch_2016", "ketamine", "adhd_total", "aisrs", 7, None, "endpoint"]
    report = read_book(filled(template, outcomes=[date, [*formula, "=SUM(A1:A2)"]]))
    refused = [row for row in report.rows if row.verdict == "refused"]
    assert [row.line for row in refused] == [3, 4]
    assert "time_days: the cell holds the date 2024-05-03" in refused[0].details[0]
    assert "n: the cell holds the formula '=SUM(A1:A2)'" in refused[1].details[0]
    assert len(report.tables["outcomes"]) == 1 and not report.is_whole


def test_invisible_characters_are_taken_out_and_said(template):
    report = read_book(filled(template, arms=[["birch_2016\u00a0", "ketamine"]]))
    row = next(row for row in report.rows if row.sheet == "arms" and row.line == 3)
    assert row.verdict == "changed" and "study_id" in row.details[0]
    assert report.tables["arms"][1]["study_id"] == "birch_2016"


def test_a_sheet_or_column_of_another_name_is_said():
    book = Workbook()
    book.active.title = "outcome"
    book.active.append(["study_id", "arm"])
    book.active.append(["alder_2014", "x"])
    sheet = book.create_sheet("arms")
    sheet.append(["study_id", "arm_id", "arm", "arm_id"])
    sheet.append(["alder_2014", "ketamine", "extra", "again"])
    stream = io.BytesIO()
    book.save(stream)
    report = read_book(stream.getvalue())
    text = "\n".join(report.problems)
    assert "sheet 'outcome' is not one of" in text and "did you mean outcomes?" in text
    assert "'arm' is not a column of this table" in text
    assert "'arm_id' stands twice" in text and "needed columns are missing: intervention" in text
    assert [row.verdict for row in report.rows] == ["refused", "refused", "changed"]
    assert "the sheet is not one of" in report.rows[0].details[0]
    assert sum("left out" in detail for detail in report.rows[2].details) == 2


def test_an_empty_workbook_says_so(template):
    report = read_book(template)
    assert report.rows == () and "no sheet holds a row" in report.problems[0]


def test_the_sign_of_a_p_value_is_a_word_and_no_formula(template):
    book = load_workbook(io.BytesIO(template))
    values = {cell.value: cell.data_type for row in book["words"].iter_rows() for cell in row}
    assert all(values[word] == "s" for word in measures.P_RELATIONS)
    report = read_book(filled(template))
    assert report.tables["contrasts"][0]["p_relation"] == "="


# --- nothing lost ---------------------------------------------------------------------------------

ARMS = ["study_id", "arm_id", "intervention", "drug_class", "role", "route"]
ARM = ["alder_2014", "ketamine", "ketamine", "nmda_antagonist", "treatment", "intravenous"]


def arms_book(*rows: list[object], title: str = "arms", header: list[object] | None = None):
    """Return a workbook with one sheet of arms, and that sheet."""
    book = Workbook()
    sheet = book.active
    sheet.title = title
    sheet.append(header or ARMS)
    for row in rows:
        sheet.append(row)
    return book, sheet


def arm_row(name: str) -> list[object]:
    return [ARM[0], name, *ARM[2:]]


def imported(book: Workbook):
    stream = io.BytesIO()
    book.save(stream)
    return read_book(stream.getvalue())


def test_two_sheets_of_one_name_are_both_read():
    book, _ = arms_book(arm_row("ketamine"))
    other = book.create_sheet("Arms ")
    for row in (ARMS, arm_row("placebo"), arm_row("ketamine")):
        other.append(row)
    report = imported(book)
    assert [row["arm_id"] for row in report.tables["arms"]] == ["ketamine", "placebo"]
    assert [(row.sheet, row.line, row.verdict) for row in report.rows] == [
        ("arms", 2, "taken"), ("Arms ", 2, "taken"), ("Arms ", 3, "changed"),
    ]  # fmt: skip
    assert report.rows[2].details == ("the same as line 2 of sheet 'arms', cell by cell: "
                                      "entered once",)  # fmt: skip
    assert "sheets 'arms' and 'Arms ' were both read as arms" in report.notes
    assert report.summary == "3 rows in: 2 taken, 1 changed, 0 refused."


def test_cells_far_out_are_read_or_named():
    # Line 100,002 and column 301: beyond what one screen, or one guess of a size, would show.
    book, sheet = arms_book(arm_row("ketamine"), header=[*ARMS, *[None] * 294, "notes"])
    for place, cell in enumerate(arm_row("placebo"), 1):
        sheet.cell(100_002, place, cell)
    sheet.cell(100_002, 301, "far out")
    sheet.cell(100_002, 400, "lost")
    report = imported(book)
    assert report.rows_in == 2 and [row.line for row in report.rows] == [2, 100_002]
    assert report.tables["arms"][1]["notes"] == "far out"
    assert "'lost' stands under no known column (OJ); left out" in report.rows[1].details[0]
    assert "cells stand in columns without a name (OJ)" in report.problems[0]


def test_a_size_that_the_file_states_too_small_hides_no_cell():
    book, _ = arms_book(arm_row("ketamine"), arm_row("placebo"))
    stream, small = io.BytesIO(), io.BytesIO()
    book.save(stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(small, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name.endswith("sheet1.xml"):
                assert b'ref="A1:F3"' in text
                text = text.replace(b'ref="A1:F3"', b'ref="A1:B2"')
            new.writestr(name, text)
    report = read_book(small.getvalue(), "x.xlsx")
    assert [row["role"] for row in report.tables["arms"]] == ["treatment", "treatment"]


def test_hidden_rows_and_sheets_are_read_and_said():
    book, sheet = arms_book(*(arm_row(name) for name in ("one", "two", "three")))
    sheet.row_dimensions[3].hidden = True
    sheet.sheet_state = "hidden"
    book.create_sheet("help")
    report = imported(book)
    assert report.count("taken") == 3
    assert "sheet 'arms' is hidden; it was read like the others" in report.notes
    assert "sheet 'arms': 1 hidden row read like the others (line 3)" in report.notes


def test_a_merged_cell_refuses_the_rows_it_hides_cells_of():
    rows = (arm_row(name) for name in ("one", "two", "three"))
    book, sheet = arms_book(*rows)
    sheet.merge_cells("A2:A3")
    report = imported(book)
    assert [row.verdict for row in report.rows] == ["taken", "refused", "taken"]
    assert "the merged cells A2:A3 hide study_id" in report.rows[1].details[0]


def test_rows_that_hold_nothing_are_no_rows():
    book, sheet = arms_book(arm_row("one"), [None] * 6, ["", "  "], arm_row("two"))
    for line in range(6, 40):
        sheet.cell(line, 1).number_format = "@"
    report = imported(book)
    assert report.rows_in == 2 and [row.line for row in report.rows] == [2, 5]


def test_an_array_formula_and_a_duration_are_refused():
    book, sheet = arms_book(arm_row("one"), arm_row("two"))
    sheet["C2"] = ArrayFormula("C2:C2", "=A1:A2")
    sheet["C3"] = datetime.timedelta(hours=30)
    report = imported(book)
    assert [row.verdict for row in report.rows] == ["refused", "refused"]
    assert "array formula" in report.rows[0].details[0]
    assert "the duration 1 day, 6:00:00" in report.rows[1].details[0]


def test_control_characters_reach_no_table():
    # A workbook writes a control character out by its number.
    book, _ = arms_book(["alder_2014", "one", "a_x0007_b_x000D_c\u202ed", *ARM[3:]])
    report = imported(book)
    assert report.tables["arms"][0]["intervention"] == "ab cd"
    assert report.rows[0].verdict == "changed"


def test_a_workbook_larger_than_any_extraction_is_refused_whole(monkeypatch):
    book, _ = arms_book(*(arm_row(f"arm_{number}") for number in range(5)))
    monkeypatch.setattr(workbook, "_MOST_ROWS", 5)
    report = imported(book)
    assert report.rows == () and report.tables == {}
    assert "holds more than 5 rows; nothing of it was read" in report.problems[0]
    monkeypatch.setattr(workbook, "_MOST_BYTES", 5_000)
    assert "unpacks to" in imported(book).problems[0]


def test_rows_out_of_order_are_a_damaged_file():
    book, _ = arms_book(arm_row("one"), arm_row("two"))
    stream, odd = io.BytesIO(), io.BytesIO()
    book.save(stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(odd, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'<row r="3"', b'<row r="2"'))
    report = read_book(odd.getvalue(), "x.xlsx")
    assert "the rows of sheet 'arms' are out of order" in report.problems[0]


def test_percentages_are_entered_as_shown_and_comments_are_reported(template):
    book = load_workbook(io.BytesIO(template))
    sheet = book["outcomes"]
    row = example_row("outcomes", SCHEMA, WORDS) | {"statistic": "events", "mean": "", "sd": ""}
    names = [cell.value for cell in sheet[1]]
    sheet.append([row.get(name) or None for name in names])
    cell = sheet.cell(2, names.index("percent") + 1, 0.45)
    cell.number_format = "0%"
    sheet["C2"].comment = Comment("compare with table 3", "AB")
    stream = io.BytesIO()
    book.save(stream)
    report = read_import(stream.getvalue(), "x.xlsx", None, Declared(project=load_project(ROOT)))
    assert report.tables["outcomes"][0]["percent"] == "45"
    assert report.rows[0].details == ("percent: shown as 45% and entered as 45",)
    assert any("1 comment not read (C2)" in note for note in report.notes)


def test_a_column_of_another_name_that_holds_nothing_is_no_loss():
    book, _ = arms_book(arm_row("one"), header=[*ARMS, "old_name"])
    report = imported(book)
    assert report.is_whole
    assert "sheet arms: 'old_name' is not a column of this table, and holds nothing" in report.notes


def test_a_chart_and_the_error_of_a_formula_are_told_from_rows():
    book, sheet = arms_book(arm_row("one"), arm_row("two"))
    chart = BarChart()
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=3))
    book.create_chartsheet("drawn").add_chart(chart)
    sheet["C3"] = "#REF!"
    report = imported(book)
    assert [row.verdict for row in report.rows] == ["taken", "refused"]
    assert "the cell holds the error #REF!" in report.rows[1].details[0]


def test_a_row_that_a_merged_area_took_whole_is_counted():
    book, sheet = arms_book(arm_row("one"), arm_row("two"))
    sheet.merge_cells("A2:F3")
    report = imported(book)
    assert [(row.line, row.verdict) for row in report.rows] == [(2, "refused"), (3, "refused")]
