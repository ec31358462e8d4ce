"""The effect table: every effect size the extracted rows yield, and every row that yields none.

Reads evidence, writes frames. Nothing is dropped silently: a row of ``outcomes.csv`` or
``contrasts.csv`` ends in an effect or in the list of unused rows with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, cast

import numpy as np

from ketameta import effects as effect_sizes
from ketameta.evidence.contrast_effects import effects_of_contrasts, mean_differences
from ketameta.evidence.pairing import (
    EFFECT_COLUMNS,
    Assumptions,
    add_combined_arms,
    crossovers,
    directions,
    pair_arms,
    plain_key,
    resolve_arm_data,
    size_words,
    uncontrolled,
    unused_outcomes,
    with_source,
)
from ketameta.measures import Measure

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence.tables import Evidence

#: Word for the statistic of changes without a control in ``data_kind``.
WITHIN = "before_after"


class Effect(TypedDict, total=False):
    """One effect, or one unused row; what is not printed is NaN or an empty text.

    The last keys are of a selection: facts of the study (a project's categories are further keys),
    and why the effect is left, where it is.
    """

    effect_id: str
    study_id: str
    arm_id: str
    comparator_arm_id: str
    outcome: str
    instrument: str
    time_days: float
    subgroup: str
    analysis: str
    data_kind: str
    printed_as: str
    measure: str
    estimate: float
    variance: float
    n_treatment: float
    n_control: float
    mean_treatment: float
    sd_treatment: float
    mean_control: float
    sd_control: float
    events_treatment: float
    events_control: float
    route: str
    assumption: str
    source: str
    intervention: str
    drug_class: str
    dose: float
    dose_unit: str
    background_treatment: str
    comparator: str
    comparator_class: str
    code: str
    reason: str
    year: float
    access: str
    design: str
    blinding: str
    overlaps_with: str
    subgroup_keys: frozenset[str]
    time_class: str
    group: str
    study_group: str
    answers: str | None
    label: str
    diagnosis: str
    common_dose: float


class RowsByOutcome:
    """The rows of a table, found by their outcome; they must not be changed."""

    def __init__(self, columns: Mapping[str, list[Any]]) -> None:
        self._rows: dict[str, list[tuple[int, Effect]]] = {}
        for place, cells in enumerate(zip(*columns.values(), strict=True)):
            row = cast("Effect", dict(zip(columns, cells, strict=True)))
            self._rows.setdefault(row["outcome"], []).append((place, row))

    def on(self, outcomes: Iterable[str] | None = None) -> list[Effect]:
        """Return the rows on some outcomes, or all, in the order of the table."""
        names = self._rows if outcomes is None else dict.fromkeys(outcomes)
        found = [row for name in names for row in self._rows.get(name, ())]
        return [row for _, row in sorted(found, key=itemgetter(0))]


class ArmFacts(NamedTuple):
    """What an arm was given, and the arms that a joined one contains."""

    intervention: str
    drug_class: str
    contains: str


@dataclass(frozen=True)
class EffectTable:
    """Effects and unused rows.

    Attributes
    ----------
    effects : DataFrame
        One row per comparison, outcome, time, subgroup, kind of data and measure.
    unused : DataFrame
        ``study_id, arm_id, comparator_arm_id, outcome, instrument, time_days, subgroup,
        data_kind, source, code, reason``.
    arms : DataFrame
        The arms, with those joined from dose arms.
    plain : mapping of str to mapping
        The three by column: plain values, which are kept and read without pandas.
    """

    plain: Mapping[str, Mapping[str, list[Any]]]

    def __reduce__(self) -> tuple[Any, ...]:
        return EffectTable, (self.plain,)

    def __getattr__(self, name: str) -> pd.DataFrame:
        """Return a frame, made when it is first asked for."""
        if name not in _ORDERS:
            raise AttributeError(name)
        import pandas as pd

        return self.__dict__.setdefault(name, pd.DataFrame(self.plain[name]))

    @cached_property
    def rows(self) -> RowsByOutcome:
        """The effects by outcome."""
        return RowsByOutcome(self.plain["effects"])

    @cached_property
    def unused_rows(self) -> RowsByOutcome:
        """The unused rows by outcome."""
        return RowsByOutcome(self.plain["unused"])

    @cached_property
    def arm_facts(self) -> dict[tuple[str, str], ArmFacts]:
        """Facts of each arm, by study and arm."""
        names = ("study_id", "arm_id", "intervention", "drug_class", "contains_arms")
        rows = zip(*(self.plain["arms"][name] for name in names), strict=True)
        return {(study, arm): ArmFacts(*facts) for study, arm, *facts in rows}


def derive_effects(evidence: Evidence, assumptions: Assumptions | None = None) -> EffectTable:
    """Return every effect size the extracted rows yield.

    Parameters
    ----------
    evidence : Evidence
        Checked and corrected tables.
    assumptions : Assumptions, optional
        What may be assumed where sources are silent; nothing by default.
    """
    import pandas as pd

    assumed = assumptions or Assumptions()
    printed = with_source(evidence.outcomes).assign(assumed="")
    for size in assumed.arm_sizes:
        here = (
            (printed["study_id"] == size.study_id)
            & (printed["arm_id"] == size.arm_id)
            & (printed["subgroup"] == size.subgroup)
            & printed["n"].isna()
        )
        printed.loc[here, "n"] = float(size.n)
        printed.loc[here, "assumed"] = size_words(size)
    outcomes = _of_clusters(resolve_arm_data(printed), evidence)
    usable = outcomes[outcomes["problem"] == ""]
    rows, arms = add_combined_arms(usable, evidence.arms, crossovers(evidence))
    pairs = pair_arms(rows, arms, evidence.project.directness.drug_class)
    frames = _effects_of_pairs(pairs, evidence, assumed)
    within = _effects_within(usable, evidence, assumed)
    contrasts, contrasts_unused = effects_of_contrasts(
        evidence, assumed, mean_differences(outcomes)
    )
    parts = [frame for frame in (*frames, within, contrasts) if len(frame)]
    effects = (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*EFFECT_COLUMNS])
    )
    effects = _with_arm_facts(effects, arms)
    used = {place for sources in effects["source"] for place in str(sources).split(";")}
    left = unused_outcomes(outcomes, used, evidence, correlated=assumed.correlation is not None)
    unused = pd.concat([left, contrasts_unused], ignore_index=True)
    whole = {"effects": effects, "unused": unused, "arms": arms}
    return _table({name: frame.to_dict("list") for name, frame in whole.items()})


def concerned(evidence: Evidence, assumed: Assumptions) -> set[str]:
    """Return the trials that assumptions can concern: people compared with themselves, sizes."""
    sized = {size.study_id for size in assumed.arm_sizes}
    if assumed.correlation is None:
        return sized
    return {*crossovers(evidence), *uncontrolled(evidence), *sized}


def derive_again(
    evidence: Evidence,
    assumed: Assumptions,
    known: EffectTable,
    studies: Collection[str],
    without: EffectTable | None = None,
) -> EffectTable:
    """Return a known effect table in which some trials, which rest on no other, are derived anew.

    ``without`` are the effects without assumptions, where they are known: those of trials that
    assumptions do not concern. Trials that are not in ``evidence`` any more leave the table.
    """
    anew = {*studies}
    parts = [_of_studies(known, lambda study: study not in studies)]
    if without is not None:
        anew &= concerned(evidence, assumed)
        parts.append(_of_studies(without, lambda study: study in studies and study not in anew))
    if anew:
        part = evidence.where(lambda row: not row["study_id"] or row["study_id"] in anew)
        parts.append(derive_effects(part, assumed).plain)
    return _table(*parts)


def _of_studies(
    table: EffectTable, wanted: Callable[[str], bool]
) -> Mapping[str, Mapping[str, list[Any]]]:
    found = {}
    for name, columns in table.plain.items():
        places = [at for at, study in enumerate(columns["study_id"]) if wanted(study)]
        found[name] = {key: [cells[at] for at in places] for key, cells in columns.items()}
    return found


_ORDER = ["outcome", "instrument", "time_days", "subgroup", "data_kind", "measure", "analysis"]
#: The order of the rows of each part.
_ORDERS = {
    "effects": ["study_id", "arm_id", "comparator_arm_id", *_ORDER],
    "unused": ["study_id", "arm_id", *_ORDER[:-3], "source"],
    "arms": ["study_id"],
}


def _table(*parts: Mapping[str, Mapping[str, list[Any]]]) -> EffectTable:
    """Return the table of several, in order; a number that is missing stands first."""
    plain: dict[str, dict[str, list[Any]]] = {}
    for name, keys in _ORDERS.items():
        columns = {key: [cell for part in parts for cell in part[name][key]]
                   for key in parts[0][name]}  # fmt: skip
        ordered = [[cell if cell == cell else -math.inf for cell in columns[key]] for key in keys]
        ranks = [*zip(*ordered, strict=True)]
        places = sorted(range(len(ranks)), key=ranks.__getitem__)
        plain[name] = {key: [cells[at] for at in places] for key, cells in columns.items()}
    return EffectTable(plain)


def _of_clusters(outcomes: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """Return arm rows whose people count for as much as people who were randomised one by one.

    In a cluster trial, numbers of people and events are divided by ``1 + (m - 1) icc`` (Cochrane
    Handbook, 23.1.4); without the mean cluster size m and the intracluster correlation, a row can
    enter no effect.
    """
    if not any(row["design"] == "cluster_rct" for row in evidence.rows("studies")):
        return outcomes
    studies = evidence.studies.set_index("study_id")
    here = outcomes["study_id"].isin(studies.index[studies["design"] == "cluster_rct"])
    rows = outcomes.copy()
    inflation = 1 + (studies["cluster_size"] - 1) * studies["icc"]
    factor = rows["study_id"].map(inflation[~inflation.index.duplicated()]).where(here, 1.0)
    rows.loc[here & factor.isna() & (rows["problem"] == ""), "problem"] = "cluster_not_adjusted"
    known = here & factor.notna()
    for name in ("n_", "events_"):
        rows.loc[known, name] = rows.loc[known, name] / factor[known]
    rows.loc[known, "route"] += "+design_effect"
    return rows


def _effects_of_pairs(
    pairs: pd.DataFrame, evidence: Evidence, assumed: Assumptions
) -> list[pd.DataFrame]:
    """Return the effects of arm pairs: parallel scores, paired scores, parallel counts."""
    crossed = pairs["study_id"].isin(crossovers(evidence))
    is_event = pairs["statistic"] == "events"
    scores = pairs[~crossed & ~is_event].reset_index(drop=True)
    paired = pairs[crossed & ~is_event].reset_index(drop=True)
    counts = pairs[~crossed & is_event].reset_index(drop=True)
    correlation, guessed = _correlations(paired, evidence, assumed)
    return [
        effects_of_scores(scores, directions(scores["instrument"], evidence)),
        effects_of_paired_scores(
            paired, directions(paired["instrument"], evidence), correlation, guessed
        ),
        effects_of_counts(counts),
    ]


def _correlations(
    pairs: pd.DataFrame, evidence: Evidence, assumed: Assumptions
) -> tuple[np.ndarray, np.ndarray]:
    """Return the within-person correlation per pair and whether it is an assumption."""
    keys = ["study_id", "arm_id", "comparator_arm_id", "outcome", "instrument", "time_days"]
    contrasts = evidence.contrasts
    printed = {
        tuple(plain_key(row[key]) for key in keys): float(row["correlation"])
        for row in contrasts[contrasts["correlation"].abs() < 1].to_dict("records")
    }
    wanted = pairs.rename(columns={"arm_id_t": "arm_id", "arm_id_c": "comparator_arm_id"})
    fallback = np.nan if assumed.correlation is None else assumed.correlation
    found = [
        printed.get(tuple(plain_key(value) for value in row))
        for row in wanted[keys].itertuples(index=False)
    ]
    values = np.array([fallback if value is None else value for value in found], dtype=float)
    guessed = np.array([value is None for value in found], dtype=bool)
    return values, guessed


def _effects_within(usable: pd.DataFrame, evidence: Evidence, assumed: Assumptions) -> pd.DataFrame:
    """Return uncontrolled changes of single-arm studies, when a correlation is assumed."""
    import pandas as pd

    if assumed.correlation is None:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    alone = usable["study_id"].isin(uncontrolled(evidence))
    scores = alone & (usable["statistic"] != "events") & (usable["n_"] >= 3)
    rows = usable[scores].dropna(subset=["baseline_mean", "baseline_sd"]).reset_index(drop=True)
    effects = effects_of_changes_within(
        rows, directions(rows["instrument"], evidence), assumed.correlation
    )
    return effects.assign(data_kind=WITHIN)


def _with_arm_facts(effects: pd.DataFrame, arms: pd.DataFrame) -> pd.DataFrame:
    """Add intervention, class and background of both arms, and an identifier."""
    facts = arms.drop_duplicates(["study_id", "arm_id"])
    columns = ["intervention", "drug_class", "dose", "dose_unit", "route"]
    treatment = facts[["study_id", "arm_id", *columns, "background_treatment"]].rename(
        columns={"route": "administration"}
    )
    control = facts[["study_id", "arm_id", "intervention", "drug_class"]].rename(
        columns={
            "arm_id": "comparator_arm_id",
            "intervention": "comparator",
            "drug_class": "comparator_class",
        }
    )
    joined = effects.merge(treatment, on=["study_id", "arm_id"], how="left").merge(
        control, on=["study_id", "comparator_arm_id"], how="left"
    )
    words = [
        "printed_as",
        "intervention",
        "drug_class",
        "background_treatment",
        "comparator",
        "comparator_class",
    ]
    # A column in which nothing is printed holds missing numbers, not missing words.
    joined[words] = joined[words].astype(object).fillna("").astype("str")
    joined.insert(
        0, "effect_id", [_effect_id(cast("Effect", row)) for row in joined.to_dict("records")]
    )
    return joined


def _effect_id(row: Effect) -> str:
    """Return a stable name of an effect, unique in the table."""
    time = "" if np.isnan(row["time_days"]) else f"{row['time_days']:g}d"
    told = ", ".join(word for word in (row["printed_as"], row["analysis"]) if word)
    parts = (
        row["study_id"],
        f"{row['arm_id']}-{row['comparator_arm_id']}",
        row["outcome"],
        row["instrument"],
        time,
        row["subgroup"],
        row["data_kind"] + (f"({told})" if told else ""),
        row["measure"],
    )
    return "/".join(str(part) for part in parts)


def _frame(rows: pd.DataFrame, measure: Measure, size: Any, **extra: Any) -> pd.DataFrame:
    """Return effect rows for one measure."""
    import pandas as pd

    data = {
        "study_id": rows["study_id"],
        "arm_id": rows["arm_id_t"],
        "comparator_arm_id": rows["arm_id_c"],
        "outcome": rows["outcome"],
        "instrument": rows["instrument"],
        "time_days": rows["time_days"],
        "subgroup": rows["subgroup"],
        "analysis": rows["analysis"],
        "data_kind": rows["statistic"],
        "measure": str(measure),
        "estimate": np.asarray(size.estimate, dtype=float),
        "variance": np.asarray(size.variance, dtype=float),
        "n_treatment": rows["n_t"],
        "n_control": rows["n_c"],
        "assumption": _join_words(rows["assumed_t"], rows["assumed_c"]),
        "source": rows["source_t"] + ";" + rows["source_c"],
    }
    data.update(extra)
    return pd.DataFrame(data).reindex(columns=list(EFFECT_COLUMNS))


def _join_routes(first: pd.Series, second: pd.Series) -> list[str]:
    """Return the routes of both arms without repeats, joined by ``+``."""
    return [
        "+".join(dict.fromkeys([*str(one).split("+"), *str(two).split("+")]))
        for one, two in zip(first, second, strict=True)
    ]


def _join_words(*parts: Any) -> list[str]:
    """Return the assumptions of several sources row by row, joined by ``; ``."""
    return [
        "; ".join(word for word in dict.fromkeys(row) if word) for row in zip(*parts, strict=True)
    ]


def effects_of_scores(pairs: pd.DataFrame, direction: pd.Series) -> pd.DataFrame:
    """Return MD and SMD of parallel arms with mean, SD and n (pairs of :func:`pair_arms`).

    MD keeps the sign of the scale. SMD is turned so that negative favours the treatment; a scale
    without a better end yields no SMD.
    """
    import pandas as pd

    if pairs.empty:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    arguments = [pairs[f"{name}_{arm}"].to_numpy(float) for arm in "tc" for name in _MEAN_SD_N]
    sizes = (
        effect_sizes.mean_difference(*arguments),
        effect_sizes.standardized_mean_difference(*arguments),
    )
    return _both(pairs, direction, sizes, _join_routes(pairs["route_t"], pairs["route_c"]))


_MEAN_SD_N = ("mean", "sd", "n")


def _both(
    pairs: pd.DataFrame, direction: pd.Series, sizes: tuple[Any, Any], route: list[str], **more: Any
) -> pd.DataFrame:
    """Return MD and, turned so that negative is benefit, SMD."""
    import pandas as pd

    shared = {
        "mean_treatment": pairs["mean_t"],
        "sd_treatment": pairs["sd_t"],
        "mean_control": pairs["mean_c"],
        "sd_control": pairs["sd_c"],
        "route": route,
        **more,
    }
    plain, standardised = (
        _frame(pairs, measure, size, **shared)
        for measure, size in zip((Measure.MD, Measure.SMD), sizes, strict=True)
    )
    turned = turn_to_benefit(standardised, direction.to_numpy())
    return pd.concat([plain, turned], ignore_index=True)


def turn_to_benefit(effects: pd.DataFrame, direction: np.ndarray) -> pd.DataFrame:
    """Return SMDs with negative favouring the treatment; rows without a direction are dropped."""
    turned = effects.copy()
    up = direction == "higher_is_better"
    turned.loc[up, "estimate"] = -turned.loc[up, "estimate"]
    turned.loc[up, "route"] = turned.loc[up, "route"] + "+direction_flipped"
    return turned[direction != "neither"]


def effects_of_paired_scores(
    pairs: pd.DataFrame, direction: pd.Series, correlation: np.ndarray, assumed: np.ndarray
) -> pd.DataFrame:
    """Return MD and SMD of crossovers, from both periods' means and SDs and a correlation.

    The within-person correlation is printed or ``assumed``, and NaN where there is none.
    """
    import pandas as pd

    known = np.isfinite(correlation)
    pairs, direction = pairs[known], direction[known]
    correlation, assumed = correlation[known], assumed[known]
    if pairs.empty:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    n = np.minimum(pairs["n_t"].to_numpy(float), pairs["n_c"].to_numpy(float))
    mean_t, sd_t = pairs["mean_t"].to_numpy(float), pairs["sd_t"].to_numpy(float)
    mean_c, sd_c = pairs["mean_c"].to_numpy(float), pairs["sd_c"].to_numpy(float)
    spread = np.sqrt(sd_t**2 + sd_c**2 - 2 * correlation * sd_t * sd_c)
    route = [
        f"{joined}+{'paired_correlation_assumed' if guess else 'correlation_printed'}"
        for joined, guess in zip(
            _join_routes(pairs["route_t"], pairs["route_c"]), assumed, strict=True
        )
    ]
    said = [
        f"correlation={value:g}" if guess else ""
        for value, guess in zip(correlation, assumed, strict=True)
    ]
    sizes = (
        effect_sizes.paired_mean_difference(mean_t - mean_c, spread, n),
        effect_sizes.standardized_mean_difference_paired(
            mean_t, sd_t, mean_c, sd_c, n, correlation
        ),
    )
    words = _join_words(pairs["assumed_t"], pairs["assumed_c"], said)
    return _both(pairs, direction, sizes, route, assumption=words)


def effects_of_counts(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return OR, RR and RD of parallel arms with events and n.

    Notes
    -----
    Comparisons with an empty cell get 0.5 added to their cells (recorded in the route).
    Studies without any event (or with nothing but events) in both arms say nothing about a ratio
    and yield RD only.
    """
    import pandas as pd

    if pairs.empty:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    events_t, n_t = pairs["events_t"].to_numpy(float), pairs["n_t"].to_numpy(float)
    events_c, n_c = pairs["events_c"].to_numpy(float), pairs["n_c"].to_numpy(float)
    silent = ((events_t == 0) & (events_c == 0)) | ((events_t == n_t) & (events_c == n_c))
    routes = np.array(_join_routes(pairs["route_t"], pairs["route_c"]), dtype=object)
    corrected = routes + "+zero_cell_correction"
    frames = []
    for measure, function in (
        (Measure.OR, effect_sizes.log_odds_ratio),
        (Measure.RR, effect_sizes.log_risk_ratio),
        (Measure.RD, effect_sizes.risk_difference),
    ):
        keep = np.ones(len(pairs), dtype=bool) if measure is Measure.RD else ~silent
        if not keep.any():
            continue
        size = function(events_t[keep], n_t[keep], events_c[keep], n_c[keep])
        frames.append(
            _frame(
                pairs[keep],
                measure,
                size,
                events_treatment=events_t[keep],
                events_control=events_c[keep],
                route=np.where(size.corrected, corrected[keep], routes[keep]),
            )
        )
    return pd.concat(frames, ignore_index=True)


def effects_of_changes_within(
    rows: pd.DataFrame, direction: pd.Series, correlation: float
) -> pd.DataFrame:
    """Return standardised mean changes of single arms (no control), under an assumed correlation.

    Notes
    -----
    Uncontrolled change contains everything that happens with time; it never enters beside
    controlled effects.
    """
    import pandas as pd

    if rows.empty:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    before = rows["baseline_mean"].to_numpy(float)
    after = np.where(
        rows["statistic"] == "change",
        before + rows["mean_"].to_numpy(float),
        rows["mean_"].to_numpy(float),
    )
    size = effect_sizes.standardized_mean_change(
        before, after, rows["baseline_sd"].to_numpy(float), rows["n_"].to_numpy(float), correlation
    )
    alike = rows.rename(
        columns={"arm_id": "arm_id_t", "n_": "n_t", "source": "source_t", "assumed": "assumed_t"}
    ).assign(arm_id_c="", n_c=np.nan, source_c="", assumed_c="")
    effects = _frame(
        alike,
        Measure.SMCR,
        size,
        mean_treatment=after,
        mean_control=before,
        sd_control=rows["baseline_sd"],
        route="before_after+paired_correlation_assumed",
        assumption=_join_words(rows["assumed"], [f"correlation={correlation:g}"] * len(rows)),
        source=rows["source"],
    )
    return turn_to_benefit(effects, direction.to_numpy())
