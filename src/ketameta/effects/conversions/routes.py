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


_THE_SOURCE = "the source"
_LUO = "Luo et al. 2018, doi:10.1177/0962280216669183; "
_WAN = f"{_LUO}Wan et al. 2014, doi:10.1186/1471-2288-14-135"
_SHI = f"{_LUO}Shi et al. 2020, doi:10.1002/jrsm.1429"
_HEDGES = "Hedges 1981, doi:10.3102/10769986006002107"
_BECKER = "Becker 1988, Br. J. Math. Stat. Psychol. 41, 257-278"
_ARM_CI = "SD from the confidence interval of the arm's mean"
_COMMON = "common SD of both arms from"


def _handbook(place: str) -> str:
    return f"Cochrane Handbook version 6, {'section ' if '.' in place else 'chapter '}{place}"


#: What a source prints, or what follows from it without an assumption.
_EXACT = (
    ("sd_printed", "mean and SD as printed", _THE_SOURCE),
    ("sd_from_se", "SD from the SE of the arm's mean", _handbook("6.5.2.2")),
    ("change_from_endpoint", "mean change as the mean after minus the mean before",
     _handbook("6.5.2.8")),
    ("combined_arms", "several arms put together", _handbook("6.5.2.10")),
    ("counts", "events and participants as printed", _THE_SOURCE),
    ("count_from_percent", "events from a printed percentage that fits exactly one whole number",
     "the source; ketameta.effects.conversions.count_from_percent"),
    ("combined_events", "events and participants of several arms added", "sums"),
    ("md_printed", "mean difference and its SE as printed", _THE_SOURCE),
    ("smd_printed", "standardised mean difference as printed", _THE_SOURCE),
    ("smd_variance_from_n",
     "variance of a printed standardised mean difference from the arm sizes",
     "Hedges 1982, doi:10.1037/0033-2909.92.2.490"),
    ("ratio_printed", "odds, risk or hazard ratio as printed", _THE_SOURCE),
    ("ci_to_se", "SE from the confidence interval of the estimate", _handbook("6.3.2")),
    ("t_printed", "g from the printed t statistic", _HEDGES),
    ("design_effect", "people and events over the design effect", _handbook("23.1.4")),
    ("z_printed", "g from the printed z statistic", _handbook("6.5.2.3")),
    ("f_to_t", "t statistic from F with 1 numerator df", _handbook("6.5.2.3")),
    ("paired_printed", "SD or SE of within-person differences as printed", _THE_SOURCE),
    ("means_printed", "difference of the arms' printed means", _THE_SOURCE),
    ("se_printed", "SE as printed", _THE_SOURCE),
    ("se_from_t", "SE from the difference and its t statistic", _handbook("6.5.2.3")),
    ("smd_from_t", "g from a t statistic and the arm sizes", _HEDGES),
    ("correlation_printed", "within-person correlation as printed", _THE_SOURCE),
    ("sign_from_words", "sign from the source's statement which arm did better", _THE_SOURCE),
    ("direction_flipped", "sign reversed because higher scores are better on this scale",
     _handbook("6.5.1.2")),
)  # fmt: skip
_ASSUMED = (
    ("sd_from_ci", f"{_ARM_CI} (t distribution)", _handbook("6.5.2.2")),
    ("sd_from_ci_normal", f"{_ARM_CI} (normal distribution)", _handbook("6.5.2.2")),
    ("sd_from_difference_se", f"{_COMMON} the SE of their difference", _handbook("6.5.2.3")),
    ("sd_from_difference_ci", f"{_COMMON} the confidence interval of their difference",
     _handbook("6.5.2.3")),
    ("sd_from_t", f"{_COMMON} their difference and its t statistic", _handbook("6.5.2.3")),
    ("sd_from_f", f"{_COMMON} their difference and its F statistic (1 numerator df)",
     _handbook("6.5.2.3")),
    ("sd_from_p", f"{_COMMON} their difference and its exact P value", _handbook("6.5.2.3")),
    ("sd_from_quartiles", "mean and SD from median and quartiles", _WAN),
    ("sd_from_range", "mean and SD from median, minimum and maximum", _WAN),
    ("sd_from_five_numbers", "mean and SD from the five-number summary", _SHI),
    ("change_sd_from_correlation",
     "SD of the change from the SDs before and after and an assumed correlation",
     _handbook("6.5.2.8")),
    ("zero_cell_correction", "0.5 added to each cell", _handbook("10.4.4")),
    ("p_to_se", "SE from the exact P value of the estimate", _handbook("6.3.2")),
    ("t_from_p", "t statistic from an exact P value", _handbook("6.5.2.3")),
    ("paired_from_t", "within-person effect from the paired t statistic",
     "Dunlap et al. 1996, doi:10.1037/1082-989X.1.2.170"),
    ("paired_correlation_assumed", "within-person correlation assumed", _handbook("23")),
    ("model_based",
     "SD or SE from a model with covariates (least-squares means), not from raw scores",
     _handbook("6.5.2.3")),
    ("before_after", "change of one arm in units of its SD before, without a control", _BECKER),
)  # fmt: skip

#: Every route by its code.
ROUTES: Mapping[str, Route] = MappingProxyType(
    {row[0]: Route(*row, is_exact=rows is _EXACT) for rows in (_EXACT, _ASSUMED) for row in rows}
)
