"""Figures in two steps: lay out as plain data, then draw.

``draw_forest(lay_out_forest(result))`` returns a matplotlib figure; ``save_figure`` writes it,
the same bytes on every run. Names are imported when first used, so that laying out needs no
drawing library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ketameta.figures.canvas import find_parts as find_parts
    from ketameta.figures.description import alt_text as alt_text
    from ketameta.figures.evidence_map import draw_evidence_map as draw_evidence_map
    from ketameta.figures.evidence_map import lay_out_evidence_map as lay_out_evidence_map
    from ketameta.figures.forest import draw_forest as draw_forest
    from ketameta.figures.layout import lay_out_forest as lay_out_forest
    from ketameta.figures.save import figure_bytes as figure_bytes
    from ketameta.figures.save import save_figure as save_figure

_HOMES = {
    "alt_text": "description",
    "draw_evidence_map": "evidence_map",
    "draw_forest": "forest",
    "figure_bytes": "save",
    "find_parts": "canvas",
    "lay_out_evidence_map": "evidence_map",
    "lay_out_forest": "layout",
    "save_figure": "save",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
