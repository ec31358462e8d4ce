"""Nothing is dropped silently: an extracted row is an effect, or an unused row with a reason."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches import Tables
from helpers import arm, contrast, effects_of, event, evidence_of, reasons, score, study, tables_of
from ketameta.effects.conversions import ROUTES
from ketameta.evidence import (
    PROBLEMS,
    UNUSED_COLUMNS,
    Assumptions,
    EffectTable,
    Evidence,
    concerned,
    derive_again,
    derive_effects,
    with_source,
)

ARMS = [
    arm("low"),
    arm("high"),
    arm("other", intervention="methylphenidate", drug_class="stimulant"),
    arm("placebo", control=True),
]
HALF = Assumptions(correlation=0.5)


def sources(evidence: Evidence, table: str) -> list[str]:
    return with_source(getattr(evidence, table))["source"].tolist()


def used_sources(table: EffectTable) -> set[str]:
    return {part for source in table.effects["source"] for part in source.split(";")}


def assert_every_row_is_accounted_for(evidence: Evidence, table: EffectTable) -> None:
    """Each row of outcomes and contrasts stands in effects or in unused, never in both."""
    rows = [*sources(evidence, "outcomes"), *sources(evidence, "contrasts")]
    used, unused = used_sources(table), Counter(table.unused["source"])
    assert max(unused.values(), default=1) == 1
    assert used & set(unused) == set()
    assert used | set(unused) == set(rows)
    assert set(table.unused["code"]) <= set(PROBLEMS)
    assert (table.unused["reason"] == table.unused["code"].map(PROBLEMS)).all()
    assert table.effects["effect_id"].is_unique


# --- properties -----------------------------------------------------------------------------------

MAYBE = st.sampled_from(["", "12"])
SCORES = st.fixed_dictionaries(
    {
        "arm_id": st.sampled_from([row["arm_id"] for row in ARMS]),
        "instrument": st.sampled_from(["hamd", "recall", "heart"]),
        "time_days": st.sampled_from(["", "1", "28"]),
        "statistic": st.sampled_from(["endpoint", "change"]),
        "n": st.sampled_from(["", "1", "2", "20"]),
        "mean": MAYBE,
        "sd": st.sampled_from(["", "6"]),
        "se": st.sampled_from(["", "1.5"]),
        "baseline_mean": st.just("20"),
        "baseline_sd": st.sampled_from(["", "5"]),
    }
)
EVENTS = st.fixed_dictionaries(
    {
        "arm_id": st.sampled_from([row["arm_id"] for row in ARMS]),
        "n": st.sampled_from(["", "12", "20"]),
        "events": st.sampled_from(["", "0", "3", "12"]),
        "percent": st.sampled_from(["", "25", "17"]),
    }
)
CONTRASTS = st.fixed_dictionaries(
    {
        "arm_id": st.sampled_from(["low", "high", "other"]),
        "instrument": st.sampled_from(["hamd", "recall", "heart"]),
        "effect_type": st.sampled_from(["MD", "SMD", "test", "HR", "RD"]),
        "estimate": st.sampled_from(["", "-3.1"]),
        "ci_low": st.sampled_from(["", "-5.9"]),
        "favours": st.sampled_from(["", "treatment"]),
        "n_treatment": st.sampled_from(["", "20"]),
        "n_control": st.sampled_from(["", "20"]),
    }
)
DESIGNS = st.sampled_from(["parallel_rct", "crossover_rct", "single_arm"])


def once(rows: list[dict[str, str]], *keys: str) -> list[dict[str, str]]:
    """Return rows without repeated keys, as the checks demand."""
    found = {tuple(row[key] for key in keys): row for row in rows}
    return list(found.values())


def random_tables(
    scores: list[dict[str, str]],
    counts: list[dict[str, str]],
    contrasts: list[dict[str, str]],
    design: str,
) -> Tables:
    keys = ("arm_id", "outcome", "instrument", "time_days", "statistic")
    rows = [*(score(**cells) for cells in scores), *(event(**cells) for cells in counts)]
    printed = [contrast(**cells) for cells in contrasts]
    return tables_of(
        once(rows, *keys),
        once(printed, "arm_id", "comparator_arm_id", "instrument", "time_days", "effect_type"),
        arms=ARMS,
        studies=[study(design=design)],
    )


TABLES = st.builds(
    random_tables,
    st.lists(SCORES, max_size=6),
    st.lists(EVENTS, max_size=4),
    st.lists(CONTRASTS, max_size=3),
    DESIGNS,
)


@settings(max_examples=25)
@given(TABLES, st.sampled_from([None, HALF]))
def test_every_row_ends_in_an_effect_or_in_a_reason(
    tables: Tables, assumed: Assumptions | None
) -> None:
    evidence = evidence_of(tables)
    assert_every_row_is_accounted_for(evidence, derive_effects(evidence, assumed))


@settings(max_examples=8)
@given(TABLES, st.randoms())
def test_the_order_of_rows_does_not_matter(tables: Tables, random: Any) -> None:
    shuffled = {name: list(rows) for name, rows in tables.items()}
    for name in ("outcomes", "contrasts", "arms"):
        random.shuffle(shuffled[name])
    columns = ["effect_id", "measure", "estimate", "variance"]
    one, two = effects_of(tables, HALF).effects, effects_of(shuffled, HALF).effects
    assert one["effect_id"].tolist() == two["effect_id"].tolist()
    numbers = one[columns[2:]].astype(float).to_numpy()
    assert numbers == pytest.approx(two[columns[2:]].astype(float).to_numpy(), rel=1e-12, abs=1e-15)


# --- the edges ------------------------------------------------------------------------------------


def test_no_rows_give_no_effects_and_no_unused_rows() -> None:
    table = effects_of(tables_of())
    assert table.effects.empty and table.unused.empty
    assert set(UNUSED_COLUMNS) == set(table.unused.columns)
    assert {"effect_id", "intervention", "comparator_class"} <= set(table.effects.columns)


@pytest.mark.parametrize(
    ("outcomes", "codes"),
    [
        ([score()], {"outcomes:2": "no_partner"}),
        ([score(), score("placebo", time_days="7")],
         {"outcomes:2": "no_partner", "outcomes:3": "no_partner"}),
        ([score(), score("placebo", sd="")],
         {"outcomes:2": "partner_unusable", "outcomes:3": "no_variance"}),
        ([event(), event("placebo", events="")],
         {"outcomes:2": "partner_unusable", "outcomes:3": "no_count"}),
    ],
)  # fmt: skip
def test_a_row_without_a_partner_says_whether_there_is_one(outcomes, codes) -> None:
    assert reasons(effects_of(tables_of(outcomes))) == codes


def test_a_row_of_a_crossover_without_a_partner_is_not_blamed_on_the_correlation() -> None:
    tables = tables_of([score()], studies=[study(design="crossover_rct")])
    assert reasons(effects_of(tables)) == {"outcomes:2": "no_partner"}


def test_a_comparison_printed_in_two_forms_gives_two_named_effects() -> None:
    cells = {"n_treatment": "30", "n_control": "30", "favours": "treatment"}
    table = effects_of(
        tables_of(contrasts=[contrast(**cells), contrast(**cells, effect_type="test")])
    )
    ids = table.effects["effect_id"].tolist()
    assert len(set(ids)) == len(ids) == 3
    assert any("contrast(MD)" in name for name in ids)
    assert any("contrast(test)" in name for name in ids)


def test_an_effect_id_says_what_is_compared() -> None:
    table = effects_of(tables_of([score(time_days="0.083"), score("placebo", time_days="0.083")]))
    assert table.effects["effect_id"].tolist() == [
        "alder_2014/ketamine-placebo/depression/hamd/0.083d//endpoint/MD",
        "alder_2014/ketamine-placebo/depression/hamd/0.083d//endpoint/SMD",
    ]


def test_effects_know_their_arms() -> None:
    arms = [arm(background_treatment="usual care"), arm("placebo", control=True)]
    row = effects_of(tables_of([score(), score("placebo")], arms=arms)).effects.iloc[0]
    assert (row["intervention"], row["drug_class"]) == ("ketamine", "nmda_antagonist")
    assert (row["comparator"], row["comparator_class"]) == ("placebo", "placebo")
    assert (row["dose"], row["dose_unit"]) == (0.5, "mg_per_kg")
    assert (row["administration"], row["background_treatment"]) == ("intravenous", "usual care")
    assert row["route"] == "sd_printed", "the route to the effect, not of the drug"


# --- the committed data ---------------------------------------------------------------------------


@pytest.mark.parametrize("assumed", [None, HALF], ids=["nothing assumed", "correlation assumed"])
def test_every_committed_row_is_accounted_for(
    committed_evidence: Evidence, assumed: Assumptions | None
) -> None:
    table = derive_effects(committed_evidence, assumed)
    assert len(table.effects) > 1000
    assert_every_row_is_accounted_for(committed_evidence, table)


def test_committed_effects_are_numbers_with_a_route_and_a_place(
    committed_effects: EffectTable,
) -> None:
    effects = committed_effects.effects
    assert effects[["estimate", "variance"]].notna().all(axis=None)
    assert (effects["variance"] > 0).all()
    assert {part for route in effects["route"] for part in route.split("+")} <= set(ROUTES)
    assert effects["source"].str.match(r"data/extracted/[^/]+/(outcomes|contrasts)\.csv:\d+").all()
    assert (effects["assumption"] == "").all(), "nothing is assumed unless an analysis says so"


def test_no_committed_comparison_pairs_people_with_themselves(
    committed_effects: EffectTable,
) -> None:
    parts = {
        (row["study_id"], row["arm_id"]): {row["arm_id"], *row["contains_arms"].split(";")} - {""}
        for row in committed_effects.arms.to_dict("records")
    }
    for row in committed_effects.effects.to_dict("records"):
        one = parts[row["study_id"], row["arm_id"]]
        two = parts.get((row["study_id"], row["comparator_arm_id"]), set())
        assert not one & two, row["effect_id"]


def test_no_committed_crossover_enters_without_a_correlation(
    committed_evidence: Evidence, committed_effects: EffectTable
) -> None:
    studies = committed_evidence.studies
    crossed = set(studies.loc[studies["design"].str.startswith("crossover"), "study_id"])
    rows = committed_effects.effects[
        committed_effects.effects["study_id"].isin(crossed)
        & (committed_effects.effects["measure"] == "SMD")
        & ~committed_effects.effects["route"].str.startswith("smd_printed")
    ]
    assert rows["route"].str.contains("correlation_printed").all()


def test_the_effects_of_a_trial_rest_on_no_other_trial(
    committed_evidence: Evidence, committed_effects: EffectTable
) -> None:
    plain = repr(committed_effects.plain)
    studies = [row["study_id"] for row in committed_evidence.rows("studies")]
    for first in range(7):
        some = {*studies[first::7]}
        again = derive_again(committed_evidence, Assumptions(), committed_effects, some)
        assert repr(again.plain) == plain
    whole = derive_effects(committed_evidence, HALF)
    some = concerned(committed_evidence, HALF)
    assert some, "some trials compare people with themselves"
    assert not concerned(committed_evidence, Assumptions())
    again = derive_again(committed_evidence, HALF, committed_effects, some)
    assert repr(again.plain) == repr(whole.plain) != plain
    for some in ({*studies[::7]}, concerned(committed_evidence, HALF), {*studies}):
        again = derive_again(committed_evidence, HALF, whole, some, committed_effects)
        assert repr(again.plain) == repr(whole.plain)
