"""Step-function selection model: the mean effect if significant studies were likelier to be seen.

The likelihood is in ``selection_model_likelihood``, the search in ``selection_model_search``, the
result class in ``selection_model_result``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.arrays import as_numbers
from ketameta.errors import NotEstimableError, UsageError, check_choice
from ketameta.models.heterogeneity import log_likelihood
from ketameta.models.influence_inputs import fit_data, frozen
from ketameta.models.intervals import critical_value, two_sided_p
from ketameta.models.least_squares import Array, power_of_two_scale
from ketameta.models.results import Caveat
from ketameta.models.selection_model_likelihood import SelectionData, selection_data
from ketameta.models.selection_model_result import SelectionModel
from ketameta.models.selection_model_search import HIGHEST_WEIGHT, Maximum, global_maximum
from ketameta.models.small_study import few_studies_caveats
from ketameta.models.tau2 import COMMON, estimate_tau2
from ketameta.numberformat import format_significant, plural

if TYPE_CHECKING:
    from ketameta.models.pooled_effect import RandomEffects

__all__ = ["SelectionModel", "selection_model"]

#: Which effects have small one-sided p-values.
ALTERNATIVES = ("greater", "less")
#: Studies in an interval below which its weight says little.
FEW_IN_INTERVAL = 4


def selection_model(
    fit: RandomEffects, steps: ArrayLike = (0.025,), alternative: str | None = None
) -> SelectionModel:
    """Fit a selection model with a step function of the one-sided p-value.

    Parameters
    ----------
    fit : RandomEffects
        At least as many studies as parameters: mean, tau-squared and one weight per step.
    steps : sequence of float
        Between 0 and 1. ``(0.025,)`` is the three-parameter model: significant in the favoured
        direction, or not.
    alternative : {"greater", "less"}, optional
        The favoured direction; that of the estimate when not given.

    Returns
    -------
    SelectionModel
        With caveats: below ten studies, few studies in an interval, a weight at its bound, several
        maxima.

    Raises
    ------
    NotEstimableError
        Too few studies, an interval of p-values other than the first without a study, or a search
        that does not converge.
    UsageError
        Steps that are not numbers between 0 and 1, an unknown direction.

    Notes
    -----
    The model of Vevea and Hedges (1995, Psychometrika 60, 419-435), by full maximum likelihood
    whatever the tau-squared method of the fit; a common-effect fit keeps tau-squared at 0. As
    metafor's ``selmodel(x, type="stepfun")``, with weights of at most 100; without a single
    significant study the weights run to that bound, which a caveat says. The likelihood may have
    several maxima: every one of some hundred starts is climbed, and the best is reported with the
    gap to the next. metafor climbs once, from the unadjusted fit, and stops below the best on the
    trials of magnesium (li2007: log-likelihood -23.753 instead of -23.200, and a mean of -0.236
    instead of 0.023). Does not depend on the unit of the effect.

    Standard errors are of the free parameters: a tau-squared of 0 and weights at their bound are
    held. The interval is Wald and optimistic with few studies; the likelihood-ratio test is
    approximate where tau-squared is 0 or a weight is at its bound.
    """
    bounds = _checked_steps(steps)
    data = fit_data(fit, "a selection model")
    if alternative is None:
        alternative = "greater" if fit.estimate > 0 else "less"
    check_choice("alternative", alternative, ALTERNATIVES)
    common = data.tau2_method == COMMON
    needed = 1 + (not common) + len(bounds)
    if fit.k < needed:
        raise NotEstimableError(
            f"a selection model with {needed} parameters needs at least {needed} studies; there are"
            f" {fit.k}"
        )
    sign = 1.0 if alternative == "greater" else -1.0
    scale = power_of_two_scale(data.v)
    seen = selection_data(sign * data.y / scale, data.v / scale**2, bounds)
    _check_intervals(seen.counts, bounds)
    ones = np.ones((fit.k, 1))
    tau2 = estimate_tau2(data.y, data.v, ones, COMMON if common else "ML").value
    w = 1 / (data.v + tau2)
    mean = float(w @ data.y / w.sum())
    plain = log_likelihood(data.y, data.v, ones, tau2, restricted=False)
    best = global_maximum(seen, sign * mean / scale, tau2 / scale**2, fixed_tau2=common)
    value = best.value - fit.k * float(np.log(scale))
    lrt = max(0.0, 2 * (value - plain))
    spread = _standard_errors(best)
    weights = np.concatenate([[1.0], np.exp(best.point[2:])])
    estimate, se = sign * float(best.point[0]) * scale, float(spread[0]) * scale
    half = critical_value(data.level, None) * se
    known = bool(np.isfinite(se))
    return SelectionModel(
        steps=tuple(bounds.tolist()),
        alternative=alternative,
        interval_counts=tuple(int(count) for count in seen.counts),
        selection_weights=frozen(weights),
        selection_weight_se=frozen(np.concatenate([[np.nan], weights[1:] * spread[2:]])),
        estimate=estimate,
        se=se if known else None,
        statistic=estimate / se if known else None,
        p_value=float(two_sided_p(np.array(estimate / se), None)) if known else None,
        ci_low=estimate - half if known else None,
        ci_high=estimate + half if known else None,
        tau2=None if common else float(best.point[1]) * scale**2,
        log_likelihood=value,
        log_likelihood_unadjusted=plain,
        lrt=lrt,
        lrt_df=len(bounds),
        lrt_p_value=float(special.chdtrc(len(bounds), lrt)),
        maxima=best.maxima,
        gap=best.gap,
        next_estimate=None if best.second is None else sign * float(best.second[0]) * scale,
        starts=best.starts,
        unadjusted=fit.estimate,
        unadjusted_ml=mean,
        k=fit.k,
        level=data.level,
        measure=data.measure,
        caveats=(
            *few_studies_caveats(fit.k),
            *_caveats(best, seen, sign * scale, known=known),
        ),
    )


def _checked_steps(steps: ArrayLike) -> Array:
    bounds = np.unique(np.atleast_1d(as_numbers("steps", steps)))
    if bounds.ndim != 1 or bounds.size == 0 or not np.all((bounds > 0) & (bounds < 1)):
        raise UsageError(
            f"steps is {steps!r}; give one-sided p-values between 0 and 1, as (0.025,)"
        )
    return bounds


def _check_intervals(counts: Array, bounds: Array) -> None:
    empty = 1 + np.flatnonzero(counts[1:] == 0)
    if not empty.size:
        return
    edges = [0.0, *bounds.tolist(), 1.0]
    listed = ", ".join(f"{edges[j]:g} to {edges[j + 1]:g}" for j in empty.tolist())
    raise NotEstimableError(
        f"no study has a one-sided p-value in {listed}, so that its chance of being seen cannot be"
        f" estimated; studies per interval: {[int(count) for count in counts]}. Choose other steps"
    )


def _standard_errors(best: Maximum) -> Array:
    """Return standard errors from the observed information, NaN where there are none."""
    found = np.full(best.free.size, np.nan)
    information = -best.hessian[np.ix_(best.free, best.free)]
    unit = np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information / np.outer(unit, unit)
    if np.linalg.eigvalsh(scaled).min() > 1e-10:
        found[best.free] = np.sqrt(np.diag(np.linalg.inv(scaled))) / unit
    return found


def _caveats(best: Maximum, seen: SelectionData, unit: float, *, known: bool) -> tuple[Caveat, ...]:
    found = []
    if best.gap is not None and best.second is not None:
        found.append(
            Caveat(
                "several_maxima",
                f"The likelihood has {best.maxima} maxima; the highest is reported,"
                f" {best.gap:.2g} above the next in log-likelihood, where the mean is"
                f" {format_significant(float(best.second[0]) * unit)}.",
            )
        )
    if not best.free[2:].all():
        found.append(
            Caveat(
                "weight_at_bound",
                "The likelihood rises towards a selection weight without limit (or to 0); it is"
                f" held between 0.00001 and {HIGHEST_WEIGHT:g}, and the estimate depends on that.",
            )
        )
    fewest = int(seen.counts.min())
    if seen.counts[0] == 0:
        found.append(
            Caveat(
                "no_significant_study",
                "No study is significant in the favoured direction, so that the weights of the"
                " others relative to such studies cannot be estimated; the adjusted effect is that"
                " of the bound on them.",
            )
        )
    elif fewest < FEW_IN_INTERVAL:
        found.append(
            Caveat(
                "few_in_interval",
                f"An interval of p-values holds {plural(fewest, 'study', 'studies')} only; its"
                " weight rests on that.",
            )
        )
    if not known:
        found.append(
            Caveat(
                "no_standard_error",
                "The likelihood is flat at its maximum; standard error and interval are withheld.",
            )
        )
    return tuple(found)
