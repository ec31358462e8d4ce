"""How well intervals do what they say: simulated meta-analyses, fitted in batches.

Draws estimates from the model and counts; where blocks run is in ``bootstrap``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats, as_number, as_numbers, frozen
from ketameta.effects.table import Effects
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError, check_choice
from ketameta.formatting import format_count, format_number, format_percent, plural
from ketameta.measures import CI_METHODS
from ketameta.models.intervals import check_level
from ketameta.models.resampling.batched import (
    DEFAULT_BUDGET,
    batched_fit,
    batched_inference,
)
from ketameta.models.resampling.bootstrap import Progress, check_replicates, check_seed, run_blocks
from ketameta.models.results import Line, Printed, Result, terminal_bar
from ketameta.models.tau2 import check_tau2_method
from ketameta.models.validation import checked_inputs

if TYPE_CHECKING:
    from distributed import Client

#: With equal variances the Knapp-Hartung factor is 1 but for rounding where tau-squared is not 0.
ROUNDING = 1e-9


#: Ratio to the smallest sampling variance beyond which a simulation has no digits left.
_FAR = 1e12


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Coverage(Result):
    """How often intervals contained the truth in simulated meta-analyses.

    Attributes
    ----------
    k : int
    tau2, mean : float
        The truth.
    variances : ndarray of shape (k,)
    i2 : float
        ``tau2 / (tau2 + s2)`` with the typical variance ``s2`` of Higgins and Thompson.
    ci_methods : tuple of str
    coverage, coverage_se, width : ndarray of shape (m,)
        Share of intervals that contain the mean, its Monte Carlo standard error, and the mean
        width, by method.
    prediction_coverage : float or None
        Mean probability that the true effect of a new study lies in the prediction interval with
        k - 2 degrees of freedom (around the interval of the last method); None with two studies.
    tau2_mean, tau2_zero : float
        Mean of the estimates of tau-squared, and the share that are 0.
    narrowed : float
        Share of meta-analyses whose Knapp-Hartung factor is below 1, so that the plain interval
        narrows the standard error.
    replicates, seed : int
    level : float
    tau2_method : str
    """

    framed: ClassVar[tuple[str, ...]] = (
        "k", "tau2", "i2", "ci_method=ci_methods", "coverage", "coverage_se", "width",
        "replicates", "seed",
    )  # fmt: skip

    k: int
    tau2: float
    mean: float
    variances: Floats
    i2: float
    ci_methods: tuple[str, ...]
    coverage: Floats
    coverage_se: Floats
    width: Floats
    prediction_coverage: float | None
    tau2_mean: float
    tau2_zero: float
    narrowed: float
    replicates: int
    seed: int
    level: float
    tau2_method: str

    def printed(self) -> Printed:
        """Return the setting and one line per interval."""
        lines = []
        for name, share, se, size in zip(
            self.ci_methods, self.coverage, self.coverage_se, self.width, strict=True
        ):
            covered = f"{format_percent(float(share), 1)} (± {format_number(float(100 * se))})"
            lines.append(Line(name, (f"{covered}, mean width {format_number(float(size))}",)))
        head = (
            f"Coverage: {plural(self.k, 'study', 'studies')}, I² {format_percent(self.i2)},"
            f" {format_count(self.replicates)} replicates, seed {self.seed}"
        )
        return Printed(head, lines)


class _Sums(NamedTuple):
    """What a block of replicates adds up to."""

    covered: NDArray[np.intp]
    width: Floats
    predicted: float
    tau2: float
    zero: int
    narrowed: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Draws:
    """Simulates and fits a block; one column per meta-analysis."""

    variances: Floats
    tau2: float
    mean: float
    tau2_method: str
    ci_methods: tuple[str, ...]
    level: float
    budget_bytes: int

    def __call__(self, start: int, size: int, random: np.random.Generator) -> _Sums:
        k = len(self.variances)
        spread = np.sqrt(self.variances + self.tau2)
        y = self.mean + spread[:, None] * random.standard_normal((k, size))
        fits = batched_fit(
            y, self.variances, tau2_method=self.tau2_method, budget_bytes=self.budget_bytes
        )
        covered, width = [], []
        for method in self.ci_methods:
            found = batched_inference(fits, method, self.level)
            low, high = found.ci_low[0], found.ci_high[0]
            covered.append(int(np.count_nonzero((low <= self.mean) & (self.mean <= high))))
            width.append(float((high - low).sum()))
        predicted = 0.0
        if k > 2:
            half = special.stdtrit(k - 2, 0.5 + self.level / 2) * np.hypot(
                found.se[0], np.sqrt(fits.tau2)
            )
            predicted = float(self._inside(fits.estimate - half, fits.estimate + half).sum())
        return _Sums(
            np.array(covered),
            np.array(width),
            predicted,
            float(fits.tau2.sum()),
            int(np.count_nonzero(fits.tau2 == 0)),
            int(np.count_nonzero(fits.factor < 1 - ROUNDING)),
        )

    def _inside(self, low: Floats, high: Floats) -> Floats:
        """Return the probability of a new true effect between the bounds."""
        if self.tau2 == 0:
            return ((low <= self.mean) & (self.mean <= high)).astype(float)
        tau = np.sqrt(self.tau2)
        return np.asarray(
            special.ndtr((high - self.mean) / tau) - special.ndtr((low - self.mean) / tau)
        )


def simulate_coverage(
    variances: ArrayLike | Effects,
    tau2: float,
    mean: float = 0.0,
    *,
    replicates: int = 10_000,
    seed: int | None = None,
    tau2_method: str = "REML",
    ci_methods: Sequence[str] = CI_METHODS,
    level: float = 0.95,
    backend: str = "serial",
    workers: int | None = None,
    client: Client | str | None = None,
    budget_bytes: int = DEFAULT_BUDGET,
    progress: Progress | None = None,
) -> Coverage:
    """Simulate meta-analyses and count how often each interval contains the mean.

    Parameters
    ----------
    variances : array_like of shape (k,), or Effects
        Sampling variances of the k >= 2 studies, or the effects that have them.
    tau2, mean : float
        The true between-study variance and mean.
    replicates : int
        Meta-analyses to simulate.
    seed : int, optional
        Drawn and stored when not given.
    tau2_method : {"REML", "DL", "ML", "PM", "EB", "HE", "HS", "SJ", "common"}
    ci_methods : sequence of {"wald", "knapp-hartung", "knapp-hartung-conservative"}
    level : float
    backend, workers, client
        See :func:`ketameta.models.resampling.bootstrap.run_blocks`; they change no number.
    budget_bytes : int
        Working memory of each worker; it changes no number.
    progress : callable, optional
        Of (done, total); a bar on a terminal when not given.

    Returns
    -------
    Coverage

    Raises
    ------
    UsageError, ImpossibleDataError, NotEstimableError
        For settings that cannot work, variances that are not positive, fewer than two studies.

    Notes
    -----
    ``y_i ~ N(mean, v_i + tau2)``: true effects are normal and the sampling variances are known, the
    model that all these intervals assume. Real trials estimate ``v_i``; small ones then cover
    somewhat less than this shows.

    Examples
    --------
    >>> found = simulate_coverage([0.1, 0.1, 0.1], 0.0, replicates=4000, seed=1)
    >>> bool(found.coverage[2] > found.coverage[1])
    True
    """
    check_tau2_method(tau2_method, common=True)
    methods = tuple(check_choice("ci_methods", name, CI_METHODS) for name in ci_methods)
    if not methods:
        raise UsageError(f"ci_methods is empty; give one or more of {', '.join(CI_METHODS)}")
    given = as_numbers("variances", getattr(variances, "variance", variances))
    if given.size < 2:
        raise NotEstimableError(f"a meta-analysis needs at least 2 studies; there are {given.size}")
    v = checked_inputs(np.zeros(given.size), given).v
    replicates, seed = check_replicates(replicates), check_seed(seed)
    tau2, mean = as_number("tau2", tau2), as_number("mean", mean)
    if tau2 < 0:
        raise ImpossibleDataError(f"tau2 is {tau2!r}; a variance is at least 0")
    # Beyond this many sampling variances either way every trial says the same, or nothing.
    for name, value in (("tau2", tau2), ("mean", mean * mean)):
        if value > _FAR * v.min():
            raise ImpossibleDataError(
                f"{name} is beyond double precision beside variances of {v.min():g}; check units"
            )
    draws = _Draws(
        v, float(tau2), float(mean), tau2_method, methods, check_level(level), budget_bytes
    )
    parts = run_blocks(
        draws,
        replicates,
        seed,
        backend=backend,
        workers=workers,
        client=client,
        progress=progress or terminal_bar("simulated meta-analyses"),
    )
    k, w = len(v), 1 / v
    typical = (k - 1) * w.sum() / (w.sum() ** 2 - (w**2).sum())
    share = np.array([part.covered for part in parts]).sum(0) / replicates
    return Coverage(
        k=k,
        tau2=float(tau2),
        mean=float(mean),
        variances=frozen(v),
        i2=float(tau2 / (tau2 + typical)),
        ci_methods=methods,
        coverage=frozen(share),
        coverage_se=frozen(np.sqrt(share * (1 - share) / replicates)),
        width=frozen(np.array([part.width for part in parts]).sum(0) / replicates),
        prediction_coverage=sum(part.predicted for part in parts) / replicates if k > 2 else None,
        tau2_mean=sum(part.tau2 for part in parts) / replicates,
        tau2_zero=sum(part.zero for part in parts) / replicates,
        narrowed=sum(part.narrowed for part in parts) / replicates,
        replicates=replicates,
        seed=seed,
        level=draws.level,
        tau2_method=tau2_method,
    )
