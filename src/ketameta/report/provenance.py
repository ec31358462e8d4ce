"""From a row of a forest plot back to the cells it came from, with the arithmetic between.

Reads evidence and effects; writes plain data for a card.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ketameta.effects.conversions.arms import ROUTES
from ketameta.evidence.derive import derive_effects
from ketameta.evidence.pairing import ArmSize, Assumptions
from ketameta.evidence.schema import Table
from ketameta.formatting import published
from ketameta.report.worked import (
    Step,
    Worked,
    difference_steps,
    interval_steps,
    join_steps,
    joined_arm_steps,
    worked_arm,
    worked_change,
    worked_contrast,
    worked_counts,
    worked_paired_scores,
    worked_scores,
)

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence.project import Project
    from ketameta.evidence.tables import Evidence, Row


#: Columns of a row that the card says elsewhere.
_ELSEWHERE = frozenset(
    {"study_id", "outcome", "instrument", "locator", "extracted_by", "checked_by", "note",
     "source_url"}
)  # fmt: skip
_KEYS = ("study_id", "arm_id", "comparator_arm_id", "outcome", "instrument", "time_days")


def link_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return address and words of the best link to a source: DOI, PubMed, registry, page."""
    if row.get("doi"):
        return f"https://doi.org/{row['doi']}", f"doi:{row['doi']}"
    if row.get("pmid"):
        return f"https://pubmed.ncbi.nlm.nih.gov/{row['pmid']}/", f"PubMed {row['pmid']}"
    url = str(row.get("source_url") or "")
    if url.startswith(("https://", "http://")):
        return url, url
    registry = str(row.get("registry_id") or "")
    if registry.startswith("NCT"):
        return f"https://clinicaltrials.gov/study/{registry}", registry
    return "", registry or url


def row_hash(effect_ids: Sequence[str], estimate: float, variance: float) -> str:
    """Return a short hash of a row, by which a report of an error says which row it saw."""
    said = f"{' '.join(effect_ids)} {estimate!r} {variance!r}"
    return hashlib.sha256(said.encode("utf-8")).hexdigest()[:12]


class Provenance:
    """Finds the extracted rows and derived effects behind the rows of results.

    Parameters
    ----------
    evidence : Evidence
        Checked and corrected.
    effects : mapping of Assumptions to DataFrame, optional
        Effect tables that were derived already.
    """

    def __init__(
        self, evidence: Evidence, effects: Mapping[Assumptions, pd.DataFrame] | None = None
    ) -> None:
        self._evidence, self._schema = evidence, evidence.schema
        self._effects: dict[Assumptions, dict[str, dict[str, Any]]] = {}
        self._known = dict(effects or {})

    @cached_property
    def _rows(self) -> dict[str, Row]:
        return {
            f"{row.file}:{row.line}": row
            for table in ("outcomes", "contrasts")
            for row in self._evidence.rows(table)
        }

    @property
    def project(self) -> Project:
        """What ``project.toml`` declares."""
        return self._evidence.project

    @cached_property
    def _directions(self) -> dict[str, str]:
        frame = self._evidence.instruments
        return dict(zip(frame["instrument"], frame["direction"], strict=True))

    @cached_property
    def _crossovers(self) -> frozenset[str]:
        frame = self._evidence.studies
        return frozenset(frame.loc[frame["design"].str.startswith("crossover"), "study_id"])

    @cached_property
    def _correlations(self) -> dict[tuple[Any, ...], float]:
        return {
            _key({**row.texts, **row.numbers}): float(row.numbers["correlation"])
            for row in self._evidence.rows("contrasts")
            if "correlation" in row.numbers
        }

    def effects_under(self, assume: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return every effect by its identifier, under a result's assumptions, unrounded."""
        key = Assumptions(
            assume.get("correlation"),
            tuple(ArmSize(**size) for size in assume.get("arm_sizes", [])),
        )
        if key not in self._effects:
            frame = self._known.get(key)
            if frame is None:
                frame = derive_effects(self._evidence, key).effects
            self._effects[key] = {row["effect_id"]: row for row in records(frame)}
        return self._effects[key]

    @cached_property
    def study_facts(self) -> dict[str, dict[str, Any]]:
        """Every study's own facts by its identifier."""
        return {row["study_id"]: row for row in records(self._evidence.studies)}

    def card(
        self,
        row: Mapping[str, Any],
        result: Mapping[str, Any],
        join: Sequence[Step] | None = None,
    ) -> dict[str, Any]:
        """Return everything behind one row of a result.

        Parameters
        ----------
        row, result : mapping
        join : sequence of Step, optional
            How several comparisons became the row, where that is known already.

        Returns
        -------
        dict
            ``effects`` (each with ``arms``, ``routes``, ``steps``), ``join`` (steps that join
            several comparisons), ``interval`` (steps to the printed interval), ``link``,
            ``link_words``.
        """
        known = self.effects_under(result["spec"]["assume"])
        effects = [known[name] for name in row["effect_ids"]]
        link, words = link_of(row)
        return {
            "effects": [self._effect(effect) for effect in effects],
            "join": self._row_steps(effects, result) if join is None else list(join),
            "interval": interval_steps(
                row["estimate"],
                row["variance"],
                is_ratio=result["is_ratio"],
                level=float(result.get("level") or 0.95),
            ),
            "link": link,
            "link_words": words,
        }

    def _effect(self, effect: Mapping[str, Any]) -> dict[str, Any]:
        sources = [part for part in str(effect["source"]).split(";") if part]
        rows = [self._rows[source] for source in sources]
        codes = [code for code in str(effect["route"]).split("+") if code]
        steps, worked = self.worked(effect)
        return {
            "id": effect["effect_id"],
            "arms": [
                _arm(source, row, self._schema[row.table])
                for source, row in zip(sources, rows, strict=True)
            ],
            "routes": [
                {"code": code, "description": ROUTES[code].description,
                 "source": ROUTES[code].source, "is_exact": ROUTES[code].is_exact}
                for code in codes
            ],
            "assumption": effect["assumption"],
            "steps": [*steps, *(worked.steps if worked else ())],
            "estimate": published(effect["estimate"]),
            "variance": published(effect["variance"]),
        }  # fmt: skip

    def worked(self, effect: Mapping[str, Any]) -> tuple[list[Step], Worked | None]:
        """Return how the arms' numbers were had, and the calculation of the effect."""
        sources = [part for part in str(effect["source"]).split(";") if part]
        rows = [self._rows[source] for source in sources]
        parts = str(effect["route"]).split("+")
        flipped = "direction_flipped" in parts
        if rows[0].table == "contrasts":
            cells = {**rows[0].texts, **rows[0].numbers}
            for name in ("n_treatment", "n_control"):
                if name not in cells and effect[name] is not None:
                    cells[name] = effect[name]
            contrast = worked_contrast(
                cells,
                effect,
                direction=self._directions.get(str(effect["instrument"]), "neither"),
                paired=effect["study_id"] in self._crossovers,
                correlation=_correlation(effect, cells),
            )
            return [], contrast
        steps = self._arm_steps(effect, rows, parts)
        if effect["data_kind"] == "before_after":
            r = _correlation(effect, {})
            return steps, None if r is None else worked_change(effect, r, flipped=flipped)
        if effect["data_kind"] == "events":
            return steps, worked_counts(effect)
        if effect["study_id"] in self._crossovers:
            r = _correlation(effect, {"correlation": self._correlations.get(_key(effect))})
            return steps, None if r is None else worked_paired_scores(effect, r, flipped=flipped)
        return steps, worked_scores(effect, flipped=flipped)

    def _arm_steps(
        self, effect: Mapping[str, Any], rows: Sequence[Row], parts: Sequence[str]
    ) -> list[Step]:
        """Return the steps from printed cells to n, mean, SD or events of both arms."""
        treated = set(str(effect["arm_id"]).split("+"))
        sides = (
            ("₁", [row for row in rows if row["arm_id"] in treated], "treatment"),
            ("₂", [row for row in rows if row["arm_id"] not in treated], "control"),
        )
        steps: list[Step] = []
        for mark, members, side in sides:
            for place, row in enumerate(members):
                cells: dict[str, Any] = {**row.texts, **row.numbers}
                if "n" not in cells and len(members) == 1:
                    cells["n"] = effect[f"n_{side}"]
                suffix = mark if len(members) == 1 else f"{mark}{'abcdefgh'[place]}"
                steps += worked_arm(cells, parts, suffix)
            if len(members) > 1:
                steps += joined_arm_steps(effect, side, mark, len(members))
        return steps

    def joined(
        self, rows: Sequence[Mapping[str, Any]], result: Mapping[str, Any]
    ) -> tuple[float, float]:
        """Return estimate and variance of all effects of one study in a result, as published."""
        known = self.effects_under(result["spec"]["assume"])
        effects = [known[name] for row in rows for name in row["effect_ids"]]
        steps = join_steps(effects, result["measure"], "")
        return steps[-2].value, steps[-1].value

    def on_measure(
        self, names: Sequence[str], result: Mapping[str, Any], measure: str
    ) -> list[float] | None:
        """Return estimate and variance of the same comparisons on another measure.

        ``None`` where the source does not allow that measure for every comparison.
        """
        known = self.effects_under(result["spec"]["assume"])
        other = [f"{name.rpartition('/')[0]}/{measure}" for name in names]
        if not other or any(name not in known for name in other):
            return None
        effects = [known[name] for name in other]
        if len(effects) == 1:
            return [published(effects[0]["estimate"]), published(effects[0]["variance"])]
        steps = join_steps(effects, measure, "")
        return [steps[-2].value, steps[-1].value]

    def _row_steps(
        self, effects: Sequence[Mapping[str, Any]], result: Mapping[str, Any]
    ) -> list[Step]:
        """Return how several effects of one study became its row; empty where there is one."""
        if result.get("kind") == "within_trial":
            return difference_steps(
                effects, result["spec"]["model"]["group_order"], result["measure"]
            )
        return join_steps(effects, result["measure"], "") if len(effects) > 1 else []


def _correlation(effect: Mapping[str, Any], cells: Mapping[str, Any]) -> float | None:
    """Return the within-person correlation: printed, or stated as an assumption."""
    printed = cells.get("correlation")
    if printed is not None and printed == printed and printed != "":
        return float(printed)
    for part in str(effect["assumption"]).split("; "):
        if part.startswith("correlation="):
            return float(part.partition("=")[2])
    return None


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) or (0.0 if name == "time_days" else "") for name in _KEYS)


def _arm(source: str, row: Row, table: Table) -> dict[str, Any]:
    """Return one extracted row as the card shows it."""
    cells = [
        (column.name, row[column.name], column.name in row.numbers)
        for column in table.columns
        if row[column.name] and column.name not in _ELSEWHERE
    ]
    return {
        "source": source,
        "table": row.table,
        "cells": cells,
        "locator": row["locator"],
        "extracted_by": row["extracted_by"],
        "checked_by": row["checked_by"],
        "note": row["note"],
        "source_url": row["source_url"],
        "flags": list(row.flags),
    }


def studies_of(result: Mapping[str, Any]) -> list[str]:
    """Return the studies of a result in the order of its rows; of a network, its trials."""
    if result["kind"] == "network":
        # The rows of its forest plot are treatments.
        return list((result["network"] or {}).get("studies", []))
    return list(
        dict.fromkeys(row["study_id"] for group in result["groups"] for row in group["rows"])
    )


def used_studies(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return every study that enters a result, in alphabetical order."""
    return sorted({name for result in results for name in studies_of(result)})


def numbered_studies(
    evidence: Evidence, results: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the studies that enter any analysis, numbered, with the analyses they enter."""
    entered: dict[str, list[str]] = {}
    for result in results:
        for name in studies_of(result):
            entered.setdefault(name, []).append(result["title"])
    rows = [row for row in records(evidence.studies) if row["study_id"] in entered]
    for number, row in enumerate(rows, start=1):
        row["number"] = number
        row["label"] = evidence.project.study_label(row["study_id"])
        row["analyses"] = entered[row["study_id"]]
        row["link"], row["link_words"] = link_of(row)
    return rows


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as plain dictionaries, missing numbers as ``None``."""
    columns = [[None if v != v else v for v in frame[name].tolist()] for name in frame.columns]
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
