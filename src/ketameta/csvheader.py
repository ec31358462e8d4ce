"""The header of a table: found where people put it, and matched with the columns of the schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ketameta.errors import did_you_mean
from ketameta.findings import Finding, Severity
from ketameta.numberformat import plural
from ketameta.schema import Table
from ketameta.textfiles import without_hidden

#: So many lines from the first filled one on are looked at for the header.
LOOKED_AT = 6
#: More columns than this in another spelling are told in one message.
_TOLD_ONE_BY_ONE = 3
#: What spreadsheets and papers call our columns.
_OTHER_NAMES = {
    "std": "sd",
    "stdev": "sd",
    "std_dev": "sd",
    "standard_deviation": "sd",
    "sem": "se",
    "std_error": "se",
    "standard_error": "se",
    "lower": "ci_low",
    "lower_ci": "ci_low",
    "ci_lower": "ci_low",
    "upper": "ci_high",
    "upper_ci": "ci_high",
    "ci_upper": "ci_high",
    "total": "n",
    "sample_size": "n",
    "p_value": "p",
    "pvalue": "p",
    "study": "study_id",
    "trial": "study_id",
    "arm": "arm_id",
    "group": "arm_id",
    "comparator": "comparator_arm_id",
    "scale": "instrument",
    "measure": "instrument",
    "time": "time_days",
    "day": "time_days",
    "days": "time_days",
    "page": "locator",
    "notes": "note",
    "comment": "note",
    "comments": "note",
}


@dataclass(frozen=True, slots=True)
class Header:
    """Where the header stands and which column each of its cells names.

    Attributes
    ----------
    index : int
        Position of the header among the records, 0 for the first.
    names : tuple of str
        The schema column of each cell; empty where it names none.
    unnamed : tuple of int
        Positions of cells without a name.
    findings : tuple of Finding
    """

    index: int
    names: tuple[str, ...]
    unnamed: tuple[int, ...]
    findings: tuple[Finding, ...]


def read_header(records: Sequence[Sequence[str]], start: int, table: Table, file: str) -> Header:
    """Return the header of ``records``, looked for from the first filled one on.

    Parameters
    ----------
    records : sequence of sequence of str
        The cells of the file, line by line.
    start : int
        Position of the first record that is not empty.
    table : Table
    file : str
        The path as messages print it.
    """
    looked_at = range(start, min(start + LOOKED_AT, len(records)))
    index = max(looked_at, key=lambda place: _known(records[place], table))
    # A line of data may hold one word of the schema; a header holds several.
    if index != start and _known(records[index], table) < min(3, len(table.column_names)):
        index = start
    above = [
        Finding(
            "error",
            "line_above_header",
            file,
            line + 1,
            "",
            ", ".join(cell for cell in records[line] if cell.strip()),
            f"this line stands above the header, which is line {index + 1}",
            "delete the line",
        )
        for line in range(start, index)
        if any(cell.strip() for cell in records[line])
    ]
    names, findings = _match(records[index], table, file, index + 1)
    unnamed = tuple(place for place, cell in enumerate(records[index]) if not without_hidden(cell))
    return Header(index, tuple(names), unnamed, (*above, *findings))


def unnamed_columns(
    header: Header, rows: Sequence[tuple[int, Sequence[str]]], file: str
) -> tuple[Finding, ...]:
    """Return what to say about columns without a name: values lost under them, or nothing there.

    Parameters
    ----------
    header : Header
    rows : sequence of (int, sequence of str)
        The line and the cells of every record below the header.
    file : str
    """
    findings: list[Finding] = []
    blank: list[int] = []
    line = header.index + 1
    for place in header.unnamed:
        filled = [
            (number, cells[place])
            for number, cells in rows
            if place < len(cells) and cells[place].strip()
        ]
        if not filled:
            blank.append(place)
            continue
        first, value = filled[0]
        where = f"line {first}" if len(filled) == 1 else f"line {first} and {len(filled) - 1} more"
        findings.append(
            Finding(
                "error",
                "column_unnamed",
                file,
                line,
                column_letters(place),
                value,
                f"the column has no name, so its cells are not read ({where})",
                "write the name of the column above it, or move the cells",
            )
        )
    if blank:
        findings.append(
            Finding(
                "warning",
                "column_unnamed",
                file,
                line,
                "",
                "",
                f"{plural(len(blank), 'empty column')} without a name",
                "delete what stands between or behind the columns (it changes nothing)",
            )
        )
    return tuple(findings)


def column_letters(place: int) -> str:
    """Return what a spreadsheet calls a column: A for 0, Z for 25, AA for 26."""
    text, rest = "", place + 1
    while rest:
        rest, letter = divmod(rest - 1, 26)
        text = chr(ord("A") + letter) + text
    return text


def plain_name(cell: str) -> str:
    """Return a header cell in the spelling of the schema."""
    return without_hidden(cell).lower().replace(" ", "_").replace("-", "_")


def _known(cells: Sequence[str], table: Table) -> int:
    """Return how many cells name a column of the table."""
    return len({plain_name(cell) for cell in cells} & set(table.column_names))


def _match(
    cells: Sequence[str], table: Table, file: str, line: int
) -> tuple[list[str], list[Finding]]:
    """Return the schema column of each cell ('' where none) and what is wrong with the header."""
    findings: list[Finding] = []
    known = table.column_names
    present = {plain_name(cell) for cell in cells}
    names: list[str] = []
    respelled = [
        (without_hidden(cell), plain_name(cell))
        for cell in cells
        if plain_name(cell) in known and cell != plain_name(cell)
    ]

    def report(severity: Severity, check: str, value: str, why: str, remedy: str) -> None:
        findings.append(Finding(severity, check, file, line, value, "", why, remedy))

    for cell in cells:
        plain = plain_name(cell)
        if plain and plain in names:
            report(
                "error",
                "column_duplicated",
                plain,
                "the column stands twice; only the first is read",
                "merge the two columns",
            )
            names.append("")
        elif plain in known:
            if cell != plain and len(respelled) <= _TOLD_ONE_BY_ONE:
                report(
                    "error",
                    "column_unknown",
                    without_hidden(cell),
                    "the name is not written as in the schema",
                    f"write {plain}",
                )
            names.append(plain)
        else:
            names.append("")
            if not plain:
                continue
            absent = [name for name in known if name not in present]
            other = _OTHER_NAMES.get(plain, "")
            hint = (
                f"; did you mean {other}?"
                if other in absent
                else did_you_mean(plain, absent or known)
            )
            report(
                "error",
                "column_unknown",
                without_hidden(cell),
                f"{table.name}.csv has no such column, so its cells are not read",
                f"rename or delete the column{hint}",
            )
    if not any(names):
        why = f"the first line names no column of {table.name}.csv; nothing of the file was read"
        remedy = "copy the header from data/README.md, or from a batch of 'ketameta new'"
        value = ", ".join(cell for cell in cells if cell.strip())
        return names, [Finding("error", "header_missing", file, line, "", value, why, remedy)]
    if len(respelled) > _TOLD_ONE_BY_ONE:
        (first, right), *_ = respelled
        report(
            "error",
            "column_unknown",
            "",
            f"{len(respelled)} names are not written as in the schema (such as {first})",
            f"write them in lower case with underscores, such as {right}",
        )
    missing = [column for column in table.columns if column.name not in names]
    for column in missing:
        if column.required:
            report("error", "column_missing", column.name, "the column is missing", "add it")
    optional = ", ".join(column.name for column in missing if not column.required)
    if optional:
        why = f"columns that may stay empty are missing ({optional})"
        report("warning", "column_missing", "", why, "add them, as in the template")
    return names, findings
