"""Releases: frozen whole, never changed, the same bytes again, and said in the next report."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import joblib
import pytest
from typer.testing import CliRunner

from helpers import TWO_ANALYSES, make_project, trials
from ketameta.cli import app
from ketameta.errors import ReportError, UsageError
from ketameta.paths import ProjectPaths, project_paths
from ketameta.pipeline import build
from ketameta.release import release, source_zip
from ketameta.report.changes import changes_since_release, releases


@pytest.fixture
def project(built: ProjectPaths, tmp_path: Path) -> ProjectPaths:
    root = tmp_path / "project"
    shutil.copytree(built.root, root)
    (root / "README.md").write_text("Invented.\n", encoding="utf-8")
    return project_paths(root)


def rebuilt(paths: ProjectPaths) -> None:
    with joblib.parallel_config(backend="sequential"):
        build(paths)


def test_a_release_holds_the_report_its_manifest_and_one_zip(project: ProjectPaths) -> None:
    done = release(project, "1.0")
    folder = project.reports / "releases" / "1.0"
    for name in ("report.html", "report.pdf", "effects.csv", "manifest.json",
                 "results.schema.json"):  # fmt: skip
        assert (folder / name).read_bytes() == (project.reports / name).read_bytes()
    assert sorted(p.name for p in (folder / "results").iterdir()) == sorted(
        p.name for p in project.results.iterdir()
    )
    stated = json.loads((folder / "release.json").read_text(encoding="utf-8"))
    for name, digest in stated["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert not (folder / "figures").exists(), "the page and the PDF hold the figures"
    assert "Release 1.0" in str(done)
    assert "1.0/report.html" in (project.reports / "releases" / "index.html").read_text()


def test_the_zip_is_the_same_every_time_and_holds_what_is_needed(project: ProjectPaths) -> None:
    first = source_zip(project, "1.0")
    for path in project.root.rglob("*.csv"):
        path.touch()
    assert source_zip(project, "1.0") == first
    names = zipfile.ZipFile(io.BytesIO(first)).namelist()
    assert "ketameta-1.0/data/search.toml" in names
    assert any(name.startswith("ketameta-1.0/analyses/") for name in names)
    assert "ketameta-1.0/README.md" in names
    assert not [name for name in names if "reports/" in name or "build/" in name]


def test_what_the_zip_holds_builds_the_same_report(project: ProjectPaths, tmp_path: Path) -> None:
    zipfile.ZipFile(io.BytesIO(source_zip(project, "1.0"))).extractall(tmp_path / "out")
    again = project_paths(tmp_path / "out" / "ketameta-1.0")
    rebuilt(again)
    for name in ("report.html", "report.pdf", "effects.csv", "manifest.json"):
        assert (again.reports / name).read_bytes() == (project.reports / name).read_bytes(), name


@pytest.mark.parametrize("version", ["", "1", "v1.0", "1.0-beta", "../x", "1.0.0.0"])
def test_a_malformed_version_is_refused(project: ProjectPaths, version: str) -> None:
    with pytest.raises(UsageError, match="two or three numbers"):
        release(project, version)


def test_a_release_is_never_changed_and_versions_go_up(project: ProjectPaths) -> None:
    release(project, "1.2")
    with pytest.raises(UsageError, match="exists already"):
        release(project, "1.2")
    with pytest.raises(UsageError, match=r"not later than the last release, 1\.2"):
        release(project, "1.1.9")
    release(project, "1.10")
    assert releases(project) == ["1.2", "1.10"]


def test_a_report_of_other_inputs_is_not_released(project: ProjectPaths) -> None:
    with (project.data / "search.toml").open("a", encoding="utf-8") as stream:
        stream.write("# later\n")
    with pytest.raises(ReportError, match="inputs have changed"):
        release(project, "1.0")


def test_a_changed_file_is_not_released(project: ProjectPaths) -> None:
    with (project.reports / "report.html").open("a", encoding="utf-8") as stream:
        stream.write(" ")
    with pytest.raises(ReportError, match=r"report\.html"):
        release(project, "1.0")
    assert not (project.reports / "releases" / "1.0").exists()


def test_the_next_report_says_what_changed(project: ProjectPaths) -> None:
    release(project, "1.0")
    rebuilt(project)
    results = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in project.results.glob("*.json")
    }
    assert changes_since_release(project, results) == {"version": "1.0", "items": []}
    page = (project.reports / "report.html").read_text(encoding="utf-8")
    assert "No result differs from release 1.0." in page
    name = next(name for name, result in results.items() if result["pooled"])
    changed = json.loads(json.dumps(results))
    changed[name]["pooled"]["estimate"] += 0.5
    del changed[name]["groups"][0]["rows"][0]
    (item,) = changes_since_release(project, changed)["items"]
    assert item["name"] == name
    assert "1 trial removed" in item["words"] and "now" in item["words"]


def test_the_command_freezes_and_refuses(project: ProjectPaths) -> None:
    run = CliRunner()
    first = run.invoke(app, ["release", "0.1", "--root", str(project.root)])
    assert first.exit_code == 0 and "Release 0.1" in first.output
    again = run.invoke(app, ["release", "0.1", "--root", str(project.root)])
    assert again.exit_code != 0


def test_two_analyses_are_in_the_invented_project() -> None:
    assert len(TWO_ANALYSES) == 2 and make_project and trials
