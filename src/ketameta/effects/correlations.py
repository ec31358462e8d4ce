"""Correlations of two variables in one group: as they are, and as Fisher's z."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import EffectSize, Floats, Problems, columns, effect
from ketameta.measures import Measure


def _checked(correlation: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    r, size = columns(correlation=correlation, n=n)
    problems = Problems()
    problems.add("correlation", r, np.abs(r) >= 1, "strictly between -1 and 1")
    problems.add("n", size, size <= 3, "4 or more")
    problems.check()
    return r, size


def correlation(correlation: ArrayLike, n: ArrayLike) -> EffectSize:
    """Pearson correlations and their large-sample variances.

    Parameters
    ----------
    correlation : array_like of shape (k,)
        Strictly between -1 and 1.
    n : array_like of shape (k,)
        Pairs of values, > 3.

    Returns
    -------
    EffectSize

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, a correlation is not strictly between -1 and 1 or n is below 4.

    Notes
    -----
    Variance ``(1 - r**2)**2 / (n - 1)``. Same as metafor ``escalc(measure="COR")``. It depends
    on r, so that large correlations weigh too much; :func:`fisher_z` is usual.

    Examples
    --------
    >>> print(correlation(0.5, 28).variance.round(5))
    [0.02083]
    """
    r, size = _checked(correlation, n)
    return effect(Measure.COR, r, (1 - r**2) ** 2 / (size - 1))


def fisher_z(correlation: ArrayLike, n: ArrayLike) -> EffectSize:
    """Fisher's z of Pearson correlations, and its variance.

    Parameters
    ----------
    correlation, n : array_like of shape (k,)
        As in :func:`correlation`.

    Returns
    -------
    EffectSize
        The inverse hyperbolic tangent; results print the correlation.

    Raises
    ------
    ImpossibleDataError
        As in :func:`correlation`.

    Notes
    -----
    ``atanh(r)`` with variance ``1 / (n - 3)``. Same as metafor ``escalc(measure="ZCOR")``.

    References
    ----------
    Fisher (1921), Metron 1, 3-32.

    Examples
    --------
    >>> print(fisher_z(0.5, 28).estimate.round(4), fisher_z(0.5, 28).variance)
    [0.5493] [0.04]
    """
    r, size = _checked(correlation, n)
    return effect(Measure.ZCOR, np.arctanh(r), 1 / (size - 3))
