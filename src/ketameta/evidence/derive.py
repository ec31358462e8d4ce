"""The effect table: every effect size the extracted rows yield, and every row that yields none.

Reads evidence, writes frames. Nothing is dropped silently: a row of ``outcomes.csv`` or
``contrasts.csv`` ends in an effect or in the list of unused rows with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.evidence.contrast_effects import effects_of_contrasts, mean_differences
from ketameta.evidence.effect_rows import (
    EFFECT_COLUMNS,
    effects_of_changes_within,
    effects_of_counts,
    effects_of_paired_scores,
    effects_of_scores,
)
from ketameta.evidence.pairing import (
    Assumptions,
    add_combined_arms,
    crossovers,
    directions,
    pair_arms,
    plain_key,
    resolve_arm_data,
    size_words,
    uncontrolled,
    unused_outcomes,
    with_source,
)

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence.tables import Evidence

#: Word for the statistic of changes without a control in ``data_kind``.
WITHIN = "before_after"


@dataclass(frozen=True, slots=True)
class EffectTable:
    """Effects and unused rows.

    Attributes
    ----------
    effects : DataFrame
        One row per comparison, outcome, time, subgroup, kind of data and measure.
    unused : DataFrame
        ``study_id, arm_id, comparator_arm_id, outcome, instrument, time_days, subgroup,
        data_kind, source, code, reason``.
    arms : DataFrame
        The arms, with those joined from dose arms.
    """

    effects: pd.DataFrame
    unused: pd.DataFrame
    arms: pd.DataFrame


def derive_effects(evidence: Evidence, assumptions: Assumptions | None = None) -> EffectTable:
    """Return every effect size the extracted rows yield.

    Parameters
    ----------
    evidence : Evidence
        Checked and corrected tables.
    assumptions : Assumptions, optional
        What may be assumed where sources are silent; nothing by default.
    """
    import pandas as pd

    assumed = assumptions or Assumptions()
    outcomes = resolve_arm_data(_with_sizes(with_source(evidence.outcomes), assumed))
    outcomes = _of_clusters(outcomes, evidence)
    usable = outcomes[outcomes["problem"] == ""]
    rows, arms = add_combined_arms(usable, evidence.arms, crossovers(evidence))
    pairs = pair_arms(rows, arms, evidence.project.directness.drug_class)
    frames = _effects_of_pairs(pairs, evidence, assumed)
    within = _effects_within(usable, evidence, assumed)
    contrasts, contrasts_unused = effects_of_contrasts(
        evidence, assumed, mean_differences(outcomes)
    )
    parts = [frame for frame in (*frames, within, contrasts) if len(frame)]
    effects = (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*EFFECT_COLUMNS])
    )
    effects = _with_arm_facts(effects, arms)
    used = {place for sources in effects["source"] for place in str(sources).split(";")}
    left = unused_outcomes(outcomes, used, evidence, correlated=assumed.correlation is not None)
    unused = pd.concat([left, contrasts_unused], ignore_index=True)
    return EffectTable(
        _sorted(effects, ["study_id", "arm_id", "comparator_arm_id", *_ORDER]),
        _sorted(unused, ["study_id", "arm_id", *_ORDER[:-3], "source"]),
        arms,
    )


_ORDER = ["outcome", "instrument", "time_days", "subgroup", "data_kind", "measure", "analysis"]


def _sorted(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return frame.sort_values(keys, kind="stable", na_position="first").reset_index(drop=True)


def _with_sizes(outcomes: pd.DataFrame, assumed: Assumptions) -> pd.DataFrame:
    """Fill the arm sizes an analysis assumes, where none is printed, and say so per row."""
    rows = outcomes.assign(assumed="")
    for size in assumed.arm_sizes:
        here = (
            (rows["study_id"] == size.study_id)
            & (rows["arm_id"] == size.arm_id)
            & (rows["subgroup"] == size.subgroup)
            & rows["n"].isna()
        )
        rows.loc[here, "n"] = float(size.n)
        rows.loc[here, "assumed"] = size_words(size)
    return rows


def _of_clusters(outcomes: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """Return arm rows whose people count for as much as people who were randomised one by one.

    In a cluster trial, numbers of people and events are divided by ``1 + (m - 1) icc`` (Cochrane
    Handbook, 23.1.4); without the mean cluster size m and the intracluster correlation, a row can
    enter no effect.
    """
    studies = evidence.studies.set_index("study_id")
    here = outcomes["study_id"].isin(studies.index[studies["design"] == "cluster_rct"])
    if not here.any():
        return outcomes
    rows = outcomes.copy()
    inflation = 1 + (studies["cluster_size"] - 1) * studies["icc"]
    factor = rows["study_id"].map(inflation[~inflation.index.duplicated()]).where(here, 1.0)
    rows.loc[here & factor.isna() & (rows["problem"] == ""), "problem"] = "cluster_not_adjusted"
    known = here & factor.notna()
    for name in ("n_", "events_"):
        rows.loc[known, name] = rows.loc[known, name] / factor[known]
    rows.loc[known, "route"] += "+design_effect"
    return rows


def _effects_of_pairs(
    pairs: pd.DataFrame, evidence: Evidence, assumed: Assumptions
) -> list[pd.DataFrame]:
    """Return the effects of arm pairs: parallel scores, paired scores, parallel counts."""
    crossed = pairs["study_id"].isin(crossovers(evidence))
    is_event = pairs["statistic"] == "events"
    scores = pairs[~crossed & ~is_event].reset_index(drop=True)
    paired = pairs[crossed & ~is_event].reset_index(drop=True)
    counts = pairs[~crossed & is_event].reset_index(drop=True)
    correlation, guessed = _correlations(paired, evidence, assumed)
    return [
        effects_of_scores(scores, directions(scores["instrument"], evidence)),
        effects_of_paired_scores(
            paired, directions(paired["instrument"], evidence), correlation, guessed
        ),
        effects_of_counts(counts),
    ]


def _correlations(
    pairs: pd.DataFrame, evidence: Evidence, assumed: Assumptions
) -> tuple[np.ndarray, np.ndarray]:
    """Return the within-person correlation per pair and whether it is an assumption."""
    keys = ["study_id", "arm_id", "comparator_arm_id", "outcome", "instrument", "time_days"]
    contrasts = evidence.contrasts
    printed = {
        tuple(plain_key(row[key]) for key in keys): float(row["correlation"])
        for row in contrasts[contrasts["correlation"].abs() < 1].to_dict("records")
    }
    wanted = pairs.rename(columns={"arm_id_t": "arm_id", "arm_id_c": "comparator_arm_id"})
    fallback = np.nan if assumed.correlation is None else assumed.correlation
    found = [
        printed.get(tuple(plain_key(value) for value in row))
        for row in wanted[keys].itertuples(index=False)
    ]
    values = np.array([fallback if value is None else value for value in found], dtype=float)
    guessed = np.array([value is None for value in found], dtype=bool)
    return values, guessed


def _effects_within(usable: pd.DataFrame, evidence: Evidence, assumed: Assumptions) -> pd.DataFrame:
    """Return uncontrolled changes of single-arm studies, when a correlation is assumed."""
    import pandas as pd

    if assumed.correlation is None:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    alone = usable["study_id"].isin(uncontrolled(evidence))
    rows = usable[_has_baseline(usable) & alone & (usable["n_"] >= 3)]
    rows = rows.reset_index(drop=True)
    effects = effects_of_changes_within(
        rows, directions(rows["instrument"], evidence), assumed.correlation
    )
    return effects.assign(data_kind=WITHIN)


def _has_baseline(rows: pd.DataFrame) -> pd.Series:
    return (
        rows["baseline_mean"].notna()
        & rows["baseline_sd"].notna()
        & (rows["statistic"] != "events")
    )


def _with_arm_facts(effects: pd.DataFrame, arms: pd.DataFrame) -> pd.DataFrame:
    """Add intervention, class and background of both arms, and an identifier."""
    facts = arms.drop_duplicates(["study_id", "arm_id"])
    columns = ["intervention", "drug_class", "dose", "dose_unit", "route"]
    treatment = facts[["study_id", "arm_id", *columns, "background_treatment"]].rename(
        columns={"route": "administration"}
    )
    control = facts[["study_id", "arm_id", "intervention", "drug_class"]].rename(
        columns={
            "arm_id": "comparator_arm_id",
            "intervention": "comparator",
            "drug_class": "comparator_class",
        }
    )
    joined = effects.merge(treatment, on=["study_id", "arm_id"], how="left").merge(
        control, on=["study_id", "comparator_arm_id"], how="left"
    )
    words = [
        "printed_as",
        "intervention",
        "drug_class",
        "background_treatment",
        "comparator",
        "comparator_class",
    ]
    # A column in which nothing is printed holds missing numbers, not missing words.
    joined[words] = joined[words].astype(object).fillna("").astype("str")
    joined.insert(0, "effect_id", [_effect_id(row) for row in joined.to_dict("records")])
    return joined


def _effect_id(row: dict[str, Any]) -> str:
    """Return a stable name of an effect, unique in the table."""
    time = "" if np.isnan(row["time_days"]) else f"{row['time_days']:g}d"
    told = ", ".join(word for word in (row["printed_as"], row["analysis"]) if word)
    parts = (
        row["study_id"],
        f"{row['arm_id']}-{row['comparator_arm_id']}",
        row["outcome"],
        row["instrument"],
        time,
        row["subgroup"],
        row["data_kind"] + (f"({told})" if told else ""),
        row["measure"],
    )
    return "/".join(str(part) for part in parts)
