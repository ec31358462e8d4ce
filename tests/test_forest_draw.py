"""The drawn forest plot: named parts, files, the look of others' axes, and what a fit draws."""

import io
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image
from scipy import stats

import ketameta as km
from figure_helpers import (
    assert_well_set,
    drawn,
    laid_out,
    marked,
    parts,
    result,
    risk_ratio,
    smd,
    subgroups,
    words,
)
from figure_helpers import forest_of as report_forest
from ketameta.errors import CallError, UsageError
from ketameta.plots import find, look, save
from ketameta.plots.forest import describe
from ketameta.plots.forest import plot as forest
from ketameta.plots.forest_data import Forest, arranged, forest_of, pools_of
from ketameta.plots.frame import line_of_words
from ketameta.plots.look import file_bytes


def plotted(data, **options):
    return drawn(forest, report_forest(data), **options)


def svg(data):
    return file_bytes(plotted(data), "svg").decode("utf-8")


# --- parts and files ------------------------------------------------------------------------------


def test_every_part_has_its_name():
    data = subgroups(important_difference=-0.3)
    data["groups"][0]["rows"][0]["risk_of_bias"] = {"overall": "low"}
    ax = plotted(data)
    counts = {
        "title": 1,
        "subgroup_diamond": 1,
        "pooled_diamond": 1,
        "prediction_bar": 1,
        "null_line": 1,
        "pooled_line": 1,
        "important_line": 1,
        "direction": 2,
        "header_rule": 1,
    }
    found = parts(ax)
    assert {name: found[name] for name in counts} == counts
    assert len(marked(ax, "study_marker")) == 4
    assert len(marked(ax, "study_interval")) == 8
    assert len(marked(ax, "light")) + len(marked(ax, "not_assessed")) == 4


def test_a_part_that_is_not_there_lists_those_that_are():
    with pytest.raises(UsageError, match=r"has the parts .*empty.*looked_for"):
        find(plotted(result()), "pooled_diamond")


def test_svg_is_the_same_on_every_run_and_names_its_parts():
    first, second = svg(risk_ratio()), svg(risk_ratio())
    assert first == second
    assert 'class="pooled_diamond"' in first
    assert 'class="clip_arrow"' in first
    assert ">Alder 2004</text>" in first  # text stays text
    assert not [word for word in ("dc:date", "Matplotlib", "metadata", "style=") if word in first]


def test_numbers_in_an_svg_have_two_decimals_and_texts_keep_theirs():
    data = smd(3, title="A share of 0.123456789")
    text = svg(data)
    assert "A share of 0.123456789</text>" in text
    tags = "".join(part.partition(">")[0] for part in text.split("<"))
    numbers = look._NUMBER.findall(tags)
    assert len(numbers) > 100
    assert max(len(number.partition(".")[2]) for number in numbers) <= 2


def test_identifiers_in_an_svg_are_those_of_one_figure():
    def identifiers(name):
        text = file_bytes(plotted(risk_ratio(), xlim=(1.5, 2.2)), "svg", name=name).decode()
        return {part.partition('"')[0] for part in text.split(' id="')[1:]}

    assert identifiers("one")
    assert not identifiers("one") & identifiers("two")


def test_svg_is_the_same_in_another_process():
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from figure_helpers import forest_of as report_forest, subgroups\n"
        "from ketameta.plots import forest, look\n"
        ""
        "with look.detached():\n"
        "    ax = forest(report_forest(subgroups()))\n"
        "sys.stdout.buffer.write(look.file_bytes(ax, 'svg'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.decode("utf-8") == svg(subgroups())


def test_saying_what_a_plot_shows_needs_no_drawing():
    code = (
        "import sys\n"
        "from ketameta.plots.maps import Cell, EvidenceMap\n"
        "EvidenceMap((Cell('a', 'b', 0),)).describe()\n"
        "assert 'matplotlib' not in sys.modules and 'seaborn' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_other_formats_are_the_same_on_every_run(ending):
    first, second = (file_bytes(plotted(smd(3)), ending, description="B") for _ in range(2))
    assert first == second
    assert b"atplotlib" not in first


def test_the_picture_is_not_empty_and_has_the_size_of_the_layout():
    layout = laid_out(smd(5))
    png = file_bytes(plotted(smd(5)), "png", dpi=72)
    pixels = imread(io.BytesIO(png), format="png")
    assert pixels.shape[1] == pytest.approx(layout.width, abs=1)
    assert pixels.shape[0] == pytest.approx(layout.height, abs=1)
    ink = np.mean(pixels[:, :, :3].min(axis=2) < 0.9)
    assert 0.02 < ink < 0.5


def test_a_png_keeps_its_words_its_white_paper_and_its_resolution():
    png = file_bytes(plotted(smd(2)), "png", description="Two trials: −0.45", dpi=150)
    with Image.open(io.BytesIO(png)) as image:
        assert image.info["Description"] == "Two trials: −0.45"
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)


def test_the_description_is_stored_in_the_file(tmp_path):
    path = save(plotted(smd(2)), tmp_path / "deep" / "plot.svg", description='Two "trials" & more')
    text = path.read_text(encoding="utf-8")
    assert 'aria-label="Two &quot;trials&quot; &amp; more"' in text
    assert [file.name for file in path.parent.iterdir()] == ["plot.svg"]


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(UsageError, match="choose one of 'svg', 'png', 'pdf'"):
        save(plotted(result()), tmp_path / "plot.jpeg")
    assert not list(tmp_path.iterdir())


def test_words_stand_where_matplotlib_puts_them(monkeypatch):
    data = subgroups(title="<Bold> & 'more'")
    data["groups"][0]["rows"][0]["excluded"] = True
    fast = svg(data)
    monkeypatch.setattr(line_of_words(), "draw", mpl.text.Text.draw)
    assert fast == svg(data)


def test_words_that_a_user_restyles_are_drawn_so():
    ax = plotted(smd(3))
    (label, *_) = find(ax, "label")
    label.set(rotation=30, alpha=0.5, bbox={"facecolor": "yellow"})
    label.set_text("Two\nlines")
    text = file_bytes(ax, "svg").decode()
    assert "rotate(-30" in text and 'opacity="0.5"' in text and ">lines</text>" in text
    assert "#ffff00" in text
    stream = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        ax.figure.savefig(stream, format="svg")
    own = stream.getvalue().decode()
    assert "rotate(-30" in own and "opacity: 0.5" in own and ">lines</text>" in own


# --- settings -------------------------------------------------------------------------------------


def test_the_users_settings_are_neither_used_nor_changed():
    plain = svg(smd(2))
    with mpl.rc_context({"font.family": ["serif"], "lines.linewidth": 9, "svg.fonttype": "path"}):
        before = dict(mpl.rcParams)
        assert svg(smd(2)) == plain
        assert dict(mpl.rcParams) == before


def test_settings_end_with_the_block_even_after_an_error():
    before = dict(mpl.rcParams)
    with pytest.raises(RuntimeError), look.theme():
        raise RuntimeError
    assert dict(mpl.rcParams) == before


def test_nothing_is_shown_and_a_figure_of_its_own_is_pyplots(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("shown"))
    before = set(plt.get_fignums())
    ax = forest(report_forest(smd(2)))
    (number,) = set(plt.get_fignums()) - before
    assert plt.figure(number) is ax.figure
    plt.close(number)
    plotted(smd(2))
    assert set(plt.get_fignums()) == before


def test_a_plot_can_be_drawn_into_given_axes_scaled():
    layout = laid_out(smd(3))
    own = plotted(smd(3))
    figure = Figure(figsize=(2 * layout.width / 72, 2 * layout.height / 72))
    half, quarter = figure.add_axes((0.0, 0.0, 0.5, 0.5)), figure.add_axes((0.5, 0.5, 0.25, 0.25))
    assert plotted(smd(3), ax=half) is half
    plotted(smd(3), ax=quarter)
    sizes = [find(ax, "label")[0].get_fontsize() for ax in (own, half, quarter)]
    assert sizes == pytest.approx([look.BODY, look.BODY, look.BODY / 2])
    box = half.get_position()
    plot = layout.column("plot")
    assert 2 * box.x0 == pytest.approx(plot.left / layout.width)
    assert 2 * box.x1 == pytest.approx(plot.right / layout.width)


# --- letters --------------------------------------------------------------------------------------

NAMES = ("Παπαδόπουλος", "Ștefănescu", "Їжак", "Љубић", "王小明", "สมชาย", "🦄", "e\u0301")


def named(name):
    data = smd(2)
    data["groups"][0]["rows"][0]["label"] = f"{name} 2001"
    return data


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_every_name_is_drawn_and_none_stops_a_file(name, ending, monkeypatch):
    monkeypatch.setattr(look, "_standing_in", lambda _: None)
    boxes = ending != "svg" and name in ("王小明", "สมชาย", "🦄")
    with (
        pytest.warns(UserWarning, match=f"no font .* has {min(name)} ") if boxes else nullcontext()
    ):
        content = file_bytes(plotted(named(name)), ending, dpi=50)
    if ending == "svg":
        expected = "é" if name == "e\u0301" else name
        assert f"{expected} 2001</text>".encode() in content


def test_letters_that_no_font_has_are_warned_of_once_when_a_plot_is_made(monkeypatch):
    monkeypatch.setattr(look, "_standing_in", lambda _: None)
    with pytest.warns(UserWarning) as warned:
        ax = forest(report_forest(named("王小王")))
        ax.figure.savefig(io.BytesIO(), format="png", dpi=50)
        file_bytes(ax, "png", dpi=50)
    (only,) = warned
    assert "has 小 (U+5C0F), 王 (U+738B): pictures show boxes" in str(only.message)
    plt.close(ax.figure)


def test_another_font_stands_in_for_letters(monkeypatch):
    letter = "\u20df"  # STIX, which comes with matplotlib, has what DejaVu lacks
    name, _ = look._standing_in(letter)
    assert name != look.FONT
    with look.detached():
        ax = forest(report_forest(named(letter)))
    (label,) = [text for text in find(ax, "label") if letter in text.get_text()]
    assert label.get_fontfamily() == [look.FONT, name]
    found = file_bytes(ax, "png", dpi=50)
    monkeypatch.setattr(look, "_standing_in", lambda _: None)
    with pytest.warns(UserWarning, match="no font"):
        assert file_bytes(plotted(named(letter)), "png", dpi=50) != found


def test_dollar_signs_and_marks_of_mathematics_are_drawn_as_they_are():
    title = "Cost $5 and $6 of ketamine\u00a0(A_1^2)"
    ax = plotted(smd(2, title=title))
    assert words(ax, "title") == [title]
    file_bytes(ax, "png", dpi=50)


def test_markup_in_a_label_cannot_act():
    data = smd(2)
    data["groups"][0]["rows"][0]["label"] = '<script>x</script>"&'
    text = svg(data)
    assert "<script" not in text
    assert "&lt;script" in text


# --- from fitted results --------------------------------------------------------------------------

Y = [0.10, 0.30, 0.35, 0.65, 0.45, 0.15]
V = [0.03, 0.03, 0.05, 0.01, 0.05, 0.02]
LABELS = ["Alder 2001", "Birch 2002", "Cedar 2003", "Dogwood 2004", "Elm 2005", "Fir 2006"]


def fitted(**more):
    return km.random_effects(Y, V, labels=LABELS, **more)


def test_a_fit_draws_its_trials_its_pool_and_its_prediction():
    fit = fitted(measure="SMD")
    with look.detached():
        ax = fit.forest()
    assert words(ax, "label")[:6] == LABELS
    assert [x for x, _ in marked(ax, "study_marker")] == pytest.approx(Y)
    diamond = [x for x, _ in marked(ax, "pooled_diamond")]
    assert (min(diamond), max(diamond)) == pytest.approx((fit.ci_low, fit.ci_high))
    bar = [x for x, _ in marked(ax, "prediction_bar")]
    assert (min(bar), max(bar)) == pytest.approx((fit.pi_low, fit.pi_high))
    areas = find(ax, "study_marker")[0].get_sizes()
    assert areas / areas.max() == pytest.approx(fit.weights / fit.weights.max())
    assert_well_set(ax)
    assert f"Pooled estimate {fit.estimate:.2f} (95% CI {fit.ci_low:.2f}" in describe(fit)


def test_ratios_are_drawn_in_their_own_unit_on_a_log_axis():
    with look.detached():
        ax = fitted(measure="OR").forest()
    assert ax.get_xscale() == "log"
    assert [x for x, _ in marked(ax, "study_marker")] == pytest.approx(np.exp(Y))
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert "1" in ticks and all(float(tick) > 0 for tick in ticks)


def test_trials_can_be_sorted_and_columns_added():
    fit = fitted(measure="MD")
    doses = [10, 20, 30, 40, 50, 60]
    ax = drawn(forest, fit, sort="-estimate", columns={"Dose": doses, "Country": ["Norway"] * 6})
    order = sorted(range(6), key=lambda i: -Y[i])
    assert words(ax, "label")[:6] == [LABELS[i] for i in order]
    cells = words(ax, "cell")
    assert [cell for cell in cells if cell in {str(dose) for dose in doses}] == [
        str(doses[i]) for i in order
    ]
    assert cells.count("Norway") == 6
    assert_well_set(ax)
    by_year = arranged(forest_of(fit), sort=[6, 5, 4, 3, 2, 1])
    assert [trial.label for trial in by_year.trials] == LABELS[::-1]


@pytest.mark.parametrize(
    "options, said",
    [
        ({"sort": "estimat"}, "sort is 'estimat'; .* did you mean estimate"),
        ({"sort": [1, 2]}, "sort has 2 values and there are 6 trials"),
        ({"columns": {"Dose": [1]}}, r"columns\['Dose'\] has 1 values and there are 6 trials"),
        ({"groups": ["a", "b"]}, "groups has 2 values and the fit has 6 trials"),
        ({"xlim": (1, 1)}, "axis range is 1 to 1"),
        ({"rows_per_page": 4, "page": 9}, "page is 9; there are 3 pages"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        drawn(forest, fitted(), **options)


def test_what_holds_no_trials_is_refused():
    with pytest.raises(UsageError, match="needs the estimates of trials; int holds none"):
        forest(3)


def test_groups_are_pooled_as_the_whole_was():
    fit = fitted(measure="SMD")
    groups = ["b", "a", "b", "a", "b", "a"]
    found = pools_of(fit, groups)
    assert [group.label for group in found.groups] == ["b", "a"]
    for group in found.groups:
        at = [i for i, name in enumerate(groups) if name == group.label]
        alone = km.random_effects([Y[i] for i in at], [V[i] for i in at])
        assert group.pool.estimate == pytest.approx(alone.estimate, rel=1e-12)
    options = {"levels": groups, "pools": found, "columns": {"No.": range(6)}}
    whole = arranged(forest_of(fit), **options)
    at = {trial.label: i for i, trial in enumerate(forest_of(fit).trials)}
    for trial in whole.trials:
        assert trial.weight == fit.weights[at[trial.label]]
        assert trial.more == (str(at[trial.label]),)
    ax = drawn(forest, fit, groups=groups, columns={"No.": range(6)})
    assert [cell for cell in words(ax, "cell") if len(cell) == 1] == list("024135")
    late = drawn(forest, fit, groups=groups, columns={"No.": range(6)}, sort=[5, 4, 3, 2, 1, 0])
    assert [cell for cell in words(late, "cell") if len(cell) == 1] == list("420531")
    again = drawn(km.subgroup_analysis(Y, V, groups, labels=LABELS).forest)
    assert parts(again)["subgroup_diamond"] == 2


@pytest.mark.parametrize("method", ["REML", "DL", "common"])
def test_subgroups_have_the_estimate_of_all_trials_unless_they_are_unlike(method):
    groups = ["b", "a", "b", "a", "b", "a"]
    found = km.subgroup_analysis(Y, V, groups, tau2_method=method, labels=LABELS, measure="SMD")
    if method == "common":
        fit = km.common_effect(Y, V, ci_method=found.ci_method, labels=LABELS, measure="SMD")
    else:
        fit = km.random_effects(Y, V, method, labels=LABELS, measure="SMD")
    diamond = [x for x, _ in marked(drawn(found.forest), "pooled_diamond")]
    assert (min(diamond), max(diamond)) == pytest.approx((fit.ci_low, fit.ci_high))
    shares = {trial.label: trial.weight for trial in forest_of(found).trials}
    assert [shares[label] for label in LABELS] == pytest.approx(fit.weights.tolist())
    apart = drawn(found.forest, overall=False)
    assert "pooled_diamond" not in parts(apart) and parts(apart)["subgroup_diamond"] == 2
    for group, alone in zip(forest_of(found, overall=False).groups, found.fits, strict=True):
        assert [trial.weight for trial in group.trials] == pytest.approx(alone.weights.tolist())
    assert "pooled_diamond" not in parts(drawn(fit.forest, groups=groups, overall=False))


@pytest.mark.parametrize(
    ("measure", "short"), [("RR", "Risk ratio"), ("IRR", "Rate ratio"), ("MD", "Mean difference"),
                           ("SMCC", "SMC"), ("COR", "Correlation"), (None, "Effect")],
)  # fmt: skip
def test_the_column_of_effects_is_headed_by_the_measure(measure, short):
    assert short in words(drawn(fitted(measure=measure).forest), "header")


def test_refits_are_rows_of_pools():
    fit = fitted(measure="SMD")
    left = km.leave_one_out(fit)
    ax = drawn(left.forest)
    assert [x for x, _ in marked(ax, "study_marker")] == pytest.approx(left.estimate)
    assert words(ax, "header")[0] == "Trial left out"
    assert parts(ax)["pooled_diamond"] == 1
    grown = km.cumulative(fit)
    ax = drawn(grown.forest)
    assert words(ax, "label")[0].startswith("+\u00a0Alder 2001 (k\u00a0=\u00a01)")
    assert "pooled_diamond" not in parts(ax)
    assert "Each square: all trials up to and including this one" in words(ax, "footnote")[0]


def test_predicted_effects_are_rows_drawn_to_the_mean():
    fit = fitted(measure="SMD")
    found = km.blup(fit)
    ax = drawn(found.forest, sort="estimate")
    assert [x for x, _ in marked(ax, "study_marker")] == pytest.approx(sorted(found.estimate))
    assert f"{found.shrinkage[0]:.0%}" in words(ax, "cell")
    assert "Each square: true effect of a study, as predicted" in words(ax, "footnote")[0]
    assert_well_set(ax)


def test_means_and_contrasts_are_rows():
    data = {"setting": list("aabbcc"), "dose": [1, 2, 1, 3, 2, 2]}
    fit = km.meta_regression(Y, V, data, "~ setting + dose", measure="PLO")
    means = km.marginal_means(fit, "setting")
    ax = drawn(means.forest)
    shown = 1 / (1 + np.exp(-means.estimate))
    assert [x for x, _ in marked(ax, "study_marker")] == pytest.approx(shown)
    assert words(ax, "label") == ["a", "b", "c"]
    pairs = means.differences()
    ax = drawn(pairs.forest)  # a difference of log odds is no proportion
    assert [x for x, _ in marked(ax, "study_marker")] == pytest.approx(pairs.estimate)
    assert words(ax, "label") == ["b - a", "c - a", "c - b"] and "null_line" in parts(ax)


def test_a_network_draws_every_treatment_against_the_reference():
    arms = [("a", "p"), ("b", "p"), ("b", "a"), ("a", "p"), ("b", "p")]
    fit = km.network_meta_analysis(
        [-0.3, -0.5, -0.1, -0.4, -0.6], [0.1, 0.2, 0.1, 0.2, 0.1], list("12345"),
        [one for one, _ in arms], [two for _, two in arms], reference="p", measure="OR",
    )  # fmt: skip
    ax = drawn(fit.forest)
    against = [fit.compare(name, "p") for name in fit.treatments[1:]]
    found = [x for x, _ in marked(ax, "study_marker")]
    assert found == pytest.approx([np.exp(item.estimate) for item in against])
    assert words(ax, "label") == [item.treatment for item in against]
    assert words(ax, "header")[0] == "Against p"
    direct = [cell for cell in words(ax, "cell") if cell.isdigit()]
    assert direct == [str(item.k_direct) for item in against]


def test_results_by_name_stand_below_each_other():
    fit = fitted(measure="SMD")
    severe = km.selection_model(fit, weights="severe one-tailed")
    ax = drawn(forest, {"No selection": fit, "Severe": severe})
    expected = pytest.approx([fit.estimate, severe.estimate])
    assert [x for x, _ in marked(ax, "study_marker")] == expected
    assert words(ax, "label") == ["No selection", "Severe"]
    ax = drawn(severe.forest)
    expected = pytest.approx([severe.unadjusted_ml, severe.estimate])
    assert [x for x, _ in marked(ax, "study_marker")] == expected
    with pytest.raises(UsageError, match="'b' is int, which is not one estimate"):
        forest({"a": fit, "b": 3})
    with pytest.raises(UsageError, match="the same measure and level"):
        forest({"a": fit, "b": fitted(measure="MD")})


@pytest.mark.parametrize("measure", ["PLO", "IRLN"])
def test_counts_of_one_group_have_exact_intervals(measure):
    events, total = [3, 0, 5, 12], [50, 40, 60, 120]
    fit = km.one_group(events, total, measure, labels=LABELS[:4])
    ax = drawn(fit.forest)
    exact = [
        stats.binomtest(x, n).proportion_ci(method="exact") if measure == "PLO"
        else np.array([stats.chi2.ppf(0.025, 2 * x), stats.chi2.ppf(0.975, 2 * x + 2)]) / 2 / n
        for x, n in zip(events, total, strict=True)
    ]  # fmt: skip
    shown = [item for x, item in zip(events, exact, strict=True) if x or measure == "PLO"]
    ends = [x for x, _ in marked(ax, "study_interval")]
    assert ends == pytest.approx([end for item in shown for end in item])
    diamond = [x for x, _ in marked(ax, "pooled_diamond")]
    assert min(diamond) == pytest.approx(fit.display_ci_low)
    assert max(diamond) == pytest.approx(fit.display_ci_high)
    bar = [x for x, _ in marked(ax, "prediction_bar")]
    assert (min(bar), max(bar)) == pytest.approx((fit.display_pi_low, fit.display_pi_high))
    assert "50" in words(ax, "cell") and "Q(" not in " ".join(words(ax))
    assert_well_set(ax)


def test_a_meta_regression_says_which_plots_it_has():
    fit = km.meta_regression(Y, V, {"x": [1, 2, 3, 4, 5, 6]}, "~ x")
    with pytest.raises(CallError, match=r"\.bubble\(moderator\), and marginal_means\(fit"):
        fit.forest()


def test_a_common_effect_and_a_posterior_say_what_they_are():
    common = drawn(km.common_effect(Y, V, labels=LABELS).forest)
    assert "Common effect, inverse variance; 95% CI by Wald." in words(common, "footnote")
    bayes = drawn(km.bayes_random_effects(Y, V, labels=LABELS, measure="SMD").forest)
    assert "Bayesian random effects; credible intervals." in words(bayes, "footnote")


def test_a_forest_typed_by_hand_needs_no_fit():
    assert describe(Forest(looked_for="trials")).endswith("Looked for: trials.")
    assert words(drawn(forest, Forest()), "empty") == ["No eligible trials"]


@pytest.mark.parametrize("measure", ["PR", "PLO", "PAS", "PFT"])
def test_proportions_are_drawn_as_they_were_counted(measure):
    events, people = np.array([5, 12, 40, 3]), np.array([10, 60, 90, 30])
    effects = km.effect_sizes({"x": events, "n": people}, measure, events="x", n="n")
    fit = km.random_effects(effects)
    ax = drawn(fit.forest)
    assert [x for x, _ in marked(ax, "study_marker")] == pytest.approx(events / people)
    diamond = [x for x, _ in marked(ax, "pooled_diamond")]
    ends = (fit.display("ci_low"), fit.display("ci_high"))
    assert (min(diamond), max(diamond)) == pytest.approx(ends)
    assert "null_line" not in parts(ax) and words(ax, "header")[1] == "Proportion"
    assert_well_set(ax)
    parts(drawn(fit.funnel))


def test_correlations_are_drawn_as_correlations():
    r = np.array([0.3, 0.5, 0.1, 0.4])
    fit = km.random_effects(np.arctanh(r), 1 / np.array([17, 37, 57, 27]), measure="ZCOR")
    ax = drawn(fit.forest)
    assert [x for x, _ in marked(ax, "study_marker")] == pytest.approx(r)
    assert marked(ax, "null_line")[0][0] == 0.0
    assert [x for x, _ in marked(drawn(fit.funnel), "study")] == pytest.approx(r)


def test_the_better_direction_puts_the_treatment_on_its_side():
    fit = km.random_effects([0.1, 0.3, 0.35], [0.03, 0.04, 0.05], measure="SMD")
    for lower, wanted in ((True, ["Favours treatment", "Favours control"]),
                          (False, ["Favours control", "Favours treatment"])):  # fmt: skip
        texts = find(fit.forest(lower_is_better=lower), "direction")
        found = sorted(texts, key=lambda text: text.get_window_extent().x0)
        assert [text.get_text().strip("←→ ") for text in found] == wanted
    assert "direction" not in parts(fit.forest())
