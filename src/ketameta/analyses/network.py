"""A network of treatments from selected effects: nodes, contrasts per study, and its results."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ketameta.analyses.parts import Caveat, Contrast, Network, People
from ketameta.analyses.result import StudyRow
from ketameta.analyses.rows import StudyEffects, study_covariance, texts
from ketameta.analyses.sentences import PLUS
from ketameta.analyses.sentences import treatment_label as treatment_label
from ketameta.errors import KetametaError
from ketameta.formatting import plural, published
from ketameta.models.network.model import network_components
from ketameta.models.network.network import NetworkMetaAnalysis, network_meta_analysis
from ketameta.models.policy import MIN_STUDIES_PER_LEVEL
from ketameta.models.results import plain

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.analyses.spec import AnalysisSpec


def network(spec: AnalysisSpec, used: pd.DataFrame) -> Network | None:
    """Return the network of an analysis of kind ``network``; ``None`` for the others.

    Parameters
    ----------
    spec : AnalysisSpec
    used : DataFrame
        Selected effects, one form per comparison.

    Returns
    -------
    dict or None
        ``effects`` (each treatment against the reference), ``league`` (every pair), ``ranking``
        (P-scores), ``splits`` (direct against indirect), ``q`` (heterogeneity and inconsistency),
        ``nodes``, ``edges``, ``contrasts`` (what the model saw: each with its effects and its
        covariance with those of the same study), ``transitivity`` (facts per comparison), ``apart``
        (treatments that no comparison connects with the reference) and ``withheld``.
    """
    if spec.kind != "network":
        return None
    known = {
        str(word): str(word).replace("_", " ")
        for column in ("drug_class", "intervention", "comparator")
        for word in used.get(column, ())
        if word
    }
    beside = [_background(str(text), known) for text in used["background_treatment"]]
    nodes = used.assign(
        node=[f"{name}{more}" for name, more in zip(used["intervention"], beside, strict=True)],
        against=[f"{name}{more}" for name, more in zip(used["comparator"], beside, strict=True)],
    )
    nodes = nodes[nodes["node"] != nodes["against"]]
    contrasts = [
        contrast
        for _, group in nodes.groupby("study_id", sort=True)
        for contrast in _study_contrasts(spec, group)
    ]
    names = {contrast["treatment"] for contrast in contrasts}
    names |= {contrast["control"] for contrast in contrasts}
    head: Network = {"withheld": "", "reference": spec.model.reference, "apart": []}
    if spec.model.reference not in names:
        return {**head, "withheld": "no comparison with the reference is eligible"}
    kept, apart = _connected(contrasts, spec.model.reference)
    try:
        fitted = _fitted(spec, kept)
    except KetametaError as error:
        return {**head, "apart": apart, "withheld": str(error)}
    return plain(
        {
            **head,
            **fitted,
            "apart": apart,
            "contrasts": kept,
            "people": _people(nodes, set(fitted["studies"])),
            "transitivity": _transitivity(nodes, ("age_group", *spec.project.categories, "access")),
            "caveats": [*fitted["caveats"], *_caveats(contrasts, set(apart), spec.model.reference)],
            "withheld": "",
        }
    )


def _caveats(contrasts: list[Contrast], apart: set[str], reference: str) -> list[Caveat]:
    """Return that the network falls apart, and why a pair of trials may read differently alone."""
    left: dict[str, int] = Counter(
        f"{treatment_label(c['treatment'])} against {treatment_label(c['control'])}"
        for c in contrasts
        if c["treatment"] in apart
    )
    found: list[Caveat] = []
    if left:
        listed = "; ".join(f"{pair} ({plural(k, 'trial')})" for pair, k in sorted(left.items()))
        found.append(
            {
                "code": "network_apart",
                "message": f"The network falls apart: no comparison connects {listed} with "
                f"{treatment_label(reference)}. What is added to another treatment is compared "
                "with placebo plus that treatment, which is not placebo alone.",
            }
        )
    found.append(
        {
            "code": "two_routes",
            "message": "A comparison may read differently in an analysis of its own: the network "
            "takes one spread of true effects for all comparisons and adds indirect evidence.",
        }
    )
    return found


def network_rows(found: Network | None) -> list[StudyRow]:
    """Return a forest-plot row per treatment against the reference, best first."""
    if found is None or found["withheld"]:
        return []
    place = {item["treatment"]: index for index, item in enumerate(found["ranking"])}
    effects = sorted(found["effects"], key=lambda item: place[item["treatment"]])
    sizes = {node["treatment"]: node for node in found["nodes"]}
    return [
        cast(
            "StudyRow",
            {
                "study_id": item["treatment"],
                "label": treatment_label(item["treatment"]),
                "intervention": item["treatment"],
                "comparator": item["control"],
                "group": "",
                "year": None,
                "n_treatment": _whole(sizes[item["treatment"]]["n"]),
                "n_control": None,
                "n_participants": None,
                "estimate": item["estimate"],
                "variance": item["se"] ** 2,
                "se": item["se"],
                "ci_low": item["ci_low"],
                "ci_high": item["ci_high"],
                "weight": None,
                "route": "",
                "arms": [],
                "data_kind": "",
                "assumption": "",
                "subgroup": "",
                "instrument": "",
                "time_days": None,
                "source": [],
                "note": f"{item['k_direct']} direct comparisons",
            },
        )
        for item in effects
    ]


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _people(nodes: pd.DataFrame, studies: set[str]) -> People:
    """Return the people of the network's trials, each arm counted once, and who prints none."""
    total, silent = 0, []
    for study, group in nodes[nodes["study_id"].isin(studies)].groupby("study_id"):
        arms: dict[str, float] = {}
        for side, size in (("arm_id", "n_treatment"), ("comparator_arm_id", "n_control")):
            for arm, n in zip(group[side], group[size], strict=True):
                arms[arm] = max(arms.get(arm, 0.0), float(n) if np.isfinite(n) else 0.0)
        if all(n > 0 for n in arms.values()):
            total += int(sum(arms.values()))
        else:
            silent.append(str(study))
    return {"n": total, "without_size": silent}


def _background(text: str, known: Mapping[str, str]) -> str:
    """Return what a node's name gets for what every arm took: classes or treatments it names.

    A text that names none of those in the network stands for itself.
    """
    if not text:
        return ""
    lower = text.lower()
    named = [word for word, said in known.items() if re.search(rf"\b{re.escape(said)}\b", lower)]
    return f"{PLUS}{named[0] if named else re.sub(r'[^a-z0-9]+', '_', lower).strip('_')}"


def _study_contrasts(spec: AnalysisSpec, group: pd.DataFrame) -> list[Contrast]:
    """Return a study's contrasts with its base node, doses joined, with their covariance.

    The base is the reference where the study has it, else its most frequent comparator. Effects
    between two treatments that both have a contrast with the base add nothing and are left.
    """
    base = _base(spec, group)
    group = group[group["against"] == base]
    names = sorted(set(group["node"]))
    estimates = group["estimate"].to_numpy(float)
    effects = StudyEffects(
        people=texts(group["study_id"] + "|" + group["subgroup"]),
        treatment=texts(group["arm_id"]),
        control=texts(group["comparator_arm_id"]),
        estimates=estimates,
        variances=group["variance"].to_numpy(float),
        **{
            name: group[name].to_numpy(float)
            for name in ("n_treatment", "n_control", "events_treatment", "events_control")
        },
    )
    precision = np.linalg.inv(study_covariance(spec.model.measure, effects))
    design = np.array([[float(node == name) for name in names] for node in group["node"]])
    covariance = np.linalg.inv(design.T @ precision @ design)
    means = covariance @ design.T @ precision @ estimates
    study = str(group["study_id"].iloc[0])
    sizes = group.groupby("node")[["n_treatment", "n_control"]].agg(
        {"n_treatment": "sum", "n_control": "max"}
    )
    return [
        {
            "study": study,
            "treatment": name,
            "control": base,
            "estimate": float(means[place]),
            "variance": float(covariance[place, place]),
            "covariance": {other: float(covariance[place, j]) for j, other in enumerate(names)},
            "n_treatment": float(sizes.loc[name, "n_treatment"]),
            "n_control": float(sizes.loc[name, "n_control"]),
            "effect_ids": sorted(group.loc[group["node"] == name, "effect_id"]),
        }
        for place, name in enumerate(names)
    ]


def _base(spec: AnalysisSpec, group: pd.DataFrame) -> str:
    against = list(group["against"])
    if spec.model.reference in against:
        return spec.model.reference
    return min(Counter(against).items(), key=lambda item: (-item[1], item[0]))[0]


def _connected(contrasts: list[Contrast], reference: str) -> tuple[list[Contrast], list[str]]:
    """Return the contrasts in the reference's part of the network, and the treatments outside."""
    parts = network_components(
        [contrast["treatment"] for contrast in contrasts],
        [contrast["control"] for contrast in contrasts],
    )
    home = next(set(part) for part in parts if reference in part)
    kept = [contrast for contrast in contrasts if contrast["treatment"] in home]
    apart = sorted(name for part in parts for name in part if name not in home)
    return kept, apart


def _fitted(spec: AnalysisSpec, contrasts: list[Contrast]) -> dict[str, Any]:
    studies: dict[str, list[Contrast]] = {}
    for contrast in contrasts:
        studies.setdefault(contrast["study"], []).append(contrast)
    blocks = [
        [[one["covariance"][two["treatment"]] for two in members] for one in members]
        for members in studies.values()
    ]
    people = np.array([[c["n_treatment"], c["n_control"]] for c in contrasts], dtype=float)
    known = bool(np.isfinite(people).all() and (people > 0).all())
    fit = network_meta_analysis(
        [contrast["estimate"] for contrast in contrasts],
        [contrast["variance"] for contrast in contrasts],
        [contrast["study"] for contrast in contrasts],
        [contrast["treatment"] for contrast in contrasts],
        [contrast["control"] for contrast in contrasts],
        reference=spec.model.reference,
        sampling_covariance=blocks,
        n_treatment=people[:, 0] if known else None,
        n_control=people[:, 1] if known else None,
        level=spec.model.level,
    )
    others = [name for name in fit.treatments if name != fit.reference]
    return {
        "k": fit.k,
        "tau2": fit.tau2,
        "tau2_ci_low": fit.tau2_ci_low,
        "tau2_ci_high": fit.tau2_ci_high,
        "tau2_method": fit.tau2_method,
        "ci_method": fit.ci_method,
        "df": fit.n_contrasts - len(fit.treatments) + 1 if fit.ci_method == "t" else None,
        "i2": fit.i2,
        "effects": [fit.compare(name, fit.reference) for name in others],
        "league": list(fit.comparisons),
        **_ranking(fit),
        "splits": list(fit.splits),
        "q": fit.q,
        "nodes": list(fit.nodes),
        "edges": list(fit.edges),
        "caveats": list(fit.caveats),
        "studies": list(fit.studies),
    }


def _ranking(fit: NetworkMetaAnalysis) -> dict[str, Any]:
    """Return treatments with their P-scores, best first; by name and without where none is due."""
    single = [node["treatment"] for node in plain(fit.nodes) if node["k"] < MIN_STUDIES_PER_LEVEL]
    loops = len(fit.edges) - len(fit.treatments) + 1
    reasons = []
    if single:
        names = ", ".join(treatment_label(name) for name in single)
        reasons.append(f"one trial each behind {names}")
    if loops < 1:
        reasons.append("no loop of comparisons in which direct and indirect evidence could differ")
    scores = {name: 0.0 if reasons else published(score) for name, score in fit.ranking()}
    ranked = [
        {"treatment": name, "p_score": None if reasons else scores[name]}
        for name in sorted(scores, key=lambda name: (-scores[name], name))
    ]
    return {"ranking": ranked, "ranking_withheld": " and ".join(reasons)}


def _transitivity(nodes: pd.DataFrame, facts: Sequence[str]) -> list[dict[str, Any]]:
    """Return, per comparison, who was studied and for how long: what a network assumes alike."""
    rows = []
    for (treatment, control), group in nodes.groupby(["node", "against"], sort=True):
        trials = group.drop_duplicates("study_id")
        days = trials["time_days"].dropna()
        row: dict[str, Any] = {
            "treatment": treatment,
            "control": control,
            "k": len(trials),
            "median_days": float(days.median()) if len(days) else None,
        }
        for fact in facts:
            row[fact] = dict(sorted(Counter(trials[fact]).items()))
        rows.append(row)
    return rows
