"""Moderators: their coding, their tests, and how far a difference can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tolerances as tol
from batches import SCHEMA
from helpers import (
    ANALYSIS,
    PROJECT,
    arm,
    effects_of,
    evidence_of,
    join_tables,
    score,
    spec_of,
    study,
    trials,
)
from ketameta import meta_regression, subgroup_analysis
from ketameta.analyses import (
    READINGS,
    coding_of,
    coding_problems,
    compared_levels,
    has_levels,
    in_several_levels,
    level_caveats,
    moderator_analyses,
    moderator_table,
    reading,
    reference_level,
    regressions_of,
    run_analysis,
    select_effects,
)
from ketameta.analyses import credibility as ask
from ketameta.analyses.credibility import credibility
from ketameta.errors import SpecError

BY_TREATMENT = '\n[model]\ngroup_by = "prior_treatment_resistance"\n'


def many_trials(count: int, **columns: Any) -> Any:
    """Return invented trials; a column maps a study's number to a cell of ``studies``."""
    parts = []
    for i in range(count):
        name = f"{('alder', 'birch', 'cedar', 'elm', 'fir')[i % 5]}_{2001 + i}"
        cells = {key: str(value(i)) for key, value in columns.items()}
        parts.append(
            {
                "studies": [study(name, year=str(2001 + i), **cells)],
                "arms": [arm(study_id=name), arm("placebo", name, control=True)],
                "outcomes": [
                    score(study_id=name, mean=f"{12 - 0.3 * (i % 4)}", sd="6", n=f"{30 + i}"),
                    score("placebo", name, mean=f"{14 + 0.2 * i}", sd="6.5", n=f"{29 + i}"),
                ],
            }
        )
    return join_tables(*parts)


def levels(i: int) -> str:
    return ("treatment_naive", "previously_treated", "resistant")[i % 3]


def appraised(folder: Path, tables: Any, more: str = "", text: str = ANALYSIS) -> Any:
    """Return the result of invented tables and the credibility of its moderators."""
    spec = spec_of(folder, more, text)
    evidence = evidence_of(tables)
    result = run_analysis(spec, effects_of(tables), evidence)
    rows = [row for group in result["groups"] for row in group["rows"]]
    used = select_effects(spec, effects_of(tables), evidence).used
    regressions = regressions_of(spec, rows, used, evidence)
    return result, credibility(spec, result, regressions, [spec])


def answers(entry: dict[str, Any]) -> dict[int, str]:
    return {item["question"]: item["answer"] for item in entry["questions"]}


SUBTYPE = coding_of("adhd_subtype", PROJECT)
PRIOR = coding_of("prior_treatment_resistance", PROJECT)


# --- the coding -----------------------------------------------------------------------------------


def test_every_word_of_the_data_has_a_place_in_the_coding() -> None:
    assert set(SUBTYPE.known) == set(SCHEMA["studies"].column("adhd_subtype").allowed)
    assert set(PRIOR.known) == set(SCHEMA["studies"].column("prior_treatment_resistance").allowed)
    for coding in (SUBTYPE, PRIOR):
        assert set(coding.reference) == set(coding.levels)
        assert not set(coding.levels) & set(coding.silent)


def test_levels_that_say_nothing_are_never_compared() -> None:
    sizes = {"combined": 3, "inattentive": 2, "mixed": 9, "hyperactive_impulsive": 1}
    assert compared_levels(SUBTYPE, sizes) == ("combined", "inattentive")
    assert reference_level(SUBTYPE, ("inattentive", "combined")) == "combined"
    other = coding_of("drug_class", PROJECT)
    assert reference_level(other, ("stimulant", "alpha2_agonist")) == "stimulant"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            'adhd_subtype = ["inattentive"]\n[model]\ngroup_by = "adhd_subtype"\n',
            "lets only 'inattentive' in: a moderator with one level compares nothing",
        ),
        (
            'adhd_subtype = ["mixed"]\n[model]\ngroup_by = "adhd_subtype"\n',
            "lets no level in",
        ),
        (
            '[model]\ngroup_by = "adhd_subtype"\ngroup_order = ["inatentive"]\n',
            "'inatentive' is not a level of adhd_subtype: did you mean inattentive",
        ),
        (
            '[model]\ngroup_by = "adhd_subtype"\ngroup_order = ["combined", "combined"]\n',
            "'combined' stands twice",
        ),
        (
            'adhd_subtype = ["inattentive", "combined"]\n[model]\ngroup_by = "adhd_subtype"\n'
            'group_order = ["hyperactive_impulsive"]\n',
            "cannot occur, select.adhd_subtype does not let it in",
        ),
    ],
)
def test_a_moderator_that_cannot_work_is_refused_before_anything_is_computed(
    tmp_path: Path, more: str, words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        spec_of(tmp_path, more)


def test_within_trials_two_levels_are_compared() -> None:
    wrong = coding_problems(SUBTYPE, ("mixed", "combined"), (), "within_trial")
    assert wrong == [
        "model.group_order: 'mixed' is never compared; choose two of combined, inattentive, "
        "hyperactive_impulsive"
    ]
    assert coding_problems(SUBTYPE, ("inattentive", "combined"), (), "within_trial") == []


def test_one_level_in_the_data_is_a_caveat() -> None:
    (only,) = level_caveats(SUBTYPE, {"combined": 3})
    assert only.code == "moderator_with_one_level" and "combined" in only.message
    codes = [c.code for c in level_caveats(SUBTYPE, {"combined": 3, "not_reported": 2})]
    assert codes == ["moderator_with_one_level", "level_never_compared"]
    assert level_caveats(SUBTYPE, {"mixed": 2})[0].code == "moderator_without_level"
    assert level_caveats(SUBTYPE, {"combined": 1, "inattentive": 1}) == ()
    assert level_caveats(coding_of("", PROJECT), {"": 3}) == level_caveats(SUBTYPE, {}) == ()


def test_the_caveat_reaches_the_result(tmp_path: Path) -> None:
    result, (entry,) = appraised(
        tmp_path, trials(3, prior_treatment_resistance="resistant"), BY_TREATMENT
    )
    codes = [caveat["code"] for caveat in result["caveats"]]
    assert "moderator_with_one_level" in codes
    assert entry["withheld"].startswith("Fewer than two levels have 2 trials")
    assert entry["questions"] == [] and entry["rating"]["words"] == "not rated: there is no test"


# --- levels between trials ------------------------------------------------------------------------


def test_levels_are_tested_and_compared_with_the_reference(tmp_path: Path) -> None:
    tables = many_trials(9, prior_treatment_resistance=levels)
    result, (entry,) = appraised(tmp_path, tables, BY_TREATMENT)
    rows = [row for group in result["groups"] for row in group["rows"]]
    y, v = [row["estimate"] for row in rows], [row["variance"] for row in rows]
    test = subgroup_analysis(y, v, [row["group"] for row in rows], repeated_labels="allow")
    assert entry["p_value"] == pytest.approx(test.q_between_p_value, rel=tol.PUBLISHED)
    assert [item["reference"] for item in entry["differences"]] == ["treatment_naive"] * 2
    means = {group["key"]: group["pooled"]["estimate"] for group in result["groups"]}
    for item in entry["differences"]:
        expected = means[item["level"]] - means["treatment_naive"]
        assert item["estimate"] == pytest.approx(expected)
        assert item["ci_low"] < item["estimate"] < item["ci_high"]
    assert answers(entry)[1] == "completely between"
    assert answers(entry)[3] == "rather small or unclear"


def test_two_levels_differ_as_the_test_between_them_says(tmp_path: Path) -> None:
    tables = many_trials(8, prior_treatment_resistance=lambda i: levels(i % 2))
    _, (entry,) = appraised(tmp_path, tables, BY_TREATMENT)
    (difference,) = entry["differences"]
    # With two levels the chi-squared test is the square of the z test of the difference.
    assert difference["p_value"] == pytest.approx(entry["p_value"], rel=tol.PUBLISHED)


def test_few_trials_are_permuted_exactly(tmp_path: Path) -> None:
    tables = many_trials(8, prior_treatment_resistance=lambda i: levels(i % 2))
    result, (entry,) = appraised(tmp_path, tables, BY_TREATMENT)
    found = entry["permutation"]
    assert found["exact"] and found["iterations"] == 70  # 8 over 4
    assert 1 / 70 <= found["p_value"] <= 1
    rows = [row for group in result["groups"] for row in group["rows"]]
    other = np.array([row["group"] == "previously_treated" for row in rows], dtype=float)
    statistic = meta_regression(
        [row["estimate"] for row in rows], [row["variance"] for row in rows], other
    ).qm
    beaten = 0
    for code in range(2**8):
        column = np.array([code >> i & 1 for i in range(8)], dtype=float)
        if column.sum() == 4:
            again = meta_regression(
                [row["estimate"] for row in rows], [row["variance"] for row in rows], column
            ).qm
            assert again is not None and statistic is not None
            beaten += again >= statistic * (1 - 1e-8)
    assert found["p_value"] == pytest.approx(beaten / 70)


def test_many_trials_are_not_permuted(tmp_path: Path) -> None:
    tables = many_trials(20, prior_treatment_resistance=levels)
    _, (entry,) = appraised(tmp_path, tables, BY_TREATMENT)
    assert entry["permutation"]["p_value"] is None
    assert "20 trials" in entry["permutation"]["withheld"]


def test_levels_that_share_trials_are_not_tested(tmp_path: Path) -> None:
    tables = many_trials(4, prior_treatment_resistance=lambda i: "not_reported")
    rows = []
    for row in tables["outcomes"]:
        for level in ("treatment_naive", "resistant"):
            rows.append({**row, "subgroup": f"prior_treatment_resistance={level}"})
    tables["outcomes"] = rows
    more = 'subgroup_keys = ["prior_treatment_resistance"]\n' + BY_TREATMENT
    result, (entry,) = appraised(tmp_path, tables, more)
    assert entry["p_value"] is None and "not independent" in entry["withheld"]
    assert result["subgroup_test"]["p_value"] is None
    assert result["subgroup_test"]["withheld"] == entry["withheld"]
    assert answers(entry)[1] == "mostly within"
    assert answers(entry)[5] == ask.UNANSWERED
    all_rows = [row for group in result["groups"] for row in group["rows"]]
    assert in_several_levels(all_rows, ["treatment_naive", "resistant"]) == 4
    assert in_several_levels(all_rows, ["resistant"]) == 0


def test_within_trials(tmp_path: Path) -> None:
    tables = many_trials(3, prior_treatment_resistance=lambda i: "not_reported")
    rows = []
    for row in tables["outcomes"]:
        for shift, level in ((0.0, "treatment_naive"), (1.5, "resistant")):
            mean = float(row["mean"]) + (shift if row["arm_id"] == "ketamine" else 0.0)
            cells = {"subgroup": f"prior_treatment_resistance={level}", "mean": f"{mean}"}
            rows.append({**row, **cells})
    tables["outcomes"] = rows
    text = ANALYSIS.replace("\n[select]", '\nkind = "within_trial"\n\n[select]')
    more = (
        'subgroup_keys = ["prior_treatment_resistance"]\n' + BY_TREATMENT
        + 'group_order = ["resistant", "treatment_naive"]\n'
        '[expectation]\nlarger_effect_in = "treatment_naive"\nreason = "invented"\n'
    )  # fmt: skip
    result, (entry,) = appraised(tmp_path, tables, more, text)
    assert entry["kind"] == "within" and entry["k"] == 3
    assert entry["p_value"] == result["pooled"]["p_value"]
    assert result["pooled"]["estimate"] > 0  # the resistant gain less
    found = answers(entry)
    assert found[1] == "completely within" and found[3] == ask.NOT_APPLICABLE
    assert found[2] == "probably similar"
    assert found[4] == "probably yes"


# --- continuous moderators ------------------------------------------------------------------------


def test_a_continuous_moderator_is_a_meta_regression(tmp_path: Path) -> None:
    more = '\n[regressions]\nmoderators = ["year", "age_mean_years"]\nstatus = "post hoc"\n'
    tables = many_trials(12, age_mean_years=lambda i: 30 + i if i < 5 else "")
    result, (year, age) = appraised(tmp_path, tables, more)
    rows = result["groups"][0]["rows"]
    fit = meta_regression(
        [row["estimate"] for row in rows],
        [row["variance"] for row in rows],
        [row["year"] for row in rows],
    )
    assert year["p_value"] == pytest.approx(fit.p_value[1], rel=tol.PUBLISHED)
    assert not year["permutation"]["exact"] and year["permutation"]["seed"] == 1
    assert answers(year)[4] == "definitely no" and answers(year)[8] == "definitely yes"
    assert age["withheld"] == "5 trials with this number; a meta-regression needs 10."


def test_a_bubble_plot_gets_line_bands_and_weights(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, '\n[regressions]\nmoderators = ["year", "n_participants"]\n')
    tables = many_trials(11)
    evidence = evidence_of(tables)
    rows = run_analysis(spec, effects_of(tables), evidence)["groups"][0]["rows"]
    used = select_effects(spec, effects_of(tables), evidence).used
    year, people = regressions_of(spec, rows, used, evidence)
    line = year["line"]
    assert (line["moderator"][0], line["moderator"][-1]) == (2001, 2011)
    for low, inner, mid, high, outer in zip(
        line["pi_low"], line["ci_low"], line["estimate"], line["ci_high"], line["pi_high"],
        strict=True,
    ):  # fmt: skip
        assert low <= inner <= mid <= high <= outer
    assert sum(row["weight"] for row in people["rows"]) == pytest.approx(1)
    same = [{**row, "year": 2010} for row in rows]
    assert "same in all trials" in regressions_of(spec, same, used, evidence)[0]["withheld"]
    assert regressions_of(spec_of(tmp_path), rows, used, evidence) == []


# --- a moderator beside another column, and with one choice changed -------------------------------

VARIED = """
[regressions]
moderators = ["age_mean_years"]
adjust_for = ["intervention"]

[[regressions.vary]]
label = "unadjusted"
unadjusted = true

[[regressions.vary]]
label = "printed"
basis = ["printed"]

[[regressions.vary]]
label = "alone"
alone = true
"""
BOTH_MEDICINES = ANALYSIS.replace('["ketamine"]', '["ketamine", "esketamine"]')


def aged_trials(count: int, by_rule: int = 0) -> Any:
    """Return invented trials, every third with the second medicine, each with a mean age."""
    tables = many_trials(count)
    tables["moderators"] = [
        {
            "study_id": row["study_id"],
            "moderator": "age_mean_years",
            "value": str(20 + (7 * i) % 11),
            "basis": "by_rule" if i < by_rule else "printed",
            "covers": "all",
            "source_type": "journal",
        }
        for i, row in enumerate(tables["studies"])
    ]
    for i, row in enumerate(item for item in tables["arms"] if item["role"] == "treatment"):
        row["intervention"] = "esketamine" if i % 3 == 0 else "ketamine"
    return tables


def test_a_column_beside_the_moderator_enters_as_its_share_of_each_trial(tmp_path: Path) -> None:
    tables = aged_trials(12, by_rule=2)
    result, (age,) = appraised(tmp_path, tables, VARIED, BOTH_MEDICINES)
    rows = result["groups"][0]["rows"]
    second = [float(row["intervention"] == "esketamine") for row in rows]
    years = [float(row["value"]) for row in tables["moderators"]]

    def slope(places: list[int], beside: bool = True) -> float:
        design = [[years[i], second[i]][: 1 + beside] for i in places]
        estimates, variances = ([rows[i][key] for i in places] for key in ("estimate", "variance"))
        return float(meta_regression(estimates, variances, design).estimate[1])

    spec = spec_of(tmp_path, VARIED, BOTH_MEDICINES)
    evidence = evidence_of(tables)
    used = select_effects(spec, effects_of(tables), evidence).used
    (item,) = regressions_of(spec, rows, used, evidence)
    # The rows are as published, seven digits; so is the slope of a refit.
    assert item["slope"] == pytest.approx(slope(list(range(12))), rel=tol.PUBLISHED)
    assert [row["by_rule"] for row in item["rows"]] == [True] * 2 + [False] * 10
    unadjusted, printed, alone = item["variations"]
    assert unadjusted["slope"] == pytest.approx(slope(list(range(12)), False), rel=tol.PUBLISHED)
    assert printed["slope"] == pytest.approx(slope(list(range(2, 12))), rel=tol.PUBLISHED)
    assert (alone["same"], alone["slope"], alone["k"]) == (True, None, 12)
    assert item["reading"] in READINGS
    assert age["permutation"]["p_value"] is not None


def test_a_number_that_the_column_beside_it_tells_has_no_slope_of_its_own(tmp_path: Path) -> None:
    tables = aged_trials(12)
    for i, row in enumerate(tables["moderators"]):
        row["value"] = "70" if i % 3 == 0 else "20"
    _, (age,) = appraised(tmp_path, tables, VARIED, BOTH_MEDICINES)
    assert "no slope of its own" in age["withheld"]
    for row in tables["moderators"]:
        row["value"] = "20"
    tables["moderators"][1]["value"] = "70"
    _, (age,) = appraised(tmp_path, tables, VARIED, BOTH_MEDICINES)
    assert age["withheld"].startswith("Without Birch 2002 the number hardly varies")


@pytest.mark.parametrize(
    ("slope", "low", "high", "other", "words"),
    [
        (0.02, 0.01, 0.03, 0.01, "rises"),
        (-0.02, -0.03, -0.01, None, "falls"),
        (0.02, 0.01, 0.03, -0.01, "turns"),
        (0.02, -0.03, 0.07, 0.01, "open"),
        (0.001, -0.001, 0.003, 0.01, "flat"),
    ],
)
def test_a_slope_is_read_without_a_test(
    slope: float, low: float, high: float, other: float | None, words: str
) -> None:
    main: Any = {"slope": slope, "ci_low": low, "ci_high": high, "first": 0.0, "last": 50.0}
    assert reading(main, [] if other is None else [other], 0.2) == words
    assert reading({"k": 9, "withheld": "too few"}, [], 0.2) == "not identifiable"


def test_what_a_variation_names_must_exist(tmp_path: Path) -> None:
    vary = '[[regressions.vary]]\nlabel = "x"\nwithout = {{{} = ["{}"]}}\n'.format
    head = '\n[regressions]\nmoderators = ["year"]\nsmall_change = 0.2\n'
    with pytest.raises(SpecError, match="'year' is no moderator with levels") as caught:
        spec_of(tmp_path, head + vary("year", "resistant"))
    assert "say where the small change comes from" in str(caught.value)
    with pytest.raises(SpecError, match="did you mean resistant"):
        spec_of(tmp_path, head + vary("prior_treatment_resistance", "resistent"))


def test_unknown_moderators_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="'yeer' is not known: did you mean year"):
        spec_of(tmp_path, '\n[regressions]\nmoderators = ["yeer"]\n')


# --- the questions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p_value", "permuted", "words"),
    [
        (0.2, None, "chance a very likely explanation"),
        (0.05, None, "chance a likely explanation"),
        (0.007, None, "chance may not explain"),  # as in a published assessment
        (0.005, None, "chance an unlikely explanation"),
        (0.001, 0.03, "chance a likely explanation"),  # the larger of the two counts
    ],
)
def test_chance(p_value: float, permuted: float | None, words: str) -> None:
    assert ask.chance(p_value, permuted, "").answer == words


@pytest.mark.parametrize(
    ("kind", "trials", "words"),
    [
        ("levels", 2, "very small"),
        ("levels", 4, "rather small or unclear"),
        ("levels", 5, "rather large"),
        ("levels", 10, "large"),
        ("continuous", 5, "very small"),
        ("continuous", 10, "rather small or unclear"),
        ("continuous", 15, "rather large"),
        ("continuous", 16, "large"),
        ("within", 3, "not applicable"),
    ],
)
def test_number_of_trials(kind: str, trials: int, words: str) -> None:
    assert ask.number_of_trials(kind, trials).answer == words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("declared", "", "", None, False), "probably no or unclear"),
        (("post hoc", "", "", None, False), "definitely no"),
        (("declared", "naive", "post hoc", True, False), "definitely no"),
        (("declared", "naive", "declared", False, False), "definitely no"),
        (("declared", "naive", "declared", True, False), "probably yes"),
        (("declared", "naive", "declared", True, True), "definitely yes"),
        (("declared", "naive", "declared", None, False), ask.UNANSWERED),
    ],
)
def test_direction(arguments: tuple[Any, ...], words: str) -> None:
    assert ask.direction(*arguments).answer == words


def test_other_questions() -> None:
    assert ask.within_or_between("levels", 8, 2).answer == "mostly between or unclear"
    assert ask.similar("within", 4, 0.5, True).answer == "probably similar"
    assert ask.similar("within", 4, 0.05, True).answer == "probably not similar or unclear"
    assert ask.similar("within", 1, None, True).answer == ask.NOT_APPLICABLE
    assert [ask.few_moderators(n, False).place for n in (3, 4, 10, 11)] == [3, 2, 2, 1]
    assert ask.few_moderators(2, True).answer == "definitely yes"
    assert ask.random_effects_used("common", "levels", 4).answer == "definitely no"
    assert ask.random_effects_used("random", "levels", 2).answer == "definitely yes"
    single = ask.random_effects_used("random", "levels", 1)
    assert single.answer == "probably yes" and "one has one" in single.basis
    assert ask.random_effects_used("random", "within", 1).answer == ask.NOT_APPLICABLE
    assert ask.cut_points("levels", "age_group").place == 2
    assert ask.cut_points("levels", "time_class").place == 3
    assert ask.cut_points("levels", "drug_class").answer == ask.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("places", "level"),
    [
        ([1, 2, 2], "very low"),
        ([1, 1, 4, 4], "low"),
        ([1, 3, 4, 4], "moderate"),
        ([2, 2, 3, 4], "moderate"),
        ([2, 3, 4, None], "high"),
    ],
)
def test_rating(places: list[int | None], level: str) -> None:
    given = [ask.Answer(i + 1, "", "", place) for i, place in enumerate(places)]
    assert ask.rating(given, 0.04)["level"] == level
    assert ask.rating(given, 0.4)["words"] == "not rated: no sign of a difference (p = 0.40)"
    assert ask.rating(given, None)["words"] == "not rated: there is no test"


# --- all moderators of a project ------------------------------------------------------------------


def test_moderator_analyses_of_an_outcome_are_counted(tmp_path: Path) -> None:
    plain = spec_of(tmp_path)
    by_level = spec_of(tmp_path, BY_TREATMENT + '[regressions]\nmoderators = ["year"]\n')
    nausea = by_level.select.model_copy(update={"outcome": ("nausea",)})
    other = by_level.model_copy(update={"select": nausea})
    model = by_level.model.model_copy(update={"over_time": True})
    over_time = by_level.model_copy(update={"model": model})
    assert [has_levels(spec) for spec in (plain, by_level, over_time)] == [False, True, False]
    assert moderator_analyses([plain, by_level, other, over_time], ["depression"]) == 3


def test_the_table_adjusts_the_larger_p_value_of_each_test() -> None:
    def entry(p: float | None, permuted: float | None) -> dict[str, Any]:
        return {
            "analysis": "demo", "title": "Demo", "label": "Level", "kind": "levels",
            "status": "declared", "k": 8, "p_value": p, "withheld": "" if p else "none",
            "permutation": {"p_value": permuted}, "rating": {"words": "low at most"},
        }  # fmt: skip

    results = [
        {"credibility": [entry(0.01, 0.02), entry(None, None)]},
        {"credibility": [entry(0.2, None)]},
        {"credibility": None},
    ]
    table = moderator_table(results)
    assert [row["p_holm"] for row in table] == [pytest.approx(0.04), None, 0.2]
    assert moderator_table([]) == []
