"""What became of every row of an imported file: taken, changed how, or refused why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ketameta.findings import shown
from ketameta.numberformat import plural
from ketameta.review.batch_files import Cells, csv_text
from ketameta.review.document import Block, Bullets, Document, Heading, Paragraph

Verdict = Literal["taken", "changed", "refused"]
VERDICTS: tuple[Verdict, ...] = ("taken", "changed", "refused")
_REPORT_COLUMNS = ("line", "sheet", "row", "verdict", "details", "became")
#: Lines of a group of alike rows that are named before the rest is counted.
_LINES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """One row of the source and what became of it.

    Attributes
    ----------
    line : int
        As a spreadsheet counts it.
    label : str
        The row in words.
    verdict : {"taken", "changed", "refused"}
    details : tuple of str
        How it was changed, or why it was refused.
    became : tuple of str
        The rows of the batch it became, as ``table: key``.
    sheet : str
        Sheet of a workbook; empty for a CSV.
    facts : mapping
        What the source itself computes for the row, such as ``g`` and ``g_se``. Not written into
        the batch, which holds nothing derived.
    """

    line: int
    label: str
    verdict: Verdict
    details: tuple[str, ...] = ()
    became: tuple[str, ...] = ()
    sheet: str = ""
    facts: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Everything an import has to say.

    Attributes
    ----------
    source : str
        Name of the file.
    kind : str
        The format it was read as; empty where it was not recognised.
    rows : tuple of ImportedRow
        One per row of the source, in its order.
    problems : tuple of str
        What is wrong with the file as a whole.
    notes : tuple of str
        What was done to all rows alike, and what a reviewer should look at.
    tables : mapping of str to tuple of mapping
        The rows of the batch, by table.
    undeclared : mapping of str to mapping of str to str
        Words that the project does not declare yet, by shared list, with the source's own words.
    words_file : str
        Text of the words file that would let refused rows in; empty where none would.
    """

    source: str
    kind: str = ""
    rows: tuple[ImportedRow, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tables: Mapping[str, tuple[Cells, ...]] = field(default_factory=dict)
    undeclared: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    words_file: str = ""

    def count(self, verdict: Verdict) -> int:
        """Return the number of rows with a verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    @property
    def is_whole(self) -> bool:
        """Whether nothing was refused and the file could be read to its end."""
        return not self.problems and not self.count("refused")

    @property
    def summary(self) -> str:
        """One sentence: rows read and what became of them."""
        parts = ", ".join(f"{self.count(verdict):,} {verdict}" for verdict in VERDICTS)
        kind = f" ({self.kind})" if self.kind else ""
        return f"{self.source}{kind}: {plural(len(self.rows), 'row')} read: {parts}."

    def document(self) -> Document:
        """Return the report for readers: what was refused first, alike rows together."""
        blocks: list[Block] = [Paragraph(self.summary, strong=True)]
        if self.problems:
            blocks += [Heading("The file"), Bullets(self.problems)]
        for verdict, title in (("refused", "Refused, and why"), ("changed", "Changed, and how")):
            items = _grouped([row for row in self.rows if row.verdict == verdict])
            if items:
                blocks += [Heading(title), Bullets(tuple(items))]
        if self.notes:
            blocks += [Heading("To know"), Bullets(self.notes)]
        if self.undeclared:
            blocks += [Heading("Words to declare first"), Bullets(tuple(self._declarations()))]
        if self.words_file:
            blocks += [
                Heading("Words that are missing"),
                Paragraph(
                    "Save this as words.toml, fill it, and run again with --words words.toml:"
                ),
                Paragraph(self.words_file),
            ]
        return blocks

    def _declarations(self) -> list[str]:
        return [
            f"data/{table}.csv has no {', '.join(words)} (in the source: "
            f"{', '.join(dict.fromkeys(words.values()))})"
            for table, words in self.undeclared.items()
        ]

    def rows_csv(self) -> str:
        """Return one line per row of the source, guarded against formulas."""
        return csv_text(
            _REPORT_COLUMNS,
            (
                {
                    "line": str(row.line),
                    "sheet": row.sheet,
                    "row": row.label,
                    "verdict": row.verdict,
                    "details": "; ".join(row.details),
                    "became": "; ".join(row.became),
                }
                for row in self.rows
            ),
        )


def _grouped(rows: Sequence[ImportedRow]) -> list[str]:
    """Return one sentence per detail, with the lines it is true of."""
    groups: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        for detail in row.details:
            groups.setdefault((row.sheet, detail), []).append(row.line)
    return [f"{_place(sheet, lines)}: {detail}" for (sheet, detail), lines in groups.items()]


def _place(sheet: str, lines: Sequence[int]) -> str:
    where = f"{sheet}, " if sheet else ""
    return f"{where}{'line' if len(set(lines)) == 1 else 'lines'} {line_ranges(lines)}"


def line_ranges(lines: Sequence[int]) -> str:
    """Return ``2, 5-9, 12`` for 2, 5, 6, 7, 8, 9, 12; long lists are cut with their count."""
    ordered = sorted(set(lines))
    runs: list[list[int]] = []
    for line in ordered:
        if runs and line == runs[-1][-1] + 1:
            runs[-1].append(line)
        else:
            runs.append([line])
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    if len(texts) > _LINES_SHOWN:
        return f"{', '.join(texts[:_LINES_SHOWN])} ... ({len(ordered)} in all)"
    return ", ".join(texts)


def quoted(text: str) -> str:
    """Return a text of the source fit for a message: cut, invisible characters named."""
    return f"'{shown(text)}'"
