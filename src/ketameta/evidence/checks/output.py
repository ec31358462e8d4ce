"""The report of the checks as text, as JSON, or as annotations of a pull request."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from ketameta.errors import check_choice, did_you_mean
from ketameta.evidence.checks.run import CheckReport, run_checks
from ketameta.evidence.findings import (
    Finding,
    file_finding,
    group_by_file,
    printable,
    sort_findings,
)
from ketameta.evidence.load import batch_folders
from ketameta.formatting import plural
from ketameta.paths import ProjectPaths, project_paths

Style = Literal["text", "json", "github"]
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
        return _as_json(report)
    return _as_annotations(report) if style == "github" else _as_text(report)


def summary(report: CheckReport) -> str:
    """Return one sentence: what was read and what was found."""
    rows = sum(report.counts.values())
    parts = [plural(len(report.errors), "error"), plural(len(report.warnings), "warning")]
    if report.accepted:
        parts.append(f"{len(report.accepted):,} accepted")
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
    alike: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.check, finding.column), []).append(finding)
    seen: Counter[tuple[str, str]] = Counter()
    lines: list[str] = []
    for finding in findings:
        kind = (finding.check, finding.column)
        group, index = alike[kind], seen[kind]
        seen[kind] += 1
        if index >= SHOWN_ALIKE and len(group) > SHOWN_ALIKE + 1:
            if index == SHOWN_ALIKE:
                rest = len(group) - SHOWN_ALIKE
                lines.append(
                    f"  {finding.severity:<7}  ... and {rest:,} more {finding.check} in "
                    f"{finding.column or 'this file'}, lines "
                    f"{_line_list(group[SHOWN_ALIKE:])}"
                )
            continue
        about = f" ({finding.row})" if finding.row else ""
        lines.append(f"  {finding.severity:<7}  {finding} [{finding.check}]{about}")
    return lines


def _line_list(findings: Sequence[Finding]) -> str:
    """Return the lines of findings, the first dozen of them."""
    numbers = [str(finding.line) for finding in findings]
    return ", ".join(numbers[:12]) + (" ..." if len(numbers) > 12 else "")


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {
        "severity": finding.severity,
        "check": finding.check,
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "value": finding.value,
        "why": finding.why,
        "remedy": finding.remedy,
        "row": finding.row,
        "places": [{"file": file, "line": line} for file, line in finding.places],
    }


def _as_json(report: CheckReport) -> str:
    """Return the report as one JSON object."""
    document = {
        "errors": len(report.errors),
        "warnings": len(report.warnings),
        "rows": dict(report.counts),
        "rows_refused": dict(report.refused),
        "findings": [_as_dict(finding) for finding in report.findings],
        "accepted": [{**_as_dict(item.finding), "reason": item.reason} for item in report.accepted],
        "corrections_applied": [item.correction.id for item in report.applied],
    }
    # A log looks for commands in JSON too.
    return json.dumps(document, ensure_ascii=True, indent=2).replace("##[", "#\\u0023[")


def _as_annotations(report: CheckReport) -> str:
    """Return one GitHub workflow command per finding, errors first."""
    ordered = sorted(report.findings, key=lambda finding: finding.severity)
    lines = []
    for finding in ordered:
        place = f"file={_property(finding.file)}"
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


def _property(text: str) -> str:
    """Return text escaped for a property of a workflow command."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


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
        report = CheckReport(
            sort_findings([*missing, *report.findings]),
            report.accepted,
            report.counts,
            report.refused,
            report.applied,
        )
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
    return file_finding(
        "file_missing",
        str(item),
        "there is no such file or folder",
        f"check the path; {listed}{hint}",
    )
