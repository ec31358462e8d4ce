"""Integrals over a normal random effect per trial, and roots of concave likelihoods.

Integrals are trapezoidal sums placed where the integrand is: for an analytic function that vanishes
at both ends they converge exponentially, here to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import special

from ketameta.arrays import Floats
from ketameta.errors import NotEstimableError

#: Log-likelihood of trials with its first and second derivatives in the random effect.
Terms: TypeAlias = Callable[[Floats], tuple[Floats, Floats, Floats]]

#: The integrand is cut where it has fallen by this much on the log scale: a share of 3e-17.
_FALL = 38.0
#: Nodes per trial are the first number plus the second times tau: the first resolves a normal
#: density to 1e-16, the second the steepest possible change of the likelihood along z, which has
#: its nearest singularity at a distance of pi / tau from the real axis.
FINE = (40, 36)
#: The same for looking where maxima are; good to about 1e-5.
COARSE = (24, 10)
#: Steps of a root search before it is given up; Newton needs fewer than ten.
_MOST_STEPS = 300
#: A root is found when the next Newton step is below this, in units of the log odds ratio.
STEP = 1e-11
#: The same for looking where maxima are.
ROUGH_STEP = 1e-4
#: The same for placing nodes, which need not be exactly around the mode.
_PLACE = 1e-2


class NodeSums(NamedTuple):
    """Posterior of the random effects z on the nodes; arrays (k, nodes) and ``value`` (k,)."""

    z: Floats
    weights: Floats
    value: Floats


def concave_root(
    derivatives: Callable[[Floats], tuple[Floats, Floats]],
    start: Floats,
    low: Floats,
    high: Floats,
    tolerance: float = STEP,
) -> Floats:
    """Return where decreasing functions are zero: Newton's method, kept inside a bracket.

    Parameters
    ----------
    derivatives : callable
        From points to the functions and minus their slopes (> 0).
    start, low, high : ndarray of one shape
    tolerance : float
        Size of the last step.
    """
    x, lower, upper = start.copy(), low.copy(), high.copy()
    for _ in range(_MOST_STEPS):
        value, slope = derivatives(x)
        step = value / slope
        if np.all(np.abs(step) <= tolerance * (1 + np.abs(x))):
            return x + step
        lower = np.where(value > 0, x, lower)
        upper = np.where(value < 0, x, upper)
        proposed = x + step
        outside = (proposed < lower) | (proposed > upper)
        x = np.where(outside, (lower + upper) / 2, proposed)
    raise NotEstimableError("the likelihood of the event counts has no finite maximum")


def integrate_normal(terms: Terms, k: int, tau: float, nodes: tuple[int, int] = FINE) -> NodeSums:
    """Place the nodes of each trial where its integrand is, and sum over them.

    Parameters
    ----------
    terms : callable
        Maps z of shape (k, m) to log-likelihoods and two derivatives in z, concave in z.
    k : int
        Trials.
    tau : float
        Standard deviation that multiplies z within ``terms``; more nodes for larger ones.
    nodes : tuple of int
        ``FINE`` or ``COARSE``.
    """

    def posterior(z: Floats) -> tuple[Floats, Floats]:
        _, first, second = terms(z[:, None])
        return first[:, 0] - z, 1 - second[:, 0]

    zero = np.zeros(k)
    # The derivative of the log-likelihood falls with z, so the mode lies between 0 and its value
    # at 0.
    at_zero, _ = posterior(zero)
    bounds = np.minimum(at_zero, 0), np.maximum(at_zero, 0)
    mode = concave_root(posterior, zero, *bounds, _PLACE)
    low, high = _edge(terms, mode, -1), _edge(terms, mode, 1)
    count = int(np.ceil(nodes[0] + nodes[1] * tau))
    z = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, count)
    values, _, _ = terms(z)
    logs = values - z**2 / 2
    value = special.logsumexp(logs, axis=1)
    step = (high - low) / (count - 1)
    constant = np.log(step) - np.log(2 * np.pi) / 2
    return NodeSums(z, np.exp(logs - value[:, None]), value + constant)


def _edge(terms: Terms, mode: Floats, side: int) -> Floats:
    """Return, on one side of the mode, points where the integrand has fallen by ``_FALL``.

    The log of the integrand is concave and falls at least as fast as -z^2/2, so Newton's method
    started that far out stays outside and approaches the edge; a few steps are enough.
    """
    top = terms(mode[:, None])[0][:, 0] - mode**2 / 2
    z = mode + side * np.sqrt(2 * _FALL)
    for _ in range(6):
        value, first, _ = terms(z[:, None])
        height = value[:, 0] - z**2 / 2 - top + _FALL
        z = z - np.minimum(height, 0.0) / (first[:, 0] - z)
    return z


def louis(
    weights: Floats, gradient: Floats, curvature: Floats, jacobian: Floats
) -> tuple[Floats, Floats]:
    """Return scores and observed information of integrals (Louis 1982) from their nodes."""
    scores = np.einsum("km,kmi->ki", weights, gradient)
    centred = gradient - scores[:, None, :]
    information = np.einsum("km,km,kmi,kmj->kij", weights, curvature, jacobian, jacobian)
    information = information - np.einsum("km,kmi,kmj->kij", weights, centred, centred)
    return scores, information
