"""The printed table of a meta-regression. Computes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ketameta.models.fit_words import (
    decimals_for,
    interval_words,
    measure_words,
    statistic_words,
)
from ketameta.models.interval_table import METHOD_WORDS
from ketameta.numberformat import (
    format_number,
    format_p,
    format_percent,
    format_significant,
    plural,
)
from ketameta.vocabulary import measure_entry

if TYPE_CHECKING:
    from ketameta.models.regression_result import MetaRegression


def moderation_words(fit: MetaRegression) -> str:
    """Return the test of moderators, such as ``F(2, 10) = 4.96, p = 0.032``."""
    if fit.qm is None:
        return "no test of moderators: a standard error is 0"
    name = f"χ²({fit.qm_df})" if fit.qm_df2 is None else f"F({fit.qm_df}, {fit.qm_df2})"
    return f"{name} = {format_number(fit.qm)}, {format_p(fit.qm_p_value)}"


def regression_lines(fit: MetaRegression) -> str:
    """Return the lines that a meta-regression prints."""
    how = [measure_words(fit.measure), plural(fit.k, "study", "studies")]
    how.append(fit.tau2_method or "common effect")
    how.append(METHOD_WORDS[fit.ci_method])
    lines = [f"<MetaRegression: {', '.join(how)}>"]
    width = max(len(name) for name in fit.names)
    for j, name in enumerate(fit.names):
        digits = decimals_for(float(fit.se[j]))
        test = "no test"
        if fit.se[j] > 0:
            test = statistic_words(float(fit.statistic[j]), fit.df, float(fit.p_value[j]))
        # Coefficients of logarithms are logarithms of ratios; those of other scales stay.
        entry = measure_entry(fit.measure)
        ratio = entry is not None and entry.transformation == "log" and fit.se[j] > 0
        words = interval_words(
            fit.measure if ratio else None,
            float(fit.estimate[j]),
            float(fit.ci_low[j]) if fit.se[j] > 0 else None,
            float(fit.ci_high[j]),
            f"{100 * fit.level:g}%",
            digits,
        )
        lines.append(f"  {name:<{width}}  {words}   {test}")
    explained = "" if fit.r2 is None else f", R² = {format_percent(fit.r2, 1)}"
    lines.append(f"  {'moderators':<{width}}  {moderation_words(fit)}{explained}")
    spread = []
    if fit.tau2 is not None:
        low, high = (format_significant(b) for b in (fit.tau2_ci_low, fit.tau2_ci_high))
        spread.append(f"τ² = {format_significant(fit.tau2)} ({low} to {high})")
    spread.append(f"I² = {format_percent(fit.i2, 1)}")
    spread.append(f"Q({fit.qe_df}) = {format_number(fit.qe, 1)}, {format_p(fit.qe_p_value)}")
    lines.append(f"  {'residual':<{width}}  {', '.join(spread)}")
    lines += [f"  caveat  {caveat.message}" for caveat in fit.caveats]
    return "\n".join(lines)
