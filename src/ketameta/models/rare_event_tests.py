"""Tests on the two-by-two tables of k trials: association, equal odds ratios, heterogeneity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from ketameta.arrays import Floats
from ketameta.models.event_tables import EventTables
from ketameta.models.rare_event_results import ChiSquared
from ketameta.models.results import Caveat

#: Mantel and Fleiss: the counts expected under treatment must leave at least this much room to
#: their smallest and largest possible sums, or the chi-squared approximation fails.
MANTEL_FLEISS_LEAST = 5.0


class Spread(NamedTuple):
    """Cochran's Q and what follows from it; nothing where fewer than two trials inform."""

    q: float | None = None
    df: int | None = None
    p_value: float | None = None
    i2: float | None = None
    h2: float | None = None


def spread(q: float, k: int) -> Spread:
    """Return Q of k trials with its test and I-squared."""
    if k < 2:
        return Spread()
    df = k - 1
    i2 = max(0.0, (q - df) / q) if q > 0 else 0.0
    return Spread(q, df, float(stats.chi2.sf(q, df)), i2, q / df)


def hypergeometric(tables: EventTables) -> tuple[Floats, Floats]:
    """Return mean and variance of the events under treatment, given both margins."""
    n1, n2, n, events = tables.n1, tables.n2, tables.n, tables.events
    variance = events * (n - events) * (n1 / n) * (n2 / n) / (n - 1)
    return events * n1 / n, variance


def association_test(tables: EventTables, *, correct: bool) -> ChiSquared | None:
    """Return the Cochran-Mantel-Haenszel test, with or without continuity correction."""
    expected, variance = hypergeometric(tables)
    total = float(variance.sum())
    if total == 0:
        return None
    distance = abs(float((tables.a - expected).sum()))
    statistic = max(0.0, distance - (0.5 if correct else 0.0)) ** 2 / total
    return ChiSquared(statistic, 1, float(stats.chi2.sf(statistic, 1)))


def equal_odds_ratios(
    tables: EventTables, ratio: float
) -> tuple[ChiSquared | None, ChiSquared | None]:
    """Return the Breslow-Day test and its correction by Tarone."""
    used = tables.take(~tables.double_zero)
    if used.k < 2:
        return None, None
    n1, n2, events = used.n1, used.n2, used.events
    # Fitted cell: the smaller root of (psi - 1) x^2 - B x + psi n1 m = 0, without cancellation.
    b = ratio * (n1 + events) + n2 - events
    fitted = 2 * ratio * n1 * events / (b + np.sqrt(b**2 - 4 * n1 * events * ratio * (ratio - 1)))
    cells = (fitted, n1 - fitted, events - fitted, n2 - events + fitted)
    variance = 1 / np.sum([1 / cell for cell in cells], axis=0)
    distance = used.a - fitted
    breslow_day = max(0.0, float((distance**2 / variance).sum()))
    tarone = max(0.0, breslow_day - float(distance.sum()) ** 2 / float(variance.sum()))
    df = used.k - 1
    return (
        ChiSquared(breslow_day, df, float(stats.chi2.sf(breslow_day, df))),
        ChiSquared(tarone, df, float(stats.chi2.sf(tarone, df))),
    )


def mantel_fleiss_caveats(tables: EventTables) -> list[Caveat]:
    """Return a caveat when there are too few events for a normal approximation."""
    expected, _ = hypergeometric(tables)
    lowest = np.maximum(0, tables.events - tables.n2)
    highest = np.minimum(tables.n1, tables.events)
    room = min(float((expected - lowest).sum()), float((highest - expected).sum()))
    if room >= MANTEL_FLEISS_LEAST:
        return []
    return [
        Caveat(
            "few_events",
            f"So few events that the normal approximation is doubtful (Mantel–Fleiss criterion "
            f"{room:.1f}, {MANTEL_FLEISS_LEAST:g} or more is needed); report the counts.",
        )
    ]
