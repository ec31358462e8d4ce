"""Effect over time: each trial at its time points, and the pooled effect per class of time."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ketameta.errors import UsageError
from ketameta.formatting import format_count, plural
from ketameta.plots import look
from ketameta.plots.frame import arrows, bar, null_line, page, size_in_points
from ketameta.plots.scale import Axis, Estimate, Scale, choose_range, make_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Ticks of a time axis in days, from hours to a year.
TIME_TICKS = (
    (1 / 24, "1 h"), (2 / 24, "2 h"), (4 / 24, "4 h"), (8 / 24, "8 h"), (1.0, "1 day"),
    (3.0, "3 days"), (7.0, "1 week"), (14.0, "2 weeks"), (28.0, "4 weeks"), (84.0, "12 weeks"),
    (182.0, "26 weeks"), (364.0, "52 weeks"),
)  # fmt: skip
HEIGHT, _NAMES = 230.0, 11.0
#: Between trials at the same time, in points.
ASIDE, MOST_ASIDE = 4.0, 40.0


@dataclass(frozen=True, slots=True)
class AtTime:
    """An estimate at a time."""

    days: float
    value: Estimate


@dataclass(frozen=True, slots=True)
class TimeClass:
    """The pooled estimate of the trials between two times."""

    label: str
    start: float
    end: float
    k: int | None
    value: Estimate


@dataclass(frozen=True, slots=True)
class OverTime:
    """Trials at their times, and pooled estimates of classes of time."""

    trials: tuple[tuple[str, tuple[AtTime, ...]], ...]
    classes: tuple[TimeClass, ...] = ()
    scale: Scale = field(default_factory=Scale)
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not any(points for _, points in self.trials):
            raise UsageError("there is no trial with an estimate")
        for name, points in self.trials:
            for number, at in enumerate(points):
                if not at.days > 0:
                    raise UsageError(
                        f"point {number} of {name}: days is {at.days!r}; a logarithmic time axis"
                        " needs a time above 0"
                    )


def axes_of(data: OverTime) -> tuple[Axis, Axis]:
    """Return both axes; pooled intervals are whole."""
    scale = data.scale
    points = [at for _, members in data.trials for at in members]
    days = [at.days for at in points]
    days += [day for item in data.classes for day in (item.start, item.end)]
    ends = choose_range(
        scale,
        [at.value.shown(scale)[0] for at in points],
        [at.value.shown(scale)[1:] for at in points],
        whole=[item.value.shown(scale)[1:] for item in data.classes],
        null_share=0.05,
    )
    y = make_axis(*ends, scale.axis_label, log=scale.is_ratio, room=HEIGHT, upright=True)
    x = Axis(min(days) / 1.25, max(days) * 1.6, "Time since the first dose", log=True)
    kept: list[tuple[float, str]] = []
    right = -math.inf
    for day, label in TIME_TICKS:  # leave out what would touch the label before
        half = look.text_width(label, look.SMALL) / 2
        middle = x.share(day) * (look.PAGE_WIDTH - 60.0)
        if x.side(day) == 0 and middle - half > right + 4.0:
            kept.append((day, label))
            right = middle + half
    return replace(x, ticks=tuple(kept)), y


def asides(data: OverTime) -> dict[tuple[str, float], float]:
    """Return how far each trial stands beside its time, in points, so that none hides another."""
    found: dict[tuple[str, float], float] = {}
    counts = Counter(at.days for _, points in data.trials for at in points)
    seen: Counter[float] = Counter()
    for name, points in data.trials:
        for at in points:
            step = min(ASIDE, MOST_ASIDE / counts[at.days])
            found[name, at.days] = step * (seen[at.days] - (counts[at.days] - 1) / 2)
            seen[at.days] += 1
    return found


@look.themed
def plot(data: OverTime, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw effects against time since the first dose and return the axes.

    Returns
    -------
    Axes
        Parts: ``class_band``, ``class_name``, ``null_line``, ``trial_line``, ``trial_interval``,
        ``trial_point``, ``pooled_diamond`` (as tall as its interval), ``clip_arrow``.
    """
    scale = data.scale
    x, y = axes_of(data)
    names = 2 * _NAMES + 2.0 if data.classes else 0.0
    ax = page(ax, x, y, title=data.title if title is None else title, notes=_notes(data),
              width=look.PAGE_WIDTH, height=HEIGHT, top=names)  # fmt: skip
    null_line(ax, scale.no_effect, y, "y")
    wide, _ = size_in_points(ax)
    _classes(ax, data, x, wide)
    moved = asides(data)

    def beside(name: str, day: float, more: float = 0.0) -> float:
        share = x.share(day) + (moved.get((name, day), 0.0) + more) / wide
        return float(x.low * (x.high / x.low) ** share)

    for name, points in data.trials:
        ordered = sorted(points, key=lambda at: at.days)
        xs = [beside(name, at.days) for at in ordered]
        ys = [at.value.shown(scale)[0] for at in ordered]
        if len(xs) > 1:
            ax.plot(xs, ys, color=look.SKY, lw=0.8, zorder=1.6, gid="trial_line")
        for place, at in zip(xs, ordered, strict=True):
            _, low, high = at.value.shown(scale)
            if low is not None and high is not None:
                bar(ax, place, low, high, y, colour=look.LIGHT, width=0.7, part="trial_interval",
                    zorder=1.8)  # fmt: skip
        ax.plot(xs, ys, ls="none", marker="o", ms=4.4, color=look.SKY, mec=look.NAVY, mew=0.4,
                zorder=2.4, gid="trial_point")  # fmt: skip
    for item in data.classes:
        # Beside the trials of the class, so that it hides none of them.
        inside = [at.days for _, points in data.trials for at in points
                  if item.start <= at.days <= item.end]  # fmt: skip
        day = max(inside, default=math.sqrt(item.start * item.end))
        reach = max((moved[key] for key in moved if key[1] == day), default=0.0)
        share = min(x.share(day) + (reach + 11.0) / wide, 1.0)
        _diamond(ax, float(x.low * (x.high / x.low) ** share), item, scale, y, wide, x)
    return ax


def _diamond(
    ax: Axes, at: float, item: TimeClass, scale: Scale, y: Axis, wide: float, x: Axis
) -> None:
    """Draw a pooled estimate as forest plots do, upright: as tall as its interval."""
    estimate, low, high = item.value.shown(scale)
    low, high = (estimate if end is None else end for end in (low, high))
    factor = (x.high / x.low) ** (4.6 / wide)
    corners = ([at, at * factor, at, at / factor], [low, estimate, high, estimate])
    cut = y.side(low) or y.side(high)
    for patch in ax.fill(*corners, facecolor=look.NAVY, edgecolor=look.PAPER, lw=0.5, zorder=3,
                         gid="pooled_diamond"):  # fmt: skip
        patch.set_clip_on(bool(cut))
    ends = [(at, y.low, -1)] if y.side(low) < 0 else []
    ends += [(at, y.high, 1)] if y.side(high) > 0 else []
    arrows(ax, ends, "y", colour=look.NAVY, size=5.0)


def class_names(data: OverTime, x: Axis, wide: float) -> list[tuple[str, float, int]]:
    """Return the name of each class, its middle in points, and 0 or 1: lower or upper line."""
    found: list[tuple[str, float, int]] = []
    ends = [-math.inf, -math.inf]
    for item in data.classes:
        count = f" (k\u00a0=\u00a0{format_count(item.k)})" if item.k is not None else ""
        words = f"{look.clean(item.label)}{count}"
        half = look.text_width(words, look.SMALL) / 2
        middle = wide * (x.share(item.start) + x.share(item.end)) / 2
        middle = min(max(middle, half), wide - half)
        line = next((n for n in (0, 1) if middle - half > ends[n] + 5.0), 1)
        middle = max(middle, ends[line] + 5.0 + half)
        ends[line] = middle + half
        found.append((words, middle, line))
    return found


def _classes(ax: Axes, data: OverTime, x: Axis, wide: float) -> None:
    """Draw a band for each class of time, every second one darker, and its name above it."""
    for number, item in enumerate(data.classes):
        ends = (x.cut(item.start), x.cut(item.end))
        fill = look.BAND if number % 2 else "#E4E9EF"
        ax.axvspan(*ends, color=fill, lw=0, zorder=0.2, gid="class_band")
    for words, middle, line in class_names(data, x, wide):
        ax.annotate(
            words, (middle / wide, 1.0), (0.0, 3.0 + line * _NAMES), xycoords="axes fraction",
            textcoords="offset points", ha="center", va="bottom", size=look.SMALL,
            gid="class_name", annotation_clip=False,
        )  # fmt: skip


def _notes(data: OverTime) -> list[str]:
    interval = data.scale.interval_words
    legend = f"Circles: trials, joined where one trial has several times; lines: {interval}."
    legend += " Trials at the same time stand side by side."
    if data.classes:
        legend += " Diamonds: pooled estimates of the bands, those of the forest plot, as tall as"
        legend += f" their {interval}."
    return [legend, data.scale.direction_words, data.note]


def describe(data: OverTime) -> str:
    """Return the plot in sentences, in numbers."""
    count = sum(len(points) for _, points in data.trials)
    sentences = [
        f"Effect over time{f': {data.title}' if data.title else ''}.",
        f"{plural(len(data.trials), 'trial')}, {plural(count, 'time point')};"
        f" {data.scale.axis_label}.",
    ]
    for item in data.classes:
        words = data.scale.estimate_words(item.value)
        trials = f", {plural(item.k, 'trial')}" if item.k is not None else ""
        sentences.append(f"{look.clean(item.label)}: {words}{trials}.")
    return " ".join(sentences)
