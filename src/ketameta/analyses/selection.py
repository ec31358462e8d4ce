"""Chooses the effects of one analysis, and keeps the reason for every one it leaves.

Scope first (outcome, diagnosis, intervention), then eligibility, then one effect per study and
group. Frames in, frames out; no statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses.spec import AnalysisSpec, Choice

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.effect_table import EffectTable
    from ketameta.evidence import Evidence

#: Facts of a study that travel with its effects.
STUDY_FACTS = (
    "study_id",
    "citation",
    "year",
    "doi",
    "pmid",
    "registry_id",
    "source_url",
    "source_type",
    "access",
    "design",
    "blinding",
    "population",
    "diagnosis",
    "age_group",
    "n_randomised",
    "adhd_subtype",
    "prior_treatment_resistance",
    "overlaps_with",
)
_SUBGROUP_OVERRIDES = ("adhd_subtype", "prior_treatment_resistance", "age_group")


@dataclass(frozen=True, slots=True)
class Selected:
    """What one analysis uses and leaves.

    Attributes
    ----------
    used : DataFrame
        Effects that enter the model; several per study and group only where arms share a
        control and must be joined (column ``study_group``).
    set_aside : DataFrame
        Effects in scope that do not enter, with ``code`` and ``reason``.
    unused : DataFrame
        Extracted rows in scope that yield no effect size, with ``code`` and ``reason``.
    """

    used: pd.DataFrame
    set_aside: pd.DataFrame
    unused: pd.DataFrame


def select_effects(spec: AnalysisSpec, table: EffectTable, evidence: Evidence) -> Selected:
    """Return the effects that enter ``spec``, and all others in its scope with their reasons."""
    facts = evidence.studies[list(STUDY_FACTS)]
    effects = _with_levels(table.effects.merge(facts, on="study_id", how="left"))
    inside = effects[_in_scope(effects, spec)]
    scoped = inside[inside["measure"] == str(spec.model.measure)].copy()
    scoped["code"], scoped["reason"] = "", ""
    if spec.model.measure.is_ratio:
        scoped = _with_silent_tables(scoped, inside)
    _apply_eligibility(scoped, spec)
    group = _group_column(scoped, spec)
    scoped["group"] = group
    scoped["study_group"] = scoped["study_id"] + "|" + group
    _choose_one_kind(scoped, spec)
    _drop_parts_of_joined_arms(scoped, table.arms)
    _choose_one_print(scoped)
    _drop_overlaps(scoped, spec.choose)
    unused = _unused_in_scope(spec, table, facts)
    left = scoped[scoped["code"] != ""]
    return Selected(
        used=scoped[scoped["code"] == ""].reset_index(drop=True),
        set_aside=left.reset_index(drop=True),
        unused=unused,
    )


def _with_levels(effects: pd.DataFrame) -> pd.DataFrame:
    """Overwrite study-level facts where the row is about a subgroup."""
    parsed = [parse_subgroup(text) for text in effects["subgroup"]]
    for key in _SUBGROUP_OVERRIDES:
        effects[key] = [
            pairs.get(key, value) for pairs, value in zip(parsed, effects[key], strict=True)
        ]
    effects["subgroup_keys"] = [frozenset(pairs) for pairs in parsed]
    effects["time_class"] = [time_class(days) for days in effects["time_days"]]
    return effects


#: Classes of time since the first dose: name and last day (in days) that belongs to it.
TIME_CLASSES: tuple[tuple[str, float], ...] = (
    ("within_hours", 0.9),
    ("24_hours", 1.5),
    ("days_2_to_7", 7.0),
    ("days_8_to_21", 21.0),
    ("days_22_to_35", 35.0),
    ("later", np.inf),
)


def time_class(days: float) -> str:
    """Return the class of a time in days; ``time_not_printed`` for a missing one."""
    if np.isnan(days):
        return "time_not_printed"
    return next(name for name, last in TIME_CLASSES if days <= last)


def parse_subgroup(text: str) -> dict[str, str]:
    """Return ``{"adhd_subtype": "inattentive"}`` from ``adhd_subtype=inattentive``."""
    pairs = (part.partition("=") for part in str(text).split(";") if part)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _any_of(frame: pd.DataFrame, column: str, allowed: tuple[str, ...]) -> pd.Series:
    import pandas as pd

    if not allowed:
        return pd.Series(True, index=frame.index)
    return frame[column].isin(allowed)


def _in_scope(effects: pd.DataFrame, spec: AnalysisSpec) -> pd.Series:
    select = spec.select
    return (
        _any_of(effects, "outcome", select.outcome)
        & _any_of(effects, "diagnosis", select.diagnosis)
        & _any_of(effects, "drug_class", select.drug_class)
        & _any_of(effects, "intervention", select.intervention)
    )


def _mark(frame: pd.DataFrame, which: Any, code: str, reason: Any) -> None:
    """Give a reason to rows that have none yet."""
    rows = np.asarray(which, dtype=bool) & (frame["code"] == "").to_numpy()
    if not rows.any():
        return
    frame.loc[rows, "code"] = code
    values = np.asarray(reason, dtype=object)
    frame.loc[rows, "reason"] = values[rows] if values.ndim else reason


#: What makes two effects the same comparison, whatever the measure.
_COMPARISON = [
    *("study_id", "arm_id", "comparator_arm_id", "outcome", "instrument", "time_days"),
    *("subgroup", "data_kind"),
]


def _with_silent_tables(scoped: pd.DataFrame, inside: pd.DataFrame) -> pd.DataFrame:
    """Add the counts that say nothing about a ratio (no events, or nothing else, in both arms)."""
    import pandas as pd

    counted = inside[(inside["measure"] == "RD") & (inside["data_kind"] == "events")]
    known = pd.MultiIndex.from_frame(scoped[_COMPARISON])
    silent = counted[~pd.MultiIndex.from_frame(counted[_COMPARISON]).isin(known)].assign(
        code="no_events", reason="no event in either arm (or in everybody): says nothing of a ratio"
    )
    return pd.concat([scoped, silent], ignore_index=True) if len(silent) else scoped


def _apply_eligibility(scoped: pd.DataFrame, spec: AnalysisSpec) -> None:
    """Mark the rows that break a rule, first broken rule first."""
    select = spec.select
    excluded = scoped["study_id"].isin(list(select.exclude))
    _mark(scoped, excluded, "excluded", [select.exclude.get(s, "") for s in scoped["study_id"]])
    for column, allowed, words in (
        ("comparator_class", select.comparator_class, "comparator is {}"),
        ("comparator", select.comparator, "comparator is {}"),
        ("design", select.design, "design is {}"),
        ("data_kind", select.data_kind, "{} data are not used in this analysis"),
        ("instrument", select.instrument, "instrument is {}"),
        ("age_group", select.age_group, "age group is {}"),
        ("adhd_subtype", select.adhd_subtype, "ADHD presentation is {}"),
        (
            "prior_treatment_resistance",
            select.prior_treatment_resistance,
            "prior treatment is {}",
        ),
        ("source_type", select.source_type, "source is {}"),
        ("access", select.access, "source was read as {}"),
    ):
        outside = ~_any_of(scoped, column, allowed)
        reasons = [words.format(str(v).replace("_", " ") or "not stated") for v in scoped[column]]
        _mark(scoped, outside, column, reasons)
    allowed_keys = frozenset(select.subgroup_keys)
    other = [not keys <= allowed_keys for keys in scoped["subgroup_keys"]]
    if select.within:
        whole = [not keys & allowed_keys for keys in scoped["subgroup_keys"]]
        _mark(scoped, whole, "whole_trial", "result of the whole trial, not of a subgroup")
    _mark(scoped, other, "subgroup", [f"subgroup ({text})" for text in scoped["subgroup"]])
    _apply_window(scoped, spec)


def _apply_window(scoped: pd.DataFrame, spec: AnalysisSpec) -> None:
    low, high = spec.select.min_days, spec.select.max_days
    if low is None and high is None:
        return
    days = scoped["time_days"].to_numpy(float)
    _mark(scoped, np.isnan(days), "time_unknown", "time of measurement is not printed")
    early = days < (low if low is not None else -np.inf)
    late = days > (high if high is not None else np.inf)
    _mark(scoped, early | late, "time", [f"measured at day {value:g}" for value in days])


def _group_column(scoped: pd.DataFrame, spec: AnalysisSpec) -> pd.Series:
    import pandas as pd

    if not spec.model.group_by:
        return pd.Series("", index=scoped.index)
    return scoped[spec.model.group_by].astype(str)


def _choose_one_kind(scoped: pd.DataFrame, spec: AnalysisSpec) -> None:
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
        _mark(scoped, rest, "another_form", words)


#: Forms in which a source prints one comparison, best first: a difference with its precision, then
#: a standardised difference, then a bare test.
_PRINTED_ORDER = ("", "MD", "OR", "RR", "RD", "SMD", "test")


def _choose_one_print(scoped: pd.DataFrame) -> None:
    """Keep one form of a comparison that a source prints in several."""
    order = scoped["printed_as"].map(_PRINTED_ORDER.index)
    ranked = scoped[scoped["code"] == ""].assign(order=order)
    ranked = ranked.sort_values(["order", "effect_id"], kind="stable")
    again = ranked.duplicated(["study_group", "arm_id", "comparator_arm_id"], keep="first")
    rest = scoped.index.isin(ranked.index[again])
    _mark(scoped, rest, "another_form", "the source prints the same comparison in another form")


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


def _drop_parts_of_joined_arms(scoped: pd.DataFrame, arms: pd.DataFrame) -> None:
    """Drop dose arms where the arm that joins them is present; a printed joined arm wins."""
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
                if row.Index == other.Index or row.comparator_arm_id != other.comparator_arm_id:
                    continue
                if _inside(row, other, contained):
                    _mark(
                        scoped,
                        scoped.index == row.Index,
                        "part_of_joined_arm",
                        f"its people are in the arm {other.arm_id.replace('_', ' ')}",
                    )


def _inside(row: Any, other: Any, contained: dict[tuple[str, str], frozenset[str]]) -> bool:
    """Return whether the people of one arm are all in another, which is to be preferred."""
    mine = contained.get((row.study_id, row.arm_id), frozenset()) or frozenset({row.arm_id})
    theirs = contained.get((other.study_id, other.arm_id), frozenset())
    if not theirs:
        return False
    if mine == theirs:
        return "+" in row.arm_id and "+" not in other.arm_id
    return mine < theirs


def _drop_overlaps(scoped: pd.DataFrame, choose: Choice) -> None:
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
            _mark(scoped, scoped["study_id"] == study, "overlap", reason)
        else:
            chosen.append(study)


def _unused_in_scope(spec: AnalysisSpec, table: EffectTable, facts: pd.DataFrame) -> pd.DataFrame:
    """Return the extracted rows in scope that yield no effect size."""
    arms = table.arms.drop_duplicates(["study_id", "arm_id"])
    rows = table.unused.merge(
        arms[["study_id", "arm_id", "intervention", "drug_class"]],
        on=["study_id", "arm_id"],
        how="left",
    ).merge(facts, on="study_id", how="left")
    rows = rows[_in_scope(rows, spec)]
    if spec.model.measure.is_ratio or str(spec.model.measure) == "RD":
        return rows.reset_index(drop=True)
    return rows[rows["data_kind"] != "events"].reset_index(drop=True)
