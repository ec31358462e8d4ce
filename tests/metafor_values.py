"""Reads tests/reference/metafor.json and measures how far a fit is from it. Holds no tests.

``python tests/metafor_values.py`` prints the largest difference of every quantity.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ketameta import common_effect, meta_regression, prediction_interval, random_effects
from ketameta.models import MetaRegression, RandomEffects, tau2_interval

REFERENCE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "reference" / "metafor.json").read_text("utf-8")
)
DATASETS: dict[str, Any] = REFERENCE["datasets"]
ESTIMATORS = ("FE", "DL", "PM", "HE", "HS", "SJ", "ML", "REML", "EB")
CLOSED = ("FE", "DL", "HE", "HS", "SJ")
#: metafor's word for a test, and ours.
TESTS = {"z": "wald", "knha": "knapp-hartung", "adhoc": "knapp-hartung-conservative"}


def data(key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates and variances of a data set."""
    inputs = DATASETS[key]["inputs"]
    return np.array(inputs["yi"], dtype=float), np.array(inputs["vi"], dtype=float)


def moderators(key: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the design of the stored meta-regression, intercept first, and its names."""
    columns = DATASETS[key]["inputs"]["mods"]
    k = len(DATASETS[key]["inputs"]["yi"])
    design = np.column_stack([np.ones(k), *(np.array(c, dtype=float) for c in columns.values())])
    return design, ("intercept", *columns)


def keys_with(block: str) -> list[str]:
    """Return the data sets that hold an output block."""
    return [key for key, entry in DATASETS.items() if block in entry["outputs"]]


def relative(ours: float | None, theirs: Any) -> float:
    """Return the relative difference; 0 for two equal numbers or two missing ones."""
    if ours is None or theirs is None or isinstance(theirs, list):
        assert ours is None and (theirs is None or theirs == []), (ours, theirs)
        return 0.0
    gap = abs(ours - theirs)
    return gap / max(abs(ours), abs(theirs)) if gap else 0.0


def in_units(ours: Any, theirs: Any, unit: Any) -> float:
    """Return the largest difference in the given units, over all elements."""
    gap = np.abs(np.atleast_1d(np.array(ours, float)) - np.atleast_1d(np.array(theirs, float)))
    return float(np.max(gap / np.atleast_1d(np.array(unit, float))))


def p_difference(ours: Any, theirs: Any, statistic: Any) -> float:
    """Return the relative difference of p-values per relative change of the statistic."""
    a, b = np.atleast_1d(np.array(ours, float)), np.atleast_1d(np.array(theirs, float))
    size = 1 + np.atleast_1d(np.array(statistic, float)) ** 2
    return float(np.max(np.abs(a - b) / np.maximum(np.maximum(a, b), 1e-300) / size))


def fitted(key: str, estimator: str, test: str) -> RandomEffects:
    """Return our fit of a data set."""
    y, v = data(key)
    if estimator == "FE":
        return common_effect(y, v, TESTS[test])
    return random_effects(y, v, estimator, TESTS[test])


def pooled_gaps(key: str, estimator: str, test: str) -> dict[str, float]:
    """Return how far a pooled effect is from metafor's, by quantity."""
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
        bounds = stored.get("tau2.ci.QP", {"ub.sign": "<"})
        if bounds["ub.sign"] == "<":  # an empty set, which metafor prints as 0 to 0
            assert fit.tau2_ci_low is fit.i2_ci_high is None
        else:
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
    return found


def regressed(key: str, estimator: str, test: str) -> MetaRegression:
    """Return our meta-regression of a data set."""
    y, v = data(key)
    design, names = moderators(key)
    method = "common" if estimator == "FE" else estimator
    return meta_regression(y, v, design[:, 1:], None, names[1:], method, TESTS[test])


def regression_gaps(key: str, estimator: str, test: str) -> dict[str, float]:
    """Return how far a meta-regression is from metafor's, by quantity."""
    stored = DATASETS[key]["outputs"]["mods"][estimator][test]
    fit = regressed(key, estimator, test)
    se, statistic = np.array(stored["se"]), np.array(stored["stat"])
    typical = fit.variances.min()
    found = {
        "tau2": in_units(fit.tau2 or 0.0, stored["tau2"], stored["tau2"] + typical),
        "se.tau2": relative(fit.tau2_se, stored["se.tau2"]),
        "beta": in_units(fit.estimate, stored["beta"], se),
        "se": in_units(fit.se, se, se),
        "stat": in_units(fit.statistic, statistic, 1 + np.abs(statistic)),
        "pval": p_difference(fit.p_value, stored["pval"], statistic),
        "ci.lb": in_units(fit.ci_low, stored["ci.lb"], se),
        "ci.ub": in_units(fit.ci_high, stored["ci.ub"], se),
        "QM": relative(fit.qm, stored["QM"]),
        "QMp": p_difference(fit.qm_p_value, stored["QMp"], np.sqrt(stored["QM"])),
        "QE": relative(fit.qe, stored["QE"]),
        "QEp": p_difference(fit.qe_p_value, stored["QEp"], np.sqrt(stored["QE"])),
        "I2": in_units(fit.i2, stored["I2"] / 100, 1),
        "H2": relative(fit.h2, stored["H2"]),
        "R2": in_units(fit.r2, stored["R2"] / 100, 1),
    }
    assert [fit.qm_df, fit.qm_df2] == stored["QMdf"]
    assert (fit.df, fit.k, fit.p) == (stored["ddf"], stored["k"], stored["p"])
    new = np.atleast_2d(np.array(stored["newmods"], dtype=float))
    theirs, hts = stored["pi"], stored["pi.HTS"]
    spread = np.sqrt(theirs["se"] ** 2 + stored["tau2"])
    predicted = fit.predict(new)
    found["pred"] = in_units(predicted.estimate, theirs["pred"], theirs["se"])
    found["pred.se"] = in_units(predicted.se, theirs["se"], theirs["se"])
    found["pred.ci"] = in_units(predicted.ci_low, theirs["ci.lb"], theirs["se"])
    if estimator == "FE":
        assert (predicted.pi_low, theirs["pi.lb"]) == (None, [])
    else:
        assert predicted.pi_df == hts["df"]
        found["pi.HTS.lb"] = in_units(predicted.pi_low, hts["pi.lb"], spread)
        found["pi.HTS.ub"] = in_units(predicted.pi_high, hts["pi.ub"], spread)
        metafor = fit.predict(new, method="metafor")
        found["pi.lb"] = in_units(metafor.pi_low, theirs["pi.lb"], spread)
        found["pi.ub"] = in_units(metafor.pi_high, theirs["pi.ub"], spread)
    if test == "z":
        names = ("log_likelihood", "deviance", "aic", "bic", "aicc")
        for name, value in zip(names, stored["logLik"]):
            found[name] = in_units(getattr(fit, name), value, 1 + abs(value))
        if "tau2.ci.QP" in stored:
            found["QP.lb"] = relative(fit.tau2_ci_low, stored["tau2.ci.QP"]["tau2.lb"])
            found["QP.ub"] = relative(fit.tau2_ci_high, stored["tau2.ci.QP"]["tau2.ub"])
        if "tau2.ci.PL" in stored:
            profile = tau2_interval(
                fit.estimates,
                fit.variances,
                fit.design,
                method="profile-likelihood",
                tau2_method=estimator,
            )
            found["PL.lb"] = relative(profile.low, stored["tau2.ci.PL"]["tau2.lb"])
            found["PL.ub"] = relative(profile.high, stored["tau2.ci.PL"]["tau2.ub"])
    return found


def largest_gaps() -> str:
    """Return the table of largest differences, quantity by quantity, as text."""
    lines = []
    for title, gaps, keys in (
        ("pooled", pooled_gaps, list(DATASETS)),
        ("meta-regression", regression_gaps, keys_with("mods")),
    ):
        worst: dict[str, tuple[float, str]] = {}
        for key in keys:
            for estimator in ESTIMATORS:
                for test in TESTS:
                    for name, gap in gaps(key, estimator, test).items():
                        if gap >= worst.get(name, (0.0, ""))[0]:
                            worst[name] = gap, f"{key} {estimator} {test}"
        lines.append(f"{title}: {len(keys)} data sets x {len(ESTIMATORS)} x {len(TESTS)}")
        lines += [f"  {name:<16} {gap:.1e}  {where}" for name, (gap, where) in worst.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(largest_gaps())
