"""Everything the page may say, by name: results, evidence and words derived from them.

The template chooses and orders; it computes nothing and types no number.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketameta.analyses.certainty import RATINGS, summary_of_findings
from ketameta.analyses.credibility import moderator_table
from ketameta.analyses.credibility_tests import PERMUTED_BELOW
from ketameta.analyses.rows import study_label
from ketameta.conversions import ROUTES
from ketameta.errors import ReportError
from ketameta.extraction import is_link
from ketameta.numberformat import format_level, plural
from ketameta.paths import ProjectPaths
from ketameta.report import summary, texts
from ketameta.report.analysis_view import analysis_view, plot_view
from ketameta.report.changes import changes_since_release
from ketameta.report.evidence_map import evidence_map, evidence_map_cells
from ketameta.report.flow import record_flow
from ketameta.report.glossary import TERMS
from ketameta.report.manifest import inputs_hash, results_hash
from ketameta.report.page_parts import page_parts, with_pictures
from ketameta.report.page_plots import risk_of_bias, section_plots
from ketameta.report.provenance import Provenance
from ketameta.report.registry_table import registry_counts
from ketameta.report.studies import numbered_studies, records, used_studies
from ketameta.textfiles import decode, read_toml

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence import Evidence
    from ketameta.study_facts import Assumptions

#: A search older than this is due again (half a year, in days).
SEARCH_DUE_DAYS = 183
#: Parts of the report, in order: key, title, and what a reader should know first.
SECTIONS: tuple[tuple[str, str, str], ...] = (
    (
        "adhd",
        "Direct evidence: ketamine and its relatives in ADHD",
        "Only studies of people with ADHD. Memantine, amantadine and dextromethorphan block the "
        "same receptor as ketamine; they are not ketamine.",
    ),
    (
        "cognition",
        "Indirect evidence: ketamine and attention in people without ADHD",
        "How ketamine acts on attention, speed and working memory in healthy people or in "
        "depression. It may not carry over to ADHD.",
    ),
    (
        "mood",
        "Indirect evidence: ketamine and depression",
        "How fast and how long ketamine acts in another condition. It says nothing about "
        "symptoms of ADHD.",
    ),
    (
        "harms",
        "Harms of ketamine",
        "Counted in trials of depression and other conditions; people with ADHD may differ.",
    ),
    (
        "usual_medicines",
        "A yardstick: the usual ADHD medicines",
        "What medicines with evidence in ADHD achieve, by class, presentation and prior "
        "treatment. Not a systematic review of these medicines.",
    ),
)


def report_context(
    paths: ProjectPaths,
    evidence: Evidence,
    results: Sequence[dict[str, Any]],
    applied: Sequence[Any],
    claims: Sequence[dict[str, Any]],
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
    by_name = {result["name"]: result for result in results}
    used = used_studies(results)
    studies = numbered_studies(evidence, results)
    references = {study["study_id"]: study["number"] for study in studies}
    counts = _counts(evidence, results, used)
    search = _search(paths)
    changes = changes_since_release(paths, by_name)
    sections = with_pictures(_sections(paths, results, provenance, references))
    lights = risk_of_bias(results, evidence)
    bias = None if lights is None else plot_view(paths, lights)
    findings = summary_of_findings(results)
    picture = plot_view(paths, evidence_map(evidence))
    return {
        **page_parts(sections, picture, bias),
        "stamp": inputs_hash(paths)[:12],
        "results_stamp": results_hash(results)[:12],
        "versions": dict(versions),
        "results": by_name,
        "sections": sections,
        "gap": _gap(by_name),
        "abstract": summary.abstract(by_name, search, counts),
        "plain_summary": summary.plain_summary(by_name),
        "not_meant": summary.not_meant(),
        "findings": summary.key_findings(by_name, counts["risk_of_bias_rows"]),
        "changes": {"version": changes["version"], "items_changed": changes["items"]},
        "claims": list(claims),
        "summary_of_findings": findings,
        "certainty_rated": any(row["certainty"] in RATINGS for row in findings),
        "moderator_tests": moderator_table(results),
        "permuted_below": PERMUTED_BELOW,
        "map": {**_map(evidence), "alt": picture["alt"]},
        "studies": studies,
        "counts": counts,
        "risk_of_bias": [
            {**row, "label": study_label(row["study_id"])} for row in records(evidence.risk_of_bias)
        ],
        "exclusions": records(evidence.exclusions),
        "exclusion_reasons": _exclusion_reasons(evidence),
        "corrections": [_correction(item) for item in applied],
        "registry": records(evidence.registry),
        "registry_counts": registry_counts(records(evidence.registry)),
        "search": search,
        "living": _living(search),
        "flow": record_flow(search, counts["records_excluded"], len(used)),
        "routes": _routes_used(results),
        "limitations": _limitations(search, counts),
        "glossary": TERMS,
        "citation": _citation(paths),
        "level": results[0]["level"] if results else None,
        "methods": [
            words.format(level=format_level(results[0]["level"]) if results else "")
            for words in texts.METHODS
        ],
        "title": texts.TITLE,
        "lead": texts.LEAD,
        "no_risk_of_bias": texts.NO_RISK_OF_BIAS,
        "check_words": texts.CHECK,
    }


def _living(search: Mapping[str, Any]) -> dict[str, str]:
    """Return the day the search was closed and the day it is due again."""
    closed = str(search["search"]["extraction_closed"])
    days = int(search["search"].get("due_after_days", SEARCH_DUE_DAYS))
    due = datetime.date.fromisoformat(closed) + datetime.timedelta(days=days)
    return {"searched": closed, "due": due.isoformat()}


def _limitations(search: Mapping[str, Any], counts: Mapping[str, Any]) -> list[str]:
    found = [
        *search["search"]["limits"],
        "The questions were declared after the published abstracts were known.",
        "One person's extraction has not been repeated by a second for every row; each card says "
        "which.",
    ]
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
    results: Sequence[dict[str, Any]],
    provenance: Provenance,
    references: Mapping[str, int],
) -> list[dict[str, Any]]:
    starts = section_plots(results)
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
        for key, title, intro in SECTIONS
    ]


def _gap(by_name: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what the first paragraph needs: whether anybody has tested ketamine in ADHD."""
    direct = by_name.get("ketamine_adhd")
    related = by_name.get("nmda_adhd_symptoms")
    return {
        "ketamine_k": direct["k"] if direct else 0,
        "looked_for": direct["looked_for"] if direct else "",
        "related": related,
    }


def _map(evidence: Evidence) -> dict[str, Any]:
    cells = evidence_map_cells(evidence)
    by_place = {(cell["row"], cell["column"]): cell for cell in cells["cells"]}
    return {
        "columns": cells["columns"],
        "rows": [
            {
                "label": row,
                "cells": [by_place[row, column] for column in cells["columns"]],
            }
            for row in cells["rows"]
        ],
    }


def _counts(
    evidence: Evidence, results: Sequence[dict[str, Any]], used: Sequence[str]
) -> dict[str, Any]:
    return {
        "studies_extracted": len(evidence.studies),
        "studies_used": len(used),
        "arm_rows": len(evidence.outcomes),
        "contrast_rows": len(evidence.contrasts),
        "records_excluded": int(evidence.exclusions["records"].sum()),
        "analyses": len(results),
        "empty_analyses": sum(result["k"] == 0 for result in results),
        "risk_of_bias_rows": len(evidence.risk_of_bias),
    }


def _exclusion_reasons(evidence: Evidence) -> list[tuple[str, int]]:
    totals: Counter[str] = Counter()
    for row in evidence.exclusions.to_dict("records"):
        totals[row["reason_code"].replace("_", " ")] += int(row["records"])
    return totals.most_common()


def _correction(item: Any) -> dict[str, Any]:
    correction = item.correction
    return {
        "id": correction.id,
        "table": correction.table,
        "column": correction.column,
        "before": item.before,
        "after": item.after,
        "reason": correction.reason,
        "source": correction.source,
    }


def _search(paths: ProjectPaths) -> dict[str, Any]:
    path = paths.data / "search.toml"
    document, _, findings = read_toml(path, paths.relative(path))
    if document is None:
        why = "\n".join(str(finding) for finding in findings) or (
            f"{paths.relative(path)}: no such file; the report needs the record of the search: "
            "[search], [[source]], [[nothing_found]] and [records]"
        )
        raise ReportError(why)
    return document


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
