"""How large a trial must be, and how likely it is to show something. Arrays in, arrays out.

Two equal arms throughout; sizes are people per arm.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.errors import UsageError
from ketameta.models.bayes_mixture import Mixture
from ketameta.models.least_squares import Array

#: A sample size above this is not searched for: no such trial will be done.
LARGEST_TRIAL = 1_000_000
#: Gauss-Legendre panels and nodes over the prior of an effect. 30 panels of 16 nodes integrate a
#: power curve as steep as that of 1,000 people per arm to 1e-9.
_PANELS, _NODES = 30, 16
#: Share of the prior that is cut off at each end.
_TAIL = 1e-9
#: The same for the chi distribution behind the t test.
_FAR = 1e-16
#: Panels over it: fewer from this many degrees of freedom, where it is narrow.
_SPREAD_PANELS, _WIDE_SPREAD = {True: 9, False: 3}, 18


def normal_sample_size(difference: float, sd: float, alpha: float, power: float) -> float:
    """Return the people per arm for a difference of means, by the normal approximation.

    Parameters
    ----------
    difference : float
        To be detected, not 0; its sign does not matter.
    sd : float
        Standard deviation within arms, in the same units (1 for a standardised difference).
    alpha : float
        Two-sided.
    power : float

    Returns
    -------
    float
        Not rounded.

    Notes
    -----
    ``2 (z_(1 - alpha/2) + z_power)^2 (sd / difference)^2`` (Julious 2004, Stat. Med. 23, 1921-1986;
    any textbook). The t test needs about one person per arm more.
    """
    _check(alpha, power, difference, sd)
    return 2 * _quantiles(alpha, power) ** 2 * (sd / difference) ** 2


def t_test_power(
    difference: ArrayLike, sd: float, n_per_arm: ArrayLike, alpha: float = 0.05
) -> Array:
    """Return the power of the two-sided t test of two equal arms, from the noncentral t.

    Parameters
    ----------
    difference, n_per_arm : array_like
        Broadcast together; at least 2 per arm.
    sd, alpha : float

    Notes
    -----
    ``P(|T| > t_(1 - alpha/2))`` for T noncentral t with ``2n - 2`` degrees of freedom and
    noncentrality ``|difference| / sd * sqrt(n / 2)``, both tails, as statsmodels'
    ``TTestIndPower`` and R's ``power.t.test(strict = TRUE)``.
    """
    shift, df, critical = _noncentral(difference, sd, n_per_arm, alpha)
    return np.asarray(_upper(df, shift, critical) + _upper(df, -shift, critical))


def t_test_sample_size(difference: float, sd: float, alpha: float, power: float) -> int:
    """Return the smallest whole number of people per arm whose t test has the power.

    Raises
    ------
    UsageError
        If more than a million people per arm would be needed.
    """
    _check(alpha, power, difference, sd)
    guess = normal_sample_size(difference, sd, alpha, power)
    if guess > LARGEST_TRIAL:
        raise UsageError(
            f"difference {difference:g} is {abs(difference) / sd:.2g} SD; a trial that detects it"
            f" has more than {LARGEST_TRIAL:,} people per arm"
        )
    n = max(2, math.ceil(guess) - 2)
    while float(t_test_power(difference, sd, n, alpha)) < power:
        n += 1
    while n > 2 and float(t_test_power(difference, sd, n - 1, alpha)) >= power:
        n -= 1
    return n


def two_proportions_sample_size(
    p_control: float, p_treatment: float, alpha: float, power: float
) -> float:
    """Return the people per arm for a difference of two risks, by the normal approximation.

    Notes
    -----
    ``[z_(1 - alpha/2) sqrt(2 p q) + z_power sqrt(p1 q1 + p2 q2)]^2 / (p1 - p2)^2`` with p the mean
    of the two risks: Fleiss, Levin and Paik (2003), Statistical Methods for Rates and Proportions,
    3rd ed., ch. 4, without continuity correction; R's ``power.prop.test``.

    Raises
    ------
    UsageError
        If a risk is not between 0 and 1 or the two are equal.
    """
    for name, value in (("p_control", p_control), ("p_treatment", p_treatment)):
        if not 0 < value < 1:
            raise UsageError(f"{name} is {value:g}; a risk between 0 and 1 is needed")
    _check(alpha, power, p_treatment - p_control, 1.0)
    mean = (p_control + p_treatment) / 2
    under_null = math.sqrt(2 * mean * (1 - mean))
    own = math.sqrt(p_control * (1 - p_control) + p_treatment * (1 - p_treatment))
    z_alpha, z_power = float(special.ndtri(1 - alpha / 2)), float(special.ndtri(power))
    return ((z_alpha * under_null + z_power * own) / (p_treatment - p_control)) ** 2


def two_proportions_power(
    p_control: float, p_treatment: float, n_per_arm: ArrayLike, alpha: float = 0.05
) -> Array:
    """Return the power to tell two risks apart, by the normal approximation.

    Parameters
    ----------
    p_control, p_treatment : float
        Between 0 and 1, not equal.
    n_per_arm : array_like
    alpha : float
        Two-sided.

    Notes
    -----
    The inverse of :func:`two_proportions_sample_size`; R's ``power.prop.test``.
    """
    two_proportions_sample_size(p_control, p_treatment, alpha, 0.8)
    mean = (p_control + p_treatment) / 2
    under_null = math.sqrt(2 * mean * (1 - mean))
    own = math.sqrt(p_control * (1 - p_control) + p_treatment * (1 - p_treatment))
    z = float(special.ndtri(1 - alpha / 2))
    sizes = np.sqrt(np.asarray(n_per_arm, dtype=np.float64))
    return np.asarray(special.ndtr((abs(p_treatment - p_control) * sizes - z * under_null) / own))


def assurance(
    prior: Mixture, sd: float, n_per_arm: ArrayLike, alpha: float = 0.05, *, benefit: float = -1.0
) -> Array:
    """Return the chance that a trial shows benefit, averaged over a prior on its true effect.

    Parameters
    ----------
    prior : Mixture
        Of the true effect in the new trial.
    sd : float
        Standard deviation within arms.
    n_per_arm : array_like
    alpha : float
        Of the two-sided t test; only its tail on the side of benefit counts.
    benefit : float
        The sign of benefit.

    Returns
    -------
    ndarray
        One value per size. However large the trial, it stays below the prior probability that the
        effect is on the side of benefit.

    Notes
    -----
    The expectation of the noncentral-t power over the prior, by Gauss-Legendre quadrature.
    O'Hagan, Stevens and Campbell (2005), Pharm. Stat. 4, 187-201.
    """
    effects, weights = _prior_nodes(prior)
    sizes = np.atleast_1d(np.asarray(n_per_arm, dtype=np.float64))
    side = math.copysign(1.0, benefit)
    shift, df, critical = _noncentral(side * effects[:, None], sd, sizes, alpha, signed=True)
    return np.asarray(weights @ _upper(df, shift, critical))


def _prior_nodes(prior: Mixture) -> tuple[Array, Array]:
    """Return effects and weights that integrate over the prior; the weights sum to 1."""
    low, high = float(prior.quantile(_TAIL)), float(prior.quantile(1 - _TAIL))
    # Half of the panels cover the middle, where the density is highest.
    left, right = float(prior.quantile(0.005)), float(prior.quantile(0.995))
    edges = np.concatenate(
        [
            np.linspace(low, left, _PANELS // 4 + 1)[:-1],
            np.linspace(left, right, _PANELS // 2 + 1)[:-1],
            np.linspace(right, high, _PANELS // 4 + 1),
        ]
    )
    nodes, shares = np.polynomial.legendre.leggauss(_NODES)
    half = np.diff(edges) / 2
    effects = ((edges[:-1] + half)[:, None] + half[:, None] * nodes).ravel()
    density = np.array([float(prior.pdf(value)) for value in effects])
    weights = (half[:, None] * shares).ravel() * density
    return effects, weights / weights.sum()


def _noncentral(
    difference: ArrayLike, sd: float, n_per_arm: ArrayLike, alpha: float, *, signed: bool = False
) -> tuple[Array, Array, Array]:
    """Return noncentrality, degrees of freedom and critical value of the t test."""
    n = np.asarray(n_per_arm, dtype=np.float64)
    if np.any(n < 2) or not np.all(np.isfinite(n)):
        raise UsageError(f"n_per_arm is {n.min():g}; two people per arm are the fewest")
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha:g}; a share between 0 and 1 is needed")
    if not sd > 0:
        raise UsageError(f"sd is {sd:g}; a standard deviation is above 0")
    effect = np.asarray(difference, dtype=np.float64) / sd
    shift = (effect if signed else np.abs(effect)) * np.sqrt(n / 2)
    df = 2 * n - 2
    return shift, df, np.asarray(special.stdtrit(df, 1 - alpha / 2), dtype=np.float64)


def _upper(df: Array, shift: Array, critical: Array) -> Array:
    """Return P(T > critical) for T noncentral t, to 2e-12.

    ``E[Phi(shift - critical r)]`` over r, the root of a chi-squared variable by its df. scipy's
    series for it returns NaN or values outside 0 to 1 in places (scipy 1.17: 75 per arm and 31
    standard errors; alpha of 0.001).
    """
    shape = np.broadcast_shapes(df.shape, shift.shape, critical.shape)
    sizes, places = np.unique(np.broadcast_to(df, shape), return_inverse=True)
    nodes, weights = _spread_nodes(sizes)
    at = places.reshape(shape)
    crossing = np.broadcast_to(critical, shape)[..., None] * nodes[at]
    chances = special.ndtr(np.broadcast_to(shift, shape)[..., None] - crossing)
    return np.einsum("...j,...j->...", chances, weights[at])


def _spread_nodes(df: Array) -> tuple[Array, Array]:
    """Return values of ``sqrt(chi2 / df)`` and weights that sum to 1, shape (len(df), nodes)."""
    low = np.sqrt(2 * special.gammaincinv(df / 2, _FAR) / df)
    high = np.sqrt(2 * special.gammainccinv(df / 2, _FAR) / df)
    grid, shares = np.polynomial.legendre.leggauss(_NODES)
    panels = _SPREAD_PANELS[bool(df.min() < _WIDE_SPREAD)]
    edges = np.linspace(low, high, panels + 1, axis=-1)
    half = np.diff(edges) / 2
    r = ((edges[:, :-1] + half)[..., None] + half[..., None] * grid).reshape(len(df), -1)
    weights = np.tile(shares, (len(df), panels))
    # The density without its constant, in a form that keeps its digits near its top at 1.
    rest = df[:, None]
    weights = weights * np.exp((rest - 1) * np.log(r) - rest * (r - 1) * (r + 1) / 2)
    return r, weights / weights.sum(-1, keepdims=True)


def _quantiles(alpha: float, power: float) -> float:
    return float(special.ndtri(1 - alpha / 2) + special.ndtri(power))


def _check(alpha: float, power: float, difference: float, sd: float) -> None:
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise UsageError(f"{name} is {value:g}; a share between 0 and 1 is needed")
    if power <= alpha:
        raise UsageError(f"power {power:g} is not above alpha {alpha:g}; any trial has that")
    if difference == 0 or not math.isfinite(difference):
        raise UsageError(f"difference is {difference:g}; a trial detects a difference other than 0")
    if not sd > 0:
        raise UsageError(f"sd is {sd:g}; a standard deviation is above 0")
