"""One way of writing a number: signs, rounding, nothing, and bounds."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketameta import formatting as nf
from tolerances import PUBLISHED

FINITE = st.floats(-1e6, 1e6, allow_nan=False)
NOTHING = [None, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-0.714, 2, "−0.71"),
        (0.0, 2, "0.00"),
        (-0.0, 2, "0.00"),
        (-0.001, 2, "0.00"),
        (-0.4, 0, "0"),
        (12, 1, "12.0"),
    ],
)
def test_numbers_have_true_minus_signs_and_zero_has_none(
    value: float, digits: int, text: str
) -> None:
    assert nf.format_number(value, digits) == text


@given(FINITE, st.integers(0, 6))
def test_a_written_number_reads_back_as_the_rounded_one(value: float, digits: int) -> None:
    text = nf.format_number(value, digits)
    assert "-" not in text
    # Ties are decided at twelve significant digits, where processors agree.
    steady = float(f"{value:.11e}")
    assert float(text.replace(nf.MINUS, "-")) == float(f"{steady:.{digits}f}")


@pytest.mark.parametrize("value", NOTHING)
def test_nothing_is_written_as_a_dash_never_as_nan(value: float | None) -> None:
    assert nf.format_number(value) == nf.MISSING
    assert nf.format_significant(value) == nf.MISSING
    assert nf.format_count(value) == nf.MISSING
    assert nf.format_percent(value) in (nf.MISSING, f"{nf.MISSING}%")
    assert nf.format_p(value) == f"p {nf.MISSING}"
    assert nf.format_interval(value, 1.0) == f"{nf.MISSING} to 1.00"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.00123456, "0.00123"),
        (1234.5, "1234"),
        (-0.5, "−0.500"),
        (1.5e-7, "1.50e−07"),
        (2.5e8, "2.50e+08"),
        (0.9996, "1.00"),
        (99.96, "100"),
    ],
)
def test_significant_figures(value: float, text: str) -> None:
    assert nf.format_significant(value) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "p < 0.001"),
        (0.00099, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.0123, "p = 0.012"),
        (0.0994, "p = 0.099"),
        (0.0996, "p = 0.10"),
        (0.5, "p = 0.50"),
        (1.0, "p = 1.00"),
    ],
)
def test_p_values(p: float, text: str) -> None:
    assert nf.format_p(p) == text


def test_intervals_and_estimates() -> None:
    assert nf.format_interval(-1.106, -0.3204) == "−1.11 to −0.32"
    assert nf.format_estimate(-0.714, -1.106, 0.3204, 1) == "−0.7 [−1.1, 0.3]"


def test_shares_counts_and_plurals() -> None:
    assert nf.format_percent(0.425, 1) == "42.5%"
    assert nf.format_percent(0.95) == "95%"
    assert nf.format_count(12345.0) == "12,345"
    assert nf.format_count(-3) == "−3"
    assert [nf.plural(n, "trial") for n in (0, 1, 2, 1200)] == [
        "0 trials",
        "1 trial",
        "2 trials",
        "1,200 trials",
    ]
    assert nf.plural(2, "study", "studies") == "2 studies"


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95, 0.99, 0.975, 0.999])
def test_a_level_is_written_with_as_many_decimals_as_it_has(level: float) -> None:
    text = nf.format_level(level)
    assert text.endswith("%")
    assert float(text[:-1]) == pytest.approx(100 * level, abs=1e-9)
    assert not text.rstrip("%").endswith(".0")


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "< 0.01"),
        (0.00999, "< 0.01"),
        (0.01, "0.01"),
        (2.314, "2.31"),
        (1000.0, "1000.00"),
        (1000.1, "> 1,000"),
        (math.inf, "> 1,000"),
        (math.nan, nf.MISSING),
        (None, nf.MISSING),
    ],
)
def test_ratios_beyond_reason_are_written_as_bounds(ratio: float | None, text: str) -> None:
    assert nf.format_ratio(ratio) == text


# --- published numbers ----------------------------------------------------------------------------

ANY = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)


@given(ANY)
def test_what_is_published_has_seven_digits_and_is_published_as_it_is(value: float) -> None:
    shown = nf.published(value)
    assert nf.published(shown) == shown
    assert math.isclose(shown, value, rel_tol=PUBLISHED)
    digits = f"{Decimal(repr(shown)).normalize():e}".partition("e")[0].lstrip("-").replace(".", "")
    assert len(digits) <= nf.PUBLISHED_DIGITS or (
        shown.is_integer() and abs(shown) < nf.LARGEST_COUNT
    )


@given(st.integers(10**6, 10**7 - 1), st.integers(-30, 30), st.integers(-8, 8))
def test_a_tie_is_published_alike_whatever_the_last_digits_of_a_processor(
    digits: int, power: int, steps: int
) -> None:
    tie = float(f"{digits}5e{power}")
    moved = tie
    for _ in range(abs(steps)):
        moved = math.nextafter(moved, math.inf if steps > 0 else -math.inf)
    assert nf.published(moved) == nf.published(tie)
    assert nf.format_significant(moved, 7) == nf.format_significant(tie, 7)


def test_only_numbers_with_a_fraction_are_rounded() -> None:
    left = {"n": 123456789, "text": "0.123456789", "none": None, "flag": True, "whole": 123456789.0}
    assert nf.published(left) == left
    assert nf.published([(0.123456789, -0.0), {"a": [2 / 3]}]) == [
        [0.1234568, 0.0],
        {"a": [0.6666667]},
    ]
    assert str(nf.published(-0.0)) == "0.0"
    assert nf.published([1.23456789e300, 12345678912.0]) == [1.234568e300, 12345680000.0]


def test_numbers_of_one_scale_have_the_decimals_of_the_largest() -> None:
    # The difference of two equal numbers is rounding, another on every processor.
    assert nf.published_together([1.23456789, 3.1e-16, -2e-8, None]) == [1.234568, 0.0, 0.0, None]
    assert nf.published_together([0.0, -0.0]) == [0.0, 0.0]
    assert nf.published_together([]) == []


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_numbers_rounded_together_are_published_numbers(values: list[float]) -> None:
    shown = nf.published_together(values)
    assert nf.published(shown) == shown
    largest = max(map(abs, values))
    for one, other in zip(shown, values, strict=True):
        assert one is not None and abs(one - other) <= PUBLISHED * largest
