"""Plots of results: each takes a fitted result, or typed data, and returns matplotlib axes.

``plots.forest(fit)``, ``plots.funnel(fit)`` and so on draw into a figure of their own, or into
``ax=``; nothing is shown or kept. ``save`` writes a plot to SVG, PNG or PDF, the same bytes on
every run; ``theme`` is the look, for drawings of one's own; ``find`` returns a plot's named parts.
The module of each plot has its typed data and what the plot shows in words.
"""

from pathlib import Path
from typing import Any

from ketameta.plots import look
from ketameta.plots.curves import dose_response, over_time, posterior
from ketameta.plots.forest import draw
from ketameta.plots.forest import plot as forest
from ketameta.plots.forest_layout import lay_out
from ketameta.plots.harms import icons
from ketameta.plots.harms import plot as harms
from ketameta.plots.look import find, save, theme
from ketameta.plots.maps import evidence_map, network, risk_of_bias
from ketameta.plots.points import bubble, funnel
from ketameta.plots.sensitivity import baujat, gosh, specification_curve

__all__ = [
    "baujat",
    "bubble",
    "dose_response",
    "evidence_map",
    "find",
    "forest",
    "funnel",
    "gosh",
    "harms",
    "icons",
    "network",
    "over_time",
    "posterior",
    "risk_of_bias",
    "save",
    "specification_curve",
    "theme",
]


def draw_figure(kind: str, data: Any, words: str, path: Path, pages: Path) -> None:
    """Draw a plot into its file, and into pages if it is too tall. Runs in a worker."""
    with look.detached():
        path.parent.mkdir(parents=True, exist_ok=True)
        save(globals()[kind](data), path, description=words)
        for old in pages.glob(f"{path.stem}.page-*.svg"):
            old.unlink()
        cut = lay_out(data).pages() if kind == "forest" else []
        for number, layout in enumerate(cut if len(cut) > 1 else (), start=1):
            page = pages / f"{path.stem}.page-{number:02d}.svg"
            page.parent.mkdir(parents=True, exist_ok=True)
            save(draw(layout), page)
