"""Times every kernel beside its peers in the same run, alternating, and prints the table.

``python benchmarks/run.py`` (``make bench``) runs all parts and writes ``docs/performance.md``
and ``benchmarks/timings.json``; ``--rounds``, ``--only kernels,limit,growth,start,stages,report``;
``--task WORD`` times the kernels with that word again and keeps the others. Times depend on the
machine; nothing is asserted. metafor is timed when Rscript is there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import growth
import growth_figure
import limit
import numpy as np
import performance_page
import stages
import synthetic
from peers import Metafor, pymare_fit, statsmodels_fit

from ketameta import (
    HalfNormal,
    bayes_random_effects,
    gosh,
    influence,
    leave_one_out,
    meta_regression,
    multilevel,
    permutation_test,
    prediction_interval,
    random_effects,
    simulate_coverage,
)
from ketameta.models import fit_mixed_model
from ketameta.paths import write_atomically

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "benchmarks" / "timings.json"
PAGE = ROOT / "docs" / "performance.md"
#: Pieces of work that a plain loop does of a large task.
PIECES = 30


@dataclasses.dataclass
class Row:
    """One task: ours, done ``units`` at a time, and peers that return seconds per unit."""

    task: str
    unit: str
    units: int
    ours: Callable[[], Any]
    peers: dict[str, Callable[[], float | None]]
    aim: float | None = None
    rounds: int | None = None


def seconds(work: Callable[[], Any], repetitions: int = 1) -> float:
    """Return the seconds of one repetition."""
    begun = time.perf_counter()
    for _ in range(repetitions):
        work()
    return (time.perf_counter() - begun) / repetitions


def each(work: Callable[[int], Any], pieces: int = PIECES) -> float:
    """Return the seconds of one of several pieces of work."""
    return seconds(lambda: [work(i) for i in range(pieces)]) / pieces


def rows(r: Metafor) -> list[Row]:
    """Return every task."""
    return [
        *(_single(k, *synthetic.meta_analysis(k), r) for k in (13, 100, 1000)),
        _permutation(r),
        _gosh("GOSH, all 8,191 subsets of k = 13", 13, 8191, r),
        _gosh("GOSH, 100,000 random subsets of k = 40", 40, 100_000, r),
        _influence(r),
        _simulation(r),
        _multilevel(500, 3, r),
        _multilevel(5000, 1, r),
        _bayes(),
    ]


def _permutation(r: Metafor) -> Row:
    y, v = synthetic.meta_analysis(48)
    fit = meta_regression(y, v, np.random.default_rng(2).normal(size=48))
    design = np.array(fit.design)
    orders = [np.random.default_rng(i).permutation(48) for i in range(PIECES)]
    return Row(
        "permutation test of a moderator, 10,000 permutations, k = 48",
        "permutation",
        10_000,
        lambda: permutation_test(fit, 10_000, 1),
        {
            "metafor": lambda: r.seconds("permutation", 100),
            "PyMARE": lambda: each(lambda i: pymare_fit(y, v, design[orders[i]]), 5),
            "Python loop": lambda: each(lambda i: fit_mixed_model(y, v, design[orders[i]])),
        },
        300,
    )


def _influence(r: Metafor) -> Row:
    y, v = synthetic.meta_analysis(100)
    fit = random_effects(y, v)

    def loop() -> float:
        return 100 * each(lambda i: random_effects(np.delete(y, i), np.delete(v, i)))

    return Row(
        "leave-one-out and influence, k = 100",
        "data set",
        20,
        lambda: [(leave_one_out(fit), influence(fit)) for _ in range(20)],
        {"metafor": lambda: r.seconds("influence", 1), "Python loop": loop},
        50,
        3,
    )


def _simulation(r: Metafor) -> Row:
    v = synthetic.meta_analysis(10)[1]
    drawn = np.random.default_rng(3).normal(0, np.sqrt(v + 0.1), (PIECES, 10))
    ones = np.ones((10, 1))
    return Row(
        "100,000 simulated meta-analyses, k = 10, REML, three intervals",
        "meta-analysis",
        100_000,
        lambda: simulate_coverage(v, 0.1, replicates=100_000, seed=1),
        {
            "metafor": lambda: r.seconds("simulate", 100),
            "PyMARE": lambda: each(lambda i: pymare_fit(drawn[i], v), 5),
            "statsmodels": lambda: each(lambda i: statsmodels_fit(drawn[i], v)),
            "Python loop": lambda: each(lambda i: fit_mixed_model(drawn[i], v, ones)),
        },
        300,
    )


def _bayes() -> Row:
    y, v = synthetic.meta_analysis(20)
    return Row(
        "Bayesian companion, k = 20",
        "data set",
        10,
        lambda: [bayes_random_effects(y, v, HalfNormal(0.5)) for _ in range(10)],
        {},
    )


def _single(k: int, y: np.ndarray, v: np.ndarray, r: Metafor) -> Row:
    times = {13: 20, 100: 10, 1000: 1}[k]

    def ours() -> None:
        for _ in range(20):
            prediction_interval(random_effects(y, v))

    return Row(
        f"one REML fit, all it prints, k = {k:,}",
        "data set",
        20,
        ours,
        {
            "metafor": lambda: r.seconds(f"fit_{k}", times),
            "metafor, same output": lambda: r.seconds(f"full_{k}", times),
            "PyMARE": lambda: seconds(lambda: pymare_fit(y, v), 3),
            "statsmodels": lambda: seconds(lambda: statsmodels_fit(y, v), 3),
        },
        2,
        3 if k == 1000 else None,
    )


def _gosh(words: str, k: int, subsets: int, r: Metafor) -> Row:
    y, v = synthetic.meta_analysis(k)
    fit = random_effects(y, v)
    masks = np.random.default_rng(5).random((PIECES, k)) < 0.6

    def one(i: int) -> None:
        inside = masks[i]
        fit_mixed_model(y[inside], v[inside], np.ones((int(inside.sum()), 1)))

    return Row(
        words,
        "subset",
        subsets,
        lambda: gosh(fit, subsets, 1),
        {"metafor": lambda: r.seconds(f"gosh_{k}", 100), "Python loop": lambda: each(one)},
        300,
    )


def _multilevel(effects: int, rounds: int, r: Metafor) -> Row:
    data = synthetic.clustered(effects)
    return Row(
        f"three-level model, {effects:,} effects in {effects // 5:,} studies",
        "data set",
        5,
        lambda: [
            multilevel(data["yi"], data["vi"], data["study"], variance_intervals=False)
            for _ in range(5)
        ],
        {"metafor": lambda: r.seconds(f"multilevel_{effects}", 1)},
        20,
        rounds,
    )


def write_data(folder: Path) -> None:
    """Write the data sets R reads."""
    for k in (10, 13, 40, 100, 1000):
        y, v = synthetic.meta_analysis(k)
        synthetic.write_csv(folder / f"k{k}.csv", yi=y, vi=v)
    y, v = synthetic.meta_analysis(48)
    x = np.random.default_rng(2).normal(size=48)
    synthetic.write_csv(folder / "k48.csv", yi=y, vi=v, x=x)
    for effects in (500, 5000):
        synthetic.write_csv(folder / f"effects{effects}.csv", **synthetic.clustered(effects))


def kernels(rounds: int, word: str = "", stored: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run every task with its peers, alternating; print a line each.

    With a ``word``, only the tasks that have it; the others keep what is ``stored``.
    """
    known = {row["task"]: row for row in (stored or {}).get("rows", [])}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        with Metafor(folder) as r:
            found = []
            for row in rows(r):
                kept = row.task in known and word not in row.task
                found.append(known[row.task] if kept else _timed(row, row.rounds or rounds))
                print(performance_page.kernel_line(found[-1]), flush=True)
            return {"metafor": r.version, "rows": found}


def _timed(row: Row, rounds: int) -> dict[str, Any]:
    row.ours()  # imports and caches
    for name, peer in row.peers.items():
        if not name.startswith("metafor"):
            peer()
    ours: list[float] = []
    peers: dict[str, list[float]] = {name: [] for name in row.peers}
    for _ in range(rounds):
        ours.append(seconds(row.ours) / row.units)
        for name, peer in row.peers.items():
            taken = peer()
            if taken is not None:
                peers[name].append(taken)
    return {
        "task": row.task,
        "unit": row.unit,
        "units": 1 if row.unit == "data set" else row.units,
        "aim": row.aim,
        "rounds": rounds,
        "ours": ours,
        "peers": {name: times for name, times in peers.items() if times},
    }


def main() -> int:
    """Run the parts asked for and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="kernels,limit,growth,start,stages,report")
    parser.add_argument("--task", default="")
    options = parser.parse_args()
    parts = options.only.split(",")
    stored = json.loads(STORED.read_text("utf-8")) if STORED.exists() else {}
    stored["machine"] = performance_page.machine()

    def save(**found: Any) -> None:
        stored.update(found)
        write_atomically(STORED, json.dumps(stored, indent=1) + "\n")

    if "kernels" in parts:
        save(kernels=kernels(options.rounds, options.task, stored.get("kernels")))
    if "limit" in parts:
        save(limit=limit.measure(options.rounds))
    if "growth" in parts:
        save(growth=growth.measure())
    if "start" in parts:
        save(start=growth.starts())
    if "stages" in parts:
        save(stages=stages.measure())
    if "report" in parts:
        done: list[dict[str, Any]] = []
        for found in growth.reports():
            print(found, flush=True)
            done.append(found)
            save(report=done)
    text = performance_page.page(stored)
    write_atomically(PAGE, text)
    growth_figure.draw(stored, PAGE.with_name("growth.svg"))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
