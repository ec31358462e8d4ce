"""Releases: frozen whole, never changed, the same bytes again, and said in the next report."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import joblib
import pytest
from typer.testing import CliRunner

import ketameta
from helpers import ROOT
from ketameta.cli import app
from ketameta.errors import ReportError, UsageError
from ketameta.paths import ProjectPaths, project_paths
from ketameta.pipeline import build
from ketameta.release import release
from ketameta.report.changes import changes_since_release, releases
from ketameta.report.reproduce import REPRODUCE, ROOT_FILES, reproduction_zip
from report_pages import committed_build


@pytest.fixture
def project(built: ProjectPaths, tmp_path: Path) -> ProjectPaths:
    root = tmp_path / "project"
    shutil.copytree(built.root, root)
    (root / "README.md").write_text("Invented.\n", encoding="utf-8")
    return project_paths(root)


def rebuilt(paths: ProjectPaths) -> None:
    with joblib.parallel_config(backend="sequential"):
        build(paths)


def links_of(folder: Path) -> set[str]:
    """Return what the page links beside it; each must be there."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    links = set(re.findall(r'(?:href|src)="([^":#]+)"', page))
    assert [link for link in sorted(links) if not (folder / link).is_file()] == []
    return links


def test_a_release_holds_the_report_its_manifest_and_one_zip(project: ProjectPaths) -> None:
    done = release(project, "1.0")
    folder = project.reports / "releases" / "1.0"
    for name in ("report.html", "report.pdf", "effects.csv", "manifest.json",
                 "results.schema.json", REPRODUCE):  # fmt: skip
        assert (folder / name).read_bytes() == (project.reports / name).read_bytes()
    assert sorted(p.name for p in (folder / "results").iterdir()) == sorted(
        p.name for p in project.results.iterdir()
    )
    stated = json.loads((folder / "release.json").read_text(encoding="utf-8"))
    for name, digest in stated["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert {link.partition("/")[0] for link in links_of(folder)} >= {"figures", "results", "tables"}
    assert "Release 1.0" in str(done)
    assert "1.0/report.html" in (project.reports / "releases" / "index.html").read_text()


def entries(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_zip_is_the_same_every_time_and_equals_the_tree(project: ProjectPaths) -> None:
    (project.root / "LICENSE").write_text("Invented.\n", encoding="utf-8")
    first = reproduction_zip(project)
    for path in project.root.rglob("*.csv"):
        path.touch()
    assert reproduction_zip(project) == first
    found = entries(first)
    readme = found.pop("ketameta/README.md")
    assert b"make report" in readme
    code = Path(ketameta.__file__).parent
    wanted = {
        f"ketameta/{path.relative_to(project.root).as_posix()}": path.read_bytes()
        for folder in (project.data, project.analyses)
        for path in folder.rglob("*") if path.is_file()
    }  # fmt: skip
    wanted |= {
        f"ketameta/src/ketameta/{path.relative_to(code).as_posix()}": path.read_bytes()
        for path in code.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }  # fmt: skip
    wanted["ketameta/LICENSE"] = b"Invented.\n"
    assert found == wanted


def test_the_published_zip_holds_what_stands_in_the_project() -> None:
    for name in ROOT_FILES:
        assert (ROOT / name).is_file(), "what a build needs is there to be packed"
    reports = committed_build().reports
    assert "reproduce.zip" in (reports / "report.html").read_text(encoding="utf-8")
    published = entries((reports / REPRODUCE).read_bytes())
    for folder in ("data", "analyses"):
        for path in (ROOT / folder).rglob("*.*"):
            name = f"ketameta/{path.relative_to(ROOT).as_posix()}"
            assert published[name] == path.read_bytes(), name


def test_what_the_zip_holds_builds_the_same_report(project: ProjectPaths, tmp_path: Path) -> None:
    release(project, "0.9")
    rebuilt(project)
    published = (project.reports / REPRODUCE).read_bytes()
    assert "ketameta/reports/releases/0.9/manifest.json" in entries(published)
    zipfile.ZipFile(io.BytesIO(published)).extractall(tmp_path / "out")
    again = project_paths(tmp_path / "out" / "ketameta")
    rebuilt(again)
    for name in ("report.html", "report.pdf", "effects.csv", "manifest.json", REPRODUCE):
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
    release(project, "1.1")
    assert "releases/index.html" in links_of(project.reports / "releases" / "1.1")
    shutil.rmtree(project.reports / "releases" / "1.1")
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
