"""Everything the page may say, by name: results, evidence and words derived from them.

The template chooses and orders; it computes nothing and types no number.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypedDict

from ketameta.analyses.certainty import RATINGS, summary_of_findings
from ketameta.analyses.claims import UNDER_WAY, UNTOLD, Judged
from ketameta.analyses.credibility import PERMUTED_BELOW, moderator_table
from ketameta.analyses.result import AnalysisResult
from ketameta.effects.conversions.arms import ROUTES, Route
from ketameta.evidence.checks.search import SearchRecord, flow_of, read_search, record_flow
from ketameta.evidence.findings import decode
from ketameta.evidence.project import NOT_STATED, GlossaryTerm
from ketameta.evidence.tables import Row, is_link
from ketameta.formatting import plural
from ketameta.paths import Keep, ProjectPaths, made_anew
from ketameta.plots.maps import EvidenceMap
from ketameta.report import front, prose
from ketameta.report.analysis_view import AnalysisView, Figure, analysis_view, plot_view
from ketameta.report.evidence_tables import (
    before_and_after,
    fact_table,
    facts_by_page,
    map_cells,
    map_table,
    related_trials,
    tables_of_evidence,
)
from ketameta.report.manifest import (
    Changes,
    changes_since_release,
    file_hash,
    inputs_hash,
    results_text,
    text_hash,
)
from ketameta.report.plots import Plot, harms_summary, risk_of_bias
from ketameta.report.provenance import Provenance, Study, numbered_studies, rows_of, studies_of
from ketameta.report.tables import Cell, Listed, Table, repeat_reading

if TYPE_CHECKING:
    from ketameta.evidence.checks.run import CheckReport
    from ketameta.evidence.derive import EffectTable
    from ketameta.evidence.pairing import Assumptions
    from ketameta.evidence.tables import Evidence


def evidence_map(found: EvidenceMap | None) -> Plot | None:
    """Return the map of :func:`map_cells` as a plot, where the project declares one."""
    return None if found is None else Plot("evidence_map", "evidence_map", found)


# --- the search -----------------------------------------------------------------------------------


class Living(TypedDict):
    """The day the search was closed and the day it is due again; empty where not recorded."""

    searched: str
    due: str


#: Statuses of a trial that ended without being completed.
_STOPPED = ("terminated", "withdrawn", "no_longer_available")
_STATES = (
    *("planned or running", "completed, with results", "completed without results"),
    *("withdrawn, stopped or no longer listed", "status unknown"),
)


def registry_counts(registry: Sequence[Row]) -> list[tuple[str, int]]:
    """Return how many entries of ``data/registry.csv`` are in each state, zeros included."""
    found = [_trial_state(row) for row in registry]
    return [(state, found.count(state)) for state in _STATES]


def _trial_state(row: Row) -> str:
    under_way, with_results, without, stopped, unknown = _STATES
    status = row["status"]
    for statuses, state in ((UNDER_WAY, under_way), (UNTOLD, unknown), (_STOPPED, stopped)):
        if status in statuses:
            return state
    posted = row["results_posted"] not in ("", "no")
    return with_results if posted or row["study_id"] or status == "published" else without


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the supplement, with its figures and analyses."""

    key: str
    title: str
    intro: str
    figures: list[Figure]
    analyses: list[AnalysisView]


class Context(Listed):
    """Everything that pages, PDFs and tables may say, by name."""

    bias_figure: Figure | None
    map_figure: Figure | None
    pages: list[front.Page]
    places: dict[str, str]
    views: dict[str, AnalysisView]
    page_figures: dict[str, list[Figure]]
    untested: list[Table]
    page_facts: dict[str, Table | None]
    all_facts: Table | None
    answer: prose.Parts
    cards: list[front.CardView]
    ask: prose.Parts
    all_findings: Table
    several: str
    clinicians: Table
    claim_lines: list[Cell]
    map_table: Table | None
    who: list[tuple[str, str]]
    stamp: str
    results_stamp: str
    results_text: str
    versions: Mapping[str, str]
    sections: list[Section]
    abstract: prose.Parts
    changes: Changes
    certainty_rated: bool
    permuted_below: int
    counts: prose.Totals
    registry_counts: list[tuple[str, int]]
    search: SearchRecord
    living: Living
    limitations: list[str]
    glossary: Sequence[GlossaryTerm]
    citation: str
    methods: list[str]
    headline: AnalysisResult | None
    title: str
    report_name: str
    lead: str
    no_risk_of_bias: str
    check_words: str
    listed: dict[str, Table | None]


def report_context(
    paths: ProjectPaths,
    evidence: Evidence,
    results: Sequence[AnalysisResult],
    checked: CheckReport,
    claims: Sequence[Judged],
    versions: Mapping[str, str],
    derived: Callable[[Assumptions], EffectTable] | None = None,
    keep: Keep = made_anew,
    keep_of: Callable[[Iterable[str]], Keep] = lambda _: made_anew,
) -> Context:
    """Return the context of the page.

    Parameters
    ----------
    paths : ProjectPaths
    evidence : Evidence
        Checked and corrected.
    results : sequence of AnalysisResult
        Contents of ``reports/results/*.json``, in report order.
    checked : CheckReport
        Corrections that were applied, and batches that were read twice.
    claims : sequence of Judged
        The claims ledger with its verdicts.
    versions : mapping
        Package versions.
    derived : callable, optional
        Gives the effect table under assumptions.
    keep, keep_of : callable
        Given the name of a part, what makes it, and what it rests on besides evidence and code;
        the second gives the same for parts that show nothing of the evidence but some trials.
    """
    provenance = Provenance(evidence, derived)
    project = evidence.project
    known = {item.name: item for item in project.moderator}
    by_name = {result["name"]: result for result in results}
    search = read_search(paths)
    living = _living(search)
    changed = before_and_after(by_name, project)
    claims = front.with_their_rules(claims, changed, by_name)
    named = {
        "headlines": changed,
        "claims": claims,
        "near_misses": search.near_miss,
        "related_trials": partial(related_trials, evidence),
        "searched": _day(living),
    }
    text = prose.texts_of(paths, by_name, project, named)
    studies = numbered_studies(evidence, results)
    reasons = _exclusion_reasons(evidence)
    counts: prose.Totals = {
        "studies_extracted": len(evidence.rows("studies")),
        "studies_used": len(studies),
        "records_excluded": sum(n for _, n in reasons),
        "analyses": len(results),
        "empty_analyses": sum(result["k"] == 0 for result in results),
        "risk_of_bias_rows": len(evidence.rows("risk_of_bias")),
    }
    sections = _sections(paths, results, provenance, studies, keep_of)
    pages = front.pages_of(results, project, text)
    # The figures of a section stand on the first page that holds an analysis of it.
    first = {by_name[name]["section"]: p.key for p in reversed(pages) for name in p.analyses}
    bias = risk_of_bias(results, evidence)
    findings = summary_of_findings(results)
    every = front.all_findings(findings, by_name)
    cells = keep("map", partial(map_cells, evidence))
    drawn = evidence_map(cells)
    registry, screening = evidence.rows("registry"), evidence.rows("screening")
    used = {place for result in results for row in rows_of(result) for place in row["source"]}
    own, told = prose.sentences_in(text("repeat_reading")), results_text(results)
    limits = _limitations(search, counts, prose.sentences_in(text("limitations")))
    lists: Listed = {
        "project": project,
        "results": by_name,
        "claims": claims,
        "moderator_tests": moderator_table(results),
        "routes": _routes_used(results),
        "studies": list(studies.values()),
        "study_columns": [known[name] for name in project.front.study_columns],
        "risk_of_bias": evidence.rows("risk_of_bias"),
        "corrections": checked.applied,
        "registry": registry,
        "exclusions": evidence.rows("exclusions"),
        "exclusion_reasons": reasons,
        "headlines": changed,
        "map": cells,
        "summary_of_findings": findings,
        "repeat_reading": keep(
            "repeat_reading",
            partial(repeat_reading, paths, evidence, checked.compared, used, own),
            of=f"{sorted(used)} {own}",
        ),
        "harm_facts": evidence.rows("harm_facts"),
        "flow": record_flow(search, flow_of(screening), counts["records_excluded"], len(studies)),
    }
    return {
        **lists,
        "bias_figure": None if bias is None else plot_view(paths, bias),
        "map_figure": None if drawn is None else plot_view(paths, drawn),
        "pages": pages,
        "places": front.places_of(pages, by_name),
        "views": {item["name"]: item for part in sections for item in part.analyses},
        "page_figures": {first[part.key]: part.figures for part in sections if part.key in first},
        "untested": front.untested_tables(results, project),
        "page_facts": facts_by_page(evidence),
        "all_facts": fact_table(evidence),
        "answer": text("answer"),
        "cards": front.cards_of(project, by_name, text),
        "ask": text("ask"),
        "all_findings": every,
        "several": front.several_words(results, every),
        "clinicians": front.finding_table(project, by_name),
        "claim_lines": front.claim_lines(claims),
        "map_table": None if cells is None else map_table(cells),
        "who": front.who_made_it(project),
        "stamp": inputs_hash(paths)[:12],
        "results_stamp": text_hash(told)[:12],
        "results_text": told,
        "versions": versions,
        "sections": sections,
        "abstract": prose.abstract(text, by_name, search, counts, project, limits),
        "changes": changes_since_release(paths, by_name),
        "certainty_rated": any(row["certainty"] in RATINGS for row in findings),
        "permuted_below": PERMUTED_BELOW,
        "counts": counts,
        "registry_counts": registry_counts(registry),
        "search": search,
        "living": living,
        "limitations": limits,
        "glossary": prose.glossary(project),
        "citation": _citation(paths),
        "methods": prose.methods(results) + prose.sentences_in(text("methods")),
        "headline": by_name.get(project.project.headline),
        "title": project.project.title,
        "report_name": project.project.short_title or project.project.title,
        "lead": project.project.lead or prose.LEAD,
        "no_risk_of_bias": " ".join(
            [prose.NO_RISK_OF_BIAS, *prose.sentences_in(text("risk_of_bias"))]
        ),
        "check_words": prose.sentences_in(text("check"))[0],
        "listed": tables_of_evidence(lists),
    }


def _living(search: SearchRecord) -> Living:
    """Return the day the search was closed and the day it is due again."""
    closed = search.search.extraction_closed
    if closed == NOT_STATED:
        return {"searched": "", "due": ""}
    days = search.search.due_after_days
    due = datetime.date.fromisoformat(closed) + datetime.timedelta(days=days)
    return {"searched": closed, "due": due.isoformat()}


def _day(living: Living) -> str:
    """Return the day of the search as texts may name it."""
    if not living["searched"]:
        return "a day that is not stated"
    day = datetime.date.fromisoformat(living["searched"])
    return f"{day.day} {day:%B %Y}"


def _limitations(search: SearchRecord, counts: prose.Totals, own: Sequence[str]) -> list[str]:
    found = [*search.search.limits, *own]
    if not counts["risk_of_bias_rows"]:
        found.append("Risk of bias has not been judged.")
    if counts["empty_analyses"]:
        found.append(
            f"{counts['empty_analyses']} of {plural(counts['analyses'], 'analysis', 'analyses')} "
            "found no eligible trial."
        )
    return found


def _citation(paths: ProjectPaths) -> str:
    """Return how to cite, from ``CITATION.cff``; empty where there is none."""
    path = paths.root / "CITATION.cff"
    if not path.is_file() or is_link(path):
        return ""
    text, _ = decode(path.read_bytes())
    found = dict(re.findall(r'^\s*-?\s*(name|title|version|doi|url): *"?([^"\n]+)"?$', text, re.M))
    parts = [found.get("name"), found.get("title"), found.get("version") and
             f"version {found['version']}", found.get("doi") and f"doi:{found['doi']}",
             found.get("url")]  # fmt: skip
    return ". ".join(str(part) for part in parts if part) + "."


def _sections(
    paths: ProjectPaths,
    results: Sequence[AnalysisResult],
    provenance: Provenance,
    studies: Mapping[str, Study],
    keep_of: Callable[[Iterable[str]], Keep],
) -> list[Section]:
    project = provenance.project
    numbers = {name: study.number for name, study in studies.items()}
    drawn = [*sorted(paths.figures.glob("*.svg")), *sorted(paths.pages.glob("*.svg"))]
    hashes = {path: file_hash(path) for path in drawn}

    def view(result: AnalysisResult) -> AnalysisView:
        name = result["name"]
        figures = [f"{p.name} {text}" for p, text in hashes.items() if p.name.startswith(name)]
        make = partial(analysis_view, paths, result, provenance, studies)
        return keep_of(studies_of(result))(f"view-{name}", make, f"{result!r} {figures} {numbers}")

    harms = harms_summary(results, project)
    declared = [(item.key, item.title, item.intro) for item in project.section]
    others = dict.fromkeys(item["section"] for item in results if item["section"] not in
                           project.sections)  # fmt: skip
    return [
        Section(
            key,
            title,
            intro,
            [plot_view(paths, harms)] if harms and key == project.harms.section else [],
            [view(item) for item in results if item["section"] == key],
        )
        for key, title, intro in (*declared, *((key, project.label(key), "") for key in others))
    ]


def _exclusion_reasons(evidence: Evidence) -> list[tuple[str, int]]:
    """Return how many records each reason keeps out, the most frequent reason first."""
    totals: Counter[str] = Counter()
    for row in evidence.rows("exclusions"):
        totals[row["reason_code"].replace("_", " ")] += int(row.number("records") or 0)
    return totals.most_common()


def _routes_used(results: Sequence[AnalysisResult]) -> list[tuple[Route, int]]:
    """Return every route to an effect that the analyses used, with how often."""
    counts = Counter(
        code
        for result in results
        for row in rows_of(result)
        for code in set(row["route"].replace("; ", "+").split("+"))
    )
    return [(ROUTES[code], count) for code, count in sorted(counts.items()) if code]
