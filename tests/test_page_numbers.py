"""Every number of the page and of the PDF is one of the results, and none is typed."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import ketameta.report.html as html_module
from ketameta.report.html import render_html
from ketameta.report.pdf import pdf_data
from ketameta.report.worked import Step
from report_pages import committed_context, committed_page

NUMBER = re.compile(r"(?<![\w.,-])\u2212?\d[\d,]*(?:\.\d+)?(?!\w)")
TEMPLATES = sorted((Path(html_module.__file__).parent / "templates").rglob("*[l2]"))


class Articles(HTMLParser):
    """The text of each article: without code, styles, figures and addresses."""

    SILENT = frozenset({"script", "style", "code", "svg"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.article = ""
        self.silent = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "article":
            self.article = dict(attrs)["id"] or ""
        self.silent += tag in self.SILENT

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self.article = ""
        self.silent -= tag in self.SILENT

    def handle_data(self, data: str) -> None:
        if self.article and not self.silent:
            self.texts.setdefault(self.article, []).append(data)


def leaves(value: Any) -> Iterator[Any]:
    """Yield every value of a context; of texts, the numbers they print."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, (list, tuple)):
        yield len(value)
        for item in value:
            yield from leaves(item)
    elif isinstance(value, Step):
        yield value.value
        yield from leaves(value.filled)
        yield from leaves(value.symbol)
        yield from leaves(value.formula)
    elif isinstance(value, str):
        yield from (parsed(found) for found in NUMBER.findall(value))
        yield from (float(found) for found in re.findall(r"\d+(?:\.\d+)?", value))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def parsed(text: str) -> float:
    return float(text.replace("\u2212", "-").replace(",", ""))


def allowed(values: Iterator[Any]) -> dict[int, set[float]]:
    """Return every value as it could be printed, by the number of decimals."""
    found: dict[int, set[float]] = {digits: set() for digits in range(9)}
    for value in values:
        if not math.isfinite(value):
            continue
        forms = [value, -value, 100 * value, 1000 * value]
        if abs(value) < 50:
            forms.append(math.exp(value))
        if value > 0:
            forms.append(math.sqrt(value))
        for form in forms:
            for digits, values_of in found.items():
                values_of.add(round(form, digits))
    return found


def strangers(text: str, known: dict[int, set[float]]) -> list[str]:
    """Return the numbers of a text that no value rounds to."""
    found = []
    # Powers of ten are printed of one quantity only, the difference to the second engine.
    for printed in NUMBER.findall(re.sub(r"\de\u2212\d+", " ", text)):
        digits = len(printed.partition(".")[2])
        if digits < 9 and round(parsed(printed), digits) not in known[digits]:
            found.append(printed)
    return found


def analyses() -> list[dict[str, Any]]:
    return [item for section in committed_context()["sections"] for item in section["analyses"]]


def sources(analysis: dict[str, Any]) -> Iterator[Any]:
    """Yield the result and its provenance; not the finished texts of the page."""
    name = analysis["name"]
    yield from leaves(committed_context()["results"][name])
    yield from leaves([row["card"] for row in analysis["study_rows"]])
    yield from leaves([row["reference"] for row in analysis["study_rows"]])
    yield from leaves(analysis["pooled_cards"])
    yield from (1000.0, 95.0)


@pytest.mark.parametrize("analysis", analyses(), ids=lambda analysis: analysis["name"])
def test_every_number_of_an_article_is_one_of_its_result(analysis: dict[str, Any]) -> None:
    text = " ".join(Articles(committed_page()).texts[analysis["name"]])
    assert len(NUMBER.findall(text)) > 0 or analysis["k"] == 0
    assert strangers(text, allowed(sources(analysis))) == []


@pytest.mark.parametrize("analysis", analyses(), ids=lambda analysis: analysis["name"])
def test_every_number_of_the_pdf_is_one_of_its_result(analysis: dict[str, Any]) -> None:
    found = next(
        item
        for section in pdf_data(committed_context())["sections"]
        for item in section["analyses"]
        if item["name"] == analysis["name"]
    )
    texts = [found["sentences"], found["question"], found["note"], *found["caveats"]]
    texts += [cell for row in (*found["numbers"], *found["companions"]) for cell in row]
    assert strangers(" ".join(texts), allowed(sources(analysis))) == []


def test_a_number_from_nowhere_is_found() -> None:
    context = copy.copy(committed_context())
    sections = [dict(section) for section in context["sections"]]
    analysis = next(item for item in analyses() if item["name"] == "nmda_adhd_symptoms")
    changed = {**analysis, "note": "As many as 71.364 people."}
    for section in sections:
        section["analyses"] = [
            changed if item["name"] == changed["name"] else item for item in section["analyses"]
        ]
    text = " ".join(Articles(render_html({**context, "sections": sections})).texts[changed["name"]])
    assert strangers(text, allowed(sources(analysis))) == ["71.364"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_types_a_number(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for pattern in (r"{#.*?#}", r"{%.*?%}", r"{{.*?}}", r"<style.*?</style>", r"<[^>]*>"):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    assert re.findall(r".*\d.*", text) == []


def test_the_templates_were_found() -> None:
    names = {path.name for path in TEMPLATES}
    assert {"report.html.j2", "front.html", "back.html", "cards.html", "pieces.html"} <= names


# --- words ----------------------------------------------------------------------------------------


def syllables(word: str) -> int:
    """Return the usual estimate: groups of vowels, a silent e taken off."""
    word = word.lower()
    groups = len(re.findall(r"[aeiouy]+", word))
    return max(1, groups - (word.endswith("e") and not word.endswith(("le", "ee")) and groups > 1))


def test_the_plain_summary_can_be_read_at_twelve_to_fourteen() -> None:
    # Flesch-Kincaid grade: school years; 8 is the age of 13 to 14.
    said = [s for _, sentences in committed_context()["plain_summary"] for s in sentences]
    said += committed_context()["not_meant"]
    text = " ".join(said)
    sentences = [part for part in re.split(r"[.?!]\s", text) if part]
    words = re.findall(r"[A-Za-z']+", text)
    grade = (0.39 * len(words) / len(sentences)
             + 11.8 * sum(map(syllables, words)) / len(words) - 15.59)  # fmt: skip
    assert grade <= 8.0
    assert max(len(re.findall(r"\w+", part)) for part in sentences) <= 30
