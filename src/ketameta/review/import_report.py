"""What became of every row of an imported file: taken, changed how, or refused why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ketameta.errors import ImportAccountError
from ketameta.findings import shown
from ketameta.numberformat import plural
from ketameta.review.batch_files import Cells, csv_text
from ketameta.review.document import Block, Bullets, Document, Heading, Paragraph
from ketameta.review.draft import row_name

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
    rows_in : int
        Filled rows of the source below its headers, counted while it was opened, before anything
        was read from them.
    """

    source: str
    kind: str = ""
    rows: tuple[ImportedRow, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tables: Mapping[str, tuple[Cells, ...]] = field(default_factory=dict)
    undeclared: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    words_file: str = ""
    rows_in: int = 0

    def count(self, verdict: Verdict) -> int:
        """Return the number of rows with a verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    @property
    def is_whole(self) -> bool:
        """Whether nothing was refused and the file could be read to its end."""
        return not self.problems and not self.count("refused")

    @property
    def summary(self) -> str:
        """One sentence: rows that went in and what became of them."""
        parts = ", ".join(f"{self.count(verdict):,} {verdict}" for verdict in VERDICTS)
        return f"{plural(self.rows_in, 'row')} in: {parts}."

    def account(self) -> None:
        """Hold the rows that went in against what is said of them and against the batch.

        Raises
        ------
        ImportAccountError
            If a row of the source has no verdict or two, if a row that was taken stands nowhere in
            the tables, or if a row of the tables comes from no row of the source.
        """
        wrong = []
        if len(self.rows) != self.rows_in:
            wrong.append(f"{plural(self.rows_in, 'row')} in, {len(self.rows)} with a verdict")
        places = Counter((row.sheet, row.line) for row in self.rows)
        wrong += [f"{_place(*place)} has two verdicts" for place, n in places.items() if n > 1]
        made = Counter(row_name(name, row) for name, rows in self.tables.items() for row in rows)
        told = Counter(name for row in self.rows for name in dict.fromkeys(row.became))
        for row in self.rows:
            stands = bool(row.became) and all(name in made for name in row.became)
            silent = row.verdict != "taken" and not row.details
            if stands == (row.verdict == "refused") or silent:
                wrong.append(f"{_place(row.sheet, row.line)} is called {row.verdict} and is not")
        wrong += [f"{name} comes from no row" for name, n in made.items() if n > told[name]]
        if wrong:
            raise ImportAccountError(
                f"{self.source}: the import does not add up, so nothing was written "
                f"({'; '.join(wrong[:5])}). This is a defect of ketameta; please report it with "
                "the file"
            )

    def document(self) -> Document:
        """Return the report for readers: what was refused first, alike rows together."""
        read_as = f"{self.source}, read as {self.kind}" if self.kind else self.source
        blocks: list[Block] = [Paragraph(read_as, strong=True)]
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
        return [*blocks, Paragraph(self.summary, strong=True)]

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
    return [f"{_place(sheet, *lines)}: {detail}" for (sheet, detail), lines in groups.items()]


def _place(sheet: str, *lines: int) -> str:
    where = f"{sheet if sheet == sheet.strip() else quoted(sheet)}, " if sheet else ""
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
