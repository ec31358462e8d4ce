"""Arms put together, and counts behind percentages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Bools, Floats, Problems, columns, frozen
from ketameta.errors import UsageError


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
    sizes, means, spreads = columns(n=n, mean=mean, sd=sd)
    if sizes.size == 0:
        raise UsageError("combine_arms needs at least one arm")
    problems = Problems()
    problems.add("n", sizes, sizes < 2, "2 or more")
    problems.add("sd", spreads, spreads <= 0, "> 0")
    problems.check()
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
    counts, sizes = columns(events=events, n=n)
    if sizes.size == 0:
        raise UsageError("combine_events needs at least one arm")
    problems = Problems()
    problems.add("n", sizes, sizes <= 0, "> 0")
    problems.add("events", counts, counts < 0, "0 or more")
    problems.add("events", counts, counts > sizes, "at most n")
    problems.check()
    return CombinedEvents(float(counts.sum()), float(sizes.sum()))


def _printed_decimals(percent: Floats) -> Floats:
    texts = [np.format_float_positional(value, trim="-") for value in percent]
    return np.array([len(text.partition(".")[2]) for text in texts], dtype=np.float64)


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
        If a value is not finite, a percentage is not between 0 and 100, n is not whole and
        positive, or decimals are not whole and non-negative.

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
        digits = _printed_decimals(shares)
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
