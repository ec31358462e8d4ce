"""All comparisons in the Metapsy format: wide rows, semicolons, decimal commas, NA for missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ketameta.analyses.rows import study_label
from ketameta.csvguard import guarded

if TYPE_CHECKING:
    from ketameta.effect_table import EffectTable
    from ketameta.evidence import Evidence

#: Columns in the order of the Metapsy data standard, then additional ones.
COLUMNS = (
    *("study", "condition_arm1", "condition_arm2", "multi_arm1", "multi_arm2", "outcome_type"),
    *("instrument", "instrument_symptom", "time", "time_days", "time_weeks", "rating", "subgroup"),
    *("mean_arm1", "mean_arm2", "sd_arm1", "sd_arm2", "n_arm1", "n_arm2"),
    *("mean_change_arm1", "mean_change_arm2", "sd_change_arm1", "sd_change_arm2"),
    *("n_change_arm1", "n_change_arm2"),
    *("event_arm1", "event_arm2", "totaln_arm1", "totaln_arm2"),
    *("precalc_g", "precalc_g_se", "precalc_log_rr", "precalc_log_rr_se"),
    *("year", "diagnosis", "design", "blinding", "doi", "full_ref", "route"),
    *(".id", ".g", ".g_se", ".log_rr", ".log_rr_se"),
    *(".event_arm1", ".event_arm2", ".totaln_arm1", ".totaln_arm2"),
)
_KEYS = [
    *("study_id", "arm_id", "comparator_arm_id", "outcome", "instrument", "time_days"),
    *("subgroup", "data_kind", "printed_as"),
]
_BLINDING = {"double_blind": "double-blind", "single_blind": "single-blind"}


def metapsy_csv(table: EffectTable, evidence: Evidence) -> str:
    """Return every comparison of two arms as a row of the Metapsy format.

    Notes
    -----
    ``.g`` has the sign of arm 1 minus arm 2, as its means have, whichever way of the scale is
    better; it is computed with the exact small-sample factor. Arms joined from others are left
    out, because the format holds what sources print, and so are comparisons within one arm.
    """
    effects = table.effects
    effects = effects[
        ~effects["arm_id"].str.contains("+", regex=False)
        & ~effects["comparator_arm_id"].str.contains("+", regex=False)
        & (effects["comparator_arm_id"] != "")
    ]
    studies = {row["study_id"]: row for row in evidence.rows("studies")}
    several = _interventions_with_several_arms(evidence)
    lines = [";".join(COLUMNS)]
    for _, group in effects.groupby(_KEYS, sort=True, dropna=False):
        by_measure = {row["measure"]: row for row in group.to_dict("records")}
        first = next(iter(by_measure.values()))
        cells = _cells(first, by_measure, several)
        if cells is None:
            continue
        study = studies[first["study_id"]]
        cells |= {
            "year": study["year"],
            "diagnosis": study["diagnosis"],
            "design": "crossover" if study["design"].startswith("crossover") else study["design"],
            "blinding": _BLINDING.get(study["blinding"], study["blinding"].replace("_", "-")),
            "doi": study["doi"],
            "full_ref": study["citation"],
        }
        lines.append(";".join(_cell(cells.get(name)) for name in COLUMNS))
    return "\n".join(lines) + "\n"


def _interventions_with_several_arms(evidence: Evidence) -> set[tuple[str, str]]:
    """Return the interventions that a trial gives in more than one arm."""
    seen: set[tuple[str, str]] = set()
    several: set[tuple[str, str]] = set()
    for row in evidence.rows("arms"):
        key = (row["study_id"], row["intervention"])
        (several if key in seen else seen).add(key)
    return several


def _cells(
    row: Mapping[str, Any],
    by_measure: Mapping[str, Mapping[str, Any]],
    several: set[tuple[str, str]],
) -> dict[str, Any] | None:
    """Return the cells of one comparison, or None where the format has no place for it."""
    kind = row["data_kind"]
    days = row["time_days"]
    study = row["study_id"]
    label = study_label(study).replace("(no date)", "nd")
    cells: dict[str, Any] = {
        "study": label,
        "condition_arm1": row["intervention"] or row["arm_id"],
        "condition_arm2": row["comparator"] or row["comparator_arm_id"],
        "outcome_type": {"endpoint": "msd", "change": "change"}.get(kind, row["outcome"]),
        "instrument": row["instrument"],
        "instrument_symptom": row["outcome"],
        "time": f"day {days:g}" if _is_number(days) else None,
        "time_days": days,
        "time_weeks": days / 7 if _is_number(days) else None,
        "subgroup": row["subgroup"].replace(";", "|"),
        "route": row["route"],
        ".id": row["effect_id"].rsplit("/", 1)[0],
    }
    for arm, (name, given) in {
        "1": ("arm_id", "intervention"),
        "2": ("comparator_arm_id", "comparator"),
    }.items():
        if (study, row[given]) in several:
            cells[f"multi_arm{arm}"] = row[name]
    standardised, ratio = by_measure.get("SMD"), by_measure.get("RR")
    if kind in ("endpoint", "change"):
        middle = "_change" if kind == "change" else ""
        for arm, side in (("1", "treatment"), ("2", "control")):
            cells[f"mean{middle}_arm{arm}"] = row[f"mean_{side}"]
            cells[f"sd{middle}_arm{arm}"] = row[f"sd_{side}"]
            cells[f"n{middle}_arm{arm}"] = row[f"n_{side}"]
        if standardised is not None:
            flipped = "direction_flipped" in standardised["route"]
            cells[".g"] = standardised["estimate"] * (-1 if flipped else 1)
            cells[".g_se"] = math.sqrt(standardised["variance"])
    elif kind == "events":
        for arm, side in (("1", "treatment"), ("2", "control")):
            for dot in ("", "."):
                cells[f"{dot}event_arm{arm}"] = row[f"events_{side}"]
                cells[f"{dot}totaln_arm{arm}"] = row[f"n_{side}"]
        if ratio is not None:
            cells[".log_rr"] = ratio["estimate"]
            cells[".log_rr_se"] = math.sqrt(ratio["variance"])
    elif standardised is not None:
        cells |= {"outcome_type": "msd", ".g": standardised["estimate"]}
        cells[".g_se"] = math.sqrt(standardised["variance"])
        cells |= {"precalc_g": cells[".g"], "precalc_g_se": cells[".g_se"]}
    elif ratio is not None:
        cells[".log_rr"], cells[".log_rr_se"] = ratio["estimate"], math.sqrt(ratio["variance"])
        cells |= {"precalc_log_rr": cells[".log_rr"], "precalc_log_rr_se": cells[".log_rr_se"]}
    else:
        return None
    return cells


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _cell(value: Any) -> str:
    """Return a cell: decimal comma, NA for missing, no semicolon, no formula."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return "NA"
    if isinstance(value, (int, float)):
        text = f"{int(value)}" if float(value).is_integer() else repr(float(value))
        return text.replace(".", ",")
    return guarded(_plain(str(value).split()))


def _plain(words: Iterable[str]) -> str:
    """Return words as one cell: the standard allows neither semicolons nor quotation marks."""
    return " ".join(words).replace(";", ",").replace('"', "'")
