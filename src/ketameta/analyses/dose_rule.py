"""How an analysis of kind ``dose_response`` reads doses. Knows no model and no data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ketameta.analyses.spec_problems import Problems

#: Forms of the curve through the effect of no dose.
TRANSFORMATIONS = ("linear", "spline")
#: Knots of a restricted cubic spline as shares of the doses given: three knots (Harrell 2015).
KNOT_SHARES = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True)
class DoseRule:
    """Doses that stand on one scale, and the curve drawn through them.

    Attributes
    ----------
    unit : str
        ``dose_unit`` of the arms; arms in other units, and arms without one fixed dose, are left.
    transformation : str
        ``linear`` or ``spline``, the main curve; the other one stands beside it.
    step : float
        The slope is told per this many units.
    knots : tuple of float
        Shares of the doses given, controls included, at which the spline has its knots.
    equivalents : mapping of str to float
        Other units that are converted: how many of ``unit`` one of them is.
    equivalents_reason : str
        Where the conversion comes from.
    """

    unit: str
    transformation: str = "linear"
    step: float = 1.0
    knots: tuple[float, ...] = KNOT_SHARES
    equivalents: Mapping[str, float] = field(default_factory=dict)
    equivalents_reason: str = ""

    def dose(self, amount: float, unit: str) -> float | None:
        """Return an arm's dose on the common scale; ``None`` where it has none."""
        if not math.isfinite(amount):
            return None
        if unit == self.unit:
            return float(amount)
        return float(amount) * self.equivalents[unit] if unit in self.equivalents else None


def read_dose(file: Problems, kind: str) -> DoseRule | None:
    """Return the table ``[dose]`` of a file; what is wrong with it is noted.

    Parameters
    ----------
    file : Problems
    kind : str
        Of the analysis; only ``dose_response`` has doses.
    """
    table = file.table("dose")
    if kind != "dose_response":
        if table:
            file.problems.append("dose: only an analysis with kind = 'dose_response' has doses")
        return None
    allowed = ("unit", "transformation", "step", "knots", "equivalents", "equivalents_reason")
    file.unknown("dose.", table, allowed)
    unit = table.get("unit")
    if not (isinstance(unit, str) and unit):
        file.problems.append('dose.unit: name the dose_unit of the arms, such as unit = "mg"')
        unit = ""
    form = table.get("transformation", "linear")
    if form not in TRANSFORMATIONS:
        file.problems.append(
            f"dose.transformation is {form!r}; choose one of {', '.join(TRANSFORMATIONS)}"
        )
    if file.table("model").get("tau2_method", "REML") != "REML":
        file.problems.append("model.tau2_method: dose-response curves are fitted by REML only")
    step = file.number("step", table)
    if step is not None and step <= 0:
        file.problems.append(f"dose.step is {step:g}; a number above 0 is needed")
    return DoseRule(
        unit=unit,
        transformation=str(form),
        step=1.0 if step is None else step,
        knots=_knots(file, table),
        equivalents=_equivalents(file, table),
        equivalents_reason=str(table.get("equivalents_reason", "")),
    )


def _knots(file: Problems, table: Mapping[str, Any]) -> tuple[float, ...]:
    knots = table.get("knots", list(KNOT_SHARES))
    numbers = isinstance(knots, list) and all(_is_number(share) for share in knots)
    rising = numbers and all(a < b for a, b in pairwise(knots))
    if not (rising and len(knots) >= 3 and knots[0] >= 0 and knots[-1] <= 1):
        file.problems.append(
            f"dose.knots is {knots!r}; give at least three rising shares from 0 to 1, such as "
            f"{list(KNOT_SHARES)}"
        )
        return KNOT_SHARES
    return tuple(float(share) for share in knots)


def _equivalents(file: Problems, table: Mapping[str, Any]) -> dict[str, float]:
    factors = table.get("equivalents", {})
    if not isinstance(factors, dict) or not all(
        _is_number(factor) and factor > 0 for factor in factors.values()
    ):
        file.problems.append(
            "dose.equivalents: a table such as {mg_per_kg = 70} is needed, each factor above 0"
        )
        return {}
    if factors and not table.get("equivalents_reason"):
        file.problems.append("dose.equivalents: say where it comes from in equivalents_reason")
    return {str(unit): float(factor) for unit, factor in factors.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
