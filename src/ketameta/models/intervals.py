"""Weighted least squares, and intervals for its means and for the between-study variance.

Every interval of every model is computed here; prediction intervals in ``prediction``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import Floats, check_share
from ketameta.errors import ImpossibleDataError, UsageError, check_choice
from ketameta.measures import CI_METHODS
from ketameta.models.tau2 import (
    ROOT_RTOL,
    Search,
    estimate_tau2,
    prepared,
    profile_log_likelihood,
    search_grid,
    solve_q,
)

#: Ways to an interval for tau-squared.
TAU2_INTERVALS = ("q-profile", "profile-likelihood")
#: A Knapp-Hartung scale factor below this is rounding of zero: all estimates are equal.
ZERO_SCALE = 1e-20
#: Residuals below this share of the effects are the rounding error of an exact fit.
EXACT_FIT = 1e-13


class LeastSquares(NamedTuple):
    """A weighted regression: ``coefficients`` (p,), ``covariance`` (p, p), ``rss``, ``df``."""

    coefficients: Floats
    covariance: Floats
    rss: float
    df: int


def dispersion(squares: float, effects: float) -> float:
    """Return a sum of squared residuals; 0 where it is rounding beside that of the effects."""
    return squares if squares > EXACT_FIT**2 * effects else 0.0


def weighted_least_squares(y: Floats, design: Floats, w: Floats) -> LeastSquares:
    """Regress ``y`` on ``design`` with weights ``w``; all of length k.

    The covariance is ``(X' W X)^-1``, through a QR decomposition of ``W^(1/2) X``.
    """
    k, p = design.shape
    if p == 1 and (design == 1).all():
        total = float(w.sum())
        mean = float(w @ y) / total
        mean += float(w @ (y - mean)) / total  # one step of refinement
        residual = y - mean
        rss = float((w * residual) @ residual)
        return LeastSquares(np.array([mean]), np.array([[1 / total]]), rss, k - 1)
    root = np.sqrt(w)
    q, r = np.linalg.qr(root[:, None] * design)
    coefficients = np.linalg.solve(r, q.T @ (root * y))
    coefficients = coefficients + np.linalg.solve(r, q.T @ (root * (y - design @ coefficients)))
    inverse = np.linalg.solve(r, np.eye(p))
    residual = y - design @ coefficients
    return LeastSquares(coefficients, inverse @ inverse.T, float(w @ (residual * residual)), k - p)


class Inference(NamedTuple):
    """Standard errors and what follows from them, arrays of shape (p,), by a covariance (p, p).

    Statistic, p-value and bounds are NaN where the standard error is 0: no test and no interval
    exist. ``df`` is None for the normal distribution; ``scale`` is the Knapp-Hartung factor on the
    variance that was used (1 for Wald).
    """

    se: Floats
    statistic: Floats
    df: int | None
    p_value: Floats
    ci_low: Floats
    ci_high: Floats
    covariance: Floats
    scale: float

    def at(self, j: int) -> dict[str, Any]:
        """Return se, test, df and interval of one coefficient; None where there is no number."""
        found: dict[str, Any] = {"se": float(self.se[j]), "df": self.df}
        for name in ("statistic", "p_value", "ci_low", "ci_high"):
            value = float(getattr(self, name)[j])
            found[name] = value if math.isfinite(value) else None
        return found


def check_level(level: float) -> float:
    """Return the share that an interval covers, 0.5 or more; refuse the level of a test."""
    return check_share("level", level)


def critical_value(level: float, df: float | None) -> float:
    """Return the two-sided critical value of t, or of the normal distribution without df."""
    upper = 0.5 + level / 2
    return float(special.ndtri(upper) if df is None else special.stdtrit(df, upper))


def two_sided_p(statistic: Floats, df: float | Floats | None) -> Floats:
    """Return two-sided p-values of t, or of z without df, accurate in the far tails."""
    size = np.abs(statistic)
    if df is None:
        return np.asarray(special.erfc(size / np.sqrt(2)))
    return np.asarray(special.betainc(df / 2, 0.5, df / (df + size**2)))


def mean_inference(
    fit: LeastSquares, ci_method: str = "knapp-hartung-conservative", level: float = 0.95
) -> Inference:
    """Test the coefficients of a weighted regression and give their intervals.

    Parameters
    ----------
    fit : LeastSquares
        With weights ``1 / (v + tau2)``.
    ci_method : {"wald", "knapp-hartung", "knapp-hartung-conservative"}
        ``wald``: normal quantiles. ``knapp-hartung``: the covariance times ``rss / (k - p)`` and
        t with k - p degrees of freedom. ``knapp-hartung-conservative``: the same with the factor
        not below 1, so that it never narrows an interval.
    level : float
        Between 0 and 1.

    Notes
    -----
    The same as metafor's ``test = "z"``, ``"knha"`` and ``"adhoc"``. Where plain Knapp-Hartung
    meets identical estimates metafor prints a standard error and p of 0; here test and interval
    are NaN, and the fit withholds them with a caveat.

    References
    ----------
    Hartung and Knapp (2001), Stat. Med. 20, 3875-3889. Knapp and Hartung (2003), Stat. Med. 22,
    2693-2710. Rover, Knapp and Friede (2015), BMC Med. Res. Methodol. 15, 99 (the floor).
    """
    check_choice("ci_method", ci_method, CI_METHODS)
    scale, df = 1.0, None
    if ci_method != "wald":
        df = fit.df
        scale = fit.rss / fit.df
        if ci_method == "knapp-hartung-conservative":
            scale = max(1.0, scale)
        elif scale < ZERO_SCALE:
            scale = 0.0
    covariance = fit.covariance * scale
    se = np.sqrt(covariance.diagonal())
    critical = critical_value(level, df)
    if (se > 0).all():
        statistic, half = fit.coefficients / se, critical * se
    else:
        statistic = np.full(se.shape, np.nan)
        np.divide(fit.coefficients, se, out=statistic, where=se > 0)
        half = np.where(se > 0, critical * se, np.nan)
    ends = fit.coefficients - half, fit.coefficients + half
    return Inference(se, statistic, df, two_sided_p(statistic, df), *ends, covariance, scale)


class WaldTest(NamedTuple):
    """A joint test: chi-squared with ``df``, or F with ``df`` and ``df2``; None where undefined."""

    statistic: float | None
    df: int
    df2: int | None
    p_value: float | None


def wald_test(
    coefficients: Floats, covariance: Floats, df: int | None, columns: Sequence[int]
) -> WaldTest:
    """Test that the coefficients at ``columns`` are all 0.

    ``b' C^-1 b``, chi-squared; with ``df`` (Knapp-Hartung) divided by their number and F. The same
    as metafor's QM. Undefined where a standard error is 0.
    """
    at = list(columns)
    m = len(at)
    if m == 1:
        variance = float(covariance[at[0], at[0]])
        if not variance > 0:
            return WaldTest(None, m, df, None)
        q = float(coefficients[at[0]]) ** 2 / variance
        tail = special.chdtrc(m, q) if df is None else special.fdtrc(m, df, q)
        return WaldTest(q, m, df, float(tail))
    block, b = covariance[np.ix_(at, at)], coefficients[at]
    root = np.sqrt(np.diag(block))
    if not np.all(root > 0):
        return WaldTest(None, m, df, None)
    scaled = b / root
    q = float(scaled @ np.linalg.solve(block / np.outer(root, root), scaled))
    if df is None:
        return WaldTest(q, m, None, float(special.chdtrc(m, q)))
    return WaldTest(q / m, m, df, float(special.fdtrc(m, df, q / m)))


def holm(p_values: ArrayLike) -> Floats:
    """Return Holm-adjusted p-values.

    Parameters
    ----------
    p_values : array_like of shape (m,)
        Of all tests of the family; between 0 and 1.

    Returns
    -------
    ndarray of shape (m,)
        In the order given. Rejecting those at or below alpha keeps the chance of any false
        rejection at alpha, however the tests depend on each other.

    Raises
    ------
    ImpossibleDataError
        If a value is not between 0 and 1.

    Notes
    -----
    ``max over j <= i of (m - j + 1) p_(j)``, not above 1: Holm (1979), Scand. J. Stat. 6, 65-70;
    R's ``p.adjust(method = "holm")``.
    """
    p = np.asarray(p_values, dtype=np.float64).ravel()
    wrong = [f"p_values[{i}] is {value:g}" for i, value in enumerate(p) if not 0 <= value <= 1]
    if wrong:
        raise ImpossibleDataError(f"{', '.join(wrong[:6])}; a p-value lies between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


class Tau2Interval(NamedTuple):
    """``low`` and ``high`` in squared units of the effect; ``empty`` when no tau-squared fits."""

    low: float
    high: float
    empty: bool = False


def tau2_interval(
    y: Floats,
    v: Floats,
    design: Floats,
    *,
    method: str = "q-profile",
    tau2_method: str = "REML",
    level: float = 0.95,
) -> Tau2Interval:
    """Return a confidence interval for the between-study variance.

    Parameters
    ----------
    method : {"q-profile", "profile-likelihood"}
        ``q-profile`` needs no estimate: the values at which the generalised Q equals the two
        chi-squared quantiles. ``profile-likelihood`` is for ML and REML.
    tau2_method : str
        The likelihood of the second method.

    Notes
    -----
    When Q is below the lower quantile even at 0 no tau-squared is compatible with the data; the
    interval is empty: 0 to 0 (as metafor prints it) with ``empty`` set, and fits hold None. A
    profile-likelihood interval runs from the lowest to the highest value that is not rejected;
    with several maxima it may contain rejected values.

    metafor's root finder has an absolute tolerance of 1.2e-4 and an upper limit of 100 or ten
    times the estimate; ours are relative.

    References
    ----------
    Viechtbauer (2007), Stat. Med. 26, 37-52 (both). Hardy and Thompson (1996), Stat. Med. 15,
    619-629 (profile likelihood).
    """
    check_choice("method", method, TAU2_INTERVALS)
    data = prepared(y, v, design)
    if method == "q-profile":
        return q_profile(data, level)
    square = data.scale**2
    if tau2_method not in ("ML", "REML"):
        raise UsageError(
            f"a profile-likelihood interval needs tau2_method 'ML' or 'REML', not {tau2_method!r}"
        )
    best = estimate_tau2(y, v, design, tau2_method).value / square
    found = _profile_bounds(data, best, restricted=tau2_method == "REML", level=level)
    return Tau2Interval(found[0] * square, found[1] * square)


def q_profile(data: Search, level: float) -> Tau2Interval:
    """Return the Q-profile interval of prepared data, in squared units of the effect."""
    k, p = data.basis.shape
    tail, square = (1 - level) / 2, data.scale**2
    upper, lower = float(special.chdtri(k - p, tail)), float(special.chdtri(k - p, 1 - tail))
    low, high = solve_q(data, upper), solve_q(data, lower)
    return Tau2Interval(low * square, high * square, empty=high == 0.0)


def _profile_bounds(
    data: Search, best: float, *, restricted: bool, level: float
) -> tuple[float, float]:
    """Return the outermost values whose deviance from ``best`` is below the chi-squared limit."""
    from scipy.optimize import brentq

    limit = 0.5 * float(special.chdtri(1, 1 - level))
    top = float(profile_log_likelihood(data, np.array([best]), restricted=restricted)[0])

    def drop(t: float) -> float:
        at = profile_log_likelihood(data, np.array([t]), restricted=restricted)
        return top - float(at[0]) - limit

    grid = search_grid(data, restricted=restricted)
    drops = top - profile_log_likelihood(data, grid, restricted=restricted) - limit
    low = 0.0
    if drops[0] > 0:
        below = np.flatnonzero((drops <= 0) & (grid <= best))
        inside = float(grid[below[0]]) if below.size else best
        before = float(grid[np.flatnonzero(grid < inside)[-1]])
        low = float(brentq(drop, before, inside, xtol=1e-300, rtol=ROOT_RTOL))
    above = np.flatnonzero((drops <= 0) & (grid > best))
    start = float(grid[above[-1]]) if above.size else best
    stop = 2 * start + float(data.v.max())
    while drop(stop) <= 0:
        start, stop = stop, 4 * stop
    return low, float(brentq(drop, start, stop, xtol=1e-300, rtol=ROOT_RTOL))


def prediction_bounds(
    estimate: float, se: float, tau2: float, df: float | None, level: float
) -> tuple[float, float]:
    """Return ``estimate -+ t sqrt(tau2 + se^2)``; the normal quantile without ``df``."""
    half = critical_value(level, df) * float(np.hypot(se, np.sqrt(tau2)))
    return estimate - half, estimate + half
