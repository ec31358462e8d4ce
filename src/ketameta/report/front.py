"""The front page and the pages by question: what stands on them, from results and declarations.

Everything a reader meets first. Numbers come from the headline of each result; words from
``project.toml`` and ``analyses/text``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ketameta.analyses.claims import (
    CONTRADICTED,
    KNOWN_ELSEWHERE,
    SUPPORTED,
    UNCERTAIN,
    fact_words,
)
from ketameta.analyses.sentences import interval_words, nothing_found, written
from ketameta.evidence.project import NOT_STATED, Project, Question
from ketameta.formatting import format_count, format_number, plural
from ketameta.measures import Measure
from ketameta.plots.harms import Icons, People
from ketameta.report.prose import Parts, Results, sentences_in
from ketameta.report.tables import Cell, Table

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence.tables import Evidence

#: Folder of the pages by question, and the page that explains how everything was done.
FOLDER, METHODS = "questions", "methods.html"
#: People of an icon array.
OF = 100


# --- pages ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A page by question: its file, what it is called, its prose and the analyses it merges."""

    key: str
    title: str
    brief: str
    analyses: tuple[str, ...]
    text: Parts
    untested: bool = False

    @property
    def file(self) -> str:
        """Path below ``reports/``."""
        return f"{FOLDER}/{self.key}.html"

    def part(self, heading: str) -> list[str]:
        """Return the sentences under a heading of the prose; those before any for ``""``."""
        return [line for name, lines in self.text if name == heading for line in lines]

    @property
    def others(self) -> Parts:
        """The headed parts of the prose."""
        return [(name, lines) for name, lines in self.text if name]


def pages_of(
    results: Sequence[Mapping[str, Any]], project: Project, text: Callable[[str], Parts]
) -> list[Page]:
    """Return the pages of the report, in order; every analysis stands on exactly one.

    Analyses that no declared question names stand on a page of their section. Questions without a
    trial have a row in the table of the page that is declared ``untested``, or of one made for it.
    """
    left = {str(result["name"]): result for result in results}
    asked = [
        (item, tuple(name for name in item.analyses if left.pop(name, None) is not None))
        for item in project.question
    ]
    sections = {item.key: item for item in project.section}
    for key in dict.fromkeys(str(result["section"]) for result in left.values()):
        names = tuple(name for name, result in left.items() if result["section"] == key)
        declared = sections.get(key)
        title = declared.title if declared else project.label(key)
        asked.append((Question(key=key, title=title), names))
    pages = [
        Page(item.key, item.title, item.brief or item.title, names,
             text(item.text) if item.text else [("", [sections[item.key].intro])]
             if item.key in sections else [], item.untested)
        for item, names in asked if names or item.untested
    ]  # fmt: skip
    empty = any(result["k"] == 0 for result in results)
    if empty and not any(page.untested for page in pages):
        title = "What has not been tested, and what a next trial would need"
        pages.append(Page("untested", title, "Not tested", (), [], True))
    return pages


def places_of(pages: Sequence[Page], results: Results) -> dict[str, str]:
    """Return where each analysis stands: its page, or its row of the untested questions."""
    table = next((page.file for page in pages if page.untested), "")
    return {
        name: f"{table if results[name]['k'] == 0 else page.file}#{name}"
        for page in pages
        for name in page.analyses
    }


def untested_table(results: Sequence[Mapping[str, Any]]) -> Table | None:
    """Return every question without an eligible trial: asked, looked for, and what would answer."""
    rows = []
    for result in results:
        if result["k"]:
            continue
        plan = result.get("next_trial") or {}
        needs = plan.get("withheld") or " ".join(plan.get("sentences", [])[:2]) or NOT_STATED
        unused = {item["study_id"] for item in result["unused"]}
        found = "no study"
        if unused:
            found = f"{plural(len(unused), 'study', 'studies')}, no usable number"
        rows.append(
            (Cell(result["title"], result["question"], id=result["name"]), result["looked_for"],
             found, needs)
        )  # fmt: skip
    head = ("Asked", ("Looked for", "wide"), "Found", ("What a next trial would need", "wide"))
    caption = "Questions without an eligible trial"
    return Table.of(caption, head, rows) if rows else None


def first_pages(pages: Sequence[Page], results: Results) -> dict[str, str]:
    """Return, by section, the key of the first page that holds an analysis of it."""
    first: dict[str, str] = {}
    for page in pages:
        for name in page.analyses:
            first.setdefault(str(results[name]["section"]), page.key)
    return first


# --- harms known elsewhere ------------------------------------------------------------------------


def fact_table(evidence: Evidence, harms: Sequence[str] = ()) -> Table | None:
    """Return what sources without a comparison say of harms; of all harms where none is named."""
    rows = [
        (
            Cell(row["harm"].replace("_", " "), row["how"]),
            fact_words(row),
            row["intervention"],
            Cell(
                row["citation"], f"{row['locator']}. {row['note']}".strip(" ."), row["source_url"]
            ),
        )
        for row in evidence.rows("harm_facts")
        if not harms or row["harm"] in harms
    ]
    head = ("Harm", ("What the source says, of whom", "wide"), "What was given",
            ("Source", "wide"))  # fmt: skip
    caption = "Known from labels and other designs; not countable here"
    return Table.of(caption, head, rows) if rows else None


def facts_by_page(evidence: Evidence) -> dict[str, Table | None]:
    """Return the facts about harms by the key of the page that shows them."""
    found: dict[str, list[str]] = {}
    for item in evidence.project.harms.known:
        if item.question and item.facts:
            found.setdefault(item.question, []).extend(item.facts)
    return {key: fact_table(evidence, names) for key, names in found.items()}


# --- the front page -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """A harm in people of a hundred, without and with the treatment, and what that means."""

    people: Icons
    href: str
    setting: str


@dataclass(frozen=True, slots=True)
class CardView:
    """A card of the front page; ``known`` are harms that cannot be counted here."""

    kind: str
    title: str
    sentences: tuple[str, ...]
    icons: tuple[Counted, ...]
    known: tuple[str, ...]
    href: str


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """A public claim in one line, its verdict, the kind of its chip, and where to read more."""

    id: str
    claim: str
    verdict: str
    chip: str
    href: str


def icons_of(result: Mapping[str, Any], words: str) -> Counted | None:
    """Return the people of a counted harm; ``None`` without an absolute effect."""
    absolute = result["headline"]["absolute"]
    if absolute is None:
        return None
    one, two = (People(label, OF / 1000 * absolute[label]) for label in ("control", "treated"))
    return Counted(Icons(words, one, two, OF), str(result["name"]), compared_words(result))


def compared_words(result: Mapping[str, Any]) -> str:
    """Return what control means in a counted result, what all took, and on which day it counted."""
    led = result["headline"]
    found = {row["time_days"] for group in result["groups"] for row in group["rows"]}
    known = found and None not in found
    days = [format_number(day, 0) for day in (min(found), max(found))] if known else []
    background = f"; taken besides: {led['background']}" if led["background"] else ""
    when = " to ".join(dict.fromkeys(days))
    return f"Control: {led['comparator']}{background}." + (
        f" Counted by day {when}." if when else ""
    )


def cards_of(project: Project, results: Results, text: Callable[[str], Parts]) -> list[CardView]:
    """Return the cards of the front page, in order."""
    files = {item.key: f"{FOLDER}/{item.key}.html" for item in project.question}
    cards = []
    for card in project.front.card:
        drawn = [icons_of(results[i.analysis], i.words) for i in card.icon if i.analysis in results]
        known = [
            item.words
            for item in project.harms.known
            if item.listed
            and card.kind == "harm"
            and not any(results[name]["k"] for name in item.analyses if name in results)
        ]
        cards.append(
            CardView(
                card.kind,
                card.title,
                tuple(sentences_in(text(card.text))) if card.text else (),
                tuple(item for item in drawn if item is not None),
                tuple(known),
                files.get(card.question, ""),
            )
        )
    return cards


_CHIPS: Mapping[str, str] = {
    SUPPORTED: "yes", CONTRADICTED: "no", UNCERTAIN: "open", KNOWN_ELSEWHERE: "known",
}  # fmt: skip


def claim_lines(claims: Sequence[Mapping[str, Any]]) -> list[ClaimLine]:
    """Return each claim in one line, in the order of the ledger; it leads to how it is judged."""
    return [
        ClaimLine(row["id"], row["claim"], row["verdict"], _CHIPS.get(row["verdict"], "none"),
                  f"{METHODS}#claim-{row['id']}")
        for row in claims
    ]  # fmt: skip


def finding_table(project: Project, results: Results) -> Table:
    """Return the clinician's table: at most ten questions, each with all a decision needs.

    Every effect has its direction, unit, comparator and background; the certainty its reasons.
    """
    rows = []
    for item in project.front.finding:
        result = results.get(item.analysis)
        if result is None:
            continue
        people = people_words(result)
        rows.append(
            (
                Cell(item.words, setting_words(result), str(result["name"])),
                Cell(_sources(result), f"{people} people") if result["k"] else "none",
                Cell(*effect_words(result)),
                absolute_words(result),
                Cell(*certainty_words(result)),
            )
        )
    head = (
        "Question", "Evidence", ("Effect (interval)", "wide"),
        ("In absolute numbers", "wide"), ("Certainty", "wide"),
    )  # fmt: skip
    return Table.of("What was found, for clinicians", head, rows)


def _sources(result: Mapping[str, Any]) -> str:
    """Return how many trials there are; a pooled report is no trial."""
    return str(result["headline"].get("sources") or plural(result["k"], "trial"))


def setting_words(result: Mapping[str, Any]) -> str:
    """Return who was studied, against what, and what both arms took."""
    led = result["headline"]
    parts = [
        led["population"],
        f"against {led['comparator']}" if led["comparator"] and result["k"] else "",
        f"background: {led['background']}" if led["background"] else "",
    ]
    return "; ".join(part for part in parts if part)


def effect_words(result: Mapping[str, Any]) -> tuple[str, str]:
    """Return an effect in the reader's unit with its direction, and on which side it lies.

    Differences are said as lower or higher and never with a bare minus; ratios as times as many.
    """
    led = result["headline"]
    if not result["k"]:
        kept_out = nothing_found(result.get("excluded", ()))
        if not kept_out.startswith("No"):
            return kept_out.rstrip("."), f"Looked for: {result['looked_for']}."
        return "no eligible trial found", f"Looked for: {result['looked_for']}."
    if led["estimate"] is None or None in (led["ci_low"], led["ci_high"]):
        return str(led["rule"]["sentence"]), str(led["direction"])
    measure = Measure(led["measure"])
    if measure.is_ratio:
        value = written(led["estimate"], measure)
        interval = interval_words(led["ci_low"], led["ci_high"], measure)
        said = f"{led['effect']} {value} ({interval})"
    else:
        # Standardised differences are turned so that below nought is better.
        standard = measure in (Measure.SMD, Measure.SMCR)
        unit, sides = (
            ("SD", ("better", "worse")) if standard else (led["unit"], ("lower", "higher"))
        )
        size, toward = _sided(led["estimate"], sides)
        value = f"{size} {unit} {toward}"
        (low, side), (high, other) = (_sided(led[end], sides) for end in ("ci_low", "ci_high"))
        first, last = (low, high) if led["ci_low"] >= 0 or side != other else (high, low)
        ends = f"{first} to {last} {side}" if side == other else f"{low} {side} to {high} {other}"
        said = f"{value} ({ends})"
    return said, str(led["direction"]).replace("lies on the side that ", "")


def _sided(value: float, sides: tuple[str, str]) -> tuple[str, str]:
    return format_number(abs(value)), sides[value >= 0]


def all_findings(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return every main result that has a trial, from the summary of findings."""
    head = (
        "Question", "Evidence", ("Trials", "n"), ("People", "n"), ("Effect (interval)", "wide"),
        ("In absolute numbers", "wide"), "Certainty",
    )  # fmt: skip
    made = [
        (Cell(row["title"], href=row["analysis"]), row["directness"], str(row["k"]), row["people"],
         Cell(row["effect"], row["direction"]), row["absolute"], row["certainty"])
        for row in rows
        if row["k"]
    ]  # fmt: skip
    return Table.of("Every result with a trial", head, made)


def people_words(result: Mapping[str, Any]) -> str:
    """Return how many people took part, as far as it is printed."""
    if not result["k"]:
        return "none"
    if not result["n_participants"]:
        return "not printed"
    least = "at least " if result["n_trials_without_size"] else ""
    return f"{least}{format_count(result['n_participants'])}"


def absolute_words(result: Mapping[str, Any]) -> str:
    """Return the absolute effect of a result, or why there is none."""
    led = result["headline"]
    if led["absolute"] is None:
        return "no count: a score was compared" if result["k"] else ""
    found = led["absolute"]
    numbers = [
        format_number(found[name], 0 if abs(found[name]) >= 10 else 1)
        for name in ("control", "treated", "treated_low", "treated_high")
    ]
    control, treated, low, high = numbers
    return f"of 1,000 people: {control} on control, {treated} on treatment ({low} to {high})"


def certainty_words(result: Mapping[str, Any]) -> tuple[str, str]:
    """Return the rating and, domain by domain, what lowers it; a panel's judgement goes first."""
    found = (result.get("certainty") or {}).get("assessments") or []
    if not found:
        return "nothing to rate" if not result["k"] else "not rated", ""
    lowered = [
        f"{domain['label'].lower()}: {judged['reason']}"
        for domain in found[0]["domains"]
        if (judged := domain["judgement"] or domain["by_rule"])["level"] not in ("no concern", None)
    ]
    rating = found[0]["rating"]
    silent = [
        f"{domain['label'].lower()} not judged"
        for domain in found[0]["domains"]
        if domain["judgement"] is None and domain["by_rule"]["level"] is None
    ]
    whose = "provisional, by rule" if rating["provisional"] else "as judged"
    return f"{rating['level']} ({whose})", "; ".join([*lowered, *silent])


# --- the evidence map -----------------------------------------------------------------------------

NONE, UNUSABLE, OUTSIDE = "none found", "found, no usable number", "out of scope"


def map_table(found: Mapping[str, Any]) -> Table:
    """Return the evidence map as a table: trials and people, or one of three states."""
    by_place = {(cell["row"], cell["column"]): cell for cell in found["cells"]}
    rows = [
        (row, *(_map_cell(by_place[row, column]) for column in found["columns"]))
        for row in found["rows"]
    ]
    return Table.of("Evidence map", ("Measured", *found["columns"]), rows)


def _map_cell(cell: Mapping[str, Any]) -> Cell:
    if cell["trials"]:
        people = f"{format_count(cell['participants'])} people" if cell["participants"] else ""
        return Cell(plural(cell["trials"], "trial"), people, mark="some")
    marks = {NONE: "zero", UNUSABLE: "gap", OUTSIDE: "out"}
    return Cell(cell["state"], mark=marks[cell["state"]])


def map_cells(evidence: Evidence) -> dict[str, Any]:
    """Return the map: row and column labels and one cell for each pair, empty ones included.

    Returns
    -------
    dict
        ``rows``, ``columns`` (labels) and ``cells`` (``row, column, trials, participants, direct,
        state``). A trial counts once per cell; participants are those randomised, where printed.
        A cell is direct when the people of the question were studied. ``state`` says of an empty
        cell whether nothing was found, whether a study was found that prints no usable number, or
        whether such studies were not looked for.
    """
    import numpy as np

    measured, project = _measured(evidence), evidence.project
    silent = _silent(evidence)
    shown, asked = project.evidence_map, {*project.directness.diagnosis}
    named = [word for row in shown.row for word in row.diagnosis]

    def inside(rows: pd.DataFrame, row: Any, column: Any) -> pd.DataFrame:
        known = rows["diagnosis"].isin(row.diagnosis or named)
        people = known if row.diagnosis else ~known
        given = rows["intervention"].isin(column.intervention) | rows["drug_class"].isin(
            column.drug_class
        )
        return rows[people & rows["domain"].isin(row.domain) & given]

    cells = []
    for row in shown.row:
        for column in shown.column:
            here = inside(measured, row, column).drop_duplicates("study_id")
            here = _without_companions(here)
            state = ""
            if here.empty:
                sought = (not column.sought or {*row.diagnosis} & {*column.sought}) and (
                    not column.sought_domain or {*row.domain} & {*column.sought_domain}
                )
                found = not inside(silent, row, column).empty
                state = UNUSABLE if found else NONE if sought else OUTSIDE
            cells.append(
                {
                    "row": row.label,
                    "column": column.label,
                    "trials": len(here),
                    "participants": int(np.nansum(here["n_randomised"].to_numpy(float))),
                    "direct": bool(row.diagnosis) and asked.issuperset(row.diagnosis),
                    "state": state,
                }
            )
    return {
        "rows": [row.label for row in shown.row],
        "columns": [column.label for column in shown.column],
        "cells": cells,
    }


def related_trials(evidence: Evidence, domain: str) -> int:
    """Return how many studies of the map gave a related treatment to the people asked about."""
    measured, directness = _measured(evidence), evidence.project.directness
    here = measured[
        measured["diagnosis"].isin(directness.diagnosis)
        & measured["intervention"].isin(directness.related)
        & (measured["domain"] == domain)
    ]
    return len(_without_companions(here.drop_duplicates("study_id")))


def _without_companions(here: pd.DataFrame) -> pd.DataFrame:
    """Leave out reports whose people another report in the same cell counts already."""
    if here.empty:
        return here
    overlaps = {
        study: {part for part in text.split(";") if part}
        for study, text in zip(here["study_id"], here["overlaps_with"], strict=True)
    }
    kept: set[str] = set()
    for study in sorted(overlaps, key=lambda name: (bool(overlaps[name]), name)):
        if not (overlaps[study] & kept or any(study in overlaps[other] for other in kept)):
            kept.add(study)
    return here[here["study_id"].isin(list(kept))]


def _measured(evidence: Evidence) -> pd.DataFrame:
    """Return one row per study, treatment arm and outcome with any extracted number.

    Reports that pool other trials are left out, so that nobody is counted twice.
    """
    import pandas as pd

    keys = ["study_id", "arm_id", "outcome"]
    rows = pd.concat([evidence.outcomes[keys], evidence.contrasts[keys]]).drop_duplicates()
    return rows.merge(_treated(evidence)).merge(evidence.outcome_words[["outcome", "domain"]])


def _treated(evidence: Evidence) -> pd.DataFrame:
    """Return one row per treatment arm of every study that is no pool."""
    arms = evidence.arms[evidence.arms["role"] == "treatment"]
    whole = evidence.studies[evidence.studies["design"] != "pooled_rcts"]
    return arms[["study_id", "arm_id", "intervention", "drug_class"]].merge(
        whole[["study_id", "diagnosis", "n_randomised", "overlaps_with"]]
    )


def _silent(evidence: Evidence) -> pd.DataFrame:
    """Return studies of which a record of an outcome was left out for want of a usable number."""
    words = evidence.outcome_words[["outcome", "domain"]]
    out = evidence.exclusions[["study", "outcome"]].rename(columns={"study": "study_id"})
    return out.merge(words).merge(_treated(evidence))


# --- who, and what to do about an error -----------------------------------------------------------


def who_made_it(project: Project) -> list[tuple[str, str]]:
    """Return authors, funding, conflicts, protocol and contact, as far as they are known."""
    about = project.project
    return [
        ("Authors", about.authors),
        ("Funding", about.funding),
        ("Conflicts of interest", about.conflicts),
        ("Protocol", about.protocol),
        ("Contact", about.contact),
    ]


def error_link(project: Project, what: str, place: str, stamp: str) -> str:
    """Return the address of a prepared issue that names a row and its hash.

    Empty where the project states no repository.
    """
    home = project.project.repository.rstrip("/")
    if not home.startswith("https://"):
        return ""
    body = f"Where: {place}\nHash: {stamp}\n\nWhat is wrong, and what the source says:\n"
    return f"{home}/issues/new?{urlencode({'title': f'Error in {what}', 'body': body})}"
