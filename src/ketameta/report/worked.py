"""The arithmetic of an effect size with its numbers filled in, for a reader with a calculator.

Written a second time, from the formulas and not by calling the code that derives effects; a test
holds that both give the same. Knows nothing of pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ketameta.analyses.rows import StudyEffects, join_effects, study_covariance
from ketameta.evidence.derive import Effect
from ketameta.evidence.tables import Row
from ketameta.formatting import format_number, format_significant, published
from ketameta.measures import Measure
from ketameta.models.intervals import critical_value

#: Significant figures of a printed intermediate value: a calculator then reaches the result.
FIGURES = 6


@dataclass(frozen=True)  # without slots thousands are read back in half of the time
class Step:
    """One line of a calculation: ``formula`` has symbols, ``filled`` numbers in their place."""

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
    """A whole calculation; its last estimate and variance are those of the effect."""

    steps: tuple[Step, ...]
    estimate: float
    variance: float


def bracketed(value: float) -> str:
    """Return a number in brackets where it is negative."""
    return f"({number(value)})" if value < 0 else number(value)


class Number(float):
    """A number that a calculation prints: ``b`` puts a negative one in brackets."""

    def __format__(self, spec: str) -> str:
        if spec not in ("", "b"):
            return super().__format__(spec)
        return bracketed(self) if spec else number(self)


class _Sheet:
    """Collects the steps of one calculation."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def add(self, symbol: str, formula: str, filled: str, value: float) -> Number:
        self.steps.append(Step(symbol, formula, filled, float(value)))
        return Number(value)

    def squared(self, estimate: float, se: float) -> Worked:
        """Return the calculation of an estimate with its standard error."""
        return self.done(estimate, self.add("V", "SE²", f"{Number(se)}²", se**2))

    def done(self, estimate: float, variance: float) -> Worked:
        return Worked(tuple(self.steps), float(estimate), float(variance))


#: Printed numbers of a row, by column; NaN where one is not known.
Numbers = Mapping[str, float]


def _has(numbers: Numbers, name: str) -> bool:
    return not math.isnan(numbers.get(name, math.nan))


def _read(numbers: Numbers, *names: str) -> list[Number]:
    return [Number(numbers[name]) for name in names]


def _level(numbers: Numbers) -> float:
    return numbers.get("ci_level", 95.0) / 100


def worked_arm(numbers: Numbers, parts: Sequence[str], suffix: str) -> list[Step]:
    """Return how an arm's SD or count follows from its printed cells; empty where it is printed.

    ``parts`` are the codes of the route, ``suffix`` marks the arm in symbols, such as ``₁``.
    """
    sheet = _Sheet()
    if not _has(numbers, "n"):
        return []
    (n,) = _read(numbers, "n")
    counted = _has(numbers, "percent") and not _has(numbers, "events")
    if "count_from_percent" in parts and counted:
        (percent,) = _read(numbers, "percent")
        filled = f"{percent} × {n} / 100 = {Number(percent * n / 100)}"
        formula = "percent × n / 100, to the whole number it fits"
        sheet.add(f"events{suffix}", formula, filled, round(percent * n / 100))
    elif _has(numbers, "sd"):
        return []
    elif "sd_from_se" in parts and _has(numbers, "se"):
        (se,) = _read(numbers, "se")
        sheet.add(f"SD{suffix}", "SE × √n", f"{se} × √{n}", se * math.sqrt(n))
    elif "sd_from_ci" in parts and _has(numbers, "ci_low"):
        t = Number(special.stdtrit(n - 1, 0.5 + _level(numbers) / 2))
        low, high = _read(numbers, "ci_low", "ci_high")
        sheet.add(
            f"SD{suffix}", "√n × (high − low) / (2 t), t with n − 1 df",
            f"√{n} × ({high} − {low:b}) / (2 × {t})", math.sqrt(n) * (high - low) / (2 * t),
        )  # fmt: skip
    return sheet.steps


def _scores(effect: Effect) -> list[Number]:
    """Return mean, SD and n of the treatment, then of the control."""
    return [
        Number(value)
        for value in (
            effect["mean_treatment"], effect["sd_treatment"], effect["n_treatment"],
            effect["mean_control"], effect["sd_control"], effect["n_control"],
        )
    ]  # fmt: skip


def worked_scores(effect: Effect, *, flipped: bool) -> Worked:
    """Return MD or SMD of two independent arms from n, mean and SD."""
    sheet = _Sheet()
    m1, s1, n1, m2, s2, n2 = _scores(effect)
    difference = sheet.add("D", "m₁ − m₂", f"{m1} − {m2:b}", m1 - m2)
    if effect["measure"] == "MD":
        variance = sheet.add(
            "V", "SD₁²/n₁ + SD₂²/n₂", f"{s1}²/{n1} + {s2}²/{n2}", s1**2 / n1 + s2**2 / n2
        )
        return sheet.done(difference, variance)
    one, two, df = Number(n1 - 1), Number(n2 - 1), Number(n1 + n2 - 2)
    pooled = sheet.add(
        "SD", "√(((n₁ − 1) SD₁² + (n₂ − 1) SD₂²) / (n₁ + n₂ − 2))",
        f"√(({one} × {s1}² + {two} × {s2}²) / {df})",
        math.sqrt((one * s1**2 + two * s2**2) / df),
    )  # fmt: skip
    filled = f"{difference} / {pooled}"
    return _g(sheet, difference / pooled, "D / SD", filled, n1, n2, flipped=flipped)


def _corrected(sheet: _Sheet, d: float, df: float, formula: str, *, flipped: bool) -> Number:
    """Add the small-sample correction and the turned sign; return g."""
    j = sheet.add(
        "J", f"Γ(m/2) / (√(m/2) Γ((m − 1)/2)), m = {formula}; close to 1 − 3/(4m − 1)",
        f"m = {Number(df)}",
        math.exp(math.lgamma(df / 2) - 0.5 * math.log(df / 2) - math.lgamma((df - 1) / 2)),
    )  # fmt: skip
    g = sheet.add("g", "J × d", f"{j} × {Number(d):b}", j * d)
    if flipped:
        g = sheet.add("g", "−g, because higher scores are better", f"−{g:b}", -g)
    return g


def _g(
    sheet: _Sheet, d: float, formula: str, filled: str, n1: float, n2: float, *, flipped: bool
) -> Worked:
    d = sheet.add("d", formula, filled, d)
    g = _corrected(sheet, d, n1 + n2 - 2, "n₁ + n₂ − 2", flipped=flipped)
    return sheet.done(g, _g_variance(sheet, g, n1, n2))


def _g_variance(sheet: _Sheet, g: float, n1: float, n2: float) -> float:
    one, two, both, size = map(Number, (n1, n2, n1 + n2, abs(g)))
    return sheet.add(
        "V", "1/n₁ + 1/n₂ + g² / (2 (n₁ + n₂))", f"1/{one} + 1/{two} + {size}² / (2 × {both})",
        1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)),
    )  # fmt: skip


def _paired_g(sheet: _Sheet, d: float, n: float, r: float, *, flipped: bool) -> Worked:
    df = 2 * (n - 1) / (1 + r**2)
    g = _corrected(sheet, d, df, "2 (n − 1)/(1 + r²)", flipped=flipped)
    size, n, r = Number(abs(g)), Number(n), Number(r)
    variance = sheet.add(
        "V", "2 (1 − r)/n + g² (1 + r²)/(4 n)",
        f"2 × (1 − {r:b})/{n} + {size}² × (1 + {r:b}²)/(4 × {n})",
        2 * (1 - r) / n + g**2 * (1 + r**2) / (4 * n),
    )  # fmt: skip
    return sheet.done(g, variance)


def worked_paired_scores(effect: Effect, r: float, *, flipped: bool) -> Worked:
    """Return MD or SMD of a crossover from means and SDs under both conditions."""
    sheet = _Sheet()
    m1, s1, n1, m2, s2, n2 = _scores(effect)
    n = min(n1, n2)
    r = sheet.add("r", "correlation within persons", "as printed or assumed", r)
    difference = sheet.add("D", "m₁ − m₂", f"{m1} − {m2:b}", m1 - m2)
    if effect["measure"] == "MD":
        spread = sheet.add(
            "SD", "√(SD₁² + SD₂² − 2 r SD₁ SD₂)", f"√({s1}² + {s2}² − 2 × {r:b} × {s1} × {s2})",
            math.sqrt(s1**2 + s2**2 - 2 * r * s1 * s2),
        )  # fmt: skip
        return sheet.done(difference, sheet.add("V", "SD²/n", f"{spread}²/{n}", spread**2 / n))
    spread = sheet.add(
        "SD", "√((SD₁² + SD₂²)/2)", f"√(({s1}² + {s2}²)/2)", math.sqrt((s1**2 + s2**2) / 2)
    )
    d = sheet.add("d", "D / SD", f"{difference} / {spread}", difference / spread)
    return _paired_g(sheet, d, n, r, flipped=flipped)


def worked_change(effect: Effect, r: float, *, flipped: bool) -> Worked:
    """Return the standardised change of one group."""
    sheet = _Sheet()
    after, _, n, before, sd, _ = _scores(effect)
    r = sheet.add("r", "correlation of before and after", "assumed", r)
    d = sheet.add(
        "d", "(after − before) / SD before", f"({after} − {before:b}) / {sd}", (after - before) / sd
    )
    g = _corrected(sheet, d, n - 1, "n − 1", flipped=flipped)
    variance = sheet.add(
        "V", "2 (1 − r)/n + g²/(2 n)", f"2 × (1 − {r:b})/{n} + {Number(abs(g))}²/(2 × {n})",
        2 * (1 - r) / n + g**2 / (2 * n),
    )  # fmt: skip
    return sheet.done(g, variance)


def worked_counts(effect: Effect) -> Worked:
    """Return log OR, log RR or RD of two independent arms from counts."""
    sheet = _Sheet()
    e1, n1 = Number(effect["events_treatment"]), Number(effect["n_treatment"])
    e2, n2 = Number(effect["events_control"]), Number(effect["n_control"])
    a, b, c, d = map(Number, (e1, n1 - e1, e2, n2 - e2))
    if not all((a, b, c, d)):
        words = "{} + a half, because one cell is empty"
        a, b, c, d = (
            sheet.add(name, words.format(name), f"{x} + 0.5", x + 0.5)
            for name, x in zip("abcd", (a, b, c, d), strict=True)
        )
    else:
        sheet.add("a", "events, treatment", f"{a}", a)
        sheet.add("b", "no event, treatment", f"{n1} − {e1}", b)
        sheet.add("c", "events, control", f"{c}", c)
        sheet.add("d", "no event, control", f"{n2} − {e2}", d)
    n1, n2 = Number(a + b), Number(c + d)
    if effect["measure"] == "OR":
        value = sheet.add("OR", "a d / (b c)", f"{a} × {d} / ({b} × {c})", a * d / (b * c))
        estimate = sheet.add("ln OR", "natural logarithm", f"ln {value}", math.log(value))
        filled = f"1/{a} + 1/{b} + 1/{c} + 1/{d}"
        variance = sheet.add("V", "1/a + 1/b + 1/c + 1/d", filled, 1 / a + 1 / b + 1 / c + 1 / d)
    elif effect["measure"] == "RR":
        value = sheet.add(
            "RR", "(a/(a + b)) / (c/(c + d))", f"({a}/{n1}) / ({c}/{n2})", (a / n1) / (c / n2)
        )
        estimate = sheet.add("ln RR", "natural logarithm", f"ln {value}", math.log(value))
        variance = sheet.add(
            "V", "1/a − 1/(a + b) + 1/c − 1/(c + d)", f"1/{a} − 1/{n1} + 1/{c} − 1/{n2}",
            1 / a - 1 / n1 + 1 / c - 1 / n2,
        )  # fmt: skip
    else:
        estimate = sheet.add("RD", "a/(a + b) − c/(c + d)", f"{a}/{n1} − {c}/{n2}", a / n1 - c / n2)
        variance = sheet.add(
            "V", "ab/(a + b)³ + cd/(c + d)³", f"{a} × {b}/{n1}³ + {c} × {d}/{n2}³",
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


def limit_steps(
    estimate: float, reach: float, se: float, mark: str, name: str = "SE", prefix: str = ""
) -> list[Step]:
    """Return the steps to both limits: ``reach`` standard errors below and above."""
    y, q, size = Number(estimate), Number(reach), Number(se)
    return [
        Step(f"{prefix}low", f"y − {mark} {name}", f"{y:b} − {q} × {size}", y - q * size),
        Step(f"{prefix}high", f"y + {mark} {name}", f"{y:b} + {q} × {size}", y + q * size),
    ]


def interval_steps(
    estimate: float, variance: float, *, is_ratio: bool, level: float = 0.95
) -> list[Step]:
    """Return the steps from an effect and its variance to the interval of its row."""
    se, z = math.sqrt(variance), critical_value(level, None)
    first = Step("SE", "√V", f"√{number(variance)}", se)
    ratios = ratio_steps(estimate, estimate - z * se, estimate + z * se) if is_ratio else ()
    return [first, *limit_steps(estimate, z, se, "z"), *ratios]


def difference_steps(effects: Sequence[Effect], groups: Sequence[str], measure: str) -> list[Step]:
    """Return the steps of one group's effect minus the other's, within one trial."""
    parts = [
        [
            effect
            for effect in effects
            if any(part.endswith(f"={name}") for part in effect["subgroup"].split(";"))
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


def join_steps(effects: Sequence[Effect], measure: str, mark: str) -> list[Step]:
    """Return how several comparisons of one study became one effect; y and V stand last."""
    steps: list[Step] = []
    once: dict[tuple[str, str, str], list[Effect]] = {}
    for effect in effects:
        arms = (effect["subgroup"], effect["arm_id"], effect["comparator_arm_id"])
        once.setdefault(arms, []).append(effect)
    kept: list[Effect] = []
    for members in once.values():
        first, count = members[0].copy(), len(members)
        if len(once) < len(effects):
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
    kept.sort(key=lambda one: (one["subgroup"], one["arm_id"], one["comparator_arm_id"]))
    if len(kept) == 1:
        return [
            *steps,
            Step(f"y{mark}", "as above", "", kept[0]["estimate"]),
            Step(f"V{mark}", "as above", "", kept[0]["variance"]),
        ]
    covariance = effects_covariance(kept, measure)
    joined = join_effects(np.array([one["estimate"] for one in kept]), covariance)
    return [*steps, *share_steps(kept, np.array(joined.weights), covariance, mark)]


def effects_covariance(effects: Sequence[Effect], measure: str) -> np.ndarray:
    """Return the sampling covariance of effects of one study, shape (m, m)."""
    return study_covariance(Measure(measure), StudyEffects.of(effects))


def share_steps(
    effects: Sequence[Effect], shares: np.ndarray, covariance: np.ndarray, mark: str = ""
) -> list[Step]:
    """Return how effects of one study that share people make one; y and V stand last."""
    marks = ["₁₂₃₄₅₆₇₈₉"[i] if i < 9 else f"({i + 1})" for i in range(len(effects))]
    names = [f"{e['arm_id']} v {e['comparator_arm_id']}".replace("_", " ") for e in effects]
    values = [effect["estimate"] for effect in effects]
    pairs = [(i, j) for i in range(len(effects)) for j in range(i + 1, len(effects))]
    filled = " + ".join(
        f"{bracketed(share)} × {bracketed(value)}"
        for share, value in zip(shares, values, strict=True)
    )
    words = "with the shares and covariances above"
    return [
        *(
            Step(f"w{at}", f"share of {name}, from the inverse covariance matrix", "", float(share))
            for at, name, share in zip(marks, names, shares, strict=True)
        ),
        *(
            Step(f"cov{marks[i]}{marks[j]}", "covariance, because both share an arm", "",
                 float(covariance[i, j]))
            for i, j in pairs if covariance[i, j]
        ),
        Step(f"y{mark}", "Σ w y", filled, math.fsum(shares * np.array(values))),
        Step(f"V{mark}", "Σ Σ w w cov", words, float(shares @ covariance @ shares)),
    ]  # fmt: skip


def joined_arm_steps(effect: Effect, mark: str, members: int, *, treated: bool) -> list[Step]:
    """Return the numbers of an arm put together from several."""
    words, (m1, s1, n1, m2, s2, n2) = f"{members} arms put together", _scores(effect)
    steps = [Step(f"n{mark}", "Σ n", words, n1 if treated else n2)]
    if effect["data_kind"] == "events":
        events = effect["events_treatment"] if treated else effect["events_control"]
        return [*steps, Step(f"events{mark}", "Σ events", words, events)]
    return [
        *steps,
        Step(f"m{mark}", "Σ n m / Σ n", words, m1 if treated else m2),
        Step(f"SD{mark}", "√((Σ (n − 1) SD² + Σ n (m − mean)²) / (Σ n − 1))", words,
             s1 if treated else s2),
    ]  # fmt: skip


# --- printed comparisons ------------------------------------------------------------------------


class _Printed(_Sheet):
    """The calculation of an effect from one printed comparison.

    ``row`` is the row of ``contrasts``, ``effect`` its row of the effect table, whose measure and
    route say which way was taken; ``paired`` says whether both arms are the same people.
    """

    def __init__(self, row: Row, effect: Effect, paired: bool, r: float | None) -> None:
        super().__init__()
        self.effect, self.paired, self.r = effect, paired, r
        self.numbers: Numbers = {
            "n_treatment": effect["n_treatment"], "n_control": effect["n_control"], **row.numbers
        }  # fmt: skip
        self.side = {"treatment": -1, "control": 1}.get(row["favours"], 0)
        self.parts = effect["route"].split("+")

    def read(self, *names: str) -> list[Number]:
        return _read(self.numbers, *names)

    def df(self, paired: bool) -> float | None:
        """Return the degrees of freedom: printed, or those of the sizes."""
        if _has(self.numbers, "df"):
            return self.numbers["df"]
        if paired and _has(self.numbers, "n_treatment"):
            return self.numbers["n_treatment"] - 1
        if _has(self.numbers, "n_treatment") and _has(self.numbers, "n_control"):
            return self.numbers["n_treatment"] + self.numbers["n_control"] - 2
        return None

    def t(self, df: float | None) -> Number:
        """Add the size of t."""
        if "t_printed" in self.parts:
            (t,) = self.read("t")
            return self.add("t", "as printed, without its sign", f"{t}", abs(t))
        if "f_to_t" in self.parts:
            (f,) = self.read("f")
            return self.add("t", "√F", f"√{f}", math.sqrt(f))
        (p,) = self.read("p")
        assert df is not None
        words = "the t that has the printed two-sided p with this many degrees of freedom"
        return self.add("t", words, f"p = {p}, {Number(df)} df", -float(special.stdtrit(df, p / 2)))

    def se_of_t(self, estimate: float, df: float | None) -> Number:
        """Add t, and the standard error that it makes of a difference."""
        size, t = Number(abs(estimate)), self.t(df)
        return self.add("SE", "|D| / t", f"{size}/{t}", size / t)

    def se(self, estimate: float, df: float | None) -> Number:
        """Add the standard error of a printed difference."""
        if "se_printed" in self.parts:
            (se,) = self.read("se")
            return self.add("SE", "as printed", f"{se}", se)
        if "ci_to_se" in self.parts:
            upper = 0.5 + _level(self.numbers) / 2
            low, high = self.read("ci_low", "ci_high")
            q = Number(special.ndtri(upper) if df is None else special.stdtrit(df, upper))
            word = "z" if df is None else f"t with {Number(df)} df"
            formula, filled = f"(high − low) / (2 q), q = {word}", f"({high} − {low:b}) / (2 × {q})"
            return self.add("SE", formula, filled, (high - low) / (2 * q))
        if "paired_printed" in self.parts:
            sd, n = self.read("sd_difference", "n_treatment")
            return self.add("SE", "SD of differences / √n", f"{sd}/√{n}", sd / math.sqrt(n))
        return self.se_of_t(estimate, df)

    def ratio(self) -> Worked:
        printed, low, high = self.read("estimate", "ci_low", "ci_high")
        z = Number(special.ndtri(0.5 + _level(self.numbers) / 2))
        estimate = self.add("y", "ln(printed ratio)", f"ln {printed}", math.log(printed))
        se = self.add(
            "SE", "(ln high − ln low) / (2 z)", f"(ln {high} − ln {low}) / (2 × {z})",
            (math.log(high) - math.log(low)) / (2 * z),
        )  # fmt: skip
        return self.squared(estimate, se)

    def standardised(self) -> Worked:
        (printed,) = self.read("estimate")
        words = "size as printed; sign from the source's statement which arm did better"
        g = self.add("g", words, f"{printed}", self.side * abs(printed))
        if "smd_variance_from_n" in self.parts:
            n1, n2 = self.read("n_treatment", "n_control")
            return self.done(g, _g_variance(self, g, n1, n2))
        return self.squared(g, self.se(g, None))

    def means(self) -> Worked:
        value = Number(self.effect["estimate"])
        estimate = self.add("D", "difference of the printed means", f"{value}", value)
        return self.squared(estimate, self.se_of_t(estimate, self.df(False)))

    def within(self) -> Number | None:
        """Add the correlation within persons, where it is known."""
        if self.r is None:
            return None
        return self.add("r", "correlation within persons", "as printed or assumed", self.r)

    def difference(self, direction: str) -> Worked | None:
        (printed,) = self.read("estimate")
        turned = "sign_from_words" in self.parts
        words = "size as printed; sign from which arm did better" if turned else "as printed"
        difference = self.add("D", words, f"{printed}", -printed if turned else printed)
        risk = self.effect["measure"] == "RD"
        se = self.se(printed, None if risk else self.df(self.paired))
        if self.effect["measure"] != "SMD":
            return self.squared(difference, se)
        (n1,) = self.read("n_treatment")
        if direction == "higher_is_better":
            words = "−D, because higher scores are better"
            difference = self.add("D", words, f"−{difference:b}", -difference)
        if self.paired:
            if (r := self.within()) is None:
                return None
            sd = self.add(
                "SD", "SE √n / √(2 (1 − r))", f"{se} × √{n1} / √(2 × (1 − {r:b}))",
                se * math.sqrt(n1) / math.sqrt(2 * (1 - r)),
            )  # fmt: skip
            d = self.add("d", "D / SD", f"{difference} / {sd}", difference / sd)
            return _paired_g(self, d, n1, r, flipped=False)
        (n2,) = self.read("n_control")
        filled = f"{se} / √(1/{n1} + 1/{n2})"
        sd = self.add("SD", "SE / √(1/n₁ + 1/n₂)", filled, se / math.sqrt(1 / n1 + 1 / n2))
        filled = f"{difference} / {sd}"
        return _g(self, difference / sd, "D / SD", filled, n1, n2, flipped=False)

    def test(self) -> Worked | None:
        t = self.t(self.df(self.paired))
        t = self.add("t", "sign: negative where the treatment did better", f"{t}", self.side * t)
        (n1,) = self.read("n_treatment")
        if self.paired:
            if (r := self.within()) is None:
                return None
            filled = f"{t:b} × √(2 × (1 − {r:b})/{n1})"
            d = self.add("d", "t × √(2 (1 − r)/n)", filled, t * math.sqrt(2 * (1 - r) / n1))
            return _paired_g(self, d, n1, r, flipped=False)
        (n2,) = self.read("n_control")
        value, filled = t * math.sqrt(1 / n1 + 1 / n2), f"{t:b} × √(1/{n1} + 1/{n2})"
        return _g(self, value, "t × √(1/n₁ + 1/n₂)", filled, n1, n2, flipped=False)


def worked_contrast(
    row: Row, effect: Effect, *, direction: str, paired: bool, correlation: float | None
) -> Worked | None:
    """Return the calculation of an effect from one row of ``contrasts``.

    Parameters
    ----------
    row : Row
    effect : Effect
        The row of the effect table: its measure and route say which way was taken.
    direction : str
        Of the instrument.
    paired : bool
        Whether both arms are the same people.
    correlation : float or None
        Printed or assumed, for paired comparisons.
    """
    printed = _Printed(row, effect, paired, correlation)
    if "ratio_printed" in printed.parts:
        return printed.ratio()
    if "smd_printed" in printed.parts:
        return printed.standardised()
    if "means_printed" in printed.parts:
        return printed.means()
    return printed.difference(direction) if "md_printed" in printed.parts else printed.test()
