"""What a random-effects odds ratio from event counts prints. Computes nothing."""

from __future__ import annotations

import dataclasses
import math

from ketameta.models.event_tables import ZeroHandling
from ketameta.models.results import Caveat, Result
from ketameta.numberformat import (
    format_count,
    format_estimate,
    format_number,
    format_p,
    format_significant,
    plural,
)

_NAMES = {
    "conditional": "exact conditional likelihood",
    "unconditional": "unconditional likelihood, fixed intercepts",
}


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class BinomialNormal(Result):
    """A random-effects log odds ratio from event counts.

    Attributes
    ----------
    model : {"conditional", "unconditional"}
    k : int
        Trials given, informative or not.
    events_treatment, n_treatment, events_control, n_control : float
        Sums over trials.
    estimate, se : float
        Mean log odds ratio; the standard error includes the uncertainty of tau-squared.
    statistic, p_value : float
        Normal test that the mean is 0, two-sided.
    ci_low, ci_high : float
        Normal interval at ``level``.
    tau2 : float
        Maximum-likelihood between-trial variance of the log odds ratio; 0 for one trial.
    log_likelihood : float
    q, q_df, q_p_value : float, int, float, or None
        Likelihood-ratio test that all informative trials share one odds ratio.
    optima : int
        Local maxima of the likelihood found along tau.
    optimum_gap : float or None
        Log-likelihood of the reported maximum above the next one.
    level : float
    zeros : ZeroHandling
    caveats : tuple of Caveat
    """

    model: str
    k: int
    events_treatment: float
    n_treatment: float
    events_control: float
    n_control: float
    estimate: float
    se: float
    statistic: float
    p_value: float
    ci_low: float
    ci_high: float
    tau2: float
    log_likelihood: float
    q: float | None
    q_df: int | None
    q_p_value: float | None
    optima: int
    optimum_gap: float | None
    level: float
    zeros: ZeroHandling
    caveats: tuple[Caveat, ...]

    @property
    def tau(self) -> float:
        """Between-trial standard deviation of the log odds ratio."""
        return math.sqrt(self.tau2)

    def summary(self) -> str:
        """Return the printed lines."""
        shown = format_estimate(
            math.exp(self.estimate), math.exp(self.ci_low), math.exp(self.ci_high)
        )
        counts = (
            f"{format_count(self.events_treatment)}/{format_count(self.n_treatment)} v "
            f"{format_count(self.events_control)}/{format_count(self.n_control)}"
        )
        lines = [
            f"<Binomial-normal odds ratio: {plural(self.k, 'trial')}, "
            f"{self.zeros.k_informative} informative, {_NAMES[self.model]}>",
            f"  events      {counts}",
            f"  pooled      {shown} ({100 * self.level:g}% CI)   "
            f"z = {format_number(self.statistic)}, {format_p(self.p_value)}",
        ]
        if self.q is not None:
            lines.append(
                f"  between     τ² = {format_significant(self.tau2)}, "
                f"likelihood ratio χ²({self.q_df}) = {format_number(self.q, 1)}, "
                f"{format_p(self.q_p_value)}"
            )
        lines.extend(f"  caveat      {caveat.message}" for caveat in self.caveats)
        return "\n".join(lines)
