"""The result of a subgroup analysis: levels side by side and the test between them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ketameta.models.fit_words import decimals_for, interval_words, measure_words
from ketameta.models.pooled_effect import RandomEffects
from ketameta.models.results import Caveat, DrawsForest, Result
from ketameta.numberformat import (
    format_number,
    format_p,
    format_significant,
    plural,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, slots=True)
class Subgroup:
    """One level: its mean and what surrounds it; None where a quantity does not exist."""

    level: str
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
    tau2: float | None
    i2: float | None
    q: float | None
    q_df: int | None
    q_p_value: float | None
    tested: bool


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class SubgroupAnalysis(DrawsForest, Result):
    """Levels side by side and the test between them.

    Attributes
    ----------
    rows : tuple of Subgroup
        In the order of first appearance.
    fits : tuple of RandomEffects
        Each level pooled on its own; empty when tau-squared is common.
    tau2_across : {"separate", "common"}
    tau2 : float or None
        The common between-study variance within levels; None when separate.
    q_between, q_between_df, q_between_df2, q_between_p_value
        Chi-squared (``df2`` None) or F; None when withheld.
    measure, tau2_method, ci_method, level
    caveats : tuple of Caveat
    """

    rows: tuple[Subgroup, ...]
    fits: tuple[RandomEffects, ...]
    tau2_across: str
    tau2: float | None
    q_between: float | None
    q_between_df: int | None
    q_between_df2: int | None
    q_between_p_value: float | None
    measure: str | None
    tau2_method: str | None
    ci_method: str
    level: float
    caveats: tuple[Caveat, ...]

    def summary(self) -> str:
        """Return one line per level and the test between them."""
        how = f"{self.tau2_method or 'common effect'}, {self.tau2_across} τ²"
        lines = [
            f"<SubgroupAnalysis: {measure_words(self.measure)},"
            f" {plural(len(self.rows), 'subgroup')}, {how}>"
        ]
        width = max(len(row.level) for row in self.rows)
        for row in self.rows:
            words = interval_words(
                self.measure,
                row.estimate,
                row.ci_low,
                row.ci_high,
                f"{100 * self.level:g}%",
                decimals_for(row.se),
                next((fit.variances for fit, own in zip(self.fits, self.rows, strict=False)
                      if own is row), None),
            )  # fmt: skip
            spread = "" if row.tau2 is None else f"  τ² = {format_significant(row.tau2)}"
            lines.append(f"  {row.level:<{width}}  k = {row.k}  {words}{spread}")
        lines.append(f"  {'between':<{width}}  {self._test_words()}")
        lines += [f"  caveat  {caveat.message}" for caveat in self.caveats]
        return "\n".join(lines)

    def _test_words(self) -> str:
        if self.q_between is None:
            return "no test"
        name = f"χ²({self.q_between_df})"
        if self.q_between_df2 is not None:
            name = f"F({self.q_between_df}, {self.q_between_df2})"
        return f"{name} = {format_number(self.q_between)}, {format_p(self.q_between_p_value)}"

    def tidy(self) -> pd.DataFrame:
        """Return one row per level."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(row) for row in self.rows])
