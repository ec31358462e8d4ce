from ketameta.effects.conversions.arms import ROUTES as ROUTES
from ketameta.effects.conversions.arms import CombinedArms as CombinedArms
from ketameta.effects.conversions.arms import CombinedEvents as CombinedEvents
from ketameta.effects.conversions.arms import CountsFromPercent as CountsFromPercent
from ketameta.effects.conversions.arms import MeanSd as MeanSd
from ketameta.effects.conversions.arms import Route as Route
from ketameta.effects.conversions.arms import change_sd as change_sd
from ketameta.effects.conversions.arms import combine_arms as combine_arms
from ketameta.effects.conversions.arms import combine_events as combine_events
from ketameta.effects.conversions.arms import (
    correlation_from_change_sd as correlation_from_change_sd,
)
from ketameta.effects.conversions.arms import count_from_percent as count_from_percent
from ketameta.effects.conversions.arms import (
    mean_sd_from_five_numbers as mean_sd_from_five_numbers,
)
from ketameta.effects.conversions.arms import mean_sd_from_quartiles as mean_sd_from_quartiles
from ketameta.effects.conversions.arms import mean_sd_from_range as mean_sd_from_range
from ketameta.effects.conversions.spread import DISTRIBUTIONS as DISTRIBUTIONS
from ketameta.effects.conversions.spread import Z95 as Z95
from ketameta.effects.conversions.spread import log_se_from_ci as log_se_from_ci
from ketameta.effects.conversions.spread import pooled_sd as pooled_sd
from ketameta.effects.conversions.spread import sd_from_ci as sd_from_ci
from ketameta.effects.conversions.spread import sd_from_difference_ci as sd_from_difference_ci
from ketameta.effects.conversions.spread import sd_from_difference_se as sd_from_difference_se
from ketameta.effects.conversions.spread import sd_from_f as sd_from_f
from ketameta.effects.conversions.spread import sd_from_p as sd_from_p
from ketameta.effects.conversions.spread import sd_from_se as sd_from_se
from ketameta.effects.conversions.spread import sd_from_t as sd_from_t
from ketameta.effects.conversions.spread import se_from_ci as se_from_ci
from ketameta.effects.conversions.spread import se_from_p as se_from_p
from ketameta.effects.conversions.spread import se_from_sd as se_from_sd
from ketameta.effects.conversions.spread import t_from_f as t_from_f
from ketameta.effects.conversions.spread import t_from_p as t_from_p
from ketameta.effects.conversions.spread import z_from_p as z_from_p
