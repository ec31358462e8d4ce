"""The random-effects linear model as arrays: tau-squared, weights, coefficients, inference.

One light call, without labels, caveats or printing; ``random_effects`` and ``regression`` build
their results on it, and loops over subsets may call it directly. Inputs are taken as checked.
"""

from __future__ import annotations

from typing import NamedTuple

from ketameta.models.intervals import Inference, mean_inference
from ketameta.models.least_squares import Array, LeastSquares, weighted_least_squares
from ketameta.models.tau2 import Tau2, estimate_tau2


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
