"""Tables that stand beside a result: times, doses, groups, league, influence, subsets.

Rows of formatted text from results; computes nothing.
"""

from __future__ import annotations

from typing import Any

from ketameta.analyses.dose_response import dose_label
from ketameta.analyses.network import treatment_label
from ketameta.analyses.run import group_label
from ketameta.analyses.words import agreement_words, interval_words, words_of, written
from ketameta.evidence.project import NOTHING_DECLARED, Project
from ketameta.formatting import format_number, format_p, format_percent, plural
from ketameta.measures import Measure

#: Below this many degrees of freedom a Satterthwaite interval is not to be relied on (Tipton 2015).
LEAST_DF = 4.0


def over_time_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """Return one row per time class: effects, mean and change from the reference."""
    found = result["over_time"]
    if found is None or found["withheld"]:
        return []
    measure = Measure(result["measure"])
    changes = {item["name"]: item for item in found["changes"]}
    rows = []
    for item in found["means"]:
        change = changes.get(item["name"])
        rows.append(
            {
                "time": words_of(item["name"]),
                "effects": str(item["effects"]),
                "mean": _shown(item, measure),
                "change": "reference" if change is None else _shown(change, measure),
                "df": format_number(item["df"], 1),
                "reliable": "yes" if item["df"] >= LEAST_DF else "no, too few trials",
            }
        )
    return rows


def rho_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """Return the last change under each assumed correlation."""
    found = result["over_time"]
    if found is None:
        return []
    measure = Measure(result["measure"])
    return [
        {"rho": format_number(item["rho"], 1), "change": _shown(item, measure)}
        for item in found["sensitivity"]
    ]


def within_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """Return the late-minus-early difference of each trial measured at both times, and the pool."""
    found = result["over_time"]
    within = None if found is None else found["within_trials"]
    if within is None:
        return []
    measure = Measure(result["measure"])
    rows = [{"label": row["label"], "change": _shown(row, measure)} for row in within["rows"]]
    return [*rows, {"label": "Together", "change": _shown(within, measure)}]


def _shown(item: dict[str, Any], measure: Measure) -> str:
    interval = interval_words(item["ci_low"], item["ci_high"], measure)
    return f"{written(item['estimate'], measure)} ({interval})"


def influence_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """Return one row per trial: its deletion diagnostics and the estimate without it."""
    found = result["influence"]
    if found is None:
        return []
    measure = Measure(result["measure"])
    without = {item["study_id"]: item for item in result["leave_one_out"]["rows"]}
    return [
        {
            "label": item["label"],
            "weight": format_percent(item["weight"]),
            "without": _shown(without[item["study_id"]], measure),
            "rstudent": format_number(item["rstudent"]),
            "cooks_distance": format_number(item["cooks_distance"]),
            "dffits": format_number(item["dffits"]),
            "influential": "; ".join(item["reasons"]) if item["influential"] else "",
        }
        for item in found["rows"]
    ]


def network_table(result: dict[str, Any]) -> list[dict[str, str]]:
    """Return one row per treatment of a network, best first."""
    net = result["network"]
    if net is None or net["withheld"]:
        return []
    measure = Measure(result["measure"])
    effects = {item["treatment"]: item for item in net["effects"]}
    splits = {(item["treatment"], item["control"]): item for item in net["splits"]}
    rows = []
    for item in net["ranking"]:
        effect = effects.get(item["treatment"])
        split = splits.get((item["treatment"], net["reference"]))
        rows.append(
            {
                "treatment": treatment_label(item["treatment"]),
                "direct": "" if effect is None else str(effect["k_direct"]),
                "effect": "reference" if effect is None else _shown(effect, measure),
                "p_score": format_number(item["p_score"]),
                "split": _split_words(split),
            }
        )
    return rows


def _split_words(split: dict[str, Any] | None) -> str:
    """Return whether direct and indirect evidence disagree."""
    if split is None or split["p_value"] is None:
        return "only one kind of evidence"
    return f"difference {format_number(split['difference'])}, {format_p(split['p_value'])}"


def transitivity_rows(
    result: dict[str, Any], project: Project = NOTHING_DECLARED
) -> list[dict[str, Any]]:
    """Return who was studied, per comparison of a network."""
    net = result["network"]
    if net is None or net["withheld"]:
        return []
    return [
        {
            "comparison": f"{treatment_label(row['treatment'])} v {words_of(row['control'])}",
            "k": str(row["k"]),
            "days": format_number(row["median_days"], 0),
            "facts": [
                ", ".join(f"{words_of(key)} {count}" for key, count in row[fact].items())
                for fact in ("age_group", *project.categories)
            ],
        }
        for row in net["transitivity"]
    ]


_SMALL_STUDY_NAMES = {
    "egger": "The regression test",
    "trim_and_fill": "Trim and fill",
    "pet_peese": "PET-PEESE",
    "selection": "The selection model",
}


def small_study_words(result: dict[str, Any]) -> list[str]:
    """Return what small-study methods say, one sentence each, or why they are withheld."""
    found = result["small_study"]
    if found is None:
        return []
    if found["withheld"]:
        return [f"Small-study methods are withheld: {found['withheld']}"]
    measure = Measure(result["measure"])
    egger, trim, pet = found["egger"], found["trim_and_fill"], found["pet_peese"]
    words = []
    if not egger["withheld"]:
        words.append(
            f"Regression test for funnel asymmetry: t = {format_number(egger['statistic'])} on "
            f"{egger['df']} df, {format_p(egger['p_value'])}."
        )
    if not trim["withheld"]:
        words.append(
            f"Trim and fill adds {plural(trim['missing'], 'trial')} on the {trim['side']}; the "
            f"estimate becomes {_shown(trim, measure)}."
        )
    if not pet["withheld"]:
        chosen = pet[pet["chosen"].lower()]
        words.append(
            f"{pet['chosen']} puts the effect of a very large trial at {_shown(chosen, measure)}."
        )
    selection = found["selection"]
    if not selection["withheld"]:
        words.append(
            "A selection model, in which trials that are not significant in one direction are "
            f"published less often, gives {_shown(selection, measure)} "
            f"({plural(selection['maxima'], 'maximum', 'maxima')} of the likelihood found, the "
            "highest taken)."
        )
    words += [
        f"{name} is withheld: {found[key]['withheld']}."
        for key, name in _SMALL_STUDY_NAMES.items()
        if found[key]["withheld"]
    ]
    return [*words, "None of these can tell selective publication from real differences."]


def gosh_words(result: dict[str, Any]) -> str:
    """Return what the subsets of trials show."""
    found = result["gosh"]
    if found is None:
        return ""
    measure = Measure(result["measure"])
    quantiles = dict(zip(found["shares"], found["quantiles"], strict=True))
    middle = interval_words(quantiles[0.025], quantiles[0.975], measure)
    how = "every subset" if found["exact"] else f"{plural(found['subsets'], 'random subset')}"
    return (
        f"In {how} of the trials the pooled estimate runs from "
        f"{interval_words(quantiles[0.0], quantiles[1.0], measure)}; the middle "
        f"{format_percent(0.95)} from {middle}."
    )


def dose_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """Return one row per dose: trials, and the effect against no dose by each curve."""
    found = result["dose_response"]
    if found is None or found["withheld"]:
        return []
    measure = Measure(result["measure"])
    return [
        {
            "dose": dose_label(dose, found["unit"]),
            "trials": str(len({p["study_id"] for p in found["points"] if p["dose"] == dose})),
            "linear": _at(found["linear"], dose, measure),
            "spline": _at(found["spline"], dose, measure),
        }
        for dose in found["doses"]
    ]


def _at(curve: dict[str, Any], dose: float, measure: Measure) -> str:
    """Return the effect of a dose on one curve, or why there is none."""
    if curve["withheld"]:
        return "withheld"
    item = next(item for item in curve["at_doses"] if item["dose"] == dose)
    interval = interval_words(item["ci_low"], item["ci_high"], measure)
    return f"{written(item['estimate'], measure)} ({interval})"


def dose_check_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """Return the slope of the line under other choices and without each trial; main first."""
    found = result["dose_response"]
    if found is None or found["withheld"] or found["checks"]["withheld"]:
        return []
    measure = Measure(result["measure"])
    checks = found["checks"]
    rows = [_check("The line shown above", found["linear"]["k"], found["linear"]["slope"], measure)]
    rows += [_check(item["label"], item["k"], item, measure) for item in checks["companions"]]
    left = checks["leave_one_out"]
    rows += [
        _check(
            f"Without {item['label']}{', one slope for all' if item['method'] == 'common' else ''}",
            item["k"],
            item,
            measure,
        )
        for item in (left["rows"] if left else [])
    ]
    return rows


def _check(label: str, k: int, slope: dict[str, Any], measure: Measure) -> dict[str, str]:
    interval = interval_words(slope["ci_low"], slope["ci_high"], measure)
    shown = f"{written(slope['estimate'], measure)} ({interval})"
    return {"label": label, "k": str(k), "shown": shown}


def two_stage_words(result: dict[str, Any]) -> str:
    """Return how a slope per trial, pooled by another program, agrees with the one stage."""
    found = result["dose_response"]
    if found is None or found["withheld"]:
        return ""
    stages = found["checks"]["two_stage"]
    if stages is None:
        return ""
    measure = Measure(result["measure"])
    slopes = "; ".join(
        f"{item['label']} {written(item['estimate'], measure)}" for item in stages["slopes"]
    )
    return (
        f"In two stages, a slope per trial ({slopes}) and their pool by {stages['engine']} "
        f"{stages['version']}: the pool {agreement_words(stages['agrees_to'])} of a standard "
        "error with the line in one stage."
    )


#: Facts of a group, in the order of the columns, with their headings.
FACTS = (
    ("route", "Route"),
    ("regimen", "Regimen"),
    ("comparator", "Comparator"),
    ("blinding", "Blinding"),
    ("design", "Design"),
    ("age_group", "Age"),
)


def group_table(
    result: dict[str, Any], project: Project = NOTHING_DECLARED
) -> dict[str, Any] | None:
    """Return what differs between the groups and how each trial defines them.

    Returns
    -------
    dict or None
        ``columns`` (headings), ``rows`` (``group, k, days, cells``) and ``definitions`` (``group,
        study, definition``); a fact that is the same in all trials is left out of the columns and
        told in ``same``. ``None`` where the groups are not kinds of people.
    """
    found = result.get("group_facts")
    if not found:
        return None
    shown = [(key, label) for key, label in FACTS if _differs(found, key)]
    return {
        "columns": [label for _, label in shown],
        "rows": [
            {
                "group": group_label(entry["key"], project),
                "k": str(entry["k"]),
                "days": format_number(entry["median_days"], 0),
                "cells": [_words(entry[key]) for key, _ in shown],
            }
            for entry in found
        ],
        "same": "; ".join(
            f"{label.lower()} {words_of(next(iter(found[0][key])))}"
            for key, label in FACTS
            if (key, label) not in shown
        ),
        "definitions": [
            {
                "group": group_label(entry["key"], project),
                "study": item["label"],
                "definition": item["definition"],
            }
            for entry in found
            for item in entry["definitions"]
        ],
    }


def _differs(found: list[dict[str, Any]], key: str) -> bool:
    return len({word for entry in found for word in entry[key]}) > 1


def _words(counts: dict[str, int]) -> str:
    return "; ".join(f"{words_of(word)} {count}" for word, count in counts.items())


def league_table(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return the league table, or nothing where there is no network.

    Returns
    -------
    dict or None
        ``columns`` (labels, best first) and ``rows`` of ``treatment`` and ``cells``: for each
        treatment that ranks better, this row's treatment against it (``text``, ``direct``: whether
        a trial compares the two).
    """
    net = result["network"]
    if net is None or net["withheld"]:
        return None
    measure = Measure(result["measure"])
    pairs = {}
    for item in net["league"]:
        pairs[item["treatment"], item["control"]] = item
        pairs[item["control"], item["treatment"]] = _backwards(item)
    order = [item["treatment"] for item in net["ranking"]]
    return {
        "columns": [treatment_label(name) for name in order[:-1]],
        "rows": [
            {
                "treatment": treatment_label(name),
                "cells": [
                    {
                        "text": _cell(pairs[name, other], measure),
                        "direct": pairs[name, other]["k_direct"] > 0,
                    }
                    for other in order[:place]
                ],
            }
            for place, name in enumerate(order)
            if place
        ],
    }


def league_rows(result: dict[str, Any]) -> list[list[Any]]:
    """Return every pair once as published, for a file."""
    net = result["network"]
    if net is None or net["withheld"]:
        return []
    columns = ("treatment", "control", "estimate", "se", "ci_low", "ci_high", "pi_low", "pi_high",
               "k_direct")  # fmt: skip
    return [
        [result["name"], result["measure"], *(item[name] for name in columns)]
        for item in net["league"]
    ]


def _backwards(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "estimate": -item["estimate"],
        "ci_low": -item["ci_high"],
        "ci_high": -item["ci_low"],
        "k_direct": item["k_direct"],
    }


def _cell(item: dict[str, Any], measure: Measure) -> str:
    interval = interval_words(item["ci_low"], item["ci_high"], measure)
    return f"{written(item['estimate'], measure)} ({interval})"
