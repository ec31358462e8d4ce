"""From selected effects to the rows of a model: one per study and group, arms joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ketameta.analyses.parts import part
from ketameta.analyses.result import StudyRow
from ketameta.evidence.project import NOTHING_DECLARED, Project
from ketameta.formatting import plural
from ketameta.measures import Measure
from ketameta.models.dependent.sampling_covariance import shared_arm_covariance
from ketameta.models.intervals import critical_value
from ketameta.models.pooling import pool

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.derive import Effect

#: Condition number beyond which a covariance matrix has lost half of its digits to its inverse (a
#: closed triangle of comparisons has none).
SINGULAR = 1e8
#: Correlations are then made smaller by this share for the weights; the variance keeps them.
SHRINKAGE = 1e-3


@dataclass(frozen=True, slots=True)
class JoinedEffect:
    """The weighted mean of a study's correlated effects.

    Attributes
    ----------
    estimate, variance : float
    weights : tuple of float
        Share of each effect.
    """

    estimate: float
    variance: float
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StudyEffects:
    """Effects of one study, one entry per comparison.

    Attributes
    ----------
    people : tuple of str
        Who was compared (the subgroup); comparisons of different people share nobody.
    treatment, control : tuple of str
        Arms.
    estimates, variances : ndarray of shape (m,)
        On the analysis scale.
    n_treatment, n_control, events_treatment, events_control : ndarray of shape (m,)
        NaN where not known.
    """

    people: tuple[str, ...]
    treatment: tuple[str, ...]
    control: tuple[str, ...]
    estimates: np.ndarray
    variances: np.ndarray
    n_treatment: np.ndarray
    n_control: np.ndarray
    events_treatment: np.ndarray
    events_control: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Effect]) -> StudyEffects:
        """Return the effects of selected rows of one study."""
        return cls(
            tuple(f"{row['study_id']}|{row['subgroup']}" for row in rows),
            tuple(str(row["arm_id"]) for row in rows),
            tuple(str(row["comparator_arm_id"]) for row in rows),
            *_columns(rows, "estimate", "variance"),
            *_columns(rows, "n_treatment", "n_control", "events_treatment", "events_control"),
        )


def study_covariance(measure: Measure, effects: StudyEffects) -> np.ndarray:
    """Return the covariance matrix of a study's effects, shape (m, m).

    Notes
    -----
    Exact where arm sizes (and counts) are known. Where only the standard error of a difference is
    known, the arms are taken to have equal spread; where sizes are missing too, equal sizes, which
    gives a correlation of one half. Changes without a control (an empty name) share nobody.
    """
    sizes = _arm_values(effects, effects.n_treatment, effects.n_control)
    known = bool(np.isfinite(sizes[0]).all() and np.isfinite(sizes[1]).all())
    n_treatment, n_control = sizes if known else (np.ones_like(sizes[0]), np.ones_like(sizes[1]))
    counted = known and bool(
        np.isfinite(effects.events_treatment).all() and np.isfinite(effects.events_control).all()
    )
    ones = np.ones(len(effects.estimates))
    kind = "MD"
    columns: Any = {"sd_treatment": ones, "sd_control": ones}
    if measure is Measure.SMD and known:
        kind, columns = "SMD", {"estimates": effects.estimates}
    elif (
        measure in {Measure.OR, Measure.RR, Measure.RD} and counted and not _flat(measure, effects)
    ):
        events = _arm_values(effects, effects.events_treatment, effects.events_control)
        kind = str(measure)
        columns = {"events_treatment": events[0], "events_control": events[1]}
    covariance = shared_arm_covariance(
        kind,
        effects.people,
        effects.treatment,
        # Without a control, each arm is compared with its own people before.
        [c or f"before {t}" for t, c in zip(effects.treatment, effects.control, strict=True)],
        n_treatment=n_treatment,
        n_control=n_control,
        variances=effects.variances,
        **columns,
    )
    return np.array(covariance.matrix)


def _flat(measure: Measure, effects: StudyEffects) -> bool:
    """Return whether a risk difference stands between two arms without any variation."""
    if measure is not Measure.RD:
        return False
    flat = np.ones(len(effects.estimates), dtype=bool)
    for events, n in (
        (effects.events_treatment, effects.n_treatment),
        (effects.events_control, effects.n_control),
    ):
        flat &= (events == 0) | (events == n)
    return bool(flat.any())


def _arm_values(
    effects: StudyEffects, treatment: np.ndarray, control: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return one value per arm (the largest where comparisons print different ones)."""
    keys = [
        [*zip(effects.people, effects.treatment, strict=True)],
        [*zip(effects.people, effects.control, strict=True)],
    ]
    largest: dict[tuple[str, str], float] = {}
    for names, values in zip(keys, (treatment, control), strict=True):
        for name, value in zip(names, values, strict=True):
            largest[name] = max(
                largest.get(name, -np.inf), value if np.isfinite(value) else -np.inf
            )
    found = [[largest[name] for name in names] for names in keys]
    cleaned = [np.where(np.isfinite(values), values, np.nan) for values in found]
    return cleaned[0], cleaned[1]


def join_effects(estimates: np.ndarray, covariance: np.ndarray) -> JoinedEffect:
    """Return the generalised-least-squares mean of correlated effects of one study.

    Notes
    -----
    ``w = V^-1 1 / (1' V^-1 1)``. Weights that would turn negative (a tightly correlated pair with
    unequal variances) give way to equal weights, which need no correlation to be right.
    """
    ones = np.ones(len(estimates))
    inverted = covariance
    if np.linalg.cond(covariance) > SINGULAR:
        diagonal = np.diag(np.diag(covariance))
        inverted = (1 - SHRINKAGE) * covariance + SHRINKAGE * diagonal
    solved = np.linalg.solve(inverted, ones)
    weights = solved / solved.sum()
    if (weights < 0).any():
        weights = ones / len(ones)
    return JoinedEffect(
        estimate=float(weights @ estimates),
        variance=float(weights @ covariance @ weights),
        weights=tuple(float(weight) for weight in weights),
    )


#: Share of a number below which a difference is rounding: processors differ in the last digits.
_ROUNDING = 1e-12


def study_rows(
    used: Iterable[Effect],
    measure: Measure,
    unit: Literal["study_group", "study_id"] = "study_group",
    *,
    level: float = 0.95,
    project: Project = NOTHING_DECLARED,
) -> list[StudyRow]:
    """Return one row per study and group, in order of year and name.

    Parameters
    ----------
    used : iterable of Effect
        Selected effects.
    measure : Measure
    unit : {"study_group", "study_id"}
        Key that says which effects belong together.
    level : float
        Of the interval of each row.
    project : Project
        Whose moderators and labels of studies the rows carry.

    Returns
    -------
    list of dict
        Keys of a forest-plot row (``study_id``, ``label``, ``n_treatment`` ... ``se``) and
        of its provenance (``effect_ids``, ``source``, ``route``, ``doi`` ...).
    """
    together: dict[str, list[Effect]] = {}
    for effect in used:
        together.setdefault(effect[unit], []).append(effect)
    rows = [_study_row(effects, measure, level, project) for _, effects in sorted(together.items())]
    rows.sort(key=lambda row: (row["year"] or 9999, row["study_id"], row["group"]))
    return rows


#: Why levels that share trials are not tested against each other.
SHARED = (
    "Trials stand in several levels, so that the levels are not independent; the difference within "
    "trials is a separate analysis."
)


def in_several_levels(rows: Sequence[StudyRow], levels: Sequence[str]) -> int:
    """Return how many trials stand in more than one of the levels.

    Parameters
    ----------
    rows : sequence of mapping
        With ``study_id`` and ``group``.
    levels : sequence of str
    """
    pairs = {(row["study_id"], row["group"]) for row in rows if row["group"] in levels}
    times = Counter(study for study, _ in pairs)
    return sum(count > 1 for count in times.values())


def effects_of(rows: Sequence[StudyRow]) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates and variances of rows, each of shape (k,)."""
    estimates, variances = _columns(rows, "estimate", "variance")
    return estimates, variances


def _columns(rows: Sequence[StudyRow | Effect], *names: str) -> Iterator[np.ndarray]:
    """Yield columns of rows, each of shape (k,)."""
    return (np.array([row.get(name) for row in rows], dtype=float) for name in names)


def pooled(spec: AnalysisSpec, rows: Sequence[StudyRow], **changes: str) -> Any:
    """Return the pool of rows under the main model of an analysis, some choices changed."""
    model = spec.model
    return pool(
        *effects_of(rows),
        level=model.level,
        labels=[row["label"] for row in rows],
        measure=model.measure,
        looked_for=spec.looked_for,
        repeated_labels="allow",
        **{"tau2_method": model.tau2_method, "ci_method": model.ci_method, **changes},
    )


def difference(one: float, two: float) -> float:
    """Return ``one - two``: nought, and not the rounding of either, where they are equal."""
    found = one - two
    return found if abs(found) > _ROUNDING * max(abs(one), abs(two)) else 0.0


def row_interval(estimate: float, se: float, level: float) -> dict[str, float]:
    """Return the normal interval of one study's effect: ``ci_low`` and ``ci_high``."""
    reach = critical_value(level, None) * se
    return {"ci_low": estimate - reach, "ci_high": estimate + reach}


def _study_row(
    records: Sequence[Effect],
    measure: Measure,
    level: float,
    project: Project,
) -> StudyRow:
    """Return the row of one study (and group), its correlated effects joined."""
    first = records[0]
    if len(records) == 1:
        estimate, variance = float(first["estimate"]), float(first["variance"])
        note = ""
    else:
        estimate, variance = _join(records, measure)
        arms = plural(len(records), "comparison")
        note = f"{arms} that share an arm, joined with their covariance"
    se = float(np.sqrt(variance))
    row = part(
        StudyRow,
        row_interval(estimate, se, level),
        _totals(records),
        first,
        year=int(first["year"]) if _number(first["year"]) else None,
        effect_ids=[record["effect_id"] for record in records],
        intervention=" / ".join(dict.fromkeys(r["intervention"] for r in records)),
        comparator=" / ".join(dict.fromkeys(r["comparator"] for r in records)),
        arms=[f"{r['arm_id']} v {r['comparator_arm_id']}".strip() for r in records],
        instrument=" / ".join(dict.fromkeys(r["instrument"] for r in records)),
        estimate=estimate,
        variance=variance,
        se=se,
        route="; ".join(dict.fromkeys(r["route"] for r in records)),
        assumption="; ".join(dict.fromkeys(r["assumption"] for r in records if r["assumption"])),
        source=sorted({text for r in records for text in str(r["source"]).split(";") if text}),
        note=note,
        label=project.study_label(first["study_id"]),
    )
    return cast("StudyRow", {**row, **{key: first.get(key) for key in project.categories}})


def difference_rows(
    rows: Sequence[StudyRow], first: str, second: str, *, level: float = 0.95
) -> list[StudyRow]:
    """Return, for each trial with both groups, the effect in the first minus that in the second.

    Parameters
    ----------
    rows : list of dict
        Rows of :func:`study_rows`.
    first, second : str
        Groups.
    level : float
        Of the interval of each row.

    Notes
    -----
    The groups are different people of one trial, so the variances add. Trials compare like with
    like: same drug, dose, instrument and time.
    """
    by_study: dict[str, dict[str, StudyRow]] = {}
    for row in rows:
        by_study.setdefault(row["study_id"], {})[row["group"]] = row
    found: list[StudyRow] = []
    for pair in by_study.values():
        if first not in pair or second not in pair:
            continue
        one, two = pair[first], pair[second]
        sizes = one["n_participants"], two["n_participants"]
        estimate = difference(one["estimate"], two["estimate"])
        variance = one["variance"] + two["variance"]
        se = float(np.sqrt(variance))
        assumed = dict.fromkeys(part for part in (one["assumption"], two["assumption"]) if part)
        found.append(
            cast(
                "StudyRow",
                {
                    **one,
                    **dict.fromkeys(_SIDES),
                    "group": "",
                    "subgroup": f"{first} minus {second}",
                    "n_treatment": sizes[0],
                    "n_control": sizes[1],
                    "n_participants": None if None in sizes else sum(filter(None, sizes)),
                    "estimate": estimate,
                    "variance": variance,
                    "se": se,
                    **row_interval(estimate, se, level),
                    "effect_ids": [*one["effect_ids"], *two["effect_ids"]],
                    "source": sorted({*one["source"], *two["source"]}),
                    "route": "; ".join(dict.fromkeys([one["route"], two["route"]])),
                    "assumption": "; ".join(assumed),
                    "note": "; ".join(dict.fromkeys(n for n in (one["note"], two["note"]) if n)),
                },
            )
        )
    return found


_SIDES = (
    *("events_treatment", "events_control", "mean_treatment", "sd_treatment"),
    *("mean_control", "sd_control"),
)


def _join(effects: Sequence[Effect], measure: Measure) -> tuple[float, float]:
    effects = _once_per_comparison(effects)
    found = StudyEffects.of(effects)
    joined = join_effects(found.estimates, study_covariance(measure, found))
    return joined.estimate, joined.variance


def _once_per_comparison(effects: Sequence[Effect]) -> list[Effect]:
    """Average effects of the same two arms (several times or tasks) as if perfectly correlated.

    The correlation of repeated measures is hardly ever printed; one is the cautious choice, under
    which averaging gains no precision: the standard error of the mean is the mean of the errors.
    """
    alike: dict[tuple[str, str, str], list[Effect]] = {}
    for row in effects:
        arms = (row["subgroup"], row["arm_id"], row["comparator_arm_id"])
        alike.setdefault(arms, []).append(row)
    found = []
    for rows in alike.values():
        row = rows[0].copy()
        if len(rows) > 1:
            row["estimate"] = float(np.mean([one["estimate"] for one in rows]))
            row["variance"] = float(np.mean([one["variance"] ** 0.5 for one in rows])) ** 2
        found.append(row)
    return found


def _totals(records: Sequence[Effect]) -> dict[str, float | None]:
    """Return people and events per side, each arm counted once; ``None`` where not known."""
    treatment = {(record["subgroup"], record["arm_id"]): record for record in records}
    control = {(record["subgroup"], record["comparator_arm_id"]): record for record in records}
    alone = len(records) == 1
    only = records[0]
    crossed = str(only["design"]).startswith("crossover")
    n_treatment = _total(treatment.values(), "n_treatment", same_people=crossed)
    n_control = _total(control.values(), "n_control", same_people=crossed)
    sizes = [n for n in (n_treatment, n_control) if n is not None]
    uncontrolled = not only["comparator_arm_id"]
    together = sum(sizes) if len(sizes) == 2 else None
    people = max(sizes) if (crossed or uncontrolled) and sizes else together
    return {
        "n_treatment": n_treatment,
        "n_control": n_control,
        "n_participants": people,
        "events_treatment": _total(treatment.values(), "events_treatment"),
        "events_control": _total(control.values(), "events_control"),
        **{
            key: _number(only.get(key)) if alone else None
            for key in ("mean_treatment", "sd_treatment", "mean_control", "sd_control")
        },
    }


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else None


def _total(records: Iterable[Effect], key: str, *, same_people: bool = False) -> int | None:
    """Return the sum over arms, or the largest arm where the same people are in every arm."""
    values = [_number(record.get(key)) for record in records]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return int(max(known) if same_people else sum(known))
