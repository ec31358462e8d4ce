"""From what a source prints to what an effect size needs: arrays in, arrays out.

Knows nothing of tables. ``ROUTES`` names every way, so that the effect table can record it.
"""

from ketameta.conversions._rules import DISTRIBUTIONS
from ketameta.conversions.arms import (
    CombinedArms,
    CombinedEvents,
    CountsFromPercent,
    combine_arms,
    combine_events,
    count_from_percent,
)
from ketameta.conversions.differences import (
    sd_from_difference_ci,
    sd_from_difference_se,
    sd_from_f,
    sd_from_p,
    sd_from_t,
)
from ketameta.conversions.quantiles import (
    MeanSd,
    mean_sd_from_five_numbers,
    mean_sd_from_quartiles,
    mean_sd_from_range,
)
from ketameta.conversions.routes import ROUTES, Route
from ketameta.conversions.spread import (
    change_sd,
    correlation_from_change_sd,
    pooled_sd,
    sd_from_ci,
    sd_from_se,
    se_from_sd,
)
from ketameta.conversions.uncertainty import (
    log_se_from_ci,
    se_from_ci,
    se_from_p,
    t_from_f,
    t_from_p,
    z_from_p,
)

__all__ = [
    "DISTRIBUTIONS",
    "ROUTES",
    "CombinedArms",
    "CombinedEvents",
    "CountsFromPercent",
    "MeanSd",
    "Route",
    "change_sd",
    "combine_arms",
    "combine_events",
    "correlation_from_change_sd",
    "count_from_percent",
    "log_se_from_ci",
    "mean_sd_from_five_numbers",
    "mean_sd_from_quartiles",
    "mean_sd_from_range",
    "pooled_sd",
    "sd_from_ci",
    "sd_from_difference_ci",
    "sd_from_difference_se",
    "sd_from_f",
    "sd_from_p",
    "sd_from_se",
    "sd_from_t",
    "se_from_ci",
    "se_from_p",
    "se_from_sd",
    "t_from_f",
    "t_from_p",
    "z_from_p",
]
