"""One declared question as a typed value: the words it may use, its defaults and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    create_model,
)

from ketameta import measures as words
from ketameta.declared import (
    Flag,
    NeededText,
    Number,
    OptionalNumber,
    OptionalPositive,
    Positive,
    Table,
    Text,
    Words,
    is_number,
    needed,
    number_where,
    numbers_between,
    one_of,
    problem,
    words_of,
)
from ketameta.errors import did_you_mean
from ketameta.evidence.pairing import Assumptions
from ketameta.evidence.project import DIRECTNESS, FITS_A_FILE, Moderator, Project
from ketameta.measures import MIN_STUDIES_PER_LEVEL, Measure
from ketameta.models.tau2 import DEFAULT_TAU2_METHOD, TAU2_METHODS

#: What an analysis does with its effects: pool them, pool the difference of two groups that each
#: trial prints, connect treatments through the comparisons of all trials, or draw a curve through
#: the doses of one treatment.
KINDS = ("pooled", "within_trial", "network", "dose_response")
STATUSES = ("declared", "post hoc")
DATA_KINDS = ("endpoint", "change", "events", "contrast", "before_after")
TIME_RULES = ("latest", "earliest", "nearest")
#: Measures of counted outcomes, and those for which a next trial can be worked out.
COUNTED = (Measure.OR, Measure.RR, Measure.RD)
PLANNED = (Measure.SMD, Measure.MD, *COUNTED)
#: Columns that may divide an analysis into groups, beside the categories that a project declares.
MODERATORS = (
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
#: Moderators whose groups measure different things on the same people: not pooled together.
APART = ("outcome", "instrument")
_POINTS = "10 percentage points more"
#: Numbers of a study, or of its effect, that a meta-regression may use, beside those that a
#: project declares: label, step in which a change is read, and the step in words.
_NUMBERS: tuple[tuple[str, str, float, str], ...] = (
    ("year", "Year of publication", 10, "10 years later"),
    ("time_days", "Days from the first dose to the measurement", 7, "7 days longer"),
    ("n_participants", "People in the trial", 100, "100 people more"),
    ("age_mean_years", "Mean age in years", 10, "10 years older"),
    ("female_percent", "Percentage of women or girls", 10, f"{_POINTS} women or girls"),
)


def numbers_of(project: Project) -> dict[str, Moderator]:
    """Return the moderators of meta-regressions by name: the common ones, then the project's."""
    common = {
        name: Moderator(name=name, label=label, kind="number", meaning=label, step=step,
                        step_words=told)
        for name, label, step, told in _NUMBERS
    }  # fmt: skip
    return {**common, **project.numbers}


@dataclass(frozen=True, slots=True)
class ModeratorCoding:
    """How one moderator is coded.

    Attributes
    ----------
    name, label : str
    levels : mapping of str to str
        Levels that are compared, in order, with what each means.
    reference : tuple of str
        The level that others are compared with: the first of these that has enough trials.
    silent : tuple of str
        Words of the column that say nothing about the level; shown, never compared.
    least_per_level : int
        Trials a level needs to enter a comparison.
    """

    name: str
    label: str
    levels: Mapping[str, str]
    reference: tuple[str, ...]
    silent: tuple[str, ...]
    least_per_level: int = MIN_STUDIES_PER_LEVEL

    @property
    def known(self) -> tuple[str, ...]:
        """Every word of the column."""
        return (*self.levels, *self.silent)


def coding_of(name: str, project: Project) -> ModeratorCoding:
    """Return the coding of a moderator; one without a declared coding has none of its words."""
    found = project.categories.get(name)
    if found is None:
        label = name.replace("_", " ").capitalize()
        return ModeratorCoding(name, label, {}, (), ("not_reported", "not_applicable", ""))
    levels = {level.word: level.meaning for level in found.level}
    return ModeratorCoding(name, found.label, levels, found.reference, found.silent)


#: Domains of a GRADE assessment, in the order of the tables.
DOMAINS = ("risk_of_bias", "inconsistency", "indirectness", "imprecision", "publication_bias")
#: How much a domain lowers certainty, in levels.
CONCERNS: Mapping[str, int] = {"no concern": 0, "serious": 1, "very serious": 2}
#: People per arm for which a new trial is worked out, unless the file names others.
TRIAL_SIZES = (10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000)
#: Forms of a dose-response curve through the effect of no dose.
TRANSFORMATIONS = ("linear", "spline")
#: Knots of a restricted cubic spline as shares of the doses given: three knots (Harrell 2015).
KNOT_SHARES = (0.1, 0.5, 0.9)

Status = Annotated[str, one_of(STATUSES)]


# --- which effects --------------------------------------------------------------------------------


def _reasons(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise problem(': a table such as {study_id = "why"} is needed')
    for study, reason in value.items():
        if not (isinstance(reason, str) and reason.strip()):
            raise problem(f": say why {study} is left out")
    return value


class Selection(Table):
    """Which effects are eligible. An empty list asks nothing.

    The first lists are the *scope*: every row inside them is accounted for in the results, used or
    excluded with a reason. The others are eligibility rules. ``within`` asks for results printed
    for a subgroup named in ``subgroup_keys`` and refuses those of whole trials. Each category that
    a project declares as a moderator is one more list (:func:`spec_model`).
    """

    outcome: Annotated[Words, words_of(least="name at least one outcome")] = ()
    diagnosis: Annotated[Words, words_of()] = ()
    drug_class: Annotated[Words, words_of()] = ()
    intervention: Annotated[Words, words_of()] = ()
    comparator_class: Annotated[Words, words_of()] = ()
    comparator: Annotated[Words, words_of()] = ()
    instrument: Annotated[Words, words_of()] = ()
    data_kind: Annotated[Words, words_of(DATA_KINDS)] = ()
    design: Annotated[Words, words_of(words.DESIGNS)] = ()
    age_group: Annotated[Words, words_of(words.AGE_GROUPS)] = ()
    source_type: Annotated[Words, words_of(words.SOURCE_TYPES)] = ()
    access: Annotated[Words, words_of(words.ACCESS)] = ()
    subgroup_keys: Annotated[Words, words_of()] = ()
    within: Flag = False
    min_days: OptionalNumber = None
    max_days: OptionalNumber = None
    exclude: Annotated[Mapping[str, str], BeforeValidator(_reasons)] = Field(default_factory=dict)


class Choice(Table):
    """Which of a study's eligible effects stands for it.

    Attributes
    ----------
    data_kind, instrument : tuple of str
        Order of preference; what is not listed comes last.
    time : str
        ``latest``, ``earliest`` or ``nearest`` (to ``days``).
    days : float or None
    analysis : tuple of str
        Order of preference among two printed analyses of one result: words of ``analysis_set`` and
        ``sd_origin``, such as ``intention_to_treat`` or ``adjusted``. Without it, an analysis that
        meets two of them asks which one is meant.
    overlap_prefer : tuple of str
        Studies kept where people overlap (a pool instead of its trials, for example).
    """

    data_kind: Annotated[Words, words_of(DATA_KINDS)] = ()
    instrument: Annotated[Words, words_of()] = ()
    analysis: Annotated[Words, words_of((*words.ANALYSIS_SETS, *words.SD_ORIGINS))] = ()
    time: Annotated[str, one_of(TIME_RULES)] = "latest"
    days: OptionalNumber = None
    overlap_prefer: Words = ()


# --- how they are pooled --------------------------------------------------------------------------

#: A ratio of means is derived from no table, so that no analysis can ask for it.
_MEASURES = tuple(str(item) for item in words.EVIDENCE_MEASURES if item is not Measure.ROM)
_MeasureWord = Annotated[Measure, one_of(_MEASURES), AfterValidator(lambda word: Measure(word))]


class Model(Table):
    """The main model; the others stand beside it as sensitivity analyses.

    ``overall`` is false where the groups are different measurements of the same people, which are
    not pooled together. ``over_time`` fits all of them in one correlated-and-hierarchical model
    with the groups as moderator and ``rho`` as the assumed within-trial correlation.
    """

    measure: _MeasureWord = Measure.SMD
    tau2_method: Annotated[str, one_of(TAU2_METHODS)] = DEFAULT_TAU2_METHOD
    ci_method: Annotated[str, one_of(words.CI_METHODS)] = words.DEFAULT_CI_METHOD
    level: Annotated[
        Number, number_where(lambda x: 0.5 < x < 1, "a share between 0.5 and 1 is needed")
    ] = 0.95
    group_by: Annotated[str, BeforeValidator(lambda value, info: _moderator(value, info))] = ""
    group_order: Words = ()
    overall: Flag = True
    over_time: Flag = False
    rho: Annotated[
        Number, number_where(lambda x: 0 <= x < 1, "a value from 0 to below 1 is needed")
    ] = 0.6
    reference: Text = "placebo"
    important_difference: OptionalNumber = None
    important_difference_source: Text = ""
    tau_prior_scale: OptionalPositive = None


def _moderator(value: Any, info: ValidationInfo) -> str:
    declared = info.context["known"].get("group_by", ()) if info.context else None
    choices = (*(declared or ()), *MODERATORS)
    unknown = declared is not None and value not in choices
    if value != "" and (unknown or not isinstance(value, str)):
        raise problem(
            f": {value!r} is not a moderator{did_you_mean(str(value), choices)} "
            f"(choose from {', '.join(choices)})"
        )
    return str(value)


# --- optional tables ------------------------------------------------------------------------------


class Judgement(Table):
    """A person's judgement on one domain, which lowers certainty by 0, 1 or 2 levels."""

    level: Annotated[str, one_of(tuple(CONCERNS))] = ""
    reason: Annotated[str, needed(": say why; a judgement without reason is not one")] = ""


def _judgements(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    for domain, entry in value.items():
        if domain not in DOMAINS:
            raise problem(
                f".{domain}: no such key{did_you_mean(domain, DOMAINS)} "
                f"(allowed: {', '.join(sorted(DOMAINS))})"
            )
        if not isinstance(entry, dict):
            raise problem(f'.{domain}: write {{level = "serious", reason = "why"}}')
    return value


class TrialPrior(Table):
    """Trials whose spread of true effects serves as the prior for a new trial.

    Attributes
    ----------
    analysis : str
        Name of an analysis with the same measure.
    group : str
        One of its groups; all of its trials when empty.
    """

    analysis: Annotated[str, needed(": name an analysis")] = ""
    group: Text = ""


class NextTrial(Table):
    """What the next trial is to detect.

    Attributes
    ----------
    important_difference : float
        Smallest difference worth detecting, signed: of an effect its sign is that of benefit; of
        risks it is the share of people more (or, below 0, fewer) on treatment.
    source : str
        Where it comes from.
    sd : float
        Standard deviation within arms in the same units; 1 for a standardised difference.
    unit : str
        Of a mean difference.
    baseline_risk : float or None
        Of risks: the share of people on control.
    alpha : float
        Two-sided.
    power : tuple of float
    n_per_arm : tuple of int
        Sizes that are worked out.
    prior : tuple of TrialPrior
    status : str
        ``declared`` or ``post hoc``.
    """

    important_difference: Number = 0.0
    source: Annotated[str, needed(": say where the important difference comes from")] = ""
    sd: Positive = 1.0
    unit: Text = "points"
    baseline_risk: OptionalNumber = None
    alpha: Annotated[
        Number, number_where(lambda x: 0 < x < 0.5, "a share between 0 and 0.5 is needed")
    ] = 0.05
    power: Annotated[tuple[float, ...], numbers_between(0.5, 1.0)] = (0.8, 0.9)
    n_per_arm: Annotated[
        tuple[int, ...], AfterValidator(lambda sizes: sizes), numbers_between(1.0, 1e6)
    ] = TRIAL_SIZES
    prior: tuple[TrialPrior, ...] = ()
    status: Status = "declared"


def _several(choices: Sequence[str]) -> Any:
    return Annotated[Words, words_of(choices, least="name at least one")]


class Choices(Table):
    """Defensible choices whose every combination is computed beside the main result.

    A choice that changes no number of an analysis is left out of its count and said to be without
    effect. ``measure`` is for events; ``correlation`` for analyses that assume one.
    """

    tau2_method: _several(TAU2_METHODS) = ("REML", "DL", "PM", "ML")  # type: ignore[valid-type]
    ci_method: _several(words.CI_METHODS) = (  # type: ignore[valid-type]
        *("knapp-hartung-conservative", "knapp-hartung", "wald"),
    )
    measure: _several(("RR", "OR", "RD")) = ("RR", "OR", "RD")  # type: ignore[valid-type]
    spread: _several(("all", "raw")) = ("all", "raw")  # type: ignore[valid-type]
    source: _several(("all", "full_access")) = ("all", "full_access")  # type: ignore[valid-type]
    overlap: _several(("trials", "pools")) = ("trials", "pools")  # type: ignore[valid-type]
    correlation: Annotated[tuple[float, ...], numbers_between(-1.0, 1.0)] = (0.3, 0.5, 0.7)


def _levels(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict) or not all(isinstance(item, list) for item in value.values()):
        raise problem(': a table such as {moderator = ["level"]} is needed')
    return {str(name): tuple(map(str, words)) for name, words in value.items()}


class Variation(Table):
    """Meta-regressions again with one choice changed; an empty key changes nothing.

    Attributes
    ----------
    label : str
        What is changed, for readers.
    basis, covers, naive_to : tuple of str
        Only values of ``moderators`` with these words count.
    arms : bool
        A trial without a value takes the mean of those of its compared arms.
    outcome : tuple of str
        Only results of these outcomes count.
    without : mapping of str to tuple of str
        Trials with one of these words of a moderator are left out.
    alone : bool
        Trials in which both sides also had another treatment are left out.
    unadjusted : bool
        Without the columns of ``adjust_for``.
    """

    label: Annotated[str, needed(": say what is changed")] = ""
    basis: Annotated[Words, words_of(words.BASES)] = ()
    covers: Annotated[Words, words_of(words.COVERS)] = ()
    naive_to: Words = ()
    arms: Flag = False
    outcome: Annotated[Words, words_of()] = ()
    without: Annotated[Mapping[str, Words], BeforeValidator(_levels)] = Field(default_factory=dict)
    alone: Flag = False
    unadjusted: Flag = False


class Regressions(Table):
    """Continuous moderators, one meta-regression each.

    Attributes
    ----------
    moderators : tuple of str
    status : str
        ``declared`` or ``post hoc``.
    known_before : str
        What was known of the results when this was declared.
    adjust_for : tuple of str
        Columns that enter beside each moderator, as shares of a trial's comparisons per level.
    small_change : float or None
        A change of the effect over the whole range of a moderator below which a slope is flat.
    small_change_source : str
    vary : tuple of Variation
        Sensitivity analyses, each made alone.
    """

    moderators: Annotated[Words, words_of()] = ()
    status: Status = "declared"
    known_before: Text = ""
    adjust_for: Annotated[Words, words_of(MODERATORS)] = ()
    small_change: OptionalPositive = None
    small_change_source: Text = ""
    vary: tuple[Variation, ...] = ()


class Expectation(Table):
    """In which level a moderator was expected to show the larger effect, and why.

    ``status`` is ``declared`` when committed before the result was computed, else ``post hoc``.
    """

    larger_effect_in: Any = None
    reason: Annotated[str, needed(": say why the effect was expected to be larger there")] = ""
    status: Status = "declared"


def _knots(value: Any) -> tuple[float, ...]:
    listed = isinstance(value, (list, tuple)) and all(map(is_number, value))
    rising = listed and all(a < b for a, b in pairwise(value))
    if not (rising and len(value) >= 3 and value[0] >= 0 and value[-1] <= 1):
        raise problem(
            f" is {value!r}; give at least three rising shares from 0 to 1, such as "
            f"{list(KNOT_SHARES)}"
        )
    return tuple(float(share) for share in value)


def _factors(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not all(is_number(x) and x > 0 for x in value.values()):
        raise problem(": a table such as {mg_per_kg = 70} is needed, each factor above 0")
    return {str(unit): float(factor) for unit, factor in value.items()}


class DoseRule(Table):
    """Doses that stand on one scale, and the curve drawn through them.

    Attributes
    ----------
    unit : str
        ``dose_unit`` of the arms; arms in other units, and arms without one fixed dose, are left.
    transformation : str
        ``linear`` or ``spline``, the main curve; the other one stands beside it.
    step : float
        The slope is told per this many units.
    knots : tuple of float
        Shares of the doses given, controls included, at which the spline has its knots.
    equivalents : mapping of str to float
        Other units that are converted: how many of ``unit`` one of them is.
    equivalents_reason : str
        Where the conversion comes from.
    """

    unit: Annotated[str, needed(': name the dose_unit of the arms, such as unit = "mg"')] = ""
    transformation: Annotated[str, one_of(TRANSFORMATIONS)] = "linear"
    step: Positive = 1.0
    knots: Annotated[tuple[float, ...], BeforeValidator(_knots)] = KNOT_SHARES
    equivalents: Annotated[Mapping[str, float], BeforeValidator(_factors)] = Field(
        default_factory=dict
    )
    equivalents_reason: Text = ""

    def dose(self, amount: float, unit: str) -> float | None:
        """Return an arm's dose on the common scale; ``None`` where it has none."""
        if not is_number(amount):
            return None
        if unit == self.unit:
            return float(amount)
        return float(amount) * self.equivalents[unit] if unit in self.equivalents else None


# --- the whole ------------------------------------------------------------------------------------


def _two_texts(value: Any) -> tuple[str, str]:
    texts = isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)
    if not (texts and len(value) == 2):
        raise problem(": two texts, for the left and the right of no effect")
    return cast("tuple[str, str]", tuple(value))


def _section(value: Any, info: ValidationInfo) -> Any:
    """Refuse a section that the project does not declare; any that names a file if it has none."""
    known = info.context["known"].get("section") if info.context else None
    if known:
        return one_of(known).func(value, info)  # type: ignore[call-arg]
    named = needed(": name the part of the report").func(value, info)  # type: ignore[call-arg]
    return FITS_A_FILE.func(named)  # type: ignore[call-arg]


class AnalysisSpec(Table):
    """One declared question.

    Attributes
    ----------
    name : str
        File name without ``.toml``; also the name of the results.
    title, question : str
        For readers.
    section : str
        Part of the report: a key of ``[[section]]`` in ``project.toml``, or lower-case words joined
        by ``_`` where none is declared.
    order : int
        Place within the report.
    directness : str
        ``direct`` (people and treatment of the question), ``related`` (people of the question,
        a related treatment), ``indirect`` (other people) or ``context`` (a yardstick).
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
    judgements, next_trial, multiverse, regressions, expectation
        Optional tables.
    dose : DoseRule or None
        How doses are read; ``None`` unless the kind is ``dose_response``.
    """

    name: str = Field(default="", exclude=True)
    title: NeededText = ""
    question: NeededText = ""
    section: Annotated[str, BeforeValidator(_section)] = ""
    order: Annotated[int, AfterValidator(int), *Number.__metadata__] = 0
    directness: Annotated[str, one_of(DIRECTNESS)] = ""
    status: Annotated[str, one_of(STATUSES)] = ""
    select: Selection = Field(default_factory=Selection.model_construct)
    choose: Choice = Choice()
    assume: Assumptions = Assumptions()
    model: Model = Model()
    favours: Annotated[tuple[str, str], BeforeValidator(_two_texts)] = (
        *("Favours treatment", "Favours control"),
    )
    looked_for: NeededText = ""
    registration: Text = ""
    note: Text = ""
    kind: Annotated[str, one_of(KINDS)] = "pooled"
    judgements: Annotated[Mapping[str, Judgement], BeforeValidator(_judgements)] = Field(
        default_factory=dict
    )
    next_trial: NextTrial | None = None
    multiverse: Choices = Choices()
    regressions: Regressions = Regressions()
    expectation: Expectation | None = None
    dose: DoseRule | None = None
    _project: Project = PrivateAttr(default_factory=Project.model_construct)

    @property
    def project(self) -> Project:
        """What the project declares; never published with the question."""
        return self._project

    @property
    def coding(self) -> ModeratorCoding:
        """How the moderator of the groups is coded."""
        return coding_of(self.model.group_by, self._project)

    def within(self, project: Project) -> AnalysisSpec:
        """Return the same question as one of a project."""
        copy = self.model_copy()
        copy._project = project
        return copy


@cache
def spec_model(moderators: tuple[str, ...]) -> type[AnalysisSpec]:
    """Return the type of a question whose ``[select]`` has a list for each of the moderators."""
    columns: Any = {name: (Annotated[Words, words_of()], ()) for name in moderators}
    chosen = create_model("Selection", __base__=Selection, **columns)
    select: Any = (chosen, Field(default_factory=chosen.model_construct))
    return create_model("AnalysisSpec", __base__=AnalysisSpec, select=select)
