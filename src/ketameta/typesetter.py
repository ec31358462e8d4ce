"""What the typesetter of the PDF can show: asked of itself, with its own fonts and standards."""

from __future__ import annotations

import atexit
import json
import shutil
import struct
import zlib
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from typing import Any, Literal

from ketameta.errors import ReportError

#: Fonts of the figures: regular, bold and their slanted forms.
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique")
#: Universal accessibility, and archiving with attached files: both forbid what cannot be shown.
STANDARDS: tuple[Literal["ua-1"], Literal["a-3a"]] = ("ua-1", "a-3a")
#: Stands in the PDF where a character cannot be shown.
MARK = "\ufffd"
#: A document of nothing but the characters asked about, in the font of the report.
_QUESTION = b"""
#set document(title: "question", date: datetime(year: 2000, month: 1, day: 1))
#set text(font: "DejaVu Sans", lang: "en", fallback: sys.inputs.alone == "")
#for one in json(bytes(sys.inputs.asked)) [#one #parbreak()]
"""
#: Documents are typeset side by side; a compiler answers one, and fonts are laid out once.
_ONE_AT_A_TIME = RLock()
#: So many neighbours in Unicode are asked about at once.
_NEIGHBOURS = 64


def not_shown(texts: Iterable[str], *, alone: bool = False) -> frozenset[str]:
    """Return the characters of ``texts`` that the PDF cannot show.

    Parameters
    ----------
    texts : iterable of str
        All texts at once: the typesetter is asked about neighbours in Unicode together, and about
        each of them only where it refuses one.
    alone : bool
        Ask for the font of the report alone, without those that stand in for it.
    """
    groups: dict[int, set[str]] = {}
    for character in set().union(*texts):
        if not (character.isascii() and (character.isprintable() or character.isspace())):
            groups.setdefault(ord(character) // _NEIGHBOURS, set()).add(character)
    with _ONE_AT_A_TIME:
        return frozenset(
            character
            for group in groups.values()
            if not _shows("".join(sorted(group)), alone)
            for character in group
            if not _shows(character, alone)
        )


@cache
def _shows(characters: str, alone: bool) -> bool:
    """Return whether the typesetter makes a document of these characters, each on its own."""
    import typst

    asked = {"asked": json.dumps([*characters]), "alone": "yes" if alone else ""}
    try:
        _compiler().compile(
            _QUESTION, format="pdf", pdf_standards=[*STANDARDS], timestamp=0, sys_inputs=asked
        )
    except typst.TypstError:
        return False
    return True


@cache
def _compiler() -> Any:
    """Return a compiler that has its fonts at hand: most of the time of a question is theirs."""
    import typst

    return typst.Compiler(_QUESTION, font_paths=fonts())


#: Pixels per inch of a PNG: sharp on a phone and in print.
PNG_DPI = 300
#: A page that is a figure. The words come as data, so nothing in them acts as markup.
_PICTURE = b"""#set document(title: sys.inputs.words)
#set page(width: auto, height: auto, margin: 0pt)
#image(bytes(sys.inputs.svg), format: "svg", alt: sys.inputs.words)
"""


def picture(
    svg: str, ending: str, words: str = "", dpi: int = PNG_DPI, stand_ins: tuple[str, ...] = ()
) -> bytes:
    """Return an SVG as PNG or PDF that says what it shows; the same bytes on every run.

    A PDF is accessible (UA-1), unless the fonts lack a letter of the figure. ``stand_ins`` are
    files of further fonts, for letters that those of the figures lack.
    """
    import typst

    words = words or "Figure"
    asked = {"svg": svg, "words": words}
    how = {"sys_inputs": asked, "font_paths": fonts(*stand_ins)}
    if ending == "png":
        return _with_words(typst.compile(_PICTURE, format="png", ppi=float(dpi), **how), words, dpi)
    try:
        made: bytes = typst.compile(
            _PICTURE, format="pdf", pdf_standards=["ua-1"], timestamp=0, **how
        )
    except typst.TypstError:
        made = typst.compile(_PICTURE, format="pdf", timestamp=0, **how)
    return made


def _with_words(png: bytes, words: str, dpi: int) -> bytes:
    """Return a PNG that says what it shows and how large a pixel is."""
    per_metre = round(dpi / 0.0254)
    header = png.index(b"IDAT") - 4
    size = _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1))
    text = _chunk(b"iTXt", b"Description\0\0\0\0\0" + words.encode("utf-8"))
    return png[:header] + size + text + png[header:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


@cache
def fonts(*more: str) -> Any:
    """Return the typesetter's own fonts, those of the figures, and the files of ``more``.

    The typesetter reads folders, not files, and the folder of the figures' fonts has others that
    would stand in for letters; so the four are laid out in a folder of their own.
    """
    import typst

    folder = Path(_folder_of_fonts(*more).name)
    for path in (*(font_folder() / f"{name}.ttf" for name in FONTS), *map(Path, more)):
        shutil.copyfile(path, folder / path.name)
    return typst.Fonts(include_system_fonts=False, font_paths=[str(folder)])


@cache
def _folder_of_fonts(*_: str) -> TemporaryDirectory[str]:
    """Return a folder that lasts as long as this process: fonts are read when they are needed."""
    folder = TemporaryDirectory(prefix="ketameta-fonts-")
    atexit.register(folder.cleanup)
    return folder


def font_folder() -> Path:
    """Return the folder of the fonts that the figures are drawn with.

    Raises
    ------
    ReportError
        Without matplotlib, which brings them.
    """
    found = find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise ReportError("matplotlib, whose fonts the report carries, is not installed")
    return Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"


def codes(text: str, among: frozenset[str]) -> list[str]:
    """Return the numbers of those characters of ``text`` that are ``among`` some, in order."""
    return [f"U+{ord(character):04X}" for character in text if character in among]
