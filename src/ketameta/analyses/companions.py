"""The analyses that stand beside every main result, so that no single choice decides it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses.rows import study_rows
from ketameta.models.bayes import bayes_random_effects
from ketameta.models.leave_one_out import leave_one_out
from ketameta.models.policy import BAYES_COMPANION_BELOW
from ketameta.models.pooling import NoEvidence, pool
from ketameta.models.priors import HalfNormal

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.analyses.spec import AnalysisSpec

#: Kinds of access in which tables or individual data could be read, not only an abstract.
FULL_ACCESS = ("full_text", "registry_results", "individual_data")
_TAU2_COMPANIONS = ("DL", "PM", "ML")


def companions_of(
    spec: AnalysisSpec, used: pd.DataFrame, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return one entry per companion analysis: what differs, k, estimate and interval.

    Parameters
    ----------
    spec : AnalysisSpec
    used : DataFrame
        Selected effects.
    rows : list of dict
        One per study, as the main model saw them.
    """
    if len(rows) < 2:
        return []
    companions = [
        _companion(f"tau2_{method.lower()}", f"Between-trial variance by {method}", spec, rows,
                   tau2_method=method)
        for method in _TAU2_COMPANIONS
        if method != spec.model.tau2_method
    ]  # fmt: skip
    companions.append(
        _companion("common_effect", "Common effect (one true effect assumed)", spec, rows,
                   model="common")
    )  # fmt: skip
    for code, label, ci_method in (
        ("wald", "Wald interval", "wald"),
        ("knapp_hartung", "Knapp\u2013Hartung interval, not floored", "knapp-hartung"),
    ):
        if ci_method != spec.model.ci_method:
            companions.append(_companion(code, label, spec, rows, ci_method=ci_method))
    if spec.kind == "pooled":
        companions.extend(_restricted(spec, used))
    if len(rows) < BAYES_COMPANION_BELOW:
        companions.append(_bayes(spec, rows))
    return companions


def _companion(
    code: str, label: str, spec: AnalysisSpec, rows: list[dict[str, Any]], **changes: str
) -> dict[str, Any]:
    """Return one refit of the main model with one choice changed."""
    settings = {
        "tau2_method": spec.model.tau2_method,
        "ci_method": spec.model.ci_method,
        "model": "random",
        **changes,
    }
    fit = pool(
        np.array([row["estimate"] for row in rows], dtype=float),
        np.array([row["variance"] for row in rows], dtype=float),
        level=spec.model.level,
        measure=spec.model.measure,
        **settings,
    )
    return {
        "code": code,
        "label": label,
        "k": fit.k,
        "estimate": fit.estimate,
        "ci_low": fit.ci_low,
        "ci_high": fit.ci_high,
        "tau2": fit.tau2,
    }


def _restricted(spec: AnalysisSpec, used: pd.DataFrame) -> list[dict[str, Any]]:
    """Return refits on the trials that satisfy a stricter rule, where that leaves some out."""
    rules = (
        ("full_access", "Only trials read in full or in a registry",
         used["access"].isin(FULL_ACCESS)),
        ("raw_spread", "Without standard deviations from models with covariates",
         ~used["route"].str.contains("model_based")),
        ("no_pools", "Without pooled reports", used["design"] != "pooled_rcts"),
        ("double_blind", "Only double-blind trials", used["blinding"] == "double_blind"),
    )  # fmt: skip
    found = []
    for code, label, keep in rules:
        if bool(keep.all()):
            continue
        rows = study_rows(used[keep], spec.model.measure, "study_id")
        entry = _companion(code, label, spec, rows)
        found.append(entry)
    return found


def _bayes(spec: AnalysisSpec, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the Bayesian companion under a half-normal prior on tau."""
    threshold = spec.model.important_difference
    fit = bayes_random_effects(
        np.array([row["estimate"] for row in rows], dtype=float),
        np.array([row["variance"] for row in rows], dtype=float),
        tau_prior=HalfNormal(spec.model.tau_prior_scale),
        level=spec.model.level,
        thresholds=() if threshold is None else (threshold,),
    )
    return {
        "code": "bayes",
        "label": f"Bayesian, half-normal({spec.model.tau_prior_scale:g}) prior on tau",
        "k": fit.k,
        "estimate": fit.mu.median,
        "ci_low": fit.mu.ci_low,
        "ci_high": fit.mu.ci_high,
        "tau2": fit.tau.median**2,
        "pi_low": fit.new_effect.ci_low,
        "pi_high": fit.new_effect.ci_high,
        "p_below_zero": fit.p_mean_below_zero,
        "thresholds": [dataclasses.asdict(item) for item in fit.thresholds],
    }


def leave_one_out_of(spec: AnalysisSpec, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the pooled effect without each trial in turn, and its range; from three trials."""
    if len(rows) < 3:
        return None
    fit = pool(
        np.array([row["estimate"] for row in rows], dtype=float),
        np.array([row["variance"] for row in rows], dtype=float),
        spec.model.tau2_method,
        spec.model.ci_method,
        spec.model.level,
    )
    if isinstance(fit, NoEvidence):
        return None
    found = leave_one_out(fit)
    tau2 = np.zeros(len(rows)) if found.tau2 is None else found.tau2
    entries = [
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
    estimates = [entry["estimate"] for entry in entries]
    return {"rows": entries, "lowest": min(estimates), "highest": max(estimates)}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
