"""Puts a drawn figure into the page, and with all of them the letters they print.

The files of ``reports/figures`` hold text as text; in the page it is set in a font that the page
carries, so that it looks the same everywhere.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable
from functools import cache
from html import escape, unescape
from pathlib import Path

from ketameta.errors import ReportError
from ketameta.typesetter import font_folder

_ROOT = re.compile(r"<svg\b([^>]*)>")
_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
#: Family names of the page's own font, so that an installed one cannot take its place.
FAMILY = "Ketameta Sans"


def inline_svg(text: str, alternative: str) -> str:
    """Return a figure as one inline ``svg`` element.

    Parameters
    ----------
    text : str
        The file that was drawn; its identifiers are those of this figure alone.
    alternative : str
        What a reader who cannot see the figure is told.

    Raises
    ------
    ReportError
        When the text is no SVG.
    """
    root = _ROOT.search(text)
    if root is None:
        raise ReportError("a figure is no SVG; delete it and build again")
    box = _BOX.search(root.group(1))
    width, height = box.groups() if box else ("100", "100")
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {width} {height}"'
        f' style="aspect-ratio:{width}/{height}"'
        f' aria-label="{escape(alternative, quote=True)}">{text[root.end() :].rstrip()}'
    )


def figure_letters(svgs: Iterable[str]) -> str:
    """Return every character that inline figures print, sorted."""
    used: set[str] = set()
    for svg in svgs:
        for words in re.findall(r"<text[^>]*>([^<]*)</text>", svg):
            used.update(unescape(words))
    # The plots that the page draws itself use these as well.
    used.update("0123456789.,%+-()[] =<>ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                "\u2212\u2013\u00b2\u03c4")  # fmt: skip
    return "".join(sorted(used))


@cache
def font_face(letters: str) -> str:
    """Return style rules that carry DejaVu Sans, regular and bold, cut to ``letters``."""
    rules = []
    for name, weight in (("DejaVuSans", "400"), ("DejaVuSans-Bold", "700")):
        data = base64.b64encode(_subset(font_folder() / f"{name}.ttf", letters)).decode("ascii")
        rules.append(
            f"@font-face{{font-family:'{FAMILY}';font-weight:{weight};"
            f"src:url(data:font/ttf;base64,{data}) format('truetype')}}"
        )
    return "\n".join(rules)


def _subset(path: Path, letters: str) -> bytes:
    from fontTools import subset
    from fontTools.ttLib import TTFont

    options = subset.Options(hinting=False, recalc_timestamp=False, name_IDs=[1, 2, 13])
    options.drop_tables += ["FFTM"]
    options.layout_features = ["kern"]
    options.notdef_outline = True
    font = TTFont(path, recalcTimestamp=False)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=letters)
    subsetter.subset(font)
    stream = io.BytesIO()
    font.save(stream, reorderTables=False)
    return stream.getvalue()
