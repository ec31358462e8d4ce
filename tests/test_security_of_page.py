"""Hostile texts stay texts: in the page, in figures inside it, in the PDF and in spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import joblib
import pytest

from helpers import ANALYSIS, make_project, trials
from ketameta.build import build
from ketameta.errors import ExtractionError, ReportError
from ketameta.paths import ProjectPaths
from ketameta.plots import forest, look
from ketameta.plots.forest_data import Forest, Group, Trial
from ketameta.report import csv_text, guarded, inline_svg
from ketameta.report.html import _json_for_script
from report_pages import committed_pages, page_of_all, write_page

SCRIPT = "<script>window.hostile = 1</script>"
PICTURE = "\"'><img src=x onerror='window.hostile = 1'>"
TYPST = '#panic("x") $x$ *bold* _it_ @cite <label> `raw` \\ // #import "x"'
JINJA = "{{ 7 * 7 }}{% raw %}"
RIGHT_TO_LEFT = "abc\u202edef\u2066ghi\u200f"
FORMULA = '=HYPERLINK("https://example.org","x")'


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> ProjectPaths:
    tables = trials(3)
    words = " ".join((SCRIPT, PICTURE, TYPST, JINJA))
    tables["studies"][0].update(population=words, citation=f"-2+3 {words}")
    tables["studies"][1].update(population=f"@now {RIGHT_TO_LEFT}", citation=f"@SUM(1) {TYPST}")
    tables["studies"][2].update(citation="+cmd|' /C calc'!A0")
    for row in tables["outcomes"]:
        row.update(locator=f"table {PICTURE}", note=f"{SCRIPT} {TYPST}")
    text = ANALYSIS.replace(
        "Depression after ketamine", f"Low mood {SCRIPT} {TYPST.split(chr(34))[0]}"
    )
    paths = make_project(tmp_path_factory.mktemp("hostile"), tables, {"rapid": text})
    with joblib.parallel_config(backend="sequential"):
        build(paths)
    return paths


def test_the_page_shows_hostile_texts_and_runs_none(hostile: ProjectPaths) -> None:
    pages = {path.name: path.read_text(encoding="utf-8")
             for path in sorted(hostile.reports.rglob("*.html"))}  # fmt: skip
    for page in pages.values():
        assert SCRIPT not in page
        assert "onerror='window" not in page.replace("&#39;", "&")
    assert JINJA in pages["methods.html"], "shown as it is, not computed"
    assert [page.count("<script") for page in pages.values()] == [1, 2, 1]


def test_in_a_browser_nothing_hostile_runs(hostile: ProjectPaths, opened: Any) -> None:
    page = opened.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    (question,) = (hostile.reports / "questions").glob("*.html")
    page.goto(question.as_uri() + "#try=rapid&off=alder_2014")
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    page.wait_for_timeout(100)
    assert page.evaluate("window.hostile === undefined")
    assert page.locator("img").count() == 0
    assert len(asked) == 1
    assert SCRIPT in page.locator("h2 >> text=Low mood").first.inner_text()


def test_hostile_texts_reach_the_pdf_as_texts(hostile: ProjectPaths) -> None:
    content = (hostile.reports / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert b"/JavaScript" not in content and b"/Launch" not in content


def test_no_cell_of_any_table_starts_a_formula(hostile: ProjectPaths) -> None:
    seen = 0
    for path in sorted((hostile.reports / "tables").glob("*.csv")):
        for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))):
            for cell in row:
                if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
                    assert re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell), (path.name, cell)
                seen += cell.startswith("'")
    assert seen >= 3


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"), ("\t=1", "'\t=1"), (" =1", "' =1"), ("\u200f=1", "'\u200f=1"),
        ("-0.25", "-0.25"), (-0.25, "-0.25"), ("1e-5", "1e-5"), ("a=b", "a=b"),
        (None, ""), ("", ""),
    ],
)  # fmt: skip
def test_cells_are_guarded(cell: Any, written: str) -> None:
    assert guarded(cell) == written


def test_a_formula_is_refused_before_it_reaches_a_table(tmp_path: Path) -> None:
    tables = trials(3)
    tables["studies"][0].update(citation=FORMULA)
    with pytest.raises(ExtractionError, match="the cell holds a formula"):
        build(make_project(tmp_path, tables, {"rapid": ANALYSIS}))


def test_quotes_and_line_ends_survive_a_table() -> None:
    rows = [['a "b"', "c,d", "e\nf"]]
    assert list(csv.reader(io.StringIO(csv_text(["x", "y", "z"], rows))))[1] == rows[0]


def test_text_in_a_figure_stays_text() -> None:
    hostile = "<script>x</script>"
    with look.detached():
        ax = forest(Forest((Group(None, (Trial(hostile, 0.1, 0.0, 0.2),)),), title=hostile))
    drawn = look.file_bytes(ax, "svg", description=hostile).decode("utf-8")
    made = inline_svg(drawn, '"><script>y</script>')
    for text in (drawn, made):
        assert "<script" not in text
        assert "&lt;script" in text
    assert made.startswith('<svg class="plot" role="img" viewBox="0 0 510.24 ')
    assert made.endswith("</svg>")
    with pytest.raises(ReportError, match="no SVG"):
        inline_svg("nothing", "")


def test_data_cannot_leave_the_element_they_stand_in() -> None:
    text = _json_for_script({"label": "</script><script>alert(1)</script>&\u2028"})
    assert "<" not in text and ">" not in text and "&" not in text and "\u2028" not in text
    assert json.loads(text)["label"].startswith("</script>")


def test_the_policy_names_the_one_script_of_the_page() -> None:
    for page in committed_pages().values():
        the_policy_of(page)


def the_policy_of(page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy.group(1)
    assert "unsafe-inline" not in policy.group(1).split("script-src")[1].split(";")[0]


def test_a_changed_script_does_not_run(opened: Any, tmp_path: Path) -> None:
    page = page_of_all().replace("window.ketameta = {", "window.foreign = 1; window.ketameta = {")
    found = opened.new_page()
    found.goto(write_page(tmp_path, page))
    assert found.evaluate("window.foreign === undefined && window.ketameta === undefined")
