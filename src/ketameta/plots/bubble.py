"""Bubble plot of a meta-regression: effect against one moderator, with the fitted line."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.errors import UsageError, check_choice
from ketameta.formatting import format_number, format_percent, plural
from ketameta.plots import look
from ketameta.plots.frame import area, left_out, null_line, page, write_names
from ketameta.plots.scale import Axis, Scale, choose_range, make_axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

LARGEST, SMALLEST, UNWEIGHTED = 16.0, 3.4, 6.4
#: Names are printed beside the bubbles up to this many trials.
NAMED_UP_TO = 20
_HOLLOW = "Hollow: a value that follows from who could take part, not a printed one."
HEIGHT = 230.0


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
    part; such a trial is hollow.
    """

    trials: tuple[tuple[str, float, float, float | None], ...]
    moderator: str
    line: Line | None = None
    scale: Scale = field(default_factory=Scale)
    title: str = ""
    by_rule: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if not self.trials:
            raise UsageError("there is no trial with both a moderator and an estimate")
        if len(self.by_rule) not in (0, len(self.trials)):
            raise UsageError(
                f"by_rule has {len(self.by_rule)} values, trials has {len(self.trials)}"
            )


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
    return Bubble(trials, str(moderator), line, Scale.of(result))


@look.themed
def plot(
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
    import pandas as pd
    import seaborn as sns

    bubble = bubble_of(result, moderator)
    scale, line = bubble.scale, bubble.line
    show = np.vectorize(scale.known)
    x, y = axes_of(bubble)
    hollow = bubble.by_rule or (False,) * len(bubble.trials)
    marked = [(*trial, ring) for trial, ring in zip(bubble.trials, hollow, strict=True)]
    ordered = sorted(marked, key=lambda trial: -(trial[3] or 0.0))
    named = len(ordered) <= NAMED_UP_TO
    notes = [_legend(bubble), _HOLLOW if any(hollow) else "", scale.direction_words]
    title = bubble.title if title is None else title
    ax = page(ax, x, y, title=title, height=HEIGHT, notes=notes, spare=named)
    null_line(ax, scale.no_effect, y, "y")
    obstacles = [[(x.low, scale.no_effect), (x.high, scale.no_effect)]]
    if line is not None:
        _draw_line(ax, line, show)
        obstacles.append(list(zip(line.moderator, show(line.estimate), strict=True)))
    frame = pd.DataFrame(ordered, columns=["label", "x", "y", "weight", "hollow"])
    frame["y"], frame["area"] = show(frame["y"]), areas([weight for *_, weight, _ in ordered])
    span = (frame["area"].min(), frame["area"].max())
    for ring, part in frame.groupby("hollow"):
        sns.scatterplot(
            part, x="x", y="y", size="area", sizes=span, size_norm=span, legend=False, ax=ax,
            color="white" if ring else look.SKY, alpha=0.75, edgecolor=look.NAVY,
            linewidth=1.0 if ring else 0.5, zorder=3, clip_on=False,
            gid="hollow_bubble" if ring else "bubble",
        )  # fmt: skip
    ax.set(xlabel=x.label, ylabel=y.label)
    if named:
        radii = np.sqrt(frame["area"]) / 2
        names = list(zip(frame["label"], frame["x"], frame["y"], radii, strict=True))
        left_out(ax, write_names(ax, names, lines=obstacles))
    return ax


def axes_of(bubble: Bubble) -> tuple[Axis, Axis]:
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
        make_axis(*ends, scale.axis_label, log=scale.is_ratio, room=HEIGHT, upright=True),
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


def _legend(bubble: Bubble) -> str:
    weighted = any(weight for *_, weight in bubble.trials)
    words = f"Circle: trial{', area by weight' if weighted else ''}."
    if bubble.line is not None:
        words += f" Line: meta-regression; dark band: {bubble.scale.interval_words}"
        predicted = f"; dashed: {format_percent(bubble.scale.level)} prediction interval"
        words += f"{predicted}." if bubble.line.pi_low else "."
    return words


def describe(result: Any, moderator: str | None = None) -> str:
    """Return the plot in sentences, in numbers."""
    bubble = bubble_of(result, moderator)
    scale = bubble.scale
    values = [x for _, x, _, _ in bubble.trials]
    sentences = [
        f"Bubble plot{f': {bubble.title}' if bubble.title else ''}.",
        f"{plural(len(values), 'trial')}; {bubble.moderator} from {format_number(min(values), 1)}"
        f" to {format_number(max(values), 1)}.",
    ]
    if any(bubble.by_rule):
        set_so = sum(bubble.by_rule)
        sentences.append(
            f"Hollow: {plural(set_so, 'trial')} whose value follows from who could take part and "
            "is not printed."
        )
    if bubble.line is not None:
        first, last = (scale.write(scale.show(bubble.line.estimate[at])) for at in (0, -1))
        sentences.append(f"{scale.label}: the fitted line goes from {first} to {last}.")
    return " ".join(sentences)
