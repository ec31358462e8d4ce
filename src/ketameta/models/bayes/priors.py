"""Prior distributions for the Bayesian companion: what was believed before the trials.

Holds densities, the words that name them and the published tables; computes no posterior.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats
from ketameta.errors import UsageError, check_choice


def _positive(name: str, value: float) -> None:
    if not isinstance(value, int | float | np.number) or not math.isfinite(value) or value <= 0:
        raise UsageError(f"{name} is {value!r}; it must be a positive, finite number")


def _finite(name: str, value: float) -> None:
    if not isinstance(value, int | float | np.number) or not math.isfinite(value):
        raise UsageError(f"{name} is {value!r}; it must be a finite number")


class TauPrior:
    """A prior on tau, the between-study standard deviation; one of your own inherits from this.

    It has a ``typical`` tau, near its middle and in the unit of the effect, a log density and its
    words; without more its support has no upper end, and its tail is lighter than any power.
    """

    __slots__ = ()

    @property
    def upper(self) -> float:
        """Largest tau with positive density; infinity when there is none."""
        return math.inf

    @property
    def typical(self) -> float:
        """A tau near the middle of the prior, in the units of the effect."""
        raise TypeError(f"{type(self).__name__} has no typical tau")

    def logpdf(self, tau: ArrayLike) -> Floats:
        """Return the logarithm of the density at ``tau``."""
        raise TypeError(f"{type(self).__name__} has no density")

    def pdf(self, tau: ArrayLike) -> Floats:
        """Return the density at ``tau``, same shape; 0 outside the support."""
        return np.exp(self.logpdf(tau))

    def moment_is_finite(self, order: int, likelihood_power: int) -> bool:
        """Whether ``tau**order`` has an expectation when the likelihood falls like tau^-power."""
        return True

    def describe(self) -> str:
        """Return the prior in words for a methods paragraph."""
        raise TypeError(f"{type(self).__name__} does not say what it is")


@dataclasses.dataclass(frozen=True, slots=True)
class _Scaled(TauPrior):
    """A prior with a scale, in the units of the effect, > 0."""

    scale: float

    def __post_init__(self) -> None:
        _positive("scale", self.scale)

    @property
    def typical(self) -> float:
        """The scale."""
        return self.scale


def _log_where(inside: NDArray[np.bool_], values: Floats) -> Floats:
    return np.where(inside, values, -np.inf)


@dataclasses.dataclass(frozen=True, slots=True)
class HalfNormal(_Scaled):
    """Half-normal prior on tau.

    Attributes
    ----------
    scale : float
        Standard deviation of the normal that is folded at 0, in the units of the effect, > 0;
        the prior median of tau is 0.674 scale, its 95% quantile 1.96 scale. 0.5 is the usual weakly
        informative choice for log odds ratios and standardised mean differences.

    References
    ----------
    Röver C, Bender R, Dias S, et al. (2021). On weakly informative prior distributions for the
    heterogeneity parameter in Bayesian random-effects meta-analysis. Research Synthesis Methods
    12(4), 448-474. doi:10.1002/jrsm.1475
    """

    def logpdf(self, tau: ArrayLike) -> Floats:
        """Return ``log(2 / pi) / 2 - log(scale) - tau**2 / (2 scale**2)`` for tau >= 0."""
        x = np.asarray(tau, dtype=np.float64)
        z = np.minimum(x / self.scale, 1e150)
        value = 0.5 * math.log(2 / math.pi) - math.log(self.scale) - 0.5 * z**2
        return _log_where(x >= 0, value)

    def describe(self) -> str:
        """Return ``half-normal with scale 0.5 on tau``."""
        return f"half-normal with scale {self.scale:g} on τ"


@dataclasses.dataclass(frozen=True, slots=True)
class HalfCauchy(_Scaled):
    """Half-Cauchy prior on tau: the same centre as a half-normal, a much longer tail.

    Attributes
    ----------
    scale : float
        Prior median of tau, in the units of the effect, > 0.

    References
    ----------
    Gelman A (2006). Prior distributions for variance parameters in hierarchical models. Bayesian
    Analysis 1(3), 515-534. doi:10.1214/06-BA117A
    """

    def logpdf(self, tau: ArrayLike) -> Floats:
        """Return ``log(2 / (pi scale)) - log(1 + (tau / scale)**2)`` for tau >= 0."""
        x = np.asarray(tau, dtype=np.float64)
        value = math.log(2 / (math.pi * self.scale)) - 2 * np.log(np.hypot(1.0, x / self.scale))
        return _log_where(x >= 0, value)

    def moment_is_finite(self, order: int, likelihood_power: int) -> bool:
        """Return whether the tail ``tau**(order - 2 - likelihood_power)`` can be integrated."""
        return order < 1 + likelihood_power

    def describe(self) -> str:
        """Return ``half-Cauchy with scale 0.5 on tau``."""
        return f"half-Cauchy with scale {self.scale:g} on τ"


@dataclasses.dataclass(frozen=True, slots=True)
class LogNormal(TauPrior):
    """Log-normal prior, with the parameters of the logarithm of tau **squared**.

    Attributes
    ----------
    log_tau2_mean, log_tau2_sd : float
        Mean and standard deviation of log(tau^2), as Turner et al. (2015) print them; tau itself is
        then log-normal with half of each.
    """

    log_tau2_mean: float
    log_tau2_sd: float

    def __post_init__(self) -> None:
        _finite("log_tau2_mean", self.log_tau2_mean)
        _positive("log_tau2_sd", self.log_tau2_sd)

    @property
    def typical(self) -> float:
        """The prior median of tau."""
        return math.exp(self.log_tau2_mean / 2)

    def logpdf(self, tau: ArrayLike) -> Floats:
        """Return the log density of tau (not of tau squared)."""
        x = np.asarray(tau, dtype=np.float64)
        inside = x > 0
        log_x = np.log(np.where(inside, x, 1.0))
        spread = self.log_tau2_sd / 2
        z = (log_x - self.log_tau2_mean / 2) / spread
        value = -0.5 * z**2 - log_x - math.log(spread) - 0.5 * math.log(2 * math.pi)
        return _log_where(inside, value)

    def describe(self) -> str:
        """Return ``log-normal with mean -2.56 and SD 1.74 on log tau^2``."""
        return f"log-normal with mean {self.log_tau2_mean:g} and SD {self.log_tau2_sd:g} on log τ²"


@dataclasses.dataclass(frozen=True, slots=True)
class LogT(TauPrior):
    """Log-Student-t prior, with the parameters of the logarithm of tau **squared**.

    Attributes
    ----------
    log_tau2_location, log_tau2_scale : float
        Location and scale of log(tau^2), as Rhodes et al. (2015) print them.
    df : float
        Degrees of freedom; 5 in Rhodes et al. (2015).
    """

    log_tau2_location: float
    log_tau2_scale: float
    df: float = 5.0

    def __post_init__(self) -> None:
        _finite("log_tau2_location", self.log_tau2_location)
        _positive("log_tau2_scale", self.log_tau2_scale)
        _positive("df", self.df)

    @property
    def typical(self) -> float:
        """The prior median of tau."""
        return math.exp(self.log_tau2_location / 2)

    def logpdf(self, tau: ArrayLike) -> Floats:
        """Return the log density of tau (not of tau squared)."""
        x = np.asarray(tau, dtype=np.float64)
        inside = x > 0
        log_x = np.log(np.where(inside, x, 1.0))
        scale = self.log_tau2_scale / 2
        z = (log_x - self.log_tau2_location / 2) / scale
        constant = (
            special.gammaln((self.df + 1) / 2)
            - special.gammaln(self.df / 2)
            - 0.5 * math.log(self.df * math.pi)
            - math.log(scale)
        )
        value = constant - (self.df + 1) * np.log(np.hypot(1.0, z / math.sqrt(self.df))) - log_x
        return _log_where(inside, value)

    def moment_is_finite(self, order: int, likelihood_power: int) -> bool:
        """Return whether the tail, a power times ``log(tau)**-(df + 1)``, can be integrated."""
        return order <= likelihood_power

    def describe(self) -> str:
        """Return ``log-t(5) with location -3.44 and scale 2.59 on log tau^2``."""
        return (
            f"log-t({self.df:g}) with location {self.log_tau2_location:g} and scale"
            f" {self.log_tau2_scale:g} on log τ²"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Uniform(TauPrior):
    """Uniform prior on tau between 0 and an upper limit, which is part of the claim.

    Attributes
    ----------
    limit : float
        Largest tau held possible, in the units of the effect, > 0.
    """

    limit: float

    def __post_init__(self) -> None:
        _positive("limit", self.limit)

    @property
    def upper(self) -> float:
        """The limit."""
        return self.limit

    @property
    def typical(self) -> float:
        """Half of the limit."""
        return self.limit / 2

    def logpdf(self, tau: ArrayLike) -> Floats:
        """Return ``-log(limit)`` for tau between 0 and the limit."""
        x = np.asarray(tau, dtype=np.float64)
        return np.where((x >= 0) & (x <= self.limit), -math.log(self.limit), -np.inf)

    def describe(self) -> str:
        """Return ``uniform on tau from 0 to 4``."""
        return f"uniform on τ from 0 to {self.limit:g}"


@dataclasses.dataclass(frozen=True, slots=True)
class Normal:
    """Normal prior on the mean effect.

    Attributes
    ----------
    mean, sd : float
        In the units of the effect; ``sd`` > 0.
    """

    mean: float = 0.0
    sd: float = 4.0

    def __post_init__(self) -> None:
        _finite("mean", self.mean)
        _positive("sd", self.sd)

    def logpdf(self, mu: ArrayLike) -> Floats:
        """Return the log density at ``mu``."""
        z = (np.asarray(mu, dtype=np.float64) - self.mean) / self.sd
        return -0.5 * z**2 - math.log(self.sd) - 0.5 * math.log(2 * math.pi)

    def pdf(self, mu: ArrayLike) -> Floats:
        """Return the density at ``mu``."""
        return np.exp(self.logpdf(mu))

    def describe(self) -> str:
        """Return ``normal with mean 0 and SD 4 on the mean effect``."""
        return f"normal with mean {self.mean:g} and SD {self.sd:g} on the mean effect"


def check_priors(tau_prior: object, mean_prior: object) -> None:
    """Refuse what is no prior on tau, or none on the mean."""
    if not isinstance(tau_prior, TauPrior):
        raise UsageError(
            f"tau_prior is {tau_prior!r}; give HalfNormal, HalfCauchy, LogNormal, LogT or Uniform"
        )
    if mean_prior is not None and not isinstance(mean_prior, Normal):
        raise UsageError(f"mean_prior is {mean_prior!r}; give Normal(mean, sd) or None")


TURNER_COMPARISONS = (
    "pharmacological vs. placebo / control",
    "pharmacological vs. pharmacological",
    "non-pharmacological vs. placebo / control",
    "non-pharmacological vs. pharmacological",
    "non-pharmacological vs. non-pharmacological",
)

#: Mean and standard deviation of log(tau^2) for a log odds ratio, by outcome; the pairs follow
#: TURNER_COMPARISONS. Turner et al. (2015), as tabulated in bayesmeta 3.4 (``TurnerEtAlPrior``).
_TURNER: dict[str, tuple[tuple[float, float], ...]] = {
    "all-cause mortality":
        ((-3.95, 1.34), (-4.18, 1.41), (-4.17, 1.55), (-2.92, 1.02), (-3.5, 1.26)),
    "obstetric outcomes":
        ((-3.52, 1.74), (-3.75, 1.79), (-3.74, 1.91), (-2.49, 1.5), (-3.08, 1.68)),
    "cause-specific mortality / major morbidity event / composite (mortality or morbidity)":
        ((-3.71, 1.74), (-3.95, 1.79), (-3.93, 1.91), (-2.68, 1.51), (-3.27, 1.68)),
    "resource use / hospital stay / process":
        ((-2.34, 1.74), (-2.58, 1.79), (-2.56, 1.91), (-1.31, 1.5), (-1.9, 1.68)),
    "surgical / device related success / failure":
        ((-2.14, 1.74), (-2.37, 1.79), (-2.36, 1.91), (-1.11, 1.5), (-1.69, 1.68)),
    "withdrawals / drop-outs":
        ((-2.99, 1.74), (-3.23, 1.79), (-3.21, 1.91), (-1.96, 1.51), (-2.55, 1.68)),
    "internal / structure-related outcomes":
        ((-2.71, 1.74), (-2.94, 1.79), (-2.93, 1.92), (-1.67, 1.51), (-2.26, 1.68)),
    "general physical health indicators":
        ((-2.29, 1.53), (-2.53, 1.58), (-2.51, 1.72), (-1.26, 1.25), (-1.85, 1.46)),
    "adverse events": ((-1.87, 1.52), (-2.1, 1.58), (-2.1, 1.71), (-0.84, 1.24), (-1.43, 1.45)),
    "infection / onset of new disease":
        ((-2.49, 1.52), (-2.73, 1.58), (-2.71, 1.71), (-1.46, 1.24), (-2.05, 1.45)),
    "signs / symptoms reflecting continuation / end of condition":
        ((-2.06, 1.51), (-2.29, 1.58), (-2.28, 1.71), (-1.03, 1.24), (-1.61, 1.45)),
    "pain": ((-1.83, 1.52), (-2.06, 1.58), (-2.05, 1.71), (-0.8, 1.25), (-1.38, 1.45)),
    "quality of life / functioning (dichotomized)":
        ((-2.54, 1.54), (-2.78, 1.6), (-2.77, 1.73), (-1.51, 1.27), (-2.1, 1.47)),
    "mental health indicators":
        ((-2.12, 1.53), (-2.35, 1.6), (-2.34, 1.72), (-1.09, 1.27), (-1.67, 1.47)),
    "biological markers (dichotomized)":
        ((-1.77, 1.52), (-2.0, 1.58), (-1.99, 1.71), (-0.74, 1.24), (-1.33, 1.45)),
    "subjective outcomes (various)":
        ((-2.7, 1.52), (-2.93, 1.58), (-2.92, 1.71), (-1.67, 1.25), (-2.26, 1.45)),
}  # fmt: skip
TURNER_OUTCOMES = tuple(_TURNER)

RHODES_COMPARISONS = (
    "pharmacological vs. placebo / control",
    "pharmacological vs. pharmacological",
    "non-pharmacological (any)",
)
#: One outcome of Rhodes et al., too long for a line.
_SIGNS = (
    "signs / symptoms reflecting continuation / end of condition and infection / onset of new"
    " acute / chronic disease"
)
RHODES_AREAS = ("other", "respiratory", "cancer")

#: Location and scale of log(tau^2) (log-t with 5 degrees of freedom) for a standardised mean
#: difference, by area and outcome; the pairs follow RHODES_COMPARISONS. Rhodes et al. (2015), as
#: tabulated in bayesmeta 3.4 (``RhodesEtAlPrior``).
_RHODES: dict[str, dict[str, tuple[tuple[float, float], ...]]] = {
    "other": {
        "obstetric outcome": ((-4.13, 2.34), (-4.4, 2.31), (-3.99, 2.11)),
        "resource use and hospital stay / process": ((-2.55, 2.73), (-2.83, 2.7), (-2.41, 2.57)),
        "internal and external structure-related outcome":
            ((-2.43, 2.5), (-2.7, 2.46), (-2.29, 2.32)),
        "general physical health and adverse event and pain and quality of life / functioning":
            ((-3.16, 2.5), (-3.44, 2.44), (-3.02, 2.27)),
        _SIGNS: ((-3.0, 2.5), (-3.27, 2.47), (-2.86, 2.33)),
        "mental health outcome": ((-2.99, 2.16), (-3.27, 2.14), (-3.85, 1.93)),
        "biological marker": ((-3.41, 2.83), (-3.68, 2.78), (-3.27, 2.66)),
        "various subjectively measured outcomes": ((-2.76, 2.58), (-3.03, 2.59), (-2.62, 2.41)),
    },
    "respiratory": {
        "obstetric outcome": ((-6.03, 2.36), (-6.31, 2.31), (-5.89, 2.21)),
        "resource use and hospital stay / process": ((-4.46, 2.74), (-4.73, 2.7), (-4.32, 2.57)),
        "internal and external structure-related outcome":
            ((-4.33, 2.51), (-4.61, 2.46), (-4.19, 2.33)),
        "general physical health and adverse event and pain and quality of life / functioning":
            ((-5.07, 2.51), (-5.34, 2.45), (-4.93, 2.28)),
        _SIGNS: ((-4.9, 2.5), (-5.18, 2.47), (-4.76, 2.33)),
        "mental health outcome": ((-4.9, 2.17), (-5.17, 2.14), (-4.76, 1.94)),
        "biological marker": ((-5.31, 2.83), (-5.59, 2.78), (-5.17, 2.66)),
        "various subjectively measured outcomes": ((-4.66, 2.59), (-4.94, 2.59), (-4.52, 2.41)),
    },
    "cancer": {
        "obstetric outcome": ((-1.57, 2.45), (-1.85, 2.41), (-1.43, 2.24)),
        "resource use and hospital stay / process": ((0.01, 2.83), (-0.27, 2.79), (0.15, 2.68)),
        "internal and external structure-related outcome":
            ((-0.13, 2.61), (-0.14, 2.56), (0.27, 2.45)),
        "general physical health and adverse event and pain and quality of life / functioning":
            ((-0.6, 2.61), (-0.88, 2.55), (-0.46, 2.4)),
        _SIGNS: ((-0.44, 2.6), (-0.71, 2.57), (-0.3, 2.46)),
        "mental health outcome": ((-0.43, 2.28), (-0.71, 2.25), (-0.29, 2.08)),
        "biological marker": ((-0.85, 2.93), (-1.13, 2.87), (-0.71, 2.78)),
        "various subjectively measured outcomes": ((-0.2, 2.68), (-0.48, 2.68), (-0.06, 2.53)),
    },
}  # fmt: skip
RHODES_OUTCOMES = tuple(_RHODES["other"])
#: Any outcome, any comparison; the values bayesmeta 3.4 gives when neither is named.
_TURNER_MARGINAL = (-2.56, 1.74)
_RHODES_MARGINAL = (-3.44, 2.59)


def turner_2015(outcome: str | None = None, comparison: str | None = None) -> LogNormal:
    """Empirical prior on tau for log odds ratios, by kind of outcome and comparison.

    Parameters
    ----------
    outcome : str, optional
        One of ``TURNER_OUTCOMES``, such as ``"adverse events"`` or ``"mental health indicators"``.
    comparison : str, optional
        One of ``TURNER_COMPARISONS``. Give both or neither; neither is the marginal prior over all.

    Returns
    -------
    LogNormal
        In units of the log odds ratio.

    Raises
    ------
    UsageError
        The word is not in the table; the choices are listed.

    References
    ----------
    Turner RM, Jackson D, Wei Y, Thompson SG, Higgins JPT (2015). Predictive distributions for
    between-study heterogeneity and simple methods for their application in Bayesian meta-analysis.
    Statistics in Medicine 34(6), 984-998. doi:10.1002/sim.6381

    Examples
    --------
    >>> turner_2015()
    LogNormal(log_tau2_mean=-2.56, log_tau2_sd=1.74)
    """
    if outcome is None and comparison is None:
        return LogNormal(*_TURNER_MARGINAL)
    row = _TURNER[check_choice("outcome", outcome, TURNER_OUTCOMES)]
    column = TURNER_COMPARISONS.index(check_choice("comparison", comparison, TURNER_COMPARISONS))
    return LogNormal(*row[column])


def rhodes_2015(
    outcome: str | None = None, comparison: str | None = None, area: str = "other"
) -> LogT:
    """Empirical prior on tau for standardised mean differences, by outcome, comparison and area.

    Parameters
    ----------
    outcome : str, optional
        One of ``RHODES_OUTCOMES``, such as ``"mental health outcome"``.
    comparison : str, optional
        One of ``RHODES_COMPARISONS``. Give both or neither; neither is the marginal prior over all.
    area : str, default: "other"
        One of ``RHODES_AREAS``; used only with an outcome.

    Returns
    -------
    LogT
        In units of the standardised mean difference.

    Raises
    ------
    UsageError
        The word is not in the table; the choices are listed.

    References
    ----------
    Rhodes KM, Turner RM, Higgins JPT (2015). Predictive distributions were developed for the extent
    of heterogeneity in meta-analyses of continuous outcome data. Journal of Clinical Epidemiology
    68(1), 52-60. doi:10.1016/j.jclinepi.2014.08.012

    Examples
    --------
    >>> rhodes_2015("mental health outcome", "pharmacological vs. placebo / control")
    LogT(log_tau2_location=-2.99, log_tau2_scale=2.16, df=5.0)
    """
    check_choice("area", area, RHODES_AREAS)
    if outcome is None and comparison is None:
        return LogT(*_RHODES_MARGINAL)
    row = _RHODES[area][check_choice("outcome", outcome, RHODES_OUTCOMES)]
    column = RHODES_COMPARISONS.index(check_choice("comparison", comparison, RHODES_COMPARISONS))
    return LogT(*row[column])
