"""Errors that reached published analyses, under invented names: each is found where it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from batches import (
    BIAS,
    CONTRAST,
    EVENT,
    SCORE,
    STUDY,
    Tables,
    check_tables,
    clean_tables,
    places,
    table_path,
    words,
    write_project,
)
from ketameta.evidence.checks import run_checks
from ketameta.paths import project_paths


@dataclass(frozen=True)
class Pattern:
    """One error: how it gets into the clean project and where it must be found."""

    name: str
    spoil: Callable[[Tables], None]
    check: str
    places: tuple[tuple[str, int, str], ...]
    #: Other checks that may see the same error.
    beside: frozenset[str] = frozenset()
    severity: str = "warning"


def _scores(*arms: dict[str, str], **both: str) -> Callable[[Tables], None]:
    """Return a spoiler that gives the first two rows of outcomes (lines 2 and 3) other cells."""

    def spoil(tables: Tables) -> None:
        for row, cells in zip(tables["outcomes"][:2], arms, strict=True):
            row.update(both | cells)

    return spoil


def _first(table: str, **cells: str) -> Callable[[Tables], None]:
    """Return a spoiler that changes cells of the first row of a table (line 2)."""

    def spoil(tables: Tables) -> None:
        tables[table][0].update(cells)

    return spoil


def _negative_change_among_endpoints(tables: Tables) -> None:
    _scores({"mean": "-13.4", "sd": "3.03", "n": "11"}, {"mean": "-2.3", "sd": "3.38", "n": "10"})(
        tables
    )


def _small_changes(tables: Tables) -> None:
    _negative_change_among_endpoints(tables)
    for row in tables["outcomes"][:2]:
        row["statistic"] = "change"


def _change_in_one_arm(tables: Tables) -> None:
    tables["outcomes"][0].update(statistic="change", mean="-3.4")


def _copied_down_control(tables: Tables) -> None:
    tables["studies"][0].update(design="crossover_rct", n_randomised="15")
    for arm in tables["arms"]:
        arm["n_randomised"] = "15"
    tables["arms"][1]["background_treatment"] = "thiopental + ECT"
    for row, n in zip(tables["outcomes"], ("40", "38", "15", "15"), strict=True):
        row["n"] = n


def _crossover_twice(tables: Tables) -> None:
    tables["studies"][0].update(design="crossover_rct", n_randomised="28")
    for arm in tables["arms"]:
        arm["n_randomised"] = ""
    for row, n in zip(tables["outcomes"], ("56", "56", "28", "28"), strict=True):
        row["n"] = n


def _crossover_contrast_twice(tables: Tables) -> None:
    tables["studies"][0].update(design="crossover_rct", n_randomised="28")
    for arm in tables["arms"]:
        arm["n_randomised"] = "28"
    for row in tables["outcomes"]:
        row["n"] = "28"
    tables["contrasts"][0].update(n_treatment="56", n_control="56")


def _three_denominators(tables: Tables) -> None:
    tables["studies"][0]["n_randomised"] = "240"
    for arm in tables["arms"]:
        arm["n_randomised"] = "120"
    for row in tables["outcomes"]:
        row["n"] = "117"
    tables["outcomes"][0]["n"] = "111"
    tables["outcomes"] += [
        SCORE | {"instrument": "hama", "outcome": "anxiety_symptoms", "n": "115"},
        SCORE
        | {"instrument": "hama", "outcome": "anxiety_symptoms", "n": "117", "arm_id": "placebo",
           "mean": "15.0"},
        SCORE | {"instrument": "checklist", "n": "117"},
        SCORE | {"instrument": "checklist", "n": "117", "arm_id": "placebo", "mean": "15.9"},
    ]  # fmt: skip


def _two_denominators_of_events(tables: Tables) -> None:
    tables["outcome_words"].append(
        tables["outcome_words"][2] | {"outcome": "headache", "label": "headache"}
    )
    tables["outcomes"] += [
        EVENT | {"outcome": "headache", "n": "26"},
        EVENT | {"outcome": "headache", "events": "6", "arm_id": "placebo"},
    ]


def _add_study(tables: Tables, study_id: str, **cells: str) -> None:
    """Add a second trial with the same arms and one outcome."""
    tables["studies"].append(STUDY | {"study_id": study_id, "citation": f"{study_id}."} | cells)
    for table in ("arms", "outcomes"):
        tables[table] += [
            row | {"study_id": study_id} for row in tables[table] if row["study_id"] == "alder_2014"
        ]


def _initial(tables: Tables) -> None:
    _add_study(tables, "alder_m_2014")


def _same_doi(tables: Tables) -> None:
    tables["studies"][0]["doi"] = "10.1000/invented.1"
    _add_study(tables, "birch_2015", doi="10.1000/INVENTED.1")


def _same_registration(tables: Tables) -> None:
    tables["studies"][0]["registry_id"] = "NCT00000001"
    _add_study(tables, "birch_2015", registry_id="NCT00000002;NCT00000001")


def _sd_of_one_scale(usual: str) -> Callable[[Tables], None]:
    def spoil(tables: Tables) -> None:
        for row in tables["instruments"]:
            row.update(minimum="", maximum="", range_source="")
        tables["instruments"][0].update(usual_sd=usual, usual_sd_source="manual")
        _scores({"mean": "22.63", "sd": "0.95"}, {"mean": "24.6", "sd": "1.03"})(tables)

    return spoil


def _sd_of_other_trials(tables: Tables) -> None:
    for row in tables["instruments"]:
        row.update(minimum="", maximum="", range_source="")
    _add_study(tables, "birch_2015")
    _add_study(tables, "cedar_2016")
    _scores({"mean": "22.63", "sd": "0.95"}, {"mean": "24.6", "sd": "1.03"})(tables)


PATTERNS = [
    Pattern(
        "SE typed as SD: 14.8 (0.256) v 16.814 (0.256), n 30/30, 52-point scale",
        _scores({"mean": "14.8"}, {"mean": "16.814"}, sd="0.256", n="30"),
        "se_as_sd",
        (("outcomes.csv", 2, "sd"), ("outcomes.csv", 3, "sd")),
        frozenset({"implausible_effect"}),
    ),
    Pattern(
        "implausible g of -7.9 from the same numbers",
        _scores({"mean": "14.8"}, {"mean": "16.814"}, sd="0.256", n="30"),
        "implausible_effect",
        (("outcomes.csv", 2, "mean"),),
        frozenset({"se_as_sd"}),
    ),
    Pattern(
        "SE typed as SD, HAM-D 22.63 (0.95) v 24.6 (1.03): by the range of the scale",
        _scores({"mean": "22.63", "sd": "0.95"}, {"mean": "24.6", "sd": "1.03"}),
        "se_as_sd",
        (("outcomes.csv", 2, "sd"), ("outcomes.csv", 3, "sd")),
    ),
    Pattern(
        "the same, by the instrument's usual SD",
        _sd_of_one_scale("6.5"),
        "se_as_sd",
        (("outcomes.csv", 2, "sd"), ("outcomes.csv", 3, "sd")),
    ),
    Pattern(
        "the same, by the SDs of other trials",
        _sd_of_other_trials,
        "se_as_sd",
        (("outcomes.csv", 2, "sd"), ("outcomes.csv", 3, "sd")),
        frozenset({"copied_row"}),
    ),
    Pattern(
        "the same, by the SD at baseline",
        _scores(
            {"mean": "22.63", "sd": "0.95", "baseline_mean": "26.0", "baseline_sd": "5.1"},
            {"mean": "24.6", "sd": "1.03", "baseline_mean": "25.4", "baseline_sd": "5.6"},
        ),
        "se_as_sd",
        (("outcomes.csv", 2, "sd"), ("outcomes.csv", 3, "sd")),
    ),
    Pattern(
        "change beside endpoint: -13.4 (3.03) v -2.3 (3.38) among endpoints",
        _negative_change_among_endpoints,
        "score_range",
        (("outcomes.csv", 2, "mean"), ("outcomes.csv", 3, "mean")),
        frozenset({"implausible_effect", "denominators"}),
        "error",
    ),
    Pattern(
        "SE typed as SD of a change: -13.4 (3.03) v -2.3 (3.38), n 11/10, g -3.5",
        _small_changes,
        "implausible_effect",
        (("outcomes.csv", 2, "mean"),),
    ),
    Pattern(
        "change in one arm, endpoint in the other",
        _change_in_one_arm,
        "change_beside_endpoint",
        (("outcomes.csv", 2, "statistic"),),
        frozenset({"no_partner"}),
    ),
    Pattern(
        "wrong direction or SD: 19.4 (1.5) v 12.9 (2.6), g +3.1 against the treatment",
        _scores({"mean": "19.4", "sd": "1.5"}, {"mean": "12.9", "sd": "2.6"}),
        "wrong_direction",
        (("outcomes.csv", 2, "mean"),),
        frozenset({"implausible_effect", "se_as_sd"}),
    ),
    Pattern(
        "implausible g: 19.4 (1.5) v 12.9 (2.6)",
        _scores({"mean": "19.4", "sd": "1.5"}, {"mean": "12.9", "sd": "2.6"}),
        "implausible_effect",
        (("outcomes.csv", 2, "mean"),),
        frozenset({"wrong_direction", "se_as_sd"}),
    ),
    Pattern(
        "SD ratio 4.62 v 0.89",
        _scores({"sd": "4.62"}, {"sd": "0.89"}),
        "sd_ratio",
        (("outcomes.csv", 3, "sd"),),
        frozenset({"se_as_sd"}),
    ),
    Pattern(
        "SD ratio 0.6 v 2.2",
        _scores({"sd": "0.6"}, {"sd": "2.2"}),
        "sd_ratio",
        (("outcomes.csv", 2, "sd"),),
        frozenset({"se_as_sd"}),
    ),
    Pattern(
        "SD ratio 1.64 v 6.79",
        _scores({"sd": "1.64"}, {"sd": "6.79"}),
        "sd_ratio",
        (("outcomes.csv", 2, "sd"),),
        frozenset({"se_as_sd"}),
    ),
    Pattern(
        "duplicated arm: 9.52 (2.33) in both",
        _scores({}, {}, mean="9.52", sd="2.33"),
        "duplicated_arm",
        (("outcomes.csv", 3, "mean"),),
    ),
    Pattern(
        "copied-down cell: n 40/38 in a crossover of 15 people",
        _copied_down_control,
        "n_above_study",
        (("outcomes.csv", 2, "n"), ("outcomes.csv", 3, "n")),
        frozenset({"n_above_randomised"}),
        "error",
    ),
    Pattern(
        "n above the randomised",
        _first("outcomes", n="31"),
        "n_above_randomised",
        (("outcomes.csv", 2, "n"),),
        severity="error",
    ),
    Pattern(
        "events above n: 40 of 10 where n is 100 elsewhere",
        lambda tables: tables["outcomes"][2].update(events="40", n="10"),
        "events_above_n",
        (("outcomes.csv", 4, "events"),),
        severity="error",
    ),
    Pattern(
        "one arm with n 111, 115 and 117",
        _three_denominators,
        "denominators",
        (("outcomes.csv", 2, "n"),),
        frozenset({"copied_row"}),
    ),
    Pattern(
        "two denominators of events",
        _two_denominators_of_events,
        "denominators",
        (("outcomes.csv", 4, "n"),),
    ),
    Pattern(
        "crossover counted twice: n 56/56 for 28 randomised",
        _crossover_twice,
        "crossover_doubled",
        (("outcomes.csv", 2, "n"), ("outcomes.csv", 3, "n")),
        severity="error",
    ),
    Pattern(
        "the same in a contrast",
        _crossover_contrast_twice,
        "crossover_doubled",
        (("contrasts.csv", 2, "n_control"), ("contrasts.csv", 2, "n_treatment")),
        frozenset({"n_above_randomised"}),
        "error",
    ),
    Pattern(
        "events as a proportion: 0.35",
        lambda tables: tables["outcomes"][2].update(events="0.35"),
        "proportion_in_count",
        (("outcomes.csv", 4, "events"),),
        severity="error",
    ),
    Pattern(
        "a hidden character in a study name",
        lambda tables: tables["outcomes"][0].update(study_id="alder_2014\u00a0"),
        "hidden_character",
        (("outcomes.csv", 2, "study_id"),),
        severity="error",
    ),
    Pattern(
        "label drift: 'Chen M et al. 2018' beside 'Chen et al. 2018'",
        _initial,
        "label_drift",
        (("studies.csv", 3, "study_id"),),
    ),
    Pattern(
        "label drift in a dose unit",
        lambda tables: tables["arms"][1].update(dose="0.5", dose_unit="mg/kg"),
        "label_drift",
        (("arms.csv", 3, "dose_unit"),),
    ),
    Pattern(
        "overall judgement lower than a domain",
        lambda tables: tables["risk_of_bias"].append(
            BIAS | {"domain": "missing_data", "judgement": "some_concerns"}
        ),
        "bias_overall",
        (("risk_of_bias.csv", 3, "judgement"),),
    ),
    Pattern(
        "interval printed with a dash: -3.88 - 0.73 read as -3.88 to -0.73",
        _first("contrasts", estimate="-1.58", ci_low="-3.88", ci_high="-0.73", p="0.18"),
        "interval_symmetry",
        (("contrasts.csv", 2, "estimate"),),
    ),
    Pattern(
        "bounds that do not contain the estimate: MD 5.8 [-7.7; -3.9]",
        _first("contrasts", estimate="5.8", ci_low="-7.7", ci_high="-3.9", p="0.0001"),
        "interval_contains",
        (("contrasts.csv", 2, "estimate"),),
        severity="error",
    ),
    Pattern(
        "bounds in the wrong order",
        _first("contrasts", ci_low="-0.3", ci_high="-5.9"),
        "interval_order",
        (("contrasts.csv", 2, "ci_low"),),
        severity="error",
    ),
    Pattern(
        "p that contradicts the interval",
        _first("contrasts", p="0.6"),
        "p_contradicts",
        (("contrasts.csv", 2, "p"),),
    ),
    Pattern(
        "a score outside the instrument's range",
        _first("outcomes", mean="54.1", sd="5.0"),
        "score_range",
        (("outcomes.csv", 2, "mean"),),
        frozenset({"implausible_effect", "wrong_direction"}),
        "error",
    ),
    Pattern(
        "companion paper with the same DOI",
        _same_doi,
        "companion_as_trial",
        (("studies.csv", 3, "doi"),),
    ),
    Pattern(
        "companion paper with the same registration",
        _same_registration,
        "companion_as_trial",
        (("studies.csv", 3, "registry_id"),),
    ),
    Pattern(
        "a range that became a date",
        _first("outcomes", n="5-Mar"),
        "date_from_range",
        (("outcomes.csv", 2, "n"),),
        severity="error",
    ),
    Pattern(
        "a decimal comma",
        _first("outcomes", mean="27,670"),
        "decimal_comma",
        (("outcomes.csv", 2, "mean"),),
        severity="error",
    ),
    Pattern(
        "a spreadsheet's error",
        _first("outcomes", sd="#REF!"),
        "spreadsheet_error",
        (("outcomes.csv", 2, "sd"),),
        severity="error",
    ),
    Pattern(
        "a formula",
        _first("outcomes", sd="=B2*SQRT(30)"),
        "formula",
        (("outcomes.csv", 2, "sd"),),
        severity="error",
    ),
]


def test_the_clean_project_has_no_findings(tmp_path: Path) -> None:
    report = check_tables(tmp_path, clean_tables())
    assert report.findings == ()
    assert report.counts["outcomes"] == 4


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_a_published_error_is_found_where_it_stands(pattern: Pattern, tmp_path: Path) -> None:
    tables = clean_tables()
    pattern.spoil(tables)
    report = check_tables(tmp_path, tables)
    assert tuple(places(report, pattern.check)) == pattern.places
    severities = {item.severity for item in report.findings if item.check == pattern.check}
    assert severities == {pattern.severity}
    assert words(report) <= {pattern.check} | pattern.beside


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_every_message_says_why_and_what_to_do(pattern: Pattern, tmp_path: Path) -> None:
    tables = clean_tables()
    pattern.spoil(tables)
    for finding in check_tables(tmp_path, tables).findings:
        assert finding.why and finding.remedy
        assert "\n" not in str(finding)


def test_semicolons_and_decimal_commas_are_named_once_as_such(tmp_path: Path) -> None:
    write_project(tmp_path, clean_tables())
    path = table_path(tmp_path, "outcomes")
    text = path.read_text().replace(",", ";").replace("12.1", "27,670").replace("6.4", "5,27")
    path.write_text(text)
    report = run_checks(project_paths(tmp_path))
    assert places(report, "separator") == [("outcomes.csv", 1, "")]
    assert places(report, "decimal_comma") == [
        ("outcomes.csv", 2, "mean"),
        ("outcomes.csv", 2, "sd"),
    ]
    assert words(report) == {"separator", "decimal_comma"}


def test_everything_wrong_is_reported_in_one_run(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["outcomes"][0].update(sd="0,9", n="31")
    tables["outcomes"][2].update(events="40")
    tables["contrasts"][0].update(CONTRAST | {"ci_low": "-0.3", "ci_high": "-5.9"})
    tables["arms"][0]["route"] = "intraveinous"
    tables["studies"][0]["doi"] = "https://doi.org/10.1000/x"
    report = check_tables(tmp_path, tables)
    assert words(report) == {
        "decimal_comma",
        "n_above_randomised",
        "events_above_n",
        "interval_order",
        "unknown_word",
        "form",
    }
    assert "did you mean intravenous?" in "".join(finding.remedy for finding in report.findings)


def test_a_published_error_is_accepted_with_a_reason(tmp_path: Path) -> None:
    tables = clean_tables()
    _scores({"sd": "2.1"}, {"sd": "7.1", "note": "accept: sd_ratio because checked with table 2"})(
        tables
    )
    report = check_tables(tmp_path, tables)
    assert report.findings == ()
    assert [item.reason for item in report.accepted] == ["checked with table 2"]
