"""Sentences are written from results: the number, the side it lies on, and what is not said."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketameta.analyses import sentences
from ketameta.measures import Measure


def pooled(
    estimate: float = -0.5, low: float | None = -0.9, high: float | None = -0.1, **more: Any
) -> dict[str, Any]:
    return {
        "estimate": estimate, "ci_low": low, "ci_high": high, "pi_low": -1.4, "pi_high": 0.4,
        "tau2": 0.0, "i2": 0.456, "level": 0.95, "q_p_value": 0.3, "tau2_method": "REML", **more,
    }  # fmt: skip


def headline(k: int = 4, **more: Any) -> dict[str, Any]:
    return {
        "rule": {"code": "few_trials", "sentence": ""}, "k": k, "measure": "SMD", "level": 0.95,
        "interval": "credible",
        "estimate": -0.5, "tau": 0.3, "pi_low": -1.4, "pi_high": 0.4, "prediction": "",
        "sentence": "The headline.", "sources": f"{k} trials", **more,
    }  # fmt: skip


def result(k: int = 4, **more: Any) -> dict[str, Any]:
    return {
        "kind": "pooled",
        "measure": "SMD",
        "k": k,
        "n_participants": 1234,
        "n_trials_without_size": 0,
        "headline": headline(),
        "pooled": pooled(),
        "favours": ["Favours ketamine", "Favours control"],
        "looked_for": "a trial of ketamine in ADHD",
        "groups": [{"label": None, "rows": [{"label": "Alder 2014"}], "pooled": None}],
        "sensitivity": [],
        "is_ratio": False,
        "excluded": [],
        "unused": [],
        **more,
    }


# --- numbers as readers see them ------------------------------------------------------------------


@pytest.mark.parametrize("measure", list(Measure))
def test_ratios_are_shown_as_ratios_and_differences_as_they_are(measure: Measure) -> None:
    expected = 2.0 if measure.is_ratio else math.log(2)
    assert float(sentences.written(math.log(2), measure)) == pytest.approx(expected, abs=0.005)
    assert sentences.written(None, measure) == "–"


@given(st.floats(-2000, 2000), st.sampled_from(list(Measure)))
def test_no_number_is_too_large_to_be_written(value: float, measure: Measure) -> None:
    text = sentences.written(value, measure)
    assert text and "nan" not in text and "inf" not in text
    if measure.is_ratio and value > 8:
        assert text == "> 1,000"
    if measure.is_ratio and value < -8:
        assert text == "< 0.01"


# --- the main sentence ----------------------------------------------------------------------------


def test_no_trial_is_said_as_clearly_as_an_estimate() -> None:
    text = sentences.main_sentence(result(0, pooled=None, groups=[]))
    assert text == "No eligible trial was found. We looked for a trial of ketamine in ADHD."


def test_what_is_known_where_no_trial_enters_is_counted_and_named_with_its_numbers() -> None:
    def left(name: str, code: str, design: str = "parallel_rct", **people: float) -> dict[str, Any]:
        counts = ("events_treatment", "n_treatment", "events_control", "n_control")
        return {
            "study_id": name, "label": name.title(), "code": code, "reason": f"{code} is another",
            "design": design, **dict.fromkeys(counts), **people,
        }  # fmt: skip

    people = {"events_treatment": 9, "n_treatment": 152, "events_control": 0, "n_control": 145}
    found = result(
        0, is_ratio=True,
        excluded=[left("daly", "design", "withdrawal_rct", **people), left("birch", "time"),
                  left("label", "design", "pooled_rcts", **people)],
        unused=[left("maple", "no_n"), left("maple", "no_variance"), left("daly", "no_n"),
                left("pool", "no_n", "pooled_rcts")],
    )  # fmt: skip
    said, names = sentences.found_words(found)
    unusable = "2 studies, no number that can be used here"
    assert said == f"1 study, counted in other comparisons; {unusable}"
    assert names == (
        "Daly: design is another, 9 of 152 on treatment and 0 of 145 on control; Maple; "
        "Birch: time is another"
    )
    assert sentences.nothing_found(found) == (
        f"No eligible trial was found. Found instead: {said} ({names})."
    )
    assert sentences.found_words(result(0)) == ("no study", "")


def test_the_main_sentence_is_that_of_the_headline() -> None:
    assert sentences.main_sentence(result(4)) == "The headline."


def test_groups_that_stand_alone_are_said_one_by_one() -> None:
    groups = [
        {"label": "Attention", "headline": headline(sentence="2 trials.")},
        {"label": "Nothing", "headline": None},
    ]
    apart = headline(rule={"code": "groups_apart", "sentence": ""})
    found = result(3, headline=apart, groups=groups)
    assert sentences.group_sentences(found) == ["Attention: 2 trials."]
    assert sentences.group_sentences(result(3, groups=groups)) == []


# --- the sentences that follow --------------------------------------------------------------------


def test_a_prediction_interval_is_said_with_its_level_or_withheld_with_a_reason() -> None:
    assert sentences.prediction_sentence(result(4)) == (
        "The 95% prediction interval for the true effect in a new, similar trial runs from −1.40 "
        "to 0.40."
    )
    two = result(2, headline=headline(2, pi_low=None, pi_high=None, prediction="Too few."))
    assert sentences.prediction_sentence(two) == "Too few."
    assert sentences.prediction_sentence(result(1, headline=headline(1))) == ""
    assert sentences.prediction_sentence(result(4, headline=headline(estimate=None))) == ""


@pytest.mark.parametrize(
    ("p", "says"),
    [
        (
            0.09,
            "and trials differ more than chance explains (p = 0.090 of the Q test, limit 0.10).",
        ),
        (0.01, "and trials differ more than chance explains (p = 0.010 of the Q test)."),
        (0.1, "differ more than chance explains is not shown (p = 0.10 of the Q test)."),
    ],
)
def test_heterogeneity_is_said_with_its_test(p: float, says: str) -> None:
    text = sentences.heterogeneity_sentence(result(4, pooled=pooled(q_p_value=p)))
    assert "(tau)" in text and "0.30" in text and "I² is 46%" in text and says in text
    for other in (result(1, headline=headline(1)), result(4, pooled=None)):
        assert sentences.heterogeneity_sentence(other) == ""


def test_two_estimates_of_tau_are_told_apart() -> None:
    said = sentences.heterogeneity_sentence(result(4))
    assert "0.30 by the Bayesian model that leads and as 0.00 by the usual model (REML)" in said
    assert "there I² is 46%" in said
    one = sentences.heterogeneity_sentence(result(9, headline=headline(9, interval="confidence")))
    assert "estimated as 0.30; I² is 46%" in one and "model" not in one
    other = sentences.heterogeneity_sentence(result(4, headline=headline(4, measure="OR")))
    assert other.endswith(
        "0.30 by the Bayesian model that leads, on the scale of the log odds ratio."
    )
