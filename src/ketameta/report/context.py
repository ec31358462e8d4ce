"""Everything the page may say, by name: results, evidence and words derived from them.

The template chooses and orders; it computes nothing and types no number.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketameta.analyses.rows import study_label
from ketameta.analyses.words import interval_words, written
from ketameta.conversions import ROUTES
from ketameta.errors import ReportError
from ketameta.numberformat import format_interval, format_level, format_number, plural
from ketameta.paths import ProjectPaths
from ketameta.report import summary, texts
from ketameta.report.changes import changes_since_release
from ketameta.report.companion_tables import (
    gosh_words,
    influence_rows,
    network_table,
    over_time_rows,
    rho_rows,
    small_study_words,
    transitivity_rows,
)
from ketameta.report.dose_table import dose_rows
from ketameta.report.engine_data import engine_data, independent_rows
from ketameta.report.evidence_map import evidence_map_cells
from ketameta.report.flow import record_flow
from ketameta.report.glossary import TERMS
from ketameta.report.manifest import code_hash, inputs_hash
from ketameta.report.page_parts import page_parts, with_pictures
from ketameta.report.plots import Plot, plots_of
from ketameta.report.pooled import pooled_card
from ketameta.report.provenance import Provenance, link_of
from ketameta.vocabulary import Measure

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.effect_rows import Assumptions
    from ketameta.evidence import Evidence

#: Files in which every figure can be had.
FIGURE_ENDINGS = ("svg", "png", "pdf")
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
    used = sorted(
        {
            row["study_id"]
            for result in results
            for group in result["groups"]
            for row in group["rows"]
        }
    )
    studies = _studies(evidence, results, used)
    references = {study["study_id"]: study["number"] for study in studies}
    counts = _counts(evidence, results, used)
    search = _search(paths)
    changes = changes_since_release(paths, by_name)
    sections = with_pictures(_sections(paths, results, provenance, references))
    return {
        **page_parts(sections, _figure(paths, "evidence_map")),
        "stamp": inputs_hash(paths)[:12],
        "code_stamp": code_hash()[:12],
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
        "map": _map(evidence),
        "studies": studies,
        "counts": counts,
        "risk_of_bias": [
            {**row, "label": study_label(row["study_id"])}
            for row in _records(evidence.risk_of_bias)
        ],
        "exclusions": _records(evidence.exclusions),
        "exclusion_reasons": _exclusion_reasons(evidence),
        "corrections": [_correction(item) for item in applied],
        "registry": _records(evidence.registry),
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
        "figure_endings": FIGURE_ENDINGS,
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
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8")
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
    return [
        {
            "key": key,
            "title": title,
            "intro": intro,
            "analyses": [
                _analysis(paths, item, provenance, references)
                for item in results
                if item["section"] == key
            ],
        }
        for key, title, intro in SECTIONS
    ]


def _analysis(
    paths: ProjectPaths,
    result: dict[str, Any],
    provenance: Provenance,
    references: Mapping[str, int],
) -> dict[str, Any]:
    """Return one result with the words and tables that the page shows for it."""
    measure = Measure(result["measure"])
    traced = result.get("kind") != "network"
    independent = independent_rows(result, provenance) if traced else []
    return {
        **result,
        "svg": _figure(paths, result["name"]),
        "alt": _alt(result),
        "engine": engine_data(result, independent, _measures(result)) if traced else None,
        "pooled_cards": _pooled_cards(result, independent) if traced else [],
        "numbers": _numbers(result, measure),
        "companion_rows": [_companion_row(item, measure) for item in result["companions"]],
        "over_time_rows": over_time_rows(result),
        "rho_rows": rho_rows(result),
        "dose_rows": dose_rows(result),
        "influence_rows": influence_rows(result),
        "network_rows": network_table(result),
        "transitivity_rows": transitivity_rows(result),
        "gosh_words": gosh_words(result),
        "small_study_words": small_study_words(result),
        "more_figures": [
            {
                "kind": plot.kind,
                "svg": _figure(paths, plot.name),
                "alt": _plot_words(plot),
                "name": plot.name,
            }
            for plot in plots_of(result)[1:]
        ],
        "event_rows": _event_rows(result),
        "per_thousand_words": _per_thousand(result),
        "zero_words": _zero_words(result),
        "leave_one_out_words": _leave_one_out(result, measure),
        "left": _left(result),
        "study_rows": _traced_rows(result, measure, provenance, references) if traced else [],
    }


def _traced_rows(
    result: dict[str, Any],
    measure: Measure,
    provenance: Provenance,
    references: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return the rows of a result, each with the card that leads back to its cells."""
    rows = [row for group in result["groups"] for row in group["rows"]]
    return [
        {
            **row,
            "shown": _shown(row, measure),
            "card": provenance.card(row, result),
            "card_id": f"row-{result['name']}-{number}",
            "reference": references[row["study_id"]],
        }
        for number, row in enumerate(rows, start=1)
    ]


def _measures(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the measures that counts can give, as codes and words."""
    if result["measure"] not in {"OR", "RR", "RD"}:
        return []
    return [(str(item), item.label) for item in (Measure.OR, Measure.RR, Measure.RD)]


def _pooled_cards(
    result: Mapping[str, Any], independent: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return how each pooled number of a result is made."""
    cards = []
    if result["pooled"] is not None:
        cards.append(pooled_card("All trials", independent, result["pooled"]))
    for group in result["groups"]:
        if group["pooled"] is not None:
            cards.append(pooled_card(str(group["label"]), group["rows"], group["pooled"]))
    return cards


def _alt(result: dict[str, Any]) -> str:
    return f"Forest plot. {' '.join(result['sentences'])}"


def _plot_words(plot: Plot) -> str:
    """Return what a figure shows, in numbers, from its layout."""
    from ketameta import figures

    return figures.alt_text(getattr(figures, f"lay_out_{plot.kind}")(plot.data))


def _figure(paths: ProjectPaths, name: str) -> str:
    """Return the text of a drawn figure."""
    return (paths.figures / f"{name}.svg").read_text(encoding="utf-8")


def _shown(row: Mapping[str, Any], measure: Measure) -> str:
    interval = interval_words(row["ci_low"], row["ci_high"], measure)
    return f"{written(row['estimate'], measure)} ({interval})"


def _numbers(result: dict[str, Any], measure: Measure) -> list[tuple[str, str]]:
    """Return the key numbers of a result as label and value."""
    pooled = result["pooled"]
    if pooled is None:
        return []
    numbers = [
        ("Trials", str(result["k"])),
        ("People", f"{result['n_participants']:,}" if result["n_participants"] else "not printed"),
        (measure.label, _shown(pooled, measure)),
    ]
    if pooled["pi_low"] is not None:
        interval = interval_words(pooled["pi_low"], pooled["pi_high"], measure)
        numbers.append(("Prediction interval for a new trial", interval))
    if pooled["tau2"] is not None:
        numbers.append(("Between-trial variance (tau²)", _tau2(pooled)))
        numbers.append(("I²", f"{format_number(100 * pooled['i2'], 0)}%"))
        numbers.append(("Q", f"{format_number(pooled['q'])} on {pooled['q_df']} df"))
    engine = result["second_engine"]
    if engine is not None:
        largest = engine["largest"]
        numbers.append(("Largest relative difference to a second engine", _scientific(largest)))
    return numbers


def _tau2(pooled: Mapping[str, Any]) -> str:
    text = format_number(pooled["tau2"], 3)
    if pooled["tau2_ci_low"] is None:
        return text
    return f"{text} ({format_interval(pooled['tau2_ci_low'], pooled['tau2_ci_high'], 3)})"


def _scientific(value: float | None) -> str:
    return "none" if not value else f"{value:.0e}".replace("-", "\u2212")


def _companion_row(item: Mapping[str, Any], measure: Measure) -> dict[str, Any]:
    estimate = "no trial left" if item["k"] == 0 else _shown(item, measure)
    return {"label": item["label"], "k": item["k"], "shown": estimate}


def _event_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the other ways to pool counts, each with its estimate or why there is none."""
    events = result["events"]
    if events is None:
        return []
    return [
        {
            "method": item["method"],
            "measure": Measure(item["measure"]).label.lower(),
            "k": events["k"],
            "shown": item["withheld"] or _shown(item, Measure(item["measure"])),
        }
        for item in events["methods"]
    ]


def _per_thousand(result: dict[str, Any]) -> str:
    """Return the absolute effect in people per thousand, with the risk it starts from."""
    events = result["events"]
    if events is None or events["per_thousand"]["estimate"] is None:
        return ""
    baseline = format_number(1000 * events["baseline_risk"], 0)
    change = events["per_thousand"]
    words = f"{format_number(change['estimate'], 0)} more people"
    if change["ci_low"] is not None:
        words += f" (interval {format_interval(change['ci_low'], change['ci_high'], 0)})"
    return (
        f"Per 1,000 people: {baseline} have it on control in these trials; {words} on treatment, "
        "by the pooled risk difference."
    )


def _zero_words(result: dict[str, Any]) -> str:
    """Return how trials with empty cells were handled."""
    events = result["events"]
    if events is None:
        return ""
    one = ", ".join(events["zero_cells"]["one_arm"]) or "none"
    both = ", ".join(events["zero_cells"]["both_arms"]) or "none"
    return (
        f"Trials without events in one arm: {one} (half an event is added to each cell for the "
        f"main ratio, none for Mantel–Haenszel and Peto). Without events in both arms: {both}."
    )


def _leave_one_out(result: dict[str, Any], measure: Measure) -> str:
    left = result["leave_one_out"]
    if left is None:
        return ""
    interval = interval_words(left["lowest"], left["highest"], measure)
    return f"Leaving out one trial at a time, the estimate runs from {interval}."


def _left(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was set aside, grouped by reason, largest group first."""
    items = [*result["set_aside"], *result["unused"]]
    groups: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        groups.setdefault(item["reason"], []).append(item)
    return [
        {
            "reason": reason,
            "count": plural(len(members), "row"),
            "studies": ", ".join(sorted({study_label(item["study_id"]) for item in members})),
        }
        for reason, members in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
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


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as plain dictionaries, missing numbers as ``None``."""
    return [
        {key: None if value != value else value for key, value in record.items()}
        for record in frame.to_dict("records")
    ]


def _studies(
    evidence: Evidence, results: Sequence[dict[str, Any]], used: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the studies that enter any analysis, with the analyses they enter."""
    entered: dict[str, list[str]] = {}
    for result in results:
        for name in dict.fromkeys(row["study_id"] for g in result["groups"] for row in g["rows"]):
            entered.setdefault(name, []).append(result["title"])
    rows = [row for row in _records(evidence.studies) if row["study_id"] in set(used)]
    for number, row in enumerate(rows, start=1):
        row["number"] = number
        row["label"] = study_label(row["study_id"])
        row["analyses"] = entered[row["study_id"]]
        row["link"], row["link_words"] = link_of(row)
    return rows


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
    import tomllib

    path = paths.data / "search.toml"
    if not path.is_file():
        raise ReportError(
            f"{paths.relative(path)}: no such file; the report needs the record of the search: "
            "[search], [[source]], [[nothing_found]] and [records]"
        )
    return tomllib.loads(path.read_text(encoding="utf-8"))


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
