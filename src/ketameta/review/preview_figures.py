"""Forest plots of an analysis before and after, as pictures of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.review.document import Picture

Results = Mapping[str, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]]


def forest_pictures(results: Results, name: str) -> Sequence[Picture]:
    """Return the forest plot of one analysis before and after; none where it is not known."""
    pair = results.get(name)
    if pair is None:
        return ()
    return tuple(
        _picture(result, moment)
        for moment, result in zip(("Before", "After"), pair, strict=True)
        if result is not None
    )


def _picture(result: Mapping[str, Any], moment: str) -> Picture:
    from ketameta.figures import alt_text, draw_forest, figure_bytes, lay_out_forest

    layout = lay_out_forest(result)
    figure = draw_forest(layout)
    return Picture(figure_bytes(figure, "svg"), f"{moment}: {alt_text(layout)}", moment)
