"""A second extraction from its start to what was agreed on."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from batches import csv_text, table_path
from helpers import make_project, trials
from ketameta.errors import UsageError
from ketameta.evidence import agreement
from ketameta.evidence.checks import run_checks
from ketameta.paths import ProjectPaths
from ketameta.review import (
    agreement_document,
    as_text,
    new_batch,
    new_second,
    preview_batch,
    trace_document,
)


def started(tmp_path: Path) -> tuple[ProjectPaths, Path]:
    paths = make_project(tmp_path, trials(1))
    new_second(paths, "demo")
    return paths, paths.extracted / "demo" / "second"


def typed(paths: ProjectPaths, **changes: str) -> list[dict[str, str]]:
    """Type the outcomes of the first extraction a second time, some cells otherwise."""
    rows = [dict(row) for row in trials(1)["outcomes"]]
    rows = [row | {"extracted_by": "CD"} | changes for row in rows]
    for place, row in enumerate(rows):
        if "arm_id" in changes:
            row["arm_id"] = f"{changes['arm_id']}_{place}"
    path = table_path(paths.root, "outcomes").parent / "second" / "outcomes.csv"
    path.write_text(csv_text("outcomes", rows), encoding="utf-8")
    for name in ("arms", "contrasts"):
        (path.parent / f"{name}.csv").unlink(missing_ok=True)
    return rows


def test_it_starts_empty_and_shows_nothing_of_the_first(tmp_path: Path) -> None:
    paths, folder = started(tmp_path)
    text = "".join(path.read_text(encoding="utf-8") for path in folder.iterdir())
    assert "alder_2014" in text and "12.1" not in text and "hamd" not in text
    assert [item.check for item in run_checks(paths).findings if item.is_error] == []
    told = as_text(agreement_document(paths, agreement(paths)))
    assert "No row was typed a second time yet." in told and "do not differ" not in told
    typed(paths)
    with pytest.raises(UsageError, match="is there already"):
        new_second(paths, "demo")
    with pytest.raises(UsageError, match=r"no trial .*did you mean demo\?"):
        new_second(paths, "dmeo")
    new_batch(paths, "elm_2020")
    with pytest.raises(UsageError, match="holds no trial to extract again"):
        new_second(paths, "elm_2020")


def test_rows_under_other_names_are_proposed_as_matches(tmp_path: Path) -> None:
    paths, _ = started(tmp_path)
    typed(paths, arm_id="arm")
    text = as_text(agreement_document(paths, agreement(paths)))
    assert "Rows that may be one row under other names" in text
    assert text.count("(second), in outcomes") == 2


def test_a_copied_folder_is_refused(tmp_path: Path) -> None:
    paths, folder = started(tmp_path)
    (folder / "outcomes.csv").write_bytes(table_path(paths.root, "outcomes").read_bytes())
    for name in ("arms", "contrasts"):
        (folder / f"{name}.csv").unlink()
    found = [item for item in run_checks(paths).errors if item.check == "same_extractor"]
    assert [item.file for item in found] == ["data/extracted/demo/second"]


def test_what_was_reconciled_is_said_in_trace_and_preview(tmp_path: Path) -> None:
    paths, folder = started(tmp_path)
    typed(paths, sd="5.9")
    agreement(paths)
    path = folder / "reconciliation.csv"
    lines = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    for line in lines:
        line |= {"agreed": line["first"], "decided_by": "EF", "reason": "read again"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    assert run_checks(paths).errors == ()
    text = as_text(trace_document(paths, "alder_2014"))
    assert "Reconciled between two extractions" in text and "and 5.9, agreed on" in text
    assert f"{len(lines)} difference" in " ".join(preview_batch(paths, "demo").left_out)
