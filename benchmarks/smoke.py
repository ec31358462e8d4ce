"""Installs a wheel into an empty environment and tries it, as somebody would who has only that.

    python benchmarks/smoke.py dist/ketameta-0.1.0-py3-none-any.whl [constraints.txt]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

PRINT = """
import ketameta as km
fit = km.random_effects([-0.5, -0.3, -0.8], [0.04, 0.05, 0.06], labels=["A", "B", "C"], measure="SMD")
print(fit)
"""


def main() -> None:
    """Install, compute, start a project, build, check, verify, release; print each step."""
    wheel = Path(sys.argv[1]).resolve()
    pins = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        begun = time.monotonic()

        def run(*command: str | Path, **more: str) -> None:
            print("$", *(str(part).replace(str(root), "~") for part in command), flush=True)
            env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            subprocess.run([str(part) for part in command], cwd=root, env={**env, **more}, check=True)
            print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)

        venv.create(root / "env", with_pip=True)
        folder = root / "env" / ("Scripts" if os.name == "nt" else "bin")
        pinned = ("-c", pins) if pins else ()
        run(folder / "python", "-m", "pip", "install", "--quiet", *pinned, wheel)
        ketameta = folder / "ketameta"
        run(ketameta, "--version")
        run(folder / "python", "-c", PRINT)
        for encoding in ("cp1252", "ascii"):
            run(folder / "python", "-c", PRINT, PYTHONIOENCODING=encoding)
        (root / "trials.csv").write_text("trial,a,n1,c,n2\nA,4,20,9,21\nB,6,30,11,32\nC,1,15,5,14\n")
        counts = ("--events-treatment", "a", "--n-treatment", "n1", "--events-control", "c", "--n-control", "n2")
        run(ketameta, "fit", "trials.csv", "--measure", "OR", *counts, "--labels", "trial", "--plot", "forest.svg")
        run(ketameta, "init", "tea", "--title", "Tea for sleep", "--question", "Does tea help people who sleep badly?")
        for command in (["check"], ["report"], ["run", "primary"], ["new", "ames_2019"], ["verify"], ["release", "1.0"]):
            run(ketameta, *command, "--root", "tea")
            if command[0] == "new":
                for path in (root / "tea" / "data" / "extracted" / "ames_2019").iterdir():
                    path.unlink()
                (root / "tea" / "data" / "extracted" / "ames_2019").rmdir()
        run(ketameta, "run", "primary", "--root", "tea", PYTHONIOENCODING="ascii")
        print(f"The wheel works; {time.monotonic() - begun:.0f} s in all.")


if __name__ == "__main__":
    main()
