"""A network of treatments from selected effects: nodes, contrasts per study, and its results."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ketameta.analyses.parts import Comparability, Contrast, Network, People, Ranked, part
from ketameta.analyses.result import StudyRow
from ketameta.analyses.rows import StudyEffects, study_covariance
from ketameta.analyses.sentences import PLUS, network_order
from ketameta.analyses.sentences import treatment_label as treatment_label
from ketameta.errors import KetametaError
from ketameta.formatting import plural, published
from ketameta.measures import MIN_STUDIES_PER_LEVEL, MIN_STUDIES_SMALL_STUDY
from ketameta.models.network.model import network_components
from ketameta.models.network.network import NetworkMetaAnalysis, network_meta_analysis
from ketameta.models.results import Caveat, plain, stated

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.derive import Effect


class Arc(NamedTuple):
    """One effect between two nodes of the network."""

    node: str
    against: str
    effect: Effect


def network(spec: AnalysisSpec, used: Sequence[Effect]) -> Network | None:
    """Return the network of an analysis of kind ``network``; ``None`` for the others.

    Contrasts are what the model saw: of each study against its base, doses joined, with their
    covariance. Treatments that no comparison connects with the reference are ``apart``.
    """
    if spec.kind != "network":
        return None
    words = [
        *(row["drug_class"] for row in used),
        *(row["intervention"] for row in used),
        *(row["comparator"] for row in used),
    ]
    known = {word: word.replace("_", " ") for word in words if word}
    arcs: list[Arc] = []
    studies: dict[str, list[Arc]] = {}
    for row in used:
        beside = _background(row["background_treatment"], known)
        arc = Arc(row["intervention"] + beside, row["comparator"] + beside, row)
        if arc.node != arc.against:
            arcs.append(arc)
            studies.setdefault(row["study_id"], []).append(arc)
    contrasts = [
        contrast
        for _, members in sorted(studies.items())
        for contrast in _study_contrasts(spec, members)
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
    return part(
        Network,
        fitted,
        apart=apart,
        contrasts=kept,
        people=_people([studies[name] for name in sorted(fitted["studies"])]),
        transitivity=_transitivity(arcs, ("age_group", *spec.project.categories, "access")),
        caveats=[*fitted["caveats"], *_caveats(contrasts, set(apart), spec.model.reference)],
    )


def _caveats(contrasts: list[Contrast], apart: set[str], reference: str) -> tuple[Caveat, ...]:
    """Return that the network falls apart, and why a pair of trials may read differently alone."""
    left: dict[str, int] = Counter(
        f"{treatment_label(c['treatment'])} against {treatment_label(c['control'])}"
        for c in contrasts
        if c["treatment"] in apart
    )
    listed = "; ".join(f"{pair} ({plural(k, 'trial')})" for pair, k in sorted(left.items()))
    return stated(
        (
            left,
            "network_apart",
            f"The network falls apart: no comparison connects {listed} with "
            f"{treatment_label(reference)}. What is added to another treatment is compared with "
            "placebo plus that treatment, which is not placebo alone.",
        ),
        (
            True,
            "two_routes",
            "A comparison may read differently in an analysis of its own: the network takes one "
            "spread of true effects for all comparisons and adds indirect evidence.",
        ),
    )


def network_rows(found: Network | None) -> list[StudyRow]:
    """Return a forest-plot row per treatment against the reference, best first where ranked."""
    if found is None or found["withheld"]:
        return []
    order = network_order(found)
    effects = sorted(found["effects"], key=lambda item: order.index(item["treatment"]))
    people = {
        node["treatment"]: None if node["n"] is None else int(node["n"]) for node in found["nodes"]
    }
    return [
        part(
            StudyRow,
            item,
            _NO_TRIAL,
            study_id=item["treatment"],
            label=treatment_label(item["treatment"]),
            intervention=item["treatment"],
            comparator=item["control"],
            n_treatment=people[item["treatment"]],
            variance=item["se"] ** 2,
            note=f"{item['k_direct']} direct comparisons",
        )
        for item in effects
    ]


#: What a row of a treatment has not: it is no trial.
_NO_TRIAL = {
    **dict.fromkeys(("group", "route", "data_kind", "assumption", "subgroup", "instrument"), ""),
    **dict.fromkeys(("year", "n_control", "n_participants", "weight", "time_days")),
    **dict.fromkeys(("arms", "source"), ()),
}


def _people(studies: Sequence[Sequence[Arc]]) -> People:
    """Return the people of the network's trials, each arm counted once, and who prints none."""
    total, silent = 0, []
    for members in studies:
        arms: dict[str, float] = {}
        for _, _, row in members:
            for arm, n in (
                (row["arm_id"], row["n_treatment"]),
                (row["comparator_arm_id"], row["n_control"]),
            ):
                arms[arm] = max(arms.get(arm, 0.0), n)  # a size that is not printed is no larger
        if all(n > 0 for n in arms.values()):
            total += int(sum(arms.values()))
        else:
            silent.append(members[0].effect["study_id"])
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


def _study_contrasts(spec: AnalysisSpec, members: Sequence[Arc]) -> list[Contrast]:
    """Return a study's contrasts with its base node, doses joined, with their covariance.

    The base is the reference where the study has it, else its most frequent comparator. Effects
    between two treatments that both have a contrast with the base add nothing and are left.
    """
    base = _base(spec, members)
    by_node: dict[str, list[Effect]] = {}
    kept = [arc for arc in members if arc.against == base]
    for arc in kept:
        by_node.setdefault(arc.node, []).append(arc.effect)
    names = sorted(by_node)
    effects = StudyEffects.of([arc.effect for arc in kept])
    precision = np.linalg.inv(study_covariance(spec.model.measure, effects))
    design = np.array([[float(arc.node == name) for name in names] for arc in kept])
    covariance = np.linalg.inv(design.T @ precision @ design)
    means = covariance @ design.T @ precision @ effects.estimates
    return [
        {
            "study": kept[0].effect["study_id"],
            "treatment": name,
            "control": base,
            "estimate": float(means[place]),
            "variance": float(covariance[place, place]),
            "covariance": {other: float(covariance[place, j]) for j, other in enumerate(names)},
            "n_treatment": float(np.nansum([row["n_treatment"] for row in by_node[name]])),
            "n_control": float(np.fmax.reduce([row["n_control"] for row in by_node[name]])),
            "effect_ids": sorted(row["effect_id"] for row in by_node[name]),
        }
        for place, name in enumerate(names)
    ]


def _base(spec: AnalysisSpec, members: Sequence[Arc]) -> str:
    against = [arc.against for arc in members]
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


def _fitted(spec: AnalysisSpec, contrasts: list[Contrast]) -> Network:
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
    ranking, withheld = _ranking(fit)
    return part(
        Network,
        fit,
        withheld="",
        apart=(),
        df=fit.n_contrasts - len(fit.treatments) + 1 if fit.ci_method == "t" else None,
        effects=[fit.compare(name, fit.reference).to_dict() for name in others],
        league=fit.comparisons,
        ranking=ranking,
        ranking_withheld=withheld,
    )


def _ranking(fit: NetworkMetaAnalysis) -> tuple[list[Ranked], str]:
    """Return treatments with their P-scores, best first; or none, and why they are not ranked.

    A network is a regression on treatments and needs as many trials as one.
    """
    single = [node["treatment"] for node in plain(fit.nodes) if node["k"] < MIN_STUDIES_PER_LEVEL]
    loops = len(fit.edges) - len(fit.treatments) + 1
    reasons = []
    if single:
        names = ", ".join(treatment_label(name) for name in single)
        reasons.append(f"one trial each behind {names}")
    if loops < 1:
        reasons.append("no loop of comparisons in which direct and indirect evidence could differ")
    if fit.k < MIN_STUDIES_SMALL_STUDY:
        reasons.append(
            f"{plural(fit.k, 'trial')}, where a ranking needs at least {MIN_STUDIES_SMALL_STUDY}"
        )
    scored = sorted((-published(score), name) for name, score in fit.ranking() if not reasons)
    return [{"treatment": name, "p_score": -score} for score, name in scored], " and ".join(reasons)


def _transitivity(arcs: Sequence[Arc], facts: Sequence[str]) -> list[Comparability]:
    """Return, per comparison, who was studied and for how long: what a network assumes alike."""
    trials: dict[tuple[str, str], dict[str, Effect]] = {}
    for arc in arcs:
        pair = trials.setdefault((arc.node, arc.against), {})
        pair.setdefault(arc.effect["study_id"], arc.effect)
    rows: list[Comparability] = []
    for (treatment, control), first in sorted(trials.items()):
        days = [row["time_days"] for row in first.values() if not math.isnan(row["time_days"])]
        row: Comparability = {
            "treatment": treatment,
            "control": control,
            "k": len(first),
            "median_days": median(days) if days else None,
        }
        for fact in facts:
            row[fact] = dict(sorted(Counter(str(one.get(fact)) for one in first.values()).items()))
        rows.append(row)
    return rows
