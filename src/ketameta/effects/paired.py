"""The same people twice: change from before to after, and crossover trials."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import EffectSize, Floats, Problems, columns, effect
from ketameta.effects.means import hedges_j
from ketameta.measures import Measure


def _pair_rules(n: Floats, correlation: Floats, fewest: int = 2) -> Problems:
    problems = Problems()
    problems.add("n", n, n < fewest, f"{fewest} or more")
    problems.add("correlation", correlation, np.abs(correlation) >= 1, "strictly between -1 and 1")
    return problems


def standardized_mean_change(
    mean_before: ArrayLike,
    mean_after: ArrayLike,
    sd_before: ArrayLike,
    n: ArrayLike,
    correlation: ArrayLike,
) -> EffectSize:
    """Standardised change of one group, in units of its SD before (raw-score standardisation).

    Parameters
    ----------
    mean_before, mean_after : array_like of shape (k,)
        Means of the same people, in points of the same scale.
    sd_before : array_like of shape (k,)
        Standard deviation before, in scale points, > 0.
    n : array_like of shape (k,)
        People measured both times, >= 3.
    correlation : array_like of shape (k,)
        Correlation of the scores before and after, strictly between -1 and 1. Rarely printed;
        where it is assumed, the variance rests on the assumption (the estimate does not).

    Returns
    -------
    EffectSize
        ``estimate`` is **after minus before**: negative where scores fell.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SD is not positive, n is below 3, or a correlation is not
        strictly between -1 and 1.

    Notes
    -----
    ``J(n - 1) (mean_after - mean_before) / sd_before`` with variance
    ``2 (1 - r)/n + g**2/(2 n)``, which assumes equal SDs before and after. Same as metafor
    ``escalc(measure="SMCR", m1i=mean_after, m2i=mean_before, sd1i=sd_before)``.

    References
    ----------
    Becker (1988), Br. J. Math. Stat. Psychol. 41(2), 257-278.
    doi:10.1111/j.2044-8317.1988.tb00901.x; Morris (2008), Organ. Res. Methods 11(2), 364-386.
    doi:10.1177/1094428106291059

    Examples
    --------
    >>> change = standardized_mean_change(30.6, 38.5, 15.0, 20, 0.47)
    >>> print(change.estimate.round(4), change.variance.round(4))
    [0.5056] [0.0594]
    """
    before, after, sd, size, r = columns(
        mean_before=mean_before,
        mean_after=mean_after,
        sd_before=sd_before,
        n=n,
        correlation=correlation,
    )
    problems = _pair_rules(size, r, fewest=3)
    problems.add("sd_before", sd, sd <= 0, "> 0")
    problems.add_tiny("sd_before", sd)
    problems.check()
    g = hedges_j(size - 1) * (after - before) / sd
    return effect(Measure.SMCR, g, 2 * (1 - r) / size + g**2 / (2 * size))


def standardized_mean_change_by_changes(
    mean_before: ArrayLike,
    mean_after: ArrayLike,
    sd_before: ArrayLike,
    sd_after: ArrayLike,
    n: ArrayLike,
    correlation: ArrayLike,
) -> EffectSize:
    """Standardised change of one group, in units of the SD of its changes.

    Parameters
    ----------
    mean_before, mean_after, n, correlation
        As in :func:`standardized_mean_change`; the estimate itself rests on the correlation here.
    sd_before, sd_after : array_like of shape (k,)
        Standard deviations before and after, in scale points, > 0.

    Returns
    -------
    EffectSize
        ``estimate`` is after minus before; not comparable with effects in units of a raw SD.

    Raises
    ------
    ImpossibleDataError
        As :func:`standardized_mean_change`.

    Notes
    -----
    ``J(n - 1) (mean_after - mean_before) / sd_change`` with variance ``1/n + g**2/(2 n)``. Same as
    metafor ``escalc(measure="SMCC", m1i=mean_after, m2i=mean_before, sd1i=sd_after,
    sd2i=sd_before)``.

    References
    ----------
    Gibbons, Hedeker & Davis (1993), J. Educ. Stat. 18(3), 271-279.
    doi:10.3102/10769986018003271; Morris & DeShon (2002), Psychol. Methods 7(1), 105-125.
    doi:10.1037/1082-989X.7.1.105

    Examples
    --------
    >>> change = standardized_mean_change_by_changes(30.6, 38.5, 15.0, 11.6, 20, 0.47)
    >>> print(change.estimate.round(4), change.variance.round(4))
    [0.5417] [0.0573]
    """
    before, after, s1, s2, size, r = columns(
        mean_before=mean_before,
        mean_after=mean_after,
        sd_before=sd_before,
        sd_after=sd_after,
        n=n,
        correlation=correlation,
    )
    problems = _pair_rules(size, r, fewest=3)
    for name, sd in (("sd_before", s1), ("sd_after", s2)):
        problems.add(name, sd, sd <= 0, "> 0")
        problems.add_tiny(name, sd)
    problems.check()
    g = hedges_j(size - 1) * (after - before) / np.sqrt(s1**2 + s2**2 - 2 * r * s1 * s2)
    return effect(Measure.SMCC, g, 1 / size + g**2 / (2 * size))


def paired_mean_difference(
    mean_difference: ArrayLike, sd_difference: ArrayLike, n: ArrayLike
) -> EffectSize:
    """Mean of within-person differences, in scale points, and its variance.

    Parameters
    ----------
    mean_difference : array_like of shape (k,)
        Mean of treatment minus control within persons.
    sd_difference : array_like of shape (k,)
        Standard deviation of those differences, > 0; from the SDs of the two conditions by
        :func:`ketameta.effects.conversions.change_sd`.
    n : array_like of shape (k,)
        Persons with both measurements, >= 2.

    Returns
    -------
    EffectSize
        Variance ``sd_difference**2 / n``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SD is not positive or n is below 2.

    Notes
    -----
    Same as metafor ``escalc(measure="MC")`` with the SD of the differences put together from the
    two SDs and their correlation.

    References
    ----------
    Elbourne et al. (2002), Int. J. Epidemiol. 31(1), 140-149. doi:10.1093/ije/31.1.140

    Examples
    --------
    >>> md = paired_mean_difference(-3.0, 6.0, 18)
    >>> print(md.estimate, md.variance)
    [-3.] [2.]
    """
    difference, sd, size = columns(
        mean_difference=mean_difference, sd_difference=sd_difference, n=n
    )
    problems = Problems()
    problems.add("sd_difference", sd, sd <= 0, "> 0")
    problems.add_tiny("sd_difference", sd)
    problems.add("n", size, size < 2, "2 or more")
    problems.check()
    return effect(Measure.MD, difference, sd**2 / size)


def _paired_effect(d: Floats, n: Floats, r: Floats) -> EffectSize:
    g = hedges_j(2 * (n - 1) / (1 + r**2)) * d
    return effect(Measure.SMD, g, 2 * (1 - r) / n + g**2 * (1 + r**2) / (4 * n))


def standardized_mean_difference_paired(
    mean_treatment: ArrayLike,
    sd_treatment: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n: ArrayLike,
    correlation: ArrayLike,
) -> EffectSize:
    """Standardised mean difference of two conditions in the same people (crossover trials).

    Parameters
    ----------
    mean_treatment, mean_control : array_like of shape (k,)
        Means under the two conditions, in points of the same scale.
    sd_treatment, sd_control : array_like of shape (k,)
        Standard deviations between people under each condition, > 0 (not of the differences).
    n : array_like of shape (k,)
        Persons with both measurements, >= 2.
    correlation : array_like of shape (k,)
        Within-person correlation of the two conditions, strictly between -1 and 1.

    Returns
    -------
    EffectSize
        In units of the between-person SD, so it can stand beside the g of parallel trials.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SD is not positive, n is below 2 or a correlation is not
        strictly between -1 and 1.

    Notes
    -----
    ``d = (m1 - m2) / sqrt((s1**2 + s2**2) / 2)`` (often written d_av), ``g = J(m) d`` with
    ``m = 2 (n - 1) / (1 + r**2)`` degrees of freedom, and variance
    ``2 (1 - r)/n + g**2 (1 + r**2)/(4 n)``. At ``r = 0`` this is the variance of two independent
    arms of n each. Same as measure ``SMCRP`` of metafor 4 and later. Borenstein et al. (2009,
    chapter 4) use ``J(n - 1)`` and ``2 (1 - r) (1/n + d**2/(2 n))`` instead, which does not reduce
    to the independent case.

    References
    ----------
    Morris & DeShon (2002), Psychol. Methods 7(1), 105-125. doi:10.1037/1082-989X.7.1.105;
    Cousineau (2020), Quant. Methods Psychol. 16(4), 418-421. doi:10.20982/tqmp.16.4.p418

    Examples
    --------
    >>> g = standardized_mean_difference_paired(12, 8, 18, 7, 20, 0.5)
    >>> print(g.estimate.round(4), g.variance.round(4))
    [-0.7783] [0.0595]
    """
    m1, s1, m2, s2, size, r = columns(
        mean_treatment=mean_treatment,
        sd_treatment=sd_treatment,
        mean_control=mean_control,
        sd_control=sd_control,
        n=n,
        correlation=correlation,
    )
    problems = _pair_rules(size, r)
    problems.add("sd_treatment", s1, s1 <= 0, "> 0")
    problems.add("sd_control", s2, s2 <= 0, "> 0")
    problems.add_tiny("sd_treatment", s1)
    problems.add_tiny("sd_control", s2)
    problems.check()
    return _paired_effect((m1 - m2) / np.sqrt((s1**2 + s2**2) / 2), size, r)


def smd_paired_from_t(t: ArrayLike, n: ArrayLike, correlation: ArrayLike) -> EffectSize:
    """Standardised mean difference of two conditions in the same people, from the paired t.

    Parameters
    ----------
    t : array_like of shape (k,)
        Paired t statistic, negative where the treatment mean is lower.
    n : array_like of shape (k,)
        Persons with both measurements, >= 2.
    correlation : array_like of shape (k,)
        Within-person correlation of the two conditions, strictly between -1 and 1.

    Returns
    -------
    EffectSize
        As :func:`standardized_mean_difference_paired`.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, n is below 2 or a correlation is not strictly between -1 and 1.

    Notes
    -----
    ``d = t sqrt(2 (1 - r) / n)``, which assumes equal SDs under the two conditions. Without the
    factor ``sqrt(2 (1 - r))`` the effect would be in units of the SD of the differences and would
    be too large beside parallel trials.

    References
    ----------
    Dunlap, Cortina, Vaslow & Burke (1996), Psychol. Methods 1(2), 170-177.
    doi:10.1037/1082-989X.1.2.170

    Examples
    --------
    >>> print(smd_paired_from_t(-3.0, 20, 0.5).estimate.round(4))
    [-0.6541]
    """
    t_values, size, r = columns(t=t, n=n, correlation=correlation)
    _pair_rules(size, r).check()
    return _paired_effect(t_values * np.sqrt(2 * (1 - r) / size), size, r)
