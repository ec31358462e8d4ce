"""Measures, wraps and shortens text without a drawing library, so that a layout knows its widths.

Widths are those of DejaVu Sans, the font that matplotlib ships and every figure uses.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ketameta.figures.font_widths import BOLD, REGULAR, UNITS_PER_EM

ELLIPSIS = "…"
#: Printed for a character that the font table does not know.
UNKNOWN = "\ufffd"
#: A space at which a line is not broken.
NO_BREAK = "\u00a0"


def _expand(table: dict[int, str]) -> dict[str, int]:
    widths: dict[str, int] = {}
    for start, packed in table.items():
        code = start
        for item in packed.split():
            width, _, times = item.partition("*")
            for _ in range(int(times or 1)):
                widths[chr(code)] = int(width)
                code += 1
    return widths


_WIDTHS = {False: _expand(REGULAR), True: _expand(BOLD)}


def clean_text(text: str) -> str:
    """Return ``text`` in one line and in characters that can be measured and drawn.

    Composes accents, turns runs of spaces, tabs and line ends into one space (a space that must
    not break stays), and writes U+FFFD for a character outside the font table.
    """
    composed = unicodedata.normalize("NFC", text).replace("\ufeff", "")
    kept = composed.replace("\u202f", NO_BREAK).replace(NO_BREAK, "\0")
    joined = " ".join(kept.split()).replace("\0", NO_BREAK)
    known = _WIDTHS[False]
    return "".join(character if character in known else UNKNOWN for character in joined)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of ``text`` in points at font size ``size`` (without kerning)."""
    widths = _WIDTHS[bold]
    unknown = widths[UNKNOWN]
    return sum(widths.get(character, unknown) for character in text) * size / UNITS_PER_EM


def widest(texts: Sequence[str], size: float, *, bold: bool = False) -> float:
    """Return the width of the widest of ``texts``; 0 for none."""
    return max((text_width(text, size, bold=bold) for text in texts), default=0.0)


def _fits(text: str, width: float, size: float, bold: bool) -> bool:
    """Whether ``text`` fits, forgiving rounding in a width that was measured from it."""
    return text_width(text, size, bold=bold) <= width + 1e-6


def shorten_text(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """Return ``text``, or its beginning and an ellipsis, no wider than ``width`` points.

    The ellipsis alone is returned where not even one character fits.
    """
    if _fits(text, width, size, bold):
        return text
    for stop in range(len(text) - 1, 0, -1):
        candidate = text[:stop].rstrip(" ,;:(") + ELLIPSIS
        if _fits(candidate, width, size, bold):
            return candidate
    return ELLIPSIS


def wrap_text(
    text: str, width: float, size: float, *, bold: bool = False, most: int | None = None
) -> tuple[str, ...]:
    """Return ``text`` in lines no wider than ``width`` points, broken at spaces.

    A word that is too wide for a line is broken inside. With ``most``, the last line allowed
    ends in an ellipsis when words are left over. An empty text gives no lines.
    """
    lines: list[str] = []
    current = ""
    for word in _breakable_words(text, width, size, bold):
        candidate = f"{current} {word}" if current else word
        if not current or _fits(candidate, width, size, bold):
            current = candidate
            continue
        lines.append(current)
        current = word
    if current:
        lines.append(current)
    if most is not None and len(lines) > most:
        rest = " ".join(lines[most - 1 :])
        lines = [*lines[: most - 1], shorten_text(rest, width, size, bold=bold)]
    return tuple(lines)


def _breakable_words(text: str, width: float, size: float, bold: bool) -> list[str]:
    words: list[str] = []
    for word in text.split(" "):
        rest = word
        while len(rest) > 1 and not _fits(rest, width, size, bold):
            stop = len(rest) - 1
            while stop > 1 and not _fits(rest[:stop], width, size, bold):
                stop -= 1
            words.append(rest[:stop])
            rest = rest[stop:]
        if rest:
            words.append(rest)
    return words
