"""What a network meta-analysis hands back: effects, league table, ranking, plot data."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from ketameta.errors import check_choice
from ketameta.models.fit_words import decimals_for
from ketameta.models.multilevel_results import CoefficientTable
from ketameta.models.network_inconsistency import QDecomposition, QTest, SideSplit
from ketameta.models.results import Caveat, DrawsPlot, Result
from ketameta.numberformat import (
    format_estimate,
    format_number,
    format_p,
    format_percent,
    format_significant,
    plural,
)

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]


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
class NetworkMetaAnalysis(DrawsPlot, Result):
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
    p_scores: FloatArray
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

    def compare(self, treatment: str, control: str) -> Comparison:
        """Return ``treatment`` minus ``control`` from all evidence in the network.

        Raises
        ------
        UsageError
            A name that is not in the network.
        """
        check_choice("treatment", treatment, self.treatments)
        check_choice("control", control, [name for name in self.treatments if name != treatment])
        for item in self.comparisons:
            if (item.treatment, item.control) == (treatment, control):
                return item
            if (item.control, item.treatment) == (treatment, control):
                return _reversed(item)
        raise LookupError(f"{treatment} against {control}")

    def ranking(self) -> tuple[tuple[str, float], ...]:
        """Return treatments and P-scores, best first."""
        order = np.argsort(-self.p_scores, kind="stable")
        return tuple((self.treatments[i], float(self.p_scores[i])) for i in order)

    def league_table(self, digits: int = 2) -> pd.DataFrame:
        """Return the league table, best treatment first: row minus column, with its interval."""
        import pandas as pd

        names = [name for name, _ in self.ranking()]
        cells = []
        for row in names:
            line = []
            for column in names:
                if row == column:
                    line.append(row)
                    continue
                item = self.compare(row, column)
                line.append(format_estimate(item.estimate, item.ci_low, item.ci_high, digits))
            cells.append(line)
        return pd.DataFrame(cells, index=names, columns=names)

    def tidy(self) -> pd.DataFrame:
        """Return one row per pair of treatments."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(item) for item in self.comparisons])

    def splits_frame(self) -> pd.DataFrame:
        """Return direct against indirect evidence, one row per comparison made in a trial."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(item) for item in self.splits])

    def summary(self) -> str:
        """Return the sentence, the effects against the reference, ranking and consistency."""
        digits = decimals_for(float(self.effects.se.min()))
        names, scores = zip(*self.ranking(), strict=True)
        lines = [
            f"<Network meta-analysis: {plural(self.k, 'study', 'studies')},"
            f" {plural(len(self.treatments), 'treatment')}, {self.tau2_method},"
            f" against {self.reference}>",
            *self.effects.lines(self.level, self.measure),
            f"  between studies  τ² = {format_significant(self.tau2)} ({self._tau2_words()})",
            f"  consistency  {_q_words(self.q)}",
            "  P-scores  "
            + ", ".join(
                f"{name} {format_number(score)}" for name, score in zip(names, scores, strict=True)
            ),
        ]
        disagreeing = [
            split for split in self.splits if split.p_value is not None and split.p_value < 0.05
        ]
        lines += [
            f"  direct and indirect differ  {split.treatment} - {split.control}:"
            f" {format_number(split.direct, digits)} and {format_number(split.indirect, digits)},"
            f" {format_p(split.p_value)}"
            for split in disagreeing
        ]
        return "\n".join(lines + [f"  note: {caveat.message}" for caveat in self.caveats])

    def _tau2_words(self) -> str:
        if self.tau2_ci_low is None:
            return "no interval"
        upper = self.tau2_ci_high
        if upper is None:
            return f"from {format_significant(self.tau2_ci_low)}, no upper limit"
        share = "" if self.i2 is None else f"; I² = {format_percent(self.i2, 1)} from Q"
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
    return Comparison(
        treatment=item.control,
        control=item.treatment,
        estimate=-item.estimate,
        se=item.se,
        statistic=-item.statistic,
        p_value=item.p_value,
        ci_low=-item.ci_high,
        ci_high=-item.ci_low,
        pi_low=None if item.pi_high is None else -item.pi_high,
        pi_high=None if item.pi_low is None else -item.pi_low,
        k_direct=item.k_direct,
    )
