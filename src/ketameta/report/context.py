"""Everything the page may say, by name: results, evidence and words derived from them.

The template chooses and orders; it computes nothing and types no number.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ketameta.analyses.certainty import RATINGS, summary_of_findings
from ketameta.analyses.claims import UNDER_WAY, UNTOLD, Judged, fact_words
from ketameta.analyses.credibility import PERMUTED_BELOW, moderator_table
from ketameta.analyses.result import AnalysisResult
from ketameta.effects.conversions.arms import ROUTES
from ketameta.errors import ReportError
from ketameta.evidence.checks.search import flow_of
from ketameta.evidence.project import NOT_STATED
from ketameta.evidence.tables import is_link
from ketameta.evidence.textfiles import decode, read_toml
from ketameta.formatting import plural
from ketameta.paths import ProjectPaths
from ketameta.plots.maps import Cell, EvidenceMap
from ketameta.report import front, prose
from ketameta.report.analysis_view import analysis_view, plot_view
from ketameta.report.evidence_tables import (
    fact_table,
    facts_by_page,
    map_cells,
    map_table,
    related_trials,
    tables_of_evidence,
)
from ketameta.report.manifest import changes_since_release, inputs_hash, results_hash
from ketameta.report.plots import Plot, risk_of_bias, section_plots
from ketameta.report.provenance import Provenance, numbered_studies, records, used_studies
from ketameta.report.tables import repeat_reading

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence.pairing import Assumptions
    from ketameta.evidence.tables import Evidence


def evidence_map(evidence: Evidence, found: Mapping[str, Any] | None = None) -> Plot | None:
    """Return the map as a plot, where the project declares one; ``found`` are its cells."""
    found = map_cells(evidence) if found is None else found
    if not (found["rows"] and found["columns"]):
        return None
    known = {item.name for item in fields(Cell)}
    cells = tuple(
        Cell(**{name: value for name, value in cell.items() if name in known})
        for cell in found["cells"]
    )
    people = evidence.project.directness.people
    data = EvidenceMap(cells, tuple(found["rows"]), tuple(found["columns"]), "", people)
    return Plot("evidence_map", "evidence_map", data)


#: Counts of a PRISMA 2020 diagram that come before extraction, in the words of the page.
_BEFORE = (
    ("identified", "Records identified"),
    ("screened", "Records screened"),
    ("assessed", "Reports assessed in full"),
)


def record_flow(search: Mapping[str, Any], excluded_listed: int, used: int) -> dict[str, Any]:
    """Return the boxes of the flow diagram; its sums are held by the checks of the data.

    Parameters
    ----------
    search : mapping
        ``data/search.toml``.
    excluded_listed : int
        Records that ``data/exclusions.csv`` lists.
    used : int
        Studies that enter an analysis.

    Returns
    -------
    dict
        ``mismatch`` (words, where the list of exclusions has another count), ``before`` (label,
        count or None), ``extracted``, ``converted``, ``excluded``, ``by_source`` and
        ``studies_used``.
    """
    records = search.get("records")
    if records is None:
        return {"mismatch": "", "before": [], "by_source": [], "studies_used": used}
    flow = search.get("flow", search.get("prisma", {}))
    counts = {key: records[key] for key in ("extracted", "converted", "excluded")}
    mismatch = (
        f"The record of the search counts {counts['excluded']} exclusions; the list of exclusions "
        f"has {excluded_listed}."
    )
    return {
        "mismatch": mismatch if excluded_listed != counts["excluded"] else "",
        "before": [
            {"label": label, "count": flow.get(key) if isinstance(flow.get(key), int) else None}
            for key, label in _BEFORE
        ],
        **counts,
        "by_source": [
            {"label": name.replace("_", " "), **part}
            for name, part in records.get("by_source", {}).items()
        ],
        "studies_used": used,
    }


#: Statuses of a trial that ended without being completed.
_STOPPED = ("terminated", "withdrawn", "no_longer_available")


def registry_counts(registry: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Return how many entries are in each state, zeros included.

    Parameters
    ----------
    registry : sequence of mapping
        Rows of ``data/registry.csv``.
    """
    counts = dict.fromkeys(
        (
            "planned or running",
            "completed, with results",
            "completed without results",
            "withdrawn, stopped or no longer listed",
            "status unknown",
        ),
        0,
    )
    for row in registry:
        counts[_trial_state(row)] += 1
    return list(counts.items())


def _trial_state(row: Mapping[str, Any]) -> str:
    status = str(row["status"])
    if status in UNDER_WAY:
        return "planned or running"
    if status in UNTOLD:
        return "status unknown"
    if status in _STOPPED:
        return "withdrawn, stopped or no longer listed"
    posted = str(row["results_posted"] or "no")
    known = posted not in ("no", "nan") or bool(row["study_id"]) or status == "published"
    return "completed, with results" if known else "completed without results"


#: What is said of the search where nobody recorded one.
NO_SEARCH: Mapping[str, Any] = {
    "search": {
        "kind": "What was searched is not recorded",
        "counts_note": "That no trial stands here does not show that there is none.",
        "limits": ["What was searched, where and until when is not recorded."],
        "extraction_closed": NOT_STATED,
    },
    "source": (),
    "nothing_found": (),
}
#: A search older than this is due again (half a year, in days).
SEARCH_DUE_DAYS = 183


def report_context(
    paths: ProjectPaths,
    evidence: Evidence,
    results: Sequence[Any],
    applied: Sequence[Any],
    claims: Sequence[Judged],
    versions: Mapping[str, str],
    effects: Mapping[Assumptions, pd.DataFrame] | None = None,
) -> dict[str, Any]:
    """Return the context of the page.

    Parameters
    ----------
    paths : ProjectPaths
    evidence : Evidence
        Checked and corrected.
    results : sequence of dict
        Contents of ``reports/results/*.json``, in report order.
    applied : sequence
        Corrections that were applied.
    claims : sequence of dict
        The claims ledger with its verdicts.
    versions : mapping
        Package versions.
    effects : mapping, optional
        Effect tables already derived, by what they assume.
    """
    provenance = Provenance(evidence, effects)
    project = evidence.project
    known = {item.name: item for item in project.moderator}
    by_name = {result["name"]: result for result in results}
    search = _search(paths)
    living = _living(search)
    text = prose.texts_of(paths, by_name, project, _named(search, living, evidence))
    used = used_studies(results)
    studies = numbered_studies(evidence, results)
    references = {study["study_id"]: study["number"] for study in studies}
    counts = _counts(evidence, results, used)
    changes = changes_since_release(paths, by_name)
    sections = _sections(paths, results, provenance, references)
    pages = front.pages_of(results, project, text)
    first = front.first_pages(pages, by_name)
    lights = risk_of_bias(results, evidence)
    bias = None if lights is None else plot_view(paths, lights)
    typed = cast("Sequence[AnalysisResult]", results)
    findings = summary_of_findings(typed)
    cells = map_cells(evidence)
    plot = evidence_map(evidence, cells)
    picture = {"svg": "", "alt": ""} if plot is None else plot_view(paths, plot)
    context: dict[str, Any] = {
        "bias_figure": bias,
        "map_figure": picture,
        "pages": pages,
        "places": front.places_of(pages, by_name),
        "views": {item["name"]: item for part in sections for item in part["analyses"]},
        "page_figures": {
            first[part["key"]]: part["figures"] for part in sections if part["key"] in first
        },
        "untested": front.untested_table(results),
        "page_facts": facts_by_page(evidence),
        "all_facts": fact_table(evidence),
        "answer": text("answer"),
        "cards": front.cards_of(project, by_name, text),
        "ask": text("ask"),
        "all_findings": front.all_findings(findings),
        "clinicians": front.finding_table(project, by_name),
        "claim_lines": front.claim_lines(claims),
        "map_table": map_table(cells),
        "who": front.who_made_it(project),
        "stamp": inputs_hash(paths)[:12],
        "results_stamp": results_hash(results)[:12],
        "versions": dict(versions),
        "results": by_name,
        "sections": sections,
        "abstract": prose.abstract(text, by_name, search, counts, project),
        "changes": {"version": changes["version"], "items_changed": changes["items"]},
        "claims": list(claims),
        "summary_of_findings": findings,
        "certainty_rated": any(row["certainty"] in RATINGS for row in findings),
        "moderator_tests": moderator_table(typed),
        "permuted_below": PERMUTED_BELOW,
        "map": {**_map(cells), "alt": picture["alt"]},
        "studies": studies,
        "counts": counts,
        "risk_of_bias": [
            {**row, "label": project.study_label(row["study_id"])}
            for row in records(evidence.risk_of_bias)
        ],
        "exclusions": records(evidence.exclusions),
        "exclusion_reasons": _exclusion_reasons(evidence),
        "corrections": [
            {**asdict(item.correction), "before": item.before, "after": item.after}
            for item in applied
        ],
        "repeat_reading": repeat_reading(
            paths, evidence, _rows_used(typed), prose.sentences_in(text("repeat_reading"))
        ),
        "harm_facts": [
            {
                "fact": fact_words(row),
                "url": row["source_url"],
                **{name: row[name] for name in ("citation", "locator", "intervention")},
            }
            for row in evidence.rows("harm_facts")
        ],
        "registry": records(evidence.registry),
        "registry_counts": registry_counts(records(evidence.registry)),
        "search": search,
        "living": living,
        "flow": record_flow(
            {"flow": flow_of(evidence.rows("screening")), **search},
            counts["records_excluded"],
            len(used),
        ),
        "routes": _routes_used(results),
        "limitations": _limitations(search, counts, prose.sentences_in(text("limitations"))),
        "glossary": prose.glossary(project),
        "citation": _citation(paths),
        "methods": prose.methods(results) + prose.sentences_in(text("methods")),
        "project": project,
        "headline": by_name.get(project.project.headline),
        "title": project.project.title,
        "report_name": project.project.short_title or project.project.title,
        "lead": project.project.lead or prose.LEAD,
        "no_risk_of_bias": " ".join(
            [prose.NO_RISK_OF_BIAS, *prose.sentences_in(text("risk_of_bias"))]
        ),
        "check_words": prose.sentences_in(text("check"))[0],
    }
    columns = [known[name] for name in project.front.study_columns]
    return {**context, "study_columns": columns, "listed": tables_of_evidence(context, columns)}


def _named(
    search: Mapping[str, Any], living: Mapping[str, str], evidence: Evidence
) -> dict[str, Any]:
    """Return what texts may name besides results: the day of the search, near misses, counts."""
    searched = living["searched"]
    day = datetime.date.fromisoformat(searched) if searched else None
    return {
        "near_misses": search["near_miss"],
        "related_trials": partial(related_trials, evidence),
        "searched": f"{day.day} {day:%B %Y}" if day else "a day that is not stated",
    }


def _living(search: Mapping[str, Any]) -> dict[str, str]:
    """Return the day the search was closed and the day it is due again."""
    closed = str(search["search"]["extraction_closed"])
    if closed == NOT_STATED:
        return {"searched": "", "due": ""}
    days = int(search["search"].get("due_after_days", SEARCH_DUE_DAYS))
    due = datetime.date.fromisoformat(closed) + datetime.timedelta(days=days)
    return {"searched": closed, "due": due.isoformat()}


def _limitations(
    search: Mapping[str, Any], counts: Mapping[str, Any], own: Sequence[str]
) -> list[str]:
    found = [*search["search"]["limits"], *own]
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
    results: Sequence[Any],
    provenance: Provenance,
    references: Mapping[str, int],
) -> list[dict[str, Any]]:
    project = provenance.project
    starts = section_plots(results, project)
    declared = [(item.key, item.title, item.intro) for item in project.section]
    others = dict.fromkeys(item["section"] for item in results if item["section"] not in
                           project.sections)  # fmt: skip
    return [
        {
            "key": key,
            "title": title,
            "intro": intro,
            "figures": [plot_view(paths, plot) for plot in starts.get(key, [])],
            "analyses": [
                analysis_view(paths, item, provenance, references)
                for item in results
                if item["section"] == key
            ],
        }
        for key, title, intro in (*declared, *((key, project.label(key), "") for key in others))
    ]


def _map(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence map row by row."""
    rows = [
        {"label": row, "cells": [cell for cell in found["cells"] if cell["row"] == row]}
        for row in found["rows"]
    ]
    return {"columns": found["columns"], "rows": rows}


def _counts(
    evidence: Evidence, results: Sequence[dict[str, Any]], used: Sequence[str]
) -> dict[str, Any]:
    return {
        "studies_extracted": len(evidence.studies),
        "studies_used": len(used),
        "records_excluded": int(evidence.exclusions["records"].sum()),
        "analyses": len(results),
        "empty_analyses": sum(result["k"] == 0 for result in results),
        "risk_of_bias_rows": len(evidence.risk_of_bias),
    }


def _exclusion_reasons(evidence: Evidence) -> list[tuple[str, int]]:
    """Return how many records each reason keeps out, the most frequent reason first."""
    words = evidence.exclusions["reason_code"].str.replace("_", " ")
    totals = evidence.exclusions.groupby(words, sort=False)["records"].sum()
    return [(str(reason), int(n)) for reason, n in
            totals.sort_values(ascending=False, kind="stable").items()]  # fmt: skip


def _search(paths: ProjectPaths) -> Mapping[str, Any]:
    path = paths.data / "search.toml"
    document, _, findings = read_toml(path, paths.relative(path))
    if document is None and findings:
        raise ReportError("\n".join(str(finding) for finding in findings))
    lists = {name: NO_SEARCH[name] for name in ("source", "nothing_found")}
    told = NO_SEARCH if document is None else {**lists, **document}
    near = [{"source_url": "", **item} for item in told.get("near_miss", ())]
    missed = [{"found": "", **item} for item in told.get("not_reached", ())]
    return {**told, "near_miss": near, "not_reached": missed}


def _rows_used(results: Sequence[AnalysisResult]) -> set[str]:
    """Return every row of the tables that enters an analysis, as ``file:line``."""
    rows = (row for result in results for group in result["groups"] for row in group["rows"])
    return {place for row in rows for place in row["source"]}


def _routes_used(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every route to an effect that the analyses used, with how often."""
    counts: Counter[str] = Counter()
    for result in results:
        for group in result["groups"]:
            for row in group["rows"]:
                counts.update(set(row["route"].replace("; ", "+").split("+")))
    return [
        {
            "code": code,
            "description": ROUTES[code].description,
            "source": ROUTES[code].source,
            "count": count,
        }
        for code, count in sorted(counts.items())
        if code
    ]
