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
    from ketameta.figures import alt_text, draw_forest, figure_bytes, lay_out_forest

    pair = results.get(name)
    if pair is None:
        return ()
    layouts = [lay_out_forest(result) for result in pair]
    axes = [layout.axis for layout in layouts if layout.axis is not None]
    if len(axes) == len(layouts):
        ends = (min(axis.low for axis in axes), max(axis.high for axis in axes))
        layouts = [lay_out_forest(result, axis_range=ends) for result in pair]
    return tuple(
        Picture(figure_bytes(draw_forest(layout), "svg"), f"{moment}: {alt_text(layout)}", moment)
        for moment, layout in zip(("Before", "After"), layouts, strict=True)
    )
