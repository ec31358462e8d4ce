"""Effect sizes: arrays in, estimates and variances out.

Knows nothing of tables, of the direction of scales or of models. Estimates are treatment minus
control, or after minus before; which sign is good is decided in the effect table.
"""

from ketameta.effect_sizes.events import (
    DOUBLE_ZERO_RULES,
    ZERO_CELL_RULES,
    log_odds_ratio,
    log_risk_ratio,
    risk_difference,
)
from ketameta.effect_sizes.hedges import hedges_correction
from ketameta.effect_sizes.means import (
    log_ratio_of_means,
    mean_difference,
    smd_from_estimate,
    smd_from_t,
    standardized_mean_difference,
)
from ketameta.effect_sizes.paired import (
    paired_mean_difference,
    smd_paired_from_t,
    standardized_mean_change,
    standardized_mean_difference_paired,
)
from ketameta.effect_sizes.value import EffectSize

__all__ = [
    "DOUBLE_ZERO_RULES",
    "ZERO_CELL_RULES",
    "EffectSize",
    "hedges_correction",
    "log_odds_ratio",
    "log_ratio_of_means",
    "log_risk_ratio",
    "mean_difference",
    "paired_mean_difference",
    "risk_difference",
    "smd_from_estimate",
    "smd_from_t",
    "smd_paired_from_t",
    "standardized_mean_change",
    "standardized_mean_difference",
    "standardized_mean_difference_paired",
]
