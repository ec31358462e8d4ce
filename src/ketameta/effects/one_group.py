"""One group: proportions as they are, as log odds and by arcsine; rates, means, correlations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import EffectSize, checked, effect
from ketameta.effects.events import added_to_zeros
from ketameta.measures import Measure

#: What is not defined where nobody or everybody has the event.
_NONE_OR_ALL = ("or its variance is not defined", "where nobody or everybody has the event")


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
    x, size = checked(0, events=events, n=n)
    empty = (x == 0) | (x == size)
    add, corrected = added_to_zeros(zero_cells, correction, empty, "proportion", *_NONE_OR_ALL)
    x, size = x + add, size + 2 * add
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
    x, size = checked(0, events=events, n=n)
    empty = (x == 0) | (x == size)
    add, corrected = added_to_zeros(zero_cells, correction, empty, "log odds", *_NONE_OR_ALL)
    x, size = x + add, size + 2 * add
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
    x, size = checked(0, events=events, n=n)
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
    x, size = checked(0, events=events, n=n)
    parts = np.arcsin(np.sqrt(x / (size + 1))) + np.arcsin(np.sqrt((x + 1) / (size + 1)))
    return effect(Measure.PFT, parts / 2, 1 / (4 * size + 2))


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
    x, t = checked(0, events=events, time=time)
    add, corrected = added_to_zeros(zero_cells, correction, x == 0, "log rate")
    return effect(Measure.IRLN, np.log((x + add) / t), 1 / (x + add), corrected=corrected)


def single_mean(mean: ArrayLike, sd: ArrayLike, n: ArrayLike) -> EffectSize:
    """Mean of one group, in points of its scale, and its variance.

    Parameters
    ----------
    mean : array_like of shape (k,)
    sd : array_like of shape (k,)
        Standard deviation of the scores, > 0.
    n : array_like of shape (k,)
        Participants analysed, >= 2.

    Returns
    -------
    EffectSize
        Variance ``sd**2 / n``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SD is not positive or a group has fewer than two participants.

    Notes
    -----
    Same as metafor ``escalc(measure="MN")``.

    Examples
    --------
    >>> print(single_mean(12.0, 4.0, 16).variance)
    [1.]
    """
    m, s, size = checked(2, mean=mean, sd=sd, n=n)
    return effect(Measure.MN, m, s**2 / size)


def correlation(correlation: ArrayLike, n: ArrayLike) -> EffectSize:
    """Pearson correlations and their large-sample variances.

    Parameters
    ----------
    correlation : array_like of shape (k,)
        Strictly between -1 and 1.
    n : array_like of shape (k,)
        Pairs of values, > 3.

    Returns
    -------
    EffectSize

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, a correlation is not strictly between -1 and 1 or n is below 4.

    Notes
    -----
    Variance ``(1 - r**2)**2 / (n - 1)``. Same as metafor ``escalc(measure="COR")``. It depends
    on r, so that large correlations weigh too much; :func:`fisher_z` is usual.

    Examples
    --------
    >>> print(correlation(0.5, 28).variance.round(5))
    [0.02083]
    """
    r, size = checked(4, correlation=correlation, n=n)
    return effect(Measure.COR, r, (1 - r**2) ** 2 / (size - 1))


def fisher_z(correlation: ArrayLike, n: ArrayLike) -> EffectSize:
    """Fisher's z of Pearson correlations, and its variance.

    Parameters
    ----------
    correlation, n : array_like of shape (k,)
        As in :func:`correlation`.

    Returns
    -------
    EffectSize
        The inverse hyperbolic tangent; results print the correlation.

    Raises
    ------
    ImpossibleDataError
        As in :func:`correlation`.

    Notes
    -----
    ``atanh(r)`` with variance ``1 / (n - 3)``. Same as metafor ``escalc(measure="ZCOR")``.

    References
    ----------
    Fisher (1921), Metron 1, 3-32.

    Examples
    --------
    >>> print(fisher_z(0.5, 28).estimate.round(4), fisher_z(0.5, 28).variance)
    [0.5493] [0.04]
    """
    r, size = checked(4, correlation=correlation, n=n)
    return effect(Measure.ZCOR, np.arctanh(r), 1 / (size - 3))
