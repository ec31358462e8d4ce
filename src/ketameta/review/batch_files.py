"""Writes whole batch folders and guarded CSVs: either everything is there, or what was there."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ketameta.csvguard import guarded
from ketameta.errors import UsageError
from ketameta.evidence import TABLES
from ketameta.paths import recover, unfinished
from ketameta.schema import BATCH_TABLES

Cells = Mapping[str, str]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def csv_text(
    columns: Sequence[str], rows: Iterable[Cells], *, separator: str = ",", guard: bool = True
) -> str:
    """Return rows as CSV text with a header; missing cells are empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=separator, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = [row.get(name, "") for name in columns]
        writer.writerow([guarded(cell) for cell in cells] if guard else cells)
    return stream.getvalue()


def table_csv(table: str, rows: Iterable[Cells]) -> str:
    """Return the CSV of one table of the schema, sorted by its key, without repeated rows."""
    shape = TABLES[table]

    def order(row: Cells) -> tuple[tuple[int, float, str], ...]:
        return tuple(_sortable(row.get(name, "")) for name in shape.key)

    unique = {tuple(row.get(name, "") for name in shape.column_names): row for row in rows}
    return csv_text(shape.column_names, sorted(unique.values(), key=order))


def _sortable(cell: str) -> tuple[int, float, str]:
    """Return a sort key: empty first, then numbers as numbers, then text."""
    if not cell:
        return (0, 0.0, "")
    if _NUMBER.fullmatch(cell):
        return (1, float(cell), "")
    return (2, 0.0, cell)


def holds_rows(folder: Path) -> bool:
    """Return whether a batch folder holds more than headers."""
    for table in BATCH_TABLES:
        path = folder / f"{table.name}.csv"
        if path.is_file() and path.read_bytes().strip().count(b"\n"):
            return True
    return False


def write_batch(folder: Path, files: Mapping[str, str], *, replace: bool = False) -> None:
    """Write the files of a batch in one step.

    Parameters
    ----------
    folder : Path
        May exist when it holds headers only; with ``replace``, in any case. Other files in it,
        such as a second extraction, stay.
    files : mapping of str to str
        Text by file name, which may contain a folder (``"import/rows.csv"``).
    replace : bool

    Raises
    ------
    UsageError
        If the folder already holds rows and ``replace`` was not asked for.

    Notes
    -----
    The new folder is completed under a hidden name beside the old one, which checks do not read,
    and then takes its place; whatever interrupts the writing leaves the old one, and what a kill
    leaves behind is cleaned up by the next command that writes.
    """
    recover(folder.parent)
    exists = folder.exists() or folder.is_symlink()
    if exists and not folder.is_dir():
        raise UsageError(f"{folder.name} is a file; a batch is a folder")
    if exists and not replace and holds_rows(folder):
        raise UsageError(
            f"the batch {folder.name} already holds rows; choose another name with --batch, "
            "or say --replace to write over it"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=unfinished(folder)))
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise type(error)(error.errno, why, str(folder)) from None
    try:
        os.chmod(fresh, 0o755)
        if exists:
            shutil.copytree(folder, fresh, symlinks=True, dirs_exist_ok=True)
        for name, text in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8"))
        _swap(fresh, folder, exists)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _swap(fresh: Path, folder: Path, exists: bool) -> None:
    """Put the new folder in the place of the old one; put the old one back if that fails."""
    if not exists:
        os.rename(fresh, folder)
        return
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=unfinished(folder, "old")))
    old = aside / folder.name
    try:
        os.rename(folder, old)
        try:
            os.rename(fresh, folder)
        except BaseException:
            os.rename(old, folder)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
