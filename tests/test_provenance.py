"""From every row back to its cells: the arithmetic on the page ends at the published effect."""

from __future__ import annotations

import math

import pytest

from ketameta.evidence import Assumptions
from ketameta.report import (
    PooledCard,
    Step,
    link_of,
    number,
    pooled_card,
    r_line,
    trial_of,
    worked_counts,
    worked_scores,
)
from report_pages import committed_context, committed_provenance, committed_result, names_of
from tolerances import WORKED, WORKED_PUBLISHED

TRACED = names_of("pooled", "within_trial", "dose_response")


def near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=WORKED_PUBLISHED, abs_tol=WORKED_PUBLISHED)


def test_every_effect_of_the_table_is_reached_by_the_arithmetic_shown() -> None:
    known = committed_provenance().effects_under(Assumptions())
    assert len(known) > 1000
    for name, effect in known.items():
        _, worked = committed_provenance().worked(effect)
        assert worked is not None, name
        assert math.isclose(worked.estimate, effect["estimate"], rel_tol=WORKED, abs_tol=WORKED)
        assert math.isclose(worked.variance, effect["variance"], rel_tol=WORKED, abs_tol=WORKED)


@pytest.mark.parametrize("name", TRACED)
def test_each_row_of_a_forest_plot_follows_from_its_card(name: str) -> None:
    result = committed_result(name)
    rows = [row for group in result["groups"] for row in group["rows"]]
    cards = committed_context()["views"][name]["cards"]
    for row, card in zip(rows, cards, strict=True):
        if card.join:
            estimate, variance = card.join[-2].value, card.join[-1].value
        else:
            ((effect),) = (found.effect for found in card.effects)
            estimate, variance = effect["estimate"], effect["variance"]
        assert near(estimate, row["estimate"])
        assert near(variance, row["variance"])
        ends = {step.symbol: step.value for step in card.interval}
        for end, key in (("low", "ci_low"), ("high", "ci_high")):
            assert near(ends[end], row[key])
            if result["is_ratio"]:
                assert near(ends[f"ratio {end}"], math.exp(row[key]))
        arms = [arm for found in card.effects for arm in found.arms]
        assert {f"{arm.row.file}:{arm.row.line}" for arm in arms} == set(row["source"])
        assert all(arm.cells and arm.row["locator"] for arm in arms)


NETWORKS = names_of("network")


@pytest.mark.parametrize("name", NETWORKS)
def test_each_contrast_of_a_network_follows_from_its_card(name: str) -> None:
    result = committed_result(name)
    contrasts = result["network"]["contrasts"]
    cards = committed_context()["views"][name]["cards"]
    assert len(cards) == len(contrasts) >= result["k"]
    for contrast, card in zip(contrasts, cards, strict=True):
        effects = [found.effect for found in card.effects]
        if card.join:
            estimate, variance = card.join[-2].value, card.join[-1].value
        else:
            (effect,) = effects
            estimate, variance = effect["estimate"], effect["variance"]
        assert near(estimate, contrast["estimate"])
        assert near(variance, contrast["variance"])
        assert set(contrast["effect_ids"]) <= {effect["effect_id"] for effect in effects}
        assert all(arm.cells for found in card.effects for arm in found.arms)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_estimate_of_a_network_follows_from_its_card(name: str) -> None:
    result = committed_result(name)
    effects = {item["treatment"]: item for item in result["network"]["effects"]}
    cards = committed_context()["views"][name]["estimates"]
    assert {card.treatment for card in cards} == set(effects)
    for card in cards:
        shared = zip(card.shares, result["network"]["contrasts"], strict=True)
        values = {step.symbol: step.value for step in card.steps}
        published = effects[card.treatment]
        for symbol, name in (("y", "estimate"), ("SE", "se"), ("low", "ci_low"),
                             ("high", "ci_high")):  # fmt: skip
            assert near(values[symbol], published[name])
        assert math.isclose(
            math.fsum(h * one["estimate"] for h, one in shared),
            values["y"],
            rel_tol=WORKED_PUBLISHED,
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_the_lines_of_r_hold_the_whole_network_as_published(name: str) -> None:
    result = committed_result(name)
    code = committed_context()["views"][name]["r_code"]
    for contrast in result["network"]["contrasts"]:
        for name in ("estimate", "variance"):
            assert repr(contrast[name]) in code
        assert f'"{contrast["study"]}"' in code
    shared = sum(
        one["study"] == two["study"] and one is not two
        for one in result["network"]["contrasts"] for two in result["network"]["contrasts"]
    )  # fmt: skip
    assert code.count("V[") == shared
    assert f'method="{result["network"]["tau2_method"]}"' in code


def test_curves_and_means_over_time_show_their_lines_of_r() -> None:
    found = {
        item["name"]: item["r_blocks"]
        for item in committed_context()["views"].values()
        if item["tables"]["doses"] or item["tables"]["over_time"]
    }  # fmt: skip
    assert found
    for name, blocks in found.items():
        result = committed_context()["results"][name]
        points = (result["dose_response"] or {}).get("points") or [
            row for group in result["groups"] for row in group["rows"]
        ]
        assert blocks and all("rma.mv" in block.code for block in blocks)
        for point in points:
            assert repr(point["estimate"]) in blocks[0].code


@pytest.mark.parametrize("name", TRACED)
def test_each_pooled_number_follows_from_its_card(name: str) -> None:
    result = committed_result(name)
    pairs = [
        ([trial_of(row) for row in group["rows"]], group["pooled"]) for group in result["groups"]
    ]
    pairs.append((committed_provenance().trials(result), result["pooled"]))
    for rows, pooled in pairs:
        if pooled is None:
            continue
        card = pooled_card("All", rows, pooled, result)
        values = {step.symbol: step.value for step in card.steps}
        if result["is_ratio"]:
            assert near(values["ratio"], math.exp(pooled["estimate"]))
        assert near(values["y"], pooled["estimate"])
        assert near(values["low"], pooled["ci_low"])
        assert near(values["high"], pooled["ci_high"])
        if pooled["pi_low"] is not None:
            assert near(values["PI low"], pooled["pi_low"])


def test_a_reader_with_a_calculator_reaches_the_printed_g() -> None:
    # Six-figure intermediate values, combined as the page prints them.
    worked = worked_scores(
        {
            "measure": "SMD",
            "mean_treatment": 12.0, "sd_treatment": 8.0, "n_treatment": 20.0,
            "mean_control": 18.0, "sd_control": 7.0, "n_control": 22.0,
        },
        flipped=False,
    )  # fmt: skip
    shown = {step.symbol: step.shown for step in worked.steps}
    assert shown["D"] == "\u22126"
    assert shown["SD"] == "7.49166"
    assert shown["g"] == "\u22120.785763"
    assert shown["V"] == "0.102805"
    printed = float(shown["J"]) * -6 / float(shown["SD"])
    assert abs(printed - worked.estimate) < 2e-6


def test_an_empty_cell_gets_half_an_event_in_every_cell_and_says_so() -> None:
    row = {"measure": "RR", "events_treatment": 0, "n_treatment": 10,
           "events_control": 3, "n_control": 12}  # fmt: skip
    worked = worked_counts(row)
    assert [step.filled for step in worked.steps[:4]] == [
        "0 + 0.5", "10 + 0.5", "3 + 0.5", "9 + 0.5",
    ]  # fmt: skip
    assert math.isclose(worked.estimate, math.log((0.5 / 11) / (3.5 / 13)))


def test_the_line_of_r_names_method_and_test() -> None:
    pooled = {"tau2_method": "DL", "ci_method": "wald", "level": 0.9}
    searched = r_line([0.1], [0.04], {**pooled, "tau2_method": "REML"})
    assert "threshold=1e-12" in searched, "R stops at the fifth decimal otherwise"
    assert r_line([0.1, -0.25], [0.04, 0.09], pooled) == (
        'metafor::rma(yi=c(0.1, -0.25), vi=c(0.04, 0.09), method="DL", test="z", level=90)'
    )


def test_the_line_of_r_is_printed_at_full_precision_on_every_pooled_card() -> None:
    seen = 0
    for name, view in committed_context()["views"].items():
        if view["kind"] == "network":
            continue
        trials = {str(group["label"]): group["rows"] for group in view["groups"]}
        trials = {label: [trial_of(row) for row in rows] for label, rows in trials.items()}
        if view["kind"] != "dose_response":
            whole = committed_provenance().trials(committed_result(name))
            trials |= dict.fromkeys(("All trials", "All trials and pooled reports"), whole)
        for card in view["pooled_cards"]:
            if isinstance(card, PooledCard) and card.table:
                for trial in trials[card.label.partition(", the usual model")[0]]:
                    assert repr(trial.estimate) in card.r_line
                    seen += 1
    assert seen


def test_links_go_to_the_doi_first_and_never_to_a_made_up_place() -> None:
    assert link_of({"doi": "10.1/x", "pmid": "1"}) == ("https://doi.org/10.1/x", "doi:10.1/x")
    assert link_of({"pmid": "12"})[0] == "https://pubmed.ncbi.nlm.nih.gov/12/"
    assert link_of({"source_url": "javascript:alert(1)"})[0] == ""
    assert (
        link_of({"registry_id": "NCT01533493"})[0] == "https://clinicaltrials.gov/study/NCT01533493"
    )
    assert link_of({}) == ("", "")


def test_numbers_of_a_calculation_keep_six_figures_and_no_idle_zeros() -> None:
    assert [number(x) for x in (3.0, -0.25, 1 / 3, 1234567.891)] == [
        "3", "\u22120.25", "0.333333", "1234568",
    ]  # fmt: skip
    assert Step("g", "", "", 0.5).shown == "0.5"
