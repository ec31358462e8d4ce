"""Inference that survives a wrong model of the dependence: cluster-robust standard errors."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import scipy  # of its parts only what is used is loaded, when it is used
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats, frozen
from ketameta.effects.table import of_fit
from ketameta.errors import NotEstimableError, UsageError, check_choice
from ketameta.formatting import format_count, format_number, format_p, plural
from ketameta.models.dependent.multilevel import (
    CoefficientTable,
    OneMean,
    coefficient_table,
    predictions,
)
from ketameta.models.dependent.sampling_covariance import check_groups
from ketameta.models.intervals import check_level
from ketameta.models.pooling import plural_measure
from ketameta.models.regression import Predictions
from ketameta.models.results import Caveat, Line, Printed, Reports, Result, computed, stated
from ketameta.models.validation import INTERCEPT, check_count

IntArray = NDArray[np.intp]
ROBUST_KINDS = ("CR2", "CR0", "CR1", "CR1p", "CR1S", "CR3")
#: Condition number of a correlation matrix beyond which it has no inverse.
_SINGULAR = 1e12
#: Eigenvalues of an adjustment below this share of the working covariance squared are zero in exact
#: arithmetic: their directions carry no residual, because the fit passes through them. clubSandwich
#: uses the same number without the share, which depends on the unit of the effect.
_ZERO = 1e-12


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SandwichParts:
    """A sandwich covariance (p, p) with its coefficients and what degrees of freedom need.

    Per cluster ``own`` (J, p, p), the covariance of its contribution under the working model, and
    ``shared`` (J, p, p), ``H_j`` with ``Cov(contribution_j, contribution_l) = -H_j H_l'``.
    """

    coefficients: Floats
    covariance: Floats
    own: Floats
    shared: Floats


def sandwich(
    y: Floats,
    design: Floats,
    clusters: Sequence[tuple[IntArray, Floats]],
    kind: str = "CR2",
) -> SandwichParts:
    """Return coefficients and their cluster-robust covariance.

    ``clusters`` are row positions and the working covariance of each, whose inverse is the weight:
    ``V = M (sum_j X_j' W_j A_j e_j e_j' A_j' W_j X_j) M`` with ``M = (X' W X)^-1``. CR2 has the
    adjustment ``A_j = F_j' (F_j B_j F_j')^(-1/2) F_j`` with ``F_j' F_j`` the working covariance and
    ``B_j`` the working covariance of the residuals (Pustejovsky and Tipton 2018, section 2.2,
    doi:10.1080/07350015.2016.1247004); it makes V unbiased under the working model, and equals
    clubSandwich. Only the symmetric inverse root of this product does:
    roots of a whitened hat matrix give other numbers when variances differ within a cluster.
    """
    k, p = design.shape
    roots = [np.asarray(np.linalg.cholesky(block), dtype=np.float64) for _, block in clusters]
    white: list[Floats] = [
        scipy.linalg.solve_triangular(root, design[rows], lower=True)
        for root, (rows, _) in zip(roots, clusters, strict=True)
    ]
    r = np.linalg.qr(np.concatenate(white))[1]
    bread_root: Floats = np.linalg.inv(r)  # M = bread_root @ bread_root.T
    bread = bread_root @ bread_root.T
    moment = np.zeros(p)
    for root, u, (rows, _) in zip(roots, white, clusters, strict=True):
        moment += u.T @ scipy.linalg.solve_triangular(root, y[rows], lower=True)
    coefficients = bread @ moment
    residual = y - design @ coefficients

    scores, own, shared = [], [], []
    for root, u, (rows, _) in zip(roots, white, clusters, strict=True):
        estimating = _estimating(root, u, bread_root, kind)  # X' W A, (p, n)
        pulled = bread @ estimating
        scores.append(pulled @ residual[rows])
        spread = pulled @ root
        own.append(spread @ spread.T)
        shared.append(pulled @ design[rows] @ bread_root)
    stacked = np.stack(scores)
    factor = _small_sample_factor(kind, len(clusters), k, p)
    return SandwichParts(
        coefficients, factor * stacked.T @ stacked, np.stack(own), np.stack(shared)
    )


def _estimating(root: Floats, u: Floats, bread_root: Floats, kind: str) -> Floats:
    """Return ``X' W A`` for one cluster."""
    hat = u @ bread_root
    kept = np.eye(len(u)) - hat @ hat.T
    if kind == "CR2":
        working = root.T @ root
        product = working @ kept @ working
        size = float(np.linalg.norm(working, 2)) ** 2
        return u.T @ _inverse_root((product + product.T) / 2, size) @ root.T
    if kind == "CR3":
        if np.linalg.eigvalsh(kept)[0] <= _ZERO:
            raise NotEstimableError(
                "CR3 does not exist here: a cluster determines a coefficient by itself, so it"
                " leaves no residual; use kind='CR2'"
            )
        # (I - X M X' W)^-1 = L (I - hat hat')^-1 L^-1
        inner = np.linalg.solve(kept, u).T
        return np.asarray(scipy.linalg.solve_triangular(root, inner.T, lower=True, trans="T").T)
    return np.asarray(scipy.linalg.solve_triangular(root, u, lower=True, trans="T").T)


def _inverse_root(matrix: Floats, size: float) -> Floats:
    """Return the symmetric inverse square root; zero where an eigenvalue is, relative to size."""
    values, vectors = np.linalg.eigh(matrix)
    positive = values > _ZERO * size
    power = np.where(positive, values, 1.0) ** -0.5
    return (vectors * np.where(positive, power, 0.0)) @ vectors.T


def _small_sample_factor(kind: str, clusters: int, k: int, p: int) -> float:
    if kind == "CR1":
        return clusters / (clusters - 1)
    if kind == "CR1p":
        return clusters / (clusters - p)
    if kind == "CR1S":
        return clusters * (k - 1) / ((clusters - 1) * (k - p))
    return 1.0


def satterthwaite_df(parts: SandwichParts, rows: Floats | None = None) -> Floats:
    """Return the degrees of freedom of the t statistic of each coefficient, or row; shape (p,).

    ``tr(P)**2 / sum(P**2)`` with P the covariance of the cluster contributions under the working
    model (Pustejovsky and Tipton 2018); of the linear combinations ``rows`` (m, p) where given.
    """
    found = []
    for row in np.eye(len(parts.covariance)) if rows is None else rows:
        shared = np.einsum("s,jsp->jp", row, parts.shared)
        covariance = -shared @ shared.T
        covariance[np.diag_indices_from(covariance)] += (parts.own @ row) @ row
        squares = float((covariance**2).sum())
        found.append(np.trace(covariance) ** 2 / squares if squares > 0 else np.nan)
    return np.array(found)


def _contributions(parts: SandwichParts, s: int, t: int) -> Floats:
    """Return Cov(contribution of cluster j to s, of cluster l to t); shape (J, J)."""
    covariance = -parts.shared[:, s] @ parts.shared[:, t].T
    covariance[np.diag_indices_from(covariance)] += parts.own[:, s, t]
    return np.asarray(covariance)


@dataclasses.dataclass(frozen=True, slots=True)
class JointTest:
    """A test that several coefficients are zero; None where there are too few clusters."""

    f: float
    df: int
    df_denominator: float | None
    p_value: float | None


def hotelling_test(parts: SandwichParts, tested: Sequence[int]) -> JointTest | None:
    """Test coefficients jointly with approximate Hotelling degrees of freedom (HTZ).

    ``None`` where their robust covariance is singular: there are fewer independent residuals than
    coefficients, as with a level of one effect. Tipton and Pustejovsky (2015), J. Educ. Behav.
    Stat. 40(6), 604-634. doi:10.3102/1076998615606099
    """
    index = np.array(tested, dtype=np.intp)
    q = index.size
    selected = SandwichParts(
        parts.coefficients[index],
        parts.covariance[np.ix_(index, index)],
        parts.own[:, index[:, None], index],
        parts.shared[:, index],
    )
    root = np.sqrt(np.diag(selected.covariance))
    if np.linalg.cond(selected.covariance / np.outer(root, root)) > _SINGULAR:
        return None
    omega = np.array(
        [[np.trace(_contributions(selected, s, t)) for t in range(q)] for s in range(q)]
    )
    # Moderators come in their own units: scale to unit variances before taking the root.
    scale = 1 / np.sqrt(np.diag(omega))
    turn = _inverse_root(scale[:, None] * (omega + omega.T) / 2 * scale, 1.0) * scale
    standard = SandwichParts(
        selected.coefficients,
        selected.covariance,
        turn @ selected.own @ turn.T,
        turn @ selected.shared,
    )
    blocks = {(s, t): _contributions(standard, s, t) for s in range(q) for t in range(q)}
    total = sum(
        (blocks[s, s] * blocks[t, t]).sum() + (blocks[s, t] * blocks[t, s]).sum()
        for s in range(q)
        for t in range(q)
    )
    eta = q * (q + 1) / float(total)
    statistic = float(
        selected.coefficients @ np.linalg.solve(selected.covariance, selected.coefficients)
    )
    denominator = eta - q + 1
    if denominator <= 0:
        return JointTest(statistic / q, q, None, None)
    f = (denominator / (eta * q)) * statistic
    return JointTest(f, q, denominator, float(special.fdtrc(q, denominator, f)))


#: A robust standard error below this share of the model's is rounding error.
_ROUNDING = 1e-9

RobustKind = Literal["CR2", "CR0", "CR1", "CR1p", "CR1S", "CR3"]
#: Below this many Satterthwaite degrees of freedom t probabilities are unreliable (Tipton 2015,
#: doi:10.1037/met0000011).
MIN_DF = 4.0


#: What :func:`robust` takes: a fit with ``estimates``, ``variances`` and ``tau2``. Its ``design``
#: (k, p), ``names``, ``level`` and ``working_blocks()`` are used where it has them; without a
#: design there is an intercept only, without blocks ``variances + tau2`` on a diagonal.
Fit: TypeAlias = Any


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class RobustFit(OneMean, Reports, Result):
    """Coefficients with cluster-robust standard errors.

    Attributes
    ----------
    k, m : int
        Numbers of effects and clusters.
    kind : str
        ``"CR2"`` unless asked otherwise.
    coefficients : CoefficientTable
        Robust standard errors, Satterthwaite degrees of freedom, t tests and intervals.
    model_se : ndarray of shape (p,)
        Standard errors if the working model were true.
    joint : JointTest or None
        Test of all coefficients beside the intercept (HTZ); ``None`` without moderators.
    cluster : tuple of str
        Cluster of each effect.
    level : float
    caveats : tuple of Caveat
    measure : str or None
        Code of the effect measure.
    labels : tuple of str
        Of the effects.
    """

    not_serialised: ClassVar[tuple[str, ...]] = ("labels", "parts", "design", "encoder")
    beside: ClassVar[tuple[str, ...]] = ("k", "m", "kind", "level")

    k: int
    m: int
    kind: str
    coefficients: CoefficientTable
    model_se: Floats
    joint: JointTest | None
    cluster: tuple[str, ...]
    level: float
    caveats: tuple[Caveat, ...]
    measure: str | None
    labels: tuple[str, ...]
    parts: SandwichParts
    design: Floats
    encoder: Any

    def predict(self, new: Any = None, level: float | None = None) -> Predictions:
        """Return mean effects at new values of the moderators, with robust intervals.

        Parameters and errors as in :meth:`~ketameta.models.MultilevelFit.predict`; a row that needs
        a coefficient which one cluster identifies is refused too.

        Returns
        -------
        Predictions
            Without prediction intervals, which are the model's: take those of the fit.

        Notes
        -----
        Equal to clubSandwich's ``linear_contrast``, each row with Satterthwaite degrees of freedom
        of its own.
        """
        clusters, index = np.unique(self.cluster, return_inverse=True)

        def own_df(rows: Floats) -> Floats:
            for row, at in lone_clusters(self.design, index, self.m, rows).items():
                raise NotEstimableError(
                    f"cluster {str(clusters[at])!r} alone identifies the mean of row {row} of new,"
                    " which has no robust standard error; use predict() of the model"
                )
            return frozen(satterthwaite_df(self.parts, rows))

        found = predictions(self, self.parts.covariance, new, level, own_df)
        words = (
            "Robust inference knows no distribution of true effects; predict() of the model does."
        )
        return dataclasses.replace(found, caveats=(*found.caveats, Caveat("no_prediction", words)))

    @property
    def df(self) -> float:
        """Satterthwaite degrees of freedom (intercept-only fits)."""
        return self._only("df")

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years."""
        return computed(
            [
                f"Standard errors of the {self.k} {plural_measure(self.measure)} are robust to"
                f" dependence within {plural(self.m, 'cluster')} ({self.kind}; Pustejovsky and"
                " Tipton 2018), with Satterthwaite degrees of freedom."
            ]
        )

    def printed(self) -> Printed:
        """Return the sentence and one line per coefficient."""
        lines = self.coefficients.lines(self.level, self.measure)
        if self.joint is not None:
            below = self.joint.df_denominator
            words = (
                "not testable with so few clusters"
                if below is None
                else f"F({self.joint.df}, {format_number(below, 1)}) ="
                f" {format_number(self.joint.f)}, {format_p(self.joint.p_value)}"
            )
            lines.append(Line("moderators", (words,)))
        head = (
            f"Cluster-robust inference: {plural(self.k, 'effect')} in"
            f" {plural(self.m, 'cluster')}, {self.kind} with Satterthwaite degrees of freedom"
        )
        return Printed(head, lines, caveats=self.caveats)


def robust(
    fit: Fit,
    cluster: Sequence[object] | ArrayLike | None = None,
    *,
    kind: RobustKind = "CR2",
    level: float | None = None,
) -> RobustFit:
    """Replace the standard errors of a fit by cluster-robust ones.

    Parameters
    ----------
    fit : RandomEffects, meta-regression or MultilevelFit
        Anything with ``estimates``, ``variances`` and ``tau2``.
    cluster : sequence of length k, optional
        Cluster of each effect, at least two; independent of each other. The studies of a multilevel
        fit when not given.
    kind : {"CR2", "CR0", "CR1", "CR1p", "CR1S", "CR3"}
        CR2 corrects the bias of small numbers of clusters and is the one to report.
    level : float, optional
        The fit's own level, or 0.95.

    Returns
    -------
    RobustFit

    Raises
    ------
    UsageError
        No clusters given for a fit that has none, or a wrong number of labels.
    NotEstimableError
        One cluster, not more clusters than coefficients, effects that the model correlates stand in
        two clusters, or effects that agree exactly (clubSandwich prints 0 and NaN there).

    Notes
    -----
    Equal to clubSandwich ``vcovCR`` and ``coef_test(test="Satterthwaite")`` with the inverse of the
    model's covariance as weights. See :func:`sandwich`. A coefficient that one cluster identifies
    has an estimate only: its residuals say nothing of how such clusters differ, and a test that
    clubSandwich prints is wrong three to five times in ten.

    Examples
    --------
    >>> from ketameta.models.dependent.multilevel import multilevel
    >>> fit = multilevel([0.2, 0.4, 0.1, 0.6], [0.04, 0.05, 0.03, 0.04], ["a", "a", "b", "b"])
    >>> found = robust(fit)
    >>> round(found.se, 4), round(found.df, 2)
    (0.0183, 1.0)
    """
    check_choice("kind", kind, ROBUST_KINDS)
    y, design, names, known, clusters, index, blocks = clustered(fit, cluster)
    m, p = len(clusters), design.shape[1]
    parts = sandwich(y, design, blocks, kind)
    precision = sum(design[at].T @ np.linalg.solve(one, design[at]) for at, one in blocks)
    model_se = np.sqrt(np.diag(np.linalg.inv(precision)))
    lone = lone_clusters(design, index, m)
    se = np.sqrt(np.diag(parts.covariance))
    for j, name in enumerate(names):  # an error that is 0 but for rounding would be tested
        if se[j] <= _ROUNDING * model_se[j] and j not in lone:
            raise NotEstimableError(
                f"the robust standard error of {name!r} is 0: the effects behind it agree exactly,"
                " or there is one only; use the interval of the model"
            )
    df = satterthwaite_df(parts)
    df[list(lone)] = np.nan
    chosen = check_level(getattr(fit, "level", 0.95) if level is None else level)
    several = p > 1 and any(name != INTERCEPT for name in names)
    tested = [j for j, name in enumerate(names) if name != INTERCEPT and j not in lone]
    joint = hotelling_test(parts, tested) if tested and several else None
    kept = parts.covariance.copy()
    kept[list(lone)] = kept[:, list(lone)] = np.nan
    table = coefficient_table(names, parts.coefficients, kept, df, chosen)
    alone: dict[str, list[str]] = {}
    for j, at in lone.items():
        alone.setdefault(clusters[at], []).append(names[j])
    return RobustFit(
        k=y.size,
        m=m,
        kind=kind,
        coefficients=table,
        model_se=frozen(model_se),
        joint=joint,
        cluster=known,
        level=chosen,
        caveats=(
            *(
                Caveat(
                    "one_cluster",
                    f"Cluster {name!r} alone identifies {', '.join(held)}: nothing is replicated,"
                    " so that the robust standard error, test and interval are withheld; those of"
                    " the model rest on its assumptions.",
                )
                for name, held in alone.items()
            ),
            *_caveats(table, joint, several=several),
        ),
        measure=getattr(fit, "measure", None),
        labels=tuple(getattr(fit, "labels", ())),
        parts=parts,
        design=frozen(design),
        encoder=getattr(fit, "encoder", None),
    )


class Clustered(NamedTuple):
    """Effects in clusters: data, names, the cluster of each effect, and working covariances."""

    y: Floats
    design: Floats
    names: tuple[str, ...]
    known: tuple[str, ...]
    clusters: tuple[str, ...]
    cluster_of: IntArray
    blocks: list[tuple[IntArray, Floats]]


def clustered(fit: Fit, cluster: Sequence[object] | ArrayLike | None) -> Clustered:
    """Return the data of a fit by cluster, or refuse what has no robust inference."""
    if not hasattr(fit, "estimates") or not hasattr(fit, "variances"):
        raise UsageError(
            "robust inference takes the result of random_effects(), meta_regression(),"
            f" multilevel() or che(), not {type(fit).__name__}"
        )
    y = np.asarray(fit.estimates, dtype=np.float64)
    design, names = _design(fit, y.size)
    labels = cluster if cluster is not None else getattr(fit, "study", None)
    if labels is None:
        raise UsageError("cluster is needed: one label per effect, equal within a study")
    if cluster is not None:
        labels = of_fit("cluster", cluster, fit)
    known, clusters, index = check_groups("cluster", labels, y.size)
    m, p = len(clusters), design.shape[1]
    if m < 2 or m <= p:
        raise NotEstimableError(
            f"{plural(m, 'cluster')} cannot carry robust standard errors of"
            f" {plural(p, 'coefficient')}; at least {max(2, p + 1)} are needed"
        )
    return Clustered(y, design, names, known, clusters, index, _by_cluster(fit, index, clusters))


def _design(fit: Any, k: int) -> tuple[Floats, tuple[str, ...]]:
    design = getattr(fit, "design", None)
    if design is None:
        return np.ones((k, 1)), (INTERCEPT,)
    matrix = np.asarray(design, dtype=np.float64)
    names = getattr(fit, "names", None)
    if names is None:
        names = getattr(getattr(fit, "coefficients", None), "names", None)
    if names is None or len(names) != matrix.shape[1]:
        names = [f"x{j + 1}" for j in range(matrix.shape[1])]
    return matrix, tuple(str(name) for name in names)


def _by_cluster(
    fit: Any, index: IntArray, clusters: tuple[str, ...]
) -> list[tuple[IntArray, Floats]]:
    """Return rows and working covariance of each cluster."""
    rows = [np.flatnonzero(index == number) for number in range(len(clusters))]
    if hasattr(fit, "working_blocks"):
        position = np.empty(index.size, dtype=np.intp)
        for at in rows:
            position[at] = np.arange(at.size)
        matrices = [np.zeros((at.size, at.size)) for at in rows]
        for at, block in fit.working_blocks():
            inside = np.unique(index[at])
            if inside.size > 1:
                named = ", ".join(repr(clusters[number]) for number in inside)
                raise NotEstimableError(
                    f"the model correlates effects of clusters {named}; clusters must contain whole"
                    " studies"
                )
            matrices[inside[0]][np.ix_(position[at], position[at])] = block
        return list(zip(rows, matrices, strict=True))
    total = np.asarray(fit.variances, dtype=np.float64) + float(fit.tau2 or 0.0)
    return [(at, np.diag(total[at])) for at in rows]


#: A direction that the other clusters leave open: one minus its squared length in this cluster.
_OPEN = 1e-9


def lone_clusters(
    design: Floats, index: IntArray, m: int, rows: Floats | None = None
) -> dict[int, int]:
    """Return the coefficients (or linear combinations ``rows``) that one cluster identifies.

    Each with that cluster: without it the design loses a direction, and every coefficient that has
    a part in it.
    """
    basis, triangle = np.linalg.qr(design)
    back = np.linalg.inv(triangle)
    back = back if rows is None else rows @ back
    size = np.linalg.norm(back, axis=1)
    lone: dict[int, int] = {}
    for at in range(m):
        own = basis[index == at]
        values, vectors = np.linalg.eigh(own.T @ own)
        lost = np.abs(back @ vectors[:, values > 1 - _OPEN]) > np.sqrt(_OPEN) * size[:, None]
        lone |= {int(j): at for j in np.flatnonzero(lost.any(axis=1))}
    return lone


def _caveats(
    table: CoefficientTable, joint: JointTest | None, *, several: bool
) -> tuple[Caveat, ...]:
    few = [row for row in table.rows() if row["df"] is not None and row["df"] < MIN_DF]
    listed = ", ".join(f"{row['term']} ({format_number(row['df'], 1)})" for row in few)
    lacking = several if joint is None else joint.df_denominator is None
    return stated(
        (few, "few_degrees_of_freedom", f"Fewer than {MIN_DF:g} degrees of freedom: {listed};"
         " robust p-values and intervals are unreliable there."),
        (lacking, "joint_test_withheld",
         "There are too few clusters for a joint robust test of the moderators."),
    )  # fmt: skip


# --- cluster wild bootstrap: tests of coefficients that few clusters carry ------------------------

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
    check_count(draws, 99, "draws")
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
    if exact:  # every pattern of signs up to the overall one
        signs = np.array([(1.0, *rest) for rest in itertools.product((1.0, -1.0), repeat=m - 1)])
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(int(draws), m))
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
