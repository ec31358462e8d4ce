"""Bayesian random effects for counted events: the exact likelihood of the counts, no sampling."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np
import scipy  # of its parts only what is used is loaded, when it is used
from numpy.typing import ArrayLike, NDArray

from ketameta.effects.arrays import Floats, as_numbers, frozen
from ketameta.effects.door import takes_effects
from ketameta.errors import CallError, NotEstimableError
from ketameta.formatting import (
    format_estimate,
    format_interval,
    format_number,
    plural,
)
from ketameta.models.bayes.normal import (
    MeanPosterior,
    Posterior,
    ThresholdProbability,
    mean_prior_words,
    probability_words,
    threshold_lines,
)
from ketameta.models.bayes.priors import HalfNormal, Normal, TauPrior, check_priors
from ketameta.models.bayes.quadrature import TauPosterior, posterior_of_tau
from ketameta.models.dependent.sampling_covariance import check_vector
from ketameta.models.intervals import check_level
from ketameta.models.rare_events.binomial_normal import ConditionalLikelihood
from ketameta.models.rare_events.mantel_haenszel import EventTables, TwoArmCounts, event_tables
from ketameta.models.results import Line, Printed, Reports, computed, stated

if TYPE_CHECKING:
    from scipy import interpolate

#: Weakly informative prior on the mean log odds ratio: 95% of it between odds ratios of 1/250 and
#: 250 (Günhan, Röver and Friede 2020, Res. Synth. Methods 11(1), 74-90, doi:10.1002/jrsm.1370).
WEAK_PRIOR = Normal(0.0, 2.82)
#: Steps of the grid of log odds ratios, in standard deviations of the sharpest trial. A likelihood
#: of that width has no content above the Nyquist frequency of this step: exp(-0.5 (pi / 0.3)**2).
_STEP = 0.3
#: The step where all counts are small: a likelihood with exponential tails is smooth on this scale.
_COARSEST_STEP = 0.15
#: The likelihood is followed until it has fallen by this much, in logarithms.
_NEGLIGIBLE = 46.0
#: Reach of a normal distribution beyond which nothing is left in double precision, in SDs.
_REACH = 8.5
#: Largest tau followed, in multiples of the middle of its prior.
_TAU_REACH = 16.0
#: Longest grid; beyond it a normal approximation is exact to the digits that are printed.
_MOST_NODES = 1 << 17
#: Most terms of one trial's likelihood over the grid: seconds.
_MOST_TERMS = 3e8
#: Order of the splines through densities; their error at this step is below 1e-10.
_ORDER = 7
#: Values of tau that are worked on together.
_BATCH = 64
_ZEROS = "The likelihood uses the counts as they are and adds nothing."


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class BayesEventCounts(MeanPosterior, Reports, TwoArmCounts):
    """A Bayesian random-effects log odds ratio from event counts.

    Attributes
    ----------
    k, events_treatment, n_treatment, events_control, n_control, zeros, caveats
        As in :class:`~ketameta.models.rare_events.mantel_haenszel.TwoArmCounts`.
    level : float
        Probability inside every interval.
    mu, tau, new_effect : Posterior
        Mean log odds ratio, between-trial standard deviation, log odds ratio of a new trial.
    p_mean_below_zero, p_new_below_zero : float
        Posterior probabilities that the mean, and a new trial's, log odds ratio is negative.
    thresholds : tuple of ThresholdProbability
    labels : tuple of str
        Of the informative trials.
    shrunken_median, shrunken_low, shrunken_high : ndarray of shape (informative,)
        Posterior of each informative trial's own log odds ratio.
    log_marginal : float
        Log marginal likelihood, up to a constant of the margins.
    tau_prior, mean_prior : TauPrior, Normal or None
    """

    measure: ClassVar[str] = "OR"

    mu: Posterior
    tau: Posterior
    new_effect: Posterior
    p_mean_below_zero: float
    p_new_below_zero: float
    thresholds: tuple[ThresholdProbability, ...]
    labels: tuple[str, ...]
    shrunken_median: Floats
    shrunken_low: Floats
    shrunken_high: Floats
    log_marginal: float
    tau_prior: TauPrior
    mean_prior: Normal | None

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years."""
        return computed(
            [
                f"The odds ratios of {plural(self.k, 'trial')} were pooled in a Bayesian"
                " random-effects model with the exact likelihood of the events given the margins"
                f" (Stijnen, Hamza and Özdemir 2010; Günhan, Röver and Friede 2020):"
                f" {self.tau_prior.describe()}, {mean_prior_words(self.mean_prior)}.",
                f"Nothing was added to zero cells. Intervals of {100 * self.level:g}% are central.",
            ]
        )

    def plot(self, *_: Any, **__: Any) -> NoReturn:
        """Say which posterior can be drawn."""
        raise CallError(
            "posteriors of counts are kept as summaries, not as curves:"
            " km.bayes_random_effects(effects).plot() draws those of log odds ratios, and"
            " km.plots.forest({name: fit}) this result as a row"
        )

    def printed(self) -> Printed:
        """Return the sentence and the three posteriors, as odds ratios."""
        level = f"{100 * self.level:g}%"
        pooled, new = (
            format_estimate(math.exp(part.median), math.exp(part.ci_low), math.exp(part.ci_high))
            for part in (self.mu, self.new_effect)
        )
        between = format_interval(self.tau.ci_low, self.tau.ci_high)
        lines = [
            self.events_line(),
            Line(
                "pooled",
                (f"{pooled} ({level} CrI)",),
                f"P(< 1) {probability_words(self.p_mean_below_zero)}",
            ),
            Line(
                "next trial",
                (f"{new} ({level} PI)",),
                f"P(< 1) {probability_words(self.p_new_below_zero)}",
            ),
            Line("between", (f"τ = {format_number(self.tau.median)} ({between})",)),
            *threshold_lines(self.thresholds, "OR", new="trial"),
        ]
        priors = f"{self.tau_prior.describe()}, {mean_prior_words(self.mean_prior)}"
        head = self.head("Bayesian odds ratio from counts", priors)
        return Printed(head, lines, caveats=self.caveats)


@takes_effects()
def bayes_event_counts(
    events_treatment: ArrayLike,
    n_treatment: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    tau_prior: TauPrior | None = None,
    mean_prior: Normal | None = None,
    *,
    level: float = 0.95,
    labels: Sequence[object] | None = None,
    thresholds: float | Sequence[float] = (),
) -> BayesEventCounts:
    """Fit a Bayesian random-effects log odds ratio to event counts, without sampling.

    Parameters
    ----------
    events_treatment, n_treatment, events_control, n_control : array_like of shape (k,)
        Events and participants; whole numbers. Instead of the four: ``Effects`` of counts, or a
        frame with the names of its columns.
    tau_prior : TauPrior, default: HalfNormal(0.5)
        Prior on the between-trial standard deviation of the log odds ratio.
    mean_prior : Normal, optional
        Prior on the mean log odds ratio; ``None`` is the improper uniform prior, which gives a
        posterior as long as events stand on both sides; where they do not, ``WEAK_PRIOR``
        (mean 0, SD 2.82) takes its place and a caveat says so.
    level : float, default: 0.95
    labels : sequence of length k, optional
    thresholds : float or sequence of float, optional
        Log odds ratios to report probabilities for: ``np.log(0.8)`` for an odds ratio of 0.8.

    Returns
    -------
    BayesEventCounts

    Raises
    ------
    ImpossibleDataError
        Counts that no trial can have, or that are not whole.
    NotEstimableError
        No informative trial, or counts so large that their likelihood is a needle: pool log odds
        ratios with :func:`~ketameta.bayes_random_effects` instead.
    UsageError
        A prior that is no prior, or a level that is no share.

    Notes
    -----
    Given both margins, the events under treatment are noncentral hypergeometric with log odds ratio
    ``theta_i``, and ``theta_i ~ N(mu, tau**2)``. The likelihood of a trial for ``mu`` is that of
    ``theta_i`` blurred by a normal distribution: a product in Fourier space, exact for every tau,
    since the likelihood has no content beyond the grid's Nyquist frequency. ``mu`` is integrated
    on that grid, tau by adaptive Gauss-Legendre panels of its logarithm.

    References
    ----------
    Günhan, Röver and Friede (2020), Res. Synth. Methods 11(1), 74-90. doi:10.1002/jrsm.1370.
    Stijnen, Hamza and Ozdemir (2010), Stat. Med. 29(29), 3046-3067. doi:10.1002/sim.4040

    Examples
    --------
    >>> fit = bayes_event_counts([17, 27, 23], [231, 227, 126], [0, 11, 1], [113, 225, 126])
    >>> round(fit.estimate, 2), round(fit.p_mean_below_zero, 4)
    (2.08, 0.0004)
    """
    check_level(level)
    prior = HalfNormal(0.5) if tau_prior is None else tau_prior
    check_priors(prior, mean_prior)
    cuts = check_vector("thresholds", np.atleast_1d(as_numbers("thresholds", thresholds)))
    tables = event_tables(
        events_treatment, n_treatment, events_control, n_control, labels, whole=True
    )
    informative = ~tables.double_zero
    used = tables.take(informative)
    if used.k == 0:
        raise NotEstimableError(
            f"none of {plural(tables.k, 'trial')} has both events and non-events; "
            "there is no odds ratio to estimate"
        )
    # Every trial at the same end of what its margins allow.
    at_one_end = any(bool(np.all(used.a == end)) for end in used.ends)
    one_sided = mean_prior is None and at_one_end
    centre = WEAK_PRIOR if one_sided else mean_prior
    grid = _Grid(used, prior, centre)
    tau = posterior_of_tau(grid.log_marginal, prior, grid.scale)
    shapes = grid.posteriors(tau)
    tail = (1 - level) / 2
    median, low, high = (float(x) for x in tau.quantile(np.array([0.5, tail, 1 - tail])))
    moments = prior.moment_is_finite(2, used.k)
    mean_tau = float(tau.weights @ tau.tau) if moments else None
    sd_tau = (
        math.sqrt(float(tau.weights @ (tau.tau - mean_tau) ** 2)) if mean_tau is not None else None
    )
    own = [curve.quantiles((0.5, tail, 1 - tail)) for curve in shapes.own]
    caveats = stated(
        (one_sided, "all_events_on_one_side",
         "All events that could tell the arms apart stand on one side: the data bound the odds"
         " ratio from one side only; the other bound comes from a weakly informative prior on the"
         f" mean log odds ratio (SD {WEAK_PRIOR.sd:g})."),
        (1 < used.k < 5, "prior_matters", f"With {used.k} informative trials the prior on τ"
         f" ({prior.describe()}) shapes these intervals."),
    )  # fmt: skip
    return BayesEventCounts(
        **tables.shared(_ZEROS, informative, caveats),
        level=float(level),
        mu=shapes.mean.summary(tail),
        tau=Posterior(median, low, high, mean_tau, sd_tau),
        new_effect=shapes.new.summary(tail),
        p_mean_below_zero=shapes.mean.below(0.0),
        p_new_below_zero=shapes.new.below(0.0),
        thresholds=tuple(_threshold(float(cut), shapes) for cut in cuts),
        labels=used.labels,
        shrunken_median=frozen([item[0] for item in own]),
        shrunken_low=frozen([item[1] for item in own]),
        shrunken_high=frozen([item[2] for item in own]),
        log_marginal=tau.log_marginal,
        tau_prior=prior,
        mean_prior=centre,
    )


# --- the grid of log odds ratios ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Curve:
    """A density on an even grid, with its distribution function."""

    x: Floats
    density: Floats
    _cumulative: interpolate.BSpline
    _total: float

    @classmethod
    def of(cls, x: Floats, density: Floats) -> _Curve:
        """Return a curve, cut to where it is visible and normalised."""
        seen = np.flatnonzero(density > density.max() * math.exp(-_NEGLIGIBLE + 10))
        first = max(int(seen[0]) - _ORDER, 0)
        last = min(int(seen[-1]) + _ORDER + 1, x.size)
        x, density = x[first:last], np.maximum(density[first:last], 0.0)
        from scipy import interpolate

        spline = interpolate.make_interp_spline(x, density, _ORDER)
        cumulative = spline.antiderivative()
        return cls(x, density, cumulative, float(cumulative(x[-1]) - cumulative(x[0])))

    def below(self, value: float) -> float:
        """Return the probability below a value."""
        at = min(max(value, float(self.x[0])), float(self.x[-1]))
        share = float(self._cumulative(at) - self._cumulative(self.x[0])) / self._total
        return min(max(share, 0.0), 1.0)

    def quantiles(self, probabilities: Sequence[float]) -> list[float]:
        """Return quantiles."""
        from scipy.optimize import brentq

        low, high = float(self.x[0]), float(self.x[-1])
        return [
            float(brentq(lambda at, p=p: self.below(at) - p, low, high, xtol=1e-13, rtol=1e-13))
            for p in probabilities
        ]

    def summary(self, tail: float) -> Posterior:
        """Return median, interval and moments."""
        median, low, high = self.quantiles((0.5, tail, 1 - tail))
        weights = self.density / self.density.sum()
        mean = float(weights @ self.x)
        return Posterior(median, low, high, mean, math.sqrt(float(weights @ (self.x - mean) ** 2)))


@dataclasses.dataclass(frozen=True, slots=True)
class _Posteriors:
    mean: _Curve
    new: _Curve
    own: tuple[_Curve, ...]


def _threshold(value: float, shapes: _Posteriors) -> ThresholdProbability:
    below, new = shapes.mean.below(value), shapes.new.below(value)
    return ThresholdProbability(value, below, 1 - below, new, 1 - new)


class _Grid:
    """Log odds ratios on an even grid, the likelihood of every trial there, and their blurring."""

    def __init__(self, used: EventTables, prior: TauPrior, mean_prior: Normal | None) -> None:
        spread = np.sqrt(
            1 / (used.a + 0.5) + 1 / (used.b + 0.5) + 1 / (used.c + 0.5) + 1 / (used.d + 0.5)
        )
        middle = np.log((used.a + 0.5) * (used.d + 0.5) / ((used.b + 0.5) * (used.c + 0.5)))
        self.scale = float(np.median(spread) + np.ptp(middle))
        self._prior = prior
        step = min(_STEP * float(spread.min()), _COARSEST_STEP)
        self._largest_tau = min(prior.upper, _TAU_REACH * prior.typical)
        pad = _REACH * self._largest_tau + 64 * step
        least = float(np.ptp(middle) + 2 * pad) / step
        support = float(np.minimum(np.minimum(used.n1, used.n2), used.events).max())
        low = high = 0.0
        if least <= _MOST_NODES and least * support <= _MOST_TERMS:
            low, high = self._range(used, middle, spread, mean_prior)
        nodes = math.ceil((high - low + 2 * pad) / step)
        if max(nodes, least) > _MOST_NODES or nodes * support > _MOST_TERMS:
            raise NotEstimableError(
                f"the counts are so large (the sharpest trial knows its log odds ratio to "
                f"{float(spread.min()):.2g}) that their likelihood is normal: pool log odds ratios "
                "with bayes_random_effects, or give tau_prior a smaller scale"
            )
        size = scipy.fft.next_fast_len(nodes, real=True)
        extra = (size * step - (high - low)) / 2
        self._x: Floats = low - extra + step * np.arange(size, dtype=np.float64)
        first, last = np.flatnonzero((self._x >= low) & (self._x <= high))[[0, -1]]
        reach = int(_REACH * self._largest_tau / 2 / step)
        self._wide = slice(max(int(first) - reach, 0), int(last) + reach + 1)
        logs = _log_likelihoods(used, self._x)
        self._peaks = logs.max(axis=1)
        # 1 inside and 0 outside, joined smoothly so that the grid may be taken as a ring.
        rise = scipy.special.ndtr((self._x - (low - pad)) / (24 * step / 8))
        taper = rise * scipy.special.ndtr((high + pad - self._x) / (24 * step / 8))
        self._likelihood = np.exp(logs - self._peaks[:, None]) * taper
        self._waves = scipy.fft.rfft(self._likelihood)
        self._frequency = 2 * np.pi * scipy.fft.rfftfreq(size, step)
        self._log_prior = np.zeros(size) if mean_prior is None else mean_prior.logpdf(self._x)
        self._step = step

    @staticmethod
    def _range(
        used: EventTables, middle: Floats, spread: Floats, mean_prior: Normal | None
    ) -> tuple[float, float]:
        """Return where the mean can lie: the product of likelihoods, widened by the prior."""
        reach = 60.0 if mean_prior is None else 12 * mean_prior.sd
        low = float((middle - 12 * spread).min()) - 2.0
        high = float((middle + 12 * spread).max()) + 2.0
        rough = np.linspace(low - reach, high + reach, 4001)
        total = _log_likelihoods(used, rough).sum(axis=0)
        if mean_prior is not None:
            total = total + mean_prior.logpdf(rough)
        seen = np.flatnonzero(total > total.max() - _NEGLIGIBLE)
        return float(rough[max(seen[0] - 1, 0)]), float(rough[min(seen[-1] + 1, rough.size - 1)])

    def _blurred(self, waves: NDArray[np.complex128], tau: Floats) -> Floats:
        """Return functions on the grid blurred by normal distributions: (taus, ..., nodes)."""
        damping = np.exp(-0.5 * np.outer(tau, self._frequency) ** 2)
        shape = (tau.size, *(1,) * (waves.ndim - 1), self._frequency.size)
        return np.asarray(scipy.fft.irfft(waves * damping.reshape(shape), n=self._x.size))

    def _log_product(self, trials: Floats) -> Floats:
        """Return the log posterior of the mean, up to a constant, where it is not tapered yet.

        From blurred likelihoods, shape (taus, k, nodes), to one row for each tau.
        """
        seen = np.log(np.maximum(trials[..., self._wide], 1e-300)).sum(axis=1)
        return np.asarray(seen + self._log_prior[self._wide])

    def log_marginal(self, tau: Floats) -> Floats:
        """Return log p(counts | tau) for any shape of tau, the mean integrated out."""
        # Below some tau the damping is 1 to the last digit: such values of tau are one.
        asked = np.clip(tau.ravel(), 1e-9 / self._frequency[-1], self._largest_tau)
        flat, places = np.unique(asked, return_inverse=True)
        found = np.empty(flat.size)
        for start in range(0, flat.size, _BATCH):
            part = flat[start : start + _BATCH]
            logs = self._log_product(self._blurred(self._waves, part))
            top = logs.max(axis=1)
            mass = np.exp(logs - top[:, None]).sum(axis=1) * self._step
            found[start : start + _BATCH] = top + np.log(mass)
        found = found[places] + self._peaks.sum()
        return np.where(tau > self._largest_tau, -np.inf, found.reshape(tau.shape))

    def posteriors(self, tau: TauPosterior) -> _Posteriors:
        """Return the posterior of the mean, of a new trial's effect, and of each trial's own."""
        seen = tau.weights > 1e-16
        weights, taus = tau.weights[seen], tau.tau[seen]
        mean = np.zeros(self._x.size)
        new = np.zeros(self._x.size)
        own = np.zeros_like(self._likelihood)
        for start in range(0, taus.size, _BATCH):
            part = slice(start, start + _BATCH)
            trials = np.maximum(self._blurred(self._waves, taus[part]), 1e-300)
            logs = self._log_product(trials)
            shape = np.zeros((logs.shape[0], self._x.size))
            shape[:, self._wide] = np.exp(logs - logs.max(axis=1, keepdims=True))
            shape *= (weights[part] / (shape.sum(axis=1) * self._step))[:, None]
            mean += shape.sum(axis=0)
            waves = scipy.fft.rfft(shape)
            damping = np.exp(-0.5 * np.outer(taus[part], self._frequency) ** 2)
            new += scipy.fft.irfft((waves * damping).sum(axis=0), n=self._x.size)
            others = scipy.fft.rfft(shape[:, None, :] / trials)
            own += self._likelihood * scipy.fft.irfft(
                (others * damping[:, None, :]).sum(axis=0), n=self._x.size
            )
        return _Posteriors(
            _Curve.of(self._x, mean),
            _Curve.of(self._x, new),
            tuple(_Curve.of(self._x, row) for row in own),
        )


def _log_likelihoods(used: EventTables, theta: Floats) -> Floats:
    """Return the log probability of each trial's counts given its margins, shape (k, m)."""
    return ConditionalLikelihood(used).terms(np.broadcast_to(theta, (used.k, theta.size)))[0]
