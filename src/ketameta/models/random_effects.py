"""One mean effect from several studies: the random-effects and the common-effect model.

Regression on moderators lives in ``regression``; what to do with no study at all in ``pooling``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.door import takes_effects
from ketameta.errors import check_choice
from ketameta.models import fit_caveats
from ketameta.models.gate import Inputs, checked_inputs
from ketameta.models.heterogeneity import fit_statistics, heterogeneity
from ketameta.models.intervals import (
    check_level,
    critical_value,
    tau2_interval,
    two_sided_p,
)
from ketameta.models.least_squares import Array
from ketameta.models.mixed_model import fit_mixed_model
from ketameta.models.policy import MIN_STUDIES_PREDICTION, small_k_caveats, small_k_rule
from ketameta.models.pooled_effect import RandomEffects
from ketameta.models.prediction import prediction_bounds
from ketameta.models.tau2 import COMMON
from ketameta.vocabulary import CI_METHODS, TAU2_METHODS, Measure, measure_code

__all__ = ["RandomEffects", "common_effect", "random_effects"]


@takes_effects()
def random_effects(
    estimates: ArrayLike,
    variances: ArrayLike,
    tau2_method: str = "REML",
    ci_method: str = "knapp-hartung-conservative",
    level: float = 0.95,
    labels: Sequence[object] | ArrayLike | None = None,
    measure: Measure | str | None = None,
    *,
    repeated_labels: str = "refuse",
) -> RandomEffects:
    """Pool independent studies in a random-effects model.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        Effects and their sampling variances, k >= 1. Instead of the two: ``Effects`` of
        :func:`~ketameta.effects.table.effect_sizes`, or a data frame with ``estimate=`` and
        ``variance=`` (or ``se=``) naming its columns; ``labels=`` may then name one too.
    tau2_method : {"DL", "PM", "HE", "HS", "SJ", "ML", "REML", "EB"}
        See :func:`ketameta.models.tau2.estimate_tau2`.
    ci_method : {"wald", "knapp-hartung", "knapp-hartung-conservative"}
        See :func:`ketameta.models.intervals.mean_inference`.
    level : float
        Of every interval.
    labels : sequence of length k, optional
        One label per study; a repeated label is refused unless ``repeated_labels="allow"``.
    measure : Measure or str, optional
        What the estimates are: results print the scale that is read (ratios, proportions,
        correlations) first, and ``display_estimate`` and its like give it.

    Returns
    -------
    RandomEffects
        With one study the study itself: Wald interval, no tau-squared, a caveat.

    Raises
    ------
    ImpossibleDataError, NotEstimableError, UsageError
        See :func:`ketameta.models.gate.checked_inputs`. For an empty list use
        :func:`ketameta.models.pooling.pool`.

    Notes
    -----
    Equal to metafor's ``rma(yi, vi, method=tau2_method, test="z" | "knha" | "adhoc")``, with three
    differences: results do not depend on the unit of the effect, likelihoods are searched
    completely, and the prediction interval has k - 2 degrees of freedom rather than k - 1.
    PyMARE 0.0.13 gives the same mean and interval (to its search tolerance of 1e-6 in tau-squared)
    and defines I-squared from Q.

    Examples
    --------
    >>> fit = random_effects([0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02])
    >>> round(fit.estimate, 4), round(fit.ci_low, 4), round(fit.ci_high, 4)
    (0.3658, -0.052, 0.7836)
    """
    check_choice("tau2_method", tau2_method, TAU2_METHODS)
    inputs = checked_inputs(estimates, variances, labels, repeated_labels=repeated_labels)
    return _pooled(inputs, tau2_method, ci_method, level, measure)


@takes_effects()
def common_effect(
    estimates: ArrayLike,
    variances: ArrayLike,
    ci_method: str = "wald",
    level: float = 0.95,
    labels: Sequence[object] | ArrayLike | None = None,
    measure: Measure | str | None = None,
    *,
    repeated_labels: str = "refuse",
) -> RandomEffects:
    """Pool studies under the assumption that all share one true effect.

    Parameters as in :func:`random_effects`. ``tau2`` and the prediction interval are None;
    ``i2`` and ``h2`` are those from Q, as metafor's for ``method="EE"``.

    Examples
    --------
    >>> fit = common_effect([0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02])
    >>> round(fit.estimate, 4), round(fit.ci_low, 4), round(fit.ci_high, 4)
    (0.3922, 0.2192, 0.5652)
    """
    inputs = checked_inputs(estimates, variances, labels, repeated_labels=repeated_labels)
    return _pooled(inputs, COMMON, ci_method, level, measure)


def _pooled(
    inputs: Inputs, tau2_method: str, ci_method: str, level: float, measure: Measure | str | None
) -> RandomEffects:
    check_choice("ci_method", ci_method, CI_METHODS)
    level = check_level(level)
    y, v, design, labels, _ = inputs
    k = len(y)
    words = measure_code(measure)
    common = tau2_method == COMMON
    if k == 1:
        return _single(inputs, "common" if common else "random", level, words)
    fit = fit_mixed_model(y, v, design, tau2_method, ci_method, level)
    tau2 = None if common else fit.tau2.value
    statistics = heterogeneity(y, v, design, tau2)
    likelihood = fit_statistics(
        y,
        v,
        design,
        fit.tau2.value,
        restricted=tau2_method == "REML",
        parameters=1 if common else 2,
    )
    bounds = None if common else tau2_interval(y, v, design, level=level)
    estimate, inference = float(fit.coefficients[0]), fit.inference
    se = float(inference.se[0])
    predicted: dict[str, Any] = {"pi_low": None, "pi_high": None, "pi_df": None}
    if tau2 is not None and k >= MIN_STUDIES_PREDICTION and se > 0:
        low, high = prediction_bounds(estimate, se, tau2, k - 2, level)
        predicted = {"pi_low": low, "pi_high": high, "pi_df": k - 2}
    typical = statistics.typical_variance
    return RandomEffects(
        model="common" if common else "random",
        k=k,
        estimate=estimate,
        se=se,
        statistic=_number(inference.statistic[0]),
        df=inference.df,
        p_value=_number(inference.p_value[0]),
        ci_low=_number(inference.ci_low[0]),
        ci_high=_number(inference.ci_high[0]),
        **predicted,
        tau2=tau2,
        tau2_se=fit.tau2.se,
        tau2_ci_low=None if bounds is None else bounds.low,
        tau2_ci_high=None if bounds is None else bounds.high,
        i2=statistics.i2,
        h2=statistics.h2,
        i2_ci_low=None if bounds is None else bounds.low / (bounds.low + typical),
        i2_ci_high=None if bounds is None else bounds.high / (bounds.high + typical),
        i2_q=statistics.i2_q,
        h2_q=statistics.h2_q,
        q=statistics.q,
        q_df=statistics.q_df,
        q_p_value=statistics.q_p_value,
        **likelihood._asdict(),
        weights=_frozen(fit.w / fit.w.sum()),
        estimates=_frozen(y),
        variances=_frozen(v),
        labels=labels,
        measure=words,
        tau2_method=None if common else tau2_method,
        ci_method=ci_method,
        level=level,
        rule=small_k_rule(k, common=common).sentence,
        caveats=(
            *small_k_caveats(k, common=common),
            *fit_caveats.data_caveats(y, v, labels),
            *fit_caveats.interval_caveats(fit, ci_method),
            *fit_caveats.tau2_caveats(fit, tau2_method, bounds),
        ),
    )


def _single(inputs: Inputs, model: str, level: float, measure: str | None) -> RandomEffects:
    """One study: the study itself, with its Wald interval."""
    estimate, se = float(inputs.y[0]), float(np.sqrt(inputs.v[0]))
    half = critical_value(level, None) * se
    nothing = {
        field.name: None
        for field in dataclasses.fields(RandomEffects)
        if field.name.startswith(("pi_", "tau2", "i2", "h2", "q"))
        or field.name in ("log_likelihood", "deviance", "aic", "bic", "aicc")
    }
    values: dict[str, Any] = {
        **nothing,
        "model": model,
        "k": 1,
        "estimate": estimate,
        "se": se,
        "statistic": estimate / se,
        "df": None,
        "p_value": float(two_sided_p(np.array(estimate / se), None)),
        "ci_low": estimate - half,
        "ci_high": estimate + half,
        "weights": _frozen(np.ones(1)),
        "estimates": _frozen(inputs.y),
        "variances": _frozen(inputs.v),
        "labels": inputs.labels,
        "measure": measure,
        "ci_method": "wald",
        "level": level,
        "rule": small_k_rule(1).sentence,
        "caveats": small_k_caveats(1),
    }
    return RandomEffects(**values)


def _number(value: Any) -> float | None:
    """Return a float, or None for the NaN of a test that does not exist."""
    return float(value) if np.isfinite(value) else None


def _frozen(values: Array) -> Array:
    copy = np.array(values, dtype=float)
    copy.setflags(write=False)
    return copy
