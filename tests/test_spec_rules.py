"""Rules of an analysis file that contradict each other are all said before anything is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers import ANALYSIS, PROJECT, ROOT, problem_lines, write_analysis
from ketameta.analyses import load_spec, load_specs
from ketameta.errors import SpecError
from ketameta.inputs import known_words, load_evidence
from ketameta.paths import project_paths

KNOWN = {
    "outcome": ["depression", "nausea"],
    "counted": ["nausea"],
    "intervention": ["ketamine", "methylphenidate", "placebo"],
    "intervention_class": [
        *("ketamine nmda_antagonist", "methylphenidate stimulant", "placebo placebo"),
    ],
}
MODEL = "\n[model]\n"


def problems(folder: Path, more: str, text: str = ANALYSIS) -> list[str]:
    path = write_analysis(folder, "demo", text, more)
    try:
        load_spec(path, KNOWN, PROJECT)
    except SpecError as error:
        return problem_lines(error)
    return []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (MODEL + 'measure = "RR"', "the outcome depression is measured, not counted; use SMD"),
        ('data_kind = ["events"]', "lets only events in, which give no SMD"),
        ('drug_class = ["stimulant"]', "'ketamine' is of the class nmda_antagonist, which select"),
        (
            'data_kind = ["change"]\n[choose]\ndata_kind = ["contrast", "change"]',
            "choose.data_kind: 'contrast' cannot occur, select.data_kind does not let it in",
        ),
        (
            'instrument = ["madrs"]\n[choose]\ninstrument = ["hdrs"]',
            "choose.instrument: 'hdrs' cannot occur",
        ),
        ("[choose]\ndays = 28", "choose.days is 28 but choose.time is 'latest'"),
        (
            'max_days = 7\n[choose]\ntime = "nearest"\ndays = 28',
            "choose.days is 28, outside select.min_days and select.max_days",
        ),
        ('[choose]\ntime = "neerest"', "did you mean nearest?"),
        (MODEL + 'group_order = ["a"]', "there are no groups; name the moderator in group_by"),
        (
            'diagnosis = ["adhd"]' + MODEL + 'group_by = "diagnosis"',
            "lets only 'adhd' in: a moderator with one level compares nothing",
        ),
        (MODEL + "over_time = true", "over_time needs group_by = 'time_class'; group_by is ''"),
        (MODEL + 'reference = "placebo"', "only an analysis with kind = 'network' has a reference"),
        (MODEL + "rho = 0.5", "the correlation of over_time = true, which is not set"),
        (
            "[next_trial]\npriors = 3\nimportant_difference = -0.5\nsource = 's'",
            "next_trial.priors: no such key; did you mean prior?",
        ),
        ('[expectation]\nreason = "r"', "larger_effect_in is None; name a level of the moderator"),
    ],
)
def test_a_contradiction_is_said(tmp_path: Path, more: str, said: str) -> None:
    assert any(said in line for line in problems(tmp_path, more)), problems(tmp_path, more)


def test_counted_outcomes_need_a_measure_of_counts(tmp_path: Path) -> None:
    text = ANALYSIS.replace('["depression"]', '["nausea"]')
    assert "the outcome nausea is counted; use RR, OR or RD" in problems(tmp_path, "", text)[0]
    kinds = 'data_kind = ["endpoint"]' + MODEL + 'measure = "OR"'
    assert "lets endpoint in, which give no OR; add 'events'" in problems(tmp_path, kinds, text)[0]
    assert problems(tmp_path, MODEL + 'measure = "OR"', text) == []


def test_kinds_of_analysis_have_their_own_rules(tmp_path: Path) -> None:
    network = ANALYSIS.replace("looked_for", 'kind = "network"\nlooked_for')
    plan = '[next_trial]\nimportant_difference = -0.5\nsource = "s"\n'
    found = problems(
        tmp_path,
        MODEL + 'reference = "plcebo"\ngroup_by = "time_class"\nover_time = true\n' + plan,
        network,
    )
    assert [line.strip().split(":")[0] for line in found] == [
        "model.over_time is for kind = 'pooled'; kind is 'network'",
        "model.reference",
        "next_trial",
    ]
    assert "did you mean placebo?" in found[1]
    assert (
        problems(tmp_path, MODEL + 'reference = "methylphenidate_plus_psychoeducation"\n', network)
        == []
    )


def test_every_contradiction_is_said_at_once(tmp_path: Path) -> None:
    more = 'drug_class = ["stimulant"]\ndata_kind = ["events"]\n[choose]\ndays = 3\n'
    more += 'data_kind = ["change"]' + MODEL + 'rho = 0.2\ngroup_order = ["a"]'
    assert len(problems(tmp_path, more)) == 6


def test_a_sound_file_has_none(tmp_path: Path) -> None:
    sound = 'drug_class = ["nmda_antagonist"]\nmin_days = 1\n[choose]\ntime = "nearest"\ndays = 2'
    assert problems(tmp_path, sound) == []


def test_the_project_has_none() -> None:
    paths = project_paths(ROOT)
    evidence, _ = load_evidence(paths)
    known = known_words(evidence)
    assert "nausea" in known["counted"] and "depression" not in known["counted"]
    rows = tuple(
        replace(row, texts={**row.texts, "kind": "events"})
        for row in evidence.rows("outcome_words")
    )
    unknown = replace(evidence, tables={**evidence.tables, "outcome_words": rows})
    assert "counted" not in known_words(unknown)  # a misspelt kind is told once, where it stands
    assert "ketamine nmda_antagonist" in known["intervention_class"]
    assert len(load_specs(paths.analyses, known)) == len(list(paths.analyses.glob("*.toml")))
