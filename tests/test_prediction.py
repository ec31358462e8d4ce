"""Prediction intervals against pimeta and against their definitions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ketameta import common_effect, prediction_interval, probability_beyond, random_effects
from ketameta.errors import NotEstimableError, UsageError
from ketameta.models import (
    PREDICTION_METHODS,
    critical_value,
    kenward_roger,
    nagashima_bounds,
    prediction_bounds,
)
from metafor_values import data
from tolerances import BOOTSTRAP_BOUND, DIRECT, METAFOR_CLOSED, PIMETA_REML, RESCALED

PUBLISHED = json.loads(
    (Path(__file__).parent / "reference" / "prediction_interval.json").read_text("utf-8")
)["datasets"]
EXAMPLES = list(PUBLISHED)


def example(name: str) -> tuple[np.ndarray, np.ndarray]:
    return np.array(PUBLISHED[name]["yi"]), np.array(PUBLISHED[name]["sei"]) ** 2


def test_all_published_examples_are_here() -> None:
    assert set(EXAMPLES) >= {"sbp", "pain", "setshift", "bcg_OR"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_higgins_thompson_spiegelhalter(name: str) -> None:
    stored = PUBLISHED[name]["HTS"]
    fit = random_effects(*example(name), "DL", "wald")
    assert fit.tau2 == pytest.approx(stored["tau2"], rel=METAFOR_CLOSED)
    assert fit.pi_df == stored["df_pi"]
    assert [fit.pi_low, fit.pi_high] == pytest.approx(stored["pi"], abs=METAFOR_CLOSED)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize(("method", "word"), [("hk", "HK"), ("kr", "KR")])
def test_partlett_and_riley(name: str, method: str, word: str) -> None:
    stored = PUBLISHED[name][word]
    y, v = example(name)
    found = prediction_interval(random_effects(y, v), f"partlett-riley-{method}")
    assert found.df == pytest.approx(stored["df_pi"], rel=PIMETA_REML)
    assert [found.pi_low, found.pi_high] == pytest.approx(stored["pi"], abs=PIMETA_REML)


@pytest.mark.parametrize("name", EXAMPLES)
def test_partlett_and_riley_at_the_tau2_of_pimeta(name: str) -> None:
    # At pimeta's own tau-squared, which its search leaves 1e-5 off, the formulas agree.
    y, v = example(name)
    stored = PUBLISHED[name]["KR"]
    tau2 = stored["tau2"]
    se, df = kenward_roger(y, v, tau2)
    assert df == pytest.approx(stored["df_ci"], rel=METAFOR_CLOSED)
    low, high = prediction_bounds(stored["mu"], se, tau2, df - 1, 0.95)
    assert [low, high] == pytest.approx(stored["pi"], abs=METAFOR_CLOSED)
    assert stored["mu"] - critical_value(0.95, df) * se == pytest.approx(
        stored["ci"][0], abs=METAFOR_CLOSED
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_nagashima_bootstrap(name: str) -> None:
    fit = random_effects(*example(name))
    found = prediction_interval(fit, "nagashima", seed=7)
    for key in (k for k in PUBLISHED[name] if k.startswith("NNF")):
        stored = PUBLISHED[name][key]
        assert found.estimate == pytest.approx(stored["mu"], abs=METAFOR_CLOSED)
        assert [found.pi_low, found.pi_high] == pytest.approx(stored["pi"], abs=BOOTSTRAP_BOUND)


def test_drawn_tau2_follows_its_confidence_distribution() -> None:
    """The closed-form draw against the distribution of Q simulated from the model itself."""
    y, v = example("sbp")
    rng = np.random.default_rng(5)
    w = 1 / v
    q = float(w @ (y - w @ y / w.sum()) ** 2)
    u = np.sqrt(w / w.sum())
    e = rng.standard_normal((200_000, len(y)))
    centred = (e - (e @ u)[:, None] * u) ** 2
    drawn = (q - centred.sum(1)) / (centred @ w)
    for tau2 in (0.0, 0.02, 0.1, 0.4):
        simulated = rng.normal(0, np.sqrt(v + tau2), (200_000, len(y)))
        means = simulated @ w / w.sum()
        qs = ((simulated - means[:, None]) ** 2) @ w
        assert np.mean(drawn <= tau2) == pytest.approx(np.mean(qs >= q), abs=0.006)


def test_without_heterogeneity_the_bootstrap_is_the_knapp_hartung_interval() -> None:
    # Q is almost 0, so that every drawn tau-squared is 0 and only t(k - 1) remains.
    y, v = np.array([0.0, 0.001, -0.001]), np.ones(3)
    se = float(np.sqrt(np.sum(y**2) / 2 / 3))
    low, high = nagashima_bounds(y, v, draws=400_000)
    assert [low, high] == pytest.approx(
        [-stats.t.ppf(0.975, 2) * se, stats.t.ppf(0.975, 2) * se], rel=0.03
    )


def test_the_bootstrap_is_repeatable_and_in_any_unit() -> None:
    y, v = example("sbp")
    assert nagashima_bounds(y, v, seed=3) == nagashima_bounds(y, v, seed=3)
    assert nagashima_bounds(y, v, seed=3) != nagashima_bounds(y, v, seed=4)
    scaled = np.array(nagashima_bounds(1e-5 * y, 1e-10 * v, seed=3)) / 1e-5
    assert scaled == pytest.approx(nagashima_bounds(y, v, seed=3), rel=RESCALED)
    with pytest.raises(NotEstimableError, match="needs 3 studies"):
        nagashima_bounds(y[:2], v[:2])


def test_metafor_predicts_with_the_degrees_of_freedom_of_the_test() -> None:
    y, v = data("bcg_RR")
    wald, adjusted = random_effects(y, v, ci_method="wald"), random_effects(y, v)
    assert prediction_interval(wald, "metafor").df is None
    assert prediction_interval(adjusted, "metafor").df == 12
    assert prediction_interval(adjusted).df == 11
    # CRAFT section 18: (-1.867, 0.438) and (-1.996, 0.567) on dat.bcg.
    low, high = (prediction_interval(adjusted, "metafor").pi_low,) * 2
    assert low is not None and high is not None and round(low, 3) == -1.996


@pytest.mark.parametrize("method", PREDICTION_METHODS)
def test_nothing_is_predicted_from_two_studies_or_a_common_effect(method: str) -> None:
    y, v = data("bcg_RR")
    for fit in (
        random_effects(y[:2], v[:2]),
        random_effects(y[:1], v[:1]),
        common_effect(y, v),
        random_effects([0.5] * 3, [0.1] * 3, ci_method="knapp-hartung"),
    ):
        found = prediction_interval(fit, method)
        assert (found.pi_low, found.pi_high) == (None, None)
        assert found.caveats[0].code == "no_prediction"
        assert "withheld" in repr(found)
        beyond = probability_beyond(fit, -0.5)
        assert beyond.probability is None
        assert "withheld" in repr(beyond)


def test_kenward_roger_without_degrees_of_freedom_is_withheld() -> None:
    # Three studies, tau-squared 0: 0.5 degrees of freedom for the mean, none for prediction.
    fit = random_effects([0.119, -0.469, 0.686], [1.286, 0.768, 3.6])
    found = prediction_interval(fit, "partlett-riley-kr")
    assert found.pi_low is None
    assert "no degrees of freedom" in found.caveats[0].message


def test_beyond_the_bounds_lie_the_tails() -> None:
    fit = random_effects(*data("bcg_RR"))
    assert fit.pi_low is not None and fit.pi_high is not None
    below, above = (
        probability_beyond(fit, fit.pi_low),
        probability_beyond(fit, fit.pi_high, "above"),
    )
    assert below.probability == pytest.approx(0.025, rel=METAFOR_CLOSED)
    assert above.probability == pytest.approx(0.025, rel=METAFOR_CLOSED)
    total = (
        probability_beyond(fit, -0.3).probability,
        probability_beyond(fit, -0.3, "above").probability,
    )
    assert sum(total) == pytest.approx(1, rel=DIRECT)  # type: ignore[arg-type]
    scale = np.sqrt(fit.se**2 + fit.tau2)  # type: ignore[operator]
    direct = stats.t.cdf((-0.3 - fit.estimate) / scale, 11)
    assert total[0] == pytest.approx(direct, rel=DIRECT)


def test_a_threshold_must_be_a_number_and_a_direction_a_word() -> None:
    fit = random_effects(*data("bcg_RR"))
    with pytest.raises(UsageError, match="threshold is nan"):
        probability_beyond(fit, float("nan"))
    with pytest.raises(UsageError, match="direction is 'down'; choose one of"):
        probability_beyond(fit, 0.1, "down")
    with pytest.raises(UsageError, match="method is 'HTS'"):
        prediction_interval(fit, "HTS")


def test_the_interval_says_its_rule() -> None:
    fit = random_effects(*data("bcg_RR"))
    assert repr(prediction_interval(fit)) == (
        "<PredictionInterval: hts, t, 11.0 df> 95% PI −2.01 to 0.58"
    )
    assert "bootstrap" in repr(prediction_interval(fit, "nagashima"))
    assert prediction_interval(fit, level=0.5).pi_low > fit.pi_low  # type: ignore[operator]


def test_a_threshold_of_ratios_is_named_as_it_is_read() -> None:
    fit = random_effects([-0.9, -0.2, -1.1], [0.05, 0.04, 0.08], measure="RR")
    shown = repr(probability_beyond(fit, np.log(0.8)))
    assert "below risk ratio 0.80 (log −0.22): 0.74" in shown
    plain = random_effects([-0.9, -0.2, -1.1], [0.05, 0.04, 0.08], measure="SMD")
    assert "below −0.22: 0.74" in repr(probability_beyond(plain, np.log(0.8)))


def test_a_prediction_interval_of_ratios_is_printed_as_ratios() -> None:
    fit = random_effects([-0.9, -0.2, -1.1, -0.5], [0.05, 0.04, 0.08, 0.1], measure="RR")
    found = prediction_interval(fit)
    low, high = np.exp([found.pi_low, found.pi_high])
    assert f"risk ratio 95% PI {low:.2f} to {high:.2f} (log scale −" in repr(found)
