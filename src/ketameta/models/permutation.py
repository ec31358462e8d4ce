"""Permutation tests: exact where there are few arrangements, repeatable Monte Carlo otherwise."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ketameta.errors import NotEstimableError, UsageError
from ketameta.models.batch import fit_batch
from ketameta.models.least_squares import Array
from ketameta.models.results import Caveat, Result
from ketameta.models.tau2 import COMMON
from ketameta.numberformat import format_p

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.models.pooled_effect import RandomEffects
    from ketameta.models.regression_result import MetaRegression

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

    names: tuple[str, ...]
    statistic: NDArray[np.float64]
    p_value: NDArray[np.float64]
    qm_p_value: float
    exact: bool
    iterations: int
    arrangements: int
    seed: int | None
    caveats: tuple[Caveat, ...]

    def summary(self) -> str:
        """Return one line per coefficient."""
        how = "exact" if self.exact else "Monte Carlo"
        width = max(len(name) for name in self.names)
        lines = [f"<PermutationTest: {how}, {self.iterations:,} arrangements>"]
        for name, p_value in zip(self.names, self.p_value, strict=True):
            lines.append(f"  {name:<{width}}  {format_p(float(p_value))}")
        lines.append(f"  {'joint':<{width}}  {format_p(self.qm_p_value)}")
        lines += [f"  caveat  {caveat.message}" for caveat in self.caveats]
        return "\n".join(lines)

    def tidy(self) -> pd.DataFrame:
        """Return one row per coefficient."""
        import pandas as pd

        return pd.DataFrame(
            {"term": list(self.names), "statistic": self.statistic, "p_value": self.p_value}
        )


def permutation_test(
    fit: RandomEffects | MetaRegression, iterations: int | None = None, seed: int | None = None
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
    if fit.k < 2:
        raise NotEstimableError("one study has nothing to rearrange; a permutation test needs two")
    if iterations is not None and (not isinstance(iterations, int) or iterations < 1):
        raise UsageError(f"iterations is {iterations!r}; give a whole number of at least 1")
    design = np.array(getattr(fit, "design", np.ones((fit.k, 1))))
    names = tuple(getattr(fit, "names", ("mean",)))
    tested = tuple(names.index(n) for n in getattr(fit, "tested", names))
    flips = np.unique(design, axis=0).shape[0] == 1
    total = 2**fit.k if flips else _distinct_orders(design)
    exact = total <= (EXACT_LIMIT if iterations is None else iterations)
    used_seed = None if exact else (1 if seed is None else seed)
    draws = DEFAULT_ITERATIONS if iterations is None else iterations
    random = np.random.default_rng(used_seed)
    y, v = np.array(fit.estimates), np.array(fit.variances)
    if flips:
        ys, columns = _flipped(y, random, None if exact else draws), design
        vs = np.broadcast_to(v, ys.shape)
    else:
        columns, orders = _orders(design, random, None if exact else draws)
        ys, vs = y[orders], v[orders]
    method = fit.tau2_method or COMMON
    found = fit_batch(ys, vs, columns, method, fit.ci_method, tested)
    size, joint = np.abs(found.statistic), found.qm
    p_values = (size >= size[0] - TIE * np.maximum(1, size[0])).mean(0)
    joint_p = float((joint >= joint[0] - TIE * max(1.0, joint[0])).mean())
    return PermutationTest(
        names=names,
        statistic=found.statistic[0],
        p_value=p_values,
        qm_p_value=joint_p,
        exact=exact,
        iterations=len(ys),
        arrangements=total,
        seed=used_seed,
        caveats=_caveats(2 / total if flips else 1 / total),
    )


def _caveats(least: float) -> tuple[Caveat, ...]:
    if least <= 0.05:
        return ()
    return (
        Caveat(
            "few_arrangements",
            f"There are so few arrangements that no p-value can be below {least:.3g}.",
        ),
    )


def _flipped(y: Array, random: np.random.Generator, draws: int | None) -> Array:
    """Return the estimates under every (or random) combination of signs, the observed one first."""
    k = len(y)
    if draws is None:
        bits = (np.arange(2**k)[:, None] >> np.arange(k)) & 1
        signs = np.array(1 - 2 * bits, dtype=np.float64)
    else:
        signs = np.vstack([np.ones(k), random.choice([-1.0, 1.0], (draws, k))])
    return signs * y


def _distinct_orders(design: Array) -> int:
    """Return the number of distinct ways to deal the rows of the design to the studies."""
    counts = np.unique(design, axis=0, return_counts=True)[1].tolist()
    return math.factorial(len(design)) // math.prod(math.factorial(c) for c in counts)


def _orders(
    design: Array, random: np.random.Generator, draws: int | None
) -> tuple[Array, NDArray[np.intp]]:
    """Return the design with its rows sorted, and the orders of the studies to lay beside it.

    Dealing rows to studies is the same as dealing studies to rows; the design then stays one for
    the whole batch. The observed order comes first.
    """
    kinds = np.unique(design, axis=0, return_inverse=True)[1].ravel()
    observed = np.argsort(kinds, kind="stable")
    if draws is None:
        words = np.array(list(_multiset_orders(sorted(kinds.tolist()))))
        orders = np.argsort(words, axis=1, kind="stable")
        same = np.flatnonzero((words == kinds).all(1))[0]
        orders[[0, same]] = orders[[same, 0]]
    else:
        shuffled = random.permuted(np.tile(np.arange(len(kinds)), (draws, 1)), axis=1)
        orders = np.vstack([observed, shuffled])
    return design[observed], orders


def _multiset_orders(items: list[int]) -> list[list[int]]:
    """Return every distinct order of sorted ``items``, in lexicographic order."""
    current, found = list(items), [list(items)]
    while True:
        i = len(current) - 2
        while i >= 0 and current[i] >= current[i + 1]:
            i -= 1
        if i < 0:
            return found
        j = len(current) - 1
        while current[j] <= current[i]:
            j -= 1
        current[i], current[j] = current[j], current[i]
        current[i + 1 :] = reversed(current[i + 1 :])
        found.append(list(current))
