"""Cluster wild bootstrap: tests of coefficients that few clusters carry."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Floats, frozen
from ketameta.errors import NotEstimableError, UsageError, check_choice
from ketameta.formatting import format_count, format_number, format_p, plural
from ketameta.models.dependent.robust import Clustered, Fit, clustered, lone_clusters
from ketameta.models.results import Caveat, Line, Printed, Result
from ketameta.models.validation import INTERCEPT

#: Most clusters whose patterns of signs are all tried: 2048 up to the overall sign.
MOST_EXACT = 12
#: Draws when they are more.
DRAWS = 1999
#: A statistic within this share of the observed one is equal to it, but for rounding.
TIE = 1e-9


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class WildBootstrap(Result):
    """A test that coefficients are 0, by signs of whole clusters.

    Attributes
    ----------
    tested : tuple of str
        Coefficients that are 0 under the hypothesis.
    statistic : float
        Their Wald statistic with CR0 standard errors, divided by their number.
    p_value : float
    draws : int
        Patterns of signs that it rests on.
    exact : bool
        Whether these are all that differ.
    k, m : int
        Numbers of effects and clusters.
    seed : int or None
        None where all patterns were tried.
    statistics : ndarray of shape (draws,)
        Of the patterns; not serialised.
    caveats : tuple of Caveat
    measure : str or None
    """

    not_serialised: ClassVar[tuple[str, ...]] = ("statistics",)

    tested: tuple[str, ...]
    statistic: float
    p_value: float
    draws: int
    exact: bool
    k: int
    m: int
    seed: int | None
    statistics: Floats
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    def printed(self) -> Printed:
        """Return the test in one line."""
        how = "all patterns" if self.exact else f"seed {self.seed}"
        words = f"{format_number(self.statistic)}, {format_p(self.p_value)}"
        counted = f"{format_count(self.draws)} sign patterns ({how})"
        lines = [Line(", ".join(self.tested), (f"Wald statistic {words}", counted))]
        head = f"{plural(self.k, 'effect')} in {plural(self.m, 'cluster')}"
        return Printed(f"WildBootstrap: {head}", lines, caveats=self.caveats)


def wild_bootstrap(
    fit: Fit,
    cluster: Sequence[object] | ArrayLike | None = None,
    tested: str | Sequence[str] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 1,
) -> WildBootstrap:
    """Test coefficients of clustered effects by a wild bootstrap under the null hypothesis.

    Parameters
    ----------
    fit : RandomEffects, meta-regression or MultilevelFit
    cluster : sequence of length k, optional
        As in :func:`~ketameta.robust`.
    tested : str or sequence of str, optional
        Coefficients whose being 0 is tested, together; all beside the intercept when not given (the
        intercept where there is nothing else).
    draws : int
        Random patterns of signs, where there are more than 12 clusters; with fewer all are tried.
    seed : int

    Returns
    -------
    WildBootstrap
        With a caveat where so few clusters cannot give a p-value below 0.05.

    Raises
    ------
    UsageError
        An unknown coefficient, or draws that are no count.
    NotEstimableError
        A coefficient that one cluster identifies; what :func:`~ketameta.robust` refuses.

    Notes
    -----
    The model is fitted without the tested columns, the residuals of whole clusters have their signs
    flipped (Rademacher weights), and the full model is fitted to each pattern with the working
    covariance of the fit. Variance components stay as estimated; R's wildmeta estimates them anew
    in every sample. Keeps the type I error where Satterthwaite degrees of freedom are few (Joshi,
    Pustejovsky and Beretvas 2022).

    References
    ----------
    Joshi, Pustejovsky and Beretvas (2022), Res. Synth. Methods 13(4), 457-477.
    doi:10.1002/jrsm.1554. Cameron, Gelbach and Miller (2008), Rev. Econ. Stat. 90(3), 414-427.

    Examples
    --------
    >>> from ketameta import random_effects
    >>> fit = random_effects([0.2, 0.4, 0.1, 0.6, 0.3], [0.04, 0.05, 0.03, 0.04, 0.02])
    >>> wild_bootstrap(fit, list("aabcd")).p_value
    0.125
    """
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 99:
        raise UsageError(f"draws is {draws!r}; give a whole number, 99 or more, such as {DRAWS}")
    data = clustered(fit, cluster)
    names, m = data.names, len(data.clusters)
    others = [name for name in names if name != INTERCEPT] or list(names)
    wanted = [tested] if isinstance(tested, str) else others if tested is None else [*tested]
    at = [names.index(check_choice("tested", name, names)) for name in wanted]
    lone = lone_clusters(data.design, data.cluster_of, m)
    if alone := [names[j] for j in at if j in lone]:
        raise NotEstimableError(
            f"one cluster alone identifies {', '.join(alone)}: nothing is replicated, so that no"
            " resampling of clusters can test it"
        )
    exact = m <= MOST_EXACT
    signs = _all_signs(m) if exact else _random_signs(m, int(draws), seed)
    statistics = _statistics(data, at, signs)
    observed = float(_statistics(data, at, np.ones((1, m)))[0])
    beyond = int((statistics >= observed * (1 - TIE)).sum())
    p_value = beyond / len(signs) if exact else (beyond + 1) / (len(signs) + 1)
    caveats: tuple[Caveat, ...] = ()
    if exact and 1 / len(signs) >= 0.05:
        words = f"{plural(m, 'cluster')} have {len(signs)} patterns of signs: p is never below"
        caveats = (Caveat("few_clusters", f"{words} {format_number(1 / len(signs), 3)}."),)
    return WildBootstrap(
        tested=tuple(wanted),
        statistic=observed / len(at),
        p_value=p_value,
        draws=len(signs),
        exact=exact,
        k=data.y.size,
        m=m,
        seed=None if exact else int(seed),
        statistics=frozen(statistics / len(at)),
        caveats=caveats,
        measure=getattr(fit, "measure", None),
    )


def _all_signs(m: int) -> Floats:
    """Return every pattern of signs up to the overall one, shape (2^(m-1), m)."""
    return np.array([(1, *rest) for rest in itertools.product((1, -1), repeat=m - 1)], dtype=float)


def _random_signs(m: int, draws: int, seed: int) -> Floats:
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws, m))


def _statistics(data: Clustered, at: Sequence[int], signs: Floats) -> Floats:
    """Return the Wald statistic of each pattern of signs, shape (draws,).

    Without signs the null model leaves residuals ``e_j``; with them the coefficients are ``sum_j
    s_j M X_j' W_j e_j`` beside those of the null model, and the score of a cluster is ``s_j M X_j'
    W_j e_j - M X_j' W_j X_j b``: linear in the signs, so that nothing is refitted.
    """
    p = data.design.shape[1]
    kept = [j for j in range(p) if j not in at]
    weighted = [np.linalg.solve(block, data.design[rows]).T for rows, block in data.blocks]
    parts = [(wx, rows) for wx, (rows, _) in zip(weighted, data.blocks, strict=True)]
    grams = np.array([wx @ data.design[rows] for wx, rows in parts])
    moments = np.array([wx @ data.y[rows] for wx, rows in parts])
    bread = np.linalg.inv(grams.sum(0))
    null = np.zeros(p)
    if kept:
        inner = grams.sum(0)[np.ix_(kept, kept)]
        null[kept] = np.linalg.solve(inner, moments.sum(0)[kept])
    pushed = (moments - grams @ null) @ bread  # M X_j' W_j e_j, (m, p)
    coefficients = signs @ pushed
    spread = np.einsum("qa,jab->jqb", bread[at], grams)
    scores = signs[:, :, None] * pushed[None][..., at]
    scores = scores - np.einsum("jqb,db->djq", spread, coefficients)
    covariance = np.einsum("djq,djr->dqr", scores, scores)
    tested = coefficients[:, at]
    solved = np.linalg.solve(covariance, tested[..., None])[..., 0]
    return np.asarray(np.einsum("dq,dq->d", tested, solved))
