"""What stands behind a network: each trial's contrast from its cells, each estimate from those.

The estimates are worked out a second time, from the formulas and the stored contrasts; a test holds
that they are the published ones.

A room of its own because its estimates are worked a second time, from the formulas alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from ketameta.analyses.network import treatment_label
from ketameta.analyses.words import interval_words, written
from ketameta.evidence.project import NOTHING_DECLARED, Project
from ketameta.formatting import published
from ketameta.measures import Measure
from ketameta.models.intervals import critical_value
from ketameta.report.provenance import Provenance
from ketameta.report.r_code import network_r
from ketameta.report.worked import Step, number, ratio_steps

#: A share below this is rounding error of a comparison that has none.
_NO_SHARE = 1e-12


def network_cards(
    result: Mapping[str, Any], provenance: Provenance, references: Mapping[str, int]
) -> dict[str, Any] | None:
    """Return everything behind a network; ``None`` where there is no network.

    Returns
    -------
    dict or None
        ``contrasts`` (rows with ``label, shown, card, card_id`` as those of any forest plot),
        ``estimates`` (one per treatment: ``label, treatment, card_id, steps, rows, pairs``) and
        ``r_code``.
    """
    net = result["network"]
    if net is None or net["withheld"]:
        return None
    return {
        "contrasts": _contrast_rows(result, provenance, references),
        "estimates": network_estimates(result, provenance.project),
        "r_code": network_r(net, result["level"]),
    }


# --- from cells to contrasts ----------------------------------------------------------------------


def _contrast_rows(
    result: Mapping[str, Any], provenance: Provenance, references: Mapping[str, int]
) -> list[dict[str, Any]]:
    measure = Measure(result["measure"])
    facts = provenance.study_facts
    known = provenance.effects_under(result["spec"]["assume"])
    rows = []
    for place, contrast in enumerate(result["network"]["contrasts"], start=1):
        study = contrast["study"]
        members = [c for c in result["network"]["contrasts"] if c["study"] == study]
        steps = contrast_steps(contrast, members, known, measure)
        names = (
            [name for member in members for name in member["effect_ids"]]
            if steps
            else contrast["effect_ids"]
        )
        row = {**facts[study], "effect_ids": names}
        reach = critical_value(float(result.get("level") or 0.95), None) * math.sqrt(
            contrast["variance"]
        )
        estimate = contrast["estimate"]
        interval = interval_words(estimate - reach, estimate + reach, measure)
        rows.append(
            {
                **row,
                "label": provenance.project.study_label(study),
                "study_id": study,
                "comparison": _comparison(contrast),
                "shown": f"{written(estimate, measure)} ({interval})",
                "sources": [s for name in names for s in str(known[name]["source"]).split(";")],
                "card": provenance.card(
                    {**row, "estimate": estimate, "variance": contrast["variance"]}, result, steps
                ),
                "card_id": f"row-{result['name']}-{place}",
                "reference": references[study],
            }
        )
    return rows


def _comparison(contrast: Mapping[str, Any]) -> str:
    return f"{treatment_label(contrast['treatment'])} v {treatment_label(contrast['control'])}"


def contrast_steps(
    contrast: Mapping[str, Any],
    members: Sequence[Mapping[str, Any]],
    known: Mapping[str, Mapping[str, Any]],
    measure: Measure,
) -> list[Step]:
    """Return how the effects of one study became one of its contrasts; empty where it is one.

    Notes
    -----
    Generalised least squares within the study: with the effects' covariance S and the matrix X that
    says which contrast each effect measures, the contrasts are ``(X' S^-1 X)^-1 X' S^-1 y``.
    """
    if all(len(member["effect_ids"]) == 1 for member in members):
        return []
    effects = [known[name] for member in members for name in member["effect_ids"]]
    owner = [place for place, member in enumerate(members) for _ in member["effect_ids"]]
    covariance = effects_covariance(effects, measure)
    design = np.array([[float(at == place) for place in range(len(members))] for at in owner])
    precision = np.linalg.inv(covariance)
    joined = np.linalg.inv(design.T @ precision @ design)
    mine = next(place for place, member in enumerate(members) if member is contrast)
    shares = (joined @ design.T @ precision)[mine]
    marks = ["₁₂₃₄₅₆₇₈₉"[place] if place < 9 else f"({place + 1})" for place in range(len(effects))]
    names = [f"{e['arm_id']} v {e['comparator_arm_id']}".replace("_", " ") for e in effects]
    steps = [
        Step(f"w{mark}", f"share of {name}, from the inverse covariance matrix", "", float(share))
        for mark, name, share in zip(marks, names, shares, strict=True)
    ]
    steps += [
        Step(f"cov{marks[i]}{marks[j]}", "covariance, because both share an arm", "",
             float(covariance[i, j]))
        for i in range(len(effects)) for j in range(i + 1, len(effects)) if covariance[i, j]
    ]  # fmt: skip
    values = [float(effect["estimate"]) for effect in effects]
    filled = " + ".join(
        f"{_b(share)} × {_b(value)}" for share, value in zip(shares, values, strict=True)
    )
    total = math.fsum(float(share) * value for share, value in zip(shares, values, strict=True))
    return [
        *steps,
        Step("y", "Σ w y", filled, total),
        Step("V", "Σ Σ w w cov", "with the shares and covariances above",
             float(shares @ covariance @ shares)),
    ]  # fmt: skip


def _b(value: float) -> str:
    return f"({number(float(value))})" if value < 0 else number(float(value))


def effects_covariance(effects: Sequence[Mapping[str, Any]], measure: Measure) -> np.ndarray:
    """Return the sampling covariance of effects of one study, shape (m, m)."""
    from ketameta.analyses.rows import StudyEffects, study_covariance

    def column(name: str) -> np.ndarray:
        values = [math.nan if effect[name] is None else effect[name] for effect in effects]
        return np.array(values, dtype=float)

    return study_covariance(
        measure,
        StudyEffects(
            people=tuple(f"{e['study_id']}|{e['subgroup']}" for e in effects),
            treatment=tuple(str(e["arm_id"]) for e in effects),
            control=tuple(str(e["comparator_arm_id"]) for e in effects),
            estimates=column("estimate"),
            variances=column("variance"),
            n_treatment=column("n_treatment"),
            n_control=column("n_control"),
            events_treatment=column("events_treatment"),
            events_control=column("events_control"),
        ),
    )


# --- from contrasts to estimates ------------------------------------------------------------------


def network_estimates(
    result: Mapping[str, Any], project: Project = NOTHING_DECLARED
) -> list[dict[str, Any]]:
    """Return, per treatment against the reference, the steps from contrasts to its interval.

    Notes
    -----
    An estimate of a network is a weighted sum of the trials' contrasts, ``h' y`` with
    ``H = (X' W X)^-1 X' W``, ``W = (S + tau^2 R)^-1``, R one on the diagonal and one half between
    contrasts of one trial. Its standard error is ``sqrt(h' (S + tau^2 R) h)``.
    """
    net = result["network"]
    contrasts = net["contrasts"]
    treatments = [item["treatment"] for item in net["effects"]]
    label = project.study_label
    shares = _shares(net, treatments)
    rank = {item["treatment"]: place for place, item in enumerate(net["ranking"])}
    found = []
    for treatment in sorted(treatments, key=rank.__getitem__):
        h = shares[treatments.index(treatment)]
        inside = [i for i in range(len(contrasts)) if abs(h[i]) > _NO_SHARE]
        rows = [
            {
                "label": f"{label(contrasts[i]['study'])}, {_comparison(contrasts[i])}",
                "y": contrasts[i]["estimate"], "v": contrasts[i]["variance"], "h": float(h[i]),
                "product": float(h[i]) * contrasts[i]["estimate"],
                "card_id": f"row-{result['name']}-{i + 1}",
            }
            for i in inside
        ]  # fmt: skip
        pairs = [
            {
                "label": label(contrasts[i]["study"]),
                "treatments": f"{treatment_label(contrasts[i]['treatment'])} and "
                f"{treatment_label(contrasts[j]['treatment'])}",
                "h": float(h[i]), "other": float(h[j]),
                "covariance": contrasts[i]["covariance"][contrasts[j]["treatment"]],
            }
            for i in inside for j in inside
            if i < j and contrasts[i]["study"] == contrasts[j]["study"]
        ]  # fmt: skip
        found.append(
            {
                "treatment": treatment,
                "label": treatment_label(treatment),
                "card_id": f"estimate-{result['name']}-{rank[treatment] + 1}",
                "steps": _estimate_steps(result, rows, pairs),
                "rows": published(rows),
                "pairs": published(pairs),
            }
        )
    return found


def _shares(net: Mapping[str, Any], treatments: Sequence[str]) -> np.ndarray:
    """Return each contrast's share in each treatment's estimate, shape (treatments, contrasts)."""
    contrasts = net["contrasts"]
    size = len(contrasts)
    total = np.zeros((size, size))
    for i, one in enumerate(contrasts):
        for j, two in enumerate(contrasts):
            if one["study"] == two["study"]:
                alike = 1.0 if i == j else 0.5
                total[i, j] = one["covariance"][two["treatment"]] + alike * net["tau2"]
    design = np.array(
        [[float(c["treatment"] == t) - float(c["control"] == t) for t in treatments]
         for c in contrasts]
    )  # fmt: skip
    weights = np.linalg.inv(total)
    shares: np.ndarray = np.linalg.inv(design.T @ weights @ design) @ design.T @ weights
    return shares


def _estimate_steps(
    result: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
) -> list[Step]:
    net = result["network"]
    tau2, df = net["tau2"], net["df"]
    estimate = math.fsum(row["product"] for row in rows)
    single = math.fsum(row["h"] ** 2 * (row["v"] + tau2) for row in rows)
    double = 2 * math.fsum(p["h"] * p["other"] * (p["covariance"] + tau2 / 2) for p in pairs)
    upper = 0.5 + result["level"] / 2
    q = float(special.ndtri(upper) if df is None else special.stdtrit(df, upper))
    se = math.sqrt(single + double)
    low, high = estimate - q * se, estimate + q * se
    steps = [
        Step("τ²", f"by {net['tau2_method']}, a search; the lines of R repeat it", "", tau2),
        Step("y", "Σ h × effect", "over the rows below", estimate),
        Step("A", "Σ h² (V + τ²)", "over the rows below", single),
    ]
    inner = number(single)
    if pairs:
        words = "over the pairs of comparisons of one trial below"
        steps.append(Step("B", "2 Σ h h′ (covariance + τ²/2)", words, double))
        inner = f"({number(single)} + {_b(double)})"
    word = "z" if df is None else f"t with {df} df"
    return [
        *steps,
        Step("SE", "√(A + B)" if pairs else "√A", f"√{inner}", se),
        Step("q", f"{word}, two-sided", "", q),
        Step("low", "y − q SE", f"{_b(estimate)} − {number(q)} × {number(se)}", low),
        Step("high", "y + q SE", f"{_b(estimate)} + {number(q)} × {number(se)}", high),
        *(ratio_steps(estimate, low, high) if result["is_ratio"] else ()),
    ]
