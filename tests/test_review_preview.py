"""Previews and diffs: what changes, before and after, and nothing written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from batches import write_project
from helpers import (
    ANALYSIS,
    TRIALS,
    arm,
    event,
    make_project,
    score,
    trials,
    two_arms,
    without_better,
)
from ketameta.analyses import load_specs, run_analysis
from ketameta.errors import ExtractionError, UsageError
from ketameta.evidence import derive_effects
from ketameta.evidence.checks import check_project
from ketameta.inputs import load_evidence
from ketameta.review import (
    Diff,
    as_html,
    as_markdown,
    as_text,
    compare_results,
    diff_document,
    diff_release,
    forest_pictures,
    preview_batch,
    preview_document,
    route_words,
    sides,
    trace_document,
)

MD = ANALYSIS + '\n[model]\nmeasure = "MD"\n'
NAUSEA = (
    without_better(ANALYSIS)
    .replace('["depression"]', '["nausea"]')
    .replace("Depression after", "Nausea with")
    + '\n[model]\nmeasure = "RR"\n'
)
CLAIM = """\
[[claim]]
id = "works"
claim = "Ketamine lowers depression."
made_at = "example.org"
would_support = "trials"
source = "general"
analyses = ["demo"]
rule = "benefit"
"""
#: A trial that is far from the others, and an event that no analysis but nausea asks for.
NEW = "oak_2024"


def new_trial():
    """Return the tables of one more trial: a large effect, an event, and a row without an SD."""
    tables = two_arms(
        NEW,
        {"mean": "6.0", "sd": "5.1", "n": "40"},
        {"mean": "18.0", "sd": "5.4", "n": "40"},
        year="2024",
        n_randomised="80",
    )
    for row in tables["arms"]:
        row["n_randomised"] = "40"
    tables["outcomes"] += [
        event(study_id=NEW, n="40"),
        event("placebo", NEW, n="40", events="2"),
        score(study_id=NEW, time_days="56", sd=""),
    ]
    return tables


def with_batch(tmp_path, count=3, analyses=None, *, inside=True):
    """Return a project of ``count`` trials and the folder of one more."""
    paths = make_project(
        tmp_path / "project", trials(count), analyses or {"demo": MD, "nausea": NAUSEA}
    )
    if (paths.analyses / "demo.toml").exists():
        (paths.data / "claims.toml").write_text(CLAIM, encoding="utf-8")
    root = paths.root if inside else tmp_path / "elsewhere"
    write_project(root, new_trial(), "new")
    return paths, root / "data" / "extracted" / "new"


def everything(paths):
    """Return every file of the project with its bytes."""
    return {path: path.read_bytes() for path in paths.root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("inside", [True, False])
def test_a_batch_is_shown_before_and_after_and_nothing_is_written(tmp_path, inside):
    paths, folder = with_batch(tmp_path, inside=inside)
    before = everything(paths)
    found = preview_batch(paths, folder)
    assert everything(paths) == before
    demo, nausea = sorted(found.changes, key=lambda change: change.name)
    assert (demo.name, demo.before[0].k, demo.after[0].k) == ("demo", 3, 4)
    assert demo.entered == ("Oak 2024",) and demo.left == demo.altered == ()
    assert nausea.before[0].conclusion == "no eligible trial"
    assert nausea.after[0].conclusion.startswith("one trial; ")


def test_the_numbers_are_those_of_the_analysis_with_and_without_the_batch(tmp_path):
    paths, folder = with_batch(tmp_path)
    found = preview_batch(paths, folder)
    change = next(change for change in found.changes if change.name == "demo")
    evidence, _ = load_evidence(paths)
    spec = next(spec for spec in load_specs(paths.analyses) if spec.name == "demo")
    after = run_analysis(spec, derive_effects(evidence), evidence)
    shutil.rmtree(folder)
    evidence, _ = load_evidence(paths)
    before = run_analysis(spec, derive_effects(evidence), evidence)
    for side, result in ((change.before[0], before), (change.after[0], after)):
        for name in ("estimate", "tau", "pi_high"):
            assert side.numbers[name] == result["headline"][name]
        assert side.people == result["n_participants"]


def test_every_new_effect_has_its_route_and_the_analyses_it_enters(tmp_path):
    paths, folder = with_batch(tmp_path)
    effects = {
        (effect["outcome"], effect["measure"]): effect
        for effect in preview_batch(paths, folder).effects
    }
    assert set(effects) == {
        ("depression", "MD"), ("depression", "SMD"), ("nausea", "OR"), ("nausea", "RR"),
        ("nausea", "RD"),
    }  # fmt: skip
    assert effects["depression", "MD"]["analyses"] == ("Depression after ketamine",)
    assert effects["depression", "SMD"]["analyses"] == ()
    assert effects["depression", "MD"]["estimate"] == pytest.approx(-12)
    assert route_words(effects["depression", "MD"]["route"]) == "mean and SD as printed"
    assert "correlation" in route_words("sd_printed", "correlation=0.5")


def test_a_row_without_an_effect_is_shown_with_its_reason(tmp_path):
    paths, folder = with_batch(tmp_path)
    found = preview_batch(paths, folder)
    (row,) = found.unused
    assert row.source.endswith("outcomes.csv:6") and "day 56" in row.row
    assert row.reason == "nothing printed gives its precision"


def test_effects_of_the_batch_that_are_set_aside_say_why(tmp_path):
    late = MD.replace('intervention = ["ketamine"]', 'intervention = ["ketamine"]\nmin_days = 60')
    paths, folder = with_batch(tmp_path, analyses={"late": late})
    found = preview_batch(paths, folder)
    assert found.changes == ()
    assert [(row.analysis, row.reason) for row in found.set_aside] == [
        ("Depression after ketamine", "measured at day 28")
    ]


def test_a_changed_conclusion_and_a_changed_verdict_are_said(tmp_path):
    paths, folder = with_batch(tmp_path, count=1)
    found = preview_batch(paths, folder)
    change = next(change for change in found.changes if change.name == "demo")
    assert [pair[1:] for pair in change.new_conclusions] == [
        (change.before[0].conclusion, change.after[0].conclusion)
    ]
    text = as_text(preview_document(found))
    assert "The conclusion changes from 'one trial; the interval includes no difference'" in text


def test_a_claim_changes_its_verdict_when_the_first_trial_comes(tmp_path):
    other = MD.replace('outcome = ["depression"]', 'outcome = ["nausea"]').replace("MD", "RR")
    paths, folder = with_batch(tmp_path, analyses={"demo": other})
    found = preview_batch(paths, folder)
    assert found.claims == (
        ("Ketamine lowers depression.", "no eligible trial found", "uncertain"),
    )
    assert "Public claims whose verdict changes" in as_markdown(preview_document(found))


def test_another_arm_of_a_trial_that_is_there_changes_that_trial(tmp_path):
    paths = make_project(tmp_path, trials(3), {"demo": MD})
    more = {
        "arms": [arm("low", "alder_2014", intervention="ketamine", dose="0.2")],
        "outcomes": [score("low", "alder_2014", mean="9.0", sd="6.0", n="30")],
    }
    write_project(paths.root, more, "low_dose")
    (change,) = preview_batch(paths, "low_dose").changes
    assert change.altered == ("Alder 2014",) and change.entered == ()
    assert "With other numbers: Alder 2014." in as_text(
        preview_document(preview_batch(paths, "low_dose"))
    )


def test_a_batch_that_touches_nothing_says_so(tmp_path):
    paths, folder = with_batch(
        tmp_path,
        analyses={"demo": without_better(MD).replace('["depression"]', '["anxiety_symptoms"]')},
    )
    found = preview_batch(paths, folder)
    assert found.changes == () and found.unchanged == ("Depression after ketamine",)
    assert "0 of 1 analysis change, and the conclusion of 0" in as_text(preview_document(found))


def test_errors_are_all_shown_instead_of_a_preview(tmp_path):
    paths, folder = with_batch(tmp_path)
    path = folder / "outcomes.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",40,6.0,", ",400,6.0,"))
    with pytest.raises(ExtractionError) as refusal:
        preview_batch(paths, folder)
    assert "n_above_randomised" in str(refusal.value)
    assert "cannot be previewed before its errors are mended" in str(refusal.value)


@pytest.mark.parametrize("inside", [True, False])
def test_errors_of_other_batches_do_not_stop_a_preview_and_are_named_in_a_line(tmp_path, inside):
    paths, folder = with_batch(tmp_path, inside=inside)
    write_project(paths.root, trials(4), "bad")
    path = paths.extracted / "bad" / "outcomes.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",endpoint,", ",endpiont,"))
    for table in ("studies", "arms"):
        (paths.extracted / "bad" / f"{table}.csv").unlink()
    found = preview_batch(paths, folder)
    assert found.left_out == ("Left out: 9 errors elsewhere, not listed here: bad (9).",)
    assert [change.after[0].k for change in found.changes if change.name == "demo"] == [4]
    text, code = check_project(paths.root, ["bad"])
    assert code == 1 and "9 errors" in text
    text, code = check_project(paths.root, [folder])
    assert code == 0 and "9 more errors elsewhere, not listed here." in text
    assert "Left out: 9 errors" in as_text(trace_document(paths))


def test_a_trial_unlike_all_others_of_an_analysis_is_asked_about(tmp_path):
    paths, folder = with_batch(tmp_path)
    path = folder / "studies.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("major_depression", "adhd"))
    (question,) = preview_batch(paths, folder).questions
    assert question.startswith(
        "oak_2024 enters Depression after ketamine (demo), and its diagnosis"
    )
    assert "select.diagnosis" in question


def test_an_unknown_batch_names_the_near_one(tmp_path):
    paths, _ = with_batch(tmp_path)
    with pytest.raises(UsageError, match=r"the batches are demo, new; did you mean demo\?"):
        preview_batch(paths, "dmeo")


def test_the_three_renderings_say_the_same(tmp_path):
    paths, folder = with_batch(tmp_path)
    document = preview_document(preview_batch(paths, folder))
    text, markdown, page = as_text(document), as_markdown(document), as_html(document, "x")
    for words in ("Depression after ketamine", "before", "after", "Enters with Oak 2024"):
        assert words in text and words in markdown and words in page


def test_the_page_draws_both_forest_plots_on_one_axis(tmp_path):
    paths, folder = with_batch(tmp_path)
    found = preview_batch(paths, folder)
    before, after = forest_pictures(found.changes[0])
    assert before.svg.startswith(b"<svg ") and before.caption == "Before"
    assert "Oak 2024" in after.alternative and "Oak 2024" not in before.alternative
    page = as_html(preview_document(found, forest_pictures), "x")
    assert page.count("<img ") == 2 * len(found.changes)
    assert forest_pictures(replace(found.changes[0], results=(None, {}))) == ()


# --- groups ---------------------------------------------------------------------------------------


def test_only_the_groups_that_change_are_shown(tmp_path):
    tables = trials(4)
    for row in tables["studies"][:2]:
        row["prior_treatment_resistance"] = "resistant"
    grouped = MD + 'group_by = "prior_treatment_resistance"\n'
    paths = make_project(tmp_path, tables, {"demo": grouped})
    write_project(paths.root, new_trial(), "new")
    (change,) = preview_batch(paths, "new").changes
    assert {side.label for side in change.after} == {"", "Treatment-resistant", "Not reported"}
    assert {two.label for _, two in change.changed_pairs} == {"", "Not reported"}


# --- diff -----------------------------------------------------------------------------------------


def publish(paths, name="v1"):
    """Write the results of the present data as a release."""
    evidence, _ = load_evidence(paths)
    folder = paths.reports / "releases" / name / "results"
    folder.mkdir(parents=True)
    for spec in load_specs(paths.analyses):
        result = run_analysis(spec, derive_effects(evidence), evidence)
        (folder / f"{spec.name}.json").write_text(json.dumps(result), encoding="utf-8")
    return folder


def test_a_release_of_the_same_data_shows_no_difference(tmp_path):
    paths = make_project(tmp_path, trials(3), {"demo": MD, "nausea": NAUSEA})
    publish(paths)
    found = diff_release(paths, "v1")
    assert (found.changes, found.added, found.removed, found.same) == ((), (), (), 2)


def test_a_release_is_compared_with_the_present_data(tmp_path):
    paths = make_project(tmp_path, trials(3), {"demo": MD, "nausea": NAUSEA})
    folder = publish(paths)
    write_project(paths.root, new_trial(), "new")
    (paths.analyses / "nausea.toml").rename(paths.analyses / "sickness.toml")
    found = diff_release(paths, folder.parent)
    assert [change.name for change in found.changes] == ["demo"]
    assert found.added == found.removed == ("Nausea with ketamine",)
    text = as_text(diff_document(found))
    assert "1 of 3 analyses changes, 0 are the same." in text
    assert "New analyses" in text and "Analyses that are gone" in text


def test_a_trial_that_left_is_named(tmp_path):
    paths = make_project(tmp_path, trials(4), {"demo": MD})
    publish(paths)
    write_project(paths.root, trials(3))
    (change,) = diff_release(paths, "v1").changes
    assert change.left == ("Elm 2019",) and list(TRIALS)[3] == "elm_2019"


def test_an_unknown_release_and_a_file_that_is_no_result_are_said(tmp_path):
    paths = make_project(tmp_path, trials(1), {"demo": MD})
    with pytest.raises(UsageError, match="no release is published yet"):
        diff_release(paths, "v1")
    folder = publish(paths)
    with pytest.raises(UsageError, match="the releases are v1, and any folder"):
        diff_release(paths, "v2")
    (folder / "demo.json").write_text("[1]", encoding="utf-8")
    (folder / "other.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError) as refusal:
        diff_release(paths, "v1")
    assert "demo.json: is no result" in str(refusal.value)
    assert "other.json: cannot be read" in str(refusal.value)


# --- comparing ------------------------------------------------------------------------------------


def result_of(paths):
    """Return the result of the only analysis."""
    evidence, _ = load_evidence(paths)
    (spec,) = load_specs(paths.analyses)
    return run_analysis(spec, derive_effects(evidence), evidence)


def test_rounding_in_the_last_place_is_no_change(tmp_path):
    result = result_of(make_project(tmp_path, trials(3), {"demo": MD}))
    other = json.loads(json.dumps(result))
    other["headline"]["estimate"] *= 1 + 1e-12
    assert not compare_results(result, other).is_changed
    other["headline"]["estimate"] *= 1.001
    assert compare_results(result, other).is_changed


def test_a_prediction_interval_that_now_includes_no_difference_is_said(tmp_path):
    result = result_of(make_project(tmp_path, trials(3), {"demo": MD}))
    one, two = json.loads(json.dumps(result)), json.loads(json.dumps(result))
    one["headline"] |= {"pi_low": -9.0, "pi_high": -1.0}
    two["headline"] |= {"pi_low": -9.0, "pi_high": 1.0}
    assert compare_results(one, two).new_predictions == (
        "The prediction interval for a new trial now includes no difference.",
    )
    assert "no longer includes" in compare_results(two, one).new_predictions[0]


def test_groups_that_are_not_pooled_together_are_compared_one_by_one(tmp_path):
    apart = MD + 'group_by = "instrument"\n'
    result = result_of(make_project(tmp_path, trials(2), {"demo": apart}))
    assert result["pooled"] is None
    assert [(side.label, side.k) for side in sides(result)] == [("Hamd", 2)]


def test_a_group_that_comes_or_goes_is_said_without_a_conclusion_of_before(tmp_path):
    tables = trials(3)
    tables["studies"][2]["prior_treatment_resistance"] = "resistant"
    grouped = MD + 'group_by = "prior_treatment_resistance"\n'
    full = result_of(make_project(tmp_path / "a", tables, {"demo": grouped}))
    less = result_of(make_project(tmp_path / "b", trials(2), {"demo": grouped}))
    change = compare_results(less, full)
    assert [side.label for side in change.new_groups] == ["Treatment-resistant"]
    assert compare_results(full, less).lost_groups == ("Treatment-resistant",)
    text = as_text(diff_document(Diff("v1", (change,), (), (), 0)))
    assert "Treatment-resistant (a new group): one trial; " in text and "not there" in text
    back = as_text(diff_document(Diff("v1", (compare_results(full, less),), (), (), 0)))
    assert "Treatment-resistant: no trial is left." in back


def test_trials_of_unknown_size_are_not_trials_without_people(tmp_path):
    result = result_of(make_project(tmp_path, trials(2), {"demo": MD}))
    result["n_participants"] = 0
    (side,) = sides(result)
    assert side.people is None and side.written()[1] == "–"
