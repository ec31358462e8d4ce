"""Every number of the page and of the PDF is one of the results or of the data; none is typed."""

from __future__ import annotations

import copy
import functools
import math
import os
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

import ketameta.report.html as html_module
import ketameta.report.prose as prose_module
from helpers import PROJECT, ROOT
from ketameta.analyses import numbers_of as moderators_of
from ketameta.effects.conversions import Z95
from ketameta.inputs import load_evidence
from ketameta.paths import project_paths
from ketameta.report import Study, glossary, pdf_data, render_page
from page_units import Unit, Units, numbers_of
from report_pages import (
    DOCUMENTS,
    committed_build,
    committed_context,
    committed_pages,
    committed_results,
    file_of,
    names_of,
    printed_analyses,
)

TEMPLATES = sorted(
    path
    for ending in ("html", "j2")
    for path in (Path(html_module.__file__).parent / "templates").rglob(f"*.{ending}")
)
#: Numbers that stand for no result, each with its reason.
ALLOWED = {
    "0.001": "smaller p-values are printed as p < 0.001",
    "0.01": "smaller ratios are printed as < 0.01",
    "1,000": "absolute effects are per 1,000 people; larger ratios are printed as > 1,000",
}
#: Keys of results that hold finished prose: it needs numbers of its own result, not itself.
PROSE = frozenset({"sentences", "message"})
#: Words for numbers, checked where they count studies or people.
WORDS = {word: number for number, word in enumerate(prose_module._WORDS) if number}
COUNTED = re.compile(rf"\b({'|'.join(WORDS)}) (?:studies|study|trials?|people)\b", re.IGNORECASE)
#: A phrase that counts nothing of these results.
GENERAL = ("One study alone cannot settle it",)


# --- which numbers a value can be printed as ------------------------------------------------------


def parsed(text: str) -> float:
    return float(text.replace("\u2212", "-").replace(",", ""))


def leaves(value: Any) -> list[float]:
    """Return every number of a value; of texts that are no prose, the numbers they print."""
    found: list[float] = []
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            todo += [item for key, item in value.items() if key not in PROSE]
        elif isinstance(value, (list, tuple)):
            found.append(len(value))
            todo += value
        elif is_dataclass(value):
            todo += [getattr(value, field.name) for field in fields(value)]
        elif isinstance(value, str):
            found += [parsed(number) for number in numbers_of(value)]
            found += [float(number) for number in re.findall(r"\d+(?:\.\d+)?", value)]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append(value)
    return found


class Printable(dict[int, set[float]]):
    """Every value as it could be printed, by the number of decimals, once such are asked for."""

    def __init__(self, values: Iterable[float]) -> None:
        self._forms: set[float] = set()
        for value in {value for value in values if math.isfinite(value)}:
            self._forms.update((value, -value, 100 * value, 1000 * value))
            if abs(value) < 50:
                self._forms.add(math.exp(value))
            if value > 0:
                self._forms.add(math.sqrt(value))

    def __missing__(self, digits: int) -> set[float]:
        self[digits] = {round(form, digits) for form in self._forms}
        return self[digits]


def strangers(text: str, known: Printable) -> list[str]:
    """Return the numbers of a text that no value rounds to."""
    found = []
    # Powers of ten are printed of very small numbers only, which no reader compares.
    for printed in numbers_of(re.sub(r"[\d.]+e\u2212\d+", " ", text)):
        digits = len(printed.partition(".")[2])
        if printed in ALLOWED or digits > 8:
            continue
        if round(parsed(printed), digits) not in known[digits]:
            found.append(printed)
    return found


# --- where each part of the page has its numbers from ---------------------------------------------


def results() -> dict[str, Any]:
    found: dict[str, Any] = committed_context()["results"]
    return found


def analyses() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = committed_context()["views"]
    return found


@functools.cache
def evidence() -> Any:
    return load_evidence(project_paths(ROOT))[0]


@functools.cache
def rows_of(table: str) -> list[dict[str, Any]]:
    return [
        {column.name: row.number(column.name) or row[column.name]
         for column in evidence().schema[table].columns}
        for row in evidence().rows(table)
    ]  # fmt: skip


def derived(result: dict[str, Any]) -> Iterator[float]:
    """Yield what the page computes of stored numbers: shares of counts, limits, factors."""
    for item in (result["network"] or {}).get("contrasts", []):
        reach = Z95 * math.sqrt(item["variance"])
        yield from (item["estimate"] - reach, item["estimate"] + reach)
    for item in (result["network"] or {}).get("league", []):
        # A league table says each comparison both ways.
        yield from (-item[name] for name in ("estimate", "ci_low", "ci_high"))
        yield from (math.exp(-item[name]) for name in ("estimate", "ci_low", "ci_high"))
    for item in result["regressions"] or ():
        if not item["withheld"]:
            moderator = moderators_of(PROJECT)[item["moderator"]]
            step, words = moderator.step, moderator.step_words
            yield from (step * item[name] for name in ("slope", "ci_low", "ci_high"))
            yield from leaves(words)
            if "reading" in item:
                span = item["last"] - item["first"]
                yield from (span * item[name] for name in ("slope", "ci_low", "ci_high"))
                yield from (item["first"], item["last"])
    se = {row["ci_method"]: row["se"] for row in result["intervals"]}
    if "wald" in se and "knapp-hartung" in se:
        yield (se["knapp-hartung"] / se["wald"]) ** 2
    for led in (result["headline"], *(group["headline"] or {} for group in result["groups"])):
        # A forest plot gives the variance between trials.
        yield from [led["tau"] ** 2] if led.get("tau") is not None else []
    rows = [row for group in result["groups"] for row in group["rows"]]
    for members in (rows, *(group["rows"] for group in result["groups"])):
        for name in ("n_treatment", "n_control", "events_treatment", "events_control"):
            # Sums below the columns of a forest plot.
            yield math.fsum(row.get(name) or 0 for row in members)
    # Rows that were left out for one reason.
    left = (*result["excluded"], *result["unused"])
    yield from Counter(item["reason"] for item in left).values()
    tried = result.get("multiverse") or {}
    counts = [v for v in leaves(tried) if v == int(v) and 0 < v < 1e4] if tried else []
    for whole in {value for value in counts if value > 20}:
        yield from (part / whole for part in set(counts) if part <= whole)


def headline(result: dict[str, Any]) -> list[Any]:
    """Return the numbers that stand for a result elsewhere than in its article."""
    groups = [
        [len(group["rows"]), group["pooled"], group["headline"], group["label"],
         sum(r["n_participants"] or 0 for r in group["rows"])]
        for group in result["groups"]
    ]  # fmt: skip
    doses = result["dose_response"] or {}
    led = result["headline"]
    certainty = [item["rating"] for item in result["certainty"]["assessments"]]
    # Icon arrays show people of a hundred.
    icons = [value / 10 for value in leaves(led["absolute"])] if led["absolute"] else []
    return [result["k"], result["n_participants"], result["pooled"], result["level"], groups,
            doses.get("step"), (doses.get("linear") or {}).get("slope"), led, icons,
            result["title"], result["question"], result["important_difference"],
            result["looked_for"], certainty]  # fmt: skip


def of_links(unit: Unit) -> list[dict[str, Any]]:
    names = (link.rpartition("#")[2] for link in unit.links)
    return [results()[name] for name in names if name in results()]


def of_article(unit: Unit) -> list[Any]:
    analysis, result = analyses()[unit.article], results()[unit.article]
    found: list[Any] = [result, list(derived(result))]
    if result["kind"] == "network":
        found += [card.sources for card in analysis["cards"]]
    if unit.in_card:
        found += [analysis["pooled_cards"], analysis["estimates"], analysis["r_blocks"]]
        found += [
            [card.effects, card.join, card.interval, card.study.number,
             card.study.facts["citation"], card.study.link_words, card.label]
            for card in analysis["cards"]
        ]  # fmt: skip
    return found


def of_answer(unit: Unit) -> list[Any]:
    """Return what the first section of a page may say: the results that its prose names."""
    context = committed_context()
    if unit.file == "report.html":
        near = [item.study for item in context["search"].near_miss]
        return [context["living"], headline(results()["ketamine_adhd"]), near]
    names = next(page.analyses for page in context["pages"] if page.file == unit.file)
    said = [results()[name] for name in names]
    counted = [
        [
            prose_module.significant(result),
            result["small_study"],
            result["over_time"],
            list(derived(result)),
            [row["label"] for row in result["unused"]],
            {k: v for k, v in (result["network"] or {}).items() if k in ("q", "tau2", "nodes")},
        ]
        for result in said
    ]
    near = [vars(item) for item in context["search"].near_miss]
    return [[headline(result) for result in said], counted, context["living"], near]


def of_cards(_: Unit) -> list[Any]:
    names = {name for card in PROJECT.front.card for name in (i.analysis for i in card.icon)}
    names |= {"nmda_adhd_symptoms", "ketamine_depression_24h", "adhd_medicines_by_class"}
    told = [results()[name] for name in names]
    days = [row["time_days"] for r in told for group in r["groups"] for row in group["rows"]]
    return [[headline(r), prose_module.significant(r)] for r in told] + [100, days]


def of_facts(unit: Unit) -> list[Any]:
    return [row for row in rows_of("harm_facts") if row["citation"] in unit.text]


def of_untested(unit: Unit) -> list[Any]:
    names = [name for name in unit.anchors if name in results()]
    return [[headline(results()[n]), results()[n]["next_trial"], results()[n]["unused"]]
            for n in names]  # fmt: skip


def of_next(unit: Unit) -> list[Any]:
    names = next(p.analyses for p in committed_context()["pages"] if p.file == unit.file)
    return [[results()[name]["next_trial"], results()[name]["title"]] for name in names]


def of_bias(_: Unit) -> list[Any]:
    rows = committed_context()["risk_of_bias"]
    drawn = {
        row["study_id"]
        for result in results().values() if result["kind"] != "network"
        for group in result["groups"] for row in group["rows"]
    }  # fmt: skip
    judged = {row["study_id"] for row in rows if row["judgement"] != "not_assessed"}
    return [rows, len(drawn - judged)]


def of_claim(unit: Unit) -> list[Any]:
    names = {anchor.removeprefix("claim-") for anchor in (
        *unit.anchors, *(link.rpartition("#")[2] for link in unit.links))}  # fmt: skip
    stated = [
        [row.get("facts"), row.get("registered")]
        + [row[key] for key in ("claim", "would_support", "made_at", "cites", "rule_words")]
        for row in committed_context()["claims"] if row["id"] in names
    ]  # fmt: skip
    return [stated, [[headline(result), result["network"]] for result in of_links(unit)]]


def of_headlines(unit: Unit) -> list[Any]:
    """Return what a question said before and after the rules: its result, and what is declared."""
    named = {name: r for name, r in results().items() if r["title"] in unit.text}
    if unit.tag != "tr" or not named:
        return [len(committed_context()["headlines"])]
    said = [words for name, words in PROJECT.earlier.items() if name in named]
    return [said, [[headline(r), r["sentences"]] for r in named.values()]]


def of_moderator(unit: Unit) -> list[Any]:
    names = {link.rpartition("#")[2] for link in unit.links}
    rows = [row for row in committed_context()["moderator_tests"] if row["analysis"] in names]
    every = committed_context()["moderator_tests"]
    tested = [row for row in every if row["p_holm"] is not None]
    return rows if unit.tag == "tr" else [tested, committed_context()["permuted_below"]]


def of_map(unit: Unit) -> list[Any]:
    cells = committed_context()["map"].cells
    return [cell for cell in cells if unit.tag != "tr" or unit.text.startswith(cell.row)]


def numbered(prefix: str, key: Callable[[Study], object]) -> Callable[[Unit], list[Any]]:
    """Return the studies whose row or reference a unit is."""

    def found(unit: Unit) -> list[Any]:
        names = {a.removeprefix(prefix) for a in unit.anchors if a.startswith(prefix)}
        rows = [study for study in committed_context()["studies"] if str(key(study)) in names]
        return rows or [committed_context()["counts"]]

    return found


def of_exclusion(unit: Unit) -> list[Any]:
    rows = [row for row in rows_of("exclusions") if row["reason"] in unit.text]
    if unit.tag == "tr" and rows:
        return rows
    return [committed_context()["counts"]["records_excluded"],
            committed_context()["exclusion_reasons"]]  # fmt: skip


def of_registry(unit: Unit) -> list[Any]:
    rows = rows_of("registry")
    mine = [row for row in rows if row["registry_id"] in unit.text]
    return mine or [len(rows), committed_context()["registry_counts"]]


def of_route(unit: Unit) -> list[Any]:
    rows = committed_context()["routes"]
    if unit.tag == "tr":
        return [[route, count] for route, count in rows if route.description in unit.text]
    parts = [part for result in results().values() for part in (result, *result["groups"])]
    leads = Counter(
        part["headline"]["rule"]["code"]
        for part in parts
        if part["headline"] is not None and part.get("key") != ""
    )
    return [committed_context()["versions"], committed_results()[0]["level"], list(leads.values())]


def of_correction(unit: Unit) -> list[Any]:
    return [
        [one.before, one.after, dict(one.correction)] for one in committed_context()["corrections"]
        if one.correction.reason in unit.text
    ]  # fmt: skip


def of_key(*keys: str) -> Callable[[Unit], list[Any]]:
    return lambda unit: [committed_context()[key] for key in keys]


def of_harms(_: Unit) -> list[Any]:
    harms = [r for r in results().values() if r["section"] == PROJECT.harms.section]
    return [[headline(r), ratios(r["headline"]["absolute"])] for r in harms]


def ratios(absolute: dict[str, Any] | None) -> list[float]:
    """Return the ratios of risks that absolute numbers stand for."""
    risks = ("treated", "treated_low", "treated_high")
    return [] if absolute is None else [absolute[name] / absolute["control"] for name in risks]


#: By section; the navigation and the foot of every page have the stamps and the titles.
SOURCES: dict[str, Callable[[Unit], list[Any]]] = {
    "": lambda _: [
        *of_key("versions", "stamp", "results_stamp", "living")(_),
        [[page.title, page.brief] for page in committed_context()["pages"]],
        [result["title"] for result in results().values()],
    ],
    "answer": of_answer,
    "cards": of_cards,
    "ask": lambda _: [],
    "questions": lambda _: [],
    "clinicians": lambda unit: [headline(result) for result in of_links(unit)],
    "claims": of_claim,
    "map": of_map,
    "about": lambda unit: [headline(result) for result in of_links(unit)],
    "files": lambda _: [],
    "pdf": lambda _: [],
    "untested": of_untested,
    "harm_facts": lambda unit: of_facts(unit) or [len(committed_context()["all_facts"].rows)],
    "summary": of_harms,
    "next": of_next,
    "facts": of_facts,
    "certainty": lambda unit: (
        [[headline(r), r["events"]] for r in of_links(unit)]
        or [len(committed_context()["all_findings"].rows), [r["title"] for r in results().values()]]
    ),
    "moderators": of_moderator,
    "studies": numbered("study-", lambda study: study.facts["study_id"]),
    "bias": of_bias,
    "methods": of_route,
    "headlines": of_headlines,
    "search": lambda _: [committed_context()["search"].model_dump(), committed_context()["flow"]],
    "corrections": of_correction,
    "repeat_reading": lambda _: [astuple(committed_context()["repeat_reading"])],
    "registry": of_registry,
    "exclusions": of_exclusion,
    "limitations": of_key("search", "counts"),
    "references": numbered("ref-", lambda study: study.number),
    "glossary": lambda _: [[term.name, term.meaning] for term in glossary(PROJECT)],
    "verify": of_key("citation"),
}


#: Parts all of whose units have the same sources.
ALIKE = {"", "bias", "cards", "glossary", "limitations", "search", "summary", "verify"}


def known_to(unit: Unit) -> Printable:
    """Return the numbers that a unit may print."""
    if unit.article:
        return _of_article(unit.article, unit.in_card)
    if unit.section in ALIKE:
        return _of_part(unit.section)
    return _printable(tuple(leaves(SOURCES[unit.section](unit))))


@functools.cache
def _of_part(section: str) -> Printable:
    return Printable(leaves(SOURCES[section](Unit(section, "", ""))))


@functools.cache
def _printable(values: tuple[float, ...]) -> Printable:
    return Printable(values)


@functools.cache
def _of_article(name: str, in_card: bool) -> Printable:
    return Printable(leaves(of_article(Unit("", name, "", in_card=in_card))))


def is_tick(unit: Unit) -> bool:
    """Return whether a text of a figure is one number: mostly a tick of an axis."""
    return unit.tag == "text" and re.fullmatch(r"[\u2212\d.,% ]+", unit.text) is not None


@functools.cache
def units() -> tuple[Unit, ...]:
    return tuple(unit for unit in every_unit() if re.search(r"\d", unit.text))


@functools.cache
def every_unit() -> tuple[Unit, ...]:
    found = []
    for file, text in committed_pages().items():
        for unit in Units(text).units:
            unit.file = file
            found.append(unit)
    return tuple(found)


# --- tests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [*SOURCES, *names_of()])
def test_every_number_of_the_page_is_one_of_its_sources(place: str) -> None:
    wrong = [
        (found, unit.tag, unit.text[:160])
        for unit in units()
        if (unit.article or unit.section) == place and not is_tick(unit)
        for found in strangers(unit.text, known_to(unit))
    ]
    assert wrong == []


def test_every_part_of_the_pages_says_where_its_numbers_are_from() -> None:
    named = {unit.section for unit in every_unit() if not unit.article}
    assert named == set(SOURCES), "no part without a rule, no rule without a part"


def test_every_analysis_with_a_trial_has_an_article_on_its_page() -> None:
    found = {unit.article: unit.file for unit in every_unit() if unit.article}
    assert found == {name: file_of(name) for name, r in results().items() if r["k"]}


def test_words_for_numbers_are_the_numbers_of_results() -> None:
    found = 0
    for unit in every_unit():
        if unit.section not in ("answer", "cards"):
            continue
        text = functools.reduce(lambda words, said: words.replace(said, ""), GENERAL, unit.text)
        known = set(leaves(SOURCES[unit.section](unit)))
        for word in COUNTED.findall(text):
            found += 1
            assert WORDS[word.lower()] in known, unit.text
    assert found >= 3


def altered(text: str, place: int) -> str:
    """Return a text with one digit of its numbers changed."""
    digits = [match.start() for match in re.finditer(r"\d", text)]
    at = digits[place % len(digits)]
    return text[:at] + str((int(text[at]) + 4) % 10) + text[at + 1 :]


#: Share of changed digits that must be noticed: in the tables and texts around the analyses, in
#: analyses (whose results hold thousands of numbers), and in those of their numbers with decimals.
NOTICED = {"around": 0.6, "analyses": 0.35, "decimals": 0.45}


@pytest.mark.parametrize("kind", NOTICED)
def test_a_changed_digit_is_noticed(kind: str) -> None:
    chance = random.Random(6)
    mine = [
        (unit, number)
        for unit in units()
        if bool(unit.article) == (kind != "around") and not is_tick(unit) and not unit.in_card
        for number in numbers_of(unit.text)
        if kind != "decimals" or re.search(r"\.\d\d", number)
    ]
    tried = chance.sample(mine, 600)
    noticed = 0
    for unit, number in tried:
        changed = altered(number, chance.randrange(9))
        noticed += bool(strangers(unit.text.replace(number, changed, 1), known_to(unit)))
    assert noticed / len(tried) >= NOTICED[kind], noticed / len(tried)


def test_a_number_from_nowhere_is_found() -> None:
    context = copy.copy(committed_context())
    page = next(page for page in context["pages"] if "nmda_adhd_symptoms" in page.analyses)
    changed = {**context["views"]["nmda_adhd_symptoms"], "note": "As many as 71.364 people."}
    views = {**context["views"], changed["name"]: changed}
    given = {**context, "lead": "Of 7,413 trials.", "views": views}
    made = Units(render_page(given, page.file, "question.html.j2", page)).units
    for unit in made:
        unit.file = page.file
    wrong = [
        found for unit in made
        if unit.article in ("", changed["name"]) and unit.section != "answer" and not is_tick(unit)
        for found in strangers(unit.text, known_to(unit))
    ]  # fmt: skip
    assert wrong == ["71.364", "7,413"]


# --- the PDF --------------------------------------------------------------------------------------


def pdf_texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("name", "closed", "link"):
                yield from pdf_texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from pdf_texts(item)
    elif isinstance(value, str):
        yield value


def page_numbers(article: str | None = None) -> set[str]:
    return {
        found
        for unit in units() if article is None or unit.article == article
        for found in numbers_of(unit.text)
    }  # fmt: skip


@pytest.mark.parametrize("name", names_of())
def test_every_number_of_an_analysis_in_the_pdf_is_one_of_its_result(name: str) -> None:
    listed = [item for item in printed_analyses() if item["name"] == name]
    # A question without a trial has a row in a table of its own.
    assert len(listed) == (committed_context()["results"][name]["k"] > 0)
    found = listed[0] if listed else {}
    known = _of_article(name, False)
    # The words of a picture list what is drawn; the drawing is checked with the page.
    texts = [text for key, value in found.items() if key != "figures" for text in pdf_texts(value)]
    assert [bad for text in texts for bad in strangers(text, known)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_other_number_of_the_pdf_stands_on_the_page(document: str) -> None:
    data = dict(pdf_data(committed_context(), document))
    data.pop("analyses", None)
    known = page_numbers()
    assert [n for text in pdf_texts(data) for n in numbers_of(text) if n not in known] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_typeset_pdf_prints_no_other_number(document: str) -> None:
    if shutil.which("pdftotext") is None:
        # The program is a second look where it is installed; what is typeset is tested above.
        return
    text = subprocess.run(
        ["pdftotext", "-layout", str(committed_build().reports / f"{document}.pdf"), "-"],
        capture_output=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"},
    ).stdout.decode("utf-8")  # fmt: skip
    pages = text.count("\f")
    given = " ".join(pdf_texts(pdf_data(committed_context(), document)))
    drawn = " ".join(unit.text for unit in units() if unit.tag == "text")
    known = {*re.findall(r"\d+", given), *re.findall(r"\d+", drawn)}
    known |= {str(number) for number in range(1, pages + 1)}
    # The foot of each page names what it rests on or shows by hashes.
    prose = re.sub(r"\b(?:data|results|contents) [0-9a-f]{12}\b", " ", text)
    assert Counter(n for n in re.findall(r"\d+", prose) if n not in known) == {}


# --- templates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_types_a_number(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for pattern in (r"{#.*?#}", r"{%.*?%}", r"{{.*?}}", r"<style.*?</style>", r"<[^>]*>"):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    assert re.findall(r".*\d.*", text) == []


def test_the_templates_were_found() -> None:
    names = {path.name for path in TEMPLATES}
    assert {"base.html.j2", "front.html.j2", "question.html.j2", "methods.html.j2"} <= names
    assert {"article.html", "cards.html", "pieces.html", "releases.html.j2"} <= names
