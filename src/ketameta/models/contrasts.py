"""Questions to a fitted regression: linear contrasts, marginal means, comparisons of models."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import Floats, as_numbers, frozen
from ketameta.errors import NotEstimableError, UsageError, check_choice
from ketameta.formatting import format_number, format_p, format_significant, plural
from ketameta.measures import measure_entry
from ketameta.models.dependent.multilevel import CoefficientTable, MultilevelFit, coefficient_table
from ketameta.models.intervals import WaldTest, check_level, holm, wald_test
from ketameta.models.pooling import RandomEffects, interval_cells, joint_words, measure_words
from ketameta.models.pooling import decimals_for as decimals
from ketameta.models.pooling import statistic_words as test_words
from ketameta.models.regression import MetaRegression
from ketameta.models.results import (
    Caveat,
    Columns,
    DrawsForest,
    Line,
    Printed,
    Result,
    columns_of,
)
from ketameta.models.validation import categories, encode_rows

if TYPE_CHECKING:
    from ketameta.models.dose import DoseResponse

#: Fits that have several coefficients with a covariance.
Fit: TypeAlias = "MetaRegression | MultilevelFit | DoseResponse"
#: Weights of one contrast by the name of the coefficient.
Weights: TypeAlias = Mapping[str, float]
#: Share of its length by which a column may miss the space of others and still lie in it.
IN_SPACE = 1e-9


class _Parts(NamedTuple):
    names: tuple[str, ...]
    estimate: Floats
    covariance: Floats
    df: Floats | None


def _parts(fit: Fit) -> _Parts:
    if isinstance(fit, MetaRegression):
        df = None if fit.df is None else np.full(fit.p, float(fit.df))
        return _Parts(fit.names, fit.estimate, fit.covariance, df)
    table = getattr(fit, "coefficients", None)
    if not isinstance(table, CoefficientTable) or hasattr(fit, "joint"):
        raise UsageError(
            "contrasts are of meta_regression(), multilevel(), che() or dose_response(), not of"
            f" {type(fit).__name__}; for robust inference code the moderator so that the contrast"
            " is a coefficient"
        )
    return _Parts(table.names, table.estimate, table.covariance, table.df)


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Contrasts(DrawsForest, Result):
    """Linear combinations of the coefficients of a fit, one row each.

    Attributes
    ----------
    kind : {"contrast", "marginal mean"}
    table : CoefficientTable
        Names, estimates, standard errors, tests, intervals and covariance, shape (m,).
    weights : ndarray of shape (m, p)
        Of the coefficients.
    coefficients : tuple of str
        Names of the p coefficients.
    p_adjusted : ndarray of shape (m,)
        P-values by Holm's method over the rows.
    joint : WaldTest or None
        That all combinations are 0; None where some follow from others.
    level : float
    measure : str or None
    caveats : tuple of Caveat
    """

    kind: str
    table: CoefficientTable
    weights: Floats
    coefficients: tuple[str, ...]
    p_adjusted: Floats
    joint: WaldTest | None
    level: float
    measure: str | None
    caveats: tuple[Caveat, ...]

    @property
    def estimate(self) -> Floats:
        """Estimates, shape (m,)."""
        return self.table.estimate

    @property
    def ci_low(self) -> Floats:
        """Lower ends of the intervals, shape (m,)."""
        return self.table.ci_low

    @property
    def ci_high(self) -> Floats:
        """Upper ends of the intervals, shape (m,)."""
        return self.table.ci_high

    def differences(self) -> Contrasts:
        """Return every row less every earlier one, such as the differences of marginal means."""
        pairs = list(itertools.combinations(range(len(self.weights)), 2))
        if not pairs:
            raise UsageError("there is one row; differences need two")
        names = [f"{self.table.names[j]} - {self.table.names[i]}" for i, j in pairs]
        turn = np.zeros((len(pairs), len(self.weights)))
        for row, (i, j) in enumerate(pairs):
            turn[row, [i, j]] = -1.0, 1.0
        df = None if self.table.df is None else turn_df(turn, self.table.df)
        covariance = turn @ self.table.covariance @ turn.T
        table = coefficient_table(names, turn @ self.estimate, covariance, df, self.level)
        return _contrasts("contrast", table, turn @ self.weights, self)

    def printed(self) -> Printed:
        """Return one line per row, and the joint test."""
        entry = measure_entry(self.measure)
        ratio = entry is not None and entry.transformation == "log"
        read = self.measure if ratio or self.kind == "marginal mean" else None
        lines = []
        for row, adjusted in zip(self.table.rows(), self.p_adjusted.tolist(), strict=True):
            ends = row["estimate"], row["ci_low"], row["ci_high"]
            cells = interval_cells(read, *ends, f"{100 * self.level:g}%", decimals(row["se"]))
            test = test_words(row["statistic"], _whole(row["df"]), row["p_value"])
            if self.kind == "contrast" and len(self.weights) > 1:
                test += f" (Holm {format_p(adjusted)})"
            lines.append(Line(row["term"], cells, "" if self.kind == "marginal mean" else test))
        if self.joint is not None and self.joint.statistic is not None and len(lines) > 1:
            lines.append(Line("all zero", (joint_words(*self.joint, ""),)))
        head = f"{plural(len(self.weights), self.kind)}, {measure_words(self.measure)}"
        return Printed(f"Contrasts: {head}", lines, caveats=self.caveats)

    def columns(self) -> Columns:
        """Return one row per combination."""
        return {**self.table.columns(), "p_adjusted": self.p_adjusted}


def _whole(df: float | None) -> float | None:
    return int(df) if df is not None and df == round(df) else df


def turn_df(weights: Floats, df: Floats) -> Floats:
    """Return the degrees of freedom of combinations: the least of those that take part."""
    return np.array([df[row != 0].min() for row in weights])


def _contrasts(kind: str, table: CoefficientTable, weights: Floats, like: Any) -> Contrasts:
    joint = None
    if np.linalg.matrix_rank(weights) == len(weights) and kind == "contrast":
        least = None if table.df is None else int(table.df.min())
        joint = wald_test(table.estimate, table.covariance, least, range(len(weights)))
    names = like.coefficients if isinstance(like, Contrasts) else _parts(like).names
    return Contrasts(
        kind=kind,
        table=table,
        weights=frozen(weights),
        coefficients=names,
        p_adjusted=frozen(holm(table.p_value)),
        joint=joint,
        level=like.level if isinstance(like, Contrasts) else float(like.level),
        measure=like.measure,
        caveats=like.caveats if isinstance(like, Contrasts) else (),
    )


def linear_contrasts(
    fit: Fit,
    weights: Weights | Mapping[str, Weights] | Sequence[Weights] | ArrayLike,
    names: Sequence[str] | None = None,
    level: float | None = None,
) -> Contrasts:
    """Estimate and test linear combinations of the coefficients of a fit.

    Parameters
    ----------
    fit : MetaRegression, MultilevelFit or DoseResponse
    weights : mapping, sequence of mappings, or array_like of shape (m, p) or (p,)
        ``{"setting[T.b]": 1, "setting[T.c]": -1}`` is one contrast; a mapping or a list of such
        mappings is several; so is an array with a column per coefficient.
    names : sequence of str, optional
        Of the contrasts; written out from the weights when not given.
    level : float, optional
        The fit's own when not given.

    Returns
    -------
    Contrasts
        With the p-values adjusted by Holm's method beside, and a joint test where no contrast
        follows from the others.

    Raises
    ------
    UsageError
        A coefficient that the fit does not have (the nearest is named), a wrong number of columns,
        a contrast of zeros, or a robust fit.

    Notes
    -----
    ``L b`` with covariance ``L C L'``, tested by the distribution of the fit: equal to metafor's
    ``anova(fit, X = L)``. Where coefficients have their own degrees of freedom the least of those
    that take part are used, as metafor does.

    Examples
    --------
    >>> from ketameta import meta_regression
    >>> data = {"setting": list("aabbcc"), "dose": [1, 2, 1, 3, 2, 2]}
    >>> y, v = [0.1, 0.3, 0.4, 0.6, 0.2, 0.3], [0.03, 0.04, 0.05, 0.02, 0.03, 0.04]
    >>> fit = meta_regression(y, v, data, "~ setting", tau2_method="DL")
    >>> found = linear_contrasts(fit, {"setting[T.b]": 1, "setting[T.c]": -1})
    >>> round(float(found.estimate[0]), 3)
    0.3
    """
    parts = _parts(fit)
    matrix, own = _weight_matrix(weights, parts.names)
    if names is not None:
        own = [str(name) for name in ([names] if isinstance(names, str) else names)]
        if len(own) != len(matrix):
            raise UsageError(f"names has {len(own)} values and there are {len(matrix)} contrasts")
    zero = np.flatnonzero(~matrix.any(axis=1))
    if zero.size:
        raise UsageError(f"weights[{int(zero[0])}] is all zeros, which asks nothing")
    return _combined("contrast", fit, matrix, own, level)


def _combined(
    kind: str, fit: Fit, matrix: Floats, names: Sequence[str], level: float | None
) -> Contrasts:
    parts = _parts(fit)
    level = float(fit.level) if level is None else check_level(level)
    df = None if parts.df is None else turn_df(matrix, parts.df)
    covariance = matrix @ parts.covariance @ matrix.T
    table = coefficient_table(names, matrix @ parts.estimate, covariance, df, level)
    return dataclasses.replace(_contrasts(kind, table, matrix, fit), level=level)


def _weight_matrix(weights: Any, known: tuple[str, ...]) -> tuple[Floats, list[str]]:
    """Return contrasts as rows over the coefficients, and their names."""
    named: list[tuple[str, Weights]]
    if isinstance(weights, Mapping):
        inner = all(isinstance(value, Mapping) for value in weights.values()) and weights
        named = [(str(n), w) for n, w in weights.items()] if inner else [("", weights)]
    elif isinstance(weights, Sequence) and all(isinstance(item, Mapping) for item in weights):
        named = [("", item) for item in weights]
    else:
        matrix = np.atleast_2d(as_numbers("weights", weights))
        if matrix.shape[1] != len(known):
            raise UsageError(
                f"weights has {matrix.shape[1]} columns; give {len(known)}: {', '.join(known)}"
            )
        named = [("", dict(zip(known, row, strict=True))) for row in matrix.tolist()]
    rows, names = np.zeros((len(named), len(known))), []
    for i, (name, item) in enumerate(named):
        for term, value in item.items():
            check_choice("weights", term, known)
            rows[i, known.index(term)] = float(as_numbers("weights", value))
        names.append(name or _written(rows[i], known))
    return rows, names


def _written(row: Floats, known: tuple[str, ...]) -> str:
    """Return a contrast as a sum, such as ``dose - 2 age``."""
    words = ""
    for value, name in zip(row.tolist(), known, strict=True):
        if value:
            size = "" if abs(value) == 1 else f"{abs(value):g} "
            sign = "-" if value < 0 else "+"
            start = "-" if value < 0 else ""
            words += f" {sign} {size}{name}" if words else f"{start}{size}{name}"
    return words


def marginal_means(
    fit: MetaRegression | MultilevelFit,
    term: str,
    at: Mapping[str, float | str] | None = None,
    level: float | None = None,
) -> Contrasts:
    """Return the mean effect at each level of a category, averaged over the other moderators.

    Parameters
    ----------
    fit : MetaRegression or MultilevelFit
        By formula.
    term : str
        A category of the formula, by the name of its column.
    at : mapping, optional
        Values at which other moderators are held. When not given, numbers are at their mean and
        categories are averaged, every level with the same weight.
    level : float, optional

    Returns
    -------
    Contrasts
        One row per level; ``.differences()`` compares them.

    Raises
    ------
    UsageError
        A fit without a formula, a term that is no category of it, a number that enters only
        transformed and is not in ``at``.

    Notes
    -----
    The predictions of the reference grid of all levels, averaged (Searle, Speed and Milliken 1980,
    Am. Stat. 34, 216-221); R's emmeans gives the same with its defaults. Printed on the scale that
    is read; the average is taken on the scale that is pooled.

    Examples
    --------
    >>> from ketameta import meta_regression
    >>> data = {"setting": list("aabbcc"), "dose": [1, 2, 1, 3, 2, 2]}
    >>> y, v = [0.1, 0.3, 0.4, 0.6, 0.2, 0.3], [0.03, 0.04, 0.05, 0.02, 0.03, 0.04]
    >>> fit = meta_regression(y, v, data, "~ setting + dose", tau2_method="DL")
    >>> marginal_means(fit, "setting").estimate.round(3).tolist()
    [0.234, 0.471, 0.223]
    """
    encoder = getattr(fit, "encoder", None)
    if encoder is None:
        raise UsageError(
            "marginal means need a fit by formula, such as meta_regression(effects, '~ setting +"
            " dose'); for numeric columns use linear_contrasts()"
        )
    import pandas as pd

    levels, names = categories(encoder), _parts(fit).names
    if not levels:
        raise UsageError(
            f"term is {term!r}, and the formula has no category ({', '.join(names)}); the mean at"
            " a number is .predict()"
        )
    check_choice("term", term, tuple(levels))
    held = dict(at or {})
    for name in held:
        check_choice("at", name, [str(v) for v in encoder.required_variables if v != term])
    grid: dict[str, Sequence[object]] = {term: levels[term]}
    for name in sorted(str(v) for v in encoder.required_variables):
        if name == term:
            continue
        if name in held:
            grid[name] = [held[name]]
        elif name in levels:
            grid[name] = levels[name]
        elif name in names:
            grid[name] = [float(fit.design[:, names.index(name)].mean())]
        else:
            raise UsageError(f"give at={{{name!r}: value}}: its mean is not known to the fit")
    frame = pd.DataFrame(list(itertools.product(*grid.values())), columns=list(grid))
    everywhere = dict.fromkeys(names, (-np.inf, np.inf))
    rows, _ = encode_rows(encoder, names, frame, everywhere)
    matrix = rows.reshape(len(levels[term]), -1, len(names)).mean(axis=1)
    return _combined("marginal mean", fit, matrix, [f"{x}" for x in levels[term]], level)


# --- nested models --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class ModelRow:
    """One of two models: its terms, number of parameters, likelihood and variances."""

    terms: str
    parameters: int
    log_likelihood: float
    aic: float
    bic: float
    aicc: float
    tau2: float | None


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class ModelComparison(Result):
    """A likelihood-ratio test of a model against one that it contains.

    Attributes
    ----------
    reduced, full : ModelRow
    method : {"ML", "REML", "common"}
    statistic, df, p_value : float, int, float
    r2 : float or None
        Share of the between-study variance of the reduced model that the full one explains.
    k : int
    caveats : tuple of Caveat
    """

    reduced: ModelRow
    full: ModelRow
    method: str
    statistic: float
    df: int
    p_value: float
    r2: float | None
    k: int
    caveats: tuple[Caveat, ...]

    def printed(self) -> Printed:
        """Return one line per model and the test."""
        lines = []
        for name, row in (("reduced", self.reduced), ("full", self.full)):
            spread = () if row.tau2 is None else (f"τ² = {format_significant(row.tau2)}",)
            fit = (
                f"log-likelihood {format_number(row.log_likelihood)}, AIC {format_number(row.aic)}"
            )
            lines.append(Line(name, (row.terms, f"{row.parameters} parameters", fit, *spread)))
        test = f"likelihood ratio χ²({self.df}) = {format_number(self.statistic)}"
        lines.append(Line("difference", (f"{test}, {format_p(self.p_value)}",)))
        head = f"ModelComparison: {plural(self.k, 'effect')}, {self.method}"
        return Printed(head, lines, caveats=self.caveats)

    def columns(self) -> Columns:
        """Return one row per model."""
        return {"model": ("reduced", "full"), **columns_of((self.reduced, self.full))}


def anova(
    reduced: RandomEffects | MetaRegression | MultilevelFit,
    full: RandomEffects | MetaRegression | MultilevelFit,
) -> ModelComparison:
    """Compare two nested models of the same effects by their likelihoods.

    Parameters
    ----------
    reduced, full : RandomEffects, MetaRegression or MultilevelFit
        In either order; every column of the smaller design must follow from the larger one.

    Returns
    -------
    ModelComparison

    Raises
    ------
    UsageError
        Other effects, models that are not nested, methods that differ or have no likelihood, or
        REML fits with different moderators (fit both by maximum likelihood).

    Notes
    -----
    Equal to metafor's ``anova(full, reduced)``, which compares REML fits of different moderators
    with a warning; their likelihoods are of different data, so that this refuses. Where the models
    differ in a variance component the test is on the boundary and its p-value too large, which a
    caveat says.

    Examples
    --------
    >>> from ketameta import meta_regression, random_effects
    >>> y, v = [0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02]
    >>> mean = random_effects(y, v, "ML")
    >>> found = anova(mean, meta_regression(y, v, [1.0, 2.0, 3.0, 4.0], tau2_method="ML"))
    >>> round(found.statistic, 2), found.df
    (5.2, 1)
    """
    fits = sorted((reduced, full), key=_parameters)
    small, large = fits
    designs = [_design_of(fit) for fit in fits]
    if not all(
        np.array_equal(getattr(small, name), getattr(large, name))
        for name in ("estimates", "variances")
    ):
        raise UsageError("the two fits are of different effects; fit both to the same rows")
    methods = [fit.method if isinstance(fit, MultilevelFit) else fit.tau2_method or "common"
               for fit in fits]  # fmt: skip
    if methods[0] != methods[1] or methods[0] not in ("ML", "REML", "common"):
        raise UsageError(
            f"the fits are by {methods[0]} and {methods[1]}; fit both by maximum likelihood"
            " (tau2_method='ML', or method='ML')"
        )
    df = _parameters(large) - _parameters(small)
    inside = designs[1] @ np.linalg.lstsq(designs[1], designs[0], rcond=None)[0]
    missed = np.linalg.norm(designs[0] - inside, axis=0)
    if df == 0 or (missed > IN_SPACE * np.linalg.norm(designs[0], axis=0)).any():
        raise UsageError(
            "the models are not nested: the smaller one must be the larger one without some of its"
            " moderators"
        )
    columns = designs[1].shape[1] - designs[0].shape[1]
    if methods[0] == "REML" and columns:
        raise UsageError(
            "restricted likelihoods of different moderators cannot be compared; fit both by maximum"
            " likelihood (tau2_method='ML', or method='ML')"
        )
    rows = [_model_row(fit) for fit in fits]
    statistic = max(0.0, 2 * (rows[1].log_likelihood - rows[0].log_likelihood))
    before, after = rows[0].tau2, rows[1].tau2
    known = before is not None and after is not None and before > 0
    caveats: tuple[Caveat, ...] = ()
    if df > columns:
        words = "The models differ in a variance, whose least value is 0: the p-value is too large."
        caveats = (Caveat("boundary_test", words),)
    return ModelComparison(
        reduced=rows[0],
        full=rows[1],
        method=methods[0],
        statistic=statistic,
        df=df,
        p_value=float(special.chdtrc(df, statistic)),
        r2=max(0.0, 1 - after / before) if known and after is not None and before else None,
        k=small.k,
        caveats=caveats,
    )


def _design_of(fit: Any) -> Floats:
    if not isinstance(fit, RandomEffects | MetaRegression | MultilevelFit):
        raise UsageError(
            "anova() compares results of random_effects(), meta_regression(), multilevel() or"
            f" che(), not of {type(fit).__name__}"
        )
    design = getattr(fit, "design", None)
    return np.ones((fit.k, 1)) if design is None else np.asarray(design)


def _parameters(fit: Any) -> int:
    return _design_of(fit).shape[1] + (
        2 if isinstance(fit, MultilevelFit) else int(fit.tau2_method is not None)
    )


def _model_row(fit: Any) -> ModelRow:
    if fit.log_likelihood is None:
        raise NotEstimableError("one study has no likelihood to compare")
    names = fit.names if isinstance(fit, MetaRegression) else ("intercept",)
    if isinstance(fit, MultilevelFit):
        names = fit.coefficients.names
    return ModelRow(
        terms=" + ".join(names),
        parameters=_parameters(fit),
        log_likelihood=fit.log_likelihood,
        aic=fit.aic,
        bic=fit.bic,
        aicc=fit.aicc,
        tau2=fit.tau2,
    )
