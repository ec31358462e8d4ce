"""Which studies enter which results, and the numbered list of them. Computes nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketameta.analyses.rows import study_label
from ketameta.report.provenance import link_of

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence import Evidence


def studies_of(result: Mapping[str, Any]) -> list[str]:
    """Return the studies of a result in the order of its rows; of a network, its trials."""
    if result["kind"] == "network":
        # The rows of its forest plot are treatments.
        return list((result["network"] or {}).get("studies", []))
    return list(
        dict.fromkeys(row["study_id"] for group in result["groups"] for row in group["rows"])
    )


def used_studies(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return every study that enters a result, in alphabetical order."""
    return sorted({name for result in results for name in studies_of(result)})


def numbered_studies(
    evidence: Evidence, results: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the studies that enter any analysis, numbered, with the analyses they enter."""
    entered: dict[str, list[str]] = {}
    for result in results:
        for name in studies_of(result):
            entered.setdefault(name, []).append(result["title"])
    rows = [row for row in records(evidence.studies) if row["study_id"] in entered]
    for number, row in enumerate(rows, start=1):
        row["number"] = number
        row["label"] = study_label(row["study_id"])
        row["analyses"] = entered[row["study_id"]]
        row["link"], row["link_words"] = link_of(row)
    return rows


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as plain dictionaries, missing numbers as ``None``."""
    return [
        {key: None if value != value else value for key, value in record.items()}
        for record in frame.to_dict("records")
    ]
