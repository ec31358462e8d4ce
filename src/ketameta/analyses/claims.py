"""The claims ledger: public claims, the analyses that test them, and computed verdicts.

A verdict is a function of results and of the registry; no file can hold one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ketameta.numberformat import plural

#: How a verdict is reached, by rule, in words.
RULES: Mapping[str, str] = {
    "benefit": "Supported when, in at least one of these analyses with two trials or more, the "
    "whole interval lies on the side of benefit, and in none on the other side; contradicted in "
    "the reverse case; otherwise uncertain.",
    "harm": "Supported when, in at least one of these analyses with two trials or more, the whole "
    "interval lies on the side of more harm, and in none on the side of less; contradicted in the "
    "reverse case; otherwise uncertain.",
    "difference": "Supported when, in an analysis of two trials or more, the whole interval of the "
    "difference between the groups lies on one side of no difference; otherwise uncertain.",
    "registered": "Supported when the registry table has such a trial that is planned or running; "
    "contradicted when it has such trials and all of them have ended; not tested when it has none.",
}
SOURCES = ("general", "traced", "untraceable")
SUPPORTED = "supported"
CONTRADICTED = "contradicted"
UNCERTAIN = "uncertain"
NOT_TESTED = "not tested: no eligible trial"
UNTRACEABLE = "untraceable source"
#: Statuses of a registered trial that is planned or running.
UNDER_WAY = (
    *("recruiting", "not_yet_recruiting", "enrolling_by_invitation", "active_not_recruiting"),
    "suspended",
)
#: Statuses that say nothing about whether a trial is planned, running or over.
UNTOLD = ("unknown",)


@dataclass(frozen=True, slots=True)
class RegisteredTrials:
    """Which entries of ``data/registry.csv`` a claim is about.

    Attributes
    ----------
    intervention : tuple of str
        Words of which one must stand in what is given.
    condition : str
        What the condition begins with.
    """

    intervention: tuple[str, ...]
    condition: str

    def of(self, registry: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the entries that fit."""
        words = set(self.intervention)
        return [
            row
            for row in registry
            if words & set(re.findall(r"\w+", str(row["intervention"]).lower()))
            and begins_with(str(row["condition"]), self.condition)
        ]


def begins_with(condition: str, word: str) -> bool:
    """Return whether a condition begins with a word or phrase, whatever the capitals."""
    return re.match(rf"{re.escape(word)}\b", condition, re.IGNORECASE) is not None


@dataclass(frozen=True, slots=True)
class Claim:
    """One public claim.

    Attributes
    ----------
    id, claim, made_at, cites, would_support : str
        Name, the claim in our own words, where it is made, what it cites there, and what evidence
        would support it.
    source : str
        ``general``, ``traced`` or ``untraceable`` (no study could be found behind it).
    analyses : tuple of str
        Analyses that decide the verdict; none where the registry does.
    indirect : tuple of str
        Analyses shown beside it that never decide it.
    rule : str
        One of ``RULES``.
    registered : RegisteredTrials or None
        For the rule ``registered``.
    """

    id: str
    claim: str
    made_at: str
    cites: str
    would_support: str
    source: str
    analyses: tuple[str, ...]
    indirect: tuple[str, ...]
    rule: str
    registered: RegisteredTrials | None = None


def verdict(
    claim: Claim,
    results: Mapping[str, Mapping[str, Any]],
    registry: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the verdict on a claim.

    Parameters
    ----------
    claim : Claim
    results : mapping
        Of the analyses that decide it.
    registry : sequence of mapping
        Rows of ``data/registry.csv``.

    Notes
    -----
    Untraceable sources are said to be so, whatever the analyses show. Otherwise: no trial in any
    deciding analysis, *not tested*; an interval wholly on the claimed side in one of them and on
    the other side in none, *supported*; the reverse, *contradicted*; anything else, *uncertain*.
    A single trial can at most leave a claim uncertain. A claim of a difference between groups names
    no side: either one supports it, and none contradicts it.
    """
    if claim.source == "untraceable":
        return UNTRACEABLE
    if claim.registered is not None:
        return _registered(claim.registered.of(registry))
    deciding = [results[name] for name in claim.analyses]
    if all(result["k"] == 0 for result in deciding):
        return NOT_TESTED
    sides = {_side(result) for result in deciding if result["k"] > 0}
    if claim.rule == "difference":
        return SUPPORTED if len(sides - {0}) == 1 else UNCERTAIN
    claimed = -1 if claim.rule == "benefit" else 1
    if claimed in sides and -claimed not in sides:
        return SUPPORTED
    if -claimed in sides and claimed not in sides:
        return CONTRADICTED
    return UNCERTAIN


def _registered(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the verdict on a claim that trials are planned or running."""
    if not found:
        return NOT_TESTED
    statuses = {str(row["status"]) for row in found}
    if statuses & set(UNDER_WAY):
        return SUPPORTED
    return UNCERTAIN if statuses & set(UNTOLD) else CONTRADICTED


def _side(result: Mapping[str, Any]) -> int:
    """Return on which side of no difference the whole interval lies; 0 when it includes it."""
    pooled = result["pooled"]
    if result["k"] < 2 or pooled is None or pooled["ci_low"] is None:
        return 0
    if pooled["ci_high"] < 0:
        return -1
    return 1 if pooled["ci_low"] > 0 else 0


def ledger(
    claims: Sequence[Claim],
    results: Mapping[str, Mapping[str, Any]],
    registry: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Return the rows of the ledger: each claim with its verdict and what it rests on.

    The numbers beside a claim are those of the summary of findings.
    """
    return [
        {
            "id": claim.id,
            "claim": claim.claim,
            "made_at": claim.made_at,
            "cites": claim.cites,
            "would_support": claim.would_support,
            "source": claim.source,
            "rule": claim.rule,
            "rule_words": RULES[claim.rule],
            "verdict": verdict(claim, results, registry),
            "analyses": [_evidence(results[name]) for name in claim.analyses],
            "indirect": [_evidence(results[name]) for name in claim.indirect],
            "registered": _entries(claim, registry),
        }
        for claim in claims
    ]


def _evidence(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one analysis found: a row per main result, a sentence where there is none."""
    from ketameta.analyses.certainty import summary_of_findings

    rows = summary_of_findings([result])
    return {
        "name": result["name"],
        "title": result["title"],
        "directness": result["directness"],
        "k": result["k"],
        "found": [
            {
                "group": row["title"].removeprefix(result["title"]).removeprefix(": "),
                **{key: row[key] for key in ("k", "people", "effect", "direction")},
            }
            for row in rows
        ],
        "sentence": "" if rows else result["sentences"][0],
    }


def _entries(claim: Claim, registry: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the registered trials that a claim is about, and how many entries were looked at."""
    if claim.registered is None:
        return None
    found = claim.registered.of(registry)
    given = " or ".join(claim.registered.intervention)
    return {
        "looked_at": len(registry),
        "found": [
            {key: str(row[key]) for key in ("registry_id", "title", "status")} for row in found
        ],
        "words": f"{plural(len(found), 'entry', 'entries')} of {len(registry)} in the registry "
        f"table: a trial of {given} in {claim.registered.condition}",
    }
