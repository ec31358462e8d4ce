"""The project before and after a batch: effect tables, selections and results, computed once each.

Holds no words for readers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ketameta.errors import KetametaError
from ketameta.evidence import Evidence, Row

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.effect_table import EffectTable
    from ketameta.study_facts import Assumptions


#: Tables whose rows can become effects.
RESULT_TABLES = ("outcomes", "contrasts")


@dataclass(frozen=True, slots=True)
class LeftRow:
    """A row of the batch that yields no effect, or an effect that an analysis sets aside."""

    source: str
    row: str
    reason: str
    analysis: str = ""


def without_files(evidence: Evidence, prefix: str) -> Evidence:
    """Return evidence without the rows of files that start with ``prefix``."""
    return Evidence(
        {
            name: tuple(row for row in rows if not row.file.startswith(prefix))
            for name, rows in evidence.tables.items()
        },
        evidence.refused,
    )


def with_results(evidence: Evidence, keep: Callable[[Row], bool]) -> Evidence:
    """Return evidence with those rows of its result tables that ``keep`` says yes to."""
    tables = dict(evidence.tables)
    for name in RESULT_TABLES:
        tables[name] = tuple(row for row in evidence.rows(name) if keep(row))
    return replace(evidence, tables=tables)


def is_of(source: str, prefix: str) -> bool:
    """Return whether a place, or one of several, lies in the batch."""
    return any(part.startswith(prefix) for part in source.split(";"))


class Moments:
    """Effect tables, selections and results of the project before and after a batch."""

    def __init__(self, before: Evidence, after: Evidence) -> None:
        self.before, self.after = before, after
        self._tables: dict[Any, tuple[EffectTable, EffectTable]] = {}
        self._chosen: dict[str, tuple[Any, Any]] = {}
        self._results: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def tables(self, spec: AnalysisSpec) -> tuple[EffectTable, EffectTable]:
        """Return the effects in reach of an analysis, before and after.

        Effects never reach across outcomes, so that the rows of other outcomes can be left out.
        """
        from ketameta.effect_table import derive_effects

        outcomes = frozenset(spec.select.outcome)
        key = (spec.assume, outcomes)
        if key not in self._tables:
            one, two = (
                with_results(evidence, lambda row: row["outcome"] in outcomes)
                for evidence in (self.before, self.after)
            )
            self._tables[key] = (
                derive_effects(one, spec.assume),
                derive_effects(two, spec.assume),
            )
        return self._tables[key]

    def own_table(self, assumed: Assumptions, prefix: str) -> EffectTable:
        """Return the effects, after, of every study that the batch has results of."""
        from ketameta.effect_table import derive_effects

        studies = {
            row["study_id"]
            for table in RESULT_TABLES
            for row in self.after.rows(table)
            if row.file.startswith(prefix)
        }
        own = with_results(self.after, lambda row: row["study_id"] in studies)
        return derive_effects(own, assumed)

    def touches(self, spec: AnalysisSpec, prefix: str) -> bool:
        """Return whether the batch says anything about an outcome, study or arm of ``spec``."""
        outcomes = set(spec.select.outcome)
        studies = set()
        for table in RESULT_TABLES:
            for row in self.after.rows(table):
                if row["outcome"] in outcomes:
                    if row.file.startswith(prefix):
                        return True
                    studies.add(row["study_id"])
        return any(
            row["study_id"] in studies
            for table in ("studies", "arms", "risk_of_bias")
            for row in self.after.rows(table)
            if row.file.startswith(prefix)
        )

    def selected(self, spec: AnalysisSpec, prefix: str) -> tuple[list[str], list[LeftRow]]:
        """Return the batch's effects that ``spec`` uses, and those it sets aside."""
        chosen = self._selections(spec)[1]
        used = [
            row["effect_id"]
            for row in chosen.used.to_dict("records")
            if is_of(str(row["source"]), prefix)
        ]
        left = [
            LeftRow(str(row["source"]), effect_words(row), str(row["reason"]), spec.title)
            for row in chosen.set_aside.to_dict("records")
            if is_of(str(row["source"]), prefix)
        ]
        return used, left

    def _selections(self, spec: AnalysisSpec) -> tuple[Any, Any]:
        from ketameta.analyses.selection import select_effects

        if spec.name not in self._chosen:
            one, two = self.tables(spec)
            self._chosen[spec.name] = (
                select_effects(spec, one, self.before),
                select_effects(spec, two, self.after),
            )
        return self._chosen[spec.name]

    def differs(self, spec: AnalysisSpec) -> bool:
        """Return whether the effects that enter ``spec``, or facts about them, differ."""
        texts = [
            chosen.used.drop(columns=["source"], errors="ignore").to_csv(index=False)
            for chosen in self._selections(spec)
        ]
        return texts[0] != texts[1]

    def results(self, spec: AnalysisSpec) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the results of ``spec`` before and after.

        Raises
        ------
        KetametaError
            If it cannot be computed, naming the analysis.
        """
        from ketameta.analyses.run import run_analysis

        if spec.name not in self._results:
            one, two = self.tables(spec)
            try:
                self._results[spec.name] = (
                    run_analysis(spec, one, self.before),
                    run_analysis(spec, two, self.after),
                )
            except KetametaError as error:
                raise type(error)(
                    f"{spec.title} ({spec.name}) cannot be computed: {error}"
                ) from None
        return self._results[spec.name]


def effect_words(row: Mapping[str, Any]) -> str:
    """Return an effect in words: trial, arms, outcome, instrument, day."""
    days = row["time_days"]
    parts = [
        str(row["study_id"]),
        f"{row['arm_id']} v {row['comparator_arm_id']}".removesuffix(" v "),
        str(row["outcome"]),
        str(row["instrument"]),
        f"day {days:g}" if days == days and days is not None else "",
        str(row.get("subgroup", "")),
        str(row.get("data_kind", "")),
    ]
    return ", ".join(part for part in parts if part)
