"""What a reader must know before trusting a result, once each. Estimates nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ketameta.analyses.moderators import level_caveats

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec


def is_pooled(spec: AnalysisSpec) -> bool:
    """Return whether all rows stand for one effect; doses do not."""
    return spec.model.overall and spec.kind != "dose_response"


def caveats_of(
    spec: AnalysisSpec,
    pooled: Any,
    groups: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    independent: list[dict[str, Any]],
) -> list[dict[str, str]]:
    """Return everything a reader must know, once each."""
    overall = is_pooled(spec) or not rows
    caveats = [dataclasses.asdict(caveat) for caveat in pooled.caveats] if overall else []
    if overall and len(rows) != len(independent):
        caveats.append(
            {
                "code": "study_in_several_groups",
                "message": "Some trials stand in several groups. For the overall result their "
                "effects are joined first, so that nobody is counted twice.",
            }
        )
    if any(row["assumption"] for row in rows):
        caveats.append(
            {
                "code": "assumption",
                "message": "Some effects rest on what is assumed, not printed: "
                f"{_assumed_words(rows)}.",
            }
        )
    standardised = str(spec.model.measure) == "SMD"
    if standardised and any("model_based" in row["route"] for row in rows):
        caveats.append(
            {
                "code": "model_based_spread",
                "message": "Some standard deviations come from models with covariates and are "
                "smaller than those of the raw scores; standardised effects are then larger.",
            }
        )
    sizes = {group["key"]: len(group["rows"]) for group in groups}
    if spec.kind == "pooled" and spec.model.overall:
        caveats += [dataclasses.asdict(item) for item in level_caveats(spec.model.group_by, sizes)]
    alone = [group["label"] for group in groups if group["label"] and len(group["rows"]) == 1]
    if alone:
        caveats.append(
            {
                "code": "group_of_one",
                "message": f"Only one trial: {', '.join(alone)}.",
            }
        )
    return caveats


def _assumed_words(rows: list[dict[str, Any]]) -> str:
    """Return each assumption in words with the trials it is made for."""
    trials: dict[str, list[str]] = {}
    for row in rows:
        if row["assumption"]:
            parts = dict.fromkeys(row["assumption"].split("; "))
            words = ", ".join(_part_words(part) for part in parts)
            trials.setdefault(words, []).append(row["label"])
    return "; ".join(
        f"{words} ({', '.join(dict.fromkeys(names))})" for words, names in sorted(trials.items())
    )


def _part_words(part: str) -> str:
    """Return ``correlation=0.5`` or ``n of placebo = 37`` as a reader would say it."""
    name, _, value = (piece.strip() for piece in part.partition("="))
    if name == "correlation":
        return f"a within-person correlation of {value}"
    return f"{value} people on {name.removeprefix('n of ')}"
