"""What two extractors agreed on: read from ``second/reconciliation.csv`` and put into the tables.

A difference that nobody has decided is an error; so is a decision that no longer fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ketameta.cells import read_cell
from ketameta.csvguard import unguarded
from ketameta.evidence import Evidence, Row
from ketameta.extraction import DECISIONS, SECOND, read_rows
from ketameta.findings import Finding, file_finding, sort_findings
from ketameta.paths import ProjectPaths
from ketameta.schema import Column, Schema, Table
from ketameta.second_extraction import (
    WHOLE_ROW,
    Comparison,
    compare_batch,
    key_text,
    open_rows,
    second_folders,
)

#: What a decision writes for a cell that stays empty, and for a row that only one extractor has.
EMPTY, KEEP, LEAVE_OUT = "(empty)", "keep", "leave out"

RECONCILIATION = Table(
    "reconciliation",
    "difference between two extractions",
    ("table", "row", "column"),
    (
        Column("table", "text", "Table of the difference.", required=True),
        Column("row", "text", "Key of the row, its parts joined by ' / '.", required=True),
        Column("column", "text", "The cell, or '(row)' for a row only one extractor has.", True),
        Column("first", "text", "Value of the first extraction; empty where the cell is empty."),
        Column("first_locator", "text", "Where the first extractor found it."),
        Column("first_by", "text", "Initials of the first extractor."),
        Column("second", "text", "Value of the second extraction."),
        Column("second_locator", "text", "Where the second extractor found it."),
        Column("second_by", "text", "Initials of the second extractor."),
        Column(
            "agreed",
            "text",
            "The agreed value; '(empty)' for an empty cell, 'keep' or 'leave out' for a row.",
        ),
        Column("decided_by", "text", "Initials of who decided."),
        Column("reason", "text", "What settled it."),
    ),
    in_batch=False,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of ``reconciliation.csv``."""

    line: int
    cells: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.cells.get(name, "")

    @property
    def place(self) -> tuple[str, str, str]:
        """Table, row and column that the decision is about."""
        return self["table"], self["row"], self["column"]


def read_decisions(paths: ProjectPaths, folder: Path) -> tuple[list[Decision], list[Finding]]:
    """Return the decisions on a batch, and what is wrong with their file; none without it."""
    path = folder / SECOND / DECISIONS
    if not path.exists():
        return [], []
    rows, _, findings = read_rows(path, paths.relative(path), RECONCILIATION)
    decisions = [
        Decision(row.line, {name: unguarded(cell) for name, cell in row.texts.items()})
        for row in rows
    ]
    return decisions, findings


def reconcile(
    paths: ProjectPaths, evidence: Evidence, also: Sequence[Path] = ()
) -> tuple[Evidence, tuple[Finding, ...]]:
    """Return the evidence with every agreed value, and an error for every open difference.

    Parameters
    ----------
    paths : ProjectPaths
    evidence : Evidence
        As read, before corrections: both extractors type what is printed, and a correction of a
        printed error comes after what they agree on.
    also : sequence of Path
        Batches outside the project that were read beside it.

    Returns
    -------
    evidence : Evidence
    findings : tuple of Finding
        ``unreconciled`` for a difference without a decision, ``reconciliation`` for a decision
        that no longer fits the tables or cannot be used.
    """
    folders = second_folders(paths, also)
    if not folders:
        return evidence, ()
    tables = {name: list(rows) for name, rows in evidence.tables.items()}
    findings: list[Finding] = []
    for folder in folders:
        comparison = compare_batch(paths, folder, evidence)
        decisions, problems = read_decisions(paths, folder)
        findings.extend((*comparison.findings, *problems))
        file = paths.relative(folder / SECOND / DECISIONS)
        findings.extend(_apply(comparison, decisions, file, tables, evidence.schema))
    return (
        replace(evidence, tables={name: tuple(rows) for name, rows in tables.items()}),
        sort_findings(findings),
    )


def _apply(
    comparison: Comparison,
    decisions: Sequence[Decision],
    file: str,
    tables: dict[str, list[Row]],
    schema: Schema,
) -> Iterator[Finding]:
    """Apply the decisions on one batch to the tables; yield what is open or does not fit."""
    made = {decision.place: decision for decision in decisions}
    wanted = {(line["table"], line["row"], line["column"]): line for line in open_rows(comparison)}
    rows = {(row.table, key_text(row)): row for row in comparison.only_second}
    for place, line in wanted.items():
        decision = made.get(place)
        if decision is None or not decision["agreed"]:
            yield _unreconciled(comparison, line, decision, file, tables)
        elif (decision["first"], decision["second"]) != (line["first"], line["second"]):
            yield _misfit(
                decision, file, "the values have changed since the decision", "decide again"
            )
        else:
            yield from _settle(decision, file, tables, rows, schema)
            yield from _doubts(decision, file)
    same = [
        line
        for line in wanted.values()
        if line["first_by"] and line["first_by"] == line["second_by"]
    ]
    if same:
        yield file_finding(
            "same_extractor",
            file,
            f"both extractions are by {same[0]['first_by']}, so they are not independent",
            "write in extracted_by who typed each of the two",
            severity="warning",
        )
    for place, decision in made.items():
        if place not in wanted:
            yield _misfit(
                decision,
                file,
                "the two extractions do not differ here (any more)",
                "delete the line, or run ketameta agreement again",
            )


def _unreconciled(
    comparison: Comparison,
    line: Mapping[str, str],
    decision: Decision | None,
    file: str,
    tables: Mapping[str, Sequence[Row]],
) -> Finding:
    """Return the error of a difference that nobody has decided."""
    first, second = line["first"] or EMPTY, line["second"] or EMPTY
    place, number = file, decision.line if decision is not None else 0
    prefix = f"{comparison.batch}/"
    for row in tables.get(line["table"], ()):
        if decision is None and row.file.startswith(prefix) and key_text(row) == line["row"]:
            place, number = row.file, row.line
    return Finding(
        "error",
        "unreconciled",
        place,
        number,
        line["column"],
        f"{first} v {second}",
        f"the two extractions differ ({line['first_locator'] or 'no locator'} v "
        f"{line['second_locator'] or 'no locator'})",
        f"run ketameta agreement and fill 'agreed' in {file}",
        f"{line['table']}: {line['row']}",
    )


def _settle(
    decision: Decision,
    file: str,
    tables: dict[str, list[Row]],
    second: Mapping[tuple[str, str], Row],
    schema: Schema,
) -> Iterator[Finding]:
    """Put an agreed value into the tables; yield why it cannot be used."""
    table, key, name = decision.place
    agreed = decision["agreed"]
    rows = tables.setdefault(table, [])
    place = next((index for index, row in enumerate(rows) if key_text(row) == key), None)
    if name == WHOLE_ROW:
        if agreed.lower() not in (KEEP, LEAVE_OUT):
            yield _misfit(decision, file, "a row is kept or left out", f"{KEEP} or {LEAVE_OUT}")
        elif agreed.lower() == KEEP and place is None:
            rows.append(second[table, key])
        elif agreed.lower() == LEAVE_OUT and place is not None:
            del rows[place]
        return
    if place is None:
        return
    text = "" if agreed == EMPTY else agreed
    column = schema[table].column(name)
    clean, number, problems = read_cell(column, text)
    for problem in problems:
        if problem.severity == "error":
            yield _misfit(decision, file, problem.why, problem.remedy)
            return
    row = rows[place]
    texts = {other: cell for other, cell in row.texts.items() if other != name}
    numbers = {other: value for other, value in row.numbers.items() if other != name}
    if clean:
        texts[name] = clean
    if number is not None:
        numbers[name] = number
    rows[place] = replace(row, texts=texts, numbers=numbers)


def _doubts(decision: Decision, file: str) -> Iterator[Finding]:
    """Yield what a reader would ask about a decision that can be used."""
    agreed = "" if decision["agreed"] == EMPTY else decision["agreed"]
    is_row = decision["column"] == WHOLE_ROW
    if is_row or agreed in (decision["first"], decision["second"]) or decision["reason"]:
        return
    table, key, column = decision.place
    yield file_finding(
        "third_value",
        file,
        f"neither extractor typed this, and no reason stands beside it ({table}: {key}, {column})",
        "say in reason what settled it",
        severity="warning",
        line=decision.line,
        column="agreed",
        value=decision["agreed"],
    )


def _misfit(decision: Decision, file: str, why: str, remedy: str) -> Finding:
    """Return the error of a decision that does not fit."""
    table, key, column = decision.place
    return file_finding(
        "reconciliation",
        file,
        f"{why} ({table}: {key}, {column})",
        remedy,
        line=decision.line,
        column="agreed",
        value=decision["agreed"],
    )
