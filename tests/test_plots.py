"""Plots with two axes, and the network: as typed data, as drawn, and in words."""

import math
from dataclasses import replace
from html import escape
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import RcParams
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import ketameta as km
from figure_helpers import NAMES, assert_well_set, drawn, flat, marked, near, parts, words
from ketameta.errors import UsageError
from ketameta.plots import (
    baujat,
    bubble,
    find,
    forest,
    funnel,
    gosh,
    look,
    network,
    over_time,
    posterior,
    save,
)
from ketameta.plots.curves import At, OverTime, Posterior, TimeClass, class_names
from ketameta.plots.curves import time_axes as axes_of
from ketameta.plots.forest_data import Forest, Group, Pool, Trial
from ketameta.plots.frame import place_names
from ketameta.plots.look import file_bytes
from ketameta.plots.maps import Network, Node, count_places, radii
from ketameta.plots.points import CONTOURS, Bubble, Funnel, Line, areas, bubble_of
from ketameta.plots.scale import Estimate, Scale
from ketameta.plots.sensitivity import CELLS, Baujat, Gosh

SMD = Scale("Standardised mean difference")


def estimates(k):
    return [-0.4 + 0.3 * math.sin(2.3 * i) for i in range(k)]


def labels(k):
    return tuple(f"{NAMES[i % 10]} {2001 + i}" for i in range(k))


def ses(k):
    return tuple(0.12 + 0.03 * (i % 8) for i in range(k))


def test_the_look_is_that_of_seaborn_without_importing_it():
    import seaborn as sns

    theirs = RcParams(sns.axes_style("ticks") | sns.plotting_context("paper"))
    # Beside what plots set: a colour map that only seaborn knows, and fonts that stand in for ours.
    assert {key for key, value in theirs.items() if look._settings()[key] != value} == {
        *("axes.edgecolor", "axes.labelcolor", "axes.labelsize", "axes.linewidth"),
        *("axes.spines.right", "axes.spines.top", "axes.titlesize", "font.family", "font.size"),
        *("font.sans-serif", "image.cmap", "lines.solid_capstyle", "patch.edgecolor"),
        *(f"{axis}tick.{what}" for axis in "xy" for what in ("color", "labelsize", "major.size")),
        *("text.color", "xtick.major.width", "ytick.major.width"),
    }


def funnel_data(k=12, **more):
    given = {"pooled": -0.4, "scale": SMD, "title": "ADHD symptoms"} | more
    return Funnel(labels(k), tuple(estimates(k)), ses(k), **given)


def bubble_data(**more):
    line = Line(
        (0.0, 50.0, 110.0),
        (-0.1, -0.3, -0.5),
        (-0.4, -0.4, -0.8),
        (0.2, -0.2, -0.2),
        (-0.9, -0.8, -1.2),
        (0.6, 0.2, 0.2),
    )
    trials = tuple(
        (label, 10.0 * i, y, (1 + i % 4) / 30)
        for i, (label, y) in enumerate(zip(labels(12), estimates(12), strict=True))
    )
    given = {"line": line, "scale": SMD, "title": "Dose and effect"} | more
    return Bubble(trials, "Dose (mg)", **given)


def baujat_data():
    rows = enumerate(labels(12))
    trials = tuple((label, 0.2 * (i % 5) ** 2, 0.1 * (i % 3)) for i, label in rows)
    return Baujat(trials, "Who differs")


def gosh_data(**more):
    given = {
        "scale": SMD,
        "pooled": -0.45,
        "with_study": tuple(i % 2 == 0 for i in range(400)),
        "study": "Alder 2001",
        "title": "All subsets",
    } | more
    x = tuple(-0.5 + 0.2 * math.sin(i) for i in range(400))
    return Gosh(x, tuple(0.5 + 0.4 * math.cos(3 * i) for i in range(400)), **given)


def posterior_data(**more):
    grid = [i / 50 - 2.0 for i in range(161)]

    def normal(mean, sd):
        return tuple(math.exp(-0.5 * ((x - mean) / sd) ** 2) / sd for x in grid)

    given = {
        "prior": normal(0, 1),
        "predictive": normal(-0.5, 0.4),
        "estimate": -0.5,
        "low": -0.89,
        "high": -0.11,
        "below_null": 0.9938,
        "scale": Scale("Mean effect"),
        "title": "ADHD symptoms",
    } | more
    return Posterior(tuple(grid), normal(-0.5, 0.2), **given)


def at(days, estimate, half=0.3):
    return At(days, Estimate(estimate, estimate - half, estimate + half))


def time_data(**more):
    given = {
        "classes": (TimeClass("24 h", 0.9, 1.1, 5, Estimate(-0.55, -0.8, -0.3)),),
        "scale": SMD,
        "title": "Depressive symptoms",
    } | more
    trials = (("Alder 2014", (at(7, -0.3), at(1 / 12, -0.8))), ("Birch 2015", (at(1, -0.6),)))
    return OverTime(trials, **given)


def network_data(**more):
    nodes = (
        Node("Placebo", 400),
        Node("Methylphenidate", 100),
        Node("Memantine", 25, highlight=True),
        Node("Ketamine", 0, highlight=True),
    )
    edges = (("Placebo", "Methylphenidate", 8), ("Placebo", "Memantine", 2))
    return Network(**({"nodes": nodes, "edges": edges, "title": "Treatments"} | more))


def star(count=14):
    names = ["placebo", *(f"medicine {i} (added)" for i in range(count))]
    edges = [("placebo", name, i % 5 + 1) for i, name in enumerate(names[1:])]
    return Network(
        tuple(Node(name, 3000 if name == "placebo" else 40 * i) for i, name in enumerate(names)),
        (*edges, (names[1], names[4], 3)),
        "A star",
    )


PLOTS = {
    "funnel": (funnel, funnel_data),
    "funnel of ratios": (
        funnel, lambda: funnel_data(scale=Scale("Risk ratio", is_ratio=True)),
    ),
    "bubble": (bubble, bubble_data),
    "baujat": (baujat, baujat_data),
    "gosh": (gosh, gosh_data),
    "posterior": (posterior, posterior_data),
    "over_time": (over_time, time_data),
    "network": (network, network_data),
    "star": (network, star),
}  # fmt: skip


@pytest.mark.parametrize("kind", PLOTS)
def test_every_plot_is_well_set_and_the_same_on_every_run(kind):
    draw, data = PLOTS[kind]
    ax = drawn(draw, data())
    assert_well_set(ax)
    assert file_bytes(ax, "svg") == file_bytes(drawn(draw, data()), "svg")


@pytest.mark.parametrize("kind", PLOTS)
def test_every_plot_says_what_it_shows(kind, tmp_path):
    draw, data = PLOTS[kind]
    said = data().describe()
    assert said.endswith(".")
    assert any(character.isdigit() for character in said)
    given = Figure().add_subplot()
    for ax, label in (
        (drawn(draw, data()), said),
        (draw(data(), ax=given), said),
        (drawn(draw, data(), title="Another"), said.replace(data().title, "Another")),
    ):
        saved = save(ax, tmp_path / "plot.svg").read_text("utf-8")
        assert f'aria-label="{escape(label)}"' in saved


@pytest.mark.parametrize("kind", PLOTS)
def test_every_plot_can_be_drawn_into_given_axes(kind):
    draw, data = PLOTS[kind]
    figure = Figure(figsize=(9, 7))
    first, second = figure.subplots(1, 2)
    assert draw(data(), ax=second) is second
    assert not first.has_data()
    assert second.get_title(loc="left")
    assert file_bytes(figure, "svg")


# --- funnel ---------------------------------------------------------------------------------------


def test_funnel_has_small_standard_errors_on_top():
    ax = drawn(funnel, funnel_data())
    bottom, top = ax.get_ylim()
    assert top == 0.0 < max(ses(12)) < bottom
    places = list(zip(estimates(12), ses(12), strict=True))
    assert flat(marked(ax, "study")) == near(places)


def contour_edges(ax):
    depth = ax.get_ylim()[0]
    shapes = [part.get_paths()[0].vertices for part in find(ax, "contour")]
    return {round(float(x), 6) for shape in shapes for x, y in shape if y == depth}


def test_funnel_contours_open_at_the_normal_quantiles():
    ax = drawn(funnel, funnel_data())
    contours = find(ax, "contour")
    assert len(contours) == 6
    depth = ax.get_ylim()[0]
    edges = contour_edges(ax)
    for _, quantile, _ in CONTOURS:
        assert {round(quantile * depth, 6), round(-quantile * depth, 6)} <= edges
    assert "contour" not in parts(drawn(funnel, funnel_data(), contours=False))


def test_funnel_leaves_no_half_empty():
    far = funnel_data(pooled=-2.0)
    moved = Funnel(far.labels, tuple(y - 1.6 for y in far.estimates), far.ses, SMD, -2.0)
    low, high = drawn(funnel, moved).get_xlim()
    needed = [*moved.estimates, 0.0, *(-2.0 + s * 1.96 * 0.33 * 1.06 for s in (-1, 1))]
    assert low == pytest.approx(min(needed), abs=0.1 * (high - low))
    assert high == pytest.approx(max(needed), abs=0.1 * (high - low))
    assert low < min(needed) and max(needed) < high


def test_funnel_of_ratios_is_symmetric_on_the_log_scale():
    ax = drawn(funnel, funnel_data(scale=Scale("Risk ratio", is_ratio=True)))
    assert ax.get_xscale() == "log"
    depth = ax.get_ylim()[0]
    edges = contour_edges(ax)
    for _, quantile, _ in CONTOURS:
        ends = {round(math.exp(sign * quantile * depth), 6) for sign in (-1, 1)}
        assert ends <= edges
    assert marked(ax, "study")[0][0] == pytest.approx(math.exp(-0.4))


def test_few_trials_make_a_funnel_that_warns():
    assert "Too few" in funnel_data(k=9).describe()
    assert "too few" in " ".join(words(drawn(funnel, funnel_data(k=9)), "footnote"))
    assert "Too few" not in funnel_data(k=10).describe()


def test_filled_trials_are_hollow():
    data = funnel_data(filled=((0.1, 0.2),))
    ax = drawn(funnel, data)
    assert marked(ax, "filled_study") == [(0.1, 0.2)]
    (hollow,), (full,) = find(ax, "filled_study"), find(ax, "study")
    assert to_hex(hollow.get_facecolor()[0]) != to_hex(full.get_facecolor()[0])
    assert "Trim-and-fill added 1 trial." in data.describe()


def test_funnel_refuses_no_trials_and_bad_standard_errors():
    with pytest.raises(UsageError, match="needs at least one"):
        Funnel((), (), ())
    with pytest.raises(UsageError, match=r"ses\[0\] \(Alder 2001\) is 0.0"):
        Funnel(("Alder 2001",), (0.1,), (0.0,))
    with pytest.raises(UsageError, match="needs the estimates of trials; int holds none"):
        funnel(3)


def test_proportions_are_drawn_as_proportions_without_a_line_of_no_effect():
    def share(x):
        return 1 / (1 + math.exp(-x))

    scale = Scale("Proportion", has_null=False, back=share)
    data = funnel_data(scale=scale)
    ax = drawn(funnel, data)
    assert [x for x, _ in marked(ax, "study")] == pytest.approx([share(y) for y in estimates(12)])
    assert 0 < ax.get_xlim()[0] < ax.get_xlim()[1] < 1
    assert "null_line" not in parts(ax) and "contour" not in parts(ax)
    (limit, _) = find(ax, "pseudo_limit")
    assert limit.get_xdata()[-1] == pytest.approx(share(-0.4 - 1.959964 * ax.get_ylim()[0]))
    trials = tuple(Trial(f"T{i}", y, y - 1, y + 1) for i, y in enumerate(estimates(5)))
    pool = Pool(5, -0.4, -0.8, 0.0)
    ax = drawn(forest, Forest((Group(None, trials),), scale, pool))
    assert "null_line" not in parts(ax)
    diamond = [x for x, _ in marked(ax, "pooled_diamond")]
    assert (min(diamond), max(diamond)) == pytest.approx((share(-0.8), 0.5))


# --- bubble ---------------------------------------------------------------------------------------


def test_bubble_areas_are_proportional_to_weights():
    ax = drawn(bubble, bubble_data())
    drawn_areas = sorted(find(ax, "bubble")[0].get_sizes())
    weights = sorted(weight for *_, weight in bubble_data().trials)
    assert drawn_areas / drawn_areas[-1] == pytest.approx(np.array(weights) / weights[-1])
    assert areas([None, None]) == [6.4**2] * 2


def test_bubbles_of_values_set_by_rule_are_hollow():
    trials = bubble_data().trials
    data = bubble_data(by_rule=(True, True, *[False] * (len(trials) - 2)))
    ax = drawn(bubble, data)
    assert sorted(x for x, _ in marked(ax, "hollow_bubble")) == sorted(x for _, x, *_ in trials[:2])
    assert sorted(x for x, _ in marked(ax, "bubble")) == sorted(x for _, x, *_ in trials[2:])
    told = " ".join(words(ax, "footnote"))
    assert "Hollow: a value that follows from who could take part" in told
    assert "Hollow: 2 trials whose value follows from who could take part" in data.describe()
    assert "Hollow" not in bubble_data().describe()
    with pytest.raises(UsageError, match="by_rule has 1 values"):
        bubble_data(by_rule=(True,))


def test_bubble_bands_follow_the_line_and_the_prediction_shows_beside_it():
    ax = drawn(bubble, bubble_data())
    assert flat(marked(ax, "fitted_line")) == near([(0, -0.1), (50, -0.3), (110, -0.5)])
    (band,) = find(ax, "confidence_band")
    corners = {tuple(map(float, corner)) for corner in band.get_paths()[0].vertices}
    assert {(0.0, 0.2), (0.0, -0.4), (110.0, -0.8)} <= corners
    assert parts(ax)["prediction_band"] == 1
    assert parts(ax)["prediction_limit"] == 2
    low, high = ax.get_ylim()
    assert low < -0.8 and high > 0.2


def test_bubble_bands_are_named_by_their_level():
    scale = Scale("SMD", level=0.9)
    said = " ".join(words(drawn(bubble, bubble_data(scale=scale)), "footnote"))
    assert "90% CI" in said and "95%" not in said


def test_names_keep_off_the_line_of_no_effect_and_those_left_out_are_counted():
    trials = tuple((f"Trial {i}", float(i % 2), 0.01 * (i % 5), 1.0) for i in range(16))
    ax = drawn(bubble, Bubble(trials, "Year", scale=SMD))
    names = find(ax, "name")
    assert 0 < len(names) < 16
    (note,) = [line for line in words(ax, "footnote") if line.startswith("Not named")]
    assert note == f"Not named for want of room: {16 - len(names)} trials."
    figure = look.figure_of(ax)
    figure.canvas.draw()
    zero = ax.transData.transform((0, 0))[1]
    boxes = [name.get_window_extent() for name in names]
    assert all(box.y0 + 2 > zero or box.y1 - 2 < zero for box in boxes)


def test_bubble_plot_without_a_line_shows_the_trials():
    ax = drawn(bubble, bubble_data(line=None))
    assert "fitted_line" not in parts(ax)
    assert len(marked(ax, "bubble")) == 12


def test_bubble_refuses_what_it_cannot_place():
    with pytest.raises(UsageError, match="no trial with both"):
        Bubble((), "Dose")
    with pytest.raises(UsageError, match="estimate has 1 values, moderator has 2"):
        Line((0, 1), (0.1,))
    with pytest.raises(UsageError, match="not a finite number"):
        Line((0, 1), (0.1, math.nan))


def test_a_meta_regression_draws_its_line_and_its_trials():
    x = np.arange(12.0)
    fit = km.meta_regression(estimates(12), np.square(ses(12)), x, names=["dose"])
    data = bubble_of(fit)
    slope = fit.estimate[1]
    line = data.line
    assert line.estimate[-1] - line.estimate[0] == pytest.approx(11 * slope)
    assert line.ci_low[0] < line.estimate[0] < line.ci_high[0]
    with look.detached():
        ax = fit.bubble("dose")
    assert sorted(x for x, _ in marked(ax, "bubble")) == pytest.approx(list(x))
    assert ax.get_xlabel() == "dose"
    with pytest.raises(UsageError, match=r"moderator is 'dos'; .* did you mean dose"):
        fit.bubble("dos")


@pytest.mark.parametrize("formula", ["~ dose + setting", "~ C(setting) + dose"])
def test_a_bubble_plot_of_a_factor_names_the_numbers(formula: str):
    frame = {"dose": np.arange(12.0), "setting": list("abcabcabcabc")}
    fit = km.meta_regression(estimates(12), np.square(ses(12)), frame, formula)
    said = r"'setting', which is a factor, and a bubble plot needs a number: 'dose';"
    with pytest.raises(UsageError, match=said):
        fit.bubble("setting")
    only = km.meta_regression(estimates(12), np.square(ses(12)), frame, "~ setting")
    with pytest.raises(UsageError, match="needs a number: the fit has none"):
        only.bubble("setting")


def test_a_bubble_plot_says_what_the_line_holds_other_moderators_at():
    data = {"dose": np.arange(12.0), "age": 30.0 + np.arange(12) % 5, "arm": list("xy") * 6}
    fit = km.meta_regression(estimates(12), np.square(ses(12)), data, "~ dose + age + arm")
    age = np.mean(data["age"])
    held = f"at the means of age ({age:.1f}), arm[T.y] (0.500)"
    assert f"Line: meta-regression {held}; dark band" in " ".join(
        words(drawn(fit.bubble, "dose"), "footnote")
    )
    assert f"the fitted line, {held}, goes from" in bubble_of(fit, "dose").describe()
    two = km.meta_regression(estimates(12), np.square(ses(12)), data, "~ dose + age")
    assert bubble_of(two, "dose").held == f"at the mean of age ({age:.1f})"
    alone = km.meta_regression(estimates(12), np.square(ses(12)), data, "~ dose")
    assert bubble_of(alone).held == ""


# --- Baujat ---------------------------------------------------------------------------------------


def test_baujat_names_the_most_extreme_trial_and_says_its_share():
    data = Baujat((("Alder 2001", 6.0, 0.1), ("Birch 2002", 2.0, 0.8)), "Who differs")
    assert set(words(drawn(baujat, data), "name")) == {"Alder 2001", "Birch 2002"}
    said = data.describe()
    assert "Alder 2001 contributes most to heterogeneity (6.00, 75% of the total)." in said
    assert "Birch 2002 has most influence" in said
    with pytest.raises(UsageError, match="no trial with both"):
        Baujat(())


def test_a_fit_draws_its_baujat_plot():
    fit = km.random_effects(estimates(8), np.square(ses(8)), labels=labels(8))
    with look.detached():
        one, two = fit.baujat(), km.baujat(fit).plot()
    assert sorted(marked(one, "study")) == sorted(marked(two, "study"))
    expected = km.baujat(fit).heterogeneity
    assert sorted(x for x, _ in marked(one, "study")) == pytest.approx(sorted(expected))


def test_names_beside_points_touch_nothing_and_yield_to_the_important():
    crowd = [(f"Trial {i}", 100.0 + i, 100.0, 3.0) for i in range(30)]
    placed = place_names(crowd, (300, 200))
    assert 1 <= len(placed) < 30
    for one in placed:
        for two in placed:
            assert one is two or not one[4].overlaps(two[4])
    across = [[(30.0, float(y)), (170.0, float(y))] for y in range(85, 116, 3)]
    assert not place_names(crowd[:1], (300, 200), across)
    alone = place_names(crowd[:1], (300, 200))
    assert [name for name, *_ in alone] == ["Trial 0"]


# --- GOSH -----------------------------------------------------------------------------------------


def test_gosh_counts_every_subset_once():
    ax = drawn(gosh, gosh_data())
    cells = [path for part in find(ax, "cell") for path in part.get_paths()]
    assert 0 < len(cells) <= CELLS[0] * CELLS[1]
    assert len({tuple(path.vertices[0]) for path in cells}) == len(cells)
    for part in ("estimate_margin", "i2_margin", "estimate_margin_with", "i2_margin_with"):
        assert parts(ax)[part] == 1
    margin = find(ax, "estimate_margin")[0].get_data()
    assert margin.values.sum() == 400
    assert find(ax, "estimate_margin_with")[0].get_data().values.sum() == 200
    said = gosh_data().describe()
    assert "400 subsets of trials" in said
    assert "Median with Alder 2001" in said


def test_gosh_without_a_named_trial_has_plain_margins():
    ax = drawn(gosh, gosh_data(with_study=(), study=""))
    assert "estimate_margin_with" not in parts(ax)


def test_gosh_refuses_lists_of_different_length():
    with pytest.raises(UsageError, match="estimates has 2 values and i2 1"):
        Gosh((0.1, 0.2), (0.5,))
    with pytest.raises(UsageError, match="with_study has 1 values"):
        gosh_data(with_study=(True,))
    with pytest.raises(UsageError, match="estimates has 0 values"):
        Gosh((), ())
    with pytest.raises(UsageError, match="no subset with both"):
        gosh(Gosh((0.1,), (math.nan,)))


def test_the_subsets_of_a_fit_are_drawn_and_a_trial_set_off():
    fit = km.random_effects(estimates(6), np.square(ses(6)), labels=labels(6), measure="OR")
    with look.detached():
        ax = km.gosh(fit).plot(study="Birch 2002")
    assert ax.get_xscale() == "log"
    assert parts(ax)["estimate_margin_with"] == 1
    with pytest.raises(UsageError, match="study is 'Birch'"):
        km.gosh(fit).plot(study="Birch")


# --- posterior ------------------------------------------------------------------------------------


def test_posterior_shades_the_credible_interval():
    ax = drawn(posterior, posterior_data())
    (area,) = find(ax, "credible_area")
    xs = area.get_paths()[0].vertices[:, 0]
    assert (xs.min(), xs.max()) == pytest.approx((-0.89, -0.11))
    assert words(ax, "curve_name") == ["Posterior", "A new trial", "Prior"]
    said = posterior_data().describe()
    assert "Posterior median −0.50 (95% credible interval −0.89 to −0.11)." in said
    assert "Probability of a value below 0: 99%." in said


def test_the_key_stands_where_the_posterior_does_not():
    def side(**more):
        ax = drawn(posterior, posterior_data(**more))
        look.figure_of(ax).canvas.draw()
        box = ax.get_legend().get_window_extent()
        middle = ax.get_window_extent()
        return (box.x0 + box.x1) / 2 > (middle.x0 + middle.x1) / 2

    assert side(), "the posterior peaks on the left"
    mirrored = posterior_data()
    grid = tuple(-value for value in reversed(mirrored.grid))
    other = Posterior(grid, tuple(reversed(mirrored.posterior)))
    ax = drawn(posterior, other)
    look.figure_of(ax).canvas.draw()
    box, whole = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert box.x1 < (whole.x0 + whole.x1) / 2


def test_posterior_refuses_lists_of_different_length():
    with pytest.raises(UsageError, match="at least two values"):
        Posterior((0.0,), (1.0,))
    with pytest.raises(UsageError, match="prior has 1 values, grid has 161"):
        posterior_data(prior=(1.0,))


def test_a_bayesian_fit_draws_its_posterior():
    fit = km.bayes_random_effects(estimates(5), np.square(ses(5)), measure="SMD")
    with look.detached():
        ax = fit.plot()
    assert words(ax, "curve_name") == ["Posterior", "A new trial"]
    assert marked(ax, "estimate_line")[0][0] == pytest.approx(fit.estimate)


# --- over time ------------------------------------------------------------------------------------


def crowded(**more):
    classes = (
        TimeClass("hours", 0.02, 0.9, 3, Estimate(-4.0, -8.0, -1.0)),
        TimeClass("1 day", 0.9, 1.5, 10, Estimate(-5.0, -7.0, -3.0)),
        TimeClass("week 1", 1.5, 7.0, 2, Estimate(-5.0, -30.0, 20.0)),
        TimeClass("weeks 2–3", 7.0, 21.0, 2, Estimate(-1.5, -8.0, 4.0)),
        TimeClass("weeks 4–5", 21.0, 35.0, 8, Estimate(-3.6, -5.5, -1.7)),
    )
    trials = tuple((f"Trial {i}", (at(1.0, -4.0 - i, 3.0), at(28.0, -3.0, 2.0))) for i in range(9))
    return OverTime(trials, classes, SMD, "Crowded", **more)


def test_names_of_time_classes_stand_apart():
    data = crowded()
    names = class_names(data, axes_of(data)[0], 420.0)
    for line in (0, 1):
        ends = sorted(
            (middle - half, middle + half)
            for text, middle, where in names
            if where == line
            for half in [look.text_width(text, look.SMALL) / 2]
        )
        assert all(one[1] < two[0] for one, two in pairwise(ends))
    assert {where for *_, where in names} == {0, 1}
    assert_well_set(drawn(over_time, data))


def test_pools_over_time_say_which_kind_of_interval_they_have():
    data = time_data()
    assert "24 h: −0.55 (95% CI −0.80 to −0.30), 5 trials." in data.describe()
    (usual,) = data.classes
    bayes = replace(usual, label="week 1", credible=True)
    alone = replace(data, classes=(bayes,))
    assert "week 1: −0.55 (95% credible interval −0.80 to −0.30), 5 trials." in alone.describe()
    for classes, kind in (
        ((usual,), "with its 95% CI."),
        ((bayes,), "with its 95% credible interval."),
        ((usual, bayes), "with its 95% interval."),
    ):
        notes = words(drawn(over_time, replace(data, classes=classes)), "footnote")
        assert kind in " ".join(" ".join(notes).split())


def test_pools_over_time_are_boxes_as_tall_as_their_intervals():
    ax = drawn(over_time, crowded())
    tall = [
        (shape.get_paths()[0].vertices[:, 1].min(), shape.get_paths()[0].vertices[:, 1].max())
        for shape in find(ax, "pooled_interval")
    ]
    assert tall == [(-8, -1), (-7, -3), (-30, 20), (-8, 4), (-5.5, -1.7)]
    low, high = ax.get_ylim()
    assert low < -30 and high > 20
    assert "clip_arrow" not in parts(ax)


def test_an_interval_cut_over_time_has_its_arrow():
    far = OverTime((*time_data().trials, ("Elm 2016", (at(3.0, -0.5, 30.0),))), (), SMD)
    ax = drawn(over_time, far)
    low, high = ax.get_ylim()
    assert high < 30
    assert sorted(y for _, y in marked(ax, "clip_arrow")) == pytest.approx([low, high])


def test_trials_at_one_time_stand_side_by_side():
    ax = drawn(over_time, crowded())
    xs = [x for x, _ in marked(ax, "trial_point")]
    assert len(set(xs)) == len(xs) == 18
    day = [x for x in xs if x < 5]
    assert min(day) < 1.0 < max(day)
    assert np.exp(np.mean(np.log(day))) == pytest.approx(1.0)


def test_times_are_on_a_log_axis_and_said():
    ax = drawn(over_time, time_data())
    assert ax.get_xscale() == "log"
    assert "24 h: −0.55 (95% CI −0.80 to −0.30), 5 trials." in time_data().describe()
    with pytest.raises(UsageError, match=r"point 0 of Elm: days is 0; .*a time above 0"):
        OverTime((("Elm", (at(0, 0.1),)),))
    with pytest.raises(UsageError, match="no trial with an estimate"):
        OverTime(())


# --- network --------------------------------------------------------------------------------------


def test_the_hub_stands_in_the_middle_and_hides_no_number():
    data = star()
    assert data.hub == "placebo"
    places, sizes = data.places(), radii(data)
    assert places["placebo"] == (0.0, 0.0)
    counts = count_places(data)
    assert [trials for _, trials in counts] == [trials for *_, trials in data.edges]
    for number, (here, _) in enumerate(counts):
        assert all(math.dist(here, places[name]) > sizes[name] + 7 for name in places)
        assert all(math.dist(here, other) > 13 for other, _ in counts[:number])
    assert network_data().hub is None


def test_network_areas_and_lines_follow_participants_and_trials():
    data = network_data()
    sizes = radii(data)
    assert sizes["Methylphenidate"] ** 2 / sizes["Placebo"] ** 2 == pytest.approx(100 / 400)
    ax = drawn(network, data)
    widths = [line.get_linewidth() for line in find(ax, "edge")]
    assert widths[1] / widths[0] == pytest.approx(2 / 8)
    assert words(ax, "edge_count") == ["8", "2"]
    assert len(marked(ax, "node_ring")) == 2
    hollow = find(ax, "node")[1]
    assert len(hollow.get_offsets()) == 1, "ketamine was compared with nothing"
    said = data.describe()
    assert "Most studied: Placebo against Methylphenidate, 8 trials." in said
    assert "Compared with no other treatment: Ketamine." in said


@pytest.mark.parametrize(
    "more, said",
    [
        ({"nodes": ()}, "needs treatments"),
        ({"nodes": (Node("A"), Node("A")), "edges": ()}, "names 'A' more than once"),
        (
            {"edges": (("Placebo", "Memantin", 1),)},
            "'Memantin', not a node; did you mean Memantine",
        ),
        ({"edges": (("Placebo", "Memantine", 0),)}, r"\(Placebo v Memantine\): trials is 0"),
    ],
)
def test_network_refuses_what_does_not_fit_together(more, said):
    with pytest.raises(UsageError, match=said):
        network_data(**more)


def test_a_fitted_network_draws_itself():
    fit = km.network_meta_analysis(
        [-0.5, -0.3, -0.2],
        [0.04, 0.05, 0.06],
        ["one", "two", "three"],
        ["a", "b", "c"],
        ["p", "p", "a"],
    )
    with look.detached():
        ax = fit.plot()
    assert sorted(words(ax, "node_name")) == ["a", "b", "c", "p"]


@pytest.mark.parametrize(
    ("scale", "said"),
    [(1e-7, "0.000000197 (95% CI"), (1e-3, "0.00197 (95% CI"), (1e7, "19668216 (95% CI")],
)
def test_a_forest_plot_prints_digits_that_follow_its_data(scale, said):
    fit = km.random_effects(np.array([1, 3, 2]) * scale, np.array([2, 3, 1]) * scale**2 / 10)
    ax = km.plots.forest(fit)
    assert said in ax.get_label()
    assert {"0"} < {tick.get_text() for tick in ax.get_xticklabels()}


def test_the_overall_result_of_subgroups_stands_in_the_words_of_their_forest_plot():
    fit = km.subgroup_analysis([0.1, 0.3, 0.2, 0.4], [0.02] * 4, ["x", "x", "y", "y"])
    said = km.plots.forest(fit).get_label()
    assert "Pooled estimate 0.25 (95% CI 0.02 to 0.48)." in said and "y: 0.30 (95% CI" in said
