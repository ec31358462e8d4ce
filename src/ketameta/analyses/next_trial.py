"""What a next trial would need, and what it would do to the answer there is.

Sample size for a stated difference, assurance under what related trials suggest, and the pooled
interval after one more trial. Deterministic; the numbers are those of ``models.power`` and
``models.new_trial``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses.next_trial_design import design_of, difference_words, power_of, size_of
from ketameta.analyses.next_trial_words import next_trial_sentences
from ketameta.models.bayes_mixture import Mixture
from ketameta.models.bayes_predictive import predictive_effect
from ketameta.models.new_trial import Outlook, md_variance, new_trial, smd_variance
from ketameta.models.power import assurance
from ketameta.models.priors import HalfNormal
from ketameta.models.results import plain
from ketameta.numberformat import published
from ketameta.vocabulary import Measure

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec, NextTrial

#: Questions with at most this many trials are told when they declare no next trial.
FEW = 2
#: Sizes between which a size for a wanted assurance is searched.
_SMALLEST, _LARGEST = 2, 20_000
#: Sizes tried at once while the range is narrowed.
_SPLIT = 12


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
) -> dict[str, Any] | None:
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
        ``None`` where the file declares no next trial and there are more than two trials. Otherwise
        ``withheld`` (the reason when nothing is computed), ``declared``, ``sample_size`` (per
        power: ``normal``, ``exact`` and ``total`` people), ``power`` (per size), ``priors`` (each
        with its distribution and ``assurance`` per size, ``limit``, and ``sizes`` for the wanted
        assurances), ``after`` (the pooled interval after one more trial, per size and scenario)
        and ``sentences``.
    """
    plan = spec.next_trial
    if plan is None:
        return {"withheld": _no_plan(spec)} if len(estimates) <= FEW else None
    sizes = np.array(plan.n_per_arm)
    design = design_of(spec, plan)
    result: dict[str, Any] = {
        "withheld": "",
        "declared": {
            "important_difference": plan.important_difference,
            "source": plan.source,
            "difference_words": difference_words(spec, plan),
            "design": design,
            "sd": plan.sd,
            "baseline_risk": plan.baseline_risk,
            "alpha": plan.alpha,
            "status": plan.status,
        },
        "sample_size": [size_of(plan, design, power) for power in plan.power],
        "power": {"n_per_arm": sizes, "power": power_of(plan, design)},
        "priors": [_prior(plan, prior) for prior in priors],
        "n_trials": len(estimates),
        "after": _after(spec, plan, estimates, variances, tau2)
        if len(estimates) and design == "arms"
        else None,
    }
    shown: dict[str, Any] = published(plain(result))
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


def _prior(plan: NextTrial, prior: PriorTrials) -> dict[str, Any]:
    """Return the distribution of a new trial's true effect and what it means for its chances."""
    head = {
        "analysis": prior.analysis,
        "group": prior.group,
        "title": prior.title,
        "k": len(prior.estimates),
    }
    if not prior.estimates:
        return {**head, "withheld": "no trial"}
    mixture = predictive_effect(prior.estimates, prior.variances, HalfNormal(prior.tau_prior_scale))
    side = math.copysign(1.0, plan.important_difference)
    sizes = np.array(plan.n_per_arm)
    below = float(mixture.cdf(plan.important_difference))
    towards = float(mixture.cdf(0.0))
    limit = towards if side < 0 else 1 - towards
    return {
        **head,
        "withheld": "",
        "median": float(mixture.quantile(0.5)),
        "low": float(mixture.quantile(0.025)),
        "high": float(mixture.quantile(0.975)),
        "p_benefit": limit,
        "p_important": below if side < 0 else 1 - below,
        "assurance": {
            "n_per_arm": sizes,
            "assurance": assurance(mixture, plan.sd, sizes, plan.alpha, benefit=side),
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

    low, high = _SMALLEST - 1, _LARGEST
    while high - low > 1:
        sizes = np.unique(np.geomspace(low + 1, high, _SPLIT).round().astype(int))
        chances = assurance(mixture, plan.sd, sizes, plan.alpha, benefit=side)
        enough = sizes[chances >= wanted]
        if not enough.size:
            return None
        high = int(enough[0])
        low = max([low, *(int(n) for n in sizes if n < high)])
    return high


def _after(
    spec: AnalysisSpec,
    plan: NextTrial,
    estimates: Sequence[float],
    variances: Sequence[float],
    tau2: float | None,
) -> dict[str, Any]:
    """Return the pooled interval after one more trial, by its size and by what is true."""
    scenarios = [("no effect", 0.0), ("the important difference", plan.important_difference)]
    if len(estimates) >= 2:
        weights = 1 / (np.array(variances) + (tau2 or 0.0))
        pooled = float(weights @ np.array(estimates) / weights.sum())
        scenarios.append(("the pooled estimate", pooled))
    variance = smd_variance if spec.model.measure is Measure.SMD else md_variance(plan.sd)
    benefit_is_below = plan.important_difference < 0
    rows = []
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
                "benefit_if_between": found.below if benefit_is_below else found.above,
                "harm_if_between": found.above if benefit_is_below else found.below,
                "outlooks": [_outlook(item, benefit_is_below) for item in found.outlooks],
            }
        )
    return {
        "k": len(estimates),
        "tau2_new": tau2 or 0.0,
        "scenarios": [{"label": label, "true_effect": effect} for label, effect in scenarios],
        "rows": rows,
    }


def _outlook(item: Outlook, benefit_is_below: bool) -> dict[str, float]:
    return {
        "p_benefit": item.p_below if benefit_is_below else item.p_above,
        "p_harm": item.p_above if benefit_is_below else item.p_below,
        "expected_width": item.expected_width,
    }
