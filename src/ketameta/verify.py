"""Rebuilds what is published from its inputs, elsewhere, and names every difference.

Rebuilt bytes must be the published bytes. Only where they are not, an explanation is looked for:
structure by structure, then number by number. Never writes into the project.

A room of its own because the command line starts without it.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import ketameta
from ketameta.differences import Difference, explained
from ketameta.errors import KetametaError, UsageError
from ketameta.evidence.load import is_link
from ketameta.formatting import plural
from ketameta.paths import ProjectPaths, project_paths
from ketameta.release import RECORD, remake
from ketameta.report.changes import releases
from ketameta.report.manifest import (
    FOLDER,
    INDEX,
    MANIFEST,
    PICTURES,
    REPRODUCE,
    ROOT_FILES,
    code_files,
    file_hash,
    index_html,
    source_files,
)

#: The platform on which the same bytes are promised.
PLATFORM = ("Linux", "x86_64")
#: Where a number may be one unit in its last digit away, below ``reports/``: what is computed.
_COMPUTED = re.compile(r"effects\.csv|(?:results/[^/]+\.json|tables/[^/]+\.csv)")
#: Of these, the ones from which the others follow.
_SOURCES = re.compile(r"effects\.csv|results/[^/]+\.json")
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")
#: What of the ZIP of a release is unpacked; anything else in it is named, and left where it is.
_UNPACKED = re.compile(
    rf"(?:data|analyses|src/ketameta|reports/releases)/.+|{'|'.join(map(re.escape, ROOT_FILES))}"
)
_REMAKE = "import json, sys; from ketameta.release import remake; remake(*json.loads(sys.argv[1]))"

Say = Callable[[str], None]


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
    def identical(self) -> bool:
        """Whether everything published is, byte for byte, what the inputs give."""
        return not self.differences

    @property
    def holds(self) -> bool:
        """Whether everything published agrees with what the inputs give, if not to the byte."""
        return all(item.deviation is not None for item in self.differences)

    def __str__(self) -> str:
        if self.identical:
            return f"{plural(self.files, 'published file')} rebuilt from their inputs: identical."
        files = plural(len({item.file for item in self.differences}), "file")
        if not self.holds:
            head = f"{plural(len(self.differences), 'difference')} in {files}:"
            return "\n".join([head, *(f"  {item}" for item in self.differences)])
        largest = max(self.differences, key=lambda item: item.deviation or 0)
        there = (platform.system(), platform.machine()) == PLATFORM
        return (
            f"{plural(self.files, 'published file')} rebuilt from their inputs: agrees, not "
            f"identical. {plural(len(self.differences), 'number')} in {files} differ by at most "
            f"one unit in the last published digit.\n  The largest, {largest.deviation:.1e} of "
            f"the number: {largest}\n  "
            + (
                "This is a platform on which the same bytes are promised: run 'make report' and "
                "look at what changes."
                if there
                else f"The same bytes are promised on {' '.join(PLATFORM)} only."
            )
        )


def verify(
    paths: ProjectPaths,
    *,
    report: Path | None = None,
    version: str = "",
    with_releases: bool = True,
    say: Say = lambda _: None,
) -> Verification:
    """Rebuild the report, and each release, in a temporary folder and compare it.

    Parameters
    ----------
    paths : ProjectPaths
    report : Path, optional
        A published folder, or the folder of a release; ``reports/`` of the project when not given.
    version : str
        Only this release of the project.
    with_releases : bool
        Whether the releases below the published folder are rebuilt too.
    say : callable
        Called with one line per step.

    Raises
    ------
    UsageError
        If there is no published report in the folder, or no such release.

    Notes
    -----
    A release is rebuilt from the inputs in its own ZIP. Where its code is not that of this package,
    it is rebuilt by its own code in a process of its own if it is a release of this project;
    nothing is run of a folder from elsewhere.
    """
    if version:
        if version not in releases(paths):
            known = ", ".join(releases(paths)) or "none"
            raise UsageError(f"there is no release {version}; the releases are: {known}")
        return _verify_release(paths, paths.reports / "releases" / version, say, own=True)
    published = paths.reports if report is None else report
    _check_published(published, paths, given=report is not None)
    if (published / RECORD).is_file():
        inside = published.resolve().parent == (paths.reports / "releases").resolve()
        return _verify_release(paths, published, say, own=inside)
    found = [_verify_report(paths, published, say)]
    if with_releases and (published / "releases").exists():
        found += _verify_releases(paths, published, say)
    return Verification(
        sum(part.files for part in found),
        tuple(item for part in found for item in part.differences),
    )


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
    if not any((folder / part).exists() for part in (MANIFEST, "report.html", "results")):
        state = "is empty" if not any(folder.iterdir()) else "holds no published report"
        raise UsageError(f"{name} {state}: {hint}")


# --- the report -----------------------------------------------------------------------------------


def _verify_report(paths: ProjectPaths, published: Path, say: Say) -> Verification:
    from ketameta.build import build

    with tempfile.TemporaryDirectory(prefix="ketameta-verify-") as folder:
        rebuilt = project_paths(folder)
        for path in source_files(paths):
            copy = rebuilt.root / path.relative_to(paths.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)

        def again(instead: Mapping[str, str]) -> Path:
            build(rebuilt, say=say, instead=instead)
            return rebuilt.reports

        return _compare(paths.relative(published), published, again, drawn=True)


def _compare(
    label: str, published: Path, again: Callable[[Mapping[str, str]], Path], *, drawn: bool = False
) -> Verification:
    """Compare a published folder with the folder that ``again`` makes.

    Where only numbers differ, each by one unit at most, what follows from them is made once more
    from the published ones: it has to be what is published to the byte.
    """
    theirs, odd = _listing(label, published)
    ours = _listing("", again({}))[0]
    if drawn:
        theirs = {name: path for name, path in theirs.items() if not _drawn(name, ours)}
    found = {name: _of_file(label, name, theirs, ours) for name in sorted({*theirs, *ours})}
    numbers = {name: items for name, items in found.items() if _SOURCES.fullmatch(name) and items}
    hard = [item for items in found.values() for item in items if item.deviation is None]
    soft = [item for items in numbers.values() for item in items if item.deviation is not None]
    if hard and numbers and len(soft) == sum(len(items) for items in numbers.values()):
        instead = {name: theirs[name].read_bytes().decode("utf-8") for name in numbers}
        ours = _listing("", again(instead))[0]
        found = {name: _of_file(label, name, theirs, ours) for name in sorted({*theirs, *ours})}
        found |= numbers
    differences = [*odd, *(item for name in found for item in found[name])]
    return Verification(len(ours), tuple(differences))


def _drawn(name: str, ours: Mapping[str, Path]) -> bool:
    """Return whether a file is a picture that ``make forest`` draws beside a figure."""
    path = PurePosixPath(name)
    picture = path.suffix.lstrip(".") in PICTURES and str(path.parent) == "figures"
    return picture and str(path.with_suffix(".svg")) in ours


def _listing(label: str, folder: Path) -> tuple[dict[str, Path], list[Difference]]:
    """Return the files of a folder by name, without its releases, and what is no file in it."""
    files: dict[str, Path] = {}
    odd: list[Difference] = []
    for parent, folders, names in os.walk(folder):
        below = Path(parent).relative_to(folder)
        if below == Path() and not (folder / RECORD).is_file():
            folders[:] = [name for name in folders if name != "releases"]
        for name in sorted([*folders, *names]):
            path = Path(parent) / name
            place = (below / name).as_posix()
            if is_link(path):
                odd.append(Difference(f"{label}/{place}", "", "a link", "no such thing"))
            elif name in names and not stat.S_ISREG(path.lstat().st_mode):
                odd.append(Difference(f"{label}/{place}", "", "no plain file", "no such thing"))
            elif name in names:
                files[place] = path
            elif not any(path.iterdir()):
                odd.append(Difference(f"{label}/{place}", "", "an empty folder", "no such thing"))
        folders[:] = sorted(name for name in folders if not is_link(Path(parent) / name))
    return files, odd


def _of_file(
    label: str, name: str, theirs: Mapping[str, Path], ours: Mapping[str, Path]
) -> list[Difference]:
    """Return the differences of one file of two folders."""
    file = f"{label}/{name}"
    if name not in ours:
        return [Difference(file, "", "a file", "no such file")]
    if name not in theirs:
        return [Difference(file, "", "no such file", "a file")]
    one, two = theirs[name].read_bytes(), ours[name].read_bytes()
    if name in (MANIFEST, RECORD):
        return _of_list(file, one, two, theirs)
    return [] if one == two else explained(file, one, two, numbers=bool(_COMPUTED.fullmatch(name)))


def _of_list(file: str, one: bytes, two: bytes, theirs: Mapping[str, Path]) -> list[Difference]:
    """Return what is wrong with a file of hashes, which has to state those of what is published."""
    stated = json.loads(two)
    part = "outputs" if file.endswith(MANIFEST) else "files"
    for name in stated[part]:
        path = theirs.get(name.removeprefix("reports/"))
        if path is not None:
            stated[part][name] = file_hash(path)
    wanted = (json.dumps(stated, indent=1, sort_keys=True) + "\n").encode("utf-8")
    if one == wanted:
        return []
    found = []
    for item in explained(file, one, wanted, most=1000):
        kind = next((kind for kind in ("inputs", part) if item.where.startswith(f"{kind}.")), "")
        if kind:
            name, folder = item.where.partition(".")[2], file.rpartition("/")[0]
            what = "an input" if kind == "inputs" else "a published file"
            item = Difference(
                name if kind == "inputs" else f"{folder}/{name.removeprefix('reports/')}",
                f"(SHA-256 of {what})",
                item.published[:12].replace("nothing", "not listed"),
                item.rebuilt[:12].replace("nothing", "no such file"),
                ("the manifest says", "the file has"),
            )
        found.append(item)
    return found


# --- releases -------------------------------------------------------------------------------------


def _verify_releases(paths: ProjectPaths, published: Path, say: Say) -> list[Verification]:
    """Verify each release below a published folder, and the page that lists them."""
    label = f"{paths.relative(published)}/releases"
    folder = published / "releases"
    if is_link(folder) or published.name != "reports":
        why = "a link" if is_link(folder) else "a folder"
        wanted = "a folder of releases in a folder called reports"
        return [Verification(0, (Difference(label, "", why, wanted),))]
    holder = project_paths(published.parent)
    known = releases(holder)
    found = []
    for path in sorted(folder.iterdir()):
        if path.name not in (*known, "index.html") or is_link(path):
            kind = "a folder" if path.is_dir() else "a file"
            said = Difference(f"{label}/{path.name}", "", kind, "no release and no list of them")
            found.append(Verification(0, (said,)))
    index = published / INDEX
    listed = index.read_bytes() if index.is_file() else b""
    rebuilt = index_html(holder).encode("utf-8") if known else b""
    found.append(
        Verification(1, tuple(explained(f"{label}/index.html", listed, rebuilt)))
        if listed != rebuilt
        else Verification(1, ())
    )
    own = published.resolve() == paths.reports.resolve()
    for version in known:
        if not is_link(folder / version):
            found.append(_verify_release(holder, folder / version, say, own=own))
    return found


def _verify_release(paths: ProjectPaths, folder: Path, say: Say, *, own: bool) -> Verification:
    """Rebuild a release from what its ZIP holds and compare it.

    ``own`` says that it is one of this project, so that its code may be run.
    """
    label = paths.relative(folder)
    say(f"Rebuilding release {folder.name}")
    try:
        record = json.loads((folder / RECORD).read_bytes())
        stated = json.loads((folder / MANIFEST).read_bytes())
        version = record["version"]
        versions = {str(name): str(value) for name, value in stated["versions"].items()}
        packed = (folder / REPRODUCE).read_bytes()
        members = _members(packed)
        if not _VERSION.fullmatch(version) or (own and version != folder.name):
            raise ValueError(f"its version is {version!r}")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError,
            zipfile.BadZipFile, NotImplementedError) as error:  # fmt: skip
        what = "a release that cannot be read" + (f" ({error})" if str(error) else "")
        said = Difference(label, "", what, f"{RECORD}, {MANIFEST} and {REPRODUCE} of a release")
        return Verification(0, (said,))
    with tempfile.TemporaryDirectory(prefix="ketameta-verify-") as temporary:
        root = Path(temporary)
        for name, content in members.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        theirs = {path.relative_to(root / "src/ketameta").as_posix(): path.read_bytes()
                  for path in code_files(root / "src" / "ketameta")}  # fmt: skip
        installed = Path(ketameta.__file__).parent
        here = {path.relative_to(installed).as_posix(): path.read_bytes()
                for path in code_files(installed)}  # fmt: skip
        other = own and theirs != here

        def again(instead: Mapping[str, str]) -> Path:
            made = root / "reports" / "releases" / version
            if made.exists():
                shutil.rmtree(made)
            arguments = (str(root), version, versions, dict(instead))
            if other:
                _by_its_own_code(root, arguments)
            else:
                remake(*arguments)
            return made

        try:
            result = _compare(label, folder, again)
        except (KetametaError, OSError) as error:
            said = Difference(label, "", "a release", f"nothing, because: {error}")
            return Verification(0, (said,))
    more = [*_not_of_the_project(paths, label, members), *_changed_since(paths, folder)]
    if theirs != here and not own and not result.identical:
        wanted = "compare with its own version (its ZIP builds it)"
        more.append(Difference(label, "", "made by other code than this", wanted))
    return Verification(result.files, (*result.differences, *more))


def _members(packed: bytes) -> dict[str, bytes]:
    """Return the files in the ZIP of a release that a build reads, by name below its folder."""
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > len(packed):
            raise ValueError(f"{REPRODUCE} says that it holds more than it is large")
        for entry in entries:
            folder, _, name = entry.filename.partition("/")
            safe = {"..", "."}.isdisjoint(name.split("/")) and "\\" not in name and ":" not in name
            if folder == FOLDER and safe and _UNPACKED.fullmatch(name) and not entry.is_dir():
                found[name] = archive.read(entry)
    return found


def _by_its_own_code(root: Path, arguments: Sequence[Any]) -> None:
    """Rebuild a release with the code that it holds, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _REMAKE, json.dumps(arguments)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise KetametaError(f"its own code ends with {done.returncode}: {last}")


def _not_of_the_project(
    paths: ProjectPaths, label: str, members: Mapping[str, bytes]
) -> Iterator[Difference]:
    """Yield the files of an earlier release in the ZIP that are not those of that release."""
    for name, content in members.items():
        path = paths.root / name
        held = name.startswith("reports/releases/") and path.is_file()
        if held and path.read_bytes() != content:
            said = "what that release has now"
            yield Difference(f"{label}/{REPRODUCE}", name, "another file", said)


def _changed_since(paths: ProjectPaths, folder: Path) -> Iterator[Difference]:
    """Yield the files of a release that are not as the commit has them which added it.

    Nothing where git does not know the release.
    """

    def git(*arguments: str) -> list[str]:
        try:
            done = subprocess.run(
                ["git", "-C", str(paths.root), *arguments], capture_output=True, text=True,
                check=False,
            )  # fmt: skip
        except OSError:
            return []
        return done.stdout.splitlines() if done.returncode == 0 else []

    name = f"reports/releases/{folder.name}"
    if folder.resolve() != (paths.root / name).resolve():
        return
    added = git("log", "--diff-filter=A", "--format=%H", "--", f"{name}/{RECORD}")
    if added:
        commit = added[-1]
        changed = git("diff", "--no-ext-diff", "--relative", "--name-only", commit, "--", name)
        for file in changed:
            was = f"as commit {commit[:10]} published it"
            yield Difference(file, "", "changed since", was, ("a released file", "not"))
