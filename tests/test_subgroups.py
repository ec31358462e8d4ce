"""Subgroups: the test between them, small levels, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from ketameta import common_effect, meta_regression, random_effects, subgroup_analysis
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models import SubgroupAnalysis
from metafor_values import DATASETS, data, in_units, relative
from tolerances import DIRECT, RESCALED

Y, V = data("bcg_RR")
ALLOC = DATASETS["bcg_RR"]["inputs"]["group"]


def codes(found: SubgroupAnalysis) -> set[str]:
    return {caveat.code for caveat in found.caveats}


def test_each_level_is_pooled_as_it_would_be_alone() -> None:
    found = subgroup_analysis(Y, V, ALLOC)
    assert [row.level for row in found.rows] == ["random", "alternate", "systematic"]
    for row, fit in zip(found.rows, found.fits):
        at = [a == row.level for a in ALLOC]
        alone = random_effects(Y[at], V[at], labels=np.array(fit.labels))
        assert fit == alone
        assert (row.k, row.estimate, row.tau2) == (alone.k, alone.estimate, alone.tau2)
    assert found.tau2 is None


def test_the_test_between_levels_by_hand() -> None:
    found = subgroup_analysis(Y, V, ALLOC)
    means = np.array([fit.estimate for fit in found.fits])
    w = np.array([np.sum(1 / (fit.variances + fit.tau2)) for fit in found.fits])
    q = float(np.sum(w * (means - np.sum(w * means) / w.sum()) ** 2))
    assert relative(found.q_between, q) < DIRECT
    assert relative(found.q_between_p_value, float(stats.chi2.sf(q, 2))) < RESCALED
    assert (found.q_between_df, found.q_between_df2) == (2, None)


def test_common_effect_heterogeneity_splits_into_within_and_between() -> None:
    found = subgroup_analysis(Y, V, ALLOC, tau2_method="common")
    total = common_effect(Y, V).q
    within = sum(row.q or 0 for row in found.rows)
    assert total is not None and found.q_between is not None
    assert relative(total, within + found.q_between) < DIRECT


def test_one_tau2_is_the_regression_on_the_levels() -> None:
    import pandas as pd

    found = subgroup_analysis(Y, V, ALLOC, "common")
    fit = meta_regression(Y, V, pd.DataFrame({"alloc": ALLOC}), "~ alloc")
    assert relative(found.q_between, fit.qm) < RESCALED
    assert relative(found.q_between_p_value, fit.qm_p_value) < RESCALED
    assert relative(found.tau2, fit.tau2) < RESCALED
    assert found.fits == ()
    predicted = fit.predict(pd.DataFrame({"alloc": [row.level for row in found.rows]}))
    estimates = [row.estimate for row in found.rows]
    assert in_units(estimates, predicted.estimate, predicted.se) < RESCALED
    assert in_units([r.ci_low for r in found.rows], predicted.ci_low, predicted.se) < RESCALED
    assert in_units([r.pi_low for r in found.rows], predicted.pi_low, predicted.se) < RESCALED


def test_two_levels_with_one_tau2_test_the_difference() -> None:
    two = [a == "random" for a in ALLOC]
    found = subgroup_analysis(Y, V, two, "common", ci_method="wald")
    a, b = found.rows
    z2 = (a.estimate - b.estimate) ** 2 / (a.se**2 + b.se**2)
    assert relative(found.q_between, z2) < RESCALED
    assert [row.level for row in found.rows] == ["True", "False"]


@pytest.mark.parametrize("tau2_across", ["separate", "common"])
def test_a_level_with_one_study_is_shown_but_not_compared(tau2_across: str) -> None:
    groups = ["a"] * 6 + ["b"] * 6 + ["c"]
    found = subgroup_analysis(Y, V, groups, tau2_across)
    assert [row.tested for row in found.rows] == [True, True, False]
    assert found.rows[2].k == 1
    assert found.q_between_df == 1
    assert codes(found) == {"level_not_tested"}
    assert "c (1 study) shown but left out" in repr(found)
    everything = subgroup_analysis(Y, V, groups, tau2_across, least_tested=1)
    assert everything.q_between_df == 2
    assert not everything.caveats


@pytest.mark.parametrize("tau2_across", ["separate", "common"])
def test_nothing_to_compare_withholds_the_test(tau2_across: str) -> None:
    found = subgroup_analysis(Y, V, ["a"] * 12 + ["b"], tau2_across)
    assert (found.q_between, found.q_between_p_value) == (None, None)
    assert codes(found) == {"no_between_test"}
    assert "no test" in repr(found)


def test_a_single_study_is_itself_among_separate_levels() -> None:
    found = subgroup_analysis(Y, V, ["a"] * 12 + ["b"])
    row = found.rows[1]
    assert (row.estimate, row.tau2, row.i2) == (Y[12], None, None)
    assert row.se == pytest.approx(np.sqrt(V[12]), rel=DIRECT)


def test_groups_must_be_one_per_study_and_two_at_least() -> None:
    with pytest.raises(UsageError, match="groups has 12 values and estimates has 13"):
        subgroup_analysis(Y, V, ALLOC[:12])
    with pytest.raises(NotEstimableError, match="one level, 'a'; comparing needs two"):
        subgroup_analysis(Y, V, ["a"] * 13)
    with pytest.raises(ImpossibleDataError, match=r"groups\[2\] \(study 3\) has no level"):
        subgroup_analysis(Y, V, ["a", "b", None, *["a"] * 10])
    with pytest.raises(UsageError, match="one level per study"):
        subgroup_analysis(Y, V, "random")
    with pytest.raises(UsageError, match="tau2_across is 'shared'"):
        subgroup_analysis(Y, V, ALLOC, "shared")
    with pytest.raises(NotEstimableError, match="3 studies cannot estimate 3 coefficients"):
        subgroup_analysis(Y[:3], V[:3], ["a", "b", "c"], "common")


def test_identical_studies_withhold_plain_tests() -> None:
    found = subgroup_analysis(
        [0.5] * 4, [0.1, 0.2, 0.1, 0.2], list("aabb"), "common", ci_method="knapp-hartung"
    )
    assert found.q_between is None
    assert found.rows[0].p_value is None
    assert "withheld" in repr(found)


def test_the_result_prints_tidies_and_serialises() -> None:
    found = subgroup_analysis(Y, V, ALLOC, measure="RR")
    lines = repr(found).splitlines()
    assert lines[0] == "<SubgroupAnalysis: risk ratio, 3 subgroups, REML, separate τ²>"
    assert lines[-1].split() == ["between", "χ²(2)", "=", "1.86,", "p", "=", "0.39"]
    assert "F(2, 10)" in repr(subgroup_analysis(Y, V, ALLOC, "common"))
    assert list(found.tidy()["level"]) == ["random", "alternate", "systematic"]
    stored = json.loads(found.to_json())
    assert [row["k"] for row in stored["rows"]] == [7, 2, 4]


def test_whole_numbers_name_their_groups_without_a_point():
    given = ([1.0, 2.0, 3.0, 4.0], [1.0] * 4, [1940.0, 1940.0, 0.5, 0.5])
    assert [row.level for row in subgroup_analysis(*given).rows] == ["1940", "0.5"]
