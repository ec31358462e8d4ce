"""Tail of Student's t in plain arithmetic: checking a p-value needs no scipy."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

#: Terms of the continued fraction, at most; some twenty are enough but for thousands of degrees.
_MOST = 10_000
#: Relative change at which the fraction has settled, and what stands for a zero denominator.
_SETTLED, _TINY = 1e-15, 1e-300


def t_two_sided(statistic: float, df: float) -> float:
    """Return ``P(|T| > |statistic|)`` for Student's t with ``df > 0`` degrees of freedom.

    Notes
    -----
    The regularised incomplete beta function ``I_x(df / 2, 1 / 2)`` with ``x = df / (df + t^2)`` by
    its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22).
    """
    square = statistic * statistic
    if square == 0:
        return 1.0
    log_x, log_rest = -log1p(square / df), -log1p(df / square)
    a, b = df / 2, 0.5
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log_x + b * log_rest)
    # The fraction converges fast on one side of (a + 1) / (a + b + 2); the other is 1 minus it.
    if log_x < log((a + 1) / (a + b + 2)):
        return front * _fraction(a, b, exp(log_x)) / a
    return 1 - front * _fraction(b, a, exp(log_rest)) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function, by Lentz's method."""
    upper, lower = 1.0, 1 - (a + b) * x / (a + 1)
    lower = 1 / (lower if abs(lower) > _TINY else _TINY)
    value = lower
    for m in range(1, _MOST):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            lower = 1 + term * lower
            upper = 1 + term / upper
            lower = 1 / (lower if abs(lower) > _TINY else _TINY)
            upper = upper if abs(upper) > _TINY else _TINY
            value *= lower * upper
        if abs(lower * upper - 1) < _SETTLED:
            break
    return value
