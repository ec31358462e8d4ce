"""Rows with provenance, all tables of a project, and how they are read. Judges no value.

Reading never fails: what cannot be read becomes a finding, and every row of every file is either
in ``Evidence.tables`` or in ``Evidence.refused``.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketameta.errors import did_you_mean
from ketameta.evidence.findings import Finding, Gathered, Severity, file_finding, sort_findings
from ketameta.evidence.project import Project, is_unread, missing_file, read_project
from ketameta.evidence.reader import MOST_MISTAKES, give_up, read_cell, read_csv
from ketameta.evidence.schema import BATCH_TABLES, SHARED_TABLES, TABLES, Schema, Table, schema_of
from ketameta.measures import ANALYSIS, BASES, COVERS, NO_STUDY, SECONDARY, STUDY_NUMBERS
from ketameta.paths import ProjectPaths

if TYPE_CHECKING:
    import pandas as pd


#: Facts of a trial by column; what is not printed is NaN or an empty text.
StudyFacts = Mapping[str, str | float]


def stated(word: str) -> str:
    """Return a word, or nothing where it says that nothing is said."""
    return "" if word == "not_reported" else word


@dataclass(frozen=True)  # without slots thousands are read back in half of the time
class Row:
    """One row of one table.

    Attributes
    ----------
    table, file : str
    line : int
        As a spreadsheet counts it.
    texts : mapping of str to str
        Every filled cell, cleaned of invisible characters.
    numbers : mapping of str to float
        Every number that could be read.
    flags : tuple of str
        Corrections that mark the row and leave its values as they are.
    """

    table: str
    file: str
    line: int
    texts: Mapping[str, str]
    numbers: Mapping[str, float]
    flags: tuple[str, ...] = ()

    def __getitem__(self, column: str) -> str:
        return self.texts.get(column, "")

    def number(self, column: str) -> float | None:
        """Return the number in ``column``; nothing where it is empty or could not be read."""
        return self.numbers.get(column)

    @property
    def key(self) -> tuple[str | float | None, ...]:
        """The key of the row; times that are equal as numbers are equal here."""
        return (*self.core, *(stated(self[name]) for name in ANALYSIS if name in self._key))

    @property
    def core(self) -> tuple[str | float | None, ...]:
        """The key of the result, however often its source analyses it."""
        return tuple(
            self.numbers.get(name, self.texts.get(name, "")) for name in TABLES[self.table].core
        )

    @property
    def _key(self) -> tuple[str, ...]:
        return TABLES[self.table].key

    def is_other_analysis(self, other: Row) -> bool:
        """Return whether two rows of one result say in words that they are two analyses of it."""
        pairs = ((stated(self[name]), stated(other[name])) for name in ANALYSIS)
        return any(one and two and one != two for one, two in pairs)

    @property
    def in_words(self) -> str:
        """The key as a person would say it, such as ``alder_2014, control, pain, day 1``."""
        parts = []
        for name in TABLES[self.table].core:
            text = self[name]
            if text:
                parts.append(f"day {text}" if name == "time_days" else text)
        return ", ".join(parts)


#: What an effect says and a study without a usable number does not.
_NOT_PRINTED = ("arm_id", "comparator_arm_id", "subgroup", "instrument", "data_kind")


@dataclass(frozen=True)
class Evidence:
    """All tables of a project, or of some of its batches.

    The rows of a table are in ``tables[name]``. The same rows as a frame, with every column of the
    schema (numbers as float, text as str with ``''`` for empty) and ``_file``, ``_line`` and
    ``_flags`` (corrections that mark the row), are the attributes ``studies``, ``arms``,
    ``outcomes``, ``contrasts``, ``moderators``, ``risk_of_bias``, ``outcome_words``,
    ``instruments``, ``exclusions``, ``registry`` and ``harm_facts``.

    Attributes
    ----------
    tables : mapping of str to tuple of Row
    refused : mapping of str to tuple of Row
        Rows whose cells did not line up with the header; key cells only.
    project : Project
        What ``project.toml`` declares.
    """

    tables: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    refused: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    project: Project = field(default_factory=Project.model_construct)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out the frames, which are made again."""
        return Evidence, (self.tables, self.refused, self.project)

    def __getattr__(self, name: str) -> pd.DataFrame:
        """Return the frame of a table, made when it is first asked for."""
        if name not in TABLES:
            raise AttributeError(f"evidence has no attribute {name!r}{did_you_mean(name, TABLES)}")
        import pandas as pd

        types = {item.name: "str" for item in self.schema[name].columns if not item.is_number}
        types |= {"_file": "str", "_flags": "str", "_line": "int64"}
        columns = self._columns(name)
        cells = {key: pd.Series(columns[key], dtype=types.get(key, "float64")) for key in columns}
        return self.__dict__.setdefault(name, pd.DataFrame(cells))

    @cached_property
    def schema(self) -> Schema:
        """The tables of the project, with its words and moderators."""
        return schema_of(self.project)

    def rows(self, table: str) -> tuple[Row, ...]:
        """Return the rows of one table."""
        return self.tables.get(table, ())

    def where(self, keep: Callable[[Row], bool]) -> Evidence:
        """Return the evidence of those rows that ``keep`` says yes to."""
        tables = {name: tuple(filter(keep, rows)) for name, rows in self.tables.items()}
        return replace(self, tables=tables)

    def _columns(self, table: str) -> dict[str, list[Any]]:
        """Return the cells of a table by column; of studies, with their moderators."""
        rows = self.rows(table)
        columns: dict[str, list[Any]] = {
            item.name: [row.numbers.get(item.name, math.nan) for row in rows]
            if item.is_number
            else [row[item.name] for row in rows]
            for item in self.schema[table].columns
        }
        columns["_file"] = [row.file for row in rows]
        columns["_flags"] = [";".join(row.flags) for row in rows]
        columns["_line"] = [row.line for row in rows]
        names = [m.name for m in self.project.moderator if m.with_basis and m.kind == "number"]
        for name in (*STUDY_NUMBERS, *names) if table == "studies" else ():
            known = self.moderator_values(name)
            cells = columns.setdefault(name, [math.nan] * len(rows))
            for place, row in enumerate(rows):
                if math.isnan(cells[place]) and (told := known.get(row["study_id"])) is not None:
                    cells[place] = told.numbers.get("value", math.nan)
        return columns

    @cached_property
    def facts(self) -> dict[str, StudyFacts]:
        """The row of each trial in ``studies``, by its name."""
        columns = self._columns("studies")
        rows = (dict(zip(columns, cells, strict=True))
                for cells in zip(*columns.values(), strict=True))  # fmt: skip
        return {str(row["study_id"]): row for row in rows}

    @cached_property
    def left_out(self) -> list[StudyFacts]:
        """Studies without a number that can be used: the one rule for *found, no usable number*.

        A row of ``exclusions`` for each outcome measured and treatment given. People and treatment
        are those of ``studies`` and ``arms``; of a study that is not there, those of the exclusion.
        """
        domains = {row["outcome"]: row["domain"] for row in self.rows("outcome_words")}
        arms = [row for row in self.rows("arms") if row["role"] == "treatment"]
        classes = {row["intervention"]: row["drug_class"] for row in arms}
        studies = {row["study_id"]: row for row in self.rows("studies")}
        found: list[StudyFacts] = []
        for row in self.rows("exclusions"):
            study = re.sub(r"\W+", "_", row["study"].lower()).strip("_")
            whose = studies.get(study, row)
            if row["reason_code"] in NO_STUDY or whose["design"] == "pooled_rcts":
                continue
            given = [arm["intervention"] for arm in arms if arm["study_id"] == study]
            found += [
                {"study_id": study, "label": self.project.study_label(row["study"]).strip(),
                 "diagnosis": whose["diagnosis"], "outcome": word, "domain": domains[word],
                 "intervention": drug, "drug_class": classes[drug], "code": row["reason_code"],
                 "reason": row["reason"], "source": f"{row.file}:{row.line}",
                 "time_days": math.nan, **dict.fromkeys(_NOT_PRINTED, "")}
                for word in (row["measured"] or row["outcome"]).split(";")
                for drug in dict.fromkeys(given or row["intervention"].split(";"))
                if word in domains and drug in classes
            ]  # fmt: skip
        return found

    def moderator_values(
        self,
        name: str,
        bases: Sequence[str] = BASES,
        naive_to: Sequence[str] = (),
        covers: Sequence[str] = COVERS[:2],
    ) -> dict[str, Row]:
        """Return the row of ``moderators`` that speaks for each trial.

        Parameters
        ----------
        name : str
        bases : sequence of str
            Bases that count, the better first.
        naive_to : sequence of str, optional
            Earlier treatments that count, for a moderator that is about earlier treatment.
        covers : sequence of str
            Whom a value may be about.

        Notes
        -----
        Values of arms, of another phase and of people chosen to go on speak for no trial. A value
        of all people goes before one of some arms, then the better basis, then a source of the
        trial itself before a review or a data set, then the order of the rows.
        """
        ranks: dict[str, tuple[int, ...]] = {}
        found: dict[str, Row] = {}
        for row in self.rows("moderators"):
            is_it = row["moderator"] == name and not row["arm_id"] and row["basis"] in bases
            if not is_it or row["covers"] not in covers:
                continue
            if naive_to and row["naive_to"] and row["naive_to"] not in naive_to:
                continue
            rank = (
                COVERS.index(row["covers"]),
                bases.index(row["basis"]),
                int(row["source_type"] in SECONDARY),
            )
            if row["study_id"] not in found or rank < ranks[row["study_id"]]:
                found[row["study_id"]], ranks[row["study_id"]] = row, rank
        return found


#: Folder of the second extraction inside a batch, and the file of decisions in it.
SECOND, DECISIONS = "second", "reconciliation.csv"
#: What the build reads in a batch, and in ``data/`` itself.
BATCH_FILES = tuple(sorted(f"{table.name}.csv" for table in BATCH_TABLES))
LISTS = (
    *(f"{table.name}.csv" for table in SHARED_TABLES),
    *("claims.toml", "corrections.toml", "search.toml"),
)
#: What stands beside that for people.
_FOR_PEOPLE = ("README.md", "LICENSE.md")
#: What file managers and spreadsheets leave behind.
_DROPPINGS = re.compile(r"\.DS_Store|Thumbs\.db|desktop\.ini|\.git(?:keep|ignore)|~.*|\.~lock.*")
#: Files named one by one in a folder that nothing reads; the rest are counted.
_MOST_NAMED = 10

#: Files with these endings hold tables that nobody reads.
_TABLE_ENDINGS = (".tsv", ".xls", ".xlsx", ".xlsm", ".ods", ".numbers", ".rds", ".dta", ".sav")
_TABLE_STEMS = frozenset(table.name for table in BATCH_TABLES)
#: What stands in the folders of a batch: a second extraction, what an import said.
_OWN_FOLDERS = {SECOND: (*BATCH_FILES, DECISIONS, "README.md"), "import": ("rows.csv",)}
#: Without these, no outcome can be understood.
_NEEDED_SHARED = ("outcome_words", "instruments")


def batch_folders(paths: ProjectPaths) -> tuple[Path, ...]:
    """Return the batch folders under ``data/extracted``, in alphabetical order."""
    try:
        found = [item for item in paths.extracted.iterdir() if item.is_dir()]
    except OSError:
        return ()
    return tuple(
        sorted(item for item in found if not (item.name.startswith((".", "_")) or is_link(item)))
    )


def data_files(paths: ProjectPaths) -> list[Path]:
    """Return every file below ``data/`` that a build reads; nothing else is packed or published.

    Links are left out: the checks name them, and a build stops there.
    """
    named = [paths.data / name for name in LISTS]
    for folder in batch_folders(paths):
        named += [folder / name for name in BATCH_FILES]
        if not is_link(folder / SECOND):
            named += [folder / SECOND / name for name in (*BATCH_FILES, DECISIONS)]
    if is_link(paths.data) or is_link(paths.extracted):
        return []
    return sorted(path for path in named if path.is_file() and not is_link(path))


def is_link(path: Path) -> bool:
    """Return whether something at this place leads elsewhere (a symbolic link, a junction)."""
    try:
        return path.is_symlink() or bool(getattr(path, "is_junction", bool)())
    except (OSError, ValueError):
        return False


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
    """
    chosen = None if only is None else tuple(_folder(paths, item) for item in only)
    folders = batch_folders(paths) if chosen is None else chosen
    tables: dict[str, list[Row]] = {name: [] for name in TABLES}
    refused: dict[str, list[Row]] = {name: [] for name in TABLES}
    project, problems = read_project(paths.root)
    schema = schema_of(project)
    findings = [*problems]
    # A project without a trial yet may lack the folder: no repository keeps an empty one.
    lists = (paths.data / f"{name}.csv" for name in _NEEDED_SHARED)
    starts = not _exists(paths.extracted) and all(map(_exists, lists))
    if only is None and not (paths.extracted.is_dir() or starts):
        findings.append(
            file_finding(
                "file_missing",
                paths.relative(paths.extracted),
                "there is no such folder",
                "run inside the project, or create the folder with one subfolder per batch",
            )
        )
    findings.extend(_look_beside(paths))

    def read_into(path: Path, table: Table) -> None:
        rows, wrong_rows, problems = read_rows(path, paths.relative(path), table)
        tables[table.name].extend(rows)
        refused[table.name].extend(wrong_rows)
        findings.extend(problems)

    for folder in folders:
        looked = tuple(_look_at_folder(paths, folder))
        findings.extend(looked)
        if any(finding.check == "file_unreadable" for finding in looked):
            continue
        for table in schema.batch:
            path = folder / f"{table.name}.csv"
            if _exists(path) and not is_link(path):
                say(f"Reading {paths.relative(path)}")
                read_into(path, table)
    for table in schema.shared:
        path = paths.data / f"{table.name}.csv"
        if is_link(path):
            continue
        if _exists(path) or (table.name in _NEEDED_SHARED and folders):
            read_into(path, table)
    unknown = (item for item in findings if item.check == "column_unknown")
    strange = [item for item in unknown if item.file.endswith("/studies.csv")]
    findings += (lost := missing_file(paths.root, [item.column for item in strange]))
    if is_unread([*problems, *lost]):  # a column of studies.csv may be one of its moderators
        findings = [item for item in findings if item not in strange]
    evidence = Evidence(
        {name: tuple(rows) for name, rows in tables.items()},
        {name: tuple(rows) for name, rows in refused.items()},
        project,
    )
    return evidence, sort_findings(findings)


def read_rows(path: Path, file: str, table: Table) -> tuple[list[Row], list[Row], list[Finding]]:
    """Return the rows of one CSV, the rows refused, and every problem.

    ``file`` is the path as messages print it.
    """
    content = read_csv(path, file, table)
    found = Gathered(file)
    columns = {column.name: column for column in table.columns}
    rows: list[Row] = []
    for line, cells in content.rows:
        if found.total > MOST_MISTAKES:
            give_up(found, line)
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
                found.error(check, why, remedy, line, name, typed, severity)
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


def _look_at_folder(paths: ProjectPaths, folder: Path) -> Iterable[Finding]:
    """Yield what is wrong with the names of a batch folder and of the files in it."""
    file = paths.relative(folder)
    try:
        items = sorted(folder.iterdir())
    except PermissionError:
        why = "the folder cannot be opened (Permission denied)"
        yield file_finding("file_unreadable", file, why, "give yourself the right to read it")
        return
    except OSError:
        why = "there is no such batch folder"
        remedy = "check the name" + did_you_mean(
            folder.name, (b.name for b in batch_folders(paths))
        )
        yield file_finding("file_missing", file, why, remedy)
        return
    plain = re.sub(r"[^\w.-]+", "_", folder.name.strip()).strip("_")
    if not re.fullmatch(r"\w(?:[\w. -]*\w)?", folder.name):
        why = "a batch is named by letters, digits, _ and -"
        yield file_finding("batch_name", file, why, f"rename the folder, for example to {plain}")
    names = {item.name for item in items if item.is_file()}
    if names.isdisjoint(BATCH_FILES):
        why, remedy = "the batch folder holds no table", "add its tables, or delete the folder"
        yield file_finding("empty_table", file, why, remedy, severity="warning")
    for item in items:
        name, low = item.name, item.name.lower()
        if is_link(item):
            yield _link(paths, item)
        elif item.is_dir() and name in _OWN_FOLDERS:
            yield from _strays(paths, item, _OWN_FOLDERS[name])
        elif item.is_dir():
            inside = [name for _, _, names in os.walk(item) for name in names]
            tables = [found for found in sorted(inside) if found.endswith(".csv")]
            if tables and not name.startswith((".", "~", "_")):
                why = f"a folder inside a batch is not read, and this one holds {tables[0]}"
                remedy = "move its tables into a batch of their own beside this one"
                yield file_finding("file_unknown", f"{file}/{name}", why, remedy)
            else:
                yield from _strays(paths, item)
        elif name in BATCH_FILES or name == "README.md":
            continue
        elif not name.startswith((".", "~")) and (
            ".csv" in low or low.partition(".")[0] in _TABLE_STEMS or low.endswith(_TABLE_ENDINGS)
        ):
            severity: Severity = "error" if ".csv" in low else "warning"
            listed = ", ".join(BATCH_FILES)
            why = "a batch has no table of this name, so the file is not read"
            remedy = (
                f"rename or remove it; the tables are {listed}{did_you_mean(name, BATCH_FILES)}"
            )
            yield file_finding("file_unknown", f"{file}/{name}", why, remedy, severity=severity)
        elif not _DROPPINGS.fullmatch(name):
            yield _stray(paths, item)


def _look_beside(paths: ProjectPaths) -> Iterable[Finding]:
    """Yield what stands where nobody reads it, and every link; the batches are looked at apart."""
    for folder in (paths.data, paths.extracted, paths.analyses):
        if is_link(folder):
            yield _link(paths, folder)
            return
    shared = {f"{table.name}.csv" for table in SHARED_TABLES}
    for folder, known, remedy in (
        (
            paths.data,
            shared,
            f"rename or move it; the shared lists are {', '.join(sorted(shared))}",
        ),
        (paths.extracted, set(), "move it into the folder of its batch"),
    ):
        for item in _items(folder):
            file = _label(paths, item)
            is_csv = item.name.lower().endswith(".csv") and not item.name.startswith(".")
            if is_link(item):
                yield _link(paths, item)
            elif item.is_dir():
                if folder == paths.data and item.name == "templates":
                    yield from _strays(paths, item, BATCH_FILES)
                elif item != paths.extracted and item not in batch_folders(paths):
                    yield from _strays(paths, item)
            elif is_csv and item.name not in known:
                hint = did_you_mean(item.name, known)
                why = "no table of this name stands here, so the file is not read"
                yield file_finding("file_unknown", file, why, remedy + hint)
            elif not _DROPPINGS.fullmatch(item.name) and not (
                folder == paths.data and item.name in (*LISTS, *_FOR_PEOPLE)
            ):
                yield _stray(paths, item)
    for item in _items(paths.analyses):
        if is_link(item):
            yield _link(paths, item)


def _items(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _strays(paths: ProjectPaths, folder: Path, known: Sequence[str] = ()) -> Iterator[Finding]:
    """Yield the files and links below a folder that have no business there, and a count of many."""
    found = []
    for parent, folders, names in os.walk(folder):
        for name in sorted([*folders, *names]):
            item = Path(parent) / name
            if is_link(item):
                found.append(_link(paths, item))
            elif name in names and not (
                _DROPPINGS.fullmatch(name) or (item.parent == folder and name in known)
            ):
                found.append(_stray(paths, item))
        folders[:] = sorted(name for name in folders if not is_link(Path(parent) / name))
    links = [finding for finding in found if finding.is_error]
    others = [finding for finding in found if not finding.is_error]
    yield from (*links, *others[:_MOST_NAMED])
    if len(others) > _MOST_NAMED:
        more = f"nothing reads {len(others) - _MOST_NAMED} more files of this folder"
        yield _unread(_label(paths, folder), more)


def _stray(paths: ProjectPaths, item: Path) -> Finding:
    return _unread(
        _label(paths, item), "nothing reads this file, so it is not checked or published"
    )


def _unread(file: str, why: str) -> Finding:
    remedy = "move it out of data/, where all is meant for everybody, or delete it"
    return file_finding("file_unknown", file, why, remedy, severity="warning")


def _link(paths: ProjectPaths, item: Path) -> Finding:
    """Return the finding about a link, which nothing follows."""
    why = "this is a link, and what it leads to may not be meant for everybody"
    return file_finding("link", _label(paths, item), why, "put the file itself here, or delete it")


def _label(paths: ProjectPaths, item: Path) -> str:
    """Return the place of an item as it can always be printed; a link by its own name."""
    parent = paths.relative(item.parent)
    text = item.name if parent == "." else f"{parent}/{item.name}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


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
