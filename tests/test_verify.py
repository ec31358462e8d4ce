"""Tampering with any kind of published file is found and named; builds are the same anywhere."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest

from ketameta.errors import UsageError
from ketameta.paths import ProjectPaths, project_paths
from ketameta.verify import Verification, verify


@pytest.fixture
def project(built: ProjectPaths, tmp_path: Path) -> ProjectPaths:
    root = tmp_path / "project"
    shutil.copytree(built.root, root)
    return project_paths(root)


def checked(paths: ProjectPaths) -> Verification:
    with joblib.parallel_config(backend="sequential"):
        return verify(paths)


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


def repack(path: Path) -> None:
    """Change one digit of a table inside an archive."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in held if name.endswith("search.toml"))
    held[name] = held[name].replace(b"20", b"21", 1)
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in held.items():
            archive.writestr(member, content)


def test_a_change_inside_the_zip_is_named_by_its_file(project: ProjectPaths) -> None:
    repack(project.reports / "reproduce.zip")
    found = [item for item in checked(project).differences if "SHA-256 of" not in item.where]
    assert [(item.file, item.where) for item in found] == [
        ("reports/reproduce.zip", "ketameta/data/search.toml")
    ]


def first(paths: ProjectPaths, pattern: str) -> Path:
    return min(paths.reports.glob(pattern))


def with_estimate(paths: ProjectPaths) -> Path:
    return next(p for p in sorted(paths.results.glob("*.json")) if '"pooled": {' in p.read_text())


TAMPERING: dict[str, tuple[Callable[[ProjectPaths], Path], Callable[[Path], None]]] = {
    "a digit of a result": (with_estimate, lambda p: one_digit(p, '"pooled": {\n  "ci_high": ')),
    "a digit of an effect": (
        lambda s: s.reports / "effects.csv",
        lambda p: one_digit(p, "SMD,"),
    ),
    "a digit of the page": (
        lambda s: s.reports / "report.html",
        lambda p: one_digit(p, '<p class="answer">'),
    ),
    "a byte of the PDF": (lambda s: s.reports / "report.pdf", one_byte),
    "a digit of a figure": (lambda s: first(s, "figures/*.svg"), lambda p: one_digit(p, "M ")),
    "a byte of a picture": (lambda s: first(s, "figures/*.png"), one_byte),
    "a byte of a figure's PDF": (lambda s: first(s, "figures/*.pdf"), one_byte),
    "a digit of a table": (
        lambda s: s.reports / "tables" / "rows_used.csv",
        lambda p: one_digit(p, "\n"),
    ),
    "a space in the claims": (
        lambda s: s.reports / "claims.json",
        lambda p: p.write_text(p.read_text() + " "),
    ),
    "a digit of the schema": (
        lambda s: s.reports / "results.schema.json",
        lambda p: one_digit(p, "minimum"),
    ),
    "a file of the ZIP": (
        lambda s: s.reports / "reproduce.zip",
        lambda p: repack(p),
    ),
    "a byte of the ZIP": (lambda s: s.reports / "reproduce.zip", one_byte),
    "a hash in the manifest": (
        lambda s: s.reports / "manifest.json",
        lambda p: one_digit(p, '"outputs": {'),
    ),
    "a digit of an extracted table": (
        lambda s: min(s.extracted.glob("*/outcomes.csv")),
        lambda p: a_mean(p),
    ),
}


def test_an_untouched_report_holds(project: ProjectPaths) -> None:
    found = checked(project)
    assert found.holds, str(found)
    assert found.files > 10


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_is_found_and_named(project: ProjectPaths, what: str) -> None:
    choose, change = TAMPERING[what]
    path = choose(project)
    change(path)
    found = checked(project)
    assert not found.holds
    # A wrong hash is said of the file it belongs to: the first that the manifest lists.
    named = "reports/claims.json" if what == "a hash in the manifest" else project.relative(path)
    assert named in {item.file for item in found.differences}, str(found)


def test_the_changed_quantity_is_named_with_both_values(project: ProjectPaths) -> None:
    path = with_estimate(project)
    one_digit(path, '"pooled": {\n  "ci_high": ')
    found = [item for item in checked(project).differences if item.file == project.relative(path)]
    assert any("pooled.ci_high" in item.where for item in found)
    named = next(item for item in found if "pooled.ci_high" in item.where)
    assert named.published != named.rebuilt


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
    monkeypatch.setattr("ketameta.pipeline.build", lambda *_, **__: pytest.fail("built"))
    folder = tmp_path / "elsewhere"
    make(folder)
    with pytest.raises(UsageError, match=says) as caught:
        verify(project, report=folder)
    assert "manifest.json" in str(caught.value), "says what to give instead"
    shutil.rmtree(project.reports)
    with pytest.raises(UsageError, match="run 'make report' first"):
        verify(project)


def test_a_wrong_hash_says_which_is_of_the_manifest(project: ProjectPaths) -> None:
    one_byte(project.reports / "report.pdf")
    said = [str(item) for item in checked(project).differences]
    assert any("the manifest says" in line and "the file has" in line for line in said)


def test_a_file_too_many_and_a_file_too_few_are_named(project: ProjectPaths) -> None:
    (project.reports / "extra.txt").write_text("x", encoding="utf-8")
    (project.reports / "report.pdf").unlink()
    files = {item.file for item in checked(project).differences}
    assert {"reports/extra.txt", "reports/report.pdf"} <= files


def test_verification_writes_nothing_into_the_project(project: ProjectPaths) -> None:
    def state() -> dict[str, bytes]:
        return {
            path.relative_to(project.root).as_posix(): path.read_bytes()
            for path in project.root.rglob("*")
            if path.is_file()
        }

    before = state()
    checked(project)
    assert state() == before


def test_builds_are_the_same_in_another_folder_locale_and_time_zone(
    built: ProjectPaths, tmp_path: Path
) -> None:
    root = tmp_path / "elsewhere \u00fc"
    shutil.copytree(built.data, root / "data")
    shutil.copytree(built.analyses, root / "analyses")
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
