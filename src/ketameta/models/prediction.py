"""Where true effects may lie: of a next study, of the studies themselves; and what one means.

The interval of the mean lives in ``intervals``.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import special

from ketameta.effects.arrays import Floats, as_number, check_share
from ketameta.errors import NotEstimableError, UsageError, check_choice
from ketameta.formatting import (
    MISSING,
    format_interval,
    format_level,
    format_number,
    format_percent,
    format_significant,
    plural,
)
from ketameta.measures import Measure, find_measure
from ketameta.models.intervals import (
    check_level,
    critical_value,
    mean_inference,
    prediction_bounds,
    weighted_least_squares,
)
from ketameta.models.results import Caveat, DrawsForest, Line, Printed, Result, stated
from ketameta.models.tau2 import estimate_tau2
from ketameta.models.validation import check_fit

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects
    from ketameta.models.regression import MetaRegression


#: Ways to a prediction interval; the first is the default.
PREDICTION_METHODS = ("hts", "metafor", "partlett-riley-hk", "partlett-riley-kr", "nagashima")
#: Draws of the bootstrap; the bounds then vary by about 0.01 standard deviations between seeds.
BOOTSTRAP_DRAWS = 25_000


def kenward_roger(y: Floats, v: Floats, tau2: float) -> tuple[float, float]:
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
    y: Floats, v: Floats, level: float = 0.95, *, seed: int = 1, draws: int = BOOTSTRAP_DRAWS
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
    measure : str or None
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
    measure: str | None = None

    def printed(self) -> Printed:
        """Return the interval in one line, or why there is none."""
        if self.pi_low is None:
            return Printed("PredictionInterval: withheld", said=self.caveats[0].message)
        rule = "bootstrap" if self.method == "nagashima" else "normal"
        if self.df is not None:
            rule = f"t, {format_significant(self.df, 3)} df"
        from ketameta.models.pooling import measure_words, reader_words, scale_words

        share, bounds = f"{100 * self.level:g}% PI", format_interval(self.pi_low, self.pi_high)
        said = f"{share} {bounds}"
        read = reader_words(self.measure, self.estimate, self.pi_low, self.pi_high)
        if read is not None:
            beside = f"({scale_words(self.measure)} {bounds})"
            said = f"{measure_words(self.measure)} {share} {read[1]} {beside}"
        return Printed(f"PredictionInterval: {self.method}, {rule}", said=said)


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class ProbabilityBeyond(Result):
    """The probability that a new study's true effect lies beyond a threshold.

    Attributes
    ----------
    threshold : float
        On the scale of the estimates (for ratios their logarithm), such as minus the minimal
        important difference.
    direction : {"below", "above"}
    probability : float or None
        None when withheld.
    df : float or None
    caveats : tuple of Caveat
    measure : str or None
    """

    threshold: float
    direction: str
    probability: float | None
    df: float | None
    caveats: tuple[Caveat, ...] = ()
    measure: str | None = None

    def printed(self) -> Printed:
        """Return the probability in one line, or why there is none."""
        if self.probability is None:
            return Printed("ProbabilityBeyond: withheld", said=self.caveats[0].message)
        from ketameta.models.pooling import value_words

        at = value_words(self.measure, self.threshold)
        said = f"true effect of a new study {self.direction} {at}"
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
    missing, code = withheld(fit), fit.measure
    if missing:
        return PredictionInterval(method, None, None, None, None, None, level, None, missing, code)
    assert fit.tau2 is not None
    if method == "nagashima":
        tau2 = estimate_tau2(fit.estimates, fit.variances, np.ones((fit.k, 1)), "DL").value
        w = 1 / (fit.variances + tau2)
        mean = float(w @ fit.estimates / w.sum())
        low, high = nagashima_bounds(fit.estimates, fit.variances, level, seed=seed)
        return PredictionInterval(method, mean, low, high, None, tau2, level, seed, (), code)
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
                why = "Kenward–Roger leaves no degrees of freedom for prediction."
                caveats = (Caveat("no_prediction", why),)
                nothing = None, None, None
                return PredictionInterval(
                    method, estimate, *nothing, tau2, level, caveats=caveats, measure=code
                )
    low, high = prediction_bounds(estimate, se, tau2, df, level)
    return PredictionInterval(method, estimate, low, high, df, tau2, level, measure=code)


def probability_beyond(
    fit: RandomEffects, threshold: float, direction: str = "below"
) -> ProbabilityBeyond:
    """Return the probability that a new study's true effect is beyond ``threshold``.

    Parameters
    ----------
    fit : RandomEffects
    threshold : float
        On the scale of the estimates; ``-0.5`` for half a standard deviation in favour of
        treatment. For ratios their logarithm: ``np.log(0.8)`` for a ratio of 0.8.
    direction : {"below", "above"}

    Notes
    -----
    From the same distribution as the ``hts`` prediction interval: t with k - 2 degrees of freedom,
    centred at the estimate, with scale ``sqrt(tau2 + se^2)``. So the bounds of that interval have
    2.5 % beyond each of them.

    Examples
    --------
    >>> from ketameta import random_effects
    >>> fit = random_effects([-0.9, -0.2, -1.1], [0.05, 0.04, 0.08], measure="RR")
    >>> probability_beyond(fit, np.log(0.8))
    <ProbabilityBeyond> true effect of a new study below risk ratio 0.80 (log −0.22): 0.74
    """
    check_choice("direction", direction, ("below", "above"))
    check_fit(fit, "probability_beyond()")
    threshold = as_number("threshold", threshold)
    missing = withheld(fit)
    if missing:
        return ProbabilityBeyond(float(threshold), direction, None, None, missing, fit.measure)
    assert fit.tau2 is not None
    df = fit.k - 2
    t = (threshold - fit.estimate) / float(np.hypot(fit.se, np.sqrt(fit.tau2)))
    share = float(special.stdtr(df, t if direction == "below" else -t))
    return ProbabilityBeyond(float(threshold), direction, share, float(df), (), fit.measure)


def withheld(fit: RandomEffects) -> tuple[Caveat, ...]:
    """Return why a fit has no prediction interval; empty when it has one."""
    why = ""
    if fit.model == "common":
        why = "The common-effect model has no distribution of true effects."
    elif fit.tau2 is None or fit.k < 3:
        why = "A prediction interval needs at least three studies."
    elif fit.ci_low is None:
        why = "Without an interval of the mean there is none here."
    return (Caveat("no_prediction", why),) if why else ()


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Blups(DrawsForest, Result):
    """The true effect of each study, drawn towards what the model predicts for it.

    Attributes
    ----------
    labels : tuple of str
    estimate, se, ci_low, ci_high : ndarray of shape (k,)
        Best linear unbiased predictions with their standard errors and intervals.
    shrinkage : ndarray of shape (k,)
        Share of the model's prediction in each; the rest is the study's own estimate.
    df : int or None
        Degrees of freedom of t; None for the normal distribution.
    level : float
    measure : str or None
    caveats : tuple of Caveat
    """

    framed: ClassVar[tuple[str, ...]] = (
        "label=labels", "estimate", "se", "ci_low", "ci_high", "shrinkage"
    )  # fmt: skip

    labels: tuple[str, ...]
    estimate: Floats
    se: Floats
    ci_low: Floats
    ci_high: Floats
    shrinkage: Floats
    df: int | None
    level: float
    measure: str | None
    caveats: tuple[Caveat, ...] = ()

    def printed(self) -> Printed:
        """Return one line per study."""
        from ketameta.models.pooling import decimals_for, interval_cells, measure_words

        lines, share = [], f"{100 * self.level:g}%"
        for i, label in enumerate(self.labels):
            ends = float(self.estimate[i]), float(self.ci_low[i]), float(self.ci_high[i])
            cells = interval_cells(self.measure, *ends, share, decimals_for(float(self.se[i])))
            lines.append(Line(label, (*cells, f"shrunk by {format_percent(self.shrinkage[i])}")))
        head = f"{measure_words(self.measure)}, {plural(len(self.labels), 'study', 'studies')}"
        return Printed(f"Blups: {head}", lines, caveats=self.caveats)


def blup(fit: RandomEffects | MetaRegression, level: float | None = None) -> Blups:
    """Return the best linear unbiased prediction of each study's true effect.

    Parameters
    ----------
    fit : RandomEffects or MetaRegression
        With a between-study variance; at least two studies.
    level : float, optional
        The fit's own when not given.

    Raises
    ------
    NotEstimableError
        A common-effect fit, whose studies have one true effect, or one study.

    Notes
    -----
    ``l y + (1 - l) x b`` with ``l = tau2 / (tau2 + v)`` and variance ``l v + (1 - l)^2 x C x'``,
    with the quantile of the fit's own tests: equal to metafor's ``blup`` (Raudenbush and Bryk 1985,
    J. Educ. Stat. 10, 75-98). Tau-squared is taken as known, so that the intervals are too narrow
    with few studies; :func:`~ketameta.bayes_random_effects` averages over it.

    Examples
    --------
    >>> from ketameta import random_effects
    >>> fit = random_effects([0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02])
    >>> blup(fit).estimate.round(3).tolist()
    [0.221, 0.335, 0.359, 0.548]
    """
    check_fit(fit, "blup()", regression=True)
    level = fit.level if level is None else check_level(level)
    if fit.tau2 is None:
        raise NotEstimableError(
            "predictions of true effects need a between-study variance; use random_effects() with"
            " two studies or more"
        )
    design = np.asarray(getattr(fit, "design", np.ones((fit.k, 1))))
    covariance = np.asarray(getattr(fit, "covariance", [[fit.se**2]]))
    own = fit.tau2 / (fit.tau2 + fit.variances)
    predicted = own * fit.estimates + (1 - own) * (design @ np.atleast_1d(fit.estimate))
    spread = np.einsum("kp,pq,kq->k", design, covariance, design)
    se = np.sqrt(own * fit.variances + (1 - own) ** 2 * spread)
    half = critical_value(level, fit.df) * se
    caveats: tuple[Caveat, ...] = ()
    if fit.tau2 == 0:
        words = "The variance between studies is estimated as 0: every study is at the prediction."
        caveats = (Caveat("tau2_zero", words),)
    return Blups(
        fit.labels, predicted, se, predicted - half, predicted + half, 1 - own, fit.df, level,
        fit.measure, caveats,
    )  # fmt: skip


# --- for people ----------------------------------------------------------------------------------

#: Measures that turn one risk into another.
ABSOLUTE_MEASURES = (Measure.OR, Measure.PETO, Measure.RR, Measure.RD, Measure.HR)


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class AbsoluteEffect(Result):
    """Risks under control and treatment, and their difference.

    Attributes
    ----------
    measure : str
    baseline_risk : float
        The stated risk under control, a share of one.
    risk, risk_low, risk_high : float
        Risk under treatment, and the ends of its interval.
    difference, difference_low, difference_high : float
        Treatment minus control, shares of one.
    nnt : float or None
        People to treat for one event fewer or more, ``1 / |difference|``; None where the difference
        is 0.
    level : float
    caveats : tuple of Caveat
        That a risk was cut at 0 or 1.
    """

    measure: str
    baseline_risk: float
    risk: float
    risk_low: float
    risk_high: float
    difference: float
    difference_low: float
    difference_high: float
    nnt: float | None
    level: float
    caveats: tuple[Caveat, ...] = ()

    def printed(self) -> Printed:
        """Return people per 1,000 and the number needed to treat, in words."""
        share = format_level(self.level)
        per = [1000 * x for x in (self.difference, self.difference_low, self.difference_high)]
        risks = [1000 * x for x in (self.risk, self.risk_low, self.risk_high)]
        fewer = "fewer" if self.difference < 0 else "more"
        one = MISSING if self.nnt is None else f"one event {fewer} for {self._people()} treated"
        lines = [
            Line(name, (f"{format_number(middle, 0)} per 1,000",
                        f"{share} CI {format_interval(low, high, 0)}"))
            for name, (middle, low, high) in (("treated", risks), ("difference", per))
        ]  # fmt: skip
        lines.append(Line("NNT", (one, f"{share} CI {self._bounds()}")))
        baseline = f"baseline risk {format_number(1000 * self.baseline_risk, 0)} per 1,000"
        label = find_measure(self.measure).label.lower()
        return Printed(f"AbsoluteEffect: {label}, {baseline}", lines, caveats=self.caveats)

    def _people(self) -> str:
        return format_number(self.nnt, 0 if (self.nnt or 0) >= 10 else 1)

    def _bounds(self) -> str:
        """Return the interval; one that holds no difference runs through infinity."""
        low, high = self.difference_low, self.difference_high
        ends = [
            MISSING if x == 0 else format_number(1 / abs(x), 0 if abs(x) <= 0.1 else 1)
            for x in (low, high)
        ]
        if low < 0 < high:
            return f"one fewer for {ends[0]}, through no difference, to one more for {ends[1]}"
        return f"{ends[0]} to {ends[1]}" if low < 0 else f"{ends[1]} to {ends[0]}"


def absolute_effect(
    fit: Any, baseline_risk: float, *, measure: Measure | str | None = None
) -> AbsoluteEffect:
    """Return what a pooled ratio or risk difference means at a stated risk under control.

    Parameters
    ----------
    fit : result with ``estimate``, ``ci_low``, ``ci_high``
        Such as that of ``random_effects``, ``mantel_haenszel`` or ``bayes_random_effects``.
    baseline_risk : float
        Risk of the event without the treatment, strictly between 0 and 1. It is a choice: state
        where it comes from, and show a low and a high one where people differ.
    measure : {"OR", "PETO", "RR", "RD", "HR"}, optional
        That of the fit when not given.

    Returns
    -------
    AbsoluteEffect

    Raises
    ------
    UsageError
        A measure from which no risk follows, or a risk that is not a share.
    NotEstimableError
        A fit without an interval.

    Notes
    -----
    With p the baseline risk: odds ratio ``p / (1 - p) OR`` as odds; risk ratio ``p RR``; risk
    difference ``p + RD``; hazard ratio ``1 - (1 - p)**HR``; risks are kept between 0 and 1. Only
    the relative effect is uncertain here; the baseline risk is taken as it is given. An interval
    of the number needed to treat that holds no difference runs through infinity (Altman 1998).

    References
    ----------
    Altman DG (1998). Confidence intervals for the number needed to treat. BMJ 317, 1309-1312.
    doi:10.1136/bmj.317.7168.1309; Cochrane Handbook version 6, chapter 15.

    Examples
    --------
    >>> from ketameta.models.pooling import random_effects
    >>> fit = random_effects([-0.9, -0.7, -1.1], [0.05, 0.04, 0.08], measure="RR")
    >>> round(absolute_effect(fit, 0.2).nnt, 1)
    8.7
    """
    p = check_share("baseline_risk", baseline_risk)
    found = measure if measure is not None else getattr(fit, "measure", None)
    if found is None:
        raise UsageError("the fit does not say its measure; give measure=, such as 'RR'")
    code = Measure(check_choice("measure", str(found), [m.value for m in ABSOLUTE_MEASURES]))
    parts = [getattr(fit, name, None) for name in ("estimate", "ci_low", "ci_high")]
    if any(part is None for part in parts):
        raise NotEstimableError("the fit has no estimate with an interval")
    risk, low, high = (_risk(code, p, float(part)) for part in parts if part is not None)
    difference = risk - p
    nnt = None if difference == 0 else 1 / abs(difference)
    return AbsoluteEffect(
        code.value, p, risk, low, high, difference, low - p, high - p, nnt,
        float(getattr(fit, "level", 0.95)),
        stated((
            code in (Measure.RR, Measure.RD) and not {risk, low, high}.isdisjoint({0.0, 1.0}),
            "risk_cut",
            f"At a baseline risk of {p:g} this {code.label.lower()} or its interval leads to a risk"
            " below 0 or above 1, which was cut there; an odds ratio would not.",
        )),
    )  # fmt: skip


def _risk(measure: Measure, p: float, effect: float) -> float:
    """Return the risk under treatment from that under control."""
    if measure in (Measure.OR, Measure.PETO):
        log_odds = math.log(p) - math.log1p(-p) + effect
        return 0.5 * (1 + math.tanh(log_odds / 2))
    if measure is Measure.HR:
        return -math.expm1(math.log1p(-p) * math.exp(effect))
    value = p * math.exp(effect) if measure is Measure.RR else p + effect
    return min(1.0, max(0.0, value))
