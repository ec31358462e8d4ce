"""The PDF: accessible, archivable, the same twice, and with no number of its own."""

from __future__ import annotations

import io
import itertools
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typst
from matplotlib.image import imread

from ketameta.errors import ReportError, UsageError
from ketameta.report import documents_of, forest_data, pdf_data, render_pdf
from ketameta.report import pdf as pdf_module
from ketameta.typesetter import STANDARDS
from report_pages import DOCUMENTS, PARTS, committed_build, committed_context, printed_analyses

ATTACHED = {"effects.csv": "a,b\n1,2\n", "results.json": "{}", "inputs.json": "{}"}


@pytest.fixture(scope="module")
def typeset() -> bytes:
    return render_pdf(committed_context(), committed_build(), ATTACHED)


def test_there_is_an_article_a_supplement_its_sources_and_a_part_for_each_section() -> None:
    assert documents_of(committed_context()) == DOCUMENTS
    built = committed_build().reports
    assert {f"{name}.pdf" for name in DOCUMENTS} == {
        path.relative_to(built).as_posix()
        for path in [*built.glob("*.pdf"), *built.glob("supplement/*")]
    }


@pytest.mark.parametrize("document", DOCUMENTS)
def test_it_declares_both_standards(document: str) -> None:
    # The compiler refuses a document that breaks a standard it is asked for; XMP states both.
    assert STANDARDS == ("ua-1", "a-3a")
    made = (committed_build().reports / f"{document}.pdf").read_bytes()
    assert b"pdfuaid:part>1<" in made
    assert b"pdfaid:part>3<" in made and b"pdfaid:conformance>A<" in made


def test_a_part_is_set_again_only_when_something_it_prints_changed() -> None:
    asked: dict[str, str] = {}

    def keep(name: str, _: Any, of: str) -> bytes:
        asked[name] = of
        return b""

    context = committed_context()
    other = {**context, "stamp": "another", "results_stamp": "another"}
    seen = []
    for given in (context, other, {**other, "citation": "Cite another."}):
        for document in DOCUMENTS:
            render_pdf(given, committed_build(), {}, document, keep)
        seen.append(dict(asked))
    assert len(asked) == len(DOCUMENTS)
    changed = [{name for name in asked if one[name] != two[name]}
               for one, two in itertools.pairwise(seen)]  # fmt: skip
    assert changed == [{"pdf-report"}, set(asked)]


def test_an_unknown_document_is_refused() -> None:
    with pytest.raises(UsageError, match="document is 'artcle'"):
        render_pdf(committed_context(), committed_build(), {}, "artcle")


# --- pages ----------------------------------------------------------------------------------------

#: Pixels per inch of a page under test, and the strip along its edges that holds nothing, in mm:
#: what is cropped by the page reaches its edge.
PPI, EDGE = 40.0, 8.0
#: A figure that is no larger stands at its own size, so that its letters are those of print.
WIDEST, TALLEST = 180.1, 242.0


@cache
def pages_of(document: str) -> list[np.ndarray]:
    """Every page of a document as a picture, typeset by the same call."""
    compile_ = typst.compile

    def as_pictures(source: Any, **how: Any) -> Any:
        del how["pdf_standards"], how["timestamp"]
        return compile_(source, **{**how, "format": "png", "ppi": PPI})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typst, "compile", as_pictures)
        made: Any = render_pdf(committed_context(), committed_build(), {}, document)
    return [imread(io.BytesIO(page))[:, :, :3].min(axis=2) for page in made]


def test_the_article_has_a_dozen_pages_at_most() -> None:
    assert 4 <= len(pages_of("report")) <= 12


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_page_is_drawn_and_nothing_reaches_its_edges(document: str) -> None:
    edge = round(EDGE / 25.4 * PPI)
    for number, page in enumerate(pages_of(document), start=1):
        assert page.shape == pytest.approx((11.69 * PPI, 8.27 * PPI), abs=1)
        assert np.mean(page < 0.7) > 0.002, f"page {number} is empty"
        border = (page[:edge], page[-edge:], page[:, :edge], page[:, -edge:])
        assert min(strip.min() for strip in border) > 0.98, f"page {number} is cropped"


def sizes(path: Path) -> tuple[float, float]:
    """Width and height of an SVG in millimetres."""
    found = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', path.read_text("utf-8")[:600])
    assert found, path.name
    return float(found[1]) / 72 * 25.4, float(found[2]) / 72 * 25.4


def test_every_figure_is_set_in_letters_of_print() -> None:
    paths = committed_build()
    cut = {path.stem.partition(".page-")[0] for path in paths.pages.glob("*.svg")}
    whole = [path for path in paths.figures.glob("*.svg") if path.stem not in cut]
    for path in [*whole, *paths.pages.glob("*.svg")]:
        width, height = sizes(path)
        assert width <= WIDEST and height <= TALLEST, f"{path.name} would be made smaller"


def test_a_figure_of_several_pages_repeats_its_head_and_ends_with_its_notes() -> None:
    paths = committed_build()
    cut = {path.stem.partition(".page-")[0] for path in paths.pages.glob("*.svg")}
    assert cut
    for name in cut:
        pages = [path.read_text("utf-8") for path in sorted(paths.pages.glob(f"{name}.page-*"))]
        assert len(pages) > 1
        whole = (paths.figures / f"{name}.svg").read_text("utf-8")
        for page in pages:
            assert page.count('class="header"') == whole.count('class="header"')
            assert 'class="null_line"' in page and 'class="direction"' in page
        notes = [page.count('class="footnote"') for page in pages]
        assert notes == [0] * (len(pages) - 1) + [whole.count('class="footnote"')]
        rows = sum(page.count('class="study_marker"') for page in pages)
        assert rows >= len(pages) and "(continued, 2 of" in pages[1]


# --- what it says ---------------------------------------------------------------------------------


def test_a_picture_without_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pdf_data

    def without_words(context: Any, document: str) -> dict[str, Any]:
        data = real(context, document)
        data["map_figure"]["alt"] = None
        return data

    monkeypatch.setattr(pdf_module, "pdf_data", without_words)
    with pytest.raises(ReportError, match="alt"):
        render_pdf(committed_context(), committed_build(), ATTACHED)


def test_the_same_context_gives_the_same_bytes_anywhere(
    typeset: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert render_pdf(committed_context(), committed_build(), ATTACHED) == typeset


def test_its_date_is_that_of_the_search(typeset: bytes) -> None:
    day = committed_context()["living"]["searched"].replace("-", "")
    assert f"(D:{day}".encode() in typeset


def test_results_effects_and_inputs_are_attached(typeset: bytes) -> None:
    for name in ATTACHED:
        assert name.encode() in typeset
    assert typeset.count(b"/AFRelationship") >= 3


def test_every_picture_has_words() -> None:
    for analysis in printed_analyses():
        assert analysis["figures"]
        for figure in analysis["figures"]:
            assert len(figure["alt"]) > 20


def test_every_question_without_a_trial_stands_in_the_part_of_its_section() -> None:
    context, asked = committed_context(), []
    for name in PARTS:
        data = pdf_data(context, name)
        told = [row[0].partition("\n")[0] for table in data["untested"] for row in table["rows"]]
        mine = {r["title"] for r in context["results"].values() if r["section"] in name.split("/")}
        assert set(told) <= mine
        asked += told
        is_harms = name.endswith(f"/{context['project'].harms.section}")
        assert bool(data["facts"]) == is_harms, "absence of trials is no absence of harm"
    empty = [result["title"] for result in context["results"].values() if not result["k"]]
    assert sorted(asked) == sorted(empty)


def test_groups_of_two_measures_name_the_measure_of_each_row() -> None:
    result = committed_context()["results"]["harm_confusion_other_comparisons"]
    drawn = forest_data(result)
    named = {trial.tag: trial.estimate for group in drawn.groups for trial in group.trials}
    assert set(named) == {"risk ratio", "odds ratio"}
    assert drawn.scale.label == "Risk ratio or odds ratio"
    by_measure = {g["headline"]["effect"]: g["headline"]["estimate"] for g in result["groups"]}
    assert named["risk ratio"] == by_measure["risk ratio"]


@pytest.mark.parametrize("template", ["report", "supplement", "sources", "section", "style"])
def test_the_template_types_no_number_and_evaluates_no_text(template: str) -> None:
    folder = Path(pdf_module.__file__).parent / "templates"
    assert len([*folder.glob("*.typ")]) == 5
    text = (folder / f"{template}.typ").read_text(encoding="utf-8")
    assert "eval(" not in text
    prose = [line.partition("[")[2] for line in text.splitlines() if "[" in line]
    words = [re.sub(r"#[\w.()\"+ -]+", " ", line) for line in prose]
    headings = [line for line in text.splitlines() if line.lstrip().startswith("=")]
    assert headings and not [line for line in headings if re.search(r"\d", line)]
    assert not [line for line in words if re.search(r"\b\d+(\.\d+)?\b(?!(pt|em|fr|cm|%))", line)]


def test_every_text_of_the_pdf_comes_from_the_context() -> None:
    sentences = {
        " ".join(result["sentences"])
        for result in committed_context()["results"].values()
        if result["k"]
    }
    assert {analysis["sentences"] for analysis in printed_analyses()} == sentences


@pytest.mark.parametrize("name", ["pdfinfo", "pdftotext"])
def test_other_programs_read_it(typeset: bytes, tmp_path: Path, name: str) -> None:
    if shutil.which(name) is None:
        # These programs are a second opinion where they are installed; the first is the compiler.
        assert typeset.rstrip().endswith(b"%%EOF")
        return
    path = tmp_path / "report.pdf"
    path.write_bytes(typeset)
    out = subprocess.run(
        [name, str(path), *(["-"] if name == "pdftotext" else [])],
        capture_output=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"},
    ).stdout.decode("utf-8")  # fmt: skip
    if name == "pdfinfo":
        assert re.search(r"Tagged:\s+yes", out)
    else:
        assert "What was found" in out
