"""Releases: frozen whole, never changed, the same bytes again, and said in the next report."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import joblib
import pytest
from typer.testing import CliRunner

import ketameta
from ketameta.build import build
from ketameta.cli import app
from ketameta.errors import ReportError, UsageError
from ketameta.paths import ProjectPaths, project_paths
from ketameta.release import release
from ketameta.report import REPRODUCE, changes_since_release, releases, reproduction_zip


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
    """Return what the pages link beside them, from the folder; each must be there."""
    links = set()
    for path in (folder / "report.html", folder / "methods.html", *folder.glob("questions/*.html")):
        found = re.findall(r'(?:href|src)="([^":#]+)["#]', path.read_text(encoding="utf-8"))
        links |= {os.path.relpath(path.parent / link, folder) for link in found}
    assert [link for link in sorted(links) if not (folder / link).is_file()] == []
    return links


def test_a_release_holds_the_report_its_manifest_and_one_zip(project: ProjectPaths) -> None:
    done = release(project, "1.0")
    folder = project.reports / "releases" / "1.0"
    published = {path.relative_to(project.reports).as_posix(): path.read_bytes()
                 for path in project.reports.rglob("*")
                 if path.is_file() and "releases" not in path.parts}  # fmt: skip
    frozen = {path.relative_to(folder).as_posix(): path.read_bytes()
              for path in folder.rglob("*") if path.is_file()}  # fmt: skip
    pictures = {path.with_suffix(f".{end}").relative_to(project.reports).as_posix()
                for path in project.figures.iterdir() for end in ("png", "pdf")}  # fmt: skip
    assert set(frozen) == {*published, *pictures, REPRODUCE, "release.json", "releases/index.html"}
    assert {name: frozen[name] for name in published} == published
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
    stated = json.loads((folder / "release.json").read_text(encoding="utf-8"))
    for name, digest in stated["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert {link.partition("/")[0] for link in links_of(folder)} >= {"figures", "results", "tables"}
    assert "Release 1.0" in str(done)
    index = (project.reports / "releases" / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="([^"]+)"', index)
    assert [link for link in links if not (folder.parent / link).is_file()] == []
    assert {f"1.0/{REPRODUCE}", "1.0/figures/rapid.png", "1.0/figures/rapid.pdf"} <= set(links)


def entries(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_zip_is_the_same_every_time_and_holds_what_is_declared(project: ProjectPaths) -> None:
    (project.root / "LICENSE").write_text("Invented.\n", encoding="utf-8")
    (project.data / "LICENSE.md").write_text("Facts.\n", encoding="utf-8")
    second = project.extracted / "demo" / "second"
    second.mkdir()
    for name in ("arms.csv", "reconciliation.csv"):
        (second / name).write_text("x\n", encoding="utf-8")
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
    wanted["ketameta/project.toml"] = (project.root / "project.toml").read_bytes()
    assert found == wanted


def test_nothing_private_is_packed_and_no_link_followed(project: ProjectPaths) -> None:
    before = reproduction_zip(project)
    outside = project.root.parent / "outside"
    outside.mkdir()
    for name in ("outside/secret.csv", "project/data/private/patients.xlsx",
                 "project/data/private/patients.csv", "project/data/extracted/demo/letters.csv",
                 "project/data/extracted/demo/import/rows.csv", "project/data/.hidden.csv",
                 "project/data/extracted/.demo.new-1-a/arms.csv", "project/secrets.toml",
                 "project/data/extracted/_later/arms.csv", "project/analyses/notes.md",
                 "project/reports/releases/.1.0.new-1-a/manifest.json"):  # fmt: skip
        path = project.root.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("private", encoding="utf-8")
    for name, target in (("data/claims.toml", outside / "secret.csv"),
                         ("data/extracted/linked", outside), ("data/loop", project.data),
                         ("data/extracted/demo/second", project.extracted / "demo"),
                         ("analyses/other.toml", outside / "secret.csv"),
                         ("CITATION.cff", outside / "secret.csv")):  # fmt: skip
        (project.root / name).symlink_to(target)
    assert reproduction_zip(project) == before
    shutil.copytree(project.data, outside / "data", symlinks=True)
    shutil.rmtree(project.data)
    project.data.symlink_to(outside / "data")
    assert not any("/data/" in name for name in entries(reproduction_zip(project)))


def test_what_the_zip_holds_builds_the_same_report(project: ProjectPaths, tmp_path: Path) -> None:
    release(project, "0.9")
    rebuilt(project)
    packed = reproduction_zip(project)
    assert "ketameta/reports/releases/0.9/manifest.json" in entries(packed)
    zipfile.ZipFile(io.BytesIO(packed)).extractall(tmp_path / "out")
    again = project_paths(tmp_path / "out" / "ketameta")
    rebuilt(again)
    assert reproduction_zip(again) == packed
    for name in ("report.html", "report.pdf", "supplement.pdf", "effects.csv", "manifest.json"):
        assert (again.reports / name).read_bytes() == (project.reports / name).read_bytes(), name


@pytest.mark.parametrize("version", ["", "1", "v1.0", "1.0-beta", "../x", "1.0.0.0"])
def test_a_malformed_version_is_refused(project: ProjectPaths, version: str) -> None:
    with pytest.raises(UsageError, match="two or three numbers"):
        release(project, version)


def test_a_release_is_never_changed_and_versions_go_up(project: ProjectPaths) -> None:
    release(project, "1.2")
    with pytest.raises(ReportError, match="inputs have changed"):
        release(project, "1.3")
    rebuilt(project)  # the page says what changed since the last release
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


@pytest.mark.parametrize(
    "name", ["../outside.txt", "../data/search.toml", str(Path(ketameta.__file__))]
)
def test_a_manifest_that_names_other_files_is_not_released(
    project: ProjectPaths, name: str
) -> None:
    path = project.reports / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    (project.root / "outside.txt").write_text("x", encoding="utf-8")
    other = project.reports / name
    held = other.read_bytes() if other.is_file() else b"x"
    manifest["outputs"][f"reports/{name}"] = hashlib.sha256(held).hexdigest()
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    with pytest.raises(ReportError, match="run 'make report'"):
        release(project, "1.0")
    assert not (project.reports / "releases" / "1.0").exists()


def test_a_folder_that_is_no_release_is_named(project: ProjectPaths) -> None:
    (project.reports / "releases" / "1.0" / "results").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"reports/releases/1\.0 is there and is no release"):
        release(project, "1.0")


#: Makes a release that is killed after so many of its files.
KILLED = """
import os, signal, sys
import ketameta.release as module
from ketameta.paths import project_paths
left, write = int(sys.argv[2]), module.write_atomically
def counted(path, content):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, content)
module.write_atomically = counted
module.release(project_paths(sys.argv[1]), "1.0")
"""


@pytest.mark.parametrize("after", [0, 1, 20, "all but the list"])
def test_a_killed_release_is_no_release_and_the_next_command_cleans_up(
    project: ProjectPaths, after: int | str
) -> None:
    before = reproduction_zip(project)
    manifest = (project.reports / "manifest.json").read_bytes()
    count = len(json.loads(manifest)["outputs"]) + 4 if isinstance(after, str) else after
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(project.root), str(count)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    folder = project.reports / "releases"
    if isinstance(after, str):
        assert releases(project) == ["1.0"], "it had taken its name"
        assert not (folder / "index.html").exists()
    else:
        assert releases(project) == []
        assert [path.name.startswith(".1.0.new-") for path in folder.iterdir()] == [True]
        assert reproduction_zip(project) == before
    rebuilt(project)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    if isinstance(after, str):
        assert "1.0/report.html" in (folder / "index.html").read_text(encoding="utf-8")
    else:
        assert (project.reports / "manifest.json").read_bytes() == manifest
        assert "Release 1.0" in str(release(project, "1.0"))


def test_a_damaged_release_stops_the_next_report_with_its_name(project: ProjectPaths) -> None:
    release(project, "1.0")
    path = project.reports / "releases" / "1.0" / "results" / "rapid.json"
    for content in ("{", "[]", "{}", '{"title": 1}', "[" * 100_000):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ReportError, match=r"reports/releases/1\.0/results/rapid\.json"):
            rebuilt(project)


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
    changed[name]["headline"]["estimate"] += 0.5
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
