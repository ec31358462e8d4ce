"""One group with events: proportions as they are, as log odds, and by arcsine."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Bools, EffectSize, Floats, Problems, columns, effect
from ketameta.effects.events import ZERO_CELL_RULES, check_correction
from ketameta.errors import NotEstimableError, check_choice
from ketameta.measures import Measure


def _counts(events: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    x, size = columns(events=events, n=n)
    problems = Problems()
    problems.add("n", size, size <= 0, "> 0")
    problems.add_tiny("events", x)
    problems.add("events", x, x < 0, "0 or more")
    problems.add("events", x, (x > size) & (size > 0), "at most n")
    problems.check()
    return x, size


def _corrected(
    events: ArrayLike, n: ArrayLike, zero_cells: str, correction: float, what: str
) -> tuple[Floats, Floats, Bools]:
    """Return events, people and where the constant was added to both cells."""
    rule = check_choice("zero_cells", zero_cells, ZERO_CELL_RULES)
    constant = check_correction(correction)
    x, size = _counts(events, n)
    empty = (x == 0) | (x == size)
    if rule == "none" and empty.any():
        listed = ", ".join(str(i) for i in np.flatnonzero(empty)[:10])
        raise NotEstimableError(
            f"the {what} or its variance is not defined at position {listed}, where nobody or"
            " everybody has the event; choose zero_cells='only0' or 'all'"
        )
    chosen = {"only0": empty, "all": np.ones(x.size, dtype=bool)}
    corrected = chosen.get(rule, np.zeros(x.size, dtype=bool))
    add = np.where(corrected, constant, 0.0)
    return x + add, size + 2 * add, corrected


def proportion(
    events: ArrayLike, n: ArrayLike, *, zero_cells: str = "only0", correction: float = 0.5
) -> EffectSize:
    """Share of one group that has the event, and its variance.

    Parameters
    ----------
    events : array_like of shape (k,)
        People with the event, between 0 and n.
    n : array_like of shape (k,)
        People in the group, > 0.
    zero_cells : {"only0", "all", "none"}
        Groups in which ``correction`` is added to those with and to those without the event: where
        nobody or everybody has it, everywhere, or nowhere.
    correction : float
        The constant.

    Returns
    -------
    EffectSize
        ``estimate`` is a share of one.

    Raises
    ------
    ImpossibleDataError
        If events are negative or above n, or n is not positive; every position is listed.
    NotEstimableError
        If nobody or everybody has the event and nothing is added: the variance would be 0.
    UsageError
        If a rule is not one of the choices.

    Notes
    -----
    ``p`` with variance ``p (1 - p) / n``, n including what was added. Same as metafor
    ``escalc(measure="PR")``. Intervals of a pooled proportion may leave 0 to 1; see
    :func:`log_odds`.

    Examples
    --------
    >>> share = proportion([3, 0], [20, 15])
    >>> print(share.estimate.round(4), share.variance.round(5), share.corrected)
    [0.15   0.0312] [0.00638 0.00189] [False  True]
    """
    x, size, corrected = _corrected(events, n, zero_cells, correction, "proportion")
    p = x / size
    return effect(Measure.PR, p, x * (size - x) / size**3, corrected=corrected)


def log_odds(
    events: ArrayLike, n: ArrayLike, *, zero_cells: str = "only0", correction: float = 0.5
) -> EffectSize:
    """Log odds of the event in one group, and its variance.

    Parameters
    ----------
    events, n, zero_cells, correction
        As in :func:`proportion`.

    Returns
    -------
    EffectSize
        The logit of the share; results print the share.

    Raises
    ------
    ImpossibleDataError, NotEstimableError, UsageError
        As in :func:`proportion`.

    Notes
    -----
    ``log(p / (1 - p))`` with variance ``1/events + 1/(n - events)``. Same as metafor
    ``escalc(measure="PLO")``.

    Examples
    --------
    >>> print(log_odds(3, 20).estimate.round(4), log_odds(3, 20).variance.round(4))
    [-1.7346] [0.3922]
    """
    x, size, corrected = _corrected(events, n, zero_cells, correction, "log odds")
    return effect(Measure.PLO, np.log(x / (size - x)), 1 / x + 1 / (size - x), corrected=corrected)


def arcsine_proportion(events: ArrayLike, n: ArrayLike) -> EffectSize:
    """Arcsine of the square root of the share with the event, and its variance.

    Parameters
    ----------
    events, n : array_like of shape (k,)
        As in :func:`proportion`; nothing is added to zeros.

    Returns
    -------
    EffectSize
        In radians, between 0 and pi / 2.

    Raises
    ------
    ImpossibleDataError
        As in :func:`proportion`.

    Notes
    -----
    ``asin(sqrt(p))`` with variance ``1 / (4 n)``. Same as metafor ``escalc(measure="PAS")``.

    References
    ----------
    Rücker, Schwarzer, Carpenter & Olkin (2009), Stat. Med. 28(5), 721-738. doi:10.1002/sim.3511

    Examples
    --------
    >>> print(arcsine_proportion([0, 5], [10, 10]).estimate.round(4))
    [0.     0.7854]
    """
    x, size = _counts(events, n)
    return effect(Measure.PAS, np.arcsin(np.sqrt(x / size)), 1 / (4 * size))


def double_arcsine_proportion(events: ArrayLike, n: ArrayLike) -> EffectSize:
    """Freeman-Tukey double arcsine of the share with the event, and its variance.

    Parameters
    ----------
    events, n : array_like of shape (k,)
        As in :func:`proportion`; nothing is added to zeros.

    Returns
    -------
    EffectSize
        In radians. Results turn it back at the harmonic mean of the numbers of people.

    Raises
    ------
    ImpossibleDataError
        As in :func:`proportion`.

    Notes
    -----
    ``(asin(sqrt(x / (n + 1))) + asin(sqrt((x + 1) / (n + 1)))) / 2`` with variance
    ``1 / (4 n + 2)``. Same as metafor ``escalc(measure="PFT")``. Where groups differ much in size
    the share read back depends on the size it is turned back at (Schwarzer et al. 2019); log odds
    have no such choice.

    References
    ----------
    Freeman & Tukey (1950), Ann. Math. Stat. 21(4), 607-611. doi:10.1214/aoms/1177729756;
    Miller (1978), Am. Stat. 32(4), 138. doi:10.1080/00031305.1978.10479283;
    Schwarzer, Chemaitelly, Abu-Raddad & Rücker (2019), Res. Synth. Methods 10(3), 476-483.
    doi:10.1002/jrsm.1348

    Examples
    --------
    >>> print(double_arcsine_proportion([0, 5], [10, 10]).estimate.round(4))
    [0.1531 0.7854]
    """
    x, size = _counts(events, n)
    parts = np.arcsin(np.sqrt(x / (size + 1))) + np.arcsin(np.sqrt((x + 1) / (size + 1)))
    return effect(Measure.PFT, parts / 2, 1 / (4 * size + 2))
