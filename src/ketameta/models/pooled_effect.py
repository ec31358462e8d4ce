"""The result of pooling studies: one mean effect with everything that is reported beside it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ketameta.models.fit_words import fit_lines, tidy_frame
from ketameta.models.interval_table import IntervalTable, mean_intervals
from ketameta.models.results import Caveat, DrawsBaujat, DrawsForest, DrawsFunnel, Result

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class RandomEffects(DrawsForest, DrawsFunnel, DrawsBaujat, Result):
    """A pooled effect; its repr is the sentence that opens a results paragraph.

    Attributes
    ----------
    model : {"random", "common"}
    k : int
        Number of studies.
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
        Q-profile interval at ``level``.
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
    """

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
    weights: FloatArray
    estimates: FloatArray
    variances: FloatArray
    labels: tuple[str, ...]
    measure: str | None
    tau2_method: str | None
    ci_method: str
    level: float
    rule: str
    caveats: tuple[Caveat, ...]

    @property
    def tau(self) -> float | None:
        """Standard deviation of the true effects, in the unit of the estimates."""
        return None if self.tau2 is None else float(np.sqrt(self.tau2))

    def intervals(self) -> IntervalTable:
        """Return the Wald, Knapp-Hartung and conservative intervals side by side."""
        return mean_intervals(self)

    def summary(self) -> str:
        """Return the printed lines."""
        return fit_lines(self)

    def tidy(self) -> pd.DataFrame:
        """Return one row in the column vocabulary."""
        return tidy_frame([self])
