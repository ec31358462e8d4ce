"""Baujat plot: which trials make the results differ, and which of those move the pool."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ketameta.errors import UsageError
from ketameta.formatting import format_number, plural
from ketameta.plots import look
from ketameta.plots.frame import left_out, page, write_names
from ketameta.plots.scale import finite, make_axis

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


def baujat_of(result: Any) -> Baujat:
    """Return what the plot shows of ``baujat(fit)``, or of a fit itself."""
    if isinstance(result, Baujat):
        return result
    if not hasattr(result, "heterogeneity"):
        from ketameta.models.diagnostics.influence import baujat

        result = baujat(result)
    rows = zip(result.labels, result.heterogeneity, result.influence, strict=True)
    return Baujat(
        tuple(
            (str(label), float(x), float(y))
            for label, x, y in rows
            if finite(x) is not None and finite(y) is not None
        )
    )


@look.themed
def plot(result: Any, *, ax: Axes | None = None, title: str | None = None) -> Axes:
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

    found = baujat_of(result)
    far_x = max(x for _, x, _ in found.trials) or 1.0
    far_y = max(y for _, _, y in found.trials) or 1.0
    x = make_axis(-0.02 * far_x, 1.12 * far_x, "Contribution to heterogeneity (part of Q)")
    y = make_axis(-0.03 * far_y, 1.08 * far_y, "Influence on the pooled estimate", room=HEIGHT,
                  upright=True)  # fmt: skip
    note = "Right: differs from the other trials. Top: leaving it out moves the pooled estimate."
    ax = page(ax, x, y, title=found.title if title is None else title, notes=[note], spare=True,
              height=HEIGHT)  # fmt: skip
    ordered = sorted(found.trials, key=lambda t: -math.hypot(t[1] / far_x, t[2] / far_y))
    frame = pd.DataFrame(ordered, columns=["label", "x", "y"])
    sns.scatterplot(frame, x="x", y="y", ax=ax, s=_AREA, color=look.BLUE, alpha=0.85, zorder=3,
                    edgecolor=look.NAVY, linewidth=0.5, clip_on=False, gid="study")  # fmt: skip
    ax.set(xlabel=x.label, ylabel=y.label)
    radius = math.sqrt(_AREA) / 2
    left_out(ax, write_names(ax, [(*trial, radius) for trial in ordered], colour=look.INK))
    return ax


def describe(result: Any) -> str:
    """Return the plot in sentences, in numbers."""
    found = baujat_of(result)
    total = math.fsum(x for _, x, _ in found.trials)
    top = max(found.trials, key=lambda trial: trial[1])
    moved = max(found.trials, key=lambda trial: trial[2])
    share = f", {format_number(100 * top[1] / total, 0)}% of the total" if total > 0 else ""
    return (
        f"Baujat plot{f': {found.title}' if found.title else ''}."
        f" {plural(len(found.trials), 'trial')}."
        f" {top[0]} contributes most to heterogeneity ({format_number(top[1])}{share})."
        f" {moved[0]} has most influence on the pooled estimate ({format_number(moved[2])})."
    )
