"""The statistical policy: which estimate leads an analysis, what stands beside it, what it means.

It decides by design (number of trials, kind of data, sparsity), never by the effect, and the same
for benefit and harm. The rule that fired is stored in every result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ketameta.analyses.parts import part
from ketameta.analyses.result import Absolute, Beside, Headline, Rule, Side, Studied, StudyRow
from ketameta.analyses.rows import effects_of
from ketameta.analyses.sentences import (
    interval_words,
    lower_first,
    measure_words,
    pools_in,
    written,
)
from ketameta.analyses.spec import COUNTED, AnalysisSpec
from ketameta.errors import KetametaError, NotEstimableError
from ketameta.formatting import (
    format_count,
    format_level,
    format_number,
    trials_words,
)
from ketameta.measures import (
    FREQUENTIST_FROM,
    MIN_STUDIES_PREDICTION,
    RANDOMISED,
    Measure,
    find_measure,
)
from ketameta.models.bayes.counts import bayes_event_counts
from ketameta.models.bayes.normal import bayes_random_effects
from ketameta.models.bayes.priors import HalfNormal
from ketameta.models.intervals import critical_value
from ketameta.models.pooling import RandomEffects, pool
from ketameta.models.power import implied_sd
from ketameta.models.prediction import absolute_effect
from ketameta.models.rare_events.binomial_normal import binomial_normal
from ketameta.models.rare_events.mantel_haenszel import mantel_haenszel, peto

Rows = Sequence[StudyRow]

#: Counts are sparse where some arm has at most this many events ...
FEW_IN_AN_ARM = 2
#: ... or where all control arms together have fewer than this.
FEW_ON_CONTROL = 10
#: Up to this many trials the exact likelihood stands beside with a prior; it takes seconds each.
EXACT_BAYES_UP_TO = 20
#: Scale of the prior on tau for log odds ratios of counts.
LOG_RATIO_SCALE = 0.5
#: Baseline risks of this project's analyses.
CONTROL_ARMS = "events over people of all control arms in this analysis"

#: The rules by code: what leads, in words. The published result holds the one that fired.
LEADING_RULES: Mapping[str, str] = {
    "no_trials": "No eligible trial: nothing is estimated.",
    "groups_apart": "The groups are not pooled together; each stands alone with its own rule.",
    "network": "A network has an estimate for each pair of treatments and none of its own.",
    "doses": "The curve through the doses is the result; there is no pooled effect of its own.",
    "no_events": "No trial has people with and without the event: no ratio can be estimated.",
    "single_trial": "One trial: its own result is shown and nothing is pooled.",
    "single_trial_sparse": "One trial with few events: its counts are shown, with the exact "
    "conditional interval of the odds ratio.",
    "few_trials": "Two to four sets of people: Bayesian random effects lead, with a flat prior on "
    "the mean and a half-normal prior on the standard deviation of true effects.",
    "few_trials_sparse": "Two to four sets of people with few events: Bayesian random effects "
    "lead, with the exact likelihood of the counts, no continuity correction and a half-normal "
    "prior on the standard deviation of true effects.",
    "several_trials": "Five sets of people or more: random effects (REML) lead, with a "
    "Knapp\u2013Hartung interval never narrower than the Wald interval.",
    "several_trials_sparse": "Five sets of people or more with few events: the binomial-normal "
    "model of the counts leads, without continuity correction.",
    "several_trials_one_sided": "Five sets of people or more whose events all stand on one side: "
    "Bayesian random effects with the exact likelihood of the counts lead, as no other model "
    "bounds both sides.",
}


# --- the design -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counts:
    """Events and people of the trials of an analysis, each an array of shape (k,)."""

    events_treatment: np.ndarray
    n_treatment: np.ndarray
    events_control: np.ndarray
    n_control: np.ndarray
    #: Why counts of the analysis are sparse, in words; empty where they are not.
    few: str = ""

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The four columns."""
        return self.events_treatment, self.n_treatment, self.events_control, self.n_control

    @property
    def informative(self) -> np.ndarray:
        """Which trials have people with and without the event."""
        events = self.events_treatment + self.events_control
        return (events > 0) & (events < self.n_treatment + self.n_control)

    @property
    def one_sided(self) -> bool:
        """Whether all events that could tell the arms apart stand on one side."""
        e1, n1, e2, n2 = (values[self.informative] for values in self.arrays)
        lowest, highest = np.maximum(0, e1 + e2 - n2), np.minimum(n1, e1 + e2)
        return bool(np.all(e1 == lowest) or np.all(e1 == highest))

    @property
    def sparse(self) -> bool:
        """Whether some arm of the analysis has 0 to 2 events, or all control arms below 10."""
        return self.few != ""


def counts_of(rows: Rows, measure: Measure) -> Counts | None:
    """Return the counts of all trials; None where one prints none or its arms share people."""
    if measure not in COUNTED or not rows:
        return None
    columns = [
        [row.get(key) for row in rows]
        for key in ("events_treatment", "n_treatment", "events_control", "n_control")
    ]
    crossed = any(str(row["design"]).startswith("crossover") for row in rows)
    if crossed or any(value is None for column in columns for value in column):
        return None
    e1, n1, e2, n2 = (np.array(column, dtype=float) for column in columns)
    fewest, control = int(min(e1.min(), e2.min())), int(e2.sum())
    few = f"the arm with the fewest has {format_count(fewest)}, all control arms together have "
    sparse = fewest <= FEW_IN_AN_ARM or control < FEW_ON_CONTROL
    return Counts(e1, n1, e2, n2, f"{few}{format_count(control)}" if sparse else "")


def rule_of(k: int, counts: Counts | None) -> str:
    """Return the code of the rule for a number of trials and their counts.

    Parameters
    ----------
    k : int
    counts : Counts or None
        None where the outcome is not counted, or not by every trial.

    Notes
    -----
    No effect is looked at: only k, and how many events stand in which arm.
    """
    sparse = counts is not None and counts.sparse
    if k == 0:
        return "no_trials"
    if sparse and counts is not None and not counts.informative.any():
        return "no_events"
    if k == 1:
        return "single_trial_sparse" if sparse else "single_trial"
    if k < FREQUENTIST_FROM:
        return "few_trials_sparse" if sparse else "few_trials"
    if sparse and counts is not None and counts.one_sided:
        return "several_trials_one_sided"
    return "several_trials_sparse" if sparse else "several_trials"


def prior_scale_of(spec: AnalysisSpec, rows: Rows, usual_sd: float | None = None) -> float:
    """Return the scale of the half-normal prior on tau, in the unit of the effect.

    Notes
    -----
    That of the analysis file, which is a choice and is called one; 0.5 where the measure fixes the
    unit (standardised differences and log ratios); otherwise half the usual standard deviation of
    the instrument, as declared or, where none is, as the standard errors and sizes of the trials
    imply it; the median standard error of trials that print no sizes.
    """
    declared = spec.model.tau_prior_scale
    fixed = find_measure(spec.model.measure).prior_scale
    known = declared or fixed or (usual_sd and usual_sd / 2)
    if known:
        return known
    if sd := sd_of(rows):
        return sd / 2
    return float(np.sqrt(np.median([row["variance"] for row in rows]))) if rows else 1.0


def sd_of(rows: Rows) -> float | None:
    """Return the standard deviation that the trials that print their sizes imply, if any does."""
    sized = [
        (row["variance"], float(row["n_treatment"]), float(row["n_control"]))
        for row in rows
        if row["n_treatment"] and row["n_control"]
    ]
    return implied_sd(*zip(*sized, strict=True)) if sized else None


def _chosen_scale(spec: AnalysisSpec, k: int) -> str:
    """Return that the scale of the prior is a choice, where the analysis file states one."""
    scale = spec.model.tau_prior_scale
    if scale is None or k < 2:
        return ""
    return (
        f" The scale of the prior ({scale:g}) is chosen for this analysis and has no source; half"
        " and double that scale stand beside."
    )


# --- the estimates --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Estimate:
    """One way to estimate the effect."""

    code: str
    label: str
    interval: str
    measure: Measure
    k: int
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    tau: float | None = None
    pi_low: float | None = None
    pi_high: float | None = None
    prediction: str = ""
    prior_scale: float | None = None
    common_effect: bool = False
    withheld: str = ""
    weights: tuple[float, ...] = ()

    def beside(self) -> Beside:
        return part(Beside, self, measure=str(self.measure))


_NO_PREDICTION = (
    f"No prediction interval: fewer than {format_count(MIN_STUDIES_PREDICTION)} trials."
)


class _Methods:
    """The estimates of one set of trials, each made when it is asked for."""

    def __init__(self, spec: AnalysisSpec, rows: Rows, counts: Counts | None, prior: float) -> None:
        self.spec, self.rows, self.counts, self.prior = spec, rows, counts, prior
        self.measure, self.level, self.k = spec.model.measure, spec.model.level, len(rows)
        self.y, self.v = effects_of(rows)
        self.predicts = self.k >= MIN_STUDIES_PREDICTION

    def _pool(self, code: str, label: str, **choices: str) -> _Estimate:
        settings = {"tau2_method": self.spec.model.tau2_method, **choices}
        fit = pool(self.y, self.v, level=self.level, measure=self.measure, **settings)
        if not isinstance(fit, RandomEffects):
            raise NotEstimableError(fit.summary())
        predicts = self.predicts and fit.pi_low is not None
        return _Estimate(
            code, label, "confidence", self.measure, fit.k, fit.estimate, fit.ci_low, fit.ci_high,
            tau=None if fit.tau2 is None else math.sqrt(fit.tau2),
            pi_low=fit.pi_low if predicts else None,
            pi_high=fit.pi_high if predicts else None,
            prediction=f"Prediction interval: t distribution with {fit.pi_df} degrees of freedom."
            if predicts
            else _NO_PREDICTION,
            common_effect=choices.get("model") == "common",
            weights=tuple(float(weight) for weight in fit.weights),
        )  # fmt: skip

    def trial(self) -> _Estimate:
        return self._pool("trial", "The trial itself")

    def knapp_hartung(self) -> _Estimate:
        label = "Knapp\u2013Hartung interval, never narrower than Wald (REML)"
        if self.spec.model.tau2_method != "REML":
            label = label.replace("REML", self.spec.model.tau2_method)
        return self._pool("knapp_hartung", label, ci_method="knapp-hartung-conservative")

    def wald(self) -> _Estimate:
        return self._pool("wald", "Wald interval", ci_method="wald")

    def common(self) -> _Estimate:
        return self._pool("common_effect", "Common effect (one true effect assumed)",
                          model="common")  # fmt: skip

    def _credible(
        self, code: str, label: str, fit: Any, measure: Measure, scale: float
    ) -> _Estimate:
        return _Estimate(
            code, f"{label}, half-normal({scale:g}) prior on tau", "credible", measure, self.k,
            fit.mu.median, fit.mu.ci_low, fit.mu.ci_high, tau=fit.tau.median,
            pi_low=fit.new_effect.ci_low if self.predicts else None,
            pi_high=fit.new_effect.ci_high if self.predicts else None,
            prediction="Prediction interval: posterior of the true effect in a new trial."
            if self.predicts
            else _NO_PREDICTION,
            prior_scale=scale,
            weights=tuple(float(weight) for weight in getattr(fit, "weights", ())),
        )  # fmt: skip

    def bayes(self, factor: float = 1.0, suffix: str = "") -> _Estimate:
        scale = self.prior * factor
        fit = bayes_random_effects(self.y, self.v, HalfNormal(scale), level=self.level)
        return self._credible(f"bayes{suffix}", "Bayesian random effects", fit, self.measure, scale)

    def bayes_exact(self, factor: float = 1.0, suffix: str = "") -> _Estimate:
        scale = (self.prior if self.measure.is_ratio else LOG_RATIO_SCALE) * factor
        fit = bayes_event_counts(*self._counted, HalfNormal(scale), level=self.level)
        label = "Bayesian random effects, exact likelihood of the counts"
        if fit.mean_prior is not None:
            label += f", normal({fit.mean_prior.mean:g}, {fit.mean_prior.sd:g}) prior on the mean"
        return self._credible(f"bayes_exact{suffix}", label, fit, Measure.OR, scale)

    def binomial_normal(self) -> _Estimate:
        fit = binomial_normal(*self._counted, level=self.level)
        tau = math.sqrt(fit.tau2)
        df = self.k - 2
        reach = critical_value(self.level, df) * math.hypot(tau, fit.se)
        return _Estimate(
            "binomial_normal", "Binomial-normal model, conditional likelihood", "confidence",
            Measure.OR, self.k, fit.estimate, fit.ci_low, fit.ci_high, tau=tau,
            pi_low=fit.estimate - reach if self.predicts else None,
            pi_high=fit.estimate + reach if self.predicts else None,
            prediction=f"Prediction interval: t distribution with {df} degrees of freedom."
            if self.predicts
            else _NO_PREDICTION,
        )  # fmt: skip

    def exact(self, place: int = 0, label: str = "Exact conditional odds ratio") -> _Estimate:
        """Return the conditional odds ratio of one trial; a side without bound is None."""
        from scipy.stats.contingency import odds_ratio

        a, n1, c, n2 = (int(column[place]) for column in self._counted)
        found = odds_ratio([[a, c], [n1 - a, n2 - c]], kind="conditional")
        bounds = found.confidence_interval(self.level)
        estimate, low, high = (
            math.log(value) if 0 < value < math.inf else None
            for value in (found.statistic, bounds.low, bounds.high)
        )
        code = "exact" if self.k == 1 else "trial"
        return _Estimate(code, label, "exact", Measure.OR, 1, estimate, low, high,
                         prediction=_NO_PREDICTION)  # fmt: skip

    def trials(self, exact: bool) -> Iterator[_Estimate]:
        """Return the trials themselves, on the scale of what leads."""
        for place, row in enumerate(self.rows):
            label = str(row["label"])
            if exact:
                yield self.exact(place, label)
            else:
                yield _Estimate("trial", label, "confidence", self.measure, 1, row["estimate"],
                                row["ci_low"], row["ci_high"])  # fmt: skip

    def mantel_haenszel(self) -> _Estimate:
        measure = Measure.OR if self.counts is not None and self.counts.sparse else self.measure
        fit = mantel_haenszel(*self._counted, str(measure), self.level)
        return self._stratified("mantel_haenszel", "Mantel\u2013Haenszel", measure, fit)

    def peto(self) -> _Estimate:
        fit = peto(*self._counted, self.level)
        return self._stratified("peto", "Peto", Measure.OR, fit)

    def _stratified(self, code: str, label: str, measure: Measure, fit: Any) -> _Estimate:
        return _Estimate(code, f"{label} (one true effect assumed)", "confidence", measure, fit.k,
                         fit.estimate, fit.ci_low, fit.ci_high, common_effect=True)  # fmt: skip

    @property
    def _counted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        if self.counts is None:
            raise NotEstimableError("not every trial prints its counts")
        return self.counts.arrays

    def leading(self, rule: str) -> _Estimate:
        """Return the estimate that leads under a rule."""
        return {
            "single_trial": self.trial,
            "single_trial_sparse": self.exact,
            "few_trials": self.bayes,
            "few_trials_sparse": self.bayes_exact,
            "several_trials": self.knapp_hartung,
            "several_trials_sparse": self.binomial_normal,
            "several_trials_one_sided": self.bayes_exact,
        }[rule]()

    def others(self, leading: _Estimate) -> Iterator[_Estimate]:
        """Return what stands beside: the trials first where they are few, then other models."""
        if self.k < 2:
            return
        exact = leading.code in ("bayes_exact", "binomial_normal")
        if self.k < FREQUENTIST_FROM or exact:
            yield from self.trials(exact)
        few = self.k <= EXACT_BAYES_UP_TO
        name, bayes = ("bayes_exact", self.bayes_exact) if exact and few else ("bayes", self.bayes)
        makers = {
            "knapp_hartung": self.knapp_hartung,
            "wald": self.wald,
            "common_effect": self.common,
            name: bayes,
        }
        for code, make in makers.items():
            if code != leading.code:
                yield self._tried(code, make)
        for factor, suffix in ((0.5, "_half_scale"), (2.0, "_double_scale")):
            yield self._tried(
                f"bayes{suffix}", lambda factor=factor, suffix=suffix: bayes(factor, suffix)
            )
        if self.counts is not None:
            yield self._tried("mantel_haenszel", self.mantel_haenszel)
            yield self._tried("peto", self.peto)

    def _tried(self, code: str, make: Any) -> _Estimate:
        try:
            return make()
        except KetametaError as error:
            label = code.replace("_", " ").capitalize()
            return _Estimate(code, label, "", self.measure, self.k, None, None, None,
                             withheld=str(error))  # fmt: skip


# --- the headline ---------------------------------------------------------------------------------


def headline_of(
    spec: AnalysisSpec,
    rows: Rows,
    *,
    instead: str = "",
    unit: str = "",
    usual_sd: float | None = None,
    sizes: tuple[int, int] | None = None,
) -> Headline:
    """Return the headline of an analysis, or of one of its groups.

    Parameters
    ----------
    spec : AnalysisSpec
    rows : sequence of mapping
        One per trial (:func:`ketameta.analyses.rows.study_rows`).
    instead : {"", "groups_apart", "network", "doses"}
        Why these trials have no estimate of their own.
    unit : str
        Of a mean difference, such as ``points of the scale``.
    usual_sd : float, optional
        Declared for the instrument.
    sizes : tuple of int, optional
        Number of trials and of people, where they are not those of the rows.

    Notes
    -----
    Sources: Friede, Röver, Wandel and Neuenschwander (2017), Biom. J. 59(4), 658-671; Bender et
    al. (2018), Res. Synth. Methods 9(3), 382-392; Röver et al. (2021), Res. Synth. Methods 12(4),
    448-474; Günhan, Röver and Friede (2020), Res. Synth. Methods 11(1), 74-90.
    """
    measure = spec.model.measure
    known = [int(row["n_participants"]) for row in rows if row["n_participants"] is not None]
    k, people = sizes or (len(rows), sum(known))
    silent = len(rows) - len(known)
    if instead and k:
        rule = LEADING_RULES[instead]
        return _headline(spec, {"code": instead, "sentence": rule}, rows, (k, people, silent), unit)
    counts = None if spec.kind == "within_trial" else counts_of(rows, measure)
    code = rule_of(k, counts)
    few = counts.few if counts is not None and code.endswith(("_sparse", "_one_sided")) else ""
    words = LEADING_RULES[code] + (f" Few events: {few}." if few else "")
    if pools_in(rows):
        if code == "single_trial":
            words = words.replace("One trial", "One pooled report of several trials")
        words += " A pooled report is one set of people here and no trial."
    words += _chosen_scale(spec, k)
    fired: Rule = {"code": code, "sentence": words}
    if code in ("no_trials", "no_events"):
        return _headline(spec, fired, rows, (k, people, silent), unit)
    methods = _Methods(spec, rows, counts, prior_scale_of(spec, rows, usual_sd))
    try:
        found = methods.leading(code)
    except NotEstimableError as error:
        found = methods.bayes()
        because = f"That model cannot be fitted here ({error})"
        stand_in = "Bayesian random effects of the trials' estimates stand in its place."
        fired["sentence"] = f"{words} {because}: {stand_in}"
    others = list(methods.others(found))
    return _headline(spec, fired, rows, (k, people, silent), unit, found, others, counts)


def _headline(
    spec: AnalysisSpec,
    rule: Rule,
    rows: Rows,
    sizes: tuple[int, int, int],
    unit: str,
    found: _Estimate | None = None,
    others: Sequence[_Estimate] = (),
    counts: Counts | None = None,
) -> Headline:
    """Return a headline in full; one without an estimate says why there is none."""
    k, people, silent = sizes
    lead = found or _Estimate("", "", "", spec.model.measure, k, None, None, None)
    absolute, withheld = None, rule["sentence"]
    if found is not None:
        absolute, withheld = _absolute(spec, found, rows, counts)
    side = side_of(lead.ci_low, lead.ci_high)
    headline = part(
        Headline,
        _who(spec, rows, k),
        lead,
        rule=rule,
        method=lead.label,
        effect=effect_name(spec, lead.measure, unit),
        measure=str(lead.measure),
        is_ratio=lead.measure.is_ratio,
        unit=unit_words(lead.measure, unit),
        level=spec.model.level,
        k=k,
        people=people,
        trials_without_size=silent,
        side=side,
        direction="" if found is None else direction_words(side, spec.favours),
        absolute=absolute,
        absolute_withheld=withheld,
        beside=[item.beside() for item in others],
        disagreement=_disagreement(lead, others, k),
        sentence="",
    )
    return {**headline, "sentence": _sentence(spec, headline, rows)}


def side_of(low: float | None, high: float | None) -> Side:
    """Return where a whole interval lies; an end without bound (None) is on no side."""
    if low is None and high is None:
        return "none"
    if high is not None and high < 0:
        return "lower"
    return "higher" if low is not None and low > 0 else "unclear"


def direction_words(side: Side, favours: Sequence[str]) -> str:
    """Return what the interval says about the direction, in the words of the two sides."""
    if side == "none":
        return "no interval can be given"
    if side == "unclear":
        return "the interval includes no difference"
    words = _side_words(favours[0] if side == "lower" else favours[1])
    return f"the whole interval lies on the side that {words}"


def _side_words(text: str) -> str:
    words = lower_first(text)
    return words if words.startswith("favours") else f"means {words}"


def unit_words(measure: Measure, unit: str) -> str:
    """Return the unit of an estimate as readers see it."""
    if measure.is_ratio:
        return find_measure(measure).label.lower()
    if measure in (Measure.SMD, Measure.SMCR):
        return "standard deviations"
    return "share of people" if measure is Measure.RD else unit or "points"


_SILENT = ("", "none", "not_reported", "not_applicable")


def _is_randomised(row: StudyRow) -> bool:
    return row.get("design", RANDOMISED[0]) in RANDOMISED


def _who(spec: AnalysisSpec, rows: Rows, k: int) -> Studied:
    """Return whom the trials studied, what they compared with, and what every arm took."""

    def listed(key: str, joint: str) -> str:
        found = dict.fromkeys(part for row in rows for part in str(row.get(key, "")).split(" / "))
        return joint.join(spec.project.words_of(word) for word in found if word not in _SILENT)

    pools = pools_in(rows)
    by_choice = sum(not _is_randomised(row) for row in rows)
    second_hand = 0 if pools else sum(row.get("access") == "secondary" for row in rows)
    labels = sum(row.get("source_type") == "label" for row in rows)
    assumed = sum(bool(row.get("assumption")) for row in rows)
    through = "a secondary source" if second_hand == 1 else "secondary sources"
    noted = [
        *([f"{'' if by_choice == k else f'{by_choice} '}not randomised"] if by_choice else []),
        *([f"{second_hand} through {through}"] if second_hand else []),
        *([f"{'' if labels == k else f'{labels} '}read in the product label"] if labels else []),
        *([f"{'' if assumed == k else f'{assumed} '}with assumed numbers"] if assumed else []),
    ]
    sources = trials_words(k, pools) + (f" ({'; '.join(noted)})" if noted else "")
    comparator = listed("comparator", " or ")
    if spec.kind == "within_trial":
        comparator = " minus ".join(map(spec.project.words_of, spec.model.group_order[:2]))
    return {
        "pools": pools,
        "sources": sources,
        "population": listed("diagnosis", ", "),
        "comparator": comparator or ("" if not rows else "their own state before"),
        "background": listed("background_treatment", "; "),
    }


def _absolute(
    spec: AnalysisSpec, found: _Estimate, rows: Rows, counts: Counts | None
) -> tuple[Absolute | None, str]:
    """Return people per 1,000 at the risk of the control arms, or why that is not said."""
    if found.measure not in COUNTED or spec.kind == "within_trial":
        return None, "Not a comparison of how many people have an event."
    if counts is None:
        return None, "Not every trial prints its counts: the risk on control is not known."
    baseline = float(counts.events_control.sum() / counts.n_control.sum())
    if not 0 < baseline < 1:
        return None, "No control arm tells a baseline risk between none and all."
    if found.estimate is None or found.ci_low is None or found.ci_high is None:
        return None, "The ratio has no bound on one side."
    effect = absolute_effect(found, baseline, measure=found.measure)
    people: Absolute = {
        "baseline_source": CONTROL_ARMS,
        "control": 1000 * effect.baseline_risk,
        "treated": 1000 * effect.risk,
        "treated_low": 1000 * effect.risk_low,
        "treated_high": 1000 * effect.risk_high,
        "difference": 1000 * effect.difference,
        "difference_low": 1000 * effect.difference_low,
        "difference_high": 1000 * effect.difference_high,
        "sentence": "",
    }
    sentence = (
        f"{per_thousand(people['control'])} per 1,000 on control ({CONTROL_ARMS}), "
        f"{per_thousand(people['treated'])} per 1,000 treated "
        f"({per_thousand(people['treated_low'])} to {per_thousand(people['treated_high'])}): "
        f"{_more_or_fewer(people['difference'])} per 1,000 "
        f"({_more_or_fewer(people['difference_low'])} to "
        f"{_more_or_fewer(people['difference_high'])})"
    )
    return {**people, "sentence": sentence}, ""


def per_thousand(value: float) -> str:
    """Return people per thousand: whole, with one decimal below ten."""
    return format_number(value, 0 if abs(value) >= 10 or value == 0 else 1)


def short_absolute(headline: Headline) -> str:
    """Return people per thousand on control, and how many more or fewer on treatment."""
    found = headline["absolute"]
    if found is None:
        return ""
    return (
        f"{per_thousand(found['control'])} per 1,000 on control; "
        f"{_more_or_fewer(found['difference'])} ({_more_or_fewer(found['difference_low'])} to "
        f"{_more_or_fewer(found['difference_high'])})"
    )


def _more_or_fewer(value: float) -> str:
    return f"{per_thousand(abs(value))} {'more' if value >= 0 else 'fewer'}"


def _outside(lead: _Estimate, others: Sequence[_Estimate]) -> str:
    """Return that the middle of what few events leave possible is nobody's result, if it is so."""
    alone = [item for item in others if item.code == "trial" and item.measure == lead.measure]
    found = [item.estimate for item in alone if item.estimate is not None]
    if lead.estimate is None or not lead.code.startswith("bayes_exact") or len(found) < lead.k:
        return ""
    low, high = min(found), max(found)
    if low <= lead.estimate <= high:
        return ""
    where, reach = ("above", "up than down") if lead.estimate > high else ("below", "down than up")
    ends = interval_words(low, high, lead.measure)
    return (
        f"The pooled {measure_words(lead.measure)} lies {where} what each trial or report found "
        f"alone ({ends}): it is the middle of all values that so few events leave possible, and "
        f"those reach further {reach}."
    )


def _disagreement(lead: _Estimate, others: Sequence[_Estimate], k: int) -> str:
    """Return which trials and models beside the leading one lie elsewhere, and why."""
    side, differing = side_of(lead.ci_low, lead.ci_high), []
    for item in others:
        if item.code == "trial" or item.withheld:
            continue
        theirs = side_of(item.ci_low, item.ci_high)
        if theirs == side:
            continue
        if item.common_effect:
            why = "it takes all trials to share one true effect"
        elif item.code == "knapp_hartung":
            freedom = "degree" if k == 2 else "degrees"
            why = f"a t interval on {format_count(k - 1)} {freedom} of freedom"
        elif item.code.startswith("bayes"):
            how = {"half": "less under this prior", "double": "more under this prior"}
            scale = item.code.removesuffix("_scale").rpartition("_")[2]
            why = f"trials may differ {how.get(scale, 'as far as its prior lets them')}"
        else:
            why = "it takes the spread of trials as known"
        lies = "includes no difference" if theirs == "unclear" else "excludes no difference"
        differing.append(f"{item.label} {lies} ({why})")
    beside = f"Beside it: {'; '.join(differing)}." if differing else ""
    return f"{_outside(lead, others)} {beside}".strip()


_OF_GROUPS: Mapping[Measure, str] = {
    Measure.OR: "ratio of odds ratios",
    Measure.RR: "ratio of risk ratios",
}


def effect_name(spec: AnalysisSpec, measure: Measure, unit: str = "") -> str:
    """Return the quantity that is estimated, such as ``risk ratio``."""
    name = measure_words(measure)
    if measure is Measure.MD:
        name += f" in {unit_words(measure, unit)}"
    if spec.kind == "within_trial":
        return _OF_GROUPS.get(measure, f"difference between the groups in {name}")
    return name


def bounds_words(low: float | None, high: float | None, measure: Measure) -> str:
    """Return ``1.20 to 3.40``, or the one bound that there is."""
    if low is None and high is None:
        return "no interval"
    if low is None:
        return f"at most {written(high, measure)}, without a bound below"
    if high is None:
        return f"at least {written(low, measure)}, without a bound above"
    return interval_words(low, high, measure)


def effect_words(headline: Headline) -> str:
    """Return ``risk ratio 2.31 (95% credible interval 1.60 to 3.33)``."""
    measure, name = Measure(headline["measure"]), headline["effect"]
    if headline["estimate"] is not None:
        name += f" {written(headline['estimate'], measure)}"
    level = f"{format_level(headline['level'])} {headline['interval']} interval"
    return f"{name} ({level} {bounds_words(headline['ci_low'], headline['ci_high'], measure)})"


def _sentence(spec: AnalysisSpec, headline: Headline, rows: Rows) -> str:
    """Return the headline in words: who, against what, how much, which way."""
    k = headline["k"]
    if k == 0:
        return f"No eligible trial was found. We looked for {spec.looked_for}."
    least = "at least " if headline["trials_without_size"] else ""
    who = headline["sources"]
    if k == 1 and rows:
        one = "One trial" if _is_randomised(rows[0]) else "One study, not randomised"
        one = "One pooled report of several trials" if headline["pools"] else one
        who = f"{one} ({rows[0]['label']})"
    if headline["people"]:
        who += f" with {least}{format_count(headline['people'])} people"
    if headline["population"]:
        who += f" ({headline['population']})"
    if headline["estimate"] is None and headline["ci_low"] is None and headline["ci_high"] is None:
        return f"{who}: {lower_first(headline['rule']['sentence'])}"
    against = f"against {headline['comparator']}"
    if spec.kind == "within_trial":
        against = f"for {headline['comparator']}"
    elif headline["background"]:
        against += f", {_background_words(rows, headline['background'])}"
    counted = ""
    if headline["rule"]["code"].endswith("_sparse") and k == 1:
        row = rows[0]
        counted = " {} of {} against {} of {};".format(
            *(format_count(row[key]) for key in ("events_treatment", "n_treatment",
                                                 "events_control", "n_control"))
        )  # fmt: skip
    way = headline["direction"]
    if headline["side"] == "unclear":
        way += f" (lower {_side_words(spec.favours[0])})"
    return f"{who} {against}:{counted} {effect_words(headline)}; {way}."


def _background_words(rows: Rows, listed: str) -> str:
    """Return what every arm took, and whether that holds for all trials."""
    taken = [str(row["background_treatment"]) for row in rows]
    if any(word in _SILENT for word in taken):
        return f"with background treatment in some trials ({listed})"
    if len(set(taken)) == 1:
        return f"both arms also taking {listed}"
    return f"both arms also taking what differs by trial ({listed})"
