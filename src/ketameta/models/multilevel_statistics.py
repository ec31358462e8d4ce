"""Everything that follows from the fitted variances of a three-level model. Searches nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ketameta.models.dependence_inputs import frozen
from ketameta.models.design import INTERCEPT
from ketameta.models.multilevel_inputs import MultilevelData
from ketameta.models.multilevel_likelihood import Evaluation
from ketameta.models.multilevel_results import CoefficientTable, coefficient_table
from ketameta.models.multilevel_search import Optimum
from ketameta.models.results import Caveat
from ketameta.numberformat import plural

FloatArray = NDArray[np.float64]
#: With fewer studies the variance between them, and any interval built on it, rests on little.
FEW_STUDIES = 5


def fitted_coefficients(
    data: MultilevelData, at: Evaluation, ci_method: str, level: float
) -> CoefficientTable:
    """Return the coefficients at the optimum, in the unit of the effect.

    Degrees of freedom: none (``"wald"``), effects less coefficients (``"t"``), or that count for
    columns that vary within a study and studies less coefficients for the others, at least 1
    (``"t-contain"``; metafor ``dfs="contain"``).
    """
    back = np.linalg.inv(data.triangle)
    estimate = back @ (data.fitted + at.coefficients[0]) * data.unit
    covariance = back @ np.linalg.inv(at.cross_products[0]) @ back.T * data.unit**2
    df = None
    k, p, m = data.y.size, len(data.names), len(data.studies)
    if ci_method == "t":
        df = np.full(p, float(k - p))
    elif ci_method == "t-contain":
        df = np.maximum(np.where(_constant_within(data), m, k) - p, 1).astype(np.float64)
    return coefficient_table(data.names, estimate, covariance, df, level)


def _constant_within(data: MultilevelData) -> NDArray[np.bool_]:
    """Return which columns of the design have one value per study."""
    first = np.array([np.flatnonzero(data.groups == g)[0] for g in range(len(data.studies))])
    return np.asarray(np.all(data.design == data.design[first][data.groups], axis=0))


def residual_sum(data: MultilevelData, fixed: Evaluation) -> float:
    """Return Cochran's Q of the model without heterogeneity."""
    constant = data.y.size * np.log(2 * np.pi) + np.log(data.rotated.eigenvalues).sum()
    return float(-2 * fixed.log_likelihood[0] - constant)


def saturated_likelihood(data: MultilevelData) -> float:
    """Return the full log-likelihood when every effect fits itself."""
    constant = data.y.size * np.log(2 * np.pi * data.unit**2)
    return float(-0.5 * (constant + np.log(data.rotated.eigenvalues).sum()))


def moderator_test(
    table: CoefficientTable,
) -> tuple[float | None, int | None, float | None, float | None]:
    """Test all coefficients beside the intercept, as metafor does."""
    tested = [j for j, name in enumerate(table.names) if name != INTERCEPT]
    if not tested:
        return None, None, None, None
    estimate = table.estimate[tested]
    chi2 = float(estimate @ np.linalg.solve(table.covariance[np.ix_(tested, tested)], estimate))
    if table.df is None:
        return chi2, len(tested), None, float(special.chdtrc(len(tested), chi2))
    denominator = float(table.df[tested].min())
    f = chi2 / len(tested)
    return f, len(tested), denominator, float(special.fdtrc(len(tested), denominator, f))


def i2_by_level(data: MultilevelData, fixed: Evaluation, variances: FloatArray) -> FloatArray:
    """Return I-squared by level, from the typical sampling variance (Higgins-Thompson eq. 9)."""
    trace = float((1 / data.rotated.eigenvalues).sum())
    weighted = data.rotated.basis / data.rotated.eigenvalues[:, None]
    trace -= float(np.trace(np.linalg.solve(fixed.cross_products[0], weighted.T @ weighted)))
    typical = (data.y.size - len(data.names)) / trace
    return variances / (variances.sum() + typical)


def prediction_limits(table: CoefficientTable, total: float, level: float) -> tuple[float, float]:
    """Return the interval for a new effect in a new study, with the quantile of the mean's test."""
    upper = 0.5 + level / 2
    critical = special.ndtri(upper) if table.df is None else special.stdtrit(table.df[0], upper)
    reach = float(critical * np.sqrt(table.covariance[0, 0] + total))
    return float(table.estimate[0]) - reach, float(table.estimate[0]) + reach


def effect_weights(data: MultilevelData, optimum: Optimum) -> FloatArray:
    """Return each effect's share in the mean: row sums of the inverse covariance."""
    shares = np.empty(data.y.size)
    between, within = optimum.variances * data.unit**2
    for index, block in enumerate(data.blocks):
        rows = np.flatnonzero(data.groups == index)
        matrix = np.diag(block) if block.ndim == 1 else block
        shares[rows] = np.linalg.solve(
            matrix + between + within * np.eye(rows.size), np.ones(rows.size)
        )
    return frozen(shares / shares.sum())


def scaled_limits(limits: tuple[float, float | None], factor: float) -> tuple[float, float | None]:
    """Return an interval in the unit of the effect."""
    low, high = limits
    return low * factor, None if high is None else high * factor


def multilevel_caveats(
    m: int, optimum: Optimum, limits: list[tuple[float | None, float | None]]
) -> tuple[Caveat, ...]:
    """Return what a reader must know before trusting the variances."""
    found = []
    if m < FEW_STUDIES:
        found.append(
            Caveat(
                "few_studies",
                f"The variance between studies rests on {plural(m, 'study', 'studies')}.",
            )
        )
    for index, where in enumerate(("between", "within")):
        if optimum.variances[index] == 0:
            found.append(
                Caveat(
                    f"boundary_{where}_studies",
                    f"The variance {where} studies is estimated as zero, the edge of what is"
                    " possible; that is weak evidence that there is none.",
                )
            )
        if limits[index][0] is not None and limits[index][1] is None:
            found.append(
                Caveat(
                    f"unbounded_{where}_studies",
                    f"The data give no upper limit to the variance {where} studies.",
                )
            )
    if optimum.gap is not None:
        found.append(
            Caveat(
                "several_optima",
                f"The likelihood has more than one optimum; the best was taken, the next is"
                f" {optimum.gap:.3g} log units below it.",
            )
        )
    if not optimum.converged:
        found.append(
            Caveat("not_converged", "The search for the variances did not settle completely.")
        )
    return tuple(found)
