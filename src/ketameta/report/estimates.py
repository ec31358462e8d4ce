"""How pooled numbers are made, step by step, and the lines of R that give the same.

A pool from its rows; a network from its contrasts, and those from cells; curves and means over
time. Worked a second time, from the formulas and the stored rows alone; a test holds that the
published numbers come out.

A room of its own because what a page shows of a number is not how the number was computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from ketameta.analyses.network import treatment_label
from ketameta.analyses.sentences import interval_words, written
from ketameta.evidence.project import NOTHING_DECLARED, Project
from ketameta.formatting import published
from ketameta.measures import Measure
from ketameta.models.dose import curve_basis
from ketameta.models.intervals import critical_value
from ketameta.report.provenance import Provenance, row_hash
from ketameta.report.result_tables import inputs_table
from ketameta.report.worked import (
    Step,
    bracketed,
    effects_covariance,
    limit_steps,
    number,
    ratio_steps,
    share_steps,
)

# --- a pool ---------------------------------------------------------------------------------------

#: metafor's names of the intervals.
R_TESTS = {"wald": "z", "knapp-hartung": "knha", "knapp-hartung-conservative": "adhoc"}


def r_line(
    estimates: Sequence[float], variances: Sequence[float], pooled: Mapping[str, Any]
) -> str:
    """Return the line of R whose result is the pooled number, from the rows as published."""
    yi, vi = r_numbers(estimates), r_numbers(variances)
    level = _level(pooled["level"])
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


def _ratio_steps(pooled: Mapping[str, Any]) -> list[Step]:
    """Return the steps from the logarithms to the ratios that are printed."""
    steps = ratio_steps(pooled["estimate"], pooled["ci_low"], pooled["ci_high"])
    if pooled["pi_low"] is None:
        return steps
    low, high = pooled["pi_low"], pooled["pi_high"]
    return [
        *steps,
        Step("PI ratio low", "e to PI low", f"e^{bracketed(low)}", math.exp(low)),
        Step("PI ratio high", "e to PI high", f"e^{bracketed(high)}", math.exp(high)),
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
            *(_ratio_steps(pooled) if is_ratio else ()),
        ],
        "rows": [
            {"label": row["label"], "y": y, "v": v, "w": published(1 / (v + tau2))}
            for row, y, v in zip(rows, estimates, variances, strict=True)
        ],
        "r_line": r_line(estimates, variances, pooled) if len(rows) > 1 else "",
        "is_conservative": pooled["ci_method"] == "knapp-hartung-conservative",
    }


# --- a network ------------------------------------------------------------------------------------

#: A share below this is rounding error of a comparison that has none.
_NO_SHARE = 1e-12


def network_cards(
    result: Mapping[str, Any], provenance: Provenance, references: Mapping[str, int]
) -> dict[str, Any] | None:
    """Return everything behind a network; ``None`` where there is no network.

    Returns
    -------
    dict or None
        ``contrasts`` (rows with ``label, shown, card, card_id`` as those of any forest plot),
        ``estimates`` (one per treatment: ``label, treatment, card_id, steps, rows, tables``) and
        ``r_code``.
    """
    net = result["network"]
    if net is None or net["withheld"]:
        return None
    return {
        "contrasts": _contrast_rows(result, provenance, references),
        "estimates": network_estimates(result, provenance.project),
        "r_code": network_r(net, result["level"]),
    }


# --- from cells to contrasts ----------------------------------------------------------------------


def _contrast_rows(
    result: Mapping[str, Any], provenance: Provenance, references: Mapping[str, int]
) -> list[dict[str, Any]]:
    measure = Measure(result["measure"])
    facts = provenance.study_facts
    known = provenance.effects_under(result["spec"]["assume"])
    rows = []
    for place, contrast in enumerate(result["network"]["contrasts"], start=1):
        study = contrast["study"]
        members = [c for c in result["network"]["contrasts"] if c["study"] == study]
        steps = contrast_steps(contrast, members, known, measure)
        names = (
            [name for member in members for name in member["effect_ids"]]
            if steps
            else contrast["effect_ids"]
        )
        row = {**facts[study], "effect_ids": names}
        reach = critical_value(float(result.get("level") or 0.95), None) * math.sqrt(
            contrast["variance"]
        )
        estimate = contrast["estimate"]
        interval = interval_words(estimate - reach, estimate + reach, measure)
        rows.append(
            {
                **row,
                "label": provenance.project.study_label(study),
                "study_id": study,
                "comparison": _comparison(contrast),
                "shown": f"{written(estimate, measure)} ({interval})",
                "sources": [s for name in names for s in str(known[name]["source"]).split(";")],
                "card": provenance.card(
                    {**row, "estimate": estimate, "variance": contrast["variance"]}, result, steps
                ),
                "card_id": f"row-{result['name']}-{place}",
                "hash": row_hash(names, estimate, contrast["variance"]),
                "reference": references[study],
            }
        )
    return rows


def _comparison(contrast: Mapping[str, Any]) -> str:
    return f"{treatment_label(contrast['treatment'])} v {treatment_label(contrast['control'])}"


def contrast_steps(
    contrast: Mapping[str, Any],
    members: Sequence[Mapping[str, Any]],
    known: Mapping[str, Mapping[str, Any]],
    measure: Measure,
) -> list[Step]:
    """Return how the effects of one study became one of its contrasts; empty where it is one.

    Notes
    -----
    Generalised least squares within the study: with the effects' covariance S and the matrix X that
    says which contrast each effect measures, the contrasts are ``(X' S^-1 X)^-1 X' S^-1 y``.
    """
    if all(len(member["effect_ids"]) == 1 for member in members):
        return []
    effects = [known[name] for member in members for name in member["effect_ids"]]
    owner = [place for place, member in enumerate(members) for _ in member["effect_ids"]]
    covariance = effects_covariance(effects, measure)
    design = np.array([[float(at == place) for place in range(len(members))] for at in owner])
    precision = np.linalg.inv(covariance)
    joined = np.linalg.inv(design.T @ precision @ design)
    mine = next(place for place, member in enumerate(members) if member is contrast)
    shares = (joined @ design.T @ precision)[mine]
    return share_steps(effects, shares, covariance)


# --- from contrasts to estimates ------------------------------------------------------------------


def network_estimates(
    result: Mapping[str, Any], project: Project = NOTHING_DECLARED
) -> list[dict[str, Any]]:
    """Return, per treatment against the reference, the steps from contrasts to its interval.

    Notes
    -----
    An estimate of a network is a weighted sum of the trials' contrasts, ``h' y`` with
    ``H = (X' W X)^-1 X' W``, ``W = (S + tau^2 R)^-1``, R one on the diagonal and one half between
    contrasts of one trial. Its standard error is ``sqrt(h' (S + tau^2 R) h)``.
    """
    net = result["network"]
    contrasts = net["contrasts"]
    treatments = [item["treatment"] for item in net["effects"]]
    label = project.study_label
    shares = _shares(net, treatments)
    rank = {item["treatment"]: place for place, item in enumerate(net["ranking"])}
    found = []
    for treatment in sorted(treatments, key=rank.__getitem__):
        h = shares[treatments.index(treatment)]
        inside = [i for i in range(len(contrasts)) if abs(h[i]) > _NO_SHARE]
        rows = [
            {
                "label": f"{label(contrasts[i]['study'])}, {_comparison(contrasts[i])}",
                "y": contrasts[i]["estimate"], "v": contrasts[i]["variance"], "h": float(h[i]),
                "product": float(h[i]) * contrasts[i]["estimate"],
                "card_id": f"row-{result['name']}-{i + 1}",
            }
            for i in inside
        ]  # fmt: skip
        pairs = [
            {
                "label": label(contrasts[i]["study"]),
                "treatments": f"{treatment_label(contrasts[i]['treatment'])} and "
                f"{treatment_label(contrasts[j]['treatment'])}",
                "h": float(h[i]), "other": float(h[j]),
                "covariance": contrasts[i]["covariance"][contrasts[j]["treatment"]],
            }
            for i in inside for j in inside
            if i < j and contrasts[i]["study"] == contrasts[j]["study"]
        ]  # fmt: skip
        words = treatment_label(treatment)
        tables = [
            inputs_table(
                f"Inputs of {words}: {result['title']}",
                ("Trial and comparison", "Effect", "V", "h", "h × effect"),
                published(rows), ("y", "v", "h", "product"),
            ),
            inputs_table(
                f"Pairs of comparisons of one trial, {words}: {result['title']}",
                ("Trial", "Comparisons", "h", "h′", "Covariance"),
                published(pairs), ("treatments", "h", "other", "covariance"),
            ),
        ]  # fmt: skip
        found.append(
            {
                "treatment": treatment,
                "label": words,
                "tables": [table for table in tables if table.rows],
                "card_id": f"estimate-{result['name']}-{rank[treatment] + 1}",
                "steps": _estimate_steps(result, rows, pairs),
                "rows": published(rows),
            }
        )
    return found


def _shares(net: Mapping[str, Any], treatments: Sequence[str]) -> np.ndarray:
    """Return each contrast's share in each treatment's estimate, shape (treatments, contrasts)."""
    contrasts = net["contrasts"]
    size = len(contrasts)
    total = np.zeros((size, size))
    for i, one in enumerate(contrasts):
        for j, two in enumerate(contrasts):
            if one["study"] == two["study"]:
                alike = 1.0 if i == j else 0.5
                total[i, j] = one["covariance"][two["treatment"]] + alike * net["tau2"]
    design = np.array(
        [[float(c["treatment"] == t) - float(c["control"] == t) for t in treatments]
         for c in contrasts]
    )  # fmt: skip
    weights = np.linalg.inv(total)
    shares: np.ndarray = np.linalg.inv(design.T @ weights @ design) @ design.T @ weights
    return shares


def _estimate_steps(
    result: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
) -> list[Step]:
    net = result["network"]
    tau2, df = net["tau2"], net["df"]
    estimate = math.fsum(row["product"] for row in rows)
    single = math.fsum(row["h"] ** 2 * (row["v"] + tau2) for row in rows)
    double = 2 * math.fsum(p["h"] * p["other"] * (p["covariance"] + tau2 / 2) for p in pairs)
    upper = 0.5 + result["level"] / 2
    q = float(special.ndtri(upper) if df is None else special.stdtrit(df, upper))
    se = math.sqrt(single + double)
    low, high = estimate - q * se, estimate + q * se
    steps = [
        Step("τ²", f"by {net['tau2_method']}, a search; the lines of R repeat it", "", tau2),
        Step("y", "Σ h × effect", "over the rows below", estimate),
        Step("A", "Σ h² (V + τ²)", "over the rows below", single),
    ]
    inner = number(single)
    if pairs:
        words = "over the pairs of comparisons of one trial below"
        steps.append(Step("B", "2 Σ h h′ (covariance + τ²/2)", words, double))
        inner = f"({number(single)} + {bracketed(double)})"
    word = "z" if df is None else f"t with {df} df"
    return [
        *steps,
        Step("SE", "√(A + B)" if pairs else "√A", f"√{inner}", se),
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


def network_r(net: Mapping[str, Any], level: float) -> str:
    """Return the lines of R that fit a network: one coefficient per treatment."""
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
            f'test="{test}"{_level(level)})',
        ]
    )


def _level(level: float) -> str:
    return "" if level == 0.95 else f", level={100 * level:g}"


def r_blocks(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the lines of R behind a curve over doses or means over time, each with its label."""
    return [*_dose_blocks(result), *_time_blocks(result)]


def _dose_blocks(result: Mapping[str, Any]) -> list[dict[str, str]]:
    found = result["dose_response"]
    if found is None or found["withheld"]:
        return []
    points = found["points"]
    blocks = []
    for name, label in (("linear", "a line"), ("spline", "a spline")):
        curve = found[name]
        if curve["withheld"]:
            continue
        fit = _curve_r(
            curve, [p["study_id"] for p in points], [p["estimate"] for p in points],
            found["covariance"], curve_basis([p["dose"] for p in points], curve["knots"]),
        )  # fmt: skip
        basis = curve_basis(found["doses"], curve["knots"])
        asked = [
            f"D <- cbind({', '.join(r_numbers(column) for column in basis.T)})",
            "y <- drop(D %*% fit$beta); se <- sqrt(diag(D %*% vcov(fit) %*% t(D)))",
            f"cbind(dose={r_numbers(found['doses'])}, y, low=y - q * se, high=y + q * se)",
        ]
        blocks.append(
            {"label": f"The effect at each dose by {label}", "code": "\n".join([*fit, *asked])}
        )
    among = found["among_doses"]
    if not among["withheld"]:
        rows = among["contrasts"]
        basis = curve_basis([r["dose"] for r in rows]) - curve_basis([r["control"] for r in rows])
        fit = _curve_r(
            {**among, "level": result["level"], "coefficients": [among["slope"]]},
            [r["study_id"] for r in rows], [r["estimate"] for r in rows], among["covariance"],
            basis,
        )  # fmt: skip
        step = f"{found['step']:g} * (fit$beta[1] + c(0, -1, 1) * q * fit$se[1])"
        blocks.append({"label": "The slope among treated people", "code": "\n".join([*fit, step])})
    return blocks


def _curve_r(
    fit: Mapping[str, Any],
    study: Sequence[str],
    estimates: Sequence[float],
    covariance: Sequence[Sequence[float]],
    basis: Any,
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
        if fit["method"] == "common"
        else f'random=~0 + {" + ".join(columns)} | study, struct="GEN", method="{fit["method"]}", '
        "control=list(rel.tol=1e-10)"
    )
    df = fit["coefficients"][0]["df"]
    upper = f"{0.5 + fit['level'] / 2:g}"
    return [
        f"d <- data.frame(study={r_texts(study)}, {given})",
        f"yi <- {r_numbers(estimates)}",
        *r_covariance([covariance[i][i] for i in size], pairs),
        f"fit <- metafor::rma.mv(yi, V, mods=~0 + {' + '.join(columns)}, data=d, {random})",
        f"q <- {f'qnorm({upper})' if df is None else f'qt({upper}, {df:g})'}",
    ]


def _time_blocks(result: Mapping[str, Any]) -> list[dict[str, str]]:
    found = result["over_time"]
    if found is None or found["withheld"]:
        return []
    rows = [row for group in result["groups"] for row in group["rows"]]
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
        {"label": "The mean effect at each time", "code": "\n".join([*shared, each, fit, tested])},
        {
            "label": "The change from the reference",
            "code": "\n".join([*shared, change, fit, tested]),
        },
    ]
