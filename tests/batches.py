"""Small invented projects for the tests of reading and checking; neither tests nor fixtures."""

from __future__ import annotations

import copy
import csv
import io
import re
from pathlib import Path

from ketameta.evidence import load_project, schema_of
from ketameta.evidence.checks import CheckReport, run_checks
from ketameta.paths import project_paths

#: This evidence base's own words: invented projects declare the same.
PROJECT = Path(__file__).parents[1] / "project.toml"
SCHEMA = schema_of(load_project(PROJECT.parent))
TABLES, BATCH_TABLES, SHARED_TABLES = SCHEMA.tables, SCHEMA.batch, SCHEMA.shared

Tables = dict[str, list[dict[str, str]]]

STUDY = {
    "study_id": "alder_2014", "citation": "Alder A. Invented trial. J Invented. 2014;1:1-2.",
    "year": "2014", "source_url": "https://example.org/alder", "source_type": "journal",
    "access": "full_text", "design": "parallel_rct", "blinding": "double_blind",
    "population": "adults", "diagnosis": "major_depression", "age_group": "adults",
    "n_randomised": "60", "adhd_subtype": "not_applicable",
    "prior_treatment_resistance": "not_reported",
}  # fmt: skip
TREATMENT = {
    "study_id": "alder_2014", "arm_id": "ketamine", "intervention": "ketamine",
    "drug_class": "nmda_antagonist", "role": "treatment", "dose": "0.5", "dose_unit": "mg_per_kg",
    "route": "intravenous", "n_randomised": "30",
}  # fmt: skip
CONTROL = {
    "study_id": "alder_2014", "arm_id": "placebo", "intervention": "placebo",
    "drug_class": "placebo", "role": "control", "route": "intravenous", "n_randomised": "30",
}  # fmt: skip
SCORE = {
    "study_id": "alder_2014", "arm_id": "ketamine", "outcome": "depression", "instrument": "hamd",
    "time_days": "28", "statistic": "endpoint", "n": "30", "mean": "12.1", "sd": "6.4",
    "locator": "table 2",
}  # fmt: skip
EVENT = {
    "study_id": "alder_2014", "arm_id": "ketamine", "outcome": "nausea", "instrument": "checklist",
    "time_days": "28", "statistic": "events", "n": "30", "events": "7", "locator": "table 3",
}  # fmt: skip
CONTRAST = {
    "study_id": "alder_2014", "arm_id": "ketamine", "comparator_arm_id": "placebo",
    "outcome": "anxiety_symptoms", "instrument": "hama", "time_days": "28", "effect_type": "MD",
    "estimate": "-3.1", "ci_low": "-5.9", "ci_high": "-0.3", "p": "0.03", "p_relation": "=",
    "locator": "table 4",
}  # fmt: skip
FACT = {
    "source": "alder_2014", "harm": "nausea", "design": "single_arm", "setting": "therapeutic",
    "intervention": "ketamine", "people": "adults with depression", "n": "50", "events": "7",
    "percent": "14", "citation": "Alder A. An invented study.", "source_type": "journal",
    "locator": "table 2",
}  # fmt: skip
SHARE = {
    "study_id": "alder_2014", "moderator": "adhd_inattentive_percent", "value": "40",
    "basis": "printed", "people": "of all randomised", "denominator": "60", "covers": "all",
    "source_type": "journal", "locator": "table 1",
}  # fmt: skip
BIAS = {
    "study_id": "alder_2014", "tool": "rob2", "domain": "overall", "judgement": "low",
    "support": "all domains low (methods)", "judged_by": "AB",
}  # fmt: skip


def clean_tables() -> Tables:
    """Return a project of one trial in which nothing is wrong."""
    words = [
        ("depression", "continuous", "mood", "neither"),
        ("anxiety_symptoms", "continuous", "anxiety", "neither"),
        ("nausea", "event", "harm", "lower_is_better"),
    ]
    scales = [("hamd", "0", "52"), ("hama", "0", "56"), ("checklist", "", "")]
    return copy.deepcopy(
        {
            "studies": [STUDY],
            "arms": [TREATMENT, CONTROL],
            "outcomes": [
                SCORE,
                SCORE | {"arm_id": "placebo", "mean": "15.3", "sd": "6.9"},
                EVENT,
                EVENT | {"arm_id": "placebo", "events": "2"},
            ],
            "contrasts": [CONTRAST],
            "risk_of_bias": [
                BIAS | {"domain": "randomisation", "support": "sealed envelopes (page 3)"},
                BIAS,
            ],
            "outcome_words": [
                {"outcome": o, "label": o, "kind": k, "domain": d, "direction": b}
                for o, k, d, b in words
            ],
            "instruments": [
                {
                    "instrument": name,
                    "name": name,
                    "measures": "symptoms",
                    "direction": "lower_is_better",
                    "minimum": low,
                    "maximum": high,
                    "range_source": "manual" if low else "",
                }
                for name, low, high in scales
            ],
        }
    )


def csv_text(table: str, rows: list[dict[str, str]]) -> str:
    """Return rows as the CSV of a table, with every column of the schema."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, TABLES[table].column_names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def table_path(root: Path, table: str, batch: str = "demo") -> Path:
    """Return where a table of the invented project stands."""
    in_batch = table in {item.name for item in BATCH_TABLES}
    folder = root / "data" / "extracted" / batch if in_batch else root / "data"
    return folder / f"{table}.csv"


def write_project(root: Path, tables: Tables, batch: str = "demo") -> Path:
    """Write tables below ``root``, with the words of this project; return it."""
    root.mkdir(parents=True, exist_ok=True)
    # Without the places that name analyses: an invented project has others.
    named = r"(?:front\.finding|front\.card(?:\.icon)?|harms\.known|question)"
    named = rf"\[earlier\]|\[\[{named}\]\]"
    text = re.sub(rf"(?m)^headline = .*\n|^(?:{named})\n(?:(?:\w+ = |  |\]).*\n)+", "",
                  PROJECT.read_text(encoding="utf-8"))  # fmt: skip
    (root / PROJECT.name).write_text(text, encoding="utf-8")
    for table, rows in tables.items():
        path = table_path(root, table, batch)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(csv_text(table, rows), encoding="utf-8")
    return root


def check_tables(root: Path, tables: Tables) -> CheckReport:
    """Write tables below ``root`` and check them."""
    return run_checks(project_paths(write_project(root, tables)))


def places(report: CheckReport, check: str) -> list[tuple[str, int, str]]:
    """Return file name, line and column of every finding of one check."""
    return [
        (Path(finding.file).name, finding.line, finding.column)
        for finding in report.findings
        if finding.check == check
    ]


def words(report: CheckReport) -> set[str]:
    """Return the words of the checks that found something."""
    return {finding.check for finding in report.findings}
