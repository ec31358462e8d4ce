"""What stands beside a result to say how far it can be trusted, and what should come next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketameta.analyses.bubble import regressions_of
from ketameta.analyses.certainty import certainty
from ketameta.analyses.credibility import credibility
from ketameta.analyses.multiverse import multiverse
from ketameta.analyses.next_trial import next_trial_of
from ketameta.analyses.related import Related
from ketameta.models.results import plain
from ketameta.numberformat import published

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence import Evidence

#: Keys that an appraisal adds to a result.
KEYS = ("certainty", "multiverse", "next_trial", "regressions", "credibility")


def appraisal(
    spec: AnalysisSpec,
    result: Mapping[str, Any],
    used: pd.DataFrame,
    trials: Sequence[Mapping[str, Any]],
    weights: Sequence[float] | None,
    evidence: Evidence,
    related: Related | None,
) -> dict[str, Any]:
    """Return certainty, multiverse, next trial, meta-regressions and credibility of a result.

    Parameters
    ----------
    spec : AnalysisSpec
    result : mapping
        Of the analysis, complete but for these keys.
    used : DataFrame
        Selected effects.
    trials : sequence of mapping
        One row per trial, as the main model saw them.
    weights : sequence of float or None
        Their shares; None where they are not pooled.
    evidence : Evidence
    related : Related or None
        Without it nothing is computed and every key is None: a single analysis knows nothing of
        the others.
    """
    if related is None:
        return dict.fromkeys(KEYS)
    rows = [row for group in result["groups"] for row in group["rows"]]
    shares = weights if weights is not None else [None] * len(trials)
    main = [{**row, "weight": share} for row, share in zip(trials, shares, strict=True)]
    pooled = result["pooled"]
    planned = spec.kind in ("pooled", "within_trial") and (spec.model.overall or not trials)
    regressions = regressions_of(spec, trials, evidence.studies)
    # Words about certainty are made from what is published, never from more digits.
    shown, judged = published(plain(result)), evidence.risk_of_bias.to_dict("records")
    return {
        "certainty": certainty(spec, shown, published(plain(main)), judged),
        "multiverse": multiverse(
            spec,
            used,
            evidence,
            related.table,
            result["events"]["baseline_risk"] if result["events"] else None,
        ),
        "next_trial": next_trial_of(
            spec,
            [row["estimate"] for row in trials],
            [row["variance"] for row in trials],
            pooled["tau2"] if pooled else None,
            related.priors_of(spec, evidence),
        )
        if planned
        else None,
        "regressions": regressions,
        "credibility": credibility(spec, result, rows, regressions, tuple(related.specs.values())),
    }
