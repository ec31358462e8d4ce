"""Joins effects of one study that share an arm into one, so that nobody is counted twice.

Arrays in, arrays out, with the covariance that a shared arm causes. No pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ketameta.vocabulary import Measure


@dataclass(frozen=True, slots=True)
class JoinedEffect:
    """The weighted mean of a study's correlated effects.

    Attributes
    ----------
    estimate, variance : float
    weights : tuple of float
        Share of each effect.
    """

    estimate: float
    variance: float
    weights: tuple[float, ...]


def shared_arm_covariance(
    measure: Measure,
    estimates: np.ndarray,
    variances: np.ndarray,
    n_treatment: np.ndarray,
    n_control: np.ndarray,
    events_control: np.ndarray,
    shared: np.ndarray,
) -> np.ndarray:
    """Return the covariance matrix of effects of one study whose arms overlap.

    Parameters
    ----------
    measure : Measure
    estimates, variances : ndarray of shape (m,)
        On the analysis scale.
    n_treatment, n_control, events_control : ndarray of shape (m,)
        Sizes of both arms and events of the comparator; NaN where not known.
    shared : ndarray of bool of shape (m, m)
        Whether two effects have the same comparator arm.

    Returns
    -------
    ndarray of shape (m, m)

    Notes
    -----
    For two effects with the same control arm: ``1 / n_c + g_i g_j / (2 N)`` for standardised
    differences, with N the people of the three arms (Gleser and Olkin 2009, in The Handbook of
    Research Synthesis and Meta-Analysis, ch. 19); the variance of the control arm's log odds
    ``1/e + 1/(n - e)``, log risk ``1/e - 1/n`` or risk ``p(1 - p)/n`` for counts; and, where only
    the standard error of a difference is known, its control part under equal spread,
    ``sqrt(v_i v_j)`` times the share ``(1/n_c) / (1/n_t + 1/n_c)`` of each.
    """
    size = len(estimates)
    covariance = np.diag(np.asarray(variances, dtype=float))
    for i in range(size):
        for j in range(i + 1, size):
            if shared[i, j]:
                value = _pair(
                    measure,
                    (estimates[i], estimates[j]),
                    (variances[i], variances[j]),
                    (n_treatment[i], n_treatment[j]),
                    float(n_control[i]),
                    float(events_control[i]),
                )
                covariance[i, j] = covariance[j, i] = value
    return covariance


def _pair(
    measure: Measure,
    estimate: Sequence[float],
    variance: Sequence[float],
    n_treatment: Sequence[float],
    n_control: float,
    events_control: float,
) -> float:
    """Return the covariance of two effects that share a control arm."""
    ceiling = 0.999 * float(np.sqrt(variance[0] * variance[1]))
    value = np.nan
    if measure is Measure.SMD and np.isfinite([*n_treatment, n_control]).all():
        total = sum(n_treatment) + n_control
        value = 1 / n_control + estimate[0] * estimate[1] / (2 * total)
    elif measure in {Measure.OR, Measure.RR, Measure.RD} and np.isfinite(events_control):
        value = _control_count_variance(measure, events_control, n_control)
    if not np.isfinite(value):
        share = [
            (1 / n_control) / (1 / n + 1 / n_control)
            if np.isfinite(n) and np.isfinite(n_control)
            else 0.5
            for n in n_treatment
        ]
        value = float(np.sqrt(variance[0] * share[0] * variance[1] * share[1]))
    return min(float(value), ceiling)


def _control_count_variance(measure: Measure, events: float, n: float) -> float:
    if measure is Measure.RD:
        risk = events / n
        return risk * (1 - risk) / n
    if events in (0.0, n):
        events, n = events + 0.5, n + 1.0
    return 1 / events + (1 / (n - events) if measure is Measure.OR else -1 / n)


def join_effects(estimates: np.ndarray, covariance: np.ndarray) -> JoinedEffect:
    """Return the generalised-least-squares mean of correlated effects of one study.

    Notes
    -----
    ``w = V^-1 1 / (1' V^-1 1)``. Weights that would turn negative (a tightly correlated pair with
    unequal variances) give way to equal weights, which need no correlation to be right.
    """
    ones = np.ones(len(estimates))
    solved = np.linalg.solve(covariance, ones)
    weights = solved / solved.sum()
    if (weights < 0).any():
        weights = ones / len(ones)
    return JoinedEffect(
        estimate=float(weights @ estimates),
        variance=float(weights @ covariance @ weights),
        weights=tuple(float(weight) for weight in weights),
    )
