"""Designs of a next trial: two arms, two groups compared within a trial, counted outcomes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from ketameta.models.power import (
    normal_sample_size,
    t_test_power,
    t_test_sample_size,
    two_proportions_power,
    two_proportions_sample_size,
)
from ketameta.numberformat import format_number
from ketameta.vocabulary import Measure

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec, NextTrial

#: A difference between the effects in two halves of a trial has four times the variance of its
#: effect.
INTERACTION = 4


def design_of(spec: AnalysisSpec, plan: NextTrial) -> str:
    """Return ``arms``, ``groups`` (a difference between two groups) or ``risks``."""
    if plan.baseline_risk is not None:
        return "risks"
    return "groups" if spec.kind == "within_trial" else "arms"


def size_of(plan: NextTrial, design: str, power: float) -> dict[str, Any]:
    """Return the people per arm that a design needs for a power.

    Notes
    -----
    ``arms``: the t test. ``risks``: the normal approximation. ``groups``: two groups of equal size
    in each arm; the difference of two effects has variance ``8 sd^2 / n`` instead of ``2 sd^2 / n``
    and needs four times the people (Brookes and others 2004, J. Clin. Epidemiol. 57, 229-236).
    """
    if design == "risks":
        control, treated = _risks(plan)
        normal = two_proportions_sample_size(control, treated, plan.alpha, power)
        exact = math.ceil(normal)
    elif design == "groups":
        single = normal_sample_size(plan.important_difference, plan.sd, plan.alpha, power)
        normal = INTERACTION * single
        exact = 2 * math.ceil(normal / 2)
    else:
        normal = normal_sample_size(plan.important_difference, plan.sd, plan.alpha, power)
        exact = t_test_sample_size(plan.important_difference, plan.sd, plan.alpha, power)
    return {"power": power, "normal": normal, "exact": exact, "total": 2 * exact}


def power_of(plan: NextTrial, design: str) -> Any:
    """Return the power of each declared size."""
    sizes = np.array(plan.n_per_arm)
    if design == "risks":
        return two_proportions_power(*_risks(plan), sizes, plan.alpha)
    if design == "groups":
        z = special.ndtri(1 - plan.alpha / 2)
        shift = np.abs(plan.important_difference) / plan.sd * np.sqrt(sizes / (2 * INTERACTION))
        return special.ndtr(shift - z) + special.ndtr(-shift - z)
    return t_test_power(plan.important_difference, plan.sd, sizes, plan.alpha)


def difference_words(spec: AnalysisSpec, plan: NextTrial) -> str:
    """Return the difference to detect with its unit: ``0.50 standard deviations``."""
    if plan.baseline_risk is not None:
        more = "more" if plan.important_difference > 0 else "fewer"
        number = format_number(1000 * abs(plan.important_difference), 0)
        return (
            f"{number} {more} people per 1,000 than the "
            f"{format_number(1000 * plan.baseline_risk, 0)} on control"
        )
    unit = "standard deviations" if spec.model.measure is Measure.SMD else plan.unit
    return f"{format_number(abs(plan.important_difference))} {unit}"


def test_words(design: str, alpha: float) -> str:
    """Return what the size rests on."""
    level = format_number(alpha)
    if design == "risks":
        return f"two-sided test of two risks at {level}, normal approximation"
    if design == "groups":
        return (
            f"two-sided test at {level}, normal approximation; both groups equally large, four "
            "times the people that the effect itself would need"
        )
    return f"two-sided t test at {level}"


def _risks(plan: NextTrial) -> tuple[float, float]:
    control = plan.baseline_risk or 0.0
    return control, control + plan.important_difference
