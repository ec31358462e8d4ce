"""Henmi and Copas: a common-effect mean with an interval that allows for heterogeneity."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special
from scipy.optimize import brentq

from ketameta.formatting import format_estimate, format_number, plural
from ketameta.models.least_squares import Array, power_of_two_scale
from ketameta.models.pooling import decimals_for
from ketameta.models.resampling.batched import fit_data
from ketameta.models.results import Caveat, Result
from ketameta.models.small_study.inputs import few_studies_caveats

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects

#: Nodes of the Gauss-Legendre rule on each of the panels below; 40 and 80 agree to 1e-13.
NODES = 40
#: Width of a panel and upper end of the integral over a standard normal; beyond 9 lie 2e-19.
PANEL, END = 0.5, 9.0


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class HenmiCopas(Result):
    """A mean by common-effect weights, with a wider interval.

    Attributes
    ----------
    estimate, se : float
        Weights ``1 / v``; the standard error allows for tau-squared.
    ci_low, ci_high, level : float
    tau2 : float
        DerSimonian-Laird.
    unadjusted : float
        The estimate of the fit.
    k : int
    caveats : tuple of Caveat
    """

    estimate: float
    se: float
    ci_low: float
    ci_high: float
    level: float
    tau2: float
    unadjusted: float
    k: int
    caveats: tuple[Caveat, ...]

    def summary(self) -> str:
        """Return the estimate and its interval."""
        digits = decimals_for(self.se)
        words = format_estimate(self.estimate, self.ci_low, self.ci_high, digits)
        lines = [
            f"<HenmiCopas: {plural(self.k, 'study', 'studies')}>",
            f"  adjusted    {words}",
            f"  unadjusted  {format_number(self.unadjusted, digits)}",
        ]
        lines += [f"  caveat      {caveat.message}" for caveat in self.caveats]
        return "\n".join(lines)


def henmi_copas(fit: RandomEffects) -> HenmiCopas:
    """Pool with common-effect weights, which small studies sway least, and a valid interval.

    Parameters
    ----------
    fit : RandomEffects
        At least two studies.

    Notes
    -----
    Equal to metafor's ``hc``: DerSimonian-Laird tau-squared, and the distribution of the pivot with
    a gamma approximation to Q given the mean (Henmi and Copas 2010, Stat. Med. 29, 2969-2983). The
    integral and the root are found to full precision here; metafor's defaults stop at about 1e-4.
    """
    data = fit_data(fit, "the Henmi-Copas method")
    scale = power_of_two_scale(data.v)
    y, w = data.y / scale, scale**2 / data.v
    total = float(w.sum())
    w2, w3, w4 = (float((w**power).sum()) / total for power in (2, 3, 4))
    mean = float(w @ y) / total
    q = float(w @ (y - mean) ** 2)
    tau2 = max(0.0, (q - (fit.k - 1)) / (total - w2))
    pivot = _Pivot(fit.k, tau2, total, w2, w3, w4)
    tail = (1 - data.level) / 2
    high = 2.0
    while pivot.upper_tail(high) > tail:
        high *= 2
    root = float(brentq(lambda x: pivot.upper_tail(x) - tail, 1e-8, high, xtol=1e-14, rtol=1e-13))
    se = math.sqrt((tau2 * w2 + 1) / total)
    half = math.sqrt(1 + tau2 * w2) * root * se
    return HenmiCopas(
        estimate=mean * scale,
        se=se * scale,
        ci_low=(mean - half) * scale,
        ci_high=(mean + half) * scale,
        level=data.level,
        tau2=tau2 * scale**2,
        unadjusted=fit.estimate,
        k=fit.k,
        caveats=few_studies_caveats(fit.k),
    )


class _Pivot:
    """Joint distribution of the mean and Q, in units of the mean's standard error."""

    def __init__(self, k: int, tau2: float, total: float, w2: float, w3: float, w4: float) -> None:
        self.k, self.tau2, self.total = k, tau2, total
        self.w2, self.w3, self.w4 = w2, w3, w4
        self.ratio = 1 + tau2 * w2
        self.rule = np.polynomial.legendre.leggauss(NODES)

    def upper_tail(self, x: float) -> float:
        """Return the probability that the studentised mean exceeds ``x``."""
        end = max(END, x + 1.0)
        panels = math.ceil((end - x) / PANEL)
        edges = np.linspace(x, end, panels + 1)
        half = 0.5 * (edges[1:] - edges[:-1])[:, None]
        r = (0.5 * (edges[1:] + edges[:-1]))[:, None] + half * self.rule[0]
        values = self._cumulative(r, x) * np.exp(-0.5 * r * r) / math.sqrt(2 * math.pi)
        return float((half * self.rule[1] * values).sum())

    def _cumulative(self, r: Array, x: float) -> Array:
        """Return P(Q <= the value at which the pivot is x | mean = r), by the gamma."""
        mean, variance = self._moments(math.sqrt(self.ratio) * r)
        bound = (self.total / self.w2 - 1) * ((r / x) ** 2 - 1) + (self.k - 1)
        result: Array = special.gammainc(mean**2 / variance, bound * mean / variance)
        return result

    def _moments(self, r: Array) -> tuple[Array, Array]:
        """Return mean and variance of Q given the mean (Henmi and Copas 2010)."""
        t, w1, w2, w3, w4 = self.tau2, self.total, self.w2, self.w3, self.w4
        inverse = 1 / self.ratio**2
        excess = inverse * r**2 - 1 / self.ratio
        mean = (self.k - 1) + t * (w1 - w2) + t**2 * excess * (w3 - w2**2)
        variance = (
            2 * (self.k - 1)
            + 4 * t * (w1 - w2)
            + 2 * t**2 * (w1 * w2 - 2 * w3 + w2**2)
            + 4 * t**2 * excess * (w3 - w2**2)
            + 4 * t**3 * excess * (w4 - 2 * w2 * w3 + w2**3)
            + 2 * t**4 * (inverse - 2 * r**2 / self.ratio**3) * (w3 - w2**2) ** 2
        )
        return mean, variance
