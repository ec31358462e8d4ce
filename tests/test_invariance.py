"""What must not change a result: unit, sign, order of studies, origin of a moderator.

Random data of fixed seeds; each check compares whole fits.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import ketameta as km
from ketameta import dose_response
from ketameta.measures import CI_METHODS
from ketameta.models import TAU2_METHODS
from tolerances import INVARIANT, INVARIANT_SEARCHED

SCALES = (1e-8, 1e8, -1.0)


def drawn(seed: int, k: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    v = np.exp(rng.normal(-3, 0.8, k))
    return rng.normal(0.3, np.sqrt(v + rng.choice([0.0, 0.05, 1.0]))), v, rng


def pooled(fit: Any, unit: float = 1.0) -> np.ndarray:
    """Return the numbers of a fit with the unit and the sign taken off."""
    low, high = sorted((fit.ci_low / unit, fit.ci_high / unit))
    ends = sorted((fit.pi_low / unit, fit.pi_high / unit))
    squares = [fit.tau2, fit.tau2_ci_low, fit.tau2_ci_high]
    return np.array(
        [fit.estimate / unit, fit.se / abs(unit), low, high, *ends, fit.i2, fit.q, fit.p_value]
        + [value / unit**2 for value in squares]
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", TAU2_METHODS)
def test_a_pooled_effect_knows_no_unit_sign_or_order(method: str, seed: int) -> None:
    y, v, rng = drawn(seed, 7)
    settings = {"tau2_method": method, "ci_method": CI_METHODS[seed % len(CI_METHODS)]}
    wanted = pooled(km.random_effects(y, v, **settings))
    floor = INVARIANT * float(np.median(v))
    for unit in SCALES:
        found = pooled(km.random_effects(y * unit, v * unit**2, **settings), unit)
        np.testing.assert_allclose(found, wanted, rtol=INVARIANT, atol=floor)
    turned = rng.permutation(7)
    found = pooled(km.random_effects(y[turned], v[turned], **settings))
    np.testing.assert_allclose(found, wanted, rtol=INVARIANT, atol=floor)


@pytest.mark.parametrize("method", TAU2_METHODS)
@pytest.mark.parametrize(("origin", "unit"), [(2000.0, 1.0), (0.0, 1e6), (-50.0, -1e-6)])
def test_a_slope_knows_no_origin_of_its_moderator(method: str, origin: float, unit: float) -> None:
    y, v, rng = drawn(5, 9)
    x = rng.normal(size=9)
    one = km.meta_regression(y, v, x, tau2_method=method)
    two = km.meta_regression(y, v, (x - origin) / unit, tau2_method=method)
    np.testing.assert_allclose(
        [two.qm, two.qm_p_value, two.coefficients["estimate"][1] / unit],
        [one.qm, one.qm_p_value, one.coefficients["estimate"][1]],
        rtol=INVARIANT_SEARCHED,
    )


@pytest.mark.parametrize("rho", [None, 0.5])
def test_effects_within_studies_know_no_unit_or_order(rho: float | None) -> None:
    y, v, rng = drawn(6, 10)
    study = list("aabbbccdde")
    y = y + np.repeat(rng.normal(0, 0.5, 5), [2, 3, 2, 2, 1])
    one = km.multilevel(y, v, study, rho=rho, variance_intervals=False)
    wanted = [one.estimate, one.se, one.sigma2_study, one.sigma2_effect]
    floor = INVARIANT_SEARCHED * float(np.median(v))
    turned = rng.permutation(10)
    other = km.multilevel(
        y[turned], v[turned], [study[i] for i in turned], rho=rho, variance_intervals=False
    )
    found = [other.estimate, other.se, other.sigma2_study, other.sigma2_effect]
    np.testing.assert_allclose(found, wanted, rtol=INVARIANT_SEARCHED, atol=floor)
    assert km.robust(other).se == pytest.approx(km.robust(one).se, rel=INVARIANT_SEARCHED)
    for unit in SCALES:
        fit = km.multilevel(y * unit, v * unit**2, study, rho=rho, variance_intervals=False)
        found = [fit.estimate / unit, fit.se / abs(unit)]
        found += [fit.sigma2_study / unit**2, fit.sigma2_effect / unit**2]
        np.testing.assert_allclose(found, wanted, rtol=INVARIANT_SEARCHED, atol=floor)


def test_a_network_knows_no_unit_order_direction_or_reference() -> None:
    names = ("placebo", "a", "b", "c")
    pairs = [*itertools.combinations(names, 2), ("placebo", "a"), ("placebo", "b"), ("a", "c")]
    y, v, rng = drawn(7, len(pairs))
    study = [f"t{i}" for i in range(len(pairs))]
    control, treatment = [p[0] for p in pairs], [p[1] for p in pairs]
    one = km.network_meta_analysis(y, v, study, treatment, control, reference="placebo")
    scores = dict(one.ranking())
    turned = rng.permutation(len(pairs))

    def by(values: list[str]) -> list[str]:
        return [values[i] for i in turned]

    for unit, other in [
        (1.0, km.network_meta_analysis(y, v, study, treatment, control, reference="c")),
        (1.0, km.network_meta_analysis(-y, v, study, control, treatment)),
        (1.0, km.network_meta_analysis(y[turned], v[turned], by(study), by(treatment),
                                       by(control))),
        *((c, km.network_meta_analysis(y * c, v * c**2, study, treatment, control,
                                       lower_is_better=c > 0)) for c in SCALES),
    ]:  # fmt: skip
        for first, second in itertools.combinations(names, 2):
            a, b = one.compare(first, second), other.compare(first, second)
            assert b.estimate / unit == pytest.approx(a.estimate, abs=INVARIANT_SEARCHED * a.se)
            assert b.se / abs(unit) == pytest.approx(a.se, rel=INVARIANT_SEARCHED)
        assert dict(other.ranking()) == pytest.approx(scores, rel=INVARIANT_SEARCHED)
        assert other.q.total.q == pytest.approx(one.q.total.q, rel=INVARIANT)


@pytest.mark.parametrize("curve", ["linear", "spline"])
def test_a_dose_curve_knows_no_unit_or_order(curve: str) -> None:
    rng = np.random.default_rng(8)
    dose = np.array([28.0, 56, 28, 84, 56, 84, 28, 56, 14, 84])
    study = np.repeat(list("abcde"), 2)
    covariance = np.kron(np.eye(5), np.full((2, 2), 0.02)) + 0.03 * np.eye(10)
    y = -0.01 * dose + rng.normal(0, 0.3, 10)

    def at_40(values: np.ndarray, unit: float, of_dose: float, order: np.ndarray) -> np.ndarray:
        matrix = covariance[np.ix_(order, order)] * unit**2
        fit = dose_response(
            values[order] * unit, np.diag(matrix), dose[order] * of_dose, study[order],
            sampling_covariance=matrix, transformation=curve,
        )  # fmt: skip
        found = fit.predict([40.0 * of_dose])
        return np.array([found.estimate[0] / unit, found.se[0] / abs(unit)])

    kept = np.arange(10)
    wanted = at_40(y, 1.0, 1.0, kept)
    for unit, of_dose in ((1e8, 1.0), (1e-8, 1.0), (-1.0, 1.0), (1.0, 1e-6), (1.0, 1e6)):
        found = at_40(y, unit, of_dose, kept)
        np.testing.assert_allclose(found, wanted, rtol=INVARIANT_SEARCHED)
    studies_turned = kept.reshape(5, 2)[rng.permutation(5)].ravel()
    np.testing.assert_allclose(at_40(y, 1.0, 1.0, studies_turned), wanted, rtol=INVARIANT_SEARCHED)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_counted_events_know_no_order_and_change_sign_with_the_arms(measure: str) -> None:
    rng = np.random.default_rng(9)
    n1, n2 = rng.integers(10, 60, 6), rng.integers(10, 60, 6)
    e1, e2 = rng.binomial(n1, 0.2), rng.binomial(n2, 0.3)
    one = km.mantel_haenszel(e1, n1, e2, n2, measure)
    turned = rng.permutation(6)
    other = km.mantel_haenszel(e1[turned], n1[turned], e2[turned], n2[turned], measure)
    swapped = km.mantel_haenszel(e2, n2, e1, n1, measure)
    assert (other.estimate, other.se) == pytest.approx((one.estimate, one.se), rel=INVARIANT)
    assert (-swapped.estimate, swapped.se) == pytest.approx((one.estimate, one.se), rel=INVARIANT)
