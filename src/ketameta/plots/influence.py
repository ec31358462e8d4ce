"""Which trials make the result: Baujat plot, and GOSH plot of every subset of trials."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ketameta.errors import UsageError, check_choice
from ketameta.formatting import format_count, format_number, format_percent, plural
from ketameta.plots import look
from ketameta.plots.frame import left_out, page, size_in_points, titled, write_names
from ketameta.plots.scale import Axis, Scale, finite, make_axis

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
    import pandas as pd
    import seaborn as sns

    found = titled(baujat_of(result), title)
    far_x = max(x for _, x, _ in found.trials) or 1.0
    far_y = max(y for _, _, y in found.trials) or 1.0
    x = make_axis(-0.02 * far_x, 1.12 * far_x, "Contribution to heterogeneity (part of Q)")
    y = make_axis(-0.03 * far_y, 1.08 * far_y, "Influence on the pooled estimate", room=HEIGHT,
                  upright=True)  # fmt: skip
    note = "Right: differs from the other trials. Top: leaving it out moves the pooled estimate."
    ax = page(found, ax, x, y, notes=[note], spare=True, height=HEIGHT)
    ordered = sorted(found.trials, key=lambda t: -math.hypot(t[1] / far_x, t[2] / far_y))
    frame = pd.DataFrame(ordered, columns=["label", "x", "y"])
    sns.scatterplot(frame, x="x", y="y", ax=ax, s=_AREA, color=look.BLUE, alpha=0.85, zorder=3,
                    edgecolor=look.NAVY, linewidth=0.5, clip_on=False, gid="study")  # fmt: skip
    ax.set(xlabel=x.label, ylabel=y.label)
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
        corners = [
            [(bins[0][i + across], bins[1][j + up]) for across, up in _CORNERS]
            for i, j in np.argwhere(steps == step)
        ]
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
