"""Every check by its word, and the data dictionary: every column, then every check."""

from __future__ import annotations

from ketameta.errors import check_choice
from ketameta.evidence.checks import keys, people, printed, rows, scores, values
from ketameta.evidence.checks.context import RULES
from ketameta.evidence.findings import file_finding
from ketameta.evidence.schema import TABLES, Column, Schema, Table
from ketameta.formatting import csv_text

_ROOMS = (keys, people, printed, rows, scores, values)
#: Every check, in alphabetical order; each room adds its own.
CHECKS = tuple(RULES[word] for word in sorted(RULES))
#: What the reading layer and the lists beside the tables report, by word.
READING: dict[str, str] = {
    "file_missing": "A file or folder that is needed is there.",
    "file_unknown": "Every file below data/ has the name of a table or list that is read.",
    "link": "Nothing below data/ or in analyses/ is a link.",
    "batch_name": "Batches are named by letters, digits, _ and -.",
    "file_unreadable": "Every file can be opened.",
    "too_large": "No file is larger, and no line wider, than any table can be.",
    "too_many": "No file holds more mistakes than anybody mends at once.",
    "not_csv": "A file that ends in .csv is one, not a workbook, a PDF or a picture.",
    "empty_file": "Every file has a header.",
    "empty_table": "A table has rows.",
    "encoding": "Every file is UTF-8.",
    "byte_order_mark": "No file starts with a byte-order mark.",
    "separator": "Cells are separated by commas.",
    "quotes": "Quotation marks pair up.",
    "header_missing": "The first line is the header of the table.",
    "line_above_header": "Nothing stands above the header.",
    "column_unnamed": "Every column that holds something has a name.",
    "column_unknown": "Every column is one of the schema, in its spelling.",
    "column_missing": "Every column of the schema is there.",
    "column_duplicated": "No column stands twice.",
    "blank_line": "No line is blank.",
    "ragged_row": "Every row has as many cells as the header.",
    "spreadsheet_error": "No cell holds a spreadsheet's error such as #REF!.",
    "formula": "No cell holds a formula.",
    "hidden_character": "No cell holds invisible characters.",
    "line_break": "No cell holds a line break.",
    "outer_space": "No cell starts or ends with a space.",
    "garbled_text": "No letter was garbled by a wrong encoding.",
    "decimal_comma": "Numbers have decimal points and no thousands separators.",
    "minus_sign": "A minus is a plain hyphen.",
    "not_a_number": "A column of numbers holds numbers; nothing printed is an empty cell.",
    "too_long": "No cell holds a whole text.",
    "date_from_range": "No range was turned into a date.",
    "scientific_id": "No identifier was turned into a number with an exponent.",
    "toml_unreadable": "Every TOML file can be read.",
    "correction": "Every correction is complete and matches one row with the value it expects.",
    "search_form": "The record of the search has what a report prints of it.",
    "search_flow": "The counts of the search add up.",
    "search_records": "The records extracted, converted and excluded add up.",
    "search_date": "The dates of the search are dates.",
    "analysis": "An analysis file asks for nothing that the words and the other files contradict.",
    "no_direction": "Scales of a standardised analysis have a better end.",
    "claim": "A public claim is complete, and names analyses that exist.",
    "accept": "What a note accepts is a warning of that row, with a reason.",
    "unreconciled": "Where two extractors differ, somebody has decided.",
    "third_value": "A value that neither extractor typed has a reason beside it.",
    "same_extractor": "Two extractions are by two people.",
    "reconciliation": "Every decision on two extractions fits the tables and can be used.",
}

_KINDS = {
    "text": "text",
    "key": "key",
    "number": "number",
    "integer": "whole number",
    "words": "one of",
    "list": "keys joined by `;`",
    "url": "address",
}
_EXAMPLE = file_finding(
    "sd_ratio",
    "data/extracted/demo/outcomes.csv",
    "3.6 times apart from placebo (8.3 in data/extracted/demo/outcomes.csv:15)",
    "compare both with the source; look for an SE, a range or a lost digit",
    severity="warning",
    line=14,
    column="sd",
    value="2.3",
)
_INTRODUCTION = f"""# The data, column by column

Written by `ketameta dictionary` from the schema; edit the schema, not this file.

The tables hold what sources print, and nothing derived. Tables of a batch stand in
`data/extracted/<batch>/`, one folder per topic, trial or reviewer; a table is the union of all
files of its name, and keys are unique across all of them. The shared lists stand in `data/`.

Files are UTF-8, separated by commas, with decimal points, a header in the order below and rows
sorted by key. An empty cell means that the source does not print the value. Numbers are typed as
printed, with their trailing zeros.

`ketameta check` finds what is wrong and says where, why and what to do:

    {_EXAMPLE}

A warning that turns out to be right is accepted in the row's note, with a reason:
`accept: sd_ratio because both SDs were compared with Table 2`. It is then listed as accepted.

A known error in a source stays in the table as printed and is put right in `corrections.toml`.
"""
_CORRECTIONS = """## corrections.toml

One `[[correction]]` per wrong value. A correction that matches no row or several, or whose
`expect` is no longer there, stops the build: it may no longer be needed. What the checks say about
the numbers of a flagged row counts as accepted.

| field | meaning |
| --- | --- |
| `id` | Name of the correction, unique. |
| `table` | Table of the wrong value. |
| `where` | Columns and values that single out one row; `""` is an empty cell. |
| `column` | The wrong cell (may be left out for `drop`). |
| `action` | `override` puts `value` into the cell; `drop` leaves the row out; `flag` marks it. |
| `value` | What belongs there (`override`); `""` empties the cell. |
| `expect` | The wrong value as printed. |
| `reason` | Why it is wrong. |
| `source` | Where that can be seen. |
| `date` | Date of the decision (YYYY-MM-DD). |
| `status` | `active`, or `retired` once it is no longer needed. |
"""
_SEARCH = """## search.toml

What was searched and found. A `[flow]` table holds the counts of a PRISMA diagram under the names
`identified`, `removed_before_screening`, `screened`, `excluded`, `sought`, `not_retrieved`,
`assessed`, `excluded_full_text` and `included`, as far as they are known; a count of records left
out may be a table of reasons. Where three neighbours are given, they must add up. `[[near_miss]]`
(`study`, `told`, `source_url`) is a study that comes near the question without answering it,
`[[not_reached]]` (`looked_for`, `where`, `date`, `found`) a source that could not be read.
"""


def dictionary_markdown(schema: Schema) -> str:
    """Return the text of ``data/README.md``; the same bytes for the same schema."""
    parts = [_INTRODUCTION, "## Contents\n", _contents(schema)]
    parts.extend(_table_section(table) for table in schema.batch)
    parts.extend(_table_section(table) for table in schema.shared)
    parts.extend((_CORRECTIONS, _SEARCH, _checks_section()))
    return "\n".join(parts).rstrip("\n") + "\n"


def template_csv(table: str, schema: Schema) -> str:
    """Return an empty table: the header without rare columns, and nothing else.

    Raises
    ------
    UsageError
        If there is no such table.
    """
    check_choice("table", table, tuple(TABLES))
    return csv_text([column.name for column in schema[table].usual], ())


def _contents(schema: Schema) -> str:
    """Return the list of tables with what a row is."""
    lines = ["| table | one row per | key |", "| --- | --- | --- |"]
    for table in schema.tables.values():
        key = ", ".join(f"`{name}`" for name in table.key)
        lines.append(f"| [`{table.name}.csv`](#{table.name}csv) | {table.row} | {key} |")
    return "\n".join(lines) + "\n"


def _table_section(table: Table) -> str:
    """Return the section of one table."""
    lines = [
        f"## {table.name}.csv",
        "",
        f"One row per {table.row}. Key: {', '.join(f'`{name}`' for name in table.key)}.",
        "",
        "| column | type | needed | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for column in table.columns:
        needed = "yes" if column.required else "may be added" if column.rare else ""
        meaning = _escaped(column.meaning)
        lines.append(f"| `{column.name}` | {_type_in_words(column)} | {needed} | {meaning} |")
    return "\n".join(lines) + "\n"


def _type_in_words(column: Column) -> str:
    """Return the type of a column with its words, bounds and unit."""
    text = _KINDS[column.kind]
    if column.allowed:
        text += " " + ", ".join(f"`{_escaped(word)}`" for word in column.allowed)
    bounds = []
    if column.above is not None:
        bounds.append(f"above {column.above:g}")
    if column.minimum is not None:
        bounds.append(f"at least {column.minimum:g}")
    if column.maximum is not None:
        bounds.append(f"at most {column.maximum:g}")
    if bounds:
        text += ", " + " and ".join(bounds)
    return f"{text} ({column.unit})" if column.unit else text


def _checks_section() -> str:
    """Return the list of checks with the rule each one holds."""
    lines = [
        "## What the checks look for",
        "",
        "The word is what stands in brackets behind a finding, and what `accept:` names.",
        "",
        "| word | what must hold |",
        "| --- | --- |",
    ]
    lines.extend(f"| `{check.word}` | {_escaped(check.rule)} |" for check in CHECKS)
    lines.extend(f"| `{word}` | {_escaped(rule)} |" for word, rule in READING.items())
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Return text that cannot end a cell of a Markdown table."""
    return text.replace("|", r"\|")
