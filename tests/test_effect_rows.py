"""Comparisons as effect sizes: the numbers of the array functions, with their routes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches import Tables
from helpers import (
    arm,
    arm_size,
    contrast,
    effects_of,
    event,
    one_effect,
    reasons,
    score,
    study,
    tables_of,
)
from ketameta import effects as es
from ketameta.effects.conversions import ROUTES
from ketameta.evidence import EFFECT_COLUMNS, ArmSize, Assumptions
from tolerances import EFFECT_SIZE

HALF = Assumptions(correlation=0.5)


def two_scores(treatment: dict[str, str], control: dict[str, str], **cells: str) -> Tables:
    return tables_of([score(**treatment), score("placebo", **control)], studies=[study(**cells)])


def two_counts(e1: int, n1: int, e2: int, n2: int) -> Tables:
    return tables_of(
        [event(events=str(e1), n=str(n1)), event("placebo", events=str(e2), n=str(n2))]
    )


TREATED = {"mean": "12.1", "sd": "6.4", "n": "30"}
UNTREATED = {"mean": "15.3", "sd": "6.9", "n": "28"}
SIX = (12.1, 6.4, 30, 15.3, 6.9, 28)


def same(found: object, expected: object) -> bool:
    return found == pytest.approx(float(np.asarray(expected).item()), rel=EFFECT_SIZE)


# --- parallel arms --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "function"),
    [("MD", es.mean_difference), ("SMD", es.standardized_mean_difference)],
)
def test_scores_of_two_arms_give_the_numbers_of_the_array_functions(measure, function) -> None:
    row = one_effect(effects_of(two_scores(TREATED, UNTREATED)), measure)
    expected = function(*SIX)
    assert same(row["estimate"], expected.estimate)
    assert same(row["variance"], expected.variance)
    assert row["route"] == "sd_printed"
    assert (row["n_treatment"], row["n_control"]) == (30, 28)
    assert (row["mean_treatment"], row["sd_control"]) == (12.1, 6.9)
    assert row["source"] == "data/extracted/demo/outcomes.csv:2;data/extracted/demo/outcomes.csv:3"


def test_both_routes_are_recorded_once_each() -> None:
    control = {"mean": "15.3", "sd": "", "se": "1.3", "n": "28"}
    row = one_effect(effects_of(two_scores(TREATED, control)), "MD")
    assert row["route"] == "sd_printed+sd_from_se"
    alike = one_effect(effects_of(two_scores(control, control)), "MD")
    assert alike["route"] == "sd_from_se"


@settings(max_examples=12)
@given(
    st.tuples(*[st.integers(-40, 80)] * 2),
    st.tuples(*[st.integers(1, 30)] * 2),
    st.tuples(*[st.integers(2, 90)] * 2),
    st.sampled_from(["hamd", "recall"]),
)
def test_swapping_the_roles_flips_the_sign_and_keeps_the_variance(means, sds, sizes, scale) -> None:
    one, two = (
        {"mean": str(m), "sd": str(s), "n": str(n), "instrument": scale}
        for m, s, n in zip(means, sds, sizes, strict=True)
    )
    there, back = effects_of(two_scores(one, two)), effects_of(two_scores(two, one))
    for measure in ("MD", "SMD"):
        a, b = one_effect(there, measure), one_effect(back, measure)
        assert a["estimate"] == pytest.approx(-b["estimate"], rel=EFFECT_SIZE, abs=1e-15)
        assert a["variance"] == pytest.approx(b["variance"], rel=EFFECT_SIZE)


# --- counts ---------------------------------------------------------------------------------------

COUNTS = {"OR": es.log_odds_ratio, "RR": es.log_risk_ratio, "RD": es.risk_difference}


@pytest.mark.parametrize("measure", COUNTS)
@pytest.mark.parametrize("cells", [(3, 20, 9, 21), (0, 20, 5, 21), (20, 20, 15, 21)])
def test_counts_give_the_numbers_of_the_array_functions(measure, cells) -> None:
    row = one_effect(effects_of(two_counts(*cells)), measure)
    expected = COUNTS[measure](*cells)
    assert same(row["estimate"], expected.estimate)
    assert same(row["variance"], expected.variance)
    assert (row["events_treatment"], row["events_control"]) == (cells[0], cells[2])
    assert ("zero_cell_correction" in row["route"]) == bool(expected.corrected[0])


@pytest.mark.parametrize("cells", [(0, 20, 0, 21), (20, 20, 21, 21)])
def test_a_table_without_information_on_a_ratio_gives_none(cells) -> None:
    table = effects_of(two_counts(*cells))
    assert set(table.effects["measure"]) == {"RD"}
    assert one_effect(table, "RD")["route"] == "counts+zero_cell_correction"
    assert table.unused.empty


@settings(max_examples=12)
@given(st.tuples(*[st.integers(0, 12), st.integers(1, 12)] * 2))
def test_swapping_the_roles_flips_every_measure_of_events(cells) -> None:
    e1, n1, e2, n2 = min(cells[0], cells[1]), cells[1], min(cells[2], cells[3]), cells[3]
    there = effects_of(two_counts(e1, n1, e2, n2)).effects.set_index("measure")
    back = effects_of(two_counts(e2, n2, e1, n1)).effects.set_index("measure")
    assert set(there.index) == set(back.index)
    for measure in there.index:
        a, b = there.loc[measure], back.loc[measure]
        assert a["estimate"] == pytest.approx(-b["estimate"], rel=1e-9, abs=1e-12)
        assert a["variance"] == pytest.approx(b["variance"], rel=1e-9)
        assert a["route"] == b["route"]


def test_counts_of_percentages_say_so() -> None:
    table = effects_of(tables_of([event(events="", percent="16.7"), event("placebo", events="2")]))
    assert one_effect(table, "RR")["route"] == "count_from_percent+counts"
    assert one_effect(table, "RR")["events_treatment"] == 5


# --- crossovers -----------------------------------------------------------------------------------


def test_a_crossover_enters_only_with_a_correlation() -> None:
    tables = two_scores(TREATED, UNTREATED, design="crossover_rct")
    without = effects_of(tables)
    assert without.effects.empty
    assert reasons(without) == {"outcomes:2": "no_correlation", "outcomes:3": "no_correlation"}
    table = effects_of(tables, HALF)
    assert table.unused.empty
    md, smd = one_effect(table, "MD"), one_effect(table, "SMD")
    n = 28
    spread = math.sqrt(6.4**2 + 6.9**2 - 6.4 * 6.9)
    assert same(md["estimate"], 12.1 - 15.3)
    assert same(md["variance"], spread**2 / n)
    expected = es.standardized_mean_difference_paired(12.1, 6.4, 15.3, 6.9, n, 0.5)
    assert same(smd["estimate"], expected.estimate)
    assert same(smd["variance"], expected.variance)
    for row in (md, smd):
        assert row["assumption"] == "correlation=0.5"
        assert row["route"] == "sd_printed+paired_correlation_assumed"


def test_a_printed_correlation_needs_no_assumption() -> None:
    printed = contrast(
        outcome="depression", instrument="hamd", effect_type="test", estimate="", ci_low="",
        ci_high="", p="", p_relation="", correlation="0.7",
    )  # fmt: skip
    tables = two_scores(TREATED, UNTREATED, design="crossover_rct") | {"contrasts": [printed]}
    for assumed in (None, HALF):
        row = one_effect(effects_of(tables, assumed), "SMD")
        assert row["assumption"] == ""
        assert row["route"] == "sd_printed+correlation_printed"
        expected = es.standardized_mean_difference_paired(12.1, 6.4, 15.3, 6.9, 28, 0.7)
        assert same(row["estimate"], expected.estimate)


def test_a_correlation_of_one_is_rounded_and_not_used() -> None:
    printed = contrast(n_treatment="28", n_control="28", correlation="1")
    tables = two_scores(TREATED, UNTREATED, design="crossover_rct") | {"contrasts": [printed]}
    assert set(effects_of(tables).effects["measure"]) == {"MD"}
    assumed = effects_of(tables, HALF).effects
    assert set(assumed["measure"]) == {"MD", "SMD"}
    assert assumed.loc[assumed["measure"] == "SMD", "assumption"].eq("correlation=0.5").all()


def test_counts_of_a_crossover_are_kept_for_reading() -> None:
    tables = two_counts(3, 20, 9, 20) | {"studies": [study(design="crossover_rct")]}
    for assumed in (None, HALF):
        table = effects_of(tables, assumed)
        assert table.effects.empty
        assert set(reasons(table).values()) == {"crossover_counts"}


# --- changes without a control --------------------------------------------------------------------

ALONE = {"mean": "12.1", "sd": "6.4", "n": "30", "baseline_mean": "20", "baseline_sd": "5"}


@pytest.mark.parametrize(
    ("cells", "after"), [({}, 12.1), ({"statistic": "change", "mean": "-7.9"}, 12.1)]
)
def test_a_change_without_a_control(cells: dict[str, str], after: float) -> None:
    tables = tables_of([score(**ALONE | cells)], arms=[arm()], studies=[study(design="single_arm")])
    row = one_effect(effects_of(tables, HALF), "SMCR")
    expected = es.standardized_mean_change(20, after, 5, 30, 0.5)
    assert same(row["estimate"], expected.estimate)
    assert same(row["variance"], expected.variance)
    assert (row["data_kind"], row["comparator_arm_id"]) == ("before_after", "")
    assert row["route"] == "before_after+paired_correlation_assumed"
    assert row["assumption"] == "correlation=0.5"


@pytest.mark.parametrize(
    ("cells", "assumed", "code"),
    [
        ({}, None, "no_correlation_within"),
        ({"baseline_sd": ""}, HALF, "no_baseline"),
        ({"baseline_mean": ""}, None, "no_baseline"),
        ({"n": "2"}, HALF, "n_below_three"),
        ({"instrument": "heart"}, HALF, "no_direction"),
    ],
)
def test_a_change_that_cannot_be_used_says_why(cells, assumed, code) -> None:
    tables = tables_of([score(**ALONE | cells)], arms=[arm()], studies=[study(design="single_arm")])
    table = effects_of(tables, assumed)
    assert table.effects.empty
    assert reasons(table) == {"outcomes:2": code}


def test_a_controlled_trial_gives_no_change_without_a_control() -> None:
    baseline = {"baseline_mean": "20", "baseline_sd": "5"}
    table = effects_of(two_scores(TREATED | baseline, UNTREATED | baseline), HALF)
    assert "SMCR" not in set(table.effects["measure"])


# --- assumed arm sizes ----------------------------------------------------------------------------


def test_an_assumed_size_lets_a_row_in_and_is_recorded() -> None:
    tables = two_scores(TREATED | {"n": ""}, UNTREATED)
    assert reasons(effects_of(tables)) == {"outcomes:2": "no_n", "outcomes:3": "partner_unusable"}
    size = arm_size("alder_2014", "ketamine", "", 30, "as randomised")
    row = one_effect(effects_of(tables, Assumptions(arm_sizes=(size,))), "SMD")
    assert row["assumption"] == "n of ketamine = 30"
    assert same(row["estimate"], es.standardized_mean_difference(*SIX).estimate)


def test_a_printed_size_wins_over_an_assumed_one() -> None:
    size = arm_size("alder_2014", "ketamine", "", 99, "as randomised")
    row = one_effect(
        effects_of(two_scores(TREATED, UNTREATED), Assumptions(arm_sizes=(size,))), "SMD"
    )
    assert (row["n_treatment"], row["assumption"]) == (30, "")


@pytest.mark.parametrize(
    "size",
    [
        arm_size("birch_2016", "ketamine", "", 30, "why"),
        arm_size("alder_2014", "placebo", "", 30, "why"),
        arm_size("alder_2014", "ketamine", "sex=female", 30, "why"),
    ],
)
def test_an_assumed_size_is_for_its_own_arm_and_people_only(size: ArmSize) -> None:
    tables = two_scores(TREATED | {"n": ""}, UNTREATED)
    assert effects_of(tables, Assumptions(arm_sizes=(size,))).effects.empty


def test_assumed_sizes_of_a_printed_comparison() -> None:
    tables = tables_of(contrasts=[contrast()])
    sizes = (
        arm_size("alder_2014", "ketamine", "", 30, "why"),
        arm_size("alder_2014", "placebo", "", 28, "why"),
    )
    row = one_effect(effects_of(tables, Assumptions(arm_sizes=sizes)), "SMD")
    assert row["assumption"] == "n of ketamine = 30; n of placebo = 28"
    assert (row["n_treatment"], row["n_control"]) == (30, 28)
    assert set(effects_of(tables).effects["measure"]) == {"MD"}


# --- form -----------------------------------------------------------------------------------------


def test_every_effect_has_the_declared_columns_and_known_routes() -> None:
    table = effects_of(
        tables_of(
            [score(), score("placebo"), event(), event("placebo"), score(instrument="recall"),
             score("placebo", instrument="recall")],
            [contrast()],
        )
    )  # fmt: skip
    assert set(EFFECT_COLUMNS) <= set(table.effects.columns)
    for route in table.effects["route"]:
        assert set(route.split("+")) <= set(ROUTES)
    assert table.effects["estimate"].map(math.isfinite).all()
    assert (table.effects["variance"] > 0).all()
