"""Permutation tests of moderators, and how often intervals cover in simulated meta-analyses.

Permutation is exact where there are few arrangements and repeatable Monte Carlo otherwise;
simulation draws estimates from the model and counts. Where blocks run is in ``bootstrap``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats, as_number, as_numbers, frozen
from ketameta.effects.table import Effects
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError, check_choice
from ketameta.formatting import format_count, format_number, format_p, format_percent, plural
from ketameta.measures import CI_METHODS
from ketameta.models.intervals import check_level
from ketameta.models.resampling.batched import (
    DEFAULT_BUDGET,
    batched_fit,
    batched_inference,
    scaled_se,
)
from ketameta.models.resampling.bootstrap import Progress, check_replicates, check_seed, run_blocks
from ketameta.models.results import Caveat, Line, Printed, Result, terminal_bar
from ketameta.models.tau2 import COMMON, check_tau2_method
from ketameta.models.validation import check_fit, checked_inputs

if TYPE_CHECKING:
    from distributed import Client

    from ketameta.models.pooling import RandomEffects
    from ketameta.models.regression import MetaRegression


#: Arrangements up to which the test is exact; about a second of REML fits.
EXACT_LIMIT = 2**15
#: Random arrangements otherwise, the observed one added.
DEFAULT_ITERATIONS = 9_999
#: Two statistics that differ by less, relative to their size, are ties (metafor: 1.5e-8 absolute).
TIE = 1e-8


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class PermutationTest(Result):
    """Permutation p-values of a fit.

    Attributes
    ----------
    names : tuple of str
    statistic : ndarray of shape (p,)
        Observed, as in the fit.
    p_value : ndarray of shape (p,)
        Two-sided, one per coefficient; never 0.
    qm_p_value : float
        Of the joint test of the moderators (of the mean, without moderators).
    exact : bool
        Whether every arrangement was used.
    iterations : int
        Arrangements used, the observed one included.
    arrangements : int
        Distinct arrangements that exist.
    seed : int or None
        Of the random arrangements.
    caveats : tuple of Caveat
    """

    framed: ClassVar[tuple[str, ...]] = ("term=names", "statistic", "p_value")

    names: tuple[str, ...]
    statistic: Floats
    p_value: Floats
    qm_p_value: float
    exact: bool
    iterations: int
    arrangements: int
    seed: int | None
    caveats: tuple[Caveat, ...]

    def printed(self) -> Printed:
        """Return one line per coefficient."""
        how = "exact" if self.exact else "Monte Carlo"
        found = [*zip(self.names, self.p_value.tolist(), strict=True), ("joint", self.qm_p_value)]
        lines = [Line(name, (format_p(p_value),)) for name, p_value in found]
        head = f"PermutationTest: {how}, {self.iterations:,} arrangements"
        return Printed(head, lines, caveats=self.caveats)


def permutation_test(
    fit: RandomEffects | MetaRegression,
    iterations: int | None = None,
    seed: int | None = None,
    *,
    backend: str = "serial",
    workers: int | None = None,
    client: Client | str | None = None,
    budget_bytes: int = DEFAULT_BUDGET,
    progress: Progress | None = None,
) -> PermutationTest:
    """Test a fit by rearranging its data.

    Without moderators the signs of the estimates are flipped in every combination, with moderators
    the rows of the design are dealt to the studies in every distinct order; each arrangement is
    refitted by the method of the fit, and the p-value is the share of arrangements whose statistic
    is at least as extreme as the observed one.

    Parameters
    ----------
    fit : RandomEffects or MetaRegression
        At least two studies.
    iterations : int, optional
        Random arrangements to draw when there are more distinct ones than this; when not given the
        test is exact up to 32,768 arrangements and otherwise draws 9,999.
    seed : int, optional
        Of the random arrangements; 1 when not given, so that a result can be repeated.
    backend, workers, client
        See :func:`ketameta.models.resampling.bootstrap.run_blocks`; they change no number.
    budget_bytes : int
        Working memory of each worker, whatever the number of arrangements; changes no number.
    progress : callable, optional
        Of (done, total); a bar on a terminal when not given.

    Notes
    -----
    The same as metafor's ``permutest``: statistics are the fit's own tests (z, or t by the chosen
    Knapp-Hartung method), two-sided by absolute value. Sign flips assume a symmetric distribution
    around 0; with k studies the smallest p-value is ``2^(1 - k)``, which a caveat says when it is
    above 0.05. PyMARE counts k! orders rather than distinct ones and does not add the observed
    arrangement to random ones.

    References
    ----------
    Higgins and Thompson (2004), Stat. Med. 23, 1663-1682. Follmann and Proschan (1999), Biometrics
    55, 732-737. Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39 (adding the observed
    arrangement).
    """
    check_fit(fit, "permutation_test()")
    if fit.k < 2:
        raise NotEstimableError("one study has nothing to rearrange; a permutation test needs two")
    if iterations is not None:
        check_replicates(iterations, name="iterations")
    design = np.array(getattr(fit, "design", np.ones((fit.k, 1))))
    names = tuple(getattr(fit, "names", ("mean",)))
    tested = tuple(names.index(n) for n in getattr(fit, "tested", names))
    kinds = np.unique(design, axis=0, return_counts=True)[1].tolist()
    flips = len(kinds) == 1
    # Distinct ways to deal signs, or the rows of the design, to the studies.
    total = 2**fit.k if flips else math.factorial(fit.k) // math.prod(map(math.factorial, kinds))
    exact = total <= (EXACT_LIMIT if iterations is None else iterations)
    used_seed = None if exact else check_seed(1 if seed is None else seed)
    draws = total if exact else (DEFAULT_ITERATIONS if iterations is None else iterations)
    fits = _Arrangements(
        y=np.array(fit.estimates),
        v=np.array(fit.variances),
        design=design,
        flips=flips,
        total=total if exact else None,
        tau2_method=fit.tau2_method or COMMON,
        ci_method=fit.ci_method,
        tested=tested,
        budget_bytes=budget_bytes,
    )
    observed = fits.statistics(fits.y, design)
    size = observed[0][:, 0]
    counts = run_blocks(
        _Exceeding(fits, np.append(np.abs(size), observed[1])),
        draws,
        used_seed or 0,
        backend=backend,
        workers=workers,
        client=client,
        progress=progress or terminal_bar("arrangements"),
    )
    added = 0 if exact else 1
    least = (2 if flips else 1) / total
    few = f"There are so few arrangements that no p-value can be below {least:.3g}."
    p_values = (np.sum(counts, axis=0) + added) / (draws + added)
    return PermutationTest(
        names=names,
        statistic=size,
        p_value=p_values[:-1],
        qm_p_value=float(p_values[-1]),
        exact=exact,
        iterations=draws + added,
        arrangements=total,
        seed=used_seed,
        caveats=(Caveat("few_arrangements", few),) if least > 0.05 else (),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Arrangements:
    """Rearranges data and refits them; ``total`` arrangements when all are taken, None for random.

    Without moderators signs are flipped; with moderators rows of the design are dealt to studies.
    """

    y: Floats
    v: Floats
    design: Floats
    flips: bool
    total: int | None
    tau2_method: str
    ci_method: str
    tested: tuple[int, ...]
    budget_bytes: int

    def statistics(self, y: Floats, design: Floats) -> tuple[Floats, Floats]:
        """Return the tests of the coefficients (p, T) and the joint one (T,), infinite at se 0."""
        mean = self.design.shape[1] == 1 and bool(np.all(self.design == 1))
        fits = batched_fit(
            y,
            self.v,
            None if mean else design,
            tau2_method=self.tau2_method,
            budget_bytes=self.budget_bytes,
        )
        se, scale, _ = scaled_se(fits, self.ci_method)
        coefficients = fits.coefficients
        statistic = np.where(coefficients == 0, 0.0, np.copysign(np.inf, coefficients))
        np.divide(coefficients, se, out=statistic, where=se > 0)
        at = list(self.tested)
        sound = (se[at] > 0).all(0)
        blocks = np.moveaxis(fits.covariance[at][:, at] * np.where(sound, scale, 1.0), -1, 0)
        b = coefficients[at].T[:, :, None]
        joint = (b * np.linalg.solve(blocks, b)).sum((1, 2))
        return statistic, np.where(sound, joint, np.inf)

    def arranged(self, start: int, size: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Return estimates (k,) or (k, size) and the design (k, p) or (k, p, size) of a block."""
        k = len(self.y)
        if self.flips:
            if self.total is None:
                signs = random.integers(0, 2, (k, size)) * 2.0 - 1
            else:
                signs = 1.0 - 2 * ((np.arange(start, start + size) >> np.arange(k)[:, None]) & 1)
            return signs * self.y[:, None], self.design
        if self.total is None:
            dealt = self.design[random.permuted(np.tile(np.arange(k), (size, 1)), axis=1)]
        else:
            rows, counts = np.unique(self.design, axis=0, return_counts=True)
            dealt = rows[_words(counts, self.total, start, size)]
        return self.y, np.ascontiguousarray(np.moveaxis(dealt, 0, -1))


@dataclasses.dataclass(frozen=True, slots=True)
class _Exceeding:
    """Counts the arrangements of a block whose statistics are at least the observed ones."""

    fits: _Arrangements
    observed: Floats

    def __call__(self, start: int, size: int, random: np.random.Generator) -> NDArray[np.intp]:
        statistic, joint = self.fits.statistics(*self.fits.arranged(start, size, random))
        found = np.vstack([np.abs(statistic), joint])
        limit = self.observed - TIE * np.maximum(1, self.observed)
        return np.count_nonzero(found >= limit[:, None], axis=1)


def _words(counts: NDArray[np.intp], total: int, start: int, size: int) -> NDArray[np.intp]:
    """Return some of the distinct orders of a multiset, in lexicographic order.

    ``counts`` (m,) says how often each kind occurs, ``total`` how many orders there are. Of ``n``
    items left in ``a`` orders, ``a r / n`` begin with a kind of which ``r`` are left.
    """
    rank = np.arange(start, start + size)
    left = np.tile(counts, (size, 1))
    arrangements = np.full(size, total)
    rows = np.arange(size)
    words = np.empty((size, int(counts.sum())), dtype=np.intp)
    for position in range(words.shape[1]):
        share = arrangements[:, None] * left // (words.shape[1] - position)
        upper = np.cumsum(share, axis=1)
        kind = (upper <= rank[:, None]).sum(1)
        words[:, position] = kind
        arrangements = share[rows, kind]
        rank = rank - (upper[rows, kind] - arrangements)
        left[rows, kind] -= 1
    return words


# --- how often intervals cover: simulated meta-analyses -------------------------------------------

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
