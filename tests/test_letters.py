"""No character stops a report: texts of every alphabet, and what no screen should be sent."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import joblib
import pytest
import typst

from batches import check_tables, places, table_path
from helpers import SEARCH, TWO_ANALYSES, make_project, trials
from ketameta import typesetter
from ketameta.build import build
from ketameta.evidence import TABLES, harmless
from ketameta.evidence.checks import run_checks
from ketameta.plots import look
from ketameta.report import pdf as pdf_module
from ketameta.report import render_pdf, tables_of_evidence
from ketameta.report.pdf import SOURCES
from ketameta.typesetter import MARK, codes, not_shown
from report_pages import committed_context

#: Texts by kind: what the PDF has letters for, and what it has not.
SHOWN = {"greek": "Παπαδόπουλος", "arabic": "محمد", "hebrew": "שלום", "composed": "e\u0301 ș Їж"}
NOT_SHOWN = {"chinese": "王小明", "korean": "김철수", "thai": "ภาษาไทย", "emoji": "🧠👩\u200d🔬",
             "private": "\ue000", "unassigned": "\u0378"}  # fmt: skip
#: What acts on a screen, turns the direction of a line, or ends a file early.
HARMFUL = "\x07\x1b\x00\x9b\u202e"
ODD = " ".join([*SHOWN.values(), *NOT_SHOWN.values(), f"<b>{HARMFUL}</b> #1 \\x"])
#: Columns of free text whose form is checked.
FORMED = {"dose_unit", "subgroup", "date", "registry_id", "results_posted"}


def written(text: str) -> str:
    """Return a text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with odd letters in every free text, and what was built from it."""
    tables = trials(3)
    tables["exclusions"] = [{"records": "1", "reason_code": "no_number", "date": "2026-03-02"}]
    tables["registry"] = [{"registry_id": "NCT00000001", "status": "completed"}]
    for name, rows in tables.items():
        for row in rows:
            for column in TABLES[name].columns:
                if column.kind == "text" and column.name not in FORMED:
                    row[column.name] = f"{ODD} {column.name}"
    search = SEARCH.replace("excluded = 0", "excluded = 1").replace("= 12", "= 13", 1)
    search = re.sub(r'"(Invented search|a real trial)"', lambda _: written(ODD), search)
    words = {
        name: re.sub(r'^(title|question|looked_for) = "(.*)"$',
                     lambda found: f"{found[1]} = {written(found[2] + ODD)}", text, flags=re.M)
        for name, text in TWO_ANALYSES.items()
    }  # fmt: skip
    paths = make_project(tmp_path_factory.mktemp("odd"), tables, words)
    (paths.data / "search.toml").write_text(search, encoding="utf-8")
    with joblib.parallel_config(backend="sequential"):
        build(paths)
    return paths


def texts_of(paths: Any) -> dict[str, str]:
    """Return every published file that is text."""
    return {
        path.relative_to(paths.reports).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(paths.reports.rglob("*"))
        if path.suffix in {".html", ".csv", ".json", ".svg"}
    }


def test_everything_is_built(odd):
    names = set(texts_of(odd))
    assert {"report.html", "effects.csv", "results/rapid.json", "figures/rapid.svg"} <= names
    assert (odd.reports / "report.pdf").read_bytes().startswith(b"%PDF")


def test_no_file_holds_what_acts_on_a_screen(odd):
    for name, text in texts_of(odd).items():
        kinds = {unicodedata.category(letter) for letter in set(text) - set("\n\t\r")}
        assert not kinds & {"Cc", "Cs"}, name
        assert "\u202e" not in text, name


@pytest.mark.parametrize("kind", [*SHOWN, *NOT_SHOWN])
def test_the_page_shows_each_text_as_typed(odd, kind):
    page = " ".join(text for name, text in texts_of(odd).items() if name.endswith(".html"))
    wanted = (SHOWN | NOT_SHOWN)[kind].replace("\u200d", "")
    assert wanted in page
    assert f"{wanted}</b>" not in page and "<b></b> #1" not in page


def test_tables_hold_each_text_as_typed(odd):
    tables = [text for name, text in texts_of(odd).items() if name.startswith("tables/")]
    cells = {cell for text in tables for row in csv.reader(io.StringIO(text)) for cell in row}
    assert any("王小明" in cell and "ภาษาไทย" in cell for cell in cells)


def test_figures_are_sound_and_show_each_text_as_typed(odd):
    for path in sorted(odd.figures.glob("*.svg")):
        text = path.read_text(encoding="utf-8")
        ET.fromstring(text)
        assert MARK not in text, path.name
    assert "王小明" in (odd.figures / "rapid.svg").read_text(encoding="utf-8")


def test_check_names_each_cell_that_the_pdf_cannot_show_and_no_error(odd):
    report = run_checks(odd)
    assert report.errors == ()
    named = {(item.file, item.line, item.column) for item in report.warnings
             if item.check == "not_in_pdf"}  # fmt: skip
    hidden = {(item.file, item.line, item.column) for item in report.warnings
              if item.check == "hidden_character"}  # fmt: skip
    wanted = set()
    for name, table in TABLES.items():
        path = table_path(odd.root, name)
        if not path.is_file():
            continue
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        wanted |= {
            (odd.relative(path), line, column.name)
            for line, row in enumerate(rows, 2)
            for column in table.columns
            if "王小明" in (row[column.name] or "")
        }
    assert len(wanted) > 40
    assert wanted <= named and wanted <= hidden
    lines = {(file, line) for file, line, column in named if not column}
    assert {file for file, _ in lines} == {
        "data/search.toml", "analyses/rapid.toml", "analyses/nausea.toml",
    }  # fmt: skip
    assert len(lines) == 2 + 3 * 2


def test_check_names_what_a_declaration_writes_out_by_its_number(tmp_path):
    # The words of a comment reach no report.
    text = TWO_ANALYSES["rapid"].replace("Does", "\\u0007Does \\U0001F9E0") + "# 王\\n"
    found = run_checks(make_project(tmp_path, trials(1), {"demo": text})).warnings
    named = [(item.check, item.line, item.why) for item in found if item.file.endswith(".toml")]
    assert named == [
        ("hidden_character", 2,
         "the line contains a control character (U+0007), which is left out"),
        ("not_in_pdf", 2, "the PDF cannot show 🧠 (U+1F9E0)"),
    ]  # fmt: skip


# --- the PDF --------------------------------------------------------------------------------------


def test_the_typesetter_is_asked_and_says_what_it_lacks():
    assert not_shown(SHOWN.values()) == frozenset()
    lost = not_shown([*SHOWN.values(), *NOT_SHOWN.values(), "plain\nand tab\t"])
    assert lost == frozenset("".join(NOT_SHOWN.values())) - {"\u200d"}
    assert not_shown(["\x07", "\ud800", "\uffff"]) == {"\x07", "\ud800", "\uffff"}
    assert codes("a王b小王", lost) == ["U+738B", "U+5C0F", "U+738B"]


def test_what_is_asked_is_the_report_s_own_font():
    template = pdf_module.files("ketameta.report").joinpath("templates/style.typ")
    fonts = re.findall(r'font: \("([^"]+)"', template.read_text(encoding="utf-8"))
    assert set(fonts) == {look.FONT}
    assert f'font: "{look.FONT}"'.encode() in typesetter._QUESTION


def test_the_mark_is_in_the_font():
    assert not_shown([MARK], alone=True) == frozenset()
    # A letter of a font that stands in is not in the font of the report.
    assert not_shown(["ᏣᎳᎩ"]) == frozenset()
    assert not_shown(["ᏣᎳᎩ"], alone=True) == frozenset("ᏣᎳᎩ")


def changed(**cells: str) -> dict[str, Any]:
    """Return the committed context with other texts in its first reference."""
    context = dict(committed_context())
    first, *rest = context["studies"]
    context["studies"] = [replace(first, facts={**first.facts, **cells}), *rest]
    return {**context, "listed": tables_of_evidence(context)}


def read_back(content: bytes, folder: Any) -> str:
    """Return the words of a PDF."""
    path = folder / "report.pdf"
    path.write_bytes(content)
    done = subprocess.run(["pdftotext", "-enc", "UTF-8", str(path), "-"], capture_output=True,
                          check=True)  # fmt: skip
    return done.stdout.decode("utf-8")


def listed(odd: Any, monkeypatch: pytest.MonkeyPatch, context: dict[str, Any]) -> Any:
    """Return the PDF of a context, and the texts it was set from."""
    seen: list[Any] = []
    real = pdf_module._typeset

    def kept(data: Any, *rest: Any) -> bytes:
        seen.append(data)
        return real(data, *rest)

    monkeypatch.setattr(pdf_module, "_typeset", kept)
    return render_pdf(context, odd, {}, SOURCES), seen


@pytest.fixture
def no_figures(tmp_path):
    """The committed context, without its figures: the texts alone are set."""
    figures = tmp_path / "reports" / "figures"
    figures.mkdir(parents=True)
    (figures / "risk_of_bias.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 9"><text y="8">明 &amp; b</text>'
        "</svg>",
        encoding="utf-8",
    )
    return pdf_module.ProjectPaths(tmp_path)


def test_what_cannot_be_shown_is_marked_and_listed(no_figures, monkeypatch):
    context = changed(citation="王小明 A. An invented trial. 2014", population="Παπα\x07")
    content, seen = listed(no_figures, monkeypatch, context)
    assert content.startswith(b"%PDF") and len(seen) == 1
    data = seen[0]
    assert data["references"][0]["citation"] == f"{MARK * 3} A. An invented trial. 2014"
    assert data["studies"]["rows"][0][1] == "Παπα"
    assert data["unshown"] == [
        [f"{MARK * 3} A. An invented trial. 2014", "U+738B U+5C0F U+660E"],
        [f"{MARK} & b", "U+660E"],
    ]


def test_a_report_without_such_letters_has_no_list(no_figures, monkeypatch):
    (no_figures.figures / "risk_of_bias.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 9"/>', encoding="utf-8"
    )
    _, seen = listed(no_figures, monkeypatch, changed(citation="Παπαδόπουλος محمد"))
    assert [data["unshown"] for data in seen] == [[]]


def test_a_text_that_is_refused_as_a_whole_is_set_in_the_report_s_font(no_figures, monkeypatch):
    real, calls = pdf_module._typeset, []

    def refuses_once(data: Any, *rest: Any) -> bytes:
        calls.append(data)
        if len(calls) == 1:
            raise typst.TypstError("several alphabets", "")
        return real(data, *rest)

    monkeypatch.setattr(pdf_module, "_typeset", refuses_once)
    content = render_pdf(changed(citation="ᏣᎳᎩ Παπα"), no_figures, {}, SOURCES)
    assert content.startswith(b"%PDF") and len(calls) == 2
    assert calls[1]["references"][0]["citation"] == f"{MARK * 3} Παπα"


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")
def test_the_pdf_prints_what_it_lists(odd, tmp_path):
    text = read_back((odd.reports / "supplement/studies-and-search.pdf").read_bytes(), tmp_path)
    assert "Characters that this PDF cannot show" in text
    assert "U+738B U+5C0F U+660E" in " ".join(text.split())
    assert "Παπαδόπουλος" in text


# --- single rules ---------------------------------------------------------------------------------


def test_harmful_characters_are_taken_out_and_spaces_stay_spaces():
    assert harmless(f"a{HARMFUL}b\x0cc\x85d\ud83de\ufffe\n\t") == "ab c d\ufffde\ufffd\n\t"


def test_half_a_surrogate_pair_in_a_file_is_named_and_ends_nothing(tmp_path):
    paths = make_project(tmp_path)
    path = table_path(tmp_path, "studies")
    path.write_bytes(path.read_bytes().replace(b"An invented trial", b"An \xed\xa0\xbd trial", 1))
    found = run_checks(paths).errors
    assert [item.check for item in found] == ["encoding"]


@pytest.mark.parametrize(
    ("letter", "words"),
    [
        ("\x07", "a control character (U+0007)"),
        ("\ue000", "a private-use character, which every font draws as it likes (U+E000)"),
        ("\u0378", "a code point to which no character is assigned (U+0378)"),
        ("\u202e", "an invisible character (U+202E)"),
        ("\u3000", "a space of another kind (U+3000)"),
    ],
)
def test_a_character_that_cannot_be_printed_is_called_what_it_is(tmp_path, letter, words):
    tables = trials(1)
    tables["studies"][0]["citation"] = f"Alder{letter}A."
    report = check_tables(tmp_path, tables)
    assert places(report, "hidden_character") == [("studies.csv", 2, "citation")]
    assert any(words in item.why for item in report.warnings)
