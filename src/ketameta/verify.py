"""Rebuilds what is published from its inputs, elsewhere, and names every difference.

Rebuilt bytes must be the published bytes. Only where they are not, an explanation is looked for:
structure by structure, then number by number. Never writes into the project.

A room of its own because the command line starts without it.
"""

from __future__ import annotations

import csv
import hashlib
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
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import ketameta
from ketameta.errors import KetametaError, UsageError
from ketameta.evidence.tables import is_link
from ketameta.formatting import PUBLISHED_DIGITS, plural
from ketameta.paths import ProjectPaths, project_paths
from ketameta.release import RECORD, VERSION, remake
from ketameta.report.manifest import (
    FOLDER,
    INDEX,
    MANIFEST,
    PICTURES,
    REPRODUCE,
    ROOT_FILES,
    code_files,
    file_hash,
    releases,
    source_files,
)

#: The platform on which the same bytes are promised.
PLATFORM = ("Linux", "x86_64")
#: Where a number may be one unit in its last digit away, below ``reports/``: what is computed.
_COMPUTED = re.compile(r"effects\.csv|(?:results/[^/]+\.json|tables/[^/]+\.csv)")
#: Of these, the ones from which the others follow.
_SOURCES = re.compile(r"effects\.csv|results/[^/]+\.json")
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
    from ketameta.report.html import index_html

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
        if not VERSION.fullmatch(version) or (own and version != folder.name):
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
            if not other:
                remake(*arguments)
                return made
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
            return made

        try:
            result = _compare(label, folder, again)
        except (KetametaError, OSError) as error:
            said = Difference(label, "", "a release", f"nothing, because: {error}")
            return Verification(0, (said,))
    # Files of an earlier release in the ZIP that are not those of that release.
    more = [
        Difference(f"{label}/{REPRODUCE}", name, "another file", "what that release has now")
        for name, content in members.items()
        if name.startswith("reports/releases/")
        and (paths.root / name).is_file()
        and (paths.root / name).read_bytes() != content
    ]
    more += _changed_since(paths, folder)
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


# --- what differs between two files: structure, number, line or byte ------------------------------

#: Differences listed per file; the rest are counted.
MOST_PER_FILE = 10
_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
#: Numbers of a file; what is quoted is no number.
_NUMBERS = {
    ".json": re.compile(rf'"(?:[^"\\]|\\.)*"|(?P<number>{_NUMBER})'.encode()),
    ".csv": re.compile(rf'"(?:[^"]|"")*"|(?<![^,\n])(?P<number>{_NUMBER})(?![^,\r\n])'.encode()),
}
_CR_LF = b"\r\n"
#: What a ZIP says of each of its files.
_OF_AN_ENTRY = (
    *("date_time", "compress_type", "comment", "extra", "external_attr", "internal_attr"),
    *("create_system", "flag_bits"),
)
#: Text around the first differing character of a page.
_CONTEXT = 60


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the published output is not what its inputs give.

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
    deviation : float or None
        Of a number at most one unit in its last published digit away: how far, relative to it.
    """

    file: str
    where: str
    published: str
    rebuilt: str
    kinds: tuple[str, str] = ("published", "rebuilt")
    deviation: float | None = None

    def __str__(self) -> str:
        place = f" {self.where}" if self.where else ""
        one, two = self.kinds
        return f"{self.file}{place}: {one} {self.published}, {two} {self.rebuilt}"


def explained(
    file: str, one: bytes, two: bytes, *, numbers: bool = False, most: int = MOST_PER_FILE
) -> list[Difference]:
    """Return what differs between the published and the rebuilt bytes of a file; never nothing.

    Parameters
    ----------
    file : str
    one, two : bytes
        Published and rebuilt; not equal.
    numbers : bool
        Whether a number may be one unit in its last digit away.
    most : int
        Differences listed; the rest are counted.
    """
    ending = PurePosixPath(file).suffix
    by_kind = {".json": _of_json, ".csv": _of_csv, ".zip": _of_zip}
    try:
        found = list(by_kind.get(ending, _of_text)(file, one, two))
    except (ValueError, RecursionError, csv.Error, zipfile.BadZipFile, NotImplementedError):
        found = [Difference(file, "", "bytes that cannot be read", "a file that can be")]
    if ending in _NUMBERS and all(item.deviation is not None for item in found):
        between = [  # every number as 0, and what is quoted as it is
            _NUMBERS[ending].sub(lambda it: b"0" if it["number"] else it[0], data)
            for data in (one, two)
        ]
        if found and numbers and between[0] == between[1]:
            return found
        found += _of_text(file, *between)
    found = [replace(item, deviation=None) for item in found] or [_of_bytes(file, one, two)]
    if len(found) > most:
        left = Difference(file, "", f"{len(found) - most} more differences", "not listed")
        found = [*found[:most], left]
    return found


def deviation(published: str, rebuilt: str) -> float | None:
    """Return how far two numbers are apart, relative to the larger; nothing for a real difference.

    No real difference is one of at most one unit in the last published digit, between two numbers
    in their published form: a float of at most ``PUBLISHED_DIGITS`` digits, in the shortest words.
    """
    for text in (published, rebuilt):
        if not re.fullmatch(_NUMBER, text) or text.lstrip("-").isdigit():
            return None
        value = float(text)
        if value == 0 or repr(value) != text or float(f"{value:.{PUBLISHED_DIGITS - 1}e}") != value:
            return None
    one, two = Decimal(published), Decimal(rebuilt)
    larger = max(abs(one), abs(two))
    apart = abs(one - two)
    if apart > Decimal(1).scaleb(larger.adjusted() - PUBLISHED_DIGITS + 1):
        return None
    return float(apart / larger)


class _Token(str):
    """A number of a JSON text, as it is written."""


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of a JSON object, as they are written."""


def _of_json(file: str, one: bytes, two: bytes) -> Iterator[Difference]:
    def read(data: bytes) -> Any:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_Pairs,
            parse_float=_Token,
            parse_int=_Token,
            parse_constant=_Token,
        )

    yield from _of_values(file, "", read(one), read(two))


def _of_values(file: str, path: str, one: Any, two: Any) -> Iterator[Difference]:
    """Yield what differs between two values of JSON texts."""
    if isinstance(one, _Pairs) and isinstance(two, _Pairs):
        here, there = [key for key, _ in one], [key for key, _ in two]
        mine, yours = dict(one), dict(two)
        for key in dict.fromkeys([*here, *there]):
            place = f"{path}.{key}" if path else key
            if here.count(key) > 1:
                yield Difference(file, place, f"{here.count(key)} times", "once")
            elif key not in yours:
                yield Difference(file, place, _brief(mine[key]), "nothing")
            elif key not in mine:
                yield Difference(file, place, "nothing", _brief(yours[key]))
            else:
                yield from _of_values(file, place, mine[key], yours[key])
        if here != there and sorted(here) == sorted(there):
            yield Difference(file, path, f"keys in the order {_brief(here)}", _brief(there))
    elif type(one) is type(two) is list:
        for index, (left, right) in enumerate(zip(one, two, strict=False)):
            names = dict(right) if isinstance(right, _Pairs) else {}
            label = f"{index}:{names['study_id']}" if "study_id" in names else f"{index}"
            yield from _of_values(file, f"{path}[{label}]", left, right)
        if len(one) != len(two):
            yield Difference(file, path, plural(len(one), "item"), plural(len(two), "item"))
    elif type(one) is not type(two) or one != two:
        numbers = type(one) is type(two) is _Token
        apart = deviation(one, two) if numbers else None
        yield Difference(file, path, _brief(one), _brief(two), deviation=apart)


def _brief(value: Any) -> str:
    """Return a value of a JSON text in a few words, in its own spelling."""
    if isinstance(value, _Pairs):
        return "{}" if not value else f"{{{plural(len(value), 'key')}}}"
    if isinstance(value, list):
        return "[]" if not value else f"[{', '.join(map(str, value))}]"[:80]
    if isinstance(value, str):
        return _shown(value[:80])
    return json.dumps(value)


def _shown(text: str) -> str:
    """Return a text in which every character that cannot be seen is named."""
    return "".join(mark if mark.isprintable() else f"<U+{ord(mark):04X}>" for mark in text)


def _of_csv(file: str, one: bytes, two: bytes) -> Iterator[Difference]:
    if one.count(b"\r\n") != two.count(b"\r\n"):
        yield _both(file, "line ends", one, two, lambda data: f"{data.count(_CR_LF)} times CR LF")
    theirs, ours = (
        list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""))) for data in (one, two)
    )
    if len(theirs) != len(ours):
        yield _both(file, "", theirs, ours, lambda rows: plural(len(rows), "line"))
    header = ours[0] if ours else []
    for line, (left, right) in enumerate(zip(theirs, ours, strict=False), start=1):
        if len(left) != len(right):
            yield _both(file, f"line {line}", left, right, lambda row: plural(len(row), "cell"))
        for name, cell, other in zip(header, left, right, strict=False):
            if cell != other:
                place = f"line {line} {name} ({_shown(right[0])})"
                found = _both(file, place, cell, other, lambda text: _shown(text[:80]))
                yield replace(found, deviation=deviation(cell, other))


def _of_text(file: str, one: bytes, two: bytes) -> Iterator[Difference]:
    if file.endswith((".png", ".pdf")):
        yield _of_bytes(file, one, two)
        return
    theirs, ours = one.decode("utf-8").split("\n"), two.decode("utf-8").split("\n")
    section = ""
    for line, (left, right) in enumerate(zip(theirs, ours, strict=False), start=1):
        heading = re.search(r'<(?:article|section) id="([^"]+)"', right)
        section = heading.group(1) if heading else section
        if left != right:
            begin = max(0, _alike(left, right) - _CONTEXT // 2)
            part = slice(begin, begin + _CONTEXT)
            where = f"line {line}" + (f" in {section}" if section else "")
            yield Difference(file, where, _shown(left[part]), _shown(right[part]))
    if len(theirs) != len(ours):
        yield _both(file, "", theirs, ours, lambda lines: plural(len(lines), "line"))


def _of_bytes(file: str, one: bytes, two: bytes) -> Difference:
    place = f"from byte {_alike(one, two) + 1} on"
    return _both(file, place, one, two, lambda data: f"{_sha(data)}, {len(data)} bytes")


def _of_zip(file: str, one: bytes, two: bytes) -> Iterator[Difference]:
    with zipfile.ZipFile(io.BytesIO(one)) as theirs, zipfile.ZipFile(io.BytesIO(two)) as ours:
        here = [entry.filename for entry in theirs.infolist()]
        there = [entry.filename for entry in ours.infolist()]
        for name in dict.fromkeys([*here, *there]):
            if here.count(name) != there.count(name):
                counts = here.count(name), there.count(name)
                yield _both(file, name, *counts, lambda count: plural(count, "time"))
                continue
            left, right = theirs.getinfo(name), ours.getinfo(name)
            if left.file_size != right.file_size or theirs.read(name) != ours.read(name):
                yield _both(file, name, theirs.read(name), ours.read(name), _sha)
            for what in _OF_AN_ENTRY:
                values = getattr(left, what), getattr(right, what)
                if values[0] != values[1]:
                    yield _both(file, f"{name} ({what})", *values, str)
        if here != there and sorted(here) == sorted(there):
            yield Difference(file, "", "files in another order", "in the order of their names")
        if theirs.comment:
            yield Difference(file, "comment", _shown(theirs.comment.decode("latin-1")), "nothing")
        first = theirs.infolist()[0].header_offset if here else 0
        if first:
            yield Difference(file, "before its first file", f"{first} bytes", "nothing")


def _both(file: str, where: str, one: Any, two: Any, say: Callable[[Any], str]) -> Difference:
    return Difference(file, where, say(one), say(two))


def _sha(data: bytes) -> str:
    return f"SHA-256 {hashlib.sha256(data).hexdigest()[:12]}"


def _alike(one: Sequence[object], two: Sequence[object]) -> int:
    """Return how long two texts are the same."""
    places = enumerate(zip(one, two, strict=False))
    return next((place for place, (a, b) in places if a != b), min(len(one), len(two)))
