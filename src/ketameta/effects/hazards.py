"""Times to an event: log hazard ratios from what a source prints of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Problems, columns
from ketameta.effects.conversions.uncertainty import log_se_from_ci
from ketameta.effects.value import EffectSize, effect
from ketameta.measures import Measure


def log_hazard_ratio(
    hr: ArrayLike, ci_low: ArrayLike, ci_high: ArrayLike, *, level: float = 0.95
) -> EffectSize:
    """Logarithm of a printed hazard ratio, with the variance its interval implies.

    Parameters
    ----------
    hr, ci_low, ci_high : array_like of shape (k,)
        Hazard ratio (treatment over control) and its confidence interval, as ratios, > 0.
    level : float
        Confidence level of the intervals, a share of one.

    Returns
    -------
    EffectSize
        ``estimate`` is negative where events come later under treatment.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite and positive, or a ratio lies outside of its interval.
    UsageError
        If the level is not a share.

    Notes
    -----
    ``log(hr)`` with standard error ``(log(ci_high) - log(ci_low)) / (2 z)``.

    References
    ----------
    Tierney, Stewart, Ghersi, Burdett & Sydes (2007), Trials 8, 16. doi:10.1186/1745-6215-8-16


    Examples
    --------
    >>> hr = log_hazard_ratio(0.7, 0.5, 0.98)
    >>> print(hr.estimate.round(4), hr.variance.round(4))
    [-0.3567] [0.0295]
    """
    ratio, low, high = columns(hr=hr, ci_low=ci_low, ci_high=ci_high)
    problems = Problems()
    problems.add("hr", ratio, ratio <= 0, "> 0")
    outside = (ratio > 0) & (low > 0) & ((ratio < low) | (ratio > high))
    problems.add("hr", ratio, outside, "between ci_low and ci_high")
    problems.check()
    return effect(Measure.HR, np.log(ratio), log_se_from_ci(low, high, level) ** 2)


def log_hazard_ratio_from_se(log_hr: ArrayLike, se: ArrayLike) -> EffectSize:
    """Log hazard ratios with their standard errors, as Cox models print them.

    Parameters
    ----------
    log_hr, se : array_like of shape (k,)
        Coefficient and standard error (> 0), both on the log scale.

    Returns
    -------
    EffectSize

    Raises
    ------
    ImpossibleDataError
        If a value is not finite or a standard error is not positive.

    Examples
    --------
    >>> print(log_hazard_ratio_from_se(-0.4, 0.2).variance.round(4))
    [0.04]
    """
    estimate, error = columns(log_hr=log_hr, se=se)
    problems = Problems()
    problems.add("se", error, error <= 0, "> 0")
    problems.check()
    return effect(Measure.HR, estimate, error**2)


def log_hazard_ratio_from_logrank(
    observed_minus_expected: ArrayLike, variance: ArrayLike
) -> EffectSize:
    """Log hazard ratio from the log-rank statistic, by Peto's approximation.

    Parameters
    ----------
    observed_minus_expected : array_like of shape (k,)
        Observed less expected events of the treatment arm.
    variance : array_like of shape (k,)
        Of that difference (V of the log-rank test, not of the log hazard ratio), > 0.

    Returns
    -------
    EffectSize
        ``(O - E) / V`` with variance ``1 / V``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite or a variance is not positive.

    Notes
    -----
    Close to the hazard ratio while that is near 1.

    References
    ----------
    Yusuf, Peto, Lewis, Collins & Sleight (1985), Prog. Cardiovasc. Dis. 27(5), 335-371.
    doi:10.1016/S0033-0620(85)80003-7; Tierney et al. (2007), Trials 8, 16.

    Examples
    --------
    >>> hr = log_hazard_ratio_from_logrank(-6.0, 15.0)
    >>> print(hr.estimate, hr.variance.round(4))
    [-0.4] [0.0667]
    """
    difference, v = columns(observed_minus_expected=observed_minus_expected, variance=variance)
    problems = Problems()
    problems.add("variance", v, v <= 0, "> 0")
    problems.check()
    return effect(Measure.HR, difference / v, 1 / v)
