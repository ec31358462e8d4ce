"""A second opinion on every fit, from code that shares nothing with ours.

statsmodels for Paule-Mandel and for DerSimonian-Laird above zero (it lets tau-squared go negative),
PyMARE for the other estimators it has, plain matrix algebra for the rest. The report tells a bound
to which they agree: the differences themselves are rounding, another on every processor.
"""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ketameta.effects.arrays import Floats
from ketameta.errors import NotEstimableError
from ketameta.models import _pymare
from ketameta.models.least_squares import power_of_two_scale
from ketameta.models.results import Printed, Result
from ketameta.models.tau2 import COMMON
from ketameta.models.validation import check_fit

if TYPE_CHECKING:
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
        said = f"largest difference {self.largest:.1e} ({self.largest_quantity})"
        return Printed(f"SecondEngine: {self.engine} {self.version}", said=said)


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
    ours = _own_quantities(fit, names)
    floor = float(v.min())
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
    return SecondEngine(refit.engine, refit.version, theirs, differences, differences[worst], worst)


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
    from scipy import stats

    critical = stats.norm.ppf(upper) if df is None else stats.t.ppf(upper, df)
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
    if method in (*_pymare.PYMARE_METHODS, COMMON):
        fitted = _pymare.fit(y, v, design, method, ci_method)
        return _Refit("PyMARE", _pymare.engine_version(), *fitted)
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
