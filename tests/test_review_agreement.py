"""Two extractions: statistics pinned to published examples, differences, and what is agreed on."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from batches import BIAS, TABLES, csv_text, table_path
from helpers import make_project, score, trials
from ketameta.errors import ExtractionError, UsageError
from ketameta.evidence import (
    DECISIONS,
    EMPTY,
    KEEP,
    LEAVE_OUT,
    SECOND,
    CellPair,
    Row,
    agreement,
    cohens_kappa,
    compare_batches,
    intraclass_correlation,
    key_text,
    limits_of_agreement,
    load_tables,
    read_rows,
    reconcile,
    second_folders,
)
from ketameta.evidence.checks import run_checks
from ketameta.inputs import load_evidence
from ketameta.paths import project_paths
from ketameta.report import repeat_reading
from ketameta.review import agreement_document, as_text
from tolerances import DIRECT, PUBLISHED_TWO_DIGITS

# Shrout and Fleiss (1979), Psychol. Bull. 86(2), 420-428, table 2: six targets, four judges.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)
# Bland and Altman (1986), Lancet 327, 307-310: peak flow by two meters in 17 people (l/min),
# the first reading of each.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


# --- statistics -----------------------------------------------------------------------------------


def test_the_intraclass_correlation_of_shrout_and_fleiss():
    # Table 4 of the paper.
    value = intraclass_correlation(SHROUT_FLEISS)
    assert value == pytest.approx(0.29, abs=PUBLISHED_TWO_DIGITS)


def test_the_intraclass_correlation_is_its_formula():
    x = SHROUT_FLEISS.astype(float)
    n, k = x.shape
    bms = k * x.mean(axis=1).var(ddof=1)
    jms = n * x.mean(axis=0).var(ddof=1)
    residual = x - x.mean(axis=1)[:, None] - x.mean(axis=0) + x.mean()
    ems = (residual**2).sum() / ((n - 1) * (k - 1))
    expected = (bms - ems) / (bms + (k - 1) * ems + k * (jms - ems) / n)
    assert intraclass_correlation(x) == pytest.approx(expected, rel=DIRECT)


def test_the_limits_of_bland_and_altman():
    # Printed: mean difference -2.1, SD 38.8, limits -79.7 and 75.5 l/min, at two SDs.
    limits = limits_of_agreement(WRIGHT, MINI)
    assert limits is not None
    assert limits.bias == pytest.approx(-2.1, abs=0.05)
    assert (limits.high - limits.bias) / 1.96 == pytest.approx(38.8, abs=0.05)
    wider = [limits.bias + sign * 2 * (limits.high - limits.bias) / 1.96 for sign in (-1, 1)]
    assert wider == pytest.approx([-79.7, 75.5], abs=0.1)


def test_kappa_is_agreement_beyond_chance():
    first = ["a"] * 20 + ["a"] * 5 + ["b"] * 10 + ["b"] * 15
    second = ["a"] * 20 + ["b"] * 5 + ["a"] * 10 + ["b"] * 15
    # Observed 35/50; by chance (25*30 + 25*20)/2500 = 0.5.
    assert cohens_kappa(first, second) == pytest.approx((0.7 - 0.5) / (1 - 0.5), rel=DIRECT)


def test_weighted_kappa_forgives_neighbours():
    order = (("low",), ("some_concerns", "unclear"), ("high",))
    first = ["low", "low", "some_concerns", "high", "high", "low"]
    near = ["low", "some_concerns", "some_concerns", "high", "some_concerns", "low"]
    far = ["low", "high", "some_concerns", "high", "low", "low"]
    assert cohens_kappa(first, near, order) > cohens_kappa(first, far, order)
    assert cohens_kappa(first, near, order) > cohens_kappa(first, near)
    # Direct: disagreement |i - j| observed over expected.
    i, j = (np.array([["low", "some_concerns", "high"].index(w) for w in s]) for s in (first, near))
    observed = np.abs(i - j).mean()
    expected = np.abs(i[:, None] - j).mean()
    assert cohens_kappa(first, near, order) == pytest.approx(1 - observed / expected, rel=DIRECT)


def test_kappa_is_that_of_statsmodels():
    from statsmodels.stats.inter_rater import cohens_kappa as reference

    table = np.random.default_rng(5).integers(0, 9, (4, 4))
    words = ("a", "b", "c", "d")
    first, second = zip(
        *(pair for (i, j), n in np.ndenumerate(table) for pair in [(words[i], words[j])] * n),
        strict=True,
    )
    for kind, order in ((None, ()), ("linear", [(word,) for word in words])):
        expected = reference(table, wt=kind, return_results=False)
        assert cohens_kappa(first, second, order) == pytest.approx(expected, rel=DIRECT)


def test_words_of_one_place_count_as_equal():
    order = (("low",), ("some_concerns", "unclear"), ("high",))
    first = ["low", "unclear", "high"]
    assert cohens_kappa(first, ["low", "some_concerns", "high"], order) == pytest.approx(1)
    assert cohens_kappa([*first, "not_assessed"], [*first, "low"], order) == pytest.approx(1)


def test_what_is_not_defined_is_not_a_number_at_all():
    assert cohens_kappa(["a", "a"], ["a", "a"]) is None
    assert cohens_kappa([], []) is None
    assert cohens_kappa(["low"], ["low"], (("low",), ("high",))) is None
    assert intraclass_correlation([[1.0, 2.0]]) is None
    assert intraclass_correlation([[3.0, 3.0], [3.0, 3.0]]) is None
    assert limits_of_agreement([1.0], [2.0]) is None


@given(arrays(float, (5, 2), elements=st.floats(-1e3, 1e3)), st.floats(0.01, 100))
def test_agreement_does_not_depend_on_the_unit(ratings, unit):
    one, two = intraclass_correlation(ratings), intraclass_correlation(ratings * unit + 7)
    if one is None or np.ptp(ratings) < 1e-3:
        return
    assert two == pytest.approx(one, abs=1e-6)
    assert one <= 1 + DIRECT


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=30))
def test_an_extractor_agrees_with_themselves(words):
    value = cohens_kappa(words, words)
    assert value is None if len(set(words)) == 1 else value == pytest.approx(1)


# --- two extractions ------------------------------------------------------------------------------


def rows_of(path):
    """Return the rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def twice(tmp_path, change=lambda tables: None):
    """Return a project whose batch has a second extraction that ``change`` altered."""
    tables = trials(2)
    tables["risk_of_bias"] = [
        BIAS | {"domain": domain, "study_id": study, "judged_by": "AB"}
        for study in ("alder_2014", "birch_2016")
        for domain in ("randomisation", "overall")
    ]
    for row in tables["outcomes"]:
        row["extracted_by"] = "AB"
    paths = make_project(tmp_path, tables)
    second = {name: [dict(row) for row in tables[name]] for name in ("outcomes", "risk_of_bias")}
    for row in second["outcomes"]:
        row |= {"extracted_by": "CD", "locator": "table 2, second column"}
    for row in second["risk_of_bias"]:
        row["judged_by"] = "CD"
    change(second)
    folder = paths.extracted / "demo" / "second"
    folder.mkdir()
    for name, rows in second.items():
        (folder / f"{name}.csv").write_text(csv_text(name, rows), encoding="utf-8")
    return paths, folder


def some_differences(tables):
    """Make the second extractor read a mean, an n and a judgement otherwise, and one row more."""
    tables["outcomes"][0]["mean"] = "12.7"
    tables["outcomes"][1]["n"] = ""
    tables["outcomes"].append(score(study_id="birch_2016", time_days="56", extracted_by="CD"))
    tables["risk_of_bias"][0]["judgement"] = "high"
    tables["risk_of_bias"][0]["support"] = "drawn by lot (page 4)"


def decide(folder, why="looked up again", **agreed):
    """Fill the decisions of a reconciliation table, by column."""
    path = folder / DECISIONS
    rows = rows_of(path)
    for row in rows:
        row["agreed"] = agreed.get(row["column"].strip("()"), row["agreed"])
        row |= {"decided_by": "AB+CD", "reason": why}
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(stream.getvalue(), encoding="utf-8")


def agreed_on(paths, evidence):
    return reconcile(paths, evidence, compare_batches(paths, evidence))


def reconciled(paths):
    """Return the evidence with what was agreed on, and the findings as words."""
    evidence, _ = load_tables(paths)
    after, findings = agreed_on(paths, evidence)
    return after, [(item.check, item.column, item.value) for item in findings]


def test_the_second_extraction_is_not_read_as_evidence(tmp_path):
    paths, _ = twice(tmp_path, some_differences)
    evidence, findings = load_tables(paths)
    assert len(evidence.rows("outcomes")) == 4 and findings == ()


def test_equal_extractions_agree_in_every_cell(tmp_path):
    paths, folder = twice(tmp_path)
    (found,) = agreement(paths)
    assert found.comparison.differences == () and found.lines == ()
    assert found.comparison.matched == 8
    assert "The two extractions do not differ." in as_text(agreement_document(paths, [found]))
    assert rows_of(folder / DECISIONS) == []
    after, findings = reconciled(paths)
    assert findings == [] and len(after.rows("outcomes")) == 4


def test_every_difference_is_listed_with_both_values_and_both_locators(tmp_path):
    paths, folder = twice(tmp_path, some_differences)
    (found,) = agreement(paths)
    lines = {(row["table"], row["column"]): row for row in rows_of(folder / DECISIONS)}
    assert set(lines) == {
        ("outcomes", "mean"), ("outcomes", "n"), ("outcomes", "(row)"),
        ("risk_of_bias", "judgement"),
    }  # fmt: skip
    mean = lines["outcomes", "mean"]
    assert (mean["first"], mean["second"]) == ("12.1", "12.7")
    assert (mean["first_locator"], mean["second_locator"]) == ("table 2", "table 2, second column")
    assert (mean["first_by"], mean["second_by"]) == ("AB", "CD")
    assert mean["row"] == "alder_2014 / ketamine / depression / hamd / 28 / - / endpoint"
    assert lines["outcomes", "(row)"]["first"] == "absent"
    assert lines["risk_of_bias", "judgement"]["second_locator"] == "drawn by lot (page 4)"
    assert found.open == 4
    text = as_text(agreement_document(paths, [found]))
    assert "4 differences still to be decided" in text and "table 2, second column" in text


def test_agreement_is_measured_column_by_column(tmp_path):
    paths, _ = twice(tmp_path, some_differences)
    (found,) = agreement(paths, write=False)
    columns = {column.name: column for column in found.columns}
    mean, n = columns["outcomes.mean"], columns["outcomes.n"]
    assert (mean.cells, mean.agreeing) == (4, 3)
    assert mean.limits.bias == pytest.approx((12.1 - 12.7) / 4)
    assert 0.9 < mean.icc < 1
    assert (n.cells, n.agreeing, n.icc) == (4, 3, pytest.approx(1))
    judgement = columns["risk_of_bias.judgement"]
    assert judgement.kappa == pytest.approx(0) and judgement.weighted_kappa is not None
    assert "outcomes.locator" not in columns and "risk_of_bias.support" not in columns


def test_times_that_are_equal_as_numbers_are_one_row(tmp_path):
    paths, _ = twice(tmp_path, lambda t: [r.update(time_days="28.0") for r in t["outcomes"]])
    (found,) = agreement(paths, write=False)
    assert found.lines == ()


def test_a_second_extraction_of_one_trial_is_compared_with_that_trial(tmp_path):
    def only_birch(tables):
        for name, rows in tables.items():
            tables[name] = [row for row in rows if row["study_id"] == "birch_2016"]

    paths, _ = twice(tmp_path, only_birch)
    (found,) = agreement(paths, write=False)
    assert found.lines == () and found.comparison.matched == 4


def only_a_mean(tables):
    """Leave one row of one trial in the second extraction, with nothing but its mean."""
    kept = dict(tables["outcomes"][0])
    for column in ("n", "sd", "baseline_mean", "baseline_sd"):
        kept.pop(column, None)
    tables["outcomes"] = [kept]
    del tables["risk_of_bias"]


def test_what_a_partial_second_extraction_did_not_read_is_no_difference(tmp_path):
    def partial(tables):
        only_a_mean(tables)
        tables["outcomes"][0]["note"] = "partial: only the mean stands on the page"

    paths, _ = twice(tmp_path, partial)
    (found,) = agreement(paths, write=False)
    comparison = found.comparison
    assert found.lines == () and comparison.matched == 1 and comparison.only_first == ()
    assert {pair.column.name for pair in comparison.cells} >= {"mean"}
    assert not {pair.column.name for pair in comparison.cells} & {"n", "sd"}
    assert comparison.unread_cells >= 2
    # The other arm of the trial was not read again; the other trial is not part of this reading.
    assert [row["study_id"] for row in comparison.unread] == ["alder_2014"]


def test_without_the_word_partial_what_is_missing_is_a_difference(tmp_path):
    paths, _ = twice(tmp_path, only_a_mean)
    (found,) = agreement(paths, write=False)
    assert {"n", "sd", "(row)"} <= {line["column"] for line in found.lines}
    assert found.comparison.unread == () and found.comparison.unread_cells == 0


def test_a_cell_that_a_partial_row_reads_otherwise_is_a_difference(tmp_path):
    def partial(tables):
        only_a_mean(tables)
        tables["outcomes"][0] |= {"note": "Partial: the mean alone", "mean": "12.7"}

    paths, _ = twice(tmp_path, partial)
    (found,) = agreement(paths, write=False)
    assert [(line["column"], line["second"]) for line in found.lines] == [("mean", "12.7")]


# --- what was agreed on ---------------------------------------------------------------------------


def test_an_open_difference_is_an_error_where_it_stands(tmp_path):
    paths, _ = twice(tmp_path, some_differences)
    _, findings = reconciled(paths)
    assert sorted(findings) == [
        ("unreconciled", "(row)", "absent v present"),
        ("unreconciled", "judgement", "low v high"),
        ("unreconciled", "mean", "12.1 v 12.7"),
        ("unreconciled", "n", "30 v (empty)"),
    ]
    evidence, _ = load_tables(paths)
    found = {item.column: item for item in agreed_on(paths, evidence)[1]}
    assert found["mean"].file.endswith("demo/outcomes.csv") and found["mean"].line == 2
    assert "table 2 v table 2, second column" in found["mean"].why


def test_the_agreed_values_are_used(tmp_path):
    paths, folder = twice(tmp_path, some_differences)
    agreement(paths)
    decide(folder, mean="12.7", n="29", judgement="some_concerns", row=KEEP)
    after, findings = reconciled(paths)
    assert findings == []
    treatment, control = after.rows("outcomes")[:2]
    assert treatment.number("mean") == 12.7 and treatment["mean"] == "12.7"
    assert control.number("n") == 29
    assert after.rows("risk_of_bias")[0]["judgement"] == "some_concerns"
    added = after.rows("outcomes")[-1]
    assert added.file.endswith("second/outcomes.csv") and added.number("time_days") == 56


def test_checks_and_builds_refuse_open_differences_and_use_agreed_values(tmp_path):
    paths, folder = twice(tmp_path, some_differences)
    assert {item.check for item in run_checks(paths).errors} == {"unreconciled"}
    with pytest.raises(ExtractionError, match="unreconciled"):
        load_evidence(paths)
    agreement(paths)
    decide(folder, mean="12.7", n="29", judgement="some_concerns", row=KEEP)
    assert not run_checks(paths).errors
    evidence, _ = load_evidence(paths)
    assert evidence.rows("outcomes")[0].number("mean") == 12.7


def test_a_row_can_be_left_out_and_a_cell_emptied(tmp_path):
    def without_the_last(tables):
        tables["outcomes"][1]["n"] = ""
        del tables["outcomes"][-1]

    paths, folder = twice(tmp_path, without_the_last)
    agreement(paths)
    decide(folder, n=EMPTY, row=LEAVE_OUT)
    after, findings = reconciled(paths)
    assert findings == []
    assert len(after.rows("outcomes")) == 3 and after.rows("outcomes")[1].number("n") is None


def test_decisions_are_kept_when_the_comparison_runs_again(tmp_path):
    paths, folder = twice(tmp_path, some_differences)
    agreement(paths)
    decide(folder, mean="12.7")
    (found,) = agreement(paths)
    assert found.open == 3
    kept = next(row for row in rows_of(folder / DECISIONS) if row["column"] == "mean")
    assert (kept["agreed"], kept["decided_by"]) == ("12.7", "AB+CD")


def test_a_decision_expires_with_the_values_it_was_about(tmp_path):
    paths, folder = twice(tmp_path, some_differences)
    agreement(paths)
    decide(folder, mean="12.7", n="29", judgement="high", row=KEEP)
    path = table_path(paths.root, "outcomes")
    path.write_text(path.read_text(encoding="utf-8").replace("12.1", "11.9"), encoding="utf-8")
    _, findings = reconciled(paths)
    assert findings == [("reconciliation", "agreed", "12.7")]
    (found,) = agreement(paths)
    assert found.open == 1


def test_a_decision_nobody_needs_is_said(tmp_path):
    paths, folder = twice(tmp_path, some_differences)
    agreement(paths)
    decide(folder, mean="12.7", n="29", judgement="high", row=KEEP)
    second = folder / "outcomes.csv"
    second.write_text(second.read_text(encoding="utf-8").replace("12.7", "12.1"), encoding="utf-8")
    assert [item[:2] for item in reconciled(paths)[1]] == [("reconciliation", "agreed")]


@pytest.mark.parametrize(
    ("agreed", "why"),
    [({"mean": "12,7"}, "a comma stands in a number"), ({"row": "maybe"}, "kept or left out")],
)
def test_a_decision_that_cannot_be_used_is_said(tmp_path, agreed, why):
    paths, folder = twice(tmp_path, some_differences)
    agreement(paths)
    decide(folder, **({"mean": "12.7", "n": "29", "judgement": "high", "row": KEEP} | agreed))
    evidence, _ = load_tables(paths)
    (finding,) = agreed_on(paths, evidence)[1]
    assert finding.check == "reconciliation" and why in finding.why


@pytest.mark.parametrize(("reason", "expected"), [("", ["third_value"]), ("the table says so", [])])
def test_a_value_of_neither_extractor_needs_a_reason(tmp_path, reason, expected):
    paths, folder = twice(tmp_path, some_differences)
    agreement(paths)
    decide(folder, reason, mean="13.3", n="30", judgement="high", row=KEEP)
    evidence, _ = load_tables(paths)
    after, findings = agreed_on(paths, evidence)
    found = [item for item in findings if item.check == "third_value"]
    assert [item.check for item in found] == expected
    assert all(item.severity == "warning" and item.value == "13.3" for item in found)
    assert after.rows("outcomes")[0].number("mean") == 13.3


def test_one_person_twice_is_not_two_extractors(tmp_path):
    def by_one(tables):
        some_differences(tables)
        for row in tables["outcomes"]:
            row["extracted_by"] = "AB"

    paths, folder = twice(tmp_path, by_one)
    first = folder.parent / "outcomes.csv"
    rows = rows_of(first)
    for row in rows:
        row["extracted_by"] = "AB"
    first.write_text(csv_text("outcomes", rows), encoding="utf-8")
    evidence, _ = load_tables(paths)
    found = {item.check: item for item in agreed_on(paths, evidence)[1]}
    assert found["same_extractor"].severity == "warning"
    assert "both extractions are by AB" in found["same_extractor"].why


def test_a_second_extraction_that_cannot_be_read_is_an_error(tmp_path):
    paths, folder = twice(tmp_path)
    (folder / "outcomes.csv").write_text("nothing,here\n1,2\n", encoding="utf-8")
    assert "header_missing" in {check for check, _, _ in reconciled(paths)[1]}


def test_the_evidence_passed_in_is_not_changed(tmp_path):
    paths, folder = twice(tmp_path, some_differences)
    agreement(paths)
    decide(folder, mean="12.7", n="29", judgement="high", row=KEEP)
    evidence, _ = load_tables(paths)
    agreed_on(paths, evidence)
    assert evidence.rows("outcomes")[0].number("mean") == 12.1
    assert len(evidence.rows("outcomes")) == 4


def test_a_formula_in_a_difference_is_guarded_and_still_decided(tmp_path):
    def formula(tables):
        tables["outcomes"][0]["analysis_set"] = "=cmd()"

    paths, folder = twice(tmp_path, formula)
    agreement(paths)
    (line,) = rows_of(folder / DECISIONS)
    assert line["second"] == "'=cmd()"
    decide(folder, analysis_set="completers")
    after, findings = reconciled(paths)
    assert after.rows("outcomes")[0]["analysis_set"] == "completers"
    assert [item[0] for item in findings] == ["formula"]


def test_a_project_without_second_extractions_says_how_to_begin(tmp_path):
    paths = make_project(tmp_path, trials(1))
    assert agreement(paths) == ()
    assert "It starts with: ketameta new BATCH --second" in as_text(agreement_document(paths, []))
    with pytest.raises(UsageError, match="has no second extraction"):
        agreement(paths, paths.extracted / "demo")


def test_the_committed_data_have_no_open_difference(project_root):
    paths = project_paths(project_root)
    # As read, before corrections: both extractions hold what is printed.
    evidence, _ = load_tables(paths)
    assert agreed_on(paths, evidence)[1] == ()


def test_what_was_checked_in_the_committed_data_was_read_again(project_root):
    paths = project_paths(project_root)
    checked = {"outcomes": set(), "contrasts": set()}
    read = {"outcomes": set(), "contrasts": set()}
    evidence, _ = load_tables(paths)
    for table, keys in checked.items():
        keys |= {key_text(row) for row in evidence.rows(table) if row["checked_by"]}
    for folder in second_folders(paths):
        for table, keys in read.items():
            path = folder / SECOND / f"{table}.csv"
            if path.exists():
                rows, refused, _ = read_rows(path, paths.relative(path), TABLES[table])
                assert refused == []
                keys |= {key_text(row) for row in rows}
    for table, keys in checked.items():
        assert keys and keys <= read[table]


# --- the section of the report --------------------------------------------------------------------


def cell(name, first, second, note=""):
    """Return one cell of a printed difference, as two people typed the row."""
    rows = [
        Row("contrasts", "contrasts.csv", 2, {k: str(v) for k, v in row.items()}, dict(row))
        for row in (first, second)
    ]
    rows[1] = replace(rows[1], texts={**rows[1].texts, "note": note})
    return CellPair("contrasts", TABLES["contrasts"].column(name), *rows)


PRINTED = {"estimate": -2.4, "ci_low": -4.1, "ci_high": -0.6}
AS_BENEFIT = {"estimate": 2.4, "ci_low": 0.6, "ci_high": 4.1}


@pytest.mark.parametrize("name", list(PRINTED))
def test_a_difference_counted_as_benefit_is_the_same_in_other_words(name):
    pair = cell(name, PRINTED, AS_BENEFIT)
    assert pair.is_alike and not pair.agrees
    mirrored = {"ci_low": "ci_high", "ci_high": "ci_low"}.get(name, name)
    other = {**AS_BENEFIT, mirrored: 0.7}
    assert not cell(name, PRINTED, other).is_alike
    assert not cell(name, PRINTED, PRINTED).is_alike


def test_a_limit_turned_without_its_estimate_differs():
    turned = {**AS_BENEFIT, "estimate": -2.4}
    assert not any(cell(name, PRINTED, turned).is_alike for name in ("ci_low", "ci_high"))


@pytest.mark.parametrize(("second", "alike"), [(-2.43, True), (-2, True), (-2.5, False)])
def test_a_rounded_number_is_the_same_in_other_words(second, alike):
    pair = cell("estimate", PRINTED, {"estimate": second})
    assert pair.is_alike is alike


def test_what_was_read_in_sight_of_the_first_is_said():
    note = "partial: read again; not blind: se, estimate; also another page"
    assert not cell("estimate", PRINTED, PRINTED, note).is_blind
    assert cell("ci_low", PRINTED, PRINTED, note).is_blind


def test_the_repeat_reading_of_the_committed_data_is_counted_from_its_files(project_root):
    paths = project_paths(project_root)
    evidence, _ = load_tables(paths)
    words = ("p_relation", "locator", "note", "extracted_by", "checked_by", "source_url")
    read = 0
    for folder in second_folders(paths):
        for table in ("outcomes", "contrasts"):
            names = set(TABLES[table].column_names) - {*TABLES[table].core, *words}
            read += sum(bool(row.get(n)) for row in rows_of(folder / SECOND / f"{table}.csv")
                        for n in names)  # fmt: skip
    lines = [
        line for folder in second_folders(paths) for line in rows_of(folder / SECOND / DECISIONS)
    ]
    row = evidence.rows("contrasts")[0]
    compared = compare_batches(paths, evidence)
    found = repeat_reading(paths, evidence, compared, {f"{row.file}:{row.line}"}, ("Own words.",))
    assert found is not None and found.sentences[0] == "Own words."
    kinds = {name: [int(n) for n in counts] for name, *counts, _ in found.kinds.texts}
    numbers = [counts for name, counts in kinds.items() if name != "whether p is exact"]
    totals = [sum(column) for column in zip(*numbers, strict=True)]
    assert totals[0] == read == 698
    assert totals[1:] == [669, 22, 7] and len(lines) == totals[2] + totals[3]
    assert "698 numbers were read twice: 669 are the same, 22" in " ".join(found.sentences)
    assert [row[2] for row in found.differences.texts] == [line["first"] for line in lines]
    assert [row[5] for row in found.differences.texts] == [line["reason"] for line in lines]
    filled = {
        name: sum(
            row.number(column.name) is not None
            for row in evidence.rows(name)
            for column in TABLES[name].columns
            if column.kind in ("number", "integer") and column.name not in TABLES[name].core
        )
        for name in ("outcomes", "contrasts", "moderators")
    }
    told = {row[0]: int(row[1].replace(",", "")) for row in found.unread.texts}
    assert {name: told[name] for name in filled} == filled


def test_a_project_without_a_second_reading_says_nothing_of_one(tmp_path):
    paths = make_project(tmp_path, trials(1))
    assert repeat_reading(paths, load_tables(paths)[0], (), ()) is None
