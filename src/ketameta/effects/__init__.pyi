from ketameta.effects.arrays import LARGEST as LARGEST
from ketameta.effects.arrays import SMALLEST as SMALLEST
from ketameta.effects.arrays import Bools as Bools
from ketameta.effects.arrays import EffectSize as EffectSize
from ketameta.effects.arrays import Floats as Floats
from ketameta.effects.arrays import Problems as Problems
from ketameta.effects.arrays import as_number as as_number
from ketameta.effects.arrays import as_numbers as as_numbers
from ketameta.effects.arrays import as_sequence as as_sequence
from ketameta.effects.arrays import check_share as check_share
from ketameta.effects.arrays import columns as columns
from ketameta.effects.door import takes_effects as takes_effects
from ketameta.effects.events import DOUBLE_ZERO_RULES as DOUBLE_ZERO_RULES
from ketameta.effects.events import ZERO_CELL_RULES as ZERO_CELL_RULES
from ketameta.effects.events import check_events as check_events
from ketameta.effects.events import log_hazard_ratio as log_hazard_ratio
from ketameta.effects.events import log_hazard_ratio_from_logrank as log_hazard_ratio_from_logrank
from ketameta.effects.events import log_hazard_ratio_from_se as log_hazard_ratio_from_se
from ketameta.effects.events import log_odds_ratio as log_odds_ratio
from ketameta.effects.events import log_rate_ratio as log_rate_ratio
from ketameta.effects.events import log_ratio_from_ci as log_ratio_from_ci
from ketameta.effects.events import log_risk_ratio as log_risk_ratio
from ketameta.effects.events import peto_log_odds_ratio as peto_log_odds_ratio
from ketameta.effects.events import risk_difference as risk_difference
from ketameta.effects.events import zero_cells_of as zero_cells_of
from ketameta.effects.means import hedges_correction as hedges_correction
from ketameta.effects.means import log_ratio_of_means as log_ratio_of_means
from ketameta.effects.means import mean_difference as mean_difference
from ketameta.effects.means import paired_mean_difference as paired_mean_difference
from ketameta.effects.means import smd_from_estimate as smd_from_estimate
from ketameta.effects.means import smd_from_t as smd_from_t
from ketameta.effects.means import smd_paired_from_t as smd_paired_from_t
from ketameta.effects.means import standardized_mean_change as standardized_mean_change
from ketameta.effects.means import (
    standardized_mean_change_by_changes as standardized_mean_change_by_changes,
)
from ketameta.effects.means import standardized_mean_difference as standardized_mean_difference
from ketameta.effects.means import (
    standardized_mean_difference_paired as standardized_mean_difference_paired,
)
from ketameta.effects.one_group import arcsine_proportion as arcsine_proportion
from ketameta.effects.one_group import correlation as correlation
from ketameta.effects.one_group import double_arcsine_proportion as double_arcsine_proportion
from ketameta.effects.one_group import fisher_z as fisher_z
from ketameta.effects.one_group import log_odds as log_odds
from ketameta.effects.one_group import log_rate as log_rate
from ketameta.effects.one_group import proportion as proportion
from ketameta.effects.one_group import single_mean as single_mean
from ketameta.effects.pairwise import Contrasts as Contrasts
from ketameta.effects.table import Effects as Effects
from ketameta.effects.table import as_pandas as as_pandas
from ketameta.effects.table import check_alike as check_alike
from ketameta.effects.table import check_indexes as check_indexes
from ketameta.effects.table import effect_sizes as effect_sizes
from ketameta.effects.table import is_frame as is_frame
