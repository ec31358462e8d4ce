"""Tables of the PDF that stand for several results: claims, findings, moderators, registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.numberformat import format_p, plural


def claim_rows(claims: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return each claim with its verdict, what tested it and what stands beside it."""
    return [
        {
            "claim": row["claim"] + (f" (cites: {row['cites']})" if row["cites"] else ""),
            "verdict": row["verdict"],
            "tested": row["registered"]["words"] + "."
            if row["registered"]
            else _listed(row["analyses"]),
            "beside": _listed(row["indirect"]) if row["indirect"] else "none",
        }
        for row in claims
    ]


def _listed(items: Sequence[Mapping[str, Any]]) -> str:
    return " ".join(_evidence(item) for item in items)


def _evidence(item: Mapping[str, Any]) -> str:
    """Return what one analysis found: trials, people, effect and where its interval lies."""
    if item["sentence"]:
        return f"{item['title']}: {item['sentence']}"
    return f"{item['title']}: {'; '.join(_found(row) for row in item['found'])}."


def _found(row: Mapping[str, Any]) -> str:
    group = f"{row['group']}: " if row["group"] else ""
    if row["k"] == 0:
        return f"{group}no eligible trial"
    people = (
        "number of people not printed"
        if row["people"] == "not printed"
        else f"{row['people']} people"
    )
    return f"{group}{plural(row['k'], 'trial')}, {people}; {row['effect']}, {row['direction']}"


def finding_rows(findings: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the summary of findings of the questions with a trial."""
    return [
        [
            row["title"],
            row["directness"],
            str(row["k"]),
            row["people"],
            f"{row['effect']}; {row['direction']}",
            row["absolute"],
            row["certainty"].partition(":")[0],
        ]
        for row in findings
        if row["k"] > 0
    ]


def empty_words(findings: Sequence[Mapping[str, Any]]) -> str:
    """Return the questions without a trial."""
    empty = [row["title"] for row in findings if row["k"] == 0]
    if not empty:
        return ""
    return f"No eligible trial ({plural(len(empty), 'question')}): {'; '.join(empty)}."


def moderator_rows(tests: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return every moderator with its test, or why there is none."""
    return [
        [
            row["title"],
            f"{row['label']} ({'within' if row['kind'] == 'within' else 'between'} trials, "
            f"{row['status']})",
            str(row["k"]),
            *_test(row),
        ]
        for row in tests
    ]


def _test(row: Mapping[str, Any]) -> tuple[str, str, str]:
    if row["p_value"] is None:
        return "not tested", "", row["withheld"]
    permuted = row["p_permuted"]
    words = format_p(row["p_value"])
    if permuted is not None:
        words += f"; permuted {format_p(permuted)}"
    return words, format_p(row["p_holm"]), row["rating"]
