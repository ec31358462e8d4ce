"""The evidence map as data: how many trials stand behind each outcome and intervention.

Zeros are cells like any other: what has never been studied is the first thing to see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.plots.evidence_map import Cell, EvidenceMap
from ketameta.report.plots import Plot

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence import Evidence

#: Rows of the map: who was studied and what was measured.
_ROWS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("ADHD: symptoms", ("adhd",), ("adhd_symptoms",)),
    ("ADHD: attention, memory, executive function", ("adhd",), ("cognition",)),
    ("ADHD: response", ("adhd",), ("response",)),
    ("ADHD: harms", ("adhd",), ("harm",)),
    ("ADHD: blood pressure, heart rate", ("adhd",), ("vital_sign",)),
    ("Depression: mood", ("major_depression", "bipolar_depression", "depression_mixed"), ("mood",)),
    (
        "Depression: response",
        ("major_depression", "bipolar_depression", "depression_mixed"),
        ("response",),
    ),
    (
        "Depression: harms",
        ("major_depression", "bipolar_depression", "depression_mixed"),
        ("harm",),
    ),
    ("Other people: attention, memory", (), ("cognition",)),
    ("Other people: symptoms", (), ("adhd_symptoms", "other_symptoms", "anxiety", "mood")),
    ("Other people: harms", (), ("harm", "vital_sign")),
)
_NAMED = frozenset({"adhd", "major_depression", "bipolar_depression", "depression_mixed"})
#: Columns of the map.
_COLUMNS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Ketamine", ("ketamine", "esketamine"), ()),
    ("Memantine", ("memantine",), ()),
    ("Amantadine", ("amantadine",), ()),
    ("Dextromethorphan", ("dextromethorphan",), ()),
    ("Stimulants", (), ("stimulant",)),
    (
        "Other ADHD medicines",
        (),
        ("norepinephrine_reuptake_inhibitor", "alpha2_agonist", "other_adhd_medicine"),
    ),
)


def evidence_map_cells(evidence: Evidence) -> dict[str, Any]:
    """Return the map: row and column labels and one cell for each pair, zeros included.

    Returns
    -------
    dict
        ``rows``, ``columns`` (labels) and ``cells`` (``row, column, trials, participants,
        direct``). A trial counts once per cell; participants are those randomised, where printed.
        A cell is direct when people with ADHD were studied.
    """
    measured = _measured(evidence)
    cells = []
    for row, diagnoses, domains in _ROWS:
        people = (
            measured["diagnosis"].isin(diagnoses)
            if diagnoses
            else ~measured["diagnosis"].isin(_NAMED)
        )
        in_row = measured[people & measured["domain"].isin(domains)]
        for column, interventions, classes in _COLUMNS:
            here = in_row[
                in_row["intervention"].isin(interventions) | in_row["drug_class"].isin(classes)
            ].drop_duplicates("study_id")
            here = _without_companions(here)
            cells.append(
                {
                    "row": row,
                    "column": column,
                    "trials": len(here),
                    "participants": int(np.nansum(here["n_randomised"].to_numpy(float))),
                    "direct": diagnoses == ("adhd",),
                }
            )
    return {
        "rows": [row for row, _, _ in _ROWS],
        "columns": [column for column, _, _ in _COLUMNS],
        "cells": cells,
    }


def evidence_map(evidence: Evidence) -> Plot:
    """Return the map as a plot."""
    found = evidence_map_cells(evidence)
    cells = tuple(Cell(**cell) for cell in found["cells"])
    data = EvidenceMap(cells, tuple(found["rows"]), tuple(found["columns"]), "", "people with ADHD")
    return Plot("evidence_map", "evidence_map", data)


def _without_companions(here: pd.DataFrame) -> pd.DataFrame:
    """Leave out reports whose people another report in the same cell counts already."""
    if here.empty:
        return here
    overlaps = {
        study: {part for part in text.split(";") if part}
        for study, text in zip(here["study_id"], here["overlaps_with"], strict=True)
    }
    kept: set[str] = set()
    for study in sorted(overlaps, key=lambda name: (bool(overlaps[name]), name)):
        if not (overlaps[study] & kept or any(study in overlaps[other] for other in kept)):
            kept.add(study)
    return here[here["study_id"].isin(list(kept))]


def _measured(evidence: Evidence) -> pd.DataFrame:
    """Return one row per study, treatment arm and outcome with any extracted number.

    Reports that pool other trials are left out, so that nobody is counted twice.
    """
    import pandas as pd

    keys = ["study_id", "arm_id", "outcome"]
    rows = pd.concat([evidence.outcomes[keys], evidence.contrasts[keys]]).drop_duplicates()
    arms = evidence.arms[evidence.arms["role"] == "treatment"]
    studies = evidence.studies
    whole = studies[(studies["design"] != "pooled_rcts")]
    return (
        rows.merge(arms[["study_id", "arm_id", "intervention", "drug_class"]])
        .merge(evidence.outcome_words[["outcome", "domain"]])
        .merge(whole[["study_id", "diagnosis", "n_randomised", "overlaps_with"]])
    )
