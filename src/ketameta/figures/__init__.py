"""Figures in two steps: lay out as plain data, then draw.

``draw_forest(lay_out_forest(result))`` returns a matplotlib figure; ``draw_evidence_map`` and, for
all other plots, ``draw_plot`` do the same for their layouts. ``save_figure`` writes a figure, the
same bytes on every run; ``alt_text`` says a layout in words. Names are imported when first used,
so that laying out needs no drawing library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ketameta.figures.baujat import lay_out_baujat as lay_out_baujat
    from ketameta.figures.bubble import lay_out_bubble as lay_out_bubble
    from ketameta.figures.canvas import find_parts as find_parts
    from ketameta.figures.description import alt_text as alt_text
    from ketameta.figures.dose_response import lay_out_dose_response as lay_out_dose_response
    from ketameta.figures.evidence_map import draw_evidence_map as draw_evidence_map
    from ketameta.figures.evidence_map import lay_out_evidence_map as lay_out_evidence_map
    from ketameta.figures.forest import draw_forest as draw_forest
    from ketameta.figures.forest_variants import lay_out_cumulative as lay_out_cumulative
    from ketameta.figures.forest_variants import lay_out_leave_one_out as lay_out_leave_one_out
    from ketameta.figures.frame import draw_plot as draw_plot
    from ketameta.figures.funnel import lay_out_funnel as lay_out_funnel
    from ketameta.figures.gosh import lay_out_gosh as lay_out_gosh
    from ketameta.figures.harms import lay_out_harms as lay_out_harms
    from ketameta.figures.layout import lay_out_forest as lay_out_forest
    from ketameta.figures.network import lay_out_network as lay_out_network
    from ketameta.figures.over_time import lay_out_over_time as lay_out_over_time
    from ketameta.figures.posterior import lay_out_posterior as lay_out_posterior
    from ketameta.figures.risk_of_bias import lay_out_risk_of_bias as lay_out_risk_of_bias
    from ketameta.figures.save import figure_bytes as figure_bytes
    from ketameta.figures.save import save_figure as save_figure
    from ketameta.figures.specification_curve import (
        lay_out_specification_curve as lay_out_specification_curve,
    )

#: Public name -> module that holds it.
_HOMES = {
    "alt_text": "description",
    "draw_evidence_map": "evidence_map",
    "draw_forest": "forest",
    "draw_plot": "frame",
    "figure_bytes": "save",
    "find_parts": "canvas",
    "lay_out_baujat": "baujat",
    "lay_out_bubble": "bubble",
    "lay_out_cumulative": "forest_variants",
    "lay_out_dose_response": "dose_response",
    "lay_out_evidence_map": "evidence_map",
    "lay_out_forest": "layout",
    "lay_out_funnel": "funnel",
    "lay_out_gosh": "gosh",
    "lay_out_harms": "harms",
    "lay_out_leave_one_out": "forest_variants",
    "lay_out_network": "network",
    "lay_out_over_time": "over_time",
    "lay_out_posterior": "posterior",
    "lay_out_specification_curve": "specification_curve",
    "lay_out_risk_of_bias": "risk_of_bias",
    "save_figure": "save",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
