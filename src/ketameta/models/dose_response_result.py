"""A fitted dose-response curve: coefficients, tests, predictions. Holds no estimation."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.models.dependence_inputs import check_vector, frozen
from ketameta.models.dose_curve import curve_basis
from ketameta.models.intervals import critical_value
from ketameta.models.multilevel_results import CoefficientTable
from ketameta.models.results import Caveat, Result
from ketameta.numberformat import format_number, format_p, plural

FloatArray = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CurvePoints:
    """Effects of doses against a reference dose; arrays of shape (g,)."""

    dose: FloatArray
    estimate: FloatArray
    se: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class JointTest:
    """Several coefficients are 0: F on ``df`` and ``df2``, or chi-squared where ``df2`` is None."""

    statistic: float
    df: int
    df2: int | None
    p_value: float


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class DoseResponse(Result):
    """A one-stage dose-response meta-analysis.

    Attributes
    ----------
    k, n_contrasts : int
        Studies, and their contrasts.
    transformation : str
        ``linear`` or ``spline``.
    knots : tuple of float
        Of the spline, in the unit of the dose.
    coefficients : CoefficientTable
        Effect per unit of dose; for a spline the slope up to the first knot and the curvature.
    between : ndarray of shape (p, p)
        Covariance of the coefficients between studies; zeros in a common-effect model.
    method : str
        ``REML`` or ``common``, as fitted.
    log_likelihood : float
        Restricted.
    optima_gap : float or None
        Log-likelihood lost at the next optimum of the variance of one slope, if there is one.
    q, q_df, q_p_value : float, int, float or None
        Test that the common curve fits every contrast (Cochran's Q of residuals).
    test : JointTest
        No effect at any dose.
    nonlinearity : JointTest or None
        The curve is a line; ``None`` for a line.
    doses : tuple of float
        Different doses given, controls included.
    study : tuple of str
        Of each contrast.
    ci_method : str
        ``t`` or ``wald``, as used.
    level : float
    caveats : tuple of Caveat
    measure : str or None
        Code of the effect measure.
    """

    k: int
    n_contrasts: int
    transformation: str
    knots: tuple[float, ...]
    coefficients: CoefficientTable
    between: FloatArray
    method: str
    log_likelihood: float
    optima_gap: float | None
    q: float
    q_df: int
    q_p_value: float | None
    test: JointTest
    nonlinearity: JointTest | None
    doses: tuple[float, ...]
    study: tuple[str, ...]
    ci_method: str
    level: float
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    def predict(self, doses: ArrayLike, reference: float = 0.0) -> CurvePoints:
        """Return the effect of each dose against ``reference``, with pointwise intervals.

        Parameters
        ----------
        doses : array_like of shape (g,)
        reference : float, default: 0

        Returns
        -------
        CurvePoints
            At the reference itself estimate, standard error and interval are 0.
        """
        grid = check_vector("doses", doses)
        contrast = curve_basis(grid, self.knots) - curve_basis([float(reference)], self.knots)
        estimate = contrast @ self.coefficients.estimate
        covariance = self.coefficients.covariance
        se = np.sqrt(np.maximum(np.einsum("gp,pq,gq->g", contrast, covariance, contrast), 0.0))
        df = None if self.coefficients.df is None else float(self.coefficients.df[0])
        half = critical_value(self.level, df) * se
        return CurvePoints(
            frozen(grid), frozen(estimate), frozen(se), frozen(estimate - half),
            frozen(estimate + half),
        )  # fmt: skip

    def summary(self) -> str:
        """Return the sentence, the coefficients, the tests and the caveats."""
        shape = "line" if self.transformation == "linear" else "restricted cubic spline"
        slopes = "slopes differ between studies (REML)" if self.method == "REML" else "one curve"
        lines = [
            f"<Dose-response, {shape}: {plural(self.n_contrasts, 'contrast')} of"
            f" {plural(self.k, 'study', 'studies')}, {slopes}>",
            *self.coefficients.lines(self.level, self.measure),
            f"  No effect at any dose: {_words(self.test)}",
        ]
        if self.nonlinearity is not None:
            lines.append(f"  Not a line: {_words(self.nonlinearity)}")
        if self.q_p_value is not None:
            lines.append(
                f"  Fit of one curve: Q({self.q_df}) = {format_number(self.q)},"
                f" {format_p(self.q_p_value)}"
            )
        return "\n".join([*lines, *(f"  {caveat.message}" for caveat in self.caveats)])


def _words(test: JointTest) -> str:
    head = f"chi-squared({test.df})" if test.df2 is None else f"F({test.df}, {test.df2})"
    return f"{head} = {format_number(test.statistic)}, {format_p(test.p_value)}"
