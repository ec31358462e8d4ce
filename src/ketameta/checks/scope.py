"""What a check was asked about: some batches, folders or files, and the findings about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ketameta.evidence import Evidence
from ketameta.extraction import batch_folders
from ketameta.findings import Finding, file_finding
from ketameta.paths import ProjectPaths
from ketameta.schema import BATCH_TABLES, SHARED_TABLES

#: Lists beside the batches that the checks look at.
_LISTS = (
    *(f"{table.name}.csv" for table in SHARED_TABLES),
    "corrections.toml",
    "search.toml",
    "claims.toml",
)


def resolved(paths: ProjectPaths, item: str | Path) -> Path:
    """Return the folder or file meant by a batch name or a path."""
    named = paths.extracted / item
    if isinstance(item, str) and "/" not in item and named.is_dir() and not Path(item).exists():
        return named
    return Path(item)


def outside_folders(paths: ProjectPaths, chosen: Sequence[Path]) -> Iterator[Path]:
    """Yield the batch folders that lie outside ``data/`` and have to be read beside it."""
    data = paths.data.resolve()
    for item in chosen:
        folder = item if item.is_dir() else item.parent
        place = folder.resolve()
        if place in (paths.root.resolve(), paths.analyses.resolve()) or place.is_relative_to(data):
            continue
        yield folder


def concerns(paths: ProjectPaths, finding: Finding, chosen: Sequence[Path]) -> bool:
    """Return whether a finding is about one of the chosen folders or files."""
    names = [paths.relative(item) for item in chosen]
    return any(
        name == "." or file == name or file.startswith(f"{name.rstrip('/')}/")
        for name in names
        for file in finding.files
    )


def hinders(paths: ProjectPaths, finding: Finding, evidence: Evidence) -> bool:
    """Return whether a list that every batch needs could not be read, so nothing is certain."""
    for name in ("outcome_words", "instruments"):
        is_its = finding.file == paths.relative(paths.data / f"{name}.csv")
        if is_its and finding.is_error and not evidence.tables.get(name):
            return True
    return False


def not_read(
    paths: ProjectPaths, chosen: Sequence[Path], evidence: Evidence, found: Sequence[Finding]
) -> Iterator[Finding]:
    """Yield each chosen file or folder that holds nothing the checks read."""
    files = {row.file for rows in evidence.tables.values() for row in rows}
    files |= {row.file for rows in evidence.refused.values() for row in rows}
    files |= {finding.file for finding in found}
    files |= {paths.relative(paths.data / name) for name in _LISTS}
    files |= {paths.relative(path) for path in paths.analyses.glob("*.toml")}
    for item in chosen:
        name = paths.relative(item)
        inside = name == "." or any(file == name or file.startswith(f"{name}/") for file in files)
        if inside or not item.exists() or _is_table(item):
            continue
        why = "this is no table and no batch, so nothing of it was checked"
        names = [folder.name for folder in batch_folders(paths)]
        remedy = f"name a batch folder or one of its tables; the batches are {', '.join(names)}"
        yield file_finding("file_unknown", name, why, remedy)


def _is_table(item: Path) -> bool:
    """Return whether a file, or a file in a folder, has the name of a table."""
    names = {f"{table.name}.csv" for table in BATCH_TABLES}
    return item.name in names or (item.is_dir() and any((item / name).exists() for name in names))
