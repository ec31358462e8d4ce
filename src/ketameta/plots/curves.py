"""Effects along time or dose, each trial at its places; densities of a mean, prior to posterior."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ketameta.errors import UsageError
from ketameta.formatting import format_count, format_percent, plural, trials_words
from ketameta.plots import look
from ketameta.plots.frame import arrows, intervals, null_line, page, size_in_points, titled
from ketameta.plots.scale import Axis, Estimate, Scale, choose_range, make_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ketameta.models.dose import DoseResponse as DoseResponseFit

#: Ticks of a time axis in days, from hours to a year.
TIME_TICKS = (
    (1 / 24, "1 h"), (2 / 24, "2 h"), (4 / 24, "4 h"), (8 / 24, "8 h"), (1.0, "1 day"),
    (3.0, "3 days"), (7.0, "1 week"), (14.0, "2 weeks"), (28.0, "4 weeks"), (84.0, "12 weeks"),
    (182.0, "26 weeks"), (364.0, "52 weeks"),
)  # fmt: skip
HEIGHT, _NAMES, _KEY_STEP = 230.0, 11.0, 11.0
#: Between trials at the same place, in points; and the most that a place may spread.
ASIDE, MOST_ASIDE = 6.0, 40.0


@dataclass(frozen=True, slots=True)
class At:
    """An estimate at a time in days, or at a dose."""

    place: float
    value: Estimate


def axis_of(scale: Scale, points: Iterable[At], whole: Iterable[Estimate]) -> Axis:
    """Return the axis of effects: what is pooled or fitted is whole, trials may be cut."""
    shown = [at.value.shown(scale) for at in points]
    ends = choose_range(scale, [y for y, _, _ in shown], [(a, b) for _, a, b in shown],
                        whole=[value.shown(scale)[1:] for value in whole],
                        null_share=0.05)  # fmt: skip
    return make_axis(*ends, scale.axis_label, log=scale.is_ratio, room=HEIGHT, upright=True)


def asides(trials: Mapping[str, Sequence[At]]) -> dict[tuple[str, float], float]:
    """Return how far each trial stands beside its place, in points, so that none hides another."""
    found: dict[tuple[str, float], float] = {}
    counts = Counter(at.place for points in trials.values() for at in points)
    seen: Counter[float] = Counter()
    for name, points in trials.items():
        for at in points:
            step = min(ASIDE, MOST_ASIDE / counts[at.place])
            found[name, at.place] = step * (seen[at.place] - (counts[at.place] - 1) / 2)
            seen[at.place] += 1
    return found


def beside(axis: Axis, wide: float, place: float, points: float) -> float:
    """Return the value that many points to the right of a place, on an axis ``wide`` points."""
    share = axis.share(place) + points / wide
    if axis.log:
        return float(axis.low * (axis.high / axis.low) ** share)
    return axis.low + share * (axis.high - axis.low)


def _trial(
    ax: Axes, xs: Sequence[float], points: Sequence[At], scale: Scale, y: Axis, *,
    line: Mapping[str, Any], colour: str, **mark: Any,
) -> list[Any]:  # fmt: skip
    """Draw one trial: its intervals, its points, and a line that joins them; return the points."""
    shown = [at.value.shown(scale) for at in points]
    ys = [middle for middle, _, _ in shown]
    if len(xs) > 1:
        ax.plot(xs, ys, gid="trial_line", **line)
    rows = [(x, *values) for x, values in zip(xs, shown, strict=True)]
    intervals(ax, "y", y, rows, part="trial_interval", colour=colour, width=0.8, zorder=1.8)
    inside = [(x, at) for x, at in zip(xs, ys, strict=True) if y.side(at) == 0]
    return ax.plot(
        [x for x, _ in inside], [at for _, at in inside], ls="none", clip_on=False,
        gid="trial_point", **mark,
    )  # fmt: skip


# --- over time ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TimeClass:
    """The pooled estimate of the trials between two times."""

    label: str
    start: float
    end: float
    k: int | None
    value: Estimate
    credible: bool = False


@dataclass(frozen=True, slots=True)
class OverTime:
    """Trials at their times in days, and pooled estimates of classes of time."""

    trials: tuple[tuple[str, tuple[At, ...]], ...]
    classes: tuple[TimeClass, ...] = ()
    scale: Scale = field(default_factory=Scale)
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not any(points for _, points in self.trials):
            raise UsageError("there is no trial with an estimate")
        for name, points in self.trials:
            for number, at in enumerate(points):
                if not at.place > 0:
                    raise UsageError(
                        f"point {number} of {name}: days is {at.place!r}; a logarithmic time"
                        " axis needs a time above 0"
                    )

    def describe(self) -> str:
        """Return the plot in sentences, in numbers."""
        count = sum(len(points) for _, points in self.trials)
        sentences = [
            f"Effect over time{f': {self.title}' if self.title else ''}.",
            f"{plural(len(self.trials), 'trial')}, {plural(count, 'time point')};"
            f" {self.scale.axis_label}.",
        ]
        for item in self.classes:
            words = self.scale.estimate_words(item.value, credible=item.credible)
            trials = f", {plural(item.k, 'trial')}" if item.k is not None else ""
            sentences.append(f"{look.clean(item.label)}: {words}{trials}.")
        return " ".join(sentences)


def time_axes(data: OverTime) -> tuple[Axis, Axis]:
    """Return both axes; pooled intervals are whole."""
    points = [at for _, members in data.trials for at in members]
    days = [at.place for at in points]
    first = 0.6 * min(days)
    days += [max(day, first) for item in data.classes for day in (item.start, item.end)]
    y = axis_of(data.scale, points, [item.value for item in data.classes])
    x = Axis(min(days) / 1.1, max(days) * 1.25, "Time since the first dose", log=True)
    kept: list[tuple[float, str]] = []
    right = -math.inf
    for day, label in TIME_TICKS:  # leave out what would touch the label before
        half = look.text_width(label, look.SMALL) / 2
        middle = x.share(day) * (look.PAGE_WIDTH - 60.0)
        if x.side(day) == 0 and middle - half > right + 4.0:
            kept.append((day, label))
            right = middle + half
    return replace(x, ticks=tuple(kept)), y


@look.themed
def over_time(data: OverTime, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw effects against time since the first dose and return the axes.

    Returns
    -------
    Axes
        Parts: ``class_band``, ``class_name``, ``null_line``, ``trial_line``, ``trial_interval``,
        ``trial_point``, ``pooled_estimate``, ``pooled_interval``, ``clip_arrow``.
    """
    scale = data.scale
    x, y = time_axes(data)
    names = 2 * _NAMES + 2.0 if data.classes else 0.0
    ax = page(titled(data, title), ax, x, y, notes=_time_notes(data), width=look.PAGE_WIDTH,
              height=HEIGHT, top=names)  # fmt: skip
    null_line(ax, scale.no_effect, y, "y")
    wide, _ = size_in_points(ax)
    _classes(ax, data, x, wide)
    trials = {name: sorted(points, key=lambda at: at.place) for name, points in data.trials}
    moved = asides(trials)
    for name, points in trials.items():
        xs = [beside(x, wide, at.place, moved[name, at.place]) for at in points]
        _trial(ax, xs, points, scale, y, line={"color": look.SKY, "lw": 0.8, "zorder": 1.6},
               colour=look.LIGHT, marker="o", ms=4.4, color=look.SKY, mec=look.NAVY, mew=0.4,
               zorder=2.4)  # fmt: skip
    for item in data.classes:
        _pool(ax, y, (x.cut(item.start), x.cut(item.end)), item.value.shown(scale))
    return ax


def _pool(
    ax: Axes, y: Axis, ends: tuple[float, float], shown: tuple[float, float | None, float | None]
) -> None:
    """Draw a pooled estimate across its band: a line in the box of its interval."""
    estimate, low, high = shown
    if low is not None and high is not None:
        ax.fill_between(ends, y.cut(low), y.cut(high), color=look.NAVY, alpha=0.16, lw=0,
                        zorder=1.2, gid="pooled_interval")  # fmt: skip
        middle = math.sqrt(ends[0] * ends[1])
        arrows(ax, [(middle, y.cut(end), y.side(end)) for end in (low, high) if y.side(end)], "y",
               colour=look.NAVY, size=5.0)  # fmt: skip
    if y.side(estimate) == 0:
        ax.plot(ends, [estimate, estimate], color=look.NAVY, lw=1.8, zorder=1.4,
                gid="pooled_estimate")  # fmt: skip


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


def _time_notes(data: OverTime) -> list[str]:
    interval = data.scale.interval_words
    legend = f"Circles: trials, joined where one trial has several times; lines: {interval};"
    legend += " arrowhead: runs past the axis. Trials at the same time stand side by side."
    if data.classes:
        legend += " Dark line and box: pooled estimate of the trials in a band, that of the forest"
        kind = data.scale.kind_words(item.credible for item in data.classes)
        legend += f" plot, with its {kind}."
    return [legend, data.scale.direction_words, data.note]


# --- over doses -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DoseResponse:
    """Trials (name and estimate at a dose), the declared curve and another one beside it."""

    trials: tuple[tuple[str, At], ...]
    curve: tuple[At, ...] = ()
    other: tuple[At, ...] = ()
    curve_words: str = "fitted curve"
    other_words: str = "another curve"
    unit: str = ""
    at_doses: tuple[At, ...] = ()
    scale: Scale = field(default_factory=Scale)
    title: str = ""
    note: str = ""
    #: How many of the trials are reports that pool several.
    pools: int = 0

    def __post_init__(self) -> None:
        if not self.trials:
            raise UsageError("there is no trial with an estimate")
        for position, (name, at) in enumerate(self.trials):
            if not at.place >= 0:
                raise UsageError(
                    f"trials[{position}] ({name}): dose is {at.place!r}; a dose is 0 or more"
                )

    @property
    def by_trial(self) -> dict[str, list[At]]:
        """The points of each trial, by dose."""
        found: dict[str, list[At]] = {}
        for name, at in self.trials:
            found.setdefault(name, []).append(at)
        return {name: sorted(points, key=lambda at: at.place) for name, points in found.items()}

    def describe(self) -> str:
        """Return the plot in sentences, in numbers."""
        count = plural(len(self.trials), "contrast")
        sentences = [
            f"Dose-response plot{f': {self.title}' if self.title else ''}.",
            f"{trials_words(len(self.by_trial), self.pools)}, {count} of a dose with control;"
            f" {self.scale.axis_label}.",
        ]
        for at in self.at_doses:
            words = self.scale.estimate_words(at.value)
            sentences.append(f"At {at.place:g} {self.unit} the curve is at {words}.")
        return " ".join(sentences)


def dose_axes(data: DoseResponse) -> tuple[Axis, Axis]:
    """Return both axes: a tick at no dose and at each dose given, when they are few."""
    y = axis_of(data.scale, [at for _, at in data.trials], [at.value for at in data.curve])
    doses = sorted({at.place for _, at in data.trials})
    label = f"Dose ({data.unit})" if data.unit else "Dose"
    x = make_axis(0.0, 1.1 * (doses[-1] or 1.0), label)
    if len(doses) <= 8:
        marked = (0.0, *(dose for dose in doses if dose > 0))
        x = Axis(x.low, x.high, label, ticks=tuple((dose, f"{dose:g}") for dose in marked))
    return x, y


def _of_fit(fit: Any) -> DoseResponse:
    """Return the contrasts of a fit and its curve against their one control dose."""
    from ketameta.models.intervals import critical_value

    look.check_shown(fit, "a dose-response plot", "a fit of dose_response()", "dose_control")
    controls = sorted(set(fit.dose_control.tolist()))
    if len(controls) > 1:
        raise UsageError(
            f"controls have several doses ({', '.join(f'{dose:g}' for dose in controls)}), so that"
            " effects stand on no common curve; draw fit.predict(doses)"
        )
    half = critical_value(fit.level, None) * np.sqrt(fit.variances)
    values = map(Estimate, fit.estimates, fit.estimates - half, fit.estimates + half)
    trials = zip(fit.study, map(At, fit.dose.tolist(), values), strict=True)
    ends = [*controls, *fit.dose.tolist()]
    curve = fit.predict(np.linspace(min(ends), max(ends), 61), controls[0])
    along = map(Estimate, curve.estimate, curve.ci_low, curve.ci_high)
    shape = "a line" if fit.transformation == "linear" else "a restricted cubic spline"
    return DoseResponse(tuple(trials), tuple(map(At, curve.dose.tolist(), along)),
                        curve_words=shape, scale=Scale.of(fit))  # fmt: skip


@look.themed
def dose_response(
    data: DoseResponse | DoseResponseFit, *, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draw effects against dose with the fitted curve and return the axes.

    Parameters
    ----------
    data : DoseResponse or a fit of ``ketameta.dose_response``
        A fit whose controls all have one dose.
    ax : Axes, optional
    title : str, optional

    Returns
    -------
    Axes
        Parts: ``null_line``, ``band``, ``curve``, ``other_curve``, ``trial_line``,
        ``trial_interval``, ``trial_point``, ``clip_arrow``, ``key_name``.
    """
    data = data if isinstance(data, DoseResponse) else _of_fit(data)
    scale, trials = data.scale, data.by_trial
    x, y = dose_axes(data)
    key = look.widest(trials, look.SMALL) + 22.0
    tall = max(HEIGHT, 12.0 + _KEY_STEP * len(trials))
    ax = page(titled(data, title), ax, x, y, notes=_dose_notes(data), width=look.PAGE_WIDTH,
              height=tall, right=key)  # fmt: skip
    null_line(ax, scale.no_effect, y, "y")
    for part, points in (("curve", data.curve), ("other_curve", data.other)):
        if points:
            doses = [at.place for at in points]
            middle, low, high = zip(*(at.value.shown(scale) for at in points), strict=True)
            if part == "curve" and None not in low:
                ax.fill_between(doses, low, high, color="#D5EDFA", lw=0, zorder=0.5, gid="band")
            dash, width = ("-", 1.8) if part == "curve" else (look.DASHED, 1.2)
            ax.plot(doses, middle, color=look.NAVY, lw=width, ls=dash, zorder=1.7, gid=part)
    wide, _ = size_in_points(ax)
    moved, handles = asides(trials), []
    for index, (name, found) in enumerate(trials.items()):
        colour = look.PALETTE[index % len(look.PALETTE)]
        handles += _trial(
            ax, [beside(x, wide, at.place, moved[name, at.place]) for at in found], found, scale,
            y, line={"color": colour, "lw": 0.7, "ls": look.DOTTED, "zorder": 2}, colour=colour,
            marker="os^Dv"[index % 5], ms=4.8, color=colour, mec=look.PAPER,
            mew=0.4, zorder=3, label=name,
        )  # fmt: skip
    legend = ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False,
                       fontsize=look.SMALL, handlelength=0.8, borderaxespad=0.3)  # fmt: skip
    for text in legend.get_texts():
        text.set_gid("key_name")
    return ax


def _dose_notes(data: DoseResponse) -> list[str]:
    interval = data.scale.interval_words
    trials = f"Points: trials at each dose against control, with {interval}; doses of one trial are"
    trials += " joined; arrowhead: runs past the axis. Trials at the same dose stand side by side."
    curve = ""
    if data.curve:
        curve = f"Line and band: {data.curve_words} with {interval}"
        curve += f"; dashed: {data.other_words}." if data.other else "."
    return [trials, curve, data.scale.direction_words, data.note]


# --- densities ------------------------------------------------------------------------------------

#: Curve -> words, colour, dash, in drawing order.
CURVES: tuple[tuple[str, str, str, Any], ...] = (
    ("prior", "Prior", look.GREY, look.DASHED),
    ("predictive", "A new trial", look.VERMILLION, (0, (5.0, 1.6, 1.0, 1.6))),
    ("posterior", "Posterior", look.BLUE, "-"),
)
_LOW = 170.0


@dataclass(frozen=True, slots=True)
class Posterior:
    """Densities over an increasing grid of one parameter, on the model's scale."""

    grid: tuple[float, ...]
    posterior: tuple[float, ...]
    prior: tuple[float, ...] = ()
    predictive: tuple[float, ...] = ()
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    below_null: float | None = None
    scale: Scale = field(default_factory=Scale)
    title: str = ""

    def __post_init__(self) -> None:
        if len(self.grid) < 2 or not self.posterior:
            raise UsageError("a posterior needs a grid of at least two values and its densities")
        for name, *_ in CURVES:
            values = getattr(self, name)
            if values and len(values) != len(self.grid):
                raise UsageError(f"{name} has {len(values)} values, grid has {len(self.grid)}")

    @property
    def curves(self) -> dict[str, tuple[float, ...]]:
        """The densities that are given, by name."""
        return {name: getattr(self, name) for name, *_ in CURVES if getattr(self, name)}

    def describe(self) -> str:
        """Return the plot in sentences, in numbers."""
        scale = self.scale
        sentences = [
            f"Prior and posterior densities{f': {self.title}' if self.title else ''}.",
            f"{scale.axis_label}.",
        ]
        if self.estimate is not None:
            at = Estimate(self.estimate, self.low, self.high)
            sentences.append(f"Posterior median {scale.estimate_words(at, credible=True)}.")
        if self.below_null is not None:
            null = scale.write(scale.no_effect, 0)
            share = format_percent(self.below_null)
            sentences.append(f"Probability of a value below {null}: {share}.")
        return " ".join(sentences)


def posterior_of(result: Any) -> Posterior:
    """Return what the plot shows of the result of ``bayes_random_effects``."""
    if isinstance(result, Posterior):
        return result
    from ketameta.models.bayes.normal import posterior_curves

    curves = posterior_curves(result)
    return Posterior(
        tuple(curves.effect.tolist()),
        tuple(curves.mean_posterior.tolist()),
        () if curves.mean_prior is None else tuple(curves.mean_prior.tolist()),
        predictive=tuple(curves.new_effect.tolist()),
        estimate=result.estimate,
        low=result.ci_low,
        high=result.ci_high,
        below_null=result.p_mean_below_zero,
        scale=Scale.of(result),
    )


@look.themed
def posterior(result: Any, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw densities before and after the trials and return the axes.

    Parameters
    ----------
    result : the result of ``bayes_random_effects``, or Posterior

    Returns
    -------
    Axes
        Parts: ``credible_area``, ``curve_posterior`` and so on, ``curve_name``,
        ``estimate_line``, ``null_line``.
    """
    found = titled(posterior_of(result), title)
    scale = found.scale
    grid = np.array([scale.known(value) for value in found.grid])
    tallest = max(max(values) for values in found.curves.values())
    x = make_axis(grid[0], grid[-1], scale.axis_label, log=scale.is_ratio, room=330.0)
    y = make_axis(0.0, 1.06 * tallest, "Density", room=_LOW, upright=True)
    level = format_percent(scale.level)
    shaded = found.low is not None and found.high is not None
    note = f"Shaded: {level} credible interval." if shaded else ""
    ax = page(found, ax, x, y, notes=[note], height=_LOW)
    density = np.array(found.posterior)
    if shaded:
        low, high = scale.known(found.low or 0.0), scale.known(found.high or 0.0)
        inside = np.unique(np.clip(np.append(grid, [low, high]), low, high))
        ax.fill_between(inside, np.interp(inside, grid, density), color="#CFE2F0", lw=0,
                        zorder=0.5, gid="credible_area")  # fmt: skip
    null_line(ax, scale.no_effect, x, "x")
    if found.estimate is not None and x.side(scale.known(found.estimate)) == 0:
        middle = scale.known(found.estimate)
        ax.plot([middle, middle], [0.0, np.interp(middle, grid, density)], color=look.NAVY,
                lw=look.THIN, ls=look.DOTTED, gid="estimate_line")  # fmt: skip
    for name, words, colour, dash in CURVES:
        if name in found.curves:
            ax.plot(grid, found.curves[name], color=colour, ls=dash, lw=1.4, label=words,
                    gid=f"curve_{name}")  # fmt: skip
    free = "upper left" if int(np.argmax(density)) > len(grid) / 2 else "upper right"
    key = ax.legend(loc=cast("Any", free), frameon=False, fontsize=look.SMALL, handlelength=2.2,
                    reverse=True)  # fmt: skip
    for text in key.get_texts():
        text.set_gid("curve_name")
    return ax
