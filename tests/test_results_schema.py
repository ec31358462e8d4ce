"""The published schema is that of the type of a result, which every result has, and it can fail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from helpers import each
from ketameta.analyses import Caveat, check_result, part, results_schema, schema_text
from ketameta.paths import ProjectPaths
from report_pages import committed_result, names_of


@each((name,) for name in names_of())
def test_every_committed_result_has_the_type(name: str) -> None:
    check_result(committed_result(name))


def test_results_of_an_invented_project_have_it_too(built: ProjectPaths) -> None:
    for path in built.results.glob("*.json"):
        check_result(json.loads(path.read_text(encoding="utf-8")))


def test_the_schema_is_published_as_it_is_in_the_code(built: ProjectPaths) -> None:
    text = (built.reports / "results.schema.json").read_text(encoding="utf-8")
    assert text == schema_text()
    assert json.loads(text)["$schema"].endswith("2020-12/schema")


def test_the_schema_names_every_key_of_a_result(built: ProjectPaths) -> None:
    result = json.loads((built.results / "rapid.json").read_text(encoding="utf-8"))
    assert set(result) == set(results_schema()["properties"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.pop("pooled"), "Field required"),
        (lambda r: r.update(k=-1), "greater than or equal to 0"),
        (lambda r: r.update(measure="XYZ"), "should match pattern"),
        (lambda r: r.update(title=None), "valid string"),
        (lambda r: r["pooled"].update(i2=1.5), "less than or equal to 1"),
        (lambda r: r["headline"].pop("rule"), "Field required"),
        (lambda r: r["headline"].update(side="left"), "Input should be 'lower'"),
        (lambda r: r["groups"][0]["rows"][0].update(variance=-0.1), "greater than or equal to 0"),
        (lambda r: r["groups"][0]["rows"][0].update(study_id="Alder 2014"), "match pattern"),
        (lambda r: r["sentences"].append(3), "valid string"),
    ],
)
def test_a_broken_result_is_refused(built: ProjectPaths, change: Any, says: str) -> None:
    broken = json.loads((built.results / "rapid.json").read_text(encoding="utf-8"))
    change(broken)
    with pytest.raises(ValidationError, match=says):
        check_result(broken)


def test_a_part_has_the_keys_of_its_type_and_no_others() -> None:
    assert part(Caveat, {"message": "b", "more": 1}, code="a") == {"code": "a", "message": "b"}
    with pytest.raises(LookupError, match="Caveat without message"):
        part(Caveat, code="a")
    with pytest.raises(LookupError, match="Caveat has no words"):
        part(Caveat, code="a", message="b", words="c")
