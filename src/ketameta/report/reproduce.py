"""One ZIP with everything needed to build the report again; the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import ketameta
from ketameta.paths import ProjectPaths

#: Where the ZIP stands, below ``reports/``.
REPRODUCE = "reproduce.zip"
#: Files of the project's own folder that a build or its commands need, where they are there.
ROOT_FILES = ("Makefile", "pyproject.toml", "constraints.txt", "LICENSE", "CITATION.cff")
#: The oldest date a ZIP can hold; nothing here says anything of clocks.
_DATE = (1980, 1, 1, 0, 0, 0)
_FOLDER = "ketameta"
_LEFT_OUT = frozenset({"__pycache__", ".ruff_cache", ".mypy_cache"})
_README = """# The report, to be built again

Everything the report is computed from: data, questions, code, and the versions of its packages.

    make report     build reports/ (needs Python 3.11 or newer and make; the first run installs)
    make check      say everything that is wrong in the extracted tables

The same inputs give the same bytes: compare reports/manifest.json with the published one.
"""


def reproduction_zip(paths: ProjectPaths) -> bytes:
    """Return one archive that builds the same report wherever it is unpacked.

    Parameters
    ----------
    paths : ProjectPaths
        Where data, analyses and the files of the project's folder are. The code is the package
        that runs.

    Notes
    -----
    What changed since the last release is said from its frozen results, so they are inside too.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted([("README.md", _README.encode()), *_contents(paths)]):
            entry = zipfile.ZipInfo(f"{_FOLDER}/{name}", _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, content)
    return stream.getvalue()


def contents_hash(paths: ProjectPaths) -> str:
    """Return one hash of what the archive would hold: all that a report is made of."""
    digest = hashlib.sha256()
    for name, content in sorted(_contents(paths)):
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _contents(paths: ProjectPaths) -> Iterator[tuple[str, bytes]]:
    """Yield the name below the archive's folder and the bytes of every file."""
    code = Path(ketameta.__file__).parent
    for path in _files(code):
        yield f"src/ketameta/{path.relative_to(code).as_posix()}", path.read_bytes()
    for folder in (paths.data, paths.analyses):
        for path in _files(folder):
            yield paths.relative(path), path.read_bytes()
    for name in ROOT_FILES:
        path = paths.root / name
        if path.is_file():
            yield name, path.read_bytes()
    for path in last_release_files(paths):
        yield paths.relative(path), path.read_bytes()


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder, without caches and hidden ones."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not _LEFT_OUT & set(path.relative_to(folder).parts)
        and not path.name.startswith(".")
        and path.suffix != ".pyc"
    ]


def last_release_files(paths: ProjectPaths) -> list[Path]:
    """Return what a build reads of the last release: its manifest and its results."""
    folder = paths.reports / "releases"
    known = [path.parent for path in folder.glob("*/manifest.json")]
    versions = [path for path in known if re.fullmatch(r"\d+(?:\.\d+)*", path.name)]
    if not versions:
        return []
    last = max(versions, key=lambda path: tuple(int(part) for part in path.name.split(".")))
    return [last / "manifest.json", *sorted((last / "results").glob("*.json"))]
