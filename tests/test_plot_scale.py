"""Effect units on an axis: ticks, ranges, and where a value falls."""

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import ketameta as km
from ketameta.errors import UsageError
from ketameta.plots.look import SMALL, text_width
from ketameta.plots.scale import (
    Axis,
    Estimate,
    Scale,
    choose_range,
    make_axis,
    ratio_ticks,
    round_ticks,
)

PLAIN, RATIO = Scale(), Scale("Risk ratio", is_ratio=True)


def labels_of(ticks):
    return " ".join(label for _, label in ticks)


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
def test_ratio_ticks_are_round_ratios(low, high, labels):
    assert labels_of(ratio_ticks(low, high, 8)) == labels


@pytest.mark.parametrize(
    "low, high, labels",
    [
        (-1.2, 0.4, "−1.00 −0.75 −0.50 −0.25 0 0.25"),
        (-10, 35, "−10 0 10 20 30"),
        (-0.031, 0.022, "−0.03 −0.02 −0.01 0 0.01 0.02"),
    ],
)
def test_round_ticks_are_round_and_zero_is_bare(low, high, labels):
    assert labels_of(round_ticks(low, high, 8)) == labels


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(3, 9))
@example(2.47e-206, 8.0, 3)
def test_round_ticks_stay_inside_and_are_few(low, span, most):
    high = low + span
    if high - low < 1e-9 * abs(low):
        return
    ticks = round_ticks(low, high, most)
    assert 0 < len(ticks) <= most
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick, _ in ticks)


@given(st.floats(1e-5, 1e3), st.floats(1.4, 1e6))
def test_ratio_ticks_stay_inside_and_have_equal_standing(low, factor):
    ticks = ratio_ticks(low, low * factor, 8)
    assert 2 <= len(ticks) <= 8
    assert len({label for _, label in ticks}) == len(ticks)
    assert all(low * (1 - 1e-6) <= tick <= low * factor * (1 + 1e-6) for tick, _ in ticks)


def test_tick_labels_do_not_touch_on_a_short_axis():
    axis = make_axis(-1.6, 1.2, room=60.0)
    ends = [
        (
            60 * axis.share(value) - text_width(label, SMALL) / 2,
            60 * axis.share(value) + text_width(label, SMALL) / 2,
        )
        for value, label in axis.ticks
    ]
    assert len(ends) > 1
    assert all(right < left for (_, right), (left, _) in pairwise(ends))


def test_places_are_linear_in_the_value_or_its_logarithm():
    axis = Axis(0.1, 10, log=True)
    assert axis.share(1.0) == pytest.approx(0.5)
    assert [axis.side(value) for value in (0.01, 0.0, 0.1, 10, 11.0, math.inf)] == [
        *(-1, -1, 0, 0, 1, 1)
    ]
    assert (axis.cut(0.01), axis.cut(11.0), axis.cut(2.0)) == (0.1, 10, 2.0)
    linear = Axis(-1, 3)
    assert linear.share(0.0) == pytest.approx(0.25)
    assert linear.side(math.inf) == 1


def test_the_range_holds_estimates_and_ordinary_intervals():
    bounds = [(-1.0, 0.2), (-0.8, 0.1), (-30.0, 40.0)]
    low, high = choose_range(PLAIN, [-0.4, -0.3, 5.0], bounds)
    assert -30.0 < low < -1.0
    assert 5.0 < high < 40.0


def test_an_estimate_far_out_does_not_stretch_the_range():
    estimates = [-0.4, -0.3, -0.5, -0.2, 80.0]
    bounds = [(value - 0.3, value + 0.3) for value in estimates]
    low, high = choose_range(PLAIN, estimates, bounds)
    assert low < -0.8 and high < 3.0
    assert choose_range(PLAIN, [0.1, 80.0])[1] > 80.0, "of two, none is the odd one out"


def test_the_few_are_drawn_whole_until_trials_could_not_be_seen():
    estimates, bounds = [-0.4, -0.3], [(-1.0, 0.2), (-0.8, 0.3)]
    low, high = choose_range(PLAIN, estimates, bounds, whole=[(-6.0, 5.0)])
    assert low < -6.0 and high > 5.0
    low, high = choose_range(PLAIN, estimates, bounds, whole=[(-6000.0, 5000.0)])
    assert low > -100 and high < 100
    low, high = choose_range(PLAIN, estimates, bounds, predictions=[(-60.0, 50.0)])
    assert 1.3 / (high - low) > 0.25
    low, high = choose_range(RATIO, [], whole=[(0.001, 900.0)])
    assert low < 0.001 and high > 900.0


def test_no_effect_keeps_room_on_both_sides_for_its_words():
    low, high = choose_range(PLAIN, [-5.0], [(-5.2, -4.8)])
    assert high / (high - low) == pytest.approx(0.16)
    low, high = choose_range(RATIO, [8.0], [(7.0, 9.0)])
    assert math.log(1 / low) / math.log(high / low) == pytest.approx(0.16)
    low, high = choose_range(PLAIN, [-5.0], [(-5.2, -4.8)], null_share=None)
    assert high < 0


def test_identical_exact_estimates_still_have_a_range():
    low, high = choose_range(PLAIN, [0.0])
    assert low < 0 < high


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 3)), min_size=1, max_size=8),
    st.floats(1e-6, 1e6),
)
def test_the_range_scales_with_the_unit(pairs, unit):
    def limits(scale):
        estimates = [scale * middle for middle, _ in pairs]
        bounds = [(scale * (m - half), scale * (m + half)) for m, half in pairs]
        return choose_range(PLAIN, estimates, bounds, unit=scale)

    low, high = limits(1.0)
    scaled = limits(unit)
    assert scaled == pytest.approx((unit * low, unit * high), rel=1e-6, abs=1e-9 * unit)


def test_bad_ranges_are_refused():
    with pytest.raises(UsageError, match="axis range is 2 to 1"):
        make_axis(2, 1)
    with pytest.raises(UsageError, match="starts above 0"):
        make_axis(0, 1, log=True)


def test_a_scale_shows_and_writes_what_readers_know():
    assert RATIO.show(math.log(2.0)) == pytest.approx(2.0)
    assert (RATIO.show(None), RATIO.show(math.nan), PLAIN.show(-0.5)) == (None, None, -0.5)
    assert RATIO.show(10_000) == math.exp(709)
    words = RATIO.estimate_words(Estimate(math.log(2.0), math.log(1.0), math.log(4.0)))
    assert words == "2.00 (95% CI 1.00 to 4.00)"
    assert RATIO.estimate_words(Estimate(0.0)) == "1.00"
    assert (PLAIN.no_effect, RATIO.no_effect) == (0.0, 1.0)
    assert RATIO.axis_label == "Risk ratio (log scale)"


def test_a_fit_knows_its_scale():
    fit = km.random_effects([0.1, 0.2], [0.1, 0.1], measure="RR", level=0.9)
    assert Scale.of(fit) == Scale("Risk ratio", True, level=0.9, measure="RR")
    assert Scale.of(km.random_effects([0.1, 0.2], [0.1, 0.1])) == Scale()
