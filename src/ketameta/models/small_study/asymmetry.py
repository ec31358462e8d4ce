"""Asymmetry of the funnel: Egger's and Peters' regressions, the rank test, and what they share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Floats, as_numbers, columns
from ketameta.effects.table import Effects, is_frame, of_fit
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError, check_choice
from ketameta.formatting import format_number, format_p, plural
from ketameta.measures import MIN_STUDIES_SMALL_STUDY
from ketameta.models.intervals import (
    critical_value,
    dispersion,
    two_sided_p,
    weighted_least_squares,
)
from ketameta.models.mixed_model import fit_mixed_model
from ketameta.models.pooling import (
    common_effect,
    decimals_for,
    interval_cells,
    random_effects,
    statistic_words,
)
from ketameta.models.resampling.batched import FitData, fit_data
from ketameta.models.results import Caveat, Line, Printed, Result, stated
from ketameta.models.tau2 import COMMON, power_of_two_scale
from ketameta.models.validation import check_values, dependent_columns

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects
    from ketameta.models.regression import MetaRegression


P = ParamSpec("P")
R = TypeVar("R")

#: Words for predictors of small-study effects, and metafor's words for them. ``null_se`` is the
#: standard error of a standardised difference of 0; metafor's with ``ni = n1 * n2 / (n1 + n2)``.
PREDICTORS = {
    "se": "sei",
    "variance": "vi",
    "null_se": "sqrtninv",
    "n": "ni",
    "inverse_n": "ninv",
    "sqrt_n": "sqrtni",
    "inverse_sqrt_n": "sqrtninv",
}
PREDICTOR_WORDS = {"null_se": "the standard error without the effect"}
#: Predictors that are 0 for an infinitely large study, so that the intercept is its effect.
VANISHING = ("se", "variance", "null_se", "inverse_n", "inverse_sqrt_n")
#: Measures whose sampling variance holds ``effect**2 / (2 n)``, n the participants of the study.
OWN_EFFECT = ("SMD", "SMCR", "SMCC")


def takes_fit(test: Callable[P, R]) -> Callable[P, R]:
    """Refuse numbers where a fit is needed, with what to write instead."""

    @functools.wraps(test)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        first: Any = args[0] if args else kwargs.get("fit")
        if not isinstance(first, Effects) and (is_frame(first) or np.ndim(first) > 0):
            name = test.__name__
            raise UsageError(
                f"{name}() takes a fit, not numbers: write {name}(random_effects(estimates,"
                " variances))"
            )
        return test(*args, **kwargs)

    return call


def few_studies_caveats(k: int) -> tuple[Caveat, ...]:
    """Return the caveat of a small-study method below ten studies."""
    words = (
        f"{k} studies: below {MIN_STUDIES_SMALL_STUDY} small-study effects can neither be shown"
        " nor excluded; this is not reported on its own."
    )
    return stated((k < MIN_STUDIES_SMALL_STUDY, "too_few_for_small_study", words))


def predictor_values(data: FitData, predictor: str, sample_sizes: ArrayLike | None) -> Floats:
    """Return the predictor of each study, shape (k,), or refuse sample sizes for it."""
    if predictor == "se":
        return np.sqrt(data.v)
    if predictor == "variance":
        return data.v.copy()
    if sample_sizes is None:
        raise UsageError(f"predictor {predictor!r} needs sample_sizes=, one per study")
    sizes = sample_size_array(sample_sizes, len(data.y), data.labels)
    if predictor == "null_se":
        return np.sqrt(null_variance(data, sizes))
    root = np.sqrt(sizes) if "sqrt" in predictor else sizes
    return 1 / root if predictor.startswith("inverse") else root


def sample_size_array(values: ArrayLike, k: int, labels: Sequence[str]) -> Floats:
    """Return sample sizes as floats, or refuse them."""
    sizes = as_numbers("sample_sizes", values)
    if sizes.shape != (k,):
        raise UsageError(f"sample_sizes has shape {sizes.shape}; give one per study, ({k},)")
    bad = ~(np.isfinite(sizes) & (sizes > 0))
    check_values("sample_sizes", sizes, bad, labels, "a sample size is > 0")
    return sizes


def null_variance(data: FitData, sizes: Floats) -> Floats:
    """Return the sampling variances of standardised differences without their effects.

    ``v - g**2 / (2 n)``: for two independent arms ``1 / n1 + 1 / n2``.
    """
    if data.measure not in (None, *OWN_EFFECT):
        raise UsageError(
            f"predictor 'null_se' is for standardised differences and the fit is of"
            f" {data.measure!r}; use 'se' or 'inverse_sqrt_n'"
        )
    free: Floats = data.v - data.y**2 / (2 * sizes)
    bad = np.flatnonzero(free <= 0)
    if bad.size:
        i = int(bad[0])
        raise ImpossibleDataError(
            f"sample_sizes[{i}] ({data.labels[i]}) is {sizes[i]:g}, which is too few for an effect"
            f" of {data.y[i]:g} with variance {data.v[i]:g}; give all participants of the study"
        )
    return free


def chosen_predictor(
    data: FitData, predictor: str | None, sample_sizes: ArrayLike | None
) -> tuple[str, tuple[Caveat, ...]]:
    """Return the predictor, and a caveat where it contains the effects themselves."""
    own = data.measure in OWN_EFFECT
    if predictor is None:
        predictor = "null_se" if own and sample_sizes is not None else "se"
    check_choice("predictor", predictor, tuple(PREDICTORS))
    if not own or predictor not in ("se", "variance"):
        return predictor, ()
    return predictor, (
        Caveat(
            "se_holds_effect",
            "The standard error of a standardised difference grows with the difference itself,"
            " which looks like asymmetry; give sample_sizes= for one that does not.",
        ),
    )


def with_sizes(
    fit: RandomEffects | MetaRegression | Effects, sample_sizes: ArrayLike | Effects | None
) -> tuple[RandomEffects | MetaRegression, ArrayLike | None]:
    """Return a fit and the participants of its studies, from what effects know of both."""
    if isinstance(fit, Effects):
        sample_sizes = fit if sample_sizes is None else sample_sizes
        fit = random_effects(fit)
    elif sample_sizes is None:
        sample_sizes = getattr(fit, "source", None)
    if not isinstance(sample_sizes, Effects):
        return fit, cast("ArrayLike | None", of_fit("sample_sizes", sample_sizes, fit))
    raw = sample_sizes.raw
    if "n_treatment" in raw and "n_control" in raw:
        return fit, raw["n_treatment"] + raw["n_control"]
    return fit, raw.get("n")


def check_varies(design: Floats, predictor: str) -> None:
    """Refuse a predictor that is a combination of the columns before it."""
    if dependent_columns(design):
        raise NotEstimableError(
            f"the predictor {predictor} does not vary between the studies (or follows from the"
            " moderators), so that nothing can be regressed on it"
        )


#: Rounding of a study's deviation from a mean that is the study itself, relative to its effect.
ZERO_DEVIATION = 100 * float(np.finfo(float).eps)


class Regressed(NamedTuple):
    """A weighted regression with multiplicative dispersion; arrays hold intercept and slope."""

    coefficients: Floats
    se: Floats
    statistic: Floats
    p_value: Floats
    ci_low: Floats
    ci_high: Floats
    df: int


def weighted_line(y: Floats, design: Floats, weights: Floats, level: float) -> Regressed:
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
    return Regressed(fit.coefficients, se, statistic, p_value, low, high, fit.df)


def optional(value: float) -> float | None:
    """Return a float, or None for a number that does not exist."""
    return float(value) if np.isfinite(value) else None


def fit_words(fit: RandomEffects) -> str:
    """Return how a fit was made, for the brackets of a summary."""
    return "common effect" if fit.tau2_method is None else fit.tau2_method


#: Kinds of regression: random effects with residual heterogeneity, or a multiplied variance.
MODELS = ("mixed-effects", "weighted")
#: Most studies whose orders are all counted; the normal approximation then errs by 1e-4 at most.
MOST_RANKED = 200
#: Studies that leave one degree of freedom beside intercept and slope.
MIN_STUDIES = 3


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class EggerTest(Result):
    """A regression of effects on the size of the studies.

    Attributes
    ----------
    test : {"Egger", "Peters"}
    model, predictor : str
        What was fitted, and on what.
    k : int
    statistic, p_value : float or None
        The test that the slope is 0; None where the fit is exact.
    df : int or None
        Degrees of freedom of t; None for the normal distribution.
    slope, slope_se : float
    limit_estimate, limit_se, limit_ci_low, limit_ci_high : float or None
        Predicted effect of an infinitely large study; None for predictors that do not vanish
        there, and in a regression with moderators.
    tau2 : float or None
        Residual, of the mixed-effects model.
    level : float
    caveats : tuple of Caveat
    measure : str or None
    """

    test: str
    model: str
    predictor: str
    k: int
    statistic: float | None
    df: int | None
    p_value: float | None
    slope: float
    slope_se: float
    limit_estimate: float | None
    limit_se: float | None
    limit_ci_low: float | None
    limit_ci_high: float | None
    tau2: float | None
    level: float
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    def printed(self) -> Printed:
        """Return the test and the limit estimate."""
        test = statistic_words(self.statistic, self.df, self.p_value)
        lines = [Line("asymmetry", (test,))]
        if self.limit_estimate is not None:
            digits = decimals_for(self.limit_se or 0.0)
            ends = self.limit_estimate, self.limit_ci_low, self.limit_ci_high
            share = f"{100 * self.level:g}%"
            lines.append(Line("limit", interval_cells(self.measure, *ends, share, digits)))
        on = PREDICTOR_WORDS.get(self.predictor, self.predictor.replace("_", " "))
        head = f"{self.test}: {self.model} regression on {on}"
        return Printed(f"{head}, {plural(self.k, 'study', 'studies')}", lines, caveats=self.caveats)


@takes_fit
def egger_test(
    fit: RandomEffects | MetaRegression | Effects,
    model: str = "mixed-effects",
    predictor: str | None = None,
    sample_sizes: ArrayLike | Effects | None = None,
) -> EggerTest:
    """Test whether effects depend on the size of the studies.

    Parameters
    ----------
    fit : RandomEffects, MetaRegression or Effects
        At least one study more than coefficients of the test; moderators of a regression stay in.
        ``Effects`` are pooled first, and bring their sample sizes.
    model : {"mixed-effects", "weighted"}
        ``mixed-effects``: with residual heterogeneity, by the tau-squared and interval methods of
        the fit. ``weighted``: least squares with weights ``1 / v`` and an estimated dispersion,
        which with predictor ``se`` is the test of Egger et al. (1997).
    predictor : {"se", "variance", "null_se", "n", "inverse_n", "sqrt_n", "inverse_sqrt_n"}
        When not given, ``null_se`` for standardised differences with sample sizes, else ``se``.
        ``null_se`` is the standard error without the effect, ``sqrt(v - g**2 / (2 n))``: for two
        arms ``sqrt(1 / n1 + 1 / n2)``.
    sample_sizes : array_like of shape (k,) or Effects, optional
        Participants of each study, for the last five.

    Returns
    -------
    EggerTest
        With a caveat below ten studies, and where the predictor contains the effects.

    Raises
    ------
    NotEstimableError
        Too few studies, or studies that all have the same predictor.
    UsageError, ImpossibleDataError
        An unknown word; sample sizes that are missing or not positive.

    Notes
    -----
    Equal to metafor's ``regtest(x, model="rma" | "lm", predictor=)``. For standardised differences
    and ratios the standard error depends on the effect itself, which inflates the test; ``null_se``
    (Pustejovsky and Rodgers 2019, Res. Synth. Methods 10, 57-71), ``inverse_sqrt_n`` or, for odds
    ratios, :func:`peters_test` avoid that. metafor takes ``sei`` unless told otherwise.

    References
    ----------
    Egger, Davey Smith, Schneider and Minder (1997), BMJ 315, 629-634. Sterne et al. (2011), BMJ
    343, d4002.
    """
    check_choice("model", model, MODELS)
    fit, sizes = with_sizes(fit, sample_sizes)
    data = fit_data(fit, "a regression test", minimum=MIN_STUDIES, regression=True)
    base = np.ones((fit.k, 1)) if data.design is None else data.design
    p = base.shape[1] + 1
    if fit.k <= p:
        raise NotEstimableError(
            f"a regression test with {p} coefficients needs at least {p + 1} studies; there are"
            f" {fit.k}"
        )
    predictor, own_effect = chosen_predictor(data, predictor, sizes)
    x = predictor_values(data, predictor, sizes)
    unit = float(x.max())
    design = np.column_stack([base, x / unit])
    check_varies(design, predictor)
    df: int | None
    if model == "weighted":
        line = weighted_line(data.y, design, 1 / data.v, data.level)
        coefficients, se, df, tau2 = line.coefficients, line.se, line.df, None
        statistic, p_value, low, high = line.statistic, line.p_value, line.ci_low, line.ci_high
    else:
        found = fit_mixed_model(
            data.y, data.v, design, data.tau2_method, data.ci_method, data.level
        )
        coefficients, inference = found.coefficients, found.inference
        se, statistic, p_value = inference.se, inference.statistic, inference.p_value
        low, high, df = inference.ci_low, inference.ci_high, inference.df
        tau2 = None if data.tau2_method == COMMON else found.tau2.value
    limit = (coefficients, se, low, high) if data.design is None else ()
    return EggerTest(
        test="Egger",
        model=model,
        predictor=predictor,
        k=fit.k,
        df=df,
        tau2=tau2,
        level=data.level,
        caveats=(*few_studies_caveats(fit.k), *own_effect),
        measure=data.measure,
        **_slope(unit, statistic, p_value, coefficients, se),
        **_limit(*(limit if predictor in VANISHING else ())),
    )


def _slope(
    unit: float, statistic: Floats, p_value: Floats, coefficients: Floats, se: Floats
) -> dict[str, Any]:
    """Return the last coefficient of a regression on a predictor in a ``unit``, with its test."""
    return {
        "statistic": optional(statistic[-1]),
        "p_value": optional(p_value[-1]),
        "slope": float(coefficients[-1]) / unit,
        "slope_se": float(se[-1]) / unit,
    }


def _limit(*values: Floats) -> dict[str, Any]:
    """Return the effect of an infinitely large study, where there is one: the intercept."""
    names = ("limit_estimate", "limit_se", "limit_ci_low", "limit_ci_high")
    return dict(zip(names, [optional(value[0]) for value in values] or [None] * 4, strict=True))


@takes_fit
def peters_test(
    fit: RandomEffects | Effects,
    events_treatment: ArrayLike | Effects | None = None,
    n_treatment: ArrayLike | None = None,
    events_control: ArrayLike | None = None,
    n_control: ArrayLike | None = None,
) -> EggerTest:
    """Test whether log odds ratios depend on the size of the trials.

    Parameters
    ----------
    fit : RandomEffects or Effects
        Of log odds ratios. ``Effects`` of counts are enough on their own.
    events_treatment, n_treatment, events_control, n_control : array_like of shape (k,)
        Counts of the same studies, in the order of the fit; or ``Effects`` of the fit, whose counts
        they are: ``peters_test(fit, effects)``.

    Returns
    -------
    EggerTest
        With predictor ``inverse_n``; its limit is the effect of an infinitely large trial.
        Studies in which nobody or everybody had the event carry no weight and are named in a
        caveat.

    Raises
    ------
    UsageError
        For a fit of another measure, or lengths that differ.
    ImpossibleDataError
        Counts that no trial can have.
    NotEstimableError
        Fewer than three studies with events and non-events, or all of one size.

    Notes
    -----
    Least squares of the log odds ratio on ``1 / n`` with weights
    ``1 / (1 / events + 1 / non-events)``, both over the whole trial, and an estimated dispersion
    (Peters et al. 2006, JAMA 295, 676-680). Predictor and weights do not depend on the odds ratio,
    as those of Egger's test do. metafor has no function for it; ``lm`` in R gives the same numbers.
    """
    names = ("events_treatment", "n_treatment", "events_control", "n_control")
    source = fit if isinstance(fit, Effects) else events_treatment
    if source is None and n_treatment is None:
        source = getattr(fit, "source", None)
    if isinstance(source, Effects):
        if not all(name in source.raw for name in names):
            raise UsageError("Peters' test needs counts, and these effects hold none")
        events_treatment, n_treatment, events_control, n_control = (source.raw[x] for x in names)
    given = (events_treatment, n_treatment, events_control, n_control)
    if any(part is None or isinstance(part, Effects) for part in given):
        raise UsageError("Peters' test needs the counts of both arms, or effects computed of them")
    pooled = common_effect(fit) if isinstance(fit, Effects) else fit
    given = tuple(of_fit(name, x, pooled) for name, x in zip(names, given, strict=True))
    data = fit_data(pooled, "Peters' test", minimum=MIN_STUDIES)
    if data.measure not in (None, "OR"):
        raise UsageError(
            f"Peters' test is for log odds ratios and the fit is of {data.measure!r}; pool the"
            " odds ratios first"
        )
    counts = columns(**{name: cast("ArrayLike", x) for name, x in zip(names, given, strict=True)})
    events, sizes = _totals(counts, data.labels)
    used = (events > 0) & (events < sizes)
    if used.sum() < MIN_STUDIES:
        raise NotEstimableError(
            f"Peters' test needs at least {MIN_STUDIES} studies with both events and non-events;"
            f" there are {int(used.sum())}"
        )
    events, sizes = events[used], sizes[used]
    x = sizes.min() / sizes
    design = np.column_stack([np.ones(len(x)), x])
    check_varies(design, "1 / n")
    weights = 1 / (1 / events + 1 / (sizes - events))
    line = weighted_line(data.y[used], design, weights, data.level)
    without = [label for label, flag in zip(data.labels, used, strict=True) if not flag]
    words = f"Without events (or non-events) in both arms: {', '.join(without)}."
    return EggerTest(
        test="Peters",
        model="weighted",
        predictor="inverse_n",
        k=int(used.sum()),
        df=line.df,
        tau2=None,
        level=data.level,
        caveats=(*few_studies_caveats(int(used.sum())), *stated((without, "no_weight", words))),
        measure="OR",
        **_slope(1 / float(sizes.min()), line.statistic, line.p_value, line.coefficients, line.se),
        **_limit(line.coefficients, line.se, line.ci_low, line.ci_high),
    )


def _totals(counts: tuple[Floats, ...], labels: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Return events and participants of both arms together."""
    arms = {"treatment": counts[:2], "control": counts[2:]}
    for name, (events, n) in arms.items():
        if len(events) != len(labels):
            raise UsageError(
                f"events_{name} has {len(events)} values and the fit has {len(labels)} studies"
            )
        bad = np.flatnonzero((events < 0) | (n <= 0) | (events > n))
        if bad.size:
            i = int(bad[0])
            raise ImpossibleDataError(
                f"events_{name}[{i}] ({labels[i]}) is {events[i]:g} of {n[i]:g}; events are between"
                " 0 and the number of participants, which is > 0"
            )
    return counts[0] + counts[2], counts[1] + counts[3]


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class RankTest(Result):
    """Kendall's correlation of standardised effects and variances.

    Attributes
    ----------
    tau : float
        Tau-b where there are ties.
    p_value : float
    exact : bool
        From the distribution of all orders; False with ties or more than 200 studies, where it is
        a normal approximation.
    k : int
    caveats : tuple of Caveat
    """

    tau: float
    p_value: float
    exact: bool
    k: int
    caveats: tuple[Caveat, ...]

    def printed(self) -> Printed:
        """Return the correlation and its test."""
        how = "exact" if self.exact else "normal approximation"
        words = f"Kendall's tau = {format_number(self.tau)}, {format_p(self.p_value)} ({how})"
        head = f"RankTest: {plural(self.k, 'study', 'studies')}"
        return Printed(head, [Line("asymmetry", (words,))], caveats=self.caveats)


@takes_fit
def rank_test(fit: RandomEffects) -> RankTest:
    """Test whether effects and variances are correlated, by ranks.

    Parameters
    ----------
    fit : RandomEffects
        With at least two studies; two always have p = 1.

    Returns
    -------
    RankTest
        With a caveat below ten studies.

    Raises
    ------
    NotEstimableError
        One study, or variances (or standardised effects) that are all equal.

    Notes
    -----
    Effects are taken as deviations from the common-effect mean, divided by the standard error of
    that deviation, ``sqrt(v - 1 / sum(1 / v))``. Equal to metafor's ``ranktest``, which hands them
    to R's ``cor.test(method="kendall", exact=TRUE)``: exact without ties up to 200 studies (R goes
    on, and takes minutes with thousands), otherwise the normal approximation with tie-corrected
    variance and no continuity correction.

    References
    ----------
    Begg and Mazumdar (1994), Biometrics 50, 1088-1101. Kendall (1970), Rank Correlation Methods.
    """
    data = fit_data(fit, "a rank test")
    scale = power_of_two_scale(data.v)
    y, v = data.y / scale, data.v / scale**2
    w = 1 / v
    mean = float(w @ y / w.sum())
    deviations = y - mean
    # A study at the mean has a deviation of 0; its rounding error is not to be ranked.
    deviations[np.abs(deviations) < ZERO_DEVIATION * np.abs(y)] = 0.0
    tau, p_value, exact = kendall(deviations / np.sqrt(v - 1 / w.sum()), v)
    return RankTest(tau, p_value, exact, fit.k, few_studies_caveats(fit.k))


def kendall(x: Floats, y: Floats) -> tuple[float, float, bool]:
    """Return Kendall's tau-b, its two-sided p-value, and whether that is exact.

    Raises :class:`NotEstimableError` when all values of either are equal.
    """
    distinct = [len(np.unique(values)) for values in (x, y)]
    if min(distinct) == 1:
        raise NotEstimableError(
            "all studies have the same variance (or the same standardised effect), so that there"
            " are no ranks to correlate"
        )
    exact = min(distinct) == len(x) <= MOST_RANKED
    from scipy.stats import kendalltau

    tau, p_value = kendalltau(x, y, method="exact" if exact else "asymptotic")
    return float(tau), float(p_value), exact
