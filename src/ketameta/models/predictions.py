"""Mean effects at chosen values of the moderators, as a result."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ketameta.models.fit_words import decimals_for, interval_words, reader_words
from ketameta.models.results import Caveat, Result
from ketameta.numberformat import format_interval, plural

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Predictions(Result):
    """Mean effects at new values of the moderators, arrays of shape (m,).

    Attributes
    ----------
    estimate, se, ci_low, ci_high : ndarray
    pi_low, pi_high : ndarray or None
        Where the true effect of a new study with these moderators is expected; None when withheld.
    df, pi_df : int or None
        Degrees of freedom of the two; None for the normal distribution.
    level : float
    caveats : tuple of Caveat
    measure : str or None
    """

    estimate: FloatArray
    se: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    pi_low: FloatArray | None
    pi_high: FloatArray | None
    df: int | None
    pi_df: int | None
    level: float
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    def summary(self) -> str:
        """Return one line per row."""
        share = f"{100 * self.level:g}%"
        lines = [f"<Predictions: {plural(len(self.estimate), 'row')}>"]
        for i, value in enumerate(self.estimate):
            digits = decimals_for(float(self.se[i]))
            low, high = float(self.ci_low[i]), float(self.ci_high[i])
            line = "  " + interval_words(self.measure, float(value), low, high, share, digits)
            if self.pi_low is not None and self.pi_high is not None:
                low, high = float(self.pi_low[i]), float(self.pi_high[i])
                read = reader_words(self.measure, float(value), low, high)
                bounds = format_interval(low, high, digits) if read is None else read[1]
                line += f"  {share} PI {bounds}"
            lines.append(line)
        lines += [f"  caveat  {caveat.message}" for caveat in self.caveats]
        return "\n".join(lines)

    def tidy(self) -> pd.DataFrame:
        """Return one row per prediction."""
        import pandas as pd

        names = ("estimate", "se", "ci_low", "ci_high", "pi_low", "pi_high")
        return pd.DataFrame({name: getattr(self, name) for name in names})
