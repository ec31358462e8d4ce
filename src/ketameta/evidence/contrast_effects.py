"""Turns a printed comparison (contrasts.csv) into effect sizes, or says why it cannot.

One row at a time, because each source prints something else. Knows nothing of arms' raw data.

A room of its own because sources print comparisons in many ways, and every way is here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from ketameta import effects as effect_sizes
from ketameta.effects import conversions
from ketameta.evidence.pairing import (
    COMPARABLE,
    COMPARISON_KEYS,
    EFFECT_COLUMNS,
    MODELLED,
    UNUSED_COLUMNS,
    Assumptions,
    comparison_key,
    crossovers,
    directions,
    size_words,
    unused_row,
    which_analysis,
    with_source,
)
from ketameta.measures import Measure

if TYPE_CHECKING:
    import pandas as pd

    from ketameta.evidence.tables import Evidence


#: Printed comparisons that are kept for reading, and why no effect comes of them.
NOT_POOLED = {
    "HR": "hazard_ratio_not_pooled",
    "IRR": "rate_ratio_not_pooled",
    "median_difference": "median_difference",
    "percent_change": "percent_change",
    "interaction": "interaction",
}


class Contrast(TypedDict):
    """A row of ``contrasts``: missing numbers are NaN, missing words are empty."""

    study_id: str
    arm_id: str
    comparator_arm_id: str
    subgroup: str
    effect_type: str
    estimate: float
    se: float
    ci_low: float
    ci_high: float
    ci_level: float
    p: float
    p_relation: str
    p_sided: str
    t: float
    z: float
    f: float
    df: float
    n_treatment: float
    n_control: float
    favours: str
    correlation: float
    sd_difference: float
    sd_origin: str
    source: str


@dataclass(frozen=True, slots=True)
class ContrastEffect:
    """One effect size from one printed comparison.

    Attributes
    ----------
    measure : Measure
    estimate, variance : float
        On the analysis scale: logarithm for ratios, negative favours the treatment for SMD.
    route : str
        Codes of :data:`ketameta.effects.conversions.ROUTES`, joined by ``+``.
    assumption : str
        ``correlation=0.5`` where one was assumed, else empty.
    """

    measure: Measure
    estimate: float
    variance: float
    route: str
    assumption: str = ""


@dataclass(frozen=True, slots=True)
class _Precision:
    """A standard error (scale units) and the route to it."""

    se: float
    route: str


def effects_of_contrast(
    row: Contrast,
    *,
    direction: str,
    paired: bool,
    correlation: float | None,
    arm_difference: float | None = None,
) -> tuple[list[ContrastEffect], str]:
    """Return the effects a ``contrasts`` row yields, and a problem code when it yields none.

    Parameters
    ----------
    row : Contrast
        One row of the table.
    direction : str
        Direction of the instrument.
    paired : bool
        Whether treatment and comparator are the same people (a crossover).
    correlation : float or None
        Assumed within-person correlation, used only where none is printed.
    arm_difference : float or None
        Difference of the arms' printed means, where they print no spread: with a test statistic it
        gives the mean difference and its standard error.
    """
    kind = row["effect_type"]
    if kind in {"OR", "RR"}:
        return _ratio(row, Measure(kind))
    if kind == "RD":
        if not _has(row["estimate"]):
            return [], "no_estimate"
        precision = _precision(row, row["estimate"], df=None)
        if precision is None:
            return [], "no_variance"
        route = f"md_printed+{precision.route}"
        return [ContrastEffect(Measure.RD, row["estimate"], precision.se**2, route)], ""
    if kind in NOT_POOLED:
        return [], NOT_POOLED[kind]
    if any(_has(row[name]) and row[name] < 2 for name in ("n_treatment", "n_control")):
        return [], "n_below_two"
    if kind == "MD":
        return _mean_difference(row, direction, paired, correlation)
    effects, problem = _standardised(row, paired, correlation)
    if kind == "test" and arm_difference:
        statistic, route = _test_statistic(row, _df(row, paired=paired))
        if statistic:
            variance = (arm_difference / statistic) ** 2
            route = f"means_printed+{route}+se_from_t"
            effects = [*effects, ContrastEffect(Measure.MD, arm_difference, variance, route)]
    return effects, "" if effects else problem


def _has(value: float) -> bool:
    return value is not None and math.isfinite(value)


def _level(row: Contrast) -> float:
    return (row["ci_level"] if _has(row["ci_level"]) else 95.0) / 100


def _df(row: Contrast, *, paired: bool) -> float | None:
    if _has(row["df"]):
        return float(row["df"])
    if paired and _has(row["n_treatment"]):
        return float(row["n_treatment"]) - 1
    if _has(row["n_treatment"]) and _has(row["n_control"]):
        return float(row["n_treatment"]) + float(row["n_control"]) - 2
    return None


def _ratio(row: Contrast, measure: Measure) -> tuple[list[ContrastEffect], str]:
    if not _has(row["estimate"]):
        return [], "no_estimate"
    if _has(row["ci_low"]) and _has(row["ci_high"]) and row["ci_low"] > 0:
        se = conversions.se_from_ci(
            math.log(row["ci_low"]), math.log(row["ci_high"]), level=_level(row)
        )
        effect = ContrastEffect(
            measure, math.log(row["estimate"]), _one(se) ** 2, "ratio_printed+ci_to_se"
        )
        return [effect], ""
    return [], "no_variance"


def _precision(row: Contrast, estimate: float, df: float | None) -> _Precision | None:
    """Return the standard error of a printed difference: printed, from CI, from t, F or p."""
    if _has(row["se"]):
        return _Precision(float(row["se"]), "se_printed")
    if _has(row["ci_low"]) and _has(row["ci_high"]):
        se = conversions.se_from_ci(row["ci_low"], row["ci_high"], level=_level(row), df=df)
        return _Precision(_one(se), "ci_to_se")
    statistic, route = _test_statistic(row, df)
    if statistic is not None and statistic != 0 and estimate != 0:
        return _Precision(abs(estimate / statistic), f"{route}+se_from_t")
    return None


def _test_statistic(row: Contrast, df: float | None) -> tuple[float | None, str]:
    """Return the size of a t statistic, from t, z, F(1, df) or an exact p."""
    if _has(row["t"]):
        return abs(float(row["t"])), "t_printed"
    if _has(row["z"]):
        return abs(float(row["z"])), "z_printed"
    if _has(row["f"]):
        return _one(conversions.t_from_f(row["f"])), "f_to_t"
    if _exact_p(row) and df is not None:
        return abs(_one(conversions.t_from_p(_two_sided(row), df))), "t_from_p"
    return None, ""


def _exact_p(row: Contrast) -> bool:
    return _has(row["p"]) and row["p_relation"] in {"", "="} and 0 < _two_sided(row) < 1


def _two_sided(row: Contrast) -> float:
    """Return the p-value against a difference in either direction."""
    return float(row["p"]) * (2 if row.get("p_sided") == "one" else 1)


def _side(row: Contrast) -> int:
    """Return -1 where the treatment did better, 1 where the control did, 0 where unknown."""
    return {"treatment": -1, "control": 1, "neither": 0}.get(row["favours"], 0)


def _mean_difference(
    row: Contrast, direction: str, paired: bool, correlation: float | None
) -> tuple[list[ContrastEffect], str]:
    """Return MD (scale units) and, where SDs can be had, SMD."""
    if not _has(row["estimate"]):
        return [], "no_estimate"
    estimate, flipped = _signed_difference(row, direction)
    df = _df(row, paired=paired)
    precision = _precision(row, row["estimate"], df)
    if precision is None and paired and _has(row["sd_difference"]) and _has(row["n_treatment"]):
        se = row["sd_difference"] / math.sqrt(row["n_treatment"])
        precision = _Precision(_one(se), "paired_printed")
    if precision is None:
        return [], "no_n" if df is None and _exact_p(row) else "no_variance"
    route = "+".join(
        part
        for part in (
            "md_printed",
            "sign_from_words" if flipped else "",
            precision.route,
            "model_based" if row["sd_origin"] in MODELLED else "",
        )
        if part
    )
    effects = [ContrastEffect(Measure.MD, estimate, precision.se**2, route)]
    if direction != "neither":
        turn = -1 if direction == "higher_is_better" else 1
        effects.extend(_standardise(row, turn * estimate, precision, route, paired, correlation))
    return effects, ""


def _signed_difference(row: Contrast, direction: str) -> tuple[float, bool]:
    """Return treatment minus control on the scale, and whether the printed sign was turned."""
    estimate = float(row["estimate"])
    side = _side(row)
    if side == 0 or direction == "neither" or estimate == 0:
        return estimate, False
    wanted = side if direction == "lower_is_better" else -side
    flipped = math.copysign(1, estimate) != wanted
    return (-estimate if flipped else estimate), flipped


def _standardise(
    row: Contrast,
    estimate: float,
    precision: _Precision,
    route: str,
    paired: bool,
    correlation: float | None,
) -> list[ContrastEffect]:
    """Return the SMD of a mean difference whose standard error gives the SD."""
    n_treatment, n_control = row["n_treatment"], row["n_control"]
    if not _has(n_treatment) or n_treatment < 2:
        return []
    if paired:
        value, words, code = _paired_correlation(row, correlation)
        if value is None:
            return []
        sd = precision.se * math.sqrt(n_treatment) / math.sqrt(2 * (1 - value))
        size = effect_sizes.standardized_mean_difference_paired(
            estimate, sd, 0.0, sd, n_treatment, value
        )
        route = f"{route}+{code}"
    else:
        if not _has(n_control) or n_control < 2:
            return []
        sd = precision.se / math.sqrt(1 / n_treatment + 1 / n_control)
        size = effect_sizes.standardized_mean_difference(
            estimate, sd, n_treatment, 0.0, sd, n_control
        )
        words, route = "", f"{route}+sd_from_difference_se"
    return [_sized(size, route, words)]


def _sized(size: Any, route: str, words: str = "") -> ContrastEffect:
    return ContrastEffect(Measure.SMD, _one(size.estimate), _one(size.variance), route, words)


def _one(value: Any) -> float:
    return float(np.asarray(value).item())


def _paired_correlation(row: Contrast, assumed: float | None) -> tuple[float | None, str, str]:
    # A correlation of exactly 1 is a rounded one; it would leave no sampling error.
    if _has(row["correlation"]) and abs(row["correlation"]) < 1:
        return float(row["correlation"]), "", "correlation_printed"
    if assumed is not None:
        return assumed, f"correlation={assumed:g}", "paired_correlation_assumed"
    return None, "", ""


def _standardised(
    row: Contrast, paired: bool, correlation: float | None
) -> tuple[list[ContrastEffect], str]:
    """Return the SMD of a printed SMD, or of a bare test statistic."""
    side = _side(row)
    if side == 0:
        return [], "sign_unknown"
    if row["effect_type"] == "SMD":
        return _printed_smd(row, side, paired)
    statistic, route = _test_statistic(row, _df(row, paired=paired))
    if statistic is None:
        return [], "no_n" if _exact_p(row) else "no_exact_test_statistic"
    n_treatment, n_control = row["n_treatment"], row["n_control"]
    if not _has(n_treatment) or not (paired or _has(n_control)):
        return [], "no_n"
    if not paired:
        size = effect_sizes.smd_from_t(side * statistic, n_treatment, n_control)
        return [_sized(size, f"{route}+smd_from_t")], ""
    value, words, code = _paired_correlation(row, correlation)
    if value is None:
        return [], "no_correlation"
    sd = math.sqrt(n_treatment / (2 * (1 - value)))
    size = effect_sizes.standardized_mean_difference_paired(
        side * statistic, sd, 0.0, sd, n_treatment, value
    )
    route = f"{route}+{code}+smd_from_t"
    return [_sized(size, route, words)], ""


def _printed_smd(row: Contrast, side: int, paired: bool) -> tuple[list[ContrastEffect], str]:
    if not _has(row["estimate"]):
        return [], "no_estimate"
    estimate = side * abs(float(row["estimate"]))
    if _has(row["se"]):
        return [ContrastEffect(Measure.SMD, estimate, row["se"] ** 2, "smd_printed+se_printed")], ""
    if _has(row["ci_low"]) and _has(row["ci_high"]):
        se = _one(conversions.se_from_ci(row["ci_low"], row["ci_high"], level=_level(row)))
        return [ContrastEffect(Measure.SMD, estimate, se**2, "smd_printed+ci_to_se")], ""
    if paired:
        return [], "no_variance"
    if not (_has(row["n_treatment"]) and _has(row["n_control"])):
        return [], "no_n"
    size = effect_sizes.smd_from_estimate(
        estimate, row["n_treatment"], row["n_control"], already_corrected=True
    )
    return [_sized(size, "smd_printed+smd_variance_from_n")], ""


#: Word for the statistic of printed comparisons in ``data_kind``.
CONTRAST = "contrast"


def effects_of_contrasts(
    evidence: Evidence, assumed: Assumptions, differences: dict[tuple[Any, ...], float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return effects and unused rows of the printed comparisons.

    ``differences`` are those of :func:`mean_differences`.
    """
    import pandas as pd

    contrasts = with_source(evidence.contrasts)
    printed = [name for name in COMPARISON_KEYS if name != "analysis"]
    kinds = [*printed, "effect_type"]
    contrasts["analysis"] = which_analysis(contrasts, kinds, kinds)
    better = directions(contrasts["instrument"], evidence)
    crossed = crossovers(evidence)
    effects: list[dict[str, object]] = []
    unused: list[dict[str, object]] = []
    for row, direction in zip(contrasts.to_dict("records"), better, strict=True):
        said = list(_fill_sizes(row, assumed))
        found, problem = effects_of_contrast(
            row,
            direction=direction,
            paired=row["study_id"] in crossed,
            correlation=assumed.correlation,
            arm_difference=differences.get(comparison_key(row)),
        )
        if problem:
            unused.append(unused_row(row, CONTRAST, problem))
        for effect in found:
            effects.append(
                {
                    **{key: row[key] for key in COMPARISON_KEYS},
                    "data_kind": CONTRAST,
                    "printed_as": row["effect_type"],
                    "measure": str(effect.measure),
                    "estimate": effect.estimate,
                    "variance": effect.variance,
                    "n_treatment": row["n_treatment"],
                    "n_control": row["n_control"],
                    "route": effect.route,
                    "assumption": "; ".join(part for part in (*said, effect.assumption) if part),
                    "source": row["source"],
                }
            )
    return (
        pd.DataFrame(effects).reindex(columns=list(EFFECT_COLUMNS)),
        pd.DataFrame(unused, columns=list(UNUSED_COLUMNS)),
    )


def _fill_sizes(row: dict[str, Any], assumed: Assumptions) -> Iterator[str]:
    """Fill assumed arm sizes into a contrast; yield the words for each."""
    for size in assumed.arm_sizes:
        if (size.study_id, size.subgroup) != (row["study_id"], row["subgroup"]):
            continue
        for arm, n in (("arm_id", "n_treatment"), ("comparator_arm_id", "n_control")):
            if row[arm] == size.arm_id and np.isnan(row[n]):
                row[n] = float(size.n)
                yield size_words(size)


def mean_differences(outcomes: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """Return treatment minus comparator of means whose arms print no usable spread.

    Keys are study, both arms, outcome, instrument, time, subgroup and analysis. Where a source
    prints both endpoint and change, the change stands.
    """
    bare = outcomes[outcomes["sd_"].isna() & outcomes["mean_"].notna()]
    pairs = bare.merge(bare, on=COMPARABLE, suffixes=("_t", "_c"))
    pairs = pairs[pairs["arm_id_t"] != pairs["arm_id_c"]].sort_values(
        "statistic", ascending=False, kind="stable"
    )
    return {
        comparison_key(row | {"arm_id": row["arm_id_t"], "comparator_arm_id": row["arm_id_c"]}):
            float(row["mean__t"] - row["mean__c"])
        for row in pairs.to_dict("records")
    }  # fmt: skip
