"""The printed lines of a pooled effect, and its row in a table. Computes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.models.interval_table import METHOD_WORDS
from ketameta.numberformat import (
    format_estimate,
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_significant,
    plural,
)
from ketameta.vocabulary import display_words, measure_entry

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.models.pooled_effect import RandomEffects

#: The scale that is pooled, by transformation.
SCALE_WORDS = {
    "identity": "effect",
    "log": "log scale",
    "logit": "log odds",
    "fisher_z": "Fisher's z",
    "arcsine": "arcsine",
    "double_arcsine": "2x arcsine",
}
#: Columns of :func:`tidy_frame`, in order; they are the same whatever was withheld.
TIDY_COLUMNS = (
    "model",
    "measure",
    "k",
    "estimate",
    "se",
    "statistic",
    "df",
    "p_value",
    "ci_low",
    "ci_high",
    "pi_low",
    "pi_high",
    "tau2",
    "tau2_ci_low",
    "tau2_ci_high",
    "i2",
    "h2",
    "q",
    "q_df",
    "q_p_value",
    "tau2_method",
    "ci_method",
    "level",
)


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


def interval_words(
    measure: str | None,
    estimate: float,
    low: float | None,
    high: float | None,
    share: str,
    digits: int,
    variances: Any = None,
) -> str:
    """Return ``0.49  95% CI 0.33 to 0.73 (log scale -0.71)``; an interval may be withheld."""
    read = reader_words(measure, estimate, low, high, variances)
    if read is not None:
        beside = f"{scale_words(measure)} {format_number(estimate, digits)}"
        return f"{read[0]}  {share} CI {read[1]} ({beside})"
    bounds = "withheld" if low is None else format_interval(low, high, digits)
    return f"{format_number(estimate, digits)}  {share} CI {bounds}"


def decimals_for(se: float) -> int:
    """Return decimals that show two significant figures of a standard error, at least two."""
    if not (math.isfinite(se) and se > 0):
        return 2
    return min(12, max(2, 1 - math.floor(math.log10(se))))


def statistic_words(statistic: float | None, df: int | None, p_value: float | None) -> str:
    """Return a test in words, such as ``t(12) = -3.95, p = 0.002``."""
    if statistic is None:
        return "no test"
    name = "z" if df is None else f"t({df})"
    return f"{name} = {format_number(statistic)}, {format_p(p_value)}"


def fit_lines(fit: RandomEffects) -> str:
    """Return the lines that a pooled effect prints."""
    digits = decimals_for(fit.se)
    share = f"{100 * fit.level:g}%"
    kind = "RandomEffects" if fit.model == "random" else "CommonEffect"
    how = [measure_words(fit.measure), plural(fit.k, "study", "studies")]
    if fit.k > 1:
        how += [] if fit.tau2_method is None else [fit.tau2_method]
        how.append(METHOD_WORDS[fit.ci_method])
    bounds = "withheld" if fit.ci_low is None else format_interval(fit.ci_low, fit.ci_high, digits)
    middle = format_number(fit.estimate, digits)
    predicted = None if fit.pi_low is None else format_interval(fit.pi_low, fit.pi_high, digits)
    own = f"  {scale_words(fit.measure):<11} {middle}  {share} CI {bounds}"
    own += "" if predicted is None else f"  {share} PI {predicted}"
    read = reader_words(fit.measure, fit.estimate, fit.ci_low, fit.ci_high, fit.variances)
    if read is not None:
        middle, bounds = read
        new = reader_words(fit.measure, fit.estimate, fit.pi_low, fit.pi_high, fit.variances)
        predicted = None if new is None else new[1]
    name = "pooled" if fit.k > 1 else "study "
    entry = measure_entry(fit.measure)
    # A mean, a proportion or a rate of one group has no value of no effect to be tested against.
    tested = "" if entry is not None and entry.null is None else "   " + statistic_words(
        fit.statistic, fit.df, fit.p_value)  # fmt: skip
    lines = [
        f"<{kind}: {', '.join(how)}>",
        f"  {name}      {middle}  {share} CI {bounds}{tested}",
    ]
    if predicted is not None:
        lines.append(f"  next study  {share} PI {predicted} (t, {fit.pi_df} df)")
    if read is not None:
        lines.append(own)
    if fit.q is not None:
        spread = []
        if fit.tau2 is not None:
            range_ = " to ".join(
                format_significant(bound) for bound in (fit.tau2_ci_low, fit.tau2_ci_high)
            )
            spread.append(f"τ² = {format_significant(fit.tau2)} ({range_})")
        origin = "" if fit.tau2 is not None else " (from Q)"
        spread.append(f"I² = {format_percent(fit.i2, 1)}{origin}")
        spread.append(f"Q({fit.q_df}) = {format_number(fit.q, 1)}, {format_p(fit.q_p_value)}")
        lines.append(f"  between     {', '.join(spread)}")
    lines += [f"  caveat      {caveat.message}" for caveat in fit.caveats]
    return "\n".join(lines)


def tidy_frame(fits: Sequence[RandomEffects]) -> pd.DataFrame:
    """Return one row per fit in the column vocabulary."""
    import pandas as pd

    rows = [{name: getattr(fit, name) for name in TIDY_COLUMNS} for fit in fits]
    return pd.DataFrame(rows, columns=list(TIDY_COLUMNS))
