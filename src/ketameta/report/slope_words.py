"""What a meta-regression found, in words: the change of the effect per step of the moderator."""

from __future__ import annotations

import math
from typing import Any

from ketameta.analyses.words import measure_words
from ketameta.numberformat import format_interval, format_number, format_percent
from ketameta.vocabulary import Measure

#: Steps in which a change can be read, and their words.
STEPS: dict[str, tuple[float, str]] = {
    "year": (10, "10 years later"),
    "time_days": (7, "7 days longer"),
    "n_participants": (100, "100 people more"),
    "age_mean_years": (10, "10 years older"),
    "female_percent": (10, "10 percentage points more women or girls"),
    "adhd_inattentive_percent": (10, "10 percentage points more with the inattentive presentation"),
}


def slope_words(result: dict[str, Any]) -> dict[str, str]:
    """Return a sentence per continuous moderator that could be fitted, by its name."""
    measure = Measure(result["measure"])
    return {
        item["moderator"]: _sentence(item, measure)
        for item in result.get("regressions") or ()
        if not item["withheld"]
    }


def _sentence(item: dict[str, Any], measure: Measure) -> str:
    step, words = STEPS[item["moderator"]]
    values = [step * item[name] for name in ("slope", "ci_low", "ci_high")]
    how = "changes by"
    if measure.is_ratio:
        values, how = [math.exp(value) for value in values], "is multiplied by"
    change = f"{format_number(values[0])} ({format_interval(values[1], values[2])})"
    r2 = "" if item["r2"] is None else f"; it explains {format_percent(item['r2'])} of the variance"
    between = f"{r2} between trials" if r2 else ""
    return f"{words[:1].upper()}{words[1:]}: the {measure_words(measure)} {how} {change}{between}."
