"""Reads the extracted tables into rows with provenance. Judges no value.

Reading never fails: what cannot be read becomes a finding, and every row of every file is either
in ``Evidence.tables`` or in ``Evidence.refused``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ketameta.cells import read_cell
from ketameta.csvfiles import MOST_MISTAKES, given_up, read_csv
from ketameta.errors import did_you_mean
from ketameta.evidence import TABLES, Evidence, Row
from ketameta.findings import Finding, Gathered, Severity, file_finding, sort_findings
from ketameta.paths import ProjectPaths
from ketameta.schema import BATCH_TABLES, SHARED_TABLES, Table

__all__ = ["Evidence", "Row", "batch_folders", "load_tables", "read_rows"]

#: Files with these endings hold tables that nobody reads.
_TABLE_ENDINGS = (".tsv", ".xls", ".xlsx", ".xlsm", ".ods", ".numbers", ".rds", ".dta", ".sav")
_TABLE_STEMS = frozenset(table.name for table in BATCH_TABLES)
#: Folders inside a batch that have a meaning: a second extraction, what an import said.
_OWN_FOLDERS = ("second", "import")
#: Without these, no outcome can be understood.
_NEEDED_SHARED = ("outcome_words", "instruments")


def batch_folders(paths: ProjectPaths) -> tuple[Path, ...]:
    """Return the batch folders under ``data/extracted``, in alphabetical order."""
    try:
        found = [item for item in paths.extracted.iterdir() if item.is_dir()]
    except OSError:
        return ()
    return tuple(sorted(item for item in found if not item.name.startswith((".", "_"))))


def load_tables(
    paths: ProjectPaths,
    only: Sequence[str | Path] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Evidence, tuple[Finding, ...]]:
    """Return the tables of the project and every problem met while reading them.

    Parameters
    ----------
    paths : ProjectPaths
    only : sequence of str or Path, optional
        Batches to read, by name or folder (which may lie outside the project). All batches of the
        project when not given. The shared lists of ``data/`` are always read.
    say : callable
        Called with one line per file.

    Returns
    -------
    evidence : Evidence
    findings : tuple of Finding
    """
    chosen = None if only is None else tuple(_folder(paths, item) for item in only)
    folders = batch_folders(paths) if chosen is None else chosen
    tables: dict[str, list[Row]] = {name: [] for name in TABLES}
    refused: dict[str, list[Row]] = {name: [] for name in TABLES}
    findings: list[Finding] = []
    if only is None and not paths.extracted.is_dir():
        findings.append(
            file_finding(
                "file_missing",
                paths.relative(paths.extracted),
                "there is no such folder",
                "run inside the project, or create the folder with one subfolder per batch",
            )
        )
    findings.extend(_look_beside(paths))
    for folder in folders:
        looked = tuple(_look_at_folder(paths, folder))
        findings.extend(looked)
        if any(finding.check == "file_unreadable" for finding in looked):
            continue
        for table in BATCH_TABLES:
            path = folder / f"{table.name}.csv"
            if _exists(path):
                say(f"Reading {paths.relative(path)}")
                _read_into(paths, path, table, tables, refused, findings)
    for table in SHARED_TABLES:
        path = paths.data / f"{table.name}.csv"
        if _exists(path) or (table.name in _NEEDED_SHARED and folders):
            _read_into(paths, path, table, tables, refused, findings)
    evidence = Evidence(
        {name: tuple(rows) for name, rows in tables.items()},
        {name: tuple(rows) for name, rows in refused.items()},
    )
    return evidence, sort_findings(findings)


def read_rows(path: Path, file: str, table: Table) -> tuple[list[Row], list[Row], list[Finding]]:
    """Return the rows of one CSV, the rows refused, and every problem.

    Parameters
    ----------
    path : Path
    file : str
        The path as messages print it.
    table : Table
    """
    content = read_csv(path, file, table)
    found = Gathered()
    columns = {column.name: column for column in table.columns}
    rows: list[Row] = []
    for line, cells in content.rows:
        if found.total > MOST_MISTAKES:
            severity, check, why, remedy, line = given_up(line)
            found.add(file_finding(check, file, why, remedy, severity=severity, line=line))
            break
        texts: dict[str, str] = {}
        numbers: dict[str, float] = {}
        for name, typed in cells.items():
            if not typed:
                continue
            text, number, problems = read_cell(columns[name], typed)
            if text:
                texts[name] = text
            if number is not None:
                numbers[name] = number
            for severity, check, why, remedy in problems:
                found.add(Finding(severity, check, file, line, name, typed, why, remedy))
        rows.append(Row(table.name, file, line, texts, numbers))
    refused = [
        Row(table.name, file, line, {name: cell.strip() for name, cell in cells.items()}, {})
        for line, cells in content.refused
    ]
    findings = [*content.findings, *found.findings()]
    is_empty = not rows and not refused and not any(finding.is_error for finding in findings)
    if is_empty and table.name in ("studies", "arms", *_NEEDED_SHARED):
        why, remedy = "the table has a header and no rows", "add a row, or delete the file"
        findings.append(file_finding("empty_table", file, why, remedy, severity="warning"))
    return rows, refused, findings


def _read_into(
    paths: ProjectPaths,
    path: Path,
    table: Table,
    tables: dict[str, list[Row]],
    refused: dict[str, list[Row]],
    findings: list[Finding],
) -> None:
    """Read one file and add what it holds to the three collections."""
    rows, wrong_rows, problems = read_rows(path, paths.relative(path), table)
    tables[table.name].extend(rows)
    refused[table.name].extend(wrong_rows)
    findings.extend(problems)


def _look_at_folder(paths: ProjectPaths, folder: Path) -> Iterable[Finding]:
    """Yield what is wrong with the names of the files in a batch folder."""
    file = paths.relative(folder)
    try:
        names = sorted(item.name for item in folder.iterdir() if item.is_file())
    except PermissionError:
        why = "the folder cannot be opened (Permission denied)"
        yield file_finding("file_unreadable", file, why, "give yourself the right to read it")
        return
    except OSError:
        yield file_finding(
            "file_missing",
            file,
            "there is no such batch folder",
            "check the name" + did_you_mean(folder.name, (b.name for b in batch_folders(paths))),
        )
        return
    known = {f"{table.name}.csv" for table in BATCH_TABLES}
    if known.isdisjoint(names):
        why, remedy = "the batch folder holds no table", "add its tables, or delete the folder"
        yield file_finding("empty_table", file, why, remedy, severity="warning")
    for name in names:
        if name in known or name.startswith((".", "~")):
            continue
        # A table that got a second ending (outcomes.csv.txt) is a table all the same.
        is_table = ".csv" in name.lower() or name.partition(".")[0].lower() in _TABLE_STEMS
        if is_table or name.lower().endswith(_TABLE_ENDINGS):
            severity: Severity = "error" if ".csv" in name.lower() else "warning"
            listed = ", ".join(sorted(known))
            yield file_finding(
                "file_unknown",
                f"{file}/{name}",
                "a batch has no table of this name, so the file is not read",
                f"rename or remove it; the tables are {listed}{did_you_mean(name, known)}",
                severity=severity,
            )

    for inner in sorted(item for item in folder.iterdir() if item.is_dir()):
        if inner.name in _OWN_FOLDERS or inner.name.startswith((".", "~", "_")):
            continue
        tables = sorted(path.name for path in inner.rglob("*.csv"))
        if tables:
            yield file_finding(
                "file_unknown",
                f"{file}/{inner.name}",
                f"a folder inside a batch is not read, and this one holds {tables[0]}",
                "move its tables into a batch of their own beside this one",
            )


def _look_beside(paths: ProjectPaths) -> Iterable[Finding]:
    """Yield the CSV files that stand where nobody reads them."""
    shared = {f"{table.name}.csv" for table in SHARED_TABLES}
    for folder, known, remedy in (
        (
            paths.data,
            shared,
            f"rename or move it; the shared lists are {', '.join(sorted(shared))}",
        ),
        (paths.extracted, set(), "move it into the folder of its batch"),
    ):
        try:
            names = sorted(item.name for item in folder.iterdir() if item.is_file())
        except OSError:
            continue
        for name in names:
            if name.lower().endswith(".csv") and name not in known and not name.startswith("."):
                file = paths.relative(folder / name)
                hint = did_you_mean(name, known)
                why = "no table of this name stands here, so the file is not read"
                yield file_finding("file_unknown", file, why, remedy + hint)


def _folder(paths: ProjectPaths, item: str | Path) -> Path:
    """Return the folder of a batch given by name or by path."""
    path = Path(item)
    if not path.is_absolute() and len(path.parts) == 1:
        named = paths.extracted / path
        if _exists(named) or not path.is_dir():
            return named
    return path


def _exists(path: Path) -> bool:
    """Return whether something of that name is there, even if it cannot be read."""
    try:
        return path.exists() or path.is_symlink()
    except (OSError, ValueError):
        return True
