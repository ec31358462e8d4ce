"""Contrasts, nested models, own effects, one group, scenarios of selection, few clusters."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import ketameta as km
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models.small_study import SCENARIOS
from tolerances import (
    DIRECT,
    GLMM_ONE_GROUP,
    LIKELIHOOD_RATIO,
    METAFOR_INTEGRAL,
    METAFOR_SEARCHED,
    RESCALED,
    SANDWICH,
    SELECTION_ASSUMED,
    THREE_LEVEL_LIKELIHOOD,
)

STORED = json.loads((Path(__file__).parent / "reference" / "judgement.json").read_text("utf-8"))
REGRESSION = STORED["regression"]
DATA = REGRESSION["data"]
Y, V = np.array(DATA["yi"]), np.array(DATA["vi"])
FRAME = pd.DataFrame({"ablat": DATA["ablat"], "alloc": DATA["alloc"]})
TESTS = {"z": "wald", "knha": "knapp-hartung", "adhoc": "knapp-hartung-conservative"}
RANDOM, SYSTEMATIC = "alloc[T.random]", "alloc[T.systematic]"


def regression(test="z", method="REML"):
    return km.meta_regression(
        Y, V, FRAME, "~ ablat + alloc", tau2_method=method, ci_method=TESTS[test], measure="RR"
    )


def close(ours, theirs, rtol=METAFOR_SEARCHED):
    np.testing.assert_allclose(ours, np.asarray(theirs, dtype=float), rtol=rtol, atol=1e-14)


# --- contrasts and marginal means -----------------------------------------------------------------


@pytest.mark.parametrize("test", TESTS)
def test_contrasts_marginal_means_and_predictions_equal_metafor(test):
    fit, stored = regression(test), REGRESSION["fits"][test]
    order = [fit.names.index(name) for name in ("intercept", "ablat", RANDOM, SYSTEMATIC)]
    rows = np.zeros((3, 4))
    rows[:, order] = [[0, 0, 1, -1], [1, 30, 0, 1], [0, 10, 0, 0]]
    found = km.linear_contrasts(fit, rows)
    names = {"estimate": "est", "se": "se", "statistic": "stat", "p_value": "pval"}
    for name, theirs in names.items():
        close(getattr(found.table, name), stored["contrasts"][theirs])
    close([found.joint.statistic, found.joint.p_value], [*stored["joint"].values()])
    one = km.linear_contrasts(fit, {RANDOM: 1, SYSTEMATIC: -1})
    close([one.joint.statistic, one.joint.p_value], [*stored["one"].values()])
    means = km.marginal_means(fit, "alloc")
    close(means.estimate, stored["means"]["est"])
    close(means.table.se, stored["means"]["se"])
    close(means.differences().estimate[2], -one.estimate[0])
    new = fit.predict({"ablat": [20, 50], "alloc": ["random", "systematic"]})
    for name, theirs in {"estimate": "est", "se": "se", "ci_low": "lb", "ci_high": "ub"}.items():
        close(getattr(new, name), stored["predict"][theirs])
    close(new.display_estimate, np.exp(stored["predict"]["est"]))
    close(fit.predict({"ablat": 20, "alloc": "random"}).estimate[0], new.estimate[0], DIRECT)


def test_contrasts_travel_on_the_scale_that_is_read_and_serialise():
    found = km.linear_contrasts(
        regression(), {"less": {RANDOM: 1, SYSTEMATIC: -1}, "ten": {"ablat": 10}}
    )
    assert found.table.names == ("less", "ten")
    assert "95% CI" in repr(found) and "log scale" in repr(found) and "Holm" in repr(found)
    assert list(found.to_frame()["term"]) == ["less", "ten"]
    assert json.loads(found.to_json())["coefficients"][0] == "intercept"
    assert "<table>" in found._repr_html_()
    held = km.marginal_means(regression(), "alloc", at={"ablat": 30})
    row = regression().predict({"ablat": [30], "alloc": ["alternate"]})
    close(held.estimate[0], row.estimate[0], DIRECT)


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_contrasts_do_not_depend_on_the_unit_of_the_effect(unit):
    big = km.meta_regression(unit * Y, unit**2 * V, FRAME, "~ ablat + alloc")
    small = km.meta_regression(Y, V, FRAME, "~ ablat + alloc")
    for one in ({"ablat": 1}, {RANDOM: 1, SYSTEMATIC: -1}):
        a, b = km.linear_contrasts(big, one), km.linear_contrasts(small, one)
        close(a.estimate, unit * b.estimate, RESCALED)
        close(a.table.p_value, b.table.p_value, RESCALED)


def test_contrasts_of_a_three_level_model_use_the_least_degrees_of_freedom():
    rng = np.random.default_rng(1)
    study, x = np.repeat(np.arange(8), 3), np.tile([0.0, 1.0, 2.0], 8)
    fit = km.multilevel(rng.normal(x / 4, 0.4), np.full(24, 0.05), study,
                        moderators=np.column_stack([x, study % 2]), names=["x", "odd"])  # fmt: skip
    found = km.linear_contrasts(fit, {"x": 1, "odd": -1})
    assert found.table.df.tolist() == [min(fit.coefficients.df[1:])]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: km.linear_contrasts(f, {"ablatt": 1}), "did you mean"),
        (lambda f: km.linear_contrasts(f, [[1.0, 2.0]]), "give 4: intercept"),
        (lambda f: km.linear_contrasts(f, {"ablat": 0}), "all zeros"),
        (lambda f: km.linear_contrasts(f, {"ablat": 1}, names=["a", "b"]), "names has 2"),
        (lambda f: km.linear_contrasts(km.robust(f, range(13)), {"ablat": 1}), "robust inference"),
        (lambda f: km.marginal_means(f, "ablat"), "choose one of"),
        (lambda f: km.marginal_means(km.meta_regression(Y, V, DATA["ablat"]), "x1"), "by formula"),
        (lambda f: km.marginal_means(f, "alloc", at={"lat": 3}), "choose one of"),
    ],
)  # fmt: skip
def test_questions_that_a_fit_cannot_answer_say_what_would(call, message):
    with pytest.raises(UsageError, match=message):
        call(regression())


# --- nested models --------------------------------------------------------------------------------


def test_nested_models_equal_metafor():
    full, stored = regression(method="ML"), REGRESSION["nested"]
    smaller = {
        "mean": km.random_effects(Y, V, "ML", "wald"),
        "ablat": km.meta_regression(Y, V, FRAME, "~ ablat", tau2_method="ML"),
    }
    for name, small in smaller.items():
        found = km.anova(full, small)
        assert km.anova(small, full) == found
        close(
            [found.statistic, found.p_value, found.df],
            [stored[name][x] for x in ("LRT", "p", "df")],
        )
        close([found.full.aic, found.full.bic], [stored[name]["AIC.f"], stored[name]["BIC.f"]])
        close([found.reduced.aicc, found.r2], [stored[name]["AICc.r"], stored[name]["R2"]])
    three = REGRESSION["three_level"]
    arguments = (three["yi"], three["vi"], three["district"])
    options = {"method": "ML", "variance_intervals": False}
    found = km.anova(
        km.multilevel(*arguments, **options),
        km.multilevel(*arguments, moderators=three["year"], names=["year"], **options),
    )
    close(found.statistic, stored["three_level"]["LRT"], 1e-6)
    assert list(found.to_frame()["model"]) == ["reduced", "full"]


def test_only_nested_models_of_the_same_effects_and_method_are_compared():
    full, mean = regression(method="ML"), km.random_effects(Y, V, "ML")
    for other, message in (
        (regression(method="REML"), "maximum likelihood"),
        (km.random_effects(Y, V, "DL"), "maximum likelihood"),
        (km.random_effects(Y[1:], V[1:], "ML"), "different effects"),
        (km.meta_regression(Y, V, np.arange(13.0), tau2_method="ML"), "not nested"),
        (full, "not nested"),
    ):
        with pytest.raises(UsageError, match=message):
            km.anova(full, other)
    with pytest.raises(UsageError, match="restricted likelihoods"):
        km.anova(regression(), km.random_effects(Y, V))
    with pytest.raises(UsageError, match="compares results of"):
        km.anova(mean, km.egger_test(mean))


def test_a_variance_on_its_boundary_is_said():
    study = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    three = km.multilevel(Y, V, study, method="ML", variance_intervals=False)
    found = km.anova(km.random_effects(Y, V, "ML"), three)
    assert (found.df, found.caveats[0].code) == (1, "boundary_test")


# --- the effect of each study ---------------------------------------------------------------------


@pytest.mark.parametrize("test", TESTS)
def test_blups_equal_metafor(test):
    mean = km.random_effects(Y, V, ci_method=TESTS[test])
    for fit, key in ((mean, "blup"), (regression(test), "blup_mods")):
        found, stored = km.blup(fit), REGRESSION["fits"][test][key]
        for name, theirs in {
            "estimate": "est",
            "se": "se",
            "ci_low": "lb",
            "ci_high": "ub",
        }.items():
            close(getattr(found, name), stored[theirs])


def test_blups_lie_between_the_study_and_the_mean_and_bear_its_name():
    fit = km.random_effects(Y, V, labels=[f"trial {i}" for i in range(13)], measure="RR")
    found = km.blup(fit)
    low, high = np.minimum(Y, fit.estimate), np.maximum(Y, fit.estimate)
    assert np.all((found.estimate >= low) & (found.estimate <= high))
    assert found.labels == fit.labels and "trial 12" in repr(found)
    close(found.display_estimate, np.exp(found.estimate), DIRECT)
    order = np.random.default_rng(1).permutation(13)
    close(km.blup(km.random_effects(Y[order], V[order])).estimate, found.estimate[order], RESCALED)
    with pytest.raises(NotEstimableError, match="between-study variance"):
        km.blup(km.common_effect(Y, V))
    with pytest.raises(UsageError, match="level of a test"):
        km.blup(fit, level=0.05)
    with pytest.raises(UsageError, match="blup"):
        km.blup(3)


# --- one group ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", STORED["one_group"])
def test_one_group_models_equal_metafor(key):
    stored = STORED["one_group"][key]
    found, wanted = (
        km.one_group(stored["events"], stored["total"], stored["measure"]),
        stored["fit"],
    )
    assert abs(found.estimate - wanted["est"]) < GLMM_ONE_GROUP * wanted["se"]
    close([found.se, found.tau2], [wanted["se"], wanted["tau2"]], GLMM_ONE_GROUP)
    close([found.q, found.q_p_value], [wanted["LRT"], wanted["p"]], LIKELIHOOD_RATIO)


def brute(events, total, theta, tau, kind):
    """Return the log-likelihood of one group by adaptive quadrature."""
    found = 0.0
    for x, n in zip(events, total, strict=True):

        def density(z, x=x, n=n):
            eta = theta + tau * z
            log = (stats.binom.logpmf(x, n, special.expit(eta)) if kind == "PLO"
                   else stats.poisson.logpmf(x, n * np.exp(eta)))  # fmt: skip
            return np.exp(log + stats.norm.logpdf(z))

        found += np.log(integrate.quad(density, -9, 9, epsabs=0, epsrel=1e-11, limit=400)[0])
    return found


@pytest.mark.parametrize("measure", ["PLO", "IRLN"])
def test_one_group_is_at_the_top_of_the_likelihood_integrated_by_brute_force(measure):
    events, total = [0, 3, 9, 1, 12], [30, 40, 60, 25, 90]
    found = km.one_group(events, total, measure)
    tau = np.sqrt(found.tau2)
    top = brute(events, total, found.estimate, tau, measure)
    assert top == pytest.approx(found.log_likelihood, rel=1e-9)
    for step in (-0.05, 0.05):
        assert brute(events, total, found.estimate + step, tau, measure) < top
        assert brute(events, total, found.estimate, abs(tau + step), measure) < top


def test_rates_do_not_depend_on_the_unit_of_time_and_large_counts_equal_the_normal_model():
    events, time = np.array([7, 8, 3, 6, 1]), np.array([1344.0, 1600, 12012, 1536, 370])
    days, years = km.one_group(events, time, "IRLN"), km.one_group(events, time / 365, "IRLN")
    assert years.estimate - days.estimate == pytest.approx(np.log(365), rel=1e-9)
    close([years.se, years.tau2], [days.se, days.tau2], 1e-8)
    n = np.array([4000, 5000, 6000, 4500, 5200])
    x = np.array([400, 800, 500, 700, 650])
    exact = km.one_group(x, n)
    normal = km.random_effects(
        km.effect_sizes({"x": x, "n": n}, "PLO", events="x", n="n"), "ML", "wald"
    )
    assert exact.estimate == pytest.approx(normal.estimate, abs=2e-3)
    assert exact.se == pytest.approx(normal.se, rel=1e-2)


def test_one_group_reads_effects_and_refuses_what_cannot_be():
    frame = pd.DataFrame({"x": [3, 0, 5], "n": [50, 40, 60], "name": list("abc")})
    effects = km.effect_sizes(frame, "PLO", events="x", n="n", labels="name")
    found = km.one_group(effects)
    assert found.labels == ("a", "b", "c")
    assert found.display_estimate == pytest.approx(special.expit(found.estimate))
    assert "proportion, 3 studies, binomial-normal" in repr(found)
    assert found == km.one_group([3, 0, 5], [50, 40, 60], labels=list("abc"))
    for events, total, error in (
        ([3, 61], [50, 60], ImpossibleDataError),
        ([3, 1.5], [50, 60], ImpossibleDataError),
        ([0, 0], [50, 60], NotEstimableError),
        ([50, 60], [50, 60], NotEstimableError),
    ):
        with pytest.raises(error):
            km.one_group(events, total)
    with pytest.raises(UsageError, match="choose one of"):
        km.one_group([1], [2], "PR")
    with pytest.raises(UsageError, match="needs total"):
        km.one_group([1, 2])


# --- selection with assumed weights, excess significance ------------------------------------------


@pytest.mark.parametrize("key", STORED["selection"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenarios_of_selection_equal_metafor(key, scenario):
    stored = STORED["selection"][key]
    fit = km.random_effects(stored["yi"], stored["vi"], "ML")
    found, wanted = (
        km.selection_model(fit, weights=scenario, alternative="greater"),
        stored["scenarios"][scenario],
    )
    assert found.log_likelihood == pytest.approx(wanted["logLik"], abs=1e-9)
    assert abs(found.estimate - wanted["est"]) < SELECTION_ASSUMED * wanted["se"]
    close(found.se, wanted["se"], SELECTION_ASSUMED)
    # metafor does not quite reach a tau-squared of 0.
    assert found.tau2 == pytest.approx(wanted["tau2"], rel=SELECTION_ASSUMED, abs=1e-10)
    assert found.lrt is found.lrt_p_value is None
    assert [c.code for c in found.caveats] == ["assumed_weights"]


def test_equal_chances_are_no_selection_and_three_studies_are_enough():
    y, v = [0.3, 0.5, 0.1], [0.02, 0.03, 0.01]
    fit = km.random_effects(y, v, "ML", "wald")
    found = km.selection_model(fit, (0.025, 0.5), weights=[1, 1, 1])
    assert found.estimate == pytest.approx(fit.estimate, rel=1e-9)
    assert found.log_likelihood == pytest.approx(fit.log_likelihood, rel=THREE_LEVEL_LIKELIHOOD)
    stronger = km.selection_model(fit, weights=[1, 0.1])
    assert stronger.estimate < found.estimate
    for weights in ([1, 0.5, 0.2], [0.5, 1], [1, -1], "moderate"):
        with pytest.raises(UsageError):
            km.selection_model(fit, weights=weights)
    with pytest.raises(UsageError, match="leave steps out"):
        km.selection_model(fit, (0.05,), weights="severe one-tailed")


@pytest.mark.parametrize("key", STORED["excess"])
def test_excess_significance_equals_metafor(key):
    data, stored = STORED["selection"][key], STORED["excess"][key]
    y, v = np.array(data["yi"])[:12], np.array(data["vi"])[:12]
    for name, wanted in stored.items():
        method, alternative = name.split()
        fit = km.common_effect(y, v) if method == "FE" else km.random_effects(y, v, method)
        found = km.excess_significance(fit, alternative=alternative.replace("two.", "two-"))
        assert found.observed == wanted["O"]
        close([found.expected, found.p_value], [wanted["E"], wanted["p"]], METAFOR_INTEGRAL)


def test_excess_significance_counts_any_number_of_studies_and_travels():
    rng = np.random.default_rng(2)
    v = rng.uniform(0.01, 0.1, 3000)
    found = km.excess_significance(km.common_effect(rng.normal(0.2, np.sqrt(v)), v))
    assert 0 < found.p_value <= 1 and found.power.shape == (3000,)
    assert found.expected == pytest.approx(found.power.sum())
    small = km.excess_significance(km.random_effects([0.1, 0.2, 0.4], [0.01, 0.02, 0.03]))
    assert [c.code for c in small.caveats] == ["too_few_for_small_study"]
    assert json.loads(small.to_json())["k"] == 3
    with pytest.raises(UsageError, match="alpha"):
        km.excess_significance(km.common_effect([1, 2], [1, 1]), alpha=5)


# --- small-study effects of standardised differences ----------------------------------------------


@pytest.mark.parametrize("key", STORED["egger"])
def test_egger_on_the_standard_error_without_the_effect_equals_metafor(key):
    d = {name: np.array(STORED["egger"][key][name]) for name in ("yi", "vi", "n1", "n2")}
    fit = km.random_effects(d["yi"], d["vi"], ci_method="wald", measure="SMD")
    sizes = d["n1"] + d["n2"]
    for model, theirs in (("mixed-effects", "rma"), ("weighted", "lm")):
        found, wanted = (
            km.egger_test(fit, model, sample_sizes=sizes),
            STORED["egger"][key]["egger"][theirs],
        )
        assert found.predictor == "null_se"
        assert "se_holds_effect" not in {caveat.code for caveat in found.caveats}
        ours = (found.statistic, found.p_value, found.limit_estimate)
        close(ours, [wanted[x] for x in ("stat", "p", "est")], 1e-8)
    peese = km.pet_peese(fit, sample_sizes=sizes)
    close(
        (peese.peese.estimate, peese.peese.se, peese.peese.p_value),
        [*STORED["egger"][key]["peese"].values()],
        1e-9,
    )
    close(peese.pet.estimate, STORED["egger"][key]["egger"]["lm"]["est"], 1e-9)


def test_a_standard_error_that_holds_the_effect_is_said_and_effects_bring_their_sizes():
    rng = np.random.default_rng(6)
    n = rng.integers(8, 60, 12)
    frame = pd.DataFrame({"m1": rng.normal(1, 0.4, 12), "m2": 0.0, "sd": 1.0, "n": n})
    effects = km.effect_sizes(frame, "SMD", mean_treatment="m1", sd_treatment="sd", n_treatment="n",
                              mean_control="m2", sd_control="sd", n_control="n")  # fmt: skip
    fit = km.random_effects(effects)
    assert km.egger_test(fit) == km.egger_test(effects)
    alone = km.random_effects(effects.estimate, effects.variance, measure="SMD")
    bare = km.egger_test(alone)
    assert [c.code for c in bare.caveats] == ["se_holds_effect"] and bare.predictor == "se"
    assert km.egger_test(effects).to_dict() == km.egger_test(fit, sample_sizes=effects).to_dict()
    assert km.pet_peese(alone).caveats[-1].code == "se_holds_effect"
    assert km.pet_peese(effects).predictor == "null_se"
    free = np.sqrt(effects.variance - effects.estimate**2 / (2 * 2 * n))
    close(free, np.sqrt(2 / n), DIRECT)
    with pytest.raises(ImpossibleDataError, match="too few for an effect"):
        km.egger_test(fit, sample_sizes=[1] * 12)
    with pytest.raises(UsageError, match="'null_se' is for standardised"):
        km.egger_test(
            km.random_effects(Y, V, measure="RR"), predictor="null_se", sample_sizes=range(1, 14)
        )


# --- few clusters ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Fit:
    estimates: np.ndarray
    variances: np.ndarray
    tau2: float
    design: np.ndarray
    names: tuple[str, ...]


def clustered_fit(*columns):
    d = STORED["wild"]["data"]
    design = np.column_stack([np.ones(len(d["yi"])), *(d[name] for name in columns)])
    return Fit(np.array(d["yi"]), np.array(d["vi"]), d["tau2"], design, ("intercept", *columns))


@pytest.mark.parametrize(
    ("key", "columns", "tested"),
    [
        ("intercept", (), None),
        ("x", ("x", "z"), "x"),
        ("z", ("x", "z"), "z"),
        ("both", ("x", "z"), None),
    ],
)
def test_the_wild_bootstrap_equals_every_pattern_written_out(key, columns, tested):
    wanted = STORED["wild"][key]
    found = km.wild_bootstrap(clustered_fit(*columns), STORED["wild"]["data"]["cluster"], tested)
    assert (found.exact, found.draws, found.m) == (True, 64, 7)
    assert found.statistic == pytest.approx(wanted["stat"], rel=SANDWICH)
    assert found.p_value == pytest.approx(wanted["p"], rel=1e-12)
    close(np.sort(np.repeat(found.statistics, 2))[:8], wanted["statistics"], SANDWICH)


def test_random_patterns_come_near_all_of_them_and_are_repeatable(monkeypatch):
    fit, cluster = clustered_fit("x", "z"), STORED["wild"]["data"]["cluster"]
    all_of_them = km.wild_bootstrap(fit, cluster, "x")
    monkeypatch.setattr("ketameta.models.dependent.robust.MOST_EXACT", 3)
    some = km.wild_bootstrap(fit, cluster, "x", draws=4000, seed=3)
    assert some == km.wild_bootstrap(fit, cluster, "x", draws=4000, seed=3)
    # Four standard errors of a share of 4000 draws.
    assert abs(some.p_value - all_of_them.p_value) < 4 * np.sqrt(0.25 / 4000)
    assert "statistics" not in some.to_dict()


def test_the_wild_bootstrap_does_not_depend_on_units_or_order():
    fit, cluster = clustered_fit("x", "z"), np.array(STORED["wild"]["data"]["cluster"])
    first = km.wild_bootstrap(fit, cluster)
    order = np.random.default_rng(1).permutation(cluster.size)
    other = Fit(1e3 * fit.estimates[order], 1e6 * fit.variances[order], 1e6 * fit.tau2,
                fit.design[order], fit.names)  # fmt: skip
    second = km.wild_bootstrap(other, cluster[order])
    assert second.statistic == pytest.approx(first.statistic, rel=1e-9)
    assert second.p_value == first.p_value


def test_the_wild_bootstrap_refuses_what_it_cannot_test():
    cluster = STORED["wild"]["data"]["cluster"]
    fit = clustered_fit("x", "z")
    with pytest.raises(UsageError, match="choose one of"):
        km.wild_bootstrap(fit, cluster, "w")
    with pytest.raises(UsageError, match="draws is 5"):
        km.wild_bootstrap(fit, cluster, draws=5)
    lone = dataclasses.replace(fit, design=np.column_stack([np.ones(17), np.array(cluster) == 1]),
                               names=("intercept", "first"))  # fmt: skip
    with pytest.raises(NotEstimableError, match="one cluster alone identifies first"):
        km.wild_bootstrap(lone, cluster)
    three = km.wild_bootstrap(km.random_effects(Y[:6], V[:6]), list("aabbcc"))
    assert three.caveats[0].code == "few_clusters"


# --- what a caveat says is true -------------------------------------------------------------------


def test_a_factor_that_prints_as_one_is_not_said_to_be_below_one():
    y, v = np.array([0.1, 0.5, 0.9, 0.3, 0.45]), np.full(5, 0.02)
    codes = {c.code for c in km.random_effects(y, v).caveats}
    assert "knapp_hartung_floored" not in codes
    floored = {c.code for c in km.random_effects(y / 10, v).caveats}
    assert "knapp_hartung_floored" in floored


def test_an_empty_set_of_variances_has_no_bounds():
    fit = km.random_effects([0.1, 0.1001, 0.1002, 0.1], [0.1] * 4)
    assert (fit.tau2_ci_low, fit.tau2_ci_high, fit.i2_ci_low, fit.i2_ci_high) == (None,) * 4
    assert "tau2_interval_empty" in {c.code for c in fit.caveats}
    assert "0 (no value fits)" in repr(fit) and "(0 to 0)" not in repr(fit)


def test_only_a_study_that_is_alone_is_called_the_only_one_of_its_kind():
    lines = km.meta_regression(Y, V, FRAME, "~ ablat * alloc")
    said = [c.message for c in lines.caveats if c.code == "lone_study"]
    assert len(said) == 2 and all("only study of its kind" not in message for message in said)
    assert all("without that one study a coefficient could not be estimated" in x for x in said)
    alone = km.meta_regression(Y, V, {"kind": ["a"] + ["b"] * 12}, "~ kind")
    assert "study 1 is the only study of its kind" in next(
        c.message for c in alone.caveats if c.code == "lone_study"
    )


@pytest.mark.parametrize("level", [0.05, 0.01, 0.2])
def test_the_level_of_a_test_is_refused_with_the_level_of_an_interval(level):
    for call in (
        lambda: km.random_effects(Y, V, level=level),
        lambda: km.sd_from_ci(1.0, 2.0, 30, level=level),
        lambda: km.mantel_haenszel([1], [20], [3], [20], level=level),
        lambda: km.bayes_random_effects(Y, V, level=level, measure="RR"),
    ):
        with pytest.raises(UsageError, match=f"such as {1 - level:g}"):
            call()


def test_large_counts_have_the_same_odds_ratio_in_both_likelihoods():
    counts = ([400, 600, 300], [10**6] * 3, [500, 700, 310], [10**6] * 3)
    found = [km.binomial_normal(*counts, model) for model in ("conditional", "unconditional")]
    assert found[1].estimate == pytest.approx(found[0].estimate, abs=1e-5)
    assert np.exp(found[0].estimate) == pytest.approx(0.86, abs=0.005)


# --- reports --------------------------------------------------------------------------------------

EFFECTS = [-0.4, -0.2, -0.6, -0.1, -0.3, -0.5], [0.04, 0.05, 0.03, 0.04, 0.05, 0.03]
PAIRS = list("aabbcc")


@pytest.mark.parametrize(
    ("fit", "cited", "read"),
    [
        (lambda: km.subgroup_analysis(*EFFECTS, PAIRS, measure="OR"), "Borenstein et al. 2009",
         "a | k = 2, 0.73, 95% CI 0.11 to 4.87 (log scale −0.31)"),
        (lambda: km.multilevel(*EFFECTS, PAIRS, measure="OR"), "Konstantopoulos 2011",
         "intercept | 0.69, 95% CI 0.48 to 0.97"),
        (lambda: km.che(*EFFECTS, PAIRS, measure="OR"), "Pustejovsky and Tipton 2022",
         "intercept | 0.69, 95% CI 0.41 to 1.17"),
        (lambda: km.robust(km.random_effects(*EFFECTS, measure="OR"), PAIRS),
         "Pustejovsky and Tipton 2018", "intercept | 0.69, 95% CI 0.60 to 0.78"),
        (lambda: km.bayes_random_effects(*EFFECTS, measure="OR"), "Röver 2020",
         "mean effect | 0.69, 95% CrI 0.56 to 0.87"),
        (lambda: km.one_group([1, 4, 9], [30, 40, 50]), "Stijnen, Hamza and Özdemir 2010",
         "events | 14 in 120 participants"),
        (lambda: km.binomial_normal([1, 4], [30, 40], [3, 9], [30, 41]),
         "Stijnen, Hamza and Özdemir 2010", "pooled | 0.3"),
        (lambda: km.bayes_event_counts([1, 4], [30, 40], [3, 9], [30, 41]),
         "Günhan, Röver and Friede 2020", "pooled | 0.36"),
        (lambda: km.network_meta_analysis(*EFFECTS, list("123456"), list("bbccaa"), PAIRS,
                                          measure="OR"), "Salanti et al. 2008",
         "b | 1.06, 95% CI 0.49 to 2.32"),
        (lambda: km.dose_response([-1.0, -1.4], [0.5, 0.4], [84, 56], ["a", "b"], measure="OR"),
         "Crippa et al. 2019", "dose | 0.98"),
    ],
)  # fmt: skip
def test_every_model_says_what_was_done_and_found_on_the_scale_that_is_read(fit, cited, read):
    found = fit()
    text = found.report()
    assert f"- {cited}, " in text and cited in found.methods_sentence()
    assert read in text.replace("\\", "")
    page = found.report("html")
    assert page.startswith("<article>") and "<th>Result</th>" in page
    assert found.methods_sentence().endswith(f"Computed with ketameta {km.__version__}.")
