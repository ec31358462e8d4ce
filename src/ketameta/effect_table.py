"""The effect table: every effect size the extracted rows yield, and every row that yields none.

Reads evidence, writes frames. Nothing is dropped silently: a row of ``outcomes.csv`` or
``contrasts.csv`` ends in an effect or in the list of unused rows with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.arm_data import resolve_arm_data
from ketameta.comparisons import add_combined_arms, pair_arms
from ketameta.contrast_effects import effects_of_contrast
from ketameta.effect_rows import (
    EFFECT_COLUMNS,
    ArmSize,
    Assumptions,
    effects_of_changes_within,
    effects_of_counts,
    effects_of_paired_scores,
    effects_of_scores,
)

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence import Evidence

#: Why a row yields no effect, in words for the report.
PROBLEMS: dict[str, str] = {
    "no_n": "the number of people analysed is not printed",
    "n_below_two": "fewer than two people",
    "no_mean": "no mean, and no median with its spread, is printed",
    "no_variance": "nothing printed gives its precision",
    "no_count": "neither a count nor a percentage is printed",
    "percent_not_whole": "percentage times n is not a whole number of people",
    "no_estimate": "no estimate is printed",
    "sign_unknown": "the source does not say which arm did better",
    "no_direction": "the instrument has no better end",
    "no_exact_test_statistic": "no exact test statistic or p-value is printed",
    "no_correlation": "a crossover without the within-person correlation",
    "no_partner": "no second arm has the same outcome, instrument, time and statistic",
    "crossover_counts": "counts of a crossover without the paired table",
    "hazard_ratio_not_pooled": "hazard ratios are kept for reading; no analysis pools them",
    "no_baseline": "a single arm without a baseline mean and SD",
}

#: Words for the statistic of printed comparisons in ``data_kind``.
CONTRAST = "contrast"
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
    outcomes = resolve_arm_data(_with_sizes(_with_source(evidence.outcomes), assumed))
    usable = outcomes[outcomes["problem"] == ""]
    rows, arms = add_combined_arms(usable, evidence.arms)
    pairs = pair_arms(rows, arms)
    frames = _effects_of_pairs(pairs, evidence, assumed)
    within = _effects_within(usable, evidence, assumed)
    contrast_effects, contrast_unused = _effects_of_contrasts(
        evidence, assumed, mean_differences(outcomes)
    )
    parts = [frame for frame in (*frames, within, contrast_effects) if len(frame)]
    effects = (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*EFFECT_COLUMNS])
    )
    effects = _with_arm_facts(effects, arms)
    unused = pd.concat(
        [_unused_outcomes(outcomes, effects, evidence), contrast_unused], ignore_index=True
    )
    return EffectTable(
        _sorted(effects, ["study_id", "arm_id", "comparator_arm_id", *_ORDER]),
        _sorted(unused, ["study_id", "arm_id", *_ORDER[:-2], "source"]),
        arms,
    )


_ORDER = ["outcome", "instrument", "time_days", "subgroup", "data_kind", "measure"]


def _sorted(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return frame.sort_values(keys, kind="stable", na_position="first").reset_index(drop=True)


def _with_source(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(source=rows["_file"] + ":" + rows["_line"].astype(str))


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
        rows.loc[here, "assumed"] = _size_words(size)
    return rows


def _size_words(size: ArmSize) -> str:
    return f"n of {size.arm_id.replace('_', ' ')} = {size.n}"


def _fill_contrast_sizes(row: dict[str, Any], assumed: Assumptions) -> str:
    """Fill assumed arm sizes into a contrast; return the words for what was assumed."""
    said = []
    for size in assumed.arm_sizes:
        if (size.study_id, size.subgroup) != (row["study_id"], row["subgroup"]):
            continue
        for column, arm in (("n_treatment", "arm_id"), ("n_control", "comparator_arm_id")):
            if row[arm] == size.arm_id and np.isnan(row[column]):
                row[column] = float(size.n)
                said.append(_size_words(size))
    return "; ".join(said)


def _directions(instruments: pd.Series, evidence: Evidence) -> pd.Series:
    known = dict(
        zip(evidence.instruments["instrument"], evidence.instruments["direction"], strict=True)
    )
    return instruments.map(known).fillna("neither")


def _crossovers(evidence: Evidence) -> set[str]:
    studies = evidence.studies
    return set(studies.loc[studies["design"].str.startswith("crossover"), "study_id"])


def _effects_of_pairs(
    pairs: pd.DataFrame, evidence: Evidence, assumed: Assumptions
) -> list[pd.DataFrame]:
    """Return the effects of arm pairs: parallel scores, paired scores, parallel counts."""
    crossed = pairs["study_id"].isin(_crossovers(evidence))
    is_event = pairs["statistic"] == "events"
    scores = pairs[~crossed & ~is_event].reset_index(drop=True)
    paired = pairs[crossed & ~is_event].reset_index(drop=True)
    counts = pairs[~crossed & is_event].reset_index(drop=True)
    correlation, guessed = _correlations(paired, evidence, assumed)
    return [
        effects_of_scores(scores, _directions(scores["instrument"], evidence)),
        effects_of_paired_scores(
            paired, _directions(paired["instrument"], evidence), correlation, guessed
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
        tuple(_plain_key(row[key]) for key in keys): float(row["correlation"])
        for row in contrasts[contrasts["correlation"].notna()].to_dict("records")
    }
    wanted = pairs.rename(columns={"arm_id_t": "arm_id", "arm_id_c": "comparator_arm_id"})
    fallback = np.nan if assumed.correlation is None else assumed.correlation
    found = [
        printed.get(tuple(_plain_key(value) for value in row))
        for row in wanted[keys].itertuples(index=False)
    ]
    values = np.array([fallback if value is None else value for value in found], dtype=float)
    guessed = np.array([value is None for value in found], dtype=bool)
    return values, guessed


def _plain_key(value: Any) -> Any:
    """Return a key that equals itself even when it is a missing number."""
    return None if isinstance(value, float) and np.isnan(value) else value


def _effects_within(usable: pd.DataFrame, evidence: Evidence, assumed: Assumptions) -> pd.DataFrame:
    """Return uncontrolled changes of single-arm studies, when a correlation is assumed."""
    import pandas as pd

    if assumed.correlation is None:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    rows = usable[_has_baseline(usable) & usable["study_id"].isin(_single_arms(evidence))]
    rows = rows.reset_index(drop=True)
    effects = effects_of_changes_within(
        rows, _directions(rows["instrument"], evidence), assumed.correlation
    )
    return effects.assign(data_kind=WITHIN)


def _single_arms(evidence: Evidence) -> set[str]:
    studies = evidence.studies
    return set(
        studies.loc[studies["design"].isin(["single_arm", "cohort", "case_report"]), "study_id"]
    )


def _has_baseline(rows: pd.DataFrame) -> pd.Series:
    return (
        rows["baseline_mean"].notna()
        & rows["baseline_sd"].notna()
        & (rows["statistic"] != "events")
    )


def mean_differences(outcomes: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """Return treatment minus comparator of printed means whose spread is not printed.

    Keys are study, both arms, outcome, instrument, time and subgroup. Where a source prints both
    endpoint and change, the change stands.
    """
    bare = outcomes[(outcomes["problem"] == "no_variance") & outcomes["mean_"].notna()]
    same = ["study_id", "outcome", "instrument", "time_days", "subgroup", "statistic"]
    pairs = bare.merge(bare, on=same, suffixes=("_t", "_c"))
    pairs = pairs[pairs["arm_id_t"] != pairs["arm_id_c"]].sort_values(
        "statistic", ascending=False, kind="stable"
    )
    return {
        (
            row["study_id"],
            row["arm_id_t"],
            row["arm_id_c"],
            row["outcome"],
            row["instrument"],
            _plain_key(row["time_days"]),
            row["subgroup"],
        ): float(row["mean__t"] - row["mean__c"])
        for row in pairs.to_dict("records")
    }


def _effects_of_contrasts(
    evidence: Evidence, assumed: Assumptions, differences: dict[tuple[Any, ...], float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return effects and unused rows of the printed comparisons."""
    import pandas as pd

    contrasts = _with_source(evidence.contrasts)
    directions = _directions(contrasts["instrument"], evidence)
    crossed = _crossovers(evidence)
    effects: list[dict[str, Any]] = []
    unused: list[dict[str, Any]] = []
    for row, direction in zip(contrasts.to_dict("records"), directions, strict=True):
        said = _fill_contrast_sizes(row, assumed)
        found, problem = effects_of_contrast(
            row,
            direction=direction,
            paired=row["study_id"] in crossed,
            correlation=assumed.correlation,
            arm_difference=differences.get(tuple(_plain_key(row[key]) for key in _CONTRAST_KEYS)),
        )
        if problem:
            unused.append(_unused_row(row, CONTRAST, problem))
        for effect in found:
            effects.append(
                {
                    **{key: row[key] for key in _CONTRAST_KEYS},
                    "data_kind": CONTRAST,
                    "printed_as": row["effect_type"],
                    "measure": str(effect.measure),
                    "estimate": effect.estimate,
                    "variance": effect.variance,
                    "n_treatment": row["n_treatment"],
                    "n_control": row["n_control"],
                    "route": effect.route,
                    "assumption": "; ".join(part for part in (said, effect.assumption) if part),
                    "source": row["source"],
                }
            )
    return (
        pd.DataFrame(effects).reindex(columns=list(EFFECT_COLUMNS)),
        pd.DataFrame(unused, columns=list(_UNUSED_COLUMNS)),
    )


_CONTRAST_KEYS = (
    "study_id",
    "arm_id",
    "comparator_arm_id",
    "outcome",
    "instrument",
    "time_days",
    "subgroup",
)
_UNUSED_COLUMNS = (*_CONTRAST_KEYS, "data_kind", "source", "code", "reason")


def _unused_row(row: dict[str, Any], kind: str, code: str) -> dict[str, Any]:
    return {
        **{key: row.get(key, "") for key in _CONTRAST_KEYS},
        "data_kind": kind,
        "source": row["source"],
        "code": code,
        "reason": PROBLEMS[code],
    }


def _unused_outcomes(
    outcomes: pd.DataFrame, effects: pd.DataFrame, evidence: Evidence
) -> pd.DataFrame:
    """Return the arm rows that stand in no effect, each with its reason."""
    import pandas as pd

    used = {place for sources in effects["source"] for place in str(sources).split(";")}
    left = outcomes[~outcomes["source"].isin(used)]
    crossed, alone = _crossovers(evidence), _single_arms(evidence)
    unused = []
    for row in left.to_dict("records"):
        code = row["problem"]
        if not code:
            code = _why_alone(row, crossed, alone)
        unused.append(_unused_row(row, row["statistic"], code))
    return pd.DataFrame(unused, columns=list(_UNUSED_COLUMNS))


def _why_alone(row: dict[str, Any], crossed: set[str], alone: set[str]) -> str:
    """Return why a row with usable numbers stands in no effect."""
    if row["study_id"] in crossed:
        return "crossover_counts" if row["statistic"] == "events" else "no_correlation"
    if row["study_id"] in alone and row["statistic"] != "events":
        has_baseline = np.isfinite(row["baseline_mean"]) and np.isfinite(row["baseline_sd"])
        return "no_correlation" if has_baseline else "no_baseline"
    return "no_partner"


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
    parts = (
        row["study_id"],
        f"{row['arm_id']}-{row['comparator_arm_id']}",
        row["outcome"],
        row["instrument"],
        time,
        row["subgroup"],
        row["data_kind"] + (f"({row['printed_as']})" if row["printed_as"] else ""),
        row["measure"],
    )
    return "/".join(str(part) for part in parts)
