"""Imports a file of another format into a batch: recognises it, reads it, writes the tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ketameta.errors import UsageError
from ketameta.evidence.checks.registry import template_csv
from ketameta.evidence.reader import LARGEST_CSV, other_kind
from ketameta.evidence.schema import BATCH_TABLES
from ketameta.evidence.tables import Row, load_tables, read_rows
from ketameta.exchange.citations import TABLE as SCREENING
from ketameta.exchange.citations import format_of, read_citations
from ketameta.exchange.draft import (
    Declared,
    ImportedRow,
    ImportReport,
    SourceCsv,
    Words,
    load_words,
    read_source,
)
from ketameta.exchange.metapsy import is_metapsy, read_metapsy
from ketameta.exchange.revman import (
    RM5,
    is_data_rows,
    is_risk_of_bias,
    read_data_rows,
    read_risk_of_bias,
    read_rm5,
)
from ketameta.exchange.wide import mapping_of, read_wide, suggest
from ketameta.formatting import csv_text
from ketameta.paths import ProjectPaths, write_atomically
from ketameta.review.start import (
    check_project_folder,
    project_schema,
    readme,
    slug,
    table_csv,
    write_batch,
)

#: The formats that an import recognises, in words.
FORMATS = (
    "a workbook from 'ketameta new --workbook' (.xlsx)",
    "a Metapsy database (.csv with study, condition_arm1, condition_arm2, outcome_type ...)",
    "the data rows of a RevMan data package (.csv with Analysis group, Study, Experimental N ...)",
    "a RevMan 5 review (.rm5)",
    "the study information, arms and results of RevMan and Covidence",
    "citations (RIS, nbib, BibTeX), which go into data/screening.csv",
    "any other table of trials, through the mapping that 'ketameta import FILE --suggest' drafts",
    "a risk-of-bias table of RevMan or Covidence (Study, Domain (judgement): ...) or for robvis "
    "(Study, D1, D2 ... Overall)",
)
#: Where the verdict on every row stands beside the tables.
ROWS_FILE = "import/rows.csv"


def import_file(
    paths: ProjectPaths,
    source: Path,
    batch: str = "",
    *,
    words: Path | None = None,
    replace_rows: bool = False,
    write: bool = True,
) -> tuple[ImportReport, tuple[Path, ...]]:
    """Import ``source`` into ``data/extracted/<batch>`` and return the report and the files.

    Parameters
    ----------
    paths : ProjectPaths
    source : Path
    batch : str
        Name of the batch; from the name of the file when empty.
    words : Path, optional
        A words file.
    replace_rows : bool
        Write over a batch that already holds rows.
    write : bool
        False only reports.

    Raises
    ------
    UsageError
        If the source cannot be opened, the words file is wrong, the batch already holds rows, or
        this is no project.
    """
    data = _bytes_of(source)
    schema = project_schema(paths)
    translations = load_words(words, schema) if words is not None else Words()
    if format_of(data):
        listed = [row.texts for row in read_list(paths)]
        report = read_citations(data, source.name, listed)
        report.account()
    else:
        report = read_import(data, source.name, translations, declared_words(paths))
    if not write or not any(report.tables.values()):
        return report, ()
    if SCREENING in report.tables:
        return report, (_screen(paths, report),)
    name = batch or slug(source.stem)
    if not name or "/" in name or name.startswith((".", "_")):
        raise UsageError(f"--batch is {name!r}; a folder name is needed")
    check_project_folder(paths)
    folder = paths.extracted / name
    files = batch_files(report, name, paths)
    if (folder / "README.md").exists():
        del files["README.md"]
    write_batch(folder, files, replace=replace_rows)
    return report, tuple(folder / file for file in files)


def read_list(paths: ProjectPaths) -> list[Row]:
    """Return the rows of the screening list; none where there is no such file."""
    path, table = paths.data / f"{SCREENING}.csv", project_schema(paths)[SCREENING]
    return read_rows(path, paths.relative(path), table)[0] if path.is_file() else []


def _screen(paths: ProjectPaths, report: ImportReport) -> Path:
    """Add the records of a report to the screening list; decisions in it stay."""
    path, table = paths.data / f"{SCREENING}.csv", project_schema(paths)[SCREENING]
    rows = [*(row.texts for row in read_list(paths)), *report.tables[SCREENING]]
    write_atomically(path, csv_text(table.column_names, rows))
    return path


def _bytes_of(source: Path) -> bytes:
    if source.is_dir():
        raise UsageError(f"{source}: this is a folder; name the file in it")
    if not source.is_file():
        raise UsageError(f"{source}: there is no such file")
    size = source.stat().st_size
    if size > LARGEST_CSV:
        raise UsageError(
            f"{source}: a file of {size:,} bytes is no table of trials; at most {LARGEST_CSV:,} "
            "bytes are read, so split it"
        )
    return source.read_bytes()


def suggestion(paths: ProjectPaths, source: Path) -> str:
    """Return the draft of a mapping file for a CSV.

    Raises
    ------
    UsageError
        If there is no such file, or it is no table.
    """
    data = _bytes_of(source)
    if kind := other_kind(data):
        raise UsageError(f"{source}: this is {kind}; save the sheet as CSV")
    return suggest(read_source(data), project_schema(paths))


def declared_words(paths: ProjectPaths) -> Declared:
    """Return the words that a project knows, and what it uses them for."""
    evidence, _ = load_tables(paths)
    measured: dict[str, set[str]] = {}
    for table in ("outcomes", "contrasts"):
        for row in evidence.rows(table):
            measured.setdefault(row["instrument"], set()).add(row["outcome"])
    return Declared(
        frozenset(row["outcome"] for row in evidence.rows("outcome_words")),
        frozenset(row["instrument"] for row in evidence.rows("instruments")),
        {row["intervention"]: row["drug_class"] for row in evidence.rows("arms")},
        evidence.project,
        {name: frozenset(outcomes) for name, outcomes in measured.items()},
        {row["instrument"]: row["name"] for row in evidence.rows("instruments")},
    )


def read_import(
    data: bytes, name: str, words: Words | None = None, declared: Declared | None = None
) -> ImportReport:
    """Return what the bytes of a file hold: what cannot be read is in the report.

    Raises
    ------
    ImportAccountError
        If a row of the file would be lost, or a row of the batch came from nowhere.
    """
    report = _read(data, name, words, declared)
    report.account()
    return report


def _read(data: bytes, name: str, words: Words | None, declared: Declared | None) -> ImportReport:
    translations, project = words or Words(), declared or Declared()
    if data.startswith(b"PK\x03\x04"):
        from ketameta.exchange.workbook import read_workbook

        return read_workbook(data, name, project.schema)
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        why = "this is a workbook of the old format (.xls); save it as .xlsx"
        return ImportReport(name, problems=(why,))
    if data[:400].lstrip(b"\xef\xbb\xbf \r\n").startswith((b"<?xml", b"<COCHRANE_REVIEW")) and (
        b"<COCHRANE_REVIEW" in data[:2000]
    ):
        return _read_review(data, name, translations, project)
    kind = other_kind(data)
    if kind:
        why = f"this is {kind}, not a table; what can be read: {'; '.join(FORMATS)}"
        return ImportReport(name, problems=(why,))
    source = read_source(data)
    if translations.columns:
        kind, columns = mapping_of(source, translations)
        return _whole(read_wide(source, name, kind, columns, translations, project), source)
    if is_metapsy(source.columns):
        return _whole(read_metapsy(source, name, translations, project), source)
    if is_data_rows(source.columns):
        return _whole(read_data_rows(source, name, translations, project), source)
    if is_risk_of_bias(source.columns):
        return _whole(read_risk_of_bias(source, name, translations), source)
    kind, columns = mapping_of(source, translations)
    if columns:
        return _whole(read_wide(source, name, kind, columns, translations, project), source)
    report = _unknown_format(source, name)
    return _whole(replace(report, problems=(*source.problems, *report.problems)), source)


def _read_review(data: bytes, name: str, words: Words, declared: Declared) -> ImportReport:
    """Return what a RevMan 5 file holds: its data rows, then its judgements."""
    results, judged, given, problems = read_rm5(data, name)
    parts = [
        ("analyses", results, read_data_rows(results, name, words, declared, given)),
        ("risk of bias", judged, read_risk_of_bias(judged, name, words)),
    ]
    parts = [part for part in parts if part[1].filled]
    reports = [(sheet, _whole(report, source)) for sheet, source, report in parts]
    return ImportReport(
        name,
        RM5,
        tuple(replace(row, sheet=sheet) for sheet, report in reports for row in report.rows),
        (*problems, *(text for _, report in reports for text in report.problems)),
        tuple(text for _, report in reports for text in report.notes),
        {table: rows for _, report in reports for table, rows in report.tables.items()},
        {table: found for _, report in reports for table, found in report.undeclared.items()},
        "".join(report.words_file for _, report in reports),
        sum(report.rows_in for _, report in reports),
    )


def _whole(report: ImportReport, source: SourceCsv) -> ImportReport:
    """Return the report with what is true of every format: twins, unread lines, unasked columns."""
    first: dict[tuple[tuple[str, str], ...], int] = {}
    rows = []
    for row, record in zip(report.rows, source.records, strict=True):
        twin = first.setdefault(tuple(record.cells.items()), row.line)
        if twin != row.line and row.verdict != "refused":
            detail = f"the same as line {twin}, cell by cell: entered once"
            row = replace(row, verdict="changed", details=(*row.details, detail))
        rows.append(row)
    why = "not read: a quotation mark at or above it has no partner"
    rows += [ImportedRow(line, "", "refused", (why,)) for line in source.unread]
    told = source.unasked() if any(report.tables.values()) else ""
    empty = () if rows or report.problems else ("the file holds no row below its header",)
    return replace(
        report,
        rows=tuple(rows),
        problems=(*report.problems, *empty),
        notes=(*report.notes, told) if told else report.notes,
        rows_in=source.filled,
    )


def _unknown_format(source: SourceCsv, name: str) -> ImportReport:
    """Return the report on a file whose header is not one of the formats: every row refused."""
    rows = tuple(
        ImportedRow(record.line, "", "refused", ("the format is not recognised",))
        for record in source.records
    )
    own = [
        table.name
        for table in BATCH_TABLES
        if len(table.core) > 1 and {*table.core} <= {*source.columns}
    ]
    if own:
        why = (
            f"these are the columns of {own[0]}.csv: put the file under that name into a batch "
            "folder of 'ketameta new', and check it there"
        )
        return ImportReport(name, rows=rows, problems=(why,))
    shown = ", ".join(source.columns[:8]) + (" ..." if len(source.columns) > 8 else "")
    why = (
        f"the format is not recognised (columns: {shown or 'none'}); what can be read: "
        + "; ".join(FORMATS)
    )
    return ImportReport(name, rows=rows, problems=(why,))


def batch_files(report: ImportReport, name: str, paths: ProjectPaths) -> dict[str, str]:
    """Return the files of a batch by name: its tables, its README, the verdict on every row."""
    schema = project_schema(paths)
    files = {
        f"{table.name}.csv": table_csv(table, report.tables.get(table.name, ()))
        if report.tables.get(table.name)
        else template_csv(table.name, schema)
        for table in schema.batch
    }
    files["README.md"] = readme(name, paths)
    files[ROWS_FILE] = report.rows_csv()
    return files
