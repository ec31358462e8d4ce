"""What remains of a pooled effect without each study in turn.

Also the table of refits that the cumulative meta-analysis shares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ketameta.formatting import format_interval, format_percent, plural
from ketameta.models.pooling import decimals_for, number_words, reader_words, scale_words
from ketameta.models.resampling.batched import (
    BatchedFits,
    FitData,
    batched_inference,
    fit_data,
    frozen,
)
from ketameta.models.results import Caveat, Columns, DrawsForest, Line, Printed, Result
from ketameta.models.tau2 import COMMON

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects

FloatArray = NDArray[np.float64]

COLUMNS = (
    "estimate",
    "se",
    "statistic",
    "df",
    "p_value",
    "ci_low",
    "ci_high",
    "q",
    "q_p_value",
    "tau2",
    "i2",
    "h2",
)


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
    estimate: FloatArray
    se: FloatArray
    statistic: FloatArray
    df: FloatArray
    p_value: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    q: FloatArray
    q_p_value: FloatArray
    i2: FloatArray
    h2: FloatArray
    tau2: FloatArray | None
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
    fields = refit_fields(fit, data, data.left_out())
    caveats = _caveats(fit, data.labels, fields["ci_low"], fields["ci_high"])
    return LeaveOneOut(labels=data.labels, caveats=caveats, **fields)


def _caveats(
    fit: RandomEffects, labels: tuple[str, ...], low: FloatArray, high: FloatArray
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


def refit_fields(fit: RandomEffects, data: FitData, fits: BatchedFits) -> dict[str, Any]:
    """Return the fields of :class:`Refits` from the fits to subsets."""
    found = batched_inference(fits, data.ci_method, data.level)
    common = data.tau2_method == COMMON
    df = np.maximum(fits.df, 1)
    q_p_value = np.where(fits.df > 0, special.chdtrc(df, fits.q), 1.0)
    return {
        "studies": fits.k,
        "estimate": frozen(fits.estimate),
        "se": frozen(found.se[0]),
        "statistic": frozen(found.statistic[0]),
        "df": frozen(found.df),
        "p_value": frozen(found.p_value[0]),
        "ci_low": frozen(found.ci_low[0]),
        "ci_high": frozen(found.ci_high[0]),
        "q": frozen(fits.q),
        "q_p_value": frozen(q_p_value),
        "i2": frozen(fits.i2),
        "h2": frozen(fits.h2),
        "tau2": None if common else frozen(fits.tau2),
        "full_estimate": fit.estimate,
        "full_ci_low": fit.ci_low,
        "full_ci_high": fit.ci_high,
        "measure": data.measure,
        "tau2_method": None if common else data.tau2_method,
        "ci_method": data.ci_method,
        "level": data.level,
    }
