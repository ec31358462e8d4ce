"""What the page's own calculator needs of each analysis: independent rows, and the choices made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ketameta.measures import Measure
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
                "effect_ids": [name for row in members for name in row["effect_ids"]],
                "kinds": {row["data_kind"] for row in members},
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
    result: Mapping[str, Any], rows: list[dict[str, Any]], provenance: Provenance
) -> dict[str, Any] | None:
    """Return the data of one analysis for the page's calculator; nothing below two rows.

    Parameters
    ----------
    result : mapping
    rows : list of dict
        Of :func:`independent_rows`.
    provenance : Provenance
        For the same comparisons on another measure.
    """
    parts: list[dict[str, Any]] = []
    other = _other_measure(result)
    usual = _usual_kind(result)

    def short(row: Mapping[str, Any]) -> dict[str, Any]:
        made = {
            "id": row["study_id"],
            "label": row["label"],
            "y": row["estimate"],
            "v": row["variance"],
            "c": row["counts"],
        }
        if other is not None:
            fits = other is not Measure.SMD or row["kinds"] == {usual}
            names = row["effect_ids"] if fits else []
            made["a"] = provenance.on_measure(names, result, str(other))
        return made

    if result["pooled"] is not None and len(rows) > 1:
        parts.append({"key": "", "label": "All trials", "rows": [short(row) for row in rows]})
    for group in result["groups"]:
        if group["pooled"] is not None and len(group["rows"]) > 1:
            members = [
                {**row, "counts": _counts(row), "kinds": {row["data_kind"]}}
                for row in group["rows"]
            ]
            parts.append(
                {
                    "key": group["key"],
                    "label": group["label"],
                    "rows": [short(row) for row in members],
                }
            )
    if not parts:
        return None
    return {
        "name": result["name"],
        "measure": result["measure"],
        "measure_label": result["measure_label"],
        "is_ratio": result["is_ratio"],
        "measures": [[str(item), item.label] for item in _measures(result, other, parts)],
        "tau2": result["spec"]["model"]["tau2_method"],
        "ci": result["spec"]["model"]["ci_method"],
        "level": result["level"],
        "favours": result["favours"],
        "parts": parts,
    }


def _other_measure(result: Mapping[str, Any]) -> Measure | None:
    """Return the other measure of scores where it means anything; else ``None``.

    Raw differences can be averaged on one scale only.
    """
    rows = [row for group in result["groups"] for row in group["rows"]]
    if result["kind"] != "pooled" or not rows:
        return None
    if result["measure"] == "MD":
        return Measure.SMD
    if result["measure"] == "SMD" and len({row["instrument"] for row in rows}) == 1:
        return Measure.MD
    return None


def _usual_kind(result: Mapping[str, Any]) -> str:
    """Return the kind of scores most rows have: no other kind is standardised beside it."""
    kinds = Counter(row["data_kind"] for group in result["groups"] for row in group["rows"])
    return min(kinds, key=lambda kind: (-kinds[kind], kind), default="")


def _measures(
    result: Mapping[str, Any], other: Measure | None, parts: list[dict[str, Any]]
) -> list[Measure]:
    """Return the measures between which a reader can choose; none where there is one."""
    rows = [row for part in parts for row in part["rows"]]
    if all(row["c"] is not None for row in rows):
        return [Measure.OR, Measure.RR, Measure.RD]
    if other is not None and any(
        sum(row["a"] is not None for row in part["rows"]) > 1 for part in parts
    ):
        return [Measure(result["measure"]), other]
    return []
