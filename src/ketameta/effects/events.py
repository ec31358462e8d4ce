"""Two independent arms with events: odds ratios, risk ratios, risk differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.effects.arrays import (
    LARGEST,
    Bools,
    EffectSize,
    Floats,
    Problems,
    as_number,
    columns,
    effect,
)
from ketameta.errors import NotEstimableError, UsageError, check_choice
from ketameta.measures import Measure

#: Comparisons that receive the zero-cell constant: those with a zero cell, every one, or none.
ZERO_CELL_RULES = ("only0", "all", "none")
#: Comparisons without events, or with nothing but events, in both arms: kept or left out.
DOUBLE_ZERO_RULES = ("keep", "drop")


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """The four cells after the zero-cell rule, and what the rule did."""

    a: Floats
    b: Floats
    c: Floats
    d: Floats
    positions: NDArray[np.int64]
    corrected: Bools


def check_events(
    events_treatment: ArrayLike,
    n_treatment: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    arms: tuple[str, str] = ("treatment", "control"),
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the four arguments as arrays when ``0 <= events <= n`` and ``n > 0`` in both arms.

    ``arms`` completes the names ``events_`` and ``n_`` in messages.

    Raises
    ------
    ImpossibleDataError
        Listing every argument and position that breaks a rule.
    """
    first, second = arms
    e1, n1, e2, n2 = columns(
        **{
            f"events_{first}": events_treatment,
            f"n_{first}": n_treatment,
            f"events_{second}": events_control,
            f"n_{second}": n_control,
        }
    )
    problems = Problems()
    for arm, events, n in ((first, e1, n1), (second, e2, n2)):
        problems.add(f"n_{arm}", n, n <= 0, "> 0")
        problems.add_tiny(f"events_{arm}", events)
        problems.add(f"events_{arm}", events, events < 0, "0 or more")
        problems.add(f"events_{arm}", events, (events > n) & (n > 0), f"at most n_{arm}")
    problems.check()
    return e1, n1, e2, n2


def check_correction(correction: float) -> float:
    """Return the constant that is added to zero cells when it is a number above 0."""
    value = as_number("correction", correction)
    if not 0 < value <= LARGEST:
        raise UsageError(f"correction is {correction!r}; it is a number > 0, usually 0.5")
    return value


def zero_cells_of(e1: Floats, n1: Floats, e2: Floats, n2: Floats) -> tuple[Bools, Bools]:
    """Return which comparisons have any zero cell, and which are double zeros.

    A double zero has no event in either arm, or no participant without the event in either arm.
    """
    any_zero = (e1 == 0) | (e2 == 0) | (e1 == n1) | (e2 == n2)
    double = ((e1 == 0) & (e2 == 0)) | ((e1 == n1) & (e2 == n2))
    return any_zero, double


def _cells(
    events_treatment: ArrayLike,
    n_treatment: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    zero_cells: str,
    double_zeros: str,
    correction: float,
) -> _Cells:
    rule = check_choice("zero_cells", zero_cells, ZERO_CELL_RULES)
    double_rule = check_choice("double_zeros", double_zeros, DOUBLE_ZERO_RULES)
    correction = check_correction(correction)
    e1, n1, e2, n2 = check_events(events_treatment, n_treatment, events_control, n_control)
    any_zero, double = zero_cells_of(e1, n1, e2, n2)
    positions = np.flatnonzero(~double) if double_rule == "drop" else np.arange(e1.size)
    e1, n1, e2, n2 = e1[positions], n1[positions], e2[positions], n2[positions]
    chosen = {"only0": any_zero[positions], "all": np.ones(e1.size, dtype=bool)}
    corrected = chosen.get(rule, np.zeros(e1.size, dtype=bool))
    add = np.where(corrected, correction, 0.0)
    return _Cells(e1 + add, n1 - e1 + add, e2 + add, n2 - e2 + add, positions, corrected)


def _refuse(measure: str, broken: Bools, cells: _Cells) -> None:
    where = cells.positions[broken]
    if where.size:
        listed = ", ".join(str(i) for i in where[:10]) + (" ..." if where.size > 10 else "")
        raise NotEstimableError(
            f"the {measure} or its variance is not defined at position {listed} because of zero "
            "cells; choose zero_cells='only0' or 'all', or double_zeros='drop'"
        )


def log_odds_ratio(
    events_treatment: ArrayLike,
    n_treatment: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    zero_cells: str = "only0",
    double_zeros: str = "keep",
    correction: float = 0.5,
) -> EffectSize:
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
    cells = _cells(
        events_treatment, n_treatment, events_control, n_control,
        zero_cells, double_zeros, correction,
    )  # fmt: skip
    a, b, c, d = cells.a, cells.b, cells.c, cells.d
    _refuse("log odds ratio", (a == 0) | (b == 0) | (c == 0) | (d == 0), cells)
    return effect(
        Measure.OR,
        np.log(a / b) - np.log(c / d),
        1 / a + 1 / b + 1 / c + 1 / d,
        cells.positions,
        cells.corrected,
    )


def log_risk_ratio(
    events_treatment: ArrayLike,
    n_treatment: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    zero_cells: str = "only0",
    double_zeros: str = "keep",
    correction: float = 0.5,
) -> EffectSize:
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
    cells = _cells(
        events_treatment, n_treatment, events_control, n_control,
        zero_cells, double_zeros, correction,
    )  # fmt: skip
    a, b, c, d = cells.a, cells.b, cells.c, cells.d
    _refuse("log risk ratio", (a == 0) | (c == 0) | ((b == 0) & (d == 0)), cells)
    return effect(
        Measure.RR,
        np.log(a / (a + b)) - np.log(c / (c + d)),
        b / (a * (a + b)) + d / (c * (c + d)),
        cells.positions,
        cells.corrected,
    )


def risk_difference(
    events_treatment: ArrayLike,
    n_treatment: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    zero_cells: str = "only0",
    double_zeros: str = "keep",
    correction: float = 0.5,
) -> EffectSize:
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
    cells = _cells(
        events_treatment, n_treatment, events_control, n_control,
        zero_cells, double_zeros, correction,
    )  # fmt: skip
    a, b, c, d = cells.a, cells.b, cells.c, cells.d
    n1, n2 = a + b, c + d
    variance = a * b / n1**3 + c * d / n2**3
    _refuse("risk difference", variance == 0, cells)
    return effect(Measure.RD, a / n1 - c / n2, variance, cells.positions, cells.corrected)


def peto_log_odds_ratio(
    events_treatment: ArrayLike,
    n_treatment: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    zero_cells: str = "only0",
    double_zeros: str = "keep",
    correction: float = 0.5,
) -> EffectSize:
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
    cells = _cells(
        events_treatment, n_treatment, events_control, n_control,
        zero_cells, double_zeros, correction,
    )  # fmt: skip
    a, b, c, d = cells.a, cells.b, cells.c, cells.d
    n1, n2 = a + b, c + d
    n = n1 + n2
    v = (a + c) * (b + d) * (n1 / n) * (n2 / n) / (n - 1)
    _refuse("Peto odds ratio", v == 0, cells)
    return effect(Measure.PETO, (a - (a + c) * n1 / n) / v, 1 / v, cells.positions, cells.corrected)
