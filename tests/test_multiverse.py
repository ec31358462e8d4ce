"""Every combination of choices: each one equals its own fit, and the counting is right."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tolerances as tol
from helpers import arm, effects_of, event, evidence_of, join_tables, spec_of, study, trials
from ketameta import pool
from ketameta.analyses import choice_effects, select_effects
from ketameta.analyses.multiverse import multiverse
from ketameta.formatting import published

NAUSEA = """\
title = "Nausea"
question = "Is there more nausea?"
section = "harms"
order = 1
directness = "indirect"
status = "declared"
favours = ["Less with ketamine", "More with ketamine"]
looked_for = "a trial of ketamine that counts nausea"

[select]
outcome = ["nausea"]
intervention = ["ketamine"]
"""
COUNTS = {
    "alder_2014": (9, 40, 4, 40, "full_text"),
    "birch_2016": (12, 30, 5, 31, "full_text"),
    "cedar_2017": (20, 80, 8, 79, "abstract"),
    "elm_2019": (7, 25, 3, 26, "full_text"),
}


def counted() -> Any:
    """Four invented trials that count nausea, one of them read as an abstract."""
    parts = []
    for name, (e1, n1, e2, n2, access) in COUNTS.items():
        parts.append(
            {
                "studies": [study(name, access=access)],
                "arms": [arm(study_id=name), arm("placebo", name, control=True)],
                "outcomes": [
                    event(study_id=name, outcome="nausea", events=str(e1), n=str(n1)),
                    event("placebo", name, outcome="nausea", events=str(e2), n=str(n2)),
                ],
            }
        )
    return join_tables(*parts)


def run(
    tables: Any, folder: Path, text: str = "", more: str = "", risk: float | None = None
) -> Any:
    """Return all combinations of one analysis of invented tables."""
    spec = spec_of(folder, more, text) if text else spec_of(folder, more)
    table, evidence = effects_of(tables, spec.assume), evidence_of(tables)
    used = select_effects(spec, table, evidence).used
    return multiverse(spec, used, evidence, lambda assumed: effects_of(tables, assumed), risk)


def keyed(found: dict[str, Any]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the combinations by the words of their options."""
    columns = found["combinations"]
    return {
        tuple(
            choice["options"][columns["options"][choice["name"]][i]] for choice in found["choices"]
        ): {key: columns[key][i] for key in ("estimate", "ci_low", "ci_high", "k", "excludes")}
        for i in range(found["n"])
    }


# --- the combinations -----------------------------------------------------------------------------


def test_each_combination_equals_its_own_fit(tmp_path: Path) -> None:
    found = run(trials(5), tmp_path)
    assert [choice["name"] for choice in found["choices"]] == ["tau2_method", "ci_method"]
    assert found["n"] == found["n_pooled"] == 12
    spec = spec_of(tmp_path)
    rows = select_effects(spec, effects_of(trials(5)), evidence_of(trials(5))).used
    used = {name: [row.get(name) for row in rows] for name in ("estimate", "variance")}
    intervals = {
        "Knapp–Hartung, floored": "knapp-hartung-conservative",
        "Knapp–Hartung": "knapp-hartung",
        "Wald": "wald",
    }
    for (method, interval), row in keyed(found).items():
        fit = pool(used["estimate"], used["variance"], method, intervals[interval])
        assert row["k"] == 5
        for name in ("estimate", "ci_low", "ci_high"):
            assert row[name] == pytest.approx(getattr(fit, name), rel=tol.PUBLISHED)
    main = found["combinations"]["estimate"][found["main"]]
    fit = pool(used["estimate"], used["variance"])
    assert main == pytest.approx(fit.estimate, rel=tol.PUBLISHED)


def test_measures_are_put_on_one_scale_at_the_risk_on_control(tmp_path: Path) -> None:
    risk = sum(c[2] for c in COUNTS.values()) / sum(c[3] for c in COUNTS.values())
    found = run(counted(), tmp_path, NAUSEA, '\n[model]\nmeasure = "RR"\n', risk)
    rows = keyed(found)
    names = [choice["name"] for choice in found["choices"]]
    assert names == ["measure", "source", "tau2_method", "ci_method"]
    assert found["n"] == 3 * 2 * 4 * 3
    e1, n1, e2, n2 = (np.array([c[i] for c in COUNTS.values()], dtype=float) for i in range(4))
    difference = e1 / n1 - e2 / n2
    variance = e1 / n1 * (1 - e1 / n1) / n1 + e2 / n2 * (1 - e2 / n2) / n2
    fit = pool(difference, variance)
    row = rows["risk difference", "all", "REML", "Knapp–Hartung, floored"]
    for name in ("estimate", "ci_low", "ci_high"):
        expected = math.log((risk + getattr(fit, name)) / risk)
        assert row[name] == pytest.approx(expected, rel=tol.PUBLISHED)
    odds = np.log(e1 * (n2 - e2) / ((n1 - e1) * e2))
    fit = pool(odds, 1 / e1 + 1 / (n1 - e1) + 1 / e2 + 1 / (n2 - e2))
    treated = risk / (1 - risk) * math.exp(fit.estimate)
    row = rows["odds ratio", "all", "REML", "Knapp–Hartung, floored"]
    expected = math.log(treated / (1 + treated) / risk)
    assert row["estimate"] == pytest.approx(expected, rel=tol.PUBLISHED)
    full = rows["risk ratio", "read in full only", "DL", "Wald"]
    assert full["k"] == 3
    assert found["baseline_risk"] == published(risk)


def test_a_choice_without_effect_is_named_and_not_counted(tmp_path: Path) -> None:
    found = run(trials(3), tmp_path)
    assert found["idle"] == [
        "Where trials and pooled reports share people",
        "Standard deviations",
        "Sources",
    ]


def test_combinations_without_two_trials_are_counted_apart(tmp_path: Path) -> None:
    tables = trials(3)
    for row, access in zip(tables["studies"], ("full_text", "abstract", "abstract"), strict=True):
        row["access"] = access
    found = run(tables, tmp_path)
    assert (found["n"], found["n_pooled"]) == (24, 12)
    assert "12 more leave fewer than two trials" in found["sentences"][0]
    assert sum(found["excludes"].values()) == 12


def test_pools_and_trials_take_turns(tmp_path: Path) -> None:
    tables = trials(4)
    tables["studies"][3] |= {"design": "pooled_rcts", "overlaps_with": "alder_2014;birch_2016"}
    found = run(tables, tmp_path)
    overlap = next(choice for choice in found["choices"] if choice["name"] == "overlap")
    assert overlap["options"] == ["as declared", "pooled reports"]
    k = {options[0]: row["k"] for options, row in keyed(found).items()}
    assert k == {"as declared": 3, "pooled reports": 2}
    preferred = run(tables, tmp_path, more='\n[choose]\noverlap_prefer = ["elm_2019"]\n')
    overlap = next(choice for choice in preferred["choices"] if choice["name"] == "overlap")
    assert overlap["options"] == ["as declared", "trials"]


def test_an_assumed_correlation_is_varied(tmp_path: Path) -> None:
    tables = trials(3)
    for row in tables["studies"]:
        row["design"] = "crossover_rct"
    found = run(tables, tmp_path, more="\n[assume]\ncorrelation = 0.5\n")
    assert found["choices"][0]["options"] == ["0.5", "0.3", "0.7"]
    estimates = {options[0]: row["ci_low"] for options, row in keyed(found).items()}
    assert len(set(estimates.values())) == 3


def test_declared_choices_replace_the_usual_ones(tmp_path: Path) -> None:
    more = '\n[multiverse]\ntau2_method = ["EB"]\nci_method = ["wald"]\n'
    found = run(trials(3), tmp_path, more=more)
    assert [choice["options"] for choice in found["choices"]] == [
        ["REML", "EB"],
        ["Knapp–Hartung, floored", "Wald"],
    ]


@pytest.mark.parametrize(("count", "withheld"), [(0, True), (1, True), (2, False)])
def test_fewer_than_two_trials_vary_nothing(tmp_path: Path, count: int, withheld: bool) -> None:
    found = run(trials(count), tmp_path)
    assert bool(found["withheld"]) == withheld
    if withheld:
        assert found == {"withheld": "Fewer than two trials: no choice of model can be varied."}


def test_sentences_say_share_side_and_range(tmp_path: Path) -> None:
    found = run(trials(5), tmp_path)
    text = " ".join(found["sentences"])
    below = found["excludes"]["below"]
    assert below and found["excludes"]["above"] == 0
    assert "12 combinations" in text and "below no effect (favours ketamine)" in text
    every = [row["estimate"] for row in keyed(found).values()]
    assert (found["lowest"], found["highest"]) == (min(every), max(every))
    assert found["median"] == pytest.approx(np.median(every))


# --- which choice matters -------------------------------------------------------------------------


def factorial(*sizes: int) -> dict[str, np.ndarray]:
    """Return every combination of so many options, as columns a, b, c."""
    rows = np.array(list(itertools.product(*(range(size) for size in sizes))))
    return {name: rows[:, i] for i, name in enumerate("abcdef"[: len(sizes)])}


def test_an_additive_table_is_split_by_its_sums_of_squares() -> None:
    options = factorial(2, 3)
    values = 3.0 * options["a"] + 1.0 * options["b"]
    found = choice_effects(options, values, np.zeros(6, dtype=int))
    # Variances of the parts: 9/4 and 2/3.
    total = 9 / 4 + 2 / 3
    for name, part in (("a", 9 / 4), ("b", 2 / 3)):
        assert found[name]["alone"] == pytest.approx(part / total)
        assert found[name]["in_all"] == pytest.approx(part / total)
        assert (found[name]["changes"], found[name]["switches"]) == (0.0, 3 if name == "a" else 6)


def test_a_pure_interaction_belongs_to_no_choice_alone() -> None:
    options = factorial(2, 2)
    values = (options["a"] == options["b"]).astype(float)
    found = choice_effects(options, values, values.astype(int))
    for effect in found.values():
        assert effect["alone"] == pytest.approx(0)
        assert effect["in_all"] == pytest.approx(1)
        assert effect["changes"] == 1.0


def test_a_conclusion_that_one_choice_turns() -> None:
    options = factorial(2, 2, 2)
    ends = np.where(options["b"] == 1, -1, 0)
    found = choice_effects(options, np.ones(8), ends)
    assert [found[name]["changes"] for name in "abc"] == [0.0, 1.0, 0.0]
    assert found["b"]["alone"] is None and found["b"]["in_all"] is None


@given(st.lists(st.floats(-5, 5), min_size=12, max_size=12))
def test_shares_of_variance_keep_their_bounds(values: list[float]) -> None:
    found = choice_effects(factorial(2, 3, 2), np.array(values), np.zeros(12, dtype=int))
    alone = [effect["alone"] for effect in found.values()]
    if alone[0] is None:
        return
    assert sum(alone) <= 1 + 1e-9  # type: ignore[arg-type]
    for effect in found.values():
        assert effect["alone"] is not None and effect["in_all"] is not None
        assert -1e-9 <= effect["alone"] <= effect["in_all"] + 1e-9 <= 1 + 2e-9


def test_estimates_that_do_not_exist_are_left_out_of_the_variance() -> None:
    options = factorial(2, 2)
    values = np.array([1.0, 2.0, np.nan, 3.0])
    found = choice_effects(options, values, np.zeros(4, dtype=int))
    known = values[[0, 1, 3]]
    # Only 2.0 and 3.0 differ in a alone; what a explains without b cannot be told.
    within = ((known[1:] - known[1:].mean()) ** 2).sum()
    assert found["a"]["in_all"] == pytest.approx(within / ((known - known.mean()) ** 2).sum())
    assert found["a"]["alone"] is None and found["b"]["alone"] is None
    absent = {name: column[[0, 1, 3]] for name, column in options.items()}
    same = choice_effects(absent, known, np.zeros(3, dtype=int))["a"]
    assert (same["alone"], same["in_all"]) == (None, found["a"]["in_all"])
