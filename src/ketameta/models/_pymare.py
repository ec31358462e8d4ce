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
from ketameta.models.least_squares import (
    Array,
    moments,
    orthonormal_basis,
    power_of_two_scale,
    residualised,
)

#: Estimators of tau-squared that PyMARE has.
PYMARE_METHODS = ("DL", "HE", "ML", "REML")
#: Newton steps that take PyMARE's tau-squared (searched to about 1e-6) to machine precision; each
#: step squares the relative error, so that three are enough and the rest cost little.
POLISH_STEPS = 6


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
            method=tau2_method, small_sample_correction=ci_method
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


def tau2_batch(y: Array, v: Array, design: Array, tau2_method: str) -> Array:
    """Return tau-squared of many data sets that share a design.

    Parameters
    ----------
    y, v : ndarray of shape (D, k)
        One data set per row.
    design : ndarray of shape (k, p)
    tau2_method : {"DL", "HE", "ML", "REML"}

    Returns
    -------
    ndarray of shape (D,)
        ML and REML estimates are polished by Newton steps on the score, so that they equal those of
        :func:`ketameta.models.tau2.estimate_tau2` to rounding wherever the likelihood has one
        maximum. With several maxima the one PyMARE found is kept.
    """
    check_choice("tau2_method", tau2_method, PYMARE_METHODS)
    scale = power_of_two_scale(v)
    basis = orthonormal_basis(design)
    small, spread = residualised(y / scale, basis), v / scale**2
    estimator = _estimator(tau2_method, "wald")
    estimator.fit(y=small.T, v=spread.T, X=basis)
    tau2 = np.array(estimator.params_["tau2"], dtype=float).reshape(len(y))
    if tau2_method in ("ML", "REML"):
        tau2 = _polished(small, spread, basis, tau2, restricted=tau2_method == "REML")
    return tau2 * scale**2


def _polished(y: Array, v: Array, basis: Array, tau2: Array, *, restricted: bool) -> Array:
    """Return the stationary points nearest to ``tau2``; 0 where the score at 0 is negative there.

    Newton's method on the score with a secant slope over a step of 1e-6, cut at 0.
    """
    floor = v.min(1) * 1e-9
    current = np.maximum(tau2, 0.0)
    for _ in range(POLISH_STEPS):
        step = 1e-6 * (current + v.min(1))
        here = _score(y, v, basis, current, restricted)
        slope = (_score(y, v, basis, current + step, restricted) - here) / step
        move = np.where(slope < 0, -here / np.where(slope < 0, slope, -1.0), 0.0)
        limit = 0.5 * (current + v.min(1))
        current = np.maximum(0.0, current + np.clip(move, -limit, limit))
    at_zero = _score(y, v, basis, np.zeros_like(current), restricted) <= 0
    return np.where((current < floor) & at_zero, 0.0, current)


def _score(y: Array, v: Array, basis: Array, tau2: Array, restricted: bool) -> Array:
    w = 1 / (v + tau2[:, None])
    at = moments(y, basis, w)
    return at.score - (at.trace if restricted else w.sum(-1))
