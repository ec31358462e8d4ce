import json
import math
from itertools import pairwise

import pytest

from figure_helpers import (
    POINT,
    assert_texts_on_page,
    assert_texts_stay_apart,
    pooled,
    result,
    risk_ratio,
    row,
    smd,
    subgroups,
    texts,
)
from ketameta.errors import UsageError
from ketameta.figures import alt_text, lay_out_forest, style
from ketameta.figures.forest import forest_marks


def kinds(layout):
    return [row.kind for row in layout.rows]


def test_rows_stand_in_reading_order():
    layout = lay_out_forest(smd(3))
    assert kinds(layout) == [
        "header",
        "study",
        "study",
        "study",
        "overall",
        "prediction",
        "heterogeneity",
    ]
    assert [row.label for row in layout.rows_of("study")] == [
        "Alder 1999",
        "Birch 1999",
        "Cedar 1999",
    ]


def test_subgroups_show_their_pool_the_single_trial_and_the_empty_group():
    layout = lay_out_forest(subgroups())
    assert kinds(layout) == [
        "header",
        "subgroup_header",
        "study",
        "study",
        "study",
        "subgroup_pool",
        "heterogeneity",
        "subgroup_header",
        "study",
        "subgroup_note",
        "subgroup_header",
        "empty",
        "overall",
        "prediction",
        "heterogeneity",
        "subgroup_test",
    ]
    assert layout.rows_of("subgroup_note")[0].label == "One trial; not pooled"
    assert layout.rows_of("empty")[0].label == "No eligible trials"
    test = layout.rows_of("subgroup_test")[0].label.replace("\u00a0", " ")
    assert test == "Test for subgroup differences: Q(1) = 6.73, p = 0.009"


def test_group_prediction_intervals_appear_where_there_is_no_overall_result():
    data = subgroups()
    data["pooled"] = None
    layout = lay_out_forest(data)
    assert [row.group for row in layout.rows_of("prediction")] == [0]
    assert not lay_out_forest(data, group_predictions=False).rows_of("prediction")


def test_rows_neither_overlap_nor_leave_the_page():
    for data in (smd(3), smd(50), subgroups(), risk_ratio()):
        layout = lay_out_forest(data)
        for above, below in pairwise(layout.rows):
            assert below.top >= above.bottom - POINT
        assert layout.rows[-1].bottom < layout.axis_y < layout.footnote_top < layout.height


def test_fifty_rows_grow_the_page_and_repeat_the_axis():
    short, tall = lay_out_forest(smd(5)), lay_out_forest(smd(50))
    assert tall.axis_repeated
    assert not short.axis_repeated
    assert tall.width == short.width
    assert tall.height - short.height > 45 * 12
    labels = [mark.text for mark in texts(forest_marks(tall), "tick_label")]
    assert labels[: len(labels) // 2] == labels[len(labels) // 2 :]
    bands = [mark for mark in forest_marks(tall) if mark.part == "band"]
    assert len(bands) == 25


def test_texts_of_every_column_are_written_once_and_rounded():
    layout = lay_out_forest(smd(3))
    first = layout.rows_of("study")[0]
    assert first.cell("effect") == "−0.50 [−0.75, −0.25]"
    assert first.cell("treatment") == "20"
    assert first.cell("control") == "21"
    assert first.cell("weight") == "16.7%"
    overall = layout.rows_of("overall")[0]
    assert overall.label == "All trials (k\u00a0=\u00a03)"
    assert overall.cell("effect") == "−0.45 [−0.65, −0.25]"
    assert overall.cell("treatment") == "60"
    assert overall.cell("weight") == "100.0%"
    assert layout.rows_of("prediction")[0].cell("effect") == "[−1.05, 0.15]"
    heterogeneity = layout.rows_of("heterogeneity")[0].label.replace("\u00a0", " ")
    assert heterogeneity == "Heterogeneity: τ² = 0.041, I² = 42%, Q(2) = 8.65, p = 0.070"


def test_ratios_are_shown_as_ratios_on_a_log_axis():
    layout = lay_out_forest(risk_ratio())
    first = layout.rows_of("study")[0]
    assert first.cell("effect") == "2.00 [1.34, 2.98]"
    assert first.cell("treatment") == "12/20"
    assert layout.rows_of("overall")[0].cell("treatment") == "40/80"
    axis = layout.axis
    assert axis.scale == "log"
    assert axis.position(1.0) - axis.position(0.5) == pytest.approx(
        axis.position(4.0) - axis.position(2.0)
    )
    assert "1" in axis.tick_labels
    assert set(axis.tick_labels) <= {"0.1", "0.2", "0.5", "1", "2", "5", "10", "20"}
    assert layout.column("plot").header == ("Risk ratio (log scale)",)


def test_an_interval_that_would_squeeze_the_rest_is_cut_on_both_sides():
    layout = lay_out_forest(risk_ratio())
    *others, wide = layout.rows_of("study")
    assert wide.clipped_left
    assert wide.clipped_right
    assert (wide.x_low, wide.x_high) == (layout.axis.start, layout.axis.stop)
    assert not any(row.clipped_left or row.clipped_right for row in others)
    arrows = [mark for mark in forest_marks(layout) if mark.part == "clip_arrow"]
    assert len(arrows) == 2
    assert wide.cell("effect") == "2.50 [0.03, 225.04]"
    assert any("Arrowhead" in line for note in layout.footnotes for line in note)


def test_an_estimate_outside_a_given_range_has_an_arrow_and_no_marker():
    layout = lay_out_forest(smd(3), axis_range=(0.5, 1.0))
    assert all(row.x is None and row.clipped_left for row in layout.rows_of("study"))
    parts = {mark.part for mark in forest_marks(layout)}
    assert "study_marker" not in parts
    assert "pooled_diamond" not in parts
    assert "clip_arrow" in parts


def test_marker_areas_are_proportional_to_weights():
    layout = lay_out_forest(smd(4))
    rows = layout.rows_of("study")
    heaviest = rows[-1]
    assert heaviest.area == pytest.approx(style.LARGEST_SQUARE**2)
    for one in rows:
        assert one.area / heaviest.area == pytest.approx(one.weight / heaviest.weight)


def test_weights_within_groups_are_drawn_within_groups():
    data = subgroups()
    for weight, one in zip((0.2, 0.3, 0.5), data["groups"][0]["rows"], strict=True):
        one["weight"] = weight
    second = [row("Fir 2002", -0.1, weight=0.9), row("Hazel 2003", -0.2, weight=0.1)]
    data["groups"][1] = {"label": "Not resistant", "rows": second, "pooled": pooled(2, -0.1)}
    areas = [row.area for row in lay_out_forest(data).rows_of("study")]
    assert areas[2] == areas[3] == pytest.approx(style.LARGEST_SQUARE**2)
    assert areas[0] / areas[2] == pytest.approx(0.4)


def test_a_tiny_weight_is_still_visible():
    layout = lay_out_forest(smd(50))
    assert min(row.area for row in layout.rows_of("study")) == style.SMALLEST_SQUARE**2


def test_markers_and_intervals_fall_where_the_axis_says():
    layout = lay_out_forest(smd(4))
    plot = layout.column("plot")
    for one in layout.rows_of("study"):
        assert plot.left <= one.x_low < one.x < one.x_high <= plot.right
        share = (one.estimate - layout.axis.low) / (layout.axis.high - layout.axis.low)
        assert one.x == pytest.approx(plot.left + share * (plot.right - plot.left))


def test_no_trials_is_a_figure_that_says_what_was_looked_for():
    layout = lay_out_forest(result())
    assert kinds(layout) == ["header", "empty"]
    assert layout.axis is None
    marks = forest_marks(layout)
    assert texts(marks, "empty")[0].text == "No eligible trials"
    words = " ".join(mark.text for mark in texts(marks, "looked_for"))
    assert words == "Looked for: trials that gave ketamine to people with ADHD"
    assert not texts(marks, "header")
    assert_texts_on_page(marks, layout.width, layout.height)
    assert alt_text(layout) == (
        "Forest plot: Depressive symptoms after one day. No eligible trials."
        " Looked for: trials that gave ketamine to people with ADHD."
    )


def test_no_groups_at_all_is_also_no_trials():
    assert kinds(lay_out_forest(result(groups=[]))) == ["header", "empty"]


def test_one_trial_is_shown_and_not_pooled():
    data = result([row("Alder 2014", -0.5, weight=1.0)], pooled=pooled(1, -0.5))
    layout = lay_out_forest(data)
    assert kinds(layout) == ["header", "study", "single"]
    assert layout.rows[-1].label == "One trial; not pooled"
    only = layout.rows_of("study")[0]
    assert only.weight is None
    assert only.area == style.UNWEIGHTED_SQUARE**2
    assert layout.column("weight") is None
    assert layout.pooled_estimate is None
    assert "One trial, not pooled: Alder 2014 −0.50 (95% CI −0.90 to −0.10)." in alt_text(layout)


def test_two_trials_have_a_diamond_and_say_why_there_is_no_prediction_interval():
    layout = lay_out_forest(smd(2))
    assert kinds(layout) == ["header", "study", "study", "overall", "note", "heterogeneity"]
    assert layout.rows_of("note")[0].label == "Two trials: no prediction interval"


def test_a_pool_that_was_withheld_is_said():
    data = smd(3)
    data["pooled"] = None
    assert kinds(lay_out_forest(data))[-1] == "note"
    assert lay_out_forest(data).rows[-1].label == "Not pooled"


def test_missing_values_are_shown_as_missing():
    rows = [row("Alder 2014", None, n_treatment=None), row("Birch 2015", -0.4)]
    layout = lay_out_forest(result(rows, pooled=None))
    missing = layout.rows_of("study")[0]
    assert missing.cell("effect") == "not estimable"
    assert missing.cell("treatment") == "–"
    assert (missing.x, missing.x_low) == (None, None)
    assert kinds(layout)[-1] == "single"


def test_a_sum_with_an_unknown_part_is_a_lower_bound():
    data = smd(3)
    data["groups"][0]["rows"][0]["n_control"] = None
    overall = lay_out_forest(data).rows_of("overall")[0]
    assert overall.cell("control") == "≥\u00a042"
    assert overall.cell("treatment") == "60"


def test_sums_that_would_count_people_twice_are_left_out():
    data = subgroups()
    data["groups"][1]["rows"][0]["study_id"] = "alder_2001"
    layout = lay_out_forest(data)
    assert layout.rows_of("overall")[0].cell("treatment") == ""
    assert layout.rows_of("subgroup_pool")[0].cell("treatment") == "60"


def test_weights_given_within_groups_are_not_added_up():
    data = subgroups()
    for group in data["groups"]:
        for one in group["rows"]:
            one["weight"] = 1.0 / len(group["rows"])
    layout = lay_out_forest(data)
    assert layout.rows_of("overall")[0].cell("weight") == ""
    assert layout.rows_of("subgroup_pool")[0].cell("weight") == "100.0%"
    single = layout.rows_of("study")[-1]
    assert (single.weight, single.cell("weight")) == (None, "–")


def test_columns_without_data_are_left_out():
    rows = [row("Alder 2014", -0.5, n_control=None), row("Birch 2015", -0.4, n_control=None)]
    layout = lay_out_forest(result(rows))
    assert layout.column("control") is None
    assert layout.column("treatment") is not None
    names = [column.name for column in layout.columns]
    assert names == ["study", "treatment", "plot", "effect"]


def test_arms_take_the_name_that_all_rows_share():
    layout = lay_out_forest(smd(3))
    assert [spanner.lines for spanner in layout.spanners] == [("Ketamine",), ("Placebo",)]
    assert layout.column("comparison") is None


def test_interventions_that_differ_get_a_column_in_readers_words():
    data = smd(3)
    data["groups"][0]["rows"][0]["intervention"] = "mixed_amphetamine_salts"
    layout = lay_out_forest(data)
    column = layout.column("comparison")
    assert column.header == ("Intervention",)
    words = " ".join(layout.rows_of("study")[0].comparison_lines)
    assert words == "mixed amphetamine salts"
    assert layout.spanners[0].lines == ("Treatment",)


def test_means_are_shown_on_request():
    data = smd(2)
    for one in data["groups"][0]["rows"]:
        one |= {"mean_treatment": 12.34, "sd_treatment": 5.0, "mean_control": 18, "sd_control": 6}
    assert lay_out_forest(data).column("mean_treatment") is None
    layout = lay_out_forest(data, show_means=True)
    assert layout.rows_of("study")[0].cell("mean_treatment") == "12.3 (5.0)"
    assert [spanner.ruled for spanner in layout.spanners] == [True, True]


def test_direction_words_stand_beside_no_effect():
    layout = lay_out_forest(smd(3))
    left, right = layout.directions
    null = layout.axis.position(0.0)
    assert left.lines == ("Favours ketamine",)
    assert right.lines == ("Favours placebo",)
    assert left.x < null < right.x
    assert (left.side, right.side) == (-1, 1)


def test_long_direction_words_wrap_and_stay_on_the_page():
    long = "Favours the combination of psychotherapy with an NMDA-receptor antagonist"
    layout = lay_out_forest(smd(3, favours=[long, long]))
    assert all(1 < len(item.lines) <= 3 for item in layout.directions)
    assert_texts_on_page(forest_marks(layout), layout.width, layout.height)
    assert_texts_stay_apart(forest_marks(layout))


def test_long_labels_wrap_to_three_lines_and_end_in_an_ellipsis():
    data = smd(3)
    data["groups"][0]["rows"][1]["label"] = "The International Collaborative " * 6 + "Group 2011"
    layout = lay_out_forest(data)
    long = layout.rows_of("study")[1]
    assert len(long.label_lines) == 3
    assert long.label_lines[-1].endswith("…")
    assert long.label.endswith("Group 2011")
    assert long.height > layout.rows_of("study")[0].height
    assert_texts_stay_apart(forest_marks(layout))


def test_a_trial_set_aside_is_grey_unweighted_and_gives_its_reason():
    data = smd(3)
    data["groups"][0]["rows"][1] |= {"excluded": True, "reason": "open label"}
    layout = lay_out_forest(data)
    aside = layout.rows_of("study")[1]
    assert aside.excluded
    assert (aside.weight, aside.cell("weight")) == (None, "–")
    assert aside.marker == "a"
    assert ("a\u00a0\u00a0Set aside: open label",) in layout.footnotes
    assert layout.rows_of("overall")[0].cell("treatment") == "40"
    assert layout.k == 2
    marks = forest_marks(layout)
    hollow = [m for m in marks if m.part == "study_marker" and m.fill == style.PAPER]
    assert len(hollow) == 1
    assert "1 trial set aside" in alt_text(layout)


def test_notes_share_a_letter_when_they_say_the_same():
    data = smd(3)
    notes = ("SD from the interval", "read from a figure", "SD from the interval")
    for one, note in zip(data["groups"][0]["rows"], notes, strict=True):
        one["note"] = note
    layout = lay_out_forest(data)
    assert [row.marker for row in layout.rows_of("study")] == ["a", "b", "a"]


def test_directness_is_said_in_words():
    layout = lay_out_forest(smd(3, directness="indirect"))
    assert layout.subtitle_lines == ("Indirect evidence: another condition",)
    data = smd(3)
    for one, direct in zip(data["groups"][0]["rows"], (True, False, True), strict=True):
        one["direct"] = direct
    assert [row.tag for row in lay_out_forest(data).rows_of("study")] == ["", "indirect", ""]


def test_risk_of_bias_has_a_letter_per_domain_and_shows_what_was_not_assessed():
    data = smd(3)
    rows = data["groups"][0]["rows"]
    rows[0]["risk_of_bias"] = {"overall": "high", "randomisation": "low"}
    rows[1]["risk_of_bias"] = {"randomisation": "some_concerns"}
    layout = lay_out_forest(data)
    assert layout.domains == (("randomisation", "randomisation"), ("overall", "overall"))
    judged = [row.risk_of_bias for row in layout.rows_of("study")]
    assert judged == [
        ("low", "high"),
        ("some_concerns", "not_assessed"),
        ("not_assessed", "not_assessed"),
    ]
    marks = forest_marks(layout)
    circles = [mark for mark in marks if mark.part == "risk_of_bias"]
    assert len(circles) == 6
    assert sum(bool(circle.dash) for circle in circles) == 3
    assert [mark.text for mark in texts(marks, "risk_of_bias_symbol")] == ["+", "×", "!"]
    notes = " ".join(line for note in layout.footnotes for line in note)
    assert "A randomisation; B overall" in notes
    assert "empty circle not assessed" in notes


def test_interventions_move_below_the_labels_when_the_page_is_full():
    data = smd(3)
    domains = ("randomisation", "deviations", "missing", "measurement", "reporting", "overall")
    for one, name in zip(data["groups"][0]["rows"], ("ketamine", "s", "memantine"), strict=True):
        one |= {"intervention": name, "risk_of_bias": dict.fromkeys(domains, "low")}
    layout = lay_out_forest(data)
    assert layout.width == pytest.approx(180 * style.POINTS_PER_MM)
    assert layout.column("comparison") is None
    assert layout.rows_of("study")[2].remark_lines == ("memantine",)


def test_the_minimal_important_difference_is_on_the_axis_and_in_the_legend():
    layout = lay_out_forest(smd(3, important_difference=-3.0))
    assert layout.axis.holds(-3.0)
    parts = [mark.part for mark in forest_marks(layout)]
    assert parts.count("important_line") == 1
    notes = " ".join(line for note in layout.footnotes for line in note)
    assert "minimal important difference (−3.00)" in notes
    assert lay_out_forest(smd(3), minimal_important_difference=-0.2).axis.holds(-0.2)


def test_the_method_and_the_caveats_stand_under_the_plot():
    data = smd(3, caveats=[{"code": "x", "message": "Two trials  are\nvery small."}])
    layout = lay_out_forest(data)
    notes = [" ".join(lines) for lines in layout.footnotes]
    assert "Two trials are very small." in notes
    assert any(
        note == "Random effects, τ² by REML; 95% CI by Knapp–Hartung, never narrower than Wald."
        for note in notes
    )
    assert "Two trials are very small." not in [
        " ".join(lines) for lines in lay_out_forest(data, show_caveats=False).footnotes
    ]


@pytest.mark.parametrize(
    "data",
    [smd(3), smd(50), subgroups(), risk_ratio(), smd(2), smd(1), result()],
    ids=["three", "fifty", "subgroups", "ratio", "two", "one", "none"],
)
def test_no_text_touches_another_or_leaves_the_page(data):
    layout = lay_out_forest(data)
    marks = forest_marks(layout)
    assert_texts_on_page(marks, layout.width, layout.height)
    assert_texts_stay_apart(marks)


def test_columns_do_not_overlap():
    for data in (smd(3), risk_ratio()):
        columns = lay_out_forest(data).columns
        for one, two in pairwise(columns):
            assert two.left > one.right


@pytest.mark.parametrize("half, digits", [(60.0, 1), (3.0, 2), (0.4, 2), (0.01, 3)])
def test_digits_follow_the_width_of_the_intervals(half, digits):
    data = result([row("Alder 2014", 0.0, half), row("Birch 2015", 0.1, half)], measure="MD")
    assert lay_out_forest(data).digits == digits


def test_a_logarithm_of_one_is_accepted_as_no_effect():
    assert lay_out_forest(risk_ratio() | {"null": 0.0}).null == 1.0


def test_values_that_are_not_numbers_are_treated_as_missing():
    data = smd(3)
    data["groups"][0]["rows"][0]["estimate"] = math.nan
    data["groups"][0]["rows"][0]["ci_low"] = -math.inf
    data["groups"][0]["rows"][0]["ci_high"] = math.nan
    assert lay_out_forest(data).rows_of("study")[0].cell("effect") == "not estimable"


def test_the_layout_is_plain_data():
    once = json.dumps(lay_out_forest(subgroups()).to_dict(), sort_keys=True, allow_nan=False)
    again = json.dumps(lay_out_forest(subgroups()).to_dict(), sort_keys=True, allow_nan=False)
    assert once == again
    assert json.loads(once)["rows"][1]["kind"] == "subgroup_header"


def test_the_text_alternative_gives_the_numbers():
    words = alt_text(lay_out_forest(subgroups()))
    assert "4 trials, 164 participants" in words
    assert "Pooled estimate −0.42 (95% CI −0.62 to −0.22)." in words
    assert "95% prediction interval −1.02 to 0.18." in words
    assert "Treatment-resistant: −0.50 (95% CI −0.70 to −0.30), 3 trials." in words
    assert "Not resistant: one trial, −0.10 (95% CI −0.50 to 0.30)." in words
    assert "Not reported: no eligible trials." in words
    assert "Values below 0: favours ketamine." in words


@pytest.mark.parametrize(
    "data, words",
    [
        ({}, "a forest plot needs a list of groups"),
        ({"groups": "x"}, "a forest plot needs a list of groups"),
        ({"groups": [{"label": None}]}, r"result\['groups'\]\[0\] has no list of 'rows'"),
        ({"groups": [{"rows": [3]}]}, r"\['rows'\]\[0\] is 3, not a mapping"),
    ],
)
def test_a_result_without_rows_is_refused_by_name(data, words):
    with pytest.raises(UsageError, match=words):
        lay_out_forest(data)


def test_an_impossible_axis_range_is_refused():
    with pytest.raises(UsageError, match="axis range is 1 to 1"):
        lay_out_forest(smd(3), axis_range=(1, 1))
    with pytest.raises(UsageError, match="a logarithmic axis starts above 0"):
        lay_out_forest(risk_ratio(), axis_range=(-1, 2))
