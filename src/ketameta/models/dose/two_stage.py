"""A second opinion on a dose-response line: one slope per study first, then their pooling.

For a line the two stages carry the same likelihood as the one stage: within a study the slope by
generalised least squares is sufficient for the common slope and for how slopes differ.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ketameta.effects.arrays import Floats
from ketameta.errors import NotEstimableError, UsageError
from ketameta.formatting import plural
from ketameta.models import _pymare
from ketameta.models.dose.dose_response import DoseResponse
from ketameta.models.intervals import critical_value
from ketameta.models.results import Printed, Result


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class TwoStage(Result):
    """A two-stage fit beside a one-stage line.

    Attributes
    ----------
    study : tuple of str
    slopes, ses : tuple of float
        Of each study, per unit of dose.
    engine, version : str
        What pooled them.
    values : dict of str to float
        ``estimate, se, ci_low, ci_high, tau2`` per unit of dose.
    differences : dict of str to float
        From the one-stage line: of the estimate and bounds in standard errors, of tau-squared
        relative to it plus the smallest variance of a slope, of the standard error relative.
    largest : float
    largest_quantity : str
    """

    study: tuple[str, ...]
    slopes: tuple[float, ...]
    ses: tuple[float, ...]
    engine: str
    version: str
    values: dict[str, float]
    differences: dict[str, float]
    largest: float
    largest_quantity: str

    def printed(self) -> Printed:
        """Return the largest difference in one line."""
        head = f"TwoStage: {plural(len(self.slopes), 'slope')}, pooled by {self.engine}"
        said = f"largest difference {self.largest:.1e} ({self.largest_quantity})"
        return Printed(f"{head} {self.version}", said=said)


def two_stage(fit: DoseResponse, estimates: Floats, sampling: Floats, dose: Floats) -> TwoStage:
    """Fit a slope in every study, pool the slopes with PyMARE, and compare with the one stage.

    Parameters
    ----------
    fit : DoseResponse
        A line; its ``study`` names the study of each contrast.
    estimates : ndarray of shape (n,)
    sampling : ndarray of shape (n, n)
        Covariance of the contrasts.
    dose : ndarray of shape (n,)
        Of the treated arm minus that of the control.

    Raises
    ------
    UsageError
        For a spline: a study with fewer doses than coefficients has no curve of its own.
    NotEstimableError
        For a single study, whose slope is the result.

    Notes
    -----
    ``b_i = (x' S^-1 x)^-1 x' S^-1 y`` with variance ``(x' S^-1 x)^-1``, the second stage of
    Crippa and others (2019) by REML or, where one slope was fitted, with weights ``1 / v``.
    """
    if fit.transformation != "linear":
        raise UsageError("two_stage() checks a line; a spline has no slope in every study")
    names = tuple(dict.fromkeys(fit.study))
    if len(names) < 2:
        raise NotEstimableError("one study: its slope is the result")
    slopes, variances = [], []
    for name in names:
        at = np.flatnonzero(np.array(fit.study) == name)
        weighed = np.linalg.solve(sampling[np.ix_(at, at)], dose[at])
        variance = 1.0 / float(weighed @ dose[at])
        variances.append(variance)
        slopes.append(variance * float(weighed @ estimates[at]))
    method = "REML" if fit.method == "REML" else "common"
    found = _pymare.fit(
        np.array(slopes), np.array(variances), np.ones((len(names), 1)), method, "wald"
    )
    values = _values(fit, found)
    ours = {
        "estimate": float(fit.coefficients.estimate[0]),
        "se": float(fit.coefficients.se[0]),
        "ci_low": float(fit.coefficients.ci_low[0]),
        "ci_high": float(fit.coefficients.ci_high[0]),
        "tau2": float(fit.between[0, 0]),
    }
    unit = {"se": ours["se"], "tau2": ours["tau2"] + min(variances)}
    differences = {
        name: abs(value - values[name]) / unit.get(name, ours["se"]) for name, value in ours.items()
    }
    worst = max(differences, key=lambda name: differences[name])
    return TwoStage(
        study=names,
        slopes=tuple(slopes),
        ses=tuple(float(np.sqrt(variance)) for variance in variances),
        engine="PyMARE",
        version=_pymare.engine_version(),
        values=values,
        differences=differences,
        largest=differences[worst],
        largest_quantity=worst,
    )


def _values(fit: DoseResponse, found: _pymare.PymareFit) -> dict[str, float]:
    estimate = float(found.coefficients[0])
    se = float(np.sqrt(found.covariance[0, 0]))
    df = float(fit.coefficients.df[0]) if fit.coefficients.df is not None else None
    wide = critical_value(fit.level, df) * se
    return {
        "estimate": estimate,
        "se": se,
        "ci_low": estimate - wide,
        "ci_high": estimate + wide,
        "tau2": found.tau2,
    }
