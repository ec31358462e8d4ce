"""The manifest: what went in, what came out, and with which versions, by SHA-256.

Inputs and outputs are declared by name; what else lies in a folder is no part of the report.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import ketameta
from ketameta.extraction import data_files, is_link
from ketameta.paths import ProjectPaths
from ketameta.project import FILE as PROJECT
from ketameta.report.changes import last_release_files

#: The manifest's own name, below ``reports/``.
MANIFEST = "manifest.json"


def input_files(paths: ProjectPaths) -> list[Path]:
    """Return every file the report is computed from, in a fixed order; no link.

    The last release is one of them, by its manifest: the page says what changed since.
    """
    own = [paths.root / "CITATION.cff", paths.root / PROJECT]
    others = [*own, *paths.analyses.glob("*.toml")]
    if is_link(paths.analyses):
        others = own
    return sorted(
        [
            *data_files(paths),
            *(path for path in others if path.is_file() and not is_link(path)),
            *last_release_files(paths)[:1],
        ]
    )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@cache
def code_hash() -> str:
    """Return one hash of the package's own source, by which a build knows what is out of date.

    It is never published: code that changes no number changes no published file.
    """
    root = Path(ketameta.__file__).parent
    digest = hashlib.sha256()
    for path in code_files(root):
        digest.update(path.relative_to(root).as_posix().encode("utf-8"))
        digest.update(path.read_bytes())
    return digest.hexdigest()


def code_files(root: Path) -> list[Path]:
    """Return the files of a copy of the package: modules and templates, no cache."""
    endings = {".py", ".j2", ".html", ".css", ".js", ".typ", ".typed"}
    return sorted(path for path in root.rglob("*") if path.suffix in endings and path.is_file())


def manifest_text(
    paths: ProjectPaths, versions: Mapping[str, str], published: Iterable[str]
) -> str:
    """Return the manifest as JSON text; nothing in it depends on clock, host or folder.

    Parameters
    ----------
    paths : ProjectPaths
    versions : mapping
        Of the package and of those it computes with.
    published : iterable of str
        Names of the published files, below ``reports/``.
    """
    outputs = {f"reports/{name}": _hash_or_nothing(paths.reports / name) for name in published}
    return _json({**_inputs(paths, versions), "outputs": outputs})


def stated_outputs(paths: ProjectPaths) -> list[str]:
    """Return the names of the published files by the manifest, below ``reports/``; or none."""
    try:
        stated = json.loads((paths.reports / MANIFEST).read_text(encoding="utf-8"))
        return [str(name).removeprefix("reports/") for name in stated["outputs"]]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return []


def _hash_or_nothing(path: Path) -> str:
    return file_hash(path) if path.is_file() else "no such file"


def inputs_text(paths: ProjectPaths, versions: Mapping[str, str]) -> str:
    """Return the part of the manifest that is known before anything is written, as JSON text."""
    return _json(_inputs(paths, versions))


def _inputs(paths: ProjectPaths, versions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "inputs": {paths.relative(path): file_hash(path) for path in input_files(paths)},
        "versions": dict(versions),
    }


def _json(stated: dict[str, Any]) -> str:
    return json.dumps(stated, indent=1, sort_keys=True) + "\n"


def inputs_hash(paths: ProjectPaths) -> str:
    """Return one hash of all inputs: the data part of the report's stamp."""
    digest = hashlib.sha256()
    for path in input_files(paths):
        digest.update(paths.relative(path).encode("utf-8"))
        digest.update(path.read_bytes())
    return digest.hexdigest()


def results_text(results: Sequence[Mapping[str, Any]]) -> str:
    """Return every result by its name as one JSON text, as it is attached to the PDF."""
    return json.dumps(
        {result["name"]: result for result in results},
        ensure_ascii=False,
        allow_nan=False,
        sort_keys=True,
        separators=(",", ":"),
    )


def results_hash(results: Sequence[Mapping[str, Any]]) -> str:
    """Return one hash of all results: the other part of the report's stamp."""
    return text_hash(results_text(results))
