"""A second opinion on every fit, from code that shares nothing with ours.

statsmodels for Paule-Mandel and for DerSimonian-Laird above zero (it lets tau-squared go negative),
PyMARE for the other estimators it has, plain matrix algebra for the rest. The report tells a bound
to which they agree: the differences themselves are rounding, another on every processor.

A line through doses is checked by one slope per study and their pooling: within a study the slope
by generalised least squares is sufficient for the common slope and for how slopes differ, so that
the two stages carry the same likelihood as the one stage.

This is the only door to PyMARE 0.0.13, which is numerically right and very fast over many data sets
at once, and accepts anything: it is given checked data. It is imported on first use (it loads a
symbolic algebra package).
"""

from __future__ import annotations

import dataclasses
import sys
import warnings
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import special

from ketameta.effects.arrays import Floats
from ketameta.effects.table import Effects, effect_sizes
from ketameta.errors import NotEstimableError, UsageError, check_choice
from ketameta.formatting import plural
from ketameta.models.intervals import critical_value
from ketameta.models.results import Printed, Result
from ketameta.models.tau2 import COMMON, power_of_two_scale
from ketameta.models.validation import check_fit, checked_inputs, numeric_rows

if TYPE_CHECKING:
    from ketameta.models.dose import DoseResponse
    from ketameta.models.pooling import RandomEffects
    from ketameta.models.regression import MetaRegression


#: Bounds within which an agreement is stated, the smallest first.
AGREEMENTS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
#: How many times the largest difference must fit into the bound, so that rounding never decides it.
AGREEMENT_MARGIN = 2.0
#: Halvings of the bracket around tau-squared in the matrix algebra: 2^-200 of it remains.
HALVINGS = 200


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class SecondEngine(Result):
    """How far an independent refit is from a result.

    Attributes
    ----------
    engine, version : str
        ``"statsmodels"``, ``"PyMARE"`` or ``"numpy"`` (plain matrix algebra).
    values : dict of str to float
        What the second engine found, by name of the quantity.
    differences : dict of str to float
        Of estimates and interval bounds in standard errors; of tau-squared relative to
        tau-squared plus the smallest sampling variance; of standard errors and Q relative.
    largest : float
        The largest of them.
    largest_quantity : str
    """

    engine: str
    version: str
    values: dict[str, float]
    differences: dict[str, float]
    largest: float
    largest_quantity: str

    def printed(self) -> Printed:
        """Return the largest difference in one line."""
        return Printed(f"SecondEngine: {self.engine} {self.version}", said=self.said)

    @property
    def said(self) -> str:
        """The largest difference in words."""
        return f"largest difference {self.largest:.1e} ({self.largest_quantity})"


def agrees_to(largest: float) -> float | None:
    """Return the bound within which a largest difference is stated; None where there is none."""
    return next((bound for bound in AGREEMENTS if AGREEMENT_MARGIN * largest <= bound), None)


class _Refit(NamedTuple):
    engine: str
    version: str
    coefficients: Floats
    covariance: Floats
    tau2: float


def second_engine(fit: RandomEffects | MetaRegression) -> SecondEngine:
    """Refit a result independently and compare.

    Parameters
    ----------
    fit : RandomEffects or MetaRegression
        At least two studies.

    Raises
    ------
    NotEstimableError
        For a single study, where nothing was fitted.
    """
    check_fit(fit, "second_engine()")
    if fit.k < 2:
        raise NotEstimableError("one study: nothing was fitted that a second engine could refit")
    y, v = np.array(fit.estimates), np.array(fit.variances)
    design = np.array(getattr(fit, "design", np.ones((fit.k, 1))))
    names = tuple(getattr(fit, "names", ("",)))
    method = fit.tau2_method or COMMON
    scale = power_of_two_scale(v)
    refit = _refitted(y / scale, v / scale**2, design, method, fit.ci_method)
    theirs = _quantities(refit, y, v, design, names, fit.df, fit.level, scale)
    return SecondEngine(*_compared(refit, _own_quantities(fit, names), theirs, float(v.min())))


def _compared(
    refit: _Refit, ours: dict[str, float], theirs: dict[str, float], floor: float
) -> tuple[str, str, dict[str, float], dict[str, float], float, str]:
    """Return the fields of a :class:`SecondEngine`; ``floor`` is the smallest sampling variance."""
    differences = {}
    for name, value in ours.items():
        quantity, _, column = name.partition(" ")
        gap = abs(value - theirs[name])
        if quantity in ("estimate", "ci_low", "ci_high"):
            unit = ours[f"se {column}".strip()] or floor**0.5
        elif quantity == "tau2":
            unit = value + floor
        else:
            unit = abs(value)
        differences[name] = gap / (unit or 1.0)
    worst = max(differences, key=lambda name: differences[name])
    return refit.engine, refit.version, theirs, differences, differences[worst], worst


def _own_quantities(
    fit: RandomEffects | MetaRegression, names: tuple[str, ...]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for quantity in ("estimate", "se", "ci_low", "ci_high"):
        column = np.atleast_1d(np.array(getattr(fit, quantity), dtype=float))
        for name, value in zip(names, column.tolist(), strict=True):
            if np.isfinite(value):
                found[f"{quantity} {name}".strip()] = value
    found["tau2"] = fit.tau2 or 0.0
    q = getattr(fit, "q", None)
    found["q"] = float(getattr(fit, "qe", 0.0) if q is None else q)
    return found


def _quantities(
    refit: _Refit,
    y: Floats,
    v: Floats,
    design: Floats,
    names: tuple[str, ...],
    df: float | None,
    level: float,
    scale: float,
) -> dict[str, float]:
    """Return the refit's numbers in the unit of the effect, by name."""
    upper = 0.5 + level / 2
    critical = special.ndtri(upper) if df is None else special.stdtrit(df, upper)
    found: dict[str, float] = {}
    for j, name in enumerate(names):
        estimate = float(refit.coefficients[j]) * scale
        se = float(np.sqrt(refit.covariance[j, j])) * scale
        ends = {"ci_low": estimate - critical * se, "ci_high": estimate + critical * se}
        for quantity, value in {"estimate": estimate, "se": se, **ends}.items():
            found[f"{quantity} {name}".strip()] = float(value)
    found["tau2"] = refit.tau2 * scale**2
    centred = y - y.mean() if np.allclose(design[:, 0], 1) else y
    found["q"] = float(centred @ _projection(v, design) @ centred)
    return found


def _refitted(y: Floats, v: Floats, design: Floats, method: str, ci_method: str) -> _Refit:
    """Choose the engine. The data are in units of the median standard error."""
    pooled = design.shape[1] == 1 and bool(np.all(design == 1))
    if pooled and method in ("PM", "DL"):
        found = _statsmodels(y, v, method, ci_method)
        if found is not None:
            return found
    if method in (*PYMARE_METHODS, COMMON):
        return pymare_fit(y, v, design, method, ci_method)
    tau2 = _dense_tau2(y, v, design, method)
    inverse = np.linalg.inv(design.T @ (design / (v + tau2)[:, None]))
    coefficients = inverse @ (design.T @ (y / (v + tau2)))
    residual = y - design @ coefficients
    factor = float((residual**2 / (v + tau2)).sum()) / (len(y) - design.shape[1])
    scaled = np.array(inverse * _factor(factor, ci_method), dtype=np.float64)
    return _Refit("numpy", version("numpy"), coefficients, scaled, tau2)


def _factor(factor: float, ci_method: str) -> float:
    if ci_method == "wald":
        return 1.0
    return max(1.0, factor) if ci_method == "knapp-hartung-conservative" else factor


def _statsmodels(y: Floats, v: Floats, method: str, ci_method: str) -> _Refit | None:
    """Return statsmodels' fit; None where its tau-squared is negative (it does not truncate)."""
    from statsmodels.stats.meta_analysis import combine_effects

    if method == "PM":
        found = combine_effects(y, v, method_re="iterated", atol=1e-8, maxiter=500)
        if found.tau2 == 0:  # rounding below its target makes it return 0
            found = combine_effects(y, v, method_re="iterated", maxiter=500)
    else:
        with np.errstate(invalid="ignore"):  # its roots of negative variances
            found = combine_effects(y, v, method_re="dl")
    if found.tau2 < 0:
        return None
    variance = float(found.var_eff_w_re) * _factor(float(found.scale_hksj_re), ci_method)
    return _Refit(
        "statsmodels",
        version("statsmodels"),
        np.array([float(found.mean_effect_re)]),
        np.array([[variance]]),
        float(found.tau2),
    )


def _projection(v: Floats, design: Floats) -> Floats:
    """Return ``W - W X (X' W X)^-1 X' W`` as a full matrix."""
    w = np.diag(1 / v)
    wx = w @ design
    matrix: Floats = w - wx @ np.linalg.inv(design.T @ wx) @ wx.T
    return matrix


def _dense_tau2(y: Floats, v: Floats, design: Floats, method: str) -> float:
    """Return tau-squared by HS, SJ, PM or EB from full matrices and bisection."""
    k, p = design.shape
    if method == "HS":
        return max(0.0, float(y @ _projection(v, design) @ y - k) / float((1 / v).sum()))
    if method == "SJ":
        start = float(((y - y.mean()) ** 2).mean())
        return start * float(y @ _projection(v + start, design) @ y) / (k - p)
    low, high = 0.0, float(y @ _projection(np.ones(k), design) @ y) + float(v.max())
    if float(y @ _projection(v, design) @ y) <= k - p:
        return 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if float(y @ _projection(v + middle, design) @ y) > k - p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


# --- the only door to PyMARE ----------------------------------------------------------------------

#: Where PyMARE's search for tau-squared stops; its own 1e-6 leaves 6e-10 of the estimate to chance.
XTOL = 1e-9
#: Estimators of tau-squared that PyMARE has.
PYMARE_METHODS = ("DL", "HE", "ML", "REML")


@cache
def _estimators() -> ModuleType:
    """Return PyMARE's estimators without its converters, which load an algebra package.

    Nothing is left behind: ``import pymare`` elsewhere gives the whole package. The distributions
    that only its summaries ask for are loaded when they are asked for.
    """
    if "pymare" in sys.modules or (found := find_spec("pymare")) is None:
        return import_module("pymare.estimators")
    asked = ModuleType("scipy.stats")
    vars(asked)["__getattr__"] = lambda name: getattr(import_module("scipy.stats"), name)
    sys.modules.setdefault("scipy.stats", asked)
    sys.modules["pymare"] = module_from_spec(found)
    try:
        return import_module("pymare.estimators")
    finally:
        for name, module in [*sys.modules.items()]:
            if module is asked or name.partition(".")[0] == "pymare":
                del sys.modules[name]


def _estimator(tau2_method: str, ci_method: str) -> Any:
    estimators = _estimators()
    if tau2_method == "DL":
        return estimators.DerSimonianLaird(small_sample_correction=ci_method)
    if tau2_method == "HE":
        return estimators.Hedges(small_sample_correction=ci_method)
    if tau2_method in ("ML", "REML"):
        return estimators.VarianceBasedLikelihoodEstimator(
            method=tau2_method, small_sample_correction=ci_method, xtol=XTOL
        )
    return estimators.WeightedLeastSquares(small_sample_correction=ci_method)


def pymare_fit(y: Floats, v: Floats, design: Floats, tau2_method: str, ci_method: str) -> _Refit:
    """Fit one model with PyMARE, unpolished: a second opinion.

    Shapes (k,), (k,), (k, p); ``tau2_method`` one of :data:`PYMARE_METHODS` or ``"common"``. The
    data go in units of the median standard error and come back in their own.
    """
    check_choice("tau2_method", tau2_method, (*PYMARE_METHODS, "common"))
    scale = power_of_two_scale(v)
    estimator = _estimator(tau2_method, ci_method)
    estimator.fit(y=(y / scale)[:, None], v=(v / scale**2)[:, None], X=np.array(design))
    found = estimator.params_
    tau2 = float(np.ravel(found["tau2"])[0])
    coefficients = np.array(found["fe_params"], dtype=float).reshape(design.shape[1])
    covariance = np.array(found["inv_cov"], dtype=float).reshape(2 * (design.shape[1],))
    coefficients, covariance = coefficients * scale, covariance * scale**2
    return _Refit("PyMARE", version("pymare"), coefficients, covariance, tau2 * scale**2)


def to_pymare(
    effects: Any, variances: Any = None, moderators: Any = None, *, names: Any = None
) -> Any:
    """Return effects as a PyMARE ``Dataset``, an intercept included.

    Parameters
    ----------
    effects : Effects, EffectSize or array_like of shape (k,)
    variances : array_like of shape (k,), optional
        Only with an array.
    moderators : array_like of shape (k, m), optional
        Numeric columns.
    names : sequence of str of length m, optional
        Of the moderators.

    Returns
    -------
    pymare.Dataset
        Without labels and measure, which PyMARE does not know.

    Raises
    ------
    UsageError, ImpossibleDataError
        See :func:`ketameta.models.validation.checked_inputs`; PyMARE itself takes anything.

    Examples
    --------
    >>> data = to_pymare([-0.6, -0.2], [0.04, 0.09])
    >>> data.y.shape, data.X_names
    ((2, 1), ['intercept'])
    """
    if variances is None and not hasattr(effects, "variance"):
        raise UsageError("give effects of km.effect_sizes(), or estimates and variances")
    y, v = (effects, variances) if variances is not None else (effects.estimate, effects.variance)
    inputs = checked_inputs(y, v, repeated_labels="allow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        from pymare import Dataset
    columns = None if moderators is None else numeric_rows(moderators, "moderators")
    known = None
    if columns is not None:
        known = [f"x{j + 1}" for j in range(columns.shape[1])] if names is None else list(names)
    return Dataset(
        y=inputs.y[:, None], v=inputs.v[:, None], X=columns, X_names=known, add_intercept=True
    )


def from_pymare(dataset: Any, *, measure: Any = None, labels: Any = None) -> Effects:
    """Return a PyMARE ``Dataset`` of one set of studies as :class:`Effects`.

    Parameters
    ----------
    dataset : pymare.Dataset
        With ``y`` and ``v`` of one column.
    measure, labels : optional
        What the effects are, and the names of the studies; PyMARE knows neither.

    Returns
    -------
    Effects
        Its frame holds the moderators, without a column of ones.

    Raises
    ------
    UsageError
        Several data sets side by side, or no variances.

    Examples
    --------
    >>> from_pymare(to_pymare([-0.6, -0.2], [0.04, 0.09]), measure="SMD").k
    2
    """
    y, v = (np.asarray(getattr(dataset, name, None)) for name in ("y", "v"))
    if y.ndim != 2 or y.shape[1] != 1 or v.shape != y.shape:
        raise UsageError(
            f"the dataset has y of shape {y.shape} and v of shape {v.shape}; one column of each is"
            " needed"
        )
    found = np.empty((len(y), 0)) if dataset.X is None else np.asarray(dataset.X)
    columns = {
        str(name): found[:, j]
        for j, name in enumerate(dataset.X_names or [])
        if name != "intercept"
    }
    return effect_sizes(columns or None, measure, estimate=y[:, 0], variance=v[:, 0], labels=labels)


# --- a line through doses: one slope per study first, then their pooling --------------------------


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class TwoStage(SecondEngine):
    """A two-stage fit beside a one-stage line: what a second engine found, and the slopes.

    Attributes
    ----------
    engine, version : str
        What pooled the slopes.
    values : dict of str to float
        ``estimate, se, ci_low, ci_high, tau2`` per unit of dose.
    differences, largest, largest_quantity
        From the one-stage line, as in :class:`SecondEngine`.
    study : tuple of str
    slopes, ses : tuple of float
        Of each study, per unit of dose.
    """

    study: tuple[str, ...]
    slopes: tuple[float, ...]
    ses: tuple[float, ...]

    def printed(self) -> Printed:
        """Return the largest difference in one line."""
        head = f"TwoStage: {plural(len(self.slopes), 'slope')}, pooled by {self.engine}"
        return Printed(f"{head} {self.version}", said=self.said)


def two_stage(fit: DoseResponse, estimates: Floats, sampling: Floats, dose: Floats) -> TwoStage:
    """Fit a slope in every study, pool the slopes with PyMARE, and compare with the one stage.

    Parameters
    ----------
    fit : DoseResponse
        A line; its ``study`` names the study of each contrast.
    estimates : ndarray of shape (n,)
    sampling : ndarray of shape (n, n)
        Covariance of the contrasts.
    dose : ndarray of shape (n,)
        Of the treated arm minus that of the control.

    Raises
    ------
    UsageError
        For a spline: a study with fewer doses than coefficients has no curve of its own.
    NotEstimableError
        For a single study, whose slope is the result.

    Notes
    -----
    ``b_i = (x' S^-1 x)^-1 x' S^-1 y`` with variance ``(x' S^-1 x)^-1``, the second stage of
    Crippa and others (2019) by REML or, where one slope was fitted, with weights ``1 / v``.
    """
    if fit.transformation != "linear":
        raise UsageError("two_stage() checks a line; a spline has no slope in every study")
    names = tuple(dict.fromkeys(fit.study))
    if len(names) < 2:
        raise NotEstimableError("one study: its slope is the result")
    slopes, variances = [], []
    for name in names:
        at = np.flatnonzero(np.array(fit.study) == name)
        weighed = np.linalg.solve(sampling[np.ix_(at, at)], dose[at])
        variance = 1.0 / float(weighed @ dose[at])
        variances.append(variance)
        slopes.append(variance * float(weighed @ estimates[at]))
    method = "REML" if fit.method == "REML" else "common"
    found = pymare_fit(
        np.array(slopes), np.array(variances), np.ones((len(names), 1)), method, "wald"
    )
    ours = {
        "estimate": float(fit.coefficients.estimate[0]),
        "se": float(fit.coefficients.se[0]),
        "ci_low": float(fit.coefficients.ci_low[0]),
        "ci_high": float(fit.coefficients.ci_high[0]),
        "tau2": float(fit.between[0, 0]),
    }
    return TwoStage(
        *_compared(found, ours, _stage_values(fit, found), min(variances)),
        study=names,
        slopes=tuple(slopes),
        ses=tuple(float(np.sqrt(variance)) for variance in variances),
    )


def _stage_values(fit: DoseResponse, found: _Refit) -> dict[str, float]:
    estimate = float(found.coefficients[0])
    se = float(np.sqrt(found.covariance[0, 0]))
    df = float(fit.coefficients.df[0]) if fit.coefficients.df is not None else None
    wide = critical_value(fit.level, df) * se
    return {
        "estimate": estimate,
        "se": se,
        "ci_low": estimate - wide,
        "ci_high": estimate + wide,
        "tau2": found.tau2,
    }
