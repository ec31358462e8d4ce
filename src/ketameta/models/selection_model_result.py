"""The result of a selection model and its printed lines. Computes nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ketameta.models.fit_words import both_scales, decimals_for, number_words
from ketameta.models.results import Caveat, Result
from ketameta.numberformat import (
    format_number,
    format_p,
    format_significant,
    plural,
)

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class SelectionModel(Result):
    """A pooled effect adjusted for selection by significance.

    Attributes
    ----------
    steps : tuple of float
        One-sided p-values at which the chance of being seen changes.
    alternative : {"greater", "less"}
        Direction whose p-values count as small.
    interval_counts : tuple of int
        Studies per interval of p-values, smallest p-values first.
    selection_weights : ndarray of shape (J,)
        Chance of being seen relative to the first interval, which is 1.
    selection_weight_se : ndarray of shape (J,)
        NaN for the first, and where the weight is at its bound or the curvature is not that of a
        maximum.
    estimate : float
    se, statistic, p_value, ci_low, ci_high : float or None
        Wald, from the observed information; None where that is not positive definite.
    tau2 : float or None
        None for a common-effect fit.
    log_likelihood, log_likelihood_unadjusted : float
        Of this model and of the same without selection (all weights 1), both by full maximum
        likelihood.
    lrt, lrt_df, lrt_p_value : float, int, float
        Likelihood-ratio test of no selection.
    maxima : int
        Different maxima that the starts led to.
    gap : float or None
        Log-likelihood of the best above the next best; None when there is one.
    next_estimate : float or None
        The mean at the next best.
    starts : int
    unadjusted : float
        The estimate of the fit.
    unadjusted_ml : float
        The mean without selection by maximum likelihood, which the model reduces to.
    k, level, measure
    caveats : tuple of Caveat
    """

    steps: tuple[float, ...]
    alternative: str
    interval_counts: tuple[int, ...]
    selection_weights: FloatArray
    selection_weight_se: FloatArray
    estimate: float
    se: float | None
    statistic: float | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    tau2: float | None
    log_likelihood: float
    log_likelihood_unadjusted: float
    lrt: float
    lrt_df: int
    lrt_p_value: float
    maxima: int
    gap: float | None
    next_estimate: float | None
    starts: int
    unadjusted: float
    unadjusted_ml: float
    k: int
    level: float
    measure: str | None
    caveats: tuple[Caveat, ...]

    def summary(self) -> str:
        """Return the adjusted effect, the weights and the test of no selection."""
        digits = decimals_for(self.se or 0.0)
        edges = (0.0, *self.steps, 1.0)
        words = both_scales(self.measure, self.estimate, self.ci_low, self.ci_high, digits)
        ends = self.ci_low, self.ci_high
        before = number_words(self.measure, self.unadjusted_ml, *ends, digits)
        lines = [
            f"<SelectionModel: {plural(self.k, 'study', 'studies')}, steps at one-sided p ="
            f" {', '.join(f'{step:g}' for step in self.steps)} ({self.alternative})>",
            f"  adjusted    {words}, {format_p(self.p_value)}",
            f"  unadjusted  {before} (ML)",
        ]
        for j, (weight, count) in enumerate(
            zip(self.selection_weights.tolist(), self.interval_counts, strict=True)
        ):
            lines.append(
                f"  p {edges[j]:g} to {edges[j + 1]:g}: {plural(count, 'study', 'studies')}, seen"
                f" {format_significant(weight)} times as often as the first"
                if j
                else f"  p {edges[j]:g} to {edges[j + 1]:g}: {plural(count, 'study', 'studies')}"
            )
        lines.append(
            f"  no selection: likelihood ratio {format_number(self.lrt)}, {self.lrt_df} df,"
            f" {format_p(self.lrt_p_value)}"
        )
        lines += [f"  caveat      {caveat.message}" for caveat in self.caveats]
        return "\n".join(lines)

    def tidy(self) -> pd.DataFrame:
        """Return one row per interval of p-values."""
        import pandas as pd

        edges = (0.0, *self.steps, 1.0)
        return pd.DataFrame(
            {
                "p_low": edges[:-1],
                "p_high": edges[1:],
                "studies": self.interval_counts,
                "selection_weight": self.selection_weights,
                "se": self.selection_weight_se,
            }
        )
