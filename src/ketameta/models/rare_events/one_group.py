"""Proportions and rates of one group from the counts themselves: a normal effect, exact counts.

Binomial-normal for events of participants, Poisson-normal for events in time. The integrals and
the search are those of ``binomial_normal``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import Bools, Floats, Problems, columns, frozen
from ketameta.effects.table import Effects, check_indexes
from ketameta.errors import NotEstimableError, UsageError, check_choice
from ketameta.formatting import format_count, format_percent, plural
from ketameta.models.intervals import check_level, critical_value, prediction_bounds
from ketameta.models.pooling import decimals_for, interval_cells, measure_words, reader_words
from ketameta.models.rare_events.binomial_normal import (
    OneEffect,
    best_maximum,
    between_lines,
    in_parts,
    softplus,
)
from ketameta.models.results import Caveat, DrawsForest, Line, Printed, Reports, Result, computed
from ketameta.models.validation import checked_labels

#: Measures, and how their likelihood is called.
ONE_GROUP = {"PLO": "binomial-normal", "IRLN": "Poisson-normal"}


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class OneGroup(DrawsForest, Reports, Result):
    """A random-effects proportion or rate from event counts.

    Attributes
    ----------
    measure : {"PLO", "IRLN"}
        Log odds, or logarithm of the rate; ``display_*`` are the proportion and the rate.
    k : int
    events, total : float
        Sums over studies; the total is participants, or time at risk.
    estimate, se : float
        Mean log odds (log rate); the standard error includes the uncertainty of tau-squared.
    ci_low, ci_high, level : float
        Normal interval.
    pi_low, pi_high : float or None
        Where the true value of a new study lies, t with k - 2 degrees of freedom; None below three.
    tau2 : float
        Maximum-likelihood variance between studies.
    log_likelihood : float
    q, q_df, q_p_value : float, int, float or None
        Likelihood-ratio test that all studies share one value; None for one study.
    optima : int
        Local maxima of the likelihood found along tau.
    labels : tuple of str
    study_events, study_totals : ndarray of shape (k,)
    caveats : tuple of Caveat
    """

    measure: str
    k: int
    events: float
    total: float
    estimate: float
    se: float
    ci_low: float
    ci_high: float
    level: float
    pi_low: float | None
    pi_high: float | None
    tau2: float
    log_likelihood: float
    q: float | None
    q_df: int | None
    q_p_value: float | None
    optima: int
    labels: tuple[str, ...]
    study_events: Floats
    study_totals: Floats
    caveats: tuple[Caveat, ...]

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years."""
        return computed(
            [
                f"The {measure_words(self.measure)}s of {plural(self.k, 'study', 'studies')} were"
                f" pooled in a {ONE_GROUP[self.measure]} model of the counts (Stijnen, Hamza and"
                " Özdemir 2010), by maximum likelihood; nothing was added to zeros.",
            ]
        )

    def printed(self) -> Printed:
        """Return the printed lines."""
        share = format_percent(self.level)
        ends = self.estimate, self.ci_low, self.ci_high
        what = "participants" if self.measure == "PLO" else "time at risk"
        sums = f"{format_count(self.events)} in {format_count(self.total)} {what}"
        cells = interval_cells(self.measure, *ends, share, decimals_for(self.se))
        lines = [Line("events", (sums,)), Line("pooled" if self.k > 1 else "study", cells)]
        new = reader_words(self.measure, self.estimate, self.pi_low, self.pi_high)
        if new is not None:
            lines.append(Line("next study", (f"{share} PI {new[1]} (t, {self.k - 2} df)",)))
        lines += between_lines(self)
        head = f"OneGroup: {measure_words(self.measure)}, {plural(self.k, 'study', 'studies')}"
        return Printed(f"{head}, {ONE_GROUP[self.measure]}", lines, caveats=self.caveats)


class Counts(NamedTuple):
    """Events and their denominators, shape (k,)."""

    events: Floats
    total: Floats

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.events)

    def take(self, keep: Bools) -> Counts:
        """Return the studies where ``keep`` is true."""
        return Counts(self.events[keep], self.total[keep])


class BinomialLikelihood(OneEffect):
    """Events of participants with log odds ``theta + tau z``."""

    def __init__(self, counts: Counts) -> None:
        x, n = counts
        self.k, self._x, self._n = counts.k, x[:, None], n[:, None]
        self._constant = (
            special.gammaln(n + 1) - special.gammaln(x + 1) - special.gammaln(n - x + 1)
        )[:, None]

    def terms(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return log-likelihoods and two derivatives in the linear predictor, shape (k, m)."""
        total, p, spread = softplus(eta)
        value = self._constant + self._x * eta - self._n * total
        return value, self._x - self._n * p, -self._n * spread

    def saturated(self) -> float:
        """Return the log-likelihood with a value of its own for every study."""
        x, n = self._x, self._n
        own = special.xlogy(x, x / n) + special.xlogy(n - x, (n - x) / n)
        return float((self._constant + own).sum())


class PoissonLikelihood(BinomialLikelihood):
    """Events in time with log rate ``theta + tau z``."""

    def __init__(self, counts: Counts) -> None:
        self.k, self._x, self._n = counts.k, counts.events[:, None], counts.total[:, None]
        self._constant = special.xlogy(self._x, self._n) - special.gammaln(self._x + 1)

    def terms(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return log-likelihoods and two derivatives in the linear predictor, shape (k, m)."""
        expected = self._n * np.exp(np.minimum(eta, 200.0))
        return self._constant + self._x * eta - expected, self._x - expected, -expected

    def saturated(self) -> float:
        """Return the log-likelihood with a value of its own for every study."""
        own = special.xlogy(self._x, self._x / self._n) - self._x
        return float((self._constant + own).sum())


def one_group(
    events: ArrayLike | Effects,
    total: ArrayLike | None = None,
    measure: str | None = None,
    level: float = 0.95,
    *,
    labels: Sequence[object] | None = None,
) -> OneGroup:
    """Pool proportions or rates of one group from their counts by maximum likelihood.

    Parameters
    ----------
    events : array_like of shape (k,), or Effects
        Whole numbers; ``Effects`` of a proportion or a rate bring the rest.
    total : array_like of shape (k,)
        Participants (whole, at least the events), or time at risk (> 0).
    measure : {"PLO", "IRLN"}
        Proportion of participants (pooled as log odds), or rate per unit of time (as logarithm);
        that of the effects when not given, else ``"PLO"``.
    level : float
    labels : sequence of length k, optional

    Returns
    -------
    OneGroup
        With the proportion (rate) first; below five studies with a caveat.

    Raises
    ------
    ImpossibleDataError
        Counts that no study can have, or that are not whole.
    NotEstimableError
        No event in any study, or nothing but events: the log odds (log rate) is infinite.
    UsageError
        Another measure, or effects without their counts.

    Notes
    -----
    Studies have ``theta_i ~ N(mu, tau**2)`` and the exact likelihood of their counts: nothing is
    added to zeros, and no study needs a variance of its own. Use it where events are few; with many
    events pooling ``PLO`` or ``IRLN`` effects gives the same. Equal to metafor's
    ``rma.glmm(measure="PLO", xi=, ni=)`` and ``rma.glmm(measure="IRLN", xi=, ti=)``, whose
    optimiser stops earlier and whose default quadrature has seven nodes.

    References
    ----------
    Stijnen, Hamza and Ozdemir (2010), Stat. Med. 29(29), 3046-3067. doi:10.1002/sim.4040

    Examples
    --------
    >>> fit = one_group([3, 0, 5, 2], [50, 40, 60, 45])
    >>> round(fit.display_estimate, 4), fit.tau2
    (0.0513, 0.0)
    """
    if isinstance(events, Effects):
        found, raw = events, events.raw
        timed = "time" in raw
        if "events" not in raw or not (timed or "n" in raw):
            raise UsageError("one_group() needs counts, and these effects hold none of one group")
        measure = measure or ("IRLN" if timed else "PLO")
        events, total, labels = raw["events"], raw["time" if timed else "n"], found.labels
    elif total is None:
        raise UsageError("one_group() needs total=: participants, or time at risk, of each study")
    check_indexes(events=events, total=total, labels=labels)
    measure = check_choice("measure", measure or "PLO", tuple(ONE_GROUP))
    check_level(level)
    x, n = columns(events=events, total=total)
    _check_counts(x, n, proportion=measure == "PLO")
    known = checked_labels(labels, len(x))
    kind = BinomialLikelihood if measure == "PLO" else PoissonLikelihood
    shared = float(x.sum() / n.sum())
    start = float(special.logit(shared) if measure == "PLO" else np.log(shared))
    # Around the shared value, so that the bounds of the search hold in any unit of time.
    unit = n if measure == "PLO" else n * shared
    offset = 0.0 if measure == "PLO" else start
    best = best_maximum(in_parts(kind, Counts(x, unit)), len(x), start - offset)
    theta, k = best.theta + offset, len(x)
    half = critical_value(level, None) * best.se
    new: tuple[float | None, float | None] = None, None
    if k > 2:
        new = prediction_bounds(theta, best.se, best.tau**2, k - 2, level)
    return OneGroup(
        measure=measure,
        k=k,
        events=float(x.sum()),
        total=float(n.sum()),
        estimate=theta,
        se=best.se,
        ci_low=theta - half,
        ci_high=theta + half,
        level=level,
        pi_low=new[0],
        pi_high=new[1],
        tau2=best.tau**2,
        log_likelihood=best.value,
        q=best.q,
        q_df=best.q_df,
        q_p_value=best.q_p_value,
        optima=best.optima,
        labels=known,
        study_events=frozen(x),
        study_totals=frozen(n),
        caveats=best.caveats,
    )


def _check_counts(x: Floats, n: Floats, *, proportion: bool) -> None:
    """Refuse counts that no study can have, and those without a finite value."""
    if not x.size:
        raise NotEstimableError("there is no study")
    problems = Problems()
    problems.add("events", x, (x < 0) | (x != np.round(x)), "whole and 0 or more")
    problems.add("total", n, n <= 0, "> 0")
    if proportion:
        problems.add("total", n, n != np.round(n), "whole")
        problems.add("events", x, x > n, "at most total")
    problems.check()
    if not x.any() or (proportion and np.all(x == n)):
        what = "No study has an event" if not x.any() else "Every participant has the event"
        raise NotEstimableError(f"{what}: the mean is infinite on its scale; report the counts")
