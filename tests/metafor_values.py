"""Reads tests/reference/metafor.json and measures how far a fit is from it. Holds no tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

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
