"""Effects of one study that share an arm: their covariance written out, and one effect of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ketameta import combine_arms
from ketameta import effects as es
from ketameta.analyses import StudyEffects, join_effects, study_covariance
from ketameta.measures import Measure
from tolerances import DIRECT

NAN = float("nan")


def study_effects(
    treatment: list[str], control: list[str], estimates: Any, variances: Any, **numbers: Any
) -> StudyEffects:
    m = len(treatment)
    arrays = {
        name: np.array(numbers.get(name, [NAN] * m), dtype=float)
        for name in ("n_treatment", "n_control", "events_treatment", "events_control")
    }
    return StudyEffects(
        people=tuple(numbers.get("people", ["alder_2014|"] * m)),
        treatment=tuple(treatment),
        control=tuple(control),
        estimates=np.array(estimates, dtype=float),
        variances=np.array(variances, dtype=float),
        **arrays,
    )


#: Two doses against one placebo: n of low, high, placebo.
N = (20.0, 30.0, 25.0)
TWO_DOSES = {"n_treatment": N[:2], "n_control": (N[2], N[2])}


# --- covariance written out -----------------------------------------------------------------------


def test_differences_share_the_variance_of_the_control() -> None:
    # Equal spread sigma: Var(low - placebo) = sigma^2 (1/20 + 1/25), Cov = sigma^2 / 25.
    sigma2 = 36.0
    v = [sigma2 * (1 / n + 1 / N[2]) for n in N[:2]]
    found = study_covariance(
        Measure.MD, study_effects(["low", "high"], ["p", "p"], [-3, -4], v, **TWO_DOSES)
    )
    assert found == pytest.approx(np.array([[v[0], sigma2 / 25], [sigma2 / 25, v[1]]]), rel=DIRECT)


def test_standardised_differences_share_the_control_and_its_spread() -> None:
    # Gleser and Olkin's 1/n_c, and the sampling error of the shared standard deviation: each g has
    # the spread of its own two arms, which have only the control's n_c in common.
    d = np.array([-0.5, -0.8])
    totals = np.array([N[0] + N[2], N[1] + N[2]])
    v = [1 / n + 1 / N[2] + g**2 / (2 * t) for n, g, t in zip(N[:2], d, totals, strict=True)]
    found = study_covariance(
        Measure.SMD, study_effects(["low", "high"], ["p", "p"], d, v, **TWO_DOSES)
    )
    expected = 1 / N[2] + d.prod() * N[2] / (2 * totals.prod())
    assert found[0, 1] == pytest.approx(expected, rel=DIRECT)
    assert np.diag(found) == pytest.approx(np.array(v), rel=DIRECT)


@pytest.mark.parametrize(
    ("measure", "function", "of_control"),
    [
        (Measure.OR, es.log_odds_ratio, 1 / 5 + 1 / 20),
        (Measure.RR, es.log_risk_ratio, 1 / 5 - 1 / 25),
        (Measure.RD, es.risk_difference, 0.2 * 0.8 / 25),
    ],
)
def test_counts_share_the_variance_of_the_control(
    measure: Measure, function: Any, of_control: float
) -> None:
    events = [6, 11]
    size = function(events, N[:2], [5, 5], [N[2], N[2]])
    found = study_covariance(
        measure,
        study_effects(["low", "high"], ["p", "p"], size.estimate, size.variance, **TWO_DOSES,
                      events_treatment=events, events_control=[5, 5]),
    )  # fmt: skip
    assert found[0, 1] == pytest.approx(of_control, rel=1e-9)


def test_a_shared_treatment_counts_like_a_shared_control() -> None:
    sizes = {"n_treatment": (25.0, 25.0), "n_control": (20.0, 30.0)}
    v = [36 * (1 / 25 + 1 / n) for n in (20, 30)]
    found = study_covariance(
        Measure.MD, study_effects(["t", "t"], ["placebo", "midazolam"], [-3, -4], v, **sizes)
    )
    assert found[0, 1] == pytest.approx(36 / 25, rel=DIRECT)


def test_an_arm_on_both_sides_turns_the_sign() -> None:
    # a - b and b - c: what is high in b lowers one and raises the other.
    v = [36 * (1 / 20 + 1 / 25), 36 * (1 / 25 + 1 / 30)]
    sizes = {"n_treatment": (20.0, 25.0), "n_control": (25.0, 30.0)}
    found = study_covariance(
        Measure.MD, study_effects(["a", "b"], ["b", "c"], [-3, -4], v, **sizes)
    )
    assert found[0, 1] == pytest.approx(-36 / 25, rel=DIRECT)


def test_other_people_share_nothing() -> None:
    effects = study_effects(
        ["low", "low"], ["p", "p"], [-3, -4], [2, 3], people=["sex=female", "sex=male"], **TWO_DOSES
    )
    assert study_covariance(Measure.MD, effects)[0, 1] == 0


def test_without_sizes_a_shared_arm_is_half_of_each_variance() -> None:
    found = study_covariance(
        Measure.MD, study_effects(["low", "high"], ["p", "p"], [-3, -4], [4, 9])
    )
    assert found[0, 1] == pytest.approx(0.5 * 2 * 3, rel=DIRECT)


def test_changes_without_a_control_share_nobody() -> None:
    effects = study_effects(["low", "high"], ["", ""], [-0.5, -0.8], [0.04, 0.05])
    assert study_covariance(Measure.SMCR, effects)[0, 1] == 0


@pytest.mark.parametrize("measure", [Measure.RD, Measure.OR, Measure.RR])
def test_empty_cells_do_not_stop_a_study(measure: Measure) -> None:
    function = {
        Measure.RD: es.risk_difference,
        Measure.OR: es.log_odds_ratio,
        Measure.RR: es.log_risk_ratio,
    }[measure]
    events = [0, 4]
    size = function(events, N[:2], [0, 0], [N[2], N[2]])
    found = study_covariance(
        measure,
        study_effects(["low", "high"], ["p", "p"], size.estimate, size.variance, **TWO_DOSES,
                      events_treatment=events, events_control=[0, 0]),
    )  # fmt: skip
    assert np.isfinite(found).all()
    assert np.linalg.eigvalsh(found).min() >= -1e-12
    joined = join_effects(size.estimate, found)
    assert joined.variance > 0


# --- joining --------------------------------------------------------------------------------------


def test_independent_effects_are_weighted_by_their_precision() -> None:
    joined = join_effects(np.array([1.0, 4.0]), np.diag([1.0, 2.0]))
    assert joined.weights == pytest.approx((2 / 3, 1 / 3), rel=DIRECT)
    assert joined.estimate == pytest.approx(2.0, rel=DIRECT)
    assert joined.variance == pytest.approx(2 / 3, rel=DIRECT)


@given(
    st.lists(st.floats(-50, 50), min_size=2, max_size=5),
    st.data(),
)
def test_doses_of_equal_spread_join_to_the_effect_of_the_combined_arm(
    means: list[float], data: st.DataObject
) -> None:
    # Equal SDs and equal means within dose arms: joining effects must give what joining arms gives.
    n = np.array(data.draw(st.lists(st.integers(2, 80), min_size=len(means), max_size=len(means))))
    n_control, sd, control = data.draw(st.integers(2, 80)), 6.0, 5.0
    v = sd**2 * (1 / n + 1 / n_control)
    names = [f"dose {i}" for i in range(len(means))]
    effects = study_effects(
        names, ["p"] * len(means), np.array(means) - control, v,
        n_treatment=n, n_control=[n_control] * len(means),
    )  # fmt: skip
    joined = join_effects(effects.estimates, study_covariance(Measure.MD, effects))
    combined = combine_arms(n, means, [sd] * len(means))
    assert joined.estimate == pytest.approx(combined.mean - control, rel=1e-9, abs=1e-9)
    assert joined.variance == pytest.approx(sd**2 * (1 / n.sum() + 1 / n_control), rel=1e-9)


def test_the_joined_variance_is_that_of_its_weights() -> None:
    covariance = np.array([[0.09, 0.03, 0.0], [0.03, 0.16, 0.02], [0.0, 0.02, 0.25]])
    estimates = np.array([-0.4, -0.1, 0.3])
    joined = join_effects(estimates, covariance)
    inverse = np.linalg.inv(covariance)
    assert joined.variance == pytest.approx(1 / inverse.sum(), rel=DIRECT)
    assert joined.estimate == pytest.approx((inverse @ estimates).sum() / inverse.sum(), rel=DIRECT)
    assert sum(joined.weights) == pytest.approx(1, rel=DIRECT)


def test_weights_never_turn_negative() -> None:
    covariance = np.array([[1.0, 1.8], [1.8, 4.0]])
    joined = join_effects(np.array([0.0, 1.0]), covariance)
    assert joined.weights == (0.5, 0.5)
    assert joined.variance == pytest.approx(covariance.sum() / 4, rel=DIRECT)


def test_a_closed_triangle_of_comparisons_can_be_joined() -> None:
    # a - c, b - c and a - b: the third follows from the others, and the matrix has no inverse.
    v = [36 * (1 / 20 + 1 / 25), 36 * (1 / 30 + 1 / 25), 36 * (1 / 20 + 1 / 30)]
    effects = study_effects(
        ["a", "b", "a"], ["c", "c", "b"], [-3, -4, 1], v,
        n_treatment=[20, 30, 20], n_control=[25, 25, 30],
    )  # fmt: skip
    covariance = study_covariance(Measure.MD, effects)
    joined = join_effects(effects.estimates, covariance)
    assert np.isfinite([joined.estimate, joined.variance, *joined.weights]).all()
    assert 0 < joined.variance <= max(v)
    assert -4 <= joined.estimate <= 1
