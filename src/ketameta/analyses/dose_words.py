"""Sentences about a dose-response result. Knows results as plain dictionaries."""

from __future__ import annotations

from typing import Any

from ketameta.analyses.dose_response import dose_label
from ketameta.analyses.words import interval_words, measure_words, written
from ketameta.numberformat import format_level, format_number, format_p, plural
from ketameta.vocabulary import Measure


def dose_sentences(result: dict[str, Any]) -> list[str]:
    """Return what a dose-response analysis says, or why it says nothing."""
    found = result["dose_response"]
    if found is None or result["k"] == 0:
        return []
    if found["withheld"]:
        return [f"No curve is drawn: {found['withheld']}."]
    measure = Measure(result["measure"])
    level = format_level(result["level"])
    doses = ", ".join(dose_label(dose, found["unit"]) for dose in found["doses"])
    sentences = [f"Doses given: {doses}."]
    if not found["linear"]["withheld"]:
        sentences.append(_slope_sentence(found, measure, level))
    if found["nonlinearity"] is not None:
        one = ", with one curve for all trials" if found["spline"]["method"] == "common" else ""
        sentences.append(f"Test that the relation is not a line{one}: {test_words(found)}.")
    else:
        sentences.append(f"Whether it is a line cannot be tested: {found['spline']['withheld']}.")
    sentences.append(_among_sentence(found, measure, level))
    return sentences


def _slope_sentence(found: dict[str, Any], measure: Measure, level: str) -> str:
    slope = found["linear"]["slope"]
    step = dose_label(found["step"], found["unit"])
    how = "is multiplied by" if measure.is_ratio else "changes by"
    return (
        f"On a line through no effect at no dose the {measure_words(measure)} {how} "
        f"{slope_words(slope, measure, level)} per {step}, {format_p(slope['p_value'])}."
    )


def _among_sentence(found: dict[str, Any], measure: Measure, level: str) -> str:
    among = found["among_doses"]
    if among["withheld"]:
        return f"Whether more does more among treated people cannot be said: {among['withheld']}."
    step = dose_label(found["step"], found["unit"])
    how = "multiplies" if measure.is_ratio else "changes"
    return (
        f"Among treated people, within {plural(among['k'], 'trial')} with two doses or more, each "
        f"further {step} {how} the {measure_words(measure)} by "
        f"{slope_words(among['slope'], measure, level)}, {format_p(among['slope']['p_value'])}."
    )


def slope_words(slope: dict[str, Any], measure: Measure, level: str) -> str:
    """Return ``1.20 (95% CI 1.05 to 1.37)``."""
    interval = interval_words(slope["ci_low"], slope["ci_high"], measure)
    return f"{written(slope['estimate'], measure)} ({level} CI {interval})"


def test_words(found: dict[str, Any]) -> str:
    """Return the test of the spline's curvature in words."""
    test = found["nonlinearity"]
    if test["df2"] is None:
        name = f"chi-squared {format_number(test['statistic'])} on {test['df']} df"
    else:
        name = f"F {format_number(test['statistic'])} on {test['df']} and {test['df2']} df"
    return f"{name}, {format_p(test['p_value'])}"
