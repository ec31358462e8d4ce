"""Plots that stand for several results at once: all harms together, risk of bias.

Collects what each is drawn from; draws nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ketameta.analyses.rows import study_label
from ketameta.plots.harms import Harm, Harms
from ketameta.plots.risk_of_bias import Judgement, RiskOfBias
from ketameta.plots.scale import Estimate
from ketameta.report.plots import Plot, estimate_of, scale_of

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
    data = Harms(
        tuple(_harm(result) for result in found),
        replace(scale_of(found[0]), level=max(levels)),
        "Harms of ketamine and esketamine against control",
        note,
    )
    return Plot("harms", "harms_summary", data)


def _harm(result: dict[str, Any]) -> Harm:
    events = result["events"]
    return Harm(
        _SHARED.sub("", result["title"]),
        result["k"],
        result["n_participants"],
        1000 * events["baseline_risk"] if events else None,
        _estimate(result["pooled"]),
        _estimate(events["per_thousand"] if events else None),
    )


def _estimate(item: dict[str, Any] | None) -> Estimate | None:
    return None if item is None or item["estimate"] is None else estimate_of(item)


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
    judged = tuple(
        Judgement(
            study_label(row["study_id"]),
            row["domain"],
            row["judgement"],
            row["outcome"],
            row["tool"],
        )
        for row in evidence.risk_of_bias.to_dict("records")
        if row["study_id"] in used and row["judgement"] != "not_assessed"
    )
    if not judged:
        return None
    names = tuple(study_label(name) for name in used)
    title = "Risk of bias of the included studies"
    return Plot("risk_of_bias", "risk_of_bias", RiskOfBias(names, judged, title))
