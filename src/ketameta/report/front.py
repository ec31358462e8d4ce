"""The front page and the pages by question: what stands on them, from results and declarations.

Everything a reader meets first. Numbers come from the headline of each result; words from
``project.toml`` and ``analyses/text``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from ketameta.analyses.claims import (
    CONTRADICTED,
    COUNTED_ELSEWHERE,
    KNOWN_ELSEWHERE,
    SUPPORTED,
    UNCERTAIN,
    Judged,
)
from ketameta.analyses.policy import per_thousand
from ketameta.analyses.result import AnalysisResult, Finding
from ketameta.analyses.sentences import found_words, interval_words, people_words, written
from ketameta.evidence.project import NOT_STATED, Project, Question
from ketameta.formatting import format_number, trials_number
from ketameta.measures import Measure
from ketameta.plots.harms import Icons, People
from ketameta.report.evidence_tables import EXCLUDES
from ketameta.report.prose import Parts, asked_words, given_words, sentences_in
from ketameta.report.provenance import rows_of
from ketameta.report.tables import Cell, Table

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
    results: Sequence[AnalysisResult], project: Project, text: Callable[[str], Parts]
) -> list[Page]:
    """Return the pages of the report, in order; every analysis stands on exactly one.

    Analyses that no declared question names stand on a page of their section. Questions without a
    trial have a row in the table of the page that is declared ``untested``, or of one made for it.
    """
    left = {result["name"]: result for result in results}
    asked = [
        (item, tuple(name for name in item.analyses if left.pop(name, None) is not None))
        for item in project.question
    ]
    sections = {item.key: item for item in project.section}
    for key in dict.fromkeys(result["section"] for result in left.values()):
        names = tuple(name for name, result in left.items() if result["section"] == key)
        asked.append((Question(key=key, title=project.section_title(key)), names))
    pages = [
        Page(item.key, item.title, item.brief or item.title, names,
             text(item.text) if item.text else [("", [sections[item.key].intro])]
             if item.key in sections else [], item.untested)
        for item, names in asked if names or item.untested
    ]  # fmt: skip
    empty = any(result["k"] == 0 for result in results)
    if empty and not any(page.untested for page in pages):
        title = "What is still open, and what a next trial would need"
        pages.append(Page("untested", title, "Still open", (), [], True))
    return pages


def places_of(pages: Sequence[Page], results: Mapping[str, AnalysisResult]) -> dict[str, str]:
    """Return where each analysis stands: its page, or its row of the untested questions."""
    table = next((page.file for page in pages if page.untested), "")
    return {
        name: f"{table if results[name]['k'] == 0 else page.file}#{name}"
        for page in pages
        for name in page.analyses
    }


def untested_tables(results: Sequence[AnalysisResult], project: Project) -> list[Table]:
    """Return every question without an eligible trial: asked, looked for, and what would answer.

    A table for each of: no study, known in another way, and studies without a usable number.
    """
    none, known = "No study found", KNOWN_ELSEWHERE.capitalize()
    unusable = "Studied, but no number that can be used here"
    lists: dict[str, list[Sequence[str | Cell]]] = {none: [], known: [], unusable: []}
    for result in results:
        if result["k"]:
            continue
        plan = result.get("next_trial")
        told = plan["withheld"] or " ".join(plan["sentences"][:2]) if plan else ""
        found, names = found_words(result)
        place = unusable if names else none
        if not names and project.harms.tells_of(result["name"]):
            found, place = KNOWN_ELSEWHERE, known
        lists[place].append(
            (Cell(result["title"], result["question"], id=result["name"]), result["looked_for"],
             Cell(found, names), told or NOT_STATED)
        )  # fmt: skip
    head = ("Asked", ("Looked for", "wide"), "Found", ("What a next trial would need", "wide"))
    return [Table.of(caption, head, rows) for caption, rows in lists.items() if rows]


# --- the front page -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """A harm in people of a hundred without and with the treatment, there with its interval."""

    people: Icons
    span: str
    href: str


@dataclass(frozen=True, slots=True)
class CardView:
    """A card of the front page; ``known`` are harms that cannot be counted here."""

    kind: str
    title: str
    sentences: tuple[str, ...]
    icons: tuple[Counted, ...]
    setting: str
    known: tuple[str, ...]
    href: str


def icons_of(result: AnalysisResult, words: str) -> Counted | None:
    """Return the people of a counted harm; ``None`` without an absolute effect."""
    absolute = result["headline"]["absolute"]
    if absolute is None:
        return None
    control, treated = OF / 1000 * absolute["control"], OF / 1000 * absolute["treated"]
    low, high = OF / 1000 * absolute["treated_low"], OF / 1000 * absolute["treated_high"]
    people = Icons(words, People("control", control), People("treated", treated), OF)
    return Counted(people, f"{low:.0f} to {high:.0f}", result["name"])


def compared_words(results: Sequence[AnalysisResult]) -> str:
    """Return what control means in counted results, what all took, and until when they counted."""
    if not results:
        return ""

    led = [result["headline"] for result in results]
    rows = [row for result in results for row in rows_of(result)]
    days = [row["time_days"] for row in rows if row["time_days"] is not None]
    each = [part for one in led for part in one["comparator"].split(" or ") if part]
    control = [
        x if each.count(x) == len(led) else f"{x} in some trials" for x in dict.fromkeys(each)
    ]
    said = [f"Control: {', or '.join(control)}."]
    given = dict.fromkeys(part for one in led for part in one["background"].split("; ") if part)
    # "new standard of care" is said by "standard of care".
    if background := [x for x in given if not any(x != y and x.endswith(y) for y in given)]:
        said.append(f"In at least some trials both groups also got: {', or '.join(background)}.")
    if days:
        said.append(f"Counted for up to {format_number(max(days), 0)} days.")
    return " ".join(said)


def cards_of(
    project: Project, results: Mapping[str, AnalysisResult], text: Callable[[str], Parts]
) -> list[CardView]:
    """Return the cards of the front page, in order."""
    files = {item.key: f"{FOLDER}/{item.key}.html" for item in project.question}
    cards = []
    for card in project.front.card:
        counted = [(results[i.analysis], i.words) for i in card.icon if i.analysis in results]
        drawn = [(result, item) for result, words in counted if (item := icons_of(result, words))]
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
                tuple(item for _, item in drawn),
                compared_words([result for result, _ in drawn]),
                tuple(known),
                files.get(card.question, ""),
            )
        )
    return cards


_CHIPS: Mapping[str, str] = {
    SUPPORTED: "yes", CONTRADICTED: "no", UNCERTAIN: "open", KNOWN_ELSEWHERE: "known",
    COUNTED_ELSEWHERE: "known",
}  # fmt: skip


def with_their_rules(
    claims: Iterable[Judged],
    changed: Iterable[Mapping[str, str]],
    results: Mapping[str, AnalysisResult],
) -> list[Judged]:
    """Return the claims; what only rules set after the results were known support, says so.

    ``changed`` are the headlines before and after these rules.
    """
    late = {row["analysis"] for row in changed if row["change"] == EXCLUDES and not row["group"]}
    found = []
    for claim in claims:
        names = {item["name"] for item in claim["analyses"]}
        clear = {it for it in names if results[it]["headline"]["side"] in ("lower", "higher")}
        if claim["verdict"] == SUPPORTED and clear and clear <= late:
            said = f"{SUPPORTED}, by rules set after the results were known"
            claim = {**claim, "said": claim["said"].replace(SUPPORTED, said, 1)}
        found.append(claim)
    return found


def claim_lines(claims: Sequence[Judged]) -> list[Cell]:
    """Return each claim with its verdict as a chip; it leads to how it is judged."""
    return [
        Cell(f"“{row['claim']}”", row["said"], f"{METHODS}#claim-{row['id']}", row["id"],
             _CHIPS.get(row["verdict"], "none"))
        for row in claims
    ]  # fmt: skip


def finding_table(project: Project, results: Mapping[str, AnalysisResult]) -> Table:
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
                Cell(asked_words(item.words, result), setting_words(result), str(result["name"])),
                Cell(result["headline"]["sources"], f"{people} people") if result["k"] else "none",
                Cell(*effect_words(result)),
                absolute_words(result),
                Cell(*certainty_words(result)),
            )
        )
    head = (
        "Question", "Evidence", ("Effect (interval)", "wide"), "In absolute numbers",
        ("Certainty", "wide"),
    )  # fmt: skip
    return Table.of("What was found, for clinicians", head, rows)


def setting_words(result: AnalysisResult) -> str:
    """Return who was studied, against what, and what both arms took."""
    led = result["headline"]
    parts = [
        led["population"],
        f"against {led['comparator']}" if led["comparator"] and result["k"] else "",
        f"background: {led['background']}" if led["background"] else "",
    ]
    return "; ".join(part for part in parts if part)


def effect_words(result: AnalysisResult) -> tuple[str, str]:
    """Return an effect in the reader's unit with its direction, and on which side it lies.

    Differences are said as lower or higher and never with a bare minus; ratios as times as many.
    """
    led = result["headline"]
    if not result["k"]:
        found, names = found_words(result)
        said = f"no eligible trial found{names and f'; {found}'}"
        return said, f"Looked for: {result['looked_for']}."
    estimate, lower, upper = led["estimate"], led["ci_low"], led["ci_high"]
    if estimate is None or lower is None or upper is None:
        return led["rule"]["sentence"], led["direction"]
    measure = Measure(led["measure"])
    # Standardised differences are turned so that below nought is better.
    standard = measure in (Measure.SMD, Measure.SMCR)
    unit, sides = ("SD", ("better", "worse")) if standard else (led["unit"], ("lower", "higher"))

    def ends(low: float, high: float) -> str:
        if measure.is_ratio:
            return interval_words(low, high, measure)
        (first, side), (last, other) = _sided(low, sides), _sided(high, sides)
        if side != other:
            return f"{first} {side} to {last} {other}"
        return f"{first} to {last} {side}" if low >= 0 else f"{last} to {first} {side}"

    size, toward = _sided(estimate, sides)
    said = f"{led['effect']} {written(estimate, measure)}"
    said = f"{said if measure.is_ratio else f'{size} {unit} {toward}'} ({ends(lower, upper)})"
    lies = led["direction"].replace("lies on the side that ", "")
    if led["pi_low"] is not None and led["pi_high"] is not None:
        lies += f"; prediction interval {ends(led['pi_low'], led['pi_high'])}"
    return said, lies


def _sided(value: float, sides: tuple[str, str]) -> tuple[str, str]:
    return format_number(abs(value)), sides[value >= 0]


def all_findings(rows: Sequence[Finding], results: Mapping[str, AnalysisResult]) -> Table:
    """Return every result with trials and an estimate, from the summary of findings."""
    heading = "Trials + pooled reports" if any(row["pools"] for row in rows) else "Trials"
    head = (
        "Question", "Evidence", (heading, "n"), ("People", "n"), ("Effect (interval)", "wide"),
        ("In absolute numbers", "wide"), "Certainty",
    )  # fmt: skip
    made = [
        (Cell(row["title"], given_words(results[row["analysis"]], title=row["title"]),
              row["analysis"]), row["directness"],
         trials_number(row["k"], row["pools"]), row["people"],
         Cell(row["effect"], row["direction"]), row["absolute"], row["certainty"])
        for row in rows
        if row["k"]
    ]  # fmt: skip
    return Table.of("Every result with one estimate", head, made)


def several_words(results: Sequence[AnalysisResult], listed: Table) -> str:
    """Return which results have trials and no single estimate: they stand in no table of those."""
    known = {row[0].id for row in listed.rows}
    titles = [result["title"] for result in results if result["k"] and result["name"] not in known]
    listed_not = "Not in this table, as they have more than one estimate, or a curve:"
    return f"{listed_not} {'; '.join(titles)}." if titles else ""


def absolute_words(result: AnalysisResult) -> str:
    """Return the absolute effect of a result, or why there is none."""
    found = result["headline"]["absolute"]
    if found is None:
        return "no count: a score was compared" if result["k"] else ""
    control, treated = per_thousand(found["control"]), per_thousand(found["treated"])
    low, high = per_thousand(found["treated_low"]), per_thousand(found["treated_high"])
    return f"of 1,000 people: {control} on control, {treated} on treatment ({low} to {high})"


def certainty_words(result: AnalysisResult) -> tuple[str, str]:
    """Return the rating and, domain by domain, what lowers it; a panel's judgement goes first."""
    certainty = result.get("certainty")
    found = certainty["assessments"] if certainty else []
    if not found:
        return "nothing to rate" if not result["k"] else "not rated", ""
    domains = [
        (domain["label"].lower(), domain["judgement"] or domain["by_rule"])
        for domain in found[0]["domains"]
    ]
    lowered = [f"{label}: {one['reason']}" for label, one in domains
               if one["level"] not in ("no concern", None)]  # fmt: skip
    silent = [f"{label} not judged" for label, one in domains if one["level"] is None]
    rating = found[0]["rating"]
    whose = "provisional, by rule" if rating["provisional"] else "as judged"
    return f"{rating['level']} ({whose})", "; ".join([*lowered, *silent])


# --- who, and what to do about an error -----------------------------------------------------------


def who_made_it(project: Project) -> list[tuple[str, str]]:
    """Return authors, funding, conflicts, protocol and contact, as far as they are known."""
    labels = {"conflicts": "Conflicts of interest"}
    named = ("authors", "funding", "conflicts", "protocol", "contact")
    return [(labels.get(name, name.capitalize()), getattr(project.project, name)) for name in named]


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """A prepared report of an error: a text to copy, and an issue where a repository is stated."""

    title: str
    body: str
    repository: str
    contact: str

    @property
    def text(self) -> str:
        """Everything that the report has to say, to be copied."""
        return f"{self.title}\n{self.body}"

    @property
    def link(self) -> str:
        """Address of the prepared issue; empty where the project states no repository."""
        given = urlencode({"title": self.title, "body": self.body})
        return f"{self.repository.rstrip('/')}/issues/new?{given}" if self.repository else ""


def error_report(project: Project, what: str, place: str, stamp: str) -> ErrorReport:
    """Return the report of an error that names a row, where it stands and its hash."""
    body = f"Where: {place}\nHash: {stamp}\nWhat is wrong, and what the source says:\n"
    contact = project.project.contact
    return ErrorReport(
        f"Error in {what}",
        body,
        project.project.repository,
        "" if contact == NOT_STATED else contact,
    )
