"""How many registered trials are planned, running, over, or of unknown status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.analyses.claims import UNDER_WAY, UNTOLD

#: Statuses of a trial that ended without being completed.
_STOPPED = ("terminated", "withdrawn", "no_longer_available")


def registry_counts(registry: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Return how many entries are in each state, zeros included.

    Parameters
    ----------
    registry : sequence of mapping
        Rows of ``data/registry.csv``.
    """
    counts = dict.fromkeys(
        (
            "planned or running",
            "completed, with results",
            "completed without results",
            "withdrawn, stopped or no longer listed",
            "status unknown",
        ),
        0,
    )
    for row in registry:
        counts[_state(row)] += 1
    return list(counts.items())


def _state(row: Mapping[str, Any]) -> str:
    status = str(row["status"])
    if status in UNDER_WAY:
        return "planned or running"
    if status in UNTOLD:
        return "status unknown"
    if status in _STOPPED:
        return "withdrawn, stopped or no longer listed"
    posted = str(row["results_posted"] or "no")
    known = posted not in ("no", "nan") or bool(row["study_id"]) or status == "published"
    return "completed, with results" if known else "completed without results"
