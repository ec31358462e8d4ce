"""Trim and fill: how many studies a symmetrical funnel would lack, and the mean with them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ketameta.errors import NotEstimableError, check_choice
from ketameta.formatting import plural
from ketameta.models.least_squares import Array
from ketameta.models.mixed_model import fit_mixed_model
from ketameta.models.pooling import (
    both_scales,
    common_effect,
    decimals_for,
    number_words,
    random_effects,
)
from ketameta.models.resampling.batched import FitData, batched_fit, fit_data, frozen
from ketameta.models.results import Caveat, DrawsFunnel, Result
from ketameta.models.small_study.inputs import (
    ZERO_DEVIATION,
    check_varies,
    few_studies_caveats,
    fit_words,
)
from ketameta.models.tau2 import COMMON

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects

FloatArray = NDArray[np.float64]
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
    filled_estimates: FloatArray
    filled_variances: FloatArray
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

    def summary(self) -> str:
        """Return how many studies were added and what that does to the mean."""
        digits = decimals_for(self.se)
        words = both_scales(self.measure, self.estimate, self.ci_low, self.ci_high, digits)
        ends = self.ci_low, self.ci_high
        before = number_words(self.measure, self.unadjusted, *ends, digits)
        lines = [
            f"<TrimAndFill: {plural(self.k, 'study', 'studies')}, {fit_words(self.adjusted)},"
            f" {self.estimator}>",
            f"  missing     {self.missing} on the {self.side}",
            f"  adjusted    {words}",
            f"  unadjusted  {before}",
        ]
        lines += [f"  caveat      {caveat.message}" for caveat in self.caveats]
        return "\n".join(lines)


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
    check_varies(design, "se")
    slope = fit_mixed_model(data.y, data.v, design, data.tau2_method).coefficients[1]
    return "right" if slope < 0 else "left"


def _settled_count(
    y: Array, v: Array, data: FitData, estimator: str
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


def _count(deviations: Array, estimator: str) -> tuple[int, float | None]:
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


def _refitted(fit: RandomEffects, data: FitData, y: Array, v: Array) -> RandomEffects:
    estimates, variances = np.concatenate([data.y, y]), np.concatenate([data.v, v])
    labels = (*data.labels, *(f"filled {i + 1}" for i in range(len(y))))
    if data.tau2_method == COMMON:
        return common_effect(
            estimates,
            variances,
            data.ci_method,
            data.level,
            labels,
            fit.measure,
            repeated_labels="allow",
        )
    return random_effects(
        estimates,
        variances,
        data.tau2_method,
        data.ci_method,
        data.level,
        labels,
        fit.measure,
        repeated_labels="allow",
    )
