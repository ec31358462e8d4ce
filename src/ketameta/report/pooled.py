"""The arithmetic of a pooled number, and the line of R that gives the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import special

from ketameta.formatting import published
from ketameta.report.r_code import r_numbers
from ketameta.report.worked import Step, number, ratio_steps

#: metafor's names of the intervals.
R_TESTS = {"wald": "z", "knapp-hartung": "knha", "knapp-hartung-conservative": "adhoc"}


def r_line(
    estimates: Sequence[float], variances: Sequence[float], pooled: Mapping[str, Any]
) -> str:
    """Return the line of R whose result is the pooled number, from the rows as published."""
    yi, vi = r_numbers(estimates), r_numbers(variances)
    level = "" if pooled["level"] == 0.95 else f", level={100 * pooled['level']:g}"
    if pooled["tau2_method"] is None:
        return f'metafor::rma(yi={yi}, vi={vi}, method="EE"{level})'
    test = R_TESTS[pooled["ci_method"]]
    return (
        f'metafor::rma(yi={yi}, vi={vi}, method="{pooled["tau2_method"]}", '
        f'test="{test}"{level}{_search(pooled["tau2_method"])})'
    )


def _search(tau2_method: str) -> str:
    """Return the tighter stop of methods that search; by default R stops at the fifth decimal."""
    if tau2_method not in {"REML", "ML", "EB"}:
        return ""
    return ", control=list(threshold=1e-12, maxiter=10000)"


def pooled_steps(
    estimates: Sequence[float], variances: Sequence[float], pooled: Mapping[str, Any]
) -> list[Step]:
    """Return the steps from effects and variances to the pooled estimate and its interval."""
    k = len(estimates)
    if k < 2:
        y, v = estimates[0], variances[0]
        z = float(special.ndtri(0.5 + pooled["level"] / 2))
        se = math.sqrt(v)
        return [
            Step("y", "the one trial's own effect", "", y),
            Step("SE", "√V", f"√{number(v)}", se),
            Step("low", "y − z SE", f"{_b(y)} − {number(z)} × {number(se)}", y - z * se),
            Step("high", "y + z SE", f"{_b(y)} + {number(z)} × {number(se)}", y + z * se),
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
        Step("y", "Σwy / Σw", f"{_b(weighted)} / {number(total)}", mean),
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
    steps += [
        Step("q", f"{word}, two-sided", "", q),
        Step("low", "y − q SE", f"{_b(mean)} − {number(q)} × {number(se)}", mean - q * se),
        Step("high", "y + q SE", f"{_b(mean)} + {number(q)} × {number(se)}", mean + q * se),
    ]
    if pooled["pi_low"] is not None:
        t = float(special.stdtrit(k - 2, upper))
        wide = math.sqrt(tau2 + se**2)
        steps += [
            Step("t", f"t with {k - 2} df, two-sided", "", t),
            Step("PI low", "y − t √(τ² + SE²)", f"{_b(mean)} − {number(t)} × {number(wide)}",
                 mean - t * wide),
            Step("PI high", "y + t √(τ² + SE²)", f"{_b(mean)} + {number(t)} × {number(wide)}",
                 mean + t * wide),
        ]  # fmt: skip
    return steps


def _b(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)


def _ratio(pooled: Mapping[str, Any]) -> list[Step]:
    """Return the steps from the logarithms to the ratios that are printed."""
    steps = ratio_steps(pooled["estimate"], pooled["ci_low"], pooled["ci_high"])
    if pooled["pi_low"] is None:
        return steps
    low, high = pooled["pi_low"], pooled["pi_high"]
    return [
        *steps,
        Step("PI ratio low", "e to PI low", f"e^{_b(low)}", math.exp(low)),
        Step("PI ratio high", "e to PI high", f"e^{_b(high)}", math.exp(high)),
    ]


def pooled_card(
    label: str,
    rows: Sequence[Mapping[str, Any]],
    pooled: Mapping[str, Any],
    *,
    is_ratio: bool = False,
) -> dict[str, Any]:
    """Return what stands behind one pooled number.

    Parameters
    ----------
    label : str
    rows : sequence of mapping
        ``label, estimate, variance`` of each independent row.
    pooled : mapping
        As stored in the result.
    is_ratio : bool, default: False
        Whether the effects are logarithms; their powers of e are then the last steps.
    """
    estimates = [float(row["estimate"]) for row in rows]
    variances = [float(row["variance"]) for row in rows]
    tau2 = pooled["tau2"] or 0.0
    return {
        "label": label,
        "steps": [
            *pooled_steps(estimates, variances, pooled),
            *(_ratio(pooled) if is_ratio else ()),
        ],
        "rows": [
            {"label": row["label"], "y": y, "v": v, "w": published(1 / (v + tau2))}
            for row, y, v in zip(rows, estimates, variances, strict=True)
        ],
        "r_line": r_line(estimates, variances, pooled) if len(rows) > 1 else "",
        "is_conservative": pooled["ci_method"] == "knapp-hartung-conservative",
    }
