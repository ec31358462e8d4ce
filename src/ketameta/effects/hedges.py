"""The exact small-sample correction of standardised differences."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import Floats, Problems, columns


def hedges_correction(df: ArrayLike) -> Floats:
    r"""Exact small-sample factor J that makes a standardised difference unbiased.

    Parameters
    ----------
    df : array_like of shape (k,)
        Degrees of freedom of the standard deviation, > 1; need not be whole.

    Returns
    -------
    ndarray of shape (k,)
        Between 0 and 1, close to ``1 - 3 / (4 df - 1)``.

    Raises
    ------
    ImpossibleDataError
        If a value is not above 1.

    Notes
    -----
    :math:`J(m) = \Gamma(m/2) / (\sqrt{m/2}\, \Gamma((m-1)/2))`, from its
    logarithms for small and its asymptotic series for large ``df``, where differences of
    logarithms lose digits. metafor's ``escalc`` uses the same factor; PyMARE, statsmodels and
    RevMan use the approximation.

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6(2), 107-128. doi:10.3102/10769986006002107

    Examples
    --------
    >>> print(hedges_correction([10, 40]).round(6))
    [0.922746 0.981112]
    """
    (m,) = columns(df=df)
    problems = Problems()
    problems.add("df", m, m <= 1, "> 1")
    problems.check()
    return hedges_j(m)


#: From this argument on, the asymptotic series of the gamma ratio is exact to double precision; its
#: first omitted term is below 4e-15 there, and shrinks with the ninth power.
_SERIES_FROM = 20.0


def hedges_j(m: Floats) -> Floats:
    """Return J without checking its argument."""
    x = (m - 1) / 2
    small = np.minimum(x, _SERIES_FROM)
    ratio = np.exp(special.gammaln(small + 0.5) - special.gammaln(small)) / np.sqrt(small)
    large = np.maximum(x, _SERIES_FROM)
    square = large**2
    tail = (1 / 8 - (1 / 192 - (1 / 640 - 17 / (14336 * square)) / square) / square) / large
    j = np.where(x < _SERIES_FROM, ratio, np.exp(-tail)) * np.sqrt(x / (x + 0.5))
    return np.asarray(j, dtype=np.float64)
