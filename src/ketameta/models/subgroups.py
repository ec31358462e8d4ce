"""Subgroup analysis: pool within the levels of one category and compare the levels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats
from ketameta.effects.door import takes_effects
from ketameta.effects.table import as_name, check_alike
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError, check_choice
from ketameta.formatting import first_names, format_significant, plural
from ketameta.measures import CI_METHODS, MIN_STUDIES_PER_LEVEL, Measure, measure_code
from ketameta.models.intervals import (
    WaldTest,
    check_level,
    dispersion,
    prediction_bounds,
    wald_test,
)
from ketameta.models.mixed_model import fit_mixed_model, heterogeneity
from ketameta.models.pooling import (
    RandomEffects,
    common_effect,
    decimals_for,
    interval_cells,
    joint_words,
    measure_words,
    own_scale,
    plural_measure,
    random_effects,
)
from ketameta.models.results import (
    Caveat,
    DrawsForest,
    Line,
    Printed,
    Reports,
    Result,
    computed,
    stated,
)
from ketameta.models.tau2 import COMMON, ESTIMATORS, check_tau2_method
from ketameta.models.validation import Inputs, check_count, checked_inputs


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
class SubgroupAnalysis(DrawsForest, Reports, Result):
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

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years."""
        k = sum(row.k for row in self.rows)
        model = "common-effect" if self.tau2_method is None else "random-effects"
        words = [
            f"The {plural_measure(self.measure)}{own_scale(self.measure)} of {k} studies in"
            f" {plural(len(self.rows), 'group')} were pooled in a {model} model."
        ]
        if self.tau2_method is not None:
            whose = "of each group" if self.tau2_across == "separate" else "that all groups share"
            words.append(
                f"The variance between studies {whose} was estimated by"
                f" {ESTIMATORS[self.tau2_method].words}."
            )
        kind = "normal" if self.ci_method == "wald" else "Knapp–Hartung (Knapp and Hartung 2003)"
        words.append(f"Intervals of {100 * self.level:g}% are {kind}.")
        if self.q_between is not None:
            test = "a Wald χ²" if self.q_between_df2 is None else "an F"
            words.append(f"The groups were compared by {test} test (Borenstein et al. 2009).")
        return computed(words)

    def printed(self) -> Printed:
        """Return one line per level and the test between them."""
        share, lines = f"{100 * self.level:g}%", []
        for at, row in enumerate(self.rows):
            ends = row.estimate, row.ci_low, row.ci_high
            variances = self.fits[at].variances if self.fits else None
            cells = interval_cells(self.measure, *ends, share, decimals_for(row.se), variances)
            spread = () if row.tau2 is None else (f"τ² = {format_significant(row.tau2)}",)
            lines.append(Line(row.level, (f"k = {row.k}", *cells, *spread)))
        test = self.q_between, self.q_between_df, self.q_between_df2, self.q_between_p_value
        lines.append(Line("between", (joint_words(*test, "no test"),)))
        how = f"{self.tau2_method or 'common effect'}, {self.tau2_across} τ²"
        head = f"{measure_words(self.measure)}, {plural(len(self.rows), 'subgroup')}, {how}"
        return Printed(f"SubgroupAnalysis: {head}", lines, caveats=self.caveats)


Indices: TypeAlias = NDArray[np.intp]


@takes_effects("groups")
def subgroup_analysis(
    estimates: ArrayLike,
    variances: ArrayLike,
    groups: Sequence[object] | ArrayLike,
    tau2_across: str = "separate",
    tau2_method: str = "REML",
    ci_method: str = "knapp-hartung-conservative",
    level: float = 0.95,
    labels: Sequence[object] | ArrayLike | None = None,
    measure: Measure | str | None = None,
    *,
    least_tested: int = MIN_STUDIES_PER_LEVEL,
    repeated_labels: str = "refuse",
) -> SubgroupAnalysis:
    """Pool each level of a category, and test whether the levels differ.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        Or ``Effects``, or a frame, as in
        :func:`~ketameta.random_effects`.
    groups : sequence of length k, or the name of a column
        The level of each study. Categories that no study has are dropped.
    tau2_across : {"separate", "common"}
        A tau-squared in each level, or one for all (which needs fewer studies and borrows
        strength between levels).
    tau2_method : {"DL", "PM", "HE", "HS", "SJ", "ML", "REML", "EB", "common"}
        ``"common"`` for common-effect pooling within levels.
    ci_method, level, labels, measure, repeated_labels
        As in :func:`~ketameta.random_effects`.
    least_tested : int
        Levels with fewer studies are shown but not in the test between levels, which a caveat
        says.

    Returns
    -------
    SubgroupAnalysis

    Notes
    -----
    With separate tau-squared the test is ``sum((m - mean)^2 / se^2)`` over the levels' means and
    Wald standard errors, chi-squared with one degree of freedom less than there are levels
    (Borenstein et al. 2009, ch. 19; RevMan; metafor's ``rma`` of the levels' estimates). With a
    common tau-squared it is the test of moderators of the regression on the levels, an F test with
    Knapp-Hartung; the levels' intervals then have k less the number of levels degrees of freedom.

    Raises
    ------
    UsageError, ImpossibleDataError, NotEstimableError
        As :func:`~ketameta.random_effects`; a study without a level; fewer than two levels; with
        a common tau-squared no more studies than levels.

    Examples
    --------
    >>> y, v = [0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02]
    >>> found = subgroup_analysis(y, v, ["a", "a", "b", "b"])
    >>> [(row.level, row.k, round(row.estimate, 3)) for row in found.rows]
    [('a', 2, 0.186), ('b', 2, 0.55)]
    """
    check_choice("tau2_across", tau2_across, ("separate", "common"))
    check_tau2_method(tau2_method, common=True)
    check_choice("ci_method", ci_method, CI_METHODS)
    level = check_level(level)
    check_count(least_tested, 1, "least_tested")
    inputs = checked_inputs(estimates, variances, labels, repeated_labels=repeated_labels)
    member, levels = _members(groups, inputs.labels)
    words = measure_code(measure)
    sizes = np.bincount(member, minlength=len(levels))
    tested = sizes >= least_tested
    fits: tuple[RandomEffects, ...] = ()
    rows: tuple[Subgroup, ...] = ()
    if tau2_across == "separate":
        same = [item.name for item in dataclasses.fields(Subgroup)]
        same = [name for name in same if name not in ("level", "tested")]
        for j, name in enumerate(levels):
            at = np.flatnonzero(member == j)
            y, v, known = inputs.y[at], inputs.v[at], [inputs.labels[i] for i in at]
            rest = ci_method, level, known, words
            if tau2_method == COMMON:
                fit = common_effect(y, v, *rest, repeated_labels="allow")
            else:
                fit = random_effects(y, v, tau2_method, *rest, repeated_labels="allow")
            values = {key: getattr(fit, key) for key in same}
            fits += (fit,)
            rows += (Subgroup(level=name, tested=bool(tested[j]), **values),)
        between, tau2 = _between(fits, tested), None
    else:
        rows, between, tau2 = _together(
            inputs, member, levels, tested, tau2_method, ci_method, level
        )
    return SubgroupAnalysis(
        rows=rows,
        fits=fits,
        tau2_across=tau2_across,
        tau2=tau2,
        q_between=None if between is None else between.statistic,
        q_between_df=None if between is None else between.df,
        q_between_df2=None if between is None else between.df2,
        q_between_p_value=None if between is None else between.p_value,
        measure=words,
        tau2_method=None if tau2_method == COMMON else tau2_method,
        ci_method=ci_method,
        level=level,
        caveats=(*_caveats(levels, sizes, tested, least_tested), *_number_caveats(groups, levels)),
    )


#: Different numbers from which on a grouping is taken for a measurement.
MANY_NUMBERS = 6


def _number_caveats(groups: Any, levels: Sequence[str]) -> tuple[Caveat, ...]:
    """Return a caveat where the groups are the values of a number."""
    values = np.asarray(groups, dtype=object).ravel().tolist()
    if len(levels) < MANY_NUMBERS or not all(
        isinstance(x, int | float | np.number) for x in values
    ):
        return ()
    words = (
        f"The groups are {len(levels)} different numbers, compared as names without order; a"
        " regression on the number uses all of them: meta_regression(estimates, variances, groups)."
    )
    return (Caveat("numbers_as_groups", words),)


def _members(
    groups: Sequence[object] | ArrayLike, labels: tuple[str, ...]
) -> tuple[Indices, tuple[str, ...]]:
    """Return the index of each study's level and the levels in order of first appearance."""
    if isinstance(groups, str):
        raise UsageError(f"groups is the text {groups!r}; give one level per study")
    items = np.asarray(groups, dtype=object).ravel().tolist()
    if len(items) != len(labels):
        raise UsageError(f"groups has {len(items)} values and estimates has {len(labels)}")
    missing = [
        f"groups[{i}] ({labels[i]})"
        for i, item in enumerate(items)
        if item is None or item != item or str(item).strip() in ("", "<NA>")
    ]
    if missing:
        raise ImpossibleDataError(
            f"{first_names(missing)} has no level; leave the study out or give it one"
        )
    words = [*map(as_name, items)]
    levels = tuple(dict.fromkeys(words))
    check_alike("groups", levels)
    if len(levels) < 2:
        raise NotEstimableError(f"groups has one level, {levels[0]!r}; comparing needs two")
    return np.array([levels.index(word) for word in words]), levels


def _between(fits: tuple[RandomEffects, ...], tested: NDArray[np.bool_]) -> WaldTest | None:
    """Compare the levels' means by their Wald standard errors."""
    used = [fit for fit, use in zip(fits, tested, strict=True) if use]
    if len(used) < 2:
        return None
    means = np.array([fit.estimate for fit in used])
    w = np.array([(1 / (fit.variances + (fit.tau2 or 0.0))).sum() for fit in used])
    q = dispersion(float(w @ (means - w @ means / w.sum()) ** 2), float(w @ means**2))
    df = len(used) - 1
    return WaldTest(q, df, None, float(special.chdtrc(df, q)))


def _together(
    inputs: Inputs,
    member: Indices,
    levels: tuple[str, ...],
    tested: NDArray[np.bool_],
    tau2_method: str,
    ci_method: str,
    level: float,
) -> tuple[tuple[Subgroup, ...], WaldTest | None, float | None]:
    """Fit one mean per level with one tau-squared for all."""
    y, v, _, known, _ = inputs
    design = (member[:, None] == np.arange(len(levels))).astype(float)
    checked_inputs(y, v, known, design=design, names=levels, repeated_labels="allow")
    fit = fit_mixed_model(y, v, design, tau2_method, ci_method, level)
    tau2 = None if tau2_method == COMMON else fit.tau2.value
    found = fit.inference
    pi_df = len(y) - len(levels) - 1
    rows = []
    for j, name in enumerate(levels):
        at = member == j
        estimate, inference = float(fit.coefficients[j]), found.at(j)
        low, high = (None, None)
        if tau2 is not None and pi_df >= 1 and inference["se"] > 0:
            low, high = prediction_bounds(estimate, inference["se"], tau2, pi_df, level)
        names = ("i2", "q", "q_df", "q_p_value")
        own: dict[str, Any] = dict.fromkeys(names)
        if (k := int(at.sum())) > 1:
            spread = heterogeneity(y[at], v[at], np.ones((k, 1)), tau2)
            own = {name: getattr(spread, name) for name in names}
        rows.append(
            Subgroup(
                level=name, k=k, estimate=estimate, pi_low=low, pi_high=high, tau2=tau2,
                tested=bool(tested[j]), **inference, **own,
            )
        )  # fmt: skip
    at = np.flatnonzero(tested)
    if len(at) < 2:
        return tuple(rows), None, tau2
    contrast: Floats = np.eye(len(levels))[at[1:]] - np.eye(len(levels))[at[0]]
    between = wald_test(
        contrast @ fit.coefficients,
        contrast @ found.covariance @ contrast.T,
        found.df,
        range(len(at) - 1),
    )
    return tuple(rows), between, tau2


def _caveats(
    levels: tuple[str, ...],
    sizes: Indices,
    tested: NDArray[np.bool_],
    least: int,
) -> tuple[Caveat, ...]:
    left_out = [
        f"{name} ({plural(int(k), 'study', 'studies')})"
        for name, k, use in zip(levels, sizes, tested, strict=True)
        if not use
    ]
    if not left_out:
        return ()
    few, listed = tested.sum() < 2, ", ".join(left_out)
    return stated(
        (few, "no_between_test", f"Fewer than two subgroups have {least} studies, so that they are"
         f" not compared: {listed} too few."),
        (not few, "level_not_tested", f"{listed} shown but left out of the comparison, which needs"
         f" {least} studies in each subgroup."),
    )  # fmt: skip
