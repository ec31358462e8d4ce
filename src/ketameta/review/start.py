"""Starts a project that builds at once, and a batch: headers and a README with a filled row."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import ketameta
from ketameta.errors import UsageError, check_choice, did_you_mean
from ketameta.evidence.checks.run import CHECKS, READING
from ketameta.evidence.findings import file_finding
from ketameta.evidence.project import Project, load_project, read_project
from ketameta.evidence.reader import read_csv
from ketameta.evidence.schema import (
    BATCH_TABLES,
    STUDY_ID_PATTERN,
    TABLES,
    Column,
    Schema,
    Table,
    schema_of,
)
from ketameta.evidence.tables import SECOND, batch_folders
from ketameta.formatting import csv_text
from ketameta.paths import ProjectPaths, project_paths, recover, unfinished, write_atomically
from ketameta.review.document import Document, Grid, Heading, Paragraph, as_markdown

#: Name of the simulated trial.
SIMULATED = "simulated_2020"

#: Words of the topic, by the column that holds them in the rows above.
_TOPIC = ("diagnosis", "drug_class", "outcome", "instrument")


@cache
def _worked() -> tuple[dict[str, str], ...]:
    """Return the cells of the worked rows: table, column, example, and what to think of."""
    text = (files("ketameta") / "starter" / "example_rows.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(io.StringIO(text)))


def example(
    schema: Schema, declared: Mapping[str, Sequence[str]]
) -> dict[str, tuple[tuple[str, str, str], ...]]:
    """Return the example of each table: column, cell, and what to think while typing it.

    The first ``outcome`` and ``instrument`` that the project declares stand in it, and its
    moderators get a cell of their own.
    """
    found = {}
    for table in schema.batch:
        known = {column.name: column for column in table.columns}
        rows = []
        for cells in _worked():
            if cells["table"] == table.name:
                name = cells["column"]
                words = known[name].allowed or tuple(declared.get(name, ()))
                cell = words[0] if name in _TOPIC and words else cells["example"]
                rows.append((name, cell, cells["what to think of"]))
        told = {name for name, _, _ in rows}
        rows += [
            (column.name, "not_reported", "not_reported where the paper does not say")
            for column in table.columns
            if column.required and column.name not in told
        ]
        found[table.name] = tuple(rows)
    return found


Cells = Mapping[str, str]

#: What is said of a file that cannot be read as a table: it may hold anything.
_UNREAD = ("not_csv", "file_unreadable", "quotes", "header_missing", "line_above_header")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def table_csv(shape: Table, rows: Iterable[Cells]) -> str:
    """Return the CSV of one table of the schema, sorted by its key; every row stands in it.

    Columns that are rare stand in it where a row fills them.
    """

    def order(row: Cells) -> tuple[tuple[int, float, str], ...]:
        return tuple(_sortable(row.get(name, "")) for name in shape.key)

    ordered = sorted(rows, key=order)
    filled = {name for row in ordered for name, cell in row.items() if cell}
    names = [c.name for c in shape.columns if not c.rare or c.name in filled]
    return csv_text(names, ordered)


def _sortable(cell: str) -> tuple[int, float, str]:
    """Return a sort key: empty first, then numbers as numbers, then text."""
    if not cell:
        return (0, 0.0, "")
    if _NUMBER.fullmatch(cell):
        return (1, float(cell), "")
    return (2, 0.0, cell)


def holds_rows(folder: Path) -> bool:
    """Return whether a batch folder holds more than headers, whatever its line ends."""
    for table in BATCH_TABLES:
        path = folder / f"{table.name}.csv"
        if not path.is_file():
            continue
        found = read_csv(path, path.name, table)
        if found.rows or found.refused or any(item.check in _UNREAD for item in found.findings):
            return True
    return False


def write_batch(folder: Path, files: Mapping[str, str], *, replace: bool = False) -> None:
    """Write the files of a batch in one step; other files in the folder stay.

    A folder that holds rows is written over only with ``replace``; else :class:`UsageError`. The
    new folder is completed under a hidden name beside the old one, which checks do not read, and
    then takes its place; whatever interrupts the writing leaves the old one, and what a kill leaves
    behind is cleaned up by the next command that writes.
    """
    recover(folder.parent)
    exists = folder.exists() or folder.is_symlink()
    if exists and not folder.is_dir():
        raise UsageError(f"{folder.name} is a file; a batch is a folder")
    if exists and not replace and holds_rows(folder):
        raise UsageError(
            f"the batch {folder.name} already holds rows; choose another name with --batch, "
            "or say --replace to write over it"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=unfinished(folder)))
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise type(error)(error.errno, why, str(folder)) from None
    try:
        os.chmod(fresh, 0o755)
        if exists:
            shutil.copytree(folder, fresh, symlinks=True, dirs_exist_ok=True)
        for name, text in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8"))
        _swap(fresh, folder, exists)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _swap(fresh: Path, folder: Path, exists: bool) -> None:
    """Put the new folder in the place of the old one; put the old one back if that fails."""
    if not exists:
        os.rename(fresh, folder)
        return
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=unfinished(folder, "old")))
    old = aside / folder.name
    try:
        os.rename(folder, old)
        try:
            os.rename(fresh, folder)
        except BaseException:
            os.rename(old, folder)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


_YEAR = re.compile(r"(?:^|[^0-9])((?:19|20)[0-9]{2})([a-z]?)(?![0-9])")


def new_batch(paths: ProjectPaths, study: str) -> tuple[Path, ...]:
    """Make the folder of a new batch, named after its trial, and return its files.

    Raises :class:`UsageError` where the name has another form (the message says what it could be),
    where the trial is extracted already or the folder is there, and where this is no project.
    """
    check_study_id(study)
    check_project_folder(paths)
    taken = {}
    schema = schema_of(read_project(paths.root)[0])
    for batch in batch_folders(paths):
        path = batch / "studies.csv"
        if path.is_file():
            file = paths.relative(path)
            for line, cells in read_csv(path, file, schema["studies"]).rows:
                taken[cells.get("study_id", "").strip()] = f"{file}:{line}"
    if study in taken:
        raise UsageError(
            f"{study} is already extracted in {taken[study]}. For another trial of the same "
            f"surname and year add a letter: {_next_letter(study, set(taken))}"
        )
    folder = paths.extracted / study
    if folder.exists() or folder.is_symlink():
        raise UsageError(
            f"{paths.relative(folder)} already exists; work on in it, or choose another name "
            f"such as {_next_letter(study, {item.name for item in batch_folders(paths)})}"
        )
    schema = schema_of(load_project(paths.root))
    files = {f"{table.name}.csv": template_csv(table.name, schema) for table in schema.batch}
    files["README.md"] = readme(study, paths)
    write_batch(folder, files)
    return tuple(folder / name for name in files)


#: What a second extractor fills; trials and judgements can be added by hand.
_SECOND_TABLES = ("arms", "outcomes", "contrasts")


def new_second(paths: ProjectPaths, batch: str) -> tuple[Path, ...]:
    """Make the empty folder of a second extraction and return its files.

    It names the trials and their sources and shows nothing that the first extractor typed. Raises
    :class:`UsageError` without such a batch or a trial in it, and where the folder is there.
    """
    check_project_folder(paths)
    folder = paths.extracted / batch
    path = folder / "studies.csv"
    schema = schema_of(load_project(paths.root))
    found = read_csv(path, paths.relative(path), schema["studies"]).rows
    if not found:
        hint = did_you_mean(batch, [item.name for item in batch_folders(paths)])
        raise UsageError(f"{paths.relative(folder)} holds no trial to extract again{hint}")
    second = folder / SECOND
    if second.exists() and any(second.iterdir()):
        raise UsageError(f"{paths.relative(second)} is there already; work on in it")
    trials = [
        (cells.get("study_id", ""), cells.get("citation", ""), cells.get("source_url", ""))
        for _, cells in found
    ]
    files = {f"{SECOND}/{name}.csv": template_csv(name, schema) for name in _SECOND_TABLES}
    files[f"{SECOND}/README.md"] = as_markdown(
        (
            Heading(f"{batch}, extracted a second time", 0),
            Paragraph(
                "Type from the sources without looking at the first extraction, then run: "
                f"ketameta agreement {batch}. Of a table that you do not fill, delete the file; "
                "where you read only some cells, begin the note of the row with 'partial:'."
            ),
            Grid(("trial", "citation", "source"), tuple(trials)),
        )
    )
    write_batch(folder, files, replace=True)
    return tuple(folder / name for name in files)


def check_project_folder(paths: ProjectPaths) -> None:
    """Raise unless the folder holds a project, so that no batch lands where nobody looks."""
    if not paths.data.is_dir():
        raise UsageError(
            "there is no data/ folder here; go to the folder of the project, or name it with --root"
        )


def check_study_id(study: str) -> None:
    """Raise unless ``study`` is ``surname_year``; the message says what it could be."""
    if re.fullmatch(STUDY_ID_PATTERN, study):
        return
    suggestion = study_id_from(study)
    hint = f"; did you mean {suggestion}?" if suggestion else ""
    missing = "" if _YEAR.search(study) else "; the year is missing (nd where none is known)"
    raise UsageError(
        f"{study!r} is not a study name: write surname_year in lower case without accents, "
        f"such as murrough_2013, with a letter where two trials share it{hint}{missing}"
    )


def study_id_from(text: str) -> str:
    """Return ``text`` as surname_year (``von Rotz, 2023`` is ``von_rotz_2023``), or nothing."""
    words = re.sub(r"_et_al(?=_|$)", "", slug(text))
    if re.fullmatch(STUDY_ID_PATTERN, words):
        return words
    found = _YEAR.search(words.replace("_", " "))
    if found is None:
        return ""
    year, letter = found.group(1), found.group(2)
    names = [word for word in words.split("_") if word and not word.startswith(year)]
    names = [re.sub(rf"{year}[a-z]?$", "", word) for word in names]
    name = "_".join(word for word in names if word)
    suggestion = f"{name}_{year}{letter}"
    return suggestion if re.fullmatch(STUDY_ID_PATTERN, suggestion) else ""


def slug(text: str) -> str:
    """Return text as lower-case ASCII words joined by underscores."""
    folded = text.replace("ß", "ss").replace("ø", "o").replace("Ø", "o").replace("ł", "l")
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")


def _next_letter(study: str, taken: set[str]) -> str:
    """Return the first free name with a letter."""
    stem = re.sub(r"(_(?:[0-9]{4}|nd))[a-z]$", r"\1", study)
    free = (stem + letter for letter in "abcdefghijklmnopqrstuvwxyz" if stem + letter not in taken)
    return next(free, f"{stem}a")


def readme(study: str, paths: ProjectPaths | None = None) -> str:
    """Return the README of a batch: the steps, the example row of each table, the words."""
    schema = project_schema(paths)
    text = as_markdown(
        (
            Heading(study, 0),
            Paragraph(
                "One folder is one piece of work: fill the tables beside this file, one trial or "
                "many. Type what the source prints and nothing derived; leave a cell empty where "
                "nothing is printed."
            ),
        )
    )
    text += _STEPS.format(folder=f"data/extracted/{study}", name=study)
    text += as_markdown(
        (
            Heading("One worked row of each table", 1),
            Paragraph(
                f"The trial {SIMULATED} is simulated: it does not exist, and no number of it is "
                "real."
            ),
            *(
                block
                for table in schema.batch
                for block in _example(table, example(schema, worked_words(paths))[table.name])
            ),
            *controlled_words(paths),
        ),
        own=True,
    )
    return text


_STEPS = """
1. `studies.csv`: one row per trial, not per paper. Then `arms.csv`: one row per arm.
2. `outcomes.csv`: one row per arm, outcome, instrument and time; `contrasts.csv` only for what is
   printed as a comparison. Every row says in `locator` where its numbers stand.
3. `ketameta check {folder}` lists everything that looks wrong, with the way to mend it. A warning
   that turns out to be right is accepted in the note of the row:
   `accept: sd_ratio because both SDs were compared with table 2`.
4. `ketameta preview {folder}` shows what the batch would change, before anything is changed.
5. A second person starts with `ketameta new {name} --second`, types into `{folder}/second/`
   without looking at the first, and `ketameta agreement` compares the two.

What every column means: [data/README.md](../../README.md).

"""


def _example(table: Table, worked: Sequence[tuple[str, str, str]]) -> Document:
    rows = []
    for column, cell, comment in worked:
        needed = "needed" if table.column(column).required else ""
        rows.append((column, cell, needed, comment or table.column(column).meaning))
    return (
        Heading(f"{table.name}.csv: one row per {table.row}", 2),
        Grid(("column", "example", "", "what to think of"), tuple(rows)),
    )


def controlled_words(paths: ProjectPaths | None = None) -> Document:
    """Return the words a reviewer may choose from, column by column."""
    seen: dict[tuple[str, ...], list[str]] = {}
    for table in project_schema(paths).batch:
        for column in table.columns:
            if column.allowed:
                name = f"{table.name}.{column.name}"
                seen.setdefault(column.allowed, []).append(name)
    rows = [(", ".join(names), ", ".join(words)) for words, names in seen.items()]
    for listed, words in project_words(paths).items():
        rows.append((f"outcomes.{listed}, contrasts.{listed}", ", ".join(words)))
    return (
        Heading("Controlled words", 1),
        Grid(("column", "one of"), tuple(rows)),
    )


def project_schema(paths: ProjectPaths | None) -> Schema:
    """Return the tables of a project, or of one without a topic."""
    return schema_of(Project.model_construct() if paths is None else load_project(paths.root))


def _list(paths: ProjectPaths, name: str) -> list[dict[str, str]]:
    """Return the rows of a list of the project that name a word, their cells without spaces."""
    path, table = paths.data / f"{name}.csv", project_schema(paths)[name]
    rows = read_csv(path, paths.relative(path), table).rows if path.is_file() else ()
    cells = ({column: cell.strip() for column, cell in row.items()} for _, row in rows)
    return [row for row in cells if row.get(table.key[0])]


def project_words(paths: ProjectPaths | None) -> dict[str, tuple[str, ...]]:
    """Return the outcomes and instruments that the project declares."""
    if paths is None:
        return {}
    return {
        column: tuple(sorted({row[column] for row in _list(paths, table)}))
        for table, column in (("outcome_words", "outcome"), ("instruments", "instrument"))
        if (paths.data / f"{table}.csv").is_file()
    }


def worked_words(paths: ProjectPaths | None) -> dict[str, tuple[str, ...]]:
    """Return a score and an instrument of the project in which the worked example can stand."""
    if paths is None:
        return {}
    outcomes = [
        r["outcome"] for r in _list(paths, "outcome_words") if r.get("kind") == "continuous"
    ]
    # The worked scores lie between 10 and 30, and are no counts.
    instruments = [
        row["instrument"]
        for row in _list(paths, "instruments")
        if row.get("maximum", "") in ("", "54", "60")
        and row.get("measures", "").lower() != "events"
    ]
    return {"outcome": tuple(outcomes[:1]), "instrument": tuple(instruments[:1])}


# --- a project ------------------------------------------------------------------------------------

#: Where each text of the starter folder stands in a project.
_TEXTS = {
    "project.toml": "project.toml",
    "README.md": "README.md",
    "Makefile": "Makefile",
    "requirements.txt": "requirements.txt",
    "gitignore": ".gitignore",
    "check.yml": ".github/workflows/check.yml",
    "primary.toml": "analyses/primary.toml",
    "search.toml": "data/search.toml",
    "claims.toml": "data/claims.toml",
    "corrections.toml": "data/corrections.toml",
}
#: First rows of the lists, until the project names its own outcomes and scales.
_FIRST = {
    "outcome_words": ("main_outcome", "Main outcome", "continuous", "main_outcome", "neither",
                      "What the main question asks about."),
    "instruments": ("counted", "Events as the source counts them", "Events", "lower_is_better"),
}  # fmt: skip


def start_project(folder: Path, title: str, question: str) -> list[Path]:
    """Write a project that builds at once and return its files.

    A folder that is there keeps what it holds. Raises :class:`UsageError` without a title or a
    question of one line, or where a file of the project is there already.
    """
    for name, text in (("title", title), ("question", question)):
        if not text.strip() or not text.isprintable():
            raise UsageError(f"{name} is {text!r}; one line of text is needed")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: this is a file; name a folder")
    paths = project_paths(folder)
    wanted = [*_TEXTS.values(), "data/outcome_words.csv", "data/instruments.csv", "data/README.md"]
    if there := [name for name in wanted if (folder / name).exists()]:
        raise UsageError(
            f"{folder}: {', '.join(there)} {'is' if len(there) == 1 else 'are'} there already; "
            "choose an empty folder"
        )
    written = []
    starter = files("ketameta") / "starter"
    for name, target in _TEXTS.items():
        quoted = target.endswith(".toml")
        text = starter.joinpath(name).read_text(encoding="utf-8")
        for key, value in (("title", title), ("question", question)):
            value = " ".join(value.split())
            told = json.dumps(value, ensure_ascii=False) if quoted else value
            text = text.replace(f"@{key}@", told)
        text = text.replace("@version@", ketameta.__version__)
        write_atomically(folder / target, text)
        written.append(folder / target)
    schema = schema_of(load_project(folder))
    for table in schema.shared:
        text, first = template_csv(table.name, schema), _FIRST.get(table.name, ())
        if first:
            text += ",".join([*first, *[""] * (len(table.columns) - len(first))]) + "\n"
        path = paths.data / f"{table.name}.csv"
        write_atomically(path, text)
        written.append(path)
    return [*written, *write_dictionary(paths)]


def write_dictionary(paths: ProjectPaths) -> list[Path]:
    """Write the data dictionary and the empty templates from the schema; return the files."""
    schema = schema_of(load_project(paths.root))
    texts = {paths.data / "README.md": dictionary_markdown(schema)}
    for table in schema.batch:
        path = paths.data / "templates" / f"{table.name}.csv"
        texts[path] = template_csv(table.name, schema)
    for path, text in texts.items():
        write_atomically(path, text)
    return [*texts]


# --- the data dictionary: every column, then every check ------------------------------------------

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


def dictionary_markdown(schema: Schema) -> str:
    """Return the text of ``data/README.md``; the same bytes for the same schema."""
    text = (files("ketameta") / "starter" / "dictionary.md").read_text(encoding="utf-8")
    rules = {check.word: check.rule for check in CHECKS} | READING
    contents = (
        f"| [`{table.name}.csv`](#{table.name}csv) | {table.row} | {_key(table)} |"
        for table in schema.tables.values()
    )
    parts = {
        "example": str(_EXAMPLE),
        "contents": "\n".join(contents),
        "tables": "\n\n".join(_table_section(table) for table in schema.tables.values()),
        "checks": "\n".join(f"| `{word}` | {_escaped(rule)} |" for word, rule in rules.items()),
    }
    return re.sub(r"@(\w+)@", lambda mark: parts[mark[1]], text)


def _key(table: Table) -> str:
    return ", ".join(f"`{name}`" for name in table.key)


def template_csv(table: str, schema: Schema) -> str:
    """Return an empty table: the header without rare columns, and nothing else.

    Raises
    ------
    UsageError
        If there is no such table.
    """
    check_choice("table", table, tuple(TABLES))
    return csv_text([column.name for column in schema[table].usual], ())


def _table_section(table: Table) -> str:
    """Return the section of one table."""
    lines = [
        f"## {table.name}.csv",
        "",
        f"One row per {table.row}. Key: {_key(table)}.",
        "",
        "| column | type | needed | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for column in table.columns:
        needed = "yes" if column.required else "may be added" if column.rare else ""
        meaning = _escaped(column.meaning)
        lines.append(f"| `{column.name}` | {_type_in_words(column)} | {needed} | {meaning} |")
    return "\n".join(lines)


def _type_in_words(column: Column) -> str:
    """Return the type of a column with its words, bounds and unit."""
    text = _KINDS[column.kind]
    if column.allowed:
        text += " " + ", ".join(f"`{_escaped(word)}`" for word in column.allowed)
    limits = {"above": column.above, "at least": column.minimum, "at most": column.maximum}
    bounds = [f"{what} {limit:g}" for what, limit in limits.items() if limit is not None]
    if bounds:
        text += ", " + " and ".join(bounds)
    return f"{text} ({column.unit})" if column.unit else text


def _escaped(text: str) -> str:
    """Return text that cannot end a cell of a Markdown table."""
    return text.replace("|", r"\|")
