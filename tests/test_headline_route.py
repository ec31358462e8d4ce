"""A number that leads shows its own way; the usual model is never called the published result."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

import ketameta
from ketameta.analyses import LEADING_RULES
from ketameta.analyses.sentences import over_time_sentences
from ketameta.evidence import load_project
from ketameta.plots.harms import Harm, Harms
from ketameta.plots.scale import Estimate
from ketameta.report import (
    HeadlineCard,
    PooledCard,
    before_and_after,
    methods,
    own_note,
    pdf_data,
    tables_of,
)
from report_pages import committed_context, committed_pages


def views() -> list[Any]:
    return list(committed_context()["views"].values())


def test_the_line_of_python_gives_the_headline_again() -> None:
    seen = set()
    for view in views():
        groups = {group["label"]: group["headline"] for group in view["groups"]}
        for card in view["pooled_cards"]:
            if not isinstance(card, HeadlineCard) or not card.python_line:
                continue
            led = view["headline"] if card.label.startswith("All trials") else groups[card.label]
            route = card.python_line.partition("(")[0]
            if route in seen and "counts" in route:  # a second each
                continue
            seen.add(route)
            fit = eval(card.python_line, {"ketameta": ketameta})
            found = getattr(fit, "mu", fit)
            for name in ("estimate", "ci_low", "ci_high"):
                value = getattr(
                    found, "median" if found is not fit and name == "estimate" else name
                )
                where = (view["name"], card.label, name)
                assert value == pytest.approx(led[name], rel=1e-5, abs=1e-6), where
    assert {"ketameta.bayes_random_effects", "ketameta.bayes_event_counts"} <= seen


def test_the_usual_model_is_named_as_such_wherever_another_leads() -> None:
    for view in views():
        if not view["led_by_another"]:
            continue
        whole = {"All trials", "All trials and pooled reports"}
        usual = [card.label for card in view["pooled_cards"] if isinstance(card, PooledCard)]
        assert not whole & set(usual), view["name"]
        parts = view["engine"]["parts"] if view["engine"] else []
        assert all(part["led"] for part in parts if part["key"] == ""), view["name"]


def test_pooled_results_hold_the_headline_first() -> None:
    context = committed_context()
    rows = list(csv.DictReader(io.StringIO(tables_of(context)["pooled_results.csv"])))
    assert list(rows[0])[:3] == ["analysis", "group", "rule"]
    for row in rows:
        if not row["group"]:
            led = context["results"][row["analysis"]]["headline"]
            assert row["estimate"] == ("" if led["estimate"] is None else str(led["estimate"]))


def part(code: str, method: str = "x") -> dict[str, Any]:
    return {"level": 0.95, "groups": [], "headline": {"rule": {"code": code}, "method": method}}


def test_the_methods_say_the_rules_that_fired_and_no_other() -> None:
    said = " ".join(methods([part("few_trials"), part("few_trials"), part("single_trial")]))
    for code, words in LEADING_RULES.items():
        assert (words.removesuffix(".") in said) == (code in ("few_trials", "single_trial")), code
    assert "(2 results)" in said
    assert "no rating until" not in said


def test_a_figure_is_captioned_with_the_measure_that_leads() -> None:
    for view in views():
        if view["headline"]["method"] and view["headline"]["measure"] == "OR":
            within = view["kind"] == "within_trial"
            name = "Ratio of odds ratios" if within else "Odds ratio"
            assert view["drawn_as"] == name, view["name"]


def test_a_ratio_made_of_an_odds_ratio_says_so() -> None:
    row = Harm("Dizziness", 3, 120.0, 50.0, Estimate(0.5, 0.1, 0.9), None, True, True)
    said = Harms((row,)).describe()
    assert "credible interval" in said
    assert "made of an odds ratio" in said


def test_help_is_one_press_away_and_the_licence_is_the_projects_own() -> None:
    pages = committed_pages()
    front = pages["report.html"]
    assert 'href="#urgent"' in front
    assert 'id="urgent"' in front
    context = committed_context()
    assert context["project"].project.licence in front
    assert (
        "MIT"
        not in Path(ketameta.__file__)
        .with_name("report")
        .joinpath("templates", "base.html.j2")
        .read_text()
    )


def test_a_count_of_people_says_against_what_and_by_when() -> None:
    for card in committed_context()["cards"]:
        assert bool(card.icons) == bool(card.setting)
        if card.icons:
            assert card.setting.startswith("Control: placebo")
            assert "In at least some trials both groups also got: " in card.setting
            assert "Counted for up to 28 days." in card.setting


def test_people_of_a_hundred_and_of_a_thousand_have_their_interval() -> None:
    context, pages = committed_context(), committed_pages()
    counted = [item for card in context["cards"] for item in card.icons]
    assert counted
    for item in counted:
        found = context["results"][item.href]["headline"]["absolute"]
        low, high = (found[name] / 10 for name in ("treated_low", "treated_high"))
        assert item.span == f"{low:.0f} to {high:.0f}"
        assert f"treated ({item.span})" in pages["report.html"]
    said = [
        tuple(map(int, found))
        for found in re.findall(
            r"Of a thousand people, about (\d+) \((\d+) to (\d+)\) ",
            pages["questions/common_harms.html"],
        )
    ]
    assert len(said) == 5 and all(low < middle < high for middle, low, high in said)


def test_a_prediction_interval_stands_with_its_sides_in_the_clinicians_table() -> None:
    context = committed_context()
    seen = 0
    for row in context["clinicians"].rows:
        led = context["results"][row[0].href]["headline"]
        assert ("prediction interval" in row[2].small) == (led["pi_low"] is not None)
        if led["measure"] == "MD" and led["pi_low"] is not None:
            low, high = led["pi_low"], led["pi_high"]
            ends = (
                (f"{-low:.2f} lower", f"{high:.2f} higher")
                if high >= 0
                else (f"{-high:.2f}", f"{-low:.2f} lower")
            )
            assert row[2].small.endswith(f"prediction interval {' to '.join(ends)}")
            seen += 1
    assert seen


def test_a_change_over_time_has_its_unit_and_its_side() -> None:
    result = committed_context()["results"]["ketamine_depression_over_time"]
    joint, within = over_time_sentences(result)
    assert " points of the MADRS (interval " in joint and " points of the MADRS (" in within
    assert joint.endswith("; above 0: a smaller effect later).")


def test_the_related_trials_of_the_card_are_those_of_the_map() -> None:
    card = next(card for card in committed_context()["cards"] if card.kind == "benefit")
    said = " ".join(card.sentences)
    assert "of them had numbers we could add up" in said
    assert "low mood" not in said


def headline(name: str, before: tuple[float, float], after: tuple[float, float]) -> Any:
    """Return a result of which the usual model and the headline have these intervals."""
    low, high = after
    side = "unclear" if low < 0 < high else "higher"
    led = {
        **{"measure": "OR", "effect": "odds ratio", "estimate": sum(after) / 2, "ci_low": low},
        **{"ci_high": high, "level": 0.95, "interval": "credible", "k": 3, "side": side},
        **{"method": "Bayes", "rule": {"code": "few_trials_sparse", "sentence": ""}},
    }
    pooled = {"estimate": sum(before) / 2, "ci_low": before[0], "ci_high": before[1]}
    result = {"name": name, "title": name, "k": 3, "measure": "RR", "kind": "pooled"}
    return {**result, "headline": led, "pooled": pooled, "groups": [], "sentences": []}


def test_every_headline_stands_before_and_after_the_rules(tmp_path: Path) -> None:
    results = {
        "yawning": headline("yawning", (-1.0, 3.0), (0.5, 2.5)),
        "hiccups": headline("hiccups", (0.2, 3.0), (-0.5, 2.5)),
        "itching": headline("itching", (0.1, 3.0), (0.5, 2.5)),
        "sneezing": headline("sneezing", (0.1, 3.0), (0.5, 2.5)),
        "unknown": {**headline("unknown", (0.1, 3.0), (0.5, 2.5)), "k": 0},
    }
    assert before_and_after(results, load_project(tmp_path)) == []
    (tmp_path / "project.toml").write_text(
        '[project]\ntitle = "Tea"\nquestion = "Does it?"\n'
        '[earlier]\nsneezing = ["not pooled", "now pooled"]\n',
        encoding="utf-8",
    )
    rows = before_and_after(results, load_project(tmp_path))
    found = {row["analysis"]: (row["before"], row["change"]) for row in rows}
    assert found["yawning"] == ("risk ratio 2.72 (0.37 to 20.09)", "now excludes no difference")
    assert found["hiccups"][1] == "now includes no difference"
    assert found["itching"][1] == "" and found["sneezing"] == ("not pooled", "now pooled")
    assert rows[0]["after"] == "odds ratio 4.48 (95% credible interval 1.65 to 12.18)"
    assert "unknown" not in found and rows[0]["rule"] == "few_trials_sparse"


def test_the_report_says_that_its_rules_came_after_its_results_and_shows_what_they_changed() -> (
    None
):
    context, pages = committed_context(), committed_pages()
    for name in ("methods", "limitations"):
        assert any("set after the results of this edition" in said for said in context[name]), name
    rows = {(row["analysis"], row["group"]): row for row in context["headlines"]}
    blurred = rows["harm_blurred_vision", ""]
    assert blurred["before"] == "risk ratio 7.18 (0.20 to 262.95)"
    assert "8.04" in blurred["after"] and blurred["change"] == "now excludes no difference"
    assert rows["ketamine_cognition_by_time", ""]["change"] == "no longer pooled"
    shown = {name for name, view in context["views"].items() if view["k"]}
    assert {name for name, _ in rows} == shown
    assert blurred["before"] in pages["methods.html"]
    assert pdf_data(context, "supplement")["headlines"] is not None
    turned = [row for row in rows.values() if row["change"] == "now excludes no difference"]
    of_harms = [row for row in turned if row["analysis"].startswith("harm_")]
    assert len(turned) == 13 and len(of_harms) == 7
    said = " ".join(context["methods"])
    assert len({row["after"] for row in turned}) == 11  # three groups are the same two trials
    assert "eleven intervals" in said and "seven of them for harms" in said
    assert "a claim that they alone support says so" in said
    late = {row["claim"] for row in context["claims"] if "by rules set after" in row["said"]}
    assert "Ketamine causes blurred vision." in late and "Ketamine causes nausea." not in late
    assert pages["report.html"].count("by rules set after the results were known") == len(late)


def test_what_a_note_accepts_is_not_published() -> None:
    pages, files = committed_pages(), tables_of(committed_context())
    assert not [name for name, text in {**pages, **files}.items() if "accept:" in text]
    assert own_note("Printed twice; accept: twice because it is so; see table 2") == (
        "Printed twice; see table 2"
    )
    assert own_note("accept: percent because both are as printed") == ""
