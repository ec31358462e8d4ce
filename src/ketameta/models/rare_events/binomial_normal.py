"""Random-effects odds ratio of rare events from the counts themselves, by maximum likelihood.

Nothing is added to zero cells and no normal approximation of a trial's log odds ratio is made.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from ketameta.effects.arrays import Bools, Floats
from ketameta.effects.door import takes_effects
from ketameta.errors import NotEstimableError, check_choice
from ketameta.formatting import (
    format_estimate,
    format_number,
    format_p,
    format_significant,
    plural,
)
from ketameta.models.intervals import check_level, critical_value
from ketameta.models.pooling import statistic_words
from ketameta.models.rare_events.event_tables import (
    EventTables,
    ZeroHandling,
    counts_words,
    event_tables,
    zero_caveats,
)
from ketameta.models.results import Caveat, Line, Printed, Reports, Result, computed, terminal_bar

_NAMES = {
    "conditional": "exact conditional likelihood",
    "unconditional": "unconditional likelihood, fixed intercepts",
}


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class BinomialNormal(Reports, Result):
    """A random-effects log odds ratio from event counts.

    Attributes
    ----------
    model : {"conditional", "unconditional"}
    k : int
        Trials given, informative or not.
    events_treatment, n_treatment, events_control, n_control : float
        Sums over trials.
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
    level : float
    zeros : ZeroHandling
    caveats : tuple of Caveat
    """

    model: str
    k: int
    events_treatment: float
    n_treatment: float
    events_control: float
    n_control: float
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
    level: float
    zeros: ZeroHandling
    caveats: tuple[Caveat, ...]

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
        ends = math.exp(self.estimate), math.exp(self.ci_low), math.exp(self.ci_high)
        sums = self.events_treatment, self.n_treatment, self.events_control, self.n_control
        lines = [
            Line("events", (counts_words(*sums),)),
            Line(
                "pooled",
                (f"{format_estimate(*ends)} ({100 * self.level:g}% CI)",),
                statistic_words(self.statistic, None, self.p_value),
            ),
        ]
        if self.q is not None:
            words = (
                f"τ² = {format_significant(self.tau2)}, "
                f"likelihood ratio χ²({self.q_df}) = {format_number(self.q, 1)}, "
                f"{format_p(self.q_p_value)}"
            )
            lines.append(Line("between", (words,)))
        head = (
            f"Binomial-normal odds ratio: {plural(self.k, 'trial')}, "
            f"{self.zeros.k_informative} informative, {_NAMES[self.model]}"
        )
        return Printed(head, lines, caveats=self.caveats)


#: Log-likelihood of trials with its first and second derivatives in the random effect.
Terms: TypeAlias = Callable[[Floats], tuple[Floats, Floats, Floats]]

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
#: The same for looking where maxima are.
ROUGH_STEP = 1e-4
#: The same for placing nodes, which need not be exactly around the mode.
_PLACE = 1e-2


class NodeSums(NamedTuple):
    """Posterior of the random effects z on the nodes; arrays (k, nodes) and ``value`` (k,)."""

    z: Floats
    weights: Floats
    value: Floats


def concave_root(
    derivatives: Callable[[Floats], tuple[Floats, Floats]],
    start: Floats,
    low: Floats,
    high: Floats,
    tolerance: float = STEP,
) -> Floats:
    """Return where decreasing functions are zero: Newton's method, kept inside a bracket.

    Parameters
    ----------
    derivatives : callable
        From points to the functions and minus their slopes (> 0).
    start, low, high : ndarray of one shape
    tolerance : float
        Size of the last step.
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
    """Place the nodes of each trial where its integrand is, and sum over them.

    Parameters
    ----------
    terms : callable
        Maps z of shape (k, m) to log-likelihoods and two derivatives in z, concave in z.
    k : int
        Trials.
    tau : float
        Standard deviation that multiplies z within ``terms``; more nodes for larger ones.
    nodes : tuple of int
        ``FINE`` or ``COARSE``.
    """

    def posterior(z: Floats) -> tuple[Floats, Floats]:
        _, first, second = terms(z[:, None])
        return first[:, 0] - z, 1 - second[:, 0]

    zero = np.zeros(k)
    # The derivative of the log-likelihood falls with z, so the mode lies between 0 and its value
    # at 0.
    at_zero, _ = posterior(zero)
    bounds = np.minimum(at_zero, 0), np.maximum(at_zero, 0)
    mode = concave_root(posterior, zero, *bounds, _PLACE)
    low, high = _edge(terms, mode, -1), _edge(terms, mode, 1)
    count = int(np.ceil(nodes[0] + nodes[1] * tau))
    z = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, count)
    values, _, _ = terms(z)
    logs = values - z**2 / 2
    value = special.logsumexp(logs, axis=1)
    step = (high - low) / (count - 1)
    constant = np.log(step) - np.log(2 * np.pi) / 2
    return NodeSums(z, np.exp(logs - value[:, None]), value + constant)


def _edge(terms: Terms, mode: Floats, side: int) -> Floats:
    """Return, on one side of the mode, points where the integrand has fallen by ``_FALL``.

    The log of the integrand is concave and falls at least as fast as -z^2/2, so Newton's method
    started that far out stays outside and approaches the edge. A few steps are enough for small
    counts; with large ones the likelihood is an exponential out there, which falls by one a step.
    """
    top = terms(mode[:, None])[0][:, 0] - mode**2 / 2
    z = mode + side * np.sqrt(2 * _FALL)
    for step in range(_MOST_STEPS):
        value, first, _ = terms(z[:, None])
        height = value[:, 0] - z**2 / 2 - top + _FALL
        if step >= _FEW_STEPS and np.all(height > -_FALL):
            break
        z = z - np.minimum(height, 0.0) / (first[:, 0] - z)
    return z


def louis(
    weights: Floats, gradient: Floats, curvature: Floats, jacobian: Floats
) -> tuple[Floats, Floats]:
    """Return scores and observed information of integrals (Louis 1982) from their nodes."""
    scores = np.einsum("km,kmi->ki", weights, gradient)
    centred = gradient - scores[:, None, :]
    information = np.einsum("km,km,kmi,kmj->kij", weights, curvature, jacobian, jacobian)
    information = information - np.einsum("km,kmi,kmj->kij", weights, centred, centred)
    return scores, information


#: No log odds of a finite maximum lies beyond this.
_FAR_ODDS = 60.0


class Evaluation(NamedTuple):
    """A log-likelihood with its derivatives in ``(theta, tau)``, nuisance parameters maximised.

    Attributes
    ----------
    value : float
    score : ndarray of shape (2,)
    information : ndarray of shape (2, 2)
        Minus the second derivatives of the profile likelihood.
    """

    value: float
    score: Floats
    information: Floats


class Tables(Protocol):
    """Counts of ``k`` trials, of which some may be taken."""

    @property
    def k(self) -> int:
        """Number of trials."""

    def take(self, keep: Bools) -> Self:
        """Return the trials where ``keep`` is true."""


TablesT = TypeVar("TablesT", bound=Tables)


class Likelihood(Protocol):
    """What the search needs to know of a model."""

    def at(self, theta: float, tau: float, nodes: tuple[int, int] = FINE) -> Evaluation:
        """Return the log-likelihood and its derivatives."""

    def saturated(self) -> float:
        """Return the log-likelihood with a log odds ratio of its own for every trial."""


class ConditionalLikelihood:
    """Exact conditional likelihood: events under treatment given both margins of each table.

    Noncentral hypergeometric with log odds ratio ``theta + tau z``; intercepts are eliminated.

    Parameters
    ----------
    tables : EventTables
        Whole counts of informative trials.
    """

    def __init__(self, tables: EventTables) -> None:
        a, n1, n2, events = tables.a, tables.n1, tables.n2, tables.events
        lowest, highest = np.maximum(0, events - n2), np.minimum(n1, events)
        lengths = (highest - lowest + 1).astype(int)
        self._k = tables.k
        self._starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        counts = np.concatenate(
            [np.arange(lo, hi + 1) for lo, hi in zip(lowest, highest, strict=True)]
        )
        rows = np.repeat(np.arange(tables.k), lengths)
        self._rows = rows
        self._distance = counts - a[rows]
        weights = _log_choose(n1[rows], counts) + _log_choose(n2[rows], events[rows] - counts)
        observed = _log_choose(n1, a) + _log_choose(n2, events - a)
        self._log_weights = weights - observed[rows]
        self._inside = (a > lowest) & (a < highest)

    def _terms(self, log_odds: Floats) -> tuple[Floats, Floats, Floats]:
        """Return log probability of the observed count and two derivatives; shapes (k, m)."""
        logs = self._log_weights[:, None] + self._distance[:, None] * log_odds[self._rows]
        top = np.maximum.reduceat(logs, self._starts, axis=0)
        shares = np.exp(logs - top[self._rows])
        total = np.add.reduceat(shares, self._starts, axis=0)
        shares = shares / total[self._rows]
        mean = np.add.reduceat(shares * self._distance[:, None], self._starts, axis=0)
        spread = self._distance[:, None] - mean[self._rows]
        variance = np.add.reduceat(shares * spread**2, self._starts, axis=0)
        return -(top + np.log(total)), -mean, -variance

    def at(self, theta: float, tau: float, nodes: tuple[int, int] = FINE) -> Evaluation:
        """Return the log-likelihood and its derivatives."""

        def terms(z: Floats) -> tuple[Floats, Floats, Floats]:
            value, first, second = self._terms(theta + tau * z)
            return value, tau * first, tau**2 * second

        sums = integrate_normal(terms, self._k, tau, nodes)
        _, first, second = self._terms(theta + tau * sums.z)
        jacobian = np.stack([np.ones_like(sums.z), sums.z], axis=-1)
        scores, information = louis(sums.weights, first[..., None] * jacobian, -second, jacobian)
        return Evaluation(float(sums.value.sum()), scores.sum(axis=0), information.sum(axis=0))

    def saturated(self) -> float:
        """Return the log-likelihood with a log odds ratio of its own for every trial.

        A count at the end of its range has probability 1 in the limit.
        """
        inside = self._inside
        if not inside.any():
            return 0.0

        def derivatives(x: Floats) -> tuple[Floats, Floats]:
            _, first, second = self._terms(x[:, None])
            return np.where(inside, first[:, 0], 0.0), np.where(inside, -second[:, 0], 1.0)

        far = np.full(self._k, _FAR_ODDS)
        best = concave_root(derivatives, np.zeros(self._k), -far, far)
        value, _, _ = self._terms(best[:, None])
        return float(value[inside, 0].sum())


class UnconditionalLikelihood:
    """Two binomials per trial with a free intercept; the random effect is shared by the arms.

    Log odds are ``alpha_i + theta + tau z / 2`` under treatment and ``alpha_i - tau z / 2`` under
    control (metafor's coding 1/2), so both arms vary equally between trials.

    Parameters
    ----------
    tables : EventTables
        Counts of informative trials.
    """

    def __init__(self, tables: EventTables) -> None:
        self._tables = tables
        self._constant = _log_choose(tables.n1, tables.a) + _log_choose(tables.n2, tables.c)
        pooled = (tables.events + 0.5) / (tables.n + 1)
        self._alpha = special.logit(pooled)

    def _arms(self, alpha: Floats, theta: float, tau: float, z: Floats) -> tuple[Floats, ...]:
        """Return value, residuals and weights of the two arms; shapes (k, m)."""
        t = self._tables
        one, two = alpha + theta + tau * z / 2, alpha - tau * z / 2
        value = self._constant[:, None] + t.a[:, None] * one + t.c[:, None] * two
        value = value - t.n1[:, None] * np.logaddexp(0, one) - t.n2[:, None] * np.logaddexp(0, two)
        p1, p2 = special.expit(one), special.expit(two)
        first, second = t.a[:, None] - t.n1[:, None] * p1, t.c[:, None] - t.n2[:, None] * p2
        return (
            value,
            first,
            second,
            t.n1[:, None] * p1 * special.expit(-one),
            t.n2[:, None] * p2 * special.expit(-two),
        )

    def _parts(
        self, alpha: Floats, theta: float, tau: float, nodes: tuple[int, int]
    ) -> tuple[Floats, Floats, Floats]:
        """Return values (k,), scores (k, 3) and information (k, 3, 3) in theta, tau, alpha."""
        column = alpha[:, None]

        def terms(z: Floats) -> tuple[Floats, Floats, Floats]:
            value, first, second, w1, w2 = self._arms(column, theta, tau, z)
            return value, tau * (first - second) / 2, -(tau**2) * (w1 + w2) / 4

        sums = integrate_normal(terms, alpha.size, tau, nodes)
        _, first, second, w1, w2 = self._arms(column, theta, tau, sums.z)
        ones, zeros = np.ones_like(sums.z), np.zeros_like(sums.z)
        treated = np.stack([ones, sums.z / 2, ones], axis=-1)
        control = np.stack([zeros, -sums.z / 2, ones], axis=-1)
        gradient = first[..., None] * treated + second[..., None] * control
        scores, information = louis(sums.weights, gradient, w1, treated)
        information = information + np.einsum(
            "km,km,kmi,kmj->kij", sums.weights, w2, control, control
        )
        return sums.value, scores, information

    def at(self, theta: float, tau: float, nodes: tuple[int, int] = FINE) -> Evaluation:
        """Return the log-likelihood and its derivatives, intercepts maximised."""

        def derivatives(alpha: Floats) -> tuple[Floats, Floats]:
            _, scores, information = self._parts(alpha, theta, tau, nodes)
            return scores[:, 2], information[:, 2, 2]

        far = np.full(self._alpha.size, _FAR_ODDS)
        step = STEP if nodes is FINE else ROUGH_STEP
        self._alpha = concave_root(derivatives, self._alpha, -far, far, step)
        value, scores, information = self._parts(self._alpha, theta, tau, nodes)
        cross = information[:, :2, 2]
        outer = cross[:, :, None] * cross[:, None, :] / information[:, 2, 2][:, None, None]
        shared = (information[:, :2, :2] - outer).sum(axis=0)
        return Evaluation(float(value.sum()), scores[:, :2].sum(axis=0), shared)

    def saturated(self) -> float:
        """Return the log-likelihood with a log odds ratio of its own for every trial."""
        t = self._tables
        return float(
            (
                self._constant
                + special.xlogy(t.a, t.a / t.n1)
                + special.xlogy(t.b, t.b / t.n1)
                + special.xlogy(t.c, t.c / t.n2)
                + special.xlogy(t.d, t.d / t.n2)
            ).sum()
        )


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


def in_parts(kind: Callable[[TablesT], Likelihood], tables: TablesT) -> Likelihood:
    """Return the likelihood of all trials, in parts where they are many."""
    if tables.k <= _PART:
        return kind(tables)
    number = np.arange(tables.k) // _PART
    return _Parts([kind(tables.take(number == at)) for at in range(int(number[-1]) + 1)])


def log_conditional_likelihood(tables: EventTables, theta: Floats) -> Floats:
    """Return the log probability of the observed events given both margins, shape (k, m).

    Parameters
    ----------
    tables : EventTables
        Whole counts of informative trials.
    theta : ndarray of shape (m,)
        Log odds ratios.

    Notes
    -----
    Trial by trial, and in slices of ``theta``, so that memory stays small with large counts.
    """
    found = np.empty((tables.k, theta.size))
    for i in range(tables.k):
        a, n1, n2, events = tables.a[i], tables.n1[i], tables.n2[i], tables.events[i]
        counts = np.arange(max(0.0, events - n2), min(n1, events) + 1)
        weights = _log_choose(n1, counts) + _log_choose(n2, events - counts)
        weights = weights - (_log_choose(n1, a) + _log_choose(n2, events - a))
        slices = max(1, 4_000_000 // counts.size)
        for start in range(0, theta.size, slices):
            part = slice(start, start + slices)
            logs = weights[:, None] + np.outer(counts - a, theta[part])
            found[i, part] = -special.logsumexp(logs, axis=0)
    return found


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
    """The highest maximum: where, its standard error and value, that at tau = 0, and how many."""

    theta: float
    tau: float
    se: float
    value: float
    common: float
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
    return Best(
        best.theta, best.tau, _standard_error(best), best.at.value, common.at.value, len(maxima),
        gap, tuple(_few(k)),
    )  # fmt: skip


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
    _refuse_separation(used, tables.k)
    kind = ConditionalLikelihood if choice == "conditional" else UnconditionalLikelihood
    likelihood = in_parts(kind, used)
    best = best_maximum(likelihood, used.k)
    z = best.theta / best.se
    half = critical_value(level, None) * best.se
    q = 2 * (likelihood.saturated() - best.common) if used.k > 1 else None
    zeros = tables.zero_handling(_ZEROS, informative)
    return BinomialNormal(
        model=choice,
        k=tables.k,
        events_treatment=float(tables.a.sum()),
        n_treatment=float(tables.n1.sum()),
        events_control=float(tables.c.sum()),
        n_control=float(tables.n2.sum()),
        estimate=best.theta,
        se=best.se,
        statistic=z,
        p_value=float(2 * stats.norm.sf(abs(z))),
        ci_low=best.theta - half,
        ci_high=best.theta + half,
        tau2=best.tau**2,
        log_likelihood=best.value,
        q=None if q is None else max(0.0, q),
        q_df=None if q is None else used.k - 1,
        q_p_value=None if q is None else float(stats.chi2.sf(max(0.0, q), used.k - 1)),
        optima=best.optima,
        optimum_gap=best.gap,
        level=level,
        zeros=zeros,
        caveats=(*zero_caveats(zeros, tables.k, False), *best.caveats),
    )


def _refuse_separation(used: EventTables, k: int) -> None:
    if used.k == 0:
        raise NotEstimableError(
            f"none of {plural(k, 'trial')} has both events and non-events; "
            "there is no odds ratio to estimate"
        )
    lowest = np.maximum(0, used.events - used.n2)
    highest = np.minimum(used.n1, used.events)
    for side, at_end in (("fewest", used.a == lowest), ("most", used.a == highest)):
        if at_end.all():
            raise NotEstimableError(
                f"in every informative trial the treatment arm has the {side} events that its "
                f"margins allow ({used.a.sum():g} of {used.events.sum():g} events in all): the "
                "odds ratio is 0 or infinite; report the counts"
            )


def _best_theta(
    likelihood: Likelihood, tau: float, start: float, *, rough: bool = False
) -> _Maximum:
    """Return the maximum over theta for one tau."""
    nodes = COARSE if rough else FINE

    def derivatives(theta: Floats) -> tuple[Floats, Floats]:
        at = likelihood.at(float(theta[0]), tau, nodes)
        return at.score[:1], at.information[:1, 0]

    bound = np.array([_FAR_RATIO])
    step = ROUGH_STEP if rough else STEP
    theta = float(concave_root(derivatives, np.array([start]), -bound, bound, step)[0])
    return _Maximum(theta, tau, likelihood.at(theta, tau, nodes))


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
    tau = float(optimize.brentq(score, low, high, xtol=1e-12, rtol=1e-11))
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
            return _Maximum(theta, tau, likelihood.at(theta, tau))
    return None


def _standard_error(maximum: _Maximum) -> float:
    """Return the standard error of theta; tau counts as estimated unless it is 0."""
    information = maximum.at.information
    if maximum.tau == 0:
        return float(1 / np.sqrt(information[0, 0]))
    return float(np.sqrt(np.linalg.inv(information)[0, 0]))


def _few(k: int) -> list[Caveat]:
    if not 1 < k < _FEW:
        return []
    return [
        Caveat(
            "few_studies",
            f"With {plural(k, 'informative trial')} maximum likelihood understates the "
            "between-trial variance, and the interval is too narrow.",
        )
    ]
