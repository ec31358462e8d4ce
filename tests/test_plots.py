import json
import math

import pytest

from figure_helpers import (
    assert_drawn_texts_inside,
    assert_texts_on_page,
    assert_texts_stay_apart,
    pooled,
    result,
    texts,
)
from ketameta.errors import UsageError
from ketameta.figures import (
    alt_text,
    draw_forest,
    draw_plot,
    figure_bytes,
    find_parts,
    lay_out_baujat,
    lay_out_bubble,
    lay_out_cumulative,
    lay_out_funnel,
    lay_out_gosh,
    lay_out_leave_one_out,
    lay_out_network,
    lay_out_over_time,
    lay_out_posterior,
)
from ketameta.figures.forest import forest_marks
from ketameta.figures.gosh import CELLS
from ketameta.figures.point_labels import label_points

NAMES = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo", "Hazel", "Iris", "Juniper")


def trials(k):
    return [
        {
            "label": f"{NAMES[i % 10]} {2001 + i}",
            "estimate": -0.4 + 0.3 * math.sin(2.3 * i),
            "se": 0.12 + 0.03 * (i % 8),
            "weight": (1 + i % 4) / 30,
            "moderator": 10.0 * i,
            "contribution": 0.2 * (i % 5) ** 2,
            "influence": 0.1 * (i % 3),
        }
        for i in range(k)
    ]


def funnel_data(k=12, **more):
    return {
        "rows": trials(k),
        "pooled": {"estimate": -0.4},
        "measure_label": "Standardised mean difference",
        "null": 0.0,
        "title": "ADHD symptoms",
    } | more


def bubble_data(**more):
    xs = [0.0, 50.0, 110.0]
    line = {
        "moderator": xs,
        "estimate": [-0.1, -0.3, -0.5],
        "ci_low": [-0.4, -0.4, -0.8],
        "ci_high": [0.2, -0.2, -0.2],
        "pi_low": [-0.9, -0.8, -1.2],
        "pi_high": [0.6, 0.2, 0.2],
    }
    return {
        "rows": trials(12),
        "line": line,
        "moderator_label": "Dose (mg)",
        "measure_label": "Standardised mean difference",
        "null": 0.0,
        "title": "Dose and effect",
    } | more


def gosh_data():
    estimates, shares, flags = [], [], []
    for i in range(400):
        estimates.append(-0.5 + 0.2 * math.sin(i))
        shares.append(0.5 + 0.4 * math.cos(3 * i))
        flags.append(i % 2 == 0)
    return {
        "estimates": estimates,
        "i2": shares,
        "with_study": flags,
        "study": "Alder 2001",
        "pooled": {"estimate": -0.45},
        "null": 0.0,
        "measure_label": "Standardised mean difference",
        "title": "All subsets",
    }


def posterior_data(**more):
    grid = [i / 50 - 2.0 for i in range(161)]

    def normal(mean, sd):
        return [math.exp(-0.5 * ((x - mean) / sd) ** 2) / sd for x in grid]

    return {
        "grid": grid,
        "prior": normal(0, 1),
        "posterior": normal(-0.5, 0.2),
        "predictive": normal(-0.5, 0.4),
        "estimate": -0.5,
        "ci_low": -0.89,
        "ci_high": -0.11,
        "null": 0.0,
        "probability_below_null": 0.9938,
        "parameter_label": "Mean effect",
        "title": "ADHD symptoms",
    } | more


def time_data(**more):
    def point(days, estimate):
        return {
            "days": days,
            "estimate": estimate,
            "ci_low": estimate - 0.3,
            "ci_high": estimate + 0.3,
        }

    return {
        "series": [
            {"label": "Alder 2014", "points": [point(7, -0.3), point(1 / 12, -0.8)]},
            {"label": "Birch 2015", "points": [point(1, -0.6)]},
        ],
        "pooled": [
            {
                "from_days": 0.9,
                "to_days": 1.1,
                "label": "24 h",
                "k": 5,
                "estimate": -0.55,
                "ci_low": -0.8,
                "ci_high": -0.3,
            }
        ],
        "measure_label": "Standardised mean difference",
        "null": 0.0,
        "title": "Depressive symptoms",
    } | more


def network_data(**more):
    return {
        "nodes": [
            {"name": "Placebo", "participants": 400},
            {"name": "Methylphenidate", "participants": 100},
            {"name": "Memantine", "participants": 25, "highlight": True},
            {"name": "Ketamine", "participants": 0, "highlight": True},
        ],
        "edges": [
            {"from": "Placebo", "to": "Methylphenidate", "trials": 8},
            {"from": "Placebo", "to": "Memantine", "trials": 2},
        ],
        "title": "Treatments for ADHD",
    } | more


LAYOUTS = {
    "funnel": lambda: lay_out_funnel(funnel_data()),
    "bubble": lambda: lay_out_bubble(bubble_data()),
    "baujat": lambda: lay_out_baujat({"rows": trials(12), "title": "Who differs"}),
    "gosh": lambda: lay_out_gosh(gosh_data()),
    "posterior": lambda: lay_out_posterior(posterior_data()),
    "over_time": lambda: lay_out_over_time(time_data()),
    "network": lambda: lay_out_network(network_data()),
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_every_plot_stays_on_its_page_and_is_the_same_on_every_run(kind):
    layout = LAYOUTS[kind]()
    assert layout.kind == kind
    assert_texts_on_page(layout.marks, layout.width, layout.height)
    assert_texts_stay_apart(layout.marks)
    figure = draw_plot(layout)
    assert_drawn_texts_inside(figure)
    assert figure_bytes(figure, "svg") == figure_bytes(draw_plot(LAYOUTS[kind]()), "svg")
    assert json.dumps(layout.to_dict(), allow_nan=False)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_every_plot_says_what_it_shows(kind):
    words = alt_text(LAYOUTS[kind]())
    assert words.endswith(".")
    assert any(character.isdigit() for character in words)


@pytest.mark.parametrize("kind", [kind for kind in LAYOUTS if kind != "network"])
def test_every_point_falls_where_its_axes_say(kind):
    layout = LAYOUTS[kind]()
    frame = layout.frame
    assert frame.bottom > frame.top
    for point in layout.points:
        x, y = frame.place(point.x, point.y)
        assert point.at[1] == pytest.approx(y)
        assert abs(point.at[0] - x) < 2.5  # trials at the same time stand side by side


def test_funnel_has_small_standard_errors_on_top():
    layout = lay_out_funnel(funnel_data())
    by_error = sorted(layout.points, key=lambda point: point.y)
    assert by_error[0].at[1] < by_error[-1].at[1]
    assert layout.frame.y.position(0.0) == layout.frame.top


def test_funnel_contours_open_at_the_normal_quantiles():
    layout = lay_out_funnel(funnel_data())
    contours = layout.marks_of("contour")
    assert len(contours) == 4
    axis, deepest = layout.frame.x, layout.frame.y.high
    for contour, quantile in zip(contours[1:], (2.5758293, 1.9599640, 1.6448536)):
        tip, right, left = contour.points
        assert tip == pytest.approx((axis.position(0.0), layout.frame.top))
        assert right[0] == pytest.approx(axis.position(quantile * deepest), abs=1e-3)
        assert left[0] == pytest.approx(axis.position(-quantile * deepest), abs=1e-3)


def test_funnel_of_ratios_is_symmetric_on_the_log_scale():
    layout = lay_out_funnel(funnel_data(is_ratio=True, null=1.0, measure_label="Risk ratio"))
    assert layout.frame.x.scale == "log"
    _, right, left = layout.marks_of("contour")[-1].points
    null = layout.frame.x.position(1.0)
    assert right[0] - null == pytest.approx(null - left[0])
    assert layout.points[0].x == pytest.approx(math.exp(-0.4))


def test_few_trials_make_a_funnel_that_warns():
    assert "too few" in alt_text(lay_out_funnel(funnel_data(k=9))).lower()
    assert "too few" not in alt_text(lay_out_funnel(funnel_data(k=10))).lower()


def test_filled_trials_are_hollow():
    layout = lay_out_funnel(funnel_data(filled=[{"label": "x", "estimate": 0.1, "se": 0.2}]))
    (filled,) = layout.marks_of("filled_study")
    assert filled.fill != layout.marks_of("study")[0].fill
    assert "Trim-and-fill added 1 trial." in alt_text(layout)


def test_funnel_refuses_no_trials_and_bad_standard_errors():
    with pytest.raises(UsageError, match="is empty"):
        lay_out_funnel(funnel_data(rows=[]))
    rows = [{"label": "Alder 2001", "estimate": 0.1, "se": 0.0}]
    with pytest.raises(UsageError, match=r"\['rows'\]\[0\] \(Alder 2001\): se is 0.0"):
        lay_out_funnel(funnel_data(rows=rows))


def test_bubble_areas_are_proportional_to_weights():
    layout = lay_out_bubble(bubble_data())
    weights = {row["label"]: row["weight"] for row in trials(12)}
    ratios = {round(point.area / weights[point.label], 6) for point in layout.points}
    assert len(ratios) == 1


def test_bubble_bands_follow_the_line():
    layout = lay_out_bubble(bubble_data())
    (line,) = layout.marks_of("fitted_line")
    assert line.points[1] == pytest.approx(layout.frame.place(50.0, -0.3))
    (band,) = layout.marks_of("confidence_band")
    assert band.points[0] == pytest.approx(layout.frame.place(0.0, 0.2))
    assert band.points[-1] == pytest.approx(layout.frame.place(0.0, -0.4))
    assert len(layout.marks_of("prediction_band")) == 1


def test_bubble_bands_are_named_by_their_level():
    words = " ".join(
        mark.text for mark in lay_out_bubble(bubble_data(level=0.9)).marks if hasattr(mark, "text")
    )
    assert "90% CI" in words and "95%" not in words


def test_bubble_plot_without_a_line_shows_the_trials():
    layout = lay_out_bubble(bubble_data(line=None))
    assert not layout.marks_of("fitted_line")
    assert len(layout.points) == 12


def test_bubble_refuses_what_it_cannot_place():
    with pytest.raises(UsageError, match="no row with both"):
        lay_out_bubble(bubble_data(rows=[{"label": "x", "estimate": 1.0}]))
    line = {"moderator": [0, 1], "estimate": [0.1]}
    with pytest.raises(UsageError, match=r"\['estimate'\] has 1 values, 'moderator' has 2"):
        lay_out_bubble(bubble_data(line=line))
    line = {"moderator": [0, 1], "estimate": [0.1, math.nan]}
    with pytest.raises(UsageError, match="not a finite number"):
        lay_out_bubble(bubble_data(line=line))


def test_baujat_names_the_most_extreme_trial_and_says_its_share():
    rows = [
        {"label": "Alder 2001", "contribution": 6.0, "influence": 0.1},
        {"label": "Birch 2002", "contribution": 2.0, "influence": 0.8},
        {"label": "no numbers", "contribution": None, "influence": 0.8},
    ]
    layout = lay_out_baujat({"rows": rows, "title": "Who differs"})
    assert {mark.text for mark in texts(layout.marks, "name")} == {"Alder 2001", "Birch 2002"}
    words = alt_text(layout)
    assert "Alder 2001 contributes most to heterogeneity (6.00, 75% of the total)." in words
    assert "Birch 2002 has most influence" in words
    with pytest.raises(UsageError, match="no row with both"):
        lay_out_baujat({"rows": rows[2:]})


def test_names_beside_points_touch_nothing_and_yield_to_the_important():
    crowd = [(f"Trial {i}", (100.0 + i, 100.0), 3.0) for i in range(30)]
    placed = label_points("name", crowd, [(at, r) for _, at, r in crowd], (0, 0, 300, 200))
    assert 1 <= len(placed) < 30
    assert_texts_stay_apart(placed)
    alone = label_points("name", crowd[:1], [(crowd[0][1], 3.0)], (0, 0, 300, 200))
    assert [text.text for text in alone] == ["Trial 0"]


def test_gosh_counts_every_subset_once():
    layout = lay_out_gosh(gosh_data())
    cells = layout.marks_of("cell")
    assert 0 < len(cells) <= CELLS[0] * CELLS[1]
    assert len({cell.points[0] for cell in cells}) == len(cells)
    for part in ("estimate_margin", "i2_margin", "estimate_margin_with", "i2_margin_with"):
        assert len(layout.marks_of(part)) == 1
    words = alt_text(layout)
    assert "400 subsets of trials" in words
    assert "Median with Alder 2001" in words


def test_gosh_without_a_named_trial_has_plain_margins():
    data = gosh_data()
    del data["with_study"], data["study"]
    assert not lay_out_gosh(data).marks_of("estimate_margin_with")


def test_gosh_refuses_lists_of_different_length():
    with pytest.raises(UsageError, match="has 2 values and data"):
        lay_out_gosh({"estimates": [0.1, 0.2], "i2": [0.5]})
    data = gosh_data() | {"with_study": [True]}
    with pytest.raises(UsageError, match=r"\['with_study'\] has 1 values"):
        lay_out_gosh(data)
    with pytest.raises(UsageError, match="has 0 values"):
        lay_out_gosh({})
    with pytest.raises(UsageError, match="no subset with both"):
        lay_out_gosh({"estimates": [0.1], "i2": [None]})


def test_posterior_shades_the_credible_interval():
    layout = lay_out_posterior(posterior_data())
    (area,) = layout.marks_of("credible_area")
    xs = [x for x, _ in area.points]
    axis = layout.frame.x
    assert (min(xs), max(xs)) == pytest.approx((axis.position(-0.89), axis.position(-0.11)))
    assert {mark.text for mark in texts(layout.marks, "curve_name")} == {
        "Prior",
        "Posterior",
        "A new trial",
    }
    words = alt_text(layout)
    assert "Posterior median −0.50 (95% credible interval −0.89 to −0.11)." in words
    assert "Probability of a value below 0: 99%." in words


def test_posterior_refuses_curves_of_another_length():
    with pytest.raises(UsageError, match=r"\['prior'\] has 2 values, 'grid' has 161"):
        lay_out_posterior(posterior_data(prior=[0, 1]))
    with pytest.raises(UsageError, match="needs 'grid'"):
        lay_out_posterior({"grid": [0.0]})


def test_times_stand_on_a_log_axis_in_readers_words():
    layout = lay_out_over_time(time_data())
    frame = layout.frame
    assert frame.x.scale == "log"
    assert {"2 h", "1 day", "1 week"} <= set(frame.x.tick_labels)
    (line,) = layout.marks_of("trial_line")
    assert line.points[0][0] < line.points[1][0]
    assert len(layout.marks_of("trial_point")) == 3
    assert len(layout.marks_of("pooled_diamond")) == 1
    assert "24 h: −0.55 (95% CI −0.80 to −0.30), 5 trials." in alt_text(layout)


def test_a_time_of_zero_is_refused_by_place():
    series = [{"label": "Alder 2014", "points": [{"days": 0, "estimate": -0.1}]}]
    with pytest.raises(UsageError, match=r"\['series'\]\[0\]\['points'\]\[0\] \(Alder 2014\)"):
        lay_out_over_time(time_data(series=series))
    with pytest.raises(UsageError, match="no point with an estimate"):
        lay_out_over_time(time_data(series=[]))


def test_network_sizes_follow_participants_and_trials():
    layout = lay_out_network(network_data())
    areas = {point.label: point.area for point in layout.points}
    assert areas["Methylphenidate"] / areas["Placebo"] == pytest.approx(100 / 400)
    thick, thin = layout.marks_of("edge")
    assert thin.width / thick.width == pytest.approx(2 / 8)
    assert [mark.text for mark in texts(layout.marks, "edge_count")] == ["8", "2"]
    assert len(layout.marks_of("node_ring")) == 2


def test_a_treatment_without_comparison_is_dashed_and_said():
    layout = lay_out_network(network_data())
    dashed = [mark for mark in layout.marks_of("node") if mark.dash]
    assert len(dashed) == 1
    assert "Compared with no other treatment: Ketamine." in alt_text(layout)


@pytest.mark.parametrize(
    "more, words",
    [
        ({"nodes": []}, "is empty"),
        ({"nodes": [{"name": "a"}, {"name": "a"}]}, "names 'a' more than once"),
        (
            {"edges": [{"from": "Placebo", "to": "Memantin", "trials": 1}]},
            "'Memantin', not a node; did you mean Memantine",
        ),
        (
            {"edges": [{"from": "Placebo", "to": "Memantine", "trials": 0}]},
            r"\(Placebo v Memantine\): trials is 0",
        ),
    ],
)
def test_network_refuses_what_does_not_fit_together(more, words):
    with pytest.raises(UsageError, match=words):
        lay_out_network(network_data(**more))


def steps():
    return [
        {"label": f"{name} 2001", "k": k, "estimate": -0.3, "ci_low": -0.8, "ci_high": 0.2}
        for k, name in enumerate(NAMES[:4], start=1)
    ]


def test_cumulative_rows_are_pools_and_have_no_diamond():
    layout = lay_out_cumulative(result(steps=steps(), order_words="year", pooled=pooled(4, -0.3)))
    labels = [row.label.replace("\u00a0", " ") for row in layout.rows_of("study")]
    assert labels[2] == "+ Cedar 2001 (k = 3)"
    assert [row.kind for row in layout.rows] == ["header", *["study"] * 4]
    assert layout.rows[0].label == "Trial added"
    assert layout.column("treatment") is None
    note = " ".join(layout.footnotes[0])
    assert note.startswith("Each square: all trials up to and including this one, by year;")
    assert alt_text(layout).startswith("Cumulative forest plot: ")
    assert "4 pooled estimates" in alt_text(layout)


def test_leave_one_out_keeps_the_diamond_of_all_trials():
    layout = lay_out_leave_one_out(result(steps=steps(), pooled=pooled(4, -0.3)))
    assert [row.kind for row in layout.rows][-3:] == ["overall", "prediction", "heterogeneity"]
    assert layout.rows_of("study")[0].label.startswith("−\u00a0Alder 2001")
    assert_texts_stay_apart(forest_marks(layout))
    figure = draw_forest(layout)
    assert len(find_parts(figure, "study_marker")) == 4


@pytest.mark.parametrize("lay_out", [lay_out_cumulative, lay_out_leave_one_out])
def test_variants_need_steps(lay_out):
    with pytest.raises(UsageError, match=r"data\['steps'\] is empty"):
        lay_out(result())
