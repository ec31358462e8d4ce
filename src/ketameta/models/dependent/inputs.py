"""From lists to the sorted, scaled and rotated arrays of a three-level model. Fits nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.effects.arrays import as_numbers
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models.dependent.likelihood import Rotated, rotate
from ketameta.models.dependent.sampling_covariance import (
    check_between,
    check_groups,
    given_blocks,
    rows_of_groups,
)
from ketameta.models.design import INTERCEPT, build_design
from ketameta.models.validation import checked_inputs

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
#: Covariances may differ from their mirror image by rounding, relative to the variances.
_SYMMETRY = 1e-8
#: Largest distance between effects, in smallest standard errors, at which sums over studies still
#: have half of their sixteen digits (they lose the square of it).
_FURTHEST = 1e4


class MultilevelData(NamedTuple):
    """Checked arrays in the order given, and the same data prepared for the likelihood.

    Attributes
    ----------
    y, v : ndarray of shape (k,)
    design : ndarray of shape (k, p)
    names, labels, study : tuple of str
        Columns of the design, effect labels, study labels.
    studies : tuple of str
        Different studies in order of appearance.
    groups : ndarray of shape (k,)
        Index of the study of each effect.
    blocks : tuple of ndarray
        Sampling covariance of each study; a vector where independent.
    order : ndarray of shape (k,)
        Rows sorted by study.
    unit : float
        Power of two that the prepared data were divided by.
    triangle : ndarray of shape (p, p)
        ``design = basis @ triangle`` with an orthonormal basis.
    fitted : ndarray of shape (p,)
        Least squares coefficients for the basis, in units of ``unit``.
    rotated : Rotated
    """

    y: FloatArray
    v: FloatArray
    design: FloatArray
    names: tuple[str, ...]
    labels: tuple[str, ...]
    study: tuple[str, ...]
    studies: tuple[str, ...]
    groups: IntArray
    blocks: tuple[FloatArray, ...]
    order: IntArray
    unit: float
    triangle: FloatArray
    fitted: FloatArray
    rotated: Rotated


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
    """Check everything a three-level model takes and prepare it.

    Parameters as in :func:`ketameta.multilevel`; raises what it documents.
    """
    k = as_numbers("estimates", estimates).size
    study_labels, studies, groups = check_groups("study", study, k)
    labels = _effect_labels(effect, study_labels)
    design, columns = _design(moderators, names, formula, intercept, labels)
    inputs = checked_inputs(
        estimates, variances, labels, design=design, names=columns, repeated_labels="allow"
    )
    y, v, design = inputs.y, inputs.v, inputs.design
    _check_levels(k, studies)
    order = np.argsort(groups, kind="stable")
    blocks = sampling_blocks(v, groups, studies, sampling_covariance, rho)
    unit = float(2.0 ** np.round(0.5 * np.log2(np.median(v))))
    basis, triangle = np.linalg.qr(design)
    scaled = y / unit
    fitted = basis.T @ scaled
    residual = scaled - basis @ fitted
    correction = basis.T @ residual
    fitted, residual = fitted + correction, residual - basis @ correction
    _check_reach(float(np.ptp(residual)) * unit, v)
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
    )


def _check_reach(spread: float, v: FloatArray) -> None:
    """Refuse effects so far apart that their distances leave no digits to sampling errors."""
    least = float(np.sqrt(v.min()))
    if spread > _FURTHEST * least:
        raise NotEstimableError(
            f"the estimates are up to {spread:.3g} apart, and the smallest standard error is"
            f" {least:.3g}: their ratio is beyond double precision; check the units of both"
        )


def _design(
    moderators: Any,
    names: Sequence[str] | None,
    formula: str | None,
    intercept: bool,
    labels: tuple[str, ...],
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return a design of shape (k, p) and its column names."""
    k = len(labels)
    if moderators is None:
        if formula is not None:
            raise UsageError("formula needs moderators: a DataFrame that holds its variables")
        if not intercept:
            raise UsageError("intercept=False without moderators leaves nothing to estimate")
        return np.ones((k, 1)), (INTERCEPT,)
    built = build_design(moderators, formula, names, intercept=intercept, labels=labels)
    if len(built.matrix) != k:
        raise UsageError(f"moderators has {len(built.matrix)} rows where {k} are needed")
    return built.matrix, built.names


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


def _check_levels(k: int, studies: tuple[str, ...]) -> None:
    if len(studies) < 2:
        raise NotEstimableError(
            f"study has one value ({studies[0]!r}); the variance between studies needs two"
        )
    if len(studies) == k:
        raise NotEstimableError(
            "every study has one effect, so the two levels are one; use random_effects()"
        )


def sampling_blocks(
    v: FloatArray,
    groups: IntArray,
    studies: tuple[str, ...],
    covariance: ArrayLike | Sequence[ArrayLike] | None,
    rho: float | None,
) -> tuple[FloatArray, ...]:
    """Return the sampling covariance of each study: vectors when independent, else matrices.

    Raises
    ------
    UsageError
        Both ``covariance`` and ``rho``, a shape that does not fit, or rho outside (-1, 1).
    ImpossibleDataError
        A covariance that is not symmetric, that has other variances on its diagonal, or that links
        two studies.
    NotEstimableError
        A block that is not positive definite.
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


def _checked_covariance(matrix: FloatArray, v: FloatArray, groups: IntArray) -> FloatArray:
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
