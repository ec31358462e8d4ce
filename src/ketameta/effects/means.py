"""Means of two arms, of the same people twice, and crossover trials: differences and ratios."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import (
    SMALLEST,
    EffectSize,
    Floats,
    Problems,
    checked,
    columns,
    effect,
)
from ketameta.errors import NotEstimableError
from ketameta.measures import Measure

#: Without the Python call around it that ``min`` makes.
_least = np.minimum.reduce


def _two_arms(**six: ArrayLike) -> tuple[Floats, ...]:
    """Return mean, SD and people of both arms; the rules are told only where one is broken."""
    arms = columns(**six)
    _, s1, n1, _, s2, n2 = arms
    fine = s1.size and _least(np.minimum(s1, s2)) >= SMALLEST and _least(np.minimum(n1, n2)) >= 2
    return arms if fine else checked(2, **six)


def _smd(g: Floats, n1: Floats, n2: Floats) -> EffectSize:
    """Return g with its large-sample variance for two independent arms."""
    return effect(Measure.SMD, g, 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)))


def standardized_mean_difference(
    mean_treatment: ArrayLike,
    sd_treatment: ArrayLike,
    n_treatment: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> EffectSize:
    """Hedges' g and its sampling variance, for two independent arms.

    Parameters
    ----------
    mean_treatment, mean_control : array_like of shape (k,)
        Arm means, in points of the same scale within a comparison.
    sd_treatment, sd_control : array_like of shape (k,)
        Standard deviations of the scores, in scale points, > 0. Not standard errors; see
        :func:`ketameta.effects.conversions.sd_from_se`.
    n_treatment, n_control : array_like of shape (k,)
        Participants analysed, >= 2; need not be whole where a shared arm is divided.

    Returns
    -------
    EffectSize
        ``estimate`` is unitless, negative where the treatment mean is lower.

    Raises
    ------
    ImpossibleDataError
        A value outside of its range; every argument and position is listed.

    Notes
    -----
    The difference over the pooled SD, times the exact correction ``J(n1 + n2 - 2)``
    (:func:`~ketameta.effects.hedges_correction`); the large-sample variance is
    ``1/n1 + 1/n2 + g**2 / (2 (n1 + n2))``. Same as metafor ``escalc(measure="SMD", vtype="LS")``.
    PyMARE 0.0.13 uses the approximate J and ``J**2`` times the variance of d, which is smaller.

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6(2), 107-128. doi:10.3102/10769986006002107;
    Hedges (1982), Psychol. Bull. 92(2), 490-499 (variance). doi:10.1037/0033-2909.92.2.490

    Examples
    --------
    >>> g = standardized_mean_difference(12, 8, 20, 18, 7, 22)
    >>> print(g.estimate.round(6), g.variance.round(6))
    [-0.785763] [0.102805]
    """
    m1, s1, n1, m2, s2, n2 = _two_arms(
        mean_treatment=mean_treatment, sd_treatment=sd_treatment, n_treatment=n_treatment,
        mean_control=mean_control, sd_control=sd_control, n_control=n_control,
    )  # fmt: skip
    df = n1 + n2 - 2
    pooled = np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)
    g = hedges_j(df) * (m1 - m2) / pooled
    return _smd(g, n1, n2)


def mean_difference(
    mean_treatment: ArrayLike,
    sd_treatment: ArrayLike,
    n_treatment: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> EffectSize:
    """Difference of two independent means, in scale points, and its variance.

    Parameters
    ----------
    mean_treatment, sd_treatment, n_treatment, mean_control, sd_control, n_control
        As in :func:`standardized_mean_difference`.

    Returns
    -------
    EffectSize
        ``estimate`` is treatment minus control.

    Raises
    ------
    ImpossibleDataError
        As in :func:`standardized_mean_difference`.

    Notes
    -----
    The variance ``s1**2/n1 + s2**2/n2`` does not assume equal variances. Same as metafor
    ``escalc(measure="MD")``.

    Examples
    --------
    >>> md = mean_difference(12, 8, 20, 18, 7, 22)
    >>> print(md.estimate.round(4), md.variance.round(4))
    [-6.] [5.4273]
    """
    m1, s1, n1, m2, s2, n2 = _two_arms(
        mean_treatment=mean_treatment, sd_treatment=sd_treatment, n_treatment=n_treatment,
        mean_control=mean_control, sd_control=sd_control, n_control=n_control,
    )  # fmt: skip
    return effect(Measure.MD, m1 - m2, s1**2 / n1 + s2**2 / n2)


def log_ratio_of_means(
    mean_treatment: ArrayLike,
    sd_treatment: ArrayLike,
    n_treatment: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> EffectSize:
    """Logarithm of the ratio of two independent means, and its variance.

    Parameters
    ----------
    mean_treatment, sd_treatment, n_treatment, mean_control, sd_control, n_control
        As in :func:`standardized_mean_difference`; the means of a comparison have the same sign
        and are not zero, on a scale with a true zero.

    Returns
    -------
    EffectSize
        ``estimate`` is ``log(mean_treatment / mean_control)``.

    Raises
    ------
    ImpossibleDataError
        As in :func:`standardized_mean_difference`.
    NotEstimableError
        If the means of a comparison differ in sign or one of them is zero.

    Notes
    -----
    Variance ``s1**2/(n1 m1**2) + s2**2/(n2 m2**2)``. Same as metafor 3.8 ``escalc(measure="ROM",
    vtype="LS")``; metafor 5.1 adds a bias correction by default, this does not.

    References
    ----------
    Hedges, Gurevitch & Curtis (1999), Ecology 80(4), 1150-1156.
    doi:10.1890/0012-9658(1999)080[1150:TMAORR]2.0.CO;2

    Examples
    --------
    >>> rom = log_ratio_of_means(12, 8, 20, 18, 7, 22)
    >>> print(rom.estimate.round(4), rom.variance.round(4))
    [-0.4055] [0.0291]
    """
    m1, s1, n1, m2, s2, n2 = _two_arms(
        mean_treatment=mean_treatment, sd_treatment=sd_treatment, n_treatment=n_treatment,
        mean_control=mean_control, sd_control=sd_control, n_control=n_control,
    )  # fmt: skip
    problems = Problems()
    problems.add_tiny("mean_treatment", m1)
    problems.add_tiny("mean_control", m2)
    problems.check()
    bad = np.sign(m1) * np.sign(m2) <= 0
    problems.add("mean_treatment", m1, bad, "of the same sign as mean_control, and not zero")
    problems.add("mean_control", m2, bad, "of the same sign as mean_treatment, and not zero")
    problems.check(NotEstimableError)
    return effect(Measure.ROM, np.log(m1 / m2), s1**2 / (n1 * m1**2) + s2**2 / (n2 * m2**2))


def smd_from_t(t: ArrayLike, n_treatment: ArrayLike, n_control: ArrayLike) -> EffectSize:
    """Hedges' g from an independent-samples t statistic.

    Parameters
    ----------
    t : array_like of shape (k,)
        Student's t with pooled variance, negative where the treatment mean is lower. Not Welch's
        t, not the t of a covariate-adjusted model, not a paired t.
    n_treatment, n_control : array_like of shape (k,)
        Participants analysed, >= 2.

    Returns
    -------
    EffectSize
        ``J * t * sqrt(1/n1 + 1/n2)`` with the variance of
        :func:`standardized_mean_difference`.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite or an arm has fewer than two participants.

    Notes
    -----
    Exact, because t is the standardised difference over ``sqrt(1/n1 + 1/n2)``. Same as metafor
    ``escalc(measure="SMD", ti=, n1i=, n2i=)``. Hedges (1981), J. Educ. Stat. 6(2), 107-128.
    doi:10.3102/10769986006002107

    Examples
    --------
    >>> print(smd_from_t(-2.5, 20, 22).estimate.round(4))
    [-0.7578]
    """
    t_values, n1, n2 = checked(2, t=t, n_treatment=n_treatment, n_control=n_control)
    g = hedges_j(n1 + n2 - 2) * t_values * np.sqrt(1 / n1 + 1 / n2)
    return _smd(g, n1, n2)


def smd_from_estimate(
    estimate: ArrayLike,
    n_treatment: ArrayLike,
    n_control: ArrayLike,
    *,
    already_corrected: bool = False,
) -> EffectSize:
    """Hedges' g from a printed standardised mean difference of two independent arms.

    Parameters
    ----------
    estimate : array_like of shape (k,)
        Cohen's d over the pooled SD, or Hedges' g.
    n_treatment, n_control
        As in :func:`smd_from_t`.
    already_corrected : bool
        Whether ``estimate`` is a g that carries the small-sample correction; otherwise it is
        multiplied by J.

    Returns
    -------
    EffectSize
        With the variance of :func:`standardized_mean_difference`.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite or an arm has fewer than two participants.

    Notes
    -----
    Same as metafor ``escalc(measure="SMD", di=, n1i=, n2i=)`` where ``already_corrected`` is false.
    Hedges (1982), Psychol. Bull. 92(2), 490-499. doi:10.1037/0033-2909.92.2.490

    Examples
    --------
    >>> g = smd_from_estimate(-0.8, 20, 22)
    >>> print(g.estimate.round(4), g.variance.round(4))
    [-0.7849] [0.1028]
    """
    d, n1, n2 = checked(2, estimate=estimate, n_treatment=n_treatment, n_control=n_control)
    g = d if already_corrected else hedges_j(n1 + n2 - 2) * d
    return _smd(g, n1, n2)


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
        A value outside of its range; every argument and position is listed.

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
    before, after, sd, size, r = checked(
        3, mean_before=mean_before, mean_after=mean_after, sd_before=sd_before, n=n,
        correlation=correlation,
    )  # fmt: skip
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
    before, after, s1, s2, size, r = checked(
        3, mean_before=mean_before, mean_after=mean_after, sd_before=sd_before, sd_after=sd_after,
        n=n, correlation=correlation,
    )  # fmt: skip
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
    Elbourne et al. (2002), Int. J. Epidemiol. 31(1), 140-149. doi:10.1093/ije/31.1.140

    Examples
    --------
    >>> md = paired_mean_difference(-3.0, 6.0, 18)
    >>> print(md.estimate, md.variance)
    [-3.] [2.]
    """
    difference, sd, size = checked(
        2, mean_difference=mean_difference, sd_difference=sd_difference, n=n
    )
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
        A value outside of its range; every argument and position is listed.

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
    m1, s1, m2, s2, size, r = checked(
        2, mean_treatment=mean_treatment, sd_treatment=sd_treatment, mean_control=mean_control,
        sd_control=sd_control, n=n, correlation=correlation,
    )  # fmt: skip
    return _paired_effect((m1 - m2) / np.sqrt((s1**2 + s2**2) / 2), size, r)


def smd_paired_from_t(t: ArrayLike, n: ArrayLike, correlation: ArrayLike) -> EffectSize:
    """Standardised mean difference of two conditions in the same people, from the paired t.

    Parameters
    ----------
    t : array_like of shape (k,)
        Paired t statistic, negative where the treatment mean is lower.
    n, correlation
        As in :func:`standardized_mean_difference_paired`.

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
    t_values, size, r = checked(2, t=t, n=n, correlation=correlation)
    return _paired_effect(t_values * np.sqrt(2 * (1 - r) / size), size, r)


def hedges_correction(df: ArrayLike) -> Floats:
    r"""Exact small-sample factor J that makes a standardised difference unbiased.

    Parameters
    ----------
    df : array_like of shape (k,)
        Degrees of freedom of the standard deviation, > 1; need not be whole.

    Returns
    -------
    ndarray of shape (k,)
        Between 0 and 1, close to ``1 - 3 / (4 df - 1)``.

    Raises
    ------
    ImpossibleDataError
        If a value is not above 1.

    Notes
    -----
    :math:`J(m) = \Gamma(m/2) / (\sqrt{m/2}\, \Gamma((m-1)/2))`; beyond 300 ``df``, where the gamma
    function leaves double precision, from the asymptotic series. metafor's ``escalc`` uses the same
    factor; PyMARE, statsmodels and RevMan use the approximation.

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6(2), 107-128. doi:10.3102/10769986006002107

    Examples
    --------
    >>> print(hedges_correction([10, 40]).round(6))
    [0.922746 0.981112]
    """
    (m,) = columns(df=df)
    problems = Problems()
    problems.add("df", m, m <= 1, "> 1")
    problems.check()
    return hedges_j(m)


#: Largest half of the degrees of freedom whose gamma function is taken; it overflows at 171.
#: Beyond, the first term that the series leaves out is below 1e-17.
_GAMMA_TO = 150.0


def _by_gamma(half: Floats) -> Floats:
    return np.asarray(special.gamma(half) / (special.gamma(half - 0.5) * np.sqrt(half)))


def hedges_j(m: Floats) -> Floats:
    """Return J without checking its argument."""
    half = np.asarray(m / 2, dtype=np.float64)
    if not half.size or np.maximum.reduce(half, axis=None) <= _GAMMA_TO:
        return _by_gamma(half)
    x = np.maximum(half, _GAMMA_TO) - 0.5
    square = x * x
    series = (1 / 8 - (1 / 192 - 1 / (640 * square)) / square) / x
    large = np.exp(-series) * np.sqrt(x / (x + 0.5))
    return np.where(half <= _GAMMA_TO, _by_gamma(np.minimum(half, _GAMMA_TO)), large)
