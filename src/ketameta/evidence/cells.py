"""One cell: cleaned, read as its column's type, or refused with the reason. Sees no other cell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ketameta.evidence.findings import Severity, shown
from ketameta.evidence.schema import Column
from ketameta.evidence.textfiles import HIDDEN, kind_of_character, without_hidden

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WITH_COMMA = re.compile(r"[+-]?[0-9.]*,[0-9,.]+")
_MINUSES = "\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d"
_ABSENT = {
    "na", "n/a", "n.a.", "nan", "nd", "n.d.", "nr", "n.r.", "ns", "n.s.", "none", "null", "nil",
    "-", "--", ".", "?", "x", "not reported", "not stated", "missing", "unknown",
}  # fmt: skip
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    rf"[0-9]{{1,2}}[-./ ]{_MONTH}(?:[-./ ][0-9]{{2,4}})?|{_MONTH}[-./ ][0-9]{{1,4}}"
    r"|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2,4}|[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9:]+)?",
    re.IGNORECASE,
)
#: In text, only the spreadsheet's own spelling of a range is certain to be one.
_DATE_IN_TEXT = re.compile(rf"[0-9]{{1,2}}-{_MONTH}|{_MONTH}-[0-9]{{1,4}}", re.IGNORECASE)
_RANGE = re.compile(r"[0-9.]+ ?(?:-|\u2013|to) ?[0-9.]+", re.IGNORECASE)
_SPREADSHEET_ERROR = re.compile(
    r"#(?:REF!|N/A|NAME\?|DIV/0!|VALUE!|NUM!|NULL!|SPILL!|CALC!|GETTING_DATA|BLOCKED!|FIELD!"
    r"|CONNECT!|UNKNOWN!|#+)|Err:[0-9]{3}"
)
_FORMULA = re.compile(r"=.+|[+@][A-Z]+[A-Z0-9]*\(.*\)|\+[A-Z]{1,2}[0-9]+\b.*")
_SCIENTIFIC = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE]\+?[0-9]+")
_UNUSUAL = re.compile(r"[^\x20-\x7e]|^[=#+@]|Err:|\A\s|\s\Z")
#: UTF-8 that was read as Windows-1252: two characters where one was meant.
_GARBLED = re.compile("[\u00c2\u00c3][\u0080-\u00bf\u0152-\u2122]|\u00e2\u20ac|\ufffd")
#: Nothing measured in a trial is larger; what is, is a typing error or an identifier.
_LARGEST = 1e12
#: Nothing but 0 is smaller, p-values included.
_SMALLEST = 1e-50
#: No number is written with more characters, and none of what is typed by mistake for one.
_LONGEST_NUMBER = 100
#: No note or citation is longer; what is, is a text that was pasted, or a quotation mark too few.
_LONGEST = 5_000
#: What people type where one number belongs, and what to do with it.
_ADVICE = (
    (
        re.compile(rf"{_NUMBER.pattern} ?(?:\u00b1|\+/-|\+-) ?{_NUMBER.pattern}"),
        "two numbers stand in one cell",
        "give each its own column; look whether the second is an SD or an SE",
    ),
    (
        re.compile(rf"{_NUMBER.pattern} ?[(\[] ?{_NUMBER.pattern} ?%? ?[)\]]"),
        "two numbers stand in one cell",
        "give each its own column (mean and sd, or events and percent)",
    ),
    (
        re.compile(r"[0-9]+ ?(?:/|of|out of) ?[0-9]+"),
        "a count and its total stand in one cell",
        "write the count into events and the total into n",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3}(?:[ '\u2019][0-9]{3})+(?:\.[0-9]+)?"),
        "thousands are set apart",
        "write the digits without spaces or signs between them",
    ),
    (
        re.compile(r"(?:day|week|month|hour|minute)s? ?[0-9.]+|[0-9.]+ ?[a-z%\u00b0/]+", re.I),
        "words or a unit stand in the cell",
        "write the number alone, in the unit of the column (time in days: week 6 is 42)",
    ),
    (
        re.compile(rf"'{_NUMBER.pattern}|{_NUMBER.pattern} ?[*\u2020\u2021\u00a7a-d]"),
        "a sign stands beside the number",
        "write the number alone; what a footnote says goes into the note",
    ),
)


class CellProblem(NamedTuple):
    """What is wrong with a cell, before anyone knows where it stands."""

    severity: Severity
    check: str
    why: str
    remedy: str


def read_cell(column: Column, typed: str) -> tuple[str, float | None, list[CellProblem]]:
    """Return the clean text, the number (of a number column that could be read), the problems.

    The text is without invisible characters and outer spaces: what other checks see.
    """
    if not typed:
        return "", None, []
    problems: list[CellProblem] = []
    text = typed
    if len(typed) > _LONGEST:
        too_long = CellProblem(
            "error",
            "too_long",
            f"the cell holds {len(typed):,} characters, so it is not read",
            "look for a missing quotation mark, or for a text that was pasted; short words are "
            "enough",
        )
        return shown(text), None, [too_long]
    if _UNUSUAL.search(typed):
        text = " ".join(without_hidden(typed).splitlines())
        problems.extend(_look_at_characters(column, typed))
        spreadsheet = _spreadsheet_problem(text)
        if spreadsheet is not None:
            return text, None, [*problems, spreadsheet]
    if not text:
        return "", None, problems
    if column.kind in ("number", "integer"):
        number, problem = _read_number(text)
        if problem is not None:
            problems.append(problem)
        return text, number, problems
    problems.extend(_look_at_words(column, text))
    return text, None, problems


def _look_at_characters(column: Column, typed: str) -> Iterator[CellProblem]:
    """Yield what is wrong with single characters of the cell."""
    severity: Severity = "warning" if column.kind == "text" else "error"
    again = "type the cell again"
    for mark in sorted(set(typed) & HIDDEN.keys()):
        why = f"the cell contains a {HIDDEN[mark]} (U+{ord(mark):04X})"
        yield CellProblem(severity, "hidden_character", why, again)
    breaks = {"\n", "\r"} & set(typed)
    if breaks:
        why = "the cell contains a line break"
        yield CellProblem("warning", "line_break", why, "write it on one line")
    shown = {mark for mark in typed if mark in HIDDEN or mark in "\n\r" or mark.isprintable()}
    if control := sorted(set(typed) - shown):
        named = [f"{kind_of_character(mark)} (U+{ord(mark):04X})" for mark in control[:3]]
        why = f"the cell contains {' and '.join(named)}"
        yield CellProblem(severity, "hidden_character", why, again)
    if typed != typed.strip(" \t") and not breaks:
        why = "the cell starts or ends with a space"
        yield CellProblem("warning", "outer_space", why, "delete the space")
    if _GARBLED.search(typed):
        why = "a letter was garbled by a wrong encoding"
        yield CellProblem("warning", "garbled_text", why, "type the word again")


def _spreadsheet_problem(text: str) -> CellProblem | None:
    """Return the problem of a cell that holds a spreadsheet's error or formula."""
    if _SPREADSHEET_ERROR.fullmatch(text):
        why = "the spreadsheet printed an error instead of a value"
        remedy = "type the value as printed, or leave the cell empty"
        return CellProblem("error", "spreadsheet_error", why, remedy)
    if _FORMULA.fullmatch(text):
        remedy = "type what the source prints; ketameta does the arithmetic"
        return CellProblem("error", "formula", "the cell holds a formula", remedy)
    return None


def _read_number(text: str) -> tuple[float | None, CellProblem | None]:
    """Return the number in ``text`` or the reason why there is none."""
    if len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text):
        number = float(text)
        is_zero = not text.lower().partition("e")[0].strip("+-0.")
        if abs(number) <= _LARGEST and (abs(number) >= _SMALLEST or is_zero):
            return number, None
        size = "small" if abs(number) < 1 else "large"
        why = f"the number is too {size} to be a result of a trial"
        return None, CellProblem("error", "not_a_number", why, "check the value in the source")
    return None, CellProblem("error", *_no_number(text))


def _no_number(text: str) -> tuple[str, str, str]:
    """Return check, reason and remedy of a text that cannot be read as a number."""
    if len(text) > _LONGEST_NUMBER:
        why = f"the cell holds {len(text):,} characters, more than any number has"
        return "not_a_number", why, "write the number alone; a text goes into the note"
    if text.lower() in _ABSENT:
        why = "a word stands where a number belongs"
        remedy = "leave the cell empty when nothing is printed, and say why in the note"
        return "not_a_number", why, remedy
    if _WITH_COMMA.fullmatch(text):
        why = "a comma stands in a number, so that it is read as text"
        return "decimal_comma", why, "write a decimal point, and no comma between thousands"
    plain = "".join("-" if mark in _MINUSES else mark for mark in text).replace(" ", "")
    if any(mark in text for mark in _MINUSES) and _NUMBER.fullmatch(plain):
        why = "the minus is a typographic dash"
        return "minus_sign", why, f"write {plain} with a plain hyphen"
    if _DATE.fullmatch(text):
        why = "this is a date; a spreadsheet makes dates out of ranges such as 3-5"
        return "date_from_range", why, "format the column as text and type what the source prints"
    if _RANGE.fullmatch(text):
        why = "a range stands where one number belongs"
        return "not_a_number", why, "give each limit its own column"
    if text.endswith("%") and _NUMBER.fullmatch(bare := text[:-1].strip()):
        why = "a percent sign stands in a number"
        return "not_a_number", why, f"write {bare} in the percent column"
    if text[0] in "<>=~\u2264\u2265\u2248" and _NUMBER.fullmatch(bare := text[1:].strip("= ")):
        remedy = (
            f"write {bare}; the sign of a p-value goes into p_relation, any other into the note"
        )
        return "not_a_number", "a sign stands before the number", remedy
    for pattern, why, remedy in _ADVICE:
        if pattern.fullmatch(text):
            return "not_a_number", why, remedy
    remedy = "type the number as printed, without unit or sign of footnote"
    return "not_a_number", "this cannot be read as a number", remedy


def _look_at_words(column: Column, text: str) -> Iterator[CellProblem]:
    """Yield what a spreadsheet may have done to a cell that is not a number."""
    if column.kind in ("key", "list") and _SCIENTIFIC.fullmatch(text):
        yield CellProblem(
            "error",
            "scientific_id",
            "a spreadsheet turned the identifier into a number with an exponent",
            "format the column as text and type the identifier again",
        )
    elif _DATE_IN_TEXT.fullmatch(text):
        yield CellProblem(
            "error" if column.kind != "text" else "warning",
            "date_from_range",
            "a spreadsheet may have made this date out of a range such as 3-5",
            "format the column as text and type what the source prints",
        )
