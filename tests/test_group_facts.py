"""What else differs between groups of people, their definitions, the league table, the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers import ANALYSIS, PROJECT, arm, evidence_of, score, spec_of, study, tables_of
from ketameta.analyses import numbers_of, run_analysis
from ketameta.evidence import Row, derive_effects
from ketameta.report import (
    group_tables,
    league_rows,
    league_table,
    network_table,
    registry_counts,
    same_words,
    slope_words,
)
from report_pages import committed_result

BY_TREATMENT = '\n[model]\nmeasure = "MD"\ngroup_by = "prior_treatment_resistance"\n'
BY_TREATMENT += 'group_order = ["resistant", "not_resistant"]\n'


def trial(study_id: str, level: str, definition: str, **cells: str) -> dict[str, Any]:
    return {
        "studies": [
            study(study_id, prior_treatment_resistance=level, resistance_definition=definition)
        ],
        "arms": [arm(study_id=study_id, **cells), arm("placebo", study_id, control=True)],
        "outcomes": [
            score(study_id=study_id, mean="14"),
            score("placebo", study_id, mean="20"),
        ],
    }


FOUR = (
    trial("alder_2014", "resistant", "two failures", route="intravenous", schedule="once"),
    trial("birch_2016", "resistant", "three failures", route="intravenous", schedule="once"),
    trial("cedar_2017", "not_resistant", "not required", route="intranasal", schedule="weekly"),
    trial("dogwood_2018", "not_resistant", "", route="intravenous", schedule="weekly"),
)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def running(more: str, parts: Any = FOUR) -> dict[str, Any]:
        spec = spec_of(tmp_path, more, ANALYSIS)
        names = ("studies", "arms", "outcomes")
        tables = tables_of(**{name: [r for part in parts for r in part[name]] for name in names})
        evidence = evidence_of(tables)
        return run_analysis(spec, derive_effects(evidence, spec.assume), evidence)

    return running


def test_what_goes_together_with_the_group_is_counted_in_trials(run: Any) -> None:
    resistant, other = run(BY_TREATMENT)["group_facts"]
    assert (resistant["key"], resistant["k"]) == ("resistant", 2)
    assert resistant["route"] == {"intravenous": 2}
    assert other["route"] == {"intranasal": 1, "intravenous": 1}
    assert (resistant["regimen"], other["regimen"]) == ({"once": 2}, {"weekly": 2})
    assert sum(resistant["comparator"].values()) == sum(resistant["blinding"].values()) == 2


def test_definitions_stand_side_by_side_and_are_never_merged(run: Any) -> None:
    _, table = group_tables(run(BY_TREATMENT), PROJECT)
    assert [tuple(row[1:]) for row in table.texts] == [
        ("Treatment-resistant", "two failures"),
        ("Treatment-resistant", "three failures"),
        ("Treatment resistance not required", "not required"),
        ("Treatment resistance not required", "not stated"),
    ]


def test_only_what_differs_has_a_column(run: Any) -> None:
    result = run(BY_TREATMENT)
    table = group_tables(result, PROJECT)[0]
    assert table.header[3:] == ["Route", "Regimen"]
    assert table.texts[1][3:] == ["intranasal 1; intravenous 1", "weekly 2"]
    assert "blinding double blind" in same_words(result)


def test_groups_that_are_no_people_have_no_such_table(run: Any) -> None:
    result = run('\n[model]\nmeasure = "MD"\ngroup_by = "blinding"\n')
    assert result["group_facts"] is None
    assert group_tables(result, PROJECT) == []
    assert run(BY_TREATMENT, ())["group_facts"] is None


def league(order: list[str], pairs: list[tuple[str, str, float]]) -> dict[str, Any]:
    return {
        "name": "net",
        "title": "Net",
        "measure": "SMD",
        "network": {
            "withheld": "",
            "ranking_withheld": "",
            "ranking": [{"treatment": name, "p_score": 0.5} for name in order],
            "league": [
                {
                    **{"treatment": one, "control": two, "estimate": value, "se": 0.1},
                    **{"ci_low": value - 0.2, "ci_high": value + 0.3, "pi_low": None},
                    **{"pi_high": None, "k_direct": int(two == "c")},
                }
                for one, two, value in pairs
            ],
        },
    }


def test_a_league_table_reads_row_against_column() -> None:
    result = league(["a", "b", "c"], [("a", "c", -1.0), ("b", "c", -0.4), ("a", "b", -0.6)])
    table = league_table(result)
    assert table.header == ["Treatment", "a", "b"]
    assert [row[0] for row in table.texts] == ["b", "c"]
    # c against a is a against c with the sign and the ends turned.
    assert table.texts[1][1:] == ["1.00 (0.70 to 1.20)", "0.40 (0.10 to 0.60)"]
    assert [cell.mark for cell in table.rows[1][1:]] == ["some", "some"]
    assert table.texts[0][1:] == ["0.60 (0.30 to 0.80)", ""]
    assert table.rows[0][1].mark == ""
    assert [row[2:5] for row in league_rows(result)] == [
        ["a", "c", -1.0],
        ["b", "c", -0.4],
        ["a", "b", -0.6],
    ]


def test_what_is_not_ranked_is_listed_by_name_and_without_scores() -> None:
    pairs = [("a", "c", -1.0), ("b", "c", -0.4), ("a", "b", -0.6)]
    result = league(["c", "a", "b"], pairs)
    net = result["network"]
    net |= {"reference": "c", "splits": [], "effects": net["league"][:2]}
    net["nodes"] = [{"treatment": name} for name in "cba"]
    ranked = network_table(result, {})
    assert [row[0] for row in ranked.texts] == ["c", "a", "b"]
    assert "P-score" in ranked.header
    net |= {"ranking": [], "ranking_withheld": "one trial each behind b"}
    listed = network_table(result, {})
    assert [row[0] for row in listed.texts] == ["a", "b", "c"]
    assert "P-score" not in listed.header
    assert league_table(result).header == ["Treatment", "a", "b"]


def compared(study_id: str, treatment: str, against: str, mean: str) -> dict[str, Any]:
    """Return one parallel trial of two nodes of a network."""
    other = arm(against, study_id, control=against == "placebo")
    other |= {"intervention": against, "drug_class": "placebo"} if against == "placebo" else {}
    return {
        "studies": [study(study_id)],
        "arms": [arm(treatment, study_id, intervention=treatment), other],
        "outcomes": [score(treatment, study_id, mean=mean), score(against, study_id, mean="20")],
    }


@pytest.mark.parametrize(("k", "ranked"), [(10, True), (9, False)])
def test_a_network_of_fewer_than_ten_trials_is_not_ranked(
    tmp_path: Path, k: int, ranked: bool
) -> None:
    pairs = [("esketamine", "ketamine"), ("esketamine", "placebo"), ("ketamine", "placebo")]
    parts = [
        compared(f"alder_{2000 + at}", *pairs[at % 3], str(12 + at % 3 + at / 10))
        for at in range(k)
    ]
    more = '\n[model]\nmeasure = "MD"\nreference = "placebo"\noverall = false\n'
    text = ANALYSIS.replace("looked_for", 'kind = "network"\nlooked_for')
    text = text.replace('["ketamine"]', '["ketamine", "esketamine"]')
    spec = spec_of(tmp_path, more, text)
    names = ("studies", "arms", "outcomes")
    evidence = evidence_of(
        tables_of(**{name: [row for part in parts for row in part[name]] for name in names})
    )
    net = run_analysis(spec, derive_effects(evidence), evidence)["network"]
    assert net["k"] == k
    assert (net["ranking_withheld"] == "") == ranked
    if ranked:
        assert [item["treatment"] for item in net["ranking"]][-1] == "placebo"
        scores = [item["p_score"] for item in net["ranking"]]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(len(scores) / 2, rel=1e-6)
    else:
        assert net["ranking"] == []
        assert net["ranking_withheld"] == "9 trials, where a ranking needs at least 10"


def test_every_pair_of_the_committed_network_is_in_its_league_table() -> None:
    result = committed_result("adhd_network")
    table = league_table(result)
    nodes = len(result["network"]["nodes"])
    assert sum(cell != "" for row in table.texts for cell in row[1:]) == nodes * (nodes - 1) // 2
    assert len(league_rows(result)) == nodes * (nodes - 1) // 2


def test_no_network_has_no_league_table() -> None:
    assert league_table({"network": None}) is None
    assert league_rows({"network": {"withheld": "nothing connects"}}) == []


def test_registered_trials_are_counted_by_state_with_zeros() -> None:
    def entry(status: str, results: str = "", study_id: str = "") -> Row:
        texts = {"status": status, "results_posted": results, "study_id": study_id}
        return Row("registry", "registry.csv", 2, texts, {})

    counts = dict(
        registry_counts(
            [
                entry("recruiting"),
                entry("completed"),
                entry("completed", "no"),
                entry("completed", "2014-02-21"),
                entry("completed", "", "alder_2014"),
                entry("published"),
                entry("unknown", "2014-02-21"),
            ]
        )
    )
    assert counts == {
        "planned or running": 1,
        "completed, with results": 3,
        "completed without results": 2,
        "withdrawn, stopped or no longer listed": 0,
        "status unknown": 1,
    }


def slope(**changes: Any) -> dict[str, Any]:
    item = {"moderator": "year", "withheld": "", "slope": 0.02, "ci_low": 0.01, "ci_high": 0.03}
    return {"measure": "SMD", "regressions": [{**item, "r2": 0.17, **changes}]}


def test_a_slope_is_told_per_step_that_can_be_read() -> None:
    assert slope_words(slope()) == {
        "year": "10 years later: the standardised mean difference changes by 0.20 (0.10 to 0.30); "
        "it explains 17% of the variance between trials."
    }
    ratio = slope_words({**slope(r2=None), "measure": "RR"})["year"]
    assert ratio == "10 years later: the risk ratio is multiplied by 1.22 (1.11 to 1.35)."
    assert slope_words(slope(withheld="too few")) == {}
    assert all(item.step and item.step_words for item in numbers_of(PROJECT).values())
