"""The growth of times with size as one small picture, for the page of timings."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from ketameta.paths import write_atomically


def draw(stored: dict[str, Any], path: Path) -> None:
    """Draw times against sizes on logarithmic scales; a straight line of slope 1 is linear."""
    found = stored["growth"]
    lines = {
        "three-level model (effects)": [(r["effects"], r["seconds"]) for r in found["multilevel"]],
        "network (contrasts)": [(r["contrasts"], r["seconds"]) for r in found.get("network", [])],
        "check (trials)": [(r["studies"], r["cpu"]) for r in found["check"]],
    }
    for part, words in (("cold", "from nothing"), ("touched", "one number changed")):
        lines[f"report, {words} (trials)"] = [
            (row["studies"], row[part][1]) for row in stored.get("report", [])
        ]
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.hashsalt": "growth", "font.size": 8})
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for (name, points), colour in zip(
            lines.items(), ("#0072B2", "#009E73", "#D55E00", "#222222", "#888888"), strict=True
        ):
            if points:
                axes.plot(*zip(*points, strict=True), "o-", label=name, color=colour, ms=3, lw=1)
        axes.plot((10, 10_000), (0.1, 100), ":", color="#AAAAAA", lw=1, label="linear")
        axes.set(xscale="log", yscale="log", xlabel="size", ylabel="processor seconds")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    write_atomically(path, stream.getvalue())
