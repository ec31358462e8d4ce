"""Rules that several conversions share."""

from __future__ import annotations

import numpy as np
from scipy import stats

from ketameta.effects.arrays import Floats, Problems

#: Reference distributions of a printed interval or P value.
DISTRIBUTIONS = ("t", "normal")


def two_sided_quantile(p_two_sided: Floats | float, df: Floats | None) -> Floats:
    """Return the positive quantile that leaves ``p_two_sided`` in both tails together."""
    tail = np.asarray(p_two_sided, dtype=np.float64) / 2
    value = stats.norm.isf(tail) if df is None else stats.t.isf(tail, df)
    return np.asarray(value, dtype=np.float64)


def must_be_positive(**arguments: Floats) -> Problems:
    """Start a list of problems with every value that is not above 0."""
    problems = Problems()
    for name, values in arguments.items():
        problems.add(name, values, values <= 0, "> 0")
    return problems


def must_be_ordered(problems: Problems, low: Floats, high: Floats) -> None:
    """Note every interval whose upper bound is not above its lower bound."""
    problems.add("ci_high", high, high <= low, "above ci_low")


def must_be_two_or_more(problems: Problems, **arguments: Floats) -> None:
    """Note every arm with fewer than two participants."""
    for name, values in arguments.items():
        problems.add(name, values, values < 2, "2 or more")


def must_be_share(problems: Problems, p: Floats) -> None:
    """Note every P value that is not strictly between 0 and 1."""
    problems.add("p", p, (p <= 0) | (p >= 1), "strictly between 0 and 1")
