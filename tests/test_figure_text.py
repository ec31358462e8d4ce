import io
import unicodedata
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font, LoadFlags
from PIL import Image

from figure_helpers import smd
from ketameta.figures import draw_forest, figure_bytes, lay_out_forest
from ketameta.figures.text import (
    clean_text,
    drawn_text,
    is_drawn,
    shorten_text,
    text_width,
    wrap_text,
)
from ketameta.report.inline_svg import inline_svg

WORDS = st.text(alphabet="abc déf ghi-jklm", max_size=60)
#: Letters of the names that stand in figures, far from the first alphabet.
NAMES = "Παπαδόπουλος Ștefănescu Їжак Љубић Ångström Łukasiewicz Nguyễn გიორგი Հայկ محمد"


@pytest.mark.parametrize("bold, name", [(False, "DejaVuSans"), (True, "DejaVuSans-Bold")])
def test_widths_are_those_that_another_reader_of_the_font_file_finds(bold, name):
    font = FT2Font(f"{get_data_path()}/fonts/ttf/{name}.ttf")
    glyphs = font.get_charmap()
    assert len(glyphs) > 5000
    for code in glyphs:
        glyph = font.load_char(code, flags=LoadFlags.NO_SCALE)
        width = text_width(chr(code), font.units_per_EM, bold=bold)
        assert width == glyph.horiAdvance, f"U+{code:04X} {unicodedata.name(chr(code), '')}"


def test_digits_share_one_width_so_that_decimals_align():
    for bold in (False, True):
        assert len({text_width(digit, 10, bold=bold) for digit in "0123456789"}) == 1


def test_width_of_a_known_word():
    # a 1255, b 1300, c 1126 units of 2048
    assert text_width("abc", 2048) == 1255 + 1300 + 1126


def test_cleaning_joins_lines_keeps_hard_spaces_and_every_letter():
    assert clean_text(" two\n words\t here ") == "two words here"
    assert clean_text("k\u00a0= 5,\u202fp") == "k\u00a0= 5,\u00a0p"
    assert clean_text("e\u0301") == "é"
    assert clean_text("\ufeff東") == "東"
    assert clean_text("a\x07b\x0cc\ud83dd\u202ee") == "ab c\ufffdde"


def test_names_of_many_alphabets_are_in_the_font():
    for bold in (False, True):
        kept = NAMES.rsplit(" ", 1)[0] if bold else NAMES
        assert is_drawn(kept, bold=bold) and drawn_text(kept, bold=bold) == kept
    assert not is_drawn("王") and drawn_text("a王b") == "a\ufffdb"


def test_a_letter_of_another_font_counts_as_wide_and_a_mark_on_it_as_nothing():
    # U+FFFD is 2100 units of 2048 wide.
    assert text_width("王", 2048) == 2100
    assert text_width("ก\u0e34", 2048) == 2100


LABELS = ("Παπαδόπουλος 2014", "Ștefănescu & Їжак 2015", "王小明 2016", "ภาษาไทย 😀 2017")


@pytest.fixture(scope="module")
def many_alphabets():
    """A forest plot whose trials have names of many alphabets, and a title beyond the font."""
    result = smd(len(LABELS)) | {"title": "王小明\x07 <b>"}
    for row, label in zip(result["groups"][0]["rows"], LABELS, strict=True):
        row["label"] = label
    return draw_forest(lay_out_forest(result))


def test_a_figure_shows_names_as_written_whatever_their_alphabet(many_alphabets):
    svg = figure_bytes(many_alphabets, "svg", description="a\x07b").decode("utf-8")
    assert "\ufffd" not in svg
    root = ET.fromstring(svg)
    words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    # What the font lacks are words; what it has are outlines, with the words beside them.
    assert words == ["王小明 <b>", *LABELS[2:]]
    assert f"<!-- {LABELS[0]} -->" in svg
    page = inline_svg(svg, "x", "")
    shown = [node.text for node in ET.fromstring(page).iter("text")]
    assert set(LABELS) <= set(shown) and "王小明 <b>" in shown


def test_words_in_an_svg_stand_where_outlines_would(many_alphabets):
    page = inline_svg(figure_bytes(many_alphabets, "svg").decode("utf-8"), "x", "")
    nodes = [node for node in ET.fromstring(page).iter("text") if node.text in LABELS]
    assert [node.text for node in nodes] == list(LABELS)
    assert len({(node.get("x"), node.get("font-size"), node.get("fill")) for node in nodes}) == 1
    steps = np.diff([float(node.get("y")) for node in nodes])
    # Coordinates of outlines in the page have five digits.
    assert np.ptp(steps) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("file_format", ["png", "pdf"])
def test_formats_without_other_fonts_draw_a_mark_for_what_is_missing(many_alphabets, file_format):
    content = figure_bytes(many_alphabets, file_format)
    if file_format == "png":
        assert Image.open(io.BytesIO(content)).width > 1000
    else:
        assert content.rstrip().endswith(b"%%EOF")


def test_shortened_text_ends_in_an_ellipsis_and_fits():
    assert shorten_text("short", 100, 8) == "short"
    shown = shorten_text("A very long name, indeed", 60, 8)
    assert shown.endswith("…")
    assert text_width(shown, 8) <= 60
    assert shorten_text("wide", 0.1, 8) == "…"


def test_a_line_measured_from_its_own_words_is_not_broken():
    word = "Esketamine"
    assert wrap_text(word, text_width(word, 7.2, bold=True), 7.2, bold=True) == (word,)


def test_words_wider_than_the_line_are_broken_inside():
    lines = wrap_text("hydroxybupropion", 30, 7)
    assert len(lines) > 1
    assert "".join(lines) == "hydroxybupropion"


def test_the_last_line_allowed_takes_the_ellipsis():
    lines = wrap_text("one two three four five six", 30, 7, most=2)
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert wrap_text("", 30, 7) == ()


@given(WORDS, st.floats(20, 200))
def test_wrapping_loses_no_word_and_keeps_to_the_width(words, width):
    cleaned = clean_text(words)
    lines = wrap_text(cleaned, width, 8)
    assert "".join(lines).replace(" ", "") == cleaned.replace(" ", "")
    assert all(text_width(line, 8) <= width + 1e-6 for line in lines)
