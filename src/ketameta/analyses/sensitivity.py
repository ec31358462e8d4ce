"""The analyses that stand beside every main result, so that no single choice decides it.

Last among them one model of the effect at all times, where an analysis asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses.parts import OverTime, TimeMean, WithinRow, WithinTrials, part
from ketameta.analyses.policy import CONTROL_ARMS
from ketameta.analyses.result import (
    Events,
    Gosh,
    Influence,
    InfluenceRow,
    LeaveOneOut,
    Selection,
    Sensitivity,
    SmallStudy,
    Stratified,
    StudyRow,
)
from ketameta.analyses.rows import difference, effects_of, pooled, row_interval, study_rows
from ketameta.analyses.sentences import pools_in
from ketameta.analyses.spec import COUNTED
from ketameta.errors import KetametaError, NotEstimableError
from ketameta.formatting import published_together, trials_words
from ketameta.measures import MIN_STUDIES_SMALL_STUDY, Measure
from ketameta.models.dependent.che import che, che_sensitivity
from ketameta.models.dependent.robust import robust
from ketameta.models.diagnostics.gosh import gosh
from ketameta.models.diagnostics.influence import influence, leave_one_out
from ketameta.models.pooling import NoEvidence, RandomEffects, pool
from ketameta.models.rare_events.mantel_haenszel import mantel_haenszel, peto
from ketameta.models.results import plain
from ketameta.models.small_study.adjusted import pet_peese, trim_and_fill
from ketameta.models.small_study.asymmetry import egger_test
from ketameta.models.small_study.selection_model import selection_model
from ketameta.models.small_study.significance import excess_significance

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec, Model
    from ketameta.evidence.derive import Effect


#: Kinds of access in which tables or individual data could be read, not only an abstract.
FULL_ACCESS = ("full_text", "registry_results", "individual_data")


def is_read_in_full(row: Effect) -> bool:
    """Return whether the tables or the data of a trial could be read, not only an abstract."""
    return row["access"] in FULL_ACCESS


def has_raw_spread(row: Effect) -> bool:
    """Return whether no standard deviation of an effect is from a model with covariates."""
    return "model_based" not in row["route"]


_TAU2_METHODS = ("DL", "PM", "ML")


def sensitivity_analyses(
    spec: AnalysisSpec,
    used: Sequence[Effect],
    rows: list[StudyRow],
    low_risk: Collection[str] = (),
) -> list[Sensitivity]:
    """Return one entry per sensitivity analysis: what differs, k, estimate and interval.

    ``rows`` are one per study, as the main model saw them; ``low_risk`` the studies that reviews
    judged at low risk of bias in this outcome.
    """
    if len(rows) < 2:
        return []
    found = [
        _refit(f"tau2_{method.lower()}", f"Between-trial variance by {method}", spec, rows,
                   tau2_method=method)
        for method in _TAU2_METHODS
        if method != spec.model.tau2_method
    ]  # fmt: skip
    if spec.model.ci_method != "knapp-hartung":
        label = "Knapp\u2013Hartung interval, not floored"
        found.append(_refit("knapp_hartung", label, spec, rows, ci_method="knapp-hartung"))
    if spec.kind == "pooled":
        found.extend(_restricted(spec, used, low_risk))
    return found


def _refit(
    code: str, label: str, spec: AnalysisSpec, rows: list[StudyRow], **changes: str
) -> Sensitivity:
    """Return one refit of the main model with one choice changed."""
    return part(Sensitivity, pooled(spec, rows, **changes), code=code, label=label)


def _restricted(
    spec: AnalysisSpec, used: Sequence[Effect], low_risk: Collection[str]
) -> list[Sensitivity]:
    """Return refits on the trials that satisfy a stricter rule, where that leaves some out."""
    rules: tuple[tuple[str, str, Callable[[Effect], bool]], ...] = (
        ("full_access", "Only trials read in full or in a registry", is_read_in_full),
        ("raw_spread", "Without standard deviations from models with covariates", has_raw_spread),
        ("no_pools", "Without pooled reports", lambda row: row["design"] != "pooled_rcts"),
        ("double_blind", "Only double-blind trials", lambda row: row["blinding"] == "double_blind"),
        ("low_risk", "Only trials that a review judged at low risk of bias",
         lambda row: row["study_id"] in low_risk),
    )  # fmt: skip
    found = []
    for code, label, keeps in rules:
        kept = [row for row in used if keeps(row)]
        if len(kept) == len(used) or (code == "low_risk" and not kept):
            continue
        rows = study_rows(kept, spec.model.measure, "study_id", project=spec.project)
        found.append(_refit(code, label, spec, rows))
    return found


def leave_one_out_of(spec: AnalysisSpec, rows: list[StudyRow]) -> LeaveOneOut | None:
    """Return the pooled effect without each trial in turn, and its range; from three trials."""
    if len(rows) < 3:
        return None
    fit = pooled(spec, rows)
    if isinstance(fit, NoEvidence):
        return None
    found = leave_one_out(fit)
    tau2 = np.zeros(len(rows)) if found.tau2 is None else found.tau2
    entries: list[Sensitivity] = [
        {
            "code": "without",
            "label": row["label"],
            "k": int(found.studies[place]),
            "estimate": float(found.estimate[place]),
            "ci_low": _known(found.ci_low[place]),
            "ci_high": _known(found.ci_high[place]),
            "tau2": float(tau2[place]),
            "study_id": row["study_id"],
        }
        for place, row in enumerate(rows)
    ]
    estimates = [entry["estimate"] or 0.0 for entry in entries]
    return {"rows": entries, "lowest": min(estimates), "highest": max(estimates)}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def event_models(spec: AnalysisSpec, rows: list[StudyRow]) -> Events | None:
    """Return Mantel-Haenszel and Peto results of counted outcomes, and the risk on control.

    ``None`` where the measure is not one of events or no row prints counts; methods of differences
    only where a difference was asked for.
    """
    counted = [row for row in rows if _has_counts(row)]
    if spec.model.measure not in COUNTED or not counted:
        return None
    cells = _cells(counted)
    e1, _, e2, n2 = cells
    labels = [row["label"] for row in counted]
    differences = spec.model.measure is Measure.RD
    measures = (Measure.RD,) if differences else (Measure.OR, Measure.RR)
    methods = [
        _classic("Mantel\u2013Haenszel", measure, cells, spec.model.level, labels)
        for measure in measures
    ]
    if not differences:
        methods.append(_classic("Peto", Measure.OR, cells, spec.model.level, labels))
    zero = (e1 == 0) | (e2 == 0)
    return {
        "k": len(counted),
        "not_counted": [row["label"] for row in rows if not _has_counts(row)],
        "methods": methods,
        "zero_cells": {
            "one_arm": [label for label, z, a, b in zip(labels, zero, e1, e2, strict=True)
                        if z and a + b > 0],
            "both_arms": [label for label, a, b in zip(labels, e1, e2, strict=True) if a + b == 0],
        },
        "baseline_risk": float(e2.sum() / n2.sum()),
        "baseline_source": CONTROL_ARMS,
    }  # fmt: skip


_CELLS = ("events_treatment", "n_treatment", "events_control", "n_control")


def _has_counts(row: StudyRow) -> bool:
    return all(row.get(key) is not None for key in _CELLS)


def _cells(rows: list[StudyRow]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    e1, n1, e2, n2 = (np.array([row.get(key) for row in rows], dtype=float) for key in _CELLS)
    return e1, n1, e2, n2


def _classic(
    name: str, measure: Measure, cells: tuple[np.ndarray, ...], level: float, labels: list[str]
) -> Stratified:
    """Return one Mantel-Haenszel or Peto result; its reason where it does not exist."""
    e1, n1, e2, n2 = cells
    fit: object = dict.fromkeys(Stratified.__annotations__)
    withheld = ""
    try:
        if name == "Peto":
            fit = peto(e1, n1, e2, n2, level, labels=labels)
        else:
            fit = mantel_haenszel(e1, n1, e2, n2, str(measure), level, labels=labels)
    except KetametaError as error:
        withheld = str(error)
    return part(Stratified, fit, method=name, measure=str(measure), withheld=withheld)


#: Deletion diagnostics need a fit without each study that still has a spread.
MIN_STUDIES_INFLUENCE = 3
#: Random subsets when there are too many to try all; stored with the result.
GOSH_SUBSETS = 5_000
#: Up to this many studies every subset is fitted.
GOSH_EXACT_UP_TO = 12
GOSH_SEED = 20261122
#: Decimals of the points that are stored for the picture; quantiles keep all that are published.
_POINT_DECIMALS = 5


def influence_of(fit: RandomEffects, rows: list[StudyRow]) -> Influence | None:
    """Return deletion diagnostics per trial; ``None`` below three trials."""
    if fit.k < MIN_STUDIES_INFLUENCE:
        return None
    found = influence(fit)
    # Distances from the other trials: one near nought has the decimals of the others.
    rstudent = published_together(plain(found.rstudent))
    dffits = published_together(plain(found.dffits))
    entries = [
        part(
            InfluenceRow,
            row,
            rstudent=rstudent[index],
            dffits=dffits[index],
            cooks_distance=found.cooks_distance[index],
            covariance_ratio=found.covariance_ratio[index],
            tau2_deleted=found.tau2_deleted[index],
            weight=found.weight[index],
            influential=found.influential[index],
            reasons=found.reasons[index],
        )
        for index, row in enumerate(rows)
    ]
    flagged = [entry["label"] for entry in entries if entry["influential"]]
    return {"rows": entries, "influential": flagged}


def gosh_of(fit: RandomEffects) -> Gosh | None:
    """Return the pooled effects of many subsets of trials; ``None`` below ten trials.

    Quantiles are of the estimate; points are rounded, for the picture.
    """
    if fit.k < MIN_STUDIES_SMALL_STUDY:
        return None
    exact = fit.k <= GOSH_EXACT_UP_TO
    found = gosh(fit, None if exact else GOSH_SUBSETS, None if exact else GOSH_SEED)
    several = found.studies > 1
    shares = np.array([0.0, 0.025, 0.25, 0.5, 0.75, 0.975, 1.0])
    return part(
        Gosh,
        found,
        subsets=len(found.estimate),
        shares=shares,
        quantiles=np.quantile(found.estimate[several], shares),
        points={
            "estimate": found.estimate[several].round(_POINT_DECIMALS),
            "i2": found.i2[several].round(_POINT_DECIMALS),
        },
    )


def small_study_of(fit: RandomEffects, rows: list[StudyRow]) -> SmallStudy:
    """Return what small-study methods say, or why they are withheld (below ten trials).

    Egger's test of standardised differences has a predictor without the effect in it; the selection
    model is a step function at one-sided p = 0.025, at its global maximum.
    """
    if fit.k < MIN_STUDIES_SMALL_STUDY:
        return {
            "withheld": f"{trials_words(fit.k, pools_in(rows))}; small-study methods need "
            f"{MIN_STUDIES_SMALL_STUDY} or more to say anything."
        }
    counts = [(row["n_treatment"], row["n_control"]) for row in rows]
    known = fit.measure == "SMD" and not any(
        n is None or np.isnan(n) for pair in counts for n in pair
    )
    sizes = [(one or 0) + (two or 0) for one, two in counts] if known else None
    return {
        "withheld": "",
        "excess": _tried(lambda: excess_significance(fit), _EXCESS),
        "egger": _tried(lambda: egger_test(fit, sample_sizes=sizes), _EGGER),
        "trim_and_fill": _tried(lambda: trim_and_fill(fit), _TRIM),
        "selection": _selection(_tried(lambda: selection_model(fit), _SELECTION)),
        "pet_peese": _tried(lambda: pet_peese(fit, sample_sizes=sizes), _PET_PEESE),
    }


_EGGER = ("predictor", "statistic", "df", "p_value", "slope", "slope_se", "limit_estimate",
          "limit_ci_low", "limit_ci_high")  # fmt: skip
_EXCESS = ("observed", "expected", "p_value", "alpha")
_PET_PEESE = ("pet", "peese", "chosen", "alpha")
_TRIM = ("side", "missing", "estimate", "ci_low", "ci_high", "filled_estimates", "filled_variances")
_SELECTION = ("steps", "alternative", "estimate", "se", "ci_low", "ci_high", "tau2",
              "selection_weights", "log_likelihood", "maxima", "gap", "lrt", "lrt_df",
              "lrt_p_value")  # fmt: skip


def _selection(found: Selection) -> Selection:
    """Return a selection model; differences of log-likelihoods have the decimals of these."""
    if found["withheld"]:
        return found
    values = published_together([found["log_likelihood"], found["gap"], found["lrt"]])
    return {**found, "gap": values[1], "lrt": values[2]}


def _tried(make: Callable[[], Any], fields: Sequence[str]) -> Any:
    """Return the fields of a result, or the reason why there is none."""
    try:
        found = make()
    except KetametaError as error:
        return {"withheld": str(error)}
    return {**{name: plain(getattr(found, name)) for name in fields}, "withheld": ""}


# --- over time ------------------------------------------------------------------------------------

#: Within-trial correlations tried beside the declared one.
RHOS = (0.0, 0.2, 0.4, 0.6, 0.8)
_MIN_STUDIES = 3


def over_time(spec: AnalysisSpec, rows: list[StudyRow]) -> OverTime | None:
    """Return the effect per time class from one model, and how it changes; None if not asked for.

    ``rows`` are one per study and time class (``group``). Changes are from the reference class,
    within the same model; ``within_trials`` pools the last change of trials that have both, under
    the same correlation.

    Notes
    -----
    Correlated-and-hierarchical working model (Pustejovsky and Tipton 2022) with CR2 standard errors
    and Satterthwaite degrees of freedom.
    """
    if not spec.model.over_time:
        return None
    found = {row["group"] for row in rows}
    listed = [name for name in spec.model.group_order if name in found]
    # A class that is not in the declared order has its own mean as well, after the others.
    classes = [*listed, *sorted(found - set(listed))]
    # Others are compared with 24 hours where present, else with the first.
    reference = "24_hours" if "24_hours" in classes else next(iter(classes), "")
    head: OverTime = {
        "withheld": "",
        "rho": spec.model.rho,
        "classes": classes,
        "reference": reference,
    }
    try:
        return {**head, **_fits(spec, rows, classes, reference)}
    except KetametaError as error:
        return {**head, "means": [], "changes": [], "sensitivity": [], "within_trials": None,
                "withheld": str(error)}  # fmt: skip


def _fits(spec: AnalysisSpec, rows: list[StudyRow], classes: list[str], reference: str) -> OverTime:
    estimates, variances = effects_of(rows)
    studies = [row["study_id"] for row in rows]
    member = np.array([[float(row["group"] == name) for name in classes] for row in rows])
    level = spec.model.level
    model = partial(
        che, estimates, variances, studies, None,
        rho=spec.model.rho, level=level, variance_intervals=False, intercept=False,
    )  # fmt: skip
    means = model(moderators=member, names=classes)
    others = [name for name in classes if name != reference]
    changes = member.copy()
    changes[:, classes.index(reference)] = 1.0
    order = [reference, *others]
    changes = changes[:, [classes.index(name) for name in order]]
    compared = model(moderators=changes, names=order)
    last = others[-1] if others else ""
    sensitivity = (
        che_sensitivity(
            estimates, variances, studies, None, changes, order,
            rhos=RHOS, term=last, intercept=False, level=level,
        )
        if last
        else None
    )  # fmt: skip
    sizes = {name: int(member[:, place].sum()) for place, name in enumerate(classes)}
    return part(
        OverTime,
        withheld="",
        effects=len(rows),
        studies=len(set(studies)),
        sigma2_study=means.sigma2_study,
        sigma2_effect=means.sigma2_effect,
        means=[{**row, "effects": sizes[row["name"]]} for row in _table(robust(means))],
        changes=[row for row in _table(robust(compared)) if row["name"] != reference],
        sensitivity=sensitivity.tidy().to_dict("records") if sensitivity else [],
        within_trials=_within_trials(spec, rows, last, reference),
    )


def _table(fit: Any) -> list[TimeMean]:
    """Return the coefficients of a cluster-robust fit, one entry each; all or none."""
    table = fit.coefficients
    if not np.isfinite(table.se).all():
        raise NotEstimableError(fit.caveats[0].message)
    columns = ("estimate", "se", "df", "p_value", "ci_low", "ci_high")
    return [
        plain({"name": name, **{column: getattr(table, column)[place] for column in columns}})
        for place, name in enumerate(table.names)
    ]


def _within_trials(
    spec: AnalysisSpec, rows: list[StudyRow], last: str, reference: str
) -> WithinTrials | None:
    """Return the pooled change within trials measured at both times, and its rows."""
    by_study: dict[str, dict[str, StudyRow]] = {}
    for row in rows:
        by_study.setdefault(row["study_id"], {})[row["group"]] = row
    pairs = [(p[last], p[reference]) for p in by_study.values() if last in p and reference in p]
    entries = [_difference(late, early, spec.model) for late, early in pairs]
    if not entries:
        return None
    fit = pool(
        [entry["estimate"] for entry in entries],
        [entry["se"] ** 2 for entry in entries],
        spec.model.tau2_method,
        spec.model.ci_method,
        spec.model.level,
        [entry["label"] for entry in entries],
        spec.model.measure,
    )
    return part(WithinTrials, fit, rows=entries, enough=fit.k >= _MIN_STUDIES)


def _difference(late: StudyRow, early: StudyRow, model: Model) -> WithinRow:
    """Return a trial's late minus early effect; the same people, so the errors are correlated."""
    estimate = difference(late["estimate"], early["estimate"])
    variance = late["variance"] + early["variance"] - 2 * model.rho * late["se"] * early["se"]
    se = float(np.sqrt(variance))
    interval = row_interval(estimate, se, model.level)
    return part(WithinRow, interval, late, estimate=estimate, se=se)
