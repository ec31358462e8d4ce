"""Two printed analyses of one result coexist; the analysis file says which one enters."""

from __future__ import annotations

from pathlib import Path

import pytest

from batches import check_tables, clean_tables, words
from helpers import (
    ANALYSIS,
    Tables,
    contrast,
    effects_of,
    evidence_of,
    make_project,
    score,
    spec_of,
    study,
    tables_of,
    trials,
)
from ketameta.analyses import select_effects
from ketameta.errors import SpecError
from ketameta.evidence import derive_effects
from ketameta.inputs import read_inputs
from ketameta.paths import project_paths
from ketameta.review import preview_batch, trace_rows
from tolerances import EFFECT_SIZE

PEOPLE = ("intention_to_treat", "per_protocol")


def twice(**prefer: str) -> Tables:
    """Return a trial that prints its scores for everybody and for those who kept to the plan."""
    rows = [
        score(arm, analysis_set=who, n=n, mean=mean, sd="8")
        for who, n, mean in ((PEOPLE[0], "30", "14.2"), (PEOPLE[1], "25", "12.0"))
        for arm in ("ketamine", "placebo")
        for mean in ([mean] if arm == "ketamine" else ["20.1"])
    ]
    return tables_of([row | prefer for row in rows])


def test_both_analyses_yield_an_effect_of_their_own() -> None:
    effects = effects_of(twice()).effects
    differences = effects[effects["measure"] == "MD"].set_index("analysis")["estimate"]
    assert differences["intention_to_treat"] == pytest.approx(-5.9, rel=EFFECT_SIZE)
    assert differences["per_protocol"] == pytest.approx(-8.1, rel=EFFECT_SIZE)
    assert effects["effect_id"].is_unique


@pytest.mark.parametrize("who", PEOPLE)
def test_the_analysis_file_says_which_enters(tmp_path: Path, who: str) -> None:
    spec = spec_of(tmp_path, f'\n[choose]\nanalysis = ["{who}"]\n', ANALYSIS)
    evidence = evidence_of(twice())
    chosen = select_effects(spec, derive_effects(evidence), evidence)
    assert [row["analysis"] for row in chosen.used] == [who]
    assert [row["code"] for row in chosen.excluded] == ["another_analysis"]
    other = next(word for word in PEOPLE if word != who).replace("_", " ")
    assert chosen.excluded[0]["reason"].startswith(f"the same result as {other}")


def test_without_a_preference_the_analysis_asks(tmp_path: Path) -> None:
    evidence = evidence_of(twice())
    with pytest.raises(SpecError, match=r"alder_2014 .*intention_to_treat and per_protocol"):
        select_effects(spec_of(tmp_path, "", ANALYSIS), derive_effects(evidence), evidence)


def test_check_asks_before_the_report_does(tmp_path: Path) -> None:
    tables = trials(2)
    for row in list(tables["outcomes"]):
        if row["study_id"] == "alder_2014":
            row["analysis_set"] = PEOPLE[0]
            tables["outcomes"].append(row | {"analysis_set": PEOPLE[1], "mean": "11.5"})
    found = read_inputs(make_project(tmp_path, tables)).report.errors
    assert [(item.check, item.file) for item in found] == [("analysis", "analyses/demo.toml")]
    batch = read_inputs(project_paths(tmp_path), ["demo"]).report
    assert [item.check for item in batch.errors] == ["analysis"], "the rows of the batch ask it"
    preview = preview_batch(project_paths(tmp_path), "demo")
    (question,) = preview.questions
    asked = [
        item for item in preview.effects if any("asks which" in said for said in item["analyses"])
    ]
    assert len(asked) == 2, "both analyses of the trial, in the measure that is asked for"
    assert "nothing says which one is meant" in question
    traced = trace_rows(project_paths(tmp_path), evidence_of(tables), "alder_2014")
    assert {trace.fate for trace in traced} == {"set aside"}


@pytest.mark.parametrize(
    ("one", "two", "clash"),
    [
        ({"analysis_set": PEOPLE[0]}, {"analysis_set": PEOPLE[1]}, False),
        ({"sd_origin": "raw"}, {"sd_origin": "imputed"}, False),
        ({"sd_origin": "raw"}, {"sd_origin": "not_reported"}, True),
        ({"analysis_set": PEOPLE[0]}, {"sd_origin": "model"}, True),
        ({}, {}, True),
    ],
)
def test_two_rows_stand_only_where_both_say_what_they_are(
    tmp_path: Path, one: dict[str, str], two: dict[str, str], clash: bool
) -> None:
    tables = clean_tables()
    first = tables["outcomes"][0]
    tables["outcomes"][0] = first | one
    tables["outcomes"].append(first | two | {"mean": "12.9", "sd": "6.6"})
    assert ("duplicate_key" in words(check_tables(tmp_path, tables))) == clash


def test_an_arm_without_its_like_is_named() -> None:
    tables = twice()
    del tables["outcomes"][-1]
    unused = effects_of(tables).unused
    assert unused["code"].tolist() == ["other_analysis"]


def test_crude_and_adjusted_comparisons_stand_side_by_side() -> None:
    rows = [
        contrast(sd_origin="crude", estimate="-3.1"),
        contrast(sd_origin="adjusted", estimate="-2.4", ci_low="-5.1", ci_high="0.3"),
    ]
    effects = effects_of(tables_of([], rows)).effects
    found = effects[effects["measure"] == "MD"].set_index("analysis")
    assert found.loc["crude", "estimate"] == -3.1
    assert found.loc["adjusted", "estimate"] == -2.4
    assert "model_based" in found.loc["adjusted", "route"]
    assert "model_based" not in found.loc["crude", "route"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("IRR", "rate ratios"),
        ("median_difference", "medians"),
        ("percent_change", "percent changes"),
        ("interaction", "test of interaction"),
    ],
)
def test_what_no_analysis_pools_is_kept_with_its_reason(kind: str, reason: str) -> None:
    row = contrast(effect_type=kind, estimate="1.4", ci_low="1.1", ci_high="1.9")
    unused = effects_of(tables_of([], [row])).unused
    assert reason in unused["reason"].iloc[0]


def test_a_printed_z_gives_what_the_same_t_gives() -> None:
    shared = {"effect_type": "test", "favours": "treatment", "n_treatment": "30", "n_control": "30",
              "estimate": "", "ci_low": "", "ci_high": "", "p": ""}  # fmt: skip
    one, two = (
        effects_of(tables_of([], [contrast(**shared, **{name: "2.5"})])).effects
        for name in ("t", "z")
    )
    assert one["estimate"].tolist() == two["estimate"].tolist()


def test_people_of_a_cluster_trial_count_by_the_design_effect() -> None:
    # Cochrane Handbook, section 23.1.4: 1 + (M - 1) ICC, here 1 + (21 - 1) 0.05 = 2.
    rows = [score(), score("placebo", mean="16.0")]
    designed = study(design="cluster_rct", cluster_size="21", icc="0.05")
    effects = effects_of(tables_of(rows, studies=[designed])).effects
    plain = effects_of(tables_of(rows)).effects
    assert effects["n_treatment"].iloc[0] == plain["n_treatment"].iloc[0] / 2
    silent = effects_of(tables_of(rows, studies=[study(design="cluster_rct")]))
    assert silent.effects.empty
    assert set(silent.unused["code"]) == {"cluster_not_adjusted"}


def test_the_new_columns_may_be_left_out(tmp_path: Path) -> None:
    assert check_tables(tmp_path, clean_tables()).findings == ()
