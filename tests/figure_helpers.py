"""Small analysis results for figure tests, and what must hold of every picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.lines import Line2D
from matplotlib.text import Text
from pytest import approx

from helpers import headline_of_numbers
from ketameta.plots import look
from ketameta.plots.forest_data import Forest
from ketameta.plots.forest_layout import ForestLayout, lay_out
from ketameta.report import forest_data

#: Rounding of a position in points; nobody sees a thousandth of a point.
POINT = 1e-3


def row(label: str, estimate: float | None, half: float = 0.4, **more: Any) -> dict[str, Any]:
    """One trial; ``half`` is the half-width of its interval."""
    made: dict[str, Any] = {
        "study_id": label.lower().replace(" ", "_"),
        "label": label,
        "intervention": "ketamine",
        "comparator": "placebo",
        "n_treatment": 20,
        "n_control": 21,
        "estimate": estimate,
        "ci_low": None if estimate is None else estimate - half,
        "ci_high": None if estimate is None else estimate + half,
        "weight": 0.2,
    }
    return made | more


def pooled(k: int, estimate: float, half: float = 0.2, **more: Any) -> dict[str, Any]:
    """A pooled result with a prediction interval from three trials on."""
    made: dict[str, Any] = {
        "model": "random",
        "k": k,
        "estimate": estimate,
        "ci_low": estimate - half,
        "ci_high": estimate + half,
        "pi_low": estimate - 3 * half if k >= 3 else None,
        "pi_high": estimate + 3 * half if k >= 3 else None,
        "tau2": 0.0412,
        "i2": 0.4237,
        "q": 8.654,
        "q_df": k - 1,
        "q_p_value": 0.0704,
        "tau2_method": "REML",
        "ci_method": "knapp-hartung-conservative",
    }
    return made | more


def result(rows: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """An analysis of a standardised mean difference without subgroups."""
    made: dict[str, Any] = {
        "name": "example",
        "title": "Depressive symptoms after one day",
        "measure": "SMD",
        "measure_label": "Standardised mean difference (Hedges' g)",
        "is_ratio": False,
        "null": 0.0,
        "favours": ["Favours ketamine", "Favours placebo"],
        "level": 0.95,
        "groups": [{"label": None, "rows": rows or [], "pooled": None}],
        "pooled": None,
        "subgroup_test": None,
        "looked_for": "trials that gave ketamine to people with ADHD",
        "caveats": [],
    }
    return made | more


NAMES = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo", "Hazel", "Iris", "Juniper")


def smd(k: int, **more: Any) -> dict[str, Any]:
    """``k`` trials pooled without subgroups, weights adding up to one."""
    total = k * (k + 1) / 2
    rows = [
        row(
            f"{NAMES[i % 10]} {1999 + i // 10}",
            -0.5 + 0.9 * math.sin(1.7 * i) / 2,
            0.25 + 0.05 * (i % 7),
            weight=(i + 1) / total,
        )
        for i in range(k)
    ]
    return result(rows, pooled=pooled(k, -0.45) if k >= 2 else None, **more)


def risk_ratio(**more: Any) -> dict[str, Any]:
    """Four trials with event counts; the last interval is far too wide to show in full."""
    rows = [
        row("Alder 2004", math.log(2.0), 0.4, events_treatment=12, events_control=6, weight=0.4),
        row("Birch 2005", math.log(3.0), 0.5, events_treatment=18, events_control=6, weight=0.3),
        row("Cedar 2006", math.log(1.5), 0.45, events_treatment=9, events_control=6, weight=0.29),
        row("Elm 2007", math.log(2.5), 4.5, events_treatment=1, events_control=0, weight=0.01),
    ]
    return result(
        rows,
        pooled=pooled(4, math.log(2.1), 0.3),
        measure="RR",
        measure_label="Risk ratio",
        is_ratio=True,
        null=1.0,
        favours=["Less with ketamine", "More with ketamine"],
        **more,
    )


def subgroups(**more: Any) -> dict[str, Any]:
    """Three groups: three trials, one trial, none."""
    first = [row(f"{name} 2001", -0.6 + i / 10) for i, name in enumerate(("Alder", "Birch", "Elm"))]
    return result(
        groups=[
            {"label": "Treatment-resistant", "rows": first, "pooled": pooled(3, -0.5)},
            {"label": "Not resistant", "rows": [row("Fir 2002", -0.1)], "pooled": None},
            {"label": "Not reported", "rows": [], "pooled": None},
        ],
        pooled=pooled(4, -0.42),
        subgroup_test={"q": 6.7312, "df": 1, "p_value": 0.0095},
        **more,
    )


def laid_out(data: dict[str, Any], **options: Any) -> ForestLayout:
    """The layout of a result's forest plot, as the report makes it."""
    return lay_out(forest_of(data), **options)


def forest_of(data: dict[str, Any]) -> Forest:
    """The forest plot of a result whose pools lead."""
    groups = [{**group, "headline": leading(group["pooled"])} for group in data["groups"]]
    return forest_data({**data, "groups": groups, "headline": leading(data["pooled"], data)})


def leading(pool: dict[str, Any] | None, data: dict[str, Any] | None = None) -> Any:
    """The headline of a pool; of none, one without an estimate where it stands for a result."""
    if pool is None and data is None:
        return None
    found = dict(pool or {})
    made = headline_of_numbers(
        found.get("ci_low"), found.get("ci_high"), found.get("estimate"),
        rule={"code": "several_trials", "sentence": ""}, k=found.get("k"),
        tau=math.sqrt(found.get("tau2") or 0),
        pi_low=found.get("pi_low"), pi_high=found.get("pi_high"),
        measure=str(data["measure"]) if data else "SMD", interval="confidence",
    )  # fmt: skip
    return made


def drawn(draw: Callable[..., Axes], *args: Any, **options: Any) -> Axes:
    """Call a plot function without pyplot keeping its figure."""
    with look.detached():
        return draw(*args, **options)


def words(ax: Axes, part: str | None = None) -> list[str]:
    """What a figure prints, or one named part of it, in drawing order."""
    found = [text for text in figure_texts(ax) if part is None or text.get_gid() == part]
    return [text.get_text() for text in found]


def figure_texts(ax: Axes) -> list[Text]:
    """Every text that prints something."""
    return [
        text
        for text in look.figure_of(ax).findobj(Text)
        if text.get_text().strip() and text.get_visible()
    ]


def parts(ax: Axes) -> Counter[str]:
    """How many artists each named part has."""
    return Counter(str(item.get_gid()) for item in look.figure_of(ax).findobj() if item.get_gid())


def assert_well_set(ax: Axes) -> None:
    """No two words may touch or leave the page, and none is smaller than print can show."""
    figure = look.figure_of(ax)
    figure.set_dpi(100)
    with look.theme():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # axis labels find their place when they are drawn
        renderer = canvas.get_renderer()
        boxes = [(text, text.get_window_extent(renderer)) for text in figure_texts(ax)]
    wide, high = figure.get_size_inches() * 100
    for text, box in boxes:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= wide + 1 and box.y1 <= high + 1
        assert inside, f"{text.get_text()!r} leaves the figure"
        assert text.get_fontsize() >= look.SMALL, f"{text.get_text()!r} is too small"
    for (one, a), (two, b) in combinations(boxes, 2):
        if "marker" in (one.get_gid() or "") + (two.get_gid() or ""):
            continue  # superscripts may sit above their own word's end
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        # Boxes have room above capitals and below the line that no letter uses here.
        down = min(a.y1, b.y1) - max(a.y0, b.y0) - 0.25 * min(a.height, b.height)
        assert across <= 1.0 or down <= 1.0, f"{one.get_text()!r} touches {two.get_text()!r}"


def marked(ax: Axes, part: str) -> list[tuple[float, float]]:
    """Where the points of a named part are, in the units of the axes, to ten digits."""
    found: list[tuple[float, float]] = []
    for artist in look.find(ax, part):
        if isinstance(artist, PathCollection):
            found += [_place(place) for place in artist.get_offsets()]
        elif isinstance(artist, Line2D):
            found += [_place(place) for place in artist.get_xydata()]
        elif isinstance(artist, LineCollection):
            found += [_place(end) for line in artist.get_segments() for end in line]
        else:
            found += [_place(place) for place in artist.get_path().vertices]
    return found


def _place(place: Any) -> tuple[float, float]:
    x, y = (float(f"{float(value):.10g}") for value in place)
    return x, y


def near(places: list[tuple[float, float]]) -> Any:
    """The same places to a millionth."""
    return approx([value for place in places for value in place], rel=1e-6, abs=1e-9)


def flat(places: list[tuple[float, float]]) -> list[float]:
    """Places as one list of numbers, to compare with :func:`near`."""
    return [value for place in places for value in place]
