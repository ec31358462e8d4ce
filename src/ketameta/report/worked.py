"""The arithmetic of an effect size with its numbers filled in, for a reader with a calculator.

Written a second time, from the formulas and not by calling the code that derives effects; a test
holds that both give the same. Knows nothing of pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from ketameta.analyses.rows import StudyEffects, join_effects, study_covariance
from ketameta.formatting import format_number, format_significant, published
from ketameta.measures import Measure
from ketameta.models.intervals import critical_value

#: Significant figures of a printed intermediate value: a calculator then reaches the result.
FIGURES = 6
#: Normal quantile of a two-sided 95% interval.
Z95 = float(special.ndtri(0.975))


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a calculation.

    Attributes
    ----------
    symbol : str
        What is computed, such as ``g``.
    formula : str
        With symbols.
    filled : str
        The same with numbers.
    value : float
        As published.
    """

    symbol: str
    formula: str
    filled: str
    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", published(float(self.value)))

    @property
    def shown(self) -> str:
        """The value as printed."""
        return number(self.value)


def number(value: float) -> str:
    """Return a number for a calculation: whole numbers whole, others with six figures."""
    shown = published(value)
    if shown == round(shown) and abs(shown) < 1e7:
        return format_number(shown, 0)
    text = format_significant(shown, FIGURES)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


@dataclass(frozen=True, slots=True)
class Worked:
    """A whole calculation; its last estimate and variance are those of the effect.

    Attributes
    ----------
    steps : tuple of Step
    estimate, variance : float
    """

    steps: tuple[Step, ...]
    estimate: float
    variance: float


def bracketed(value: float) -> str:
    """Return a number in brackets where it is negative."""
    return f"({number(value)})" if value < 0 else number(value)


class _Sheet:
    """Collects the steps of one calculation."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def add(self, symbol: str, formula: str, filled: str, value: float) -> float:
        self.steps.append(Step(symbol, formula, filled, float(value)))
        return float(value)

    def done(self, estimate: float, variance: float) -> Worked:
        return Worked(tuple(self.steps), float(estimate), float(variance))


def hedges_j(df: float) -> float:
    """Return the exact small-sample factor."""
    return math.exp(math.lgamma(df / 2) - 0.5 * math.log(df / 2) - math.lgamma((df - 1) / 2))


def _has(value: Any) -> bool:
    return value is not None and value == value and value != ""


def worked_arm(cells: Mapping[str, Any], parts: Sequence[str], suffix: str) -> list[Step]:
    """Return how an arm's SD or count follows from its printed cells; empty where it is printed.

    Parameters
    ----------
    cells : mapping
        Printed numbers of one row of ``outcomes``.
    parts : sequence of str
        Codes of the route.
    suffix : str
        Mark of the arm in symbols, such as ``₁``.
    """
    sheet = _Sheet()
    if not _has(cells.get("n")):
        return []
    n = float(cells["n"])
    if (
        "count_from_percent" in parts
        and _has(cells.get("percent"))
        and not _has(cells.get("events"))
    ):
        percent = cells["percent"]
        sheet.add(
            f"events{suffix}",
            "percent × n / 100, to the whole number it fits",
            f"{number(percent)} × {number(n)} / 100 = {number(percent * n / 100)}",
            round(percent * n / 100),
        )
    elif _has(cells.get("sd")):
        return []
    elif "sd_from_se" in parts and _has(cells.get("se")):
        sheet.add(
            f"SD{suffix}", "SE × √n", f"{number(cells['se'])} × √{number(n)}",
            cells["se"] * math.sqrt(n),
        )  # fmt: skip
    elif "sd_from_ci" in parts and _has(cells.get("ci_low")):
        share = (cells["ci_level"] if _has(cells.get("ci_level")) else 95.0) / 100
        t = float(special.stdtrit(n - 1, 0.5 + share / 2))
        low, high = cells["ci_low"], cells["ci_high"]
        sheet.add(
            f"SD{suffix}", "√n × (high − low) / (2 t), t with n − 1 df",
            f"√{number(n)} × ({number(high)} − {bracketed(low)}) / (2 × {number(t)})",
            math.sqrt(n) * (high - low) / (2 * t),
        )  # fmt: skip
    return sheet.steps


def worked_scores(row: Mapping[str, Any], *, flipped: bool) -> Worked:
    """Return MD or SMD of two independent arms from n, mean and SD."""
    sheet = _Sheet()
    m1, s1, n1 = row["mean_treatment"], row["sd_treatment"], row["n_treatment"]
    m2, s2, n2 = row["mean_control"], row["sd_control"], row["n_control"]
    difference = sheet.add("D", "m₁ − m₂", f"{number(m1)} − {bracketed(m2)}", m1 - m2)
    if row["measure"] == "MD":
        variance = sheet.add(
            "V", "SD₁²/n₁ + SD₂²/n₂",
            f"{number(s1)}²/{number(n1)} + {number(s2)}²/{number(n2)}",
            s1**2 / n1 + s2**2 / n2,
        )  # fmt: skip
        return sheet.done(difference, variance)
    df = n1 + n2 - 2
    pooled = sheet.add(
        "SD", "√(((n₁ − 1) SD₁² + (n₂ − 1) SD₂²) / (n₁ + n₂ − 2))",
        f"√(({number(n1 - 1)} × {number(s1)}² + {number(n2 - 1)} × {number(s2)}²) / {number(df)})",
        math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df),
    )  # fmt: skip
    return _g(sheet, difference / pooled, "D / SD", f"{number(difference)} / {number(pooled)}",
              n1, n2, flipped=flipped)  # fmt: skip


def _j(sheet: _Sheet, df: float, formula: str) -> float:
    return sheet.add(
        "J", f"Γ(m/2) / (√(m/2) Γ((m − 1)/2)), m = {formula}; close to 1 − 3/(4m − 1)",
        f"m = {number(df)}", hedges_j(df),
    )  # fmt: skip


def _g(
    sheet: _Sheet, d: float, formula: str, filled: str, n1: float, n2: float, *, flipped: bool
) -> Worked:
    d = sheet.add("d", formula, filled, d)
    j = _j(sheet, n1 + n2 - 2, "n₁ + n₂ − 2")
    g = sheet.add("g", "J × d", f"{number(j)} × {bracketed(d)}", j * d)
    if flipped:
        g = _turned(sheet, g)
    return sheet.done(g, _g_variance(sheet, g, n1, n2))


def _turned(sheet: _Sheet, g: float) -> float:
    return sheet.add("g", "−g, because higher scores are better", f"−{bracketed(g)}", -g)


def _g_variance(sheet: _Sheet, g: float, n1: float, n2: float) -> float:
    return sheet.add(
        "V", "1/n₁ + 1/n₂ + g² / (2 (n₁ + n₂))",
        f"1/{number(n1)} + 1/{number(n2)} + {number(abs(g))}² / (2 × {number(n1 + n2)})",
        1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)),
    )  # fmt: skip


def _paired_variance(sheet: _Sheet, g: float, n: float, r: float) -> float:
    return sheet.add(
        "V", "2 (1 − r)/n + g² (1 + r²)/(4 n)",
        f"2 × (1 − {bracketed(r)})/{number(n)} + {number(abs(g))}² × (1 + {bracketed(r)}²)"
        f"/(4 × {number(n)})",
        2 * (1 - r) / n + g**2 * (1 + r**2) / (4 * n),
    )  # fmt: skip


def _paired_g(sheet: _Sheet, d: float, n: float, r: float, *, flipped: bool) -> Worked:
    j = _j(sheet, 2 * (n - 1) / (1 + r**2), "2 (n − 1)/(1 + r²)")
    g = sheet.add("g", "J × d", f"{number(j)} × {bracketed(d)}", j * d)
    if flipped:
        g = _turned(sheet, g)
    return sheet.done(g, _paired_variance(sheet, g, n, r))


def worked_paired_scores(row: Mapping[str, Any], r: float, *, flipped: bool) -> Worked:
    """Return MD or SMD of a crossover from means and SDs under both conditions."""
    sheet = _Sheet()
    m1, s1, m2, s2 = (
        row[key] for key in ("mean_treatment", "sd_treatment", "mean_control", "sd_control")
    )
    n = min(row["n_treatment"], row["n_control"])
    sheet.add("r", "correlation within persons", "as printed or assumed", r)
    difference = sheet.add("D", "m₁ − m₂", f"{number(m1)} − {bracketed(m2)}", m1 - m2)
    if row["measure"] == "MD":
        spread = sheet.add(
            "SD", "√(SD₁² + SD₂² − 2 r SD₁ SD₂)",
            f"√({number(s1)}² + {number(s2)}² − 2 × {bracketed(r)} × {number(s1)} × {number(s2)})",
            math.sqrt(s1**2 + s2**2 - 2 * r * s1 * s2),
        )  # fmt: skip
        variance = sheet.add("V", "SD²/n", f"{number(spread)}²/{number(n)}", spread**2 / n)
        return sheet.done(difference, variance)
    spread = sheet.add(
        "SD", "√((SD₁² + SD₂²)/2)", f"√(({number(s1)}² + {number(s2)}²)/2)",
        math.sqrt((s1**2 + s2**2) / 2),
    )  # fmt: skip
    d = sheet.add("d", "D / SD", f"{number(difference)} / {number(spread)}", difference / spread)
    return _paired_g(sheet, d, n, r, flipped=flipped)


def worked_change(row: Mapping[str, Any], r: float, *, flipped: bool) -> Worked:
    """Return the standardised change of one group."""
    sheet = _Sheet()
    before, after = row["mean_control"], row["mean_treatment"]
    sd, n = row["sd_control"], row["n_treatment"]
    sheet.add("r", "correlation of before and after", "assumed", r)
    d = sheet.add(
        "d", "(after − before) / SD before",
        f"({number(after)} − {bracketed(before)}) / {number(sd)}", (after - before) / sd,
    )  # fmt: skip
    j = _j(sheet, n - 1, "n − 1")
    g = sheet.add("g", "J × d", f"{number(j)} × {bracketed(d)}", j * d)
    if flipped:
        g = _turned(sheet, g)
    variance = sheet.add(
        "V", "2 (1 − r)/n + g²/(2 n)",
        f"2 × (1 − {bracketed(r)})/{number(n)} + {number(abs(g))}²/(2 × {number(n)})",
        2 * (1 - r) / n + g**2 / (2 * n),
    )  # fmt: skip
    return sheet.done(g, variance)


def worked_counts(row: Mapping[str, Any]) -> Worked:
    """Return log OR, log RR or RD of two independent arms from counts."""
    sheet = _Sheet()
    e1, n1, e2, n2 = (
        float(row[key])
        for key in ("events_treatment", "n_treatment", "events_control", "n_control")
    )
    a, b, c, d = e1, n1 - e1, e2, n2 - e2
    if 0 in (a, b, c, d):
        a, b, c, d = (
            sheet.add(name, f"{name} + a half, because one cell is empty", f"{number(x)} + 0.5",
                      x + 0.5)
            for name, x in zip("abcd", (a, b, c, d), strict=True)
        )  # fmt: skip
    else:
        for name, words, x in (
            ("a", "events, treatment", a), ("b", "no event, treatment", b),
            ("c", "events, control", c), ("d", "no event, control", d),
        ):  # fmt: skip
            source = (e1, n1) if name in "ab" else (e2, n2)
            filled = number(x) if name in "ac" else f"{number(source[1])} − {number(source[0])}"
            sheet.add(name, words, filled, x)
    if row["measure"] == "OR":
        value = sheet.add("OR", "a d / (b c)", f"{number(a)} × {number(d)} / ({number(b)} × "
                          f"{number(c)})", a * d / (b * c))  # fmt: skip
        estimate = sheet.add("ln OR", "natural logarithm", f"ln {number(value)}", math.log(value))
        variance = sheet.add(
            "V", "1/a + 1/b + 1/c + 1/d", " + ".join(f"1/{number(x)}" for x in (a, b, c, d)),
            1 / a + 1 / b + 1 / c + 1 / d,
        )  # fmt: skip
    elif row["measure"] == "RR":
        value = sheet.add(
            "RR", "(a/(a + b)) / (c/(c + d))",
            f"({number(a)}/{number(a + b)}) / ({number(c)}/{number(c + d)})",
            (a / (a + b)) / (c / (c + d)),
        )  # fmt: skip
        estimate = sheet.add("ln RR", "natural logarithm", f"ln {number(value)}", math.log(value))
        variance = sheet.add(
            "V", "1/a − 1/(a + b) + 1/c − 1/(c + d)",
            f"1/{number(a)} − 1/{number(a + b)} + 1/{number(c)} − 1/{number(c + d)}",
            1 / a - 1 / (a + b) + 1 / c - 1 / (c + d),
        )  # fmt: skip
    else:
        n1, n2 = a + b, c + d
        estimate = sheet.add(
            "RD", "a/(a + b) − c/(c + d)", f"{number(a)}/{number(n1)} − {number(c)}/{number(n2)}",
            a / n1 - c / n2,
        )  # fmt: skip
        variance = sheet.add(
            "V", "ab/(a + b)³ + cd/(c + d)³",
            f"{number(a)} × {number(b)}/{number(n1)}³ + {number(c)} × {number(d)}/{number(n2)}³",
            a * b / n1**3 + c * d / n2**3,
        )  # fmt: skip
    return sheet.done(estimate, variance)


def ratio_steps(estimate: float, low: float, high: float) -> list[Step]:
    """Return the steps from a logarithm and its limits to the ratio that is printed."""
    return [
        Step("ratio", "eʸ", f"e^{bracketed(estimate)}", math.exp(estimate)),
        Step("ratio low", "e to the lower limit", f"e^{bracketed(low)}", math.exp(low)),
        Step("ratio high", "e to the upper limit", f"e^{bracketed(high)}", math.exp(high)),
    ]


def interval_steps(
    estimate: float, variance: float, *, is_ratio: bool, level: float = 0.95
) -> list[Step]:
    """Return the steps from an effect and its variance to the interval of its row."""
    se, z = math.sqrt(variance), critical_value(level, None)
    low, high = estimate - z * se, estimate + z * se
    steps = [
        Step("SE", "√V", f"√{number(variance)}", se),
        Step("low", "y − z SE", f"{bracketed(estimate)} − {number(z)} × {number(se)}", low),
        Step("high", "y + z SE", f"{bracketed(estimate)} + {number(z)} × {number(se)}", high),
    ]
    return [*steps, *(ratio_steps(estimate, low, high) if is_ratio else ())]


def difference_steps(
    effects: Sequence[Mapping[str, Any]], groups: Sequence[str], measure: str
) -> list[Step]:
    """Return the steps of one group's effect minus the other's, within one trial."""
    parts = [
        [
            effect
            for effect in effects
            if any(part.endswith(f"={name}") for part in str(effect["subgroup"]).split(";"))
        ]
        for name in groups
    ]
    if not all(parts):
        return []
    steps: list[Step] = []
    ends: list[tuple[float, float]] = []
    for mark, members in zip("₁₂", parts, strict=True):
        if len(members) > 1:
            steps += join_steps(members, measure, mark)
            ends.append((steps[-2].value, steps[-1].value))
        else:
            ends.append((members[0]["estimate"], members[0]["variance"]))
    (y1, v1), (y2, v2) = ends
    return [
        *steps,
        Step("y", f"y₁ − y₂: {groups[0]} minus {groups[1]}".replace("_", " "),
             f"{number(y1)} − {bracketed(y2)}", y1 - y2),
        Step("V", "V₁ + V₂, different people", f"{number(v1)} + {number(v2)}", v1 + v2),
    ]  # fmt: skip


def join_steps(effects: Sequence[Mapping[str, Any]], measure: str, mark: str) -> list[Step]:
    """Return how several comparisons of one study became one effect; y and V stand last."""
    steps: list[Step] = []
    once: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    arms = ("subgroup", "arm_id", "comparator_arm_id")
    for effect in effects:
        once.setdefault(tuple(str(effect[name]) for name in arms), []).append(effect)
    kept: list[dict[str, Any]] = []
    for members in once.values():
        first = dict(members[0])
        if len(once) < len(effects):
            count = len(members)
            first["estimate"] = math.fsum(m["estimate"] for m in members) / count
            error = math.fsum(math.sqrt(m["variance"]) for m in members) / count
            first["variance"] = error**2
            if count > 1:
                steps.append(
                    Step("ȳ", "mean of repeated measures of the same two arms",
                         " + ".join(bracketed(m["estimate"]) for m in members), first["estimate"])
                )  # fmt: skip
                steps.append(Step("V̄", "square of the mean standard error", "", first["variance"]))
        kept.append(first)
    kept.sort(key=lambda effect: tuple(str(effect[name]) for name in arms))
    if len(kept) == 1:
        return [
            *steps,
            Step(f"y{mark}", "as above", "", kept[0]["estimate"]),
            Step(f"V{mark}", "as above", "", kept[0]["variance"]),
        ]
    covariance = study_covariance(
        Measure(measure),
        StudyEffects(
            people=tuple(f"{e['study_id']}|{e['subgroup']}" for e in kept),
            treatment=tuple(str(e["arm_id"]) for e in kept),
            control=tuple(str(e["comparator_arm_id"]) for e in kept),
            estimates=_column(kept, "estimate"),
            variances=_column(kept, "variance"),
            n_treatment=_column(kept, "n_treatment"),
            n_control=_column(kept, "n_control"),
            events_treatment=_column(kept, "events_treatment"),
            events_control=_column(kept, "events_control"),
        ),
    )
    joined = join_effects(_column(kept, "estimate"), covariance)
    names = [f"{e['arm_id']} v {e['comparator_arm_id']}".replace("_", " ") for e in kept]
    steps += [
        Step(f"w{_low(i)}", f"share of {name}, from the inverse covariance matrix", "", weight)
        for i, (name, weight) in enumerate(zip(names, joined.weights, strict=True))
    ]
    steps += [
        Step(f"cov{_low(i)}{_low(j)}", "covariance, because both share an arm", "",
             float(covariance[i, j]))
        for i in range(len(kept)) for j in range(i + 1, len(kept)) if covariance[i, j]
    ]  # fmt: skip
    products = " + ".join(
        f"{number(w)} × {bracketed(e['estimate'])}"
        for w, e in zip(joined.weights, kept, strict=True)
    )
    steps.append(Step(f"y{mark}", "Σ w y", products, joined.estimate))
    words = "with the shares and covariances above"
    steps.append(Step(f"V{mark}", "Σ Σ w w cov", words, joined.variance))
    return steps


def _column(effects: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    values = [math.nan if effect[name] is None else effect[name] for effect in effects]
    return np.array(values, dtype=float)


def _low(index: int) -> str:
    return "₁₂₃₄₅₆₇₈₉"[index] if index < 9 else f"({index + 1})"


def joined_arm_steps(effect: Mapping[str, Any], side: str, mark: str, members: int) -> list[Step]:
    """Return the numbers of an arm put together from several."""
    words = f"{members} arms put together"
    steps = [Step(f"n{mark}", "Σ n", words, float(effect[f"n_{side}"]))]
    if effect["data_kind"] == "events":
        steps.append(Step(f"events{mark}", "Σ events", words, float(effect[f"events_{side}"])))
        return steps
    steps.append(Step(f"m{mark}", "Σ n m / Σ n", words, float(effect[f"mean_{side}"])))
    steps.append(
        Step(f"SD{mark}", "√((Σ (n − 1) SD² + Σ n (m − mean)²) / (Σ n − 1))", words,
             float(effect[f"sd_{side}"]))
    )  # fmt: skip
    return steps


# --- printed comparisons ------------------------------------------------------------------------


def worked_contrast(
    cells: Mapping[str, Any],
    effect: Mapping[str, Any],
    *,
    direction: str,
    paired: bool,
    correlation: float | None,
) -> Worked | None:
    """Return the calculation of an effect from one row of ``contrasts``.

    Parameters
    ----------
    cells : mapping
        The row: numbers as floats, empty cells as ``None`` or ``""``.
    effect : mapping
        The row of the effect table: its measure and route say which way was taken.
    direction : str
        Of the instrument.
    paired : bool
        Whether both arms are the same people.
    correlation : float or None
        Printed or assumed, for paired comparisons.
    """
    parts = str(effect["route"]).split("+")
    sheet = _Sheet()
    if "ratio_printed" in parts:
        return _printed_ratio(sheet, cells)
    if "smd_printed" in parts:
        return _printed_smd(sheet, cells, parts)
    if "means_printed" in parts:
        return _means(sheet, cells, effect, parts)
    if "md_printed" in parts:
        return _difference(sheet, cells, effect, parts, direction, paired, correlation)
    return _test(sheet, cells, parts, paired, correlation)


def _level(cells: Mapping[str, Any]) -> float:
    return (float(cells["ci_level"]) if _has(cells.get("ci_level")) else 95.0) / 100


def _side(cells: Mapping[str, Any]) -> int:
    return {"treatment": -1, "control": 1}.get(str(cells.get("favours", "")), 0)


def _printed_ratio(sheet: _Sheet, cells: Mapping[str, Any]) -> Worked:
    printed, low, high = (float(cells[key]) for key in ("estimate", "ci_low", "ci_high"))
    z = float(special.ndtri(0.5 + _level(cells) / 2))
    estimate = sheet.add("y", "ln(printed ratio)", f"ln {number(printed)}", math.log(printed))
    se = sheet.add(
        "SE", "(ln high − ln low) / (2 z)",
        f"(ln {number(high)} − ln {number(low)}) / (2 × {number(z)})",
        (math.log(high) - math.log(low)) / (2 * z),
    )  # fmt: skip
    return sheet.done(estimate, sheet.add("V", "SE²", f"{number(se)}²", se**2))


def _printed_smd(sheet: _Sheet, cells: Mapping[str, Any], parts: Sequence[str]) -> Worked:
    printed = float(cells["estimate"])
    g = sheet.add(
        "g", "size as printed; sign from the source's statement which arm did better",
        number(printed), _side(cells) * abs(printed),
    )  # fmt: skip
    if "smd_variance_from_n" in parts:
        n1, n2 = float(cells["n_treatment"]), float(cells["n_control"])
        return sheet.done(g, _g_variance(sheet, g, n1, n2))
    se = _se(sheet, cells, parts, g, None)
    return sheet.done(g, sheet.add("V", "SE²", f"{number(se)}²", se**2))


def _df(cells: Mapping[str, Any], paired: bool) -> float | None:
    if _has(cells.get("df")):
        return float(cells["df"])
    if paired and _has(cells.get("n_treatment")):
        return float(cells["n_treatment"]) - 1
    if _has(cells.get("n_treatment")) and _has(cells.get("n_control")):
        return float(cells["n_treatment"]) + float(cells["n_control"]) - 2
    return None


def _t(sheet: _Sheet, cells: Mapping[str, Any], parts: Sequence[str], df: float | None) -> float:
    """Add the size of t."""
    if "t_printed" in parts:
        return sheet.add("t", "as printed, without its sign", number(cells["t"]), abs(cells["t"]))
    if "f_to_t" in parts:
        f = float(cells["f"])
        return sheet.add("t", "√F", f"√{number(f)}", math.sqrt(f))
    p = float(cells["p"])
    assert df is not None
    return sheet.add(
        "t", "the t that has the printed two-sided p with this many degrees of freedom",
        f"p = {number(p)}, {number(df)} df", -float(special.stdtrit(df, p / 2)),
    )  # fmt: skip


def _se(
    sheet: _Sheet,
    cells: Mapping[str, Any],
    parts: Sequence[str],
    estimate: float,
    df: float | None,
) -> float:
    """Add the standard error of a printed difference."""
    if "se_printed" in parts:
        return sheet.add("SE", "as printed", number(cells["se"]), float(cells["se"]))
    if "ci_to_se" in parts:
        upper = 0.5 + _level(cells) / 2
        low, high = float(cells["ci_low"]), float(cells["ci_high"])
        q = float(special.ndtri(upper) if df is None else special.stdtrit(df, upper))
        word = "z" if df is None else f"t with {number(df)} df"
        return sheet.add(
            "SE", f"(high − low) / (2 q), q = {word}",
            f"({number(high)} − {bracketed(low)}) / (2 × {number(q)})", (high - low) / (2 * q),
        )  # fmt: skip
    if "paired_printed" in parts:
        sd, n = float(cells["sd_difference"]), float(cells["n_treatment"])
        return sheet.add("SE", "SD of differences / √n", f"{number(sd)}/√{number(n)}",
                         sd / math.sqrt(n))  # fmt: skip
    t = _t(sheet, cells, parts, df)
    return sheet.add("SE", "|D| / t", f"{number(abs(estimate))}/{number(t)}", abs(estimate) / t)


def _means(
    sheet: _Sheet, cells: Mapping[str, Any], effect: Mapping[str, Any], parts: Sequence[str]
) -> Worked:
    estimate = sheet.add(
        "D", "difference of the printed means", number(effect["estimate"]), effect["estimate"]
    )
    t = _t(sheet, cells, parts, _df(cells, False))
    se = sheet.add("SE", "|D| / t", f"{number(abs(estimate))}/{number(t)}", abs(estimate) / t)
    return sheet.done(estimate, sheet.add("V", "SE²", f"{number(se)}²", se**2))


def _difference(
    sheet: _Sheet,
    cells: Mapping[str, Any],
    effect: Mapping[str, Any],
    parts: Sequence[str],
    direction: str,
    paired: bool,
    correlation: float | None,
) -> Worked | None:
    printed = float(cells["estimate"])
    words = "as printed"
    difference = printed
    if "sign_from_words" in parts:
        words, difference = "size as printed; sign from which arm did better", -printed
    difference = sheet.add("D", words, number(printed), difference)
    risk = effect["measure"] == "RD"
    se = _se(sheet, cells, parts, printed, None if risk else _df(cells, paired))
    if effect["measure"] != "SMD":
        return sheet.done(difference, sheet.add("V", "SE²", f"{number(se)}²", se**2))
    n1 = float(cells["n_treatment"])
    if direction == "higher_is_better":
        difference = sheet.add(
            "D", "−D, because higher scores are better", f"−{bracketed(difference)}", -difference
        )
    if paired:
        if correlation is None:
            return None
        r = sheet.add("r", "correlation within persons", "as printed or assumed", correlation)
        sd = sheet.add(
            "SD", "SE √n / √(2 (1 − r))",
            f"{number(se)} × √{number(n1)} / √(2 × (1 − {bracketed(r)}))",
            se * math.sqrt(n1) / math.sqrt(2 * (1 - r)),
        )  # fmt: skip
        d = sheet.add("d", "D / SD", f"{number(difference)} / {number(sd)}", difference / sd)
        return _paired_g(sheet, d, n1, r, flipped=False)
    n2 = float(cells["n_control"])
    sd = sheet.add(
        "SD", "SE / √(1/n₁ + 1/n₂)", f"{number(se)} / √(1/{number(n1)} + 1/{number(n2)})",
        se / math.sqrt(1 / n1 + 1 / n2),
    )  # fmt: skip
    return _g(sheet, difference / sd, "D / SD", f"{number(difference)} / {number(sd)}", n1, n2,
              flipped=False)  # fmt: skip


def _test(
    sheet: _Sheet,
    cells: Mapping[str, Any],
    parts: Sequence[str],
    paired: bool,
    correlation: float | None,
) -> Worked | None:
    t = _t(sheet, cells, parts, _df(cells, paired))
    t = sheet.add("t", "sign: negative where the treatment did better", number(t),
                  _side(cells) * t)  # fmt: skip
    n1 = float(cells["n_treatment"])
    if paired:
        if correlation is None:
            return None
        r = sheet.add("r", "correlation within persons", "as printed or assumed", correlation)
        d = sheet.add(
            "d", "t × √(2 (1 − r)/n)", f"{bracketed(t)} × √(2 × (1 − {bracketed(r)})/{number(n1)})",
            t * math.sqrt(2 * (1 - r) / n1),
        )  # fmt: skip
        return _paired_g(sheet, d, n1, r, flipped=False)
    n2 = float(cells["n_control"])
    return _g(
        sheet, t * math.sqrt(1 / n1 + 1 / n2), "t × √(1/n₁ + 1/n₂)",
        f"{bracketed(t)} × √(1/{number(n1)} + 1/{number(n2)})", n1, n2, flipped=False,
    )  # fmt: skip
