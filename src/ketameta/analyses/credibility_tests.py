"""Tests of moderators: differences from a reference level, permutation where trials are few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses.moderators import reference_level
from ketameta.errors import KetametaError
from ketameta.models.intervals import critical_value, two_sided_p
from ketameta.models.permutation import permutation_test
from ketameta.models.regression import meta_regression
from ketameta.numberformat import plural

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec

#: From this many trials the test's own distribution is good enough.
PERMUTED_BELOW = 20
Rows = Sequence[Mapping[str, Any]]


def level_differences(
    spec: AnalysisSpec, result: Mapping[str, Any], levels: Sequence[str]
) -> list[dict[str, Any]]:
    """Return each level's mean less that of the reference level, with a Wald interval.

    Means of different trials are independent, so that the squares of their Wald standard errors
    add, as in the test between levels.
    """
    reference = reference_level(spec.model.group_by, levels)
    pooled = {group["key"]: group["pooled"] for group in result["groups"]}
    z = critical_value(spec.model.level, None)

    def variance(level: str) -> float:
        rows = next(group["rows"] for group in result["groups"] if group["key"] == level)
        tau2 = pooled[level]["tau2"] or 0.0
        return 1 / sum(1 / (row["variance"] + tau2) for row in rows)

    found = []
    for level in levels:
        if level == reference:
            continue
        estimate = pooled[level]["estimate"] - pooled[reference]["estimate"]
        se = float(np.sqrt(variance(level) + variance(reference)))
        found.append(
            {
                "level": level,
                "reference": reference,
                "estimate": estimate,
                "ci_low": estimate - z * se,
                "ci_high": estimate + z * se,
                "p_value": float(two_sided_p(np.array(estimate / se), None)),
            }
        )
    return found


def permuted_levels(
    spec: AnalysisSpec, rows: Rows, levels: Sequence[str], withheld: str
) -> dict[str, Any]:
    """Return the permutation test of the levels that are compared."""
    if withheld:
        return {"p_value": None, "withheld": withheld}
    reference = reference_level(spec.model.group_by, levels)
    others = [level for level in levels if level != reference]
    design = np.array([[row["group"] == level for level in others] for row in rows], dtype=float)
    return permuted(spec, rows, design)


def permuted(spec: AnalysisSpec, rows: Rows, design: np.ndarray) -> dict[str, Any]:
    """Return the permutation test of a meta-regression, where trials are few."""
    if len(rows) >= PERMUTED_BELOW:
        return {
            "p_value": None,
            "withheld": f"{plural(len(rows), 'trial')}: enough for the test itself.",
        }
    try:
        fit = meta_regression(
            [row["estimate"] for row in rows],
            [row["variance"] for row in rows],
            design,
            tau2_method=spec.model.tau2_method,
            ci_method=spec.model.ci_method,
            labels=[row["label"] for row in rows],
            repeated_labels="allow",
        )
        found = permutation_test(fit)
    except KetametaError as error:
        return {"p_value": None, "withheld": str(error)}
    return {
        "p_value": found.qm_p_value,
        "exact": found.exact,
        "iterations": found.iterations,
        "seed": found.seed,
        "caveats": [caveat.message for caveat in found.caveats],
        "withheld": "",
    }
