"""One arm from what a source prints: arms put together, changes, percentages, quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import Bools, Floats, Problems, checked, columns, frozen
from ketameta.errors import UsageError, check_choice


@dataclass(frozen=True, slots=True)
class CombinedArms:
    """One arm made of several: participants, mean and standard deviation."""

    n: float
    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class CombinedEvents:
    """One arm made of several: events and participants."""

    events: float
    n: float


@dataclass(frozen=True, slots=True, eq=False)
class CountsFromPercent:
    """Counts behind printed percentages, and whether each is certain.

    Attributes
    ----------
    count : ndarray of shape (k,)
        The whole number nearest to ``percent * n / 100``.
    is_whole : ndarray of bool, shape (k,)
        Whether ``count`` is the only whole number that prints as this percentage. Use ``count``
        only where this is true.
    candidates : ndarray of shape (k,)
        How many whole numbers print as this percentage; 0 where the percentage and n contradict
        each other (another denominator was used, or one of them is a typing error).
    """

    count: Floats
    is_whole: Bools
    candidates: Floats


def combine_arms(n: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> CombinedArms:
    """Return one arm made of several arms of one trial.

    Parameters
    ----------
    n, mean, sd : array_like of shape (arms,)
        Participants (>= 2), means and standard deviations (> 0) of arms that share no participant.

    Returns
    -------
    CombinedArms
        What the source would have printed had it reported the people as one arm.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SD is not positive or an arm has fewer than two participants.
    UsageError
        If there is no arm, or the lists differ in length.

    Notes
    -----
    ``N = sum(n)``, ``M = sum(n m)/N`` and
    ``S**2 = (sum((n - 1) s**2) + sum(n (m - M)**2)) / (N - 1)``, which for two arms is the
    formula of the Handbook and for more arms what its repeated use gives. Exact. Also
    right for change scores, not for medians.

    References
    ----------
    Cochrane Handbook version 6, section 6.5.2.10 and table 6.5.a.

    Examples
    --------
    >>> arm = combine_arms([20, 22], [12.0, 18.0], [8.0, 7.0])
    >>> print(arm.n, round(arm.mean, 4), round(arm.sd, 4))
    42.0 15.1429 7.9972
    """
    sizes, means, spreads = checked(2, n=n, mean=mean, sd=sd)
    if sizes.size == 0:
        raise UsageError("combine_arms needs at least one arm")
    total = sizes.sum()
    middle = means[0] + (sizes * (means - means[0])).sum() / total
    squares = ((sizes - 1) * spreads**2).sum() + (sizes * (means - middle) ** 2).sum()
    return CombinedArms(float(total), float(middle), float(np.sqrt(squares / (total - 1))))


def combine_events(events: ArrayLike, n: ArrayLike) -> CombinedEvents:
    """Return one arm made of several arms of one trial: sums of events and participants.

    Parameters
    ----------
    events, n : array_like of shape (arms,)
        Participants with the event (``0 <= events <= n``) and participants (> 0).

    Returns
    -------
    CombinedEvents

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, n is not positive or events are negative or above n.
    UsageError
        If there is no arm, or the lists differ in length.

    Examples
    --------
    >>> combine_events([3, 5], [20, 22])
    CombinedEvents(events=8.0, n=42.0)
    """
    counts, sizes = checked(0, events=events, n=n)
    if sizes.size == 0:
        raise UsageError("combine_events needs at least one arm")
    return CombinedEvents(float(counts.sum()), float(sizes.sum()))


def change_sd(sd_before: ArrayLike, sd_after: ArrayLike, correlation: ArrayLike) -> Floats:
    """Return the SD of a change, or of within-person differences, from its two parts.

    Parameters
    ----------
    sd_before, sd_after : array_like of shape (k,)
        Standard deviations of the two measurements, in scale points, > 0.
    correlation : array_like of shape (k,)
        Correlation of the two measurements, strictly between -1 and 1.

    Returns
    -------
    ndarray of shape (k,)
        ``sqrt(s1**2 + s2**2 - 2 r s1 s2)``; Cochrane Handbook version 6, section 6.5.2.8.

    Raises
    ------
    ImpossibleDataError
        A value outside of its range.

    Examples
    --------
    >>> print(change_sd(8.0, 8.0, 0.5))
    [8.]
    """
    s1, s2, r = checked(0, sd_before=sd_before, sd_after=sd_after, correlation=correlation)
    return np.sqrt((s1 - s2) ** 2 + 2 * (1 - r) * s1 * s2)


def correlation_from_change_sd(
    sd_before: ArrayLike, sd_after: ArrayLike, sd_change: ArrayLike
) -> Floats:
    """Return the correlation of two measurements from their SDs and the SD of the change.

    Parameters
    ----------
    sd_before, sd_after, sd_change : array_like of shape (k,)
        Standard deviations in scale points, > 0.

    Returns
    -------
    ndarray of shape (k,)
        ``(s1**2 + s2**2 - sc**2) / (2 s1 s2)``; Cochrane Handbook version 6, section 6.5.2.8.

    Raises
    ------
    ImpossibleDataError
        A value outside of its range, or three SDs that cannot belong to one group: the correlation
        would not lie between -1 and 1.

    Examples
    --------
    >>> print(correlation_from_change_sd(8.0, 8.0, 8.0))
    [0.5]
    """
    s1, s2, sc = checked(0, sd_before=sd_before, sd_after=sd_after, sd_change=sd_change)
    r = np.asarray((s1**2 + s2**2 - sc**2) / (2 * s1 * s2))
    problems = Problems()
    problems.add(
        "sd_change", sc, np.abs(r) > 1, "between |sd_before - sd_after| and sd_before + sd_after"
    )
    problems.check()
    return r


def count_from_percent(
    percent: ArrayLike, n: ArrayLike, decimals: ArrayLike | None = None
) -> CountsFromPercent:
    """Return the whole counts behind printed percentages, where the percentage leaves no doubt.

    Parameters
    ----------
    percent : array_like of shape (k,)
        Percentages as printed, 0 to 100.
    n : array_like of shape (k,)
        Participants that the percentage refers to; whole, > 0.
    decimals : array_like of int, shape (k,), optional
        Decimals printed. By default those that the number itself shows: 12.5 has one, 12 and 12.0
        have none, which can only make the answer more cautious.

    Returns
    -------
    CountsFromPercent
        Never a NaN: where the count is in doubt ``is_whole`` is false.

    Raises
    ------
    ImpossibleDataError
        A value outside of its range; every argument and position is listed.

    Notes
    -----
    A printed percentage p with d decimals stands for every value within half a unit of its last
    decimal. ``count`` is certain when exactly one whole number c satisfies
    ``abs(100 c/n - p) <= 0.5 * 10**-d``; for whole percentages that needs ``n`` of 100 or less.

    Examples
    --------
    16.7% of 30 is 5; 55% of 15 is neither 8 (53%) nor 9 (60%); 12% of 250 may be 29, 30 or 31.

    >>> counts = count_from_percent([16.7, 55, 12], [30, 15, 250])
    >>> print(counts.count, counts.is_whole, counts.candidates)
    [ 5.  8. 30.] [ True False False] [1. 0. 3.]
    """
    shares, sizes = columns(percent=percent, n=n)
    if decimals is None:
        texts = [np.format_float_positional(value, trim="-") for value in shares]
        digits = np.array([len(text.partition(".")[2]) for text in texts], dtype=np.float64)
    else:
        shares, sizes, digits = columns(percent=shares, n=sizes, decimals=decimals)
    problems = Problems()
    problems.add("percent", shares, (shares < 0) | (shares > 100), "between 0 and 100")
    problems.add("n", sizes, (sizes <= 0) | (sizes != np.round(sizes)), "whole and > 0")
    problems.add(
        "decimals", digits, (digits < 0) | (digits != np.round(digits)), "whole and 0 or more"
    )
    problems.check()
    half = 0.5 * 10.0**-digits
    slack = 1e-9  # of a percentage point: float rounding of a tie such as 12.5 printed as 13
    lowest = np.maximum(np.ceil((shares - half - slack) * sizes / 100), 0)
    highest = np.minimum(np.floor((shares + half + slack) * sizes / 100), sizes)
    candidates = np.maximum(highest - lowest + 1, 0)
    certain = candidates == 1
    count = np.where(certain, lowest, np.round(shares * sizes / 100))
    certain.setflags(write=False)
    return CountsFromPercent(frozen(count), certain, frozen(candidates))


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


def _sd_of_width(low: Floats, high: Floats, share: Floats) -> Floats:
    """Return the SD of a normal distribution with these quantiles, the upper one at ``share``."""
    return np.asarray((high - low) / (2 * special.ndtri(share)), dtype=np.float64)


def _sd_of_range(low: Floats, high: Floats, n: Floats) -> Floats:
    return _sd_of_width(low, high, (n - 0.375) / (n + 0.25))


def _sd_of_quartiles(low: Floats, high: Floats, n: Floats) -> Floats:
    return _sd_of_width(low, high, (0.75 * n - 0.125) / (n + 0.25))


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
    limit = 2.65 / np.sqrt(size) - 6 / size**2
    sd = _sd_of_quartiles(low, high, size)
    return MeanSd(*map(frozen, (mean, sd, _asymmetry(low, middle, high), limit)))


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
        As :func:`mean_sd_from_quartiles`.

    Notes
    -----
    Mean ``w (a + b)/2 + (1 - w) median`` with ``w = 4/(4 + n**0.75)``; SD
    ``(b - a) / (2 z((n - 0.375)/(n + 0.25)))``. Sources and metafor as
    :func:`mean_sd_from_quartiles`. The Cochrane Handbook advises against ranges: extremes are
    fragile; prefer quartiles.

    Examples
    --------
    >>> result = mean_sd_from_range(2, 14, 30, 40)
    >>> print(result.mean.round(4), result.sd.round(4))
    [14.4019] [6.4924]
    """
    size, low, middle, high = _sorted_quantiles(n, minimum=minimum, median=median, maximum=maximum)
    weight = 4 / (4 + size**0.75)
    mean = weight * (low + high) / 2 + (1 - weight) * middle
    limit = 1 / np.log(size + 9) + 2.5 / (size + 1)
    sd = _sd_of_range(low, high, size)
    return MeanSd(*map(frozen, (mean, sd, _asymmetry(low, middle, high), limit)))


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
    ImpossibleDataError, UsageError
        As :func:`mean_sd_from_quartiles`, or if ``sd_method`` is not a choice.

    Notes
    -----
    With ``w1 = 2.2/(2.2 + n**0.75)`` and ``w2 = 0.7 - 0.72/n**0.55`` the mean is
    ``w1 (a + b)/2 + w2 (q1 + q3)/2 + (1 - w1 - w2) median``. The SD joins those of
    :func:`mean_sd_from_range` and :func:`mean_sd_from_quartiles` with weights ``u`` and
    ``1 - u``: ``u = 1/(1 + 0.07 n**0.6)`` (Shi 2020, metafor's ``conv.fivenum``) or ``1/2``
    (Wan 2014).

    References
    ----------
    As :func:`mean_sd_from_quartiles`; Shi et al. (2020), Res. Synth. Methods 11(5), 641-654.
    doi:10.1002/jrsm.1429

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
    sd = weight * _sd_of_range(low, high, size)
    sd = sd + (1 - weight) * _sd_of_quartiles(first, third, size)
    scale = 2.65 * np.log(0.6 * size) / np.sqrt(size)
    skewness = np.maximum(scale * _asymmetry(low, middle, high), _asymmetry(first, middle, third))
    limit = 3 / np.sqrt(size) - 40 / size**3
    return MeanSd(*map(frozen, (mean, sd, skewness, limit)))


# --- how an effect was derived: one stable word per route -----------------------------------------


@dataclass(frozen=True, slots=True)
class Route:
    """One way from printed numbers to an effect size or a part of it.

    Attributes
    ----------
    code : str
        Stable word.
    description : str
        What was done, in words for the report.
    source : str
        Where the method is described.
    is_exact : bool
        False where the route adds an assumption to what the source prints (a distribution, a
        correlation); such rows belong in a sensitivity analysis.
    """

    code: str
    description: str
    source: str
    is_exact: bool = True


_THE_SOURCE = "the source"
_LUO = "Luo et al. 2018, doi:10.1177/0962280216669183; "
_WAN = f"{_LUO}Wan et al. 2014, doi:10.1186/1471-2288-14-135"
_SHI = f"{_LUO}Shi et al. 2020, doi:10.1002/jrsm.1429"
_HEDGES = "Hedges 1981, doi:10.3102/10769986006002107"
_BECKER = "Becker 1988, Br. J. Math. Stat. Psychol. 41, 257-278"
_ARM_CI = "SD from the confidence interval of the arm's mean"
_COMMON = "common SD of both arms from"


def _handbook(place: str) -> str:
    return f"Cochrane Handbook version 6, {'section ' if '.' in place else 'chapter '}{place}"


#: What a source prints, or what follows from it without an assumption.
_EXACT = (
    ("sd_printed", "mean and SD as printed", _THE_SOURCE),
    ("sd_from_se", "SD from the SE of the arm's mean", _handbook("6.5.2.2")),
    ("change_from_endpoint", "mean change as the mean after minus the mean before",
     _handbook("6.5.2.8")),
    ("combined_arms", "several arms put together", _handbook("6.5.2.10")),
    ("counts", "events and participants as printed", _THE_SOURCE),
    ("count_from_percent", "events from a printed percentage that fits exactly one whole number",
     "the source; ketameta.effects.conversions.count_from_percent"),
    ("combined_events", "events and participants of several arms added", "sums"),
    ("md_printed", "mean difference and its SE as printed", _THE_SOURCE),
    ("smd_printed", "standardised mean difference as printed", _THE_SOURCE),
    ("smd_variance_from_n",
     "variance of a printed standardised mean difference from the arm sizes",
     "Hedges 1982, doi:10.1037/0033-2909.92.2.490"),
    ("ratio_printed", "odds, risk or hazard ratio as printed", _THE_SOURCE),
    ("ci_to_se", "SE from the confidence interval of the estimate", _handbook("6.3.2")),
    ("t_printed", "g from the printed t statistic", _HEDGES),
    ("design_effect", "people and events over the design effect", _handbook("23.1.4")),
    ("z_printed", "g from the printed z statistic", _handbook("6.5.2.3")),
    ("f_to_t", "t statistic from F with 1 numerator df", _handbook("6.5.2.3")),
    ("paired_printed", "SD or SE of within-person differences as printed", _THE_SOURCE),
    ("means_printed", "difference of the arms' printed means", _THE_SOURCE),
    ("se_printed", "SE as printed", _THE_SOURCE),
    ("se_from_t", "SE from the difference and its t statistic", _handbook("6.5.2.3")),
    ("smd_from_t", "g from a t statistic and the arm sizes", _HEDGES),
    ("correlation_printed", "within-person correlation as printed", _THE_SOURCE),
    ("sign_from_words", "sign from the source's statement which arm did better", _THE_SOURCE),
    ("direction_flipped", "sign reversed because higher scores are better on this scale",
     _handbook("6.5.1.2")),
)  # fmt: skip
_ASSUMED = (
    ("sd_from_ci", f"{_ARM_CI} (t distribution)", _handbook("6.5.2.2")),
    ("sd_from_ci_normal", f"{_ARM_CI} (normal distribution)", _handbook("6.5.2.2")),
    ("sd_from_difference_se", f"{_COMMON} the SE of their difference", _handbook("6.5.2.3")),
    ("sd_from_difference_ci", f"{_COMMON} the confidence interval of their difference",
     _handbook("6.5.2.3")),
    ("sd_from_t", f"{_COMMON} their difference and its t statistic", _handbook("6.5.2.3")),
    ("sd_from_f", f"{_COMMON} their difference and its F statistic (1 numerator df)",
     _handbook("6.5.2.3")),
    ("sd_from_p", f"{_COMMON} their difference and its exact P value", _handbook("6.5.2.3")),
    ("sd_from_quartiles", "mean and SD from median and quartiles", _WAN),
    ("sd_from_range", "mean and SD from median, minimum and maximum", _WAN),
    ("sd_from_five_numbers", "mean and SD from the five-number summary", _SHI),
    ("change_sd_from_correlation",
     "SD of the change from the SDs before and after and an assumed correlation",
     _handbook("6.5.2.8")),
    ("zero_cell_correction", "0.5 added to each cell", _handbook("10.4.4")),
    ("p_to_se", "SE from the exact P value of the estimate", _handbook("6.3.2")),
    ("t_from_p", "t statistic from an exact P value", _handbook("6.5.2.3")),
    ("paired_from_t", "within-person effect from the paired t statistic",
     "Dunlap et al. 1996, doi:10.1037/1082-989X.1.2.170"),
    ("paired_correlation_assumed", "within-person correlation assumed", _handbook("23")),
    ("model_based",
     "SD or SE from a model with covariates (least-squares means), not from raw scores",
     _handbook("6.5.2.3")),
    ("before_after", "change of one arm in units of its SD before, without a control", _BECKER),
)  # fmt: skip

#: Every route by its code.
ROUTES: Mapping[str, Route] = MappingProxyType(
    {row[0]: Route(*row, is_exact=rows is _EXACT) for rows in (_EXACT, _ASSUMED) for row in rows}
)
