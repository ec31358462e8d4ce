"""What a relative effect means for people: risks at a baseline, number needed to treat."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ketameta.effects.arrays import check_share
from ketameta.errors import NotEstimableError, UsageError, check_choice
from ketameta.formatting import MISSING, format_interval, format_level, format_number
from ketameta.measures import Measure, find_measure
from ketameta.models.results import Line, Printed, Result

#: Measures that turn one risk into another.
ABSOLUTE_MEASURES = (Measure.OR, Measure.PETO, Measure.RR, Measure.RD, Measure.HR)


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class AbsoluteEffect(Result):
    """Risks under control and treatment, and their difference.

    Attributes
    ----------
    measure : str
    baseline_risk : float
        The stated risk under control, a share of one.
    risk, risk_low, risk_high : float
        Risk under treatment, and the ends of its interval.
    difference, difference_low, difference_high : float
        Treatment minus control, shares of one.
    nnt : float or None
        People to treat for one event fewer or more, ``1 / |difference|``; None where the difference
        is 0.
    level : float
    """

    measure: str
    baseline_risk: float
    risk: float
    risk_low: float
    risk_high: float
    difference: float
    difference_low: float
    difference_high: float
    nnt: float | None
    level: float

    def printed(self) -> Printed:
        """Return people per 1,000 and the number needed to treat, in words."""
        share = format_level(self.level)
        per = [1000 * x for x in (self.difference, self.difference_low, self.difference_high)]
        risks = [1000 * x for x in (self.risk, self.risk_low, self.risk_high)]
        fewer = "fewer" if self.difference < 0 else "more"
        one = MISSING if self.nnt is None else f"one event {fewer} for {self._people()} treated"
        lines = [
            Line(name, (f"{format_number(middle, 0)} per 1,000",
                        f"{share} CI {format_interval(low, high, 0)}"))
            for name, (middle, low, high) in (("treated", risks), ("difference", per))
        ]  # fmt: skip
        lines.append(Line("NNT", (one, f"{share} CI {self._bounds()}")))
        baseline = f"baseline risk {format_number(1000 * self.baseline_risk, 0)} per 1,000"
        label = find_measure(self.measure).label.lower()
        return Printed(f"AbsoluteEffect: {label}, {baseline}", lines)

    def _people(self) -> str:
        return format_number(self.nnt, 0 if (self.nnt or 0) >= 10 else 1)

    def _bounds(self) -> str:
        """Return the interval; one that holds no difference runs through infinity."""
        low, high = self.difference_low, self.difference_high
        ends = [
            MISSING if x == 0 else format_number(1 / abs(x), 0 if abs(x) <= 0.1 else 1)
            for x in (low, high)
        ]
        if low < 0 < high:
            return f"one fewer for {ends[0]}, through no difference, to one more for {ends[1]}"
        return f"{ends[0]} to {ends[1]}" if low < 0 else f"{ends[1]} to {ends[0]}"


def absolute_effect(
    fit: Any, baseline_risk: float, *, measure: Measure | str | None = None
) -> AbsoluteEffect:
    """Return what a pooled ratio or risk difference means at a stated risk under control.

    Parameters
    ----------
    fit : result with ``estimate``, ``ci_low``, ``ci_high``
        Such as that of ``random_effects``, ``mantel_haenszel`` or ``bayes_random_effects``.
    baseline_risk : float
        Risk of the event without the treatment, strictly between 0 and 1. It is a choice: state
        where it comes from, and show a low and a high one where people differ.
    measure : {"OR", "PETO", "RR", "RD", "HR"}, optional
        That of the fit when not given.

    Returns
    -------
    AbsoluteEffect

    Raises
    ------
    UsageError
        A measure from which no risk follows, or a risk that is not a share.
    NotEstimableError
        A fit without an interval.

    Notes
    -----
    With p the baseline risk: odds ratio ``p / (1 - p) OR`` as odds; risk ratio ``p RR``; risk
    difference ``p + RD``; hazard ratio ``1 - (1 - p)**HR``; risks are kept between 0 and 1. Only
    the relative effect is uncertain here; the baseline risk is taken as it is given. An interval
    of the number needed to treat that holds no difference runs through infinity (Altman 1998).

    References
    ----------
    Altman DG (1998). Confidence intervals for the number needed to treat. BMJ 317, 1309-1312.
    doi:10.1136/bmj.317.7168.1309; Cochrane Handbook version 6, chapter 15.

    Examples
    --------
    >>> from ketameta.models.pooling import random_effects
    >>> fit = random_effects([-0.9, -0.7, -1.1], [0.05, 0.04, 0.08], measure="RR")
    >>> round(absolute_effect(fit, 0.2).nnt, 1)
    8.7
    """
    p = check_share("baseline_risk", baseline_risk)
    found = measure if measure is not None else getattr(fit, "measure", None)
    if found is None:
        raise UsageError("the fit does not say its measure; give measure=, such as 'RR'")
    code = Measure(check_choice("measure", str(found), [m.value for m in ABSOLUTE_MEASURES]))
    parts = [getattr(fit, name, None) for name in ("estimate", "ci_low", "ci_high")]
    if any(part is None for part in parts):
        raise NotEstimableError("the fit has no estimate with an interval")
    risk, low, high = (_risk(code, p, float(part)) for part in parts if part is not None)
    difference = risk - p
    return AbsoluteEffect(
        measure=code.value,
        baseline_risk=p,
        risk=risk,
        risk_low=low,
        risk_high=high,
        difference=difference,
        difference_low=low - p,
        difference_high=high - p,
        nnt=None if difference == 0 else 1 / abs(difference),
        level=float(getattr(fit, "level", 0.95)),
    )


def _risk(measure: Measure, p: float, effect: float) -> float:
    """Return the risk under treatment from that under control."""
    if measure in (Measure.OR, Measure.PETO):
        log_odds = math.log(p) - math.log1p(-p) + effect
        return 0.5 * (1 + math.tanh(log_odds / 2))
    if measure is Measure.HR:
        return -math.expm1(math.log1p(-p) * math.exp(effect))
    value = p * math.exp(effect) if measure is Measure.RR else p + effect
    return min(1.0, max(0.0, value))
