"""The sets of trials that choices of data lead to, each computed once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses.companions import FULL_ACCESS
from ketameta.analyses.rows import difference_rows, study_rows
from ketameta.analyses.selection import select_effects
from ketameta.study_facts import Assumptions
from ketameta.vocabulary import Measure

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.effect_table import EffectTable
    from ketameta.evidence import Evidence

#: Choices of data, in the order in which they are applied.
DATA_CHOICES = ("correlation", "measure", "overlap", "spread", "source")

Option = str | float
#: Estimates and variances of one set of trials.
Trials = tuple[tuple[float, ...], tuple[float, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Effects:
    """Selected effects, light enough to be cut in many ways."""

    frame: pd.DataFrame
    studies: tuple[str, ...]
    content: tuple[tuple[str, float, float], ...]
    raw_spread: np.ndarray
    full_access: np.ndarray

    @classmethod
    def of(cls, used: pd.DataFrame) -> _Effects:
        columns = (used[name] for name in ("effect_id", "estimate", "variance"))
        return cls(
            used,
            tuple(used["study_id"]),
            tuple(zip(*columns, strict=True)),
            ~used["route"].str.contains("model_based").to_numpy(bool),
            used["access"].isin(FULL_ACCESS).to_numpy(bool),
        )


class TrialSets:
    """The sets of trials of one analysis, by choice."""

    def __init__(
        self,
        spec: AnalysisSpec,
        used: pd.DataFrame,
        evidence: Evidence,
        table: Callable[[Assumptions], EffectTable],
    ) -> None:
        self._spec, self._evidence, self._table = spec, evidence, table
        self._tables: dict[Assumptions, EffectTable] = {}
        main = (spec.assume.correlation, str(spec.model.measure), spec.choose.overlap_prefer)
        self._effects = {main: _Effects.of(used)}
        self._trials: dict[tuple[Any, ...], Trials] = {}
        self._joined: dict[tuple[tuple[str, float, float], ...], tuple[float, float]] = {}

    def content(self, key: Mapping[str, Option]) -> tuple[tuple[str, float, float], ...]:
        """Return the effects that one combination uses: name, estimate, variance."""
        effects, keep = self._cut(key)
        return tuple(item for item, inside in zip(effects.content, keep, strict=True) if inside)

    def trials(self, key: Mapping[str, Option]) -> Trials:
        """Return estimates and variances of the trials that one combination pools."""
        name = tuple(key.get(choice) for choice in DATA_CHOICES)
        if name not in self._trials:
            effects, keep = self._cut(key)
            measure = Measure(str(key.get("measure", self._spec.model.measure)))
            if self._spec.kind == "within_trial":
                pairs = self._differences(effects.frame[keep], measure)
            else:
                places: dict[str, list[int]] = {}
                for place in np.flatnonzero(keep):
                    places.setdefault(effects.studies[place], []).append(int(place))
                pairs = [self._study(effects, at, measure) for at in places.values()]
            self._trials[name] = tuple(y for y, _ in pairs), tuple(v for _, v in pairs)
        return self._trials[name]

    def _differences(self, used: pd.DataFrame, measure: Measure) -> list[tuple[float, float]]:
        rows = study_rows(used, measure) if len(used) else []
        found = difference_rows(rows, *self._spec.model.group_order)
        return [(row["estimate"], row["variance"]) for row in found]

    def _study(self, effects: _Effects, at: list[int], measure: Measure) -> tuple[float, float]:
        """Return the effect of one study, its comparisons joined as in the main model."""
        content = tuple(effects.content[place] for place in at)
        if len(content) == 1:
            return float(content[0][1]), float(content[0][2])
        if content not in self._joined:
            row = study_rows(effects.frame.iloc[at], measure, "study_id")[0]
            self._joined[content] = (row["estimate"], row["variance"])
        return self._joined[content]

    def _cut(self, key: Mapping[str, Option]) -> tuple[_Effects, np.ndarray]:
        effects = self._selected(key)
        keep = np.ones(len(effects.frame), dtype=bool)
        if key.get("spread") == "raw":
            keep &= effects.raw_spread
        if key.get("source") == "full_access":
            keep &= effects.full_access
        return effects, keep

    def _selected(self, key: Mapping[str, Option]) -> _Effects:
        """Return the selected effects under one correlation, measure and overlap rule."""
        spec = self._spec
        chosen = key.get("correlation")
        correlation = spec.assume.correlation if chosen is None else float(chosen)
        measure = str(key.get("measure", spec.model.measure))
        assume = dataclasses.replace(spec.assume, correlation=correlation)
        prefer = self._preferred(str(key.get("overlap", "declared")), assume)
        name = (correlation, measure, prefer)
        if name not in self._effects:
            changed = spec.model_copy(
                update={
                    "assume": assume,
                    "model": spec.model.model_copy(update={"measure": Measure(measure)}),
                    "choose": spec.choose.model_copy(update={"overlap_prefer": prefer}),
                }
            )
            found = select_effects(changed, self._narrow(assume), self._evidence)
            self._effects[name] = _Effects.of(found.used)
        return self._effects[name]

    def _narrow(self, assume: Assumptions) -> EffectTable:
        """Return the effect table with the outcomes of the analysis only, which is much smaller."""
        if assume not in self._tables:
            whole = self._table(assume)
            outcomes = list(self._spec.select.outcome)
            self._tables[assume] = dataclasses.replace(
                whole,
                effects=whole.effects[whole.effects["outcome"].isin(outcomes)],
                unused=whole.unused.iloc[:0],
            )
        return self._tables[assume]

    def _preferred(self, overlap: str, assume: Assumptions) -> tuple[str, ...]:
        """Return the studies that are kept where people overlap."""
        if overlap == "declared":
            return self._spec.choose.overlap_prefer
        if overlap == "trials":
            return ()
        studies = self._evidence.studies
        pools = studies.loc[studies["design"] == "pooled_rcts", "study_id"]
        present = set(self._narrow(assume).effects["study_id"])
        return tuple(study for study in pools if study in present)
