"""The trials of analyses as data rows of a RevMan data package, for reading beside a review."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ketameta.review.batch_files import csv_text

#: Columns of the data rows in the order of the data package specification.
COLUMNS = (
    *("Analysis group", "Analysis number", "Analysis name", "Subgroup", "Applicability", "Study"),
    *("Study year", "GIV Mean", "GIV SE", "Experimental mean", "Experimental SD"),
    *("Experimental cases", "Experimental N", "Control mean", "Control SD", "Control cases"),
    *("Control N", "O-E", "Variance", "Weight", "Mean", "CI start", "CI end", "Footnotes"),
)


def data_rows_csv(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows of all analyses, one group of analyses per part of the report.

    Notes
    -----
    ``GIV Mean`` and ``GIV SE`` are on the analysis scale (logarithms for ratios), ``Mean`` and its
    interval on the scale a reader sees, as in RevMan's own files. Counts and means are filled where
    one comparison stands behind a row.
    """
    sections = list(dict.fromkeys(result["section"] for result in results))
    numbers: dict[str, int] = {}
    rows: list[dict[str, str]] = []
    for result in results:
        group = sections.index(result["section"]) + 1
        numbers[result["section"]] = numbers.get(result["section"], 0) + 1
        rows.extend(_rows(result, group, numbers[result["section"]]))
    return csv_text(COLUMNS, rows)


def _rows(result: Mapping[str, Any], group: int, number: int) -> Iterator[dict[str, str]]:
    for part in result["groups"]:
        for row in part["rows"]:
            note = "; ".join(
                text
                for text in (row.get("note"), row.get("assumption"), f"study_id {row['study_id']}")
                if text
            )
            yield {
                "Analysis group": str(group),
                "Analysis number": str(number),
                "Analysis name": result["title"],
                "Subgroup": part["label"] or "",
                "Study": row["label"],
                "Study year": _number(row["year"]),
                "GIV Mean": _number(row["estimate"]),
                "GIV SE": _number(row["se"]),
                "Experimental mean": _number(row.get("mean_treatment")),
                "Experimental SD": _number(row.get("sd_treatment")),
                "Experimental cases": _number(row.get("events_treatment")),
                "Experimental N": _number(row.get("n_treatment")),
                "Control mean": _number(row.get("mean_control")),
                "Control SD": _number(row.get("sd_control")),
                "Control cases": _number(row.get("events_control")),
                "Control N": _number(row.get("n_control")),
                "Weight": _number(row.get("weight")),
                "Mean": _shown(row["estimate"], result),
                "CI start": _shown(row["ci_low"], result),
                "CI end": _shown(row["ci_high"], result),
                "Footnotes": note,
            }


def _shown(value: float | None, result: Mapping[str, Any]) -> str:
    if value is None:
        return ""
    return _number(math.exp(value) if result["is_ratio"] else value)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
