"""What changes the tables after reading: what two extractors agreed on, and declared corrections.

The tables keep what a source prints. What is known to be wrong in print stands in
``data/corrections.toml``, one ``[[correction]]`` each, with the reason and with the wrong value it
expects; when that value is no longer there, the correction has expired and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ketameta.errors import did_you_mean
from ketameta.evidence.cells import read_cell
from ketameta.evidence.findings import Finding, file_finding, sort_findings
from ketameta.evidence.project import read_project
from ketameta.evidence.schema import TABLES, Schema, schema_of
from ketameta.evidence.second_extraction import (
    EMPTY,
    KEEP,
    LEAVE_OUT,
    WHOLE_ROW,
    Comparison,
    compare_batch,
    is_named,
    open_rows,
    place_of,
    read_decisions,
    second_folders,
)
from ketameta.evidence.tables import DECISIONS, SECOND, Evidence, Row
from ketameta.evidence.textfiles import read_toml
from ketameta.paths import ProjectPaths

Value = str | float
ACTIONS = ("override", "drop", "flag")
STATUSES = ("active", "retired")
_FIELDS = (
    "id", "table", "where", "column", "action", "value", "expect", "reason", "source", "date",
    "status",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Correction:
    """One declared correction.

    Attributes
    ----------
    id : str
    table : str
    where : tuple of (str, str or float)
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
    line : int
        Where the entry starts in the file.
    """

    id: str
    table: str
    where: tuple[tuple[str, Value], ...]
    column: str
    action: Literal["override", "drop", "flag"]
    value: Value
    expect: Value | None
    reason: str
    source: str
    date: str
    line: int = 0


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
    document, lines, findings = read_toml(path, file)
    if document is None:
        return (), findings
    entries = document.get("correction", [])
    unknown = sorted(set(document) - {"correction"})
    problems = [
        *findings,
        *(
            file_finding("correction", file, f"[{name}] is not known here", "write [[correction]]")
            for name in unknown
        ),
    ]
    corrections: list[Correction] = []
    seen: set[str] = set()
    if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
        entries = []
        problems.append(
            file_finding("correction", file, "corrections are a list", "write [[correction]]")
        )
    schema = schema_of(read_project(paths.root)[0])
    starts = [number for number, line in enumerate(lines, 1) if line.strip() == "[[correction]]"]
    for index, entry in enumerate(entries):
        line = starts[index] if index < len(starts) else 0
        wrong = list(_entry_problems(entry, seen, schema))
        seen.add(str(entry.get("id")))
        problems.extend(
            file_finding("correction", file, why, remedy, line=line, column=column, value=value)
            for column, value, why, remedy in wrong
        )
        if not wrong and entry.get("status", "active") == "active":
            corrections.append(_correction(entry, line))
    return tuple(corrections), sort_findings(problems)


def try_corrections(
    evidence: Evidence, corrections: Sequence[Correction], file: str = "data/corrections.toml"
) -> tuple[Evidence, tuple[Applied, ...], tuple[Finding, ...]]:
    """Apply what can be applied; return the evidence, the log, and a finding for each refusal."""
    tables = {name: list(rows) for name, rows in evidence.tables.items()}
    applied: list[Applied] = []
    findings: list[Finding] = []
    for correction in corrections:
        rows = tables.setdefault(correction.table, [])
        matches = [index for index, row in enumerate(rows) if _matches(row, correction.where)]
        why = _refusal(correction, [rows[index] for index in matches])
        if why:
            findings.append(
                file_finding(
                    "correction",
                    file,
                    why,
                    'compare it with the table; retire it (status = "retired") or mend it',
                    line=correction.line,
                    column="where" if len(matches) != 1 else "expect",
                    value=correction.id,
                )
            )
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
        return "it matches no row; it may no longer be needed"
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
            f"and finds {found}; it may no longer be needed"
        )
    return ""


def _matches(row: Row, where: Sequence[tuple[str, Value]]) -> bool:
    """Return whether every named column of the row has the value."""
    return all(_equal(row, column, value) for column, value in where)


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


def _entry_problems(
    entry: Mapping[str, Any], seen: set[str], schema: Schema
) -> Iterator[tuple[str, str, str, str]]:
    """Yield field, value, reason and remedy of everything wrong with one entry."""
    for name in sorted(set(entry) - set(_FIELDS)):
        yield name, "", "no such field", "delete it" + did_you_mean(name, _FIELDS)
    texts: dict[str, str] = {}
    for name in ("id", "table", "action", "reason", "source", "date"):
        value = entry.get(name, "")
        if isinstance(value, str) and value:
            texts[name] = value
        else:
            yield name, str(value), "a text is needed here", "write it"
    if texts.get("id") in seen:
        yield "id", texts["id"], "two corrections have this id", "give each its own"
    for name, value, choices in (
        ("table", texts.get("table"), tuple(TABLES)),
        ("action", texts.get("action"), ACTIONS),
        ("status", entry.get("status", "active"), STATUSES),
    ):
        if value is not None and value not in choices:
            hint = did_you_mean(str(value), choices)
            listed = ", ".join(choices)
            yield name, str(value), "not one of the choices", f"one of {listed}{hint}"
    where = entry.get("where")
    if not isinstance(where, dict) or not where:
        yield "where", "", "nothing says which row is meant", "write its key columns"
        where = {}
    column = entry.get("column", "")
    if not isinstance(column, str):
        yield "column", str(column), "a text is needed here", "write the column"
        column = ""
    table = schema.tables.get(texts.get("table", ""))
    columns = table.column_names if table is not None else ()
    for name in (*where, *((column,) if column else ())):
        if columns and name not in columns:
            hint = did_you_mean(str(name), columns)
            why, remedy = f"{texts['table']} has no such column", "write a column of the table"
            yield "where", str(name), why, f"{remedy}{hint}"
    action = texts.get("action")
    if not entry.get("column") and action != "drop":
        yield "column", "", "nothing says which cell is meant", "write the column"
    if action == "override" and "value" not in entry:
        yield "value", "", "an override needs a value", "write it; '' empties the cell"
    kinds = {item.name: item.kind for item in table.columns} if table is not None else {}
    given = entry.get("value")
    if kinds.get(column) in ("number", "integer") and isinstance(given, str) and given:
        # A number as a text would be an empty cell wherever numbers are asked for.
        yield "value", given, "the column holds numbers", "write it without quotes"
    if action == "override" and "expect" not in entry:
        yield "expect", "", "an override states the wrong value it expects", "write it"
    for name, value in (
        *where.items(),
        *((n, entry[n]) for n in ("value", "expect") if n in entry),
    ):
        if _plain_value(value) is None:
            yield str(name), str(value), "neither text nor number", "write one of them"


def _plain_value(value: Any) -> Value | None:
    """Return text or a float; ``{equals = x}`` counts as x; nothing for anything else."""
    if isinstance(value, dict) and set(value) == {"equals"}:
        value = value["equals"]
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _correction(entry: Mapping[str, Any], line: int) -> Correction:
    """Return the correction of an entry that has no problems."""

    def plain(raw: Any) -> Value:
        value = _plain_value(raw)
        return "" if value is None else value

    return Correction(
        where=tuple((name, plain(value)) for name, value in entry["where"].items()),
        column=entry.get("column", ""),
        value=plain(entry.get("value", "")),
        expect=plain(entry["expect"]) if "expect" in entry else None,
        line=line,
        **{name: entry[name] for name in ("id", "table", "action", "reason", "source", "date")},
    )


def reconcile(
    paths: ProjectPaths, evidence: Evidence, also: Sequence[Path] = ()
) -> tuple[Evidence, tuple[Finding, ...]]:
    """Return the evidence with every agreed value, and an error for every open difference.

    The evidence is as read: both extractors type what is printed, and a correction of a printed
    error comes after what they agree on. ``also`` are batches outside the project that were read
    beside it. A difference without a decision is ``unreconciled``; a decision that no longer fits
    the tables, or cannot be used, is found as ``reconciliation``.
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
    for problem in problems:
        if problem.severity == "error":
            yield _misfit(decision, file, problem.why, problem.remedy)
            return
    rows[place] = _with_cell(rows[place], name, clean, number)


def _doubts(decision: Row, file: str) -> Iterator[Finding]:
    """Yield what a reader would ask about a decision that can be used."""
    agreed = "" if decision["agreed"] == EMPTY else decision["agreed"]
    is_row = decision["column"] == WHOLE_ROW
    if is_row or agreed in (decision["first"], decision["second"]) or decision["reason"]:
        return
    table, key, column = place_of(decision)
    why = f"neither extractor typed this, and no reason stands beside it ({table}: {key}, {column})"
    remedy = "say in reason what settled it"
    yield file_finding(
        "third_value",
        file,
        why,
        remedy,
        severity="warning",
        line=decision.line,
        column="agreed",
        value=decision["agreed"],
    )


def _misfit(decision: Row, file: str, why: str, remedy: str) -> Finding:
    """Return the error of a decision that does not fit."""
    table, key, column = place_of(decision)
    why = f"{why} ({table}: {key}, {column})"
    return file_finding(
        "reconciliation",
        file,
        why,
        remedy,
        line=decision.line,
        column="agreed",
        value=decision["agreed"],
    )
