"""The counts of two arms, and their common effect: Mantel-Haenszel and Peto.

Neither adds anything to zero cells. Random effects on counts are in
:mod:`ketameta.models.rare_events.binomial_normal`.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import Bools, Floats, Problems, as_sequence
from ketameta.effects.door import takes_effects
from ketameta.effects.events import (
    check_events,
    log_odds_ratio,
    log_risk_ratio,
    risk_difference,
    zero_cells_of,
)
from ketameta.errors import (
    CallError,
    ImpossibleDataError,
    NotEstimableError,
    UsageError,
    check_choice,
)
from ketameta.formatting import (
    format_count,
    format_estimate,
    format_number,
    format_p,
    format_percent,
    plural,
)
from ketameta.measures import Measure
from ketameta.models.intervals import check_level, critical_value, dispersion, two_sided_p
from ketameta.models.pooling import statistic_words
from ketameta.models.results import Caveat, Line, Printed, Reports, Result, computed, stated


@dataclasses.dataclass(frozen=True, slots=True)
class ZeroHandling:
    """Which trials have zero cells, and what the method did with them.

    Attributes
    ----------
    rule : str
        What the method does with zero cells, as a sentence.
    double_zero, single_zero : tuple of int
        Positions (from 0) of trials without events, or with nothing but events, in both arms; and
        of other trials with a zero cell.
    double_zero_labels, single_zero_labels : tuple of str
        The names of those trials.
    k_informative : int
        Trials that carry information on the estimate.
    """

    rule: str
    double_zero: tuple[int, ...]
    double_zero_labels: tuple[str, ...]
    single_zero: tuple[int, ...]
    single_zero_labels: tuple[str, ...]
    k_informative: int

    @property
    def k_double_zero(self) -> int:
        """Number of double-zero trials."""
        return len(self.double_zero)

    @property
    def k_single_zero(self) -> int:
        """Number of other trials with a zero cell."""
        return len(self.single_zero)


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class TwoArmCounts(Result):
    """A result of the event counts of two arms.

    Attributes
    ----------
    k : int
        Trials given, informative or not.
    events_treatment, n_treatment, events_control, n_control : float
        Sums over trials.
    level : float
    zeros : ZeroHandling
    caveats : tuple of Caveat
    """

    k: int
    events_treatment: float
    n_treatment: float
    events_control: float
    n_control: float
    level: float
    zeros: ZeroHandling
    caveats: tuple[Caveat, ...]

    def forest(self, *_: Any, **__: Any) -> NoReturn:
        """Say how to draw the trials, of which a model of counts computes no effects."""
        raise CallError(
            "a model of counts computes no effects of single trials:"
            " km.random_effects(km.effect_sizes(...)).forest() draws them, and"
            " km.plots.forest({name: fit}) this result as a row"
        )

    def events_line(self) -> Line:
        """Return the printed line of the sums, such as ``7/188 v 23/203``."""
        sums = self.events_treatment, self.n_treatment, self.events_control, self.n_control
        treated, of_treated, control, of_control = map(format_count, sums)
        return Line("events", (f"{treated}/{of_treated} v {control}/{of_control}",))

    def head(self, what: str, how: str) -> str:
        """Return the head of what is printed."""
        trials = f"{plural(self.k, 'trial')}, {self.zeros.k_informative} informative"
        return f"{what}: {trials}, {how}"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class EventTables:
    """Checked counts of k trials, as float arrays of shape (k,).

    Attributes
    ----------
    a, b : ndarray
        Treatment arm: with and without the event.
    c, d : ndarray
        Control arm: with and without the event.
    any_zero, double_zero : ndarray of bool
    labels : tuple of str
    """

    a: Floats
    b: Floats
    c: Floats
    d: Floats
    any_zero: Bools
    double_zero: Bools
    labels: tuple[str, ...]

    @property
    def k(self) -> int:
        """Number of trials."""
        return int(self.a.size)

    @property
    def n1(self) -> Floats:
        """Participants under treatment."""
        return self.a + self.b

    @property
    def n2(self) -> Floats:
        """Participants under control."""
        return self.c + self.d

    @property
    def events(self) -> Floats:
        """Events in both arms."""
        return self.a + self.c

    @property
    def n(self) -> Floats:
        """Participants in both arms."""
        return self.n1 + self.n2

    @property
    def ends(self) -> tuple[Floats, Floats]:
        """The fewest and the most events under treatment that the margins allow."""
        return np.maximum(0, self.events - self.n2), np.minimum(self.n1, self.events)

    def take(self, which: Bools) -> EventTables:
        """Return the tables where ``which`` is true."""
        kept = np.flatnonzero(which)
        arrays = ("a", "b", "c", "d", "any_zero", "double_zero")
        values = {name: getattr(self, name)[kept] for name in arrays}
        return EventTables(**values, labels=tuple(self.labels[i] for i in kept))

    def shared(
        self, rule: str, informative: Bools, caveats: Sequence[Caveat], *, contribute: bool = False
    ) -> dict[str, Any]:
        """Return what every result of counts holds.

        ``rule`` is what the method does with zeros; ``contribute``: double zeros carry weight.
        """
        double = np.flatnonzero(self.double_zero).tolist()
        single = np.flatnonzero(self.any_zero & ~self.double_zero).tolist()
        zeros = ZeroHandling(
            rule=rule,
            double_zero=tuple(double),
            double_zero_labels=tuple(self.labels[i] for i in double),
            single_zero=tuple(single),
            single_zero_labels=tuple(self.labels[i] for i in single),
            k_informative=int(informative.sum()),
        )
        return {
            "k": self.k,
            "events_treatment": float(self.a.sum()),
            "n_treatment": float(self.n1.sum()),
            "events_control": float(self.c.sum()),
            "n_control": float(self.n2.sum()),
            "zeros": zeros,
            "caveats": (*zero_caveats(zeros, self.k, contribute), *caveats),
        }


def event_tables(
    events_t: ArrayLike,
    n_t: ArrayLike,
    events_c: ArrayLike,
    n_c: ArrayLike,
    labels: Sequence[object] | None = None,
    *,
    whole: bool = False,
) -> EventTables:
    """Return the counts of k trials, or refuse them; ``whole`` refuses fractions."""
    e1, n1, e2, n2 = check_events(events_t, n_t, events_c, n_c, arms=("t", "c"))
    if e1.size == 0:
        raise NotEstimableError("events_t is empty: there are no trials")
    if whole:
        problems = Problems()
        for name, values in (("events_t", e1), ("n_t", n1), ("events_c", e2), ("n_c", n2)):
            problems.add(name, values, values != np.round(values), "a whole number")
        problems.check()
    any_zero, double = zero_cells_of(e1, n1, e2, n2)
    names = _names(labels, e1.size)
    return EventTables(e1, n1 - e1, e2, n2 - e2, any_zero, double, names)


def _names(labels: Sequence[object] | None, k: int) -> tuple[str, ...]:
    if labels is None:
        return tuple(f"study {i + 1}" for i in range(k))
    names = tuple(str(label) for label in as_sequence("labels", labels))
    if len(names) != k:
        raise UsageError(f"labels has {len(names)} values and events_t has {k}; give one each")
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        raise ImpossibleDataError(f"labels repeat: {', '.join(repeated)}; a trial enters once")
    return names


def zero_caveats(zeros: ZeroHandling, k: int, contribute: bool) -> tuple[Caveat, ...]:
    """Return what a reader must know of the zeros; ``contribute``: double zeros carry weight."""
    role = "count as trials without a difference" if contribute else (
        "carry no information on the estimate")  # fmt: skip
    of = f"of {plural(k, 'trial')} had"
    return stated(
        (zeros.double_zero, "double_zero", f"{zeros.k_double_zero} {of} no event, or nothing but"
         f" events, in both arms; such trials {role}."),
        (zeros.single_zero, "single_zero",
         f"{zeros.k_single_zero} {of} a zero cell in one arm. {zeros.rule}"),
        (zeros.k_informative == 1, "single_study",
         "Only one trial carries information; nothing was pooled."),
    )  # fmt: skip


# --- the effect that is read off them -------------------------------------------------------------

METHOD_NAMES = {"mantel-haenszel": "Mantel–Haenszel", "peto": "Peto"}
_MEASURE_NAMES = {
    Measure.OR: "odds ratio",
    Measure.RR: "risk ratio",
    Measure.RD: "risk difference",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ChiSquared:
    """A chi-squared test.

    Attributes
    ----------
    statistic : float
    df : int
    p_value : float
    """

    statistic: float
    df: int
    p_value: float


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class StratifiedEffect(Reports, TwoArmCounts):
    """A common effect of k trials from their event counts.

    Attributes
    ----------
    k, events_treatment, n_treatment, events_control, n_control, level, zeros, caveats
        As in :class:`TwoArmCounts`.
    method : {"mantel-haenszel", "peto"}
    measure : Measure
    estimate, se : float
        Logarithm for ratios; a share of one for the risk difference.
    statistic, p_value : float
        Normal test that the effect is null, two-sided.
    ci_low, ci_high : float
        Normal interval at ``level``, on the scale of ``estimate``.
    q, q_df, q_p_value : float, int, float, or None
        Heterogeneity of the trials' own effects around ``estimate``; None for one trial.
    i2, h2 : float or None
        From Q; ``i2`` is a share of one.
    association, association_uncorrected : ChiSquared or None
        Cochran-Mantel-Haenszel test with and without continuity correction (odds ratios).
    breslow_day, tarone : ChiSquared or None
        Tests that the odds ratios are equal (Mantel-Haenszel odds ratio of two or more trials).
    """

    method: str
    measure: Measure
    estimate: float
    se: float
    statistic: float
    p_value: float
    ci_low: float
    ci_high: float
    q: float | None
    q_df: int | None
    q_p_value: float | None
    i2: float | None
    h2: float | None
    association: ChiSquared | None = None
    association_uncorrected: ChiSquared | None = None
    breslow_day: ChiSquared | None = None
    tarone: ChiSquared | None = None

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years."""
        peto = self.method == "peto"
        how = "by Peto's method (Yusuf et al. 1985)" if peto else (
            "with Mantel–Haenszel weights (Mantel and Haenszel 1959)")  # fmt: skip
        return computed(
            [
                f"The {_MEASURE_NAMES[self.measure]}s of {plural(self.k, 'trial')} were pooled"
                f" {how}, with one effect common to all trials.",
                self.zeros.rule,
                f"The {100 * self.level:g}% confidence interval is from the normal distribution.",
            ]
        )

    def printed(self) -> Printed:
        """Return the printed lines."""
        ends, ratio = np.array([self.estimate, self.ci_low, self.ci_high]), self.measure.is_ratio
        middle, low, high = np.exp(ends) if ratio else ends
        shown = format_estimate(middle, low, high, digits=2 if ratio else 3)
        shown = f"{shown} ({100 * self.level:g}% CI)"
        test = statistic_words(self.statistic, None, self.p_value)
        lines = [self.events_line(), Line("pooled", (shown,), test)]
        if self.q is not None:
            words = (
                f"I² = {format_percent(self.i2, 1)} (from Q), "
                f"Q({self.q_df}) = {format_number(self.q, 1)}, {format_p(self.q_p_value)}"
            )
            lines.append(Line("between", (words,)))
        what = f"{METHOD_NAMES[self.method]} {_MEASURE_NAMES[self.measure]}"
        return Printed(self.head(what, "common effect"), lines, caveats=self.caveats)


#: Mantel and Fleiss: the counts expected under treatment must leave at least this much room to
#: their smallest and largest possible sums, or the chi-squared approximation fails.
MANTEL_FLEISS_LEAST = 5.0


def spread(q: float, k: int) -> dict[str, Any]:
    """Return Q of k trials with its test and I-squared; nothing where fewer than two inform."""
    if k < 2:
        return dict.fromkeys(("q", "q_df", "q_p_value", "i2", "h2"))
    df = k - 1
    i2 = max(0.0, (q - df) / q) if q > 0 else 0.0
    return {"q": q, "q_df": df, "q_p_value": special.chdtrc(df, q).item(), "i2": i2, "h2": q / df}


def chi_squared(statistic: float, df: int) -> ChiSquared:
    """Return a chi-squared test."""
    return ChiSquared(statistic, df, float(special.chdtrc(df, statistic)))


def hypergeometric(tables: EventTables) -> tuple[Floats, Floats]:
    """Return mean and variance of the events under treatment, given both margins."""
    n1, n2, n, events = tables.n1, tables.n2, tables.n, tables.events
    variance = events * (n - events) * (n1 / n) * (n2 / n) / (n - 1)
    return events * n1 / n, variance


def association_test(tables: EventTables, *, correct: bool) -> ChiSquared | None:
    """Return the Cochran-Mantel-Haenszel test, with or without continuity correction."""
    expected, variance = hypergeometric(tables)
    total = float(variance.sum())
    if total == 0:
        return None
    distance = abs(float((tables.a - expected).sum()))
    statistic = max(0.0, distance - (0.5 if correct else 0.0)) ** 2 / total
    return chi_squared(statistic, 1)


def equal_odds_ratios(
    tables: EventTables, ratio: float
) -> tuple[ChiSquared | None, ChiSquared | None]:
    """Return the Breslow-Day test and its correction by Tarone."""
    used = tables.take(~tables.double_zero)
    if used.k < 2:
        return None, None
    n1, n2, events = used.n1, used.n2, used.events
    # Fitted cell: the smaller root of (psi - 1) x^2 - B x + psi n1 m = 0, without cancellation.
    b = ratio * (n1 + events) + n2 - events
    fitted = 2 * ratio * n1 * events / (b + np.sqrt(b**2 - 4 * n1 * events * ratio * (ratio - 1)))
    cells = (fitted, n1 - fitted, events - fitted, n2 - events + fitted)
    variance = 1 / np.sum([1 / cell for cell in cells], axis=0)
    distance = used.a - fitted
    breslow_day = max(0.0, float((distance**2 / variance).sum()))
    tarone = max(0.0, breslow_day - float(distance.sum()) ** 2 / float(variance.sum()))
    return chi_squared(breslow_day, used.k - 1), chi_squared(tarone, used.k - 1)


def mantel_fleiss_caveats(tables: EventTables) -> tuple[Caveat, ...]:
    """Return a caveat when there are too few events for a normal approximation."""
    expected, _ = hypergeometric(tables)
    lowest, highest = tables.ends
    room = min(float((expected - lowest).sum()), float((highest - expected).sum()))
    words = (
        f"So few events that the normal approximation is doubtful (Mantel–Fleiss criterion "
        f"{room:.1f}, {MANTEL_FLEISS_LEAST:g} or more is needed); report the counts."
    )
    return stated((room < MANTEL_FLEISS_LEAST, "few_events", words))


class Pooled(NamedTuple):
    """An estimate on the scale that is pooled, and its standard error."""

    estimate: float
    se: float


def _refuse_ratio(tables: EventTables, name: str) -> NotEstimableError:
    return NotEstimableError(
        f"the Mantel-Haenszel {name} ratio of {plural(tables.k, 'trial')} is 0, infinite or "
        f"undefined: events {tables.a.sum():g} of {tables.n1.sum():g} under treatment, "
        f"{tables.c.sum():g} of {tables.n2.sum():g} under control; report the counts, or choose "
        "measure='RD'"
    )


def _odds_ratio(tables: EventTables) -> Pooled:
    a, b, c, d, n = tables.a, tables.b, tables.c, tables.d, tables.n
    agree, differ = (a + d) / n, (b + c) / n
    r, s = a * d / n, b * c / n
    upper, lower = float(r.sum()), float(s.sum())
    if upper == 0 or lower == 0:
        raise _refuse_ratio(tables, "odds")
    variance = (
        (agree * r).sum() / upper**2
        + (agree * s + differ * r).sum() / (upper * lower)
        + (differ * s).sum() / lower**2
    ) / 2
    return Pooled(math.log(upper) - math.log(lower), math.sqrt(variance))


def _risk_ratio(tables: EventTables) -> Pooled:
    a, c, n1, n2, n = tables.a, tables.c, tables.n1, tables.n2, tables.n
    upper, lower = float((a * n2 / n).sum()), float((c * n1 / n).sum())
    if upper == 0 or lower == 0:
        raise _refuse_ratio(tables, "risk")
    variance = float(((n1 * n2 * (a + c) - a * c * n) / n**2).sum()) / (upper * lower)
    if variance <= 0:
        raise NotEstimableError(
            "everybody in both arms of every informative trial had the event: the risk ratio is 1 "
            "by construction and has no standard error; choose measure='OR' of the other event"
        )
    return Pooled(math.log(upper) - math.log(lower), math.sqrt(variance))


def _risk_difference(tables: EventTables) -> Pooled:
    a, b, c, d = tables.a, tables.b, tables.c, tables.d
    n1, n2, n = tables.n1, tables.n2, tables.n
    weight = float((n1 * n2 / n).sum())
    estimate = float(((a * n2 - c * n1) / n).sum()) / weight
    p = (c * (n1 / n) ** 2 - a * (n2 / n) ** 2 + (n1 / n) * (n2 / n) * (n2 - n1) / 2).sum()
    q = ((a * d + c * b) / n).sum() / 2
    variance = float(estimate * p + q) / weight**2
    if variance <= 0:
        raise NotEstimableError(
            f"the variance of the Mantel-Haenszel risk difference of {plural(tables.k, 'trial')} "
            "is zero: no trial has both events and non-events"
        )
    return Pooled(estimate, math.sqrt(variance))


#: The estimate of each measure.
POOLED = {Measure.OR: _odds_ratio, Measure.RR: _risk_ratio, Measure.RD: _risk_difference}

#: Measures that Mantel-Haenszel weights exist for.
MEASURES = ("OR", "RR", "RD")
#: Arms that differ this much in size bias Peto's estimate when there is an effect. A choice.
PETO_IMBALANCE = 2.0
#: Odds ratios beyond this, or below its inverse, are outside the range of Peto's approximation
#: around the null. A choice.
PETO_LARGE_RATIO = 5.0

_EFFECTS = {"OR": log_odds_ratio, "RR": log_risk_ratio, "RD": risk_difference}
_MH_ZEROS = (
    "Mantel–Haenszel sums use the counts as they are; only the heterogeneity test adds 0.5 to the "
    "cells of trials with a zero cell."
)


@takes_effects()
def mantel_haenszel(
    events_t: ArrayLike,
    n_t: ArrayLike,
    events_c: ArrayLike,
    n_c: ArrayLike,
    measure: str = "OR",
    level: float = 0.95,
    *,
    labels: Sequence[object] | None = None,
) -> StratifiedEffect:
    """Pool event counts with Mantel-Haenszel weights: one common effect, no zero-cell constant.

    Parameters
    ----------
    events_t, n_t, events_c, n_c : array_like of shape (k,)
        Events and participants under treatment and control, ``0 <= events <= n``. Instead of the
        four: ``Effects`` of counts, or a frame with ``events_treatment=, n_treatment=,
        events_control=, n_control=`` naming its columns.
    measure : {"OR", "RR", "RD"}
        Odds ratio, risk ratio or risk difference.
    level : float
        Confidence level, a share of one.
    labels : sequence of length k, optional
        Names of the trials.

    Returns
    -------
    StratifiedEffect
        The estimate is a logarithm for OR and RR, and below 0 where the event is rarer under
        treatment.

    Raises
    ------
    ImpossibleDataError
        Counts that no trial can have; every position is listed.
    NotEstimableError
        No trial, no informative trial, or one arm without events in all of them (for OR also
        without non-events): the ratio would be 0 or infinite.
    UsageError
        A measure or level that is not a choice.

    Notes
    -----
    Variances: Robins, Breslow and Greenland for OR, Greenland and Robins for RR, Sato for RD.
    Trials without events in both arms drop out of OR and RR by themselves; in RD they enter as
    trials without a difference. ``q`` compares the trials' own effects (0.5 added where a cell is
    zero, double zeros left out) with the pooled one. All as metafor ``rma.mh`` with its defaults,
    except that the continuity-corrected association test is never pushed beyond zero when the
    observed difference is below one half (metafor then squares a negative number).

    References
    ----------
    Mantel and Haenszel (1959), J. Natl. Cancer Inst. 22(4), 719-748. Robins, Breslow and Greenland
    (1986), Biometrics 42(2), 311-323. Greenland and Robins (1985), Biometrics 41(1), 55-68. Sato
    (1989), Biometrics 45(4), 1323-1324. Breslow and Day (1980), Statistical Methods in Cancer
    Research, volume 1. Tarone (1985), Biometrika 72(1), 91-95. Mantel and Fleiss (1980), Am. J.
    Epidemiol. 112(1), 129-134.

    Examples
    --------
    >>> fit = mantel_haenszel([1, 4, 2], [40, 56, 92], [2, 14, 7], [36, 74, 93])
    >>> round(fit.estimate, 4), round(fit.se, 4)
    (-1.1354, 0.4488)
    """
    kind = Measure(check_choice("measure", measure, MEASURES))
    check_level(level)
    tables = event_tables(events_t, n_t, events_c, n_c, labels)
    informative = np.ones(tables.k, dtype=bool)
    if kind is not Measure.RD:
        informative = tables.events > 0 if kind is Measure.RR else ~tables.double_zero
    pooled = POOLED[kind](tables)
    tests: dict[str, ChiSquared | None] = {}
    caveats: tuple[Caveat, ...] = ()
    if kind is Measure.OR:
        breslow_day, tarone = equal_odds_ratios(tables, math.exp(pooled.estimate))
        tests = {
            "association": association_test(tables, correct=True),
            "association_uncorrected": association_test(tables, correct=False),
            "breslow_day": breslow_day,
            "tarone": tarone,
        }
        caveats = mantel_fleiss_caveats(tables)
    contribute = bool((informative & tables.double_zero).any())
    shared = tables.shared(_MH_ZEROS, informative, caveats, contribute=contribute)
    effect = _EFFECTS[kind.value](tables.a, tables.n1, tables.c, tables.n2, double_zeros="drop")
    squares = float(((effect.estimate - pooled.estimate) ** 2 / effect.variance).sum())
    size = float((effect.estimate**2 / effect.variance).sum())
    shared |= spread(dispersion(squares, size), effect.k) | tests
    return _effect("mantel-haenszel", kind, pooled, level, shared)


@takes_effects()
def peto(
    events_t: ArrayLike,
    n_t: ArrayLike,
    events_c: ArrayLike,
    n_c: ArrayLike,
    level: float = 0.95,
    *,
    labels: Sequence[object] | None = None,
) -> StratifiedEffect:
    """Pool event counts by Peto's one-step odds ratio.

    Parameters
    ----------
    events_t, n_t, events_c, n_c, level, labels
        As in :func:`mantel_haenszel`.

    Returns
    -------
    StratifiedEffect
        The estimate is a log odds ratio.

    Raises
    ------
    ImpossibleDataError, UsageError
        As in :func:`mantel_haenszel`.
    NotEstimableError
        No trial, or no trial with both events and non-events.

    Notes
    -----
    ``sum(a - E) / sum(V)`` with E and V the hypergeometric mean and variance of the events under
    treatment. Good for events of 1% or less in arms of similar size and effects that are not large
    (Bradburn et al.); caveats say where that is not so. Same as metafor ``rma.peto``.

    References
    ----------
    Yusuf, Peto, Lewis, Collins and Sleight (1985), Prog. Cardiovasc. Dis. 27(5), 335-371.
    Bradburn, Deeks, Berlin and Localio (2007), Stat. Med. 26(1), 53-77. doi:10.1002/sim.2528

    Examples
    --------
    >>> fit = peto([1, 4, 2], [40, 56, 92], [2, 14, 7], [36, 74, 93])
    >>> round(fit.estimate, 4), round(fit.se, 4)
    (-1.0143, 0.386)
    """
    check_level(level)
    tables = event_tables(events_t, n_t, events_c, n_c, labels)
    informative = ~tables.double_zero
    if not informative.any():
        raise NotEstimableError(
            f"no trial of {tables.k} has both events and non-events; Peto's method needs one"
        )
    used = tables.take(informative)
    expected, variance = hypergeometric(used)
    difference = used.a - expected
    total = float(variance.sum())
    pooled = Pooled(float(difference.sum()) / total, math.sqrt(1 / total))
    squares = float((variance * (difference / variance - pooled.estimate) ** 2).sum())
    found = spread(dispersion(squares, float((difference**2 / variance).sum())), used.k)
    unbalanced = int((np.maximum(used.n1 / used.n2, used.n2 / used.n1) >= PETO_IMBALANCE).sum())
    caveats = stated(
        (unbalanced, "peto_imbalance",
         f"Arms differ in size by a factor of {PETO_IMBALANCE:g} or more in"
         f" {plural(unbalanced, 'trial')}; Peto's estimate is then biased if there is an effect."),
        (abs(pooled.estimate) > math.log(PETO_LARGE_RATIO), "peto_large_effect",
         f"The odds ratio {math.exp(min(pooled.estimate, 700.0)):.2f} is far from 1; Peto's"
         " approximation then understates it."),
    )  # fmt: skip
    zeros = "Peto's method uses the counts as they are and adds nothing."
    shared = tables.shared(zeros, informative, caveats)
    return _effect("peto", Measure.OR, pooled, level, shared | found)


def _effect(
    method: str, measure: Measure, pooled: Pooled, level: float, shared: dict[str, Any]
) -> StratifiedEffect:
    z, half = pooled.estimate / pooled.se, critical_value(level, None) * pooled.se
    return StratifiedEffect(
        method=method,
        measure=measure,
        estimate=pooled.estimate,
        se=pooled.se,
        statistic=z,
        p_value=float(two_sided_p(np.array(z), None)),
        ci_low=pooled.estimate - half,
        ci_high=pooled.estimate + half,
        level=level,
        **shared,
    )
