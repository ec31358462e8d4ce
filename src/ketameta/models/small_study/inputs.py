"""What every small-study method shares: its smallest number of studies, its weighted regression.

The tests themselves are in ``egger``, ``rank_test``, ``trim_and_fill``, ``pet_peese`` and
``selection_model``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import as_numbers
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models.intervals import critical_value, two_sided_p
from ketameta.models.least_squares import Array, dispersion, weighted_least_squares
from ketameta.models.policy import MIN_STUDIES_SMALL_STUDY
from ketameta.models.resampling.batched import FitData
from ketameta.models.results import Caveat
from ketameta.models.validation import dependent_columns

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects

#: Words for predictors of small-study effects, and metafor's words for them.
PREDICTORS = {
    "se": "sei",
    "variance": "vi",
    "n": "ni",
    "inverse_n": "ninv",
    "sqrt_n": "sqrtni",
    "inverse_sqrt_n": "sqrtninv",
}
#: Predictors that are 0 for an infinitely large study, so that the intercept is its effect.
VANISHING = ("se", "variance", "inverse_n", "inverse_sqrt_n")


def few_studies_caveats(k: int) -> tuple[Caveat, ...]:
    """Return the caveat of a small-study method below ten studies."""
    if k >= MIN_STUDIES_SMALL_STUDY:
        return ()
    return (
        Caveat(
            "too_few_for_small_study",
            f"{k} studies: below {MIN_STUDIES_SMALL_STUDY} small-study effects can neither be shown"
            " nor excluded; this is not reported on its own.",
        ),
    )


def predictor_values(data: FitData, predictor: str, sample_sizes: ArrayLike | None) -> Array:
    """Return the predictor of each study, shape (k,).

    Raises
    ------
    UsageError
        For a predictor of sample sizes without sample sizes, or too many or few of them.
    ImpossibleDataError
        A sample size that is not a positive number.
    """
    if predictor == "se":
        return np.sqrt(data.v)
    if predictor == "variance":
        return data.v.copy()
    if sample_sizes is None:
        raise UsageError(f"predictor {predictor!r} needs sample_sizes=, one per study")
    sizes = sample_size_array(sample_sizes, len(data.y), data.labels)
    root = np.sqrt(sizes) if "sqrt" in predictor else sizes
    return 1 / root if predictor.startswith("inverse") else root


def sample_size_array(values: ArrayLike, k: int, labels: Sequence[str]) -> Array:
    """Return sample sizes as floats, or refuse them."""
    sizes = as_numbers("sample_sizes", values)
    if sizes.shape != (k,):
        raise UsageError(f"sample_sizes has shape {sizes.shape}; give one per study, ({k},)")
    bad = np.flatnonzero(~(np.isfinite(sizes) & (sizes > 0)))
    if bad.size:
        i = int(bad[0])
        raise ImpossibleDataError(
            f"sample_sizes[{i}] ({labels[i]}) is {sizes[i]:g}: a sample size is > 0"
        )
    return sizes


def check_varies(design: Array, predictor: str) -> None:
    """Refuse a predictor that is a combination of the columns before it."""
    if dependent_columns(design):
        raise NotEstimableError(
            f"the predictor {predictor} does not vary between the studies (or follows from the"
            " moderators), so that nothing can be regressed on it"
        )


#: Rounding of a study's deviation from a mean that is the study itself, relative to its effect.
ZERO_DEVIATION = 100 * float(np.finfo(float).eps)


class Line(NamedTuple):
    """A weighted regression with multiplicative dispersion; arrays hold intercept and slope."""

    coefficients: Array
    se: Array
    statistic: Array
    p_value: Array
    ci_low: Array
    ci_high: Array
    df: int


def weighted_line(y: Array, design: Array, weights: Array, level: float) -> Line:
    """Regress ``y`` with weights and an estimated dispersion, as R's ``lm(y ~ x, weights=)``.

    NaN in the test where the fit is exact (a standard error of 0).
    """
    fit = weighted_least_squares(y, design, weights)
    rss = dispersion(fit.rss, float(weights @ y**2))
    se = np.sqrt(np.diag(fit.covariance) * rss / fit.df)
    statistic = np.full(se.shape, np.nan)
    np.divide(fit.coefficients, se, out=statistic, where=se > 0)
    half = np.where(se > 0, critical_value(level, fit.df) * se, np.nan)
    p_value = two_sided_p(statistic, fit.df)
    low, high = fit.coefficients - half, fit.coefficients + half
    return Line(fit.coefficients, se, statistic, p_value, low, high, fit.df)


def optional(value: float) -> float | None:
    """Return a float, or None for a number that does not exist."""
    return float(value) if np.isfinite(value) else None


def fit_words(fit: RandomEffects) -> str:
    """Return how a fit was made, for the brackets of a summary."""
    return "common effect" if fit.tau2_method is None else fit.tau2_method
