"""Tampering with any kind of published file is found and named; builds are the same anywhere."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pytest

from ketameta.build import build
from ketameta.errors import UsageError
from ketameta.formatting import PUBLISHED_DIGITS
from ketameta.paths import ProjectPaths, project_paths
from ketameta.release import release, remake
from ketameta.report import packed, source_files
from ketameta.verify import Verification, deviation, explained, verify


@pytest.fixture(scope="module")
def released(built: ProjectPaths, tmp_path_factory: pytest.TempPathFactory) -> ProjectPaths:
    """The invented project with a release and the report that follows it; not to be changed."""
    root = tmp_path_factory.mktemp("released") / "project"
    shutil.copytree(built.root, root)
    for name in ("Makefile", "LICENSE"):
        (root / name).write_text("# Invented.\n", encoding="utf-8")
    paths = project_paths(root)
    with joblib.parallel_config(backend="sequential"):
        release(paths, "1.0")
        build(paths)
    return paths


def put_back(source: Path, target: Path) -> None:
    """Make a folder what another is, by name, size and time; touch only what differs."""
    target.mkdir(exist_ok=True)
    for path in target.iterdir():
        there = source / path.name
        if path.is_symlink() or path.is_dir() != there.is_dir() or not there.exists():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in source.iterdir():
        here = target / path.name
        if path.is_dir():
            put_back(path, here)
        elif not here.is_file() or _size_and_time(path) != _size_and_time(here):
            shutil.copy2(path, here)


def _size_and_time(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The place of the project that tests change: they all find it as it was released."""
    return tmp_path_factory.mktemp("changed") / "project"


@pytest.fixture
def project(released: ProjectPaths, folder: Path) -> ProjectPaths:
    put_back(released.root, folder)
    return project_paths(folder)


@pytest.fixture
def rebuilt(released: ProjectPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put what was built from the same inputs where a verification would build it once more."""

    def put(paths: ProjectPaths, *, instead: Mapping[str, str], **_: object) -> None:
        assert not instead
        shutil.copytree(
            released.reports, paths.reports, dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("releases"),
        )  # fmt: skip

    def again(root: str, version: str, versions: object, instead: Mapping[str, str]) -> None:
        assert not instead
        name = Path("reports/releases", version)
        shutil.copytree(released.root / name, Path(root) / name)

    monkeypatch.setattr("ketameta.build.build", put)
    monkeypatch.setattr("ketameta.verify.remake", again)


class Once:
    """Makes what follows from the same inputs once; after that a copy of it is put there."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, {}

    def __call__(self, target: Path, root: Path, of: str, make: Callable[[], object]) -> None:
        paths = project_paths(root)
        inputs = [(path.relative_to(root), path.read_bytes()) for path in source_files(paths)]
        key = (of, *inputs)
        if key not in self._made:
            make()
            self._made[key] = shutil.copytree(target, self._folder / str(len(self._made)))
        shutil.copytree(self._made[key], target, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    return Once(tmp_path_factory.mktemp("once"))


@pytest.fixture
def remade_once(once: Once, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebuild a release from what its ZIP holds, but from the same files only once."""

    def again(root: str, version: str, *of: object) -> None:
        target = Path(root, "reports", "releases", version)
        once(target, Path(root), f"{version} {of}", lambda: remake(root, version, *of))  # type: ignore[arg-type]

    monkeypatch.setattr("ketameta.verify.remake", again)


def checked(paths: ProjectPaths, **options: object) -> Verification:
    with joblib.parallel_config(backend="sequential"):
        return verify(paths, **options)  # type: ignore[arg-type]


def with_hashes(folder: Path) -> None:
    """Make the manifest of a folder, and the record of a release, state the hashes of its files."""
    for name, part in (("manifest.json", "outputs"), ("release.json", "files")):
        path = folder / name
        if path.is_file():
            stated = json.loads(path.read_text(encoding="utf-8"))
            for file in stated[part]:
                own = folder / file.removeprefix("reports/")
                if own.is_file():
                    stated[part][file] = hashlib.sha256(own.read_bytes()).hexdigest()
            path.write_text(json.dumps(stated, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def one_digit(path: Path, before: str = "") -> None:
    """Change one digit of a text, after ``before``."""
    text = path.read_text(encoding="utf-8")
    place = text.index(before) + len(before)
    while not text[place].isdigit():
        place += 1
    other = "7" if text[place] != "7" else "3"
    path.write_text(text[:place] + other + text[place + 1 :], encoding="utf-8")


def one_byte(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def a_mean(path: Path) -> None:
    """Change the first mean of an extracted table by a tenth."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    place = rows[0].index("mean")
    row = next(row for row in rows[1:] if row[place])
    row[place] = f"{float(row[place]) + 0.1:.1f}"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def edit(old: bytes, new: bytes, count: int = 1) -> Callable[[Path], None]:
    """Return a change of the first places where some bytes stand."""

    def change(path: Path) -> None:
        data = path.read_bytes()
        assert old in data, path.name
        path.write_bytes(data.replace(old, new, count))

    return change


def times(factor: float) -> Callable[[Path], None]:
    """Return a change of the pooled estimate of a result by a factor."""

    def change(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        found = re.search(r'"pooled": \{.*?"estimate": (-?[0-9.e-]+)', text, re.DOTALL)
        assert found
        value = repr(float(found[1]) * factor)
        path.write_text(text[: found.start(1)] + value + text[found.end(1) :], encoding="utf-8")

    return change


def key_twice(path: Path) -> None:
    """State the measure of a result twice."""
    edit(b' "measure":', b' "measure": "OR",\n "measure":')(path)


def keys_turned(path: Path) -> None:
    """Write the keys of a result in another order."""
    value = json.loads(path.read_text(encoding="utf-8"))
    turned = dict(reversed(value.items()))
    path.write_text(json.dumps(turned, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def formula_cell(path: Path) -> None:
    """Add a cell with a formula at the end of a row."""
    lines = path.read_bytes().split(b"\n")
    lines[1] += b",=1+1"
    path.write_bytes(b"\n".join(lines))


def column(path: Path) -> None:
    """Add an empty column at the end of a table."""
    path.write_bytes(path.read_bytes().replace(b"\n", b",\n"))


def row_twice(path: Path) -> None:
    """Add the last row of a table once more."""
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[-1])


def append(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes() + data)


def prepend(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data + path.read_bytes())


def a_link(path: Path) -> None:
    """Put a link to the same bytes in the place of a file."""
    kept = path.parents[len(path.parts) - 2 - path.parts.index("project")] / f"kept-{path.name}"
    path.replace(kept)
    path.symlink_to(kept)


def archive(change: Callable[[dict[str, bytes]], object]) -> Callable[[Path], None]:
    """Return a change of what a ZIP holds, packed as the original is."""

    def apply(path: Path) -> None:
        with zipfile.ZipFile(path) as found:
            files = {name: found.read(name) for name in found.namelist()}
        change(files)
        path.write_bytes(packed(files))

    return apply


def repacked(
    change: Callable[[zipfile.ZipFile, list[zipfile.ZipInfo]], object],
) -> Callable[..., None]:
    """Return a way to pack the same files otherwise."""

    def apply(path: Path) -> None:
        with zipfile.ZipFile(path) as found:
            entries, files = found.infolist(), {i.filename: found.read(i) for i in found.infolist()}
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as other:
            change(other, entries)
            for entry in entries:
                other.writestr(entry, files[entry.filename])
        path.write_bytes(stream.getvalue())

    return apply


def second_makefile(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as found:
        found.writestr(zipfile.ZipInfo("ketameta/Makefile"), b"report: ; echo owned\n")


def an_extra_field(_: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    entries[0].extra = b"\xfe\xca\x04\x00abcd"


def a_date(_: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    entries[0].date_time = (2020, 2, 2, 0, 0, 0)


def compressed(_: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    entries[0].compress_type = zipfile.ZIP_DEFLATED


RESULT = "results/rapid.json"
#: What is changed, and how; in the report, and in the same file of a release.
ATTACKS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a digit of a result": (RESULT, lambda p: one_digit(p, '"pooled": {\n  "ci_high": ')),
    "a key twice": (RESULT, key_twice),
    "keys in another order": (RESULT, keys_turned),
    "a key more": (RESULT, edit(b' "measure":', b' "more": 1,\n "measure":')),
    "a key less": (RESULT, edit(b' "is_ratio": false,\n', b"")),
    "an empty list as an object": (RESULT, edit(b"[]", b"{}")),
    "true as 1": (RESULT, edit(b": true", b": 1")),
    "false as null": (RESULT, edit(b": false", b": null")),
    "a whole number as a float": (RESULT, lambda p: edit(b'"k": 3', b'"k": 3.0')(p)),
    "a number as a text": (RESULT, lambda p: edit(b'"k": 3', b'"k": "3"')(p)),
    "an estimate with noise behind it": (RESULT, times(1 + 9e-10)),
    "an estimate one part in a million off": (RESULT, times(1 + 1e-6)),
    "spaces in a result": (RESULT, edit(b'"measure":', b'"measure":  ')),
    "no line end at the end": (RESULT, lambda p: p.write_bytes(p.read_bytes().rstrip())),
    "CR LF in a table": (
        "tables/rows_used.csv",
        lambda p: p.write_bytes(p.read_bytes().replace(b"\n", b"\r\n")),
    ),
    "CR LF in the effects": ("effects.csv", edit(b"\n", b"\r\n")),
    "a formula at the end of a row": ("tables/rows_used.csv", formula_cell),
    "an empty column": ("effects.csv", column),
    "a quoted cell": ("effects.csv", lambda p: edit(b",SMD,", b',"SMD",')(p)),
    "a row twice": (
        "effects.csv",
        lambda p: p.write_bytes(p.read_bytes() + p.read_bytes().split(b"\n")[1] + b"\n"),
    ),
    "a digit of an effect": ("effects.csv", lambda p: one_digit(p, "SMD,")),
    "a digit of a table": ("tables/rows_used.csv", lambda p: one_digit(p, "\n")),
    "a digit of the page": ("questions/mood.html", lambda p: one_digit(p, '<p class="answer">')),
    "a form feed in the page": ("report.html", edit(b"<p>", b"<p>\x0c")),
    "a line separator in the page": ("report.html", edit(b"<p>", "<p>\u2028".encode())),
    "CR LF in the page": ("report.html", edit(b"\n", b"\r\n")),
    "a comment after the page": ("report.html", append(b"<!-- x -->")),
    "a byte of the PDF": ("report.pdf", one_byte),
    "bytes after the PDF": ("report.pdf", append(b"\n")),
    "a byte of the supplement": ("supplement.pdf", one_byte),
    "a digit of a figure": ("figures/rapid.svg", lambda p: one_digit(p, 'd="M')),
    "a script in a figure": ("figures/rapid.svg", edit(b"</svg>", b"<script>1</script></svg>")),
    "a space in the claims": ("claims.json", append(b" ")),
    "a digit of the schema": ("results.schema.json", lambda p: one_digit(p, "minimum")),
    "an emptied file": ("claims.json", lambda p: p.write_bytes(b"")),
    "a file of another kind": (RESULT, lambda p: p.write_bytes(b"\xff\xfe\x00\x01")),
    "a deep file": (RESULT, lambda p: p.write_bytes(b"[" * 100_000)),
    "a missing figure": ("figures/rapid.svg", Path.unlink),
    "a missing result": (RESULT, Path.unlink),
    "a link": ("report.pdf", a_link),
    "a link to nothing": ("figures/more.svg", lambda p: p.symlink_to("nowhere")),
    "a pipe": ("figures/pipe.svg", lambda p: os.mkfifo(p)),
    "a file more": ("extra.txt", lambda p: p.write_text("x")),
    "a table more": ("tables/more.csv", lambda p: p.write_text("a,b\n")),
    "a picture of no figure": ("figures/other.png", lambda p: p.write_text("x")),
    "a picture elsewhere": ("report.png", lambda p: p.write_text("x")),
    "a hidden file": (".hidden", lambda p: p.write_text("x")),
    "a hidden file beside the figures": ("figures/.rapid.png", lambda p: p.write_text("x")),
    "a folder more": ("extra", lambda p: p.mkdir()),
}
#: The same of the manifest itself.
OF_THE_MANIFEST: dict[str, Callable[[Path], object]] = {
    "a hash": lambda p: one_digit(p, '"outputs": {'),
    "the hash of an input": lambda p: one_digit(p, '"data/instruments.csv": "'),
    "a version": lambda p: one_digit(p, '"numpy": "'),
    "a hash of code": edit(b'{\n "inputs"', b'{\n "code": "0123",\n "inputs"'),
    "an input more": edit(b' "inputs": {', b' "inputs": {\n  "data/a.csv": "0123",'),
    "an output twice": edit(b' "outputs": {', b' "outputs": {\n  "reports/claims.json": "0",'),
    "no versions": lambda p: p.write_text(json.dumps(
        {k: v for k, v in json.loads(p.read_text()).items() if k != "versions"}, indent=1,
        sort_keys=True) + "\n"),
    "parts in another order": lambda p: p.write_text(
        json.dumps(dict(reversed(json.loads(p.read_text()).items())), indent=1) + "\n"),
    "other spaces": lambda p: p.write_text(json.dumps(json.loads(p.read_text())) + "\n"),
    "no line end": lambda p: p.write_bytes(p.read_bytes().rstrip()),
    "no manifest": Path.unlink,
    "no JSON": lambda p: p.write_text("{"),
    "a list": lambda p: p.write_text("[]"),
}  # fmt: skip
#: And of what only a release holds.
OF_A_RELEASE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a byte of a picture": ("figures/rapid.png", one_byte),
    "a byte of a figure's PDF": ("figures/rapid.pdf", one_byte),
    "a missing picture": ("figures/rapid.png", Path.unlink),
    "another signpost": ("releases/index.html", edit(b"../../index.html", b"//elsewhere")),
    "a script before the ZIP": ("reproduce.zip", prepend(b"#!/bin/sh\necho owned\n")),
    "bytes after the ZIP": ("reproduce.zip", append(b"owned")),
    "a comment of the ZIP": ("reproduce.zip", repacked(lambda z, _: setattr(z, "comment", b"x"))),
    "a second Makefile in the ZIP": ("reproduce.zip", second_makefile),
    "another Makefile in the ZIP": (
        "reproduce.zip", archive(lambda f: f.update({"ketameta/GNUmakefile": b"x:\n"}))
    ),
    "a file outside its folder": (
        "reproduce.zip", archive(lambda f: f.update({"../owned": b"x", "ketameta/../../x": b"x"}))
    ),
    "a private file in the ZIP": (
        "reproduce.zip", archive(lambda f: f.update({"ketameta/data/private/p.csv": b"x"}))
    ),
    "a start-up file beside the code": (
        "reproduce.zip", archive(lambda f: f.update({"ketameta/src/sitecustomize.py": b"0/0"}))
    ),
    "no licence in the ZIP": ("reproduce.zip", archive(lambda f: f.pop("ketameta/LICENSE"))),
    "an extra field": ("reproduce.zip", repacked(an_extra_field)),
    "a date": ("reproduce.zip", repacked(a_date)),
    "files in another order": ("reproduce.zip", repacked(lambda _, e: e.reverse())),
    "a compressed file": ("reproduce.zip", repacked(compressed)),
    "no ZIP": ("reproduce.zip", Path.unlink),
    "something else": ("reproduce.zip", lambda p: p.write_bytes(b"PK")),
    "another version": ("release.json", edit(b'"1.0"', b'"1.1"')),
    "no record": ("release.json", Path.unlink),
    "a record with a key more": ("release.json", edit(b'{\n "files"', b'{\n "a": 1,\n "files"')),
}  # fmt: skip


def named(found: Verification) -> set[str]:
    return {item.file for item in found.differences}


def state(root: Path) -> dict[str, bytes]:
    """Return what every file below a folder holds."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_an_untouched_report_and_its_release_hold(project: ProjectPaths) -> None:
    before = state(project.root)
    found = checked(project)
    assert state(project.root) == before, "verification writes nothing into the project"
    assert found.identical and found.holds, str(found)
    assert "identical" in str(found)
    count = sum(path.is_file() for path in project.reports.rglob("*"))
    assert found.files == count, "every published file is compared, those of the release too"


@pytest.mark.parametrize("what", ATTACKS)
def test_a_change_of_a_published_file_is_named_whatever_the_manifest_says(
    project: ProjectPaths, rebuilt: None, what: str
) -> None:
    name, change = ATTACKS[what]
    change(project.reports / name)
    with_hashes(project.reports)
    found = checked(project, with_releases=False)
    assert not found.identical and not found.holds
    assert named(found) == {f"reports/{name}"}, str(found)


@pytest.mark.parametrize("what", ["a key twice", "a byte of the PDF", "CR LF in a table"])
def test_a_hash_that_is_not_that_of_its_file_is_said(
    project: ProjectPaths, rebuilt: None, what: str
) -> None:
    name, change = ATTACKS[what]
    change(project.reports / name)
    said = [str(item) for item in checked(project, with_releases=False).differences]
    assert any("the manifest says" in line and "the file has" in line for line in said)
    assert all(line.startswith(f"reports/{name}") for line in said)


@pytest.mark.parametrize("what", list(ATTACKS)[::3])
def test_the_same_change_of_a_file_of_a_release_is_named(
    project: ProjectPaths, rebuilt: None, what: str
) -> None:
    name, change = ATTACKS[what]
    folder = project.reports / "releases" / "1.0"
    change(folder / name)
    with_hashes(folder)
    found = checked(project, version="1.0")
    assert not found.holds
    assert f"reports/releases/1.0/{name}" in named(found), str(found)


@pytest.mark.parametrize("what", OF_THE_MANIFEST)
def test_a_change_of_the_manifest_is_named(project: ProjectPaths, rebuilt: None, what: str) -> None:
    OF_THE_MANIFEST[what](project.reports / "manifest.json")
    found = checked(project, with_releases=False)
    assert not found.holds
    # A wrong hash is said of the file it belongs to.
    file = {"a hash": "reports/claims.json", "the hash of an input": "data/instruments.csv",
            "an input more": "data/a.csv", "an output twice": "reports/claims.json"}  # fmt: skip
    assert named(found) == {file.get(what, "reports/manifest.json")}, str(found)


@pytest.mark.parametrize("what", OF_A_RELEASE)
def test_a_change_of_what_only_a_release_holds_is_named(
    project: ProjectPaths, rebuilt: None, what: str
) -> None:
    name, change = OF_A_RELEASE[what]
    folder = project.reports / "releases" / "1.0"
    change(folder / name)
    with_hashes(folder)
    found = checked(project)
    assert not found.holds
    assert any(file.startswith("reports/releases/1.0") for file in named(found)), str(found)
    assert name in str(found) or "cannot be read" in str(found)
    assert not (project.root / "owned").exists()


@pytest.mark.parametrize("where", ["releases/index.html", "releases/notes.txt", "releases/1.1"])
def test_what_lies_beside_the_releases_is_named(
    project: ProjectPaths, rebuilt: None, where: str
) -> None:
    path = project.reports / where
    if path.suffix:
        path.write_text("x", encoding="utf-8")
    else:
        (path / "results").mkdir(parents=True)
    found = checked(project)
    assert named(found) == {f"reports/{where}"}, str(found)


def test_a_release_that_is_a_link_is_named(project: ProjectPaths, rebuilt: None) -> None:
    folder = project.reports / "releases" / "1.0"
    folder.replace(project.root / "kept")
    folder.symlink_to(project.root / "kept")
    assert "reports/releases/1.0" in named(checked(project))


def test_pictures_that_make_forest_draws_are_no_part_of_the_report(
    project: ProjectPaths, rebuilt: None
) -> None:
    for ending in ("png", "pdf"):
        (project.figures / f"rapid.{ending}").write_text("x", encoding="utf-8")
    assert checked(project, with_releases=False).identical


def test_a_changed_input_is_named(project: ProjectPaths) -> None:
    path = min(project.extracted.glob("*/outcomes.csv"))
    a_mean(path)
    found = checked(project, with_releases=False)
    assert project.relative(path) in named(found), str(found)
    assert any("the manifest says" in str(item) for item in found.differences)
    assert {"reports/results/rapid.json", "reports/effects.csv"} <= named(found)


def test_the_changed_quantity_is_named_with_both_values(
    project: ProjectPaths, rebuilt: None
) -> None:
    path = project.results / "rapid.json"
    one_digit(path, '"pooled": {\n  "ci_high": ')
    found = [item for item in checked(project).differences if item.file == project.relative(path)]
    (item,) = [item for item in found if item.where == "pooled.ci_high"]
    assert item.published != item.rebuilt
    assert item.rebuilt in (path.parent / "rapid.json").read_text() or float(item.rebuilt)


# --- a forged release -----------------------------------------------------------------------------


def test_a_release_is_rebuilt_from_its_own_inputs(project: ProjectPaths) -> None:
    """Other data in the ZIP, with every hash edited to match: the numbers do not follow."""
    folder = project.reports / "releases" / "1.0"
    name = "ketameta/data/extracted/demo/outcomes.csv"

    def another_mean(files: dict[str, bytes]) -> None:
        files[name] = files[name].replace(b"12.1", b"10.1", 1)

    archive(another_mean)(folder / "reproduce.zip")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    with zipfile.ZipFile(folder / "reproduce.zip") as found:
        digest = hashlib.sha256(found.read(name)).hexdigest()
    manifest["inputs"]["data/extracted/demo/outcomes.csv"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    with_hashes(folder)
    result = checked(project, version="1.0")
    assert {"reports/releases/1.0/results/rapid.json", "reports/releases/1.0/report.html",
            "reports/releases/1.0/report.pdf"} <= named(result)  # fmt: skip


def test_a_release_of_other_code_is_rebuilt_by_that_code(
    project: ProjectPaths, tmp_path: Path
) -> None:
    """Its code runs only where the release is one of the project."""
    folder = project.reports / "releases" / "1.0"
    mark = tmp_path / "ran"

    def other(files: dict[str, bytes]) -> None:
        files["ketameta/src/ketameta/release.py"] += f"\nPath({str(mark)!r}).touch()\n".encode()

    archive(other)(folder / "reproduce.zip")
    with_hashes(folder)
    assert checked(project, version="1.0").identical
    assert mark.exists()
    mark.unlink()
    elsewhere = tmp_path / "downloaded" / "1.0"
    shutil.copytree(folder, elsewhere)
    found = checked(project, report=elsewhere)
    assert not found.holds and not mark.exists()
    assert "made by other code than this" in str(found)


def test_code_of_a_release_that_fails_is_said(project: ProjectPaths) -> None:
    folder = project.reports / "releases" / "1.0"
    archive(lambda f: f.update({"ketameta/src/ketameta/release.py": b"raise OSError('no')\n"}))(
        folder / "reproduce.zip"
    )
    with_hashes(folder)
    found = checked(project, version="1.0")
    assert not found.holds and "its own code ends with 1: OSError: no" in str(found)


def test_a_downloaded_release_is_verified_where_it_lies(
    project: ProjectPaths, tmp_path: Path, remade_once: None
) -> None:
    folder = tmp_path / "1.0"
    shutil.copytree(project.reports / "releases" / "1.0", folder)
    assert checked(project, report=folder).identical


def test_a_release_that_a_commit_holds_stays_as_it_is(
    project: ProjectPaths, remade_once: None
) -> None:
    """A release made anew, whole and consistent, is not the one that was published."""

    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments],
            cwd=project.root, check=True, capture_output=True,
        )  # fmt: skip

    folder = project.reports / "releases" / "1.0"
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "Release 1.0")
    assert checked(project, version="1.0").identical
    archive(lambda f: f.update({"ketameta/Makefile": b"report: ; echo owned\n"}))(
        folder / "reproduce.zip"
    )
    with_hashes(folder)
    found = checked(project, version="1.0")
    assert named(found) == {
        "reports/releases/1.0/reproduce.zip",
        "reports/releases/1.0/release.json",
    }
    git("add", "-A")
    git("commit", "-qm", "Nothing to see")
    assert named(checked(project, version="1.0")) == named(found)


def test_a_release_that_is_not_there_is_said(project: ProjectPaths) -> None:
    with pytest.raises(UsageError, match=r"no release 2\.0; the releases are: 1\.0"):
        verify(project, version="2.0")


# --- agrees, not identical ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published", "rebuilt", "apart"),
    [
        ("-0.5300001", "-0.5300002", 1e-7 / 0.5300002),
        ("1.234567e-14", "1.234568e-14", 1e-6 / 1.234568),
        ("0.5", "0.5000001", 1e-7 / 0.5000001),
        ("1.0", "0.9999999", 1e-7),
        ("1234567.0", "1234568.0", 1 / 1234568),
        ("0.5300001", "0.5300003", None),  # two units
        ("0.53", "0.54", None),
        ("0.53000011", "0.5300001", None),  # eight digits
        ("0.530", "0.5300001", None),  # not in its shortest form
        ("5.3e-1", "0.5300001", None),
        ("0.5300001", "-0.5300001", None),
        ("0.0", "1e-16", None),  # nothing is not a little
        ("3", "4", None),  # a count
        ("3", "3.0", None),
        ("1.4e-14", "9.9e-13", None),
        ("x", "0.53", None),
        ("NaN", "0.53", None),
    ],
)
def test_a_unit_in_the_last_published_digit_is_no_real_difference(
    published: str, rebuilt: str, apart: float | None
) -> None:
    found = deviation(published, rebuilt)
    assert found == (None if apart is None else pytest.approx(apart, rel=1e-12))


def one_unit(text: str, place: re.Match[str]) -> tuple[str, str]:
    """Return a text with a number rounded, and the same one unit in the last digit away."""
    value = float(f"{float(place[1]):.{PUBLISHED_DIGITS - 1}e}")
    step = 10.0 ** (int(f"{value:e}".partition("e")[2]) - PUBLISHED_DIGITS + 1)
    other = float(f"{value + step:.{PUBLISHED_DIGITS - 1}e}")
    texts = [text[: place.start(1)] + repr(item) + text[place.end(1) :] for item in (value, other)]
    return texts[0], texts[1]


@pytest.fixture(scope="module")
def rounded(released: ProjectPaths, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The project as another platform builds it, and the result it rounds otherwise as ours."""
    root = shutil.copytree(released.root, tmp_path_factory.mktemp("rounded") / "project")
    text = (root / "reports" / "results" / "rapid.json").read_text(encoding="utf-8")
    found = re.search(r'"pooled": \{.*?"estimate": (-?[0-9.e-]+)', text, re.DOTALL)
    assert found
    ours, theirs = one_unit(text, found)
    with joblib.parallel_config(backend="sequential"):
        build(project_paths(root), instead={"results/rapid.json": theirs})
    return root, ours


@pytest.fixture
def elsewhere(
    rounded: tuple[Path, str], folder: Path, once: Once, monkeypatch: pytest.MonkeyPatch
) -> ProjectPaths:
    """The project whose pooled estimate another platform rounds the other way."""
    root, ours = rounded
    put_back(root, folder)
    plain = build

    def here(paths: ProjectPaths, **options: Any) -> None:
        instead = {"results/rapid.json": ours, **(options.pop("instead") or {})}
        make = partial(plain, paths, instead=instead, **options)
        once(paths.reports, paths.root, f"{sorted(instead.items())}", make)

    monkeypatch.setattr("ketameta.build.build", here)
    return project_paths(folder)


def test_what_another_platform_rounds_the_other_way_agrees(
    elsewhere: ProjectPaths, ketameta: Callable[..., object]
) -> None:
    """The number differs, and with it page, PDF, tables and hashes: all as that number gives."""
    found = checked(elsewhere, with_releases=False)
    assert found.holds and not found.identical, str(found)
    assert named(found) == {"reports/results/rapid.json"}
    said = str(found)
    assert "agrees, not identical" in said and "pooled.estimate" in said
    assert "1 number in 1 file differ" in said


def test_so_does_a_release_made_there(elsewhere: ProjectPaths) -> None:
    release(elsewhere, "1.1")
    found = checked(elsewhere, version="1.1")
    assert found.holds and named(found) == {"reports/releases/1.1/results/rapid.json"}, str(found)


@pytest.mark.parametrize(
    "name", ["report.html", "report.pdf", "tables/pooled_results.csv", "manifest.json"]
)
def test_what_follows_from_such_a_number_must_follow_to_the_byte(
    elsewhere: ProjectPaths, name: str
) -> None:
    append(b" ")(elsewhere.reports / name)
    with_hashes(elsewhere.reports) if name != "manifest.json" else None
    found = checked(elsewhere, with_releases=False)
    assert not found.holds
    assert [i.file for i in found.differences if i.deviation is None] == [f"reports/{name}"]


def test_one_unit_beside_any_other_change_of_a_file_is_a_difference() -> None:
    one, two = b'{"a": 0.5300001, "b": [1]}', b'{"a": 0.5300002, "b": [1]}'
    (item,) = explained("x.json", one, two, numbers=True)
    assert item.where == "a" and item.deviation == pytest.approx(1e-7 / 0.53, rel=1e-6)
    for changed in (one + b" ", one.replace(b"[1]", b"[1 ]"), one.replace(b"[1]", b"[2]")):
        found = explained("x.json", changed, two, numbers=True)
        assert found and all(item.deviation is None for item in found)
    assert [i.deviation for i in explained("x.json", one, two)] == [None], "where none may differ"
    row, other = b"a,b\nx,0.5300001\n", b"a,b\nx,0.5300002\n"
    assert explained("x.csv", row, other, numbers=True)[0].deviation is not None
    for changed in (row.replace(b"\n", b"\r\n"), row.replace(b"x,", b'"x",'), row + b"\n"):
        assert all(i.deviation is None for i in explained("x.csv", changed, other, numbers=True))


def test_the_command_says_identical_agrees_or_differs_by_its_exit_code(
    elsewhere: ProjectPaths, ketameta: Callable[..., Any]
) -> None:
    where = ("--no-releases", "--root", elsewhere.root)
    with joblib.parallel_config(backend="sequential"):
        agrees = ketameta("verify", *where)
        exact = ketameta("verify", "--exact", *where)
        append(b" ")(elsewhere.reports / "report.html")
        differs = ketameta("verify", *where)
    assert (agrees.code, exact.code, differs.code) == (0, 1, 1)
    assert "agrees, not identical" in agrees.out and "Verified in" in agrees.out
    assert "reports/report.html" in differs.out


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: None, "no such folder"),
        (lambda p: p.mkdir(), "is empty"),
        (lambda p: p.write_text("x"), "is a file, not a folder"),
        (lambda p: (p.mkdir(), (p / "notes.txt").write_text("x")), "holds no published report"),
    ],
    ids=["missing", "empty", "a file", "something else"],
)
def test_a_folder_without_a_report_is_refused_before_anything_is_built(
    project: ProjectPaths, tmp_path: Path, make: Callable[[Path], object], says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("ketameta.build.build", lambda *_, **__: pytest.fail("built"))
    folder = tmp_path / "elsewhere"
    make(folder)
    with pytest.raises(UsageError, match=says) as caught:
        verify(project, report=folder)
    assert "manifest.json" in str(caught.value), "says what to give instead"
    shutil.rmtree(project.reports)
    with pytest.raises(UsageError, match="run 'make report' first"):
        verify(project)


def test_builds_are_the_same_in_another_folder_locale_and_time_zone(
    built: ProjectPaths, tmp_path: Path
) -> None:
    root = tmp_path / "elsewhere \u00fc"
    shutil.copytree(built.data, root / "data")
    shutil.copytree(built.analyses, root / "analyses")
    shutil.copy(built.root / "project.toml", root)
    elsewhere = tmp_path / "cwd"
    elsewhere.mkdir()
    subprocess.run(
        [sys.executable, "-m", "ketameta", "report", "--root", str(root)],
        cwd=elsewhere, check=True, capture_output=True,
        env={**os.environ, "LC_ALL": "C", "LANG": "C", "TZ": "Pacific/Kiritimati",
             "PYTHONHASHSEED": "4"},
    )  # fmt: skip
    ours = {p.relative_to(built.reports): p for p in built.reports.rglob("*") if p.is_file()}
    theirs = root / "reports"
    assert {p.relative_to(theirs) for p in theirs.rglob("*") if p.is_file()} == set(ours)
    for name, path in ours.items():
        assert (theirs / name).read_bytes() == path.read_bytes(), name
