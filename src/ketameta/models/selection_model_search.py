"""The highest point of a selection likelihood: many starts, climbed together, compared at the top.

Metafor's single climb from the unadjusted fit stops at a local maximum on several published data
sets; this one reports how far the next best maximum lies below.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ketameta.errors import NotEstimableError
from ketameta.models.least_squares import Array
from ketameta.models.selection_model_likelihood import SelectionData, derivatives, value_only

#: Bounds of the weights relative to that of the smallest p-values; the upper one is metafor's.
LOWEST_WEIGHT, HIGHEST_WEIGHT = 1e-5, 100.0
#: Evenly spaced starts for the mean, from one range of the data below it to one above.
SPACED_MEANS = 15
#: The most precise studies, whose effects are starts for the mean too.
PRECISE_MEANS = 5
#: Starts for tau, in units of the larger of its unadjusted estimate and the median standard error.
TAU_STARTS = (0.0, 0.25, 0.5, 1.0, 2.0)
#: Starts for the weights, alike for every interval but the first.
WEIGHT_STARTS = (0.02, 0.2, 1.0, 5.0)
#: A climb has arrived when a Newton step promises less than this in log-likelihood.
ARRIVED = 1e-20
#: Tau-squared below this share of a typical variance is 0; the data come scaled.
ZERO_TAU2 = 1e-14
#: Rounds after which a climb is given up; most need ten to thirty.
MAX_ROUNDS = 300
#: Newton steps at the best maximum; the second or third changes nothing.
POLISH_STEPS = 4
#: Climbs are compared this often, and go on as one when they are within this share of the smallest
#: standard error of a mean (for tau-squared: of the smallest variance) of each other.
MERGE_EVERY, CELL = 4, 0.02
#: Maxima nearer than this (in standard errors of the unadjusted mean, in log-likelihood) are one.
SAME_POINT, SAME_VALUE = 1e-3, 1e-6


Bools = NDArray[np.bool_]
Index = NDArray[np.intp]


class Maximum(NamedTuple):
    """The best maximum.

    Attributes
    ----------
    point : ndarray of shape (q,)
        Mean, tau-squared, log-weights.
    value : float
    hessian : ndarray of shape (q, q)
    free : ndarray of bool, shape (q,)
        False for parameters at a bound that the likelihood pushes against, or held fixed.
    maxima : int
        Different ones found.
    gap : float or None
        Log-likelihood above the next best maximum.
    second : ndarray of shape (q,) or None
        The next best maximum.
    starts : int
    """

    point: Array
    value: float
    hessian: Array
    free: Bools
    maxima: int
    gap: float | None
    second: Array | None
    starts: int


def global_maximum(data: SelectionData, mean: float, tau2: float, *, fixed_tau2: bool) -> Maximum:
    """Climb from every start and return the best maximum.

    ``mean`` and ``tau2`` are the unadjusted estimates; ``fixed_tau2`` holds tau-squared at 0.
    """
    steps = len(data.counts) - 1
    q = 2 + steps
    low = np.concatenate([[-np.inf, 0.0], np.full(steps, np.log(LOWEST_WEIGHT))])
    high = np.concatenate(
        [[np.inf, 0.0 if fixed_tau2 else np.inf], np.full(steps, np.log(HIGHEST_WEIGHT))]
    )
    points = _starts(data, mean, tau2, fixed_tau2=fixed_tau2)
    tops, arrived = _climb(data, points, low[:, None], high[:, None])
    values = value_only(data, tops)
    order = np.argsort(-np.where(arrived, values, -np.inf), kind="stable")
    best = int(order[0])
    if not arrived[best] or values.max() > values[best] + SAME_VALUE:
        raise NotEstimableError(
            "the search for the maximum of the selection likelihood did not converge; the data do"
            " not determine this model"
        )
    unit = np.ones(q)
    unit[0] = 1 / np.sqrt((1 / (data.v + tau2)).sum())
    unit[1] = float(np.median(data.v))
    distinct = [best]
    for i in order[1 : int(arrived.sum())].tolist():
        near = [
            np.all(np.abs(tops[:, i] - tops[:, j]) < SAME_POINT * unit)
            or (
                abs(values[i] - values[j]) < SAME_VALUE
                and abs(tops[0, i] - tops[0, j]) < 10 * SAME_POINT * unit[0]
            )
            for j in distinct
        ]
        if not any(near):
            distinct.append(i)
    point, pushed = _polished(data, tops[:, best : best + 1], low[:, None], high[:, None])
    at = derivatives(data, point[:, None])
    second = distinct[1] if len(distinct) > 1 else None
    return Maximum(
        point=point,
        value=float(values[best]),
        hessian=at.hessian[:, :, 0],
        free=~pushed,
        maxima=len(distinct),
        gap=None if second is None else float(values[best] - values[second]),
        second=None if second is None else tops[:, second],
        starts=points.shape[1],
    )


def _starts(data: SelectionData, mean: float, tau2: float, *, fixed_tau2: bool) -> Array:
    """Return the starting points, shape (q, M)."""
    y, v = data.y, data.v
    spread = max(float(np.ptp(y)), 4 * float(np.sqrt(np.median(v))))
    spaced = np.linspace(float(y.min()) - spread, float(y.max()) + spread, SPACED_MEANS)
    precise = y[np.argsort(v, kind="stable")[:PRECISE_MEANS]]
    means = np.concatenate([[mean], spaced, precise])
    unit = max(float(np.sqrt(tau2)), float(np.sqrt(np.median(v))))
    taus = np.array([0.0]) if fixed_tau2 else unit * np.array(TAU_STARTS)
    weights = np.log(WEIGHT_STARTS)
    m, t, w = (axis.ravel() for axis in np.meshgrid(means, taus**2, weights, indexing="ij"))
    points = np.vstack([m, t, *[w] * (len(data.counts) - 1)])
    own = np.zeros((len(points), 1))
    own[:2, 0] = mean, tau2
    return np.hstack([own, points])


def _climb(data: SelectionData, points: Array, low: Array, high: Array) -> tuple[Array, Bools]:
    """Move every column of ``points`` (q, M) to a maximum within the bounds.

    Newton steps on the parameters that no bound holds, with a damping per column that grows until
    the likelihood rises and shrinks when it does. Returns the points, and which arrived.
    """
    points = np.clip(points, low, high)
    count = points.shape[1]
    damping = np.full(count, 1e-2)
    arrived = np.zeros(count, dtype=bool)
    active = np.arange(count)
    for turn in range(1, MAX_ROUNDS + 1):
        if turn % MERGE_EVERY == 0:
            active = _one_per_cell(data, points, active)
        here = points[:, active]
        at = derivatives(data, here)
        held = _held(here, at.gradient, low, high)
        step, promise, concave = _damped_step(at.gradient, at.hessian, held, damping[active])
        done = concave & (promise < ARRIVED)
        new = np.clip(here + step, low, high)
        new[1] = np.where(new[1] < ZERO_TAU2, 0.0, new[1])
        better = value_only(data, new) > at.value
        points[:, active] = np.where(better, new, here)
        damping[active] = np.where(better, damping[active] * 0.1, damping[active] * 10)
        # A step so small that the value no longer rises is an arrival too, to rounding.
        stuck = ~better & concave & (promise < 1e-12 * (1 + np.abs(at.value)))
        lost = damping[active] > 1e12
        arrived[active[done | stuck]] = True
        active = active[~(done | stuck | lost)]
        if not active.size:
            break
    return points, arrived


def _polished(data: SelectionData, point: Array, low: Array, high: Array) -> tuple[Array, Bools]:
    """Return the point after Newton steps that no comparison of values stops, and what is held.

    Near a maximum the value is flat to rounding while the gradient still points the way.
    """
    no_damping = np.zeros(1)
    at = derivatives(data, point)
    held = _held(point, at.gradient, low, high)
    step, promise, _ = _damped_step(at.gradient, at.hessian, held, no_damping)
    for _ in range(POLISH_STEPS):
        new = np.clip(point + step, low, high)
        at = derivatives(data, new)
        if not np.array_equal(_held(new, at.gradient, low, high), held):
            break
        step, rest, _ = _damped_step(at.gradient, at.hessian, held, no_damping)
        if not rest[0] < promise[0]:
            break
        point, promise = new, rest
    return point[:, 0], held[:, 0]


def _held(point: Array, gradient: Array, low: Array, high: Array) -> Bools:
    """Return which parameters are at a bound that the likelihood pushes against."""
    return ((point <= low) & (gradient <= 0)) | ((point >= high) & (gradient >= 0))


def _one_per_cell(data: SelectionData, points: Array, active: Index) -> Index:
    """Return the climbs that go on: the highest of those that have come together."""
    unit = np.ones((len(points), 1))
    unit[:2, 0] = np.sqrt(1 / (1 / data.v).sum()), data.v.min()
    cells = np.round(points[:, active] / (CELL * unit))
    order = np.argsort(-value_only(data, points[:, active]), kind="stable")
    first = np.unique(cells[:, order], axis=1, return_index=True)[1]
    kept: Index = np.sort(active[order[first]])
    return kept


def _damped_step(
    gradient: Array, hessian: Array, held: Bools, damping: Array
) -> tuple[Array, Array, Bools]:
    """Return the step (q, M), the rise an undamped step promises (M,), and where it is concave."""
    q = len(gradient)
    g = np.where(held, 0.0, gradient)
    curvature = -np.moveaxis(hessian, -1, 0)
    pair = held.T[:, :, None] | held.T[:, None, :]
    curvature = np.where(pair, 0.0, curvature)
    diagonal = np.arange(q)
    curvature[:, diagonal, diagonal] += held.T
    scale = np.abs(curvature[:, diagonal, diagonal]) + 1e-8
    values, vectors = np.linalg.eigh(curvature / np.sqrt(scale[:, :, None] * scale[:, None, :]))
    concave = values.min(1) > 0
    rotated = np.einsum("mqe,mq->me", vectors, g.T / np.sqrt(scale))
    safe = np.maximum(np.abs(values), 1e-10) + damping[:, None]
    step = np.einsum("mqe,me->mq", vectors, rotated / safe) / np.sqrt(scale)
    promise = 0.5 * (rotated**2 / np.maximum(np.abs(values), 1e-300)).sum(1)
    return step.T, promise, concave
