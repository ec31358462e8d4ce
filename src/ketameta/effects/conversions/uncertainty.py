"""Standard errors and test statistics from intervals, P values and F statistics."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import Floats, Problems, check_share, columns

#: Reference distributions of a printed interval or P value.
DISTRIBUTIONS = ("t", "normal")


def two_sided_quantile(p_two_sided: Floats | float, df: Floats | None) -> Floats:
    """Return the positive quantile that leaves ``p_two_sided`` in both tails together."""
    tail = np.asarray(p_two_sided, dtype=np.float64) / 2
    value = special.ndtri(tail) if df is None else special.stdtrit(df, tail)
    return -np.asarray(value, dtype=np.float64)


def must_be_positive(**arguments: Floats) -> Problems:
    """Start a list of problems with every value that is not above 0."""
    problems = Problems()
    for name, values in arguments.items():
        problems.add(name, values, values <= 0, "> 0")
    return problems


def must_be_ordered(problems: Problems, low: Floats, high: Floats) -> None:
    """Note every interval whose upper bound is not above its lower bound."""
    problems.add("ci_high", high, high <= low, "above ci_low")


def must_be_two_or_more(problems: Problems, **arguments: Floats) -> None:
    """Note every arm with fewer than two participants."""
    for name, values in arguments.items():
        problems.add(name, values, values < 2, "2 or more")


def must_be_share(problems: Problems, p: Floats) -> None:
    """Note every P value that is not strictly between 0 and 1."""
    problems.add("p", p, (p <= 0) | (p >= 1), "strictly between 0 and 1")


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
        Degrees of freedom of a t interval; the normal distribution without them.
    estimate : array_like of shape (k,), optional
        The printed estimate; only checked, to lie within the bounds.

    Returns
    -------
    ndarray of shape (k,)
        ``(ci_high - ci_low) / (2 q)``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, the bounds are not in order, df is not positive or the estimate
        is outside the bounds.
    UsageError
        If the level is not a share.

    References
    ----------
    Cochrane Handbook version 6, sections 6.3.1 and 6.5.2.3.

    Examples
    --------
    >>> print(se_from_ci(-1.96, 1.96).round(4))
    [1.]
    """
    share = check_share("level", level)
    low, high = columns(ci_low=ci_low, ci_high=ci_high)
    problems = Problems()
    must_be_ordered(problems, low, high)
    degrees = None
    if df is not None:
        degrees, low, high = columns(df=df, ci_low=low, ci_high=high)
        problems.add("df", degrees, degrees <= 0, "> 0")
    if estimate is not None:
        middle, low_bound, high_bound = columns(estimate=estimate, ci_low=low, ci_high=high)
        outside = (middle < low_bound) | (middle > high_bound)
        problems.add("estimate", middle, outside, "between ci_low and ci_high")
    problems.check()
    return (high - low) / (2 * two_sided_quantile(1 - share, degrees))


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
        ``(log(ci_high) - log(ci_low)) / (2 z)``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, a bound is not positive or the bounds are not in order.
    UsageError
        If the level is not a share.

    References
    ----------
    Cochrane Handbook version 6, section 6.3.2.

    Examples
    --------
    >>> print(log_se_from_ci(0.5, 2.0).round(4))
    [0.3537]
    """
    low, high = columns(ci_low=ci_low, ci_high=ci_high)
    problems = must_be_positive(ci_low=low, ci_high=high)
    must_be_ordered(problems, low, high)
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
        Positive; the sign comes from the direction that the source states.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, p is not strictly between 0 and 1 or df is not positive.

    References
    ----------
    Cochrane Handbook version 6, section 6.5.2.3.

    Examples
    --------
    >>> print(t_from_p(0.008, 45).round(2))
    [2.78]
    """
    share, degrees = columns(p=p, df=df)
    problems = must_be_positive(df=degrees)
    must_be_share(problems, share)
    problems.check()
    return two_sided_quantile(share, degrees)


def z_from_p(p: ArrayLike) -> Floats:
    """Return the absolute normal statistic behind an exact two-sided P value.

    Parameters
    ----------
    p : array_like of shape (k,)
        Two-sided P value, strictly between 0 and 1.

    Returns
    -------
    ndarray of shape (k,)

    Raises
    ------
    ImpossibleDataError
        If a value is not finite or not strictly between 0 and 1.

    References
    ----------
    Cochrane Handbook version 6, section 6.3.2.

    Examples
    --------
    >>> print(z_from_p(0.01).round(4))
    [2.5758]
    """
    (share,) = columns(p=p)
    problems = Problems()
    must_be_share(problems, share)
    problems.check()
    return two_sided_quantile(share, None)


def t_from_f(f: ArrayLike) -> Floats:
    """Return the absolute t statistic behind an F statistic with one numerator degree of freedom.

    Parameters
    ----------
    f : array_like of shape (k,)
        F statistic of a comparison of two arms, >= 0. Not an F of three or more arms or times.

    Returns
    -------
    ndarray of shape (k,)
        ``sqrt(f)``; the sign comes from the direction that the source states.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite or negative.

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
        Degrees of freedom of a t test; the normal distribution without them.

    Returns
    -------
    ndarray of shape (k,)
        ``abs(estimate) / q``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an estimate is zero, p is not strictly between 0 and 1 or df is
        not positive.

    References
    ----------
    Cochrane Handbook version 6, sections 6.3.2 and 6.5.2.3.

    Examples
    --------
    >>> print(se_from_p(3.8, 0.008, df=45).round(2))
    [1.37]
    """
    effect, share = columns(estimate=estimate, p=p)
    problems = Problems()
    problems.add("estimate", effect, effect == 0, "other than 0")
    problems.check()
    statistic = z_from_p(share) if df is None else t_from_p(share, df)
    if df is not None:
        effect, statistic = columns(estimate=effect, statistic=statistic)
    return np.abs(effect) / statistic


#: Normal quantile of a two-sided 95% interval.
Z95 = 1.959963984540054
