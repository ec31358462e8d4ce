import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketameta.errors import UsageError
from ketameta.figures.axis import choose_range, linear_ticks, log_ticks, make_axis
from ketameta.figures.text import text_width


@pytest.mark.parametrize(
    "low, high, labels",
    [
        (0.1, 10, "0.1 0.2 0.5 1 2 5 10"),
        (0.5, 2, "0.5 0.7 1 1.5 2"),
        (0.8, 1.25, "0.8 0.9 1 1.25"),
        (0.2, 30, "0.2 0.5 1 2 5 10 20"),
        (0.01, 100, "0.01 0.1 1 10 100"),
        (0.0001, 10_000, "0.0001 0.01 1 100 10,000"),
        (0.95, 1.05, "0.96 0.98 1.00 1.02 1.04"),
    ],
)
def test_log_ticks_are_round_ratios(low, high, labels):
    assert " ".join(log_ticks(low, high)[1]) == labels


@pytest.mark.parametrize(
    "low, high, labels",
    [
        (-1.2, 0.4, "−1.00 −0.75 −0.50 −0.25 0 0.25"),
        (-10, 35, "−10 0 10 20 30"),
        (-0.031, 0.022, "−0.03 −0.02 −0.01 0 0.01 0.02"),
    ],
)
def test_linear_ticks_are_round_and_zero_is_bare(low, high, labels):
    assert " ".join(linear_ticks(low, high)[1]) == labels


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(3, 9))
def test_linear_ticks_stay_inside_and_are_few(low, span, most):
    high = low + span
    if high - low < 1e-9 * abs(low):
        return
    ticks, labels = linear_ticks(low, high, most)
    assert len(ticks) == len(labels) <= most
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in ticks)


@given(st.floats(1e-5, 1e3), st.floats(1.4, 1e6))
def test_log_ticks_stay_inside_and_have_equal_standing(low, factor):
    ticks, labels = log_ticks(low, low * factor)
    assert 2 <= len(ticks) <= 8
    assert len(set(labels)) == len(labels)
    assert all(low * (1 - 1e-6) <= tick <= low * factor * (1 + 1e-6) for tick in ticks)


def test_tick_labels_do_not_touch_on_a_short_axis():
    axis = make_axis("linear", -1.6, 1.2, 0.0, 60.0)
    ends = [
        (x - text_width(label, 6.4) / 2, x + text_width(label, 6.4) / 2)
        for x, label in zip(axis.tick_positions, axis.tick_labels)
    ]
    assert all(right < left for (_, right), (left, _) in pairwise(ends))


def test_positions_are_linear_in_the_value_or_its_logarithm():
    axis = make_axis("log", 0.1, 10, 0.0, 100.0)
    assert axis.position(1.0) == pytest.approx(50.0)
    assert axis.clipped_position(0.01) == (0.0, -1)
    assert axis.clipped_position(0.0) == (0.0, -1)
    assert axis.clipped_position(11.0) == (100.0, 1)
    assert axis.clipped_position(10.0) == (pytest.approx(100.0), 0)
    linear = make_axis("linear", -1, 3, 10.0, 50.0)
    assert linear.position(0.0) == pytest.approx(20.0)
    assert linear.clipped_position(math.inf) == (50.0, 1)


def test_the_range_holds_all_estimates_and_ordinary_intervals():
    bounds = [(-1.0, 0.2), (-0.8, 0.1), (-30.0, 40.0)]
    low, high = choose_range("linear", [-0.4, -0.3, 5.0], bounds, null=0.0)
    assert low < -1.0
    assert high > 5.0
    assert low > -30.0
    assert high < 40.0


def test_no_effect_keeps_room_on_both_sides_for_its_words():
    low, high = choose_range("linear", [-5.0], [(-5.2, -4.8)], null=0.0)
    assert high / (high - low) == pytest.approx(0.16)
    low, high = choose_range("log", [8.0], [(7.0, 9.0)], null=1.0)
    assert math.log(1 / low) / math.log(high / low) == pytest.approx(0.16)


def test_identical_exact_estimates_still_have_a_range():
    low, high = choose_range("linear", [0.0], [], null=0.0)
    assert low < 0 < high


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 3)), min_size=1, max_size=8),
    st.floats(1e-6, 1e6),
)
def test_the_range_scales_with_the_unit(pairs, unit):
    def limits(scale):
        estimates = [scale * middle for middle, _ in pairs]
        bounds = [(scale * (m - half), scale * (m + half)) for m, half in pairs]
        return choose_range("linear", estimates, bounds, null=0.0, unit=scale)

    low, high = limits(1.0)
    scaled = limits(unit)
    assert scaled == pytest.approx((unit * low, unit * high), rel=1e-6, abs=1e-9 * unit)


def test_bad_ranges_are_refused():
    with pytest.raises(UsageError, match="axis range is 2 to 1"):
        make_axis("linear", 2, 1, 0, 1)
    with pytest.raises(UsageError, match="starts above 0"):
        make_axis("log", 0, 1, 0, 1)
