"""Printed comparisons as effects: every number worked out again from the definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from helpers import contrast, effects_of, evidence_of, one_effect, reasons, score, study, tables_of
from ketameta.effects.conversions import ROUTES
from ketameta.evidence import PROBLEMS, Assumptions, ContrastEffect, effects_of_contrast
from ketameta.measures import Measure
from tolerances import EFFECT_SIZE

#: A comparison of which nothing is printed; tests add what is.
EMPTY = dict.fromkeys(("estimate", "ci_low", "ci_high", "p", "p_relation"), "")
SIZES = {"n_treatment": "18", "n_control": "18"}


def effects(
    *, direction: str = "lower_is_better", paired: bool = False,
    correlation: float | None = None, arm_difference: float | None = None, **cells: str,
) -> tuple[list[ContrastEffect], str]:  # fmt: skip
    row: dict[str, Any] = (
        evidence_of(tables_of(contrasts=[contrast(**EMPTY | cells)]))
        .contrasts.to_dict("records")[0]
    )  # fmt: skip
    return effects_of_contrast(
        row,
        direction=direction,
        paired=paired,
        correlation=correlation,
        arm_difference=arm_difference,
    )


def by_measure(**cells: Any) -> dict[str, ContrastEffect]:
    found, problem = effects(**cells)
    assert problem == ""
    return {str(effect.measure): effect for effect in found}


def exact_j(df: float) -> float:
    """Hedges' factor by its definition (gamma functions)."""
    logs = special.gammaln(df / 2) - special.gammaln((df - 1) / 2)
    return float(np.exp(logs) / np.sqrt(df / 2))


def g_variance(g: float, n1: float, n2: float) -> float:
    return 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2))


# --- bare tests -----------------------------------------------------------------------------------


def test_a_p_value_of_two_in_a_thousand_in_eighteen_against_eighteen() -> None:
    # t(34) with two-sided p = 0.002 is 3.348; over sqrt(18 * 18 / 36) and times J(34) = 0.978.
    found = by_measure(effect_type="test", p="0.002", p_relation="=", favours="treatment", **SIZES)
    g = found["SMD"]
    assert g.estimate == pytest.approx(-1.091, abs=5e-4)
    expected = -exact_j(34) * stats.t.isf(0.001, 34) * math.sqrt(2 / 18)
    assert g.estimate == pytest.approx(expected, rel=EFFECT_SIZE)
    assert g.variance == pytest.approx(g_variance(expected, 18, 18), rel=EFFECT_SIZE)
    assert g.route == "t_from_p+smd_from_t"
    assert set(found) == {"SMD"}


@pytest.mark.parametrize(
    ("cells", "route"),
    [({"t": "2.5"}, "t_printed"), ({"t": "-2.5"}, "t_printed"), ({"f": "6.25"}, "f_to_t")],
)
def test_t_and_f_say_the_same(cells: dict[str, str], route: str) -> None:
    g = by_measure(effect_type="test", favours="control", **SIZES, **cells)["SMD"]
    assert g.estimate == pytest.approx(exact_j(34) * 2.5 * math.sqrt(2 / 18), rel=EFFECT_SIZE)
    assert g.route == f"{route}+smd_from_t"


def test_a_one_sided_p_is_half_of_a_two_sided_one() -> None:
    cells = {"effect_type": "test", "favours": "treatment", **SIZES}
    one = by_measure(**cells, p="0.001", p_sided="one")["SMD"]
    two = by_measure(**cells, p="0.002", p_sided="two")["SMD"]
    assert one.estimate == two.estimate
    assert by_measure(**cells, p="0.001")["SMD"].estimate < one.estimate


def test_printed_degrees_of_freedom_win() -> None:
    cells = {"effect_type": "test", "p": "0.002", "favours": "treatment", **SIZES}
    assert by_measure(**cells, df="20")["SMD"].estimate < by_measure(**cells)["SMD"].estimate


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"p": "0.002"}, "sign_unknown"),
        ({"p": "0.002", "favours": "neither"}, "sign_unknown"),
        ({"p": "0.05", "p_relation": "<", "favours": "treatment"}, "no_exact_test_statistic"),
        ({"p": "1", "favours": "treatment"}, "no_exact_test_statistic"),
        ({"favours": "treatment"}, "no_exact_test_statistic"),
        ({"p": "0.002", "favours": "treatment", "n_control": ""}, "no_n"),
        ({"p": "0.002", "favours": "treatment", "n_control": "1"}, "n_below_two"),
        ({"p": "0.002", "favours": "treatment", "n_treatment": "1"}, "n_below_two"),
        ({"t": "2.5", "favours": "treatment", "n_treatment": ""}, "no_n"),
    ],
)
def test_a_test_that_cannot_be_used_says_why(cells: dict[str, str], problem: str) -> None:
    assert effects(effect_type="test", **SIZES | cells) == ([], problem)
    assert problem in PROBLEMS


def test_means_without_spread_and_their_test_give_a_difference() -> None:
    found = by_measure(
        effect_type="test", t="2.5", favours="treatment", arm_difference=-4.0, **SIZES
    )
    difference = found["MD"]
    assert difference.estimate == -4.0
    assert difference.variance == pytest.approx((4 / 2.5) ** 2, rel=EFFECT_SIZE)
    assert difference.route == "means_printed+t_printed+se_from_t"
    assert "SMD" in found


@pytest.mark.parametrize("cells", [{"t": "0"}, {"t": "2.5", "arm_difference": 0.0}])
def test_no_difference_is_made_of_nothing(cells: dict[str, Any]) -> None:
    arguments = {"arm_difference": -4.0, "favours": "treatment", "effect_type": "test", **SIZES}
    found, _ = effects(**arguments | cells)
    assert "MD" not in {str(effect.measure) for effect in found}


# --- mean differences -----------------------------------------------------------------------------

MD = {"effect_type": "MD", "estimate": "-3.1"}
INTERVAL = MD | {"ci_low": "-5.9", "ci_high": "-0.3"}


@pytest.mark.parametrize(("level", "share"), [("", 0.95), ("90", 0.90)])
def test_a_difference_with_its_interval_gives_g(level: str, share: float) -> None:
    found = by_measure(**INTERVAL, ci_level=level, n_treatment="30", n_control="28")
    se = 2.8 / stats.t.ppf(0.5 + share / 2, 56)
    assert found["MD"].estimate == -3.1
    assert found["MD"].variance == pytest.approx(se**2, rel=EFFECT_SIZE)
    assert found["MD"].route == "md_printed+ci_to_se"
    sd = se / math.sqrt(1 / 30 + 1 / 28)
    g = exact_j(56) * -3.1 / sd
    assert found["SMD"].estimate == pytest.approx(g, rel=EFFECT_SIZE)
    assert found["SMD"].variance == pytest.approx(g_variance(g, 30, 28), rel=EFFECT_SIZE)
    assert found["SMD"].route == "md_printed+ci_to_se+sd_from_difference_se"


def test_without_sizes_an_interval_is_read_as_normal_and_gives_no_g() -> None:
    found = by_measure(**INTERVAL)
    assert found["MD"].variance == pytest.approx(
        (2.8 / stats.norm.ppf(0.975)) ** 2, rel=EFFECT_SIZE
    )
    assert set(found) == {"MD"}


@pytest.mark.parametrize(
    ("cells", "se", "route"),
    [
        ({"se": "1.4", "ci_low": "-9", "ci_high": "9"}, 1.4, "se_printed"),
        ({"t": "-2"}, 1.55, "t_printed+se_from_t"),
        ({"f": "4"}, 1.55, "f_to_t+se_from_t"),
        ({"p": "0.04"}, 3.1 / stats.t.isf(0.02, 34), "t_from_p+se_from_t"),
    ],
)
def test_every_printed_precision_leads_to_the_standard_error(
    cells: dict[str, str], se: float, route: str
) -> None:
    found = by_measure(**MD | SIZES | cells)["MD"]
    assert found.variance == pytest.approx(se**2, rel=EFFECT_SIZE)
    assert found.route == f"md_printed+{route}"


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"estimate": ""}, "no_estimate"),
        ({}, "no_variance"),
        ({"p": "0.05", "p_relation": "<", **SIZES}, "no_variance"),
        ({"ci_low": "-5"}, "no_variance"),
        ({"p": "0.04"}, "no_n"),
        ({"estimate": "0", "p": "0.9", **SIZES}, "no_variance"),
    ],
)
def test_a_difference_without_precision_says_why(cells: dict[str, str], problem: str) -> None:
    assert effects(**MD | cells) == ([], problem)


def test_a_model_behind_the_precision_is_recorded() -> None:
    for effect in by_measure(**INTERVAL | SIZES, sd_origin="model").values():
        assert "model_based" in effect.route


# --- which arm did better -------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["lower_is_better", "higher_is_better"])
@pytest.mark.parametrize("favours", ["treatment", "control"])
@pytest.mark.parametrize("printed", ["-3.1", "3.1"])
def test_the_words_of_the_source_decide_the_sign(
    direction: str, favours: str, printed: str
) -> None:
    found = by_measure(**MD | SIZES | {"estimate": printed, "se": "1.2"},
                       favours=favours, direction=direction)  # fmt: skip
    assert (found["SMD"].estimate < 0) == (favours == "treatment")
    lower = (favours == "treatment") == (direction == "lower_is_better")
    assert (found["MD"].estimate < 0) == lower
    assert abs(found["MD"].estimate) == 3.1
    turned = (float(printed) < 0) != lower
    assert ("sign_from_words" in found["MD"].route) == turned


@pytest.mark.parametrize("favours", ["", "neither"])
@pytest.mark.parametrize("printed", ["-3.1", "3.1"])
def test_without_words_the_printed_sign_stands(favours: str, printed: str) -> None:
    found = by_measure(**MD | SIZES | {"estimate": printed, "se": "1.2"}, favours=favours)
    assert found["MD"].estimate == float(printed)
    assert "sign_from_words" not in found["MD"].route


def test_a_scale_without_a_better_end_keeps_its_sign_and_has_no_g() -> None:
    found = by_measure(**MD | SIZES | {"se": "1.2"}, favours="control", direction="neither")
    assert found["MD"].estimate == -3.1
    assert set(found) == {"MD"}


# --- printed standardised differences -------------------------------------------------------------

SMD = {"effect_type": "SMD", "estimate": "0.62"}


@pytest.mark.parametrize(("favours", "sign"), [("treatment", -1), ("control", 1)])
@pytest.mark.parametrize("printed", ["0.62", "-0.62"])
def test_a_printed_smd_takes_its_sign_from_words_alone(
    favours: str, sign: int, printed: str
) -> None:
    found = by_measure(**SMD | {"estimate": printed, "se": "0.2"}, favours=favours)["SMD"]
    assert (found.estimate, found.route) == (sign * 0.62, "smd_printed+se_printed")
    assert found.variance == pytest.approx(0.04, rel=EFFECT_SIZE)


def test_the_variance_of_a_printed_smd() -> None:
    from_ci = by_measure(**SMD, ci_low="0.2", ci_high="1.0", favours="treatment")["SMD"]
    assert from_ci.variance == pytest.approx((0.4 / stats.norm.ppf(0.975)) ** 2, rel=EFFECT_SIZE)
    from_n = by_measure(**SMD | SIZES, favours="treatment")["SMD"]
    assert from_n.variance == pytest.approx(g_variance(0.62, 18, 18), rel=EFFECT_SIZE)
    assert from_n.estimate == -0.62
    assert from_n.route == "smd_printed+smd_variance_from_n"


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"favours": ""}, "sign_unknown"),
        ({"estimate": ""}, "no_estimate"),
        ({}, "no_n"),
        ({"paired": True}, "no_variance"),
    ],
)
def test_a_printed_smd_that_cannot_be_used_says_why(cells: dict[str, Any], problem: str) -> None:
    assert effects(**SMD | {"favours": "treatment"} | cells) == ([], problem)


# --- ratios and risks -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["OR", "RR"])
def test_ratios_are_taken_to_logarithms(kind: str) -> None:
    found = by_measure(effect_type=kind, estimate="2.4", ci_low="1.5", ci_high="3.84")[kind]
    assert found.estimate == pytest.approx(math.log(2.4), rel=EFFECT_SIZE)
    se = math.log(3.84 / 1.5) / (2 * stats.norm.ppf(0.975))
    assert found.variance == pytest.approx(se**2, rel=EFFECT_SIZE)
    assert found.route == "ratio_printed+ci_to_se"


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"effect_type": "OR"}, "no_estimate"),
        ({"effect_type": "RR", "estimate": "2"}, "no_variance"),
        ({"effect_type": "OR", "estimate": "2", "ci_low": "0", "ci_high": "9"}, "no_variance"),
        ({"effect_type": "RD", "estimate": "0.2"}, "no_variance"),
        ({"effect_type": "HR", "estimate": "0.5", "ci_low": "0.3", "ci_high": "0.8"},
         "hazard_ratio_not_pooled"),
    ],
)  # fmt: skip
def test_ratios_that_cannot_be_used_say_why(cells: dict[str, str], problem: str) -> None:
    assert effects(**cells) == ([], problem)


def test_a_printed_risk_difference() -> None:
    found = by_measure(effect_type="RD", estimate="-0.1", se="0.04")["RD"]
    assert (found.estimate, found.variance) == (-0.1, pytest.approx(0.0016, rel=EFFECT_SIZE))


# --- crossovers -----------------------------------------------------------------------------------

CROSSED: dict[str, Any] = {"paired": True, "n_treatment": "20", "n_control": "20"}


def paired_g(d: float, n: float, r: float) -> tuple[float, float]:
    g = exact_j(2 * (n - 1) / (1 + r**2)) * d
    return g, 2 * (1 - r) / n + g**2 * (1 + r**2) / (4 * n)


def test_a_crossover_needs_a_correlation_for_g_and_none_for_the_difference() -> None:
    cells = MD | {"se": "1.2"} | CROSSED
    assert set(by_measure(**cells)) == {"MD"}
    assumed = by_measure(**cells, correlation=0.6)["SMD"]
    sd = 1.2 * math.sqrt(20) / math.sqrt(2 * 0.4)
    g, variance = paired_g(-3.1 / sd, 20, 0.6)
    assert assumed.estimate == pytest.approx(g, rel=EFFECT_SIZE)
    assert assumed.variance == pytest.approx(variance, rel=EFFECT_SIZE)
    assert assumed.assumption == "correlation=0.6"
    assert "paired_correlation_assumed" in assumed.route


def test_a_printed_correlation_wins_over_an_assumed_one() -> None:
    cells = MD | {"se": "1.2", "correlation": "0.3", "n_treatment": "20", "n_control": "20"}
    tables = tables_of(
        contrasts=[contrast(**EMPTY | cells)], studies=[study(design="crossover_rct")]
    )
    found = one_effect(effects_of(tables, Assumptions(correlation=0.9)), "SMD")
    assert (found["assumption"], "correlation_printed" in found["route"]) == ("", True)
    sd = 1.2 * math.sqrt(20) / math.sqrt(2 * 0.7)
    assert found["estimate"] == pytest.approx(paired_g(-3.1 / sd, 20, 0.3)[0], rel=EFFECT_SIZE)


def test_the_spread_of_differences_gives_the_precision() -> None:
    found = by_measure(**MD | {"sd_difference": "6"} | CROSSED)["MD"]
    assert found.variance == pytest.approx(36 / 20, rel=EFFECT_SIZE)
    assert found.route == "md_printed+paired_printed"


def test_the_p_value_of_a_crossover_has_one_group_of_degrees_of_freedom() -> None:
    found = by_measure(**MD | {"p": "0.04"} | CROSSED)["MD"]
    assert found.variance == pytest.approx((3.1 / stats.t.isf(0.02, 19)) ** 2, rel=EFFECT_SIZE)


def test_a_paired_t_gives_g_in_units_of_the_spread_between_people() -> None:
    cells = {"effect_type": "test", "t": "3", "favours": "treatment"} | CROSSED
    assert effects(**cells) == ([], "no_correlation")
    found = by_measure(**cells, correlation=0.5)["SMD"]
    g, variance = paired_g(-3 * math.sqrt(2 * 0.5 / 20), 20, 0.5)
    assert found.estimate == pytest.approx(g, rel=EFFECT_SIZE)
    assert found.variance == pytest.approx(variance, rel=EFFECT_SIZE)


# --- properties -----------------------------------------------------------------------------------

TEXT_NUMBERS = st.sampled_from(["", "0", "0.04", "0.9", "1", "2.5", "-2.5", "12"])


@given(
    st.fixed_dictionaries(
        dict.fromkeys(("estimate", "ci_low", "ci_high", "t"), TEXT_NUMBERS)
        | {name: st.sampled_from(["", "0.3", "2"]) for name in ("se", "sd_difference")}
        | {"p": st.sampled_from(["", "0", "0.02", "1"]), "f": st.sampled_from(["", "0", "4"])}
        | {name: st.sampled_from(["", "1", "2", "30"]) for name in SIZES}
        | {
            "effect_type": st.sampled_from(["MD", "SMD", "OR", "RR", "RD", "HR", "test"]),
            "favours": st.sampled_from(["", "treatment", "control", "neither"]),
            "p_relation": st.sampled_from(["", "=", "<"]),
            "direction": st.sampled_from(["lower_is_better", "higher_is_better", "neither"]),
            "paired": st.booleans(),
            "correlation": st.sampled_from([None, 0.5]),
        }
    )
)
def test_whatever_is_printed_ends_in_effects_or_in_one_reason(cells: dict[str, Any]) -> None:
    low, high = cells["ci_low"], cells["ci_high"]
    ratio = cells["effect_type"] in ("OR", "RR")
    if low and high and float(low) >= float(high):  # refused by the checks
        cells["ci_low"], cells["ci_high"] = ("0.5", "4")
    if ratio and cells["estimate"] and float(cells["estimate"]) <= 0:  # refused by the checks
        cells["estimate"] = "2"
    found, problem = effects(**cells)
    assert bool(found) != bool(problem)
    assert problem == "" or problem in PROBLEMS
    assert len({effect.measure for effect in found}) == len(found)
    for effect in found:
        assert math.isfinite(effect.estimate)
        assert effect.variance > 0 and math.isfinite(effect.variance)
        assert set(effect.route.split("+")) <= set(ROUTES)
        assert bool(effect.assumption) == ("assumed" in effect.route)
        assert isinstance(effect.measure, Measure)


def test_a_row_of_the_table_goes_the_same_way() -> None:
    tables = tables_of(
        [score(sd="", mean="10"), score("placebo", sd="", mean="14")],
        [
            contrast(**EMPTY | SIZES | {"effect_type": "test", "outcome": "depression",
                     "instrument": "hamd", "t": "2.5", "favours": "treatment"}),
            contrast(effect_type="HR"),
        ],
    )  # fmt: skip
    table = effects_of(tables)
    assert one_effect(table, "MD")["estimate"] == -4.0
    assert one_effect(table, "MD")["printed_as"] == "test"
    assert reasons(table) == {
        "outcomes:2": "no_variance",
        "outcomes:3": "no_variance",
        "contrasts:3": "hazard_ratio_not_pooled",
    }
