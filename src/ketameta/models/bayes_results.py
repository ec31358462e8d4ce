"""What the Bayesian companion hands back, and the lines it prints. Computes nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ketameta.models.fit_words import decimals_for, interval_words, reader_words
from ketameta.models.priors import Normal, TauPrior
from ketameta.models.results import Caveat, DrawsForest, DrawsPlot, Result
from ketameta.numberformat import format_interval, format_number, format_percent, plural
from ketameta.vocabulary import measure_entry

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]


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
        The threshold, in the units of the effect.
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

    tau: FloatArray
    tau_prior: FloatArray
    tau_posterior: FloatArray
    effect: FloatArray
    mean_posterior: FloatArray
    new_effect: FloatArray
    mean_prior: FloatArray | None


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class BayesRandomEffects(DrawsForest, DrawsPlot, Result):
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
    estimates: FloatArray
    variances: FloatArray
    shrunken_mean: FloatArray
    shrunken_sd: FloatArray
    shrunken_low: FloatArray
    shrunken_high: FloatArray
    weights: FloatArray
    log_marginal: float
    tau_prior: TauPrior
    mean_prior: Normal | None
    caveats: tuple[Caveat, ...]
    measure: str | None = None

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

    def summary(self) -> str:
        """Return the sentence and the three posteriors."""
        level = format_percent(self.level)
        digits = decimals_for((self.mu.ci_high - self.mu.ci_low) / 4)
        mu, new = self.mu, self.new_effect
        words = interval_words(
            self.measure, mu.median, mu.ci_low, mu.ci_high, level, digits, self.variances
        ).replace(" CI ", " CrI ")
        read = reader_words(self.measure, mu.median, new.ci_low, new.ci_high, self.variances)
        ahead = format_interval(new.ci_low, new.ci_high, digits) if read is None else read[1]
        entry = measure_entry(self.measure)
        below = "   P(< 1) " if entry is not None and entry.is_ratio else "   P(< 0) "
        lines = [
            f"<Bayesian random effects: {plural(self.k, 'study', 'studies')},"
            f" {self.tau_prior.describe()}, {mean_prior_words(self.mean_prior)}>",
            f"  mean effect  {words}{below}{probability_words(self.p_mean_below_zero)}",
            f"  next study   {level} PI {ahead}{below}{probability_words(self.p_new_below_zero)}",
            f"  between      τ = {format_number(self.tau.median, digits)}"
            f" ({format_interval(self.tau.ci_low, self.tau.ci_high, digits)})",
        ]
        lines += [
            f"  beyond {format_number(item.value, digits)}: P(mean is below it)"
            f" {probability_words(item.p_mean_below)},"
            f" P(next study is) {probability_words(item.p_new_below)}"
            for item in self.thresholds
        ]
        return "\n".join(lines + [f"  note: {caveat.message}" for caveat in self.caveats])

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

    def tidy(self) -> pd.DataFrame:
        """Return one row per quantity: mean effect, tau, new study."""
        import pandas as pd

        rows = [
            {"term": term, "estimate": part.median, "se": part.sd, "mean": part.mean}
            | {"ci_low": part.ci_low, "ci_high": part.ci_high, "k": self.k, "level": self.level}
            for term, part in (
                ("mean_effect", self.mu),
                ("tau", self.tau),
                ("new_effect", self.new_effect),
            )
        ]
        return pd.DataFrame(rows)


def mean_prior_words(prior: Normal | None) -> str:
    """Return the prior on the mean in words."""
    return "uniform prior on the mean effect" if prior is None else prior.describe()


def probability_words(value: float) -> str:
    """Return ``= 0.123``, or a bound."""
    if value > 0.999:
        return "> 0.999"
    return "< 0.001" if value < 0.001 else f"= {format_number(value, 3)}"
