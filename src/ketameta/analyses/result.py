"""What stands in a published result: every key with its type; the JSON Schema is made from these.

Results are plain data, so that what is computed, stored, read again and shown is the same thing.
"""

import json
from functools import cache
from typing import Annotated, Literal, NotRequired

from pydantic import Field, TypeAdapter, WithJsonSchema
from typing_extensions import TypedDict

from ketameta.analyses.parts import (
    Caveat,
    Count,
    Credibility,
    DoseResponse,
    GroupFacts,
    Interval,
    MetaRegression,
    Multiverse,
    Name,
    Network,
    NextTrial,
    Number,
    OverTime,
    Positive,
    Share,
    Tested,
)
from ketameta.measures import EVIDENCE_MEASURES

MeasureCode = Annotated[str, Field(pattern=f"^({'|'.join(EVIDENCE_MEASURES)})$")]
Side = Literal["lower", "higher", "unclear", "none"]


# --- what leads -----------------------------------------------------------------------------------


class Rule(TypedDict):
    """The rule that fired: its code and what it read, in words."""

    code: str
    sentence: str


class Beside(Interval):
    """Another estimate of the same effect, on the scale of its own measure."""

    code: str
    label: str
    measure: MeasureCode
    k: Count
    tau: Positive | None
    common_effect: bool
    withheld: str


class Absolute(TypedDict):
    """People with the event per 1,000, on control and treated, and more or fewer."""

    baseline_source: str
    control: float
    treated: float
    treated_low: float
    treated_high: float
    difference: float
    difference_low: float
    difference_high: float
    sentence: str


class Studied(TypedDict):
    """Who was studied, against what, beside what, and in how many trials and pooled reports."""

    pools: int
    sources: str
    population: str
    comparator: str
    background: str


class Headline(Interval, Studied):
    """The estimate that leads; each key is explained in ``docs/results.md``."""

    rule: Rule
    method: str
    interval: str
    effect: str
    measure: MeasureCode
    is_ratio: bool
    unit: str
    level: Share
    k: Count
    people: int
    trials_without_size: int
    tau: Positive | None
    prior_scale: Number
    weights: list[float]
    pi_low: Number
    pi_high: Number
    prediction: str
    side: Side
    direction: str
    absolute: Absolute | None
    absolute_withheld: str
    beside: list[Beside]
    disagreement: str
    sentence: str


# --- trials and pools -----------------------------------------------------------------------------


class StudyRow(TypedDict):
    """One trial, or one trial and group; a project's categories are further keys."""

    study_id: Name
    label: str
    group: str
    year: int | None
    intervention: str
    comparator: str
    arms: list[str]
    instrument: str
    time_days: Number
    subgroup: str
    data_kind: str
    n_treatment: int | None
    n_control: int | None
    n_participants: int | None
    estimate: float
    ci_low: float
    ci_high: float
    variance: Positive
    se: Positive
    route: str
    assumption: str
    source: list[str]
    note: str
    weight: NotRequired[Number]
    effect_ids: NotRequired[list[str]]
    background_treatment: NotRequired[str]
    outcome: NotRequired[str]
    events_treatment: NotRequired[int | None]
    events_control: NotRequired[int | None]
    mean_treatment: NotRequired[Number]
    sd_treatment: NotRequired[Number]
    mean_control: NotRequired[Number]
    sd_control: NotRequired[Number]
    citation: NotRequired[str]
    doi: NotRequired[str]
    pmid: NotRequired[str]
    registry_id: NotRequired[str]
    source_url: NotRequired[str]
    source_type: NotRequired[str]
    access: NotRequired[str]
    design: NotRequired[str]
    blinding: NotRequired[str]
    population: NotRequired[str]
    diagnosis: NotRequired[str]
    age_group: NotRequired[str]
    risk_of_bias: NotRequired[dict[str, str]]


class Pooled(Tested):
    """The random-effects fit that one compares with other programs."""

    model: Literal["random", "common"]
    k: Count
    pi_low: Number
    pi_high: Number
    pi_df: Number
    tau2: Positive | None
    tau2_se: Positive | None
    tau2_ci_low: Positive | None
    tau2_ci_high: Positive | None
    i2: Share | None
    h2: Positive | None
    i2_ci_low: Share | None
    i2_ci_high: Share | None
    i2_q: Share | None
    h2_q: Positive | None
    q: Positive | None
    q_df: int | None
    q_p_value: Share | None
    tau2_method: str | None
    ci_method: str
    level: Share
    rule: str


class Group(TypedDict):
    """Trials that stand together."""

    key: str
    label: str | None
    rows: list[StudyRow]
    pooled: Pooled | None
    headline: NotRequired[Headline | None]


class SubgroupTest(TypedDict):
    """The test for differences between groups, or why there is none."""

    q: Positive | None
    df: int | None
    p_value: Share | None
    levels_tested: list[str]
    withheld: str


class Excluded(TypedDict):
    """An extracted row that does not enter, with the reason."""

    study_id: str
    label: str
    design: str
    arm_id: str
    comparator_arm_id: str
    outcome: str
    instrument: str
    time_days: Number
    subgroup: str
    data_kind: str
    code: str
    reason: str
    answers: str | None
    source: str
    events_treatment: Number
    n_treatment: Number
    events_control: Number
    n_control: Number


# --- sensitivity analyses -------------------------------------------------------------------------


class Sensitivity(Interval):
    """The main model with one choice changed."""

    code: str
    label: str
    k: Count
    tau2: Positive | None
    study_id: NotRequired[str]


class LeaveOneOut(TypedDict):
    """The pooled effect without each trial in turn."""

    rows: list[Sensitivity]
    lowest: float
    highest: float


class Stratified(Interval):
    """A Mantel-Haenszel or Peto result, or why it does not exist."""

    method: str
    measure: MeasureCode
    k: Count | None
    se: Number
    p_value: Share | None
    q: Positive | None
    q_df: int | None
    q_p_value: Share | None
    i2: Share | None
    withheld: str


class ZeroCells(TypedDict):
    """Trials with an empty cell, by name."""

    one_arm: list[str]
    both_arms: list[str]


class Events(TypedDict):
    """Counted outcomes: other ways to pool them, and the risk on control."""

    k: Count
    not_counted: list[str]
    methods: list[Stratified]
    zero_cells: ZeroCells
    baseline_risk: float
    baseline_source: str


class InfluenceRow(TypedDict):
    """Deletion diagnostics of one trial."""

    study_id: str
    label: str
    rstudent: Number
    dffits: Number
    cooks_distance: Number
    covariance_ratio: Number
    tau2_deleted: Number
    weight: float
    influential: bool
    reasons: list[str]


class Influence(TypedDict):
    """Deletion diagnostics, and the trials they flag."""

    rows: list[InfluenceRow]
    influential: list[str]


class Points(TypedDict):
    """Subsets of trials as they are drawn."""

    estimate: list[float]
    i2: list[float]


class Gosh(TypedDict):
    """Pooled effects of many subsets of trials."""

    subsets: int
    exact: bool
    seed: int | None
    shares: list[float]
    quantiles: list[float]
    points: Points
    labels: list[str]
    median_with: list[float]
    median_without: list[float]


class Tried(TypedDict):
    """A method with its fields, or why it says nothing; see ``docs/statistics.md``."""

    withheld: str
    estimate: NotRequired[float]
    ci_low: NotRequired[Number]
    ci_high: NotRequired[Number]


class Egger(Tried):
    """The regression test for small-study effects, and what effects were regressed on."""

    predictor: NotRequired[str]
    p_value: NotRequired[Share]


class TrimAndFill(Tried):
    """Trials that trim-and-fill adds."""

    missing: NotRequired[Count]
    filled_estimates: NotRequired[list[float]]
    filled_variances: NotRequired[list[float]]


class Selection(Tried):
    """A selection model by step function."""

    log_likelihood: NotRequired[float]
    gap: NotRequired[Number]
    lrt: NotRequired[Number]


class Excess(TypedDict):
    """Significant trials against those that their power would give, or why there is no test."""

    withheld: str
    observed: NotRequired[int]
    expected: NotRequired[float]
    p_value: NotRequired[float]
    alpha: NotRequired[float]


class SmallStudy(TypedDict):
    """What small-study methods say, or why they are withheld."""

    withheld: str
    excess: NotRequired[Excess]
    egger: NotRequired[Egger]
    trim_and_fill: NotRequired[TrimAndFill]
    selection: NotRequired[Selection]
    pet_peese: NotRequired[Tried]


class SecondEngine(TypedDict):
    """Who refitted a result, and the bound to which it agrees."""

    engine: str
    version: str
    agrees_to: Number


class MeanInterval(Tested):
    """An interval of the mean by one method."""

    ci_method: str


# --- certainty ------------------------------------------------------------------------------------


class BiasFacts(TypedDict):
    """Shares of the weight by risk of bias, blinding and access."""

    share_low: float
    share_unclear: float
    share_some_concerns: float
    share_high: float
    share_not_judged: float
    share_double_blind: float
    share_full_access: float
    by_domain: NotRequired[dict[str, dict[str, dict[str, float]]]]


class InconsistencyFacts(TypedDict):
    """How much trials differ; below two trials only their number."""

    k: Count
    pools: Count
    i2: NotRequired[Number]
    i2_ci_low: NotRequired[Number]
    i2_ci_high: NotRequired[Number]
    q_p_value: NotRequired[Number]
    tau: NotRequired[Number]
    pi_low: NotRequired[Number]
    pi_high: NotRequired[Number]
    pi_includes: NotRequired[list[str]]
    trials_on_other_side: NotRequired[int]


class IndirectnessFacts(TypedDict):
    """How near people and treatment are to those that are asked about."""

    directness: str
    share_of_people: float
    share_of_treatment: float
    diagnoses: list[str]
    outcomes: list[str]


class InformationSize(TypedDict):
    """The optimal information size and what it assumes, or why there is none."""

    information_size: int | None
    information_size_basis: str


class ImprecisionFacts(InformationSize):
    """What the interval includes, and the optimal information size."""

    measure: MeasureCode
    ci_low: Number
    ci_high: Number
    n_participants: Count
    trials_without_size: int
    information_size_reached: NotRequired[bool]
    ci_includes: NotRequired[list[str]]


class PublicationFacts(TypedDict):
    """Small-study tests, and trials that answer the question but print nothing usable."""

    k: Count
    pools: Count
    egger_p_value: Share | None
    trim_and_fill_missing: int | None
    trials_without_usable_result: int
    without_usable_result: list[str]


class Judgement(TypedDict):
    """A level with its reason; None where nobody judged."""

    level: str | None
    reason: str


class Domain(TypedDict):
    """One domain: facts, what they say, the rule's level, and a person's where one judged."""

    code: str
    label: str
    facts: BiasFacts | InconsistencyFacts | IndirectnessFacts | ImprecisionFacts | PublicationFacts
    words: list[str]
    by_rule: Judgement
    judgement: Judgement | None


class Rating(TypedDict):
    """The rating, provisional where a domain was rated by rule."""

    level: str
    starts_at: str
    awaiting: int
    provisional: bool
    words: str


class Finding(TypedDict):
    """A row of the summary of findings."""

    analysis: str
    title: str
    directness: str
    k: Count
    pools: Count
    people: str
    effect: str
    direction: str
    absolute: str
    certainty: str


class Assessment(TypedDict):
    """The certainty of one main result."""

    group: str
    domains: list[Domain]
    rating: Rating
    summary: Finding


class Certainty(TypedDict):
    """Assessments of every main result, or why there are none."""

    withheld: str
    assessments: list[Assessment]


# --- the whole ------------------------------------------------------------------------------------


class AssumedSize(TypedDict):
    """A size of an arm that its source does not print, as assumed."""

    study_id: str
    arm_id: str
    subgroup: str
    n: int
    reason: str


class Assumed(TypedDict):
    """What a question assumes."""

    correlation: Number
    arm_sizes: list[AssumedSize]


class Modelled(TypedDict):
    """How a question has its trials pooled; ``[model]`` of its file has further keys."""

    tau2_method: str
    ci_method: str
    group_order: list[str]


class Asked(TypedDict):
    """The question as its file declares it; further keys are those of the file."""

    assume: Assumed
    model: Modelled


class Appraisal(TypedDict):
    """What an analysis is worth beside the others; None where it stands alone."""

    certainty: NotRequired[Certainty | None]
    multiverse: NotRequired[Multiverse | None]
    next_trial: NotRequired[NextTrial | None]
    regressions: NotRequired[list[MetaRegression] | None]
    credibility: NotRequired[list[Credibility] | None]


class Sizes(TypedDict):
    """Trials, people, and trials that print no size."""

    k: Count
    n_participants: Count
    n_trials_without_size: Count


class AnalysisResult(Sizes, Appraisal):
    """Result of one analysis.

    Ratios are stored as natural logarithms. Negative favours the treatment for standardised
    differences. Shares are of one. What does not exist is null. Numbers have seven significant
    digits.
    """

    name: Name
    kind: str
    title: str
    question: str
    section: str
    order: int
    directness: str
    status: str
    registration: str
    note: str
    favours: list[str]
    looked_for: str
    measure: MeasureCode
    measure_label: str
    is_ratio: bool
    null: Number
    level: Share
    group_by: str
    important_difference: Number
    important_difference_source: str
    headline: Headline
    groups: list[Group]
    pooled: Pooled | None
    subgroup_test: SubgroupTest | None
    sensitivity: list[Sensitivity]
    events: Events | None
    leave_one_out: LeaveOneOut | None
    group_facts: list[GroupFacts] | None
    over_time: OverTime | None
    network: Network | None
    dose_response: DoseResponse | None
    influence: Influence | None
    gosh: Gosh | None
    small_study: SmallStudy | None
    second_engine: SecondEngine | None
    intervals: list[MeanInterval]
    caveats: list[Caveat]
    excluded: list[Excluded]
    unused: list[Excluded]
    spec: Annotated[
        Asked,
        WithJsonSchema({"title": "Spec", "type": "object", "additionalProperties": True}),
    ]
    sentences: NotRequired[list[str]]


@cache
def _adapter() -> TypeAdapter[AnalysisResult]:
    return TypeAdapter(AnalysisResult)


def check_result(data: object) -> AnalysisResult:
    """Return a result read from a file; refuse what is none.

    Raises
    ------
    pydantic.ValidationError
        With every key that is missing or has another type.
    """
    return _adapter().validate_python(data)


def results_schema() -> dict[str, object]:
    """Return the JSON Schema of one results file (draft 2020-12), made from the types above."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_adapter().json_schema(mode="serialization"),
        "title": "Result of one ketameta analysis",
    }


@cache
def schema_text() -> str:
    """Return the schema as the text of a file."""
    return json.dumps(results_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
