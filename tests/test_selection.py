"""Which effects an analysis uses, and the reason for every one that it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches import Tables
from helpers import (
    ANALYSIS,
    ROOT,
    arm,
    contrast,
    evidence_of,
    score,
    spec_of,
    study,
    tables_of,
    trials,
)
from ketameta.analyses import (
    AnalysisSpec,
    Selected,
    load_specs,
    parse_subgroup,
    select_effects,
    time_class,
)
from ketameta.analyses.sentences import nothing_found
from ketameta.evidence import (
    Assumptions,
    Effect,
    EffectTable,
    Evidence,
    derive_effects,
    with_source,
)
from ketameta.inputs import InputTables, _without_direction, known_words


class Frames:
    """What an analysis uses and leaves, as frames."""

    def __init__(self, selected: Selected) -> None:
        self.used, self.excluded, self.unused = (
            pd.DataFrame(rows, columns=None if rows else [*Effect.__annotations__])
            for rows in (selected.used, selected.excluded, selected.unused)
        )


def select(spec: AnalysisSpec, tables: Tables) -> Frames:
    evidence = evidence_of(tables)
    return Frames(select_effects(spec, derive_effects(evidence, spec.assume), evidence))


@pytest.fixture
def chosen(tmp_path: Path) -> Any:
    """Return a function from tables and the rest of an analysis file to what is selected."""

    def run(tables: Tables, more: str = "", text: str = ANALYSIS) -> Frames:
        return select(spec_of(tmp_path, more, text), tables)

    return run


def used(selected: Frames) -> list[str]:
    """Return the comparisons used, such as ``alder_2014 ketamine-placebo``."""
    rows = selected.used
    return sorted(rows["study_id"] + " " + rows["arm_id"] + "-" + rows["comparator_arm_id"])


def codes(selected: Frames) -> dict[str, str]:
    """Return the code of every effect set aside."""
    rows = selected.excluded
    return dict(zip(rows["effect_id"], rows["code"], strict=True))


def with_study(tables: Tables, **cells: str) -> Tables:
    return tables | {"studies": [row | cells for row in tables["studies"]]}


# --- scope and eligibility ------------------------------------------------------------------------


def test_what_is_eligible_is_used(chosen: Any) -> None:
    selected = chosen(trials(3))
    assert used(selected) == [
        f"{name} ketamine-placebo" for name in ("alder_2014", "birch_2016", "cedar_2017")
    ]
    assert set(selected.used["measure"]) == {"SMD"}
    assert selected.excluded.empty and selected.unused.empty


@pytest.mark.parametrize(
    "more",
    [
        'diagnosis = ["adhd"]\n',
        'drug_class = ["stimulant"]\n',
    ],
)
def test_what_is_out_of_scope_is_not_mentioned(chosen: Any, more: str) -> None:
    selected = chosen(trials(2), more)
    assert selected.used.empty and selected.excluded.empty and selected.unused.empty


@pytest.mark.parametrize(
    ("more", "code", "reason"),
    [
        ('exclude = { alder_2014 = "retracted" }', "excluded", "retracted"),
        ('comparator_class = ["active_placebo"]', "comparator_class", "compared with placebo"),
        ('comparator = ["midazolam"]', "comparator", "compared with placebo"),
        ('design = ["crossover_rct"]', "design", "design is parallel rct"),
        ('data_kind = ["change"]', "data_kind", "endpoint data are not used in this analysis"),
        ('instrument = ["madrs"]', "instrument", "instrument is hamd"),
        ('age_group = ["children"]', "age_group", "age group is adults"),
        ('adhd_subtype = ["mixed"]', "adhd_subtype", "ADHD presentation is not applicable"),
        ('prior_treatment_resistance = ["resistant"]', "prior_treatment_resistance",
         "prior treatment is not reported"),
        ('source_type = ["registry"]', "source_type", "source is journal"),
        ('access = ["abstract"]', "access", "source was read as full text"),
        ("min_days = 30", "time", "measured at day 28"),
        ("max_days = 2", "time", "measured at day 28"),
    ],
)  # fmt: skip
def test_every_rule_gives_its_reason(chosen: Any, more: str, code: str, reason: str) -> None:
    selected = chosen(trials(1), more + "\n")
    assert selected.used.empty
    row = selected.excluded.iloc[0]
    assert (row["code"], row["reason"]) == (code, reason)


def test_the_first_broken_rule_is_the_one_given(chosen: Any) -> None:
    more = 'exclude = { alder_2014 = "retracted" }\ndesign = ["crossover_rct"]\nmax_days = 2\n'
    assert set(codes(chosen(trials(1), more)).values()) == {"excluded"}


@pytest.mark.parametrize(("low", "high", "inside"), [(28, 28, True), (28.1, 40, False)])
def test_the_ends_of_a_window_belong_to_it(
    chosen: Any, low: float, high: float, inside: bool
) -> None:
    assert bool(used(chosen(trials(1), f"min_days = {low}\nmax_days = {high}\n"))) == inside


def test_a_time_that_is_not_printed_is_outside_every_window(chosen: Any) -> None:
    tables = trials(1)
    for row in tables["outcomes"]:
        row["time_days"] = ""
    assert used(chosen(tables))
    assert set(codes(chosen(tables, "max_days = 99\n")).values()) == {"time_unknown"}


# --- subgroups ------------------------------------------------------------------------------------

WOMEN = [
    score(subgroup="sex=female", mean="11"),
    score("placebo", subgroup="sex=female", mean="14"),
]
WHOLE = [score(mean="12"), score("placebo", mean="15")]


def test_results_of_subgroups_enter_only_where_they_are_asked_for(chosen: Any) -> None:
    tables = tables_of([*WOMEN, *WHOLE])
    plain = chosen(tables)
    assert plain.used["subgroup"].tolist() == [""]
    assert plain.excluded["reason"].tolist() == ["subgroup (sex=female)"]
    within = chosen(tables, 'within = true\nsubgroup_keys = ["sex"]\n')
    assert within.used["subgroup"].tolist() == ["sex=female"]
    assert within.excluded["code"].tolist() == ["whole_trial"]


def test_the_whole_trial_wins_over_its_subgroups_where_both_are_allowed(chosen: Any) -> None:
    selected = chosen(tables_of([*WOMEN, *WHOLE]), 'subgroup_keys = ["sex"]\n')
    assert selected.used["subgroup"].tolist() == [""]
    assert selected.excluded["code"].tolist() == ["another_subgroup"]
    assert selected.excluded["reason"].tolist() == [
        "other people of the trial; it enters with the result of everybody"
    ]


def test_of_several_subgroups_the_ones_left_say_that_they_are_other_people(chosen: Any) -> None:
    men = [row | {"subgroup": "sex=male"} for row in WOMEN]
    selected = chosen(tables_of([*WOMEN, *men]), 'subgroup_keys = ["sex"]\n')
    assert selected.used["subgroup"].tolist() == ["sex=female"]
    assert selected.excluded["reason"].tolist() == [
        "other people of the trial; it enters with the subgroup sex=female"
    ]


def test_a_subgroup_says_who_its_people_are(chosen: Any) -> None:
    rows = [score(name, subgroup=f"adhd_subtype={kind}") for kind in ("inattentive", "combined")
            for name in ("ketamine", "placebo")]  # fmt: skip
    more = (
        'within = true\nsubgroup_keys = ["adhd_subtype"]\n'
        'adhd_subtype = ["inattentive", "combined"]\n[model]\ngroup_by = "adhd_subtype"\n'
    )
    selected = chosen(tables_of(rows), more)
    assert sorted(selected.used["group"]) == ["combined", "inattentive"]
    assert sorted(selected.used["adhd_subtype"]) == ["combined", "inattentive"]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", {}),
        ("sex=female", {"sex": "female"}),
        ("sex=female;age_group=adults", {"sex": "female", "age_group": "adults"}),
        (" sex = female ; period=1", {"sex": "female", "period": "1"}),
    ],
)
def test_subgroups_are_read_as_pairs(text: str, pairs: dict[str, str]) -> None:
    assert parse_subgroup(text) == pairs


@pytest.mark.parametrize(
    ("days", "name"),
    [
        (0.0, "within_hours"), (0.9, "within_hours"), (1.0, "24_hours"), (7.0, "days_2_to_7"),
        (7.1, "days_8_to_21"), (28.0, "days_22_to_35"), (36.0, "later"),
        (float("nan"), "time_not_printed"),
    ],
)  # fmt: skip
def test_times_have_classes_without_gaps(days: float, name: str) -> None:
    assert time_class(days) == name


# --- one effect per study -------------------------------------------------------------------------

TIMES = [
    score(name, time_days=day, mean=mean)
    for day in ("1", "7", "28")
    for name, mean in (("ketamine", "12"), ("placebo", "15"))
]


@pytest.mark.parametrize(
    ("rule", "day"),
    [
        ('time = "latest"', 28), ('time = "earliest"', 1), ('time = "nearest"\ndays = 6', 7),
        ('time = "nearest"\ndays = 1000', 28),
    ],
)  # fmt: skip
def test_one_time_is_chosen_by_the_declared_rule(chosen: Any, rule: str, day: float) -> None:
    selected = chosen(tables_of(TIMES), f"[choose]\n{rule}\n")
    assert selected.used["time_days"].tolist() == [day]
    assert set(selected.excluded["code"]) == {"another_form"}
    assert f"day {day}" in selected.excluded["reason"].iloc[0]


def test_a_printed_time_is_preferred_to_none(chosen: Any) -> None:
    rows = [score(time_days=""), score("placebo", time_days=""), *TIMES[:2]]
    for rule in ("latest", "earliest"):
        selected = chosen(tables_of(rows), f'[choose]\ntime = "{rule}"\n')
        assert selected.used["time_days"].tolist() == [1.0]


@pytest.mark.parametrize("first", ["change", "endpoint", "contrast"])
def test_one_kind_of_data_is_chosen_by_preference(chosen: Any, first: str) -> None:
    rows = [score(name, statistic=kind) for kind in ("endpoint", "change")
            for name in ("ketamine", "placebo")]  # fmt: skip
    printed = contrast(outcome="depression", instrument="hamd", n_treatment="30", n_control="30")
    selected = chosen(tables_of(rows, [printed]), f'[choose]\ndata_kind = ["{first}"]\n')
    assert selected.used["data_kind"].tolist() == [first]
    assert len(selected.excluded) == 2


@pytest.mark.parametrize(
    ("measure", "prefer", "kinds"),
    [
        ("SMD", "", {"change"}),
        ("SMD", '[choose]\ndata_kind = ["endpoint"]\n', {"endpoint"}),
        ("MD", "", {"change", "endpoint"}),
    ],
)
def test_scores_and_changes_are_never_standardised_together(
    chosen: Any, measure: str, prefer: str, kinds: set[str]
) -> None:
    tables = trials(3)
    for row in tables["outcomes"]:
        if row["study_id"] != "alder_2014":
            row["statistic"] = "change"
    text = f'{prefer}[model]\nmeasure = "{measure}"\n'
    selected = chosen(tables, text)
    assert set(selected.used["data_kind"]) == kinds
    left = set(selected.excluded["reason"])
    assert left == set() if len(kinds) == 2 else all("standardised" in text for text in left)
    assert len(selected.used) + len(selected.excluded) == 3


def test_one_instrument_and_one_outcome_are_chosen_by_preference(chosen: Any) -> None:
    rows = [score(name, instrument=scale) for scale in ("hama", "hamd")
            for name in ("ketamine", "placebo")]  # fmt: skip
    for scale in ("hama", "hamd"):
        selected = chosen(tables_of(rows), f'[choose]\ninstrument = ["{scale}"]\n')
        assert selected.used["instrument"].tolist() == [scale]
    two = [*rows[:2], *(row | {"outcome": "anxiety_symptoms"} for row in rows[:2])]
    for order in (["depression", "anxiety_symptoms"], ["anxiety_symptoms", "depression"]):
        listed = ", ".join(f'"{name}"' for name in order)
        text = ANALYSIS.replace('["depression"]', f"[{listed}]")
        assert chosen(tables_of(two), text=text).used["outcome"].tolist() == order[:1]


def test_a_comparison_printed_in_several_forms_enters_once(chosen: Any) -> None:
    cells = {"outcome": "depression", "instrument": "hamd", "n_treatment": "30", "n_control": "30",
             "favours": "treatment"}  # fmt: skip
    rows = [contrast(**cells, effect_type=kind) for kind in ("test", "SMD", "MD")]
    rows[0].update(estimate="", ci_low="", ci_high="")
    selected = chosen(tables_of(contrasts=rows))
    assert selected.used["printed_as"].tolist() == ["MD"]
    assert set(selected.excluded["reason"]) == {
        "the source prints the same comparison in another form"
    }


def test_groups_are_chosen_for_apart(chosen: Any) -> None:
    selected = chosen(tables_of(TIMES), '[model]\ngroup_by = "time_class"\n')
    assert sorted(selected.used["group"]) == ["24_hours", "days_22_to_35", "days_2_to_7"]
    assert len(set(selected.used["study_group"])) == 3


# --- arms of one study ----------------------------------------------------------------------------

DOSES = [arm("low"), arm("high"), arm("placebo", control=True)]


def test_the_joined_arm_stands_for_its_doses(chosen: Any) -> None:
    tables = tables_of([score(name) for name in ("low", "high", "placebo")], arms=DOSES)
    selected = chosen(tables, 'comparator_class = ["placebo"]\n')
    assert used(selected) == ["alder_2014 high+low-placebo"]
    parts = selected.excluded[selected.excluded["code"] == "part_of_joined_arm"]
    assert set(parts["arm_id"]) == {"low", "high"}
    assert set(parts["reason"]) == {"its people are in the arm high+low"}


def test_a_printed_joined_arm_wins_over_its_parts(chosen: Any) -> None:
    arms = [*DOSES, arm("both", contains_arms="low;high")]
    tables = tables_of([score(row["arm_id"]) for row in arms], arms=arms)
    assert used(chosen(tables, 'comparator_class = ["placebo"]\n')) == ["alder_2014 both-placebo"]


def test_joined_comparators_stand_for_their_parts(chosen: Any) -> None:
    arms = [arm(), arm("drip", control=True), arm("tablet", control=True)]
    selected = chosen(tables_of([score(row["arm_id"]) for row in arms], arms=arms))
    assert used(selected) == ["alder_2014 ketamine-drip+tablet"]
    assert set(selected.excluded["reason"]) == {"its people are in the comparator arm drip+tablet"}


def test_joined_arms_on_both_sides_leave_one_comparison(chosen: Any) -> None:
    arms = [arm("low"), arm("high"), arm("drip", control=True), arm("tablet", control=True)]
    selected = chosen(
        tables_of([score(row["arm_id"]) for row in arms], arms=arms),
        'comparator_class = ["placebo"]\n',
    )
    assert used(selected) == ["alder_2014 high+low-drip+tablet"]


def test_different_drugs_with_one_control_stay_together(chosen: Any) -> None:
    arms = [arm(), arm("nasal", intervention="esketamine"), arm("placebo", control=True)]
    text = ANALYSIS.replace('["ketamine"]', '["ketamine", "esketamine"]')
    selected = chosen(
        tables_of([score(row["arm_id"]) for row in arms], arms=arms),
        'comparator_class = ["placebo"]\n',
        text,
    )
    assert used(selected) == ["alder_2014 ketamine-placebo", "alder_2014 nasal-placebo"]
    assert set(selected.used["study_group"]) == {"alder_2014|"}


# --- people counted once --------------------------------------------------------------------------


def overlapping(**cells: dict[str, str]) -> Tables:
    tables = trials(3)
    for row in tables["studies"]:
        row.update(cells.get(row["study_id"], {}))
    return tables


def test_a_pooled_report_gives_way_to_its_trials(chosen: Any) -> None:
    tables = overlapping(
        cedar_2017={"design": "pooled_rcts", "overlaps_with": "alder_2014;birch_2016"}
    )
    selected = chosen(tables)
    assert used(selected) == ["alder_2014 ketamine-placebo", "birch_2016 ketamine-placebo"]
    assert selected.excluded["reason"].tolist() == [
        "shares participants with alder_2014, birch_2016, which is used"
    ]


def test_the_preferred_report_is_kept(chosen: Any) -> None:
    tables = overlapping(
        cedar_2017={"design": "pooled_rcts", "overlaps_with": "alder_2014;birch_2016"}
    )
    selected = chosen(tables, '[choose]\noverlap_prefer = ["cedar_2017"]\n')
    assert used(selected) == ["cedar_2017 ketamine-placebo"]
    assert set(selected.excluded["code"]) == {"overlap"}
    assert len(selected.excluded) == 2


def test_a_companion_gives_way_to_its_parent(chosen: Any) -> None:
    for companion in ("alder_2014", "birch_2016"):
        other = {"alder_2014": "birch_2016", "birch_2016": "alder_2014"}[companion]
        selected = chosen(overlapping(**{companion: {"overlaps_with": other}}))
        assert f"{companion} ketamine-placebo" not in used(selected)
        assert f"{other} ketamine-placebo" in used(selected)


def test_a_report_that_does_not_enter_takes_nobody_with_it(chosen: Any) -> None:
    tables = overlapping(
        alder_2014={"overlaps_with": "birch_2016"}, birch_2016={"design": "single_arm"}
    )
    selected = chosen(tables, 'design = ["parallel_rct"]\n')
    assert "alder_2014 ketamine-placebo" in used(selected)


# --- nothing is lost ------------------------------------------------------------------------------


def test_rows_without_an_effect_are_listed(chosen: Any) -> None:
    selected = chosen(tables_of([score(sd=""), score("placebo")]))
    assert selected.unused["code"].tolist() == ["no_variance"]


@pytest.mark.parametrize(
    ("more", "answers"),
    [
        ("", True),
        ("max_days = 60\n", True),
        ("max_days = 0.5\n", False),
        ('instrument = ["madrs"]\n', False),
        ('comparator_class = ["placebo"]\n', True),
        ('comparator_class = ["stimulant"]\n', False),
        ('design = ["single_arm"]\n', False),
        ('exclude = { alder_2014 = "retracted" }\n', False),
        # How a number is printed is no part of the question.
        ('data_kind = ["contrast"]\n', True),
    ],
)
def test_a_trial_is_silent_only_on_the_question_as_declared(
    tmp_path: Path, more: str, *, answers: bool
) -> None:
    evidence = evidence_of(tables_of([score(sd=""), score("placebo")]))
    spec = spec_of(tmp_path, 'drug_class = ["nmda_antagonist"]\n' + more)
    selected = select_effects(spec, derive_effects(evidence), evidence)
    assert len(selected.unused) == 1
    assert [row.get("answers") is not None for row in selected.unused] == [answers]


def silent(tmp_path: Path, tables: Tables, more: str = "") -> list[str]:
    evidence = evidence_of(tables)
    spec = spec_of(tmp_path, more)
    unused = select_effects(spec, derive_effects(evidence), evidence).unused
    return [row["label"] for row in unused if row.get("answers") is not None]


def test_a_measurement_without_a_time_is_not_known_to_be_in_the_window(tmp_path: Path) -> None:
    tables = tables_of([score(sd="", time_days=""), score("placebo", time_days="")])
    assert silent(tmp_path, tables, "max_days = 60\n") == []
    assert silent(tmp_path, tables) != []


def test_a_trial_whose_question_is_answered_elsewhere_in_it_is_not_silent(tmp_path: Path) -> None:
    other = [score(instrument="madrs", sd=""), score("placebo", instrument="madrs")]
    assert silent(tmp_path, tables_of([score(), score("placebo"), *other])) == []


def test_pools_and_companions_of_what_is_used_are_no_silent_trials(tmp_path: Path) -> None:
    rows = trials(2)["outcomes"]
    rows = [row | ({"sd": ""} if row["study_id"] == "birch_2016" else {}) for row in rows]
    assert set(silent(tmp_path, trials(2) | {"outcomes": rows})) == {"Birch 2016"}
    for cells in ({"design": "pooled_rcts"}, {"overlaps_with": "alder_2014"}):
        studies = [
            row | (cells if row["study_id"] == "birch_2016" else {}) for row in trials(2)["studies"]
        ]
        assert silent(tmp_path, trials(2) | {"outcomes": rows, "studies": studies}) == []


def test_an_effect_in_another_measure_is_set_aside_by_name(chosen: Any) -> None:
    printed = contrast(outcome="depression", instrument="hamd")
    selected = chosen(tables_of(contrasts=[printed]))
    assert selected.used.empty
    row = selected.excluded.iloc[0]
    assert (row["code"], row["reason"]) == (
        "other_measure",
        "the source allows only: mean difference",
    )


def test_counts_without_information_on_a_ratio_are_set_aside_by_name(chosen: Any) -> None:
    rows = [
        {**score(name), "outcome": "nausea", "statistic": "events", "mean": "", "sd": "",
         "events": "0"}
        for name in ("ketamine", "placebo")
    ]  # fmt: skip
    text = ANALYSIS.replace('["depression"]', '["nausea"]')
    selected = chosen(tables_of(rows), '[model]\nmeasure = "RR"\n', text)
    assert selected.excluded["code"].tolist() == ["no_events"]
    assert len(chosen(tables_of(rows), '[model]\nmeasure = "RD"\n', text).used) == 1


def rows_with_their_people(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """Return the rows of both tables beside the facts of arm and study that a question asks for."""
    arms = evidence.arms[["study_id", "arm_id", "intervention", "drug_class"]]
    studies = evidence.studies[["study_id", "diagnosis"]]
    return {
        name: with_source(getattr(evidence, name))
        .merge(arms, on=["study_id", "arm_id"])
        .merge(studies, on="study_id")
        for name in ("outcomes", "contrasts")
    }


def assert_nothing_is_lost(
    spec: AnalysisSpec, extracted: dict[str, pd.DataFrame], selected: Frames
) -> None:
    """Every extracted row in scope is used, set aside or unused, with a reason where it is left."""
    left = selected.excluded
    assert (left["code"] != "").all() and (left["reason"] != "").all()
    assert (selected.used["code"] == "").all()
    assert not set(left["effect_id"]) & set(selected.used["effect_id"])
    told = {
        part
        for frame in (selected.used, left, selected.unused)
        for source in frame["source"]
        for part in source.split(";")
    }
    wanted = spec.select
    for name, rows in extracted.items():
        for column in ("outcome", "diagnosis", "drug_class", "intervention"):
            allowed = getattr(wanted, column)
            rows = rows[rows[column].isin(allowed)] if allowed else rows
        if name == "outcomes" and not (spec.model.measure.is_ratio or spec.model.measure == "RD"):
            rows = rows[rows["statistic"] != "events"]
        assert set(rows["source"]) <= told, spec.name


@settings(max_examples=20)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "arm_id": st.sampled_from(["low", "high", "placebo"]),
                "instrument": st.sampled_from(["hamd", "recall", "heart"]),
                "time_days": st.sampled_from(["", "1", "28"]),
                "statistic": st.sampled_from(["endpoint", "change"]),
                "sd": st.sampled_from(["", "6"]),
                "subgroup": st.sampled_from(["", "sex=female"]),
            }
        ),
        max_size=8,
        unique_by=lambda row: tuple(v for k, v in row.items() if k != "sd"),
    ),
    st.sampled_from(["SMD", "MD"]),
)
def test_nothing_in_scope_is_lost(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], measure: str
) -> None:
    spec = spec_of(tmp_path_factory.mktemp("spec"), f'[model]\nmeasure = "{measure}"\n')
    evidence = evidence_of(tables_of([score(**row) for row in rows], arms=DOSES))
    table = derive_effects(evidence)
    selected = Frames(select_effects(spec, table, evidence))
    assert_nothing_is_lost(spec, rows_with_their_people(evidence), selected)
    alike = ["study_group", "outcome", "instrument", "time_days", "data_kind", "subgroup"]
    assert len(selected.used.drop_duplicates(alike)) == selected.used["study_group"].nunique()


@pytest.fixture(scope="module")
def committed_selections(
    committed_evidence: Evidence,
) -> list[tuple[AnalysisSpec, EffectTable, Frames]]:
    tables: dict[Assumptions, EffectTable] = {}
    found = []
    for spec in load_specs(ROOT / "analyses", known_words(committed_evidence)):
        if spec.assume not in tables:
            tables[spec.assume] = derive_effects(committed_evidence, spec.assume)
        table = tables[spec.assume]
        found.append((spec, table, Frames(select_effects(spec, table, committed_evidence))))
    return found


def test_no_committed_analysis_loses_a_row(
    committed_evidence: Evidence,
    committed_selections: list[tuple[AnalysisSpec, EffectTable, Frames]],
) -> None:
    extracted = rows_with_their_people(committed_evidence)
    for spec, _, selected in committed_selections:
        assert_nothing_is_lost(spec, extracted, selected)


def test_no_committed_analysis_counts_people_twice(
    committed_selections: list[tuple[AnalysisSpec, EffectTable, Frames]],
) -> None:
    for spec, table, selected in committed_selections:
        studies = set(selected.used["study_id"])
        for study_id, text in zip(selected.used["study_id"], selected.used["overlaps_with"],
                                  strict=True):  # fmt: skip
            assert not studies & (set(text.split(";")) - {"", study_id}), (spec.name, study_id)
        parts = dict(
            zip(
                zip(table.arms["study_id"], table.arms["arm_id"], strict=True),
                table.arms["contains_arms"],
                strict=True,
            )
        )
        # A network leaves out comparisons of one treatment with itself when it is built.
        rows = selected.used[selected.used["intervention"] != selected.used["comparator"]]
        for _, group in rows.groupby("study_group"):
            arms = set(group["arm_id"]) | set(group["comparator_arm_id"])
            inside = {
                part
                for name in arms
                for part in parts.get((group["study_id"].iloc[0], name), "").split(";")
            }
            assert not arms & inside - {""}, (spec.name, sorted(arms))


def test_standardised_analyses_do_not_mix_change_and_endpoint(
    committed_selections: list[tuple[AnalysisSpec, EffectTable, Frames]],
) -> None:
    mixed = [
        spec.name
        for spec, _, selected in committed_selections
        if spec.model.measure == "SMD" and {"change", "endpoint"} <= set(selected.used["data_kind"])
    ]
    assert mixed == []


def test_windows_hold(
    committed_selections: list[tuple[AnalysisSpec, EffectTable, Frames]],
) -> None:
    for spec, _, selected in committed_selections:
        days = selected.used["time_days"].to_numpy(float)
        low, high = spec.select.min_days, spec.select.max_days
        assert low is None or (days >= low).all(), spec.name
        assert high is None or (days <= high).all(), spec.name
        assert np.isfinite(selected.used["variance"].to_numpy(float)).all()


def test_studies_left_out_are_told_only_where_nothing_is_used(chosen: Any) -> None:
    left = {"records": "1", "reason_code": "bound_only", "reason": "only a bound", "study": "Oak 1"}
    tables = trials(2)
    tables["exclusions"] = [
        left | {"outcome": "mood", "measured": "depression", "intervention": "ketamine"},
        left | {"outcome": "depression", "study": "birch_2016", "reason_code": "no_number"},
        left
        | {"outcome": "depression", "study": "alder_2014", "reason_code": "overlapping_report"},
        left | {"outcome": "depression", "study": "Elm 2", "intervention": "placebo"},
    ]  # fmt: skip
    assert chosen(tables).unused.empty
    found = chosen(tables, 'design = ["crossover_rct"]').unused
    assert [*zip(found["study_id"], found["label"], found["code"])] == [
        ("oak_1", "Oak 1", "bound_only"), ("birch_2016", "Birch 2016", "no_number"),
    ]  # fmt: skip


def test_the_design_of_a_study_left_out_is_part_of_what_an_analysis_sees(tmp_path: Path) -> None:
    def seen(design: str) -> str:
        tables = trials(2)
        tables["studies"] = [*tables["studies"], study("elm_2018", design=design)]
        left = {"records": "1", "reason_code": "no_number", "reason": "-", "study": "elm_2018"}
        tables["exclusions"] = [left | {"outcome": "depression", "intervention": "ketamine"}]
        return InputTables(evidence_of(tables)).fingerprint(spec_of(tmp_path))

    assert seen("parallel_rct") == seen("parallel_rct") != seen("cohort")


def test_a_trial_whose_scale_has_no_better_end_is_told_and_not_called_absent(
    tmp_path: Path,
) -> None:
    tables = tables_of([score(), score("placebo")])
    for row in tables["instruments"]:
        row["direction"] = "neither"
    spec = spec_of(tmp_path)
    row = select(spec, tables).excluded.iloc[0].to_dict()
    assert row["code"] == "no_direction" and "no better end" in row["reason"]
    known = {"is_ratio": False, "unused": [], "excluded": [row]}
    named = f"({row['label']}: {row['reason']})."
    said = f"Found instead: 1 study, no number that can be used here {named}"
    assert nothing_found(known).endswith(said)
    assert nothing_found({**known, "excluded": []}) == "No eligible trial was found."
    (said,) = _without_direction(evidence_of(tables), [spec])
    assert "1 trial (alder_2014) cannot enter" in said.why
    assert not [*_without_direction(evidence_of(tables_of([score()])), [spec])]
