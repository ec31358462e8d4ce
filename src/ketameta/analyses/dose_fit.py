"""Contrasts of doses with their covariance, and the curve fitted to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.models.dose_response import dose_response

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec, DoseRule
    from ketameta.models.dose_response_result import DoseResponse


@dataclass(frozen=True, slots=True, eq=False)
class Contrasts:
    """Contrasts of all trials with their covariance.

    Attributes
    ----------
    estimates : ndarray of shape (n,)
    covariance : ndarray of shape (n, n)
    dose, control : ndarray of shape (n,)
        Of the treated arm and of the one it is compared with.
    study : list of str
    """

    estimates: np.ndarray
    covariance: np.ndarray
    dose: np.ndarray
    control: np.ndarray
    study: list[str]

    def without(self, study: str) -> Contrasts:
        """Return the contrasts of the other trials."""
        at = np.flatnonzero(np.array(self.study) != study)
        return Contrasts(
            self.estimates[at],
            self.covariance[np.ix_(at, at)],
            self.dose[at],
            self.control[at],
            [self.study[row] for row in at],
        )


def fit_curve(
    spec: AnalysisSpec,
    rule: DoseRule,
    contrasts: Contrasts,
    transformation: Any,
    **changes: Any,
) -> DoseResponse:
    """Return the curve through contrasts under the choices of the file, some of them changed."""
    settings: dict[str, Any] = {
        "knot_shares": rule.knots,
        "ci_method": "wald" if spec.model.ci_method == "wald" else "t",
        "level": spec.model.level,
        **changes,
    }
    return dose_response(
        contrasts.estimates,
        np.diag(contrasts.covariance),
        contrasts.dose,
        contrasts.study,
        sampling_covariance=contrasts.covariance,
        dose_control=contrasts.control,
        transformation=transformation,
        **settings,
    )


def slope_of(fit: DoseResponse, rule: DoseRule) -> dict[str, Any]:
    """Return the first coefficient per step of dose."""
    row = fit.coefficients.rows()[0]
    scaled = {name: rule.step * row[name] for name in ("estimate", "se", "ci_low", "ci_high")}
    between = float(np.sqrt(fit.between[0, 0])) * rule.step
    return {**scaled, "df": row["df"], "p_value": row["p_value"], "tau": between}
