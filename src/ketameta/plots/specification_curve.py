"""Specification curve: every combination of choices, ordered by its estimate, above its options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ketameta.errors import UsageError
from ketameta.formatting import format_count, plural
from ketameta.plots import look
from ketameta.plots.frame import Row, dress, intervals, null_line, sheet, size_in_points, titled
from ketameta.plots.look import LINE, MARGIN, SMALL
from ketameta.plots.scale import Axis, Scale, choose_range, make_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "All combinations of choices"
CURVE, _ROW, _GAP, _BREAK = 150.0, 11.0, 5.0, 10.0
#: Side of the interval -> colour; its place beside no effect says the same.
COLOURS = {-1: look.BLUE, 0: look.LIGHT, 1: look.VERMILLION}


@dataclass(frozen=True, slots=True)
class Combination:
    """One combination of choices: its result, and the number of its option in each choice.

    ``side`` is -1, 0 or 1: the interval lies below, around or above no effect.
    """

    estimate: float | None
    low: float | None
    high: float | None
    side: int
    k: int
    options: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SpecificationCurve:
    """Combinations of choices; each choice has a name and the words of its options."""

    combinations: tuple[Combination, ...]
    choices: tuple[tuple[str, tuple[str, ...]], ...]
    main: int | None = None
    scale: Scale = field(default_factory=Scale)
    title: str = TITLE

    def __post_init__(self) -> None:
        if not self.columns:
            raise UsageError("there is no combination with an estimate of two trials or more")

    @property
    def columns(self) -> list[tuple[Combination, bool]]:
        """Combinations of two trials or more in order of their estimates; the main one marked."""
        kept = [
            (item, number == self.main)
            for number, item in enumerate(self.combinations)
            if item.estimate is not None and item.k >= 2
        ]
        return sorted(kept, key=lambda pair: (pair[0].estimate or 0.0, pair[0].low or 0.0))

    @property
    def left_out(self) -> int:
        """Combinations of fewer than two trials."""
        return sum(item.k < 2 for item in self.combinations)

    def ranks(self, choice: int, option: int) -> list[int]:
        """Return the places along the curve that have one option."""
        columns = self.columns
        return [rank for rank, (item, _) in enumerate(columns) if item.options[choice] == option]

    def describe(self) -> str:
        """Return the plot in sentences, in numbers."""
        columns, scale = self.columns, self.scale

        def write(item: Combination) -> str:
            return scale.write(scale.show(item.estimate))

        n = format_count(len(columns))
        decided = format_count(sum(item.side != 0 for item, _ in columns))
        sentences = [
            f"Specification curve: {self.title}.",
            f"{n} combinations of choices; {scale.label}.",
            f"Estimates from {write(columns[0][0])} to {write(columns[-1][0])}.",
            f"The interval excludes no effect in {decided} of {n}.",
        ]
        for rank, (item, main) in enumerate(columns, start=1):
            if main:
                sentences.append(f"The main model, {write(item)}, is number {rank} from below.")
        return " ".join(sentences)


def axis_of(data: SpecificationCurve) -> Axis:
    """Return the axis of effects."""
    scale = data.scale
    columns = [item for item, _ in data.columns]
    ends = choose_range(
        scale,
        [scale.known(item.estimate or 0.0) for item in columns],
        [(scale.show(item.low), scale.show(item.high)) for item in columns],
        null_share=0.08,
    )
    return make_axis(*ends, scale.axis_label, log=scale.is_ratio, room=CURVE, upright=True)


@look.themed
def plot(data: SpecificationCurve, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw the estimates of all combinations and, below, the options of each; return the axes.

    Parameters
    ----------
    data : SpecificationCurve
    ax : Axes, optional
        Takes the curve; the options stand below it.
    title : str, optional

    Returns
    -------
    Axes
        Of the curve, in effect units. Parts: ``null_line``, ``interval`` (coloured where it
        excludes no effect), ``estimate``, ``main`` and ``main_name``, ``band``, ``choice_name``,
        ``option_name``, ``option``.
    """
    import numpy as np
    import seaborn as sns

    data = titled(data, title)
    scale, y = data.scale, axis_of(data)
    columns = data.columns
    inner = look.PAGE_WIDTH - 2 * MARGIN
    names = look.widest([word for _, words in data.choices for word in words], SMALL) + 8.0
    left = MARGIN + min(max(names, 76.0), 0.4 * inner) + 8.0
    edges = (left, look.PAGE_WIDTH - MARGIN - 4.0)
    x = Axis(-0.5, len(columns) - 0.5)
    below = _height(data, edges[1] - MARGIN)
    ax = sheet(data, ax, edges, CURVE, notes=_notes(data), width=look.PAGE_WIDTH, top=10.0,
               below=_BREAK + below)  # fmt: skip
    dress(ax, x, replace(y, label="\n".join(look.wrap(y.label, CURVE, most=2))))
    ax.spines["bottom"].set_visible(False)
    null_line(ax, scale.no_effect, y, "y")
    step = size_in_points(ax)[0] / len(columns)
    dot = min(3.4, 0.9 * step)
    for side, colour in COLOURS.items():
        here = [(rank, item) for rank, (item, _) in enumerate(columns) if item.side == side]
        if not here:
            continue
        rows: list[Row] = [
            (rank, None,  # a result without an end has none on this side
             -math.inf if item.low is None else scale.show(item.low),
             math.inf if item.high is None else scale.show(item.high))
            for rank, item in here
        ]  # fmt: skip
        intervals(ax, "y", y, rows, part="interval", colour=colour, width=min(0.8, 0.6 * dot),
                  head=min(3.6, 0.9 * step))  # fmt: skip
        ranks = np.array([rank for rank, _ in here])
        shown = np.array([scale.known(item.estimate or 0.0) for _, item in here])
        ink = look.INK if side else look.GREY
        sns.scatterplot(x=ranks, y=shown, ax=ax, s=dot**2, color=ink, linewidth=0, zorder=3,
                        legend=False, clip_on=False, gid="estimate")  # fmt: skip
    for rank, (_, main) in enumerate(columns):
        if main:
            ax.axvline(rank, color=look.INK, lw=look.THIN, ls=look.DOTTED, gid="main")
            share = x.share(rank)
            align = "left" if share < 0.1 else "right" if share > 0.9 else "center"
            ax.annotate("main model", (share, 1.0), (0.0, 2.0), xycoords="axes fraction", ha=align,
                        textcoords="offset points", size=SMALL, gid="main_name")  # fmt: skip
    _options(ax, data, x, below, edges, step)
    return ax


def _height(data: SpecificationCurve, room: float) -> float:
    names = [look.clean(name) for name, _ in data.choices]
    lines = sum(len(look.wrap(name, room, SMALL, bold=True, most=2)) for name in names)
    options = sum(len(words) for _, words in data.choices)
    return lines * LINE * SMALL + _ROW * options + _GAP * (len(data.choices) - 1)


def _options(
    ax: Axes,
    data: SpecificationCurve,
    x: Axis,
    height: float,
    edges: tuple[float, float],
    step: float,
) -> None:
    """Draw the options below the curve, grouped by choice; blocks mark who has them."""
    from matplotlib.collections import PolyCollection

    tall = size_in_points(ax)[1]
    own = ax.inset_axes((0.0, -(_BREAK + height) / tall, 1.0, height / tall))
    own.set_axis_off()
    own.set(xlim=(x.low, x.high), ylim=(height, 0.0))
    half = min(4.0, 0.42 * step) / step
    room = edges[1] - MARGIN
    y = 0.0
    blocks: list[list[tuple[float, float]]] = []
    for number, (name, options) in enumerate(data.choices):
        y += _GAP if number else 0.0
        for line in look.wrap(look.clean(name), room, SMALL, bold=True, most=2):
            own.annotate(line, (0.0, 1 - (y + 0.8 * SMALL) / height), (MARGIN - edges[0], 0.0),
                         xycoords="axes fraction", textcoords="offset points", weight="bold",
                         size=SMALL, gid="choice_name", annotation_clip=False)  # fmt: skip
            y += LINE * SMALL
        for option, words in enumerate(options):
            own.axhspan(y + 1.0, y + _ROW - 1.0, color=look.BAND, lw=0, zorder=0, gid="band")
            own.annotate(look.clean(words), (0.0, 1 - (y + _ROW / 2) / height), (-5.0, 0.0),
                         xycoords="axes fraction", textcoords="offset points", ha="right",
                         va="center_baseline", size=SMALL, gid="option_name",
                         annotation_clip=False)  # fmt: skip
            for first, last in runs(data.ranks(number, option)):
                ends, top, low = (first - half, last + half), y + 2.4, y + _ROW - 2.4
                blocks.append([(ends[0], top), (ends[1], top), (ends[1], low), (ends[0], low)])
            y += _ROW
    own.add_collection(
        PolyCollection(blocks, facecolors=look.NAVY, lw=0, zorder=2, clip_on=False, gid="option"),
        autolim=False,
    )


def runs(ranks: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of neighbouring ranks."""
    found: list[tuple[int, int]] = []
    for rank in ranks:
        if found and rank == found[-1][1] + 1:
            found[-1] = (found[-1][0], rank)
        else:
            found.append((rank, rank))
    return found


def _notes(data: SpecificationCurve) -> list[str]:
    interval = data.scale.interval_words
    few = f"{plural(data.left_out, 'combination')} with fewer than two trials left out."
    return [
        f"Each column is one combination of choices, ordered by its estimate; lines: {interval},"
        " coloured where they exclude no effect; arrowhead: runs past the axis. Blocks below: its"
        " options.",
        data.scale.direction_words,
        few if data.left_out else "",
    ]
