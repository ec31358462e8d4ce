"""Running a declared analysis: no trial, one, two, many; groups; numbers that are finite."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batches import Tables
from helpers import (
    ANALYSIS,
    PROJECT,
    TRIALS,
    arm,
    event,
    evidence_of,
    join_tables,
    score,
    spec_of,
    study,
    tables_of,
    trials,
)
from ketameta import pool
from ketameta.analyses import Related, group_label, run_analysis, select_effects, study_rows
from ketameta.evidence import derive_effects
from ketameta.formatting import MINUS, published
from ketameta.measures import RANDOMISED
from ketameta.models.diagnostics import AGREEMENTS
from report_pages import committed_results
from tolerances import PUBLISHED

GROUPED = '[model]\ngroup_by = "access"\n'


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Return a function from tables and the rest of an analysis file to its results."""

    def running(tables: Tables, more: str = "", text: str = ANALYSIS) -> dict[str, Any]:
        spec = spec_of(tmp_path, more, text)
        evidence = evidence_of(tables)
        return run_analysis(spec, derive_effects(evidence, spec.assume), evidence)

    return running


PLANNED = """
[model]
measure = "MD"
[next_trial]
important_difference = -4.0
source = "an invented reason"
sd = 8.0
unit = "points"
n_per_arm = [20]
"""
DOSED = '\n[dose]\nunit = "mg_per_kg"\nstep = 0.5\n[model]\nmeasure = "MD"\n'


def kept_parts(folder: Path, table: str = "", was: str = "", now: str = "") -> dict[str, str]:
    """Return what each kept part of two analyses rests on, after a change of text or table."""
    seen: dict[str, str] = {}

    def keep(name: str, make: Callable[[], Any], of: str = "") -> Any:
        seen[name.partition("-")[0]] = of
        return make()

    dosed = ANALYSIS.replace("looked_for", 'kind = "dose_response"\nlooked_for')
    tables = {name: [dict(row) for row in rows] for name, rows in trials(4).items()}
    if table:
        tables[table][0][was] = now
    for text, more in ((ANALYSIS, PLANNED), (dosed, DOSED)):
        if was and not table:
            text, more = text.replace(was, now), more.replace(was, now)
        spec, evidence = spec_of(folder, more, text), evidence_of(tables)
        effects = derive_effects(evidence, spec.assume)
        related = Related({spec.name: spec}, lambda _, known=effects: known, keep)
        run_analysis(spec, effects, evidence, related)
    return seen


@pytest.fixture(scope="module")
def kept_before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return kept_parts(tmp_path_factory.mktemp("before"))


@pytest.mark.parametrize(
    ("table", "was", "now", "changed"),
    [
        ("", 'title = "', 'title = "Asked: ', set()),
        ("", '"MD"\n', '"MD"\nci_method = "wald"\n', {"second", "next", "doses"}),
        ("", "difference = -4.0", "difference = -3.0", {"next"}),
        ("", "step = 0.5", "step = 0.25", {"doses"}),
        ("outcomes", "mean", "12.9", {"second", "next", "doses"}),
        ("outcomes", "note", "checked twice", set()),
    ],
)
def test_a_kept_part_is_known_by_all_that_it_is_computed_from(
    tmp_path: Path, kept_before: dict[str, str], table: str, was: str, now: str, changed: set[str]
) -> None:
    after = kept_parts(tmp_path, table, was, now)
    assert set(kept_before) == set(after) == {"second", "next", "doses"}
    assert {name for name in after if kept_before[name] != after[name]} == changed


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def assert_can_be_published(result: dict[str, Any]) -> None:
    """Everything is plain, finite, rounded and survives a round trip; no p or SE is 0."""
    text = json.dumps(result, allow_nan=False, sort_keys=True)
    assert json.loads(text) == result == published(result)
    for path, value in leaves(result):
        assert value is None or isinstance(value, (str, int, float)), path
        if path.endswith((".se", ".p_value")):
            assert value is None or value > 0, path


def with_access(tables: Tables, *words: str) -> Tables:
    for row, word in zip(tables["studies"], words, strict=True):
        row["access"] = word
    return tables


# --- no trial, one, two, many ---------------------------------------------------------------------


@pytest.mark.parametrize("k", range(6))
def test_any_number_of_trials_gives_a_result_that_can_be_published(run: Any, k: int) -> None:
    result = run(trials(k))
    assert_can_be_published(result)
    assert result["k"] == k
    assert sum(len(group["rows"]) for group in result["groups"]) == k
    assert result["sentences"]
    assert (result["pooled"] is None) == (k == 0)


def test_no_trial_says_what_was_looked_for_and_estimates_nothing(run: Any) -> None:
    result = run(trials(2), 'design = ["crossover_rct"]\n')
    assert result["sentences"] == [
        "No eligible trial was found. Found instead: 2 studies, measured in other comparisons "
        "(Alder 2014: design is parallel rct; Birch 2016: design is parallel rct). "
        "We looked for a trial of ketamine in depression."
    ]
    said = f"{result['headline']['sentence']} We looked for a trial of ketamine in depression."
    assert [said] == result["sentences"]
    assert result["groups"] == [] and result["sensitivity"] == []
    for key in ("pooled", "second_engine", "leave_one_out", "subgroup_test"):
        assert result[key] is None
    assert {item["code"] for item in result["excluded"]} == {"design"}
    assert "no_studies" in {caveat["code"] for caveat in result["caveats"]}
    assert result["n_participants"] == 0


def test_one_trial_is_itself(run: Any) -> None:
    result = run(trials(1))
    (row,) = result["groups"][0]["rows"]
    assert result["pooled"]["estimate"] == pytest.approx(row["estimate"], rel=PUBLISHED)
    assert result["pooled"]["se"] == pytest.approx(row["se"], rel=PUBLISHED)
    assert result["pooled"]["ci_low"] == pytest.approx(row["ci_low"], rel=PUBLISHED)
    assert result["pooled"]["tau2"] is None and result["pooled"]["pi_low"] is None
    assert result["sensitivity"] == [] and result["second_engine"] is None
    assert row["weight"] == 1.0
    assert "single_study" in {caveat["code"] for caveat in result["caveats"]}


def test_two_trials_have_their_intervals_and_no_prediction(run: Any) -> None:
    result = run(trials(2))
    assert result["pooled"]["pi_low"] is None
    assert "knapp_hartung" in {item["code"] for item in result["sensitivity"]}
    assert {"trial", "wald", "knapp_hartung", "bayes_half_scale"} <= {
        item["code"] for item in result["headline"]["beside"]
    }
    assert len(result["intervals"]) == 3
    # The differences themselves are rounding; tests of the models hold them.
    assert set(result["second_engine"]) == {"engine", "version", "agrees_to"}
    assert result["second_engine"]["agrees_to"] == AGREEMENTS[0]
    assert result["leave_one_out"] is None


def test_three_trials_have_a_prediction_interval_and_are_left_out_in_turn(run: Any) -> None:
    result = run(trials(3))
    pooled = result["pooled"]
    assert pooled["pi_low"] <= pooled["ci_low"] < pooled["ci_high"] <= pooled["pi_high"]
    left = result["leave_one_out"]
    assert [row["study_id"] for row in left["rows"]] == list(TRIALS)[:3]
    assert left["lowest"] <= pooled["estimate"] <= left["highest"]


def test_the_pooled_numbers_are_those_of_the_model(run: Any) -> None:
    result = run(trials(5))
    rows = result["groups"][0]["rows"]
    fit = pool([row["estimate"] for row in rows], [row["variance"] for row in rows])
    for name in ("estimate", "se", "ci_low", "ci_high", "tau2", "i2", "q", "pi_low", "p_value"):
        assert result["pooled"][name] == pytest.approx(getattr(fit, name), rel=PUBLISHED), name
    assert [row["weight"] for row in rows] == pytest.approx(fit.weights.tolist(), rel=PUBLISHED)
    assert result["pooled"]["tau2_method"] == "REML"
    assert result["pooled"]["ci_method"] == "knapp-hartung-conservative"


def test_declared_choices_reach_the_model(run: Any) -> None:
    more = '[model]\nmeasure = "MD"\ntau2_method = "DL"\nci_method = "wald"\nlevel = 0.9\n'
    result = run(trials(4), more)
    pooled = result["pooled"]
    assert (pooled["tau2_method"], pooled["ci_method"], pooled["level"]) == ("DL", "wald", 0.9)
    assert (result["measure"], result["level"]) == ("MD", 0.9)
    codes = {item["code"] for item in result["sensitivity"]}
    assert "tau2_dl" not in codes
    assert "(90% credible interval" in result["sentences"][0]


def test_two_runs_give_the_same_bytes(run: Any) -> None:
    texts = [json.dumps(run(trials(4)), sort_keys=True) for _ in range(2)]
    assert texts[0] == texts[1]


def test_the_order_of_trials_in_the_tables_does_not_matter(run: Any) -> None:
    tables = trials(4)
    turned = {name: list(reversed(rows)) for name, rows in tables.items()}
    one, two = run(tables), run(turned)
    assert one["pooled"] == two["pooled"]
    assert one["sensitivity"] == two["sensitivity"]


# --- groups ---------------------------------------------------------------------------------------

ACCESS = ("full_text", "abstract", "full_text", "abstract", "label")


def test_groups_are_pooled_apart_and_compared(run: Any) -> None:
    result = run(with_access(trials(5), *ACCESS), GROUPED)
    groups = {group["key"]: group for group in result["groups"]}
    assert list(groups) == ["abstract", "full_text", "label"]
    assert [len(group["rows"]) for group in groups.values()] == [2, 2, 1]
    for group in groups.values():
        fit = pool([row["estimate"] for row in group["rows"]],
                   [row["variance"] for row in group["rows"]])  # fmt: skip
        assert group["pooled"]["estimate"] == pytest.approx(fit.estimate, rel=PUBLISHED)
    test = result["subgroup_test"]
    assert (test["levels_tested"], test["df"]) == (["full_text", "abstract"], 1)
    assert 0 < test["p_value"] <= 1
    assert "group_of_one" in {caveat["code"] for caveat in result["caveats"]}


def test_the_declared_order_of_groups_comes_first(run: Any) -> None:
    more = GROUPED + 'group_order = ["label", "full_text", "individual_data"]\n'
    result = run(with_access(trials(5), *ACCESS), more)
    assert [group["key"] for group in result["groups"]] == ["label", "full_text", "abstract"]


def test_a_test_between_groups_of_one_is_withheld_with_its_reason(run: Any) -> None:
    result = run(with_access(trials(2), "full_text", "abstract"), GROUPED)
    assert result["subgroup_test"]["q"] is None
    assert result["subgroup_test"]["withheld"]
    assert run(with_access(trials(2), "abstract", "abstract"), GROUPED)["subgroup_test"] is None


@pytest.mark.parametrize("overall", ["true", "false"])
def test_weights_add_up_to_one_over_everything_or_over_each_group(run: Any, overall: str) -> None:
    more = GROUPED + f"overall = {overall}\n"
    result = run(with_access(trials(5), *ACCESS), more)
    weights = [[row["weight"] for row in group["rows"]] for group in result["groups"]]
    if overall == "true":
        assert sum(map(sum, weights)) == pytest.approx(1, rel=PUBLISHED)
    else:
        assert [sum(group) for group in weights] == pytest.approx([1, 1, 1], rel=PUBLISHED)


def test_groups_that_are_not_pooled_together_have_no_overall_result(run: Any) -> None:
    result = run(with_access(trials(5), *ACCESS), GROUPED + "overall = false\n")
    assert_can_be_published(result)
    assert result["pooled"] is None and result["sensitivity"] == []
    assert result["second_engine"] is None and result["leave_one_out"] is None
    assert result["k"] == 5
    assert sum("standardised mean difference \u2212" in s for s in result["sentences"]) == 3


def times() -> Tables:
    """Return two trials measured on day 1 and day 28."""
    return join_tables(
        *(
            {
                "studies": [study(name, year=name[-4:])],
                "arms": [arm(study_id=name), arm("placebo", name, control=True)],
                "outcomes": [
                    score(a, name, time_days=day, mean=mean)
                    for day in ("1", "28")
                    for a, mean in (("ketamine", treated), ("placebo", "16"))
                ],
            }
            for name, treated in (("alder_2014", "12"), ("birch_2016", "13"))
        )
    )


def test_a_trial_in_several_groups_is_joined_for_the_overall_result(run: Any) -> None:
    result = run(times(), '[model]\ngroup_by = "time_class"\n')
    assert result["k"] == 2
    assert [len(group["rows"]) for group in result["groups"]] == [2, 2]
    assert result["n_participants"] == 120
    assert "study_in_several_groups" in {caveat["code"] for caveat in result["caveats"]}
    for group in result["groups"]:
        assert sum(row["weight"] for row in group["rows"]) == pytest.approx(1, rel=PUBLISHED)


def test_a_time_that_is_not_in_the_declared_order_keeps_its_mean(run: Any) -> None:
    other = {key: rows for key, rows in trials(5).items() if key in ("studies", "arms", "outcomes")}
    later = {
        key: [row for row in rows if row["study_id"] not in ("alder_2014", "birch_2016")]
        for key, rows in other.items()
    }
    more = (
        '[model]\ngroup_by = "time_class"\ngroup_order = ["24_hours"]\n'
        "overall = false\nover_time = true\n"
    )
    tables = join_tables({key: rows for key, rows in times().items() if key in later}, later)
    result = run(tables, more)
    found = result["over_time"]
    assert found["classes"] == ["24_hours", "days_22_to_35"]
    if not found["withheld"]:
        assert sum(mean["effects"] for mean in found["means"]) == found["effects"]
    assert_can_be_published(result)


def test_levels_of_moderators_have_words() -> None:
    assert group_label("nmda_antagonist", PROJECT) == "NMDA-receptor antagonists"
    assert group_label("full_text", PROJECT) == "Full text"


# --- differences within trials --------------------------------------------------------------------


def presentations(name: str, treated: tuple[str, ...]) -> Tables:
    return {
        "studies": [study(name, year=name[-4:])],
        "arms": [arm(study_id=name), arm("placebo", name, control=True)],
        "outcomes": [
            score(a, name, subgroup=f"adhd_subtype={kind}", mean=m)
            for kind, mean in zip(("inattentive", "combined"), treated, strict=False)
            for a, m in (("ketamine", mean), ("placebo", "16"))
        ],
    }


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_differences_within_trials(run: Any, count: int) -> None:
    names = list(TRIALS)[:count]
    tables = join_tables(
        presentations("larch_2000", ("12",)),
        *(presentations(name, ("12", f"{13 + i}")) for i, name in enumerate(names)),
    )
    text = 'kind = "within_trial"\n' + ANALYSIS
    more = (
        'within = true\nsubgroup_keys = ["adhd_subtype"]\n[model]\ngroup_by = "adhd_subtype"\n'
        'group_order = ["inattentive", "combined"]\n'
    )
    result = run(tables, more, text)
    assert_can_be_published(result)
    assert result["k"] == count, "a trial with one group has no difference"
    if count:
        assert "difference between the groups" in result["sentences"][0]
        assert result["pooled"]["estimate"] < 0


# --- events ---------------------------------------------------------------------------------------

NAUSEA = ANALYSIS.replace('["depression"]', '["nausea"]')


def counted(*cells: tuple[int, int, int, int]) -> Tables:
    return join_tables(
        *(
            {
                "studies": [study(name, year=name[-4:])],
                "arms": [arm(study_id=name), arm("placebo", name, control=True)],
                "outcomes": [
                    event(study_id=name, events=str(e1), n=str(n1)),
                    event("placebo", name, events=str(e2), n=str(n2)),
                ],
            }
            for name, (e1, n1, e2, n2) in zip(TRIALS, cells, strict=False)
        )
    )


def test_ratios_are_pooled_as_logarithms_and_said_as_ratios(run: Any) -> None:
    result = run(counted((8, 30, 2, 30), (5, 20, 3, 21), (9, 40, 4, 41)),
                 '[model]\nmeasure = "RR"\n', NAUSEA)  # fmt: skip
    assert_can_be_published(result)
    assert result["is_ratio"] and result["null"] == 1.0
    assert result["headline"]["rule"]["code"] == "few_trials_sparse"
    ratio = math.exp(result["headline"]["estimate"])
    assert f"odds ratio {ratio:.2f}" in result["sentences"][0]
    events = result["events"]
    assert {item["method"] for item in events["methods"]} >= {"Peto"}
    assert events["baseline_risk"] == pytest.approx((2 + 3 + 4) / (30 + 21 + 41), rel=PUBLISHED)


def test_a_trial_without_events_is_set_aside_and_said(run: Any) -> None:
    result = run(counted((0, 30, 0, 30), (5, 20, 3, 21)), '[model]\nmeasure = "OR"\n', NAUSEA)
    assert_can_be_published(result)
    assert result["k"] == 1
    assert [item["code"] for item in result["excluded"]] == ["no_events"]


def test_a_risk_difference_keeps_the_trial_without_events(run: Any) -> None:
    result = run(counted((0, 30, 0, 30), (5, 20, 3, 21)), '[model]\nmeasure = "RD"\n', NAUSEA)
    assert_can_be_published(result)
    assert result["k"] == 2


def test_scores_have_no_event_companions(run: Any) -> None:
    assert run(trials(3))["events"] is None


# --- caveats and companions -----------------------------------------------------------------------


def test_assumptions_and_models_behind_the_numbers_are_caveats(run: Any) -> None:
    tables = trials(2)
    tables["studies"][0]["design"] = "crossover_rct"
    for row in tables["outcomes"]:
        row["sd_origin"] = "model"
    result = run(tables, "[assume]\ncorrelation = 0.5\n")
    codes = {caveat["code"]: caveat["message"] for caveat in result["caveats"]}
    assert "a within-person correlation of 0.5 (" in codes["assumption"]
    assert "model_based_spread" in codes
    only_raw = next(item for item in result["sensitivity"] if item["code"] == "raw_spread")
    assert only_raw["k"] == 0 and only_raw["estimate"] is None
    assert_can_be_published(result)


def test_sensitivity_analyses_change_one_choice_each(run: Any) -> None:
    result = run(trials(5))
    found = {item["code"]: item for item in result["sensitivity"]}
    rows = result["groups"][0]["rows"]
    y, v = ([row[key] for row in rows] for key in ("estimate", "variance"))
    assert found["tau2_dl"]["estimate"] == pytest.approx(pool(y, v, "DL").estimate, rel=PUBLISHED)
    bare = pool(y, v, ci_method="knapp-hartung").ci_low
    assert found["knapp_hartung"]["ci_low"] == pytest.approx(bare, rel=PUBLISHED)
    beside = {item["code"]: item for item in result["headline"]["beside"]}
    wald = pool(y, v, ci_method="wald").ci_low
    assert beside["wald"]["ci_low"] == pytest.approx(wald, rel=PUBLISHED)
    assert beside["common_effect"]["estimate"] == pytest.approx(
        float(np.average(y, weights=1 / np.array(v))), rel=PUBLISHED
    )
    assert beside["wald"]["estimate"] == result["pooled"]["estimate"]
    assert beside["bayes"]["k"] == 5


def test_trials_at_low_risk_of_bias_stand_beside_and_every_row_has_its_light(run: Any) -> None:
    tables = trials(4)
    judged = {"alder_2014": "low", "birch_2016": "low", "cedar_2017": "high"}
    tables["risk_of_bias"] = [
        {"study_id": name, "tool": "rob2", "domain": "overall", "judgement": word}
        for name, word in judged.items()
    ]
    result = run(tables)
    (strict,) = [item for item in result["sensitivity"] if item["code"] == "low_risk"]
    rows = {row["study_id"]: row for row in result["groups"][0]["rows"]}
    low = [rows[name] for name in ("alder_2014", "birch_2016")]
    y, v = ([row[key] for row in low] for key in ("estimate", "variance"))
    assert strict["k"] == 2
    assert strict["estimate"] == pytest.approx(pool(y, v).estimate, rel=PUBLISHED)
    lights = {name: row["risk_of_bias"].get("worst_domain") for name, row in rows.items()}
    assert lights == {**judged, "elm_2019": None}


def test_a_stricter_rule_stands_beside_only_where_it_leaves_something_out(run: Any) -> None:
    codes = {item["code"] for item in run(trials(3))["sensitivity"]}
    assert not codes & {"full_access", "raw_spread", "no_pools", "double_blind"}
    result = run(with_access(trials(3), "abstract", "full_text", "full_text"))
    strict = next(item for item in result["sensitivity"] if item["code"] == "full_access")
    assert strict["k"] == 2


# --- numbers in sentences -------------------------------------------------------------------------

NUMBER = re.compile(rf"{MINUS}?\d[\d,]*(?:\.\d+)?")


def printed_forms(result: dict[str, Any]) -> set[str]:
    """Return every number of a result as it may be printed: rounded, as percent, as ratio."""
    forms = set()
    for _, value in leaves(result):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        numbers = [value, 100 * value]
        if abs(value) < 50:
            numbers.append(math.exp(value))
        if value >= 0:
            numbers.append(math.sqrt(value))
        for number in numbers:
            for digits in range(4):
                text = f"{number:,.{digits}f}".replace("-", MINUS)
                forms |= {text, f"{number:.{digits}f}".replace("-", MINUS)}
    return forms


@pytest.mark.parametrize("k", [0, 1, 2, 4])
@pytest.mark.parametrize("more", ["", GROUPED, GROUPED + "overall = false\n"])
def test_every_number_of_a_sentence_is_a_number_of_the_result(run: Any, k: int, more: str) -> None:
    result = run(with_access(trials(k), *ACCESS[:k]), more)
    forms = printed_forms({key: value for key, value in result.items() if key != "sentences"})
    text = " ".join(result["sentences"]).replace("I²", "").replace("tau²", "")
    for row in (row for group in result["groups"] for row in group["rows"]):
        text = text.replace(row["label"], "")
    for item in result["sensitivity"]:
        text = text.replace(item["label"], "")
    unknown = [number for number in NUMBER.findall(text) if number not in forms]
    assert unknown == []


def test_the_selection_and_the_results_agree(tmp_path: Path, run: Any) -> None:
    spec = spec_of(tmp_path)
    evidence = evidence_of(tables_of([score(), score("placebo"), score(time_days="7")]))
    table = derive_effects(evidence)
    selected = select_effects(spec, table, evidence)
    result = run_analysis(spec, table, evidence)
    assert len(result["excluded"]) == len(selected.excluded)
    assert len(result["unused"]) == len(selected.unused) == 1
    (row,) = study_rows(selected.used, spec.model.measure)
    assert result["groups"][0]["rows"][0]["estimate"] == row["estimate"]
    assert result["spec"]["select"]["outcome"] == ["depression"]


def test_what_was_not_randomised_is_said_of_every_published_result() -> None:
    said = 0
    for result in committed_results():
        rows = [row for group in result["groups"] for row in group["rows"]]
        loose = {row["label"] for row in rows if row.get("design", RANDOMISED[0]) not in RANDOMISED}
        told = [item for item in result["caveats"] if item["code"] == "not_randomised"]
        assert len(told) == bool(loose), result["name"]
        assert all(label in told[0]["message"] for label in loose)
        said += len(told)
    assert said
