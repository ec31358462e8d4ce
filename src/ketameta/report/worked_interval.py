"""From an effect and its variance to the printed interval, and from a logarithm to the ratio."""

from __future__ import annotations

import math

from ketameta.models.intervals import critical_value
from ketameta.report.worked import Step, number


def ratio_steps(estimate: float, low: float, high: float) -> list[Step]:
    """Return the steps from a logarithm and its limits to the ratio that is printed."""
    return [
        Step("ratio", "eʸ", f"e^{_b(estimate)}", math.exp(estimate)),
        Step("ratio low", "e to the lower limit", f"e^{_b(low)}", math.exp(low)),
        Step("ratio high", "e to the upper limit", f"e^{_b(high)}", math.exp(high)),
    ]


def interval_steps(
    estimate: float, variance: float, *, is_ratio: bool, level: float = 0.95
) -> list[Step]:
    """Return the steps from an effect and its variance to the interval of its row."""
    se, z = math.sqrt(variance), critical_value(level, None)
    low, high = estimate - z * se, estimate + z * se
    steps = [
        Step("SE", "√V", f"√{number(variance)}", se),
        Step("low", "y − z SE", f"{_b(estimate)} − {number(z)} × {number(se)}", low),
        Step("high", "y + z SE", f"{_b(estimate)} + {number(z)} × {number(se)}", high),
    ]
    return [*steps, *(ratio_steps(estimate, low, high) if is_ratio else ())]


def _b(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)
