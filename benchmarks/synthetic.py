"""Invented data for timings: meta-analyses, multilevel effects, and whole projects of trials.

Every trial is called simulated, and nothing here is evidence of anything.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np

from ketameta.evidence.project import load_project
from ketameta.evidence.schema import schema_of

ROOT = Path(__file__).resolve().parent.parent
TIMES = ("1", "7", "14", "28")
#: Trials of one batch: a file of more than 100,000 lines is refused.
LARGEST_BATCH = 5_000
ANALYSES = (
    ("simulated_day1", "depression", "madrs", 1, "MD"),
    ("simulated_day7", "depression", "madrs", 7, "SMD"),
    ("simulated_day28", "depression", "madrs", 28, "MD"),
    ("simulated_nausea", "nausea", "spontaneous_report", 28, "OR"),
)
#: The words that the simulated trials and this repository's instruments use.
PROJECT = """\
[project]
title = "Simulated trials"
question = "Invented: what does the simulated treatment change?"

[words]
diagnosis = ["major_depression"]
drug_class = ["nmda_antagonist"]
outcome_domain = [
  "adhd_symptoms", "cognition", "mood", "anxiety", "suicidality", "other_symptoms", "functioning", "response", "harm",
  "vital_sign",
]
meant_to_improve = ["mood"]

[[moderator]]
name = "prior_treatment_resistance"
label = "Earlier treatment"
meaning = "Invented."
reference = ["not_resistant", "resistant"]
[[moderator.level]]
word = "not_resistant"
meaning = "Invented"
[[moderator.level]]
word = "resistant"
meaning = "Invented"
"""
ANALYSIS = """\
title = "{title}"
question = "Invented: does the simulated treatment change {outcome} on day {day}?"
section = "mood"
order = 1
directness = "indirect"
status = "declared"
favours = ["Favours treatment", "Favours control"]
looked_for = "a simulated trial"
note = "Simulated trials; no evidence of anything."

[select]
outcome = ["{outcome}"]
intervention = ["ketamine"]
instrument = ["{instrument}"]
min_days = {day}
max_days = {day}

[choose]
time = "nearest"
days = {day}

[model]
measure = "{measure}"
group_by = "prior_treatment_resistance"
"""


def meta_analysis(k: int, seed: int = 1, tau2: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates and variances of k invented trials."""
    random = np.random.default_rng([seed, k])
    v = random.uniform(0.02, 0.3, k)
    return 0.3 + random.normal(0, np.sqrt(v + tau2)), v


def arms(k: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Return invented means, standard deviations and sizes of the two arms of k trials."""
    random = np.random.default_rng([seed, k])
    found: dict[str, np.ndarray] = {}
    for arm, mean in (("treatment", 10.0), ("control", 14.0)):
        found[f"mean_{arm}"] = random.normal(mean, 2, k).round(1)
        found[f"sd_{arm}"] = random.uniform(4, 8, k).round(1)
        found[f"n_{arm}"] = random.integers(20, 80, k).astype(float)
    return found


def clustered(effects: int, each: int = 5, seed: int = 1) -> dict[str, np.ndarray]:
    """Return invented effects, ``each`` per study."""
    random = np.random.default_rng([seed, effects])
    study = np.arange(effects) // each
    v = random.uniform(0.02, 0.2, effects)
    y = 0.3 + random.normal(0, 0.3, study[-1] + 1)[study]
    y = y + random.normal(0, 0.2, effects) + random.normal(0, np.sqrt(v))
    return {"yi": y, "vi": v, "study": study, "effect": np.arange(effects)}


def network(
    contrasts: int, treatments: int = 6, seed: int = 1
) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray, np.ndarray]:
    """Return estimates, variances, studies and both arms of invented two-arm trials."""
    random = np.random.default_rng([seed, contrasts])
    names = np.array([f"treatment{i}" for i in range(treatments)])
    true = random.normal(0, 0.3, treatments)
    one = random.integers(0, treatments, contrasts)
    other = (one + 1 + random.integers(0, treatments - 1, contrasts)) % treatments
    v = random.uniform(0.02, 0.2, contrasts)
    y = true[one] - true[other] + random.normal(0, np.sqrt(v + 0.05))
    return y, v, [f"study{i}" for i in range(contrasts)], names[one], names[other]


def write_csv(path: Path, **columns: np.ndarray) -> None:
    """Write columns for R."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*(array.tolist() for array in columns.values()), strict=True))


def write_project(root: Path, studies: int, seed: int = 1, analyses: bool = False) -> int:
    """Write a project of invented two-arm trials, ten outcome rows each; return its rows."""
    random = np.random.default_rng([seed, studies])
    data = root / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name in ("instruments.csv", "outcome_words.csv", "search.toml"):
        shutil.copy(ROOT / "data" / name, data / name)
    (root / "project.toml").write_text(PROJECT, encoding="utf-8")
    tables = schema_of(load_project(root)).batch
    (root / "analyses").mkdir(exist_ok=True)
    for title, outcome, instrument, day, measure in ANALYSES if analyses else ():
        text = ANALYSIS.format(
            title=title, outcome=outcome, instrument=instrument, day=day, measure=measure
        )
        (root / "analyses" / f"{title}.toml").write_text(text, encoding="utf-8")
    count = 0
    for first in range(0, studies, LARGEST_BATCH):
        rows: dict[str, list[dict[str, str]]] = {table.name: [] for table in tables}
        for number in range(first, min(first + LARGEST_BATCH, studies)):
            _trial(rows, f"simulated{number:05d}_2020", random)
        folder = data / "extracted" / (f"simulated{first}" if first else "simulated")
        folder.mkdir(parents=True, exist_ok=True)
        for table in tables:
            with (folder / f"{table.name}.csv").open("w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, table.column_names, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows[table.name])
        count += sum(len(table) for table in rows.values())
    return count


def _trial(rows: dict[str, list[dict[str, str]]], name: str, random: np.random.Generator) -> None:
    size = int(random.integers(20, 80))
    effect = random.normal(-4, 2)
    rows["studies"].append(
        {
            "study_id": name,
            "citation": f"Simulated trial {name}",
            "year": "2020",
            "source_url": f"https://example.org/{name}",
            "source_type": "journal",
            "access": "full_text",
            "design": "parallel_rct",
            "blinding": "double_blind",
            "population": "simulated adults",
            "diagnosis": "major_depression",
            "age_group": "adults",
            "n_randomised": str(2 * size),
            "prior_treatment_resistance": str(random.choice(["resistant", "not_resistant"])),
        }
    )
    for arm, role, drug_class in (
        ("ketamine", "treatment", "nmda_antagonist"),
        ("placebo", "control", "placebo"),
    ):
        treated = role == "treatment"
        rows["arms"].append(
            {
                "study_id": name,
                "arm_id": arm,
                "intervention": arm,
                "drug_class": drug_class,
                "role": role,
                "dose": "0.5" if treated else "",
                "dose_unit": "mg_per_kg" if treated else "",
                "route": "intravenous",
                "n_randomised": str(size),
            }
        )
        shared = {
            "study_id": name,
            "arm_id": arm,
            "n": str(size),
            "analysis_set": "intention_to_treat",
            "locator": "table 2",
            "extracted_by": "simulation",
        }
        for day in TIMES[:4]:
            mean = 22 + (effect if treated else 0) + random.normal(0, 1)
            rows["outcomes"].append(
                shared
                | {
                    "outcome": "depression",
                    "instrument": "madrs",
                    "time_days": day,
                    "statistic": "endpoint",
                    "mean": f"{mean:.2f}",
                    "sd": f"{random.uniform(7, 11):.2f}",
                    "sd_origin": "raw",
                }
            )
        rows["outcomes"].append(
            shared
            | {
                "outcome": "nausea",
                "instrument": "spontaneous_report",
                "time_days": "28",
                "statistic": "events",
                "events": str(int(random.integers(1, size // 2))),
            }
        )
