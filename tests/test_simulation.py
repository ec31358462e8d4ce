"""Simulated coverage: known truths, the scalar path, seeds, and what is refused."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from scipy import stats

from helpers import ROOT
from ketameta import random_effects, simulate_coverage
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.measures import CI_METHODS
from ketameta.models import terminal_bar
from ketameta.models.resampling import BACKENDS, BLOCK, WORKERS_PER_CPU, run_blocks
from tolerances import BATCHED

UNEQUAL = np.array([0.02, 0.1, 0.1, 0.3, 0.15])


def test_wald_without_heterogeneity_has_its_level() -> None:
    """A common-effect interval is exact when tau-squared is 0."""
    found = simulate_coverage(UNEQUAL, 0.0, 0.4, replicates=20_000, seed=1, tau2_method="common")
    exact = np.array([stats.norm.cdf(1.959963984540054), 0, 0]) * 2 - 1
    assert abs(found.coverage[0] - exact[0]) < 4 * found.coverage_se[0]
    assert found.tau2_zero == 1


def test_knapp_hartung_is_exact_with_equal_variances() -> None:
    """The statistic is Student's t then, whatever tau-squared is (its estimate cancels)."""
    for k, tau2 in ((3, 0.0), (5, 0.3)):
        found = simulate_coverage([0.1] * k, tau2, replicates=20_000, seed=2)
        assert abs(found.coverage[1] - 0.95) < 4 * found.coverage_se[1]
        assert found.coverage[2] >= found.coverage[1]
        assert found.width[2] >= found.width[1]


def test_counts_are_those_of_one_fit_at_a_time() -> None:
    size, tau2, mean = 60, 0.05, 0.2
    found = simulate_coverage(UNEQUAL, tau2, mean, replicates=size, seed=9)
    random = np.random.default_rng(np.random.SeedSequence(9, spawn_key=(0,)))
    y = mean + np.sqrt(UNEQUAL + tau2)[:, None] * random.standard_normal((5, size))
    fits = [[random_effects(column, UNEQUAL, ci_method=m) for m in CI_METHODS] for column in y.T]
    inside = [[fit.ci_low <= mean <= fit.ci_high for fit in row] for row in fits]
    width = [[fit.ci_high - fit.ci_low for fit in row] for row in fits]
    np.testing.assert_array_equal(found.coverage, np.mean(inside, 0))
    np.testing.assert_allclose(found.width, np.mean(width, 0), BATCHED)
    tau2s = np.array([row[0].tau2 for row in fits])
    assert found.tau2_mean == pytest.approx(tau2s.mean(), rel=BATCHED)
    assert found.tau2_zero == np.mean(tau2s == 0)
    tau = np.sqrt(tau2)
    share = [
        stats.norm.cdf((row[2].pi_high - mean) / tau) - stats.norm.cdf((row[2].pi_low - mean) / tau)
        for row in fits
    ]
    assert found.prediction_coverage == pytest.approx(np.mean(share), rel=BATCHED)


def test_the_same_seed_gives_the_same_bytes_whatever_the_memory() -> None:
    runs = [
        simulate_coverage(UNEQUAL, 0.1, replicates=5000, seed=3, budget_bytes=budget).to_json()
        for budget in (60_000, 200_000, 8 * 2**20)
    ]
    assert len(set(runs)) == 1
    assert simulate_coverage(UNEQUAL, 0.1, replicates=5000, seed=4).to_json() != runs[0]


def test_a_longer_run_begins_with_the_shorter_one() -> None:
    def first(start: int, size: int, random: np.random.Generator) -> float:
        return float(random.standard_normal())

    short = run_blocks(first, 2 * BLOCK, 5)
    assert run_blocks(first, 4 * BLOCK, 5)[:2] == short
    assert len(set(short)) == 2


def test_without_a_seed_one_is_drawn_and_stored() -> None:
    found = simulate_coverage([0.1, 0.2], 0.0, replicates=50)
    again = simulate_coverage([0.1, 0.2], 0.0, replicates=50, seed=found.seed)
    assert found == again
    assert found.prediction_coverage is None  # two studies have no prediction interval
    assert "seed" in repr(found)
    assert list(found.tidy()["ci_method"]) == list(CI_METHODS)


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int]] = []
    simulate_coverage([0.1] * 3, 0.1, replicates=5000, seed=1, progress=lambda *x: seen.append(x))
    assert seen == [(2048, 5000), (4096, 5000), (5000, 5000)]


class _Terminal:
    def __init__(self, *, tty: bool) -> None:
        self.text, self.tty = "", tty

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_a_bar_is_drawn_on_a_terminal_only_and_after_a_second(monkeypatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("ketameta.models.results.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(sys, "stderr", _Terminal(tty=False))
    assert terminal_bar("work") is None
    terminal = _Terminal(tty=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    draw = terminal_bar("work")
    draw(10, 100)
    assert terminal.text == ""
    clock[0] += 2.0
    draw(50, 100)
    assert "work [###############...............]  50%    2 s left" in terminal.text
    clock[0] += 0.01
    draw(100, 100)
    assert terminal.text.endswith("\r")


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"replicates": 0}, UsageError, "replicates is 0; give a whole number of at least 1"),
        ({"replicates": 1.5}, UsageError, "replicates is 1.5"),
        ({"seed": -1}, UsageError, "seed is -1; give a non-negative integer"),
        ({"level": 1.0}, UsageError, "level is 1.0"),
        ({"tau2_method": "REM"}, UsageError, "did you mean REML"),
        ({"ci_methods": ("z",)}, UsageError, "ci_methods is 'z'; choose one of 'wald'"),
        ({"ci_methods": ()}, UsageError, "ci_methods is empty"),
        ({"backend": "ray"}, UsageError, "choose one of 'serial', 'threads', 'processes', 'dask'"),
        ({"workers": 2}, UsageError, 'workers is 2 with backend="serial"; give 1, or another'),
        ({"backend": "threads", "workers": 0}, UsageError, "give a whole number from 1 to"),
        ({"backend": "processes", "workers": 10**6}, UsageError, "give a whole number from 1 to"),
        ({"client": "tcp://scheduler:8786"}, UsageError, 'it needs backend="dask"'),
        (
            {"backend": "dask", "workers": 2, "client": "tcp://scheduler:8786"},
            UsageError,
            "a running cluster has its own workers",
        ),
        ({"backend": "dask", "client": 3}, UsageError, "client is 3"),
        ({"budget_bytes": 100}, UsageError, r"budget_bytes is 100; .* need at least \d+ bytes"),
        ({"tau2": -0.1}, ImpossibleDataError, "tau2 is -0.1; a variance is at least 0"),
        ({"mean": np.inf}, UsageError, "mean is inf"),
        ({"variances": [0.1, 0.0]}, ImpossibleDataError, r"variances\[1\] \(study 2\) is 0"),
        ({"variances": [0.1]}, NotEstimableError, "at least 2 studies; there are 1"),
        ({"variances": [[0.1], [0.2]]}, UsageError, r"variances has shape \(2, 1\); give one"),
        ({"variances": "ab"}, UsageError, "variances must be numbers"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed, error, words) -> None:
    settings = {"variances": [0.1, 0.1], "tau2": 0.1, "replicates": 10, "seed": 1, **changed}
    with pytest.raises(error, match=words):
        simulate_coverage(**settings)


def test_every_backend_is_named_once_and_workers_have_a_bound() -> None:
    assert BACKENDS == ("serial", "threads", "processes", "dask")
    assert WORKERS_PER_CPU >= 1


# --- the stored study --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import coverage_study
    finally:
        sys.path.pop(0)
    return coverage_study


def test_the_published_table_is_the_stored_study(study) -> None:
    stored = json.loads(study.STORED.read_text("utf-8"))
    assert study.page(stored) == study.PAGE.read_text("utf-8")
    assert study.misses(stored) == []
    assert len(stored["rows"]) == len(study.SHAPES) * len(study.STUDIES) * len(study.SHARES)
    worse = {**stored, "rows": [dict(row) for row in stored["rows"]]}
    worse["rows"][4]["coverage"] = {**worse["rows"][4]["coverage"], study.DEFAULT: 0.9}
    assert len(study.misses(worse)) == 1


def test_a_stored_scenario_can_be_repeated(study) -> None:
    """A shorter run of the same scenario agrees with the stored coverage."""
    stored = json.loads(study.STORED.read_text("utf-8"))
    for row in stored["rows"][::7]:
        found = simulate_coverage(
            study.variances(row["variances"], row["k"]),
            row["tau2"],
            replicates=4000,
            seed=row["seed"],
        )
        for share, method in zip(found.coverage, CI_METHODS, strict=True):
            expected = row["coverage"][method]
            error = np.sqrt(max(expected * (1 - expected), 1e-4) / 4000)
            assert abs(share - expected) < 4.5 * error
