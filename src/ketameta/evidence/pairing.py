"""Pairs the arms of a study into comparisons, and names every row that none of them uses.

What an arm prints is first turned into means, standard deviations and counts. Knows nothing of
effect sizes or models.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, cast

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo

from ketameta.declared import (
    NeededText,
    OptionalNumber,
    Table,
    Text,
    is_lenient,
    number_where,
    problem,
    words_of,
)
from ketameta.effects import conversions
from ketameta.evidence.tables import stated
from ketameta.measures import ANALYSIS, UNCONTROLLED

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence.tables import Evidence


#: Origins of a spread that is that of a model's mean, not of raw scores.
MODELLED = ("model", "adjusted")
#: What a result is about, whoever was analysed.
_RESULT = ["study_id", "outcome", "instrument", "time_days", "subgroup", "statistic"]
#: What makes two rows comparable between arms of a study.
COMPARABLE = [*_RESULT, "analysis"]


def which_analysis(rows: pd.DataFrame, result: Sequence[str], key: Sequence[str]) -> list[str]:
    """Return in words which analysis of its result each row is; nothing where there is only one.

    ``result`` are the columns that say what a result is about, ``key`` those in which a row stands
    once where a source prints one analysis.
    """
    words = {name: rows[name].map(stated) for name in ANALYSIS}
    keyed = rows[[*dict.fromkeys((*result, *key))]].assign(**words)
    keyed["_again"] = keyed.duplicated(list(key), keep=False)
    found = ["" for _ in range(len(rows))]
    if not keyed["_again"].any():
        return found
    places = np.arange(len(rows))
    for _, group in keyed.assign(_place=places).groupby(list(result), dropna=False, sort=False):
        if not group["_again"].any():
            continue
        # The one column that tells the rows apart, where one does.
        telling = next(
            (names for names in ([ANALYSIS[0]], [ANALYSIS[1]])
             if not group.duplicated([*key, *names]).any()),
            list(ANALYSIS),
        )  # fmt: skip
        for row in group.to_dict("records"):
            found[row["_place"]] = ", ".join(row[name] for name in telling if row[name])
    return found


def resolve_arm_data(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return ``outcomes`` with ``n_``, ``mean_``, ``sd_``, ``events_``, ``route`` and ``problem``.

    Parameters
    ----------
    outcomes : DataFrame
        Rows of the ``outcomes`` table, numbers as floats.

    Returns
    -------
    DataFrame
        The same rows in the same order. ``route`` says how mean and SD (or the count) were
        had (codes of :data:`ketameta.effects.conversions.ROUTES`, joined by ``+``); ``problem``
        says why a row cannot enter an effect size and is empty where it can.

    Notes
    -----
    A printed SD wins over a standard error, that over an interval, that over quartiles and range.
    """
    rows = outcomes.copy()
    rows["analysis"] = which_analysis(rows, _RESULT, [*_RESULT, "arm_id"])
    size = len(rows)
    n = rows["n"].to_numpy(float)
    mean = rows["mean"].to_numpy(float).copy()
    sd = rows["sd"].to_numpy(float).copy()
    events = rows["events"].to_numpy(float).copy()
    route = np.full(size, "", dtype=object)
    problem = np.full(size, "", dtype=object)
    is_event = rows["statistic"].to_numpy() == "events"

    problem[rows["statistic"].to_numpy() == "percent_change"] = "percent_change"
    over_time = is_event & rows["person_time"].notna().to_numpy() & ~np.isfinite(n)
    problem[over_time] = "person_time"
    _resolve_counts(rows, is_event, n, events, route, problem)
    _resolve_spread(rows, ~is_event, n, mean, sd, route, problem)
    spreads = [["se"], ["ci_low", "ci_high"], ["median", "q1", "q3"],
               ["median", "minimum", "maximum"]]  # fmt: skip
    printed = np.any([rows[names].notna().all(axis=1) for names in spreads], axis=0)
    unresolved = ~is_event & ~np.isfinite(sd) & printed
    for which, code in (
        (unresolved & ~np.isfinite(n), "no_n"),
        (unresolved & (n < 2), "n_below_two"),
        (~is_event & ~np.isfinite(mean), "no_mean"),
        (~is_event & ~np.isfinite(sd), "no_variance"),
        (~np.isfinite(n), "no_n"),
        (~is_event & (n < 2), "n_below_two"),
    ):
        problem[(problem == "") & which] = code

    rows["n_"], rows["mean_"], rows["sd_"], rows["events_"] = n, mean, sd, events
    rows["route"], rows["problem"] = route, problem
    return rows


def _resolve_counts(
    rows: pd.DataFrame,
    is_event: np.ndarray,
    n: np.ndarray,
    events: np.ndarray,
    route: np.ndarray,
    problem: np.ndarray,
) -> None:
    """Fill ``events`` from printed counts, or from percentages whose product is whole."""
    printed = is_event & np.isfinite(events)
    route[printed] = "counts"
    percent = rows["percent"].to_numpy(float)
    from_percent = is_event & ~printed & np.isfinite(percent) & np.isfinite(n)
    if from_percent.any():
        counted = conversions.count_from_percent(percent[from_percent], n[from_percent])
        events[from_percent] = np.where(counted.is_whole, counted.count, np.nan)
        route[from_percent] = "count_from_percent"
        problem[from_percent] = np.where(counted.is_whole, "", "percent_not_whole")
    open_rows = is_event & (problem == "") & ~np.isfinite(events)
    problem[open_rows] = np.where(np.isfinite(percent[open_rows]), "no_n", "no_count")


def _resolve_spread(
    rows: pd.DataFrame,
    is_score: np.ndarray,
    n: np.ndarray,
    mean: np.ndarray,
    sd: np.ndarray,
    route: np.ndarray,
    problem: np.ndarray,
) -> None:
    """Fill ``mean`` and ``sd`` from what is printed, best route first."""
    model = rows["sd_origin"].isin(MODELLED).to_numpy()
    enough = is_score & (n >= 2)

    def say(which: np.ndarray, code: str) -> None:
        route[which & ~model] = code
        route[which & model] = f"{code}+model_based"

    printed = is_score & np.isfinite(sd)
    say(printed, "sd_printed")

    se = rows["se"].to_numpy(float)
    from_se = enough & ~np.isfinite(sd) & np.isfinite(se)
    if from_se.any():
        sd[from_se] = conversions.sd_from_se(se[from_se], n[from_se])
        say(from_se, "sd_from_se")

    low, high = rows["ci_low"].to_numpy(float), rows["ci_high"].to_numpy(float)
    level = np.where(np.isnan(rows["ci_level"].to_numpy(float)), 95.0, rows["ci_level"]) / 100
    from_ci = enough & ~np.isfinite(sd) & np.isfinite(low) & np.isfinite(high) & (high > low)
    for value in np.unique(level[from_ci]):
        which = from_ci & (level == value)
        sd[which] = conversions.sd_from_ci(low[which], high[which], n[which], level=float(value))
    say(from_ci, "sd_from_ci")

    best_first: tuple[tuple[str, Callable[..., conversions.MeanSd], str], ...] = (
        ("five_numbers", conversions.mean_sd_from_five_numbers, "minimum q1 median q3 maximum"),
        ("quartiles", conversions.mean_sd_from_quartiles, "q1 median q3"),
        ("range", conversions.mean_sd_from_range, "minimum median maximum"),
    )
    for code, function, names in best_first:
        values = rows[names.split()].to_numpy(float)
        which = enough & ~np.isfinite(sd) & np.isfinite(values).all(axis=1)
        if which.any():
            result = function(*values[which].T, n[which])
            mean[which] = np.where(np.isfinite(mean[which]), mean[which], result.mean)
            sd[which] = result.sd
            say(which, f"sd_from_{code}")


#: Columns of an arm's row that each side of a comparison keeps.
_SIDE = ["arm_id", "n_", "mean_", "sd_", "events_", "route", "source", "assumed"]


def contained_arms(arms: pd.DataFrame) -> dict[tuple[str, str], frozenset[str]]:
    """Return, for each ``(study_id, arm_id)``, the arms whose people are all in it."""
    return {
        (study, arm): frozenset(part for part in str(parts).split(";") if part)
        for study, arm, parts in zip(
            arms["study_id"], arms["arm_id"], arms["contains_arms"], strict=True
        )
    }


def share_people(
    contained: dict[tuple[str, str], frozenset[str]], study: str, first: str, second: str
) -> bool:
    """Return whether two arms of a study have people in common."""
    one = contained.get((study, first), frozenset()) | {first}
    two = contained.get((study, second), frozenset()) | {second}
    return bool(one & two)


def add_combined_arms(
    rows: pd.DataFrame, arms: pd.DataFrame, same_people: Collection[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add, for every intervention given in several arms, the arm that joins them.

    Parameters
    ----------
    rows : DataFrame
        Usable rows of :func:`resolve_arm_data`.
    arms : DataFrame
        The ``arms`` table.
    same_people : collection of str
        Studies whose arms are the same people one after the other (crossovers): nothing is joined.

    Returns
    -------
    rows, arms : DataFrame
        Both with the joined arms appended. Nothing is joined where the source prints a joined arm
        for the same outcome, or where arms share people.

    Notes
    -----
    Means and SDs by the formulae of the Cochrane Handbook, table 6.5.a; counts are summed.
    """
    import pandas as pd

    facts = arms.set_index(["study_id", "arm_id"])
    contained = contained_arms(arms)
    new_rows: list[ArmRow] = []
    new_arms: dict[tuple[str, str], dict[str, object]] = {}
    apart = rows[~rows["study_id"].isin(list(same_people))]
    given = (_lookup(facts, apart, name) for name in ("intervention", "role"))
    alike: dict[tuple[Any, ...], list[int]] = {}
    for place, key in enumerate(zip(*(apart[name] for name in COMPARABLE), *given, strict=True)):
        alike.setdefault(tuple(map(plain_key, key)), []).append(place)
    several = [key for key, places in alike.items() if len(places) > 1]
    several.sort(key=lambda key: [(value is None, value) for value in key])
    joint = apart.iloc[[place for key in several for place in alike[key]]]
    records = iter(cast("list[ArmRow]", joint.to_dict("records")))
    for key in several:
        group = [next(records) for _ in alike[key]]
        study = group[0]["study_id"]
        names = sorted(row["arm_id"] for row in group)
        if any(
            share_people(contained, study, first, second)
            for place, first in enumerate(names)
            for second in names[place + 1 :]
        ):
            continue
        joined = "+".join(names)
        new_rows.append(_join_rows(group, joined))
        if (study, joined) not in new_arms:
            parts = facts.loc[[(study, name) for name in names]]
            doses = dict.fromkeys(text for text in parts["dose_description"] if text)
            new_arms[study, joined] = {
                **parts.iloc[0].to_dict(),
                "study_id": study,
                "arm_id": joined,
                "dose": float("nan"),
                "dose_description": " / ".join(doses),
                "n_randomised": float(parts["n_randomised"].sum(skipna=False)),
                "contains_arms": ";".join(names),
            }
    if not new_rows:
        return rows, arms
    return (
        pd.concat([rows, pd.DataFrame(new_rows)], ignore_index=True),
        pd.concat([arms, pd.DataFrame(list(new_arms.values()))], ignore_index=True),
    )


def _lookup(facts: pd.DataFrame, rows: pd.DataFrame, column: str) -> list[str]:
    values = facts[column].to_dict()
    return [values.get(key, "") for key in zip(rows["study_id"], rows["arm_id"], strict=True)]


class ArmRow(TypedDict):
    """A row of :func:`resolve_arm_data`, as far as arms are joined from it or called unused."""

    study_id: str
    arm_id: str
    statistic: str
    source: str
    route: str
    assumed: str
    baseline_mean: float
    baseline_sd: float
    n_: float
    mean_: float
    sd_: float
    events_: float


def _join_rows(group: Sequence[ArmRow], joined: str) -> ArmRow:
    """Return one row for the people of all rows of ``group``."""
    row = group[0].copy()
    n = np.array([one["n_"] for one in group], float)
    row["arm_id"], row["n_"] = joined, float(n.sum())
    row["source"] = ";".join(one["source"] for one in group)
    row["assumed"] = "; ".join(dict.fromkeys(one["assumed"] for one in group if one["assumed"]))
    routes = sorted({part for one in group for part in one["route"].split("+")})
    row["route"] = "+".join(["combined_arms", *routes])
    if row["statistic"] == "events":
        row["events_"] = float(sum(one["events_"] for one in group))
    else:
        mean = np.array([one["mean_"] for one in group], float)
        sd = np.array([one["sd_"] for one in group], float)
        combined = conversions.combine_arms(n, mean, sd)
        row["mean_"] = float(np.asarray(combined.mean).item())
        row["sd_"] = float(np.asarray(combined.sd).item())
    return row


def pair_arms(
    rows: pd.DataFrame, arms: pd.DataFrame, first_class: Sequence[str] = ()
) -> pd.DataFrame:
    """Return one row per comparison of two arms that were measured alike.

    Parameters
    ----------
    rows : DataFrame
        Usable arm rows, joined arms included.
    arms : DataFrame
        The ``arms`` table, joined arms included.
    first_class : sequence of str
        Drug classes that stand first where a trial compares two treatments.

    Returns
    -------
    DataFrame
        The :data:`COMPARABLE` columns and, for each side, the columns
        ``arm_id_t, n_t, mean_t, sd_t, events_t, route_t ...`` and the same with ``_c``. The
        treatment stands first; of two treatments, one of ``first_class``, then by name.
    """
    facts = arms.drop_duplicates(["study_id", "arm_id"]).set_index(["study_id", "arm_id"])
    contained = contained_arms(arms)
    ranked = rows[[*COMPARABLE, *_SIDE]].copy()
    roles = _lookup(facts, rows, "role")
    classes = _lookup(facts, rows, "drug_class")
    ranked["rank"] = [
        (0 if role == "treatment" else 2) + (0 if drug in first_class else 1)
        for role, drug in zip(roles, classes, strict=True)
    ]
    pairs = ranked.merge(ranked, on=COMPARABLE, suffixes=("_t", "_c"))
    first = (pairs["rank_t"] < pairs["rank_c"]) | (
        (pairs["rank_t"] == pairs["rank_c"]) & (pairs["arm_id_t"] < pairs["arm_id_c"])
    )
    pairs = pairs[first]
    apart = [
        not share_people(contained, study, one, two)
        for study, one, two in zip(
            pairs["study_id"], pairs["arm_id_t"], pairs["arm_id_c"], strict=True
        )
    ]
    pairs = pairs[np.array(apart, dtype=bool)] if len(pairs) else pairs
    return pairs.rename(columns=lambda name: name.replace("__", "_")).reset_index(drop=True)


#: Columns that name one comparison at one time.
COMPARISON_KEYS = (
    *("study_id", "arm_id", "comparator_arm_id"),
    *("outcome", "instrument", "time_days", "subgroup", "analysis"),
)
#: Columns of every effect, in file order.
EFFECT_COLUMNS = (
    *COMPARISON_KEYS,
    *("data_kind", "printed_as", "measure", "estimate", "variance", "n_treatment", "n_control"),
    *("mean_treatment", "sd_treatment", "mean_control", "sd_control"),
    *("events_treatment", "events_control", "route", "assumption", "source"),
)


def _people(value: Any, info: ValidationInfo) -> Any:
    known = isinstance(value, int) and not isinstance(value, bool) and value >= 2
    if not known and not is_lenient(info):
        raise problem(f" is {value!r}; a whole number from 2 is needed")
    return value


class ArmSize(Table):
    """An assumed number of people in one arm (and subgroup), with the reason."""

    study_id: Annotated[NeededText, words_of()] = ""
    arm_id: NeededText = ""
    subgroup: Text = ""
    n: Annotated[int, BeforeValidator(_people)] = 0
    reason: NeededText = ""


class Assumptions(Table):
    """What an analysis assumes where the sources are silent; by default, nothing.

    Attributes
    ----------
    correlation : float or None
        Within-person correlation of crossovers and pre-post comparisons.
    arm_sizes : tuple of ArmSize
        Sizes of arms that the sources do not print. A printed size always wins.
    """

    model_config = ConfigDict(populate_by_name=True)
    correlation: Annotated[
        OptionalNumber, number_where(lambda r: -1 < r < 1, "it lies between -1 and 1")
    ] = None
    arm_sizes: tuple[ArmSize, ...] = Field(default=(), alias="arm_size")


def crossovers(evidence: Evidence) -> frozenset[str]:
    """Return the studies in which the same people are in every arm."""
    rows = evidence.rows("studies")
    return frozenset(row["study_id"] for row in rows if row["design"].startswith("crossover"))


def uncontrolled(evidence: Evidence) -> frozenset[str]:
    """Return the studies whose arms are followed without a control."""
    rows = evidence.rows("studies")
    return frozenset(row["study_id"] for row in rows if row["design"] in UNCONTROLLED)


def directions(instruments: pd.Series, evidence: Evidence) -> pd.Series:
    """Return which way is better for each instrument; ``neither`` where it is not known."""
    known = dict(
        zip(evidence.instruments["instrument"], evidence.instruments["direction"], strict=True)
    )
    return instruments.map(known).fillna("neither")


def with_source(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with ``source``, the file and line a reader can open."""
    return rows.assign(source=rows["_file"] + ":" + rows["_line"].astype(str))


def size_words(size: ArmSize) -> str:
    """Return an assumed arm size as the effect table records it."""
    return f"n of {size.arm_id.replace('_', ' ')} = {size.n}"


def plain_key(value: Any) -> Any:
    """Return a key that equals itself even when it is a missing number."""
    return None if isinstance(value, float) and np.isnan(value) else value


def comparison_key(
    row: Mapping[str, object], columns: Sequence[str] = COMPARISON_KEYS
) -> tuple[Any, ...]:
    """Return the comparison a row is about, or what else these columns name, as a key."""
    return tuple(plain_key(row[column]) for column in columns)


#: Why a row yields no effect, in words for the report.
PROBLEMS: dict[str, str] = {
    "no_n": "the number of people analysed is not printed",
    "n_below_two": "fewer than two people",
    "n_below_three": "fewer than three people, too few for a change without a control",
    "no_mean": "no mean, and no median with its spread, is printed",
    "no_variance": "nothing printed gives its precision",
    "no_count": "neither a count nor a percentage is printed",
    "percent_not_whole": "percentage times n is not a whole number of people",
    "no_estimate": "no estimate is printed",
    "sign_unknown": "the source does not say which arm did better",
    "no_direction": "the instrument has no better end",
    "no_exact_test_statistic": "no exact test statistic or p-value is printed",
    "no_correlation": "a crossover without the within-person correlation",
    "no_correlation_within": "a change without a control, and no within-person correlation",
    "other_analysis": "the other arm prints this result in another analysis only",
    "no_partner": "no second arm has the same outcome, instrument, time and statistic",
    "partner_unusable": "the numbers of the other arm cannot be used",
    "crossover_counts": "counts of a crossover without the paired table",
    "hazard_ratio_not_pooled": "hazard ratios are kept for reading; no analysis pools them",
    "rate_ratio_not_pooled": "rate ratios are kept for reading; no analysis pools them",
    "median_difference": "differences of medians are kept for reading; they are not those of means",
    "person_time": "events over person-time without a number of people are kept for reading",
    "cluster_not_adjusted": "arms of a cluster trial without cluster size and icc are too precise",
    "percent_change": "percent changes are kept for reading; they are not pooled with scores",
    "interaction": "a test of interaction compares groups of people, not treatments",
    "no_baseline": "a single arm without a baseline mean and SD",
}
UNUSED_COLUMNS = (*COMPARISON_KEYS, "data_kind", "source", "code", "reason")


def unused_row(row: Mapping[str, object], kind: str, code: str) -> dict[str, object]:
    """Return the record of a row that yields no effect."""
    return {
        **{key: row.get(key, "") for key in COMPARISON_KEYS},
        "data_kind": kind,
        "source": row["source"],
        "code": code,
        "reason": PROBLEMS[code],
    }


def unused_outcomes(
    outcomes: pd.DataFrame, used: Collection[str], evidence: Evidence, *, correlated: bool
) -> pd.DataFrame:
    """Return the arm rows that stand in no effect, each with its reason.

    ``outcomes`` are rows of :func:`resolve_arm_data` with their ``source``, ``used`` the sources
    that stand in an effect; ``correlated`` says whether a within-person correlation is assumed.
    """
    import pandas as pd

    crossed, alone = crossovers(evidence), uncontrolled(evidence)
    every, usable = _arms_by_key(outcomes), _arms_by_key(outcomes[outcomes["problem"] == ""])
    unused = []
    for row in outcomes[~outcomes["source"].isin(list(used))].to_dict("records"):
        code = row["problem"]
        if not code and row["study_id"] in alone and row["statistic"] != "events":
            code = _why_not_within(cast("ArmRow", row), correlated=correlated)
        elif not code:
            key = comparison_key(row, COMPARABLE)
            if len(usable.get(key, ())) > 1 and row["study_id"] in crossed:
                code = "crossover_counts" if row["statistic"] == "events" else "no_correlation"
            else:
                single = "other_analysis" if row["analysis"] else "no_partner"
                code = "partner_unusable" if len(every[key]) > 1 else single
        unused.append(unused_row(row, row["statistic"], code))
    return pd.DataFrame(unused, columns=list(UNUSED_COLUMNS))


def _arms_by_key(rows: pd.DataFrame) -> dict[tuple[Any, ...], set[str]]:
    """Return the arms that were measured alike."""
    found: dict[tuple[Any, ...], set[str]] = {}
    for row in rows[[*COMPARABLE, "arm_id"]].to_dict("records"):
        found.setdefault(comparison_key(row, COMPARABLE), set()).add(row["arm_id"])
    return found


def _why_not_within(row: ArmRow, *, correlated: bool) -> str:
    """Return why an arm without a control yields no change."""
    if not (np.isfinite(row["baseline_mean"]) and np.isfinite(row["baseline_sd"])):
        return "no_baseline"
    if not correlated:
        return "no_correlation_within"
    return "n_below_three" if row["n_"] < 3 else "no_direction"
