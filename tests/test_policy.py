"""What leads is decided by the design, never by the outcome, and the rule says so."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.stats import nchypergeom_fisher

import ketameta as km
from ketameta import effects
from ketameta.analyses import (
    LEADING_RULES,
    AnalysisSpec,
    Headline,
    Model,
    counts_of,
    direction_words,
    effect_words,
    headline_of,
    rule_of,
    side_of,
)
from ketameta.measures import Measure
from ketameta.models import bayes_event_counts
from tolerances import DIRECT, PUBLISHED

#: Three trials of blurred vision: every event on control of the first arm is missing.
BLURRED = [(17, 231, 0, 113), (27, 227, 11, 225), (23, 126, 1, 126)]


def question(measure: str = "SMD", kind: str = "pooled", **model: Any) -> AnalysisSpec:
    return AnalysisSpec.model_construct(
        kind=kind, favours=("Favours ketamine", "More events"), looked_for="a trial",
        model=Model(measure=measure, **model), title="Demo",
    )  # fmt: skip


def trial(estimate: float, se: float, number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "label": f"Alder 20{number:02d}", "estimate": estimate, "se": se, "variance": se**2,
        "ci_low": estimate - 1.96 * se, "ci_high": estimate + 1.96 * se, "n_participants": 40,
        "n_treatment": 20, "n_control": 20,
        "comparator": "placebo", "background_treatment": "", "diagnosis": "adhd",
        "design": "parallel_rct", **more,
    }  # fmt: skip


def counted(*tables: tuple[int, int, int, int]) -> list[dict[str, Any]]:
    rows = []
    for number, (a, n1, c, n2) in enumerate(tables, start=1):
        size = effects.log_risk_ratio([a], [n1], [c], [n2])
        rows.append(
            trial(float(size.estimate[0]), math.sqrt(float(size.variance[0])), number,
                  events_treatment=a, n_treatment=n1, events_control=c, n_control=n2,
                  n_participants=n1 + n2)
        )  # fmt: skip
    return rows


def continuous(k: int) -> list[dict[str, Any]]:
    return [trial(-0.5 + 0.3 * (i % 3), 0.2 + 0.01 * i, i + 1) for i in range(k)]


# --- the rule -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "code"),
    [(0, "no_trials"), (1, "single_trial"), (2, "few_trials"), (4, "few_trials"),
     (5, "several_trials"), (40, "several_trials")],
)  # fmt: skip
def test_the_number_of_trials_decides_what_leads(k: int, code: str) -> None:
    found = headline_of(question(), continuous(k))
    assert found["rule"]["code"] == code
    assert found["rule"]["sentence"].startswith(LEADING_RULES[code])


@pytest.mark.parametrize(
    ("tables", "code"),
    [
        ([(9, 152, 0, 145)], "single_trial_sparse"),
        ([(23, 91, 22, 90)], "single_trial"),
        (BLURRED, "few_trials_sparse"),
        ([(40, 100, 20, 100), (30, 90, 15, 90)], "few_trials"),
        ([(40, 100, 20, 100), (2, 90, 15, 90)], "few_trials_sparse"),
        ([(40, 100, 5, 100), (30, 90, 4, 90)], "few_trials_sparse"),
        ([(0, 10, 0, 10), (0, 20, 0, 20)], "no_events"),
        ([(3, 50, 1, 50)] * 6, "several_trials_sparse"),
        ([(3, 50, 0, 50)] * 6, "several_trials_one_sided"),
    ],
)
def test_sparsity_is_read_from_the_counts_alone(tables: Any, code: str) -> None:
    found = headline_of(question("RR"), counted(*tables))
    assert found["rule"]["code"] == code
    assert found["measure"] == ("OR" if code.endswith(("_sparse", "_one_sided")) else "RR")


@given(st.floats(-5, 5), st.integers(1, 12))
def test_no_effect_changes_the_rule(shift: float, k: int) -> None:
    rows = [{**row, "estimate": row["estimate"] + shift} for row in continuous(k)]
    measure = Measure.SMD
    assert rule_of(k, counts_of(rows, measure)) == rule_of(k, counts_of(continuous(k), measure))


def test_counts_that_share_people_or_miss_an_arm_have_no_exact_likelihood() -> None:
    rows = counted(*BLURRED)
    assert counts_of([*rows[:2], {**rows[2], "events_control": None}], Measure.RR) is None
    assert counts_of([{**row, "design": "crossover_rct"} for row in rows], Measure.RR) is None


def test_groups_that_stand_alone_have_no_estimate_together() -> None:
    found = headline_of(question(), continuous(6), instead="groups_apart")
    assert (
        found["estimate"] is None
        and found["beside"] == []
        and found["rule"]["code"] == "groups_apart"
    )
    assert "each stands alone" in found["sentence"]


# --- the estimates --------------------------------------------------------------------------------


def test_few_trials_are_led_by_the_bayesian_model_of_the_library() -> None:
    rows = continuous(3)
    found = headline_of(question(tau_prior_scale=0.25), rows)
    fit = km.bayes_random_effects(
        [row["estimate"] for row in rows], [row["variance"] for row in rows], tau_prior_scale=0.25
    )
    assert (found["estimate"], found["ci_low"], found["ci_high"]) == (
        fit.mu.median, fit.mu.ci_low, fit.mu.ci_high
    )  # fmt: skip
    assert (found["tau"], found["prior_scale"]) == (fit.tau.median, 0.25)
    assert (found["pi_low"], found["pi_high"]) == (fit.new_effect.ci_low, fit.new_effect.ci_high)


@pytest.mark.parametrize(("k", "said"), [(1, False), (3, True), (6, True)])
def test_a_prior_scale_of_the_analysis_file_is_called_a_choice(k: int, said: bool) -> None:
    words = "The scale of the prior (5) is chosen for this analysis and has no source"
    found = headline_of(question("MD", tau_prior_scale=5.0), continuous(k))
    assert (words in found["rule"]["sentence"]) == said
    scales = {item["label"] for item in found["beside"]}
    for factor in ("2.5", "10") if said else ():
        assert any(f"half-normal({factor}) prior" in label for label in scales)
    assert "chosen" not in headline_of(question("MD"), continuous(k))["rule"]["sentence"]


def test_sparse_counts_are_led_by_their_exact_likelihood() -> None:
    found = headline_of(question("RR"), counted(*BLURRED))
    fit = bayes_event_counts(*np.array(BLURRED).T)
    assert (found["estimate"], found["ci_low"], found["ci_high"]) == (
        fit.estimate, fit.ci_low, fit.ci_high
    )  # fmt: skip
    by_code = {item["code"]: item for item in found["beside"]}
    # The values that the policy was written on: Mantel-Haenszel odds ratio and Knapp-Hartung.
    assert math.exp(by_code["mantel_haenszel"]["estimate"]) == pytest.approx(5.64, abs=0.01)
    assert by_code["mantel_haenszel"]["common_effect"] and by_code["peto"]["common_effect"]
    assert math.exp(by_code["knapp_hartung"]["ci_high"]) == pytest.approx(262.95, abs=0.01)


def test_five_trials_are_led_by_reml_never_narrower_than_wald() -> None:
    rows = continuous(5)
    found = headline_of(question(), rows)
    fit = km.random_effects([r["estimate"] for r in rows], [r["variance"] for r in rows])
    assert (found["estimate"], found["ci_low"], found["pi_high"]) == (
        fit.estimate,
        fit.ci_low,
        fit.pi_high,
    )
    wald = next(item for item in found["beside"] if item["code"] == "wald")
    assert found["ci_high"] - found["ci_low"] >= wald["ci_high"] - wald["ci_low"]


def test_the_exact_interval_leaves_half_of_alpha_beyond_each_end() -> None:
    a, n1, c, n2 = 9, 152, 2, 145
    found = headline_of(question("RR"), counted((a, n1, c, n2)))
    above = nchypergeom_fisher.sf(a - 1, n1 + n2, n1, a + c, math.exp(found["ci_low"]))
    below = nchypergeom_fisher.cdf(a, n1 + n2, n1, a + c, math.exp(found["ci_high"]))
    assert above == pytest.approx(0.025, rel=PUBLISHED)
    assert below == pytest.approx(0.025, rel=PUBLISHED)


def test_an_arm_without_events_leaves_one_side_without_bound() -> None:
    found = headline_of(question("RR"), counted((9, 152, 0, 145)))
    assert found["estimate"] is None and found["ci_high"] is None and found["side"] == "higher"
    assert "9 of 152 against 0 of 145" in found["sentence"]
    assert "at least 1.95, without a bound above" in found["sentence"]
    assert found["absolute"] is None and found["absolute_withheld"]


@pytest.mark.parametrize("k", [2, 3, 4, 5, 9, 10, 30])
def test_the_other_intervals_stand_beside_whatever_their_number(k: int) -> None:
    found = headline_of(question(), continuous(k))
    codes = [item["code"] for item in found["beside"]]
    everything = {"knapp_hartung", "wald", "common_effect", "bayes"}
    assert everything <= {
        *codes,
        {"few_trials": "bayes"}.get(found["rule"]["code"], "knapp_hartung"),
    }
    assert {"bayes_half_scale", "bayes_double_scale"} <= set(codes)
    assert codes[:k] == ["trial"] * k if k < 5 else "trial" not in codes
    assert (found["pi_low"] is None) == (k == 2)


@pytest.mark.parametrize(("k", "code"), [(6, "bayes_exact"), (25, "bayes")])
def test_many_sparse_trials_have_the_normal_model_beside(k: int, code: str) -> None:
    found = headline_of(question("RR"), counted(*[(3, 50, 1 + i % 2, 50) for i in range(k)]))
    codes = {item["code"] for item in found["beside"]}
    assert found["rule"]["code"] == "several_trials_sparse"
    assert {code, "mantel_haenszel", "peto"} <= codes
    assert {"bayes", "bayes_exact"} & codes == {code}


def test_a_common_effect_never_leads() -> None:
    for rows, measure in ((continuous(3), "SMD"), (counted(*BLURRED), "RR")):
        found = headline_of(question(measure), rows)
        assert not any(word in found["method"] for word in ("Common", "Mantel", "Peto"))


def test_another_answer_of_another_model_is_said_with_its_reason() -> None:
    rows = [trial(-0.29, 0.395, 1), trial(-1.09, 0.357, 2), trial(-0.9, 0.3, 3)][1:]
    found = headline_of(question(), rows)
    assert found["side"] == "lower"
    assert "a t interval on 1 degree of freedom" in found["disagreement"]


# --- what it means --------------------------------------------------------------------------------


def test_absolute_effects_come_from_the_baseline_and_the_ratio() -> None:
    rows = counted((40, 100, 20, 100), (30, 90, 15, 90))
    found = headline_of(question("RR"), rows)
    risk = 35 / 190
    assert found["absolute"] is not None and found["estimate"] is not None
    assert found["absolute"]["control"] == pytest.approx(1000 * risk, rel=DIRECT)
    assert found["absolute"]["treated"] == pytest.approx(
        1000 * risk * math.exp(found["estimate"]), rel=DIRECT
    )
    assert found["absolute"]["difference_low"] == pytest.approx(
        1000 * risk * (math.exp(found["ci_low"]) - 1), rel=DIRECT
    )
    assert "on control (events over people of all control arms" in found["absolute"]["sentence"]


def test_scores_have_no_absolute_effect_and_say_so() -> None:
    found = headline_of(question(), continuous(3))
    assert found["absolute"] is None and "how many people" in found["absolute_withheld"]


# --- in words -------------------------------------------------------------------------------------


def test_the_sentence_has_people_comparator_background_unit_and_direction() -> None:
    rows = [{**row, "background_treatment": "methylphenidate"} for row in continuous(2)]
    text = headline_of(question(), rows)["sentence"]
    for part in ("2 trials with 80 people (adhd)", "against placebo", "standardised mean",
                 "both arms also taking methylphenidate", "95% credible interval"):  # fmt: skip
        assert part in text
    alone = headline_of(question(), continuous(1))["sentence"]
    assert alone.startswith("One trial (Alder 2001) with 40 people")
    unknown = [{**row, "n_participants": None} for row in continuous(3)]
    assert headline_of(question(), [*unknown, *continuous(1)])["sentence"].startswith(
        "4 trials with at least 40 people"
    )
    assert headline_of(question(), [])["sentence"] == (
        "No eligible trial was found. We looked for a trial."
    )


def test_an_interval_on_both_sides_says_which_side_is_which() -> None:
    text = headline_of(question(), [trial(0.1, 0.5, 1), trial(-0.2, 0.5, 2)])["sentence"]
    assert text.endswith("the interval includes no difference (lower favours ketamine).")


def test_background_that_differs_is_said_to_differ() -> None:
    rows = continuous(2)
    rows[0]["background_treatment"] = "methylphenidate"
    assert "in some trials (methylphenidate)" in headline_of(question(), rows)["sentence"]
    rows[1]["background_treatment"] = "lithium"
    assert (
        "what differs by trial (methylphenidate; lithium)"
        in (headline_of(question(), rows)["sentence"])
    )


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        ("SMD", "standardised mean difference \u22120.50 (95% confidence interval"),
        ("MD", "mean difference in points of the scale \u22120.50 (95% confidence interval"),
        ("RR", "risk ratio 0.61 (95% confidence interval"),
    ],
)
def test_an_estimate_in_words(measure: str, text: str) -> None:
    found = headline_of(question(measure), continuous(1), unit="points of the scale")
    assert effect_words(found).startswith(text)


def test_differences_within_trials_are_called_so() -> None:
    order = {"group_order": ("naive", "treated")}
    found = headline_of(question("OR", "within_trial", **order), continuous(3))
    assert (
        found["effect"] == "ratio of odds ratios" and "for naive minus treated" in found["sentence"]
    )
    scores = headline_of(question("SMD", "within_trial", **order), continuous(3))
    assert scores["effect"] == "difference between the groups in standardised mean difference"


@pytest.mark.parametrize(
    ("low", "high", "side", "text"),
    [
        (-0.9, -0.1, "lower", "the whole interval lies on the side that favours ketamine"),
        (0.1, 0.9, "higher", "the whole interval lies on the side that means more events"),
        (0.1, None, "higher", "the whole interval lies on the side that means more events"),
        (-0.9, 0.1, "unclear", "the interval includes no difference"),
        (-0.9, 0.0, "unclear", "the interval includes no difference"),
        (None, 0.9, "unclear", "the interval includes no difference"),
        (None, None, "none", "no interval can be given"),
    ],
)
def test_the_side_of_the_interval(
    low: float | None, high: float | None, side: str, text: str
) -> None:
    assert side_of(low, high) == side
    assert direction_words(side_of(low, high), ["Favours ketamine", "More events"]) == text


def test_a_headline_is_what_the_schema_says() -> None:
    TypeAdapter(Headline).validate_python(headline_of(question("RR"), counted(*BLURRED)))
