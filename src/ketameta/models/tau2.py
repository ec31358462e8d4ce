"""Eight estimators of the between-study variance, alike in any unit of the effect.

Each is one entry of :data:`ESTIMATORS`: for one data set (``y`` (k,), ``v`` (k,), a design (k, p))
and for all columns of a batch. What follows from an estimate is in ``mixed_model``, intervals for
tau-squared in ``intervals``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ketameta.effects.arrays import Floats
from ketameta.errors import NotEstimableError, check_choice
from ketameta.models.resampling.batch import AnyBatch

#: No between-study variance at all: the common-effect model.
COMMON = "common"
#: Step of the search grid in ``log(tau2 + smallest variance)``, of which the likelihood is a smooth
#: function: at 0.1 every maximum that a 4,000-point grid finds on the reference data is seen.
GRID_STEP = 0.1
#: Relative tolerance of a root: four machine epsilons, the least that the search accepts.
ROOT_RTOL = 4 * float(np.finfo(float).eps)
#: Ratio of the largest to the smallest variance up to which sums of weights keep twelve digits.
TAME_RATIO = 1e4
#: A Newton step below this share of ``tau2 + min v`` is the last: the error left is its square.
LAST_STEP = 3e-7
#: A search of columns starts at one of so many equal parts of its bracket, so that the last bits of
#: the scores on the grid, which depend on how a batch is cut, do not reach the result.
START_PARTS = 4096
#: Studies of all columns, at several points of the grid where they are few, in one call.
TOGETHER = 2**14
#: Steps of a search; a bracket is halved at worst, and 200 halvings empty any double.
MOST_STEPS = 200
#: Studies from which one maximum is proved by bounds on the score rather than seen on a grid.
MANY_STUDIES = 400
#: Of that proof: share of ``tau2 + typical v`` around the maximum in which the score is shown to
#: fall, steps of the search and of the march to either end, how much shorter each is than the
#: longest that could be right, and the least. Where it does not come out, the grid decides.
NEAR, NEWTON_STEPS, MARCH_STEPS, CAUTION, LEAST_RATIO = 0.12, 12, 40, 0.98, 1.005


# --- the projections behind every estimator: arrays in, arrays out --------------------------------


class Moments(NamedTuple):
    """What the estimators of tau-squared need at T sets of weights, each of shape (T,).

    With ``W = diag(w)`` and ``P = W - W X (X' W X)^-1 X' W`` (Viechtbauer 2005): ``rss = y'Py``,
    ``score = y'PPy``, ``trace = tr(P)``, ``trace_squared = tr(PP)``, and ``log_det = log |B'WB|``
    for the orthonormal basis B that was given.
    """

    rss: Floats
    score: Floats
    trace: Floats
    trace_squared: Floats
    log_det: Floats


def power_of_two_scale(variances: Floats) -> float:
    """Return the power of two nearest the median standard error.

    Dividing by it moves data to the size of 1 without a rounding error, so that no tolerance
    depends on the unit of the effect.
    """
    k = len(variances)
    middle = np.partition(variances, (k // 2, (k - 1) // 2))
    median = (float(middle[k // 2]) + float(middle[(k - 1) // 2])) / 2
    return float(2.0 ** round(0.5 * math.log2(median)))


def orthonormal_basis(design: Floats) -> Floats:
    """Return an orthonormal basis of the columns of ``design``, shape (k, p)."""
    if design.shape[1] == 1 and (design == 1).all():
        return np.full(design.shape, len(design) ** -0.5)
    basis: Floats = np.linalg.qr(design)[0]
    return basis


def residualised(y: Floats, basis: Floats) -> Floats:
    """Return ``y`` less its ordinary least squares fit; shape (k,) or (T, k).

    ``P`` annihilates the fit, so every moment is unchanged while the numbers stay small.
    """
    residual: Floats = y - (y @ basis) @ basis.T
    return residual


def moments(y: Floats, basis: Floats, w: Floats) -> Moments:
    """Return the projections of residualised ``y`` (k,) or (T, k) at each set of weights (T, k).

    One column of the orthonormal ``basis`` (k, p) takes the closed form; more take a QR
    decomposition of ``W^(1/2) B``, which keeps half the digits that inverting ``X' W X`` would
    lose.
    """
    p = basis.shape[1]
    w2 = w * w
    if p == 0:
        py = w * y
        return Moments((py * y).sum(-1), (py * py).sum(-1), w.sum(-1), w2.sum(-1), np.zeros(len(w)))
    if p == 1:
        b = basis[:, 0]
        share = w * (b * b)
        g = share.sum(-1)
        residual = y - ((w * y) @ b / g)[:, None] * b
        py = w * residual
        # 1 - leverage of the heaviest study from the others' weights: no digits are lost.
        rows, heaviest = np.arange(len(w)), share.argmax(-1)
        free = 1 - share / g[:, None]
        share[rows, heaviest] = 0
        free[rows, heaviest] = share.sum(-1) / g
        diagonal = w * free
        cross = w2 * (b * b) / g[:, None]
        largest = cross[rows, heaviest]
        cross[rows, heaviest] = 0
        rest = cross.sum(-1)
        trace_squared = (diagonal * diagonal + cross * (rest[:, None] - cross)).sum(-1)
        trace_squared += 2 * largest * rest
        return Moments(
            (py * residual).sum(-1), (py * py).sum(-1), diagonal.sum(-1), trace_squared, np.log(g)
        )
    root = np.sqrt(w)
    q, r = np.linalg.qr(root[:, :, None] * basis)
    z = root * y
    e = z - np.einsum("tkp,tp->tk", q, np.einsum("tkp,tk->tp", q, z))
    leverage = (q * q).sum(-1)
    qwq = np.swapaxes(q, 1, 2) @ (w[:, :, None] * q)
    return Moments(
        (e * e).sum(-1),
        (w * e * e).sum(-1),
        (w * (1 - leverage)).sum(-1),
        (w2 * (1 - 2 * leverage)).sum(-1) + (qwq * qwq).sum((1, 2)),
        2 * np.log(np.abs(np.diagonal(r, axis1=1, axis2=2))).sum(-1),
    )


# --- one data set ---------------------------------------------------------------------------------


class Tau2(NamedTuple):
    """An estimate of the between-study variance: ``value``, in squared units of the effect, >= 0.

    ``se`` is its asymptotic standard error (None in the common-effect model); ``maxima`` counts the
    local maxima of the likelihood, and ``gap`` is the log-likelihood of the best less that of the
    next, None when there is only one.
    """

    value: float
    se: float | None
    maxima: int = 1
    gap: float | None = None


class Search(NamedTuple):
    """Data prepared for a search: scaled by a power of two, residualised on the design.

    ``effects`` are the scaled estimates themselves; ``tame`` says that weights differ so little
    that plain sums keep their digits, ``mean`` that the design is a column of ones.
    """

    y: Floats
    v: Floats
    basis: Floats
    scale: float
    effects: Floats
    tame: bool
    mean: bool


def prepared(y: Floats, v: Floats, design: Floats) -> Search:
    """Return the data in units of a power of two near the median standard error."""
    scale = power_of_two_scale(v)
    basis = orthonormal_basis(design)
    effects, variances = y / scale, v / (scale * scale)
    tame = bool(variances.max() <= TAME_RATIO * variances.min())
    mean = design.shape[1] == 1 and bool((design == 1).all())
    return Search(residualised(effects, basis), variances, basis, scale, effects, tame, mean)


class Projection(NamedTuple):
    """What a search needs at one tau-squared, as in :class:`Moments`; ``cubic`` is ``y'PPPy``."""

    rss: float
    score: float
    trace: float
    total: float
    total_squared: float
    cubic: float = 0.0
    trace_squared: float = 0.0


def projection(data: Search, tau2: float, *, derivative: bool = False) -> Projection:
    """Return the projections of the data at one tau-squared, by plain sums where they are tame.

    ``cubic`` and ``trace_squared`` are 0 unless ``derivative``, and ``cubic`` is 0 for data that
    are not tame, whose searches need no derivative.
    """
    y, basis = data.y, data.basis
    w = 1 / (data.v + tau2)
    total, squared = float(w.sum()), float(w @ w)
    if not data.tame:
        at = moments(y, basis, w[None, :])
        rss, score, trace, trace_squared, _ = (float(part[0]) for part in at)
        return Projection(rss, score, trace, total, squared, 0.0, trace_squared)
    cubic = trace_squared = 0.0
    if data.mean:
        r = y - float(w @ y) / total
        wr = w * r
        trace = total - squared / total
        if derivative:
            wwr = w * wr
            cubic = float(wwr @ wr) - float(wwr.sum()) ** 2 / total
            trace_squared = squared - 2 * float((w * w) @ w) / total + (squared / total) ** 2
        return Projection(
            float(wr @ r), float(wr @ wr), trace, total, squared, cubic, trace_squared
        )
    weighted = w[:, None] * basis
    inverse = _inverse(basis.T @ weighted)
    r = y - basis @ (inverse @ (y @ weighted))
    r -= basis @ (inverse @ (r @ weighted))  # one step of refinement
    wr = w * r
    second = weighted.T @ weighted
    trace = total - float((inverse * second).sum())
    if derivative:
        wwr = w * wr
        cross = wwr @ basis
        cubic = float(wwr @ wr) - float(cross @ inverse @ cross)
        product = inverse @ second
        third = (w[:, None] * weighted).T @ weighted
        trace_squared = squared - 2 * float((inverse * third).sum())
        trace_squared += float((product * product.T).sum())
    return Projection(float(wr @ r), float(wr @ wr), trace, total, squared, cubic, trace_squared)


def _inverse(gram: Floats) -> Floats:
    if gram.shape != (2, 2):
        return np.asarray(np.linalg.inv(gram), dtype=np.float64)
    (a, b), (_, d) = gram.tolist()
    scale = 1 / (a * d - b * b)
    return np.array([[d * scale, -b * scale], [-b * scale, a * scale]])


def estimate_tau2(y: Floats, v: Floats, design: Floats, method: str = "REML") -> Tau2:
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
    check_tau2_method(method, common=True)
    if method == COMMON:
        return Tau2(0.0, None)
    data = prepared(y, v, design)
    found = search_tau2(data, method)
    square = data.scale**2
    error = standard_error(data, method, found.value)
    return found._replace(value=found.value * square, se=error * square)


def search_tau2(data: Search, method: str) -> Tau2:
    """Return tau-squared in scaled units, without its standard error."""
    if method == COMMON:
        return Tau2(0.0, None)
    return ESTIMATORS[method].search(data)


def standard_error(data: Search, method: str, value: float) -> float:
    """Return the asymptotic standard error of an estimate, both in scaled units."""
    y, v, basis = data.y, data.v, data.basis
    k, p = basis.shape
    if method == "HE":
        leverage = (basis * basis).sum(1)
        cross = basis.T @ (v[:, None] * basis)
        trace_pvpv = float((v * v * (1 - 2 * leverage)).sum() + (cross * cross).sum())
        trace_pv = float((v * (1 - leverage)).sum())
        spread = 2 * trace_pvpv + 4 * value * trace_pv + 2 * value**2 * (k - p)
        return float(np.sqrt(spread)) / (k - p)
    if method in ("DL", "HS"):
        at = moments(y, basis, (1 / v)[None, :])
        trace, trace_squared = float(at.trace[0]), float(at.trace_squared[0])
        spread = 2 * (k - p) + 4 * value * trace + 2 * value**2 * trace_squared
        return float(np.sqrt(spread)) / (trace if method == "DL" else float((1 / v).sum()))
    if method == "SJ":
        start = float(np.var(data.effects))
        # With equal estimates the step multiplies by zero, whatever the weights.
        return 0.0 if start == 0 else start / (k - p) * _sidik_jonkman_spread(data, start, value)
    w = 1 / (v + value)
    if method in ("PM", "EB"):
        return float(np.sqrt(2 * k**2 / (k - p))) / float(w.sum())
    restricted = method == "REML"
    information = float(moments(y, basis, w[None, :]).trace_squared[0] if restricted else w @ w)
    return float(np.sqrt(2 / information))


def _moment(data: Search, *, method: str) -> Tau2:
    """DL, HE and HS: equate one quadratic form with its expectation."""
    y, v, basis = data.y, data.v, data.basis
    k, p = basis.shape
    if method == "HE":
        trace_pv = float((v * (1 - (basis * basis).sum(1))).sum())
        return Tau2(max(0.0, (float(y @ y) - trace_pv) / (k - p)), None)
    at = projection(data, 0.0)
    divisor = at.trace if method == "DL" else at.total
    return Tau2(max(0.0, (at.rss - (k - p if method == "DL" else k)) / divisor), None)


def _sidik_jonkman(data: Search) -> Tau2:
    """SJ: one step from the variance of the estimates (divisor k)."""
    k, p = data.basis.shape
    start = float(np.var(data.effects))
    return Tau2(start and start * projection(data, start).rss / (k - p), None)


def _sidik_jonkman_spread(data: Search, start: float, value: float) -> float:
    v = data.v
    w = 1 / (v + start)
    q = np.linalg.qr(np.sqrt(w)[:, None] * data.basis)[0]
    leverage = (q * q).sum(1)
    qw, qwv = q.T @ (w[:, None] * q), q.T @ ((w * v)[:, None] * q)
    trace_pp = (w * w * (1 - 2 * leverage)).sum() + (qw * qw).sum()
    trace_ppv = (w * w * v * (1 - 2 * leverage)).sum() + (qw * qwv).sum()
    trace_pvpv = ((w * v) ** 2 * (1 - 2 * leverage)).sum() + (qwv * qwv).sum()
    spread = 2 * trace_pvpv + 4 * value * trace_ppv + 2 * value**2 * trace_pp
    return float(np.sqrt(spread))


def solve_q(data: Search, target: float) -> float:
    """Return the tau-squared (scaled units) at which the generalised Q equals ``target``.

    Q falls strictly from its value at 0 towards 0; where it starts below the target the answer
    is 0. ``1 / Q`` is concave (Q is a sum of ``a / (t + b)`` with ``a, b >= 0``), so that Newton's
    steps from 0 rise to the root and never pass it.
    """
    value, floor = 0.0, float(data.v.min())
    for _ in range(MOST_STEPS):
        at = projection(data, value)
        if at.rss <= target:
            return value
        step = at.rss / target * (at.rss - target) / at.score
        value += step
        if step <= LAST_STEP * (value + floor):
            return value
    raise NotEstimableError("the search for the between-study variance did not converge")


def _paule_mandel(data: Search) -> Tau2:
    """PM and EB: the tau-squared at which the generalised Q equals its degrees of freedom."""
    k, p = data.basis.shape
    return Tau2(solve_q(data, k - p), None)


def score(data: Search, tau2: Floats, *, restricted: bool) -> Floats:
    """Return twice the derivative of the (restricted) log-likelihood at each tau-squared.

    By matrix products where the data are tame: they lose digits to cancellation and serve to find
    changes of sign.
    """
    w = 1 / (data.v + tau2[:, None])
    total = w.sum(-1)
    if not data.tame:
        at = moments(data.y, data.basis, w)
        return at.score - (at.trace if restricted else total)
    y, basis = data.y, data.basis
    if data.mean:
        shift = y - ((w @ y) / total)[:, None]
        squared = np.einsum("tk,tk->t", w, w)
        w *= shift
        first = np.einsum("tk,tk->t", w, w)
        return first - (total - squared / total if restricted else total)
    k, p = basis.shape
    pairs = (basis[:, :, None] * basis[:, None, :]).reshape(k, p * p)
    cross = basis * y[:, None]
    w2 = w * w
    first, second = w @ np.hstack([pairs, cross]), w2 @ np.hstack([pairs, cross])
    gram, gram2 = (x[:, : p * p].reshape(len(w), p, p) for x in (first, second))
    inverse = 1 / gram if p == 1 else np.linalg.inv(gram)
    beta = np.einsum("tab,tb->ta", inverse, first[:, p * p :])
    value = w2 @ (y * y) - 2 * (beta * second[:, p * p :]).sum(-1)
    value = value + np.einsum("ta,tab,tb->t", beta, gram2, beta)
    return value - (total - (inverse * gram2).sum((1, 2)) if restricted else total)


def profile_log_likelihood(data: Search, tau2: Floats, *, restricted: bool) -> Floats:
    """Return the (restricted) log-likelihood at each tau-squared, up to a constant."""
    w = 1 / (data.v + tau2[:, None])
    at = moments(data.y, data.basis, w)
    value: Floats = 0.5 * np.log(w).sum(-1) - 0.5 * at.rss
    return value - 0.5 * at.log_det if restricted else value


def search_bound(data: Search, *, restricted: bool) -> float:
    """Return a tau-squared beyond every stationary point of the likelihood.

    The score is negative where ``S (t + max v) < m (t + min v)^2``, with ``S`` the residual sum
    of squares of ordinary least squares and ``m`` = k (ML) or k - p (REML), because
    ``y'PPy <= S max(w)^2`` and the trace is at least ``m min(w)``.
    """
    k, p = data.basis.shape
    m = k - p if restricted else k
    low, high, total = float(data.v.min()), float(data.v.max()), float(data.y @ data.y)
    b, c = 2 * m * low - total, m * low**2 - total * high
    return max(0.0, (-b + math.sqrt(max(0.0, b * b - 4 * m * c))) / (2 * m))


def search_grid(data: Search, *, restricted: bool) -> Floats:
    """Return tau-squared from 0 to :func:`search_bound`, evenly in ``log(t + min v)``."""
    low = float(data.v.min())
    span = math.log1p(search_bound(data, restricted=restricted) / low)
    points = math.ceil(span / GRID_STEP) + 2
    step = (span * (1 + 1e-9) + 1e-6) / (points - 1)
    grid: Floats = low * np.expm1(step * np.arange(points))
    return grid


def _likelihood(data: Search, *, restricted: bool) -> Tau2:
    """ML and REML: every change of sign of the score, then the highest maximum."""
    if data.tame and len(data.y) >= MANY_STUDIES:
        single = single_maximum(data, restricted=restricted)
        if single is not None:
            return Tau2(single, None)
    grid = search_grid(data, restricted=restricted)
    slope = score(data, grid, restricted=restricted)
    peaks = [0.0] if slope[0] <= 0 else []
    for i in ((slope[:-1] > 0) & (slope[1:] <= 0)).nonzero()[0].tolist():
        ends = float(grid[i]), float(grid[i + 1])
        if data.tame:
            start = _between(grid[max(i - 1, 0) : i + 3], slope[max(i - 1, 0) : i + 3], *ends)
            peaks.append(_climb(data, *ends, start, restricted=restricted))
        else:
            peaks.append(_root(lambda t: _slope(data, t, restricted)[0], *ends))
    if len(peaks) == 1:
        return Tau2(peaks[0], None)
    heights = profile_log_likelihood(data, np.array(peaks), restricted=restricted)
    order = np.argsort(-heights, kind="stable")
    gap = float(heights[order[0]] - heights[order[1]])
    return Tau2(peaks[order[0]], None, len(peaks), gap)


def _slope(data: Search, tau2: float, restricted: bool) -> tuple[float, float]:
    """Return the score at one tau-squared, and its derivative."""
    at = projection(data, tau2, derivative=True)
    if restricted:
        return at.score - at.trace, at.trace_squared - 2 * at.cubic
    return at.score - at.total, at.total_squared - 2 * at.cubic


def _between(grid: Floats, slope: Floats, low: float, high: float) -> float:
    """Return where points of the score cross 0, by Neville's inverse interpolation."""
    x, f = grid.tolist(), slope.tolist()
    try:
        for order in range(1, len(x)):
            for j in range(len(x) - order):
                x[j] = (f[j] * x[j + 1] - f[j + order] * x[j]) / (f[j] - f[j + order])
    except ZeroDivisionError:
        return (low + high) / 2
    return x[0] if low <= x[0] <= high else (low + high) / 2


def _climb(data: Search, low: float, high: float, value: float, *, restricted: bool) -> float:
    """Return where the score falls through 0 in a bracket: Newton's steps, halving at worst."""
    floor = float(data.v.min())
    for _ in range(MOST_STEPS):
        height, slope = _slope(data, value, restricted)
        low, high = (value, high) if height > 0 else (low, value)
        new = value - height / slope if slope < 0 else math.inf
        inside = low <= new <= high
        new = new if inside else (low + high) / 2
        step, value = abs(new - value), new
        if (inside and step <= LAST_STEP * (value + floor)) or high - low <= 1e-15 * (high + floor):
            return value
    raise NotEstimableError("the search for the between-study variance did not converge")


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the root in ``[low, high]`` to a relative tolerance; there is no absolute one."""
    from scipy.optimize import brentq  # most searches go without, and it takes long to import

    try:
        return float(brentq(function, low, high, xtol=1e-300, rtol=ROOT_RTOL, maxiter=500))
    except (RuntimeError, ValueError) as problem:
        raise NotEstimableError(
            f"the search for the between-study variance did not converge: {problem}"
        ) from problem


def single_maximum(data: Search, *, restricted: bool) -> float | None:
    """Return the only maximum of the likelihood where bounds prove that it is; otherwise None.

    The score is a difference of two functions that fall with tau-squared: ``y'PPy``, and the trace
    (of P, or of W for ML). Between a and b it is therefore positive where the first at b is above
    the second at a, and negative where the first at a is below the second at b. Its derivative,
    ``tr(PP) - 2 y'PPPy``, is bounded in the same way, which leaves one root around the one found.
    """

    def terms(t: float, *, derivative: bool = False) -> tuple[float, float, float, float]:
        at = projection(data, t, derivative=derivative)
        second, fall = (at.trace, at.trace_squared) if restricted else (at.total, at.total_squared)
        return max(at.score, 1e-300), second, 2 * at.cubic, fall

    typical = len(data.y) / float((1 / data.v).sum())
    value = left = right = 0.0
    first, second, drop, fall = terms(0.0, derivative=True)
    if first > second:
        for _ in range(NEWTON_STEPS):
            # Newton on the ratio of the two, which is nearly linear in tau-squared.
            slope = drop * second - fall * first
            step = first * (first - second) / slope if slope > 0 else math.nan
            value += step
            if not value >= 0:
                return None
            if abs(step) <= LAST_STEP * (value + typical):
                break
            first, second, drop, fall = terms(value, derivative=True)
        else:
            return None
        reach = NEAR * (value + typical)
        left, right = max(0.0, value - reach), value + reach
        if not terms(right, derivative=True)[2] > terms(left, derivative=True)[3]:
            return None
    end = search_bound(data, restricted=restricted)
    for t, sign in ((right, 1), (left, -1)):
        first, second, *_ = terms(t)
        ratio = CAUTION * (second / first) ** sign
        for _ in range(MARCH_STEPS):
            if t >= end if sign > 0 else t == 0:
                break
            if ratio < LEAST_RATIO:
                return None
            moved = max(0.0, (t + typical) * ratio**sign - typical)
            ahead = terms(moved)[:2]
            if sign * (ahead[1] - first) > 0:
                t, (first, second) = moved, ahead
                ratio = CAUTION * (second / first) ** sign
            else:
                ratio = math.sqrt(ratio)
        else:
            return None
    return value


def log_likelihood(y: Floats, v: Floats, design: Floats, tau2: float, *, restricted: bool) -> float:
    """Return the log-likelihood at ``tau2``, with every constant, as metafor's ``logLik``.

    The restricted one includes ``log |X'X| / 2`` (metafor's default), so that it does not depend
    on the coding of the design.
    """
    return log_likelihood_of(prepared(y, v, design), tau2, restricted=restricted)


def log_likelihood_of(data: Search, tau2: float, *, restricted: bool) -> float:
    """Return :func:`log_likelihood` of prepared data; ``tau2`` is in the unit of the effect."""
    k, p = data.basis.shape
    m = k - p if restricted else k
    scaled = np.array([tau2 / data.scale**2])
    height = float(profile_log_likelihood(data, scaled, restricted=restricted)[0])
    return height - m * (0.5 * math.log(2 * math.pi) + math.log(data.scale))


# --- many meta-analyses at once: brackets from a grid, then Newton steps --------------------------

Index = NDArray[np.intp]


def column_tau2(data: AnyBatch, method: str, grid_end: float) -> Floats:
    """Return tau-squared of every column, shape (T,), by a method of :data:`ESTIMATORS`.

    Columns with as many studies as coefficients have none: 0. ``grid_end`` is the value from
    :func:`grid_span` for the whole batch.
    """
    found = np.zeros(data.columns)
    some = np.flatnonzero(data.n > data.p)
    if method == COMMON or not some.size:
        return found
    part = data if some.size == data.columns else data.take(at_least_two(some))
    found[some] = ESTIMATORS[method].columns(part, grid_end)[: some.size]
    return found


def at_least_two(index: Index) -> Index:
    """Return ``index``, a single entry repeated: sums over one column add in another order."""
    return np.repeat(index, 2) if index.size == 1 else index


def _moment_columns(data: AnyBatch, _: float, *, method: str) -> Floats:
    """DL, HE and HS."""
    df, zero = data.n - data.p, np.zeros(data.columns)
    if method == "HE":
        squares = data.ordinary().projections(zero, derivative=False).rss
        return np.maximum(0.0, (squares - data.within()) / df)
    at = data.projections(zero, derivative=False)
    if method == "DL":
        return np.maximum(0.0, (at.rss - df) / at.trace)
    return np.maximum(0.0, (at.rss - data.n) / at.total)


def _sidik_jonkman_columns(data: AnyBatch, _: float) -> Floats:
    start = data.raw_variance()
    positive = np.where(start > 0, start, 1.0)
    rss = data.projections(positive, derivative=False).rss
    return np.where(start > 0, start * rss / (data.n - data.p), 0.0)


def _paule_mandel_columns(data: AnyBatch, _: float) -> Floats:
    """PM and EB: Newton from 0 on a convex falling function never passes the root."""
    df = data.n - data.p

    def excess(part: AnyBatch, tau2: Floats, rows: Index) -> tuple[Floats, Floats]:
        at = part.projections(tau2, derivative=False)
        return at.rss - df[rows], -at.score

    everything = np.arange(data.columns)
    start = np.zeros(data.columns)
    positive = np.flatnonzero(excess(data, start, everything)[0] > 0)
    if not positive.size:
        return start
    squares = data.ordinary().projections(start, derivative=False).rss
    high = squares / df * (1 + 1e-9)
    start[positive] = _newton(
        data, positive, np.zeros(positive.size), high[positive], np.zeros(positive.size), excess
    )
    return start


def _likelihood_columns(data: AnyBatch, grid_end: float, *, restricted: bool) -> Floats:
    """ML and REML: every change of sign of the score, then the highest maximum."""
    slope, grid = _slopes(data, grid_end, restricted=restricted)
    at_zero = slope[0] <= 0
    row, column = np.nonzero((slope[:-1] > 0) & (slope[1:] <= 0))
    found = np.zeros(data.columns)
    if not column.size:
        return found
    shared = grid.shape[1] == 1
    low = grid[row, 0 if shared else column]
    high = grid[row + 1, 0 if shared else column]

    def slope_at(part: AnyBatch, tau2: Floats, rows: Index) -> tuple[Floats, Floats]:
        at = part.projections(tau2)
        if restricted:
            return at.score - at.trace, at.trace_squared - 2 * at.cubic
        return at.score - at.total, at.total_squared - 2 * at.cubic

    start = low + (high - low) * _crossing(slope, grid, row, column)
    peaks = _newton(data, column, low, high, start, slope_at)
    candidates = np.bincount(column, minlength=data.columns) + at_zero
    single = candidates[column] == 1
    found[column[single]] = peaks[single]
    several = np.flatnonzero(candidates > 1)
    if several.size:
        _highest(data, found, several, column, peaks, at_zero, restricted=restricted)
    return found


def _crossing(slope: Floats, grid: Floats, row: Index, column: Index) -> Floats:
    """Return where in its bracket each score is about 0, as a share of the bracket.

    Inverse interpolation by Neville's scheme through the bracket and the grid points around it,
    linear where that leaves the bracket or has no such points.
    """
    inner = (row > 0) & (row + 2 < len(slope))
    place = 0 if grid.shape[1] == 1 else column
    low, width = grid[row, place], grid[row + 1, place] - grid[row, place]
    at = [np.where(inner, row + i, row) for i in (-1, 0, 1, 2)]
    scores = [slope[rows, column] for rows in at]
    shares = [(grid[rows, place] - low) / width for rows in at]
    f0, f1 = slope[row, column], slope[row + 1, column]
    linear = f0 / (f0 - f1)
    with np.errstate(divide="ignore", invalid="ignore"):
        for order in (1, 2, 3):
            for i in range(4 - order):
                a, b = scores[i], scores[i + order]
                shares[i] = (a * shares[i + 1] - b * shares[i]) / (a - b)
    share = np.where((shares[0] >= 0) & (shares[0] <= 1), shares[0], linear)
    return np.asarray(np.round(share * START_PARTS) / START_PARTS)


def _highest(
    data: AnyBatch,
    found: Floats,
    several: Index,
    column: Index,
    peaks: Floats,
    at_zero: NDArray[np.bool_],
    *,
    restricted: bool,
) -> None:
    """Fill ``found`` for the columns with several maxima."""
    for j in several.tolist():
        values = peaks[column == j]
        if at_zero[j]:
            values = np.concatenate([[0.0], values])
        part = data.take(np.full(len(values), j))
        heights = part.heights(values, restricted=restricted)
        found[j] = values[np.argmax(heights)]


def grid_span(data: AnyBatch, *, restricted: bool) -> Floats:
    """Return ``log(1 + bound / min v)`` of every column: no stationary point lies beyond.

    The bound of :func:`search_bound`, with the residual sum of squares of the
    common fit in place of each column's own, which is at most as large.
    """
    low, high = data.ends()
    m = np.maximum(data.n - data.p if restricted else data.n, 1)
    total = data.squares()
    b, c = 2 * m * low - total, m * low**2 - total * high
    bound = np.maximum(0.0, (-b + np.sqrt(np.maximum(0.0, b * b - 4 * m * c))) / (2 * m))
    if data.shares_variances:  # one grid for all: from the smallest variance of all
        low = np.full_like(low, data.v.min())
    return np.log1p(bound / low)


def _slopes(data: AnyBatch, grid_end: float, *, restricted: bool) -> tuple[Floats, Floats]:
    """Return the score on a grid from 0, and the grid, shapes (G, T) and (G, 1) or (G, T)."""
    points = int(np.ceil(grid_end / GRID_STEP)) + 2
    steps = np.expm1(np.linspace(0.0, grid_end * (1 + 1e-9) + 1e-6, points))
    if data.shares_variances:
        grid = float(data.v.min()) * steps
        slope = data.score_on_grid(grid, restricted=restricted)
        return np.broadcast_to(slope, (points, data.columns)), grid[:, None]
    grid_columns = data.ends()[0] * steps[:, None]
    slopes, many = np.empty((points, data.columns)), max(1, TOGETHER // data.v.size)
    for g in range(0, points, many):
        grid = grid_columns[g : g + many]
        part = data.take(np.tile(np.arange(data.columns), len(grid))) if len(grid) > 1 else data
        at = part.projections(grid.ravel(), derivative=False)
        slope = at.score - (at.trace if restricted else at.total)
        slopes[g : g + many] = slope.reshape(grid.shape)
    return slopes, grid_columns


def _newton(
    data: AnyBatch,
    column: Index,
    low: Floats,
    high: Floats,
    start: Floats,
    function: Callable[[AnyBatch, Floats, Index], tuple[Floats, Floats]],
) -> Floats:
    """Return the root of a function that falls through 0 inside each bracket.

    ``function`` returns value and derivative. A step that leaves the bracket is replaced by its
    middle. The result of a column does not depend on the other columns.
    """
    value, low, high = start.copy(), low.copy(), high.copy()
    floor = data.ends()[0][column]
    active = np.arange(len(column))
    for _ in range(MOST_STEPS):
        work = at_least_two(active)
        t = value[work]
        f, slope = function(data.take(column[work]), t, column[work])
        low[work] = np.where(f > 0, t, low[work])
        high[work] = np.where(f > 0, high[work], t)
        step = np.where(slope < 0, -f / np.where(slope < 0, slope, 1.0), np.inf)
        new = t + step
        inside = (new >= low[work]) & (new <= high[work])
        middle = 0.5 * (low[work] + high[work])
        new = np.where(inside, new, middle)
        scale = floor[work] + t
        done = (inside & (np.abs(step) <= LAST_STEP * scale)) | (
            high[work] - low[work] <= 1e-15 * scale
        )
        value[work] = new
        active = active[~done[: active.size]]
        if not active.size:
            return value
    raise NotEstimableError(
        f"the search for the between-study variance did not converge in {MOST_STEPS} steps for"
        f" {active.size} of {len(column)} meta-analyses"
    )


# --- the registry ---------------------------------------------------------------------------------


class Estimator(NamedTuple):
    """One estimator of tau-squared: everything that the package knows of it.

    ``words`` is what a methods section calls it, with its source; ``search`` is for one data set in
    scaled units, ``columns`` for every column of a batch and the end of the search grid.
    """

    words: str
    search: Callable[[Search], Tau2]
    columns: Callable[[AnyBatch, float], Floats]
    by_likelihood: bool = False


def _by_moments(method: str, words: str) -> Estimator:
    one = partial(_moment, method=method)
    return Estimator(words, one, partial(_moment_columns, method=method))


def _by_likelihood(words: str, *, restricted: bool) -> Estimator:
    one = partial(_likelihood, restricted=restricted)
    return Estimator(words, one, partial(_likelihood_columns, restricted=restricted), True)


def _by_q(words: str) -> Estimator:
    return Estimator(words, _paule_mandel, _paule_mandel_columns)


#: The one registry of estimators: a new one is an entry here.
ESTIMATORS: Mapping[str, Estimator] = MappingProxyType({
    "DL": _by_moments("DL", "the DerSimonian–Laird method (DerSimonian and Laird 1986)"),
    "PM": _by_q("the Paule–Mandel method (Paule and Mandel 1982)"),
    "HE": _by_moments("HE", "the Hedges–Olkin method (Viechtbauer 2005)"),
    "HS": _by_moments("HS", "the Hunter–Schmidt method (Viechtbauer 2005)"),
    "SJ": Estimator("the Sidik–Jonkman method (Sidik and Jonkman 2005)", _sidik_jonkman,
                    _sidik_jonkman_columns),
    "ML": _by_likelihood("maximum likelihood (Viechtbauer 2005)", restricted=False),
    "REML": _by_likelihood("restricted maximum likelihood (Viechtbauer 2005)", restricted=True),
    "EB": _by_q("empirical Bayes (Viechtbauer et al. 2015)"),
})  # fmt: skip
TAU2_METHODS = tuple(ESTIMATORS)
DEFAULT_TAU2_METHOD = "REML"


def check_tau2_method(method: str, *, common: bool = False) -> str:
    """Return the name of an estimator, or refuse it with the nearest; ``common`` where allowed."""
    return check_choice("tau2_method", method, (*TAU2_METHODS, *([COMMON] if common else [])))
