"""The evidence map: zeros, kinds of evidence, areas, and what it says in words."""

import math

import pytest

from figure_helpers import assert_well_set, drawn, marked, parts, words
from ketameta.errors import UsageError
from ketameta.plots import evidence_map, find
from ketameta.plots.frame import EMPTY, NONE, OUTSIDE, UNUSABLE
from ketameta.plots.look import file_bytes
from ketameta.plots.maps import (
    LARGEST,
    SMALLEST,
    Cell,
    EvidenceMap,
    mark_radius,
)


def example():
    return EvidenceMap(
        (
            Cell("ADHD: symptoms", "Ketamine", 0, 0, True),
            Cell("ADHD: symptoms", "Memantine", 4, 1250, True),
            Cell("ADHD: harms", "Memantine", 1, None, True),
            Cell("Depression: mood", "Ketamine", 25, 2842),
        ),
        ("ADHD: symptoms", "ADHD: harms", "Depression: mood"),
        ("Ketamine", "Memantine", "Dextromethorphan"),
        "What has been studied",
        "people with ADHD",
    )


def test_every_pair_has_a_cell_and_unknown_pairs_are_zero():
    assert [
        (label, direct, [c.trials for c in cells]) for label, direct, cells in example().lines()
    ] == [
        ("ADHD: symptoms", True, [0, 4, 0]),
        ("ADHD: harms", True, [0, 1, 0]),
        ("Depression: mood", False, [25, 0, 0]),
    ]
    ax = drawn(evidence_map, example())
    assert words(ax, "heading") == ["Direct evidence", "Indirect evidence"]


def test_zeros_are_drawn_with_their_number():
    ax = drawn(evidence_map, example())
    empty = marked(ax, "empty_direct_cell") + marked(ax, "empty_indirect_cell")
    assert len(empty) == 6
    assert words(ax, "trials").count("0") == 6
    for part in ("empty_direct_cell", "empty_indirect_cell"):
        assert find(ax, part)[0].get_linestyle()[0][1] is not None, "dashed"


def test_nothing_found_no_usable_number_and_not_looked_for_are_three_marks_in_one_legend():
    states = (NONE, UNUSABLE, OUTSIDE)
    data = EvidenceMap(
        tuple(Cell("ADHD", f"Medicine {i}", 0, 0, True, state) for i, state in enumerate(states))
    )
    ax = drawn(evidence_map, data)
    assert words(ax, "trials") == ["0", "?", "–"]
    assert len(marked(ax, "empty_direct_cell")) == len(marked(ax, "unusable_direct_cell")) == 1
    legend = " ".join(words(ax, "footnote"))
    assert all(f"{sign} ({mark}): {state}." in legend for state, (sign, mark, *_) in EMPTY.items())
    assert "no usable number" not in " ".join(words(drawn(evidence_map, example()), "footnote"))
    said = data.describe()
    assert "3 cells have no study; none found: 1; found, no usable number: 1; out of scope" in said
    assert "Medicine 2: no study; out of scope (not looked for): 1." in said


def test_direct_evidence_is_round_and_indirect_square_with_equal_areas_per_trial():
    ax = drawn(evidence_map, example())
    (round_marks,), (square,) = find(ax, "direct_cell"), find(ax, "indirect_cell")
    assert len(round_marks.get_paths()[0].vertices) > 8 > len(square.get_paths()[0].vertices)
    assert square.get_sizes()[0] == pytest.approx(math.pi * LARGEST**2)
    assert list(round_marks.get_sizes()) == pytest.approx([(2 * SMALLEST) ** 2] * 2)


def test_areas_are_proportional_to_trials():
    radii = [mark_radius(trials, 25) for trials in (25, 16)]
    assert (radii[1] / radii[0]) ** 2 == pytest.approx(16 / 25)
    assert (mark_radius(25, 25), mark_radius(1, 25), mark_radius(0, 25)) == (
        LARGEST,
        SMALLEST,
        SMALLEST,
    )


def test_participants_are_printed_and_missing_ones_shown_as_missing():
    assert words(drawn(evidence_map, example()), "participants") == ["1,250", "–", "2,842"]


def test_a_row_with_both_kinds_stands_under_both_headings():
    data = EvidenceMap((Cell("Mood", "Ketamine", 1, 10, True), Cell("Mood", "Ketamine", 9, 90)))
    assert [(label, direct) for label, direct, _ in data.lines()] == [
        ("Mood", True),
        ("Mood", False),
    ]
    ax = drawn(evidence_map, data)
    assert words(ax, "label") == ["Mood", "Mood"]


def test_one_kind_of_evidence_needs_no_heading():
    assert "heading" not in parts(drawn(evidence_map, EvidenceMap((Cell("Mood", "Ketamine", 3),))))


def test_a_map_of_nothing_but_gaps_shows_them_and_one_without_rows_is_refused():
    ax = drawn(evidence_map, EvidenceMap((), ("ADHD: symptoms",), ("Ketamine",)))
    assert words(ax, "trials") == ["0"]
    with pytest.raises(UsageError, match="at least one row and one column"):
        EvidenceMap((), ("ADHD: symptoms",))


def test_text_stays_on_the_page_and_apart():
    wide = EvidenceMap(
        tuple(Cell(f"Outcome {i} " * 6, f"Medicine number {i}", i) for i in range(9))
    )
    for data in (example(), wide):
        assert_well_set(drawn(evidence_map, data))


def test_drawing_is_the_same_on_every_run():
    first, second = (file_bytes(drawn(evidence_map, example()), "svg") for _ in range(2))
    assert first == second


def test_the_text_alternative_counts_the_gaps():
    said = example().describe()
    assert "3 outcomes by 3 interventions; 6 of 9 cells have no study; none found: 6." in said
    assert "Direct evidence, Ketamine: no study; none found: 2." in said
    assert "Direct evidence, Memantine: at most 4 studies (ADHD: symptoms)." in said
    assert "Indirect evidence, Ketamine: at most 25 studies (Depression: mood)." in said


@pytest.mark.parametrize(
    "cells, said",
    [
        ([Cell("", "x", 1)], r"cells\[0\] .* needs a row and a column"),
        ([Cell("a", "x", 1.5)], r"cells\[0\] \(a, x\): trials is 1.5"),
        ([Cell("a", "x", -1)], "trials is -1"),
        ([Cell("a", "x", None)], "trials is None"),
        ([Cell("a", "x", 1), Cell("a", "x", 2)], r"cells\[1\] \(a, x\) is there twice"),
    ],
)
def test_bad_cells_are_refused_by_position(cells, said):
    with pytest.raises(UsageError, match=said):
        EvidenceMap(tuple(cells))
