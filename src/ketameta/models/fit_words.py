"""The printed lines of a pooled effect, and its row in a table. Computes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ketameta.models.interval_table import METHOD_WORDS
from ketameta.numberformat import (
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_significant,
    plural,
)
from ketameta.vocabulary import Measure

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.models.pooled_effect import RandomEffects

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
    """Return a measure in words, such as ``log risk ratio``; ``effect`` when unknown."""
    if measure is None:
        return "effect"
    if measure in Measure.__members__:
        label = Measure(measure).label
        return f"log {label[0].lower()}{label[1:]}" if Measure(measure).is_ratio else label
    return measure


def is_ratio(measure: str | None) -> bool:
    """Return whether the estimates are logarithms of a ratio."""
    return measure is not None and measure in Measure.__members__ and Measure(measure).is_ratio


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
    interval = (
        "withheld" if fit.ci_low is None else format_interval(fit.ci_low, fit.ci_high, digits)
    )
    name = "pooled" if fit.k > 1 else "study "
    lines = [
        f"<{kind}: {', '.join(how)}>",
        f"  {name}      {format_number(fit.estimate, digits)}  {share} CI {interval}   "
        f"{statistic_words(fit.statistic, fit.df, fit.p_value)}",
    ]
    if is_ratio(fit.measure) and fit.ci_low is not None and fit.ci_high is not None:
        low, middle, high = np.exp([fit.ci_low, fit.estimate, fit.ci_high])
        lines.append(f"  as ratio    {middle:.2f}  {share} CI {low:.2f} to {high:.2f}")
    if fit.pi_low is not None:
        bounds = format_interval(fit.pi_low, fit.pi_high, digits)
        lines.append(f"  next study  {share} PI {bounds} (t, {fit.pi_df} df)")
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
