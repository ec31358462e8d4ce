"""The SD of one arm, and the common SD of two, from what a source prints instead."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Floats, Problems, check_share, columns
from ketameta.effects.conversions.uncertainty import (
    DISTRIBUTIONS,
    must_be_ordered,
    must_be_positive,
    must_be_two_or_more,
    se_from_ci,
    se_from_p,
    t_from_f,
    two_sided_quantile,
)
from ketameta.errors import check_choice


def sd_from_se(se: ArrayLike, n: ArrayLike) -> Floats:
    """Return the SD of one arm from the standard error of its mean.

    Parameters
    ----------
    se : array_like of shape (k,)
        Standard error of an arm's mean, in scale points, > 0; not of a difference between arms.
    n : array_like of shape (k,)
        Participants behind the mean, >= 2.

    Returns
    -------
    ndarray of shape (k,)
        ``se * sqrt(n)``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SE is not positive or n is below 2.

    Notes
    -----
    For a least-squares mean the result is the SD that the model implies, smaller than the raw SD
    where covariates explain variance.

    References
    ----------
    Cochrane Handbook version 6, section 6.5.2.2.

    Examples
    --------
    >>> print(sd_from_se(1.2, 25))
    [6.]
    """
    error, size = columns(se=se, n=n)
    problems = must_be_positive(se=error)
    must_be_two_or_more(problems, n=size)
    problems.check()
    return error * np.sqrt(size)


def se_from_sd(sd: ArrayLike, n: ArrayLike) -> Floats:
    """Return the standard error of one arm's mean: ``sd / sqrt(n)``.

    Parameters
    ----------
    sd : array_like of shape (k,)
        Standard deviation in scale points, > 0.
    n : array_like of shape (k,)
        Participants behind the mean, >= 2.

    Returns
    -------
    ndarray of shape (k,)

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SD is not positive or n is below 2.

    Examples
    --------
    >>> print(se_from_sd(8.0, 16))
    [2.]
    """
    spread, size = columns(sd=sd, n=n)
    problems = must_be_positive(sd=spread)
    must_be_two_or_more(problems, n=size)
    problems.check()
    return spread / np.sqrt(size)


def sd_from_ci(
    ci_low: ArrayLike,
    ci_high: ArrayLike,
    n: ArrayLike,
    level: float = 0.95,
    distribution: str = "t",
) -> Floats:
    """Return the SD of one arm from the confidence interval of its mean.

    Parameters
    ----------
    ci_low, ci_high : array_like of shape (k,)
        Bounds of the interval of an arm's mean, in scale points.
    n : array_like of shape (k,)
        Participants behind the mean, >= 2.
    level : float
        Confidence level of the interval, as a share of one.
    distribution : {"t", "normal"}
        Distribution the interval was built with; "t" uses ``n - 1`` degrees of freedom. The two
        differ by 6% at n = 20 and by 1% at n = 100.

    Returns
    -------
    ndarray of shape (k,)
        ``sqrt(n) (ci_high - ci_low) / (2 q)`` with q the quantile of the distribution.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, the bounds are not in order or n is below 2.
    UsageError
        If the level or the distribution is not a choice.

    References
    ----------
    Cochrane Handbook version 6, section 6.5.2.2.

    Examples
    --------
    The quantile for 25 participants is 2.0639, so the divisor 3.92 becomes 4.128.

    >>> print(sd_from_ci(30.0, 34.2, 25).round(4))
    [5.0875]
    """
    share = check_share("level", level)
    kind = check_choice("distribution", distribution, DISTRIBUTIONS)
    low, high, size = columns(ci_low=ci_low, ci_high=ci_high, n=n)
    problems = Problems()
    must_be_ordered(problems, low, high)
    must_be_two_or_more(problems, n=size)
    problems.check()
    quantile = two_sided_quantile(1 - share, size - 1 if kind == "t" else None)
    return np.sqrt(size) * (high - low) / (2 * quantile)


def pooled_sd(
    sd_treatment: ArrayLike, n_treatment: ArrayLike, sd_control: ArrayLike, n_control: ArrayLike
) -> Floats:
    """Return the pooled within-arm SD of two arms.

    Parameters
    ----------
    sd_treatment, sd_control : array_like of shape (k,)
        Standard deviations in scale points, > 0.
    n_treatment, n_control : array_like of shape (k,)
        Participants in each arm, >= 2.

    Returns
    -------
    ndarray of shape (k,)
        ``sqrt(((n1 - 1) s1**2 + (n2 - 1) s2**2) / (n1 + n2 - 2))``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SD is not positive or an arm has fewer than two participants.

    Examples
    --------
    >>> print(pooled_sd(8.0, 20, 7.0, 22).round(4))
    [7.4917]
    """
    s1, n1, s2, n2 = columns(
        sd_treatment=sd_treatment,
        n_treatment=n_treatment,
        sd_control=sd_control,
        n_control=n_control,
    )
    problems = must_be_positive(sd_treatment=s1, sd_control=s2)
    must_be_two_or_more(problems, n_treatment=n1, n_control=n2)
    problems.check()
    return np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2))


def change_sd(sd_before: ArrayLike, sd_after: ArrayLike, correlation: ArrayLike) -> Floats:
    """Return the SD of a change, or of within-person differences, from its two parts.

    Parameters
    ----------
    sd_before, sd_after : array_like of shape (k,)
        Standard deviations of the two measurements, in scale points, > 0.
    correlation : array_like of shape (k,)
        Correlation of the two measurements, strictly between -1 and 1.

    Returns
    -------
    ndarray of shape (k,)
        ``sqrt(s1**2 + s2**2 - 2 r s1 s2)``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SD is not positive or a correlation is not strictly between
        -1 and 1.

    References
    ----------
    Cochrane Handbook version 6, section 6.5.2.8.

    Examples
    --------
    >>> print(change_sd(8.0, 8.0, 0.5))
    [8.]
    """
    s1, s2, r = columns(sd_before=sd_before, sd_after=sd_after, correlation=correlation)
    problems = must_be_positive(sd_before=s1, sd_after=s2)
    problems.add("correlation", r, np.abs(r) >= 1, "strictly between -1 and 1")
    problems.check()
    return np.sqrt((s1 - s2) ** 2 + 2 * (1 - r) * s1 * s2)


def correlation_from_change_sd(
    sd_before: ArrayLike, sd_after: ArrayLike, sd_change: ArrayLike
) -> Floats:
    """Return the correlation of two measurements from their SDs and the SD of the change.

    Parameters
    ----------
    sd_before, sd_after, sd_change : array_like of shape (k,)
        Standard deviations in scale points, > 0.

    Returns
    -------
    ndarray of shape (k,)
        ``(s1**2 + s2**2 - sc**2) / (2 s1 s2)``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SD is not positive, or the three SDs cannot belong to one
        group: the correlation would not lie between -1 and 1.

    References
    ----------
    Cochrane Handbook version 6, section 6.5.2.8.

    Examples
    --------
    >>> print(correlation_from_change_sd(8.0, 8.0, 8.0))
    [0.5]
    """
    s1, s2, sc = columns(sd_before=sd_before, sd_after=sd_after, sd_change=sd_change)
    problems = must_be_positive(sd_before=s1, sd_after=s2, sd_change=sc)
    problems.check()
    r = (s1**2 + s2**2 - sc**2) / (2 * s1 * s2)
    problems.add(
        "sd_change", sc, np.abs(r) > 1, "between |sd_before - sd_after| and sd_before + sd_after"
    )
    problems.check()
    return np.asarray(r)


def _two_arm_factor(n_treatment: Floats, n_control: Floats) -> Floats:
    problems = Problems()
    must_be_two_or_more(problems, n_treatment=n_treatment, n_control=n_control)
    problems.check()
    return np.sqrt(1 / n_treatment + 1 / n_control)


def sd_from_difference_se(se: ArrayLike, n_treatment: ArrayLike, n_control: ArrayLike) -> Floats:
    """Return the common SD of two arms from the SE of their mean difference.

    Parameters
    ----------
    se : array_like of shape (k,)
        Standard error of the difference between two independent means, > 0.
    n_treatment, n_control : array_like of shape (k,)
        Participants in each arm, >= 2.

    Returns
    -------
    ndarray of shape (k,)
        ``se / sqrt(1/n1 + 1/n2)``: one SD for both arms.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SE is not positive or an arm has fewer than two participants.

    References
    ----------
    Cochrane Handbook version 6, section 6.5.2.3.

    Examples
    --------
    >>> print(sd_from_difference_se(1.37, 25, 22).round(2))
    [4.69]
    """
    error, n1, n2 = columns(se=se, n_treatment=n_treatment, n_control=n_control)
    must_be_positive(se=error).check()
    return error / _two_arm_factor(n1, n2)


def sd_from_difference_ci(
    ci_low: ArrayLike,
    ci_high: ArrayLike,
    n_treatment: ArrayLike,
    n_control: ArrayLike,
    level: float = 0.95,
    distribution: str = "t",
) -> Floats:
    """Return the common SD of two arms from the CI of their mean difference.

    Parameters
    ----------
    ci_low, ci_high : array_like of shape (k,)
        Bounds of the interval of the difference, in scale points.
    n_treatment, n_control : array_like of shape (k,)
        Participants in each arm, >= 2.
    level : float
        Confidence level of the interval, as a share of one.
    distribution : {"t", "normal"}
        Distribution the interval was built with; "t" uses ``n1 + n2 - 2`` degrees of freedom.

    Returns
    -------
    ndarray of shape (k,)

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, the bounds are not in order or an arm has fewer than two
        participants.
    UsageError
        If the level or the distribution is not a choice.

    References
    ----------
    Cochrane Handbook version 6, section 6.5.2.3.

    Examples
    --------
    >>> print(sd_from_difference_ci(-9.0, -3.0, 20, 22).round(4))
    [4.8044]
    """
    kind = check_choice("distribution", distribution, DISTRIBUTIONS)
    low, high, n1, n2 = columns(
        ci_low=ci_low, ci_high=ci_high, n_treatment=n_treatment, n_control=n_control
    )
    factor = _two_arm_factor(n1, n2)
    return se_from_ci(low, high, level, n1 + n2 - 2 if kind == "t" else None) / factor


def sd_from_t(
    mean_difference: ArrayLike, t: ArrayLike, n_treatment: ArrayLike, n_control: ArrayLike
) -> Floats:
    """Return the common SD of two arms from their mean difference and t statistic.

    Parameters
    ----------
    mean_difference : array_like of shape (k,)
        Difference between two independent means, in scale points, not zero.
    t : array_like of shape (k,)
        Student's t of that difference, not zero; only its size is used.
    n_treatment, n_control : array_like of shape (k,)
        Participants in each arm, >= 2.

    Returns
    -------
    ndarray of shape (k,)
        ``abs(mean_difference / t) / sqrt(1/n1 + 1/n2)``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, a difference or t is zero, or an arm has fewer than two
        participants.

    References
    ----------
    Cochrane Handbook version 6, section 6.5.2.3.

    Examples
    --------
    >>> print(sd_from_t(-6.0, -2.6, 20, 22).round(4))
    [7.4693]
    """
    difference, statistic, n1, n2 = columns(
        mean_difference=mean_difference, t=t, n_treatment=n_treatment, n_control=n_control
    )
    problems = Problems()
    problems.add("mean_difference", difference, difference == 0, "other than 0")
    problems.add("t", statistic, statistic == 0, "other than 0")
    problems.check()
    return np.abs(difference / statistic) / _two_arm_factor(n1, n2)


def sd_from_f(
    mean_difference: ArrayLike, f: ArrayLike, n_treatment: ArrayLike, n_control: ArrayLike
) -> Floats:
    """Return the common SD of two arms from their mean difference and F (1 numerator df).

    Parameters
    ----------
    mean_difference : array_like of shape (k,)
        Difference between two independent means, in scale points, not zero.
    f : array_like of shape (k,)
        F statistic of the comparison of the two arms, > 0.
    n_treatment, n_control : array_like of shape (k,)
        Participants in each arm, >= 2.

    Returns
    -------
    ndarray of shape (k,)
        As :func:`sd_from_t` with ``t = sqrt(f)``.

    Raises
    ------
    ImpossibleDataError
        As :func:`sd_from_t`, or if an F is not positive.

    Examples
    --------
    >>> print(sd_from_f(-6.0, 6.7, 20, 22).round(4))
    [7.5027]
    """
    (statistic,) = columns(f=f)
    must_be_positive(f=statistic).check()
    return sd_from_t(mean_difference, np.asarray(t_from_f(f)), n_treatment, n_control)


def sd_from_p(
    mean_difference: ArrayLike, p: ArrayLike, n_treatment: ArrayLike, n_control: ArrayLike
) -> Floats:
    """Return the common SD of two arms from their mean difference and exact P value.

    Parameters
    ----------
    mean_difference : array_like of shape (k,)
        Difference between two independent means, in scale points, not zero.
    p : array_like of shape (k,)
        Two-sided P value of Student's t test, strictly between 0 and 1.
    n_treatment, n_control : array_like of shape (k,)
        Participants in each arm, >= 2.

    Returns
    -------
    ndarray of shape (k,)
        As :func:`sd_from_t` with the t of ``n1 + n2 - 2`` degrees of freedom.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, a difference is zero, p is not strictly between 0 and 1 or an arm
        has fewer than two participants.

    References
    ----------
    Cochrane Handbook version 6, section 6.5.2.3.

    Examples
    --------
    >>> print(sd_from_p(3.8, 0.008, 25, 22).round(2))
    [4.68]
    """
    difference, share, n1, n2 = columns(
        mean_difference=mean_difference, p=p, n_treatment=n_treatment, n_control=n_control
    )
    factor = _two_arm_factor(n1, n2)
    return se_from_p(difference, share, n1 + n2 - 2) / factor
