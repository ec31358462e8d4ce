"""Forest plots of an analysis before and after, on one axis, as pictures of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.review.document import Picture

Results = Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]


def forest_pictures(results: Results, name: str) -> Sequence[Picture]:
    """Return the forest plots of one analysis before and after; none where it is not known.

    Where both have something to plot they share the wider of their axes, so that a reader can
    compare them by eye.
    """
    from ketameta.plots import look
    from ketameta.plots.forest_draw import draw
    from ketameta.plots.forest_layout import lay_out
    from ketameta.plots.forest_words import describe_layout
    from ketameta.report.plots import forest_data

    pair = results.get(name)
    if pair is None:
        return ()
    forests = [forest_data(result) for result in pair]
    layouts = [lay_out(forest) for forest in forests]
    axes = [layout.axis for layout in layouts if layout.axis is not None]
    if len(axes) == len(layouts):
        ends = (min(axis.low for axis in axes), max(axis.high for axis in axes))
        layouts = [lay_out(forest, xlim=ends) for forest in forests]
    pictures = []
    with look.detached():
        for moment, layout in zip(("Before", "After"), layouts, strict=True):
            svg = look.file_bytes(draw(layout), "svg", name=f"{name}-{moment}")
            pictures.append(Picture(svg, f"{moment}: {describe_layout(layout)}", moment))
    return tuple(pictures)
