"""Bootstrap, and every resampling method against one fit at a time, whatever runs it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import stats

from helpers import ROOT
from ketameta import (
    batched_fit,
    bootstrap,
    common_effect,
    cumulative,
    gosh,
    influence,
    leave_one_out,
    meta_regression,
    permutation_test,
    random_effects,
    simulate_coverage,
)
from ketameta.build import drawing_processes
from ketameta.errors import NotEstimableError, UsageError
from ketameta.models import fit_mixed_model
from ketameta.models.resampling import BLOCK, KINDS
from ketameta.models.resampling.monte_carlo import _words
from metafor_values import data, moderators
from tolerances import BATCHED

RNG = np.random.default_rng(17)
Y, V = RNG.normal(0.3, 0.4, 12), RNG.uniform(0.02, 0.2, 12)
X = RNG.normal(size=12)
FIT = random_effects(Y, V)
REGRESSION = meta_regression(Y, V, X, names=["x"])


def block(seed, i=0):
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,)))


# --- bootstrap ------------------------------------------------------------------------------------


def test_parametric_replicates_are_those_of_one_fit_at_a_time() -> None:
    found = bootstrap(REGRESSION, replicates=120, seed=3)
    design = np.array(REGRESSION.design)
    noise = block(3).standard_normal((12, 120))
    y = (design @ REGRESSION.estimate)[:, None] + np.sqrt(V + REGRESSION.tau2)[:, None] * noise
    for j in range(0, 120, 7):
        single = fit_mixed_model(y[:, j], V, design, "REML")
        np.testing.assert_allclose(found.coefficients[:, j], single.coefficients, BATCHED, BATCHED)
        assert found.tau2_values[j] == pytest.approx(single.tau2.value, rel=BATCHED, abs=BATCHED)
    low, high = np.quantile(found.coefficients, [0.025, 0.975], axis=1)
    np.testing.assert_allclose([found.ci_low, found.ci_high], [low, high], 1e-14)
    np.testing.assert_allclose(found.bias, found.coefficients.mean(1) - REGRESSION.estimate)


def test_resampled_studies_are_those_of_one_fit_at_a_time() -> None:
    found = bootstrap(REGRESSION, "studies", replicates=120, seed=3)
    chosen = block(3).integers(0, 12, (12, 120))
    design = np.array(REGRESSION.design)
    assert found.used == 120
    for j in range(0, 120, 7):
        at = chosen[:, j]
        single = fit_mixed_model(Y[at], V[at], design[at], "REML")
        np.testing.assert_allclose(found.coefficients[:, j], single.coefficients, 1e-9, 1e-9)
        assert found.tau2_values[j] == pytest.approx(single.tau2.value, rel=1e-9, abs=BATCHED)


def test_the_common_effect_bootstrap_has_the_known_distribution() -> None:
    """With known variances the mean is exactly normal."""
    fit = common_effect(Y, V)
    found = bootstrap(fit, replicates=20_000, seed=5)
    z = stats.norm.ppf(0.975)
    assert found.se[0] == pytest.approx(fit.se, rel=4 / np.sqrt(2 * 20_000))
    error = 4 * fit.se * np.sqrt(0.025 * 0.975 / 20_000) / stats.norm.pdf(z)
    assert abs(found.ci_low[0] - (fit.estimate - z * fit.se)) < error
    assert abs(found.ci_high[0] - (fit.estimate + z * fit.se)) < error
    assert (found.tau2, found.tau2_ci_low, found.tau2_method) == (None, None, None)


def test_identical_studies_resample_to_themselves() -> None:
    found = bootstrap(random_effects([0.5] * 4, [0.1] * 4), "studies", replicates=200, seed=1)
    assert found.ci_low[0] == pytest.approx(0.5, rel=1e-12)
    assert (found.tau2_ci_low, found.tau2_ci_high) == (0.0, 0.0)


def test_singular_resamples_are_left_out_and_said() -> None:
    fit = meta_regression(Y[:4], V[:4], [0.0, 0.0, 1.0, 1.0], tau2_method="DL")
    found = bootstrap(fit, "studies", replicates=2000, seed=2)
    lost = found.replicates - found.used
    # All four from one group: 2 / 16 of the resamples.
    assert abs(lost / 2000 - 1 / 8) < 4 * np.sqrt(7 / 64 / 2000)
    assert [c.code for c in found.caveats] == ["few_to_resample", "singular_resamples"]
    assert np.isfinite(found.coefficients).all()
    only = meta_regression(Y[:3], V[:3], [0.0, 1.0, 1.0], tau2_method="DL")
    assert bootstrap(only, "studies", replicates=500, seed=1).used < 500


def test_a_bootstrap_prints_and_is_tidy() -> None:
    found = bootstrap(REGRESSION, replicates=500, seed=8)
    assert repr(found).startswith("<Bootstrap: parametric, 500 replicates, seed 8, 95% intervals>")
    assert list(found.tidy()["term"]) == ["intercept", "x"]
    assert "coefficients" not in found.to_dict()
    drawn = bootstrap(FIT, replicates=100)
    assert bootstrap(FIT, replicates=100, seed=drawn.seed) == drawn
    narrow = bootstrap(FIT, replicates=500, seed=8, level=0.5)
    assert narrow.ci_high[0] - narrow.ci_low[0] < bootstrap(FIT, replicates=500, seed=8).se[0] * 2


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"kind": "wild"}, UsageError, "choose one of 'parametric', 'studies'"),
        ({"replicates": 99}, UsageError, "replicates is 99; give a whole number of at least 100"),
        ({"seed": 1.5}, UsageError, "seed is 1.5"),
        ({"budget_bytes": 10}, UsageError, r"need at least \d+ bytes"),
        ({"backend": "serial", "workers": 4}, UsageError, "give 1, or another backend"),
    ],
)
def test_a_bootstrap_refuses_settings_that_cannot_work(arguments, error, words) -> None:
    with pytest.raises(error, match=words):
        bootstrap(FIT, **arguments)


def test_too_few_studies_are_not_resampled() -> None:
    two = random_effects(Y[:2], V[:2])
    assert bootstrap(two, replicates=100, seed=1).used == 100
    with pytest.raises(NotEstimableError, match=r"a bootstrap \(studies\) needs at least 3"):
        bootstrap(two, "studies")
    with pytest.raises(UsageError, match="takes the result of"):
        bootstrap(3)


# --- one core, the numbers of one fit at a time ---------------------------------------------------


def single_estimate(y, v, method="REML"):
    return fit_mixed_model(y, v, np.ones((len(y), 1)), method).coefficients[0]


def test_subsets_of_every_method_equal_one_fit_at_a_time() -> None:
    y, v = Y[:6], V[:6]
    fit = random_effects(y, v)
    left = [single_estimate(np.delete(y, i), np.delete(v, i)) for i in range(6)]
    np.testing.assert_allclose(leave_one_out(fit).estimate, left, 1e-9)
    np.testing.assert_allclose(influence(fit).tau2_deleted, leave_one_out(fit).tau2, 1e-9, 1e-12)
    grown = [y[0], *(single_estimate(y[:n], v[:n]) for n in range(2, 7))]
    np.testing.assert_allclose(cumulative(fit).estimate, grown, 1e-9)
    clouds = gosh(fit)
    for inside, estimate in zip(clouds.included, clouds.estimate):
        if inside.sum() > 1:
            assert estimate == pytest.approx(single_estimate(y[inside], v[inside]), rel=1e-9)


def test_random_permutations_equal_one_fit_at_a_time() -> None:
    """The same orders, drawn and refitted here, give the same count."""
    found = permutation_test(REGRESSION, iterations=200, seed=4)
    order = block(4).permuted(np.tile(np.arange(12), (200, 1)), axis=1)
    design = np.array(REGRESSION.design)
    statistics = [
        fit_mixed_model(Y, V, design[row], "REML", REGRESSION.ci_method).inference.statistic
        for row in order
    ]
    count = 1 + (np.abs(statistics) >= np.abs(REGRESSION.statistic) - 1e-8).sum(0)
    np.testing.assert_array_equal(found.p_value, count / 201)


def test_orders_of_a_multiset_are_all_there_once() -> None:
    for counts in ([2, 2], [1, 1, 1, 1], [3, 1, 2], [5], [1, 0, 2]):
        items = np.repeat(np.arange(len(counts)), counts).tolist()
        expected = sorted(set(itertools.permutations(items)))
        words = _words(np.array(counts), len(expected), 0, len(expected))
        assert [tuple(row) for row in words.tolist()] == expected
        half = len(expected) // 2
        tail = _words(np.array(counts), len(expected), half, len(expected) - half)
        assert [tuple(row) for row in tail.tolist()] == expected[half:]


def test_a_moderator_of_two_columns_has_its_joint_test() -> None:
    kind = np.array(["a", "b", "c"] * 4)
    columns = np.column_stack([kind == "b", kind == "c"]).astype(float)
    fit = meta_regression(Y, V, columns, ci_method="knapp-hartung")
    found = permutation_test(fit, iterations=100, seed=2)
    order = block(2).permuted(np.tile(np.arange(12), (100, 1)), axis=1)
    joint = []
    for row in order:
        single = fit_mixed_model(Y, V, np.array(fit.design)[row], "REML", "knapp-hartung")
        b, block_ = single.coefficients[1:], single.inference.covariance[1:, 1:]
        joint.append(b @ np.linalg.solve(block_, b))
    assert found.qm_p_value == (1 + np.sum(np.array(joint) >= 2 * fit.qm - 1e-8)) / 101


# --- memory, seeds, backends ----------------------------------------------------------------------

RUNS = {
    "bootstrap": lambda **where: bootstrap(FIT, replicates=5000, seed=6, **where),
    "studies": lambda **where: bootstrap(REGRESSION, "studies", 3000, 6, **where),
    "permutation": lambda **where: permutation_test(REGRESSION, 5000, 6, **where),
    "flips": lambda **where: permutation_test(FIT, 3000, 6, **where),
    "coverage": lambda **where: simulate_coverage(V, 0.1, replicates=5000, seed=6, **where),
}


@pytest.mark.parametrize("name", RUNS)
def test_memory_and_threads_change_no_byte(name) -> None:
    expected = RUNS[name]().to_json()
    for where in (
        {"budget_bytes": 200_000},
        {"backend": "threads", "workers": 3},
        {"backend": "threads", "workers": 1, "budget_bytes": 500_000},
    ):
        assert RUNS[name](**where).to_json() == expected, where


def test_processes_change_no_byte_beside_those_that_draw() -> None:
    # joblib keeps one pool for a process: one that another door opened ends its next call.
    assert drawing_processes().submit(abs, -1).result() == 1
    for name in ("bootstrap", "permutation"):
        assert RUNS[name](backend="processes", workers=2).to_json() == RUNS[name]().to_json()


def test_the_budget_bounds_the_memory_whatever_the_number_of_fits() -> None:
    budget = 2 * 2**20
    peaks = []
    for count in (4, 16):
        tracemalloc.start()
        permutation_test(REGRESSION, iterations=count * BLOCK, seed=1, budget_bytes=budget)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
    # The data of a block (arrangements, coefficients, covariances) stand beside the budget.
    assert peaks[1] < budget + 60 * 8 * 12 * BLOCK


def test_gosh_does_not_depend_on_the_budget() -> None:
    one, other = gosh(FIT), gosh(FIT, budget_bytes=300_000)
    np.testing.assert_array_equal(one.estimate, other.estimate)


def test_a_batch_of_blocks_is_the_batch() -> None:
    """Cut anywhere, columns keep their numbers (to the last bit of the search)."""
    y = RNG.normal(0, 0.5, (12, 64))
    whole = batched_fit(y, V)
    parts = [batched_fit(y[:, i : i + 16], V).tau2 for i in range(0, 64, 16)]
    np.testing.assert_allclose(whole.tau2, np.concatenate(parts), 1e-12, 1e-14)


@pytest.mark.parametrize("name", ["bcg_RR_ablat_year"])
def test_published_data_through_every_kind(name) -> None:
    y, v = data(name)
    design, names = moderators(name)
    fit = meta_regression(y, v, design[:, 1:], names=names[1:])
    for kind in KINDS:
        found = bootstrap(fit, kind, replicates=400, seed=1)
        assert (found.ci_low < fit.estimate).all() and (fit.estimate < found.ci_high).all()


# --- many machines --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes on this machine, for all who ask; a killed one is started again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cluster's own libraries, not ours
        import distributed

        with (
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs="CRITICAL",
            ) as running,
            distributed.Client(running) as client,
        ):
            yield client


def test_a_killed_worker_loses_nothing(cluster) -> None:
    """One of two workers is killed when the first results are in; the answer has the same bytes."""
    expected = simulate_coverage(V, 0.1, replicates=100_000, seed=11).to_json()
    victim = next(iter(cluster.run(os.getpid).values()))
    seen: list[tuple[int, int]] = []

    def kill_once(done: int, total: int) -> None:
        if not seen:
            os.kill(victim, signal.SIGKILL)
        seen.append((done, total))

    found = simulate_coverage(
        V, 0.1, replicates=100_000, seed=11, backend="dask", client=cluster, progress=kill_once
    )
    assert found.to_json() == expected
    assert seen[-1] == (100_000, 100_000)
    assert len(seen) > 2
    assert victim not in cluster.run(os.getpid).values()
    for name in ("bootstrap", "permutation", "flips"):
        assert RUNS[name](backend="dask", client=cluster).to_json() == RUNS[name]().to_json()
    address = cluster.scheduler_info()["address"]
    assert RUNS["coverage"](backend="dask", client=address) == RUNS["coverage"]()


def test_the_documented_study_on_a_cluster_gives_the_file_of_one_process(cluster, tmp_path) -> None:
    """The command of docs/scale.md, with two blocks of replicates instead of a million."""
    script = str(ROOT / "benchmarks" / "coverage_study.py")
    address = cluster.scheduler_info()["address"]
    studies = []
    for name, how in (("one", []), ("many", ["--backend", "dask", "--scheduler", address])):
        output = tmp_path / f"{name}.json"
        done = subprocess.run(
            [sys.executable, script, "--replicates", str(BLOCK + 1), *how, "--output", str(output)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert output.is_file(), done.stderr
        studies.append(json.loads(output.read_text("utf-8")))
    one, many = studies
    assert len(one["rows"]) == 60
    assert one["rows"] == many["rows"]


def test_dask_that_is_not_installed_is_asked_for(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"install ketameta\[distributed\]"):
        bootstrap(FIT, backend="dask")


def test_an_interrupted_study_leaves_no_file(tmp_path) -> None:
    script = ROOT / "benchmarks" / "coverage_study.py"
    output = tmp_path / "study.json"
    output.write_text("before", encoding="utf-8")
    command = [sys.executable, str(script), "--replicates", "50000000", "--output", str(output)]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background ignores Ctrl-C, and so would the study.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("Simulating 60 scenarios")
        running.send_signal(signal.SIGINT)
        _, words = running.communicate(timeout=15)
    finally:
        running.kill()
        running.communicate()
    # Python ends by the signal itself when Ctrl-C comes while a class is being made; shells show
    # 130 for both.
    assert running.returncode in (130, -signal.SIGINT)
    assert words == "Stopped; nothing was written.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]
    assert output.read_text(encoding="utf-8") == "before"


def test_a_bootstrap_of_ratios_prints_ratios() -> None:
    found = bootstrap(random_effects(Y, V, measure="RR"), replicates=200, seed=8)
    low, high = np.exp([found.ci_low[0], found.ci_high[0]])
    assert f"{low:.2f} to {high:.2f} (log scale " in repr(found)
