"""The three intervals of a mean side by side, as a result."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ketameta.models.intervals import mean_inference
from ketameta.models.least_squares import weighted_least_squares
from ketameta.models.results import Result
from ketameta.numberformat import format_interval, format_p
from ketameta.vocabulary import CI_METHODS

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.models.pooled_effect import RandomEffects

METHOD_WORDS = {
    "wald": "Wald",
    "knapp-hartung": "Knapp–Hartung",
    "knapp-hartung-conservative": "Knapp–Hartung (conservative)",
}


@dataclasses.dataclass(frozen=True, slots=True)
class MeanInterval:
    """One interval of the mean; bounds, statistic and p are None where withheld."""

    ci_method: str
    estimate: float
    se: float
    statistic: float | None
    df: int | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class IntervalTable(Result):
    """Several intervals of one mean.

    Attributes
    ----------
    rows : tuple of MeanInterval
        Wald, Knapp-Hartung and conservative Knapp-Hartung, in that order.
    level : float
    """

    rows: tuple[MeanInterval, ...]
    level: float

    def summary(self) -> str:
        """Return one line per interval."""
        lines = [f"<Intervals of the mean, {100 * self.level:g}%>"]
        for row in self.rows:
            words = METHOD_WORDS[row.ci_method]
            bounds = (
                "withheld: the standard error is 0"
                if row.ci_low is None
                else f"{format_interval(row.ci_low, row.ci_high)}  {format_p(row.p_value)}"
            )
            lines.append(f"  {words:<29} {bounds}")
        return "\n".join(lines)

    def tidy(self) -> pd.DataFrame:
        """Return one row per interval."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(row) for row in self.rows])


def mean_intervals(fit: RandomEffects) -> IntervalTable:
    """Return the intervals of a fit by every method, at its level and tau-squared.

    A single study has only its own (Wald) interval.
    """
    design = np.ones((fit.k, 1))
    w = 1 / (fit.variances + (fit.tau2 or 0.0))
    if fit.k == 1:
        row = MeanInterval(
            "wald",
            fit.estimate,
            fit.se,
            fit.statistic,
            None,
            fit.p_value,
            fit.ci_low,
            fit.ci_high,
        )
        return IntervalTable((row,), fit.level)
    ls = weighted_least_squares(fit.estimates, design, w)
    rows = []
    for method in CI_METHODS:
        found = mean_inference(ls, method, fit.level)
        exists = bool(found.se[0] > 0)
        rows.append(
            MeanInterval(
                method,
                float(ls.coefficients[0]),
                float(found.se[0]),
                float(found.statistic[0]) if exists else None,
                found.df,
                float(found.p_value[0]) if exists else None,
                float(found.ci_low[0]) if exists else None,
                float(found.ci_high[0]) if exists else None,
            )
        )
    return IntervalTable(tuple(rows), fit.level)
