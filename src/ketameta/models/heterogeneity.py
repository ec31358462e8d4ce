"""How much the studies differ: Q, I-squared and H-squared by both definitions.

The between-study variance itself is estimated in ``tau2``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from ketameta.models.least_squares import (
    Array,
    moments,
    orthonormal_basis,
    power_of_two_scale,
    residualised,
)


class Heterogeneity(NamedTuple):
    """Statistics of heterogeneity; shares are of one, not per cent.

    Attributes
    ----------
    q, q_df, q_p_value : float, int, float
        Cochran's Q (residual heterogeneity in a regression), its degrees of freedom, p-value.
    i2, h2 : float
        From tau-squared and the typical sampling variance, as metafor does.
    i2_q, h2_q : float
        From Q, as RevMan did before 2024 and as PyMARE and meta do.
    typical_variance : float
        The typical sampling variance, in squared units of the effect.
    """

    q: float
    q_df: int
    q_p_value: float
    i2: float
    h2: float
    i2_q: float
    h2_q: float
    typical_variance: float


def heterogeneity(y: Array, v: Array, design: Array, tau2: float | None) -> Heterogeneity:
    """Return Q and the statistics derived from it and from tau-squared.

    Parameters
    ----------
    y, v : ndarray of shape (k,)
        Estimates and sampling variances.
    design : ndarray of shape (k, p)
        Full rank, p < k.
    tau2 : float or None
        The estimate to describe; None for the common-effect model, whose ``i2`` and ``h2`` are
        those from Q.

    Notes
    -----
    ``i2 = tau2 / (tau2 + s2)`` and ``h2 = 1 + tau2 / s2``, with the typical variance
    ``s2 = (k - p) / tr(P)`` of Higgins and Thompson (2002, eq. 9), extended to regressions by
    the projection matrix; this is metafor's definition. ``i2_q = (Q - df) / Q``, not below 0, and
    ``h2_q = Q / df`` are theirs too (the same paper); the two agree when tau-squared is the
    DerSimonian-Laird estimate.

    References
    ----------
    Higgins and Thompson (2002), Stat. Med. 21, 1539-1558.
    """
    k, p = design.shape
    df = k - p
    scale = power_of_two_scale(v)
    basis = orthonormal_basis(design)
    w = (scale**2 / v)[None, :]
    at = moments(residualised(y / scale, basis), basis, w)
    q = max(0.0, float(at.rss[0]))
    typical = df / float(at.trace[0]) * scale**2
    i2_q = max(0.0, (q - df) / q) if q > 0 else 0.0
    h2_q = q / df
    if tau2 is None:
        i2, h2 = i2_q, h2_q
    else:
        i2, h2 = tau2 / (tau2 + typical), 1 + tau2 / typical
    return Heterogeneity(q, df, float(special.chdtrc(df, q)), i2, h2, i2_q, h2_q, typical)


def log_likelihood(y: Array, v: Array, design: Array, tau2: float, *, restricted: bool) -> float:
    """Return the log-likelihood at ``tau2``, with every constant, as metafor's ``logLik``.

    The restricted one includes ``log |X'X| / 2`` (metafor's default), so that it does not depend
    on the coding of the design.
    """
    k, p = design.shape
    scale = power_of_two_scale(v)
    basis = orthonormal_basis(design)
    w = (scale**2 / (v + tau2))[None, :]
    at = moments(residualised(y / scale, basis), basis, w)
    m = k - p if restricted else k
    value = -0.5 * m * np.log(2 * np.pi) + 0.5 * float(np.log(w).sum()) - 0.5 * float(at.rss[0])
    if restricted:
        value -= 0.5 * float(at.log_det[0])
    return float(value - m * np.log(scale))


class FitStatistics(NamedTuple):
    """``log_likelihood, deviance, aic, bic, aicc`` by metafor's definitions."""

    log_likelihood: float
    deviance: float
    aic: float
    bic: float
    aicc: float


def fit_statistics(
    y: Array, v: Array, design: Array, tau2: float, *, restricted: bool, parameters: int
) -> FitStatistics:
    """Return the log-likelihood and information criteria at ``tau2``.

    Restricted for REML, full for every other method. The deviance of a full likelihood is taken
    from the saturated model, that of a restricted one from zero; BIC and AICc count k or k - p
    observations. ``parameters`` counts the coefficients and, when it is estimated, tau-squared.
    """
    k, p = design.shape
    value = log_likelihood(y, v, design, tau2, restricted=restricted)
    n = k - p if restricted else k
    saturated = 0.0 if restricted else -0.5 * float(np.log(2 * np.pi * v).sum())
    enough = max(n, parameters + 2)
    return FitStatistics(
        value,
        -2 * (value - saturated),
        -2 * value + 2 * parameters,
        -2 * value + parameters * float(np.log(n)),
        -2 * value + 2 * parameters * enough / (enough - parameters - 1),
    )
