"""Marginal likelihoods of two-by-two tables with a normally distributed log odds ratio.

Both likelihoods are functions of the mean log odds ratio theta and the between-trial standard
deviation tau. For a fixed tau they are concave in theta (the integrand is log-concave in theta,
the intercepts and the random effect together, and integration keeps that), so only tau has to be
searched.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from scipy import special

from ketameta.arrays import Floats
from ketameta.models.event_tables import EventTables
from ketameta.models.normal_integral import (
    FINE,
    ROUGH_STEP,
    STEP,
    concave_root,
    integrate_normal,
    louis,
)

#: No log odds of a finite maximum lies beyond this.
_FAR = 60.0


class Evaluation(NamedTuple):
    """A log-likelihood with its derivatives in ``(theta, tau)``, nuisance parameters maximised.

    Attributes
    ----------
    value : float
    score : ndarray of shape (2,)
    information : ndarray of shape (2, 2)
        Minus the second derivatives of the profile likelihood.
    """

    value: float
    score: Floats
    information: Floats


class Likelihood(Protocol):
    """What the search needs to know of a model."""

    def at(self, theta: float, tau: float, nodes: tuple[int, int] = FINE) -> Evaluation:
        """Return the log-likelihood and its derivatives."""

    def saturated(self) -> float:
        """Return the log-likelihood with a log odds ratio of its own for every trial."""


class ConditionalLikelihood:
    """Exact conditional likelihood: events under treatment given both margins of each table.

    Noncentral hypergeometric with log odds ratio ``theta + tau z``; intercepts are eliminated.

    Parameters
    ----------
    tables : EventTables
        Whole counts of informative trials.
    """

    def __init__(self, tables: EventTables) -> None:
        a, n1, n2, events = tables.a, tables.n1, tables.n2, tables.events
        lowest, highest = np.maximum(0, events - n2), np.minimum(n1, events)
        lengths = (highest - lowest + 1).astype(int)
        self._k = tables.k
        self._lengths = lengths
        self._starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        counts = np.concatenate(
            [np.arange(lo, hi + 1) for lo, hi in zip(lowest, highest, strict=True)]
        )
        rows = np.repeat(np.arange(tables.k), lengths)
        self._rows = rows
        self._distance = counts - a[rows]
        weights = _log_choose(n1[rows], counts) + _log_choose(n2[rows], events[rows] - counts)
        observed = _log_choose(n1, a) + _log_choose(n2, events - a)
        self._log_weights = weights - observed[rows]
        self._inside = (a > lowest) & (a < highest)

    def _terms(self, log_odds: Floats) -> tuple[Floats, Floats, Floats]:
        """Return log probability of the observed count and two derivatives; shapes (k, m)."""
        logs = self._log_weights[:, None] + self._distance[:, None] * log_odds[self._rows]
        top = np.maximum.reduceat(logs, self._starts, axis=0)
        shares = np.exp(logs - top[self._rows])
        total = np.add.reduceat(shares, self._starts, axis=0)
        shares = shares / total[self._rows]
        mean = np.add.reduceat(shares * self._distance[:, None], self._starts, axis=0)
        spread = self._distance[:, None] - mean[self._rows]
        variance = np.add.reduceat(shares * spread**2, self._starts, axis=0)
        return -(top + np.log(total)), -mean, -variance

    def at(self, theta: float, tau: float, nodes: tuple[int, int] = FINE) -> Evaluation:
        """Return the log-likelihood and its derivatives."""

        def terms(z: Floats) -> tuple[Floats, Floats, Floats]:
            value, first, second = self._terms(theta + tau * z)
            return value, tau * first, tau**2 * second

        sums = integrate_normal(terms, self._k, tau, nodes)
        _, first, second = self._terms(theta + tau * sums.z)
        jacobian = np.stack([np.ones_like(sums.z), sums.z], axis=-1)
        scores, information = louis(sums.weights, first[..., None] * jacobian, -second, jacobian)
        return Evaluation(float(sums.value.sum()), scores.sum(axis=0), information.sum(axis=0))

    def saturated(self) -> float:
        """Return the log-likelihood with a log odds ratio of its own for every trial.

        A count at the end of its range has probability 1 in the limit.
        """
        inside = self._inside
        if not inside.any():
            return 0.0

        def derivatives(x: Floats) -> tuple[Floats, Floats]:
            _, first, second = self._terms(x[:, None])
            return np.where(inside, first[:, 0], 0.0), np.where(inside, -second[:, 0], 1.0)

        far = np.full(self._k, _FAR)
        best = concave_root(derivatives, np.zeros(self._k), -far, far)
        value, _, _ = self._terms(best[:, None])
        return float(value[inside, 0].sum())


class UnconditionalLikelihood:
    """Two binomials per trial with a free intercept; the random effect is shared by the arms.

    Log odds are ``alpha_i + theta + tau z / 2`` under treatment and ``alpha_i - tau z / 2`` under
    control (metafor's coding 1/2), so both arms vary equally between trials.

    Parameters
    ----------
    tables : EventTables
        Counts of informative trials.
    """

    def __init__(self, tables: EventTables) -> None:
        self._tables = tables
        self._constant = _log_choose(tables.n1, tables.a) + _log_choose(tables.n2, tables.c)
        pooled = (tables.events + 0.5) / (tables.n + 1)
        self._alpha = special.logit(pooled)

    def _arms(self, alpha: Floats, theta: float, tau: float, z: Floats) -> tuple[Floats, ...]:
        """Return value, residuals and weights of the two arms; shapes (k, m)."""
        t = self._tables
        one, two = alpha + theta + tau * z / 2, alpha - tau * z / 2
        value = self._constant[:, None] + t.a[:, None] * one + t.c[:, None] * two
        value = value - t.n1[:, None] * np.logaddexp(0, one) - t.n2[:, None] * np.logaddexp(0, two)
        p1, p2 = special.expit(one), special.expit(two)
        first, second = t.a[:, None] - t.n1[:, None] * p1, t.c[:, None] - t.n2[:, None] * p2
        return (
            value,
            first,
            second,
            t.n1[:, None] * p1 * special.expit(-one),
            t.n2[:, None] * p2 * special.expit(-two),
        )

    def _parts(
        self, alpha: Floats, theta: float, tau: float, nodes: tuple[int, int]
    ) -> tuple[Floats, Floats, Floats]:
        """Return values (k,), scores (k, 3) and information (k, 3, 3) in theta, tau, alpha."""
        column = alpha[:, None]

        def terms(z: Floats) -> tuple[Floats, Floats, Floats]:
            value, first, second, w1, w2 = self._arms(column, theta, tau, z)
            return value, tau * (first - second) / 2, -(tau**2) * (w1 + w2) / 4

        sums = integrate_normal(terms, alpha.size, tau, nodes)
        _, first, second, w1, w2 = self._arms(column, theta, tau, sums.z)
        ones, zeros = np.ones_like(sums.z), np.zeros_like(sums.z)
        treated = np.stack([ones, sums.z / 2, ones], axis=-1)
        control = np.stack([zeros, -sums.z / 2, ones], axis=-1)
        gradient = first[..., None] * treated + second[..., None] * control
        scores, information = louis(sums.weights, gradient, w1, treated)
        information = information + np.einsum(
            "km,km,kmi,kmj->kij", sums.weights, w2, control, control
        )
        return sums.value, scores, information

    def at(self, theta: float, tau: float, nodes: tuple[int, int] = FINE) -> Evaluation:
        """Return the log-likelihood and its derivatives, intercepts maximised."""

        def derivatives(alpha: Floats) -> tuple[Floats, Floats]:
            _, scores, information = self._parts(alpha, theta, tau, nodes)
            return scores[:, 2], information[:, 2, 2]

        far = np.full(self._alpha.size, _FAR)
        step = STEP if nodes is FINE else ROUGH_STEP
        self._alpha = concave_root(derivatives, self._alpha, -far, far, step)
        value, scores, information = self._parts(self._alpha, theta, tau, nodes)
        cross = information[:, :2, 2]
        outer = cross[:, :, None] * cross[:, None, :] / information[:, 2, 2][:, None, None]
        shared = (information[:, :2, :2] - outer).sum(axis=0)
        return Evaluation(float(value.sum()), scores[:, :2].sum(axis=0), shared)

    def saturated(self) -> float:
        """Return the log-likelihood with a log odds ratio of its own for every trial."""
        t = self._tables
        return float(
            (
                self._constant
                + special.xlogy(t.a, t.a / t.n1)
                + special.xlogy(t.b, t.b / t.n1)
                + special.xlogy(t.c, t.c / t.n2)
                + special.xlogy(t.d, t.d / t.n2)
            ).sum()
        )


def log_conditional_likelihood(tables: EventTables, theta: Floats) -> Floats:
    """Return the log probability of the observed events given both margins, shape (k, m).

    Parameters
    ----------
    tables : EventTables
        Whole counts of informative trials.
    theta : ndarray of shape (m,)
        Log odds ratios.

    Notes
    -----
    Trial by trial, and in slices of ``theta``, so that memory stays small with large counts.
    """
    found = np.empty((tables.k, theta.size))
    for i in range(tables.k):
        a, n1, n2, events = tables.a[i], tables.n1[i], tables.n2[i], tables.events[i]
        counts = np.arange(max(0.0, events - n2), min(n1, events) + 1)
        weights = _log_choose(n1, counts) + _log_choose(n2, events - counts)
        weights = weights - (_log_choose(n1, a) + _log_choose(n2, events - a))
        slices = max(1, 4_000_000 // counts.size)
        for start in range(0, theta.size, slices):
            part = slice(start, start + slices)
            logs = weights[:, None] + np.outer(counts - a, theta[part])
            found[i, part] = -special.logsumexp(logs, axis=0)
    return found


def _log_choose(n: Floats, k: Floats) -> Floats:
    value = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return np.asarray(value, dtype=np.float64)
