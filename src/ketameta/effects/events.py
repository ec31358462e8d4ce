"""Two independent arms with events: odds ratios, risk ratios, risk differences, rates, hazards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import (
    LARGEST,
    Bools,
    EffectSize,
    Floats,
    Problems,
    as_number,
    checked,
    columns,
    effect,
)
from ketameta.effects.conversions.spread import log_se_from_ci
from ketameta.errors import NotEstimableError, UsageError, check_choice
from ketameta.formatting import first_names
from ketameta.measures import Measure

#: Comparisons that receive the zero-cell constant: those with a zero cell, every one, or none.
ZERO_CELL_RULES = ("only0", "all", "none")
#: Comparisons without events, or with nothing but events, in both arms: kept or left out.
DOUBLE_ZERO_RULES = ("keep", "drop")


def check_events(
    events_treatment: ArrayLike,
    n_treatment: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    arms: tuple[str, str] = ("treatment", "control"),
) -> tuple[Floats, ...]:
    """Return the four arguments as arrays when ``0 <= events <= n`` and ``n > 0`` in both arms.

    ``arms`` completes the names ``events_`` and ``n_`` in messages.
    """
    names = [f"{word}_{arm}" for arm in arms for word in ("events", "n")]
    given = (events_treatment, n_treatment, events_control, n_control)
    return checked(0, **dict(zip(names, given, strict=True)))


def check_correction(correction: float) -> float:
    """Return the constant that is added to zero cells when it is a number above 0."""
    value = as_number("correction", correction)
    if not 0 < value <= LARGEST:
        raise UsageError(f"correction is {correction!r}; it is a number > 0, usually 0.5")
    return value


def added_to_zeros(
    rule: str,
    correction: float,
    zero: Bools,
    what: str,
    undefined: str = "is not defined",
    where: str = "where there are no events",
) -> tuple[Floats, Bools]:
    """Return what a rule for zeros adds to the events of each row, and where.

    With a ``what`` the rule that adds nothing is refused where a row is ``zero``.
    """
    check_choice("zero_cells", rule, ZERO_CELL_RULES)
    constant = check_correction(correction)
    if what and rule == "none" and zero.any():
        listed = first_names([str(i) for i in np.flatnonzero(zero)])
        raise NotEstimableError(
            f"the {what} {undefined} at position {listed}, {where}; choose"
            " zero_cells='only0' or 'all'"
        )
    corrected = zero.copy() if rule == "only0" else np.full(zero.size, rule == "all")
    return np.where(corrected, constant, 0.0), corrected


def zero_cells_of(e1: Floats, n1: Floats, e2: Floats, n2: Floats) -> tuple[Bools, Bools]:
    """Return which comparisons have any zero cell, and which are double zeros.

    A double zero has no event in either arm, or no participant without the event in either arm.
    """
    none, every = (e1 == 0, e2 == 0), (e1 == n1, e2 == n2)
    any_zero = none[0] | none[1] | every[0] | every[1]
    return any_zero, (none[0] & none[1]) | (every[0] & every[1])


#: Cells a, b, c, d to an estimate, its variance and where neither is defined.
_Formula: TypeAlias = Callable[[Floats, Floats, Floats, Floats], tuple[Floats, Floats, Bools]]


class _OfTables(Protocol):
    __name__: str

    def __call__(
        self,
        events_treatment: ArrayLike,
        n_treatment: ArrayLike,
        events_control: ArrayLike,
        n_control: ArrayLike,
        *,
        zero_cells: str = "only0",
        double_zeros: str = "keep",
        correction: float = 0.5,
    ) -> EffectSize: ...


def _of_tables(measure: Measure, words: str) -> Callable[[_Formula], _OfTables]:
    """Make a measure of two-by-two tables from the formula of their cells."""

    def door(formula: _Formula) -> _OfTables:
        def measured(
            events_treatment: ArrayLike,
            n_treatment: ArrayLike,
            events_control: ArrayLike,
            n_control: ArrayLike,
            *,
            zero_cells: str = "only0",
            double_zeros: str = "keep",
            correction: float = 0.5,
        ) -> EffectSize:
            check_choice("double_zeros", double_zeros, DOUBLE_ZERO_RULES)
            table = check_events(events_treatment, n_treatment, events_control, n_control)
            zero, double = zero_cells_of(*table)
            at = np.flatnonzero(~double) if double_zeros == "drop" else np.arange(double.size)
            add, corrected = added_to_zeros(zero_cells, correction, zero[at], "")
            e1, n1, e2, n2 = (column[at] for column in table)
            with np.errstate(divide="ignore", invalid="ignore"):
                estimate, variance, undefined = formula(
                    e1 + add, n1 - e1 + add, e2 + add, n2 - e2 + add
                )
            if (where := at[undefined]).size:
                listed = first_names([str(i) for i in where])
                raise NotEstimableError(
                    f"the {words} or its variance is not defined at position {listed} because of"
                    " zero cells; choose zero_cells='only0' or 'all', or double_zeros='drop'"
                )
            return effect(measure, estimate, variance, at, corrected)

        measured.__name__ = measured.__qualname__ = formula.__name__
        measured.__doc__ = formula.__doc__
        return measured

    return door


@_of_tables(Measure.OR, "log odds ratio")
def log_odds_ratio(a: Floats, b: Floats, c: Floats, d: Floats) -> tuple[Floats, Floats, Bools]:
    """Logarithm of the odds ratio of two independent arms, and its variance.

    Parameters
    ----------
    events_treatment, events_control : array_like of shape (k,)
        Participants with the event, between 0 and n.
    n_treatment, n_control : array_like of shape (k,)
        Participants at risk, > 0.
    zero_cells : {"only0", "all", "none"}
        Comparisons in which ``correction`` is added to all four cells: those with a zero cell,
        all of them, or none.
    double_zeros : {"keep", "drop"}
        Whether comparisons with no event (or nothing but events) in both arms are kept, and
        corrected like the others, or left out; ``positions`` of the result says which remain.
    correction : float
        Constant added to each cell.

    Returns
    -------
    EffectSize
        ``estimate`` is negative where the event is rarer under treatment; ``corrected`` says where
        the constant was added.

    Raises
    ------
    ImpossibleDataError
        If events are negative or above n, or n is not positive; every position is listed.
    NotEstimableError
        If a zero cell is left uncorrected.
    UsageError
        If a rule is not one of the choices.

    Notes
    -----
    ``log(a d / (b c))`` with variance ``1/a + 1/b + 1/c + 1/d``. Same as metafor
    ``escalc(measure="OR", add=1/2, to="only0")``; ``double_zeros="drop"`` is its
    ``drop00=TRUE``. A corrected double zero carries no information on the odds ratio; for rare
    events see :mod:`ketameta.models.rare_events.mantel_haenszel`.

    References
    ----------
    Woolf (1955), Ann. Hum. Genet. 19(4), 251-253 (variance); Cochrane Handbook version 6,
    section 10.4.4 (zero cells).

    Examples
    --------
    >>> lor = log_odds_ratio([4, 0], [20, 15], [9, 3], [21, 15])
    >>> print(lor.estimate.round(4), lor.variance.round(4), lor.corrected)
    [-1.0986 -2.161 ] [0.5069 2.4302] [False  True]
    """
    undefined = (a == 0) | (b == 0) | (c == 0) | (d == 0)
    return np.log(a / b) - np.log(c / d), 1 / a + 1 / b + 1 / c + 1 / d, undefined


@_of_tables(Measure.RR, "log risk ratio")
def log_risk_ratio(a: Floats, b: Floats, c: Floats, d: Floats) -> tuple[Floats, Floats, Bools]:
    """Logarithm of the risk ratio of two independent arms, and its variance.

    Parameters
    ----------
    events_treatment, n_treatment, events_control, n_control, zero_cells, double_zeros, correction
        As in :func:`log_odds_ratio`.

    Returns
    -------
    EffectSize
        ``estimate`` is negative where the event is rarer under treatment.

    Raises
    ------
    ImpossibleDataError, NotEstimableError, UsageError
        As in :func:`log_odds_ratio`; also NotEstimableError where the variance is zero because
        everybody in both arms had the event and nothing was added.

    Notes
    -----
    ``log(a/n1) - log(c/n2)`` with variance ``1/a - 1/n1 + 1/c - 1/n2``, where n1 and n2 include
    what was added. Same as metafor ``escalc(measure="RR")``.

    References
    ----------
    Katz, Baptista, Azen & Pike (1978), Biometrics 34(3), 469-474. doi:10.2307/2530610

    Examples
    --------
    >>> lrr = log_risk_ratio(4, 20, 9, 21)
    >>> print(lrr.estimate.round(4), lrr.variance.round(4))
    [-0.7621] [0.2635]
    """
    n1, n2 = a + b, c + d
    undefined = (a == 0) | (c == 0) | ((b == 0) & (d == 0))
    return np.log(a / n1) - np.log(c / n2), b / (a * n1) + d / (c * n2), undefined


@_of_tables(Measure.RD, "risk difference")
def risk_difference(a: Floats, b: Floats, c: Floats, d: Floats) -> tuple[Floats, Floats, Bools]:
    """Difference of two independent risks, and its variance.

    Parameters
    ----------
    events_treatment, n_treatment, events_control, n_control, zero_cells, double_zeros, correction
        As in :func:`log_odds_ratio`.

    Returns
    -------
    EffectSize
        ``estimate`` is a share of one (0.1 is ten percentage points), treatment minus control.

    Raises
    ------
    ImpossibleDataError, NotEstimableError, UsageError
        As in :func:`log_odds_ratio`; NotEstimableError only where both risks are 0 or 1 and nothing
        was added, which makes the variance zero.

    Notes
    -----
    ``p1 - p2`` with variance ``p1 (1 - p1)/n1 + p2 (1 - p2)/n2``. Same as metafor
    ``escalc(measure="RD")``, which by default adds the constant to comparisons with a zero cell
    for this measure as well: the difference then shrinks. ``zero_cells="none"`` gives the plain
    difference wherever one arm has a risk strictly between 0 and 1.

    References
    ----------
    Cochrane Handbook version 6, section 6.4.1.2.

    Examples
    --------
    >>> rd = risk_difference(4, 20, 9, 21)
    >>> print(rd.estimate.round(4), rd.variance.round(4))
    [-0.2286] [0.0197]
    """
    n1, n2 = a + b, c + d
    variance = a * b / n1**3 + c * d / n2**3
    return a / n1 - c / n2, variance, variance == 0


@_of_tables(Measure.PETO, "Peto odds ratio")
def peto_log_odds_ratio(a: Floats, b: Floats, c: Floats, d: Floats) -> tuple[Floats, Floats, Bools]:
    """Log odds ratio of two independent arms by Peto's one-step method, and its variance.

    Parameters
    ----------
    events_treatment, n_treatment, events_control, n_control, zero_cells, double_zeros, correction
        As in :func:`log_odds_ratio`. ``zero_cells="none"`` is Peto's own rule: one zero cell does
        no harm.

    Returns
    -------
    EffectSize
        ``estimate`` is negative where the event is rarer under treatment.

    Raises
    ------
    ImpossibleDataError, NotEstimableError, UsageError
        As in :func:`log_odds_ratio`; NotEstimableError only where both arms have no event, or
        nothing but events, and nothing was added.

    Notes
    -----
    ``(O - E) / V`` with variance ``1 / V``, where O are the events under treatment and E and V
    their hypergeometric mean and variance. Same as metafor ``escalc(measure="PETO")``. Biased
    where the effect is large or the arms differ much in size; :func:`ketameta.peto` pools the
    counts.

    References
    ----------
    Yusuf, Peto, Lewis, Collins & Sleight (1985), Prog. Cardiovasc. Dis. 27(5), 335-371.
    doi:10.1016/S0033-0620(85)80003-7

    Examples
    --------
    >>> peto = peto_log_odds_ratio(4, 20, 9, 21)
    >>> print(peto.estimate.round(4), peto.variance.round(4))
    [-1.0298] [0.4398]
    """
    n1, n2 = a + b, c + d
    n = n1 + n2
    v = (a + c) * (b + d) * (n1 / n) * (n2 / n) / (n - 1)
    return (a - (a + c) * n1 / n) / v, 1 / v, v == 0


# --- in time -------------------------------------------------------------------------------------


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
    x1, t1, x2, t2 = checked(
        0, events_treatment=events_treatment, time_treatment=time_treatment,
        events_control=events_control, time_control=time_control,
    )  # fmt: skip
    double = (x1 == 0) & (x2 == 0)
    at = np.flatnonzero(~double) if double_rule == "drop" else np.arange(x1.size)
    x1, t1, x2, t2 = x1[at], t1[at], x2[at], t2[at]
    add, corrected = added_to_zeros(zero_cells, correction, (x1 == 0) | (x2 == 0), "log rate ratio")
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
    estimate, error = checked(0, log_hr=log_hr, se=se)
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
    difference, v = checked(0, observed_minus_expected=observed_minus_expected, variance=variance)
    return effect(Measure.HR, difference / v, 1 / v)
