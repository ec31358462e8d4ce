"""What stands beside a dose-response line: two stages, other choices, each trial left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ketameta.analyses.dose_fit import Contrasts, fit_curve, slope_of
from ketameta.analyses.rows import study_label
from ketameta.errors import KetametaError
from ketameta.models.dose_two_stage import TwoStage, two_stage
from ketameta.models.results import plain
from ketameta.models.second_engine import agrees_to

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec, DoseRule

#: Other choices for the line: code, label and what changes.
_CHOICES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("common", "One slope for all trials (common effect)", {"method": "common"}),
    ("wald", "Wald interval", {"ci_method": "wald"}),
)
#: Trials below which none is left out.
_LEAST = 3


def dose_checks(spec: AnalysisSpec, rule: DoseRule, contrasts: Contrasts) -> dict[str, Any]:
    """Return the checks of the line through no effect.

    Returns
    -------
    dict
        ``two_stage`` (None for one trial): the slope of each trial per step of dose, and to what
        their pool by a second engine agrees with the one-stage line; ``companions``: the
        slope per step under other choices; ``leave_one_out``: without each trial in turn, from
        three trials, with ``lowest`` and ``highest``; ``withheld``, the reason when there is no
        line.
    """
    try:
        line = fit_curve(spec, rule, contrasts, "linear")
    except KetametaError as error:
        return {"two_stage": None, "companions": [], "leave_one_out": None, "withheld": str(error)}
    studies = list(dict.fromkeys(contrasts.study))
    stages = None
    if len(studies) >= 2:
        found = two_stage(
            line, contrasts.estimates, contrasts.covariance, contrasts.dose - contrasts.control
        )
        stages = _stages(found, rule)
    companions = [
        {
            "code": code,
            "label": label,
            "k": line.k,
            **slope_of(fit_curve(spec, rule, contrasts, "linear", **changes), rule),
        }
        for code, label, changes in _CHOICES
        if not (code == "common" and line.method == "common")
        and not (code == "wald" and line.ci_method == "wald")
    ]
    return plain(
        {
            "two_stage": stages,
            "companions": companions,
            "leave_one_out": _left_out(spec, rule, contrasts, studies),
            "withheld": "",
        }
    )


def _stages(found: TwoStage, rule: DoseRule) -> dict[str, Any]:
    return {
        "engine": found.engine,
        "version": found.version,
        "slopes": [
            {
                "study_id": study,
                "label": study_label(study),
                "estimate": rule.step * slope,
                "se": rule.step * se,
            }
            for study, slope, se in zip(found.study, found.slopes, found.ses, strict=True)
        ],
        "agrees_to": agrees_to(found.largest),
    }


def _left_out(
    spec: AnalysisSpec, rule: DoseRule, contrasts: Contrasts, studies: Sequence[str]
) -> dict[str, Any] | None:
    """Return the slope without each trial; two trials that remain share one slope."""
    if len(studies) < _LEAST:
        return None
    rows = []
    for study in studies:
        fit = fit_curve(spec, rule, contrasts.without(study), "linear")
        rows.append(
            {
                "study_id": study,
                "label": study_label(study),
                "k": fit.k,
                "method": fit.method,
                **slope_of(fit, rule),
            }
        )
    estimates = [row["estimate"] for row in rows]
    return {"rows": rows, "lowest": min(estimates), "highest": max(estimates)}
