"""Regression and rank tests, trim and fill, PET-PEESE and their kin against metafor 3.8-1 and R."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers import each
from ketameta import (
    common_effect,
    egger_test,
    excess_significance,
    fail_safe_n,
    henmi_copas,
    meta_regression,
    pet_peese,
    peters_test,
    random_effects,
    rank_test,
    selection_model,
    trim_and_fill,
)
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.formatting import format_ratio
from ketameta.models.small_study import PREDICTORS, kendall
from metafor_values import DATASETS, data
from robustness_values import ROBUSTNESS, fit_of, largest
from tolerances import HENMI_COPAS_DEFAULT, METAFOR_CLOSED, METAFOR_SEARCHED, RESCALED

SMALL = {key: DATASETS[key]["outputs"]["small_study"] for key in DATASETS}
OURS_OF = {theirs: ours for ours, theirs in PREDICTORS.items()}
MODEL_OF = {"rma": "mixed-effects", "lm": "weighted"}


def sizes_of(key):
    return DATASETS[key]["inputs"].get("ni")


# --- regression tests -----------------------------------------------------------------------------


def egger_cases():
    """Yield (data set, fit, model, predictor, stored values)."""
    for key in DATASETS:
        stored = {**SMALL[key], **ROBUSTNESS[key]["small_study"]}
        for name, values in stored.items():
            words = name.removeprefix("regtest_").split("_")
            if words[0] in MODEL_OF:
                fit = {"adhoc": "REML_adhoc", "FE": "FE_z"}.get(words[-1], "REML_z")
                yield key, fit, words[0], words[1], values


EGGER = list(egger_cases())


@each(EGGER)
def test_regression_test_equals_metafor(key, fit, model, predictor, stored):
    arguments = (fit_of(key, fit), MODEL_OF[model], OURS_OF[predictor], sizes_of(key))
    if key == "bcg_OR_first2":  # two studies: metafor refuses, or draws a line through both
        assert "error" in stored or stored["stat"] is None or fit == "FE_z"
        with pytest.raises(NotEstimableError, match="at least 3 studies"):
            egger_test(*arguments)
        return
    ours = egger_test(*arguments)
    found = {
        "stat": largest(ours.statistic, stored["stat"], 1 + abs(stored["stat"])),
        "pval": largest(ours.p_value, stored["pval"]),
    }
    slope = stored.get("slope")
    if slope is not None:
        found["slope"] = largest(ours.slope, np.atleast_1d(slope)[-1], ours.slope_se)
    if stored.get("slope.se") is not None:
        found["slope.se"] = largest(ours.slope_se, stored["slope.se"])
    if stored.get("est") not in (None, []):
        width = ours.limit_ci_high - ours.limit_ci_low
        found["est"] = largest(ours.limit_estimate, stored["est"], width)
        found["est.ci"] = largest([ours.limit_ci_low, ours.limit_ci_high], stored["est.ci"], width)
    if stored.get("tau2") is not None:
        found["tau2"] = largest(ours.tau2 or 0.0, stored["tau2"], arguments[0].variances.min())
    assert max(found.values()) < METAFOR_SEARCHED, found
    assert ours.df == (stored.get("df", stored.get("dfs")) or None)
    assert (ours.limit_estimate is None) == (predictor in ("ni", "sqrtni"))
    assert bool(ours.caveats) == (ours.k < 10)


def test_the_comparison_of_regression_tests_is_complete():
    assert len(EGGER) == 25 * 6 + 14 * 9
    kinds = {(model, predictor) for _, _, model, predictor, _ in EGGER}
    assert kinds == set(itertools.product(MODEL_OF, OURS_OF))


def test_weighted_test_is_eggers_regression_of_the_standard_normal_deviate():
    # Egger et al. (1997): y / se regressed on 1 / se; its intercept is the slope on se.
    y, v = data("bcg_RR")
    ours = egger_test(random_effects(y, v), "weighted")
    se = np.sqrt(v)
    design = np.column_stack([np.ones(13), 1 / se])
    beta, rss, _, _ = np.linalg.lstsq(design, y / se)
    covariance = np.linalg.inv(design.T @ design) * rss[0] / 11
    assert ours.slope == pytest.approx(beta[0], rel=1e-10)
    assert ours.statistic == pytest.approx(beta[0] / math.sqrt(covariance[0, 0]), rel=1e-10)
    assert ours.limit_estimate == pytest.approx(beta[1], rel=1e-10)


def test_moderators_of_a_regression_stay_in():
    y, v = data("bcg_RR")
    x = np.array(DATASETS["bcg_RR"]["inputs"]["mods"]["ablat"], dtype=float)
    ours = egger_test(meta_regression(y, v, x, ci_method="wald"))
    direct = meta_regression(y, v, np.column_stack([x, np.sqrt(v)]), ci_method="wald")
    assert ours.slope == pytest.approx(direct.estimate[2], rel=1e-9)
    assert ours.p_value == pytest.approx(direct.p_value[2], rel=1e-9)
    assert ours.limit_estimate is None


def test_regression_tests_that_cannot_be_done_are_refused():
    y, v = data("bcg_RR")
    fit = random_effects(y, v)
    with pytest.raises(UsageError, match="did you mean weighted"):
        egger_test(fit, "weigted")
    with pytest.raises(UsageError, match="needs sample_sizes="):
        egger_test(fit, predictor="n")
    with pytest.raises(UsageError, match=r"shape \(2,\)"):
        egger_test(fit, predictor="n", sample_sizes=[10, 20])
    with pytest.raises(ImpossibleDataError, match=r"sample_sizes\[3\] \(study 4\) is 0"):
        egger_test(fit, predictor="n", sample_sizes=[9, 9, 9, 0, *range(1, 10)])
    with pytest.raises(NotEstimableError, match="does not vary"):
        egger_test(random_effects([0.1, 0.2, 0.5, 0.3], [0.04] * 4))
    with pytest.raises(NotEstimableError, match="at least 4 studies; there are 3"):
        egger_test(meta_regression([0.1, 0.2, 0.5], [0.04, 0.05, 0.08], [1, 2, 4]))


# --- Peters ---------------------------------------------------------------------------------------


PETERS = [key for key in ROBUSTNESS if "peters" in ROBUSTNESS[key]]


@pytest.mark.parametrize("key", PETERS)
def test_peters_equals_lm(key):
    stored = ROBUSTNESS[key]["peters"]
    fit = random_effects(stored["yi"], stored["vi"], measure="OR")
    ours = peters_test(fit, *(stored[name] for name in ("ai", "n1i", "ci", "n2i")))
    found = [
        largest([ours.limit_estimate, ours.slope], stored["coef"], np.array(stored["se"])),
        largest([ours.limit_se, ours.slope_se], stored["se"]),
        largest(ours.statistic, stored["stat"], 1 + abs(stored["stat"])),
        largest(ours.p_value, stored["pval"]),
    ]
    assert max(found) < METAFOR_CLOSED
    assert (ours.df, ours.test, ours.predictor) == (stored["df"], "Peters", "inverse_n")


def test_every_data_set_with_events_has_peters_test():
    assert set(PETERS) == {
        "bcg_RR",
        "crins2014_AR_OR",
        "hahn2001_RR",
        "hine1989_RD",
        "li2007_OR",
        "linde2005_RR",
        "nielweise2007_OR",
        "yusuf1985_table6_OR",
    }


EVENTS = ([3, 0, 5, 9, 2], [20, 30, 40, 55, 61], [4, 0, 9, 14, 7], [21, 28, 44, 50, 60])


def test_trials_without_events_carry_no_weight_and_are_named():
    e1, n1, e2, n2 = (np.array(values, dtype=float) for values in EVENTS)
    y = np.log((e1 + 0.5) * (n2 - e2 + 0.5) / (e2 + 0.5) / (n1 - e1 + 0.5))
    fit = random_effects(y, [0.5, 2.0, 0.4, 0.2, 0.3], labels=list("abcde"), measure="OR")
    ours = peters_test(fit, *EVENTS)
    assert ours.k == 4
    assert [c.code for c in ours.caveats] == ["too_few_for_small_study", "no_weight"]
    assert ours.caveats[1].message.endswith(": b.")
    assert "<Peters: weighted regression on inverse n, 4 studies>" in ours.summary()
    with pytest.raises(UsageError, match="of 'SMD'"):
        peters_test(random_effects(y, fit.variances, measure="SMD"), *EVENTS)
    with pytest.raises(ImpossibleDataError, match=r"events_treatment\[0\] \(a\) is 25 of 20"):
        peters_test(fit, [25, 0, 5, 9, 2], *EVENTS[1:])
    with pytest.raises(UsageError, match="events_treatment has 2 values"):
        peters_test(fit, [1, 2], [9, 9], [1, 2], [9, 9])
    with pytest.raises(NotEstimableError, match="there are 2"):
        peters_test(fit, [3, 0, 0, 0, 2], EVENTS[1], [4, 0, 0, 0, 7], EVENTS[3])


# --- rank test ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", DATASETS)
def test_rank_test_equals_metafor(key):
    stored = SMALL[key]["ranktest"]
    ours = rank_test(fit_of(key, "REML_z"))
    assert ours.tau == pytest.approx(stored["tau"], abs=1e-14)
    assert ours.p_value == pytest.approx(stored["pval"], rel=METAFOR_CLOSED)
    ties = len(set(DATASETS[key]["inputs"]["vi"])) < ours.k
    assert ours.exact == (not ties)


def ordered_with(n, inversions):
    """Return an order of ``n`` numbers with so many inversions."""
    left, order = list(range(n)), []
    for size in range(n, 0, -1):
        step = min(inversions, size - 1)
        inversions -= step
        order.append(float(left.pop(step)))
    return np.array(order)


@pytest.mark.parametrize(("n", "most"), [(3, 1), (7, 4), (7, 10), (150, 100), (150, 4_500)])
def test_exact_p_values_equal_counting_all_orders(n, most):
    counts = [1] + [0] * most  # in whole numbers: orders of `size` with so many inversions
    for size in range(2, n + 1):
        running = list(itertools.accumulate(counts))
        counts = [
            total - (running[i - size] if i >= size else 0) for i, total in enumerate(running)
        ]
    expected = min(1.0, 2 * float(Fraction(sum(counts), math.factorial(n))))
    _, p_value, exact = kendall(np.arange(float(n)), ordered_with(n, most))
    assert exact
    assert p_value == pytest.approx(expected, rel=1e-11)


def test_many_studies_are_ranked_by_the_normal_approximation_within_a_second():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 10_000))
    assert kendall(x, y)[2] is False
    tau, exact_p, exact = kendall(*rng.normal(size=(2, 200)))
    z = tau / math.sqrt(2 * (2 * 200 + 5) / (9 * 200 * 199))
    assert exact
    assert exact_p == pytest.approx(2 * stats.norm.sf(abs(z)), abs=5e-3)


def test_rank_correlation_counts_ties_as_taub():
    tau, p_value, exact = kendall(np.array([1.0, 2, 3, 3]), np.array([1.0, 3, 2, 2]))
    # By hand: pairs +, +, +, -, -, 0; tau-b = 1 / sqrt(5 * 5).
    assert (tau, exact) == (pytest.approx(0.2), False)
    assert 0 < p_value < 1
    assert "normal approximation" in rank_test(fit_of("eight_schools", "REML_z")).summary()
    with pytest.raises(NotEstimableError, match="no ranks to correlate"):
        rank_test(random_effects([0.1, 0.2, 0.4], [0.02, 0.02, 0.02]))


# --- trim and fill --------------------------------------------------------------------------------


FILLS = [
    (key, name, stored)
    for key in ROBUSTNESS
    for name, stored in ROBUSTNESS[key]["small_study"].items()
    if name.startswith("fill_")
]
#: The trimmed mean is a single study, whose deviation of 0 metafor counts by a rounding error.
ROUNDED = {("bcg_OR_first3", "L0")}


@each(FILLS)
def test_trim_and_fill_equals_metafor(key, name, stored):
    _, estimator, *rest = name.split("_")
    fit = fit_of(key, "FE_z" if rest == ["FE"] else "REML_z")
    side = rest[0] if rest in (["left"], ["right"]) else None
    if "error" in stored:
        # Without a root for Q0, with two studies and no side, or with all studies trimmed.
        if (key, name) == ("bcg_OR_first2", "fill_L0_left"):
            assert trim_and_fill(fit, estimator, side).missing == 1
            return
        with pytest.raises(NotEstimableError):
            trim_and_fill(fit, estimator, side)
        return
    ours = trim_and_fill(fit, estimator, side)
    assert (ours.missing, ours.side) == (stored["k0"], stored["side"])
    found = {
        "beta": largest(ours.estimate, stored["beta"], ours.se),
        "se": largest(ours.se, stored["se"]),
        "ci": largest([ours.ci_low, ours.ci_high], stored["ci"], ours.se),
        "tau2": largest(ours.tau2 or 0.0, stored["tau2"], stored["tau2"] + fit.variances.min()),
        "yi": largest(ours.filled_estimates, stored["yi.filled"], ours.se),
        "vi": largest(ours.filled_variances, stored["vi.filled"]),
    }
    if (key, estimator) not in ROUNDED:
        found["se.k0"] = largest(ours.missing_se, stored["se.k0"])
    assert max(found.values()) < METAFOR_SEARCHED, found


@pytest.mark.parametrize("key", DATASETS)
def test_count_and_side_equal_metafor(key):
    for name, stored in SMALL[key].items():
        if not name.startswith("trimfill_") or "error" in stored:
            continue
        _, estimator, *rest = name.split("_")
        ours = trim_and_fill(fit_of(key, "DL_z" if rest else "REML_z"), estimator)
        assert (ours.missing, ours.side) == (stored["k0"], stored["side"])
        assert (ours.missing_p_value is not None) == (estimator == "R0")
        if estimator == "R0":
            assert ours.missing_p_value == pytest.approx(stored["p.k0"], rel=1e-12)


def test_the_comparison_of_trim_and_fill_is_complete():
    assert len(FILLS) == 25 * 7
    refused = {(key, name) for key, name, stored in FILLS if "error" in stored}
    assert {name for key, name in refused if key != "bcg_OR_first2"} == {"fill_Q0"}


def test_the_rounded_standard_error_is_that_of_exact_ranks():
    # Last round: deviations 0, 0.28 and 0.73, so that the positive ranks 2 and 3 sum to 5 and
    # the count before rounding is (4 * 5 - 3 * 4) / 5 = 1.6.
    ours = trim_and_fill(fit_of("bcg_OR_first3", "REML_z"))
    c = 1.6
    variance = (84 + 10 * c**3 + 27 * c**2 + 17 * c - 54 * c**2 - 54 * c + 54 * c) / 24
    assert ours.missing == 2
    assert ours.missing_se == pytest.approx(4 * math.sqrt(variance) / 5, rel=1e-12)


def test_filled_studies_mirror_the_extreme_ones_and_keep_their_variance():
    y, v = data("hackshaw1998_OR")
    fit = random_effects(y, v)
    ours = trim_and_fill(fit)
    assert ours.missing == 7
    assert set(ours.filled_variances) <= set(v)
    middle = (ours.filled_estimates + np.sort(y)[::-1][:7][::-1]) / 2
    np.testing.assert_allclose(middle, middle[0], 1e-12)
    assert ours.adjusted.k == fit.k + 7
    assert ours.adjusted.labels[-1] == "filled 7"
    assert ours.adjusted.ci_method == fit.ci_method


def test_mirrored_effects_are_filled_on_the_other_side():
    y, v = data("li2007_OR")
    one, other = trim_and_fill(random_effects(y, v)), trim_and_fill(random_effects(-y, v))
    assert (one.side, other.side) == ("right", "left")
    assert one.missing == other.missing
    assert one.estimate == pytest.approx(-other.estimate, rel=1e-12)


def test_a_symmetrical_funnel_is_left_alone():
    fit = random_effects([-0.42, -0.3, -0.1, 0.0, 0.1, 0.3, 0.4], [8, 6, 3, 1, 3, 6, 8.01])
    ours = trim_and_fill(fit)
    assert ours.missing == 0
    assert ours.adjusted is fit
    assert ours.to_dict()["filled_estimates"] == []
    assert trim_and_fill(common_effect([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]), "R0").missing == 0


def test_trim_and_fill_refusals():
    with pytest.raises(NotEstimableError, match="at least 3 studies"):
        trim_and_fill(random_effects([0.1, 0.3], [0.02, 0.03]))
    with pytest.raises(NotEstimableError, match="do not vary"):
        trim_and_fill(random_effects([0.1, 0.3, 0.4], [0.02] * 3))
    with pytest.raises(UsageError, match="estimator is 'L1'"):
        trim_and_fill(random_effects([0.1, 0.3, 0.4], [0.02, 0.03, 0.04]), "L1")
    with pytest.raises(UsageError, match="side is 'up'"):
        trim_and_fill(random_effects([0.1, 0.3, 0.4], [0.02, 0.03, 0.04]), side="up")


# --- PET-PEESE, fail-safe N, Henmi-Copas ----------------------------------------------------------


@pytest.mark.parametrize("key", DATASETS)
def test_pet_peese_equals_lm(key):
    fit = fit_of(key, "REML_z")
    if fit.k < 3:
        with pytest.raises(NotEstimableError, match="at least 3 studies"):
            pet_peese(fit)
        return
    ours = pet_peese(fit)
    for one, name in ((ours.pet, "PET_wls"), (ours.peese, "PEESE_wls")):
        stored = SMALL[key][name]
        se = np.array([one.se, one.slope_se])
        assert largest([one.estimate, one.slope], stored["est"], se) < METAFOR_CLOSED
        assert largest(se, stored["se"]) < METAFOR_CLOSED
        assert largest([one.p_value, one.slope_p_value], stored["p"]) < METAFOR_CLOSED
        assert largest(one.statistic, stored["t"][0], 1 + abs(stored["t"][0])) < METAFOR_CLOSED
    effect = SMALL[key]["PET_wls"]["p"][0] < 0.10
    assert ours.chosen == ("PEESE" if effect else "PET")
    assert ours.estimate == (ours.peese if effect else ours.pet).estimate


def test_pet_is_the_limit_of_the_weighted_regression_test():
    fit = random_effects(*data("li2007_OR"))
    test, found = egger_test(fit, "weighted"), pet_peese(fit)
    assert found.pet.estimate == pytest.approx(test.limit_estimate, rel=1e-13)
    assert found.pet.slope_p_value == pytest.approx(test.p_value, rel=1e-12)
    assert found.peese.estimate == pytest.approx(
        egger_test(fit, "weighted", "variance").limit_estimate, rel=1e-13
    )
    assert list(found.tidy()["method"]) == ["PET", "PEESE"]
    assert pet_peese(fit, alpha=0.01).chosen == "PET"
    with pytest.raises(UsageError, match="alpha is 2"):
        pet_peese(fit, alpha=2)


@each(itertools.product(DATASETS, ["Rosenthal", "Orwin", "Rosenberg"]))
def test_fail_safe_n_equals_metafor(key, method):
    stored = SMALL[key][f"fsn_{method}"]
    ours = fail_safe_n(fit_of(key, "REML_z"), method)
    assert ours.number == stored["fsnum"]
    assert (ours.p_value is None) == (stored["pval"] is None)
    if ours.p_value is not None:
        assert ours.p_value == pytest.approx(stored["pval"], rel=1e-11)
    assert [c.code for c in ours.caveats] == ["fail_safe_n"]


def test_fail_safe_target_lies_between_zero_and_the_mean():
    fit = random_effects([0.4, 0.6], [0.02, 0.03])
    assert fail_safe_n(fit, "Orwin", target=0.1).number == 8  # 2 (0.5 - 0.1) / 0.1
    for target in (0, -0.2):
        with pytest.raises(UsageError, match="target is"):
            fail_safe_n(fit, "Orwin", target=target)
    with pytest.raises(UsageError, match="alpha is 0"):
        fail_safe_n(fit, alpha=0)


@pytest.mark.parametrize("key", DATASETS)
def test_henmi_copas_equals_metafor(key):
    ours = henmi_copas(fit_of(key, "REML_z"))
    bounds = [ours.ci_low, ours.ci_high]
    tight, default = ROBUSTNESS[key]["small_study"]["hc"], SMALL[key]["henmi_copas"]
    for stored in (tight, default):
        assert largest(ours.estimate, stored["beta"], ours.se) < METAFOR_CLOSED
        assert largest(ours.se, stored["se"]) < METAFOR_CLOSED
        assert largest(ours.tau2, stored["tau2"], ours.se**2) < METAFOR_CLOSED
    assert largest(bounds, tight["ci"], ours.se) < METAFOR_SEARCHED
    stored = [default["ci.lb"], default["ci.ub"]]
    assert largest(bounds, stored, ours.se) < HENMI_COPAS_DEFAULT


def test_henmi_copas_has_the_common_effect_mean():
    fit = common_effect(*data("eight_schools"))
    ours = henmi_copas(fit)
    assert ours.tau2 == 0
    assert ours.estimate == pytest.approx(fit.estimate, rel=1e-12)
    assert ours.ci_low + ours.ci_high == pytest.approx(2 * fit.estimate, rel=1e-12)


# --- all of them ----------------------------------------------------------------------------------


METHODS = {
    "egger": egger_test,
    "weighted": lambda fit: egger_test(fit, "weighted", "variance"),
    "rank": rank_test,
    "fill": trim_and_fill,
    "pet": pet_peese,
    "fail-safe": fail_safe_n,
    "henmi-copas": henmi_copas,
}
Y = np.array([0.1, 0.32, 0.25, 0.61, 0.9, 0.15])
V = np.array([0.011, 0.04, 0.02, 0.09, 0.16, 0.013])


@pytest.mark.parametrize("name", METHODS)
def test_each_prints_serialises_and_carries_its_caveat(name):
    ours = METHODS[name](random_effects(Y, V))
    assert ours.summary().startswith("<")
    assert json.loads(ours.to_json())["k"] == 6
    assert len(ours.caveats) == 1
    assert f"  caveat      {ours.caveats[0].message}" in ours.summary()
    many = METHODS[name](random_effects(*data("bcg_RR")))
    assert len(many.caveats) == (name == "fail-safe")


@pytest.mark.parametrize("name", METHODS)
def test_a_regression_or_a_single_study_is_refused(name):
    if name not in ("egger", "weighted"):
        with pytest.raises(UsageError, match="meta-regression"):
            METHODS[name](meta_regression(Y, V, np.arange(6)))
    with pytest.raises(NotEstimableError, match="there is 1 study"):
        METHODS[name](random_effects([0.1], [0.1]))


@settings(max_examples=15, deadline=None)
@given(st.integers(-6, 6), st.sampled_from([-1.0, 1.0]))
def test_a_change_of_unit_changes_only_the_unit(power, sign):
    c = sign * 10.0**power
    one, other = random_effects(Y, V), random_effects(c * Y, c * c * V)
    first, second = egger_test(one), egger_test(other)
    assert second.p_value == pytest.approx(first.p_value, rel=1e3 * RESCALED)
    assert second.limit_estimate / c == pytest.approx(first.limit_estimate, rel=1e3 * RESCALED)
    assert rank_test(other).p_value == rank_test(one).p_value
    left, right = trim_and_fill(one), trim_and_fill(other)
    assert left.missing == right.missing
    assert right.estimate / c == pytest.approx(left.estimate, rel=1e3 * RESCALED)
    for field in ("pet", "peese"):
        a, b = getattr(pet_peese(one), field), getattr(pet_peese(other), field)
        assert b.estimate / c == pytest.approx(a.estimate, rel=1e3 * RESCALED)
    a, b = henmi_copas(one), henmi_copas(other)
    low, high = sorted([b.ci_low / c, b.ci_high / c])
    assert [low, high] == pytest.approx([a.ci_low, a.ci_high], rel=1e3 * RESCALED)


@pytest.mark.parametrize(
    "method",
    [egger_test, henmi_copas, peters_test, pet_peese, rank_test, trim_and_fill, fail_safe_n,
     selection_model, excess_significance],
)  # fmt: skip
def test_estimates_and_variances_are_answered_by_the_call_that_works(method):
    y, v = [0.1, 0.2, 0.3, 0.5], [0.02, 0.03, 0.04, 0.05]
    name = method.__name__
    words = rf"{name}\(\) takes a fit, not numbers: write {name}\(random_effects\(estimates, "
    for call in ((y, v), (np.array(y), np.array(v)), (y,)):
        with pytest.raises(UsageError, match=words):
            method(*call)


def test_the_limit_of_ratios_is_printed_as_a_ratio():
    y, v = [-0.9, -0.2, -1.1, -0.5], [0.05, 0.04, 0.08, 0.1]
    events = [5, 9, 4, 7], [50, 60, 40, 45], [9, 10, 9, 11], [50, 60, 40, 45]
    fit = random_effects(y, v, measure="OR")
    for found in (egger_test(fit), peters_test(fit, *events)):
        shown = " ".join(repr(found).split())
        ends = found.limit_estimate, found.limit_ci_low, found.limit_ci_high
        middle, low, high = (format_ratio(math.exp(end)) for end in ends)
        assert f"limit {middle} 95% CI {low} to {high} (log scale " in shown
