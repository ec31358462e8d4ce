"""Sampling covariances study by study, from one large matrix or from a list of small ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ketameta.arrays import as_numbers
from ketameta.errors import UsageError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


def rows_of_groups(groups: IntArray, count: int) -> list[IntArray]:
    """Return the positions of each group's members, in order; linear in the members."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.searchsorted(groups[order], np.arange(1, count)))


def given_blocks(
    covariance: Any, rows: Sequence[IntArray], studies: Sequence[str]
) -> list[FloatArray] | None:
    """Return the matrices of a list with one per study; ``None`` for anything else.

    Parameters
    ----------
    covariance : object
        What was given as ``sampling_covariance``.
    rows : sequence of ndarray
        Positions of each study's effects.
    studies : sequence of str
        Studies in order of first appearance.

    Raises
    ------
    UsageError
        Another number of matrices than studies, or one of another size than its study.
    """
    listed = isinstance(covariance, list | tuple) and len(covariance) > 0
    if not listed or not all(np.ndim(block) == 2 for block in covariance):
        return None
    if len(covariance) != len(studies):
        raise UsageError(
            f"sampling_covariance has {len(covariance)} matrices; give one for each of the"
            f" {len(studies)} studies, in order of first appearance"
        )
    found = []
    for block, at, name in zip(covariance, rows, studies, strict=True):
        array = as_numbers("sampling_covariance", block)
        if array.shape != (at.size, at.size) or not np.all(np.isfinite(array)):
            raise UsageError(
                f"sampling_covariance of study {name!r} has shape {array.shape}; it needs"
                f" ({at.size}, {at.size}) numbers"
            )
        found.append(array)
    return found
