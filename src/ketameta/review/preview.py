"""What a batch would change: its new effects, the analyses it enters, each before and after.

Computes in memory and writes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ketameta.analyses.sentences import interval_words, written
from ketameta.effects.conversions.arms import ROUTES
from ketameta.effects.conversions.spread import Z95
from ketameta.errors import ExtractionError, KetametaError, SpecError, UsageError, did_you_mean
from ketameta.evidence.derive import Effect
from ketameta.evidence.pairing import Assumptions
from ketameta.evidence.schema import BATCH_TABLES
from ketameta.evidence.second_extraction import decided
from ketameta.evidence.tables import Evidence, batch_folders
from ketameta.formatting import plural
from ketameta.inputs import InputTables
from ketameta.measures import Measure
from ketameta.paths import ProjectPaths
from ketameta.review.diff import (
    AnalysisChange,
    Figures,
    Say,
    changes_blocks,
    compare_results,
    count_words,
    no_figures,
)
from ketameta.review.document import Block, Bullets, Document, Grid, Heading, Paragraph

if TYPE_CHECKING:
    from ketameta.analyses.result import AnalysisResult
    from ketameta.analyses.selection import Selected
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.derive import EffectTable
    from ketameta.evidence.findings import Finding


#: In what a trial that enters an analysis is expected to be like another that does.
_LIKE = {"diagnosis": "diagnosis", "comparator_class": "comparator", "design": "design"}
_UNSAID = ("", "other", "not_reported", "mixed")
#: Tables whose rows can become effects.
RESULT_TABLES = ("outcomes", "contrasts")


@dataclass(frozen=True, slots=True)
class LeftRow:
    """A row of the batch that yields no effect, or an effect that an analysis sets aside."""

    source: str
    row: str
    reason: str
    analysis: str = ""


def is_of(source: str, prefix: str) -> bool:
    """Return whether a place, or one of several, lies in the batch."""
    return any(part.startswith(prefix) for part in source.split(";"))


class Moments:
    """Effect tables, selections and results of the project before and after a batch."""

    def __init__(self, before: Evidence, after: Evidence) -> None:
        self.before, self.after = before, after
        self._before = InputTables(before)
        self._after = InputTables(after, earlier=self._before.derived.get)
        self._chosen: dict[str, tuple[Selected, Selected]] = {}
        self._results: dict[str, tuple[AnalysisResult, AnalysisResult]] = {}

    def tables(self, assumed: Assumptions) -> tuple[EffectTable, EffectTable]:
        """Return the effects before and after; trials that the batch leaves are derived once."""
        return self._before.get(assumed), self._after.get(assumed)

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
        used = [row["effect_id"] for row in chosen.used if is_of(row["source"], prefix)]
        left = [
            LeftRow(row["source"], effect_words(row), row["reason"], spec.title)
            for row in chosen.excluded
            if is_of(row["source"], prefix)
        ]
        return used, left

    def meant(self, spec: AnalysisSpec, prefix: str, asked: SpecError) -> list[str]:
        """Return the batch's effects between which ``spec`` asks to choose."""
        found = [place for item in asked.findings for place in getattr(item, "places", ())]
        places = {f"{file}:{line}" for file, line in found}
        return [
            row["effect_id"]
            for row in self.tables(spec.assume)[1].rows.on()
            if places & set(row["source"].split(";")) and row["measure"] == str(spec.model.measure)
        ]

    def questions(self, spec: AnalysisSpec, prefix: str) -> list[str]:
        """Return what to ask about trials that enter unlike all others of the analysis."""
        used = self._selections(spec)[1].used
        mine = [row for row in used if is_of(row["source"], prefix)]
        rest = [row for row in used if not is_of(row["source"], prefix)]
        found = []
        for column, words in _LIKE.items():
            others = {row.get(column) for row in rest}
            for study, value in dict.fromkeys((row["study_id"], row.get(column)) for row in mine):
                asks = getattr(spec.select, column)
                if others and not asks and value not in others and value not in _UNSAID:
                    listed = ", ".join(sorted(str(other) for other in others)[:4])
                    found.append(
                        f"{study} enters {spec.title} ({spec.name}), and its {words} is "
                        f"{value}; that of the others is {listed}. Is that meant? If not, name "
                        f"what is under select.{column} of the analysis."
                    )
        return found

    def _selections(self, spec: AnalysisSpec) -> tuple[Selected, Selected]:
        from ketameta.analyses.selection import select_effects

        if spec.name not in self._chosen:
            one, two = self.tables(spec.assume)
            self._chosen[spec.name] = (
                select_effects(spec, one, self.before),
                select_effects(spec, two, self.after),
            )
        return self._chosen[spec.name]

    def differs(self, spec: AnalysisSpec) -> bool:
        """Return whether the effects that enter ``spec``, or facts about them, differ."""
        texts = [
            repr([{**row, "source": "", "subgroup_keys": ""} for row in chosen.used])
            for chosen in self._selections(spec)
        ]
        return texts[0] != texts[1]

    def results(self, spec: AnalysisSpec) -> tuple[AnalysisResult, AnalysisResult]:
        """Return the results of ``spec`` before and after; an error names the analysis."""
        from ketameta.analyses.run import run_analysis

        if spec.name not in self._results:
            one, two = self.tables(spec.assume)
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


def effect_words(row: Effect) -> str:
    """Return an effect in words: trial, arms, outcome, instrument, day."""
    days = row["time_days"]
    parts = [
        row["study_id"],
        f"{row['arm_id']} v {row['comparator_arm_id']}".removesuffix(" v "),
        row["outcome"],
        row["instrument"],
        "" if math.isnan(days) else f"day {days:g}",
        row.get("subgroup", ""),
        row.get("data_kind", ""),
    ]
    return ", ".join(part for part in parts if part)


class NewEffect(Effect):
    """An effect with the analyses that it enters."""

    analyses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a batch would change.

    ``rows`` counts its rows by table, ``unchanged`` are titles, ``claims`` public claims with their
    verdicts before and after. ``questions`` name trials that enter an analysis although nothing
    there is like them in some respect; ``left_out`` other batches and analyses that have errors of
    their own, and how many differences of two extractions were reconciled.
    """

    batch: str
    rows: Mapping[str, int]
    changes: tuple[AnalysisChange, ...]
    unchanged: tuple[str, ...]
    effects: tuple[NewEffect, ...]
    unused: tuple[LeftRow, ...]
    set_aside: tuple[LeftRow, ...]
    claims: tuple[tuple[str, str, str], ...]
    warnings: tuple[Finding, ...]
    questions: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def preview_batch(paths: ProjectPaths, batch: str | Path, *, say: Say = lambda _: None) -> Preview:
    """Return what a batch changes, compared with the project without it.

    Raises :class:`UsageError` without such a folder, :class:`ExtractionError` with all errors that
    the checks find in it.
    """
    folder = find_batch(paths, batch)
    say("Reading and checking")
    after, specs, warnings, left_out = _checked(paths, folder)
    prefix = f"{paths.relative(folder)}/"
    before = after.where(lambda row: not row.file.startswith(prefix))
    own = {
        name: sum(is_of(row.file, prefix) for row in rows) for name, rows in after.tables.items()
    }
    moments = Moments(before, after)
    changes: list[AnalysisChange] = []
    unchanged: list[str] = []
    entered: dict[str, list[str]] = {}
    set_aside: list[LeftRow] = []
    questions: list[str] = []
    for spec in specs:
        if not moments.touches(spec, prefix):
            unchanged.append(spec.title)
            continue
        try:
            used, left = moments.selected(spec, prefix)
        except SpecError as asked:
            questions.append(f"{spec.title}: {asked}")
            for effect in moments.meant(spec, prefix, asked):
                entered.setdefault(effect, []).append(f"{spec.title}: asks which analysis is meant")
            continue
        set_aside.extend(left)
        questions.extend(moments.questions(spec, prefix))
        for effect in used:
            entered.setdefault(effect, []).append(spec.title)
        if not moments.differs(spec):
            unchanged.append(spec.title)
            continue
        say(f"Computing {spec.name}, before and after")
        changes.append(compare_results(*moments.results(spec)))
    effects: dict[str, NewEffect] = {}
    for assumed in dict.fromkeys([Assumptions(), *(spec.assume for spec in specs)]):
        for row in moments.tables(assumed)[1].rows.on():
            name = row["effect_id"]
            wanted = not row["assumption"] or name in entered
            if wanted and is_of(row["source"], prefix) and name not in effects:
                effects[name] = {**row, "analyses": tuple(dict.fromkeys(entered.get(name, ())))}
    return Preview(
        batch=prefix.rstrip("/"),
        rows={name: count for name, count in own.items() if count},
        changes=tuple(change for change in changes if change.is_changed),
        unchanged=tuple(unchanged) + tuple(c.title for c in changes if not c.is_changed),
        effects=tuple(effects.values()),
        unused=tuple(
            LeftRow(row["source"], effect_words(row), row["reason"])
            for row in moments.tables(Assumptions())[1].unused_rows.on()
            if is_of(row["source"], prefix)
        ),
        set_aside=tuple(set_aside),
        claims=_claims(paths, specs, moments, {change.name for change in changes}),
        warnings=warnings,
        questions=tuple(questions),
        left_out=left_out,
    )


def find_batch(paths: ProjectPaths, batch: str | Path) -> Path:
    """Return the folder of a batch given by name or path; raise with a list of the batches."""
    tables = [f"{table.name}.csv" for table in BATCH_TABLES]
    folders = [
        candidate
        for candidate in (Path(batch), paths.root / batch, paths.extracted / batch)
        if candidate.is_dir()
    ]
    for candidate in folders:
        if any((candidate / name).is_file() for name in tables):
            return candidate
    names = [folder.name for folder in batch_folders(paths)]
    listed = f"the batches are {', '.join(names)}" if names else "the project has no batch yet"
    if folders:
        raise UsageError(f"{batch}: the folder holds no table ({', '.join(tables)}); {listed}")
    raise UsageError(
        f"{batch}: there is no such batch folder; {listed}{did_you_mean(Path(batch).name, names)}"
    )


def _checked(
    paths: ProjectPaths, folder: Path
) -> tuple[Evidence, list[AnalysisSpec], tuple[Finding, ...], tuple[str, ...]]:
    """Return the evidence with the batch, the analyses, the warnings, and what was left out.

    Errors of the batch stop here; other batches, and analysis files, with errors are left out.
    """
    from ketameta.analyses.spec_file import read_specs
    from ketameta.evidence.checks.run import checked_evidence, format_findings, without_broken
    from ketameta.inputs import known_words

    report, evidence = checked_evidence(paths, [folder])
    name = paths.relative(folder)
    if report.errors:
        text = format_findings(report)
        raise ExtractionError(
            f"{text}\n\nThe batch cannot be previewed before its errors are mended.",
            report.findings,
        )
    specs, found = read_specs(paths.analyses, known_words(evidence), evidence.project)
    wrong = {Path(item.file).stem for item in found if item.is_error}
    evidence, batches = without_broken(paths, evidence, report.elsewhere, name)
    left_out = [f"Left out: {batches}"] if batches else []
    if wrong:
        left_out.append(f"Analyses with errors of their own, left out: {', '.join(sorted(wrong))}.")
    settled = sum(1 for _ in decided(paths, folder=folder))
    if settled:
        left_out.append(f"Two extractions: {plural(settled, 'difference')} reconciled and used.")
    warnings = tuple(item for item in report.warnings if item.file.startswith(f"{name}/"))
    return evidence, [spec for spec in specs if spec.name not in wrong], warnings, tuple(left_out)


def _claims(
    paths: ProjectPaths,
    specs: Sequence[AnalysisSpec],
    moments: Moments,
    computed: Collection[str],
) -> tuple[tuple[str, str, str], ...]:
    """Return the public claims whose verdict differs."""
    from ketameta.analyses.claims import read_claims, verdict

    by_name = {spec.name: spec for spec in specs}
    found = []
    for claim in read_claims(paths.data / "claims.toml", {})[0]:
        if not {*claim.analyses} & {*computed}:
            continue
        pairs = {name: moments.results(by_name[name]) for name in claim.analyses}
        facts = [moment.rows("harm_facts") for moment in (moments.before, moments.after)]
        one, two = (
            verdict(claim, {name: pair[at] for name, pair in pairs.items()}, facts=facts[at])
            for at in (0, 1)
        )
        if one != two:
            found.append((claim.claim, one, two))
    return tuple(found)


def preview_document(preview: Preview, figures: Figures = no_figures) -> Document:
    """Return a preview for readers: what changes first, then effects, rows left, warnings."""
    checked = len(preview.changes) + len(preview.unchanged)
    rows_in = ", ".join(f"{plural(n, 'row')} in {table}" for table, n in preview.rows.items())
    turned = [change for change in preview.changes if change.new_conclusions]
    blocks: list[Block] = [
        Heading(f"What {preview.batch} would change", 1),
        Paragraph(
            f"{count_words(len(preview.changes), checked)}, and the conclusion of "
            f"{len(turned)} of them. {plural(len(preview.effects), 'new effect')} from "
            f"{rows_in or 'no row'}. Nothing was written.",
            strong=True,
        ),
    ]
    blocks += [Paragraph(line) for line in preview.left_out]
    if preview.questions:
        blocks += [Heading("To be asked"), Bullets(preview.questions)]
    blocks += changes_blocks(preview.changes, figures)
    if preview.claims:
        rows = tuple(preview.claims)
        blocks += [
            Heading("Public claims whose verdict changes"),
            Grid(("claim", "before", "after"), rows),
        ]
    blocks += _effects_blocks(preview.effects)
    blocks += _left_blocks(
        "Rows that yield no effect size",
        "Every one is kept and listed in the report.",
        preview.unused,
    )
    blocks += _left_blocks(
        "Effects that an analysis sets aside", "They stay in the effect table.", preview.set_aside
    )
    if preview.warnings:
        blocks += [
            Heading("Warnings of the checks"),
            Bullets(tuple(str(finding) for finding in preview.warnings)),
        ]
    return blocks


def _effects_blocks(effects: Sequence[NewEffect]) -> list[Block]:
    if not effects:
        return [Heading("New effect sizes"), Paragraph("None.")]
    rows = []
    for row in effects:
        measure, estimate = Measure(row["measure"]), row["estimate"]
        reach = Z95 * math.sqrt(row["variance"])
        rows.append(
            (
                f"{row['study_id']}: {row['arm_id']} v {row['comparator_arm_id']}",
                f"{row['outcome']}, {row['instrument']}",
                "" if math.isnan(row["time_days"]) else f"{row['time_days']:g}",
                row["measure"],
                written(estimate, measure),
                interval_words(estimate - reach, estimate + reach, measure),
                route_words(row["route"], row["assumption"]),
                "; ".join(row["analyses"]) or "no analysis asks for it",
            )
        )
    columns = ("comparison", "outcome", "day", "measure", "effect", "95% CI", "route", "enters")
    return [Heading("New effect sizes"), Grid(columns, tuple(rows), frozenset({2, 4, 5}))]


def route_words(route: str, assumption: str = "") -> str:
    """Return the way to an effect in words."""
    parts = [
        ROUTES[code].description if code in ROUTES else code.replace("_", " ")
        for code in route.split("+")
        if code
    ]
    if assumption:
        parts.append(f"assumed {assumption}")
    return "; ".join(dict.fromkeys(parts))


def _left_blocks(title: str, remark: str, rows: Sequence[LeftRow]) -> list[Block]:
    """Return the rows that were left, those of one reason together."""
    if not rows:
        return []
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row.row, row.reason, row.source), []).append(row.analysis)
    has_analysis = any(row.analysis for row in rows)
    columns = ("row", "reason", *(("analysis",) if has_analysis else ()), "where")
    cells = tuple(
        (name, why, *(("; ".join(analyses),) if has_analysis else ()), source.replace(";", " "))
        for (name, why, source), analyses in groups.items()
    )
    return [Heading(title), Paragraph(remark), Grid(columns, cells)]
