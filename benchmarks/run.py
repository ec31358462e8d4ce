"""Times every task beside its peers in the same run, alternating, and prints the table.

``python benchmarks/run.py`` (``make bench``) runs all parts and writes ``docs/performance.md``
and ``benchmarks/timings.json``; ``--rounds``, ``--only tasks,limit,growth,start,stages,report``;
``--task WORD`` times the tasks with that word again and keeps the others. Times depend on the
machine; nothing is asserted. Peers that are not installed are skipped, and the page says so.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import growth
import growth_figure
import limit
import numpy as np
import pandas as pd
import peers
import performance_page
import stages
import synthetic
from peers import Metafor, Seconds

import ketameta as km
from ketameta.paths import write_atomically

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "benchmarks" / "timings.json"
PAGE = ROOT / "docs" / "performance.md"
#: Seconds of repeated work behind one time of a short task.
LONG_ENOUGH = 0.04
#: The peers that fit REML, which is what a fit is compared with.
REML = ("metafor", "PyMARE", "pimeta", "PyMetaAnalysis")


@dataclasses.dataclass
class Row:
    """One task: ours, ``units`` pieces of work at a time, and peers.

    ``peers`` return seconds of one unit, or are work that is timed like ours. ``aims`` are the
    largest shares of a peer's time (of the fastest of several) that are wanted.
    """

    task: str
    ours: Callable[[], Any]
    peers: Mapping[str, Callable[[], Any] | Seconds]
    aims: Mapping[tuple[str, ...], float]
    units: int = 1
    rounds: int | None = None


def seconds(work: Callable[[], Any]) -> float:
    """Return the processor seconds of one repetition, of as many as take long enough."""
    begun = time.process_time()
    work()
    first = time.process_time() - begun
    if first > LONG_ENOUGH:
        return first
    times = max(1, int(LONG_ENOUGH / max(first, 1e-6)))
    begun = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begun) / times


def rows(r: Metafor) -> list[Row]:
    """Return every task."""
    return [
        *(_fit(k, r) for k in (13, 100, 1000, 10_000)),
        *(_printed(k, r) for k in (13, 100, 1000)),
        *(_paule_mandel(k) for k in (13, 100, 1000, 10_000)),
        _dersimonian(),
        _loop(),
        _regression(r),
        _egger(r),
        _effect_sizes(r),
        *_network(),
        _selection(r),
        _trim_and_fill(r),
        _permutation(r),
        *_resampled(r),
        *_drawn(r),
        *_large(),
    ]


def _read(fit: Any) -> tuple[Any, ...]:
    return fit.estimate, fit.se, fit.ci_low, fit.ci_high, fit.tau2, fit.i2, getattr(fit, "q", None)


def _frame(y: np.ndarray, v: np.ndarray) -> Any:
    return pd.DataFrame({"yi": y, "vi": v})


def _r_times(k: int) -> int:
    return {13: 20, 48: 20, 100: 10, 1000: 1}[k]


def _fit(k: int, r: Metafor) -> Row:
    y, v = synthetic.meta_analysis(k)
    frame = _frame(y, v)
    others: dict[str, Any] = {
        "PyMARE": lambda: peers.pymare_fit(y, v),
        "PyMetaAnalysis": lambda: peers.pymetaanalysis_fit(frame),
    }
    if k <= 1000:  # beyond, metafor and pimeta form matrices of k by k
        others["metafor"] = lambda: r.seconds(f"fit_{k}", _r_times(k))
        others["pimeta"] = lambda: peers.pimeta_fit(y, v)
    return Row(f"one REML fit, k = {k:,}", lambda: _read(km.random_effects(y, v)), others,
               {REML: 1.0}, rounds=3 if k >= 1000 else None)  # fmt: skip


def _printed(k: int, r: Metafor) -> Row:
    y, v = synthetic.meta_analysis(k)
    frame = _frame(y, v)

    def pimeta() -> str:
        from pimeta import rma

        fit = rma(y, v, method="REML", test="adhoc")
        return f"{fit.confint()} {fit.predict()} {fit}"

    def other() -> str:
        fit, _ = peers.pymetaanalysis_fit(frame)
        return f"{fit.tau2_confidence_interval()} {fit.display_prediction_interval} {fit.summary()}"

    return Row(
        f"the same with tau-squared interval, prediction interval, printed text, k = {k:,}",
        lambda: repr(km.random_effects(y, v)),
        {
            "metafor": lambda: r.seconds(f"full_{k}", _r_times(k)),
            "pimeta": pimeta,
            "PyMetaAnalysis": other,
        },
        {REML: 0.7},
        rounds=3 if k >= 1000 else None,
    )


def _paule_mandel(k: int) -> Row:
    y, v = synthetic.meta_analysis(k)
    return Row(
        f"one Paule-Mandel fit, k = {k:,}",
        lambda: _read(km.random_effects(y, v, "PM")),
        {"statsmodels": lambda: peers.statsmodels_fit(y, v)},
        {("statsmodels",): 1.5},
    )


def _dersimonian() -> Row:
    y, v = synthetic.meta_analysis(10_000)
    frame = _frame(y, v)
    return Row(
        "one DerSimonian-Laird fit, k = 10,000",
        lambda: _read(km.random_effects(y, v, "DL")),
        {
            "PyMARE": lambda: peers.pymare_fit(y, v, method="DL"),
            "statsmodels": lambda: peers.statsmodels_fit(y, v, "dl"),
            "PyMetaAnalysis": lambda: peers.pymetaanalysis_fit(frame, "DL"),
        },
        {("PyMARE",): 1.5},
    )


def _loop() -> Row:
    drawn = [synthetic.meta_analysis(13, seed) for seed in range(1000)]
    return Row(
        "1,000 separate fits in a loop, k = 13, Paule-Mandel as statsmodels has",
        lambda: [_read(km.random_effects(y, v, "PM")) for y, v in drawn],
        {"statsmodels": lambda: [peers.statsmodels_fit(y, v) for y, v in drawn]},
        {("statsmodels",): 1.0},
        rounds=3,
    )


def _regression(r: Metafor) -> Row:
    y, v = synthetic.meta_analysis(48)
    x = np.random.default_rng(2).normal(size=48)
    frame = _frame(y, v).assign(x=x)
    design = np.column_stack([np.ones(48), x])

    def ours() -> Any:
        fit = km.meta_regression(y, v, x)
        return _read(fit), fit.qe, fit.qm, fit.r2

    def other() -> Any:
        from meta_analyze import meta_regression

        return meta_regression(frame, effect="yi", variance="vi", moderators=["x"],
                               inference_method="hartung_knapp")  # fmt: skip

    return Row(
        "meta-regression, k = 48",
        ours,
        {
            "metafor": lambda: r.seconds("regression_48", 20),
            "PyMARE": lambda: peers.pymare_fit(y, v, design),
            "pimeta": lambda: peers.pimeta_fit(y, v, x),
            "PyMetaAnalysis": other,
        },
        {REML: 0.8},
    )


def _egger(r: Metafor) -> Row:
    y, v = synthetic.meta_analysis(100)
    fit = km.random_effects(y, v)

    def pimeta() -> Any:
        from pimeta import regtest

        return regtest(y, v, model="rma", test="knha")

    return Row(
        "Egger's test in a REML regression, k = 100",
        lambda: km.egger_test(fit).p_value,
        {"metafor": lambda: r.seconds("egger_100", 10), "pimeta": pimeta},
        {("metafor", "pimeta"): 0.8},
    )


def _effect_sizes(r: Metafor) -> Row:
    arms = synthetic.arms(13)
    named = {"n1i": "n_treatment", "n2i": "n_control", "m1i": "mean_treatment",
             "m2i": "mean_control", "sd1i": "sd_treatment", "sd2i": "sd_control"}  # fmt: skip

    def ours() -> Any:
        found = km.standardized_mean_difference(**arms)
        return found.estimate, found.variance

    def pimeta() -> Any:
        from pimeta import escalc

        found = escalc("SMD", **{name: arms[own] for name, own in named.items()})
        return found.yi, found.vi

    return Row(
        "standardised mean differences from arms, k = 13",
        ours,
        {"metafor": lambda: r.seconds("escalc_13", 50), "pimeta": pimeta},
        {("pimeta",): 1.0},
    )


def _network() -> list[Row]:
    y, v, study, treatment, control = synthetic.network(100)
    given = (y, np.sqrt(v), list(treatment), list(control), list(study))

    def pimeta() -> Any:
        from pimeta import netmeta

        return netmeta(*given, method_tau="REML")

    def split() -> Any:
        from pimeta import netsplit

        return netsplit(pimeta())

    def ours() -> Any:
        return km.network_meta_analysis(y, v, study, treatment, control)

    return [
        Row("network, 100 contrasts, fit only", lambda: ours().tau2, {"pimeta": pimeta},
            {("pimeta",): 0.5}),
        Row("network, 100 contrasts, with every side-split", lambda: ours().splits,
            {"pimeta": split}, {("pimeta",): 1.0}),
    ]  # fmt: skip


def _selection(r: Metafor) -> Row:
    y, v = synthetic.meta_analysis(100)
    fit = km.random_effects(y, v)

    return Row(
        "step selection model, k = 100",
        lambda: km.selection_model(fit).estimate,
        {"metafor": lambda: r.seconds("selection_100", 2)},
        {("metafor",): 0.5},
        rounds=3,
    )


def _trim_and_fill(r: Metafor) -> Row:
    y, v = synthetic.meta_analysis(100)
    fit = km.random_effects(y, v)
    frame = _frame(y, v)

    def pimeta() -> Any:
        from pimeta import trimfill

        return trimfill(y, v)

    def other() -> Any:
        return peers.pymetaanalysis_fit(frame)[0].trim_and_fill()

    return Row(
        "trim and fill, k = 100",
        lambda: km.trim_and_fill(fit).estimate,
        {
            "metafor": lambda: r.seconds("trimfill_100", 5),
            "pimeta": pimeta,
            "PyMetaAnalysis": other,
        },
        {("metafor", "pimeta", "PyMetaAnalysis"): 0.3},
    )


def _permutation(r: Metafor) -> Row:
    y, v = synthetic.meta_analysis(48)
    fit = km.meta_regression(y, v, np.random.default_rng(2).normal(size=48))
    design = np.array(fit.design)
    return Row(
        "permutation test of a moderator, 10,000 permutations, k = 48",
        lambda: km.permutation_test(fit, 10_000, 1),
        {
            "metafor": lambda: _times(10_000, r.seconds("permutation", 100)),
            "PyMARE": lambda: peers.pymare_permutations(y, v, design, 10_000),
        },
        {("metafor",): 1 / 300, ("PyMARE",): 1 / 8},
        rounds=3,
    )


def _times(units: int, each: float | None) -> float | None:
    return None if each is None else units * each


def _resampled(r: Metafor) -> list[Row]:
    found = []
    y, v = synthetic.meta_analysis(100)
    fit = km.random_effects(y, v)
    found.append(
        Row("leave-one-out and influence, k = 100",
            lambda: (km.leave_one_out(fit), km.influence(fit)),
            {"metafor": lambda: r.seconds("influence", 1)}, {("metafor",): 1 / 50}, rounds=3)
    )  # fmt: skip
    for k, subsets, words in (
        (13, 8191, "all 8,191 subsets of k = 13"),
        (40, 100_000, "100,000 random subsets of k = 40"),
    ):
        other = km.random_effects(*synthetic.meta_analysis(k))
        found.append(
            Row(f"GOSH, {words}", lambda other=other, n=subsets: km.gosh(other, n, 1),
                {"metafor": lambda k=k, n=subsets: _times(n, r.seconds(f"gosh_{k}", 100))},
                {("metafor",): 1 / 300}, rounds=3)
        )  # fmt: skip
    for effects, rounds in ((500, 3), (5000, 1)):
        data = synthetic.clustered(effects)
        found.append(
            Row(f"three-level model, {effects:,} effects in {effects // 5:,} studies",
                lambda d=data: km.multilevel(d["yi"], d["vi"], d["study"], variance_intervals=False),
                {"metafor": lambda n=effects: r.seconds(f"multilevel_{n}", 1)},
                {("metafor",): 1 / 28}, rounds=rounds)
        )  # fmt: skip
    ten = synthetic.meta_analysis(10)[1]
    found.append(
        Row("100,000 simulated meta-analyses, k = 10, three intervals",
            lambda: km.simulate_coverage(ten, 0.1, replicates=100_000, seed=1),
            {"metafor": lambda: _times(100_000, r.seconds("simulate", 100))},
            {("metafor",): 1 / 300}, rounds=3)
    )  # fmt: skip
    return found


def _drawn(r: Metafor) -> list[Row]:
    """Return a fit with its forest plot in a file: as large and of as many pixels in every program.

    The fit is part of it, because metafor and statsmodels were always timed with theirs.
    """
    from matplotlib import pyplot as plt

    y, v = synthetic.meta_analysis(13)
    frame = _frame(y, v)
    size = peers.PAGE_OF_A_FOREST
    folder = tempfile.TemporaryDirectory()  # goes with the tasks that hold it

    def ours() -> Any:
        return km.random_effects(y, v, measure="SMD").forest()

    def statsmodels() -> Any:
        from statsmodels.stats.meta_analysis import combine_effects

        axes = plt.figure(figsize=size).add_subplot()
        combine_effects(y, v, method_re="iterated").plot_forest(ax=axes)
        return axes

    def pimeta() -> Any:
        from pimeta import forest

        b, se, *_ = (float(np.ravel(number)[0]) for number in peers.pimeta_fit(y, v))
        pool = SimpleNamespace(pooled_est=b, pooled_se=se)  # without it, no diamond is drawn
        return forest(y, v, pooled=pool, figsize=size)

    def other() -> Any:
        axes = plt.figure(figsize=size).add_subplot()
        return peers.pymetaanalysis_fit(frame)[0].forest(ax=axes)

    def saved(draw: Callable[[], Any], kind: str) -> Callable[[], None]:
        def save() -> None:
            figure, path = draw().figure, Path(folder.name) / f"forest.{kind}"
            if draw is ours:
                km.plots.save(figure, path, dpi=100)
            else:
                figure.savefig(path, dpi=100)
            plt.close(figure)

        return save

    drawn = {"statsmodels": statsmodels, "pimeta": pimeta, "PyMetaAnalysis": other}
    return [
        Row(f"a fit and its forest plot in a file, k = 13, {kind.upper()}", saved(ours, kind),
            {name: saved(draw, kind) for name, draw in drawn.items()}
            | {"metafor": lambda kind=kind: r.seconds(f"forest_{kind}", 10)},
            {tuple(drawn): 1.0, ("metafor",): 1.5}, rounds=5)
        for kind in ("svg", "png", "pdf")
    ]  # fmt: skip


def _large() -> list[Row]:
    y, v = synthetic.meta_analysis(10_000)
    fit = km.random_effects(y, v)
    tasks = {
        "leave-one-out": lambda: km.leave_one_out(fit),
        "influence": lambda: km.influence(fit),
        "rank test": lambda: km.rank_test(fit),
    }
    return [Row(f"{name}, k = 10,000", work, {}, {}, rounds=1) for name, work in tasks.items()]


def write_data(folder: Path) -> None:
    """Write the data sets R reads."""
    for k in (10, 13, 40, 100, 1000):
        y, v = synthetic.meta_analysis(k)
        synthetic.write_csv(folder / f"k{k}.csv", yi=y, vi=v)
    y, v = synthetic.meta_analysis(48)
    x = np.random.default_rng(2).normal(size=48)
    synthetic.write_csv(folder / "k48.csv", yi=y, vi=v, x=x)
    synthetic.write_csv(folder / "arms13.csv", **synthetic.arms(13))
    for effects in (500, 5000):
        synthetic.write_csv(folder / f"effects{effects}.csv", **synthetic.clustered(effects))


def tasks(rounds: int, word: str = "", stored: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run every task with its peers, alternating; print a line each.

    With a ``word``, only the tasks that have it; the others keep what is ``stored``.
    """
    known = {row["task"]: row for row in (stored or {}).get("rows", [])}
    absent = {name for name, number in peers.installed().items() if number is None}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        with Metafor(folder) as r:
            if r.version is None:
                absent.add("metafor")
            found = []
            for row in rows(r):
                kept = row.task in known and word not in row.task
                found.append(known[row.task] if kept else _timed(row, rounds, absent))
                print(performance_page.task_line(found[-1]), flush=True)
            return {
                "metafor": r.version, "peers": peers.installed(), "absent": sorted(absent),
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "rows": found,
            }  # fmt: skip


def _timed(row: Row, rounds: int, absent: set[str]) -> dict[str, Any]:
    work = {name: peers.quietly(peer) for name, peer in row.peers.items() if name not in absent}
    rounds = min(rounds, row.rounds or rounds)
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in work}
    for warm in (row.ours, *work.values()):  # imports and caches; R compiles what it runs twice
        warm()
    for _ in range(rounds):
        ours.append(seconds(row.ours))
        for name, peer in work.items():
            taken = peer() if name == "metafor" else seconds(peer)
            if taken is not None:
                theirs[name].append(taken)
    return {
        "task": row.task,
        "rounds": rounds,
        "ours": ours,
        "peers": {name: times for name, times in theirs.items() if times},
        "aims": [[list(names), bound] for names, bound in row.aims.items()],
    }


def main() -> int:
    """Run the parts asked for and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="tasks,limit,growth,start,stages,report")
    parser.add_argument("--task", default="")
    options = parser.parse_args()
    parts = options.only.split(",")
    stored = json.loads(STORED.read_text("utf-8")) if STORED.exists() else {}
    stored["machine"] = performance_page.machine()

    def save(**found: Any) -> None:
        stored.update(found)
        write_atomically(STORED, json.dumps(stored, indent=1) + "\n")

    if "tasks" in parts:
        save(tasks=tasks(options.rounds, options.task, stored.get("tasks")))
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
    if {"growth", "report"} & {*parts}:
        growth_figure.draw(stored, PAGE.with_name("growth.svg"))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
