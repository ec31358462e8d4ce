import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
from matplotlib.colors import to_hex

from figure_helpers import (
    POINT,
    assert_well_set,
    drawn,
    flat,
    forest_of,
    laid_out,
    marked,
    near,
    parts,
    pooled,
    result,
    risk_ratio,
    row,
    smd,
    subgroups,
    words,
)
from ketameta.errors import UsageError
from ketameta.models import plain
from ketameta.plots import look
from ketameta.plots.forest import describe_layout, draw
from ketameta.plots.forest_layout import LARGEST, PAGE_HEIGHT, SMALLEST, UNWEIGHTED, lay_out
from ketameta.report.plots import _trials


def picture(layout):
    return drawn(draw, layout)


def kinds(layout):
    return [row.kind for row in layout.rows]


def test_rows_stand_in_reading_order():
    layout = laid_out(smd(3))
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


def footnotes(layout):
    return " ".join(" ".join(note) for note in layout.footnotes).replace("\u00a0", " ")


def test_what_is_pooled_of_trials_and_reports_of_several_says_both():
    data = smd(4)
    data["groups"][0]["rows"][1]["design"] = "pooled_rcts"
    assert laid_out(data).rows_of("overall")[0].label == "All (3 trials + 1 pooled report)"
    for item in data["groups"][0]["rows"]:
        item["design"] = "pooled_rcts"
    assert laid_out(data).rows_of("overall")[0].label == "All (4 pooled reports)"
    groups = subgroups()
    groups["groups"][0]["rows"][0]["design"] = "pooled_rcts"
    layout = laid_out(groups)
    assert layout.rows_of("subgroup_pool")[0].label == "Subtotal (2 trials + 1 pooled report)"
    assert layout.rows_of("overall")[0].label == "All subgroups (3 trials + 1 pooled report)"
    # A report with a row in each of two groups is one report.
    twice = [group["rows"][0] for group in groups["groups"][:2]]
    for item in twice:
        item |= {"design": "pooled_rcts", "study_id": twice[0]["study_id"]}
    groups["pooled"]["k"] = 3
    layout = laid_out(groups)
    assert layout.rows_of("overall")[0].label == "All subgroups (2 trials + 1 pooled report)"
    assert layout.forest.pools == 1
    cochrane = laid_out(data, style="revman").rows_of("overall")[0].label
    assert cochrane == "Total (95% CI) (4 pooled reports)"


def test_the_legend_tells_the_kinds_of_interval_and_of_model_apart():
    forest = forest_of(subgroups())
    alike = footnotes(lay_out(forest))
    assert "Diamond: pooled estimate (dotted line) with 95% CI." in alike
    assert "Random effects, τ² by REML; 95% CI by Knapp–Hartung" in alike
    assert "credible" not in alike
    first = forest.groups[0]
    bayes = replace(first.pool, model="bayes", ci_method=None, credible=True)
    mixed = replace(forest, groups=(replace(first, pool=bayes), *forest.groups[1:]))
    layout = lay_out(mixed)
    said = footnotes(layout)
    assert "Diamond: pooled estimate (dotted line) with 95% interval." in said
    assert "Overall: random effects, τ² by REML; 95% CI by Knapp–Hartung" in said
    assert "Treatment-resistant: Bayesian random effects; credible intervals." in said
    assert layout.column("effect").header == ("SMD", "[95% interval]")
    within = [row.label for row in layout.rows_of("heterogeneity")]
    assert within[0].startswith("Heterogeneity: τ²\u00a0=\u00a00.041 (Bayesian), I²")
    assert "(REML)" in within[0] and "(" not in within[1].partition("Q")[0]
    alt = describe_layout(layout)
    assert "Pooled estimate −0.42 (95% CI" in alt
    assert "Treatment-resistant: −0.50 (95% credible interval" in alt
    assert dict(mixed.in_words)["Treatment-resistant pooled"].startswith("−0.50 (95% credible")


def test_the_ends_of_a_network_are_not_named_as_first_and_last():
    forest = forest_of(smd(3))
    assert "Single trials range from" in describe_layout(lay_out(forest))
    network = replace(forest, description="Forest plot of a network", rows_are_pools=True)
    assert "range from" not in describe_layout(lay_out(network))


def test_a_difference_within_trials_names_its_groups_and_is_called_one():
    spec = {"model": {"group_order": ["inattentive", "combined"]}}
    for measure, ratio, head in (("SMD", False, "Difference in SMD"), ("OR", True, "Ratio of OR")):
        data = smd(3, kind="within_trial", spec=spec) | {"measure": measure, "is_ratio": ratio}
        columns = laid_out(data)
        assert columns.column("treatment").over == ("Inattentive",)
        assert columns.column("control").over == ("Combined",)
        assert columns.column("effect").header[0] == head
    usual = laid_out(smd(3))
    assert [usual.column(arm).over for arm in ("treatment", "control")] == [
        ("Ketamine",),
        ("Placebo",),
    ]


def test_subgroups_show_their_pool_the_single_trial_and_the_empty_group():
    layout = laid_out(subgroups())
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
    layout = laid_out(data)
    assert [row.group for row in layout.rows_of("prediction")] == [0]
    without = replace(forest_of(data), predictions=False)
    assert not lay_out(without).rows_of("prediction")


def test_rows_neither_overlap_nor_leave_the_page():
    for data in (smd(3), smd(50), subgroups(), risk_ratio()):
        layout = laid_out(data)
        for above, below in pairwise(layout.rows):
            assert below.top >= above.bottom - POINT
        assert layout.rows[-1].bottom < layout.axis_y < layout.footnote_top < layout.height


def test_fifty_rows_grow_the_page_and_repeat_the_axis():
    short, tall = laid_out(smd(5)), laid_out(smd(50))
    assert tall.axis_repeated
    assert not short.axis_repeated
    assert tall.width == short.width
    assert tall.height - short.height > 45 * 12
    ax = picture(tall)
    ticks = ax.xaxis.get_major_ticks()
    assert all(tick.label1.get_visible() and tick.label2.get_visible() for tick in ticks)
    assert parts(ax)["band"] == 25


def test_texts_of_every_column_are_written_once_and_rounded():
    layout = laid_out(smd(3))
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
    layout = laid_out(risk_ratio())
    first = layout.rows_of("study")[0]
    assert first.cell("effect") == "2.00 [1.34, 2.98]"
    assert first.cell("treatment") == "12/20"
    assert layout.rows_of("overall")[0].cell("treatment") == "40/80"
    axis = layout.axis
    assert axis.log
    assert axis.share(1.0) - axis.share(0.5) == pytest.approx(axis.share(4.0) - axis.share(2.0))
    assert "1" in axis.tick_labels
    assert set(axis.tick_labels) <= {"0.1", "0.2", "0.5", "1", "2", "5", "10", "20"}
    assert layout.column("plot").header == ("Risk ratio (log scale)",)


def test_an_interval_that_would_squeeze_the_rest_is_cut_on_both_sides():
    layout = laid_out(risk_ratio())
    *others, wide = layout.rows_of("study")
    assert wide.cut_low and wide.cut_high
    assert not any(row.cut_low or row.cut_high for row in others)
    ax = picture(layout)
    places = marked(ax, "clip_arrow")
    assert flat(places) == near([(layout.axis.low, wide.middle), (layout.axis.high, wide.middle)])
    assert wide.cell("effect") == "2.50 [0.03, 225.04]"
    assert any("Arrowhead" in line for note in layout.footnotes for line in note)


def test_an_estimate_far_out_does_not_squeeze_the_rest():
    data = smd(6)
    data["groups"][0]["rows"][3] |= {"estimate": 40.0, "ci_low": 39.6, "ci_high": 40.4}
    layout = laid_out(data)
    far = layout.rows_of("study")[3]
    assert layout.axis.high < 5
    assert far.cut_high and not far.cut_low
    ax = picture(layout)
    assert len(marked(ax, "study_marker")) == 5
    assert flat(marked(ax, "clip_arrow")) == near([(layout.axis.high, far.middle)])


@pytest.mark.parametrize("low, high", [(-9.0, 4.0), (-1.0, 6.5)])
def test_pools_are_drawn_whole_and_predictions_leave_the_trials_room(low, high):
    data = subgroups()
    data["groups"][0]["pooled"] |= {"ci_low": low, "ci_high": high}
    data["pooled"] |= {"pi_low": low - 90, "pi_high": high + 90}
    layout = laid_out(data)
    pools = [row for row in layout.rows if row.kind in ("overall", "subgroup_pool")]
    assert len(pools) == 2
    assert layout.axis.low < low + 1 and layout.axis.high > high - 1
    prediction = layout.rows_of("prediction")[0]
    assert prediction.cut_low and prediction.cut_high
    trials = [end for row in layout.rows_of("study") for end in (row.low, row.high)]
    assert layout.axis.share(max(trials)) - layout.axis.share(min(trials)) > 0.06


def test_an_interval_on_one_degree_of_freedom_is_written_and_not_drawn():
    data = forest_of(smd(2))
    layout = lay_out(replace(data, pool=replace(data.pool, low=-28.0, high=12.4, df=1)))
    assert layout.rows_of("overall")[0].cell("effect") == "−0.45 [−28.00, 12.40]"
    assert layout.axis.low > -5
    drawn_parts = parts(picture(layout))
    assert not drawn_parts["pooled_diamond"] and not drawn_parts["pooled_line"]
    assert any("too wide to draw" in row.label for row in layout.rows_of("note"))
    assert any("written, not drawn" in line for note in layout.footnotes for line in note)


def test_even_an_absurd_pool_leaves_room_to_see_the_trials():
    data = smd(4)
    data["pooled"] |= {"ci_low": -900.0, "ci_high": 900.0}
    layout = laid_out(data)
    trials = [end for row in layout.rows_of("study") for end in (row.low, row.high)]
    share = layout.axis.share(max(trials)) - layout.axis.share(min(trials))
    assert share > 0.03
    pool = layout.rows_of("overall")[0]
    assert pool.cut_low and pool.cut_high
    assert parts(picture(layout))["clip_arrow"] == 2


def test_groups_in_place_of_too_many_trials_are_drawn_whole():
    groups = [
        {
            "label": name,
            "rows": [row(f"{name} {i}", middle + 0.01 * i) for i in range(80)],
            "pooled": pooled(80, middle, half),
        }
        for name, middle, half in (("Adults", -0.4, 0.1), ("Children", -0.2, 3.0))
    ]
    layout = laid_out(result(groups=groups, pooled=pooled(160, -0.3, 0.9)))
    assert [row.label for row in layout.rows_of("study")] == [
        "Adults: 80 trials",
        "Children: 80 trials",
    ]
    assert not any(row.cut_low or row.cut_high for row in layout.rows)


def test_an_estimate_outside_a_given_range_has_an_arrow_and_no_marker():
    layout = laid_out(smd(3), xlim=(0.5, 1.0))
    assert all(row.cut_low for row in layout.rows_of("study"))
    found = parts(picture(layout))
    assert "study_marker" not in found
    assert "pooled_diamond" not in found
    assert len(marked(picture(layout), "clip_arrow")) == 5  # three trials, the pool, the prediction


def test_marker_areas_are_proportional_to_weights():
    layout = laid_out(smd(4))
    rows = layout.rows_of("study")
    heaviest = rows[-1]
    assert heaviest.area == pytest.approx(LARGEST**2)
    for one in rows:
        assert one.area / heaviest.area == pytest.approx(one.weight / heaviest.weight)


def test_weights_within_groups_are_drawn_within_groups():
    data = subgroups()
    for weight, one in zip((0.2, 0.3, 0.5), data["groups"][0]["rows"], strict=True):
        one["weight"] = weight
    second = [row("Fir 2002", -0.1, weight=0.9), row("Hazel 2003", -0.2, weight=0.1)]
    data["groups"][1] = {"label": "Not resistant", "rows": second, "pooled": pooled(2, -0.1)}
    areas = [row.area for row in laid_out(data).rows_of("study")]
    assert areas[2] == areas[3] == pytest.approx(LARGEST**2)
    assert areas[0] / areas[2] == pytest.approx(0.4)


def test_a_tiny_weight_is_still_visible():
    layout = laid_out(smd(50))
    assert min(row.area for row in layout.rows_of("study")) == SMALLEST**2


def test_markers_and_intervals_fall_where_the_axis_says():
    layout = laid_out(smd(4))
    ax = picture(layout)
    rows = layout.rows_of("study")
    assert ax.get_xlim() == (layout.axis.low, layout.axis.high)
    places = [(row.estimate, row.middle) for row in rows]
    assert flat(marked(ax, "study_marker")) == near(places)
    ends = [(end, row.middle) for row in rows for end in (row.low, row.high)]
    assert flat(marked(ax, "study_interval")) == near(ends)
    plot = layout.column("plot")
    box = ax.get_window_extent()
    per_point = ax.figure.dpi / 72
    assert (box.x0 / per_point, box.x1 / per_point) == pytest.approx((plot.left, plot.right))


def test_no_trials_is_a_figure_that_says_what_was_looked_for():
    layout = laid_out(result())
    assert kinds(layout) == ["header", "empty"]
    assert layout.axis is None
    ax = picture(layout)
    assert words(ax, "empty") == ["No eligible trials"]
    looked = " ".join(words(ax, "looked_for"))
    assert looked == "Looked for: trials that gave ketamine to people with ADHD"
    assert not words(ax, "header")
    assert_well_set(ax)
    assert describe_layout(layout) == (
        "Forest plot: Depressive symptoms after one day. No eligible trials."
        " Looked for: trials that gave ketamine to people with ADHD."
    )


def test_no_groups_at_all_is_also_no_trials():
    assert kinds(laid_out(result(groups=[]))) == ["header", "empty"]


def test_one_trial_is_shown_and_not_pooled():
    data = result([row("Alder 2014", -0.5, weight=1.0)], pooled=pooled(1, -0.5))
    layout = laid_out(data)
    assert kinds(layout) == ["header", "study", "single"]
    assert layout.rows[-1].label == "One trial; not pooled"
    only = layout.rows_of("study")[0]
    assert only.weight is None
    assert only.area == UNWEIGHTED**2
    assert layout.column("weight") is None
    assert layout.pooled_estimate is None
    assert "One trial, not pooled: Alder 2014 −0.50 (95% CI −0.90 to −0.10)." in describe_layout(
        layout
    )


def test_two_trials_have_a_diamond_and_say_why_there_is_no_prediction_interval():
    layout = laid_out(smd(2))
    assert kinds(layout) == ["header", "study", "study", "overall", "note", "heterogeneity"]
    assert layout.rows_of("note")[0].label == "Two trials: no prediction interval"


def test_a_pool_that_was_withheld_is_said():
    data = smd(3)
    data["pooled"] = None
    assert kinds(laid_out(data))[-1] == "note"
    assert laid_out(data).rows[-1].label == "Not pooled"


def test_missing_values_are_shown_as_missing():
    rows = [row("Alder 2014", None, n_treatment=None), row("Birch 2015", -0.4)]
    layout = laid_out(result(rows, pooled=None))
    missing = layout.rows_of("study")[0]
    assert missing.cell("effect") == "not estimable"
    assert missing.cell("treatment") == "–"
    assert (missing.estimate, missing.low) == (None, None)
    assert kinds(layout)[-1] == "single"


def test_a_sum_with_an_unknown_part_is_a_lower_bound():
    data = smd(3)
    data["groups"][0]["rows"][0]["n_control"] = None
    overall = laid_out(data).rows_of("overall")[0]
    assert overall.cell("control") == "≥\u00a042"
    assert overall.cell("treatment") == "60"


def test_sums_that_would_count_people_twice_are_left_out():
    data = subgroups()
    data["groups"][1]["rows"][0]["study_id"] = "alder_2001"
    layout = laid_out(data)
    assert layout.rows_of("overall")[0].cell("treatment") == ""
    assert layout.rows_of("subgroup_pool")[0].cell("treatment") == "60"


def test_weights_given_within_groups_are_not_added_up():
    data = subgroups()
    for group in data["groups"]:
        for one in group["rows"]:
            one["weight"] = 1.0 / len(group["rows"])
    layout = laid_out(data)
    assert layout.rows_of("overall")[0].cell("weight") == ""
    assert layout.rows_of("subgroup_pool")[0].cell("weight") == "100.0%"
    single = layout.rows_of("study")[-1]
    assert (single.weight, single.cell("weight")) == (None, "–")


def test_columns_without_data_are_left_out():
    rows = [row("Alder 2014", -0.5, n_control=None), row("Birch 2015", -0.4, n_control=None)]
    layout = laid_out(result(rows))
    assert layout.column("control") is None
    assert layout.column("treatment") is not None
    names = [column.name for column in layout.columns]
    assert names == ["study", "treatment", "plot", "effect"]


def test_arms_take_the_name_that_all_rows_share():
    layout = laid_out(smd(3))
    assert [c.over for c in layout.columns if c.over] == [("Ketamine",), ("Placebo",)]
    assert layout.column("comparison") is None


def test_interventions_that_differ_get_a_column_in_readers_words():
    data = smd(3)
    data["groups"][0]["rows"][0]["intervention"] = "mixed_amphetamine_salts"
    layout = laid_out(data)
    column = layout.column("comparison")
    assert column.header == ("Intervention",)
    beside = " ".join(layout.rows_of("study")[0].beside)
    assert beside == "mixed amphetamine salts"
    assert layout.column("treatment").over == ("Treatment",)


def test_direction_words_stand_beside_no_effect():
    layout = laid_out(smd(3))
    left, right = layout.directions
    plot = layout.column("plot")
    null = plot.left + layout.axis.share(0.0) * (plot.right - plot.left)
    assert left.lines == ("Favours ketamine",)
    assert right.lines == ("Favours placebo",)
    assert left.x < null < right.x
    assert (left.side, right.side) == (-1, 1)


def test_long_direction_words_wrap_and_stay_on_the_page():
    long = "Favours the combination of psychotherapy with an NMDA-receptor antagonist"
    layout = laid_out(smd(3, favours=[long, long]))
    assert all(1 < len(item.lines) <= 3 for item in layout.directions)
    assert_well_set(picture(layout))


def test_long_labels_wrap_to_three_lines_and_end_in_an_ellipsis():
    data = smd(3)
    data["groups"][0]["rows"][1]["label"] = "The International Collaborative " * 6 + "Group 2011"
    layout = laid_out(data)
    long = layout.rows_of("study")[1]
    assert len(long.lines) == 3
    assert long.lines[-1].endswith("…")
    assert long.label.endswith("Group 2011")
    assert long.height > layout.rows_of("study")[0].height
    assert_well_set(picture(layout))


def with_trials(forest, changes):
    """A forest of one group whose trials are changed, each in its own way."""
    (group,) = forest.groups
    trials = (replace(one, **more) for one, more in zip(group.trials, changes, strict=True))
    return replace(forest, groups=(replace(group, trials=tuple(trials)),))


def test_a_trial_set_aside_is_grey_unweighted_and_gives_its_reason():
    layout = lay_out(with_trials(forest_of(smd(3)), ({}, {"set_aside": "open label"}, {})))
    aside = layout.rows_of("study")[1]
    assert aside.excluded
    assert (aside.weight, aside.cell("weight")) == (None, "–")
    assert aside.marker == "a"
    assert ("a\u00a0\u00a0Set aside: open label",) in layout.footnotes
    assert layout.rows_of("overall")[0].cell("treatment") == "40"
    assert layout.k == 2
    full, hollow = look.find(picture(layout), "study_marker")
    assert [len(group.get_offsets()) for group in (full, hollow)] == [2, 1]
    assert to_hex(hollow.get_facecolor()[0]) == look.PAPER.lower()
    assert "1 trial set aside" in describe_layout(layout)


def test_notes_share_a_letter_when_they_say_the_same():
    data = smd(3)
    notes = ("SD from the interval", "read from a figure", "SD from the interval")
    for one, note in zip(data["groups"][0]["rows"], notes, strict=True):
        one["note"] = note
    layout = laid_out(data)
    assert [row.marker for row in layout.rows_of("study")] == ["a", "b", "a"]


def test_directness_is_said_in_words():
    layout = laid_out(smd(3, directness="indirect"))
    assert layout.subtitle_lines == ("Indirect evidence",)
    tagged = with_trials(forest_of(smd(3)), ({}, {"tag": "indirect"}, {}))
    assert [row.tag for row in lay_out(tagged).rows_of("study")] == ["", "indirect", ""]


def test_risk_of_bias_has_a_letter_per_domain_and_shows_what_was_not_assessed():
    data = smd(3)
    rows = data["groups"][0]["rows"]
    rows[0]["risk_of_bias"] = {"overall": "high", "randomisation": "low"}
    rows[1]["risk_of_bias"] = {"randomisation": "some_concerns"}
    layout = laid_out(data)
    assert layout.forest.domains == (("randomisation", "randomisation"), ("overall", "overall"))
    judged = [row.risk_of_bias for row in layout.rows_of("study")]
    assert judged == [
        ("low", "high"),
        ("some_concerns", "not_assessed"),
        ("not_assessed", "not_assessed"),
    ]
    ax = picture(layout)
    assert len(marked(ax, "light")) == 3
    assert len(marked(ax, "not_assessed")) == 3
    assert sorted(words(ax, "sign")) == ["!", "+", "×"]
    notes = " ".join(line for note in layout.footnotes for line in note)
    assert "A randomisation; B overall" in notes
    assert "empty circle not assessed" in notes


def test_interventions_move_below_the_labels_when_the_page_is_full():
    data = smd(3)
    domains = ("randomisation", "deviations", "missing", "measurement", "reporting", "overall")
    for one, name in zip(data["groups"][0]["rows"], ("ketamine", "s", "memantine"), strict=True):
        one |= {"intervention": name, "risk_of_bias": dict.fromkeys(domains, "low")}
    layout = laid_out(data)
    assert layout.width == pytest.approx(look.PAGE_WIDTH)
    assert layout.column("comparison") is None
    assert layout.rows_of("study")[2].remarks == ("memantine",)


def test_the_minimal_important_difference_is_on_the_axis_and_in_the_legend():
    layout = laid_out(smd(3, important_difference=-3.0))
    assert layout.axis.side(-3.0) == 0
    assert parts(picture(layout))["important_line"] == 1
    notes = " ".join(line for note in layout.footnotes for line in note)
    assert "minimal important difference (−3.00)" in notes


def test_the_method_and_the_notes_stand_under_the_plot():
    layout = lay_out(replace(forest_of(smd(3)), notes=("Two trials  are\nvery small.",)))
    notes = [" ".join(lines) for lines in layout.footnotes]
    assert "Two trials are very small." in notes
    assert any(
        note == "Random effects, τ² by REML; 95% CI by Knapp–Hartung, never narrower than Wald."
        for note in notes
    )


@pytest.mark.parametrize(
    "data",
    [smd(3), smd(50), subgroups(), risk_ratio(), smd(2), smd(1), result()],
    ids=["three", "fifty", "subgroups", "ratio", "two", "one", "none"],
)
def test_no_text_touches_another_or_leaves_the_page(data):
    assert_well_set(picture(laid_out(data)))


def test_columns_do_not_overlap():
    for data in (smd(3), risk_ratio()):
        columns = laid_out(data).columns
        for one, two in pairwise(columns):
            assert two.left > one.right


@pytest.mark.parametrize("half, digits", [(60.0, 1), (3.0, 2), (0.4, 2), (0.01, 3)])
def test_digits_follow_the_width_of_the_intervals(half, digits):
    data = result([row("Alder 2014", 0.0, half), row("Birch 2015", 0.1, half)], measure="MD")
    assert laid_out(data).digits == digits


def test_a_logarithm_of_one_is_accepted_as_no_effect():
    assert forest_of(risk_ratio() | {"null": 0.0}).scale.no_effect == 1.0


def test_values_that_are_not_numbers_are_treated_as_missing():
    data = smd(3)
    data["groups"][0]["rows"][0]["estimate"] = math.nan
    data["groups"][0]["rows"][0]["ci_low"] = -math.inf
    data["groups"][0]["rows"][0]["ci_high"] = math.nan
    assert laid_out(data).rows_of("study")[0].cell("effect") == "not estimable"


def test_the_layout_is_plain_data():
    once = json.dumps(plain(laid_out(subgroups())), sort_keys=True, allow_nan=False)
    again = json.dumps(plain(laid_out(subgroups())), sort_keys=True, allow_nan=False)
    assert once == again
    assert json.loads(once)["rows"][1]["kind"] == "subgroup_header"


def test_the_text_alternative_gives_the_numbers():
    said = describe_layout(laid_out(subgroups()))
    assert "4 trials, 164 participants" in said
    assert "Pooled estimate −0.42 (95% CI −0.62 to −0.22)." in said
    assert "95% prediction interval −1.02 to 0.18." in said
    assert "Treatment-resistant: −0.50 (95% CI −0.70 to −0.30), 3 trials." in said
    assert "Not resistant: one trial, −0.10 (95% CI −0.50 to 0.30)." in said
    assert "Not reported: no eligible trials." in said
    assert "Values below 0: favours ketamine." in said


def test_an_impossible_axis_range_is_refused():
    with pytest.raises(UsageError, match="axis range is 1 to 1"):
        laid_out(smd(3), xlim=(1, 1))
    with pytest.raises(UsageError, match="a logarithmic axis starts above 0"):
        laid_out(risk_ratio(), xlim=(-1, 2))


# --- columns, order, styles, pages ----------------------------------------------------------------


def test_styles_have_their_order_of_columns():
    def order(style):
        return [column.name for column in laid_out(risk_ratio(), style=style).columns]

    arms = ["treatment", "control"]
    assert order("house") == ["study", *arms, "plot", "effect", "weight"]
    assert order("revman") == ["study", *arms, "weight", "effect", "plot"]
    assert order("jama") == ["study", *arms, "effect", "plot", "weight"]
    assert order("bmj") == ["study", *arms, "plot", "weight", "effect"]
    assert order("RevMan") == order("revman")
    with pytest.raises(UsageError, match=r"style is 'revmen'; .* did you mean revman"):
        laid_out(smd(3), style="revmen")


@pytest.mark.parametrize("style", ["house", "revman", "jama", "bmj"])
@pytest.mark.parametrize("data", [smd(5), subgroups(), risk_ratio()], ids=["five", "groups", "RR"])
def test_every_style_is_well_set(style, data):
    ax = picture(laid_out(data, style=style))
    assert_well_set(ax)
    low, high = ax.get_xlim()
    assert low < high


def test_styles_write_intervals_and_totals_their_own_way():
    jama = laid_out(subgroups(), style="jama")
    assert jama.rows_of("study")[0].cell("effect") == "−0.60 (−1.00 to −0.20)"
    assert jama.direction_top < jama.body_top
    revman = laid_out(subgroups(), style="revman")
    assert revman.rows_of("overall")[0].label == "Total (95% CI)"
    said = revman.rows_of("heterogeneity")[-1].label.replace("\u00a0", " ")
    assert said == "Heterogeneity: Tau² = 0.041, I² = 42%, Chi² = 8.65, df = 3, P = 0.070"


def test_headings_of_groups_end_before_the_plot():
    data = subgroups()
    data["groups"][0]["label"] = "A heading that goes on for very much longer than its column " * 2
    layout = laid_out(data)
    heading = layout.rows_of("subgroup_header")[0]
    plot = layout.column("plot")
    reach = max(look.text_width(line, look.BODY, bold=True) for line in heading.lines)
    assert len(heading.lines) > 1
    assert look.MARGIN + reach < plot.left
    assert_well_set(picture(layout))


def test_pages_repeat_the_headings_and_lose_no_row():
    whole = laid_out(subgroups(title="A long title"))
    pages = whole.pages(height=260.0)
    assert len(pages) > 1
    rows = [row.label for page in pages for row in page.rows[1:]]
    assert rows == [row.label for row in whole.rows[1:]]
    for number, page in enumerate(pages, start=1):
        assert page.height <= 260.0 + POINT
        assert page.columns == whole.columns and page.axis == whole.axis
        assert page.rows[0].kind == "header"
        assert page.rows[-1].kind != "subgroup_header"
        assert bool(page.footnotes) == (number == len(pages))
        ax = picture(page)
        assert "Study" in words(ax, "header")
        assert_well_set(ax)
    assert pages[1].title_lines[-1].endswith(f"(continued, 2 of {len(pages)})")
    assert whole.pages() == (whole,)


def test_pages_of_so_many_rows():
    pages = laid_out(smd(50)).pages(rows=20)
    assert [len(page.rows) - 1 for page in pages] == [20, 20, 13]


def test_trials_beyond_two_hundred_are_lines_in_order_of_their_estimates():
    rows = [row(f"Trial {i}", math.sin(i), 0.3, weight=1 / 500) for i in range(500)]
    data = replace(
        forest_of(result(rows[:10], pooled=pooled(500, 0.0))),
        groups=tuple(
            replace(group, trials=_trials({"rows": rows}, {"rule": {"code": ""}, "weights": []}))
            for group in forest_of(result(rows[:10])).groups
        ),
    )
    layout = lay_out(data)
    assert not layout.labelled
    trials = layout.rows_of("study")
    estimates = [trial.estimate for trial in trials]
    assert len(trials) == 500 and estimates == sorted(estimates)
    assert sum(trial.height for trial in trials) < 700
    ax = picture(layout)
    assert len(marked(ax, "study_interval")) == 1000
    assert words(ax, "label") == ["All trials (k\u00a0=\u00a0500)", PREDICTION]
    assert "without names" in " ".join(words(ax, "footnote"))


PREDICTION = "95% prediction interval (a new trial)"


def test_a_layout_of_pools_and_trials_without_weights_says_so():
    data = replace(forest_of(smd(4)), predictions=False)
    assert not lay_out(data).rows_of("prediction")
    assert lay_out(data, weights=False).column("weight") is None


def test_a_single_judgement_stands_under_its_own_heading_without_a_letter():
    data = smd(3)
    data["groups"][0]["rows"][0]["risk_of_bias"] = {"worst_domain": "high"}
    layout = laid_out(data)
    assert layout.column("risk_of_bias").header == ("Risk of", "bias")
    assert "A" not in words(picture(layout), "header")
    assert any("Risk of bias: worst domain. " in " ".join(note) for note in layout.footnotes)
    assert_well_set(picture(layout))


def test_notes_that_find_no_place_under_the_last_row_move_with_some_rows_to_a_page() -> None:
    notes = tuple(
        f"Note number {number}, which stands on a line of its own." for number in range(9)
    )
    for k in range(30, 46):
        layout = lay_out(replace(forest_of(smd(k)), notes=notes))
        pages = layout.pages()
        assert len(pages) == 1 + (layout.height > PAGE_HEIGHT)
        assert max(page.height for page in pages) <= PAGE_HEIGHT
        rows = [row.label for page in pages for row in page.rows[1:]]
        assert rows == [row.label for row in layout.rows[1:]]
