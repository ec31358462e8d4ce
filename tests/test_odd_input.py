"""Odd values at the public functions: each is refused by name, or gives the right number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import ketameta as km
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from tolerances import EFFECT_SIZE

Y = [-0.5, -0.2, 0.1, -0.8, 0.3, -0.4, -0.1, -0.6]
V = [0.04, 0.05, 0.06, 0.09, 0.02, 0.03, 0.11, 0.07]
STUDY = list("aabbccdd")
EVENTS, N = [3, 5, 8, 2], [30, 40, 50, 25]
MEANS, SDS = [12.0, 13.0, 14.0, 15.0], [4.0, 5.0, 6.0, 4.0]

#: What stands in for the second estimate, and what the message says of it.
NOT_NUMBERS = {
    "a word": ("x", r"estimates must be numbers, and estimates\[1\] is 'x'"),
    "a word like a number": ("0.2", r"estimates\[1\] is '0.2'"),
    "yes": (True, None),
    "complex": (1j, "complex numbers"),
    "a list": ([1, 2], "must be numbers"),
    "missing": (None, r"estimates\[1\] .* is nan"),
    "pandas' missing": (pd.NA, r"estimates\[1\] .* is nan"),
    "a whole number beyond floats": (10**400, r"estimates\[1\] .* is inf"),
    "out of every range": (1e60, r"estimates\[1\] .* is 1e\+60: at most 1e\+50"),
}


def bayes(y, v):
    return km.bayes_random_effects(y, v, measure="SMD")


FITS = {
    "random_effects": lambda y, v: km.random_effects(y, v),
    "common_effect": lambda y, v: km.common_effect(y, v),
    "pool": lambda y, v: km.pool(y, v),
    "meta_regression": lambda y, v: km.meta_regression(y, v, np.arange(8.0)),
    "subgroup_analysis": lambda y, v: km.subgroup_analysis(y, v, STUDY),
    "multilevel": lambda y, v: km.multilevel(y, v, STUDY),
    "bayes_random_effects": bayes,
    "network_meta_analysis": lambda y, v: km.network_meta_analysis(
        y, v, list("abcdefgh"), ["x"] * 8, ["placebo"] * 8
    ),
}


@pytest.mark.parametrize("fit", FITS.values(), ids=list(FITS))
@pytest.mark.parametrize(("value", "message"), NOT_NUMBERS.values(), ids=list(NOT_NUMBERS))
def test_estimates_that_are_no_numbers_are_refused_by_position(fit, value, message):
    estimates = [Y[0], value, *Y[2:]]
    if message is None:
        # One yes in a list of numbers is the number 1 to numpy; a whole column of them is not.
        estimates, message = [True, False] * 4, "yes/no values"
    with pytest.raises((UsageError, ImpossibleDataError), match=message):
        fit(estimates, V)


@pytest.mark.parametrize("fit", FITS.values(), ids=list(FITS))
def test_masked_values_are_missing_and_dates_are_no_variances(fit):
    hidden = np.ma.masked_array(Y, mask=[False, True] + [False] * 6)
    with pytest.raises(ImpossibleDataError, match=r"estimates\[1\]"):
        fit(hidden, V)
    with pytest.raises(UsageError, match="dates"):
        fit(Y, pd.date_range("2020-01-01", periods=8))


@pytest.mark.parametrize("fit", FITS.values(), ids=list(FITS))
def test_columns_of_one_index_and_frozen_arrays_give_the_same_fit(fit):
    frozen = np.array(Y)
    frozen.setflags(write=False)
    wanted = fit(Y, V).to_dict()
    for estimates, variances in (
        (pd.Series(Y, index=range(80, 0, -10)), pd.Series(V, index=range(80, 0, -10))),
        (pd.Series(Y, dtype="Float64"), pd.Series(V, dtype=object)),
        (frozen, tuple(V)),
        (np.array(Y, dtype=object), np.ma.masked_array(V)),
    ):
        assert fit(estimates, variances).to_dict() == wanted


@pytest.mark.parametrize("fit", FITS.values(), ids=list(FITS))
def test_columns_whose_indexes_differ_are_refused_and_never_paired_by_position(fit):
    with pytest.raises(UsageError, match="estimates and variances have different indexes: row 0"):
        fit(pd.Series(Y, index=list("abcdefgh")), pd.Series(V, index=list("hgfedcba")))


@pytest.mark.parametrize(
    "function",
    [km.log_odds_ratio, km.log_risk_ratio, km.risk_difference, km.mantel_haenszel, km.peto],
)
def test_counts_as_words_and_masked_counts_are_refused(function):
    with pytest.raises(UsageError, match=r"events_c\w* must be numbers.*'2'"):
        function(EVENTS, N, ["2", "3", "4", "2"], N)
    with pytest.raises(ImpossibleDataError, match=r"n_t\w* must be a finite number"):
        function(EVENTS, np.ma.masked_array(N, mask=[1, 0, 0, 0]), EVENTS, N)


@pytest.mark.parametrize(
    "function", [km.standardized_mean_difference, km.mean_difference, km.log_ratio_of_means]
)
def test_numbers_that_leave_double_precision_are_refused_and_not_infinite(function):
    with pytest.raises(ImpossibleDataError, match="sd_control must be 0 or at least 1e-50"):
        function(MEANS, SDS, N, MEANS, [1e-308, 1, 1, 1], N)
    with pytest.raises(ImpossibleDataError, match="mean_treatment must be at most"):
        function([1e300, 1, 1, 1], SDS, N, MEANS, SDS, N)
    with pytest.raises(UsageError, match="n_control must be numbers"):
        function(MEANS, SDS, N, MEANS, SDS, ["30", "40", "50", "25"])


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_means_in_any_unit_are_the_same_effect(scale):
    one = km.standardized_mean_difference(MEANS, SDS, N, SDS, SDS, N)
    scaled = [np.array(values) * scale for values in (MEANS, SDS, SDS, SDS)]
    other = km.standardized_mean_difference(*scaled[:2], N, *scaled[2:], N)
    np.testing.assert_allclose(other.estimate, one.estimate, rtol=EFFECT_SIZE)
    np.testing.assert_allclose(other.variance, one.variance, rtol=EFFECT_SIZE)


@pytest.mark.parametrize("value", [5, np.nan, object(), np.array(1.0)])
def test_labels_that_are_no_list_are_refused(value):
    with pytest.raises(UsageError, match="labels"):
        km.peto(EVENTS, N, [4, 5, 6, 7], N, labels=value)
    with pytest.raises(UsageError, match="names is"):
        km.meta_regression(Y, V, np.arange(8.0), names=value)


@pytest.mark.parametrize(
    "method",
    [
        lambda fit: km.robust(fit, cluster=STUDY),
        km.permutation_test,
        km.prediction_interval,
        lambda fit: km.probability_beyond(fit, -0.3),
        km.second_engine,
        km.leave_one_out,
        km.posterior_curves,
    ],
)
@pytest.mark.parametrize("value", [None, Y, "fit"])
def test_methods_that_take_a_fit_say_which(method, value):
    with pytest.raises(UsageError, match=r"takes the result of .*\(\).*not"):
        method(value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: km.probability_beyond(km.random_effects(Y, V), "-0.3"), "threshold must be"),
        (lambda: km.log_odds_ratio(EVENTS, N, EVENTS, N, correction=None), "correction is None"),
        (lambda: km.subgroup_analysis(Y, V, STUDY, least_tested=0), "least_tested is 0"),
        (lambda: km.multilevel(Y, V, STUDY, rho="high"), "rho must be numbers"),
        (
            lambda: km.bayes_random_effects(Y, V, thresholds="low", measure="SMD"),
            "thresholds must be",
        ),
        (lambda: km.simulate_coverage(V, "0.1"), "tau2 must be numbers"),
        (lambda: km.bootstrap(km.random_effects(Y, V), replicates=10**12), "replicates is above"),
        (lambda: km.posterior_curves(bayes(Y, V), 1e9), "points is"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_effects_that_agree_exactly_have_no_robust_standard_error():
    fit = km.multilevel([0.1] * 8, V, STUDY)
    with pytest.raises(NotEstimableError, match="robust standard error of 'intercept' is 0"):
        km.robust(fit)


def test_a_level_of_one_effect_has_no_robust_standard_error():
    last = np.array([0, 0, 0, 0, 0, 0, 0, 1])
    fit = km.meta_regression(Y, V, np.column_stack([1 - last, last]), intercept=False)
    found = km.robust(fit, cluster=list("abcdefgh"))
    assert np.isfinite(found.coefficients.se).tolist() == [True, False]
    assert "Cluster 'h' alone identifies x2" in found.caveats[0].message


def test_effects_too_far_apart_for_sums_over_studies_are_refused():
    with pytest.raises(NotEstimableError, match="check the units"):
        km.multilevel([-0.5, 1e8, *Y[2:]], V, STUDY)


def test_a_posterior_like_a_needle_is_found_or_refused():
    y, v = np.array([-0.5, 1e4, 0.1]), np.array([0.04, 0.05, 0.06])
    fit = km.bayes_random_effects(y, v, tau_prior=km.HalfNormal(0.5))
    # tau maximises -tau^2 / 0.5 - log tau^2 - sum (y - mean)^2 / (2 tau^2) where v is nothing.
    squares = ((y - y.mean()) ** 2).sum()
    x = (-2 + np.sqrt(4 + 16 * squares)) / 8
    assert fit.tau.median == pytest.approx(np.sqrt(x), rel=1e-3)
    with pytest.raises(NotEstimableError, match="too far apart"):
        km.bayes_random_effects([-0.5, 1e8, 0.1], v, measure="SMD")


def test_a_category_of_one_level_compares_nothing():
    frame = pd.DataFrame({"design": ["parallel"] * 8, "dose": range(8)}, index=range(80, 0, -10))
    with pytest.raises(NotEstimableError, match="design is the same for every study"):
        km.meta_regression(Y, V, frame, formula="~ design + dose")
    with pytest.raises(NotEstimableError, match="design is the same for every study"):
        km.multilevel(Y, V, STUDY, moderators=frame, formula="~ design")


def test_effects_exactly_on_a_line_have_no_test_of_it():
    line = km.pet_peese(km.random_effects(np.sqrt(V), V)).pet
    assert line.slope == pytest.approx(1.0, rel=EFFECT_SIZE)
    assert (line.slope_se, line.slope_p_value, line.p_value) == (0.0, None, None)


def test_rounding_errors_of_equal_effects_are_not_ranked():
    with pytest.raises(NotEstimableError, match="no ranks"):
        km.rank_test(km.random_effects([0.1] * 8, V))


def test_an_order_of_words_and_numbers_is_refused():
    with pytest.raises(UsageError, match="cannot be sorted: it holds words and numbers"):
        km.cumulative(km.random_effects(Y, V), order=[2001, "2002", *range(6)])


@pytest.mark.parametrize("value", ["0.5", None, [0.5], 1j])
def test_scales_of_priors_are_numbers(value):
    with pytest.raises(UsageError, match="scale is"):
        km.HalfNormal(value)
    with pytest.raises(UsageError, match="mean is"):
        km.Normal(value)


@pytest.mark.parametrize("model", [km.multilevel, km.che])
def test_marginal_means_of_fits_of_several_levels_are_their_predictions(model):
    data = pd.DataFrame(
        {"y": Y, "v": V, "study": STUDY, "kind": list("aabbaabb"), "dose": range(8)}
    )
    effects = km.effect_sizes(data, estimate="y", variance="v")
    fit = model(effects, "study", formula="~ kind + dose")
    means = km.marginal_means(fit, "kind")
    predicted = fit.predict({"kind": ["a", "b"], "dose": 3.5})
    assert means.table.names == ("a", "b")
    assert means.estimate == pytest.approx(predicted.estimate, rel=EFFECT_SIZE)
    assert means.table.se == pytest.approx(predicted.se, rel=EFFECT_SIZE)


def test_marginal_means_without_a_category_name_the_way():
    fit = km.meta_regression(Y, V, pd.DataFrame({"dose": range(8)}), "~ dose")
    with pytest.raises(UsageError, match=r"no category \(intercept, dose\); .* is \.predict\(\)"):
        km.marginal_means(fit, "dose")


def _counts(name):
    columns = {"events_treatment": "a", "n_treatment": "b", "events_control": "c", "n_control": "d"}
    frame = {"a": EVENTS, "b": N, "c": [4, 9, 12, 6], "d": N}
    return getattr(km, name)(km.effect_sizes(frame, "OR", **columns))


#: Plots that results do not have, and the way that is named instead.
NO_PLOT = {
    "effects, forest": (lambda: km.effect_sizes(
        {"y": Y, "v": V}, estimate="y", variance="v").forest(), r"random_effects\(effects\)"),
    "effects, funnel": (lambda: km.effect_sizes({"y": Y, "v": V}, estimate="y", variance="v")
                        .funnel(), r"random_effects\(effects\)"),
    "effects, plots": (lambda: km.plots.forest(km.effect_sizes(
        {"y": Y, "v": V}, estimate="y", variance="v")), "not pooled yet"),
    "regression": (lambda: km.meta_regression(Y, V, list(range(8))).funnel(), r"\.bubble"),
    "mantel_haenszel": (lambda: _counts("mantel_haenszel").forest(), r"km\.effect_sizes"),
    "peto": (lambda: _counts("peto").forest(), r"km\.effect_sizes"),
    "binomial_normal": (lambda: _counts("binomial_normal").forest(), r"km\.effect_sizes"),
    "bayes counts": (lambda: _counts("bayes_event_counts").plot(), "bayes_random_effects"),
    "bayes counts, plots": (lambda: km.plots.posterior(_counts("bayes_event_counts")),
                            "bayes_random_effects"),
    "influence": (lambda: km.influence(km.random_effects(Y, V)).plot(), r"fit\.baujat"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_PLOT)
def test_a_plot_that_a_result_has_not_names_the_one_there_is(case):
    draw, words = NO_PLOT[case]
    with pytest.raises(UsageError, match=words):
        draw()


MODELS_OF_COUNTS = ["mantel_haenszel", "peto", "binomial_normal", "bayes_event_counts"]


@pytest.mark.parametrize("model", MODELS_OF_COUNTS)
def test_models_of_counts_stand_as_rows_of_ratios_and_report(model):
    fit = _counts(model)
    row = km.plots.forest({"counts": fit})
    assert "Odds ratio" in "".join(text.get_text() for text in row.figure.findobj(Text))
    cited = {"mantel_haenszel": "Mantel and Haenszel 1959", "peto": "Yusuf et al. 1985"}
    report = fit.report()
    assert report.count(cited.get(model, "Stijnen")) >= 2, "named in the text and in the list"
    assert "4 trials" in fit.methods_sentence()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_logarithms_beyond_every_ratio_print_quietly_and_are_not_drawn():
    fit = km.random_effects([800, 900, 1000], [1, 2, 3], measure="OR")
    assert "> 1,000" in str(fit)
    with pytest.raises(UsageError, match="beyond 709 on the logarithmic scale"):
        fit.forest()
    wide = km.random_effects([1, 2, 3], [100_000, 90_000, 80_000], measure="OR")
    low, high = wide.forest().get_xlim()
    assert 0 < low < high < np.inf


def _typed(**columns):
    frame = pd.DataFrame({"y": Y, "v": V, **columns})
    return km.effect_sizes(frame, estimate="y", variance="v")


WEEKS = ["4", "8", " 12", "4", "8.5", "1e1", "-2", "6"]


def test_numbers_as_text_and_dates_are_no_categories_unless_said():
    with pytest.raises(
        UsageError, match=r"'weeks' holds numbers .* pd\.to_numeric\(data\['weeks'\]"
    ):
        km.meta_regression(_typed(weeks=WEEKS), "~ weeks")
    said = km.meta_regression(_typed(phase=list("11222331")), "~ C(phase)")
    assert said.names == ("intercept", "C(phase)[T.2]", "C(phase)[T.3]")
    words = km.meta_regression(_typed(phase=["1", "1", "2", "2", "x", "x", "x", "1"]), "~ phase")
    assert words.p == 3
    days = pd.to_datetime([f"20{year}-01-01" for year in range(10, 18)])
    with pytest.raises(UsageError, match=r"'day' holds dates .* data\['day'\]\.dt\.year"):
        km.meta_regression(_typed(day=days), "~ day")


def test_new_values_of_the_wrong_kind_are_named_by_column():
    fit = km.meta_regression(_typed(dose=range(8), kind=list("aabbaabb")), "~ dose + kind")
    words = (
        r"dose is '20', and the fit has numbers: give a number; kind is 'z', .* choose one of a, b"
    )
    with pytest.raises(UsageError, match=words):
        fit.predict({"dose": ["20"], "kind": ["z"]})


def test_columns_of_one_name_are_named():
    frame = pd.DataFrame([[1, 2, 3]], columns=["y", "v", "y"])
    with pytest.raises(UsageError, match="more than one column 'y'; rename or drop one"):
        km.effect_sizes(frame, estimate="y", variance="v")


def test_trim_and_fill_of_equal_standard_errors_asks_for_a_side():
    fit = km.random_effects([0.1, 0.2, 0.3, 0.6], [0.1] * 4)
    with pytest.raises(NotEstimableError, match="give side='left' or side='right'"):
        km.trim_and_fill(fit)
    assert km.trim_and_fill(fit, side="left").side == "left"


@pytest.mark.parametrize("empty", [None, np.nan, "", "  "])
def test_an_empty_label_is_missing(empty):
    with pytest.raises(ImpossibleDataError, match=r"labels\[1\] is missing"):
        km.random_effects([1, 2, 3], [1, 2, 3], labels=["a", empty, "b"])


SPELT = ["A", "a ", "b", "b", "c", "c", "d", "d"]


@pytest.mark.parametrize(
    "fit",
    [
        lambda: km.multilevel(Y, V, SPELT),
        lambda: km.che(Y, V, SPELT),
        lambda: km.robust(km.random_effects(Y, V), SPELT),
    ],
)
def test_clusters_misspelt_are_named(fit):
    with pytest.raises(ImpossibleDataError, match=r"only in case or spaces: 'A' and 'a '"):
        fit()


@pytest.mark.parametrize("model", [km.multilevel, km.che])
def test_whole_numbers_of_clusters_print_whole(model):
    assert model(_typed(lab=[1, 1, 2, 2, 3, 3, 4, 4]), "lab").study[:3] == ("1", "1", "2")


def test_every_proportion_of_one_group_has_its_square_under_its_name():
    fit = km.one_group([1, 2, 1, 2, 1, 2, 1, 40], [400] * 7 + [41], "PLO")
    axes = km.plots.forest(fit)
    (drawn,) = km.plots.find(axes, "study_marker")
    assert len(drawn.get_offsets()) == 8
    assert axes.get_xlim()[1] > 40 / 41
    words = [text.get_text() for text in axes.figure.findobj(Text)]
    assert "Proportion" in words
    assert "Effect" not in words
