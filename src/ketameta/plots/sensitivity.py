"""What the result rests on: Baujat plot, GOSH plot of subsets of trials, specification curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ketameta.errors import UsageError, check_choice
from ketameta.formatting import format_count, format_number, format_percent, plural
from ketameta.plots import look
from ketameta.plots.frame import (
    Row,
    dress,
    intervals,
    left_out,
    null_line,
    page,
    sheet,
    size_in_points,
    titled,
    write_names,
)
from ketameta.plots.look import LINE, MARGIN, SMALL
from ketameta.plots.scale import Axis, Scale, choose_range, finite, make_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 220.0
_AREA = 30.0


@dataclass(frozen=True, slots=True)
class Baujat:
    """Trials as (label, contribution to heterogeneity, influence on the pooled estimate)."""

    trials: tuple[tuple[str, float, float], ...]
    title: str = ""

    def __post_init__(self) -> None:
        if not self.trials:
            raise UsageError("there is no trial with both a contribution and an influence")

    def describe(self) -> str:
        """Return the plot in sentences, in numbers."""
        total = math.fsum(x for _, x, _ in self.trials)
        top = max(self.trials, key=lambda trial: trial[1])
        moved = max(self.trials, key=lambda trial: trial[2])
        share = f", {format_number(100 * top[1] / total, 0)}% of the total" if total > 0 else ""
        return (
            f"Baujat plot{f': {self.title}' if self.title else ''}."
            f" {plural(len(self.trials), 'trial')}."
            f" {top[0]} contributes most to heterogeneity ({format_number(top[1])}{share})."
            f" {moved[0]} has most influence on the pooled estimate ({format_number(moved[2])})."
        )


def baujat_of(result: Any) -> Baujat:
    """Return what the plot shows of ``baujat(fit)``, or of a fit itself."""
    if isinstance(result, Baujat):
        return result
    if not hasattr(result, "heterogeneity"):
        from ketameta.models.diagnostics import influence

        result = influence.baujat(result)
    rows = zip(result.labels, result.heterogeneity, result.influence, strict=True)
    return Baujat(
        tuple(
            (str(label), float(x), float(y))
            for label, x, y in rows
            if finite(x) is not None and finite(y) is not None
        )
    )


@look.themed
def baujat(result: Any, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw a Baujat plot and return its axes.

    Parameters
    ----------
    result : a fitted result, the result of ``baujat``, or Baujat

    Returns
    -------
    Axes
        Parts: ``study``, ``name``. Names are placed for the most extreme trials first, as long as
        they touch nothing; a line says how many are left out.

    References
    ----------
    Baujat, Mahe, Pignon, Hill (2002), Stat. Med. 21(18), 2641-2652.
    """
    found = titled(baujat_of(result), title)
    far_x = max(x for _, x, _ in found.trials) or 1.0
    far_y = max(y for _, _, y in found.trials) or 1.0
    x = make_axis(-0.02 * far_x, 1.12 * far_x, "Contribution to heterogeneity (part of Q)")
    y = make_axis(-0.03 * far_y, 1.08 * far_y, "Influence on the pooled estimate", room=HEIGHT,
                  upright=True)  # fmt: skip
    note = "Right: differs from the other trials. Top: leaving it out moves the pooled estimate."
    ax = page(found, ax, x, y, notes=[note], spare=True, height=HEIGHT)
    ordered = sorted(found.trials, key=lambda t: -math.hypot(t[1] / far_x, t[2] / far_y))
    _, across, up = zip(*ordered, strict=True)
    ax.scatter(across, up, s=_AREA, color=look.BLUE, alpha=0.85, zorder=3, edgecolor=look.NAVY,
               linewidth=0.5, clip_on=False, gid="study")  # fmt: skip
    radius = math.sqrt(_AREA) / 2
    left_out(ax, write_names(ax, [(*trial, radius) for trial in ordered], colour=look.INK))
    return ax


# --- subsets of trials ----------------------------------------------------------------------------


#: Cells of the picture across and down.
CELLS = (72, 48)
MARGIN_PLOT = 34.0
_CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))


@dataclass(frozen=True, slots=True)
class Gosh:
    """Subsets of trials: estimates on the model's scale and I² as a share of one.

    ``with_study`` says which subsets hold the trial ``study``, to set them off in the margins.
    """

    estimates: tuple[float, ...]
    i2: tuple[float, ...]
    scale: Scale = field(default_factory=Scale)
    pooled: float | None = None
    with_study: tuple[bool, ...] = ()
    study: str = ""
    title: str = ""

    def __post_init__(self) -> None:
        count = len(self.estimates)
        if not count or count != len(self.i2):
            raise UsageError(
                f"estimates has {count} values and i2 {len(self.i2)}; give one of each per subset"
            )
        if self.with_study and len(self.with_study) != count:
            raise UsageError(f"with_study has {len(self.with_study)} values, estimates {count}")

    def describe(self) -> str:
        """Return the plot in sentences, in numbers."""
        estimates, i2, flags = shown(self)
        values = np.sort(estimates)
        count = len(values)

        def write(value: float) -> str:
            return self.scale.write(float(value))

        def at(share: float) -> str:
            return write(values[min(count - 1, math.floor(share * count))])

        sentences = [
            f"GOSH plot{f': {self.title}' if self.title else ''}.",
            f"{format_count(count)} subsets of trials; {self.scale.axis_label}.",
            f"Pooled estimates from {write(values[0])} to {write(values[-1])}, the middle 90% from"
            f" {at(0.05)} to {at(0.95)}.",
            f"I² from {format_percent(i2.min())} to {format_percent(i2.max())}.",
        ]
        named, others = np.sort(estimates[flags]), np.sort(estimates[~flags])
        if self.study and len(named) and len(others):
            sentences.append(
                f"Median with {self.study} {write(named[len(named) // 2])}, without it"
                f" {write(others[len(others) // 2])}."
            )
        return " ".join(sentences)


def gosh_of(result: Any, study: str | None = None) -> Gosh:
    """Return what the plot shows of the result of ``gosh``."""
    if isinstance(result, Gosh):
        return result
    look.check_shown(result, "a GOSH plot", "the result of gosh()", "included", "full_estimate")
    flags: tuple[bool, ...] = ()
    if study is not None:
        check_choice("study", study, result.labels)
        flags = tuple(bool(flag) for flag in result.included[:, result.labels.index(study)])
    return Gosh(
        tuple(float(value) for value in result.estimate),
        tuple(float(value) for value in result.i2),
        Scale.of(result),
        result.full_estimate,
        flags,
        study or "",
    )


def shown(found: Gosh) -> tuple[Any, Any, Any]:
    """Return estimates as shown, I² and flags of the subsets that have both numbers."""
    x, y = np.array(found.estimates, dtype=float), np.array(found.i2, dtype=float)
    keep = np.isfinite(x) & np.isfinite(y)
    if not keep.any():
        raise UsageError("there is no subset with both an estimate and an I²")
    flags = np.array(found.with_study or [False] * len(x), dtype=bool)
    return np.array([found.scale.known(value) for value in x[keep]]), y[keep], flags[keep]


def gosh_axes(found: Gosh) -> tuple[Axis, Axis]:
    """Return both axes; all subsets lie inside."""
    values = [value for value in found.estimates if finite(value) is not None]
    pad = 0.03 * (max(values) - min(values)) or 0.5
    scale = found.scale
    ends = scale.known(min(values) - pad), scale.known(max(values) + pad)
    percent = tuple((tick / 5, f"{20 * tick}%") for tick in range(6))
    return (
        make_axis(*ends, scale.axis_label, log=scale.is_ratio, room=300.0),
        Axis(-0.01, 1.0, "I²", ticks=percent),
    )


@look.themed
def gosh(
    result: Any, *, ax: Axes | None = None, study: str | None = None, title: str | None = None
) -> Axes:
    """Draw a GOSH plot as a picture of densities with both margins, and return its axes.

    Parameters
    ----------
    result : the result of ``gosh``, or Gosh
    ax : Axes, optional
    study : str, optional
        Set off the subsets that contain this trial in the margins.
    title : str, optional

    Returns
    -------
    Axes
        Parts: ``cell`` (darker: more subsets, on a logarithmic scale), ``estimate_margin``,
        ``i2_margin``, ``estimate_margin_with``, ``i2_margin_with``, ``null_line``,
        ``pooled_line``.

    References
    ----------
    Olkin, Dahabreh, Trikalinos (2012), Res. Synth. Methods 3(3), 214-223.
    """
    import seaborn as sns
    from matplotlib.collections import PolyCollection

    found = titled(gosh_of(result, study), title)
    x, y = gosh_axes(found)
    estimates, i2, flags = shown(found)
    legend = f"{format_count(len(estimates))} subsets of trials; darker: more subsets"
    legend += " (logarithmic). Dotted line: all trials."
    if found.study:
        legend += f" Orange in the margins: subsets with {found.study}."
    room = MARGIN_PLOT + 4.0
    ax = page(found, ax, x, y, notes=[legend], height=HEIGHT, right=room, top=room)
    bins = [_edges(x, CELLS[0]), _edges(y, CELLS[1])]
    counts, _, _ = np.histogram2d(estimates, i2, bins=bins)
    shade = sns.light_palette("#08306B", as_cmap=True)
    depth = np.log1p(counts) / np.log1p(counts.max())
    # Cells of about one shade are one part; 24 shades cannot be told apart.
    steps = np.ceil(24 * depth).astype(int)
    for step in np.unique(steps[steps > 0]):
        at = np.argwhere(steps == step)[:, None] + _CORNERS
        corners = np.stack([bins[0][at[..., 0]], bins[1][at[..., 1]]], axis=-1).tolist()
        colour = shade(0.12 + 0.88 * step / 24)
        ax.add_collection(
            PolyCollection(corners, facecolors=[colour], lw=0, zorder=1, clip_on=False, gid="cell"),
            autolim=False,
        )
    _margins(ax, bins, estimates, i2, flags)
    marks: list[tuple[str, float, str, Any]] = []
    marks.append(("null_line", found.scale.no_effect, look.GREY, "-"))
    if found.pooled is not None:
        marks.append(("pooled_line", found.scale.known(found.pooled), look.VERMILLION, look.DOTTED))
    for part, value, colour, dash in marks:
        if x.side(value) == 0:
            ax.axvline(value, color=colour, ls=dash, lw=look.MEDIUM, zorder=2, gid=part)
    return ax


def _edges(axis: Axis, count: int) -> Any:
    space = np.geomspace if axis.log else np.linspace
    return space(axis.low, axis.high, count + 1)


def _margins(ax: Axes, bins: list[Any], estimates: Any, i2: Any, flags: Any) -> None:
    """Draw both margins; subsets with the named trial stand over all subsets."""
    width, height = size_in_points(ax)
    gap = 3.0
    above = ax.inset_axes((0.0, 1 + gap / height, 1.0, MARGIN_PLOT / height))
    beside = ax.inset_axes((1 + gap / width, 0.0, MARGIN_PLOT / width, 1.0))
    for inset, part, values, edges, side in (
        (above, "estimate_margin", estimates, bins[0], "vertical"),
        (beside, "i2_margin", i2, bins[1], "horizontal"),
    ):
        inset.set_axis_off()
        if side == "vertical":
            inset.set_xscale(ax.get_xscale())
            inset.set_xlim(ax.get_xlim())
        else:
            inset.set_ylim(ax.get_ylim())
        for suffix, chosen, fill in (
            ("", np.ones_like(flags), "#B8C7D6"),
            ("_with", flags, look.ORANGE),
        ):
            if chosen.any():
                counts, _ = np.histogram(values[chosen], bins=edges)
                inset.stairs(counts, edges, orientation=cast("Any", side), fill=True, color=fill,
                             alpha=0.85, lw=0, gid=part + suffix)  # fmt: skip


# --- combinations of choices ----------------------------------------------------------------------

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


def curve_axis(data: SpecificationCurve) -> Axis:
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
def specification_curve(
    data: SpecificationCurve, *, ax: Axes | None = None, title: str | None = None
) -> Axes:
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
    data = titled(data, title)
    scale, y = data.scale, curve_axis(data)
    columns = data.columns
    inner = look.PAGE_WIDTH - 2 * MARGIN
    names = look.widest([word for _, words in data.choices for word in words], SMALL) + 8.0
    left = MARGIN + min(max(names, 76.0), 0.4 * inner) + 8.0
    edges = (left, look.PAGE_WIDTH - MARGIN - 4.0)
    x = Axis(-0.5, len(columns) - 0.5)
    below = _height(data, edges[1] - MARGIN)
    ax = sheet(data, ax, edges, CURVE, notes=_curve_notes(data), width=look.PAGE_WIDTH, top=10.0,
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
        ax.scatter(
            [rank for rank, _ in here], [scale.known(item.estimate or 0.0) for _, item in here],
            s=dot**2, color=look.INK if side else look.GREY, linewidth=0, zorder=3, clip_on=False,
            gid="estimate",
        )  # fmt: skip
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


def _curve_notes(data: SpecificationCurve) -> list[str]:
    interval = data.scale.interval_words
    few = f"{plural(data.left_out, 'combination')} with fewer than two trials left out."
    return [
        f"Each column is one combination of choices, ordered by its estimate; lines: {interval},"
        " coloured where they exclude no effect; arrowhead: runs past the axis. Blocks below: its"
        " options.",
        data.scale.direction_words,
        few if data.left_out else "",
    ]
