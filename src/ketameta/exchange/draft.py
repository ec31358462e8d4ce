"""A batch while an import fills it: source, words, tables, and the report on each row."""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ketameta import measures
from ketameta.errors import ImportAccountError, UsageError, did_you_mean
from ketameta.evidence.findings import decode, read_toml, shown, without_hidden
from ketameta.evidence.project import Project
from ketameta.evidence.reader import csv_records
from ketameta.evidence.schema import TABLES, Schema, schema_of
from ketameta.evidence.tables import stated
from ketameta.formatting import csv_text, plural, unguarded
from ketameta.review.document import Block, Bullets, Document, Heading, Paragraph
from ketameta.review.start import Cells as TableCells
from ketameta.review.start import slug, study_id_from

Key = tuple[str, ...]
#: Cells of provenance, which may differ between two reports of the same row.
_PROVENANCE = frozenset({"locator", "note", "notes", "source_url", "support"})


@dataclass(slots=True)
class Draft:
    """Rows by table and key, with the line of the source that each came from first."""

    rows: dict[str, dict[Key, dict[str, str]]] = field(default_factory=dict)
    lines: dict[tuple[str, Key], int] = field(default_factory=dict)

    def find(self, table: str, cells: TableCells) -> dict[str, str] | None:
        """Return the row with the key of ``cells``, if there is one."""
        return self.rows.get(table, {}).get(key_of(table, cells))

    def differences(self, table: str, cells: TableCells) -> list[str]:
        """Return the columns in which a row with the same key differs."""
        row = self.find(table, cells)
        return [
            name
            for name in dict.fromkeys((*cells, *(row or ())))
            if row is not None
            and name not in _PROVENANCE
            and row.get(name, "") != cells.get(name, "")
        ]

    def differing(self, table: str, cells: TableCells) -> str:
        """Return the first of them, or nothing."""
        return next(iter(self.differences(table, cells)), "")

    def add(self, table: str, cells: TableCells, line: int) -> str:
        """Add a row unless it is there, and return ``table: key`` for the report.

        Raises :class:`ImportAccountError` where another row with the same key is there, because
        one of the two would be lost.
        """
        key = key_of(table, cells)
        rows = self.rows.setdefault(table, {})
        if key not in rows:
            rows[key] = {name: cell for name, cell in cells.items() if cell != ""}
            self.lines[table, key] = line
        elif column := self.differing(table, cells):
            raise ImportAccountError(
                f"line {line} would be lost: {row_name(table, cells)} stands in line "
                f"{self.lines[table, key]} with another {column}. This is a defect of ketameta; "
                "please report it with the file"
            )
        return row_name(table, cells)

    def line(self, table: str, cells: TableCells) -> int:
        """Return the line of the source that the row with this key came from."""
        return self.lines[table, key_of(table, cells)]

    def tables(self) -> Mapping[str, tuple[TableCells, ...]]:
        """Return the rows of every table."""
        return {table: tuple(rows.values()) for table, rows in self.rows.items()}


def row_name(table: str, cells: TableCells) -> str:
    """Return a row as reports name it: its table and its key."""
    parts = [stated(part) for part in key_of(table, cells)]
    return f"{table}: {', '.join(part for part in parts if part)}"


def key_of(table: str, cells: TableCells) -> Key:
    """Return the key of a row as texts."""
    return tuple(cells.get(name, "") for name in TABLES[table].key)


#: What a cell without a value holds, in lower case.
MISSING = frozenset({"", "na", "n/a", "nan"})
_SEPARATORS = (",", ";", "\t", "|")
#: Columns that no row needed are named up to this number.
_NAMED = 200


class Cells(dict[str, str]):
    """The cells of a row by column; remembers which columns were asked for."""

    def __init__(self, cells: Mapping[str, str], asked: set[str]) -> None:
        super().__init__(cells)
        self._asked = asked

    def __getitem__(self, name: str) -> str:
        self._asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """Return a cell, and remember that its column was asked for."""
        self._asked.add(name)
        return self.peek(name, default)

    def peek(self, name: str, default: str = "") -> str:
        """Return a cell without remembering."""
        return super().get(name, default)

    def mapped(self, change: Callable[[str], str]) -> Cells:
        """Return the same cells, each changed alike."""
        return Cells({name: change(cell) for name, cell in self.items()}, self._asked)


@dataclass(slots=True)
class Record:
    """One row: its line as a spreadsheet counts it, its cells, and what was met while it was read.

    ``extra`` says that cells stand beyond the header, ``missing`` that some are absent.
    """

    line: int
    cells: Cells
    extra: bool = False
    missing: bool = False
    decimal_comma: bool = False
    changes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.cells.get(name)

    def number(self, column: str) -> str:
        """Return a cell as a plain number; a cell that holds none refuses the row."""
        cell = self[column]
        if not cell:
            return ""
        number = as_number(cell, decimal_comma=self.decimal_comma)
        if number is None:
            self.refusals.append(f"{column} is {quoted(cell)}, which is not a number")
        return number or ""


@dataclass(frozen=True, slots=True)
class SourceCsv:
    """The records of a file, and what is wrong with it or was done to all of it.

    Column names are as written; repeated and empty ones are left out. ``filled`` counts the rows
    below the header that hold something, before any is taken apart; ``unread`` are lines below a
    quotation mark without a partner, ``asked`` the columns of which a cell was looked at so far.
    """

    columns: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    decimal_comma: bool = False
    filled: int = 0
    unread: tuple[int, ...] = ()
    asked: set[str] = field(default_factory=set)

    def unasked(self) -> str:
        """Return what to say about filled columns that no row was asked for; empty where none."""
        left = [
            name
            for name in self.columns
            if name not in self.asked
            and any(record.cells.peek(name).lower() not in MISSING for record in self.records)
        ]
        if not left:
            return ""
        more = f" ... and {len(left) - _NAMED:,} more" if len(left) > _NAMED else ""
        listed = ", ".join(left[:_NAMED])
        return f"{plural(len(left), 'column')} that no row needed, not read: {listed}{more}"


def read_source(data: bytes) -> SourceCsv:
    """Return the records of a CSV, whatever its encoding and separator."""
    text, encoding = decode(data)
    notes = []
    if encoding is not None:
        marked = encoding.check == "byte_order_mark"
        notes.append(encoding.why + ("" if marked else "; it was read all the same"))
    text = text.lstrip("\ufeff")
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        return SourceCsv(problems=("the file is empty",), notes=tuple(notes))
    separator = max(_SEPARATORS, key=first.count)
    lines, broken, whole = csv_records(text, separator)
    problems: list[str] = []
    unread: tuple[int, ...] = ()
    if broken:
        # What is left is counted as lines, because nobody can say where its rows end.
        at = len(lines) + 1
        problems = [f"from line {at} on nothing could be read: quotation marks ({broken})"]
        rest = list(io.StringIO(text, newline=""))[whole:]
        unread = tuple(number for number, line in enumerate(rest, at) if line.strip())
    filled = [(line, cells) for line, cells in enumerate(lines, 1) if any(map(str.strip, cells))]
    if not filled:
        problems = problems or ["the file holds no row"]
        return SourceCsv((), (), tuple(problems), tuple(notes), filled=len(unread), unread=unread)
    header = [without_hidden(cell) for cell in filled[0][1]]
    below = filled[1:]
    names: list[str] = []
    seen: set[str] = set()
    for name in header:
        if name and name in seen:
            problems.append(f"the column {name!r} stands twice; only the first is read")
        names.append("" if name in seen else name)
        seen.add(name)
    numbered = not header[0] and [cells[0].strip() for _, cells in below] == [
        str(number) for number in range(1, len(below) + 1)
    ]
    if numbered:
        notes.append("the first column has no name and numbers the rows; it was not read")
    lost = [
        line
        for line, cells in below
        for name, cell in list(zip(header, cells, strict=False))[numbered:]
        if not name and cell.strip()
    ]
    if lost:
        problems.append(
            f"{plural(len(lost), 'cell')} under a column without a name cannot be read (the first "
            f"in line {lost[0]}); name the column or empty it"
        )
    asked: set[str] = set()
    records = tuple(_record(names, cells, line, asked) for line, cells in below)
    comma = separator != "," and _commas_are_decimal(records)
    for record in records:
        record.decimal_comma = comma
    return SourceCsv(
        tuple(name for name in names if name),
        records,
        tuple(problems),
        tuple(notes),
        comma,
        len(below) + len(unread),
        unread,
        asked,
    )


def _record(names: list[str], cells: list[str], line: int, asked: set[str]) -> Record:
    found = Cells(
        {name: unguarded(cell.strip()) for name, cell in zip(names, cells, strict=False) if name},
        asked,
    )
    extra = any(cell.strip() for cell in cells[len(names) :])
    return Record(line, found, extra, len(cells) < len(names))


def _commas_are_decimal(records: tuple[Record, ...]) -> bool:
    """Return whether cells such as ``27,670`` outnumber cells such as ``27.670``."""
    commas = points = 0
    for record in records[:200]:
        for cell in record.cells.values():
            if not cell or not cell.lstrip("+-")[:1].isdigit():
                continue
            plain = cell.lstrip("+-")
            commas += plain.replace(",", "", 1).isdigit() and "," in plain
            points += plain.replace(".", "", 1).isdigit() and "." in plain
    return commas > points


def as_number(cell: str, *, decimal_comma: bool) -> str | None:
    """Return a cell as a plain number without padding zeros; None where it is none.

    ``27,670`` is ``27.67`` with a decimal comma and 27670 without; ``5.27000`` is ``5.27``.
    """
    text = cell.strip().replace("\u2212", "-")
    if decimal_comma:
        text = text.replace(".", "") if "," in text else text
        text = text.replace(",", ".")
    elif "," in text:
        whole, *groups = text.lstrip("+-").split(".")[0].split(",")
        if not whole.isdigit() or not all(len(group) == 3 for group in groups):
            return None
        text = text.replace(",", "")
    try:
        value = float(text)
    except ValueError:
        return None
    plain = text.lstrip("+-").replace(".", "", 1)
    if value != value or abs(value) > 1e12 or not plain.isascii():
        return None
    if plain.isdigit():
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        text = text.lstrip("+")
        return text if text not in {"", "-", "-0"} else "0"
    return f"{value:.15g}"


#: Tables of a words file that translate a word of the source into one of ours.
TRANSLATIONS = ("instrument", "outcome", "intervention", "drug_class", "diagnosis", "study_id")
#: Keys of an ``[analysis."1.1"]`` table.
ANALYSIS_KEYS = (
    "outcome",
    "instrument",
    "time_days",
    "statistic",
    "effect_type",
    "treatment",
    "treatment_class",
    "control",
    "control_class",
    "route",
)
_CHOICES: Mapping[str, Sequence[str]] = {
    "statistic": measures.STATISTICS,
    "effect_type": measures.EFFECT_TYPES,
    "route": measures.ROUTES,
}


def _choices(schema: Schema) -> dict[str, Sequence[str]]:
    """Return the words that a translation may lead to, of the kinds that have a list."""
    classes = schema["arms"].column("drug_class").allowed
    diagnoses = schema["studies"].column("diagnosis").allowed
    declared = {
        **dict.fromkeys(("drug_class", "treatment_class", "control_class"), classes),
        "diagnosis": diagnoses,
    }
    return {**_CHOICES, **{kind: words for kind, words in declared.items() if words}}


@dataclass(frozen=True, slots=True)
class Words:
    """Translations of an import, from a words file.

    ``tables`` hold, for each kind of word, the source's word in lower case -> ours; ``study`` the
    cells that every study gets; ``analysis`` what an analysis of a RevMan file is about;
    ``columns`` our word -> columns of the file; ``values`` what every row has where no column
    says it.
    """

    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    study: Mapping[str, str] = field(default_factory=dict)
    analysis: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)

    def find(self, kind: str, *texts: str) -> str:
        """Return our word for the first of ``texts`` that is translated, or nothing."""
        known = self.tables.get(kind, {})
        for text in texts:
            word = known.get(text.strip().lower())
            if word:
                return word
        return ""


@dataclass(frozen=True, slots=True)
class Declared:
    """Words that the project knows.

    ``classes`` is the class of every intervention that its arms name, ``measured`` the outcomes
    that its rows take from each instrument, ``names`` the full name of every instrument.
    """

    outcomes: frozenset[str] = frozenset()
    instruments: frozenset[str] = frozenset()
    classes: Mapping[str, str] = field(default_factory=dict)
    project: Project = field(default_factory=Project.model_construct)
    measured: Mapping[str, frozenset[str]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def schema(self) -> Schema:
        """The tables of the project, with the words and moderators that it declares."""
        return schema_of(self.project)

    def meaning(self, column: str, *texts: str) -> str:
        """Return what a word of another database means here, as the project says."""
        known = self.project.alias.get(column, {})
        return next((known[text] for text in texts if text in known), "")

    def instrument(self, text: str) -> str:
        """Return the declared instrument that ``text`` spells, else its slug."""
        return _spelled_alike(slug(text), self.instruments)

    def outcome(self, text: str) -> str:
        """Return the declared outcome that ``text`` spells, else its slug."""
        return _spelled_alike(slug(text), self.outcomes)


def _spelled_alike(word: str, known: frozenset[str]) -> str:
    """Return the known word that differs from ``word`` in underscores only, else ``word``."""
    if word in known:
        return word
    bare = word.replace("_", "")
    alike = sorted(item for item in known if item.replace("_", "") == bare)
    return alike[0] if len(alike) == 1 else word


def load_words(path: Path, schema: Schema) -> Words:
    """Return a words file; raise :class:`UsageError` with everything that is wrong with it."""
    raw, _, findings = read_toml(path, path.name)
    if raw is None or any(finding.is_error for finding in findings):
        said = "\n".join(str(finding) for finding in findings)
        raise UsageError(said or f"{path}: the words file cannot be read (no such file)")
    problems: list[str] = []

    def known(word: str, choices: Iterable[str], problem: str) -> bool:
        if word in choices:
            return True
        problems.append(problem + did_you_mean(word, [*choices]))
        return False

    def chosen(where: str, word: str, choices: Sequence[str]) -> None:
        known(word, choices, f"{where} is {word!r}; choose one of {', '.join(choices)}")

    tables = (*TRANSLATIONS, "study", "analysis", "columns", "values")
    for name in raw:
        known(name, tables, f"[{name}]: no such table; one of {', '.join(tables)}")
    choices_of = _choices(schema)
    translated = {kind: _texts(kind, raw.get(kind, {}), problems) for kind in TRANSLATIONS}
    for kind, found in translated.items():
        for source, word in found.items():
            if kind in choices_of:
                chosen(f"{kind}.{source}", word, choices_of[kind])
    study = _texts("study", raw.get("study", {}), problems, lower=False)
    columns = {column.name: column.allowed for column in schema["studies"].columns}
    for name, cell in study.items():
        is_column = known(name, columns, f"study.{name}: studies.csv has no such column")
        if is_column and columns[name]:
            chosen(f"study.{name}", cell, columns[name])
    asked = raw.get("analysis", {})
    if not isinstance(asked, dict):
        problems.append('[analysis]: write one [analysis."1.1"] table for each analysis')
        asked = {}
    analyses = {no: _texts(f"analysis.{no}", cells, problems) for no, cells in asked.items()}
    for number, cells in analyses.items():
        for key, word in cells.items():
            where = f"analysis.{number}.{key}"
            if known(key, ANALYSIS_KEYS, f"{where}: no such key") and key in choices_of:
                chosen(where, word, choices_of[key])
    values = _texts("values", raw.get("values", {}), problems)
    lists = raw.get("columns", {})
    if not isinstance(lists, dict):
        problems.append("[columns]: a table is needed")
        lists = {}
    mapped = {
        ours: tuple(map(str, theirs)) if isinstance(theirs, list) else (str(theirs),)
        for ours, theirs in lists.items()
    }
    for kind, given in (("columns", mapped), ("values", values)):
        for ours in given:
            where = f"{kind}.{ours}: no table here has such a column"
            known(ours, mappable(schema), where)
    if problems:
        raise UsageError(f"{path.name}:\n" + "\n".join(f"  {problem}" for problem in problems))
    return Words(translated, study, analyses, mapped, values)


#: What a row with two arms side by side holds once for each, as in ``mean_treatment``.
PAIRED = (
    *("n", "mean", "sd", "se", "ci_low", "ci_high", "median", "q1", "q3", "minimum", "maximum"),
    *("events", "percent", "baseline_mean", "baseline_sd"),
)
SIDES = ("treatment", "control")


def mappable(schema: Schema) -> dict[str, str]:
    """Return every word that a mapping may use, with the kind of its column."""
    tables = ("studies", "arms", "outcomes", "contrasts")
    kinds: dict[str, str] = {c.name: c.kind for table in tables for c in schema[table].columns}
    paired = {f"{name}_{side}": kinds[name] for name in PAIRED for side in SIDES}
    return {**kinds, **paired, "time_weeks": "number", **dict.fromkeys(SIDES, "text")}


def _texts(name: str, table: Any, problems: list[str], *, lower: bool = True) -> dict[str, str]:
    """Return a table of texts; numbers are written out, anything else is a problem."""
    if not isinstance(table, dict):
        problems.append(f"[{name}]: a table is needed")
        return {}
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            problems.append(f"{name}.{key}: a text is needed")
        elif value != "":
            found[key.lower() if lower else key] = (
                value.strip() if isinstance(value, str) else f"{value:g}"
            )
    return found


Verdict = Literal["taken", "changed", "refused"]
VERDICTS: tuple[Verdict, ...] = ("taken", "changed", "refused")
_REPORT_COLUMNS = ("line", "sheet", "row", "verdict", "details", "became")
#: Lines of a group of alike rows that are named before the rest is counted.
_LINES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """One row of the source, as a spreadsheet counts it, and what became of it.

    ``details`` say how it was changed or why it was refused, ``became`` the rows of the batch as
    ``table: key``. ``facts`` are what the source itself computes for the row, such as ``g``: they
    are not written into the batch, which holds nothing derived.
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

    ``problems`` are about the file as a whole, ``notes`` say what was done to all rows alike and
    what a reviewer should look at. ``undeclared`` are words that the project does not declare yet,
    with the source's own; ``words_file`` would let refused rows in. ``rows_in`` counts the filled
    rows below the headers while the source was opened, before anything was read from them.
    """

    source: str
    kind: str = ""
    rows: tuple[ImportedRow, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tables: Mapping[str, tuple[TableCells, ...]] = field(default_factory=dict)
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

        Raises :class:`ImportAccountError` where a row of the source has no verdict or two, where
        one that was taken stands nowhere in the tables, or a row of them comes from no row.
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
            f"{', '.join(word for word in dict.fromkeys(words.values()) if word) or 'not named'})"
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


#: Note of an arm that stands again beside a contradictory one, so that the two can be compared.
_COPY = "accept: copied_row because the data set repeats this arm in another comparison"


@dataclass
class Reader:
    """Reads a source row by row and fills a draft; each format says what becomes of a row.

    ``stated`` is what the file itself says of each analysis, before the words file does.
    """

    source: SourceCsv
    name: str
    words: Words = Words()
    declared: Declared = Declared()
    stated: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    draft: Draft = field(default_factory=Draft, init=False)
    problems: list[str] = field(default_factory=list, init=False)
    kind = ""

    def __post_init__(self) -> None:
        self.schema = self.declared.schema
        self.undeclared: dict[str, dict[str, str]] = {"outcome_words": {}, "instruments": {}}

    def take(self, row: Record) -> list[str]:
        """Return the rows of the batch that a row becomes; refusals are left in ``row``."""
        raise NotImplementedError

    def label(self, row: Record) -> str:
        """Return a row in words."""
        return ""

    def facts(self, row: Record) -> dict[str, str | float]:
        """Return what the source itself computes for a row."""
        return {}

    def notes(self, rows: Sequence[ImportedRow]) -> list[str]:
        """Return what was done to all rows alike."""
        return [*self.source.notes]

    def words_file(self) -> str:
        """Return a words file for what the source does not say; empty where nothing is missing."""
        return ""

    def ordered(self) -> Sequence[Record]:
        """Return the rows in the order in which they are read: the first of a key stands."""
        return self.source.records

    def declare(self, outcome: str, instrument: str, *said: str) -> None:
        """Remember words that the project does not declare, as the source calls them."""
        if outcome and outcome not in self.declared.outcomes:
            self.undeclared["outcome_words"][outcome] = said[0]
        if instrument and instrument not in self.declared.instruments:
            self.undeclared["instruments"][instrument] = said[-1]

    def study_id(self, row: Record, name: str, year: str, remedy: str) -> str:
        """Return our name of a study; a name that cannot be made refuses the row."""
        found = self.words.find("study_id", name) or study_id_from(name)
        found = found or study_id_from(f"{name} {year}")
        if not found:
            row.refusals.append(f"{quoted(name)} has no form of surname and year; {remedy}")
        return found

    def first_stands(
        self, row: Record, table: str, cells: TableCells, compared: Sequence[str] = ()
    ) -> list[str]:
        """Add a study or an arm that is new; of one that is not, say where it differs."""
        if self.draft.find(table, cells) is None:
            return [self.draft.add(table, cells, row.line)]
        line = self.draft.line(table, cells)
        row.changes += [
            f"{column} of {cells.get('arm_id', 'the study')} differs from that of line {line}, "
            "which is kept"
            for column in self.draft.differences(table, cells)
            if not compared or column in compared
        ]
        return []

    def set_apart(
        self, row: Record, results: Sequence[tuple[str, dict[str, str]]], subgroup: str
    ) -> None:
        """Give a second result of one key a subgroup of its own, or refuse its row."""
        clash = self._clash(results)
        if not clash:
            return
        if subgroup:
            for table, cells in results:
                is_there = self.draft.find(table, cells) is not None
                if is_there and not self.draft.differing(table, cells):
                    parts = (cells.get("note", ""), _COPY)
                    cells["note"] = "; ".join(part for part in parts if part)
                cells["subgroup"] = subgroup
            if not self._clash(results):
                row.changes.append(f"{clash}: entered apart as {subgroup}")
                return
        row.refusals.append(
            f"{clash}; correct one of them, or tell them apart by subgroup, analysis_set or "
            "time_days"
        )

    def _clash(self, results: Sequence[tuple[str, dict[str, str]]]) -> str:
        """Return how rows contradict the draft, or nothing."""
        for table, cells in results:
            if column := self.draft.differing(table, cells):
                there = (self.draft.find(table, cells) or {}).get(column, "")
                return (
                    f"{column} of {cells['arm_id']} is {quoted(cells.get(column, ''))} and "
                    f"{quoted(there)} in line {self.draft.line(table, cells)}, the same outcome "
                    "and day"
                )
        return ""

    def read(self) -> ImportReport:
        """Return the report: a verdict on each row, and what is true of every format."""
        told = []
        for row in self.ordered():
            if row.extra or row.missing:
                row.refusals.append("the row has other cells than the header, so none can be told")
            became = [] if row.refusals else self.take(row)
            verdict: Verdict = "refused" if row.refusals else "changed" if row.changes else "taken"
            facts = {} if row.refusals else self.facts(row)
            details = tuple(dict.fromkeys(row.refusals or row.changes))
            label, became = self.label(row), [] if row.refusals else became
            told.append(ImportedRow(row.line, label, verdict, details, tuple(became), facts=facts))
        told.sort(key=lambda item: item.line)
        source = self.source
        first: dict[tuple[tuple[str, str], ...], int] = {}
        rows = []
        for item, row in zip(told, source.records, strict=True):
            twin = first.setdefault(tuple(row.cells.items()), row.line)
            if twin != row.line and item.verdict != "refused":
                detail = f"the same as line {twin}, cell by cell: entered once"
                item = replace(item, verdict="changed", details=(*item.details, detail))
            rows.append(item)
        why = "not read: a quotation mark at or above it has no partner"
        rows += [ImportedRow(line, "", "refused", (why,)) for line in source.unread]
        problems = [*source.problems, *self.problems]
        if not rows and not problems:
            problems.append("the file holds no row below its header")
        tables = self.draft.tables()
        notes = [*self.notes(told), source.unasked() if any(tables.values()) else ""]
        return ImportReport(
            self.name,
            self.kind,
            tuple(rows),
            tuple(problems),
            tuple(note for note in notes if note),
            tables,
            {
                table: dict(sorted(found.items()))
                for table, found in self.undeclared.items()
                if found
            },
            self.words_file(),
            source.filled,
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


def plain_text(text: str) -> str:
    """Return a cell without the markup in which RevMan keeps texts."""
    if not re.search(r"</?[a-z]+[^>]*>|&[a-z#0-9]+;", text):
        return " ".join(text.split())
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def quoted(text: str) -> str:
    """Return a text of the source fit for a message: cut, invisible characters named."""
    return f"'{shown(text)}'"
