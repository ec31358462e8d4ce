"""What multilevel and robust fits hand back, and the lines they print. Computes no estimate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ketameta.errors import UsageError
from ketameta.models.dependence_inputs import frozen
from ketameta.models.fit_words import decimals_for, interval_words, reader_words
from ketameta.models.results import Caveat, Result, plain
from ketameta.numberformat import (
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_significant,
    plural,
)
from ketameta.vocabulary import measure_entry

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CoefficientTable:
    """Coefficients with their tests and intervals, one value per column of the design.

    Attributes
    ----------
    names : tuple of str
    estimate, se, statistic, p_value, ci_low, ci_high : ndarray of shape (p,)
        ``estimate`` in the unit of the effect (per unit of the moderator).
    df : ndarray of shape (p,) or None
        Degrees of freedom of t; ``None`` for the normal distribution.
    covariance : ndarray of shape (p, p)
    """

    names: tuple[str, ...]
    estimate: FloatArray
    se: FloatArray
    statistic: FloatArray
    df: FloatArray | None
    p_value: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    covariance: FloatArray

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per coefficient in the column vocabulary."""
        return [
            {
                "term": name,
                "estimate": float(self.estimate[j]),
                "se": float(self.se[j]),
                "statistic": float(self.statistic[j]),
                "df": None if self.df is None else float(self.df[j]),
                "p_value": float(self.p_value[j]),
                "ci_low": float(self.ci_low[j]),
                "ci_high": float(self.ci_high[j]),
            }
            for j, name in enumerate(self.names)
        ]

    def lines(self, level: float, measure: str | None = None) -> list[str]:
        """Return one printed line per coefficient; differences of logarithms as ratios."""
        entry = measure_entry(measure)
        if entry is not None and entry.transformation != "log" and len(self.names) > 1:
            measure = None
        width = max(len(name) for name in self.names)
        lines = []
        for row in self.rows():
            test = "z" if row["df"] is None else f"t({format_number(row['df'], 1)})"
            digits = decimals_for(row["se"])
            words = interval_words(
                measure,
                row["estimate"],
                row["ci_low"],
                row["ci_high"],
                format_percent(level),
                digits,
            )
            lines.append(
                f"  {row['term']:<{width}}  {words}"
                f"   {test} = {format_number(row['statistic'])}, {format_p(row['p_value'])}"
            )
        return lines


def coefficient_table(
    names: Sequence[str],
    estimate: FloatArray,
    covariance: FloatArray,
    df: FloatArray | None,
    level: float,
) -> CoefficientTable:
    """Return tests and intervals from coefficients and their covariance.

    Shapes (p,), (p, p) and (p,); ``df`` is ``None`` for the normal distribution.
    """
    se = np.sqrt(np.diag(covariance))
    statistic = estimate / se
    upper = 0.5 + level / 2
    critical: FloatArray
    p_value: FloatArray
    if df is None:
        critical = np.full(se.shape, special.ndtri(upper))
        p_value = np.asarray(special.erfc(np.abs(statistic) / math.sqrt(2)))
    else:
        critical = np.asarray(special.stdtrit(df, upper), dtype=np.float64)
        p_value = np.asarray(special.betainc(df / 2, 0.5, df / (df + statistic**2)))
    return CoefficientTable(
        names=tuple(names),
        estimate=frozen(estimate),
        se=frozen(se),
        statistic=frozen(statistic),
        df=None if df is None else frozen(df),
        p_value=frozen(p_value),
        ci_low=frozen(estimate - critical * se),
        ci_high=frozen(estimate + critical * se),
        covariance=frozen(covariance),
    )


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class MultilevelFit(Result):
    """A three-level meta-analysis: effects within studies.

    Attributes
    ----------
    k, m : int
        Numbers of effects and of studies.
    coefficients : CoefficientTable
    sigma2_study, sigma2_effect : float
        Variance between studies, and between effects within a study.
    sigma2_study_low, sigma2_study_high, sigma2_effect_low, sigma2_effect_high : float or None
        Profile-likelihood intervals; an upper limit is ``None`` where the profile does not fall.
    i2, i2_study, i2_effect : float
        Share of the variance of a typical effect that is not sampling error, in all and by level.
    pi_low, pi_high : float or None
        Prediction interval of the true effect of a new effect in a new study; intercept-only fits
        with at least three studies.
    qe, qe_df, qe_p_value : float, int, float
        Test that both variances are 0.
    qm, qm_df, qm_df_denominator, qm_p_value : float, int, float, float or None
        Test of all moderators (all coefficients without an intercept); ``None`` without any.
    log_likelihood, deviance, aic, bic, aicc : float
        Restricted for REML; the deviance of ML is relative to the saturated model, as in metafor.
    weights : ndarray of shape (k,) or None
        Shares of one in an intercept-only estimate.
    optima_starts : int
        Hills of the likelihood that were climbed.
    optima_gap : float or None
        Log-likelihood between the best optimum and the next; ``None`` when there is only one.
    estimates, variances, design, labels, study
        As given: (k,), (k,), (k, p), effect labels and study labels.
    sampling_blocks : tuple of ndarray
        Sampling covariance of each study, in order of appearance, a vector where independent.
    rho : float or None
        The assumed correlation of sampling errors within a study, where one was assumed.
    method, ci_method : str
    level : float
    caveats : tuple of Caveat
    measure : str or None
        Code of the effect measure.
    """

    k: int
    m: int
    coefficients: CoefficientTable
    sigma2_study: float
    sigma2_effect: float
    sigma2_study_low: float | None
    sigma2_study_high: float | None
    sigma2_effect_low: float | None
    sigma2_effect_high: float | None
    i2: float
    i2_study: float
    i2_effect: float
    pi_low: float | None
    pi_high: float | None
    qe: float
    qe_df: int
    qe_p_value: float
    qm: float | None
    qm_df: int | None
    qm_df_denominator: float | None
    qm_p_value: float | None
    log_likelihood: float
    deviance: float
    aic: float
    bic: float
    aicc: float
    weights: FloatArray | None
    optima_starts: int
    optima_gap: float | None
    estimates: FloatArray
    variances: FloatArray
    design: FloatArray
    labels: tuple[str, ...]
    study: tuple[str, ...]
    sampling_blocks: tuple[FloatArray, ...]
    rho: float | None
    method: str
    ci_method: str
    level: float
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    def _only(self, name: str) -> float:
        if len(self.coefficients.names) > 1:
            raise UsageError(f"{name} is one number per coefficient here; see .coefficients")
        return float(getattr(self.coefficients, name)[0])

    @property
    def estimate(self) -> float:
        """Mean effect (intercept-only fits)."""
        return self._only("estimate")

    @property
    def se(self) -> float:
        """Standard error of the mean effect (intercept-only fits)."""
        return self._only("se")

    @property
    def p_value(self) -> float:
        """P-value of the mean effect (intercept-only fits)."""
        return self._only("p_value")

    @property
    def ci_low(self) -> float:
        """Lower end of the interval of the mean effect (intercept-only fits)."""
        return self._only("ci_low")

    @property
    def ci_high(self) -> float:
        """Upper end of the interval of the mean effect (intercept-only fits)."""
        return self._only("ci_high")

    @property
    def tau2(self) -> float:
        """Total variance of true effects: between studies plus within."""
        return self.sigma2_study + self.sigma2_effect

    def working_blocks(self) -> list[tuple[NDArray[np.intp], FloatArray]]:
        """Return row positions and model covariance of each study; what a sandwich needs."""
        groups: dict[str, list[int]] = {}
        for row, label in enumerate(self.study):
            groups.setdefault(label, []).append(row)
        blocks = []
        for rows, sampling in zip(groups.values(), self.sampling_blocks, strict=True):
            matrix = np.diag(sampling) if sampling.ndim == 1 else np.array(sampling)
            matrix = matrix + self.sigma2_study
            matrix[np.diag_indices_from(matrix)] += self.sigma2_effect
            blocks.append((np.array(rows, dtype=np.intp), matrix))
        return blocks

    def summary(self) -> str:
        """Return the sentence, the coefficients and the variances."""
        working = "" if self.rho is None else f", within-study correlation {self.rho:g} assumed"
        lines = [
            f"<Three-level model: {plural(self.k, 'effect')} in"
            f" {plural(self.m, 'study', 'studies')}, {self.method}{working}>",
            *self.coefficients.lines(self.level, self.measure),
        ]
        if self.pi_low is not None:
            digits = decimals_for(self.se)
            read = reader_words(self.measure, self.estimate, self.pi_low, self.pi_high)
            bounds = format_interval(self.pi_low, self.pi_high, digits)
            bounds = bounds if read is None else read[1]
            lines.append(f"  next effect  {format_percent(self.level)} PI {bounds}")
        lines.append(
            f"  between studies  σ² = {format_significant(self.sigma2_study)}"
            f" ({_limits(self.sigma2_study_low, self.sigma2_study_high)}),"
            f" within studies  σ² = {format_significant(self.sigma2_effect)}"
            f" ({_limits(self.sigma2_effect_low, self.sigma2_effect_high)})"
        )
        lines.append(
            f"  I² = {format_percent(self.i2, 1)} ({format_percent(self.i2_study, 1)} between,"
            f" {format_percent(self.i2_effect, 1)} within studies),"
            f" Q({self.qe_df}) = {format_number(self.qe, 1)}, {format_p(self.qe_p_value)}"
        )
        if self.qm is not None and self.qm_df is not None:
            name = "χ²" if self.qm_df_denominator is None else "F"
            below = "" if self.qm_df_denominator is None else f", {self.qm_df_denominator:g}"
            lines.append(
                f"  moderators  {name}({self.qm_df}{below}) = {format_number(self.qm)},"
                f" {format_p(self.qm_p_value)}"
            )
        return "\n".join(lines + [f"  note: {caveat.message}" for caveat in self.caveats])

    def to_dict(self) -> dict[str, Any]:
        """Return every field but the sampling covariances, which the inputs determine."""
        return {
            field.name: plain(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.name != "sampling_blocks"
        }

    def tidy(self) -> pd.DataFrame:
        """Return one row per coefficient."""
        import pandas as pd

        shared = {"k": self.k, "m": self.m, "method": self.method, "level": self.level}
        return pd.DataFrame([row | shared for row in self.coefficients.rows()])


def _limits(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "interval not computed"
    upper = "no upper limit" if high is None else format_significant(high)
    return f"{format_significant(low)} to {upper}"
