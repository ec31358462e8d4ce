"""Texts of a project: numbers by name from results, a typed number refused, no topic of ours."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from helpers import PROJECT
from ketameta.analyses import TEXT_NAMES, TEXTS, excess_words, text_problems
from ketameta.errors import ReportError
from ketameta.evidence import load_project
from ketameta.paths import project_paths
from ketameta.report import cards_of, report_context, texts_of
from ketameta.report.front import error_report
from ketameta.report.prose import (
    asked_words,
    excess_of,
    fading,
    given_words,
    people_passed,
)

RESULTS: dict[str, Any] = {
    "caffeine": {"k": 3, "name": "caffeine", "headline": {"side": "unclear", "absolute": None}}
}


def parts(root: Path, text: str, name: str = "background") -> Any:
    folder = root / "analyses" / "text"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return texts_of(project_paths(root), RESULTS, load_project(root))(name)


def test_numbers_of_a_text_are_those_of_results(tmp_path: Path) -> None:
    text = "## Was it tested?\nYes, {{ count_words(results.caffeine.k, 'trial') }}.\n\nMore.\n"
    assert parts(tmp_path, text) == [("Was it tested?", ["Yes, three trials.", "More."])]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ results.cafeine.k }}\n", r"background\.md:1: .*cafeine.*see what the result holds"),
        ("One.\n\n{{ coffee.k }}\n", r"background\.md:3: .*coffee.*name an analysis"),
        ("One.\n{{ results.caffeine.k + 'a' }}\n", r"background\.md:2: unsupported operand"),
    ],
)
def test_what_no_result_says_is_refused_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ReportError, match=said):
        parts(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Well.\n{{ results.caffeine.k }} of 4.\n", ["2: a typed number: name it from its result"]),
        ("One.\n{% if %}\n", ["2: Expected an expression, got 'end of statement block': mend"]),
        ("{{ headline | big }}\n", ["1: No filter named 'big'.: mend what stands in braces"]),
        (
            "{{ results.cafeine.k }}\n",
            ["1: there is no analysis 'cafeine'; did you mean c"],
        ),
        ("\n{{ results.caffeine.kk }}\n", ["2: a result has no 'kk'"]),
        (
            "{% set r = results.caffeine %}\n{{ r.titel }}",
            ["2: a result has no 'titel'; did"],
        ),
        (
            "{{ coffee.k }}\n{{ headlin.k }}\n",
            ["1: 'coffee' is no name here", "2: 'headlin' is"],
        ),
        ("{% set r = results.tea %}{% if r is defined and r.k %}{{ r.k }}{% endif %}", []),
        ('{% for line in more_of([(results.tea, "slept")]) %}{{ line }}{% endfor %}', []),
        ("{% if headline %}{% set n = headline.k %}{{ n }}{% endif %}", []),
        ("{{ results.values() | list | length }}", []),
    ],
)
def test_what_is_wrong_with_a_text_is_said_without_results(text: str, said: list[str]) -> None:
    found = [str(item) for item in text_problems(text, "answer.md", RESULTS)]
    assert len(found) == len(said)
    assert all(one.startswith(f"answer.md:{two}") for one, two in zip(found, said, strict=True))


def test_every_name_that_a_text_may_use_is_given() -> None:
    given = set[str]()
    source = inspect.getsource(texts_of)
    given.update(re.findall(r'^        "(\w+)":', source, re.MULTILINE))
    source = inspect.getsource(report_context)
    listed = source.partition("named = {")[2].partition("}")[0]
    given.update(re.findall(r'^        "(\w+)":', listed, re.MULTILINE))
    assert given == TEXT_NAMES


def test_a_project_without_texts_says_nothing_of_another_topic(tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text(
        '[project]\ntitle = "Caffeine"\nquestion = "Does caffeine help?"\nheadline = "caffeine"\n',
        encoding="utf-8",
    )
    text = texts_of(project_paths(tmp_path), RESULTS, load_project(tmp_path))
    assert text("background") == [("", ["Does caffeine help?"])]
    assert text("conclusion")[0][1][0].startswith("Eligible trials exist")
    none = texts_of(project_paths(tmp_path), {}, load_project(tmp_path))
    assert "No " not in " ".join(none("conclusion")[0][1])
    words = " ".join(s for name in TEXTS for _, said in text(name) for s in said).lower()
    assert not any(term.name.lower() in words for term in PROJECT.glossary)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.4, 0.9, "not clear"), (0.2, 0.9, "is smaller later"), (-0.9, -0.2, "is larger later")],
)
def test_whether_an_effect_fades_is_said_from_the_change(
    low: float, high: float, said: str
) -> None:
    found = {"withheld": "", "changes": [{"ci_low": low, "ci_high": high}]}
    assert said in fading({"over_time": found}, {"headline": {"estimate": -0.7}})


@pytest.mark.parametrize(("p_value", "more"), [(0.002, True), (0.3, False)])
def test_more_than_chance_is_said_only_where_the_test_says_so(p_value: float, more: bool) -> None:
    test = {"withheld": "", "observed": 32, "expected": 26.8, "p_value": p_value, "alpha": 0.05}
    result = {"k": 32, "small_study": {"withheld": "", "excess": test}}
    assert excess_of(result) == more
    assert ("not more than chance allows" in excess_words(result)) != more
    untested = {"k": 3, "small_study": {"withheld": "3 trials"}}
    assert not excess_of(untested) and excess_words(untested) == ""


def test_a_harm_that_a_trial_counts_is_not_listed_as_uncounted() -> None:
    def known(k: int) -> tuple[str, ...]:
        counted = {"harm_tachycardia": {"k": k}}
        cards = cards_of(PROJECT, counted, lambda _: [])
        return next(card.known for card in cards if card.kind == "harm")

    assert "a faster heartbeat" in known(0) and "a faster heartbeat" not in known(2)


@pytest.mark.parametrize(
    ("estimate", "better"),
    [(-0.2, 58), (-0.5, 69), (-0.6, 73), (-0.8, 79), (-1.0, 84)],
)
def test_an_effect_is_said_in_people(estimate: float, better: int) -> None:
    # U3 of Cohen (1988), table 2.2.1: 57.9, 69.1, 72.6, 78.8 and 84.1 percent.
    ends = {"ci_low": estimate - 0.1, "ci_high": estimate + 0.1}
    led = {"estimate": estimate, "measure": "SMD", "side": "lower", **ends}
    middle, low, high = map(int, people_passed({"headline": led}))
    assert middle == better and low < better < high
    assert people_passed({"headline": {**led, "side": "unclear"}}) == []
    assert people_passed({"headline": {**led, "measure": "RR"}}) == []


def test_what_was_given_is_named_that_of_most_trials_first() -> None:
    given = ["sage", "mint", "mint", "sage / thyme", "mint"]
    rows = [{"intervention": name} for name in given]
    groups = [{"label": "Herbs", "rows": rows}, {"label": "Trees", "rows": rows[:1]}]
    result: Any = {"title": "Tea", "groups": groups}
    assert given_words(result) == "mint, sage, thyme"
    assert given_words(result, 1) == "mint, and two more"
    assert given_words(result, title="Tea: trees") == "sage"
    assert asked_words("Mint tea", result) == "Mint tea (mint, sage, and one more)"
    assert asked_words("Sage, mint or Thyme", result) == "Sage, mint or Thyme"


def test_an_error_is_reported_in_a_text_to_copy_or_an_issue_where_a_repository_is_stated() -> None:
    about = PROJECT.project.model_copy(update={"repository": "", "contact": "not stated"})
    plain = error_report(
        PROJECT.model_copy(update={"project": about}),
        "Alder 2014",
        "questions/x.html#row-x-1",
        "a1b2",
    )
    assert plain.link == "" and plain.contact == ""
    for words in ("Error in Alder 2014", "questions/x.html#row-x-1", "a1b2"):
        assert words in plain.text
    home = about.model_copy(update={"repository": "https://example.org/tea/base/"})
    found = error_report(
        PROJECT.model_copy(update={"project": home}), "Alder & Birch", "x.html#row", "a1b2"
    )
    address, _, given = found.link.partition("?")
    assert address == "https://example.org/tea/base/issues/new"
    assert parse_qs(given) == {"title": [found.title], "body": [found.body]}
