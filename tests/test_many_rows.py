"""A forest plot of more trials than a page can show draws their groups instead, and says so."""

from __future__ import annotations

import copy

import pytest

from figure_helpers import forest_of, smd, subgroups
from ketameta.plots.forest_layout import lay_out
from ketameta.report import plots

NOTHING = dict.fromkeys(
    ("over_time", "network", "dose_response", "small_study", "gosh", "multiverse", "group_by")
)


def many(result, copies):
    """A result in which every trial stands ``copies`` times."""
    big = {**NOTHING, **copy.deepcopy(result), "name": "many", "title": "Many"}
    for group in big["groups"]:
        group["rows"] = [dict(row) for row in group["rows"] for _ in range(copies)]
    return big


def test_as_many_rows_as_fit_are_drawn_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    result = many(smd(5), 1)
    monkeypatch.setattr(plots, "MOST_ROWS", 5)
    assert len(forest_of(result).trials) == 5
    monkeypatch.setattr(plots, "MOST_ROWS", 4)
    assert len(forest_of(result).trials) == 1


def test_groups_stand_for_their_trials_with_all_their_people() -> None:
    result = many(subgroups(), 60)
    layout = lay_out(forest_of(result))
    shown = [row for row in layout.rows if row.kind == "study"]
    filled = [group for group in result["groups"] if group["rows"]]
    assert len(shown) == len(filled) < 10
    for row, group in zip(forest_of(result).trials, filled, strict=True):
        assert row.estimate == (group["pooled"] or {}).get("estimate")
        assert row.n[0] == sum(trial["n_treatment"] for trial in group["rows"])
        assert row.label == f"{group['label']}: {len(group['rows'])} trials"
    assert not any(row.cut_low or row.cut_high for row in layout.rows)
    said = " ".join(line for note in layout.footnotes for line in note)
    count = sum(len(group["rows"]) for group in filled)
    assert f"The {count} rows are too many to draw; each is in tables/rows_used.csv." in said


def test_one_group_is_its_mean_and_the_height_does_not_grow() -> None:
    heights = {lay_out(forest_of(many(smd(5), n))).height for n in (40, 400)}
    (row,) = forest_of(many(smd(5), 400)).trials
    assert row.label == "2,000 trials"
    assert row.estimate == smd(5)["pooled"]["estimate"]
    assert len(heights) == 1 and heights.pop() < 600
