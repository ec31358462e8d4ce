"""Step-function selection model: the mean effect if significant studies are seen more often."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats, as_numbers, frozen
from ketameta.errors import NotEstimableError, UsageError, check_choice
from ketameta.formatting import format_number, format_p, format_significant, plural
from ketameta.models.intervals import critical_value, two_sided_p
from ketameta.models.pooling import both_scales, decimals_for, number_words
from ketameta.models.resampling.batched import fit_data
from ketameta.models.results import Caveat, Columns, DrawsForest, Line, Printed, Result, stated
from ketameta.models.small_study.asymmetry import few_studies_caveats, takes_fit
from ketameta.models.tau2 import COMMON, estimate_tau2, log_likelihood, power_of_two_scale

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class SelectionModel(DrawsForest, Result):
    """A pooled effect adjusted for selection by significance.

    Attributes
    ----------
    steps : tuple of float
        One-sided p-values at which the chance of being seen changes.
    alternative : {"greater", "less"}
        Direction whose p-values count as small.
    interval_counts : tuple of int
        Studies per interval of p-values, smallest p-values first.
    selection_weights : ndarray of shape (J,)
        Chance of being seen relative to the first interval, which is 1.
    selection_weight_se : ndarray of shape (J,)
        NaN for the first, and where the weight is at its bound or the curvature is not that of a
        maximum.
    estimate : float
    se, statistic, p_value, ci_low, ci_high : float or None
        Wald, from the observed information; None where that is not positive definite.
    tau2 : float or None
        None for a common-effect fit.
    log_likelihood, log_likelihood_unadjusted : float
        Of this model and of the same without selection (all weights 1), both by full maximum
        likelihood.
    lrt, lrt_df, lrt_p_value : float, int, float
        Likelihood-ratio test of no selection; None where the weights are assumed.
    maxima : int
        Different maxima that the starts led to.
    gap : float or None
        Log-likelihood of the best above the next best; None when there is one.
    next_estimate : float or None
        The mean at the next best.
    starts : int
    unadjusted : float
        The estimate of the fit.
    unadjusted_ml : float
        The mean without selection by maximum likelihood, which the model reduces to.
    k, level, measure
    caveats : tuple of Caveat
    """

    steps: tuple[float, ...]
    alternative: str
    interval_counts: tuple[int, ...]
    selection_weights: Floats
    selection_weight_se: Floats
    estimate: float
    se: float | None
    statistic: float | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    tau2: float | None
    log_likelihood: float
    log_likelihood_unadjusted: float
    lrt: float | None
    lrt_df: int
    lrt_p_value: float | None
    maxima: int
    gap: float | None
    next_estimate: float | None
    starts: int
    unadjusted: float
    unadjusted_ml: float
    k: int
    level: float
    measure: str | None
    caveats: tuple[Caveat, ...]

    def printed(self) -> Printed:
        """Return the adjusted effect, the weights and the test of no selection."""
        digits, ends = decimals_for(self.se or 0.0), (self.ci_low, self.ci_high)
        words = both_scales(self.measure, self.estimate, *ends, digits)
        before = number_words(self.measure, self.unadjusted_ml, *ends, digits)
        lines = [
            Line("adjusted", (f"{words}, {format_p(self.p_value)}",)),
            Line("unadjusted", (f"{before} (ML)",)),
        ]
        edges = (0.0, *self.steps, 1.0)
        for j, (weight, count) in enumerate(
            zip(self.selection_weights.tolist(), self.interval_counts, strict=True)
        ):
            seen = f", seen {format_significant(weight)} times as often as the first" if j else ""
            name = f"p {edges[j]:g} to {edges[j + 1]:g}"
            lines.append(Line(name, (f"{plural(count, 'study', 'studies')}{seen}",)))
        if self.lrt is not None:
            test = f"likelihood ratio {format_number(self.lrt)}, {self.lrt_df} df"
            lines.append(Line("no selection", (f"{test}, {format_p(self.lrt_p_value)}",)))
        head = (
            f"SelectionModel: {plural(self.k, 'study', 'studies')}, steps at one-sided p ="
            f" {', '.join(f'{step:g}' for step in self.steps)} ({self.alternative})"
        )
        return Printed(head, lines, caveats=self.caveats)

    def columns(self) -> Columns:
        """Return one row per interval of p-values."""
        edges = (0.0, *self.steps, 1.0)
        return {
            "p_low": edges[:-1],
            "p_high": edges[1:],
            "studies": self.interval_counts,
            "selection_weight": self.selection_weights,
            "se": self.selection_weight_se,
        }


ROOT_TWO_PI = float(np.sqrt(2 * np.pi))
#: Numbers of an array that a processor keeps at hand; larger ones take twice as long.
CELLS = 4_000


class SelectionData(NamedTuple):
    """Scaled effects, large ones favoured, and how likely each was to be seen.

    ``cuts`` (J - 1, k) are the effects at which the p-value of each study crosses a step, falling;
    ``group`` the interval of each p-value, 0 for the smallest; ``counts`` (J,) of studies in each.
    """

    y: Floats
    v: Floats
    cuts: Floats
    group: NDArray[np.intp]
    counts: Floats


class Derivatives(NamedTuple):
    """Log-likelihood (M,), gradient (q, M) and Hessian (q, q, M); q = 2 + (J - 1).

    Parameters are the mean, tau-squared and the logarithms of the weights but the first.
    """

    value: Floats
    gradient: Floats
    hessian: Floats

    def take(self, index: NDArray[np.intp]) -> Derivatives:
        """Return some of the points."""
        return Derivatives(*(part[..., index] for part in self))


def selection_data(y: Floats, v: Floats, steps: Floats) -> SelectionData:
    """Return the data with one-sided p-values sorted into the intervals that ``steps`` bound."""
    se = np.sqrt(v)
    p_values = special.ndtr(-y / se)
    group = np.searchsorted(steps, p_values, side="left")
    cuts = -special.ndtri(steps)[:, None] * se
    counts = np.bincount(group, minlength=len(steps) + 1).astype(float)
    return SelectionData(y, v, cuts, group, counts)


def interval_chances(u: Floats) -> Floats:
    """Return the probabilities (J, ...) between falling normal deviates ``u`` (J - 1, ...).

    Differences are taken in the nearer tail, where nothing cancels.
    """
    tail = special.ndtr(-np.abs(u))
    right = u > 0
    above, below = np.where(right, tail, 1 - tail), np.where(right, 1 - tail, tail)
    between = np.where(right[1:], above[1:] - above[:-1], below[:-1] - below[1:])
    return np.concatenate([above[:1], between, below[-1:]])


def derivatives(data: SelectionData, point: Floats) -> Derivatives:
    """Return value, gradient and Hessian at ``point`` (q, M).

    Notes
    -----
    With ``u_j`` the standardised cuts, the chance that a study is seen is ``A = 1 + sum_j d_j
    Phi(u_j)``, ``d_j`` the differences of successive weights. It solves the heat equation in the
    mean and tau-squared, ``A_mm = 2 A_t``, which gives every second derivative from powers of
    ``u``. ``A`` is no smaller than the smallest weight, so that no logarithms are needed.
    """
    q, points = point.shape
    width = max(1, CELLS // data.cuts.size)
    if points > width:
        slices = range(0, points, width)
        parts = [derivatives(data, point[:, at : at + width]) for at in slices]
        return Derivatives(*(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)))
    mean, weights = point[0], np.exp(np.vstack([np.zeros((1, points)), point[2:]]))
    r = 1 / np.sqrt(data.v[:, None] + point[1])
    u = (data.cuts[:, :, None] - mean) * r
    share = weights[:, None] * interval_chances(u)
    seen = share.sum(0)
    share = share[1:] / seen  # of each interval in A, (J - 1, k, M)
    density = np.exp(-0.5 * u * u) / (ROOT_TWO_PI * seen)  # relative to A
    moment, jump = density * u, weights[1:] - weights[:-1]
    s0, s1, s2, s3 = (
        np.einsum("jm,jkm->km", jump, part)
        for part in (density, moment, moment * u, moment * u * u)
    )
    e, r2 = (data.y[:, None] - mean) * r, r * r
    z2 = e * e
    gradient, hessian = np.empty((q, points)), np.empty((q, q, points))
    gradient[0] = np.einsum("km,km->m", r, e + s0)
    gradient[1] = np.einsum("km,km->m", r2, z2 - 1 + s1) / 2
    gradient[2:] = data.counts[1:, None] - share.sum(1)
    hessian[0, 0] = np.einsum("km,km->m", r2, s1 + s0 * s0 - 1)
    mixed = np.einsum("km,km->m", r2 * r, s0 * (s1 - 1) + s2 - 2 * e) / 2
    hessian[0, 1] = hessian[1, 0] = mixed
    hessian[1, 1] = np.einsum("km,km->m", r2 * r2, 2 - 4 * z2 + s1 * (s1 - 3) + s3) / 4
    for i, power, part, own in ((0, r, density, s0), (1, r2 / 2, moment, s1)):
        edge = np.einsum("km,jkm->jm", power, part)
        between = weights[1:] * np.diff(edge, axis=0, append=0)  # no density at infinity
        hessian[2:, i] = -between - np.einsum("km,jkm->jm", power * own, share)
        hessian[i, 2:] = hessian[2:, i]
    hessian[2:, 2:] = np.einsum("akm,bkm->abm", share, share)
    hessian[np.arange(2, q), np.arange(2, q)] -= share.sum(1)
    value = (np.log(r / (ROOT_TWO_PI * seen)) - 0.5 * z2).sum(0)
    return Derivatives(value + data.counts[1:] @ point[2:], gradient, hessian)


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
#: Climbs go on as one when they are within this share of the smallest standard error of a mean (for
#: tau-squared: of the smallest variance) of each other. At a fiftieth the same maxima are found, in
#: number and height, on 126 real and invented sets of 6 to 80 studies.
CELL = 0.5
#: Maxima nearer than this (in standard errors of the unadjusted mean, in log-likelihood) are one.
SAME_POINT, SAME_VALUE = 1e-3, 1e-6


Bools = NDArray[np.bool_]
Index = NDArray[np.intp]


class Maximum(NamedTuple):
    """The best maximum: mean, tau-squared and log-weights (q,).

    ``free`` is False for parameters held fixed or at a bound that the likelihood pushes against;
    ``gap`` is the log-likelihood above the next best maximum, ``second``, of all ``maxima`` found.
    """

    point: Floats
    value: float
    hessian: Floats
    free: Bools
    maxima: int
    gap: float | None
    second: Floats | None
    starts: int


def global_maximum(
    data: SelectionData,
    mean: float,
    tau2: float,
    *,
    fixed_tau2: bool,
    assumed: Floats | None = None,
) -> Maximum:
    """Climb from every start and return the best maximum.

    ``mean`` and ``tau2`` are the unadjusted estimates; ``fixed_tau2`` holds tau-squared at 0, and
    ``assumed`` holds the weights.
    """
    steps = len(data.counts) - 1
    q = 2 + steps
    low = np.concatenate([[-np.inf, 0.0], np.full(steps, np.log(LOWEST_WEIGHT))])
    high = np.concatenate(
        [[np.inf, 0.0 if fixed_tau2 else np.inf], np.full(steps, np.log(HIGHEST_WEIGHT))]
    )
    points = _starts(data, mean, tau2, fixed_tau2=fixed_tau2)
    if assumed is not None:
        low[2:] = high[2:] = np.log(assumed[1:])
        points = np.unique(np.clip(points, low[:, None], high[:, None]), axis=1)
    tops, values, arrived = _climb(data, points, low[:, None], high[:, None])
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


def _starts(data: SelectionData, mean: float, tau2: float, *, fixed_tau2: bool) -> Floats:
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


def _climb(
    data: SelectionData, points: Floats, low: Floats, high: Floats
) -> tuple[Floats, Floats, Bools]:
    """Move every column of ``points`` (q, M) to a maximum within the bounds.

    Newton steps on the parameters that no bound holds, with a damping per column that grows until
    the likelihood rises and shrinks when it does. Returns points, values, and which arrived.
    """
    points = np.clip(points, low, high)
    count = points.shape[1]
    damping = np.full(count, 1e-2)
    arrived = np.zeros(count, dtype=bool)
    active = np.arange(count)
    here, at = points.copy(), derivatives(data, points)
    values = at.value.copy()
    for _ in range(MAX_ROUNDS):
        kept = _one_per_cell(data, here, at.value)
        active, here, at = active[kept], here[:, kept], at.take(kept)
        held = _held(here, at.gradient, low, high)
        step, promise, concave = _damped_step(at.gradient, at.hessian, held, damping[active])
        done = concave & (promise < ARRIVED)
        new = np.clip(here + step, low, high)
        new[1] = np.where(new[1] < ZERO_TAU2, 0.0, new[1])
        ahead = derivatives(data, new)
        better = ahead.value > at.value
        # A step so small that the value no longer rises is an arrival too, to rounding.
        stuck = ~better & concave & (promise < 1e-12 * (1 + np.abs(at.value)))
        here = points[:, active] = np.where(better, new, here)
        at = Derivatives(*(np.where(better, a, b) for a, b in zip(ahead, at, strict=True)))
        values[active] = at.value
        damping[active] *= np.where(better, 0.1, 10.0)
        lost = damping[active] > 1e12
        arrived[active[done | stuck]] = True
        on = np.flatnonzero(~(done | stuck | lost))
        active, here, at = active[on], here[:, on], at.take(on)
        if not active.size:
            break
    return points, values, arrived


def _polished(
    data: SelectionData, point: Floats, low: Floats, high: Floats
) -> tuple[Floats, Bools]:
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


def _held(point: Floats, gradient: Floats, low: Floats, high: Floats) -> Bools:
    """Return which parameters are at a bound that the likelihood pushes against."""
    return ((point <= low) & (gradient <= 0)) | ((point >= high) & (gradient >= 0))


def _one_per_cell(data: SelectionData, points: Floats, values: Floats) -> Index:
    """Return the climbs that go on: the highest of those that have come together."""
    unit = np.ones((len(points), 1))
    unit[:2, 0] = np.sqrt(1 / (1 / data.v).sum()), data.v.min()
    cells = np.round(points / (CELL * unit))
    order = np.lexsort((-values, *cells))
    new = np.any(np.diff(cells[:, order], axis=1, prepend=np.nan) != 0, axis=0)
    return np.sort(order[new])


def _damped_step(
    gradient: Floats, hessian: Floats, held: Bools, damping: Floats
) -> tuple[Floats, Floats, Bools]:
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


#: Which effects have small one-sided p-values.
ALTERNATIVES = ("greater", "less")
#: Studies in an interval below which its weight says little.
FEW_IN_INTERVAL = 4


#: One-sided p-values, and chances of being seen in four scenarios: Vevea and Woods (2005), table 1
#: (as the documentation of metafor's ``selmodel`` prints it).
SCENARIO_STEPS = (0.005, 0.01, 0.05, 0.10, 0.25, 0.35, 0.50, 0.65, 0.75, 0.90, 0.95, 0.99, 0.995)
SCENARIOS = {
    "moderate one-tailed": (1, 0.99, 0.95, 0.80, 0.75, 0.65, 0.60, 0.55, 0.50, 0.50, 0.50, 0.50,
                            0.50, 0.50),
    "severe one-tailed": (1, 0.99, 0.90, 0.75, 0.60, 0.50, 0.40, 0.35, 0.30, 0.25, 0.10, 0.10,
                          0.10, 0.10),
    "moderate two-tailed": (1, 0.99, 0.95, 0.90, 0.80, 0.75, 0.60, 0.60, 0.75, 0.80, 0.90, 0.95,
                            0.99, 1.00),
    "severe two-tailed": (1, 0.99, 0.90, 0.75, 0.60, 0.50, 0.25, 0.25, 0.50, 0.60, 0.75, 0.90,
                          0.99, 1.00),
}  # fmt: skip


@takes_fit
def selection_model(
    fit: RandomEffects,
    steps: ArrayLike | None = None,
    alternative: str | None = None,
    *,
    weights: str | ArrayLike | None = None,
) -> SelectionModel:
    """Fit a selection model with a step function of the one-sided p-value.

    Parameters
    ----------
    fit : RandomEffects
        At least as many studies as parameters: mean, tau-squared and one weight per step.
    steps : sequence of float, optional
        Between 0 and 1. ``(0.025,)``, the default, is the three-parameter model: significant in the
        favoured direction, or not.
    alternative : {"greater", "less"}, optional
        The favoured direction; that of the estimate when not given.
    weights : str or sequence of float, optional
        Chances of being seen that are assumed rather than estimated, one more than steps, the first
        1; or one of the scenarios ``"moderate one-tailed"``, ``"severe one-tailed"``,
        ``"moderate two-tailed"`` and ``"severe two-tailed"``. Two studies are then enough.

    Returns
    -------
    SelectionModel
        With caveats: below ten studies, few studies in an interval, a weight at its bound, several
        maxima; or that the weights are assumed.

    Raises
    ------
    NotEstimableError
        Too few studies, an interval of p-values other than the first without a study, or a search
        that does not converge.
    UsageError
        Steps that are not numbers between 0 and 1, an unknown direction or scenario, weights that
        are not positive or not one more than the steps.

    Notes
    -----
    The model of Vevea and Hedges (1995, Psychometrika 60, 419-435), by full maximum likelihood
    whatever the tau-squared method of the fit; a common-effect fit keeps tau-squared at 0. As
    metafor's ``selmodel(x, type="stepfun")``, with weights of at most 100; without a single
    significant study the weights run to that bound, which a caveat says. The likelihood may have
    several maxima: every one of some hundred starts is climbed, and the best is reported with the
    gap to the next. metafor climbs once, from the unadjusted fit, and stops below the best on the
    trials of magnesium (li2007: log-likelihood -23.753 instead of -23.200, and a mean of -0.236
    instead of 0.023). Does not depend on the unit of the effect.

    Assumed weights (Vevea and Woods 2005, Psychol. Methods 10, 428-443; metafor's ``delta=``) need
    no study in any interval. They ask what the mean would be under that selection; several
    scenarios side by side are a sensitivity analysis, and no test of selection is made.

    Standard errors are of the free parameters: a tau-squared of 0 and weights at their bound are
    held. The interval is Wald and optimistic with few studies; the likelihood-ratio test is
    approximate where tau-squared is 0 or a weight is at its bound.
    """
    bounds, assumed = _steps_and_weights(steps, weights)
    data = fit_data(fit, "a selection model")
    if alternative is None:
        alternative = "greater" if fit.estimate > 0 else "less"
    check_choice("alternative", alternative, ALTERNATIVES)
    common = data.tau2_method == COMMON
    needed = 1 + (not common) + (len(bounds) if assumed is None else 0)
    if fit.k < needed:
        raise NotEstimableError(
            f"a selection model with {needed} parameters needs at least {needed} studies; there are"
            f" {fit.k}; with few studies assume the weights, as weights='moderate one-tailed'"
        )
    sign = 1.0 if alternative == "greater" else -1.0
    scale = power_of_two_scale(data.v)
    seen = selection_data(sign * data.y / scale, data.v / scale**2, bounds)
    if assumed is None:
        _check_intervals(seen.counts, bounds)
    ones = np.ones((fit.k, 1))
    tau2 = estimate_tau2(data.y, data.v, ones, COMMON if common else "ML").value
    w = 1 / (data.v + tau2)
    mean = float(w @ data.y / w.sum())
    plain = log_likelihood(data.y, data.v, ones, tau2, restricted=False)
    best = global_maximum(
        seen, sign * mean / scale, tau2 / scale**2, fixed_tau2=common, assumed=assumed
    )
    value = best.value - fit.k * float(np.log(scale))
    lrt = None if assumed is not None else max(0.0, 2 * (value - plain))
    spread = _standard_errors(best)
    found = np.concatenate([[1.0], np.exp(best.point[2:])])
    estimate, se = sign * float(best.point[0]) * scale, float(spread[0]) * scale
    half = critical_value(data.level, None) * se
    known = bool(np.isfinite(se))
    caveats = (*few_studies_caveats(fit.k), *_caveats(best, seen, sign * scale, known=known))
    if assumed is not None:
        caveats = (_ASSUMED, *_maxima_caveats(best, sign * scale, known=known))
    return SelectionModel(
        steps=tuple(bounds.tolist()),
        alternative=alternative,
        interval_counts=tuple(int(count) for count in seen.counts),
        selection_weights=frozen(found),
        selection_weight_se=frozen(np.concatenate([[np.nan], found[1:] * spread[2:]])),
        estimate=estimate,
        se=se if known else None,
        statistic=estimate / se if known else None,
        p_value=float(two_sided_p(np.array(estimate / se), None)) if known else None,
        ci_low=estimate - half if known else None,
        ci_high=estimate + half if known else None,
        tau2=None if common else float(best.point[1]) * scale**2,
        log_likelihood=value,
        log_likelihood_unadjusted=plain,
        lrt=lrt,
        lrt_df=len(bounds),
        lrt_p_value=None if lrt is None else float(special.chdtrc(len(bounds), lrt)),
        maxima=best.maxima,
        gap=best.gap,
        next_estimate=None if best.second is None else sign * float(best.second[0]) * scale,
        starts=best.starts,
        unadjusted=fit.estimate,
        unadjusted_ml=mean,
        k=fit.k,
        level=data.level,
        measure=data.measure,
        caveats=caveats,
    )


_ASSUMED = Caveat(
    "assumed_weights",
    "The chances of being seen are assumed, not estimated from these studies: this is what the mean"
    " would be under such selection, not evidence of it.",
)


def _steps_and_weights(
    steps: ArrayLike | None, weights: str | ArrayLike | None
) -> tuple[Floats, Floats | None]:
    """Return the steps, and the weights where they are assumed."""
    if isinstance(weights, str):
        check_choice("weights", weights, tuple(SCENARIOS))
        if steps is not None:
            raise UsageError(f"the scenario {weights!r} has steps of its own; leave steps out")
        return np.array(SCENARIO_STEPS), np.array(SCENARIOS[weights], dtype=float)
    given = (0.025,) if steps is None else steps
    bounds = np.unique(np.atleast_1d(as_numbers("steps", given)))
    if bounds.ndim != 1 or bounds.size == 0 or not np.all((bounds > 0) & (bounds < 1)):
        raise UsageError(
            f"steps is {given!r}; give one-sided p-values between 0 and 1, as (0.025,)"
        )
    if weights is None:
        return bounds, None
    assumed = np.atleast_1d(as_numbers("weights", weights))
    if assumed.shape != (len(bounds) + 1,) or not np.all(assumed > 0) or assumed[0] != 1:
        raise UsageError(
            f"weights is {weights!r}; give {len(bounds) + 1} positive numbers, one per interval of"
            " p-values, the first 1"
        )
    return bounds, assumed


def _check_intervals(counts: Floats, bounds: Floats) -> None:
    empty = 1 + np.flatnonzero(counts[1:] == 0)
    if not empty.size:
        return
    edges = [0.0, *bounds.tolist(), 1.0]
    listed = ", ".join(f"{edges[j]:g} to {edges[j + 1]:g}" for j in empty.tolist())
    raise NotEstimableError(
        f"no study has a one-sided p-value in {listed}, so that the chance of such a study to be"
        " seen cannot be estimated with these steps"
    )


def _standard_errors(best: Maximum) -> Floats:
    """Return standard errors from the observed information, NaN where there are none."""
    found = np.full(best.free.size, np.nan)
    information = -best.hessian[np.ix_(best.free, best.free)]
    unit = np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information / np.outer(unit, unit)
    if np.linalg.eigvalsh(scaled).min() > 1e-10:
        found[best.free] = np.sqrt(np.diag(np.linalg.inv(scaled))) / unit
    return found


def _maxima_caveats(best: Maximum, unit: float, *, known: bool) -> tuple[Caveat, ...]:
    there = 0.0 if best.second is None else float(best.second[0]) * unit
    return stated(
        (best.second is not None, "several_maxima",
         f"The likelihood has {best.maxima} maxima; the highest is reported, {best.gap or 0:.2g}"
         f" above the next in log-likelihood, where the mean is {format_significant(there)}."),
        (not known, "no_standard_error",
         "The likelihood is flat at its maximum; standard error and interval are withheld."),
    )  # fmt: skip


def _caveats(best: Maximum, seen: SelectionData, unit: float, *, known: bool) -> tuple[Caveat, ...]:
    fewest, none = int(seen.counts.min()), seen.counts[0] == 0
    mine = stated(
        (not best.free[2:].all(), "weight_at_bound",
         "The likelihood rises towards a selection weight without limit (or to 0); it is held"
         f" between 0.00001 and {HIGHEST_WEIGHT:g}, and the estimate depends on that."),
        (none, "no_significant_study",
         "No study is significant in the favoured direction, so that the weights of the others"
         " relative to such studies cannot be estimated; the adjusted effect is that of the bound"
         " on them."),
        (not none and fewest < FEW_IN_INTERVAL, "few_in_interval",
         f"An interval of p-values holds {plural(fewest, 'study', 'studies')} only; its weight"
         " rests on that."),
    )  # fmt: skip
    return (*mine, *_maxima_caveats(best, unit, known=known))
