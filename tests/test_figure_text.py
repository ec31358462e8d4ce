import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font, LoadFlags

from ketameta.figures import text as figure_text
from ketameta.figures.font_widths import UNITS_PER_EM
from ketameta.figures.text import clean_text, shorten_text, text_width, wrap_text

WORDS = st.text(alphabet="abc déf ghi-jklm", max_size=60)


@pytest.mark.parametrize("bold, name", [(False, "DejaVuSans"), (True, "DejaVuSans-Bold")])
def test_every_width_is_that_of_the_font_file(bold, name):
    font = FT2Font(f"{get_data_path()}/fonts/ttf/{name}.ttf")
    assert font.units_per_EM == UNITS_PER_EM
    glyphs = font.get_charmap()
    table = figure_text._WIDTHS[bold]
    assert len(table) > 500
    for character, width in table.items():
        assert ord(character) in glyphs, f"{name} has no {unicodedata.name(character, character)}"
        glyph = font.load_char(ord(character), flags=LoadFlags.NO_SCALE)
        assert glyph.horiAdvance == width, character


def test_digits_share_one_width_so_that_decimals_align():
    for bold in (False, True):
        assert len({text_width(digit, 10, bold=bold) for digit in "0123456789"}) == 1


def test_width_of_a_known_word():
    # a 1255, b 1300, c 1126 units of 2048
    assert text_width("abc", 2048) == 1255 + 1300 + 1126


def test_cleaning_joins_lines_keeps_hard_spaces_and_marks_unknown_letters():
    assert clean_text(" two\n words\t here ") == "two words here"
    assert clean_text("k\u00a0= 5,\u202fp") == "k\u00a0= 5,\u00a0p"
    assert clean_text("e\u0301") == "é"
    assert clean_text("\ufeff東") == "\ufffd"


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
