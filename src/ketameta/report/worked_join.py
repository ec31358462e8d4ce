"""How several comparisons of one study become one effect, written out step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ketameta.analyses.combine import StudyEffects, join_effects, study_covariance
from ketameta.report.worked import Step, number
from ketameta.vocabulary import Measure


def difference_steps(
    effects: Sequence[Mapping[str, Any]], groups: Sequence[str], measure: str
) -> list[Step]:
    """Return the steps of one group's effect minus the other's, within one trial."""
    parts = [
        [
            effect
            for effect in effects
            if any(part.endswith(f"={name}") for part in str(effect["subgroup"]).split(";"))
        ]
        for name in groups
    ]
    if not all(parts):
        return []
    steps: list[Step] = []
    ends: list[tuple[float, float]] = []
    for mark, members in zip("₁₂", parts, strict=True):
        if len(members) > 1:
            steps += join_steps(members, measure, mark)
            ends.append((steps[-2].value, steps[-1].value))
        else:
            ends.append((members[0]["estimate"], members[0]["variance"]))
    (y1, v1), (y2, v2) = ends
    return [
        *steps,
        Step("y", f"y₁ − y₂: {groups[0]} minus {groups[1]}".replace("_", " "),
             f"{number(y1)} − {_bracketed(y2)}", y1 - y2),
        Step("V", "V₁ + V₂, different people", f"{number(v1)} + {number(v2)}", v1 + v2),
    ]  # fmt: skip


def _bracketed(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)


def join_steps(effects: Sequence[Mapping[str, Any]], measure: str, mark: str) -> list[Step]:
    """Return how several comparisons of one study became one effect; y and V stand last."""
    steps: list[Step] = []
    once: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    arms = ("subgroup", "arm_id", "comparator_arm_id")
    for effect in effects:
        once.setdefault(tuple(str(effect[name]) for name in arms), []).append(effect)
    kept: list[dict[str, Any]] = []
    for members in once.values():
        first = dict(members[0])
        if len(once) < len(effects):
            count = len(members)
            first["estimate"] = math.fsum(m["estimate"] for m in members) / count
            error = math.fsum(math.sqrt(m["variance"]) for m in members) / count
            first["variance"] = error**2
            if count > 1:
                steps.append(
                    Step("ȳ", "mean of repeated measures of the same two arms",
                         " + ".join(_bracketed(m["estimate"]) for m in members), first["estimate"])
                )  # fmt: skip
                steps.append(Step("V̄", "square of the mean standard error", "", first["variance"]))
        kept.append(first)
    kept.sort(key=lambda effect: tuple(str(effect[name]) for name in arms))
    if len(kept) == 1:
        return [
            *steps,
            Step(f"y{mark}", "as above", "", kept[0]["estimate"]),
            Step(f"V{mark}", "as above", "", kept[0]["variance"]),
        ]
    covariance = study_covariance(
        Measure(measure),
        StudyEffects(
            people=tuple(f"{e['study_id']}|{e['subgroup']}" for e in kept),
            treatment=tuple(str(e["arm_id"]) for e in kept),
            control=tuple(str(e["comparator_arm_id"]) for e in kept),
            estimates=_column(kept, "estimate"),
            variances=_column(kept, "variance"),
            n_treatment=_column(kept, "n_treatment"),
            n_control=_column(kept, "n_control"),
            events_treatment=_column(kept, "events_treatment"),
            events_control=_column(kept, "events_control"),
        ),
    )
    joined = join_effects(_column(kept, "estimate"), covariance)
    names = [f"{e['arm_id']} v {e['comparator_arm_id']}".replace("_", " ") for e in kept]
    steps += [
        Step(f"w{_low(i)}", f"share of {name}, from the inverse covariance matrix", "", weight)
        for i, (name, weight) in enumerate(zip(names, joined.weights, strict=True))
    ]
    steps += [
        Step(f"cov{_low(i)}{_low(j)}", "covariance, because both share an arm", "",
             float(covariance[i, j]))
        for i in range(len(kept)) for j in range(i + 1, len(kept)) if covariance[i, j]
    ]  # fmt: skip
    products = " + ".join(
        f"{number(w)} × {_bracketed(e['estimate'])}"
        for w, e in zip(joined.weights, kept, strict=True)
    )
    steps.append(Step(f"y{mark}", "Σ w y", products, joined.estimate))
    words = "with the shares and covariances above"
    steps.append(Step(f"V{mark}", "Σ Σ w w cov", words, joined.variance))
    return steps


def _column(effects: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    values = [math.nan if effect[name] is None else effect[name] for effect in effects]
    return np.array(values, dtype=float)


def _low(index: int) -> str:
    return "₁₂₃₄₅₆₇₈₉"[index] if index < 9 else f"({index + 1})"


def joined_arm_steps(effect: Mapping[str, Any], side: str, mark: str, members: int) -> list[Step]:
    """Return the numbers of an arm put together from several."""
    words = f"{members} arms put together"
    steps = [Step(f"n{mark}", "Σ n", words, float(effect[f"n_{side}"]))]
    if effect["data_kind"] == "events":
        steps.append(Step(f"events{mark}", "Σ events", words, float(effect[f"events_{side}"])))
        return steps
    steps.append(Step(f"m{mark}", "Σ n m / Σ n", words, float(effect[f"mean_{side}"])))
    steps.append(
        Step(f"SD{mark}", "√((Σ (n − 1) SD² + Σ n (m − mean)²) / (Σ n − 1))", words,
             float(effect[f"sd_{side}"]))
    )  # fmt: skip
    return steps
