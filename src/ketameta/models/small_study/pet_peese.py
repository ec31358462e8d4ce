"""PET-PEESE: the effect that a regression on standard errors or variances leaves at zero."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ketameta.errors import UsageError
from ketameta.formatting import format_p, plural, published
from ketameta.models.pooling import both_scales, decimals_for, number_words
from ketameta.models.resampling.batched import fit_data
from ketameta.models.results import Caveat, Result
from ketameta.models.small_study.inputs import (
    check_varies,
    few_studies_caveats,
    optional,
    weighted_line,
)

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.models.pooling import RandomEffects

#: Studies that leave one degree of freedom beside intercept and slope.
MIN_STUDIES = 3


@dataclasses.dataclass(frozen=True, slots=True)
class AdjustedEffect:
    """Intercept of one regression, with its t test, and the slope.

    Statistic, p-value and bounds are None where the fit is exact (a standard error of 0).
    """

    method: str
    estimate: float
    se: float
    statistic: float | None
    df: int
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    slope: float
    slope_se: float
    slope_p_value: float | None


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class PetPeese(Result):
    """Both regressions, and the one that the conditional rule chooses.

    Attributes
    ----------
    pet, peese : AdjustedEffect
    chosen : {"PET", "PEESE"}
    alpha : float
        Level of the two-sided test by which it was chosen.
    k : int
    unadjusted : float
        The estimate of the fit.
    level : float
    caveats : tuple of Caveat
    measure : str or None
    """

    pet: AdjustedEffect
    peese: AdjustedEffect
    chosen: str
    alpha: float
    k: int
    unadjusted: float
    level: float
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    @property
    def adjusted(self) -> AdjustedEffect:
        """The chosen regression."""
        return self.pet if self.chosen == "PET" else self.peese

    @property
    def estimate(self) -> float:
        """Estimate of the chosen regression."""
        return self.adjusted.estimate

    def summary(self) -> str:
        """Return both estimates and which one is chosen."""
        lines = [f"<PetPeese: {plural(self.k, 'study', 'studies')}, {self.chosen} chosen>"]
        digits = decimals_for(self.adjusted.se)
        for one in (self.pet, self.peese):
            words = both_scales(self.measure, one.estimate, one.ci_low, one.ci_high, digits)
            lines.append(f"  {one.method:<11} {words}, {format_p(one.p_value)}")
        one = self.adjusted
        before = number_words(self.measure, self.unadjusted, one.ci_low, one.ci_high, digits)
        lines.append(f"  unadjusted  {before}")
        lines += [f"  caveat      {caveat.message}" for caveat in self.caveats]
        return "\n".join(lines)

    def tidy(self) -> pd.DataFrame:
        """Return one row per regression."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(self.pet), dataclasses.asdict(self.peese)])


def pet_peese(fit: RandomEffects, alpha: float = 0.10) -> PetPeese:
    """Estimate the effect of an infinitely precise study.

    Parameters
    ----------
    fit : RandomEffects
        With at least three studies.
    alpha : float
        PEESE is chosen when the two-sided p-value of PET's intercept is below it.

    Returns
    -------
    PetPeese
        With a caveat below ten studies.

    Raises
    ------
    NotEstimableError
        Fewer than three studies, or all of one precision.

    Notes
    -----
    Least squares of the effects on their standard errors (PET) or variances (PEESE) with weights
    ``1 / v`` and an estimated dispersion; the intercepts are the adjusted effects. PET is biased
    towards zero when there is an effect, PEESE away from it when there is none, whence the choice
    by a test (Stanley and Doucouliagos 2014); the level of 0.10 is that of Stanley (2017), who also
    shows that neither is to be trusted with few studies, small samples or much heterogeneity.

    References
    ----------
    Stanley and Doucouliagos (2014), Res. Synth. Methods 5, 60-78. Stanley (2017), Soc. Psychol.
    Personal. Sci. 8, 581-591.
    """
    if not (isinstance(alpha, (int, float)) and 0 < alpha < 1):
        raise UsageError(f"alpha is {alpha!r}; give a share between 0 and 1, such as 0.10")
    data = fit_data(fit, "PET-PEESE", minimum=MIN_STUDIES)
    found = []
    for method, x in (("PET", np.sqrt(data.v)), ("PEESE", data.v)):
        unit = float(x.max())
        design = np.column_stack([np.ones(fit.k), x / unit])
        check_varies(design, "precision")
        line = weighted_line(data.y, design, 1 / data.v, data.level)
        found.append(
            AdjustedEffect(
                method=method,
                estimate=float(line.coefficients[0]),
                se=float(line.se[0]),
                statistic=optional(line.statistic[0]),
                df=line.df,
                p_value=optional(line.p_value[0]),
                ci_low=optional(line.ci_low[0]),
                ci_high=optional(line.ci_high[0]),
                slope=float(line.coefficients[1]) / unit,
                slope_se=float(line.se[1]) / unit,
                slope_p_value=optional(line.p_value[1]),
            )
        )
    pet, peese = found
    effect = pet.p_value is not None and published(pet.p_value) < alpha
    return PetPeese(
        pet=pet,
        peese=peese,
        chosen="PEESE" if effect else "PET",
        alpha=float(alpha),
        k=fit.k,
        unadjusted=fit.estimate,
        level=data.level,
        caveats=few_studies_caveats(fit.k),
        measure=data.measure,
    )
