"""Chooses what an axis shows: its range, its ticks and where a value falls. Draws nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

from ketameta.errors import UsageError
from ketameta.figures import style
from ketameta.figures.text import text_width
from ketameta.numberformat import MINUS, format_number

Scale = Literal["linear", "log"]

#: Steps of a linear axis, times a power of ten.
_LINEAR_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
#: Ticks of a logarithmic axis within a decade, from coarse to fine. The third is the one of
#: Cochrane reviews: 0.1, 0.2, 0.5, 1, 2, 5, 10.
_LOG_MANTISSAS: tuple[tuple[float, ...], ...] = (
    (1.0,),
    (1.0, 3.0),
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0),
    tuple(round(1 + step / 10, 1) for step in range(90)),
)
#: An interval may stretch the axis by this many typical (median) half-widths beyond the
#: estimates; what lies further out is cut and marked with an arrow.
STRETCH = 2.6
#: Share of the axis that is kept on either side of no effect.
NULL_SHARE = 0.16


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale with its place on the page.

    Attributes
    ----------
    scale : str
        ``linear`` or ``log``.
    low, high : float
        Ends, in displayed units (ratios, not their logarithms).
    start, stop : float
        Where the ends fall on the page, in points.
    ticks : tuple of float
    tick_labels : tuple of str
    label : str
    """

    scale: Scale
    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[float, ...]
    tick_labels: tuple[str, ...]
    label: str = ""

    def position(self, value: float) -> float:
        """Return where ``value`` falls, in points; also outside the ends."""
        if self.scale == "log":
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def clipped_position(self, value: float) -> tuple[float, int]:
        """Return the position kept inside the axis, and -1, 0 or 1: below, inside, above."""
        if self.scale == "log" and value <= 0:
            return self.start, -1
        if math.isinf(value):
            return (self.stop, 1) if value > 0 else (self.start, -1)
        tolerance = 1e-9 * (self.high - self.low)
        if value < self.low - tolerance:
            return self.start, -1
        if value > self.high + tolerance:
            return self.stop, 1
        return self.position(value), 0

    @property
    def tick_positions(self) -> tuple[float, ...]:
        """Where the ticks fall, in points."""
        return tuple(self.position(tick) for tick in self.ticks)

    def holds(self, value: float) -> bool:
        """Whether ``value`` is inside the axis."""
        return self.clipped_position(value)[1] == 0


def make_axis(
    scale: Scale,
    low: float,
    high: float,
    start: float,
    stop: float,
    *,
    label: str = "",
    size: float = style.SMALL_SIZE,
    most: int = 8,
    vertical: bool = False,
) -> Axis:
    """Return an axis from ``low`` to ``high`` (displayed units) with ticks that do not touch.

    Raises
    ------
    UsageError
        If the range is empty, not finite, or not positive on a logarithmic axis.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
        raise UsageError(f"axis range is {low:g} to {high:g}; give a lower and a higher number")
    if scale == "log" and low <= 0:
        raise UsageError(f"axis range starts at {low:g}; a logarithmic axis starts above 0")
    ticks, labels = (log_ticks if scale == "log" else linear_ticks)(low, high, most)
    axis = Axis(scale, low, high, start, stop, ticks, labels, label)
    while len(axis.ticks) > 3 and _labels_touch(axis, size, vertical) and most > 3:
        most -= 1
        ticks, labels = (log_ticks if scale == "log" else linear_ticks)(low, high, most)
        axis = Axis(scale, low, high, start, stop, ticks, labels, label)
    return axis


def _labels_touch(axis: Axis, size: float, vertical: bool) -> bool:
    if vertical:
        steps = [abs(a - b) for a, b in pairwise(axis.tick_positions)]
        return min(steps, default=math.inf) < 1.5 * size
    right = -math.inf
    for x, label in zip(axis.tick_positions, axis.tick_labels, strict=True):
        half = text_width(label, size) / 2
        if x - half < right + 0.6 * size:
            return True
        right = x + half
    return False


def linear_ticks(
    low: float, high: float, most: int = 8
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return at most ``most`` round ticks inside ``low`` to ``high``, and their labels."""
    magnitude = 10.0 ** math.floor(math.log10((high - low) / max(most, 1)))
    for power in (magnitude, 10 * magnitude, 100 * magnitude):
        for factor in _LINEAR_STEPS:
            step = factor * power
            first = math.ceil(low / step - 1e-9)
            last = math.floor(high / step + 1e-9)
            if last - first + 1 <= most:
                ticks = tuple(index * step for index in range(first, last + 1))
                digits = _step_digits(step)
                return ticks, tuple(_tick_text(tick, digits) for tick in ticks)
    raise AssertionError("a step of 100 times the range leaves at most one tick")


def _tick_text(tick: float, digits: int) -> str:
    return format_number(tick, digits) if tick else "0"


def _step_digits(step: float) -> int:
    for digits in range(13):
        if abs(step - round(step, digits)) < 1e-6 * step:
            return digits
    return 13


def log_ticks(low: float, high: float, most: int = 8) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return at most ``most`` round ticks inside ``low`` to ``high`` (ratios), and their labels.

    The ticks are 0.1, 0.2, 0.5, 1, 2, 5, ... where those give four or more and fit; coarser ones
    (0.1, 0.3, 1, 3; then whole, every second, ... power of ten) where they are too many, finer
    ones where they are fewer than four. A range of less than 1.3-fold, or one that holds fewer than
    two of them, gets evenly spaced ticks.
    """
    if high / low < 1.3:
        return linear_ticks(low, high, most)
    usual = _ticks_of(_LOG_MANTISSAS[2], low, high)
    best = usual
    if len(usual) > most:
        decades = _ticks_of(_LOG_MANTISSAS[0], low, high)
        every = max(1, math.ceil(len(decades) / most))
        best = tuple(tick for tick in decades if round(math.log10(tick)) % every == 0)
        halves = _ticks_of(_LOG_MANTISSAS[1], low, high)
        best = halves if len(halves) <= most else best
    elif len(usual) < 4:
        for mantissas in _LOG_MANTISSAS[3:]:
            finer = _ticks_of(mantissas, low, high)
            if len(finer) > most:
                break
            best = finer
            if len(best) >= 4:
                break
    if len(best) < 2:
        return linear_ticks(low, high, most)
    return best, tuple(_plain_number(tick) for tick in best)


def _ticks_of(mantissas: Sequence[float], low: float, high: float) -> tuple[float, ...]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    values = {
        float(f"{mantissa:g}e{power}") for power in range(first, last + 1) for mantissa in mantissas
    }
    return tuple(
        value for value in sorted(values) if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)
    )


def _plain_number(value: float) -> str:
    """Write a tick without trailing zeros: 0.1, 1, 1,000."""
    text = f"{value:,.12f}".rstrip("0").rstrip(".")
    return (text if float(text.replace(",", "")) else f"{value:g}").replace("-", MINUS)


def choose_range(
    scale: Scale,
    estimates: Sequence[float],
    bounds: Sequence[tuple[float, float]],
    *,
    null: float | None,
    extra: Sequence[float] = (),
    unit: float = 1.0,
) -> tuple[float, float]:
    """Return the ends of an axis that shows every estimate and most of every interval.

    Parameters
    ----------
    scale : {"linear", "log"}
    estimates : sequence of float
        Always inside the range; displayed units.
    bounds : sequence of (float, float)
        Intervals; one that reaches more than ``STRETCH`` median half-widths beyond the estimates
        is cut.
    null : float or None
        No effect; the range keeps ``NULL_SHARE`` of itself on either side of it.
    extra : sequence of float
        Other values that must be inside, such as a minimal important difference.
    unit : float
        Half the range where there is nothing to show: a difference, or a factor's logarithm.

    Returns
    -------
    low, high : float
    """

    def inner(value: float) -> float:
        if scale == "linear":
            return value
        return math.log(value) if value > 0 else -math.inf

    points = [inner(value) for value in [*estimates, *extra] if math.isfinite(inner(value))]
    if null is not None:
        points.append(inner(null))
    if not points:
        points = [0.0]
    low, high = min(points), max(points)
    ends = [(inner(a), inner(b)) for a, b in bounds]
    halves = [(b - a) / 2 for a, b in ends if math.isfinite(b - a) and b > a]
    if halves:
        reach = STRETCH * median(halves)
        reach = max(reach, 0.25 * (high - low))
        inside = [x for pair in ends for x in pair if low - reach <= x <= high + reach]
        low_end, high_end = min([low, *inside]), max([high, *inside])
        # A cut interval still runs the whole allowed way, so that its arrow is far out.
        if any(a < low - reach for a, _ in ends):
            low_end = min(low_end, low - 0.6 * reach)
        if any(b > high + reach for _, b in ends):
            high_end = max(high_end, high + 0.6 * reach)
        low, high = low_end, high_end
    if high - low <= 1e-12 * max(1.0, abs(low)):
        low, high = low - unit, high + unit
    padding = 0.04 * (high - low)
    low, high = low - padding, high + padding
    if null is not None:
        low, high = _keep_null_inside(low, high, inner(null))
    return (low, high) if scale == "linear" else (math.exp(low), math.exp(high))


def _keep_null_inside(low: float, high: float, null: float) -> tuple[float, float]:
    """Widen the range until ``NULL_SHARE`` of it lies on either side of ``null``."""
    ratio = NULL_SHARE / (1 - NULL_SHARE)
    low = min(low, null - ratio * (high - null))
    high = max(high, null + ratio * (null - low))
    return low, high
