"""Networks as arrays: checked comparisons, their covariance, rows and likelihood."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # of its parts only what is used is loaded, when it is used
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats, as_numbers
from ketameta.effects.table import check_alike
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models.dependent.sampling_covariance import (
    check_groups,
    check_vector,
    given_blocks,
    rows_of_groups,
)
from ketameta.models.validation import checked_inputs

IntArray = NDArray[np.intp]
#: Differences of three arms are consistent within this many standard errors: printed decimals are.
CONSISTENT = 1e-6


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class NetworkStudy:
    """One trial of p ``arms`` as p - 1 independent contrasts against its first arm.

    ``y`` (p - 1,) with sampling covariance ``V``; ``contrasts`` (p - 1, T) times the effects of the
    T treatments is their mean; ``inconsistency`` is the largest departure of the given contrasts
    from consistency, in standard errors.
    """

    label: str
    arms: tuple[str, ...]
    y: Floats
    V: Floats
    contrasts: Floats
    inconsistency: float


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class NetworkData:
    """A connected network: ``treatments`` (the reference first, then by alphabet) and ``studies``.

    ``participants`` of each treatment, or None.
    """

    treatments: tuple[str, ...]
    studies: tuple[NetworkStudy, ...]
    participants: dict[str, float] | None


def network_data(
    estimates: ArrayLike,
    variances: ArrayLike,
    study: Sequence[object] | ArrayLike,
    treatment: Sequence[object] | ArrayLike,
    control: Sequence[object] | ArrayLike,
    reference: str | None,
    sampling_covariance: ArrayLike | Sequence[ArrayLike] | None,
    n_treatment: ArrayLike | None,
    n_control: ArrayLike | None,
) -> NetworkData:
    """Check contrasts and arrange them by study.

    Parameters and errors as in :func:`ketameta.network_meta_analysis`.
    """
    k = as_numbers("estimates", estimates).size
    labels, studies, groups = check_groups("study", study, k)
    first = check_groups("treatment", treatment, k)[0]
    second = check_groups("control", control, k)[0]
    check_alike("treatment and control", (*first, *second))
    inputs = checked_inputs(estimates, variances, labels, repeated_labels="allow")
    for row in range(k):
        if first[row] == second[row]:
            raise ImpossibleDataError(
                f"row {row} of {labels[row]!r} compares {first[row]!r} with itself; join the arms"
            )
    treatments = _ordered(first, second, labels, reference)
    check_connected(first, second)
    rows = rows_of_groups(groups, len(studies))
    blocks = given_blocks(sampling_covariance, rows, studies)
    if sampling_covariance is not None and blocks is None:
        covariance = as_numbers("sampling_covariance", sampling_covariance)
        if covariance.shape != (k, k) or not np.all(np.isfinite(covariance)):
            raise UsageError(
                f"sampling_covariance has shape {covariance.shape}; it needs ({k}, {k}) numbers"
            )
        blocks = [covariance[np.ix_(at, at)] for at in rows]
    shared: Sequence[Floats | None] = blocks or [None] * len(rows)
    built = tuple(
        _study(name, at, inputs.y, inputs.v, first, second, block, treatments)
        for name, at, block in zip(studies, rows, shared, strict=True)
    )
    counted = _participants(labels, first, second, n_treatment, n_control)
    return NetworkData(treatments, built, counted)


def network_components(
    treatment: Sequence[object] | ArrayLike, control: Sequence[object] | ArrayLike
) -> tuple[tuple[str, ...], ...]:
    """Return the treatments that comparisons connect, largest group first.

    Parameters
    ----------
    treatment, control : sequence of length k
        The two treatments of each comparison.
    """
    first = check_groups("treatment", treatment, np.size(np.asarray(treatment, dtype=object)))[0]
    second = check_groups("control", control, len(first))[0]
    parts: list[set[str]] = []
    for pair in zip(first, second, strict=True):
        joined = set(pair)
        apart = []
        for part in parts:
            if part & joined:
                joined |= part
            else:
                apart.append(part)
        parts = [*apart, joined]
    return tuple(sorted((tuple(sorted(part)) for part in parts), key=lambda p: (-len(p), p)))


def check_connected(first: Sequence[str], second: Sequence[str]) -> None:
    """Refuse a network that falls apart, naming its parts.

    Raises
    ------
    NotEstimableError
    """
    parts = network_components(first, second)
    if len(parts) > 1:
        listed = "; ".join("{" + ", ".join(part) + "}" for part in parts)
        raise NotEstimableError(
            f"the network is not connected: no trial links {listed}. Analyse each part by itself"
        )


def _ordered(
    first: tuple[str, ...], second: tuple[str, ...], study: tuple[str, ...], reference: str | None
) -> tuple[str, ...]:
    studies: dict[str, set[str]] = {}
    for a, b, name in zip(first, second, study, strict=True):
        studies.setdefault(a, set()).add(name)
        studies.setdefault(b, set()).add(name)
    known = sorted(studies)
    if reference is None:
        reference = min(known, key=lambda name: (-len(studies[name]), name))
    elif not isinstance(reference, str) or reference not in studies:
        raise UsageError(f"reference is {reference!r}; choose one of {', '.join(known)}")
    return (reference, *(name for name in known if name != reference))


def _study(
    label: str,
    rows: IntArray,
    y: Floats,
    v: Floats,
    first: tuple[str, ...],
    second: tuple[str, ...],
    covariance: Floats | None,
    treatments: tuple[str, ...],
) -> NetworkStudy:
    """Reduce the contrasts of one study to independent ones against its first arm."""
    if rows.size == 1:
        return _two_arms(label, int(rows[0]), y, v, first, second, treatments)
    arms = tuple(
        name for name in treatments if any(name in (first[row], second[row]) for row in rows)
    )
    p = len(arms)
    signs = np.zeros((rows.size, p))
    for at, row in enumerate(rows):
        signs[at, arms.index(first[row])] = 1.0
        signs[at, arms.index(second[row])] = -1.0
    if len(np.unique(np.abs(signs), axis=0)) < rows.size:
        raise ImpossibleDataError(
            f"study {label!r} gives the same comparison twice; keep one, or label two studies"
        )
    onto = np.hstack([-np.ones((p - 1, 1)), np.eye(p - 1)])
    inconsistency = 0.0
    if rows.size == p - 1 and np.linalg.matrix_rank(signs) == p - 1:
        block = np.diag(v[rows])
        if p > 2:
            if covariance is None:
                raise NotEstimableError(
                    f"study {label!r} has {p} arms and {p - 1} comparisons, whose sampling errors"
                    " are correlated; give sampling_covariance (see shared_arm_covariance) or all"
                    f" {p * (p - 1) // 2} comparisons"
                )
            block = _checked_block(covariance, v[rows], label)
        turn = onto @ np.linalg.pinv(signs)
        effects, V = turn @ y[rows], turn @ block @ turn.T
    elif rows.size == p * (p - 1) // 2:
        effects, V, inconsistency = _from_all_pairs(signs, y[rows], v[rows], onto, label, arms)
    else:
        raise ImpossibleDataError(
            f"study {label!r} has {p} arms and {rows.size} comparisons; give {p - 1} that link all"
            f" arms with their covariance, or all {p * (p - 1) // 2}"
        )
    contrasts = np.zeros((p - 1, len(treatments)))
    columns = [treatments.index(name) for name in arms]
    contrasts[:, columns] = onto
    return NetworkStudy(label, arms, effects, V, contrasts, inconsistency)


def _two_arms(
    label: str,
    row: int,
    y: Floats,
    v: Floats,
    first: tuple[str, ...],
    second: tuple[str, ...],
    treatments: tuple[str, ...],
) -> NetworkStudy:
    """Return a study with one comparison, the commonest kind."""
    places = treatments.index(first[row]), treatments.index(second[row])
    sign = 1.0 if places[0] > places[1] else -1.0
    contrasts = np.zeros((1, len(treatments)))
    contrasts[0, max(places)], contrasts[0, min(places)] = 1.0, -1.0
    arms = (treatments[min(places)], treatments[max(places)])
    return NetworkStudy(label, arms, sign * y[[row]], v[row].reshape(1, 1), contrasts, 0.0)


def _checked_block(block: Floats, v: Floats, label: str) -> Floats:
    root = np.sqrt(v)
    correlation = block / np.outer(root, root)
    if np.abs(np.diag(correlation) - 1).max() > 1e-8:
        raise ImpossibleDataError(
            f"the diagonal of sampling_covariance is not the variances of study {label!r}"
        )
    if np.abs(correlation - correlation.T).max() > 1e-8:
        raise ImpossibleDataError(f"sampling_covariance of study {label!r} is not symmetric")
    if np.linalg.eigvalsh(correlation)[0] <= 1e-10:
        raise NotEstimableError(
            f"sampling_covariance of study {label!r} is not positive definite; check that it has"
            " the sign of each comparison"
        )
    return (block + block.T) / 2


def _from_all_pairs(
    signs: Floats,
    y: Floats,
    v: Floats,
    onto: Floats,
    label: str,
    arms: tuple[str, ...],
) -> tuple[Floats, Floats, float]:
    """Reduce all pairwise comparisons of a study.

    The covariance of two contrasts against one arm is half of the sum of their variances less that
    of their difference; contrasts that are not quite consistent are averaged with the weights this
    covariance implies (Rücker and Schwarzer 2014, doi:10.1002/sim.6236).
    """
    p = signs.shape[1]
    between = np.zeros((p, p))
    for row, variance in zip(signs, v, strict=True):
        i, j = np.flatnonzero(row)
        between[i, j] = between[j, i] = variance
    V = (between[1:, :1] + between[:1, 1:] - between[1:, 1:]) / 2
    if np.linalg.eigvalsh(V / np.sqrt(np.outer(np.diag(V), np.diag(V))))[0] <= 1e-10:
        pairs = ("{} v {} {:g}".format(*(arms[i] for i in np.flatnonzero(row)), x)
                 for row, x in zip(signs, v, strict=True))  # fmt: skip
        raise ImpossibleDataError(
            f"the {len(v)} variances of study {label!r} cannot belong to {p} independent arms"
            f" ({', '.join(pairs)}): the variance of one comparison is at most what the other two"
            " of its three arms add up to"
        )
    centring = np.eye(p) - 1 / p
    laplacian = np.linalg.pinv(-0.5 * centring @ between @ centring)
    weights = np.array([-laplacian[tuple(np.flatnonzero(row))] for row in signs])
    means = np.linalg.pinv(signs.T @ (weights[:, None] * signs)) @ signs.T @ (weights * y)
    gap = float((np.abs(signs @ means - y) / np.sqrt(v)).max())
    return onto @ means, V, gap


def _participants(
    study: tuple[str, ...],
    first: tuple[str, ...],
    second: tuple[str, ...],
    n_treatment: ArrayLike | None,
    n_control: ArrayLike | None,
) -> dict[str, float] | None:
    if n_treatment is None or n_control is None:
        if (n_treatment is None) != (n_control is None):
            raise UsageError("give n_treatment and n_control, or neither")
        return None
    counts = [check_vector("n_treatment", n_treatment, len(study))]
    counts.append(check_vector("n_control", n_control, len(study)))
    arms: dict[tuple[str, str], float] = {}
    for row, name in enumerate(study):
        for arm, n in zip((first[row], second[row]), counts, strict=True):
            if arms.setdefault((name, arm), float(n[row])) != float(n[row]):
                raise ImpossibleDataError(
                    f"arm {arm!r} of {name!r} has {arms[name, arm]:g} and {n[row]:g} participants"
                )
    total: dict[str, float] = {}
    for (_, arm), value in arms.items():
        total[arm] = total.get(arm, 0.0) + value
    return total


class Rows(NamedTuple):
    """Independent rows ``z`` (N,) on ``X`` (N, p); the variance of a row is ``1 + tau2 * growth``.

    ``log_det`` is ``log|V|`` of all sampling covariances.
    """

    z: Floats
    X: Floats
    growth: Floats
    log_det: float


class Whitened(NamedTuple):
    """Studies made ready for any design: ``z``, ``growth`` and ``log_det`` as in :class:`Rows`.

    ``contrasts`` (N, T) are the rows' contrasts of the treatments before whitening, ``study`` (N,)
    the position of each row's study; ``blocks`` hold, for the studies of each size, their rows
    (studies, size) and the matrices that whiten them (studies, size, size).
    """

    z: Floats
    growth: Floats
    log_det: float
    contrasts: Floats
    study: IntArray
    blocks: tuple[tuple[IntArray, Floats], ...]


def whiten(studies: Sequence[NetworkStudy]) -> Whitened:
    """Return the studies with independent rows.

    Notes
    -----
    Heterogeneity has variance tau-squared for every comparison and covariance of half of it for two
    comparisons with an arm in common (``C C' / 2`` with the arms' contrasts C), as in Salanti et
    al. (2008) and metafor's ``random = ~ comp | study, rho = 1/2``. With ``V = L L'`` and
    ``L^-1 C C' L^-T / 2 = U diag(lambda) U'`` a study is whitened by ``U' L^-1``.
    """
    sizes = np.array([len(study.y) for study in studies])
    ends = np.cumsum(sizes)
    z, growth = np.empty(ends[-1]), np.empty(ends[-1])
    contrasts = np.concatenate([study.contrasts for study in studies])
    blocks = []
    log_det = 0.0
    for size in np.unique(sizes):
        at = np.flatnonzero(sizes == size)
        rows = (ends[at] - size)[:, None] + np.arange(size)
        root = np.linalg.cholesky(np.stack([studies[int(i)].V for i in at]))
        inverse = np.linalg.inv(root)
        shape = inverse @ contrasts[rows]
        values, turn = np.linalg.eigh(0.5 * shape @ shape.swapaxes(1, 2))
        matrix = turn.swapaxes(1, 2) @ inverse
        y = np.stack([studies[int(i)].y for i in at])
        z[rows] = (matrix @ y[:, :, None])[:, :, 0]
        growth[rows] = values
        log_det += 2 * float(np.log(np.diagonal(root, axis1=1, axis2=2)).sum())
        blocks.append((rows, matrix))
    study = np.repeat(np.arange(len(studies)), sizes)
    return Whitened(z, growth, log_det, contrasts, study, tuple(blocks))


def network_rows(whitened: Whitened, design: Floats) -> Rows:
    """Return the rows under a design (N, p): a row per contrast, in the order of the studies."""
    X = np.empty(design.shape)
    for rows, matrix in whitened.blocks:
        X[rows] = matrix @ design[rows]
    return Rows(whitened.z, X, whitened.growth, whitened.log_det)


NETWORK_TAU2_METHODS = ("REML", "DL", "common")
#: Candidate variances, as multiples of the typical sampling variance: eight decades.
_GRID = np.geomspace(1e-5, 1e3, 41)
#: Rows of one piece of a large decomposition.
_PIECE = 256
#: An upper limit of tau-squared beyond this multiple of the typical sampling variance is none.
_UNBOUNDED = 1e8


class NetworkFit(NamedTuple):
    """Coefficients (p,) and their covariance at a tau-squared.

    ``q`` is the weighted residual sum of squares, ``df`` the rows less the coefficients.
    """

    coefficients: Floats
    covariance: Floats
    tau2: float
    q: float
    df: int


def tall_qr(a: Floats) -> tuple[Floats, Floats]:
    """Return the QR decomposition of a matrix with many rows, in pieces that one thread does.

    The pieces are decomposed one by one, then their triangles together. Threads that share one
    large decomposition wait for each other on a busy machine, which took fifty times as long.
    """
    n, p = a.shape
    if n <= _PIECE or p >= _PIECE // 2:
        q, r = np.linalg.qr(a)
        return q, r
    pieces = -(-n // _PIECE)
    padded = np.zeros((pieces * _PIECE, p))
    padded[:n] = a
    first, triangles = np.linalg.qr(padded.reshape(pieces, _PIECE, p))
    second, r = tall_qr(triangles.reshape(pieces * p, p))
    q = first @ second.reshape(pieces, p, p)
    return q.reshape(-1, p)[:n], r


def fit_at(rows: Rows, tau2: float) -> NetworkFit:
    """Return generalised least squares at ``tau2``."""
    return _fit(rows, tau2)[0]


def _fit(rows: Rows, tau2: float) -> tuple[NetworkFit, Floats, Floats]:
    """Return the fit, the weighted residuals and the leverages of the rows."""
    root = (1 + tau2 * rows.growth) ** -0.5
    q, r = tall_qr(root[:, None] * rows.X)
    inverse = np.linalg.inv(r)
    coefficients = inverse @ np.einsum("kp,k->p", q, root * rows.z)
    residual = root * (rows.z - np.einsum("kp,p->k", rows.X, coefficients))
    n, p = rows.X.shape
    q_value = float((residual**2).sum())
    fit = NetworkFit(coefficients, inverse @ inverse.T, tau2, q_value, n - p)
    return fit, residual, np.einsum("kp,kp->k", q, q)


def log_likelihood(rows: Rows, tau2: float) -> float:
    """Return the restricted log-likelihood, up to the constant ``log|X'X| / 2``."""
    fit = fit_at(rows, tau2)
    log_m = rows.log_det + float(np.log1p(tau2 * rows.growth).sum())
    log_cross = -float(np.linalg.slogdet(fit.covariance)[1])
    return -0.5 * (fit.df * math.log(2 * math.pi) + log_m + log_cross + fit.q)


def _score(rows: Rows, tau2: float) -> float:
    """Return twice the derivative of the restricted log-likelihood."""
    _, residual, leverage = _fit(rows, tau2)
    slope = rows.growth / (1 + tau2 * rows.growth)
    return float((slope * residual**2).sum()) - float((slope * (1 - leverage)).sum())


def estimate_tau2(rows: Rows, method: str) -> tuple[float, float | None]:
    """Return tau-squared, and the log-likelihood the best optimum gains over the next.

    DL is the moment estimator ``(Q - df) / tr(P H)``, truncated at 0, with P the residual
    projection of the common-effect model (Jackson, White and Riley 2012, doi:10.1002/sim.5453); it
    equals netmeta's. REML takes the best of all roots of the score between 0 and a thousand times
    the typical sampling variance. Both need more rows than coefficients.
    """
    if method == "common":
        return 0.0, None
    if method == "DL":
        fit, _, leverage = _fit(rows, 0.0)
        trace = float((rows.growth * (1 - leverage)).sum())
        return max(0.0, (fit.q - fit.df) / trace), None
    typical = 1 / float(np.median(rows.growth))
    values = [0.0, *(_GRID * max(typical, 1e-300))]
    scores = [_score(rows, value) for value in values]
    candidates = [0.0] if scores[0] <= 0 else []
    steps = itertools.pairwise(zip(values, scores, strict=True))
    for (low, left), (high, right) in steps:
        if left > 0 >= right:
            found = scipy.optimize.brentq(
                lambda x: _score(rows, x), low, high, xtol=1e-15 * typical, rtol=1e-14
            )
            candidates.append(float(found))
    if scores[-1] > 0:
        candidates.append(values[-1])
    heights = sorted(((log_likelihood(rows, value), value) for value in candidates), reverse=True)
    gap = heights[0][0] - heights[1][0] if len(heights) > 1 else None
    return heights[0][1], gap


def q_profile(rows: Rows, level: float) -> tuple[float, float | None]:
    """Return the Q-profile interval of tau-squared; no upper limit where Q does not fall.

    Q at the true tau-squared has a chi-squared distribution (Viechtbauer 2007,
    doi:10.1002/sim.2514, with the network's regression).
    """
    df = rows.X.shape[0] - rows.X.shape[1]
    tail = (1 - level) / 2
    typical = 1 / float(np.median(rows.growth))

    def root(target: float) -> float | None:
        if fit_at(rows, 0.0).q <= target:
            return 0.0
        far = typical
        while fit_at(rows, far).q > target:
            if far > _UNBOUNDED * typical:
                return None
            far *= 4
        return float(
            scipy.optimize.brentq(
                lambda x: fit_at(rows, x).q - target, 0.0, far, xtol=1e-15 * typical, rtol=1e-13
            )
        )

    low = root(float(special.chdtri(df, tail)))
    return 0.0 if low is None else low, root(float(special.chdtri(df, 1 - tail)))
