"""Joins effects of one study that share an arm into one, so that nobody is counted twice.

Arrays in, arrays out; the covariance itself is :mod:`ketameta.models.dependence`'s. No pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ketameta.models.dependence import shared_arm_covariance
from ketameta.vocabulary import Measure

#: Condition number beyond which a covariance matrix has lost half of its digits to its inverse (a
#: closed triangle of comparisons has none).
SINGULAR = 1e8
#: Correlations are then made smaller by this share for the weights; the variance keeps them.
SHRINKAGE = 1e-3


@dataclass(frozen=True, slots=True)
class JoinedEffect:
    """The weighted mean of a study's correlated effects.

    Attributes
    ----------
    estimate, variance : float
    weights : tuple of float
        Share of each effect.
    """

    estimate: float
    variance: float
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StudyEffects:
    """Effects of one study, one entry per comparison.

    Attributes
    ----------
    people : tuple of str
        Who was compared (the subgroup); comparisons of different people share nobody.
    treatment, control : tuple of str
        Arms.
    estimates, variances : ndarray of shape (m,)
        On the analysis scale.
    n_treatment, n_control, events_treatment, events_control : ndarray of shape (m,)
        NaN where not known.
    """

    people: tuple[str, ...]
    treatment: tuple[str, ...]
    control: tuple[str, ...]
    estimates: np.ndarray
    variances: np.ndarray
    n_treatment: np.ndarray
    n_control: np.ndarray
    events_treatment: np.ndarray
    events_control: np.ndarray


def study_covariance(measure: Measure, effects: StudyEffects) -> np.ndarray:
    """Return the covariance matrix of a study's effects, shape (m, m).

    Notes
    -----
    Exact where arm sizes (and counts) are known. Where only the standard error of a difference is
    known, the arms are taken to have equal spread; where sizes are missing too, equal sizes, which
    gives a correlation of one half. Changes without a control (an empty name) share nobody.
    """
    sizes = _arm_values(effects, effects.n_treatment, effects.n_control)
    known = bool(np.isfinite(sizes[0]).all() and np.isfinite(sizes[1]).all())
    n_treatment, n_control = sizes if known else (np.ones_like(sizes[0]), np.ones_like(sizes[1]))
    counted = known and bool(
        np.isfinite(effects.events_treatment).all() and np.isfinite(effects.events_control).all()
    )
    ones = np.ones(len(effects.estimates))
    kind = "MD"
    columns: dict[str, Any] = {"sd_treatment": ones, "sd_control": ones}
    if measure is Measure.SMD and known:
        kind, columns = "SMD", {"estimates": effects.estimates}
    elif (
        measure in {Measure.OR, Measure.RR, Measure.RD} and counted and not _flat(measure, effects)
    ):
        events = _arm_values(effects, effects.events_treatment, effects.events_control)
        kind = str(measure)
        columns = {"events_treatment": events[0], "events_control": events[1]}
    covariance = shared_arm_covariance(
        kind,
        effects.people,
        effects.treatment,
        # Without a control, each arm is compared with its own people before.
        [c or f"before {t}" for t, c in zip(effects.treatment, effects.control, strict=True)],
        n_treatment=n_treatment,
        n_control=n_control,
        variances=effects.variances,
        **columns,
    )
    return np.array(covariance.matrix)


def _flat(measure: Measure, effects: StudyEffects) -> bool:
    """Return whether a risk difference stands between two arms without any variation."""
    if measure is not Measure.RD:
        return False
    flat = np.ones(len(effects.estimates), dtype=bool)
    for events, n in (
        (effects.events_treatment, effects.n_treatment),
        (effects.events_control, effects.n_control),
    ):
        flat &= (events == 0) | (events == n)
    return bool(flat.any())


def _arm_values(
    effects: StudyEffects, treatment: np.ndarray, control: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return one value per arm (the largest where comparisons print different ones)."""
    keys = [
        [*zip(effects.people, effects.treatment, strict=True)],
        [*zip(effects.people, effects.control, strict=True)],
    ]
    largest: dict[tuple[str, str], float] = {}
    for names, values in zip(keys, (treatment, control), strict=True):
        for name, value in zip(names, values, strict=True):
            largest[name] = max(
                largest.get(name, -np.inf), value if np.isfinite(value) else -np.inf
            )
    found = [[largest[name] for name in names] for names in keys]
    cleaned = [np.where(np.isfinite(values), values, np.nan) for values in found]
    return cleaned[0], cleaned[1]


def join_effects(estimates: np.ndarray, covariance: np.ndarray) -> JoinedEffect:
    """Return the generalised-least-squares mean of correlated effects of one study.

    Notes
    -----
    ``w = V^-1 1 / (1' V^-1 1)``. Weights that would turn negative (a tightly correlated pair with
    unequal variances) give way to equal weights, which need no correlation to be right.
    """
    ones = np.ones(len(estimates))
    inverted = covariance
    if np.linalg.cond(covariance) > SINGULAR:
        diagonal = np.diag(np.diag(covariance))
        inverted = (1 - SHRINKAGE) * covariance + SHRINKAGE * diagonal
    solved = np.linalg.solve(inverted, ones)
    weights = solved / solved.sum()
    if (weights < 0).any():
        weights = ones / len(ones)
    return JoinedEffect(
        estimate=float(weights @ estimates),
        variance=float(weights @ covariance @ weights),
        weights=tuple(float(weight) for weight in weights),
    )


def texts(values: Sequence[object]) -> tuple[str, ...]:
    """Return values as text, for arm and subgroup names."""
    return tuple(str(value) for value in values)
