"""Chooses one effect per study and group among those that are eligible.

Frames are marked in place: ``code`` and ``reason`` of every effect that is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses.spec import AnalysisSpec, Choice

if TYPE_CHECKING:
    import pandas as pd


def mark(frame: pd.DataFrame, which: Any, code: str, reason: Any) -> None:
    """Give a reason to rows that have none yet."""
    rows = np.asarray(which, dtype=bool) & (frame["code"] == "").to_numpy()
    if not rows.any():
        return
    frame.loc[rows, "code"] = code
    values = np.asarray(reason, dtype=object)
    frame.loc[rows, "reason"] = values[rows] if values.ndim else reason


def choose_one_kind(scoped: pd.DataFrame, spec: AnalysisSpec) -> None:
    """Keep, within study and group, one outcome, time, instrument and kind of data.

    Order: outcome as the file lists them, then time by the rule, then instrument and kind of
    data by preference, then the shorter route. Rows that differ only in their arms stay together.
    """
    for _, group in scoped[scoped["code"] == ""].groupby("study_group", sort=True):
        alike = ["outcome", "time_days", "instrument", "data_kind", "subgroup"]
        if len(group.drop_duplicates(alike)) == 1:
            continue
        best = min(group.to_dict("records"), key=lambda row: _preference(row, spec))
        same = np.ones(len(group), dtype=bool)
        for column in alike:
            value = best[column]
            column_values = group[column]
            missing = isinstance(value, float) and np.isnan(value)
            same &= (column_values.isna() if missing else column_values == value).to_numpy()
        words = (
            f"the same comparison enters as {best['data_kind']} data, "
            f"{best['instrument']}, {_day(best['time_days'])}"
        )
        rest = scoped.index.isin(group.index[~same])
        mark(scoped, rest, "another_form", words)


#: Forms in which a source prints one comparison, best first: a difference with its precision, then
#: a standardised difference, then a bare test.
_PRINTED_ORDER = ("", "MD", "OR", "RR", "RD", "SMD", "test")


def choose_one_print(scoped: pd.DataFrame) -> None:
    """Keep one form of a comparison that a source prints in several."""
    order = scoped["printed_as"].map(_PRINTED_ORDER.index)
    ranked = scoped[scoped["code"] == ""].assign(order=order)
    ranked = ranked.sort_values(["order", "effect_id"], kind="stable")
    again = ranked.duplicated(["study_group", "arm_id", "comparator_arm_id"], keep="first")
    rest = scoped.index.isin(ranked.index[again])
    mark(scoped, rest, "another_form", "the source prints the same comparison in another form")


def _day(days: float) -> str:
    return "time not printed" if np.isnan(days) else f"day {days:g}"


def _preference(row: dict[str, Any], spec: AnalysisSpec) -> tuple[Any, ...]:
    """Return a sort key; the smallest row stands for its study."""
    choose = spec.choose

    def place(value: str, order: tuple[str, ...]) -> int:
        return order.index(value) if value in order else len(order)

    days = row["time_days"]
    if np.isnan(days):
        time = np.inf
    elif choose.time == "latest":
        time = -days
    elif choose.time == "earliest":
        time = days
    else:
        time = abs(days - (choose.days or 0.0))
    return (
        len(row["subgroup_keys"]),
        place(row["outcome"], spec.select.outcome),
        time,
        place(row["instrument"], choose.instrument),
        place(row["data_kind"], choose.data_kind),
        str(row["route"]).count("+"),
        row["effect_id"],
    )


def drop_parts_of_joined_arms(scoped: pd.DataFrame, arms: pd.DataFrame) -> None:
    """Drop comparisons whose people are all in another one; a printed joined arm wins over ours."""
    contained = {
        (study, arm): frozenset(part for part in str(parts).split(";") if part)
        for study, arm, parts in zip(
            arms["study_id"], arms["arm_id"], arms["contains_arms"], strict=True
        )
    }
    for _, group in scoped[scoped["code"] == ""].groupby("study_group", sort=True):
        if len(group) < 2:
            continue
        records = list(group[["study_id", "arm_id", "comparator_arm_id"]].itertuples())
        for row in records:
            for other in records:
                if row.Index != other.Index and _inside(row, other, contained):
                    wider = "arm" if row.arm_id != other.arm_id else "comparator_arm"
                    name = str(getattr(other, f"{wider}_id")).replace("_", " ")
                    reason = f"its people are in the {wider.replace('_', ' ')} {name}"
                    mark(scoped, scoped.index == row.Index, "part_of_joined_arm", reason)


def _inside(row: Any, other: Any, contained: dict[tuple[str, str], frozenset[str]]) -> bool:
    """Return whether the people of one comparison are all in another, which is to be preferred."""

    def people(arm: str) -> frozenset[str]:
        return contained.get((row.study_id, arm), frozenset()) or frozenset({arm})

    mine = people(row.arm_id), people(row.comparator_arm_id)
    theirs = people(other.arm_id), people(other.comparator_arm_id)
    if mine == theirs:
        ours = "+" in row.arm_id + row.comparator_arm_id
        return ours and "+" not in other.arm_id + other.comparator_arm_id
    return mine[0] <= theirs[0] and mine[1] <= theirs[1]


def drop_overlaps(scoped: pd.DataFrame, choose: Choice) -> None:
    """Keep one of any two studies that share people: the preferred, else the trial itself."""
    kept = scoped[scoped["code"] == ""]
    size = kept.groupby("study_id")[["n_treatment", "n_control"]].max().sum(axis=1).to_dict()
    overlaps = {
        study: frozenset(part for part in str(text).split(";") if part)
        for study, text in zip(kept["study_id"], kept["overlaps_with"], strict=True)
    }
    design = dict(zip(kept["study_id"], kept["design"], strict=True))

    def rank(study: str) -> tuple[Any, ...]:
        preferred = choose.overlap_prefer.index(study) if study in choose.overlap_prefer else 99
        pooled = design[study] == "pooled_rcts"
        return (preferred, pooled, len(overlaps[study]) > 0, -size.get(study, 0), study)

    chosen: list[str] = []
    for study in sorted(overlaps, key=rank):
        clash = [other for other in chosen if other in overlaps[study] or study in overlaps[other]]
        if clash:
            reason = f"shares participants with {', '.join(clash)}, which is used"
            mark(scoped, scoped["study_id"] == study, "overlap", reason)
        else:
            chosen.append(study)
