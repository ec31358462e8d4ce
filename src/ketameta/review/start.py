"""Starts a batch: a folder with the right headers and a README that shows how a row is filled."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from ketameta.csvfiles import read_csv
from ketameta.dictionary import template_csv
from ketameta.errors import UsageError
from ketameta.extraction import batch_folders
from ketameta.paths import ProjectPaths
from ketameta.project import Project, load_project, read_project
from ketameta.review.batch_files import write_batch
from ketameta.review.document import Document, Grid, Heading, Paragraph, as_markdown
from ketameta.review.example import SIMULATED, example
from ketameta.schema import STUDY_ID_PATTERN, Schema, Table, schema_of

_YEAR = re.compile(r"(?:^|[^0-9])((?:19|20)[0-9]{2})([a-z]?)(?![0-9])")


def new_batch(paths: ProjectPaths, study: str) -> tuple[Path, ...]:
    """Make the folder of a new batch and return its files.

    Parameters
    ----------
    paths : ProjectPaths
    study : str
        Name of the trial as ``surname_year``; also the name of the folder.

    Raises
    ------
    UsageError
        If the name has another form (the message says what it could be), if the trial is already
        extracted, if there is such a folder, or if this is no project.
    """
    check_study_id(study)
    check_project_folder(paths)
    taken = dict(_extracted_studies(paths))
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


def check_project_folder(paths: ProjectPaths) -> None:
    """Raise unless the folder holds a project, so that no batch lands where nobody looks.

    Raises
    ------
    UsageError
    """
    if not paths.data.is_dir():
        raise UsageError(
            "there is no data/ folder here; go to the folder of the project, or name it with --root"
        )


def check_study_id(study: str) -> None:
    """Raise unless ``study`` is ``surname_year``; the message says what it could be.

    Raises
    ------
    UsageError
    """
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


def _extracted_studies(paths: ProjectPaths) -> Iterator[tuple[str, str]]:
    """Yield every study name and where it stands."""
    schema = schema_of(read_project(paths.root)[0])
    for folder in batch_folders(paths):
        path = folder / "studies.csv"
        if path.is_file():
            file = paths.relative(path)
            for line, cells in read_csv(path, file, schema["studies"]).rows:
                yield cells.get("study_id", "").strip(), f"{file}:{line}"


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
    text += _STEPS.format(folder=f"data/extracted/{study}")
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
        )
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
5. A second person extracts the same trial into `{folder}/second/`; `ketameta agreement` compares
   the two.

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


def project_words(paths: ProjectPaths | None) -> dict[str, tuple[str, ...]]:
    """Return the outcomes and instruments that the project declares."""
    found: dict[str, tuple[str, ...]] = {}
    if paths is None:
        return found
    for table, column in (("outcome_words", "outcome"), ("instruments", "instrument")):
        path = paths.data / f"{table}.csv"
        if path.is_file():
            rows = read_csv(path, paths.relative(path), project_schema(paths)[table]).rows
            words = {cells.get(column, "").strip() for _, cells in rows}
            found[column] = tuple(sorted(word for word in words if word))
    return found


def worked_words(paths: ProjectPaths | None) -> dict[str, tuple[str, ...]]:
    """Return a score and an instrument of the project in which the worked example can stand."""
    if paths is None:
        return {}
    schema, found = project_schema(paths), {}
    for table, column in (("outcome_words", "outcome"), ("instruments", "instrument")):
        path = paths.data / f"{table}.csv"
        rows = read_csv(path, paths.relative(path), schema[table]).rows if path.is_file() else ()
        words = [cells for _, cells in rows if cells.get(column, "").strip()]
        if column == "outcome":
            words = [cells for cells in words if cells.get("kind", "").strip() == "continuous"]
        else:
            # The worked scores lie between 10 and 30.
            words = [cells for cells in words if cells.get("maximum", "") in ("", "54", "60")]
        found[column] = tuple(cells[column].strip() for cells in words)[:1]
    return found
