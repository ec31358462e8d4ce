"""Controlled words and the sign convention. Words of the data, words of the options, nothing else.

Sign convention, everywhere downstream of the effect table: **negative favours the treatment** for
a standardised mean difference, whatever the direction of the scale. Mean differences keep the
units and the sign of their scale; ratios and risk differences keep the sign of the event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np

from ketameta.errors import UsageError, check_choice
from ketameta.formatting import format_interval, format_number, format_ratio


class Measure(StrEnum):
    """Effect measures, by the codes the field knows from metafor."""

    SMD = "SMD"
    MD = "MD"
    ROM = "ROM"
    OR = "OR"
    RR = "RR"
    RD = "RD"
    PETO = "PETO"
    IRR = "IRR"
    HR = "HR"
    SMCR = "SMCR"
    SMCC = "SMCC"
    COR = "COR"
    ZCOR = "ZCOR"
    PR = "PR"
    PLO = "PLO"
    PAS = "PAS"
    PFT = "PFT"
    IRLN = "IRLN"
    MN = "MN"

    @property
    def entry(self) -> MeasureEntry:
        """What the registry says of the measure."""
        return MEASURES[self]

    @property
    def is_ratio(self) -> bool:
        """Whether the estimate is the logarithm of a ratio."""
        return self.entry.is_ratio

    @property
    def label(self) -> str:
        """The measure in words, as an axis prints it."""
        return self.entry.label

    @property
    def null(self) -> float | None:
        """No effect, on the scale that is displayed (1 for ratios); None for one group."""
        return self.entry.null


#: Measures that the tables of an evidence base give.
EVIDENCE_MEASURES = (
    Measure.SMD,
    Measure.MD,
    Measure.ROM,
    Measure.OR,
    Measure.RR,
    Measure.RD,
    Measure.SMCR,
)

Transformation = Literal["identity", "log", "logit", "fisher_z", "arcsine", "double_arcsine"]
TRANSFORMATIONS: tuple[str, ...] = get_args(Transformation)

#: From the scale that is pooled to the one that is read; the double arcsine also needs people.
_TO_READER: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "log": np.exp,
    "logit": lambda x: 0.5 * (1 + np.tanh(x / 2)),
    "fisher_z": np.tanh,
    "arcsine": lambda x: np.sin(np.clip(x, 0, np.pi / 2)) ** 2,
}


def _double_arcsine_to_share(x: Any, n: float) -> Any:
    """Invert the Freeman-Tukey transformation at ``n`` people (Miller 1978)."""
    ends = [(np.arcsin(np.sqrt(s / (n + 1))) + np.arcsin(np.sqrt((s + 1) / (n + 1)))) / 2
            for s in (0.0, n)]  # fmt: skip
    inside = np.clip(x, *ends)
    sine = np.sin(2 * inside)
    root = np.sqrt(np.maximum(0.0, 1 - (sine + (sine - 1 / sine) / n) ** 2))
    share = (1 - np.sign(np.cos(2 * inside)) * root) / 2
    return np.where(x <= ends[0], 0.0, np.where(x >= ends[1], 1.0, share))


@dataclass(frozen=True, slots=True)
class Way:
    """One set of columns that gives a measure.

    Attributes
    ----------
    function : str
        ``module.function`` of the effect sizes, called with the columns in this order.
    columns : tuple of str
        Needed.
    options : tuple of str
        Passed on by name where given.
    unused : tuple of str
        Columns that belong to the design and do not enter; taken and left alone.
    """

    function: str
    columns: tuple[str, ...]
    options: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def every(self) -> set[str]:
        """All names that may be given."""
        return {*self.columns, *self.options, *self.unused}


@dataclass(frozen=True, slots=True)
class MeasureEntry:
    """All that the package knows of a measure; everything that prints or draws asks here.

    Attributes
    ----------
    name : Measure
    label : str
        In words, on the scale that is read: ``Risk ratio``.
    pooled_label : str
        On the scale that is pooled: ``log risk ratio``.
    transformation : str
        From the scale that is read to the one that is pooled; one of :data:`TRANSFORMATIONS`.
    null : float or None
        No effect, on the scale that is read; None where there is none (one group).
    ways : tuple of Way
        Sets of columns that give it.
    prior_scale : float or None
        Scale of the default half-normal prior of tau; None where the measure has no fixed unit.
    of_counts : str
        The models of the counts themselves whose answer is in the measure; empty without one.
    """

    name: Measure
    label: str
    pooled_label: str
    transformation: Transformation
    null: float | None
    ways: tuple[Way, ...]
    prior_scale: float | None = None
    of_counts: str = ""

    @property
    def is_ratio(self) -> bool:
        """Whether estimates are logarithms of a ratio of two groups."""
        return self.transformation == "log" and self.null == 1.0

    def to_reader(self, values: Any, variances: Any = None) -> Any:
        """Return pooled values on the scale that is read.

        Parameters
        ----------
        values : float or ndarray
            On the scale that is pooled.
        variances : ndarray of shape (k,), optional
            Of the estimates behind them. A double arcsine is turned back at the harmonic mean of
            the numbers of people (Miller 1978), which its variances ``1 / (4 n + 2)`` hold; without
            them the result is NaN.
        """
        if self.transformation == "double_arcsine":
            if variances is None:
                return np.asarray(values) * np.nan
            n = 1 / np.mean(1 / ((1 / np.asarray(variances) - 2) / 4))
            return _double_arcsine_to_share(values, float(n))
        with np.errstate(over="ignore"):  # a ratio beyond a double is infinite, and said so
            return _TO_READER[self.transformation](values)


_MEANS = ("mean_treatment", "sd_treatment", "n_treatment", "mean_control", "sd_control",
          "n_control")  # fmt: skip
_COUNTS = ("events_treatment", "n_treatment", "events_control", "n_control")
_ZEROS = ("zero_cells", "double_zeros", "correction")
_ZEROS_ONE = ("zero_cells", "correction")
_TIMES = ("events_treatment", "time_treatment", "events_control", "time_control")
_PRINTED = Way("events.log_ratio_from_ci", ("ratio", "ci_low", "ci_high"), ("level",))
_LOGRANK = Way("events.log_hazard_ratio_from_logrank", ("observed_minus_expected", "variance"))


def _paired(function: str, *columns: str) -> Way:
    every = ("mean_before", "mean_after", "sd_before", "sd_after", "n", "correlation")
    return Way(function, columns, unused=tuple(name for name in every if name not in columns))


def _entries() -> dict[Measure, MeasureEntry]:
    def add(
        name: str,
        label: str,
        transformation: Transformation,
        null: float | None,
        *ways: Way,
        pooled: str = "",
        prior: float | None = None,
        of_counts: str = "",
    ) -> None:
        words = pooled or (f"log {label[0].lower()}{label[1:]}" if transformation == "log" else "")
        measure = Measure(name)
        found[measure] = MeasureEntry(
            measure, label, words or label, transformation, null, ways, prior, of_counts
        )

    found: dict[Measure, MeasureEntry] = {}
    add("SMD", "Standardised mean difference (Hedges' g)", "identity", 0.0,
        Way("means.standardized_mean_difference", _MEANS),
        Way("means.smd_from_t", ("t", "n_treatment", "n_control")),
        Way("means.smd_from_estimate", ("d", "n_treatment", "n_control"), ("already_corrected",)),
        prior=0.5)  # fmt: skip
    add("MD", "Mean difference", "identity", 0.0, Way("means.mean_difference", _MEANS))
    add("ROM", "Ratio of means", "log", 1.0, Way("means.log_ratio_of_means", _MEANS), prior=0.5)
    for name, label, function, models in (
        ("OR", "Odds ratio", "log_odds_ratio", "mantel_haenszel() or binomial_normal()"),
        ("RR", "Risk ratio", "log_risk_ratio", "mantel_haenszel()"),
    ):
        add(name, label, "log", 1.0, Way(f"events.{function}", _COUNTS, _ZEROS), _PRINTED,
            prior=0.5, of_counts=models)  # fmt: skip
    add("RD", "Risk difference", "identity", 0.0, Way("events.risk_difference", _COUNTS, _ZEROS),
        of_counts="mantel_haenszel()")  # fmt: skip
    add("PETO", "Odds ratio (Peto)", "log", 1.0,
        Way("events.peto_log_odds_ratio", _COUNTS, _ZEROS), _LOGRANK, prior=0.5,
        of_counts="peto()")  # fmt: skip
    add("IRR", "Incidence rate ratio", "log", 1.0,
        Way("events.log_rate_ratio", _TIMES, _ZEROS), _PRINTED, prior=0.5)  # fmt: skip
    add("HR", "Hazard ratio", "log", 1.0,
        Way("events.log_hazard_ratio", ("hr", "ci_low", "ci_high"), ("level",)),
        Way("events.log_hazard_ratio_from_se", ("log_hr", "se")), _LOGRANK, prior=0.5)  # fmt: skip
    add("SMCR", "Standardised mean change", "identity", 0.0,
        _paired("means.standardized_mean_change",
                "mean_before", "mean_after", "sd_before", "n", "correlation"),
        prior=0.5)  # fmt: skip
    add("SMCC", "Standardised mean change (by the SD of changes)", "identity", 0.0,
        _paired("means.standardized_mean_change_by_changes",
                "mean_before", "mean_after", "sd_before", "sd_after", "n", "correlation"),
        prior=0.5)  # fmt: skip
    add("COR", "Correlation", "identity", 0.0, Way("one_group.correlation", ("correlation", "n")))
    add("ZCOR", "Correlation", "fisher_z", 0.0, Way("one_group.fisher_z", ("correlation", "n")),
        pooled="Fisher's z")  # fmt: skip
    for name, transformation, function, pooled in (
        ("PR", "identity", "proportion", "Proportion"),
        ("PLO", "logit", "log_odds", "log odds"),
        ("PAS", "arcsine", "arcsine_proportion", "arcsine"),
        ("PFT", "double_arcsine", "double_arcsine_proportion", "double arcsine"),
    ):
        added = name in ("PR", "PLO")  # constants, which a model of the counts does without
        taken, model = (_ZEROS_ONE, "one_group()") if added else ((), "")
        add(name, "Proportion", transformation, None,  # type: ignore[arg-type]
            Way(f"one_group.{function}", ("events", "n"), taken), pooled=pooled,
            of_counts=model)  # fmt: skip
    add("IRLN", "Incidence rate", "log", None,
        Way("one_group.log_rate", ("events", "time"), _ZEROS_ONE),
        of_counts="one_group()")  # fmt: skip
    add("MN", "Mean", "identity", None, Way("one_group.single_mean", ("mean", "sd", "n")))
    return found


#: The one registry of measures.
MEASURES: dict[Measure, MeasureEntry] = _entries()

#: What else a measure is called.
_ALSO_CALLED = {
    "g": "SMD", "hedges g": "SMD", "hedges' g": "SMD", "d": "SMD", "cohen's d": "SMD",
    "standardized mean difference": "SMD", "standardised mean difference": "SMD", "wmd": "MD",
    "lnrr": "ROM", "response ratio": "ROM", "relative risk": "RR", "arr": "RD", "rate ratio": "IRR",
    "proportion": "PLO", "prevalence": "PLO", "logit": "PLO", "correlation": "ZCOR",
    "fisher z": "ZCOR", "fisher's z": "ZCOR", "mean": "MN", "rate": "IRLN",
}  # fmt: skip


def find_measure(word: object, argument: str = "measure") -> MeasureEntry:
    """Return the entry of a measure, or refuse the word with the choices and the nearest.

    Raises
    ------
    UsageError
    """
    if isinstance(word, str) and word in MEASURES:
        return MEASURES[Measure(word)]
    if isinstance(word, str):
        names = _ALSO_CALLED | {entry.label.lower(): entry.name.value for entry in MEASURES.values()
                                if entry.null is not None and entry.name != "COR"}  # fmt: skip
        code = names.get(word.strip().lower().removeprefix("log "))
        if code is not None:
            raise UsageError(f"{argument} is {word!r}; did you mean {code!r}? All: {_CODES}")
    return MEASURES[Measure(check_choice(argument, word, [m.value for m in MEASURES]))]


def measure_code(word: object) -> str | None:
    """Return the code of a measure that was named, or None; refuses what is no measure."""
    return None if word is None else find_measure(word).name.value


def measure_entry(measure: object) -> MeasureEntry | None:
    """Return the entry of what a result remembers as its measure; None for nothing or others."""
    return MEASURES.get(measure) if isinstance(measure, str) else None  # type: ignore[call-overload]


def display_words(
    measure: object, estimate: float, low: float | None, high: float | None
) -> tuple[str, str]:
    """Return an estimate and its interval, both on the scale that is read, as they are printed."""
    entry = measure_entry(measure)
    if entry is not None and entry.is_ratio:
        bounds = f"{format_ratio(low)} to {format_ratio(high)}"
        return format_ratio(estimate), bounds
    spread = abs(high - low) if low is not None and high is not None else 0.0
    digits = 2 if not spread > 0 else min(12, max(2, 1 - int(np.floor(np.log10(spread / 4)))))
    return format_number(estimate, digits), format_interval(low, high, digits)


_CODES = ", ".join(MEASURES)

CiMethod = Literal["wald", "knapp-hartung", "knapp-hartung-conservative"]
CI_METHODS: tuple[str, ...] = ("wald", "knapp-hartung", "knapp-hartung-conservative")
#: Studies needed for a prediction interval: its t distribution has k - 2 degrees of freedom.
MIN_STUDIES_PREDICTION = 3
#: Studies needed for bubble plots and small-study tests (Sterne et al. 2011, BMJ 343, d4002).
MIN_STUDIES_SMALL_STUDY = 10
#: Below this number of studies tau-squared and the intervals rest on very little; from it on their
#: spread carries an interval without a prior.
FEW_STUDIES = FREQUENTIST_FROM = 5
#: Studies needed in each level of a moderator; one study cannot show how its level varies.
MIN_STUDIES_PER_LEVEL = 2

DEFAULT_CI_METHOD: CiMethod = "knapp-hartung-conservative"

SOURCE_TYPES = ("journal", "registry", "label", "review", "dataset", "other")
#: Of these, the sources that report somebody else's trial.
SECONDARY = ("review", "dataset")
ACCESS = (
    "full_text",
    "abstract",
    "registry_results",
    "label",
    "secondary",
    "individual_data",
    "excerpt",
)
#: Designs in which chance decided who got what, or in which order.
RANDOMISED = (
    *("parallel_rct", "crossover_rct", "withdrawal_rct", "cluster_rct", "factorial_rct"),
    "pooled_rcts",
)
DESIGNS = (
    *RANDOMISED[:-1],
    *("crossover_nonrandomised", "controlled_nonrandomised", "single_arm"),
    *("pooled_rcts", "cohort", "case_report"),
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
STATISTICS = ("endpoint", "change", "events", "percent_change")
#: Whether a number is printed, or was measured from a figure.
READ_FROM = ("printed", "digitised")
ANALYSIS_SETS = (
    "intention_to_treat",
    "full_analysis_set",
    "safety",
    "completers",
    "per_protocol",
    "observed_cases",
    "not_reported",
)
SD_ORIGINS = (
    "raw",
    "model",
    "imputed",
    "crude",
    "adjusted",
    "individual_data",
    "not_reported",
)
#: Columns that tell two printed analyses of one result apart: who was analysed, and from what.
ANALYSIS = ("analysis_set", "sd_origin")
EFFECT_TYPES = (
    *("MD", "SMD", "OR", "RR", "RD", "HR", "IRR", "median_difference", "percent_change"),
    *("interaction", "test"),
)
#: Printed comparisons that are ratios.
RATIOS = ("OR", "RR", "HR", "IRR")
P_RELATIONS = ("=", "<", ">", "<=")
P_SIDES = ("two", "one")
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
#: Sources of facts about harm that compare nothing, and how the medicine was taken there.
#: Why a record is left out: no study of the people asked about, or its number is used; the others.
NO_STUDY = (
    *("registry_entry", "review_not_trial", "ineligible_population", "overlapping_report"),
    "duplicate_of_included_row",
)
EXCLUDED = (
    *("no_number", "no_variance", "bound_only", "not_convertible_statistic", "arm_not_stated"),
    *("denominator_not_stated", "not_a_comparison", "printed_inconsistency", "derived_only"),
    *("no_result", "source_not_found", *NO_STUDY),
)
FACT_DESIGNS = ("single_arm", "survey", "case", "label", "reference", "spontaneous_reports")
FACT_SETTINGS = ("therapeutic", "recreational")
#: An outcome whose numbers come from somebody else's data set, beside the outcome of that name.
DATASET = "_dataset"
#: Designs without a second group of people.
UNCONTROLLED = ("single_arm", "cohort", "case_report")
#: Where the value of a moderator comes from, the better first.
BASES = ("printed", "counted", "by_rule")
#: Which people of a trial a moderator is about; only of the first two is it the trial's value.
COVERS = ("all", "some_arms", "other_phase", "selected")
#: Numbers of ``studies.csv`` that may also stand, with their basis, among the moderators.
STUDY_NUMBERS = ("age_mean_years", "female_percent")
#: Judgements of each tool, from the best to the worst.
ROB_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "rob2": ("low", "some_concerns", "high"),
        "rob1": ("low", "unclear", "high"),
        "robins_i": ("low", "no_information", "moderate", "serious", "critical"),
    }
)
#: How bad a judgement is, whatever the tool, and the word of a summary over several tools.
ROB_RANK: Mapping[str, int] = MappingProxyType(
    {
        "low": 0,
        "unclear": 1,
        "no_information": 1,
        "some_concerns": 1,
        "moderate": 1,
        "high": 2,
        "serious": 2,
        "critical": 3,
    }
)
ROB_SUMMARY: Mapping[str, str] = MappingProxyType(
    {
        "no_information": "unclear",
        "moderate": "some_concerns",
        "serious": "high",
        "critical": "high",
    }
)
ROB_JUDGEMENTS = (
    *("low", "some_concerns", "high", "unclear", "moderate", "serious", "critical"),
    *("no_information", "not_assessed"),
)
ROB_TOOLS = ("rob2", "rob1", "robins_i")
#: Domains of each tool, in its order; ``overall`` is a judgement that the first tool has not.
ROB_DOMAINS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "rob1": (
            "random_sequence_generation",
            "allocation_concealment",
            "blinding_participants",
            "blinding_outcome",
            "incomplete_outcome_data",
            "selective_reporting",
            "other",
        ),
        "rob2": (
            "randomisation",
            "deviations",
            "missing_data",
            "measurement",
            "selective_reporting",
            "overall",
        ),
        "robins_i": (
            "confounding",
            "selection",
            "classification",
            "deviations",
            "missing_data",
            "measurement",
            "selective_reporting",
            "overall",
        ),
    }
)
#: Decisions on a record of the screening list.
SCREENED = ("include", "exclude")
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
