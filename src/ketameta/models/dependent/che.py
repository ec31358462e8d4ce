"""Correlated effects with an assumed correlation: one fit, and what the assumption changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from ketameta.effects.arrays import Floats, frozen
from ketameta.effects.door import takes_effects
from ketameta.errors import UsageError, check_choice
from ketameta.formatting import format_interval, format_number, format_p, format_percent, plural
from ketameta.measures import Measure
from ketameta.models.dependent.multilevel import (
    MultilevelCi,
    MultilevelFit,
    MultilevelMethod,
    multilevel,
)
from ketameta.models.dependent.robust import robust
from ketameta.models.dependent.sampling_covariance import check_vector
from ketameta.models.pooling import decimals_for, interval_cells
from ketameta.models.results import Caveat, Line, Printed, Result


@takes_effects("study", "effect", "moderators")
def che(
    estimates: ArrayLike,
    variances: ArrayLike,
    study: Sequence[object] | ArrayLike,
    effect: Sequence[object] | ArrayLike | None = None,
    moderators: Any = None,
    names: Sequence[str] | None = None,
    *,
    rho: float = 0.6,
    formula: str | None = None,
    intercept: bool = True,
    method: MultilevelMethod = "REML",
    ci_method: MultilevelCi = "t-contain",
    level: float = 0.95,
    variance_intervals: bool = True,
    measure: Measure | str | None = None,
) -> MultilevelFit:
    """Fit the correlated-and-hierarchical-effects working model.

    Parameters
    ----------
    rho : float, default: 0.6
        Assumed correlation of the sampling errors of effects from one study, -1 < rho < 1 (and not
        so negative that a covariance would be impossible). It is an assumption: pair the fit with
        :func:`ketameta.robust` and vary it with
        :func:`che_sensitivity`.
    others
        As in :func:`~ketameta.multilevel`.

    Returns
    -------
    MultilevelFit

    Notes
    -----
    Sampling covariance ``rho sqrt(v_i v_j)`` within a study, as metafor ``vcalc(rho=)`` and
    clubSandwich ``impute_covariance_matrix(r=)``.

    References
    ----------
    Pustejovsky JE, Tipton E (2022). Meta-analysis with robust variance estimation: expanding the
    range of working models. Prevention Science 23, 425-438. doi:10.1007/s11121-021-01246-3

    Examples
    --------
    >>> fit = che([0.2, 0.4, 0.1, 0.6], [0.04, 0.05, 0.03, 0.04], ["a", "a", "b", "b"])
    >>> round(fit.estimate, 4), fit.rho
    (0.3114, 0.6)
    """
    return multilevel(
        estimates,
        variances,
        study,
        effect,
        moderators,
        names,
        formula=formula,
        intercept=intercept,
        method=method,
        ci_method=ci_method,
        level=level,
        rho=rho,
        variance_intervals=variance_intervals,
        measure=measure,
    )


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class CheSensitivity(Result):
    """One correlated-and-hierarchical fit per assumed correlation, with robust inference.

    Attributes
    ----------
    k, m : int
        Numbers of effects and studies.
    term : str
        The coefficient that is followed.
    rho : ndarray of shape (r,)
        Assumed correlations.
    estimate, se, df, p_value, ci_low, ci_high : ndarray of shape (r,)
        CR2 inference on the coefficient.
    sigma2_study, sigma2_effect : ndarray of shape (r,)
        Variances between and within studies.
    level : float
    caveats : tuple of Caveat
    measure : str or None
    """

    framed: ClassVar[tuple[str, ...]] = (
        "rho", "estimate", "se", "df", "p_value", "ci_low", "ci_high", "sigma2_study",
        "sigma2_effect",
    )  # fmt: skip

    k: int
    m: int
    term: str
    rho: Floats
    estimate: Floats
    se: Floats
    df: Floats
    p_value: Floats
    ci_low: Floats
    ci_high: Floats
    sigma2_study: Floats
    sigma2_effect: Floats
    level: float
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    def printed(self) -> Printed:
        """Return the sentence and one line per correlation."""
        digits, lines = decimals_for(float(self.se.min())), []
        for j, rho in enumerate(self.rho):
            ends = float(self.estimate[j]), float(self.ci_low[j]), float(self.ci_high[j])
            cells = interval_cells(self.measure, *ends, format_percent(self.level), digits)
            test = f"t({format_number(self.df[j], 1)}), {format_p(self.p_value[j])}"
            lines.append(Line(f"rho {format_number(float(rho))}", cells, test))
        head = (
            f"Assumed correlation of sampling errors, {self.term}: {plural(self.k, 'effect')} in"
            f" {plural(self.m, 'study', 'studies')}; estimates from"
            f" {format_interval(self.estimate.min(), self.estimate.max(), digits)}"
        )
        return Printed(head, lines, caveats=self.caveats)


@takes_effects("study", "effect", "moderators")
def che_sensitivity(
    estimates: ArrayLike,
    variances: ArrayLike,
    study: Sequence[object] | ArrayLike,
    effect: Sequence[object] | ArrayLike | None = None,
    moderators: Any = None,
    names: Sequence[str] | None = None,
    *,
    rhos: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8),
    term: str | None = None,
    formula: str | None = None,
    intercept: bool = True,
    method: MultilevelMethod = "REML",
    level: float = 0.95,
    measure: Measure | str | None = None,
) -> CheSensitivity:
    """Fit the working model over a range of assumed correlations.

    Parameters
    ----------
    rhos : sequence of float, default: (0, 0.2, 0.4, 0.6, 0.8)
        Correlations to assume, at least one.
    term : str, optional
        Coefficient to follow; the first one when not given.
    others
        As in :func:`che`.

    Returns
    -------
    CheSensitivity

    Raises
    ------
    UsageError
        No correlations, or a term that is no column of the design.

    Examples
    --------
    >>> y, v = [0.2, 0.4, 0.1, 0.6, 0.3, 0.2], [0.04, 0.05, 0.03, 0.04, 0.02, 0.03]
    >>> found = che_sensitivity(y, v, ["a", "a", "b", "b", "c", "c"], rhos=[0.2, 0.6])
    >>> found.estimate.round(4).tolist()
    [0.2828, 0.2845]
    """
    values = check_vector("rhos", rhos)
    if values.size == 0:
        raise UsageError("rhos is empty; give at least one correlation")
    found = []
    for rho in values:
        fit = che(
            estimates,
            variances,
            study,
            effect,
            moderators,
            names,
            formula=formula,
            rho=float(rho),
            intercept=intercept,
            method=method,
            level=level,
            variance_intervals=False,
            measure=measure,
        )
        found.append((fit, robust(fit)))
    columns = found[0][1].coefficients.names
    chosen = columns[0] if term is None else check_choice("term", term, columns)
    at = columns.index(chosen)

    def column(name: str) -> Floats:
        return frozen([getattr(sandwich.coefficients, name)[at] for _, sandwich in found])

    caveats = {caveat.code: caveat for _, sandwich in found for caveat in sandwich.caveats}
    return CheSensitivity(
        k=found[0][0].k,
        m=found[0][0].m,
        term=chosen,
        rho=frozen(values),
        estimate=column("estimate"),
        se=column("se"),
        df=column("df"),
        p_value=column("p_value"),
        ci_low=column("ci_low"),
        ci_high=column("ci_high"),
        sigma2_study=frozen([fit.sigma2_study for fit, _ in found]),
        sigma2_effect=frozen([fit.sigma2_effect for fit, _ in found]),
        level=float(level),
        caveats=tuple(caveats.values()),
        measure=found[0][0].measure,
    )
