"""Effect units on an axis: what is shown of a model's numbers, from where to where, which ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

from ketameta.errors import UsageError
from ketameta.formatting import MINUS, format_number, format_percent, format_ratio
from ketameta.measures import measure_entry
from ketameta.plots import look

Interval = tuple[float | None, float | None]

#: Transformations that an axis shows as they are, or on a logarithmic scale.
PLAIN = ("identity", "log")
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
        Whether the model's scale is the logarithm of what is shown, on a logarithmic axis.
    null : float or None
        No effect, as shown; 1 for ratios and 0 otherwise when not given.
    favours : (str, str)
        What values below and above no effect mean.
    level : float
        Of the intervals.
    measure : str
        Code of the measure.
    has_null : bool
        Whether there is a value of no effect; a proportion or a mean of one group has none.
    back : callable, optional
        From the model's scale to what is shown, where neither is a logarithm (proportions,
        correlations).
    """

    label: str = "Effect"
    is_ratio: bool = False
    null: float | None = None
    favours: tuple[str, str] = ("", "")
    level: float = 0.95
    measure: str = ""
    has_null: bool = True
    back: Callable[[float], float] | None = None

    @classmethod
    def of(cls, result: Any) -> Scale:
        """Return the scale of a fitted result, from the measure and the level it carries."""
        code = str(getattr(result, "measure", None) or "")
        level = getattr(result, "level", None)
        scale = cls(level=0.95 if level is None else float(level), measure=code)
        entry = measure_entry(code)
        if entry is None:
            return replace(scale, label=code or "Effect")
        scale = replace(scale, label=entry.label, has_null=entry.null is not None)
        if entry.transformation in PLAIN:
            return replace(scale, is_ratio=entry.transformation == "log")
        if entry.transformation == "double_arcsine":  # each trial has its own way back
            return replace(scale, label=entry.pooled_label.capitalize())
        return replace(scale, back=lambda value: float(entry.to_reader(value)))

    @property
    def no_effect(self) -> float:
        """No effect, as shown; not a number where there is none."""
        if not self.has_null:
            return math.nan
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
        return self.kind_words([False])

    def kind_words(self, credible: Iterable[bool]) -> str:
        """``95% CI`` or ``95% credible interval``; ``95% interval`` where both kinds are meant."""
        kinds = set(credible)
        kind = "interval" if len(kinds) > 1 else "credible interval" if True in kinds else "CI"
        return f"{format_percent(self.level)} {kind}"

    @property
    def direction_words(self) -> str:
        """One sentence on what lies below and above no effect; empty where it is not known."""
        below, above = self.favours
        return f"Below no effect: {below}; above: {above}." if below and above else ""

    def show(self, value: Any) -> float | None:
        """Return a value of the model as it is shown; None where there is no finite number."""
        number = finite(value)
        if number is not None and self.back is not None:
            return finite(self.back(number))
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

    def estimate_words(self, item: Estimate, *, credible: bool = False) -> str:
        """Return ``0.50 (95% CI 0.30 to 0.80)``."""
        return self.interval(*item.shown(self), credible=credible)

    def interval(
        self, middle: float | None, low: float | None, high: float | None, digits: int = 2,
        *, credible: bool = False,
    ) -> str:  # fmt: skip
        """Return an estimate as shown with its interval in words."""
        if middle is None:
            return "not estimable"
        text = self.write(middle, digits)
        if low is None or high is None:
            return text
        ends = f"{self.write(low, digits)} to {self.write(high, digits)}"
        return f"{text} ({self.kind_words([credible])} {ends})"


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
    """What one axis shows, in the units that are read from it; see :func:`make_axis`."""

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
    whole: bool = False,
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
        ticks = ratio_ticks(low, high, count) if log else round_ticks(low, high, count, whole)
        axis = replace(axis, ticks=tuple(ticks))
        if not _touch(axis, room, upright):
            break
    return axis


def _touch(axis: Axis, room: float, upright: bool) -> bool:
    size, right = look.SMALL, -math.inf
    for value, label in axis.ticks:
        half = 0.5 * size if upright else look.text_width(label, size) / 2
        middle = axis.share(value) * room
        if middle - half < right + 0.5 * size:
            return True
        right = middle + half
    return False


def round_ticks(
    low: float, high: float, most: int = 7, whole: bool = False
) -> list[tuple[float, str]]:
    """Return at most ``most`` round (or whole) values inside the ends with their labels."""
    from matplotlib.ticker import MaxNLocator

    values: list[float] = []
    for bins in range(most - 1, 0, -1):
        found = MaxNLocator(bins, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high)
        slack = 1e-9 * (high - low)
        values = [float(value) for value in found if low - slack <= value <= high + slack]
        if len(values) <= most:
            break
    # Beside an end that is almost, but not, zero matplotlib's steps stay too fine.
    values = values[:: math.ceil(len(values) / most) or 1]
    step = min((b - a for a, b in pairwise(values)), default=1.0)
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
    finer = (_ticks_of(mantissas, low, high) for mantissas in _MANTISSAS[2:])
    fitting = [ticks for ticks in finer if len(ticks) <= most]
    if fitting:
        best = next((ticks for ticks in fitting if len(ticks) >= 4), fitting[-1])
    elif len(best := _ticks_of(_MANTISSAS[1], low, high)) > most:
        decades = _ticks_of(_MANTISSAS[0], low, high)
        every = max(1, math.ceil(len(decades) / most))
        best = [tick for tick in decades if round(math.log10(tick)) % every == 0]
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
#: The few intervals that are drawn whole may not push trials into less than this share, and
#: prediction intervals, which are often far wider, into less than this one.
LEAST_SHARE, LEAST_BESIDE_PREDICTION = 0.08, 0.3


def choose_range(
    scale: Scale,
    estimates: Sequence[float],
    intervals: Iterable[Interval] = (),
    *,
    whole: Iterable[Interval] = (),
    predictions: Iterable[Interval] = (),
    extra: Sequence[float] = (),
    null_share: float | None = 0.16,
    unit: float = 1.0,
) -> tuple[float, float]:
    """Return the ends of an axis that shows the estimates and most of every interval.

    All values are as shown. An estimate far out from the others does not stretch the axis, and
    what intervals reach far beyond the estimates is cut; ``whole`` ones and ``predictions`` are
    drawn whole as long as the trials keep their shares of the axis; ``extra`` values are inside.
    ``null_share`` of the axis is kept on either side of no effect, unless None; ``unit`` is half
    the range where there is nothing to show: a difference, or a factor's logarithm.
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
    null_share = null_share if scale.has_null else None
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
    span, first, last = high - low, low, high
    for found, share in ((few, LEAST_SHARE), (pairs(predictions), LEAST_BESIDE_PREDICTION)):
        room = span * (1 / share - 1) / 2 if points or not few else math.inf
        low = min([low, *(max(a, first - room) for a, _ in found)])
        high = max([high, *(min(b, last + room) for _, b in found)])
    padding = 0.04 * (high - low)
    low, high = low - padding, high + padding
    if null_share is not None:
        null, ratio = inner(scale.no_effect), null_share / (1 - null_share)
        low = min(low, null - ratio * (high - null))
        high = max(high, null + ratio * (null - low))
    if not scale.is_ratio:
        return low, high
    if any(abs(point) >= _LARGEST_LOG - 1e-6 for point in points):
        raise UsageError(
            f"an estimate is beyond {_LARGEST_LOG:g} on the logarithmic scale, and its ratio beyond"
            " every axis; estimates of ratios are natural logarithms: give np.log(ratio)"
        )
    return math.exp(max(low, -_LARGEST_LOG)), math.exp(min(high, _LARGEST_LOG))


def _without_far_out(points: Sequence[float], typical: float) -> list[float]:
    """Return the estimates that an axis must hold."""
    if len(points) < 3:
        return list(points)
    middle = median(points)
    spread = max(typical, 1.4826 * median(abs(x - middle) for x in points))
    return [x for x in points if spread <= 0 or abs(x - middle) <= FAR_OUT * spread]
