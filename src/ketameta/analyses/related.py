"""What an analysis may ask of the others: their questions, and effects under other assumptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ketameta.analyses.credibility import moderator_analyses
from ketameta.analyses.next_trial import PriorTrials
from ketameta.analyses.policy import prior_scale_of
from ketameta.analyses.rows import study_rows
from ketameta.analyses.selection import select_effects
from ketameta.analyses.sentences import words_of
from ketameta.errors import SpecError, did_you_mean
from ketameta.evidence.pairing import Assumptions

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.derive import EffectTable
    from ketameta.evidence.tables import Evidence


@dataclass(frozen=True, slots=True)
class Related:
    """The analyses of a project and its effect tables.

    Attributes
    ----------
    specs : mapping of str to AnalysisSpec
        Every analysis by name.
    table : callable
        Gives the effect table under assumptions.
    """

    specs: Mapping[str, AnalysisSpec]
    table: Callable[[Assumptions], EffectTable]

    def priors_of(self, spec: AnalysisSpec, evidence: Evidence) -> list[PriorTrials]:
        """Return the trials behind each prior that an analysis declares for its next trial.

        Raises
        ------
        SpecError
            If an analysis is not there.
        """
        plan = spec.next_trial
        return [
            self._prior(spec.name, prior.analysis, prior.group, evidence)
            for prior in (plan.prior if plan else ())
        ]

    def asked_by(self, spec: AnalysisSpec) -> list[AnalysisSpec]:
        """Return the analyses whose trials an analysis uses beside its own."""
        plan = spec.next_trial
        names = [prior.analysis for prior in (plan.prior if plan else ())]
        return [self.specs[name] for name in dict.fromkeys(names) if name in self.specs]

    def facts(self, spec: AnalysisSpec) -> str:
        """Return as text what an analysis takes from the files of the others."""
        moderators = moderator_analyses(tuple(self.specs.values()), spec.select.outcome)
        return f"{moderators} {self.asked_by(spec)!r}"

    def _prior(self, asking: str, name: str, group: str, evidence: Evidence) -> PriorTrials:
        if name not in self.specs:
            raise SpecError(
                f"analyses/{asking}.toml: next_trial.prior: analysis {name!r} does not exist"
                f"{did_you_mean(name, list(self.specs))}"
            )
        other = self.specs[name]
        used = select_effects(other, self.table(other.assume), evidence).used
        unit: Literal["study_group", "study_id"] = "study_group" if group else "study_id"
        rows = study_rows(used, other.model.measure, unit, project=other.project)
        kept = [row for row in rows if not group or row["group"] == group]
        return PriorTrials(
            name,
            group,
            f"{other.title}: {words_of(group)}" if group else other.title,
            tuple(row["estimate"] for row in kept),
            tuple(row["variance"] for row in kept),
            prior_scale_of(other, kept),
        )
