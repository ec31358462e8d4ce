"""What analyses are computed from: effect tables by assumption, and a fingerprint of each reach."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.effect_table import EffectTable
    from ketameta.evidence import Evidence
    from ketameta.study_facts import Assumptions

#: Facts of an arm that decide what is in scope of an analysis and who is in which arm.
_ARM_FACTS = ("study_id", "arm_id", "intervention", "drug_class", "contains_arms", "schedule")


class InputTables:
    """Effect tables by assumption, derived once each.

    Parameters
    ----------
    evidence : Evidence
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._tables: dict[Assumptions, EffectTable] = {}
        self._lines: dict[tuple[object, ...], _Lines] = {}

    def get(self, assumed: Assumptions) -> EffectTable:
        """Return the effects under assumptions."""
        from ketameta.effect_table import derive_effects

        if assumed not in self._tables:
            self._tables[assumed] = derive_effects(self._evidence, assumed)
        return self._tables[assumed]

    def frames(self) -> dict[Assumptions, pd.DataFrame]:
        """Return the effects derived so far, by what they assume."""
        return {assumed: table.effects for assumed, table in self._tables.items()}

    def fingerprint(self, spec: AnalysisSpec) -> str:
        """Return a hash of the effects, unused rows, arms and study facts in reach of ``spec``."""
        from ketameta.analyses.bubble import STUDY_NUMBERS
        from ketameta.analyses.selection import STUDY_FACTS

        table = self.get(spec.assume)
        outcomes = spec.select.outcome
        effects = self._of(table.effects, "outcome", (spec.assume, "effects"))
        unused = self._of(table.unused, "outcome", (spec.assume, "unused"))
        names = {*table.effects["study_id"][effects.places(outcomes)]}
        names |= {*table.unused["study_id"][unused.places(outcomes)]}
        facts = self._evidence.studies[[*STUDY_FACTS, *STUDY_NUMBERS]]
        by_study = (
            self._of(facts, "study_id", ("facts",)),
            self._of(table.arms[list(_ARM_FACTS)], "study_id", (spec.assume, "arms")),
            self._of(self._evidence.risk_of_bias, "study_id", ("bias",)),
        )
        digest = hashlib.sha256()
        for lines, wanted in (
            (effects, outcomes),
            (unused, outcomes),
            *((lines, names) for lines in by_study),
        ):
            digest.update(lines.digest(wanted))
        return digest.hexdigest()

    def _of(self, frame: pd.DataFrame, key: str, name: tuple[object, ...]) -> _Lines:
        if name not in self._lines:
            self._lines[name] = _Lines(frame, key)
        return self._lines[name]


class _Lines:
    """The rows of a frame as text, each written once, found by the value of one column."""

    def __init__(self, frame: pd.DataFrame, key: str) -> None:
        columns = [frame[name].tolist() for name in frame.columns]
        self._head = repr(list(frame.columns)).encode()
        self._rows = [repr(row).encode() for row in zip(*columns, strict=True)]
        self._places: dict[str, list[int]] = {}
        for place, value in enumerate(frame[key]):
            self._places.setdefault(value, []).append(place)

    def places(self, wanted: Collection[str]) -> np.ndarray:
        """Return the positions of the rows with one of the values, in order."""
        found = [place for value in set(wanted) for place in self._places.get(value, ())]
        return np.sort(np.array(found, dtype=np.intp))

    def digest(self, wanted: Collection[str]) -> bytes:
        """Return a hash of the rows with one of the values."""
        digest = hashlib.sha256(self._head)
        for place in self.places(wanted):
            digest.update(self._rows[place])
        return digest.digest()
