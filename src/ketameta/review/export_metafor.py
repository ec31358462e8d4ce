"""One analysis for metafor: the effects as CSV and an R script that recomputes the main result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ketameta.analyses.rows import study_rows
from ketameta.review.batch_files import csv_text

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.effect_table import EffectTable
    from ketameta.evidence import Evidence

COLUMNS = (
    *("study_id", "label", "year", "yi", "vi", "sei", "n_treatment", "n_control"),
    *("events_treatment", "events_control", "intervention", "comparator", "outcome", "instrument"),
    *("time_days", "group", "prior_treatment_resistance", "adhd_subtype", "route", "doi"),
)
#: metafor's word for each way to make the interval.
_TESTS = {
    "wald": "z",
    "knapp-hartung": "knha",
    "knapp-hartung-conservative": "adhoc",
}
#: Two searches for the same variance; the script asks metafor to stop at 1e-10, not at its 1e-5.
_TOLERANCE = "1e-6"


def metafor_files(
    spec: AnalysisSpec, table: EffectTable, evidence: Evidence, result: Mapping[str, Any]
) -> dict[str, str]:
    """Return the CSV and the R script of one analysis by file name.

    Parameters
    ----------
    spec : AnalysisSpec
    table : EffectTable
        Effects under the assumptions of ``spec``.
    evidence : Evidence
    result : mapping
        The result of the analysis; the script compares metafor's numbers with it and stops where
        they differ.
    """
    from ketameta.analyses.selection import select_effects

    rows = [row for group in result["groups"] for row in group["rows"]]
    if len({row["study_id"] for row in rows}) < len(rows):
        # A trial in several groups: its effects are joined before they are pooled.
        selected = select_effects(spec, table, evidence)
        rows = study_rows(selected.used, spec.model.measure, "study_id")
    text = csv_text(COLUMNS, [_cells(row) for row in rows])
    return {f"{spec.name}.csv": text, f"{spec.name}.R": _script(spec, result, len(rows))}


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    cells = {name: _text(row.get(name)) for name in COLUMNS}
    cells |= {
        "yi": _text(row["estimate"]),
        "vi": _text(row["se"] ** 2 if row.get("variance") is None else row["variance"]),
        "sei": _text(row["se"]),
    }
    return cells


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _script(spec: AnalysisSpec, result: Mapping[str, Any], k: int) -> str:
    """Return an R script that reads the CSV and recomputes the pooled result."""
    model = spec.model
    title = " ".join(spec.title.split())
    lines = [
        f"# {title}",
        f"# {model.measure.label}; recomputed with metafor from {spec.name}.csv.",
        f"# Run with: Rscript {spec.name}.R",
        "suppressMessages(library(metafor))",
        f'dat <- read.csv("{spec.name}.csv", stringsAsFactors = FALSE)',
    ]
    pooled = result["pooled"]
    if k == 0:
        return "\n".join([*lines, 'cat("No eligible trial.\\n")']) + "\n"
    if pooled is None or k < 2:
        why = "One trial; nothing is pooled." if k == 1 else "Groups are not pooled together."
        return "\n".join([*lines, "print(dat[, 2:6])", f'cat("{why}\\n")']) + "\n"
    expected = ", ".join(
        f"{name} = {pooled[name]!r}" for name in ("estimate", "ci_low", "ci_high", "tau2")
    )
    lines += [
        "fit <- rma(",
        f'  yi, vi, data = dat, slab = label, method = "{model.tau2_method}",',
        f'  test = "{_TESTS[model.ci_method]}", level = {100 * model.level:g},',
        "  control = list(threshold = 1e-10, tol = 1e-12, maxiter = 10000)",
        ")",
        "print(fit)",
        f"expected <- c({expected})",
        "found <- c(",
        "  estimate = as.numeric(fit$beta), ci_low = fit$ci.lb, ci_high = fit$ci.ub,",
        "  tau2 = fit$tau2",
        ")",
        "print(rbind(expected, found), digits = 10)",
        f"stopifnot(all(abs(found - expected) <= {_TOLERANCE} * (1 + abs(expected))))",
        'cat("metafor gives the same result.\\n")',
    ]
    return "\n".join(lines) + "\n"
