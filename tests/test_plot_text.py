"""Text of plots: as wide as the font says, wrapped, shortened, and cleaned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font, LoadFlags

from ketameta.plots.look import clean, shorten, text_width, wrap

WORDS = st.text(alphabet="abc déf ghi-jklm", max_size=60)


@pytest.mark.parametrize("bold, name", [(False, "DejaVuSans"), (True, "DejaVuSans-Bold")])
def test_every_letter_is_as_wide_as_the_font_says(bold, name):
    font = FT2Font(f"{get_data_path()}/fonts/ttf/{name}.ttf")
    for letter in "aZ0−₂ΩЇЉșé–":
        glyph = font.load_char(ord(letter), flags=LoadFlags.NO_SCALE)
        width = glyph.horiAdvance / font.units_per_EM
        assert text_width(letter, 10, bold=bold) == pytest.approx(10 * width, rel=1e-12)


def test_letters_that_the_font_lacks_have_a_width_all_the_same():
    assert text_width("王", 10) == 10.0
    assert text_width("ก", 10) > 3.0


def test_digits_share_one_width_so_that_decimals_align():
    for bold in (False, True):
        assert len({text_width(digit, 10, bold=bold) for digit in "0123456789"}) == 1


def test_width_of_a_known_word():
    # a 1255, b 1300, c 1126 units of 2048
    assert text_width("abc", 2048) == pytest.approx(1255 + 1300 + 1126, rel=1e-12)


def test_cleaning_joins_lines_and_keeps_hard_spaces_and_every_letter():
    assert clean(" two\n words\t here ") == "two words here"
    assert clean("k\u00a0= 5,\u202fp") == "k\u00a0= 5,\u00a0p"
    assert clean("e\u0301") == "é"
    assert clean("\ufeff東") == "東"


def test_shortened_text_ends_in_an_ellipsis_and_fits():
    assert shorten("short", 100, 8) == "short"
    shown = shorten("A very long name, indeed", 60, 8)
    assert shown.endswith("…")
    assert text_width(shown, 8) <= 60
    assert shorten("wide", 0.1, 8) == "…"


def test_a_line_measured_from_its_own_words_is_not_broken():
    word = "Esketamine"
    assert wrap(word, text_width(word, 7.2, bold=True), 7.2, bold=True) == (word,)


def test_words_wider_than_the_line_are_broken_inside():
    lines = wrap("hydroxybupropion", 30, 7)
    assert len(lines) > 1
    assert "".join(lines) == "hydroxybupropion"


def test_the_last_line_allowed_takes_the_ellipsis():
    lines = wrap("one two three four five six", 30, 7, most=2)
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert wrap("", 30, 7) == ()


@given(WORDS, st.floats(20, 200))
def test_wrapping_loses_no_word_and_keeps_to_the_width(words, width):
    cleaned = clean(words)
    lines = wrap(cleaned, width, 8)
    assert "".join(lines).replace(" ", "") == cleaned.replace(" ", "")
    assert all(text_width(line, 8) <= width + 1e-6 for line in lines)
