"""Draws marks with matplotlib: the only module, with ``save``, that knows a drawing library.

Uses no pyplot and changes no global setting, so figures can be drawn in parallel processes.
Every artist carries the name of its part as ``gid`` (``study_marker-3``).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib import text
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Polygon

from ketameta.errors import UsageError
from ketameta.figures import style
from ketameta.figures.marks import Area, Cloud, Disc, Line, Mark, Text
from ketameta.figures.text import drawn_text, is_drawn

#: Settings under which figures are drawn and saved, whatever the user's own settings are.
_SETTINGS: dict[Any, Any] = {
    "font.family": [style.FONT_FAMILY],
    "svg.fonttype": "path",
    "svg.hashsalt": "ketameta",
    "pdf.fonttype": 42,
    # Hinted letters have other widths at each resolution; unhinted ones have those of the font.
    "text.hinting": "none",
}


@contextmanager
def drawing_settings() -> Iterator[None]:
    """Apply matplotlib's defaults and the figures' settings inside a ``with`` block only."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def draw_marks(
    marks: Iterable[Mark], width: float, height: float, *, ax: Axes | None = None
) -> Figure:
    """Draw ``marks`` on a page of ``width`` by ``height`` points and return the figure.

    Parameters
    ----------
    marks : iterable of Mark
        Drawn in order, later ones on top.
    width, height : float
        Size of the page in points.
    ax : Axes, optional
        Draw into these axes instead of a new figure; everything, text included, is scaled to fit.

    Returns
    -------
    Figure
        Each artist's ``gid`` is the name of its part and a running number.
    """
    with drawing_settings():
        if ax is None:
            figure = Figure(figsize=(width / 72, height / 72), facecolor=style.PAPER)
            ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
            scale = 1.0
        else:
            figure = _root_figure(ax)
            box = ax.get_window_extent()
            per_point = figure.dpi / 72
            scale = min(box.width / width, box.height / height) / per_point
        ax.set_axis_off()
        ax.set_xlim(0, width)
        ax.set_ylim(height, 0)
        ax.set_aspect("equal")
        counts: Counter[str] = Counter()
        for order, mark in enumerate(marks):
            artist = _artist(mark, scale, ax)
            artist.set_gid(f"{mark.part}-{counts[mark.part]}")
            artist.set_zorder(1 + order * 1e-4)
            artist.set_clip_on(False)
            counts[mark.part] += 1
    return figure


def find_parts(figure: Figure, name: str) -> list[Artist]:
    """Return the artists of the part called ``name``, in the order they were drawn.

    Raises
    ------
    UsageError
        If the figure has no such part; the message lists the parts there are.
    """
    found: list[Artist] = []
    names: set[str] = set()
    for artist in figure.findobj():
        part, _, number = (artist.get_gid() or "").rpartition("-")
        if part and number.isdigit():
            names.add(part)
            if part == name:
                found.append(artist)
    if not found:
        raise UsageError(f"name is {name!r}; this figure has the parts {', '.join(sorted(names))}")
    return sorted(found, key=lambda artist: int((artist.get_gid() or "").rpartition("-")[2]))


def _root_figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    if not isinstance(figure, Figure):
        raise UsageError("ax belongs to no figure; pass axes made by figure.add_axes")
    return figure


def _dash(on_off: tuple[float, ...], scale: float, width: float) -> Any:
    """Return a matplotlib line style; lengths there are multiples of the line width."""
    return (0, [length / width for length in on_off]) if on_off else "-"


class _Letters(text.Text):
    """Text with characters that the font lacks: words in an SVG, whose readers have other fonts."""

    def draw(self, renderer: Any) -> None:
        """Draw the words as words where the format knows words, else U+FFFD for what is missing."""
        words = self.get_text()
        is_svg = isinstance(getattr(renderer, "_renderer", renderer), RendererSVG)
        with mpl.rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            if not is_svg:
                self.set_text(drawn_text(words, bold=self.get_fontweight() == "bold"))
            super().draw(renderer)
            self.set_text(words)


def _artist(mark: Mark, scale: float, ax: Axes) -> Artist:
    if isinstance(mark, Text):
        kind = text.Text if is_drawn(mark.text, bold=mark.bold) else _Letters
        letters = kind(
            mark.x,
            mark.baseline,
            mark.text,
            ha=mark.align,
            va="baseline",
            color=mark.colour,
            rotation=mark.rotation,
            rotation_mode="anchor",
            parse_math=False,
            fontproperties=FontProperties(
                family=[style.FONT_FAMILY],
                size=mark.size * scale,
                weight="bold" if mark.bold else "normal",
                style="oblique" if mark.italic else "normal",
            ),
            transform=ax.transData,
        )
        return ax.add_artist(letters)
    if isinstance(mark, Line):
        line = Line2D(
            [x for x, _ in mark.points],
            [y for _, y in mark.points],
            color=mark.colour,
            linewidth=mark.width * scale,
            linestyle=_dash(mark.dash, scale, mark.width),
            solid_capstyle="butt",
            dash_capstyle="butt",
            solid_joinstyle="miter",
        )
        return ax.add_line(line)
    if isinstance(mark, Cloud):
        size = 2 * mark.radius
        dots = EllipseCollection(
            [size],
            [size],
            [0],
            units="xy",
            offsets=list(mark.points),
            offset_transform=ax.transData,
            facecolors=mark.fill,
            edgecolors="none",
            alpha=mark.opacity,
        )
        return ax.add_collection(dots, autolim=False)
    return ax.add_patch(_patch(mark, scale))


def _patch(mark: Area | Disc, scale: float) -> Polygon | Circle:
    look: dict[str, Any] = {
        "facecolor": mark.fill,
        "edgecolor": mark.edge,
        "linewidth": mark.width * scale,
        "linestyle": _dash(mark.dash, scale, mark.width),
        "alpha": None if mark.opacity == 1.0 else mark.opacity,
        "joinstyle": "miter",
    }
    if isinstance(mark, Disc):
        return Circle(mark.centre, mark.radius, **look)
    return Polygon(list(mark.points), closed=True, **look)
