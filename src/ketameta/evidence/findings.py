"""What is wrong with a file: where, what, why, what to do; and files as text and TOML.

Knows no table.
"""

from __future__ import annotations

import codecs
import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partialmethod
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ketameta.declared import Place, Problem

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
    """Findings as they come in, those of one file by its name: many mistakes fill no memory.

    Examples
    --------
    >>> gathered = Gathered("a.csv", most=2)
    >>> for line in range(2, 7):
    ...     gathered.error("blank_line", "blank", "delete it", line)
    >>> [(finding.line, finding.why) for finding in gathered.findings()]
    [(2, 'blank'), (3, 'blank'), (0, '3 more lines of this kind are not listed')]
    """

    def __init__(self, file: str = "", most: int = MOST_ALIKE) -> None:
        self.file, self._most = file, most
        self._found: list[Finding] = []
        self._counts: dict[tuple[str, str, str, Severity], int] = {}

    def add(self, finding: Finding) -> None:
        """Keep a finding, or count it where there are many of its kind."""
        kind = (finding.file, finding.check, finding.column, finding.severity)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= self._most:
            self._found.append(finding)

    def error(
        self,
        check: str,
        why: str,
        remedy: str,
        line: int = 0,
        column: str = "",
        value: str = "",
        severity: Severity = "error",
    ) -> None:
        """Keep an error of the file."""
        self.add(Finding(severity, check, self.file, line, column, value, why, remedy))

    warn = partialmethod(error, severity="warning")

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


_IN_ORDER = attrgetter(
    *("file", "line", "severity", "column", "check", "value", "why", "remedy", "row", "places")
)


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings without repeats, by file, line, severity and column."""
    return tuple(sorted(set(findings), key=_IN_ORDER))


def group_by_file(findings: Iterable[Finding]) -> dict[str, tuple[Finding, ...]]:
    """Return the sorted findings of each file, files in alphabetical order."""
    groups: dict[str, list[Finding]] = {}
    for finding in sort_findings(findings):
        groups.setdefault(finding.file, []).append(finding)
    return {file: tuple(items) for file, items in groups.items()}


# --- text out of bytes of any encoding, and TOML out of text --------------------------------------

#: How every spreadsheet names the right format.
SAVE_AS = "save it as 'CSV UTF-8 (comma delimited)'"
#: Characters that nobody sees and that split keys: kinds of spaces, joiners, marks of direction.
HIDDEN = {
    "\u00a0": "non-breaking space",
    "\u202f": "narrow non-breaking space",
    "\u2007": "figure space",
    "\u2009": "thin space",
    "\u00ad": "soft hyphen",
    "\u200b": "zero-width space",
    "\u200c": "zero-width non-joiner",
    "\u200d": "zero-width joiner",
    "\u200e": "left-to-right mark",
    "\u200f": "right-to-left mark",
    "\u2028": "line separator",
    "\u2029": "paragraph separator",
    "\u2060": "word joiner",
    "\ufeff": "byte-order mark",
}
_AS_SPACE = {"\u00a0", "\u202f", "\u2007", "\u2009", "\u2028", "\u2029"}
_CLEANED = str.maketrans({mark: " " if mark in _AS_SPACE else "" for mark in HIDDEN})
#: Control characters but tabs and line ends, marks that turn the direction of what follows, halves
#: of a surrogate pair, and the two code points that no file may hold.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_KINDS = {
    "Cc": "a control character",
    "Cf": "an invisible character",
    "Cs": "half of a surrogate pair",
    "Co": "a private-use character, which every font draws as it likes",
    "Cn": "a code point to which no character is assigned",
}


def without_hidden(text: str) -> str:
    """Return ``text`` with invisible characters removed and odd spaces made plain."""
    return harmless(text.translate(_CLEANED)).strip()


def harmless(text: str) -> str:
    r"""Return ``text`` without the characters that act on a screen or break a file.

    Those that are spaces become one, halves of a surrogate pair become U+FFFD, the rest is left
    out.

    Examples
    --------
    >>> harmless("a\x07b\x0cc")
    'ab c'
    """
    return _HARMFUL.sub(_instead, text)


def _instead(found: re.Match[str]) -> str:
    character = found.group()
    if "\ud800" <= character <= "\udfff" or character >= "\ufffe":
        return "\ufffd"
    return " " if character.isspace() else ""


def kind_of_character(character: str) -> str:
    """Return what a character that cannot be printed is, in words."""
    return _KINDS.get(unicodedata.category(character), "a space of another kind")


def decode(data: bytes, file: str = "") -> tuple[str, Finding | None]:
    """Return the text of ``data`` and, if it is not plain UTF-8, what to report of the file."""

    def said(severity: Severity, check: str, line: int, value: str, why: str, how: str) -> Finding:
        return Finding(severity, check, file, line, "", value, why, how)

    if data.startswith(codecs.BOM_UTF8):
        text, inner = decode(data[len(codecs.BOM_UTF8) :], file)
        why = "the file starts with an invisible byte-order mark"
        how = "save it as UTF-8 without a mark (it is read correctly all the same)"
        return text, inner or said("warning", "byte_order_mark", 1, "", why, how)
    wide = wide_encoding(data)
    if wide:
        text = data.decode(wide, errors="replace").lstrip("\ufeff")
        why = "the file is UTF-16, not UTF-8"
        return text, said("error", "encoding", 0, "", why, SAVE_AS)
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as error:
        line = 1 + len(re.findall(rb"\r\n?|\n", data[: error.start]))
        character = data[error.start : error.start + 1].decode("cp1252", errors="replace")
        why = "the file is not UTF-8; this character looks like Windows-1252"
        text = data.decode("cp1252", errors="replace")
        return text, said("error", "encoding", line, character, why, SAVE_AS)


def wide_encoding(data: bytes) -> str:
    """Return the UTF-16 variant of ``data``, or an empty string."""
    if data.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if data.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    sample = data[:400]
    if len(sample) >= 8 and sample[1::2].count(0) > 0.8 * len(sample[1::2]):
        return "utf-16-le"
    if len(sample) >= 8 and sample[0::2].count(0) > 0.8 * len(sample[0::2]):
        return "utf-16-be"
    return ""


#: A file of declarations is larger than this only by accident.
LARGEST_TOML = 1_000_000
#: Tables, lists and dotted names inside one another; ours need four.
_DEEPEST = 20
#: No count, year or dose is larger.
_LARGEST_WHOLE = 10**15
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*+"|\'[^\'\n]*+\'')
_CHAIN = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{_DEEPEST},}}")
_MEND = "look for a missing quotation mark, bracket or equals sign there"


@lru_cache(256)
def _loaded(text: str) -> tuple[dict[str, Any] | None, list[tuple[str, str, str]]]:
    """Return a document, which nobody changes, or what in it nothing here can be."""
    document = tomllib.loads(text)
    odd = []
    left: list[tuple[str, int, object]] = [("", 0, document)]
    while left:
        key, depth, value = left.pop()
        if depth > _DEEPEST:
            why = "lists or tables are nested too deeply"
            odd.append((key, why, "nothing here needs more than four levels"))
        elif isinstance(value, dict):
            for name, item in value.items():
                left.append((f"{key}.{name}" if key else name, depth + 1, item))
                if not name.isprintable():
                    odd.append((key, "a name holds a control character", "write it in letters"))
        elif isinstance(value, list):
            left.extend((key, depth + 1, item) for item in value)
        elif isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
            odd.append((key, "the number is too large to be meant", "check the number"))
    return (None if odd else _each_text(document)), odd[::-1]


def read_toml(path: Path, file: str) -> tuple[dict[str, Any] | None, Lines, tuple[Finding, ...]]:
    """Return a TOML document, its lines, and every reason why it cannot be read or used.

    There is no document where it cannot be read, and neither a document nor a finding where there
    is no such file. A document may come with findings: what is not UTF-8 is still read, so that
    everything else that is wrong can be said at once. ``file`` is the path as messages print it.
    """

    def refused(why: str, remedy: str, line: int = 0, column: str = "") -> Finding:
        return file_finding("toml_unreadable", file, why, remedy, line=line, column=column)

    if not (path.exists() or path.is_symlink()):
        return None, Lines(), ()
    try:
        if path.is_dir():
            why, remedy = "this is a folder, where a file belongs", "move or rename it"
            return None, Lines(), (refused(why, remedy),)
        size = path.stat().st_size
        if size > LARGEST_TOML or not path.is_file():
            what = f"a file of {size:,} bytes" if path.is_file() else "no file of the ordinary kind"
            remedy = f"put a text of at most {LARGEST_TOML:,} bytes in its place"
            return None, Lines(), (refused(f"this is {what}, so it is not read", remedy),)
        data = path.read_bytes()
    except OSError as error:
        why = f"the file cannot be opened ({error.strerror})"
        return None, Lines(), (refused(why, "check what it is, and who may read it"),)
    text, problem = decode(data, file)
    lines = Lines(text.splitlines())
    findings = []
    if problem is not None:
        remedy = "save it as UTF-8" if problem.is_error else problem.remedy
        findings.append(replace(problem, remedy=remedy))
    for number, line_of_text in enumerate(lines, 1):
        if line_of_text.count(".") > _DEEPEST and _CHAIN.search(_QUOTED.sub("_", line_of_text)):
            findings.append(refused("names are joined too deeply", "write short names", number))
            return None, lines, tuple(findings)
    try:
        document, odd = _loaded(text)
    except RecursionError:
        why = "lists or tables are nested too deeply"
        return None, lines, (*findings, refused(why, "nothing here needs more than four levels"))
    except ValueError as error:
        found = re.search(r"at line (\d+)", str(error))
        endless = (n for n, line in enumerate(lines, 1) if re.search(r"[0-9_]{1000}", line))
        number = int(found.group(1)) if found else next(endless, 0)
        what, remedy = str(error), _MEND
        if "set_int_max_str_digits" in what:
            what, remedy = "a whole number of thousands of digits", "check the number"
        elif what.startswith("Cannot"):
            place = f", line {number}" if number else ""
            what = f"a name stands twice{place}"
            remedy = "keep one of the two; a list written as name = [] and as [[name]] is one name"
        why = f"the file is not valid TOML ({what})"
        # What is not UTF-8 was read as another encoding: what follows from that is not said.
        wrong = [replace(item, check="toml_unreadable") for item in findings if item.is_error]
        return None, lines, tuple(wrong) or (*findings, refused(why, remedy, number))
    findings += [
        refused(why, remedy, lines.line_of(tuple(key.split("."))), key) for key, why, remedy in odd
    ]
    return document, lines, tuple(findings)


def _each_text(value: Any) -> Any:
    """Return a document whose texts hold no harmful character, escaped ones included."""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, dict):
        return {harmless(key): _each_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item) for item in value]
    return value


_NAME = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_NAMES = rf"\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*"
_HEAD, _SET = re.compile(rf"\s*(\[\[?){_NAMES}\]"), re.compile(rf"{_NAMES}=")


class Lines(list[str]):
    """The lines of a TOML file, and where each table and key of it stands."""

    @cached_property
    def _places(self) -> tuple[dict[Place, int], list[tuple[Place, Place]]]:
        """The first line of each place, and of each line the place that it belongs to.

        A place is known with the numbers of entries of lists of tables, and without any.
        """
        first: dict[Place, int] = {}
        of_line: list[tuple[Place, Place]] = []
        last: dict[Place, int] = {}
        table: Place = ()
        place: Place = ()
        for number, line in enumerate(self, 1):
            if found := _HEAD.match(line):
                table, names = (), _names(found[2])
                for depth, name in enumerate(names, 1):
                    table = (*table, name)
                    if depth == len(names) and found[1] == "[[":
                        last[table] = last.get(table, -1) + 1
                    table = (*table, last[table]) if table in last else table
                place = table
            elif found := _SET.match(line):
                place = (*table, *_names(found[1]))
            bare = tuple(part for part in place if isinstance(part, str))
            of_line.append((place, bare))
            for known in (place, bare):
                for end in range(len(known), 0, -1):
                    first.setdefault(known[:end], number)
        return first, of_line

    def line_of(self, place: Place, value: str = "") -> int:
        """Return the line on which a place is written, or else the nearest table round it, or 0.

        A place without numbers is that of any entry of a list of tables. ``value`` is a text of the
        place, which may stand some lines below its key.
        """
        first, of_line = self._places
        known = next((end for end in range(len(place), 0, -1) if place[:end] in first), 0)
        if value and known == len(place):
            quoted = re.compile(rf"""["']{re.escape(value)}["']""")
            for number, (line, within) in enumerate(zip(self, of_line, strict=True), 1):
                if place in (within[0][:known], within[1][:known]) and quoted.search(line):
                    return number
        return first[place[:known]] if known else 0


def _names(text: str) -> Place:
    """Return the names that points join, without their quotation marks."""
    return tuple(name.strip("\"'") for name in re.findall(_NAME, text))


def read_entries(
    path: Path, file: str, name: str
) -> tuple[list[dict[str, object]], Lines, tuple[Finding, ...]]:
    """Return the ``[[name]]`` tables of a file that holds nothing else, and what is wrong with it.

    No file has no tables. ``file`` is the path as messages print it.
    """
    document, lines, findings = read_toml(path, file)
    entries = (document or {}).get(name, [])
    remedy = f"write [[{name}]]"
    wrong = [
        file_finding(name, file, f"[{key}] is not known here", remedy, line=lines.line_of((key,)))
        for key in sorted(set(document or ()) - {name})
    ]
    if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
        line = lines.line_of((name,))
        wrong.append(file_finding(name, file, f"{name}s are a list", remedy, line=line))
        entries = []
    return entries, lines, (*findings, *wrong)


#: How a problem starts: with its key, in brackets where that is a table.
_KEY = re.compile(r"\[?(?P<key>[a-z0-9_]+(?:\.[a-z0-9_]+)*)\]?(?P<what>:| is| of) ", re.DOTALL)
#: The text that a problem is about.
_VALUE = re.compile(r"'([^']+)'")


def key_finding(
    check: str,
    problem: Problem | str,
    file: str,
    lines: Lines,
    table: Place = (),
    severity: Severity = "error",
) -> Finding:
    """Return a problem of a TOML file, what is wrong parted from what to do.

    Its line is that of its place, or of the key with which it starts, in the ``table`` given.
    """
    text, place = (problem, ()) if isinstance(problem, str) else problem
    key, quoted = "", _VALUE.search(text)
    found = _KEY.match(text)
    if found is not None:
        key, rest = found["key"], text[found.end() :]
        text = {":": "", " is": "it is ", " of": "of "}[found["what"]] + rest
    why, _, remedy = text.partition("; ")
    place = (*table, *(place or filter(None, key.split("."))))
    line = lines.line_of(place, quoted[1] if quoted else "")
    return file_finding(check, file, why, remedy, severity=severity, line=line, column=key)
