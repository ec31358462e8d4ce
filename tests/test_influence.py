"""Refits without each study, in order, and by influence, against metafor 3.8-1 and identities."""

import doctest
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ketameta.models.diagnostics.influence as refits_module
from helpers import each
from ketameta import (
    baujat,
    common_effect,
    cumulative,
    influence,
    leave_one_out,
    meta_regression,
    random_effects,
)
from ketameta.errors import NotEstimableError, UsageError
from ketameta.models.resampling import batched as batched_module
from metafor_values import DATASETS, keys_with
from robustness_values import ROBUSTNESS, fit_of, largest, rows
from tolerances import METAFOR_REFITS, RESCALED

DIAGNOSTICS = {
    "rstudent": "rstudent",
    "dffits": "dffits",
    "cook.d": "cooks_distance",
    "cov.r": "covariance_ratio",
    "QE.del": "q_deleted",
    "hat": "hat",
}
COLUMNS = {
    "estimate": "estimate",
    "se": "se",
    "stat": "statistic",
    "pval": "p_value",
    "ci.lb": "ci_low",
    "ci.ub": "ci_high",
    "Q": "q",
    "Qp": "q_p_value",
    "I2": "i2",
    "H2": "h2",
    "tau2": "tau2",
}
Y = np.array([0.10, 0.30, 0.35, 0.65, -0.20, 1.90])
V = np.array([0.03, 0.04, 0.05, 0.02, 0.06, 0.03])
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")


# --- metafor --------------------------------------------------------------------------------------


@each(rows("influence"))
def test_influence_equals_metafor(key, variant):
    stored, fit = ROBUSTNESS[key]["influence"][variant], fit_of(key, variant)
    ours = influence(fit)
    unit = {"rstudent": 1, "dffits": 1, "hat": 1, "cook.d": 1e-3 + ours.cooks_distance}
    found = {
        name: largest(getattr(ours, field), stored[name], unit.get(name))
        for name, field in DIAGNOSTICS.items()
    }
    found["tau2.del"] = largest(ours.tau2_deleted, stored["tau2.del"], fit.variances.min())
    found["weight"] = largest(100 * ours.weight, stored["weight"])
    for j, column in enumerate(stored["dfbs"].values()):
        found[f"dfbs {j}"] = largest(ours.dfbetas[:, j], column, 1)
    assert max(found.values()) < METAFOR_REFITS, found
    assert ours.influential.tolist() == [bool(flag) for flag in np.atleast_1d(stored["is.infl"])]
    assert [bool(words) for words in ours.reasons] == ours.influential.tolist()


def compared(ours, stored):
    found = {}
    for name, field in COLUMNS.items():
        if name not in stored or getattr(ours, field) is None:
            continue
        theirs = [None if x is None else x for x in np.atleast_1d(stored[name])]
        if name == "I2":
            theirs = [None if x is None else x / 100 for x in theirs]
        unit = {"estimate": ours.se, "ci.lb": ours.se, "ci.ub": ours.se}.get(name)
        if name in ("stat", "pval", "Qp", "I2", "tau2"):
            unit = ours.se.min() ** 2 if name == "tau2" else 1
        found[name] = largest(getattr(ours, field), theirs, unit)
    return found


@each(rows("leave1out"))
def test_leave_one_out_equals_metafor(key, variant):
    stored, fit = ROBUSTNESS[key]["leave1out"][variant], fit_of(key, variant)
    found = compared(leave_one_out(fit), stored)
    assert len(found) == len(stored)
    assert max(found.values()) < METAFOR_REFITS, found


@each(rows("cumul"))
def test_cumulative_equals_metafor(key, variant):
    stored = ROBUSTNESS[key]["cumul"][variant]
    fit = fit_of(key, variant.removesuffix("_by_vi"))
    ours = cumulative(fit, fit.variances if variant.endswith("_by_vi") else None)
    found = compared(ours, stored)
    assert len(found) == len(stored)
    assert max(found.values()) < METAFOR_REFITS, found


BAUJAT = [(key, name, ROBUSTNESS[key]["baujat"][name]) for key, name in rows("baujat")]
BAUJAT += [
    (key, variant, DATASETS[key]["outputs"][block])
    for block, variant in (("baujat_FE", "FE_z"), ("baujat_REML", "REML_z"))
    for key in keys_with(block)
]


@each(BAUJAT)
def test_baujat_equals_metafor(key, variant, stored):
    ours = baujat(fit_of(key, variant))
    assert largest(ours.heterogeneity, stored["x"]) < METAFOR_REFITS
    assert largest(ours.influence, stored["y"]) < METAFOR_REFITS


def test_the_comparison_covers_every_data_set_and_variant():
    assert set(ROBUSTNESS) == set(DATASETS)
    assert len(DATASETS) == 25
    counts = {block: len(rows(block)) for block in ("influence", "leave1out", "cumul")}
    assert counts == {"influence": 129, "leave1out": 230, "cumul": 90}
    assert sum(name == "mods_REML_z" for _, name in rows("influence")) == len(keys_with("mods"))
    assert len(BAUJAT) == 90
    unconverged = [
        (key, name)
        for block in ("influence", "leave1out", "cumul")
        for key, name in rows(block)
        if "error" in ROBUSTNESS[key][block][name]
        or None in np.ravel(ROBUSTNESS[key][block][name].get("estimate", []))
    ]
    # metafor's Fisher scoring runs to its limit on the first eight trials of this set.
    assert set(unconverged) == {
        ("nielweise2007_OR", "REML_z"),
        ("nielweise2007_OR", "REML_adhoc"),
    }


# --- direct computation and identities ------------------------------------------------------------


@pytest.mark.parametrize("method", ["REML", "DL", "PM"])
def test_each_refit_is_a_fit_without_that_study(method):
    fit = random_effects(Y, V, method, labels=NAMES)
    ours = leave_one_out(fit)
    for i in range(6):
        keep = np.arange(6) != i
        single = random_effects(Y[keep], V[keep], method)
        for name in ("estimate", "se", "p_value", "ci_low", "ci_high", "q", "i2", "tau2", "df"):
            assert getattr(ours, name)[i] == pytest.approx(getattr(single, name), rel=1e-11)
    assert ours.labels == NAMES
    assert ours.studies.tolist() == [5] * 6
    assert (ours.full_estimate, ours.full_ci_low) == (fit.estimate, fit.ci_low)


def test_common_effect_has_no_tau2_and_closed_form_refits():
    ours = leave_one_out(common_effect(Y, V))
    w = 1 / V
    expected = ((w @ Y) - w * Y) / (w.sum() - w)
    np.testing.assert_allclose(ours.estimate, expected, 1e-13)
    assert (ours.tau2, ours.tau2_method) == (None, None)
    assert np.isnan(ours.tidy()["tau2"]).all()
    # Baujat et al. (2002): the horizontal axis adds up to Q.
    assert baujat(common_effect(Y, V)).heterogeneity.sum() == pytest.approx(
        common_effect(Y, V).q, rel=1e-12
    )


def test_an_outlier_is_flagged_and_named():
    ours = influence(random_effects(Y, V, labels=NAMES))
    assert np.flatnonzero(ours.influential).tolist() == [5]
    assert "DFFITS" in ours.reasons[5]
    assert "zeta: " in ours.summary()
    assert ours.summary().startswith("<Influence: 6 studies, 1 influential>")
    quiet = influence(random_effects(Y[:4] / 10, V[:4]))
    assert quiet.summary().startswith("<Influence: 4 studies, none influential>")
    frame = ours.tidy()
    assert frame["reasons"].iloc[5] == "; ".join(ours.reasons[5])
    assert frame["dfbetas_intercept"].tolist() == ours.dfbetas[:, 0].tolist()
    assert ours.hat.sum() == pytest.approx(1)


def test_regression_diagnostics_do_not_depend_on_the_coding():
    x = np.array([1948.0, 1951, 1960, 1973, 1977, 1980])
    one = influence(meta_regression(Y, V, x))
    other = influence(meta_regression(Y, V, (x - 1960) / 10))
    for name in (*DIAGNOSTICS.values(), "tau2_deleted"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), 1e-8, 1e-9)
    np.testing.assert_allclose(one.dfbetas[:, 1], other.dfbetas[:, 1], 1e-8)
    assert one.hat.sum() == pytest.approx(2)
    assert one.names == ("intercept", "x1")


def test_a_study_that_alone_decides_a_coefficient_is_withheld():
    with_dummy = meta_regression(Y, V, [0, 0, 0, 0, 0, 1], labels=NAMES)
    ours = influence(with_dummy)
    assert np.isfinite(ours.rstudent[:5]).all()
    assert np.isnan([ours.rstudent[5], ours.dffits[5], ours.tau2_deleted[5]]).all()
    assert ours.hat[5] == pytest.approx(1)
    assert [c.code for c in ours.caveats] == ["lone_study"]
    assert "zeta" in ours.caveats[0].message
    assert ours.to_dict()["rstudent"][5] is None
    points = baujat(with_dummy)
    assert np.isnan(points.influence[5])
    assert "zeta" in points.caveats[0].message


def test_identical_estimates_give_no_number_that_is_not_one():
    fit = random_effects([0.5, 0.5, 0.5], [0.04, 0.05, 0.06], ci_method="knapp-hartung")
    ours = influence(fit)
    assert ours.rstudent.tolist() != [0, 0, 0]  # 0 / 0: withheld, with a caveat
    assert "knapp_hartung_degenerate" in [c.code for c in ours.caveats]
    left = leave_one_out(fit)
    assert left.se.tolist() == [0, 0, 0]
    assert np.isnan(left.p_value).all()
    wald = influence(random_effects([0.5, 0.5, 0.5], [0.04, 0.05, 0.06]))
    assert wald.rstudent.tolist() == [0, 0, 0]
    assert wald.cooks_distance.tolist() == pytest.approx([0, 0, 0])


def test_conclusion_that_hinges_on_one_study_is_said():
    fit = random_effects([0.45, 0.5, 0.1], [0.02, 0.02, 0.02], ci_method="wald", labels=list("abc"))
    ours = leave_one_out(fit)
    [caveat] = ours.caveats
    assert caveat.code == "hinges_on_one_study"
    assert caveat.message.startswith(
        "The interval of all studies excludes 0; it includes 0 without"
    )
    assert leave_one_out(random_effects([1, 1.1, 0.9], [0.01] * 3, ci_method="wald")).caveats == ()


def test_summaries_and_frames():
    fit = random_effects(Y, V, labels=NAMES)
    left = leave_one_out(fit)
    text = left.summary()
    assert text.startswith("<LeaveOneOut: 6 studies, REML>")
    assert "most without zeta" in text
    assert list(left.tidy()["label"]) == list(NAMES)
    steps = cumulative(fit, [3, 1, 2, 6, 5, 4])
    assert steps.labels == ("beta", "gamma", "alpha", "zeta", "epsilon", "delta")
    assert steps.positions.tolist() == [1, 2, 0, 5, 4, 3]
    assert "1 study (+ beta)" in steps.summary()
    assert steps.estimate[-1] == pytest.approx(fit.estimate, rel=1e-12)
    assert steps.estimate[0] == Y[1]
    assert steps.df[0] == np.inf
    assert steps.to_dict()["df"][0] is None
    assert [c.code for c in steps.caveats] == ["repeated_looks"]
    points = baujat(fit)
    assert "moves most    zeta" in points.summary()
    assert list(points.tidy().columns) == ["label", "heterogeneity", "influence"]
    for result in (left, steps, points, influence(fit)):
        assert json.loads(result.to_json())["labels"]


def test_order_may_be_words_and_ties_keep_their_order():
    fit = random_effects(Y, V, labels=NAMES)
    dates = ["2001-05", "1999-01", "2001-05", "1998-12", "2020-01", "1999-01"]
    assert cumulative(fit, dates).positions.tolist() == [3, 1, 5, 0, 2, 4]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=3, max_size=7), st.integers(-6, 6))
def test_a_change_of_unit_changes_no_diagnostic(values, power):
    y = np.round(np.array(values), 2) + 0.01 * np.arange(len(values))
    v = 0.02 * (1 + np.arange(len(y)))
    c = 10.0**power
    one, other = influence(random_effects(y, v)), influence(random_effects(c * y, c * c * v))
    for name in ("rstudent", "dffits", "cooks_distance", "hat", "dfbetas"):
        np.testing.assert_allclose(
            getattr(other, name), getattr(one, name), 1e3 * RESCALED, 1e3 * RESCALED
        )


# --- refusals -------------------------------------------------------------------------------------


def test_what_cannot_be_refitted_is_refused():
    single = random_effects([0.3], [0.04])
    for method in (leave_one_out, influence, baujat):
        with pytest.raises(NotEstimableError, match="at least 2 studies; there is 1 study"):
            method(single)
    assert cumulative(single).estimate.tolist() == [0.3]
    regression = meta_regression(Y, V, np.arange(6))
    for method in (leave_one_out, cumulative):
        with pytest.raises(UsageError, match="meta-regression"):
            method(regression)
    with pytest.raises(UsageError, match="not ndarray"):
        influence(Y)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([1, 2], "order has 2 values and the fit has 6 studies"),
        ([1, 2, np.nan, 4, 5, 6], r"order\[2\] is missing"),
        ([1, "a", 2, 3, 4, None], r"order\[5\] is missing"),
    ],
)
def test_an_order_that_does_not_sort_is_refused(order, words):
    with pytest.raises(UsageError, match=words):
        cumulative(random_effects(Y, V), order)
    with pytest.raises(UsageError, match="cannot be sorted"):
        cumulative(random_effects(Y, V), np.array([1, "a", 2, 3, 4, 5], dtype=object))


@pytest.mark.parametrize("module", [batched_module, refits_module])
def test_examples_in_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
