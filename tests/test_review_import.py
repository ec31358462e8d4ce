"""Imports: every row gets a verdict, nothing is lost, and the open data give their known answer."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches import BATCH_TABLES, SCHEMA
from helpers import ROOT
from ketameta import random_effects
from ketameta.errors import ImportAccountError, UsageError
from ketameta.evidence import derive_effects, load_project, stated
from ketameta.evidence.checks import checked_evidence
from ketameta.exchange import (
    Declared,
    Draft,
    ImportedRow,
    ImportReport,
    Words,
    as_number,
    declared_words,
    import_file,
    line_ranges,
    load_words,
    read_import,
    read_source,
)
from ketameta.paths import ProjectPaths
from ketameta.review import as_text
from test_review_start import shared_lists
from tolerances import KNOWN_ANSWER, OPEN_DATA

PSILOCYBIN = Path(__file__).parent / "golden" / "psilocybin" / "data.csv"
#: Instruments of the open data that the project does not declare, with their range.
SCALES = {
    "bdi": 63, "bdi_1a": 63, "bdi_ii": 63, "grid_ham_d": 52, "hads_d": 21, "ham_d_17": 52,
    "phq_9": 27, "smdds": 60,
}  # fmt: skip


@pytest.fixture(scope="module")
def psilocybin(tmp_path_factory, project_root):
    """The open data imported into a project, with its report."""
    paths = shared_lists(tmp_path_factory.mktemp("psilocybin"), project_root)
    with (paths.data / "instruments.csv").open("a", encoding="utf-8") as file:
        for name, highest in SCALES.items():
            file.write(f"{name},{name},depression,lower_is_better,0,{highest},manual,,,,\n")
    report, files = import_file(paths, PSILOCYBIN, "psilocybin")
    return paths, report, files


# --- the open data --------------------------------------------------------------------------------


def test_the_open_data_import_whole(psilocybin):
    _, report, files = psilocybin
    assert report.kind == "Metapsy" and report.is_whole
    assert len(report.rows) == 220
    assert report.count("taken") + report.count("changed") == 220
    assert [row.line for row in report.rows] == list(range(2, 222))
    assert {name: len(rows) for name, rows in report.tables.items()} == {
        "studies": 15, "arms": 32, "outcomes": 366, "risk_of_bias": 84,
    }  # fmt: skip
    assert {"outcomes.csv", "rows.csv", "README.md"} <= {file.name for file in files}


def test_every_changed_row_says_how(psilocybin):
    _, report, _ = psilocybin
    text = as_text(report.document())
    assert "line 2: measured 8 days before the first dose: entered at day 0" in text
    assert "lines 90-113, 160-163, 174-175: the SD was imputed by the data set" in text
    assert "measured after the crossover: entered as period=after_crossover" in text
    for row in report.rows:
        assert bool(row.details) == (row.verdict == "changed"), row
        assert any(place.startswith("outcomes: ") for place in row.became)


def test_contradictions_inside_the_open_data_are_named_and_kept_apart(psilocybin):
    _, report, _ = psilocybin
    row = next(row for row in report.rows if row.line == 92)
    assert row.details[-1] == (
        "sd of psil_10_mg is '10.53912408759124' and '10.2275' in line 90, "
        "the same outcome and day: entered apart as period=day_2"
    )


def test_the_recomputed_g_equals_the_one_of_the_file(psilocybin):
    _, report, _ = psilocybin
    assert "g recomputed from the arms equals the file's own in 139 of 139 rows" in report.notes


def primary_rows(report):
    """Return the rows of the known answer: first outcome and time, before any crossover."""
    chosen = []
    for row in report.rows:
        facts = row.facts
        flags = (facts.get("primary_instrument"), facts.get("primary_timepoint"))
        if facts["outcome_type"] != "msd" or flags != ("1", "1"):
            continue
        if facts.get("post_crossover") == "1":
            continue
        doses = (facts.get("multi_arm1"), facts.get("multi_arm2"))
        if facts["study"] == "Krempien 2023" and doses != ("16 mg", None):
            continue
        chosen.append(row)
    return chosen


def test_the_open_data_give_their_known_answer(psilocybin):
    # metafor 3.8-1, rma(.g, sei = .g_se, test = "knha"); tests/golden/psilocybin.
    _, report, _ = psilocybin
    rows = primary_rows(report)
    fit = random_effects(
        [row.facts["g"] for row in rows],
        [row.facts["g_se"] ** 2 for row in rows],
        ci_method="knapp-hartung",
    )
    assert fit.k == 13
    assert fit.estimate == pytest.approx(-0.959061, abs=KNOWN_ANSWER)
    assert fit.ci_low == pytest.approx(-1.339037, abs=KNOWN_ANSWER)
    assert fit.ci_high == pytest.approx(-0.579085, abs=KNOWN_ANSWER)
    assert fit.tau2 == pytest.approx(0.188044, abs=5 * KNOWN_ANSWER)


def test_effects_derived_from_the_imported_arms_agree_with_the_file(psilocybin):
    paths, report, _ = psilocybin
    _, evidence = checked_evidence(paths)
    places = {
        "outcomes: "
        + ", ".join(cell for name in BATCH_TABLES[2].key if (cell := stated(row[name]))): (
            f"{row.file}:{row.line}"
        )
        for row in evidence.rows("outcomes")
    }
    effects = derive_effects(evidence).effects
    effects = effects[effects["measure"] == "SMD"]
    by_places = {
        frozenset(row["source"].split(";")): row
        for row in effects.to_dict("records")
        if "+" not in row["arm_id"] + row["comparator_arm_id"]
    }
    people = 0.0
    for row in primary_rows(report):
        both = frozenset(places[name] for name in row.became if name.startswith("outcomes"))
        effect = by_places[both]
        people += effect["n_treatment"] + effect["n_control"]
        # The file's g has the approximate small-sample factor, ours the exact one.
        assert effect["estimate"] == pytest.approx(row.facts["g"], rel=5e-4)
    assert people == 504


def test_the_checks_find_the_impossible_score_of_the_open_data(psilocybin):
    # A mean of 31.9 on the 27 points of the QIDS-SR, and the SDs that look like standard errors.
    paths, _, _ = psilocybin
    report, _ = checked_evidence(paths)
    assert [(f.check, f.value) for f in report.errors] == [("score_range", "31.9")]
    assert len(report.warnings) <= 11
    assert len(report.accepted) == 8


# --- single rules of the Metapsy format -----------------------------------------------------------

HEADER = (
    "study", "condition_arm1", "condition_arm2", "multi_arm1", "multi_arm2", "outcome_type",
    "instrument", "instrument_symptom", "time_weeks", "time_days", "study_time_point",
    "post_crossover", "n_arm1", "mean_arm1", "sd_arm1", "n_arm2", "mean_arm2", "sd_arm2",
    "event_arm1", "totaln_arm1", "event_arm2", "totaln_arm2", "precalc_g", "precalc_g_se",
    "precalc_log_rr", "precalc_log_rr_se", "percent_women", "subgroup", "completer",
    "year", "diagnosis", "design", "rob", ".g", "dose_arm1",
)  # fmt: skip
ROW = {
    "study": "Alder 2014", "condition_arm1": "ketamine", "condition_arm2": "pcb",
    "outcome_type": "msd", "instrument": "madrs", "instrument_symptom": "depression",
    "time_days": "28,000", "n_arm1": "30", "mean_arm1": "12,10", "sd_arm1": "6,40000",
    "n_arm2": "30", "mean_arm2": "15,3", "sd_arm2": "6,9", "year": "2014", "diagnosis": "mdd",
}  # fmt: skip
KNOWN = Declared(
    frozenset({"depression", "response"}), frozenset({"madrs"}), project=load_project(ROOT)
)


def metapsy(*rows: dict[str, str], words: Words | None = None, separator: str = ";"):
    """Return the report on rows in the Metapsy format."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, HEADER, restval="NA", delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return read_import(stream.getvalue().encode(), "x.csv", words, KNOWN)


def test_a_comparison_becomes_two_arm_rows():
    report = metapsy(ROW)
    assert report.count("taken") == 1
    arms = {row["arm_id"]: row for row in report.tables["outcomes"]}
    assert arms["ketamine"]["mean"] == "12.1" and arms["ketamine"]["sd"] == "6.4"
    assert arms["pcb"]["mean"] == "15.3" and arms["pcb"]["time_days"] == "28"
    assert {row["drug_class"] for row in report.tables["arms"]} == {"nmda_antagonist", "placebo"}
    assert report.tables["studies"][0]["study_id"] == "alder_2014"


def test_an_arm_in_several_comparisons_is_typed_once():
    other = ROW | {"condition_arm2": "wl", "mean_arm2": "19,0"}
    assert len(metapsy(ROW, other).tables["outcomes"]) == 3


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"mean_arm1": "NA", "sd_arm1": "NA", "n_arm1": "NA", "mean_arm2": "NA",
          "sd_arm2": "NA", "n_arm2": "NA"}, "no effect data"),
        ({"event_arm1": "3", "outcome_type": "NA"},
         "two kinds of effect data in one row (endpoint and events)"),
        ({"mean_arm1": "twelve"}, "mean_arm1 is 'twelve', which is not a number"),
        ({"study": "Alder"}, "no form of surname and year"),
        ({"study": "NA"}, "the study is not named"),
        ({"instrument": "NA"}, "the instrument is not named"),
        ({"instrument_symptom": "NA"}, "the file does not say what 'madrs' measures"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_taken_says_why(cells, why):
    year = {"year": "NA"} if "study" in cells else {}
    report = metapsy(ROW | year | cells, ROW | {"study": "Birch 2016"})
    assert [row.verdict for row in report.rows] == ["refused", "taken"]
    assert why in "; ".join(report.rows[0].details)
    assert {row["study_id"] for row in report.tables["studies"]} == {"birch_2016"}


BOTH = {"outcome_type": "msd", "precalc_g": "0.5", "precalc_g_se": "0.2"}


@pytest.mark.parametrize(
    ("cells", "table", "words"),
    [
        (BOTH, "outcomes", "read as endpoint; its SMD data were compared"),
        (BOTH | {"outcome_type": "precalc_g"}, "contrasts", "read as SMD; its endpoint data"),
        ({"outcome_type": "response", "event_arm1": "9", "totaln_arm1": "30", "event_arm2": "4",
          "totaln_arm2": "30"}, "outcomes", "read as events; its endpoint data"),
    ],
)  # fmt: skip
def test_the_outcome_type_decides_where_a_row_holds_two_kinds(cells, table, words):
    report = metapsy(ROW | cells)
    assert words in "; ".join(report.rows[0].details)
    assert report.rows[0].became[-1].startswith(table)


def test_events_without_an_instrument_get_an_outcome_of_their_own():
    counts = {"event_arm1": "2", "event_arm2": "5", "totaln_arm1": "40", "totaln_arm2": "41"}
    blank = {name: "NA" for name in ROW if "mean" in name or "sd" in name or name.startswith("n_")}
    report = metapsy(ROW | blank | counts | {"outcome_type": "attempts", "instrument": "NA"})
    arms = report.tables["outcomes"]
    assert {(row["outcome"], row["instrument"]) for row in arms} == {("attempts", "not_reported")}
    assert [row["events"] for row in arms] == ["2", "5"]


def test_shares_become_percentages_only_where_the_whole_file_holds_shares():
    shares = metapsy(
        ROW | {"percent_women": "0.61"}, ROW | {"study": "B 2016", "percent_women": "1"}
    )
    assert [row["female_percent"] for row in shares.tables["studies"]] == ["61", "100"]
    whole = metapsy(ROW | {"percent_women": "61"}, ROW | {"study": "B 2016", "percent_women": "1"})
    assert [row["female_percent"] for row in whole.tables["studies"]] == ["61", "1"]


def test_an_abbreviation_is_never_taken_for_another_instrument():
    known = replace(KNOWN, measured={"madrs": frozenset({"functioning"})},
                    names={"madrs": "Invented Disability Scale"})  # fmt: skip
    stream = io.StringIO()
    writer = csv.DictWriter(stream, HEADER, restval="NA", delimiter=";")
    writer.writeheader()
    writer.writerow(ROW)
    (row,) = read_import(stream.getvalue().encode(), "x.csv", None, known).rows
    assert row.verdict == "refused" and "Invented Disability Scale" in row.details[0]
    said = Words({"instrument": {"madrs": "madrs"}})
    (row,) = read_import(stream.getvalue().encode(), "x.csv", said, known).rows
    assert row.verdict == "taken"


def test_a_subgroup_of_another_project_is_kept_as_a_population():
    report = metapsy(ROW | {"subgroup": "Older people"})
    assert {row["subgroup"] for row in report.tables["outcomes"]} == {"population=older_people"}


def test_people_and_imputation_stay_with_the_row():
    report = metapsy(ROW | {"outcome_type": "imsd", "completer": "itt"})
    told = {(row["analysis_set"], row["sd_origin"]) for row in report.tables["outcomes"]}
    assert told == {("intention_to_treat", "imputed")}


def test_contradictory_rows_without_a_time_point_are_refused():
    report = metapsy(ROW, ROW | {"mean_arm1": "13"})
    assert [row.verdict for row in report.rows] == ["taken", "refused"]
    assert "mean of ketamine is '13' and '12.1' in line 2" in report.rows[1].details[0]


def test_a_missing_symptom_is_asked_for_and_then_taken(tmp_path):
    silent = ROW | {"instrument_symptom": "NA"}
    asked = metapsy(silent)
    assert asked.words_file.splitlines()[1:] == ["[outcome]", '"madrs" = ""']
    path = tmp_path / "words.toml"
    path.write_text('[outcome]\nmadrs = "depression"\n', encoding="utf-8")
    assert metapsy(silent, words=load_words(path, SCHEMA)).is_whole


def test_weeks_become_days_and_calculated_effects_become_contrasts():
    bare = {key: ROW[key] for key in ROW if not key.startswith(("n_", "mean", "sd", "time"))}
    report = metapsy(
        bare | {"time_weeks": "4,00", "precalc_g": "-0,5", "precalc_g_se": "0,2"},
        bare | {"outcome_type": "response", "precalc_log_rr": "0,0", "precalc_log_rr_se": "0,1"},
    )
    g, ratio = report.tables["contrasts"]
    assert (g["effect_type"], g["estimate"], g["se"], g["time_days"]) == (
        "SMD",
        "-0.5",
        "0.2",
        "28",
    )
    assert (ratio["effect_type"], ratio["estimate"]) == ("RR", "1")
    assert float(ratio["ci_low"]) * float(ratio["ci_high"]) == pytest.approx(1, rel=OPEN_DATA * 1e3)
    assert report.count("changed") == 2


def test_an_invisible_character_does_not_split_a_study():
    report = metapsy(ROW, ROW | {"study": "Alder\u00a02014", "time_days": "56"})
    assert len(report.tables["studies"]) == 1


def test_undeclared_words_are_listed_with_the_words_of_the_source():
    report = metapsy(ROW | {"instrument": "Zung SDS", "instrument_symptom": "low mood"})
    assert report.undeclared == {
        "outcome_words": {"low_mood": "low mood"}, "instruments": {"zung_sds": "Zung SDS"},
    }  # fmt: skip


def test_a_comma_file_with_points_is_read_as_well():
    plain = {key: cell.replace(",", ".") for key, cell in ROW.items()}
    assert metapsy(plain, separator=",").tables == metapsy(ROW).tables


# --- nothing lost, whatever the bytes -------------------------------------------------------------


@given(st.binary(max_size=400))
def test_any_bytes_end_in_a_report(data):
    report = read_import(data, "x")
    assert sum(report.count(v) for v in ("taken", "changed", "refused")) == len(report.rows)
    assert report.problems and not report.is_whole and not any(report.tables.values())
    assert report.summary in as_text(report.document())


@given(st.binary(max_size=300))
def test_a_damaged_workbook_ends_in_a_report(data):
    report = read_import(b"PK\x03\x04" + data, "x.xlsx")
    assert report.problems and "as .xlsx" in report.problems[0]


CELL = st.one_of(
    st.sampled_from(["NA", "", "12,1", "-3", "1e3", "=1+1", "Alder 2014", "Birch, 2016b", "msd",
                     "madrs", "1", "0", "\u00a0", "#REF!", "3-May"]),
    st.text(max_size=6),
)  # fmt: skip


@given(st.lists(st.lists(CELL, min_size=len(HEADER), max_size=len(HEADER)), max_size=5))
def test_rows_of_any_cells_each_get_one_verdict(rows):
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=";")
    writer.writerow(HEADER)
    writer.writerows(rows)
    report = read_import(stream.getvalue().encode("utf-8", "surrogatepass"), "x.csv")
    filled = [row for row in rows if any(cell.strip("\ufeff \t") for cell in row)]
    broken = [line for line in report.problems if "nothing could be read" in line]
    assert len(report.rows) <= len(rows)
    assert broken or len(report.rows) >= len([row for row in filled if "".join(row).isascii()])
    for row in report.rows:
        assert bool(row.became) == (row.verdict != "refused")
    taken = sum(row.verdict != "refused" for row in report.rows)
    results = len(report.tables.get("outcomes", ())) + len(report.tables.get("contrasts", ()))
    assert results <= 2 * taken and bool(results) == bool(taken)


def test_a_broken_quotation_mark_says_from_where_nothing_was_read():
    report = metapsy(ROW)
    assert report.is_whole
    data = (";".join(HEADER) + '\n"Alder" 2014;x\n').encode()
    broken = read_import(data, "x.csv")
    assert "from line 2 on nothing could be read" in broken.problems[0]
    assert not broken.is_whole


def test_rows_below_a_broken_quotation_mark_are_counted_and_refused():
    lines = [";".join(HEADER), ";".join(ROW.get(name, "NA") for name in HEADER)]
    data = "\n".join([*lines, '"Alder" 2014;x', "", *lines[1:]]).encode()
    report = read_import(data, "x.csv", declared=KNOWN)
    assert [(row.line, row.verdict) for row in report.rows] == [
        (2, "taken"), (3, "refused"), (5, "refused"),
    ]  # fmt: skip
    assert report.summary == "3 rows in: 1 taken, 0 changed, 2 refused."


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends_of_any_system_give_the_same_rows(ends):
    lines = [";".join(HEADER), ";".join(ROW.get(name, "NA") for name in HEADER), ""]
    report = read_import(ends.join(lines).encode(), "x.csv", declared=KNOWN)
    assert report.is_whole and report.tables == metapsy(ROW).tables


def test_the_same_row_twice_is_entered_once_and_said():
    report = metapsy(ROW, ROW)
    assert [row.verdict for row in report.rows] == ["taken", "changed"]
    assert report.rows[1].details == ("the same as line 2, cell by cell: entered once",)


def test_an_arm_whose_dose_differs_between_rows_keeps_the_first_and_says_so():
    rows = (
        ROW | {"dose_arm1": dose, "time_days": day} for dose, day in (("25 mg", 1), ("9 mg", 2))
    )
    report = metapsy(*rows)
    assert report.rows[1].details == (
        "dose_description of ketamine differs from that of line 2, which is kept",
    )


def test_a_second_calculated_effect_of_one_comparison_is_refused():
    bare = {key: ROW[key] for key in ROW if not key.startswith(("n_", "mean", "sd"))}
    report = metapsy(*(bare | {"precalc_g": g, "precalc_g_se": "0,2"} for g in ("-0,5", "-0,4")))
    assert [row.verdict for row in report.rows] == ["changed", "refused"]
    assert "estimate of ketamine is '-0.4' and '-0.5' in line 2" in report.rows[1].details[-1]


def test_a_second_calculated_effect_with_a_time_point_is_entered_apart():
    bare = {key: ROW[key] for key in ROW if not key.startswith(("n_", "mean", "sd"))}
    first, second = (
        bare | {"precalc_g": g, "precalc_g_se": "0,2", "study_time_point": point}
        for g, point in (("-0,5", "end"), ("-0,4", "last visit"))
    )
    rows = metapsy(first, second).tables["contrasts"]
    assert [(row["estimate"], row.get("subgroup", "")) for row in rows] == [
        ("-0.5", ""), ("-0.4", "period=last_visit"),
    ]  # fmt: skip


def test_counts_do_not_take_the_outcome_of_the_instruments_scores():
    bare = {key: ROW[key] for key in ROW if not key.startswith(("n_", "mean", "sd"))}
    counts = {"event_arm1": "9", "totaln_arm1": "30", "event_arm2": "4", "totaln_arm2": "30"}
    words = Words({"outcome": {"madrs": "depression"}})
    report = metapsy(bare | counts | {"outcome_type": "response"}, words=words)
    assert {row["outcome"] for row in report.tables["outcomes"]} == {"response"}


def test_columns_that_no_row_needed_are_named_and_row_numbers_are_no_column():
    lines = [";".join(["", *HEADER, "country"])]
    for number in "12":
        cells = [(ROW | {"time_days": number}).get(name, "NA") for name in HEADER]
        lines.append(";".join([number, *cells, "Norway"]))
    report = read_import("\n".join(lines).encode(), "x.csv", declared=KNOWN)
    assert report.is_whole and report.count("taken") == 2
    assert "the first column has no name and numbers the rows; it was not read" in report.notes
    assert "1 column that no row needed, not read: country" in report.notes


def test_a_study_or_arm_that_differs_between_revman_rows_is_said():
    topic = dict.fromkeys(("outcome", "instrument"), "depression") | {
        "treatment": "Ketamine", "control": "Placebo", "statistic": "endpoint",
    }  # fmt: skip
    words = Words(analysis={"1.1": topic | {"treatment_class": "other"}, "1.2": topic})
    header = "Analysis group,Analysis number,Study,Study year,Experimental mean,Experimental SD,"
    header += "Experimental N,Control mean,Control SD,Control N\n"
    rows = "1,1,Alder 2014,2014,1,2,30,3,4,30\n1,2,Alder 2014,2015,1,2,30,3,4,30\n"
    report = read_import((header + rows).encode(), "x.csv", words)
    assert report.rows[1].details == (
        "year of the study differs from that of line 2, which is kept",
        "drug_class of ketamine differs from that of line 2, which is kept",
    )


def test_two_arms_of_one_name_are_refused_and_neither_lost():
    topic = dict.fromkeys(("outcome", "instrument", "treatment", "control"), "depression")
    header = "Analysis group,Analysis number,Study,Experimental cases,Experimental N,"
    header += "Control cases,Control N\n"
    words = Words(analysis={"1.1": topic})
    report = read_import(f"{header}1,1,Alder 2014,3,30,5,30\n".encode(), "x.csv", words)
    assert report.count("refused") == 1 and not any(report.tables.values())
    assert "gives both arms of this analysis the same name" in report.rows[0].details[0]


def test_a_domain_that_stands_twice_is_said():
    header = "Study,Domain (judgement): Blinding,Domain (judgement): Blinding: All outcomes\n"
    report = read_import(f"{header}Alder 2014,Low risk,High risk\n".encode(), "x.csv")
    assert report.problems == ("the domain 'Blinding' stands twice; only the first is read",)
    assert [row["judgement"] for row in report.tables["risk_of_bias"]] == ["low"]


# --- the account ----------------------------------------------------------------------------------

TAKEN = ImportedRow(2, "", "taken", became=("studies: alder_2014",))
STUDIES = {"studies": ({"study_id": "alder_2014"},)}


@pytest.mark.parametrize(
    ("rows", "rows_in", "tables", "why"),
    [
        ((TAKEN,), 2, STUDIES, "2 rows in, 1 with a verdict"),
        ((TAKEN, TAKEN), 2, STUDIES, "line 2 has two verdicts"),
        ((TAKEN,), 1, {}, "line 2 is called taken and is not"),
        ((replace(TAKEN, became=()),), 1, {}, "line 2 is called taken and is not"),
        ((replace(TAKEN, verdict="refused"),), 1, STUDIES, "line 2 is called refused and is not"),
        ((replace(TAKEN, verdict="changed"),), 1, STUDIES, "line 2 is called changed and is not"),
        ((), 0, STUDIES, "studies: alder_2014 comes from no row"),
        ((TAKEN,), 1, {"studies": STUDIES["studies"] * 2}, "studies: alder_2014 comes from no row"),
    ],
)  # fmt: skip
def test_an_import_that_does_not_add_up_is_a_named_defect(rows, rows_in, tables, why):
    report = ImportReport("x.csv", rows=rows, tables=tables, rows_in=rows_in)
    with pytest.raises(ImportAccountError, match=re.escape(why)):
        report.account()


def test_an_import_that_adds_up_passes():
    ImportReport("x.csv", rows=(TAKEN,), tables=STUDIES, rows_in=1).account()


def test_a_draft_loses_no_row_to_another_with_its_key():
    draft = Draft()
    draft.add("studies", {"study_id": "alder_2014", "year": "2014"}, 2)
    draft.add("studies", {"study_id": "alder_2014", "year": "2014"}, 3)
    with pytest.raises(ImportAccountError, match=r"line 4 would be lost.*with another year"):
        draft.add("studies", {"study_id": "alder_2014", "year": "2015"}, 4)


def test_a_hundred_thousand_columns_are_read_at_once_and_named_in_part():
    names = [f"c{number}" for number in range(100_000)]
    head = [*HEADER, *names]
    cells = [ROW.get(name, "1" if name in names[:300] else "") for name in head]
    report = read_import(f"{';'.join(head)}\n{';'.join(cells)}\n".encode(), "x.csv", None, KNOWN)
    assert report.count("taken") == 1
    assert report.notes[-1].startswith("300 columns that no row needed, not read: c0, c1")
    assert report.notes[-1].endswith("c199 ... and 100 more")


def test_an_unknown_format_names_what_can_be_read_and_refuses_every_row():
    report = read_import(b"a,b\n1,2\n3,4\n", "x.csv")
    assert [row.verdict for row in report.rows] == ["refused", "refused"]
    assert "columns: a, b" in report.problems[0] and "Metapsy" in report.problems[0]


def test_an_old_workbook_is_asked_to_be_saved_anew():
    assert "save it as .xlsx" in read_import(b"\xd0\xcf\x11\xe0rest", "x.xls").problems[0]


# --- writing --------------------------------------------------------------------------------------


def write_source(folder: Path, *rows: dict[str, str]) -> Path:
    """Write rows in the Metapsy format into a file."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, HEADER, restval="NA", delimiter=";")
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "source.csv"
    path.write_text(stream.getvalue(), encoding="utf-8")
    return path


def project(tmp_path: Path, project_root: Path) -> ProjectPaths:
    """Return a project without batches."""
    return shared_lists(tmp_path / "project", project_root)


def test_the_verdicts_stand_beside_the_tables(tmp_path, project_root):
    paths = project(tmp_path, project_root)
    source = write_source(tmp_path, ROW, ROW | {"study": "=cmd()", "year": "NA"})
    report, files = import_file(paths, source)
    assert report.count("refused") == 1
    text = (paths.extracted / "source" / "import" / "rows.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["verdict"] for row in rows] == ["taken", "refused"]
    assert rows[1]["row"].startswith("'=cmd()")
    assert all(file.is_file() for file in files)
    assert [f.check for f in checked_evidence(paths)[0].errors] == [
        "required"
    ]  # no DOI, no address


def test_an_import_does_not_write_over_rows(tmp_path, project_root):
    paths = project(tmp_path, project_root)
    source = write_source(tmp_path, ROW)
    import_file(paths, source, "demo")
    before = (paths.extracted / "demo" / "outcomes.csv").read_bytes()
    write_source(tmp_path, ROW | {"mean_arm1": "1"})
    with pytest.raises(UsageError, match="already holds rows"):
        import_file(paths, source, "demo")
    assert (paths.extracted / "demo" / "outcomes.csv").read_bytes() == before
    import_file(paths, source, "demo", replace_rows=True)
    assert (paths.extracted / "demo" / "outcomes.csv").read_bytes() != before


def test_a_dry_run_writes_nothing(tmp_path, project_root):
    paths = project(tmp_path, project_root)
    report, files = import_file(paths, write_source(tmp_path, ROW), "demo", write=False)
    assert report.is_whole and files == () and not (paths.extracted / "demo").exists()


@pytest.mark.parametrize("name", [".hidden", "a/b", "_x", "a\nb"])
def test_a_batch_name_stays_inside_the_folder_of_batches(tmp_path, project_root, name):
    paths = project(tmp_path, project_root)
    with pytest.raises(UsageError, match="a folder name is needed"):
        import_file(paths, write_source(tmp_path, ROW), name)


def test_a_missing_source_is_said(tmp_path, project_root):
    with pytest.raises(UsageError, match="there is no such file"):
        import_file(project(tmp_path, project_root), tmp_path / "none.csv")


def test_classes_of_known_interventions_come_from_the_project(project_root):
    from ketameta.paths import project_paths

    declared = declared_words(project_paths(project_root))
    assert declared.classes["atomoxetine"] == "norepinephrine_reuptake_inhibitor"


# --- RevMan and Covidence -------------------------------------------------------------------------

DATA_ROWS = (
    "Analysis group,Analysis number,Analysis name,Subgroup,Applicability,Study,Study year,GIV Mean,"
    "GIV SE,Experimental mean,Experimental SD,Experimental cases,Experimental N,Control mean,"
    "Control SD,Control cases,Control N,O-E,Variance,Weight,Mean,CI start,CI end,Footnotes\n"
    "1,1,Depression,,,Alder 2014,2014,,,12.1,6.4,,30,15.3,6.9,,30,,,1,-3.2,-6.6,0.2,\n"
    "1,2,Nausea,,,Alder 2014,2014,,,,,7,30,,,2,30,,,1,3.5,0.8,15.5,\n"
    "1,3,Relapse,,,Birch 2016,2016,-0.6931471805599453,0.2,,,,24,,,,22,,,1,0.5,0.34,0.74,\n"
    "1,4,Survival,,,Cedar 2017,2017,,,,,,41,,,,40,2.1,4.4,1,,,,\n"
    "9,9,Other,,,Cedar 2017,2017,,,1,2,,3,4,5,,6,,,1,,,,\n"
)
WORDS = """\
[study]
design = "parallel_rct"
[analysis."1.1"]
outcome = "depression"
instrument = "madrs"
time_days = 28
statistic = "endpoint"
treatment = "ketamine"
control = "placebo"
[analysis."1.2"]
outcome = "nausea"
instrument = "spontaneous_report"
treatment = "ketamine"
control = "placebo"
[analysis."1.3"]
outcome = "relapse"
instrument = "time_to_relapse"
effect_type = "OR"
treatment = "ketamine"
control = "placebo"
[analysis."1.4"]
outcome = "relapse"
instrument = "time_to_relapse"
treatment = "ketamine"
control = "placebo"
"""


def test_data_rows_ask_for_what_revman_keeps_elsewhere():
    report = read_import(DATA_ROWS.encode(), "data-rows.csv")
    assert report.kind == "RevMan data rows" and report.count("refused") == 5
    assert '[analysis."1.1"]' in report.words_file and "# Depression" in report.words_file
    assert report.tables == {}


def test_data_rows_become_counts_scores_and_contrasts(tmp_path):
    path = tmp_path / "words.toml"
    path.write_text(WORDS, encoding="utf-8")
    report = read_import(DATA_ROWS.encode(), "data-rows.csv", load_words(path, SCHEMA))
    assert [row.verdict for row in report.rows] == [
        "taken", "taken", "changed", "refused", "refused",
    ]  # fmt: skip
    scores = [row for row in report.tables["outcomes"] if row["statistic"] == "endpoint"]
    counts = [row for row in report.tables["outcomes"] if row["statistic"] == "events"]
    assert [(row["arm_id"], row["mean"], row["n"]) for row in scores] == [
        ("ketamine", "12.1", "30"), ("placebo", "15.3", "30"),
    ]  # fmt: skip
    assert [row["events"] for row in counts] == ["7", "2"]
    (ratio,) = report.tables["contrasts"]
    assert ratio["estimate"] == "0.5" and ratio["effect_type"] == "OR"
    assert float(ratio["ci_low"]) == pytest.approx(0.5 * 2.718281828 ** (-1.959964 * 0.2), rel=1e-6)
    assert "O-E" in report.rows[3].details[0]
    assert report.tables["studies"][0]["design"] == "parallel_rct"


def test_a_words_file_says_everything_that_is_wrong_with_it(tmp_path):
    path = tmp_path / "words.toml"
    path.write_text(
        '[instruments]\nx = "y"\n[drug_class]\nketamine = "nmda"\n[study]\ndesing = "x"\n'
        '[analysis."1.1"]\noutcom = "depression"\nstatistic = "end"\n',
        encoding="utf-8",
    )
    with pytest.raises(UsageError) as refusal:
        load_words(path, SCHEMA)
    text = str(refusal.value)
    assert "[instruments]: no such table" in text and "did you mean instrument?" in text
    assert "drug_class.ketamine is 'nmda'; choose one of nmda_antagonist" in text
    assert "study.desing: studies.csv has no such column; did you mean design?" in text
    assert "analysis.1.1.outcom: no such key; did you mean outcome?" in text
    assert "analysis.1.1.statistic is 'end'" in text


RISK = (
    "Study,Domain (judgement): Bias arising from the randomisation process,"
    "Domain (support): Bias arising from the randomisation process,"
    "Domain (judgement): Overall bias,Domain (support): Overall bias\n"
    "Alder 2014,Low risk of bias,<p>Computer generated (page 3)</p>,Some concerns,\n"
    "Birch,Low risk,,Low risk,\n"
    "Cedar 2017,Perhaps,,Low risk,\n"
)


def test_a_risk_of_bias_table_becomes_judgements():
    report = read_import(RISK.encode(), "risk.csv")
    assert [row.verdict for row in report.rows] == ["taken", "refused", "refused"]
    first, overall = report.tables["risk_of_bias"]
    assert first["judgement"] == "low" and first["support"] == "Computer generated (page 3)"
    assert (overall["domain"], overall["judgement"]) == ("overall", "some_concerns")
    assert first["tool"] == "rob2"
    assert "'Perhaps' is no judgement" in report.rows[2].details[0]


# --- small parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "comma", "number"),
    [
        ("27,670", True, "27.67"), ("27,670", False, "27670"), ("5,27000000000000", True, "5.27"),
        ("1.234,5", True, "1234.5"), ("-8,000", True, "-8"), ("\u22123.5", False, "-3.5"),
        ("0,000", True, "0"), ("12.10", False, "12.1"), ("1e3", False, "1000"), ("+3", False, "3"),
        ("3,5", False, None), ("x", False, None), ("nan", False, None), ("inf", False, None),
        ("1e400", False, None), ("\u0663", False, None),
    ],
)  # fmt: skip
def test_numbers_of_other_habits(cell, comma, number):
    assert as_number(cell, decimal_comma=comma) == number


@given(st.decimals(-1_000_000, 1_000_000, places=4))
def test_a_number_survives_its_decimal_comma(value):
    text = format(value, "f")
    assert float(as_number(text.replace(".", ","), decimal_comma=True)) == float(text)


def test_encodings_and_marks_are_read_and_said():
    source = read_source("\ufeffstudy;x\nMüller;1,5\n".encode("utf-8"))
    assert source.columns == ("study", "x") and source.records[0].cells["study"] == "Müller"
    latin = read_source("study;x\nMüller;1,5\n".encode("cp1252"))
    assert latin.records[0].cells["study"] == "Müller" and "not UTF-8" in latin.notes[0]


def test_lines_are_named_in_runs():
    assert line_ranges([2, 5, 6, 7, 9]) == "2, 5-7, 9"
    assert line_ranges(list(range(2, 60, 2))).endswith("... (29 in all)")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_one_problem(content):
    assert read_import(content, "x.csv").problems == ("the file is empty",)
