"""Exports: what other programs read, guarded against formulas, and read back where we can."""

from __future__ import annotations

import csv
import io
import math
import re

import pytest

from batches import clean_tables
from helpers import ANALYSIS, PROJECT, arm, make_project, score, study, trials, without_better
from ketameta.analyses import run_analysis
from ketameta.errors import ExtractionError, UsageError
from ketameta.evidence import derive_effects
from ketameta.exchange import (
    METAFOR_COLUMNS,
    METAPSY_COLUMNS,
    Declared,
    data_rows_csv,
    declared_words,
    metapsy_csv,
    read_import,
    references,
)
from ketameta.exchange.export import export
from ketameta.inputs import load_evidence
from ketameta.paths import project_paths
from test_review_import import DATA_ROWS, PSILOCYBIN, psilocybin  # noqa: F401  a fixture
from tolerances import PUBLISHED

MD = ANALYSIS + '\n[model]\nmeasure = "MD"\n'


def rows_of(text: str, separator: str = ",") -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    return list(csv.DictReader(io.StringIO(text), delimiter=separator))


# --- Metapsy --------------------------------------------------------------------------------------


def test_comparisons_are_wide_rows_with_decimal_commas(tmp_path):
    paths = make_project(tmp_path, trials(2))
    evidence, _ = load_evidence(paths)
    rows = rows_of(metapsy_csv(derive_effects(evidence), evidence), ";")
    assert [row["study"] for row in rows] == ["Alder 2014", "Birch 2016"]
    first = rows[0]
    assert (first["mean_arm1"], first["sd_arm1"], first["n_arm1"]) == ("12,1", "6,4", "30")
    assert (first["condition_arm1"], first["condition_arm2"]) == ("ketamine", "placebo")
    assert first["event_arm1"] == first["multi_arm1"] == "NA"
    g = float(first[".g"].replace(",", "."))
    assert g == pytest.approx(-0.4746, abs=1e-4)


def test_the_order_of_the_columns_is_that_of_the_standard():
    header = PSILOCYBIN.read_text(encoding="utf-8").splitlines()[0].split(";")
    ours = [name for name in header if name in METAPSY_COLUMNS]
    assert {"study", "condition_arm1", "outcome_type", "instrument", ".id", ".g", ".g_se"} <= {
        *ours
    }
    assert {"mean_arm1", "mean_change_arm1", "event_arm1", "totaln_arm1", ".log_rr"} <= {*ours}


def test_the_sign_of_g_is_that_of_the_means_where_more_is_better(tmp_path):
    tables = trials(1)
    tables["outcomes"] = [
        score(outcome="memory", instrument="recall", mean="20", sd="4", n="30"),
        score("placebo", outcome="memory", instrument="recall", mean="17", sd="4", n="30"),
    ]
    evidence, _ = load_evidence(make_project(tmp_path, tables))
    (row,) = rows_of(metapsy_csv(derive_effects(evidence), evidence), ";")
    assert float(row[".g"].replace(",", ".")) > 0


def test_what_is_exported_can_be_imported_with_the_same_effects(psilocybin):  # noqa: F811
    paths, _, _ = psilocybin
    from ketameta.evidence.checks import checked_evidence

    _, evidence = checked_evidence(paths)
    text = metapsy_csv(derive_effects(evidence), evidence)
    report = read_import(text.encode(), "x.csv", declared=declared_words(paths))
    assert report.is_whole and len(report.rows) > 200

    def cells(rows):
        names = ("outcome", "instrument", "statistic", "n", "mean", "sd", "events", "subgroup")
        return {
            (row["study_id"], float(row["time_days"] or -1), *(row.get(name, "") for name in names))
            for row in rows
        }

    before = cells([row.texts for row in evidence.rows("outcomes")])
    assert cells(report.tables["outcomes"]) <= before
    note = next(note for note in report.notes if note.startswith("g recomputed"))
    assert "compare line" not in note


def test_every_committed_comparison_can_be_imported_again_or_is_refused_beside_its_twin(
    committed_evidence, committed_effects
):
    text = metapsy_csv(committed_effects, committed_evidence)
    words = committed_evidence
    declared = Declared(
        frozenset(words.outcome_words["outcome"]), frozenset(words.instruments["instrument"])
    )
    report = read_import(text.encode(), "x.csv", declared=declared)
    assert not report.problems and report.rows_in == text.count("\n") - 1
    # Two effects of one comparison, at no day or among parts of the people, which the format does
    # not keep: nothing tells them apart, and the message names the other line.
    refused = [row for row in report.rows if row.verdict == "refused"]
    lines = text.splitlines()
    for row in refused:
        twin = re.search(r"in line (\d+), the same outcome and day; correct one", row.details[-1])
        assert twin, row.details
        here, above = lines[row.line - 1].split(";"), lines[int(twin.group(1)) - 1].split(";")
        assert here[0] == above[0] and here[6:11] == above[6:11], row.details
        assert set(here[1:3]) & set(above[1:3]), "an arm stands in both"
    assert len(refused) < 0.02 * len(report.rows)
    assert ";" not in "".join(row["full_ref"] for row in rows_of(text, ";"))


# --- RevMan ---------------------------------------------------------------------------------------


def test_data_rows_have_the_columns_of_the_data_package(tmp_path):
    paths = make_project(tmp_path, trials(3), {"demo": MD})
    out = tmp_path / "rows.csv"
    export(paths, "revman", out)
    rows = rows_of(out.read_text(encoding="utf-8"))
    assert list(rows[0]) == DATA_ROWS.splitlines()[0].split(",")
    assert [row["Study"] for row in rows] == ["Alder 2014", "Birch 2016", "Cedar 2017"]
    assert float(rows[0]["GIV Mean"]) == pytest.approx(12.1 - 15.3)
    assert sum(float(row["Weight"]) for row in rows) == pytest.approx(1)
    assert rows[0]["Experimental mean"] == "12.1" and rows[0]["Control N"] == "30"


def test_ratios_are_logarithms_in_giv_and_ratios_in_mean():
    row = {
        "label": "Alder 2014", "study_id": "alder_2014", "year": 2014, "estimate": math.log(2),
        "se": 0.5, "ci_low": 0.0, "ci_high": math.log(4), "weight": 1.0,
    }  # fmt: skip
    result = {
        "section": "harms", "title": "Nausea", "is_ratio": True,
        "groups": [{"label": None, "rows": [row]}],
    }  # fmt: skip
    (cells,) = rows_of(data_rows_csv([result]))
    assert float(cells["GIV Mean"]) == math.log(2)
    assert float(cells["Mean"]) == pytest.approx(2) and float(cells["CI end"]) == pytest.approx(4)


def test_what_is_written_for_metapsy_comes_back_clean(
    committed_evidence, committed_effects, project_root
):
    text = metapsy_csv(committed_effects, committed_evidence)
    known = declared_words(project_paths(project_root))
    report = read_import(text.encode("utf-8"), "back.csv", None, known)
    assert report.count("refused") == 0 and report.rows_in == text.count("\n") - 1
    ways = {detail for row in report.rows for detail in row.details}
    assert ways == {"the log risk ratio became a ratio with its 95% interval"}
    there = {row["subgroup"] for row in committed_evidence.rows("outcomes")}
    assert {row.get("subgroup", "") for row in report.tables["outcomes"]} <= there


# --- RIS ------------------------------------------------------------------------------------------


def test_every_trial_is_a_complete_ris_record(committed_evidence):
    text = references(committed_evidence)
    records = text.split("ER  - \r\n")[:-1]
    assert len(records) == len(committed_evidence.rows("studies"))
    for record in records:
        assert record.startswith("TY  - ") and "\r\nTI  - " in record and "\r\nUR  - " in record
        assert all(re.fullmatch(r"[A-Z][A-Z0-9]  - \S.*", line) for line in record.splitlines())


# --- metafor --------------------------------------------------------------------------------------


def test_the_script_holds_the_result_and_the_data_give_it(tmp_path):
    paths = make_project(tmp_path, trials(4), {"demo": MD})
    files = export(paths, "metafor", tmp_path / "out")
    assert [file.name for file in files] == ["demo.csv", "demo.R"]
    script = files[1].read_text(encoding="utf-8")
    assert 'method = "REML"' in script and 'test = "adhoc"' in script
    numbers = dict(re.findall(r"(estimate|ci_low|ci_high|tau2) = (-?[0-9.e-]+)", script))
    rows = rows_of(files[0].read_text(encoding="utf-8"))
    assert list(rows[0]) == [*METAFOR_COLUMNS, *PROJECT.categories]

    from ketameta import random_effects

    fit = random_effects([float(r["yi"]) for r in rows], [float(r["vi"]) for r in rows])
    assert fit.estimate == pytest.approx(float(numbers["estimate"]), rel=PUBLISHED)
    assert fit.ci_high == pytest.approx(float(numbers["ci_high"]), rel=PUBLISHED)
    assert fit.tau2 == pytest.approx(float(numbers["tau2"]), rel=PUBLISHED)


@pytest.mark.parametrize(("count", "said"), [(0, "No eligible trial"), (1, "One trial")])
def test_a_script_without_a_pool_says_why(tmp_path, count, said):
    analysis = MD if count else without_better(MD).replace('["depression"]', '["anxiety_symptoms"]')
    paths = make_project(tmp_path, trials(max(count, 1)), {"demo": analysis})
    files = export(paths, "metafor", tmp_path / "out")
    script = files[1].read_text(encoding="utf-8")
    assert said in script and "rma(" not in script


def test_a_trial_in_several_groups_is_joined_before_it_is_pooled(tmp_path):
    tables = trials(2)
    tables["arms"].append(arm("low", "alder_2014", intervention="esketamine"))
    tables["outcomes"].append(score("low", "alder_2014", mean="13", sd="6.5", n="30"))
    grouped = MD.replace('["ketamine"]', '["ketamine", "esketamine"]')
    paths = make_project(tmp_path, tables, {"demo": grouped + 'group_by = "intervention"\n'})
    files = export(paths, "metafor", tmp_path / "out")
    rows = rows_of(files[0].read_text(encoding="utf-8"))
    assert [row["study_id"] for row in rows] == ["alder_2014", "birch_2016"]


# --- all ------------------------------------------------------------------------------------------


def test_a_citation_that_is_a_formula_is_guarded(tmp_path):
    tables = trials(1)
    tables["studies"] = [study(citation="@SUM(A1) of a trial. J. 2014", n_randomised="150")]
    paths = make_project(tmp_path, tables, {"demo": MD})
    out = tmp_path / "x.csv"
    export(paths, "metapsy", out)
    assert rows_of(out.read_text(encoding="utf-8"), ";")[0]["full_ref"].startswith("'@SUM")


def test_unknown_formats_and_analyses_name_the_choices(tmp_path):
    paths = make_project(tmp_path, trials(1))
    with pytest.raises(UsageError, match="'metapsy', 'revman', 'ris', 'metafor'"):
        export(paths, "metapsi", tmp_path / "x")
    with pytest.raises(UsageError, match=r"'dem'; did you mean demo\?"):
        export(paths, "metafor", tmp_path / "x", ["dem"])


def test_data_with_errors_are_not_exported(tmp_path):
    tables = clean_tables()
    tables["outcomes"][0]["events"] = "400"
    paths = make_project(tmp_path, tables, {})
    with pytest.raises(ExtractionError):
        export(paths, "ris", tmp_path / "x.ris")
    assert not (tmp_path / "x.ris").exists()


def test_the_results_behind_an_export_are_those_of_the_analysis(tmp_path):
    paths = make_project(tmp_path, trials(3), {"demo": MD})
    evidence, _ = load_evidence(paths)
    from ketameta.analyses import load_specs

    (spec,) = load_specs(paths.analyses)
    result = run_analysis(spec, derive_effects(evidence), evidence)
    export(paths, "revman", tmp_path / "r.csv", ["demo"])
    rows = rows_of((tmp_path / "r.csv").read_text(encoding="utf-8"))
    assert [float(row["GIV SE"]) for row in rows] == [
        row["se"] for row in result["groups"][0]["rows"]
    ]
