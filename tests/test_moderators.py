"""Which value of a moderator speaks for a trial, and that the data hold what analyses read."""

from __future__ import annotations

from pathlib import Path

import pytest

from batches import SHARE, Tables
from helpers import evidence_of, tables_of
from ketameta.inputs import load_evidence
from ketameta.paths import project_paths

NAME = SHARE["moderator"]


def _tables(*rows: dict[str, str]) -> Tables:
    return tables_of() | {"moderators": [SHARE | row for row in rows]}


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        ([{"value": "10", "basis": "by_rule"}, {"value": "40", "basis": "counted"}], 40),
        ([{"value": "40", "basis": "counted"}, {"value": "41", "basis": "printed"}], 41),
        ([{"value": "41", "covers": "some_arms"}, {"value": "40", "basis": "counted"}], 40),
        ([{"value": "41", "source_type": "review"}, {"value": "40"}], 40),
        ([{"value": "40"}, {"value": "41"}], 40),
        ([{"value": "41", "covers": "some_arms"}], 41),
        ([{"value": "41", "covers": "selected"}], None),
        ([{"value": "41", "covers": "other_phase"}], None),
        ([{"value": "41", "arm_id": "ketamine"}], None),
        ([{"value": "41", "moderator": "adhd_combined_percent"}], None),
    ],
)
def test_the_better_founded_value_speaks_for_the_trial(rows, value):
    known = evidence_of(_tables(*rows)).moderator_values(NAME)
    assert {key: row.number("value") for key, row in known.items()} == (
        {} if value is None else {"alder_2014": value}
    )


def test_values_by_rule_can_be_left_out_and_naive_to_what_can_be_chosen():
    by_rule = evidence_of(_tables({"value": "0", "basis": "by_rule"}))
    assert by_rule.moderator_values(NAME)["alder_2014"].number("value") == 0
    assert by_rule.moderator_values(NAME, ("printed", "counted")) == {}
    naive = {"moderator": "prior_naive_percent"}
    both = evidence_of(
        _tables(
            naive | {"value": "46", "naive_to": "any ADHD medicine"},
            naive | {"value": "53", "naive_to": "methylphenidate"},
        )
    )
    found = both.moderator_values("prior_naive_percent", naive_to=("methylphenidate",))
    assert found["alder_2014"].number("value") == 53


def test_a_number_typed_in_studies_goes_before_one_among_the_moderators():
    tables = _tables({"moderator": "age_mean_years", "value": "31", "people": ""})
    assert evidence_of(tables).studies["age_mean_years"].tolist() == [31]
    tables["studies"][0]["age_mean_years"] = "30"
    assert evidence_of(tables).studies["age_mean_years"].tolist() == [30]


def test_every_declared_moderator_of_the_data_has_trials():
    evidence, _ = load_evidence(project_paths(Path(__file__).parents[1]))
    counts = {
        item.name: len(evidence.moderator_values(item.name))
        for item in evidence.project.moderator
        if item.with_basis
    }
    assert all(counts.values()), counts
    rule = evidence.moderator_values(NAME)["kollins_2011"]
    assert (rule.number("value"), rule["basis"]) == (0, "by_rule")
