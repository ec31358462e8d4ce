"""The toolkit knows no topic: no word that a project declares stands in its source."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from helpers import PROJECT, ROOT

SOURCE = ROOT / "src" / "ketameta"
#: Words of any trial: of its arms, people, outcomes and reports, whatever it is about.
GENERIC = frozenset(
    {
        *("placebo", "active_placebo", "usual_care", "no_treatment", "waiting_list", "other"),
        *("healthy", "surgical", "adults", "children", "mixed", "response", "harm", "functioning"),
        *("vital_sign", "other_symptoms", "headache", "nausea", "vomiting", "dizziness", "count"),
        *("remission", "sedation", "relapse", "weight", "pain", "sleep", "time", "serious"),
        # Memory of the computer; a kind of outcome that published priors are given for.
        *("working_memory", "infection"),
    }
)
#: Where the words of the data stand.
_COLUMNS = {
    "arms.csv": "intervention",
    "instruments.csv": "instrument",
    "outcome_words.csv": "outcome",
}
#: Longest of the words that also mean something in statistics; they are
#: looked for in quotes alone.
_COMMON = 4


def declared() -> set[str]:
    """Return the diagnoses, drugs, instruments, outcomes and domains of project and data."""
    words = PROJECT.words
    found = {*words.diagnosis, *words.drug_class, *words.outcome_domain, *words.acronym}
    found |= {item.name for item in PROJECT.moderator}
    found |= {word for column in PROJECT.alias.values() for word in column}
    for path in (ROOT / "data").rglob("*.csv"):
        if column := _COLUMNS.get(path.name):
            with path.open(encoding="utf-8-sig", newline="") as file:
                found |= {row.get(column) or "" for row in csv.DictReader(file)}
    return {word for word in found if word} - GENERIC


def places_of(word: str) -> list[str]:
    """Return the lines of the source that say a word."""
    forms = {word, word.replace("_", " ")}
    if len(word) <= _COMMON:
        pattern = re.compile(rf"[\"'`]{re.escape(word)}[\"'`]", re.IGNORECASE)
    else:
        joined = "|".join(re.escape(form) for form in sorted(forms))
        pattern = re.compile(rf"(?<![a-z])(?:{joined})(?![a-z])", re.IGNORECASE)
    return [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path, lines in LINES.items()
        if any(form.lower() in LOWERED[path] for form in forms)
        for number, line in enumerate(lines, start=1)
        if pattern.search(line)
    ]


LINES: dict[Path, list[str]] = {
    path: path.read_text(encoding="utf-8").splitlines()
    for path in sorted(SOURCE.rglob("*"))
    if path.suffix in {".py", ".pyi", ".html", ".j2", ".typ", ".md", ".css", ".js", ".toml"}
}
LOWERED = {path: "\n".join(lines).lower() for path, lines in LINES.items()}


def test_no_word_of_the_topic_stands_in_the_toolkit() -> None:
    found = [place for word in sorted(declared()) for place in places_of(word)]
    assert found == [], "\n".join(found)


def test_the_search_for_words_of_the_topic_can_find_them() -> None:
    assert {"adhd", "ketamine", "memantine", "major_depression"} <= declared()
    assert any("ketameta" in line for lines in LINES.values() for line in lines)
    # A word that does stand in the source is found, whatever its case.
    assert places_of("PLACEBO")
