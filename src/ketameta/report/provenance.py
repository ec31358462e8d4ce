"""From a row of a forest plot back to the cells it came from, with the arithmetic between.

Reads evidence and effects; writes what a card shows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ketameta.analyses.network import treatment_label
from ketameta.analyses.parts import Contrast
from ketameta.analyses.result import AnalysisResult, StudyRow
from ketameta.analyses.sentences import estimate_words, interval_words, written
from ketameta.effects.conversions.arms import ROUTES, Route
from ketameta.evidence.derive import Effect, EffectTable, derive_effects
from ketameta.evidence.pairing import Assumptions, crossovers
from ketameta.evidence.tables import Row, StudyFacts
from ketameta.formatting import published
from ketameta.measures import Measure
from ketameta.models.intervals import critical_value
from ketameta.report.worked import (
    Step,
    Worked,
    difference_steps,
    effects_covariance,
    interval_steps,
    join_steps,
    joined_arm_steps,
    share_steps,
    worked_arm,
    worked_change,
    worked_contrast,
    worked_counts,
    worked_paired_scores,
    worked_scores,
)

if TYPE_CHECKING:
    from ketameta.evidence.project import Project
    from ketameta.evidence.tables import Evidence


#: Columns of a row that the card says elsewhere.
_ELSEWHERE = frozenset(
    {"study_id", "outcome", "instrument", "locator", "extracted_by", "checked_by", "note",
     "source_url"}
)  # fmt: skip
_KEYS: Final = ("study_id", "arm_id", "comparator_arm_id", "outcome", "instrument")


@dataclass(frozen=True, slots=True)
class Arm:
    """An extracted row with those of its cells, by column, that the card lists."""

    row: Row
    cells: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Derived:
    """An effect with the rows it came from, the routes taken and every step between."""

    effect: Effect
    arms: list[Arm]
    routes: list[Route]
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Study:
    """A study that enters an analysis, by the number of its reference."""

    number: int
    label: str
    facts: StudyFacts
    link: str
    link_words: str


@dataclass(frozen=True, slots=True)
class Card:
    """A row of a forest plot, or a comparison of a network, with everything behind it.

    ``join`` are the steps that join several comparisons, ``interval`` those to the printed
    interval; ``sources`` are the extracted rows; ``hash`` is short and says in the report of an
    error which row was seen.
    """

    label: str
    card_id: str
    comparison: str
    shown: str
    study: Study
    sources: list[str]
    join: list[Step]
    effects: list[Derived]
    interval: list[Step]
    hash: str


class Trial(NamedTuple):
    """A trial as a pool sees it: its effect, or its effects of several groups joined.

    ``counts`` are the four numbers of a trial that gives one table of counts; ``kinds`` are the
    kinds of data its effects are made of.
    """

    study_id: str
    label: str
    estimate: float
    variance: float
    counts: list[float] | None
    effect_ids: list[str]
    kinds: set[str]


def link_of(facts: StudyFacts) -> tuple[str, str]:
    """Return address and words of the best link to a source: DOI, PubMed, registry, page."""
    if facts.get("doi"):
        return f"https://doi.org/{facts['doi']}", f"doi:{facts['doi']}"
    if facts.get("pmid"):
        return f"https://pubmed.ncbi.nlm.nih.gov/{facts['pmid']}/", f"PubMed {facts['pmid']}"
    url = str(facts.get("source_url") or "")
    if url.startswith(("https://", "http://")):
        return url, url
    registry = str(facts.get("registry_id") or "")
    if registry.startswith("NCT"):
        return f"https://clinicaltrials.gov/study/{registry}", registry
    return "", registry or url


class Provenance:
    """Finds the extracted rows and derived effects behind the rows of results.

    Parameters
    ----------
    evidence : Evidence
        Checked and corrected.
    derived : callable, optional
        Gives the effect table under assumptions; it is derived from the evidence when not given.
    """

    def __init__(
        self, evidence: Evidence, derived: Callable[[Assumptions], EffectTable] | None = None
    ) -> None:
        self._evidence = evidence
        self._effects: dict[Assumptions, dict[str, Effect]] = {}
        self._table_under = derived or partial(derive_effects, evidence)

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
        rows = self._evidence.rows("instruments")
        return {row["instrument"]: row["direction"] for row in rows}

    @cached_property
    def _crossovers(self) -> frozenset[str]:
        return crossovers(self._evidence)

    @cached_property
    def _correlations(self) -> dict[tuple[str | float, ...], float]:
        return {
            (*(row[name] for name in _KEYS), row.number("time_days") or 0.0): r
            for row in self._evidence.rows("contrasts")
            if (r := row.number("correlation")) is not None
        }

    def effects_under(self, assumed: Assumptions) -> dict[str, Effect]:
        """Return every effect by its identifier, under some assumptions, unrounded."""
        if assumed not in self._effects:
            rows = self._table_under(assumed).rows.on()
            self._effects[assumed] = {row["effect_id"]: row for row in rows}
        return self._effects[assumed]

    def effects_of(self, result: AnalysisResult) -> dict[str, Effect]:
        """Return every effect by its identifier, under the assumptions of a result."""
        assumed = result["spec"]["assume"]
        return self.effects_under(Assumptions.model_validate(assumed))

    def cards(self, result: AnalysisResult, studies: Mapping[str, Study]) -> list[Card]:
        """Return the card of every row of a result, or of every comparison of its network."""
        net, measure = result["network"], Measure(result["measure"])
        name, known = result["name"], self.effects_of(result)
        if result["kind"] != "network":
            return [
                Card(
                    row["label"], f"row-{name}-{place}", "", estimate_words(row, measure),
                    studies[row["study_id"]], row["source"],
                    self._row_steps([known[effect] for effect in row["effect_ids"]], result),
                    *self._behind(result, row["effect_ids"], row["estimate"], row["variance"]),
                )
                for place, row in enumerate(rows_of(result), start=1)
            ]  # fmt: skip
        cards = []
        contrasts = net["contrasts"] if net and not net["withheld"] else []
        for place, contrast in enumerate(contrasts, start=1):
            study, estimate = studies[contrast["study"]], contrast["estimate"]
            members = [one for one in contrasts if one["study"] == contrast["study"]]
            join = contrast_steps(contrast, members, known, measure)
            names = [n for one in (members if join else [contrast]) for n in one["effect_ids"]]
            reach = critical_value(result["level"], None) * math.sqrt(contrast["variance"])
            interval = interval_words(estimate - reach, estimate + reach, measure)
            cards.append(
                Card(
                    study.label, f"row-{name}-{place}", comparison_words(contrast),
                    f"{written(estimate, measure)} ({interval})", study,
                    [source for n in names for source in known[n]["source"].split(";")], join,
                    *self._behind(result, names, estimate, contrast["variance"]),
                )
            )  # fmt: skip
        return cards

    def _behind(
        self, result: AnalysisResult, names: Sequence[str], estimate: float, variance: float
    ) -> tuple[list[Derived], list[Step], str]:
        """Return the effects of a row, the steps to its printed interval, and its hash."""
        known = self.effects_of(result)
        ratio, level = result["is_ratio"], result["level"]
        said = f"{' '.join(names)} {estimate!r} {variance!r}"
        return (
            [self._derived(known[name]) for name in names],
            interval_steps(estimate, variance, is_ratio=ratio, level=level),
            hashlib.sha256(said.encode("utf-8")).hexdigest()[:12],
        )

    def _rows_of(self, effect: Effect) -> list[Row]:
        return [self._rows[source] for source in effect["source"].split(";") if source]

    def _derived(self, effect: Effect) -> Derived:
        steps, worked = self.worked(effect)
        return Derived(
            effect,
            [self._arm(row) for row in self._rows_of(effect)],
            [ROUTES[code] for code in effect["route"].split("+") if code],
            [*steps, *(worked.steps if worked else ())],
        )

    def _arm(self, row: Row) -> Arm:
        names = (column.name for column in self._evidence.schema[row.table].columns)
        shown = [(name, row[name]) for name in names if row[name] and name not in _ELSEWHERE]
        return Arm(row, shown)

    def worked(self, effect: Effect) -> tuple[list[Step], Worked | None]:
        """Return how the arms' numbers were had, and the calculation of the effect."""
        rows = self._rows_of(effect)
        parts = effect["route"].split("+")
        flipped = "direction_flipped" in parts
        if rows[0].table == "contrasts":
            contrast = worked_contrast(
                rows[0],
                effect,
                direction=self._directions.get(effect["instrument"], "neither"),
                paired=effect["study_id"] in self._crossovers,
                correlation=_correlation(effect, rows[0].number("correlation")),
            )
            return [], contrast
        steps = self._arm_steps(effect, rows, parts)
        if effect["data_kind"] == "before_after":
            r = _correlation(effect, None)
            return steps, None if r is None else worked_change(effect, r, flipped=flipped)
        if effect["data_kind"] == "events":
            return steps, worked_counts(effect)
        if effect["study_id"] in self._crossovers:
            days = effect["time_days"]
            names: list[str | float] = [str(effect[name]) for name in _KEYS]
            key = (*names, days if days == days else 0.0)
            r = _correlation(effect, self._correlations.get(key))
            return steps, None if r is None else worked_paired_scores(effect, r, flipped=flipped)
        return steps, worked_scores(effect, flipped=flipped)

    def _arm_steps(self, effect: Effect, rows: Sequence[Row], parts: Sequence[str]) -> list[Step]:
        """Return the steps from printed cells to n, mean, SD or events of both arms."""
        treated = set(effect["arm_id"].split("+"))
        one, two = ([row for row in rows if (row["arm_id"] in treated) is side]
                    for side in (True, False))  # fmt: skip
        steps: list[Step] = []
        for mark, members, is_treated, n in (
            ("₁", one, True, effect["n_treatment"]),
            ("₂", two, False, effect["n_control"]),
        ):
            for place, row in enumerate(members):
                known = {"n": n} if len(members) == 1 else {}
                suffix = mark if len(members) == 1 else f"{mark}{'abcdefgh'[place]}"
                steps += worked_arm({**known, **row.numbers}, parts, suffix)
            if len(members) > 1:
                steps += joined_arm_steps(effect, mark, len(members), treated=is_treated)
        return steps

    def trials(self, result: AnalysisResult) -> list[Trial]:
        """Return each study once: its effect, or its effects of several groups joined.

        The same trials as the overall model of an analysis saw.
        """
        by_study: dict[str, list[StudyRow]] = {}
        for row in rows_of(result):
            by_study.setdefault(row["study_id"], []).append(row)
        known = self.effects_of(result)
        found = []
        for first, *more in sorted(
            by_study.values(), key=lambda rows: (rows[0]["year"] or 9999, rows[0]["study_id"])
        ):
            trial = trial_of(first)
            if more:
                names = [name for row in (first, *more) for name in row["effect_ids"]]
                steps = join_steps([known[name] for name in names], result["measure"], "")
                kinds = {row["data_kind"] for row in (first, *more)}
                trial = Trial(trial.study_id, trial.label, steps[-2].value, steps[-1].value,
                              None, names, kinds)  # fmt: skip
            found.append(trial)
        return found

    def on_measure(
        self, names: Sequence[str], result: AnalysisResult, measure: str
    ) -> list[float] | None:
        """Return estimate and variance of the same comparisons on another measure.

        ``None`` where the source does not allow that measure for every comparison.
        """
        known = self.effects_of(result)
        other = [f"{name.rpartition('/')[0]}/{measure}" for name in names]
        if not other or any(name not in known for name in other):
            return None
        if len(other) > 1:
            steps = join_steps([known[name] for name in other], measure, "")
            return [steps[-2].value, steps[-1].value]
        return [published(known[other[0]][part]) for part in ("estimate", "variance")]

    def _row_steps(self, effects: Sequence[Effect], result: AnalysisResult) -> list[Step]:
        """Return how several effects of one study became its row; empty where there is one."""
        if result["kind"] == "within_trial":
            return difference_steps(
                effects, result["spec"]["model"]["group_order"], result["measure"]
            )
        return join_steps(effects, result["measure"], "") if len(effects) > 1 else []


def _correlation(effect: Effect, printed: float | None) -> float | None:
    """Return the within-person correlation: printed, or stated as an assumption."""
    if printed is not None:
        return printed
    for part in effect["assumption"].split("; "):
        if part.startswith("correlation="):
            return float(part.partition("=")[2])
    return None


def known(*values: float | None) -> tuple[float, ...]:
    """Return the numbers that are there, to be unpacked where all must be."""
    return tuple(value for value in values if value is not None)


def comparison_words(contrast: Contrast) -> str:
    """Return the treatments of a comparison in a network."""
    return f"{treatment_label(contrast['treatment'])} v {treatment_label(contrast['control'])}"


def contrast_steps(
    contrast: Contrast,
    members: Sequence[Contrast],
    known: Mapping[str, Effect],
    measure: Measure,
) -> list[Step]:
    """Return how the effects of one study became one of its contrasts; empty where it is one.

    Notes
    -----
    Generalised least squares within the study: with the effects' covariance S and the matrix X that
    says which contrast each effect measures, the contrasts are ``(X' S^-1 X)^-1 X' S^-1 y``.
    """
    if all(len(member["effect_ids"]) == 1 for member in members):
        return []
    effects = [known[name] for member in members for name in member["effect_ids"]]
    owner = [place for place, member in enumerate(members) for _ in member["effect_ids"]]
    covariance = effects_covariance(effects, measure)
    design = np.array([[float(at == place) for place in range(len(members))] for at in owner])
    precision = np.linalg.inv(covariance)
    joined = np.linalg.inv(design.T @ precision @ design)
    mine = next(place for place, member in enumerate(members) if member is contrast)
    shares = (joined @ design.T @ precision)[mine]
    return share_steps(effects, shares, covariance)


def trial_of(row: StudyRow) -> Trial:
    """Return a row of a group as a pool sees it."""
    counts = known(
        row["events_treatment"], row["n_treatment"], row["events_control"], row["n_control"]
    )
    whole = row["data_kind"] == "events" and len(row["effect_ids"]) == 1 and len(counts) == 4
    return Trial(
        row["study_id"],
        row["label"],
        row["estimate"],
        row["variance"],
        list(map(float, counts)) if whole else None,
        row["effect_ids"],
        {row["data_kind"]},
    )


def studies_of(result: AnalysisResult) -> list[str]:
    """Return the studies of a result in the order of its rows; of a network, its trials."""
    if result["kind"] == "network":
        # The rows of its forest plot are treatments.
        net = result["network"]
        return net.get("studies", []) if net else []
    return list(dict.fromkeys(row["study_id"] for row in rows_of(result)))


def rows_of(result: AnalysisResult) -> list[StudyRow]:
    """Return the rows of all groups of a result."""
    return [row for group in result["groups"] for row in group["rows"]]


def numbered_studies(evidence: Evidence, results: Sequence[AnalysisResult]) -> dict[str, Study]:
    """Return the studies that enter any analysis, numbered in the order of their table."""
    used = {name for result in results for name in studies_of(result)}
    entered = [(name, facts) for name, facts in evidence.facts.items() if name in used]
    return {
        name: Study(number, evidence.project.study_label(name), facts, *link_of(facts))
        for number, (name, facts) in enumerate(entered, start=1)
    }
