"""What a picture is made of: lines, areas and texts in points, each with the name of its part.

A layout turns itself into marks; :mod:`ketameta.figures.canvas` draws them. The origin is the
top left corner of the page and ``y`` grows downwards. Knows no drawing library.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ketameta.figures import style
from ketameta.figures.text import clean_text, text_width, wrap_text

Align = Literal["left", "center", "right"]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """An open line through ``points``; ``dash`` is on and off lengths in points."""

    part: str
    points: tuple[Point, ...]
    width: float = style.THIN
    colour: str = style.INK
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Area:
    """A closed polygon."""

    part: str
    points: tuple[Point, ...]
    fill: str = "none"
    edge: str = "none"
    width: float = style.HAIRLINE
    opacity: float = 1.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Disc:
    """A circle of radius ``radius`` around ``centre``."""

    part: str
    centre: Point
    radius: float
    fill: str = "none"
    edge: str = "none"
    width: float = style.HAIRLINE
    opacity: float = 1.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Cloud:
    """Very many equal dots, drawn as one part."""

    part: str
    points: tuple[Point, ...]
    radius: float
    fill: str
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text whose baseline starts, is centred or ends at ``x``, by ``align``."""

    part: str
    x: float
    baseline: float
    text: str
    size: float = style.BODY_SIZE
    align: Align = "left"
    bold: bool = False
    italic: bool = False
    colour: str = style.INK
    #: Degrees, counter-clockwise, around ``(x, baseline)``.
    rotation: float = 0.0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the text, from the font's own widths (unrotated)."""
        width = text_width(self.text, self.size, bold=self.bold)
        left = self.x - {"left": 0.0, "center": 0.5, "right": 1.0}[self.align] * width
        return (
            left,
            self.baseline - 0.76 * self.size,
            left + width,
            self.baseline + 0.24 * self.size,
        )


Mark = Line | Area | Disc | Cloud | Text


def centred_baseline(middle: float, size: float) -> float:
    """Return the baseline that centres capitals and digits of ``size`` on the line ``middle``."""
    return middle + style.CAP_HEIGHT * size / 2


def rectangle(left: float, top: float, right: float, bottom: float) -> tuple[Point, ...]:
    """Return the corners of a rectangle."""
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def square(x: float, y: float, side: float) -> tuple[Point, ...]:
    """Return the corners of a square centred on ``(x, y)``."""
    half = side / 2
    return rectangle(x - half, y - half, x + half, y + half)


def arrow_head(x: float, y: float, *, direction: int, size: float = 3.2) -> tuple[Point, ...]:
    """Return a triangle with its tip at ``(x, y)``, pointing right (1) or left (-1)."""
    back = x - direction * size
    return ((x, y), (back, y - 0.55 * size), (back, y + 0.55 * size))


def diamond(
    low: float, middle: float, high: float, y: float, half_height: float, left: float, right: float
) -> tuple[Point, ...]:
    """Return the diamond from ``low`` to ``high``, cut at ``left`` and ``right``."""

    def height_at(x: float) -> float:
        if x <= middle:
            share = (x - low) / (middle - low) if middle > low else 1.0
        else:
            share = (high - x) / (high - middle) if high > middle else 1.0
        return half_height * min(max(share, 0.0), 1.0)

    start, stop = max(low, left), min(high, right)
    upper = [(start, y - height_at(start))]
    if start < middle < stop:
        upper.append((middle, y - half_height))
    upper.append((stop, y - height_at(stop)))
    lower = [(x, 2 * y - top) for x, top in reversed(upper)]
    points: list[Point] = []
    for point in [*upper, *lower]:
        if not points or math.dist(points[-1], point) > 1e-9:
            points.append(point)
    return tuple(points)


def text_block(
    part: str,
    lines: tuple[str, ...],
    x: float,
    top: float,
    *,
    size: float = style.SMALL_SIZE,
    align: Align = "left",
    bold: bool = False,
    italic: bool = False,
    colour: str = style.INK,
) -> tuple[Text, ...]:
    """Return lines of text below each other; the first one starts at ``top``."""
    step = style.LINE_SPACING * size
    return tuple(
        Text(part, x, top + index * step + 0.8 * size, line, size, align, bold, italic, colour)
        for index, line in enumerate(lines)
    )


def block_height(lines: int, size: float) -> float:
    """Return the height of ``lines`` lines of text."""
    return lines * style.LINE_SPACING * size


def wrap_notes(notes: Iterable[str], width: float) -> tuple[tuple[str, ...], ...]:
    """Return notes in lines for the foot of a figure, empty ones left out."""
    return tuple(
        wrap_text(clean_text(note), 0.97 * width, style.SMALL_SIZE) for note in notes if note
    )


def footnote_marks(
    notes: Iterable[tuple[str, ...]], left: float, top: float
) -> tuple[list[Text], float]:
    """Return notes in lines below each other, from ``top`` on, and where they end."""
    marks: list[Text] = []
    for lines in notes:
        marks.extend(text_block("footnote", lines, left, top, colour=style.GREY))
        top += block_height(len(lines), style.SMALL_SIZE)
    return marks, top


def diamond_upright(x: float, y: float, half: float) -> tuple[Point, ...]:
    """Return a diamond centred on ``(x, y)`` with equal diagonals."""
    return ((x - half, y), (x, y - half), (x + half, y), (x, y + half))
