"""The only door to PyMARE: plain arrays to a fresh estimator, everything copied out.

PyMARE 0.0.13 is numerically right and very fast over many data sets at once, and accepts anything;
its callers pass checked data. It is imported on first use (it loads a symbolic
algebra package).
"""

from __future__ import annotations

import warnings
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from ketameta.effects.arrays import Floats
from ketameta.effects.table import Effects, effect_sizes
from ketameta.errors import UsageError, check_choice
from ketameta.models.least_squares import power_of_two_scale
from ketameta.models.validation import checked_inputs, numeric_rows

#: Where PyMARE's search for tau-squared stops; its own 1e-6 leaves 6e-10 of the estimate to chance.
XTOL = 1e-9
#: Estimators of tau-squared that PyMARE has.
PYMARE_METHODS = ("DL", "HE", "ML", "REML")


class PymareFit(NamedTuple):
    """One model as PyMARE fits it: ``coefficients``, ``se``, ``covariance``, ``tau2``."""

    coefficients: Floats
    covariance: Floats
    tau2: float


def engine_version() -> str:
    """Return the installed version of PyMARE."""
    return version("pymare")


def _estimator(tau2_method: str, ci_method: str) -> Any:
    with warnings.catch_warnings():
        # PyMARE 0.0.13 leaves a file open while it is imported.
        warnings.simplefilter("ignore", ResourceWarning)
        from pymare import estimators

    if tau2_method == "DL":
        return estimators.DerSimonianLaird(small_sample_correction=ci_method)
    if tau2_method == "HE":
        return estimators.Hedges(small_sample_correction=ci_method)
    if tau2_method in ("ML", "REML"):
        return estimators.VarianceBasedLikelihoodEstimator(
            method=tau2_method, small_sample_correction=ci_method, xtol=XTOL
        )
    return estimators.WeightedLeastSquares(small_sample_correction=ci_method)


def fit(y: Floats, v: Floats, design: Floats, tau2_method: str, ci_method: str) -> PymareFit:
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
    return PymareFit(coefficients * scale, covariance * scale**2, tau2 * scale**2)


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
