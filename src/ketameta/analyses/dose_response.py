"""Doses of one treatment from selected effects: one curve through the contrasts of all trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ketameta.analyses.parts import (
    AmongDoses,
    Curve,
    DoseChecks,
    DosePoint,
    Slope,
    SlopeChoice,
    SlopesLeftOut,
    part,
)
from ketameta.analyses.parts import DoseResponse as DoseResult
from ketameta.analyses.parts import TwoStage as TwoStageResult
from ketameta.analyses.result import AnalysisResult, Group
from ketameta.analyses.rows import (
    StudyEffects,
    row_interval,
    study_covariance,
    study_rows,
)
from ketameta.analyses.sentences import interval_words, measure_words, pools_in, written
from ketameta.errors import KetametaError
from ketameta.formatting import (
    format_level,
    format_number,
    format_p,
    published,
    published_together,
    trials_words,
)
from ketameta.measures import Measure
from ketameta.models.diagnostics.second_engine import TwoStage, agrees_to, two_stage
from ketameta.models.dose import dose_response
from ketameta.models.results import plain, stated

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec, DoseRule
    from ketameta.evidence.derive import Effect
    from ketameta.models.dose import DoseResponse


@dataclass(frozen=True, slots=True, eq=False)
class Contrasts:
    """Contrasts of all trials with their covariance.

    Attributes
    ----------
    estimates : ndarray of shape (n,)
    covariance : ndarray of shape (n, n)
    dose, control : ndarray of shape (n,)
        Of the treated arm and of the one it is compared with.
    study : list of str
    """

    estimates: np.ndarray
    covariance: np.ndarray
    dose: np.ndarray
    control: np.ndarray
    study: list[str]

    def without(self, study: str) -> Contrasts:
        """Return the contrasts of the other trials."""
        at = np.flatnonzero(np.array(self.study) != study)
        return Contrasts(
            self.estimates[at],
            self.covariance[np.ix_(at, at)],
            self.dose[at],
            self.control[at],
            [self.study[row] for row in at],
        )


def fit_curve(
    spec: AnalysisSpec,
    rule: DoseRule,
    contrasts: Contrasts,
    transformation: Any,
    **changes: Any,
) -> DoseResponse:
    """Return the curve through contrasts under the choices of the file, some of them changed."""
    ci_method = "wald" if spec.model.ci_method == "wald" else "t"
    return dose_response(
        contrasts.estimates,
        np.diag(contrasts.covariance),
        contrasts.dose,
        contrasts.study,
        sampling_covariance=contrasts.covariance,
        dose_control=contrasts.control,
        transformation=transformation,
        knot_shares=rule.knots,
        level=spec.model.level,
        **{"ci_method": ci_method, **changes},
    )


def slope_of(fit: DoseResponse, rule: DoseRule) -> Slope:
    """Return the first coefficient per step of dose."""
    row = fit.coefficients.rows()[0]
    scaled = {name: rule.step * row[name] for name in ("estimate", "se", "ci_low", "ci_high")}
    between = float(np.sqrt(fit.between[0, 0])) * rule.step
    return cast("Slope", {**scaled, "df": row["df"], "p_value": row["p_value"], "tau": between})


#: Other choices for the line: code, label and what changes.
_CHOICES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("common", "One slope for all trials (common effect)", {"method": "common"}),
    ("wald", "Wald interval", {"ci_method": "wald"}),
)
#: Trials below which none is left out.
_LEAST = 3


def dose_checks(spec: AnalysisSpec, rule: DoseRule, contrasts: Contrasts) -> DoseChecks:
    """Return the checks of the line through no effect.

    The slope of each trial, pooled by a second engine (from two trials), the slope under other
    choices, and without each trial in turn (from three).
    """
    try:
        line = fit_curve(spec, rule, contrasts, "linear")
    except KetametaError as error:
        return _no_checks(str(error))
    studies = list(dict.fromkeys(contrasts.study))
    stages = None
    if len(studies) >= 2:
        found = two_stage(
            line, contrasts.estimates, contrasts.covariance, contrasts.dose - contrasts.control
        )
        stages = _stages(spec, found, rule)
    others = [
        part(
            SlopeChoice,
            slope_of(fit_curve(spec, rule, contrasts, "linear", **changes), rule),
            code=code,
            label=label,
            k=line.k,
        )
        for code, label, changes in _CHOICES
        if not (code == "common" and line.method == "common")
        and not (code == "wald" and line.ci_method == "wald")
    ]
    return {
        "two_stage": stages,
        "sensitivity": others,
        "leave_one_out": _left_out(spec, rule, contrasts, studies),
        "withheld": "",
    }


def _no_checks(reason: str) -> DoseChecks:
    return {"two_stage": None, "sensitivity": [], "leave_one_out": None, "withheld": reason}


def _stages(spec: AnalysisSpec, found: TwoStage, rule: DoseRule) -> TwoStageResult:
    slopes = [
        {
            "study_id": study,
            "label": spec.project.study_label(study),
            "estimate": rule.step * slope,
            "se": rule.step * se,
        }
        for study, slope, se in zip(found.study, found.slopes, found.ses, strict=True)
    ]
    return part(TwoStageResult, found, slopes=slopes, agrees_to=agrees_to(found.largest))


def _left_out(
    spec: AnalysisSpec, rule: DoseRule, contrasts: Contrasts, studies: Sequence[str]
) -> SlopesLeftOut | None:
    """Return the slope without each trial; two trials that remain share one slope."""
    if len(studies) < _LEAST:
        return None
    rows: list[SlopeChoice] = []
    for study in studies:
        fit = fit_curve(spec, rule, contrasts.without(study), "linear")
        label = spec.project.study_label(study)
        rows.append(part(SlopeChoice, slope_of(fit, rule), fit, study_id=study, label=label))
    estimates = [row["estimate"] or 0.0 for row in rows]
    return {"rows": rows, "lowest": min(estimates), "highest": max(estimates)}


#: Points of the drawn curve between no dose and the highest.
_CURVE_POINTS = 61
#: A test of curvature below this rejects the line.
_BENT_P = 0.05


def dose_results(spec: AnalysisSpec, used: Sequence[Effect]) -> DoseResult | None:
    """Return the dose-response results of an analysis of that kind; ``None`` for the others.

    ``used`` are one form per comparison, with ``common_dose``. ``main`` is the curve that was
    declared, or the spline where its own test rejects the line.
    """
    rule = spec.dose
    if rule is None:
        return None
    head: DoseResult = {
        "withheld": "",
        "points": [],
        "unit": rule.unit,
        "step": rule.step,
        "main": rule.transformation,
        "knot_shares": list(rule.knots),
        "equivalents": dict(rule.equivalents),
    }
    if not used:
        return {**head, "withheld": "no eligible trial"}
    ordered = sorted(used, key=lambda row: (row["study_id"], row["common_dose"], row["effect_id"]))
    covariance = _covariance(spec, ordered)
    contrasts = Contrasts(
        np.array([row["estimate"] for row in ordered], dtype=float),
        covariance,
        np.array([row["common_dose"] for row in ordered], dtype=float),
        np.zeros(len(ordered)),
        [row["study_id"] for row in ordered],
    )
    head |= {
        "points": _points(spec, ordered),
        "covariance": plain(covariance),
        "doses": sorted({row["common_dose"] for row in ordered}),
        "n_contrasts": len(ordered),
        "among_doses": _among_doses(spec, rule, contrasts),
    }
    linear = _fitted(spec, rule, contrasts, "linear")
    spline = _fitted(spec, rule, contrasts, "spline")
    bent = _bent(published(plain(spline)))
    if bent:  # a line that its own test rejects is neither reported nor drawn
        linear, head["main"] = {"withheld": bent}, "spline"
    main = spline if head["main"] == "spline" else linear
    return plain(
        {
            **head,
            "linear": linear,
            "spline": spline,
            "checks": _no_checks(bent) if bent else dose_checks(spec, rule, contrasts),
            "nonlinearity": spline.get("nonlinearity"),
            "at_doses": main.get("at_doses", []),
            "curve": main.get("curve", []),
            "caveats": [
                *main.get("caveats", []),
                *stated((bent, "not_a_line", f"A{bent[1:]}.")),
            ],
            "withheld": main["withheld"],
        }
    )


def dose_groups(spec: AnalysisSpec, used: Sequence[Effect]) -> list[Group]:
    """Return the rows of a forest plot, one group per dose, nothing pooled."""
    if spec.dose is None:
        return []
    grouped: list[Effect] = []
    labels: dict[float, str] = {}
    for effect in used:
        label = dose_label(effect["common_dose"], spec.dose.unit)
        labels[effect["common_dose"]] = label
        grouped.append({**effect, "group": label, "study_group": f"{effect['study_id']}|{label}"})
    rows = study_rows(grouped, spec.model.measure, level=spec.model.level, project=spec.project)
    for row in rows:
        row["weight"] = None
    return [
        {
            "key": label,
            "label": label,
            "rows": [row for row in rows if row["group"] == label],
            "pooled": None,
        }
        for label in dict.fromkeys(label for _, label in sorted(labels.items()))
    ]


def dose_label(dose: float, unit: str) -> str:
    """Return ``28 mg`` or ``0.5 mg per kg``."""
    return f"{dose:g} {unit.replace('_', ' ')}"


def _covariance(spec: AnalysisSpec, used: Sequence[Effect]) -> np.ndarray:
    """Return the sampling covariance of all contrasts; zero between trials."""
    matrix = np.zeros((len(used), len(used)))
    studies: dict[str, list[int]] = {}
    for place, row in enumerate(used):
        studies.setdefault(row["study_id"], []).append(place)
    for at in studies.values():
        effects = StudyEffects.of([used[place] for place in at])
        matrix[np.ix_(at, at)] = study_covariance(spec.model.measure, effects)
    return matrix


def _points(spec: AnalysisSpec, used: Sequence[Effect]) -> list[DosePoint]:
    points: list[DosePoint] = []
    for row in used:
        se = float(np.sqrt(row["variance"]))
        interval = row_interval(row["estimate"], se, spec.model.level)
        label, dose = spec.project.study_label(row["study_id"]), row["common_dose"]
        points.append(part(DosePoint, interval, row, label=label, dose=dose, se=se))
    return points


def _bent(spline: Curve) -> str:
    """Return why no line is reported: its own test rejects it; empty where it does not."""
    test = spline.get("nonlinearity")
    if test is None or test["p_value"] >= _BENT_P:
        return ""
    return (
        f"a straight line does not describe these doses (test of curvature "
        f"{format_p(test['p_value'])}): read the effect at each dose, not a slope"
    )


def _fitted(spec: AnalysisSpec, rule: DoseRule, contrasts: Contrasts, transformation: Any) -> Curve:
    """Return one curve, or why there is none."""
    try:
        fit = fit_curve(spec, rule, contrasts, transformation)
    except KetametaError as error:
        return {"withheld": str(error)}
    doses = np.array(sorted(set(contrasts.dose)))
    grid = np.linspace(0.0, doses[-1], _CURVE_POINTS)
    return part(
        Curve,
        fit,
        coefficients=fit.coefficients.rows(),
        covariance=fit.coefficients.covariance,
        slope=slope_of(fit, rule),
        at_doses=_curve(fit, doses),
        curve=_curve(fit, grid),
        withheld="",
    )


def _curve(fit: DoseResponse, doses: np.ndarray) -> list[dict[str, float]]:
    """Return the points of a curve; a curve may cross zero, so that all have its decimals."""
    at = fit.predict(doses)
    names = ("estimate", "se", "ci_low", "ci_high")
    values = np.array([getattr(at, name) for name in names])
    rounded = np.array(published_together(values.ravel().tolist())).reshape(values.shape)
    return [
        {"dose": float(dose), **dict(zip(names, row, strict=True))}
        for dose, row in zip(doses, rounded.T.tolist(), strict=True)
    ]


def _among_doses(spec: AnalysisSpec, rule: DoseRule, contrasts: Contrasts) -> AmongDoses:
    """Return the slope among treated people: each dose against the lowest of the same trial.

    The control leaves the comparison, and with it everything that any dose does. The covariance
    follows from that of the contrasts with the control.
    """
    turns, dose, control, study = [], [], [], []
    names = np.array(contrasts.study)
    for name in dict.fromkeys(contrasts.study):
        at = np.flatnonzero(names == name)
        lowest = at[int(np.argmin(contrasts.dose[at]))]
        for row in at:
            if contrasts.dose[row] > contrasts.dose[lowest]:
                turn = np.zeros(len(names))
                turn[row], turn[lowest] = 1.0, -1.0
                turns.append(turn)
                dose.append(contrasts.dose[row])
                control.append(contrasts.dose[lowest])
                study.append(name)
    if not turns:
        return {"k": 0, "withheld": "no trial compares two doses"}
    turned = np.array(turns)
    within = Contrasts(
        turned @ contrasts.estimates,
        turned @ contrasts.covariance @ turned.T,
        np.array(dose),
        np.array(control),
        study,
    )
    try:
        fit = fit_curve(spec, rule, within, "linear")
    except KetametaError as error:
        return {"k": len(set(study)), "withheld": str(error)}
    return part(
        AmongDoses,
        fit,
        contrasts=[
            {
                "study_id": study[i],
                "dose": dose[i],
                "control": control[i],
                "estimate": _difference(turned[i], contrasts.estimates),
            }
            for i in range(len(study))
        ],
        covariance=within.covariance,
        slope=slope_of(fit, rule),
        withheld="",
    )


def _difference(turn: np.ndarray, estimates: np.ndarray) -> float | None:
    """Return a difference of estimates with their decimals: of equal ones, nought."""
    values = [float(turn @ estimates), *estimates[turn != 0].tolist()]
    return published_together(values)[0]


def dose_sentences(result: AnalysisResult) -> list[str]:
    """Return what a dose-response analysis says, or why it says nothing."""
    found = result["dose_response"]
    if found is None or result["k"] == 0:
        return []
    if found["withheld"]:
        return [f"No curve is drawn: {found['withheld']}."]
    measure = Measure(result["measure"])
    level = format_level(result["level"])
    doses = ", ".join(dose_label(dose, found["unit"]) for dose in found["doses"])
    sentences = [f"Doses given: {doses}."]
    if found["linear"]["withheld"]:
        reason = found["linear"]["withheld"]
        sentences += [f"No slope is reported: {reason}.", _doses_sentence(found, measure, level)]
    else:
        sentences.append(_slope_sentence(found, measure, level))
    if found["nonlinearity"] is not None:
        one = ", with one curve for all trials" if found["spline"]["method"] == "common" else ""
        sentences.append(f"Test that the relation is not a line{one}: {test_words(found)}.")
    else:
        sentences.append(f"Whether it is a line cannot be tested: {found['spline']['withheld']}.")
    pools = {
        row["study_id"] for group in result["groups"] for row in group["rows"] if pools_in([row])
    }
    sentences.append(_among_sentence(found, measure, level, pools))
    return sentences


def _doses_sentence(found: DoseResult, measure: Measure, level: str) -> str:
    """Return the effect at each dose that was given, from the curve."""
    told = "; ".join(
        f"{dose_label(at['dose'], found['unit'])} {written(at['estimate'], measure)} "
        f"({interval_words(at['ci_low'], at['ci_high'], measure)})"
        for at in found["at_doses"]
    )
    name = measure_words(measure)
    return f"On the curve the {name} against no dose, with {level} CI, is: {told}."


def _slope_sentence(found: DoseResult, measure: Measure, level: str) -> str:
    slope = found["linear"]["slope"]
    step = dose_label(found["step"], found["unit"])
    how = "is multiplied by" if measure.is_ratio else "changes by"
    return (
        f"On a line through no effect at no dose the {measure_words(measure)} {how} "
        f"{slope_words(slope, measure, level)} per {step}, {format_p(slope['p_value'])}."
    )


def _among_sentence(found: DoseResult, measure: Measure, level: str, pools: set[str]) -> str:
    among = found["among_doses"]
    if among["withheld"]:
        return f"Whether more does more among treated people cannot be said: {among['withheld']}."
    step = dose_label(found["step"], found["unit"])
    how = "multiplies" if measure.is_ratio else "changes"
    among_pools = len(pools & {row["study_id"] for row in among["contrasts"]})
    within = trials_words(among["k"], among_pools)
    return (
        f"Among treated people, within {within} with two doses or more, each "
        f"further {step} {how} the {measure_words(measure)} by "
        f"{slope_words(among['slope'], measure, level)}, {format_p(among['slope']['p_value'])}."
    )


def slope_words(slope: Slope, measure: Measure, level: str) -> str:
    """Return ``1.20 (95% CI 1.05 to 1.37)``."""
    interval = interval_words(slope["ci_low"], slope["ci_high"], measure)
    return f"{written(slope['estimate'], measure)} ({level} CI {interval})"


def test_words(found: DoseResult) -> str:
    """Return the test of the spline's curvature in words."""
    test = found["nonlinearity"]
    assert test is not None
    if test["df2"] is None:
        name = f"chi-squared {format_number(test['statistic'])} on {test['df']} df"
    else:
        name = f"F {format_number(test['statistic'])} on {test['df']} and {test['df2']} df"
    return f"{name}, {format_p(test['p_value'])}"
