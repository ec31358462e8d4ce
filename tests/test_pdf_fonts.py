"""Letters of a PDF are cut from stripped fonts: same outlines, same widths, less to read."""

from __future__ import annotations

import io

import pytest
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from matplotlib.backends import _backend_pdf_ps
from matplotlib.ft2font import FT2Font

from figure_helpers import smd
from ketameta.figures import draw_forest, figure_bytes, lay_out_forest, pdf_fonts

WORDS = "Aé−0½ﬁ τ²"


def cut(subset_of, path, glyphs):
    """Outline and width of each glyph asked for."""
    with subset_of(path, set(glyphs)) as found:
        letters = found.font.getGlyphSet()
        names = found.font.getGlyphOrder()
        seen = {}
        for glyph in glyphs:
            name = names[found.glyph_index_map[glyph]]
            pen = DecomposingRecordingPen(letters)
            letters[name].draw(pen)
            seen[glyph] = (pen.value, letters[name].width)
        return seen, set(found.font.keys())


@pytest.mark.parametrize("style", ["normal", "oblique"])
def test_letters_have_the_outlines_and_widths_of_the_whole_font(style):
    path = font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", style=style))
    font = FT2Font(path)
    glyphs = [font.get_char_index(ord(letter)) for letter in WORDS]
    whole, all_tables = cut(_backend_pdf_ps.get_glyphs_subset, path, glyphs)
    light, tables = cut(pdf_fonts._light, path, glyphs)
    assert light == whole
    assert sum(bool(outline) for outline, _ in light.values()) == len(set(WORDS) - {" "})
    assert tables < all_tables and "GSUB" not in tables


def test_a_font_of_another_kind_is_left_to_matplotlib(monkeypatch):
    path = font_manager.findfont("DejaVu Sans")
    monkeypatch.setattr(pdf_fonts, "_stripped", lambda path, face: None)
    glyph = FT2Font(path).get_char_index(ord("A"))
    assert cut(pdf_fonts._light, path, [glyph])[1] >= {"OS/2", "cmap"}


def test_matplotlib_is_itself_again_after_a_figure():
    before = _backend_pdf_ps.get_glyphs_subset
    pdf = figure_bytes(draw_forest(lay_out_forest(smd(2))), "pdf")
    assert b"/FontFile2" in pdf
    assert _backend_pdf_ps.get_glyphs_subset is before
    with pytest.raises(ZeroDivisionError), pdf_fonts.light_subsets():
        assert _backend_pdf_ps.get_glyphs_subset is pdf_fonts._light
        1 / 0  # noqa: B018
    assert _backend_pdf_ps.get_glyphs_subset is before


def test_a_stripped_font_carries_no_clock():
    path = font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans"))
    content = pdf_fonts._stripped.__wrapped__(path, 0)
    with TTFont(path) as whole, TTFont(io.BytesIO(content)) as stripped:
        assert stripped["head"].modified == whole["head"].modified
