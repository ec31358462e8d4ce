"""Begg and Mazumdar's rank correlation of effects and variances, with its exact distribution."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ketameta.errors import NotEstimableError
from ketameta.formatting import format_number, format_p, plural
from ketameta.models.least_squares import Array, power_of_two_scale
from ketameta.models.resampling.batched import fit_data
from ketameta.models.results import Caveat, Result
from ketameta.models.small_study.inputs import ZERO_DEVIATION, few_studies_caveats

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class RankTest(Result):
    """Kendall's correlation of standardised effects and variances.

    Attributes
    ----------
    tau : float
        Tau-b where there are ties.
    p_value : float
    exact : bool
        From the distribution of all orders; False with ties, where it is a normal approximation.
    k : int
    caveats : tuple of Caveat
    """

    tau: float
    p_value: float
    exact: bool
    k: int
    caveats: tuple[Caveat, ...]

    def summary(self) -> str:
        """Return the correlation and its test."""
        how = "exact" if self.exact else "normal approximation, ties"
        lines = [
            f"<RankTest: {plural(self.k, 'study', 'studies')}>",
            f"  asymmetry   Kendall's tau = {format_number(self.tau)},"
            f" {format_p(self.p_value)} ({how})",
        ]
        lines += [f"  caveat      {caveat.message}" for caveat in self.caveats]
        return "\n".join(lines)


def rank_test(fit: RandomEffects) -> RankTest:
    """Test whether effects and variances are correlated, by ranks.

    Parameters
    ----------
    fit : RandomEffects
        With at least two studies; two always have p = 1.

    Returns
    -------
    RankTest
        With a caveat below ten studies.

    Raises
    ------
    NotEstimableError
        One study, or variances (or standardised effects) that are all equal.

    Notes
    -----
    Effects are taken as deviations from the common-effect mean, divided by the standard error of
    that deviation, ``sqrt(v - 1 / sum(1 / v))``. Equal to metafor's ``ranktest``, which hands them
    to R's ``cor.test(method="kendall", exact=TRUE)``: exact without ties, otherwise the normal
    approximation with tie-corrected variance and no continuity correction.

    References
    ----------
    Begg and Mazumdar (1994), Biometrics 50, 1088-1101. Kendall (1970), Rank Correlation Methods.
    """
    data = fit_data(fit, "a rank test")
    scale = power_of_two_scale(data.v)
    y, v = data.y / scale, data.v / scale**2
    w = 1 / v
    mean = float(w @ y / w.sum())
    deviations = y - mean
    # A study at the mean has a deviation of 0; its rounding error is not to be ranked.
    deviations[np.abs(deviations) < ZERO_DEVIATION * np.abs(y)] = 0.0
    tau, p_value, exact = kendall(deviations / np.sqrt(v - 1 / w.sum()), v)
    return RankTest(tau, p_value, exact, fit.k, few_studies_caveats(fit.k))


def kendall(x: Array, y: Array) -> tuple[float, float, bool]:
    """Return Kendall's tau-b, its two-sided p-value, and whether that is exact.

    Raises :class:`NotEstimableError` when all values of either are equal.
    """
    n = len(x)
    score = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    s = float(np.triu(score, 1).sum())
    pairs = n * (n - 1) / 2
    x_ties, y_ties = _ties(x), _ties(y)
    free_x, free_y = (pairs - float((t * (t - 1)).sum()) / 2 for t in (x_ties, y_ties))
    if free_x == 0 or free_y == 0:
        raise NotEstimableError(
            "all studies have the same variance (or the same standardised effect), so that there"
            " are no ranks to correlate"
        )
    tau = s / math.sqrt(free_x * free_y)
    if free_x == pairs and free_y == pairs:
        concordant = round((s + pairs) / 2)
        lower = min(concordant, round(pairs) - concordant)
        return tau, min(1.0, 2 * lower_tail(n, lower)), True
    variance = n * (n - 1) * (2 * n + 5) / 18
    first = second = 1.0
    for ties in (x_ties, y_ties):
        variance -= float((ties * (ties - 1) * (2 * ties + 5)).sum()) / 18
        first *= float((ties * (ties - 1)).sum())
        second *= float((ties * (ties - 1) * (ties - 2)).sum())
    variance += first / (2 * n * (n - 1)) + second / (9 * n * (n - 1) * (n - 2))
    return tau, float(special.erfc(abs(s) / math.sqrt(2 * variance))), False


def lower_tail(n: int, inversions: int) -> float:
    """Return the probability that a random order of ``n`` has at most so many inversions.

    The number of inversions is a sum of independent uniform numbers on 0..i-1, i = 1..n; their
    distributions are multiplied out up to the value asked for.
    """
    chance = np.zeros(inversions + 1)
    chance[0] = 1.0
    for size in range(2, n + 1):
        summed = np.cumsum(chance)
        chance = summed / size
        chance[size:] -= summed[:-size] / size
    return float(chance.sum())


def _ties(values: Array) -> Array:
    """Return the sizes of the groups of equal values."""
    return np.unique(values, return_counts=True)[1].astype(float)
