"""The published schema describes the published results, and can fail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ketameta.paths import ProjectPaths
from ketameta.report import results_schema, schema_text
from report_pages import committed_result, names_of
from schema_validator import problems

SCHEMA = results_schema()


@pytest.mark.parametrize("name", names_of())
def test_every_committed_result_satisfies_the_schema(name: str) -> None:
    assert list(problems(committed_result(name), SCHEMA, SCHEMA)) == []


def test_results_of_an_invented_project_satisfy_it_too(built: ProjectPaths) -> None:
    for path in built.results.glob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        assert list(problems(result, SCHEMA, SCHEMA)) == []


def test_the_schema_is_published_as_it_is_in_the_code(built: ProjectPaths) -> None:
    text = (built.reports / "results.schema.json").read_text(encoding="utf-8")
    assert text == schema_text()
    assert json.loads(text)["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.pop("pooled"), "pooled: missing"),
        (lambda r: r.update(k=-1), "below 0"),
        (lambda r: r.update(measure="XYZ"), "not one of"),
        (lambda r: r.update(title=None), "is not string"),
        (lambda r: r["pooled"].update(i2=1.5), "above 1"),
        (lambda r: r["pooled"].update(new=1), "not a key"),
        (lambda r: r["groups"][0]["rows"][0].update(variance=-0.1), "below 0"),
        (lambda r: r["groups"][0]["rows"][0].update(study_id="Alder 2014"), "does not match"),
        (lambda r: r["sentences"].append(3), "is not string"),
    ],
)
def test_a_broken_result_is_refused(built: ProjectPaths, change: Any, says: str) -> None:
    broken = json.loads((built.results / "rapid.json").read_text(encoding="utf-8"))
    assert list(problems(broken, SCHEMA, SCHEMA)) == []
    change(broken)
    assert any(says in problem for problem in problems(broken, SCHEMA, SCHEMA))


def test_a_keyword_the_validator_does_not_know_is_no_silent_pass() -> None:
    with pytest.raises(AssertionError, match="keyword not known"):
        list(problems(1, {"multipleOf": 2}, {}))
