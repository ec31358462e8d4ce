"""Random-effects odds ratio of rare events from the counts themselves, by maximum likelihood.

Nothing is added to zero cells and no normal approximation of a trial's log odds ratio is made.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np
import scipy  # of its parts only what is used is loaded, when it is used
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats
from ketameta.effects.door import takes_effects
from ketameta.errors import NotEstimableError, check_choice
from ketameta.formatting import (
    format_estimate,
    format_number,
    format_p,
    format_significant,
    plural,
)
from ketameta.models.intervals import check_level, critical_value, two_sided_p
from ketameta.models.pooling import statistic_words
from ketameta.models.rare_events.mantel_haenszel import EventTables, TwoArmCounts, event_tables
from ketameta.models.results import Caveat, Line, Printed, Reports, computed, stated, terminal_bar

_NAMES = {
    "conditional": "exact conditional likelihood",
    "unconditional": "unconditional likelihood, fixed intercepts",
}


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class BinomialNormal(Reports, TwoArmCounts):
    """A random-effects log odds ratio from event counts.

    Attributes
    ----------
    k, events_treatment, n_treatment, events_control, n_control, level, zeros, caveats
        As in :class:`TwoArmCounts`.
    model : {"conditional", "unconditional"}
    estimate, se : float
        Mean log odds ratio; the standard error includes the uncertainty of tau-squared.
    statistic, p_value : float
        Normal test that the mean is 0, two-sided.
    ci_low, ci_high : float
        Normal interval at ``level``.
    tau2 : float
        Maximum-likelihood between-trial variance of the log odds ratio; 0 for one trial.
    log_likelihood : float
    q, q_df, q_p_value : float, int, float, or None
        Likelihood-ratio test that all informative trials share one odds ratio.
    optima : int
        Local maxima of the likelihood found along tau.
    optimum_gap : float or None
        Log-likelihood of the reported maximum above the next one.
    """

    measure: ClassVar[str] = "OR"

    model: str
    estimate: float
    se: float
    statistic: float
    p_value: float
    ci_low: float
    ci_high: float
    tau2: float
    log_likelihood: float
    q: float | None
    q_df: int | None
    q_p_value: float | None
    optima: int
    optimum_gap: float | None

    @property
    def tau(self) -> float:
        """Between-trial standard deviation of the log odds ratio."""
        return math.sqrt(self.tau2)

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years."""
        return computed(
            [
                f"The odds ratios of {plural(self.k, 'trial')} were pooled in a random-effects"
                f" model with the {_NAMES[self.model]} of the counts (Stijnen, Hamza and Özdemir"
                " 2010), by maximum likelihood; nothing was added to zero cells.",
            ]
        )

    def printed(self) -> Printed:
        """Return the printed lines."""
        shown = format_estimate(*np.exp([self.estimate, self.ci_low, self.ci_high]))
        test = statistic_words(self.statistic, None, self.p_value)
        pooled = Line("pooled", (f"{shown} ({100 * self.level:g}% CI)",), test)
        lines = [self.events_line(), pooled, *between_lines(self)]
        head = self.head("Binomial-normal odds ratio", _NAMES[self.model])
        return Printed(head, lines, caveats=self.caveats)


def between_lines(fit: Any) -> list[Line]:
    """Return the printed line of tau-squared and its test, where there is one."""
    if fit.q is None:
        return []
    test = f"likelihood ratio χ²({fit.q_df}) = {format_number(fit.q, 1)}, {format_p(fit.q_p_value)}"
    return [Line("between", (f"τ² = {format_significant(fit.tau2)}, {test}",))]


#: From z of shape (k, m): log-likelihoods, their two derivatives in z, and what a caller keeps.
Terms: TypeAlias = Callable[[Floats], tuple[Floats, ...]]

#: The integrand is cut where it has fallen by this much on the log scale: a share of 3e-17.
_FALL = 38.0
#: Nodes per trial are the first number plus the second times tau: the first resolves a normal
#: density to 1e-16, the second the steepest possible change of the likelihood along z, which has
#: its nearest singularity at a distance of pi / tau from the real axis.
FINE = (40, 36)
#: The same for looking where maxima are; good to about 1e-5.
COARSE = (24, 10)
#: Steps of a root search before it is given up; Newton needs fewer than ten.
_MOST_STEPS = 300
#: Steps towards the edge of an integrand, and more where they end beyond twice the fall.
_FEW_STEPS = 6
#: Newton steps towards a maximum in both parameters; five to eight are enough.
_MOST_NEWTON = 20
#: A root is found when the next Newton step is below this, in units of the log odds ratio.
STEP = 1e-11
#: The same for looking where maxima are, and for placing nodes around a mode.
ROUGH_STEP, _PLACE = 1e-4, 1e-2
#: Numbers of an array that is worked on at once; larger ones leave the processor's memory.
_CELLS = 60_000
#: Where nothing varies: nodes with the moments of a normal distribution up to the fifth.
_STILL = np.sqrt(3.0) * np.array([[-1.0, 0.0, 1.0]]), np.array([[1.0, 4.0, 1.0]]) / 6


class NodeSums(NamedTuple):
    """Posterior of the random effects z on the nodes; arrays (k, nodes) and ``value`` (k,)."""

    z: Floats
    weights: Floats
    value: Floats
    more: tuple[Floats, ...]


def concave_root(
    derivatives: Callable[[Floats], tuple[Floats, Floats]],
    start: Floats,
    low: Floats,
    high: Floats,
    tolerance: float = STEP,
) -> Floats:
    """Return where decreasing functions are zero: Newton's method, kept inside a bracket.

    ``derivatives`` gives the functions and minus their slopes (> 0); ``tolerance`` is the size of
    the last step.
    """
    x, lower, upper = start.copy(), low.copy(), high.copy()
    for _ in range(_MOST_STEPS):
        value, slope = derivatives(x)
        step = value / slope
        if np.all(np.abs(step) <= tolerance * (1 + np.abs(x))):
            return x + step
        lower = np.where(value > 0, x, lower)
        upper = np.where(value < 0, x, upper)
        proposed = x + step
        outside = (proposed < lower) | (proposed > upper)
        x = np.where(outside, (lower + upper) / 2, proposed)
    raise NotEstimableError("the likelihood of the event counts has no finite maximum")


def integrate_normal(terms: Terms, k: int, tau: float, nodes: tuple[int, int] = FINE) -> NodeSums:
    """Place the nodes of each of ``k`` trials where its integrand is, and sum over them.

    ``tau`` multiplies z within ``terms``, which are concave in z: more nodes for larger ones.
    """
    if tau == 0:
        z, weights = (np.repeat(row, k, axis=0) for row in _STILL)
        value, _, _, *more = terms(z)
        return NodeSums(z, weights, value[:, 0], tuple(more))

    def posterior(z: Floats) -> tuple[Floats, Floats]:
        _, first, second, *_ = terms(z[:, None])
        return first[:, 0] - z, 1 - second[:, 0]

    zero = np.zeros(k)
    # The derivative of the log-likelihood falls with z, so the mode lies between 0 and its value
    # at 0.
    at_zero, _ = posterior(zero)
    bounds = np.minimum(at_zero, 0), np.maximum(at_zero, 0)
    low, high = _edges(terms, concave_root(posterior, zero, *bounds, _PLACE)[:, None])
    count = int(np.ceil(nodes[0] + nodes[1] * tau))
    z = low + (high - low) * np.linspace(0, 1, count)
    values, _, _, *more = terms(z)
    logs = values - z**2 / 2
    top = logs.max(axis=1, keepdims=True)
    weights = np.exp(logs - top)
    total = weights.sum(axis=1, keepdims=True)
    step = (high - low) / (count - 1)
    value = top + np.log(total * step) - np.log(2 * np.pi) / 2
    return NodeSums(z, weights / total, value[:, 0], tuple(more))


def _edges(terms: Terms, mode: Floats) -> tuple[Floats, Floats]:
    """Return, on both sides of the modes (k, 1), points where the integrand fell by ``_FALL``.

    The log of the integrand is concave and falls at least as fast as -z^2/2, so Newton's method
    started that far out stays outside and approaches the edge. A few steps are enough for small
    counts; with large ones the likelihood is an exponential out there, which falls by one a step.
    """
    top = terms(mode)[0] - mode**2 / 2
    z = mode + np.sqrt(2 * _FALL) * np.array([-1.0, 1.0])
    for step in range(_MOST_STEPS):
        value, first, *_ = terms(z)
        height = value - z**2 / 2 - top + _FALL
        if step >= _FEW_STEPS and np.all(height > -_FALL):
            break
        z = z - np.minimum(height, 0.0) / (first - z)
    return z[:, :1], z[:, 1:]


def louis(
    weights: Floats, gradient: Floats, *curved: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Return scores (p, k) and observed information (p, p, k) of integrals from their nodes.

    Louis (1982): ``gradient`` and each Jacobian have shape (p, k, m), and each curvature (k, m).
    """
    scores = np.einsum("km,ikm->ik", weights, gradient)
    centred = gradient - scores[:, :, None]
    information = -np.einsum("ikm,jkm->ijk", weights * centred, centred)
    for curvature, jacobian in curved:
        information += np.einsum("ikm,jkm->ijk", weights * curvature * jacobian, jacobian)
    return scores, information


#: No log odds of a finite maximum lies beyond this.
_FAR_ODDS = 60.0


class Evaluation(NamedTuple):
    """A log-likelihood and its score (2,) in ``(theta, tau)``, nuisance parameters maximised.

    ``information`` (2, 2) is minus the second derivatives of the profile likelihood.
    """

    value: float
    score: Floats
    information: Floats


class Likelihood(Protocol):
    """What the search needs to know of a model."""

    def at(self, theta: float, tau: float, nodes: tuple[int, int] = FINE) -> Evaluation:
        """Return the log-likelihood and its derivatives."""

    def saturated(self) -> float:
        """Return the log-likelihood with an effect of its own for every trial."""


class OneEffect:
    """A likelihood of one normal effect per trial, ``theta + tau z``."""

    k: int

    def terms(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return log-likelihoods and two derivatives in the effect, shape (k, m)."""
        raise NotImplementedError

    def at(self, theta: float, tau: float, nodes: tuple[int, int] = FINE) -> Evaluation:
        """Return the log-likelihood and its derivatives."""

        def terms(z: Floats) -> tuple[Floats, ...]:
            value, first, second = self.terms(theta + tau * z)
            return value, tau * first, tau**2 * second, first, second

        sums = integrate_normal(terms, self.k, tau, nodes)
        first, second = sums.more
        jacobian = np.stack([np.ones_like(sums.z), sums.z])
        scores, information = louis(sums.weights, first * jacobian, (-second, jacobian))
        return Evaluation(float(sums.value.sum()), scores.sum(axis=1), information.sum(axis=2))


class ConditionalLikelihood(OneEffect):
    """Exact conditional likelihood: events under treatment given both margins of each table.

    Noncentral hypergeometric with log odds ratio ``theta + tau z``; intercepts are eliminated.
    """

    def __init__(self, tables: EventTables) -> None:
        self.k = tables.k
        lowest, highest = tables.ends
        self._inside = (tables.a > lowest) & (tables.a < highest)
        lengths = (highest - lowest + 1).astype(int)
        order = np.argsort(lengths, kind="stable")
        #: Trials of similar length, the distance of every possible count from the one observed,
        #: and its log probability less that one's at an odds ratio of 1.
        self._blocks: list[tuple[NDArray[np.intp], Floats, Floats]] = []
        while order.size:
            size = max(1, int(np.searchsorted(lengths[order] * np.arange(1, order.size + 1), 4096)))
            rows, order = order[:size], order[size:]
            counts = lowest[rows] + np.arange(lengths[rows[-1]])[:, None]
            possible, counts = counts <= highest[rows], np.minimum(counts, highest[rows])
            a, n1, n2, events = (
                tables.a[rows],
                tables.n1[rows],
                tables.n2[rows],
                tables.events[rows],
            )
            weights = _log_choose(n1, counts) + _log_choose(n2, events - counts)
            weights = weights - (_log_choose(n1, a) + _log_choose(n2, events - a))
            weights = np.where(possible, weights, -np.inf)
            self._blocks.append((rows, (counts - a)[:, None], weights[:, None]))

    def terms(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return log probability of the observed count and two derivatives, shape (k, m)."""
        found, turned = np.empty((3, *eta.shape[::-1])), eta.T  # shares: (counts, nodes, trials)
        for rows, distance, weights in self._blocks:
            width = max(1, _CELLS // distance.size)
            for start in range(0, len(turned), width):
                part = slice(start, start + width)
                shares = distance * np.ascontiguousarray(turned[part, rows])
                shares += weights
                top = shares.max(axis=0)
                shares -= top
                np.exp(shares, out=shares)
                total = shares.sum(axis=0)
                shares *= distance
                mean = shares.sum(axis=0) / total
                shares *= distance
                squares = shares.sum(axis=0) / total
                found[0, part, rows] = (-top - np.log(total)).T
                found[1, part, rows] = -mean.T
                found[2, part, rows] = np.minimum(mean**2 - squares, 0.0).T
        value, first, second = np.ascontiguousarray(found.swapaxes(1, 2))
        return value, first, second

    def saturated(self) -> float:
        """Return the log-likelihood with a log odds ratio of its own for every trial.

        A count at the end of its range has probability 1 in the limit.
        """
        inside = self._inside

        def derivatives(x: Floats) -> tuple[Floats, Floats]:
            _, first, second = self.terms(x[:, None])
            steep = np.maximum(-second[:, 0], np.finfo(float).tiny)
            return np.where(inside, first[:, 0], 0.0), np.where(inside, steep, 1.0)

        far = np.full(self.k, _FAR_ODDS)
        best = concave_root(derivatives, np.zeros(self.k), -far, far)
        return float(self.terms(best[:, None])[0][inside, 0].sum())


def softplus(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Return ``log(1 + exp(x))`` and its two derivatives; many times as fast as scipy's."""
    small = np.exp(-np.abs(x))
    p = np.where(x > 0, 1.0, small) / (1 + small)
    return np.maximum(x, 0.0) + np.log1p(small), p, small / (1 + small) ** 2


class UnconditionalLikelihood:
    """Two binomials per trial with a free intercept; the random effect is shared by the arms.

    Log odds are ``alpha_i + theta + tau z / 2`` under treatment and ``alpha_i - tau z / 2`` under
    control (metafor's coding 1/2), so both arms vary equally between trials.
    """

    def __init__(self, tables: EventTables) -> None:
        self._tables = tables
        self._constant = _log_choose(tables.n1, tables.a) + _log_choose(tables.n2, tables.c)
        self._alpha = special.logit((tables.events + 0.5) / (tables.n + 1))

    def _parts(
        self, alpha: Floats, theta: float, tau: float, nodes: tuple[int, int]
    ) -> tuple[Floats, Floats, Floats]:
        """Return values (k,), scores (3, k) and information (3, 3, k) in theta, tau, alpha."""
        t = self._tables
        a, c, n1, n2 = (column[:, None] for column in (t.a, t.c, t.n1, t.n2))

        def terms(z: Floats) -> tuple[Floats, ...]:
            two = alpha[:, None] - tau * z / 2
            one = two + (theta + tau * z)
            (s1, p1, w1), (s2, p2, w2) = softplus(one), softplus(two)
            value = self._constant[:, None] + a * one - n1 * s1 + c * two - n2 * s2
            first, second, w1, w2 = a - n1 * p1, c - n2 * p2, n1 * w1, n2 * w2
            slope, bend = tau * (first - second) / 2, -(tau**2) * (w1 + w2) / 4
            return value, slope, bend, first, second, w1, w2

        sums = integrate_normal(terms, alpha.size, tau, nodes)
        first, second, w1, w2 = sums.more
        ones = np.ones_like(sums.z)
        treated = np.stack([ones, sums.z / 2, ones])
        control = np.stack([0 * ones, -sums.z / 2, ones])
        gradient = first * treated + second * control
        return sums.value, *louis(sums.weights, gradient, (w1, treated), (w2, control))

    def at(self, theta: float, tau: float, nodes: tuple[int, int] = FINE) -> Evaluation:
        """Return the log-likelihood and its derivatives, intercepts maximised."""
        last: list[tuple[Floats, Floats, Floats]] = []

        def derivatives(alpha: Floats) -> tuple[Floats, Floats]:
            last[:] = [self._parts(alpha, theta, tau, nodes)]
            _, scores, information = last[0]
            return scores[2], information[2, 2]

        far = np.full(self._alpha.size, _FAR_ODDS)
        step = STEP if nodes is FINE else ROUGH_STEP
        self._alpha = concave_root(derivatives, self._alpha, -far, far, step)
        if step is not STEP:
            derivatives(self._alpha)
        value, scores, information = last[0]
        cross = information[:2, 2]
        shared = information[:2, :2] - cross[:, None] * cross[None] / information[2, 2]
        return Evaluation(float(value.sum()), scores[:2].sum(axis=1), shared.sum(axis=2))

    def saturated(self) -> float:
        """Return the log-likelihood with a log odds ratio of its own for every trial."""
        t = self._tables
        cells = ((t.a, t.n1), (t.b, t.n1), (t.c, t.n2), (t.d, t.n2))
        return float((self._constant + sum(special.xlogy(x, x / n) for x, n in cells)).sum())


#: Trials that are worked on together: 10,000 trials then fit in a gigabyte.
_PART = 500


class _Parts:
    """The sum of likelihoods of a part of the trials each."""

    def __init__(self, parts: Sequence[Likelihood]) -> None:
        self._parts = parts

    def at(self, theta: float, tau: float, nodes: tuple[int, int] = FINE) -> Evaluation:
        """Return the log-likelihood and its derivatives."""
        value, score, information = zip(
            *(part.at(theta, tau, nodes) for part in self._parts), strict=True
        )
        return Evaluation(sum(value), np.sum(score, axis=0), np.sum(information, axis=0))

    def saturated(self) -> float:
        """Return the log-likelihood with an effect of its own for every trial."""
        return sum(part.saturated() for part in self._parts)


def in_parts(kind: Callable[[Any], Likelihood], tables: Any) -> Likelihood:
    """Return the likelihood of all trials of ``tables``, in parts where they are many."""
    if tables.k <= _PART:
        return kind(tables)
    number = np.arange(tables.k) // _PART
    return _Parts([kind(tables.take(number == at)) for at in range(int(number[-1]) + 1)])


def _log_choose(n: Floats, k: Floats) -> Floats:
    value = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return np.asarray(value, dtype=np.float64)


#: The two likelihoods.
MODELS = ("conditional", "unconditional")
#: Between-trial standard deviations of the log odds ratio at which the search looks for maxima.
_TAUS = (1e-3, *np.geomspace(0.03, 16.0, 16).tolist())
#: Hundreds of trials do not differ by more than this standard deviation of their log odds ratios.
_PLAUSIBLE = 2.0
#: Beyond this many times the odds no common log odds ratio is searched.
_FAR_RATIO = 50.0
#: Maximum likelihood understates the between-trial variance of few trials.
_FEW = 5
_ZEROS = "The likelihood uses the counts as they are and adds nothing."


class _Maximum(NamedTuple):
    theta: float
    tau: float
    at: Evaluation


class Best(NamedTuple):
    """The highest maximum: where, its height, the test that all trials are alike, and how many."""

    theta: float
    tau: float
    se: float
    value: float
    q: float | None
    q_df: int | None
    q_p_value: float | None
    optima: int
    gap: float | None
    caveats: tuple[Caveat, ...]


def best_maximum(likelihood: Likelihood, k: int, start: float = 0.0) -> Best:
    """Return the global maximum of a likelihood of ``k`` informative trials."""
    common = _best_theta(likelihood, 0.0, start)
    maxima = [common] if k == 1 else _maxima(likelihood, common, many=k > _PART)
    best = max(maxima, key=lambda maximum: maximum.at.value)
    others = sorted((maximum.at.value for maximum in maxima), reverse=True)[1:]
    gap = best.at.value - others[0] if others else None
    test: tuple[float | None, int | None, float | None] = None, None, None
    if k > 1:
        q = max(0.0, 2 * (likelihood.saturated() - common.at.value))
        test = q, k - 1, float(special.chdtrc(k - 1, q))
    words = (
        f"With {plural(k, 'informative trial')} maximum likelihood understates the "
        "between-trial variance, and the interval is too narrow."
    )
    few = stated((1 < k < _FEW, "few_studies", words))
    known = best.at.information  # tau counts as estimated unless it is 0
    se = float(np.sqrt(np.linalg.inv(known)[0, 0]) if best.tau else 1 / np.sqrt(known[0, 0]))
    return Best(best.theta, best.tau, se, best.at.value, *test, len(maxima), gap, few)


@takes_effects()
def binomial_normal(
    events_t: ArrayLike,
    n_t: ArrayLike,
    events_c: ArrayLike,
    n_c: ArrayLike,
    model: str = "conditional",
    level: float = 0.95,
    *,
    labels: Sequence[object] | None = None,
) -> BinomialNormal:
    """Fit a random-effects log odds ratio to event counts by maximum likelihood.

    Parameters
    ----------
    events_t, n_t, events_c, n_c : array_like of shape (k,)
        Events and participants under treatment and control; whole numbers.
    model : {"conditional", "unconditional"}
        ``conditional``: noncentral hypergeometric, both margins of every table fixed. No
        intercepts, so no bias from their number. ``unconditional``: two binomials per trial with
        fixed intercepts; the random effect is split between the arms (+1/2 and -1/2).
    level : float
        Confidence level, a share of one.
    labels : sequence of length k, optional
        Names of the trials.

    Returns
    -------
    BinomialNormal

    Raises
    ------
    ImpossibleDataError
        Counts that no trial can have, or that are not whole.
    NotEstimableError
        No informative trial; every informative trial at the same end of what its margins allow
        (such as no event under treatment in any trial); or a between-trial variance without
        finite estimate.
    UsageError
        A model or level that is not a choice.

    Notes
    -----
    Trials without events, or with nothing but events, in both arms carry no information on the
    odds ratio in either likelihood and are left out. Same models as metafor ``rma.glmm`` with
    ``model="CM.EL"`` and ``"UM.FS"``, which agree with these to about three digits: metafor
    stops its optimiser earlier and finds local maxima only. Here, for every tau the likelihood
    is concave in everything else, and tau is searched over its whole range.

    References
    ----------
    Stijnen, Hamza and Ozdemir (2010), Stat. Med. 29(29), 3046-3067. doi:10.1002/sim.4040.
    Jackson, Law, Stijnen, Viechtbauer and White (2018), Stat. Med. 37(7), 1059-1085.
    doi:10.1002/sim.7588

    Examples
    --------
    >>> fit = binomial_normal([1, 4, 2, 0], [40, 56, 92, 30], [2, 14, 7, 2], [36, 74, 93, 31])
    >>> round(fit.estimate, 4), round(fit.se, 4), fit.tau2
    (-1.2191, 0.4415, 0.0)
    """
    choice = check_choice("model", model, MODELS)
    check_level(level)
    tables = event_tables(events_t, n_t, events_c, n_c, labels, whole=True)
    informative = ~tables.double_zero
    used = tables.take(informative)
    if used.k == 0:
        raise NotEstimableError(
            f"none of {plural(tables.k, 'trial')} has both events and non-events; "
            "there is no odds ratio to estimate"
        )
    lowest, highest = used.ends
    for side, at_end in (("fewest", used.a == lowest), ("most", used.a == highest)):
        if at_end.all():
            raise NotEstimableError(
                f"in every informative trial the treatment arm has the {side} events that its "
                f"margins allow ({used.a.sum():g} of {used.events.sum():g} events in all): the "
                "odds ratio is 0 or infinite; report the counts"
            )
    kind = ConditionalLikelihood if choice == "conditional" else UnconditionalLikelihood
    best = best_maximum(in_parts(kind, used), used.k)
    z, half = best.theta / best.se, critical_value(level, None) * best.se
    return BinomialNormal(
        **tables.shared(_ZEROS, informative, best.caveats),
        model=choice,
        estimate=best.theta,
        se=best.se,
        statistic=z,
        p_value=float(two_sided_p(np.array(z), None)),
        ci_low=best.theta - half,
        ci_high=best.theta + half,
        tau2=best.tau**2,
        log_likelihood=best.value,
        q=best.q,
        q_df=best.q_df,
        q_p_value=best.q_p_value,
        optima=best.optima,
        optimum_gap=best.gap,
        level=level,
    )


def _best_theta(
    likelihood: Likelihood, tau: float, start: float, *, rough: bool = False
) -> _Maximum:
    """Return the maximum over theta for one tau."""
    nodes, step = (COARSE, ROUGH_STEP) if rough else (FINE, STEP)
    last: list[Evaluation] = []

    def derivatives(theta: Floats) -> tuple[Floats, Floats]:
        last[:] = [likelihood.at(float(theta[0]), tau, nodes)]
        return last[0].score[:1], last[0].information[:1, 0]

    bound = np.array([_FAR_RATIO])
    theta = float(concave_root(derivatives, np.array([start]), -bound, bound, step)[0])
    return _Maximum(theta, tau, last[0])


def _maxima(likelihood: Likelihood, common: _Maximum, *, many: bool = False) -> list[_Maximum]:
    """Return every local maximum along tau, where the profile score changes from + to -.

    With many trials the search ends beyond ``_PLAUSIBLE`` where the likelihood falls.
    """
    profile = [_best_theta(likelihood, _TAUS[0], common.theta)]
    progress = terminal_bar("binomial-normal model") or (lambda done, total: None)
    for done, tau in enumerate(_TAUS[1:], start=2):
        profile.append(_best_theta(likelihood, tau, profile[-1].theta, rough=True))
        progress(done, len(_TAUS))
        if many and tau > _PLAUSIBLE and profile[-1].at.score[1] < 0:
            progress(len(_TAUS), len(_TAUS))
            break
    found = [common] if profile[0].at.score[1] <= 0 else []
    for left, right in itertools.pairwise(profile):
        if left.at.score[1] > 0 >= right.at.score[1]:
            found.append(_between(likelihood, left, right))
    if profile[-1].at.score[1] > 0 or not found:
        raise NotEstimableError(
            "the between-trial variance has no finite estimate: the likelihood still rises at "
            f"a standard deviation of {_TAUS[-1]:g} on the log odds scale; report the counts"
        )
    return found


def _between(likelihood: Likelihood, left: _Maximum, right: _Maximum) -> _Maximum:
    """Return the maximum between two values of tau whose profile scores are + and -."""
    found = _by_newton(likelihood, left, right)
    if found is not None:
        return found

    def score(tau: float) -> float:
        return float(_best_theta(likelihood, tau, left.theta).at.score[1])

    low, high = left.tau, right.tau
    while score(low) <= 0:  # the rough profile misjudged a bound next to the maximum
        low *= 0.9
    while score(high) > 0:
        high *= 1.1
    tau = float(scipy.optimize.brentq(score, low, high, xtol=1e-12, rtol=1e-11))
    return _best_theta(likelihood, tau, left.theta)


def _by_newton(likelihood: Likelihood, left: _Maximum, right: _Maximum) -> _Maximum | None:
    """Return the maximum by Newton steps in both parameters; None where they leave the bracket."""
    share = left.at.score[1] / (left.at.score[1] - right.at.score[1])
    theta, tau = left.theta, left.tau + share * (right.tau - left.tau)
    for _ in range(_MOST_NEWTON):
        at = likelihood.at(theta, tau)
        if np.linalg.eigvalsh(at.information)[0] <= 0:
            return None
        step = np.linalg.solve(at.information, at.score)
        theta, tau = theta + float(step[0]), tau + float(step[1])
        if not left.tau < tau < right.tau:
            return None
        if np.all(np.abs(step) <= STEP * (1 + np.abs([theta, tau]))):
            return _Maximum(theta, tau, at)
    return None
