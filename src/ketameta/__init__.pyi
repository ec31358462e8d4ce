from ketameta import plots as plots
from ketameta.effects.arrays import EffectSize as EffectSize
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
from ketameta.effects.events import log_hazard_ratio as log_hazard_ratio
from ketameta.effects.events import log_hazard_ratio_from_logrank as log_hazard_ratio_from_logrank
from ketameta.effects.events import log_hazard_ratio_from_se as log_hazard_ratio_from_se
from ketameta.effects.events import log_odds_ratio as log_odds_ratio
from ketameta.effects.events import log_rate_ratio as log_rate_ratio
from ketameta.effects.events import log_ratio_from_ci as log_ratio_from_ci
from ketameta.effects.events import log_risk_ratio as log_risk_ratio
from ketameta.effects.events import peto_log_odds_ratio as peto_log_odds_ratio
from ketameta.effects.events import risk_difference as risk_difference
from ketameta.effects.means import log_ratio_of_means as log_ratio_of_means
from ketameta.effects.means import mean_difference as mean_difference
from ketameta.effects.means import standardized_mean_change as standardized_mean_change
from ketameta.effects.means import (
    standardized_mean_change_by_changes as standardized_mean_change_by_changes,
)
from ketameta.effects.means import standardized_mean_difference as standardized_mean_difference
from ketameta.effects.one_group import arcsine_proportion as arcsine_proportion
from ketameta.effects.one_group import correlation as correlation
from ketameta.effects.one_group import double_arcsine_proportion as double_arcsine_proportion
from ketameta.effects.one_group import fisher_z as fisher_z
from ketameta.effects.one_group import log_odds as log_odds
from ketameta.effects.one_group import log_rate as log_rate
from ketameta.effects.one_group import proportion as proportion
from ketameta.effects.one_group import single_mean as single_mean
from ketameta.effects.pairwise import Contrasts as Contrasts
from ketameta.effects.pairwise import pairwise as pairwise
from ketameta.effects.table import Effects as Effects
from ketameta.effects.table import effect_sizes as effect_sizes
from ketameta.models.bayes.counts import bayes_event_counts as bayes_event_counts
from ketameta.models.bayes.normal import bayes_random_effects as bayes_random_effects
from ketameta.models.bayes.normal import posterior_curves as posterior_curves
from ketameta.models.bayes.priors import HalfCauchy as HalfCauchy
from ketameta.models.bayes.priors import HalfNormal as HalfNormal
from ketameta.models.bayes.priors import LogNormal as LogNormal
from ketameta.models.bayes.priors import LogT as LogT
from ketameta.models.bayes.priors import Normal as Normal
from ketameta.models.bayes.priors import Uniform as Uniform
from ketameta.models.bayes.priors import rhodes_2015 as rhodes_2015
from ketameta.models.bayes.priors import turner_2015 as turner_2015
from ketameta.models.contrasts import anova as anova
from ketameta.models.contrasts import linear_contrasts as linear_contrasts
from ketameta.models.contrasts import marginal_means as marginal_means
from ketameta.models.dependent.che import che as che
from ketameta.models.dependent.che import che_sensitivity as che_sensitivity
from ketameta.models.dependent.multilevel import multilevel as multilevel
from ketameta.models.dependent.robust import robust as robust
from ketameta.models.dependent.robust import wild_bootstrap as wild_bootstrap
from ketameta.models.dependent.sampling_covariance import (
    shared_arm_covariance as shared_arm_covariance,
)
from ketameta.models.diagnostics.gosh import gosh as gosh
from ketameta.models.diagnostics.influence import baujat as baujat
from ketameta.models.diagnostics.influence import cumulative as cumulative
from ketameta.models.diagnostics.influence import influence as influence
from ketameta.models.diagnostics.influence import leave_one_out as leave_one_out
from ketameta.models.diagnostics.second_engine import from_pymare as from_pymare
from ketameta.models.diagnostics.second_engine import second_engine as second_engine
from ketameta.models.diagnostics.second_engine import to_pymare as to_pymare
from ketameta.models.dose import dose_response as dose_response
from ketameta.models.network.model import network_components as network_components
from ketameta.models.network.network import network_meta_analysis as network_meta_analysis
from ketameta.models.pooling import common_effect as common_effect
from ketameta.models.pooling import pool as pool
from ketameta.models.pooling import random_effects as random_effects
from ketameta.models.prediction import absolute_effect as absolute_effect
from ketameta.models.prediction import blup as blup
from ketameta.models.prediction import prediction_interval as prediction_interval
from ketameta.models.prediction import probability_beyond as probability_beyond
from ketameta.models.rare_events.binomial_normal import binomial_normal as binomial_normal
from ketameta.models.rare_events.mantel_haenszel import mantel_haenszel as mantel_haenszel
from ketameta.models.rare_events.mantel_haenszel import peto as peto
from ketameta.models.rare_events.one_group import one_group as one_group
from ketameta.models.regression import meta_regression as meta_regression
from ketameta.models.resampling.batched import batched_fit as batched_fit
from ketameta.models.resampling.bootstrap import bootstrap as bootstrap
from ketameta.models.resampling.monte_carlo import permutation_test as permutation_test
from ketameta.models.resampling.monte_carlo import simulate_coverage as simulate_coverage
from ketameta.models.small_study.adjusted import henmi_copas as henmi_copas
from ketameta.models.small_study.adjusted import pet_peese as pet_peese
from ketameta.models.small_study.adjusted import trim_and_fill as trim_and_fill
from ketameta.models.small_study.asymmetry import egger_test as egger_test
from ketameta.models.small_study.asymmetry import peters_test as peters_test
from ketameta.models.small_study.asymmetry import rank_test as rank_test
from ketameta.models.small_study.selection_model import selection_model as selection_model
from ketameta.models.small_study.significance import excess_significance as excess_significance
from ketameta.models.small_study.significance import fail_safe_n as fail_safe_n
from ketameta.models.subgroups import subgroup_analysis as subgroup_analysis

__version__: str
