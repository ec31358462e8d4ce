"""The posterior of the between-study standard deviation, by quadrature over its logarithm.

Floats functions only: nodes, weights, quantiles of tau, and mixtures over the nodes. No
sampling, no randomness.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ketameta.effects.arrays import Floats
from ketameta.errors import NotEstimableError
from ketameta.models.bayes.priors import Normal, TauPrior


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A finite mixture of normal distributions, or several side by side.

    Attributes
    ----------
    weights : ndarray of shape (nodes,)
        Probabilities that sum to 1.
    means, sds : ndarray of shape (nodes,) or (nodes, series)
        Component means and standard deviations.
    """

    weights: Floats
    means: Floats
    sds: Floats

    def cdf(self, x: float | Floats) -> Floats:
        """Return P(X < x); ``x`` is a scalar, or one value per series."""
        return self._averaged(special.ndtr((x - self.means) / self.sds))

    def pdf(self, x: float | Floats) -> Floats:
        """Return the density at ``x``; ``x`` is a scalar, or one value per series."""
        z = (x - self.means) / self.sds
        return np.asarray(self.weights @ (np.exp(-0.5 * z * z) / self.sds) / math.sqrt(2 * math.pi))

    def _averaged(self, values: Floats) -> Floats:
        # Not a matrix product: its threads would wait for each other over so little work.
        return np.asarray(np.einsum("n,n...->...", self.weights, values))

    def mean(self) -> Floats:
        """Return the mean of each series."""
        return np.asarray(self.weights @ self.means)

    def sd(self) -> Floats:
        """Return the standard deviation of each series."""
        centred = self.means - self.mean()
        return np.asarray(np.sqrt(self.weights @ (self.sds**2 + centred**2)))

    def quantiles(self, probabilities: Sequence[float]) -> Floats:
        """Return several quantiles at once, shape (probabilities,) or (probabilities, series)."""
        n = len(probabilities)
        nodes = len(self.weights)
        columns = [values.reshape(nodes, 1, -1) for values in (self.means, self.sds)]
        means, sds = (np.repeat(values, n, axis=1).reshape(nodes, -1) for values in columns)
        asked = np.repeat(np.asarray(probabilities, dtype=np.float64), means.shape[1] // n)
        every = Mixture(self.weights, means, sds)
        node = int(np.searchsorted(np.cumsum(self.weights), 0.5))
        start = means[node] + special.ndtri(asked) * sds[node]
        low, high = every._bracket(start, sds[node], asked)

        def value(x: Floats) -> tuple[Floats, Floats]:
            z = (x - means) / sds
            density = self._averaged(np.exp(-0.5 * z * z) / sds) / math.sqrt(2 * math.pi)
            return self._averaged(special.ndtr(z)) - asked, density

        return solve_increasing(value, low, high, start).reshape(n, *self.means.shape[1:])

    def _bracket(self, start: Floats, step: Floats, probability: Floats) -> tuple[Floats, Floats]:
        low, high = start - step, start + step
        for _ in range(1000):
            above, below = self.cdf(low) > probability, self.cdf(high) < probability
            if not (np.any(above) or np.any(below)):
                break
            low = np.where(above, low - 2 * (high - low), low)
            high = np.where(below, high + 2 * (high - low), high)
        return low, high


def solve_increasing(
    value: Callable[[Floats], tuple[Floats, Floats]],
    low: Floats,
    high: Floats,
    start: Floats,
) -> Floats:
    """Solve increasing ``value(x) = 0`` between ``low`` and ``high``: Newton, kept in a bracket."""
    low, high = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
    width = high - low
    x = np.array(start, dtype=np.float64)
    settled = np.zeros(x.shape, dtype=bool)
    for _ in range(200):
        f, slope = value(x)
        low = np.where(f < 0, x, low)
        high = np.where(f > 0, x, high)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = x - f / slope
        inside = (step >= low) & (step <= high)
        following = np.where(inside, step, (low + high) / 2)
        # A Newton step this short leaves an error of its square; a halving has to run out.
        enough = np.where(inside, 1e-9, 4e-16) * width + 4e-16 * np.abs(x)
        moved = ~settled & (f != 0)
        settled |= (f == 0) | (np.abs(following - x) <= enough)
        x = np.where(moved, following, x)
        if np.all(settled):
            return x
    return x  # a bracket halved 200 times has no room left


#: Gauss-Legendre points per panel. The integrand is analytic in log(tau) out to a distance of
#: about pi/2; panels of width 1 then integrate and interpolate to the last digits of float64.
POINTS = 16
#: A panel is halved until both halves agree with the whole to this share of the total mass.
PANEL_TOLERANCE = 1e-14
#: A panel is halved until its last two Legendre coefficients, times its width, are below this share
#: of the total mass: what a quantile of tau can be wrong by, in probability.
INTERPOLATION_TOLERANCE = 1e-12
#: Panels whose density stays this far (in log units) below the largest one hold no visible mass.
NEGLIGIBLE = 60.0
#: Distance of panel edges from the mode, in log(tau): fine in the middle, doubling outwards.
_STEPS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 320.0])
#: Most refinements of the grid on which the mode is looked for.
_ZOOMS = 12
#: log(tau) stays where tau**2 neither overflows nor underflows.
_LOG_TAU_LIMIT = 350.0

NODES, WEIGHTS = np.polynomial.legendre.leggauss(POINTS)
_VANDER = np.polynomial.legendre.legvander(NODES, POINTS - 1)
#: Values at the points -> Legendre coefficients (exact for polynomials of this degree).
_TO_LEGENDRE = (_VANDER * WEIGHTS[:, None]).T * (np.arange(POINTS)[:, None] + 0.5)
#: Values at the points -> coefficients of the integral from -1.
_TO_INTEGRAL = np.polynomial.legendre.legint(_TO_LEGENDRE, lbnd=-1, axis=0)
#: Values at the points -> integral from -1 to each point.
_CUMULATE = np.polynomial.legendre.legvander(NODES, POINTS) @ _TO_INTEGRAL


def _chebyshev(x: Floats, degree: int) -> Floats:
    """Return the Chebyshev polynomials at ``x`` in [-1, 1], shape (n, degree + 1).

    The cosine gives all degrees at once; a recurrence would be a dozen small steps for each.
    """
    return np.asarray(np.cos(np.arccos(x)[:, None] * np.arange(degree + 1)))


def _as_chebyshev(values: NDArray[np.floating[Any]]) -> Floats:
    """Return the Chebyshev coefficients of polynomials with Legendre coefficients ``values``."""
    n = len(values)
    nodes = np.cos((np.arange(n) + 0.5) * np.pi / n)
    found = 2 / n * _chebyshev(nodes, n - 1).T @ np.polynomial.legendre.legvander(nodes, n - 1)
    found[0] /= 2
    return np.asarray(found @ values)


#: Values at the points -> Chebyshev coefficients of the interpolant and of its integral from -1.
_TO_DENSITY, _TO_MASS = _as_chebyshev(_TO_LEGENDRE), _as_chebyshev(_TO_INTEGRAL)


@dataclasses.dataclass(frozen=True, slots=True)
class TauPosterior:
    """The posterior of tau on contiguous panels of log(tau), normalised.

    ``density`` (panels, POINTS) is of log(tau) at the nodes, ``tau`` and ``weights`` the nodes and
    their probabilities, ``cumulative`` the probability below each of ``edges``, ``log_marginal``
    the logarithm of the normalising constant: the marginal likelihood of the data.
    """

    edges: Floats
    density: Floats
    tau: Floats
    weights: Floats
    cumulative: Floats
    log_marginal: float

    def quantile(self, probability: Floats) -> Floats:
        """Return tau below which the posterior holds ``probability``, shape (n,); 0 for 0."""
        tau = np.where(probability <= 0, 0.0, math.exp(self.edges[-1]))
        inner = (probability > 0) & (probability < self.cumulative[-1])
        if not np.any(inner):
            return tau
        p = probability[inner]
        panel = np.searchsorted(self.cumulative, p, side="right") - 1
        width = np.diff(self.edges)
        half = width[panel] / 2
        integral = (self.density @ _TO_MASS.T)[panel] * half[:, None]
        slope = (self.density @ _TO_DENSITY.T)[panel] * half[:, None]
        target = p - self.cumulative[panel]
        below = self.density @ _CUMULATE.T * (width / 2)[:, None] + self.cumulative[:-1, None]
        guess = np.interp(p, below.ravel(), _nodes(self.edges[:-1], self.edges[1:]).ravel())

        def value(x: Floats) -> tuple[Floats, Floats]:
            basis = _chebyshev(x, POINTS)
            return (
                np.einsum("ij,ij->i", basis, integral) - target,
                np.einsum("ij,ij->i", basis[:, :-1], slope),
            )

        start = np.clip((guess - self.edges[panel]) / half - 1, -1.0, 1.0)
        x = solve_increasing(value, np.full(p.size, -1.0), np.full(p.size, 1.0), start)
        tau[inner] = np.exp(self.edges[panel] + half * (x + 1))
        return tau

    def density_at(self, tau: Floats) -> Floats:
        """Return the posterior density of tau (not of its logarithm); 0 outside the panels."""
        u = np.log(np.where(tau > 0, tau, 1.0))
        panel = np.clip(np.searchsorted(self.edges, u, side="right") - 1, 0, self.edges.size - 2)
        half = np.diff(self.edges)[panel] / 2
        x = (u - self.edges[panel]) / half - 1
        basis = _chebyshev(np.clip(x, -1, 1), POINTS - 1)
        values = np.einsum("ij,ij->i", basis, (self.density @ _TO_DENSITY.T)[panel])
        inside = (tau > 0) & (x >= -1) & (x <= 1)
        return np.where(inside, np.maximum(values, 0.0) / np.where(tau > 0, tau, 1.0), 0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Conditional:
    """What is analytic given tau: shapes (nodes,) or (nodes, k).

    log p(y | tau) with the mean integrated out, the posterior of the mean given tau, and the weight
    of each study in that mean, relative to all precision.
    """

    log_likelihood: Floats
    mu_mean: Floats
    mu_sd: Floats
    shares: Floats


def conditional_on_tau(y: Floats, v: Floats, tau: Floats, mean_prior: Normal | None) -> Conditional:
    """Integrate the mean effect out for each tau; no prior on it is uniform with density 1.

    With total precision ``P = sum w_i (+ 1 / s0**2)``, ``w_i = 1 / (v_i + tau**2)``, the mean is
    normal with variance ``1 / P`` (Röver 2020, doi:10.18637/jss.v093.i06). Residuals are taken
    about the conditional mean, so that a large common effect costs no digits.
    """
    total = v + (tau**2)[:, None]
    w = 1.0 / total
    centre = float(y.mean())
    d = y - centre
    precision = w.sum(axis=1)
    pull = w @ d
    if mean_prior is not None:
        prior_precision = 1.0 / mean_prior.sd**2
        pull = pull + prior_precision * (mean_prior.mean - centre)
        precision = precision + prior_precision
    offset = pull / precision
    squares = (w * (d - offset[:, None]) ** 2).sum(axis=1)
    log_likelihood = -0.5 * (np.log(total).sum(axis=1) + squares + np.log(precision))
    log_likelihood -= 0.5 * (y.size - 1) * math.log(2 * math.pi)
    if mean_prior is not None:
        gap = offset + (centre - mean_prior.mean)
        log_likelihood += -0.5 * (gap / mean_prior.sd) ** 2 - math.log(mean_prior.sd)
        log_likelihood -= 0.5 * math.log(2 * math.pi)
    return Conditional(log_likelihood, centre + offset, precision**-0.5, w / precision[:, None])


def _highest(scan: Floats, log_density: Callable[[Floats], Floats]) -> float:
    """Return the highest point of a grid, made finer around it while the grid is too coarse."""
    for _ in range(_ZOOMS):
        heights = log_density(scan)
        top = int(np.argmax(heights))
        beside = heights[max(top - 1, 0) : top + 2]
        around = scan[max(top - 1, 0)], scan[min(top + 1, scan.size - 1)]
        # Where prior and data are far apart the posterior is a needle between two grid points.
        if not np.isfinite(heights[top]) or heights[top] - beside.min() <= 1.0:
            break
        if around[1] - around[0] <= 1e-12:
            break
        scan = np.linspace(*around, 33)
    return float(scan[top])


def tau_posterior(
    y: Floats, v: Floats, tau_prior: TauPrior, mean_prior: Normal | None
) -> TauPosterior:
    """Return the posterior of tau in the normal-normal model."""

    def log_likelihood(tau: Floats) -> Floats:
        found = conditional_on_tau(y, v, tau.ravel(), mean_prior).log_likelihood
        return found.reshape(tau.shape)

    return posterior_of_tau(log_likelihood, tau_prior, float(np.sqrt(np.median(v)) + np.ptp(y)))


def posterior_of_tau(
    log_likelihood: Callable[[Floats], Floats], tau_prior: TauPrior, spread: float
) -> TauPosterior:
    """Integrate likelihood times prior over log(tau), on panels halved until they agree.

    ``log_likelihood`` gives log p(data | tau) for tau of any shape; ``spread`` is how far the
    estimates lie apart, their own errors included: where to look first.
    """

    def log_density(u: Floats) -> Floats:
        tau = np.exp(u)
        return log_likelihood(tau) + tau_prior.logpdf(tau) + u

    top = min(_LOG_TAU_LIMIT, math.log(tau_prior.upper))
    spread = math.log(spread)
    reach = 3.0 * max(2.0, abs(math.log(tau_prior.typical) - spread))
    middle = 0.5 * (math.log(tau_prior.typical) + spread)
    scan = np.linspace(middle - reach, min(middle + reach, top), 61)
    mode = _highest(scan, log_density)
    edges = np.concatenate([mode - _STEPS[:0:-1], mode + _STEPS])
    edges = np.append(edges[(edges > -_LOG_TAU_LIMIT) & (edges < top - 1e-3)], top)
    low, high = edges[:-1], edges[1:]
    values = log_density(_nodes(low, high))
    largest = max(float(values.max()), float(log_density(np.array([mode]))[0]))
    if not math.isfinite(largest):
        raise NotEstimableError(
            f"the prior ({tau_prior.describe()}) leaves no tau to integrate over"
        )
    # Moments of tau weight the upper tail; keep it where tau**2 times the density still counts.
    boosted = values + 2 * np.maximum(_nodes(low, high) - mode, 0.0)
    kept = np.flatnonzero(boosted.max(axis=1) > largest - NEGLIGIBLE)
    if kept.size == 0:
        raise NotEstimableError(
            f"the prior ({tau_prior.describe()}) and the estimates are too far apart for a"
            " posterior of tau; check the unit of the estimates, or give the prior a scale in it"
        )
    first, last = int(kept[0]), int(kept[-1]) + 1
    low, high, values = low[first:last], high[first:last], values[first:last]
    low, high, density = _refine(low, high, np.exp(values - largest), log_density, largest)
    mass = (density @ WEIGHTS) * (high - low) / 2
    total = float(mass.sum())
    density = density / total
    weights = density * WEIGHTS * ((high - low) / 2)[:, None]
    return TauPosterior(
        edges=np.append(low, high[-1]),
        density=density,
        tau=np.exp(_nodes(low, high)).ravel(),
        weights=(weights / weights.sum()).ravel(),
        cumulative=np.concatenate([[0.0], np.cumsum(mass / total)]),
        log_marginal=largest + math.log(total),
    )


def _nodes(low: Floats, high: Floats) -> Floats:
    return (low + high)[:, None] / 2 + ((high - low) / 2)[:, None] * NODES


def _refine(
    low: Floats,
    high: Floats,
    density: Floats,
    log_density: Callable[[Floats], Floats],
    largest: float,
) -> tuple[Floats, Floats, Floats]:
    """Halve every panel that does not yet agree with its halves."""
    done: list[tuple[Floats, Floats, Floats]] = []
    total = float(((density @ WEIGHTS) * (high - low) / 2).sum())
    for _ in range(40):
        middle = (low + high) / 2
        left = np.exp(log_density(_nodes(low, middle)) - largest)
        right = np.exp(log_density(_nodes(middle, high)) - largest)
        quarter = (high - low) / 4
        whole = (density @ WEIGHTS) * quarter * 2
        gap = np.abs((left @ WEIGHTS + right @ WEIGHTS) * quarter - whole)
        fine = gap <= PANEL_TOLERANCE * max(total, float(whole.sum()))
        # The interpolant, which quantiles of tau are read from, has to have converged as well.
        last = np.abs(density @ _TO_LEGENDRE[-2:].T).max(axis=1)
        fine &= last * (high - low) <= INTERPOLATION_TOLERANCE * total
        done.append((low[fine], high[fine], density[fine]))
        if np.all(fine):
            break
        rough = ~fine
        density = np.concatenate([left[rough], right[rough]])
        low, high, middle = low[rough], high[rough], middle[rough]
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    else:
        raise NotEstimableError("the posterior of tau did not settle: a variance is far too small")
    low, high, density = (np.concatenate(parts) for parts in zip(*done, strict=True))
    order = np.argsort(low)
    return low[order], high[order], density[order]


def shortest_interval(posterior: TauPosterior, level: float) -> tuple[float, float]:
    """Return the shortest interval of tau that holds ``level`` of its posterior.

    Minimises the width between the quantiles at p and p + level over p, on three nested grids and
    one secant step on the difference of the densities at both ends; the interval starts at 0 when
    the density falls throughout.
    """
    low, high, best = 0.0, 1.0 - level, 0.0
    for _ in range(3):
        p = np.linspace(low, high, 33)
        ends = posterior.quantile(np.concatenate([p, np.minimum(p + level, 1.0)])).reshape(2, -1)
        index = int(np.argmin(ends[1] - ends[0]))
        best = float(p[index])
        around = [max(index - 1, 0), min(index + 1, 32)]
        low, high = (float(end) for end in p[around])
    if best > 0:
        f = posterior.density_at(ends[0, around]) - posterior.density_at(ends[1, around])
        if f[0] < 0 < f[1]:
            best = low - float(f[0] / (f[1] - f[0])) * (high - low)
    lower, upper = posterior.quantile(np.array([best, best + level]))
    return float(lower), float(upper)
