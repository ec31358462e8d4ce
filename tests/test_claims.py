"""The claims ledger: verdicts are computed, and the file cannot hold one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ketameta.analyses.claims import (
    CONTRADICTED,
    NOT_TESTED,
    SUPPORTED,
    UNCERTAIN,
    UNTRACEABLE,
    Claim,
    ledger,
    load_claims,
    verdict,
)
from ketameta.errors import SpecError

ROOT = Path(__file__).parents[1]


def claim(rule="benefit", source="general", analyses=("one",)):
    return Claim("id", "Ketamine helps.", "a page", "", "a trial", source, analyses, (), rule)


def result(k, low=None, high=None):
    pooled = None if k == 0 else {"ci_low": low, "ci_high": high}
    return {"k": k, "pooled": pooled, "title": "A question", "sentences": ["A sentence."]}


@pytest.mark.parametrize(
    ("rule", "found", "expected"),
    [
        ("benefit", result(0), NOT_TESTED),
        ("benefit", result(3, -0.9, -0.1), SUPPORTED),
        ("benefit", result(3, 0.1, 0.9), CONTRADICTED),
        ("benefit", result(3, -0.9, 0.1), UNCERTAIN),
        ("harm", result(3, 0.1, 0.9), SUPPORTED),
        ("harm", result(3, -0.9, -0.1), CONTRADICTED),
        ("benefit", result(1, -0.9, -0.1), UNCERTAIN),
        ("benefit", result(2, None, None), UNCERTAIN),
    ],
)
def test_a_verdict_follows_from_the_interval(rule, found, expected):
    assert verdict(claim(rule), {"one": found}) == expected


def test_analyses_that_disagree_leave_a_claim_uncertain():
    results = {"one": result(3, -0.9, -0.1), "two": result(4, 0.1, 0.9)}
    assert verdict(claim(analyses=("one", "two")), results) == UNCERTAIN


def test_an_untraceable_source_is_said_whatever_the_analyses_show():
    assert verdict(claim(source="untraceable"), {"one": result(3, -0.9, -0.1)}) == UNTRACEABLE


def entry(**changes):
    cells = {
        "id": '"x"',
        "claim": '"Ketamine helps."',
        "made_at": '"a page"',
        "source": '"general"',
        "would_support": '"a trial"',
        "analyses": '["one"]',
        "rule": '"benefit"',
        **changes,
    }
    lines = "\n".join(f"{key} = {value}" for key, value in cells.items() if value)
    return f"[[claim]]\n{lines}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (entry(verdict='"supported"'), "a verdict is computed, never typed"),
        (entry(analyses='["onee"]'), "names 'onee', which does not exist; did you mean one?"),
        (entry(analyses="[]"), "name at least one analysis"),
        (entry(rule='"good"'), "rule is 'good'; choose benefit or harm"),
        (entry(source='"rumour"'), "source is 'rumour'"),
        (entry(would_support=""), "would_support is missing"),
        (entry(clam='"y"'), "no such key 'clam'; did you mean claim?"),
        (entry() + entry(), "this id stands twice"),
        ("[[claim]\n", "cannot be read as TOML"),
    ],
)
def test_what_a_claim_may_not_say(tmp_path, text, said):
    path = tmp_path / "claims.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_claims(path, ["one"])
    assert said in str(caught.value)


def test_every_problem_is_said_at_once(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(entry(rule='"good"', analyses='["none"]', made_at=""), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_claims(path, ["one"])
    assert len(str(caught.value).splitlines()) == 4


def test_a_project_without_claims_has_an_empty_ledger(tmp_path):
    assert load_claims(tmp_path / "claims.toml", []) == []


def test_the_committed_ledger_is_what_the_committed_results_give():
    results = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (ROOT / "reports" / "results").glob("*.json")
    }
    claims = load_claims(ROOT / "data" / "claims.toml", list(results))
    published = json.loads((ROOT / "reports" / "claims.json").read_text(encoding="utf-8"))
    assert ledger(claims, results) == published
    verdicts = {row["id"]: row["verdict"] for row in published}
    assert verdicts["focus_and_attention"] == NOT_TESTED
    assert verdicts["single_infusion_22_adults"] == UNTRACEABLE
