"""The page of timings, from the stored measurements."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pages import wrapped

LIBRARIES = ("numpy", "scipy", "pandas", "distributed")
PEERS = ("metafor", "PyMARE", "statsmodels", "pimeta", "PyMetaAnalysis")


def machine() -> dict[str, Any]:
    """Describe the machine and the versions, without names."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def duration(seconds: float) -> str:
    """Return a time with three figures and its unit."""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:,.3g} s" if seconds < 1000 else f"{seconds:,.0f} s"


def share(row: dict[str, Any], peer: str) -> np.ndarray:
    """Return ours as a share of a peer's time, round by round."""
    return np.array(row["ours"]) / np.array(row["peers"][peer])


def ratio(value: float) -> str:
    """Return a share of another time: ``0.45``, or ``1/120`` where it is small."""
    return f"{value:.2g}" if value >= 0.1 else f"1/{1 / value:,.0f}"


def compared(row: dict[str, Any], peer: str) -> str:
    """Return the median share and its range."""
    if peer not in row["peers"]:
        return ""
    found = share(row, peer)
    ends = f" ({ratio(found.min())} to {ratio(found.max())})" if len(found) > 1 else ""
    return f"{ratio(float(np.median(found)))}{ends}"


def verdict(row: dict[str, Any]) -> str:
    """Return each aim, and the share of the fastest of its peers that was measured."""
    said = []
    for names, bound in row["aims"]:
        there = [name for name in names if name in row["peers"]]
        if not there:
            said.append(f"{ratio(bound)}: {', '.join(names)} not there")
            continue
        worst = max(there, key=lambda name: float(np.median(share(row, name))))
        found = float(np.median(share(row, worst)))
        mark = "reached" if found <= bound else "**missed**"
        said.append(f"{ratio(bound)} of {worst}: {ratio(found)}, {mark}")
    return "; ".join(said) or "stated alone"


def task_line(row: dict[str, Any]) -> str:
    """Return one row of the table."""
    cells = [row["task"], duration(float(np.median(row["ours"])))]
    cells += [compared(row, peer) for peer in PEERS]
    return "| " + " | ".join([*cells, verdict(row)]) + " |"


def page(stored: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    box, tasks = stored["machine"], stored["tasks"]
    versions = ", ".join(f"{name} {number}" for name, number in box["versions"].items())
    peers = ", ".join(f"{name} {number}" for name, number in tasks["peers"].items() if number)
    absent = f" Not there: {', '.join(tasks['absent'])}." if tasks["absent"] else ""
    lines = ["# Performance", ""]
    lines += wrapped(
        f"""Measured on one machine: {box["processor"]}, {box["cores"]} virtual cores,
        {box["system"]}, Python {box["python"]}, {versions}. Peers: {peers}; {
            tasks["metafor"] or "metafor not installed"
        }.{absent} Other work ran on it at the same time (load {box["load"]}):
        times are processor seconds, which that disturbs least, and shares are of measurements made
        alternately in the same run.""",
        """Rerun with `make bench` (metafor is timed when Rscript is there, pimeta and
        PyMetaAnalysis when `pip install ketameta[bench]` added them). `python benchmarks/run.py
        --only tasks --rounds 3` runs a part. Nothing here is asserted in the tests.""",
        "## Side by side",
        """*Ours* is the time of the whole task; the other numbers are ours as a share of the time a
        peer takes for it (0.5: half; 1/300: a three-hundredth), the median over the rounds and the
        range. An aim is a share of the fastest peer it names. metafor is timed inside one running
        R, and did a part (100 permutations, subsets or simulated meta-analyses) where all would
        take minutes. Every fit is read in full: estimate, standard error, interval, tau-squared,
        I-squared and Q by each program, with conservative Knapp-Hartung intervals; statsmodels
        has no REML and runs Paule-Mandel. metafor and pimeta form matrices of k by k, and were not
        run at k = 10,000. Of the selection model metafor gives no standard errors here (they need
        a package that is not installed), and climbs once; ours climbs from some 400 starts.""",
    )
    lines += [
        f"| task | ours | {' | '.join(PEERS)} | aim: measured |",
        f"| --- | --: |{' --: |' * len(PEERS)} --- |",
        *(task_line(row) for row in tasks["rows"]),
        "",
    ]
    lines += wrapped(f"Memory of this process at most {tasks['memory'] / 1e9:.2f} GB.")
    if "limit" in stored:
        lines += _limit(stored["limit"])
    if "growth" in stored:
        lines += _growth(stored["growth"], stored.get("report", []))
    if "stages" in stored:
        lines += _stages(stored["stages"])
    if "start" in stored:
        lines += ["## Start-up", "", "| command | processor time |", "| --- | --: |"]
        lines += [f"| `{name}` | {duration(t)} |" for name, t in stored["start"].items()]
        lines += [""]
    notes = Path(__file__).with_name("performance_notes.md")
    if notes.exists():
        lines += [notes.read_text(encoding="utf-8")]
    return "\n".join(lines).rstrip() + "\n"


def _limit(found: dict[str, Any]) -> list[str]:
    lines = ["## Distance from the limit", ""]
    lines += wrapped(
        f"""A product of square matrices reaches {found["product"] / 1e9:.0f} Gflop/s here, the best
        of several sizes, in as many threads as numpy likes; the core works in one. The
        operations are those the algorithm needs, counted while it ran: sums over studies on the
        search grid, evaluations of the search, the final fit. Sums over ten to fifty studies have
        too little work per byte to come near a product of large matrices; where a whole search
        grid is one matrix product (shared variances) the share is largest."""
    )
    lines += [
        "| kernel | operations | time | Gflop/s | share of a matrix product |",
        "| --- | --: | --: | --: | --: |",
    ]
    for kernel in found["kernels"]:
        rate = kernel["operations"] / kernel["seconds"]
        lines.append(
            f"| {kernel['kernel']} | {kernel['operations'] / 1e6:,.0f} million |"
            f" {duration(kernel['seconds'])} | {rate / 1e9:.2f} |"
            f" {100 * rate / found['product']:.0f}% |"
        )
    return [*lines, ""]


def _growth(found: dict[str, Any], reports: list[dict[str, Any]]) -> list[str]:
    lines = ["## Growth", ""]
    lines += wrapped(
        "![Time against size, both on logarithmic scales](growth.svg)",
        "Three-level models have five effects per study; networks are two-arm trials of six"
        " treatments, with the fit, Q by design and all 15 side-splits.",
    )
    models = [("three-level model", "effects", row) for row in found["multilevel"]]
    models += [("network", "contrasts", row) for row in found.get("network", [])]
    lines += ["| model | effects | time | per effect |", "| --- | --: | --: | --: |"]
    for model, size, row in models:
        each = duration(row["seconds"] / row[size])
        lines.append(f"| {model} | {row[size]:,} | {duration(row['seconds'])} | {each} |")
    lines += [
        "",
        *wrapped(
            """Commands on simulated trials, start-up included: on the clock, and of all processors
        (the steadier number while other work runs)."""
        ),
    ]
    lines += ["| `check`: trials | rows | clock | processors | per row |"]
    lines += ["| --: | --: | --: | --: | --: |"]
    for row in found["check"]:
        lines.append(
            f"| {row['studies']:,} | {row['rows']:,} | {duration(row['wall'])} |"
            f" {duration(row['cpu'])} | {duration(row['cpu'] / row['rows'])} |"
        )
    return [*lines, "", *_reports(reports)]


def _reports(reports: list[dict[str, Any]]) -> list[str]:
    """Return the table of report builds."""
    lines = [
        "| `report`, four analyses: trials | rows | from nothing | one number changed |"
        " nothing changed | analyses computed | page | load |",
        "| --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for row in reports:
        times = " | ".join(
            f"{duration(row[part][0])} ({duration(row[part][1])})"
            for part in ("cold", "touched", "unchanged")
        )
        computed = ", ".join(str(count) for count in row["computed"])
        lines.append(
            f"| {row['studies']:,} | {row['rows']:,} | {times} | {computed} |"
            f" {row['page_bytes'] / 1e6:.1f} MB | {row['load']:g} |"
        )
    lines += [""]
    lines += wrapped(
        """Clock and, in brackets, processor seconds of the command `ketameta report`. The changed
        number is a depression score, so that the three analyses of depression are computed again
        and the one of nausea is kept. Beyond 150 rows a forest plot draws its groups; every trial
        is in the tables. With nothing changed `make report` does not start Python at all."""
    )
    return lines


def _stages(found: dict[str, Any]) -> list[str]:
    """Return where a build of this repository's report spends its time."""
    parts = found["parts"]
    total = sum(parts.values())
    lines = ["## Where make report spends its time", ""]
    lines += wrapped(
        """Processor seconds of each part of a build from nothing of the report in this repository,
        all in one process."""
    )
    lines += ["| part | seconds | share |", "| --- | --: | --: |"]
    for name, seconds in parts.items():
        lines.append(f"| {name} | {seconds:.1f} | {100 * seconds / total:.0f}% |")
    lines += [f"| together | {total:.1f} | |", ""]
    lines += wrapped("Builds by the command, figures in processes of their own.")
    lines += ["| build, after a change of | clock | processors | what it said |", "| --- | --: | --: | --- |"]
    for name, row in found["builds"].items():
        lines.append(
            f"| {name} | {duration(row['wall'])} | {duration(row['cpu'])} | {row['said']} |"
        )
    return [*lines, ""]
