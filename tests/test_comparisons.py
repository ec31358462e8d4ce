"""Arms joined and paired: nobody counted twice, nobody compared with themselves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import (
    PROJECT,
    arm,
    effects_of,
    event,
    evidence_of,
    one_effect,
    score,
    study,
    tables_of,
)
from ketameta.evidence import (
    Assumptions,
    add_combined_arms,
    contained_arms,
    crossovers,
    pair_arms,
    resolve_arm_data,
    share_people,
    with_source,
)
from tolerances import DIRECT

LOW, HIGH, PLACEBO = arm("low", dose="0.2"), arm("high", dose="0.5"), arm("placebo", control=True)


def paired(
    outcomes: list[dict[str, str]], arms: list[dict[str, str]], **cells: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return pairs and arms of one trial."""
    evidence = evidence_of(tables_of(outcomes, arms=arms, studies=[study(**cells)]))
    rows = resolve_arm_data(with_source(evidence.outcomes).assign(assumed=""))
    joined, all_arms = add_combined_arms(
        rows[rows["problem"] == ""], evidence.arms, crossovers(evidence)
    )
    first = PROJECT.directness.drug_class
    return pair_arms(joined, all_arms, first), all_arms


def pairs_of(pairs: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(pairs["arm_id_t"], pairs["arm_id_c"], strict=True))


# --- joining --------------------------------------------------------------------------------------

#: Scores of three people each: joining them must give the mean and SD of all six.
PEOPLE = {"low": (3.0, 7.0, 8.0), "high": (1.0, 2.0, 9.0)}


def people_rows() -> list[dict[str, str]]:
    return [
        score(name, n="3", mean=repr(float(np.mean(x))), sd=repr(float(np.std(x, ddof=1))))
        for name, x in PEOPLE.items()
    ]


def test_dose_arms_become_the_arm_of_all_their_people() -> None:
    pairs, arms = paired(
        [*people_rows(), score("placebo", n="9", mean="6", sd="3")], [LOW, HIGH, PLACEBO]
    )
    row = pairs.set_index(["arm_id_t", "arm_id_c"]).loc[("high+low", "placebo")]
    everybody = np.array([*PEOPLE["low"], *PEOPLE["high"]])
    assert row["n_t"] == 6
    assert row["mean_t"] == pytest.approx(everybody.mean(), rel=DIRECT)
    assert row["sd_t"] == pytest.approx(everybody.std(ddof=1), rel=DIRECT)
    assert row["route_t"] == "combined_arms+sd_printed"
    assert row["source_t"].count("outcomes.csv") == 2
    joined = arms.set_index("arm_id").loc["high+low"]
    assert (joined["contains_arms"], joined["n_randomised"]) == ("high;low", 60.0)
    assert np.isnan(joined["dose"]), "a joined arm has no single dose"


def test_joined_counts_are_sums() -> None:
    rows = [event("low", events="3", n="20"), event("high", events="5", n="21"),
            event("placebo", events="1", n="40")]  # fmt: skip
    pairs, _ = paired(rows, [LOW, HIGH, PLACEBO])
    row = pairs.set_index(["arm_id_t", "arm_id_c"]).loc[("high+low", "placebo")]
    assert (row["events_t"], row["n_t"]) == (8.0, 41.0)


@pytest.mark.parametrize(
    "second",
    [
        arm("high", intervention="esketamine"),
        arm("high", control=True, intervention="ketamine"),
        arm("high", contains_arms="low"),
    ],
    ids=["another drug", "another role", "shared people"],
)
def test_arms_that_differ_or_share_people_are_not_joined(second: dict[str, str]) -> None:
    _, arms = paired([score("low"), score("high")], [LOW, second])
    assert set(arms["arm_id"]) == {"low", "high"}


def test_rows_of_other_times_scales_or_statistics_are_not_joined() -> None:
    rows = [score("low"), score("high", time_days="7"), score("low", instrument="hama"),
            score("high", statistic="change", instrument="hama")]  # fmt: skip
    _, arms = paired(rows, [LOW, HIGH])
    assert not arms["arm_id"].str.contains("+", regex=False).any()


def test_where_time_is_not_printed_arms_are_still_joined() -> None:
    _, arms = paired([score("low", time_days=""), score("high", time_days="")], [LOW, HIGH])
    assert "high+low" in set(arms["arm_id"])


def test_doses_of_a_crossover_are_the_same_people_and_stay_apart() -> None:
    rows = [score(name, n="18") for name in ("low", "high", "placebo")]
    pairs, arms = paired(rows, [LOW, HIGH, PLACEBO], design="crossover_rct")
    assert set(arms["arm_id"]) == {"low", "high", "placebo"}
    assert pairs_of(pairs) == {("high", "low"), ("low", "placebo"), ("high", "placebo")}
    table = effects_of(
        tables_of(rows, arms=[LOW, HIGH, PLACEBO], studies=[study(design="crossover_rct")]),
        Assumptions(correlation=0.5),
    )
    assert table.effects["n_treatment"].max() == 18


# --- pairing --------------------------------------------------------------------------------------


def test_a_printed_pooled_arm_is_not_compared_with_its_parts() -> None:
    pooled = arm("both", contains_arms="low;high")
    rows = [score(name) for name in ("low", "high", "both", "placebo")]
    pairs, arms = paired(rows, [LOW, HIGH, pooled, PLACEBO])
    assert pairs_of(pairs) == {
        ("high", "low"), ("low", "placebo"), ("high", "placebo"), ("both", "placebo"),
    }  # fmt: skip
    assert len(arms) == 4, "the source prints the joined arm; ours is not needed"


def test_a_joined_arm_is_not_compared_with_its_parts() -> None:
    pairs, arms = paired([score(name) for name in ("low", "high", "placebo")], [LOW, HIGH, PLACEBO])
    contained = contained_arms(arms)
    assert ("high+low", "placebo") in pairs_of(pairs)
    for row in pairs.itertuples():
        assert not share_people(contained, row.study_id, row.arm_id_t, row.arm_id_c)


def test_people_are_shared_through_a_common_part() -> None:
    arms = evidence_of(
        tables_of(arms=[LOW, HIGH, arm("a", contains_arms="low"), arm("b", contains_arms="low")])
    ).arms
    contained = contained_arms(arms)
    assert share_people(contained, "alder_2014", "a", "b")
    assert share_people(contained, "alder_2014", "low", "low")
    assert not share_people(contained, "alder_2014", "a", "high")


@pytest.mark.parametrize("names", [("zebra", "aspen"), ("aspen", "zebra")])
def test_treatment_stands_first_then_the_nmda_antagonist_then_the_name(
    names: tuple[str, str],
) -> None:
    first, second = names
    control = paired([score(first), score(second)], [arm(first), arm(second, control=True)])[0]
    assert pairs_of(control) == {(first, second)}
    other = arm(second, intervention="methylphenidate", drug_class="stimulant")
    assert pairs_of(paired([score(first), score(second)], [arm(first), other])[0]) == {names}
    alike = arm(second, intervention="esketamine")
    found = paired([score(first), score(second)], [arm(first), alike])[0]
    assert pairs_of(found) == {("aspen", "zebra")}


def test_only_rows_measured_alike_are_paired() -> None:
    rows = [score()] + [
        score("placebo", **cells)
        for cells in ({"time_days": "7"}, {"instrument": "hama"}, {"statistic": "change"},
                      {"subgroup": "sex=female"}, {"outcome": "anxiety_symptoms"})
    ]  # fmt: skip
    assert paired(rows, [arm(), PLACEBO])[0].empty


def test_arms_of_two_trials_are_never_paired() -> None:
    tables = tables_of(
        [score(study_id="alder_2014"), score("placebo", "birch_2016")],
        studies=[study("alder_2014"), study("birch_2016")],
        arms=[arm(study_id="alder_2014"), arm("placebo", "birch_2016", control=True)],
    )
    assert effects_of(tables).effects.empty


@settings(max_examples=30)
@given(st.lists(st.sampled_from([1, 2, 3]), min_size=2, max_size=5), st.randoms())
def test_every_pair_of_people_is_compared_once_whatever_the_order(
    drugs: list[int], random: object
) -> None:
    arms = [arm(f"a{i}", intervention=f"drug{drug}") for i, drug in enumerate(drugs)]
    rows = [score(row["arm_id"], mean=str(10 + i)) for i, row in enumerate(arms)]
    pairs, all_arms = paired(rows, arms)
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again, _ = paired(shuffled, arms)
    assert pairs_of(pairs) == pairs_of(again)
    assert len(pairs) == len(pairs_of(pairs)), "a comparison stands once"
    assert not pairs_of(pairs) & {(c, t) for t, c in pairs_of(pairs)}
    groups = {drug: drugs.count(drug) for drug in drugs}
    joined = [drug for drug, count in groups.items() if count > 1]
    assert len(all_arms) == len(drugs) + len(joined)


def test_joining_twice_changes_nothing_more() -> None:
    rows = [*people_rows(), score("placebo", n="9")]
    tables = tables_of(rows, arms=[LOW, HIGH, PLACEBO])
    evidence = evidence_of(tables)
    once = resolve_arm_data(with_source(evidence.outcomes).assign(assumed=""))
    rows_1, arms_1 = add_combined_arms(once, evidence.arms)
    rows_2, arms_2 = add_combined_arms(rows_1, arms_1)
    assert (len(rows_1), len(arms_1)) == (len(rows_2), len(arms_2)) == (4, 4)


def test_the_joined_arm_enters_the_effect_table_with_its_facts() -> None:
    table = effects_of(
        tables_of([*people_rows(), score("placebo", n="9")], arms=[LOW, HIGH, PLACEBO])
    )
    row = one_effect(table, "MD", arm_id="high+low")
    assert (row["intervention"], row["comparator"], row["n_treatment"]) == (
        "ketamine", "placebo", 6.0,
    )  # fmt: skip
    lengths = sorted(len(source.split(";")) for source in table.effects["source"])
    assert all(b - a <= 1 for a, b in pairwise(lengths))
