"""Rules of an analysis file that contradict each other, found before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.analyses.declarations_file import COUNTED
from ketameta.analyses.spec import Choice, Model, Selection
from ketameta.errors import did_you_mean


def contradictions(
    raw: Mapping[str, Any],
    kind: str,
    parts: tuple[Selection, Choice, Model],
    known: Mapping[str, Sequence[str]],
) -> list[str]:
    """Return the rules of a file that cannot hold together.

    Parameters
    ----------
    raw : mapping
        The file as read: what is not written contradicts nothing.
    kind : str
        Of the analysis.
    parts : tuple of (Selection, Choice, Model)
    known : mapping
        Words that the data use; ``counted`` lists the outcomes that are counted,
        ``intervention_class`` has entries such as ``ketamine nmda_antagonist``.
    """
    select, choose, model = parts
    written = raw.get("model", {})
    written = written if isinstance(written, dict) else {}
    return [
        *_outcome_problems(select, model, known),
        *_class_problems(select, known),
        *_choice_problems(select, choose),
        *_group_problems(select, model, kind),
        *_kind_problems(raw, written, model, kind, known),
    ]


def _outcome_problems(
    select: Selection, model: Model, known: Mapping[str, Sequence[str]]
) -> list[str]:
    problems = []
    by_count = model.measure in COUNTED
    if "counted" in known:
        names = [name for name in select.outcome if name in known.get("outcome", ())]
        wrong = [name for name in names if (name in known["counted"]) != by_count]
        if wrong:
            what = "is measured, not counted" if by_count else "is counted"
            choices = "SMD, MD or ROM" if by_count else "RR, OR or RD"
            problems.append(
                f"model.measure is '{model.measure}' but the outcome {', '.join(wrong)} {what}; "
                f"use {choices}"
            )
    kinds = set(select.data_kind)
    if kinds == {"events"} and not by_count:
        problems.append(
            f"select.data_kind lets only events in, which give no {model.measure}; use measure = "
            "'RR', 'OR' or 'RD'"
        )
    if by_count and kinds and not kinds & {"events", "contrast"}:
        problems.append(
            f"select.data_kind lets {', '.join(select.data_kind)} in, which give no "
            f"{model.measure}; add 'events'"
        )
    return problems


def _class_problems(select: Selection, known: Mapping[str, Sequence[str]]) -> list[str]:
    """Say when no named intervention belongs to a named class: nothing could be selected."""
    pairs = [text.split(" ") for text in known.get("intervention_class", ())]
    if not (select.intervention and select.drug_class and pairs):
        return []
    classes = {
        name: sorted({group for drug, group in pairs if drug == name})
        for name in select.intervention
    }
    return [
        f"select.intervention: {name!r} is of the class {' or '.join(found)}, which "
        "select.drug_class does not let in"
        for name, found in classes.items()
        if found and not set(found) & set(select.drug_class)
    ]


def _choice_problems(select: Selection, choose: Choice) -> list[str]:
    problems = []
    for name in ("data_kind", "instrument"):
        allowed = getattr(select, name)
        problems += [
            f"choose.{name}: {word!r} cannot occur, select.{name} does not let it in"
            for word in getattr(choose, name)
            if allowed and word not in allowed
        ]
    if choose.days is not None and choose.time != "nearest":
        problems.append(
            f"choose.days is {choose.days:g} but choose.time is {choose.time!r}; days go with "
            "time = 'nearest'"
        )
    low, high = select.min_days, select.max_days
    if choose.time == "nearest" and choose.days is not None:
        outside = (low is not None and choose.days < low) or (
            high is not None and choose.days > high
        )
        if outside:
            problems.append(
                f"choose.days is {choose.days:g}, outside select.min_days and select.max_days"
            )
    return problems


def _group_problems(select: Selection, model: Model, kind: str) -> list[str]:
    problems = []
    if model.group_order and not model.group_by:
        problems.append("model.group_order: there are no groups; name the moderator in group_by")
    allowed: Sequence[str] = getattr(select, model.group_by, ()) if model.group_by else ()
    if len(allowed) == 1 and model.group_by not in ("adhd_subtype", "prior_treatment_resistance"):
        problems.append(
            f"model.group_by is {model.group_by!r} but select.{model.group_by} lets only "
            f"{allowed[0]!r} in: a moderator with one level compares nothing; name at least two "
            "levels or drop group_by"
        )
    if model.over_time and model.group_by != "time_class":
        problems.append(
            f"model.over_time needs group_by = 'time_class'; group_by is {model.group_by!r}"
        )
    if model.over_time and kind != "pooled":
        problems.append(f"model.over_time is for kind = 'pooled'; kind is {kind!r}")
    return problems


def _kind_problems(
    raw: Mapping[str, Any],
    written: Mapping[str, Any],
    model: Model,
    kind: str,
    known: Mapping[str, Sequence[str]],
) -> list[str]:
    problems = []
    if "reference" in written and kind != "network":
        problems.append("model.reference: only an analysis with kind = 'network' has a reference")
    treatments = known.get("intervention")
    if kind == "network" and treatments is not None:
        name = model.reference.removesuffix("_added")
        if name not in treatments:
            problems.append(
                f"model.reference: {model.reference!r} is not known"
                f"{did_you_mean(model.reference, treatments)}"
            )
    if "rho" in written and not model.over_time:
        problems.append("model.rho is the correlation of over_time = true, which is not set")
    if raw.get("regressions") and kind != "pooled":
        problems.append(f"[regressions]: regressions are for kind = 'pooled'; kind is {kind!r}")
    if raw.get("next_trial") and kind not in ("pooled", "within_trial"):
        problems.append(
            f"[next_trial]: a next trial is for kind = 'pooled' or 'within_trial'; kind is {kind!r}"
        )
    if raw.get("next_trial") and kind == "within_trial" and model.measure in COUNTED:
        problems.append(
            "[next_trial]: of a difference within trials only for SMD and MD; this analysis is "
            f"about {model.measure}"
        )
    return problems
