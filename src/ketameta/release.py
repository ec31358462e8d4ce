"""Freezes the published report as a release, and lists the releases.

A release holds all that was published: the page, the PDF, figures, results, tables, effects and the
manifest; with them the figures as PNG and PDF, and one ZIP with everything needed to build them
again. Every link of its page works.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ketameta.build import draw_pictures
from ketameta.errors import ReportError, UsageError
from ketameta.evidence.tables import is_link
from ketameta.formatting import plural
from ketameta.paths import ProjectPaths, project_paths, recover, unfinished, write_atomically
from ketameta.report.manifest import (
    INDEX,
    MANIFEST,
    REPRODUCE,
    file_hash,
    manifest_text,
    releases,
    reproduction_zip,
)

#: What a release says of itself: its version, and the hash of each of its files.
RECORD = "release.json"
#: Where the page of a release finds the list of all releases under the name it links.
_SIGNPOST = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>All releases</title>
<meta http-equiv="refresh" content="0; url=../../index.html">
<p><a href="../../index.html">All releases</a></p></html>
"""
VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Release:
    """What a release wrote.

    Attributes
    ----------
    version : str
    files : tuple of str
        Relative to the project.
    """

    version: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"Release {self.version}: {plural(len(self.files), 'file')} frozen."


def release(paths: ProjectPaths, version: str) -> Release:
    """Freeze ``reports/`` into ``reports/releases/<version>/``.

    Parameters
    ----------
    paths : ProjectPaths
    version : str
        Two or three numbers, such as ``1.0`` or ``1.0.2``; later than the last release.

    Raises
    ------
    UsageError
        If the version is malformed, exists, or is not later than the last one.
    ReportError
        If there is no report, or it is not the report of the present inputs.

    Notes
    -----
    The release is made in a hidden folder beside its place and takes its name at the end; what a
    kill leaves behind is removed by the next build or release.
    """
    recover(paths.reports)
    _check_version(paths, version)
    names = _published(paths)
    target = _folder(paths, version)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=unfinished(target)))
    try:
        os.chmod(fresh, 0o755)
        _fill(paths, fresh, version, names)
        os.rename(fresh, target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    from ketameta.report.html import index_html

    index = paths.reports / INDEX
    write_atomically(index, index_html(paths))
    files = sorted(path for path in target.rglob("*") if path.is_file())
    return Release(version, tuple(paths.relative(path) for path in [*files, index]))


def _fill(paths: ProjectPaths, folder: Path, version: str, names: list[str]) -> None:
    """Write every file of a release into a folder."""
    for name in names:
        write_atomically(folder / name, (paths.reports / name).read_bytes())
    figures = [Path(name).name for name in names if name.startswith("figures/")]
    draw_pictures(paths.figures, folder / "figures", figures)
    write_atomically(folder / REPRODUCE, reproduction_zip(paths))
    write_atomically(folder / INDEX, _SIGNPOST)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    stated = {
        "version": version,
        "files": {path.relative_to(folder).as_posix(): file_hash(path) for path in files},
    }
    write_atomically(folder / RECORD, json.dumps(stated, indent=1, sort_keys=True) + "\n")


def remake(
    root: str, version: str, versions: Mapping[str, str], instead: Mapping[str, str] | None = None
) -> None:
    """Build the project in a folder and freeze it, as a release of it was made.

    Parameters
    ----------
    root : str
        A folder with what the ZIP of the release holds.
    version : str
    versions : mapping
        Package versions that the release states.
    instead : mapping, optional
        As for :func:`ketameta.build.build`.

    Notes
    -----
    Later versions of the package verify a release by calling this function of the code that the
    release holds: its name and arguments stay as they are.
    """
    from ketameta.build import build

    paths = project_paths(root)
    build(paths, versions=versions, instead=instead)
    release(paths, version)


def _check_version(paths: ProjectPaths, version: str) -> None:
    if not VERSION.fullmatch(version):
        raise UsageError(f"version is {version!r}; give two or three numbers, such as '1.0'")
    known = releases(paths)
    if version in known:
        raise UsageError(f"version {version} exists already; a release is never changed")
    folder = _folder(paths, version)
    if folder.exists() or is_link(folder):
        raise UsageError(f"{paths.relative(folder)} is there and is no release: delete it first")
    if known and _order(version) <= _order(known[-1]):
        raise UsageError(f"version {version} is not later than the last release, {known[-1]}")


def _order(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")]
    return tuple([*numbers, 0, 0][:3])


def _published(paths: ProjectPaths) -> list[str]:
    """Return the names of all published files, where they are those of the present inputs."""
    path = paths.reports / MANIFEST
    if not path.is_file():
        raise ReportError("there is no report to release; run 'make report' first")
    try:
        text = path.read_text(encoding="utf-8")
        manifest = json.loads(text)
        inputs, outputs = dict(manifest["inputs"]), dict(manifest["outputs"])
        names = [name.removeprefix("reports/") for name in outputs]
        ours = manifest_text(paths, manifest["versions"], names)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"{paths.relative(path)} cannot be read; run 'make report'") from error
    now = json.loads(ours)
    if now["inputs"] != inputs:
        raise ReportError("the inputs have changed since the report was built; run 'make report'")
    wrong = [
        name
        for name, stated in outputs.items()
        if now["outputs"].get(name) != stated or not _is_published(paths, name)
    ]
    if wrong or not names or ours != text:
        raise ReportError(
            "published files are not those the manifest states: "
            + (", ".join(wrong[:5]) or MANIFEST)
            + "; run 'make report'"
        )
    return [*names, MANIFEST]


def _is_published(paths: ProjectPaths, name: str) -> bool:
    """Return whether a name is that of a file below ``reports/`` and of no link."""
    first, *rest = name.split("/")
    plain = first == "reports" and bool(rest) and {"", ".", ".."}.isdisjoint(rest)
    return plain and (paths.root / name).resolve() == paths.reports.resolve().joinpath(*rest)


def _folder(paths: ProjectPaths, version: str) -> Path:
    return paths.reports / "releases" / version
