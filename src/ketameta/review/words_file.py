"""The words file of an import: what the words of a source are called here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ketameta import vocabulary
from ketameta.errors import UsageError, did_you_mean
from ketameta.project import Project
from ketameta.review.start import slug
from ketameta.schema import Schema, schema_of
from ketameta.textfiles import read_toml

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
    "statistic": vocabulary.STATISTICS,
    "effect_type": vocabulary.EFFECT_TYPES,
    "route": vocabulary.ROUTES,
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
    """Translations of an import.

    Attributes
    ----------
    tables : mapping of str to mapping of str to str
        For each kind of word, the source's word in lower case -> ours.
    study : mapping of str to str
        Cells that every study of the source gets where the source says nothing.
    analysis : mapping of str to mapping of str to str
        What an analysis of a RevMan file is about, by its number.
    """

    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    study: Mapping[str, str] = field(default_factory=dict)
    analysis: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

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

    Attributes
    ----------
    outcomes, instruments : frozenset of str
        As declared in the shared lists.
    classes : mapping of str to str
        Class of every intervention that the project's arms name.
    project : Project
    """

    outcomes: frozenset[str] = frozenset()
    instruments: frozenset[str] = frozenset()
    classes: Mapping[str, str] = field(default_factory=dict)
    project: Project = field(default_factory=Project.model_construct)

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
    """Return a words file.

    Parameters
    ----------
    path : Path
    schema : Schema
        Of the project that the words are for.

    Raises
    ------
    UsageError
        With everything that is wrong with it.
    """
    raw, _, findings = read_toml(path, path.name)
    if raw is None or any(finding.is_error for finding in findings):
        said = "\n".join(str(finding) for finding in findings)
        raise UsageError(said or f"{path}: the words file cannot be read (no such file)")
    problems: list[str] = []
    known = (*TRANSLATIONS, "study", "analysis")
    for name in raw:
        if name not in known:
            hint = did_you_mean(name, known)
            problems.append(f"[{name}]: no such table; one of {', '.join(known)}{hint}")
    tables = {kind: _texts(kind, raw.get(kind, {}), problems) for kind in TRANSLATIONS}
    choices_of = _choices(schema)
    for kind, choices in choices_of.items():
        for source, word in tables.get(kind, {}).items():
            _check_word(f"{kind}.{source}", word, choices, problems)
    study = _texts("study", raw.get("study", {}), problems, lower=False)
    columns = {column.name: column for column in schema["studies"].columns}
    for name, cell in study.items():
        if name not in columns:
            hint = did_you_mean(name, columns)
            problems.append(f"study.{name}: studies.csv has no such column{hint}")
        elif columns[name].allowed:
            _check_word(f"study.{name}", cell, columns[name].allowed, problems)
    analyses = _analyses(raw.get("analysis", {}), choices_of, problems)
    if problems:
        raise UsageError(f"{path.name}:\n" + "\n".join(f"  {problem}" for problem in problems))
    return Words(
        {
            kind: {source.lower(): word for source, word in table.items()}
            for kind, table in tables.items()
        },
        study,
        analyses,
    )


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


def _analyses(
    raw: Any, choices_of: Mapping[str, Sequence[str]], problems: list[str]
) -> dict[str, dict[str, str]]:
    if not isinstance(raw, dict):
        problems.append('[analysis]: write one [analysis."1.1"] table for each analysis')
        return {}
    analyses: dict[str, dict[str, str]] = {}
    for number, table in raw.items():
        cells = _texts(f"analysis.{number}", table, problems)
        for key, word in cells.items():
            if key not in ANALYSIS_KEYS:
                hint = did_you_mean(key, ANALYSIS_KEYS)
                problems.append(f"analysis.{number}.{key}: no such key{hint}")
            elif key in choices_of:
                _check_word(f"analysis.{number}.{key}", word, choices_of[key], problems)
        analyses[number] = cells
    return analyses


def _check_word(where: str, word: str, choices: Sequence[str], problems: list[str]) -> None:
    if word not in choices:
        hint = did_you_mean(word, choices)
        problems.append(f"{where} is {word!r}; choose one of {', '.join(choices)}{hint}")
