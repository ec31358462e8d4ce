"""Every check by its word; runs them and writes what they say as text, JSON or annotations."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from ketameta.errors import check_choice, did_you_mean
from ketameta.evidence.checks import keys, printed, rows, scores, values
from ketameta.evidence.checks.context import RULES, Context, unread_tables, warning
from ketameta.evidence.checks.search import search_findings
from ketameta.evidence.checks.values import declaration_letters
from ketameta.evidence.corrections import (
    Applied,
    corrections_path,
    load_corrections,
    reconcile,
    try_corrections,
)
from ketameta.evidence.findings import (
    Finding,
    Gathered,
    file_finding,
    group_by_file,
    printable,
    sort_findings,
)
from ketameta.evidence.project import is_unread
from ketameta.evidence.second_extraction import Comparison, compare_batches
from ketameta.evidence.tables import BATCH_FILES, LISTS, Evidence, Row, batch_folders, load_tables
from ketameta.formatting import plural
from ketameta.paths import Keep, ProjectPaths, made_anew, project_paths

_ROOMS = (keys, printed, rows, scores, values)
#: Every check, in alphabetical order; each room adds its own.
CHECKS = tuple(RULES[word] for word in sorted(RULES))
#: What the reading layer and the lists beside the tables report, by word.
READING: dict[str, str] = {
    "file_missing": "A file or folder that is needed is there.",
    "file_unknown": "Every file below data/ has the name of a table or list that is read.",
    "link": "Nothing below data/ or in analyses/ is a link.",
    "batch_name": "Batches are named by letters, digits, _ and -.",
    "file_unreadable": "Every file can be opened.",
    "too_large": "No file is larger, and no line wider, than any table can be.",
    "too_many": "No file holds more mistakes than anybody mends at once.",
    "not_csv": "A file that ends in .csv is one, not a workbook, a PDF or a picture.",
    "empty_file": "Every file has a header.",
    "empty_table": "A table has rows.",
    "encoding": "Every file is UTF-8.",
    "byte_order_mark": "No file starts with a byte-order mark.",
    "separator": "Cells are separated by commas.",
    "quotes": "Quotation marks pair up.",
    "header_missing": "The first line is the header of the table.",
    "line_above_header": "Nothing stands above the header.",
    "column_unnamed": "Every column that holds something has a name.",
    "column_unknown": "Every column is one of the schema, in its spelling.",
    "column_missing": "Every column of the schema is there.",
    "column_duplicated": "No column stands twice.",
    "blank_line": "No line is blank.",
    "ragged_row": "Every row has as many cells as the header.",
    "spreadsheet_error": "No cell holds a spreadsheet's error such as #REF!.",
    "formula": "No cell holds a formula.",
    "hidden_character": "No cell holds invisible characters.",
    "line_break": "No cell holds a line break.",
    "outer_space": "No cell starts or ends with a space.",
    "garbled_text": "No letter was garbled by a wrong encoding.",
    "decimal_comma": "Numbers have decimal points and no thousands separators.",
    "minus_sign": "A minus is a plain hyphen.",
    "not_a_number": "A column of numbers holds numbers; nothing printed is an empty cell.",
    "too_long": "No cell holds a whole text.",
    "date_from_range": "No range was turned into a date.",
    "scientific_id": "No identifier was turned into a number with an exponent.",
    "toml_unreadable": "Every TOML file can be read.",
    "correction": "Every correction is complete and matches one row with the value it expects.",
    "project_words": "The words and moderators of project.toml can be used.",
    "search_form": "The record of the search has what a report prints of it.",
    "search_flow": "The counts of the search add up.",
    "search_records": "The records extracted, converted and excluded add up.",
    "search_date": "The dates of the search are dates.",
    "analysis": "An analysis file asks for nothing that the words and the other files contradict.",
    "no_direction": "Scales of a standardised analysis have a better end.",
    "text": "A text of a page names what results hold, and types no number.",
    "claim": "A public claim is complete, and names analyses that exist.",
    "accept": "What a note accepts is a warning of that row, with a reason.",
    "unreconciled": "Where two extractors differ, somebody has decided.",
    "third_value": "A value that neither extractor typed has a reason beside it.",
    "same_extractor": "Two extractions are by two people.",
    "reconciliation": "Every decision on two extractions fits the tables and can be used.",
}


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
    """Return whether a file that every batch needs could not be read, so nothing is certain."""
    lists = [name for name in ("outcome_words", "instruments") if not evidence.tables.get(name)]
    files = [paths.relative(paths.data / f"{name}.csv") for name in lists]
    return is_unread([finding]) or (finding.is_error and finding.file in files)


def not_read(
    paths: ProjectPaths, chosen: Sequence[Path], evidence: Evidence, found: Sequence[Finding]
) -> Iterator[Finding]:
    """Yield each chosen file or folder that holds nothing the checks read."""
    files = {row.file for rows in evidence.tables.values() for row in rows}
    files |= {row.file for rows in evidence.refused.values() for row in rows}
    files |= {finding.file for finding in found}
    texts = (*paths.analyses.glob("*.toml"), *paths.analyses.glob("text/*.md"))
    files |= {paths.relative(path) for path in (*texts, *(paths.data / name for name in LISTS))}
    for item in chosen:
        name = paths.relative(item)
        inside = name == "." or any(file == name or file.startswith(f"{name}/") for file in files)
        is_table = item.name in BATCH_FILES or any((item / it).exists() for it in BATCH_FILES)
        if inside or not item.exists() or is_table:
            continue
        why = "this is no table and no batch, so nothing of it was checked"
        names = [folder.name for folder in batch_folders(paths)]
        remedy = f"name a batch folder or one of its tables; the batches are {', '.join(names)}"
        yield file_finding("file_unknown", name, why, remedy)


_ACCEPT = re.compile(r"\baccept:\s*(?P<word>[\w-]+)(?:\s+because\s+(?P<reason>[^;]*))?", re.I)
_NOTE_COLUMNS = ("note", "notes", "support")
_NUMBER_WORDS = frozenset(check.word for check in CHECKS if check.of_numbers)
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
    elsewhere : tuple of Finding
        Errors that concern none of the batches or files asked about.
    compared : tuple of Comparison
        The two extractions of each batch that has two.
    """

    findings: tuple[Finding, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    applied: tuple[Applied, ...] = ()
    elsewhere: tuple[Finding, ...] = ()
    compared: tuple[Comparison, ...] = ()

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

    ``only`` are batch names, batch folders or single files. The rest of the project is still read,
    because keys and references reach across batches, but only findings about these are reported.
    """
    report, _ = checked_evidence(paths, only)
    return report


#: Finds what is wrong with further files, given the corrected evidence and what was found so far.
Further = Callable[[Evidence, Sequence[Finding]], Iterable[Finding]]


def checked_evidence(
    paths: ProjectPaths,
    only: Sequence[str | Path] | None = None,
    further: Further = lambda *_: (),
    say: Callable[[str], None] = lambda _: None,
    keep: Keep = made_anew,
) -> tuple[CheckReport, Evidence]:
    """Return the report of :func:`run_checks` and the corrected evidence, whatever the report says.

    ``further`` yields findings about files beside the tables, which are reported with the others;
    ``say`` is called with one line per step; ``keep`` is given what reads and checks the tables.
    """
    chosen = None if only is None else [_locate(paths, item) or Path(item) for item in only]
    known = {folder.resolve() for folder in batch_folders(paths)}
    outside = sorted(
        {folder for folder in outside_folders(paths, chosen or []) if folder.resolve() not in known}
    )
    folders = [*batch_folders(paths), *outside] if outside else None
    evidence, corrected, applied, read, checked, compared = keep(
        "evidence", partial(_read, paths, folders, outside, say)
    )
    found = [*read, *declaration_letters(paths)]
    found.extend(further(corrected, tuple(found)))
    found.extend(checked)
    elsewhere: tuple[Finding, ...] = ()
    if chosen is not None:
        here = [
            item
            for item in found
            if concerns(paths, item, chosen) or hinders(paths, item, corrected)
        ]
        listed = set(here)
        elsewhere = tuple(item for item in found if item.is_error and item not in listed)
        found = [*here, *not_read(paths, chosen, corrected, here)]
    left, accepted, notes = _accept(corrected, sort_findings(found), applied)
    if is_unread(read) or unread_tables(evidence, read):
        notes = []
    elif chosen is not None:
        notes = [item for item in notes if concerns(paths, item, chosen)]
    notes = _beside_whole_tables(paths, notes, read)
    report = CheckReport(
        findings=sort_findings([*left, *notes]),
        accepted=tuple(accepted),
        counts={name: len(rows) for name, rows in evidence.tables.items()},
        refused={name: len(rows) for name, rows in evidence.refused.items()},
        applied=applied,
        elsewhere=elsewhere,
        compared=compared,
    )
    return report, corrected


#: Tables reconciled and corrected, corrections, findings of readers and of checks, comparisons.
_Read = tuple[
    Evidence, Evidence, tuple[Applied, ...], tuple[Finding, ...], tuple[Finding, ...],
    tuple[Comparison, ...],
]  # fmt: skip


def _read(
    paths: ProjectPaths,
    folders: Sequence[Path] | None,
    outside: Sequence[Path],
    say: Callable[[str], None],
) -> _Read:
    """Return the tables and what is wrong with them; nothing but ``data/`` and the project's file.

    The batches of the project are read where ``folders`` is ``None``. Without the words of a
    project whose file cannot be read, nothing is corrected and no row is checked.
    """
    evidence, reading = load_tables(paths, folders, say)
    if is_unread(reading):
        searched = search_findings(paths, evidence.rows("exclusions"), evidence.rows("screening"))
        return evidence, evidence, (), (*reading, *searched), (), ()
    unread = unread_tables(evidence, reading)
    compared = compare_batches(paths, evidence, outside)
    evidence, differences = reconcile(paths, evidence, compared)
    corrections, problems = load_corrections(paths)
    file = paths.relative(corrections_path(paths))
    known = [item for item in corrections if item.table not in unread]
    corrected, applied, refusals = try_corrections(evidence, known, file)
    differences = () if unread else tuple(_beside_whole_tables(paths, differences, reading))
    context = Context(corrected, reading)
    searched = search_findings(paths, corrected.rows("exclusions"), corrected.rows("screening"))
    gathered = Gathered()
    for check in CHECKS:
        say(f"Checking: {check.rule}")
        for finding in check.function(context):
            gathered.add(finding)
    found = (*reading, *differences, *problems, *refusals, *searched)
    return evidence, corrected, applied, found, tuple(gathered.findings()), compared


def batch_of(paths: ProjectPaths, file: str) -> str:
    """Return the batch of the project that a file stands in, as messages print it; or nothing."""
    parent = f"{paths.relative(paths.extracted)}/"
    name, inside, _ = file.removeprefix(parent).partition("/")
    return f"{parent}{name}" if file.startswith(parent) and inside else ""


def _beside_whole_tables(
    paths: ProjectPaths, found: Iterable[Finding], reading: Iterable[Finding]
) -> list[Finding]:
    """Return the findings of batches all of whose tables could be read."""
    in_part = {batch_of(paths, item.file) for item in reading if item.is_error} - {""}
    return [item for item in found if batch_of(paths, item.file) not in in_part]


def without_broken(
    paths: ProjectPaths, evidence: Evidence, errors: Iterable[Finding], keep: str = ""
) -> tuple[Evidence, str]:
    """Return evidence without the batches that hold errors, and one line on what was left out.

    The batch called ``keep`` stays.
    """
    counts = Counter(batch_of(paths, item.file) or item.file for item in errors)
    if not counts:
        return evidence, ""
    broken = {name for name in counts if batch_of(paths, f"{name}/") and name != keep}
    listed = ", ".join(f"{Path(name).name} ({n:,})" for name, n in sorted(counts.items()))
    told = f"{plural(sum(counts.values()), 'error')} elsewhere, not listed here: {listed}."
    return evidence.where(lambda row: batch_of(paths, row.file) not in broken), told


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
                remedy = "mend the row, or flag it in corrections.toml"
                why = "an error cannot be accepted"
                notes.append(_void(reason[1], finding.check, why, remedy))
        if not excuse and finding.check in _NUMBER_WORDS:
            excuse = flags.get((finding.file, finding.line), "")
        if excuse:
            accepted.append(Accepted(finding, excuse))
        else:
            left.append(finding)
    for place, (_, row) in reasons.items():
        if place not in used:
            why = "this row has no such warning any more"
            notes.append(_void(row, place[2], why, "delete the acceptance"))
    return left, accepted, notes


def _accepted_words(
    evidence: Evidence,
) -> tuple[dict[tuple[str, int, str], tuple[str, Row]], list[Finding]]:
    """Return the reason for each word accepted in a row, and what is wrong with the notes."""
    reasons: dict[tuple[str, int, str], tuple[str, Row]] = {}
    notes: list[Finding] = []
    texts = (
        (row, row[column])
        for rows in evidence.tables.values()
        for row in rows
        for column in _NOTE_COLUMNS
        if "accept:" in row[column].lower()
    )
    for row, text in texts:
        matches = list(_ACCEPT.finditer(text))
        if not matches:
            remedy = "write 'accept: <check> because <reason>'"
            notes.append(_void(row, text, "no check is named", remedy))
        for match in matches:
            word, reason = match["word"].lower(), (match["reason"] or "").strip()
            if word not in _WORDS:
                hint = did_you_mean(word, sorted(_WORDS))
                remedy = f"write the word that stands behind the warning{hint}"
                notes.append(_void(row, word, "no check has this name", remedy))
            elif not reason:
                remedy = f"write 'accept: {word} because <reason>'"
                notes.append(_void(row, word, "the reason is missing", remedy))
            else:
                reasons[(row.file, row.line, word)] = (reason, row)
    return reasons, notes


def _void(row: Row, word: str, why: str, remedy: str) -> Finding:
    """Return the warning that an acceptance does nothing."""
    column = next((name for name in _NOTE_COLUMNS if "accept:" in row[name].lower()), "note")
    return replace(warning(row, column, why, remedy, value=word), check="accept")


STYLES: tuple[str, ...] = ("text", "json", "github")
#: So many findings of one kind in one column of a file are shown; the others are counted.
SHOWN_ALIKE = 5


def format_findings(report: CheckReport, style: str = "text") -> str:
    """Return the report as ``text``, ``json`` or ``github`` annotations, without a final newline.

    Raises
    ------
    UsageError
        If the style is not one of the three.
    """
    style = check_choice("style", style, STYLES)
    if style == "json":
        accepted = [{**_as_dict(item.finding), "reason": item.reason} for item in report.accepted]
        document = {
            "errors": len(report.errors),
            "warnings": len(report.warnings),
            "rows": dict(report.counts),
            "rows_refused": dict(report.refused),
            "findings": [_as_dict(finding) for finding in report.findings],
            "accepted": accepted,
            "corrections_applied": [item.correction.id for item in report.applied],
            "errors_elsewhere": len(report.elsewhere),
        }
        # A log looks for commands in JSON too.
        return json.dumps(document, ensure_ascii=True, indent=2).replace("##[", "#\\u0023[")
    return _as_annotations(report) if style == "github" else _as_text(report)


def summary(report: CheckReport) -> str:
    """Return one sentence: what was read and what was found."""
    rows = sum(report.counts.values())
    parts = [plural(len(report.errors), "error"), plural(len(report.warnings), "warning")]
    if report.accepted:
        parts.append(f"{len(report.accepted):,} accepted")
    if report.elsewhere:
        parts.append(f"{plural(len(report.elsewhere), 'more error')} elsewhere, not listed here")
    refused = sum(report.refused.values())
    unread = f" ({plural(refused, 'more row')} could not be read)" if refused else ""
    return f"{plural(rows, 'row')} read{unread}: {', '.join(parts)}."


def _as_text(report: CheckReport) -> str:
    """Return findings grouped by file, one line each, and a summary at the end."""
    lines: list[str] = []
    for file, findings in group_by_file(report.findings).items():
        errors = sum(finding.is_error for finding in findings)
        lines.append(
            f"{file}: {plural(errors, 'error')}, {plural(len(findings) - errors, 'warning')}"
        )
        lines.extend(_lines_of_file(findings))
        lines.append("")
    if report.accepted:
        lines.append("Accepted, with the reason given:")
        for item in report.accepted:
            place = f"{item.finding.file}:{item.finding.line}"
            lines.append(f"  {place} {item.finding.check}: {item.reason}")
        lines.append("")
    lines.append(summary(report))
    return "\n".join(printable(line) for line in lines)


def _lines_of_file(findings: Sequence[Finding]) -> list[str]:
    """Return the lines of one file; many findings of one kind in one column are counted."""
    kinds: dict[tuple[str, str], dict[tuple[str, str, str], list[Finding]]] = {}
    for finding in findings:
        said = (finding.value, finding.why, finding.remedy)
        alike = kinds.setdefault((finding.check, finding.column), {})
        alike.setdefault(said, []).append(finding)
    lines: list[tuple[int, str]] = []
    for (check, column), alike in kinds.items():
        groups = [*alike.values()]
        shown = len(groups) if len(groups) <= SHOWN_ALIKE + 1 else SHOWN_ALIKE
        for first, *others in groups[:shown]:
            about = f" ({first.row})" if first.row else ""
            again = f", and {_places(others)}" if others else ""
            lines.append((first.line, f"  {first.severity:<7}  {first} [{check}]{about}{again}"))
        if rest := [item for group in groups[shown:] for item in group]:
            told = f"... and {len(rest):,} more {check} in {column or 'this file'}, {_places(rest)}"
            lines.append((rest[0].line, f"  {rest[0].severity:<7}  {told}"))
    return [line for _, line in sorted(lines, key=lambda item: item[0])]


def _places(findings: Sequence[Finding]) -> str:
    """Return the lines of findings, the first of many."""
    listed = [str(item.line) for item in findings]
    named = ", ".join(listed[:12])
    return f"line{'s' if len(listed) > 1 else ''} {named}{' ...' if len(listed) > 12 else ''}"


def _as_dict(finding: Finding) -> dict[str, object]:
    places = [{"file": file, "line": line} for file, line in finding.places]
    return {**asdict(finding), "places": places}


def _as_annotations(report: CheckReport) -> str:
    """Return one GitHub workflow command per finding, errors first."""
    ordered = sorted(report.findings, key=lambda finding: finding.severity)
    lines = []
    for finding in ordered:
        place = "file=" + _data(finding.file).replace(":", "%3A").replace(",", "%2C")
        if finding.line:
            place += f",line={finding.line}"
        parts = (finding.column, finding.value, finding.why, finding.remedy)
        message = ": ".join(part for part in parts if part)
        if finding.row:
            message += f" ({finding.row})"
        lines.append(f"::{finding.severity} {place},title={finding.check}::{_data(message)}")
    return "\n".join([*lines, summary(report)])


def _data(text: str) -> str:
    """Return text escaped for the message of a workflow command."""
    return printable(text).replace("%", "%25")


def check_project(
    root: str | Path | None = None,
    paths: Sequence[str | Path] | None = None,
    format: str = "text",
    read: Callable[[ProjectPaths, Sequence[Path] | None], CheckReport] = run_checks,
) -> tuple[str, int]:
    """Check a project, or some of its batches and files, and return the text and the exit code.

    Parameters
    ----------
    root : str or Path, optional
        Folder of the project; the working directory when not given.
    paths : sequence of str or Path, optional
        Batch names, folders or files; everything when not given. One that does not exist is an
        error of its own, and the others are still checked.
    format : {"text", "json", "github"}
    read : callable
        Checks the project, given the files that were asked about; the tables alone by default.

    Returns
    -------
    text : str
    exit_code : int
        1 when there is an error, 0 when there are warnings or nothing.
    """
    check_choice("format", format, STYLES)
    project = project_paths(root)
    found: list[Path] = []
    missing: list[Finding] = []
    for item in paths or ():
        located = _locate(project, item)
        if located is None:
            missing.append(_no_such_path(project, item))
        else:
            found.append(located)
    if missing and not found:
        report = CheckReport(findings=sort_findings(missing))
    else:
        report = read(project, found or None)
        report = replace(report, findings=sort_findings([*missing, *report.findings]))
    return format_findings(report, format), 1 if report.errors else 0


def _locate(project: ProjectPaths, item: str | Path) -> Path | None:
    """Return the file or folder that an argument means: as given, in the project, or a batch."""
    for candidate in (Path(item), project.root / item, project.extracted / item):
        try:
            if candidate.exists():
                return candidate
        except (OSError, ValueError):
            continue
    return None


def _no_such_path(project: ProjectPaths, item: str | Path) -> Finding:
    """Return the finding for an argument that leads nowhere."""
    names = [folder.name for folder in batch_folders(project)]
    listed = f"the batches are {', '.join(names)}" if names else "the project has no batch yet"
    hint = did_you_mean(Path(item).name, names)
    why = "there is no such file or folder"
    remedy = f"check the path; {listed}{hint}"
    return file_finding("file_missing", str(item), why, remedy)
