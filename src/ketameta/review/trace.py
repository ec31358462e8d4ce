"""What became of the rows: which effects and analyses they entered, what two extractors typed.

Computes no estimate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ketameta.errors import ExtractionError, SpecError, UsageError, did_you_mean
from ketameta.evidence.second_extraction import (
    WHOLE_ROW,
    BatchAgreement,
    ColumnAgreement,
    decided,
    likely_matches,
)
from ketameta.evidence.tables import Evidence, Row
from ketameta.formatting import (
    MISSING,
    format_number,
    format_percent,
    format_significant,
    plural,
)
from ketameta.paths import ProjectPaths
from ketameta.review.document import Block, Bullets, Document, Grid, Heading, Paragraph
from ketameta.review.preview import RESULT_TABLES

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.derive import Effect


What = TypeVar("What")


@dataclass(frozen=True, slots=True)
class Trace:
    """Where one row of a result table went.

    ``effects`` that rest on an assumption are named only where they are used; ``set_aside`` are
    analyses and reasons where none of its effects is used; ``unused`` says why it yields no effect;
    ``asked`` which analyses ask for its outcome where none uses or leaves it, and what keeps it
    out.
    """

    source: str
    row: str
    effects: tuple[str, ...]
    used: tuple[str, ...]
    set_aside: tuple[tuple[str, str], ...]
    unused: str
    asked: tuple[str, ...] = ()

    @property
    def fate(self) -> str:
        """One of ``used``, ``set aside``, ``not asked for``, ``no effect`` or ``lost``."""
        if self.used:
            return "used"
        if self.set_aside:
            return "set aside"
        if self.effects:
            return "not asked for"
        return "no effect" if self.unused else "lost"


def trace_rows(paths: ProjectPaths, evidence: Evidence, study: str = "") -> tuple[Trace, ...]:
    """Return where the result rows of a study (all studies when empty) went."""
    from ketameta.analyses.selection import select_effects
    from ketameta.analyses.spec_file import read_specs
    from ketameta.evidence.pairing import Assumptions
    from ketameta.inputs import InputTables, known_words

    specs, wrong = read_specs(paths.analyses, known_words(evidence), evidence.project)
    broken = {Path(item.file).stem for item in wrong if item.is_error}
    specs = [spec for spec in specs if spec.name not in broken]
    tables = InputTables(evidence)
    plain = tables.get(Assumptions())
    used: dict[str, dict[str, None]] = {}
    aside: dict[str, dict[tuple[str, str], None]] = {}
    effects: dict[str, dict[str, None]] = {}
    asked: dict[str, dict[str, None]] = {}
    diagnosis = {row["study_id"]: row["diagnosis"] for row in evidence.rows("studies")}
    for row in _of(plain.rows.on(), study):
        _note(effects, row, row["effect_id"])
        if study:
            # The scope of an analysis, beside its outcomes.
            scope = {
                "diagnosis": diagnosis.get(row["study_id"], ""),
                "drug_class": row["drug_class"],
                "intervention": row["intervention"],
            }
            for line in _why_not_asked(row["outcome"], scope, specs):
                _note(asked, row, line)
    for spec in specs:
        try:
            chosen = select_effects(spec, tables.get(spec.assume), evidence)
        except SpecError as question:
            for row in _of(plain.rows.on(spec.select.outcome), study):
                _note(aside, row, (spec.name, str(question)))
            continue
        for row in _of(chosen.used, study):
            _note(used, row, spec.name)
            _note(effects, row, row["effect_id"])
        for row in _of(chosen.excluded, study):
            reason = row["reason"]
            code = row["code"]
            way_in = _WAYS_IN.get(code, f"select.{code} would have to name it") if study else ""
            _note(aside, row, (spec.name, f"{reason}; {way_in}" if way_in else reason))
    left = _of(plain.unused_rows.on(), study)
    unused = {row["source"]: row["reason"] for row in left}
    return tuple(
        Trace(
            place,
            row.in_words,
            tuple(effects.get(place, ())),
            tuple(used.get(place, ())),
            tuple(pair for pair in aside.get(place, ()) if pair[0] not in used.get(place, ())),
            "" if place in effects else unused.get(place, ""),
            tuple(asked.get(place, ())),
        )
        for row in _result_rows(evidence, study)
        for place in (f"{row.file}:{row.line}",)
    )


#: What would let in what an analysis leaves, by the code of the rule; other codes name the list of
#: ``select`` that the word would have to stand in.
_WAYS_IN = {
    "excluded": "it stands in select.exclude",
    "time": "select.min_days and select.max_days would have to be wider",
    "time_unknown": "type time_days where the source says it",
    "subgroup": "select.subgroup_keys would have to name it",
    "whole_trial": "the analysis compares groups within a trial",
    "another_analysis": "choose.analysis would have to name it first",
    "other_measure": "an analysis in that measure would use it",
    "no_direction": "say in instruments.csv which way is better, or ask for measure = 'MD'",
    "no_events": "an analysis of the risk difference would use it",
    **dict.fromkeys(
        ("another_form", "another_subgroup", "part_of_joined_arm", "overlap", "data_kind"), ""
    ),
}


def _why_not_asked(
    outcome: str, scope: Mapping[str, str], specs: Sequence[AnalysisSpec]
) -> list[str]:
    """Return which analyses ask for the outcome of an effect, and what of it keeps it out."""
    found = []
    for spec in specs:
        if outcome not in spec.select.outcome:
            continue
        kept_out = [
            f"{column} {' or '.join(allowed)} (here {word or 'nothing'})"
            for column, word in scope.items()
            if (allowed := getattr(spec.select, column)) and word not in allowed
        ]
        if kept_out:
            found.append(f"{spec.name} asks for the outcome, of {' and '.join(kept_out)}")
    return found or [f"no analysis asks for the outcome {outcome}"]


def _of(rows: Iterable[Effect], study: str) -> list[Effect]:
    return [row for row in rows if not study or row["study_id"] == study]


def _note(found: dict[str, dict[What, None]], row: Effect, what: What) -> None:
    for place in row["source"].split(";"):
        found.setdefault(place, {})[what] = None


def _result_rows(evidence: Evidence, study: str) -> list[Row]:
    return [
        row
        for table in RESULT_TABLES
        for row in evidence.rows(table)
        if not study or row["study_id"] == study
    ]


def fates(traces: Sequence[Trace]) -> dict[str, int]:
    """Return how many rows have each fate."""
    return dict(Counter(trace.fate for trace in traces))


def trace_document(paths: ProjectPaths, study: str = "") -> Document:
    """Return where the rows of a study went, for readers; the totals of all when none is named.

    Raises :class:`UsageError` where no table names the study (with the name that is near), and
    :class:`ExtractionError` where its data have errors.
    """
    from ketameta.evidence.checks.run import checked_evidence, format_findings, without_broken

    report, evidence = checked_evidence(paths)
    own = {
        row.file for rows in evidence.tables.values() for row in rows if row["study_id"] == study
    }
    errors = [item for item in report.errors if item.files & own]
    if errors:
        raise ExtractionError(format_findings(replace(report, findings=tuple(errors))), errors)
    evidence, left_out = without_broken(paths, evidence, report.errors)
    applied = report.applied
    bare = study.replace("_", "")
    excluded = [
        f"{row['outcome']} ({plural(int(row.number('records') or 0), 'record')}): {row['reason']}"
        for row in evidence.rows("exclusions")
        if study
        and "".join(mark for mark in row["study"].lower() if mark.isalnum()).startswith(bare)
    ]
    rows = [row for name in ("studies", "arms", "risk_of_bias") for row in evidence.rows(name)]
    others = [row for row in rows if row["study_id"] == study]
    if study and not others and not excluded and not _result_rows(evidence, study):
        known = [row["study_id"] for row in evidence.rows("studies")]
        raise UsageError(f"no table names the study {study!r}{did_you_mean(study, known)}")
    traces = trace_rows(paths, evidence, study)
    counts = ", ".join(f"{count:,} {fate}" for fate, count in sorted(fates(traces).items()))
    title = f"Where the rows of {study} went" if study else "Where every row went"
    blocks: list[Block] = [
        Heading(title, 1),
        Paragraph(f"{plural(len(traces), 'result row')}: {counts or 'none'}.", strong=True),
    ]
    if left_out:
        blocks.append(Paragraph(f"Left out: {left_out}"))
    if not study:
        return [*blocks, *_totals(traces, evidence)]
    if others:
        items = tuple(f"{row.file}:{row.line} {row.table}: {row.in_words}" for row in others)
        blocks += [Heading("Described in"), Bullets(items)]
    blocks += _trace_blocks(traces)
    mended = [
        f"{item.file}:{item.line} {item.correction.id}: {item.correction.reason}"
        for item in applied
        if any(item.file == row.file and item.line == row.line for row in others)
        or any(f"{item.file}:{item.line}" == trace.source for trace in traces)
    ]
    if mended:
        blocks += [Heading("Corrected"), Bullets(tuple(mended))]
    settled = [
        f"{file}:{item.line} {item['table']} {item['row']}, {item['column']}: "
        f"{item['first'] or 'empty'} and {item['second'] or 'empty'}, agreed on {item['agreed']}"
        for file, item in decided(paths, study)
    ]
    if settled:
        blocks += [Heading("Reconciled between two extractions"), Bullets(tuple(settled))]
    if excluded:
        blocks += [Heading("Left out, in data/exclusions.csv"), Bullets(tuple(excluded))]
    return blocks


def _trace_blocks(traces: Sequence[Trace]) -> list[Block]:
    rows = []
    for trace in traces:
        if trace.used:
            went = f"used in {', '.join(trace.used)}"
        elif trace.set_aside:
            reasons = dict.fromkeys(f"{name}: {reason}" for name, reason in trace.set_aside)
            went = "set aside; " + "; ".join(reasons)
        elif trace.effects:
            went = f"no analysis asks for it: {'; '.join(trace.asked)}"
        else:
            went = f"no effect: {trace.unused or 'NO REASON IS KNOWN'}"
        ids = "".join(f"\n      effect {name}" for name in trace.effects)
        rows.append(f"{trace.source} {trace.row}\n    {went}{ids}")
    return [Heading("Results"), Bullets(tuple(rows))] if rows else []


def _totals(traces: Sequence[Trace], evidence: Evidence) -> list[Block]:
    """Return the reasons of rows without effect, and the sizes of the other tables."""
    reasons = Counter(trace.unused for trace in traces if trace.fate == "no effect")
    blocks: list[Block] = []
    if reasons:
        rows = tuple((reason, str(count)) for reason, count in reasons.most_common())
        blocks += [
            Heading("Rows without an effect"),
            Grid(("reason", "rows"), rows, frozenset({1})),
        ]
    lost = [trace for trace in traces if trace.fate == "lost"]
    if lost:
        items = tuple(f"{trace.source} {trace.row}" for trace in lost)
        blocks += [Heading("Lost"), Bullets(items)]
    sizes = ", ".join(
        f"{plural(len(evidence.rows(name)), 'row')} in {name}"
        for name in ("studies", "arms", "risk_of_bias", "exclusions")
    )
    return [*blocks, Paragraph(f"Beside them: {sizes}.")]


# --- what two extractions agree on ----------------------------------------------------------------

_COLUMNS = ("table.column", "cells", "agree", "kappa", "weighted kappa", "ICC", "bias", "limits")


def agreement_document(paths: ProjectPaths, found: Sequence[BatchAgreement]) -> Document:
    """Return the agreement of every batch for readers."""
    blocks: list[Block] = [Heading("Agreement of two extractors", 1)]
    if not found:
        blocks.append(
            Paragraph(
                "No batch has a second extraction. It starts with: ketameta new BATCH --second"
            )
        )
    for item in found:
        blocks.extend(_batch_blocks(paths, item))
    return blocks


def _batch_blocks(paths: ProjectPaths, item: BatchAgreement) -> list[Block]:
    comparison = item.comparison
    cells, agreeing = len(comparison.cells), len(comparison.cells) - len(comparison.differences)
    share = f" ({format_percent(agreeing / cells)})" if cells else ""
    alone = len(comparison.only_first) + len(comparison.only_second)
    file = paths.relative(item.path)
    state = (
        f"{plural(item.open, 'difference')} still to be decided: fill 'agreed' in {file}."
        if item.open
        else f"Every difference is decided ({file})."
        if item.lines
        else "The two extractions do not differ."
        if comparison.matched
        else "No row was typed a second time yet."
    )
    blocks: list[Block] = [
        Heading(comparison.batch),
        Paragraph(
            f"{plural(comparison.matched, 'row')} in both, {agreeing:,} of {plural(cells, 'cell')} "
            f"agree{share}; {plural(alone, 'row')} in one only. {state}",
            strong=True,
        ),
    ]
    if comparison.findings:
        blocks.append(Bullets(tuple(str(finding) for finding in comparison.findings)))
    if item.columns:
        rows = tuple(_column_cells(column) for column in item.columns)
        blocks.append(Grid(_COLUMNS, rows, frozenset(range(1, len(_COLUMNS)))))
        blocks.append(
            Paragraph(
                "Cells filled by at least one extractor. Kappa is Cohen's, weighted linearly for "
                "ordered words; ICC(2,1) and Bland-Altman limits are over the cells both filled."
            )
        )
    matches = tuple(
        f"{one.in_words} (first) and {two.in_words} (second), in {one.table}"
        for one, two in likely_matches(comparison)
    )
    if matches:
        blocks += [
            Heading("Rows that may be one row under other names", 3),
            Paragraph("Use the words of the first extraction in the second, and compare again."),
            Bullets(matches),
        ]
    if item.lines:
        blocks += [
            Heading("Differences", 3),
            Grid(
                ("row", "column", "first", "where", "second", "where", "agreed"),
                tuple(_difference(line) for line in item.lines),
            ),
        ]
    return blocks


def _column_cells(column: ColumnAgreement) -> tuple[str, ...]:
    limits = column.limits
    return (
        column.name,
        str(column.cells),
        format_percent(column.agreeing / column.cells),
        format_number(column.kappa),
        format_number(column.weighted_kappa),
        format_number(column.icc, 3),
        MISSING if limits is None else format_significant(limits.bias),
        MISSING
        if limits is None
        else f"{format_significant(limits.low)} to {format_significant(limits.high)}",
    )


def _difference(line: Mapping[str, str]) -> tuple[str, ...]:
    name = "whole row" if line["column"] == WHOLE_ROW else line["column"]
    return (
        f"{line['table']}: {line['row']}",
        name,
        line["first"] or "empty",
        line["first_locator"],
        line["second"] or "empty",
        line["second_locator"],
        line.get("agreed", "") or "open",
    )
