"""Checks of the arms of a trial: who is the control, and which arms lie inside others."""

from __future__ import annotations

from collections.abc import Iterator

from ketameta.checks.context import Context, Problem, error, list_items, place, warning
from ketameta.evidence import Row

#: Designs that have nothing to compare with.
_UNCONTROLLED = ("single_arm", "cohort", "case_report")
#: Classes of what people get beside, or in place of, the medicine that is tested.
_CONTROL_CLASSES = ("placebo", "active_placebo", "usual_care", "no_treatment")


def check_pooled_arms_are_no_circle(context: Context) -> Iterator[Problem]:
    """No arm contains an arm that contains it."""
    for row in context.rows("arms"):
        by_name = {other["arm_id"]: other for other in context.arms_of[row["study_id"]]}
        for name in list_items(row["contains_arms"]):
            other = by_name.get(name)
            if other is None or other is row or name < row["arm_id"]:
                continue
            if row["arm_id"] in _inside(other, by_name):
                yield error(
                    row,
                    "contains_arms",
                    f"{name} also contains this arm ({place(other)})",
                    "keep the arms of the smaller doses in the pooled arm only",
                    value=name,
                    others=(other,),
                )


def _inside(arm: Row, by_name: dict[str, Row]) -> set[str]:
    """Return every arm that lies inside an arm, however deep."""
    found: set[str] = set()
    waiting = [arm]
    while waiting:
        for name in list_items(waiting.pop()["contains_arms"]):
            if name not in found:
                found.add(name)
                if name in by_name:
                    waiting.append(by_name[name])
    return found


def check_controls_are_called_so(context: Context) -> Iterator[Problem]:
    """Every placebo, usual care or absence of treatment has the role of a control."""
    for row in context.rows("arms"):
        if row["role"] == "treatment" and row["drug_class"] in _CONTROL_CLASSES:
            yield warning(
                row,
                "role",
                f"{row['drug_class']} is called a treatment, so it is compared with nothing",
                "write control",
            )


def check_controlled_trials_have_a_comparator(context: Context) -> Iterator[Problem]:
    """Each trial of a controlled design has at least two arms."""
    for study_id, arms in context.arms_of.items():
        study = context.studies.get(study_id)
        if study is None or study["design"] in ("", *_UNCONTROLLED):
            continue
        if len(arms) == 1:
            yield warning(
                arms[0],
                "arm_id",
                f"the only arm of a trial whose design is {study['design']} ({place(study)})",
                "add the arm it is compared with, or correct the design",
                others=(study,),
            )


def check_uncontrolled_designs_have_no_control(context: Context) -> Iterator[Problem]:
    """No trial of an uncontrolled design has a control arm."""
    for study_id, arms in context.arms_of.items():
        study = context.studies.get(study_id)
        if study is None or study["design"] not in _UNCONTROLLED:
            continue
        for arm in arms:
            if arm["role"] == "control":
                yield warning(
                    arm,
                    "role",
                    f"a control in a trial whose design is {study['design']} ({place(study)})",
                    "correct the design, or the role",
                    others=(study,),
                )
