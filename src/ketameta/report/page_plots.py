"""Figures that stand for several results at once: all harms together, risk of bias.

Collects what each is laid out from; draws nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ketameta.analyses.rows import study_label
from ketameta.report.plots import Plot

if TYPE_CHECKING:
    from ketameta.evidence import Evidence

#: The end of a harm's title that every row of the summary shares.
_SHARED = re.compile(r" (with|of) ketamine or esketamine$")


def section_plots(results: Sequence[dict[str, Any]]) -> dict[str, list[Plot]]:
    """Return the figures at the start of a section, by its key."""
    harms = harms_summary(results)
    return {"harms": [harms]} if harms is not None else {}


def page_plots(results: Sequence[dict[str, Any]], evidence: Evidence) -> list[Plot]:
    """Return every figure that stands for several results."""
    plots = [plot for listed in section_plots(results).values() for plot in listed]
    bias = risk_of_bias(results, evidence)
    return plots if bias is None else [*plots, bias]


def harms_summary(results: Sequence[dict[str, Any]]) -> Plot | None:
    """Return risk ratio and risk difference of every harm that is counted.

    Questions whose trials are not pooled together have no row; those without a trial have one.
    """
    found = [
        result
        for result in results
        if result["section"] == "harms"
        and result["kind"] == "pooled"
        and result["measure"] == "RR"
        and (result["pooled"] is not None or result["k"] == 0)
    ]
    if not any(result["pooled"] for result in found):
        return None
    levels = {result["level"] for result in found}
    note = "Trials in depression and other conditions; harms may differ in ADHD."
    if len(levels) > 1:
        note += " Intervals have the levels of their analyses."
    data = {
        "title": "Harms of ketamine and esketamine against control",
        "rows": [_harm(result) for result in found],
        "favours": found[0]["favours"],
        "level": max(levels),
        "note": note,
    }
    return Plot("harms", "harms_summary", data)


def _harm(result: dict[str, Any]) -> dict[str, Any]:
    events = result["events"]
    difference = events["per_thousand"] if events else None
    return {
        "label": _SHARED.sub("", result["title"]),
        "k": result["k"],
        "participants": result["n_participants"],
        "baseline": 1000 * events["baseline_risk"] if events else None,
        "ratio": _numbers(result["pooled"]),
        "difference": _numbers(difference),
    }


def _numbers(item: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if item is None else {key: item[key] for key in ("estimate", "ci_low", "ci_high")}


def risk_of_bias(results: Sequence[dict[str, Any]], evidence: Evidence) -> Plot | None:
    """Return the traffic lights of the included studies, where at least one was judged."""
    used = sorted(
        {
            row["study_id"]
            for result in results
            if result["kind"] != "network"
            for group in result["groups"]
            for row in group["rows"]
        }
    )
    judged = [
        {
            "study": study_label(row["study_id"]),
            "outcome": row["outcome"],
            "tool": row["tool"],
            "domain": row["domain"],
            "judgement": row["judgement"],
        }
        for row in evidence.risk_of_bias.to_dict("records")
        if row["study_id"] in used and row["judgement"] != "not_assessed"
    ]
    if not judged:
        return None
    data = {
        "title": "Risk of bias of the included studies",
        "studies": [study_label(name) for name in used],
        "judgements": judged,
    }
    return Plot("risk_of_bias", "risk_of_bias", data)
