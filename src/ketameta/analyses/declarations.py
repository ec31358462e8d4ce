"""Optional tables of an analysis file as frozen values: judgements, choices, the next trial.

Reads no file; :mod:`ketameta.analyses.declarations_file` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Domains of a GRADE assessment, in the order of the tables.
DOMAINS = ("risk_of_bias", "inconsistency", "indirectness", "imprecision", "publication_bias")
#: How much a domain lowers certainty, in levels.
CONCERNS: Mapping[str, int] = {"no concern": 0, "serious": 1, "very serious": 2}
#: Numbers of a study, or of its effect, that a meta-regression may use.
CONTINUOUS_MODERATORS: Mapping[str, str] = {
    "year": "Year of publication",
    "time_days": "Days from the first dose to the measurement",
    "n_participants": "People in the trial",
    "age_mean_years": "Mean age in years",
    "female_percent": "Percentage of women or girls",
    "adhd_inattentive_percent": "Percentage with the inattentive presentation",
}
#: People per arm for which a new trial is worked out, unless the file names others.
TRIAL_SIZES = (10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A person's judgement on one domain, which lowers certainty by 0, 1 or 2 levels.

    Attributes
    ----------
    level : str
        One of ``CONCERNS``.
    reason : str
    """

    level: str
    reason: str


@dataclass(frozen=True, slots=True)
class TrialPrior:
    """Trials whose spread of true effects serves as the prior for a new trial.

    Attributes
    ----------
    analysis : str
        Name of an analysis with the same measure.
    group : str
        One of its groups; all of its trials when empty.
    """

    analysis: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class NextTrial:
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
    priors : tuple of TrialPrior
    status : str
        ``declared`` or ``post hoc``.
    """

    important_difference: float
    source: str
    sd: float = 1.0
    unit: str = "points"
    baseline_risk: float | None = None
    alpha: float = 0.05
    power: tuple[float, ...] = (0.8, 0.9)
    n_per_arm: tuple[int, ...] = TRIAL_SIZES
    priors: tuple[TrialPrior, ...] = ()
    status: str = "declared"


@dataclass(frozen=True, slots=True)
class Choices:
    """Defensible choices whose every combination is computed beside the main result.

    A choice that changes no number of an analysis is left out of its count and said to be without
    effect. ``measure`` is for events; ``correlation`` for analyses that assume one.
    """

    tau2_method: tuple[str, ...] = ("REML", "DL", "PM", "ML")
    ci_method: tuple[str, ...] = ("knapp-hartung-conservative", "knapp-hartung", "wald")
    measure: tuple[str, ...] = ("RR", "OR", "RD")
    spread: tuple[str, ...] = ("all", "raw")
    source: tuple[str, ...] = ("all", "full_access")
    overlap: tuple[str, ...] = ("trials", "pools")
    correlation: tuple[float, ...] = (0.3, 0.5, 0.7)


@dataclass(frozen=True, slots=True)
class Regressions:
    """Continuous moderators, one meta-regression each.

    Attributes
    ----------
    moderators : tuple of str
        Of ``CONTINUOUS_MODERATORS``.
    status : str
        ``declared`` or ``post hoc``.
    """

    moderators: tuple[str, ...] = ()
    status: str = "declared"


@dataclass(frozen=True, slots=True)
class Expectation:
    """In which level a moderator was expected to show the larger effect, and why.

    Attributes
    ----------
    larger_effect_in : str
    reason : str
    status : str
        ``declared`` when committed before the result was computed, else ``post hoc``.
    """

    larger_effect_in: str
    reason: str
    status: str = "declared"


@dataclass(frozen=True, slots=True)
class Declarations:
    """All optional tables of one analysis file."""

    judgements: Mapping[str, Judgement] = field(default_factory=dict)
    next_trial: NextTrial | None = None
    multiverse: Choices = Choices()
    regressions: Regressions = Regressions()
    expectation: Expectation | None = None
