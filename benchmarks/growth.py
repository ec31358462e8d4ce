"""How time grows: three-level models, checks and report builds of simulated projects; start-up."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import synthetic

from ketameta import multilevel, network_meta_analysis

EFFECTS = (100, 300, 1000, 3000, 10_000)
CHECKED = (10, 100, 1000, 10_000)
REPORTED = (60, 600, 6000)
NETWORKS = (100, 300, 1000, 3000, 10_000)


class Times(NamedTuple):
    """Seconds on the clock, and of processors (all processes), start-up included."""

    wall: float
    cpu: float
    said: str = ""


def command(root: Path, *words: str) -> Times:
    """Run a ketameta command and time it."""
    begun, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, "-m", "ketameta", *words, "--root", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr + done.stdout)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user
    cpu -= before.children_system
    return Times(time.perf_counter() - begun, cpu, done.stdout.strip().split("\n")[-1])


def measure() -> dict[str, Any]:
    """Time models and checks by size."""
    found: dict[str, Any] = {"multilevel": [], "network": [], "check": []}
    for contrasts in NETWORKS:
        data = synthetic.network(contrasts)
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            network_meta_analysis(*data)
            times.append(time.perf_counter() - begun)
        found["network"].append({"contrasts": contrasts, "seconds": sorted(times)[1]})
        print(found["network"][-1], flush=True)
    for effects in EFFECTS:
        data = synthetic.clustered(effects)
        times = []
        for _ in range(4):
            begun = time.perf_counter()
            multilevel(data["yi"], data["vi"], data["study"], variance_intervals=False)
            times.append(time.perf_counter() - begun)
        found["multilevel"].append({"effects": effects, "seconds": sorted(times)[1]})
        print(found["multilevel"][-1], flush=True)
    for studies in CHECKED:
        with tempfile.TemporaryDirectory() as name:
            rows = synthetic.write_project(Path(name), studies)
            times = [command(Path(name), "check") for _ in range(3 if studies < 10_000 else 1)]
        middle = sorted(times)[len(times) // 2]
        found["check"].append(
            {"studies": studies, "rows": rows, "wall": middle.wall, "cpu": middle.cpu}
        )
        print(found["check"][-1], flush=True)
    return found


def reports(sizes: tuple[int, ...] = REPORTED) -> Iterator[dict[str, Any]]:
    """Yield the times of report builds, by size."""
    for studies in sizes:
        with tempfile.TemporaryDirectory() as name:
            yield _report(Path(name), studies)


def _report(root: Path, studies: int) -> dict[str, Any]:
    """Build a report from nothing, after one changed number, and with nothing changed."""
    rows = synthetic.write_project(root, studies, analyses=True)
    cold = command(root, "report")
    path = root / "data" / "extracted" / "simulated" / "outcomes.csv"
    lines = path.read_text(encoding="utf-8").split("\n")
    cells = lines[1].split(",")
    at = lines[0].split(",").index("mean")
    cells[at] = f"{float(cells[at]) + 0.5:.2f}"
    lines[1] = ",".join(cells)
    path.write_text("\n".join(lines), encoding="utf-8")
    touched, unchanged = command(root, "report"), command(root, "report")
    return {
        "studies": studies,
        "rows": rows,
        "cold": [cold.wall, cold.cpu],
        "touched": [touched.wall, touched.cpu],
        "unchanged": [unchanged.wall, unchanged.cpu],
        "computed": [
            int(re.findall(r"^(\d+)", done.said)[0]) for done in (cold, touched, unchanged)
        ],
        "page_bytes": (root / "reports" / "report.html").stat().st_size,
        "load": round(os.getloadavg()[0], 1),
    }


def starts() -> dict[str, float]:
    """Return the processor seconds of commands that should cost little, medians of three."""
    root = Path(__file__).resolve().parent.parent
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import ketameta": [sys.executable, "-c", "import ketameta"],
        "ketameta --help": [sys.executable, "-m", "ketameta", "--help"],
        "first fit of a session": [
            sys.executable, "-c",
            "import ketameta as km; print(km.random_effects([0.1, 0.3, 0.8], [0.1, 0.1, 0.2]))",
        ],
        "ketameta check (this repository)": [sys.executable, "-m", "ketameta", "check"],
    }
    found = {}
    for name, words in commands.items():
        times = []
        for _ in range(3):
            before = os.times()
            subprocess.run(words, cwd=root, env=environment, capture_output=True, check=False)
            after = os.times()
            times.append(after.children_user + after.children_system
                         - before.children_user - before.children_system)
        found[name] = sorted(times)[1]
        print(name, found[name], flush=True)
    return found
