"""Sentences are written from results: the number, the side it lies on, and what is not said."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketameta.analyses import words
from ketameta.measures import Measure


def pooled(
    estimate: float = -0.5, low: float | None = -0.9, high: float | None = -0.1, **more: Any
) -> dict[str, Any]:
    return {
        "estimate": estimate, "ci_low": low, "ci_high": high, "pi_low": -1.4, "pi_high": 0.4,
        "tau2": 0.09, "i2": 0.456, "level": 0.95, **more,
    }  # fmt: skip


def result(k: int = 4, **more: Any) -> dict[str, Any]:
    return {
        "kind": "pooled",
        "measure": "SMD",
        "k": k,
        "n_participants": 1234,
        "n_trials_without_size": 0,
        "pooled": pooled(),
        "favours": ["Favours ketamine", "Favours control"],
        "looked_for": "a trial of ketamine in ADHD",
        "groups": [{"label": None, "rows": [{"label": "Alder 2014"}], "pooled": None}],
        "companions": [],
        **more,
    }


# --- numbers as readers see them ------------------------------------------------------------------


@pytest.mark.parametrize("measure", list(Measure))
def test_ratios_are_shown_as_ratios_and_differences_as_they_are(measure: Measure) -> None:
    expected = 2.0 if measure.is_ratio else math.log(2)
    assert words.shown(math.log(2), measure) == pytest.approx(expected)
    assert words.shown(None, measure) is None
    assert words.written(None, measure) == "–"


@given(st.floats(-2000, 2000), st.sampled_from(list(Measure)))
def test_no_number_is_too_large_to_be_written(value: float, measure: Measure) -> None:
    text = words.written(value, measure)
    assert text and "nan" not in text and "inf" not in text
    if measure.is_ratio and value > 8:
        assert text == "> 1,000"
    if measure.is_ratio and value < -8:
        assert text == "< 0.01"


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        ("SMD", "standardised mean difference is −0.50 (95% CI −0.90 to −0.10)"),
        ("MD", "mean difference is −0.50 (95% CI −0.90 to −0.10)"),
        ("SMCR", "standardised mean change is −0.50 (95% CI −0.90 to −0.10)"),
        ("RR", "risk ratio is 0.61 (95% CI 0.41 to 0.90)"),
        ("OR", "odds ratio is 0.61 (95% CI 0.41 to 0.90)"),
        ("RD", "risk difference is −0.50 (95% CI −0.90 to −0.10)"),
    ],
)
def test_an_estimate_in_words(measure: str, text: str) -> None:
    assert words.estimate_words(pooled(), Measure(measure)) == text


def test_the_level_is_the_one_of_the_result() -> None:
    assert "(97.5% CI" in words.estimate_words(pooled(level=0.975), Measure.SMD)


def test_differences_within_trials_are_called_so() -> None:
    assert words.estimate_words(pooled(), Measure.SMD, "within_trial").startswith(
        "difference between the groups in standardised mean difference is"
    )
    assert words.estimate_words(pooled(), Measure.OR, "within_trial").startswith(
        "ratio of odds ratios is"
    )


# --- the main sentence ----------------------------------------------------------------------------


def test_no_trial_is_said_as_clearly_as_an_estimate() -> None:
    text = words.main_sentence(result(0, pooled=None, groups=[]))
    assert text == "No eligible trial was found. We looked for a trial of ketamine in ADHD."


def test_one_trial_is_shown_and_not_pooled() -> None:
    text = words.main_sentence(result(1, n_participants=60))
    assert text == (
        "One trial with 60 people (Alder 2014) is eligible: the standardised mean difference is "
        "−0.50 (95% CI −0.90 to −0.10); the whole interval lies on the side that favours "
        "ketamine. A single trial is shown as it is; nothing is pooled."
    )


def test_several_trials_are_said_with_their_people_and_direction() -> None:
    assert words.main_sentence(result(4)) == (
        "Across 4 trials with 1,234 people, the standardised mean difference is −0.50 (95% CI "
        "−0.90 to −0.10); the whole interval lies on the side that favours ketamine."
    )


@pytest.mark.parametrize(
    ("people", "without", "text"),
    [
        (1234, 1, "with at least 1,234 people"),
        (0, 4, "Across 4 trials, the"),
        (5, 0, "with 5 people"),
    ],
)
def test_people_who_are_not_printed_are_not_counted(people: int, without: int, text: str) -> None:
    assert text in words.main_sentence(
        result(4, n_participants=people, n_trials_without_size=without)
    )


def test_different_measurements_are_said_apart() -> None:
    groups = [
        {"label": "Attention", "rows": [1, 2], "pooled": pooled()},
        {"label": "Memory", "rows": [1], "pooled": pooled(0.2, -0.1, 0.5)},
        {"label": "Nothing", "rows": [], "pooled": None},
    ]
    found = result(3, pooled=None, groups=groups)
    assert words.main_sentence(found) == (
        "3 trials with 1,234 people; different measurements are not pooled together."
    )
    assert words.group_sentences(found) == [
        "Attention: 2 trials, the standardised mean difference is −0.50 (95% CI −0.90 to −0.10).",
        "Memory: 1 trial, the standardised mean difference is 0.20 (95% CI −0.10 to 0.50).",
    ]
    assert words.group_sentences(result(3, groups=groups)) == []


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-0.9, -0.1, "the whole interval lies on the side that favours ketamine"),
        (0.1, 0.9, "the whole interval lies on the side that means more events"),
        (-0.9, 0.1, "the interval includes no difference"),
        (-0.9, 0.0, "the interval includes no difference"),
        (0.0, 0.9, "the interval includes no difference"),
        (None, None, "no interval can be given"),
    ],
)
def test_the_side_of_the_interval(low: float | None, high: float | None, text: str) -> None:
    favours = ["Favours ketamine", "More events"]
    assert words.direction_words(pooled(0, low, high), Measure.SMD, favours) == text


# --- the sentences that follow --------------------------------------------------------------------


def test_a_prediction_interval_is_said_with_its_level_or_withheld_with_a_reason() -> None:
    assert words.prediction_sentence(result(4)) == (
        "The 95% prediction interval for the true effect in a new, similar trial runs from −1.40 "
        "to 0.40."
    )
    two = result(2, pooled=pooled(pi_low=None, pi_high=None))
    assert words.prediction_sentence(two) == "Two trials are too few for a prediction interval."
    assert words.prediction_sentence(result(1)) == ""
    assert words.prediction_sentence(result(4, pooled=None)) == ""


def test_two_trials_show_their_other_intervals() -> None:
    companions = [
        {"code": "wald", "label": "Wald interval", "ci_low": -0.8, "ci_high": -0.2},
        {"code": "bayes", "label": "Bayesian", "ci_low": -1.0, "ci_high": 0.1},
        {"code": "tau2_dl", "label": "By DL", "ci_low": -1.0, "ci_high": 0.1},
    ]
    assert words.two_trials_sentence(result(2, companions=companions)) == (
        "With two trials no interval can be relied on alone (95% Wald interval: −0.80 to −0.20; "
        "Bayesian: −1.00 to 0.10)."
    )
    for other in (result(3, companions=companions), result(2, pooled=None)):
        assert words.two_trials_sentence(other) == ""


def test_heterogeneity_is_said_on_the_scale_of_the_effect() -> None:
    text = words.heterogeneity_sentence(result(4))
    assert "(tau)" in text and "0.30" in text and "I² is 46%" in text
    for other in (result(1), result(4, pooled=None), result(4, pooled=pooled(tau2=None))):
        assert words.heterogeneity_sentence(other) == ""
