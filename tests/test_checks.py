"""The runner and its report: what is accepted, what is asked about, how it is printed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batches import (
    CONTROL,
    SCORE,
    STUDY,
    TREATMENT,
    check_tables,
    clean_tables,
    csv_text,
    places,
    table_path,
    words,
    write_project,
)
from ketameta.errors import ExtractionError, UsageError
from ketameta.evidence import LONGEST_SHOWN, Finding, file_finding, shown, sort_findings
from ketameta.evidence.checks import (
    CHECKS,
    READING,
    check_project,
    format_findings,
    run_checks,
)
from ketameta.inputs import load_evidence
from ketameta.paths import project_paths

SD_RATIO = {"sd": "2.1"}


def _project_with_a_warning(root: Path, note: str = "") -> Path:
    tables = clean_tables()
    tables["outcomes"][0].update(SD_RATIO, note=note)
    return write_project(root, tables)


def test_a_finding_reads_place_value_why_remedy() -> None:
    finding = file_finding("bounds", "a/b.csv", "it must be above 0", "check it", line=4,
                           column="sd", value="-1")  # fmt: skip
    assert str(finding) == "a/b.csv:4 sd: -1: it must be above 0: check it"
    assert str(file_finding("empty_file", "a/b.csv", "no rows", "add one")) == (
        "a/b.csv: no rows: add one"
    )


def test_invisible_and_long_values_are_made_visible_and_short() -> None:
    assert shown("a\u00a0b\n") == "a<U+00A0>b<U+000A>"
    assert len(shown("x" * 500)) == LONGEST_SHOWN


def test_findings_are_sorted_and_each_stands_once() -> None:
    def one(file: str, line: int) -> Finding:
        return file_finding("x", file, "w", "r", line=line)

    mixed = [one("b", 1), one("a", 10), one("a", 9), one("a", 9)]
    assert [(item.file, item.line) for item in sort_findings(mixed)] == [
        ("a", 9), ("a", 10), ("b", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "note",
    [
        "accept: sd_ratio because both were compared with table 2",
        "printed like this. Accept: sd_ratio because both were compared with table 2; n from text",
    ],
)
def test_an_accepted_warning_is_listed_with_its_reason(tmp_path: Path, note: str) -> None:
    report = run_checks(project_paths(_project_with_a_warning(tmp_path, note)))
    assert report.findings == ()
    assert [(item.finding.check, item.reason) for item in report.accepted] == [
        ("sd_ratio", "both were compared with table 2")
    ]
    text = format_findings(report)
    assert "outcomes.csv:2 sd_ratio: both were compared with table 2" in text
    assert "1 accepted" in text


def test_either_row_of_a_pair_may_accept(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["outcomes"][0].update(SD_RATIO)
    tables["outcomes"][1]["note"] = "accept: sd_ratio because checked"
    report = check_tables(tmp_path, tables)
    assert (report.findings, len(report.accepted)) == ((), 1)


@pytest.mark.parametrize(
    ("note", "why", "left"),
    [
        ("accept: sd_ratio", "the reason is missing", True),
        ("accept: sd_ratios because checked", "no check has this name", True),
        ("accept: this please", "no check has this name", True),
        ("accept: -", "no check has this name", True),
        ("accept:", "no check is named", True),
        ("accept: sd_ratio because ok; accept: se_as_sd because ok", "no such warning", False),
    ],
)
def test_an_acceptance_that_does_nothing_says_so(
    tmp_path: Path, note: str, why: str, left: bool
) -> None:
    report = run_checks(project_paths(_project_with_a_warning(tmp_path, note)))
    (void,) = [item for item in report.findings if item.check == "accept"]
    assert why in void.why and (void.line, void.column, void.severity) == (2, "note", "warning")
    assert ("sd_ratio" in words(report)) is left


def test_no_acceptance_is_judged_beside_a_table_that_was_read_in_part(tmp_path: Path) -> None:
    root = _project_with_a_warning(
        tmp_path, "accept: sd_ratio because ok; accept: se_as_sd because ok"
    )
    (path,) = (root / "data").rglob("arms.csv")
    path.write_text(path.read_text("utf-8").replace("formulation", "formulatoin", 1), "utf-8")
    assert "accept" not in words(run_checks(project_paths(root)))


def test_an_error_cannot_be_accepted(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["outcomes"][2].update(events="40", note="accept: events_above_n because printed")
    report = check_tables(tmp_path, tables)
    assert places(report, "events_above_n") == [("outcomes.csv", 4, "events")]
    (void,) = report.warnings
    assert void.why == "an error cannot be accepted"


def test_words_of_checks_are_unique_and_described() -> None:
    listed = [check.word for check in CHECKS]
    assert len(set(listed) | set(READING)) == len(listed) + len(READING)


def test_every_word_that_reading_reports_is_described(tmp_path: Path) -> None:
    source = Path(sys.modules["ketameta.evidence.checks"].__file__ or "").parents[2]
    names = (
        "evidence/findings.py",
        "evidence/project.py",
        "evidence/reader.py",
        "evidence/tables.py",
        "evidence/corrections.py",
        "evidence/second_extraction.py",
    )
    files = [source / name for name in (*names, "evidence/checks/search.py")]
    files += [source / "analyses" / name for name in ("spec_file.py", "claims.py")]
    files.append(source / "inputs.py")
    text = "".join(path.read_text() for path in files)
    for word in READING:
        if word != "accept":
            assert f'"{word}"' in text, word


def _two_batches(root: Path) -> Path:
    write_project(root, clean_tables())
    second = {"study_id": "birch_2015"}
    rows = {
        "studies": [STUDY | second | {"citation": "Birch."}],
        "arms": [TREATMENT | second, CONTROL | second],
        "outcomes": [
            SCORE | second | SD_RATIO,
            SCORE | second | {"arm_id": "placebo", "mean": "14.4"},
            SCORE,
        ],
    }
    for table, content in rows.items():
        path = table_path(root, table, "second")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(csv_text(table, content))
    return root


@pytest.mark.parametrize("batch", ["second", "data/extracted/second"])
def test_one_batch_is_checked_against_all_others(tmp_path: Path, batch: str) -> None:
    root = _two_batches(tmp_path)
    only = [batch if "/" not in batch else root / batch]
    report = run_checks(project_paths(root), only)
    assert places(report, "duplicate_key") == [("outcomes.csv", 4, "")]
    assert places(report, "sd_ratio") == [("outcomes.csv", 2, "sd")]


def test_findings_of_other_batches_stay_out(tmp_path: Path) -> None:
    root = _two_batches(tmp_path)
    report = run_checks(project_paths(root), ["demo"])
    # The duplicated key concerns both batches; the ratio of the other one does not.
    assert words(report) == {"duplicate_key"}
    one_file = root / "data/extracted/second/studies.csv"
    assert run_checks(project_paths(root), [one_file]).findings == ()


def test_a_batch_outside_the_project_is_read_beside_it(tmp_path: Path) -> None:
    root = _two_batches(tmp_path / "project")
    outside = tmp_path / "draft"
    (root / "data/extracted/second").rename(outside)
    report = run_checks(project_paths(root), [outside])
    assert words(report) == {"duplicate_key", "sd_ratio"}
    assert run_checks(project_paths(root)).findings == ()


def test_text_is_grouped_by_file_with_a_summary(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["outcomes"][0].update(SD_RATIO)
    tables["arms"][0]["role"] = "treatmnt"
    text, code = check_project(write_project(tmp_path, tables))
    assert code == 1
    assert text.splitlines()[0] == "data/extracted/demo/arms.csv: 1 error, 0 warnings"
    assert (
        "  error    data/extracted/demo/arms.csv:2 role: treatmnt: not one of the words allowed "
        "here: one of treatment, control; did you mean treatment? [unknown_word] "
        "(alder_2014, ketamine)"
    ) in text
    assert text.splitlines()[-1] == "16 rows read: 1 error, 1 warning."


def test_many_alike_are_counted(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["outcomes"] = [SCORE | {"time_days": str(day), "mean": "12,1"} for day in range(1, 21)]
    text, _ = check_project(write_project(tmp_path, tables))
    assert text.count("[decimal_comma]") == 1
    assert "), and lines 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 ..." in text
    for day, row in enumerate(tables["outcomes"], 1):
        row["mean"] = f"12,{day}"
    text, _ = check_project(write_project(tmp_path, tables))
    assert text.count("[decimal_comma]") == 5
    assert "... and 15 more decimal_comma in mean, lines 7, 8, 9" in text


@pytest.mark.parametrize("name", ["studies", "arms", "outcomes", "outcome_words", "instruments"])
@pytest.mark.parametrize(
    ("content", "check"),
    [(b"%PDF-1.4", "not_csv"), (b"", "empty_file"), (b"a,b\n1,2\n", "header_missing")],
)
def test_a_table_that_cannot_be_read_is_one_error(
    tmp_path: Path, name: str, content: bytes, check: str
) -> None:
    root = write_project(tmp_path, clean_tables())
    (path,) = (root / "data").rglob(f"{name}.csv")
    path.write_bytes(content)
    assert [item.check for item in run_checks(project_paths(root)).findings] == [check]


def test_rows_without_their_key_are_no_copies_and_nothing_is_missed_in_them(tmp_path: Path) -> None:
    root = write_project(tmp_path, clean_tables())
    (path,) = (root / "data").rglob("arms.csv")
    path.write_text(path.read_text(encoding="utf-8").replace("arm_id", "arm_idd", 1))
    checks = {item.check for item in run_checks(project_paths(root)).errors}
    assert checks == {"column_missing", "column_unknown"}


def test_warnings_alone_end_with_zero(tmp_path: Path) -> None:
    text, code = check_project(_project_with_a_warning(tmp_path))
    assert code == 0
    assert text.endswith("0 errors, 1 warning.")
    assert check_project(write_project(tmp_path, clean_tables()))[0] == (
        "16 rows read: 0 errors, 0 warnings."
    )


def test_json_holds_everything(tmp_path: Path) -> None:
    text, _ = check_project(_project_with_a_warning(tmp_path), format="json")
    document = json.loads(text)
    assert (document["errors"], document["warnings"]) == (0, 1)
    (finding,) = document["findings"]
    assert finding | {"why": "", "remedy": "", "places": []} == {
        "severity": "warning",
        "check": "sd_ratio",
        "file": "data/extracted/demo/outcomes.csv",
        "line": 2,
        "column": "sd",
        "value": "2.1",
        "why": "",
        "remedy": "",
        "row": "alder_2014, ketamine, depression, hamd, day 28, endpoint",
        "places": [],
    }
    assert finding["places"] == [{"file": "data/extracted/demo/outcomes.csv", "line": 3}]
    assert document["rows"]["outcomes"] == 4


def test_github_annotations_are_escaped_and_errors_come_first(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["outcomes"][0].update(SD_RATIO)
    tables["outcomes"][2].update(events="", percent="45%")
    text, code = check_project(write_project(tmp_path, tables), format="github")
    first, second, last = text.splitlines()
    assert code == 1
    assert first.startswith(
        "::error file=data/extracted/demo/outcomes.csv,line=4,title=not_a_number::percent: 45%25: "
    )
    assert second.startswith(
        "::warning file=data/extracted/demo/outcomes.csv,line=2,title=sd_ratio::"
    )
    assert last == "16 rows read: 1 error, 1 warning."


def test_an_unknown_format_lists_the_choices(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"format is 'jsn'.*'json'.*did you mean json"):
        check_project(tmp_path, format="jsn")


@pytest.mark.parametrize("name", ["demmo", "nowhere/at/all.csv", "a\0b", "x" * 5000])
def test_a_path_that_leads_nowhere_is_said_and_the_rest_is_checked(
    tmp_path: Path, name: str
) -> None:
    root = _project_with_a_warning(tmp_path)
    text, code = check_project(root, [name])
    assert code == 1 and "there is no such file or folder" in text and "demo" in text
    assert "sd_ratio" not in text
    both, code = check_project(root, [name, "demo"])
    assert code == 1 and "there is no such file or folder" in both and "[sd_ratio]" in both


def test_a_project_without_data_is_said_kindly(tmp_path: Path) -> None:
    text, code = check_project(tmp_path / "nothing")
    assert code == 1
    assert "data/extracted: there is no such folder: run inside the project" in text


def test_evidence_with_errors_is_not_handed_out(tmp_path: Path) -> None:
    evidence, _ = load_evidence(project_paths(_project_with_a_warning(tmp_path)))
    assert len(evidence.rows("outcomes")) == 4
    tables = clean_tables()
    tables["outcomes"][2]["events"] = "40"
    with pytest.raises(ExtractionError, match="1 error") as caught:
        load_evidence(project_paths(write_project(tmp_path, tables)))
    assert len(caught.value.findings) == 1


FLOW = """
[search]
date = "2026-11-22"
[flow]
identified = 120
removed_before_screening = {duplicates = 15, other = 5}
screened = 100
excluded = 70
sought = 30
not_retrieved = 2
assessed = 28
excluded_full_text = 20
included = 8
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ("screened = 100", "screened = 101", [(7, "flow.screened"), (9, "flow.sought")]),
        ("assessed = 28", "assessed = -28", [(11, "flow.assessed")]),
        ("assessed = 28", 'assesed = 28', [(11, "flow.assesed")]),
        ("included = 8", "", []),
        ('"2026-11-22"', '"2026-22-11"', [(3, "search.date")]),
    ],
)  # fmt: skip
def test_the_flow_of_records_adds_up(
    tmp_path: Path, old: str, new: str, expected: list[tuple[int, str]]
) -> None:
    root = write_project(tmp_path, clean_tables())
    (root / "data" / "search.toml").write_text(FLOW.replace(old, new) if old else FLOW)
    report = run_checks(project_paths(root))
    assert [(item.line, item.column) for item in report.findings] == expected
    assert words(report) <= {"search_flow", "search_date"}


RECORDS = """\
[records]
extracted = 12
converted = 9
excluded = 3

[records.by_source.one]
extracted = 7
converted = 5
excluded = 2

[records.by_source.two]
extracted = 5
converted = 4
excluded = 1
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ("converted = 9", "converted = 10", [(2, "records.extracted"), (3, "records.converted")]),
        ("excluded = 1", "excluded = 2", [(4, "records.excluded"),
                                          (12, "records.by_source.two.extracted")]),
        ("converted = 4", 'converted = "four"', [(13, "records.by_source.two.converted")]),
        ("[records.by_source.two]", "[records.by_source_two]", [(11, "records.by_source_two")]),
    ],
)  # fmt: skip
def test_the_records_add_up(
    tmp_path: Path, old: str, new: str, expected: list[tuple[int, str]]
) -> None:
    root = write_project(tmp_path, clean_tables())
    (root / "data" / "search.toml").write_text(RECORDS.replace(old, new) if old else RECORDS)
    report = run_checks(project_paths(root))
    assert [(item.line, item.column) for item in report.findings] == expected
    assert words(report) <= {"search_records"}


def test_the_excluded_records_are_those_of_the_list(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["exclusions"] = [
        {
            "study": "maple_2010", "outcome": "all", "records": "2", "reason_code": "no_number",
            "reason": "no number is printed", "date": "2026-03-02", "decided_by": "AB",
        }
    ]  # fmt: skip
    root = write_project(tmp_path, tables)
    (root / "data" / "search.toml").write_text(RECORDS)
    (finding,) = run_checks(project_paths(root)).findings
    assert (finding.check, finding.line, finding.severity) == ("search_records", 4, "warning")
    assert finding.why == "exclusions.csv lists 2 records"


@pytest.mark.parametrize("name", ["notes.md", "docs"])
def test_what_is_no_table_is_not_passed_as_checked(tmp_path: Path, name: str) -> None:
    root = write_project(tmp_path, clean_tables())
    (root / "notes.md").write_text("words")
    (root / "docs").mkdir()
    report = run_checks(project_paths(root), [root / name])
    assert [item.file for item in report.findings] == [name]


def test_a_batch_is_not_called_right_when_the_lists_cannot_be_read(tmp_path: Path) -> None:
    root = write_project(tmp_path, clean_tables())
    (root / "data" / "instruments.csv").unlink()
    report = run_checks(project_paths(root), ["demo"])
    assert words(report) == {"file_missing"}


@pytest.mark.parametrize("text", ["[flow", "flow = 3", "flow = []", "[[flow]]", "a = \x00"])
def test_a_broken_search_file_is_a_finding(tmp_path: Path, text: str) -> None:
    root = write_project(tmp_path, clean_tables())
    (root / "data" / "search.toml").write_text(text)
    assert words(run_checks(project_paths(root))) <= {
        *("toml_unreadable", "search_flow", "hidden_character"),
    }
    assert run_checks(project_paths(root)).errors


def _many(studies: int) -> dict[str, list[dict[str, str]]]:
    tables = clean_tables()
    for table in ("studies", "arms", "outcomes"):
        tables[table] = []
    for index in range(studies):
        study = {"study_id": f"alder_{1000 + index}"}
        tables["studies"].append(STUDY | study | {"citation": f"Trial {index}."})
        tables["arms"] += [TREATMENT | study, CONTROL | study]
        for day in range(1, 6):
            for arm, mean in (("ketamine", 12), ("placebo", 15)):
                cells = {"arm_id": arm, "time_days": str(day), "mean": f"{mean + day / 7:.3f}"}
                tables["outcomes"].append(SCORE | study | cells)
    tables["contrasts"] = tables["risk_of_bias"] = []
    return tables


def test_ten_thousand_rows_take_seconds(tmp_path: Path) -> None:
    root = write_project(tmp_path, _many(1000))
    start = time.process_time()
    report = run_checks(project_paths(root))
    # Measured 1.9 s of processor time; a quadratic check would take minutes.
    assert time.process_time() - start < 15
    assert report.counts["outcomes"] == 10_000 and report.findings == ()


def test_one_batch_is_checked_in_two_seconds_without_scipy(tmp_path: Path) -> None:
    root = _project_with_a_warning(tmp_path)
    code = (
        "import resource, sys; from ketameta.evidence.checks import check_project, t_two_sided; "
        "check_project(sys.argv[1], ['demo']); used = resource.getrusage(resource.RUSAGE_SELF); "
        "assert t_two_sided(2.0, 9) < 0.1 and 'scipy' not in sys.modules; "
        "print(used.ru_utime + used.ru_stime)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 2


@pytest.mark.parametrize("style", ["text", "github", "json"])
def test_no_cell_and_no_name_gives_orders_to_a_log_or_a_terminal(
    tmp_path: Path, style: str
) -> None:
    order = "\n::error file=x::forged\r\n##[error]forged %0A::warning::x\x1b[31m\u202e\u2028::x"
    tables = clean_tables()
    tables["outcomes"][0].update(mean=f"12{order}", note=f"accept: {order} because {order}")
    tables["arms"][0].update(intervention=order, drug_class=f"a,title=b::{order}")
    root = write_project(tmp_path, tables)
    strange = root / "data" / "extracted" / "demo" / f"::error::{order.replace('/', '')}.csv"
    strange.write_text("a\n")
    (root / "data" / "search.toml").write_text('[flow]\n"\\n::error::x" = 1\n"##[error]" = 2\n')
    text, code = check_project(root, format=style)
    assert code == 1 and "forged" in text
    lines = text.split("\n")
    assert all(c.isprintable() for line in lines for c in line)
    orders = [line for line in lines if line.lstrip().startswith("::")]
    ours = re.compile(r"::(?:error|warning) file=[^:,]+(?:,line=\d+)?,title=[a-z_]+::")
    assert all(style == "github" and ours.match(line) for line in orders)
    assert (style == "github") == bool(orders)
    assert "##[" not in text
    assert style != "github" or "%0A" not in text, "a percent sign of a cell is written as one"
