"""Tracing: every row of every result table ends somewhere, and says where."""

from __future__ import annotations

import pytest

from helpers import ANALYSIS, ROOT, contrast, event, make_project, score, trials
from ketameta.errors import UsageError
from ketameta.inputs import load_evidence
from ketameta.paths import project_paths
from ketameta.review import as_text, fates, trace_document, trace_rows

MD = ANALYSIS + '\n[model]\nmeasure = "MD"\n'
EXCLUSION = "Alder 2014,anxiety,2,no_number,In words only.,,,,2020-02-02,AB,,,\n"


@pytest.fixture
def project(tmp_path):
    """Three trials; the first with an event, a comparison, a late score and a row without SD."""
    tables = trials(3)
    tables["outcomes"] += [
        event(),
        event("placebo", events="2"),
        score(time_days="90", mean="11"),
        score("placebo", time_days="90", mean="12"),
        score(time_days="120", sd=""),
    ]
    tables["contrasts"] = [contrast()]
    early = MD.replace('intervention = ["ketamine"]', 'intervention = ["ketamine"]\nmax_days = 60')
    paths = make_project(tmp_path, tables, {"demo": early})
    with (paths.data / "exclusions.csv").open("a", encoding="utf-8") as file:
        file.write(EXCLUSION)
    return paths


def test_every_row_of_a_study_says_where_it_went(project):
    evidence, _ = load_evidence(project)
    found = {
        (trace.source.rsplit("/", 1)[1]): trace
        for trace in trace_rows(project, evidence, "alder_2014")
    }
    assert {place: trace.fate for place, trace in found.items()} == {
        "outcomes.csv:2": "used", "outcomes.csv:3": "used",
        "outcomes.csv:8": "not asked for", "outcomes.csv:9": "not asked for",
        "outcomes.csv:10": "set aside", "outcomes.csv:11": "set aside",
        "outcomes.csv:12": "no effect", "contrasts.csv:2": "not asked for",
    }  # fmt: skip
    assert found["outcomes.csv:2"].used == ("demo",)
    assert any(name.endswith("/endpoint/MD") for name in found["outcomes.csv:2"].effects)
    wider = "select.min_days and select.max_days would have to be wider"
    assert found["outcomes.csv:10"].set_aside == (("demo", f"measured at day 90; {wider}"),)
    assert found["outcomes.csv:8"].asked == ("no analysis asks for the outcome nausea",)
    assert found["outcomes.csv:12"].unused == "nothing printed gives its precision"


def test_the_document_names_effects_exclusions_and_description(project):
    text = as_text(trace_document(project, "alder_2014"))
    assert "8 result rows: 1 no effect, 3 not asked for, 2 set aside, 2 used." in text
    assert "studies.csv:2 studies: alder_2014" in text
    assert "effect alder_2014/ketamine-placebo/depression/hamd/28d//endpoint/MD" in text
    assert "anxiety (2 records): In words only." in text


def test_a_correction_of_a_row_is_named(project):
    (project.data / "corrections.toml").write_text(
        '[[correction]]\nid = "alder"\ntable = "outcomes"\ncolumn = "mean"\naction = "override"\n'
        'where = {study_id = "alder_2014", arm_id = "ketamine", time_days = 28, '
        'statistic = "endpoint"}\nvalue = 12.2\nexpect = 12.1\nreason = "A misprint."\n'
        'source = "erratum"\ndate = "2020-02-02"\n',
        encoding="utf-8",
    )
    assert "alder: A misprint." in as_text(trace_document(project, "alder_2014"))


def test_an_unknown_study_names_the_near_one(project):
    with pytest.raises(UsageError, match=r"'aldr_2014'; did you mean alder_2014\?"):
        trace_document(project, "aldr_2014")


def test_the_totals_add_up(project):
    evidence, _ = load_evidence(project)
    traces = trace_rows(project, evidence)
    assert sum(fates(traces).values()) == len(evidence.rows("outcomes")) + 1
    assert "12 result rows: 1 no effect" in as_text(trace_document(project))


def test_no_committed_row_is_lost(committed_evidence):
    traces = trace_rows(project_paths(ROOT), committed_evidence)
    counts = fates(traces)
    rows = len(committed_evidence.rows("outcomes")) + len(committed_evidence.rows("contrasts"))
    assert sum(counts.values()) == len(traces) == rows
    assert "lost" not in counts, [t.source for t in traces if t.fate == "lost"]
    assert all(trace.unused for trace in traces if trace.fate == "no effect")


def test_an_analysis_that_asks_for_the_outcome_says_what_keeps_a_row_out(tmp_path):
    other = MD.replace('["ketamine"]', '["ketamine"]\ndiagnosis = ["adhd"]')
    paths = make_project(tmp_path, trials(1), {"demo": other})
    evidence, _ = load_evidence(paths)
    found = trace_rows(paths, evidence, "alder_2014")[0]
    assert found.asked == ("demo asks for the outcome, of diagnosis adhd (here major_depression)",)
