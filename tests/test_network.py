"""Network meta-analysis against rma.mv, closed forms and its own identities."""

from __future__ import annotations

import itertools
import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, optimize, stats

from ketameta import (
    bayes_random_effects,
    network_components,
    network_meta_analysis,
    pairwise,
    random_effects,
    shared_arm_covariance,
)
from ketameta.errors import ImpossibleDataError, KetametaError, NotEstimableError, UsageError
from ketameta.models.network import log_likelihood, network_data, network_rows, tall_qr, whiten
from ketameta.models.network.model import _score
from tolerances import DENSE, NETWORK, NETWORK_SEARCHED

REFERENCE = json.loads((Path(__file__).parent / "reference" / "network.json").read_text("utf-8"))
SETS = ("senn2013", "hasselblad1998")
METHODS = ("common", "DL", "REML")


def columns(key):
    rows = REFERENCE[key]["data"]
    return {name: [row[name] for row in rows] for name in rows[0]}


def fit_reference(key, **options):
    data = columns(key)
    options = {"ci_method": "wald", "reference": REFERENCE[key]["reference"]} | options
    return network_meta_analysis(
        data["yi"],
        data["vi"],
        data["study"],
        data["treatment"],
        data["control"],
        sampling_covariance=REFERENCE[key]["V"],
        n_treatment=data["n_treatment"],
        n_control=data["n_control"],
        **options,
    )


def test_the_reference_is_complete():
    assert [len(REFERENCE[key]["treatments"]) for key in SETS] == [9, 3]
    assert [len(REFERENCE[key]["splits"]) for key in SETS] == [15, 6]
    assert all(method in REFERENCE[key] for key in SETS for method in METHODS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("key", SETS)
def test_effects_equal_rma_mv(key, method):
    expected = REFERENCE[key][method]
    fit = fit_reference(key, tau2_method=method)
    tolerance = NETWORK_SEARCHED if method == "REML" else NETWORK
    assert list(fit.treatments[1:]) == REFERENCE[key]["treatments"]
    assert fit.tau2 == pytest.approx(expected["tau2"], rel=tolerance)
    np.testing.assert_allclose(fit.effects.estimate, expected["beta"], rtol=tolerance)
    np.testing.assert_allclose(fit.effects.covariance, expected["vcov"], rtol=tolerance, atol=1e-18)
    np.testing.assert_allclose(fit.effects.ci_low, expected["ci.lb"], rtol=tolerance)
    np.testing.assert_allclose(fit.effects.ci_high, expected["ci.ub"], rtol=tolerance)
    assert fit.q.total.q == pytest.approx(expected["QE"], rel=NETWORK)
    assert fit.q.total.df == expected["QEdf"]
    assert fit.q.total.p_value == pytest.approx(expected["QEp"], rel=1e-8)
    if "p_scores" in expected:
        np.testing.assert_allclose(fit.p_scores, expected["p_scores"], rtol=tolerance)


@pytest.mark.parametrize("key", SETS)
def test_t_intervals_equal_rma_mv(key):
    fit = fit_reference(key, ci_method="t")
    expected = REFERENCE[key]["REML_t"]
    np.testing.assert_array_equal(fit.effects.df, expected["df"])
    np.testing.assert_allclose(fit.effects.ci_low, expected["ci.lb"], rtol=NETWORK_SEARCHED)
    np.testing.assert_allclose(fit.effects.ci_high, expected["ci.ub"], rtol=NETWORK_SEARCHED)


@pytest.mark.parametrize("words", ["t", "wald"])
@pytest.mark.parametrize("key", SETS)
def test_a_prediction_adds_the_heterogeneity_to_the_error_of_the_mean(key, words):
    fit = fit_reference(key, ci_method=words)
    df = fit.n_contrasts - len(fit.treatments) + 1
    critical = stats.norm.ppf(0.975) if words == "wald" else stats.t.ppf(0.975, df)
    for found in fit.comparisons:
        reach = critical * math.hypot(found.se, math.sqrt(fit.tau2))
        assert found.pi_low == pytest.approx(found.estimate - reach, rel=NETWORK)
        assert found.pi_high == pytest.approx(found.estimate + reach, rel=NETWORK)


@pytest.mark.parametrize("key", SETS)
def test_q_by_design_equals_the_design_model(key):
    q, expected = fit_reference(key).q, REFERENCE[key]
    assert q.within.q == pytest.approx(expected["q_within"]["q"], rel=NETWORK)
    assert q.within.df == expected["q_within"]["df"]
    assert q.between.q == pytest.approx(expected["q_between"]["q"], rel=1e-9)
    assert q.between.df == expected["q_between"]["df"]
    assert q.total.q == pytest.approx(q.within.q + q.between.q, rel=NETWORK)
    assert sum(part.test.q for part in q.designs) == pytest.approx(q.within.q, rel=NETWORK)
    assert q.tau2_within == pytest.approx(expected["random_between"]["tau2"], rel=NETWORK_SEARCHED)
    assert q.between_random.q == pytest.approx(expected["random_between"]["q"], rel=1e-5)


@pytest.mark.parametrize("key", SETS)
def test_side_splits_equal_rma_mv(key):
    splits = fit_reference(key).splits
    assert len(splits) == len(REFERENCE[key]["splits"])
    for expected in REFERENCE[key]["splits"]:
        (found,) = [
            item
            for item in splits
            if (item.treatment, item.control) == (expected["treatment"], expected["control"])
        ]
        if expected["difference"] is None:
            assert found.difference is None and found.indirect is None
            assert found.direct is not None
            continue
        assert found.tau2 == pytest.approx(expected["tau2"], rel=NETWORK_SEARCHED)
        for value, wanted in [
            ((found.direct, found.direct_se), expected["direct"]),
            ((found.indirect, found.indirect_se), expected["indirect"]),
            (
                (found.difference, found.difference_se, found.p_value),
                (expected["difference"], expected["difference_se"], expected["p"]),
            ),
        ]:
            np.testing.assert_allclose(value, wanted, rtol=NETWORK_SEARCHED)


def test_published_heterogeneity_of_the_diabetes_network():
    """netmeta prints tau^2 = 0.1087 and I^2 = 81.4% for these trials (DL)."""
    fit = fit_reference("senn2013", tau2_method="DL")
    assert round(fit.tau2, 4) == 0.1087
    assert round(100 * fit.i2, 1) == 81.4
    assert fit.ranking()[0][0] == "rosiglitazone" and fit.ranking()[-1][0] == "placebo"


def test_an_indirect_comparison_is_the_difference_of_two_direct_ones():
    """Bucher et al. (1997): without a loop, variances add."""
    fit = network_meta_analysis(
        [-0.5, 0.2], [0.04, 0.09], ["a", "b"], ["x", "y"], ["p", "p"], reference="p"
    )
    found = fit.compare("x", "y")
    assert found.estimate == pytest.approx(-0.7, rel=1e-12)
    assert found.se == pytest.approx(math.sqrt(0.13), rel=1e-12)
    assert found.k_direct == 0 and found.pi_low is None
    assert found.p_value == pytest.approx(2 * stats.norm.sf(0.7 / math.sqrt(0.13)), rel=1e-12)
    assert {item.code for item in fit.caveats} == {
        "heterogeneity_not_estimable",
        "consistency_not_testable",
    }
    assert (fit.tau2_method, fit.ci_method) == ("common", "wald")


def test_a_loop_of_three_trials_is_split_by_hand():
    y, v = np.array([-0.5, 0.2, -0.4]), np.array([0.04, 0.09, 0.05])
    fit = network_meta_analysis(
        y, v, list("abc"), ["x", "y", "x"], ["p", "p", "y"], reference="p", tau2_method="common"
    )
    (split,) = [item for item in fit.splits if (item.treatment, item.control) == ("x", "p")]
    assert split.direct == pytest.approx(-0.5, rel=1e-12)
    assert split.indirect == pytest.approx(0.2 - 0.4, rel=1e-12)
    assert split.difference == pytest.approx(-0.3, rel=1e-12)
    assert split.difference_se == pytest.approx(math.sqrt(v.sum()), rel=1e-12)
    assert fit.q.between.q == pytest.approx(0.3**2 / v.sum(), rel=1e-10)
    assert fit.q.between.df == 1 and fit.q.within.df == 0 and fit.q.between_random is None
    weights = 1 / v[0], 1 / (v[1] + v[2])
    assert fit.compare("x", "p").estimate == pytest.approx(
        (weights[0] * -0.5 + weights[1] * -0.2) / sum(weights), rel=1e-12
    )


@pytest.mark.parametrize("method", ["REML", "DL"])
def test_two_treatments_are_a_pairwise_meta_analysis(method):
    y, v = [0.1, 0.5, -0.2, 0.7, 0.3], [0.04, 0.02, 0.09, 0.05, 0.03]
    fit = network_meta_analysis(
        y, v, list("abcde"), ["x"] * 5, ["p"] * 5, reference="p", tau2_method=method
    )
    pair = random_effects(y, v, tau2_method=method, ci_method="wald")
    assert fit.tau2 == pytest.approx(pair.tau2, rel=1e-9)
    assert fit.compare("x", "p").estimate == pytest.approx(pair.estimate, rel=1e-9)
    assert fit.compare("x", "p").se == pytest.approx(pair.se, rel=1e-9)
    assert fit.tau2_ci_low == pytest.approx(pair.tau2_ci_low, rel=1e-8)
    assert fit.tau2_ci_high == pytest.approx(pair.tau2_ci_high, rel=1e-8)
    assert fit.i2 == pytest.approx(pair.i2_q, rel=1e-9)


def three_arms():
    """Three-arm and two-arm trials as p - 1 contrasts with covariance, and as all pairs."""
    rng = np.random.default_rng(8)
    arms = [("a", "pxy"), ("b", "pxy"), ("c", "px"), ("d", "py"), ("e", "xy"), ("f", "pxyz")]
    some, every = [], []
    for study, names in arms:
        means, variances = rng.normal(size=len(names)), rng.uniform(0.05, 0.3, len(names))
        for i, j in itertools.combinations(range(len(names)), 2):
            row = (study, names[j], names[i], means[j] - means[i], variances[j] + variances[i])
            every.append(row)
            if i == 0:
                some.append((*row, variances[0]))
    covariance = np.zeros((len(some), len(some)))
    for r, s in itertools.product(range(len(some)), repeat=2):
        if some[r][0] == some[s][0]:
            covariance[r, s] = some[r][4] if r == s else some[r][5]
    return some, every, covariance


def test_all_pairs_of_a_multi_arm_trial_need_no_covariance():
    some, every, covariance = three_arms()
    study, treatment, control, y, v, _ = zip(*some, strict=True)
    one = network_meta_analysis(
        y, v, study, treatment, control, reference="p", sampling_covariance=covariance
    )
    study, treatment, control, y, v = zip(*every, strict=True)
    two = network_meta_analysis(y, v, study, treatment, control, reference="p")
    np.testing.assert_allclose(two.effects.estimate, one.effects.estimate, rtol=1e-10)
    np.testing.assert_allclose(two.effects.covariance, one.effects.covariance, rtol=1e-9)
    assert two.tau2 == pytest.approx(one.tau2, rel=1e-9)
    for first, second in zip(one.splits, two.splits):
        assert first.difference == pytest.approx(second.difference, rel=1e-7)
    assert one.n_contrasts == 10 and one.k == 6


def test_comparisons_that_do_not_add_up_are_averaged_and_said():
    _, every, _ = three_arms()
    study, treatment, control, y, v = zip(*every, strict=True)
    bent = (y[0] + 0.01, *y[1:])
    fit = network_meta_analysis(bent, v, study, treatment, control)
    assert "comparisons_averaged" in {item.code for item in fit.caveats}
    straight = network_meta_analysis(y, v, study, treatment, control)
    assert "comparisons_averaged" not in {item.code for item in straight.caveats}
    gap = np.abs(fit.effects.estimate - straight.effects.estimate)
    assert 0 < gap.max() < 0.01


def test_the_reference_treatment_changes_no_comparison():
    fits = [fit_reference("hasselblad1998", reference=name) for name in ("no_contact", "self_help")]
    for first, second in itertools.permutations(fits[0].treatments, 2):
        one, two = (fit.compare(first, second) for fit in fits)
        assert one.estimate == pytest.approx(two.estimate, rel=1e-8)
        assert one.ci_low == pytest.approx(two.ci_low, rel=1e-7)
        assert one.pi_high == pytest.approx(two.pi_high, rel=1e-7)
    scores = [dict(fit.ranking()) for fit in fits]
    assert scores[0] == pytest.approx(scores[1], rel=1e-7)
    assert fits[0].q.between_random.q == pytest.approx(fits[1].q.between_random.q, rel=1e-6)


@pytest.mark.parametrize("power", [-6, -3, 3, 6])
@pytest.mark.parametrize("method", ["REML", "DL"])
def test_unit_of_the_effect_does_not_matter(power, method):
    some, _, covariance = three_arms()
    study, treatment, control, y, v, _ = zip(*some, strict=True)
    c = 10.0**power
    one, two = (
        network_meta_analysis(
            unit * np.array(y),
            unit**2 * np.array(v),
            study,
            treatment,
            control,
            sampling_covariance=unit**2 * covariance,
            tau2_method=method,
        )
        for unit in (1.0, c)
    )
    assert two.tau2 == pytest.approx(c**2 * one.tau2, rel=1e-9)
    assert two.tau2_ci_high == pytest.approx(c**2 * one.tau2_ci_high, rel=1e-9)
    np.testing.assert_allclose(two.effects.estimate, c * one.effects.estimate, rtol=1e-9)
    np.testing.assert_allclose(two.p_scores, one.p_scores, rtol=1e-9)
    assert two.q.between.q == pytest.approx(one.q.between.q, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_order_and_direction_of_rows_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    some, _, covariance = three_arms()
    order, flip = rng.permutation(len(some)), rng.choice([-1, 1], len(some))
    study, treatment, control, y, v, _ = zip(*some, strict=True)
    one = network_meta_analysis(
        y, v, study, treatment, control, reference="p", sampling_covariance=covariance
    )
    swapped = [
        (study[i], *((treatment[i], control[i]) if flip[i] > 0 else (control[i], treatment[i])))
        for i in order
    ]
    two = network_meta_analysis(
        (flip * np.array(y))[order],
        np.array(v)[order],
        *zip(*swapped, strict=True),
        reference="p",
        sampling_covariance=(np.outer(flip, flip) * covariance)[np.ix_(order, order)],
    )
    np.testing.assert_allclose(two.effects.estimate, one.effects.estimate, rtol=1e-8)
    np.testing.assert_allclose(two.p_scores, one.p_scores, rtol=1e-8)
    assert two.q.within.q == pytest.approx(one.q.within.q, rel=1e-9)


def test_ranking_turns_with_its_direction():
    low, high = (fit_reference("senn2013", lower_is_better=flag) for flag in (True, False))
    np.testing.assert_allclose(low.p_scores + high.p_scores, 1, rtol=1e-12)
    assert low.p_scores.mean() == pytest.approx(0.5, rel=1e-12)
    for fit, better in ((low, "lower"), (high, "higher")):
        assert f"({better} is better)" in repr(fit)
        assert f"where {better} is better" in fit.methods_sentence()
        assert f"{better} is better" in str(fit.report())


def three_arms_among_two():
    arms = {
        "s": ["S1", "S1", "S2", "S2", "S3", "S3", "S3", "S4", "S4", "S5", "S5"],
        "t": list("APBPABPAPAB"),
        "e": [10, 20, 12, 22, 9, 8, 15, 5, 9, 7, 6],
        "n": [100, 100, 90, 95, 80, 82, 79, 50, 48, 60, 61],
    }
    return pairwise(arms, "OR", study="s", treatment="t", events="e", n="n")


def test_a_spread_that_no_value_fits_is_said():
    fit = network_meta_analysis(three_arms_among_two(), reference="P")
    assert (fit.tau2_ci_low, fit.tau2_ci_high) == (0, 0)
    assert "τ² = 0 (no value fits; I² = 0.0% from Q)" in repr(fit)
    assert fit.league_table().loc["A", "P"] == "0.50 [0.25, 1.02] (log scale −0.69)"
    pair = fit.compare("A", "P")
    shown = " ".join(repr(pair).split())
    assert "A against P: odds ratio" in shown
    assert "effect 0.50 95% CI 0.25 to 1.02 (log scale −0.69) p = 0.054" in shown
    assert pair.display_estimate == np.exp(pair.estimate)
    assert set(pair.to_dict()) == set(fit.to_dict()["comparisons"][0])


def test_contrasts_that_share_an_arm_are_no_studies_of_their_own():
    contrasts = three_arms_among_two()
    for model in (random_effects, bayes_random_effects):
        (said,) = [c for c in model(contrasts).caveats if c.code == "shared_arms"]
        assert said.message.startswith("S3 gives several contrasts that share an arm")
        assert "network_meta_analysis() and che()" in said.message
    fit = random_effects(contrasts)
    assert "6 contrasts of 5 studies" in repr(fit)
    assert "odds ratios (as logarithms) of 6 contrasts of 5 studies" in fit.methods_sentence()
    network = network_meta_analysis(contrasts, reference="P")
    assert all(caveat.code != "shared_arms" for caveat in network.caveats)
    arms = {"s": ["S"] * 3, "t": list("ABP"), "e": [9, 8, 15], "n": [80, 82, 79]}
    one = pairwise(arms, "OR", study="s", treatment="t", events="e", n="n")
    assert "2 contrasts of 1 study" in repr(random_effects(one))


def test_shared_arm_covariance_goes_into_the_network():
    study, treatment, control = ["a", "a", "b", "c"], ["x", "y", "x", "y"], ["p"] * 4
    covariance = shared_arm_covariance(
        "OR",
        study,
        treatment,
        control,
        n_treatment=[50, 52, 40, 60],
        n_control=[51, 51, 39, 62],
        events_treatment=[10, 15, 9, 20],
        events_control=[20, 20, 15, 30],
    )
    fit = network_meta_analysis(
        [-0.9, -0.5, -0.7, -0.6],
        np.diag(covariance.matrix),
        study,
        treatment,
        control,
        sampling_covariance=covariance,
    )
    assert fit.reference == "p" and fit.n_contrasts == 4


def test_plot_data_counts_studies_and_participants():
    fit = fit_reference("senn2013")
    nodes = {node.treatment: node for node in fit.nodes}
    assert nodes["placebo"].k == 19 and nodes["rosiglitazone"].n is not None
    data = columns("senn2013")
    arms = {
        (study, name): n
        for side in ("treatment", "control")
        for study, name, n in zip(data["study"], data[side], data[f"n_{side}"])
    }
    assert sum(node.n for node in fit.nodes) == sum(arms.values())
    edges = {(edge.first, edge.second): edge.k for edge in fit.edges}
    assert edges[("placebo", "rosiglitazone")] == 6
    assert sum(edges.values()) == 25 + 3  # one trial has three arms
    bare = network_meta_analysis([0.1, 0.2], [0.1, 0.1], ["a", "b"], ["x", "x"], ["p", "p"])
    assert all(node.n is None for node in bare.nodes)


def test_the_league_table_reads_row_minus_column():
    fit = fit_reference("hasselblad1998", lower_is_better=False)
    table = fit.league_table()
    assert list(table.columns) == [name for name, _ in fit.ranking()]
    item = fit.compare("self_help", "no_contact")
    assert table.loc["self_help", "no_contact"] == (
        f"{item.estimate:.2f} [{item.ci_low:.2f}, {item.ci_high:.2f}]".replace("-", "−")
    )
    back = fit.compare("no_contact", "self_help")
    assert (back.estimate, back.ci_low, back.pi_low) == (
        -item.estimate,
        -item.ci_high,
        -item.pi_high,
    )
    with pytest.raises(UsageError, match=r"treatment is 'selfhelp'.*did you mean self_help"):
        fit.compare("selfhelp", "no_contact")
    with pytest.raises(UsageError, match="control is 'self_help'"):
        fit.compare("self_help", "self_help")


def test_the_result_prints_tidies_and_serialises():
    fit = fit_reference("senn2013")
    assert repr(fit).splitlines()[0] == (
        "<Network meta-analysis: 26 studies, 10 treatments, REML, against placebo>"
    )
    assert "P-scores rosiglitazone 0.90" in " ".join(repr(fit).split())
    assert len(fit.tidy()) == 45 and len(fit.splits_frame()) == 15
    assert fit.to_json() == fit_reference("senn2013").to_json()
    assert json.loads(fit.to_json())["q"]["total"]["df"] == 18


def test_disagreement_is_said():
    rows = [
        ("a", "x", "p", -1.0),
        ("b", "y", "p", 0.0),
        ("c", "x", "y", 0.8),
        ("d", "x", "p", -1.1),
    ]
    study, treatment, control, y = zip(*rows, strict=True)
    fit = network_meta_analysis(y, [0.02] * 4, study, treatment, control, tau2_method="common")
    codes = {item.code for item in fit.caveats}
    assert {"inconsistency", "direct_and_indirect_differ"} <= codes
    assert "direct and indirect differ" in repr(fit)


def test_components_of_a_network():
    assert network_components(["a", "c", "b", "e"], ["b", "d", "f", "c"]) == (
        ("a", "b", "f"),
        ("c", "d", "e"),
    )


BASE = {
    "estimates": [0.1, 0.2, 0.3],
    "variances": [0.1, 0.1, 0.2],
    "study": ["a", "b", "c"],
    "treatment": ["x", "y", "y"],
    "control": ["p", "p", "x"],
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"treatment": ["x", "y", "z"], "control": ["p", "p", "q"]},
            NotEstimableError,
            r"not connected: no trial links \{p, x, y\}; \{q, z\}",
        ),
        ({"treatment": ["x", "y", "x"]}, ImpossibleDataError, "'x' with itself"),
        ({"study": ["a", "a", "c"]}, NotEstimableError, "'a' has 3 arms and 2 comparisons"),
        (
            {"study": ["a", "b", "a"], "treatment": ["x", "y", "x"], "control": ["p", "p", "p"]},
            ImpossibleDataError,
            "gives the same comparison twice",
        ),
        (
            {"study": ["a"] * 3, "variances": [0.1, 0.1, 0.9]},
            ImpossibleDataError,
            "cannot belong to 3 independent arms",
        ),
        (
            {"study": ["a", "a", "c"], "sampling_covariance": np.diag([0.1, 0.2, 0.2])},
            ImpossibleDataError,
            "diagonal of sampling_covariance",
        ),
        (
            {"study": ["a", "a", "c"], "sampling_covariance": 0.1 + np.diag([0, 0, 0.1])},
            NotEstimableError,
            "not positive definite",
        ),
        ({"sampling_covariance": np.eye(2)}, UsageError, r"it needs \(3, 3\)"),
        ({"variances": [0.1, -0.1, 0.2]}, ImpossibleDataError, r"variances\[1\]"),
        ({"estimates": [0.1, math.nan, 0.2]}, ImpossibleDataError, r"estimates\[1\]"),
        ({"treatment": ["x", None, "y"]}, ImpossibleDataError, r"treatment\[1\] is None"),
        ({"control": ["p", "p"]}, UsageError, "control has 2 values where 3"),
        ({"reference": "q"}, UsageError, "reference is 'q'; choose one of p, x, y"),
        ({"tau2_method": "PM"}, UsageError, "tau2_method is 'PM'"),
        ({"ci_method": "z"}, UsageError, "ci_method is 'z'"),
        ({"level": 95}, UsageError, "level is 95"),
        ({"n_treatment": [1, 2, 3]}, UsageError, "n_treatment and n_control, or neither"),
    ],
)
def test_unusable_input_is_named(change, error, message):
    with pytest.raises(KetametaError, match=message) as caught:
        network_meta_analysis(**(BASE | change))
    assert isinstance(caught.value, error)


# --- block by block, never a matrix of all studies ------------------------------------------------


def mixed_network(studies, seed=1):
    """Two-arm and three-arm trials of four treatments, in long form with a dense covariance."""
    random = np.random.default_rng([seed, studies])
    rows, blocks = [], []
    for number in range(studies):
        arms = random.permutation(["p", "x", "y", "z"])[: 3 if number % 3 == 0 else 2]
        own = random.uniform(0.02, 0.2, len(arms))
        block = np.diag(own[1:]) + own[0]
        effects = random.multivariate_normal(
            np.full(len(arms) - 1, 0.3), block + 0.05 * (np.eye(len(arms) - 1) + 1)
        )
        blocks.append(block)
        rows += [
            (f"s{number}", arm, arms[0], effect, block[i, i])
            for i, (arm, effect) in enumerate(zip(arms[1:], effects, strict=True))
        ]
    study, treatment, control, y, v = zip(*rows, strict=True)
    return y, v, study, treatment, control, linalg.block_diag(*blocks)


def dense_restricted_likelihood(tau2, y, V, H, X):
    """What the definition says: full matrices, an inverse, three determinants."""
    M = V + tau2 * H
    inverse = np.linalg.inv(M)
    cross = X.T @ inverse @ X
    beta = np.linalg.solve(cross, X.T @ inverse @ y)
    residual = y - X @ beta
    height = -0.5 * (
        np.linalg.slogdet(M)[1] + np.linalg.slogdet(cross)[1] + residual @ inverse @ residual
    )
    return height, beta, np.linalg.inv(cross), residual @ inverse @ residual


def dense_pieces(data):
    """Return y, V, the shape of the heterogeneity and the design, as large dense matrices."""
    y, _, study, treatment, control, V = data
    names = ("p", "x", "y", "z")
    C = np.array(
        [
            [(name == one) - (name == two) for name in names]
            for one, two in zip(treatment, control, strict=True)
        ],
        dtype=float,
    )
    same = np.array(study)[:, None] == np.array(study)
    return np.array(y), V, same * (C @ C.T) / 2, C[:, 1:]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_blocks_give_the_numbers_of_dense_matrices(seed):
    data = mixed_network(40, seed)
    fit = network_meta_analysis(*data[:5], reference="p", sampling_covariance=data[5])
    pieces = dense_pieces(data)
    height, beta, covariance, _ = dense_restricted_likelihood(fit.tau2, *pieces)
    np.testing.assert_allclose(fit.effects.estimate, beta, rtol=DENSE)
    np.testing.assert_allclose(fit.effects.covariance, covariance, rtol=DENSE)
    assert fit.q.total.q == pytest.approx(dense_restricted_likelihood(0.0, *pieces)[3], rel=DENSE)
    best = optimize.minimize_scalar(
        lambda t: -dense_restricted_likelihood(t, *pieces)[0], bounds=(0, 1), method="bounded",
        options={"xatol": 1e-12},
    )  # fmt: skip
    assert fit.tau2 == pytest.approx(best.x, abs=1e-6)
    assert height == pytest.approx(-best.fun, rel=DENSE)


def test_the_rows_have_the_likelihood_of_dense_matrices():
    data = mixed_network(40)
    given = network_data(*data[:5], "p", data[5], None, None)
    whitened = whiten(given.studies)
    rows = network_rows(whitened, whitened.contrasts[:, 1:])
    pieces = dense_pieces(data)
    first = dense_restricted_likelihood(0.0, *pieces)[0] - log_likelihood(rows, 0.0)
    for tau2 in (0.01, 0.05, 0.3, 4.0):
        expected = dense_restricted_likelihood(tau2, *pieces)[0]
        assert log_likelihood(rows, tau2) + first == pytest.approx(expected, rel=DENSE)
        slope = expected - dense_restricted_likelihood(tau2 + 1e-6, *pieces)[0]
        assert np.sign(_score(rows, tau2)) == -np.sign(slope)


def test_memory_grows_with_the_studies_not_with_their_square():
    peaks = []
    for studies in (500, 1000):
        y, v, study, treatment, control, _ = mixed_network(studies, seed=4)
        two = [number for number, name in enumerate(study) if int(name[1:]) % 3]
        chosen = [[values[i] for i in two] for values in (y, v, study, treatment, control)]
        tracemalloc.start()
        network_meta_analysis(*chosen, reference="p")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2.5 * peaks[0]
    assert peaks[1] < 8 * len(two) ** 2


def test_one_small_matrix_per_study_does_for_a_large_one():
    y, v, study, treatment, control, V = mixed_network(12)
    names = list(dict.fromkeys(study))
    places = [[i for i, name in enumerate(study) if name == one] for one in names]
    blocks = [V[np.ix_(at, at)] for at in places]
    dense = network_meta_analysis(y, v, study, treatment, control, sampling_covariance=V)
    small = network_meta_analysis(y, v, study, treatment, control, sampling_covariance=blocks)
    assert small.to_json() == dense.to_json()
    for wrong, message in (
        (blocks[:-1], "has 11 matrices; give one for each of the 12 studies"),
        ([*blocks[:-1], np.eye(5)], r"of study 's11' has shape \(5, 5\); it needs"),
    ):
        with pytest.raises(UsageError, match=message):
            network_meta_analysis(y, v, study, treatment, control, sampling_covariance=wrong)


@pytest.mark.parametrize("n", [5, 256, 257, 3000, 40_000])
def test_a_decomposition_in_pieces_is_one(n):
    a = np.random.default_rng(n).normal(size=(n, 4)) * [1.0, 1e-3, 50.0, 1.0]
    q, r = tall_qr(a)
    np.testing.assert_allclose(q @ r, a, rtol=DENSE, atol=1e-13)
    np.testing.assert_allclose(q.T @ q, np.eye(4), atol=1e-13)
    assert np.all(np.tril(r, -1) == 0)
