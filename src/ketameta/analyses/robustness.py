"""How far a result hangs on single trials, and what small-study tests say of many."""

from __future__ import annotations

from typing import Any

import numpy as np

from ketameta.models.gosh import gosh
from ketameta.models.influence import influence
from ketameta.models.policy import MIN_STUDIES_SMALL_STUDY
from ketameta.models.pooled_effect import RandomEffects
from ketameta.models.results import plain

#: Deletion diagnostics need a fit without each study that still has a spread.
MIN_STUDIES_INFLUENCE = 3
#: Random subsets when there are too many to try all; stored with the result.
GOSH_SUBSETS = 10_000
#: Up to this many studies every subset is fitted.
GOSH_EXACT_UP_TO = 12
GOSH_SEED = 20261122
_BINS = 40


def influence_of(fit: RandomEffects, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return deletion diagnostics per trial; ``None`` below three trials.

    Returns
    -------
    dict or None
        ``rows`` with ``study_id, label, rstudent, dffits, cooks_distance, covariance_ratio,
        tau2_deleted, weight, influential, reasons``; ``influential``, the labels flagged.
    """
    if fit.k < MIN_STUDIES_INFLUENCE:
        return None
    found = influence(fit)
    entries = []
    for index, row in enumerate(rows):
        entries.append(
            {
                "study_id": row["study_id"],
                "label": row["label"],
                "rstudent": found.rstudent[index],
                "dffits": found.dffits[index],
                "cooks_distance": found.cooks_distance[index],
                "covariance_ratio": found.covariance_ratio[index],
                "tau2_deleted": found.tau2_deleted[index],
                "weight": found.weight[index],
                "influential": bool(found.influential[index]),
                "reasons": list(found.reasons[index]),
            }
        )
    return plain(
        {
            "rows": entries,
            "influential": [entry["label"] for entry in entries if entry["influential"]],
        }
    )


def gosh_of(fit: RandomEffects) -> dict[str, Any] | None:
    """Return the pooled effects of many subsets of trials; ``None`` below ten trials.

    Returns
    -------
    dict or None
        ``subsets``, ``exact``, ``seed``, ``quantiles`` (of the estimate, at ``shares``), ``counts``
        (subsets by estimate and I-squared, shape (bins, bins)) with ``estimate_edges`` and
        ``i2_edges``, and the median estimate with and without each trial.
    """
    if fit.k < MIN_STUDIES_SMALL_STUDY:
        return None
    exact = fit.k <= GOSH_EXACT_UP_TO
    found = gosh(fit, None if exact else GOSH_SUBSETS, None if exact else GOSH_SEED)
    several = found.studies > 1
    counts, estimate_edges, i2_edges = np.histogram2d(
        found.estimate[several], found.i2[several], bins=_BINS
    )
    shares = np.array([0.0, 0.025, 0.25, 0.5, 0.75, 0.975, 1.0])
    return plain(
        {
            "subsets": len(found.estimate),
            "exact": found.exact,
            "seed": found.seed,
            "shares": shares,
            "quantiles": np.quantile(found.estimate[several], shares),
            "counts": counts.astype(int),
            "estimate_edges": estimate_edges,
            "i2_edges": i2_edges,
            "labels": found.labels,
            "median_with": found.median_with,
            "median_without": found.median_without,
        }
    )
