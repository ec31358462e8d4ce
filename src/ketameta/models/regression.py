"""Meta-regression: how effects vary with what the studies were like.

The design matrix is in ``design``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Floats, frozen
from ketameta.effects.door import takes_effects
from ketameta.effects.table import Effects
from ketameta.errors import check_choice
from ketameta.formatting import (
    format_interval,
    format_percent,
    plural,
)
from ketameta.measures import CI_METHODS, Measure, measure_code, measure_entry
from ketameta.models.intervals import (
    WaldTest,
    check_level,
    critical_value,
    wald_test,
    weighted_least_squares,
)
from ketameta.models.mixed_model import Derived, MixedModel, fit_mixed_model
from ketameta.models.pooling import (
    METHOD_WORDS,
    decimals_for,
    heterogeneity_words,
    interval_cells,
    joint_words,
    measure_words,
    own_scale,
    plural_measure,
    reader_words,
    statistic_words,
)
from ketameta.models.results import (
    Caveat,
    Chapter,
    DrawsBaujat,
    DrawsBubble,
    Lazy,
    Line,
    Printed,
    Reports,
    Result,
    computed,
    group,
    interval_sentence,
)
from ketameta.models.tau2 import COMMON, ESTIMATORS, check_tau2_method, prepared, search_tau2
from ketameta.models.validation import (
    INTERCEPT,
    Design,
    build_design,
    checked_inputs,
    encode_rows,
    with_design,
)

if TYPE_CHECKING:
    import pandas as pd


def _coefficients(fit: MetaRegression) -> list[tuple[str, tuple[str, ...], str]]:
    """Return name, estimate and interval, and test of every coefficient, in words."""
    rows = []
    for j, name in enumerate(fit.names):
        digits = decimals_for(float(fit.se[j]))
        test = "no test"
        if fit.se[j] > 0:
            test = statistic_words(float(fit.statistic[j]), fit.df, float(fit.p_value[j]))
        # Coefficients of logarithms are logarithms of ratios; those of other scales stay.
        entry = measure_entry(fit.measure)
        ratio = entry is not None and entry.transformation == "log" and fit.se[j] > 0
        cells = interval_cells(
            fit.measure if ratio else None,
            float(fit.estimate[j]),
            float(fit.ci_low[j]) if fit.se[j] > 0 else None,
            float(fit.ci_high[j]),
            f"{100 * fit.level:g}%",
            digits,
        )
        rows.append((name, cells, test))
    return rows


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Predictions(Result):
    """Mean effects at new values of the moderators, arrays of shape (m,).

    Attributes
    ----------
    estimate, se, ci_low, ci_high : ndarray
    pi_low, pi_high : ndarray or None
        Where the true effect of a new study with these moderators is expected; None when withheld.
    df, pi_df : int, ndarray or None
        Degrees of freedom of the two; None for the normal distribution.
    level : float
    caveats : tuple of Caveat
    measure : str or None
    """

    framed: ClassVar[tuple[str, ...]] = (
        "estimate", "se", "ci_low", "ci_high", "pi_low", "pi_high"
    )  # fmt: skip

    estimate: Floats
    se: Floats
    ci_low: Floats
    ci_high: Floats
    pi_low: Floats | None
    pi_high: Floats | None
    df: int | Floats | None
    pi_df: int | Floats | None
    level: float
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    def printed(self) -> Printed:
        """Return one line per row."""
        share = f"{100 * self.level:g}%"
        lines = []
        for i, value in enumerate(self.estimate):
            digits = decimals_for(float(self.se[i]))
            low, high = float(self.ci_low[i]), float(self.ci_high[i])
            cells = interval_cells(self.measure, float(value), low, high, share, digits)
            if self.pi_low is not None and self.pi_high is not None:
                low, high = float(self.pi_low[i]), float(self.pi_high[i])
                read = reader_words(self.measure, float(value), low, high)
                bounds = format_interval(low, high, digits) if read is None else read[1]
                cells = (*cells, f"{share} PI {bounds}")
            lines.append(Line(f"row {i + 1}", cells))
        head = f"Predictions: {plural(len(self.estimate), 'row')}"
        return Printed(head, lines, caveats=self.caveats)


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class MetaRegression(Lazy, DrawsBubble, DrawsBaujat, Reports, Result):
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

    not_serialised: ClassVar[tuple[str, ...]] = ("encoder", "source")
    framed: ClassVar[tuple[str, ...]] = (
        "term=names", "estimate", "se", "statistic", "df", "p_value", "ci_low", "ci_high"
    )  # fmt: skip

    model: str
    k: int
    p: int
    names: tuple[str, ...]
    estimate: Floats
    se: Floats
    statistic: Floats
    df: int | None
    p_value: Floats
    ci_low: Floats
    ci_high: Floats
    covariance: Floats
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
    weights: Floats
    estimates: Floats
    variances: Floats
    design: Floats
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
    source: Effects | None = None

    @property
    def coefficients(self) -> pd.DataFrame:
        """One row per coefficient: estimate, se, statistic, df, p_value, ci_low, ci_high."""
        return self.to_frame()

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
        rows: Floats = self.design
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
            words = f"{', '.join(outside)} lies outside the values of the studies."
            caveats.append(Caveat("extrapolation", words))
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
            estimate, se, estimate - half, estimate + half, pi_low, pi_high, self.df, pi_df, level,
            tuple(caveats), self.measure,
        )  # fmt: skip

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years, for a methods section."""
        mixed = self.tau2_method is not None
        on = self.formula or ", ".join(name for name in self.names if name != INTERCEPT)
        words = [
            f"The {plural_measure(self.measure)}{own_scale(self.measure)} of {self.k} studies were"
            f" regressed on {on or 'an intercept'} in a"
            f" {'mixed-effects' if mixed else 'common-effect'} model (Thompson and Higgins 2002),"
            " weighted by inverse variances."
        ]
        if self.tau2_method is not None:
            words.append(
                f"The residual variance between studies (τ²) was estimated by"
                f" {ESTIMATORS[self.tau2_method].words}, with a Q-profile interval (Viechtbauer"
                " 2007)."
            )
        words.append(interval_sentence(self, "each coefficient"))
        if self.qm is not None:
            kind = "a Wald χ²" if self.qm_df2 is None else "an F"
            if self._joint == "moderators":
                words.append(f"The moderators were tested together by {kind} test.")
            elif self._joint:
                words.append(f"That {self._joint} was tested by {kind} test.")
        if self.r2 is not None:
            share = "share of the variance between studies that they explain (Raudenbush 2009)"
            share = share if mixed else "adjusted share of the weighted variance that they explain"
            words.append(f"R² is the {share}.")
        return computed(words)

    @property
    def _joint(self) -> str:
        """What the joint test is of: ``moderators``, or that all means or coefficients are zero.

        Empty where there are no moderators.
        """
        if INTERCEPT in self.names:
            return "moderators" if self.p > 1 else ""
        one_each = np.isin(self.design, (0, 1)).all() and (self.design.sum(1) == 1).all()
        return f"all {'means' if one_each else 'coefficients'} are zero"

    def _moderation(self) -> str:
        none = "no test of moderators: a standard error is 0"
        return joint_words(self.qm, self.qm_df, self.qm_df2, self.qm_p_value, none)

    def findings(self) -> Chapter:
        """Return what was found, in numbers; the second chapter of :meth:`report`."""
        explained = "" if self.r2 is None else f"; R² = {format_percent(self.r2, 1)}"
        ends = self.qe, self.qe_df, self.qe_p_value, f"{100 * self.level:g}% CI "
        lines = [f"Residual, between studies: {heterogeneity_words(self, *ends)}."]
        if self._joint:
            what = "the moderators" if self._joint == "moderators" else f"whether {self._joint}"
            lines.insert(0, f"Test of {what}: {self._moderation()}{explained}.")
        rows = [(name, ", ".join(cells), test) for name, cells, test in _coefficients(self)]
        return Chapter("Results", lines, [("Coefficient", "Estimate", "Test"), *rows])

    def printed(self) -> Printed:
        """Return the printed table."""
        how = [measure_words(self.measure), plural(self.k, "study", "studies")]
        how += [self.tau2_method or "common effect", METHOD_WORDS[self.ci_method]]
        lines = [Line(name, cells, test) for name, cells, test in _coefficients(self)]
        explained = "" if self.r2 is None else f", R² = {format_percent(self.r2, 1)}"
        if self._joint:
            lines.append(Line(self._joint, (f"{self._moderation()}{explained}",)))
        spread = heterogeneity_words(self, self.qe, self.qe_df, self.qe_p_value)
        lines.append(Line("residual", (spread,)))
        return Printed(f"MetaRegression: {', '.join(how)}", lines, caveats=self.caveats)


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
        :func:`~ketameta.random_effects`.
    moderators : data frame, or array_like of shape (k, m) or (k,)
        A frame with ``formula``, or numeric columns. After ``Effects`` or a frame also the formula
        itself or names of columns, of ``data=`` a frame where the effects came without one:
        ``meta_regression(effects, "~ dose", data=frame)``.
    formula : str, optional
        Such as ``"~ setting + dose"``; words become categories, the first of
        which (in order) is the reference.
    names : sequence of str, optional
        Of numeric columns; ``x1, x2, ...`` when not given.
    tau2_method : {"DL", "PM", "HE", "HS", "SJ", "ML", "REML", "EB", "common"}
        ``"common"`` for a model without residual heterogeneity.
    ci_method, level, labels, measure, repeated_labels
        As in :func:`~ketameta.random_effects`.
    intercept : bool
        Whether to put a column of ones before numeric columns.

    Returns
    -------
    MetaRegression

    Raises
    ------
    UsageError, ImpossibleDataError, NotEstimableError
        See :func:`~ketameta.models.validation.checked_inputs` and
        :func:`~ketameta.models.validation.build_design`; not more studies than coefficients, or a
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
    check_tau2_method(tau2_method, common=True)
    check_choice("ci_method", ci_method, CI_METHODS)
    level = check_level(level)
    plain = checked_inputs(estimates, variances, labels, repeated_labels=repeated_labels)
    design = build_design(moderators, formula, names, intercept=intercept, labels=plain.labels)
    y, v, matrix, known, columns = with_design(plain, design.matrix, design.names)
    k, p = matrix.shape
    common = tau2_method == COMMON
    fit = fit_mixed_model(y, v, matrix, tau2_method, ci_method, level)
    tested = tuple(name for name in columns if name != INTERCEPT) or columns
    inference = fit.inference
    at = [columns.index(name) for name in tested]
    moderation = wald_test(fit.coefficients, inference.covariance, inference.df, at)
    fields = {
        "model": "common" if common else "random",
        "k": k,
        "p": p,
        "names": columns,
        "estimate": frozen(fit.coefficients),
        "se": frozen(inference.se),
        "statistic": frozen(inference.statistic),
        "df": inference.df,
        "p_value": frozen(inference.p_value),
        "ci_low": frozen(inference.ci_low),
        "ci_high": frozen(inference.ci_high),
        "covariance": frozen(inference.covariance),
        "tested": tested,
        "qm": moderation.statistic,
        "qm_df": moderation.df,
        "qm_df2": moderation.df2,
        "qm_p_value": moderation.p_value,
        "tau2": None if common else fit.tau2.value,
        "weights": frozen(fit.w / fit.w.sum()),
        "estimates": frozen(y),
        "variances": frozen(v),
        "design": frozen(matrix),
        "labels": known,
        "terms": design.terms,
        "formula": formula,
        "measure": measure_code(measure),
        "tau2_method": None if common else tau2_method,
        "ci_method": ci_method,
        "level": level,
        "encoder": design.encoder,
        "source": None,
    }
    derived = Derived(fit, level, known)
    spread = ("q", "q_df", "q_p_value", "i2", "h2")
    groups = {
        **derived.groups(lambda: _lone_studies(matrix, design, known)),
        **group(
            ("qe", "qe_df", "qe_p_value", "i2", "h2"), partial(derived.heterogeneity_as, *spread)
        ),
        **group(("r2",), lambda: (_r2(y, v, columns, fit),)),
    }
    return MetaRegression.of(fields, groups)


def _r2(y: Floats, v: Floats, names: tuple[str, ...], fit: MixedModel) -> float | None:
    """Return the share of variance explained; None without an intercept to compare with."""
    k, p = fit.data.basis.shape
    if INTERCEPT not in names or p == 1:
        return None
    ones = np.ones((k, 1))
    if fit.tau2_method == COMMON:
        total = weighted_least_squares(y, ones, 1 / v).rss
        if total == 0:
            return 0.0
        return max(0.0, 1 - fit.least_squares.rss / total * (k - 1) / (k - p))
    data = prepared(y, v, ones)
    total = search_tau2(data, fit.tau2_method).value * data.scale**2
    return max(0.0, 1 - fit.tau2.value / total) if total > 0 else 0.0


def _lone_studies(matrix: Floats, design: Design, labels: tuple[str, ...]) -> tuple[Caveat, ...]:
    """Return a caveat that names each study that alone decides a coefficient."""
    q = np.linalg.qr(matrix)[0]
    found = []
    for i in np.flatnonzero((q * q).sum(1) > LONE_LEVERAGE):
        marks = ", ".join(_marks(matrix[i], design.names))
        others = np.delete(matrix, i, axis=0)
        one_kind = np.all(others == others[0], axis=0) & (others[0] != matrix[i])
        found.append(
            Caveat(
                "lone_study",
                f"{labels[i]} is the only study of its kind in the design ({marks}); its"
                " coefficient is that one study."
                if one_kind.any()
                else f"The regression passes through {labels[i]} ({marks}): without that one study"
                " a coefficient could not be estimated.",
            )
        )
    return tuple(found)


def _marks(row: Floats, names: tuple[str, ...]) -> list[str]:
    """Return what is true of a study, such as ``group[T.b]`` or ``dose = 3``."""
    words = [
        name if value == 1 else f"{name} = {value:g}"
        for name, value in zip(names, row.tolist(), strict=True)
        if value != 0 and name != INTERCEPT
    ]
    return words or ["all moderators 0"]
