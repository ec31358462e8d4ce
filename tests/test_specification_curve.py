"""The specification curve as data: order, options, sides, and words."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest

from figure_helpers import (
    assert_drawn_texts_inside,
    assert_texts_on_page,
    assert_texts_stay_apart,
    texts,
)
from ketameta.errors import UsageError
from ketameta.figures import (
    alt_text,
    draw_plot,
    figure_bytes,
    find_parts,
    lay_out_specification_curve,
)


def curve_data(sizes: tuple[int, ...] = (3, 2), *, is_ratio: bool = False) -> dict[str, Any]:
    """Return every combination of so many options; the first choice moves the estimate most."""
    names = [f"choice_{i}" for i in range(len(sizes))]
    keys = list(itertools.product(*(range(size) for size in sizes)))
    estimates = [-0.6 + 0.4 * key[0] + 0.05 * sum(key[1:]) for key in keys]
    halves = [0.15 + 0.3 * key[-1] for key in keys]
    low = [e - h for e, h in zip(estimates, halves, strict=True)]
    high = [e + h for e, h in zip(estimates, halves, strict=True)]
    return {
        "multiverse": {
            "main": 0,
            "choices": [
                {
                    "name": name,
                    "label": f"Choice {i}",
                    "options": [f"option {i}{j}" for j in range(n)],
                }
                for i, (name, n) in enumerate(zip(names, sizes, strict=True))
            ],
            "combinations": {
                "estimate": estimates,
                "ci_low": low,
                "ci_high": high,
                "k": [5] * len(keys),
                "excludes": [
                    -1 if b < 0 else 1 if a > 0 else 0 for a, b in zip(low, high, strict=True)
                ],
                "options": {name: [key[i] for key in keys] for i, name in enumerate(names)},
            },
        },
        "is_ratio": is_ratio,
        "measure_label": "Risk ratio" if is_ratio else "Mean difference",
        "null": 1.0 if is_ratio else 0.0,
        "favours": ["Less", "More"],
        "title": "Nausea",
    }


@pytest.mark.parametrize("sizes", [(2,), (3, 2), (3, 3, 2, 4, 3)])
@pytest.mark.parametrize("is_ratio", [False, True])
def test_the_page_holds_everything(sizes: tuple[int, ...], is_ratio: bool) -> None:
    layout = lay_out_specification_curve(curve_data(sizes, is_ratio=is_ratio))
    assert_texts_on_page(layout.marks, layout.width, layout.height)
    assert_texts_stay_apart(layout.marks)
    figure = draw_plot(layout)
    assert_drawn_texts_inside(figure)
    again = draw_plot(lay_out_specification_curve(curve_data(sizes, is_ratio=is_ratio)))
    assert figure_bytes(figure, "svg") == figure_bytes(again, "svg")
    assert json.dumps(layout.to_dict(), allow_nan=False)


def test_columns_are_in_order_and_options_below_them() -> None:
    layout = lay_out_specification_curve(curve_data())
    values = [point.y for point in layout.points]
    assert values == sorted(values)
    xs = [point.at[0] for point in layout.points]
    assert xs == sorted(xs)
    assert len(layout.marks_of("interval")) == 6
    # Option 00 has the two lowest estimates: one block under the first two columns.
    blocks = layout.marks_of("option")
    first = blocks[0]
    left, right = min(x for x, _ in first.points), max(x for x, _ in first.points)
    assert left < xs[0] < xs[1] < right < xs[2]
    # Options 10 and 11 take turns: six blocks of one column each, after three of choice 0.
    assert len(blocks) == 3 + 6


def test_intervals_say_their_side_and_the_main_model_its_place() -> None:
    data = curve_data()
    layout = lay_out_specification_curve(data)
    sides = [point.group for point in layout.points]
    table = data["multiverse"]["combinations"]
    order = sorted(range(6), key=lambda i: table["estimate"][i])
    assert sides == [str(table["excludes"][i]) for i in order]
    assert [point.label for point in layout.points].index("main model") == order.index(0)
    (name,) = texts(layout.marks, "main_name")
    assert name.text == "main model"
    decided = sum(side != "0" for side in sides)
    assert len(find_parts(draw_plot(layout), "estimate")) == 2
    assert f"excludes no effect in {decided} of 6" in alt_text(layout)


def test_ratios_are_shown_as_ratios() -> None:
    layout = lay_out_specification_curve(curve_data(is_ratio=True))
    lowest = min(curve_data()["multiverse"]["combinations"]["estimate"])
    assert layout.points[0].y == pytest.approx(math.exp(lowest))
    assert f"Estimates from {math.exp(lowest):.2f}" in layout.describe()


def test_open_intervals_reach_the_edge_and_few_trials_are_left_out() -> None:
    data = curve_data()
    table = data["multiverse"]["combinations"]
    table["ci_low"][1] = None
    table["k"][0] = 1
    layout = lay_out_specification_curve(data)
    assert len(layout.points) == 5
    assert layout.marks_of("main") == ()
    notes = " ".join(text.text for text in texts(layout.marks, "footnote"))
    assert "1 combination with fewer than two trials left out" in notes
    assert "main model" not in layout.describe()


def test_nothing_to_show_is_refused() -> None:
    data = curve_data()
    data["multiverse"]["combinations"]["k"] = [1] * 6
    with pytest.raises(UsageError, match="no combination"):
        lay_out_specification_curve(data)
    with pytest.raises(UsageError, match="no combination"):
        lay_out_specification_curve({})
