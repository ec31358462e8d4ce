"""Published priors on tau, from 14,886 binary and 6,492 continuous Cochrane meta-analyses.

Holds the printed tables and looks them up; the densities are in :mod:`ketameta.models.priors`.
"""

from __future__ import annotations

from ketameta.errors import check_choice
from ketameta.models.priors import LogNormal, LogT

TURNER_COMPARISONS = (
    "pharmacological vs. placebo / control",
    "pharmacological vs. pharmacological",
    "non-pharmacological vs. placebo / control",
    "non-pharmacological vs. pharmacological",
    "non-pharmacological vs. non-pharmacological",
)

#: Mean and standard deviation of log(tau^2) for a log odds ratio, by outcome; the pairs follow
#: TURNER_COMPARISONS. Turner et al. (2015), as tabulated in bayesmeta 3.4 (``TurnerEtAlPrior``).
_TURNER: dict[str, tuple[tuple[float, float], ...]] = {
    "all-cause mortality": (
        (-3.95, 1.34),
        (-4.18, 1.41),
        (-4.17, 1.55),
        (-2.92, 1.02),
        (-3.5, 1.26),
    ),
    "obstetric outcomes": (
        (-3.52, 1.74),
        (-3.75, 1.79),
        (-3.74, 1.91),
        (-2.49, 1.5),
        (-3.08, 1.68),
    ),
    "cause-specific mortality / major morbidity event / composite (mortality or morbidity)": (
        (-3.71, 1.74),
        (-3.95, 1.79),
        (-3.93, 1.91),
        (-2.68, 1.51),
        (-3.27, 1.68),
    ),
    "resource use / hospital stay / process": (
        (-2.34, 1.74),
        (-2.58, 1.79),
        (-2.56, 1.91),
        (-1.31, 1.5),
        (-1.9, 1.68),
    ),
    "surgical / device related success / failure": (
        (-2.14, 1.74),
        (-2.37, 1.79),
        (-2.36, 1.91),
        (-1.11, 1.5),
        (-1.69, 1.68),
    ),
    "withdrawals / drop-outs": (
        (-2.99, 1.74),
        (-3.23, 1.79),
        (-3.21, 1.91),
        (-1.96, 1.51),
        (-2.55, 1.68),
    ),
    "internal / structure-related outcomes": (
        (-2.71, 1.74),
        (-2.94, 1.79),
        (-2.93, 1.92),
        (-1.67, 1.51),
        (-2.26, 1.68),
    ),
    "general physical health indicators": (
        (-2.29, 1.53),
        (-2.53, 1.58),
        (-2.51, 1.72),
        (-1.26, 1.25),
        (-1.85, 1.46),
    ),
    "adverse events": ((-1.87, 1.52), (-2.1, 1.58), (-2.1, 1.71), (-0.84, 1.24), (-1.43, 1.45)),
    "infection / onset of new disease": (
        (-2.49, 1.52),
        (-2.73, 1.58),
        (-2.71, 1.71),
        (-1.46, 1.24),
        (-2.05, 1.45),
    ),
    "signs / symptoms reflecting continuation / end of condition": (
        (-2.06, 1.51),
        (-2.29, 1.58),
        (-2.28, 1.71),
        (-1.03, 1.24),
        (-1.61, 1.45),
    ),
    "pain": ((-1.83, 1.52), (-2.06, 1.58), (-2.05, 1.71), (-0.8, 1.25), (-1.38, 1.45)),
    "quality of life / functioning (dichotomized)": (
        (-2.54, 1.54),
        (-2.78, 1.6),
        (-2.77, 1.73),
        (-1.51, 1.27),
        (-2.1, 1.47),
    ),
    "mental health indicators": (
        (-2.12, 1.53),
        (-2.35, 1.6),
        (-2.34, 1.72),
        (-1.09, 1.27),
        (-1.67, 1.47),
    ),
    "biological markers (dichotomized)": (
        (-1.77, 1.52),
        (-2.0, 1.58),
        (-1.99, 1.71),
        (-0.74, 1.24),
        (-1.33, 1.45),
    ),
    "subjective outcomes (various)": (
        (-2.7, 1.52),
        (-2.93, 1.58),
        (-2.92, 1.71),
        (-1.67, 1.25),
        (-2.26, 1.45),
    ),
}
TURNER_OUTCOMES = tuple(_TURNER)

RHODES_COMPARISONS = (
    "pharmacological vs. placebo / control",
    "pharmacological vs. pharmacological",
    "non-pharmacological (any)",
)
#: One outcome of Rhodes et al., too long for a line.
_SIGNS = (
    "signs / symptoms reflecting continuation / end of condition and infection / onset of new"
    " acute / chronic disease"
)
RHODES_AREAS = ("other", "respiratory", "cancer")

#: Location and scale of log(tau^2) (log-t with 5 degrees of freedom) for a standardised mean
#: difference, by area and outcome; the pairs follow RHODES_COMPARISONS. Rhodes et al. (2015), as
#: tabulated in bayesmeta 3.4 (``RhodesEtAlPrior``).
_RHODES: dict[str, dict[str, tuple[tuple[float, float], ...]]] = {
    "other": {
        "obstetric outcome": ((-4.13, 2.34), (-4.4, 2.31), (-3.99, 2.11)),
        "resource use and hospital stay / process": ((-2.55, 2.73), (-2.83, 2.7), (-2.41, 2.57)),
        "internal and external structure-related outcome": (
            (-2.43, 2.5),
            (-2.7, 2.46),
            (-2.29, 2.32),
        ),
        "general physical health and adverse event and pain and quality of life / functioning": (
            (-3.16, 2.5),
            (-3.44, 2.44),
            (-3.02, 2.27),
        ),
        _SIGNS: (
            (-3.0, 2.5),
            (-3.27, 2.47),
            (-2.86, 2.33),
        ),
        "mental health outcome": ((-2.99, 2.16), (-3.27, 2.14), (-3.85, 1.93)),
        "biological marker": ((-3.41, 2.83), (-3.68, 2.78), (-3.27, 2.66)),
        "various subjectively measured outcomes": ((-2.76, 2.58), (-3.03, 2.59), (-2.62, 2.41)),
    },
    "respiratory": {
        "obstetric outcome": ((-6.03, 2.36), (-6.31, 2.31), (-5.89, 2.21)),
        "resource use and hospital stay / process": ((-4.46, 2.74), (-4.73, 2.7), (-4.32, 2.57)),
        "internal and external structure-related outcome": (
            (-4.33, 2.51),
            (-4.61, 2.46),
            (-4.19, 2.33),
        ),
        "general physical health and adverse event and pain and quality of life / functioning": (
            (-5.07, 2.51),
            (-5.34, 2.45),
            (-4.93, 2.28),
        ),
        _SIGNS: (
            (-4.9, 2.5),
            (-5.18, 2.47),
            (-4.76, 2.33),
        ),
        "mental health outcome": ((-4.9, 2.17), (-5.17, 2.14), (-4.76, 1.94)),
        "biological marker": ((-5.31, 2.83), (-5.59, 2.78), (-5.17, 2.66)),
        "various subjectively measured outcomes": ((-4.66, 2.59), (-4.94, 2.59), (-4.52, 2.41)),
    },
    "cancer": {
        "obstetric outcome": ((-1.57, 2.45), (-1.85, 2.41), (-1.43, 2.24)),
        "resource use and hospital stay / process": ((0.01, 2.83), (-0.27, 2.79), (0.15, 2.68)),
        "internal and external structure-related outcome": (
            (-0.13, 2.61),
            (-0.14, 2.56),
            (0.27, 2.45),
        ),
        "general physical health and adverse event and pain and quality of life / functioning": (
            (-0.6, 2.61),
            (-0.88, 2.55),
            (-0.46, 2.4),
        ),
        _SIGNS: (
            (-0.44, 2.6),
            (-0.71, 2.57),
            (-0.3, 2.46),
        ),
        "mental health outcome": ((-0.43, 2.28), (-0.71, 2.25), (-0.29, 2.08)),
        "biological marker": ((-0.85, 2.93), (-1.13, 2.87), (-0.71, 2.78)),
        "various subjectively measured outcomes": ((-0.2, 2.68), (-0.48, 2.68), (-0.06, 2.53)),
    },
}
RHODES_OUTCOMES = tuple(_RHODES["other"])
#: Any outcome, any comparison; the values bayesmeta 3.4 gives when neither is named.
_TURNER_MARGINAL = (-2.56, 1.74)
_RHODES_MARGINAL = (-3.44, 2.59)


def turner_2015(outcome: str | None = None, comparison: str | None = None) -> LogNormal:
    """Empirical prior on tau for log odds ratios, by kind of outcome and comparison.

    Parameters
    ----------
    outcome : str, optional
        One of ``TURNER_OUTCOMES``, such as ``"adverse events"`` or ``"mental health indicators"``.
    comparison : str, optional
        One of ``TURNER_COMPARISONS``. Give both or neither; neither is the marginal prior over all.

    Returns
    -------
    LogNormal
        In units of the log odds ratio.

    Raises
    ------
    UsageError
        The word is not in the table; the choices are listed.

    References
    ----------
    Turner RM, Jackson D, Wei Y, Thompson SG, Higgins JPT (2015). Predictive distributions for
    between-study heterogeneity and simple methods for their application in Bayesian meta-analysis.
    Statistics in Medicine 34(6), 984-998. doi:10.1002/sim.6381

    Examples
    --------
    >>> turner_2015()
    LogNormal(log_tau2_mean=-2.56, log_tau2_sd=1.74)
    """
    if outcome is None and comparison is None:
        return LogNormal(*_TURNER_MARGINAL)
    row = _TURNER[check_choice("outcome", outcome, TURNER_OUTCOMES)]
    column = TURNER_COMPARISONS.index(check_choice("comparison", comparison, TURNER_COMPARISONS))
    return LogNormal(*row[column])


def rhodes_2015(
    outcome: str | None = None, comparison: str | None = None, area: str = "other"
) -> LogT:
    """Empirical prior on tau for standardised mean differences, by outcome, comparison and area.

    Parameters
    ----------
    outcome : str, optional
        One of ``RHODES_OUTCOMES``, such as ``"mental health outcome"``.
    comparison : str, optional
        One of ``RHODES_COMPARISONS``. Give both or neither; neither is the marginal prior over all.
    area : str, default: "other"
        One of ``RHODES_AREAS``; used only with an outcome.

    Returns
    -------
    LogT
        In units of the standardised mean difference.

    Raises
    ------
    UsageError
        The word is not in the table; the choices are listed.

    References
    ----------
    Rhodes KM, Turner RM, Higgins JPT (2015). Predictive distributions were developed for the extent
    of heterogeneity in meta-analyses of continuous outcome data. Journal of Clinical Epidemiology
    68(1), 52-60. doi:10.1016/j.jclinepi.2014.08.012

    Examples
    --------
    >>> rhodes_2015("mental health outcome", "pharmacological vs. placebo / control")
    LogT(log_tau2_location=-2.99, log_tau2_scale=2.16, df=5.0)
    """
    check_choice("area", area, RHODES_AREAS)
    if outcome is None and comparison is None:
        return LogT(*_RHODES_MARGINAL)
    row = _RHODES[area][check_choice("outcome", outcome, RHODES_OUTCOMES)]
    column = RHODES_COMPARISONS.index(check_choice("comparison", comparison, RHODES_COMPARISONS))
    return LogT(*row[column])
