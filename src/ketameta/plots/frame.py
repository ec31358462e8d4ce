"""What plots share: effect units on an axis, a page around it, names beside points, arrows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from ketameta.errors import UsageError
from ketameta.numberformat import (
    MINUS,
    format_number,
    format_percent,
    format_ratio,
    plural,
)
from ketameta.plots import theme
from ketameta.vocabulary import Measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Side = Literal["x", "y"]
Interval = tuple[float | None, float | None]

#: exp() of more than this overflows a double.
_LARGEST_LOG = 709.0


def finite(value: Any) -> float | None:
    """Return ``value`` as a float, or None where there is no finite number."""
    if value is None or isinstance(value, (str, bool)):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


# --- effect units ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scale:
    """In which unit a plot shows effects that are computed on the model's scale.

    Attributes
    ----------
    label : str
        The measure in words, as an axis prints it.
    is_ratio : bool
        Whether the model's scale is the logarithm of what is shown.
    null : float or None
        No effect, as shown; 1 for ratios and 0 otherwise when not given.
    favours : (str, str)
        What values below and above no effect mean.
    level : float
        Of the intervals.
    measure : str
        Code of the measure.
    """

    label: str = "Effect"
    is_ratio: bool = False
    null: float | None = None
    favours: tuple[str, str] = ("", "")
    level: float = 0.95
    measure: str = ""

    @classmethod
    def of(cls, result: Any) -> Scale:
        """Return the scale of a fitted result, from the measure and the level it carries."""
        code = str(getattr(result, "measure", None) or "")
        level = getattr(result, "level", None)
        scale = cls(level=0.95 if level is None else float(level), measure=code)
        if code in Measure.__members__:
            measure = Measure(code)
            return replace(scale, label=measure.label, is_ratio=measure.is_ratio)
        return replace(scale, label=code or "Effect")

    @property
    def no_effect(self) -> float:
        """No effect, as shown."""
        null = finite(self.null)
        if null is None:
            return 1.0 if self.is_ratio else 0.0
        return math.exp(null) if self.is_ratio and null <= 0 else null

    @property
    def axis_label(self) -> str:
        """The words along the axis."""
        return f"{self.label} (log scale)" if self.is_ratio else self.label

    @property
    def interval_words(self) -> str:
        """``95% CI``."""
        return f"{format_percent(self.level)} CI"

    @property
    def direction_words(self) -> str:
        """One sentence on what lies below and above no effect; empty where it is not known."""
        below, above = self.favours
        return f"Below no effect: {below}; above: {above}." if below and above else ""

    def show(self, value: Any) -> float | None:
        """Return a value of the model as it is shown; None where there is no finite number."""
        number = finite(value)
        if number is None or not self.is_ratio:
            return number
        return math.exp(max(-_LARGEST_LOG, min(_LARGEST_LOG, number)))

    def known(self, value: float) -> float:
        """Return a finite value of the model as it is shown."""
        shown = self.show(value)
        return math.nan if shown is None else shown

    def write(self, value: float | None, digits: int = 2) -> str:
        """Write a value as shown; extreme ratios as bounds."""
        return format_ratio(value, digits) if self.is_ratio else format_number(value, digits)

    def estimate_words(self, item: Estimate, digits: int = 2) -> str:
        """Return ``0.50 (95% CI 0.30 to 0.80)``."""
        middle, low, high = item.shown(self)
        text = self.write(middle, digits)
        if low is None or high is None:
            return text
        ends = f"{self.write(low, digits)} to {self.write(high, digits)}"
        return f"{text} ({self.interval_words} {ends})"


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with its interval, on the model's scale."""

    estimate: float
    low: float | None = None
    high: float | None = None

    def shown(self, scale: Scale) -> tuple[float, float | None, float | None]:
        """Return all three as shown."""
        return scale.known(self.estimate), scale.show(self.low), scale.show(self.high)


# --- axes -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Axis:
    """What one axis shows, in the units that are read from it.

    Attributes
    ----------
    low, high : float
    label : str
    log, reverse : bool
    ticks : tuple of (float, str)
        Chosen by :func:`make_axis` unless given.
    """

    low: float
    high: float
    label: str = ""
    log: bool = False
    reverse: bool = False
    ticks: tuple[tuple[float, str], ...] = ()

    @property
    def tick_labels(self) -> tuple[str, ...]:
        """The words at the ticks."""
        return tuple(label for _, label in self.ticks)

    def share(self, value: float) -> float:
        """Return where ``value`` falls between the ends: 0 at ``low``, 1 at ``high``."""
        if self.log:
            if value <= 0:
                return -math.inf
            if math.isinf(value):
                return math.inf
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def side(self, value: float) -> int:
        """Return -1, 0 or 1: below, inside, above."""
        share = self.share(value)
        return -1 if share < -1e-9 else 1 if share > 1 + 1e-9 else 0

    def cut(self, value: float) -> float:
        """Return the value kept between the ends."""
        return min(max(value, self.low), self.high)


def make_axis(
    low: float,
    high: float,
    label: str = "",
    *,
    log: bool = False,
    reverse: bool = False,
    room: float = 400.0,
    most: int = 7,
    upright: bool = False,
) -> Axis:
    """Return an axis with round ticks whose labels do not touch in ``room`` points.

    Raises
    ------
    UsageError
        If the range is empty, not finite, or not positive on a logarithmic axis.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
        raise UsageError(f"axis range is {low:g} to {high:g}; give a lower and a higher number")
    if log and low <= 0:
        raise UsageError(f"axis range starts at {low:g}; a logarithmic axis starts above 0")
    axis = Axis(low, high, label, log, reverse)
    for count in range(most, 2, -1):
        ticks = ratio_ticks(low, high, count) if log else round_ticks(low, high, count)
        axis = replace(axis, ticks=tuple(ticks))
        if not _touch(axis, room, upright):
            break
    return axis


def _touch(axis: Axis, room: float, upright: bool) -> bool:
    size, right = theme.SMALL, -math.inf
    for value, label in axis.ticks:
        half = 0.5 * size if upright else theme.text_width(label, size) / 2
        middle = axis.share(value) * room
        if middle - half < right + 0.5 * size:
            return True
        right = middle + half
    return False


def round_ticks(low: float, high: float, most: int = 7) -> list[tuple[float, str]]:
    """Return at most ``most`` round values inside ``low`` to ``high`` with their labels."""
    from matplotlib.ticker import MaxNLocator

    values: list[float] = []
    for bins in range(most - 1, 0, -1):
        found = MaxNLocator(bins, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        slack = 1e-9 * (high - low)
        values = [float(value) for value in found if low - slack <= value <= high + slack]
        if len(values) <= most:
            break
    step = min((b - a for a, b in zip(values, values[1:], strict=False)), default=1.0)
    digits = next(d for d in range(14) if d == 13 or abs(step - round(step, d)) < 1e-6 * step)
    return [
        (value, format_number(value, digits) if abs(value) > 1e-9 * step else "0")
        for value in values
    ]


#: Ticks of a ratio axis within a decade, from coarse to fine; the third are those of Cochrane
#: reviews: 0.1, 0.2, 0.5, 1, 2, 5, 10.
_MANTISSAS: tuple[tuple[float, ...], ...] = (
    (1.0,),
    (1.0, 3.0),
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0),
    tuple(round(1 + step / 10, 1) for step in range(90)),
)


def ratio_ticks(low: float, high: float, most: int = 7) -> list[tuple[float, str]]:
    """Return at most ``most`` round ratios inside ``low`` to ``high`` with their labels.

    0.1, 0.2, 0.5, 1, 2, 5, ... where they are four or more and fit; coarser where they are too
    many, finer where they are fewer; evenly spaced ones where the range is less than 1.3-fold.
    """
    if high / low < 1.3:
        return round_ticks(low, high, most)
    best = _ticks_of(_MANTISSAS[2], low, high)
    if len(best) > most:
        decades = _ticks_of(_MANTISSAS[0], low, high)
        halves = _ticks_of(_MANTISSAS[1], low, high)
        every = max(1, math.ceil(len(decades) / most))
        sparse = [tick for tick in decades if round(math.log10(tick)) % every == 0]
        best = halves if len(halves) <= most else sparse
    elif len(best) < 4:
        for mantissas in _MANTISSAS[3:]:
            finer = _ticks_of(mantissas, low, high)
            if len(finer) > most:
                break
            best = finer
            if len(best) >= 4:
                break
    if len(best) < 2:
        return round_ticks(low, high, most)
    return [(tick, _plain(tick)) for tick in best]


def _ticks_of(mantissas: Sequence[float], low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = {float(f"{mantissa:g}e{power}") for power in powers for mantissa in mantissas}
    return [value for value in sorted(values) if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def _plain(value: float) -> str:
    """Write a tick without trailing zeros: 0.1, 1, 1,000."""
    text = f"{value:,.12f}".rstrip("0").rstrip(".")
    return (text if float(text.replace(",", "")) else f"{value:g}").replace("-", MINUS)


#: An interval may stretch the axis by so many typical (median) half-widths beyond the estimates;
#: what lies further out is cut and marked with an arrow.
STRETCH = 2.6
#: An estimate further from the median than so many typical deviations (or half-widths) does not
#: squeeze the others; an arrow stands for it.
FAR_OUT = 10.0
#: The few intervals that are drawn whole may not push trials into less than this share.
LEAST_SHARE = 0.25


def choose_range(
    scale: Scale,
    estimates: Sequence[float],
    intervals: Iterable[Interval] = (),
    *,
    whole: Iterable[Interval] = (),
    extra: Sequence[float] = (),
    null_share: float | None = 0.16,
    unit: float = 1.0,
) -> tuple[float, float]:
    """Return the ends of an axis that shows the estimates and most of every interval.

    Parameters
    ----------
    scale : Scale
    estimates : sequence of float
        As shown. One that lies far out from the others does not stretch the axis.
    intervals : iterable of (float, float)
        Of single trials; what reaches far beyond the estimates is cut.
    whole : iterable of (float, float)
        Pooled, group and prediction intervals: drawn whole, as long as the trials keep
        ``LEAST_SHARE`` of the axis.
    extra : sequence of float
        Other values that must be inside, such as a minimal important difference.
    null_share : float or None
        Share of the axis kept on either side of no effect; None where it need not be inside.
    unit : float
        Half the range where there is nothing to show: a difference, or a factor's logarithm.
    """

    def inner(value: float) -> float:
        if not scale.is_ratio:
            return value
        return math.log(value) if value > 0 else -math.inf

    def pairs(given: Iterable[Interval]) -> list[tuple[float, float]]:
        known = [(inner(a), inner(b)) for a, b in given if a is not None and b is not None]
        return [(a, b) for a, b in known if math.isfinite(b - a)]

    ends, few = pairs(intervals), pairs(whole)
    halves = [(b - a) / 2 for a, b in ends if b > a]
    points = [inner(value) for value in estimates if math.isfinite(inner(value))]
    typical = median(halves) if halves else 0.0
    core = _without_far_out(points, typical) or [a for pair in few for a in pair]
    core += [inner(value) for value in extra if math.isfinite(inner(value))]
    if null_share is not None:
        core.append(inner(scale.no_effect))
    core = core or [0.0]
    low, high = min(core), max(core)
    if halves:
        reach = max(STRETCH * typical, 0.25 * (high - low))
        inside = [x for pair in ends for x in pair if low - reach <= x <= high + reach]
        # A cut interval still runs some way, so that its arrow is far out.
        far = [low - 0.6 * reach for a, _ in ends if a < low - reach]
        far += [high + 0.6 * reach for _, b in ends if b > high + reach]
        low, high = min([low, *inside, *far]), max([high, *inside, *far])
    if high - low <= 1e-12 * max(1.0, abs(low)):
        low, high = low - unit, high + unit
    room = (high - low) * (1 / LEAST_SHARE - 1)
    if not points and few:
        room = math.inf
    low = min([low, *(max(a, low - room) for a, _ in few)])
    high = max([high, *(min(b, high + room) for _, b in few)])
    padding = 0.04 * (high - low)
    low, high = low - padding, high + padding
    if null_share is not None:
        null, ratio = inner(scale.no_effect), null_share / (1 - null_share)
        low = min(low, null - ratio * (high - null))
        high = max(high, null + ratio * (null - low))
    return (math.exp(low), math.exp(high)) if scale.is_ratio else (low, high)


def _without_far_out(points: Sequence[float], typical: float) -> list[float]:
    """Return the estimates that an axis must hold."""
    if len(points) < 3:
        return list(points)
    middle = median(points)
    spread = max(typical, 1.4826 * median(abs(x - middle) for x in points))
    return [x for x in points if spread <= 0 or abs(x - middle) <= FAR_OUT * spread]


# --- a page with one plot -------------------------------------------------------------------------


def page(
    ax: Axes | None,
    x: Axis,
    y: Axis,
    *,
    title: str = "",
    notes: Sequence[str] = (),
    width: float = theme.PLOT_WIDTH,
    height: float = 220.0,
    right: float = 0.0,
    top: float = 0.0,
    spare: bool = False,
) -> Axes:
    """Return axes that show ``x`` and ``y``: those given, or a figure with title and notes.

    Parameters
    ----------
    ax : Axes or None
        Given axes take the title above them and no notes.
    x, y : Axis
    title : str
    notes : sequence of str
        Sentences under the plot; empty ones are left out.
    width, height : float
        Of the whole figure, and of the plotting area, in points.
    right, top : float
        Room kept free around the plotting area, for names or margins.
    spare : bool
        Keep one more line free for :func:`left_out`.
    """
    if ax is None:
        y_label = theme.wrap(y.label, height, theme.BODY, most=2)
        gutter = len(y_label) * theme.LINE * theme.BODY + 5.0
        gutter += theme.widest(y.tick_labels, theme.SMALL) + 6.0
        under = 8.0 + theme.LINE * theme.SMALL
        under += theme.LINE * theme.BODY + 3.0 if x.label else 0.0
        ax = sheet(
            (theme.MARGIN + gutter, width - theme.MARGIN - 6.0 - right),
            height,
            title=title,
            notes=notes,
            width=width,
            top=top,
            below=under,
            spare=spare,
        )
        y = replace(y, label="\n".join(y_label))
    elif title:
        ax.set_title(theme.clean(title), loc="left")
    dress(ax, x, y)
    return ax


def sheet(
    edges: tuple[float, float],
    height: float,
    *,
    title: str,
    notes: Sequence[str],
    width: float,
    top: float = 0.0,
    below: float = 0.0,
    spare: bool = False,
) -> Axes:
    """Return axes between ``edges`` on a new figure with title and notes around them."""
    inner = width - 2 * theme.MARGIN
    heading = theme.wrap(theme.clean(title), inner, theme.TITLE, bold=True)
    lines = [
        line for note in notes if note for line in theme.wrap(theme.clean(note), inner, theme.SMALL)
    ]
    head = theme.MARGIN + len(heading) * theme.LINE * theme.TITLE
    head += (5.0 if heading else 0.0) + top
    foot = (len(lines) + spare) * theme.LINE * theme.SMALL + (5.0 if lines else 0.0)
    total = head + height + below + foot + theme.MARGIN
    figure = theme.new_figure(width, total)
    box = (
        edges[0] / width,
        1 - (head + height) / total,
        (edges[1] - edges[0]) / width,
        height / total,
    )
    ax = figure.add_axes(box)
    y = theme.MARGIN
    for line in heading:
        _write(figure, y, line, theme.TITLE, "title", weight="bold")
        y += theme.LINE * theme.TITLE
    y = head + height + below + (5.0 if lines else 0.0)
    for line in lines:
        _write(figure, y, line, theme.SMALL, "footnote", color=theme.GREY)
        y += theme.LINE * theme.SMALL
    return ax


def _write(figure: Figure, y: float, line: str, size: float, part: str, **look: Any) -> None:
    """Write a line of text whose top is ``y`` points below the upper edge of the page."""
    width, height = (72 * length for length in figure.get_size_inches())
    place = theme.MARGIN / width, 1 - (y + 0.8 * size) / height
    figure.text(*place, line, size=size, gid=part, **look)


def left_out(ax: Axes, names: Sequence[str]) -> None:
    """Say, in the line that :func:`page` kept free, that names found no room."""
    figure = theme.figure_of(ax)
    if names and any(text.get_gid() == "footnote" for text in figure.texts):
        y = 72 * figure.get_size_inches()[1] - theme.MARGIN - theme.LINE * theme.SMALL
        words = f"Not named for want of room: {plural(len(names), 'trial')}."
        _write(figure, y, words, theme.SMALL, "footnote", color=theme.GREY)


def dress(ax: Axes, x: Axis, y: Axis) -> None:
    """Give axes their ends, scales, ticks and labels, and no frame on the far sides."""
    from matplotlib.ticker import NullLocator
    from seaborn import despine

    for side, axis in (("x", x), ("y", y)):
        if axis.log:
            getattr(ax, f"set_{side}scale")("log")
        ends = (axis.high, axis.low) if axis.reverse else (axis.low, axis.high)
        getattr(ax, f"set_{side}lim")(*ends)
        lines = getattr(ax, f"{side}axis")
        lines.set_minor_locator(NullLocator())
        lines.set_ticks([value for value, _ in axis.ticks], list(axis.tick_labels))
        getattr(ax, f"set_{side}label")(theme.clean_lines(axis.label), gid="axis_label")
        for label in (*lines.get_ticklabels(), lines.label):
            label.set_parse_math(False)
    ax.tick_params(labelsize=theme.SMALL)
    ax.patch.set_visible(False)
    despine(ax=ax)


def null_line(ax: Axes, value: float, axis: Axis, side: Side) -> None:
    """Draw the line of no effect where the axis holds it."""
    if axis.side(value) == 0:
        draw = ax.axvline if side == "x" else ax.axhline
        draw(value, color=theme.GREY, lw=theme.THIN, zorder=1.5, gid="null_line")


def arrows(
    ax: Axes,
    places: Iterable[tuple[float, float, int]],
    side: Side,
    *,
    colour: str = theme.INK,
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


def bar(
    ax: Axes,
    x: float,
    low: float,
    high: float,
    axis: Axis,
    *,
    colour: str,
    width: float,
    part: str,
    zorder: float = 2.0,
) -> None:
    """Draw an upright interval at ``x``, cut at the ends of ``axis`` with an arrow."""
    ends = axis.cut(low), axis.cut(high)
    ax.plot([x, x], ends, color=colour, lw=width, zorder=zorder, gid=part, solid_capstyle="butt")
    cut = [(x, axis.low, -1)] if axis.side(low) < 0 else []
    cut += [(x, axis.high, 1)] if axis.side(high) > 0 else []
    arrows(ax, cut, "y", colour=colour, size=3.0 + width)


# --- words and marks in points --------------------------------------------------------------------


def centred(middle: float, size: float) -> float:
    """Return the baseline that centres capitals and digits of ``size`` on the line ``middle``."""
    return middle + theme.CAPITAL * size / 2


class Pen:
    """Writes and marks at places in points of a page (y from the top), on axes of any size."""

    def __init__(self, ax: Axes, scale: float = 1.0, place: Any = None) -> None:
        self.ax, self.scale = ax, scale
        self.place = ax.transData if place is None else place

    def text(
        self, part: str, x: float, y: float, words: str, size: float = theme.BODY, *,
        align: str = "left", bold: bool = False, italic: bool = False, colour: str = theme.INK,
    ) -> None:  # fmt: skip
        self.ax.text(
            x, y, words, transform=self.place, ha=align, va="baseline", size=size * self.scale,
            weight="bold" if bold else "normal", style="italic" if italic else "normal",
            color=colour, gid=part,
        )  # fmt: skip

    def box(self, part: str, left: float, top: float, right: float, low: float, fill: str) -> None:
        self.polygon(part, [(left, top), (right, top), (right, low), (left, low)], fill, zorder=0.5)

    def polygon(
        self, part: str, points: list[tuple[float, float]], fill: str, *, edge: str = "none",
        zorder: float = 3.0, data: bool = False, clip: bool = False,
    ) -> None:  # fmt: skip
        from matplotlib.patches import Polygon

        patch = Polygon(
            points, closed=True, facecolor=fill, edgecolor=edge, lw=0.6 * self.scale, gid=part,
            zorder=zorder, joinstyle="miter", clip_on=clip,
            transform=self.ax.transData if data else self.place,
        )  # fmt: skip
        self.ax.add_artist(patch)
        patch.set_clip_on(clip)

    def line(
        self, part: str, points: list[tuple[float, float]], *, width: float = theme.THIN,
        colour: str = theme.INK, dash: Any = "-", data: bool = False, zorder: float = 1.5,
    ) -> None:  # fmt: skip
        from matplotlib.lines import Line2D

        line = Line2D(
            [x for x, _ in points], [y for _, y in points], lw=width * self.scale, color=colour,
            ls=dash, gid=part, zorder=zorder, clip_on=False,
            transform=self.ax.transData if data else self.place,
        )  # fmt: skip
        self.ax.add_artist(line)
        line.set_clip_on(False)

    def lights(self, lights: Sequence[tuple[float, float, str]], size: float = 9.4) -> None:
        """Draw judgements as circles with a sign that needs no colour."""
        for judgement, (sign, fill, ink, _) in theme.RISK_OF_BIAS.items():
            here = [(x, y) for x, y, found in lights if found == judgement]
            if not here:
                continue
            hollow = judgement == "not_assessed"
            self.ax.scatter(
                *zip(*here, strict=True), s=(size * self.scale) ** 2, c=fill, clip_on=False,
                edgecolors=theme.LIGHT if hollow else theme.INK, linewidths=0.5 * self.scale,
                linestyles=[(0, (2.0, 2.0))] if hollow else "-", transform=self.place, zorder=3.0,
                gid="not_assessed" if hollow else "light",
            )  # fmt: skip
            for x, y in here if sign else ():
                baseline = centred(y, theme.SMALL)
                self.text("sign", x, baseline, sign, theme.SMALL, align="center", bold=True,
                          colour=ink)  # fmt: skip


def table(
    ax: Axes | None, width: float, height: float, *, title: str, notes: Sequence[str]
) -> Pen:
    """Return a pen for a page of words and marks that is ``width`` by ``height`` points."""
    scale = 1.0
    if ax is None:
        ax = sheet((0.0, width), height, title=title, notes=notes, width=width)
    else:
        ax.set_title(theme.clean(title), loc="left")
        box, per_point = ax.get_window_extent(), theme.figure_of(ax).dpi / 72
        scale = min(box.width / width, box.height / height) / per_point
    ax.set_axis_off()
    ax.set(xlim=(0.0, width), ylim=(height, 0.0))
    return Pen(ax, scale)


# --- names beside points --------------------------------------------------------------------------

Box = tuple[float, float, float, float]
#: Right, left, and around, tried in this order; the last number places the baseline.
_AROUND = (
    *((1.0, 0.0, "left"), (-1.0, 0.0, "right"), (0.7, -0.8, "left"), (0.7, 0.8, "left")),
    *((-0.7, -0.8, "right"), (-0.7, 0.8, "right"), (0.0, -1.0, "center"), (0.0, 1.0, "center")),
)


@dataclass(frozen=True, slots=True)
class Name:
    """A word beside a point; where it stands is in points from the lower left of the axes."""

    text: str
    x: float
    y: float
    align: str
    box: Box


def place_names(
    names: Sequence[tuple[str, float, float, float]],
    obstacles: Sequence[tuple[float, float, float]],
    bounds: Box,
    *,
    size: float = theme.SMALL,
) -> list[Name]:
    """Return the names that find room, the first ones first.

    Parameters
    ----------
    names : sequence of (str, float, float, float)
        Name, place and radius of the marker, in points, the most important first.
    obstacles : sequence of (float, float, float)
        Place and radius of what must stay visible.
    bounds : (float, float, float, float)
        Left, bottom, right, top.
    """
    placed: list[Name] = []
    for text, x, y, radius in names:
        wide = theme.text_width(text, size)
        for dx, dy, align in _AROUND:
            at_x, at_y = x + dx * (radius + 2.0), y + dy * (radius + 1.0) + 0.36 * dy * size
            left = at_x - wide * {"left": 0.0, "center": 0.5, "right": 1.0}[align]
            box = (left, at_y - 0.55 * size, left + wide, at_y + 0.55 * size)
            inside = (
                box[0] >= bounds[0] and box[1] >= bounds[1]
                and box[2] <= bounds[2] and box[3] <= bounds[3]
            )  # fmt: skip
            if inside and not any(_meet(box, other.box) for other in placed):
                if not any(_near(box, *obstacle) for obstacle in obstacles):
                    placed.append(Name(text, at_x, at_y, align, box))
                    break
    return placed


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _near(box: Box, x: float, y: float, radius: float) -> bool:
    across, up = min(max(x, box[0]), box[2]) - x, min(max(y, box[1]), box[3]) - y
    return across**2 + up**2 < radius**2


def in_points(ax: Axes, places: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return where values of the axes fall, in points from the lower left of the axes."""
    points = list(places)
    if not points:
        return []
    per_point = theme.figure_of(ax).dpi / 72
    corner = ax.transAxes.transform((0.0, 0.0))
    found = (ax.transData.transform(points) - corner) / per_point
    return [(float(x), float(y)) for x, y in found]


def write_names(
    ax: Axes,
    names: Sequence[tuple[str, float, float, float]],
    *,
    lines: Sequence[Sequence[tuple[float, float]]] = (),
    colour: str = theme.GREY,
) -> list[str]:
    """Write names beside points and return those left out for want of room.

    Parameters
    ----------
    ax : Axes
    names : sequence of (str, float, float, float)
        Name, place in the units of the axes, and radius of the marker in points.
    lines : sequence of sequences of (float, float)
        Lines that names keep off, in the units of the axes.
    """
    from matplotlib.transforms import Affine2D, ScaledTranslation

    figure = theme.figure_of(ax)
    places = in_points(ax, [(x, y) for _, x, y, _ in names])
    marked = [
        (text, *place, radius)
        for (text, _, _, radius), place in zip(names, places, strict=True)
    ]  # fmt: skip
    obstacles = [(x, y, radius) for _, x, y, radius in marked]
    for line in lines:
        obstacles += _beads(in_points(ax, line))
    box = ax.get_window_extent()
    per_point = figure.dpi / 72
    bounds = (2.0, 2.0, box.width / per_point, box.height / per_point + 6.0)
    placed = place_names(marked, obstacles, bounds)
    corner = ScaledTranslation(0.0, 0.0, ax.transAxes)
    points = Affine2D().scale(1 / 72) + figure.dpi_scale_trans + corner
    for name in placed:
        ax.text(
            name.x, name.y, name.text, ha=name.align, va="center_baseline", size=theme.SMALL,
            color=colour, transform=points, gid="name", zorder=5,
        )  # fmt: skip
    written = {name.text for name in placed}
    return [text for text, *_ in names if text not in written]


def _beads(path: Sequence[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """Return small obstacles along a line."""
    beads: list[tuple[float, float, float]] = []
    for (x0, y0), (x1, y1) in zip(path, path[1:], strict=False):
        count = max(1, math.ceil(math.dist((x0, y0), (x1, y1)) / 3.0))
        beads += [
            (x0 + i / count * (x1 - x0), y0 + i / count * (y1 - y0), 1.5) for i in range(count + 1)
        ]
    return beads
