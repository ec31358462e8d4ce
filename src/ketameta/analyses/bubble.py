"""Meta-regressions on continuous moderators, with what their bubble plots need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses.spec import numbers_of
from ketameta.evidence.project import Project
from ketameta.formatting import format_count, plural, published_together
from ketameta.models.policy import MIN_STUDIES_SMALL_STUDY
from ketameta.models.regression import meta_regression
from ketameta.models.results import plain

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.models.regression import Predictions

#: Points at which the fitted line and its bands are drawn.
_LINE_POINTS = 41
#: Numbers of a study that do not travel with its rows.
_STUDY_NUMBERS = ("age_mean_years", "female_percent")


def study_numbers(project: Project) -> tuple[str, ...]:
    """Return the columns of ``studies`` with numbers that a meta-regression may use."""
    return (*_STUDY_NUMBERS, *project.numbers)


def regressions_of(
    spec: AnalysisSpec, rows: Sequence[Mapping[str, Any]], studies: pd.DataFrame
) -> list[dict[str, Any]]:
    """Return one meta-regression per continuous moderator that the file declares.

    Parameters
    ----------
    spec : AnalysisSpec
    rows : sequence of mapping
        One per trial, as the main model saw them.
    studies : DataFrame
        Numbers of the trials by ``study_id``.

    Returns
    -------
    list of dict
        ``moderator, label, status``; ``k`` trials that print it; ``withheld``, the reason when
        there is no regression, as below ten trials; else ``slope, se, ci_low, ci_high, p_value,
        df, tau2, r2``, ``rows`` (``study_id, label, moderator, estimate, variance, weight``) and
        ``line`` (``moderator, estimate, ci_low, ci_high, pi_low, pi_high``), on the analysis scale.

    Notes
    -----
    Between trials only: an association with a number of the trial may come from anything else in
    which the trials differ.
    """
    declared = spec.regressions
    if not declared.moderators or spec.kind != "pooled" or not spec.model.overall:
        return []
    numbers = studies.drop_duplicates("study_id").set_index("study_id")
    labels, of_study = numbers_of(spec.project), study_numbers(spec.project)
    found = []
    for name in declared.moderators:
        values = [_value(name, row, numbers if name in of_study else None) for row in rows]
        known = [i for i, value in enumerate(values) if value is not None]
        head = {
            "moderator": name,
            "label": labels[name].label,
            "status": declared.status,
            "k": len(known),
        }
        x = np.array([values[i] for i in known], dtype=float)
        reason = _reason(x)
        if reason:
            found.append({**head, "withheld": reason})
            continue
        found.append(
            {**head, "withheld": "", **_regression(spec, [rows[i] for i in known], x, name)}
        )
    return plain(found)


def _value(name: str, row: Mapping[str, Any], numbers: pd.DataFrame | None) -> float | None:
    value = row[name] if numbers is None else numbers.at[row["study_id"], name]
    return None if value is None or not np.isfinite(float(value)) else float(value)


def _reason(x: np.ndarray) -> str:
    """Return why there is no regression; nothing where there is one."""
    if len(x) < MIN_STUDIES_SMALL_STUDY:
        return (
            f"{plural(len(x), 'trial')} with this number; a meta-regression needs "
            f"{format_count(MIN_STUDIES_SMALL_STUDY)}."
        )
    if np.ptp(x) == 0:
        return "The number is the same in all trials."
    return ""


def _regression(
    spec: AnalysisSpec, rows: Sequence[Mapping[str, Any]], x: np.ndarray, name: str
) -> dict[str, Any]:
    fit = meta_regression(
        [row["estimate"] for row in rows],
        [row["variance"] for row in rows],
        x,
        names=[name],
        tau2_method=spec.model.tau2_method,
        ci_method=spec.model.ci_method,
        level=spec.model.level,
        labels=[row["label"] for row in rows],
        measure=spec.model.measure,
        repeated_labels="allow",
    )
    at = fit.names.index(name)
    grid = np.linspace(x.min(), x.max(), _LINE_POINTS)
    line = fit.predict(grid[:, None])
    weights = fit.weights / fit.weights.sum()
    return {
        "slope": fit.estimate[at],
        "se": fit.se[at],
        "ci_low": fit.ci_low[at],
        "ci_high": fit.ci_high[at],
        "p_value": fit.p_value[at],
        "df": fit.df,
        "tau2": fit.tau2,
        "r2": fit.r2,
        "rows": [
            {
                "study_id": row["study_id"],
                "label": row["label"],
                "moderator": value,
                "estimate": row["estimate"],
                "variance": row["variance"],
                "weight": weight,
            }
            for row, value, weight in zip(rows, x, weights, strict=True)
        ],
        "line": {
            "moderator": grid,
            **_drawn(line),
        },
    }


def _drawn(line: Predictions) -> dict[str, Any]:
    """Return the line and its bands; they may cross zero, so that all have the same decimals."""
    names = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high")
    given = {name: getattr(line, name) for name in names}
    bands = {name: values for name, values in given.items() if values is not None}
    rounded = np.array(published_together(np.concatenate(list(bands.values())).tolist()))
    found: dict[str, Any] = dict(zip(bands, rounded.reshape(len(bands), -1), strict=True))
    return {name: found.get(name) for name in names}
