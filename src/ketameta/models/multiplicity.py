"""Several tests at once: p-values adjusted for their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ketameta.errors import ImpossibleDataError
from ketameta.models.least_squares import Array


def holm(p_values: ArrayLike) -> Array:
    """Return Holm-adjusted p-values.

    Parameters
    ----------
    p_values : array_like of shape (m,)
        Of all tests of the family; between 0 and 1.

    Returns
    -------
    ndarray of shape (m,)
        In the order given. Rejecting those at or below alpha keeps the chance of any false
        rejection at alpha, however the tests depend on each other.

    Raises
    ------
    ImpossibleDataError
        If a value is not between 0 and 1.

    Notes
    -----
    ``max over j <= i of (m - j + 1) p_(j)``, not above 1: Holm (1979), Scand. J. Stat. 6, 65-70;
    R's ``p.adjust(method = "holm")``.
    """
    p = np.asarray(p_values, dtype=np.float64).ravel()
    wrong = [f"p_values[{i}] is {value:g}" for i, value in enumerate(p) if not 0 <= value <= 1]
    if wrong:
        raise ImpossibleDataError(f"{', '.join(wrong[:6])}; a p-value lies between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
