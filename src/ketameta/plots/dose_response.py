"""Dose-response plot: each trial at its doses, the fitted curve and its band."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ketameta.errors import UsageError
from ketameta.formatting import plural
from ketameta.plots import look
from ketameta.plots.frame import bar, in_points, null_line, page
from ketameta.plots.scale import Axis, Estimate, Scale, choose_range, make_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Between neighbouring trials at one dose, in points; and the most that a dose may spread.
ASIDE, MOST_ASIDE = 7.0, 34.0
HEIGHT, _KEY_STEP = 230.0, 11.0


@dataclass(frozen=True, slots=True)
class AtDose:
    """An estimate at a dose."""

    dose: float
    value: Estimate


@dataclass(frozen=True, slots=True)
class DoseResponse:
    """Trials (name and estimate at a dose), the declared curve and another one beside it."""

    trials: tuple[tuple[str, AtDose], ...]
    curve: tuple[AtDose, ...] = ()
    other: tuple[AtDose, ...] = ()
    curve_words: str = "fitted curve"
    other_words: str = "another curve"
    unit: str = ""
    at_doses: tuple[AtDose, ...] = ()
    scale: Scale = field(default_factory=Scale)
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.trials:
            raise UsageError("there is no trial with an estimate")
        for position, (name, at) in enumerate(self.trials):
            if not at.dose >= 0:
                raise UsageError(
                    f"trials[{position}] ({name}): dose is {at.dose!r}; a dose is 0 or more"
                )

    @property
    def by_trial(self) -> dict[str, list[AtDose]]:
        """The points of each trial, by dose."""
        found: dict[str, list[AtDose]] = {}
        for name, at in self.trials:
            found.setdefault(name, []).append(at)
        return {name: sorted(points, key=lambda at: at.dose) for name, points in found.items()}


def axes_of(data: DoseResponse) -> tuple[Axis, Axis]:
    """Return both axes: a tick at no dose and at each dose given, when they are few."""
    scale = data.scale
    shown = [at.value.shown(scale) for _, at in data.trials]
    whole = [at.value.shown(scale)[1:] for at in data.curve]
    ends = choose_range(scale, [y for y, _, _ in shown], [(a, b) for _, a, b in shown],
                        whole=whole, null_share=0.05)  # fmt: skip
    y = make_axis(*ends, scale.axis_label, log=scale.is_ratio, room=HEIGHT, upright=True)
    doses = sorted({at.dose for _, at in data.trials})
    label = f"Dose ({data.unit})" if data.unit else "Dose"
    x = make_axis(0.0, 1.1 * (doses[-1] or 1.0), label)
    if len(doses) <= 8:
        marked = (0.0, *(dose for dose in doses if dose > 0))
        x = Axis(x.low, x.high, label, ticks=tuple((dose, f"{dose:g}") for dose in marked))
    return x, y


@look.themed
def plot(data: DoseResponse, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw effects against dose with the fitted curve and return the axes.

    Returns
    -------
    Axes
        Parts: ``null_line``, ``band``, ``curve``, ``other_curve``, ``trial_line``,
        ``trial_interval``, ``trial_point``, ``clip_arrow``, ``key_name``.
    """
    scale = data.scale
    x, y = axes_of(data)
    by_trial = data.by_trial
    key = look.widest(by_trial, look.SMALL) + 22.0
    tall = max(HEIGHT, 12.0 + _KEY_STEP * len(by_trial))
    ax = page(ax, x, y, title=data.title if title is None else title, notes=_notes(data),
              width=look.PAGE_WIDTH, height=tall, right=key)  # fmt: skip
    null_line(ax, scale.no_effect, y, "y")
    for part, points in (("curve", data.curve), ("other_curve", data.other)):
        if points:
            doses = [at.dose for at in points]
            middle, low, high = zip(*(at.value.shown(scale) for at in points), strict=True)
            if part == "curve" and None not in low:
                ax.fill_between(doses, low, high, color="#D5EDFA", lw=0, zorder=0.5, gid="band")
            dash, wide = ("-", 1.8) if part == "curve" else (look.DASHED, 1.2)
            ax.plot(doses, middle, color=look.NAVY, lw=wide, ls=dash, zorder=1.8, gid=part)
    _trials(ax, y, by_trial, scale)
    return ax


def _trials(ax: Axes, y: Axis, by_trial: dict[str, list[AtDose]], scale: Scale) -> None:
    """Draw the trials, side by side at each dose, and the key that names them."""
    at_dose: dict[float, list[str]] = {}
    for name, points in by_trial.items():
        for at in points:
            at_dose.setdefault(at.dose, []).append(name)
    step = min(ASIDE, MOST_ASIDE / max(map(len, at_dose.values())))
    (zero, _), (one, _) = in_points(ax, [(0.0, y.high), (1.0, y.high)])
    per_dose = one - zero
    handles = []
    for index, (name, points) in enumerate(by_trial.items()):
        colour = look.PALETTE[index % len(look.PALETTE)]
        marker = "os^Dv"[index // len(look.PALETTE) % 5]
        xs = [
            at.dose
            + step * (at_dose[at.dose].index(name) - (len(at_dose[at.dose]) - 1) / 2) / per_dose
            for at in points
        ]
        ys = [at.value.shown(scale)[0] for at in points]
        if len(xs) > 1:
            ax.plot(xs, ys, color=colour, lw=0.7, ls=look.DOTTED, zorder=2, gid="trial_line")
        for place, at in zip(xs, points, strict=True):
            _, low, high = at.value.shown(scale)
            if low is not None and high is not None:
                bar(ax, place, low, high, y, colour=colour, width=0.9, part="trial_interval",
                    zorder=2.2)  # fmt: skip
        handles += ax.plot(
            xs, ys, ls="none", marker=marker, ms=4.8, color=colour, mec=look.PAPER, mew=0.4,
            zorder=3, clip_on=False, gid="trial_point", label=name,
        )  # fmt: skip
    key = ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False,
                    fontsize=look.SMALL, handlelength=0.8, borderaxespad=0.3)  # fmt: skip
    for text in key.get_texts():
        text.set_gid("key_name")


def _notes(data: DoseResponse) -> list[str]:
    interval = data.scale.interval_words
    trials = f"Points: trials at each dose against control, with {interval}; doses of one trial are"
    trials += " joined. Trials at the same dose stand side by side."
    curve = ""
    if data.curve:
        curve = f"Line and band: {data.curve_words} with {interval}"
        curve += f"; dashed: {data.other_words}." if data.other else "."
    return [trials, curve, data.scale.direction_words, data.note]


def describe(data: DoseResponse) -> str:
    """Return the plot in sentences, in numbers."""
    count = plural(len(data.trials), "contrast")
    sentences = [
        f"Dose-response plot{f': {data.title}' if data.title else ''}.",
        f"{plural(len(data.by_trial), 'trial')}, {count} of a dose with control;"
        f" {data.scale.axis_label}.",
    ]
    for at in data.at_doses:
        words = data.scale.estimate_words(at.value)
        sentences.append(f"At {at.dose:g} {data.unit} the curve is at {words}.")
    return " ".join(sentences)
