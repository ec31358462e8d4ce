"""A page around a plot: title, axes, notes; words and marks in points; names beside points."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

import numpy as np

from ketameta.formatting import plural
from ketameta.plots import look
from ketameta.plots.scale import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

T = TypeVar("T")
Side = Literal["x", "y"]
#: Where an interval stands, its estimate and its ends.
Row = tuple[float, float | None, float | None, float | None]
NONE, UNUSABLE = "none found", "found, no usable number"
OUTSIDE = "out of scope (not looked for)"
#: What an empty cell of a map means -> (sign, mark in words, beginning of its part, fill)
EMPTY = {
    NONE: ("0", "dashed mark", "empty_", look.PAPER),
    UNUSABLE: ("?", "grey mark", "unusable_", look.BAND),
    OUTSIDE: ("–", "no mark", "", look.PAPER),
}


# --- a page with one plot -------------------------------------------------------------------------


class Shown(Protocol):
    """What a plot shows: typed data with a title, that say themselves in words."""

    @property
    def title(self) -> str:
        """Over the plot."""

    def describe(self) -> str:
        """Return the plot in sentences, in numbers."""


def titled(data: T, title: str | None) -> T:
    """Return data under another title, where one is given."""
    return data if title is None else cast("T", replace(cast("Any", data), title=title))


def page(
    data: Shown,
    ax: Axes | None,
    x: Axis,
    y: Axis,
    *,
    notes: Sequence[str] = (),
    width: float = look.PLOT_WIDTH,
    height: float = 220.0,
    right: float = 0.0,
    top: float = 0.0,
    spare: bool = False,
) -> Axes:
    """Return axes that show ``x`` and ``y``: those given, or a figure with title and notes.

    Their label says what the plot shows, for those who cannot see it. ``width`` is of the figure,
    ``height`` of the plotting area, with ``right`` and ``top`` free around it, in points; ``spare``
    keeps a line for :func:`left_out`.
    """
    edges, under = (0.0, 0.0), 0.0
    if ax is None:
        y_label = look.wrap(y.label, height, look.BODY, most=2)
        gutter = len(y_label) * look.LINE * look.BODY + 5.0
        gutter += look.widest(y.tick_labels, look.SMALL) + 6.0
        under = 8.0 + look.LINE * look.SMALL
        under += look.LINE * look.BODY + 3.0 if x.label else 0.0
        edges = (look.MARGIN + gutter, width - look.MARGIN - 6.0 - right)
        y = replace(y, label="\n".join(y_label))
    ax = sheet(data, ax, edges, height, notes=notes, width=width, top=top, below=under,
               spare=spare)  # fmt: skip
    dress(ax, x, y)
    return ax


def sheet(
    data: Shown,
    ax: Axes | None,
    edges: tuple[float, float],
    height: float,
    *,
    notes: Sequence[str],
    width: float,
    top: float = 0.0,
    below: float = 0.0,
    spare: bool = False,
) -> Axes:
    """Return axes between ``edges`` on a new figure with title and notes, or those given."""
    title = look.clean(data.title)
    if ax is not None:
        ax.set_label(data.describe())
        if title:
            ax.set_title(title, loc="left")
        return ax
    inner = width - 2 * look.MARGIN
    heading = look.wrap(title, inner, look.TITLE, bold=True)
    lines = [
        line for note in notes if note for line in look.wrap(look.clean(note), inner, look.SMALL)
    ]
    head = look.MARGIN + len(heading) * look.LINE * look.TITLE
    head += (5.0 if heading else 0.0) + top
    foot = (len(lines) + spare) * look.LINE * look.SMALL + (5.0 if lines else 0.0)
    total = head + height + below + foot + look.MARGIN
    figure = look.new_figure(width, total)
    low, wide = 1 - (head + height) / total, (edges[1] - edges[0]) / width
    box = (edges[0] / width, low, wide, height / total)
    ax = figure.add_axes(box, label=data.describe())
    pen, y = _page_pen(figure), head + height + below + (5.0 if lines else 0.0)
    pen.paragraph("title", look.MARGIN, look.MARGIN, heading, look.TITLE, bold=True)
    pen.paragraph("footnote", look.MARGIN, y, lines, look.SMALL, colour=look.GREY)
    return ax


def _page_pen(figure: Figure) -> Pen:
    """Return a pen for points of a figure, counted from its upper left corner."""
    from matplotlib.transforms import Affine2D

    points = Affine2D().scale(1, -1).translate(0, 72 * figure.get_size_inches()[1]).scale(1 / 72)
    return Pen(figure, place=points + figure.dpi_scale_trans)


def left_out(ax: Axes, names: Sequence[str]) -> None:
    """Say, in the line that :func:`page` kept free, that names found no room."""
    figure = look.figure_of(ax)
    if names and any(artist.get_gid() == "footnote" for artist in figure.artists):
        y = 72 * figure.get_size_inches()[1] - look.MARGIN - look.LINE * look.SMALL
        words = f"Not named for want of room: {plural(len(names), 'trial')}."
        pen = _page_pen(figure)
        pen.paragraph("footnote", look.MARGIN, y, [words], look.SMALL, colour=look.GREY)


def dress(ax: Axes, x: Axis, y: Axis, **marks: Any) -> None:
    """Give axes ends, scales, ticks that look as ``marks`` say, labels, and no frame far off."""
    from matplotlib.ticker import NullLocator

    for side, axis in (("x", x), ("y", y)):
        if axis.log:
            getattr(ax, f"set_{side}scale")("log")
        ends = (axis.high, axis.low) if axis.reverse else (axis.low, axis.high)
        getattr(ax, f"set_{side}lim")(*ends)
        lines = getattr(ax, f"{side}axis")
        lines.set_minor_locator(NullLocator())
        if axis.ticks:
            lines.set_tick_params(**{"labelsize": look.SMALL, **marks})
            lines.set_ticks([value for value, _ in axis.ticks], list(axis.tick_labels))
        else:
            lines.set_major_locator(NullLocator())
        words = "\n".join(map(look.clean, axis.label.split("\n")))
        getattr(ax, f"set_{side}label")(words, gid="axis_label")
        for label in (*lines.get_ticklabels(), lines.label):
            label.set_parse_math(False)
    if not (y.ticks or y.label):
        ax.yaxis.set_visible(False)
        ax.spines["left"].set_visible(False)
    ax.patch.set_visible(False)
    ax.spines[["top", "right"]].set_visible(False)


def area(
    weight: float | None, heaviest: float, largest: float, smallest: float, unweighted: float
) -> float:
    """Return the area of a mark in proportion to its weight, down to the smallest; from widths."""
    if weight is None or heaviest <= 0:
        return unweighted**2
    return max(largest**2 * weight / heaviest, smallest**2)


def null_line(ax: Axes, value: float, axis: Axis, side: Side) -> None:
    """Draw the line of no effect where the axis holds it."""
    if math.isfinite(value) and axis.side(value) == 0:
        draw = ax.axvline if side == "x" else ax.axhline
        draw(value, color=look.GREY, lw=look.THIN, zorder=1.5, gid="null_line")


def arrows(
    ax: Axes,
    places: Iterable[tuple[float, float, int]],
    side: Side,
    *,
    colour: str = look.INK,
    size: float = 4.2,
) -> None:
    """Draw a head where an interval runs past an end; places are x, y and -1 (low) or 1 (high)."""
    heads = {("x", -1): "<", ("x", 1): ">", ("y", -1): "v", ("y", 1): "^"}
    for direction in (-1, 1):
        here = [(x, y) for x, y, way in places if way == direction]
        if here:
            ax.plot(
                *zip(*here, strict=True), ls="none", marker=heads[side, direction], ms=size,
                color=colour, mew=0, clip_on=False, zorder=4, gid="clip_arrow",
            )  # fmt: skip


def intervals(
    ax: Axes, side: Side, axis: Axis, rows: Iterable[Row], *, part: str, colour: str = look.INK,
    width: float = look.THIN, head: float = 4.2, zorder: float = 2.0, dash: Any = "-",
) -> None:  # fmt: skip
    """Draw intervals along one side, cut at the ends of ``axis``; an arrowhead where they run on.

    A row is a place on the other side, and an estimate, whose mark an arrowhead stands for where
    it is outside, with the ends of its interval, if known.
    """
    from matplotlib.collections import LineCollection

    def place(along: float, at: float) -> tuple[float, float]:
        return (along, at) if side == "x" else (at, along)

    rows = list(rows)
    lines = [
        [place(axis.cut(low), at), place(axis.cut(high), at)]
        for at, _, low, high in rows
        if low is not None and high is not None
    ]
    if lines:
        drawn = LineCollection(
            lines, colors=colour, linewidths=width, zorder=zorder, linestyles=[dash], gid=part,
            capstyle="butt", clip_on=False,
        )  # fmt: skip
        ax.add_collection(drawn, autolim=False)
    ends = {
        (*place(axis.low if way < 0 else axis.high, at), way)
        for at, *values in rows
        for value in values
        if value is not None and (way := axis.side(value))
    }
    arrows(ax, sorted(ends, key=lambda end: end[side == "x"]), side, colour=colour, size=head)


# --- words and marks in points --------------------------------------------------------------------


@cache
def letters(size: float, bold: bool = False, italic: bool = False) -> Any:
    """Return the font of words; the same object each time, as making one takes long."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(
        family=[look.FONT], size=size, weight="bold" if bold else "normal",
        style="italic" if italic else "normal",
    )  # fmt: skip


@cache
def line_of_words() -> type[Text]:
    """Return the artist of one line of words on its baseline, which axes never cut off.

    An SVG anchors words itself, so that :func:`file_bytes` writes them there without measuring
    them, unless they were restyled.
    """
    from matplotlib.text import Text

    class Line(Text):
        def set_clip_path(self, *_: Any, **__: Any) -> None:
            pass

        def draw(self, renderer: Any) -> None:
            tags = getattr(renderer, "writer", None)
            upright = not self.get_rotation() and self.get_verticalalignment() == "baseline"
            effects = self.get_bbox_patch() or self.get_path_effects() or self.get_alpha()
            plain = upright and not effects and "\n" not in self.get_text()
            if not (plain and isinstance(tags, look.Tags)):
                with warnings.catch_warnings():  # all at once are warned of when a plot is made
                    warnings.filterwarnings("ignore", look.NO_GLYPH)
                    super().draw(renderer)
            elif self.get_visible() and self.get_text():
                x, up = self.get_transform().transform(self.get_position())
                style = _style(
                    self.get_fontproperties(), self.get_horizontalalignment(), self.get_color()
                )
                y = renderer.get_canvas_width_height()[1] - up
                tags.words(self.get_gid(), self.get_text(), style, x, y)

    return Line


@cache
def _style(font: FontProperties, align: str, colour: Any) -> str:
    """Return the look of words as attributes of a tag, those that are not plain."""
    from matplotlib.colors import to_hex, to_rgba
    from matplotlib.font_manager import weight_dict

    items = {
        "font-style": font.get_style(),
        "font-variant": font.get_variant(),
        "font-weight": weight_dict.get(str(font.get_weight()), font.get_weight()),
        "font-size": look.short(font.get_size()),
        "font-stretch": font.get_stretch(),
        "text-anchor": {"left": "start", "right": "end", "center": "middle"}[align],
        "fill": to_hex(colour),
        "opacity": look.short(to_rgba(colour)[3]),
    }
    plain = ("normal", 400, "#000000", "1")
    return "".join(f' {what}="{how}"' for what, how in items.items() if how not in plain)


@cache
def _like(align: Any, colour: str) -> Text:
    return line_of_words()(clip_on=False, ha=align, color=colour)


def centred(middle: float, size: float) -> float:
    """Return the baseline that centres capitals and digits of ``size`` on the line ``middle``."""
    return middle + look.CAPITAL * size / 2


class Pen:
    """Writes and marks at places in points of a page (y from the top), on axes of any size."""

    def __init__(self, ax: Any, scale: float = 1.0, place: Any = None) -> None:
        self.ax, self.scale = ax, scale  # axes, or a figure where ``place`` says how it is counted
        self.place = ax.transData if place is None else place

    def text(
        self, part: str, x: float, y: float, words: str, size: float = look.BODY, *,
        align: Any = "left", bold: bool = False, italic: bool = False, colour: str = look.INK,
    ) -> None:  # fmt: skip
        """Write a line whose baseline is at ``y``."""
        line = copy(_like(align, colour))  # which is made in a fifth of the time
        line.set_fontproperties(letters(size * self.scale, bold, italic))
        line.set_position((x, y))
        line.set_text(words)
        line.set_transform(self.place)
        line.set_gid(part)
        self.ax.add_artist(line)

    def block(
        self, part: str, x: float, middle: float, lines: Sequence[str], size: float = look.BODY,
        **how: Any,
    ) -> float:  # fmt: skip
        """Write lines below each other around the line ``middle``; return the last baseline."""
        baseline = middle
        for index, line in enumerate(lines):
            y = middle + (index - (len(lines) - 1) / 2) * look.LINE * size
            baseline = centred(y, size)
            self.text(part, x, baseline, line, size, **how)
        return baseline

    def paragraph(
        self, part: str, x: float, top: float, lines: Sequence[str], size: float = look.BODY,
        **how: Any,
    ) -> float:  # fmt: skip
        """Write lines below each other from ``top`` on, and return where they end."""
        for line in lines:
            self.text(part, x, top + 0.8 * size, line, size, **how)
            top += look.LINE * size
        return top

    def box(self, part: str, left: float, top: float, right: float, low: float, fill: str) -> None:
        """Fill a rectangle."""
        self.polygon(part, [(left, top), (right, top), (right, low), (left, low)], fill, zorder=0.5)

    def polygon(
        self, part: str, points: list[tuple[float, float]], fill: str, *, edge: str = "none",
        zorder: float = 3.0, data: bool = False, clip: bool = False,
    ) -> None:  # fmt: skip
        """Fill a polygon, in points or (``data``) in the units of the axes."""
        from matplotlib.patches import Polygon

        patch = Polygon(
            points, closed=True, facecolor=fill, edgecolor=edge, lw=0.6 * self.scale, gid=part,
            zorder=zorder, joinstyle="miter", clip_on=clip,
            transform=self.ax.transData if data else self.place,
        )  # fmt: skip
        self.ax.add_artist(patch)

    def line(
        self, part: str, points: list[tuple[float, float]], *, width: float = look.THIN,
        colour: str = look.INK, dash: Any = "-", data: bool = False, zorder: float = 1.5,
        round_ends: bool = False,
    ) -> None:  # fmt: skip
        """Draw a line, in points or (``data``) in the units of the axes."""
        from matplotlib.lines import Line2D

        line = Line2D(
            [x for x, _ in points], [y for _, y in points], lw=width * self.scale, color=colour,
            ls=dash, gid=part, zorder=zorder, clip_on=False,
            transform=self.ax.transData if data else self.place,
            dash_capstyle="round" if round_ends else "butt",
        )  # fmt: skip
        self.ax.add_artist(line)

    def marks(
        self, part: str, places: Sequence[tuple[float, float]], sizes: Any, fill: str, edge: str, *,
        width: float = 0.6, dashed: bool = False, marker: str = "o", zorder: float = 3.0,
        data: bool = False,
    ) -> None:  # fmt: skip
        """Draw circles (or other markers) at places, each as wide as ``sizes`` says, in points."""
        from matplotlib.collections import PathCollection
        from matplotlib.markers import MarkerStyle
        from matplotlib.transforms import IdentityTransform

        if places:
            areas = np.ravel((self.scale * np.asarray(sizes)) ** 2)
            shape = MarkerStyle(marker)
            marks = PathCollection(
                [shape.get_path().transformed(shape.get_transform())], areas, offsets=places,
                offset_transform=self.ax.transData if data else self.place, facecolors=fill,
                edgecolors=edge, linewidths=width * self.scale, zorder=zorder, gid=part,
                clip_on=False, linestyles=[(0, (2.0, 2.0))] if dashed else "-",
            )  # fmt: skip
            marks.set_transform(IdentityTransform())
            self.ax.add_collection(marks, autolim=False)

    def lights(self, lights: Sequence[tuple[float, float, str]], size: float = 9.4) -> None:
        """Draw judgements as circles with a sign that needs no colour."""
        for judgement, (sign, fill, ink, _) in look.RISK_OF_BIAS.items():
            here = [(x, y) for x, y, found in lights if found == judgement]
            hollow = judgement == "not_assessed"
            self.marks("not_assessed" if hollow else "light", here, size, fill,
                       look.LIGHT if hollow else look.INK, width=0.5, dashed=hollow)  # fmt: skip
            for x, y in here if sign else ():
                baseline = centred(y, look.SMALL)
                self.text("sign", x, baseline, sign, look.SMALL, align="center", bold=True,
                          colour=ink)  # fmt: skip


def table(data: Shown, ax: Axes | None, width: float, height: float, notes: Sequence[str]) -> Pen:
    """Return a pen for a page of words and marks that is ``width`` by ``height`` points."""
    scale = 1.0
    if ax is not None:
        wide, tall = size_in_points(ax)
        scale = min(wide / width, tall / height)
    ax = sheet(data, ax, (0.0, width), height, notes=notes, width=width)
    ax.set_axis_off()
    ax.set(xlim=(0.0, width), ylim=(height, 0.0))
    return Pen(ax, scale)


# --- names beside points --------------------------------------------------------------------------

#: Right, left, and around, tried in this order; the last number places the baseline.
_AROUND = (
    *((1.0, 0.0, "left"), (-1.0, 0.0, "right"), (0.7, -0.8, "left"), (0.7, 0.8, "left")),
    *((-0.7, -0.8, "right"), (-0.7, 0.8, "right"), (0.0, -1.0, "center"), (0.0, 1.0, "center")),
)
#: A word beside a point, where it stands in points, its alignment and its box.
Name = tuple[str, float, float, str, "Bbox"]


def place_names(
    names: Sequence[tuple[str, float, float, float]],
    bounds: tuple[float, float],
    lines: Sequence[Sequence[tuple[float, float]]] = (),
    size: float = look.SMALL,
) -> list[Name]:
    """Return the names that find room between 2 points and ``bounds``, the first ones first.

    A name has the place and the radius of its marker, in points; names keep off all markers and
    off the lines.
    """
    from matplotlib.path import Path
    from matplotlib.transforms import Bbox

    page, paths = Bbox.from_extents(2.0, 2.0, *bounds), [Path(line) for line in lines]
    placed: list[Name] = []

    def free(box: Bbox) -> bool:
        near = (
            math.hypot(np.clip(x, box.x0, box.x1) - x, np.clip(y, box.y0, box.y1) - y) < radius
            for _, x, y, radius in names
        )
        return (
            all(page.contains(x, y) for x, y in box.corners())
            and not box.count_overlaps([other for *_, other in placed])
            and not any(near)
            and not any(path.intersects_bbox(box.padded(0.0, 1.2), filled=False) for path in paths)
        )

    for text, x, y, radius in names:
        wide = look.text_width(text, size)
        for dx, dy, align in _AROUND:
            at_x, at_y = x + dx * (radius + 2.0), y + dy * (radius + 1.0) + 0.36 * dy * size
            left = at_x - wide * {"left": 0.0, "center": 0.5, "right": 1.0}[align]
            box = Bbox.from_extents(left, at_y - 0.55 * size, left + wide, at_y + 0.55 * size)
            if free(box):
                placed.append((text, at_x, at_y, align, box))
                break
    return placed


def size_in_points(ax: Axes) -> tuple[float, float]:
    """Return width and height of the axes in points."""
    box, per_point = ax.get_window_extent(), look.figure_of(ax).dpi / 72
    return box.width / per_point, box.height / per_point


def point_transform(ax: Axes, left: float = 0.0, scale: float = 1.0) -> Any:
    """Return the transform from points, counted from ``left`` at the axes' lower left corner."""
    from matplotlib.transforms import Affine2D, ScaledTranslation

    corner = ScaledTranslation(0.0, 0.0, cast("Any", ax.transAxes))
    points = Affine2D().translate(-left, 0.0).scale(scale / 72)
    return points + look.figure_of(ax).dpi_scale_trans + corner


def in_points(ax: Axes, places: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return where values of the axes fall, in points from the lower left of the axes."""
    points = list(places)
    if not points:
        return []
    per_point = look.figure_of(ax).dpi / 72
    corner = ax.transAxes.transform((0.0, 0.0))
    found = (ax.transData.transform(points) - corner) / per_point
    return [(float(x), float(y)) for x, y in found]


def write_names(
    ax: Axes,
    names: Sequence[tuple[str, float, float, float]],
    *,
    lines: Sequence[Sequence[tuple[float, float]]] = (),
    colour: str = look.GREY,
) -> list[str]:
    """Write names beside points, off ``lines``, and return those left out for want of room.

    A name has its place in the units of the axes and the radius of its marker in points.
    """
    places = in_points(ax, [(x, y) for _, x, y, _ in names])
    marked = [
        (text, *place, radius)
        for (text, _, _, radius), place in zip(names, places, strict=True)
    ]  # fmt: skip
    wide, tall = size_in_points(ax)
    placed = place_names(marked, (wide, tall + 6.0), [in_points(ax, line) for line in lines])
    points = point_transform(ax)
    for word, x, y, align, _ in placed:
        ax.text(
            x, y, word, ha=align, va="center_baseline", size=look.SMALL,
            color=colour, transform=points, gid="name", zorder=5,
        )  # fmt: skip
    written = {word for word, *_ in placed}
    return [text for text, *_ in names if text not in written]
