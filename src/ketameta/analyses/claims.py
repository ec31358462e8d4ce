"""The claims ledger: public claims, the analyses that test them, and computed verdicts.

A verdict is a function of results; the file cannot hold one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ketameta.errors import SpecError, did_you_mean

RULES = ("benefit", "harm")
SOURCES = ("general", "traced", "untraceable")
SUPPORTED = "supported"
CONTRADICTED = "contradicted"
UNCERTAIN = "uncertain"
NOT_TESTED = "not tested: no eligible trial"
UNTRACEABLE = "untraceable source"


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
        Analyses that decide the verdict.
    indirect : tuple of str
        Analyses shown beside it that never decide it.
    rule : str
        ``benefit`` or ``harm``: which side of no difference supports the claim.
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


def load_claims(path: Path, analyses: Sequence[str]) -> list[Claim]:
    """Return the claims of ``data/claims.toml``; none when there is no such file.

    Raises
    ------
    SpecError
        With every problem: a key that does not exist (``verdict`` among them), an analysis that
        does not exist, a missing text, a repeated id.
    """
    if not path.is_file():
        return []
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8")).get("claim", [])
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path.name}: cannot be read as TOML: {error}") from error
    problems: list[str] = []
    claims = [_claim(entry, analyses, problems) for entry in raw]
    names = [claim.id for claim in claims]
    problems += [
        f"{name}: this id stands twice" for name in sorted(set(names)) if names.count(name) > 1
    ]
    if problems:
        raise SpecError(f"data/{path.name}:\n" + "\n".join(f"  {line}" for line in problems))
    return claims


def _claim(entry: Mapping[str, Any], analyses: Sequence[str], problems: list[str]) -> Claim:
    name = str(entry.get("id", "a claim without id"))
    allowed = [item.name for item in fields(Claim)]
    for key in entry:
        if key == "verdict":
            problems.append(f"{name}: a verdict is computed, never typed; remove it")
        elif key not in allowed:
            problems.append(f"{name}: no such key {key!r}{did_you_mean(key, allowed)}")
    problems += [
        f"{name}: {key} is missing"
        for key in ("id", "claim", "made_at", "would_support")
        if not entry.get(key)
    ]
    for key, choices in (("rule", RULES), ("source", SOURCES)):
        if entry.get(key) not in choices:
            problems.append(f"{name}: {key} is {entry.get(key)!r}; choose {' or '.join(choices)}")
    for key in ("analyses", "indirect"):
        for analysis in entry.get(key, []):
            if analysis not in analyses:
                hint = did_you_mean(analysis, analyses)
                problems.append(f"{name}: {key} names {analysis!r}, which does not exist{hint}")
    if not entry.get("analyses"):
        problems.append(f"{name}: name at least one analysis that tests it")
    return Claim(
        id=name,
        claim=str(entry.get("claim", "")),
        made_at=str(entry.get("made_at", "")),
        cites=str(entry.get("cites", "")),
        would_support=str(entry.get("would_support", "")),
        source=str(entry.get("source", "")),
        analyses=tuple(entry.get("analyses", [])),
        indirect=tuple(entry.get("indirect", [])),
        rule=str(entry.get("rule", "")),
    )


def verdict(claim: Claim, results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the verdict on a claim.

    Notes
    -----
    Untraceable sources are said to be so, whatever the analyses show. Otherwise: no trial in any
    deciding analysis, *not tested*; an interval wholly on the claimed side in one of them and on
    the other side in none, *supported*; the reverse, *contradicted*; anything else, *uncertain*.
    A single trial can at most leave a claim uncertain.
    """
    if claim.source == "untraceable":
        return UNTRACEABLE
    deciding = [results[name] for name in claim.analyses]
    if all(result["k"] == 0 for result in deciding):
        return NOT_TESTED
    sides = {_side(result) for result in deciding if result["k"] > 0}
    claimed = -1 if claim.rule == "benefit" else 1
    if claimed in sides and -claimed not in sides:
        return SUPPORTED
    if -claimed in sides and claimed not in sides:
        return CONTRADICTED
    return UNCERTAIN


def _side(result: Mapping[str, Any]) -> int:
    """Return on which side of no difference the whole interval lies; 0 when it includes it."""
    pooled = result["pooled"]
    if result["k"] < 2 or pooled is None or pooled["ci_low"] is None:
        return 0
    if pooled["ci_high"] < 0:
        return -1
    return 1 if pooled["ci_low"] > 0 else 0


def ledger(
    claims: Sequence[Claim], results: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows of the ledger: each claim with its verdict and what it rests on."""
    return [
        {
            "id": claim.id,
            "claim": claim.claim,
            "made_at": claim.made_at,
            "cites": claim.cites,
            "would_support": claim.would_support,
            "verdict": verdict(claim, results),
            "analyses": [
                {"name": name, "title": results[name]["title"], "k": results[name]["k"]}
                for name in claim.analyses
            ],
            "indirect": [
                {
                    "name": name,
                    "title": results[name]["title"],
                    "k": results[name]["k"],
                    "sentence": results[name]["sentences"][0],
                }
                for name in claim.indirect
            ],
        }
        for claim in claims
    ]
