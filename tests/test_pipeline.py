"""Building the report: the same bytes everywhere, and only what changed is computed again."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest

from helpers import TWO_ANALYSES, make_project, score, trials, write_analysis
from ketameta.effect_table import derive_effects
from ketameta.errors import ExtractionError
from ketameta.paths import ProjectPaths, project_paths
from ketameta.pipeline import build, load_evidence


def files_of(paths: ProjectPaths) -> dict[str, bytes]:
    """Return every published file by name."""
    return {
        path.relative_to(paths.root).as_posix(): path.read_bytes()
        for path in sorted(paths.reports.rglob("*"))
        if path.is_file()
    }


def change(paths: ProjectPaths, table: str, edit: Callable[[list[dict[str, str]]], None]) -> None:
    """Edit the rows of a table of the project's batch."""
    path = next(paths.data.rglob(f"{table}.csv"))
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    edit(rows)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def project(tmp_path: Path, quick_figures: list[str]) -> ProjectPaths:
    """An invented project, built, whose figures cost nothing."""
    paths = make_project(tmp_path / "project", trials(3), TWO_ANALYSES)
    build(paths)
    quick_figures.clear()
    return paths


# --- the same bytes -------------------------------------------------------------------------------


def test_two_builds_in_two_folders_are_identical(built: ProjectPaths, tmp_path: Path) -> None:
    other = make_project(tmp_path / "elsewhere" / "deeper", trials(3), TWO_ANALYSES)
    with joblib.parallel_config(backend="sequential"):
        build(other)
    one, two = files_of(built), files_of(other)
    assert list(one) == list(two)
    assert [name for name in one if one[name] != two[name]] == []
    for expected in ("report.html", "manifest.json", "effects.csv", "results/rapid.json",
                     "results/nausea.json", "figures/rapid.svg", "figures/rapid.png",
                     "figures/evidence_map.svg"):  # fmt: skip
        assert f"reports/{expected}" in one


def test_nothing_published_names_a_folder_a_machine_or_a_time(built: ProjectPaths) -> None:
    marks = [str(built.root), str(Path.home()), os.sep + "tmp" + os.sep]
    host = platform.node()
    marks += [host] if len(host) > 6 else []
    for name, content in files_of(built).items():
        text = content.decode("utf-8", errors="ignore")
        assert not [mark for mark in marks if mark in text], name
        assert not re.search(r"\b\d\d:\d\d:\d\d\b", text), name


def test_a_second_build_computes_nothing_and_writes_nothing(
    project: ProjectPaths, quick_figures: list[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in project.root.rglob("*")}
    done = build(project)
    assert (done.computed, done.kept, done.written) == ((), ("rapid", "nausea"), ())
    assert quick_figures == []
    assert {path: path.stat().st_mtime_ns for path in project.root.rglob("*")} == before


def test_a_build_without_its_notes_gives_the_same_files(project: ProjectPaths) -> None:
    before = files_of(project)
    shutil.rmtree(project.build)
    done = build(project)
    assert done.computed == ("rapid", "nausea")
    assert [name for name in done.written if not name.startswith("reports/figures/")] == []
    assert files_of(project) == before


# --- only what changed ----------------------------------------------------------------------------


def test_a_changed_cell_recomputes_only_the_analyses_it_reaches(
    project: ProjectPaths, quick_figures: list[str]
) -> None:
    before = files_of(project)
    change(project, "outcomes", lambda rows: rows[0].update(mean="12.2"))
    done = build(project)
    assert (done.computed, done.kept) == (("rapid",), ("nausea",))
    after = files_of(project)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {
        "reports/effects.csv",
        "reports/results/rapid.json",
        "reports/report.html",
        "reports/report.pdf",
        "reports/manifest.json",
        "reports/reproduce.zip",
        "reports/tables/analysis-rapid.csv",
        "reports/tables/companions.csv",
        "reports/tables/pooled_results.csv",
        "reports/tables/rows_used.csv",
        "reports/tables/summary_of_findings.csv",
    }
    assert changed <= set(done.written)
    assert "rapid" in quick_figures and "nausea" not in quick_figures


def test_a_note_that_reaches_no_result_recomputes_nothing(project: ProjectPaths) -> None:
    change(project, "outcomes", lambda rows: rows[0].update(note="checked twice"))
    done = build(project)
    assert done.computed == ()
    # The page shows the note on the card of its row, and every page carries the hash of the data.
    assert not [name for name in done.written if "/results/" in name or "/figures/" in name]
    assert {"reports/report.html", "reports/manifest.json"} <= set(done.written)


def test_facts_that_results_carry_recompute_them(project: ProjectPaths) -> None:
    for table, cells in (
        ("studies", {"access": "abstract"}),
        ("studies", {"doi": "10.1234/other"}),
        ("arms", {"background_treatment": "usual care"}),
        ("outcomes", {"sd_origin": "model"}),
    ):
        change(project, table, lambda rows, cells=cells: rows[0].update(cells))
        assert "rapid" in build(project, figures_only=True).computed, (table, cells)


def test_an_arm_that_yields_no_effect_still_matters_for_what_is_in_scope(
    tmp_path: Path, quick_figures: list[str]
) -> None:
    tables = trials(2)
    tables["outcomes"] = [
        *tables["outcomes"][:2],
        score(study_id="birch_2016", sd="", n="24", note="accept: no_partner because invented"),
    ]
    paths = make_project(tmp_path, tables, TWO_ANALYSES)
    build(paths)
    result = json.loads((paths.results / "rapid.json").read_text(encoding="utf-8"))
    assert [row["study_id"] for row in result["unused"]] == ["birch_2016"]

    def other_drug(rows: list[dict[str, str]]) -> None:
        for row in rows:
            if (row["study_id"], row["arm_id"]) == ("birch_2016", "ketamine"):
                row.update(intervention="memantine")

    change(paths, "arms", other_drug)
    assert "rapid" in build(paths).computed
    result = json.loads((paths.results / "rapid.json").read_text(encoding="utf-8"))
    assert result["unused"] == []


def test_a_changed_question_recomputes_itself(project: ProjectPaths) -> None:
    write_analysis(project.analyses, "nausea", TWO_ANALYSES["nausea"].replace("RR", "OR"))
    assert build(project).computed == ("nausea",)


def test_a_file_edited_by_hand_is_put_right(
    project: ProjectPaths, quick_figures: list[str]
) -> None:
    before = files_of(project)
    (project.results / "rapid.json").write_text("{}", encoding="utf-8")
    (project.figures / "rapid.svg").write_text("<svg/>", encoding="utf-8")
    (project.reports / "report.html").write_text("better", encoding="utf-8")
    done = build(project)
    assert done.computed == ("rapid",)
    assert quick_figures == ["rapid"]
    assert files_of(project) == before


def test_a_question_that_is_gone_takes_its_files_along(project: ProjectPaths) -> None:
    (project.analyses / "nausea.toml").unlink()
    done = build(project)
    assert not any("nausea" in name for name in files_of(project))
    assert {"reports/results/nausea.json", "reports/figures/nausea.svg"} <= set(done.written)


def test_figures_alone_write_no_page(tmp_path: Path, quick_figures: list[str]) -> None:
    paths = make_project(tmp_path, trials(3), TWO_ANALYSES)
    build(paths, figures_only=True)
    assert {"rapid", "nausea", "evidence_map"} <= set(quick_figures)
    assert not (paths.reports / "report.html").exists()
    assert not (paths.reports / "manifest.json").exists()


def test_every_step_is_announced(tmp_path: Path, quick_figures: list[str]) -> None:
    said: list[str] = []
    build(make_project(tmp_path, trials(2), TWO_ANALYSES), say=said.append)
    assert said == [
        "Reading and checking tables and questions",
        "Computing rapid",
        "Computing nausea",
        "Drawing figures",
        "Writing the report",
    ]


# --- when something is wrong ----------------------------------------------------------------------


def test_data_with_errors_stop_the_build_before_anything_is_written(
    project: ProjectPaths,
) -> None:
    before = files_of(project)
    change(project, "outcomes", lambda rows: rows[0].update(sd="-2", n="999"))
    with pytest.raises(ExtractionError) as caught:
        build(project)
    text = str(caught.value)
    assert "outcomes.csv:2 sd: -2" in text and "outcomes.csv:2 n: 999" in text
    assert len(caught.value.findings) >= 2
    assert files_of(project) == before


def test_a_bad_analysis_stops_the_build_before_anything_is_written(project: ProjectPaths) -> None:
    before = files_of(project)
    change(project, "outcomes", lambda rows: rows[0].update(mean="12.2"))
    write_analysis(
        project.analyses, "bad", TWO_ANALYSES["rapid"].replace("depression", "depresion")
    )
    with pytest.raises(ExtractionError, match="did you mean depression"):
        build(project)
    assert files_of(project) == before


def test_a_missing_record_of_the_search_is_said(project: ProjectPaths) -> None:
    (project.data / "search.toml").unlink()
    with pytest.raises(ExtractionError, match=r"data/search\.toml: there is no such file"):
        build(project)


def test_an_empty_folder_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ExtractionError, match="data"):
        build(project_paths(tmp_path / "nowhere"))


@pytest.mark.parametrize("stop_at", [1, 4])
def test_an_interrupted_build_leaves_whole_files_and_the_next_one_finishes(
    project: ProjectPaths, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    old = files_of(project)
    change(project, "outcomes", lambda rows: rows[0].update(mean="12.2"))
    replace, count = os.replace, 0

    def interrupted(source: str, target: str) -> None:
        nonlocal count
        count += 1
        if count == stop_at:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(project)
    monkeypatch.setattr(os, "replace", replace)
    halfway = files_of(project)
    assert set(halfway) == set(old), "no file is missing, and none is left over"
    build(project)
    new = files_of(project)
    for name, content in halfway.items():
        assert content in (old[name], new[name]), name
    fresh = make_project(project.root.parent / "fresh", trials(3), TWO_ANALYSES)
    change(fresh, "outcomes", lambda rows: rows[0].update(mean="12.2"))
    build(fresh)
    assert new == files_of(fresh)


# --- what is written ------------------------------------------------------------------------------


def test_the_manifest_lists_every_input_and_output_with_its_hash(built: ProjectPaths) -> None:
    manifest = json.loads((built.reports / "manifest.json").read_text(encoding="utf-8"))
    for part, folder in (("inputs", built.data), ("outputs", built.reports)):
        for name, digest in manifest[part].items():
            content = (built.root / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest, name
        found = {
            path.relative_to(built.root).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "manifest.json"
        }
        assert found <= set(manifest[part])
    assert "analyses/rapid.toml" in manifest["inputs"]
    assert set(manifest["versions"]) >= {"ketameta", "numpy", "scipy", "pymare"}
    assert not any("/" in version for version in manifest["versions"].values())


def test_results_are_the_text_of_the_analysis_and_nothing_else(built: ProjectPaths) -> None:
    for path in built.results.glob("*.json"):
        text = path.read_text(encoding="utf-8")
        value = json.loads(text, parse_constant=pytest.fail)  # NaN and infinity are no JSON
        assert value["name"] == path.stem
        assert json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n" == text


def test_the_effects_are_published_with_full_precision(built: ProjectPaths) -> None:
    evidence, _ = load_evidence(built)
    expected = derive_effects(evidence).effects.set_index("effect_id")
    with (built.reports / "effects.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["effect_id"] for row in rows}) == len(rows) == 6
    for row in rows:
        assert float(row["estimate"]) == expected.loc[row["effect_id"], "estimate"]
    mood = json.loads((built.results / "rapid.json").read_text(encoding="utf-8"))
    by_id = {row["effect_id"]: row for row in rows}
    for row in mood["groups"][0]["rows"]:
        printed = by_id[row["effect_ids"][0]]
        assert float(printed["estimate"]) == row["estimate"]
        assert float(printed["variance"]) == row["variance"]


def test_the_page_is_written_again_only_when_something_it_rests_on_changed(
    project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(
        "ketameta.report.publish.render_html", lambda _: calls.append("page") or "<html></html>"
    )
    build(project)
    assert calls == []
    for change_something in (
        lambda: (project.root / "LICENSE").write_text("Mine.\n", encoding="utf-8"),
        lambda: (project.reports / "report.html").write_text("edited", encoding="utf-8"),
        lambda: (project.reports / "tables" / "rows_used.csv").unlink(),
        lambda: (project.reports / "manifest.json").unlink(),
    ):
        change_something()
        build(project)
        assert calls == ["page"]
        calls.clear()
        build(project)
        assert calls == []
