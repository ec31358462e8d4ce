"""How far the numbers are from metafor's and others': every stored reference, measured again.

``python benchmarks/agreement.py`` writes ``docs/agreement.md``. Needs no R: the reference values
are in ``tests/reference``, where the scripts that made them are too.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pages import wrapped
from scipy import special

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import dependence_values as three  # noqa: E402
import metafor_values as basic  # noqa: E402
import robustness_values as again  # noqa: E402
import test_binomial_normal as glmm  # noqa: E402
import test_influence as infl  # noqa: E402
import test_measures as registry  # noqa: E402
import test_network as net  # noqa: E402
import test_rare_events as rare  # noqa: E402
import test_robust as sandwich  # noqa: E402
import test_selection_model as chosen  # noqa: E402
import test_small_study as small  # noqa: E402
from ketameta import (  # noqa: E402
    baujat,
    cumulative,
    effect_sizes,
    egger_test,
    gosh,
    influence,
    leave_one_out,
    mantel_haenszel,
    permutation_test,
    peters_test,
    random_effects,
    rank_test,
    robust,
    selection_model,
    subgroup_analysis,
    trim_and_fill,
)
from ketameta.measures import MEASURES  # noqa: E402
from ketameta.paths import write_atomically  # noqa: E402

PAGE = ROOT / "docs" / "agreement.md"
#: Outcome of recomputing the published report in R.
RECOMPUTED = Path(__file__).resolve().parent / "recomputed.json"

#: Names of ``metafor_values`` by what a reader calls them.
GROUPS = {
    "mean, standard error, interval, test": ("beta", "se", "stat", "pval", "ci.lb", "ci.ub"),
    "tau-squared and its standard error": ("tau2", "se.tau2"),
    "Q and its p-value": ("QE", "QEp"),
    "I-squared, H-squared": ("I2", "H2"),
    "log-likelihood, AIC, BIC": ("log_likelihood", "deviance", "aic", "bic", "aicc"),
    "tau-squared and I-squared by Q-profile": ("QP.lb", "QP.ub", "QP.I2.lb", "QP.I2.ub"),
    "tau-squared by profile likelihood": ("PL.lb", "PL.ub"),
    "prediction interval": ("pi.lb", "pi.ub", "pi.HTS.lb", "pi.HTS.ub"),
    "test of moderators": ("QM", "QMp"),
    "R-squared": ("R2",),
    "predicted means": ("pred", "pred.se", "pred.ci"),
}
GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}


#: The block of the effect sizes, which have a table of their own.
EFFECT_SIZES = "effect sizes"


class Gap(NamedTuple):
    """One comparison: block, quantity, data set, largest relative difference."""

    block: str
    quantity: str
    data: str
    size: float
    count: int = 1


def relative(ours: object, theirs: object, unit: object = None) -> float:
    """Return the largest difference relative to a unit; missing reference values are skipped."""
    return again.largest(ours, theirs, unit)


def given(ours: np.ndarray, theirs: object) -> float:
    """Return the largest difference where there is a number: of one cluster alone there is none."""
    return relative(ours, np.where(np.isfinite(ours), np.asarray(theirs, dtype=float), np.nan))


def pooled() -> Iterator[Gap]:
    """Every estimator and test, without and with moderators."""
    for block, gaps, keys in (
        ("pooled effect", basic.pooled_gaps, list(basic.DATASETS)),
        ("meta-regression", basic.regression_gaps, basic.keys_with("mods")),
    ):
        for key in keys:
            for estimator in basic.ESTIMATORS:
                for test in basic.TESTS:
                    for name, size in gaps(key, estimator, test).items():
                        yield Gap(block, GROUP_OF[name], key, size)


def subgroups() -> Iterator[Gap]:
    """The test between subgroups, with separate tau-squared."""
    for key in basic.keys_with("subgroup"):
        y, v = basic.data(key)
        for estimator in ("FE", "DL", "REML"):
            stored = basic.DATASETS[key]["outputs"]["subgroup"][estimator]
            method = "common" if estimator == "FE" else estimator
            found = subgroup_analysis(
                y,
                v,
                basic.DATASETS[key]["inputs"]["group"],
                "separate",
                method,
                "wald",
                least_tested=1,
            )
            yield Gap(
                "subgroups",
                "test between subgroups",
                key,
                max(
                    basic.relative(found.q_between, stored["Qb.separate.tau2"]),
                    basic.relative(found.q_between_p_value, stored["Qb.p"]),
                ),
            )
            for row in found.rows:
                level = stored["per"][row.level]
                yield Gap(
                    "subgroups",
                    "mean and interval of a subgroup",
                    key,
                    max(
                        basic.in_units(ours, level[theirs], level["se"])
                        for ours, theirs in (
                            (row.estimate, "beta"),
                            (row.ci_low, "ci.lb"),
                            (row.ci_high, "ci.ub"),
                        )
                    ),
                )


def permutations() -> Iterator[Gap]:
    """Exact permutation p-values."""
    for block in ("permutest_exact", "permutest_mods_exact"):
        for key in basic.keys_with(block):
            for name, stored in basic.DATASETS[key]["outputs"][block].items():
                make = basic.fitted if block == "permutest_exact" else basic.regressed
                found = permutation_test(make(key, *name.split("_")))
                size = basic.in_units(found.p_value, stored["pval"], 1)
                yield Gap("resampling", "exact permutation p-value", key, size)


def refits() -> Iterator[Gap]:
    """Influence, leave-one-out, cumulative, Baujat, GOSH."""
    block = "influence and robustness"
    for key, name in again.rows("influence"):
        stored, fit = again.ROBUSTNESS[key]["influence"][name], again.fit_of(key, name)
        ours = influence(fit)
        unit = {"rstudent": 1, "dffits": 1, "hat": 1, "cook.d": 1e-3 + ours.cooks_distance}
        for theirs, field in infl.DIAGNOSTICS.items():
            yield Gap(
                block,
                "influence diagnostics",
                key,
                relative(getattr(ours, field), stored[theirs], unit.get(theirs)),
            )
        for j, column in enumerate(stored["dfbs"].values()):
            yield Gap(block, "DFBETAS", key, relative(ours.dfbetas[:, j], column, 1))
    for key, name in again.rows("leave1out"):
        found = infl.compared(
            leave_one_out(again.fit_of(key, name)), again.ROBUSTNESS[key]["leave1out"][name]
        )
        yield Gap(block, "leave-one-out", key, max(found.values()))
    for key, name in again.rows("cumul"):
        fit = again.fit_of(key, name.removesuffix("_by_vi"))
        ours = cumulative(fit, fit.variances if name.endswith("_by_vi") else None)
        found = infl.compared(ours, again.ROBUSTNESS[key]["cumul"][name])
        yield Gap(block, "cumulative", key, max(found.values()))
    for key, name, stored in infl.BAUJAT:
        ours = baujat(again.fit_of(key, name))
        yield Gap(block, "Baujat plot", key, relative(ours.influence, stored["y"]))
    for key, method in again.rows("gosh"):
        stored, fit = again.ROBUSTNESS[key]["gosh"][method], again.fit_of(key, f"{method}_z")
        ours = gosh(fit)
        place = {"".join("01"[int(f)] for f in row): i for i, row in enumerate(ours.included)}
        at = [place[row] for row in stored["included"]]
        size = relative(ours.estimate[at], stored["estimate"], np.sqrt(fit.variances.min()))
        yield Gap(block, "GOSH, every subset", key, size)


def dependence() -> Iterator[Gap]:
    """Three-level models and cluster-robust inference."""
    for key, name in three.FITS:
        expected = three.REFERENCE[key]["fits"][name]
        fit = three.reference_fit(key, name, ci_method="wald", variance_intervals=False)
        block = "three-level and correlated effects"
        variances = [fit.sigma2_study, fit.sigma2_effect]
        yield Gap(block, "variances", key, relative(variances, expected["sigma2"]))
        yield Gap(block, "log-likelihood", key, relative(fit.log_likelihood, expected["logLik"][0]))
        se = np.atleast_1d(expected["z"]["se"])
        estimate = relative(fit.coefficients.estimate, expected["z"]["beta"], se)
        yield Gap(
            block,
            "coefficients and standard errors",
            key,
            max(estimate, relative(fit.coefficients.se, se)),
        )
        table = robust(fit).coefficients
        size = given(table.se, expected["robust"]["SE"])
        yield Gap("robust", "CR2 after three-level model (clubSandwich)", key, size)
        size = given(table.df, expected["robust"]["df"])
        yield Gap("robust", "Satterthwaite df after three-level model", key, size)
    for key, block in sandwich.UNILEVEL:
        fit, cluster, expected = sandwich.unilevel(key, block)
        table = robust(fit, cluster).coefficients
        size = given(table.se, expected["SE"])
        yield Gap("robust", "CR2 standard errors (clubSandwich)", key, size)
        size = given(table.df, expected["df.Satt"])
        yield Gap("robust", "Satterthwaite df (clubSandwich)", key, size)


def events() -> Iterator[Gap]:
    """Mantel-Haenszel, Peto, binomial-normal."""
    block = "rare events"
    for name in rare.SETS:
        for method in rare.METHODS:
            ours, stored = rare.fit(method, *rare.counts(name)), rare.SETS[name][method]
            for field in rare.FIELDS:
                word = "Peto" if method == "peto" else "Mantel-Haenszel"
                yield Gap(block, word, name, relative(getattr(ours, field), stored[field]))
        tests, stored = mantel_haenszel(*rare.counts(name)), rare.SETS[name]["mh_OR"]
        for test, word in (("association", "cmh"), ("breslow_day", "breslow_day")):
            size = relative(getattr(tests, test).statistic, stored[word])
            yield Gap(block, "Cochran-Mantel-Haenszel, Breslow-Day", name, size)
    for name, model in glmm.GRID:
        if (name, model) in glmm.MISSING:
            continue
        ours, stored = glmm.fitted(name, model), glmm.SETS[name][f"glmm_{model}"]
        yield Gap(
            block,
            "binomial-normal, mean (rma.glmm)",
            name,
            relative(ours.estimate, stored["estimate"]),
        )


def small_studies() -> Iterator[Gap]:
    """Regression and rank tests, trim and fill."""
    block = "small-study effects"
    for key, fit, model, predictor, stored in small.EGGER:
        if key == "bcg_OR_first2" or stored.get("stat") is None:
            continue
        ours = egger_test(
            again.fit_of(key, fit),
            small.MODEL_OF[model],
            small.OURS_OF[predictor],
            small.sizes_of(key),
        )
        size = relative(ours.statistic, stored["stat"], 1 + abs(stored["stat"]))
        yield Gap(block, "Egger's and other regression tests", key, size)
    for key in small.PETERS:
        stored = again.ROBUSTNESS[key]["peters"]
        fit = random_effects(stored["yi"], stored["vi"], measure="OR")
        ours = peters_test(fit, *(stored[name] for name in ("ai", "n1i", "ci", "n2i")))
        yield Gap(block, "Peters' test (R's lm)", key, relative(ours.slope_se, stored["se"][-1]))
    for key in basic.DATASETS:
        ours = rank_test(again.fit_of(key, "REML_z"))
        size = relative(ours.p_value, small.SMALL[key]["ranktest"]["pval"])
        yield Gap(block, "rank test", key, size)
    for key, name, stored in small.FILLS:
        if "error" in stored:
            continue
        _, estimator, *rest = name.split("_")
        fit = again.fit_of(key, "FE_z" if rest == ["FE"] else "REML_z")
        side = rest[0] if rest in (["left"], ["right"]) else None
        ours = trim_and_fill(fit, estimator, side)
        assert (ours.missing, ours.side) == (stored["k0"], stored["side"])
        size = max(
            relative(ours.estimate, stored["beta"], ours.se), relative(ours.se, stored["se"])
        )
        yield Gap(block, "trim and fill", key, size)


def selections() -> Iterator[Gap]:
    """The selection model, where metafor's search reached its highest maximum."""
    block = "small-study effects"
    for key, name, stored in chosen.blocks():
        if "error" in stored:
            continue
        ours = selection_model(random_effects(*basic.data(key)), chosen.STEPS[name])
        above = ours.log_likelihood - stored["ll"]
        assert above > -chosen.SELECTION_VALUE
        if above < 1e-8:
            size = relative(ours.estimate, stored["beta"], stored["se"])
            yield Gap(block, "selection model, mean (where metafor converged)", key, size)


def networks() -> Iterator[Gap]:
    """The consistency model."""
    for key in net.SETS:
        for method in net.METHODS:
            fit, expected = net.fit_reference(key, tau2_method=method), net.REFERENCE[key][method]
            se = np.sqrt(np.diag(expected["vcov"]))
            word = "REML (rma.mv)" if method == "REML" else "common effect and DL (rma.mv)"
            size = relative(fit.effects.estimate, expected["beta"], se)
            yield Gap("network", f"effects, {word}", key, size)


def effects() -> Iterator[Gap]:
    """Effect sizes of every measure, under every rule for zeros that it has (escalc)."""
    for measure in (*registry.WITHOUT, *registry.WITH_ZEROS):
        given = registry.inputs(measure)
        for rule in ("only0", "all", "none") if measure in registry.WITH_ZEROS else ("",):
            y, v = registry.stored(measure, rule and f"_{rule}")
            kept = np.isfinite(y) & np.isfinite(v) & (v > 0)
            columns = {name: values[kept] for name, values in given.items()}
            ours = effect_sizes(None, measure, **columns, **({"zero_cells": rule} if rule else {}))
            yield Gap(EFFECT_SIZES, f"{measure} estimate", rule,
                      relative(ours.estimate, y[kept], np.sqrt(v[kept])))  # fmt: skip
            yield Gap(EFFECT_SIZES, f"{measure} variance", rule, relative(ours.variance, v[kept]))
    hr, se = np.repeat([0.01, 0.7, 1.0, 25.0], 4), np.tile([2.0, 0.4, 0.17, 0.05], 4)
    z = special.ndtri(0.975)
    for columns in (
        {"hr": hr, "ci_low": hr * np.exp(-z * se), "ci_high": hr * np.exp(z * se)},
        {"log_hr": np.log(hr), "se": se},
        {"observed_minus_expected": np.log(hr) / se**2, "variance": 1 / se**2},
    ):
        ours, way = effect_sizes(None, "HR", **columns), ", ".join(columns)
        yield Gap(EFFECT_SIZES, "HR estimate", way, relative(ours.estimate, np.log(hr), se))
        yield Gap(EFFECT_SIZES, "HR variance", way, relative(ours.variance, se**2))


def by_measure(gaps: list[Gap]) -> list[str]:
    """Return the table of measures: what its grid holds, and how far the worst number is off."""
    lines = ["", "## Effect sizes by measure", ""]
    lines += wrapped(
        """Every measure of `km.effect_sizes` against `escalc`, on grids of every combination of
        the numbers named; measures of events under each rule for zeros (`only0`, `all`, `none`).
        Estimates in standard errors, variances relative to themselves. A hazard ratio has no
        `escalc`: its three ways are compared with the formulas of Tierney et al. (2007)."""
    )
    lines += [
        "| measure | in words | rows | of these with a zero cell | smallest group | estimate | variance |",
        "| --- | --- | --: | --: | --: | --: | --: |",
    ]
    for measure in MEASURES.values():
        sizes = [
            max(gap.size for gap in gaps if gap.quantity == f"{measure.name} {word}")
            for word in ("estimate", "variance")
        ]
        cells = ["", "", ""]
        if measure.name != "HR":
            given = registry.inputs(measure.name)
            people = [values for name, values in given.items() if name.startswith("n")]
            events = [values for name, values in given.items() if name.startswith("events")]
            full = [x == n for x, n in zip(events, people, strict=False)]
            zeros = np.any([*(x == 0 for x in events), *full], axis=0) if events else None
            cells = [
                f"{len(next(iter(given.values())))}",
                "" if zeros is None else f"{int(zeros.sum())}",
                f"{np.min(people):.0f}" if people else "",
            ]
        row = [measure.name, measure.label, *cells, *map(number, sizes)]
        lines.append(f"| {' | '.join(row)} |")
    return lines


SOURCES = (
    effects,
    pooled,
    subgroups,
    permutations,
    dependence,
    events,
    small_studies,
    selections,
    refits,
    networks,
)


def page(gaps: list[Gap]) -> str:
    """Return the tables as Markdown."""
    meta = basic.REFERENCE["meta"]
    lines = ["# Agreement with other software", ""]
    lines += wrapped(
        """Largest difference of any number of a kind from the stored value of R's metafor 3.8-1 (or
        the program named), over all data sets, estimators and tests that have it. Differences are
        relative to the number itself; of means, coefficients and bounds they are in standard errors
        (of prediction bounds, in standard deviations of a new effect), of I² and of p-values from
        permutations absolute. `make agreement` measures again and writes this page; the test suite
        holds every one of these numbers to a limit. What differs on purpose is listed in
        `tests/reference/README.md`.""",
        f"""Reference: {meta["n_datasets"]} published data sets of the metadat package, for which
        metafor was run with tight tolerances; its defaults stop earlier. 0 means identical to the
        last bit.""",
    )
    lines += [
        "| area | quantity | data sets | comparisons | largest difference | where |",
        "| --- | --- | --: | --: | --: | --- |",
    ]
    table: dict[tuple[str, str], list[Gap]] = defaultdict(list)
    for gap in gaps:
        if gap.block != EFFECT_SIZES:
            table[gap.block, gap.quantity].append(gap)
    last = ""
    for (block, quantity), found in table.items():
        worst = max(found, key=lambda gap: gap.size)
        where = worst.data if worst.size else ""
        lines.append(
            f"| {block if block != last else ''} | {quantity} | {len({g.data for g in found})} |"
            f" {len(found)} | {number(worst.size)} | {where} |"
        )
        last = block
    lines += by_measure(gaps)
    columns = {
        "mean, interval": ("pooled effect", ("mean, standard error, interval, test",)),
        "τ²": ("pooled effect", ("tau-squared and its standard error",)),
        "interval of τ²": (
            "pooled effect",
            ("tau-squared and I-squared by Q-profile", "tau-squared by profile likelihood"),
        ),
        "prediction": ("pooled effect", ("prediction interval",)),
        "regression": ("meta-regression", tuple(GROUPS)),
        "leave-one-out": ("influence and robustness", ("leave-one-out",)),
        "influence": ("influence and robustness", ("influence diagnostics", "DFBETAS")),
        "Egger": ("small-study effects", ("Egger's and other regression tests",)),
        "trim and fill": ("small-study effects", ("trim and fill",)),
    }
    lines += [
        "",
        "## By data set",
        "",
        "| data set | k | " + " | ".join(columns) + " |",
        "| --- | --: |" + " --: |" * len(columns),
    ]
    for key, entry in basic.DATASETS.items():
        cells = []
        for block, quantities in columns.values():
            found = [
                gap.size
                for quantity in quantities
                for gap in table.get((block, quantity), [])
                if gap.data == key
            ]
            cells.append(number(max(found)) if found else "")
        lines.append(f"| {key} | {len(entry['inputs']['yi'])} | " + " | ".join(cells) + " |")
    lines += [
        "",
        *wrapped(
            """Blank: the data set has no such reference. Calendar years as a moderator cost metafor
        about six digits, because it inverts X'WX without centring; refits to a few studies and the
        searches of rma.mv stop at the tolerances of R's optimisers (`tests/tolerances.py` gives
        each reason)."""
        ),
    ]
    lines += published()
    return "\n".join(lines).rstrip() + "\n"


def published() -> list[str]:
    """Return what a recomputation of the published report found, as stored when it was done."""
    stored = json.loads(RECOMPUTED.read_text(encoding="utf-8"))
    lines = ["## The published report, recomputed", ""]
    lines += wrapped(
        f"""On {stored["date"]} the report was recomputed with {stored["software"]} and formulas
        written out anew: {stored["effects"]:,} effect sizes of {stored["trials"]} trials from the
        extracted cells, and from those effects the numbers below of {stored["results"]} results.
        That was the report whose `effects.csv` has the SHA-256 beginning
        {stored["effects_sha256"][:16]}; for later ones `ketameta verify` and the tests stand.
        Differences are relative, or in standard errors, as above; where R searches for a variance,
        what follows from it is compared at the same variance.""",
        """Two numbers differ on purpose. metafor's `trimfill` refits with a normal test whatever
        the test of the fit was; ours keeps that of the fit. Its `predict` takes k - p degrees of
        freedom for the prediction interval of a meta-regression; ours takes k - p - 1, as for a
        mean.""",
    )
    lines += ["| what | comparisons | largest difference |", "| --- | --: | --: |"]
    lines += [
        f"| {row['what']} | {row['comparisons']:,} | {number(row['largest'])} |"
        for row in stored["rows"]
    ]
    return lines


def number(size: float) -> str:
    """Return a size with one digit."""
    return "0" if size == 0 else f"{size:.0e}".replace("e-0", "e-")


def main() -> None:
    """Measure everything and write the page."""
    gaps = [gap for source in SOURCES for gap in source()]
    bad = [gap for gap in gaps if not np.isfinite(gap.size)]
    assert not bad, bad
    write_atomically(PAGE, page(gaps))
    print(page(gaps))


if __name__ == "__main__":
    main()
