"""What else differs between the groups of an analysis: what goes together is never hidden.

Trials of one group may also differ from those of another in route, regimen, comparator or time; a
difference between the groups may come from any of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ketameta.analyses.rows import study_label

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence import Evidence

#: Moderators that stand for a kind of people, for whom the trials differ in more than the people.
PEOPLE = ("prior_treatment_resistance", "adhd_subtype", "diagnosis")
#: Facts counted in trials: the key, and the column of the effects.
_COUNTED = (
    ("route", "administration"),
    ("comparator", "comparator"),
    ("blinding", "blinding"),
    ("design", "design"),
    ("age_group", "age_group"),
)


def group_facts(
    spec: AnalysisSpec, used: pd.DataFrame, evidence: Evidence
) -> list[dict[str, Any]] | None:
    """Return what else differs between the groups of people that an analysis compares.

    Parameters
    ----------
    spec : AnalysisSpec
    used : DataFrame
        Selected effects with ``group``.
    evidence : Evidence

    Returns
    -------
    list of dict or None
        ``None`` where the groups are not kinds of people. One entry per group in the declared
        order: ``key, k``; ``median_days``; for each of ``route, regimen, comparator, blinding,
        design, age_group`` how many trials have which word; and ``definitions``, of ``study_id,
        label, definition``, what each trial asked of earlier treatment, where that is the
        moderator.
    """
    name = spec.model.group_by
    if name not in PEOPLE or used.empty:
        return None
    told = name == "prior_treatment_resistance"
    arms = evidence.arms.set_index(["study_id", "arm_id"])
    definitions = evidence.studies.set_index("study_id")["resistance_definition"]
    if spec.kind == "within_trial":
        used = _in_both(used, spec.model.group_order)
    found = sorted(set(used["group"]))
    order = [key for key in spec.model.group_order if key in found]
    entries = []
    for key in [*order, *(key for key in found if key not in order)]:
        rows = used[used["group"] == key]
        schedules = {
            (row.study_id, arms.at[(row.study_id, row.arm_id), "schedule"])
            for row in rows.itertuples()
        }
        days = rows.drop_duplicates("study_id")["time_days"].dropna()
        entries.append(
            {
                "key": key,
                "k": int(rows["study_id"].nunique()),
                "median_days": float(days.median()) if len(days) else None,
                **{
                    fact: _counted(set(zip(rows["study_id"], rows[column], strict=True)))
                    for fact, column in _COUNTED
                },
                "regimen": _counted(schedules),
                "definitions": [
                    {
                        "study_id": study,
                        "label": study_label(study),
                        "definition": _text(definitions[study]) or "not stated",
                    }
                    for study in sorted(set(rows["study_id"]))
                ]
                if told
                else [],
            }
        )
    return entries


def _in_both(used: pd.DataFrame, pair: Sequence[str]) -> pd.DataFrame:
    """Return the rows of trials that have both groups: only they are compared."""
    members = [set(used.loc[used["group"] == name, "study_id"]) for name in pair]
    both = set.intersection(*members)
    return used[used["study_id"].isin(both) & used["group"].isin(list(pair))]


def _text(value: Any) -> str:
    return str(value) if value and value == value else ""


def _counted(pairs: set[tuple[str, Any]]) -> dict[str, int]:
    """Return how many trials have each word, the most frequent first."""
    counts = Counter(_text(word) or "not reported" for _, word in pairs)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
