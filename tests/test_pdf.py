"""The PDF: accessible, archivable, the same twice, and with no number of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ketameta.errors import ReportError
from ketameta.paths import ProjectPaths
from ketameta.report import pdf as pdf_module
from ketameta.report import pdf_data, render_pdf
from ketameta.typesetter import STANDARDS
from report_pages import committed_build, committed_context

ATTACHED = {"effects.csv": "a,b\n1,2\n", "results.json": "{}", "inputs.json": "{}"}


@pytest.fixture(scope="module")
def typeset() -> bytes:
    return render_pdf(committed_context(), committed_build(), ATTACHED)


def test_it_declares_both_standards(typeset: bytes) -> None:
    # The compiler refuses a document that breaks a standard it is asked for; XMP states both.
    assert STANDARDS == ("ua-1", "a-3a")
    assert b"pdfuaid:part>1<" in typeset
    assert b"pdfaid:part>3<" in typeset and b"pdfaid:conformance>A<" in typeset


def test_a_picture_without_words_is_refused(
    monkeypatch: pytest.MonkeyPatch, built: ProjectPaths
) -> None:
    real = pdf_data

    def without_words(context: Any) -> dict[str, Any]:
        data = real(context)
        data["map"]["alt"] = None
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
    for section in pdf_data(committed_context())["sections"]:
        for analysis in section["analyses"]:
            assert analysis["figures"]
            for figure in analysis["figures"]:
                assert len(figure["alt"]) > 20


def test_the_template_types_no_number_and_evaluates_no_text() -> None:
    folder = Path(pdf_module.__file__).parent / "templates"
    text = (folder / "report.typ").read_text(encoding="utf-8")
    assert "eval(" not in text
    prose = [line.partition("[")[2] for line in text.splitlines() if "[" in line]
    words = [re.sub(r"#[\w.()\"+ -]+", " ", line) for line in prose]
    headings = [line for line in text.splitlines() if line.startswith("=")]
    assert headings and not [line for line in headings if re.search(r"\d", line)]
    assert not [line for line in words if re.search(r"\b\d+(\.\d+)?\b(?!(pt|em|fr|cm|%))", line)]


def test_every_text_of_the_pdf_comes_from_the_context() -> None:
    data = pdf_data(committed_context())
    sentences = {
        " ".join(result["sentences"]) for result in committed_context()["results"].values()
    }
    shown = {a["sentences"] for section in data["sections"] for a in section["analyses"]}
    assert shown == sentences


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
        assert "Key findings" in out
