"""How well two extractors agree: kappa for words, intraclass correlation and limits for numbers.

Arrays and counts in, values out. What is not defined is None, with no warning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

#: Normal quantile of the limits of agreement.
_Z95 = 1.96
IccForm = Literal["1,1", "2,1", "3,1"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bland-Altman limits of agreement, in the unit of the numbers.

    Attributes
    ----------
    bias : float
        Mean of first minus second.
    low, high : float
        Bias minus and plus 1.96 standard deviations of the differences.
    """

    bias: float
    low: float
    high: float


def cohens_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Return Cohen's kappa of two raters on unordered words.

    Returns
    -------
    float or None
        None where both raters used a single and the same word, so that chance explains everything.

    Notes
    -----
    By ``statsmodels.stats.inter_rater.cohens_kappa``.

    References
    ----------
    Cohen (1960), Educ. Psychol. Meas. 20(1), 37-46. doi:10.1177/001316446002000104
    """
    words = sorted({*first, *second})
    return _kappa(first, second, words, None)


def weighted_kappa(
    first: Sequence[str], second: Sequence[str], order: Sequence[Sequence[str]]
) -> float | None:
    """Return Cohen's kappa with linear weights on ordered words.

    Parameters
    ----------
    first, second : sequence of str
    order : sequence of sequence of str
        The words from best to worst; words in one place count as equal. Pairs with another word
        are left out.

    References
    ----------
    Cohen (1968), Psychol. Bull. 70(4), 213-220. doi:10.1037/h0026256
    """
    rank = {word: place for place, words in enumerate(order) for word in words}
    pairs = [
        (str(rank[one]), str(rank[two]))
        for one, two in zip(first, second, strict=True)
        if one in rank and two in rank
    ]
    levels = [str(place) for place in range(len(order))]
    return _kappa([one for one, _ in pairs], [two for _, two in pairs], levels, "linear")


def _kappa(
    first: Sequence[str], second: Sequence[str], words: Sequence[str], weights: str | None
) -> float | None:
    from statsmodels.stats.inter_rater import cohens_kappa as kappa_of

    place = {word: index for index, word in enumerate(words)}
    table = np.zeros((len(words), len(words)))
    for one, two in zip(first, second, strict=True):
        table[place[one], place[two]] += 1
    used = int(((table.sum(axis=0) + table.sum(axis=1)) > 0).sum())
    if used < 2:
        return None
    value = float(kappa_of(table, wt=weights, return_results=False))
    return value if math.isfinite(value) else None


def intraclass_correlation(ratings: ArrayLike, form: IccForm = "2,1") -> float | None:
    """Return the intraclass correlation of single ratings.

    Parameters
    ----------
    ratings : array_like of shape (n, k)
        n targets, each rated by the same k raters.
    form : {"1,1", "2,1", "3,1"}
        One-way random; two-way random, absolute agreement; two-way mixed, consistency.

    Returns
    -------
    float or None
        None for fewer than two targets, or where all ratings are equal.

    Notes
    -----
    With the mean squares between targets (BMS), within targets (WMS), between raters (JMS) and of
    the residual (EMS)::

        ICC(1,1) = (BMS - WMS) / (BMS + (k - 1) WMS)
        ICC(2,1) = (BMS - EMS) / (BMS + (k - 1) EMS + k (JMS - EMS) / n)
        ICC(3,1) = (BMS - EMS) / (BMS + (k - 1) EMS)

    Two extractors of the same papers are compared by ICC(2,1): another pair could have done it, and
    a constant difference between them is disagreement.

    References
    ----------
    Shrout and Fleiss (1979), Psychol. Bull. 86(2), 420-428. doi:10.1037/0033-2909.86.2.420

    Examples
    --------
    >>> round(intraclass_correlation([[10, 11], [14, 15], [20, 21]]), 4)
    0.9808
    """
    x = np.asarray(ratings, dtype=float)
    if x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < 2:
        return None
    # Agreement does not depend on the unit or the origin, rounding does.
    scale = float(np.abs(x - x.mean()).max())
    if scale == 0:
        return None
    x = (x - x.mean()) / scale
    n, k = x.shape
    targets, raters, grand = x.mean(axis=1), x.mean(axis=0), x.mean()
    between = k * float(((targets - grand) ** 2).sum())
    judges = n * float(((raters - grand) ** 2).sum())
    within = float(((x - targets[:, None]) ** 2).sum())
    bms, wms = between / (n - 1), within / (n * (k - 1))
    jms, ems = judges / (k - 1), max(0.0, within - judges) / ((n - 1) * (k - 1))
    if form == "1,1":
        top, bottom = bms - wms, bms + (k - 1) * wms
    elif form == "3,1":
        top, bottom = bms - ems, bms + (k - 1) * ems
    else:
        top, bottom = bms - ems, bms + (k - 1) * ems + k * (jms - ems) / n
    return top / bottom if bottom > 0 else None


def limits_of_agreement(first: ArrayLike, second: ArrayLike) -> Limits | None:
    """Return the limits between which 95% of the differences of two extractors lie.

    Returns
    -------
    Limits or None
        None for fewer than two pairs.

    Notes
    -----
    Mean difference plus and minus 1.96 standard deviations; the paper rounds 1.96 to 2.

    References
    ----------
    Bland and Altman (1986), Lancet 327(8476), 307-310. doi:10.1016/S0140-6736(86)90837-8
    """
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    if differences.size < 2:
        return None
    bias, spread = float(differences.mean()), float(differences.std(ddof=1))
    return Limits(bias, bias - _Z95 * spread, bias + _Z95 * spread)
