"""What a fit hands to the methods that refit it: its data and how it was made. Fits nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ketameta.errors import NotEstimableError, UsageError
from ketameta.models.batched import BatchedFits, batched_fit
from ketameta.models.gate import check_fit
from ketameta.models.least_squares import Array
from ketameta.models.tau2 import COMMON
from ketameta.numberformat import plural

if TYPE_CHECKING:
    from ketameta.models.pooled_effect import RandomEffects
    from ketameta.models.regression_result import MetaRegression


class FitData(NamedTuple):
    """Data of a fit; ``design`` is None for a mean alone."""

    y: Array
    v: Array
    design: Array | None
    names: tuple[str, ...]
    labels: tuple[str, ...]
    tau2_method: str
    ci_method: str
    level: float
    measure: str | None

    def refit(self, mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]] | None) -> BatchedFits:
        """Refit subsets of the studies, one column of ``mask`` each, as the fit was made."""
        return batched_fit(self.y, self.v, self.design, mask=mask, tau2_method=self.tau2_method)


def fit_data(
    fit: RandomEffects | MetaRegression, what: str, *, minimum: int = 2, regression: bool = False
) -> FitData:
    """Return the data of a fit for a method called ``what``.

    Raises
    ------
    NotEstimableError
        With fewer than ``minimum`` studies.
    UsageError
        For a meta-regression, unless ``regression``; or for something that is not a fit.
    """
    check_fit(fit, what, regression=regression)
    design = getattr(fit, "design", None)
    if design is not None and not regression:
        raise UsageError(
            f"{what} describes one mean effect and the fit is a meta-regression; pass the result of"
            " random_effects()"
        )
    if fit.k < minimum:
        raise NotEstimableError(
            f"{what} needs at least {minimum} studies; there {'is' if fit.k == 1 else 'are'}"
            f" {plural(fit.k, 'study', 'studies')}"
        )
    return FitData(
        np.array(fit.estimates),
        np.array(fit.variances),
        None if design is None else np.array(design),
        tuple(getattr(fit, "names", ("intercept",))),
        fit.labels,
        fit.tau2_method or COMMON,
        fit.ci_method,
        fit.level,
        fit.measure,
    )


def frozen(values: Array | Sequence[float]) -> Array:
    """Return a copy that cannot be written to."""
    copy = np.array(values, dtype=float)
    copy.setflags(write=False)
    return copy
