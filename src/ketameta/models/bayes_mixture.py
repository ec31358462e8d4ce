"""Finite mixtures of normals and the root finder that inverts their distribution functions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

FloatArray = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Mixture:
    """A finite mixture of normal distributions, or several side by side.

    Attributes
    ----------
    weights : ndarray of shape (nodes,)
        Probabilities that sum to 1.
    means, sds : ndarray of shape (nodes,) or (nodes, series)
        Component means and standard deviations.
    """

    weights: FloatArray
    means: FloatArray
    sds: FloatArray

    def cdf(self, x: float | FloatArray) -> FloatArray:
        """Return P(X < x); ``x`` is a scalar, or one value per series."""
        return self._averaged(special.ndtr((x - self.means) / self.sds))

    def pdf(self, x: float | FloatArray) -> FloatArray:
        """Return the density at ``x``; ``x`` is a scalar, or one value per series."""
        z = (x - self.means) / self.sds
        return np.asarray(self.weights @ (np.exp(-0.5 * z * z) / self.sds) / math.sqrt(2 * math.pi))

    def _averaged(self, values: FloatArray) -> FloatArray:
        # Not a matrix product: its threads would wait for each other over so little work.
        return np.asarray(np.einsum("n,n...->...", self.weights, values))

    def mean(self) -> FloatArray:
        """Return the mean of each series."""
        return np.asarray(self.weights @ self.means)

    def sd(self) -> FloatArray:
        """Return the standard deviation of each series."""
        centred = self.means - self.mean()
        return np.asarray(np.sqrt(self.weights @ (self.sds**2 + centred**2)))

    def quantile(self, probability: float) -> FloatArray:
        """Return the value below which the mixture holds ``probability``, per series."""
        return self.quantiles((probability,))[0]

    def quantiles(self, probabilities: Sequence[float]) -> FloatArray:
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

        def value(x: FloatArray) -> tuple[FloatArray, FloatArray]:
            z = (x - means) / sds
            density = self._averaged(np.exp(-0.5 * z * z) / sds) / math.sqrt(2 * math.pi)
            return self._averaged(special.ndtr(z)) - asked, density

        return solve_increasing(value, low, high, start).reshape(n, *self.means.shape[1:])

    def _bracket(
        self, start: FloatArray, step: FloatArray, probability: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        low, high = start - step, start + step
        for _ in range(1000):
            above, below = self.cdf(low) > probability, self.cdf(high) < probability
            if not (np.any(above) or np.any(below)):
                break
            low = np.where(above, low - 2 * (high - low), low)
            high = np.where(below, high + 2 * (high - low), high)
        return low, high


def solve_increasing(
    value: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    low: FloatArray,
    high: FloatArray,
    start: FloatArray,
) -> FloatArray:
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
