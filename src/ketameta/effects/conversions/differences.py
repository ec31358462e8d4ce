"""The common standard deviation of two arms, from what a source prints of their difference.

Not to be confused with the spread of one arm (:mod:`ketameta.effects.conversions.spread`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Floats, Problems, columns
from ketameta.effects.conversions._rules import DISTRIBUTIONS, must_be_positive, must_be_two_or_more
from ketameta.effects.conversions.uncertainty import se_from_ci, se_from_p, t_from_f
from ketameta.errors import check_choice


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
