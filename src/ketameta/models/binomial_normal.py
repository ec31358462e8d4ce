"""Random-effects odds ratio of rare events from the counts themselves, by maximum likelihood.

Nothing is added to zero cells and no normal approximation of a trial's log odds ratio is made.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from ketameta.arrays import Floats
from ketameta.effects.door import takes_effects
from ketameta.errors import NotEstimableError, check_choice
from ketameta.models.binomial_likelihood import (
    ConditionalLikelihood,
    Evaluation,
    Likelihood,
    UnconditionalLikelihood,
)
from ketameta.models.binomial_normal_result import BinomialNormal
from ketameta.models.event_tables import EventTables, event_tables, zero_caveats
from ketameta.models.intervals import check_level, critical_value
from ketameta.models.normal_integral import COARSE, FINE, ROUGH_STEP, STEP, concave_root
from ketameta.models.results import Caveat
from ketameta.numberformat import plural

#: The two likelihoods.
MODELS = ("conditional", "unconditional")
#: Between-trial standard deviations of the log odds ratio at which the search looks for maxima.
_TAUS = (1e-3, *np.geomspace(0.03, 16.0, 16).tolist())
#: Beyond this many times the odds no common log odds ratio is searched.
_FAR = 50.0
#: Maximum likelihood understates the between-trial variance of few trials.
_FEW = 5
_ZEROS = "The likelihood uses the counts as they are and adds nothing."


class _Maximum(NamedTuple):
    theta: float
    tau: float
    at: Evaluation


@takes_effects()
def binomial_normal(
    events_t: ArrayLike,
    n_t: ArrayLike,
    events_c: ArrayLike,
    n_c: ArrayLike,
    model: str = "conditional",
    level: float = 0.95,
    *,
    labels: Sequence[object] | None = None,
) -> BinomialNormal:
    """Fit a random-effects log odds ratio to event counts by maximum likelihood.

    Parameters
    ----------
    events_t, n_t, events_c, n_c : array_like of shape (k,)
        Events and participants under treatment and control; whole numbers.
    model : {"conditional", "unconditional"}
        ``conditional``: noncentral hypergeometric, both margins of every table fixed. No
        intercepts, so no bias from their number. ``unconditional``: two binomials per trial with
        fixed intercepts; the random effect is split between the arms (+1/2 and -1/2).
    level : float
        Confidence level, a share of one.
    labels : sequence of length k, optional
        Names of the trials.

    Returns
    -------
    BinomialNormal

    Raises
    ------
    ImpossibleDataError
        Counts that no trial can have, or that are not whole.
    NotEstimableError
        No informative trial; every informative trial at the same end of what its margins allow
        (such as no event under treatment in any trial); or a between-trial variance without
        finite estimate.
    UsageError
        A model or level that is not a choice.

    Notes
    -----
    Trials without events, or with nothing but events, in both arms carry no information on the
    odds ratio in either likelihood and are left out. Same models as metafor ``rma.glmm`` with
    ``model="CM.EL"`` and ``"UM.FS"``, which agree with these to about three digits: metafor
    stops its optimiser earlier and finds local maxima only. Here, for every tau the likelihood
    is concave in everything else, and tau is searched over its whole range.

    References
    ----------
    Stijnen, Hamza and Ozdemir (2010), Stat. Med. 29(29), 3046-3067. doi:10.1002/sim.4040.
    Jackson, Law, Stijnen, Viechtbauer and White (2018), Stat. Med. 37(7), 1059-1085.
    doi:10.1002/sim.7588

    Examples
    --------
    >>> fit = binomial_normal([1, 4, 2, 0], [40, 56, 92, 30], [2, 14, 7, 2], [36, 74, 93, 31])
    >>> round(fit.estimate, 4), round(fit.se, 4), fit.tau2
    (-1.2191, 0.4415, 0.0)
    """
    choice = check_choice("model", model, MODELS)
    check_level(level)
    tables = event_tables(events_t, n_t, events_c, n_c, labels, whole=True)
    informative = ~tables.double_zero
    used = tables.take(informative)
    _refuse_separation(used, tables.k)
    likelihood: Likelihood = (
        ConditionalLikelihood(used) if choice == "conditional" else UnconditionalLikelihood(used)
    )
    common = _best_theta(likelihood, 0.0, 0.0)
    maxima = [common] if used.k == 1 else _maxima(likelihood, common)
    best = max(maxima, key=lambda maximum: maximum.at.value)
    others = sorted((maximum.at.value for maximum in maxima), reverse=True)[1:]
    se = _standard_error(best)
    z = best.theta / se
    half = critical_value(level, None) * se
    q = 2 * (likelihood.saturated() - common.at.value) if used.k > 1 else None
    zeros = tables.zero_handling(_ZEROS, informative)
    return BinomialNormal(
        model=choice,
        k=tables.k,
        events_treatment=float(tables.a.sum()),
        n_treatment=float(tables.n1.sum()),
        events_control=float(tables.c.sum()),
        n_control=float(tables.n2.sum()),
        estimate=best.theta,
        se=se,
        statistic=z,
        p_value=float(2 * stats.norm.sf(abs(z))),
        ci_low=best.theta - half,
        ci_high=best.theta + half,
        tau2=best.tau**2,
        log_likelihood=best.at.value,
        q=None if q is None else max(0.0, q),
        q_df=None if q is None else used.k - 1,
        q_p_value=None if q is None else float(stats.chi2.sf(max(0.0, q), used.k - 1)),
        optima=len(maxima),
        optimum_gap=best.at.value - others[0] if others else None,
        level=level,
        zeros=zeros,
        caveats=(*zero_caveats(zeros, tables.k, False), *_few(used.k)),
    )


def _refuse_separation(used: EventTables, k: int) -> None:
    if used.k == 0:
        raise NotEstimableError(
            f"none of {plural(k, 'trial')} has both events and non-events; "
            "there is no odds ratio to estimate"
        )
    lowest = np.maximum(0, used.events - used.n2)
    highest = np.minimum(used.n1, used.events)
    for side, at_end in (("fewest", used.a == lowest), ("most", used.a == highest)):
        if at_end.all():
            raise NotEstimableError(
                f"in every informative trial the treatment arm has the {side} events that its "
                f"margins allow ({used.a.sum():g} of {used.events.sum():g} events in all): the "
                "odds ratio is 0 or infinite; report the counts"
            )


def _best_theta(
    likelihood: Likelihood, tau: float, start: float, *, rough: bool = False
) -> _Maximum:
    """Return the maximum over theta for one tau."""
    nodes = COARSE if rough else FINE

    def derivatives(theta: Floats) -> tuple[Floats, Floats]:
        at = likelihood.at(float(theta[0]), tau, nodes)
        return at.score[:1], at.information[:1, 0]

    bound = np.array([_FAR])
    step = ROUGH_STEP if rough else STEP
    theta = float(concave_root(derivatives, np.array([start]), -bound, bound, step)[0])
    return _Maximum(theta, tau, likelihood.at(theta, tau, nodes))


def _maxima(likelihood: Likelihood, common: _Maximum) -> list[_Maximum]:
    """Return every local maximum along tau, where the profile score changes from + to -."""
    profile = [_best_theta(likelihood, _TAUS[0], common.theta)]
    for tau in _TAUS[1:]:
        profile.append(_best_theta(likelihood, tau, profile[-1].theta, rough=True))
    found = [common] if profile[0].at.score[1] <= 0 else []
    for left, right in itertools.pairwise(profile):
        if left.at.score[1] > 0 >= right.at.score[1]:
            found.append(_between(likelihood, left, right))
    if profile[-1].at.score[1] > 0 or not found:
        raise NotEstimableError(
            "the between-trial variance has no finite estimate: the likelihood still rises at "
            f"a standard deviation of {_TAUS[-1]:g} on the log odds scale; report the counts"
        )
    return found


def _between(likelihood: Likelihood, left: _Maximum, right: _Maximum) -> _Maximum:
    """Return the maximum between two values of tau whose profile scores are + and -."""

    def score(tau: float) -> float:
        return float(_best_theta(likelihood, tau, left.theta).at.score[1])

    low, high = left.tau, right.tau
    while score(low) <= 0:  # the rough profile misjudged a bound next to the maximum
        low *= 0.9
    while score(high) > 0:
        high *= 1.1
    tau = float(optimize.brentq(score, low, high, xtol=1e-12, rtol=1e-11))
    return _best_theta(likelihood, tau, left.theta)


def _standard_error(maximum: _Maximum) -> float:
    """Return the standard error of theta; tau counts as estimated unless it is 0."""
    information = maximum.at.information
    if maximum.tau == 0:
        return float(1 / np.sqrt(information[0, 0]))
    return float(np.sqrt(np.linalg.inv(information)[0, 0]))


def _few(k: int) -> list[Caveat]:
    if not 1 < k < _FEW:
        return []
    return [
        Caveat(
            "few_studies",
            f"With {plural(k, 'informative trial')} maximum likelihood understates the "
            "between-trial variance, and the interval is too narrow.",
        )
    ]
