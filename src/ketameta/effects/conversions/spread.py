"""Standard deviations, standard errors and test statistics from what a source prints instead.

Every function raises ``ImpossibleDataError`` where a value is not finite or leaves its range, with
each argument and position, and ``UsageError`` where a level or a distribution is not a choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import Floats, Problems, check_share, checked, columns
from ketameta.errors import check_choice

#: Reference distributions of a printed interval or P value.
DISTRIBUTIONS = ("t", "normal")
#: Normal quantile of a two-sided 95% interval.
Z95 = 1.959963984540054


def _quantile(p_two_sided: Floats | float, df: Floats | None) -> Floats:
    """Return the positive quantile that leaves ``p_two_sided`` in both tails together."""
    tail = np.asarray(p_two_sided, dtype=np.float64) / 2
    value = special.ndtri(tail) if df is None else special.stdtrit(df, tail)
    return -np.asarray(value, dtype=np.float64)


def _not_zero(**arguments: Floats) -> None:
    problems = Problems()
    for name, values in arguments.items():
        problems.add(name, values, values == 0, "other than 0")
    problems.check()


def se_from_ci(
    ci_low: ArrayLike,
    ci_high: ArrayLike,
    level: float = 0.95,
    df: ArrayLike | None = None,
    *,
    estimate: ArrayLike | None = None,
) -> Floats:
    """Return the standard error of an estimate from its confidence interval.

    Parameters
    ----------
    ci_low, ci_high : array_like of shape (k,)
        Bounds on the scale on which the interval is symmetric: take logarithms of the bounds of a
        ratio, or use :func:`log_se_from_ci`.
    level : float
        Confidence level of the interval, as a share of one.
    df : array_like of shape (k,), optional
        Degrees of freedom of a t interval, > 0; the normal distribution without them.
    estimate : array_like of shape (k,), optional
        The printed estimate; only checked, to lie within the bounds.

    Returns
    -------
    ndarray of shape (k,)
        ``(ci_high - ci_low) / (2 q)``; Cochrane Handbook version 6, sections 6.3.1 and 6.5.2.3.

    Raises
    ------
    ImpossibleDataError
        Bounds that are not in order, or an estimate outside of them.

    Examples
    --------
    >>> print(se_from_ci(-1.96, 1.96).round(4))
    [1.]
    """
    share = check_share("level", level)
    optional = {"df": df, "estimate": estimate}
    given = {name: value for name, value in optional.items() if value is not None}
    low, high, *rest = checked(0, ci_low=ci_low, ci_high=ci_high, **given)
    if estimate is not None:
        problems = Problems()
        outside = (rest[-1] < low) | (rest[-1] > high)
        problems.add("estimate", rest[-1], outside, "between ci_low and ci_high")
        problems.check()
    return (high - low) / (2 * _quantile(1 - share, None if df is None else rest[0]))


def log_se_from_ci(ci_low: ArrayLike, ci_high: ArrayLike, level: float = 0.95) -> Floats:
    """Return the standard error of the logarithm of a ratio, from the ratio's confidence interval.

    Parameters
    ----------
    ci_low, ci_high : array_like of shape (k,)
        Bounds of an odds, risk or hazard ratio as printed, > 0.
    level : float
        Confidence level of the interval, as a share of one.

    Returns
    -------
    ndarray of shape (k,)
        ``(log(ci_high) - log(ci_low)) / (2 z)``; Cochrane Handbook version 6, section 6.3.2.

    Raises
    ------
    ImpossibleDataError
        Bounds that are not positive or not in order.

    Examples
    --------
    >>> print(log_se_from_ci(0.5, 2.0).round(4))
    [0.3537]
    """
    low, high = columns(ci_low=ci_low, ci_high=ci_high)
    problems = Problems()
    for name, bound in (("ci_low", low), ("ci_high", high)):
        problems.add(name, bound, bound <= 0, "> 0")
    problems.add("ci_high", high, high <= low, "above ci_low")
    problems.check()
    return se_from_ci(np.log(low), np.log(high), level)


def t_from_p(p: ArrayLike, df: ArrayLike) -> Floats:
    """Return the absolute t statistic behind an exact two-sided P value.

    Parameters
    ----------
    p : array_like of shape (k,)
        Two-sided P value, strictly between 0 and 1. For "P < 0.01" the bound itself gives a
        smaller t than the trial had.
    df : array_like of shape (k,)
        Degrees of freedom, > 0; ``n1 + n2 - 2`` for two independent arms.

    Returns
    -------
    ndarray of shape (k,)
        Positive; the source states the sign. Cochrane Handbook version 6, section 6.5.2.3.

    Raises
    ------
    ImpossibleDataError
        A value outside of its range.

    Examples
    --------
    >>> print(t_from_p(0.008, 45).round(2))
    [2.78]
    """
    share, degrees = checked(0, p=p, df=df)
    return _quantile(share, degrees)


def z_from_p(p: ArrayLike) -> Floats:
    """Return the absolute normal statistic behind an exact two-sided P value.

    Parameters
    ----------
    p : array_like of shape (k,)
        As in :func:`t_from_p`.

    Returns
    -------
    ndarray of shape (k,)
        Positive. Cochrane Handbook version 6, section 6.3.2.

    Raises
    ------
    ImpossibleDataError
        A value outside of its range.

    Examples
    --------
    >>> print(z_from_p(0.01).round(4))
    [2.5758]
    """
    (share,) = checked(0, p=p)
    return _quantile(share, None)


def t_from_f(f: ArrayLike) -> Floats:
    """Return the absolute t statistic behind an F statistic with one numerator degree of freedom.

    Parameters
    ----------
    f : array_like of shape (k,)
        F statistic of a comparison of two arms, >= 0. Not an F of three or more arms or times.

    Returns
    -------
    ndarray of shape (k,)
        ``sqrt(f)``; the source states the sign.

    Raises
    ------
    ImpossibleDataError
        A value below 0.

    Examples
    --------
    >>> print(t_from_f(6.25))
    [2.5]
    """
    (statistic,) = columns(f=f)
    problems = Problems()
    problems.add("f", statistic, statistic < 0, "0 or more")
    problems.check()
    return np.sqrt(statistic)


def se_from_p(estimate: ArrayLike, p: ArrayLike, df: ArrayLike | None = None) -> Floats:
    """Return the standard error of an estimate from its exact two-sided P value.

    Parameters
    ----------
    estimate : array_like of shape (k,)
        On the scale of the test (logarithm for a ratio), not zero.
    p : array_like of shape (k,)
        Two-sided P value, strictly between 0 and 1.
    df : array_like of shape (k,), optional
        Degrees of freedom of a t test, > 0; the normal distribution without them.

    Returns
    -------
    ndarray of shape (k,)
        ``abs(estimate) / q``; Cochrane Handbook version 6, sections 6.3.2 and 6.5.2.3.

    Raises
    ------
    ImpossibleDataError
        A value outside of its range, or an estimate of zero.

    Examples
    --------
    >>> print(se_from_p(3.8, 0.008, df=45).round(2))
    [1.37]
    """
    given = {} if df is None else {"df": df}
    effect, share, *degrees = checked(0, estimate=estimate, p=p, **given)
    _not_zero(estimate=effect)
    return np.abs(effect) / _quantile(share, degrees[0] if degrees else None)


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
        ``se * sqrt(n)``; Cochrane Handbook version 6, section 6.5.2.2. Of a least-squares mean the
        SD that the model implies, smaller than the raw SD where covariates explain variance.

    Raises
    ------
    ImpossibleDataError
        A value outside of its range.

    Examples
    --------
    >>> print(sd_from_se(1.2, 25))
    [6.]
    """
    error, size = checked(2, se=se, n=n)
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
        A value outside of its range.

    Examples
    --------
    >>> print(se_from_sd(8.0, 16))
    [2.]
    """
    spread, size = checked(2, sd=sd, n=n)
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
        ``sqrt(n) (ci_high - ci_low) / (2 q)`` with q the quantile of the distribution; Cochrane
        Handbook version 6, section 6.5.2.2.

    Raises
    ------
    ImpossibleDataError, UsageError
        A value outside of its range, or a level or distribution that is not a choice.

    Examples
    --------
    The quantile for 25 participants is 2.0639, so the divisor 3.92 becomes 4.128.

    >>> print(sd_from_ci(30.0, 34.2, 25).round(4))
    [5.0875]
    """
    share = check_share("level", level)
    kind = check_choice("distribution", distribution, DISTRIBUTIONS)
    low, high, size = checked(2, ci_low=ci_low, ci_high=ci_high, n=n)
    quantile = _quantile(1 - share, size - 1 if kind == "t" else None)
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
        A value outside of its range.

    Examples
    --------
    >>> print(pooled_sd(8.0, 20, 7.0, 22).round(4))
    [7.4917]
    """
    s1, n1, s2, n2 = checked(
        2, sd_treatment=sd_treatment, n_treatment=n_treatment, sd_control=sd_control,
        n_control=n_control,
    )  # fmt: skip
    return np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2))


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
        ``se / sqrt(1/n1 + 1/n2)``, for both arms; Cochrane Handbook version 6, section 6.5.2.3.

    Raises
    ------
    ImpossibleDataError
        A value outside of its range.

    Examples
    --------
    >>> print(sd_from_difference_se(1.37, 25, 22).round(2))
    [4.69]
    """
    error, n1, n2 = checked(2, se=se, n_treatment=n_treatment, n_control=n_control)
    return error / np.sqrt(1 / n1 + 1 / n2)


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
    n_treatment, n_control
        As in :func:`sd_from_difference_se`.
    level, distribution
        As in :func:`sd_from_ci`; "t" uses ``n1 + n2 - 2`` degrees of freedom.

    Returns
    -------
    ndarray of shape (k,)
        As :func:`sd_from_difference_se`.

    Raises
    ------
    ImpossibleDataError, UsageError
        As :func:`sd_from_ci`.

    Examples
    --------
    >>> print(sd_from_difference_ci(-9.0, -3.0, 20, 22).round(4))
    [4.8044]
    """
    kind = check_choice("distribution", distribution, DISTRIBUTIONS)
    low, high, n1, n2 = checked(
        2, ci_low=ci_low, ci_high=ci_high, n_treatment=n_treatment, n_control=n_control
    )
    error = se_from_ci(low, high, level, n1 + n2 - 2 if kind == "t" else None)
    return error / np.sqrt(1 / n1 + 1 / n2)


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
    n_treatment, n_control
        As in :func:`sd_from_difference_se`.

    Returns
    -------
    ndarray of shape (k,)
        ``abs(mean_difference / t) / sqrt(1/n1 + 1/n2)``; Cochrane Handbook version 6, section
        6.5.2.3.

    Raises
    ------
    ImpossibleDataError
        A value outside of its range, or a difference or t of zero.

    Examples
    --------
    >>> print(sd_from_t(-6.0, -2.6, 20, 22).round(4))
    [7.4693]
    """
    difference, statistic, n1, n2 = checked(
        2, mean_difference=mean_difference, t=t, n_treatment=n_treatment, n_control=n_control
    )
    _not_zero(mean_difference=difference, t=statistic)
    return np.abs(difference / statistic) / np.sqrt(1 / n1 + 1 / n2)


def sd_from_f(
    mean_difference: ArrayLike, f: ArrayLike, n_treatment: ArrayLike, n_control: ArrayLike
) -> Floats:
    """Return the common SD of two arms from their mean difference and F (1 numerator df).

    Parameters
    ----------
    mean_difference, n_treatment, n_control
        As in :func:`sd_from_t`.
    f : array_like of shape (k,)
        F statistic of the comparison of the two arms, > 0.

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
    return sd_from_t(mean_difference, np.sqrt(*checked(0, f=f)), n_treatment, n_control)


def sd_from_p(
    mean_difference: ArrayLike, p: ArrayLike, n_treatment: ArrayLike, n_control: ArrayLike
) -> Floats:
    """Return the common SD of two arms from their mean difference and exact P value.

    Parameters
    ----------
    mean_difference, n_treatment, n_control
        As in :func:`sd_from_t`.
    p : array_like of shape (k,)
        Two-sided P value of Student's t test, strictly between 0 and 1.

    Returns
    -------
    ndarray of shape (k,)
        As :func:`sd_from_t` with the t of ``n1 + n2 - 2`` degrees of freedom.

    Raises
    ------
    ImpossibleDataError
        As :func:`sd_from_t`, or if p is not strictly between 0 and 1.

    Examples
    --------
    >>> print(sd_from_p(3.8, 0.008, 25, 22).round(2))
    [4.68]
    """
    difference, share, n1, n2 = checked(
        2, mean_difference=mean_difference, p=p, n_treatment=n_treatment, n_control=n_control
    )
    _not_zero(mean_difference=difference)
    return sd_from_t(difference, t_from_p(share, n1 + n2 - 2), n1, n2)
