"""The frame of a plot with two axes: title, axes, ticks, labels and footnotes, placed in points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ketameta.figures import style
from ketameta.figures.axis import Axis, Scale, make_axis
from ketameta.figures.marks import (
    Line,
    Mark,
    Text,
    block_height,
    centred_baseline,
    footnote_marks,
    text_block,
    wrap_notes,
)
from ketameta.figures.text import clean_text, widest, wrap_text
from ketameta.models.results import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TICK = 3.0
_GAP = 3.0


@dataclass(frozen=True, slots=True)
class AxisSpec:
    """What an axis should show, before it has a place.

    Attributes
    ----------
    low, high : float
        Ends in displayed units; ``low`` is drawn at the top where ``reverse`` is set.
    label : str
    scale : str
        ``linear`` or ``log``.
    reverse : bool
    ticks : tuple of (float, str)
        Ticks and their labels, where the round ones are not wanted.
    """

    low: float
    high: float
    label: str
    scale: Scale = "linear"
    reverse: bool = False
    ticks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """A placed frame; ``x`` and ``y`` turn values into points on the page."""

    width: float
    height: float
    title: str
    title_lines: tuple[str, ...]
    subtitle_lines: tuple[str, ...]
    x: Axis
    y: Axis
    y_label_lines: tuple[str, ...]
    footnotes: tuple[tuple[str, ...], ...]
    footnote_top: float

    @property
    def left(self) -> float:
        """Left edge of the plotting area."""
        return min(self.x.start, self.x.stop)

    @property
    def right(self) -> float:
        """Right edge of the plotting area."""
        return max(self.x.start, self.x.stop)

    @property
    def top(self) -> float:
        """Upper edge of the plotting area."""
        return min(self.y.start, self.y.stop)

    @property
    def bottom(self) -> float:
        """Lower edge of the plotting area."""
        return max(self.y.start, self.y.stop)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a pair of values falls, kept inside the plotting area."""
        return self.x.clipped_position(x)[0], self.y.clipped_position(y)[0]


@dataclass(frozen=True, slots=True)
class PlotPoint:
    """A value of the plot with its place on the page; ``area`` is that of its marker."""

    label: str
    x: float
    y: float
    at: tuple[float, float]
    area: float = 0.0
    group: str = ""


@dataclass(frozen=True, slots=True)
class PlotLayout:
    """A laid-out plot as data.

    Attributes
    ----------
    kind : str
        ``funnel``, ``bubble``, ``baujat`` and so on.
    width, height : float
        Size of the page in points.
    title : str
    frame : Frame or None
        Axes and their ticks; None for a plot without axes.
    points : tuple of PlotPoint
        What was given, placed.
    marks : tuple of Mark
        Everything that is drawn, in order, each with the name of its part.
    sentences : tuple of str
        The text alternative.
    """

    kind: str
    width: float
    height: float
    title: str
    frame: Frame | None
    points: tuple[PlotPoint, ...]
    marks: tuple[Mark, ...]
    sentences: tuple[str, ...]

    def describe(self) -> str:
        """Return the figure in sentences, in numbers."""
        return " ".join(self.sentences).replace("\u00a0", " ")

    def marks_of(self, part: str) -> tuple[Mark, ...]:
        """Return the marks of one part, in drawing order."""
        return tuple(mark for mark in self.marks if mark.part == part)

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as JSON-ready Python."""
        return dict(plain(self))


def draw_plot(layout: PlotLayout, *, ax: Axes | None = None) -> Figure:
    """Draw any plot with two axes, or a network.

    Parameters
    ----------
    layout : PlotLayout
    ax : Axes, optional
        Draw into these axes, scaled to fit, instead of a figure of its own.

    Returns
    -------
    Figure
        Its parts are the names of ``layout.marks``; see
        :func:`ketameta.figures.canvas.find_parts`.
    """
    from ketameta.figures.canvas import draw_marks

    return draw_marks(layout.marks, layout.width, layout.height, ax=ax)


def plot_layout(
    kind: str,
    frame: Frame,
    points: Sequence[PlotPoint],
    marks: Sequence[Mark],
    sentences: Sequence[str],
) -> PlotLayout:
    """Return the layout of a plot with two axes."""
    return PlotLayout(
        kind,
        frame.width,
        frame.height,
        frame.title,
        frame,
        tuple(points),
        tuple(marks),
        tuple(sentence for sentence in sentences if sentence),
    )


def make_frame(
    *,
    title: str,
    x: AxisSpec,
    y: AxisSpec,
    subtitle: str = "",
    footnotes: Sequence[str] = (),
    width: float = style.PLOT_WIDTH,
    plot_height: float = 220.0,
    right_room: float = 0.0,
    top_room: float = 0.0,
) -> Frame:
    """Place the axes on a page that has room for titles, tick labels and footnotes.

    Parameters
    ----------
    title, subtitle : str
    x, y : AxisSpec
    footnotes : sequence of str
    width, plot_height : float
        Of the page, and of the plotting area, in points.
    right_room, top_room : float
        Kept free beside and above the plotting area, for margins or labels.
    """
    inner = width - 2 * style.MARGIN
    words = clean_text(title)
    title_lines = wrap_text(words, 0.97 * inner, style.TITLE_SIZE, bold=True)
    subtitle_lines = wrap_text(clean_text(subtitle), 0.97 * inner, style.SMALL_SIZE)
    top = style.MARGIN + block_height(len(title_lines), style.TITLE_SIZE)
    top += block_height(len(subtitle_lines), style.SMALL_SIZE) + 6.0 + top_room
    bottom = top + plot_height
    y_axis = _axis(y, bottom, top, vertical=True)
    y_label_lines = wrap_text(clean_text(y.label), plot_height, style.BODY_SIZE, most=2)
    left = style.MARGIN + block_height(len(y_label_lines), style.BODY_SIZE) + 3.0
    left += widest(y_axis.tick_labels, style.SMALL_SIZE) + _TICK + _GAP
    right = width - style.MARGIN - 6.0 - right_room
    x_axis = _axis(x, left, right)
    after = bottom + _TICK + block_height(1, style.SMALL_SIZE) + 4.0
    after += block_height(1, style.BODY_SIZE) if x_axis.label else 0.0
    notes = wrap_notes(footnotes, inner)
    footnote_top = after + 6.0
    height = footnote_top + block_height(sum(map(len, notes)), style.SMALL_SIZE) + style.MARGIN
    return Frame(
        width,
        height,
        words,
        title_lines,
        subtitle_lines,
        x_axis,
        y_axis,
        y_label_lines,
        notes,
        footnote_top,
    )


def _axis(spec: AxisSpec, start: float, stop: float, *, vertical: bool = False) -> Axis:
    if spec.reverse:
        start, stop = stop, start
    label = clean_text(spec.label)
    axis = make_axis(
        spec.scale, spec.low, spec.high, start, stop, label=label, most=7, vertical=vertical
    )
    if spec.ticks:
        kept = [(tick, text) for tick, text in spec.ticks if axis.holds(tick)]
        values, labels = tuple(tick for tick, _ in kept), tuple(text for _, text in kept)
        axis = replace(axis, ticks=values, tick_labels=labels)
    return axis


def frame_marks(frame: Frame) -> list[Mark]:
    """Return title, axes, ticks, labels and footnotes."""
    left = style.MARGIN
    marks: list[Mark] = list(
        text_block("title", frame.title_lines, left, left, size=style.TITLE_SIZE, bold=True)
    )
    top = left + block_height(len(frame.title_lines), style.TITLE_SIZE)
    marks.extend(text_block("subtitle", frame.subtitle_lines, left, top, colour=style.GREY))
    bottom = frame.bottom
    marks.append(Line("axis", ((frame.left, bottom), (frame.right, bottom))))
    marks.append(Line("axis", ((frame.left, frame.top), (frame.left, bottom))))
    small = style.SMALL_SIZE
    for x, label in zip(frame.x.tick_positions, frame.x.tick_labels, strict=True):
        marks.append(Line("tick", ((x, bottom), (x, bottom + _TICK))))
        marks.append(Text("tick_label", x, bottom + _TICK + 7.2, label, small, "center"))
    edge = frame.left - _TICK
    for y, label in zip(frame.y.tick_positions, frame.y.tick_labels, strict=True):
        marks.append(Line("tick", ((edge, y), (frame.left, y))))
        baseline = centred_baseline(y, small)
        marks.append(Text("tick_label", edge - 1.5, baseline, label, small, "right"))
    if frame.x.label:
        middle = (frame.left + frame.right) / 2
        baseline = bottom + _TICK + block_height(1, small) + 9.5
        marks.append(Text("axis_label", middle, baseline, frame.x.label, align="center"))
    step = style.LINE_SPACING * style.BODY_SIZE
    for index, line in enumerate(frame.y_label_lines):
        x = left + 0.8 * style.BODY_SIZE + index * step
        middle = (frame.top + bottom) / 2
        marks.append(Text("axis_label", x, middle, line, align="center", rotation=90.0))
    marks.extend(footnote_marks(frame.footnotes, left, frame.footnote_top)[0])
    return marks
