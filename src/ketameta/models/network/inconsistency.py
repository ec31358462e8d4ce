"""Whether direct and indirect evidence agree: Q by design, and side-splitting.

A room of its own because it examines what the model takes for granted.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ketameta.effects.arrays import Floats
from ketameta.models.network.model import (
    NetworkData,
    Rows,
    Whitened,
    estimate_tau2,
    fit_at,
    network_rows,
    tall_qr,
)

IntArray = NDArray[np.intp]


@dataclasses.dataclass(frozen=True, slots=True)
class QTest:
    """A chi-squared statistic of disagreement; ``p_value`` is None without degrees of freedom."""

    q: float
    df: int
    p_value: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class DesignQ:
    """Disagreement between the ``k`` studies of one ``design``, a set of treatments."""

    design: tuple[str, ...]
    k: int
    test: QTest


@dataclasses.dataclass(frozen=True, slots=True)
class QDecomposition:
    """Cochran's Q of the network in parts.

    Attributes
    ----------
    total, within, between : QTest
        All disagreement, between studies of one design (heterogeneity) and between designs
        (inconsistency), in the common-effect model; within and between add up to total.
    designs : tuple of DesignQ
        Parts of ``within``.
    between_random : QTest or None
        Inconsistency given the heterogeneity within designs (design-by-treatment interaction);
        ``None`` where no design has two studies or there are no loops.
    tau2_within : float or None
        The heterogeneity within designs that it uses.
    """

    total: QTest
    within: QTest
    between: QTest
    designs: tuple[DesignQ, ...]
    between_random: QTest | None
    tau2_within: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class SideSplit:
    """Direct against indirect evidence on one comparison.

    Attributes
    ----------
    treatment, control : str
        Effects are treatment minus control.
    k_direct : int
        Studies with both arms.
    direct, direct_se, indirect, indirect_se : float or None
        ``None`` where the network has only one of the two.
    difference, difference_se, statistic, p_value : float or None
        Direct minus indirect, with a normal test.
    tau2 : float or None
        Heterogeneity left once the two may differ.
    """

    treatment: str
    control: str
    k_direct: int
    direct: float | None
    direct_se: float | None
    indirect: float | None
    indirect_se: float | None
    difference: float | None
    difference_se: float | None
    statistic: float | None
    p_value: float | None
    tau2: float | None


def _test(q: float, df: int) -> QTest:
    # A sum of squares that is zero but for rounding is zero.
    value = max(q, 0.0) if df > 0 else 0.0
    return QTest(value, df, float(special.chdtrc(df, value)) if df > 0 else None)


def decompose_q(data: NetworkData, whitened: Whitened, rows: Rows, method: str) -> QDecomposition:
    """Split Q into heterogeneity within designs (by ``method``) and inconsistency between them.

    References
    ----------
    Krahn U, Binder H, König J (2013). A graphical tool for locating inconsistency in network
    meta-analyses. BMC Medical Research Methodology 13, 35. doi:10.1186/1471-2288-13-35

    Higgins JPT, Jackson D, Barrett JK, Lu G, Ades AE, White IR (2012). Consistency and
    inconsistency in network meta-analysis: concepts and models for multi-arm studies. Research
    Synthesis Methods 3(2), 98-110. doi:10.1002/jrsm.1044
    """
    listed = list(dict.fromkeys(study.arms for study in data.studies))
    number = {design: at for at, design in enumerate(listed)}
    of_study = np.array([number[study.arms] for study in data.studies])
    free, starts = _by_design(whitened, of_study, [len(design) - 1 for design in listed])
    of_row = of_study[whitened.study]
    designs = []
    for at, design in enumerate(listed):
        own = of_row == at
        columns = free.X[own, starts[at] : starts[at + 1]]
        fit = fit_at(Rows(free.z[own], columns, free.growth[own], 0.0), 0.0)
        designs.append(DesignQ(design, int((of_study == at).sum()), _test(fit.q, fit.df)))
    everything = fit_at(rows, 0.0)
    within_df = sum(part.test.df for part in designs)
    within = sum(part.test.q for part in designs)
    between_random, tau2 = None, None
    if within_df > 0 and everything.df > within_df:
        tau2 = estimate_tau2(free, method)[0]
        gain = fit_at(rows, tau2).q - fit_at(free, tau2).q
        between_random = _test(gain, everything.df - within_df)
    return QDecomposition(
        total=_test(everything.q, everything.df),
        within=_test(within, within_df),
        between=_test(everything.q - within, everything.df - within_df),
        designs=tuple(designs),
        between_random=between_random,
        tau2_within=tau2,
    )


def _by_design(whitened: Whitened, of_study: IntArray, sizes: list[int]) -> tuple[Rows, IntArray]:
    """Return rows in which every design has effects of its own, and where its columns begin."""
    starts = np.concatenate([[0], np.cumsum(sizes)])
    first = np.searchsorted(whitened.study, np.arange(len(of_study)))
    within = np.arange(len(whitened.study)) - first[whitened.study]
    columns = np.zeros((len(whitened.study), int(starts[-1])))
    columns[np.arange(len(columns)), starts[of_study[whitened.study]] + within] = 1.0
    return network_rows(whitened, columns), starts


def split_sides(
    data: NetworkData, whitened: Whitened, rows: Rows, method: str
) -> tuple[SideSplit, ...]:
    """Compare direct with indirect evidence for every comparison made in a trial.

    Notes
    -----
    Side-splitting by model: studies with both arms get an extra difference, half of it on each arm,
    and tau-squared is estimated anew. In networks of two-arm trials this is node-splitting
    (Dias et al. 2010); halving treats the two arms of a multi-arm trial alike (White 2015).

    References
    ----------
    Dias S, Welton NJ, Caldwell DM, Ades AE (2010). Checking consistency in mixed treatment
    comparison meta-analysis. Statistics in Medicine 29(7-8), 932-944. doi:10.1002/sim.3767

    White IR (2015). Network meta-analysis. The Stata Journal 15(4), 951-985.
    doi:10.1177/1536867X1501500403
    """
    names = data.treatments
    place = {name: at for at, name in enumerate(names)}
    inside = np.zeros((len(data.studies), len(names)), dtype=bool)
    for at, study in enumerate(data.studies):
        inside[at, [place[arm] for arm in study.arms]] = True
    found = []
    for minus, plus in itertools.combinations(range(len(names)), 2):
        both = inside[:, plus] & inside[:, minus]
        if both.any():
            extra = (whitened.contrasts[:, plus] - whitened.contrasts[:, minus]) / 2
            extra = extra * both[whitened.study]
            columns = np.column_stack([whitened.contrasts[:, 1:], extra])
            split = network_rows(whitened, columns)
            pair = _Pair(names, plus, minus, int(both.sum()))
            found.append(_split(pair, split, rows, method))
    return tuple(found)


class _Pair(NamedTuple):
    """Two treatments by their position, and the number of studies with both."""

    names: tuple[str, ...]
    plus: int
    minus: int
    k: int

    @property
    def weights(self) -> Floats:
        """The contrast of the two among the coefficients (the reference has none)."""
        found = np.zeros(len(self.names))
        found[self.plus], found[self.minus] = 1.0, -1.0
        return found[1:]


def _split(pair: _Pair, rows: Rows, consistent: Rows, method: str) -> SideSplit:
    p = rows.X.shape[1]
    triangle = tall_qr(rows.X / np.linalg.norm(rows.X, axis=0))[1]
    values = np.linalg.svd(triangle, compute_uv=False)
    if values.size < p or values[-1] <= 1e-9 * values[0]:
        return _direct_only(pair, consistent, method)
    n = rows.X.shape[0]
    tau2 = estimate_tau2(rows, method)[0] if n > p else 0.0
    fit = fit_at(rows, tau2)
    against = np.append(pair.weights, 0.0)
    direct = against.copy()
    direct[-1] = 1.0
    indirect_value, indirect_se = _linear(against, fit.coefficients, fit.covariance)
    direct_value, direct_se = _linear(direct, fit.coefficients, fit.covariance)
    difference, se = float(fit.coefficients[-1]), math.sqrt(float(fit.covariance[-1, -1]))
    z = difference / se
    return SideSplit(
        treatment=pair.names[pair.plus],
        control=pair.names[pair.minus],
        k_direct=pair.k,
        direct=direct_value,
        direct_se=direct_se,
        indirect=indirect_value,
        indirect_se=indirect_se,
        difference=difference,
        difference_se=se,
        statistic=z,
        p_value=float(special.erfc(abs(z) / math.sqrt(2))),
        tau2=tau2,
    )


def _direct_only(pair: _Pair, rows: Rows, method: str) -> SideSplit:
    """Return a comparison on which all evidence comes from trials with both arms."""
    n, p = rows.X.shape
    tau2 = estimate_tau2(rows, method)[0] if n > p else 0.0
    fit = fit_at(rows, tau2)
    value, se = _linear(pair.weights, fit.coefficients, fit.covariance)
    treatment, control = pair.names[pair.plus], pair.names[pair.minus]
    nothing = dict.fromkeys(_COMPARED)
    return SideSplit(treatment, control, pair.k, value, se, tau2=tau2, **nothing)


#: What a comparison has only where direct and indirect evidence meet.
_COMPARED = ("indirect", "indirect_se", "difference", "difference_se", "statistic", "p_value")


def _linear(weights: Floats, beta: Floats, covariance: Floats) -> tuple[float, float]:
    return float(weights @ beta), math.sqrt(float(weights @ covariance @ weights))
