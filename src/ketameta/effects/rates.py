"""Events in time of one or two arms: rates, rate ratios and hazard ratios."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Bools, EffectSize, Floats, Problems, columns, effect
from ketameta.effects.conversions.uncertainty import log_se_from_ci
from ketameta.effects.events import DOUBLE_ZERO_RULES, ZERO_CELL_RULES, check_correction
from ketameta.errors import NotEstimableError, check_choice
from ketameta.measures import Measure


def _check(problems: Problems, suffix: str, events: Floats, time: Floats) -> None:
    problems.add(f"time{suffix}", time, time <= 0, "> 0")
    problems.add_tiny(f"events{suffix}", events)
    problems.add(f"events{suffix}", events, events < 0, "0 or more")


def _added(rule: str, correction: float, zero: Bools, what: str) -> tuple[Floats, Bools]:
    """Return what is added to the events of each row, and where."""
    check_choice("zero_cells", rule, ZERO_CELL_RULES)
    constant = check_correction(correction)
    if rule == "none" and zero.any():
        listed = ", ".join(str(i) for i in np.flatnonzero(zero)[:10])
        raise NotEstimableError(
            f"the {what} is not defined at position {listed}, where there are no events; choose"
            " zero_cells='only0' or 'all'"
        )
    chosen = {"only0": zero, "all": np.ones(zero.size, dtype=bool)}
    corrected = chosen.get(rule, np.zeros(zero.size, dtype=bool))
    return np.where(corrected, constant, 0.0), corrected


def log_rate(
    events: ArrayLike, time: ArrayLike, *, zero_cells: str = "only0", correction: float = 0.5
) -> EffectSize:
    """Logarithm of an incidence rate of one group, and its variance.

    Parameters
    ----------
    events : array_like of shape (k,)
        Events, 0 or more; one person may have several.
    time : array_like of shape (k,)
        Time at risk, such as person-years, > 0; its unit is that of the rate.
    zero_cells : {"only0", "all", "none"}
        Where ``correction`` is added to the events: where there are none, everywhere, or nowhere.
    correction : float
        The constant.

    Returns
    -------
    EffectSize
        The natural logarithm of events per unit of time.

    Raises
    ------
    ImpossibleDataError
        If events are negative or a time is not positive; every position is listed.
    NotEstimableError
        If there are no events and nothing is added.
    UsageError
        If a rule is not one of the choices.

    Notes
    -----
    ``log(events / time)`` with variance ``1 / events``. Same as metafor ``escalc(measure="IRLN")``.

    Examples
    --------
    >>> print(log_rate(10, 200.0).estimate.round(4), log_rate(10, 200.0).variance)
    [-2.9957] [0.1]
    """
    x, t = columns(events=events, time=time)
    problems = Problems()
    _check(problems, "", x, t)
    problems.check()
    add, corrected = _added(zero_cells, correction, x == 0, "log rate")
    return effect(Measure.IRLN, np.log((x + add) / t), 1 / (x + add), corrected=corrected)


def log_rate_ratio(
    events_treatment: ArrayLike,
    time_treatment: ArrayLike,
    events_control: ArrayLike,
    time_control: ArrayLike,
    *,
    zero_cells: str = "only0",
    double_zeros: str = "keep",
    correction: float = 0.5,
) -> EffectSize:
    """Logarithm of the ratio of two incidence rates, and its variance.

    Parameters
    ----------
    events_treatment, events_control : array_like of shape (k,)
        Events, 0 or more.
    time_treatment, time_control : array_like of shape (k,)
        Time at risk, in one unit within a comparison, > 0.
    zero_cells : {"only0", "all", "none"}
        Comparisons in which ``correction`` is added to the events of both arms: those where an arm
        has none, every one, or none.
    double_zeros : {"keep", "drop"}
        Whether comparisons without events in both arms are kept; ``positions`` of the result says
        which remain.
    correction : float
        The constant.

    Returns
    -------
    EffectSize
        ``estimate`` is negative where the rate is lower under treatment.

    Raises
    ------
    ImpossibleDataError, NotEstimableError, UsageError
        As in :func:`log_rate`.

    Notes
    -----
    ``log(x1 / t1) - log(x2 / t2)`` with variance ``1/x1 + 1/x2``. Same as metafor
    ``escalc(measure="IRR")``; ``double_zeros="drop"`` is its ``drop00=TRUE``.

    References
    ----------
    Rothman, Greenland & Lash (2008), Modern Epidemiology, 3rd ed.

    Examples
    --------
    >>> irr = log_rate_ratio([5, 0], [100, 80], [10, 4], [100, 90])
    >>> print(irr.estimate.round(4), irr.variance.round(4))
    [-0.6931 -2.0794] [0.3    2.2222]
    """
    double_rule = check_choice("double_zeros", double_zeros, DOUBLE_ZERO_RULES)
    x1, t1, x2, t2 = columns(
        events_treatment=events_treatment,
        time_treatment=time_treatment,
        events_control=events_control,
        time_control=time_control,
    )
    problems = Problems()
    _check(problems, "_treatment", x1, t1)
    _check(problems, "_control", x2, t2)
    problems.check()
    double = (x1 == 0) & (x2 == 0)
    at = np.flatnonzero(~double) if double_rule == "drop" else np.arange(x1.size)
    x1, t1, x2, t2 = x1[at], t1[at], x2[at], t2[at]
    add, corrected = _added(zero_cells, correction, (x1 == 0) | (x2 == 0), "log rate ratio")
    x1, x2 = x1 + add, x2 + add
    return effect(Measure.IRR, np.log(x1 / t1) - np.log(x2 / t2), 1 / x1 + 1 / x2, at, corrected)


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
    return effect(Measure.HR, *_log_and_variance("hr", hr, ci_low, ci_high, level))


def log_ratio_from_ci(
    ratio: ArrayLike,
    ci_low: ArrayLike,
    ci_high: ArrayLike,
    *,
    level: float = 0.95,
    measure: str = "OR",
) -> EffectSize:
    """Logarithm of a printed odds, risk or rate ratio, with the variance its interval implies.

    Parameters
    ----------
    ratio, ci_low, ci_high : array_like of shape (k,)
        Ratio (treatment over control) and its confidence interval, as printed, > 0.
    level : float
        Confidence level of the intervals, a share of one.
    measure : {"OR", "RR", "IRR"}
        What the ratio is of.

    Returns
    -------
    EffectSize

    Raises
    ------
    ImpossibleDataError
        If a value is not finite and positive, or a ratio lies outside of its interval.

    Notes
    -----
    ``log(ratio)`` with standard error ``(log(ci_high) - log(ci_low)) / (2 z)``, as for a hazard
    ratio. Cochrane Handbook, section 6.3.2.

    Examples
    --------
    >>> found = log_ratio_from_ci(0.7, 0.5, 0.98)
    >>> print(found.estimate.round(4), found.variance.round(4))
    [-0.3567] [0.0295]
    """
    of = Measure(check_choice("measure", measure, ("OR", "RR", "IRR")))
    return effect(of, *_log_and_variance("ratio", ratio, ci_low, ci_high, level))


def _log_and_variance(
    name: str, ratio: ArrayLike, ci_low: ArrayLike, ci_high: ArrayLike, level: float
) -> tuple[Floats, Floats]:
    value, low, high = columns(**{name: ratio}, ci_low=ci_low, ci_high=ci_high)
    problems = Problems()
    problems.add(name, value, value <= 0, "> 0")
    outside = (value > 0) & (low > 0) & ((value < low) | (value > high))
    problems.add(name, value, outside, "between ci_low and ci_high")
    problems.check()
    return np.log(value), log_se_from_ci(low, high, level) ** 2


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
