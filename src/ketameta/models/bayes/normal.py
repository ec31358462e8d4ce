"""The Bayesian companion: a normal-normal random-effects model, exact by quadrature.

Holds the model, its result and the data of its plots; nodes are in ``quadrature``, priors in
``priors``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Floats, as_numbers, frozen
from ketameta.effects.door import takes_effects
from ketameta.errors import UsageError
from ketameta.formatting import format_interval, format_number, format_percent, plural
from ketameta.measures import FEW_STUDIES, Measure, measure_code, measure_entry
from ketameta.models.bayes.priors import HalfNormal, Normal, TauPrior, check_priors
from ketameta.models.bayes.quadrature import (
    Mixture,
    TauPosterior,
    conditional_on_tau,
    shortest_interval,
    tau_posterior,
)
from ketameta.models.dependent.sampling_covariance import check_vector
from ketameta.models.intervals import check_level
from ketameta.models.pooling import (
    decimals_for,
    interval_cells,
    own_scale,
    plural_measure,
    reader_words,
    value_words,
)
from ketameta.models.results import (
    Caveat,
    Columns,
    DrawsForest,
    DrawsPlot,
    Line,
    Printed,
    Reports,
    Result,
    computed,
    stated,
)
from ketameta.models.validation import checked_inputs


@dataclasses.dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed about one quantity after the trials.

    Attributes
    ----------
    median, ci_low, ci_high : float
        Posterior median and central credible interval.
    mean, sd : float or None
        Posterior mean and standard deviation; ``None`` where the integral does not exist (a
        half-Cauchy or log-t prior with one or two studies).
    """

    median: float
    ci_low: float
    ci_high: float
    mean: float | None
    sd: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class ThresholdProbability:
    """How likely effects lie below and above a value, such as a minimal important difference.

    Attributes
    ----------
    value : float
        The threshold, on the scale of the estimates: for ratios their logarithm.
    p_mean_below, p_mean_above : float
        Posterior probabilities for the mean effect.
    p_new_below, p_new_above : float
        The same for the true effect in a new study.
    """

    value: float
    p_mean_below: float
    p_mean_above: float
    p_new_below: float
    p_new_above: float


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PosteriorCurves:
    """Densities for a prior-to-posterior plot.

    Attributes
    ----------
    tau, tau_prior, tau_posterior : ndarray of shape (points,)
        Grid from 0, prior and posterior density of tau.
    effect, mean_posterior, new_effect : ndarray of shape (points,)
        Grid, posterior density of the mean effect, predictive density of a new study's effect.
    mean_prior : ndarray of shape (points,) or None
        Prior density of the mean effect; ``None`` when it is improper uniform.
    """

    tau: Floats
    tau_prior: Floats
    tau_posterior: Floats
    effect: Floats
    mean_posterior: Floats
    new_effect: Floats
    mean_prior: Floats | None


class MeanPosterior:
    """A result whose estimate is the posterior of a mean, beside that of a new study."""

    __slots__ = ()
    mu: Posterior
    new_effect: Posterior

    @property
    def estimate(self) -> float:
        """Posterior median of the mean effect."""
        return self.mu.median

    @property
    def ci_low(self) -> float:
        """Lower end of the credible interval of the mean effect."""
        return self.mu.ci_low

    @property
    def ci_high(self) -> float:
        """Upper end of the credible interval of the mean effect."""
        return self.mu.ci_high

    @property
    def pi_low(self) -> float:
        """Lower end of the prediction interval of a new study's true effect."""
        return self.new_effect.ci_low

    @property
    def pi_high(self) -> float:
        """Upper end of the prediction interval of a new study's true effect."""
        return self.new_effect.ci_high


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class BayesRandomEffects(MeanPosterior, DrawsForest, DrawsPlot, Reports, Result):
    """A Bayesian random-effects meta-analysis; prints itself in four lines.

    Attributes
    ----------
    k : int
        Number of studies.
    level : float
        Probability inside every interval.
    mu, tau, new_effect : Posterior
        Mean effect, between-study standard deviation, true effect in a new study.
    tau_shortest_low, tau_shortest_high : float
        Shortest interval for tau; from 0 where the posterior falls throughout.
    p_mean_below_zero, p_new_below_zero : float
        Posterior probabilities that the mean effect, and a new study's true effect, are negative.
    thresholds : tuple of ThresholdProbability
    labels : tuple of str
    estimates, variances : ndarray of shape (k,)
        As given.
    shrunken_mean, shrunken_sd, shrunken_low, shrunken_high : ndarray of shape (k,)
        Posterior of each study's own true effect.
    weights : ndarray of shape (k,)
        Mean share of each study in the mean effect, over the posterior of tau; they sum to one
        minus the share of the prior on the mean.
    log_marginal : float
        Log marginal likelihood; comparable between priors on tau for the same data and mean prior.
    tau_prior, mean_prior : str
        The priors in words.
    caveats : tuple of Caveat
    measure : str or None
        Code of the effect measure.
    """

    drawn_as: ClassVar[str] = "posterior"

    k: int
    level: float
    mu: Posterior
    tau: Posterior
    new_effect: Posterior
    tau_shortest_low: float
    tau_shortest_high: float
    p_mean_below_zero: float
    p_new_below_zero: float
    thresholds: tuple[ThresholdProbability, ...]
    labels: tuple[str, ...]
    estimates: Floats
    variances: Floats
    shrunken_mean: Floats
    shrunken_sd: Floats
    shrunken_low: Floats
    shrunken_high: Floats
    weights: Floats
    log_marginal: float
    tau_prior: TauPrior
    mean_prior: Normal | None
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years."""
        return computed(
            [
                f"The {plural_measure(self.measure)}{own_scale(self.measure)} of"
                f" {plural(self.k, 'study', 'studies')} were pooled in a Bayesian random-effects"
                f" model ({self.tau_prior.describe()}; {mean_prior_words(self.mean_prior)}), whose"
                " posterior was integrated numerically (Röver 2020).",
                f"Intervals are central and contain {format_percent(self.level)} of the posterior"
                " probability; the estimate is the median.",
            ]
        )

    def printed(self) -> Printed:
        """Return the sentence and the three posteriors."""
        level = format_percent(self.level)
        digits = decimals_for((self.mu.ci_high - self.mu.ci_low) / 4)
        mu, new = self.mu, self.new_effect
        ends = mu.median, mu.ci_low, mu.ci_high
        cells = interval_cells(self.measure, *ends, level, digits, self.variances)
        read = reader_words(self.measure, mu.median, new.ci_low, new.ci_high, self.variances)
        ahead = format_interval(new.ci_low, new.ci_high, digits) if read is None else read[1]
        entry = measure_entry(self.measure)
        below = "P(< 1)" if entry is not None and entry.is_ratio else "P(< 0)"
        between = format_interval(self.tau.ci_low, self.tau.ci_high, digits)
        lines = [
            Line(
                "mean effect",
                tuple(cell.replace(" CI ", " CrI ") for cell in cells),
                f"{below} {probability_words(self.p_mean_below_zero)}",
            ),
            Line(
                "next study",
                (f"{level} PI {ahead}",),
                f"{below} {probability_words(self.p_new_below_zero)}",
            ),
            Line("between", (f"τ = {format_number(self.tau.median, digits)} ({between})",)),
        ]
        lines += threshold_lines(self.thresholds, self.measure, digits, self.variances)
        head = (
            f"Bayesian random effects: {plural(self.k, 'study', 'studies')},"
            f" {self.tau_prior.describe()}, {mean_prior_words(self.mean_prior)}"
        )
        return Printed(head, lines, caveats=self.caveats)

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON-ready Python; priors by name and parameters."""
        values = super(BayesRandomEffects, self).to_dict()
        for name in ("tau_prior", "mean_prior"):
            prior = getattr(self, name)
            if prior is not None:
                values[name] = {
                    "name": type(prior).__name__,
                    "words": prior.describe(),
                    **dataclasses.asdict(prior),
                }
        return values

    def columns(self) -> Columns:
        """Return one row per quantity: mean effect, tau, new study."""
        parts = self.mu, self.tau, self.new_effect
        return {
            "term": ("mean_effect", "tau", "new_effect"),
            "estimate": [part.median for part in parts],
            "se": [part.sd for part in parts],
            "mean": [part.mean for part in parts],
            "ci_low": [part.ci_low for part in parts],
            "ci_high": [part.ci_high for part in parts],
            "k": [self.k] * 3,
            "level": [self.level] * 3,
        }


def mean_prior_words(prior: Normal | None) -> str:
    """Return the prior on the mean in words."""
    return "uniform prior on the mean effect" if prior is None else prior.describe()


def threshold_lines(
    thresholds: Sequence[ThresholdProbability],
    measure: str | None,
    digits: int = 2,
    variances: Floats | None = None,
    new: str = "study",
) -> list[Line]:
    """Return a line per threshold, named as it is read with the pooled scale beside it."""
    lines = []
    for item in thresholds:
        at = f"beyond {value_words(measure, item.value, digits, variances)}"
        mean, next_ = (probability_words(x) for x in (item.p_mean_below, item.p_new_below))
        lines.append(Line(at, (f"P(mean is below it) {mean}, P(next {new} is) {next_}",)))
    return lines


def probability_words(value: float) -> str:
    """Return ``= 0.123``, or a bound."""
    if value > 0.999:
        return "> 0.999"
    return "< 0.001" if value < 0.001 else f"= {format_number(value, 3)}"


#: Longest grid of a curve.
_MOST_POINTS = 1_000_000

#: Nodes with less posterior probability than this change no printed or stored digit.
_INVISIBLE_WEIGHT = 1e-18


@takes_effects()
def bayes_random_effects(
    estimates: ArrayLike,
    variances: ArrayLike,
    tau_prior: TauPrior | None = None,
    mean_prior: Normal | None = None,
    *,
    level: float = 0.95,
    labels: Sequence[object] | None = None,
    thresholds: float | Sequence[float] = (),
    measure: Measure | str | None = None,
    tau_prior_scale: float | None = None,
) -> BayesRandomEffects:
    """Fit the Bayesian normal-normal model without sampling.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        Effects and their sampling variances (> 0), k >= 1; or as in
        :func:`~ketameta.random_effects`.
    tau_prior : TauPrior, optional
        Prior on the between-study standard deviation, in the unit of the effect: ``HalfNormal``,
        ``HalfCauchy``, ``LogNormal``, ``LogT``, ``Uniform``, or a published one from
        :func:`~ketameta.turner_2015` or ``rhodes_2015``. When not given,
        ``HalfNormal(tau_prior_scale)``.
    mean_prior : Normal, optional
        Prior on the mean effect; ``None`` is the improper uniform prior.
    level : float, default: 0.95
        Probability inside each interval.
    labels : sequence, optional
        Names of the studies.
    thresholds : float or sequence of float, optional
        Values (minimal important differences) to report probabilities for, on the scale of the
        estimates: for ratios their logarithm, ``np.log(0.8)`` for a ratio of 0.8.
    measure : Measure or str, optional
        What the estimates are.
    tau_prior_scale : float, optional
        Scale of the half-normal prior on tau, in the unit of the effect. When not given, 0.5 where
        the measure fixes the unit (standardised differences and log ratios); otherwise it is asked
        for, because the same number means another prior in another unit.

    Returns
    -------
    BayesRandomEffects

    Raises
    ------
    ImpossibleDataError
        A value is not finite, a variance is not positive, or a study occurs twice.
    UsageError
        Lengths differ, a prior is no prior, or its scale is not known.
    NotEstimableError
        No studies.

    Notes
    -----
    ``y_i ~ N(theta_i, v_i)``, ``theta_i ~ N(mu, tau**2)``. Given tau everything is normal and
    analytic; log(tau) is integrated by Gauss-Legendre panels that are halved until they agree to
    1e-14, so the posteriors are mixtures of normals and their quantiles come from distribution
    functions. bayesmeta (R) uses the same model on a coarser grid, good to about 5e-4.

    References
    ----------
    Röver C (2020). Bayesian random-effects meta-analysis using the bayesmeta R package. Journal of
    Statistical Software 93(6), 1-51. doi:10.18637/jss.v093.i06

    Examples
    --------
    >>> fit = bayes_random_effects([-0.6, -0.2], [0.04, 0.09], measure="SMD")
    >>> round(fit.estimate, 3), round(fit.p_mean_below_zero, 3)
    (-0.448, 0.92)
    >>> ratios = bayes_random_effects([-0.6, -0.2], [0.04, 0.09], measure="OR",
    ...                               thresholds=np.log(0.8))
    >>> print(ratios.summary().splitlines()[4].strip())
    beyond odds ratio 0.80 (log −0.22)  P(mean is below it) = 0.790, P(next study is) = 0.735
    """
    y, v, _, names, _ = checked_inputs(estimates, variances, labels)
    check_level(level)
    known = measure_code(measure)
    prior = _default_prior(known, tau_prior_scale) if tau_prior is None else tau_prior
    check_priors(prior, mean_prior)
    if tau_prior is not None and tau_prior_scale is not None:
        raise UsageError("give tau_prior or tau_prior_scale, not both")
    cuts = check_vector("thresholds", np.atleast_1d(as_numbers("thresholds", thresholds)))

    tail = (1 - level) / 2
    posterior, mean, new = _posteriors(y, v, prior, mean_prior)
    own, shares = _studies(y, v, posterior, mean_prior)
    own_limits = own.quantiles((tail, 1 - tail))
    power = y.size - 1 if mean_prior is None else y.size
    tau_mean_exists = prior.moment_is_finite(1, power)
    tau_variance_exists = prior.moment_is_finite(2, power)
    tau_mean = float(posterior.weights @ posterior.tau) if tau_mean_exists else None
    tau_sd = (
        math.sqrt(float(posterior.weights @ (posterior.tau - tau_mean) ** 2))
        if tau_mean is not None and tau_variance_exists
        else None
    )
    median, lower, upper = (float(x) for x in posterior.quantile(np.array([0.5, tail, 1 - tail])))
    shortest = shortest_interval(posterior, level)
    # A proper prior on the mean bounds its moments; a new effect always inherits those of tau.
    mean_exists = mean_prior is not None or tau_mean_exists
    variance_exists = mean_prior is not None or tau_variance_exists
    return BayesRandomEffects(
        k=y.size,
        level=float(level),
        mu=_summarise(mean, tail, mean_exists, variance_exists),
        tau=Posterior(median, lower, upper, tau_mean, tau_sd),
        new_effect=_summarise(new, tail, tau_mean_exists, tau_variance_exists),
        tau_shortest_low=shortest[0],
        tau_shortest_high=shortest[1],
        p_mean_below_zero=float(mean.cdf(0.0)),
        p_new_below_zero=float(new.cdf(0.0)),
        thresholds=tuple(_threshold(float(cut), mean, new) for cut in cuts),
        labels=names,
        estimates=frozen(y),
        variances=frozen(v),
        shrunken_mean=frozen(own.mean()),
        shrunken_sd=frozen(own.sd()),
        shrunken_low=frozen(own_limits[0]),
        shrunken_high=frozen(own_limits[1]),
        weights=frozen(shares),
        log_marginal=posterior.log_marginal,
        tau_prior=prior,
        mean_prior=mean_prior,
        caveats=_caveats(y.size, prior, tau_variance_exists),
        measure=known,
    )


def _default_prior(measure: str | None, scale: float | None) -> TauPrior:
    """Return the half-normal prior of a measure with a fixed unit, or of a stated scale."""
    if scale is not None:
        return HalfNormal(scale)
    entry = measure_entry(measure)
    if entry is None or entry.prior_scale is None:
        what = "measure is not given" if entry is None else f"{entry.label} has no fixed unit"
        raise UsageError(
            f"the prior of tau has the unit of the effect, and {what}: give tau_prior_scale= (the"
            " between-study standard deviation that would be large), tau_prior=, or measure= of a"
            " standardised difference or a log ratio"
        )
    return HalfNormal(entry.prior_scale)


def _posteriors(
    y: Floats, v: Floats, prior: TauPrior, mean_prior: Normal | None
) -> tuple[TauPosterior, Mixture, Mixture]:
    """Return the posterior of tau and the mixtures of the mean and of a new study's effect."""
    posterior = tau_posterior(y, v, prior, mean_prior)
    weights, tau = _visible(posterior)
    given = conditional_on_tau(y, v, tau, mean_prior)
    mean = Mixture(weights, given.mu_mean, given.mu_sd)
    return posterior, mean, Mixture(weights, given.mu_mean, np.hypot(given.mu_sd, tau))


def _visible(posterior: TauPosterior) -> tuple[Floats, Floats]:
    seen = posterior.weights > _INVISIBLE_WEIGHT
    weights = posterior.weights[seen]
    return weights / weights.sum(), posterior.tau[seen]


def _studies(
    y: Floats, v: Floats, posterior: TauPosterior, mean_prior: Normal | None
) -> tuple[Mixture, Floats]:
    """Return the posterior of each study's own effect, and its weight in the mean."""
    weights, tau = _visible(posterior)
    given = conditional_on_tau(y, v, tau, mean_prior)
    total = v + (tau**2)[:, None]
    pull = v / total
    means = pull * given.mu_mean[:, None] + (1 - pull) * y
    sds = np.sqrt(v * (1 - pull) + (pull * given.mu_sd[:, None]) ** 2)
    return Mixture(weights, means, sds), np.asarray(weights @ given.shares)


def _summarise(mixture: Mixture, tail: float, mean: bool, variance: bool) -> Posterior:
    median, low, high = (float(x) for x in mixture.quantiles((0.5, tail, 1 - tail)))
    return Posterior(
        median=median,
        ci_low=low,
        ci_high=high,
        mean=float(mixture.mean()) if mean else None,
        sd=float(mixture.sd()) if variance else None,
    )


def _threshold(value: float, mean: Mixture, new: Mixture) -> ThresholdProbability:
    below, new_below = float(mean.cdf(value)), float(new.cdf(value))
    return ThresholdProbability(value, below, 1 - below, new_below, 1 - new_below)


def _caveats(k: int, prior: TauPrior, variance_exists: bool) -> tuple[Caveat, ...]:
    words, studies = prior.describe(), plural(k, "study", "studies")
    return stated(
        (k == 1, "single_study", "One study says nothing about the variation between studies: τ is"
         " what the prior says, and nothing was pooled."),
        (1 < k < FEW_STUDIES, "prior_matters",
         f"With {k} studies the prior on τ ({words}) shapes these intervals."),
        (not variance_exists, "moments_do_not_exist", f"With {studies} the tail of the prior"
         f" ({words}) leaves no posterior standard deviation; medians and intervals are given."),
    )  # fmt: skip


def posterior_curves(fit: BayesRandomEffects, points: int = 201) -> PosteriorCurves:
    """Return prior and posterior densities on grids, for a prior-to-posterior plot.

    Parameters
    ----------
    fit : BayesRandomEffects
    points : int, default: 201
        Length of each grid, >= 2. The effect grid spans the central 99.8% of the prediction; the
        tau grid runs from 0 to the 99.9% quantile, or further where the prior still has mass.

    Returns
    -------
    PosteriorCurves

    Raises
    ------
    UsageError
        Fewer than two points.
    """
    if not (hasattr(fit, "tau_prior") and hasattr(fit, "estimates")):
        raise UsageError(
            "posterior_curves() takes the result of bayes_random_effects(), not"
            f" {type(fit).__name__}"
        )
    if not isinstance(points, int) or not 2 <= points <= _MOST_POINTS:
        raise UsageError(f"points is {points!r}; give a whole number from 2 to {_MOST_POINTS:,}")
    posterior, mean, new = _posteriors(fit.estimates, fit.variances, fit.tau_prior, fit.mean_prior)
    top = float(posterior.quantile(np.array([0.999]))[0])
    prior_reach = min(3 * fit.tau_prior.typical, fit.tau_prior.upper, 4 * top)
    tau = np.linspace(0.0, max(top, prior_reach), points)
    low, high = new.quantiles((0.001, 0.999)).tolist()
    effect = np.linspace(low, high, points)
    # A density may be infinite at 0 exactly; it is drawn from just beside it.
    beside = np.where(tau > 0, tau, tau[1] * 1e-6)
    return PosteriorCurves(
        tau=frozen(tau),
        tau_prior=frozen(fit.tau_prior.pdf(beside)),
        tau_posterior=frozen(posterior.density_at(beside)),
        effect=frozen(effect),
        mean_posterior=frozen([float(mean.pdf(x)) for x in effect]),
        new_effect=frozen([float(new.pdf(x)) for x in effect]),
        mean_prior=None if fit.mean_prior is None else frozen(fit.mean_prior.pdf(effect)),
    )


def predictive_effect(
    estimates: ArrayLike,
    variances: ArrayLike,
    tau_prior: TauPrior | None = None,
    mean_prior: Normal | None = None,
    labels: Sequence[object] | None = None,
) -> Mixture:
    """Return the posterior predictive distribution of the true effect in a new trial.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        At least one trial.
    tau_prior : TauPrior, default: HalfNormal(0.5)
    mean_prior : Normal, optional
        ``None`` is the improper uniform prior.
    labels : sequence, optional

    Returns
    -------
    Mixture
        Of normal distributions, one per node of the between-trial standard deviation.

    Notes
    -----
    The distribution whose median and interval
    :func:`bayes_random_effects` gives as ``new_effect``.
    """
    y, v, _, _, _ = checked_inputs(estimates, variances, labels, repeated_labels="allow")
    prior = HalfNormal(0.5) if tau_prior is None else tau_prior
    return _posteriors(y, v, prior, mean_prior)[2]
