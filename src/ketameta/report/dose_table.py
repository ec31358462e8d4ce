"""Tables beside a dose-response result: the effect at each dose, and checks of the slope.

Rows of formatted text from results; computes nothing.
"""

from __future__ import annotations

from typing import Any

from ketameta.analyses.dose_response import dose_label
from ketameta.analyses.words import agreement_words, interval_words, written
from ketameta.vocabulary import Measure


def dose_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """Return one row per dose: trials, and the effect against no dose by each curve."""
    found = result["dose_response"]
    if found is None or found["withheld"]:
        return []
    measure = Measure(result["measure"])
    return [
        {
            "dose": dose_label(dose, found["unit"]),
            "trials": str(len({p["study_id"] for p in found["points"] if p["dose"] == dose})),
            "linear": _at(found["linear"], dose, measure),
            "spline": _at(found["spline"], dose, measure),
        }
        for dose in found["doses"]
    ]


def _at(curve: dict[str, Any], dose: float, measure: Measure) -> str:
    """Return the effect of a dose on one curve, or why there is none."""
    if curve["withheld"]:
        return "withheld"
    item = next(item for item in curve["at_doses"] if item["dose"] == dose)
    interval = interval_words(item["ci_low"], item["ci_high"], measure)
    return f"{written(item['estimate'], measure)} ({interval})"


def dose_check_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """Return the slope of the line under other choices and without each trial; main first."""
    found = result["dose_response"]
    if found is None or found["withheld"] or found["checks"]["withheld"]:
        return []
    measure = Measure(result["measure"])
    checks = found["checks"]
    rows = [_check("The line shown above", found["linear"]["k"], found["linear"]["slope"], measure)]
    rows += [_check(item["label"], item["k"], item, measure) for item in checks["companions"]]
    left = checks["leave_one_out"]
    rows += [
        _check(
            f"Without {item['label']}{', one slope for all' if item['method'] == 'common' else ''}",
            item["k"],
            item,
            measure,
        )
        for item in (left["rows"] if left else [])
    ]
    return rows


def _check(label: str, k: int, slope: dict[str, Any], measure: Measure) -> dict[str, str]:
    interval = interval_words(slope["ci_low"], slope["ci_high"], measure)
    shown = f"{written(slope['estimate'], measure)} ({interval})"
    return {"label": label, "k": str(k), "shown": shown}


def two_stage_words(result: dict[str, Any]) -> str:
    """Return how a slope per trial, pooled by another program, agrees with the one stage."""
    found = result["dose_response"]
    if found is None or found["withheld"]:
        return ""
    stages = found["checks"]["two_stage"]
    if stages is None:
        return ""
    measure = Measure(result["measure"])
    slopes = "; ".join(
        f"{item['label']} {written(item['estimate'], measure)}" for item in stages["slopes"]
    )
    return (
        f"In two stages, a slope per trial ({slopes}) and their pool by {stages['engine']} "
        f"{stages['version']}: the pool {agreement_words(stages['agrees_to'])} of a standard "
        "error with the line in one stage."
    )
