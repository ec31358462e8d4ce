"""The specification curve: order, options, sides, and words."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from figure_helpers import assert_well_set, drawn, flat, marked, near, parts, words
from ketameta.errors import UsageError
from ketameta.plots import find, specification_curve
from ketameta.plots.look import file_bytes
from ketameta.plots.scale import Scale
from ketameta.plots.sensitivity import Combination, SpecificationCurve, curve_axis, runs


def curve(sizes: tuple[int, ...] = (3, 2), *, is_ratio: bool = False) -> SpecificationCurve:
    """Return every combination of so many options; the first choice moves the estimate most."""
    combinations = []
    for key in itertools.product(*(range(size) for size in sizes)):
        middle, half = -0.6 + 0.4 * key[0] + 0.05 * sum(key[1:]), 0.15 + 0.3 * key[-1]
        low, high = middle - half, middle + half
        side = -1 if high < 0 else 1 if low > 0 else 0
        combinations.append(Combination(middle, low, high, side, 5, key))
    scale = Scale("Risk ratio" if is_ratio else "Mean difference", is_ratio, None, ("Less", "More"))
    choices = tuple(
        (f"Choice {i}", tuple(f"option {i}{j}" for j in range(n))) for i, n in enumerate(sizes)
    )
    return SpecificationCurve(tuple(combinations), choices, 0, scale, "Nausea")


@pytest.mark.parametrize("sizes", [(2,), (3, 2), (3, 3, 2, 4, 3)])
@pytest.mark.parametrize("is_ratio", [False, True])
def test_the_page_holds_everything(sizes: tuple[int, ...], is_ratio: bool) -> None:
    ax = drawn(specification_curve, curve(sizes, is_ratio=is_ratio))
    assert_well_set(ax)
    again = drawn(specification_curve, curve(sizes, is_ratio=is_ratio))
    assert file_bytes(ax, "svg") == file_bytes(again, "svg")


def test_columns_are_in_order_and_options_below_them() -> None:
    data = curve()
    values = [item.estimate for item, _ in data.columns]
    assert values == sorted(values) and len(values) == 6
    ax = drawn(specification_curve, data)
    places = sorted(marked(ax, "estimate"))
    assert flat(places) == near([(float(rank), value) for rank, value in enumerate(values)])
    # Option 00 has the two lowest estimates: one block under the first two columns.
    assert data.ranks(0, 0) == [0, 1]
    blocks = [path.vertices for part in find(ax, "option") for path in part.get_paths()]
    left, right = blocks[0][:, 0].min(), blocks[0][:, 0].max()
    assert left < 0 < 1 < right < 2
    # Options 10 and 11 take turns: six blocks of one column each, after three of choice 0.
    assert len(blocks) == 3 + 6
    assert words(ax, "option_name") == [
        f"option {i}{j}" for i, n in ((0, 3), (1, 2)) for j in range(n)
    ]


def test_runs_join_neighbours() -> None:
    assert runs([0, 1, 2, 5, 7, 8]) == [(0, 2), (5, 5), (7, 8)]
    assert runs([]) == []


def test_intervals_say_their_side_and_the_main_model_its_place() -> None:
    data = curve()
    ax = drawn(specification_curve, data)
    sides = [item.side for item, _ in data.columns]
    by_colour = {
        tuple(part.get_colors()[0]): len(part.get_segments()) for part in find(ax, "interval")
    }
    assert sorted(by_colour.values()) == sorted(sides.count(side) for side in set(sides))
    assert [main for _, main in data.columns].index(True) == 0
    assert {x for x, _ in marked(ax, "main")} == {0.0}
    assert words(ax, "main_name") == ["main model"]
    decided = sum(side != 0 for side in sides)
    assert f"excludes no effect in {decided} of 6" in data.describe()


def test_ratios_are_shown_as_ratios() -> None:
    data = curve(is_ratio=True)
    lowest = min(item.estimate or 0.0 for item in data.combinations)
    ax = drawn(specification_curve, data)
    assert min(marked(ax, "estimate"))[1] == pytest.approx(math.exp(lowest))
    assert ax.get_yscale() == "log"
    assert f"Estimates from {math.exp(lowest):.2f}" in data.describe()


def test_open_intervals_reach_the_edge_and_few_trials_are_left_out() -> None:
    data = curve()
    few, open_below, *others = data.combinations
    data = replace(data, combinations=(replace(few, k=1), replace(open_below, low=None), *others))
    assert len(data.columns) == 5
    ax = drawn(specification_curve, data)
    ends = {y for _, y in marked(ax, "interval")}
    assert min(ends) == pytest.approx(curve_axis(data).low)
    assert "main" not in parts(ax)
    assert "1 combination with fewer than two trials left out." in words(ax, "footnote")
    assert "main model" not in data.describe()


def test_nothing_to_show_is_refused() -> None:
    data = curve()
    with pytest.raises(UsageError, match="no combination"):
        replace(data, combinations=tuple(replace(item, k=1) for item in data.combinations))
    with pytest.raises(UsageError, match="no combination"):
        SpecificationCurve((), ())
