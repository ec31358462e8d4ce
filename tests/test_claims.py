"""The claims ledger: verdicts are computed, and the file cannot hold one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers import problem_lines
from ketameta.analyses import (
    CONTRADICTED,
    COUNTED_ELSEWHERE,
    KNOWN_ELSEWHERE,
    NONE_REGISTERED,
    NOT_TESTED,
    RULES,
    SUPPORTED,
    UNCERTAIN,
    UNTRACEABLE,
    Claim,
    RegisteredTrials,
    fact_words,
    ledger,
    read_claims,
    side_of,
    summary_of_findings,
    verdict,
)
from ketameta.errors import SpecError
from ketameta.evidence import Row, load_tables
from ketameta.paths import project_paths
from report_pages import committed_build, committed_results

ROOT = Path(__file__).parents[1]


def claim(rule="benefit", source="general", analyses=("one",)):
    return Claim(
        id="id", claim="Ketamine helps.", made_at="a page", would_support="a trial",
        source=source, analyses=analyses, rule=rule,
    )  # fmt: skip


def result(k, low=None, high=None, otherwise=()):
    return {
        "k": k,
        "headline": {"side": side_of(low, high)},
        "title": "A question",
        "sentences": ["A sentence."],
        "excluded": [{"study_id": name, "code": "design", "design": name} for name in otherwise],
    }


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
        ("difference", result(0), NOT_TESTED),
        ("difference", result(2, 0.1, 0.9), SUPPORTED),
        ("difference", result(2, -0.9, -0.1), SUPPORTED),
        ("difference", result(2, -0.9, 0.1), UNCERTAIN),
        ("difference", result(1, -0.9, -0.1), UNCERTAIN),
    ],
)
def test_a_verdict_follows_from_the_interval(rule, found, expected):
    assert verdict(claim(rule), {"one": found}) == expected


def fact(**cells):
    told = {"harm": "misuse", "design": "survey", "setting": "recreational", "people": "users"}
    texts = {**told, **cells}
    numbers = {key: float(texts[key]) for key in ("n", "events", "percent", "mean") if key in texts}
    return Row("harm_facts", "data/harm_facts.csv", 2, texts, numbers)


def test_a_harm_that_no_trial_counts_may_be_known_from_elsewhere():
    named = claim("harm").model_copy(update={"facts": ("misuse",)})
    results = {"one": result(0)}
    assert verdict(named, results) == NOT_TESTED
    assert verdict(named, results, (), [fact(harm="other")]) == NOT_TESTED
    assert verdict(named, results, (), [fact()]) == KNOWN_ELSEWHERE
    other = {"one": result(0, otherwise=["withdrawal_rct"])}
    assert verdict(named, other, (), [fact()]) == COUNTED_ELSEWHERE
    # A report that pools trials is no trial of another comparison.
    assert verdict(named, {"one": result(0, otherwise=["pooled_rcts"])}) == NOT_TESTED
    # A trial that can be counted decides, whatever is known elsewhere.
    assert verdict(named, {"one": result(3, 0.1, 0.9)}, (), [fact()]) == SUPPORTED


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"events": "9", "n": "152"}, "Misuse: 9 of 152 (survey, recreational use; users)."),
        ({"events": "9", "n": "90", "percent": "10.0"}, "Misuse: 9 of 90 (10.0%) (survey,"),
        ({"percent": "17", "n": "1285", "period": "last year"}, "17% of 1285 (survey"),
        ({"mean": "5.25", "sd": "4.43"}, "Misuse: mean 5.25 (survey"),
        ({"statement": "none reported"}, "Misuse: none reported (survey"),
    ],
)
def test_a_fact_about_harm_is_told_with_what_it_is_of(cells, words):
    assert words in fact_words(fact(**cells))


def test_analyses_that_disagree_leave_a_claim_uncertain():
    results = {"one": result(3, -0.9, -0.1), "two": result(4, 0.1, 0.9)}
    assert verdict(claim(analyses=("one", "two")), results) == UNCERTAIN


def test_an_untraceable_source_is_said_whatever_the_analyses_show():
    assert verdict(claim(source="untraceable"), {"one": result(3, -0.9, -0.1)}) == UNTRACEABLE


def registered(status, intervention="ketamine, intranasal", condition="ADHD; adults"):
    return {
        "registry_id": "NCT00000000",
        "title": "A trial",
        "intervention": intervention,
        "condition": condition,
        "status": status,
    }


UNDER_WAY_CLAIM = Claim(
    id="id", claim="Trials are under way.", made_at="a page", source="general",
    would_support="a registered trial", rule="registered",
    registered=RegisteredTrials(intervention=("ketamine", "esketamine"), condition="ADHD"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ([], NONE_REGISTERED),
        ([registered("recruiting")], SUPPORTED),
        ([registered("not_yet_recruiting"), registered("withdrawn")], SUPPORTED),
        ([registered("withdrawn"), registered("completed")], CONTRADICTED),
        ([registered("withdrawn"), registered("unknown")], UNCERTAIN),
        ([registered("recruiting", intervention="memantine v placebo")], NONE_REGISTERED),
        ([registered("recruiting", intervention="norketamine")], NONE_REGISTERED),
        ([registered("recruiting", condition="bipolar; not selected for ADHD")], NONE_REGISTERED),
        ([registered("recruiting", "Esketamine v placebo", "adhd, combined type")], SUPPORTED),
    ],
)
def test_the_registry_decides_whether_trials_are_under_way(registry, expected):
    assert verdict(UNDER_WAY_CLAIM, {}, registry) == expected
    (row,) = ledger([UNDER_WAY_CLAIM], {}, registry)
    assert row["registered"]["looked_at"] == len(registry)
    assert (len(row["registered"]["found"]) > 0) == (expected != NONE_REGISTERED)


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


def registry_entry(**changes):
    table = '{intervention = ["ketamine"], condition = "ADHD"}'
    return entry(**{"rule": '"registered"', "analyses": "[]", "registered": table, **changes})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (entry(verdict='"supported"'), "a verdict is computed, never typed"),
        (entry(analyses='["onee"]'), "'onee' is not known; did you mean one?"),
        (entry(analyses="[]"), "name at least one analysis"),
        (entry(rule='"good"'), "rule is 'good'; choose one of benefit, harm, difference, regis"),
        (entry(rule='"registred"'), "did you mean registered?"),
        (entry(made_at="3"), "made_at: a text is needed"),
        (entry(analyses='"one"'), "analyses: a list of texts is needed"),
        ("[[clam]]\n", "[clam] is not known here; write [[claim]]"),
        (registry_entry(registered=""), "the rule 'registered' needs a table; write one such as"),
        (registry_entry(analyses='["one"]'), "the registry decides a claim"),
        (entry(registered='{condition = "ADHD"}'), "belongs to a claim with rule = 'registered'"),
        (
            registry_entry(registered='{intervention = ["ketamin"], condition = "ADHD"}'),
            "'ketamin' is not known; did you mean ketamine?",
        ),
        (
            registry_entry(registered='{intervention = ["ketamine"], condition = "AHDH"}'),
            "no registry entry is about 'AHDH'; did you mean ADHD?",
        ),
        (
            registry_entry(registered='{interventions = ["ketamine"], condition = "ADHD"}'),
            "registered.interventions: no such key; did you mean intervention?",
        ),
        (registry_entry(registered='{condition = "ADHD"}'), "name at least one word"),
        (
            registry_entry(registered='{intervention = ["ketamine"]}'),
            "registered.condition: a text is needed",
        ),
        (entry(source='"rumour"'), "source is 'rumour'"),
        (entry(would_support=""), "would_support: a text is needed"),
        (entry(clam='"y"'), "clam: no such key; did you mean claim?"),
        (entry() + entry(), "two claims have the id 'x'"),
        ("[[claim]\n", "the file is not valid TOML"),
    ],
)
def test_what_a_claim_may_not_say(tmp_path, text, said):
    path = tmp_path / "claims.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_claims(
            path, intervention=["ketamine", "memantine"], condition=["ADHD; adults", "autism"]
        )
    assert said in "\n".join(problem_lines(caught.value))


def load_claims(path: Path, **words: list[str]) -> list[Claim]:
    """Return the claims of a file about one analysis; raise with everything wrong."""
    claims, findings = read_claims(path, {"analyses": ["one"], "indirect": ["one"], **words})
    if findings:
        raise SpecError("", findings)
    return claims


def test_a_claim_about_registered_trials_is_read(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(registry_entry(), encoding="utf-8")
    (claim,) = load_claims(path, intervention=["ketamine"], condition=["ADHD; adults"])
    assert claim.registered == RegisteredTrials(intervention=("ketamine",), condition="ADHD")


def test_every_problem_is_said_at_once(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(entry(rule='"good"', analyses='["none"]', made_at=""), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_claims(path)
    assert [item.line for item in caught.value.findings] == [1, 6, 7]


def test_a_project_without_claims_has_an_empty_ledger(tmp_path):
    assert load_claims(tmp_path / "claims.toml") == []


def committed():
    results = {result["name"]: result for result in committed_results()}
    with (ROOT / "data" / "registry.csv").open(encoding="utf-8", newline="") as stream:
        registry = list(csv.DictReader(stream))
    claims, _ = read_claims(ROOT / "data" / "claims.toml", {"analyses": list(results)})
    lists, _ = load_tables(project_paths(ROOT), only=())
    return claims, results, registry, lists.rows("harm_facts")


def test_the_published_ledger_is_what_the_results_give():
    published = json.loads((committed_build().reports / "claims.json").read_text(encoding="utf-8"))
    assert ledger(*committed()) == published


def test_a_verdict_says_what_the_deciding_trials_gave_and_to_whom():
    rows = [{"intervention": "sage"}, {"intervention": "mint"}, {"intervention": "mint"}]
    led = {"side": "higher", "population": "sleepy people", "sources": "3 trials"}
    counted = {**result(3), "name": "one", "directness": "indirect", "headline": led}
    counted |= {"groups": [{"label": None, "rows": rows}], "certainty": None}
    empty = {**counted, "name": "two", "k": 0}
    found = {"one": counted, "two": empty}
    for names, said in (
        (["one", "two"], "supported (mint, sage, in sleepy people)"),
        (["two"], NOT_TESTED),
    ):
        (row,) = ledger([claim("harm", analyses=names)], found)
        assert row["said"] == said and said.startswith(row["verdict"])


def test_no_claim_is_decided_by_questions_without_a_trial():
    claims, results, registry, facts = committed()
    for row, stated in zip(ledger(claims, results, registry, facts), claims, strict=True):
        if stated.source == "untraceable":
            assert row["verdict"] == UNTRACEABLE, stated.id
        elif stated.rule != "registered" and not any(results[n]["k"] for n in stated.analyses):
            deciding = [results[name] for name in stated.analyses]
            codes = {item["code"] for found in deciding for item in found["excluded"]}
            other = codes & {"design", "comparator", "comparator_class"}
            expected = KNOWN_ELSEWHERE if stated.facts else NOT_TESTED
            assert row["verdict"] == (COUNTED_ELSEWHERE if other else expected), stated.id


#: What the public article claims, and the row of the ledger that answers it.
ARTICLE = {
    "focus and attention": "focus_and_attention",
    "NMDA-receptor modulation": "nmda_modulation",
    "rapid relief": "rapid_relief",
    "lasting effects": "lasting_effect",
    "treatment-resistant ADHD": "treatment_resistant_adhd",
    "subtype-specific benefit": "subtype_specific",
    "nausea": "causes_nausea",
    "dizziness": "causes_dizziness",
    "confusion": "causes_confusion",
    "disorientation": "causes_disorientation",
    "blurred vision": "causes_blurred_vision",
    "watch the heart rate": "raises_heart_rate",
    "watch the blood pressure": "raises_blood_pressure",
    "misuse": "misuse",
    "comparison with traditional medicines": "alternative_to_usual_medicines",
    "ongoing trials": "trials_under_way",
}


def test_every_claim_of_the_article_is_a_row():
    claims, *_ = committed()
    rows = {claim.id: claim for claim in claims}
    assert set(ARTICLE.values()) <= set(rows)
    assert {claim.rule for claim in claims} == set(RULES)


def test_the_numbers_beside_a_claim_are_those_of_the_summary_of_findings():
    claims, results, registry, facts = committed()
    table = summary_of_findings(list(results.values()))
    shown = 0
    for row in ledger(claims, results, registry, facts):
        for item in [*row["analyses"], *row["indirect"]]:
            lines = [line for line in table if line["analysis"] == item["name"]]
            assert [(f["k"], f["people"], f["effect"]) for f in item["found"]] == [
                (line["k"], line["people"], line["effect"]) for line in lines
            ]
            assert item["found"] or str(item["k"]) in item["sentence"]
            assert item["k"] == results[item["name"]]["k"]
            shown += len(lines)
    assert shown > len(claims)


def test_pooled_reports_and_secondary_sources_are_counted_as_what_they_are():
    from ketameta.analyses.policy import _who

    spec = SimpleNamespace(
        project=SimpleNamespace(words_of=str), kind="pooled", model=SimpleNamespace()
    )
    own, copied = {"access": "abstract"}, {"access": "secondary"}
    pool = {"access": "full_text", "design": "pooled_rcts"}
    assert _who(spec, [own, own], 2)["sources"] == "2 trials"
    assert _who(spec, [own, copied], 2)["sources"] == "2 trials (1 through a secondary source)"
    assert _who(spec, [copied, copied], 2)["sources"] == "2 trials (2 through secondary sources)"
    assert _who(spec, [pool, pool], 2)["sources"] == "2 pooled reports of several trials"
    mixed = "1 trial and 1 pooled report of several trials"
    assert _who(spec, [own, pool], 2)["sources"] == mixed
    label = {"access": "label", "source_type": "label"}
    both = _who(spec, [label, label | {"design": "pooled_rcts"}], 2)["sources"]
    assert both == f"{mixed} (read in the product label)"
    assert _who(spec, [own, label], 2)["sources"] == "2 trials (1 read in the product label)"
    before = {"access": "secondary", "design": "single_arm"}
    assert _who(spec, [before], 1)["sources"].startswith("1 trial (not randomised; 1 through")
    assert _who(spec, [own, before], 2)["sources"].startswith("2 trials (1 not randomised; 1 thr")
