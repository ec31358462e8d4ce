"""How pooled numbers are made, step by step, and the lines of R that give the same.

A pool from its rows; a network from its contrasts; curves and means over time. Worked a second
time, from the formulas and the stored rows alone; a test holds that the published numbers come out.

A room of its own because what a page shows of a number is not how the number was computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from ketameta.analyses.network import treatment_label
from ketameta.analyses.parts import Network, kept
from ketameta.analyses.policy import bounds_words
from ketameta.analyses.result import AnalysisResult, Headline, Pooled
from ketameta.analyses.sentences import estimate_words, network_order
from ketameta.evidence.project import Project
from ketameta.formatting import published
from ketameta.measures import Measure
from ketameta.models.dose import curve_basis
from ketameta.report.plots import COUNTS
from ketameta.report.provenance import Trial, comparison_words, known, rows_of
from ketameta.report.tables import Cell, Table
from ketameta.report.worked import (
    Step,
    bracketed,
    limit_steps,
    number,
    ratio_steps,
)

# --- a pool ---------------------------------------------------------------------------------------

#: metafor's names of the intervals.
R_TESTS = {"wald": "z", "knapp-hartung": "knha", "knapp-hartung-conservative": "adhoc"}


@dataclass(frozen=True, slots=True)
class PooledCard:
    """How a pooled number is made; nothing is pooled of one trial, which has no table."""

    label: str
    steps: list[Step]
    table: Table | None
    r_line: str
    is_conservative: bool


def r_line(estimates: Sequence[float], variances: Sequence[float], pooled: Pooled) -> str:
    """Return the line of R whose result is the pooled number, from the rows as published."""
    yi, vi = r_numbers(estimates), r_numbers(variances)
    level = _level(pooled["level"])
    if pooled["tau2_method"] is None:
        return f'metafor::rma(yi={yi}, vi={vi}, method="EE"{level})'
    # By default R stops a search at the fifth decimal.
    searched = pooled["tau2_method"] in ("REML", "ML", "EB")
    search = ", control=list(threshold=1e-12, maxiter=10000)" if searched else ""
    return (
        f'metafor::rma(yi={yi}, vi={vi}, method="{pooled["tau2_method"]}", '
        f'test="{R_TESTS[pooled["ci_method"]]}"{level}{search})'
    )


def pooled_steps(
    estimates: Sequence[float], variances: Sequence[float], pooled: Pooled
) -> list[Step]:
    """Return the steps from effects and variances to the pooled estimate and its interval."""
    k = len(estimates)
    if k < 2:
        y, v = estimates[0], variances[0]
        z = float(special.ndtri(0.5 + pooled["level"] / 2))
        se = math.sqrt(v)
        return [
            Step("y", "the effect itself: nothing is pooled", "", y),
            Step("SE", "√V", f"√{number(v)}", se),
            *limit_steps(y, z, se, "z"),
        ]
    tau2 = pooled["tau2"] or 0.0
    w = [1 / (v + tau2) for v in variances]
    total = math.fsum(w)
    weighted = math.fsum(a * b for a, b in zip(w, estimates, strict=True))
    mean = weighted / total
    spread = math.fsum(a * (b - mean) ** 2 for a, b in zip(w, estimates, strict=True))
    factor = spread / (k - 1)
    wald = math.sqrt(1 / total)
    method = pooled["ci_method"]
    scale = {"wald": 1.0, "knapp-hartung": factor}.get(method, max(1.0, factor))
    se = wald * math.sqrt(scale)
    upper = 0.5 + pooled["level"] / 2
    q = float(special.ndtri(upper) if method == "wald" else special.stdtrit(k - 1, upper))
    steps = [
        Step("τ²", f"by {pooled['tau2_method']}, a search; the line of R repeats it", "", tau2),
        Step("Σw", "Σ 1/(V + τ²)", "over the rows below", total),
        Step("Σwy", "Σ w y", "over the rows below", weighted),
        Step("y", "Σwy / Σw", f"{bracketed(weighted)} / {number(total)}", mean),
        Step("SE₀", "√(1/Σw)", f"√(1/{number(total)})", wald),
    ]
    if method != "wald":
        steps += [
            Step("H", "Σ w (effect − y)² / (k − 1)", f"{number(spread)} / {k - 1}", factor),
            Step(
                "SE",
                "SE₀ × √(the larger of H and 1)" if scale != factor or factor >= 1 else "SE₀ × √H",
                f"{number(wald)} × √{number(scale)}",
                se,
            ),
        ]
    word = "z" if method == "wald" else f"t with {k - 1} df"
    steps += [Step("q", f"{word}, two-sided", "", q), *limit_steps(mean, q, se, "q")]
    if pooled["pi_low"] is not None:
        t = float(special.stdtrit(k - 2, upper))
        wide = math.sqrt(tau2 + se**2)
        steps += [
            Step("t", f"t with {k - 2} df, two-sided", "", t),
            *limit_steps(mean, t, wide, "t", "√(τ² + SE²)", "PI "),
        ]
    return steps


def _ratio_steps(pooled: Pooled) -> list[Step]:
    """Return the steps from the logarithms to the ratios that are printed."""
    steps = ratio_steps(*known(pooled["estimate"], pooled["ci_low"], pooled["ci_high"]))
    for end, value in (("low", pooled["pi_low"]), ("high", pooled["pi_high"])):
        if value is not None:
            words = f"PI ratio {end}", f"e to PI {end}", f"e^{bracketed(value)}"
            steps.append(Step(*words, math.exp(value)))
    return steps


def pooled_card(
    label: str, rows: Sequence[Trial], pooled: Pooled, result: AnalysisResult
) -> PooledCard:
    """Return what stands behind one pooled number of a result."""
    estimates = [row.estimate for row in rows]
    variances = [row.variance for row in rows]
    tau2 = pooled["tau2"] or 0.0
    several = len(rows) > 1
    steps = pooled_steps(estimates, variances, pooled)
    head = ("Trial", "Effect", "V", "w")
    inputs = [
        (row.label, row.estimate, row.variance, published(1 / (row.variance + tau2)))
        for row in rows
    ]
    return PooledCard(
        label,
        steps + (_ratio_steps(pooled) if result["is_ratio"] else []),
        inputs_table(f"Inputs of {label}: {result['title']}", head, inputs) if several else None,
        r_line(estimates, variances, pooled) if several else "",
        pooled["ci_method"] == "knapp-hartung-conservative",
    )


def inputs_table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str | float | Cell]]
) -> Table:
    """Return what a number is made of; numbers have six figures."""
    numbers = [isinstance(cell, float) for cell in rows[0]]
    return Table.of(
        caption,
        [(name, "n") if is_number else name for name, is_number in zip(head, numbers, strict=True)],
        [[number(cell) if isinstance(cell, float) else cell for cell in row] for row in rows],
    )


@dataclass(frozen=True, slots=True)
class HeadlineCard:
    """How a headline that is no weighted mean is made: its rule, and lines that repeat it.

    The lines of R and their note are empty where R has no function for it; that of Python where
    several comparisons of one trial are joined, because counts cannot be joined.
    """

    label: str
    rule: str
    value: str
    is_ratio: bool
    python_line: str
    r_line: str
    r_note: str


def headline_card(label: str, trials: Sequence[Trial], headline: Headline) -> HeadlineCard:
    """Return how a headline that is no weighted mean is made."""
    level = "" if headline["level"] == 0.95 else f", level={headline['level']:g}"
    counts = [trial.counts for trial in trials if trial.counts]
    counted = (
        len(counts) == len(trials)
        and headline["rule"]["code"].endswith(COUNTS)
        and not headline["weights"]
    )
    e1, n1, e2, n2 = (
        [numbers[place] for numbers in counts] if counted else [] for place in range(4)
    )
    given = f"{e1}, {n1}, {e2}, {n2}"
    prior = f"ketameta.HalfNormal({headline['prior_scale']})"
    python = r_line = r_note = ""
    if headline["interval"] == "credible" and counted:
        python = f"ketameta.bayes_event_counts({given}, {prior}{level})"
    elif headline["interval"] == "credible" and headline["weights"]:
        y, v = [trial.estimate for trial in trials], [trial.variance for trial in trials]
        python = f"ketameta.bayes_random_effects({y}, {v}, {prior}{level})"
        if not level:
            r_line = (
                f"bayesmeta::bayesmeta(y={r_numbers(y)}, sigma=sqrt({r_numbers(v)}), "
                'interval.type="central", tau.prior=function(t) '
                f"bayesmeta::dhalfnormal(t, scale={headline['prior_scale']}))"
            )
            r_note = "It computes on a coarser grid: the third decimal may differ."
    elif headline["interval"] == "exact" and counted:
        cells = [e1[0], n1[0] - e1[0], e2[0], n2[0] - e2[0]]
        share = "" if not level else f", conf.level={headline['level']:g}"
        r_line = f"fisher.test(matrix({r_numbers(cells)}, 2){share})"
    elif headline["interval"] == "confidence" and counted:
        python = f"ketameta.binomial_normal({given}{level})"
        r_line = (
            f'metafor::rma.glmm(measure="OR", ai={r_numbers(e1)}, n1i={r_numbers(n1)}, '
            f'ci={r_numbers(e2)}, n2i={r_numbers(n2)}, model="CM.EL")'
        )
        r_note = "Its search stops earlier: the fourth digit may differ."
    return HeadlineCard(
        label,
        headline["rule"]["sentence"],
        led_by_another(headline),
        headline["is_ratio"],
        python,
        r_line,
        r_note,
    )


def led_by_another(headline: Headline | None) -> str:
    """Return what is published where another model than the usual one leads; else nothing."""
    if headline is None or headline["rule"]["code"] in ("single_trial", "several_trials"):
        return ""
    if not headline["method"]:
        return ""
    measure = Measure(headline["measure"])
    if headline["estimate"] is None or None in (headline["ci_low"], headline["ci_high"]):
        led = bounds_words(headline["ci_low"], headline["ci_high"], measure)
    else:
        led = f"{headline['effect']} {estimate_words(headline, measure)}"
    return f"{headline['method']}: {led}"


# --- a network ------------------------------------------------------------------------------------

#: A share below this is rounding error of a comparison that has none.
_NO_SHARE = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """How a treatment's estimate follows from the contrasts, each with its share."""

    treatment: str
    label: str
    card_id: str
    steps: list[Step]
    shares: list[float]
    tables: list[Table]


def network_estimates(result: AnalysisResult, project: Project) -> list[Estimate]:
    """Return, per treatment against the reference, the steps from contrasts to its interval.

    Notes
    -----
    An estimate of a network is a weighted sum of the trials' contrasts, ``h' y`` with
    ``H = (X' W X)^-1 X' W``, ``W = (S + tau^2 R)^-1``, R one on the diagonal and one half between
    contrasts of one trial. Its standard error is ``sqrt(h' (S + tau^2 R) h)``.
    """
    if (net := kept(result["network"])) is None:
        return []
    contrasts, (tau2,) = net["contrasts"], known(net["tau2"])
    treatments = [item["treatment"] for item in net["effects"]]
    label = project.study_label
    matrix = _shares(net, treatments)
    rank = {name: place for place, name in enumerate(network_order(net))}
    found = []
    for treatment in sorted(treatments, key=rank.__getitem__):
        row = [float(share) for share in matrix[treatments.index(treatment)]]
        shares = [share if abs(share) > _NO_SHARE else 0.0 for share in row]
        inside = [
            (i, one, h) for i, (one, h) in enumerate(zip(contrasts, shares, strict=True)) if h
        ]
        pairs = [
            (
                label(one["study"]),
                f"{treatment_label(one['treatment'])} and {treatment_label(two['treatment'])}",
                h, other, one["covariance"][two["treatment"]],
            )
            for i, one, h in inside for j, two, other in inside
            if i < j and one["study"] == two["study"]
        ]  # fmt: skip
        words = treatment_label(treatment)
        tables = [
            inputs_table(
                f"Inputs of {words}: {result['title']}",
                ("Trial and comparison", "Effect", "V", "h", "h × effect"),
                [
                    (Cell(f"{label(one['study'])}, {comparison_words(one)}",
                          href=f"#row-{result['name']}-{i + 1}"),
                     one["estimate"], one["variance"], *published([h, h * one["estimate"]]))
                    for i, one, h in inside
                ],
            )
        ]  # fmt: skip
        if pairs:
            caption = f"Pairs of comparisons of one trial, {words}: {result['title']}"
            head = ("Trial", "Comparisons", "h", "h′", "Covariance")
            tables.append(
                inputs_table(caption, head, [(*pair[:2], *published(pair[2:])) for pair in pairs])
            )
        double = 2 * math.fsum(
            h * other * (covariance + tau2 / 2) for _, _, h, other, covariance in pairs
        )
        steps = _estimate_steps(result, net, shares, double if pairs else None)
        card_id = f"estimate-{result['name']}-{rank[treatment] + 1}"
        found.append(Estimate(treatment, words, card_id, steps, shares, tables))
    return found


def _shares(net: Network, treatments: Sequence[str]) -> np.ndarray:
    """Return each contrast's share in each treatment's estimate, shape (treatments, contrasts)."""
    contrasts, (tau2,) = net["contrasts"], known(net["tau2"])
    size = len(contrasts)
    total = np.zeros((size, size))
    for i, one in enumerate(contrasts):
        for j, two in enumerate(contrasts):
            if one["study"] == two["study"]:
                alike = 1.0 if i == j else 0.5
                total[i, j] = one["covariance"][two["treatment"]] + alike * tau2
    design = np.array(
        [[float(c["treatment"] == t) - float(c["control"] == t) for t in treatments]
         for c in contrasts]
    )  # fmt: skip
    weights = np.linalg.inv(total)
    shares: np.ndarray = np.linalg.inv(design.T @ weights @ design) @ design.T @ weights
    return shares


def _estimate_steps(
    result: AnalysisResult, net: Network, shares: Sequence[float], double: float | None
) -> list[Step]:
    """Return the steps of an estimate; pairs of one trial add ``double`` to its variance."""
    (tau2,), df = known(net["tau2"]), net["df"]
    shared = list(zip(shares, net["contrasts"], strict=True))
    estimate = math.fsum(h * one["estimate"] for h, one in shared)
    single = math.fsum(h**2 * (one["variance"] + tau2) for h, one in shared)
    upper = 0.5 + result["level"] / 2
    q = float(special.ndtri(upper) if df is None else special.stdtrit(df, upper))
    se = math.sqrt(single + (double or 0.0))
    low, high = estimate - q * se, estimate + q * se
    steps = [
        Step("τ²", f"by {net['tau2_method']}, a search; the lines of R repeat it", "", tau2),
        Step("y", "Σ h × effect", "over the rows below", estimate),
        Step("A", "Σ h² (V + τ²)", "over the rows below", single),
    ]
    inner = number(single)
    if double is not None:
        words = "over the pairs of comparisons of one trial below"
        steps.append(Step("B", "2 Σ h h′ (covariance + τ²/2)", words, double))
        inner = f"({number(single)} + {bracketed(double)})"
    word = "z" if df is None else f"t with {df} df"
    return [
        *steps,
        Step("SE", "√A" if double is None else "√(A + B)", f"√{inner}", se),
        Step("q", f"{word}, two-sided", "", q),
        *limit_steps(estimate, q, se, "q"),
        *(ratio_steps(estimate, low, high) if result["is_ratio"] else ()),
    ]


# --- lines of R -----------------------------------------------------------------------------------


def r_numbers(values: Iterable[float]) -> str:
    """Return numbers as R reads them, as published."""
    return f"c({', '.join(_r_number(value) for value in values)})"


def _r_number(value: float) -> str:
    return repr(published(float(value)))


def r_texts(values: Iterable[object]) -> str:
    """Return texts as R reads them."""
    quoted = (str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "c(" + ", ".join(f'"{value}"' for value in quoted) + ")"


def r_covariance(
    variances: Sequence[float], covariances: Iterable[tuple[int, int, float]]
) -> list[str]:
    """Return lines of R for a covariance matrix called ``V``; places count from nought."""
    lines = [f"V <- diag({r_numbers(variances)})"]
    for i, j, value in covariances:
        at, back = f"{i + 1}, {j + 1}", f"{j + 1}, {i + 1}"
        lines.append(f"V[{at}] <- V[{back}] <- {_r_number(value)}")
    return lines


def network_r(result: AnalysisResult) -> str:
    """Return the lines of R that fit a network: one coefficient per treatment."""
    if (net := kept(result["network"])) is None:
        return ""
    contrasts = net["contrasts"]
    pairs = [
        (i, j, one["covariance"][two["treatment"]])
        for i, one in enumerate(contrasts)
        for j, two in enumerate(contrasts)
        if i < j and one["study"] == two["study"]
    ]
    names = [item["treatment"] for item in net["effects"]]
    common = net["tau2_method"] == "common"
    random = (
        ""
        if common
        else ', random=~treatment | study, struct="CS", rho=0.5, data=d, '
        "control=list(rel.tol=1e-10)"
    )
    method = "EE" if common else net["tau2_method"]
    test = "z" if net["df"] is None else "t"
    return "\n".join(
        [
            f"d <- data.frame(study={r_texts(c['study'] for c in contrasts)}, "
            f"treatment={r_texts(c['treatment'] for c in contrasts)}, "
            f"control={r_texts(c['control'] for c in contrasts)})",
            f"yi <- {r_numbers(c['estimate'] for c in contrasts)}",
            *r_covariance([c["variance"] for c in contrasts], pairs),
            f"X <- sapply({r_texts(names)}, function(t) (d$treatment == t) - (d$control == t))",
            f'metafor::rma.mv(yi, V, mods=~0 + X{random}, method="{method}", '
            f'test="{test}"{_level(result["level"])})',
        ]
    )


def _level(level: float) -> str:
    return "" if level == 0.95 else f", level={100 * level:g}"


class RBlock(NamedTuple):
    """Lines of R, and what they give."""

    label: str
    code: str


def r_blocks(result: AnalysisResult) -> list[RBlock]:
    """Return the lines of R behind a curve over doses or means over time."""
    return [*_dose_blocks(result), *_time_blocks(result)]


def _dose_blocks(result: AnalysisResult) -> list[RBlock]:
    if (found := kept(result["dose_response"])) is None:
        return []
    points = found["points"]
    blocks = []
    for curve, label in ((found["linear"], "a line"), (found["spline"], "a spline")):
        if curve["withheld"]:
            continue
        fit = _curve_r(
            curve["method"], curve["level"], curve["coefficients"][0]["df"],
            [p["study_id"] for p in points], known(*(p["estimate"] for p in points)),
            found["covariance"], curve_basis([p["dose"] for p in points], curve["knots"]),
        )  # fmt: skip
        basis = curve_basis(found["doses"], curve["knots"])
        asked = [
            f"D <- cbind({', '.join(r_numbers(column) for column in basis.T)})",
            "y <- drop(D %*% fit$beta); se <- sqrt(diag(D %*% vcov(fit) %*% t(D)))",
            f"cbind(dose={r_numbers(found['doses'])}, y, low=y - q * se, high=y + q * se)",
        ]
        blocks.append(RBlock(f"The effect at each dose by {label}", "\n".join([*fit, *asked])))
    among = found["among_doses"]
    if not among["withheld"]:
        rows = among["contrasts"]
        basis = curve_basis([r["dose"] for r in rows]) - curve_basis([r["control"] for r in rows])
        fit = _curve_r(
            among["method"], result["level"], among["slope"]["df"], [r["study_id"] for r in rows],
            known(*(r["estimate"] for r in rows)), among["covariance"], basis,
        )  # fmt: skip
        step = f"{found['step']:g} * (fit$beta[1] + c(0, -1, 1) * q * fit$se[1])"
        blocks.append(RBlock("The slope among treated people", "\n".join([*fit, step])))
    return blocks


def _curve_r(
    method: str,
    level: float,
    df: float | None,
    study: Sequence[str],
    estimates: Sequence[float],
    covariance: Sequence[Sequence[float]],
    basis: np.ndarray,
) -> list[str]:
    """Return the lines of R that fit one curve, called ``fit``, and its quantile, ``q``."""
    size = range(len(estimates))
    pairs = [(i, j, covariance[i][j]) for i in size for j in size if i < j and covariance[i][j]]
    columns = [f"x{place + 1}" for place in range(basis.shape[1])]
    given = ", ".join(
        f"{name}={r_numbers(column)}" for name, column in zip(columns, basis.T, strict=True)
    )
    random = (
        'method="EE"'
        if method == "common"
        else f'random=~0 + {" + ".join(columns)} | study, struct="GEN", method="{method}", '
        "control=list(rel.tol=1e-10)"
    )
    upper = f"{0.5 + level / 2:g}"
    return [
        f"d <- data.frame(study={r_texts(study)}, {given})",
        f"yi <- {r_numbers(estimates)}",
        *r_covariance([covariance[i][i] for i in size], pairs),
        f"fit <- metafor::rma.mv(yi, V, mods=~0 + {' + '.join(columns)}, data=d, {random})",
        f"q <- {f'qnorm({upper})' if df is None else f'qt({upper}, {df:g})'}",
    ]


def _time_blocks(result: AnalysisResult) -> list[RBlock]:
    if (found := kept(result["over_time"])) is None:
        return []
    rows = rows_of(result)
    means = {item["name"] for item in found["means"]}
    others = [name for name in found["classes"] if name in means and name != found["reference"]]
    level = _level(result["level"])
    shared = [
        f"d <- data.frame(study={r_texts(row['study_id'] for row in rows)}, "
        f"time={r_texts(row['group'] for row in rows)}, effect=seq_len({len(rows)}))",
        f"yi <- {r_numbers(row['estimate'] for row in rows)}",
        f"vi <- {r_numbers(row['variance'] for row in rows)}",
        f'V <- {found["rho"]!r} * outer(sqrt(vi), sqrt(vi)) * outer(d$study, d$study, "=="); '
        "diag(V) <- vi",
    ]
    fit = (
        "fit <- metafor::rma.mv(yi, V, mods=~0 + X, random=~1 | study/effect, data=d, "
        "control=list(rel.tol=1e-10))"
    )
    tested = f'clubSandwich::conf_int(fit, vcov="CR2"{level})[, c("beta", "CI_L", "CI_U")]'
    each = f"X <- sapply({r_texts(i['name'] for i in found['means'])}, function(t) +(d$time == t))"
    change = (
        f"X <- cbind(1, sapply({r_texts(others)}, function(t) +(d$time == t)))"
        "  # the first row is the reference"
    )
    return [
        RBlock("The mean effect at each time", "\n".join([*shared, each, fit, tested])),
        RBlock("The change from the reference", "\n".join([*shared, change, fit, tested])),
    ]
