"""Building the report: the same bytes everywhere, and only what changed is computed again."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import json
import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest

import ketameta
from batches import write_project
from helpers import (
    ANALYSIS,
    TWO_ANALYSES,
    arm,
    event,
    make_project,
    score,
    study,
    trials,
    without_figures,
    write_analysis,
)
from ketameta.analyses import AnalysisResult
from ketameta.build import build, code_fingerprint, package_versions
from ketameta.errors import ExtractionError
from ketameta.evidence import Assumptions, EffectTable, Evidence, derive_effects, file_finding
from ketameta.formatting import published
from ketameta.inputs import load_evidence
from ketameta.paths import ProjectPaths, kept_or_made, project_paths
from ketameta.report import contents_hash, package_code


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
def project(quickly_built: ProjectPaths, tmp_path: Path, quick_figures: list[str]) -> ProjectPaths:
    """An invented project, built, whose figures cost nothing."""
    return project_paths(shutil.copytree(quickly_built.root, tmp_path / "project"))


# --- the same bytes -------------------------------------------------------------------------------


def test_a_batch_may_be_called_by_two_words(built: ProjectPaths, tmp_path: Path) -> None:
    other = make_project(tmp_path, trials(3), TWO_ANALYSES)
    (other.extracted / "demo").rename(other.extracted / "murrough 2013")
    with joblib.parallel_config(backend="sequential"):
        build(other)
    one, two = files_of(built), files_of(other)
    assert set(one) == set(two)
    name = "reports/results/rapid.json"
    assert two[name] == one[name].replace(b"extracted/demo/", b"extracted/murrough 2013/")
    assert b"data/extracted/murrough 2013/outcomes.csv" in two["reports/questions/mood.html"]


def test_two_builds_in_two_folders_are_identical(built: ProjectPaths, tmp_path: Path) -> None:
    other = make_project(tmp_path / "elsewhere" / "deeper", trials(3), TWO_ANALYSES)
    with joblib.parallel_config(backend="sequential"):
        build(other)
    one, two = files_of(built), files_of(other)
    assert list(one) == list(two)
    assert [name for name in one if one[name] != two[name]] == []
    for expected in ("report.html", "questions/mood.html", "methods.html", "manifest.json",
                     "effects.csv", "results/rapid.json", "results/nausea.json",
                     "figures/rapid.svg", "figures/evidence_map.svg"):  # fmt: skip
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
        "reports/questions/mood.html",
        "reports/methods.html",
        "reports/report.pdf",
        "reports/supplement.pdf",
        "reports/supplement/studies-and-search.pdf",
        "reports/supplement/mood.pdf",
        "reports/supplement/harms.pdf",
        "reports/manifest.json",
        "reports/tables/analysis-rapid.csv",
        "reports/tables/sensitivity.csv",
        "reports/tables/pooled_results.csv",
        "reports/tables/rows_used.csv",
        "reports/tables/summary_of_findings.csv",
    }
    assert changed <= set(done.written)
    assert "rapid" in quick_figures and "nausea" not in quick_figures


def test_a_new_trial_touches_the_files_that_it_changes_and_no_others(
    project: ProjectPaths, quick_figures: list[str]
) -> None:
    before = files_of(project)
    name = "gorse_2022"
    write_project(
        project.root,
        {
            "studies": [study(name, year="2022")],
            "arms": [arm(study_id=name), arm("placebo", name, control=True)],
            "outcomes": [event(study_id=name), event("placebo", name, events="2")],
        },
        batch=name,
    )
    assert build(project).computed == ("nausea",)
    after = files_of(project)
    changed = {name for name in after if after[name] != before.get(name)}
    # Front page, PDF and manifest carry the hash of the data; the tables list all trials, and a
    # trial may move the numbers of the references.
    always = {f"reports/{name}" for name in
              ("report.html", "methods.html", "questions/harms.html", "report.pdf",
               "supplement.pdf", "manifest.json", "effects.csv")}  # fmt: skip
    lists = {f"reports/tables/{name}.csv" for name in
             ("pooled_results", "rows_used", "sensitivity", "summary_of_findings", "studies",
              "routes", "evidence_map", "moderators")}  # fmt: skip
    assert always <= changed
    assert {"reports/results/nausea.json", "reports/tables/analysis-nausea.csv"} <= changed
    shown = {f"reports/figures/{name}.svg" for name in ("harms_summary", "evidence_map")}
    others = changed - always - lists - shown - {"reports/questions/mood.html"}
    others -= {name for name in others if name.startswith("reports/supplement/")}
    assert not [name for name in others if "nausea" not in name], changed
    assert "rapid" not in quick_figures


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


def _in_words(paths: ProjectPaths, line: str, after: str) -> None:
    """Put a line into a file of the project, below a line of it."""
    file = paths.root / "project.toml"
    text = file.read_text(encoding="utf-8")
    assert f"{after}\n" in text
    file.write_text(text.replace(f"{after}\n", f"{after}\n{line}\n", 1), encoding="utf-8")


CORRECTION = """
[[correction]]
id = "slip"
table = "outcomes"
where = {study_id = "alder_2014", arm_id = "ketamine", outcome = "depression"}
column = "mean"
action = "override"
value = 12.4
expect = 12.1
reason = "Printed otherwise in the registry."
source = "registry"
date = "2026-11-22"
status = "active"
"""
MD = ANALYSIS + 'instrument = ["hamd"]\n\n[model]\nmeasure = "MD"\n'
#: A change of one thing, and the analyses whose results it reaches.
CHANGES: dict[str, tuple[Callable[[ProjectPaths], object], tuple[str, ...]]] = {
    "title": (
        lambda paths: write_analysis(paths.analyses, "rapid", MD.replace("Depression", "Mood")),
        ("rapid",),
    ),
    "threshold": (
        lambda paths: write_analysis(
            paths.analyses, "rapid",
            MD + 'important_difference = 2.0\nimportant_difference_source = "us"\n',
        ),
        ("rapid",),
    ),
    "an analysis less": (lambda paths: (paths.analyses / "nausea.toml").unlink(), ()),
    "number": (
        lambda paths: change(paths, "outcomes", lambda rows: rows[0].update(mean="12.2")),
        ("rapid",),
    ),
    "a trial less": (
        lambda paths: [
            change(paths, table, lambda rows: rows.__delitem__(slice(-len(rows) // 3, None)))
            for table in ("studies", "arms", "outcomes")
        ],
        ("rapid",),
    ),
    "note of a study": (
        lambda paths: change(paths, "studies", lambda rows: rows[0].update(notes="Read twice.")),
        (),
    ),
    "correction": (
        lambda paths: (paths.data / "corrections.toml").write_text(CORRECTION, encoding="utf-8"),
        ("rapid",),
    ),
    "unit of an instrument": (
        lambda paths: change(
            paths, "instruments", lambda rows: [row.update(unit="marks") for row in rows]
        ),
        ("rapid",),
    ),
    "word of the project": (
        lambda paths: _in_words(paths, 'placebo = "Nothing inside"', "[labels]"),
        ("rapid", "nausea"),
    ),
    "name of a study": (
        lambda paths: _in_words(paths, 'alder_2014 = "The alder"', "[study_labels]"),
        ("rapid", "nausea"),
    ),
    "title of the project": (
        lambda paths: _in_words(paths, 'funding = "Nobody"', "[project]"),
        (),
    ),
    "text": (
        lambda paths: (
            (paths.analyses / "text").mkdir(),
            (paths.analyses / "text" / "limitations.md").write_text("Invented.\n"),
        ),
        (),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def of_points(tmp_path_factory: pytest.TempPathFactory) -> ProjectPaths:
    """An invented project in points of an instrument, built quickly; not to be changed."""
    analyses = {**TWO_ANALYSES, "rapid": MD}
    paths = make_project(tmp_path_factory.mktemp("points") / "project", trials(3), analyses)
    with pytest.MonkeyPatch.context() as patch, without_figures(patch):
        build(paths)
    return paths


@pytest.mark.parametrize("what", CHANGES)
def test_a_build_after_a_change_is_a_build_from_nothing(
    of_points: ProjectPaths, tmp_path: Path, quick_figures: list[str], what: str
) -> None:
    """No kept part that is out of date is taken, and none that is up to date is made again."""
    after, fresh = (project_paths(tmp_path / name) for name in ("after", "fresh"))
    shutil.copytree(of_points.root, after.root)
    for name in ("data", "analyses"):
        shutil.copytree(of_points.root / name, fresh.root / name)
    shutil.copyfile(of_points.root / "project.toml", fresh.root / "project.toml")
    edit, reached = CHANGES[what]
    for paths in (after, fresh):
        edit(paths)
    assert build(after).computed == reached
    build(fresh)
    assert files_of(after) == files_of(fresh)


def test_a_changed_question_recomputes_itself(project: ProjectPaths) -> None:
    write_analysis(project.analyses, "nausea", TWO_ANALYSES["nausea"].replace("RR", "OR"))
    assert build(project).computed == ("nausea",)


def test_a_file_edited_by_hand_is_put_right(
    project: ProjectPaths, quick_figures: list[str]
) -> None:
    before = files_of(project)
    (project.results / "rapid.json").write_text("{}", encoding="utf-8")
    result = project.results / "nausea.json"
    result.write_bytes(result.read_bytes().replace(b"\n", b"\r\n"))
    (project.root / "kept.json").write_bytes((project.reports / "claims.json").read_bytes())
    (project.reports / "claims.json").unlink()
    (project.reports / "claims.json").symlink_to(project.root / "kept.json")
    (project.figures / "rapid.svg").write_text("<svg/>", encoding="utf-8")
    (project.reports / "report.html").write_text("better", encoding="utf-8")
    done = build(project)
    assert done.computed == ("rapid", "nausea")
    assert quick_figures == ["rapid"]
    assert files_of(project) == before
    assert not (project.reports / "claims.json").is_symlink()


def test_code_that_changes_no_number_changes_no_published_file(
    project: ProjectPaths, quick_figures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(project)
    monkeypatch.setattr("ketameta.build.code_hash", lambda _: "of other code")
    done = build(project)
    assert done.computed == ("rapid", "nausea"), "what may be out of date is computed again"
    assert set(quick_figures) >= {"rapid", "nausea", "evidence_map"}
    assert done.written == ()
    assert files_of(project) == before


@pytest.mark.parametrize(
    ("room", "rests_on_it"),
    [("report/front.py", False), ("report/templates/base.html.j2", False), ("verify.py", False),
     ("analyses/run.py", True), ("plots/forest.py", True), ("formatting.py", True)],
)  # fmt: skip
def test_results_and_drawings_rest_on_the_floors_below_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: str, rests_on_it: bool
) -> None:
    package = tmp_path / "ketameta"
    shutil.copytree(Path(ketameta.__file__).parent, package)
    monkeypatch.setattr(ketameta, "__file__", str(package / "__init__.py"))
    before, page = code_fingerprint(), contents_hash(project_paths(tmp_path))
    (package / room).write_bytes((package / room).read_bytes() + b"\n")
    assert code_fingerprint() == before, "code that came later does not run in this process"
    package_code.cache_clear()
    assert (code_fingerprint() != before) == rests_on_it
    assert contents_hash(project_paths(tmp_path)) != page, "pages are written again"


def test_no_published_file_holds_a_hash_of_code(built: ProjectPaths) -> None:
    from ketameta.report import code_hash

    for name, content in files_of(built).items():
        assert code_hash()[:12].encode() not in content, name
    manifest = json.loads((built.reports / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(manifest) == ["inputs", "outputs", "versions"]


def test_the_stamp_is_of_inputs_and_results(built: ProjectPaths) -> None:
    results = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in built.results.glob("*.json")
    }
    text = json.dumps(results, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    page = (built.reports / "report.html").read_text(encoding="utf-8")
    assert f"results <code>{digest[:12]}</code>" in page


def test_what_nothing_published_is_in_no_manifest(project: ProjectPaths) -> None:
    before = files_of(project)
    for name in ("notes.txt", ".hidden", "tables/.x.csv", "results/old.json", "report.png"):
        (project.reports / name).write_text("x", encoding="utf-8")
    (project.data / "private").mkdir()
    (project.data / "private" / "patients.csv").write_text("x", encoding="utf-8")
    build(project)
    after = files_of(project)
    for name in ("notes.txt", ".hidden", "report.png"):
        assert after.pop(f"reports/{name}") == b"x", "what nobody knows is left to verify"
    assert after == before


def test_what_a_killed_command_left_is_cleaned_by_the_next(project: ProjectPaths) -> None:
    before = files_of(project)
    dead, alive = _a_dead_process(), os.getppid()
    names = [f"reports/.report.html.new-{dead}-abcd1234", f"reports/results/.x.json.new-{dead}-a1"]
    for name in names:
        (project.root / name).write_text("half", encoding="utf-8")
    half = project.reports / "releases" / f".1.0.new-{dead}-x1"
    (half / "results").mkdir(parents=True)
    (half / "manifest.json").write_text("{}", encoding="utf-8")
    batch = project.extracted / f".demo.new-{dead}-x1"
    batch.mkdir()
    of_another = project.reports / f".report.pdf.new-{alive}-abcd1234"
    of_another.write_text("being written", encoding="utf-8")
    build(project)
    assert of_another.exists(), "another process is still writing it"
    of_another.unlink()
    assert not half.exists() and not batch.exists()
    assert files_of(project) == before


def test_a_batch_that_was_set_aside_is_put_back(project: ProjectPaths) -> None:
    """A kill between the two renames of a replaced batch loses neither."""
    before = files_of(project)
    aside = project.extracted / f".demo.old-{_a_dead_process()}-x1"
    aside.mkdir()
    (project.extracted / "demo").replace(aside / "demo")
    build(project)
    assert not aside.exists()
    assert files_of(project) == before


def _a_dead_process() -> int:
    """Return the number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    done.wait()
    return done.pid


def test_pictures_are_drawn_on_demand_and_go_when_their_figure_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_figures: list[str]
) -> None:
    paths = make_project(tmp_path / "project", trials(3), TWO_ANALYSES)
    monkeypatch.setattr("ketameta.build.pictures", lambda svg: {"png": b"P", "pdf": b"D"})
    build(paths)
    published = files_of(paths)
    assert not any(name.endswith(".png") for name in published)
    done = build(paths, figures_only=True)
    pictures = {f"reports/figures/{name}.{end}" for name in set(quick_figures)
                for end in ("png", "pdf")}  # fmt: skip
    assert set(done.written) == pictures == set(files_of(paths)) - set(published)
    assert build(paths, figures_only=True).written == (), "they are there already"
    assert build(paths).written == () and pictures <= set(files_of(paths))
    assert json.loads((paths.reports / "manifest.json").read_text())["outputs"].keys() == {
        *published
    } - {"reports/manifest.json"}
    monkeypatch.setattr(
        "ketameta.build.draw_figure",
        lambda kind, data, words, path, pages: path.write_text("<svg/>"),
    )
    change(paths, "outcomes", lambda rows: rows[0].update(mean="12.2"))
    build(paths)
    left = {name for name in files_of(paths) if name in pictures}
    assert "reports/figures/rapid.png" not in left, "it shows what the figure was"
    assert {"reports/figures/nausea.png", "reports/figures/nausea.pdf"} <= left
    (paths.analyses / "nausea.toml").unlink()
    build(paths)
    assert not any("nausea" in name for name in files_of(paths))


def test_effects_of_unchanged_tables_are_not_derived_again(
    project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = sorted((project.build / "cache").glob("derived-*.kept"))
    assert kept
    before = files_of(project)
    analysis = project.analyses / "nausea.toml"
    text = analysis.read_text(encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr("ketameta.evidence.derive.derive_effects", None)
        analysis.write_text(text.replace('title = "', 'title = "Asked again: '), encoding="utf-8")
        assert build(project).computed == ("nausea",)
        analysis.write_text(text, encoding="utf-8")
        assert build(project).computed == ("nausea",)
        assert files_of(project) == before
    for path in (project.build / "cache").glob("*.kept"):
        path.write_bytes(b"damaged")
    (project.build / "stamps" / "report.txt").unlink()
    build(project)
    assert files_of(project) == before
    change(project, "outcomes", lambda rows: rows[0].update(mean="12.2"))
    build(project)
    now = sorted((project.build / "cache").glob("derived-*.kept"))
    assert len(now) == len(kept) and not {*now} & {*kept}


def test_only_the_trials_that_changed_are_derived_again(
    project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived: list[set[str]] = []

    def recorded(evidence: Evidence, *assumed: Assumptions) -> EffectTable:
        derived.append({row["study_id"] for row in evidence.rows("studies")})
        return derive_effects(evidence, *assumed)

    monkeypatch.setattr("ketameta.evidence.derive.derive_effects", recorded)
    everybody = {"alder_2014", "birch_2016", "cedar_2017"}
    for edit, again in (
        (lambda: change(project, "outcomes", lambda rows: rows[0].update(mean="12.2")),
         {"alder_2014"}),
        (lambda: change(project, "arms", lambda rows: rows[-1].update(dose="0.25")),
         {"cedar_2017"}),
        (lambda: change(project, "instruments", lambda rows: rows[0].update(notes="Seen.")),
         everybody),
        (lambda: _in_words(project, 'placebo = "Nothing inside"', "[labels]"), everybody),
        (lambda: monkeypatch.setattr("ketameta.build.code_fingerprint", lambda: "x"), everybody),
    ):  # fmt: skip
        derived.clear()
        edit()
        build(project)
        assert set().union(*derived) == again


def test_what_a_page_shows_of_an_analysis_is_made_anew_when_its_trials_change(
    tmp_path: Path, quick_figures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def recorded(paths: ProjectPaths, result: AnalysisResult, *rest: Any) -> Any:
        made.append(result["name"])
        return real(paths, result, *rest)

    real = sys.modules["ketameta.report.context"].analysis_view
    tables = trials(3)
    for name, rows in (
        ("studies", [study("gorse_2022")]),
        ("arms", [arm(study_id="gorse_2022"), arm("placebo", "gorse_2022", control=True)]),
        ("outcomes", [event(study_id="gorse_2022"), event("placebo", "gorse_2022", events="2")]),
    ):
        tables[name] = [*tables[name], *rows]
    paths = make_project(tmp_path, tables, TWO_ANALYSES)
    build(paths)
    monkeypatch.setattr("ketameta.report.context.analysis_view", recorded)
    for table, place, cells, expected in (
        ("outcomes", 0, {"note": "checked twice"}, ["rapid"]),
        ("studies", -1, {"notes": "checked twice"}, ["nausea"]),
        ("instruments", 0, {"notes": "checked twice"}, ["rapid", "nausea"]),
    ):
        made.clear()
        change(paths, table, lambda rows, at=place, new=cells: rows[at].update(new))
        build(paths)
        assert made == expected, table


def test_a_page_is_rendered_anew_when_something_that_it_shows_changes(
    project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def recorded(context: Any, file: str, *rest: Any, **more: Any) -> str:
        made.append(Path(file).stem)
        return real(context, file, *rest, **more)

    real = sys.modules["ketameta.report.html"].render_page
    monkeypatch.setattr("ketameta.report.html.render_page", recorded)
    always = {"report", "methods"}
    for edit, expected in (
        (lambda: (project.root / "LICENSE").write_text("Mine.", encoding="utf-8"), always),
        (lambda: write_analysis(project.analyses, "rapid", ANALYSIS.replace("after", "past")),
         {*always, "mood"}),
        (lambda: change(project, "outcomes", lambda rows: rows[0].update(note="Read twice.")),
         {*always, "mood"}),
        (lambda: _in_words(project, 'rct = "Trials"', "[labels]"),
         {*always, "mood", "harms", "untested"}),
    ):  # fmt: skip
        made.clear()
        edit()
        build(project)
        assert set(made) == expected


def test_what_did_not_change_in_an_analysis_is_not_computed_again(
    project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ANALYSIS.replace('title = "', 'title = "Asked again: ')
    write_analysis(project.analyses, "rapid", text)
    monkeypatch.setattr("ketameta.analyses.run.second_engine", None)
    assert build(project).computed == ("rapid",)


def test_what_is_kept_of_the_tables_is_not_used_when_a_name_beside_them_changes(
    project: ProjectPaths,
) -> None:
    build(project)
    link = project.data / "linked.csv"
    link.symlink_to(project.data / "instruments.csv")
    with pytest.raises(ExtractionError, match=r"linked\.csv"):
        build(project)
    link.unlink()
    assert build(project).written == ()


def test_a_figure_is_drawn_anew_when_its_pages_are_not_those_drawn(
    project: ProjectPaths, quick_figures: list[str]
) -> None:
    page = project.pages / "rapid.page-01.svg"
    page.parent.mkdir(parents=True, exist_ok=True)
    for damage in (lambda: page.write_text("junk", encoding="utf-8"), page.unlink):
        quick_figures.clear()
        damage()
        build(project)
        assert quick_figures == ["rapid"]
        build(project)
        assert quick_figures == ["rapid"]


def test_a_kept_file_makes_values_and_runs_nothing(tmp_path: Path) -> None:
    def made(stamp: str, value: object) -> object:
        return kept_or_made(tmp_path, stamp, "value", lambda: value)

    value = {
        "numbers": [1.5, None],
        "words": {"a"},
        "own": file_finding("check", "file", "why", "remedy"),
    }
    assert made("one", value) == value
    assert made("one", "another") == value
    assert made("two", "another") == "another"
    [file] = tmp_path.iterdir()
    for other, sealed in ((os.getcwd, True), ("another", False)):
        data = pickle.dumps(other)
        file.write_bytes(hashlib.sha256(data).digest() * sealed + data)
        assert made("two", "made again") == "made again"
    file.write_bytes(file.read_bytes().replace(b"again", b"never"))
    assert made("two", "and again") == "and again"


def test_every_published_file_is_listed_for_make(project: ProjectPaths) -> None:
    listed = (project.build / "published.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(listed) == sorted(files_of(project))


def test_results_of_somebody_else_can_be_gone_on_with(project: ProjectPaths) -> None:
    text = (project.results / "rapid.json").read_text(encoding="utf-8")
    other = text.replace("Depression after ketamine", "Depression, seen elsewhere")
    build(project, instead={"results/rapid.json": other})
    assert (project.results / "rapid.json").read_text(encoding="utf-8") == other
    assert "Depression, seen elsewhere" in (project.reports / "questions/mood.html").read_text()
    build(project)
    assert (project.results / "rapid.json").read_text(encoding="utf-8") == text


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


def test_a_missing_record_of_the_search_is_said(
    project: ProjectPaths, quick_figures: list[str]
) -> None:
    (project.data / "search.toml").unlink()
    build(project)
    for name in ("report.html", "methods.html"):
        page = (project.reports / name).read_text(encoding="utf-8")
        assert "what was searched is not recorded" in page.lower()


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


def test_the_effects_are_published_with_seven_digits(built: ProjectPaths) -> None:
    evidence, _ = load_evidence(built)
    expected = derive_effects(evidence).effects.set_index("effect_id")
    with (built.reports / "effects.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["effect_id"] for row in rows}) == len(rows) == 6
    for row in rows:
        assert float(row["estimate"]) == published(expected.loc[row["effect_id"], "estimate"])
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
        "ketameta.report.html.render_pages",
        lambda *_: calls.append("page") or {"report.html": "<html></html>"},
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


def test_another_version_of_a_package_draws_every_figure_again(
    project: ProjectPaths, quick_figures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build(project)
    assert quick_figures == []
    real = importlib.metadata.version
    package_versions.cache_clear()
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "99.9" if name == "matplotlib" else real(name)
    )
    try:
        build(project)
    finally:
        package_versions.cache_clear()
    assert {*quick_figures} == {path.stem for path in project.figures.glob("*.svg")}


@pytest.mark.parametrize("name", ["rapid.data.txt", "effects.txt", "report.txt"])
def test_a_damaged_stamp_is_made_anew(
    project: ProjectPaths, quick_figures: list[str], name: str
) -> None:
    before = files_of(project)
    (project.build / "stamps" / name).write_bytes(b"\xff\xfe\x00")
    build(project)
    assert files_of(project) == before
