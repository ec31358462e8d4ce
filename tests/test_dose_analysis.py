"""Analyses of kind ``dose_response``: which arms enter, the curve, and what is said about it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batches import Tables
from helpers import (
    ANALYSIS,
    arm,
    event,
    evidence_of,
    problem_lines,
    score,
    spec_of,
    study,
    tables_of,
    write_analysis,
)
from ketameta.analyses import load_spec, run_analysis
from ketameta.errors import SpecError
from ketameta.evidence import derive_effects
from ketameta.report import dose_table
from tolerances import PUBLISHED

DOSES = (
    ANALYSIS.replace("looked_for", 'kind = "dose_response"\nlooked_for')
    + 'comparator_class = ["placebo"]\n'
)
RULE = '\n[dose]\nunit = "mg"\nstep = 28\n'
MEAN = '\n[model]\nmeasure = "MD"\n'


def dose_trial(study_id: str, means: dict[int, float], placebo: float = 20.0) -> Tables:
    """Return a trial of several doses (SD 8, 40 people per arm) and placebo."""
    arms = [arm("placebo", study_id, control=True)]
    rows = [score("placebo", study_id, n="40", mean=f"{placebo}", sd="8")]
    for dose, mean in means.items():
        name = f"ketamine_{dose}"
        arms.append(arm(name, study_id, dose=str(dose), dose_unit="mg"))
        rows.append(score(name, study_id, n="40", mean=f"{mean}", sd="8"))
    return {"studies": [study(study_id)], "arms": arms, "outcomes": rows}


def joined(*parts: Tables) -> Tables:
    return tables_of(
        studies=[dict(row) for part in parts for row in part["studies"]],
        arms=[dict(row) for part in parts for row in part["arms"]],
        outcomes=[dict(row) for part in parts for row in part["outcomes"]],
    )


FOUR = (
    dose_trial("alder_2014", {28: 18.2, 56: 16.9, 84: 15.0}),
    dose_trial("birch_2016", {28: 19.0, 56: 17.1, 84: 16.2}),
    dose_trial("cedar_2017", {56: 16.4, 84: 13.8}),
    dose_trial("dogwood_2018", {84: 15.1}),
)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def running(tables: Tables, rule: str = RULE, more: str = MEAN) -> dict[str, Any]:
        spec = spec_of(tmp_path, rule + more, DOSES)
        evidence = evidence_of(tables)
        return run_analysis(spec, derive_effects(evidence, spec.assume), evidence)

    return running


def codes(result: dict[str, Any]) -> set[str]:
    return {item["code"] for item in result["excluded"]}


def test_each_dose_enters_against_the_control_once(run: Any) -> None:
    result = run(joined(*FOUR))
    found = result["dose_response"]
    assert [(p["study_id"], p["dose"]) for p in found["points"]] == [
        ("alder_2014", 28), ("alder_2014", 56), ("alder_2014", 84),
        ("birch_2016", 28), ("birch_2016", 56), ("birch_2016", 84),
        ("cedar_2017", 56), ("cedar_2017", 84), ("dogwood_2018", 84),
    ]  # fmt: skip
    assert result["k"] == 4
    assert result["n_participants"] == 40 * (4 + 4 + 3 + 2)
    assert [group["label"] for group in result["groups"]] == ["28 mg", "56 mg", "84 mg"]
    assert result["pooled"] is None
    # Joined arms have no single dose, and two doses are not compared with each other.
    assert codes(result) >= {"dose_not_fixed", "comparator_class"}


def test_the_slope_is_generalised_least_squares_with_the_shared_control(run: Any) -> None:
    found = run(joined(*FOUR))["dose_response"]
    x = np.array([point["dose"] for point in found["points"]])
    y = np.array([point["estimate"] for point in found["points"]])
    names = np.array([point["study_id"] for point in found["points"]])
    same = np.equal.outer(names, names)
    shared = 64 / 40
    covariance = same * shared + np.eye(len(x)) * shared
    between = found["linear"]["between"][0][0]
    inverse = np.linalg.inv(covariance + same * between * np.outer(x, x))
    slope = x @ inverse @ y / (x @ inverse @ x)
    assert found["linear"]["slope"]["estimate"] == pytest.approx(28 * slope, rel=PUBLISHED)
    se = 28 / math.sqrt(x @ inverse @ x)
    assert found["linear"]["slope"]["se"] == pytest.approx(se, rel=PUBLISHED)
    # Among treated people the control is gone: differences of doses within trials.
    turn = np.zeros((5, 9))
    for row, (high, low) in enumerate([(1, 0), (2, 0), (4, 3), (5, 3), (7, 6)]):
        turn[row, high], turn[row, low] = 1, -1
    inverse = np.linalg.inv(turn @ covariance @ turn.T)
    dx, dy = turn @ x, turn @ y
    among = found["among_doses"]
    assert (among["k"], among["n_contrasts"]) == (3, 5)
    if among["slope"]["tau"] == 0:
        expected = dx @ inverse @ dy / (dx @ inverse @ dx)
        assert among["slope"]["estimate"] == pytest.approx(28 * expected, rel=PUBLISHED)


def test_the_curve_starts_at_no_effect_and_ends_at_the_highest_dose(run: Any) -> None:
    found = run(joined(*FOUR))["dose_response"]
    first, last = found["curve"][0], found["curve"][-1]
    assert (first["dose"], first["estimate"], first["se"]) == (0, 0, 0)
    assert last["dose"] == 84
    assert last["estimate"] == pytest.approx(
        3 * found["linear"]["slope"]["estimate"], rel=PUBLISHED
    )
    assert [item["dose"] for item in found["at_doses"]] == [28, 56, 84]
    assert found["nonlinearity"]["p_value"] == found["spline"]["nonlinearity"]["p_value"]


def test_a_spline_can_be_the_main_curve(run: Any) -> None:
    found = run(joined(*FOUR), RULE + 'transformation = "spline"\n')["dose_response"]
    assert found["main"] == "spline"
    assert found["curve"] == found["spline"]["curve"] != found["linear"]["curve"]


def test_other_units_are_left_or_converted_as_declared(run: Any) -> None:
    kilo = dose_trial("elm_2019", {1: 15.5})
    for row in kilo["arms"]:
        if row["arm_id"] != "placebo":
            row["dose_unit"] = "mg_per_kg"
    left = run(joined(*FOUR, kilo))
    assert left["k"] == 4
    assert "its dose is in mg per kg" in {item["reason"] for item in left["excluded"]}
    rule = RULE + 'equivalents = {mg_per_kg = 70}\nequivalents_reason = "70 kg"\n'
    converted = run(joined(*FOUR, kilo), rule)["dose_response"]
    assert converted["points"][-1]["dose"] == 70
    assert converted["doses"] == [28, 56, 70, 84]


def test_no_trial_gives_a_result_that_says_so(run: Any) -> None:
    result = run(joined(dose_trial("alder_2014", {28: 18})), '\n[dose]\nunit = "mg_per_kg"\n')
    assert result["k"] == 0
    assert result["dose_response"]["withheld"] == "no eligible trial"
    assert result["sentences"] == [
        "No eligible trial was found. Found instead: 1 study, no number that can be used here"
        " (Alder 2014: its dose is in mg). We looked for a trial of ketamine in depression."
    ]


def test_one_dose_cannot_tell_line_from_curve(run: Any) -> None:
    result = run(joined(dose_trial("alder_2014", {84: 15}), dose_trial("birch_2016", {84: 16})))
    found = result["dose_response"]
    assert found["linear"]["withheld"] == ""
    assert found["spline"]["withheld"] and found["nonlinearity"] is None
    assert found["among_doses"]["k"] == 0
    words = " ".join(result["sentences"])
    assert "Whether it is a line cannot be tested" in words
    assert "no trial compares two doses" in words
    assert {"common_curve", "single_dose"} <= {caveat["code"] for caveat in result["caveats"]}
    json.dumps(result, allow_nan=False)


def test_a_plateau_is_said(run: Any) -> None:
    flat = {28: 12.0, 56: 12.1, 84: 11.9}
    names = ("alder", "birch", "cedar", "elm", "fir", "hazel")
    result = run(joined(*(dose_trial(f"{name}_2014", flat) for name in names)))
    assert "not_a_line" in {caveat["code"] for caveat in result["caveats"]}
    assert "Test that the relation is not a line" in " ".join(result["sentences"])


def test_counts_give_ratios_that_multiply(run: Any) -> None:
    tables = joined(*FOUR)
    for row in tables["outcomes"]:
        dose = 0 if row["arm_id"] == "placebo" else int(row["arm_id"].split("_")[1])
        events = event(row["arm_id"], row["study_id"], n="40", events=str(4 + dose // 14))
        row.clear()
        row.update(events | {"outcome": "depression"})
    result = run(tables, RULE, '\n[model]\nmeasure = "RR"\n')
    slope = result["dose_response"]["linear"]["slope"]
    assert slope["estimate"] > 0
    assert f"is multiplied by {math.exp(slope['estimate']):.2f}" in " ".join(result["sentences"])


def test_problems_of_the_dose_table_are_said_at_once(tmp_path: Path) -> None:
    text = DOSES + (
        '\n[dose]\ntransformation = "cubic"\nstep = 0\nknots = [0.9, 0.1]\n'
        'equivalents = {mg_per_kg = 70}\nunits = "mg"\n\n[model]\ntau2_method = "DL"\n'
    )
    with pytest.raises(SpecError) as caught:
        load_spec(write_analysis(tmp_path, "demo", text))
    words = "\n".join(problem_lines(caught.value))
    for part in (
        "dose.unit:", "dose.units: no such key", "dose.transformation is 'cubic'",
        "dose.step is 0", "dose.knots is [0.9, 0.1]", "equivalents_reason", "REML only",
    ):  # fmt: skip
        assert part in words


def test_only_dose_analyses_have_doses(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="only an analysis with kind"):
        load_spec(write_analysis(tmp_path, "demo", ANALYSIS + RULE))


def test_the_table_has_each_dose_by_both_curves(run: Any) -> None:
    result = run(joined(*FOUR))
    rows = dose_table(result).texts
    assert [row[:2] for row in rows] == [["28 mg", "2"], ["56 mg", "3"], ["84 mg", "4"]]
    last = result["dose_response"]["linear"]["at_doses"][-1]
    assert rows[-1][2].startswith(f"{last['estimate']:.2f}".replace("-", "\u2212"))
    alone = run(joined(dose_trial("alder_2014", {84: 15})))
    assert dose_table(alone).texts[0][3] == "withheld"
    assert dose_table(run(joined(*FOUR), '\n[dose]\nunit = "g"\n')) is None
