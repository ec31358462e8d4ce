"""Turns numbers of a result into what a figure shows: displayed units, digits, short phrases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from ketameta.numberformat import (
    format_number,
    format_p,
    format_percent,
    format_ratio,
    format_significant,
)

#: exp() of more than this overflows a double.
_LARGEST_LOG = 709.0


def finite(value: Any) -> float | None:
    """Return ``value`` as a float, or None where there is no finite number."""
    if value is None or isinstance(value, (str, bool)):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def display(value: Any, is_ratio: bool) -> float | None:
    """Return ``value`` in displayed units: the ratio itself where the value is its logarithm."""
    number = finite(value)
    if number is None or not is_ratio:
        return number
    return math.exp(max(-_LARGEST_LOG, min(_LARGEST_LOG, number)))


def display_digits(rows: Sequence[Mapping[str, Any]], is_ratio: bool) -> int:
    """Return how many decimals an effect needs: two, unless the typical interval says otherwise.

    Wide intervals (points of blood pressure) get one or none, narrow ones (risk differences)
    get three.
    """
    if is_ratio:
        return 2
    halves = []
    for row in rows:
        low, high = finite(row.get("ci_low")), finite(row.get("ci_high"))
        if low is not None and high is not None and high > low:
            halves.append((high - low) / 2)
    if not halves:
        return 2
    typical = median(halves)
    if typical >= 5:
        return 1 if typical < 500 else 0
    if typical >= 0.05:
        return 2
    return min(6, max(3, 1 - math.floor(math.log10(typical))))


def display_number(value: float | None, digits: int, *, is_ratio: bool = False) -> str:
    """Write an effect in displayed units; extreme ratios as bounds."""
    return format_ratio(value, digits) if is_ratio else format_number(value, digits)


def ci_words(level: float) -> str:
    """Return ``95% CI``."""
    return f"{format_percent(level)} CI"


def cochran_text(values: Mapping[str, Any], q: str, df: str, p: str) -> str:
    """Return ``Q(4) = 11.20, p = 0.024`` with the spaces inside each item unbreakable."""
    degrees = finite(values.get(df))
    inside = f"({format_number(degrees, 0)})" if degrees is not None else ""
    items = [f"Q{inside} = {format_number(finite(values.get(q)), 2)}"]
    p_value = finite(values.get(p))
    if p_value is not None:
        items.append(format_p(p_value))
    return ", ".join(item.replace(" ", "\u00a0") for item in items)


def heterogeneity_text(pooled: Mapping[str, Any]) -> str:
    """Return ``Heterogeneity: τ² = 0.12, I² = 64%, Q(4) = 11.20, p = 0.024``; empty for nothing.

    ``i2`` is a share of one.
    """
    items = []
    tau2 = finite(pooled.get("tau2"))
    if tau2 is not None:
        items.append(f"τ² = {format_significant(tau2, 2)}".replace(" ", "\u00a0"))
    i2 = finite(pooled.get("i2"))
    if i2 is not None:
        items.append(f"I² = {format_percent(i2)}".replace(" ", "\u00a0"))
    if finite(pooled.get("q")) is not None:
        items.append(cochran_text(pooled, "q", "q_df", "q_p_value"))
    return f"Heterogeneity: {', '.join(items)}" if items else ""
