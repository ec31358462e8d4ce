"""The random-effects linear model as arrays: tau-squared, weights, coefficients, inference.

One light call, without labels or printing; ``pooling`` and ``regression`` build their results on
it and take their caveats from here, and loops over subsets may call it directly. Inputs are taken
as checked.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ketameta.formatting import format_significant, steady
from ketameta.models.intervals import Inference, Tau2Interval, mean_inference
from ketameta.models.least_squares import Array, LeastSquares, weighted_least_squares
from ketameta.models.results import Caveat
from ketameta.models.tau2 import COMMON, Tau2, estimate_tau2


class MixedModel(NamedTuple):
    """A fitted model.

    Attributes
    ----------
    coefficients : ndarray of shape (p,)
    inference : Inference
        Standard errors, tests and intervals by the chosen method.
    least_squares : LeastSquares
        The weighted regression before any Knapp-Hartung factor.
    tau2 : Tau2
    w : ndarray of shape (k,)
        ``1 / (v + tau2)``.
    """

    coefficients: Array
    inference: Inference
    least_squares: LeastSquares
    tau2: Tau2
    w: Array


def fit_mixed_model(
    y: Array,
    v: Array,
    design: Array,
    tau2_method: str = "REML",
    ci_method: str = "knapp-hartung-conservative",
    level: float = 0.95,
) -> MixedModel:
    """Fit ``y = design @ beta + u + e`` with ``var(u) = tau2`` and ``var(e) = v``.

    Shapes (k,), (k,) and (k, p); ``tau2_method`` as in :func:`ketameta.models.tau2.estimate_tau2`
    (``"common"`` for no tau-squared), ``ci_method`` as in
    :func:`ketameta.models.intervals.mean_inference`.
    """
    tau2 = estimate_tau2(y, v, design, tau2_method)
    w = 1 / (v + tau2.value)
    ls = weighted_least_squares(y, design, w)
    return MixedModel(ls.coefficients, mean_inference(ls, ci_method, level), ls, tau2, w)


#: Ratio of the largest to the smallest variance above which weights lose half their digits.
EXTREME_RATIO = 1e7
#: A Knapp-Hartung factor from here on prints as 1.00: rounding of an estimate for which it is 1.
PRINTS_AS_ONE = 0.9995


def data_caveats(y: Array, v: Array, labels: tuple[str, ...]) -> tuple[Caveat, ...]:
    """Return caveats about the numbers themselves: identical rows, extreme variances."""
    found = []
    pairs: dict[tuple[float, float], list[str]] = {}
    for estimate, variance, label in zip(y.tolist(), v.tolist(), labels, strict=True):
        pairs.setdefault((steady(estimate), steady(variance)), []).append(label)
    same = [", ".join(group) for group in pairs.values() if len(group) > 1]
    if same:
        found.append(
            Caveat(
                "identical_studies",
                f"{'; '.join(same)} have the same estimate and variance to the last digit; check"
                " that no trial is entered twice.",
            )
        )
    if v.max() > EXTREME_RATIO * v.min():
        found.append(
            Caveat(
                "extreme_variances",
                f"The largest sampling variance is {v.max() / v.min():.1e} times the smallest;"
                " check for a standard error entered as a variance.",
            )
        )
    return tuple(found)


def interval_caveats(model: MixedModel, ci_method: str) -> tuple[Caveat, ...]:
    """Return caveats about the interval of the mean: floored, narrowed or withheld."""
    if ci_method == "wald":
        return ()
    factor = model.least_squares.rss / model.least_squares.df
    if factor >= PRINTS_AS_ONE:
        return ()
    if ci_method == "knapp-hartung-conservative":
        return (
            Caveat(
                "knapp_hartung_floored",
                f"The Knapp–Hartung factor on the variance is {format_significant(factor)}, below"
                " 1; it was set to 1, so that the interval is not narrowed.",
            ),
        )
    if not np.all(model.inference.se > 0):
        return (
            Caveat(
                "knapp_hartung_degenerate",
                "The studies agree exactly, so that the Knapp–Hartung standard error is 0; test"
                " and interval are withheld.",
            ),
        )
    return (
        Caveat(
            "knapp_hartung_narrower",
            f"The Knapp–Hartung standard error is {format_significant(float(np.sqrt(factor)))}"
            " times the Wald one: the interval may be too narrow.",
        ),
    )


def tau2_caveats(
    model: MixedModel, tau2_method: str, interval: Tau2Interval | None
) -> tuple[Caveat, ...]:
    """Return caveats about tau-squared: at zero, several maxima, an interval that misses it."""
    if tau2_method == COMMON:
        return ()
    found = []
    value, _, maxima, gap = model.tau2
    if value == 0:
        found.append(
            Caveat(
                "tau2_zero",
                "The variance between studies is estimated as 0, the lowest possible value; that is"
                " not evidence that the studies share one effect.",
            )
        )
    if gap is not None:
        found.append(
            Caveat(
                "several_maxima",
                f"The likelihood has {maxima} maxima; the highest is reported, {gap:.2g} above the"
                " next in log-likelihood.",
            )
        )
    if interval is None:
        return tuple(found)
    if interval.empty:
        found.append(
            Caveat(
                "tau2_interval_empty",
                "The studies differ less than sampling error alone would make likely; no value of"
                " tau-squared fits at this level, so that it has no interval.",
            )
        )
    elif not interval.low <= value <= interval.high:
        found.append(
            Caveat(
                "tau2_outside_interval",
                "The estimate of tau-squared lies outside its Q-profile interval; the two weight"
                " the studies differently.",
            )
        )
    return tuple(found)
