"""Starting a batch: headers, example, words, and what a wrong name is answered."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from batches import BATCH_TABLES, SCHEMA, clean_tables, csv_text, write_project
from ketameta.errors import UsageError
from ketameta.evidence import Schema
from ketameta.evidence.checks import run_checks
from ketameta.paths import ProjectPaths, project_paths
from ketameta.review import (
    SIMULATED,
    check_study_id,
    example,
    new_batch,
    readme,
    study_id_from,
    worked_words,
)


def example_row(table: str, schema: Schema, declared: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Return the example row of one table."""
    return {column: cell for column, cell, _ in example(schema, declared)[table]}


def shared_lists(root: Path, source: Path) -> ProjectPaths:
    """Return a project with the committed outcome words and instruments, and no batch."""
    (root / "data" / "extracted").mkdir(parents=True)
    for name in ("outcome_words", "instruments"):
        shutil.copy(source / "data" / f"{name}.csv", root / "data")
    shutil.copy(source / "project.toml", root)
    return project_paths(root)


def test_a_new_batch_has_the_headers_of_the_schema(tmp_path, project_root):
    paths = shared_lists(tmp_path, project_root)
    files = new_batch(paths, "alder_2014")
    assert {file.name for file in files} == {*(f"{t.name}.csv" for t in BATCH_TABLES), "README.md"}
    for table in BATCH_TABLES:
        with (paths.extracted / "alder_2014" / f"{table.name}.csv").open(encoding="utf-8") as file:
            assert list(csv.reader(file)) == [[column.name for column in table.usual]]


def test_a_new_batch_has_nothing_to_mend(tmp_path, project_root):
    paths = shared_lists(tmp_path, project_root)
    new_batch(paths, "alder_2014")
    assert run_checks(paths).errors == ()


def test_the_readme_shows_a_simulated_row_of_every_table_and_the_words(tmp_path, project_root):
    paths = shared_lists(tmp_path, project_root)
    new_batch(paths, "alder_2014")
    text = (paths.extracted / "alder_2014" / "README.md").read_text(encoding="utf-8")
    assert f"The trial {SIMULATED} is simulated" in text
    assert "ketameta check data/extracted/alder_2014" in text
    for table in BATCH_TABLES:
        assert f"{table.name}.csv" in text
        for column in table.columns:
            assert all(word in text for word in column.allowed if word.isidentifier())
    assert "madrs" in text and "working_memory" in text


def test_the_example_rows_pass_every_check(tmp_path, project_root):
    paths = shared_lists(tmp_path, project_root)
    control = {"arm_id": "placebo", "intervention": "placebo", "drug_class": "placebo"}
    words = worked_words(paths)
    worked = {table.name: example_row(table.name, SCHEMA, words) for table in BATCH_TABLES}
    arm, score = worked["arms"], worked["outcomes"]
    rows = {
        "studies": [worked["studies"]],
        "arms": [arm, arm | control | {"role": "control", "dose": "", "dose_unit": ""}],
        "outcomes": [score, score | {"arm_id": "placebo", "mean": "29.8", "sd": "10.1"}],
        "contrasts": [worked["contrasts"]],
        "risk_of_bias": [worked["risk_of_bias"]],
    }
    folder = paths.extracted / "demo"
    folder.mkdir()
    for table, cells in rows.items():
        (folder / f"{table}.csv").write_text(csv_text(table, cells), encoding="utf-8")
    assert [str(finding) for finding in run_checks(paths).findings] == []


def test_every_needed_column_is_in_the_example():
    for table in BATCH_TABLES:
        shown = {column for column, _, _ in example(SCHEMA, {})[table.name]}
        assert {c.name for c in table.columns if c.required} <= shown, table.name
        assert shown <= set(table.column_names)


def test_an_existing_folder_is_left_alone(tmp_path, project_root):
    paths = shared_lists(tmp_path, project_root)
    new_batch(paths, "alder_2014")
    note = paths.extracted / "alder_2014" / "README.md"
    note.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"already exists; work on in it.*alder_2014a"):
        new_batch(paths, "alder_2014")
    assert note.read_text(encoding="utf-8") == "mine"


def test_a_trial_that_is_extracted_is_not_started_again(tmp_path):
    paths = project_paths(write_project(tmp_path, clean_tables()))
    with pytest.raises(UsageError, match=r"data/extracted/demo/studies.csv:2.*alder_2014a"):
        new_batch(paths, "alder_2014")
    assert not (paths.extracted / "alder_2014").exists()


@pytest.mark.parametrize(
    ("typed", "suggestion"),
    [
        ("Zarate 2006", "zarate_2006"),
        ("zarate2006", "zarate_2006"),
        ("ZARATE_2006B", "zarate_2006b"),
        ("von Rotz, 2023", "von_rotz_2023"),
        ("Murrough et al. 2013a", "murrough_2013a"),
        ("Müller-Thomsen 2011", "muller_thomsen_2011"),
        ("Øverland 2019", "overland_2019"),
        ("Ahvaz nd", "ahvaz_nd"),
    ],
)
def test_a_name_of_another_form_is_answered_with_ours(typed, suggestion):
    assert study_id_from(typed) == suggestion
    with pytest.raises(UsageError, match=f"did you mean {suggestion}"):
        check_study_id(typed)


@pytest.mark.parametrize("typed", ["Zarate", "", "2006", "../etc", "a b c"])
def test_a_name_without_surname_or_year_is_refused(typed):
    assert study_id_from(typed) == ""
    with pytest.raises(UsageError, match="is not a study name"):
        check_study_id(typed)


def test_the_readme_cannot_be_broken_by_a_word():
    text = readme("alder_2014")
    assert "| `" not in text and "| https://example.org/simulated-2020 |" in text
    # Read in an editor, every word stands as it is typed: the "<" of p_relation too.
    assert "&#8203;" not in text and "&lt;" not in text and "| =, <, " in text


def test_no_batch_is_made_outside_a_project(tmp_path):
    with pytest.raises(UsageError, match="there is no data/ folder here"):
        new_batch(project_paths(tmp_path), "alder_2014")
    assert list(tmp_path.iterdir()) == []
