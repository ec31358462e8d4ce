"""Every table of the page can be had as CSV, and every figure as three files."""

from __future__ import annotations

import csv
import io
import re
import struct
from pathlib import Path

import pytest

from ketameta.paths import ProjectPaths
from ketameta.report.page_tables import analysis_tables
from report_pages import committed_build, committed_page, committed_results

PIXELS_PER_METRE = 11811  # 300 to the inch


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_cell_of_every_table_of_an_analysis_is_in_its_csv() -> None:
    page = committed_page()
    found = analysis_tables(page)
    assert set(found) == {f"analysis-{result['name']}.csv" for result in committed_results()}
    articles = re.findall(r'<article id="([^"]+)".*?</article>', page, flags=re.DOTALL)
    assert len(articles) == len(found)
    for match in re.finditer(r'<article id="([^"]+)"(.*?)</article>', page, flags=re.DOTALL):
        name, text = match.groups()
        bodies = re.sub(r"<thead>.*?</thead>", "", text, flags=re.DOTALL)
        assert len(rows(found[f"analysis-{name}.csv"])) == len(re.findall(r"<t[dh][ >]", bodies))


def test_a_cell_carries_its_table_row_and_heading() -> None:
    page = (
        '<article id="one"><div role="region" aria-label="Trials of one"><table><thead><tr>'
        "<th>Study</th><th>Effect</th></tr></thead><tbody><tr><td>Alder <b>2014</b></td>"
        "<td>=1+1</td></tr><tr><td>Birch</td><td>2</td></tr></tbody></table></div></article>"
    )
    (text,) = analysis_tables(page).values()
    assert rows(text) == [
        {"table": "Trials of one", "row": "1", "column": "Study", "value": "Alder 2014"},
        {"table": "Trials of one", "row": "1", "column": "Effect", "value": "'=1+1"},
        {"table": "Trials of one", "row": "2", "column": "Study", "value": "Birch"},
        {"table": "Trials of one", "row": "2", "column": "Effect", "value": "2"},
    ]


def test_every_table_outside_the_analyses_offers_its_csv() -> None:
    page = re.sub(r"<article.*?</article>", "", committed_page(), flags=re.DOTALL)
    for match in re.finditer(r'<section id="([^"]+)"(.*?)</section>', page, flags=re.DOTALL):
        if "<table" in match.group(2):
            assert re.search(r'href="tables/\w+\.csv" download', match.group(2)), match.group(1)


def test_every_figure_is_offered_as_svg_png_and_pdf() -> None:
    for figure in re.findall(r"<figure>.*?</figure>", committed_page(), flags=re.DOTALL):
        offered = re.findall(r'href="figures/([\w-]+)\.(\w+)" download', figure)
        assert [ending for _, ending in offered] == ["svg", "png", "pdf"], figure[:200]
        assert len({name for name, _ in offered}) == 1


@pytest.mark.parametrize("where", ["built", "committed"])
def test_the_files_offered_are_there_and_pictures_have_300_dots_to_the_inch(
    built: ProjectPaths, where: str
) -> None:
    folder: Path = built.figures if where == "built" else committed_build().figures
    stems = {path.stem for path in folder.iterdir()}
    assert stems
    for stem in stems:
        for ending in ("svg", "png", "pdf"):
            assert (folder / f"{stem}.{ending}").is_file()
        data = (folder / f"{stem}.png").read_bytes()
        at = data.index(b"pHYs") + 4
        assert struct.unpack(">IIB", data[at : at + 9]) == (PIXELS_PER_METRE, PIXELS_PER_METRE, 1)
