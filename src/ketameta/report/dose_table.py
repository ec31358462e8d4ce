"""The table beside a dose-response result: the effect at each dose by the line and the spline.

Rows of formatted text from results; computes nothing.
"""

from __future__ import annotations

from typing import Any

from ketameta.analyses.dose_response import dose_label
from ketameta.analyses.words import interval_words, written
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
