"""Several effects per study: the three-level model, and its working-model variants.

Equals metafor ``rma.mv(yi, V, random = ~ 1 | study/effect)``. The arrays are in
:mod:`ketameta.models.multilevel_likelihood`, the search in ``multilevel_search``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.door import takes_effects
from ketameta.errors import check_choice
from ketameta.models.dependence_inputs import frozen
from ketameta.models.design import INTERCEPT
from ketameta.models.intervals import check_level
from ketameta.models.multilevel_inputs import multilevel_data
from ketameta.models.multilevel_likelihood import evaluate
from ketameta.models.multilevel_results import MultilevelFit
from ketameta.models.multilevel_search import maximise, profile_interval
from ketameta.models.multilevel_statistics import (
    effect_weights,
    fitted_coefficients,
    i2_by_level,
    moderator_test,
    multilevel_caveats,
    prediction_limits,
    residual_sum,
    saturated_likelihood,
    scaled_limits,
)
from ketameta.vocabulary import Measure, measure_code

MultilevelMethod = Literal["REML", "ML"]
MULTILEVEL_METHODS = ("REML", "ML")
MultilevelCi = Literal["t-contain", "t", "wald"]
MULTILEVEL_CI_METHODS = ("t-contain", "t", "wald")
#: Fewer studies than this carry no prediction interval.
MIN_STUDIES_PREDICTION = 3


@takes_effects("study", "effect", "moderators")
def multilevel(
    estimates: ArrayLike,
    variances: ArrayLike,
    study: Sequence[object] | ArrayLike,
    effect: Sequence[object] | ArrayLike | None = None,
    moderators: Any = None,
    names: Sequence[str] | None = None,
    *,
    formula: str | None = None,
    intercept: bool = True,
    method: MultilevelMethod = "REML",
    ci_method: MultilevelCi = "t-contain",
    level: float = 0.95,
    sampling_covariance: ArrayLike | Sequence[ArrayLike] | None = None,
    rho: float | None = None,
    variance_intervals: bool = True,
    measure: Measure | str | None = None,
) -> MultilevelFit:
    """Fit effects within studies by (restricted) maximum likelihood.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        Effects and sampling variances (> 0); or ``Effects``, or a frame, as in
        :func:`~ketameta.models.random_effects.random_effects`. Then ``study``, ``effect`` and
        ``moderators`` may name columns.
    study : sequence of length k
        Study of each effect; at least two studies, at least one of them with two effects.
    effect : sequence of length k, optional
        Labels of the effects, different within a study.
    moderators : array_like of shape (k, q) or (k,), optional
        Numeric columns; a data frame brings its column names, or holds what ``formula`` uses.
    names : sequence of str of length q, optional
        Names of the moderators.
    formula : str, optional
        Such as ``"~ dose + age_group"``; words become categories.
    intercept : bool, default: True
        Put a column of ones before numeric moderators; a formula says it itself.
    method : {"REML", "ML"}
    ci_method : {"t-contain", "t", "wald"}
        ``"t-contain"`` counts studies for coefficients that are constant within studies, and
        effects for the others (metafor ``test="t", dfs="contain"``); ``"t"`` counts effects
        (``dfs="residual"``); ``"wald"`` is the normal distribution (metafor's default), too narrow
        with few studies. For inference that does not lean on the model see
        :func:`ketameta.models.robust.robust`.
    level : float, default: 0.95
    sampling_covariance : array_like of shape (k, k), or list of arrays, optional
        Covariances of sampling errors within studies, such as those of a shared control arm (see
        :mod:`ketameta.models.dependence`); zero between studies, ``variances`` on the diagonal.
        A list has one matrix per study, in order of first appearance.
    rho : float, optional
        Assumed correlation of the sampling errors of effects from one study; see :func:`che`.
    variance_intervals : bool, default: True
        Whether to compute profile-likelihood intervals, most of the time of a fit.
    measure : Measure or str, optional
        What the estimates are, for the printed words.

    Returns
    -------
    MultilevelFit

    Raises
    ------
    UsageError
        Lengths that differ, unknown words, a covariance of the wrong shape.
    ImpossibleDataError
        Values no study can have; sampling errors correlated between studies.
    NotEstimableError
        One study, one effect in every study, or a singular design.

    Notes
    -----
    ``y_ij = x_ij' beta + u_i + w_ij + e_ij`` with ``var(u) = sigma2_study`` and
    ``var(w) = sigma2_effect`` (Konstantopoulos 2011). The likelihood is searched from every hill of
    a grid and the gap to the next optimum is reported; metafor climbs once from one start. Results
    do not depend on the unit of the effect.

    References
    ----------
    Konstantopoulos S (2011). Fixed effects and variance components estimation in three-level
    meta-analysis. Research Synthesis Methods 2(1), 61-76. doi:10.1002/jrsm.35

    Nakagawa S, Santos ESA (2012). Methodological issues and advances in biological meta-analysis.
    Evolutionary Ecology 26, 1253-1274. doi:10.1007/s10682-012-9555-5 (I-squared by level)

    Examples
    --------
    >>> fit = multilevel([0.2, 0.4, 0.1, 0.6], [0.04, 0.05, 0.03, 0.04], ["a", "a", "b", "b"])
    >>> round(fit.estimate, 4), fit.k, fit.m
    (0.31, 4, 2)
    """
    check_choice("method", method, MULTILEVEL_METHODS)
    check_choice("ci_method", ci_method, MULTILEVEL_CI_METHODS)
    level = check_level(level)
    data = multilevel_data(
        estimates,
        variances,
        study,
        effect,
        moderators,
        names,
        formula,
        intercept,
        sampling_covariance,
        rho,
    )
    restricted = method == "REML"
    optimum = maximise(data.rotated, restricted)
    at = evaluate(data.rotated, optimum.variances[None], restricted)
    coefficients = fitted_coefficients(data, at, ci_method, level)
    k, p, m = data.y.size, len(data.names), len(data.studies)
    limits: list[tuple[float | None, float | None]] = [(None, None), (None, None)]
    if variance_intervals:
        limits = [
            scaled_limits(
                profile_interval(data.rotated, optimum, j, restricted, level), data.unit**2
            )
            for j in (0, 1)
        ]
    variances_found = optimum.variances * data.unit**2
    fixed = evaluate(data.rotated, np.zeros((1, 2)), restricted=False)
    qe = residual_sum(data, fixed)
    qm = moderator_test(coefficients)
    i2 = i2_by_level(data, fixed, optimum.variances)
    log_likelihood = optimum.log_likelihood - (k - (p if restricted else 0)) * np.log(data.unit)
    parameters, rows = p + 2, max(k - (p if restricted else 0), p + 4)
    saturated = 0.0 if restricted else saturated_likelihood(data)
    only_intercept = data.names == (INTERCEPT,)
    prediction = (
        prediction_limits(coefficients, variances_found.sum(), level)
        if (only_intercept and m >= MIN_STUDIES_PREDICTION)
        else (None, None)
    )
    return MultilevelFit(
        k=k,
        m=m,
        coefficients=coefficients,
        sigma2_study=float(variances_found[0]),
        sigma2_effect=float(variances_found[1]),
        sigma2_study_low=limits[0][0],
        sigma2_study_high=limits[0][1],
        sigma2_effect_low=limits[1][0],
        sigma2_effect_high=limits[1][1],
        i2=float(i2.sum()),
        i2_study=float(i2[0]),
        i2_effect=float(i2[1]),
        pi_low=prediction[0],
        pi_high=prediction[1],
        qe=qe,
        qe_df=k - p,
        qe_p_value=float(special.chdtrc(k - p, qe)),
        qm=qm[0],
        qm_df=qm[1],
        qm_df_denominator=qm[2],
        qm_p_value=qm[3],
        log_likelihood=float(log_likelihood),
        deviance=float(-2 * (log_likelihood - saturated)),
        aic=float(-2 * log_likelihood + 2 * parameters),
        bic=float(-2 * log_likelihood + parameters * np.log(k - (p if restricted else 0))),
        aicc=float(-2 * log_likelihood + 2 * parameters * rows / (rows - parameters - 1)),
        weights=effect_weights(data, optimum) if only_intercept else None,
        optima_starts=optimum.starts,
        optima_gap=optimum.gap,
        estimates=frozen(data.y),
        variances=frozen(data.v),
        design=frozen(data.design),
        labels=data.labels,
        study=data.study,
        sampling_blocks=tuple(frozen(block) for block in data.blocks),
        rho=None if rho is None else float(rho),
        method=method,
        ci_method=ci_method,
        level=level,
        caveats=multilevel_caveats(m, optimum, limits),
        measure=measure_code(measure),
    )
