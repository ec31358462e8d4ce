"""Freezes the published report as a release, and lists the releases.

A release holds all that was published: the page, the PDF, figures, results, tables, effects, the
manifest, and one ZIP with everything needed to build them again. Every link of its page works.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markupsafe import escape

from ketameta.errors import ReportError, UsageError
from ketameta.numberformat import plural
from ketameta.paths import ProjectPaths, write_atomically
from ketameta.report.changes import releases, result_changes
from ketameta.report.manifest import file_hash, input_files
from ketameta.report.reproduce import REPRODUCE

#: Published files that a release keeps, below ``reports/``.
_FROZEN = (
    "report.html",
    "report.pdf",
    "effects.csv",
    "claims.json",
    "results.schema.json",
    "manifest.json",
    REPRODUCE,
    "figures/*",
    "results/*.json",
    "tables/*.csv",
)
#: Where the page of a release finds the list of all releases under the name it links.
_SIGNPOST = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>All releases</title>
<meta http-equiv="refresh" content="0; url=../../index.html">
<p><a href="../../index.html">All releases</a></p></html>
"""
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")


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
    """
    _check_version(paths, version)
    manifest = _checked_manifest(paths)
    target = paths.reports / "releases" / version
    written: list[Path] = []
    try:
        for path in _frozen(paths):
            copy = target / path.relative_to(paths.reports)
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(copy, path.read_bytes())
            written.append(copy)
        signpost = target / "releases" / "index.html"
        signpost.parent.mkdir()
        write_atomically(signpost, _SIGNPOST)
        written.append(signpost)
        stated = {
            "version": version,
            "inputs": manifest["inputs"],
            "files": {
                path.relative_to(target).as_posix(): file_hash(path) for path in sorted(written)
            },
        }
        record = target / "release.json"
        write_atomically(record, json.dumps(stated, indent=1, sort_keys=True) + "\n")
        written.append(record)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    index = paths.reports / "releases" / "index.html"
    write_atomically(index, index_html(paths))
    return Release(version, tuple(paths.relative(path) for path in [*sorted(written), index]))


def _check_version(paths: ProjectPaths, version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise UsageError(f"version is {version!r}; give two or three numbers, such as '1.0'")
    known = releases(paths)
    if version in known or (paths.reports / "releases" / version).exists():
        raise UsageError(f"version {version} exists already; a release is never changed")
    if known and _order(version) <= _order(known[-1]):
        raise UsageError(f"version {version} is not later than the last release, {known[-1]}")


def _order(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")]
    return tuple([*numbers, 0, 0][:3])


def _checked_manifest(paths: ProjectPaths) -> dict[str, dict[str, str]]:
    """Return the manifest when it fits the inputs and the published files."""
    path = paths.reports / "manifest.json"
    if not path.is_file():
        raise ReportError("there is no report to release; run 'make report' first")
    manifest: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    now = {paths.relative(item): file_hash(item) for item in input_files(paths)}
    if now != manifest["inputs"]:
        raise ReportError("the inputs have changed since the report was built; run 'make report'")
    wrong = [
        name
        for name, stated in sorted(manifest["outputs"].items())
        if not (paths.root / name).is_file() or file_hash(paths.root / name) != stated
    ]
    if wrong:
        raise ReportError(
            "published files are not those the manifest states: " + ", ".join(wrong[:5])
        )
    return manifest


def _frozen(paths: ProjectPaths) -> Iterator[Path]:
    for pattern in _FROZEN:
        yield from sorted(path for path in paths.reports.glob(pattern) if path.is_file())


def index_html(paths: ProjectPaths) -> str:
    """Return the page that lists the releases, newest first, with what changed in each."""
    versions = releases(paths)
    parts = []
    for place in range(len(versions) - 1, -1, -1):
        version = versions[place]
        folder = paths.reports / "releases" / version
        changed = ""
        if place:
            items = result_changes(_results(paths, versions[place - 1]), _results(paths, version))
            lines = "".join(
                f"<li>{escape(item['title'])}: {escape(item['words'])}</li>" for item in items
            )
            changed = f"<ul>{lines}</ul>" if lines else "<p>No result changed.</p>"
        links = "".join(
            f'<li><a href="{escape(f"{version}/{name}")}">{escape(words)}</a></li>'
            for name, words in (
                ("report.html", "Report"),
                ("report.pdf", "Report as PDF"),
                ("effects.csv", "Every effect"),
                ("manifest.json", "Manifest"),
                (REPRODUCE, "Everything needed to build it again"),
            )
            if (folder / name).is_file()
        )
        parts.append(
            f"<section><h2>Release {escape(version)}</h2><ul>{links}</ul>{changed}</section>"
        )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<title>Releases</title>\n'
        "<style>body{font:17px/1.6 system-ui,sans-serif;max-width:46rem;margin:2rem auto;"
        "padding:0 1rem}</style>\n</head>\n<body>\n<main>\n<h1>Releases</h1>\n"
        '<p><a href="../report.html">The present report</a></p>\n'
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _results(paths: ProjectPaths, version: str) -> dict[str, dict[str, object]]:
    folder = paths.reports / "releases" / version / "results"
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }
