"""What a next trial would need, and what it would do to the pooled interval."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import special

import tolerances as tol
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models.new_trial import md_variance, new_trial, smd_variance
from ketameta.models.random_effects import random_effects

REFERENCE = json.loads((Path(__file__).parent / "reference" / "planning.json").read_text("utf-8"))
TWO = ([-0.29, -1.0911], [0.1564, 0.1276])
FOUR = ([-0.5, -0.6, -0.35, -0.2], [0.05, 0.08, 0.04, 0.06])


def pooled_with(data, result, n):
    """Refit with one more trial, one fit at a time."""
    variance = 2 / n + result**2 / (4 * n)
    return random_effects([*data[0], result], [*data[1], variance])


# --- one more trial: the numbers ------------------------------------------------------------------


@pytest.mark.parametrize("stored", REFERENCE["updates"], ids=str)
def test_ranges_end_where_metafor_says(stored):
    data = REFERENCE["sets"][stored["set"]]
    found = new_trial(data["yi"], data["vi"], stored["n"], [-0.5])
    assert len(found.below) == 1
    assert found.below[0] == pytest.approx(stored["ends"], abs=tol.RANGE_END)
    assert found.above == ()


@pytest.mark.parametrize(("data", "n"), [(TWO, 60), (TWO, 400), (FOUR, 30)])
def test_inside_a_range_the_refitted_interval_excludes_no_effect(data, n):
    (low, high), *_ = new_trial(*data, n, [-0.5]).below
    step = 1e-4
    for inside in (low + step, (low + high) / 2, high - step):
        assert pooled_with(data, inside, n).ci_high < 0
    for outside in (low - step, high + step):
        assert pooled_with(data, outside, n).ci_high > 0


def test_probability_and_width_equal_a_fine_sum():
    n, truth, tau2 = 80, -0.6, 0.05
    found = new_trial(*TWO, n, [truth], tau2_new=tau2).outlooks[0]
    spread = math.sqrt(smd_variance(np.array(truth), n) + tau2)
    results = np.linspace(truth - 8 * spread, truth + 8 * spread, 1201)
    weights = np.exp(-0.5 * ((results - truth) / spread) ** 2)
    weights /= weights.sum()
    fits = [pooled_with(TWO, float(result), n) for result in results]
    below = np.array([fit.ci_high < 0 for fit in fits])
    width = np.array([fit.ci_high - fit.ci_low for fit in fits])
    assert found.p_below == pytest.approx(float(weights @ below), abs=tol.SUMMED_INDICATOR)
    assert found.expected_width == pytest.approx(float(weights @ width), rel=tol.MEAN_WIDTH)


def test_a_wald_interval_with_known_variance_has_a_closed_form():
    # With a common effect, no variance between trials: the weighted mean of old and new is normal.
    y, v, n, sd, truth = [-0.2, -0.4], [0.09, 0.04], 50, 10.0, -3.0
    y, v = [10 * value for value in y], [100 * value for value in v]
    found = new_trial(y, v, n, [truth], md_variance(sd), tau2_method="common", ci_method="wald")
    weights, own = 1 / np.array(v), n / (2 * sd**2)
    total = weights.sum() + own
    needed = -(special.ndtri(0.975) * math.sqrt(total) + weights @ y) / own
    closed = special.ndtr((needed - truth) / math.sqrt(1 / own))
    outlook = found.outlooks[0]
    assert found.below == ((-math.inf, pytest.approx(needed, abs=tol.RANGE_END)),)
    assert outlook.p_below == pytest.approx(closed, abs=tol.RANGE_END)
    assert outlook.expected_width == pytest.approx(
        2 * special.ndtri(0.975) / math.sqrt(total), rel=1e-12
    )


def test_a_trial_turned_round_turns_the_answer_round():
    there = new_trial(*TWO, 100, [-0.5, 0.0], tau2_new=0.1)
    back = new_trial([-value for value in TWO[0]], TWO[1], 100, [0.5, 0.0], tau2_new=0.1)
    (low, high), *_ = there.below
    assert back.above[0] == pytest.approx((-high, -low), abs=tol.RANGE_END)
    for one, other in zip(there.outlooks, back.outlooks, strict=True):
        assert other.p_above == pytest.approx(one.p_below, abs=tol.RANGE_END)
        assert other.expected_width == pytest.approx(one.expected_width, rel=1e-9)


def test_two_trials_that_disagree_cannot_be_settled_by_one():
    # The point of the exercise: with two small trials that differ, even an enormous third one
    # leaves the conservative interval uncertain, as the variance between trials is not known.
    enormous = new_trial(*TWO, 100_000, [-0.5]).outlooks[0]
    assert enormous.p_below < 0.9
    assert new_trial(*TWO, 10, [-0.5]).outlooks[0].p_below == 0.0


def test_a_range_narrower_than_the_grid_is_found():
    sizes = range(20, 60)
    opened = [bool(new_trial(*TWO, n, [0.0, -3.0]).below) for n in sizes]
    assert opened == sorted(opened)
    first = sizes[opened.index(True)]
    ((low, high),) = new_trial(*TWO, first, [0.0, -3.0]).below
    assert 0 < high - low < 0.1
    assert pooled_with(TWO, (low + high) / 2, first).ci_high < 0


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([], [], 10, [0.0]), NotEstimableError, "no stud"),
        (([0.1], [0.0], 10, [0.0]), ImpossibleDataError, "varianc"),
        (([0.1], [0.1], 1, [0.0]), UsageError, "n_per_arm is 1"),
        (([0.1], [0.1], 10, []), NotEstimableError, "scenario"),
        (([0.1], [0.1], 10, [0.0], smd_variance, -1.0), UsageError, "tau2_new"),
    ],
)
def test_impossible_trials_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        new_trial(*arguments)
