"""Prior distributions for the Bayesian companion: what was believed before the trials.

Holds densities and the words that name them; computes no posterior.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.errors import UsageError

FloatArray = NDArray[np.float64]


def _positive(name: str, value: float) -> None:
    if not isinstance(value, int | float | np.number) or not math.isfinite(value) or value <= 0:
        raise UsageError(f"{name} is {value!r}; it must be a positive, finite number")


def _finite(name: str, value: float) -> None:
    if not isinstance(value, int | float | np.number) or not math.isfinite(value):
        raise UsageError(f"{name} is {value!r}; it must be a finite number")


@runtime_checkable
class TauPrior(Protocol):
    """What the posterior needs of a prior on tau, the between-study standard deviation."""

    @property
    def upper(self) -> float:
        """Largest tau with positive density; infinity when there is none."""
        ...

    @property
    def typical(self) -> float:
        """A tau near the middle of the prior, in the units of the effect."""
        ...

    def logpdf(self, tau: ArrayLike) -> FloatArray:
        """Return the logarithm of the density at ``tau``."""
        ...

    def pdf(self, tau: ArrayLike) -> FloatArray:
        """Return the density at ``tau``."""
        ...

    def moment_is_finite(self, order: int, likelihood_power: int) -> bool:
        """Whether ``tau**order`` has an expectation when the likelihood falls like tau^-power."""
        ...

    def describe(self) -> str:
        """Return the prior in words for a methods paragraph."""
        ...


class _Density:
    """What all priors share: the density is the exponential of its logarithm; light tails."""

    __slots__ = ()

    @property
    def upper(self) -> float:
        return math.inf

    def logpdf(self, tau: ArrayLike) -> FloatArray:
        raise TypeError(f"{type(self).__name__} has no density")

    def pdf(self, tau: ArrayLike) -> FloatArray:
        """Return the density at ``tau``, same shape; 0 outside the support."""
        return np.exp(self.logpdf(tau))

    def moment_is_finite(self, order: int, likelihood_power: int) -> bool:
        """Return ``True``: the tail is lighter than any power."""
        return True


def _log_where(inside: NDArray[np.bool_], values: FloatArray) -> FloatArray:
    return np.where(inside, values, -np.inf)


@dataclasses.dataclass(frozen=True, slots=True)
class HalfNormal(_Density):
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

    scale: float

    def __post_init__(self) -> None:
        _positive("scale", self.scale)

    @property
    def typical(self) -> float:
        """The scale."""
        return self.scale

    def logpdf(self, tau: ArrayLike) -> FloatArray:
        """Return ``log(2 / pi) / 2 - log(scale) - tau**2 / (2 scale**2)`` for tau >= 0."""
        x = np.asarray(tau, dtype=np.float64)
        z = np.minimum(x / self.scale, 1e150)
        value = 0.5 * math.log(2 / math.pi) - math.log(self.scale) - 0.5 * z**2
        return _log_where(x >= 0, value)

    def describe(self) -> str:
        """Return ``half-normal with scale 0.5 on tau``."""
        return f"half-normal with scale {self.scale:g} on τ"


@dataclasses.dataclass(frozen=True, slots=True)
class HalfCauchy(_Density):
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

    scale: float

    def __post_init__(self) -> None:
        _positive("scale", self.scale)

    @property
    def typical(self) -> float:
        """The scale."""
        return self.scale

    def logpdf(self, tau: ArrayLike) -> FloatArray:
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
class LogNormal(_Density):
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

    def logpdf(self, tau: ArrayLike) -> FloatArray:
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
class LogT(_Density):
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

    def logpdf(self, tau: ArrayLike) -> FloatArray:
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
class Uniform(_Density):
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

    def logpdf(self, tau: ArrayLike) -> FloatArray:
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

    def logpdf(self, mu: ArrayLike) -> FloatArray:
        """Return the log density at ``mu``."""
        z = (np.asarray(mu, dtype=np.float64) - self.mean) / self.sd
        return -0.5 * z**2 - math.log(self.sd) - 0.5 * math.log(2 * math.pi)

    def pdf(self, mu: ArrayLike) -> FloatArray:
        """Return the density at ``mu``."""
        return np.exp(self.logpdf(mu))

    def describe(self) -> str:
        """Return ``normal with mean 0 and SD 4 on the mean effect``."""
        return f"normal with mean {self.mean:g} and SD {self.sd:g} on the mean effect"
