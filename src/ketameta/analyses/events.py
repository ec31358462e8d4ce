"""What stands beside a ratio of events: other measures, and people per thousand.

Works on the rows of a model whose arms print counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta import effect_sizes
from ketameta.errors import KetametaError
from ketameta.models.pooling import pool
from ketameta.models.rare_events import mantel_haenszel, peto
from ketameta.models.results import plain
from ketameta.vocabulary import Measure

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec

EVENT_MEASURES = (Measure.OR, Measure.RR, Measure.RD)
_FIELDS = ("k", "estimate", "se", "ci_low", "ci_high", "p_value", "q", "q_df", "q_p_value", "i2")


def event_companions(spec: AnalysisSpec, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return Mantel-Haenszel, Peto and risk-difference results, and absolute effects.

    Parameters
    ----------
    spec : AnalysisSpec
    rows : list of dict
        One per study, as the main model saw them.

    Returns
    -------
    dict or None
        ``None`` where the measure is not one of events or fewer than one row prints counts. Keys:
        ``methods`` (list with ``method, measure`` and the pooled fields), ``zero_cells`` (studies
        with an empty cell, with none in both arms), ``baseline_risk`` (events over people of
        all control arms), ``per_thousand`` (people with the event per 1,000 treated instead of
        control, from the pooled risk ratio or difference, with interval).
    """
    counted = [row for row in rows if _has_counts(row)]
    if spec.model.measure not in EVENT_MEASURES or not counted:
        return None
    e1, n1, e2, n2 = _cells(counted)
    level = spec.model.level
    labels = [row["label"] for row in counted]
    methods = []
    for measure in EVENT_MEASURES:
        methods.append(_classic("Mantel\u2013Haenszel", measure, e1, n1, e2, n2, level, labels))
    methods.append(_classic("Peto", Measure.OR, e1, n1, e2, n2, level, labels))
    difference = _random_difference(spec, e1, n1, e2, n2, labels)
    methods.append(difference)
    baseline = float(e2.sum() / n2.sum())
    zero = (e1 == 0) | (e2 == 0)
    return {
        "k": len(counted),
        "not_counted": [row["label"] for row in rows if not _has_counts(row)],
        "methods": methods,
        "zero_cells": {
            "one_arm": [label for label, z, a, b in zip(labels, zero, e1, e2, strict=True)
                        if z and a + b > 0],
            "both_arms": [label for label, a, b in zip(labels, e1, e2, strict=True) if a + b == 0],
        },
        "baseline_risk": baseline,
        "baseline_source": "events over people of all control arms in this analysis",
        "per_thousand": _per_thousand(difference),
    }  # fmt: skip


def _has_counts(row: dict[str, Any]) -> bool:
    keys = ("events_treatment", "n_treatment", "events_control", "n_control")
    return all(row[key] is not None for key in keys)


def _cells(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    keys = ("events_treatment", "n_treatment", "events_control", "n_control")
    e1, n1, e2, n2 = (np.array([row[key] for row in rows], dtype=float) for key in keys)
    return e1, n1, e2, n2


def _classic(
    name: str,
    measure: Measure,
    e1: np.ndarray,
    n1: np.ndarray,
    e2: np.ndarray,
    n2: np.ndarray,
    level: float,
    labels: list[str],
) -> dict[str, Any]:
    """Return one Mantel-Haenszel or Peto result; its reason where it does not exist."""
    head = {"method": name, "measure": str(measure)}
    try:
        if name == "Peto":
            fit = peto(e1, n1, e2, n2, level, labels=labels)
        else:
            fit = mantel_haenszel(e1, n1, e2, n2, str(measure), level, labels=labels)
    except KetametaError as error:
        return {**head, **dict.fromkeys(_FIELDS), "withheld": str(error)}
    return {**head, **{name: plain(getattr(fit, name)) for name in _FIELDS}, "withheld": ""}


def _random_difference(
    spec: AnalysisSpec,
    e1: np.ndarray,
    n1: np.ndarray,
    e2: np.ndarray,
    n2: np.ndarray,
    labels: list[str],
) -> dict[str, Any]:
    """Return the risk difference pooled as the main model pools."""
    size = effect_sizes.risk_difference(e1, n1, e2, n2)
    fit = pool(
        size.estimate,
        size.variance,
        spec.model.tau2_method,
        spec.model.ci_method,
        spec.model.level,
        labels,
        Measure.RD,
        repeated_labels="allow",
    )
    fields = {name: plain(getattr(fit, name, None)) for name in _FIELDS}
    return {"method": "Random effects", "measure": "RD", **fields, "withheld": ""}


def _per_thousand(difference: dict[str, Any]) -> dict[str, float | None]:
    """Return the risk difference and its interval as people per thousand."""
    return {
        key: None if difference[key] is None else 1000 * difference[key]
        for key in ("estimate", "ci_low", "ci_high")
    }
