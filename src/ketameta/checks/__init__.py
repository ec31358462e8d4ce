"""Finds everything wrong with the extracted data, with file, line, column, reason and remedy."""

from __future__ import annotations

from ketameta.checks.output import STYLES, check_project, format_findings, summary
from ketameta.checks.registry import CHECKS, READING, Check
from ketameta.checks.run import (
    Accepted,
    CheckReport,
    checked_evidence,
    load_evidence,
    run_checks,
)
from ketameta.findings import Finding

__all__ = [
    "CHECKS",
    "READING",
    "STYLES",
    "Accepted",
    "Check",
    "CheckReport",
    "Finding",
    "check_project",
    "checked_evidence",
    "format_findings",
    "load_evidence",
    "run_checks",
    "summary",
]
