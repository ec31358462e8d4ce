"""The dose-response plot as data, as drawn and in words."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from figure_helpers import assert_well_set, drawn, flat, marked, near, parts, words
from ketameta.errors import UsageError
from ketameta.plots import dose_response, find
from ketameta.plots.curves import At, DoseResponse
from ketameta.plots.scale import Estimate, Scale


def at(dose: float, estimate: float, low: float, high: float) -> At:
    return At(dose, Estimate(estimate, low, high))


def doses(**more: Any) -> DoseResponse:
    trials = {"Alder 2014": (28, 56, 84), "Birch 2016": (56, 84), "Cedar 2017": (84,)}
    points = tuple(
        (label, at(dose, -0.04 * dose - i, -0.04 * dose - i - 2.5, -0.04 * dose - i + 2.5))
        for i, (label, members) in enumerate(trials.items())
        for dose in members
    )
    curve = tuple(at(d, -0.05 * d, -0.08 * d, -0.02 * d) for d in range(0, 85, 14))
    given = DoseResponse(
        points,
        curve,
        tuple(at(item.place, 0.9 * item.value.estimate, 0, 0) for item in curve),
        "a line through no effect",
        "a restricted cubic spline",
        "mg",
        tuple(item for item in curve if item.place in (28, 84)),
        Scale("Mean difference", favours=("Favours ketamine", "Favours control")),
        "Dose and depression",
    )
    return replace(given, **more)


def as_ratios() -> DoseResponse:
    def turned(item: At) -> At:
        value = item.value
        ends = (-end / 4 for end in (value.estimate, value.low or 0.0, value.high or 0.0))
        return At(item.place, Estimate(*ends))

    data = doses(scale=Scale("Risk ratio", is_ratio=True))
    return replace(
        data,
        trials=tuple((name, turned(item)) for name, item in data.trials),
        curve=tuple(map(turned, data.curve)),
        other=tuple(map(turned, data.other)),
    )


@pytest.mark.parametrize("data", [doses(), as_ratios(), doses(curve=(), other=())])
def test_words_stay_apart_and_on_the_page(data: DoseResponse) -> None:
    assert_well_set(drawn(dose_response, data))


def test_every_contrast_is_a_point_at_its_dose() -> None:
    ax = drawn(dose_response, doses())
    points = marked(ax, "trial_point")
    assert len(points) == 6
    assert (28.0, pytest.approx(-1.12)) in points
    assert [y for _, y in points] == pytest.approx(
        [item.value.estimate for _, item in doses().trials]
    )
    same = [x for x, _ in points if x > 70]
    assert len(set(same)) == 3
    assert sum(same) / 3 == pytest.approx(84)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "28", "56", "84"]


def test_the_curve_starts_at_no_effect() -> None:
    data = doses()
    ax = drawn(dose_response, data)
    shown = [(item.place, item.value.estimate) for item in data.curve]
    assert flat(marked(ax, "curve")) == near(shown)
    assert marked(ax, "curve")[0] == (0.0, 0.0)
    corners = marked_corners(find(ax, "band")[0])
    assert {(84.0, -6.72), (84.0, -1.68)} <= corners
    (other,), (curve,) = find(ax, "other_curve"), find(ax, "curve")
    assert other.get_linestyle() != curve.get_linestyle()


def marked_corners(band: Any) -> set[tuple[float, float]]:
    return {(round(float(x), 6), round(float(y), 6)) for x, y in band.get_paths()[0].vertices}


def test_ratios_stand_on_a_log_scale() -> None:
    data = as_ratios()
    ax = drawn(dose_response, data)
    assert ax.get_yscale() == "log"
    assert [y for _, y in marked(ax, "trial_point")] == pytest.approx(
        [math.exp(item.value.estimate) for _, item in data.trials]
    )


def test_an_interval_that_is_cut_has_its_arrow() -> None:
    far = (*doses().trials, ("Elm 2018", at(56, -2.0, -90.0, 80.0)))
    ax = drawn(dose_response, doses(trials=far))
    low, high = ax.get_ylim()
    assert low > -90 and high < 80
    assert sorted(y for _, y in marked(ax, "clip_arrow")) == pytest.approx([low, high])
    assert "clip_arrow" not in parts(drawn(dose_response, doses()))


def test_trials_are_named_once_and_have_their_own_marker() -> None:
    ax = drawn(dose_response, doses())
    assert words(ax, "key_name") == ["Alder 2014", "Birch 2016", "Cedar 2017"]
    many = doses(trials=tuple((f"Trial {i}", at(84, -1.0, -2.0, 0.0)) for i in range(19)))
    ax = drawn(dose_response, many)
    looks = {(line.get_marker(), line.get_color()) for line in find(ax, "trial_point")}
    assert len(looks) == 19
    assert_well_set(ax)


def test_the_text_alternative_has_the_numbers() -> None:
    said = doses().describe()
    assert "3 trials, 6 contrasts of a dose with control" in said
    assert "At 28 mg the curve is at −1.40 (95% CI −2.24 to −0.56)." in said


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="no trial with an estimate"):
        doses(trials=())
    with pytest.raises(UsageError, match="dose is -1; a dose is 0 or more"):
        doses(trials=(("Elm", at(-1, 0.0, 0.0, 0.0)),))
