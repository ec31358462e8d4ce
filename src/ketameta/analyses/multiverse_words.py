"""Names of choices and sentences about all their combinations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ketameta.analyses.words import interval_words, written
from ketameta.numberformat import format_count, format_percent

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec

#: Choices as readers see them.
CHOICE_LABELS: Mapping[str, str] = {
    "correlation": "Assumed correlation",
    "measure": "Measure",
    "overlap": "Where trials and pooled reports share people",
    "spread": "Standard deviations",
    "source": "Sources",
    "tau2_method": "Between-trial variance",
    "ci_method": "Interval",
}
_OPTION_LABELS: Mapping[str, str] = {
    "knapp-hartung-conservative": "Knapp–Hartung, floored",
    "knapp-hartung": "Knapp–Hartung",
    "wald": "Wald",
    "RR": "risk ratio",
    "OR": "odds ratio",
    "RD": "risk difference",
    "raw": "without those from models",
    "full_access": "read in full only",
    "declared": "as declared",
    "trials": "trials",
    "pools": "pooled reports",
}


def option_label(choice: str, value: str | float) -> str:
    """Return one option as readers see it."""
    if choice == "correlation":
        return f"{value:g}"
    return _OPTION_LABELS.get(str(value), str(value))


def multiverse_sentences(result: Mapping[str, Any], spec: AnalysisSpec) -> list[str]:
    """Return what the combinations say, in words."""
    measure, n = spec.model.measure, result["n_pooled"]
    counts = result["excludes"]
    few = result["n"] - n
    sentences = [
        f"{format_count(n)} combinations of defensible choices were computed"
        + (f"; {format_count(few)} more leave fewer than two trials." if few else ".")
    ]
    decided = counts["below"] + counts["above"]
    share = f"{format_count(decided)} of {format_count(n)} ({format_percent(decided / n)})"
    if decided == 0:
        sentences.append("In none of them does the interval exclude no effect.")
    elif counts["below"] and counts["above"]:
        sentences.append(
            f"In {share} the interval excludes no effect: "
            f"{format_count(counts['below'])} below it, {format_count(counts['above'])} above it."
        )
    else:
        place, side = ("below", 0) if counts["below"] else ("above", 1)
        where = "all of them" if decided == n else share
        means = spec.favours[side][:1].lower() + spec.favours[side][1:]
        sentences.append(f"In {where} the interval lies wholly {place} no effect ({means}).")
    spread = interval_words(result["lowest"], result["highest"], measure)
    sentences.append(
        f"The estimates run from {spread}, with a median of {written(result['median'], measure)}."
    )
    sentences += _what_matters(result["choices"])
    return sentences


def _what_matters(choices: list[dict[str, Any]]) -> list[str]:
    moving = [item for item in choices if (item["effect"]["in_all"] or 0) > 0]
    turning = [item for item in choices if (item["effect"]["changes"] or 0) > 0]
    found = []
    if moving:
        first = max(moving, key=lambda item: item["effect"]["in_all"])
        found.append(
            f"What moves the estimate most: {_lower_first(first['label'])} "
            f"({format_percent(first['effect']['in_all'])} of the spread of estimates)."
        )
    if turning:
        first = max(turning, key=lambda item: item["effect"]["changes"])
        found.append(
            f"What changes the conclusion most often: {_lower_first(first['label'])} "
            f"({format_percent(first['effect']['changes'])} of the switches from one option to "
            "another)."
        )
    else:
        found.append("No single switch changes the conclusion.")
    return found


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
