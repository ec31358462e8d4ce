"""Types of the parts of a result that analyses of one kind have: times, networks, doses, choices.

Each is plain data as published; :mod:`ketameta.analyses.result` holds the whole.
"""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, NotRequired, Required, TypeVar

from pydantic import Field
from typing_extensions import ReadOnly, TypedDict

from ketameta.models.results import plain

Number = float | None
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
#: Of studies and analyses.
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]

Kind = TypeVar("Kind")


Shown = TypeVar("Shown", bound=Mapping[str, object])


def kept(found: Shown | None) -> Shown | None:
    """Return a part of a result; None where it is withheld."""
    return None if found is None or found["withheld"] else found


def part(kind: type[Kind], *sources: object, **given: object) -> Kind:
    """Return a part of a result: the values given, and what else its type names of the sources.

    Parameters
    ----------
    kind : type
        One of the types below.
    *sources : object
        Fits, specs or parts; the first that has a field or a key counts.
    **given : object
        Values under other names than in the sources, or of their own.

    Raises
    ------
    LookupError
        If a key that the part must have is nowhere, or one was given that it does not have.
    """
    typed: Any = kind
    found = dict(given)
    for source in sources:
        read = source.get if isinstance(source, Mapping) else partial(getattr, source)
        left = {name: read(name, ...) for name in typed.__annotations__.keys() - found.keys()}
        found |= {name: value for name, value in left.items() if value is not ...}
    # Annotations of this module are evaluated: otherwise no type would know what it must have.
    if missing := typed.__required_keys__ - found.keys():
        raise LookupError(f"{kind.__name__} without {', '.join(sorted(missing))}")
    if unknown := given.keys() - typed.__annotations__.keys():
        raise LookupError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return plain(found)


class Caveat(TypedDict):
    """What a reader must know."""

    code: str
    message: str


class Interval(TypedDict):
    """An estimate with its interval; of a ratio, natural logarithms."""

    estimate: Number
    ci_low: Number
    ci_high: Number


class IntervalLike(TypedDict):
    """Whatever has an estimate and its interval, to be read alone."""

    estimate: ReadOnly[Number]
    ci_low: ReadOnly[Number]
    ci_high: ReadOnly[Number]


class Tested(Interval):
    """An estimate with its test."""

    se: Positive
    statistic: NotRequired[Number]
    df: NotRequired[Number]
    p_value: Share | None


# --- groups and time ------------------------------------------------------------------------------


class Definition(TypedDict):
    """How a trial defined its group."""

    study_id: str
    label: str
    definition: str


class GroupFacts(TypedDict):
    """How the trials of a group differ in other things: counts by word."""

    key: str
    k: Count
    median_days: Number
    route: dict[str, int]
    comparator: dict[str, int]
    blinding: dict[str, int]
    design: dict[str, int]
    age_group: dict[str, int]
    regimen: dict[str, int]
    definitions: list[Definition]


class TimeMean(Tested):
    """The mean effect of one class of time, or a change of it."""

    name: str
    effects: NotRequired[int]


class RhoRow(Tested):
    """The last change under another correlation."""

    rho: float
    sigma2_study: float
    sigma2_effect: float


class WithinRow(TypedDict):
    """The change within one trial."""

    study_id: str
    label: str
    estimate: float
    se: Positive
    ci_low: float
    ci_high: float


class WithinTrials(Interval):
    """The change within trials that were measured at both times."""

    k: Count
    tau2: Number
    rows: list[WithinRow]
    enough: bool


class OverTime(TypedDict, total=False):
    """One model of the effect at all times, or why there is none."""

    withheld: Required[str]
    rho: float
    classes: list[str]
    reference: str
    effects: int
    studies: int
    sigma2_study: float
    sigma2_effect: float
    means: list[TimeMean]
    changes: list[TimeMean]
    sensitivity: list[RhoRow]
    within_trials: WithinTrials | None


# --- networks -------------------------------------------------------------------------------------


class Comparison(Tested):
    """One treatment against another."""

    treatment: str
    control: str
    pi_low: Number
    pi_high: Number
    k_direct: int


class Contrast(TypedDict):
    """What the network model saw of one trial and treatment."""

    study: str
    treatment: str
    control: str
    estimate: float
    variance: Positive
    covariance: dict[str, float]
    n_treatment: Number
    n_control: Number
    effect_ids: list[str]


class Ranked(TypedDict):
    """A treatment with its P-score."""

    treatment: str
    p_score: float


class Node(TypedDict):
    """A treatment of a network."""

    treatment: str
    k: Count
    n: Number


class Edge(TypedDict):
    """Two treatments that trials compare."""

    first: str
    second: str
    k: Count


class Split(TypedDict):
    """Direct against indirect evidence on one comparison."""

    treatment: str
    control: str
    k_direct: int
    direct: Number
    direct_se: Number
    indirect: Number
    indirect_se: Number
    difference: Number
    difference_se: Number
    statistic: Number
    p_value: Share | None
    tau2: Number


class QTest(TypedDict):
    """A chi-squared statistic."""

    q: float
    df: int
    p_value: Share | None


class Design(TypedDict):
    """Heterogeneity within one design."""

    design: list[str]
    k: Count
    test: QTest


class NetworkQ(TypedDict):
    """Heterogeneity within designs, and inconsistency between them."""

    total: QTest
    within: QTest
    between: QTest
    designs: list[Design]
    between_random: QTest | None
    tau2_within: Number


class People(TypedDict):
    """People of the trials, and the trials that print none."""

    n: int
    without_size: list[str]


#: Who was studied in one comparison, and for how long: counts by word, per fact.
Comparability = dict[str, str | int | Number | dict[str, int]]


class Network(TypedDict):
    """A network of treatments, or why there is none."""

    withheld: str
    reference: str
    apart: list[str]
    k: NotRequired[Count]
    tau2: NotRequired[Number]
    tau2_ci_low: NotRequired[Number]
    tau2_ci_high: NotRequired[Number]
    tau2_method: NotRequired[str | None]
    ci_method: NotRequired[str]
    df: NotRequired[int | None]
    i2: NotRequired[Number]
    effects: NotRequired[list[Comparison]]
    league: NotRequired[list[Comparison]]
    ranking: NotRequired[list[Ranked]]
    ranking_withheld: NotRequired[str]
    splits: NotRequired[list[Split]]
    q: NotRequired[NetworkQ]
    nodes: NotRequired[list[Node]]
    edges: NotRequired[list[Edge]]
    caveats: NotRequired[list[Caveat]]
    studies: NotRequired[list[str]]
    contrasts: NotRequired[list[Contrast]]
    people: NotRequired[People]
    transitivity: NotRequired[list[Comparability]]


# --- doses ----------------------------------------------------------------------------------------


class DosePoint(Interval):
    """One arm against no dose."""

    study_id: str
    label: str
    arm_id: str
    dose: float
    se: Positive
    n_treatment: Number
    n_control: Number
    events_treatment: Number
    events_control: Number


class AtDose(Interval):
    """A curve at one dose."""

    dose: float
    se: Positive


class Slope(Tested):
    """The change of the effect per step of dose."""

    tau: float


class Coefficient(Tested):
    """A coefficient of a curve."""

    term: str


class CurveTest(TypedDict):
    """A test of coefficients."""

    statistic: float
    df: int
    df2: int | None
    p_value: float


class Curve(TypedDict):
    """A curve through the doses, or why there is none."""

    withheld: str
    k: NotRequired[Count]
    method: NotRequired[str]
    knots: NotRequired[list[float]]
    coefficients: NotRequired[list[Coefficient]]
    covariance: NotRequired[list[list[float]]]
    between: NotRequired[list[list[float]]]
    slope: NotRequired[Slope]
    q: NotRequired[Number]
    q_df: NotRequired[int | None]
    q_p_value: NotRequired[Share | None]
    test: NotRequired[CurveTest]
    nonlinearity: NotRequired[CurveTest | None]
    at_doses: NotRequired[list[AtDose]]
    curve: NotRequired[list[AtDose]]
    caveats: NotRequired[list[Caveat]]
    level: NotRequired[float]


class DosePair(TypedDict):
    """Two doses of one trial."""

    study_id: str
    dose: float
    control: float
    estimate: Number


class AmongDoses(TypedDict):
    """The slope among treated people, within trials, or why there is none."""

    k: Count
    withheld: str
    n_contrasts: NotRequired[int]
    method: NotRequired[str]
    contrasts: NotRequired[list[DosePair]]
    covariance: NotRequired[list[list[float]]]
    slope: NotRequired[Slope]
    caveats: NotRequired[list[Caveat]]


class TrialSlope(TypedDict):
    """The slope of one trial."""

    study_id: str
    label: str
    estimate: float
    se: Positive


class TwoStage(TypedDict):
    """The slope of each trial, and to what their pool agrees with the line."""

    engine: str
    version: str
    slopes: list[TrialSlope]
    agrees_to: Number


class SlopeChoice(Slope):
    """The slope under another choice, or without one trial."""

    label: str
    k: Count
    code: NotRequired[str]
    study_id: NotRequired[str]
    method: NotRequired[str]


class SlopesLeftOut(TypedDict):
    """The slope without each trial."""

    rows: list[SlopeChoice]
    lowest: float
    highest: float


class DoseChecks(TypedDict):
    """Checks of the line, or why there are none."""

    two_stage: TwoStage | None
    sensitivity: list[SlopeChoice]
    leave_one_out: SlopesLeftOut | None
    withheld: str


class DoseResponse(TypedDict):
    """A dose-response analysis, or why there is none."""

    withheld: str
    unit: str
    step: float
    main: str
    knot_shares: list[float]
    equivalents: dict[str, float]
    points: list[DosePoint]
    covariance: NotRequired[list[list[float]]]
    doses: NotRequired[list[float]]
    n_contrasts: NotRequired[int]
    among_doses: NotRequired[AmongDoses]
    linear: NotRequired[Curve]
    spline: NotRequired[Curve]
    checks: NotRequired[DoseChecks]
    nonlinearity: NotRequired[CurveTest | None]
    at_doses: NotRequired[list[AtDose]]
    curve: NotRequired[list[AtDose]]
    caveats: NotRequired[list[Caveat]]


# --- choices, next trial, moderators --------------------------------------------------------------


class Excludes(TypedDict):
    """How many combinations exclude no difference, by side."""

    below: int
    above: int
    neither: int


class ChoiceEffect(TypedDict):
    """How much one choice changes."""

    alone: Number
    in_all: Number
    changes: Number
    switches: int


class Choice(TypedDict):
    """A choice with its options."""

    name: str
    label: str
    options: list[str]
    effect: ChoiceEffect


class Combinations(TypedDict):
    """Every combination, by column; options by their place."""

    estimate: list[Number]
    ci_low: list[Number]
    ci_high: list[Number]
    k: list[int]
    excludes: list[int]
    options: dict[str, list[int]]


class Multiverse(TypedDict):
    """All combinations of choices, or why there are none."""

    withheld: str
    n: NotRequired[int]
    n_pooled: NotRequired[int]
    excludes: NotRequired[Excludes]
    median: NotRequired[Number]
    lowest: NotRequired[Number]
    highest: NotRequired[Number]
    choices: NotRequired[list[Choice]]
    idle: NotRequired[list[str]]
    baseline_risk: NotRequired[Number]
    main: NotRequired[int]
    combinations: NotRequired[Combinations]
    sentences: NotRequired[list[str]]


class SampleSize(TypedDict):
    """People needed for one power."""

    power: float
    normal: float
    exact: int | None
    total: int | None


class Declared(TypedDict):
    """What the next trial is to detect."""

    important_difference: float
    source: str
    difference_words: str
    design: str
    sd: float
    baseline_risk: Number
    alpha: float
    status: str


class Power(TypedDict):
    """Power by size."""

    n_per_arm: list[int]
    power: list[float]


class Assurance(TypedDict):
    """Chance of benefit by size."""

    n_per_arm: list[int]
    assurance: list[float]


class SizeFor(TypedDict):
    """The size that reaches an assurance; None where none does."""

    assurance: float
    n_per_arm: int | None


class Prior(TypedDict):
    """What related trials suggest for a new one, or why they cannot."""

    analysis: str
    group: str
    title: str
    k: Count
    withheld: str
    median: NotRequired[float]
    low: NotRequired[float]
    high: NotRequired[float]
    p_benefit: NotRequired[float]
    p_important: NotRequired[float]
    assurance: NotRequired[Assurance]
    limit: NotRequired[float]
    sizes: NotRequired[list[SizeFor]]


class Scenario(TypedDict):
    """An assumed true effect."""

    label: str
    true_effect: float


class Outlook(TypedDict):
    """What the pool would show with a new trial."""

    p_benefit: float
    p_harm: float
    expected_width: float


class AfterRow(TypedDict):
    """The pool with a new trial of one size."""

    n_per_arm: int
    benefit_if_between: list[list[Number]]
    harm_if_between: list[list[Number]]
    outlooks: list[Outlook]


class After(TypedDict):
    """The pool with a new trial."""

    k: Count
    pools: Count
    model: str
    tau2_new: float
    scenarios: list[Scenario]
    rows: list[AfterRow]


class NextTrial(TypedDict):
    """What the next trial needs, or why that is not said."""

    withheld: str
    declared: NotRequired[Declared]
    sample_size: NotRequired[list[SampleSize]]
    power: NotRequired[Power]
    priors: NotRequired[list[Prior]]
    n_trials: NotRequired[int]
    after: NotRequired[After | None]
    sentences: NotRequired[list[str]]


class BubbleRow(TypedDict):
    """A trial of a bubble plot; ``by_rule``: its moderator follows from who could take part."""

    study_id: str
    label: str
    moderator: float
    estimate: float
    variance: Positive
    weight: float
    by_rule: bool


class Variation(TypedDict):
    """A slope with one choice changed."""

    label: str
    same: bool
    k: Count
    withheld: str
    slope: Number
    ci_low: Number
    ci_high: Number


class MetaRegression(TypedDict):
    """One meta-regression, or why there is none."""

    moderator: str
    label: str
    status: str
    k: Count
    withheld: str
    slope: NotRequired[Number]
    se: NotRequired[Number]
    ci_low: NotRequired[Number]
    ci_high: NotRequired[Number]
    p_value: NotRequired[Share | None]
    df: NotRequired[int | None]
    tau2: NotRequired[Number]
    r2: NotRequired[Number]
    first: NotRequired[float]
    last: NotRequired[float]
    rows: NotRequired[list[BubbleRow]]
    line: NotRequired[dict[str, list[float] | None]]
    design: NotRequired[list[list[float]]]
    adjusted_for: NotRequired[list[str]]
    variations: NotRequired[list[Variation]]
    reading: NotRequired[str]


class Permutation(TypedDict):
    """A permutation test, or why there is none."""

    p_value: Share | None
    withheld: str
    exact: NotRequired[bool]
    iterations: NotRequired[int]
    seed: NotRequired[int | None]
    caveats: NotRequired[list[str]]


class LevelDifference(Interval):
    """One level of a moderator against another."""

    level: str
    reference: str
    p_value: Share | None


class Question(TypedDict):
    """A question of the instrument with its answer."""

    question: int
    text: str
    answer: str
    basis: str
    place: int | None


class CredibilityRating(TypedDict):
    """The rating of an effect modification."""

    level: str
    words: str


class Credibility(TypedDict):
    """How credible one moderator is."""

    analysis: str
    title: str
    moderator: str
    label: str
    kind: str
    status: str
    k: Count
    p_value: Share | None
    withheld: str
    permutation: Permutation
    differences: list[LevelDifference]
    questions: list[Question]
    rating: CredibilityRating


class ModeratorRow(TypedDict):
    """A moderator test of the project, with its adjusted p-value."""

    analysis: str
    title: str
    label: str
    kind: str
    status: str
    k: Count
    p_value: Share | None
    p_permuted: Share | None
    p_holm: Share | None
    rating: str
    withheld: str
