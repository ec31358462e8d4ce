"""Reads tests/reference/robustness.json and rebuilds the fits it describes. Holds no tests."""

import json
from pathlib import Path

import numpy as np

from ketameta import common_effect, meta_regression, random_effects
from metafor_values import TESTS, data, moderators

ROBUSTNESS = json.loads(
    (Path(__file__).parent / "reference" / "robustness.json").read_text("utf-8")
)["datasets"]


def rows(block):
    """Return (data set, variant) for every stored variant of a block."""
    return [(key, name) for key, entry in ROBUSTNESS.items() for name in entry.get(block, {})]


def fit_of(key, variant):
    """Return the fit a variant such as ``REML_knha``, ``FE_z`` or ``mods_REML_z`` describes."""
    *front, method, test = variant.split("_")
    y, v = data(key)
    if front == ["mods"]:
        design, names = moderators(key)
        return meta_regression(
            y, v, design, names=names, intercept=False, tau2_method=method, ci_method=TESTS[test]
        )
    if method == "FE":
        return common_effect(y, v, TESTS[test])
    return random_effects(y, v, method, TESTS[test])


def largest(ours, theirs, unit=None):
    """Return the largest difference relative to a unit (the stored size when not given).

    Stored values that are missing are skipped: there metafor did not converge.
    """
    a = np.atleast_1d(np.asarray(ours, dtype=float))
    b = np.array([np.nan if x is None else x for x in np.atleast_1d(theirs)], dtype=float)
    assert a.shape == b.shape
    there = np.isfinite(b)
    assert np.isfinite(a[there]).all()
    gap = np.abs(a - b)[there]
    size = np.abs(b)[there] if unit is None else np.broadcast_to(unit, b.shape)[there]
    quotient = np.divide(gap, size, out=np.zeros_like(gap), where=gap > 0)
    return float(quotient.max(initial=0.0))
