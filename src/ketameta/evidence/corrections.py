"""What changes the tables after reading: what two extractors agreed on, and declared corrections.

The tables keep what a source prints. What is known to be wrong in print stands in
``data/corrections.toml``, one ``[[correction]]`` each, with the reason and with the wrong value it
expects; when that value is no longer there, the correction has expired and says so.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, PrivateAttr

from ketameta.declared import (
    Day,
    Place,
    Problem,
    Table,
    Text,
    as_written,
    is_number,
    needed,
    one_of,
    problem,
    validate,
)
from ketameta.errors import did_you_mean
from ketameta.evidence.findings import (
    Finding,
    Lines,
    file_finding,
    key_finding,
    read_entries,
    sort_findings,
)
from ketameta.evidence.project import read_project
from ketameta.evidence.reader import read_cell
from ketameta.evidence.schema import TABLES, Schema, schema_of
from ketameta.evidence.second_extraction import (
    EMPTY,
    KEEP,
    LEAVE_OUT,
    WHOLE_ROW,
    Comparison,
    is_named,
    open_rows,
    place_of,
    read_decisions,
)
from ketameta.evidence.tables import DECISIONS, SECOND, Evidence, Row
from ketameta.paths import ProjectPaths

ACTIONS = ("override", "drop", "flag")
STATUSES = ("active", "retired")


def _cell(value: object) -> str | float | None:
    """Return text or a float; ``{equals = x}`` counts as x; nothing where nothing is written."""
    if isinstance(value, dict) and set(value) == {"equals"}:
        value = value["equals"]
    if value is None or isinstance(value, str):
        return value
    if not is_number(value):
        raise problem(f" is {as_written(value)}; write a text or a number")
    return float(value)


#: What a cell holds, or has to hold.
Value = Annotated[str | float, BeforeValidator(_cell)]
Needed = Annotated[str, needed(": a text is needed here; write it")]


class Correction(Table):
    """One declared correction.

    Attributes
    ----------
    id : str
    table : str
    where : mapping of str to str or float
        Columns and values that single out one row; an empty text matches an empty cell.
    column : str
        The wrong cell; may be empty for ``drop``.
    action : {"override", "drop", "flag"}
        Put ``value`` into the cell, leave the row out, or keep it and mark it.
    value : str or float
        What belongs there; an empty text empties the cell.
    expect : str, float or None
        The wrong value as printed.
    reason, source, date : str
    status : {"active", "retired"}
    """

    id: Needed = ""
    table: Annotated[str, one_of(tuple(TABLES))] = ""
    where: Mapping[str, Value] = Field(default_factory=dict)
    column: Text = ""
    action: Annotated[str, one_of(ACTIONS)] = ""
    value: Value = ""
    expect: Annotated[str | float | None, BeforeValidator(_cell)] = None
    reason: Needed = ""
    source: Needed = ""
    date: Day = ""
    status: Annotated[str, one_of(STATUSES)] = "active"
    _written: tuple[Lines, Place] = PrivateAttr(default=(Lines(), ()))


@dataclass(frozen=True, slots=True)
class Applied:
    """One correction that was applied: the row, and its cell before and after.

    Both are empty for a row that was dropped.
    """

    correction: Correction
    file: str
    line: int
    before: str
    after: str


def corrections_path(paths: ProjectPaths) -> Path:
    """Return where the corrections of a project stand."""
    return paths.data / "corrections.toml"


def load_corrections(paths: ProjectPaths) -> tuple[tuple[Correction, ...], tuple[Finding, ...]]:
    """Return the active corrections of a project, and what is wrong with the file.

    A project without the file has none.
    """
    path = corrections_path(paths)
    file = paths.relative(path)
    entries, lines, findings = read_entries(path, file, "correction")
    found = [*findings]
    corrections: list[Correction] = []
    seen: set[str] = set()
    schema = schema_of(read_project(paths.root)[0])
    for number, written in enumerate(entries):
        at = ("correction", number)
        correction, problems = validate(Correction, written)
        wrong: list[Problem | str] = [*problems]
        wrong += _rules(correction, written, seen, schema)
        seen.add(correction.id)
        found += [key_finding("correction", item, file, lines, at) for item in wrong]
        if not wrong and correction.status == "active":
            correction._written = lines, at
            corrections.append(correction)
    return tuple(corrections), sort_findings(found)


def _rules(
    entry: Correction, written: Mapping[str, object], seen: Collection[str], schema: Schema
) -> Iterator[str]:
    """Yield what contradicts itself across the keys of an entry, or the other entries."""
    if entry.id and entry.id in seen:
        yield f"id: two corrections have the id {entry.id!r}; give each its own"
    if not written.get("where"):
        yield "where: nothing says which row is meant; write its key columns"
    columns = schema[entry.table].column_names if entry.table else ()
    named = [("where", name) for name in entry.where]
    for key, name in (*named, ("column", entry.column)):
        if columns and name and name not in columns:
            hint = did_you_mean(name, columns)
            what = f"{entry.table} has no such column as {name}"
            yield f"{key}: {what}; write a column of the table{hint}"
    if "column" not in written and entry.action in ("override", "flag"):
        yield "column: nothing says which cell is meant; write the column"
    if entry.action == "override" and "value" not in written:
        yield "value: an override needs a value; write it, '' empties the cell"
    if entry.action == "override" and "expect" not in written:
        yield "expect: an override states the wrong value it expects; write it"
    is_text = isinstance(entry.value, str) and entry.value
    if is_text and entry.column in columns and schema[entry.table].column(entry.column).is_number:
        # A number as a text would be an empty cell wherever numbers are asked for.
        yield f"value is {entry.value!r}; the column holds numbers: write it without quotes"


def try_corrections(
    evidence: Evidence, corrections: Sequence[Correction], file: str = "data/corrections.toml"
) -> tuple[Evidence, tuple[Applied, ...], tuple[Finding, ...]]:
    """Apply what can be applied; return the evidence, the log, and a finding for each refusal."""
    tables = {name: list(rows) for name, rows in evidence.tables.items()}
    applied: list[Applied] = []
    findings: list[Finding] = []
    for correction in corrections:
        rows = tables.setdefault(correction.table, [])
        where = correction.where.items()
        matches = [
            index
            for index, row in enumerate(rows)
            if all(_equal(row, column, value) for column, value in where)
        ]
        why = _refusal(correction, [rows[index] for index in matches])
        if why:
            key = "where" if len(matches) != 1 else "expect"
            remedy = 'compare it with the table; retire it (status = "retired") or mend it'
            told = f"{key}: {correction.id}: {why}; {remedy}"
            findings.append(key_finding("correction", told, file, *correction._written))
            continue
        index = matches[0]
        row = rows[index]
        before = row[correction.column] if correction.column else ""
        after = before
        if correction.action == "drop":
            del rows[index]
            after = ""
        elif correction.action == "override":
            value = correction.value
            text = value if isinstance(value, str) else f"{value:.12g}"
            number = value if isinstance(value, float) else None
            rows[index] = _with_cell(row, correction.column, text, number)
            after = rows[index][correction.column]
        else:
            rows[index] = replace(row, flags=(*row.flags, correction.id))
        applied.append(Applied(correction, row.file, row.line, before, after))
    corrected = replace(evidence, tables={name: tuple(rows) for name, rows in tables.items()})
    return corrected, tuple(applied), tuple(findings)


def _refusal(correction: Correction, rows: Sequence[Row]) -> str:
    """Return why a correction cannot be applied to the rows it matches; nothing if it can."""
    if not rows:
        return "it matches no row, and may no longer be needed"
    if len(rows) > 1:
        places = ", ".join(f"{row.file}:{row.line}" for row in rows[:4])
        return f"it matches {len(rows)} rows ({places}); it must single out one"
    row = rows[0]
    if correction.id in row.flags:
        return "it is already applied"
    if correction.expect is not None and not _equal(row, correction.column, correction.expect):
        found = row[correction.column] or "an empty cell"
        return (
            f"it expects {correction.column} to be {correction.expect!r} in {row.file}:{row.line} "
            f"and finds {found}, and may no longer be needed"
        )
    return ""


def _equal(row: Row, column: str, value: Value) -> bool:
    """Return whether a cell equals a value; numbers as numbers, text as text."""
    number = row.number(column)
    if number is None:
        return row[column] == (value if isinstance(value, str) else f"{value:g}")
    if isinstance(value, str):
        return row[column] == value
    return math.isclose(number, value, rel_tol=1e-9, abs_tol=1e-12)


def _with_cell(row: Row, column: str, text: str, number: float | None) -> Row:
    """Return the row with another value in one cell."""
    texts = {name: cell for name, cell in row.texts.items() if name != column}
    numbers = {name: value for name, value in row.numbers.items() if name != column}
    if text:
        texts[column] = text
    if number is not None:
        numbers[column] = number
    return replace(row, texts=texts, numbers=numbers)


def reconcile(
    paths: ProjectPaths, evidence: Evidence, compared: Sequence[Comparison]
) -> tuple[Evidence, tuple[Finding, ...]]:
    """Return the evidence with every agreed value, and an error for every open difference.

    The evidence is as read: both extractors type what is printed, and a correction of a printed
    error comes after what they agree on. A difference without a decision is ``unreconciled``; a
    decision that no longer fits the tables, or cannot be used, is found as ``reconciliation``.
    """
    tables = {name: list(rows) for name, rows in evidence.tables.items()}
    findings: list[Finding] = []
    for comparison in compared:
        folder = paths.root / comparison.batch
        decisions, problems = read_decisions(paths, folder)
        findings.extend((*comparison.findings, *problems))
        file = paths.relative(folder / SECOND / DECISIONS)
        findings.extend(_apply(comparison, decisions, file, tables, evidence.schema))
    agreed = {name: tuple(rows) for name, rows in tables.items()}
    return replace(evidence, tables=agreed), sort_findings(findings)


def _apply(
    comparison: Comparison,
    decisions: Sequence[Row],
    file: str,
    tables: dict[str, list[Row]],
    schema: Schema,
) -> Iterator[Finding]:
    """Apply the decisions on one batch to the tables; yield what is open or does not fit."""
    made = {place_of(decision): decision for decision in decisions}
    wanted = {place_of(line): line for line in open_rows(comparison)}
    rows = {(row.table, comparison.name_of(row)): row for row in comparison.only_second}
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
    if comparison.copied:
        why = "every row is one of the first extraction in every cell: a copy agrees with itself"
        remedy = "delete the folder and type it anew from the source (ketameta new --second)"
        yield file_finding("same_extractor", comparison.batch + f"/{SECOND}", why, remedy)
    same = [
        line
        for line in wanted.values()
        if line["first_by"] and line["first_by"] == line["second_by"]
    ]
    if same:
        why = f"both extractions are by {same[0]['first_by']}, so they are not independent"
        remedy = "write in extracted_by who typed each of the two"
        yield file_finding("same_extractor", file, why, remedy, severity="warning")
    for place, decision in made.items():
        if place not in wanted:
            why = "the two extractions do not differ here (any more)"
            remedy = "delete the line, or run ketameta agreement again"
            yield _misfit(decision, file, why, remedy)


def _unreconciled(
    comparison: Comparison,
    line: Mapping[str, str],
    decision: Row | None,
    file: str,
    tables: Mapping[str, Sequence[Row]],
) -> Finding:
    """Return the error of a difference that nobody has decided."""
    first, second = line["first"] or EMPTY, line["second"] or EMPTY
    place, number = file, decision.line if decision is not None else 0
    prefix = f"{comparison.batch}/"
    for row in tables.get(line["table"], ()):
        if decision is None and row.file.startswith(prefix) and is_named(row, line["row"]):
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
    decision: Row,
    file: str,
    tables: dict[str, list[Row]],
    second: Mapping[tuple[str, str], Row],
    schema: Schema,
) -> Iterator[Finding]:
    """Put an agreed value into the tables; yield why it cannot be used."""
    table, key, name = place_of(decision)
    agreed = decision["agreed"]
    rows = tables.setdefault(table, [])
    place = next((index for index, row in enumerate(rows) if is_named(row, key)), None)
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
    for wrong in problems:
        if wrong.severity == "error":
            yield _misfit(decision, file, wrong.why, wrong.remedy)
            return
    rows[place] = _with_cell(rows[place], name, clean, number)


def _doubts(decision: Row, file: str) -> Iterator[Finding]:
    """Yield what a reader would ask about a decision that can be used."""
    agreed = "" if decision["agreed"] == EMPTY else decision["agreed"]
    is_row = decision["column"] == WHOLE_ROW
    if is_row or agreed in (decision["first"], decision["second"]) or decision["reason"]:
        return
    why = "neither extractor typed this, and no reason stands beside it"
    misfit = _misfit(decision, file, why, "say in reason what settled it")
    yield replace(misfit, check="third_value", severity="warning")


def _misfit(decision: Row, file: str, why: str, remedy: str) -> Finding:
    """Return the error of a decision that does not fit."""
    table, key, column = place_of(decision)
    why, agreed = f"{why} ({table}: {key}, {column})", decision["agreed"]
    line = decision.line
    return Finding("error", "reconciliation", file, line, "agreed", agreed, why, remedy)
