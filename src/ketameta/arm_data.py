"""What one arm's row offers: n, mean and SD, or a count, and the route by which we have them.

Reads rows of ``outcomes.csv``; knows nothing of comparisons or models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ketameta import conversions

if TYPE_CHECKING:
    import pandas as pd

#: What makes two rows comparable between arms of a study.
COMPARABLE = ["study_id", "outcome", "instrument", "time_days", "subgroup", "statistic"]


def resolve_arm_data(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return ``outcomes`` with ``n_``, ``mean_``, ``sd_``, ``events_``, ``route`` and ``problem``.

    Parameters
    ----------
    outcomes : DataFrame
        Rows of the ``outcomes`` table, numbers as floats.

    Returns
    -------
    DataFrame
        The same rows in the same order. ``route`` says how mean and SD (or the count) were
        had (codes of :data:`ketameta.conversions.ROUTES`, joined by ``+``); ``problem`` says why
        a row cannot enter an effect size and is empty where it can.

    Notes
    -----
    A printed SD wins over a standard error, that over an interval, that over quartiles and range.
    """
    rows = outcomes.copy()
    size = len(rows)
    n = rows["n"].to_numpy(float)
    mean = rows["mean"].to_numpy(float).copy()
    sd = rows["sd"].to_numpy(float).copy()
    events = rows["events"].to_numpy(float).copy()
    route = np.full(size, "", dtype=object)
    problem = np.full(size, "", dtype=object)
    is_event = rows["statistic"].to_numpy() == "events"

    _resolve_counts(rows, is_event, n, events, route, problem)
    _resolve_spread(rows, ~is_event, n, mean, sd, route, problem)
    unresolved = ~is_event & ~np.isfinite(sd) & _spread_printed(rows)
    for which, code in (
        (unresolved & ~np.isfinite(n), "no_n"),
        (unresolved & (n < 2), "n_below_two"),
        (~is_event & ~np.isfinite(mean), "no_mean"),
        (~is_event & ~np.isfinite(sd), "no_variance"),
        (~np.isfinite(n), "no_n"),
        (~is_event & (n < 2), "n_below_two"),
    ):
        problem[(problem == "") & which] = code

    rows["n_"], rows["mean_"], rows["sd_"], rows["events_"] = n, mean, sd, events
    rows["route"], rows["problem"] = route, problem
    return rows


def _spread_printed(rows: pd.DataFrame) -> np.ndarray:
    """Return where an SE, an interval, or a median with quartiles or range is printed."""

    def filled(*names: str) -> np.ndarray:
        return rows[list(names)].notna().all(axis=1).to_numpy()

    return (
        filled("se")
        | filled("ci_low", "ci_high")
        | filled("median", "q1", "q3")
        | filled("median", "minimum", "maximum")
    )


def _resolve_counts(
    rows: pd.DataFrame,
    is_event: np.ndarray,
    n: np.ndarray,
    events: np.ndarray,
    route: np.ndarray,
    problem: np.ndarray,
) -> None:
    """Fill ``events`` from printed counts, or from percentages whose product is whole."""
    printed = is_event & np.isfinite(events)
    route[printed] = "counts"
    percent = rows["percent"].to_numpy(float)
    from_percent = is_event & ~printed & np.isfinite(percent) & np.isfinite(n)
    if from_percent.any():
        counted = conversions.count_from_percent(percent[from_percent], n[from_percent])
        events[from_percent] = np.where(counted.is_whole, counted.count, np.nan)
        route[from_percent] = "count_from_percent"
        problem[from_percent] = np.where(counted.is_whole, "", "percent_not_whole")
    open_rows = is_event & (problem == "") & ~np.isfinite(events)
    problem[open_rows] = np.where(np.isfinite(percent[open_rows]), "no_n", "no_count")


def _resolve_spread(
    rows: pd.DataFrame,
    is_score: np.ndarray,
    n: np.ndarray,
    mean: np.ndarray,
    sd: np.ndarray,
    route: np.ndarray,
    problem: np.ndarray,
) -> None:
    """Fill ``mean`` and ``sd`` from what is printed, best route first."""
    model = rows["sd_origin"].to_numpy() == "model"
    enough = is_score & (n >= 2)

    def say(which: np.ndarray, code: str) -> None:
        route[which & ~model] = code
        route[which & model] = f"{code}+model_based"

    printed = is_score & np.isfinite(sd)
    say(printed, "sd_printed")

    se = rows["se"].to_numpy(float)
    from_se = enough & ~np.isfinite(sd) & np.isfinite(se)
    if from_se.any():
        sd[from_se] = conversions.sd_from_se(se[from_se], n[from_se])
        say(from_se, "sd_from_se")

    low, high = rows["ci_low"].to_numpy(float), rows["ci_high"].to_numpy(float)
    level = np.where(np.isnan(rows["ci_level"].to_numpy(float)), 95.0, rows["ci_level"]) / 100
    from_ci = enough & ~np.isfinite(sd) & np.isfinite(low) & np.isfinite(high) & (high > low)
    for value in np.unique(level[from_ci]):
        which = from_ci & (level == value)
        sd[which] = conversions.sd_from_ci(low[which], high[which], n[which], level=float(value))
    say(from_ci, "sd_from_ci")

    _resolve_quantiles(rows, enough & ~np.isfinite(sd), n, mean, sd, say)


def _resolve_quantiles(
    rows: pd.DataFrame,
    open_rows: np.ndarray,
    n: np.ndarray,
    mean: np.ndarray,
    sd: np.ndarray,
    say: object,
) -> None:
    """Estimate mean and SD from median with quartiles, range, or both."""
    columns = {
        name: rows[name].to_numpy(float) for name in ("minimum", "q1", "median", "q3", "maximum")
    }
    for index in np.flatnonzero(open_rows & np.isfinite(columns["median"])):
        five = {name: float(values[index]) for name, values in columns.items()}
        quartiles = np.isfinite(five["q1"]) and np.isfinite(five["q3"])
        extremes = np.isfinite(five["minimum"]) and np.isfinite(five["maximum"])
        if not (quartiles or extremes):
            continue
        count = float(n[index])
        if quartiles and extremes:
            result = conversions.mean_sd_from_five_numbers(
                five["minimum"], five["q1"], five["median"], five["q3"], five["maximum"], count
            )
            code = "sd_from_five_numbers"
        elif quartiles:
            result = conversions.mean_sd_from_quartiles(
                five["q1"], five["median"], five["q3"], count
            )
            code = "sd_from_quartiles"
        else:
            result = conversions.mean_sd_from_range(
                five["minimum"], five["median"], five["maximum"], count
            )
            code = "sd_from_range"
        if not np.isfinite(mean[index]):
            mean[index] = float(np.asarray(result.mean).item())
        sd[index] = float(np.asarray(result.sd).item())
        which = np.zeros(len(rows), dtype=bool)
        which[index] = True
        assert callable(say)
        say(which, code)
