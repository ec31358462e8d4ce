"""What a forest plot writes and marks, row by row, in displayed units. Knows no positions.

:mod:`ketameta.figures.forest_reader` fills these values from an analysis result.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

RowKind = Literal[
    "header",
    "subgroup_header",
    "study",
    "subgroup_pool",
    "subgroup_note",
    "overall",
    "prediction",
    "heterogeneity",
    "subgroup_test",
    "single",
    "note",
    "empty",
]

ONE_TRIAL = "One trial; not pooled"
NO_TRIALS = "No eligible trials"
TWO_TRIALS = "Two trials: no prediction interval"
NOT_POOLED = "Not pooled"
SET_ASIDE = "Set aside"

#: Column name -> pieces of text, aligned with the same piece of the other rows.
Cells = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class RowContent:
    """What one row says and marks, in displayed units (ratios, not their logarithms)."""

    kind: RowKind
    label: str
    cells: Cells = field(default_factory=dict)
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    weight: float | None = None
    study_id: str = ""
    remark: str = ""
    tag: str = ""
    marker: str = ""
    excluded: bool = False
    group: int | None = None
    n_treatment: float | None = None
    n_control: float | None = None
    events_treatment: float | None = None
    events_control: float | None = None
    risk_of_bias: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForestContent:
    """Everything a forest plot shows, before it is placed."""

    rows: tuple[RowContent, ...]
    is_ratio: bool
    digits: int
    k: int
    participants: float | None
    arm_names: tuple[str, str]
    comparison_header: str
    notes: tuple[tuple[str, str], ...]
    domains: tuple[tuple[str, str], ...]
    has_events: bool
    has_means: bool
    #: Whether weights are shares of one pool, rather than of each subgroup's.
    one_pool: bool = True
    study_header: str = "Study"
    rows_are_pools: bool = False


def stack_comparisons(content: ForestContent) -> ForestContent:
    """Return the content with interventions below the labels instead of in a column beside."""
    rows = []
    for row in content.rows:
        cells = dict(row.cells)
        pieces = cells.pop("comparison", ())
        remarks = [text for text in (*pieces, row.remark) if text]
        rows.append(replace(row, cells=cells, remark="\u00a0· ".join(remarks)))
    return replace(content, rows=tuple(rows))
