"""Common effects of rare events from the counts themselves: Mantel-Haenszel and Peto.

Neither adds anything to zero cells. Random effects on counts are in
:mod:`ketameta.models.binomial_normal`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ketameta.arrays import Bools
from ketameta.effect_sizes import log_odds_ratio, log_risk_ratio, risk_difference
from ketameta.effects.door import takes_effects
from ketameta.errors import NotEstimableError, check_choice
from ketameta.models.event_tables import (
    EventTables,
    ZeroHandling,
    event_tables,
    zero_caveats,
)
from ketameta.models.intervals import check_level, critical_value
from ketameta.models.mantel_haenszel_sums import POOLED, Pooled
from ketameta.models.rare_event_results import ChiSquared, StratifiedEffect
from ketameta.models.rare_event_tests import (
    Spread,
    association_test,
    equal_odds_ratios,
    hypergeometric,
    mantel_fleiss_caveats,
    spread,
)
from ketameta.models.results import Caveat
from ketameta.numberformat import plural
from ketameta.vocabulary import Measure

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
_PETO_ZEROS = "Peto's method uses the counts as they are and adds nothing."


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
    informative = _informative(tables, kind)
    pooled = POOLED[kind](tables)
    found = _inverse_variance_q(tables, kind, pooled.estimate)
    association = uncorrected = breslow_day = tarone = None
    caveats: list[Caveat] = []
    if kind is Measure.OR:
        association = association_test(tables, correct=True)
        uncorrected = association_test(tables, correct=False)
        breslow_day, tarone = equal_odds_ratios(tables, math.exp(pooled.estimate))
        caveats = mantel_fleiss_caveats(tables)
    zeros = tables.zero_handling(_MH_ZEROS, informative)
    contribute = bool((informative & tables.double_zero).any())
    caveats = zero_caveats(zeros, tables.k, contribute) + caveats
    return _effect(
        "mantel-haenszel",
        kind,
        tables,
        pooled,
        found,
        level,
        zeros,
        caveats,
        association=association,
        association_uncorrected=uncorrected,
        breslow_day=breslow_day,
        tarone=tarone,
    )


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
    q = float((difference**2 / variance).sum() - difference.sum() ** 2 / total)
    found = spread(max(0.0, q), used.k)
    zeros = tables.zero_handling(_PETO_ZEROS, informative)
    caveats = zero_caveats(zeros, tables.k, False)
    caveats += _peto_caveats(used, pooled.estimate)
    return _effect("peto", Measure.OR, tables, pooled, found, level, zeros, caveats)


def _effect(
    method: str,
    measure: Measure,
    tables: EventTables,
    pooled: Pooled,
    found: Spread,
    level: float,
    zeros: ZeroHandling,
    caveats: list[Caveat],
    **tests: ChiSquared | None,
) -> StratifiedEffect:
    z = pooled.estimate / pooled.se
    half = critical_value(level, None) * pooled.se
    return StratifiedEffect(
        method=method,
        measure=measure,
        k=tables.k,
        events_treatment=float(tables.a.sum()),
        n_treatment=float(tables.n1.sum()),
        events_control=float(tables.c.sum()),
        n_control=float(tables.n2.sum()),
        estimate=pooled.estimate,
        se=pooled.se,
        statistic=z,
        p_value=float(2 * stats.norm.sf(abs(z))),
        ci_low=pooled.estimate - half,
        ci_high=pooled.estimate + half,
        q=found.q,
        q_df=found.df,
        q_p_value=found.p_value,
        i2=found.i2,
        h2=found.h2,
        association=tests.get("association"),
        association_uncorrected=tests.get("association_uncorrected"),
        breslow_day=tests.get("breslow_day"),
        tarone=tests.get("tarone"),
        level=level,
        zeros=zeros,
        caveats=tuple(caveats),
    )


def _informative(tables: EventTables, measure: Measure) -> Bools:
    if measure is Measure.OR:
        return ~tables.double_zero
    if measure is Measure.RR:
        return tables.events > 0
    return np.ones(tables.k, dtype=bool)


def _peto_caveats(tables: EventTables, estimate: float) -> list[Caveat]:
    caveats = []
    ratio = np.maximum(tables.n1 / tables.n2, tables.n2 / tables.n1)
    unbalanced = int((ratio >= PETO_IMBALANCE).sum())
    if unbalanced:
        caveats.append(
            Caveat(
                "peto_imbalance",
                f"Arms differ in size by a factor of {PETO_IMBALANCE:g} or more in "
                f"{plural(unbalanced, 'trial')}; Peto's estimate is then biased if there is an "
                "effect.",
            )
        )
    if abs(estimate) > math.log(PETO_LARGE_RATIO):
        ratio_words = f"{math.exp(min(estimate, 700.0)):.2f}"
        caveats.append(
            Caveat(
                "peto_large_effect",
                f"The odds ratio {ratio_words} is far from 1; Peto's approximation then "
                "understates it.",
            )
        )
    return caveats


def _inverse_variance_q(tables: EventTables, measure: Measure, pooled: float) -> Spread:
    effects = _EFFECTS[measure.value](tables.a, tables.n1, tables.c, tables.n2, double_zeros="drop")
    q = float(((effects.estimate - pooled) ** 2 / effects.variance).sum())
    return spread(q, effects.k)
