"""Where ``make report`` spends its time: processor seconds of each part, in one process."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib

ROOT = Path(__file__).resolve().parent.parent
#: Parts of a build and the functions that do them. Time inside a part that belongs to another part
#: is counted there.
PARTS: dict[str, tuple[str, ...]] = {
    "reading and checks": ("inputs.load_inputs",),
    "effect tables": ("evidence.derive.derive_effects", "evidence.derive.derive_again"),
    "choice of effects": ("analyses.selection.select_effects",),
    "models and companions": ("analyses.run.run_analysis",),
    "all combinations of choices": ("analyses.multiverse.multiverse",),
    "next trial": ("analyses.next_trial.next_trial_of",),
    "networks": ("models.network.network.network_meta_analysis",),
    "figures: layout and drawing": ("plots.draw_figure",),
    "figures: SVG": ("plots.look.file_bytes",),
    "page": ("report.html.render_pages", "report.context.report_context"),
    "page as PDF": ("report.pdf.render_pdf",),
}
OTHER = "everything else (imports, fingerprints, files)"


class Clock:
    """Processor seconds by part, each counted once."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys([*PARTS, OTHER], 0.0)
        self._open = [OTHER]
        self._since = time.process_time()

    def switch(self) -> None:
        """Give the time since the last change to the part that is open."""
        now = time.process_time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def within(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``work`` with its time given to its part."""

        @functools.wraps(work)
        def timed(*arguments: Any, **named: Any) -> Any:
            self.switch()
            self._open.append(part)
            try:
                return work(*arguments, **named)
            finally:
                self.switch()
                self._open.pop()

        return timed


def install(clock: Clock) -> None:
    """Time the functions of :data:`PARTS`, wherever they were imported."""
    wanted = {name: part for part, names in PARTS.items() for name in names}
    modules = [import_module(f"ketameta.{name.rpartition('.')[0]}") for name in wanted]
    for (name, part), module in zip(wanted.items(), modules, strict=True):
        work = getattr(module, name.rpartition(".")[2])
        timed = clock.within(part, work)
        for other in [m for n, m in sys.modules.items() if n.startswith("ketameta")]:
            for key, value in list(vars(other).items()):
                if value is work:
                    setattr(other, key, timed)


def here(root: Path) -> dict[str, float]:
    """Build a report in this process and return the seconds of each part."""
    clock = Clock()
    install(clock)
    from ketameta.build import build
    from ketameta.paths import project_paths

    with joblib.parallel_config(backend="sequential"):
        build(project_paths(root))
    clock.switch()
    return clock.seconds


def measure() -> dict[str, Any]:
    """Return the parts of a build of this repository's report, and builds as users start them."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in ("data", "analyses"):
            shutil.copytree(ROOT / folder, root / folder)
        shutil.copyfile(ROOT / "project.toml", root / "project.toml")
        done = subprocess.run(
            [sys.executable, str(Path(__file__)), str(root)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )
        parts = json.loads(done.stdout)
        shutil.rmtree(root / "reports")
        shutil.rmtree(root / "build")
        builds = {"from nothing": _command(root)}
        analysis = root / "analyses" / "ketamine_depression_24h.toml"
        text = analysis.read_text(encoding="utf-8")
        changed = re.sub(r"tau_prior_scale = \d+", "tau_prior_scale = 4", text)
        if changed == text:
            raise RuntimeError(f"{analysis.name} has no tau_prior_scale to change")
        analysis.write_text(changed, encoding="utf-8")
        builds["one line of one analysis file"] = _command(root)
        builds["nothing"] = _command(root)
    return {"parts": parts, "builds": builds, "load": round(os.getloadavg()[0], 1)}


def _command(root: Path) -> dict[str, Any]:
    from growth import command

    done = command(root, "report")
    return {"wall": done.wall, "cpu": done.cpu, "said": done.said}


if __name__ == "__main__":
    print(json.dumps(here(Path(sys.argv[1]))))
