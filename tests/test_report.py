"""The page: every number by name, every text escaped, nothing fetched, the same twice."""

from __future__ import annotations

import datetime
import html
import json
import posixpath
import re
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
    ROOT,
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
from ketameta.evidence.checks import checked_evidence
from ketameta.paths import ProjectPaths
from ketameta.plots.frame import OUTSIDE, UNUSABLE
from ketameta.plots.maps import EvidenceMap
from ketameta.report import (
    environment,
    inputs_hash,
    map_cells,
    render_pages,
    report_context,
)
from report_pages import committed_context, committed_pages

TEMPLATES = sorted(
    path
    for ending in ("html", "j2")
    for path in (Path(page_module.__file__).parent / "templates").rglob(f"*.{ending}")
)


class Page(HTMLParser):
    """Collects the elements of a page and checks that they are closed in order."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input", "col", "source", "wbr"})

    def __init__(self, text: str, whole: bool = True) -> None:
        super().__init__(convert_charrefs=True)
        self.whole = whole
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
        if self.whole:
            assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open[-1:] = []

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
    checked, evidence = checked_evidence(paths)
    texts = [path.read_text(encoding="utf-8") for path in sorted(paths.results.glob("*.json"))]
    results = [json.loads(text) for text in texts]
    claims = json.loads((paths.reports / "claims.json").read_text(encoding="utf-8"))
    return report_context(paths, evidence, results, checked, claims, package_versions())


@pytest.fixture(scope="module")
def context(built: ProjectPaths) -> dict[str, Any]:
    return context_of(built)


@pytest.fixture(scope="module")
def pages(built: ProjectPaths) -> dict[str, str]:
    return {
        path.relative_to(built.reports).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(built.reports.rglob("*.html"))
    }


@pytest.fixture(scope="module")
def parsed(pages: dict[str, str]) -> dict[str, Page]:
    found = {name: Page(text) for name, text in pages.items()}
    assert {name for name, page in found.items() if page.open} == set(), "elements not closed"
    return found


def everywhere(parsed: dict[str, Page], tag: str) -> list[tuple[str, dict[str, str]]]:
    """Return the elements of a kind, each with the page it stands on."""
    return [(name, attributes) for name, page in parsed.items() for attributes in page.all(tag)]


# --- names and numbers ----------------------------------------------------------------------------


def test_a_name_that_nothing_provides_stops_the_build(context: dict[str, Any]) -> None:
    without = {key: value for key, value in context.items() if key != "claims"}
    with pytest.raises(ReportError, match="'claims' is undefined") as caught:
        render_pages(without)
    assert "a name no result provides" in str(caught.value)


def test_a_part_of_a_result_that_is_missing_stops_the_build(context: dict[str, Any]) -> None:
    views = {
        name: {key: value for key, value in view.items() if key != "sentences"}
        for name, view in context["views"].items()
    }
    with pytest.raises(ReportError, match="sentences"):
        render_pages({**context, "views": views})


def test_a_name_that_is_nearly_right_gets_a_hint(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loader:
        def get_template(self, _: str) -> Any:
            return environment().from_string("{{ sectons[0] }}")

    monkeypatch.setattr(page_module, "environment", Loader)
    with pytest.raises(ReportError, match="did you mean sections"):
        render_pages(context)


def test_the_template_asks_for_nothing_that_the_context_lacks(context: dict[str, Any]) -> None:
    env: Environment = environment()
    asked: set[str] = set()
    given = {*context, *env.globals, *ADDED_WHEN_RENDERED}
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        asked |= meta.find_undeclared_variables(env.parse(text))
        given |= set(re.findall(r"{%-? *macro (\w+)", text))
    assert asked - given == set()


#: Names that rendering adds to the context, for a page or for one analysis of it.
ADDED_WHEN_RENDERED = (
    *("engine_json", "font_css", "script", "script_hash", "file", "to", "page", "analyses"),
    *("analysis", "glossed", "releases"),
)


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


def test_every_sentence_of_every_result_with_a_trial_stands_on_its_page(
    built: ProjectPaths, context: dict[str, Any], parsed: dict[str, Page]
) -> None:
    for name, place in context["places"].items():
        if not context["results"][name]["k"]:
            continue
        text = parsed[place.partition("#")[0]].unbroken
        for sentence in context["results"][name]["sentences"]:
            assert " ".join(sentence.split()) in text


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
    clean = make_project(tmp_path / "clean", trials(3), {"rapid": ANALYSIS})
    build(clean)
    readable = ""
    for path in sorted(paths.reports.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        found = Page(text)
        assert found.open == []
        same = clean.reports / path.relative_to(paths.reports)
        allowed = {tag for tag, _ in Page(same.read_text(encoding="utf-8")).elements}
        assert {tag for tag, _ in found.elements} <= allowed | {
            "br",
            "caption",
            "table",
            "td",
            "ul",
            "li",
        }
        assert "<script>alert" not in text
        for tag, attributes in found.elements:
            assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        readable += found.text
        assert html.escape(SCRIPT).replace("&#x27;", "&#39;") in text or "report" in path.name
    assert "<script>alert('x')</script>" in readable, "the words themselves are readable"


def test_only_web_addresses_become_links(parsed: dict[str, Page]) -> None:
    for _, attributes in everywhere(parsed, "a"):
        assert re.match(r"https?://|#|[\w./-]+(?:#[\w-]+)?$", attributes["href"]), attributes


# --- nothing is fetched ---------------------------------------------------------------------------

FETCHING = {
    "src": None, "srcset": None, "data": None, "poster": None, "action": None, "formaction": None,
    "background": None, "href": "a",
}  # fmt: skip


def test_no_page_needs_another_file_or_the_network(
    pages: dict[str, str], parsed: dict[str, Page]
) -> None:
    for page in parsed.values():
        for tag, attributes in page.elements:
            for name, only in FETCHING.items():
                if name in attributes and tag != only:
                    assert attributes[name].startswith(("data:", "#")), (tag, name)
        assert not page.all("link") and not page.all("iframe") and not page.all("base")
    for text in pages.values():
        styles = re.findall(r"<style.*?</style>", text, flags=re.DOTALL)
        assert styles
        for style in styles:
            assert "@import" not in style
            assert not re.search(r"url\(\s*['\"]?(?!data:)", style)
        calls = r"\b(?:fetch|import\w*|sendBeacon|WebSocket|EventSource|XMLHttpRequest) *\("
        for script in re.findall(r"<script[^>]*>(.*?)</script>", text, flags=re.DOTALL):
            assert not re.search(calls, script)


# --- pages that can be read -----------------------------------------------------------------------


def test_ids_are_unique_and_every_jump_arrives(parsed: dict[str, Page]) -> None:
    for page in parsed.values():
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        targets = {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")}
        assert targets and targets <= set(ids)
        for _, attributes in page.elements:
            for name in ("aria-labelledby", "aria-describedby", "for"):
                assert set(attributes.get(name, "").split()) <= set(ids)


def test_links_between_pages_arrive_and_links_to_files_lead_to_published_files(
    built: ProjectPaths, parsed: dict[str, Page]
) -> None:
    checked = 0
    for name, attributes in everywhere(parsed, "a"):
        file, _, place = attributes["href"].partition("#")
        if not file or file.startswith("http"):
            continue
        target = (built.reports / name).parent.joinpath(file).resolve()
        assert target.is_file(), (name, file)
        if place:
            other = parsed[target.relative_to(built.reports.resolve()).as_posix()]
            assert place in {a.get("id") for _, a in other.elements}, (name, file, place)
            checked += 1
    assert checked > 10


def test_committed_pages_link_to_places_that_exist() -> None:
    ids = {
        file: set(re.findall(r' id="([^"]+)"', text)) for file, text in committed_pages().items()
    }
    for file, text in committed_pages().items():
        for target in set(re.findall(r'href="([^":]*\.html(?:#[^"]+)?)"', text)):
            other, _, place = target.partition("#")
            other = posixpath.normpath(posixpath.join(posixpath.dirname(file), other))
            assert other in ids or other == "releases/index.html", (file, target)
            assert not place or place in ids[other], (file, target)


def test_pictures_have_words_and_tables_have_headings(parsed: dict[str, Page]) -> None:
    pictures = [svg for _, svg in everywhere(parsed, "svg")]
    assert len(pictures) >= 2
    assert all(len(picture["aria-label"]) > 20 for picture in pictures)
    assert all(cell.get("scope") in ("col", "row") for _, cell in everywhere(parsed, "th"))
    for page in parsed.values():
        assert len(page.all("table")) == len(page.all("caption")), "a table without a caption"
        assert page.all("html")[0]["lang"] == "en"
        assert len(page.all("h1")) == 1 and len(page.all("main")) == 1


def test_every_row_of_every_table_has_a_header(pages: dict[str, str]) -> None:
    for text in (*pages.values(), *committed_pages().values()):
        for body in re.findall(r"<tbody>(.*?)</tbody>", text, flags=re.DOTALL):
            for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body, flags=re.DOTALL):
                assert row.lstrip().startswith('<th scope="row"'), row[:120]


def test_headings_go_down_one_step_at_a_time(parsed: dict[str, Page]) -> None:
    for page in parsed.values():
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))


# --- the front page -------------------------------------------------------------------------------

#: What a report may weigh at its door, in bytes, and what a page by question may.
FRONT_MOST, QUESTION_MOST = 500_000, 1_500_000


def test_the_front_page_is_light_and_every_question_has_one_page() -> None:
    pages = committed_pages()
    assert len(pages["report.html"].encode()) <= FRONT_MOST
    questions = [name for name in pages if name.startswith("questions/")]
    assert 10 <= len(questions) <= 16
    assert all(len(pages[name].encode()) <= QUESTION_MOST for name in questions)
    placed = [name for page in committed_context()["pages"] for name in page.analyses]
    assert sorted(placed) == sorted(committed_context()["results"])


def test_the_front_page_says_first_that_nothing_was_found_with_date_and_limits() -> None:
    text = Page(committed_pages()["report.html"]).text
    said = "We found no human study of any design, and no registry entry, in which ketamine"
    assert said in text
    day = datetime.date.fromisoformat(committed_context()["living"]["searched"])
    until = f"until {day.day} {day:%B %Y}"
    assert text.index(said) < text.index(until) < text.index("Does it help ADHD?")
    assert text.index("not live databases") < text.index("Does it help ADHD?")


def test_no_technical_word_stands_above_the_clinicians_table() -> None:
    page = committed_pages()["report.html"]
    above = Page(page[: page.index('<section id="clinicians"')] + "</main></body></html>", False)
    words = " ".join(above.words)
    assert not re.search(r"\b(REML|Hedges|Knapp|SMD|tau|I²|[0-9a-f]{12})\b", words)


def test_the_prose_of_the_front_page_can_be_read_after_eight_years_of_school() -> None:
    import textstat

    context = committed_context()
    said = [s for _, sentences in (*context["answer"], *context["ask"]) for s in sentences]
    said += [s for card in context["cards"] for s in card.sentences]
    assert len(said) > 20
    assert textstat.flesch_kincaid_grade(" ".join(said)) <= 8.0
    assert max(len(re.findall(r"\w+", part)) for s in said for part in s.split(". ")) <= 36


def test_ten_questions_about_the_front_page_have_their_answers_on_it() -> None:
    text = Page(committed_pages()["report.html"]).text.lower()
    asked = (ROOT / "docs" / "comprehension.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| (.+?) \| (.+?) \| (.+?) \|$", asked, flags=re.MULTILINE)
    assert len(rows) == 10
    for question, answer, words in rows:
        assert question.endswith("?") and answer
        assert words.strip("`").lower() in text, question


def test_harms_known_elsewhere_stand_among_the_harms_and_not_as_untested() -> None:
    page = Page(committed_pages()["report.html"])
    card = page.text[
        page.text.index("What is known about harm?") : page.text.index("What does work?")
    ]
    for words in ("bladder", "misuse"):
        assert words in card
    lines = {line.id: line for line in committed_context()["claim_lines"]}
    for name in ("misuse", "causes_confusion", "raises_heart_rate"):
        assert "not tested" not in lines[name].small


def test_each_question_says_what_its_answer_means_and_what_it_does_not() -> None:
    for page in committed_context()["pages"]:
        text = committed_pages()[page.file]
        assert page.part(""), page.key
        if not page.untested:
            for heading in ("What it means", "What it does not mean"):
                assert page.part(heading), page.key
                assert f"<h2>{heading}</h2>" in text


def test_empty_questions_stand_in_three_lists_of_one_page() -> None:
    results = committed_context()["results"]
    lists = committed_context()["untested"]
    names = [{row[0].id for row in one.rows} for one in lists]
    assert set().union(*names) == {name for name, r in results.items() if r["k"] == 0}
    assert [one.caption for one in lists] == [
        *("No study found", "Known from labels or other designs; not countable here"),
        "Studied, but no number that can be used here",
    ]
    none, known, studied = names
    assert not any(results[name]["unused"] for name in none | known) and "harm_misuse" in known
    assert all(results[name]["unused"] or results[name]["excluded"] for name in studied)
    for one, wanted in zip(lists, names, strict=True):
        head = f'<caption class="unseen">{one.caption}<'
        holders = [f for f, text in committed_pages().items() if head in text]
        assert len(holders) == 1
        text = committed_pages()[holders[0]].partition(head)[2].partition("</table>")[0]
        assert set(re.findall(r'<tr id="(\w+)"', text)) == wanted


# --- the same twice -------------------------------------------------------------------------------


def test_two_renderings_are_identical(built: ProjectPaths, pages: dict[str, str]) -> None:
    one, two = render_pages(context_of(built)), render_pages(context_of(built))
    assert one == two
    assert set(one) == set(pages)


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


def declared_map(tables: Tables) -> EvidenceMap:
    found = map_cells(evidence_of(tables))
    assert found is not None
    return found


def cell(tables: Tables, row: str, column: str) -> tuple[int, int]:
    cells = declared_map(tables).cells
    (found,) = [item for item in cells if (item.row, item.column) == (row, column)]
    return found.trials, int(found.participants or 0)


def test_the_map_has_every_cell_and_shows_its_zeros() -> None:
    found = declared_map(tables_of())
    assert len(found.cells) == len(found.rows) * len(found.columns)
    assert {item.trials for item in found.cells} == {0}
    assert {item.participants for item in found.cells} == {0}
    direct = {item.row for item in found.cells if item.direct}
    assert direct and all(row.startswith("ADHD") for row in direct)


def test_a_trial_counts_once_per_cell_with_its_people() -> None:
    tables = tables_of(
        [score(), score("placebo"), score(time_days="1"), score(instrument="hama"), event()]
    )
    assert cell(tables, "Depression: mood", "Ketamine, esketamine") == (1, 60)
    assert cell(tables, "Depression: harms", "Ketamine, esketamine") == (1, 60)
    assert cell(tables, "Depression: mood", "Memantine") == (0, 0)
    assert cell(tables, "ADHD: symptoms", "Ketamine, esketamine") == (0, 0)


def test_people_who_are_not_printed_are_not_invented() -> None:
    tables = tables_of([score()], studies=[study(n_randomised="")])
    assert cell(tables, "Depression: mood", "Ketamine, esketamine") == (1, 0)


def test_who_was_studied_decides_the_row() -> None:
    rows = [score(outcome="memory", instrument="recall")]
    for diagnosis, place in (
        ("adhd", "ADHD: attention, memory, executive function"),
        ("healthy", "Other people: attention, memory"),
    ):
        tables = tables_of(rows, studies=[study(diagnosis=diagnosis)])
        assert cell(tables, place, "Ketamine, esketamine") == (1, 60)


LEFT_OUT = {
    "study": "Maple 2010", "outcome": "hyperactivity at week 6", "records": "1",
    "reason_code": "no_number", "reason": "in words only", "date": "2026-03-02",
}  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "state"),
    [
        ({}, "none found"),
        ({"measured": "depression", "diagnosis": "healthy", "intervention": "ketamine"},
         UNUSABLE),
        ({"outcome": "depression", "diagnosis": "healthy", "intervention": "placebo;ketamine"},
         UNUSABLE),
        ({"measured": "depression", "diagnosis": "adhd", "intervention": "ketamine"},
         "none found"),
        ({"measured": "depression", "diagnosis": "healthy", "intervention": "ketamine",
          "reason_code": "review_not_trial"}, "none found"),
        ({"study": "alder_2014", "measured": "nausea;depression"}, UNUSABLE),
    ],
)  # fmt: skip
def test_a_study_left_out_is_found_without_a_usable_number_where_it_says_what_it_measured(
    cells: dict[str, str], state: str
) -> None:
    tables = tables_of([score(outcome="memory")], studies=[study(diagnosis="healthy")])
    tables["exclusions"] = [LEFT_OUT | cells]
    found = declared_map(tables).cells
    shown = {(item.row, item.column): item.state for item in found}
    assert shown["Other people: symptoms", "Ketamine, esketamine"] == state
    assert shown["Other people: symptoms", "Memantine"] == OUTSIDE


def test_control_arms_and_rows_without_a_treatment_do_not_count() -> None:
    assert cell(tables_of([score("placebo")]), "Depression: mood", "Ketamine, esketamine") == (0, 0)


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
    assert cell(tables, "Depression: mood", "Ketamine, esketamine") == (2, 300)
    tables["studies"] = tables["studies"][2:]
    tables["arms"] = tables["arms"][4:]
    tables["outcomes"] = tables["outcomes"][4:]
    alone = 0 if cells.get("design") else 1
    assert cell(tables, "Depression: mood", "Ketamine, esketamine")[0] == alone


def test_two_reports_that_name_each_other_count_once() -> None:
    tables = trials(2)
    tables["studies"][0]["overlaps_with"] = "birch_2016"
    tables["studies"][1]["overlaps_with"] = "alder_2014"
    assert cell(tables, "Depression: mood", "Ketamine, esketamine") == (1, 150)


def test_classes_of_medicines_have_columns_too() -> None:
    arms = [arm("mph", intervention="methylphenidate", drug_class="stimulant")]
    assert cell(tables_of([score("mph")], arms=arms), "Depression: mood", "Stimulants") == (1, 60)


def test_every_table_of_the_evidence_is_known() -> None:
    assert {"exclusions", "registry"} <= set(TABLES)
