"""Every printed comparison as effects, or as an unused row with its reason. Frames out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.contrast_effects import effects_of_contrast
from ketameta.effect_rows import EFFECT_COLUMNS
from ketameta.study_facts import (
    COMPARISON_KEYS,
    Assumptions,
    comparison_key,
    crossovers,
    directions,
    plain_key,
    size_words,
    with_source,
)
from ketameta.unused_rows import UNUSED_COLUMNS, unused_row

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence import Evidence

#: Word for the statistic of printed comparisons in ``data_kind``.
CONTRAST = "contrast"


def effects_of_contrasts(
    evidence: Evidence, assumed: Assumptions, differences: dict[tuple[Any, ...], float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return effects and unused rows of the printed comparisons.

    Parameters
    ----------
    evidence : Evidence
    assumed : Assumptions
    differences : dict
        Of :func:`mean_differences`.
    """
    import pandas as pd

    contrasts = with_source(evidence.contrasts)
    better = directions(contrasts["instrument"], evidence)
    crossed = crossovers(evidence)
    effects: list[dict[str, Any]] = []
    unused: list[dict[str, Any]] = []
    for row, direction in zip(contrasts.to_dict("records"), better, strict=True):
        said = _fill_sizes(row, assumed)
        found, problem = effects_of_contrast(
            row,
            direction=direction,
            paired=row["study_id"] in crossed,
            correlation=assumed.correlation,
            arm_difference=differences.get(comparison_key(row)),
        )
        if problem:
            unused.append(unused_row(row, CONTRAST, problem))
        for effect in found:
            effects.append(
                {
                    **{key: row[key] for key in COMPARISON_KEYS},
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
        pd.DataFrame(unused, columns=list(UNUSED_COLUMNS)),
    )


def _fill_sizes(row: dict[str, Any], assumed: Assumptions) -> str:
    """Fill assumed arm sizes into a contrast; return the words for what was assumed."""
    said = []
    for size in assumed.arm_sizes:
        if (size.study_id, size.subgroup) != (row["study_id"], row["subgroup"]):
            continue
        for column, arm in (("n_treatment", "arm_id"), ("n_control", "comparator_arm_id")):
            if row[arm] == size.arm_id and np.isnan(row[column]):
                row[column] = float(size.n)
                said.append(size_words(size))
    return "; ".join(said)


def mean_differences(outcomes: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """Return treatment minus comparator of means whose arms print no usable spread.

    Keys are study, both arms, outcome, instrument, time and subgroup. Where a source prints both
    endpoint and change, the change stands.
    """
    bare = outcomes[outcomes["sd_"].isna() & outcomes["mean_"].notna()]
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
            plain_key(row["time_days"]),
            row["subgroup"],
        ): float(row["mean__t"] - row["mean__c"])
        for row in pairs.to_dict("records")
    }
