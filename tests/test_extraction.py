"""Reading: every kind of file ends in rows and findings, never in a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches import SCHEMA, TABLES, clean_tables, csv_text, table_path, write_project
from ketameta.evidence import (
    Column,
    Finding,
    data_files,
    load_tables,
    read_cell,
    read_csv,
    read_rows,
)
from ketameta.evidence.checks import run_checks
from ketameta.paths import project_paths

ARMS, OUTCOMES = SCHEMA["arms"], SCHEMA["outcomes"]
HEADER = ",".join(ARMS.column_names)
ROW = "alder_2014,ketamine,ketamine,,nmda_antagonist,treatment,0.5,mg_per_kg,,intravenous,,,30,,"


def _read(tmp_path: Path, content: str | bytes) -> tuple[list[str], list[Finding]]:
    """Return the arm_id of each row read from an arms.csv, and the findings."""
    path = tmp_path / "arms.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    rows, _, findings = read_rows(path, "arms.csv", ARMS)
    return [row["arm_id"] for row in rows], findings


def _found(findings: list[Finding]) -> list[tuple[str, int, str, str]]:
    return [(item.check, item.line, item.column, item.severity) for item in findings]


def test_a_clean_file_has_no_findings(tmp_path: Path) -> None:
    assert _read(tmp_path, f"{HEADER}\n{ROW}\n") == (["ketamine"], [])


@pytest.mark.parametrize("line_end", ["\r\n", "\r", "\n"])
def test_line_ends_of_every_system_are_read(tmp_path: Path, line_end: str) -> None:
    text = line_end.join([HEADER, ROW, ROW.replace(",ketamine", ",other", 1), ""])
    assert _read(tmp_path, text) == (["ketamine", "other"], [])


def test_a_byte_order_mark_is_a_warning_and_the_first_column_is_read(tmp_path: Path) -> None:
    arms, findings = _read(tmp_path, b"\xef\xbb\xbf" + f"{HEADER}\n{ROW}\n".encode())
    assert arms == ["ketamine"]
    assert _found(findings) == [("byte_order_mark", 1, "", "warning")]


def test_windows_1252_is_named_with_its_line(tmp_path: Path) -> None:
    row = ROW[:-1] + "5\u201310 mg,"
    arms, findings = _read(tmp_path, f"{HEADER}\n{ROW}\n{row}\n".encode("cp1252"))
    assert len(arms) == 2
    assert _found(findings)[0] == ("encoding", 3, "", "error")
    assert findings[0].value == "\u2013"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised(tmp_path: Path, encoding: str) -> None:
    arms, findings = _read(tmp_path, f"{HEADER}\n{ROW}\n".encode(encoding))
    assert arms == ["ketamine"]
    assert _found(findings) == [("encoding", 0, "", "error")]


@pytest.mark.parametrize("end", ["\r", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_other_line_ends_are_read_whatever_the_size(
    tmp_path: Path, end: str, separator: str
) -> None:
    rows = [HEADER, *(ROW.replace("ketamine", f"drug_{n}", 1) for n in range(2_000))]
    content = "".join(line.replace(",", separator) + end for line in rows).encode()
    arms, findings = _read(tmp_path, content)
    assert arms == [f"drug_{n}" for n in range(2_000)]
    assert _found(findings) == [("separator", 1, "", "error")] * (separator == ";")


def test_a_workbook_with_the_wrong_ending_is_recognised(tmp_path: Path) -> None:
    arms, findings = _read(tmp_path, b"PK\x03\x04rest of a workbook")
    assert arms == []
    assert _found(findings) == [("not_csv", 0, "", "error")]


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\xd0\xcf\x11\xe0", "workbook"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "picture"),
        (b"{\\rtf1\\ansi", "RTF"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "web page"),
        (bytes(range(1, 250)) * 4, "another kind"),
    ],
)
def test_files_of_other_kinds_are_named_once(tmp_path: Path, start: bytes, kind: str) -> None:
    arms, findings = _read(tmp_path, start + b" rest")
    assert arms == []
    assert _found(findings) == [("not_csv", 0, "", "error")]
    assert kind in findings[0].why


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_named_and_read(tmp_path: Path, separator: str) -> None:
    arms, findings = _read(tmp_path, f"{HEADER}\n{ROW}\n".replace(",", separator))
    assert arms == ["ketamine"]
    assert _found(findings) == [("separator", 1, "", "error")]


@pytest.mark.parametrize("content", ["", "\n\n", "   ", ",,,\n", "\ufeff"])
def test_a_file_without_a_header_says_so(tmp_path: Path, content: str) -> None:
    arms, findings = _read(tmp_path, content)
    assert arms == []
    assert "empty_file" in {item.check for item in findings}


def test_a_table_without_rows_is_a_warning(tmp_path: Path) -> None:
    assert _found(_read(tmp_path, HEADER + "\n")[1]) == [("empty_table", 0, "", "warning")]


def test_a_file_without_any_known_column_says_so_once(tmp_path: Path) -> None:
    arms, findings = _read(tmp_path, "a,b,c\n1,2,3\n")
    assert arms == []
    assert _found(findings) == [("header_missing", 1, "", "error")]


def test_header_problems_name_the_column_and_the_nearest_one(tmp_path: Path) -> None:
    header = HEADER.replace("intervention", "Intervention").replace("route", "rout")
    arms, findings = _read(tmp_path, f"{header},arm_id\n{ROW},again\n")
    assert arms == ["ketamine"]
    assert _found(findings) == [
        ("column_unknown", 1, "Intervention", "error"),
        ("column_unknown", 1, "rout", "error"),
        ("column_duplicated", 1, "arm_id", "error"),
        ("column_missing", 1, "route", "error"),
    ]
    assert "did you mean route?" in findings[1].remedy


@pytest.mark.parametrize("title", ["Arms of the trial,,,", "sep=,", "A,B,C"])
def test_a_line_above_the_header_is_named_and_the_rest_is_read(tmp_path: Path, title: str) -> None:
    arms, findings = _read(tmp_path, f"\n{title}\n{HEADER}\n{ROW}\n")
    assert arms == ["ketamine"]
    assert _found(findings) == [
        ("line_above_header", 2, "", "error"),
        ("blank_line", 1, "", "warning"),
    ]
    assert "line 3" in findings[0].why


def test_the_separator_line_of_a_spreadsheet_does_not_hide_the_table(tmp_path: Path) -> None:
    arms, findings = _read(tmp_path, f"sep=;\n{HEADER}\n{ROW}\n".replace(",", ";"))
    assert arms == ["ketamine"]
    assert [item.check for item in findings] == ["separator", "line_above_header"]


def test_values_under_a_column_without_a_name_are_not_lost_in_silence(tmp_path: Path) -> None:
    arms, findings = _read(tmp_path, f"{HEADER},,\n{ROW},,x\n{ROW},,\n{ROW},,y\n")
    assert len(arms) == 3
    lost, blank = findings
    assert (lost.check, lost.severity, lost.line, lost.value) == ("column_unnamed", "error", 1, "x")
    assert "line 2 and 1 more" in lost.why and lost.column == "Q"
    assert (blank.check, blank.severity) == ("column_unnamed", "warning")


def test_empty_columns_at_the_end_are_one_warning(tmp_path: Path) -> None:
    arms, findings = _read(tmp_path, f"{HEADER},,,\n{ROW},,,\n{ROW}\n")
    assert arms == ["ketamine", "ketamine"]
    assert _found(findings) == [("column_unnamed", 1, "", "warning")]
    assert findings[0].why == "3 empty columns without a name"


def test_a_header_in_another_style_is_told_once(tmp_path: Path) -> None:
    header = HEADER.replace("_", " ").title()
    arms, findings = _read(tmp_path, f"{header}\n{ROW}\n")
    assert arms == ["ketamine"]
    assert _found(findings) == [("column_unknown", 1, "", "error")]
    assert "such as study_id" in findings[0].remedy


def test_the_names_of_other_programs_are_known(tmp_path: Path) -> None:
    header = ",".join("stdev" if name == "sd" else name for name in OUTCOMES.column_names)
    path = tmp_path / "outcomes.csv"
    path.write_text(header + "\n")
    findings = read_csv(path, "outcomes.csv", OUTCOMES).findings
    assert "did you mean sd?" in findings[0].remedy


def test_a_text_in_a_cell_is_named_and_its_row_is_kept(tmp_path: Path) -> None:
    arms, findings = _read(tmp_path, f"{HEADER}\n{ROW}{'x' * 1_000_000}\n{ROW}\n")
    assert arms == ["ketamine", "ketamine"]
    assert _found(findings) == [("too_long", 2, "notes", "error")]
    assert "1,000,000 characters" in findings[0].why


def test_missing_columns_that_may_be_empty_are_one_warning(tmp_path: Path) -> None:
    header = "study_id,arm_id,intervention,drug_class,role,route"
    row = "alder_2014,ketamine,ketamine,nmda_antagonist,treatment,intravenous"
    _, findings = _read(tmp_path, f"{header}\n{row}\n")
    assert _found(findings) == [("column_missing", 1, "", "warning")]


def test_blank_lines_are_counted_as_a_spreadsheet_counts_them(tmp_path: Path) -> None:
    blank = "," * HEADER.count(",")
    arms, findings = _read(tmp_path, f"{HEADER}\n\n{ROW}\n{blank}\n{ROW},\n")
    assert arms == ["ketamine", "ketamine"]
    assert _found(findings) == [
        ("blank_line", 2, "", "warning"),
        ("blank_line", 4, "", "warning"),
        ("ragged_row", 5, "", "warning"),
    ]


def test_rows_that_do_not_line_up_are_refused_and_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "arms.csv"
    path.write_text(f"{HEADER}\n{ROW},1,2\nalder_2014,placebo\n{ROW}\n")
    rows, refused, findings = read_rows(path, "arms.csv", ARMS)
    assert [row.line for row in rows] == [4]
    assert [(row.line, row["arm_id"]) for row in refused] == [(2, "ketamine"), (3, "placebo")]
    assert _found(findings) == [("ragged_row", 2, "", "error"), ("ragged_row", 3, "", "error")]


def test_a_quoted_line_break_does_not_shift_the_lines_below(tmp_path: Path) -> None:
    broken = ROW[:-1] + '"twice\na week",'
    arms, findings = _read(tmp_path, f"{HEADER}\n{broken}\n\n{ROW}\n")
    assert len(arms) == 2
    assert _found(findings) == [
        ("blank_line", 3, "", "warning"),
        ("line_break", 2, "contains_arms", "warning"),
    ]


def test_an_open_quotation_mark_is_named_with_its_row(tmp_path: Path) -> None:
    arms, findings = _read(tmp_path, f'{HEADER}\n{ROW}\n"alder_2014,x\n{ROW}\n')
    assert arms == ["ketamine"]
    assert _found(findings) == [("quotes", 3, "", "error")]


NUMBER = Column("sd", "A number.", "number")
KEY = Column("pmid", "A key.", "key", pattern=r"\d{1,8}")
TEXT = Column("schedule", "Some text.", "text")


@pytest.mark.parametrize(
    ("column", "typed", "check"),
    [
        (NUMBER, "27,670", "decimal_comma"),
        (NUMBER, "1,234.5", "decimal_comma"),
        (NUMBER, "\u22123.2", "minus_sign"),
        (NUMBER, "\u20133.2", "minus_sign"),
        (NUMBER, "n/a", "not_a_number"),
        (NUMBER, "NR", "not_a_number"),
        (NUMBER, "-", "not_a_number"),
        (NUMBER, "12 mg", "not_a_number"),
        (NUMBER, "1e400", "not_a_number"),
        (NUMBER, "1e-60", "not_a_number"),
        (NUMBER, "1e-400", "not_a_number"),
        (NUMBER, "inf", "not_a_number"),
        (NUMBER, "nan", "not_a_number"),
        (NUMBER, "\uff11\uff12", "not_a_number"),
        (NUMBER, "3.1-4.2", "not_a_number"),
        (NUMBER, "45%", "not_a_number"),
        (NUMBER, "<0.001", "not_a_number"),
        (NUMBER, "3-May", "date_from_range"),
        (NUMBER, "May-03", "date_from_range"),
        (NUMBER, "03/05/2024", "date_from_range"),
        (NUMBER, "2024-05-03", "date_from_range"),
        (KEY, "3-May", "date_from_range"),
        (TEXT, "3-May", "date_from_range"),
        (KEY, "2.02E+07", "scientific_id"),
        (NUMBER, "#REF!", "spreadsheet_error"),
        (TEXT, "#N/A", "spreadsheet_error"),
        (NUMBER, "#DIV/0!", "spreadsheet_error"),
        (NUMBER, "########", "spreadsheet_error"),
        (NUMBER, "Err:502", "spreadsheet_error"),
        (NUMBER, "=A1*2", "formula"),
        (TEXT, "@SUM(A1:A9)", "formula"),
        (KEY, "12\u00a0", "hidden_character"),
        (KEY, "12\u200b", "hidden_character"),
        (TEXT, "a\u202fb", "hidden_character"),
        (TEXT, "a\x00b", "hidden_character"),
        (TEXT, "a\nb", "line_break"),
        (TEXT, " a", "outer_space"),
        (TEXT, "Caf\u00c3\u00a9", "garbled_text"),
        (TEXT, "caf\ufffd", "garbled_text"),
    ],
)
def test_a_bad_cell_is_named(column: Column, typed: str, check: str) -> None:
    _, number, problems = read_cell(column, typed)
    assert [problem.check for problem in problems] == [check]
    if column is NUMBER:
        assert number is None


@pytest.mark.parametrize(
    ("column", "typed"),
    [
        (NUMBER, "-3.20"),
        (NUMBER, "+4"),
        (NUMBER, ".5"),
        (NUMBER, "1e-5"),
        (KEY, "12345678"),
        (TEXT, "Müller, 3 × 0.5 mg/kg – see the “Methods”"),
        (TEXT, "2024-05-03"),
        (Column("p_relation", "A sign.", "words", allowed=("=", "<=")), "="),
        (Column("p_relation", "A sign.", "words", allowed=("=", "<=")), "<="),
    ],
)
def test_a_good_cell_is_left_alone(column: Column, typed: str) -> None:
    text, number, problems = read_cell(column, typed)
    assert (text, problems) == (typed, [])
    assert number == (float(typed) if column is NUMBER else None)


def test_frames_have_every_column_with_numbers_text_and_provenance(tmp_path: Path) -> None:
    evidence, findings = load_tables(project_paths(write_project(tmp_path, clean_tables())))
    assert findings == ()
    frame = evidence.outcomes
    assert tuple(frame.columns) == (*OUTCOMES.column_names, "_file", "_flags", "_line")
    assert frame["mean"].dtype == "float64" and frame["mean"].isna().tolist() == [
        False, False, True, True,
    ]  # fmt: skip
    assert frame["subgroup"].tolist() == [""] * 4
    assert frame["_file"].tolist() == ["data/extracted/demo/outcomes.csv"] * 4
    assert frame["_line"].tolist() == [2, 3, 4, 5]
    assert evidence.registry.empty and evidence.registry["n_planned"].dtype == "float64"


def test_tables_are_the_union_of_the_batches(tmp_path: Path) -> None:
    write_project(tmp_path, clean_tables())
    second = table_path(tmp_path, "arms", "other")
    second.parent.mkdir(parents=True)
    second.write_text(f"{HEADER}\n{ROW.replace('alder', 'birch')}\n")
    every, _ = load_tables(project_paths(tmp_path))
    assert [row["study_id"] for row in every.rows("arms")] == ["alder_2014"] * 2 + ["birch_2014"]
    one, _ = load_tables(project_paths(tmp_path), only=["other"])
    assert [row["study_id"] for row in one.rows("arms")] == ["birch_2014"]
    by_path, _ = load_tables(project_paths(tmp_path), only=[second.parent])
    assert by_path.rows("arms") == one.rows("arms")


def test_a_batch_that_does_not_exist_is_a_finding_with_the_nearest_name(tmp_path: Path) -> None:
    write_project(tmp_path, clean_tables())
    _, findings = load_tables(project_paths(tmp_path), only=["demmo"])
    assert [(item.check, item.file) for item in findings] == [
        ("file_missing", "data/extracted/demmo")
    ]
    assert "did you mean demo?" in findings[0].remedy


def test_an_empty_folder_is_one_finding_about_the_data(tmp_path: Path) -> None:
    report = run_checks(project_paths(tmp_path))
    assert [(item.check, item.file) for item in report.findings] == [
        ("file_missing", "data/extracted")
    ]


def test_a_misspelt_file_in_a_batch_is_not_passed_over(tmp_path: Path) -> None:
    write_project(tmp_path, clean_tables())
    folder = table_path(tmp_path, "outcomes").parent
    (folder / "outcome.csv").write_text("")
    (folder / "README.md").write_text("notes")
    _, findings = load_tables(project_paths(tmp_path))
    assert [(item.check, item.file) for item in findings] == [
        ("file_unknown", "data/extracted/demo/outcome.csv")
    ]
    assert "did you mean outcomes.csv?" in findings[0].remedy


@pytest.mark.parametrize("place", ["data/instrument.csv", "data/extracted/outcomes.csv"])
def test_a_table_where_nobody_reads_is_not_passed_over(tmp_path: Path, place: str) -> None:
    root = write_project(tmp_path, clean_tables())
    (root / place).write_text("")
    _, findings = load_tables(project_paths(root))
    assert [(item.check, item.file) for item in findings] == [("file_unknown", place)]


def test_a_batch_folder_without_tables_is_a_warning(tmp_path: Path) -> None:
    root = write_project(tmp_path, clean_tables())
    (root / "data" / "extracted" / "later").mkdir()
    _, findings = load_tables(project_paths(root))
    assert [(item.check, item.file, item.severity) for item in findings] == [
        ("empty_table", "data/extracted/later", "warning")
    ]


def test_a_folder_in_the_place_of_a_file_is_a_finding(tmp_path: Path) -> None:
    write_project(tmp_path, clean_tables())
    path = table_path(tmp_path, "contrasts")
    path.unlink()
    path.mkdir()
    _, findings = load_tables(project_paths(tmp_path))
    assert [item.check for item in findings] == ["file_unreadable"]


def test_a_link_to_itself_is_a_finding(tmp_path: Path) -> None:
    write_project(tmp_path, clean_tables())
    path = table_path(tmp_path, "contrasts")
    path.unlink()
    path.symlink_to(path.name)
    _, findings = load_tables(project_paths(tmp_path))
    assert [(item.check, item.file) for item in findings] == [
        ("link", "data/extracted/demo/contrasts.csv")
    ]


def test_a_file_that_may_not_be_read_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    path = tmp_path / "arms.csv"
    path.touch()
    (finding,) = read_csv(path, "arms.csv", ARMS).findings
    assert finding.check == "file_unreadable" and "Permission denied" in finding.why


def test_a_batch_that_may_not_be_opened_is_a_finding_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_project(tmp_path, clean_tables())
    closed = root / "data" / "extracted" / "closed"
    closed.mkdir()
    look, is_dir = Path.iterdir, Path.is_dir

    def refuse(path: Path) -> object:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    def cannot_see(path: Path) -> bool:
        if path.parent == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    monkeypatch.setattr(Path, "is_dir", cannot_see)
    report = run_checks(project_paths(root))
    assert [(item.check, item.file) for item in report.findings] == [
        ("file_unreadable", "data/extracted/closed")
    ]
    assert report.counts["studies"] == 1


@pytest.mark.parametrize(
    ("name", "severity"),
    [("outcomes.csv.txt", "error"), ("outcomes.txt", "warning"), ("outcomes.numbers", "warning"),
     ("trial.xlsm", "warning")],
)  # fmt: skip
def test_a_table_under_another_ending_is_not_passed_over(
    tmp_path: Path, name: str, severity: str
) -> None:
    root = write_project(tmp_path, clean_tables())
    (root / "data" / "extracted" / "demo" / name).write_text("x")
    _, findings = load_tables(project_paths(root))
    assert [(item.check, item.file, item.severity) for item in findings] == [
        ("file_unknown", f"data/extracted/demo/{name}", severity)
    ]


def test_tables_in_a_folder_of_a_batch_are_not_passed_over(tmp_path: Path) -> None:
    root = write_project(tmp_path, clean_tables())
    batch = root / "data" / "extracted" / "demo"
    for name in ("second/arms", "second/reconciliation", "import/rows", "round_2/rows"):
        path = batch / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    _, findings = load_tables(project_paths(root))
    assert [item.file for item in findings if item.check == "file_unknown"] == [
        "data/extracted/demo/round_2"
    ]


#: Files that nothing reads, anywhere below ``data/``.
STRAYS = (
    "data/private/patients.xlsx", "data/private/deep/er/list.txt", "data/notes.txt",
    "data/.hidden.csv", "data/templates/old.csv", "data/extracted/minutes.txt",
    "data/extracted/_later/arms.csv", "data/extracted/demo/paper.pdf",
    "data/extracted/demo/second/rows.csv", "data/extracted/demo/import/mail.eml",
    "data/extracted/demo/scans/1.png", "data/extracted/demo/.secret",
)  # fmt: skip


def test_every_file_below_data_that_nothing_reads_is_named_and_not_an_input(
    tmp_path: Path,
) -> None:
    root = write_project(tmp_path, clean_tables())
    before = data_files(project_paths(root))
    for name in STRAYS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    for name in ("README.md", "LICENSE.md", ".gitkeep", "templates/arms.csv", ".DS_Store",
                 "extracted/demo/README.md", "extracted/demo/~$arms.xlsx"):  # fmt: skip
        (root / "data" / name).write_text("x")
    _, findings = load_tables(project_paths(root))
    assert {item.file for item in findings} == set(STRAYS)
    assert {item.severity for item in findings} == {"warning"}
    assert data_files(project_paths(root)) == before
    assert {path.name for path in before} >= {"outcomes.csv", "instruments.csv"}


def test_a_folder_full_of_strays_is_counted(tmp_path: Path) -> None:
    root = write_project(tmp_path, clean_tables())
    (root / "data" / "scans").mkdir()
    for number in range(25):
        (root / "data" / "scans" / f"{number:02}.png").write_text("x")
    _, findings = load_tables(project_paths(root))
    assert len(findings) == 11
    assert "15 more files" in next(f.why for f in findings if f.file == "data/scans")


LINKS: dict[str, tuple[str, str]] = {
    "a list": ("data/claims.toml", "outside.toml"),
    "a table": ("data/extracted/demo/risk_of_bias.csv", "outside.csv"),
    "a batch": ("data/extracted/other", "elsewhere"),
    "a batch's own parent": ("data/extracted/demo/again", "data/extracted"),
    "the data themselves": ("data/all", "data"),
    "a second extraction": ("data/extracted/demo/second", "elsewhere"),
    "a file in a folder": ("data/private/x.csv", "outside.csv"),
    "nothing": ("data/extracted/demo/gone.csv", "nowhere"),
    "a question": ("analyses/mine.toml", "outside.toml"),
}


@pytest.mark.parametrize("what", LINKS)
def test_a_link_is_an_error_and_leads_nowhere(tmp_path: Path, what: str) -> None:
    root = write_project(tmp_path / "project", clean_tables())
    name, target = LINKS[what]
    link = root / name
    (root / "elsewhere").mkdir()
    for table in ("arms", "studies"):
        table_path(root, table).replace(root / "elsewhere" / f"{table}.csv")
        table_path(root, table).write_bytes((root / "elsewhere" / f"{table}.csv").read_bytes())
    (root / "outside.csv").write_text("x")
    (root / "outside.toml").write_text("x = 1")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(root / target)
    evidence, findings = load_tables(project_paths(root))
    assert [(item.check, item.file, item.severity) for item in findings] == [
        ("link", name, "error")
    ]
    assert len(evidence.rows("studies")) == 1
    assert not [path for path in data_files(project_paths(root)) if "elsewhere" in str(path)]
    assert link not in data_files(project_paths(root))


@pytest.mark.parametrize("name", ["murrough 2013", "Murrough-2013", "müller_2019"])
def test_a_batch_may_have_a_name_of_words(tmp_path: Path, name: str) -> None:
    root = write_project(tmp_path, clean_tables(), name)
    assert load_tables(project_paths(root))[1] == ()


@pytest.mark.parametrize("name", ["murrough: 2013", "a;b", "a|b", " lead", "a$b", "tab\tbed"])
def test_a_batch_whose_name_breaks_other_programs_is_named(tmp_path: Path, name: str) -> None:
    root = write_project(tmp_path, clean_tables(), name)
    (finding,) = load_tables(project_paths(root))[1]
    assert finding.check == "batch_name" and finding.is_error
    assert "rename" in finding.remedy


def test_a_missing_shared_list_is_named_once(tmp_path: Path) -> None:
    write_project(tmp_path, clean_tables())
    table_path(tmp_path, "instruments").unlink()
    report = run_checks(project_paths(tmp_path))
    assert [(item.check, item.file) for item in report.findings] == [
        ("file_missing", "data/instruments.csv")
    ]


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        ("24.1 (9.6)", "its own column"),
        ("9 (30%)", "events and percent"),
        ("24.1 \u00b1 9.6", "an SD or an SE"),
        ("24.1 +/- 9.6", "an SD or an SE"),
        ("9/30", "the total into n"),
        ("9 of 30", "the total into n"),
        ("1 030", "without spaces"),
        ("1'030", "without spaces"),
        ("12 mg", "the number alone, in the unit"),
        ("week 6", "week 6 is 42"),
        ("24.1*", "goes into the note"),
        ("'24.1", "the number alone"),
    ],
)
def test_what_people_type_for_a_number_gets_its_own_advice(typed: str, advice: str) -> None:
    _, number, problems = read_cell(NUMBER, typed)
    assert number is None
    assert [problem.check for problem in problems] == ["not_a_number"]
    assert advice in problems[0].remedy


def test_reading_starts_without_pandas() -> None:
    rooms = "ketameta.evidence.checks.run, ketameta.review.start"
    code = f"import sys, {rooms}; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


_BASE = {name: csv_text(name, rows).encode() for name, rows in clean_tables().items()}
#: Text that can be written as UTF-8.
_WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
_NASTY = st.sampled_from(
    ["=1+1", "#REF!", "3-May", "1e308", "-1e-320", "0", "27,670", "\u2212", "NA", "\x00", '"', "'",
     "\u00a0", "accept: sd_ratio because", "accept:", ";", "a=b;a=b", "alder_2014",
     "1" * 400]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    table=st.sampled_from(sorted(_BASE)),
    content=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)),
    keep_header=st.booleans(),
)
def test_arbitrary_bytes_end_in_findings(
    table: str, content: bytes, keep_header: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = write_project(tmp_path_factory.mktemp("bytes"), clean_tables())
    header = _BASE[table].split(b"\n", 1)[0] + b"\n" if keep_header else b""
    table_path(root, table).write_bytes(header + content)
    report = run_checks(project_paths(root))
    for finding in report.findings:
        str(finding).encode("utf-8")
    # Every record of the file is read, refused or blank, or stands below a broken quotation mark.
    file = read_csv(table_path(root, table), table, TABLES[table])
    assert report.counts[table] == len(file.rows)
    assert report.refused[table] == len(file.refused)


@settings(max_examples=60, deadline=None)
@given(
    table=st.sampled_from(sorted(_BASE)),
    row=st.integers(0, 3),
    cells=st.dictionaries(st.integers(0, 30), st.one_of(_NASTY, st.floats().map(str), _WORDS)),
)
def test_arbitrary_cells_end_in_findings(
    table: str, row: int, cells: dict[int, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tables = clean_tables()
    target = tables[table][row % len(tables[table])]
    names = TABLES[table].column_names
    for index, value in cells.items():
        target[names[index % len(names)]] = value.replace("\r", "")
    root = write_project(tmp_path_factory.mktemp("cells"), tables)
    report = run_checks(project_paths(root))
    assert report.counts[table] + report.refused[table] <= len(tables[table])
