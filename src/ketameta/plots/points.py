"""Trials as points: funnel plots of effect against standard error, bubbles against a moderator."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.errors import UsageError, check_choice
from ketameta.formatting import format_number, format_percent, format_significant, plural
from ketameta.plots import look
from ketameta.plots.frame import area, left_out, null_line, page, titled, write_names
from ketameta.plots.scale import Axis, Scale, choose_range, make_axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

#: Two-sided p-values at the edges of the contours, their normal quantiles, and the fill outside.
CONTOURS = (
    (0.10, 1.6448536269514722, "#EAEFF4"),
    (0.05, 1.959963984540054, "#D8E1EA"),
    (0.01, 2.5758293035489004, "#C2CFDC"),
)
#: Small-study tests and their plot need at least this many trials.
TRIALS_NEEDED = 10
HEIGHT = 220.0


@dataclass(frozen=True, slots=True)
class Funnel:
    """What a funnel plot shows; estimates on the model's scale.

    Attributes
    ----------
    labels : tuple of str
    estimates, ses : tuple of float
        A standard error is above 0.
    scale : Scale
    pooled : float or None
    filled : tuple of (float, float)
        Estimate and standard error of the trials that trim-and-fill added.
    title : str
    """

    labels: tuple[str, ...]
    estimates: tuple[float, ...]
    ses: tuple[float, ...]
    scale: Scale = field(default_factory=Scale)
    pooled: float | None = None
    filled: tuple[tuple[float, float], ...] = ()
    title: str = ""

    def __post_init__(self) -> None:
        if not self.estimates:
            raise UsageError("there is no trial; a funnel plot needs at least one")
        for position, (label, se) in enumerate(zip(self.labels, self.ses, strict=True)):
            if not se > 0:
                raise UsageError(
                    f"ses[{position}] ({label}) is {se!r}; a standard error is above 0"
                )

    def describe(self) -> str:
        """Return the plot in sentences, in numbers."""
        k, scale = len(self.estimates), self.scale
        sentences = [
            f"Funnel plot{f': {self.title}' if self.title else ''}.",
            f"{plural(k, 'trial')}; {scale.label}.",
            f"Standard errors from {format_number(min(self.ses))} to"
            f" {format_number(max(self.ses))}.",
        ]
        if self.pooled is not None:
            below = sum(estimate < self.pooled for estimate in self.estimates)
            middle = scale.write(scale.show(self.pooled))
            sentences.append(f"{below} of {k} estimates lie below the pooled estimate of {middle}.")
        if self.filled:
            sentences.append(f"Trim-and-fill added {plural(len(self.filled), 'trial')}.")
        if k < TRIALS_NEEDED:
            sentences.append("Too few trials to judge asymmetry.")
        return " ".join(sentences)


def funnel_of(result: Any) -> Funnel:
    """Return what a funnel plot shows of a fit, or of ``trim_and_fill``."""
    if isinstance(result, Funnel):
        return result
    filled: tuple[tuple[float, float], ...] = ()
    fit, count = result, getattr(result, "k", 0)
    if hasattr(result, "filled_estimates"):
        fit = result.adjusted
        filled = tuple(
            (float(y), float(v) ** 0.5)
            for y, v in zip(result.filled_estimates, result.filled_variances, strict=True)
        )
    if not all(hasattr(fit, name) for name in ("estimates", "variances", "labels")):
        raise UsageError(
            f"a funnel plot needs the estimates of trials; {type(result).__name__} holds none"
        )
    pooled = getattr(result, "unadjusted", result.estimate)
    return Funnel(
        tuple(str(label) for label in fit.labels[:count]),
        tuple(float(y) for y in fit.estimates[:count]),
        tuple(float(v) ** 0.5 for v in fit.variances[:count]),
        Scale.of(fit),
        float(pooled) if np.ndim(pooled) == 0 else None,
        filled,
    )


def funnel_axes(funnel: Funnel) -> tuple[Axis, Axis]:
    """Return both axes: the room that trials, pseudo limits and no effect need, and no more."""
    scale, null = funnel.scale, model_null(funnel.scale)
    points = [*funnel.estimates, *(y for y, _ in funnel.filled)]
    deepest = 1.06 * max([*funnel.ses, *(se for _, se in funnel.filled)])
    needed = points if null is None else [null, *points]
    middle = null if funnel.pooled is None else funnel.pooled
    if middle is not None:
        needed += [middle + sign * CONTOURS[1][1] * deepest for sign in (-1, 1)]
    pad = 0.04 * (max(needed) - min(needed))
    ends = scale.known(min(needed) - pad), scale.known(max(needed) + pad)
    return (
        make_axis(*ends, scale.axis_label, log=scale.is_ratio, room=340.0),
        make_axis(0.0, deepest, "Standard error", reverse=True, room=HEIGHT, upright=True),
    )


def model_null(scale: Scale) -> float | None:
    """Return no effect on the model's scale; None where there is none."""
    if not scale.has_null:
        return None
    return float(np.log(scale.no_effect)) if scale.is_ratio else scale.no_effect


@look.themed
def funnel(
    result: Any, *, ax: Axes | None = None, contours: bool = True, title: str | None = None
) -> Axes:
    """Draw a funnel plot and return its axes; both are in units that can be read off.

    Parameters
    ----------
    result : a fitted result, the result of ``trim_and_fill``, or Funnel
    ax : Axes, optional
    contours : bool
        Shade where single trials would be significant against no effect.
    title : str, optional

    Returns
    -------
    Axes
        Parts: ``contour``, ``null_line``, ``pooled_line``, ``pseudo_limit``, ``study``,
        ``filled_study``.

    References
    ----------
    Peters, Sutton, Jones, Abrams, Rushton (2008), J. Clin. Epidemiol. 61(10), 991-996.
    """
    if contours not in (True, False):
        raise UsageError(f"contours is {contours!r}; give True or False")
    data = titled(funnel_of(result), title)
    scale = data.scale
    x, y = funnel_axes(data)
    ax = page(data, ax, x, y, notes=_funnel_notes(data, contours), height=HEIGHT)
    # Two depths make straight lines; other scales than plain ones and ratios bend them.
    se = np.linspace(0.0, y.high, 2 if scale.back is None else 60)
    show = np.vectorize(scale.known)
    edges = [quantile for _, quantile, _ in CONTOURS]
    null = model_null(scale)
    if contours and null is not None:
        for (_, quantile, fill), further in zip(CONTOURS, [*edges[1:], None], strict=True):
            for sign, end in ((-1, x.low), (1, x.high)):
                near = show(null + sign * quantile * se)
                far = end + 0 * se if further is None else show(null + sign * further * se)
                ax.fill_betweenx(se, near, far, color=fill, lw=0, zorder=0, gid="contour")
    null_line(ax, scale.no_effect, x, "x")
    if data.pooled is not None:
        middle = scale.known(data.pooled)
        ax.plot([middle, middle], [0.0, y.high], color=look.NAVY, ls=look.DOTTED, lw=look.THIN,
                gid="pooled_line")  # fmt: skip
        for sign in (-1, 1):
            limit = show(data.pooled + sign * edges[1] * se)
            ax.plot(limit, se, color=look.NAVY, ls=look.DASHED, lw=look.THIN, gid="pseudo_limit")
    trials = list(zip(data.estimates, data.ses, strict=True))
    added = list(data.filled)
    for part, found, fill in (("study", trials, look.BLUE), ("filled_study", added, look.PAPER)):
        if found:
            estimates, depths = zip(*found, strict=True)
            ax.scatter(show(estimates), depths, s=26, color=fill, edgecolor=look.NAVY,
                       linewidth=0.6, zorder=3, clip_on=False, gid=part)  # fmt: skip
    return ax


def _funnel_notes(funnel: Funnel, contours: bool) -> list[str]:
    legend = []
    if contours and funnel.scale.has_null:
        legend.append("Shading, from white outwards: p > 0.10, 0.05 to 0.10, 0.01 to 0.05, < 0.01.")
    if funnel.pooled is not None:
        legend.append("Dotted line: pooled estimate, with pseudo 95% limits (dashed).")
    if funnel.filled:
        legend.append(f"Hollow: {plural(len(funnel.filled), 'trial')} that trim-and-fill added.")
    k = len(funnel.estimates)
    few = f"{plural(k, 'trial')}: fewer than {TRIALS_NEEDED}, too few to judge asymmetry."
    return [" ".join(legend), few if k < TRIALS_NEEDED else ""]


# --- bubbles --------------------------------------------------------------------------------------

LARGEST, SMALLEST, UNWEIGHTED = 16.0, 3.4, 6.4
#: Names are printed beside the bubbles up to this many trials.
NAMED_UP_TO = 20
_HOLLOW = "Hollow: a value that follows from who could take part, not a printed one."
TALL = 230.0


@dataclass(frozen=True, slots=True)
class Line:
    """A fitted line with its bands over increasing values of the moderator; model's scale."""

    moderator: tuple[float, ...]
    estimate: tuple[float, ...]
    ci_low: tuple[float, ...] = ()
    ci_high: tuple[float, ...] = ()
    pi_low: tuple[float, ...] = ()
    pi_high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high"):
            values = getattr(self, name)
            if values and len(values) != len(self.moderator):
                raise UsageError(
                    f"{name} has {len(values)} values, moderator has {len(self.moderator)}"
                )
            if not all(math.isfinite(value) for value in values):
                raise UsageError(f"{name} has a value that is not a finite number")


@dataclass(frozen=True, slots=True)
class Bubble:
    """What a bubble plot shows: trials (label, moderator, estimate, weight) and the line.

    ``by_rule``, where given, says of each trial whether its moderator follows from who could take
    part; such a trial is hollow. ``held`` says what the line holds the other moderators at.
    """

    trials: tuple[tuple[str, float, float, float | None], ...]
    moderator: str
    line: Line | None = None
    scale: Scale = field(default_factory=Scale)
    title: str = ""
    by_rule: tuple[bool, ...] = ()
    held: str = ""

    def __post_init__(self) -> None:
        if not self.trials:
            raise UsageError("there is no trial with both a moderator and an estimate")
        if len(self.by_rule) not in (0, len(self.trials)):
            raise UsageError(
                f"by_rule has {len(self.by_rule)} values, trials has {len(self.trials)}"
            )

    def describe(self) -> str:
        """Return the plot in sentences, in numbers."""
        scale = self.scale
        values = [x for _, x, _, _ in self.trials]
        digits = 0 if all(float(x).is_integer() for x in values) else 1
        low, high = (format_number(x, digits) for x in (min(values), max(values)))
        sentences = [
            f"Bubble plot{f': {self.title}' if self.title else ''}.",
            f"{plural(len(values), 'trial')}; {self.moderator} from {low} to {high}.",
        ]
        if any(self.by_rule):
            set_so = sum(self.by_rule)
            sentences.append(
                f"Hollow: {plural(set_so, 'trial')} whose value follows from who could take part"
                " and is not printed."
            )
        if self.line is not None:
            first, last = (scale.write(scale.show(self.line.estimate[at])) for at in (0, -1))
            at = f", {self.held}," if self.held else ""
            sentences.append(f"{scale.label}: the fitted line{at} goes from {first} to {last}.")
        return " ".join(sentences)


def bubble_of(result: Any, moderator: str | None = None) -> Bubble:
    """Return what a bubble plot shows of a meta-regression with one numeric moderator.

    Other moderators are held at their means in the fitted line.
    """
    if isinstance(result, Bubble):
        return result
    look.check_shown(result, "a bubble plot", "a fit of meta_regression()", "names", "design")
    names = [name for name in result.names if name.lower() not in ("intercept", "intrcpt")]
    if moderator is None and len(names) == 1:
        moderator = names[0]
    factor = re.compile(rf"(C\()?{re.escape(str(moderator))}(\s*[,)].*)?")
    if moderator not in names and any(map(factor.fullmatch, getattr(result, "terms", ()))):
        # What a formula makes of the level of a factor has the level in brackets.
        numbers = [repr(name) for name in names if "[" not in name]
        raise UsageError(
            f"moderator is {moderator!r}, which is a factor, and a bubble plot needs a number:"
            f" {', '.join(numbers) or 'the fit has none'}; marginal_means(fit, {moderator!r})"
            ".forest() draws a factor"
        )
    check_choice("moderator", moderator, names)
    at = result.names.index(str(moderator))
    values = np.asarray(result.design)[:, at]
    grid = np.linspace(values.min(), values.max(), 41)
    rows = np.tile(np.asarray(result.design).mean(axis=0), (len(grid), 1))
    rows[:, at] = grid
    found = replace(result, design=rows).predict()
    bands = {
        name: tuple(float(value) for value in getattr(found, name))
        for name in ("ci_low", "ci_high", "pi_low", "pi_high")
        if getattr(found, name, None) is not None
    }
    estimates = tuple(float(value) for value in found.estimate)
    trials = tuple(
        (str(label), float(x), float(y), float(weight))
        for label, x, y, weight in zip(
            result.labels, values, result.estimates, result.weights, strict=True
        )
    )
    line = Line(tuple(float(x) for x in grid), estimates, **bands)
    means = zip(result.names, rows[0].tolist(), strict=True)
    others = [(name, mean) for name, mean in means if name in names and name != moderator]
    held = ", ".join(f"{name} ({format_significant(mean, 3)})" for name, mean in others)
    held = held and f"at the {'means' if len(others) > 1 else 'mean'} of {held}"
    return Bubble(trials, str(moderator), line, Scale.of(result), held=held)


@look.themed
def bubble(
    result: Any, moderator: str | None = None, *, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draw a bubble plot and return its axes: effect against one moderator.

    Parameters
    ----------
    result : the result of ``meta_regression``, or Bubble
    moderator : str, optional
        Name of the coefficient; needed where there are several.
    ax : Axes, optional
    title : str, optional

    Returns
    -------
    Axes
        Parts: ``prediction_band``, ``prediction_limit``, ``confidence_band``, ``fitted_line``,
        ``null_line``, ``bubble`` and ``hollow_bubble`` (area in proportion to weight), ``name``.
    """
    data = titled(bubble_of(result, moderator), title)
    scale, line = data.scale, data.line
    show = np.vectorize(scale.known)
    x, y = bubble_axes(data)
    hollow = data.by_rule or (False,) * len(data.trials)
    marked = [(*trial, ring) for trial, ring in zip(data.trials, hollow, strict=True)]
    ordered = sorted(marked, key=lambda trial: -(trial[3] or 0.0))
    named = len(ordered) <= NAMED_UP_TO
    notes = [_bubble_legend(data), _HOLLOW if any(hollow) else "", scale.direction_words]
    ax = page(data, ax, x, y, height=TALL, notes=notes, spare=named)
    null_line(ax, scale.no_effect, y, "y")
    obstacles = [[(x.low, scale.no_effect), (x.high, scale.no_effect)]]
    if line is not None:
        _draw_line(ax, line, show)
        obstacles.append(list(zip(line.moderator, show(line.estimate), strict=True)))
    sizes = areas([weight for *_, weight, _ in ordered])
    placed = [
        (label, at, scale.known(estimate), size, ring)
        for (label, at, estimate, _, ring), size in zip(ordered, sizes, strict=True)
    ]
    for part, ring, fill in (("bubble", False, look.SKY), ("hollow_bubble", True, "white")):
        here = [(at, y, size) for _, at, y, size, hollow in placed if hollow == ring]
        if here:
            across, up, size = zip(*here, strict=True)
            ax.scatter(across, up, s=size, color=fill, alpha=0.75, edgecolor=look.NAVY,
                       linewidth=1.0 if ring else 0.5, zorder=3, clip_on=False,
                       gid=part)  # fmt: skip
    if named:
        names = [(label, at, y, math.sqrt(size) / 2) for label, at, y, size, _ in placed]
        left_out(ax, write_names(ax, names, lines=obstacles))
    return ax


def bubble_axes(bubble: Bubble) -> tuple[Axis, Axis]:
    """Return both axes; the confidence band is whole, what lies far out is cut."""
    scale, line = bubble.scale, bubble.line
    spans: list[tuple[float, float]] = []
    for low, high in ((line.ci_low, line.ci_high), (line.pi_low, line.pi_high)) if line else ():
        if low and high:
            spans.append((scale.known(min(low)), scale.known(max(high))))
    estimates = [scale.known(y) for _, _, y, _ in bubble.trials]
    ends = choose_range(scale, estimates, spans[1:], whole=spans[:1], null_share=0.05)
    values = [x for _, x, _, _ in bubble.trials] + list(line.moderator if line else ())
    pad = 0.05 * (max(values) - min(values)) or 1.0
    name = look.clean(bubble.moderator)
    years = all(float(x).is_integer() for _, x, _, _ in bubble.trials)
    return (
        make_axis(min(values) - pad, max(values) + pad, name, room=330.0, whole=years),
        make_axis(*ends, scale.axis_label, log=scale.is_ratio, room=TALL, upright=True),
    )


def areas(weights: Sequence[float | None]) -> list[float]:
    """Return the area of each circle in square points, the heaviest at the largest."""
    most = max((weight or 0.0 for weight in weights), default=0.0)
    return [area(weight, most, LARGEST, SMALLEST, UNWEIGHTED) for weight in weights]


def _draw_line(ax: Axes, line: Line, show: Any) -> None:
    """Draw the fitted line; its prediction band has edges, so that it shows under the other."""
    for part, low, high, fill in (
        ("prediction_band", line.pi_low, line.pi_high, "#FBF1DD"),
        ("confidence_band", line.ci_low, line.ci_high, "#C6DCEC"),
    ):
        if not (low and high):
            continue
        ends = show(low), show(high)
        ax.fill_between(line.moderator, *ends, color=fill, lw=0, zorder=0.5, gid=part)
        if part == "prediction_band":
            for edge in (low, high):
                ax.plot(line.moderator, show(edge), color=look.VERMILLION, lw=look.THIN,
                        ls=look.DASHED, zorder=1.0, gid="prediction_limit")  # fmt: skip
    ax.plot(line.moderator, show(line.estimate), color=look.NAVY, lw=1.4, zorder=2,
            gid="fitted_line")  # fmt: skip


def _bubble_legend(bubble: Bubble) -> str:
    weighted = any(weight for *_, weight in bubble.trials)
    words = f"Circle: trial{', area by weight' if weighted else ''}."
    if bubble.line is not None:
        at = f" {bubble.held}" if bubble.held else ""
        words += f" Line: meta-regression{at}; dark band: {bubble.scale.interval_words}"
        predicted = f"; dashed: {format_percent(bubble.scale.level)} prediction interval"
        words += f"{predicted}." if bubble.line.pi_low else "."
    return words
