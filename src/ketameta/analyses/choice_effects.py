"""Which of several choices matters: shares of variance and changes of conclusion.

Works on a table of combinations: one column of option numbers per choice. Arrays in, values out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ketameta.arrays import Floats


@dataclass(frozen=True, slots=True)
class ChoiceEffect:
    """How much one choice matters.

    Attributes
    ----------
    alone : float or None
        Share of the variance of the estimates between the options of this choice, the others
        averaged over. None where combinations are missing: the choices are then entangled.
    in_all : float or None
        Share of the variance that remains when every other choice is fixed: alone and together
        with others. Both are None where the estimates do not vary.
    changes : float or None
        Share of the switches of this choice alone that change the conclusion; None where there is
        no such switch.
    switches : int
        Pairs of combinations that differ in this choice only.
    """

    alone: float | None
    in_all: float | None
    changes: float | None
    switches: int


def choice_effects(
    options: Mapping[str, np.ndarray], estimates: Floats, conclusions: np.ndarray
) -> dict[str, ChoiceEffect]:
    """Return how much each choice matters.

    Parameters
    ----------
    options : mapping of str to ndarray of int, shape (n,)
        Per choice the option of each combination.
    estimates : ndarray of shape (n,)
        NaN where a combination has none on this scale.
    conclusions : ndarray of int, shape (n,)
        -1, 0 or 1.

    Notes
    -----
    With every combination present these are the first-order and the total sensitivity index of
    Sobol for independent choices with equally likely options (Saltelli et al. 2010, Comput. Phys.
    Commun. 181, 259-270), computed exactly as sums of squares of a full factorial. ``alone`` of all
    choices add up to 1 less their interactions. With combinations missing only the second has a
    meaning, over the switches that are there.
    """
    known = np.isfinite(estimates)
    complete = known.sum() == math.prod(len(np.unique(column)) for column in options.values())
    total = _squares(estimates[known])
    found = {}
    for name, column in options.items():
        others = [value for key, value in options.items() if key != name]
        cells = _cells(others, len(column))
        alone = in_all = None
        if total > 0:
            if complete:
                parts = [estimates[column == option] for option in np.unique(column)]
                alone = _squares(np.repeat([p.mean() for p in parts], [p.size for p in parts]))
                alone /= total
            in_all = (
                sum(_squares(estimates[known & (cells == c)]) for c in np.unique(cells)) / total
            )
        switches = changed = 0
        for cell in np.unique(cells):
            ends = conclusions[cells == cell]
            pairs = len(ends) * (len(ends) - 1) // 2
            alike = sum(
                count * (count - 1) // 2 for count in np.unique(ends, return_counts=True)[1]
            )
            switches, changed = switches + pairs, changed + pairs - int(alike)
        found[name] = ChoiceEffect(
            alone, in_all, changed / switches if switches else None, switches
        )
    return found


def _squares(values: Floats) -> float:
    """Return the sum of squared deviations; 0 where rounding is all there is."""
    if values.size < 2:
        return 0.0
    found = float(((values - values.mean()) ** 2).sum())
    return found if found > (1e-10 * float(np.abs(values).max())) ** 2 else 0.0


def _cells(columns: list[np.ndarray], n: int) -> np.ndarray:
    """Return a number per combination that is equal where all given choices are."""
    if not columns:
        return np.zeros(n, dtype=int)
    return np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1].ravel()
