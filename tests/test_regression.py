"""Meta-regression: formulas, predictions, permutation tests, refusals and invariances."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ketameta import (
    batched_fit,
    common_effect,
    meta_regression,
    permutation_test,
    random_effects,
    second_engine,
)
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.measures import CI_METHODS
from ketameta.models import COMMON, TAU2_METHODS, MetaRegression, estimate_tau2, fit_mixed_model
from ketameta.models.resampling import batched_inference
from metafor_values import DATASETS, data, in_units, keys_with, moderators, relative
from tolerances import DIRECT, METAFOR_SEARCHED, METAFOR_YEARS, RESCALED, SECOND_ENGINE

Y, V = data("bcg_RR")
ABLAT = np.array(DATASETS["bcg_RR"]["inputs"]["mods"]["ablat"], dtype=float)
ALLOC = DATASETS["bcg_RR"]["inputs"]["group"]
FRAME = pd.DataFrame({"ablat": ABLAT, "alloc": ALLOC})


def codes(fit: MetaRegression) -> set[str]:
    return {caveat.code for caveat in fit.caveats}


# ----------------------------------------------------------------------------- formulas


def test_a_formula_gives_the_same_fit_as_numeric_columns() -> None:
    by_formula = meta_regression(Y, V, FRAME, "~ ablat + alloc")
    coded = np.column_stack(
        [ABLAT, [a == "random" for a in ALLOC], [a == "systematic" for a in ALLOC]]
    )
    by_hand = meta_regression(Y, V, coded, names=["ablat", "random", "systematic"])
    order = [by_formula.names.index(n) for n in ("intercept", "ablat")]
    order += [by_formula.names.index(f"alloc[T.{n}]") for n in ("random", "systematic")]
    assert in_units(by_formula.estimate[order], by_hand.estimate, by_hand.se) < RESCALED
    assert relative(by_formula.tau2, by_hand.tau2) < RESCALED
    assert relative(by_formula.qm, by_hand.qm) < RESCALED
    assert by_formula.formula == "~ ablat + alloc"


def test_a_numeric_frame_needs_no_formula_and_words_ask_for_one() -> None:
    fit = meta_regression(Y, V, FRAME[["ablat"]])
    assert fit.names == ("intercept", "ablat")
    with pytest.raises(UsageError, match=r"words in 'alloc'; give formula='~ ablat \+ alloc'"):
        meta_regression(Y, V, FRAME)


def test_a_vector_is_one_moderator() -> None:
    fit = meta_regression(Y, V, ABLAT, names="ablat")
    assert (fit.names, fit.p) == (("intercept", "ablat"), 2)
    assert meta_regression(Y, V, ABLAT).names == ("intercept", "x1")


def test_without_an_intercept_every_coefficient_is_tested() -> None:
    fit = meta_regression(Y, V, FRAME, "~ 0 + alloc")
    assert fit.tested == fit.names
    assert fit.qm_df == 3
    assert fit.r2 is None
    plain = meta_regression(Y, V, np.ones((13, 1)), names=["mean"], intercept=False)
    assert relative(float(plain.estimate[0]), random_effects(Y, V).estimate) < RESCALED


def test_an_intercept_alone_equals_pooling() -> None:
    fit, pooled = meta_regression(Y, V, FRAME, "~ 1"), random_effects(Y, V)
    for name in ("estimate", "se", "statistic", "p_value", "ci_low", "ci_high"):
        assert relative(float(getattr(fit, name)[0]), getattr(pooled, name)) < RESCALED
    assert relative(fit.tau2, pooled.tau2) < RESCALED
    assert relative(fit.i2, pooled.i2) < RESCALED
    assert relative(fit.qe, pooled.q) < RESCALED


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("~ ablatt", r"'ablatt', which is not a column .*did you mean ablat"),
        ("~ ablat +", "cannot be read"),
        ("effect ~ ablat", "has a left side"),
        ("~ 0", "has no terms"),
    ],
)
def test_a_formula_that_cannot_work_is_refused_in_words(formula: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        meta_regression(Y, V, FRAME, formula)


def test_a_formula_needs_a_frame() -> None:
    with pytest.raises(UsageError, match="DataFrame"):
        meta_regression(Y, V, ABLAT, "~ ablat")


def test_a_missing_moderator_names_column_and_study() -> None:
    frame = FRAME.copy()
    frame.loc[4, "alloc"] = None
    labels = [f"trial_{i}" for i in range(13)]
    with pytest.raises(ImpossibleDataError, match=r"alloc\[4\] \(trial_4\) is missing"):
        meta_regression(Y, V, frame, "~ alloc", labels=labels)


def test_a_frame_of_another_length_is_refused() -> None:
    with pytest.raises(UsageError, match=r"one row per study, \(13, p\)"):
        meta_regression(Y, V, FRAME[:12], "~ ablat")


def test_a_redundant_moderator_is_named() -> None:
    frame = FRAME.assign(twice=2 * ABLAT + 1)
    with pytest.raises(NotEstimableError, match="column 'twice' is a combination"):
        meta_regression(Y, V, frame, "~ ablat + twice")


def test_as_many_coefficients_as_studies_is_refused() -> None:
    with pytest.raises(NotEstimableError, match="3 studies cannot estimate 3 coefficients"):
        meta_regression(Y[:3], V[:3], ABLAT[:3, None] ** [1, 2])


def test_an_unknown_estimator_lists_the_choices() -> None:
    with pytest.raises(UsageError, match=r"tau2_method is 'FE'; choose one of .*'common'"):
        meta_regression(Y, V, ABLAT, tau2_method="FE")


# ------------------------------------------------------------------------------ caveats


def test_a_level_with_one_study_is_pointed_out() -> None:
    frame = pd.DataFrame({"kind": ["a"] * 6 + ["b"] * 6 + ["c"]})
    fit = meta_regression(Y, V, frame, "~ kind", labels=[f"t{i}" for i in range(13)])
    message = next(c.message for c in fit.caveats if c.code == "lone_study")
    assert message.startswith("t12 is the only study of its kind in the design (kind[T.c])")


def test_identical_residuals_withhold_plain_tests() -> None:
    x = np.array([0.0, 1, 2, 3])
    exact = meta_regression(x, [0.1] * 4, x, ci_method="knapp-hartung")
    assert "knapp_hartung_degenerate" in codes(exact)
    assert (exact.qm, exact.qm_p_value) == (None, None)
    flat = meta_regression([0.5] * 4, [0.1] * 4, x, ci_method="knapp-hartung")
    assert "knapp_hartung_degenerate" in codes(flat)
    assert flat.qm_p_value is None
    assert np.isnan(flat.p_value).all()
    assert "withheld" in repr(flat)
    assert flat.predict([[1.0]]).pi_low is None


# -------------------------------------------------------------------------- predictions


def test_predictions_equal_matrix_algebra() -> None:
    fit = meta_regression(Y, V, FRAME, "~ ablat + alloc")
    new = pd.DataFrame({"ablat": [20.0, 44.0], "alloc": ["random", "alternate"]})
    found = fit.predict(new)
    rows = np.zeros((2, fit.p))
    rows[:, fit.names.index("intercept")] = 1
    rows[:, fit.names.index("ablat")] = [20, 44]
    rows[0, fit.names.index("alloc[T.random]")] = 1
    se = np.sqrt(np.diag(rows @ fit.covariance @ rows.T))
    assert in_units(found.estimate, rows @ fit.estimate, se) < DIRECT
    assert in_units(found.se, se, se) < DIRECT
    t9, t8 = stats.t.ppf(0.975, [9, 8])
    assert in_units(found.ci_high, rows @ fit.estimate + t9 * se, se) < DIRECT
    spread = t8 * np.sqrt(se**2 + fit.tau2)  # type: ignore[operator]
    assert in_units(found.pi_low, rows @ fit.estimate - spread, se) < DIRECT
    assert list(found.tidy()["estimate"]) == found.estimate.tolist()
    assert "<Predictions: 2 rows>" in repr(found)


def test_the_studies_themselves_are_predicted_by_default() -> None:
    fit = meta_regression(Y, V, ABLAT)
    assert in_units(fit.predict().estimate, fit.predict(ABLAT).estimate, fit.se[0]) < DIRECT


def test_predicting_beyond_the_data_says_so() -> None:
    fit = meta_regression(Y, V, FRAME, "~ ablat")
    inside = fit.predict(pd.DataFrame({"ablat": [30.0]}))
    beyond = fit.predict(pd.DataFrame({"ablat": [30.0, 80.0]}))
    assert not inside.caveats
    assert [c.code for c in beyond.caveats] == ["extrapolation"]
    assert "ablat lies outside" in repr(beyond)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (pd.DataFrame({"ablat": [1.0], "alloc": ["coin"]}), "coin"),
        (pd.DataFrame({"ablat": [1.0]}), "'alloc', which is not a column"),
        ([[1.0, 2.0]], "DataFrame"),
    ],
)
def test_new_rows_must_fit_the_formula(new: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        meta_regression(Y, V, FRAME, "~ ablat + alloc").predict(new)


@pytest.mark.parametrize("formula", ["~ ablat + alloc", "~ ablat + C(alloc)"])
def test_new_rows_without_a_moderator_are_told_what_to_give(formula: str) -> None:
    fit = meta_regression(Y, V, FRAME, formula)
    levels = "alternate, random or systematic"
    with pytest.raises(UsageError, match=rf"column of new \(ablat\); give alloc: {levels}$"):
        fit.predict({"ablat": [20, 50]})
    with pytest.raises(UsageError, match=rf"give ablat: a number; alloc: {levels}$"):
        fit.predict({"year": [20, 50]})
    with pytest.raises(UsageError, match="alloc is 'coin', which the fit has not seen"):
        fit.predict({"ablat": [20], "alloc": ["coin"]})


def test_new_rows_must_fit_the_columns() -> None:
    fit = meta_regression(Y, V, np.column_stack([ABLAT, ABLAT**2]), names=["a", "b"])
    assert len(fit.predict([30.0, 900.0]).estimate) == 1
    with pytest.raises(UsageError, match="new has 1 columns; give 2: a, b"):
        fit.predict([[30.0]])
    with pytest.raises(ImpossibleDataError, match="new holds a value"):
        fit.predict([[30.0, np.nan]])


def test_a_common_effect_predicts_no_new_study() -> None:
    found = meta_regression(Y, V, ABLAT, tau2_method=COMMON).predict([30.0])
    assert found.pi_low is None
    assert [c.code for c in found.caveats] == ["no_prediction"]
    few = meta_regression(Y[:3], V[:3], ABLAT[:3]).predict([44.0])
    assert few.pi_low is None


# ---------------------------------------------------------------------- tests, the result


def test_a_term_is_tested_by_all_its_columns() -> None:
    fit = meta_regression(Y, V, FRAME, "~ ablat + alloc")
    found = fit.test("alloc")
    names = ["alloc[T.random]", "alloc[T.systematic]"]
    assert found == fit.test(names)
    at = [fit.names.index(n) for n in names]
    b = fit.estimate[at]
    f = float(b @ np.linalg.inv(fit.covariance[np.ix_(at, at)]) @ b) / 2
    assert relative(found.statistic, f) < RESCALED
    assert relative(found.p_value, stats.f.sf(f, 2, 9)) < RESCALED
    single = fit.test("ablat")
    t = float(fit.statistic[fit.names.index("ablat")])
    assert relative(single.statistic, t**2) < RESCALED
    with pytest.raises(UsageError, match="term is 'dose'; choose one of"):
        fit.test("dose")


def test_coefficients_are_a_frame() -> None:
    fit = meta_regression(Y, V, ABLAT, names=["ablat"])
    frame = fit.coefficients
    assert list(frame["term"]) == ["intercept", "ablat"]
    assert {"estimate", "se", "statistic", "df", "p_value", "ci_low", "ci_high"} < set(frame)
    assert frame.equals(fit.tidy())


def test_the_result_prints_and_serialises() -> None:
    fit = meta_regression(Y, V, FRAME, "~ ablat", measure="RR")
    assert repr(fit).splitlines()[0] == (
        "<MetaRegression: risk ratio, 13 studies, REML, Knapp–Hartung (conservative)>"
    )
    assert "F(1, 11)" in repr(fit)
    assert "R² = 75.6%" in repr(fit)
    stored = json.loads(fit.to_json())
    assert stored["terms"] == {"intercept": ["intercept"], "ablat": ["ablat"]}
    assert "encoder" not in stored
    assert fit == meta_regression(Y, V, FRAME, "~ ablat", measure="RR")


@pytest.mark.parametrize("method", [*TAU2_METHODS, COMMON])
def test_a_second_engine_finds_the_same(method: str) -> None:
    for key in keys_with("mods"):
        design, names = moderators(key)
        fit = meta_regression(*data(key), design[:, 1:], None, names[1:], method)
        assert second_engine(fit).largest < SECOND_ENGINE, key


# --------------------------------------------------------------------------- invariances


@pytest.mark.parametrize("method", TAU2_METHODS)
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_unit_of_the_effect_changes_nothing_else(factor: float, method: str) -> None:
    for key in keys_with("mods"):
        y, v = data(key)
        design, names = moderators(key)
        fit = meta_regression(y, v, design[:, 1:], None, names[1:], method)
        other = meta_regression(factor * y, factor**2 * v, design[:, 1:], None, names[1:], method)
        floor = factor**2 * v.min()
        limit = METAFOR_YEARS
        assert in_units(other.estimate, factor * fit.estimate, other.se) < limit
        assert in_units(other.tau2, factor**2 * fit.tau2, floor) < limit * 1e3  # type: ignore[operator]
        for name in ("qe", "qm", "qm_p_value", "i2", "h2"):
            assert relative(getattr(other, name), getattr(fit, name)) < limit, (key, name)


def test_recoding_the_moderator_changes_only_its_coefficient() -> None:
    fit = meta_regression(Y, V, ABLAT)
    other = meta_regression(Y, V, (ABLAT - 1960) * 12)
    for name in ("qm", "qe", "tau2", "i2", "r2", "log_likelihood"):
        assert relative(getattr(other, name), getattr(fit, name)) < METAFOR_SEARCHED, name
    assert relative(other.estimate[1] * 12, fit.estimate[1]) < METAFOR_SEARCHED


@given(
    st.lists(
        st.tuples(st.floats(-3, 3), st.floats(1e-2, 5), st.floats(-10, 10)),
        min_size=4,
        max_size=10,
    ),
    st.sampled_from([*TAU2_METHODS, COMMON]),
    st.sampled_from(CI_METHODS),
)
@settings(max_examples=100, deadline=None)
def test_any_data_fit_finitely_or_are_refused_by_name(
    rows: list[tuple[float, float, float]], method: str, ci_method: str
) -> None:
    y, v, x = np.array(rows).T
    try:
        fit = meta_regression(y, v, x, tau2_method=method, ci_method=ci_method)
    except NotEstimableError:
        return
    assert np.isfinite(fit.estimate).all()
    assert np.isfinite(fit.se).all()
    assert fit.r2 is not None and 0 <= fit.r2 <= 1
    assert fit.qe >= 0
    assert 0 <= fit.i2 <= 1
    if fit.qm_p_value is not None:
        assert 0 <= fit.qm_p_value <= 1


# ------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("ci_method", CI_METHODS)
@pytest.mark.parametrize("method", [*TAU2_METHODS, COMMON])
def test_a_batch_equals_single_fits(method: str, ci_method: str) -> None:
    rng = np.random.default_rng(12)
    v = np.exp(rng.normal(-3, 0.6, (25, 8)))
    y = rng.normal(0, np.sqrt(v + rng.choice([0, 0.02, 0.5], (25, 1))))
    design = np.column_stack([np.ones(8), np.arange(8.0)])
    fits = batched_fit(y.T, v.T, design, tau2_method=method)
    batch = batched_inference(fits, ci_method)
    for i in range(25):
        single = fit_mixed_model(y[i], v[i], design, method, ci_method)
        se = single.inference.se
        assert abs(fits.tau2[i] - single.tau2.value) < RESCALED * (fits.tau2[i] + v[i].min())
        assert in_units(fits.coefficients[:, i], single.coefficients, se) < RESCALED
        assert in_units(batch.se[:, i], se, se) < RESCALED


def test_a_batch_is_in_any_unit() -> None:
    rng = np.random.default_rng(2)
    v = np.exp(rng.normal(-3, 0.6, (10, 6)))
    y = rng.normal(0, np.sqrt(v + 0.3))
    for method in TAU2_METHODS:
        tau2 = batched_fit(y.T, v.T, tau2_method=method).tau2
        scaled = batched_fit(1e-5 * y.T, 1e-10 * v.T, tau2_method=method).tau2
        assert in_units(scaled, 1e-10 * tau2, 1e-10 * (tau2 + v.min(1))) < RESCALED
        single = [estimate_tau2(a, b, np.ones((6, 1)), method).value for a, b in zip(y, v)]
        assert in_units(tau2, single, tau2 + v.min(1)) < RESCALED


# -------------------------------------------------------------------------- permutations


def test_sign_flips_equal_brute_force() -> None:
    y, v = Y[:6], V[:6]
    fit = random_effects(y, v, "DL", "wald")
    observed = abs(fit.statistic or 0)
    count = 0
    for signs in itertools.product([1, -1], repeat=6):
        flipped = random_effects(np.array(signs) * y, v, "DL", "wald")
        count += abs(flipped.statistic or 0) >= observed - 1e-9
    found = permutation_test(fit)
    assert found.p_value[0] == pytest.approx(count / 64, rel=DIRECT)
    assert (found.exact, found.iterations, found.seed) == (True, 64, None)


def test_permutations_of_a_category_equal_brute_force() -> None:
    y, v = Y[:6], V[:6]
    kind = np.array([0.0, 0, 1, 1, 1, 0])
    fit = meta_regression(y, v, kind, tau2_method="PM")
    observed = abs(float(fit.statistic[1]))
    count = total = 0
    for ones in itertools.combinations(range(6), 3):
        x = np.isin(np.arange(6), ones).astype(float)
        other = meta_regression(y, v, x, tau2_method="PM")
        count += abs(float(other.statistic[1])) >= observed - 1e-9
        total += 1
    found = permutation_test(fit)
    assert (found.arrangements, total) == (20, 20)
    assert found.p_value[1] == pytest.approx(count / total, rel=DIRECT)
    assert found.qm_p_value == pytest.approx(count / total, rel=DIRECT)


def test_random_arrangements_come_near_the_exact_p_and_repeat() -> None:
    fit = meta_regression(*data("bcg_OR_first6_ablat"), ABLAT[:6])
    exact = permutation_test(fit)
    drawn = permutation_test(fit, iterations=300, seed=5)
    assert exact.exact and not drawn.exact
    assert (drawn.iterations, drawn.arrangements, drawn.seed) == (301, 360, 5)
    assert drawn.p_value[1] == pytest.approx(exact.p_value[1], abs=0.05)
    assert permutation_test(fit, iterations=300, seed=5) == drawn
    assert permutation_test(fit, iterations=300, seed=6) != drawn
    flipped = permutation_test(random_effects(Y, V, "DL"), iterations=500)
    assert flipped.p_value[0] == pytest.approx(
        permutation_test(random_effects(Y, V, "DL")).p_value[0], abs=0.02
    )


def test_a_p_value_is_never_zero() -> None:
    found = permutation_test(random_effects([5.0] * 8, [0.01] * 8, "DL"), iterations=10)
    assert found.p_value[0] >= 1 / 11


def test_too_few_arrangements_are_pointed_out() -> None:
    found = permutation_test(random_effects(Y[:3], V[:3], "DL"))
    assert [c.code for c in found.caveats] == ["few_arrangements"]
    assert "below 0.25" in repr(found)
    assert list(found.tidy()["term"]) == ["mean"]
    with pytest.raises(NotEstimableError, match="nothing to rearrange"):
        permutation_test(random_effects(Y[:1], V[:1]))
    with pytest.raises(UsageError, match="iterations is 0"):
        permutation_test(random_effects(Y, V), iterations=0)


def test_a_common_effect_is_permuted_as_one() -> None:
    found = permutation_test(common_effect(Y[:5], V[:5]))
    assert found.arrangements == 32
    assert "PermutationTest: exact, 32 arrangements" in repr(found)


def test_the_joint_test_is_named_by_what_it_tests() -> None:
    alone = meta_regression(Y, V, FRAME, "~ 1")
    means = meta_regression(Y, V, FRAME, "~ 0 + C(alloc)")
    slope = meta_regression(Y, V, FRAME, "~ 0 + ablat")
    words = {name: [repr(fit), fit.methods_sentence(), str(fit.report())]
             for name, fit in (("alone", alone), ("means", means), ("slope", slope))}  # fmt: skip
    for text in words["alone"]:
        assert "moderators" not in text and "are zero" not in text
    for text in words["means"]:
        assert "moderators" not in text and "all means are zero" in text
    assert all("all coefficients are zero" in text for text in words["slope"])
    assert "  moderators " in repr(meta_regression(Y, V, FRAME, "~ ablat"))
