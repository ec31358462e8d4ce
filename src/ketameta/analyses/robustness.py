"""How far a result hangs on single trials, and what small-study tests say of many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ketameta.errors import KetametaError
from ketameta.models.egger import egger_test
from ketameta.models.gosh import gosh
from ketameta.models.influence import influence
from ketameta.models.pet_peese import pet_peese
from ketameta.models.policy import MIN_STUDIES_SMALL_STUDY
from ketameta.models.pooled_effect import RandomEffects
from ketameta.models.results import plain
from ketameta.models.selection_model import selection_model
from ketameta.models.trim_and_fill import trim_and_fill
from ketameta.numberformat import plural, published_together

#: Deletion diagnostics need a fit without each study that still has a spread.
MIN_STUDIES_INFLUENCE = 3
#: Random subsets when there are too many to try all; stored with the result.
GOSH_SUBSETS = 5_000
#: Up to this many studies every subset is fitted.
GOSH_EXACT_UP_TO = 12
GOSH_SEED = 20261122
#: Decimals of the points that are stored for the picture; quantiles keep all that are published.
_POINT_DECIMALS = 5


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
    # Distances from the other trials: one near nought has the decimals of the others.
    rstudent = published_together(plain(found.rstudent))
    dffits = published_together(plain(found.dffits))
    entries = []
    for index, row in enumerate(rows):
        entries.append(
            {
                "study_id": row["study_id"],
                "label": row["label"],
                "rstudent": rstudent[index],
                "dffits": dffits[index],
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
        ``subsets``, ``exact``, ``seed``, ``quantiles`` (of the estimate, at ``shares``), the
        ``points`` (estimate and I-squared of each subset of two trials or more, rounded, for the
        picture), and the median estimate with and without each trial.
    """
    if fit.k < MIN_STUDIES_SMALL_STUDY:
        return None
    exact = fit.k <= GOSH_EXACT_UP_TO
    found = gosh(fit, None if exact else GOSH_SUBSETS, None if exact else GOSH_SEED)
    several = found.studies > 1
    shares = np.array([0.0, 0.025, 0.25, 0.5, 0.75, 0.975, 1.0])
    return plain(
        {
            "subsets": len(found.estimate),
            "exact": found.exact,
            "seed": found.seed,
            "shares": shares,
            "quantiles": np.quantile(found.estimate[several], shares),
            "points": {
                "estimate": found.estimate[several].round(_POINT_DECIMALS),
                "i2": found.i2[several].round(_POINT_DECIMALS),
            },
            "labels": found.labels,
            "median_with": found.median_with,
            "median_without": found.median_without,
        }
    )


def small_study_of(fit: RandomEffects) -> dict[str, Any]:
    """Return what small-study methods say, or why they are withheld.

    Returns
    -------
    dict
        ``withheld``, the reason below ten trials (empty otherwise); ``egger`` (regression test with
        the standard error), ``trim_and_fill`` (L0), ``pet_peese`` and ``selection`` (step function
        at one-sided p = 0.025, global maximum), each with its fields or its own ``withheld``.
    """
    if fit.k < MIN_STUDIES_SMALL_STUDY:
        return {
            "withheld": f"{plural(fit.k, 'trial')}; small-study methods need "
            f"{MIN_STUDIES_SMALL_STUDY} or more to say anything."
        }
    return {
        "withheld": "",
        "egger": _tried(lambda: egger_test(fit), _EGGER),
        "trim_and_fill": _tried(lambda: trim_and_fill(fit), _TRIM),
        "selection": _selection(_tried(lambda: selection_model(fit), _SELECTION)),
        "pet_peese": _tried(lambda: pet_peese(fit), ("pet", "peese", "chosen", "alpha")),
    }


_EGGER = ("statistic", "df", "p_value", "slope", "slope_se", "limit_estimate", "limit_ci_low",
          "limit_ci_high")  # fmt: skip
_TRIM = ("side", "missing", "estimate", "ci_low", "ci_high", "filled_estimates", "filled_variances")
_SELECTION = ("steps", "alternative", "estimate", "se", "ci_low", "ci_high", "tau2",
              "selection_weights", "log_likelihood", "maxima", "gap", "lrt", "lrt_df",
              "lrt_p_value")  # fmt: skip


def _selection(found: dict[str, Any]) -> dict[str, Any]:
    """Return a selection model; differences of log-likelihoods have the decimals of these."""
    if found["withheld"]:
        return found
    names = ("gap", "lrt")
    values = published_together([found["log_likelihood"], *(found[name] for name in names)])
    return found | dict(zip(names, values[1:], strict=True))


def _tried(make: Callable[[], Any], fields: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a result, or the reason why there is none."""
    try:
        found = make()
    except KetametaError as error:
        return {"withheld": str(error)}
    return {**{name: plain(getattr(found, name)) for name in fields}, "withheld": ""}
