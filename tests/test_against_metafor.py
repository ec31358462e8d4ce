"""Every quantity, every data set, every estimator and test, against metafor 3.8-1.

One parametrised matrix; the last tests assert that it is complete.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ketameta.models.intervals import tau2_interval
from ketameta.models.prediction import prediction_interval
from ketameta.models.random_effects import RandomEffects, common_effect, random_effects
from metafor_values import (
    CLOSED,
    DATASETS,
    ESTIMATORS,
    REFERENCE,
    TESTS,
    data,
    in_units,
    keys_with,
    p_difference,
    relative,
)
from tolerances import METAFOR_CLOSED, METAFOR_SEARCHED

POOLED = [(key, estimator, test) for key in DATASETS for estimator in ESTIMATORS for test in TESTS]


def fitted(key: str, estimator: str, test: str) -> RandomEffects:
    y, v = data(key)
    if estimator == "FE":
        return common_effect(y, v, TESTS[test])
    return random_effects(y, v, estimator, TESTS[test])


@pytest.mark.parametrize(("key", "estimator", "test"), POOLED)
def test_pooled_effect_equals_metafor(key: str, estimator: str, test: str) -> None:
    stored = DATASETS[key]["outputs"]["re"][estimator][test]
    fit = fitted(key, estimator, test)
    spread = float(np.sqrt(stored["se"] ** 2 + stored["tau2"]))
    found = {
        "tau2": relative(fit.tau2 or 0.0, stored["tau2"]),
        "se.tau2": relative(fit.tau2_se, stored["se.tau2"]),
        "beta": in_units(fit.estimate, stored["beta"], stored["se"]),
        "se": relative(fit.se, stored["se"]),
        "stat": in_units(fit.statistic, stored["stat"], 1 + abs(stored["stat"])),
        "pval": p_difference(fit.p_value, stored["pval"], stored["stat"]),
        "ci.lb": in_units(fit.ci_low, stored["ci.lb"], stored["se"]),
        "ci.ub": in_units(fit.ci_high, stored["ci.ub"], stored["se"]),
        "QE": relative(fit.q, stored["QE"]),
        "QEp": p_difference(fit.q_p_value, stored["QEp"], np.sqrt(stored["QE"])),
        "I2": in_units(fit.i2, stored["I2"] / 100, 1),
        "H2": relative(fit.h2, stored["H2"]),
    }
    assert (fit.df, fit.k) == (stored["ddf"], stored["k"])
    if estimator == "FE":
        assert (fit.pi_low, stored["pi"]["pi.lb"]) == (None, [])
    else:
        metafor = prediction_interval(fit, "metafor")
        if fit.k == 2:
            assert metafor.pi_low is None
        else:
            found["pi.lb"] = in_units(metafor.pi_low, stored["pi"]["pi.lb"], spread)
            found["pi.ub"] = in_units(metafor.pi_high, stored["pi"]["pi.ub"], spread)
            found["pi.HTS.lb"] = in_units(fit.pi_low, stored["pi.HTS"]["pi.lb"], spread)
            found["pi.HTS.ub"] = in_units(fit.pi_high, stored["pi.HTS"]["pi.ub"], spread)
            assert fit.pi_df == stored["pi.HTS"]["df"]
    if test == "z":
        names = ("log_likelihood", "deviance", "aic", "bic", "aicc")
        for name, value in zip(names, stored["logLik"]):
            found[name] = in_units(getattr(fit, name), value, 1 + abs(value))
        if "tau2.ci.QP" in stored:
            bounds = stored["tau2.ci.QP"]
            found["QP.lb"] = relative(fit.tau2_ci_low, bounds["tau2.lb"])
            found["QP.ub"] = relative(fit.tau2_ci_high, bounds["tau2.ub"])
            found["QP.I2.lb"] = in_units(fit.i2_ci_low, bounds["I2.lb"] / 100, 1)
            found["QP.I2.ub"] = in_units(fit.i2_ci_high, bounds["I2.ub"] / 100, 1)
        if "tau2.ci.PL" in stored:
            profile = tau2_interval(
                fit.estimates,
                fit.variances,
                np.ones((fit.k, 1)),
                method="profile-likelihood",
                tau2_method=estimator,
            )
            found["PL.lb"] = relative(profile.low, stored["tau2.ci.PL"]["tau2.lb"])
            found["PL.ub"] = relative(profile.high, stored["tau2.ci.PL"]["tau2.ub"])
    limit = METAFOR_CLOSED if estimator in CLOSED else METAFOR_SEARCHED
    over = {name: gap for name, gap in found.items() if not gap <= limit}
    assert not over


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
