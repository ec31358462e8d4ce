"""Effects at several times of the same trials, and what else differs between their groups.

A room of its own because its model joins times of one trial, which no other analysis does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ketameta.analyses.parts import GroupFacts, OverTime, TimeMean, WithinRow, WithinTrials
from ketameta.analyses.result import StudyRow
from ketameta.analyses.rows import difference, effects_of, row_interval
from ketameta.errors import KetametaError, NotEstimableError
from ketameta.models.dependent.che import che, che_sensitivity
from ketameta.models.dependent.robust import robust
from ketameta.models.pooling import pool
from ketameta.models.results import plain

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec, Model
    from ketameta.evidence.derive import Effect
    from ketameta.evidence.tables import Evidence


#: Within-trial correlations tried beside the declared one.
RHOS = (0.0, 0.2, 0.4, 0.6, 0.8)
_MIN_STUDIES = 3


def over_time(spec: AnalysisSpec, rows: list[StudyRow]) -> OverTime | None:
    """Return the effect per time class from one model, and how it changes; None if not asked for.

    ``rows`` are one per study and time class (``group``). Changes are from the reference class,
    within the same model; ``within_trials`` pools the last change of trials that have both, under
    the same correlation.

    Notes
    -----
    Correlated-and-hierarchical working model (Pustejovsky and Tipton 2022) with CR2 standard errors
    and Satterthwaite degrees of freedom.
    """
    if not spec.model.over_time:
        return None
    found = {row["group"] for row in rows}
    listed = [name for name in spec.model.group_order if name in found]
    # A class that is not in the declared order has its own mean as well, after the others.
    classes = [*listed, *sorted(found - set(listed))]
    reference = _reference(classes)
    head: OverTime = {
        "withheld": "",
        "rho": spec.model.rho,
        "classes": classes,
        "reference": reference,
    }
    try:
        return {**head, **_fits(spec, rows, classes, reference)}
    except KetametaError as error:
        return {**head, "means": [], "changes": [], "sensitivity": [], "within_trials": None,
                "withheld": str(error)}  # fmt: skip


def _reference(classes: list[str]) -> str:
    """Return the class others are compared with: 24 hours where present, else the first."""
    return "24_hours" if "24_hours" in classes else (classes[0] if classes else "")


def _fits(spec: AnalysisSpec, rows: list[StudyRow], classes: list[str], reference: str) -> OverTime:
    estimates, variances = effects_of(rows)
    studies = [row["study_id"] for row in rows]
    member = np.array([[float(row["group"] == name) for name in classes] for row in rows])
    level = spec.model.level
    model = partial(
        che, estimates, variances, studies, None,
        rho=spec.model.rho, level=level, variance_intervals=False, intercept=False,
    )  # fmt: skip
    means = model(moderators=member, names=classes)
    others = [name for name in classes if name != reference]
    changes = member.copy()
    changes[:, classes.index(reference)] = 1.0
    order = [reference, *others]
    changes = changes[:, [classes.index(name) for name in order]]
    compared = model(moderators=changes, names=order)
    last = others[-1] if others else ""
    sensitivity = (
        che_sensitivity(
            estimates, variances, studies, None, changes, order,
            rhos=RHOS, term=last, intercept=False, level=level,
        )
        if last
        else None
    )  # fmt: skip
    sizes = {name: int(member[:, place].sum()) for place, name in enumerate(classes)}
    return plain(
        {
            "withheld": "",
            "effects": len(rows),
            "studies": len(set(studies)),
            "sigma2_study": means.sigma2_study,
            "sigma2_effect": means.sigma2_effect,
            "means": [{**row, "effects": sizes[row["name"]]} for row in _table(robust(means))],
            "changes": [row for row in _table(robust(compared)) if row["name"] != reference],
            "sensitivity": plain(sensitivity.tidy().to_dict("records")) if sensitivity else [],
            "within_trials": _within_trials(spec, rows, last, reference),
        }
    )


def _table(fit: Any) -> list[TimeMean]:
    """Return the coefficients of a cluster-robust fit, one entry each; all or none."""
    table = fit.coefficients
    if not np.isfinite(table.se).all():
        raise NotEstimableError(fit.caveats[0].message)
    columns = ("estimate", "se", "df", "p_value", "ci_low", "ci_high")
    return [
        plain({"name": name, **{column: getattr(table, column)[place] for column in columns}})
        for place, name in enumerate(table.names)
    ]


def _within_trials(
    spec: AnalysisSpec, rows: list[StudyRow], last: str, reference: str
) -> WithinTrials | None:
    """Return the pooled change within trials measured at both times, and its rows."""
    by_study: dict[str, dict[str, StudyRow]] = {}
    for row in rows:
        by_study.setdefault(row["study_id"], {})[row["group"]] = row
    pairs = [(p[last], p[reference]) for p in by_study.values() if last in p and reference in p]
    entries = [_difference(late, early, spec.model) for late, early in pairs]
    if not entries:
        return None
    fit = pool(
        [entry["estimate"] for entry in entries],
        [entry["se"] ** 2 for entry in entries],
        spec.model.tau2_method,
        spec.model.ci_method,
        spec.model.level,
        [entry["label"] for entry in entries],
        spec.model.measure,
    )
    return {
        "k": fit.k,
        "estimate": fit.estimate,
        "ci_low": fit.ci_low,
        "ci_high": fit.ci_high,
        "tau2": fit.tau2,
        "rows": entries,
        "enough": fit.k >= _MIN_STUDIES,
    }


def _difference(late: StudyRow, early: StudyRow, model: Model) -> WithinRow:
    """Return a trial's late minus early effect; the same people, so the errors are correlated."""
    estimate = difference(late["estimate"], early["estimate"])
    variance = late["variance"] + early["variance"] - 2 * model.rho * late["se"] * early["se"]
    se = float(np.sqrt(variance))
    return cast(
        "WithinRow",
        {
            "study_id": late["study_id"],
            "label": late["label"],
            "estimate": estimate,
            "se": se,
            **row_interval(estimate, se, model.level),
        },
    )


#: Facts counted in trials: the key, and the column of the effects.
_COUNTED = (
    ("route", "administration"),
    ("comparator", "comparator"),
    ("blinding", "blinding"),
    ("design", "design"),
    ("age_group", "age_group"),
)


def group_facts(
    spec: AnalysisSpec, used: Sequence[Effect], evidence: Evidence
) -> list[GroupFacts] | None:
    """Return what else differs between the groups of people that an analysis compares.

    ``None`` where the groups are not kinds of people. Facts are counts of trials by word;
    ``definitions`` are what each trial asked of earlier treatment, where that is the moderator.
    """
    name = spec.model.group_by
    categories = spec.project.categories
    if name not in (*categories, "diagnosis") or not used:
        return None
    told = categories[name].definition if name in categories else ""
    regimens = {(row["study_id"], row["arm_id"]): row["schedule"] for row in evidence.rows("arms")}
    groups: dict[str, list[Effect]] = {}
    for row in used:
        groups.setdefault(row["group"], []).append(row)
    if spec.kind == "within_trial":  # only trials that have both groups are compared
        pair = spec.model.group_order[:2]
        both = set.intersection(*({r["study_id"] for r in groups.get(key, ())} for key in pair))
        groups = {k: [r for r in groups.get(k, ()) if r["study_id"] in both] for k in pair}
        groups = {key: rows for key, rows in groups.items() if rows}
    order = [key for key in spec.model.group_order if key in groups]
    entries: list[GroupFacts] = []
    for key in [*order, *(key for key in sorted(groups) if key not in order)]:
        rows = groups[key]
        first = {row["study_id"]: row for row in reversed(rows)}
        days = [row["time_days"] for row in first.values() if not math.isnan(row["time_days"])]
        entries.append(
            cast(
                "GroupFacts",
                {
                    "key": key,
                    "k": len(first),
                    "median_days": median(days) if days else None,
                    **{
                        fact: _counted({(row["study_id"], row.get(column)) for row in rows})
                        for fact, column in _COUNTED
                    },
                    "regimen": _counted(
                        {(r["study_id"], regimens.get((r["study_id"], r["arm_id"]))) for r in rows}
                    ),
                    "definitions": [
                        {
                            "study_id": study,
                            "label": spec.project.study_label(study),
                            "definition": _text(evidence.facts[study].get(told)) or "not stated",
                        }
                        for study in sorted(first)
                    ]
                    if told
                    else [],
                },
            )
        )
    return entries


def _text(value: Any) -> str:
    return str(value) if value and value == value else ""


def _counted(pairs: set[tuple[str, Any]]) -> dict[str, int]:
    """Return how many trials have each word, the most frequent first."""
    counts = Counter(_text(word) or "not reported" for _, word in pairs)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
