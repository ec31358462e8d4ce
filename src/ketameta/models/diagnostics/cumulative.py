"""How a pooled effect develops as studies are added one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ketameta.errors import UsageError
from ketameta.formatting import plural
from ketameta.models.diagnostics.leave_one_out import Refits, refit_fields
from ketameta.models.pooling import decimals_for, interval_cells
from ketameta.models.resampling.batched import fit_data
from ketameta.models.results import Caveat, Line, Printed

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects


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
    return Cumulative(
        labels=tuple(data.labels[i] for i in positions.tolist()),
        positions=positions,
        caveats=caveats if fit.k > 1 else (),
        **refit_fields(fit, data, data.refit(mask)),
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
