"""What one arm's row offers, by which route, and why it offers nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers import event, evidence_of, score, tables_of
from ketameta.effects import conversions
from ketameta.effects.conversions import ROUTES
from ketameta.evidence import PROBLEMS, resolve_arm_data
from tolerances import DIRECT

#: A score of which only n is printed; tests add what else is.
BARE = {"mean": "", "sd": "", "n": "25"}


def resolved(*rows: dict[str, str]) -> list[dict[str, Any]]:
    return list(resolve_arm_data(evidence_of(tables_of(list(rows))).outcomes).to_dict("records"))


def resolve(row: dict[str, str]) -> dict[str, Any]:
    return resolved(row)[0]


# --- routes to an SD ------------------------------------------------------------------------------


def test_printed_numbers_are_used_as_they_are() -> None:
    row = resolve(score(mean="12.1", sd="6.4", n="30"))
    assert (row["mean_"], row["sd_"], row["n_"]) == (12.1, 6.4, 30.0)
    assert (row["route"], row["problem"]) == ("sd_printed", "")


def test_sd_from_a_standard_error() -> None:
    row = resolve(score(**BARE | {"mean": "12", "se": "1.3"}))
    assert row["sd_"] == pytest.approx(1.3 * 5, rel=DIRECT)
    assert (row["route"], row["problem"]) == ("sd_from_se", "")


@pytest.mark.parametrize(("level", "share"), [("", 0.95), ("90", 0.90), ("99", 0.99)])
def test_sd_from_an_interval_uses_t_and_its_level(level: str, share: float) -> None:
    row = resolve(score(**BARE | {"mean": "12", "ci_low": "9", "ci_high": "15", "ci_level": level}))
    quantile = stats.t.ppf(0.5 + share / 2, 24)
    assert row["sd_"] == pytest.approx(5 * 3 / quantile, rel=DIRECT)
    assert row["route"] == "sd_from_ci"


def test_each_interval_is_read_with_its_own_level() -> None:
    cells = BARE | {"mean": "12", "ci_low": "9", "ci_high": "15"}
    wide, narrow = resolved(score(**cells), score(**cells | {"ci_level": "90"}))
    assert wide["sd_"] < narrow["sd_"]


@pytest.mark.parametrize(
    ("cells", "route"),
    [
        ({"q1": "8", "median": "11", "q3": "17"}, "sd_from_quartiles"),
        ({"minimum": "2", "median": "11", "maximum": "30"}, "sd_from_range"),
        (
            {"minimum": "2", "q1": "8", "median": "11", "q3": "17", "maximum": "30"},
            "sd_from_five_numbers",
        ),
    ],
)
def test_mean_and_sd_from_order_statistics(cells: dict[str, str], route: str) -> None:
    row = resolve(score(**BARE | cells))
    assert (row["route"], row["problem"]) == (route, "")
    function = {
        "sd_from_quartiles": conversions.mean_sd_from_quartiles,
        "sd_from_range": conversions.mean_sd_from_range,
        "sd_from_five_numbers": conversions.mean_sd_from_five_numbers,
    }[route]
    expected = function(*(float(text) for text in cells.values()), 25)
    assert row["mean_"] == pytest.approx(float(np.asarray(expected.mean).item()), rel=DIRECT)
    assert row["sd_"] == pytest.approx(float(np.asarray(expected.sd).item()), rel=DIRECT)


def test_a_printed_mean_is_kept_beside_quartiles() -> None:
    row = resolve(score(**BARE | {"mean": "12.5", "q1": "8", "median": "11", "q3": "17"}))
    assert row["mean_"] == 12.5
    assert row["route"] == "sd_from_quartiles"


def test_the_most_direct_route_wins() -> None:
    everything = {
        "mean": "12", "sd": "6", "se": "2", "ci_low": "1", "ci_high": "30",
        "q1": "8", "median": "11", "q3": "17",
    }  # fmt: skip
    order = [("sd", "sd_printed"), ("se", "sd_from_se"), ("ci_low", "sd_from_ci"),
             ("q1", "sd_from_quartiles")]  # fmt: skip
    for gone, route in order:
        assert resolve(score(n="25", **{"sd": ""} | everything))["route"] == route
        del everything[gone]
    assert resolve(score(n="25", **{"sd": ""} | everything))["problem"] == "no_variance"


def test_spread_of_a_model_is_marked_on_every_route() -> None:
    for cells in ({"sd": "6"}, {"sd": "", "se": "1"}, {"sd": "", "ci_low": "9", "ci_high": "15"}):
        row = resolve(score(sd_origin="model", **cells))
        assert row["route"].endswith("+model_based")
    assert "model" not in resolve(score(sd_origin="raw"))["route"]


# --- counts ---------------------------------------------------------------------------------------


def test_printed_counts_win_over_percentages() -> None:
    row = resolve(event(events="7", percent="99", n="30"))
    assert (row["events_"], row["route"]) == (7.0, "counts")


def test_zero_is_a_count() -> None:
    row = resolve(event(events="0"))
    assert (row["events_"], row["problem"]) == (0.0, "")


def test_a_percentage_becomes_a_count_where_only_one_fits() -> None:
    row = resolve(event(events="", percent="16.7", n="30"))
    assert (row["events_"], row["route"], row["problem"]) == (5.0, "count_from_percent", "")
    doubt = resolve(event(events="", percent="12", n="250"))
    assert (doubt["problem"], math.isnan(doubt["events_"])) == ("percent_not_whole", True)


@given(events=st.integers(0, 400), n=st.integers(1, 400), decimals=st.integers(0, 2))
def test_a_count_from_a_percentage_is_right_or_refused(events: int, n: int, decimals: int) -> None:
    events = min(events, n)
    row = resolve(event(events="", percent=f"{100 * events / n:.{decimals}f}", n=str(n)))
    assert row["problem"] == "percent_not_whole" or row["events_"] == events


# --- reasons --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (score(mean="", sd="6"), "no_mean"),
        (score(mean="", sd=""), "no_mean"),
        (score(sd=""), "no_variance"),
        (score(sd="", ci_low="12", ci_high=""), "no_variance"),
        (score(n=""), "no_n"),
        (score(n="", sd="", se="1.2"), "no_n"),
        (score(n="", sd="", ci_low="9", ci_high="15"), "no_n"),
        (score(n="", mean="", sd="", q1="8", median="11", q3="17"), "no_n"),
        (score(n="", sd=""), "no_variance"),
        (score(n="1"), "n_below_two"),
        (score(n="1", sd="", se="1.2"), "n_below_two"),
        (event(events=""), "no_count"),
        (event(events="", n=""), "no_count"),
        (event(events="", percent="12.5", n=""), "no_n"),
        (event(events="3", n=""), "no_n"),
        (event(events="", percent="55", n="15"), "percent_not_whole"),
    ],
)
def test_every_gap_is_named_for_what_is_missing(row: dict[str, str], problem: str) -> None:
    assert resolve(row)["problem"] == problem
    assert problem in PROBLEMS


def test_one_person_with_an_event_is_a_count() -> None:
    assert resolve(event(n="1", events="1"))["problem"] == ""


CELLS = st.sampled_from(["", "1", "2", "3.5", "12", "40"])


@settings(max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(("mean", "sd", "se", "ci_low", "ci_high", "q1", "median", "q3"), CELLS)
            | {"n": st.sampled_from(["", "1", "2", "30"])}
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_row_is_usable_or_has_a_reason_and_neighbours_do_not_matter(
    cells: list[dict[str, str]],
) -> None:
    # Order statistics are put in order, as the checks demand of real tables.
    for row in cells:
        five = sorted(float(row[name]) for name in ("q1", "median", "q3") if row[name])
        names = [name for name in ("q1", "median", "q3") if row[name]]
        row.update({name: f"{value:g}" for name, value in zip(names, five, strict=True)})
        if row["q1"] and row["q1"] == row["q3"]:
            row["q3"] = ""
    rows = [score(**row) for row in cells]
    together = resolved(*rows)
    for row, alone in zip(together, (resolve(row) for row in rows), strict=True):
        assert (row["problem"], row["route"]) == (alone["problem"], alone["route"])
        if row["problem"]:
            assert row["problem"] in PROBLEMS
        else:
            assert math.isfinite(row["mean_"]) and row["sd_"] > 0 and row["n_"] >= 2
            assert set(row["route"].split("+")) <= set(ROUTES)
            assert row["sd_"] == alone["sd_"]


def test_rows_keep_their_order_and_their_cells() -> None:
    rows = [event(), score(), score("placebo"), event("placebo")]
    frame = evidence_of(tables_of(rows)).outcomes
    found = resolve_arm_data(frame)
    assert found["_line"].tolist() == [2, 3, 4, 5]
    assert found[frame.columns].equals(frame)
