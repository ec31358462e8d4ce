"""Starts a project: a folder that builds at once, with a title, a question and no trial yet.

A room of its own because the command line starts without it.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import ketameta
from ketameta.errors import UsageError
from ketameta.evidence.checks.registry import dictionary_markdown, template_csv
from ketameta.evidence.project import load_project
from ketameta.evidence.schema import schema_of
from ketameta.paths import ProjectPaths, project_paths, write_atomically

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
