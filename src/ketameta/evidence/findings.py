"""What a check found: where, what, why, and what to do. Reads no data and decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]

#: How a line starts that a log takes for a command, and what it takes for one anywhere.
_COMMAND = re.compile(r"^\s*::|##\[")

#: A cell longer than this is cut in messages; the file and the line lead to the rest.
LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of one cell, row or file.

    Attributes
    ----------
    severity : {"error", "warning"}
        ``error``: a number cannot be used or is impossible. ``warning``: it looks wrong, and can
        be accepted with a reason.
    check : str
        Stable word of the check, such as ``"sd_ratio"``.
    file : str
        As printed: relative to the project, with slashes.
    line : int
        Row as a spreadsheet counts it (the header is 1); 0 for the file as a whole.
    column : str
        Column name; empty for a whole row or file.
    value : str
        The offending text; empty where there is none.
    why : str
        What is wrong.
    remedy : str
        What to do about it.
    row : str
        The row in words (trial, arm, outcome, time), which survives sorting the file.
    places : tuple of (str, int)
        Other rows the problem is about, as file and line.
    """

    severity: Severity
    check: str
    file: str
    line: int
    column: str
    value: str
    why: str
    remedy: str
    row: str = ""
    places: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        head = f"{place} {self.column}" if self.column else place
        parts = (head, shown(self.value), self.why, self.remedy)
        return printable(": ".join(part for part in parts if part))

    @property
    def is_error(self) -> bool:
        """Whether the data cannot be used as they are."""
        return self.severity == "error"

    @property
    def files(self) -> frozenset[str]:
        """Every file the problem is about."""
        return frozenset((self.file, *(file for file, _ in self.places)))


def file_finding(
    check: str,
    file: str,
    why: str,
    remedy: str,
    *,
    severity: Severity = "error",
    line: int = 0,
    column: str = "",
    value: str = "",
) -> Finding:
    """Return a finding about a file, or about one of its lines."""
    return Finding(severity, check, file, line, column, value, why, remedy)


#: So many findings of one kind in one column of a file are kept; the others are counted.
MOST_ALIKE = 2_000


class Gathered:
    """Findings as they come in: a file of nothing but mistakes fills no memory.

    Examples
    --------
    >>> gathered = Gathered(most=2)
    >>> for line in range(2, 7):
    ...     gathered.add(file_finding("blank_line", "a.csv", "blank", "delete it", line=line))
    >>> [(finding.line, finding.why) for finding in gathered.findings()]
    [(2, 'blank'), (3, 'blank'), (0, '3 more lines of this kind are not listed')]
    """

    def __init__(self, most: int = MOST_ALIKE) -> None:
        self._most = most
        self._found: list[Finding] = []
        self._counts: dict[tuple[str, str, str, Severity], int] = {}

    def add(self, finding: Finding) -> None:
        """Keep a finding, or count it where there are many of its kind."""
        kind = (finding.file, finding.check, finding.column, finding.severity)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= self._most:
            self._found.append(finding)

    @property
    def total(self) -> int:
        """How many findings came in."""
        return sum(self._counts.values())

    def findings(self) -> list[Finding]:
        """Return what was kept, and one finding for the rest of each kind."""
        more = [
            file_finding(
                check,
                file,
                f"{count - self._most:,} more lines of this kind are not listed",
                "mend those that are, and check again",
                severity=severity,
                column=column,
            )
            for (file, check, column, severity), count in self._counts.items()
            if count > self._most
        ]
        return [*self._found, *more]


def shown(value: str) -> str:
    """Return ``value`` fit for one line of a message: invisible characters named, long text cut."""
    cut = value if len(value) <= LONGEST_SHOWN else value[: LONGEST_SHOWN - 1] + "\u2026"
    return printable(cut)


def printable(text: str) -> str:
    r"""Return ``text`` as one line that does nothing but show, in a terminal as in a log.

    Control characters (line breaks, colours, changes of direction) are named, and what a log of
    continuous integration takes for a command is set apart.

    Examples
    --------
    >>> printable("a\n::error::b"), printable("::error::b")
    ('a<U+000A>::error::b', ': :error::b')
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in text)
    return _COMMAND.sub(lambda found: f"{found.group()[:-1]} {found.group()[-1]}", text)


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings without repeats, by file, line, severity and column."""
    return tuple(
        sorted(
            set(findings),
            key=lambda item: (
                item.file,
                item.line,
                item.severity,
                item.column,
                item.check,
                item.value,
                item.why,
                item.remedy,
                item.row,
                item.places,
            ),
        )
    )


def group_by_file(findings: Iterable[Finding]) -> dict[str, tuple[Finding, ...]]:
    """Return the sorted findings of each file, files in alphabetical order."""
    groups: dict[str, list[Finding]] = {}
    for finding in sort_findings(findings):
        groups.setdefault(finding.file, []).append(finding)
    return {file: tuple(items) for file, items in groups.items()}
