"""Turns comparisons into effect sizes: arms into effects, printed contrasts into effects.

Frames in, frames out, one row per effect and measure, with the route by which it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta import effects as effect_sizes
from ketameta.measures import Measure

if TYPE_CHECKING:
    import pandas as pd

#: Columns of every effect, in file order.
EFFECT_COLUMNS = (
    "study_id",
    "arm_id",
    "comparator_arm_id",
    "outcome",
    "instrument",
    "time_days",
    "subgroup",
    "analysis",
    "data_kind",
    "printed_as",
    "measure",
    "estimate",
    "variance",
    "n_treatment",
    "n_control",
    "mean_treatment",
    "sd_treatment",
    "mean_control",
    "sd_control",
    "events_treatment",
    "events_control",
    "route",
    "assumption",
    "source",
)


def _frame(rows: pd.DataFrame, measure: Measure, size: Any, **extra: Any) -> pd.DataFrame:
    """Return effect rows for one measure."""
    import pandas as pd

    data = {
        "study_id": rows["study_id"],
        "arm_id": rows["arm_id_t"],
        "comparator_arm_id": rows["arm_id_c"],
        "outcome": rows["outcome"],
        "instrument": rows["instrument"],
        "time_days": rows["time_days"],
        "subgroup": rows["subgroup"],
        "analysis": rows["analysis"],
        "data_kind": rows["statistic"],
        "measure": str(measure),
        "estimate": np.asarray(size.estimate, dtype=float),
        "variance": np.asarray(size.variance, dtype=float),
        "n_treatment": rows["n_t"],
        "n_control": rows["n_c"],
        "assumption": _join_words(rows["assumed_t"], rows["assumed_c"]),
        "source": rows["source_t"] + ";" + rows["source_c"],
    }
    data.update(extra)
    return pd.DataFrame(data).reindex(columns=list(EFFECT_COLUMNS))


def _join_routes(first: pd.Series, second: pd.Series) -> list[str]:
    """Return the routes of both arms without repeats, joined by ``+``."""
    return [
        "+".join(dict.fromkeys([*str(one).split("+"), *str(two).split("+")]))
        for one, two in zip(first, second, strict=True)
    ]


def _join_words(*parts: Any) -> list[str]:
    """Return the assumptions of several sources row by row, joined by ``; ``."""
    return [
        "; ".join(word for word in dict.fromkeys(row) if word) for row in zip(*parts, strict=True)
    ]


def effects_of_scores(pairs: pd.DataFrame, direction: pd.Series) -> pd.DataFrame:
    """Return MD and SMD of parallel arms with mean, SD and n.

    Parameters
    ----------
    pairs : DataFrame
        Comparisons of scores (``pair_arms``).
    direction : Series
        ``lower_is_better``, ``higher_is_better`` or ``neither`` per pair.

    Notes
    -----
    MD keeps the sign of the scale. SMD is turned so that negative favours the treatment; a scale
    without a better end yields no SMD.
    """
    import pandas as pd

    if pairs.empty:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    arguments = [pairs[f"{name}_{arm}"].to_numpy(float) for arm in "tc" for name in _MEAN_SD_N]
    shared = {
        "mean_treatment": pairs["mean_t"],
        "sd_treatment": pairs["sd_t"],
        "mean_control": pairs["mean_c"],
        "sd_control": pairs["sd_c"],
        "route": _join_routes(pairs["route_t"], pairs["route_c"]),
    }
    mean_difference = _frame(pairs, Measure.MD, effect_sizes.mean_difference(*arguments), **shared)
    standardised = _frame(
        pairs, Measure.SMD, effect_sizes.standardized_mean_difference(*arguments), **shared
    )
    standardised = turn_to_benefit(standardised, direction.to_numpy())
    return pd.concat([mean_difference, standardised], ignore_index=True)


_MEAN_SD_N = ("mean", "sd", "n")


def turn_to_benefit(effects: pd.DataFrame, direction: np.ndarray) -> pd.DataFrame:
    """Return SMDs with negative favouring the treatment; rows without a direction are dropped."""
    turned = effects.copy()
    up = direction == "higher_is_better"
    turned.loc[up, "estimate"] = -turned.loc[up, "estimate"]
    turned.loc[up, "route"] = turned.loc[up, "route"] + "+direction_flipped"
    return turned[direction != "neither"]


def effects_of_paired_scores(
    pairs: pd.DataFrame, direction: pd.Series, correlation: np.ndarray, assumed: np.ndarray
) -> pd.DataFrame:
    """Return MD and SMD of crossovers, from both periods' means and SDs and a correlation.

    Parameters
    ----------
    pairs : DataFrame
    direction : Series
    correlation : ndarray of shape (rows,)
        Within-person correlation, printed or assumed; NaN where there is none.
    assumed : ndarray of bool of shape (rows,)
        Whether it is an assumption.
    """
    import pandas as pd

    known = np.isfinite(correlation)
    pairs, direction = pairs[known], direction[known]
    correlation, assumed = correlation[known], assumed[known]
    if pairs.empty:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    n = np.minimum(pairs["n_t"].to_numpy(float), pairs["n_c"].to_numpy(float))
    mean_t, sd_t = pairs["mean_t"].to_numpy(float), pairs["sd_t"].to_numpy(float)
    mean_c, sd_c = pairs["mean_c"].to_numpy(float), pairs["sd_c"].to_numpy(float)
    spread = np.sqrt(sd_t**2 + sd_c**2 - 2 * correlation * sd_t * sd_c)
    route = [
        f"{joined}+{'paired_correlation_assumed' if guess else 'correlation_printed'}"
        for joined, guess in zip(
            _join_routes(pairs["route_t"], pairs["route_c"]), assumed, strict=True
        )
    ]
    shared = {
        "mean_treatment": mean_t,
        "sd_treatment": sd_t,
        "mean_control": mean_c,
        "sd_control": sd_c,
        "route": route,
        "assumption": _join_words(
            pairs["assumed_t"], pairs["assumed_c"], _correlation_words(correlation, assumed)
        ),
    }
    mean_difference = _frame(
        pairs, Measure.MD, effect_sizes.paired_mean_difference(mean_t - mean_c, spread, n), **shared
    )
    size = effect_sizes.standardized_mean_difference_paired(
        mean_t, sd_t, mean_c, sd_c, n, correlation
    )
    standardised = turn_to_benefit(_frame(pairs, Measure.SMD, size, **shared), direction.to_numpy())
    return pd.concat([mean_difference, standardised], ignore_index=True)


def _correlation_words(correlation: np.ndarray, assumed: np.ndarray) -> list[str]:
    return [
        f"correlation={value:g}" if guess else ""
        for value, guess in zip(correlation, assumed, strict=True)
    ]


def effects_of_counts(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return OR, RR and RD of parallel arms with events and n.

    Notes
    -----
    Comparisons with an empty cell get 0.5 added to their cells (recorded in the route).
    Studies without any event (or with nothing but events) in both arms say nothing about a ratio
    and yield RD only.
    """
    import pandas as pd

    if pairs.empty:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    events_t, n_t = pairs["events_t"].to_numpy(float), pairs["n_t"].to_numpy(float)
    events_c, n_c = pairs["events_c"].to_numpy(float), pairs["n_c"].to_numpy(float)
    silent = ((events_t == 0) & (events_c == 0)) | ((events_t == n_t) & (events_c == n_c))
    routes = np.array(_join_routes(pairs["route_t"], pairs["route_c"]), dtype=object)
    corrected = routes + "+zero_cell_correction"
    frames = []
    for measure, function in (
        (Measure.OR, effect_sizes.log_odds_ratio),
        (Measure.RR, effect_sizes.log_risk_ratio),
        (Measure.RD, effect_sizes.risk_difference),
    ):
        keep = np.ones(len(pairs), dtype=bool) if measure is Measure.RD else ~silent
        if not keep.any():
            continue
        size = function(events_t[keep], n_t[keep], events_c[keep], n_c[keep])
        frames.append(
            _frame(
                pairs[keep],
                measure,
                size,
                events_treatment=events_t[keep],
                events_control=events_c[keep],
                route=np.where(size.corrected, corrected[keep], routes[keep]),
            )
        )
    return pd.concat(frames, ignore_index=True)


def effects_of_changes_within(
    rows: pd.DataFrame, direction: pd.Series, correlation: float
) -> pd.DataFrame:
    """Return standardised mean changes of single arms (no control), under an assumed correlation.

    Notes
    -----
    Uncontrolled change contains everything that happens with time; it never enters beside
    controlled effects.
    """
    import pandas as pd

    if rows.empty:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    before = rows["baseline_mean"].to_numpy(float)
    after = np.where(
        rows["statistic"] == "change",
        before + rows["mean_"].to_numpy(float),
        rows["mean_"].to_numpy(float),
    )
    size = effect_sizes.standardized_mean_change(
        before, after, rows["baseline_sd"].to_numpy(float), rows["n_"].to_numpy(float), correlation
    )
    alike = rows.rename(
        columns={"arm_id": "arm_id_t", "n_": "n_t", "source": "source_t", "assumed": "assumed_t"}
    ).assign(arm_id_c="", n_c=np.nan, source_c="", assumed_c="")
    effects = _frame(
        alike,
        Measure.SMCR,
        size,
        mean_treatment=after,
        mean_control=before,
        sd_control=rows["baseline_sd"],
        route="before_after+paired_correlation_assumed",
        assumption=_join_words(rows["assumed"], [f"correlation={correlation:g}"] * len(rows)),
        source=rows["source"],
    )
    return turn_to_benefit(effects, direction.to_numpy())
