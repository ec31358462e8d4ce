"""How much each study moves a fit: deletion diagnostics, and what it adds to Q (Baujat)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ketameta.effects.arrays import Floats, frozen
from ketameta.formatting import format_number, plural
from ketameta.models.intervals import mean_inference
from ketameta.models.least_squares import weighted_least_squares
from ketameta.models.resampling.batched import batched_inference, fit_data
from ketameta.models.results import Caveat, Columns, DrawsPlot, Line, Printed, Result
from ketameta.models.tau2 import COMMON

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects
    from ketameta.models.regression import MetaRegression


#: Rounding of a residual, in units of the estimate: metafor zeroes residuals below 100 epsilon.
ZERO_RESIDUAL = 100 * float(np.finfo(float).eps)
#: Weights that are held at once.
PIECE = 2**22
#: Words for the rules by which a study counts as influential.
RULES = ("DFFITS", "Cook's distance", "hat value", "DFBETAS")


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Influence(Result):
    """Deletion diagnostics, one entry per study in the order of the fit.

    Attributes
    ----------
    labels : tuple of str
    rstudent : ndarray of shape (k,)
        Externally studentised residual: the study against the fit without it.
    dffits : ndarray of shape (k,)
        Change of the study's own fitted value, in standard deviations.
    cooks_distance : ndarray of shape (k,)
        Squared distance between the coefficients with and without the study, in the metric of
        their covariance.
    covariance_ratio : ndarray of shape (k,)
        Determinant of the covariance without the study over that with it; below 1 the fit is more
        precise without the study.
    tau2_deleted, q_deleted : ndarray of shape (k,)
        Tau-squared and (residual) Q without the study.
    hat, weight : ndarray of shape (k,)
        Leverage, and share of the total weight.
    dfbetas : ndarray of shape (k, p)
        Change of each coefficient, in its standard errors.
    names : tuple of str of length p
    influential : ndarray of bool, shape (k,)
    reasons : tuple of tuple of str
        The rules that fired for each study, from :data:`RULES`.
    tau2_method, ci_method
        How the fit was made.
    caveats : tuple of Caveat
        ``"lone_study"`` names studies without which the design is singular; what depends on a fit
        without them is NaN.
    """

    labels: tuple[str, ...]
    rstudent: Floats
    dffits: Floats
    cooks_distance: Floats
    covariance_ratio: Floats
    tau2_deleted: Floats
    q_deleted: Floats
    hat: Floats
    weight: Floats
    dfbetas: Floats
    names: tuple[str, ...]
    influential: NDArray[np.bool_]
    reasons: tuple[tuple[str, ...], ...]
    tau2_method: str | None
    ci_method: str
    caveats: tuple[Caveat, ...]

    def printed(self) -> Printed:
        """Return the influential studies and why they are."""
        found = np.flatnonzero(self.influential).tolist()
        lines = []
        for i in found:
            numbers = (
                f"studentised residual {format_number(float(self.rstudent[i]))},"
                f" weight {100 * float(self.weight[i]):.1f}%"
            )
            lines.append(Line(f"{self.labels[i]}:", (f"{', '.join(self.reasons[i])} ({numbers})",)))
        count = plural(len(self.labels), "study", "studies")
        head = f"Influence: {count}, {len(found) or 'none'} influential"
        return Printed(head, lines, caveats=self.caveats)

    def columns(self) -> Columns:
        """Return one row per study."""
        names = ("rstudent", "dffits", "cooks_distance", "covariance_ratio", "tau2_deleted",
                 "q_deleted", "hat", "weight")  # fmt: skip
        return {
            "label": list(self.labels),
            **{name: getattr(self, name) for name in names},
            **{f"dfbetas_{name}": self.dfbetas[:, j] for j, name in enumerate(self.names)},
            "influential": self.influential,
            "reasons": ["; ".join(words) for words in self.reasons],
        }


def influence(fit: RandomEffects | MetaRegression) -> Influence:
    """Measure the influence of each study by refitting without it.

    Parameters
    ----------
    fit : RandomEffects or MetaRegression
        With at least two studies.

    Returns
    -------
    Influence

    Raises
    ------
    NotEstimableError
        With one study.

    Notes
    -----
    Equal to metafor's ``influence`` (``weight`` and ``hat`` are shares of one; metafor prints
    weights in per cent), including its rules: a study is influential when
    ``|DFFITS| > 3 sqrt(p / (k - p))``, or the lower tail of a chi-squared distribution with p
    degrees of freedom at Cook's distance exceeds 0.5, or ``hat > 3 p / k``, or any
    ``|DFBETAS| > 1``. These are conventions, not tests. All refits are one batch.

    References
    ----------
    Viechtbauer and Cheung (2010), Res. Synth. Methods 1, 112-125.
    """
    data = fit_data(fit, "influence", regression=True)
    k, tau2 = fit.k, fit.tau2 or 0.0
    design, back = _orthonormal(data.design, k)
    p = design.shape[1]
    w = 1 / (data.v + tau2)
    full = weighted_least_squares(data.y, design, w)
    covariance = mean_inference(full, data.ci_method, data.level).covariance
    hat = w * np.einsum("kp,pq,kq->k", design, full.covariance, design)
    fits = data._replace(design=None if data.design is None else design).left_out()
    scale = batched_inference(fits, data.ci_method, data.level).scale
    change = full.coefficients[:, None] - fits.coefficients
    predicted = np.einsum("kp,pk->k", design, fits.coefficients)
    variance = np.einsum("kp,pqk,kq->k", design, fits.covariance, design)
    residual = data.y - predicted
    size = np.maximum(np.abs(data.y), np.abs(predicted))
    residual = np.where(np.abs(residual) < ZERO_RESIDUAL * size, 0.0, residual)
    total = data.v + fits.tau2
    shift = design @ full.coefficients - predicted
    dffits = _ratio(shift, np.sqrt(scale * hat * total))
    spread = np.einsum("ap,pqk,aq->ak", back, _deleted_covariance(design, data.v, fits.tau2), back)
    dfbetas = _ratio(back @ change, np.sqrt(scale * spread)).T
    cook = np.full(k, np.nan)
    if np.all(np.diag(covariance) > 0):
        cook = np.einsum("pk,pq,qk->k", change, np.linalg.inv(covariance), change)
    determinants = np.full(k, np.nan)
    sound = np.moveaxis((fits.covariance * scale)[..., fits.estimable], -1, 0)
    determinants[fits.estimable] = np.linalg.det(sound)
    flags = _flags(dffits, cook, hat, dfbetas, p)
    return Influence(
        labels=data.labels,
        rstudent=frozen(_ratio(residual, np.sqrt(scale * total + scale * variance))),
        dffits=frozen(dffits),
        cooks_distance=frozen(cook),
        covariance_ratio=frozen(_ratio(determinants, np.linalg.det(covariance))),
        tau2_deleted=frozen(fits.tau2),
        q_deleted=frozen(fits.q),
        hat=frozen(hat),
        weight=frozen(w / w.sum()),
        dfbetas=frozen(dfbetas),
        names=data.names,
        influential=np.asarray(flags.any(0)),
        reasons=tuple(
            tuple(rule for rule, fired in zip(RULES, column, strict=True) if fired)
            for column in flags.T.tolist()
        ),
        tau2_method=None if data.tau2_method == COMMON else data.tau2_method,
        ci_method=data.ci_method,
        caveats=_caveats(data.labels, fits.estimable, scale),
    )


def _orthonormal(design: Floats | None, k: int) -> tuple[Floats, Floats]:
    """Return columns in which determinants lose no digits, and the way back to coefficients."""
    if design is None:
        return np.ones((k, 1)), np.ones((1, 1))
    q, r = np.linalg.qr(design)
    return q, np.linalg.inv(r)


def _deleted_covariance(design: Floats, v: Floats, tau2: Floats) -> Floats:
    """Return ``(X'WX)^-1`` of all studies at each tau-squared, shape (p, p, T)."""
    usable = np.where(np.isfinite(tau2), tau2, 0.0)
    pieces = np.array_split(usable, max(1, v.size * usable.size // PIECE))
    grams = np.concatenate([
        np.einsum("kp,kt,kq->tpq", design, 1 / (v[:, None] + piece), design) for piece in pieces
    ])  # fmt: skip
    inverted: Floats = np.moveaxis(np.asarray(np.linalg.inv(grams)), 0, -1)
    return np.where(np.isfinite(tau2), inverted, np.nan)


def _ratio(top: Floats, bottom: Floats | float) -> Floats:
    """Return a ratio, NaN where the lower part is 0 or missing."""
    bottom = np.broadcast_to(bottom, top.shape)
    out = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out


def _flags(dffits: Floats, cook: Floats, hat: Floats, dfbetas: Floats, p: int) -> NDArray[np.bool_]:
    """Return which of the four rules fire, shape (4, k); what is missing fires none."""
    k = len(hat)
    distance = np.where(np.isfinite(cook), cook, 0.0)
    return np.array(
        [
            np.abs(dffits) > 3 * np.sqrt(p / (k - p)),
            special.chdtr(p, distance) > 0.5,
            hat > 3 * p / k,
            (np.abs(dfbetas) > 1).any(1),
        ]
    )


def _caveats(
    labels: tuple[str, ...], estimable: NDArray[np.bool_], scale: Floats
) -> tuple[Caveat, ...]:
    found = []
    lone = [label for label, good in zip(labels, estimable, strict=True) if not good]
    if lone:
        found.append(
            Caveat(
                "lone_study",
                f"Without {', '.join(lone)} a coefficient cannot be estimated; what depends on"
                " leaving it out is withheld.",
            )
        )
    if np.any(scale == 0):
        found.append(
            Caveat(
                "knapp_hartung_degenerate",
                "Without some studies the others agree exactly, so that the Knapp–Hartung standard"
                " error is 0; what is divided by it is withheld.",
            )
        )
    return tuple(found)


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Baujat(DrawsPlot, Result):
    """One point per study.

    Attributes
    ----------
    labels : tuple of str
    heterogeneity : ndarray of shape (k,)
        Horizontal: squared Pearson residual; in the common-effect model the study's contribution
        to Q.
    influence : ndarray of shape (k,)
        Vertical: squared change of the study's fitted value when it is left out, in variances of
        the value without it. NaN where the fit without it does not exist.
    caveats : tuple of Caveat
    """

    drawn_as: ClassVar[str] = "baujat"

    labels: tuple[str, ...]
    heterogeneity: Floats
    influence: Floats
    caveats: tuple[Caveat, ...] = ()

    def printed(self) -> Printed:
        """Return the studies that lead on each axis."""
        lines = []
        axes = (("differs most", self.heterogeneity), ("moves most", self.influence))
        for words, values in axes:
            if np.isfinite(values).any():
                most = int(np.nanargmax(values))
                said = f"{self.labels[most]} ({format_number(float(values[most]))})"
                lines.append(Line(words, (said,)))
        head = f"Baujat: {plural(len(self.labels), 'study', 'studies')}"
        return Printed(head, lines, caveats=self.caveats)

    def columns(self) -> Columns:
        """Return one row per study."""
        names = ("heterogeneity", "influence")
        return {"label": list(self.labels), **{name: getattr(self, name) for name in names}}


def baujat(fit: RandomEffects | MetaRegression) -> Baujat:
    """Return the points of a Baujat plot.

    Parameters
    ----------
    fit : RandomEffects or MetaRegression
        With at least two studies.

    Notes
    -----
    Equal to metafor's ``baujat``; for ``common_effect`` fits these are the quantities of Baujat et
    al. (2002), Stat. Med. 21, 2641-2652.
    """
    data = fit_data(fit, "a Baujat plot", regression=True)
    design = np.ones((fit.k, 1)) if data.design is None else data.design
    variance = data.v + (fit.tau2 or 0.0)
    full = weighted_least_squares(data.y, design, 1 / variance)
    predicted = design @ full.coefficients
    fits = data.left_out()
    scale = batched_inference(fits, data.ci_method, data.level).scale
    without = np.einsum("kp,pk->k", design, fits.coefficients)
    spread = np.einsum("kp,pqk,kq->k", design, fits.covariance, design) * scale
    moved = np.full(fit.k, np.nan)
    np.divide((without - predicted) ** 2, spread, out=moved, where=spread > 0)
    lone = [label for label, good in zip(data.labels, np.isfinite(moved), strict=True) if not good]
    caveats = (
        (
            Caveat(
                "lone_study",
                f"The influence of {', '.join(lone)} is withheld: there is no fit without it.",
            ),
        )
        if lone
        else ()
    )
    return Baujat(data.labels, frozen((data.y - predicted) ** 2 / variance), frozen(moved), caveats)
