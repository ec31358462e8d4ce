"""Lines of R that repeat the published numbers, for models beyond one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ketameta.formatting import published
from ketameta.models.dose.dose_response import curve_basis


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
