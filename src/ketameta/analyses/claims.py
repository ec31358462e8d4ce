"""The claims ledger: public claims, the analyses that test them, and computed verdicts.

A verdict is a function of results and of the registry; no file can hold one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypedDict

from pydantic import AfterValidator, ValidationInfo

from ketameta.analyses.result import AnalysisResult
from ketameta.analyses.sentences import compared_otherwise, given_in
from ketameta.declared import (
    Known,
    NeededText,
    Problem,
    Table,
    Text,
    Words,
    one_of,
    problem,
    validate,
    words_of,
)
from ketameta.errors import did_you_mean
from ketameta.evidence.findings import Finding, key_finding, read_entries
from ketameta.evidence.tables import Row
from ketameta.formatting import plural, trials_words

#: How a verdict is reached, by rule, in words.
RULES: Mapping[str, str] = {
    "benefit": "Supported when, in at least one of these analyses with two trials or more (a "
    "pooled report of several trials counts as one), the whole interval lies on the side of "
    "benefit, and in none on the other side; contradicted in the reverse case; otherwise "
    "uncertain.",
    "harm": "Supported when, in at least one of these analyses with two trials or more (a pooled "
    "report of several trials counts as one), the whole interval lies on the side of more harm, "
    "and in none on the side of less; contradicted in the reverse case; otherwise uncertain. "
    "Where no trial can be counted: counted only in other comparisons when trials of those count "
    "it, else known from labels or other designs when the facts about harm tell of it.",
    "difference": "Supported when, in an analysis of two trials or more, the whole interval of the "
    "difference between the groups lies on one side of no difference; otherwise uncertain.",
    "registered": "Supported when the registry table has such a trial that is planned or running; "
    "contradicted when it has such trials and all of them have ended; none registered found when "
    "it has none.",
}
SOURCES = ("general", "traced", "untraceable")
SUPPORTED = "supported"
CONTRADICTED = "contradicted"
UNCERTAIN = "uncertain"
NOT_TESTED = "no eligible trial found"
NONE_REGISTERED = "none registered found"
KNOWN_ELSEWHERE = "known from labels or other designs; not countable here"
COUNTED_ELSEWHERE = "counted only in other comparisons"
UNTRACEABLE = "untraceable source"
#: Statuses of a registered trial that is planned or running.
UNDER_WAY = (
    *("recruiting", "not_yet_recruiting", "enrolling_by_invitation", "active_not_recruiting"),
    "suspended",
)
#: Statuses that say nothing about whether a trial is planned, running or over.
UNTOLD = ("unknown",)


def _condition(value: str, info: ValidationInfo) -> str:
    known = info.context["known"].get("condition") if info.context else None
    if known is not None and not any(begins_with(condition, value) for condition in known):
        first = sorted({condition.split(";")[0] for condition in known})
        raise problem(
            f": no registry entry is about {value!r}{did_you_mean(value, first)} "
            f"(conditions: {', '.join(first)})"
        )
    return value


class RegisteredTrials(Table):
    """Which entries of ``data/registry.csv`` a claim is about.

    Attributes
    ----------
    intervention : tuple of str
        Words of which one must stand in what is given.
    condition : str
        What the condition begins with.
    """

    intervention: Annotated[Words, words_of(least="name at least one word")] = ()
    condition: Annotated[NeededText, AfterValidator(_condition)] = ""

    def of(self, registry: Sequence[Row]) -> list[Row]:
        """Return the entries that fit."""
        words = set(self.intervention)
        return [
            row
            for row in registry
            if words & set(re.findall(r"\w+", row["intervention"].lower()))
            and begins_with(row["condition"], self.condition)
        ]


class Estimated(TypedDict):
    """A main result that an analysis found for a claim."""

    group: str
    sources: str
    k: int
    pools: int
    people: str
    effect: str
    direction: str


class Tested(TypedDict):
    """What one analysis found for a claim; ``sentence`` where it has no main result."""

    name: str
    title: str
    directness: str
    k: int
    found: list[Estimated]
    sentence: str


class Entries(TypedDict):
    """The registered trials that a claim is about, of how many entries."""

    looked_at: int
    found: list[dict[str, str]]
    words: str


class Judged(TypedDict):
    """A claim with its verdict and what it rests on; ``said`` adds what was given, and to whom."""

    id: str
    claim: str
    made_at: str
    cites: str
    would_support: str
    source: str
    rule: str
    rule_words: str
    verdict: str
    said: str
    analyses: list[Tested]
    indirect: list[Tested]
    facts: list[str]
    registered: Entries | None


def begins_with(condition: str, word: str) -> bool:
    """Return whether a condition begins with a word or phrase, whatever the capitals."""
    return re.match(rf"{re.escape(word)}\b", condition, re.IGNORECASE) is not None


#: Words of which the data know each, and none where none is needed.
_Known = Annotated[Words, words_of()]


class Claim(Table):
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
    facts : tuple of str
        Harms of ``harm_facts.csv`` that no deciding analysis can count.
    """

    id: NeededText = ""
    claim: NeededText = ""
    made_at: NeededText = ""
    cites: Text = ""
    would_support: NeededText = ""
    source: Annotated[str, one_of(SOURCES)] = ""
    analyses: _Known = ()
    indirect: _Known = ()
    rule: Annotated[str, one_of(tuple(RULES))] = ""
    registered: RegisteredTrials | None = None
    facts: _Known = ()

    def told(self, facts: Sequence[Row]) -> list[Row]:
        """Return the facts about harm that the claim names."""
        return [row for row in facts if row["harm"] in self.facts]


def verdict(
    claim: Claim,
    results: Mapping[str, AnalysisResult],
    registry: Sequence[Row] = (),
    facts: Sequence[Row] = (),
) -> str:
    """Return the verdict on a claim.

    Parameters
    ----------
    claim : Claim
    results : mapping
        Of the analyses that decide it.
    registry : sequence of Row
        Rows of ``data/registry.csv``.
    facts : sequence of Row
        Rows of ``data/harm_facts.csv``.

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
        if any(map(compared_otherwise, deciding)):
            return COUNTED_ELSEWHERE
        return KNOWN_ELSEWHERE if claim.told(facts) else NOT_TESTED
    sides = {_side(result) for result in deciding if result["k"] > 0}
    if claim.rule == "difference":
        return SUPPORTED if len(sides - {0}) == 1 else UNCERTAIN
    claimed = -1 if claim.rule == "benefit" else 1
    if claimed in sides and -claimed not in sides:
        return SUPPORTED
    if -claimed in sides and claimed not in sides:
        return CONTRADICTED
    return UNCERTAIN


def _registered(found: Sequence[Row]) -> str:
    """Return the verdict on a claim that trials are planned or running."""
    if not found:
        return NONE_REGISTERED
    statuses = {row["status"] for row in found}
    if statuses & set(UNDER_WAY):
        return SUPPORTED
    return UNCERTAIN if statuses & set(UNTOLD) else CONTRADICTED


def _side(result: AnalysisResult) -> int:
    """Return on which side of no difference the whole interval lies; 0 when it includes it."""
    if result["k"] < 2:
        return 0
    return {"lower": -1, "higher": 1}.get(result["headline"]["side"], 0)


def ledger(
    claims: Sequence[Claim],
    results: Mapping[str, AnalysisResult],
    registry: Sequence[Row] = (),
    facts: Sequence[Row] = (),
) -> list[Judged]:
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
            "verdict": (judged := verdict(claim, results, registry, facts)),
            "said": _said(judged, [results[name] for name in claim.analyses]),
            "analyses": [_evidence(results[name]) for name in claim.analyses],
            "indirect": [_evidence(results[name]) for name in claim.indirect],
            "facts": [fact_words(row) for row in claim.told(facts)],
            "registered": _entries(claim, registry),
        }
        for claim in claims
    ]


def _said(judged: str, deciding: Sequence[AnalysisResult]) -> str:
    """Return a verdict with what the trials that decide it gave, and to whom."""
    found = [result for result in deciding if result["k"]]
    given = dict.fromkeys(name for result in found for name in given_in(result))
    people = dict.fromkeys(result["headline"]["population"] for result in found)
    return f"{judged} ({', '.join(given)}, in {', '.join(people)})" if found else judged


def fact_words(row: Row) -> str:
    """Return one fact about harm as a sentence: how often, of whom, in what kind of source."""
    percent, events, n = (row.number(name) for name in ("percent", "events", "n"))
    mean, sd = row.number("mean"), row.number("sd")
    said = row["statement"]
    if events is not None:
        said = f"{events:g}" + (f" of {n:g}" if n is not None else "")
        said += f" ({row['percent']}%)" if percent is not None else ""
    elif percent is not None:
        said = f"{row['percent']}%" + (f" of {n:g}" if n is not None else "")
    elif mean is not None:
        said = f"mean {row['mean']}" + (f" (SD {row['sd']})" if sd is not None else "")
    more = row["statement"] if said != row["statement"] and row["statement"] else ""
    told = "; ".join(part for part in (said, more) if part)
    harm, design = (row[name].replace("_", " ") for name in ("harm", "design"))
    people = f"{row['people']}{', ' + row['period'] if row['period'] else ''}"
    return f"{harm[:1].upper()}{harm[1:]}: {told} ({design}, {row['setting']} use; {people})."


def _evidence(result: AnalysisResult) -> Tested:
    """Return what one analysis found: a row per main result, a sentence where there is none."""
    from ketameta.analyses.certainty import summary_of_findings

    rows = summary_of_findings([result])
    whole = result["headline"]["sources"] if result["k"] else ""
    return {
        "name": result["name"],
        "title": result["title"],
        "directness": result["directness"],
        "k": result["k"],
        "found": [
            {
                "group": row["title"].removeprefix(result["title"]).removeprefix(": "),
                "sources": whole
                if row["title"] == result["title"]
                else trials_words(row["k"], row["pools"]),
                "k": row["k"],
                "pools": row["pools"],
                "people": row["people"],
                "effect": row["effect"],
                "direction": row["direction"],
            }
            for row in rows
        ],
        "sentence": "" if rows else result["sentences"][0],
    }


def _entries(claim: Claim, registry: Sequence[Row]) -> Entries | None:
    """Return the registered trials that a claim is about, and how many entries were looked at."""
    if claim.registered is None:
        return None
    found = claim.registered.of(registry)
    given = " or ".join(claim.registered.intervention)
    return {
        "looked_at": len(registry),
        "found": [{key: row[key] for key in ("registry_id", "title", "status")} for row in found],
        "words": f"{plural(len(found), 'entry', 'entries')} of {len(registry)} in the registry "
        f"table: a trial of {given} in {claim.registered.condition}",
    }


def read_claims(path: Path, known: Known) -> tuple[list[Claim], tuple[Finding, ...]]:
    """Return the claims of ``data/claims.toml`` and everything wrong; none without such a file.

    Parameters
    ----------
    path : Path
    known : mapping
        What a claim may name, by key: ``analyses`` and ``indirect``, words of the data for what is
        given (``intervention``), conditions of the registry (``condition``), harms of which the
        table of facts tells (``facts``). A key that is not among them may name anything.
    """
    file = f"{path.parent.name}/{path.name}"
    entries, lines, findings = read_entries(path, file, "claim")
    claims: list[Claim] = []
    wrong = []
    for number, written in enumerate(entries):
        stated = {key: value for key, value in written.items() if key != "verdict"}
        claim, problems = validate(Claim, stated, known)
        told: list[Problem | str] = [*problems]
        told += _rules(claim, written, {one.id for one in claims})
        wrong += [key_finding("claim", item, file, lines, ("claim", number)) for item in told]
        claims.append(claim)
    return claims, (*findings, *wrong)


def _rules(claim: Claim, written: Mapping[str, object], seen: Collection[str]) -> Iterator[str]:
    """Yield what contradicts itself across the keys of a claim, or the other claims."""
    if "verdict" in written:
        yield "verdict: a verdict is computed, never typed; remove it"
    if claim.id and claim.id in seen:
        yield f"id: two claims have the id {claim.id!r}; give each its own"
    by_registry = claim.rule == "registered"
    if claim.rule and not by_registry and not written.get("analyses"):
        yield "analyses: nothing decides the claim; name at least one analysis that tests it"
    if by_registry and claim.analyses:
        yield (
            "analyses: the registry decides a claim with the rule 'registered'; name analyses in "
            "indirect"
        )
    if by_registry and "registered" not in written:
        yield (
            "registered: the rule 'registered' needs a table; write one such as registered = "
            '{intervention = ["a word of the registry"], condition = "another"}'
        )
    if claim.rule and not by_registry and "registered" in written:
        yield "registered: belongs to a claim with rule = 'registered'; remove it"
