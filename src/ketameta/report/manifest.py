"""The manifest: what went in, what came out, and with which versions, by SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import ketameta
from ketameta.paths import ProjectPaths


def input_files(paths: ProjectPaths) -> list[Path]:
    """Return every file the report is computed from, in a fixed order."""
    data = [path for path in paths.data.rglob("*") if path.suffix in {".csv", ".toml"}]
    return sorted([*data, *paths.analyses.glob("*.toml")])


def output_files(paths: ProjectPaths) -> list[Path]:
    """Return every published file except the manifest itself."""
    releases = paths.reports / "releases"
    return sorted(
        path
        for path in paths.reports.rglob("*")
        if path.is_file() and path.name != "manifest.json" and releases not in path.parents
    )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@cache
def code_hash() -> str:
    """Return one hash of the package's own source: the code part of the report's stamp."""
    root = Path(ketameta.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix in {".py", ".j2", ".html", ".css", ".js", ".typ"}:
            digest.update(path.relative_to(root).as_posix().encode("utf-8"))
            digest.update(path.read_bytes())
    return digest.hexdigest()


def manifest_text(paths: ProjectPaths, versions: Mapping[str, str]) -> str:
    """Return the manifest as JSON text; nothing in it depends on clock, host or folder."""
    outputs = {paths.relative(path): file_hash(path) for path in output_files(paths)}
    return _json({**_inputs(paths, versions), "outputs": outputs})


def inputs_text(paths: ProjectPaths, versions: Mapping[str, str]) -> str:
    """Return the part of the manifest that is known before anything is written, as JSON text."""
    return _json(_inputs(paths, versions))


def _inputs(paths: ProjectPaths, versions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "code": code_hash(),
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
