"""Which studies differ from the rest and which of those move the result: a Baujat plot's data."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from ketameta.models.batched import batched_inference
from ketameta.models.influence_inputs import fit_data, frozen
from ketameta.models.least_squares import weighted_least_squares
from ketameta.models.results import Caveat, DrawsPlot, Result
from ketameta.numberformat import format_number, plural

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.models.pooled_effect import RandomEffects
    from ketameta.models.regression_result import MetaRegression

FloatArray = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Baujat(DrawsPlot, Result):
    """One point per study.

    Attributes
    ----------
    labels : tuple of str
    heterogeneity : ndarray of shape (k,)
        Horizontal: squared Pearson residual; in the common-effect model the study's contribution
        to Q.
    influence : ndarray of shape (k,)
        Vertical: squared change of the study's fitted value when it is left out, in variances of
        the value without it. NaN where the fit without it does not exist.
    caveats : tuple of Caveat
    """

    drawn_as: ClassVar[str] = "baujat"

    labels: tuple[str, ...]
    heterogeneity: FloatArray
    influence: FloatArray
    caveats: tuple[Caveat, ...] = ()

    def summary(self) -> str:
        """Return the studies that lead on each axis."""
        lines = [f"<Baujat: {plural(len(self.labels), 'study', 'studies')}>"]
        for words, values in (
            ("differs most", self.heterogeneity),
            ("moves most", self.influence),
        ):
            if np.isfinite(values).any():
                most = int(np.nanargmax(values))
                value = format_number(float(values[most]))
                lines.append(f"  {words:<14}{self.labels[most]} ({value})")
        return "\n".join(lines)

    def tidy(self) -> pd.DataFrame:
        """Return one row per study."""
        import pandas as pd

        return pd.DataFrame(
            {
                "label": list(self.labels),
                "heterogeneity": self.heterogeneity,
                "influence": self.influence,
            }
        )


def baujat(fit: RandomEffects | MetaRegression) -> Baujat:
    """Return the points of a Baujat plot.

    Parameters
    ----------
    fit : RandomEffects or MetaRegression
        With at least two studies.

    Notes
    -----
    Equal to metafor's ``baujat``; for ``common_effect`` fits these are the quantities of Baujat et
    al. (2002), Stat. Med. 21, 2641-2652.
    """
    data = fit_data(fit, "a Baujat plot", regression=True)
    design = np.ones((fit.k, 1)) if data.design is None else data.design
    variance = data.v + (fit.tau2 or 0.0)
    full = weighted_least_squares(data.y, design, 1 / variance)
    predicted = design @ full.coefficients
    fits = data.refit(~np.eye(fit.k, dtype=bool))
    scale = batched_inference(fits, data.ci_method, data.level).scale
    without = np.einsum("kp,pk->k", design, fits.coefficients)
    spread = np.einsum("kp,pqk,kq->k", design, fits.covariance, design) * scale
    moved = np.full(fit.k, np.nan)
    np.divide((without - predicted) ** 2, spread, out=moved, where=spread > 0)
    lone = [label for label, good in zip(data.labels, np.isfinite(moved), strict=True) if not good]
    caveats = (
        (
            Caveat(
                "lone_study",
                f"The influence of {', '.join(lone)} is withheld: there is no fit without it.",
            ),
        )
        if lone
        else ()
    )
    return Baujat(data.labels, frozen((data.y - predicted) ** 2 / variance), frozen(moved), caveats)
