"""Cumulative and leave-one-out results as forest plots: every row is a pooled estimate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ketameta.errors import UsageError
from ketameta.figures.forest_value import ForestLayout
from ketameta.figures.layout import lay_out_forest
from ketameta.figures.numbers import finite
from ketameta.numberformat import format_count


def lay_out_cumulative(data: Mapping[str, Any], **options: Any) -> ForestLayout:
    """Lay out a cumulative meta-analysis: the pooled estimate as trials were added.

    Parameters
    ----------
    data : mapping
        The head of an analysis result (``title, measure, measure_label, is_ratio, null, favours,
        level``), ``steps`` in order of addition (each ``label`` of the trial added, ``k,
        estimate, ci_low, ci_high``) and, optionally, ``order_words`` (such as ``year of
        publication``).
    **options
        As for :func:`ketameta.figures.layout.lay_out_forest`.

    Returns
    -------
    ForestLayout
        One row per step, ``+ Alder 2014 (k = 3)``; no diamond, as the last row is the pool.

    Raises
    ------
    UsageError
        If there are no steps.
    """
    order = str(data.get("order_words") or "the order shown")
    return _pooled_rows(
        {**data, "pooled": None},
        prefix="+\u00a0",
        header="Trial added",
        meaning=f"Each square: all trials up to and including this one, by {order}",
        description="Cumulative forest plot",
        options=options,
    )


def lay_out_leave_one_out(data: Mapping[str, Any], **options: Any) -> ForestLayout:
    """Lay out a leave-one-out analysis: the pooled estimate without each trial.

    Parameters
    ----------
    data : mapping
        As for :func:`lay_out_cumulative`; ``label`` names the trial left out, and ``pooled`` is
        the result of all trials, shown as the diamond.
    **options
        As for :func:`ketameta.figures.layout.lay_out_forest`.

    Returns
    -------
    ForestLayout

    Raises
    ------
    UsageError
        If there are no steps.
    """
    return _pooled_rows(
        data,
        prefix="−\u00a0",
        header="Trial left out",
        meaning="Each square: all trials but this one",
        description="Leave-one-out forest plot",
        options=options,
    )


def _pooled_rows(
    data: Mapping[str, Any],
    *,
    prefix: str,
    header: str,
    meaning: str,
    description: str,
    options: Mapping[str, Any],
) -> ForestLayout:
    steps = data.get("steps") or ()
    if not steps:
        raise UsageError("data['steps'] is empty; give one pooled estimate per trial")
    rows = []
    for step in steps:
        k = finite(step.get("k"))
        count = "" if k is None else f" (k\u00a0=\u00a0{format_count(k)})"
        rows.append(
            {
                "study_id": step.get("study_id"),
                "label": f"{prefix}{step.get('label')}{count}",
                **{key: step.get(key) for key in ("estimate", "ci_low", "ci_high")},
            }
        )
    result = {
        **data,
        "groups": [{"label": None, "rows": rows, "pooled": None}],
        "row_header": header,
        "row_meaning": meaning,
        "description": description,
        "rows_are_pools": True,
    }
    return lay_out_forest(result, **options)
