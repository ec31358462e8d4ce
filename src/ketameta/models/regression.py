"""Meta-regression: how effects vary with what the studies were like.

The result class is in ``regression_result``, the design in ``design``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.door import takes_effects
from ketameta.errors import check_choice
from ketameta.models import fit_caveats
from ketameta.models.design import INTERCEPT, Design, build_design
from ketameta.models.gate import checked_inputs
from ketameta.models.heterogeneity import fit_statistics, heterogeneity
from ketameta.models.intervals import check_level, tau2_interval, wald_test
from ketameta.models.least_squares import Array, weighted_least_squares
from ketameta.models.mixed_model import MixedModel, fit_mixed_model
from ketameta.models.policy import small_k_caveats, small_k_rule
from ketameta.models.regression_result import MetaRegression
from ketameta.models.results import Caveat
from ketameta.models.tau2 import COMMON, estimate_tau2
from ketameta.vocabulary import CI_METHODS, TAU2_METHODS, Measure, measure_code

__all__ = ["MetaRegression", "meta_regression"]

#: A study whose leverage in ordinary least squares is above this decides a coefficient alone.
LONE_LEVERAGE = 1 - 1e-8


@takes_effects("moderators")
def meta_regression(
    estimates: ArrayLike,
    variances: ArrayLike,
    moderators: Any,
    formula: str | None = None,
    names: Sequence[str] | None = None,
    tau2_method: str = "REML",
    ci_method: str = "knapp-hartung-conservative",
    level: float = 0.95,
    labels: Sequence[object] | ArrayLike | None = None,
    measure: Measure | str | None = None,
    *,
    intercept: bool = True,
    repeated_labels: str = "refuse",
) -> MetaRegression:
    """Regress effects on moderators in a mixed-effects model.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        Effects and their sampling variances; or ``Effects``, or a frame, as in
        :func:`~ketameta.models.random_effects.random_effects`.
    moderators : data frame, or array_like of shape (k, m) or (k,)
        A frame with ``formula``, or numeric columns. After ``Effects`` or a frame also the formula
        itself or names of columns, of ``data=`` a frame where the effects came without one:
        ``meta_regression(effects, "~ dose", data=frame)``.
    formula : str, optional
        Such as ``"~ prior_treatment_resistance + dose"``; words become categories, the first of
        which (in order) is the reference.
    names : sequence of str, optional
        Of numeric columns; ``x1, x2, ...`` when not given.
    tau2_method : {"DL", "PM", "HE", "HS", "SJ", "ML", "REML", "EB", "common"}
        ``"common"`` for a model without residual heterogeneity.
    ci_method, level, labels, measure, repeated_labels
        As in :func:`~ketameta.models.random_effects.random_effects`.
    intercept : bool
        Whether to put a column of ones before numeric columns.

    Returns
    -------
    MetaRegression

    Raises
    ------
    UsageError, ImpossibleDataError, NotEstimableError
        See :func:`~ketameta.models.gate.checked_inputs` and
        :func:`~ketameta.models.design.build_design`; not more studies than coefficients, or a
        column that is a combination of others (metafor drops it with a warning).

    Notes
    -----
    Equal to metafor's ``rma(yi, vi, mods=, method=, test=)``. The test of moderators is a Wald
    chi-squared test of all coefficients but the intercept, or with Knapp-Hartung that divided by
    their number, an F test with k - p denominator degrees of freedom. ``r2`` is the share of the
    between-study variance that the moderators explain, ``1 - tau2 / tau2 without moderators``,
    not below 0 (Raudenbush 2009); in the common-effect model it is the adjusted R-squared of the
    weighted regression.

    References
    ----------
    Thompson and Higgins (2002), Stat. Med. 21, 1559-1573. Knapp and Hartung (2003), Stat. Med. 22,
    2693-2710. Raudenbush (2009), in Cooper, Hedges and Valentine, Handbook of Research Synthesis.

    Examples
    --------
    >>> y, v = [0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02]
    >>> fit = meta_regression(y, v, {"dose": [1, 2, 3, 4]}, "~ dose")
    >>> fit.names, fit.estimate.round(3).tolist()
    (('intercept', 'dose'), [-0.084, 0.178])
    """
    check_choice("tau2_method", tau2_method, (*TAU2_METHODS, COMMON))
    check_choice("ci_method", ci_method, CI_METHODS)
    level = check_level(level)
    plain = checked_inputs(estimates, variances, labels, repeated_labels=repeated_labels)
    design = build_design(moderators, formula, names, intercept=intercept, labels=plain.labels)
    y, v, matrix, known, columns = checked_inputs(
        estimates,
        variances,
        labels,
        design=design.matrix,
        names=design.names,
        repeated_labels=repeated_labels,
    )
    k, p = matrix.shape
    common = tau2_method == COMMON
    fit = fit_mixed_model(y, v, matrix, tau2_method, ci_method, level)
    tau2 = None if common else fit.tau2.value
    statistics = heterogeneity(y, v, matrix, tau2)
    likelihood = fit_statistics(
        y,
        v,
        matrix,
        fit.tau2.value,
        restricted=tau2_method == "REML",
        parameters=p + (not common),
    )
    bounds = None if common else tau2_interval(y, v, matrix, level=level)
    tested = tuple(name for name in columns if name != INTERCEPT) or columns
    inference = fit.inference
    at = [columns.index(name) for name in tested]
    moderation = wald_test(fit.coefficients, inference.covariance, inference.df, at)
    return MetaRegression(
        model="common" if common else "random",
        k=k,
        p=p,
        names=columns,
        estimate=_frozen(fit.coefficients),
        se=_frozen(inference.se),
        statistic=_frozen(inference.statistic),
        df=inference.df,
        p_value=_frozen(inference.p_value),
        ci_low=_frozen(inference.ci_low),
        ci_high=_frozen(inference.ci_high),
        covariance=_frozen(inference.covariance),
        tested=tested,
        qm=moderation.statistic,
        qm_df=moderation.df,
        qm_df2=moderation.df2,
        qm_p_value=moderation.p_value,
        qe=statistics.q,
        qe_df=statistics.q_df,
        qe_p_value=statistics.q_p_value,
        r2=_r2(y, v, matrix, columns, fit, tau2_method),
        tau2=tau2,
        tau2_se=fit.tau2.se,
        tau2_ci_low=None if bounds is None else bounds.low,
        tau2_ci_high=None if bounds is None else bounds.high,
        i2=statistics.i2,
        h2=statistics.h2,
        **likelihood._asdict(),
        weights=_frozen(fit.w / fit.w.sum()),
        estimates=_frozen(y),
        variances=_frozen(v),
        design=_frozen(matrix),
        labels=known,
        terms=design.terms,
        formula=formula,
        measure=measure_code(measure),
        tau2_method=None if common else tau2_method,
        ci_method=ci_method,
        level=level,
        rule=small_k_rule(k, p, common=common).sentence,
        caveats=(
            *small_k_caveats(k, p, common=common),
            *fit_caveats.data_caveats(y, v, known),
            *_lone_studies(matrix, design, known),
            *fit_caveats.interval_caveats(fit, ci_method),
            *fit_caveats.tau2_caveats(fit, tau2_method, bounds),
        ),
        encoder=design.encoder,
    )


def _r2(
    y: Array, v: Array, design: Array, names: tuple[str, ...], fit: MixedModel, tau2_method: str
) -> float | None:
    """Return the share of variance explained; None without an intercept to compare with."""
    k, p = design.shape
    if INTERCEPT not in names or p == 1:
        return None
    ones = np.ones((k, 1))
    if tau2_method == COMMON:
        total = weighted_least_squares(y, ones, 1 / v).rss
        if total == 0:
            return 0.0
        return max(0.0, 1 - fit.least_squares.rss / total * (k - 1) / (k - p))
    total = estimate_tau2(y, v, ones, tau2_method).value
    return max(0.0, 1 - fit.tau2.value / total) if total > 0 else 0.0


def _lone_studies(matrix: Array, design: Design, labels: tuple[str, ...]) -> tuple[Caveat, ...]:
    """Return a caveat that names each study that alone decides a coefficient."""
    q = np.linalg.qr(matrix)[0]
    alone = np.flatnonzero((q * q).sum(1) > LONE_LEVERAGE)
    return tuple(
        Caveat(
            "lone_study",
            f"{labels[i]} is the only study of its kind in the design"
            f" ({', '.join(_marks(matrix[i], design.names))}); its coefficient is that one study.",
        )
        for i in alone
    )


def _marks(row: Array, names: tuple[str, ...]) -> list[str]:
    """Return what is true of a study, such as ``group[T.b]`` or ``dose = 3``."""
    words = [
        name if value == 1 else f"{name} = {value:g}"
        for name, value in zip(names, row.tolist(), strict=True)
        if value != 0 and name != INTERCEPT
    ]
    return words or ["all moderators 0"]


def _frozen(values: Array) -> Array:
    copy = np.array(values, dtype=float)
    copy.setflags(write=False)
    return copy
