"""Means that allow for small-study effects: PET-PEESE, trim and fill, Henmi and Copas."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import Floats, check_share, frozen
from ketameta.effects.table import Effects
from ketameta.errors import NotEstimableError, check_choice
from ketameta.formatting import format_p, plural, published
from ketameta.models.mixed_model import fit_mixed_model
from ketameta.models.pooling import (
    both_scales,
    common_effect,
    decimals_for,
    number_words,
    random_effects,
)
from ketameta.models.resampling.batched import FitData, batched_fit, fit_data
from ketameta.models.results import Caveat, Columns, DrawsFunnel, Line, Printed, Result, columns_of
from ketameta.models.small_study.asymmetry import (
    ZERO_DEVIATION,
    check_varies,
    chosen_predictor,
    few_studies_caveats,
    optional,
    predictor_values,
    takes_fit,
    weighted_line,
    with_sizes,
)
from ketameta.models.tau2 import COMMON, power_of_two_scale
from ketameta.models.validation import dependent_columns

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects


#: Studies that leave one degree of freedom beside intercept and slope.
MIN_STUDIES = 3


@dataclasses.dataclass(frozen=True, slots=True)
class AdjustedEffect:
    """Intercept of one regression, with its t test, and the slope.

    Statistic, p-value and bounds are None where the fit is exact (a standard error of 0).
    """

    method: str
    estimate: float
    se: float
    statistic: float | None
    df: int
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    slope: float
    slope_se: float
    slope_p_value: float | None


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class PetPeese(Result):
    """Both regressions, and the one that the conditional rule chooses.

    Attributes
    ----------
    pet, peese : AdjustedEffect
    chosen : {"PET", "PEESE"}
    alpha : float
        Level of the two-sided test by which it was chosen.
    k : int
    unadjusted : float
        The estimate of the fit.
    level : float
    caveats : tuple of Caveat
    measure : str or None
    predictor : {"se", "null_se"}
        What PET was regressed on; PEESE on its square.
    """

    pet: AdjustedEffect
    peese: AdjustedEffect
    chosen: str
    alpha: float
    k: int
    unadjusted: float
    level: float
    caveats: tuple[Caveat, ...]
    measure: str | None = None
    predictor: str = "se"

    @property
    def adjusted(self) -> AdjustedEffect:
        """The chosen regression."""
        return self.pet if self.chosen == "PET" else self.peese

    @property
    def estimate(self) -> float:
        """Estimate of the chosen regression."""
        return self.adjusted.estimate

    def printed(self) -> Printed:
        """Return both estimates and which one is chosen."""
        digits, lines = decimals_for(self.adjusted.se), []
        for one in (self.pet, self.peese):
            words = both_scales(self.measure, one.estimate, one.ci_low, one.ci_high, digits)
            lines.append(Line(one.method, (f"{words}, {format_p(one.p_value)}",)))
        one = self.adjusted
        before = number_words(self.measure, self.unadjusted, one.ci_low, one.ci_high, digits)
        lines.append(Line("unadjusted", (before,)))
        head = f"PetPeese: {plural(self.k, 'study', 'studies')}, {self.chosen} chosen"
        return Printed(head, lines, caveats=self.caveats)

    def columns(self) -> Columns:
        """Return one row per regression."""
        return columns_of((self.pet, self.peese))


@takes_fit
def pet_peese(
    fit: RandomEffects | Effects,
    alpha: float = 0.10,
    sample_sizes: ArrayLike | Effects | None = None,
) -> PetPeese:
    """Estimate the effect of an infinitely precise study.

    Parameters
    ----------
    fit : RandomEffects or Effects
        With at least three studies.
    alpha : float
        PEESE is chosen when the two-sided p-value of PET's intercept is below it.
    sample_sizes : array_like of shape (k,) or Effects, optional
        Participants of each study. Standardised differences are then regressed on the standard
        error (variance) without the effect, as in :func:`~ketameta.egger_test`.

    Returns
    -------
    PetPeese
        With a caveat below ten studies, and where the predictor contains the effects.

    Raises
    ------
    NotEstimableError
        Fewer than three studies, or all of one precision.

    Notes
    -----
    Least squares of the effects on their standard errors (PET) or variances (PEESE) with weights
    ``1 / v`` and an estimated dispersion; the intercepts are the adjusted effects. PET is biased
    towards zero when there is an effect, PEESE away from it when there is none, whence the choice
    by a test (Stanley and Doucouliagos 2014); the level of 0.10 is that of Stanley (2017), who also
    shows that neither is to be trusted with few studies, small samples or much heterogeneity.

    References
    ----------
    Stanley and Doucouliagos (2014), Res. Synth. Methods 5, 60-78. Stanley (2017), Soc. Psychol.
    Personal. Sci. 8, 581-591.
    """
    check_share("alpha", alpha)
    pooled, sizes = with_sizes(fit, sample_sizes)
    data = fit_data(pooled, "PET-PEESE", minimum=MIN_STUDIES)
    predictor, own_effect = chosen_predictor(data, None, sizes)
    root = predictor_values(data, predictor, sizes)
    found = []
    for method, x in (("PET", root), ("PEESE", root**2 if predictor == "null_se" else data.v)):
        unit = float(x.max())
        design = np.column_stack([np.ones(pooled.k), x / unit])
        check_varies(design, "precision")
        line = weighted_line(data.y, design, 1 / data.v, data.level)
        found.append(
            AdjustedEffect(
                method=method,
                estimate=float(line.coefficients[0]),
                se=float(line.se[0]),
                statistic=optional(line.statistic[0]),
                df=line.df,
                p_value=optional(line.p_value[0]),
                ci_low=optional(line.ci_low[0]),
                ci_high=optional(line.ci_high[0]),
                slope=float(line.coefficients[1]) / unit,
                slope_se=float(line.se[1]) / unit,
                slope_p_value=optional(line.p_value[1]),
            )
        )
    pet, peese = found
    effect = pet.p_value is not None and published(pet.p_value) < alpha
    return PetPeese(
        pet=pet,
        peese=peese,
        chosen="PEESE" if effect else "PET",
        alpha=float(alpha),
        k=pooled.k,
        unadjusted=float(pooled.estimate),
        level=data.level,
        caveats=(*few_studies_caveats(pooled.k), *own_effect),
        measure=data.measure,
        predictor=predictor,
    )


ESTIMATORS = ("L0", "R0", "Q0")
SIDES = ("left", "right")
#: Iterations after which the count is taken to run in circles.
MAX_ITERATIONS = 100


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class TrimAndFill(DrawsFunnel, Result):
    """A funnel made symmetrical.

    Attributes
    ----------
    estimator : {"L0", "R0", "Q0"}
    side : {"left", "right"}
        Where studies are missing.
    missing : int
        Their estimated number.
    missing_se, missing_p_value : float or None
        Its standard error (None where the variance formula has no root), and for R0 the p-value
        that none are missing.
    filled_estimates, filled_variances : ndarray of shape (missing,)
        The mirror images that were added.
    estimate, se, ci_low, ci_high, tau2
        Of all studies with those added, by the methods of the fit.
    unadjusted : float
        The estimate of the fit.
    k : int
        Studies before filling.
    adjusted : RandomEffects
        The whole fit with the added studies.
    caveats : tuple of Caveat
    """

    estimator: str
    side: str
    missing: int
    missing_se: float | None
    missing_p_value: float | None
    filled_estimates: Floats
    filled_variances: Floats
    estimate: float
    se: float
    ci_low: float | None
    ci_high: float | None
    tau2: float | None
    unadjusted: float
    k: int
    adjusted: RandomEffects
    caveats: tuple[Caveat, ...]

    @property
    def measure(self) -> str | None:
        """Code of the effect measure."""
        return self.adjusted.measure

    def printed(self) -> Printed:
        """Return how many studies were added and what that does to the mean."""
        digits, ends = decimals_for(self.se), (self.ci_low, self.ci_high)
        lines = [
            Line("missing", (f"{self.missing} on the {self.side}",)),
            Line("adjusted", (both_scales(self.measure, self.estimate, *ends, digits),)),
            Line("unadjusted", (number_words(self.measure, self.unadjusted, *ends, digits),)),
        ]
        head = (
            f"TrimAndFill: {plural(self.k, 'study', 'studies')},"
            f" {self.adjusted.tau2_method or 'common effect'}, {self.estimator}"
        )
        return Printed(head, lines, caveats=self.caveats)


@takes_fit
def trim_and_fill(
    fit: RandomEffects, estimator: str = "L0", side: str | None = None
) -> TrimAndFill:
    """Estimate how many studies are missing on one side of the funnel, and add them.

    Parameters
    ----------
    fit : RandomEffects
        At least three studies, or two with ``side``.
    estimator : {"L0", "R0", "Q0"}
    side : {"left", "right"}, optional
        Where studies may be missing. When not given, the side on which the mixed-effects
        regression on the standard error predicts few: right where its slope is negative.

    Returns
    -------
    TrimAndFill
        With a caveat below ten studies.

    Raises
    ------
    NotEstimableError
        Too few studies; a side that cannot be told because all precisions are equal; a count
        that does not settle; Q0 where its square root has no real value.

    Notes
    -----
    Equal to metafor's ``trimfill``: rank-based counts by Duval and Tweedie with the mean of the
    trimmed studies by the tau-squared method of the fit, until the count no longer changes. Where
    that mean is a single study, metafor's rank sum counts it or not by a rounding error; ours does
    not. It is a sensitivity analysis: heterogeneity alone can make it add studies.

    References
    ----------
    Duval and Tweedie (2000a), J. Am. Stat. Assoc. 95, 89-98; (2000b), Biometrics 56, 455-463.
    """
    check_choice("estimator", estimator, ESTIMATORS)
    if side is not None:
        check_choice("side", side, SIDES)
    data = fit_data(fit, "trim and fill", minimum=3 if side is None else 2)
    side = side or _asymmetric_side(data)
    sign = -1.0 if side == "right" else 1.0
    order = np.argsort(sign * data.y, kind="stable")
    y, v = sign * data.y[order], data.v[order]
    missing, missing_se, mean = _settled_count(y, v, data, estimator)
    filled_y = sign * (2 * mean - y[len(y) - missing :])
    filled_v = v[len(y) - missing :]
    adjusted = fit if missing == 0 else _refitted(fit, data, filled_y, filled_v)
    return TrimAndFill(
        estimator=estimator,
        side=side,
        missing=missing,
        missing_se=missing_se,
        missing_p_value=0.5 ** (missing + 1) if estimator == "R0" else None,
        filled_estimates=frozen(filled_y),
        filled_variances=frozen(filled_v),
        estimate=adjusted.estimate,
        se=adjusted.se,
        ci_low=adjusted.ci_low,
        ci_high=adjusted.ci_high,
        tau2=adjusted.tau2,
        unadjusted=fit.estimate,
        k=fit.k,
        adjusted=adjusted,
        caveats=few_studies_caveats(fit.k),
    )


def _asymmetric_side(data: FitData) -> str:
    x = np.sqrt(data.v)
    design = np.column_stack([np.ones(len(x)), x / x.max()])
    if dependent_columns(design):
        raise NotEstimableError(
            "the standard errors do not vary between the studies, so that they cannot show on which"
            " side studies are missing; give side='left' or side='right'"
        )
    slope = fit_mixed_model(data.y, data.v, design, data.tau2_method).coefficients[1]
    return "right" if slope < 0 else "left"


def _settled_count(
    y: Floats, v: Floats, data: FitData, estimator: str
) -> tuple[int, float | None, float]:
    """Return the number of missing studies, its standard error and the trimmed mean."""
    k, count, last = len(y), 0, -1
    se: float | None = None
    mean = 0.0
    for _ in range(MAX_ITERATIONS):
        if count == last:
            return count, se, mean
        last = count
        kept = k - count
        if kept < 1:
            raise NotEstimableError(
                f"trim and fill ({estimator}) trims all {k} studies; use another estimator or side"
            )
        trimmed = batched_fit(y[:kept], v[:kept], tau2_method=data.tau2_method)
        mean = float(trimmed.estimate[0])
        deviations = y - mean
        deviations[np.abs(deviations) < ZERO_DEVIATION * np.abs(y)] = 0.0
        count, se = _count(deviations, estimator)
    raise NotEstimableError(
        f"trim and fill ({estimator}) did not settle in {MAX_ITERATIONS} rounds; use another"
        " estimator"
    )


def _count(deviations: Floats, estimator: str) -> tuple[int, float | None]:
    """Return the rounded count by signed ranks, and its standard error."""
    k = len(deviations)
    ranks = np.empty(k)
    ranks[np.argsort(np.abs(deviations), kind="stable")] = np.arange(1, k + 1)
    signed = np.sign(deviations) * ranks
    if estimator == "R0":
        below = -signed[signed < 0]
        count = k - float(below.max()) - 1 if below.size else 0.0
        return max(0, round(count)), math.sqrt(2 * max(0.0, count) + 2)
    positive = float(signed[signed > 0].sum())
    if estimator == "L0":
        count = (4 * positive - k * (k + 1)) / (2 * k - 1)
        factor = 4 / (2 * k - 1)
    else:
        inside = 2 * k**2 - 4 * positive + 0.25
        if inside < 0:
            raise NotEstimableError(
                "the Q0 estimator has no real value for these studies; use estimator='L0'"
            )
        count = k - 0.5 - math.sqrt(inside)
        below_root = (k - 0.5) ** 2 - count * (2 * k - count - 1)
        factor = 2 / math.sqrt(below_root) if below_root > 0 else math.inf
    variance = (
        k * (k + 1) * (2 * k + 1)
        + 10 * count**3
        + 27 * count**2
        + 17 * count
        - 18 * k * count**2
        - 18 * k * count
        + 6 * k**2 * count
    ) / 24
    exists = variance >= 0 and math.isfinite(factor)
    return max(0, round(count)), factor * math.sqrt(variance) if exists else None


def _refitted(fit: RandomEffects, data: FitData, y: Floats, v: Floats) -> RandomEffects:
    estimates, variances = np.concatenate([data.y, y]), np.concatenate([data.v, v])
    labels = (*data.labels, *(f"filled {i + 1}" for i in range(len(y))))
    rest: tuple[Any, ...] = data.ci_method, data.level, labels, fit.measure
    if data.tau2_method == COMMON:
        return common_effect(estimates, variances, *rest, repeated_labels="allow")
    return random_effects(estimates, variances, data.tau2_method, *rest, repeated_labels="allow")


#: Nodes of the Gauss-Legendre rule on each of the panels below; 40 and 80 agree to 1e-13.
NODES = 40
#: Width of a panel and upper end of the integral over a standard normal; beyond 9 lie 2e-19.
PANEL, END = 0.5, 9.0


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class HenmiCopas(Result):
    """A mean by common-effect weights, with a wider interval.

    Attributes
    ----------
    estimate, se : float
        Weights ``1 / v``; the standard error allows for tau-squared.
    ci_low, ci_high, level : float
    tau2 : float
        DerSimonian-Laird.
    unadjusted : float
        The estimate of the fit.
    k : int
    caveats : tuple of Caveat
    measure : str or None
    """

    estimate: float
    se: float
    ci_low: float
    ci_high: float
    level: float
    tau2: float
    unadjusted: float
    k: int
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    def printed(self) -> Printed:
        """Return the estimate and its interval."""
        digits = decimals_for(self.se)
        words = both_scales(self.measure, self.estimate, self.ci_low, self.ci_high, digits)
        ends = self.ci_low, self.ci_high
        before = number_words(self.measure, self.unadjusted, *ends, digits)
        lines = [Line("adjusted", (words,)), Line("unadjusted", (before,))]
        head = f"HenmiCopas: {plural(self.k, 'study', 'studies')}"
        return Printed(head, lines, caveats=self.caveats)


@takes_fit
def henmi_copas(fit: RandomEffects) -> HenmiCopas:
    """Pool with common-effect weights, which small studies sway least, and a valid interval.

    Parameters
    ----------
    fit : RandomEffects
        At least two studies.

    Notes
    -----
    Equal to metafor's ``hc``: DerSimonian-Laird tau-squared, and the distribution of the pivot with
    a gamma approximation to Q given the mean (Henmi and Copas 2010, Stat. Med. 29, 2969-2983). The
    integral and the root are found to full precision here; metafor's defaults stop at about 1e-4.
    """
    from scipy.optimize import brentq

    data = fit_data(fit, "the Henmi-Copas method")
    scale = power_of_two_scale(data.v)
    y, w = data.y / scale, scale**2 / data.v
    total = float(w.sum())
    w2, w3, w4 = (float((w**power).sum()) / total for power in (2, 3, 4))
    mean = float(w @ y) / total
    q = float(w @ (y - mean) ** 2)
    tau2 = max(0.0, (q - (fit.k - 1)) / (total - w2))
    pivot = _Pivot(fit.k, tau2, total, w2, w3, w4)
    tail = (1 - data.level) / 2
    high = 2.0
    while pivot.upper_tail(high) > tail:
        high *= 2
    root = float(brentq(lambda x: pivot.upper_tail(x) - tail, 1e-8, high, xtol=1e-14, rtol=1e-13))
    se = math.sqrt((tau2 * w2 + 1) / total)
    half = math.sqrt(1 + tau2 * w2) * root * se
    return HenmiCopas(
        estimate=mean * scale,
        se=se * scale,
        ci_low=(mean - half) * scale,
        ci_high=(mean + half) * scale,
        level=data.level,
        tau2=tau2 * scale**2,
        unadjusted=fit.estimate,
        k=fit.k,
        caveats=few_studies_caveats(fit.k),
        measure=data.measure,
    )


class _Pivot:
    """Joint distribution of the mean and Q, in units of the mean's standard error."""

    def __init__(self, k: int, tau2: float, total: float, w2: float, w3: float, w4: float) -> None:
        self.k, self.tau2, self.total = k, tau2, total
        self.w2, self.w3, self.w4 = w2, w3, w4
        self.ratio = 1 + tau2 * w2
        self.rule = np.polynomial.legendre.leggauss(NODES)

    def upper_tail(self, x: float) -> float:
        """Return the probability that the studentised mean exceeds ``x``."""
        end = max(END, x + 1.0)
        panels = math.ceil((end - x) / PANEL)
        edges = np.linspace(x, end, panels + 1)
        half = 0.5 * (edges[1:] - edges[:-1])[:, None]
        r = (0.5 * (edges[1:] + edges[:-1]))[:, None] + half * self.rule[0]
        values = self._cumulative(r, x) * np.exp(-0.5 * r * r) / math.sqrt(2 * math.pi)
        return float((half * self.rule[1] * values).sum())

    def _cumulative(self, r: Floats, x: float) -> Floats:
        """Return P(Q <= the value at which the pivot is x | mean = r), by the gamma."""
        mean, variance = self._moments(math.sqrt(self.ratio) * r)
        bound = (self.total / self.w2 - 1) * ((r / x) ** 2 - 1) + (self.k - 1)
        result: Floats = special.gammainc(mean**2 / variance, bound * mean / variance)
        return result

    def _moments(self, r: Floats) -> tuple[Floats, Floats]:
        """Return mean and variance of Q given the mean (Henmi and Copas 2010)."""
        t, w1, w2, w3, w4 = self.tau2, self.total, self.w2, self.w3, self.w4
        inverse = 1 / self.ratio**2
        excess = inverse * r**2 - 1 / self.ratio
        mean = (self.k - 1) + t * (w1 - w2) + t**2 * excess * (w3 - w2**2)
        variance = (
            2 * (self.k - 1)
            + 4 * t * (w1 - w2)
            + 2 * t**2 * (w1 * w2 - 2 * w3 + w2**2)
            + 4 * t**2 * excess * (w3 - w2**2)
            + 4 * t**3 * excess * (w4 - 2 * w2 * w3 + w2**3)
            + 2 * t**4 * (inverse - 2 * r**2 / self.ratio**3) * (w3 - w2**2) ** 2
        )
        return mean, variance
