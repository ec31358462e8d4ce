"""One ZIP with everything needed to build the report again; the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import ketameta
from ketameta.extraction import is_link
from ketameta.paths import ProjectPaths
from ketameta.report.changes import last_release_files
from ketameta.report.manifest import code_files, input_files

#: What the ZIP is called in a release.
REPRODUCE = "reproduce.zip"
#: Files of the project's own folder that a build or its commands need, where they are there.
ROOT_FILES = (
    *("Makefile", "pyproject.toml", "constraints.txt", "LICENSE", "CITATION.cff"),
    "project.toml",
)
#: What goes with the data wherever they go.
_WITH_DATA = ("LICENSE.md", "README.md")
#: The oldest date a ZIP can hold; nothing here says anything of clocks.
_DATE = (1980, 1, 1, 0, 0, 0)
#: Folder inside the archive.
FOLDER = "ketameta"
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
    Only declared inputs are packed, and no link is followed. What changed since the last release
    is said from its frozen results, so they are inside too. Nothing is compressed: programs that
    compress differ in their bytes.
    """
    files = {"README.md": _README.encode(), **dict(_contents(paths))}
    return packed({f"{FOLDER}/{name}": content for name, content in files.items()})


def packed(files: dict[str, bytes]) -> bytes:
    """Return files as a ZIP, in the order of their names, with one date and one kind of entry."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _DATE)
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
    for path in code_files(code):
        yield f"src/ketameta/{path.relative_to(code).as_posix()}", path.read_bytes()
    for path in source_files(paths):
        yield paths.relative(path), path.read_bytes()


def source_files(paths: ProjectPaths) -> list[Path]:
    """Return what a build elsewhere needs of a project: its inputs, and what goes with them."""
    beside = [
        *(paths.root / name for name in ROOT_FILES),
        *(paths.data / name for name in _WITH_DATA if not is_link(paths.data)),
    ]
    plain = [path for path in beside if path.is_file() and not is_link(path)]
    return sorted({*input_files(paths), *plain, *last_release_files(paths)})
