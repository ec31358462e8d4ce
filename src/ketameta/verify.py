"""Rebuilds the published output from the CSVs elsewhere and names every difference.

Three questions: are the inputs those the manifest states, are the published files those it states,
and does a rebuild give the same (byte for byte; where bytes differ, number by number). Never
writes into the project.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ketameta.errors import UsageError
from ketameta.numberformat import plural
from ketameta.paths import ProjectPaths, project_paths
from ketameta.report.manifest import file_hash, input_files, output_files
from ketameta.report.reproduce import ROOT_FILES

#: Differences listed per file; the rest are counted.
MOST_PER_FILE = 10
#: Processors differ in the last bits of a sum; the worst seen between two kinds was 1e-13 relative.
#: Any other change of a published digit is found by the hashes of the manifest.
RELATIVE_TOLERANCE = 1e-9
#: Below this a number is rounding error around zero.
ABSOLUTE_TOLERANCE = 1e-12
#: Text around the first differing character of a page.
_CONTEXT = 60


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the published output is not what the CSVs give.

    Attributes
    ----------
    file : str
        Relative to the project.
    where : str
        Analysis and quantity, row and column, or line.
    published, rebuilt : str
        Of a hash: as the manifest states it, and of the file.
    kinds : tuple of str
        What the two values are called.
    """

    file: str
    where: str
    published: str
    rebuilt: str
    kinds: tuple[str, str] = ("published", "rebuilt")

    def __str__(self) -> str:
        place = f" {self.where}" if self.where else ""
        one, two = self.kinds
        return f"{self.file}{place}: {one} {self.published}, {two} {self.rebuilt}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found.

    Attributes
    ----------
    files : int
        Published files compared.
    differences : tuple of Difference
    """

    files: int
    differences: tuple[Difference, ...]

    @property
    def holds(self) -> bool:
        """Whether everything published follows from the CSVs."""
        return not self.differences

    def __str__(self) -> str:
        if self.holds:
            return f"{plural(self.files, 'published file')} rebuilt from the CSVs: identical."
        lines = [
            f"{plural(len(self.differences), 'difference')} in "
            f"{plural(len({item.file for item in self.differences}), 'file')}:"
        ]
        return "\n".join([*lines, *(f"  {item}" for item in self.differences)])


def verify(
    paths: ProjectPaths, *, report: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> Verification:
    """Rebuild the report in a temporary folder and compare it with what is published.

    Parameters
    ----------
    paths : ProjectPaths
    report : Path, optional
        The published folder; ``reports/`` of the project when not given.
    say : callable
        Called with one line per step.

    Raises
    ------
    UsageError
        If there is no published report in the folder.
    """
    from ketameta.pipeline import build

    published = paths.reports if report is None else report
    _check_published(published, paths, given=report is not None)
    with tempfile.TemporaryDirectory(prefix="ketameta-verify-") as folder:
        root = Path(folder)
        shutil.copytree(paths.data, root / "data")
        shutil.copytree(paths.analyses, root / "analyses")
        for name in ROOT_FILES:
            if (paths.root / name).is_file():
                shutil.copyfile(paths.root / name, root / name)
        # What changed since the last release is said from its frozen results.
        if (paths.reports / "releases").is_dir():
            shutil.copytree(paths.reports / "releases", root / "reports" / "releases")
        rebuilt = project_paths(root)
        build(rebuilt, say=say)
        differences = [
            *_manifest_hashes(paths, published),
            *_compare_folders(published, rebuilt.reports, paths),
        ]
        files = len(output_files(rebuilt)) + 1
    return Verification(files, tuple(differences))


def _check_published(folder: Path, paths: ProjectPaths, *, given: bool) -> None:
    """Refuse, before anything is built, a folder in which nothing is published."""
    name = paths.relative(folder)
    if given:
        hint = "give the folder that holds report.html and manifest.json, such as --report reports"
    else:
        hint = "run 'make report' first"
    if folder.is_file():
        raise UsageError(f"{name} is a file, not a folder: {hint}")
    if not folder.exists():
        raise UsageError(f"{name}: no such folder; {hint}")
    if not any((folder / part).exists() for part in ("manifest.json", "report.html", "results")):
        state = "is empty" if not any(folder.iterdir()) else "holds no published report"
        raise UsageError(f"{name} {state}: {hint}")


def _manifest_hashes(paths: ProjectPaths, published: Path) -> Iterator[Difference]:
    """Yield inputs and published files whose hash is not the one the manifest states."""
    manifest = published / "manifest.json"
    if not manifest.is_file():
        yield Difference(_name(manifest, paths), "", "no manifest", "a manifest")
        return
    try:
        stated = json.loads(manifest.read_text(encoding="utf-8"))
        inputs, outputs = dict(stated["inputs"]), dict(stated["outputs"])
    except (ValueError, KeyError, TypeError):
        yield Difference(_name(manifest, paths), "", "an unreadable manifest", "a manifest")
        return
    actual = {paths.relative(path): file_hash(path) for path in input_files(paths)}
    yield from _unlike(inputs, actual, "an input")
    found = {
        f"reports/{path.relative_to(published).as_posix()}": file_hash(path)
        for path in _files(published)
        if path != manifest
    }
    yield from _unlike(outputs, found, "a published file")


def _unlike(stated: dict[str, str], actual: dict[str, str], kind: str) -> Iterator[Difference]:
    for file in sorted(set(stated) | set(actual)):
        if stated.get(file) != actual.get(file):
            yield Difference(
                file,
                f"(SHA-256 of {kind})",
                str(stated.get(file, "not listed"))[:12],
                str(actual.get(file, "no such file"))[:12],
                ("the manifest says", "the file has"),
            )


def _name(path: Path, paths: ProjectPaths) -> str:
    return paths.relative(path)


def _compare_folders(published: Path, rebuilt: Path, paths: ProjectPaths) -> Iterator[Difference]:
    """Yield the differences between two report folders, file by file."""
    theirs = {path.relative_to(published): path for path in _files(published)}
    ours = {path.relative_to(rebuilt): path for path in _files(rebuilt)}
    for name in sorted(set(theirs) | set(ours)):
        label = f"{paths.relative(published)}/{name.as_posix()}"
        if name not in ours:
            yield Difference(label, "", "a file", "no such file")
        elif name not in theirs:
            yield Difference(label, "", "no such file", "a file")
        elif name.name == "manifest.json":
            yield from _compare_manifests(label, theirs[name], ours[name])
        elif theirs[name].read_bytes() != ours[name].read_bytes():
            yield from _compare_files(label, theirs[name], ours[name])


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    releases = folder / "releases"
    return [path for path in folder.rglob("*") if path.is_file() and releases not in path.parents]


def _compare_files(label: str, published: Path, rebuilt: Path) -> Iterator[Difference]:
    """Yield what differs inside two files whose bytes differ."""
    known = {".json": _compare_json, ".csv": _compare_csv, ".zip": _compare_zip}
    compare = known.get(published.suffix, _compare_text)
    try:
        found = list(compare(label, published, rebuilt))
    except (UnicodeDecodeError, ValueError, zipfile.BadZipFile, zlib.error):
        found = [Difference(label, "", "bytes that cannot be read", "the rebuilt file")]
    yield from found[:MOST_PER_FILE]
    if len(found) > MOST_PER_FILE:
        yield Difference(label, "", f"{len(found) - MOST_PER_FILE} more differences", "not listed")


def _compare_manifests(label: str, published: Path, rebuilt: Path) -> Iterator[Difference]:
    """Yield what differs apart from hashes of outputs, which are compared file by file."""
    try:
        stated = json.loads(published.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError):
        return  # said by the comparison of hashes
    ours = json.loads(rebuilt.read_text(encoding="utf-8"))
    for part in ("inputs", "versions"):
        theirs, mine = stated.get(part, {}), ours[part]
        for key in sorted(set(theirs) | set(mine)):
            if theirs.get(key) != mine.get(key):
                yield Difference(
                    label, f"{part}.{key}", str(theirs.get(key))[:20], str(mine.get(key))[:20]
                )


def _compare_json(label: str, published: Path, rebuilt: Path) -> Iterator[Difference]:
    theirs = dict(_leaves(json.loads(published.read_text(encoding="utf-8"))))
    ours = dict(_leaves(json.loads(rebuilt.read_text(encoding="utf-8"))))
    for key in [*theirs, *(key for key in ours if key not in theirs)]:
        if not _same(theirs.get(key, _ABSENT), ours.get(key, _ABSENT)):
            yield Difference(label, key, _brief(theirs, key), _brief(ours, key))


_ABSENT = object()


def _same(one: Any, two: Any) -> bool:
    """Return whether two values agree; numbers up to the last digits of another processor."""
    if one == two:
        return True
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    return False


def _same_cells(one: str, two: str) -> bool:
    try:
        return one == two or _same(float(one), float(two))
    except ValueError:
        return False


def _brief(values: dict[str, Any], key: str) -> str:
    return str(values[key])[:80] if key in values else "nothing"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a nested structure with its path; rows are named by their study."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            name = item.get("study_id", index) if isinstance(item, dict) else index
            yield from _leaves(
                item, f"{path}[{index}:{name}]" if name != index else f"{path}[{index}]"
            )
    else:
        yield path, value


def _compare_csv(label: str, published: Path, rebuilt: Path) -> Iterator[Difference]:
    theirs = list(csv.reader(io.StringIO(published.read_text(encoding="utf-8"))))
    ours = list(csv.reader(io.StringIO(rebuilt.read_text(encoding="utf-8"))))
    if len(theirs) != len(ours):
        yield Difference(label, "", f"{len(theirs)} lines", f"{len(ours)} lines")
    header = ours[0] if ours else []
    for line, (left, right) in enumerate(zip(theirs, ours, strict=False), start=1):
        for place, name in enumerate(header):
            one = left[place] if place < len(left) else "nothing"
            two = right[place] if place < len(right) else "nothing"
            if not _same_cells(one, two):
                yield Difference(label, f"line {line} {name} ({right[0]})", one, two)


def _compare_zip(label: str, published: Path, rebuilt: Path) -> Iterator[Difference]:
    """Yield the files inside two archives that differ; how they are packed says nothing."""
    with zipfile.ZipFile(published) as theirs, zipfile.ZipFile(rebuilt) as ours:
        names, mine = set(theirs.namelist()), set(ours.namelist())
        for name in sorted(names | mine):
            one = theirs.read(name) if name in names else None
            two = ours.read(name) if name in mine else None
            if one != two:
                yield Difference(label, name, _packed(one), _packed(two))


def _packed(content: bytes | None) -> str:
    return "nothing" if content is None else f"SHA-256 {hashlib.sha256(content).hexdigest()[:12]}"


def _compare_text(label: str, published: Path, rebuilt: Path) -> Iterator[Difference]:
    if published.suffix in {".png", ".pdf"}:
        yield Difference(label, "", f"SHA-256 {file_hash(published)[:12]}", file_hash(rebuilt)[:12])
        return
    theirs = published.read_text(encoding="utf-8").splitlines()
    ours = rebuilt.read_text(encoding="utf-8").splitlines()
    section = ""
    for line, (left, right) in enumerate(zip(theirs, ours, strict=False), start=1):
        heading = re.search(r'<(?:article|section) id="([^"]+)"', right)
        section = heading.group(1) if heading else section
        if left != right:
            start = next(
                (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
                min(len(left), len(right)),
            )
            begin = max(0, start - _CONTEXT // 2)
            where = f"line {line}" + (f" in {section}" if section else "")
            yield Difference(
                label, where, left[begin : begin + _CONTEXT], right[begin : begin + _CONTEXT]
            )
    if len(theirs) != len(ours):
        yield Difference(label, "", f"{len(theirs)} lines", f"{len(ours)} lines")
