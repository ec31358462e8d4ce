"""Small analysis results for figure tests, and what must hold of every picture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text as DrawnText

from ketameta.figures.canvas import drawing_settings
from ketameta.figures.marks import Mark, Text

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


def texts(marks: Iterable[Mark], part: str | None = None) -> list[Text]:
    return [m for m in marks if isinstance(m, Text) and (part is None or m.part == part)]


def assert_texts_stay_apart(marks: Iterable[Mark]) -> None:
    """No two words may touch (superscripts may sit above their own word's end)."""
    boxes = [(mark, mark.box) for mark in texts(marks) if not mark.rotation]
    for (one, a), (two, b) in combinations(boxes, 2):
        across = min(a[2], b[2]) - max(a[0], b[0])
        down = min(a[3], b[3]) - max(a[1], b[1])
        assert across <= POINT or down <= POINT, f"{one.text!r} touches {two.text!r}"


def assert_texts_on_page(marks: Iterable[Mark], width: float, height: float) -> None:
    for mark in texts(marks):
        if mark.rotation:
            continue
        left, top, right, bottom = mark.box
        inside = left >= -POINT and top >= -POINT and right <= width and bottom <= height
        assert inside, f"{mark.text!r} leaves the page: {mark.box} in {width} x {height}"


def assert_drawn_texts_inside(figure: Figure) -> None:
    """The renderer's own measure of each text, at the resolution of a screen."""
    figure.set_dpi(100)
    canvas = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    wide, high = canvas.get_width_height()
    drawn = [text for text in figure.findobj(DrawnText) if text.get_text() and text.get_gid()]
    assert drawn
    for text in drawn:
        with drawing_settings():
            box = text.get_window_extent(renderer)
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= wide + 1 and box.y1 <= high + 1
        assert inside, f"{text.get_text()!r} leaves the figure"
