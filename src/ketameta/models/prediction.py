"""Where the true effect of a next study may lie: prediction intervals, and exceedance.

The interval of the mean lives in ``intervals``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ketameta.effects.arrays import as_number
from ketameta.errors import NotEstimableError, check_choice
from ketameta.formatting import format_interval, format_number, format_significant
from ketameta.models.intervals import check_level, mean_inference, prediction_bounds
from ketameta.models.least_squares import Array, weighted_least_squares
from ketameta.models.results import Caveat, Printed, Result
from ketameta.models.tau2 import estimate_tau2
from ketameta.models.validation import check_fit

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects


#: Ways to a prediction interval; the first is the default.
PREDICTION_METHODS = ("hts", "metafor", "partlett-riley-hk", "partlett-riley-kr", "nagashima")
#: Draws of the bootstrap; the bounds then vary by about 0.01 standard deviations between seeds.
BOOTSTRAP_DRAWS = 25_000


def kenward_roger(y: Array, v: Array, tau2: float) -> tuple[float, float]:
    """Return the Kenward-Roger standard error of the mean and its degrees of freedom.

    For ``w = 1 / (v + tau2)``: the variance ``1 / sum(w)`` plus twice the correction
    ``var(tau2) (sum(w^3) - sum(w^2)^2 / sum(w)) / sum(w)^2``, and
    ``df = 2 / (var(tau2) (sum(w^2) V)^2)`` with that adjusted variance ``V``, as pimeta has it. The
    variance of tau-squared is that of the expected REML information, ``2 / tr(P P)``.

    References
    ----------
    Kenward and Roger (1997), Biometrics 53, 983-997. Partlett and Riley (2017), Stat. Med. 36,
    301-317.
    """
    w = 1 / (v + tau2)
    s1, s2, s3 = float(w.sum()), float((w**2).sum()), float((w**3).sum())
    information = s2 - 2 * s3 / s1 + (s2 / s1) ** 2
    variance = 2 / information
    adjusted = 1 / s1 + 2 * variance * (s3 - s2**2 / s1) / s1**2
    return float(np.sqrt(adjusted)), 2 / (variance * (s2 * adjusted) ** 2)


def nagashima_bounds(
    y: Array, v: Array, level: float = 0.95, *, seed: int = 1, draws: int = BOOTSTRAP_DRAWS
) -> tuple[float, float]:
    """Return the prediction interval of Nagashima, Noma and Furukawa by parametric bootstrap.

    Tau-squared is drawn from its exact confidence distribution, which inverts the distribution of
    Cochran's Q; given each draw the new effect is the weighted mean plus ``z tau`` less
    ``t sqrt(variance)``, with the Hartung-Knapp variance and t with k - 1 degrees of freedom.

    Parameters
    ----------
    y, v : ndarray of shape (k,)
        At least three studies.
    seed : int
        Of the random numbers; the same seed gives the same bounds.

    Notes
    -----
    With weights ``w = 1 / v``, ``u = sqrt(w / sum(w))`` and standard normal ``e``, Q at ``tau2`` is
    distributed as ``e'(I - uu')(I + tau2 W)(I - uu')e``, which is linear in ``tau2``. Setting it
    equal to the observed Q and solving therefore draws from the confidence distribution itself;
    the root is cut at 0. pimeta inverts the same distribution by Farebrother's series and a search.

    References
    ----------
    Nagashima, Noma and Furukawa (2019), Stat. Methods Med. Res. 28, 1689-1702.
    """
    k = len(y)
    if k < 3:
        raise NotEstimableError(f"a bootstrap prediction interval needs 3 studies; there are {k}")
    random = np.random.default_rng(seed)
    w = 1 / v
    u = np.sqrt(w / w.sum())
    q = float(w @ (y - w @ y / w.sum()) ** 2)
    e = random.standard_normal((draws, k))
    centred = e - (e @ u)[:, None] * u
    tau2 = np.maximum(0.0, (q - (centred**2).sum(1)) / ((centred**2) @ w))
    weights = 1 / (v + tau2[:, None])
    total = weights.sum(1)
    mean = (weights @ y) / total
    spread = (weights * (y - mean[:, None]) ** 2).sum(1) / ((k - 1) * total)
    z, t = random.standard_normal(draws), random.standard_t(k - 1, draws)
    effects = mean + z * np.sqrt(tau2) - t * np.sqrt(spread)
    low, high = np.quantile(effects, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class PredictionInterval(Result):
    """Where the true effect of a new study is expected.

    Attributes
    ----------
    method : str
        One of :data:`PREDICTION_METHODS`.
    estimate, pi_low, pi_high : float or None
        None when withheld; the caveat says why.
    df : float or None
        Degrees of freedom; None for the normal distribution and for the bootstrap.
    tau2 : float or None
        The between-study variance used.
    level : float
    seed : int or None
        Of the bootstrap.
    caveats : tuple of Caveat
    """

    method: str
    estimate: float | None
    pi_low: float | None
    pi_high: float | None
    df: float | None
    tau2: float | None
    level: float
    seed: int | None = None
    caveats: tuple[Caveat, ...] = ()

    def printed(self) -> Printed:
        """Return the interval in one line, or why there is none."""
        if self.pi_low is None:
            return Printed("PredictionInterval: withheld", said=self.caveats[0].message)
        rule = "bootstrap" if self.method == "nagashima" else "normal"
        if self.df is not None:
            rule = f"t, {format_significant(self.df, 3)} df"
        said = f"{100 * self.level:g}% PI {format_interval(self.pi_low, self.pi_high)}"
        return Printed(f"PredictionInterval: {self.method}, {rule}", said=said)


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class ProbabilityBeyond(Result):
    """The probability that a new study's true effect lies beyond a threshold.

    Attributes
    ----------
    threshold : float
        In the unit of the effect, such as minus the minimal important difference.
    direction : {"below", "above"}
    probability : float or None
        None when withheld.
    df : float or None
    caveats : tuple of Caveat
    """

    threshold: float
    direction: str
    probability: float | None
    df: float | None
    caveats: tuple[Caveat, ...] = ()

    def printed(self) -> Printed:
        """Return the probability in one line, or why there is none."""
        if self.probability is None:
            return Printed("ProbabilityBeyond: withheld", said=self.caveats[0].message)
        said = f"true effect of a new study {self.direction} {format_number(self.threshold)}"
        return Printed("ProbabilityBeyond", said=f"{said}: {format_number(self.probability)}")


def prediction_interval(
    fit: RandomEffects, method: str = "hts", level: float | None = None, *, seed: int = 1
) -> PredictionInterval:
    """Return a prediction interval for the true effect of a new study.

    Parameters
    ----------
    fit : RandomEffects
    method : {"hts", "metafor", "partlett-riley-hk", "partlett-riley-kr", "nagashima"}
        ``hts`` (default): the fit's own estimate, standard error and tau-squared with t and k - 2
        degrees of freedom. ``metafor``: the same with t and k - 1 (normal for a Wald fit), as
        ``predict()`` gives. ``partlett-riley-hk`` and ``-kr``: REML with the plain Hartung-Knapp
        variance and k - 2, or the Kenward-Roger variance and its degrees of freedom less 1.
        ``nagashima``: bootstrap over the confidence distribution of tau-squared.
    level : float, optional
        The fit's own when not given.
    seed : int
        Of the bootstrap.

    Notes
    -----
    ``hts`` is the default because both the mean and tau-squared are estimated (one degree of
    freedom each), because with the floored Knapp-Hartung variance it is never narrower than the
    published form, and because it does not exist for two studies, which should print none. With
    ``tau2_method="DL"`` and ``ci_method="wald"`` it is the interval of Higgins, Thompson and
    Spiegelhalter (2009). With few studies no method covers well.

    References
    ----------
    Higgins, Thompson and Spiegelhalter (2009), J. R. Stat. Soc. A 172, 137-159. Partlett and Riley
    (2017), Stat. Med. 36, 301-317. Nagashima, Noma and Furukawa (2019), Stat. Methods Med. Res. 28,
    1689-1702.
    """
    check_choice("method", method, PREDICTION_METHODS)
    check_fit(fit, "prediction_interval()")
    level = fit.level if level is None else check_level(level)
    missing = withheld(fit)
    if missing:
        return PredictionInterval(method, None, None, None, None, None, level, None, missing)
    assert fit.tau2 is not None
    if method == "nagashima":
        tau2 = estimate_tau2(fit.estimates, fit.variances, np.ones((fit.k, 1)), "DL").value
        w = 1 / (fit.variances + tau2)
        mean = float(w @ fit.estimates / w.sum())
        low, high = nagashima_bounds(fit.estimates, fit.variances, level, seed=seed)
        return PredictionInterval(method, mean, low, high, None, tau2, level, seed)
    estimate, se, tau2 = fit.estimate, fit.se, fit.tau2
    df: float | None = fit.k - 2
    if method == "metafor":
        df = fit.df
    elif method.startswith("partlett"):
        ones = np.ones((fit.k, 1))
        tau2 = estimate_tau2(fit.estimates, fit.variances, ones, "REML").value
        ls = weighted_least_squares(fit.estimates, ones, 1 / (fit.variances + tau2))
        estimate = float(ls.coefficients[0])
        if method.endswith("hk"):
            se = float(mean_inference(ls, "knapp-hartung").se[0])
        else:
            se, df = kenward_roger(fit.estimates, fit.variances, tau2)
            df -= 1
            if df <= 0:
                caveat = Caveat(
                    "no_prediction", "Kenward–Roger leaves no degrees of freedom for prediction."
                )
                return PredictionInterval(
                    method, estimate, None, None, None, tau2, level, None, (caveat,)
                )
    low, high = prediction_bounds(estimate, se, tau2, df, level)
    return PredictionInterval(method, estimate, low, high, df, tau2, level)


def probability_beyond(
    fit: RandomEffects, threshold: float, direction: str = "below"
) -> ProbabilityBeyond:
    """Return the probability that a new study's true effect is beyond ``threshold``.

    Parameters
    ----------
    fit : RandomEffects
    threshold : float
        In the unit of the effect; ``-0.5`` for half a standard deviation in favour of treatment.
    direction : {"below", "above"}

    Notes
    -----
    From the same distribution as the ``hts`` prediction interval: t with k - 2 degrees of freedom,
    centred at the estimate, with scale ``sqrt(tau2 + se^2)``. So the bounds of that interval have
    2.5 % beyond each of them.
    """
    check_choice("direction", direction, ("below", "above"))
    check_fit(fit, "probability_beyond()")
    threshold = as_number("threshold", threshold)
    missing = withheld(fit)
    if missing:
        return ProbabilityBeyond(float(threshold), direction, None, None, missing)
    assert fit.tau2 is not None
    df = fit.k - 2
    t = (threshold - fit.estimate) / float(np.hypot(fit.se, np.sqrt(fit.tau2)))
    share = float(special.stdtr(df, t if direction == "below" else -t))
    return ProbabilityBeyond(float(threshold), direction, share, float(df))


def withheld(fit: RandomEffects) -> tuple[Caveat, ...]:
    """Return why a fit has no prediction interval; empty when it has one."""
    if fit.model == "common":
        return (
            Caveat("no_prediction", "The common-effect model has no distribution of true effects."),
        )
    if fit.tau2 is None or fit.k < 3:
        return (Caveat("no_prediction", "A prediction interval needs at least three studies."),)
    if fit.ci_low is None:
        return (Caveat("no_prediction", "Without an interval of the mean there is none here."),)
    return ()
