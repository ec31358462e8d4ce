"""ketameta: what is known about ketamine for ADHD, from extracted trial results to a report.

The names below are the public interface. Each is imported when first used, so that
``import ketameta`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES: dict[str, tuple[str, ...]] = {
    "effect_sizes": (
        "EffectSize",
        "log_odds_ratio",
        "log_ratio_of_means",
        "log_risk_ratio",
        "mean_difference",
        "risk_difference",
        "standardized_mean_change",
        "standardized_mean_difference",
    ),
    "effect_sizes.events": ("peto_log_odds_ratio",),
    "effect_sizes.means": ("single_mean",),
    "effect_sizes.paired": ("standardized_mean_change_by_changes",),
    "effects.correlations": ("correlation", "fisher_z"),
    "effects.hazards": (
        "log_hazard_ratio",
        "log_hazard_ratio_from_logrank",
        "log_hazard_ratio_from_se",
    ),
    "effects.pairwise": ("Contrasts", "pairwise"),
    "effects.proportions": (
        "arcsine_proportion",
        "double_arcsine_proportion",
        "log_odds",
        "proportion",
    ),
    "effects.rates": ("log_rate", "log_rate_ratio"),
    "effects.table": ("Effects", "effect_sizes"),
    "conversions": (
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
    ),
    "models._pymare": ("from_pymare", "to_pymare"),
    "models.absolute": ("absolute_effect",),
    "models.dose_response": ("dose_response",),
    "models.random_effects": ("common_effect", "random_effects"),
    "models.pooling": ("pool",),
    "models.prediction": ("prediction_interval", "probability_beyond"),
    "models.regression": ("meta_regression",),
    "models.subgroups": ("subgroup_analysis",),
    "models.permutation": ("permutation_test",),
    "models.multilevel": ("multilevel",),
    "models.multilevel_che": ("che", "che_sensitivity"),
    "models.robust": ("robust",),
    "models.dependence": ("shared_arm_covariance",),
    "models.rare_events": ("mantel_haenszel", "peto"),
    "models.binomial_normal": ("binomial_normal",),
    "models.bayes": ("bayes_random_effects", "posterior_curves"),
    "models.priors": ("HalfCauchy", "HalfNormal", "LogNormal", "LogT", "Normal", "Uniform"),
    "models.priors_published": ("rhodes_2015", "turner_2015"),
    "models.influence": ("influence",),
    "models.leave_one_out": ("leave_one_out",),
    "models.cumulative": ("cumulative",),
    "models.baujat": ("baujat",),
    "models.gosh": ("gosh",),
    "models.batched": ("batched_fit",),
    "models.egger": ("egger_test", "peters_test"),
    "models.network": ("network_components", "network_meta_analysis"),
    "models.pet_peese": ("pet_peese",),
    "models.selection_model": ("selection_model",),
    "models.small_study_fail_safe": ("fail_safe_n",),
    "models.small_study_henmi_copas": ("henmi_copas",),
    "models.small_study_ranks": ("rank_test",),
    "models.trim_and_fill": ("trim_and_fill",),
    "models.resampling": ("bootstrap",),
    "models.simulation": ("simulate_coverage",),
    "models.second_engine": ("second_engine",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", "plots", *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    if name == "plots":
        return import_module("ketameta.plots")
    if name not in _MODULES:
        raise AttributeError(f"module 'ketameta' has no attribute {name!r}")
    return getattr(import_module(f"ketameta.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
