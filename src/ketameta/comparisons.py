"""Pairs the arms of a study into comparisons. Knows nothing of effect sizes or models."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta import conversions
from ketameta.arm_data import COMPARABLE

if TYPE_CHECKING:
    import pandas as pd

#: Columns of an arm's row that each side of a comparison keeps.
_SIDE = ["arm_id", "n_", "mean_", "sd_", "events_", "route", "source", "assumed"]


def contained_arms(arms: pd.DataFrame) -> dict[tuple[str, str], frozenset[str]]:
    """Return, for each ``(study_id, arm_id)``, the arms whose people are all in it."""
    return {
        (study, arm): frozenset(part for part in str(parts).split(";") if part)
        for study, arm, parts in zip(
            arms["study_id"], arms["arm_id"], arms["contains_arms"], strict=True
        )
    }


def share_people(
    contained: dict[tuple[str, str], frozenset[str]], study: str, first: str, second: str
) -> bool:
    """Return whether two arms of a study have people in common."""
    one = contained.get((study, first), frozenset()) | {first}
    two = contained.get((study, second), frozenset()) | {second}
    return bool(one & two)


def add_combined_arms(
    rows: pd.DataFrame, arms: pd.DataFrame, same_people: Collection[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add, for every intervention given in several arms, the arm that joins them.

    Parameters
    ----------
    rows : DataFrame
        Usable rows of :func:`ketameta.arm_data.resolve_arm_data`.
    arms : DataFrame
        The ``arms`` table.
    same_people : collection of str
        Studies whose arms are the same people one after the other (crossovers): nothing is joined.

    Returns
    -------
    rows, arms : DataFrame
        Both with the joined arms appended. Nothing is joined where the source prints a joined arm
        for the same outcome, or where arms share people.

    Notes
    -----
    Means and SDs by the formulae of the Cochrane Handbook, table 6.5.a; counts are summed.
    """
    import pandas as pd

    facts = arms.set_index(["study_id", "arm_id"])
    contained = contained_arms(arms)
    new_rows: list[dict[str, object]] = []
    new_arms: dict[tuple[str, str], dict[str, object]] = {}
    apart = rows[~rows["study_id"].isin(list(same_people))]
    keyed = apart.assign(
        _intervention=_lookup(facts, apart, "intervention"), _role=_lookup(facts, apart, "role")
    )
    grouped = keyed.groupby([*COMPARABLE, "_intervention", "_role"], dropna=False, sort=True)
    for _, group in grouped:
        if len(group) < 2:
            continue
        study = str(group["study_id"].iloc[0])
        names = sorted(group["arm_id"])
        if any(
            share_people(contained, study, first, second)
            for place, first in enumerate(names)
            for second in names[place + 1 :]
        ):
            continue
        joined = "+".join(names)
        new_rows.append(_join_rows(group, joined))
        if (study, joined) not in new_arms:
            parts = facts.loc[[(study, name) for name in names]]
            new_arms[study, joined] = _join_arms(parts, study, joined, names)
    if not new_rows:
        return rows, arms
    return (
        pd.concat([rows, pd.DataFrame(new_rows)], ignore_index=True),
        pd.concat([arms, pd.DataFrame(list(new_arms.values()))], ignore_index=True),
    )


def _lookup(facts: pd.DataFrame, rows: pd.DataFrame, column: str) -> list[str]:
    values = facts[column].to_dict()
    return [values.get(key, "") for key in zip(rows["study_id"], rows["arm_id"], strict=True)]


def _join_rows(group: pd.DataFrame, joined: str) -> dict[str, object]:
    """Return one row for the people of all rows of ``group``."""
    row = group.iloc[0].drop(["_intervention", "_role"]).to_dict()
    n = group["n_"].to_numpy(float)
    row.update(arm_id=joined, n_=float(n.sum()), source=";".join(group["source"]))
    row["assumed"] = "; ".join(dict.fromkeys(word for word in group["assumed"] if word))
    routes = sorted({part for route in group["route"] for part in str(route).split("+")})
    row["route"] = "+".join(["combined_arms", *routes])
    if row["statistic"] == "events":
        row["events_"] = float(group["events_"].sum())
    else:
        combined = conversions.combine_arms(
            n, group["mean_"].to_numpy(float), group["sd_"].to_numpy(float)
        )
        row["mean_"], row["sd_"] = _one(combined.mean), _one(combined.sd)
    return row


def _one(value: Any) -> float:
    return float(np.asarray(value).item())


def _join_arms(parts: pd.DataFrame, study: str, joined: str, names: list[str]) -> dict[str, object]:
    """Return the ``arms`` row of a joined arm."""
    row = parts.iloc[0].to_dict()
    doses = [text for text in parts["dose_description"] if text]
    row.update(
        study_id=study,
        arm_id=joined,
        dose=float("nan"),
        dose_description=" / ".join(dict.fromkeys(doses)),
        n_randomised=float(parts["n_randomised"].sum(skipna=False)),
        contains_arms=";".join(names),
    )
    return row


def pair_arms(rows: pd.DataFrame, arms: pd.DataFrame) -> pd.DataFrame:
    """Return one row per comparison of two arms that were measured alike.

    Parameters
    ----------
    rows : DataFrame
        Usable arm rows, joined arms included.
    arms : DataFrame
        The ``arms`` table, joined arms included.

    Returns
    -------
    DataFrame
        The :data:`~ketameta.arm_data.COMPARABLE` columns and, for each side, the columns
        ``arm_id_t, n_t, mean_t, sd_t, events_t, route_t ...`` and the same with ``_c``. The
        treatment stands first; of two treatments, the NMDA antagonist, then by name.
    """
    facts = arms.drop_duplicates(["study_id", "arm_id"]).set_index(["study_id", "arm_id"])
    contained = contained_arms(arms)
    ranked = rows[[*COMPARABLE, *_SIDE]].copy()
    roles = _lookup(facts, rows, "role")
    classes = _lookup(facts, rows, "drug_class")
    ranked["rank"] = [
        (0 if role == "treatment" else 2) + (0 if drug == "nmda_antagonist" else 1)
        for role, drug in zip(roles, classes, strict=True)
    ]
    pairs = ranked.merge(ranked, on=COMPARABLE, suffixes=("_t", "_c"))
    first = (pairs["rank_t"] < pairs["rank_c"]) | (
        (pairs["rank_t"] == pairs["rank_c"]) & (pairs["arm_id_t"] < pairs["arm_id_c"])
    )
    pairs = pairs[first]
    apart = [
        not share_people(contained, study, one, two)
        for study, one, two in zip(
            pairs["study_id"], pairs["arm_id_t"], pairs["arm_id_c"], strict=True
        )
    ]
    pairs = pairs[np.array(apart, dtype=bool)] if len(pairs) else pairs
    return pairs.rename(columns=lambda name: name.replace("__", "_")).reset_index(drop=True)
