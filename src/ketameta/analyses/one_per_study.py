"""Chooses one effect per study and group among those that are eligible.

Frames are marked in place: ``code`` and ``reason`` of every effect that is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses.spec import AnalysisSpec, Choice
from ketameta.vocabulary import Measure

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


#: Kinds of scores that a standardised difference divides by different SDs.
_SCORES = ("endpoint", "change")


def keep_one_kind_of_score(scoped: pd.DataFrame, spec: AnalysisSpec) -> None:
    """Keep endpoint or change scores in a standardised analysis, never both.

    The SD of a change is not that of a score (Cochrane Handbook, section 10.5.2). The kind that
    ``choose.data_kind`` names first stays, else that of more trials, else the endpoint. Differences
    printed as such are of neither kind.
    """
    if spec.model.measure is not Measure.SMD:
        return
    left = scoped[(scoped["code"] == "") & scoped["data_kind"].isin(_SCORES)]
    trials = left.groupby("data_kind")["study_id"].nunique()
    if len(trials) < 2:
        return
    order = spec.choose.data_kind

    def rank(kind: str) -> tuple[int, int, int]:
        place = order.index(kind) if kind in order else len(order)
        return (place, -int(trials[kind]), _SCORES.index(kind))

    kept, other = sorted(_SCORES, key=rank)
    words = f"{other} scores; standardised, they are not pooled with the {kept} scores of others"
    mark(scoped, scoped["data_kind"] == other, "data_kind", words)


def choose_one_kind(scoped: pd.DataFrame, spec: AnalysisSpec) -> None:
    """Keep, within study and group, one outcome, time, instrument and kind of data.

    Order: outcome as the file lists them, then time by the rule, then instrument and kind of
    data by preference, then the shorter route. Rows that differ only in their arms stay together.
    """
    words: dict[int, str] = {}
    others: dict[int, str] = {}
    for members in _by_study_group(scoped, (*_ALIKE, "subgroup_keys", "route", "effect_id")):
        if len({_alike(row) for _, row in members}) == 1:
            continue
        _, best = min(members, key=lambda member: _preference(member[1], spec))
        reason = (
            f"the same comparison enters as {best['data_kind']} data, "
            f"{best['instrument']}, {_day(best['time_days'])}"
        )
        people = f"other people of the trial; it enters with {_people(best)}"
        for place, row in members:
            if row["subgroup"] != best["subgroup"]:
                others[place] = people
            elif _alike(row) != _alike(best):
                words[place] = reason
    _mark_places(scoped, "another_subgroup", others)
    _mark_places(scoped, "another_form", words)


def _people(row: dict[str, Any]) -> str:
    """Return whose result a row is."""
    return f"the subgroup {row['subgroup']}" if row["subgroup"] else "the result of everybody"


#: What makes two effects of one study the same, but for their arms.
_ALIKE = ("outcome", "time_days", "instrument", "data_kind", "subgroup")


def _alike(row: dict[str, Any]) -> tuple[Any, ...]:
    # A missing value equals another: NaN does not equal itself.
    values = (row[column] for column in _ALIKE)
    return tuple(None if value != value else value for value in values)


def _by_study_group(
    scoped: pd.DataFrame, columns: Iterable[str]
) -> list[list[tuple[int, dict[str, Any]]]]:
    """Return the rows that are left, by study and group: their positions and some columns."""
    left = np.flatnonzero((scoped["code"] == "").to_numpy())
    records = scoped[list(columns)].iloc[left].to_dict("records")
    groups: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for place, name, row in zip(left, scoped["study_group"].iloc[left], records, strict=True):
        groups.setdefault(name, []).append((int(place), row))
    return list(groups.values())


def _mark_places(scoped: pd.DataFrame, code: str, words: dict[int, str]) -> None:
    """Give a reason to rows by their position."""
    which = np.zeros(len(scoped), dtype=bool)
    reasons = np.full(len(scoped), "", dtype=object)
    for place, reason in words.items():
        which[place], reasons[place] = True, reason
    mark(scoped, which, code, reasons)


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
    words: dict[int, str] = {}
    for members in _by_study_group(scoped, ("study_id", "arm_id", "comparator_arm_id")):
        for place, row in members:
            for at, other in members:
                if place != at and place not in words and _inside(row, other, contained):
                    wider = "arm" if row["arm_id"] != other["arm_id"] else "comparator_arm"
                    name = str(other[f"{wider}_id"]).replace("_", " ")
                    words[place] = f"its people are in the {wider.replace('_', ' ')} {name}"
    _mark_places(scoped, "part_of_joined_arm", words)


def _inside(
    row: dict[str, Any], other: dict[str, Any], contained: dict[tuple[str, str], frozenset[str]]
) -> bool:
    """Return whether the people of one comparison are all in another, which is to be preferred."""

    def people(arm: str) -> frozenset[str]:
        return contained.get((row["study_id"], arm), frozenset()) or frozenset({arm})

    mine = people(row["arm_id"]), people(row["comparator_arm_id"])
    theirs = people(other["arm_id"]), people(other["comparator_arm_id"])
    if mine == theirs:
        ours = "+" in row["arm_id"] + row["comparator_arm_id"]
        return ours and "+" not in other["arm_id"] + other["comparator_arm_id"]
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

    named_by: dict[str, set[str]] = {}
    for study, others in overlaps.items():
        for other in others:
            named_by.setdefault(other, set()).add(study)
    chosen: dict[str, int] = {}
    words: dict[str, str] = {}
    for study in sorted(overlaps, key=rank):
        clash = (overlaps[study] | named_by.get(study, set())) & chosen.keys()
        if clash:
            listed = ", ".join(sorted(clash, key=chosen.__getitem__))
            words[study] = f"shares participants with {listed}, which is used"
        else:
            chosen[study] = len(chosen)
    studies = list(scoped["study_id"])
    mark(
        scoped,
        [study in words for study in studies],
        "overlap",
        [words.get(study, "") for study in studies],
    )
