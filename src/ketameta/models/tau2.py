"""Eight estimators of the between-study variance, alike in any unit of the effect.

Each takes ``y`` (k,), ``v`` (k,) and a design (k, p). Heterogeneity statistics stand beside them;
intervals for tau-squared live in ``intervals``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special
from scipy.optimize import brentq

from ketameta.errors import NotEstimableError, check_choice
from ketameta.measures import TAU2_METHODS
from ketameta.models.least_squares import (
    Array,
    dispersion,
    moments,
    orthonormal_basis,
    power_of_two_scale,
    residualised,
)

#: No between-study variance at all: the common-effect model.
COMMON = "common"
#: Step of the search grid in ``log(tau2 + smallest variance)``, of which the likelihood is a smooth
#: function: at 0.1 every maximum that a 4,000-point grid finds on the reference data is seen.
GRID_STEP = 0.1
#: Relative tolerance of a root: four machine epsilons, the least that the search accepts.
ROOT_RTOL = 4 * float(np.finfo(float).eps)


class Tau2(NamedTuple):
    """An estimate of the between-study variance.

    Attributes
    ----------
    value : float
        In squared units of the effect, >= 0.
    se : float or None
        Its asymptotic standard error, where metafor gives one; None in the common-effect model.
    maxima : int
        Number of local maxima of the likelihood (1 for estimators that have one solution).
    gap : float or None
        Log-likelihood of the best maximum less that of the next; None when there is only one.
    """

    value: float
    se: float | None
    maxima: int = 1
    gap: float | None = None


class Search(NamedTuple):
    """Data prepared for a search: scaled by a power of two, residualised on the design."""

    y: Array
    v: Array
    basis: Array
    scale: float


def prepared(y: Array, v: Array, design: Array) -> Search:
    """Return the data in units of a power of two near the median standard error."""
    scale = power_of_two_scale(v)
    basis = orthonormal_basis(design)
    return Search(residualised(y / scale, basis), v / scale**2, basis, scale)


def estimate_tau2(y: Array, v: Array, design: Array, method: str = "REML") -> Tau2:
    """Estimate the between-study variance.

    Parameters
    ----------
    y, v : ndarray of shape (k,)
        Estimates and their sampling variances, > 0.
    design : ndarray of shape (k, p)
        Full rank, p < k; a column of ones for a random-effects model.
    method : {"DL", "PM", "HE", "HS", "SJ", "ML", "REML", "EB", "common"}
        ``DL`` DerSimonian-Laird, ``PM`` Paule-Mandel, ``HE`` Hedges, ``HS`` Hunter-Schmidt,
        ``SJ`` Sidik-Jonkman started at the variance of the estimates, ``ML`` and ``REML``
        (restricted) maximum likelihood, ``EB`` empirical Bayes.

    Returns
    -------
    Tau2

    Raises
    ------
    UsageError
        If ``method`` is not one of the choices.

    Notes
    -----
    Formulas as in Viechtbauer (2005) and Viechtbauer, Lopez-Lopez, Sanchez-Meca and Marin-Martinez
    (2015), with metafor's definitions: HS divides by the sum of the weights and starts from
    ``Q - k``; SJ starts from the variance of the estimates with divisor k. EB and PM solve the
    same equation and give the same value. ML and REML search all of ``[0, bound]``, where the score
    is provably negative beyond the bound, and keep the highest of the maxima found; metafor climbs
    from the Hedges estimate and stops at the first.

    Multiplying ``y`` by c and ``v`` by c squared multiplies the value by c squared. metafor 3.8-1
    and 5.1-12 have absolute tolerances (1e-5 for ML, REML and EB, 1.2e-4 for PM) and do not.

    References
    ----------
    Viechtbauer (2005), J. Educ. Behav. Stat. 30, 261-293. Viechtbauer et al. (2015),
    Psychol. Methods 20, 360-374. Sidik and Jonkman (2005), J. R. Stat. Soc. C 54, 367-384.
    """
    check_choice("tau2_method", method, (*TAU2_METHODS, COMMON))
    if method == COMMON:
        return Tau2(0.0, None)
    data = prepared(y, v, design)
    if method in ("ML", "REML"):
        found = _likelihood(data, restricted=method == "REML")
    elif method in ("PM", "EB"):
        found = _paule_mandel(data)
    elif method == "SJ":
        found = _sidik_jonkman(data, float(np.var(y / data.scale)))
    else:
        found = _moment(data, method)
    square = data.scale**2
    se = None if found.se is None else found.se * square
    return Tau2(found.value * square, se, found.maxima, found.gap)


def _moment(data: Search, method: str) -> Tau2:
    """DL, HE and HS: equate one quadratic form with its expectation."""
    y, v, basis, _ = data
    k, p = basis.shape
    if method == "HE":
        leverage = (basis * basis).sum(1)
        trace_pv = float((v * (1 - leverage)).sum())
        value = max(0.0, (float(y @ y) - trace_pv) / (k - p))
        cross = basis.T @ (v[:, None] * basis)
        trace_pvpv = float((v * v * (1 - 2 * leverage)).sum() + (cross * cross).sum())
        spread = 2 * trace_pvpv + 4 * value * trace_pv + 2 * value**2 * (k - p)
        return Tau2(value, float(np.sqrt(spread)) / (k - p))
    w = 1 / v
    at = moments(y, basis, w[None, :])
    rss, trace, trace_squared = float(at.rss[0]), float(at.trace[0]), float(at.trace_squared[0])
    divisor = trace if method == "DL" else float(w.sum())
    expected = k - p if method == "DL" else k
    value = max(0.0, (rss - expected) / divisor)
    spread = 2 * (k - p) + 4 * value * trace + 2 * value**2 * trace_squared
    return Tau2(value, float(np.sqrt(spread)) / divisor)


def _sidik_jonkman(data: Search, start: float) -> Tau2:
    """SJ: one step from the variance of the estimates (divisor k)."""
    y, v, basis, _ = data
    k, p = basis.shape
    if start == 0:
        # All estimates are equal: the step multiplies by zero, whatever the weights.
        return Tau2(0.0, 0.0)
    w = 1 / (v + start)
    value = start * float(moments(y, basis, w[None, :]).rss[0]) / (k - p)
    q = np.linalg.qr(np.sqrt(w)[:, None] * basis)[0]
    leverage = (q * q).sum(1)
    qw, qwv = q.T @ (w[:, None] * q), q.T @ ((w * v)[:, None] * q)
    trace_pp = (w * w * (1 - 2 * leverage)).sum() + (qw * qw).sum()
    trace_ppv = (w * w * v * (1 - 2 * leverage)).sum() + (qw * qwv).sum()
    trace_pvpv = ((w * v) ** 2 * (1 - 2 * leverage)).sum() + (qwv * qwv).sum()
    spread = 2 * trace_pvpv + 4 * value * trace_ppv + 2 * value**2 * trace_pp
    return Tau2(value, start / (k - p) * float(np.sqrt(spread)))


def solve_q(data: Search, target: float) -> float:
    """Return the tau-squared (scaled units) at which the generalised Q equals ``target``.

    Q falls strictly from its value at 0 towards 0; where it starts below the target the answer
    is 0. The upper bound follows from ``Q(t) <= S / (t + min v)`` with ``S`` the residual sum of
    squares of ordinary least squares.
    """
    y, v, basis, _ = data

    def excess(t: float) -> float:
        return float(moments(y, basis, (1 / (v + t))[None, :]).rss[0]) / target - 1

    if excess(0.0) <= 0:
        return 0.0
    high = float(y @ y) / target - float(v.min())
    return _root(excess, 0.0, high * (1 + 1e-9) + 1e-9)


def _paule_mandel(data: Search) -> Tau2:
    """PM and EB: the tau-squared at which the generalised Q equals its degrees of freedom."""
    k, p = data.basis.shape
    value = solve_q(data, k - p)
    total = float((1 / (data.v + value)).sum())
    return Tau2(value, float(np.sqrt(2 * k**2 / (k - p))) / total)


def score(data: Search, tau2: Array, *, restricted: bool) -> Array:
    """Return twice the derivative of the (restricted) log-likelihood at each tau-squared."""
    w = 1 / (data.v + tau2[:, None])
    at = moments(data.y, data.basis, w)
    return at.score - (at.trace if restricted else w.sum(-1))


def profile_log_likelihood(data: Search, tau2: Array, *, restricted: bool) -> Array:
    """Return the (restricted) log-likelihood at each tau-squared, up to a constant."""
    w = 1 / (data.v + tau2[:, None])
    at = moments(data.y, data.basis, w)
    value: Array = 0.5 * np.log(w).sum(-1) - 0.5 * at.rss
    return value - 0.5 * at.log_det if restricted else value


def search_grid(data: Search, *, restricted: bool) -> Array:
    """Return tau-squared from 0 to beyond every stationary point of the likelihood.

    The score is negative where ``S (t + max v) < m (t + min v)^2``, with ``S`` the residual sum
    of squares of ordinary least squares and ``m`` = k (ML) or k - p (REML), because
    ``y'PPy <= S max(w)^2`` and the trace is at least ``m min(w)``. The grid is even in
    ``log(t + min v)``.
    """
    y, v, basis, _ = data
    k, p = basis.shape
    m = k - p if restricted else k
    low, high, total = float(v.min()), float(v.max()), float(y @ y)
    b, c = 2 * m * low - total, m * low**2 - total * high
    bound = max(0.0, (-b + np.sqrt(max(0.0, b * b - 4 * m * c))) / (2 * m))
    span = np.log1p(bound / low)
    points = int(np.ceil(span / GRID_STEP)) + 2
    grid: Array = low * np.expm1(np.linspace(0.0, span * (1 + 1e-9) + 1e-6, points))
    return grid


def _likelihood(data: Search, *, restricted: bool) -> Tau2:
    """ML and REML: every change of sign of the score, then the highest maximum."""
    grid = search_grid(data, restricted=restricted)
    slope = score(data, grid, restricted=restricted)

    def slope_at(t: float) -> float:
        return float(score(data, np.array([t]), restricted=restricted)[0])

    peaks = [0.0] if slope[0] <= 0 else []
    for i in np.flatnonzero((slope[:-1] > 0) & (slope[1:] <= 0)):
        peaks.append(_root(slope_at, float(grid[i]), float(grid[i + 1])))
    heights = profile_log_likelihood(data, np.array(peaks), restricted=restricted)
    order = np.argsort(-heights, kind="stable")
    value = peaks[order[0]]
    gap = float(heights[order[0]] - heights[order[1]]) if len(peaks) > 1 else None
    w = 1 / (data.v + value)
    information = (
        float(moments(data.y, data.basis, w[None, :]).trace_squared[0])
        if restricted
        else float(w @ w)
    )
    return Tau2(value, float(np.sqrt(2 / information)), len(peaks), gap)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the root in ``[low, high]`` to a relative tolerance; there is no absolute one."""
    try:
        return float(brentq(function, low, high, xtol=1e-300, rtol=ROOT_RTOL, maxiter=500))
    except (RuntimeError, ValueError) as problem:
        raise NotEstimableError(
            f"the search for the between-study variance did not converge: {problem}"
        ) from problem


class Heterogeneity(NamedTuple):
    """Statistics of heterogeneity; shares are of one, not per cent.

    Attributes
    ----------
    q, q_df, q_p_value : float, int, float
        Cochran's Q (residual heterogeneity in a regression), its degrees of freedom, p-value.
    i2, h2 : float
        From tau-squared and the typical sampling variance, as metafor does.
    i2_q, h2_q : float
        From Q, as RevMan did before 2024 and as PyMARE and meta do.
    typical_variance : float
        The typical sampling variance, in squared units of the effect.
    """

    q: float
    q_df: int
    q_p_value: float
    i2: float
    h2: float
    i2_q: float
    h2_q: float
    typical_variance: float


def heterogeneity(y: Array, v: Array, design: Array, tau2: float | None) -> Heterogeneity:
    """Return Q and the statistics derived from it and from tau-squared.

    Parameters
    ----------
    y, v : ndarray of shape (k,)
        Estimates and sampling variances.
    design : ndarray of shape (k, p)
        Full rank, p < k.
    tau2 : float or None
        The estimate to describe; None for the common-effect model, whose ``i2`` and ``h2`` are
        those from Q.

    Notes
    -----
    ``i2 = tau2 / (tau2 + s2)`` and ``h2 = 1 + tau2 / s2``, with the typical variance
    ``s2 = (k - p) / tr(P)`` of Higgins and Thompson (2002, eq. 9), extended to regressions by
    the projection matrix; this is metafor's definition. ``i2_q = (Q - df) / Q``, not below 0, and
    ``h2_q = Q / df`` are theirs too (the same paper); the two agree when tau-squared is the
    DerSimonian-Laird estimate.

    References
    ----------
    Higgins and Thompson (2002), Stat. Med. 21, 1539-1558.
    """
    k, p = design.shape
    df = k - p
    scale = power_of_two_scale(v)
    basis = orthonormal_basis(design)
    w = (scale**2 / v)[None, :]
    at = moments(residualised(y / scale, basis), basis, w)
    q = dispersion(float(at.rss[0]), float(w[0] @ (y / scale) ** 2))
    typical = df / float(at.trace[0]) * scale**2
    i2_q = max(0.0, (q - df) / q) if q > 0 else 0.0
    h2_q = q / df
    if tau2 is None:
        i2, h2 = i2_q, h2_q
    else:
        i2, h2 = tau2 / (tau2 + typical), 1 + tau2 / typical
    return Heterogeneity(q, df, float(special.chdtrc(df, q)), i2, h2, i2_q, h2_q, typical)


def log_likelihood(y: Array, v: Array, design: Array, tau2: float, *, restricted: bool) -> float:
    """Return the log-likelihood at ``tau2``, with every constant, as metafor's ``logLik``.

    The restricted one includes ``log |X'X| / 2`` (metafor's default), so that it does not depend
    on the coding of the design.
    """
    k, p = design.shape
    scale = power_of_two_scale(v)
    basis = orthonormal_basis(design)
    w = (scale**2 / (v + tau2))[None, :]
    at = moments(residualised(y / scale, basis), basis, w)
    m = k - p if restricted else k
    value = -0.5 * m * np.log(2 * np.pi) + 0.5 * float(np.log(w).sum()) - 0.5 * float(at.rss[0])
    if restricted:
        value -= 0.5 * float(at.log_det[0])
    return float(value - m * np.log(scale))


class FitStatistics(NamedTuple):
    """``log_likelihood, deviance, aic, bic, aicc`` by metafor's definitions."""

    log_likelihood: float
    deviance: float
    aic: float
    bic: float
    aicc: float


def fit_statistics(
    y: Array, v: Array, design: Array, tau2: float, *, restricted: bool, parameters: int
) -> FitStatistics:
    """Return the log-likelihood and information criteria at ``tau2``.

    Restricted for REML, full for every other method. The deviance of a full likelihood is taken
    from the saturated model, that of a restricted one from zero; BIC and AICc count k or k - p
    observations. ``parameters`` counts the coefficients and, when it is estimated, tau-squared.
    """
    k, p = design.shape
    value = log_likelihood(y, v, design, tau2, restricted=restricted)
    n = k - p if restricted else k
    saturated = 0.0 if restricted else -0.5 * float(np.log(2 * np.pi * v).sum())
    enough = max(n, parameters + 2)
    return FitStatistics(
        value,
        -2 * (value - saturated),
        -2 * value + 2 * parameters,
        -2 * value + parameters * float(np.log(n)),
        -2 * value + 2 * parameters * enough / (enough - parameters - 1),
    )
