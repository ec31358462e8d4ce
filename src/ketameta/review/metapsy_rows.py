"""One row of a Metapsy file while it is read: its numbers, and the rows of a batch it becomes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ketameta.review.draft import Draft
from ketameta.review.import_report import quoted
from ketameta.review.source_csv import as_number
from ketameta.review.start import slug

#: Normal quantile of a two-sided 95% interval.
Z95 = 1.959963984540054
#: Groups of effect data: name of ours -> column of ours -> column of theirs, without the arm.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "endpoint": {"n": "n", "mean": "mean", "sd": "sd"},
    "change": {"n": "n_change", "mean": "mean_change", "sd": "sd_change"},
    "events": {"n": "totaln", "events": "event"},
}
#: Calculated effects: column of theirs -> effect type of ours.
PRECALCULATED: Mapping[str, str] = {"precalc_g": "SMD", "precalc_log_rr": "RR"}

#: Note of an arm that stands again beside a contradictory one, so that the two can be compared.
_COPY = "accept: copied_row because the data set repeats this arm in another comparison"


@dataclass(slots=True)
class SourceRow:
    """A record with the changes and refusals that were met while it was read."""

    line: int
    cells: Mapping[str, str]
    decimal_comma: bool
    changes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.cells.get(name, "")

    def number(self, column: str) -> str:
        """Return a cell as a plain number; a cell that holds none refuses the row."""
        cell = self[column]
        if not cell:
            return ""
        number = as_number(cell, decimal_comma=self.decimal_comma)
        if number is None:
            self.refusals.append(f"{column} is {quoted(cell)}, which is not a number")
            return ""
        return number


def kind_of(row: SourceRow) -> str:
    """Return the kind of effect data in a row: exactly one may be filled."""
    kinds = [
        kind
        for kind, group in GROUPS.items()
        if any(row[f"{theirs}_arm{arm}"] for theirs in group.values() for arm in "12")
    ]
    kinds += [effect for theirs, effect in PRECALCULATED.items() if row[theirs]]
    if len(kinds) == 1:
        return kinds[0]
    row.refusals.append(
        f"two kinds of effect data in one row ({' and '.join(kinds)}); keep one"
        if kinds
        else "no effect data: neither means, changes, events nor a calculated effect"
    )
    return ""


def time_of(row: SourceRow, keys: Collection[str]) -> tuple[str, str]:
    """Return the day and the subgroup of a row."""
    days = row.number("time_days")
    if not days and row["time_weeks"]:
        weeks = row.number("time_weeks")
        days = f"{7 * float(weeks):.6g}" if weeks else ""
        row.changes.append("time_weeks became days (times 7)")
    periods = []
    if days and float(days) < 0:
        row.changes.append(
            f"measured {days.lstrip('-')} days before the first dose: entered at day 0 as "
            "period=pre_dose"
        )
        days = "0"
        periods.append("pre_dose")
    if row["post_crossover"] == "1":
        row.changes.append("measured after the crossover: entered as period=after_crossover")
        periods.append("after_crossover")
    # The format allows no semicolons: several subgroups are joined by a vertical bar.
    named = row["subgroup"].replace("|", ";")
    parts = [named] if _is_subgroup(named, keys) else []
    parts += [f"period={'_'.join(periods)}"] if periods else []
    return days, ";".join(parts)


def _is_subgroup(text: str, keys: Collection[str]) -> bool:
    """Return whether a cell names subgroups as the tables here do."""
    pairs = [part.partition("=") for part in text.split(";") if part]
    return bool(pairs) and all(key in keys and value for key, _, value in pairs)


def arm_rows(
    row: SourceRow, draft: Draft, key: Mapping[str, str], arms: tuple[str, str], kind: str
) -> list[tuple[str, dict[str, str]]]:
    """Return the outcome rows of both arms, apart from other results of the same day."""
    note = ""
    if row["outcome_type"] == "imsd":
        note = "SD imputed by the data set (outcome type imsd)"
        row.changes.append("the SD was imputed by the data set: said in the note")
    found: list[dict[str, str]] = []
    for arm, arm_id in zip("12", arms, strict=True):
        cells = {**key, "arm_id": arm_id, "statistic": kind}
        for ours, theirs in GROUPS[kind].items():
            cells[ours] = row.number(f"{theirs}_arm{arm}")
        if kind != "events":
            cells["baseline_mean"] = row.number(f"baseline_m_arm{arm}")
            cells["baseline_sd"] = row.number(f"baseline_sd_arm{arm}")
            cells["sd_origin"] = "not_reported"
        cells |= {"note": note, "extracted_by": "Metapsy", "analysis_set": "not_reported"}
        found.append(cells)
    if not row.refusals:
        _set_apart(row, draft, found, "outcomes")
    return [("outcomes", cells) for cells in found]


def _set_apart(row: SourceRow, draft: Draft, found: list[dict[str, str]], table: str) -> None:
    """Give a second result of the same key its time point as a period, or refuse it."""
    clash = _clash(draft, found, table)
    if not clash:
        return
    point = slug(row["study_time_point"] or row["time"] or row["rating"])
    if point:
        before = found[0]["subgroup"]
        subgroup = _with_period(before, point)
        for cells in found:
            is_there = draft.find(table, cells) is not None
            if is_there and not draft.differing(table, cells):
                cells["note"] = "; ".join(part for part in (cells["note"], _COPY) if part)
            cells["subgroup"] = subgroup
        if not _clash(draft, found, table):
            row.changes.append(f"{clash}: entered apart as {subgroup}")
            return
    row.refusals.append(f"{clash}; correct one of them")


def _with_period(subgroup: str, point: str) -> str:
    """Return a subgroup with a time point added to its period."""
    if "period=" in subgroup:
        return f"{subgroup}_{point}"
    return ";".join(part for part in (subgroup, f"period={point}") if part)


def _clash(draft: Draft, found: list[dict[str, str]], table: str) -> str:
    """Return how rows contradict the draft, or nothing."""
    for cells in found:
        column = draft.differing(table, cells)
        if column:
            there = (draft.find(table, cells) or {}).get(column, "")
            return (
                f"{column} of {cells['arm_id']} is {quoted(cells.get(column, ''))} and "
                f"{quoted(there)} in line {draft.line(table, cells)}, the same outcome and day"
            )
    return ""


def contrast_row(
    row: SourceRow, draft: Draft, key: Mapping[str, str], arms: tuple[str, str], kind: str
) -> list[tuple[str, dict[str, str]]]:
    """Return the contrast row of a calculated effect, apart from another of the same day."""
    cells = {
        **key,
        "arm_id": arms[0],
        "comparator_arm_id": arms[1],
        "effect_type": kind,
        "extracted_by": "Metapsy",
        "analysis_set": "not_reported",
    }
    if kind == "SMD":
        cells["estimate"] = row.number("precalc_g")
        cells["se"] = row.number("precalc_g_se")
        row.changes.append("calculated g: which arm did better has to be said in favours")
        _set_apart(row, draft, [cells], "contrasts")
        return [("contrasts", cells)]
    effect, se = row.number("precalc_log_rr"), row.number("precalc_log_rr_se")
    if effect and se and abs(float(effect)) < 50 and 0 < float(se) < 50:
        cells |= ratio_cells(float(effect), float(se))
        row.changes.append("the log risk ratio became a ratio with its 95% interval")
    else:
        row.refusals.append("precalc_log_rr and precalc_log_rr_se are not both usable numbers")
    _set_apart(row, draft, [cells], "contrasts")
    return [("contrasts", cells)]


def ratio_cells(log_ratio: float, se: float) -> dict[str, str]:
    """Return a ratio and its 95% interval from the logarithm and its standard error."""
    return {
        "estimate": f"{math.exp(log_ratio):.10g}",
        "ci_low": f"{math.exp(log_ratio - Z95 * se):.10g}",
        "ci_high": f"{math.exp(log_ratio + Z95 * se):.10g}",
    }
