"""Controlled words and the sign convention. Words of the data, words of the options, nothing else.

Sign convention, everywhere downstream of the effect table: **negative favours the treatment** for
a standardised mean difference, whatever the direction of the scale. Mean differences keep the
units and the sign of their scale; ratios and risk differences keep the sign of the event.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Measure(StrEnum):
    """Effect measures, by the codes the field knows from metafor."""

    SMD = "SMD"
    MD = "MD"
    ROM = "ROM"
    OR = "OR"
    RR = "RR"
    RD = "RD"
    SMCR = "SMCR"

    @property
    def is_ratio(self) -> bool:
        """Whether the estimate is the logarithm of a ratio."""
        return self in {Measure.OR, Measure.RR, Measure.ROM}

    @property
    def label(self) -> str:
        """The measure in words, as an axis prints it."""
        return _MEASURE_LABELS[self]

    @property
    def null(self) -> float:
        """No effect, on the scale that is displayed (1 for ratios)."""
        return 1.0 if self.is_ratio else 0.0


_MEASURE_LABELS = {
    Measure.SMD: "Standardised mean difference (Hedges' g)",
    Measure.MD: "Mean difference",
    Measure.ROM: "Ratio of means",
    Measure.OR: "Odds ratio",
    Measure.RR: "Risk ratio",
    Measure.RD: "Risk difference",
    Measure.SMCR: "Standardised mean change",
}

Tau2Method = Literal["DL", "PM", "HE", "HS", "SJ", "ML", "REML", "EB"]
TAU2_METHODS: tuple[str, ...] = ("DL", "PM", "HE", "HS", "SJ", "ML", "REML", "EB")

CiMethod = Literal["wald", "knapp-hartung", "knapp-hartung-conservative"]
CI_METHODS: tuple[str, ...] = ("wald", "knapp-hartung", "knapp-hartung-conservative")

DEFAULT_TAU2_METHOD: Tau2Method = "REML"
DEFAULT_CI_METHOD: CiMethod = "knapp-hartung-conservative"

SOURCE_TYPES = ("journal", "registry", "label", "review", "dataset", "other")
ACCESS = (
    "full_text",
    "abstract",
    "registry_results",
    "label",
    "secondary",
    "individual_data",
    "excerpt",
)
DESIGNS = (
    "parallel_rct",
    "crossover_rct",
    "withdrawal_rct",
    "crossover_nonrandomised",
    "controlled_nonrandomised",
    "single_arm",
    "pooled_rcts",
    "cohort",
    "case_report",
)
BLINDING = ("double_blind", "single_blind", "open_label", "not_reported")
AGE_GROUPS = (
    "children",
    "adolescents",
    "children_adolescents",
    "adults",
    "older_adults",
    "all_ages",
    "not_reported",
)
ROLES = ("treatment", "control")
ROUTES = (
    "oral",
    "intravenous",
    "intranasal",
    "intramuscular",
    "subcutaneous",
    "transdermal",
    "other",
    "not_reported",
    "not_applicable",
)
STATISTICS = ("endpoint", "change", "events")
ANALYSIS_SETS = (
    "intention_to_treat",
    "full_analysis_set",
    "safety",
    "completers",
    "per_protocol",
    "observed_cases",
    "not_reported",
)
SD_ORIGINS = ("raw", "model", "individual_data", "not_reported")
EFFECT_TYPES = ("MD", "SMD", "OR", "RR", "RD", "HR", "test")
P_RELATIONS = ("=", "<", ">", "<=")
FAVOURS = ("treatment", "control", "neither")
DIRECTIONS = ("lower_is_better", "higher_is_better", "neither")
OUTCOME_KINDS = ("continuous", "event")
#: Keys allowed before ``=`` in ``subgroup``; several are joined by ``;``.
SUBGROUP_KEYS = (
    "age_group",
    "sex",
    "population",
    "period",
)
ROB_JUDGEMENTS = ("low", "some_concerns", "high", "unclear", "not_assessed")
ROB_TOOLS = ("rob2", "rob1", "robins_i")
REGISTRY_STATUSES = (
    "completed",
    "recruiting",
    "not_yet_recruiting",
    "enrolling_by_invitation",
    "active_not_recruiting",
    "suspended",
    "terminated",
    "withdrawn",
    "no_longer_available",
    "published",
    "unknown",
)
