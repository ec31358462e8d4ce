"""Cluster-robust covariance of weighted least squares, as arrays: CR0 to CR3, Satterthwaite, HTZ.

Knows nothing of studies or results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

from ketameta.errors import NotEstimableError

FloatArray = NDArray[np.float64]
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
    """A sandwich covariance with what its degrees of freedom need.

    Attributes
    ----------
    coefficients : ndarray of shape (p,)
        Generalised least squares with the inverse working covariance.
    covariance : ndarray of shape (p, p)
    own : ndarray of shape (J, p, p)
        Per cluster, the covariance of its contribution under the working model, ``G_j G_j'``.
    shared : ndarray of shape (J, p, p)
        Per cluster, ``H_j`` with ``Cov(contribution_j, contribution_l) = -H_j H_l'`` for j != l.
    """

    coefficients: FloatArray
    covariance: FloatArray
    own: FloatArray
    shared: FloatArray


def sandwich(
    y: FloatArray,
    design: FloatArray,
    clusters: Sequence[tuple[IntArray, FloatArray]],
    kind: str = "CR2",
) -> SandwichParts:
    """Return coefficients and their cluster-robust covariance.

    Parameters
    ----------
    y : ndarray of shape (k,)
    design : ndarray of shape (k, p)
    clusters : sequence of (rows, working covariance)
        Row positions (n_j,) and covariance (n_j, n_j) of each cluster; the weights are its inverse.
    kind : str
        One of ``ROBUST_KINDS``.

    Returns
    -------
    SandwichParts

    Notes
    -----
    ``V = M (sum_j X_j' W_j A_j e_j e_j' A_j' W_j X_j) M`` with ``M = (X' W X)^-1``. CR2 has the
    adjustment ``A_j = F_j' (F_j B_j F_j')^(-1/2) F_j`` with ``F_j' F_j`` the working covariance and
    ``B_j`` the working covariance of the residuals (Pustejovsky and Tipton 2018, section 2.2); it
    makes V unbiased under the working model, and equals clubSandwich. Only the symmetric inverse
    root of this product does: roots of a whitened hat matrix give other numbers when variances
    differ within a cluster.

    References
    ----------
    Pustejovsky JE, Tipton E (2018). Small-sample methods for cluster-robust variance estimation and
    hypothesis testing in fixed effects models. Journal of Business & Economic Statistics 36(4),
    672-683. doi:10.1080/07350015.2016.1247004
    """
    k, p = design.shape
    roots = [np.asarray(np.linalg.cholesky(block), dtype=np.float64) for _, block in clusters]
    white: list[FloatArray] = [
        linalg.solve_triangular(root, design[rows], lower=True)
        for root, (rows, _) in zip(roots, clusters, strict=True)
    ]
    r = np.linalg.qr(np.concatenate(white))[1]
    bread_root: FloatArray = np.linalg.inv(r)  # M = bread_root @ bread_root.T
    bread = bread_root @ bread_root.T
    moment = np.zeros(p)
    for root, u, (rows, _) in zip(roots, white, clusters, strict=True):
        moment += u.T @ linalg.solve_triangular(root, y[rows], lower=True)
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


def _estimating(root: FloatArray, u: FloatArray, bread_root: FloatArray, kind: str) -> FloatArray:
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
        return np.asarray(linalg.solve_triangular(root, inner.T, lower=True, trans="T").T)
    return np.asarray(linalg.solve_triangular(root, u, lower=True, trans="T").T)


def _inverse_root(matrix: FloatArray, size: float) -> FloatArray:
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


def satterthwaite_df(parts: SandwichParts) -> FloatArray:
    """Return the degrees of freedom of each coefficient's t statistic; shape (p,).

    ``tr(P)**2 / sum(P**2)`` with P the covariance of the cluster contributions under the working
    model (Pustejovsky and Tipton 2018).
    """
    p = parts.covariance.shape[0]
    df = np.empty(p)
    for i in range(p):
        covariance = _contributions(parts, i, i)
        df[i] = np.trace(covariance) ** 2 / (covariance**2).sum()
    return df


def _contributions(parts: SandwichParts, s: int, t: int) -> FloatArray:
    """Return Cov(contribution of cluster j to s, of cluster l to t); shape (J, J)."""
    covariance = -parts.shared[:, s] @ parts.shared[:, t].T
    covariance[np.diag_indices_from(covariance)] += parts.own[:, s, t]
    return np.asarray(covariance)


@dataclasses.dataclass(frozen=True, slots=True)
class JointTest:
    """A test that several coefficients are zero.

    Attributes
    ----------
    f : float
    df : int
        Number of coefficients tested.
    df_denominator, p_value : float or None
        ``None`` when there are too few clusters for the test.
    """

    f: float
    df: int
    df_denominator: float | None
    p_value: float | None


def hotelling_test(parts: SandwichParts, tested: Sequence[int]) -> JointTest | None:
    """Test coefficients jointly with approximate Hotelling degrees of freedom (HTZ).

    ``None`` where their robust covariance is singular: there are fewer independent residuals than
    coefficients, as with a level of one effect.

    References
    ----------
    Tipton E, Pustejovsky JE (2015). Small-sample adjustments for tests of moderators and model fit
    using robust variance estimation in meta-regression. Journal of Educational and Behavioral
    Statistics 40(6), 604-634. doi:10.3102/1076998615606099
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
