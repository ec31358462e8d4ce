import io
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image, ImageColor

from figure_helpers import assert_drawn_texts_inside, result, risk_ratio, smd, subgroups
from ketameta.errors import UsageError
from ketameta.figures import (
    draw_forest,
    figure_bytes,
    find_parts,
    lay_out_forest,
    save_figure,
    style,
)
from ketameta.figures.canvas import drawing_settings


def svg(data):
    return figure_bytes(draw_forest(lay_out_forest(data)), "svg")


def test_every_part_has_its_name():
    data = subgroups(important_difference=-0.3)
    data["groups"][0]["rows"][0]["risk_of_bias"] = {"overall": "low"}
    figure = draw_forest(lay_out_forest(data))
    counts = {
        "title": 1,
        "study_interval": 4,
        "study_marker": 4,
        "subgroup_diamond": 1,
        "pooled_diamond": 1,
        "prediction_bar": 1,
        "null_line": 1,
        "pooled_line": 1,
        "important_line": 1,
        "axis": 1,
        "direction": 2,
        "risk_of_bias": 4,
        "header_rule": 1,
    }
    for name, count in counts.items():
        assert len(find_parts(figure, name)) == count, name
    assert find_parts(figure, "study_marker")[3].get_gid() == "study_marker-3"


def test_a_part_that_is_not_there_lists_those_that_are():
    figure = draw_forest(lay_out_forest(result()))
    with pytest.raises(UsageError, match=r"has the parts .*empty.*looked_for"):
        find_parts(figure, "pooled_diamond")


def test_svg_is_the_same_on_every_run_and_names_its_parts():
    first, second = svg(risk_ratio()), svg(risk_ratio())
    assert first == second
    assert b'id="pooled_diamond-0"' in first
    assert b'id="clip_arrow-1"' in first
    assert b"<text" not in first  # outlines: no font needed to read it
    assert b"dc:date" not in first
    assert b"Matplotlib" not in first


def test_svg_is_the_same_in_another_process():
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from figure_helpers import subgroups\n"
        "from ketameta.figures import draw_forest, figure_bytes, lay_out_forest\n"
        "figure = draw_forest(lay_out_forest(subgroups()))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "sys.stdout.buffer.write(figure_bytes(figure, 'svg'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == svg(subgroups())


def test_laying_out_needs_no_drawing_library():
    code = (
        "import sys\n"
        "from ketameta.figures import lay_out_forest, lay_out_evidence_map, alt_text\n"
        "row = {'label': 'Alder 2014', 'estimate': -0.5, 'ci_low': -1, 'ci_high': 0}\n"
        "alt_text(lay_out_forest({'groups': [{'label': None, 'rows': [row]}]}))\n"
        "alt_text(lay_out_evidence_map([{'row': 'a', 'column': 'b', 'trials': 0}]))\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_other_formats_are_the_same_on_every_run(ending):
    first = figure_bytes(draw_forest(lay_out_forest(smd(3))), ending, title="A", description="B")
    second = figure_bytes(draw_forest(lay_out_forest(smd(3))), ending, title="A", description="B")
    assert first == second
    assert b"atplotlib" not in first


def test_the_picture_is_not_empty_and_has_the_size_of_the_layout():
    layout = lay_out_forest(smd(5))
    png = figure_bytes(draw_forest(layout), "png", dpi=72)
    pixels = imread(io.BytesIO(png), format="png")
    assert pixels.shape[1] == pytest.approx(layout.width, abs=1)
    assert pixels.shape[0] == pytest.approx(layout.height, abs=1)
    ink = np.mean(pixels[:, :, :3].min(axis=2) < 0.9)
    assert 0.02 < ink < 0.5


@pytest.mark.parametrize(
    "data",
    [smd(5), smd(2), smd(1), result(), subgroups(), risk_ratio()],
    ids=["five", "two", "one", "none", "subgroups", "ratio"],
)
def test_drawn_text_stays_inside_the_figure(data):
    assert_drawn_texts_inside(draw_forest(lay_out_forest(data)))


def test_a_png_keeps_its_words_its_white_paper_and_its_resolution():
    layout = lay_out_forest(smd(2))
    png = figure_bytes(draw_forest(layout), "png", description="Two trials: −0.45", dpi=150)
    with Image.open(io.BytesIO(png)) as image:
        assert image.info["Description"] == "Two trials: −0.45"
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        colours = {colour for _, colour in image.convert("RGB").getcolors(10**6)}
        assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
        assert ImageColor.getrgb(style.BLUE) in colours
        assert ImageColor.getrgb(style.NAVY) in colours
        assert image.mode == "P"


def test_description_and_title_are_stored_in_the_file(tmp_path):
    path = save_figure(
        draw_forest(lay_out_forest(smd(2))),
        tmp_path / "deep" / "plot.svg",
        title="Ketamine & mood",
        description="Two trials",
    )
    text = path.read_text(encoding="utf-8")
    assert "<title>Ketamine &amp; mood</title>" in text
    assert "Two trials" in text
    assert [file.name for file in path.parent.iterdir()] == ["plot.svg"]


def test_an_unknown_ending_is_refused(tmp_path):
    figure = draw_forest(lay_out_forest(result()))
    with pytest.raises(UsageError, match="choose one of 'svg', 'png', 'pdf'"):
        save_figure(figure, tmp_path / "plot.jpeg")
    assert not list(tmp_path.iterdir())


def test_the_users_settings_are_neither_used_nor_changed():
    plain = svg(smd(2))
    with mpl.rc_context({"font.family": ["serif"], "lines.linewidth": 9, "svg.fonttype": "none"}):
        before = dict(mpl.rcParams)
        assert svg(smd(2)) == plain
        assert dict(mpl.rcParams) == before


def test_settings_end_with_the_block_even_after_an_error():
    before = dict(mpl.rcParams)
    with pytest.raises(RuntimeError), drawing_settings():
        raise RuntimeError
    assert dict(mpl.rcParams) == before


def test_a_plot_can_be_drawn_into_given_axes_scaled():
    layout = lay_out_forest(smd(3))
    own = draw_forest(layout)
    figure = Figure(figsize=(2 * layout.width / 72, 2 * layout.height / 72))
    ax = figure.add_axes((0.0, 0.0, 0.5, 0.5))
    assert draw_forest(layout, ax=ax) is figure
    size = find_parts(own, "label")[0].get_fontsize()
    assert find_parts(figure, "label")[0].get_fontsize() == pytest.approx(size)
    half = figure.add_axes((0.5, 0.5, 0.25, 0.25))
    draw_forest(layout, ax=half)
    assert half.texts[0].get_fontsize() == pytest.approx(ax.texts[0].get_fontsize() / 2)


def test_dollar_signs_and_odd_letters_are_drawn_as_they_are():
    data = smd(2, title="Cost $5 and $6 of ketamine\u00a0(Żółw, 東京, A_1^2)")
    figure = draw_forest(lay_out_forest(data))
    words = find_parts(figure, "title")[0].get_text()
    assert words == "Cost $5 and $6 of ketamine\u00a0(Żółw, 東京, A_1^2)"
    assert figure_bytes(figure, "svg") == svg(data)
