"""Chooses the effects of one analysis, and keeps the reason for every one it leaves.

Scope first (outcome, diagnosis, intervention), then eligibility, then one effect per study and
group. Frames in, frames out; no statistics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.analyses.sentences import measure_words
from ketameta.analyses.spec import AnalysisSpec, Choice, DoseRule
from ketameta.errors import SpecError
from ketameta.evidence.findings import file_finding
from ketameta.evidence.pairing import directions
from ketameta.evidence.project import Project
from ketameta.measures import Measure

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence.derive import EffectTable
    from ketameta.evidence.tables import Evidence


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


def choose_one_analysis(scoped: pd.DataFrame, spec: AnalysisSpec) -> None:
    """Keep one printed analysis of a comparison: the one that the file names first.

    Raises
    ------
    SpecError
        A source prints several, and the file does not say which one is meant.
    """
    order = spec.choose.analysis
    words: dict[int, str] = {}
    undecided: dict[str, str] = {}
    columns = (
        *_ALIKE,
        "study_id",
        "arm_id",
        "comparator_arm_id",
        "printed_as",
        "analysis",
        "source",
    )
    for members in _by_study_group(scoped, columns):
        same: dict[tuple[Any, ...], list[tuple[int, dict[str, Any]]]] = {}
        for place, row in members:
            key = (_alike(row), row["arm_id"], row["comparator_arm_id"], row["printed_as"])
            same.setdefault(key, []).append((place, row))
        for found in (rows for rows in same.values() if len(rows) > 1):
            ranked = sorted(found, key=lambda member: _rank(member[1]["analysis"], order))
            (_, best), (_, next_), *_ = ranked
            if _rank(best["analysis"], order) == _rank(next_["analysis"], order):
                names = Counter(row["analysis"] or "not stated" for _, row in found)
                told = " and ".join(
                    f"{name} ({count} times)" if count > 1 else name
                    for name, count in names.items()
                )
                where = f"{best['outcome']}, {_day(best['time_days'])}: {told}"
                undecided[f"{best['study_id']} ({where})"] = ";".join(r["source"] for _, r in found)
                continue
            for place, row in ranked[1:]:
                words[place] = (
                    f"the same result as {row['analysis'] or 'not stated'}; "
                    f"this analysis prefers {best['analysis'] or 'not stated'}"
                ).replace("_", " ")
    if undecided:
        why = "two printed analyses of one result, and nothing says which one is meant"
        remedy = 'write under [choose] which comes first, such as analysis = ["intention_to_treat"]'
        listed = f"{why}: {'; '.join(undecided)}"
        rows = dict.fromkeys(row for found in undecided.values() for row in found.split(";"))
        places = tuple((file, int(line)) for file, _, line in (row.rpartition(":") for row in rows))
        file = f"analyses/{spec.name}.toml"
        finding = file_finding("analysis", file, listed, remedy, column="choose.analysis")
        raise SpecError("", [replace(finding, places=places)])
    _mark_places(scoped, "another_analysis", words)


def _rank(analysis: str, order: Sequence[str]) -> tuple[int, ...]:
    """Return the places of the words of an analysis in an order of preference."""
    words = analysis.split(", ")
    return tuple(sorted(order.index(word) if word in order else len(order) for word in words))


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


#: Facts of every study that travel with its effects.
_STUDY_FACTS = (
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
    "overlaps_with",
)


def study_facts(project: Project) -> tuple[str, ...]:
    """Return the facts of a study that travel with its effects, moderators of the project last."""
    return (*_STUDY_FACTS, *project.categories)


@dataclass(frozen=True, slots=True)
class Selected:
    """What one analysis uses and leaves.

    Attributes
    ----------
    used : DataFrame
        Effects that enter the model; several per study and group only where arms share a
        control and must be joined (column ``study_group``).
    excluded : DataFrame
        Effects in scope that do not enter, with ``code`` and ``reason``.
    unused : DataFrame
        Extracted rows in scope that yield no effect size, with ``code`` and ``reason``.
    """

    used: pd.DataFrame
    excluded: pd.DataFrame
    unused: pd.DataFrame


def select_effects(spec: AnalysisSpec, table: EffectTable, evidence: Evidence) -> Selected:
    """Return the effects that enter ``spec``, and all others in its scope with their reasons."""
    facts = evidence.studies[list(study_facts(spec.project))]
    facts = facts.assign(label=[spec.project.study_label(name) for name in facts["study_id"]])
    asked = table.effects[table.effects["outcome"].isin(spec.select.outcome)]
    effects = _with_levels(
        asked.merge(facts, on="study_id", how="left"), (*spec.project.categories, "age_group")
    )
    inside = effects[_in_scope(effects, spec)]
    scoped = inside[inside["measure"] == str(spec.model.measure)].copy()
    scoped["code"], scoped["reason"] = "", ""
    better = directions(inside["instrument"], evidence)
    scoped = _with_other_measures(scoped, inside, spec.model.measure, better)
    _apply_eligibility(scoped, spec)
    group = _group_column(scoped, spec)
    scoped["group"] = group
    scoped["study_group"] = scoped["study_id"] + "|" + group
    if spec.dose is not None:
        _keep_doses(scoped, spec.dose)
    keep_one_kind_of_score(scoped, spec)
    choose_one_kind(scoped, spec)
    choose_one_analysis(scoped, spec)
    drop_parts_of_joined_arms(scoped, table.arms)
    choose_one_print(scoped)
    drop_overlaps(scoped, spec.choose)
    unused = _unused_in_scope(spec, table, facts)
    left = scoped[scoped["code"] != ""]
    return Selected(
        used=scoped[scoped["code"] == ""].reset_index(drop=True),
        excluded=left.reset_index(drop=True),
        unused=unused,
    )


def _with_levels(effects: pd.DataFrame, levels: Sequence[str]) -> pd.DataFrame:
    """Overwrite study-level facts where the row is about a subgroup."""
    parsed = [parse_subgroup(text) for text in effects["subgroup"]]
    for key in levels:
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
    """Return ``{"age_group": "adults"}`` from ``age_group=adults``."""
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


#: What makes two effects the same comparison, whatever the measure.
_COMPARISON = [
    *("study_id", "arm_id", "comparator_arm_id", "outcome", "instrument", "time_days"),
    *("subgroup", "analysis", "data_kind"),
]


_ONLY = "the source allows only: "


def _with_other_measures(
    scoped: pd.DataFrame, inside: pd.DataFrame, measure: Measure, better: pd.Series
) -> pd.DataFrame:
    """Add the comparisons in scope that have effects, but none in the measure of the analysis.

    Among them counts that say nothing about a ratio (no events, or nothing else, in both arms),
    and scores whose instrument has no better end (``better``), so that none is standardised.
    """
    import pandas as pd

    known = pd.MultiIndex.from_frame(scoped[_COMPARISON])
    others = inside[~pd.MultiIndex.from_frame(inside[_COMPARISON]).isin(known)]
    if others.empty:
        return scoped
    rows = others.drop_duplicates(_COMPARISON).copy()
    labels = others.assign(label=[measure_words(Measure(code)) for code in others["measure"]])
    listed = labels.groupby(_COMPARISON, dropna=False, sort=False)["label"].agg(", ".join)
    silent = (rows["data_kind"] == "events").to_numpy() & measure.is_ratio
    rows["code"] = np.where(silent, "no_events", "other_measure")
    endless = (better.loc[rows.index] == "neither").to_numpy() & (rows["data_kind"] != "events")
    endless &= measure is Measure.SMD
    rows.loc[endless, "code"] = "no_direction"
    rows["reason"] = [
        "no event in either arm (or in everybody): says nothing of a ratio"
        if nothing
        else f"instruments.csv gives {scale} no better end, so it yields no {measure}"
        if no_end
        else f"{_ONLY}{words}"
        for nothing, no_end, scale, words in zip(
            silent, endless, rows["instrument"], listed, strict=True
        )
    ]
    return pd.concat([scoped, rows] if len(scoped) else [rows], ignore_index=True)


def _apply_eligibility(scoped: pd.DataFrame, spec: AnalysisSpec) -> None:
    """Mark the rows that break a rule, first broken rule first."""
    select, declared = spec.select, spec.project
    excluded = scoped["study_id"].isin(list(select.exclude))
    mark(scoped, excluded, "excluded", [select.exclude.get(s, "") for s in scoped["study_id"]])
    for column, allowed, words in (
        ("comparator_class", select.comparator_class, "comparator is {}"),
        ("comparator", select.comparator, "comparator is {}"),
        ("design", select.design, "design is {}"),
        ("data_kind", select.data_kind, "{} data are not used in this analysis"),
        ("instrument", select.instrument, "instrument is {}"),
        ("age_group", select.age_group, "age group is {}"),
        *(
            (name, getattr(select, name), f"{declared.labels.get(name, item.label)} is {{}}")
            for name, item in declared.categories.items()
        ),
        ("source_type", select.source_type, "source is {}"),
        ("access", select.access, "source was read as {}"),
    ):
        outside = ~_any_of(scoped, column, allowed)
        reasons = [words.format(str(v).replace("_", " ") or "not stated") for v in scoped[column]]
        mark(scoped, outside, column, reasons)
    allowed_keys = frozenset(select.subgroup_keys)
    other = [not keys <= allowed_keys for keys in scoped["subgroup_keys"]]
    if select.within:
        whole = [not keys & allowed_keys for keys in scoped["subgroup_keys"]]
        mark(scoped, whole, "whole_trial", "result of the whole trial, not of a subgroup")
    mark(scoped, other, "subgroup", [f"subgroup ({text})" for text in scoped["subgroup"]])
    _apply_window(scoped, spec)


def _keep_doses(scoped: pd.DataFrame, rule: DoseRule) -> None:
    """Put the doses on one scale (column ``common_dose``); leave arms without one fixed dose."""
    units = [str(unit) for unit in scoped["dose_unit"]]
    doses = [rule.dose(a, u) for a, u in zip(scoped["dose"].astype(float), units, strict=True)]
    scoped["common_dose"] = [np.nan if dose is None else dose for dose in doses]
    same = (scoped["intervention"] == scoped["comparator"]).to_numpy()
    mark(scoped, same, "two_doses", "compares two doses; each enters against the control")
    fixed = scoped["dose"].notna().to_numpy()
    mark(scoped, ~fixed, "dose_not_fixed", "not one fixed dose")
    other = [f"its dose is in {unit.replace('_', ' ') or 'no unit'}" for unit in units]
    mark(scoped, scoped["common_dose"].isna(), "dose_unit", other)


def _apply_window(scoped: pd.DataFrame, spec: AnalysisSpec) -> None:
    low, high = spec.select.min_days, spec.select.max_days
    if low is None and high is None:
        return
    days = scoped["time_days"].to_numpy(float)
    mark(scoped, np.isnan(days), "time_unknown", "time of measurement is not printed")
    early = days < (low if low is not None else -np.inf)
    late = days > (high if high is not None else np.inf)
    mark(scoped, early | late, "time", [f"measured at day {value:g}" for value in days])


def _group_column(scoped: pd.DataFrame, spec: AnalysisSpec) -> pd.Series:
    import pandas as pd

    if not spec.model.group_by:
        return pd.Series("", index=scoped.index)
    return scoped[spec.model.group_by].astype(str)


def _unused_in_scope(spec: AnalysisSpec, table: EffectTable, facts: pd.DataFrame) -> pd.DataFrame:
    """Return the extracted rows in scope that yield no effect size."""
    if table.unused.empty:
        return table.unused.copy()
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
