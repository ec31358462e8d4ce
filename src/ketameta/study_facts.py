"""Facts of studies and instruments, and assumptions in their stead, by which rows become effects.

Computes no effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence import Evidence

#: Columns that name one comparison at one time.
COMPARISON_KEYS = (
    "study_id",
    "arm_id",
    "comparator_arm_id",
    "outcome",
    "instrument",
    "time_days",
    "subgroup",
)
#: Designs without a second group of people.
UNCONTROLLED = ("single_arm", "cohort", "case_report")


@dataclass(frozen=True, slots=True)
class ArmSize:
    """An assumed number of people in one arm (and subgroup), with the reason.

    Attributes
    ----------
    study_id, arm_id, subgroup : str
    n : int
    reason : str
    """

    study_id: str
    arm_id: str
    subgroup: str
    n: int
    reason: str


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What an analysis assumes where the sources are silent; by default, nothing.

    Attributes
    ----------
    correlation : float or None
        Within-person correlation of crossovers and pre-post comparisons.
    arm_sizes : tuple of ArmSize
        Sizes of arms that the sources do not print. A printed size always wins.
    """

    correlation: float | None = None
    arm_sizes: tuple[ArmSize, ...] = ()


def crossovers(evidence: Evidence) -> frozenset[str]:
    """Return the studies in which the same people are in every arm."""
    studies = evidence.studies
    return frozenset(studies.loc[studies["design"].str.startswith("crossover"), "study_id"])


def uncontrolled(evidence: Evidence) -> frozenset[str]:
    """Return the studies whose arms are followed without a control."""
    studies = evidence.studies
    return frozenset(studies.loc[studies["design"].isin(UNCONTROLLED), "study_id"])


def directions(instruments: pd.Series, evidence: Evidence) -> pd.Series:
    """Return which way is better for each instrument; ``neither`` where it is not known."""
    known = dict(
        zip(evidence.instruments["instrument"], evidence.instruments["direction"], strict=True)
    )
    return instruments.map(known).fillna("neither")


def with_source(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with ``source``, the file and line a reader can open."""
    return rows.assign(source=rows["_file"] + ":" + rows["_line"].astype(str))


def size_words(size: ArmSize) -> str:
    """Return an assumed arm size as the effect table records it."""
    return f"n of {size.arm_id.replace('_', ' ')} = {size.n}"


def plain_key(value: Any) -> Any:
    """Return a key that equals itself even when it is a missing number."""
    return None if isinstance(value, float) and np.isnan(value) else value


def comparison_key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the comparison a row is about, as a key."""
    return tuple(plain_key(row[key]) for key in COMPARISON_KEYS)
