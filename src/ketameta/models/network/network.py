"""Many treatments compared at once: network meta-analysis of contrasts.

A random-effects consistency model with one heterogeneity variance for all comparisons; multi-arm
trials enter with the covariance of their arms. Equals metafor ``rma.mv(yi, V, mods = ~ 0 + ...,
random = ~ comp | study, rho = 1/2)`` and, with DL, netmeta.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import Floats, frozen
from ketameta.effects.door import takes_effects
from ketameta.errors import check_choice
from ketameta.formatting import (
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_significant,
    plural,
    published,
)
from ketameta.measures import Measure, measure_code
from ketameta.models.dependent.multilevel import CoefficientTable, coefficient_table
from ketameta.models.intervals import check_level, critical_value, two_sided_p
from ketameta.models.network.inconsistency import (
    QDecomposition,
    QTest,
    SideSplit,
    decompose_q,
    split_sides,
)
from ketameta.models.network.model import (
    CONSISTENT,
    NETWORK_TAU2_METHODS,
    NetworkData,
    NetworkFit,
    estimate_tau2,
    fit_at,
    network_data,
    network_rows,
    q_profile,
    whiten,
)
from ketameta.models.pooling import (
    both_scales,
    decimals_for,
    interval_cells,
    measure_words,
    own_scale,
    plural_measure,
    reader_words,
)
from ketameta.models.results import (
    Caveat,
    Columns,
    DrawsForest,
    DrawsPlot,
    Lazy,
    Line,
    Printed,
    Reports,
    Result,
    columns_of,
    computed,
    group,
)
from ketameta.models.tau2 import ESTIMATORS

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkNode:
    """A treatment in the plot: studies with it, and its participants where they are known."""

    treatment: str
    k: int
    n: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkEdge:
    """Two treatments that ``k`` studies compare."""

    first: str
    second: str
    k: int


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """One treatment against another, from all evidence in the network.

    Attributes
    ----------
    treatment, control : str
        The effect is treatment minus control.
    estimate, se, statistic, p_value, ci_low, ci_high : float
    pi_low, pi_high : float or None
        Interval for the effect in a new study.
    k_direct : int
        Studies that compare the two.
    """

    treatment: str
    control: str
    estimate: float
    se: float
    statistic: float
    p_value: float
    ci_low: float
    ci_high: float
    pi_low: float | None
    pi_high: float | None
    k_direct: int


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class ReadComparison(Result, Comparison):
    """A :class:`Comparison` that prints as it is read, by its measure and level."""

    not_serialised: ClassVar[tuple[str, ...]] = ("level", "measure")

    level: float = 0.95
    measure: str | None = None

    def printed(self) -> Printed:
        """Return the effect with its interval and test, and where that of a new study lies."""
        share, digits = f"{100 * self.level:g}%", decimals_for(self.se)
        ends = self.estimate, self.ci_low, self.ci_high
        cells = interval_cells(self.measure, *ends, share, digits)
        lines = [Line("effect", cells, format_p(self.p_value))]
        if self.pi_low is not None:
            read = reader_words(self.measure, self.estimate, self.pi_low, self.pi_high)
            own = format_interval(self.pi_low, self.pi_high, digits)
            lines.append(Line("next study", (f"{share} PI {own if read is None else read[1]}",)))
        lines.append(Line("direct", (plural(self.k_direct, "study", "studies"),)))
        head = f"{self.treatment} against {self.control}: {measure_words(self.measure)}"
        return Printed(head, lines)


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class NetworkMetaAnalysis(Lazy, DrawsForest, DrawsPlot, Reports, Result):
    """A network meta-analysis under consistency.

    Attributes
    ----------
    k, n_contrasts : int
        Studies, and independent comparisons in them.
    treatments : tuple of str
        The reference first.
    reference : str
    effects : CoefficientTable
        Every other treatment minus the reference.
    comparisons : tuple of Comparison
        Every pair, later treatment minus earlier one.
    tau2 : float
        Variance of the true effects of any comparison between studies.
    tau2_ci_low, tau2_ci_high : float or None
        Q-profile interval; ``None`` where it does not exist.
    i2 : float or None
        Share of Q beyond its degrees of freedom; ``None`` without degrees of freedom.
    q : QDecomposition
    splits : tuple of SideSplit
        Direct against indirect evidence.
    p_scores : ndarray of shape (T,)
        Mean certainty that a treatment is better than another, in the order of ``treatments``.
    lower_is_better : bool
    optima_gap : float or None
        Log-likelihood between the best optimum and the next; ``None`` when there is only one.
    nodes : tuple of NetworkNode
    edges : tuple of NetworkEdge
    studies : tuple of str
    designs : tuple of tuple of str
        Treatments of each study.
    tau2_method, ci_method : str
    level : float
    caveats : tuple of Caveat
    measure : str or None
        Code of the effect measure.
    """

    drawn_as: ClassVar[str] = "network"

    k: int
    n_contrasts: int
    treatments: tuple[str, ...]
    reference: str
    effects: CoefficientTable
    comparisons: tuple[Comparison, ...]
    tau2: float
    tau2_ci_low: float | None
    tau2_ci_high: float | None
    i2: float | None
    q: QDecomposition
    splits: tuple[SideSplit, ...]
    p_scores: Floats
    lower_is_better: bool
    optima_gap: float | None
    nodes: tuple[NetworkNode, ...]
    edges: tuple[NetworkEdge, ...]
    studies: tuple[str, ...]
    designs: tuple[tuple[str, ...], ...]
    tau2_method: str
    ci_method: str
    level: float
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    def compare(self, treatment: str, control: str) -> ReadComparison:
        """Return ``treatment`` minus ``control`` from all evidence in the network.

        Raises
        ------
        UsageError
            A name that is not in the network.
        """
        check_choice("treatment", treatment, self.treatments)
        check_choice("control", control, [name for name in self.treatments if name != treatment])
        for item in self.comparisons:
            if {item.treatment, item.control} == {treatment, control}:
                found = item if item.treatment == treatment else _reversed(item)
                return ReadComparison(
                    **dataclasses.asdict(found), level=self.level, measure=self.measure
                )
        raise LookupError(f"{treatment} against {control}")

    def ranking(self) -> tuple[tuple[str, float], ...]:
        """Return treatments and P-scores, best first."""
        order = np.argsort(-self.p_scores, kind="stable")
        return tuple((self.treatments[i], float(self.p_scores[i])) for i in order)

    def league_table(self, digits: int = 2) -> pd.DataFrame:
        """Return the league table, best treatment first: row minus column, with its interval."""
        import pandas as pd

        names = [name for name, _ in self.ranking()]

        def cell(row: str, column: str) -> str:
            if row == column:
                return row
            item = self.compare(row, column)
            return both_scales(self.measure, item.estimate, item.ci_low, item.ci_high, digits)

        cells = [[cell(row, column) for column in names] for row in names]
        return pd.DataFrame(cells, index=names, columns=names)

    def columns(self) -> Columns:
        """Return one row per pair of treatments."""
        return columns_of(self.comparisons)

    def splits_frame(self) -> pd.DataFrame:
        """Return direct against indirect evidence, one row per comparison made in a trial."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(item) for item in self.splits])

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years."""
        words = [
            f"{plural(len(self.treatments), 'treatment')} of {plural(self.k, 'study', 'studies')}"
            f" were compared by their {plural_measure(self.measure)}{own_scale(self.measure)} in a"
            " network meta-analysis under consistency (Salanti et al. 2008)."
        ]
        if self.tau2_method != "common":
            words.append(
                "One variance between studies, the same for every comparison, was estimated by"
                f" {ESTIMATORS[self.tau2_method].words}."
            )
        words.append(
            "Consistency was examined by design and by splitting direct from indirect evidence;"
            " treatments were ordered by P-scores (Rücker and Schwarzer 2015), where"
            f" {self._better()} is better."
        )
        return computed(words)

    def printed(self) -> Printed:
        """Return the sentence, the effects against the reference, ranking and consistency."""
        digits = decimals_for(float(self.effects.se.min()))
        scores = (f"{name} {format_number(score)}" for name, score in self.ranking())
        lines = [
            *self.effects.lines(self.level, self.measure),
            Line(
                "between studies",
                (f"τ² = {format_significant(self.tau2)} ({self._tau2_words()})",),
            ),
            Line("consistency", (_q_words(self.q),)),
            Line("P-scores", (f"{', '.join(scores)} ({self._better()} is better)",)),
        ]
        for split in self.splits:
            if split.p_value is not None and split.p_value < 0.05:
                two = " and ".join(format_number(x, digits) for x in (split.direct, split.indirect))
                words = f"{split.treatment} - {split.control}: {two}, {format_p(split.p_value)}"
                lines.append(Line("direct and indirect differ", (words,)))
        head = (
            f"Network meta-analysis: {plural(self.k, 'study', 'studies')},"
            f" {plural(len(self.treatments), 'treatment')}, {self.tau2_method},"
            f" against {self.reference}"
        )
        return Printed(head, lines, caveats=self.caveats)

    def _better(self) -> str:
        return "lower" if self.lower_is_better else "higher"

    def _tau2_words(self) -> str:
        if self.tau2_ci_low is None:
            return "no interval"
        upper = self.tau2_ci_high
        if upper is None:
            return f"from {format_significant(self.tau2_ci_low)}, no upper limit"
        share = "" if self.i2 is None else f"; I² = {format_percent(self.i2, 1)} from Q"
        if upper == 0:
            return f"no value fits{share}"
        return f"{format_significant(self.tau2_ci_low)} to {format_significant(upper)}{share}"


def _q_words(q: QDecomposition) -> str:
    if q.between.df == 0:
        return "not testable: no comparison has direct and indirect evidence from other designs"
    words = f"between designs {_one(q.between)}, within designs {_one(q.within)}"
    if q.between_random is not None:
        words += f"; given heterogeneity within designs {_one(q.between_random)}"
    return words


def _one(test: QTest) -> str:
    return f"Q({test.df}) = {format_number(test.q, 1)}, {format_p(test.p_value)}"


def _reversed(item: Comparison) -> Comparison:
    """Return a comparison the other way round."""
    turned: dict[str, Any] = {
        f"{kind}_{end}": None if (value := getattr(item, f"{kind}_{other}")) is None else -value
        for kind in ("ci", "pi")
        for end, other in (("low", "high"), ("high", "low"))
    }
    return dataclasses.replace(
        item, treatment=item.control, control=item.treatment, estimate=-item.estimate,
        statistic=-item.statistic, **turned,
    )  # fmt: skip


#: A p-value below this is worth a sentence: tests of inconsistency have little power (Song et al.
#: 2012, doi:10.1186/1471-2288-12-138).
INCONSISTENCY_P = 0.1


def network_caveats(
    data: NetworkData,
    asked: str,
    method: str,
    tau2: float,
    gap: float | None,
    q: QDecomposition,
    splits: tuple[SideSplit, ...],
) -> tuple[Caveat, ...]:
    """Return the caveats of a network fitted by ``method`` where ``asked`` was wanted."""
    found = []
    if method != asked:
        found.append(
            Caveat(
                "heterogeneity_not_estimable",
                "No comparison is made often enough to estimate heterogeneity; these are"
                " common-effect results, whose intervals leave it out.",
            )
        )
    elif method != "common" and tau2 == 0:
        found.append(
            Caveat(
                "boundary_tau2",
                "Heterogeneity is estimated as zero, the edge of what is possible; that is weak"
                " evidence that there is none.",
            )
        )
    if gap is not None:
        found.append(
            Caveat(
                "several_optima",
                "The likelihood of the heterogeneity has more than one optimum; the best was"
                f" taken, the next is {gap:.3g} log units below it.",
            )
        )
    adjusted = [item.label for item in data.studies if item.inconsistency > CONSISTENT]
    if adjusted:
        found.append(
            Caveat(
                "comparisons_averaged",
                f"The comparisons given for {', '.join(adjusted)} do not add up exactly; they were"
                " averaged within the study.",
            )
        )
    if q.between.df == 0:
        found.append(
            Caveat(
                "consistency_not_testable",
                "There is no loop of comparisons from different designs: that direct and indirect"
                " evidence agree is an assumption here, not a finding.",
            )
        )
    test = q.between_random or q.between
    p_value = published(test.p_value)
    if p_value is not None and p_value < INCONSISTENCY_P:
        found.append(
            Caveat(
                "inconsistency",
                f"Designs disagree ({format_p(p_value)}, limit {INCONSISTENCY_P:.2f}); read the"
                " comparisons one by one.",
            )
        )
    apart = [
        item
        for item in splits
        if item.p_value is not None and published(item.p_value) < INCONSISTENCY_P
    ]
    if apart:
        listed = ", ".join(f"{item.treatment} - {item.control}" for item in apart)
        found.append(
            Caveat(
                "direct_and_indirect_differ",
                f"Direct and indirect evidence differ (p < {INCONSISTENCY_P:g}) for"
                f" {plural(len(apart), 'comparison')}: {listed}.",
            )
        )
    return tuple(found)


NetworkTau2 = Literal["REML", "DL", "common"]
NetworkCi = Literal["t", "wald"]
NETWORK_CI_METHODS = ("t", "wald")


@takes_effects("study", "treatment", "control", "n_treatment", "n_control")
def network_meta_analysis(
    estimates: ArrayLike,
    variances: ArrayLike,
    study: Sequence[object] | ArrayLike,
    treatment: Sequence[object] | ArrayLike,
    control: Sequence[object] | ArrayLike,
    *,
    reference: str | None = None,
    sampling_covariance: ArrayLike | Sequence[ArrayLike] | None = None,
    n_treatment: ArrayLike | None = None,
    n_control: ArrayLike | None = None,
    lower_is_better: bool = True,
    tau2_method: NetworkTau2 = "REML",
    ci_method: NetworkCi = "t",
    level: float = 0.95,
    measure: Measure | str | None = None,
) -> NetworkMetaAnalysis:
    """Fit the random-effects consistency model to contrasts.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        Effects (treatment minus control) and sampling variances. Instead of all of the first five
        and the covariance: what :func:`~ketameta.pairwise` makes of arms; or a
        frame with the names of its columns.
    study, treatment, control : sequence of length k
        Study and the two treatments of each effect.
    reference : str, optional
        Treatment that the others are shown against; the one with most studies when not given. It
        changes no comparison.
    sampling_covariance : array_like of shape (k, k), or list of arrays, optional
        Needed for a study with p > 2 arms and p - 1 effects, such as
        :func:`ketameta.shared_arm_covariance`; a study may instead give all of
        its p (p - 1) / 2 effects, whose variances determine the covariance. A list has one matrix
        per study, in order of first appearance; many studies then need no large matrix.
    n_treatment, n_control : array_like of shape (k,), optional
        Participants, for the plot.
    lower_is_better : bool, default: True
        Direction of the ranking.
    tau2_method : {"REML", "DL", "common"}
        ``"common"`` has no heterogeneity.
    ci_method : {"t", "wald"}
        ``"t"`` has as many degrees of freedom as there are contrasts beyond the coefficients
        (metafor ``test="t"``); ``"wald"`` is the normal distribution (netmeta's default).
    level : float, default: 0.95
    measure : Measure or str, optional
        What the estimates are, for the printed words.

    Returns
    -------
    NetworkMetaAnalysis

    Raises
    ------
    UsageError
        Lengths that differ, unknown words, a reference that is in no study.
    ImpossibleDataError
        Values no study can have; a comparison of a treatment with itself or given twice.
    NotEstimableError
        A network that falls apart (its parts are named), or a multi-arm study without covariance.

    Notes
    -----
    P-scores are normal probabilities under the fit (Rücker and Schwarzer 2015). Inconsistency is
    examined by design (:func:`ketameta.models.network.inconsistency.decompose_q`) and by comparison
    (``split_sides``). Without degrees of freedom left the heterogeneity cannot be estimated; the
    common-effect model with normal intervals is then given and said. The prediction interval uses
    the quantile of the mean's interval.

    References
    ----------
    Salanti G, Higgins JPT, Ades AE, Ioannidis JPA (2008). Evaluation of networks of randomized
    trials. Statistical Methods in Medical Research 17(3), 279-301. doi:10.1177/0962280207080643

    Rücker G, Schwarzer G (2015). Ranking treatments in frequentist network meta-analysis works
    without resampling methods. BMC Medical Research Methodology 15, 58.
    doi:10.1186/s12874-015-0060-8

    Examples
    --------
    >>> fit = network_meta_analysis(
    ...     [-0.5, -0.6, -0.3, 0.2], [0.04, 0.05, 0.04, 0.06], ["a", "b", "c", "d"],
    ...     ["x", "x", "y", "y"], ["placebo", "placebo", "placebo", "x"])
    >>> fit.reference, round(fit.compare("x", "placebo").estimate, 4)
    ('placebo', -0.5364)
    """
    check_choice("tau2_method", tau2_method, NETWORK_TAU2_METHODS)
    check_choice("ci_method", ci_method, NETWORK_CI_METHODS)
    level = check_level(level)
    data = network_data(
        estimates, variances, study, treatment, control, reference, sampling_covariance,
        n_treatment, n_control,
    )  # fmt: skip
    whitened = whiten(data.studies)
    rows = network_rows(whitened, whitened.contrasts[:, 1:])
    spare = rows.X.shape[0] - rows.X.shape[1]
    method: NetworkTau2 = tau2_method if spare > 0 else "common"
    words = ci_method if spare > 0 else "wald"
    tau2, gap = estimate_tau2(rows, method)
    fit = fit_at(rows, tau2)
    limits = q_profile(rows, level) if spare > 0 and method != "common" else (None, None)
    df = float(fit.df) if words == "t" else None
    decomposition = decompose_q(data, whitened, rows, method)
    total, people = decomposition.total, data.participants or dict.fromkeys(data.treatments)
    known = {
        "k": len(data.studies),
        "n_contrasts": rows.X.shape[0],
        "treatments": data.treatments,
        "reference": data.treatments[0],
        "effects": coefficient_table(
            data.treatments[1:],
            fit.coefficients,
            fit.covariance,
            None if df is None else np.full(len(fit.coefficients), df),
            level,
        ),
        "comparisons": _comparisons(data, fit, df, level, method != "common"),
        "tau2": tau2,
        "tau2_ci_low": limits[0],
        "tau2_ci_high": limits[1],
        "i2": max(0.0, 1 - total.df / total.q) if total.df > 0 and total.q > 0 else None,
        "q": decomposition,
        "p_scores": frozen(p_scores(fit, lower_is_better)),
        "lower_is_better": bool(lower_is_better),
        "optima_gap": gap,
        "nodes": tuple(
            NetworkNode(name, sum(name in study.arms for study in data.studies), people[name])
            for name in data.treatments
        ),
        "edges": tuple(
            NetworkEdge(first, second, k)
            for first, second in itertools.combinations(data.treatments, 2)
            if (k := _direct(data, first, second))
        ),
        "studies": tuple(item.label for item in data.studies),
        "designs": tuple(item.arms for item in data.studies),
        "tau2_method": method,
        "ci_method": words,
        "level": level,
        "measure": measure_code(measure),
    }

    @cache
    def splits() -> tuple[SideSplit, ...]:
        return split_sides(data, whitened, rows, method)

    def caveats() -> tuple[Caveat, ...]:
        return network_caveats(data, tau2_method, method, tau2, gap, decomposition, splits())

    groups = group(("splits",), lambda: (splits(),)) | group(("caveats",), lambda: (caveats(),))
    return NetworkMetaAnalysis.of(known, groups)


def p_scores(fit: NetworkFit, lower_is_better: bool) -> Floats:
    """Return, for each treatment, the mean certainty that it beats another; shape (T,).

    ``P_i = sum_j Phi((d_j - d_i) / se_ij) / (T - 1)`` where lower is better.
    """
    effects = np.concatenate([[0.0], fit.coefficients])
    covariance = np.zeros((effects.size, effects.size))
    covariance[1:, 1:] = fit.covariance
    variance = np.diag(covariance)
    se = np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, 0.0))
    np.fill_diagonal(se, 1.0)
    better = special.ndtr((effects - effects[:, None]) / se * (1 if lower_is_better else -1))
    np.fill_diagonal(better, 0.0)
    return np.asarray(better.sum(axis=1) / (effects.size - 1))


def _comparisons(
    data: NetworkData, fit: NetworkFit, df: float | None, level: float, random: bool
) -> tuple[Comparison, ...]:
    names = data.treatments
    p = len(names) - 1
    pairs = list(itertools.combinations(range(len(names)), 2))
    weights = np.zeros((len(pairs), p))
    for row, (i, j) in enumerate(pairs):
        weights[row, j - 1] = 1.0
        if i > 0:
            weights[row, i - 1] = -1.0
    estimate = weights @ fit.coefficients
    variance = np.einsum("ij,jk,ik->i", weights, fit.covariance, weights)
    se = np.sqrt(variance)
    statistic = estimate / se
    p_value, critical = two_sided_p(statistic, df), critical_value(level, df)
    reach = critical * np.sqrt(variance + fit.tau2)
    numbers = {
        "estimate": estimate, "se": se, "statistic": statistic, "p_value": p_value,
        "ci_low": estimate - critical * se, "ci_high": estimate + critical * se,
    }  # fmt: skip
    if random:
        numbers |= {"pi_low": estimate - reach, "pi_high": estimate + reach}
    none: dict[str, Any] = {} if random else {"pi_low": None, "pi_high": None}
    return tuple(
        Comparison(
            treatment=names[j],
            control=names[i],
            k_direct=_direct(data, names[i], names[j]),
            **{name: float(values[row]) for name, values in numbers.items()},
            **none,
        )
        for row, (i, j) in enumerate(pairs)
    )


def _direct(data: NetworkData, first: str, second: str) -> int:
    return sum(first in study.arms and second in study.arms for study in data.studies)
