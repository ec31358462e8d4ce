"""Every quantity, every data set, every estimator and test, against metafor 3.8-1.

One parametrised matrix; the last tests assert that it is complete.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers import each
from ketameta import permutation_test, random_effects, subgroup_analysis
from metafor_values import (
    CLOSED,
    DATASETS,
    ESTIMATORS,
    REFERENCE,
    TESTS,
    data,
    fitted,
    in_units,
    keys_with,
    pooled_gaps,
    regressed,
    regression_gaps,
    relative,
)
from tolerances import DIRECT, METAFOR_CLOSED, METAFOR_SEARCHED, METAFOR_YEARS

POOLED = [(key, estimator, test) for key in DATASETS for estimator in ESTIMATORS for test in TESTS]


@each(POOLED)
def test_pooled_effect_equals_metafor(key: str, estimator: str, test: str) -> None:
    found = pooled_gaps(key, estimator, test)
    limit = METAFOR_CLOSED if estimator in CLOSED else METAFOR_SEARCHED
    over = {name: gap for name, gap in found.items() if not gap <= limit}
    assert not over


REGRESSED = [
    (key, estimator, test)
    for key in keys_with("mods")
    for estimator in ESTIMATORS
    for test in TESTS
]
#: Moderators in calendar years, where metafor's inversion loses digits (see the tolerance).
IN_YEARS = {"bcg_RR_ablat_year", "linde2005_RR", "konstantopoulos2011_SMD"}


@each(REGRESSED)
def test_meta_regression_equals_metafor(key: str, estimator: str, test: str) -> None:
    found = regression_gaps(key, estimator, test)
    limit = METAFOR_CLOSED if estimator in CLOSED else METAFOR_SEARCHED
    if key in IN_YEARS:
        limit = METAFOR_YEARS
    over = {name: gap for name, gap in found.items() if not gap <= limit}
    assert not over


GROUPED = [(key, est) for key in keys_with("subgroup") for est in ("FE", "DL", "REML")]
SUBGROUPS = json.loads((Path(__file__).parent / "reference" / "subgroups.json").read_text("utf-8"))


@each(GROUPED)
def test_subgroups_with_their_own_tau2_equal_metafor(key: str, estimator: str) -> None:
    y, v = data(key)
    stored = DATASETS[key]["outputs"]["subgroup"][estimator]
    method = "common" if estimator == "FE" else estimator
    groups = DATASETS[key]["inputs"]["group"]
    found = subgroup_analysis(y, v, groups, "separate", method, "wald", least_tested=1)
    assert relative(found.q_between, stored["Qb.separate.tau2"]) < METAFOR_SEARCHED
    assert found.q_between_df == stored["Qb.df"]
    assert relative(found.q_between_p_value, stored["Qb.p"]) < METAFOR_SEARCHED
    assert {row.level for row in found.rows} == set(DATASETS[key]["outputs"]["subgroup"]["levels"])
    for row in found.rows:
        level = stored["per"][row.level]
        assert in_units(row.estimate, level["beta"], level["se"]) < METAFOR_SEARCHED
        assert in_units(row.ci_low, level["ci.lb"], level["se"]) < METAFOR_SEARCHED
        assert in_units(row.ci_high, level["ci.ub"], level["se"]) < METAFOR_SEARCHED
        if row.k > 1:
            assert relative(row.tau2 or 0.0, level["tau2"]) < METAFOR_SEARCHED
            assert relative(row.q, level["QE"]) < METAFOR_CLOSED
            assert in_units(row.i2, level["I2"] / 100, 1) < METAFOR_SEARCHED


@each((*group, test) for group in GROUPED for test in TESTS)
def test_subgroups_with_one_tau2_equal_metafor(key: str, estimator: str, test: str) -> None:
    y, v = data(key)
    stored = SUBGROUPS["datasets"][key]["fits"][f"{estimator} {test}"]
    method = "common" if estimator == "FE" else estimator
    groups = DATASETS[key]["inputs"]["group"]
    found = subgroup_analysis(y, v, groups, "common", method, TESTS[test], least_tested=1)
    assert relative(found.q_between, stored["QM"]) < METAFOR_SEARCHED
    assert [found.q_between_df, found.q_between_df2] == stored["QMdf"]
    assert relative(found.q_between_p_value, stored["QMp"]) < METAFOR_SEARCHED
    assert relative(found.tau2 or 0.0, stored["tau2"]) < METAFOR_SEARCHED
    rows = {row.level: row for row in found.rows}
    for j, level in enumerate(SUBGROUPS["datasets"][key]["levels"]):
        se = stored["se"][j]
        assert in_units(rows[level].estimate, stored["beta"][j], se) < METAFOR_SEARCHED
        assert in_units(rows[level].se, se, se) < METAFOR_SEARCHED
        assert in_units(rows[level].ci_low, stored["ci.lb"][j], se) < METAFOR_SEARCHED
        assert in_units(rows[level].ci_high, stored["ci.ub"][j], se) < METAFOR_SEARCHED


PERMUTED = [
    (key, block, fit)
    for block in ("permutest_exact", "permutest_mods_exact")
    for key in keys_with(block)
    for fit in DATASETS[key]["outputs"][block]
]


@each(PERMUTED)
def test_exact_permutation_p_values_equal_metafor(key: str, block: str, name: str) -> None:
    stored = DATASETS[key]["outputs"][block][name]
    estimator, test = name.split("_")
    fit = (
        fitted(key, estimator, test)
        if block == "permutest_exact"
        else regressed(key, estimator, test)
    )
    found = permutation_test(fit)
    assert found.exact
    assert found.iterations == found.arrangements == stored["exact.iter"]
    assert in_units(found.p_value, stored["pval"], 1) < DIRECT
    assert abs(found.qm_p_value - stored["QMp"]) < DIRECT


def test_the_only_empty_interval_is_the_one_metafor_flags() -> None:
    flagged = {
        key
        for key in DATASETS
        if DATASETS[key]["outputs"]["re"]["DL"]["z"]["tau2.ci.QP"]["ub.sign"] == "<"
    }
    ours = {
        key
        for key in DATASETS
        if "tau2_interval_empty" in {c.code for c in fitted(key, "DL", "z").caveats}
    }
    assert ours == flagged == {"yusuf1985_table6_OR"}


def test_the_grid_is_complete() -> None:
    assert REFERENCE["meta"]["n_datasets"] == len(DATASETS) == 25
    assert keys_with("re") == list(DATASETS)
    for key in DATASETS:
        blocks = DATASETS[key]["outputs"]["re"]
        assert set(blocks) == set(ESTIMATORS)
        for estimator, tests in blocks.items():
            assert set(tests) == set(TESTS)
            assert ("tau2.ci.QP" in tests["z"]) == (estimator != "FE")
            assert ("tau2.ci.PL" in tests["z"]) == (estimator in ("ML", "REML"))
    assert len(POOLED) == 25 * 9 * 3
    assert keys_with("mods") == [key for key in DATASETS if "mods" in DATASETS[key]["inputs"]]
    assert len(REGRESSED) == 11 * 9 * 3
    for key in keys_with("mods"):
        blocks = DATASETS[key]["outputs"]["mods"]
        assert set(blocks) == set(ESTIMATORS)
        assert all(set(tests) == set(TESTS) for tests in blocks.values())
    assert keys_with("subgroup") == [key for key in DATASETS if "group" in DATASETS[key]["inputs"]]
    assert len(GROUPED) == 9 * 3
    assert len(PERMUTED) == (len(keys_with("permutest_exact")) + 1) * 6 == 9 * 6


SCALE = json.loads((Path(__file__).parent / "reference" / "scale.json").read_text("utf-8"))
SCALED = [(key, m) for key, entry in SCALE["datasets"].items() for m in entry["fits"]]


@pytest.mark.parametrize(("key", "method"), SCALED)
def test_small_units_do_not_fool_the_search(key: str, method: str) -> None:
    """Risk differences: metafor's absolute tolerances stop early, ours do not exist."""
    entry = SCALE["datasets"][key]
    truth, default = entry["fits"][method]["tight"], entry["fits"][method]["default"]
    fit = random_effects(entry["yi"], entry["vi"], method, "wald")
    assert relative(fit.tau2, truth["tau2"]) < METAFOR_SEARCHED
    assert relative(fit.statistic, truth["z"]) < METAFOR_SEARCHED
    assert relative(fit.tau2_ci_low, truth["qp"][0]) < METAFOR_SEARCHED
    assert relative(fit.tau2_ci_high, truth["qp"][1]) < METAFOR_SEARCHED
    assert relative(fit.tau2_ci_low, default["qp"][0]) > 0.01


def test_paule_mandel_on_graves2010_is_145_times_too_big_in_metafor() -> None:
    stored = SCALE["datasets"]["graves2010_RD"]["fits"]["PM"]
    assert round(stored["default"]["tau2"] / stored["tight"]["tau2"]) == 145


def test_a_grid_fails_with_the_name_of_each_case_that_does() -> None:
    @each([("low", 0.1), ("high", 0.9), ("none", None)])
    def grid(name: str, value: float) -> None:
        assert value < 0.5, name

    with pytest.raises(AssertionError) as failed:
        grid()
    said = str(failed.value)
    assert "['high', 0.9]: AssertionError: high" in said and "['none']: TypeError" in said
    assert "low" not in said
