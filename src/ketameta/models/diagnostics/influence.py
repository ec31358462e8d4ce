"""How much each study moves a fit: deletion diagnostics, Baujat's plot, and refits in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats, frozen
from ketameta.effects.table import of_fit
from ketameta.errors import CallError, UsageError
from ketameta.formatting import format_interval, format_number, format_percent, plural
from ketameta.models.intervals import mean_inference, weighted_least_squares
from ketameta.models.pooling import (
    decimals_for,
    interval_cells,
    number_words,
    reader_words,
    scale_words,
)
from ketameta.models.resampling.batched import (
    BatchedFits,
    FitData,
    batched_inference,
    fit_data,
)
from ketameta.models.results import (
    Caveat,
    Columns,
    DrawsForest,
    DrawsPlot,
    Line,
    Printed,
    Result,
)
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

    def plot(self, *_: Any, **__: Any) -> NoReturn:
        """Say which plots show the influence of studies."""
        raise CallError(
            "deletion diagnostics have no plot of their own: fit.baujat() and"
            " leave_one_out(fit).forest() show the influence of each study, .to_frame() all numbers"
        )

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
    design, back = np.ones((k, 1)), np.ones((1, 1))  # the way back to coefficients
    if data.design is not None:
        design, triangle = np.linalg.qr(data.design)  # determinants then lose no digits
        back = np.linalg.inv(triangle)
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
    # What is missing fires none of the four rules.
    flags = np.array(
        [
            np.abs(dffits) > 3 * np.sqrt(p / (k - p)),
            special.chdtr(p, np.where(np.isfinite(cook), cook, 0.0)) > 0.5,
            hat > 3 * p / k,
            (np.abs(dfbetas) > 1).any(1),
        ]
    )
    caveats = _lone(
        data.labels,
        fits.estimable,
        "Without {} a coefficient cannot be estimated; what depends on leaving it out is withheld.",
    )
    if np.any(scale == 0):
        message = (
            "Without some studies the others agree exactly, so that the Knapp–Hartung standard"
            " error is 0; what is divided by it is withheld."
        )
        caveats = (*caveats, Caveat("knapp_hartung_degenerate", message))
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
        caveats=caveats,
    )


def _deleted_covariance(design: Floats, v: Floats, tau2: Floats) -> Floats:
    """Return ``(X'WX)^-1`` of all studies at each tau-squared, shape (p, p, T)."""
    usable = np.where(np.isfinite(tau2), tau2, 0.0)
    pieces = np.array_split(usable, max(1, v.size * usable.size // PIECE))
    k, p = design.shape
    pairs = (design[:, :, None] * design[:, None, :]).reshape(k, p * p)
    grams = np.concatenate([1 / (piece[:, None] + v) @ pairs for piece in pieces])
    grams = grams.reshape(-1, p, p)
    inverted: Floats = np.moveaxis(np.asarray(np.linalg.inv(grams)), 0, -1)
    return np.where(np.isfinite(tau2), inverted, np.nan)


def _ratio(top: Floats, bottom: Floats | float) -> Floats:
    """Return a ratio, NaN where the lower part is 0 or missing."""
    bottom = np.broadcast_to(bottom, top.shape)
    out = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out


def _lone(labels: tuple[str, ...], good: NDArray[np.bool_], message: str) -> tuple[Caveat, ...]:
    """Return a caveat that names the studies without which there is no fit."""
    lone = ", ".join(label for label, flag in zip(labels, good, strict=True) if not flag)
    return (Caveat("lone_study", message.format(lone)),) if lone else ()


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
    framed: ClassVar[tuple[str, ...]] = ("label=labels", "heterogeneity", "influence")

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
    moved = _ratio((without - predicted) ** 2, spread)
    message = "The influence of {} is withheld: there is no fit without it."
    caveats = _lone(data.labels, np.isfinite(moved), message)
    return Baujat(data.labels, frozen((data.y - predicted) ** 2 / variance), frozen(moved), caveats)


# --- refits without each study in turn, or to the first one, two, and so on -----------------------

COLUMNS = ("estimate", "se", "statistic", "df", "p_value", "ci_low", "ci_high", "q", "q_p_value",
           "tau2", "i2", "h2")  # fmt: skip
AnyRefits = TypeVar("AnyRefits", bound="Refits")


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Refits(DrawsForest, Result):
    """A pooled effect refitted to several subsets of its studies; arrays have one entry each.

    Attributes
    ----------
    labels : tuple of str
        What was left out, or added, in each refit.
    studies : ndarray of int
        Studies in each refit.
    estimate, se, statistic, p_value, ci_low, ci_high : ndarray
        By the method of the fit. Statistic, p-value and bounds are NaN where a plain
        Knapp-Hartung standard error is 0; one study has its Wald test.
    df : ndarray
        Degrees of freedom of t; infinite for the normal distribution.
    q, q_p_value, i2, h2 : ndarray
    tau2 : ndarray or None
        None for the common-effect model.
    full_estimate, full_ci_low, full_ci_high : float or None
        Of all studies.
    measure, tau2_method, ci_method, level
        How the fit was made; ``tau2_method`` is None for the common-effect model.
    caveats : tuple of Caveat
    """

    labels: tuple[str, ...]
    studies: NDArray[np.intp]
    estimate: Floats
    se: Floats
    statistic: Floats
    df: Floats
    p_value: Floats
    ci_low: Floats
    ci_high: Floats
    q: Floats
    q_p_value: Floats
    i2: Floats
    h2: Floats
    tau2: Floats | None
    full_estimate: float
    full_ci_low: float | None
    full_ci_high: float | None
    measure: str | None
    tau2_method: str | None
    ci_method: str
    level: float
    caveats: tuple[Caveat, ...]

    def printed_as(self, kind: str, lines: Sequence[Line]) -> Printed:
        """Return printed lines under the head of a refit."""
        how = "" if self.tau2_method is None else f", {self.tau2_method}"
        head = f"{kind}: {plural(len(self.labels), 'study', 'studies')}{how}"
        return Printed(head, lines, caveats=self.caveats)

    def columns(self) -> Columns:
        """Return one row per refit."""
        found = {name: getattr(self, name) for name in COLUMNS}
        if self.tau2 is None:
            found["tau2"] = np.full(len(self.labels), np.nan)
        return {"label": list(self.labels), "k": self.studies, **found}


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class LeaveOneOut(Refits):
    """Refits without each study in turn; ``labels`` are the studies left out."""

    def printed(self) -> Printed:
        """Return the range of the estimates and the study that changes most."""
        digits = decimals_for(float(np.median(self.se)))
        change = np.abs(self.estimate - self.full_estimate)
        most = int(np.argmax(change))
        low, high = float(self.estimate.min()), float(self.estimate.max())

        def words(value: float) -> str:
            return number_words(self.measure, float(value), low, high, digits)

        read = reader_words(self.measure, low, low, high)
        between = format_interval(low, high, digits)
        if read is not None:
            between = f"{read[1]} ({scale_words(self.measure)} {between})"
        spread = [format_percent(float(end), 1) for end in (self.i2.min(), self.i2.max())]
        moved = f"{self.labels[most]}: {words(self.estimate[most])}"
        lines = [
            Line("pooled", (f"{between} without one study; {words(self.full_estimate)} with all",)),
            Line("changes", (f"most without {moved}",)),
            Line("I²", (" to ".join(spread),)),
        ]
        return self.printed_as("LeaveOneOut", lines)


def leave_one_out(fit: RandomEffects) -> LeaveOneOut:
    """Refit a pooled effect without each of its studies in turn.

    Parameters
    ----------
    fit : RandomEffects
        From ``random_effects`` or ``common_effect``, with at least two studies.

    Returns
    -------
    LeaveOneOut
        One entry per study, in the order of the fit. A caveat names the studies without which the
        interval no longer, or newly, excludes 0.

    Raises
    ------
    NotEstimableError
        With one study.
    UsageError
        For a meta-regression; :func:`ketameta.influence` takes those.

    Notes
    -----
    Equal to metafor's ``leave1out``; ``i2`` is a share of one there per cent. All refits are one
    batch.

    Examples
    --------
    >>> from ketameta.models.pooling import random_effects
    >>> fit = random_effects([0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02])
    >>> leave_one_out(fit).estimate.round(3).tolist()
    [0.474, 0.38, 0.364, 0.228]
    """
    data = fit_data(fit, "leave-one-out")
    found = _refitted(LeaveOneOut, fit, data, data.left_out(), labels=data.labels, caveats=())
    if fit.ci_low is None or fit.ci_high is None:
        return found
    excluded = fit.ci_low > 0 or fit.ci_high < 0
    changed = ((found.ci_low > 0) | (found.ci_high < 0)) != excluded
    changed &= np.isfinite(found.ci_low)
    if not changed.any():
        return found
    names = ", ".join(label for label, flag in zip(data.labels, changed, strict=True) if flag)
    now, then = ("excludes", "includes") if excluded else ("includes", "excludes")
    message = f"The interval of all studies {now} 0; it {then} 0 without {names}."
    return dataclasses.replace(found, caveats=(Caveat("hinges_on_one_study", message),))


def _refitted(
    kind: type[AnyRefits], fit: RandomEffects, data: FitData, fits: BatchedFits, **more: object
) -> AnyRefits:
    """Return the refits to subsets as a result of one kind."""
    found = batched_inference(fits, data.ci_method, data.level)
    common = data.tau2_method == COMMON
    q_p_value = np.where(fits.df > 0, special.chdtrc(np.maximum(fits.df, 1), fits.q), 1.0)
    tests = ("se", "statistic", "p_value", "ci_low", "ci_high")
    fields: dict[str, object] = {
        "studies": fits.k,
        **{name: frozen(getattr(fits, name)) for name in ("estimate", "q", "i2", "h2")},
        **{name: frozen(getattr(found, name)[0]) for name in tests},
        "df": frozen(found.df),
        "q_p_value": frozen(q_p_value),
        "tau2": None if common else frozen(fits.tau2),
        "full_estimate": fit.estimate,
        "full_ci_low": fit.ci_low,
        "full_ci_high": fit.ci_high,
        "measure": data.measure,
        "tau2_method": None if common else data.tau2_method,
        "ci_method": data.ci_method,
        "level": data.level,
    }
    return kind(**fields, **more)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Cumulative(Refits):
    """Refits to the first one, two, ... studies; ``labels`` are the studies added.

    Attributes
    ----------
    positions : ndarray of int, shape (k,)
        Where each added study stands in the fit.
    """

    positions: NDArray[np.intp]

    def printed(self) -> Printed:
        """Return where the estimate stood at the start, half-way and at the end."""
        digits = decimals_for(float(np.median(self.se)))
        count, share, lines = len(self.labels), f"{100 * self.level:g}%", []
        for at in dict.fromkeys((0, (count - 1) // 2, count - 1)):
            y, low, high = (float(x[at]) for x in (self.estimate, self.ci_low, self.ci_high))
            name = f"{plural(at + 1, 'study', 'studies')} (+ {self.labels[at]})"
            lines.append(Line(name, interval_cells(self.measure, y, low, high, share, digits)))
        return self.printed_as("Cumulative", lines)


def cumulative(fit: RandomEffects, order: Sequence[object] | ArrayLike | None = None) -> Cumulative:
    """Refit a pooled effect to the first study, the first two, and so on.

    Parameters
    ----------
    fit : RandomEffects
    order : sequence of length k or the name of a column, optional
        What to sort the studies by, such as their years; equal values keep the order of the fit.
        The order of the fit when not given.

    Returns
    -------
    Cumulative
        The first entry is the first study itself, with its Wald interval.

    Raises
    ------
    UsageError
        If ``order`` has another length, missing values or values that cannot be compared.

    Notes
    -----
    Equal to metafor's ``cumul(x, order=)``. A cumulative meta-analysis tests the same data again
    and again; its intervals are not adjusted for that, and a caveat says so (Pogue and Yusuf 1997,
    Control. Clin. Trials 18, 580-593).
    """
    data = fit_data(fit, "a cumulative meta-analysis", minimum=1)
    if order is not None:
        order = of_fit("order", order, fit)
    positions = np.arange(fit.k) if order is None else _sorted(order, fit.k)
    caveats = (
        Caveat(
            "repeated_looks",
            "The intervals along a cumulative meta-analysis are not adjusted for looking again"
            " after every study.",
        ),
    )
    return _refitted(
        Cumulative,
        fit,
        data,
        data.grown(positions),
        labels=tuple(data.labels[i] for i in positions.tolist()),
        positions=positions,
        caveats=caveats if fit.k > 1 else (),
    )


def _sorted(order: Sequence[object] | ArrayLike, k: int) -> NDArray[np.intp]:
    keys = np.asarray(order).ravel()
    if keys.size != k:
        raise UsageError(f"order has {keys.size} values and the fit has {k} studies; give one each")
    missing = [i for i, key in enumerate(keys.tolist()) if key is None or key != key]
    if missing:
        raise UsageError(
            f"order[{missing[0]}] is missing; every study needs a value to be sorted by"
        )
    words = {isinstance(key, str) for key in np.asarray(order, dtype=object).ravel().tolist()}
    if len(words) > 1:
        raise UsageError("order cannot be sorted: it holds words and numbers; give one kind")
    try:
        return np.argsort(keys, kind="stable")
    except TypeError as problem:
        raise UsageError(f"order cannot be sorted: {problem}") from None
