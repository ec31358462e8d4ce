"""What a next trial would need, and what it would do to the answer there is.

Sample size for a stated difference, assurance under what related trials suggest, and the pooled
interval after one more trial. Deterministic; the numbers are those of ``models.power``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import special

from ketameta.analyses.credibility import moderator_analyses
from ketameta.analyses.parts import After, AfterRow, Declared, Prior, SampleSize, part
from ketameta.analyses.parts import NextTrial as NextTrialResult
from ketameta.analyses.policy import prior_scale_of
from ketameta.analyses.rows import study_rows
from ketameta.analyses.selection import select_effects
from ketameta.analyses.sentences import lower_first
from ketameta.errors import SpecError, did_you_mean
from ketameta.evidence.pairing import Assumptions
from ketameta.formatting import (
    format_count,
    format_interval,
    format_number,
    format_percent,
    plural,
    published,
    trials_words,
)
from ketameta.measures import FREQUENTIST_FROM, Measure
from ketameta.models.bayes.normal import predictive_effect
from ketameta.models.bayes.priors import HalfNormal
from ketameta.models.bayes.quadrature import Mixture
from ketameta.models.power import (
    assurance,
    md_variance,
    new_trial,
    normal_sample_size,
    smd_variance,
    t_test_power,
    t_test_sample_size,
    two_proportions_power,
    two_proportions_sample_size,
)
from ketameta.models.results import plain
from ketameta.paths import Keep, made_anew

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec, NextTrial
    from ketameta.evidence.derive import EffectTable
    from ketameta.evidence.tables import Evidence


#: A difference between the effects in two halves of a trial has four times the variance of its
#: effect.
INTERACTION = 4


def design_of(spec: AnalysisSpec, plan: NextTrial) -> str:
    """Return ``arms``, ``groups`` (a difference between two groups) or ``risks``."""
    if plan.baseline_risk is not None:
        return "risks"
    return "groups" if spec.kind == "within_trial" else "arms"


def size_of(plan: NextTrial, design: str, power: float) -> SampleSize:
    """Return the people per arm that a design needs for a power.

    Notes
    -----
    ``arms``: the t test. ``risks``: the normal approximation. ``groups``: two groups of equal size
    in each arm; the difference of two effects has variance ``8 sd^2 / n`` instead of ``2 sd^2 / n``
    and needs four times the people (Brookes and others 2004, J. Clin. Epidemiol. 57, 229-236).
    """
    if design == "risks":
        control, treated = _risks(plan)
        normal = two_proportions_sample_size(control, treated, plan.alpha, power)
        exact = math.ceil(normal)
    elif design == "groups":
        single = normal_sample_size(plan.important_difference, plan.sd, plan.alpha, power)
        normal = INTERACTION * single
        exact = 2 * math.ceil(normal / 2)
    else:
        normal = normal_sample_size(plan.important_difference, plan.sd, plan.alpha, power)
        exact = t_test_sample_size(plan.important_difference, plan.sd, plan.alpha, power)
    return {"power": power, "normal": normal, "exact": exact, "total": 2 * exact}


def power_of(plan: NextTrial, design: str) -> Any:
    """Return the power of each declared size."""
    sizes = np.array(plan.n_per_arm)
    if design == "risks":
        return two_proportions_power(*_risks(plan), sizes, plan.alpha)
    if design == "groups":
        z = special.ndtri(1 - plan.alpha / 2)
        shift = np.abs(plan.important_difference) / plan.sd * np.sqrt(sizes / (2 * INTERACTION))
        return special.ndtr(shift - z) + special.ndtr(-shift - z)
    return t_test_power(plan.important_difference, plan.sd, sizes, plan.alpha)


def difference_words(spec: AnalysisSpec, plan: NextTrial) -> str:
    """Return the difference to detect with its unit: ``0.50 standard deviations``."""
    if plan.baseline_risk is not None:
        more = "more" if plan.important_difference > 0 else "fewer"
        number = format_number(1000 * abs(plan.important_difference), 0)
        return (
            f"{number} {more} people per 1,000 than the "
            f"{format_number(1000 * plan.baseline_risk, 0)} on control"
        )
    unit = "standard deviations" if spec.model.measure is Measure.SMD else plan.unit
    return f"{format_number(abs(plan.important_difference))} {unit}"


def test_words(design: str, alpha: float) -> str:
    """Return what the size rests on."""
    level = format_number(alpha)
    if design == "risks":
        return f"two-sided test of two risks at {level}, normal approximation"
    if design == "groups":
        return (
            f"two-sided test at {level}, normal approximation; both groups equally large, four "
            "times the people that the effect itself would need"
        )
    return f"two-sided t test at {level}"


def _risks(plan: NextTrial) -> tuple[float, float]:
    control = plan.baseline_risk or 0.0
    return control, control + plan.important_difference


def next_trial_sentences(result: NextTrialResult) -> list[str]:
    """Return what a next trial would need and do, in words."""
    sentences = [
        _size_sentence(result),
        *(_prior_sentence(prior, result) for prior in result["priors"]),
    ]
    if result["after"]:
        sentences += _after_sentences(result)
    elif not result["n_trials"]:
        sentences.append(
            "There is no trial to add to: the new one would be the evidence, and its own power is "
            "what counts."
        )
    return sentences


def _size_sentence(result: NextTrialResult) -> str:
    declared = result["declared"]
    sizes = [
        f"{format_count(item['exact'])} people per arm ({format_count(item['total'])} in all) for "
        f"{format_percent(item['power'])} power"
        for item in result["sample_size"]
    ]
    between = " between the effects in two groups" if declared["design"] == "groups" else ""
    words = declared["difference_words"]
    what = words if declared["design"] == "risks" else f"a difference of {words}{between}"
    return (
        f"To detect {what} a trial of two equal arms needs {' or '.join(sizes)} "
        f"({test_words(declared['design'], declared['alpha'])})."
    )


def _prior_sentence(prior: Prior, result: NextTrialResult) -> str:
    name = f"“{prior['title']}”"
    if prior["withheld"]:
        return f"{name} has no trial that could say what to expect."
    interval = format_interval(prior["low"], prior["high"])
    declared = result["declared"]
    unit = declared["difference_words"].partition(" ")[2]
    text = (
        f"If the new treatment acts like one more trial of {name} "
        f"({plural(prior['k'], 'trial')}; its true effect is expected at "
        f"{format_number(prior['median'])} {unit}, with 95% probability within {interval} by its "
        "Bayesian model; "
        f"{'below' if declared['important_difference'] < 0 else 'above'} zero is benefit), "
    )
    first = prior["sizes"][0]
    exact = result["sample_size"][0]["exact"] or 0
    shown = dict(zip(prior["assurance"]["n_per_arm"], prior["assurance"]["assurance"], strict=True))
    nearest = min(shown, key=lambda n: (abs(int(n) - exact), int(n)))
    text += (
        f"a trial of {format_count(nearest)} per arm has a chance of "
        f"{format_percent(shown[nearest])} to show benefit"
    )
    if first["n_per_arm"] is None:
        wanted, limit = format_percent(first["assurance"]), format_percent(prior["limit"])
        if first["assurance"] < prior["limit"]:
            return f"{text}; no trial that can be done gives {wanted}."
        return f"{text}; no size gives {wanted}, as there is any benefit with a chance of {limit}."
    return text + (
        f"; {format_percent(first['assurance'])} needs {format_count(first['n_per_arm'])} per arm."
    )


def _after_sentences(result: NextTrialResult) -> list[str]:
    after = result["after"]
    assert after is not None
    index = next(
        i
        for i, item in enumerate(after["scenarios"])
        if item["true_effect"] == result["declared"]["important_difference"]
    )
    exact = result["sample_size"][0]["exact"] or 0
    middle = min(after["rows"], key=lambda row: (abs(row["n_per_arm"] - exact), row["n_per_arm"]))
    last = after["rows"][-1]
    trials = trials_words(after["k"], after["pools"])
    added = f"Added to the {trials} there {'is' if after['k'] == 1 else 'are'}, "
    if after["k"] == 1 and not after["model"].endswith("Wald"):
        return [
            f"{added}a new trial makes two: the usual interval of two (t distribution with one "
            "degree of freedom) seldom excludes anything, and its chance to do so is not given."
        ]
    leads = f" This model leads from {format_count(FREQUENTIST_FROM)} sets of people on."
    sentences = [
        f"{added}a trial of {format_count(middle['n_per_arm'])} per arm puts the whole pooled "
        f"interval of the usual model ({after['model']}) on the side of benefit with a chance of "
        f"{format_percent(middle['outlooks'][index]['p_benefit'])} when the true mean effect is "
        f"the important difference; one of {format_count(last['n_per_arm'])} per arm with "
        f"{format_percent(last['outlooks'][index]['p_benefit'])}."
        f"{leads if after['k'] < FREQUENTIST_FROM else ''}"
    ]
    ranges = last["benefit_if_between"]
    if len(ranges) == 1 and all(abs(end or 0.0) < float("inf") for end in ranges[0]):
        low, high = ranges[0]
        sentences.append(
            f"With {format_count(last['n_per_arm'])} per arm its own result would have to lie "
            f"between {format_number(low)} and {format_number(high)}: one further out would set "
            "the trials apart and widen the interval."
        )
    return sentences


#: Questions with at most this many trials are told when they declare no next trial.
FEW = 2
#: Sizes between which a size for a wanted assurance is searched.
_SMALLEST, _LARGEST = 2, 20_000


@dataclass(frozen=True, slots=True)
class PriorTrials:
    """The trials behind one prior.

    Attributes
    ----------
    analysis, group, title : str
    estimates, variances : tuple of float
    tau_prior_scale : float
        Of the half-normal prior on the between-trial standard deviation.
    """

    analysis: str
    group: str
    title: str
    estimates: tuple[float, ...]
    variances: tuple[float, ...]
    tau_prior_scale: float


def next_trial_of(
    spec: AnalysisSpec,
    estimates: Sequence[float],
    variances: Sequence[float],
    tau2: float | None,
    priors: Sequence[PriorTrials],
    pools: int = 0,
) -> NextTrialResult | None:
    """Return what a next trial of two equal arms would need and do.

    Parameters
    ----------
    spec : AnalysisSpec
    estimates, variances : sequence of float
        The trials there are; may be empty.
    tau2 : float or None
        Their between-trial variance.
    priors : sequence of PriorTrials
        In the order the file declares.

    Returns
    -------
    dict or None
        ``None`` where the file declares no next trial and there are more than two trials.
    """
    plan = spec.next_trial
    if plan is None:
        return {"withheld": _no_plan(spec)} if len(estimates) <= FEW else None
    design = design_of(spec, plan)
    result: NextTrialResult = {
        "withheld": "",
        "declared": part(
            Declared, plan, difference_words=difference_words(spec, plan), design=design
        ),
        "sample_size": [size_of(plan, design, power) for power in plan.power],
        "power": {"n_per_arm": list(plan.n_per_arm), "power": power_of(plan, design)},
        "priors": [_prior(plan, prior) for prior in priors],
        "n_trials": len(estimates),
        "after": _after(spec, plan, estimates, variances, tau2, pools)
        if len(estimates) and design == "arms"
        else None,
    }
    shown: NextTrialResult = published(plain(result))
    return {**shown, "sentences": next_trial_sentences(shown)}


def _no_plan(spec: AnalysisSpec) -> str:
    """Return why no next trial is worked out."""
    if spec.model.measure is Measure.SMCR:
        return (
            "A change without a control cannot show an effect: the next trial needs a control and "
            "is worked out with the controlled comparison."
        )
    return (
        "No important difference is declared for this question, so that no next trial is worked "
        "out."
    )


def _prior(plan: NextTrial, prior: PriorTrials) -> Prior:
    """Return the distribution of a new trial's true effect and what it means for its chances."""
    head = part(Prior, prior, withheld="", k=len(prior.estimates))
    if not prior.estimates:
        return {**head, "withheld": "no trial"}
    mixture = predictive_effect(prior.estimates, prior.variances, HalfNormal(prior.tau_prior_scale))
    side = math.copysign(1.0, plan.important_difference)
    sizes = np.array(plan.n_per_arm)
    below = float(mixture.cdf(plan.important_difference))
    towards = float(mixture.cdf(0.0))
    limit = towards if side < 0 else 1 - towards
    median, low, high = mixture.quantiles((0.5, 0.025, 0.975)).tolist()
    return {
        **head,
        "median": median,
        "low": low,
        "high": high,
        "p_benefit": limit,
        "p_important": below if side < 0 else 1 - below,
        "assurance": {
            "n_per_arm": list(plan.n_per_arm),
            "assurance": plain(assurance(mixture, plan.sd, sizes, plan.alpha, benefit=side)),
        },
        "limit": limit,
        "sizes": [
            {"assurance": wanted, "n_per_arm": _size_for(plan, mixture, side, wanted, limit)}
            for wanted in plan.power
        ],
    }


def _size_for(
    plan: NextTrial, mixture: Mixture, side: float, wanted: float, limit: float
) -> int | None:
    """Return the smallest size per arm with the assurance; None where no size reaches it."""
    if wanted >= limit:
        return None

    def chance(n: int) -> float:
        return float(assurance(mixture, plan.sd, n, plan.alpha, benefit=side)[0])

    sizes = range(_SMALLEST, _LARGEST + 1)
    place = bisect_left(sizes, wanted, key=chance)
    return sizes[place] if place < len(sizes) else None


def _after(
    spec: AnalysisSpec,
    plan: NextTrial,
    estimates: Sequence[float],
    variances: Sequence[float],
    tau2: float | None,
    pools: int,
) -> After:
    """Return the pooled interval after one more trial, by its size and by what is true."""
    scenarios = [("no effect", 0.0), ("the important difference", plan.important_difference)]
    if len(estimates) >= 2:
        weights = 1 / (np.array(variances) + (tau2 or 0.0))
        pooled = float(weights @ np.array(estimates) / weights.sum())
        scenarios.append(("the pooled estimate", pooled))
    variance = smd_variance if spec.model.measure is Measure.SMD else md_variance(plan.sd)
    benefit_is_below = plan.important_difference < 0
    rows: list[AfterRow] = []
    for n in plan.n_per_arm:
        found = new_trial(
            estimates,
            variances,
            n,
            [effect for _, effect in scenarios],
            variance,
            tau2 or 0.0,
            spec.model.tau2_method,
            spec.model.ci_method,
            spec.model.level,
        )
        rows.append(
            {
                "n_per_arm": n,
                "benefit_if_between": plain(found.below if benefit_is_below else found.above),
                "harm_if_between": plain(found.above if benefit_is_below else found.below),
                "outlooks": [
                    {
                        "p_benefit": item.p_below if benefit_is_below else item.p_above,
                        "p_harm": item.p_above if benefit_is_below else item.p_below,
                        "expected_width": item.expected_width,
                    }
                    for item in found.outlooks
                ],
            }
        )
    return {
        "k": len(estimates),
        "pools": pools,
        "model": f"{spec.model.tau2_method}, "
        f"{'Wald' if spec.model.ci_method == 'wald' else 'Knapp–Hartung'}",
        "tau2_new": tau2 or 0.0,
        "scenarios": [{"label": label, "true_effect": effect} for label, effect in scenarios],
        "rows": rows,
    }


# --- the other analyses ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Related:
    """The analyses of a project and its effect tables.

    Attributes
    ----------
    specs : mapping of str to AnalysisSpec
        Every analysis by name.
    table : callable
        Gives the effect table under assumptions.
    keep : callable
        Given the name of a part of a result, what computes it, and all that it is computed from.
    """

    specs: Mapping[str, AnalysisSpec]
    table: Callable[[Assumptions], EffectTable]
    keep: Keep = made_anew

    def priors_of(self, spec: AnalysisSpec, evidence: Evidence) -> list[PriorTrials]:
        """Return the trials behind each prior that an analysis declares for its next trial.

        Raises
        ------
        SpecError
            If an analysis is not there.
        """
        plan = spec.next_trial
        return [
            self._prior(spec.name, prior.analysis, prior.group, evidence)
            for prior in (plan.prior if plan else ())
        ]

    def asked_by(self, spec: AnalysisSpec) -> list[AnalysisSpec]:
        """Return the analyses whose trials an analysis uses beside its own."""
        plan = spec.next_trial
        names = [prior.analysis for prior in (plan.prior if plan else ())]
        return [self.specs[name] for name in dict.fromkeys(names) if name in self.specs]

    def facts(self, spec: AnalysisSpec) -> str:
        """Return as text what an analysis takes from the files of the others."""
        moderators = moderator_analyses(tuple(self.specs.values()), spec.select.outcome)
        return f"{moderators} {self.asked_by(spec)!r}"

    def _prior(self, asking: str, name: str, group: str, evidence: Evidence) -> PriorTrials:
        if name not in self.specs:
            raise SpecError(
                f"analyses/{asking}.toml: next_trial.prior: analysis {name!r} does not exist"
                f"{did_you_mean(name, list(self.specs))}"
            )
        other = self.specs[name]
        used = select_effects(other, self.table(other.assume), evidence).used
        unit: Literal["study_group", "study_id"] = "study_group" if group else "study_id"
        rows = study_rows(used, other.model.measure, unit, project=other.project)
        kept = [row for row in rows if not group or row["group"] == group]
        return PriorTrials(
            name,
            group,
            f"{other.title}: {lower_first(other.project.label(group))}" if group else other.title,
            tuple(row["estimate"] for row in kept),
            tuple(row["variance"] for row in kept),
            prior_scale_of(other, kept),
        )
