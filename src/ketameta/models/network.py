"""Many treatments compared at once: network meta-analysis of contrasts.

A random-effects consistency model with one heterogeneity variance for all comparisons; multi-arm
trials enter with the covariance of their arms. Equals metafor ``rma.mv(yi, V, mods = ~ 0 + ...,
random = ~ comp | study, rho = 1/2)`` and, with DL, netmeta.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ketameta.effects.door import takes_effects
from ketameta.errors import check_choice
from ketameta.models.dependence_inputs import frozen
from ketameta.models.intervals import check_level
from ketameta.models.multilevel_results import coefficient_table
from ketameta.models.network_caveats import network_caveats
from ketameta.models.network_inconsistency import decompose_q, split_sides
from ketameta.models.network_inputs import NetworkData, network_components, network_data
from ketameta.models.network_model import (
    NETWORK_TAU2_METHODS,
    NetworkFit,
    estimate_tau2,
    fit_at,
    q_profile,
)
from ketameta.models.network_results import (
    Comparison,
    NetworkEdge,
    NetworkMetaAnalysis,
    NetworkNode,
)
from ketameta.models.network_rows import network_rows, whiten
from ketameta.vocabulary import Measure, measure_code

__all__ = ["network_components", "network_meta_analysis"]

FloatArray = NDArray[np.float64]
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
        and the covariance: what :func:`~ketameta.effects.pairwise.pairwise` makes of arms; or a
        frame with the names of its columns.
    study, treatment, control : sequence of length k
        Study and the two treatments of each effect.
    reference : str, optional
        Treatment that the others are shown against; the one with most studies when not given. It
        changes no comparison.
    sampling_covariance : array_like of shape (k, k), or list of arrays, optional
        Needed for a study with p > 2 arms and p - 1 effects, such as
        :func:`ketameta.models.dependence.shared_arm_covariance`; a study may instead give all of
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
    examined by design (:func:`ketameta.models.network_inconsistency.decompose_q`) and by comparison
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
        estimates,
        variances,
        study,
        treatment,
        control,
        reference,
        sampling_covariance,
        n_treatment,
        n_control,
    )
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
    total = decomposition.total
    splits = split_sides(data, whitened, rows, method)
    return NetworkMetaAnalysis(
        k=len(data.studies),
        n_contrasts=rows.X.shape[0],
        treatments=data.treatments,
        reference=data.treatments[0],
        effects=coefficient_table(
            data.treatments[1:],
            fit.coefficients,
            fit.covariance,
            None if df is None else np.full(len(fit.coefficients), df),
            level,
        ),
        comparisons=_comparisons(data, fit, df, level, method != "common"),
        tau2=tau2,
        tau2_ci_low=limits[0],
        tau2_ci_high=limits[1],
        i2=max(0.0, 1 - total.df / total.q) if total.df > 0 and total.q > 0 else None,
        q=decomposition,
        splits=splits,
        p_scores=frozen(p_scores(fit, lower_is_better)),
        lower_is_better=bool(lower_is_better),
        optima_gap=gap,
        nodes=_nodes(data),
        edges=_edges(data),
        studies=tuple(item.label for item in data.studies),
        designs=tuple(item.arms for item in data.studies),
        tau2_method=method,
        ci_method=words,
        level=level,
        caveats=network_caveats(data, tau2_method, method, tau2, gap, decomposition, splits),
        measure=measure_code(measure),
    )


def p_scores(fit: NetworkFit, lower_is_better: bool) -> FloatArray:
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
    upper = 0.5 + level / 2
    critical = float(special.ndtri(upper) if df is None else special.stdtrit(df, upper))
    found = []
    for row, (i, j) in enumerate(pairs):
        value, se = float(estimate[row]), math.sqrt(float(variance[row]))
        reach = critical * math.sqrt(se**2 + fit.tau2)
        ratio = value / se
        p_value = (
            special.erfc(abs(ratio) / math.sqrt(2))
            if df is None
            else special.betainc(df / 2, 0.5, df / (df + ratio**2))
        )
        found.append(
            Comparison(
                treatment=names[j],
                control=names[i],
                estimate=value,
                se=se,
                statistic=ratio,
                p_value=float(p_value),
                ci_low=value - critical * se,
                ci_high=value + critical * se,
                pi_low=value - reach if random else None,
                pi_high=value + reach if random else None,
                k_direct=_direct(data, names[i], names[j]),
            )
        )
    return tuple(found)


def _direct(data: NetworkData, first: str, second: str) -> int:
    return sum(first in study.arms and second in study.arms for study in data.studies)


def _nodes(data: NetworkData) -> tuple[NetworkNode, ...]:
    return tuple(
        NetworkNode(
            name,
            sum(name in study.arms for study in data.studies),
            None if data.participants is None else data.participants[name],
        )
        for name in data.treatments
    )


def _edges(data: NetworkData) -> tuple[NetworkEdge, ...]:
    return tuple(
        NetworkEdge(first, second, _direct(data, first, second))
        for first, second in itertools.combinations(data.treatments, 2)
        if _direct(data, first, second)
    )
