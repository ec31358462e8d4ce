"""One declared question as a frozen value, and the words it may use. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ketameta import vocabulary as words
from ketameta.analyses.declarations import Declarations
from ketameta.analyses.dose_rule import DoseRule
from ketameta.study_facts import Assumptions

#: What an analysis does with its effects: pool them, pool the difference of two groups that each
#: trial prints, connect treatments through the comparisons of all trials, or draw a curve through
#: the doses of one treatment.
KINDS = ("pooled", "within_trial", "network", "dose_response")
STATUSES = ("declared", "post hoc")
DIRECTNESS = ("direct", "indirect", "context")
SECTIONS = ("adhd", "cognition", "mood", "harms", "usual_medicines")
DATA_KINDS = ("endpoint", "change", "events", "contrast", "before_after")
TIME_RULES = ("latest", "earliest", "nearest")
#: Columns that may divide an analysis into groups.
MODERATORS = (
    "adhd_subtype",
    "prior_treatment_resistance",
    "drug_class",
    "intervention",
    "comparator_class",
    "comparator",
    "age_group",
    "diagnosis",
    "design",
    "blinding",
    "administration",
    "outcome",
    "instrument",
    "access",
    "source_type",
    "time_class",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which effects are eligible. An empty list asks nothing.

    The first four lists are the *scope*: every row inside them is accounted for in the results,
    used or set aside with a reason. The others are eligibility rules. ``within`` asks for results
    printed for a subgroup named in ``subgroup_keys`` and refuses those of whole trials.
    """

    outcome: tuple[str, ...] = ()
    diagnosis: tuple[str, ...] = ()
    drug_class: tuple[str, ...] = ()
    intervention: tuple[str, ...] = ()
    comparator_class: tuple[str, ...] = ()
    comparator: tuple[str, ...] = ()
    instrument: tuple[str, ...] = ()
    data_kind: tuple[str, ...] = ()
    design: tuple[str, ...] = ()
    age_group: tuple[str, ...] = ()
    adhd_subtype: tuple[str, ...] = ()
    prior_treatment_resistance: tuple[str, ...] = ()
    source_type: tuple[str, ...] = ()
    access: tuple[str, ...] = ()
    subgroup_keys: tuple[str, ...] = ()
    within: bool = False
    min_days: float | None = None
    max_days: float | None = None
    exclude: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of a study's eligible effects stands for it.

    Attributes
    ----------
    data_kind, instrument : tuple of str
        Order of preference; what is not listed comes last.
    time : str
        ``latest``, ``earliest`` or ``nearest`` (to ``days``).
    days : float or None
    overlap_prefer : tuple of str
        Studies kept where people overlap (a pool instead of its trials, for example).
    """

    data_kind: tuple[str, ...] = ()
    instrument: tuple[str, ...] = ()
    time: str = "latest"
    days: float | None = None
    overlap_prefer: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """The main model; the others stand beside it as companions.

    ``overall`` is false where the groups are different measurements of the same people, which are
    not pooled together. ``over_time`` fits all of them in one correlated-and-hierarchical model
    with the groups as moderator and ``rho`` as the assumed within-trial correlation.
    """

    measure: words.Measure = words.Measure.SMD
    tau2_method: str = words.DEFAULT_TAU2_METHOD
    ci_method: str = words.DEFAULT_CI_METHOD
    level: float = 0.95
    group_by: str = ""
    group_order: tuple[str, ...] = ()
    overall: bool = True
    over_time: bool = False
    rho: float = 0.6
    reference: str = "placebo"
    important_difference: float | None = None
    important_difference_source: str = ""
    tau_prior_scale: float = 0.5


@dataclass(frozen=True, slots=True)
class AnalysisSpec:
    """One declared question.

    Attributes
    ----------
    name : str
        File name without ``.toml``; also the name of the results.
    title, question : str
        For readers.
    section : str
        Part of the report.
    order : int
        Place within the report.
    directness : str
        ``direct`` (ketamine or its class in ADHD), ``indirect`` (another condition) or
        ``context`` (the usual medicines).
    status : str
        ``declared`` when the file was committed before its result was computed.
    favours : tuple of str
        Words for the two sides of the axis.
    looked_for : str
        What an eligible trial would have been, for an empty result.
    kind : str
        ``pooled``; ``within_trial``, the first group of ``model.group_order`` minus the second,
        within each trial that has both; ``network``, treatments against ``model.reference``; or
        ``dose_response``, the effect of each dose of ``dose`` against no dose.
    declarations : Declarations
        The optional tables: judgements, the next trial, choices of the multiverse, continuous
        moderators, the expected direction of a moderator.
    dose : DoseRule or None
        How doses are read; ``None`` unless the kind is ``dose_response``.
    """

    name: str
    title: str
    question: str
    section: str
    order: int
    directness: str
    status: str
    select: Selection
    choose: Choice
    assume: Assumptions
    model: Model
    favours: tuple[str, str]
    looked_for: str = ""
    registration: str = ""
    note: str = ""
    kind: str = "pooled"
    declarations: Declarations = field(default_factory=Declarations)
    dose: DoseRule | None = None
