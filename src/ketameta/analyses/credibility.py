"""How far a difference between levels of a moderator can be believed.

One entry per moderator analysis: its test, a permutation test where trials are few, differences
from the reference level, and the questions of :mod:`ketameta.analyses.credibility_questions`, whose
answers read numbers as published.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses import credibility_questions as ask
from ketameta.analyses.credibility_tests import level_differences, permuted, permuted_levels
from ketameta.analyses.moderators import SHARED, coding_of, compared_levels, in_several_levels
from ketameta.analyses.spec import CONTINUOUS_MODERATORS
from ketameta.analyses.words import words_of
from ketameta.models.multiplicity import holm
from ketameta.models.results import plain
from ketameta.numberformat import published

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec

Rows = Sequence[Mapping[str, Any]]


def has_levels(spec: AnalysisSpec) -> bool:
    """Return whether an analysis compares levels of a moderator between trials."""
    return (
        spec.kind == "pooled"
        and bool(spec.model.group_by)
        and spec.model.overall
        and not spec.model.over_time
    )


def moderator_analyses(specs: Sequence[AnalysisSpec], outcomes: Sequence[str]) -> int:
    """Return how many moderator analyses of any of these outcomes there are."""
    return sum(
        has_levels(spec) + (spec.kind == "within_trial") + len(spec.regressions.moderators)
        for spec in specs
        if set(spec.select.outcome) & set(outcomes)
    )


def credibility(
    spec: AnalysisSpec,
    result: Mapping[str, Any],
    rows: Rows,
    regressions: Sequence[Mapping[str, Any]],
    specs: Sequence[AnalysisSpec],
) -> list[dict[str, Any]]:
    """Return what can be said of every moderator of an analysis.

    Parameters
    ----------
    spec : AnalysisSpec
    result : mapping
        Of the analysis: ``groups``, ``pooled``, ``subgroup_test``.
    rows : sequence of mapping
        One per trial and level.
    regressions : sequence of mapping
        Of :func:`ketameta.analyses.bubble.regressions_of`.
    specs : sequence of AnalysisSpec
        All analyses, to count the moderators tested.

    Returns
    -------
    list of dict
        ``moderator, label, kind`` (``levels``, ``within`` or ``continuous``), ``status``, ``k``,
        ``p_value`` with ``withheld`` (why there is none), ``permutation`` (``p_value, exact,
        iterations, withheld``), ``differences`` (each level from the reference: ``level, reference,
        estimate, ci_low, ci_high, p_value``), ``questions`` (none where nothing can be compared)
        and ``rating``.
    """
    count = moderator_analyses(specs, spec.select.outcome)
    found = []
    if spec.kind == "within_trial":
        found.append(_within(spec, result, rows, count))
    elif has_levels(spec):
        found.append(_levels(spec, result, rows, count))
    found += [_continuous(spec, item, count) for item in regressions]
    shown: list[dict[str, Any]] = published(plain(found))
    return shown


def _entry(
    spec: AnalysisSpec,
    kind: str,
    moderator: str,
    *,
    label: str,
    status: str,
    k: int,
    p_value: float | None,
    withheld: str,
    permutation: Mapping[str, Any],
    differences: list[dict[str, Any]],
    answers: list[ask.Answer],
    comparable: bool,
) -> dict[str, Any]:
    larger = p_value
    if p_value is not None and permutation["p_value"] is not None:
        larger = max(p_value, permutation["p_value"])
    return {
        "analysis": spec.name,
        "title": spec.title,
        "moderator": moderator,
        "label": label,
        "kind": kind,
        "status": status,
        "k": k,
        "p_value": p_value,
        "withheld": withheld,
        "permutation": dict(permutation),
        "differences": differences,
        "questions": [
            {"text": ask.QUESTIONS[answer.question - 1], **dataclasses.asdict(answer)}
            for answer in (answers if comparable else ())
        ],
        "rating": ask.rating(answers, larger),
    }


def _levels(
    spec: AnalysisSpec, result: Mapping[str, Any], rows: Rows, count: int
) -> dict[str, Any]:
    moderator = spec.model.group_by
    sizes = Counter(row["group"] for row in rows)
    ordered = {group["key"]: sizes[group["key"]] for group in result["groups"]}
    levels = compared_levels(moderator, ordered)
    compared = [row for row in rows if row["group"] in levels]
    trials = len({row["study_id"] for row in compared})
    shared = in_several_levels(rows, levels)
    comparable = len(levels) >= 2
    test = published(result["subgroup_test"])
    p_value, withheld = None, ""
    if not comparable:
        withheld = (
            f"Fewer than two levels have {coding_of(moderator).least_per_level} trials: there is "
            "nothing to compare."
        )
    elif shared:
        withheld = SHARED
    elif test is not None:
        p_value, withheld = test["p_value"], test["withheld"]
    permutation = published(permuted_levels(spec, compared, levels, withheld))
    differences = level_differences(spec, result, levels) if p_value is not None else []
    expected = spec.expectation
    return _entry(
        spec,
        "levels",
        moderator,
        label=coding_of(moderator).label,
        status=spec.status,
        k=len({row["study_id"] for row in rows}),
        p_value=p_value,
        withheld=withheld,
        permutation=permutation,
        differences=differences,
        answers=[
            ask.within_or_between("levels", trials, shared),
            ask.similar("levels", 0, None, False),
            ask.number_of_trials("levels", min((sizes[level] for level in levels), default=0)),
            ask.direction(
                spec.status,
                "" if expected is None else words_of(expected.larger_effect_in),
                "" if expected is None else expected.status,
                None if expected is None else _agrees(result, levels, expected.larger_effect_in),
                bool(spec.registration),
            ),
            ask.chance(p_value, permutation["p_value"], withheld),
            ask.few_moderators(count, bool(spec.registration)),
            ask.random_effects_used("random"),
            ask.cut_points("levels", moderator),
        ],
        comparable=comparable,
    )


def _within(
    spec: AnalysisSpec, result: Mapping[str, Any], rows: Rows, count: int
) -> dict[str, Any]:
    moderator = spec.model.group_by
    pooled = published(result["pooled"])
    k = len(rows)
    p_value = None if pooled is None else pooled["p_value"]
    withheld = "" if p_value is not None else "No trial has both levels."
    first, second = spec.model.group_order
    expected = spec.expectation
    agrees = None
    if expected is not None and pooled is not None:
        # The difference is first minus second; benefit has the sign of the first word of favours.
        agrees = (pooled["estimate"] < 0) == (expected.larger_effect_in == first)
    signs = {row["estimate"] > 0 for row in published(rows)}
    return _entry(
        spec,
        "within",
        moderator,
        label=coding_of(moderator).label,
        status=spec.status,
        k=k,
        p_value=p_value,
        withheld=withheld,
        permutation={"p_value": None, "withheld": "A difference within trials is tested as it is."},
        differences=[]
        if pooled is None
        else [
            {
                "level": first,
                "reference": second,
                **{name: pooled[name] for name in ("estimate", "ci_low", "ci_high", "p_value")},
            }
        ],
        answers=[
            ask.within_or_between("within", k, 0),
            ask.similar(
                "within", k, None if pooled is None else pooled["q_p_value"], len(signs) == 1
            ),
            ask.number_of_trials("within", k),
            ask.direction(
                spec.status,
                "" if expected is None else words_of(expected.larger_effect_in),
                "" if expected is None else expected.status,
                agrees,
                bool(spec.registration),
            ),
            ask.chance(p_value, None, withheld),
            ask.few_moderators(count, bool(spec.registration)),
            ask.random_effects_used("random"),
            ask.cut_points("within", moderator),
        ],
        comparable=k > 0,
    )


def _continuous(spec: AnalysisSpec, item: Mapping[str, Any], count: int) -> dict[str, Any]:
    permutation: dict[str, Any] = {"p_value": None, "withheld": item["withheld"]}
    if not item["withheld"]:
        x = np.array([[row["moderator"]] for row in item["rows"]])
        permutation = published(permuted(spec, item["rows"], x))
    p_value = published(item.get("p_value"))
    return _entry(
        spec,
        "continuous",
        item["moderator"],
        label=CONTINUOUS_MODERATORS[item["moderator"]],
        status=item["status"],
        k=item["k"],
        p_value=p_value,
        withheld=item["withheld"],
        permutation=permutation,
        differences=[],
        answers=[
            ask.within_or_between("continuous", item["k"], 0),
            ask.similar("continuous", 0, None, False),
            ask.number_of_trials("continuous", item["k"]),
            ask.direction(item["status"], "", "", None, bool(spec.registration)),
            ask.chance(p_value, permutation["p_value"], item["withheld"]),
            ask.few_moderators(count, bool(spec.registration)),
            ask.random_effects_used("random"),
            ask.cut_points("continuous", item["moderator"]),
        ],
        comparable=not item["withheld"],
    )


def _agrees(result: Mapping[str, Any], levels: Sequence[str], expected: str) -> bool | None:
    """Return whether the expected level has the largest effect in the pooled direction."""
    if expected not in levels or len(levels) < 2:
        return None
    means = {
        group["key"]: published(group["pooled"]["estimate"])
        for group in result["groups"]
        if group["key"] in levels
    }
    side = -1.0 if result["pooled"]["estimate"] < 0 else 1.0
    return max(means, key=lambda level: side * means[level]) == expected


def moderator_table(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return every moderator test of the project with its Holm-adjusted p-value.

    Parameters
    ----------
    results : sequence of mapping
        With ``credibility``.

    Returns
    -------
    list of dict
        ``analysis, title, label, kind, status, k, p_value, p_permuted, p_holm, rating, withheld``;
        the family of the adjustment is all tests that have a p-value, the larger of the two where
        there are two.
    """
    entries = [entry for result in results for entry in result.get("credibility") or ()]
    table = []
    for entry in entries:
        permuted = entry["permutation"]["p_value"]
        table.append(
            {
                **{
                    name: entry[name]
                    for name in ("analysis", "title", "label", "kind", "status", "k", "p_value")
                },
                "p_permuted": permuted,
                "rating": entry["rating"]["words"],
                "withheld": entry["withheld"],
                "p_holm": None,
            }
        )
    tested = [row for row in table if row["p_value"] is not None]
    larger = [max(row["p_value"], row["p_permuted"] or 0.0) for row in tested]
    for row, adjusted in zip(tested, holm(larger), strict=True):
        row["p_holm"] = published(float(adjusted))
    return table
