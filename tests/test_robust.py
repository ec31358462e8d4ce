"""Cluster-robust inference against clubSandwich, and where it must refuse or warn."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from dependence_values import FITS, MODERATORS, REFERENCE, reference_fit
from ketameta import meta_regression, multilevel, random_effects, robust
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.models.dependent import ROBUST_KINDS, hotelling_test, sandwich, satterthwaite_df
from tolerances import RESCALED, SANDWICH, THREE_LEVEL, THREE_LEVEL_P

METAFOR = json.loads((Path(__file__).parent / "reference" / "metafor.json").read_text("utf-8"))
UNILEVEL = [
    (key, block)
    for key, data in METAFOR["datasets"].items()
    for block in ("CR2_re", "CR2_mods")
    if block in data["outputs"]
]


@dataclasses.dataclass(frozen=True)
class PlainFit:
    """The least a fit has to offer."""

    estimates: np.ndarray
    variances: np.ndarray
    tau2: float | None
    design: np.ndarray | None = None
    names: tuple[str, ...] | None = None


def unilevel(key, block):
    data = METAFOR["datasets"][key]
    inputs = data["inputs"]
    source = "re" if block == "CR2_re" else "mods"
    tau2 = data["outputs"][source]["REML"]["z"]["tau2"]
    columns = [] if source == "re" else [np.array(c, float) for c in inputs["mods"].values()]
    design = np.column_stack([np.ones(len(inputs["yi"])), *columns])
    names = ("intercept", *(inputs["mods"] if columns else ()))
    fit = PlainFit(np.array(inputs["yi"]), np.array(inputs["vi"]), tau2, design, names)
    return fit, inputs["cluster"], data["outputs"][block]


@pytest.fixture
def nothing_withheld(monkeypatch):
    """Let coefficients through that one cluster identifies, as clubSandwich does."""
    monkeypatch.setattr("ketameta.models.dependent.robust.lone_clusters", lambda *_: {})


def compare(fit, cluster, expected, tolerance, p_tolerance, names):
    found = robust(fit, cluster)
    table = found.coefficients
    assert found.m == expected["m"]
    for name, wanted in names.items():
        close = p_tolerance if name == "p_value" else tolerance
        unit = np.atleast_1d(expected["SE"]) if name in ("estimate", "ci_low", "ci_high") else None
        values, reference = getattr(table, name), np.atleast_1d(expected[wanted])
        if unit is None:
            np.testing.assert_allclose(values, reference, rtol=close)
        else:
            assert (np.abs(values - reference) / unit).max() < close
    for kind in ROBUST_KINDS[1:]:
        wanted = expected.get(f"SE.{kind}")
        if wanted is None or isinstance(wanted, dict) or None in np.atleast_1d(wanted):
            assert kind == "CR3"
            with pytest.raises(NotEstimableError, match="CR3 does not exist"):
                robust(fit, cluster, kind=kind)
            continue
        se = robust(fit, cluster, kind=kind).coefficients.se
        np.testing.assert_allclose(se, np.atleast_1d(wanted), rtol=tolerance)
    return found


OLD_NAMES = {
    "estimate": "beta",
    "se": "SE",
    "df": "df.Satt",
    "p_value": "p.Satt",
    "ci_low": "ci.lb",
    "ci_high": "ci.ub",
}
NEW_NAMES = OLD_NAMES | {"df": "df", "p_value": "p"}


def test_every_clustered_data_set_is_compared():
    assert len(UNILEVEL) == 6
    assert {key for key, _ in UNILEVEL} == {
        "curtis1998_ROM",
        "konstantopoulos2011_SMD",
        "assink2016_SMD",
    }


@pytest.mark.usefixtures("nothing_withheld")
@pytest.mark.parametrize(("key", "block"), UNILEVEL)
def test_unilevel_models_equal_clubsandwich(key, block):
    fit, cluster, expected = unilevel(key, block)
    found = compare(fit, cluster, expected, SANDWICH, SANDWICH, OLD_NAMES)
    if "HTZ_all_mods" in expected:
        wanted = expected["HTZ_all_mods"]
        assert found.joint.f == pytest.approx(wanted["F"], rel=SANDWICH)
        assert found.joint.df == wanted["df_num"]
        assert found.joint.df_denominator == pytest.approx(wanted["df_denom"], rel=SANDWICH)
        assert found.joint.p_value == pytest.approx(wanted["p"], rel=SANDWICH)


@pytest.mark.usefixtures("nothing_withheld")
@pytest.mark.parametrize(("key", "name"), FITS)
def test_three_level_models_equal_clubsandwich(key, name):
    fit = reference_fit(key, name, variance_intervals=False)
    expected = REFERENCE[key]["fits"][name]["robust"]
    found = compare(fit, None, expected, THREE_LEVEL, THREE_LEVEL_P, NEW_NAMES)
    if "HTZ" in expected:
        wanted = expected["HTZ"]
        assert found.joint.f == pytest.approx(wanted["F"], rel=THREE_LEVEL)
        assert found.joint.df_denominator == pytest.approx(wanted["df_denom"], rel=THREE_LEVEL)
        assert found.joint.p_value == pytest.approx(wanted["p"], rel=THREE_LEVEL_P)


@pytest.mark.usefixtures("nothing_withheld")
@pytest.mark.parametrize("key", list(REFERENCE))
def test_unilevel_joint_tests_equal_clubsandwich(key):
    data = REFERENCE[key]
    for name, expected in data["two_level"].items():
        columns = MODERATORS.get(name, [])
        inputs = data["inputs"]
        design = np.column_stack(
            [np.ones(len(inputs["yi"])), *(np.array(inputs[c], float) for c in columns)]
        )
        fit = PlainFit(
            np.array(inputs["yi"]),
            np.array(inputs["vi"]),
            expected["tau2"],
            design,
            ("intercept", *columns),
        )
        found = robust(fit, inputs["cluster"])
        np.testing.assert_allclose(found.coefficients.se, expected["SE"], rtol=SANDWICH)
        if columns:
            assert found.joint.f == pytest.approx(expected["HTZ"]["F"], rel=SANDWICH)
            assert found.joint.df_denominator == pytest.approx(
                expected["HTZ"]["df_denom"], rel=SANDWICH
            )


def test_cr2_is_unbiased_under_the_working_model():
    """E[V] = M when residuals have the working covariance: tr-free check through E[e e']."""
    rng = np.random.default_rng(5)
    k, rows = 12, [np.arange(0, 3), np.arange(3, 4), np.arange(4, 9), np.arange(9, 12)]
    design = np.column_stack([np.ones(k), rng.normal(size=k)])
    blocks, dense = [], np.zeros((k, k))
    for at in rows:
        root = rng.normal(size=(at.size, at.size)) / 3 + np.eye(at.size)
        blocks.append((at, root @ root.T))
        dense[np.ix_(at, at)] = root @ root.T
    # The expectation is a sum over independent directions: V is quadratic in y.
    expected = sum(
        sandwich(column, design, blocks).covariance for column in np.linalg.cholesky(dense).T
    )
    M = np.linalg.inv(design.T @ np.linalg.inv(dense) @ design)
    np.testing.assert_allclose(expected, M, rtol=1e-10)


def test_equal_clusters_of_one_are_the_robust_mean_by_hand():
    y = np.array([0.1, 0.5, -0.2, 0.9, 0.3])
    blocks = [(np.array([i]), np.eye(1)) for i in range(5)]
    parts = sandwich(y, np.ones((5, 1)), blocks)
    assert parts.covariance[0, 0] == pytest.approx(np.var(y, ddof=1) / 5, rel=1e-12)
    assert satterthwaite_df(parts)[0] == pytest.approx(4, rel=1e-12)


def test_a_joint_test_of_one_coefficient_is_its_t_test_squared():
    fit, cluster, _ = unilevel("assink2016_SMD", "CR2_mods")
    found = robust(fit, cluster).coefficients
    index = {label: i for i, label in enumerate(dict.fromkeys(cluster))}
    groups = np.array([index[label] for label in cluster])
    theta = fit.variances + fit.tau2
    blocks = [
        (at, np.diag(theta[at])) for at in (np.flatnonzero(groups == g) for g in range(len(index)))
    ]
    test = hotelling_test(sandwich(fit.estimates, fit.design, blocks), [1])
    assert test.f == pytest.approx(found.statistic[1] ** 2, rel=1e-10)
    assert test.df_denominator == pytest.approx(found.df[1], rel=1e-10)
    assert test.p_value == pytest.approx(found.p_value[1], rel=1e-9)


@pytest.mark.parametrize("power", [-6, -3, 3, 6])
def test_units_of_effect_and_moderator_do_not_matter(power):
    fit, cluster, _ = unilevel("assink2016_SMD", "CR2_mods")
    c = 10.0**power
    other = PlainFit(
        c * fit.estimates,
        c**2 * fit.variances,
        c**2 * fit.tau2,
        fit.design * [1, c, 1 / c],
        fit.names,
    )
    one, two = robust(fit, cluster), robust(other, cluster)
    np.testing.assert_allclose(
        two.coefficients.statistic, one.coefficients.statistic, rtol=RESCALED
    )
    np.testing.assert_allclose(two.coefficients.df, one.coefficients.df, rtol=RESCALED)
    assert two.joint.f == pytest.approx(one.joint.f, rel=1e-9)


def test_a_fit_without_design_or_tau2_has_an_intercept_and_no_heterogeneity():
    fit = PlainFit(np.array([0.1, 0.4, 0.3, 0.6]), np.array([0.1, 0.2, 0.1, 0.3]), None)
    found = robust(fit, list("aabc"))
    assert found.coefficients.names == ("intercept",) and found.joint is None
    assert found.estimate == pytest.approx(
        (fit.estimates / fit.variances).sum() / (1 / fit.variances).sum(), rel=1e-12
    )
    assert found.model_se[0] == pytest.approx((1 / fit.variances).sum() ** -0.5, rel=1e-12)
    assert found.level == 0.95
    assert "few_degrees_of_freedom" in {caveat.code for caveat in found.caveats}


def test_results_of_the_package_are_fits():
    y, v = np.array([0.1, 0.4, 0.3, 0.6, -0.1]), np.array([0.1, 0.2, 0.1, 0.3, 0.2])
    mean = random_effects(y, v)
    by_hand = PlainFit(y, v, mean.tau2)
    clusters = list("aabcc")
    assert robust(mean, clusters).se == pytest.approx(robust(by_hand, clusters).se, rel=1e-12)
    slope = meta_regression(y, v, [1.0, 2.0, 3.0, 5.0, 4.0], names=["dose"])
    found = robust(slope, list("abcde"))
    assert found.coefficients.names == ("intercept", "dose")
    np.testing.assert_allclose(found.coefficients.estimate, slope.estimate, rtol=1e-10)


def test_clusters_may_hold_several_studies_but_not_parts_of_one():
    y, v = [0.2, 0.4, 0.1, 0.6, 0.3, 0.5], [0.04, 0.05, 0.03, 0.04, 0.05, 0.06]
    fit = multilevel(y, v, list("aabbcc"), variance_intervals=False)
    assert robust(fit, ["u", "u", "v", "v", "v", "v"]).m == 2
    with pytest.raises(NotEstimableError, match="clusters 'u', 'v'"):
        robust(fit, ["u", "v", "v", "v", "w", "w"])


@pytest.mark.parametrize(
    ("cluster", "options", "error", "message"),
    [
        (None, {}, UsageError, "cluster is needed"),
        (["a", "b"], {}, UsageError, "cluster has 2 values where 4"),
        (["a", "b", None, "d"], {}, ImpossibleDataError, r"cluster\[2\]"),
        (["a"] * 4, {}, NotEstimableError, "1 cluster cannot carry"),
        (list("aabc"), {"kind": "cr2"}, UsageError, "did you mean CR2"),
        (list("aabc"), {"level": 95}, UsageError, "level is 95"),
    ],
)
def test_unusable_input_is_named(cluster, options, error, message):
    fit = PlainFit(np.array([0.1, 0.4, 0.3, 0.6]), np.array([0.1, 0.2, 0.1, 0.3]), 0.0)
    with pytest.raises(error, match=message):
        robust(fit, cluster, **options)


def test_the_result_prints_tidies_and_serialises(monkeypatch):
    fit = reference_fit("assink2016", "che_0.6_deltype_REML", variance_intervals=False)
    found = robust(fit)
    assert repr(found).startswith(
        "<Cluster-robust inference: 100 effects in 17 clusters, CR2 with Satterthwaite"
    )
    assert "Cluster '16' alone identifies intercept, general, overt" in repr(found)
    monkeypatch.setattr("ketameta.models.dependent.robust.lone_clusters", lambda *_: {})
    found = robust(fit)
    assert "moderators  F(2, 0.9) = 66.64, p = 0.11" in repr(found)
    assert list(found.tidy()["term"]) == ["intercept", "general", "overt"]
    assert found.to_json() == robust(fit).to_json()
    with pytest.raises(UsageError, match="se is one number per coefficient"):
        _ = found.se


# --- a coefficient that one cluster identifies ----------------------------------------------------


def one_cluster_data(rng, m=6, n=2, p=(1,)):
    """Return effects in clusters of n whose own means vary, and a moderator of the first."""
    cluster = np.repeat(np.arange(m), n)
    v = rng.uniform(0.05, 0.2, m * n)
    y = rng.normal(0.4, 0.4, m)[cluster] + rng.normal(0, np.sqrt(v))
    return y, v, cluster, np.isin(cluster + 1, p).astype(float)


def test_a_coefficient_of_one_cluster_has_an_estimate_and_no_robust_inference():
    y, v, cluster, x = one_cluster_data(np.random.default_rng(4))
    fit = meta_regression(y, v, x, names=["x"])
    found = robust(fit, cluster)
    table = found.coefficients
    np.testing.assert_allclose(table.estimate, fit.estimate, rtol=1e-12)
    for name in ("se", "statistic", "p_value", "ci_low", "ci_high"):
        assert np.isnan(getattr(table, name)).tolist() == [False, True]
    assert found.joint is None
    assert found.caveats[0].code == "one_cluster"
    assert "Cluster '0' alone identifies x" in found.caveats[0].message
    assert "CI withheld   no test" in repr(found)
    assert json.loads(found.to_json())["coefficients"]["se"][1] is None
    others = robust(meta_regression(y, v, 1 - x, names=["others"]), cluster)
    assert np.isnan(others.coefficients.se).tolist() == [True, True]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_what_one_cluster_identifies_does_not_depend_on_units_or_coding(scale):
    y, v, cluster, x = one_cluster_data(np.random.default_rng(5))
    other = np.linspace(1, 2, y.size)
    fit = meta_regression(y, v, np.column_stack([scale * x, other]), names=["x", "z"])
    assert np.isnan(robust(fit, cluster).coefficients.se).tolist() == [False, True, False]
    two = meta_regression(
        y,
        v,
        np.column_stack([one_cluster_data(np.random.default_rng(5), p=(1, 2))[3] * scale, other]),
        names=["x", "z"],
    )
    assert np.isfinite(robust(two, cluster).coefficients.se).all()
