"""The random-effects linear model as arrays: tau-squared, weights, coefficients, inference.

One light call, without labels or printing; ``pooling`` and ``regression`` build their results on
it and take their caveats from here, those of the small-k policy (what is done with none, one, two
or three studies) among them, and loops over subsets may call it directly. Inputs are taken as
checked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import special

from ketameta.effects.arrays import Floats
from ketameta.formatting import format_significant, steady
from ketameta.measures import FEW_STUDIES
from ketameta.models.intervals import (
    Inference,
    LeastSquares,
    Tau2Interval,
    dispersion,
    mean_inference,
    q_profile,
    weighted_least_squares,
)
from ketameta.models.results import Caveat, Group, group
from ketameta.models.tau2 import (
    COMMON,
    Search,
    Tau2,
    log_likelihood_of,
    prepared,
    projection,
    search_tau2,
    standard_error,
)


class MixedModel(NamedTuple):
    """A fitted model: ``coefficients`` (p,), their ``inference``, weights ``w = 1 / (v + tau2)``.

    ``least_squares`` is the weighted regression before any Knapp-Hartung factor; ``tau2`` is
    without its standard error, which :meth:`tau2_se` gives.
    """

    coefficients: Floats
    inference: Inference
    least_squares: LeastSquares
    tau2: Tau2
    w: Floats
    data: Search
    tau2_method: str
    ci_method: str

    def tau2_se(self) -> float | None:
        """Return the standard error of tau-squared; None in the common-effect model."""
        if self.tau2_method == COMMON:
            return None
        square = self.data.scale**2
        return standard_error(self.data, self.tau2_method, self.tau2.value / square) * square


def fit_mixed_model(
    y: Floats,
    v: Floats,
    design: Floats,
    tau2_method: str = "REML",
    ci_method: str = "knapp-hartung-conservative",
    level: float = 0.95,
) -> MixedModel:
    """Fit ``y = design @ beta + u + e`` with ``var(u) = tau2`` and ``var(e) = v``.

    Shapes (k,), (k,) and (k, p); ``tau2_method`` as in :func:`ketameta.models.tau2.estimate_tau2`
    (``"common"`` for no tau-squared), ``ci_method`` as in
    :func:`ketameta.models.intervals.mean_inference`.
    """
    data = prepared(y, v, design)
    found = search_tau2(data, tau2_method)
    tau2 = found._replace(value=found.value * data.scale**2)
    w = 1 / (v + tau2.value)
    ls = weighted_least_squares(y, design, w)
    inference = mean_inference(ls, ci_method, level)
    return MixedModel(ls.coefficients, inference, ls, tau2, w, data, tau2_method, ci_method)


class Heterogeneity(NamedTuple):
    """Statistics of heterogeneity; shares are of one, not per cent.

    Cochran's ``q`` (residual in a regression); ``i2`` and ``h2`` from tau-squared and the
    ``typical_variance``, as metafor does; ``i2_q`` and ``h2_q`` from Q, as RevMan did before 2024
    and as PyMARE and meta do.
    """

    q: float
    q_df: int
    q_p_value: float
    i2: float
    h2: float
    i2_q: float
    h2_q: float
    typical_variance: float


def heterogeneity(y: Floats, v: Floats, design: Floats, tau2: float | None) -> Heterogeneity:
    """Return Q and the statistics derived from it and from tau-squared.

    Parameters
    ----------
    y, v : ndarray of shape (k,)
        Estimates and sampling variances.
    design : ndarray of shape (k, p)
        Full rank, p < k.
    tau2 : float or None
        The estimate to describe; None for the common-effect model, whose ``i2`` and ``h2`` are
        those from Q.

    Notes
    -----
    ``i2 = tau2 / (tau2 + s2)`` and ``h2 = 1 + tau2 / s2``, with the typical variance
    ``s2 = (k - p) / tr(P)`` of Higgins and Thompson (2002, eq. 9), extended to regressions by
    the projection matrix; this is metafor's definition. ``i2_q = (Q - df) / Q``, not below 0, and
    ``h2_q = Q / df`` are theirs too (the same paper); the two agree when tau-squared is the
    DerSimonian-Laird estimate.

    References
    ----------
    Higgins and Thompson (2002), Stat. Med. 21, 1539-1558.
    """
    return heterogeneity_of(prepared(y, v, design), tau2)


def heterogeneity_of(data: Search, tau2: float | None) -> Heterogeneity:
    """Return :func:`heterogeneity` of prepared data; ``tau2`` is in the unit of the effect."""
    k, p = data.basis.shape
    df = k - p
    at = projection(data, 0.0)
    q = dispersion(at.rss, float((data.effects / data.v) @ data.effects))
    typical = df / at.trace * data.scale**2
    i2_q = max(0.0, (q - df) / q) if q > 0 else 0.0
    h2_q = q / df
    if tau2 is None:
        i2, h2 = i2_q, h2_q
    else:
        i2, h2 = tau2 / (tau2 + typical), 1 + tau2 / typical
    return Heterogeneity(q, df, float(special.chdtrc(df, q)), i2, h2, i2_q, h2_q, typical)


class FitStatistics(NamedTuple):
    """``log_likelihood, deviance, aic, bic, aicc`` by metafor's definitions."""

    log_likelihood: float
    deviance: float
    aic: float
    bic: float
    aicc: float


def fit_statistics(
    data: Search, tau2: float, *, restricted: bool, parameters: int
) -> FitStatistics:
    """Return the log-likelihood and information criteria at ``tau2``.

    Restricted for REML, full for every other method. The deviance of a full likelihood is taken
    from the saturated model, that of a restricted one from zero; BIC and AICc count k or k - p
    observations. ``parameters`` counts the coefficients and, when it is estimated, tau-squared.
    """
    k, p = data.basis.shape
    value = log_likelihood_of(data, tau2, restricted=restricted)
    n = k - p if restricted else k
    v = data.v * data.scale**2
    saturated = 0.0 if restricted else -0.5 * float(np.log(2 * np.pi * v).sum())
    enough = max(n, parameters + 2)
    return FitStatistics(
        value,
        -2 * (value - saturated),
        -2 * value + 2 * parameters,
        -2 * value + parameters * float(np.log(n)),
        -2 * value + 2 * parameters * enough / (enough - parameters - 1),
    )


# --- what may be said with few studies ------------------------------------------------------------


class SmallKRule(NamedTuple):
    """The rule that fired: a ``code`` for tests and templates, a ``sentence`` for the report."""

    code: str
    sentence: str


def small_k_rule(k: int, p: int = 1, *, common: bool = False) -> SmallKRule:
    """Return what the policy says about ``k`` studies and ``p`` coefficients.

    ``common`` for a model without between-study variance, which predicts nothing.
    """
    if k == 0:
        return SmallKRule("no_studies", "No eligible trials: nothing is estimated.")
    if k == 1:
        return SmallKRule(
            "single_study",
            "One study: its own result is shown; nothing is pooled and the variance between"
            " studies cannot be estimated.",
        )
    if common:
        return SmallKRule("common_effect", f"{k} studies: pooled as if all shared one true effect.")
    if k == 2:
        return SmallKRule(
            "two_studies",
            "Two studies: the Wald and the conservative Knapp–Hartung interval are shown side by"
            " side; no prediction interval.",
        )
    if k - p - 1 < 1:
        return SmallKRule(
            "no_prediction",
            f"{k} studies and {p} coefficients leave no degrees of freedom for a prediction"
            " interval.",
        )
    return SmallKRule(
        "pooled",
        f"{k} studies: pooled, with a prediction interval from t with {k - p - 1} degrees of"
        " freedom.",
    )


def small_k_caveats(k: int, p: int = 1, *, common: bool = False) -> tuple[Caveat, ...]:
    """Return the caveats that follow from the number of studies alone."""
    rule = small_k_rule(k, p, common=common)
    usual = rule.code in ("pooled", "common_effect")
    found = [] if usual else [Caveat(rule.code, rule.sentence)]
    if 2 <= k < FEW_STUDIES and not common:
        found.append(
            Caveat(
                "few_studies",
                f"{k} studies are too few to estimate the variance between studies well; the"
                " interval is only as good as that estimate.",
            )
        )
    return tuple(found)


#: Estimates further apart than this share of themselves are not the same to the last digit.
ALIKE = 1e-9
#: Ratio of the largest to the smallest variance above which weights lose half their digits.
EXTREME_RATIO = 1e7
#: A Knapp-Hartung factor from here on prints as 1.00: rounding of an estimate for which it is 1.
PRINTS_AS_ONE = 0.9995


def data_caveats(y: Floats, v: Floats, labels: tuple[str, ...]) -> tuple[Caveat, ...]:
    """Return caveats about the numbers themselves: identical rows, extreme variances."""
    found = []
    order = np.argsort(y, kind="stable")
    near = np.diff(y[order]) <= ALIKE * np.abs(y[order][1:])
    pairs: dict[tuple[float, float], list[int]] = {}
    for at in np.sort(order[np.append(near, False) | np.append(False, near)]).tolist():
        pairs.setdefault((steady(float(y[at])), steady(float(v[at]))), []).append(at)
    same = [group for group in pairs.values() if len(group) > 1]
    if same:
        listed = "; ".join(", ".join(labels[at] for at in group) for group in same)
        found.append(
            Caveat(
                "identical_studies",
                f"{listed} have the same estimate and variance to the last digit; check that no"
                " trial is entered twice.",
            )
        )
    if v.max() > EXTREME_RATIO * v.min():
        found.append(
            Caveat(
                "extreme_variances",
                f"The largest sampling variance is {v.max() / v.min():.1e} times the smallest;"
                " check for a standard error entered as a variance.",
            )
        )
    return tuple(found)


def interval_caveats(model: MixedModel, ci_method: str) -> tuple[Caveat, ...]:
    """Return caveats about the interval of the mean: floored, narrowed or withheld."""
    if ci_method == "wald":
        return ()
    factor = model.least_squares.rss / model.least_squares.df
    if factor >= PRINTS_AS_ONE:
        return ()
    if ci_method == "knapp-hartung-conservative":
        return (
            Caveat(
                "knapp_hartung_floored",
                f"The Knapp–Hartung factor on the variance is {format_significant(factor)}, below"
                " 1; it was set to 1, so that the interval is not narrowed.",
            ),
        )
    if not np.all(model.inference.se > 0):
        return (
            Caveat(
                "knapp_hartung_degenerate",
                "The studies agree exactly, so that the Knapp–Hartung standard error is 0; test"
                " and interval are withheld.",
            ),
        )
    return (
        Caveat(
            "knapp_hartung_narrower",
            f"The Knapp–Hartung standard error is {format_significant(float(np.sqrt(factor)))}"
            " times the Wald one: the interval may be too narrow.",
        ),
    )


def tau2_caveats(
    model: MixedModel, tau2_method: str, interval: Tau2Interval | None
) -> tuple[Caveat, ...]:
    """Return caveats about tau-squared: at zero, several maxima, an interval that misses it."""
    if tau2_method == COMMON:
        return ()
    found = []
    value, _, maxima, gap = model.tau2
    if value == 0:
        found.append(
            Caveat(
                "tau2_zero",
                "The variance between studies is estimated as 0, the lowest possible value; that is"
                " not evidence that the studies share one effect.",
            )
        )
    if gap is not None:
        found.append(
            Caveat(
                "several_maxima",
                f"The likelihood has {maxima} maxima; the highest is reported, {gap:.2g} above the"
                " next in log-likelihood.",
            )
        )
    if interval is None:
        return tuple(found)
    if interval.empty:
        found.append(
            Caveat(
                "tau2_interval_empty",
                "The studies differ less than sampling error alone would make likely; no value of"
                " tau-squared fits at this level, so that it has no interval.",
            )
        )
    elif not interval.low <= value <= interval.high:
        found.append(
            Caveat(
                "tau2_outside_interval",
                "The estimate of tau-squared lies outside its Q-profile interval; the two weight"
                " the studies differently.",
            )
        )
    return tuple(found)


class Derived:
    """What follows from a fitted model and is computed when somebody asks."""

    def __init__(self, fit: MixedModel, level: float, labels: tuple[str, ...]) -> None:
        self.fit, self.level, self.labels = fit, level, labels
        self.common = fit.tau2_method == COMMON

    @cached_property
    def heterogeneity(self) -> Heterogeneity:
        """Q and what is made from it and from tau-squared."""
        return heterogeneity_of(self.fit.data, None if self.common else self.fit.tau2.value)

    @cached_property
    def interval(self) -> Tau2Interval | None:
        """The Q-profile interval of tau-squared; None in the common-effect model."""
        return None if self.common else q_profile(self.fit.data, self.level)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The ends of that interval; None also where no tau-squared fits."""
        return None if self.interval is None or self.interval.empty else self.interval[:2]

    def heterogeneity_as(self, *names: str) -> tuple[object, ...]:
        """Return fields of the heterogeneity."""
        return tuple(getattr(self.heterogeneity, name) for name in names)

    def caveats(self, more: Callable[[], tuple[Caveat, ...]] = tuple) -> tuple[Caveat, ...]:
        """Return every caveat of a fit, ``more`` after those about the data."""
        fit, (k, p) = self.fit, self.fit.data.basis.shape
        y, v = fit.data.effects * fit.data.scale, fit.data.v * fit.data.scale**2
        return (
            *small_k_caveats(k, p, common=self.common),
            *data_caveats(y, v, self.labels),
            *more(),
            *interval_caveats(fit, fit.ci_method),
            *tau2_caveats(fit, fit.tau2_method, self.interval),
        )

    def groups(self, more: Callable[[], tuple[Caveat, ...]] = tuple) -> dict[str, Group]:
        """Return the fields that pooled effects and regressions share, with what computes them."""
        fit, (k, p) = self.fit, self.fit.data.basis.shape

        def likelihood() -> tuple[object, ...]:
            restricted, parameters = fit.tau2_method == "REML", p + (not self.common)
            return fit_statistics(
                fit.data, fit.tau2.value, restricted=restricted, parameters=parameters
            )

        return {
            **group(FitStatistics._fields, likelihood),
            **group(("tau2_ci_low", "tau2_ci_high"), lambda: self.bounds or (None, None)),
            **group(("tau2_se",), lambda: (fit.tau2_se(),)),
            **group(("caveats",), lambda: (self.caveats(more),)),
            **group(("rule",), lambda: (small_k_rule(k, p, common=self.common).sentence,)),
        }
