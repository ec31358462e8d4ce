"""The shapes of a dose-response curve: a line, or a restricted cubic spline. Arrays in, arrays out.

Fits nothing; knows nothing of studies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.errors import NotEstimableError, UsageError

FloatArray = NDArray[np.float64]
#: Forms of the curve.
TRANSFORMATIONS = ("linear", "spline")
#: Knots of the spline as shares of the doses: three knots (Harrell 2015).
KNOT_SHARES = (0.1, 0.5, 0.9)


def knots_at(doses: ArrayLike, shares: Sequence[float] = KNOT_SHARES) -> tuple[float, ...]:
    """Return the knots of a spline at quantiles of the doses.

    Parameters
    ----------
    doses : array_like of shape (a,)
        One per arm, controls included.
    shares : sequence of float
        At least three rising shares from 0 to 1.

    Returns
    -------
    tuple of float
        By linear interpolation between order statistics (R's type 7).

    Raises
    ------
    UsageError
        Fewer than three shares, or shares that do not rise.
    NotEstimableError
        Knots that coincide: too few different doses.
    """
    given = [float(share) for share in shares]
    rising = all(a < b for a, b in pairwise(given))
    if len(given) < 3 or not rising or given[0] < 0 or given[-1] > 1:
        raise UsageError(
            f"shares is {list(shares)!r}; give at least three rising shares from 0 to 1"
        )
    array = np.asarray(doses, dtype=np.float64)
    knots = tuple(float(knot) for knot in np.quantile(array, given))
    if any(a >= b for a, b in pairwise(knots)):
        listed = ", ".join(f"{knot:g}" for knot in knots)
        raise NotEstimableError(
            f"the knots of the spline coincide ({listed}): too few different doses for a curve"
        )
    return knots


def curve_basis(doses: ArrayLike, knots: Sequence[float] = ()) -> FloatArray:
    """Return the columns whose weighted sum is the curve, shape (n, p).

    Parameters
    ----------
    doses : array_like of shape (n,)
    knots : sequence of float
        Of a restricted cubic spline, rising; none for a line.

    Returns
    -------
    ndarray of shape (n, p)
        The dose, and one column of curvature per knot beyond the second, all in the unit of the
        dose. Curvature is 0 up to the first knot and straight beyond the last.

    Notes
    -----
    Harrell (2015), Regression Modeling Strategies, 2nd ed., with the curvature
    divided by the squared distance of the outer knots (``rms::rcs`` with ``norm = 2``).
    """
    x = np.asarray(doses, dtype=np.float64)
    columns = [x]
    if knots:
        t = np.asarray(knots, dtype=np.float64)
        first, before, last = t[0], t[-2], t[-1]

        def cube(knot: float) -> FloatArray:
            return np.asarray(np.maximum(x - knot, 0.0) / (last - first)) ** 3

        for knot in t[:-2]:
            left = (last - knot) / (last - before)
            right = (before - knot) / (last - before)
            bend = cube(knot) - cube(before) * left + cube(last) * right
            columns.append(bend * (last - first))
    return np.stack(columns, axis=1)


def basis_names(p: int) -> tuple[str, ...]:
    """Return the names of the columns of :func:`curve_basis`."""
    return ("dose", *(f"curvature {j}" if p > 2 else "curvature" for j in range(1, p)))
