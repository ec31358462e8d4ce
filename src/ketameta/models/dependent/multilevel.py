"""Several effects per study: the three-level model, and its working-model variants.

Equals metafor ``rma.mv(yi, V, random = ~ 1 | study/effect)``. The arrays are in ``likelihood``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats, frozen
from ketameta.effects.door import takes_effects
from ketameta.effects.table import Effects
from ketameta.errors import UsageError, check_choice
from ketameta.formatting import (
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_significant,
    plural,
)
from ketameta.measures import (
    FEW_STUDIES,
    MIN_STUDIES_PREDICTION,
    Measure,
    measure_code,
    measure_entry,
)
from ketameta.models.dependent.likelihood import (
    Evaluation,
    MultilevelData,
    Optimum,
    evaluate,
    maximise,
    multilevel_data,
    profile_interval,
)
from ketameta.models.intervals import check_level, prediction_bounds, two_sided_p, wald_test
from ketameta.models.pooling import (
    decimals_for,
    interval_cells,
    own_scale,
    plural_measure,
    reader_words,
    statistic_words,
)
from ketameta.models.regression import Predictions
from ketameta.models.results import (
    Caveat,
    Columns,
    Line,
    Printed,
    Reports,
    Result,
    computed,
    stated,
)
from ketameta.models.tau2 import ESTIMATORS
from ketameta.models.validation import INTERCEPT, encode_rows


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
    estimate: Floats
    se: Floats
    statistic: Floats
    df: Floats | None
    p_value: Floats
    ci_low: Floats
    ci_high: Floats
    covariance: Floats

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per coefficient in the column vocabulary."""
        columns = {name: np.asarray(values).tolist() for name, values in self.columns().items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def columns(self) -> Columns:
        """Return one row per coefficient, in the column vocabulary."""
        names = ("estimate", "se", "statistic", "df", "p_value", "ci_low", "ci_high")
        values = {name: getattr(self, name) for name in names}
        if self.df is None:
            values["df"] = [None] * len(self.names)
        return {"term": self.names, **values}

    def lines(self, level: float, measure: str | None = None) -> list[Line]:
        """Return one printed line per coefficient; differences of logarithms as ratios."""
        entry = measure_entry(measure)
        if entry is not None and entry.transformation != "log" and len(self.names) > 1:
            measure = None
        lines = []
        for row in self.rows():
            known = math.isfinite(row["se"])
            low, high = row["ci_low"] if known else None, row["ci_high"]
            ends = row["estimate"], low, high
            cells = interval_cells(measure, *ends, format_percent(level), decimals_for(row["se"]))
            test = statistic_words(row["statistic"] if known else None, row["df"], row["p_value"])
            lines.append(Line(row["term"], cells, test))
        return lines


def coefficient_table(
    names: Sequence[str],
    estimate: Floats,
    covariance: Floats,
    df: Floats | None,
    level: float,
) -> CoefficientTable:
    """Return tests and intervals from coefficients and their covariance.

    Shapes (p,), (p, p) and (p,); ``df`` is ``None`` for the normal distribution.
    """
    se = np.sqrt(np.diag(covariance))
    statistic = estimate / se
    half = critical_values(level, df) * se
    return CoefficientTable(
        names=tuple(names),
        estimate=frozen(estimate),
        se=frozen(se),
        statistic=frozen(statistic),
        df=None if df is None else frozen(df),
        p_value=frozen(two_sided_p(statistic, df)),
        ci_low=frozen(estimate - half),
        ci_high=frozen(estimate + half),
        covariance=frozen(covariance),
    )


def critical_values(level: float, df: float | Floats | None) -> Floats:
    """Return two-sided critical values of t, or the normal one without df."""
    upper = 0.5 + level / 2
    return np.asarray(special.ndtri(upper) if df is None else special.stdtrit(df, upper))


def predictions(
    fit: Any, covariance: Floats, new: Any, level: float | None, df_of: Callable[[Floats], Any]
) -> Predictions:
    """Return the means of a fit at new values, without prediction intervals.

    ``df_of`` gives the degrees of freedom of rows of the design, None for the normal distribution.
    """
    level = fit.level if level is None else check_level(level)
    names, rows = fit.coefficients.names, fit.design
    caveats: tuple[Caveat, ...] = ()
    if new is not None:
        ends = fit.design.min(0).tolist(), fit.design.max(0).tolist()
        ranges = dict(zip(names, zip(*ends, strict=True), strict=True))
        rows, outside = encode_rows(fit.encoder, names, new, ranges)
        if outside:
            words = f"{', '.join(outside)} lies outside the values of the studies."
            caveats = (Caveat("extrapolation", words),)
    df, estimate = df_of(rows), rows @ fit.coefficients.estimate
    se = np.sqrt(np.einsum("ij,jk,ik->i", rows, covariance, rows))
    half = critical_values(level, df) * se
    return Predictions(
        frozen(estimate), frozen(se), frozen(estimate - half), frozen(estimate + half), None, None,
        df, None, level, caveats, fit.measure,
    )  # fmt: skip


class OneMean:
    """A result of coefficients whose only one, where there is one, is the mean effect."""

    __slots__ = ()
    coefficients: CoefficientTable
    #: What stands beside every coefficient in a frame.
    beside: ClassVar[tuple[str, ...]]

    def columns(self) -> Columns:
        """Return one row per coefficient."""
        many = len(self.coefficients.names)
        more = {name: [getattr(self, name)] * many for name in self.beside}
        return {**self.coefficients.columns(), **more}

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


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class MultilevelFit(OneMean, Reports, Result):
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

    not_serialised: ClassVar[tuple[str, ...]] = ("sampling_blocks", "encoder", "source")
    beside: ClassVar[tuple[str, ...]] = ("k", "m", "method", "level")

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
    weights: Floats | None
    optima_starts: int
    optima_gap: float | None
    estimates: Floats
    variances: Floats
    design: Floats
    labels: tuple[str, ...]
    study: tuple[str, ...]
    sampling_blocks: tuple[Floats, ...]
    rho: float | None
    method: str
    ci_method: str
    level: float
    caveats: tuple[Caveat, ...]
    measure: str | None = None
    encoder: Any = None
    source: Effects | None = None

    @property
    def tau2(self) -> float:
        """Total variance of true effects: between studies plus within."""
        return self.sigma2_study + self.sigma2_effect

    def predict(self, new: Any = None, level: float | None = None) -> Predictions:
        """Return mean effects and intervals at new values of the moderators.

        Parameters
        ----------
        new : mapping, data frame or array_like of shape (m, number of moderators), optional
            Such as ``{"dose": [20, 50], "setting": "b"}``; rows without the intercept where it is
            an array; the effects themselves when not given.
        level : float, optional
            The fit's own when not given.

        Returns
        -------
        Predictions
            Its prediction intervals are of the true effect of a new effect in a new study, from
            three studies on; printed on the scale that is read.

        Raises
        ------
        UsageError, ImpossibleDataError
            Columns that do not fit the model, categories it has not seen, missing values.

        Notes
        -----
        Equal to metafor's ``predict(fit, newmods=)``: of the degrees of freedom of the coefficients
        that take part in a row the least are used.
        """
        table = self.coefficients

        def least_df(rows: Floats) -> Floats | None:
            return (
                None if table.df is None else np.array([table.df[row != 0].min() for row in rows])
            )

        found = predictions(self, table.covariance, new, level, least_df)
        if self.m < MIN_STUDIES_PREDICTION:
            words = f"{plural(self.m, 'study', 'studies')} are too few to predict."
            return dataclasses.replace(
                found, caveats=(*found.caveats, Caveat("no_prediction", words))
            )
        reach = np.sqrt(found.se**2 + self.tau2) * critical_values(found.level, found.df)
        return dataclasses.replace(
            found,
            pi_low=frozen(found.estimate - reach),
            pi_high=frozen(found.estimate + reach),
            pi_df=found.df,
        )

    def working_blocks(self) -> list[tuple[NDArray[np.intp], Floats]]:
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

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years."""
        moderated = [name for name in self.coefficients.names if name != INTERCEPT]
        words = [
            f"The {self.k} {plural_measure(self.measure)}{own_scale(self.measure)} of"
            f" {plural(self.m, 'study', 'studies')} were"
            f" {'regressed on ' + ', '.join(moderated) if moderated else 'pooled'} in a three-level"
            " model (Konstantopoulos 2011).",
            "The variances between and within studies were estimated by"
            f" {ESTIMATORS[self.method].words}.",
        ]
        if self.rho is not None:
            words.append(
                f"Sampling errors within a study were assumed to correlate by {self.rho:g}"
                " (Pustejovsky and Tipton 2022)."
            )
        df = self.coefficients.df
        how = "normal" if df is None else f"from t with {df.min():g} degrees of freedom or more"
        words.append(f"Intervals of {format_percent(self.level)} are {how}.")
        return computed(words)

    def printed(self) -> Printed:
        """Return the sentence, the coefficients and the variances."""
        lines = self.coefficients.lines(self.level, self.measure)
        if self.pi_low is not None:
            digits = decimals_for(self.se)
            read = reader_words(self.measure, self.estimate, self.pi_low, self.pi_high)
            bounds = format_interval(self.pi_low, self.pi_high, digits)
            bounds = bounds if read is None else read[1]
            lines.append(Line("next effect", (f"{format_percent(self.level)} PI {bounds}",)))
        spread = {
            "between": (self.sigma2_study, self.sigma2_study_low, self.sigma2_study_high),
            "within": (self.sigma2_effect, self.sigma2_effect_low, self.sigma2_effect_high),
        }
        for where, (value, low, high) in spread.items():
            words = f"σ² = {format_significant(value)} ({_limits(low, high)})"
            lines.append(Line(f"{where} studies", (words,)))
        words = (
            f"I² = {format_percent(self.i2, 1)} ({format_percent(self.i2_study, 1)} between,"
            f" {format_percent(self.i2_effect, 1)} within studies),"
            f" Q({self.qe_df}) = {format_number(self.qe, 1)}, {format_p(self.qe_p_value)}"
        )
        lines.append(Line("in all", (words,)))
        if self.qm is not None and self.qm_df is not None:
            name = "χ²" if self.qm_df_denominator is None else "F"
            below = "" if self.qm_df_denominator is None else f", {self.qm_df_denominator:g}"
            test = f"{name}({self.qm_df}{below}) = {format_number(self.qm)}"
            lines.append(Line("moderators", (f"{test}, {format_p(self.qm_p_value)}",)))
        working = "" if self.rho is None else f", within-study correlation {self.rho:g} assumed"
        head = (
            f"Three-level model: {plural(self.k, 'effect')} in"
            f" {plural(self.m, 'study', 'studies')}, {self.method}{working}"
        )
        return Printed(head, lines, caveats=self.caveats)


def _limits(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "interval not computed"
    upper = "no upper limit" if high is None else format_significant(high)
    return f"{format_significant(low)} to {upper}"


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
        first = np.array([np.flatnonzero(data.groups == g)[0] for g in range(m)])
        constant_within = np.all(data.design == data.design[first][data.groups], axis=0)
        df = np.maximum(np.where(constant_within, m, k) - p, 1).astype(np.float64)
    return coefficient_table(data.names, estimate, covariance, df, level)


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
    least = None if table.df is None else int(table.df[tested].min())
    found = wald_test(table.estimate, table.covariance, least, tested)
    return found.statistic, found.df, None if least is None else float(least), found.p_value


def i2_by_level(data: MultilevelData, fixed: Evaluation, variances: Floats) -> Floats:
    """Return I-squared by level, from the typical sampling variance (Higgins-Thompson eq. 9)."""
    trace = float((1 / data.rotated.eigenvalues).sum())
    weighted = data.rotated.basis / data.rotated.eigenvalues[:, None]
    trace -= float(np.trace(np.linalg.solve(fixed.cross_products[0], weighted.T @ weighted)))
    typical = (data.y.size - len(data.names)) / trace
    return variances / (variances.sum() + typical)


def effect_weights(data: MultilevelData, optimum: Optimum) -> Floats:
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
    found = [
        (
            m < FEW_STUDIES,
            "few_studies",
            f"The variance between studies rests on {plural(m, 'study', 'studies')}.",
        )
    ]
    for variance, (low, high), where in zip(
        optimum.variances, limits, ("between", "within"), strict=True
    ):
        found += [
            (
                variance == 0,
                f"boundary_{where}_studies",
                f"The variance {where} studies is estimated as zero, the edge of what is possible;"
                " that is weak evidence that there is none.",
            ),
            (
                low is not None and high is None,
                f"unbounded_{where}_studies",
                f"The data give no upper limit to the variance {where} studies.",
            ),
        ]
    return stated(
        *found,
        (optimum.gap is not None, "several_optima",
         "The likelihood has more than one optimum; the best was taken, the next is"
         f" {optimum.gap or 0:.3g} log units below it."),
        (not optimum.converged, "not_converged",
         "The search for the variances did not settle completely."),
    )  # fmt: skip


MultilevelMethod = Literal["REML", "ML"]
MULTILEVEL_METHODS = ("REML", "ML")
MultilevelCi = Literal["t-contain", "t", "wald"]
MULTILEVEL_CI_METHODS = ("t-contain", "t", "wald")


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
        :func:`~ketameta.random_effects`. Then ``study``, ``effect`` and
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
        :func:`ketameta.robust`.
    level : float, default: 0.95
    sampling_covariance : array_like of shape (k, k), or list of arrays, optional
        Covariances of sampling errors within studies, such as those of a shared control arm (see
        :mod:`ketameta.models.dependent.sampling_covariance`); zero between studies, ``variances``
        on the diagonal. A list has one matrix per study, in order of first appearance.
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
    prediction: tuple[float | None, float | None] = None, None
    if only_intercept and m >= MIN_STUDIES_PREDICTION:
        mean = float(coefficients.estimate[0]), float(coefficients.se[0])
        df = None if coefficients.df is None else float(coefficients.df[0])
        prediction = prediction_bounds(*mean, float(variances_found.sum()), df, level)
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
        encoder=data.encoder,
    )
