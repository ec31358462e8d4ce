"""How an effect was derived from what the source prints: one stable word per route.

The effect table records the code with every row; the report prints the description. Codes are
part of the data format: they are added, never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Route:
    """One way from printed numbers to an effect size or a part of it.

    Attributes
    ----------
    code : str
        Stable word.
    description : str
        What was done, in words for the report.
    source : str
        Where the method is described.
    is_exact : bool
        False where the route adds an assumption to what the source prints (a distribution, a
        correlation); such rows belong in a sensitivity analysis.
    """

    code: str
    description: str
    source: str
    is_exact: bool = True


_HANDBOOK = "Cochrane Handbook version 6, section "
_ROUTES = (
    Route("sd_printed", "mean and SD as printed", "the source"),
    Route("sd_from_se", "SD from the SE of the arm's mean", _HANDBOOK + "6.5.2.2"),
    Route(
        "sd_from_ci",
        "SD from the confidence interval of the arm's mean (t distribution)",
        _HANDBOOK + "6.5.2.2",
        False,
    ),
    Route(
        "sd_from_ci_normal",
        "SD from the confidence interval of the arm's mean (normal distribution)",
        _HANDBOOK + "6.5.2.2",
        False,
    ),
    Route(
        "sd_from_difference_se",
        "common SD of both arms from the SE of their difference",
        _HANDBOOK + "6.5.2.3",
        False,
    ),
    Route(
        "sd_from_difference_ci",
        "common SD of both arms from the confidence interval of their difference",
        _HANDBOOK + "6.5.2.3",
        False,
    ),
    Route(
        "sd_from_t",
        "common SD of both arms from their difference and its t statistic",
        _HANDBOOK + "6.5.2.3",
        False,
    ),
    Route(
        "sd_from_f",
        "common SD of both arms from their difference and its F statistic (1 numerator df)",
        _HANDBOOK + "6.5.2.3",
        False,
    ),
    Route(
        "sd_from_p",
        "common SD of both arms from their difference and its exact P value",
        _HANDBOOK + "6.5.2.3",
        False,
    ),
    Route(
        "sd_from_quartiles",
        "mean and SD from median and quartiles",
        "Luo et al. 2018, doi:10.1177/0962280216669183; Wan et al. 2014, "
        "doi:10.1186/1471-2288-14-135",
        False,
    ),
    Route(
        "sd_from_range",
        "mean and SD from median, minimum and maximum",
        "Luo et al. 2018, doi:10.1177/0962280216669183; Wan et al. 2014, "
        "doi:10.1186/1471-2288-14-135",
        False,
    ),
    Route(
        "sd_from_five_numbers",
        "mean and SD from the five-number summary",
        "Luo et al. 2018, doi:10.1177/0962280216669183; Shi et al. 2020, doi:10.1002/jrsm.1429",
        False,
    ),
    Route(
        "change_sd_from_correlation",
        "SD of the change from the SDs before and after and an assumed correlation",
        _HANDBOOK + "6.5.2.8",
        False,
    ),
    Route(
        "change_from_endpoint",
        "mean change as the mean after minus the mean before",
        _HANDBOOK + "6.5.2.8",
    ),
    Route("combined_arms", "several arms put together", _HANDBOOK + "6.5.2.10"),
    Route("counts", "events and participants as printed", "the source"),
    Route(
        "count_from_percent",
        "events from a printed percentage that fits exactly one whole number",
        "the source; ketameta.effects.conversions.count_from_percent",
    ),
    Route("combined_events", "events and participants of several arms added", "sums"),
    Route("zero_cell_correction", "0.5 added to each cell", _HANDBOOK + "10.4.4", False),
    Route("md_printed", "mean difference and its SE as printed", "the source"),
    Route("smd_printed", "standardised mean difference as printed", "the source"),
    Route(
        "smd_variance_from_n",
        "variance of a printed standardised mean difference from the arm sizes",
        "Hedges 1982, doi:10.1037/0033-2909.92.2.490",
    ),
    Route("ratio_printed", "odds, risk or hazard ratio as printed", "the source"),
    Route("ci_to_se", "SE from the confidence interval of the estimate", _HANDBOOK + "6.3.2"),
    Route("p_to_se", "SE from the exact P value of the estimate", _HANDBOOK + "6.3.2", False),
    Route(
        "t_printed", "g from the printed t statistic", "Hedges 1981, doi:10.3102/10769986006002107"
    ),
    Route("design_effect", "people and events over the design effect", _HANDBOOK + "23.1.4"),
    Route("z_printed", "g from the printed z statistic", _HANDBOOK + "6.5.2.3"),
    Route("t_from_p", "t statistic from an exact P value", _HANDBOOK + "6.5.2.3", False),
    Route("f_to_t", "t statistic from F with 1 numerator df", _HANDBOOK + "6.5.2.3"),
    Route("paired_printed", "SD or SE of within-person differences as printed", "the source"),
    Route(
        "paired_from_t",
        "within-person effect from the paired t statistic",
        "Dunlap et al. 1996, doi:10.1037/1082-989X.1.2.170",
        False,
    ),
    Route(
        "paired_correlation_assumed",
        "within-person correlation assumed",
        "Cochrane Handbook version 6, chapter 23",
        False,
    ),
    Route(
        "model_based",
        "SD or SE from a model with covariates (least-squares means), not from raw scores",
        _HANDBOOK + "6.5.2.3",
        False,
    ),
    Route("means_printed", "difference of the arms' printed means", "the source"),
    Route("se_printed", "SE as printed", "the source"),
    Route("se_from_t", "SE from the difference and its t statistic", _HANDBOOK + "6.5.2.3"),
    Route(
        "smd_from_t",
        "g from a t statistic and the arm sizes",
        "Hedges 1981, doi:10.3102/10769986006002107",
    ),
    Route("correlation_printed", "within-person correlation as printed", "the source"),
    Route("sign_from_words", "sign from the source's statement which arm did better", "the source"),
    Route(
        "before_after",
        "change of one arm in units of its SD before, without a control",
        "Becker 1988, Br. J. Math. Stat. Psychol. 41, 257-278",
        False,
    ),
    Route(
        "direction_flipped",
        "sign reversed because higher scores are better on this scale",
        _HANDBOOK + "6.5.1.2",
    ),
)

#: Every route by its code.
ROUTES: Mapping[str, Route] = MappingProxyType({route.code: route for route in _ROUTES})
