"""Every rule: broken once in an otherwise clean project, and found at its file, line and column."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import test_checks_golden
from batches import (
    BIAS,
    CONTRAST,
    CONTROL,
    EVENT,
    FACT,
    SCORE,
    SHARE,
    STUDY,
    TREATMENT,
    Tables,
    check_tables,
    clean_tables,
    places,
    words,
)
from ketameta.evidence.checks import CHECKS, UsualSds, largest_sd

Spoil = Callable[[Tables], None]


class Broken(NamedTuple):
    """A rule, how it is broken, and where it says so: ``file:line column`` of every finding."""

    check: str
    spoil: Spoil
    places: str
    severity: str = "error"
    #: The word of another check that finds the same mistake.
    beside: str = ""


def _set(table: str, index: int = 0, **cells: str) -> Spoil:
    """Return a spoiler that changes cells of one row."""

    def spoil(tables: Tables) -> None:
        tables[table][index].update(cells)

    return spoil


def _add(table: str, *rows: dict[str, str]) -> Spoil:
    """Return a spoiler that adds rows to a table."""

    def spoil(tables: Tables) -> None:
        tables.setdefault(table, []).extend(dict(row) for row in rows)

    return spoil


def _all(*spoilers: Spoil) -> Spoil:
    """Return a spoiler that does what several do."""

    def spoil(tables: Tables) -> None:
        for item in spoilers:
            item(tables)

    return spoil


def _both_scores(first: dict[str, str], second: dict[str, str]) -> Spoil:
    return _all(_set("outcomes", 0, **first), _set("outcomes", 1, **second))


def _contrast(**cells: str) -> dict[str, str]:
    return CONTRAST | cells


STUDY_2 = STUDY | {"study_id": "birch_2015", "citation": "Birch B. 2015.", "n_randomised": "40"}
ARMS_2 = [arm | {"study_id": "birch_2015", "n_randomised": "20"} for arm in (TREATMENT, CONTROL)]
SCORES_2 = [
    SCORE | {"study_id": "birch_2015", "n": "20", "mean": "11.7"},
    SCORE | {"study_id": "birch_2015", "n": "20", "arm_id": "placebo", "mean": "14.2"},
]
CEDAR = {"study_id": "cedar_2016"}
SECOND_TRIAL = _all(_add("studies", STUDY_2), _add("arms", *ARMS_2), _add("outcomes", *SCORES_2))
POOL = TREATMENT | {"arm_id": "ketamine_all", "n_randomised": "30", "contains_arms": "ketamine"}
EXCLUSION = {
    "study": "maple_2010", "outcome": "all", "records": "1", "reason_code": "no_number",
    "reason": "no number is printed", "date": "2026-03-02", "decided_by": "AB",
}  # fmt: skip
ENTRY = {
    "registry_id": "NCT00000001", "title": "t", "intervention": "ketamine", "condition": "adhd",
    "status": "completed",
}  # fmt: skip

RULES = [
    # Cells
    Broken("required", _set("arms", role=""), "arms.csv:2 role"),
    Broken("unknown_word", _set("studies", design="paralel_rct"), "studies.csv:2 design"),
    Broken("form", _set("studies", doi="doi:10.1000/x"), "studies.csv:2 doi"),
    Broken("form", _set("studies", pmid="12345678.0"), "studies.csv:2 pmid"),
    Broken("form", _set("studies", registry_id="nct 00000001"), "studies.csv:2 registry_id"),
    Broken("form", _set("studies", source_url="example dot org"), "studies.csv:2 source_url"),
    Broken(
        "registry_form",
        _add("registry", ENTRY | {"registry_id": "trial 7"}),
        "registry.csv:2 registry_id",
        severity="warning",
    ),
    Broken("bounds", _set("outcomes", sd="0"), "outcomes.csv:2 sd"),
    Broken("bounds", _set("studies", female_percent="101"), "studies.csv:2 female_percent"),
    Broken("whole_number", _set("outcomes", n="29.5"), "outcomes.csv:2 n"),
    Broken(
        "subgroup",
        _all(*(_set("outcomes", i, subgroup="subtype=inattentive") for i in (0, 1))),
        "outcomes.csv:2 subgroup, outcomes.csv:3 subgroup",
    ),
    Broken(
        "subgroup",
        _set("contrasts", subgroup="adhd_subtype=inatentive"),
        "contrasts.csv:2 subgroup",
    ),
    Broken(
        "subgroup", _set("contrasts", subgroup="sex=female;sex=male"), "contrasts.csv:2 subgroup"
    ),
    Broken("subgroup", _set("contrasts", subgroup="women"), "contrasts.csv:2 subgroup"),
    Broken("locator", _set("outcomes", locator="see paper"), "outcomes.csv:2 locator"),
    Broken("date", _add("exclusions", EXCLUSION | {"date": "2026-02-30"}), "exclusions.csv:2 date"),
    Broken(
        "not_in_pdf",
        _set("studies", citation="王小明. 2014"),
        "studies.csv:2 citation",
        severity="warning",
        beside="王 (U+738B), 小 (U+5C0F), 明 (U+660E)",
    ),
    Broken(
        "range_source",
        _set("instruments", range_source=""),
        "instruments.csv:2 range_source",
        severity="warning",
    ),
    Broken(
        "dose_unit",
        _all(
            SECOND_TRIAL,
            _add("studies", STUDY_2 | CEDAR | {"citation": "Cedar C. 2016."}),
            _add("arms", *(arm | CEDAR for arm in ARMS_2)),
            _add("outcomes", *(row | CEDAR | {"mean": f"1{row['mean'][3]}.3"} for row in SCORES_2)),
            _set("arms", dose_unit="mgs_per_kg"),
        ),
        "arms.csv:2 dose_unit",
        severity="warning",
    ),
    # Keys and references
    Broken(
        "duplicate_key",
        _add("outcomes", SCORE | {"time_days": "28.0", "mean": "13.3"}),
        "outcomes.csv:6 ",
    ),
    Broken("duplicate_key", _add("studies", STUDY), "studies.csv:3 study_id"),
    Broken(
        "unknown_study",
        _add("outcomes", SCORE | {"study_id": "alder_2015"}),
        "outcomes.csv:6 study_id",
        beside="no_partner",
    ),
    Broken(
        "unknown_overlap",
        _set("studies", overlaps_with="birch_2015;alder_2014"),
        "studies.csv:2 overlaps_with, studies.csv:2 overlaps_with",
    ),
    Broken(
        "unknown_arm",
        _set("contrasts", comparator_arm_id="placebos"),
        "contrasts.csv:2 comparator_arm_id",
    ),
    Broken(
        "unknown_contained_arm", _set("arms", contains_arms="ketamin"), "arms.csv:2 contains_arms"
    ),
    Broken(
        "arm_circle",
        _all(
            _set("arms", 0, contains_arms="placebo"),
            _set("arms", 1, contains_arms="ketamine"),
            _set("outcomes", 0),
        ),
        "arms.csv:2 contains_arms",
        beside="same_arm",
    ),
    Broken(
        "control_role", _set("arms", 1, role="treatment"), "arms.csv:3 role", severity="warning"
    ),
    Broken(
        "design_control",
        _set("studies", design="single_arm"),
        "arms.csv:3 role",
        severity="warning",
    ),
    Broken(
        "one_arm",
        _all(
            lambda tables: tables["arms"].pop(1) and None,
            _add("contrasts"),
            lambda tables: tables["contrasts"].clear(),
            lambda tables: tables.update(
                outcomes=[row for row in tables["outcomes"] if row["arm_id"] != "placebo"]
            ),
        ),
        "arms.csv:2 arm_id",
        severity="warning",
        beside="no_partner",
    ),
    Broken(
        "share_in_percent",
        _set("studies", female_percent="0.42"),
        "studies.csv:2 female_percent",
        severity="warning",
    ),
    Broken(
        "p_exact",
        _set("contrasts", p_relation=""),
        "contrasts.csv:2 p_relation",
        severity="warning",
    ),
    Broken(
        "n_zero",
        _both_scores({"n": "0"}, {"n": "0"}),
        "outcomes.csv:2 n, outcomes.csv:3 n",
        beside="denominators",
    ),
    Broken(
        "same_arm",
        _set("contrasts", comparator_arm_id="ketamine"),
        "contrasts.csv:2 comparator_arm_id",
    ),
    Broken(
        "same_arm",
        _all(
            _add("arms", POOL),
            _set("contrasts", arm_id="ketamine_all", comparator_arm_id="ketamine"),
        ),
        "contrasts.csv:2 comparator_arm_id",
    ),
    Broken("unknown_outcome", _set("contrasts", outcome="anxiety"), "contrasts.csv:2 outcome"),
    Broken(
        "unknown_outcome",
        _add("exclusions", EXCLUSION | {"measured": "depression;depresion"}),
        "exclusions.csv:2 measured",
    ),
    Broken(
        "unknown_instrument", _set("contrasts", instrument="ham_a"), "contrasts.csv:2 instrument"
    ),
    Broken(
        "statistic_kind",
        _all(*(_set("outcomes", i, outcome="depression") for i in (2, 3))),
        "outcomes.csv:4 statistic, outcomes.csv:5 statistic",
    ),
    Broken(
        "study_without_arms",
        _add("studies", STUDY_2),
        "studies.csv:3 study_id",
        severity="warning",
        beside="study_without_results",
    ),
    Broken(
        "study_without_results",
        _all(_add("studies", STUDY_2), _add("arms", *ARMS_2)),
        "studies.csv:3 study_id",
        severity="warning",
    ),
    Broken(
        "arm_without_results",
        _add("arms", TREATMENT | {"arm_id": "ketamine_1", "n_randomised": ""}),
        "arms.csv:4 arm_id",
        severity="warning",
    ),
    Broken(
        "same_trial",
        _all(
            SECOND_TRIAL,
            _set("studies", 0, n_randomised="60", age_mean_years="41.3", female_percent="55"),
            _set("studies", 1, n_randomised="60", age_mean_years="41.3", female_percent="55"),
        ),
        "studies.csv:3 n_randomised",
        severity="warning",
    ),
    Broken(
        "registry_disagrees",
        _all(
            _set("studies", registry_id="NCT00000002"),
            _add("registry", ENTRY | {"study_id": "alder_2014"}),
        ),
        "registry.csv:2 registry_id",
        severity="warning",
    ),
    # One row
    Broken("one_kind_of_data", _set("outcomes", 2, mean="3.1"), "outcomes.csv:4 mean"),
    Broken("one_kind_of_data", _set("outcomes", events="3"), "outcomes.csv:2 events"),
    Broken(
        "one_kind_of_data",
        _set("contrasts", effect_type="test", favours="treatment"),
        "contrasts.csv:2 estimate",
    ),
    Broken("no_result", _set("outcomes", 2, events=""), "outcomes.csv:4 events"),
    Broken("no_result", _set("outcomes", mean=""), "outcomes.csv:2 mean"),
    Broken(
        "no_result",
        _set("contrasts", estimate="", ci_low=""),
        "contrasts.csv:2 estimate",
        beside="interval_half",
    ),
    Broken(
        "events_percent",
        _set("outcomes", 2, percent="32.3"),
        "outcomes.csv:4 percent",
        severity="warning",
    ),
    Broken(
        "percent_of_n",
        _set("outcomes", 2, events="", percent="25.5"),
        "outcomes.csv:4 percent",
        severity="warning",
    ),
    Broken(
        "order_statistics", _set("outcomes", median="12", q1="14", q3="18"), "outcomes.csv:2 median"
    ),
    Broken("order_statistics", _set("outcomes", minimum="13", maximum="40"), "outcomes.csv:2 mean"),
    Broken(
        "interval_half",
        _set("contrasts", ci_high=""),
        "contrasts.csv:2 ci_high",
        severity="warning",
    ),
    Broken(
        "ratio_symmetry",
        _set("contrasts", effect_type="OR", estimate="1.2", ci_low="0.2", ci_high="1.3", p="0.6"),
        "contrasts.csv:2 estimate",
        severity="warning",
    ),
    Broken("spreads_disagree", _set("outcomes", se="0.4"), "outcomes.csv:2 sd", severity="warning"),
    Broken(
        "ratio_positive",
        _set("contrasts", effect_type="OR", estimate="-0.4", ci_low="0.2", ci_high="0.9"),
        "contrasts.csv:2 estimate",
        beside="interval_contains",
    ),
    Broken(
        "ratio_positive",
        _set("contrasts", effect_type="OR", estimate="0.4", ci_low="0.00", ci_high="0.9", p="0.04"),
        "contrasts.csv:2 ci_low",
        severity="warning",
    ),
    Broken(
        "risk_difference",
        _set(
            "contrasts", effect_type="RD", estimate="13.4", ci_low="2.5", ci_high="24.3", p="0.02"
        ),
        "contrasts.csv:2 ci_high, contrasts.csv:2 ci_low, contrasts.csv:2 estimate",
    ),
    Broken("p_zero", _set("contrasts", p="0.000"), "contrasts.csv:2 p"),
    Broken(
        "p_contradicts",
        _set(
            "contrasts",
            effect_type="test",
            favours="treatment",
            estimate="",
            ci_low="",
            ci_high="",
            t="-0.8",
            df="40",
            p="0.003",
        ),
        "contrasts.csv:2 p",
        severity="warning",
    ),
    Broken(
        "p_contradicts",
        _set("contrasts", p="0.4", p_relation=">"),
        "contrasts.csv:2 p",
        severity="warning",
    ),
    Broken(
        "contrast_spreads",
        _set("contrasts", se="0.5"),
        "contrasts.csv:2 se",
        severity="warning",
        beside="p_contradicts",
    ),
    Broken(
        "sign_unknown",
        _set("contrasts", effect_type="SMD", estimate="-0.55", ci_low="-1.05", ci_high="-0.05"),
        "contrasts.csv:2 favours",
        severity="warning",
    ),
    Broken(
        "direction_disagrees",
        _set("outcome_words", direction="higher_is_better"),
        "outcomes.csv:2 instrument",
        severity="warning",
    ),
    # People
    Broken("arms_above_study", _set("studies", n_randomised="58"), "arms.csv:2 n_randomised"),
    Broken(
        "contrast_above_study",
        _all(
            _set("contrasts", n_treatment="60", n_control="58"),
            *(_set("arms", i, n_randomised="") for i in (0, 1)),
        ),
        "contrasts.csv:2 n_treatment",
    ),
    # Scales and arms
    Broken(
        "change_as_endpoint",
        _all(
            _set("instruments", minimum="", maximum="", range_source=""),
            SECOND_TRIAL,
            _set("outcomes", mean="-4.2"),
        ),
        "outcomes.csv:2 mean",
        severity="warning",
        beside="implausible_effect",
    ),
    Broken("sd_impossible", _set("outcomes", sd="25.6"), "outcomes.csv:2 sd", beside="sd_ratio"),
    Broken(
        "sd_as_se",
        _all(
            _set("instruments", usual_sd="6.5", usual_sd_source="manual"),
            _both_scores({"sd": "", "se": "6.4"}, {"sd": "", "se": "6.9"}),
        ),
        "outcomes.csv:2 se, outcomes.csv:3 se",
        severity="warning",
    ),
    Broken(
        "contrast_disagrees",
        _set(
            "contrasts",
            outcome="depression",
            instrument="hamd",
            estimate="3.2",
            ci_low="0.2",
            ci_high="6.2",
        ),
        "contrasts.csv:2 estimate",
        severity="warning",
    ),
    Broken(
        "screening_duplicate",
        _add(
            "screening",
            {"record_id": "a_1", "source": "a.ris"},
            {"record_id": "a_2", "source": "a.ris", "duplicate_of": "a_3"},
        ),
        "screening.csv:3 duplicate_of",
    ),
    Broken(
        "includes",
        _all(
            _add(
                "outcome_words",
                *(
                    {
                        "outcome": word,
                        "label": word,
                        "kind": "event",
                        "domain": "response",
                        "direction": "higher_is_better",
                    }
                    for word in ("response", "remission")
                ),
            ),
            _add(
                "outcomes",
                *(
                    EVENT | {"arm_id": arm, "outcome": word, "events": events}
                    for arm in ("ketamine", "placebo")
                    for word, events in (("response", "9"), ("remission", "8"))
                ),
            ),
            lambda tables: tables["outcomes"][-1].update(events="11"),
        ),
        "outcomes.csv:8 events",
        severity="warning",
    ),
    Broken(
        "change_sign",
        _both_scores(
            {"statistic": "change", "mean": "9.1"}, {"statistic": "change", "mean": "6.3"}
        ),
        "outcomes.csv:2 mean",
        severity="warning",
    ),
    Broken(
        "no_partner",
        _set("outcomes", time_days="29"),
        "outcomes.csv:2 arm_id, outcomes.csv:3 arm_id",
        severity="warning",
    ),
    # Copies
    Broken(
        "duplicated_baseline",
        _both_scores(
            {"baseline_mean": "24.31", "baseline_sd": "5.20"},
            {"baseline_mean": "24.31", "baseline_sd": "5.20"},
        ),
        "outcomes.csv:3 baseline_mean",
        severity="warning",
    ),
    Broken(
        "copied_row",
        _add(
            "outcomes",
            SCORE | {"time_days": "7"},
            SCORE | {"time_days": "7", "arm_id": "placebo", "mean": "16.0"},
        ),
        "outcomes.csv:6 mean",
        severity="warning",
    ),
    Broken(
        "copied_contrast",
        _add("contrasts", _contrast(time_days="7")),
        "contrasts.csv:3 estimate",
        severity="warning",
    ),
    Broken(
        "p_one_sided",
        _set("contrasts", estimate="-4.6", se="2.96", ci_low="", ci_high="", p="0.06"),
        "contrasts.csv:2 p",
        severity="warning",
    ),
    Broken(
        "secondary_beside",
        _all(
            _add(
                "outcome_words",
                {"outcome": "nausea_dataset", "label": "n", "kind": "event", "domain": "harm"}
                | {"direction": "lower_is_better"},
            ),
            _add(
                "contrasts",
                CONTRAST
                | {"outcome": "nausea_dataset", "instrument": "checklist", "effect_type": "RR"}
                | {"estimate": "3.4", "ci_low": "0.8", "ci_high": "14.45", "p": ""}
                | {"p_relation": ""},
            ),
        ),
        "contrasts.csv:3 outcome",
    ),
    # Facts about harm
    Broken(
        "harm_fact",
        _add("harm_facts", FACT | {"events": "", "percent": ""}),
        "harm_facts.csv:2 statement",
    ),
    Broken("harm_fact", _add("harm_facts", FACT | {"events": "51"}), "harm_facts.csv:2 events"),
    Broken(
        "harm_fact",
        _add("harm_facts", FACT | {"percent": "9.5"}),
        "harm_facts.csv:2 percent",
        severity="warning",
    ),
    Broken("required", _add("harm_facts", FACT | {"people": ""}), "harm_facts.csv:2 people"),
    # Moderators
    Broken("required", _add("moderators", SHARE | {"basis": ""}), "moderators.csv:2 basis"),
    Broken(
        "moderator_value", _add("moderators", SHARE | {"value": "-1"}), "moderators.csv:2 value"
    ),
    Broken("moderator_value", _add("moderators", SHARE | {"value": ""}), "moderators.csv:2 value"),
    Broken(
        "moderator_value",
        _add("moderators", SHARE | {"moderator": "prior_rule", "word": "any"}),
        "moderators.csv:2 value",
    ),
    Broken("share_of_whom", _add("moderators", SHARE | {"people": ""}), "moderators.csv:2 people"),
    Broken(
        "shares_of_whole",
        _add("moderators", SHARE, SHARE | {"moderator": "adhd_combined_percent", "value": "62"}),
        "moderators.csv:2 value",
    ),
    Broken(
        "moderator_people",
        _add("moderators", SHARE | {"denominator": "87"}),
        "moderators.csv:2 denominator",
    ),
    Broken(
        "moderators_disagree",
        _all(
            _set("studies", female_percent="40"),
            _add(
                "moderators",
                SHARE | {"moderator": "female_percent", "value": "60", "source_type": "dataset"},
            ),
        ),
        "moderators.csv:2 value",
        severity="warning",
    ),
    Broken(
        "unknown_arm", _add("moderators", SHARE | {"arm_id": "ketamin"}), "moderators.csv:2 arm_id"
    ),
    # Risk of bias
    Broken(
        "bias_without_overall",
        lambda tables: tables["risk_of_bias"].pop(),
        "risk_of_bias.csv:2 domain",
        severity="warning",
    ),
    Broken(
        "required",
        _set("risk_of_bias", 1, judged_by=""),
        "risk_of_bias.csv:3 judged_by",
        beside="bias_without_overall",
    ),
    Broken(
        "bias_domain",
        _set("risk_of_bias", 0, domain="random_sequence_generation"),
        "risk_of_bias.csv:2 domain",
        severity="warning",
    ),
    Broken(
        "trial_size",
        _set("studies", n_randomised=""),
        "studies.csv:2 n_randomised",
        severity="warning",
    ),
    Broken(
        "half_table",
        _all(*(_set("outcomes", i, locator="Table 3, 2 rows") for i in (2, 3))),
        "outcomes.csv:4 locator, outcomes.csv:5 locator",
        severity="warning",
    ),
    Broken(
        "bias_words",
        _set("risk_of_bias", 1, judgement="unclear"),
        "risk_of_bias.csv:3 judgement",
        severity="warning",
    ),
    Broken(
        "bias_words",
        _set("risk_of_bias", 1, judgement="serious"),
        "risk_of_bias.csv:3 judgement",
        severity="warning",
        beside="bias_overall",
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=[f"{r.check}-{i}" for i, r in enumerate(RULES)])
def test_a_broken_rule_is_found_where_it_is_broken(rule: Broken, tmp_path: Path) -> None:
    tables = clean_tables()
    rule.spoil(tables)
    report = check_tables(tmp_path, tables)
    found = [f"{file}:{line} {column}" for file, line, column in places(report, rule.check)]
    assert ", ".join(found) == rule.places
    severities = {item.severity for item in report.findings if item.check == rule.check}
    assert severities == {rule.severity}
    assert words(report) <= {rule.check, rule.beside}


def test_every_rule_is_broken_in_some_test() -> None:
    broken = {rule.check for rule in RULES} | {item.check for item in test_checks_golden.PATTERNS}
    assert {check.word for check in CHECKS} <= broken


def test_every_check_says_its_rule_in_a_sentence() -> None:
    assert len({check.word for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert check.function.__name__.startswith("check_")
        assert check.rule.endswith("."), check.word


#: What a careful reviewer enters and no check may question.
FINE: list[tuple[str, Spoil]] = [
    ("a second trial", SECOND_TRIAL),
    (
        "a pooled arm",
        _all(_add("arms", POOL), _add("outcomes", SCORE | {"arm_id": "ketamine_all"})),
    ),
    ("percent with n", _set("outcomes", 2, events="", percent="23.3")),
    ("a percentage cut, not rounded", _set("outcomes", 2, events="", percent="26.6")),
    ("count and percent", _set("outcomes", 2, percent="23.3")),
    ("no event in either arm", _all(*(_set("outcomes", i, events="0") for i in (2, 3)))),
    ("an interval of a percentage", _set("outcomes", 2, percent="23", ci_low="10", ci_high="42")),
    ("an interval without its middle", _set("contrasts", estimate="")),
    ("p as a bound", _set("contrasts", p="0.05", p_relation="<")),
    ("an exact p at the edge", _set("contrasts", p="0.05")),
    (
        "a rounded ratio",
        _set("contrasts", effect_type="OR", estimate="0.4", ci_low="0.2", ci_high="0.9", p="0.02"),
    ),
    ("a standard error beside an SD", _set("outcomes", se="1.17")),
    (
        "a crossover with everybody in both arms",
        _all(
            _set("studies", design="crossover_rct", n_randomised="30"),
            _set("contrasts", n_treatment="30", n_control="30"),
        ),
    ),
    (
        "a companion that says so",
        _all(
            SECOND_TRIAL,
            _set("studies", 0, doi="10.1000/x"),
            _set("studies", 1, doi="10.1000/x", overlaps_with="alder_2014"),
        ),
    ),
    (
        "two trials of one pool",
        _all(
            SECOND_TRIAL,
            _set("studies", 0, registry_id="NCT00000001", overlaps_with="cedar_2016"),
            _set("studies", 1, registry_id="NCT00000001", overlaps_with="cedar_2016"),
            _add("studies", STUDY | {"study_id": "cedar_2016", "citation": "Pool."}),
            _add("arms", *(arm | {"study_id": "cedar_2016"} for arm in (TREATMENT, CONTROL))),
            _add("contrasts", _contrast(study_id="cedar_2016", estimate="-2.9")),
        ),
    ),
    (
        "a study excluded",
        _all(
            _add("studies", STUDY_2),
            _add("arms", *ARMS_2),
            _add("exclusions", EXCLUSION | {"study": "birch_2015"}),
        ),
    ),
    (
        "letters tell trials apart",
        _all(
            _add(
                "studies",
                STUDY | {"study_id": "alder_2014b", "citation": "Alder b.", "n_randomised": "44"},
            ),
            _add(
                "arms",
                *(
                    arm | {"study_id": "alder_2014b", "n_randomised": "22"}
                    for arm in (TREATMENT, CONTROL)
                ),
            ),
            _add("contrasts", _contrast(study_id="alder_2014b", estimate="-2.9")),
        ),
    ),
    (
        "a subgroup",
        _all(*(_set("outcomes", i, subgroup="adhd_subtype=combined;sex=female") for i in (0, 1))),
    ),
    ("improvement against placebo", _set("outcomes", mean="6.2", sd="5.0")),
    (
        "events looked for in fewer people in another way",
        _all(
            _add(
                "outcome_words",
                {
                    "outcome": "relapse",
                    "label": "r",
                    "kind": "event",
                    "domain": "harm",
                    "direction": "lower_is_better",
                },
            ),
            *(
                _add(
                    "outcomes",
                    EVENT | {"outcome": "relapse", "instrument": "hama", "arm_id": arm, "n": "22"},
                )
                for arm in ("ketamine", "placebo")
            ),
        ),
    ),
    ("some people lost", _set("outcomes", n="28")),
    (
        "unclear in the older tool",
        _all(
            *(
                _set("risk_of_bias", i, tool="rob1", domain=domain, judgement="unclear")
                for i, domain in enumerate(("allocation_concealment", "overall"))
            )
        ),
    ),
    (
        "a one-sided p that is called so",
        _set(
            "contrasts",
            **{"estimate": "-4.6", "se": "2.96", "ci_low": "", "ci_high": "", "p": "0.06"},
            p_sided="one",
        ),
    ),
    ("a fact about harm in words", _add("harm_facts", FACT | {"events": "", "statement": "none"})),
    (
        "two reviews that judge one trial differently, neither with an overall judgement",
        lambda tables: tables.update(
            risk_of_bias=[
                BIAS
                | {"tool": "rob1", "domain": "blinding_outcome", "judgement": judgement}
                | {"judged_by": judge, "source_url": f"https://example.org/{judge[:5].lower()}"}
                for judge, judgement in (("Birch 2019", "low"), ("Cedar 2021", "high"))
            ]
        ),
    ),
    (
        "shares of presentation that are 101 by rounding, and people of an earlier phase",
        _add(
            "moderators",
            SHARE | {"covers": "other_phase", "denominator": "87"},
            SHARE
            | {
                "moderator": "adhd_combined_percent",
                "value": "61",
                "covers": "other_phase",
                "denominator": "87",
            },
        ),
    ),
    (
        "a single-arm trial",
        _all(
            _add(
                "studies",
                STUDY
                | {
                    "study_id": "cedar_2016",
                    "citation": "C.",
                    "design": "single_arm",
                    "n_randomised": "12",
                },
            ),
            _add("arms", TREATMENT | {"study_id": "cedar_2016", "n_randomised": "12"}),
            _add("outcomes", SCORE | {"study_id": "cedar_2016", "n": "12", "mean": "13.2"}),
        ),
    ),
    (
        "a table of two rows, one of them left out with its reason",
        _all(
            *(_set("outcomes", i, locator="Table 3, 2 rows") for i in (2, 3)),
            _add("exclusions", EXCLUSION | {"study": "alder_2014", "outcome": "headache"}),
        ),
    ),
    (
        "an event reported for one arm beside its contrast",
        _add(
            "outcomes", SCORE | {"outcome": "anxiety_symptoms", "instrument": "hama", "mean": "9.9"}
        ),
    ),
]


@pytest.mark.parametrize(("name", "change"), FINE, ids=[name for name, _ in FINE])
def test_good_data_are_left_alone(name: str, change: Spoil, tmp_path: Path) -> None:
    tables = clean_tables()
    change(tables)
    report = check_tables(tmp_path, tables)
    assert [str(finding) for finding in report.findings] == [], name


def test_the_largest_sd_is_reached_by_scores_at_both_ends() -> None:
    # Four scores at 0 and one at 10: mean 2, sample variance (4 * 4 + 64) / 4 = 20.
    assert largest_sd(0, 10, 2, 5) == pytest.approx(20**0.5, rel=1e-15)


def test_a_pool_counted_beside_its_arms_is_not_more_people(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["arms"].append(POOL | {"contains_arms": ""})
    tables["outcomes"].append(SCORE | {"arm_id": "ketamine_all", "mean": "12.4"})
    assert places(check_tables(tmp_path, tables), "arms_above_study") == [
        ("arms.csv", 2, "n_randomised")
    ]


def test_a_duplicate_names_both_places(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["outcomes"].append(dict(EVENT))
    (finding,) = check_tables(tmp_path, tables).findings
    assert finding.places == (("data/extracted/demo/outcomes.csv", 4),)
    assert "the same row stands in data/extracted/demo/outcomes.csv:4" in finding.why


def test_an_unknown_study_is_named_once_per_file(tmp_path: Path) -> None:
    tables = clean_tables()
    for row in tables["outcomes"]:
        row["study_id"] = "alder_2041"
    report = check_tables(tmp_path, tables)
    assert places(report, "unknown_study") == [("outcomes.csv", 2, "study_id")]
    (finding,) = [item for item in report.findings if item.check == "unknown_study"]
    assert "3 more rows" in finding.why and "did you mean alder_2014?" in finding.remedy


def test_bias_accepted_in_support_is_listed(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["risk_of_bias"].insert(0, BIAS | {"domain": "missing_data", "judgement": "high"})
    tables["risk_of_bias"][2]["support"] = "accept: bias_overall because one person of 60 left"
    report = check_tables(tmp_path, tables)
    assert report.findings == ()
    assert [item.finding.check for item in report.accepted] == ["bias_overall"]


@given(
    st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from([1.0, 2.0, 3.5, 4.0]), min_size=1),
    st.sampled_from("abcdefgx"),
)
def test_the_middle_of_the_other_trials_is_their_median(by_study, study):
    usual = UsualSds(by_study, sorted(by_study.values()))
    others = [sd for name, sd in by_study.items() if name != study]
    assert usual.without(study) == (len(others), statistics.median(others) if others else None)
