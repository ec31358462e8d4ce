"""What the page's own calculator needs of each analysis: independent rows, and the choices made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ketameta.report.provenance import Provenance

_COUNTS = ("events_treatment", "n_treatment", "events_control", "n_control")


def independent_rows(result: Mapping[str, Any], provenance: Provenance) -> list[dict[str, Any]]:
    """Return one row per study: its effect, or its effects of several groups joined.

    The same rows as the overall model of an analysis saw.
    """
    by_study: dict[str, list[Mapping[str, Any]]] = {}
    for group in result["groups"]:
        for row in group["rows"]:
            by_study.setdefault(row["study_id"], []).append(row)
    rows = []
    for study, members in by_study.items():
        estimate, variance = members[0]["estimate"], members[0]["variance"]
        if len(members) > 1:
            estimate, variance = provenance.joined(members, result)
        rows.append(
            {
                "study_id": study,
                "label": members[0]["label"],
                "estimate": estimate,
                "variance": variance,
                "year": members[0]["year"],
                "counts": _counts(members[0]) if len(members) == 1 else None,
            }
        )
    return sorted(rows, key=lambda row: (row["year"] or 9999, row["study_id"]))


def _counts(row: Mapping[str, Any]) -> list[float] | None:
    """Return the four numbers of a row that comes from one table of counts."""
    if row["data_kind"] != "events" or len(row["effect_ids"]) > 1:
        return None
    values = [row[name] for name in _COUNTS]
    return None if any(value is None for value in values) else [float(value) for value in values]


def engine_data(
    result: Mapping[str, Any], rows: list[dict[str, Any]], measures: list[tuple[str, str]]
) -> dict[str, Any] | None:
    """Return the data of one analysis for the page's calculator; nothing below two rows.

    Parameters
    ----------
    result : mapping
    rows : list of dict
        Of :func:`independent_rows`.
    measures : list of tuple
        Codes and words of the measures that counts can give.
    """
    parts: list[dict[str, Any]] = []
    if result["pooled"] is not None and len(rows) > 1:
        parts.append({"key": "", "label": "All trials", "rows": [_short(row) for row in rows]})
    for group in result["groups"]:
        if group["pooled"] is not None and len(group["rows"]) > 1:
            members = [{**row, "counts": _counts(row)} for row in group["rows"]]
            parts.append(
                {
                    "key": group["key"],
                    "label": group["label"],
                    "rows": [_short(row) for row in members],
                }
            )
    if not parts:
        return None
    counted = all(row["c"] is not None for part in parts for row in part["rows"])
    return {
        "name": result["name"],
        "measure": result["measure"],
        "measure_label": result["measure_label"],
        "is_ratio": result["is_ratio"],
        "measures": [list(item) for item in measures] if counted else [],
        "tau2": result["spec"]["model"]["tau2_method"],
        "ci": result["spec"]["model"]["ci_method"],
        "level": result["level"],
        "favours": result["favours"],
        "parts": parts,
    }


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["study_id"],
        "label": row["label"],
        "y": row["estimate"],
        "v": row["variance"],
        "c": row["counts"],
    }
