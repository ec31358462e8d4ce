"""The letters inside a PDF: the same outlines and words, without the tables no PDF reader needs.

matplotlib reads the whole font, its layout tables included, for every figure, which takes longer
than the drawing. Here each font is stripped once per process, and subsets are cut from that.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib.backends import _backend_pdf_ps

#: What an embedded TrueType font needs (PDF 32000-1:2008, 9.9), and ``post``, that names no glyph.
_NEEDED = frozenset(
    {"head", "hhea", "hmtx", "maxp", "loca", "glyf", "cvt ", "fpgm", "prep", "post", "GlyphOrder"}
)
_whole = _backend_pdf_ps.get_glyphs_subset


@contextmanager
def light_subsets() -> Iterator[None]:
    """Cut fonts for PDF from stripped copies inside a ``with`` block only."""
    before = _backend_pdf_ps.get_glyphs_subset
    _backend_pdf_ps.get_glyphs_subset = _light
    try:
        yield
    finally:
        _backend_pdf_ps.get_glyphs_subset = before


def _light(fontfile: Any, glyphs: Iterable[int]) -> Any:
    """Return what matplotlib's ``get_glyphs_subset`` returns, from a stripped copy of the font."""
    content = _stripped(str(fontfile), int(getattr(fontfile, "face_index", 0)))
    if content is None:
        return _whole(fontfile, set(glyphs))
    options = subset.Options(recommended_glyphs=True)
    font = subset.load_font(io.BytesIO(content), options)
    cutter = subset.Subsetter(options=options)
    cutter.populate(gids=glyphs)
    cutter.subset(font)
    return _backend_pdf_ps.SubsetResults(font, cutter.glyph_index_map)._as_cm()


@cache
def _stripped(path: str, face: int) -> bytes | None:
    """Return a TrueType font with outlines and widths only; ``None`` for other kinds of font."""
    with TTFont(path, fontNumber=face, lazy=True, recalcTimestamp=False) as font:
        if "glyf" not in font:
            return None
        for name in set(font.keys()) - _NEEDED:
            del font[name]
        font["post"].formatType = 3.0
        stream = io.BytesIO()
        font.save(stream)
    return stream.getvalue()
