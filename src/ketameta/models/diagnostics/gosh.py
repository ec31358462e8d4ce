"""Graphical display of study heterogeneity: the pooled effect of every subset of the studies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ketameta.effects.arrays import Floats, frozen
from ketameta.formatting import format_count, format_interval, format_number, plural
from ketameta.models.pooling import decimals_for, number_words, reader_words, scale_words
from ketameta.models.resampling.batched import DEFAULT_BUDGET, batched_fit, fit_data
from ketameta.models.resampling.bootstrap import check_replicates, check_seed
from ketameta.models.results import Caveat, DrawsPlot, Json, Line, Printed, Result
from ketameta.models.tau2 import COMMON

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects

#: All subsets are fitted when there are no more than this (k up to 16); otherwise this many random
#: ones, unless another number is asked for. A tenth of a second to a second of work.
DEFAULT_SUBSETS = 65_536
#: Shares at which :attr:`Gosh.quantiles` are taken.
SHARES = (0.0, 0.025, 0.25, 0.5, 0.75, 0.975, 1.0)
#: Quantities of each subset.
QUANTITIES = ("estimate", "tau2", "i2", "h2", "q")


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Gosh(DrawsPlot, Result):
    """Pooled effects of T subsets; arrays have one entry per subset, sorted by size when exact.

    Attributes
    ----------
    labels : tuple of str
        The k studies.
    included : ndarray of bool, shape (T, k)
        Which studies each subset contains.
    studies : ndarray of int, shape (T,)
        Their number.
    estimate, tau2, i2, h2, q : ndarray of shape (T,)
        Tau-squared, I-squared and Q of one study are 0.
    quantiles : dict of str to tuple of float
        Of each quantity, at the shares ``shares`` of the subsets.
    median_with, median_without : ndarray of shape (k,)
        Median estimate of the subsets with and without each study; NaN where there are none.
    exact : bool
        All subsets, or random ones.
    seed : int or None
        Of the random subsets.
    full_estimate : float
    tau2_method, measure
        How the fit was made.
    caveats : tuple of Caveat
    """

    drawn_as: ClassVar[str] = "gosh"
    not_serialised: ClassVar[tuple[str, ...]] = ("included", "studies", *QUANTITIES)
    framed: ClassVar[tuple[str, ...]] = ("k=studies", *QUANTITIES)

    labels: tuple[str, ...]
    included: NDArray[np.bool_]
    studies: NDArray[np.intp]
    estimate: Floats
    tau2: Floats
    i2: Floats
    h2: Floats
    q: Floats
    quantiles: dict[str, tuple[float, ...]]
    median_with: Floats
    median_without: Floats
    exact: bool
    seed: int | None
    full_estimate: float
    tau2_method: str | None
    measure: str | None
    caveats: tuple[Caveat, ...]
    shares: tuple[float, ...] = SHARES

    def printed(self) -> Printed:
        """Return the spread of the estimates and the study that divides them most."""
        low, _, middle, high = (self.quantiles["estimate"][i] for i in (1, 2, 3, 5))
        digits = decimals_for(max(high - low, 0.0))
        spread = (
            f"median {format_number(middle, digits)}, middle 95%"
            f" {format_interval(low, high, digits)}; all studies"
            f" {format_number(self.full_estimate, digits)}"
        )
        lines = [Line("estimates", (spread,))]
        read = reader_words(self.measure, middle, low, high)
        if read is not None:
            every = number_words(self.measure, self.full_estimate, low, high, digits)
            shown = f"median {read[0]}, middle 95% {read[1]}; all studies {every}"
            lines = [Line("estimates", (shown,)), Line(scale_words(self.measure), (spread,))]
        gap = np.abs(self.median_with - self.median_without)
        if np.isfinite(gap).any():
            most = int(np.nanargmax(gap))
            medians = (float(side[most]) for side in (self.median_with, self.median_without))
            one, two = (number_words(self.measure, x, low, high, digits) for x in medians)
            sides = f"{one} with, {two} without"
            lines.append(Line("divides", (f"most {self.labels[most]}: median {sides}",)))
        kind = f"{'all' if self.exact else 'random'} {format_count(len(self.estimate))} subsets"
        head = f"GOSH: {plural(len(self.labels), 'study', 'studies')}, {kind}"
        return Printed(head, lines, caveats=self.caveats)

    def to_dict(self) -> dict[str, Json]:
        """Return the summary as JSON-ready Python; the arrays of every subset are left out."""
        return {**Result.to_dict(self), "subsets": len(self.estimate)}


def gosh(
    fit: RandomEffects,
    subsets: int | None = None,
    seed: int | None = None,
    *,
    budget_bytes: int = DEFAULT_BUDGET,
    progress: Callable[[int, int], None] | None = None,
) -> Gosh:
    """Pool every subset of the studies, or many random ones.

    Parameters
    ----------
    fit : RandomEffects
        With at least two studies.
    subsets : int, optional
        Subsets at most; 65,536 when not given. All are taken where there are no more.
    seed : int, optional
        Of random subsets; drawn and stored when not given.
    budget_bytes, progress
        As in :func:`ketameta.batched_fit`; they change no number.

    Returns
    -------
    Gosh

    Raises
    ------
    NotEstimableError
        With one study.
    UsageError
        For a meta-regression, fewer than 2 subsets, or a seed that is not a non-negative integer.

    Notes
    -----
    Equal to metafor's ``gosh``, subset by subset. Random subsets contain each study with
    probability 1/2, empty ones excluded, so that every subset is as likely as any other; a subset
    may come twice (metafor draws from the same distribution, up to a million by default).

    References
    ----------
    Olkin, Dahabreh and Trikalinos (2012), Res. Synth. Methods 3, 214-223.
    """
    data = fit_data(fit, "GOSH")
    wanted = check_replicates(DEFAULT_SUBSETS if subsets is None else subsets, 2, "subsets")
    exact = 2**fit.k - 1 <= wanted
    if exact:
        seed, numbers = None, np.arange(1, 2**fit.k)
        mask = (numbers >> np.arange(fit.k)[:, None]) & 1 > 0
        mask = mask[:, np.argsort(mask.sum(0), kind="stable")]  # small subsets first
    else:
        seed = check_seed(seed)
        rng = np.random.default_rng(seed)
        mask = rng.integers(0, 2, (fit.k, wanted), dtype=np.bool_)
        while (empty := np.flatnonzero(~mask.any(0))).size:
            mask[:, empty] = rng.integers(0, 2, (fit.k, empty.size), dtype=np.bool_)
    fits = batched_fit(
        data.y,
        data.v,
        mask=mask,
        tau2_method=data.tau2_method,
        budget_bytes=budget_bytes,
        progress=progress,
    )
    # From about a thousand studies no float holds how many there are.
    there_are = f"{2**fit.k - 1:.2g}" if fit.k < 1024 else f"{Decimal(2) ** fit.k:.2g}"
    drawn = f"{format_count(wanted)} random subsets of the {there_are} there are."
    included = np.ascontiguousarray(mask.T)
    included.setflags(write=False)
    values: dict[str, Any] = {name: frozen(getattr(fits, name)) for name in QUANTITIES}
    return Gosh(
        labels=data.labels,
        included=included,
        studies=fits.k,
        **values,
        quantiles={
            name: tuple(np.quantile(array, SHARES).tolist()) for name, array in values.items()
        },
        median_with=frozen([_median(fits.estimate[row]) for row in mask]),
        median_without=frozen([_median(fits.estimate[~row]) for row in mask]),
        exact=exact,
        seed=seed,
        full_estimate=fit.estimate,
        tau2_method=None if data.tau2_method == COMMON else data.tau2_method,
        measure=data.measure,
        caveats=() if exact else (Caveat("random_subsets", drawn),),
    )


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else float("nan")
