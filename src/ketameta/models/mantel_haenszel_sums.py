"""Mantel-Haenszel estimates and their standard errors. Knows nothing of tests or caveats."""

from __future__ import annotations

import math
from typing import NamedTuple

from ketameta.errors import NotEstimableError
from ketameta.models.event_tables import EventTables
from ketameta.numberformat import plural
from ketameta.vocabulary import Measure


class Pooled(NamedTuple):
    """An estimate on the scale that is pooled, and its standard error."""

    estimate: float
    se: float


def _refuse_ratio(tables: EventTables, name: str) -> NotEstimableError:
    return NotEstimableError(
        f"the Mantel-Haenszel {name} ratio of {plural(tables.k, 'trial')} is 0, infinite or "
        f"undefined: events {tables.a.sum():g} of {tables.n1.sum():g} under treatment, "
        f"{tables.c.sum():g} of {tables.n2.sum():g} under control; report the counts, or choose "
        "measure='RD'"
    )


def _odds_ratio(tables: EventTables) -> Pooled:
    a, b, c, d, n = tables.a, tables.b, tables.c, tables.d, tables.n
    agree, differ = (a + d) / n, (b + c) / n
    r, s = a * d / n, b * c / n
    upper, lower = float(r.sum()), float(s.sum())
    if upper == 0 or lower == 0:
        raise _refuse_ratio(tables, "odds")
    variance = (
        (agree * r).sum() / upper**2
        + (agree * s + differ * r).sum() / (upper * lower)
        + (differ * s).sum() / lower**2
    ) / 2
    return Pooled(math.log(upper) - math.log(lower), math.sqrt(variance))


def _risk_ratio(tables: EventTables) -> Pooled:
    a, c, n1, n2, n = tables.a, tables.c, tables.n1, tables.n2, tables.n
    upper, lower = float((a * n2 / n).sum()), float((c * n1 / n).sum())
    if upper == 0 or lower == 0:
        raise _refuse_ratio(tables, "risk")
    variance = float(((n1 * n2 * (a + c) - a * c * n) / n**2).sum()) / (upper * lower)
    if variance <= 0:
        raise NotEstimableError(
            "everybody in both arms of every informative trial had the event: the risk ratio is 1 "
            "by construction and has no standard error; choose measure='OR' of the other event"
        )
    return Pooled(math.log(upper) - math.log(lower), math.sqrt(variance))


def _risk_difference(tables: EventTables) -> Pooled:
    a, b, c, d = tables.a, tables.b, tables.c, tables.d
    n1, n2, n = tables.n1, tables.n2, tables.n
    weight = float((n1 * n2 / n).sum())
    estimate = float(((a * n2 - c * n1) / n).sum()) / weight
    p = (c * (n1 / n) ** 2 - a * (n2 / n) ** 2 + (n1 / n) * (n2 / n) * (n2 - n1) / 2).sum()
    q = ((a * d + c * b) / n).sum() / 2
    variance = float(estimate * p + q) / weight**2
    if variance <= 0:
        raise NotEstimableError(
            f"the variance of the Mantel-Haenszel risk difference of {plural(tables.k, 'trial')} "
            "is zero: no trial has both events and non-events"
        )
    return Pooled(estimate, math.sqrt(variance))


#: The estimate of each measure.
POOLED = {Measure.OR: _odds_ratio, Measure.RR: _risk_ratio, Measure.RD: _risk_difference}
