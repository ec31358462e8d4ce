"""The value every effect-size function returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ketameta.effects.arrays import Bools, Floats, frozen
from ketameta.measures import Measure


@dataclass(frozen=True, slots=True, eq=False)
class EffectSize:
    """Estimates and sampling variances of k comparisons, as read-only arrays.

    Attributes
    ----------
    measure : Measure
    estimate : ndarray of shape (k,)
        On the scale that is pooled: ratios are natural logarithms.
    variance : ndarray of shape (k,)
        Sampling variances, > 0.
    positions : ndarray of int, shape (k,)
        Where each estimate stood in the arguments; differs from 0, 1, 2, ... only where
        double-zero studies were dropped on request.
    corrected : ndarray of bool, shape (k,)
        Whether a constant was added to the cells of the comparison.
    """

    measure: Measure
    estimate: Floats
    variance: Floats
    positions: NDArray[np.int64]
    corrected: Bools

    @property
    def se(self) -> Floats:
        """Standard errors, of shape (k,)."""
        return np.sqrt(self.variance)

    @property
    def k(self) -> int:
        """Number of comparisons."""
        return int(self.estimate.size)

    def __len__(self) -> int:
        return self.k

    def __repr__(self) -> str:
        count = f"{self.k} comparison" if self.k == 1 else f"{self.k} comparisons"
        return f"<EffectSize: {self.measure.value}, {count}>"


def effect(
    measure: Measure,
    estimate: Floats,
    variance: Floats,
    positions: NDArray[np.int64] | None = None,
    corrected: Bools | None = None,
) -> EffectSize:
    """Return the arrays as a read-only :class:`EffectSize`, positions counting from 0."""
    where = np.arange(estimate.size) if positions is None else positions
    added = np.zeros(estimate.size, dtype=bool) if corrected is None else corrected
    where.setflags(write=False)
    added.setflags(write=False)
    return EffectSize(measure, frozen(estimate), frozen(variance), where, added)
