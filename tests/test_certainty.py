"""Certainty: computed facts, judgements by people, and a rating only when all have judged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import ANALYSIS, effects_of, event, evidence_of, headline_of_numbers, spec_of, trials
from ketameta.analyses import (
    CONCERNS,
    DOMAINS,
    RATINGS,
    bias_facts,
    bias_judgement,
    important_difference,
    imprecision_facts,
    inconsistency_facts,
    indirectness_facts,
    publication_facts,
    rate,
    regions,
    run_analysis,
    share,
    summary_of_findings,
)
from ketameta.analyses.certainty import RULE, certainty
from ketameta.errors import SpecError
from ketameta.measures import ROB_DOMAINS, ROB_RANK
from ketameta.models import implied_sd, information_size_means, information_size_risks

ALL_JUDGED = "\n[judgements]\n" + "\n".join(
    f'{domain} = {{ level = "{level}", reason = "an invented reason" }}'
    for domain, level in zip(
        DOMAINS, ("serious", "no concern", "very serious", "no concern", "no concern"), strict=True
    )
)


def main_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for group in result["groups"] for row in group["rows"]]


def assessed(folder: Path, count: int, more: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the result of so many invented trials and its certainty."""
    spec, tables = spec_of(folder, more), trials(count)
    result = run_analysis(spec, effects_of(tables), evidence_of(tables))
    return result, certainty(spec, result, main_rows(result), [])


def row(**more: Any) -> dict[str, Any]:
    return {
        "study_id": "alder_2014",
        "outcome": "depression",
        "estimate": -0.4,
        "variance": 0.1,
        "weight": 0.5,
        "n_treatment": 20,
        "n_control": 20,
        "n_participants": 40,
        "design": "parallel_rct",
        "blinding": "double_blind",
        "access": "full_text",
        "diagnosis": "adhd",
        "intervention": "ketamine",
    } | more


# --- the rating -----------------------------------------------------------------------------------


def test_nobody_judged_means_not_rated(tmp_path: Path) -> None:
    _, found = assessed(tmp_path, 3)
    (only,) = found["assessments"]
    assert only["rating"]["provisional"] and only["rating"]["awaiting"] == 5
    assert only["rating"]["words"].startswith("provisional rating by rule: ")
    assert only["rating"]["words"].endswith("; risk of bias and publication bias not judged")
    assert [domain["code"] for domain in only["domains"]] == list(DOMAINS)
    assert all(domain["judgement"] is None for domain in only["domains"])


def test_all_judged_means_rated_and_reasons_kept(tmp_path: Path) -> None:
    _, found = assessed(tmp_path, 3, ALL_JUDGED)
    (only,) = found["assessments"]
    # high, less one for risk of bias and two for indirectness
    assert only["rating"]["level"] == "very low"
    assert only["domains"][2]["judgement"] == {
        "level": "very serious",
        "reason": "an invented reason",
    }
    assert only["summary"]["certainty"] == "very low"


@given(
    st.lists(st.sampled_from([*CONCERNS, None]), min_size=5, max_size=5),
    st.lists(st.sampled_from([*CONCERNS, None]), min_size=5, max_size=5),
    st.booleans(),
)
def test_a_judgement_replaces_the_rule_and_concerns_add_up(
    judged: list[str | None], ruled: list[str | None], randomised: bool
) -> None:
    found = rate(judged, ruled, randomised=randomised)
    levels = [one or other for one, other in zip(judged, ruled, strict=True)]
    down = sum(CONCERNS[level] for level in levels if level)
    most = 1 if levels[0] is None else 2 if None in levels else 3
    assert found["level"] == RATINGS[min(most, max(0, (3 if randomised else 1) - down))]
    assert found["provisional"] == (None in judged)
    assert ("provisional rating by rule" in found["words"]) == (None in judged)
    assert ("not judged" in found["words"]) == (None in levels)
    assert "GRADE" not in found["words"]


UNSURE = {"share_some_concerns": 0, "share_unclear": 0}


@pytest.mark.parametrize(
    ("domain", "facts", "level"),
    [
        ("risk_of_bias", {"share_not_judged": 1, "share_low": 0, "share_high": 0, **UNSURE}, None),
        ("risk_of_bias", {"share_not_judged": 0.2, "share_low": 0.8, "share_high": 0, **UNSURE},
         "no concern"),
        ("risk_of_bias", {"share_not_judged": 0, "share_low": 0.4, "share_high": 0.3, **UNSURE},
         "serious"),
        ("risk_of_bias", {"share_not_judged": 0, "share_low": 0.4, "share_high": 0.6, **UNSURE},
         "very serious"),
        ("inconsistency", {"k": 1, "pools": 0}, None),
        ("inconsistency", {"k": 4, "q_p_value": 0.1, "i2": 0.6, "pi_low": -1, "pi_high": 1},
         "no concern"),
        ("inconsistency", {"k": 4, "q_p_value": 0.06, "i2": 0.49, "pi_low": -1, "pi_high": 1},
         "no concern"),
        ("inconsistency", {"k": 4, "q_p_value": 0.09, "i2": 0.6, "pi_low": -1, "pi_high": 1},
         "serious"),
        ("inconsistency", {"k": 9, "q_p_value": 0.01, "i2": 0.8, "pi_low": -1, "pi_high": 1},
         "very serious"),
        ("indirectness", {"share_of_people": 1, "share_of_treatment": 1}, "no concern"),
        ("indirectness", {"share_of_people": 0, "share_of_treatment": 1}, "serious"),
        ("indirectness", {"share_of_people": 0, "share_of_treatment": 0}, "very serious"),
        ("indirectness", {"directness": "context", "share_of_people": 0,
                          "share_of_treatment": 0}, "no concern"),
        ("imprecision", {"ci_includes": [], "ci_low": 1, "ci_high": 2}, None),
        ("imprecision", {"ci_includes": [], "ci_low": 1, "ci_high": 2,
                         "information_size_reached": True}, "no concern"),
        ("imprecision", {"ci_includes": ["no effect"], "ci_low": -1, "ci_high": 2}, "serious"),
        ("imprecision", {"ci_includes": ["no effect"], "ci_low": -1, "ci_high": 2,
                         "information_size_reached": False}, "very serious"),
        ("publication_bias", {"k": 3, "pools": 0, "trials_without_usable_result": 1,
                              "egger_p_value": None}, None),
        ("publication_bias", {"k": 3, "pools": 0, "trials_without_usable_result": 3,
                              "egger_p_value": None}, "serious"),
        ("publication_bias", {"k": 12, "pools": 0, "trials_without_usable_result": 0,
                              "egger_p_value": 0.09}, "serious"),
    ],
)  # fmt: skip
def test_each_domain_has_its_rule_with_a_reason(
    domain: str, facts: dict[str, Any], level: str | None
) -> None:
    found, reason = RULE[domain](facts)
    assert found == level and reason and not reason.endswith(".")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('risk_of_bias = "serious"', "write {level"),
        ('risk_of_bias = { level = "severe", reason = "x" }', "'severe': choose one of no concern"),
        ('risk_of_bias = { level = "serious" }', "without reason"),
        ('risk_of_bia = { level = "serious", reason = "x" }', "did you mean risk_of_bias"),
    ],
)
def test_judgements_need_level_and_reason(tmp_path: Path, more: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        spec_of(tmp_path, f"\n[judgements]\n{more}\n")


# --- risk of bias ---------------------------------------------------------------------------------


def judged(study: str, domain: str, judgement: str, outcome: str = "") -> dict[str, str]:
    return {
        **{"study_id": study, "outcome": outcome, "domain": domain, "judgement": judgement},
        "tool": "rob2",
    }


def test_the_overall_domain_decides_and_otherwise_the_worst() -> None:
    rows = [judged("alder_2014", "randomisation", "high"), judged("alder_2014", "overall", "low")]
    assert bias_judgement("alder_2014", "depression", rows) == "low"
    assert bias_judgement("alder_2014", "depression", rows[:1]) == "high"
    assert bias_judgement("birch_2016", "depression", rows) is None
    own = [*rows, judged("alder_2014", "overall", "some_concerns", "depression")]
    assert bias_judgement("alder_2014", "depression", own) == "some_concerns"
    assert bias_judgement("alder_2014", "nausea", own) == "low"
    none = [judged("alder_2014", "overall", "not_assessed")]
    assert bias_judgement("alder_2014", "depression", none) is None
    some = [judged("alder_2014", domain, "low") for domain in ROB_DOMAINS["rob2"][:-1]]
    assert bias_judgement("alder_2014", "depression", some) == "low"
    assert bias_judgement("alder_2014", "depression_dataset", some) == "low"
    assert bias_judgement("alder_2014", "depression", some[1:]) == "unclear"
    words = {word: bias_judgement("a", "", [judged("a", "overall", word)]) for word in ROB_RANK}
    assert words["moderate"] == "some_concerns" and words["no_information"] == "unclear"
    assert words["serious"] == words["critical"] == "high"


def test_every_domain_has_its_shares_of_the_weight() -> None:
    rows = [row(weight=0.7), row(study_id="birch_2016", weight=0.3)]
    told = [
        judged("alder_2014", "randomisation", "low"),
        judged("birch_2016", "randomisation", "high"),
        judged("birch_2016", "measurement", "some_concerns"),
    ]
    facts, words = bias_facts(rows, told)
    at = facts["by_domain"]["rob2"]
    assert (at["randomisation"]["low"], at["randomisation"]["high"]) == pytest.approx((0.7, 0.3))
    assert at["measurement"]["some_concerns"] == pytest.approx(0.3)
    assert "randomisation 70%, 0%, 30%; measurement 0%, 30%, 0%." in words[1]


def test_shares_are_of_the_weight() -> None:
    rows = [
        row(weight=0.7, access="abstract"),
        row(study_id="birch_2016", weight=0.2, blinding="open_label"),
        row(study_id="cedar_2017", weight=0.1),
    ]
    facts, words = bias_facts(rows, [judged("alder_2014", "overall", "high")])
    assert facts["share_high"] == pytest.approx(0.7)
    assert facts["share_not_judged"] == pytest.approx(0.3)
    assert facts["share_double_blind"] == pytest.approx(0.8)
    assert facts["share_full_access"] == pytest.approx(0.3)
    assert "high 70%" in words[0] and "not judged 30%" in words[0]
    assert "judged for none" in bias_facts(rows, [])[1][0]
    assert share([row(weight=None), row(weight=0.9)], [True, False]) == 0.5


# --- inconsistency, indirectness, imprecision -----------------------------------------------------


def test_prediction_interval_is_held_against_no_effect_and_the_important_difference(
    tmp_path: Path,
) -> None:
    spec = spec_of(tmp_path, "\n[model]\nimportant_difference = -0.5\n")
    assert regions(spec, -0.9, 0.2) == [
        "effects on the side “favours ketamine”",
        "no effect",
        "effects on the side “favours control”",
        "the important difference of −0.50",
    ]
    assert regions(spec, -0.9, -0.6)[1] == "nothing smaller than the important difference of −0.50"
    assert regions(spec, -0.4, -0.1)[1] == "nothing as large as the important difference of −0.50"
    assert regions(spec_of(tmp_path), 0.1, 0.4) == ["effects on the side “favours control”"]


def test_inconsistency_counts_the_trials_on_the_other_side(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    pooled = {"i2": 0.42, "i2_ci_low": 0.0, "i2_ci_high": 0.8, "q_p_value": 0.1}
    led = headline_of_numbers(-0.5, -0.1, -0.3, pi_low=-0.9, pi_high=0.3)
    facts, words = inconsistency_facts(spec, led, pooled, [row(), row(estimate=0.1), row()])
    assert facts["trials_on_other_side"] == 1
    assert "1 of 3 trials" in words[0] and "42%" in words[0]
    assert "no effect" in words[1]
    few = headline_of_numbers(-0.5, -0.1, -0.3)
    assert "too few" in inconsistency_facts(spec, few, pooled, [row(), row()])[1][1]
    assert inconsistency_facts(spec, led, pooled, [row()])[1] == [
        "One trial: consistency cannot be assessed."
    ]


def test_indirectness_says_who_and_what(tmp_path: Path) -> None:
    rows = [
        row(weight=0.25),
        row(weight=0.75, diagnosis="major_depression", intervention="ketamine / esketamine"),
    ]
    facts, words = indirectness_facts(spec_of(tmp_path), rows)
    assert (facts["share_of_people"], facts["share_of_treatment"]) == (0.25, 1.0)
    assert words[1] == "People: ADHD, major depression. Measured: depression."
    other = indirectness_facts(spec_of(tmp_path), [row(intervention="memantine")])[0]
    assert other["share_of_treatment"] == 0.0


def test_information_size_of_a_standardised_difference(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "\n[model]\nimportant_difference = -0.5\n")
    facts, words = imprecision_facts(spec, headline_of_numbers(-0.8, 0.1), [row(), row()], None)
    # 63 per arm by the normal approximation, in every textbook
    assert facts["information_size"] == 126
    assert facts["n_participants"] == 80 and not facts["information_size_reached"]
    assert "126 people" in words[1] and "do not reach it" in words[1]


def test_information_size_of_events_is_a_quarter_of_the_control_risk(tmp_path: Path) -> None:
    text = ANALYSIS.replace("depression", "nausea").replace('"mood"', '"harms"')
    harms = spec_of(tmp_path, '\n[model]\nmeasure = "RR"\n', text)
    benefit = spec_of(tmp_path, '\n[model]\nmeasure = "RR"\n')
    events = {"baseline_risk": 0.1}
    up = imprecision_facts(harms, headline_of_numbers(0.1, 0.5), [row()], events)[0]
    down = imprecision_facts(benefit, headline_of_numbers(0.1, 0.5), [row()], events)[0]
    # power.prop.test(p1 = 0.1, p2 = 0.125 or 0.075, power = 0.8): 2506.2 and 2004.03 per arm
    assert up["information_size"] == information_size_risks(0.1, 0.25) == 2 * 2507
    assert down["information_size"] == information_size_risks(0.1, -0.25) == 2 * 2005
    assert "25% more than the 10.0% on control" in up["information_size_basis"]


def test_information_size_of_a_mean_difference_takes_the_trials_own_spread(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, '\n[model]\nmeasure = "MD"\nimportant_difference = -3\n')
    rows = [row(variance=9.0**2 * 2 / 20), row(variance=7.0**2 * 2 / 20)]
    rows.append(row(variance=10.0**2 * (1 / 30 + 1 / 15), n_treatment=30, n_control=15))
    facts = imprecision_facts(spec, headline_of_numbers(-5, -1), rows, None)[0]
    assert implied_sd([9.0**2 * 2 / 20], [20], [20]) == pytest.approx(9.0)
    assert facts["information_size"] == information_size_means(3, 9.0)
    assert "SD of 9.0" in facts["information_size_basis"]


@pytest.mark.parametrize(
    ("more", "events", "words"),
    [
        ("", None, "no important difference is declared"),
        ('\n[model]\nmeasure = "RR"\n', None, "risk on control is not known"),
        ('\n[model]\nmeasure = "SMCR"\n', None, "no control group"),
        ("\n[model]\nimportant_difference = 0\n", None, "difference is 0"),
    ],
)
def test_without_what_it_needs_there_is_no_information_size(
    tmp_path: Path, more: str, events: Any, words: str
) -> None:
    facts, _ = imprecision_facts(
        spec_of(tmp_path, more), headline_of_numbers(-1, 1), [row()], events
    )
    assert facts["information_size"] is None
    assert words in facts["information_size_basis"]


def test_a_next_trial_lends_its_important_difference(tmp_path: Path) -> None:
    more = '\n[next_trial]\nimportant_difference = -0.4\nsource = "invented"\n'
    assert important_difference(spec_of(tmp_path, more)) == -0.4
    assert important_difference(spec_of(tmp_path)) is None


def test_reasons_say_each_side_and_every_share(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "\n[model]\nimportant_difference = -0.5\n")
    harm = "a difference as large on the side of harm (0.50)"
    nothing = "nothing as large as the important difference of −0.50"
    assert regions(spec, 0.29, 1.01)[1:] == [f"{nothing} on the side of benefit", harm]
    assert regions(spec, 0.1, 0.4)[1:] == [nothing]
    assert harm in regions(spec, -0.6, 0.5)
    differing = {"k": 7, "pools": 0, "q_p_value": 0.062, "i2": 0.49}
    assert RULE["inconsistency"](differing) == (
        "no concern",
        "trials differ more than chance explains (I² 49%, p = 0.062, limit 0.10), "
        "but I² is below 50%",
    )
    shares = {"low": 0.0, "some_concerns": 0.4, "unclear": 0.23, "high": 0.0, "not_judged": 0.37}
    assert RULE["risk_of_bias"]({f"share_{key}": share for key, share in shares.items()})[1] == (
        "of the weight in the usual model, published reviews judged 0% low, 63% with some concerns "
        "or unclear and 0% high; 37% is not judged"
    )


def test_a_group_that_stands_alone_is_judged_by_its_own_counts(tmp_path: Path) -> None:
    counts = {"alder_2014": ("adults", 23, 22), "birch_2016": ("children", 9, 0)}
    tables = trials(2)
    tables["outcomes"] = [
        event(arm, study, outcome="nausea", events=str(counts[study][place]), n="90")
        for study in counts
        for place, arm in ((1, "ketamine"), (2, "placebo"))
    ]
    tables["studies"] = [
        row | {"age_group": counts[row["study_id"]][0]} for row in tables["studies"]
    ]
    text = ANALYSIS.replace("depression", "nausea")
    spec = spec_of(
        tmp_path, '[model]\nmeasure = "RR"\ngroup_by = "age_group"\noverall = false\n', text
    )
    evidence = evidence_of(tables)
    result = run_analysis(spec, effects_of(tables), evidence)
    adults, children = (group["headline"]["rule"] for group in result["groups"])
    assert adults["code"] == "single_trial" and "Few events" not in adults["sentence"]
    assert children["code"] == "single_trial_sparse" and "has 0" in children["sentence"]
    rows = [row for group in result["groups"] for row in group["rows"]]
    assessments = certainty(spec, result, rows, [])["assessments"]
    found = {item["group"]: item["domains"][3]["facts"] for item in assessments}
    assert "the 24.4% on control" in found["Adults"]["information_size_basis"]


# --- publication bias -----------------------------------------------------------------------------


def test_small_study_tests_wait_for_ten_trials() -> None:
    rows = [row(study_id=f"alder_{2000 + i}") for i in range(12)]
    test = {"egger": {"p_value": 0.0213}, "trim_and_fill": {"missing": 2}}
    facts, words = publication_facts(rows[:9], test, [])
    assert "9 trials: small-study tests need 10" in words[0]
    facts, words = publication_facts(rows, test, [])
    assert facts["egger_p_value"] == 0.0213
    assert words == [
        "Egger's test for small-study effects: p = 0.021.",
        "Trim-and-fill adds 2 trials.",
    ]
    failed = publication_facts(rows, {"egger": {"withheld": "why"}}, [])[1]
    assert failed == ["Small-study tests could not be made."]


def test_trials_that_print_nothing_usable_are_counted() -> None:
    answers = {"Alder 2014": "", "Elm 2019": "", "Fir 2020": None}
    unused = [
        {"study_id": name.lower().replace(" ", "_"), "label": name, "answers": group}
        for name, group in answers.items()
    ]
    facts, words = publication_facts([row()], None, [*unused, *unused])
    assert facts["trials_without_usable_result"] == 1
    assert words[1] == (
        "1 other trial measured it as asked (people, comparison, design, instrument, time) and "
        "printed nothing that can be used: Elm 2019."
    )


# --- whole results --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_number_of_trials_is_assessed(tmp_path: Path, count: int) -> None:
    result, found = assessed(tmp_path, count)
    (only,) = found["assessments"]
    assert only["summary"]["k"] == count
    assert only["summary"]["people"] == f"{result['n_participants']:,}"
    for domain in only["domains"]:
        assert domain["words"] and all(text.endswith(".") for text in domain["words"])
        for value in domain["facts"].values():
            assert not isinstance(value, float) or math.isfinite(value)


def test_no_trial_is_said_in_the_table(tmp_path: Path) -> None:
    result, found = assessed(tmp_path, 0)
    assert found["assessments"] == [] and "No eligible trial" in found["withheld"]
    (line,) = summary_of_findings([{**result, "certainty": found}])
    assert line["effect"] == "no eligible trial found"
    assert line["certainty"] == "nothing to rate"


def test_groups_that_are_not_pooled_are_assessed_apart(tmp_path: Path) -> None:
    tables = trials(3)
    for line in tables["outcomes"][4:]:
        line["instrument"] = "hama"
    spec = spec_of(tmp_path, '\n[model]\ngroup_by = "instrument"\n')
    result = run_analysis(spec, effects_of(tables), evidence_of(tables))
    found = certainty(spec, result, main_rows(result), [])
    assert [item["summary"]["k"] for item in found["assessments"]] == [1, 2]
    assert [line["title"] for line in summary_of_findings([{**result, "certainty": found}])] == [
        "Depression after ketamine: hama",
        "Depression after ketamine: hamd",
    ]


def test_uncontrolled_trials_start_at_low(tmp_path: Path) -> None:
    result, _ = assessed(tmp_path, 2)
    rows = main_rows(result)
    rows[0]["design"] = "controlled_nonrandomised"
    found = certainty(spec_of(tmp_path), result, rows, [])
    assert found["assessments"][0]["rating"]["starts_at"] == "low"


def test_a_domain_that_nobody_judged_bounds_the_rating_with_its_reason() -> None:
    fine = ["no concern"] * 5
    found = rate([None] * 5, [None, *fine[1:]], randomised=True)
    assert found["level"] == "low"
    assert found["words"].endswith("low; at most low while risk of bias not judged")
    assert rate([None] * 5, [*fine[:4], None], randomised=True)["level"] == "moderate"
    assert rate([None] * 5, fine, randomised=True)["level"] == "high"


def test_a_project_that_names_no_people_is_not_said_to_ask_about_others(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    nobody = spec.project.directness.model_copy(update={"diagnosis": (), "intervention": ()})
    spec = spec.within(spec.project.model_copy(update={"directness": nobody}))
    spec = spec.model_copy(update={"directness": "direct"})
    found, words = indirectness_facts(spec, [row(diagnosis="other")])
    assert RULE["indirectness"](found)[0] == "no concern"
    assert "does not name the people" in words[0] and "0%" not in words[0]
