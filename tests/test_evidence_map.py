import json
import math

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
    draw_evidence_map,
    figure_bytes,
    find_parts,
    lay_out_evidence_map,
)
from ketameta.figures.evidence_map import LARGEST_RADIUS, SMALLEST_RADIUS, evidence_map_marks
from ketameta.figures.marks import Area, Disc


def cell(row, column, trials, participants=None, direct=True):
    return {
        "row": row,
        "column": column,
        "trials": trials,
        "participants": participants,
        "direct": direct,
    }


def example():
    return {
        "title": "What has been studied",
        "rows": ["ADHD: symptoms", "ADHD: harms", "Depression: mood"],
        "columns": ["Ketamine", "Memantine", "Dextromethorphan"],
        "cells": [
            cell("ADHD: symptoms", "Ketamine", 0, 0),
            cell("ADHD: symptoms", "Memantine", 4, 1250),
            cell("ADHD: harms", "Memantine", 1, None),
            cell("Depression: mood", "Ketamine", 25, 2842, direct=False),
        ],
    }


def test_every_pair_has_a_cell_and_unknown_pairs_are_zero():
    layout = lay_out_evidence_map(example())
    assert [(c.row, c.column, c.trials) for c in layout.cells] == [
        ("ADHD: symptoms", "Ketamine", 0),
        ("ADHD: symptoms", "Memantine", 4),
        ("ADHD: symptoms", "Dextromethorphan", 0),
        ("ADHD: harms", "Ketamine", 0),
        ("ADHD: harms", "Memantine", 1),
        ("ADHD: harms", "Dextromethorphan", 0),
        ("Depression: mood", "Ketamine", 25),
        ("Depression: mood", "Memantine", 0),
        ("Depression: mood", "Dextromethorphan", 0),
    ]
    kinds = [(row.kind, row.label) for row in layout.rows]
    assert kinds[0] == ("heading", "Direct evidence")
    assert kinds[3] == ("heading", "Indirect evidence")


def test_zeros_are_drawn_with_their_number():
    marks = evidence_map_marks(lay_out_evidence_map(example()))
    assert sum(mark.part == "empty_cell" for mark in marks) == 6
    assert [mark.text for mark in texts(marks, "trials")].count("0") == 6
    assert all(mark.dash for mark in marks if mark.part == "empty_cell")


def test_direct_evidence_is_round_and_indirect_square_with_equal_areas_per_trial():
    marks = [m for m in evidence_map_marks(lay_out_evidence_map(example())) if m.part == "cell"]
    four, one, twenty_five = marks
    assert isinstance(four, Disc)
    assert isinstance(one, Disc)
    assert isinstance(twenty_five, Area)
    side = twenty_five.points[1][0] - twenty_five.points[0][0]
    assert side**2 == pytest.approx(math.pi * LARGEST_RADIUS**2)
    assert one.radius == SMALLEST_RADIUS


def test_areas_are_proportional_to_trials():
    cells = [cell("a", "x", 25), cell("a", "y", 16), cell("a", "z", 9)]
    layout = lay_out_evidence_map(cells)
    areas = [c.radius**2 for c in layout.cells]
    assert areas[1] / areas[0] == pytest.approx(16 / 25)
    assert areas[2] / areas[0] == pytest.approx(9 / 25, rel=0.1)


def test_participants_are_printed_and_missing_ones_shown_as_missing():
    marks = evidence_map_marks(lay_out_evidence_map(example()))
    assert [mark.text for mark in texts(marks, "participants")] == ["1,250", "–", "2,842"]


def test_a_row_with_both_kinds_stands_under_both_headings():
    cells = [cell("Mood", "Ketamine", 1, 10), cell("Mood", "Ketamine", 9, 90, direct=False)]
    layout = lay_out_evidence_map(cells)
    assert [row.label for row in layout.rows] == [
        "Direct evidence",
        "Mood",
        "Indirect evidence",
        "Mood",
    ]
    assert [c.trials for c in layout.cells] == [1, 9]


def test_one_kind_of_evidence_needs_no_heading():
    layout = lay_out_evidence_map([cell("Mood", "Ketamine", 3)])
    assert [row.kind for row in layout.rows] == ["outcome"]


def test_an_empty_map_still_shows_its_frame():
    layout = lay_out_evidence_map({"rows": ["ADHD: symptoms"], "columns": ["Ketamine"]})
    assert [c.trials for c in layout.cells] == [0]
    nothing = lay_out_evidence_map([])
    assert nothing.rows == ()
    assert texts(evidence_map_marks(nothing), "footnote")


def test_text_stays_on_the_page_and_apart():
    wide = {"cells": [cell(f"Outcome {i} " * 6, f"Medicine number {i}", i) for i in range(9)]}
    for data in (example(), wide):
        layout = lay_out_evidence_map(data)
        marks = evidence_map_marks(layout)
        assert_texts_on_page(marks, layout.width, layout.height)
        assert_texts_stay_apart(marks)
        assert_drawn_texts_inside(draw_evidence_map(layout))


def test_drawing_names_its_parts_and_is_the_same_on_every_run():
    figure = draw_evidence_map(lay_out_evidence_map(example()))
    assert len(find_parts(figure, "cell")) == 3
    assert len(find_parts(figure, "column")) == 3
    again = draw_evidence_map(lay_out_evidence_map(example()))
    assert figure_bytes(figure, "svg") == figure_bytes(again, "svg")


def test_the_text_alternative_counts_the_gaps():
    words = alt_text(lay_out_evidence_map(example()))
    assert "3 outcomes by 3 interventions; 6 of 9 cells have no trial." in words
    assert "Direct evidence, Ketamine: no trial for any outcome." in words
    assert "Direct evidence, Memantine: at most 4 trials (ADHD: symptoms)." in words
    assert "Indirect evidence, Ketamine: at most 25 trials (Depression: mood)." in words


def test_the_layout_is_plain_data():
    layout = lay_out_evidence_map(example())
    assert json.loads(json.dumps(layout.to_dict()))["rows"][0]["label"] == "Direct evidence"


@pytest.mark.parametrize(
    "cells, words",
    [
        ([{"column": "x", "trials": 1}], r"cells\[0\] .* needs a row and a column"),
        ([cell("a", "x", 1.5)], r"cells\[0\] \(a, x\): trials is 1.5"),
        ([cell("a", "x", -1)], "trials is -1"),
        ([cell("a", "x", None)], "trials is None"),
        ([cell("a", "x", 1), cell("a", "x", 2)], r"cells\[1\] \(a, x\) is there twice"),
    ],
)
def test_bad_cells_are_refused_by_position(cells, words):
    with pytest.raises(UsageError, match=words):
        lay_out_evidence_map(cells)
