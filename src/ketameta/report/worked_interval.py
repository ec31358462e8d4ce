"""From an effect and its variance to the printed interval, and from a logarithm to the ratio."""

from __future__ import annotations

import math

from ketameta.report.worked import Z95, Step, number


def ratio_steps(estimate: float, low: float, high: float) -> list[Step]:
    """Return the steps from a logarithm and its limits to the ratio that is printed."""
    return [
        Step("ratio", "eʸ", f"e^{_b(estimate)}", math.exp(estimate)),
        Step("ratio low", "e to the lower limit", f"e^{_b(low)}", math.exp(low)),
        Step("ratio high", "e to the upper limit", f"e^{_b(high)}", math.exp(high)),
    ]


def interval_steps(estimate: float, variance: float, *, is_ratio: bool) -> list[Step]:
    """Return the steps from an effect and its variance to the interval of its row."""
    se = math.sqrt(variance)
    low, high = estimate - Z95 * se, estimate + Z95 * se
    steps = [
        Step("SE", "√V", f"√{number(variance)}", se),
        Step("low", "y − z SE", f"{_b(estimate)} − {number(Z95)} × {number(se)}", low),
        Step("high", "y + z SE", f"{_b(estimate)} + {number(Z95)} × {number(se)}", high),
    ]
    return [*steps, *(ratio_steps(estimate, low, high) if is_ratio else ())]


def _b(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)
