"""One curve through the doses of many studies: one-stage dose-response meta-analysis.

Contrasts of several doses against a shared control are correlated; slopes may differ between
studies. Equals metafor ``rma.mv(yi, V, mods = ~ 0 + dose, random = ~ 0 + dose | study,
struct = "GEN")``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import scipy  # of its parts only what is used is loaded, when it is used
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.arrays import Floats, frozen
from ketameta.effects.door import takes_effects
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError, check_choice
from ketameta.formatting import format_number, format_p, plural
from ketameta.measures import Measure, measure_code, measure_entry
from ketameta.models.dependent.likelihood import sampling_blocks
from ketameta.models.dependent.multilevel import CoefficientTable, coefficient_table
from ketameta.models.dependent.sampling_covariance import check_groups, check_vector
from ketameta.models.intervals import check_level, critical_value, wald_test
from ketameta.models.pooling import decimals_for, interval_cells, measure_words
from ketameta.models.results import (
    Caveat,
    Columns,
    DrawsPlot,
    Line,
    Printed,
    Reports,
    Result,
    computed,
    stated,
)
from ketameta.models.tau2 import power_of_two_scale
from ketameta.models.validation import dependent_columns

IntArray = NDArray[np.intp]

#: Forms of the curve.
TRANSFORMATIONS = ("linear", "spline")
#: Knots of the spline as shares of the doses: three knots (Harrell 2015).
KNOT_SHARES = (0.1, 0.5, 0.9)


def knots_at(doses: ArrayLike, shares: Sequence[float] = KNOT_SHARES) -> tuple[float, ...]:
    """Return the knots of a spline at quantiles of the doses.

    Parameters
    ----------
    doses : array_like of shape (a,)
        One per arm, controls included.
    shares : sequence of float
        At least three rising shares from 0 to 1.

    Returns
    -------
    tuple of float
        By linear interpolation between order statistics (R's type 7).

    Raises
    ------
    UsageError
        Fewer than three shares, or shares that do not rise.
    NotEstimableError
        Knots that coincide: too few different doses.
    """
    given = [float(share) for share in shares]
    rising = all(a < b for a, b in pairwise(given))
    if len(given) < 3 or not rising or given[0] < 0 or given[-1] > 1:
        raise UsageError(
            f"shares is {list(shares)!r}; give at least three rising shares from 0 to 1"
        )
    array = np.asarray(doses, dtype=np.float64)
    knots = tuple(float(knot) for knot in np.quantile(array, given))
    if any(a >= b for a, b in pairwise(knots)):
        listed = ", ".join(f"{knot:g}" for knot in knots)
        raise NotEstimableError(
            f"the knots of the spline coincide ({listed}): too few different doses for a curve"
        )
    return knots


def curve_basis(doses: ArrayLike, knots: Sequence[float] = ()) -> Floats:
    """Return the columns whose weighted sum is the curve, shape (n, p).

    Parameters
    ----------
    doses : array_like of shape (n,)
    knots : sequence of float
        Of a restricted cubic spline, rising; none for a line.

    Returns
    -------
    ndarray of shape (n, p)
        The dose, and one column of curvature per knot beyond the second, all in the unit of the
        dose. Curvature is 0 up to the first knot and straight beyond the last.

    Notes
    -----
    Harrell (2015), Regression Modeling Strategies, 2nd ed., with the curvature
    divided by the squared distance of the outer knots (``rms::rcs`` with ``norm = 2``).
    """
    x = np.asarray(doses, dtype=np.float64)
    columns = [x]
    if knots:
        t = np.asarray(knots, dtype=np.float64)
        first, before, last = t[0], t[-2], t[-1]

        def cube(knot: float) -> Floats:
            return np.asarray(np.maximum(x - knot, 0.0) / (last - first)) ** 3

        for knot in t[:-2]:
            left = (last - knot) / (last - before)
            right = (before - knot) / (last - before)
            bend = cube(knot) - cube(before) * left + cube(last) * right
            columns.append(bend * (last - first))
    return np.stack(columns, axis=1)


def basis_names(p: int) -> tuple[str, ...]:
    """Return the names of the columns of :func:`curve_basis`."""
    return ("dose", *(f"curvature {j}" if p > 2 else "curvature" for j in range(1, p)))


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class CurvePoints(Result):
    """Effects of doses against a reference dose; arrays of shape (g,), on the pooled scale."""

    framed: ClassVar[tuple[str, ...]] = ("dose", "estimate", "se", "ci_low", "ci_high")

    dose: Floats
    estimate: Floats
    se: Floats
    ci_low: Floats
    ci_high: Floats
    reference: float = 0.0
    level: float = 0.95
    measure: str | None = None

    def printed(self) -> Printed:
        """Return one line per dose."""
        share, lines = f"{100 * self.level:g}%", []
        entry = measure_entry(self.measure)
        measure = self.measure if entry is not None and entry.transformation == "log" else None
        for row in zip(self.dose, self.estimate, self.ci_low, self.ci_high, self.se, strict=True):
            dose, middle, low, high, se = map(float, row)
            cells = interval_cells(measure, middle, low, high, share, decimals_for(se))
            lines.append(Line(f"dose {dose:g}", cells))
        head = f"{measure_words(self.measure)} against dose {self.reference:g}"
        return Printed(f"Dose-response: {head}", lines)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class JointTest:
    """Several coefficients are 0: F on ``df`` and ``df2``, or chi-squared where ``df2`` is None."""

    statistic: float
    df: int
    df2: int | None
    p_value: float


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class DoseResponse(DrawsPlot, Reports, Result):
    """A one-stage dose-response meta-analysis.

    Attributes
    ----------
    k, n_contrasts : int
        Studies, and their contrasts.
    transformation : str
        ``linear`` or ``spline``.
    knots : tuple of float
        Of the spline, in the unit of the dose.
    coefficients : CoefficientTable
        Effect per unit of dose; for a spline the slope up to the first knot and the curvature.
    between : ndarray of shape (p, p)
        Covariance of the coefficients between studies; zeros in a common-effect model.
    method : str
        ``REML`` or ``common``, as fitted.
    log_likelihood : float
        Restricted.
    optima_gap : float or None
        Log-likelihood lost at the next optimum of the variance of one slope, if there is one.
    q, q_df, q_p_value : float, int, float or None
        Test that the common curve fits every contrast (Cochran's Q of residuals).
    test : JointTest
        No effect at any dose.
    nonlinearity : JointTest or None
        The curve is a line; ``None`` for a line.
    doses : tuple of float
        Different doses given, controls included.
    study : tuple of str
        Of each contrast.
    ci_method : str
        ``t`` or ``wald``, as used.
    level : float
    caveats : tuple of Caveat
    estimates, variances, dose, dose_control : ndarray of shape (n,)
        The contrasts, as given.
    measure : str or None
        Code of the effect measure.
    """

    drawn_as: ClassVar[str] = "dose_response"
    not_serialised: ClassVar[tuple[str, ...]] = ("estimates", "variances", "dose", "dose_control")

    k: int
    n_contrasts: int
    transformation: str
    knots: tuple[float, ...]
    coefficients: CoefficientTable
    between: Floats
    method: str
    log_likelihood: float
    optima_gap: float | None
    q: float
    q_df: int
    q_p_value: float | None
    test: JointTest
    nonlinearity: JointTest | None
    doses: tuple[float, ...]
    study: tuple[str, ...]
    ci_method: str
    level: float
    caveats: tuple[Caveat, ...]
    estimates: Floats
    variances: Floats
    dose: Floats
    dose_control: Floats
    measure: str | None = None

    def columns(self) -> Columns:
        """Return one row per coefficient."""
        return self.coefficients.columns()

    def predict(self, doses: ArrayLike, reference: float = 0.0) -> CurvePoints:
        """Return the effect of each dose against ``reference``, with pointwise intervals.

        Parameters
        ----------
        doses : array_like of shape (g,)
        reference : float, default: 0

        Returns
        -------
        CurvePoints
            At the reference itself estimate, standard error and interval are 0.
        """
        grid = check_vector("doses", doses)
        contrast = curve_basis(grid, self.knots) - curve_basis([float(reference)], self.knots)
        estimate = contrast @ self.coefficients.estimate
        covariance = self.coefficients.covariance
        se = np.sqrt(np.maximum(np.einsum("gp,pq,gq->g", contrast, covariance, contrast), 0.0))
        df = None if self.coefficients.df is None else float(self.coefficients.df[0])
        half = critical_value(self.level, df) * se
        return CurvePoints(
            frozen(grid), frozen(estimate), frozen(se), frozen(estimate - half),
            frozen(estimate + half), float(reference), self.level, self.measure,
        )  # fmt: skip

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years."""
        shape = "a line" if self.transformation == "linear" else "a restricted cubic spline"
        slopes = (
            "with slopes that differ between studies, by restricted maximum likelihood"
            if self.method == "REML"
            else "with one curve for all studies"
        )
        return computed(
            [
                f"{plural(self.n_contrasts, 'contrast')} of dose in"
                f" {plural(self.k, 'study', 'studies')} were fitted by {shape} in one stage"
                f" (Crippa et al. 2019), {slopes}.",
                "The covariance of contrasts that share a reference is taken into account"
                " (Greenland and Longnecker 1992).",
            ]
        )

    def printed(self) -> Printed:
        """Return the sentence, the coefficients, the tests and the caveats."""
        shape = "line" if self.transformation == "linear" else "restricted cubic spline"
        slopes = "slopes differ between studies (REML)" if self.method == "REML" else "one curve"
        lines = self.coefficients.lines(self.level, self.measure)
        lines.append(Line("no effect at any dose", (_words(self.test),)))
        if self.nonlinearity is not None:
            lines.append(Line("not a line", (_words(self.nonlinearity),)))
        if self.q_p_value is not None:
            fit = f"Q({self.q_df}) = {format_number(self.q)}, {format_p(self.q_p_value)}"
            lines.append(Line("fit of one curve", (fit,)))
        head = (
            f"Dose-response, {shape}: {plural(self.n_contrasts, 'contrast')} of"
            f" {plural(self.k, 'study', 'studies')}, {slopes}"
        )
        return Printed(head, lines, caveats=self.caveats)


def _words(test: JointTest) -> str:
    head = f"chi-squared({test.df})" if test.df2 is None else f"F({test.df}, {test.df2})"
    return f"{head} = {format_number(test.statistic)}, {format_p(test.p_value)}"


Transformation = Literal["linear", "spline"]
METHODS = ("REML", "common")
CI_METHODS = ("t", "wald")
#: Studies with at least as many doses as the curve has coefficients, below which the differences
#: between their curves are not estimated.
LEAST_STUDIES = 3


@takes_effects("dose", "study", "dose_control")
def dose_response(
    estimates: ArrayLike,
    variances: ArrayLike,
    dose: ArrayLike,
    study: Sequence[object] | ArrayLike,
    *,
    sampling_covariance: ArrayLike | None = None,
    dose_control: ArrayLike | float = 0.0,
    transformation: Transformation = "linear",
    knots: Sequence[float] | None = None,
    knot_shares: Sequence[float] = KNOT_SHARES,
    method: Literal["REML", "common"] = "REML",
    ci_method: Literal["t", "wald"] = "t",
    level: float = 0.95,
    measure: Measure | str | None = None,
) -> DoseResponse:
    """Fit one dose-response curve to the contrasts of all studies at once.

    Parameters
    ----------
    estimates, variances : array_like of shape (n,)
        Contrasts of a dose against a control (mean differences, log ratios) and their variances.
    dose : array_like of shape (n,)
        Of the treated arm, >= 0, all in one unit.
    study : sequence of length n
    sampling_covariance : array_like of shape (n, n), optional
        Needed as soon as a study has two contrasts, such as
        :func:`ketameta.shared_arm_covariance`.
    dose_control : array_like of shape (n,) or float, default: 0
        Dose of the control arm.
    transformation : {"linear", "spline"}
        A line through no effect at equal doses, or a restricted cubic spline.
    knots : sequence of float, optional
        Of the spline, in the unit of the dose; at ``knot_shares`` of the doses when not given.
    knot_shares : sequence of float, default: (0.1, 0.5, 0.9)
        Quantiles of the doses of all arms, each study's control once.
    method : {"REML", "common"}
        Whether curves differ between studies (unstructured covariance) or are one.
    ci_method : {"t", "wald"}
        ``t`` has as many degrees of freedom as there are studies beyond the coefficients; a
        common curve always takes the normal distribution, its variances being known.
    level : float, default: 0.95
    measure : Measure or str, optional
        What the estimates are, for the printed words.

    Returns
    -------
    DoseResponse

    Raises
    ------
    UsageError
        Unknown words, lengths that differ, or a study with two contrasts without covariance.
    ImpossibleDataError
        Values that no study can have; a dose below 0 or equal to that of its control.
    NotEstimableError
        Not more contrasts than coefficients, or doses that cannot tell the coefficients apart.

    Notes
    -----
    ``y_ij = (f(dose_ij) - f(control_i)) (b + u_i) + e_ij`` with ``u_i ~ N(0, Psi)``: the one-stage
    model of Crippa and others (2019). With counts the covariance of log ratios follows from the
    shared control exactly; Greenland and Longnecker (1992) approximate it where only adjusted
    ratios are printed. Curves between studies are estimated only where ``LEAST_STUDIES`` have at
    least as many doses as the curve has coefficients; otherwise one curve is fitted, and a caveat
    says so. metafor's t test has n - p degrees of freedom by default; ours has k - p (studies).

    References
    ----------
    Crippa A, Discacciati A, Bottai M, Spiegelman D, Orsini N (2019). One-stage dose-response
    meta-analysis for aggregated data. Statistical Methods in Medical Research 28(5), 1579-1596.

    Greenland S, Longnecker MP (1992). Methods for trend estimation from summarized dose-response
    data, with applications to meta-analysis. American Journal of Epidemiology 135(11), 1301-1309.

    Harrell FE (2015). Regression Modeling Strategies, 2nd ed. Springer.

    Examples
    --------
    >>> fit = dose_response(
    ...     [-1.1, -2.1, -2.9, -1.5], [0.5, 0.5, 0.5, 0.4], [28, 56, 84, 56], ["a", "a", "a", "b"],
    ...     sampling_covariance=[[0.5, 0.2, 0.2, 0], [0.2, 0.5, 0.2, 0], [0.2, 0.2, 0.5, 0],
    ...                          [0, 0, 0, 0.4]], method="common")
    >>> round(float(fit.coefficients.estimate[0]) * 28, 2)
    -0.9
    """
    check_choice("transformation", transformation, TRANSFORMATIONS)
    check_choice("method", method, METHODS)
    check_choice("ci_method", ci_method, CI_METHODS)
    level = check_level(level)
    data = _checked(estimates, variances, dose, dose_control, study, sampling_covariance)
    at = _knots(data, knots, knot_shares) if transformation == "spline" else ()
    design = curve_basis(data.dose, at) - curve_basis(data.control, at)
    n, p = design.shape
    if n < p:
        raise NotEstimableError(
            f"{plural(n, 'contrast')} cannot estimate {plural(p, 'coefficient')}"
        )
    if dependent_columns(design):
        listed = ", ".join(f"{value:g}" for value in sorted(set(data.dose)))
        raise NotEstimableError(
            f"doses of {listed} cannot tell {plural(p, 'coefficient')} apart"
            f" (knots at {', '.join(f'{knot:g}' for knot in at)})"
        )
    used, caveats = _method(method, design, data)
    unit = power_of_two_scale(data.v)
    width = 2.0 ** np.round(np.log2(np.abs(design).max(axis=0)))
    y, sampling, columns = data.y / unit, data.sampling / unit**2, design / width
    between, gap = np.zeros((p, p)), None
    if used == "REML":
        between, gap = maximise_slopes(y, columns, sampling, data.rows)
    fit = fit_slopes(y, columns, sampling, data.rows, between)
    common = fit_slopes(y, columns, sampling, data.rows, np.zeros((p, p)))
    turn = unit / width
    beta, covariance = fit.coefficients * turn, fit.covariance * np.outer(turn, turn)
    df = len(data.rows) - p if used == "REML" and ci_method == "t" else None
    q_df = len(y) - p
    scale = float((len(y) - p) * np.log(unit))
    doses = tuple(sorted({float(value) for value in (*data.dose, *data.control)}))
    single = sum(len(set(data.dose[rows])) == 1 for rows in data.rows)
    caveats += stated(
        (used == "REML" and not np.any(between), "boundary_between",
         "The variance of the slopes between studies is estimated as zero, the edge of what is"
         " possible; that is weak evidence that they are equal."),
        (gap is not None, "several_optima",
         "The likelihood of the slopes' variance has more than one optimum; the best was taken, the"
         f" next is {gap or 0:.3g} log units below it."),
        (single and not np.any(data.control), "single_dose",
         f"{plural(single, 'study gives', 'studies give')} one dose only; there the curve rests on"
         " the difference between any dose and none."),
        (at and len(doses) <= len(at), "few_doses",
         "There are hardly more different doses than knots; the curve between them is shaped by the"
         " spline, not by data."),
    )  # fmt: skip
    return DoseResponse(
        k=len(data.rows),
        n_contrasts=len(y),
        transformation=transformation,
        knots=at,
        coefficients=coefficient_table(
            basis_names(p), beta, covariance, None if df is None else np.full(p, float(df)), level
        ),
        between=frozen(between * np.outer(turn, turn)),
        method=used,
        log_likelihood=fit.log_likelihood - scale,
        optima_gap=gap,
        q=common.rss,
        q_df=q_df,
        q_p_value=float(special.chdtrc(q_df, common.rss)) if q_df > 0 else None,
        test=_joint(fit, df, range(p)),
        nonlinearity=_joint(fit, df, range(1, p)) if p > 1 else None,
        doses=doses,
        study=data.study,
        ci_method="wald" if df is None else "t",
        level=level,
        caveats=caveats,
        estimates=frozen(data.y),
        variances=frozen(data.v),
        dose=frozen(data.dose),
        dose_control=frozen(data.control),
        measure=measure_code(measure),
    )


class _Data(NamedTuple):
    y: Floats
    v: Floats
    dose: Floats
    control: Floats
    study: tuple[str, ...]
    rows: tuple[IntArray, ...]
    sampling: Floats


def _checked(
    estimates: ArrayLike,
    variances: ArrayLike,
    dose: ArrayLike,
    dose_control: ArrayLike | float,
    study: Sequence[object] | ArrayLike,
    covariance: ArrayLike | None,
) -> _Data:
    """Refuse what no study can have; return the data by study."""
    y = check_vector("estimates", estimates)
    n = y.size
    if n == 0:
        raise NotEstimableError("estimates is empty: there are no contrasts")
    v = check_vector("variances", variances, n)
    bad = np.flatnonzero(v <= 0)
    if bad.size:
        raise ImpossibleDataError(f"variances[{bad[0]}] is {v[bad[0]]:g}; it must be > 0")
    doses = check_vector("dose", dose, n)
    control = check_vector("dose_control", np.broadcast_to(np.asarray(dose_control), (n,)), n)
    labels, studies, groups = check_groups("study", study, n)
    for name, values in (("dose", doses), ("dose_control", control)):
        bad = np.flatnonzero(values < 0)
        if bad.size:
            raise ImpossibleDataError(
                f"{name}[{bad[0]}] ({labels[bad[0]]}) is {values[bad[0]]:g}; a dose is 0 or more"
            )
    same = np.flatnonzero(doses == control)
    if same.size:
        raise ImpossibleDataError(
            f"row {same[0]} of {labels[same[0]]!r} compares the dose {doses[same[0]]:g} with itself"
        )
    rows = tuple(np.flatnonzero(groups == index) for index in range(len(studies)))
    several = [name for name, at in zip(studies, rows, strict=True) if at.size > 1]
    if several and covariance is None:
        raise UsageError(
            f"{several[0]!r} has several contrasts, which share a control and are correlated;"
            " give sampling_covariance (see shared_arm_covariance)"
        )
    sampling = np.zeros((n, n))
    blocks = sampling_blocks(v, groups, studies, covariance, None)
    for at, block in zip(rows, blocks, strict=True):
        sampling[np.ix_(at, at)] = np.diag(block) if block.ndim == 1 else block
    return _Data(y, v, doses, control, labels, rows, sampling)


def _knots(
    data: _Data, knots: Sequence[float] | None, shares: Sequence[float]
) -> tuple[float, ...]:
    """Return the knots given, or those at quantiles of the doses of all arms."""
    if knots is not None:
        given = check_vector("knots", list(knots))
        if given.size < 3 or np.any(np.diff(given) <= 0):
            raise UsageError(f"knots is {list(knots)!r}; give at least three rising doses")
        return tuple(float(knot) for knot in given)
    arms = [float(value) for value in data.dose]
    for at in data.rows:
        arms += sorted({float(value) for value in data.control[at]})
    return knots_at(arms, shares)


def _method(asked: str, design: Floats, data: _Data) -> tuple[str, tuple[Caveat, ...]]:
    """Return the model that the data allow, and the caveat where it is another one."""
    if asked == "common":
        return "common", ()
    p = design.shape[1]
    able = sum(np.linalg.matrix_rank(design[at]) == p for at in data.rows)
    spare = len(data.y) - p
    if able >= LEAST_STUDIES and len(data.rows) > p and spare >= p * (p + 1) // 2:
        return "REML", ()
    doses = "one dose" if p == 1 else f"{p} doses"
    caveat = Caveat(
        "common_curve",
        f"One curve is fitted for all studies: {plural(int(able), 'study', 'studies')} with at"
        f" least {doses} cannot show how far curves differ, and the interval leaves that out.",
    )
    return "common", (caveat,)


def _joint(fit: SlopeFit, df: int | None, columns: Sequence[int]) -> JointTest:
    test = wald_test(fit.coefficients, fit.covariance, df, columns)
    if test.statistic is None or test.p_value is None:
        raise NotEstimableError("a coefficient has no standard error")
    return JointTest(test.statistic, test.df, test.df2, test.p_value)


# --- slopes that differ between studies: the restricted likelihood of their covariance ------------


#: Standard deviations of the slopes tried first, as multiples of the precision of the data.
_STARTS = np.geomspace(1e-2, 1e2, 9)
#: Grid of one variance: zero, then sixteen decades around the precision of the data.
_GRID = np.concatenate([[0.0], np.geomspace(1e-8, 1e8, 129)])
#: Two optima within this log-likelihood are the same.
SAME_OPTIMUM = 1e-7
#: Newton steps at most after the search, which stops where processors differ by 1e-8; few are made.
_NEWTON_STEPS = 20
#: Step of the differences that give the curvature, as a share of the largest parameter.
_DIFFERENCE = 1e-5
#: Directions with less curvature than this share of the largest are left as they are: a covariance
#: matrix of lower rank has several factors.
_FLAT = 1e-9
#: Variances and covariances below this share of the precision of the data are rounding of nothing.
_NOTHING = 1e-12


class SlopeFit(NamedTuple):
    """A generalised least squares fit at one covariance of the slopes.

    The restricted log-likelihood is as metafor's ``rma.mv`` counts it, ``rss`` the weighted sum of
    squared residuals, and ``gradient`` (p, p) that of the log-likelihood by the covariance.
    """

    coefficients: Floats
    covariance: Floats
    log_likelihood: float
    rss: float
    gradient: Floats


class SlopeOptimum(NamedTuple):
    """The largest restricted likelihood: ``between`` (p, p), and ``gap`` to the next optimum."""

    between: Floats
    gap: float | None


def fit_slopes(
    y: Floats,
    design: Floats,
    sampling: Floats,
    rows: Sequence[IntArray],
    between: Floats,
) -> SlopeFit:
    """Fit ``y = X b + Z u + e`` at a given covariance ``between`` of the study slopes ``u``.

    Each study's rows of the design are also its random design. With
    ``P = W - W X (X' W X)^-1 X' W`` the gradient is ``sum_i X_i' (P y y' P - P)_ii X_i / 2``.
    """
    n, p = design.shape
    total = sampling.copy()
    for at in rows:
        total[np.ix_(at, at)] += design[at] @ between @ design[at].T
    root = np.linalg.cholesky(total)
    white_y = np.linalg.solve(root, y)
    white_design = np.linalg.solve(root, design)
    q, r = np.linalg.qr(white_design)
    coefficients = np.linalg.solve(r, q.T @ white_y)
    residual = white_y - white_design @ coefficients
    coefficients = coefficients + np.linalg.solve(r, q.T @ residual)
    residual = white_y - white_design @ coefficients
    rss = float(residual @ residual)
    inverse = np.linalg.solve(r, np.eye(p))
    half = np.linalg.solve(root, np.eye(n))
    projected = half - q @ (q.T @ half)
    p_matrix = projected.T @ projected
    py = half.T @ residual
    gradient = np.zeros((p, p))
    for at in rows:
        inner = np.outer(py[at], py[at]) - p_matrix[np.ix_(at, at)]
        gradient += design[at].T @ inner @ design[at] / 2
    log_likelihood = -0.5 * (
        (n - p) * math.log(2 * math.pi)
        + 2 * float(np.log(np.diag(root)).sum())
        + 2 * float(np.log(np.abs(np.diag(r))).sum())
        - float(np.linalg.slogdet(design.T @ design)[1])
        + rss
    )
    return SlopeFit(coefficients, inverse @ inverse.T, log_likelihood, rss, gradient)


def maximise_slopes(
    y: Floats, design: Floats, sampling: Floats, rows: Sequence[IntArray]
) -> SlopeOptimum:
    """Return the covariance of the slopes at the global maximum of the restricted likelihood.

    Parameters as in :func:`fit_slopes`, in units in which precision is about 1. One slope is found
    on a grid and then as the root of the derivative; several by a quasi-Newton search over the
    Cholesky factor from several starts, and Newton steps from the best until they gain nothing.
    """
    search = _one_slope if design.shape[1] == 1 else _several_slopes
    return search(y, design, sampling, rows)


def _one_slope(
    y: Floats, design: Floats, sampling: Floats, rows: Sequence[IntArray]
) -> SlopeOptimum:
    def height(value: float) -> float:
        return fit_slopes(y, design, sampling, rows, np.array([[value]])).log_likelihood

    # Of each study its precision and its weighted sum are all that the derivative asks for.
    both = [np.linalg.solve(sampling[np.ix_(at, at)], design[at]).T @ np.c_[design[at], y[at]]
            for at in rows]  # fmt: skip
    precision, sums = np.concatenate(both).T

    def derivative(value: float | Floats) -> Any:
        shrunken = 1 / (1 + np.multiply.outer(value, precision))
        weights = precision * shrunken
        total = weights.sum(-1, keepdims=True)
        mean = (sums * shrunken).sum(-1, keepdims=True) / total
        left = (sums - precision * mean) * shrunken
        return (left**2 - weights + weights**2 / total).sum(-1) / 2

    slopes = derivative(_GRID)
    falls = np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))
    tops = [0.0] if slopes[0] <= 0 else []
    tops += [
        float(scipy.optimize.brentq(derivative, low, high, xtol=1e-300, rtol=1e-14))
        for low, high in zip(_GRID[falls], _GRID[falls + 1], strict=True)
    ]
    heights = sorted(((height(top), top) for top in tops), reverse=True)
    (most, best), *_ = heights
    others = [less for less, _ in heights[1:] if most - less > SAME_OPTIMUM]
    return SlopeOptimum(np.array([[best]]), most - max(others) if others else None)


def _several_slopes(
    y: Floats, design: Floats, sampling: Floats, rows: Sequence[IntArray]
) -> SlopeOptimum:
    p = design.shape[1]
    lower = np.tril_indices(p)

    def factor(flat: Floats) -> Floats:
        made = np.zeros((p, p))
        made[lower] = flat
        return made

    def objective(flat: Floats) -> tuple[float, Floats]:
        root = factor(flat)
        here = fit_slopes(y, design, sampling, rows, root @ root.T)
        return -here.log_likelihood, np.asarray(-2 * (here.gradient @ root)[lower])

    nothing = np.zeros(len(lower[0]))
    found = [(-objective(nothing)[0], nothing)]
    for size in _STARTS:
        for sign in (-1.0, 0.0, 1.0):
            start = size * np.eye(p)
            start[1:, 0] = 0.7 * sign * size
            climbed = scipy.optimize.minimize(
                objective,
                start[lower],
                jac=True,
                method="L-BFGS-B",
                options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500},
            )
            found.append((-float(climbed.fun), np.asarray(climbed.x, dtype=np.float64)))
    best = max(found, key=lambda item: item[0])
    # Where no slope at all is as good, none is the answer.
    if found[0][0] >= best[0] - SAME_OPTIMUM:
        return SlopeOptimum(np.zeros((p, p)), None)
    root = factor(_polished(lambda flat: objective(flat)[1], best[1]))
    between = root @ root.T
    return SlopeOptimum(np.where(np.abs(between) < _NOTHING, 0.0, between), None)


def _polished(gradient: Callable[[Floats], Floats], start: Floats) -> Floats:
    """Return the root of a gradient near ``start`` by Newton steps, while each halves its size."""
    here, slope = start, gradient(start)
    for _ in range(_NEWTON_STEPS):
        width = _DIFFERENCE * float(np.abs(here).max())
        shifts = width * np.eye(len(here))
        curvature = np.stack(
            [(gradient(here + s) - gradient(here - s)) / (2 * width) for s in shifts]
        )
        step = np.linalg.lstsq((curvature + curvature.T) / 2, -slope, rcond=_FLAT)[0]
        there = gradient(here + step)
        if not np.linalg.norm(there) < np.linalg.norm(slope) / 2:
            break
        here, slope = here + step, there
    return here
