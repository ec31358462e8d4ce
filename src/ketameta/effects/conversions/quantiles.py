"""Mean and standard deviation from medians, quartiles and ranges of roughly normal scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ketameta.effects.arrays import Bools, Floats, Problems, columns, frozen
from ketameta.errors import check_choice

#: Fewest participants for which the approximations were derived.
FEWEST = 5
#: Ways to join range and quartiles into one SD.
FIVE_NUMBER_SD = ("shi", "wan")


@dataclass(frozen=True, slots=True, eq=False)
class MeanSd:
    """Estimated means and standard deviations, with the evidence against symmetry.

    Attributes
    ----------
    mean, sd : ndarray of shape (k,)
        In scale points.
    skewness, skewness_limit : ndarray of shape (k,)
        Statistic of the skewness test of Shi et al. (2023) and its 5% critical value.
    """

    mean: Floats
    sd: Floats
    skewness: Floats
    skewness_limit: Floats

    @property
    def is_skewed(self) -> Bools:
        """Whether the quantiles contradict a normal distribution; the estimates are then doubtful.

        metafor's ``conv.fivenum`` returns nothing for such rows by default; here the number stays
        and the caller decides.
        """
        return self.skewness >= self.skewness_limit


def _sorted_quantiles(n: ArrayLike, **quantiles: ArrayLike) -> tuple[Floats, ...]:
    size, *values = columns(n=n, **quantiles)
    problems = Problems()
    problems.add("n", size, size < FEWEST, f"{FEWEST} or more")
    names = list(quantiles)
    for lower, upper, low, high in zip(names, names[1:], values, values[1:], strict=False):
        problems.add(upper, high, high < low, f"at least {lower}")
    problems.add(names[-1], values[-1], values[-1] <= values[0], f"above {names[0]}")
    problems.check()
    return size, *values


def _range_width(n: Floats) -> Floats:
    return np.asarray(2 * stats.norm.ppf((n - 0.375) / (n + 0.25)), dtype=np.float64)


def _quartile_width(n: Floats) -> Floats:
    return np.asarray(2 * stats.norm.ppf((0.75 * n - 0.125) / (n + 0.25)), dtype=np.float64)


def _asymmetry(low: Floats, middle: Floats, high: Floats) -> Floats:
    return np.abs(low + high - 2 * middle) / (high - low)


def mean_sd_from_quartiles(q1: ArrayLike, median: ArrayLike, q3: ArrayLike, n: ArrayLike) -> MeanSd:
    """Return the mean and SD of one arm from its median and quartiles.

    Parameters
    ----------
    q1, median, q3 : array_like of shape (k,)
        Lower quartile, median and upper quartile, in order, ``q3 > q1``.
    n : array_like of shape (k,)
        Participants, >= 5.

    Returns
    -------
    MeanSd

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, the quantiles are not in order or n is below 5.

    Notes
    -----
    Mean ``w (q1 + q3)/2 + (1 - w) median`` with ``w = 0.7 + 0.39/n``; SD
    ``(q3 - q1) / (2 z((0.75 n - 0.125)/(n + 0.25)))``. Same as metafor 4 ``conv.fivenum`` for
    this case, apart from its refusal of skewed rows. Assumes normal scores.

    References
    ----------
    Luo, Wan, Liu & Tong (2018), Stat. Methods Med. Res. 27(6), 1785-1805.
    doi:10.1177/0962280216669183; Wan, Wang, Liu & Tong (2014), BMC Med. Res. Methodol. 14, 135.
    doi:10.1186/1471-2288-14-135

    Examples
    --------
    >>> result = mean_sd_from_quartiles(10, 14, 20, 40)
    >>> print(result.mean.round(4), result.sd.round(4), result.is_skewed)
    [14.7098] [7.6893] [False]
    """
    size, low, middle, high = _sorted_quantiles(n, q1=q1, median=median, q3=q3)
    weight = 0.7 + 0.39 / size
    mean = weight * (low + high) / 2 + (1 - weight) * middle
    sd = (high - low) / _quartile_width(size)
    limit = 2.65 / np.sqrt(size) - 6 / size**2
    return MeanSd(frozen(mean), frozen(sd), frozen(_asymmetry(low, middle, high)), frozen(limit))


def mean_sd_from_range(
    minimum: ArrayLike, median: ArrayLike, maximum: ArrayLike, n: ArrayLike
) -> MeanSd:
    """Return the mean and SD of one arm from its median, minimum and maximum.

    Parameters
    ----------
    minimum, median, maximum : array_like of shape (k,)
        In order, ``maximum > minimum``.
    n : array_like of shape (k,)
        Participants, >= 5.

    Returns
    -------
    MeanSd

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, the quantiles are not in order or n is below 5.

    Notes
    -----
    Mean ``w (a + b)/2 + (1 - w) median`` with ``w = 4/(4 + n**0.75)``; SD
    ``(b - a) / (2 z((n - 0.375)/(n + 0.25)))``. Same as metafor 4 ``conv.fivenum`` for this
    case, apart from its refusal of skewed rows. The Cochrane Handbook advises against ranges:
    extremes are fragile; prefer quartiles.

    References
    ----------
    Luo, Wan, Liu & Tong (2018), Stat. Methods Med. Res. 27(6), 1785-1805.
    doi:10.1177/0962280216669183; Wan, Wang, Liu & Tong (2014), BMC Med. Res. Methodol. 14, 135.
    doi:10.1186/1471-2288-14-135

    Examples
    --------
    >>> result = mean_sd_from_range(2, 14, 30, 40)
    >>> print(result.mean.round(4), result.sd.round(4))
    [14.4019] [6.4924]
    """
    size, low, middle, high = _sorted_quantiles(n, minimum=minimum, median=median, maximum=maximum)
    weight = 4 / (4 + size**0.75)
    mean = weight * (low + high) / 2 + (1 - weight) * middle
    sd = (high - low) / _range_width(size)
    limit = 1 / np.log(size + 9) + 2.5 / (size + 1)
    return MeanSd(frozen(mean), frozen(sd), frozen(_asymmetry(low, middle, high)), frozen(limit))


def mean_sd_from_five_numbers(
    minimum: ArrayLike,
    q1: ArrayLike,
    median: ArrayLike,
    q3: ArrayLike,
    maximum: ArrayLike,
    n: ArrayLike,
    sd_method: str = "shi",
) -> MeanSd:
    """Return the mean and SD of one arm from its five-number summary.

    Parameters
    ----------
    minimum, q1, median, q3, maximum : array_like of shape (k,)
        In order, ``q3 > q1`` and ``maximum > minimum``.
    n : array_like of shape (k,)
        Participants, >= 5.
    sd_method : {"shi", "wan"}
        Weights of range and quartiles in the SD: optimal ones, or one half each.

    Returns
    -------
    MeanSd

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, the quantiles are not in order or n is below 5.
    UsageError
        If ``sd_method`` is not a choice.

    Notes
    -----
    With ``w1 = 2.2/(2.2 + n**0.75)`` and ``w2 = 0.7 - 0.72/n**0.55`` the mean is
    ``w1 (a + b)/2 + w2 (q1 + q3)/2 + (1 - w1 - w2) median``. The SD joins those of
    :func:`mean_sd_from_range` and :func:`mean_sd_from_quartiles` with weights ``u`` and
    ``1 - u``: ``u = 1/(1 + 0.07 n**0.6)`` (Shi 2020, metafor's ``conv.fivenum``) or ``1/2``
    (Wan 2014).

    References
    ----------
    Luo, Wan, Liu & Tong (2018), Stat. Methods Med. Res. 27(6), 1785-1805.
    doi:10.1177/0962280216669183; Shi et al. (2020), Res. Synth. Methods 11(5), 641-654.
    doi:10.1002/jrsm.1429; Wan, Wang, Liu & Tong (2014), BMC Med. Res. Methodol. 14, 135.
    doi:10.1186/1471-2288-14-135

    Examples
    --------
    >>> result = mean_sd_from_five_numbers(2, 10, 14, 20, 30, 40)
    >>> print(result.mean.round(4), result.sd.round(4))
    [14.8484] [6.9596]
    """
    method = check_choice("sd_method", sd_method, FIVE_NUMBER_SD)
    size, low, first, middle, third, high = _sorted_quantiles(
        n, minimum=minimum, q1=q1, median=median, q3=q3, maximum=maximum
    )
    problems = Problems()
    problems.add("q3", third, third <= first, "above q1")
    problems.check()
    of_range = 2.2 / (2.2 + size**0.75)
    of_quartiles = 0.7 - 0.72 / size**0.55
    mean = (
        of_range * (low + high) / 2
        + of_quartiles * (first + third) / 2
        + (1 - of_range - of_quartiles) * middle
    )
    weight = 1 / (1 + 0.07 * size**0.6) if method == "shi" else np.full(size.shape, 0.5)
    sd = weight * (high - low) / _range_width(size)
    sd = sd + (1 - weight) * (third - first) / _quartile_width(size)
    scale = 2.65 * np.log(0.6 * size) / np.sqrt(size)
    skewness = np.maximum(scale * _asymmetry(low, middle, high), _asymmetry(first, middle, third))
    limit = 3 / np.sqrt(size) - 40 / size**3
    return MeanSd(frozen(mean), frozen(sd), frozen(skewness), frozen(limit))
