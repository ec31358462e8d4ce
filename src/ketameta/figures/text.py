"""Measures, wraps and shortens text without a drawing library, so that a layout knows its widths.

Widths are asked of DejaVu Sans, the font that matplotlib ships and every figure uses.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ketameta.errors import ReportError
from ketameta.textfiles import harmless

ELLIPSIS = "…"
#: Drawn for a character that the font lacks where no other font can take its place.
UNKNOWN = "\ufffd"
#: A space at which a line is not broken.
NO_BREAK = "\u00a0"


def font_file(*, bold: bool = False) -> Path:
    """Return the file of the font that figures are drawn with.

    Raises
    ------
    ReportError
        If matplotlib, which carries it, is not installed.
    """
    found = find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise ReportError("matplotlib, whose fonts figures and page use, is not installed")
    folder = Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    return folder / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")


@cache
def _widths(bold: bool) -> Mapping[str, float]:
    """Return the width of every character of the font, in em."""
    from fontTools.ttLib import TTFont

    with TTFont(font_file(bold=bold), lazy=True) as font:
        widths, em = font["hmtx"].metrics, font["head"].unitsPerEm
        return {chr(code): widths[name][0] / em for code, name in font.getBestCmap().items()}


def is_drawn(text: str, *, bold: bool = False) -> bool:
    """Return whether the font has every character of ``text``."""
    return _widths(bold).keys() >= set(text)


def drawn_text(text: str, *, bold: bool = False) -> str:
    """Return ``text`` with U+FFFD for each character that the font lacks."""
    known = _widths(bold)
    return "".join(character if character in known else UNKNOWN for character in text)


def clean_text(text: str) -> str:
    """Return ``text`` in one line, composed, and without characters that break a file.

    Composes accents, turns runs of spaces, tabs and line ends into one space (a space that must
    not break stays). Characters that the font lacks stay: whoever shows the figure may have them.
    """
    composed = unicodedata.normalize("NFC", harmless(text)).replace("\ufeff", "")
    kept = composed.replace("\u202f", NO_BREAK).replace(NO_BREAK, "\0")
    return " ".join(kept.split()).replace("\0", NO_BREAK)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of ``text`` in points at font size ``size`` (without kerning).

    A character that the font lacks counts as wide as U+FFFD, which is a little more than its
    height; a mark that stands on another character as nothing.
    """
    widths = _widths(bold)
    return size * sum(
        widths[character] if character in widths else _width_elsewhere(character, widths)
        for character in text
    )


def _width_elsewhere(character: str, widths: Mapping[str, float]) -> float:
    is_mark = unicodedata.category(character) in ("Mn", "Me", "Cf")
    return 0.0 if is_mark else widths[UNKNOWN]


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
