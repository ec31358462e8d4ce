"""Pools studies into one mean effect: the random-effects and the common-effect model.

Holds the result, its printed lines and its intervals side by side, and one door for any number
of studies, none included (:func:`pool`). The rules for few studies are in ``policy``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ketameta.effects.arrays import Floats, as_numbers, frozen
from ketameta.effects.door import takes_effects
from ketameta.effects.table import Effects
from ketameta.errors import UsageError, check_choice
from ketameta.formatting import (
    format_estimate,
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_significant,
    plural,
)
from ketameta.measures import (
    CI_METHODS,
    MIN_STUDIES_PREDICTION,
    Measure,
    display_words,
    measure_code,
    measure_entry,
)
from ketameta.models.intervals import (
    check_level,
    critical_value,
    mean_inference,
    prediction_bounds,
    two_sided_p,
    weighted_least_squares,
)
from ketameta.models.mixed_model import (
    Derived,
    fit_mixed_model,
    small_k_caveats,
    small_k_rule,
)
from ketameta.models.results import (
    Caveat,
    Chapter,
    DrawsBaujat,
    DrawsForest,
    DrawsFunnel,
    Lazy,
    Line,
    Printed,
    Reports,
    Result,
    computed,
    group,
    interval_sentence,
)
from ketameta.models.tau2 import COMMON, ESTIMATORS, check_tau2_method
from ketameta.models.validation import Inputs, checked_inputs

METHOD_WORDS = {
    "wald": "Wald",
    "knapp-hartung": "Knapp–Hartung",
    "knapp-hartung-conservative": "Knapp–Hartung (conservative)",
}


@dataclasses.dataclass(frozen=True, slots=True)
class MeanInterval:
    """One interval of the mean; bounds, statistic and p are None where withheld."""

    ci_method: str
    estimate: float
    se: float
    statistic: float | None
    df: int | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class IntervalTable(Result):
    """Several intervals of one mean.

    Attributes
    ----------
    rows : tuple of MeanInterval
        Wald, Knapp-Hartung and conservative Knapp-Hartung, in that order.
    level : float
    """

    rows: tuple[MeanInterval, ...]
    level: float

    def printed(self) -> Printed:
        """Return one line per interval."""
        lines = []
        for row in self.rows:
            cells: tuple[str, ...] = ("withheld: the standard error is 0",)
            if row.ci_low is not None:
                cells = (format_interval(row.ci_low, row.ci_high), format_p(row.p_value))
            lines.append(Line(METHOD_WORDS[row.ci_method], cells))
        return Printed(f"Intervals of the mean, {100 * self.level:g}%", lines)


def mean_intervals(fit: RandomEffects) -> IntervalTable:
    """Return the intervals of a fit by every method, at its level and tau-squared.

    A single study has only its own (Wald) interval.
    """
    design = np.ones((fit.k, 1))
    w = 1 / (fit.variances + (fit.tau2 or 0.0))
    if fit.k == 1:
        names = (field.name for field in dataclasses.fields(MeanInterval))
        return IntervalTable((MeanInterval(**{n: getattr(fit, n) for n in names}),), fit.level)
    ls = weighted_least_squares(fit.estimates, design, w)
    rows = []
    for method in CI_METHODS:
        found = mean_inference(ls, method, fit.level)
        rows.append(MeanInterval(method, float(ls.coefficients[0]), **found.at(0)))
    return IntervalTable(tuple(rows), fit.level)


#: The scale that is pooled, by transformation.
SCALE_WORDS = {
    "identity": "effect",
    "log": "log scale",
    "logit": "log odds",
    "fisher_z": "Fisher's z",
    "arcsine": "arcsine",
    "double_arcsine": "2x arcsine",
}


def measure_words(measure: str | None) -> str:
    """Return a measure in words as it is read, such as ``risk ratio``; ``effect`` when unknown."""
    entry = measure_entry(measure)
    if entry is None:
        return "effect" if measure is None else measure
    if entry.transformation == "identity":
        return entry.label
    return f"{entry.label[0].lower()}{entry.label[1:]}"


def reader_words(
    measure: str | None,
    estimate: float | None,
    low: float | None,
    high: float | None,
    variances: Any = None,
) -> tuple[str, str] | None:
    """Return an estimate and its interval as they are read; None where that is the pooled scale."""
    entry = measure_entry(measure)
    if entry is None or entry.transformation == "identity" or low is None:
        return None
    parts = [entry.to_reader(value, variances) for value in (estimate, low, high)]
    return None if np.isnan(parts).any() else display_words(measure, *map(float, parts))


def scale_words(measure: str | None) -> str:
    """Return the name of the scale that is pooled, such as ``log scale``."""
    entry = measure_entry(measure)
    return SCALE_WORDS["identity" if entry is None else entry.transformation]


def both_scales(
    measure: str | None,
    estimate: float,
    low: float | None,
    high: float | None,
    digits: int,
    variances: Any = None,
) -> str:
    """Return ``0.49 [0.33, 0.73] (log scale -0.71)``, or the estimate and interval alone."""
    read = reader_words(measure, estimate, low, high, variances)
    if read is None:
        return format_estimate(estimate, low, high, digits)
    beside = f"{scale_words(measure)} {format_number(estimate, digits)}"
    return f"{read[0]} [{read[1].replace(' to ', ', ')}] ({beside})"


def number_words(
    measure: str | None, value: float, low: float | None, high: float | None, digits: int
) -> str:
    """Return one number as it is read, with the digits that its interval deserves."""
    read = reader_words(measure, value, low, high)
    return format_number(value, digits) if read is None else read[0]


def value_words(measure: str | None, value: float, digits: int = 2, variances: Any = None) -> str:
    """Return one value of the pooled scale as it is read: ``odds ratio 2.23 (log 0.80)``."""
    own, scale = format_number(value, digits), scale_words(measure).removesuffix(" scale")
    read = reader_words(measure, value, value, value, variances)
    if read is not None:
        return f"{measure_words(measure)} {read[0]} ({scale} {own})"
    return own if scale == SCALE_WORDS["identity"] else f"{scale} {own}"


def decimals_for(se: float) -> int:
    """Return decimals that show two significant figures of a standard error, at least two."""
    if not (math.isfinite(se) and se > 0):
        return 2
    return min(12, max(2, 1 - math.floor(math.log10(se))))


def statistic_words(statistic: float | None, df: float | None, p_value: float | None) -> str:
    """Return a test in words, such as ``t(12) = -3.95, p = 0.002``."""
    if statistic is None:
        return "no test"
    name = "z" if df is None else f"t({df if isinstance(df, int) else format_number(df, 1)})"
    return f"{name} = {format_number(statistic)}, {format_p(p_value)}"


def joint_words(
    statistic: float | None, df: int | None, df2: int | None, p_value: float | None, none: str
) -> str:
    """Return a joint test, such as ``F(2, 10) = 4.96, p = 0.032``, or what is said without one."""
    if statistic is None:
        return none
    name = f"χ²({df})" if df2 is None else f"F({df}, {df2})"
    return f"{name} = {format_number(statistic)}, {format_p(p_value)}"


def interval_cells(
    measure: str | None,
    estimate: float,
    low: float | None,
    high: float | None,
    share: str,
    digits: int,
    variances: Any = None,
) -> tuple[str, ...]:
    """Return ``0.49``, ``95% CI 0.33 to 0.73 (log scale -0.71)``; an interval may be withheld."""
    middle = format_number(estimate, digits)
    read = reader_words(measure, estimate, low, high, variances)
    if read is not None:
        return read[0], f"{share} CI {read[1]} ({scale_words(measure)} {middle})"
    return middle, f"{share} CI {'withheld' if low is None else format_interval(low, high, digits)}"


def heterogeneity_words(
    fit: Any, q: float, df: int | None, p_value: float | None, share: str = ""
) -> str:
    """Return tau-squared with its interval (``share`` says which), I-squared and Q in words."""
    spread = []
    if fit.tau2 is not None:
        bounds = "no value fits"
        if fit.tau2_ci_low is not None:
            ends = (format_significant(b) for b in (fit.tau2_ci_low, fit.tau2_ci_high))
            bounds = f"{share}{' to '.join(ends)}"
        spread.append(f"τ² = {format_significant(fit.tau2)} ({bounds})")
    origin = " (from Q)" if fit.tau2 is None and isinstance(fit, RandomEffects) else ""
    spread.append(f"I² = {format_percent(fit.i2, 1)}{origin}")
    return ", ".join([*spread, f"Q({df}) = {format_number(q, 1)}, {format_p(p_value)}"])


def plural_measure(measure: str | None) -> str:
    """Return a measure in words, several of it: ``risk ratios``, ``ratios of means``."""
    words = measure_words(measure).partition(" (")[0]
    words = words if words.isupper() else f"{words[0].lower()}{words[1:]}"
    head, of, rest = words.partition(" of ")
    return f"{head}s{of}{rest}"


def own_scale(measure: str | None) -> str:
    """Return `` (as logarithms)`` and its like; nothing where the reader's scale is pooled."""
    entry = measure_entry(measure)
    if entry is None or entry.transformation == "identity":
        return ""
    return " (as logarithms)" if entry.transformation == "log" else f" (as {entry.pooled_label})"


def study_rows(fit: Any) -> list[list[str]]:
    """Return the table of studies: estimate, interval and weight, on the scale that is read."""
    z = critical_value(fit.level, None)
    rows = [["Study", measure_words(fit.measure), f"{100 * fit.level:g}% CI", "Weight"]]
    entry = measure_entry(fit.measure)
    columns = (fit.labels, fit.estimates, fit.variances, fit.weights)
    for label, y, v, weight in zip(*columns, strict=True):
        parts = [float(y), float(y - z * np.sqrt(v)), float(y + z * np.sqrt(v))]
        if entry is not None:
            parts = [float(entry.to_reader(part, np.array([v]))) for part in parts]
        words = display_words(fit.measure, *parts)
        rows.append([str(label), *words, format_percent(float(weight), 1)])
    return rows


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class RandomEffects(Lazy, DrawsForest, DrawsFunnel, DrawsBaujat, Reports, Result):
    """A pooled effect; its repr is the sentence that opens a results paragraph.

    Attributes
    ----------
    model : {"random", "common"}
    k : int
        Number of studies; of contrasts where ``trials`` is given.
    estimate, se : float
        The mean effect, in the unit of the estimates, and its standard error.
    statistic, df, p_value : float, int, float or None
        The test that the mean is 0; ``df`` is None for the normal distribution. Statistic and
        p-value are None where they do not exist (a standard error of 0).
    ci_low, ci_high : float or None
        Interval of the mean at ``level`` by ``ci_method``.
    pi_low, pi_high, pi_df : float, float, int or None
        Prediction interval (t with k - 2 degrees of freedom); None below three studies.
    tau2, tau2_se : float or None
        Between-study variance; None when it is not estimated (one study, common effect).
    tau2_ci_low, tau2_ci_high : float or None
        Q-profile interval at ``level``; None where no tau-squared fits (a caveat says so).
    i2, h2, i2_ci_low, i2_ci_high : float or None
        From tau-squared and the typical sampling variance (metafor's definition); shares of one.
    i2_q, h2_q : float or None
        From Q.
    q, q_df, q_p_value : float, int, float or None
        Cochran's Q.
    log_likelihood, deviance, aic, bic, aicc : float or None
        Restricted for REML, full otherwise.
    weights : ndarray of shape (k,)
        Shares of one.
    estimates, variances : ndarray of shape (k,)
    labels : tuple of str
    measure : str or None
        Code of the effect measure, such as ``"SMD"``.
    tau2_method, ci_method, level, rule
        How the fit was made; ``rule`` is the sentence of the small-k policy.
    caveats : tuple of Caveat
    trials : int or None
        Studies behind the contrasts, where one gives several; None where each effect is a study.
    source : Effects or None
        What the fit was made of, with its frame; None for a fit of arrays.
    """

    not_serialised: ClassVar[tuple[str, ...]] = ("trials", "source")
    framed: ClassVar[tuple[str, ...]] = (
        "model", "measure", "k", "estimate", "se", "statistic", "df", "p_value", "ci_low",
        "ci_high", "pi_low", "pi_high", "tau2", "tau2_ci_low", "tau2_ci_high", "i2", "h2", "q",
        "q_df", "q_p_value", "tau2_method", "ci_method", "level",
    )  # fmt: skip

    model: str
    k: int
    estimate: float
    se: float
    statistic: float | None
    df: int | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    pi_low: float | None
    pi_high: float | None
    pi_df: int | None
    tau2: float | None
    tau2_se: float | None
    tau2_ci_low: float | None
    tau2_ci_high: float | None
    i2: float | None
    h2: float | None
    i2_ci_low: float | None
    i2_ci_high: float | None
    i2_q: float | None
    h2_q: float | None
    q: float | None
    q_df: int | None
    q_p_value: float | None
    log_likelihood: float | None
    deviance: float | None
    aic: float | None
    bic: float | None
    aicc: float | None
    weights: Floats
    estimates: Floats
    variances: Floats
    labels: tuple[str, ...]
    measure: str | None
    tau2_method: str | None
    ci_method: str
    level: float
    rule: str
    caveats: tuple[Caveat, ...]
    trials: int | None = None
    source: Effects | None = None

    @property
    def counted(self) -> str:
        """What was pooled, counted: ``13 studies``, or ``2 contrasts of 1 study``."""
        if self.trials is None:
            return plural(self.k, "study", "studies")
        return f"{plural(self.k, 'contrast')} of {plural(self.trials, 'study', 'studies')}"

    @property
    def tau(self) -> float | None:
        """Standard deviation of the true effects, in the unit of the estimates."""
        return None if self.tau2 is None else float(np.sqrt(self.tau2))

    def intervals(self) -> IntervalTable:
        """Return the Wald, Knapp-Hartung and conservative intervals side by side."""
        return mean_intervals(self)

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years, for a methods section."""
        share = f"{100 * self.level:g}%"
        effects = f"{plural_measure(self.measure)}{own_scale(self.measure)}"
        if self.k == 1:
            words = [f"One study was found: its own {share} Wald interval is shown, and nothing was"
                     " pooled."]  # fmt: skip
        else:
            model = "random-effects" if self.model == "random" else "common-effect"
            words = [
                f"The {effects} of {self.counted} were pooled in a {model} model, weighted by"
                " inverse variances."
            ]
            if self.tau2_method is not None:
                words.append(
                    f"The variance between studies (τ²) was estimated by"
                    f" {ESTIMATORS[self.tau2_method].words}"
                    f", with a Q-profile interval (Viechtbauer 2007)."
                )
            words.append(interval_sentence(self, "the mean"))
            words.append(
                "Heterogeneity is described by Cochran's Q and I² (Higgins and Thompson 2002)."
            )
        if self.pi_low is not None:
            words.append(
                f"The {share} prediction interval for the true effect of a new study is from t with"
                f" {plural(self.pi_df or 0, 'degree')} of freedom (Higgins, Thompson and"
                " Spiegelhalter 2009)."
            )
        made = self.source
        if made is not None and made.constant is not None and made.corrected.any():
            some = f"{int(made.corrected.sum())} of {self.counted}"
            words.insert(0, f"To the counts of {some}, {made.constant:g} was added.")
        return computed(words)

    def _read(self, low: float | None, high: float | None) -> tuple[str, str] | None:
        return reader_words(self.measure, self.estimate, low, high, self.variances)

    def _tested(self, before: str = "") -> str:
        """Return the test; one group has no value of no effect to be tested against."""
        entry = measure_entry(self.measure)
        if entry is not None and entry.null is None:
            return ""
        return before + statistic_words(self.statistic, self.df, self.p_value)

    def _other_intervals(self, digits: int) -> list[Line]:
        """Return the intervals that the rule for two studies shows beside that of the fit."""
        if self.model == "common" or self.k != 2:
            return []
        lines = []
        for row in self.intervals().rows:
            if row.ci_method in {"wald", "knapp-hartung-conservative"} - {self.ci_method}:
                read = self._read(row.ci_low, row.ci_high)
                shown = (
                    format_interval(row.ci_low, row.ci_high, digits) if read is None else read[1]
                )
                shown = "withheld" if row.ci_low is None else shown
                words = f"{100 * self.level:g}% CI {shown}"
                lines.append(Line(METHOD_WORDS[row.ci_method], (words,)))
        return lines

    def findings(self) -> Chapter:
        """Return what was found, in numbers; the second chapter of :meth:`report`."""
        digits, share = decimals_for(self.se), f"{100 * self.level:g}%"
        ends = self.estimate, self.ci_low, self.ci_high
        cells = interval_cells(self.measure, *ends, share, digits, self.variances)
        name = measure_words(self.measure)
        name = name if name.isupper() else f"{name[0].lower()}{name[1:]}"
        which = "pooled " if self.k > 1 else ""
        lines = [f"The {which}{name} is {', '.join(cells)}{self._tested('; ')}."]
        if self.pi_low is not None:
            read = self._read(self.pi_low, self.pi_high)
            bounds = format_interval(self.pi_low, self.pi_high, digits) if read is None else read[1]
            lines.append(f"The true effect of a new study is expected from {bounds} ({share} PI).")
        if self.q is not None:
            words = heterogeneity_words(self, self.q, self.q_df, self.q_p_value, f"{share} CI ")
            lines.append(f"Between studies: {words}.")
        return Chapter("Results", lines, study_rows(self))

    def printed(self) -> Printed:
        """Return the printed lines."""
        digits, share = decimals_for(self.se), f"{100 * self.level:g}%"
        kind = "RandomEffects" if self.model == "random" else "CommonEffect"
        how = [measure_words(self.measure), self.counted]
        if self.k > 1:
            how += [] if self.tau2_method is None else [self.tau2_method]
            how.append(METHOD_WORDS[self.ci_method])
        bounds, predicted = "withheld", None
        if self.ci_low is not None:
            bounds = format_interval(self.ci_low, self.ci_high, digits)
        if self.pi_low is not None:
            predicted = format_interval(self.pi_low, self.pi_high, digits)
        middle = format_number(self.estimate, digits)
        own = (middle, f"{share} CI {bounds}", *([f"{share} PI {predicted}"] if predicted else []))
        read = self._read(self.ci_low, self.ci_high)
        if read is not None:
            middle, bounds = read
            new = self._read(self.pi_low, self.pi_high)
            predicted = None if new is None else new[1]
        first = "pooled" if self.k > 1 else "study"
        lines = [Line(first, (middle, f"{share} CI {bounds}"), self._tested())]
        if predicted is not None:
            lines.append(Line("next study", (f"{share} PI {predicted} (t, {self.pi_df} df)",)))
        if read is not None:
            lines.append(Line(scale_words(self.measure), own))
        lines += self._other_intervals(digits)
        if self.q is not None:
            spread = heterogeneity_words(self, self.q, self.q_df, self.q_p_value)
            lines.append(Line("between", (spread,)))
        return Printed(f"{kind}: {', '.join(how)}", lines, caveats=self.caveats)


@takes_effects()
def random_effects(
    estimates: ArrayLike,
    variances: ArrayLike,
    tau2_method: str = "REML",
    ci_method: str = "knapp-hartung-conservative",
    level: float = 0.95,
    labels: Sequence[object] | ArrayLike | None = None,
    measure: Measure | str | None = None,
    *,
    repeated_labels: str = "refuse",
) -> RandomEffects:
    """Pool independent studies in a random-effects model.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        Effects and their sampling variances, k >= 1. Instead of the two: ``Effects`` of
        :func:`~ketameta.effect_sizes`, or a data frame with ``estimate=`` and
        ``variance=`` (or ``se=``) naming its columns; ``labels=`` may then name one too.
    tau2_method : {"DL", "PM", "HE", "HS", "SJ", "ML", "REML", "EB"}
        See :func:`ketameta.models.tau2.estimate_tau2`.
    ci_method : {"wald", "knapp-hartung", "knapp-hartung-conservative"}
        See :func:`ketameta.models.intervals.mean_inference`.
    level : float
        Of every interval.
    labels : sequence of length k, optional
        One label per study; a repeated label is refused unless ``repeated_labels="allow"``.
    measure : Measure or str, optional
        What the estimates are: results print the scale that is read (ratios, proportions,
        correlations) first, and ``display_estimate`` and its like give it.

    Returns
    -------
    RandomEffects
        With one study the study itself: Wald interval, no tau-squared, a caveat.

    Raises
    ------
    ImpossibleDataError, NotEstimableError, UsageError
        See :func:`ketameta.models.validation.checked_inputs`. For an empty list use
        :func:`pool`.

    Notes
    -----
    Equal to metafor's ``rma(yi, vi, method=tau2_method, test="z" | "knha" | "adhoc")``, with three
    differences: results do not depend on the unit of the effect, likelihoods are searched
    completely, and the prediction interval has k - 2 degrees of freedom rather than k - 1.
    PyMARE 0.0.13 gives the same mean and interval (to its search tolerance of 1e-6 in tau-squared)
    and defines I-squared from Q.

    Examples
    --------
    >>> fit = random_effects([0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02])
    >>> round(fit.estimate, 4), round(fit.ci_low, 4), round(fit.ci_high, 4)
    (0.3658, -0.052, 0.7836)
    """
    check_tau2_method(tau2_method)
    inputs = checked_inputs(estimates, variances, labels, repeated_labels=repeated_labels)
    return _pooled(inputs, tau2_method, ci_method, level, measure)


@takes_effects()
def common_effect(
    estimates: ArrayLike,
    variances: ArrayLike,
    ci_method: str = "wald",
    level: float = 0.95,
    labels: Sequence[object] | ArrayLike | None = None,
    measure: Measure | str | None = None,
    *,
    repeated_labels: str = "refuse",
) -> RandomEffects:
    """Pool studies under the assumption that all share one true effect.

    Parameters as in :func:`random_effects`. ``tau2`` and the prediction interval are None;
    ``i2`` and ``h2`` are those from Q, as metafor's for ``method="EE"``.

    Examples
    --------
    >>> fit = common_effect([0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02])
    >>> round(fit.estimate, 4), round(fit.ci_low, 4), round(fit.ci_high, 4)
    (0.3922, 0.2192, 0.5652)
    """
    inputs = checked_inputs(estimates, variances, labels, repeated_labels=repeated_labels)
    return _pooled(inputs, COMMON, ci_method, level, measure)


def _pooled(
    inputs: Inputs, tau2_method: str, ci_method: str, level: float, measure: Measure | str | None
) -> RandomEffects:
    check_choice("ci_method", ci_method, CI_METHODS)
    level = check_level(level)
    y, v, design, labels, _ = inputs
    k = len(y)
    words = measure_code(measure)
    common = tau2_method == COMMON
    if k == 1:
        return _single(inputs, "common" if common else "random", level, words)
    fit = fit_mixed_model(y, v, design, tau2_method, ci_method, level)
    inference = fit.inference
    tau2 = None if common else fit.tau2.value
    se = float(inference.se[0])
    known = {
        "model": "common" if common else "random",
        "k": k,
        "estimate": float(fit.coefficients[0]),
        **inference.at(0),
        "tau2": tau2,
        "weights": frozen(fit.w / fit.w.sum()),
        "estimates": frozen(y),
        "variances": frozen(v),
        "labels": labels,
        "measure": words,
        "tau2_method": None if common else tau2_method,
        "ci_method": ci_method,
        "level": level,
        "trials": None,
        "source": None,
    }
    derived = Derived(fit, level, labels)

    def prediction() -> tuple[object, ...]:
        if tau2 is None or k < MIN_STUDIES_PREDICTION or not se > 0:
            return None, None, None
        return *prediction_bounds(float(fit.coefficients[0]), se, tau2, k - 2, level), k - 2

    def shares() -> tuple[object, ...]:
        ends, typical = derived.bounds, derived.heterogeneity.typical_variance
        return (None, None) if ends is None else tuple(x / (x + typical) for x in ends)

    groups = {
        **derived.groups(),
        **group(("pi_low", "pi_high", "pi_df"), prediction),
        **group(("i2_ci_low", "i2_ci_high"), shares),
        **group(SPREAD, partial(derived.heterogeneity_as, *SPREAD)),
    }
    return RandomEffects.of(known, groups)


#: Fields of heterogeneity.
SPREAD = ("i2", "h2", "i2_q", "h2_q", "q", "q_df", "q_p_value")


def _single(inputs: Inputs, model: str, level: float, measure: str | None) -> RandomEffects:
    """One study: the study itself, with its Wald interval."""
    estimate, se = float(inputs.y[0]), float(np.sqrt(inputs.v[0]))
    half = critical_value(level, None) * se
    known = {
        "model": model,
        "k": 1,
        "estimate": estimate,
        "se": se,
        "statistic": estimate / se,
        "df": None,
        "p_value": float(two_sided_p(np.array(estimate / se), None)),
        "ci_low": estimate - half,
        "ci_high": estimate + half,
        "weights": frozen(np.ones(1)),
        "estimates": frozen(inputs.y),
        "variances": frozen(inputs.v),
        "labels": inputs.labels,
        "measure": measure,
        "ci_method": "wald",
        "level": level,
        "rule": small_k_rule(1).sentence,
        "caveats": small_k_caveats(1),
    }
    every = dict.fromkeys(field.name for field in dataclasses.fields(RandomEffects))
    return RandomEffects.of({**every, **known}, {})


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class NoEvidence(Reports, Result):
    """What is said when no trial is eligible; prints "no eligible trials".

    Attributes
    ----------
    k : int
        Always 0.
    measure : str or None
    looked_for : str
        What a trial would have to be; empty when not given.
    rule : str
        The sentence of the small-k policy.
    caveats : tuple of Caveat
        One, with code ``"no_studies"``.
    estimate, ci_low, ci_high, pi_low, pi_high, p_value, tau2 : None
        Present so that a table can ask every result the same questions.
    """

    measure: str | None = None
    looked_for: str = ""
    k: int = 0
    rule: str = small_k_rule(0).sentence
    caveats: tuple[Caveat, ...] = small_k_caveats(0)
    estimate: None = None
    ci_low: None = None
    ci_high: None = None
    pi_low: None = None
    pi_high: None = None
    p_value: None = None
    tau2: None = None

    def methods_sentence(self) -> str:
        """Return that nothing was done."""
        return "No study was eligible, so that nothing was pooled."

    def findings(self) -> Chapter:
        """Return what was looked for."""
        return Chapter("Results", [f"No estimate. Looked for: {self.looked_for or 'not said'}."])

    def printed(self) -> Printed:
        """Return the one line that is printed."""
        wanted = f"Looked for: {self.looked_for}." if self.looked_for else ""
        return Printed("NoEvidence: no eligible trials", said=wanted)


@takes_effects()
def pool(
    estimates: ArrayLike,
    variances: ArrayLike,
    tau2_method: str = "REML",
    ci_method: str = "knapp-hartung-conservative",
    level: float = 0.95,
    labels: Sequence[object] | ArrayLike | None = None,
    measure: Measure | str | None = None,
    *,
    model: str = "random",
    looked_for: str = "",
    repeated_labels: str = "refuse",
) -> RandomEffects | NoEvidence:
    """Pool any number of studies by the small-k policy.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        ``k`` may be 0.
    tau2_method, ci_method, level, labels, measure, repeated_labels
        As in :func:`random_effects`.
    model : {"random", "common"}
    looked_for : str
        Said by the result when there is no study.

    Returns
    -------
    RandomEffects or NoEvidence
        No study: :class:`NoEvidence`. One: the study itself. Two: pooled, without a prediction
        interval, with ``intervals()`` showing Wald and Knapp-Hartung side by side. Three or more:
        with a prediction interval.

    Examples
    --------
    >>> pool([], [], looked_for="trials of x")
    <NoEvidence: no eligible trials> Looked for: trials of x.
    """
    check_choice("model", model, ("random", "common"))
    sizes = as_numbers("estimates", estimates).size, as_numbers("variances", variances).size
    if sizes == (0, 0):
        return NoEvidence(measure_code(measure), looked_for)
    if 0 in sizes:
        raise UsageError(
            f"estimates has {sizes[0]} values and variances has {sizes[1]}; give one each"
        )
    more: dict[str, Any] = {
        "level": level, "labels": labels, "measure": measure, "repeated_labels": repeated_labels
    }  # fmt: skip
    if model == "common":
        ci_method = "wald" if ci_method == "knapp-hartung-conservative" else ci_method
        return common_effect(estimates, variances, ci_method=ci_method, **more)
    more |= {"tau2_method": tau2_method, "ci_method": ci_method}
    return random_effects(estimates, variances, **more)
