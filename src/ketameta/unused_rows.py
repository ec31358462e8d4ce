"""Extracted rows that yield no effect size, each with its reason. Nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.arm_data import COMPARABLE
from ketameta.study_facts import COMPARISON_KEYS, crossovers, plain_key, uncontrolled

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence import Evidence

#: Why a row yields no effect, in words for the report.
PROBLEMS: dict[str, str] = {
    "no_n": "the number of people analysed is not printed",
    "n_below_two": "fewer than two people",
    "n_below_three": "fewer than three people, too few for a change without a control",
    "no_mean": "no mean, and no median with its spread, is printed",
    "no_variance": "nothing printed gives its precision",
    "no_count": "neither a count nor a percentage is printed",
    "percent_not_whole": "percentage times n is not a whole number of people",
    "no_estimate": "no estimate is printed",
    "sign_unknown": "the source does not say which arm did better",
    "no_direction": "the instrument has no better end",
    "no_exact_test_statistic": "no exact test statistic or p-value is printed",
    "no_correlation": "a crossover without the within-person correlation",
    "no_correlation_within": "a change without a control, and no within-person correlation",
    "no_partner": "no second arm has the same outcome, instrument, time and statistic",
    "partner_unusable": "the numbers of the other arm cannot be used",
    "crossover_counts": "counts of a crossover without the paired table",
    "hazard_ratio_not_pooled": "hazard ratios are kept for reading; no analysis pools them",
    "no_baseline": "a single arm without a baseline mean and SD",
}
UNUSED_COLUMNS = (*COMPARISON_KEYS, "data_kind", "source", "code", "reason")


def unused_row(row: dict[str, Any], kind: str, code: str) -> dict[str, Any]:
    """Return the record of a row that yields no effect."""
    return {
        **{key: row.get(key, "") for key in COMPARISON_KEYS},
        "data_kind": kind,
        "source": row["source"],
        "code": code,
        "reason": PROBLEMS[code],
    }


def unused_outcomes(
    outcomes: pd.DataFrame, used: Collection[str], evidence: Evidence, *, correlated: bool
) -> pd.DataFrame:
    """Return the arm rows that stand in no effect, each with its reason.

    Parameters
    ----------
    outcomes : DataFrame
        Rows of :func:`ketameta.arm_data.resolve_arm_data` with their ``source``.
    used : collection of str
        Sources that stand in an effect.
    evidence : Evidence
    correlated : bool
        Whether a within-person correlation is assumed.
    """
    import pandas as pd

    crossed, alone = crossovers(evidence), uncontrolled(evidence)
    every, usable = _arms_by_key(outcomes), _arms_by_key(outcomes[outcomes["problem"] == ""])
    unused = []
    for row in outcomes[~outcomes["source"].isin(list(used))].to_dict("records"):
        code = row["problem"]
        if not code and row["study_id"] in alone and row["statistic"] != "events":
            code = _why_not_within(row, correlated=correlated)
        elif not code:
            key = _alike(row)
            if len(usable.get(key, ())) > 1 and row["study_id"] in crossed:
                code = "crossover_counts" if row["statistic"] == "events" else "no_correlation"
            else:
                code = "partner_unusable" if len(every[key]) > 1 else "no_partner"
        unused.append(unused_row(row, row["statistic"], code))
    return pd.DataFrame(unused, columns=list(UNUSED_COLUMNS))


def _alike(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(plain_key(row[column]) for column in COMPARABLE)


def _arms_by_key(rows: pd.DataFrame) -> dict[tuple[Any, ...], set[str]]:
    """Return the arms that were measured alike."""
    found: dict[tuple[Any, ...], set[str]] = {}
    for row in rows[[*COMPARABLE, "arm_id"]].to_dict("records"):
        found.setdefault(_alike(row), set()).add(row["arm_id"])
    return found


def _why_not_within(row: dict[str, Any], *, correlated: bool) -> str:
    """Return why an arm without a control yields no change."""
    if not (np.isfinite(row["baseline_mean"]) and np.isfinite(row["baseline_sd"])):
        return "no_baseline"
    if not correlated:
        return "no_correlation_within"
    return "n_below_three" if row["n_"] < 3 else "no_direction"
