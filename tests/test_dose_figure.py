"""The dose-response plot as data and as drawn."""

from __future__ import annotations

import json
import math

import pytest

from figure_helpers import (
    POINT,
    assert_drawn_texts_inside,
    assert_texts_on_page,
    assert_texts_stay_apart,
    texts,
)
from ketameta.errors import UsageError
from ketameta.figures import alt_text, draw_plot, find_parts, lay_out_dose_response


def doses(**more):
    trials = {"Alder 2014": (28, 56, 84), "Birch 2016": (56, 84), "Cedar 2017": (84,)}
    points = [
        {
            "label": label,
            "dose": dose,
            "estimate": -0.04 * dose - index,
            "ci_low": -0.04 * dose - index - 2.5,
            "ci_high": -0.04 * dose - index + 2.5,
        }
        for index, (label, members) in enumerate(trials.items())
        for dose in members
    ]
    curve = [
        {"dose": d, "estimate": -0.05 * d, "ci_low": -0.08 * d, "ci_high": -0.02 * d}
        for d in range(0, 85, 14)
    ]
    return {
        "title": "Dose and depression",
        "unit": "mg",
        "points": points,
        "curve": curve,
        "curve_label": "a line through no effect",
        "other_curve": [dict(item, estimate=item["estimate"] * 0.9) for item in curve],
        "other_label": "a restricted cubic spline",
        "at_doses": [item for item in curve if item["dose"] in (28, 84)],
        "measure_label": "Mean difference",
        "null": 0.0,
        "is_ratio": False,
        "favours": ["Favours ketamine", "Favours control"],
        "level": 0.95,
    } | more


def as_ratios():
    data = doses(is_ratio=True, null=1.0, measure_label="Risk ratio")
    for item in [*data["points"], *data["curve"], *data["other_curve"]]:
        for key in ("estimate", "ci_low", "ci_high"):
            item[key] = -item[key] / 4
    return data


@pytest.mark.parametrize("data", [doses(), as_ratios(), doses(curve=[], other_curve=[])])
def test_words_stay_apart_and_on_the_page(data):
    layout = lay_out_dose_response(data)
    assert_texts_on_page(layout.marks, layout.width, layout.height)
    assert_texts_stay_apart(layout.marks)
    assert_drawn_texts_inside(draw_plot(layout))
    json.dumps(layout.to_dict(), allow_nan=False)


def test_every_contrast_is_a_point_at_its_dose():
    layout = lay_out_dose_response(doses())
    assert len(layout.points) == len(layout.marks_of("trial_point")) == 6
    only = next(p for p in layout.points if p.x == 28)
    assert only.at[0] == pytest.approx(layout.frame.x.position(28), abs=POINT)
    for point in layout.points:
        assert point.at[1] == pytest.approx(layout.frame.y.position(point.y), abs=POINT)
        assert abs(point.at[0] - layout.frame.x.position(point.x)) < 18
    same = [point.at[0] for point in layout.points if point.x == 84]
    assert len(set(same)) == 3
    assert sum(same) / 3 == pytest.approx(layout.frame.x.position(84), abs=POINT)
    assert [tick.text for tick in texts(layout.marks, "tick_label")][:4] == ["0", "28", "56", "84"]


def test_the_curve_starts_at_no_effect():
    layout = lay_out_dose_response(doses())
    (curve,) = layout.marks_of("curve")
    (null,) = layout.marks_of("null_line")
    assert curve.points[0] == pytest.approx(null.points[0], abs=POINT)
    (band,) = layout.marks_of("band")
    assert len(band.points) == 2 * len(curve.points)
    (other,) = layout.marks_of("other_curve")
    assert other.dash and not curve.dash


def test_ratios_stand_on_a_log_scale():
    data = as_ratios()
    layout = lay_out_dose_response(data)
    assert layout.frame.y.scale == "log"
    shown = [point.y for point in layout.points]
    assert shown == pytest.approx([math.exp(point["estimate"]) for point in data["points"]])


def test_trials_are_named_once_and_have_their_own_marker():
    layout = lay_out_dose_response(doses())
    names = [text.text for text in layout.marks_of("key_name")]
    assert names == ["Alder 2014", "Birch 2016", "Cedar 2017"]
    assert len({mark.fill for mark in layout.marks_of("key_point")}) == 3
    many = doses(
        points=[
            {"label": f"Trial {i}", "dose": 84, "estimate": -1.0, "ci_low": -2.0, "ci_high": 0.0}
            for i in range(9)
        ]
    )
    looks = {(type(m), m.fill) for m in lay_out_dose_response(many).marks_of("key_point")}
    assert len(looks) == 9


def test_the_text_alternative_has_the_numbers():
    words = alt_text(lay_out_dose_response(doses()))
    assert "3 trials, 6 contrasts of a dose with control" in words
    assert "At 28 mg the curve is at −1.40 (95% CI −2.24 to −0.56)." in words


def test_parts_of_the_drawing_have_names():
    figure = draw_plot(lay_out_dose_response(doses()))
    assert len(find_parts(figure, "trial_point")) == 6
    assert len(find_parts(figure, "curve")) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (doses(points=[]), "no point with an estimate"),
        (doses(points=[{"label": "Elm", "dose": -1, "estimate": 0.0}]), "a dose is 0 or more"),
    ],
)
def test_what_is_refused(data, words):
    with pytest.raises(UsageError, match=words):
        lay_out_dose_response(data)
