"""Sample sizes, power, assurance and Holm's adjustment, held to R, statsmodels and closed forms."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from statsmodels.stats.power import TTestIndPower

import tolerances as tol
from ketameta.errors import ImpossibleDataError, UsageError
from ketameta.models import (
    assurance,
    holm,
    normal_sample_size,
    t_test_power,
    t_test_sample_size,
    two_proportions_sample_size,
)
from ketameta.models.bayes import Mixture

REFERENCE = json.loads((Path(__file__).parent / "reference" / "planning.json").read_text("utf-8"))


def normal(mean, sd):
    return Mixture(np.array([1.0]), np.array([mean]), np.array([sd]))


@pytest.mark.parametrize("row", REFERENCE["means"], ids=str)
def test_the_t_test_needs_the_next_whole_number_above_r(row):
    n = t_test_sample_size(row["difference"], 1.0, row["alpha"], row["power"])
    assert n == max(2, np.ceil(row["n"]))
    assert t_test_sample_size(-3 * row["difference"], 3.0, row["alpha"], row["power"]) == n


@pytest.mark.parametrize("row", REFERENCE["powers"], ids=str)
def test_power_equals_r(row):
    ours = float(t_test_power(row["difference"], 1.0, row["n"]))
    assert ours == pytest.approx(row["power"], abs=tol.POWER)


# statsmodels returns NaN where power is 1 to the last digits (1 SD, 300 per arm).
@pytest.mark.parametrize("difference", [0.2, 0.5])
@pytest.mark.parametrize("n", [3, 30, 300])
def test_power_equals_statsmodels(difference, n):
    theirs = TTestIndPower().power(difference, n, 0.05)
    assert float(t_test_power(difference, 1.0, n)) == pytest.approx(theirs, abs=tol.POWER)


@pytest.mark.parametrize("row", REFERENCE["risks"], ids=str)
def test_two_proportions_equal_r(row):
    n = two_proportions_sample_size(row["control"], row["treatment"], 0.05, row["power"])
    assert n == pytest.approx(row["n"], rel=tol.SAMPLE_SIZE_SEARCHED)


def test_the_normal_approximation_is_the_textbook_number():
    # 0.5 SD, 80% and 90%: 63 and 85 per arm in every table; the t test needs one more.
    assert np.ceil(normal_sample_size(0.5, 1, 0.05, 0.8)) == 63
    assert np.ceil(normal_sample_size(-0.5, 1, 0.05, 0.9)) == 85
    assert t_test_sample_size(0.5, 1, 0.05, 0.8) == 64


@given(st.floats(0.05, 2), st.floats(0.5, 20), st.sampled_from([0.01, 0.05]), st.floats(0.5, 0.99))
def test_the_sample_size_is_the_smallest_that_will_do(difference, sd, alpha, power):
    n = t_test_sample_size(difference * sd, sd, alpha, power)
    assert t_test_power(difference * sd, sd, n, alpha) >= power
    if n > 2:
        assert t_test_power(difference * sd, sd, n - 1, alpha) < power


def test_power_has_no_holes_far_from_the_middle():
    # scipy's series returns NaN here and there from about 30 standard errors (75 per arm).
    sizes = np.array([2, 3, 10, 11, 13, 45, 75, 100, 10_000, 1_000_000])
    effects = np.array([0.0, 1e-6, 0.3, 3, *np.linspace(4, 8, 300), 30])
    found = t_test_power(effects[:, None], 1.0, sizes)
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=0) >= -tol.POWER).all()
    assert found[0] == pytest.approx(0.05)


def test_assurance_with_a_point_prior_is_power_on_the_side_of_benefit():
    n = np.array([10, 50, 200])
    prior = normal(-0.4, 1e-6)
    right, wrong = assurance(prior, 1, n), assurance(prior, 1, n, benefit=1.0)
    assert right + wrong == pytest.approx(t_test_power(0.4, 1, n), abs=tol.POINT_PRIOR)
    assert (wrong < 0.01).all()


@pytest.mark.parametrize(("mean", "sd"), [(-0.5, 0.4), (0.3, 1.0)])
def test_assurance_of_a_large_trial_has_a_closed_form(mean, sd):
    # With n large the t test is a z test: P(z < -1.96) for a normal mean is normal again.
    n = 1000
    shift = np.sqrt(n / 2)
    closed = special.ndtr((-special.ndtri(0.975) - mean * shift) / np.hypot(1, sd * shift))
    assert assurance(normal(mean, sd), 1, n)[0] == pytest.approx(closed, abs=tol.LARGE_TRIAL)


def test_assurance_of_a_mixture_equals_brute_force():
    parts = [(0.5, -0.5, 0.1), (0.3, -0.6, 0.4), (0.2, -0.7, 1.5)]
    mixture = Mixture(*(np.array(column) for column in zip(*parts, strict=True)))
    for n in (5, 50, 500):
        critical = special.stdtrit(2 * n - 2, 0.975)
        brute = 0.0
        for weight, mean, sd in parts:
            x = np.linspace(mean - 9 * sd, mean + 9 * sd, 20_001)
            chance = 1 - special.nctdtr(2 * n - 2, np.clip(-x * np.sqrt(n / 2), -37, 37), critical)
            density = np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
            brute += weight * np.trapezoid(density * chance, x)
        assert assurance(mixture, 1, n)[0] == pytest.approx(brute, abs=tol.ASSURANCE)


def test_assurance_never_exceeds_the_prior_chance_of_benefit():
    prior = normal(-0.2, 0.5)
    found = assurance(prior, 1, [10, 100, 1000, 10_000])
    assert (np.diff(found) > 0).all()
    assert found[-1] < prior.cdf(0.0)


def test_holm_equals_r():
    stored = REFERENCE["holm"]
    assert holm(stored["p"]) == pytest.approx(stored["adjusted"], rel=1e-14)
    assert holm([]).size == 0
    assert holm([0.04]).tolist() == [0.04]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_adjustment_and_bonferroni(values):
    p = np.array(values)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, len(p) * p)).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: t_test_sample_size(0.0, 1, 0.05, 0.8), "difference is 0"),
        (lambda: t_test_sample_size(0.5, 0.0, 0.05, 0.8), "sd is 0"),
        (lambda: t_test_sample_size(0.5, 1, 0.05, 1.0), "power is 1"),
        (lambda: t_test_sample_size(0.5, 1, 0.05, 0.04), "not above alpha"),
        (lambda: t_test_sample_size(1e-4, 1, 0.05, 0.8), "1,000,000"),
        (lambda: t_test_power(0.5, 1, 1), "two people"),
        (lambda: t_test_power(0.5, 1, 10, 0.0), "alpha is 0"),
        (lambda: two_proportions_sample_size(0.0, 0.1, 0.05, 0.8), "p_control is 0"),
        (lambda: two_proportions_sample_size(0.1, 0.1, 0.05, 0.8), "difference is 0"),
        (lambda: assurance(normal(0, 1), -1, 10), "sd is -1"),
    ],
)
def test_what_cannot_be_planned_is_refused(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_a_p_value_above_one_is_refused():
    with pytest.raises(ImpossibleDataError, match=r"p_values\[1\] is 1.2"):
        holm([0.2, 1.2])
