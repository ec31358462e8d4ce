"""The pooled effect of every subset: against metafor's gosh, and what random subsets promise."""

import json

import numpy as np
import pytest

from ketameta import common_effect, gosh, meta_regression, random_effects
from ketameta.errors import NotEstimableError, UsageError
from ketameta.models.diagnostics import DEFAULT_SUBSETS
from metafor_values import data
from robustness_values import ROBUSTNESS, fit_of, largest, rows
from tolerances import METAFOR_REFITS

NUMBERS = ("estimate", "tau2", "i2", "h2", "q")


@pytest.mark.parametrize(("key", "method"), rows("gosh"))
def test_every_subset_equals_metafor(key, method):
    stored, fit = ROBUSTNESS[key]["gosh"][method], fit_of(key, f"{method}_z")
    ours = gosh(fit)
    assert ours.exact
    place = {"".join("01"[int(flag)] for flag in row): i for i, row in enumerate(ours.included)}
    at = [place[row] for row in stored["included"]]
    assert len(at) == len(ours.estimate) == 2**fit.k - 1
    assert ours.studies[at].tolist() == stored["k"]
    smallest = fit.variances.min()
    # For DL metafor takes a short cut whose H-squared, Q / (k - 1), has no floor at 1.
    found = {
        "estimate": largest(ours.estimate[at], stored["estimate"], np.sqrt(smallest)),
        "tau2": largest(ours.tau2[at], stored["tau2"], smallest),
        "QE": largest(ours.q[at], stored["QE"], 1),
        "I2": largest(100 * ours.i2[at], stored["I2"], 100),
        "H2": largest(ours.h2[at], np.maximum(1, stored["H2"])),
    }
    assert max(found.values()) < METAFOR_REFITS, found


def test_the_comparison_is_complete():
    assert len(rows("gosh")) == 11
    assert {method for _, method in rows("gosh")} == {"REML", "DL"}


def big_fit(k=20):
    rng = np.random.default_rng(7)
    return random_effects(rng.normal(0, 0.5, k), rng.uniform(0.02, 0.2, k))


def test_random_subsets_store_their_seed_and_repeat():
    fit = big_fit()
    first = gosh(fit, 500)
    again = gosh(fit, 500, seed=first.seed)
    assert first.seed is not None
    assert not first.exact
    assert np.array_equal(first.included, again.included)
    assert np.array_equal(first.estimate, again.estimate)
    assert not np.array_equal(first.included, gosh(fit, 500, seed=first.seed + 1).included)
    assert [c.code for c in first.caveats] == ["random_subsets"]


def test_the_budget_changes_no_bit():
    fit = big_fit()
    whole = gosh(fit, 2_000, seed=1)
    seen = []
    cut = gosh(fit, 2_000, seed=1, budget_bytes=200_000, progress=lambda *at: seen.append(at))
    for name in NUMBERS:
        assert np.array_equal(getattr(whole, name), getattr(cut, name))
    assert seen[-1] == (2_000, 2_000)
    assert len(seen) > 3


def test_every_subset_is_as_likely_as_any_other():
    y, v = data("bcg_OR_first6_ablat")
    fit = random_effects(y[:5], v[:5])
    drawn = gosh(fit, 30, seed=3)  # 31 exist, so that 30 are random
    assert not drawn.exact
    assert (drawn.studies >= 1).all()
    many = gosh(big_fit(17), 20_000, seed=2)
    # Binomial(17, 1/2): mean 8.5, variance 4.25; five standard errors of a mean of 20,000.
    assert many.studies.mean() == pytest.approx(8.5, abs=5 * np.sqrt(4.25 / 20_000))
    assert many.included.mean(0) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(20_000))


def test_a_single_outlier_divides_the_subsets():
    fit = random_effects(
        [0.1, 0.2, 0.15, 0.12, 3.0], [0.02] * 5, labels=["a", "b", "c", "d", "odd one"]
    )
    ours = gosh(fit)
    assert "most odd one" in ours.summary()
    assert ours.median_with[4] > 0.5 > ours.median_without[4]
    np.testing.assert_allclose(
        ours.median_without[0], np.median(ours.estimate[~ours.included[:, 0]])
    )


def test_subsets_are_sorted_by_size_and_the_last_is_the_fit():
    y, v = data("eight_schools")
    fit = common_effect(y, v)
    ours = gosh(fit)
    assert (np.diff(ours.studies) >= 0).all()
    assert ours.estimate[-1] == pytest.approx(fit.estimate, rel=1e-12)
    assert ours.tau2_method is None
    assert len(ours.tidy()) == 255


def test_the_stored_result_is_a_summary():
    ours = gosh(random_effects(*data("bcg_OR_first3")))
    stored = json.loads(ours.to_json())
    assert stored["subsets"] == 7
    assert "included" not in stored
    assert stored["quantiles"]["estimate"][3] == np.median(ours.estimate)
    assert stored["exact"] is True
    assert len(ours.to_json()) < 3_000
    assert DEFAULT_SUBSETS > 2**16 - 1


def test_what_gosh_cannot_do_is_refused():
    fit = big_fit(4)
    with pytest.raises(NotEstimableError, match="at least 2 studies"):
        gosh(random_effects([0.1], [0.1]))
    with pytest.raises(UsageError, match="meta-regression"):
        gosh(meta_regression(fit.estimates, fit.variances, [1, 2, 3, 5]))
    with pytest.raises(UsageError, match="subsets is 1"):
        gosh(fit, 1)
    with pytest.raises(UsageError, match="seed is -1"):
        gosh(fit, 3, seed=-1)
    with pytest.raises(UsageError, match="need at least"):
        gosh(fit, budget_bytes=100)


def test_more_subsets_than_a_float_can_count_are_still_named():
    y = np.random.default_rng(3).normal(0.2, 0.3, 1100)
    found = gosh(random_effects(y, np.full(1100, 0.05)), 50, seed=1)
    assert found.caveats[0].message == "50 random subsets of the 1.4e+331 there are."
    # 2^1100 = 10^331.13...
    assert 10 ** (1100 * np.log10(2) - 331) == pytest.approx(1.4, abs=0.05)


def test_gosh_of_ratios_prints_ratios_and_their_logarithms():
    fit = random_effects([-0.9, -0.2, -1.1, -0.5], [0.05, 0.04, 0.08, 0.1], measure="RR")
    found = gosh(fit)
    shown = repr(found)
    assert f"all studies {np.exp(fit.estimate):.2f}\n" in shown
    assert "  log scale   median −0." in shown
    most = np.argmax(np.abs(found.median_with - found.median_without))
    assert f"median {np.exp(found.median_with[most]):.2f} with" in shown
