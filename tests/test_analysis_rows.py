"""Rows of a model: one per study and group, arms joined, people counted once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from batches import Tables
from helpers import (
    ANALYSIS,
    PROJECT,
    arm,
    contrast,
    evidence_of,
    join_tables,
    score,
    spec_of,
    study,
    tables_of,
    trials,
)
from ketameta.analyses import difference_rows, run_analysis, select_effects, study_rows
from ketameta.evidence import derive_effects
from ketameta.measures import Measure
from tolerances import DIRECT, PUBLISHED


@pytest.fixture
def rows_of(tmp_path: Path) -> Any:
    """Return a function from tables and the rest of an analysis file to its rows."""

    def run(tables: Tables, more: str = "", text: str = ANALYSIS, unit: str = "study_group") -> Any:
        spec = spec_of(tmp_path, more, text)
        evidence = evidence_of(tables)
        table = derive_effects(evidence, spec.assume)
        selected = select_effects(spec, table, evidence)
        return study_rows(selected.used, spec.model.measure, unit, project=PROJECT)

    return run


THREE = [arm(), arm("nasal", intervention="esketamine"), arm("placebo", control=True)]
BOTH_DRUGS = ANALYSIS.replace('["ketamine"]', '["ketamine", "esketamine"]')
INERT = 'comparator_class = ["placebo"]\n'


def test_a_row_holds_the_effect_its_interval_and_where_it_came_from(rows_of: Any) -> None:
    (row,) = rows_of(trials(1))
    assert (row["study_id"], row["label"], row["year"]) == ("alder_2014", "Alder 2014", 2014)
    assert row["se"] == pytest.approx(math.sqrt(row["variance"]), rel=DIRECT)
    quantile = stats.norm.ppf(0.975)
    assert row["ci_low"] == pytest.approx(row["estimate"] - quantile * row["se"], rel=DIRECT)
    assert row["ci_high"] == pytest.approx(row["estimate"] + quantile * row["se"], rel=DIRECT)
    assert row["source"] == [f"data/extracted/demo/outcomes.csv:{line}" for line in (2, 3)]
    assert row["arms"] == ["ketamine v placebo"]
    assert (row["n_treatment"], row["n_control"], row["n_participants"]) == (30, 30, 60)
    assert (row["mean_treatment"], row["sd_control"]) == (12.1, 6.9)
    assert (row["note"], row["assumption"], row["group"]) == ("", "", "")
    assert row["effect_ids"] == ["alder_2014/ketamine-placebo/depression/hamd/28d//endpoint/SMD"]


def test_the_interval_of_a_row_has_the_level_of_its_analysis(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "[model]\nlevel = 0.9\n", ANALYSIS)
    evidence = evidence_of(trials(2))
    result = run_analysis(spec, derive_effects(evidence, spec.assume), evidence)
    rows = result["groups"][0]["rows"]
    reach = stats.norm.ppf(0.95) * rows[0]["se"]
    assert rows[0]["ci_low"] == pytest.approx(rows[0]["estimate"] - reach, rel=PUBLISHED)
    one, two = ({**row, "group": name} for row, name in zip(rows, "ab", strict=True))
    (pair,) = difference_rows([one, {**two, "study_id": one["study_id"]}], "a", "b", level=0.8)
    reach = stats.norm.ppf(0.9) * pair["se"]
    assert pair["ci_high"] == pytest.approx(pair["estimate"] + reach, rel=DIRECT)


def test_rows_come_by_year_then_name(rows_of: Any) -> None:
    tables = trials(4)
    for row, year in zip(tables["studies"], ("2019", "2001", "", "2001"), strict=True):
        row["year"] = year
    assert [row["study_id"] for row in rows_of(tables)] == [
        "birch_2016", "elm_2019", "alder_2014", "cedar_2017",
    ]  # fmt: skip


def test_two_drugs_with_one_control_become_one_effect(rows_of: Any) -> None:
    scores = [score(mean="12", n="20"), score("nasal", mean="13", n="24"),
              score("placebo", mean="16", n="22")]  # fmt: skip
    tables = tables_of(scores, arms=THREE)
    (row,) = rows_of(tables, INERT, BOTH_DRUGS)
    alone = [
        rows_of(tables, INERT, ANALYSIS.replace('["ketamine"]', f'["{drug}"]'))[0]
        for drug in ("ketamine", "esketamine")
    ]
    assert len(row["effect_ids"]) == 2
    assert row["note"] == "2 comparisons that share an arm, joined with their covariance"
    assert row["intervention"] == "ketamine / esketamine"
    assert (row["n_treatment"], row["n_control"], row["n_participants"]) == (44, 22, 66)
    assert row["mean_treatment"] is None, "two arms have no single mean"
    low, high = sorted(one["estimate"] for one in alone)
    assert low < row["estimate"] < high
    independent = 1 / sum(1 / one["variance"] for one in alone)
    assert independent < row["variance"] < min(one["variance"] for one in alone)


def test_an_unknown_arm_size_leaves_the_total_open(rows_of: Any) -> None:
    printed = contrast(outcome="depression", instrument="hamd")
    (row,) = rows_of(tables_of(contrasts=[printed]), '[model]\nmeasure = "MD"\n')
    assert row["n_treatment"] is None and row["n_participants"] is None
    assert row["mean_treatment"] is None
    assert row["estimate"] == -3.1


def test_the_people_of_a_crossover_are_counted_once(rows_of: Any) -> None:
    crossed = [study(design="crossover_rct")]
    half = "[assume]\ncorrelation = 0.5\n"
    one = tables_of([score(n="18"), score("placebo", n="17")], studies=crossed)
    (row,) = rows_of(one, half)
    assert row["n_participants"] == 18
    assert row["assumption"] == "correlation=0.5"
    two = tables_of([score(name, n="18") for name in ("ketamine", "nasal", "placebo")],
                    arms=THREE, studies=crossed)  # fmt: skip
    (row,) = rows_of(two, INERT + half, BOTH_DRUGS)
    assert (row["n_treatment"], row["n_control"], row["n_participants"]) == (18, 18, 18)


def test_arms_without_a_control_are_different_people(rows_of: Any) -> None:
    cells = {"n": "14", "baseline_mean": "20", "baseline_sd": "5"}
    tables = tables_of(
        [score("ketamine", **cells), score("nasal", **cells)],
        arms=[arm(), arm("nasal", intervention="esketamine")],
        studies=[study(design="single_arm")],
    )
    more = '[model]\nmeasure = "SMCR"\n[assume]\ncorrelation = 0.5\n'
    (row,) = rows_of(tables, more, BOTH_DRUGS)
    (alone,) = rows_of(tables, more)
    assert row["n_participants"] == 28
    assert row["variance"] == pytest.approx(alone["variance"] / 2, rel=1e-9)


def test_effects_at_several_times_add_no_precision(rows_of: Any) -> None:
    scores = [
        score(name, time_days=day, mean=mean)
        for day in ("1", "28")
        for name, mean in (("ketamine", "12"), ("placebo", "16"))
    ]
    more = '[model]\ngroup_by = "time_class"\n'
    apart = rows_of(tables_of(scores), more)
    (together,) = rows_of(tables_of(scores), more, unit="study_id")
    assert [row["group"] for row in apart] == ["24_hours", "days_22_to_35"]
    assert together["variance"] == pytest.approx(apart[0]["variance"], rel=1e-9)
    assert together["estimate"] == pytest.approx(apart[0]["estimate"], rel=1e-9)
    assert together["n_participants"] == apart[0]["n_participants"]


def test_subgroups_of_one_trial_are_different_people(rows_of: Any) -> None:
    scores = [
        score(name, subgroup=f"sex={sex}", mean=mean)
        for sex in ("female", "male")
        for name, mean in (("ketamine", "12"), ("placebo", "16"))
    ]
    more = 'within = true\nsubgroup_keys = ["sex", "age_group"]\n'
    # Sex is no moderator: one subgroup stands for the trial, and nobody is added silently.
    (row,) = rows_of(tables_of(scores), more)
    assert row["n_participants"] == 60
    kinds = [
        score(name, subgroup=f"adhd_subtype={kind}", mean=mean)
        for kind in ("inattentive", "combined")
        for name, mean in (("ketamine", "12"), ("placebo", "16"))
    ]
    more = 'within = true\nsubgroup_keys = ["adhd_subtype"]\n[model]\ngroup_by = "adhd_subtype"\n'
    apart = rows_of(tables_of(kinds), more)
    (together,) = rows_of(tables_of(kinds), more, unit="study_id")
    assert len(apart) == 2
    assert together["n_participants"] == 120
    assert together["variance"] == pytest.approx(apart[0]["variance"] / 2, rel=1e-9)


# --- differences within trials --------------------------------------------------------------------


def test_the_difference_of_two_groups_is_taken_within_each_trial(rows_of: Any) -> None:
    def trial(name: str, kinds: tuple[str, ...]) -> Tables:
        return {
            "studies": [study(name, year=name[-4:])],
            "arms": [arm(study_id=name), arm("placebo", name, control=True)],
            "outcomes": [
                score(a, name, subgroup=f"adhd_subtype={kind}", mean=mean)
                for kind, treated in zip(kinds, ("10", "13"), strict=False)
                for a, mean in (("ketamine", treated), ("placebo", "16"))
            ],
        }

    tables = join_tables(
        trial("alder_2014", ("inattentive", "combined")), trial("birch_2016", ("inattentive",))
    )
    more = 'within = true\nsubgroup_keys = ["adhd_subtype"]\n[model]\ngroup_by = "adhd_subtype"\n'
    rows = rows_of(tables, more)
    (found,) = difference_rows(rows, "inattentive", "combined")
    (back,) = difference_rows(rows, "combined", "inattentive")
    groups = {row["group"]: row for row in rows if row["study_id"] == "alder_2014"}
    one, two = groups["inattentive"], groups["combined"]
    assert found["estimate"] == pytest.approx(one["estimate"] - two["estimate"], rel=DIRECT)
    assert found["variance"] == pytest.approx(one["variance"] + two["variance"], rel=DIRECT)
    assert back["estimate"] == -found["estimate"]
    assert found["n_participants"] == 120
    assert found["effect_ids"] == [*one["effect_ids"], *two["effect_ids"]]
    assert found["subgroup"] == "inattentive minus combined"
    assert difference_rows(rows, "inattentive", "mixed") == []


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("study_id", "label"),
    [
        ("adler_2022b", "Adler 2022b"),
        ("van_der_berg_1999", "Van Der Berg 1999"),
        ("clinic_nd", "Clinic (no date)"),
        ("vlx_pool_2025", "VLX pool 2025"),
    ],
)
def test_studies_have_names_that_can_be_read(study_id: str, label: str) -> None:
    assert PROJECT.study_label(study_id) == label


def test_no_effects_are_no_rows(rows_of: Any) -> None:
    assert rows_of(tables_of()) == []


def test_every_value_of_a_row_is_plain_data(rows_of: Any) -> None:
    (row,) = rows_of(trials(1))
    for key, value in row.items():
        assert value is None or isinstance(value, (str, int, float, list)), key
        assert not isinstance(value, np.generic) or isinstance(value, float), key
    assert Measure("SMD") is Measure.SMD
