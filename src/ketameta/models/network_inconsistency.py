"""Whether direct and indirect evidence agree: Q by design, and side-splitting."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ketameta.models.network_inputs import NetworkData, NetworkStudy
from ketameta.models.network_model import Rows, estimate_tau2, fit_at, network_rows

FloatArray = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class QTest:
    """A chi-squared statistic of disagreement.

    Attributes
    ----------
    q : float
    df : int
    p_value : float or None
        ``None`` without degrees of freedom.
    """

    q: float
    df: int
    p_value: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class DesignQ:
    """Disagreement between the studies of one design (set of treatments).

    Attributes
    ----------
    design : tuple of str
        The treatments compared.
    k : int
        Number of studies.
    test : QTest
    """

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


def decompose_q(data: NetworkData, rows: Rows, method: str) -> QDecomposition:
    """Split Q into heterogeneity within designs and inconsistency between them.

    Parameters
    ----------
    data : NetworkData
    rows : Rows
        The consistency model.
    method : {"REML", "DL", "common"}
        Estimator of the heterogeneity within designs.

    References
    ----------
    Krahn U, Binder H, König J (2013). A graphical tool for locating inconsistency in network
    meta-analyses. BMC Medical Research Methodology 13, 35. doi:10.1186/1471-2288-13-35

    Higgins JPT, Jackson D, Barrett JK, Lu G, Ades AE, White IR (2012). Consistency and
    inconsistency in network meta-analysis: concepts and models for multi-arm studies. Research
    Synthesis Methods 3(2), 98-110. doi:10.1002/jrsm.1044
    """
    groups: dict[tuple[str, ...], list[NetworkStudy]] = {}
    for study in data.studies:
        groups.setdefault(study.arms, []).append(study)
    designs = []
    for design, members in groups.items():
        own = network_rows(members, [np.eye(len(study.y)) for study in members])
        fit = fit_at(own, 0.0)
        designs.append(DesignQ(design, len(members), _test(fit.q, fit.df)))
    everything = fit_at(rows, 0.0)
    within_df = sum(part.test.df for part in designs)
    within = sum(part.test.q for part in designs)
    between_random, tau2 = None, None
    if within_df > 0 and everything.df > within_df:
        free = _by_design(data, list(groups))
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


def _by_design(data: NetworkData, designs: list[tuple[str, ...]]) -> Rows:
    """Return rows in which every design has effects of its own."""
    sizes = [len(design) - 1 for design in designs]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    columns = []
    for study in data.studies:
        at = designs.index(study.arms)
        block = np.zeros((len(study.y), int(starts[-1])))
        block[:, starts[at] : starts[at + 1]] = np.eye(len(study.y))
        columns.append(block)
    return network_rows(data.studies, columns)


def split_sides(data: NetworkData, method: str) -> tuple[SideSplit, ...]:
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
    found = []
    for i, control in enumerate(names):
        for treatment in names[i + 1 :]:
            k = sum(treatment in study.arms and control in study.arms for study in data.studies)
            if k:
                found.append(_split(data, treatment, control, k, method))
    return tuple(found)


def _split(data: NetworkData, treatment: str, control: str, k: int, method: str) -> SideSplit:
    plus, minus = data.treatments.index(treatment), data.treatments.index(control)
    columns = []
    for study in data.studies:
        both = treatment in study.arms and control in study.arms
        extra = (study.contrasts[:, plus] - study.contrasts[:, minus]) / 2 * both
        columns.append(np.column_stack([study.contrasts[:, 1:], extra]))
    rows = network_rows(data.studies, columns)
    p = rows.X.shape[1]
    values = np.linalg.svd(rows.X / np.linalg.norm(rows.X, axis=0), compute_uv=False)
    if values.size < p or values[-1] <= 1e-9 * values[0]:
        return _direct_only(data, treatment, control, k, method)
    n = rows.X.shape[0]
    tau2 = estimate_tau2(rows, method)[0] if n > p else 0.0
    fit = fit_at(rows, tau2)
    against = np.zeros(p)
    if plus > 0:
        against[plus - 1] += 1
    if minus > 0:
        against[minus - 1] -= 1
    direct = against.copy()
    direct[-1] = 1.0
    indirect_value, indirect_se = _linear(against, fit.coefficients, fit.covariance)
    direct_value, direct_se = _linear(direct, fit.coefficients, fit.covariance)
    difference, se = float(fit.coefficients[-1]), math.sqrt(float(fit.covariance[-1, -1]))
    z = difference / se
    return SideSplit(
        treatment=treatment,
        control=control,
        k_direct=k,
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


def _direct_only(data: NetworkData, treatment: str, control: str, k: int, method: str) -> SideSplit:
    """Return a comparison on which all evidence comes from trials with both arms."""
    rows = network_rows(data.studies, [study.contrasts[:, 1:] for study in data.studies])
    n, p = rows.X.shape
    tau2 = estimate_tau2(rows, method)[0] if n > p else 0.0
    fit = fit_at(rows, tau2)
    against = np.zeros(p)
    for name, sign in ((treatment, 1.0), (control, -1.0)):
        at = data.treatments.index(name)
        if at > 0:
            against[at - 1] = sign
    value, se = _linear(against, fit.coefficients, fit.covariance)
    return SideSplit(treatment, control, k, value, se, None, None, None, None, None, None, tau2)


def _linear(weights: FloatArray, beta: FloatArray, covariance: FloatArray) -> tuple[float, float]:
    return float(weights @ beta), math.sqrt(float(weights @ covariance @ weights))
