"""Controlled words agree with one another, and the sign convention holds for every measure."""

from __future__ import annotations

import math
from typing import get_args

import pytest

from helpers import (
    SCALES,
    arm,
    contrast,
    each,
    effects_of,
    event,
    one_effect,
    score,
    study,
    tables_of,
)
from ketameta import measures as words
from ketameta.evidence import Assumptions
from ketameta.measures import Measure
from ketameta.models import DEFAULT_TAU2_METHOD, TAU2_METHODS

LISTS = {
    name: value
    for name, value in vars(words).items()
    if name.isupper() and isinstance(value, tuple) and not name.startswith("_")
}


@each((name,) for name in sorted(LISTS))
def test_no_word_stands_twice_in_a_list(name: str) -> None:
    assert len(set(LISTS[name])) == len(LISTS[name]) > 1


def test_literals_and_lists_of_options_agree() -> None:
    assert get_args(words.CiMethod) == words.CI_METHODS
    assert DEFAULT_TAU2_METHOD in TAU2_METHODS and DEFAULT_TAU2_METHOD == "REML"
    assert words.DEFAULT_CI_METHOD == "knapp-hartung-conservative"


@pytest.mark.parametrize("measure", list(Measure))
def test_every_measure_has_a_label_and_a_null(measure: Measure) -> None:
    assert measure.label and measure.label != str(measure)
    one_group = measure in {Measure.PR, Measure.PLO, Measure.PAS, Measure.PFT, Measure.IRLN,
                            Measure.MN}  # fmt: skip
    assert measure.null == (None if one_group else 1.0 if measure.is_ratio else 0.0)


def test_the_ratios_are_the_measures_on_a_log_scale() -> None:
    ratios = {Measure.OR, Measure.RR, Measure.ROM, Measure.PETO, Measure.IRR, Measure.HR}
    assert {m for m in Measure if m.is_ratio} == ratios


# --- the sign convention --------------------------------------------------------------------------

#: Scores of the treatment and of the control in which the treatment did better.
BETTER = {"hamd": ("10", "15"), "recall": ("15", "10")}


@pytest.mark.parametrize("scale", BETTER)
@pytest.mark.parametrize("statistic", ["endpoint", "change"])
def test_a_negative_smd_favours_the_treatment_whatever_the_scale(
    scale: str, statistic: str
) -> None:
    treatment, control = BETTER[scale]
    cells = {"instrument": scale, "statistic": statistic}
    table = effects_of(
        tables_of([score(mean=treatment, **cells), score("placebo", mean=control, **cells)])
    )
    assert one_effect(table, "SMD")["estimate"] < 0
    assert one_effect(table, "MD")["estimate"] == float(treatment) - float(control)
    assert ("direction_flipped" in one_effect(table, "SMD")["route"]) == (scale == "recall")
    assert "direction_flipped" not in one_effect(table, "MD")["route"]


@pytest.mark.parametrize("scale", BETTER)
def test_the_same_holds_for_crossovers_and_for_changes_of_one_arm(scale: str) -> None:
    treatment, control = BETTER[scale]
    crossed = effects_of(
        tables_of(
            [
                score(mean=treatment, instrument=scale),
                score("placebo", mean=control, instrument=scale),
            ],
            studies=[study(design="crossover_rct")],
        ),
        Assumptions(correlation=0.5),
    )
    assert one_effect(crossed, "SMD")["estimate"] < 0
    alone = effects_of(
        tables_of(
            [score(mean=treatment, baseline_mean=control, baseline_sd="6", instrument=scale)],
            studies=[study(design="single_arm")],
            arms=[arm()],
        ),
        Assumptions(correlation=0.5),
    )
    assert one_effect(alone, "SMCR")["estimate"] < 0


@pytest.mark.parametrize("scale", BETTER)
def test_the_same_holds_for_printed_differences(scale: str) -> None:
    treatment, control = BETTER[scale]
    difference = float(treatment) - float(control)
    row = contrast(
        instrument=scale,
        estimate=f"{difference:g}",
        ci_low=f"{difference - 2:g}",
        ci_high=f"{difference + 2:g}",
        n_treatment="30",
        n_control="30",
    )
    table = effects_of(tables_of(contrasts=[row]))
    assert one_effect(table, "MD")["estimate"] == difference
    assert one_effect(table, "SMD")["estimate"] < 0


def test_a_scale_without_a_better_end_has_a_difference_and_no_smd() -> None:
    assert SCALES["heart"] == "neither"
    table = effects_of(tables_of([score(instrument="heart"), score("placebo", instrument="heart")]))
    assert set(table.effects["measure"]) == {"MD"}
    assert table.unused.empty


def test_ratios_and_risk_differences_keep_the_sign_of_the_event() -> None:
    table = effects_of(tables_of([event(events="3"), event("placebo", events="9")]))
    assert one_effect(table, "OR")["estimate"] == pytest.approx(math.log((3 / 27) / (9 / 21)))
    assert one_effect(table, "RR")["estimate"] == pytest.approx(math.log(3 / 9))
    assert one_effect(table, "RD")["estimate"] == pytest.approx(-0.2)
