"""Three-level models as arrays: checked, scaled and rotated data, and their likelihood."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy  # of its parts only what is used is loaded, when it is used
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats, as_numbers
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models.dependent.sampling_covariance import (
    check_between,
    check_groups,
    given_blocks,
    rows_of_groups,
)
from ketameta.models.validation import INTERCEPT, Design, build_design, checked_inputs

IntArray = NDArray[np.intp]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Rotated:
    """Data whose sampling covariance is diagonal within each study, sorted by study.

    Residuals of least squares ``y``, an orthonormal ``basis`` of the design (k, p) and a column of
    ``ones``, all rotated; the sampling variances then, and the first row of each study.
    """

    y: Floats
    basis: Floats
    ones: Floats
    eigenvalues: Floats
    starts: IntArray

    def by_study(self, rows: Floats) -> Floats:
        """Return sums over the rows of each study; (T, k, ...) to (T, m, ...)."""
        return np.add.reduceat(rows, self.starts, axis=1)

    def expand(self, values: Floats) -> Floats:
        """Return a value per study for each of its rows; (T, m, ...) to (T, k, ...)."""
        counts = np.diff(np.append(self.starts, self.y.size))
        return np.repeat(values, counts, axis=1)


class Evaluation(NamedTuple):
    """Log-likelihood (T,) and derivatives at T candidate pairs of variances.

    Score (T, 2) by the variances between studies and between effects, average information
    (T, 2, 2), coefficients (T, p) of the orthonormal basis B, and ``B' W B`` (T, p, p).
    """

    log_likelihood: Floats
    score: Floats
    information: Floats
    coefficients: Floats
    cross_products: Floats


def rotate(y: Floats, basis: Floats, blocks: Sequence[Floats], starts: IntArray) -> Rotated:
    """Diagonalise the sampling covariance of each study; a vector is a diagonal."""
    turned_y, turned_basis = np.empty_like(y), np.empty_like(basis)
    ones, eigenvalues = np.ones_like(y), np.empty_like(y)
    stops = np.append(starts[1:], y.size)
    for index, (block, first, last) in enumerate(zip(blocks, starts, stops, strict=True)):
        rows = slice(int(first), int(last))
        if block.ndim == 1:
            values, turn = block, None
        else:
            values, turn = np.linalg.eigh(block)
        if values.min() <= 1e-12 * values.max():
            raise NotEstimableError(
                f"the sampling covariance of study {index} (in order of appearance) is singular:"
                " two of its effects carry the same information; leave one out"
            )
        eigenvalues[rows] = values
        turned_y[rows] = y[rows] if turn is None else turn.T @ y[rows]
        turned_basis[rows] = basis[rows] if turn is None else turn.T @ basis[rows]
        if turn is not None:
            ones[rows] = turn.sum(axis=0)
    return Rotated(turned_y, turned_basis, ones, eigenvalues, starts)


def evaluate(data: Rotated, variances: Floats, restricted: bool) -> Evaluation:
    """Evaluate the (restricted) likelihood and its derivatives at variances of shape (T, 2).

    Restricted: ``-((k - p) log 2 pi + log|M| + log|B' W B| + r' W r) / 2`` with an orthonormal
    basis B, which equals metafor's ``rma.mv`` (it adds ``log|X'X| / 2``). The score is
    ``(y' P A P y - tr(P A)) / 2`` and the average information ``y' P A_i P A_j P y / 2``
    (Gilmour, Thompson and Cullis 1995, doi:10.2307/2533274); without REML the trace is of ``W A``.
    """
    between, within = variances[:, 0, None], variances[:, 1, None]
    u = 1.0 / (data.eigenvalues + within)  # (T, k)
    weighted_ones = u * data.ones

    one_one = data.by_study(weighted_ones * data.ones)  # (T, m)
    growth = 1.0 + between * one_one
    shrink = between / growth

    def times_w(rows: Floats) -> Floats:
        """Return W times columns; shape (T, k, q)."""
        inner = data.by_study(weighted_ones[:, :, None] * rows)
        return u[:, :, None] * rows - weighted_ones[:, :, None] * data.expand(
            shrink[:, :, None] * inner
        )

    basis = np.broadcast_to(data.basis, (len(variances), *data.basis.shape))
    w_basis = times_w(basis)
    cross = np.swapaxes(basis, 1, 2) @ w_basis
    inverse = np.linalg.inv(cross)
    coefficients = np.einsum("tpq,tkq,k->tp", inverse, w_basis, data.y)
    residual = data.y - coefficients @ data.basis.T
    py = times_w(residual[:, :, None])[:, :, 0]

    log_det = -np.log(u).sum(axis=1) + np.log(growth).sum(axis=1)
    log_cross = np.linalg.slogdet(cross)[1]
    lost = data.basis.shape[1] if restricted else 0
    log_likelihood = -0.5 * (
        (data.y.size - lost) * math.log(2 * math.pi)
        + log_det
        + (log_cross if restricted else 0.0)
        + (py * residual).sum(axis=1)
    )

    ones_py = data.by_study(data.ones * py)  # (T, m)
    quadratic = np.stack([(ones_py**2).sum(axis=1), (py**2).sum(axis=1)], axis=1)
    trace = np.stack(
        [
            (one_one / growth).sum(axis=1),
            u.sum(axis=1) - (shrink * data.by_study(weighted_ones**2)).sum(axis=1),
        ],
        axis=1,
    )
    if restricted:
        ones_w_basis = data.by_study(data.ones[:, None] * w_basis)
        for j, part in enumerate((ones_w_basis, w_basis)):
            trace[:, j] -= np.einsum("tpq,trp,trq->t", inverse, part, part)
    moved = np.stack([data.expand(ones_py) * data.ones, py], axis=2)  # A_j P y, shape (T, k, 2)
    w_moved = times_w(moved)
    pull = np.swapaxes(w_basis, 1, 2) @ moved
    information = np.swapaxes(moved, 1, 2) @ w_moved - np.swapaxes(pull, 1, 2) @ inverse @ pull
    return Evaluation(
        log_likelihood, 0.5 * (quadratic - trace), 0.5 * information, coefficients, cross
    )


def log_likelihoods(data: Rotated, between: Floats, within: Floats, restricted: bool) -> Floats:
    """Return the log-likelihood on a grid of G and H variances, without derivatives: (G, H).

    As :func:`evaluate`, but for cancellation in ``y' W y - b' B' W y``; for finding hills. The rows
    are summed within studies once for each variance between effects; the variance between studies
    enters through those sums alone, so that time and memory grow with ``H k + G H m``.
    """
    p = data.basis.shape[1]
    columns = np.column_stack([data.basis, data.y])
    surface = np.empty((between.size, within.size))
    constant = (data.y.size - (p if restricted else 0)) * math.log(2 * math.pi)
    for h, variance in enumerate(within.tolist()):
        u = 1.0 / (data.eigenvalues + variance)
        weighted = u * data.ones
        one_one = np.add.reduceat(weighted * data.ones, data.starts)
        inner = np.add.reduceat(weighted[:, None] * columns, data.starts, axis=0)
        pairs = (inner[:, :, None] * inner[:, None, :]).reshape(len(inner), -1)
        growth = 1.0 + between[:, None] * one_one
        gram = columns.T @ (u[:, None] * columns)
        grams = gram - ((between[:, None] / growth) @ pairs).reshape(-1, p + 1, p + 1)
        cross, mixed, total = grams[:, :p, :p], grams[:, :p, p], grams[:, p, p]
        solved = np.linalg.solve(cross, mixed[:, :, None])[:, :, 0]
        surface[:, h] = np.log(growth).sum(axis=1) - np.log(u).sum()
        surface[:, h] += total - (mixed * solved).sum(axis=1)
        if restricted:
            surface[:, h] += np.linalg.slogdet(cross)[1]
    return -0.5 * (constant + surface)


#: Grid of candidate variances as multiples of the spread of the residuals: zero, then six decades.
_GRID = np.concatenate([[0.0], np.geomspace(1e-4, 1e2, 19)])
#: A step shorter than this share of the variances ends the climb.
_STEP = 1e-13
_MOST_STEPS = 300
#: Relative rounding error of a log-likelihood.
_ROUNDING = 1e-12
#: Two hilltops within this log-likelihood are the same optimum.
SAME_OPTIMUM = 1e-8
#: An upper limit beyond this many times the spread of the data is not a limit.
_UNBOUNDED = 1e6


class Optimum(NamedTuple):
    """Where the likelihood is largest: between studies, between effects.

    ``starts`` hills were climbed; ``gap`` is what the best of the other optima lacks, None where
    every start agrees.
    """

    variances: Floats
    log_likelihood: float
    starts: int
    gap: float | None
    converged: bool


def spread(data: Rotated) -> float:
    """Return the size of a variance in these data: residual variance, or sampling variance."""
    return float(max(np.mean(data.y**2), np.median(data.eigenvalues)))


def maximise(data: Rotated, restricted: bool) -> Optimum:
    """Find the global maximum over both variances, each >= 0."""
    values = _GRID * spread(data)
    pairs = np.stack(np.meshgrid(values, values, indexing="ij"), axis=-1)
    surface = log_likelihoods(data, values, values, restricted)
    padded = np.pad(surface, 1, constant_values=-np.inf)
    around = np.stack(
        [
            padded[1 + i : 1 + i + len(values), 1 + j : 1 + j + len(values)]
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
            if (i, j) != (0, 0)
        ]
    )
    hills = pairs[surface >= around.max(axis=0)]
    climbed = [climb(data, start, restricted, np.array([True, True])) for start in hills]
    climbed.sort(key=lambda top: -top[1])
    best = climbed[0]
    others = [top[1] for top in climbed[1:] if best[1] - top[1] > SAME_OPTIMUM]
    gap = float(best[1] - max(others)) if others else None
    return Optimum(best[0], best[1], len(climbed), gap, best[2])


def climb(
    data: Rotated, start: Floats, restricted: bool, free: NDArray[np.bool_]
) -> tuple[Floats, float, bool]:
    """Climb from ``start`` by average-information steps over the free variances.

    Returns the variances (2,), the log-likelihood, and whether the steps ended by themselves.
    """
    x = np.array(start, dtype=np.float64)
    here = evaluate(data, x[None], restricted)
    size = spread(data)
    slack = _ROUNDING * (1 + abs(float(here.log_likelihood[0])))
    for _ in range(_MOST_STEPS):
        score = here.score[0]
        moving = free & ((x > 0) | (score > 0))
        if not np.any(moving):
            return x, float(here.log_likelihood[0]), True
        step = np.zeros(2)
        information = here.information[0][np.ix_(moving, moving)]
        step[moving] = np.linalg.lstsq(information, score[moving], rcond=1e-14)[0]
        # No step longer than the data can mean; a bound is reached, never crossed.
        step *= min(1.0, 10 * (size + x.max()) / max(float(np.abs(step).max()), 1e-300))
        share, improved = 1.0, False
        for _ in range(60):
            trial = np.maximum(x + share * step, 0.0)
            there = evaluate(data, trial[None], restricted)
            # The score is exact where differences of likelihoods are rounding error already.
            if there.log_likelihood[0] >= here.log_likelihood[0] - slack:
                improved = True
                break
            share /= 2
        if not improved:
            return x, float(here.log_likelihood[0]), _is_flat(here, x, moving)
        moved = float(np.abs(trial - x).max())
        x, here = trial, there
        if moved <= _STEP * (x.max() + size):
            return x, float(here.log_likelihood[0]), True
    return x, float(here.log_likelihood[0]), _is_flat(here, x, free & (x > 0))


def _is_flat(here: Evaluation, x: Floats, moving: NDArray[np.bool_]) -> bool:
    """Whether the slope that is left is rounding error: no gain above 1e-9 in log-likelihood."""
    return bool(np.all(np.abs(here.score[0] * x)[moving] < 1e-4))


def profile_interval(
    data: Rotated, optimum: Optimum, component: int, restricted: bool, level: float
) -> tuple[float, float | None]:
    """Return the profile-likelihood interval of one variance.

    The lower limit is 0 where the profile never falls below the cut-off; the upper limit is None
    where it stays above it out to a million times the spread of the data.
    """
    cutoff = optimum.log_likelihood - float(special.chdtri(1, 1 - level)) / 2
    at = float(optimum.variances[component])
    size = spread(data)
    free = np.array([component == 1, component == 0])

    def profile(value: float) -> float:
        fixed, grid = np.array([value]), _GRID * size
        between, within = (fixed, grid) if component == 0 else (grid, fixed)
        other = grid[int(np.argmax(log_likelihoods(data, between, within, restricted)))]
        start = np.array([value, other] if component == 0 else [other, value])
        return climb(data, start, restricted, free)[1] - cutoff

    def root(low: float, high: float) -> float:
        return float(scipy.optimize.brentq(profile, low, high, xtol=1e-13 * size, rtol=1e-12))

    lower = 0.0
    if at > 0 and profile(0.0) < 0:
        lower = root(0.0, at)
    far = max(2 * at, 1e-3 * size)
    while profile(far) > 0:
        if far > _UNBOUNDED * size:
            return lower, None
        far *= 4
    return lower, root(at, far)


#: Covariances may differ from their mirror image by rounding, relative to the variances.
_SYMMETRY = 1e-8
#: Largest distance between effects, in smallest standard errors, at which sums over studies still
#: have half of their sixteen digits (they lose the square of it).
_FURTHEST = 1e4


class MultilevelData(NamedTuple):
    """Checked arrays in the order given, and the same data prepared for the likelihood.

    ``names`` are of the columns of the design, ``labels`` of the effects, ``study`` of the study of
    each; ``studies`` the different ones, with ``groups`` (k,) the index into them and ``blocks``
    their sampling covariances (a vector where independent). Prepared data are sorted by ``order``
    and divided by ``unit``; ``design = basis @ triangle``, and ``fitted`` are the least squares
    coefficients of that basis.
    """

    y: Floats
    v: Floats
    design: Floats
    names: tuple[str, ...]
    labels: tuple[str, ...]
    study: tuple[str, ...]
    studies: tuple[str, ...]
    groups: IntArray
    blocks: tuple[Floats, ...]
    order: IntArray
    unit: float
    triangle: Floats
    fitted: Floats
    rotated: Rotated
    encoder: Any


def multilevel_data(
    estimates: ArrayLike,
    variances: ArrayLike,
    study: Sequence[object] | ArrayLike,
    effect: Sequence[object] | ArrayLike | None,
    moderators: Any,
    names: Sequence[str] | None,
    formula: str | None,
    intercept: bool,
    sampling_covariance: ArrayLike | Sequence[ArrayLike] | None,
    rho: float | None,
) -> MultilevelData:
    """Check everything that :func:`ketameta.multilevel` takes and prepare it."""
    k = as_numbers("estimates", estimates).size
    study_labels, studies, groups = check_groups("study", study, k)
    labels = _effect_labels(effect, study_labels)
    built = _design(moderators, names, formula, intercept, labels)
    inputs = checked_inputs(
        estimates, variances, labels, design=built.matrix, names=built.names,
        repeated_labels="allow",
    )  # fmt: skip
    y, v, design = inputs.y, inputs.v, inputs.design
    if len(studies) < 2:
        raise NotEstimableError(
            f"study has one value ({studies[0]!r}); the variance between studies needs two"
        )
    if len(studies) == k:
        raise NotEstimableError(
            "every study has one effect, so the two levels are one; use random_effects()"
        )
    order = np.argsort(groups, kind="stable")
    blocks = sampling_blocks(v, groups, studies, sampling_covariance, rho)
    unit = float(2.0 ** np.round(0.5 * np.log2(np.median(v))))
    basis, triangle = np.linalg.qr(design)
    scaled = y / unit
    fitted = basis.T @ scaled
    residual = scaled - basis @ fitted
    correction = basis.T @ residual
    fitted, residual = fitted + correction, residual - basis @ correction
    spread, least = float(np.ptp(residual)) * unit, float(np.sqrt(v.min()))
    if spread > _FURTHEST * least:
        raise NotEstimableError(
            f"the estimates are up to {spread:.3g} apart, and the smallest standard error is"
            f" {least:.3g}: their ratio is beyond double precision; check the units of both"
        )
    starts = np.searchsorted(groups[order], np.arange(len(studies)))
    rotated = rotate(residual[order], basis[order], [block / unit**2 for block in blocks], starts)
    return MultilevelData(
        y,
        v,
        design,
        inputs.names,
        labels,
        study_labels,
        studies,
        groups,
        blocks,
        order,
        unit,
        triangle,
        fitted,
        rotated,
        built.encoder,
    )


def _design(
    moderators: Any,
    names: Sequence[str] | None,
    formula: str | None,
    intercept: bool,
    labels: tuple[str, ...],
) -> Design:
    """Return the design, with a row per effect."""
    k = len(labels)
    if moderators is None:
        if formula is not None:
            raise UsageError("formula needs moderators: a DataFrame that holds its variables")
        if not intercept:
            raise UsageError("intercept=False without moderators leaves nothing to estimate")
        return Design(np.ones((k, 1)), (INTERCEPT,), {INTERCEPT: (INTERCEPT,)})
    built = build_design(moderators, formula, names, intercept=intercept, labels=labels)
    if len(built.matrix) != k:
        raise UsageError(f"moderators has {len(built.matrix)} rows where {k} are needed")
    return built


def _effect_labels(
    effect: Sequence[object] | ArrayLike | None, study: tuple[str, ...]
) -> tuple[str, ...]:
    if effect is None:
        seen: dict[str, int] = {}
        labels = []
        for label in study:
            seen[label] = seen.get(label, 0) + 1
            labels.append(f"{label} {seen[label]}")
        return tuple(labels)
    labels = list(check_groups("effect", effect, len(study))[0])
    first: dict[tuple[str, str], int] = {}
    for row, pair in enumerate(zip(study, labels, strict=True)):
        if pair in first:
            raise ImpossibleDataError(
                f"effect {pair[1]!r} of study {pair[0]!r} stands at positions {first[pair]} and"
                f" {row}; every row is one effect, so give each its own label"
            )
        first[pair] = row
    return tuple(labels)


def sampling_blocks(
    v: Floats,
    groups: IntArray,
    studies: tuple[str, ...],
    covariance: ArrayLike | Sequence[ArrayLike] | None,
    rho: float | None,
) -> tuple[Floats, ...]:
    """Return the sampling covariance of each study: vectors when independent, else matrices.

    Refuses ``covariance`` beside ``rho``, and what no covariance within studies can be.
    """
    rows = rows_of_groups(groups, len(studies))
    if covariance is not None and rho is not None:
        raise UsageError("give sampling_covariance or rho, not both: one of them is the model")
    if covariance is None and rho is None:
        return tuple(v[at] for at in rows)
    if rho is not None:
        check_between("rho", rho, -1.0, 1.0)
        root = np.sqrt(v)
        blocks = []
        for at in rows:
            block = rho * np.outer(root[at], root[at])
            block[np.diag_indices_from(block)] = v[at]
            blocks.append(block)
    elif (given := given_blocks(covariance, rows, studies)) is not None:
        blocks = []
        for block, at, name in zip(given, rows, studies, strict=True):
            try:
                _checked_covariance(block, v[at], groups[at])
            except ImpossibleDataError as problem:
                raise ImpossibleDataError(f"study {name!r}: {problem}") from None
            blocks.append((block + block.T) / 2)
    else:
        matrix = _checked_covariance(as_numbers("sampling_covariance", covariance), v, groups)
        blocks = [(matrix[np.ix_(at, at)] + matrix[np.ix_(at, at)].T) / 2 for at in rows]
    for block, name in zip(blocks, studies, strict=True):
        correlation = block / np.sqrt(np.outer(np.diag(block), np.diag(block)))
        if np.linalg.eigvalsh(correlation)[0] <= 1e-10:
            what = "sampling_covariance" if rho is None else f"rho = {rho:g}"
            raise NotEstimableError(
                f"{what} makes the effects of study {name!r} carry the same information"
                " (its sampling covariance is not positive definite); leave an effect out or use"
                " a correlation further from its limit"
            )
    return tuple(blocks)


def _checked_covariance(matrix: Floats, v: Floats, groups: IntArray) -> Floats:
    k = v.size
    if matrix.shape != (k, k):
        raise UsageError(f"sampling_covariance has shape {matrix.shape}; it needs ({k}, {k})")
    if not np.all(np.isfinite(matrix)):
        row, column = (int(i) for i in np.argwhere(~np.isfinite(matrix))[0])
        raise ImpossibleDataError(f"sampling_covariance[{row}, {column}] is not a finite number")
    root = np.sqrt(v)
    scaled = matrix / np.outer(root, root)
    for wrong, what in (
        (np.abs(scaled - scaled.T) > _SYMMETRY, "differs from its mirror image"),
        (np.eye(k, dtype=bool) & (np.abs(scaled - 1) > _SYMMETRY), "is not the sampling variance"),
        (
            (groups[:, None] != groups) & (scaled != 0),
            "links effects of two studies, whose sampling errors are independent",
        ),
    ):
        if np.any(wrong):
            row, column = (int(i) for i in np.argwhere(wrong)[0])
            raise ImpossibleDataError(
                f"sampling_covariance[{row}, {column}] = {matrix[row, column]:g} {what}"
            )
    return matrix
