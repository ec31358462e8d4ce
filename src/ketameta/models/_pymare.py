"""The only door to PyMARE: plain arrays to a fresh estimator, everything copied out.

PyMARE 0.0.13 is numerically right and very fast over many data sets at once, and accepts anything;
its callers pass what the gate has let through. It is imported on first use (it loads a symbolic
algebra package).
"""

from __future__ import annotations

import warnings
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from ketameta.errors import check_choice
from ketameta.models.least_squares import Array, power_of_two_scale

#: Where PyMARE's search for tau-squared stops; its own 1e-6 leaves 6e-10 of the estimate to chance.
XTOL = 1e-9
#: Estimators of tau-squared that PyMARE has.
PYMARE_METHODS = ("DL", "HE", "ML", "REML")


class PymareFit(NamedTuple):
    """One model as PyMARE fits it: ``coefficients``, ``se``, ``covariance``, ``tau2``."""

    coefficients: Array
    covariance: Array
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


def fit(y: Array, v: Array, design: Array, tau2_method: str, ci_method: str) -> PymareFit:
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
