"""Every table of the page can be had as CSV, and every figure as SVG, PNG and PDF."""

from __future__ import annotations

import csv
import html
import io
import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from ketameta.build import draw_pictures, pictures
from ketameta.paths import ProjectPaths
from ketameta.report import Cell, Table, analysis_tables, listed_tables
from report_pages import committed_context, committed_pages

PIXELS_PER_METRE = 11811  # 300 to the inch


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_table_of_an_analysis_on_its_page_is_in_its_csv() -> None:
    compared = 0
    for page in committed_context()["pages"]:
        text = html.unescape(committed_pages()[page.file])
        for name in page.analyses:
            view = committed_context()["views"][name]
            found = rows(analysis_tables(listed_tables(view)))
            tables = {row["table"] for row in found}
            assert {table.caption for table in listed_tables(view)} == tables
            if view["k"]:
                assert all(f">{table}</caption>" in text for table in tables), name
                compared += len(tables)
    assert compared > 200


def test_a_cell_carries_its_table_row_and_heading() -> None:
    table = Table.of(
        "Trials of one",
        ("Study", ("Effect", "n")),
        [(Cell("Alder 2014", "again"), "=1+1"), ("Birch", "2")],
    )
    assert table.header == ["Study", "Effect"]
    assert table.texts == [["Alder 2014\nagain", "=1+1"], ["Birch", "2"]]
    assert rows(analysis_tables([table])) == [
        {"table": "Trials of one", "row": "1", "column": "Study", "value": "Alder 2014 again"},
        {"table": "Trials of one", "row": "1", "column": "Effect", "value": "'=1+1"},
        {"table": "Trials of one", "row": "2", "column": "Study", "value": "Birch"},
        {"table": "Trials of one", "row": "2", "column": "Effect", "value": "2"},
    ]


def test_every_table_of_front_page_and_methods_offers_its_csv() -> None:
    for file in ("report.html", "methods.html"):
        for match in re.finditer(
            r'<section id="([^"]+)"(.*?)</section>', committed_pages()[file], flags=re.DOTALL
        ):
            if "<table" in match.group(2):
                assert re.search(r'href="tables/\w+\.csv" download', match.group(2)), match.group(1)


def test_every_figure_is_offered_as_svg_and_the_page_says_how_to_have_others(
    built: ProjectPaths,
) -> None:
    for file in ("methods.html", "questions/mood.html"):
        page = (built.reports / file).read_text(encoding="utf-8")
        figures = re.findall(r"<figure>.*?</figure>", page, flags=re.DOTALL)
        assert figures
        for figure in figures:
            offered = re.findall(r'href="(?:\.\./)?figures/([\w-]+)\.(\w+)" download', figure)
            assert [ending for _, ending in offered] == ["svg"], figure[:200]
            assert (built.figures / f"{offered[0][0]}.svg").is_file()
        assert not re.search(r'href="[^":]*\.(png|zip)"', page)
    methods = (built.reports / "methods.html").read_text(encoding="utf-8")
    assert "make forest" in methods and "make release" in methods


def test_pictures_are_made_of_the_svg_alone_with_its_words_at_300_dots_to_the_inch(
    built: ProjectPaths, tmp_path: Path
) -> None:
    made = draw_pictures(built.figures, tmp_path, ["rapid.svg"])
    assert [path.name for path in made] == ["rapid.png", "rapid.pdf"]
    svg = (built.figures / "rapid.svg").read_text(encoding="utf-8")
    assert pictures(svg) == {path.suffix[1:]: path.read_bytes() for path in made}
    words = ElementTree.fromstring(svg).get("aria-label")
    assert words
    width = float(re.search(r'width="([\d.]+)pt"', svg)[1])  # type: ignore[index]
    with Image.open(tmp_path / "rapid.png") as image:
        image.load()
        assert image.info["Description"] == words
        assert image.width == pytest.approx(width / 72 * 300, abs=1)
        assert image.getpixel((0, 0))[:3] == (255, 255, 255)
    data = (tmp_path / "rapid.png").read_bytes()
    at = data.index(b"pHYs") + 4
    assert struct.unpack(">IIB", data[at : at + 9]) == (PIXELS_PER_METRE, PIXELS_PER_METRE, 1)
    assert (tmp_path / "rapid.pdf").read_bytes().startswith(b"%PDF-")


def test_the_words_of_a_figure_are_data_and_no_markup() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="10pt" height="10pt" '
        'aria-label="#read(&quot;/etc/passwd&quot;) &lt;"></svg>'
    )
    assert b'#read("/etc/passwd") <' in pictures(svg)["png"]
