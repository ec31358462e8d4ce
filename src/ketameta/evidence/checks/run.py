"""Runs every check and sorts what they say: errors, warnings, and warnings accepted in a note."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ketameta.errors import ExtractionError, did_you_mean
from ketameta.evidence.checks.context import Context
from ketameta.evidence.checks.registry import CHECKS, NUMBERS, READING
from ketameta.evidence.checks.search import search_findings
from ketameta.evidence.checks.values import declaration_letters
from ketameta.evidence.corrections import (
    Applied,
    corrections_path,
    load_corrections,
    try_corrections,
)
from ketameta.evidence.findings import Finding, Gathered, file_finding, sort_findings
from ketameta.evidence.load import batch_folders, load_tables
from ketameta.evidence.schema import BATCH_TABLES, SHARED_TABLES
from ketameta.evidence.second_extraction import reconcile
from ketameta.evidence.tables import Evidence, Row
from ketameta.formatting import plural
from ketameta.paths import ProjectPaths

#: Lists beside the batches that the checks look at.
_LISTS = (
    *(f"{table.name}.csv" for table in SHARED_TABLES),
    "corrections.toml",
    "search.toml",
    "claims.toml",
)


def resolved(paths: ProjectPaths, item: str | Path) -> Path:
    """Return the folder or file meant by a batch name or a path."""
    named = paths.extracted / item
    if isinstance(item, str) and "/" not in item and named.is_dir() and not Path(item).exists():
        return named
    return Path(item)


def outside_folders(paths: ProjectPaths, chosen: Sequence[Path]) -> Iterator[Path]:
    """Yield the batch folders that lie outside ``data/`` and have to be read beside it."""
    data = paths.data.resolve()
    for item in chosen:
        folder = item if item.is_dir() else item.parent
        place = folder.resolve()
        if place in (paths.root.resolve(), paths.analyses.resolve()) or place.is_relative_to(data):
            continue
        yield folder


def concerns(paths: ProjectPaths, finding: Finding, chosen: Sequence[Path]) -> bool:
    """Return whether a finding is about one of the chosen folders or files."""
    names = [paths.relative(item) for item in chosen]
    return any(
        name == "." or file == name or file.startswith(f"{name.rstrip('/')}/")
        for name in names
        for file in finding.files
    )


def hinders(paths: ProjectPaths, finding: Finding, evidence: Evidence) -> bool:
    """Return whether a list that every batch needs could not be read, so nothing is certain."""
    for name in ("outcome_words", "instruments"):
        is_its = finding.file == paths.relative(paths.data / f"{name}.csv")
        if is_its and finding.is_error and not evidence.tables.get(name):
            return True
    return False


def not_read(
    paths: ProjectPaths, chosen: Sequence[Path], evidence: Evidence, found: Sequence[Finding]
) -> Iterator[Finding]:
    """Yield each chosen file or folder that holds nothing the checks read."""
    files = {row.file for rows in evidence.tables.values() for row in rows}
    files |= {row.file for rows in evidence.refused.values() for row in rows}
    files |= {finding.file for finding in found}
    files |= {paths.relative(paths.data / name) for name in _LISTS}
    files |= {paths.relative(path) for path in paths.analyses.glob("*.toml")}
    for item in chosen:
        name = paths.relative(item)
        inside = name == "." or any(file == name or file.startswith(f"{name}/") for file in files)
        if inside or not item.exists() or _is_table(item):
            continue
        why = "this is no table and no batch, so nothing of it was checked"
        names = [folder.name for folder in batch_folders(paths)]
        remedy = f"name a batch folder or one of its tables; the batches are {', '.join(names)}"
        yield file_finding("file_unknown", name, why, remedy)


def _is_table(item: Path) -> bool:
    """Return whether a file, or a file in a folder, has the name of a table."""
    names = {f"{table.name}.csv" for table in BATCH_TABLES}
    return item.name in names or (item.is_dir() and any((item / name).exists() for name in names))


_ACCEPT = re.compile(r"\baccept:\s*(?P<word>[\w-]+)(?:\s+because\s+(?P<reason>[^;]*))?", re.I)
_NOTE_COLUMNS = ("note", "notes", "support")
_NUMBER_WORDS = frozenset(check.word for check in NUMBERS)
_WORDS = frozenset((*(check.word for check in CHECKS), *READING))


@dataclass(frozen=True, slots=True)
class Accepted:
    """A finding that somebody looked at and let stand, and the reason given."""

    finding: Finding
    reason: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Everything the checks found.

    Attributes
    ----------
    findings : tuple of Finding
        Errors and warnings, by file and line.
    accepted : tuple of Accepted
    counts : mapping of str to int
        Rows read, by table.
    refused : mapping of str to int
        Rows that could not be read, by table.
    applied : tuple of Applied
        Corrections that were applied before the checks ran.
    """

    findings: tuple[Finding, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    applied: tuple[Applied, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that must be mended."""
        return tuple(finding for finding in self.findings if finding.is_error)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings to look at."""
        return tuple(finding for finding in self.findings if not finding.is_error)


def run_checks(paths: ProjectPaths, only: Sequence[str | Path] | None = None) -> CheckReport:
    """Check the whole project, or report what concerns some of its batches or files.

    Parameters
    ----------
    paths : ProjectPaths
    only : sequence of str or Path, optional
        Batch names, batch folders or single files. The rest of the project is still read, because
        keys and references reach across batches, but only findings about these are reported.

    Returns
    -------
    CheckReport
    """
    report, _ = checked_evidence(paths, only)
    return report


def load_evidence(paths: ProjectPaths) -> tuple[Evidence, CheckReport]:
    """Return the corrected evidence of a project whose checks find no errors.

    Raises
    ------
    ExtractionError
        With every finding, when there is an error.
    """
    report, evidence = checked_evidence(paths)
    if report.errors:
        listed = "\n".join(f"  {finding}" for finding in report.errors[:20])
        raise ExtractionError(
            f"the data have {plural(len(report.errors), 'error')}; the first are\n{listed}",
            report.findings,
        )
    return evidence, report


#: Finds what is wrong with further files, given the corrected evidence and what was found so far.
Further = Callable[[Evidence, Sequence[Finding]], Iterable[Finding]]


def checked_evidence(
    paths: ProjectPaths,
    only: Sequence[str | Path] | None = None,
    further: Further = lambda *_: (),
    say: Callable[[str], None] = lambda _: None,
) -> tuple[CheckReport, Evidence]:
    """Return the report and the corrected evidence, whatever the report says.

    Parameters
    ----------
    paths : ProjectPaths
    only : sequence of str or Path, optional
        As for :func:`run_checks`.
    further : callable
        Yields findings about files beside the tables, which are reported with the others.
    say : callable
        Called with one line per step.
    """
    chosen = None if only is None else [resolved(paths, item) for item in only]
    known = {folder.resolve() for folder in batch_folders(paths)}
    outside = sorted(
        {folder for folder in outside_folders(paths, chosen or []) if folder.resolve() not in known}
    )
    folders = [*batch_folders(paths), *outside] if outside else None
    evidence, reading = load_tables(paths, folders, say)
    evidence, differences = reconcile(paths, evidence, outside)
    corrections, problems = load_corrections(paths)
    file = paths.relative(corrections_path(paths))
    corrected, applied, refusals = try_corrections(evidence, corrections, file)
    context = Context(corrected, reading)
    found = [
        *reading,
        *differences,
        *problems,
        *refusals,
        *search_findings(paths, corrected.tables.get("exclusions", ())),
        *declaration_letters(paths),
    ]
    found.extend(further(corrected, tuple(found)))
    gathered = Gathered()
    for check in CHECKS:
        say(f"Checking: {check.rule}")
        for problem in check.function(context):
            gathered.add(problem.finding(check.word))
    found.extend(gathered.findings())
    if chosen is not None:
        found = [
            item
            for item in found
            if concerns(paths, item, chosen) or hinders(paths, item, corrected)
        ]
        found.extend(not_read(paths, chosen, corrected, found))
    left, accepted, notes = _accept(corrected, sort_findings(found), applied)
    if chosen is not None:
        notes = [item for item in notes if concerns(paths, item, chosen)]
    report = CheckReport(
        findings=sort_findings([*left, *notes]),
        accepted=tuple(accepted),
        counts={name: len(rows) for name, rows in evidence.tables.items()},
        refused={name: len(rows) for name, rows in evidence.refused.items()},
        applied=applied,
    )
    return report, corrected


def _accept(
    evidence: Evidence, findings: Sequence[Finding], applied: Sequence[Applied]
) -> tuple[list[Finding], list[Accepted], list[Finding]]:
    """Split findings into those left and those accepted; report acceptances that are void."""
    reasons, notes = _accepted_words(evidence)
    flags = {
        (item.file, item.line): f"corrections.toml {item.correction.id}: {item.correction.reason}"
        for item in applied
        if item.correction.action == "flag"
    }
    used: set[tuple[str, int, str]] = set()
    left: list[Finding] = []
    accepted: list[Accepted] = []
    for finding in findings:
        places = ((finding.file, finding.line), *finding.places)
        excuse = ""
        for file, line in places:
            reason = reasons.get((file, line, finding.check))
            if reason is not None and not finding.is_error:
                excuse = excuse or reason[0]
                used.add((file, line, finding.check))
            elif reason is not None:
                used.add((file, line, finding.check))
                notes.append(
                    _void(
                        reason[1],
                        finding.check,
                        "an error cannot be accepted",
                        "mend the row, or flag it in corrections.toml",
                    )
                )
        if not excuse and finding.check in _NUMBER_WORDS:
            excuse = flags.get((finding.file, finding.line), "")
        if excuse:
            accepted.append(Accepted(finding, excuse))
        else:
            left.append(finding)
    for place, (_, row) in reasons.items():
        if place not in used:
            notes.append(
                _void(
                    row, place[2], "this row has no such warning any more", "delete the acceptance"
                )
            )
    return left, accepted, notes


def _accepted_words(
    evidence: Evidence,
) -> tuple[dict[tuple[str, int, str], tuple[str, Row]], list[Finding]]:
    """Return the reason for each word accepted in a row, and what is wrong with the notes."""
    reasons: dict[tuple[str, int, str], tuple[str, Row]] = {}
    notes: list[Finding] = []
    for rows in evidence.tables.values():
        for row in rows:
            for column in _NOTE_COLUMNS:
                text = row[column]
                if "accept:" not in text.lower():
                    continue
                matches = list(_ACCEPT.finditer(text))
                if not matches:
                    notes.append(
                        _void(
                            row,
                            text,
                            "no check is named",
                            "write 'accept: <check> because <reason>'",
                        )
                    )
                for match in matches:
                    word, reason = match["word"].lower(), (match["reason"] or "").strip()
                    if word not in _WORDS:
                        notes.append(
                            _void(
                                row,
                                word,
                                "no check has this name",
                                "write the word "
                                "that stands behind the warning"
                                + did_you_mean(word, sorted(_WORDS)),
                            )
                        )
                    elif not reason:
                        notes.append(
                            _void(
                                row,
                                word,
                                "the reason is missing",
                                f"write 'accept: {word} because <reason>'",
                            )
                        )
                    else:
                        reasons[(row.file, row.line, word)] = (reason, row)
    return reasons, notes


def _void(row: Row, word: str, why: str, remedy: str) -> Finding:
    """Return the warning that an acceptance does nothing."""
    column = next((name for name in _NOTE_COLUMNS if "accept:" in row[name].lower()), "note")
    return file_finding(
        "accept",
        row.file,
        why,
        remedy,
        severity="warning",
        line=row.line,
        column=column,
        value=word,
    )
