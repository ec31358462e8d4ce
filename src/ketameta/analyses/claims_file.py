"""Reads ``data/claims.toml``; every problem is said at once, with the allowed words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ketameta.analyses.claims import RULES, SOURCES, Claim, RegisteredTrials, begins_with
from ketameta.errors import SpecError, did_you_mean
from ketameta.findings import Finding, file_finding
from ketameta.textfiles import read_toml


def load_claims(
    path: Path,
    analyses: Sequence[str],
    interventions: Sequence[str] | None = None,
    conditions: Sequence[str] | None = None,
) -> list[Claim]:
    """Return the claims of ``data/claims.toml``; none when there is no such file.

    Parameters
    ----------
    path : Path
    analyses : sequence of str
        Names that a claim may use.
    interventions : sequence of str, optional
        Words of the data for what is given; others are refused.
    conditions : sequence of str, optional
        Conditions of the registry table; a claim about registered trials names one of them.

    Raises
    ------
    SpecError
        With every problem: a key that does not exist (``verdict`` among them), an analysis that
        does not exist, a missing text, a repeated id, a registry rule without its table.
    """
    claims, findings = read_claims(path, analyses, interventions, conditions)
    if any(finding.is_error for finding in findings):
        raise SpecError("", findings)
    return claims


def read_claims(
    path: Path,
    analyses: Sequence[str],
    interventions: Sequence[str] | None = None,
    conditions: Sequence[str] | None = None,
) -> tuple[list[Claim], tuple[Finding, ...]]:
    """Return the claims of a file, and everything that is wrong with it.

    Parameters
    ----------
    path : Path
    analyses, interventions, conditions : sequence of str
        As for :func:`load_claims`.
    """
    file = f"{path.parent.name}/{path.name}"
    raw, lines, findings = read_toml(path, file)
    if raw is None:
        return [], findings
    reader = _Reader(analyses, interventions, conditions)
    claims = reader.claims(raw)
    starts = [number for number, line in enumerate(lines, 1) if line.strip() == "[[claim]]"]
    wrong = []
    for place, problem in zip(reader.places, reader.problems, strict=True):
        why, _, remedy = problem.partition("; ")
        line = starts[place] if place is not None and place < len(starts) else 0
        wrong.append(file_finding("claim", file, why, remedy, line=line))
    return claims, (*findings, *wrong)


class _Reader:
    """Collects the problems of the file while it is read, each with the place of its claim."""

    def __init__(
        self,
        analyses: Sequence[str],
        interventions: Sequence[str] | None,
        conditions: Sequence[str] | None,
    ) -> None:
        self.analyses, self.interventions = analyses, interventions
        self.conditions = conditions
        self.problems: list[str] = []
        self.places: list[int | None] = []

    def claims(self, raw: Mapping[str, Any]) -> list[Claim]:
        self.problems += [
            f"{key}: no such table{did_you_mean(key, ['claim'])}; write [[claim]]"
            for key in raw
            if key != "claim"
        ]
        entries = raw.get("claim", [])
        if not (isinstance(entries, list) and all(isinstance(item, dict) for item in entries)):
            self.problems.append("claim: write [[claim]] tables")
            entries = []
        self.places = [None] * len(self.problems)
        claims: list[Claim] = []
        for place, entry in enumerate(entries):
            claims.append(self._claim(entry))
            if claims[-1].id in [claim.id for claim in claims[:-1]]:
                self.problems.append(f"{claims[-1].id}: this id stands twice")
            self.places += [place] * (len(self.problems) - len(self.places))
        return claims

    def _claim(self, entry: Mapping[str, Any]) -> Claim:
        name = str(entry.get("id", "a claim without id"))
        allowed = [item.name for item in fields(Claim)]
        for key in entry:
            if key == "verdict":
                self.problems.append(f"{name}: a verdict is computed, never typed; remove it")
            elif key not in allowed:
                self.problems.append(
                    f"{name}: no such key {key!r}{did_you_mean(key, allowed)} "
                    f"(allowed: {', '.join(allowed)})"
                )
        self._texts(name, entry)
        for key, choices in (("rule", tuple(RULES)), ("source", SOURCES)):
            if entry.get(key) not in choices:
                hint = did_you_mean(str(entry.get(key)), choices)
                self.problems.append(
                    f"{name}: {key} is {entry.get(key)!r}; choose {' or '.join(choices)}{hint}"
                )
        named = {key: self._names(name, entry, key) for key in ("analyses", "indirect")}
        rule = str(entry.get("rule", ""))
        if rule in RULES and rule != "registered" and not named["analyses"]:
            self.problems.append(f"{name}: name at least one analysis that tests it")
        if rule == "registered" and named["analyses"]:
            self.problems.append(
                f"{name}: the registry decides a claim with the rule 'registered'; name analyses "
                "in indirect, not in analyses"
            )
        return Claim(
            id=name,
            claim=str(entry.get("claim", "")),
            made_at=str(entry.get("made_at", "")),
            cites=str(entry.get("cites", "")),
            would_support=str(entry.get("would_support", "")),
            source=str(entry.get("source", "")),
            analyses=named["analyses"],
            indirect=named["indirect"],
            rule=rule,
            registered=self._registered(name, entry, rule),
        )

    def _texts(self, name: str, entry: Mapping[str, Any]) -> None:
        for key in ("id", *_TEXTS):
            if not entry.get(key):
                self.problems.append(f"{name}: {key} is missing")
            elif not isinstance(entry[key], str):
                self.problems.append(f"{name}: {key} is {entry[key]!r}; a text is needed")
        if not isinstance(entry.get("cites", ""), str):
            self.problems.append(f"{name}: cites is {entry['cites']!r}; a text is needed")

    def _names(self, name: str, entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
        found = self._words(f"{name}: {key}", entry.get(key, []))
        for analysis in found:
            if analysis not in self.analyses:
                hint = did_you_mean(analysis, self.analyses)
                self.problems.append(
                    f"{name}: {key} names {analysis!r}, which does not exist{hint}"
                )
        return found

    def _words(self, where: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.problems.append(f"{where} is {value!r}; a list of words is needed")
            return ()
        return tuple(value)

    def _registered(
        self, name: str, entry: Mapping[str, Any], rule: str
    ) -> RegisteredTrials | None:
        table = entry.get("registered")
        if rule != "registered":
            if table is not None:
                self.problems.append(
                    f"{name}: registered belongs to a claim with rule = 'registered'"
                )
            return None
        if not isinstance(table, dict):
            self.problems.append(
                f"{name}: the rule 'registered' needs a table such as registered = "
                '{intervention = ["ketamine"], condition = "ADHD"}'
            )
            return None
        allowed = [item.name for item in fields(RegisteredTrials)]
        self.problems += [
            f"{name}: no such key registered.{key}{did_you_mean(key, allowed)} "
            f"(allowed: {', '.join(allowed)})"
            for key in table
            if key not in allowed
        ]
        where = f"{name}: registered.intervention"
        given = self._words(where, table.get("intervention", []))
        if not given:
            self.problems.append(f"{where}: name at least one word")
        for word in given:
            if self.interventions is not None and word not in self.interventions:
                self.problems.append(
                    f"{where}: {word!r} is not known{did_you_mean(word, self.interventions)}"
                )
        return RegisteredTrials(given, self._condition(name, table.get("condition")))

    def _condition(self, name: str, value: Any) -> str:
        where = f"{name}: registered.condition"
        if not (isinstance(value, str) and value.strip()):
            self.problems.append(f"{where} is {value!r}; a text is needed")
            return ""
        if self.conditions is not None and not any(
            begins_with(condition, value) for condition in self.conditions
        ):
            first = sorted({condition.split(";")[0] for condition in self.conditions})
            hint = did_you_mean(value, first)
            self.problems.append(
                f"{where}: no registry entry is about {value!r}{hint} "
                f"(conditions: {'; '.join(first)})"
            )
        return value


_TEXTS = ("claim", "made_at", "would_support")
