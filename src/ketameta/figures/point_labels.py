"""Puts names beside points without touching other names or points. Knows no plot."""

from __future__ import annotations

from collections.abc import Sequence

from ketameta.figures import style
from ketameta.figures.marks import Align, Text
from ketameta.figures.text import text_width

Box = tuple[float, float, float, float]


def label_points(
    part: str,
    names: Sequence[tuple[str, tuple[float, float], float]],
    obstacles: Sequence[tuple[tuple[float, float], float]],
    bounds: Box,
    *,
    size: float = style.SMALL_SIZE,
    colour: str = style.INK,
) -> tuple[Text, ...]:
    """Return one text per name that finds room, tried in the order given.

    Parameters
    ----------
    part : str
    names : sequence of (str, (float, float), float)
        Name, place and marker radius, the most important first.
    obstacles : sequence of ((float, float), float)
        Place and radius of every marker, named or not.
    bounds : (float, float, float, float)
        Left, top, right and bottom inside which names must stay.
    size, colour
        Of the text.
    """
    taken: list[Box] = []
    texts: list[Text] = []
    for name, (x, y), radius in names:
        for dx, dy, align in _PLACES:
            text = Text(
                part,
                x + dx * (radius + 2.0),
                y + dy * (radius + 1.0) + (0.36 + 0.36 * dy) * size,
                name,
                size,
                align,
                colour=colour,
            )
            box = text.box
            if _inside(box, bounds) and not _blocked(box, taken, obstacles):
                taken.append(box)
                texts.append(text)
                break
    return tuple(texts)


_PLACES: tuple[tuple[float, float, Align], ...] = (
    (1.0, 0.0, "left"),
    (-1.0, 0.0, "right"),
    (0.7, -0.8, "left"),
    (0.7, 0.8, "left"),
    (-0.7, -0.8, "right"),
    (-0.7, 0.8, "right"),
    (0.0, -1.0, "center"),
    (0.0, 1.0, "center"),
)


def label_room(names: Sequence[str], size: float = style.SMALL_SIZE) -> float:
    """Return the width of the widest name."""
    return max((text_width(name, size) for name in names), default=0.0)


def _inside(box: Box, bounds: Box) -> bool:
    return (
        box[0] >= bounds[0] and box[1] >= bounds[1] and box[2] <= bounds[2] and box[3] <= bounds[3]
    )


def _blocked(
    box: Box, taken: Sequence[Box], obstacles: Sequence[tuple[tuple[float, float], float]]
) -> bool:
    for other in taken:
        if box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]:
            return True
    for (x, y), radius in obstacles:
        across = min(max(x, box[0]), box[2]) - x
        down = min(max(y, box[1]), box[3]) - y
        if across**2 + down**2 < radius**2:
            return True
    return False
