"""A pooled effect refitted: without each study in turn, or to the first one, two, and so on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats, frozen
from ketameta.effects.table import check_labelled
from ketameta.errors import UsageError
from ketameta.formatting import format_interval, format_percent, plural
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
from ketameta.models.results import Caveat, Columns, DrawsForest, Line, Printed, Result
from ketameta.models.tau2 import COMMON

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects


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
    caveats = _caveats(fit, data.labels, found.ci_low, found.ci_high)
    return dataclasses.replace(found, caveats=caveats)


def _caveats(
    fit: RandomEffects, labels: tuple[str, ...], low: Floats, high: Floats
) -> tuple[Caveat, ...]:
    if fit.ci_low is None or fit.ci_high is None:
        return ()
    excluded = fit.ci_low > 0 or fit.ci_high < 0
    changed = ((low > 0) | (high < 0)) != excluded
    changed &= np.isfinite(low)
    if not changed.any():
        return ()
    names = ", ".join(label for label, flag in zip(labels, changed, strict=True) if flag)
    return (
        Caveat(
            "hinges_on_one_study",
            f"The interval of all studies {'excludes' if excluded else 'includes'} 0; it"
            f" {'includes' if excluded else 'excludes'} 0 without {names}.",
        ),
    )


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
    order : sequence of length k, optional
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
        check_labelled("order", order, data.labels)
    positions = np.arange(fit.k) if order is None else _sorted(order, fit.k)
    ranks = np.empty(fit.k, dtype=int)
    ranks[positions] = np.arange(fit.k)
    mask = ranks[:, None] <= np.arange(fit.k)
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
        data.refit(mask),
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
