"""Where every row went: into which effects and analyses, or why not. Computes no estimate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ketameta.errors import UsageError, did_you_mean
from ketameta.evidence.tables import Evidence, Row
from ketameta.formatting import plural
from ketameta.paths import ProjectPaths
from ketameta.review.document import Block, Bullets, Document, Grid, Heading, Paragraph
from ketameta.review.preview import RESULT_TABLES


@dataclass(frozen=True, slots=True)
class Trace:
    """Where one row of a result table went.

    Attributes
    ----------
    source : str
        File and line.
    row : str
        The row in words.
    effects : tuple of str
        Effects it stands in; those that rest on an assumption only where they are used.
    used : tuple of str
        Analyses that use one of them.
    set_aside : tuple of (str, str)
        Analysis and reason, where none of its effects is used.
    unused : str
        Why it yields no effect; empty where it does.
    """

    source: str
    row: str
    effects: tuple[str, ...]
    used: tuple[str, ...]
    set_aside: tuple[tuple[str, str], ...]
    unused: str

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
    """Return where the result rows of a study, or of all studies, went.

    Parameters
    ----------
    paths : ProjectPaths
    evidence : Evidence
        Checked and corrected.
    study : str
        A ``study_id``; all studies when empty.
    """
    from ketameta.analyses.selection import select_effects
    from ketameta.analyses.spec_file import load_specs
    from ketameta.evidence.pairing import Assumptions
    from ketameta.inputs import InputTables, known_words

    specs = load_specs(paths.analyses, known_words(evidence), evidence.project)
    tables = InputTables(evidence)
    plain = tables.get(Assumptions())
    used: dict[str, dict[str, None]] = {}
    aside: dict[str, dict[tuple[str, str], None]] = {}
    effects: dict[str, dict[str, None]] = {}
    for row in _of(plain.effects, study):
        _note(effects, row, str(row["effect_id"]))
    for spec in specs:
        chosen = select_effects(spec, tables.get(spec.assume), evidence)
        for row in _of(chosen.used, study):
            _note(used, row, spec.name)
            _note(effects, row, str(row["effect_id"]))
        for row in _of(chosen.set_aside, study):
            _note(aside, row, (spec.name, str(row["reason"])))
    unused = {str(row["source"]): str(row["reason"]) for row in _of(plain.unused, study)}
    return tuple(
        Trace(
            place,
            row.in_words,
            tuple(effects.get(place, ())),
            tuple(used.get(place, ())),
            tuple(pair for pair in aside.get(place, ()) if pair[0] not in used.get(place, ())),
            "" if place in effects else unused.get(place, ""),
        )
        for row in _result_rows(evidence, study)
        for place in (f"{row.file}:{row.line}",)
    )


def _of(frame: Any, study: str) -> list[dict[str, Any]]:
    rows = frame[frame["study_id"] == study] if study else frame
    return list(rows.to_dict("records"))


def _note(found: dict[str, dict[Any, None]], row: Mapping[str, Any], what: Any) -> None:
    for place in str(row["source"]).split(";"):
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

    Raises
    ------
    UsageError
        If no table names the study; the message says which name is near.
    ExtractionError
        If the data have errors.
    """
    from ketameta.inputs import load_evidence

    evidence, applied = load_evidence(paths)
    excluded = _exclusions(evidence, study)
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
    if excluded:
        blocks += [Heading("Left out, in data/exclusions.csv"), Bullets(tuple(excluded))]
    return blocks


def _exclusions(evidence: Evidence, study: str) -> list[str]:
    """Return the exclusions of a study, found by its name or by its label."""
    bare = study.replace("_", "")
    return [
        f"{row['outcome']} ({plural(int(row.number('records') or 0), 'record')}): {row['reason']}"
        for row in evidence.rows("exclusions")
        if study
        and "".join(mark for mark in row["study"].lower() if mark.isalnum()).startswith(bare)
    ]


def _trace_blocks(traces: Sequence[Trace]) -> list[Block]:
    rows = []
    for trace in traces:
        if trace.used:
            went = f"used in {', '.join(trace.used)}"
        elif trace.set_aside:
            reasons = dict.fromkeys(f"{name}: {reason}" for name, reason in trace.set_aside)
            went = "set aside; " + "; ".join(reasons)
        elif trace.effects:
            went = "no analysis asks for it"
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
