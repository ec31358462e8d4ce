"""Permutation tests: exact where there are few arrangements, repeatable Monte Carlo otherwise."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from ketameta.effects.arrays import Floats
from ketameta.errors import NotEstimableError
from ketameta.formatting import format_p
from ketameta.models.resampling.batched import DEFAULT_BUDGET, batched_fit, scaled_se
from ketameta.models.resampling.bootstrap import Progress, check_replicates, check_seed, run_blocks
from ketameta.models.results import Caveat, Line, Printed, Result, terminal_bar
from ketameta.models.tau2 import COMMON
from ketameta.models.validation import check_fit

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
    flips = np.unique(design, axis=0).shape[0] == 1
    total = 2**fit.k if flips else _distinct_orders(design)
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


def _distinct_orders(design: Floats) -> int:
    """Return the number of distinct ways to deal the rows of the design to the studies."""
    counts = np.unique(design, axis=0, return_counts=True)[1].tolist()
    return math.factorial(len(design)) // math.prod(math.factorial(c) for c in counts)


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
