"""What pooled event counts print: Mantel-Haenszel and Peto estimates. Computes nothing."""

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
    format_percent,
    plural,
)
from ketameta.vocabulary import Measure

METHOD_NAMES = {"mantel-haenszel": "Mantel–Haenszel", "peto": "Peto"}
_MEASURE_NAMES = {
    Measure.OR: "odds ratio",
    Measure.RR: "risk ratio",
    Measure.RD: "risk difference",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ChiSquared:
    """A chi-squared test.

    Attributes
    ----------
    statistic : float
    df : int
    p_value : float
    """

    statistic: float
    df: int
    p_value: float


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class StratifiedEffect(Result):
    """A common effect of k trials from their event counts.

    Attributes
    ----------
    method : {"mantel-haenszel", "peto"}
    measure : Measure
    k : int
        Trials given, informative or not.
    events_treatment, n_treatment, events_control, n_control : float
        Sums over trials.
    estimate, se : float
        Logarithm for ratios; a share of one for the risk difference.
    statistic, p_value : float
        Normal test that the effect is null, two-sided.
    ci_low, ci_high : float
        Normal interval at ``level``, on the scale of ``estimate``.
    q, q_df, q_p_value : float, int, float, or None
        Heterogeneity of the trials' own effects around ``estimate``; None for one trial.
    i2, h2 : float or None
        From Q; ``i2`` is a share of one.
    association, association_uncorrected : ChiSquared or None
        Cochran-Mantel-Haenszel test with and without continuity correction (odds ratios).
    breslow_day, tarone : ChiSquared or None
        Tests that the odds ratios are equal (Mantel-Haenszel odds ratio of two or more trials).
    level : float
    zeros : ZeroHandling
    caveats : tuple of Caveat
    """

    method: str
    measure: Measure
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
    q: float | None
    q_df: int | None
    q_p_value: float | None
    i2: float | None
    h2: float | None
    association: ChiSquared | None
    association_uncorrected: ChiSquared | None
    breslow_day: ChiSquared | None
    tarone: ChiSquared | None
    level: float
    zeros: ZeroHandling
    caveats: tuple[Caveat, ...]

    def summary(self) -> str:
        """Return the printed lines."""
        heading = (
            f"<{METHOD_NAMES[self.method]} {_MEASURE_NAMES[self.measure]}: "
            f"{plural(self.k, 'trial')}, {self.zeros.k_informative} informative, common effect>"
        )
        counts = (
            f"{format_count(self.events_treatment)}/{format_count(self.n_treatment)} v "
            f"{format_count(self.events_control)}/{format_count(self.n_control)}"
        )
        lines = [heading, f"  events      {counts}", pooled_line(self)]
        if self.q is not None:
            lines.append(
                f"  between     I² = {format_percent(self.i2, 1)} (from Q), "
                f"Q({self.q_df}) = {format_number(self.q, 1)}, {format_p(self.q_p_value)}"
            )
        lines.extend(f"  caveat      {caveat.message}" for caveat in self.caveats)
        return "\n".join(lines)


def pooled_line(effect: StratifiedEffect) -> str:
    """Return the line with the estimate on the scale that is displayed."""
    estimate, low, high = effect.estimate, effect.ci_low, effect.ci_high
    if effect.measure.is_ratio:
        shown = format_estimate(math.exp(estimate), math.exp(low), math.exp(high))
    else:
        shown = format_estimate(estimate, low, high, digits=3)
    return (
        f"  pooled      {shown} ({100 * effect.level:g}% CI)   "
        f"z = {format_number(effect.statistic)}, {format_p(effect.p_value)}"
    )
