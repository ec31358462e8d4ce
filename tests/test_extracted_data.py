"""The committed data pass every check, and carry what a reader needs to verify them."""

from __future__ import annotations

from pathlib import Path

import pytest

from batches import SCHEMA, TABLES
from ketameta.evidence import Evidence, load_corrections
from ketameta.evidence.checks import CheckReport
from ketameta.inputs import read_inputs
from ketameta.paths import project_paths
from ketameta.review import dictionary_markdown

ROOT = Path(__file__).parents[1]
PATHS = project_paths(ROOT)


@pytest.fixture(scope="module")
def checked() -> tuple[CheckReport, Evidence]:
    inputs = read_inputs(PATHS)
    return inputs.report, inputs.evidence


def test_the_committed_data_have_no_errors(checked: tuple[CheckReport, Evidence]) -> None:
    report, _ = checked
    assert [str(finding) for finding in report.errors] == []
    assert sum(report.refused.values()) == 0


def test_there_are_data(checked: tuple[CheckReport, Evidence]) -> None:
    _, evidence = checked
    for table in ("studies", "arms", "outcomes", "contrasts", "instruments", "outcome_words"):
        assert evidence.rows(table), table


def test_every_number_has_a_locator_and_every_study_a_source(
    checked: tuple[CheckReport, Evidence],
) -> None:
    _, evidence = checked
    assert (evidence.outcomes["locator"] != "").all()
    assert (evidence.contrasts["locator"] != "").all()
    assert evidence.studies["source_url"].str.startswith("http").all()


def test_every_correction_is_applied(checked: tuple[CheckReport, Evidence]) -> None:
    report, _ = checked
    declared, _ = load_corrections(PATHS)
    assert [item.correction for item in report.applied] == list(declared)


def test_what_is_said_of_a_withdrawal_trial_is_what_it_prints(
    checked: tuple[CheckReport, Evidence],
) -> None:
    _, evidence = checked
    told = {
        row["arm_id"]: f"{row.number('events'):g} of {row.number('n'):g} people"
        for row in evidence.rows("outcomes")
        if row["study_id"] == "daly_2019" and row["outcome"] == "confusion_disorientation"
    }
    for name in ("harm_confusion_disorientation", "harm_confusion_other_comparisons"):
        note = (ROOT / "analyses" / f"{name}.toml").read_text(encoding="utf-8")
        assert f"{told['esketamine']} who went on" in note
        assert f"{told['placebo'].removesuffix(' people')} who changed to placebo" in note


def test_no_extracted_table_has_a_derived_column() -> None:
    for table in TABLES.values():
        assert not {"g", "smd", "log_or", "variance", "weight"} & set(table.column_names)


def test_the_committed_dictionary_is_the_one_of_the_schema() -> None:
    assert (PATHS.data / "README.md").read_text(encoding="utf-8") == dictionary_markdown(SCHEMA)
