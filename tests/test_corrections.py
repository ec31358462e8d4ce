"""Corrections: declared, applied once, and refused when they are no longer needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from batches import CONTRAST, clean_tables, places, table_path, words, write_project
from ketameta.evidence import (
    Applied,
    Correction,
    Evidence,
    load_corrections,
    load_tables,
    try_corrections,
)
from ketameta.evidence.checks import checked_evidence, run_checks
from ketameta.paths import project_paths

WHERE = "{ study_id = 'alder_2014', arm_id = 'ketamine', outcome = 'depression' }"
ENTRY = {
    "id": "'alder-sd'",
    "table": "'outcomes'",
    "where": WHERE,
    "column": "'sd'",
    "action": "'override'",
    "value": "6.4",
    "expect": "0.64",
    "reason": "'a decimal point is misplaced'",
    "source": "'table 2'",
    "date": "'2026-03-02'",
    "status": "'active'",
}


class Refused(Exception):
    """Corrections that could not be applied, each with its reason."""


def apply_corrections(
    evidence: Evidence, corrections: Sequence[Correction]
) -> tuple[Evidence, tuple[Applied, ...]]:
    corrected, applied, findings = try_corrections(evidence, corrections)
    if findings:
        raise Refused("\n".join(str(finding) for finding in findings))
    return corrected, applied


def _entry(**cells: str | None) -> str:
    """Return the text of one entry; ``None`` leaves a field out."""
    fields = {name: value for name, value in (ENTRY | cells).items() if value is not None}
    return "[[correction]]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items())


def _project(root: Path, text: str, **outcome: str) -> Path:
    tables = clean_tables()
    tables["outcomes"][0].update({"sd": "0.64"} | outcome)
    write_project(root, tables)
    (root / "data" / "corrections.toml").write_text(text)
    return root


def _load(root: Path) -> tuple[Evidence, tuple[Correction, ...]]:
    evidence, findings = load_tables(project_paths(root))
    corrections, problems = load_corrections(project_paths(root))
    assert findings == () and problems == ()
    return evidence, corrections


def test_a_project_without_corrections_has_none(tmp_path: Path) -> None:
    assert load_corrections(project_paths(tmp_path)) == ((), ())


def test_an_override_puts_in_the_value_and_logs_both(tmp_path: Path) -> None:
    evidence, corrections = _load(_project(tmp_path, _entry()))
    corrected, log = apply_corrections(evidence, corrections)
    assert corrected.outcomes["sd"].tolist()[:2] == [6.4, 6.9]
    assert evidence.outcomes["sd"].tolist()[:2] == [0.64, 6.9]
    (applied,) = log
    assert (applied.correction.id, applied.line, applied.before, applied.after) == (
        "alder-sd",
        2,
        "0.64",
        "6.4",
    )
    assert applied.file == "data/extracted/demo/outcomes.csv"


@pytest.mark.parametrize("expect", ["0.64", "{ equals = 0.64 }", "'0.64'", "0.640"])
def test_the_expected_value_is_compared_as_a_number_or_as_printed(
    tmp_path: Path, expect: str
) -> None:
    evidence, corrections = _load(_project(tmp_path, _entry(expect=expect)))
    assert apply_corrections(evidence, corrections)[0].outcomes["sd"][0] == 6.4


def test_applying_twice_fails(tmp_path: Path) -> None:
    for action in ("override", "drop", "flag"):
        root = tmp_path / action
        evidence, corrections = _load(_project(root, _entry(action=f"'{action}'")))
        once, _ = apply_corrections(evidence, corrections)
        with pytest.raises(Refused, match="alder-sd"):
            apply_corrections(once, corrections)


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"expect": "0.65"}, "expects sd to be 0.65 .* finds 0.64, and may no longer be needed"),
        ({"where": "{ study_id = 'birch_2015' }"}, "matches no row, and may no longer be needed"),
        ({"where": "{ study_id = 'alder_2014' }"}, "matches 4 rows .*outcomes.csv:2"),
    ],
)
def test_a_correction_that_does_not_fit_is_refused(
    tmp_path: Path, cells: dict[str, str], why: str
) -> None:
    evidence, corrections = _load(_project(tmp_path, _entry(**cells)))
    with pytest.raises(Refused, match=why):
        apply_corrections(evidence, corrections)


def test_every_refusal_is_named_at_once(tmp_path: Path) -> None:
    text = _entry(expect="1") + _entry(id="'second'", where="{ study_id = 'birch_2015' }")
    evidence, corrections = _load(_project(tmp_path, text))
    with pytest.raises(Refused) as caught:
        apply_corrections(evidence, corrections)
    assert "alder-sd" in str(caught.value) and "second" in str(caught.value)


def test_a_refusal_is_a_finding_of_the_checks_with_its_line(tmp_path: Path) -> None:
    root = _project(tmp_path, "\n\n" + _entry(expect="1"), sd="6.4")
    report = run_checks(project_paths(root))
    assert places(report, "correction") == [("corrections.toml", 10, "expect")]
    assert words(report) == {"correction"} and report.errors


def test_the_checks_see_the_corrected_value(tmp_path: Path) -> None:
    root = _project(tmp_path, _entry())
    report, evidence = checked_evidence(project_paths(root))
    assert report.findings == ()
    assert [item.correction.id for item in report.applied] == ["alder-sd"]
    assert evidence.outcomes["sd"][0] == 6.4
    (root / "data" / "corrections.toml").unlink()
    assert "sd_ratio" in words(run_checks(project_paths(root)))


def test_a_dropped_row_is_left_out(tmp_path: Path) -> None:
    entry = _entry(action="'drop'", column=None, value=None, expect=None)
    evidence, corrections = _load(_project(tmp_path, entry))
    corrected, (applied,) = apply_corrections(evidence, corrections)
    assert len(corrected.rows("outcomes")) == 3 and applied.line == 2


def test_a_flagged_row_keeps_its_values_and_its_findings_are_accepted(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["contrasts"][0].update(CONTRAST | {"estimate": "5.8"})
    root = write_project(tmp_path, tables)
    entry = _entry(
        table="'contrasts'", where="{ study_id = 'alder_2014' }", column="'estimate'",
        action="'flag'", value=None, expect="5.8",
    )  # fmt: skip
    (root / "data" / "corrections.toml").write_text(entry)
    report, evidence = checked_evidence(project_paths(root))
    assert report.findings == ()
    assert [(item.finding.check, item.reason) for item in report.accepted] == [
        ("interval_contains", "corrections.toml alder-sd: a decimal point is misplaced")
    ]
    assert evidence.contrasts["_flags"].tolist() == ["alder-sd"]


def test_a_flag_does_not_excuse_the_structure(tmp_path: Path) -> None:
    root = _project(tmp_path, _entry(action="'flag'", value=None), analysis_set="everybody")
    assert "unknown_word" in words(run_checks(project_paths(root)))


def test_an_empty_text_empties_the_cell_and_matches_an_empty_one(tmp_path: Path) -> None:
    where = WHERE.replace(" }", ", subgroup = '' }")
    evidence, corrections = _load(_project(tmp_path, _entry(value="''", where=where)))
    corrected, _ = apply_corrections(evidence, corrections)
    assert corrected.rows("outcomes")[0]["sd"] == ""
    assert corrected.outcomes["sd"].isna()[0]


def test_whole_numbers_of_toml_match_cells(tmp_path: Path) -> None:
    where = WHERE.replace(" }", ", time_days = 28 }")
    entry = _entry(where=where, column="'n'", value="28", expect="30")
    evidence, corrections = _load(_project(tmp_path, entry))
    corrected, _ = apply_corrections(evidence, corrections)
    assert corrected.rows("outcomes")[0]["n"] == "28" and corrected.outcomes["n"][0] == 28


def test_retired_corrections_rest(tmp_path: Path) -> None:
    root = _project(tmp_path, _entry(status="'retired'", expect="77"), sd="6.4")
    assert load_corrections(project_paths(root)) == ((), ())
    assert run_checks(project_paths(root)).findings == ()


@pytest.mark.parametrize(
    ("cells", "column", "message"),
    [
        ({"reason": None}, "reason", "a text is needed here"),
        ({"reason": "''"}, "reason", "a text is needed here"),
        ({"table": "'outcome'"}, "table", "did you mean outcomes?"),
        ({"action": "'overide'"}, "action", "did you mean override?"),
        ({"status": "'done'"}, "status", "one of active, retired"),
        ({"where": None}, "where", "nothing says which row is meant"),
        ({"where": "{ study = 'x' }"}, "where", "outcomes has no such column as"),
        ({"column": "'ds'"}, "column", "outcomes has no such column as"),
        ({"column": None}, "column", "nothing says which cell is meant"),
        ({"value": None}, "value", "an override needs a value"),
        ({"expect": None}, "expect", "an override states the wrong value it expects"),
        ({"value": "[1]"}, "value", "it is [1]"),
        ({"value": "nan"}, "value", "it is nan"),
        ({"value": "'6.4'"}, "value", "the column holds numbers"),
        ({"reasons": "'x'"}, "reasons", "did you mean reason"),
    ],
)
def test_an_incomplete_entry_is_a_finding(
    tmp_path: Path, cells: dict[str, str | None], column: str, message: str
) -> None:
    text = _entry() + "\n\n" + _entry(**{"id": "'other'", **cells})
    root = _project(tmp_path, text)
    report = run_checks(project_paths(root))
    lines = text.splitlines()
    start = len(lines) - lines[::-1].index("[[correction]]")
    own = [n for n, line in enumerate(lines, 1) if n > start and line.startswith(f"{column} =")]
    place = own[0] if own else start
    assert places(report, "correction") == [("corrections.toml", place, column)]
    (finding,) = report.findings
    assert message in f"{finding.why}: {finding.remedy}"


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"expect": "[31.9]"}, ":8 expect: it is [31.9]: write a text or a number"),
        (
            {"where": "{ time_days = true }"},
            ":4 where.time_days: it is true: write a text",
        ),
        ({"value": "true"}, ":7 value: it is true: write a text or a number"),
        ({"where": "3"}, ":4 where: a table is needed"),
    ],
)
def test_a_wrong_value_is_shown_as_written(
    tmp_path: Path, cells: dict[str, str | None], said: str
) -> None:
    report = run_checks(project_paths(_project(tmp_path, _entry(**cells), sd="6.4")))
    found = [str(item) for item in report.findings if item.check == "correction"]
    assert any(f"corrections.toml{said}" in text for text in found), found


@pytest.mark.parametrize(
    "text", ["correction = 3", "correction = [3, 'a']", "[correction]", "[[corection]]"]
)
def test_what_is_no_list_of_corrections_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    report = run_checks(project_paths(_project(tmp_path, f"# One.\n\n{text}\n", sd="6.4")))
    assert {item.line for item in report.findings if item.check == "correction"} == {3}


def test_everything_wrong_with_an_entry_is_told_at_once(tmp_path: Path) -> None:
    entry = _entry(
        id="5", table="'outcome'", where="'all'", column="['sd']", action="'change'", value="[1]",
        expect=None, reason=None, status="'done'",
    )  # fmt: skip
    report = run_checks(project_paths(_project(tmp_path, entry)))
    found = {item.column for item in report.findings if item.check == "correction"}
    assert found == {"id", "table", "where", "column", "action", "value", "reason", "status"}


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("[[correction]\n", "toml_unreadable"),
        ("[correction]\nid = 'x'\n", "correction"),
        ("correction = [1, 2]\n", "correction"),
        ("[[corrections]]\n", "correction"),
        ("\x00", "toml_unreadable"),
        ("# caf\xe9\n", "encoding"),
        ("[[correction]]\nvalue = " + "9" * 5000, "toml_unreadable"),
        ("[[correction]]\nvalue = 0x" + "f" * 400, "toml_unreadable"),
        ("a = " + "[" * 5000, "toml_unreadable"),
        (".".join("a" * 5000) + " = 1", "toml_unreadable"),
    ],
)
def test_a_broken_file_is_a_finding(tmp_path: Path, text: str, check: str) -> None:
    root = _project(tmp_path, text, sd="6.4")
    (root / "data" / "corrections.toml").write_bytes(text.encode("latin-1"))
    report = run_checks(project_paths(root))
    assert words(report) - {"hidden_character"} == {check} and report.errors


def test_two_corrections_need_two_names(tmp_path: Path) -> None:
    report = run_checks(project_paths(_project(tmp_path, _entry() + "\n" + _entry())))
    assert places(report, "correction") == [("corrections.toml", 15, "id")]


def test_the_table_itself_is_never_changed(tmp_path: Path) -> None:
    root = _project(tmp_path, _entry())
    before = table_path(root, "outcomes").read_bytes()
    checked_evidence(project_paths(root))
    assert table_path(root, "outcomes").read_bytes() == before
