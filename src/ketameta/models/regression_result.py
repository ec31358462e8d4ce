"""The result of a meta-regression: coefficients, the test of moderators, predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ketameta.errors import check_choice
from ketameta.models.design import encode_rows
from ketameta.models.intervals import WaldTest, check_level, critical_value, wald_test
from ketameta.models.predictions import Predictions
from ketameta.models.regression_words import regression_lines
from ketameta.models.results import Caveat, DrawsBaujat, DrawsBubble, Result

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class MetaRegression(DrawsBubble, DrawsBaujat, Result):
    """Effects regressed on moderators; its repr is a small table.

    Attributes
    ----------
    model : {"random", "common"}
    k, p : int
        Studies and coefficients.
    names : tuple of str
        Of the coefficients, in order.
    estimate, se, statistic, p_value, ci_low, ci_high : ndarray of shape (p,)
        NaN in the last four only where a plain Knapp-Hartung standard error is 0.
    df : int or None
        Degrees of freedom of t; None for the normal distribution.
    covariance : ndarray of shape (p, p)
    tested, qm, qm_df, qm_df2, qm_p_value
        The test of moderators: names of the coefficients, chi-squared (``qm_df2`` None) or F.
    qe, qe_df, qe_p_value
        The test of residual heterogeneity.
    r2 : float or None
        Share of one; None without an intercept.
    tau2, tau2_se, tau2_ci_low, tau2_ci_high : float or None
        Residual between-study variance and its Q-profile interval.
    i2, h2 : float
        Residual, from tau-squared and the typical variance; i2 is a share of one.
    log_likelihood, deviance, aic, bic, aicc : float
    weights : ndarray of shape (k,)
    estimates, variances, design, labels
        The data; ``design`` has shape (k, p).
    terms : dict of str to tuple of str
        Coefficients of each term of the formula.
    formula, measure, tau2_method, ci_method, level, rule
        How the fit was made.
    caveats : tuple of Caveat
    """

    model: str
    k: int
    p: int
    names: tuple[str, ...]
    estimate: FloatArray
    se: FloatArray
    statistic: FloatArray
    df: int | None
    p_value: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    covariance: FloatArray
    tested: tuple[str, ...]
    qm: float | None
    qm_df: int
    qm_df2: int | None
    qm_p_value: float | None
    qe: float
    qe_df: int
    qe_p_value: float
    r2: float | None
    tau2: float | None
    tau2_se: float | None
    tau2_ci_low: float | None
    tau2_ci_high: float | None
    i2: float
    h2: float
    log_likelihood: float
    deviance: float
    aic: float
    bic: float
    aicc: float
    weights: FloatArray
    estimates: FloatArray
    variances: FloatArray
    design: FloatArray
    labels: tuple[str, ...]
    terms: dict[str, tuple[str, ...]]
    formula: str | None
    measure: str | None
    tau2_method: str | None
    ci_method: str
    level: float
    rule: str
    caveats: tuple[Caveat, ...]
    encoder: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Return every field but the encoder of the formula as JSON-ready Python."""
        bare = dataclasses.replace(self, encoder=None)
        fields = Result.to_dict(bare)
        del fields["encoder"]
        return fields

    @property
    def coefficients(self) -> pd.DataFrame:
        """One row per coefficient: estimate, se, statistic, df, p_value, ci_low, ci_high."""
        import pandas as pd

        columns = ("estimate", "se", "statistic", "p_value", "ci_low", "ci_high")
        frame = pd.DataFrame({name: getattr(self, name) for name in columns})
        frame.insert(3, "df", [self.df] * self.p)
        frame.insert(0, "term", list(self.names))
        return frame

    def tidy(self) -> pd.DataFrame:
        """Return the coefficients, one row each."""
        return self.coefficients

    def test(self, term: str | Sequence[str]) -> WaldTest:
        """Test that every coefficient of a term (or of a list of names) is 0."""
        wanted = self.terms.get(term, (term,)) if isinstance(term, str) else tuple(term)
        for name in wanted:
            check_choice("term", name, (*self.names, *self.terms))
        at = [self.names.index(name) for name in wanted]
        return wald_test(self.estimate, self.covariance, self.df, at)

    def predict(
        self, new: Any = None, level: float | None = None, method: str = "hts"
    ) -> Predictions:
        """Return mean effects and intervals at new values of the moderators.

        Parameters
        ----------
        new : DataFrame or array_like of shape (m, number of moderators), optional
            A frame for a fit by formula, otherwise rows without the intercept; the studies
            themselves when not given.
        level : float, optional
            The fit's own when not given.
        method : {"hts", "metafor"}
            Prediction intervals by t with k - p - 1 degrees of freedom (default), or metafor's: t
            with k - p, normal for a Wald fit.

        Raises
        ------
        UsageError, ImpossibleDataError
            Columns that do not fit the model, categories it has not seen, missing values.
        """
        check_choice("method", method, ("hts", "metafor"))
        level = self.level if level is None else check_level(level)
        rows: FloatArray = self.design
        outside: tuple[str, ...] = ()
        if new is not None:
            low, high = self.design.min(0).tolist(), self.design.max(0).tolist()
            ranges = dict(zip(self.names, zip(low, high, strict=True), strict=True))
            rows, outside = encode_rows(self.encoder, self.names, new, ranges)
        estimate = rows @ self.estimate
        se = np.sqrt(np.einsum("ij,jk,ik->i", rows, self.covariance, rows))
        half = critical_value(level, self.df) * se
        caveats = []
        if outside:
            caveats.append(
                Caveat(
                    "extrapolation",
                    f"{', '.join(outside)} lies outside the values of the studies.",
                )
            )
        pi_df = self.df if method == "metafor" else self.k - self.p - 1
        pi_low = pi_high = None
        if self.tau2 is None or (pi_df is not None and pi_df < 1) or not np.all(se > 0):
            pi_df = None
            why = (
                "The common-effect model has no distribution of true effects."
                if self.tau2 is None
                else f"{self.k} studies and {self.p} coefficients are too few to predict."
            )
            caveats.append(Caveat("no_prediction", why))
        else:
            spread = critical_value(level, pi_df) * np.sqrt(se**2 + self.tau2)
            pi_low, pi_high = estimate - spread, estimate + spread
        return Predictions(
            estimate,
            se,
            estimate - half,
            estimate + half,
            pi_low,
            pi_high,
            self.df,
            pi_df,
            level,
            tuple(caveats),
            self.measure,
        )

    def summary(self) -> str:
        """Return the printed table."""
        return regression_lines(self)
