"""The page: every number by name, every text escaped, nothing fetched, the same twice."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, meta

import ketameta.report.html as page_module
from batches import TABLES, Tables
from helpers import (
    ANALYSIS,
    PROJECT,
    SEARCH,
    arm,
    event,
    evidence_of,
    make_project,
    score,
    study,
    tables_of,
    trials,
)
from ketameta.build import build, package_versions
from ketameta.errors import ReportError
from ketameta.inputs import load_evidence
from ketameta.paths import ProjectPaths
from ketameta.report import (
    environment,
    evidence_map_cells,
    inputs_hash,
    render_html,
    report_context,
)
from report_pages import committed_page

TEMPLATES = sorted((Path(page_module.__file__).parent / "templates").rglob("*.j2"))


class Page(HTMLParser):
    """Collects the elements of a page and checks that they are closed in order."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input", "col", "source", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        """The words of the page, elements apart."""
        return " ".join(" ".join(self.words).split())

    @property
    def unbroken(self) -> str:
        """The words of the page as they run on where an element stands inside a word."""
        return " ".join("".join(self.words).split())


def context_of(paths: ProjectPaths) -> dict[str, Any]:
    evidence, applied = load_evidence(paths)
    texts = [path.read_text(encoding="utf-8") for path in sorted(paths.results.glob("*.json"))]
    results = [json.loads(text) for text in texts]
    claims = json.loads((paths.reports / "claims.json").read_text(encoding="utf-8"))
    return report_context(paths, evidence, results, applied, claims, package_versions())


@pytest.fixture(scope="module")
def context(built: ProjectPaths) -> dict[str, Any]:
    return context_of(built)


@pytest.fixture(scope="module")
def page(built: ProjectPaths) -> str:
    return (built.reports / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(page: str) -> Page:
    found = Page(page)
    assert found.open == [], "every element is closed"
    return found


# --- names and numbers ----------------------------------------------------------------------------


def test_a_name_that_nothing_provides_stops_the_build(context: dict[str, Any]) -> None:
    without = {key: value for key, value in context.items() if key != "claims"}
    with pytest.raises(ReportError, match="'claims' is undefined") as caught:
        render_html(without)
    assert "a name no result provides" in str(caught.value)


def test_a_part_of_a_result_that_is_missing_stops_the_build(context: dict[str, Any]) -> None:
    sections = [
        {
            **section,
            "analyses": [
                {key: value for key, value in item.items() if key != "sentences"}
                for item in section["analyses"]
            ],
        }
        for section in context["sections"]
    ]
    with pytest.raises(ReportError, match="sentences"):
        render_html({**context, "sections": sections})


def test_a_name_that_is_nearly_right_gets_a_hint(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loader:
        def get_template(self, _: str) -> Any:
            return environment().from_string("{{ sectons[0] }}")

    monkeypatch.setattr(page_module, "environment", Loader)
    with pytest.raises(ReportError, match="did you mean sections"):
        render_html(context)


def test_the_template_asks_for_nothing_that_the_context_lacks(context: dict[str, Any]) -> None:
    env: Environment = environment()
    asked: set[str] = set()
    given = {*context, *env.globals, *ADDED_WHEN_RENDERED}
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        asked |= meta.find_undeclared_variables(env.parse(text))
        given |= set(re.findall(r"{%-? *macro (\w+)", text))
    assert asked - given == set()


#: Names that rendering adds to the context: the script and the letters of the figures.
ADDED_WHEN_RENDERED = ("engine_json", "font_css", "script", "script_hash", "map_figure")


def prose(text: str) -> str:
    """Return a template's own words: without code, styles, tags, entities and comments."""
    for pattern in (
        r"{#.*?#}", r"{%.*?%}", r"{{.*?}}", r"<style.*?</style>", r"<script.*?</script>",
        r"<[^>]*>", r"&#?\w+;",
    ):  # fmt: skip
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    return text


def typed_literals(text: str) -> Iterator[str]:
    """Yield the texts inside the template's code that are words for readers, not names."""
    for code in re.findall(r"{%.*?%}|{{.*?}}", text, flags=re.DOTALL):
        for one, two in re.findall(r'"([^"]*)"|\'([^\']*)\'', code):
            if not re.fullmatch(r"[a-z0-9_]*|[\w.]+\.(?:j2|css)", one + two):
                yield one + two


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_digit_is_typed_into_the_prose(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r".*\d.*", prose(text)) == []
    assert [literal for literal in typed_literals(text) if re.search(r"\d", literal)] == []


def test_the_search_for_typed_digits_can_find_them() -> None:
    assert re.search(r"\d", prose("<p class='x1'>{{ n }} of 12 trials</p>"))
    assert not re.search(r"\d", prose("<h2>{{ results.a_24h | number(2) }}</h2>&#8211;{# 7 #}"))
    assert list(typed_literals('{{ "3 trials" if x else "none" }}')) == ["3 trials"]


def test_the_sections_of_the_page_have_no_typed_numbers() -> None:
    for section in PROJECT.section:
        assert not re.search(r"\d", section.title + section.intro)


def test_every_sentence_of_every_result_stands_on_the_page(
    built: ProjectPaths, parsed: Page
) -> None:
    for path in built.results.glob("*.json"):
        for sentence in json.loads(path.read_text(encoding="utf-8"))["sentences"]:
            assert " ".join(sentence.split()) in parsed.unbroken


# --- every text is escaped ------------------------------------------------------------------------

SCRIPT = "<script>alert('x')</script>"
BREAKOUT = "\"'><img src=x onerror=alert(1)>"


def hostile_project(root: Path) -> ProjectPaths:
    tables = trials(3)
    tables["studies"][0].update(
        population=f"adults {SCRIPT}", citation=f"Alder A. {BREAKOUT} J Invented.",
        doi="10.1234/x\"onmouseover=alert(1)",
        source_url="https://example.org/?q=\"><script>alert(1)</script>",
    )  # fmt: skip
    tables["outcome_words"][0]["label"] = SCRIPT
    tables["arms"][0]["dose_description"] = SCRIPT
    tables["exclusions"] = [
        {"study": f"Oak {SCRIPT}", "outcome": "all", "records": "3", "reason_code": "no_number",
         "reason": f"no number {BREAKOUT}", "date": "2020-02-02"}
    ]  # fmt: skip
    tables["registry"] = [
        {"registry_id": "NCT01234567", "title": SCRIPT, "intervention": "ketamine",
         "condition": BREAKOUT, "status": "completed"}
    ]  # fmt: skip
    text = (
        ANALYSIS.replace("Depression after ketamine", f"Depression {SCRIPT}")
        .replace("Does ketamine lower depression scores?", "Is a < b & c > d?")
        .replace('"Favours ketamine"', "'Favours \"<b>ketamine</b>\"'")
    )  # fmt: skip
    text = 'note = """' + BREAKOUT.replace('"', "'") + '"""\n' + text
    paths = make_project(root, tables, {"rapid": text})
    record = paths.data / "search.toml"
    record.write_text(
        SEARCH.replace("converted = 12", "converted = 9").replace("excluded = 0", "excluded = 3"),
        encoding="utf-8",
    )
    return paths


def test_hostile_texts_are_shown_and_never_run(tmp_path: Path, quick_figures: list[str]) -> None:
    paths = hostile_project(tmp_path)
    build(paths)
    text = (paths.reports / "report.html").read_text(encoding="utf-8")
    found = Page(text)
    assert found.open == []
    allowed = Counter(tag for tag, _ in Page(clean_page(tmp_path / "clean")).elements)
    assert set(Counter(tag for tag, _ in found.elements)) <= set(allowed)
    assert "<script>alert" not in text
    for tag, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        if tag == "img":
            assert attributes["src"].startswith("data:image/")
    assert "<script>alert('x')</script>" in found.text, "the words themselves are readable"
    assert html.escape(SCRIPT).replace("&#x27;", "&#39;") in text


def clean_page(root: Path) -> str:
    paths = make_project(root, trials(3), {"rapid": ANALYSIS})
    build(paths)
    return (paths.reports / "report.html").read_text(encoding="utf-8")


def test_only_web_addresses_become_links(parsed: Page) -> None:
    for attributes in parsed.all("a"):
        assert re.match(r"https?://|#|[\w./-]+$", attributes["href"]), attributes


# --- nothing is fetched ---------------------------------------------------------------------------

FETCHING = {
    "src": None, "srcset": None, "data": None, "poster": None, "action": None, "formaction": None,
    "background": None, "href": "a",
}  # fmt: skip


def test_the_page_needs_no_other_file_and_no_network(page: str, parsed: Page) -> None:
    for tag, attributes in parsed.elements:
        for name, only in FETCHING.items():
            if name in attributes and tag != only:
                assert attributes[name].startswith(("data:", "#")), (tag, name)
    assert not parsed.all("link") and not parsed.all("iframe") and not parsed.all("base")
    styles = re.findall(r"<style.*?</style>", page, flags=re.DOTALL)
    assert styles
    for style in styles:
        assert "@import" not in style
        assert not re.search(r"url\(\s*['\"]?(?!data:)", style)
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, flags=re.DOTALL)
    calls = r"\b(?:fetch|import\w*|sendBeacon|WebSocket|EventSource|XMLHttpRequest) *\("
    for text in scripts:
        assert not re.search(calls, text)
        assert set(re.findall(r"https?://[^\"' )]+", text)) <= {"http://www.w3.org/2000/svg"}


# --- a page that can be read ----------------------------------------------------------------------


def test_ids_are_unique_and_every_jump_arrives(parsed: Page) -> None:
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for a in parsed.all("a") if a["href"].startswith("#")}
    assert targets and targets <= set(ids)
    for _, attributes in parsed.elements:
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert set(attributes.get(name, "").split()) <= set(ids)


def test_pictures_have_words_and_tables_have_headings(parsed: Page) -> None:
    pictures = [svg for svg in parsed.all("svg") if svg.get("role") == "img"]
    assert len(pictures) >= 2
    assert all(len(picture["aria-label"]) > 20 for picture in pictures)
    assert all(len(image["alt"]) > 20 for image in parsed.all("img"))
    assert all(
        cell.get("scope") in ("col", "row", "colgroup", "rowgroup") for cell in parsed.all("th")
    )
    assert parsed.all("html")[0]["lang"] == "en"
    assert len(parsed.all("h1")) == 1 and len(parsed.all("main")) == 1


def test_headings_go_down_one_step_at_a_time(parsed: Page) -> None:
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_links_to_files_lead_to_published_files(built: ProjectPaths, parsed: Page) -> None:
    local = [a["href"] for a in parsed.all("a") if not a["href"].startswith(("#", "http"))]
    assert local
    for target in local:
        assert (built.reports / target.partition("#")[0]).exists(), target


def test_the_page_says_first_that_nothing_was_found() -> None:
    text = Page(committed_page()).text
    assert "No study has tested ketamine as a treatment for ADHD." in text
    assert text.index("No study has tested") < text.index("Contents")


# --- the same twice -------------------------------------------------------------------------------


def test_two_renderings_are_identical(built: ProjectPaths, page: str) -> None:
    assert render_html(context_of(built)) != ""
    texts = {render_html(context_of(built)) for _ in range(2)}
    assert len(texts) == 1


def test_the_stamp_changes_with_any_input_and_with_nothing_else(tmp_path: Path) -> None:
    one, two = make_project(tmp_path / "one"), make_project(tmp_path / "two")
    before = inputs_hash(one)
    assert before == inputs_hash(two)
    (one.root / "README.md").write_text("not an input", encoding="utf-8")
    (one.data / "notes.txt").write_text("not an input", encoding="utf-8")
    assert inputs_hash(one) == before
    path = one.data / "search.toml"
    path.write_text(path.read_text(encoding="utf-8") + "\n# note\n", encoding="utf-8")
    assert inputs_hash(one) != before


# --- the evidence map -----------------------------------------------------------------------------


def cell(tables: Tables, row: str, column: str) -> tuple[int, int]:
    cells = evidence_map_cells(evidence_of(tables))["cells"]
    (found,) = [item for item in cells if (item["row"], item["column"]) == (row, column)]
    return found["trials"], found["participants"]


def test_the_map_has_every_cell_and_shows_its_zeros() -> None:
    found = evidence_map_cells(evidence_of(tables_of()))
    assert len(found["cells"]) == len(found["rows"]) * len(found["columns"])
    assert {item["trials"] for item in found["cells"]} == {0}
    assert {item["participants"] for item in found["cells"]} == {0}
    direct = {item["row"] for item in found["cells"] if item["direct"]}
    assert direct and all(row.startswith("ADHD") for row in direct)


def test_a_trial_counts_once_per_cell_with_its_people() -> None:
    tables = tables_of(
        [score(), score("placebo"), score(time_days="1"), score(instrument="hama"), event()]
    )
    assert cell(tables, "Depression: mood", "Ketamine") == (1, 60)
    assert cell(tables, "Depression: harms", "Ketamine") == (1, 60)
    assert cell(tables, "Depression: mood", "Memantine") == (0, 0)
    assert cell(tables, "ADHD: symptoms", "Ketamine") == (0, 0)


def test_people_who_are_not_printed_are_not_invented() -> None:
    tables = tables_of([score()], studies=[study(n_randomised="")])
    assert cell(tables, "Depression: mood", "Ketamine") == (1, 0)


def test_who_was_studied_decides_the_row() -> None:
    rows = [score(outcome="memory", instrument="recall")]
    for diagnosis, place in (
        ("adhd", "ADHD: attention, memory, executive function"),
        ("healthy", "Other people: attention, memory"),
    ):
        tables = tables_of(rows, studies=[study(diagnosis=diagnosis)])
        assert cell(tables, place, "Ketamine") == (1, 60)


def test_control_arms_and_rows_without_a_treatment_do_not_count() -> None:
    assert cell(tables_of([score("placebo")]), "Depression: mood", "Ketamine") == (0, 0)


@pytest.mark.parametrize(
    "cells",
    [
        {"design": "pooled_rcts", "overlaps_with": "alder_2014;birch_2016"},
        {"overlaps_with": "alder_2014"},
    ],
    ids=["a pool", "a companion"],
)
def test_nobody_is_counted_twice_in_a_cell(cells: dict[str, str]) -> None:
    tables = trials(3)
    tables["studies"][2].update(cells)
    assert cell(tables, "Depression: mood", "Ketamine") == (2, 300)
    tables["studies"] = tables["studies"][2:]
    tables["arms"] = tables["arms"][4:]
    tables["outcomes"] = tables["outcomes"][4:]
    alone = 0 if cells.get("design") else 1
    assert cell(tables, "Depression: mood", "Ketamine")[0] == alone


def test_two_reports_that_name_each_other_count_once() -> None:
    tables = trials(2)
    tables["studies"][0]["overlaps_with"] = "birch_2016"
    tables["studies"][1]["overlaps_with"] = "alder_2014"
    assert cell(tables, "Depression: mood", "Ketamine") == (1, 150)


def test_classes_of_medicines_have_columns_too() -> None:
    arms = [arm("mph", intervention="methylphenidate", drug_class="stimulant")]
    assert cell(tables_of([score("mph")], arms=arms), "Depression: mood", "Stimulants") == (1, 60)


def test_every_table_of_the_evidence_is_known() -> None:
    assert {"exclusions", "registry"} <= set(TABLES)
