"""Text out of bytes of any encoding, and TOML out of text. Knows no table."""

from __future__ import annotations

import codecs
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

from ketameta.errors import SpecError
from ketameta.findings import Finding, Severity, file_finding

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


def decode(data: bytes) -> tuple[str, tuple[Severity, str, int, str, str, str] | None]:
    """Return the text of ``data`` and, if it is not plain UTF-8, what to report.

    The second value holds severity, check, line, value, why and remedy.
    """
    if data.startswith(codecs.BOM_UTF8):
        problem: tuple[Severity, str, int, str, str, str] = (
            "warning",
            "byte_order_mark",
            1,
            "",
            "the file starts with an invisible byte-order mark",
            "save it as UTF-8 without a mark (it is read correctly all the same)",
        )
        text, inner = decode(data[len(codecs.BOM_UTF8) :])
        return text, inner or problem
    wide = wide_encoding(data)
    if wide:
        return data.decode(wide, errors="replace").lstrip("\ufeff"), (
            "error",
            "encoding",
            0,
            "",
            "the file is UTF-16, not UTF-8",
            SAVE_AS,
        )
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as error:
        line = 1 + len(re.findall(rb"\r\n?|\n", data[: error.start]))
        character = data[error.start : error.start + 1].decode("cp1252", errors="replace")
        return data.decode("cp1252", errors="replace"), (
            "error",
            "encoding",
            line,
            character,
            "the file is not UTF-8; this character looks like Windows-1252",
            SAVE_AS,
        )


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


def load_toml(path: Path) -> dict[str, Any]:
    """Return the TOML document of a file.

    Raises
    ------
    SpecError
        If it cannot be opened, or is not TOML; the place is named.
    """
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise SpecError(f"{path.name}: cannot be read as TOML: {error}") from error


def read_toml(
    path: Path, file: str
) -> tuple[dict[str, Any] | None, list[str], tuple[Finding, ...]]:
    """Return a TOML document and its lines, or the finding that says why it cannot be read.

    A file that does not exist gives no document and no finding.
    """
    if not path.exists():
        return None, [], ()
    try:
        text, _ = decode(path.read_bytes())
        return parse_toml(text), text.splitlines(), ()
    except OSError as error:
        why, line = f"the file cannot be opened ({error.strerror})", 0
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        found = re.search(r"at line (\d+)", str(error))
        why, line = f"the file is not valid TOML ({error})", int(found.group(1)) if found else 0
    remedy = "look for a missing quotation mark, bracket or equals sign there"
    return None, [], (file_finding("toml_unreadable", file, why, remedy, line=line),)


def parse_toml(text: str) -> dict[str, Any]:
    """Return a TOML document whose texts hold no harmful character, escaped ones included.

    Raises
    ------
    tomllib.TOMLDecodeError
    """
    document: dict[str, Any] = _each_text(tomllib.loads(text))
    return document


def _each_text(value: Any) -> Any:
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, dict):
        return {harmless(key): _each_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item) for item in value]
    return value
