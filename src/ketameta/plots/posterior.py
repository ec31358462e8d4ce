"""Prior to posterior: what was believed before the trials, and what the trials left of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ketameta.errors import UsageError
from ketameta.formatting import format_percent
from ketameta.plots import look
from ketameta.plots.frame import null_line, page
from ketameta.plots.scale import Estimate, Scale, make_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Curve -> words, colour, dash, in drawing order.
CURVES: tuple[tuple[str, str, str, Any], ...] = (
    ("prior", "Prior", look.GREY, look.DASHED),
    ("predictive", "A new trial", look.VERMILLION, (0, (5.0, 1.6, 1.0, 1.6))),
    ("posterior", "Posterior", look.BLUE, "-"),
)
HEIGHT = 170.0


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
def plot(result: Any, *, ax: Axes | None = None, title: str | None = None) -> Axes:
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
    import seaborn as sns

    found = posterior_of(result)
    scale = found.scale
    grid = np.array([scale.known(value) for value in found.grid])
    tallest = max(max(values) for values in found.curves.values())
    x = make_axis(grid[0], grid[-1], scale.axis_label, log=scale.is_ratio, room=330.0)
    y = make_axis(0.0, 1.06 * tallest, "Density", room=HEIGHT, upright=True)
    level = format_percent(scale.level)
    shaded = found.low is not None and found.high is not None
    note = f"Shaded: {level} credible interval." if shaded else ""
    ax = page(ax, x, y, title=found.title if title is None else title, notes=[note], height=HEIGHT)
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
            sns.lineplot(x=grid, y=found.curves[name], ax=ax, color=colour, ls=dash, lw=1.4,
                         label=words, estimator=None, errorbar=None,
                         gid=f"curve_{name}")  # fmt: skip
    ax.set(xlabel=x.label, ylabel=y.label)
    free = "upper left" if int(np.argmax(density)) > len(grid) / 2 else "upper right"
    key = ax.legend(loc=cast("Any", free), frameon=False, fontsize=look.SMALL, handlelength=2.2,
                    reverse=True)  # fmt: skip
    for text in key.get_texts():
        text.set_gid("curve_name")
    return ax


def describe(result: Any) -> str:
    """Return the plot in sentences, in numbers."""
    found = posterior_of(result)
    scale = found.scale
    sentences = [
        f"Prior and posterior densities{f': {found.title}' if found.title else ''}.",
        f"{scale.axis_label}.",
    ]
    if found.estimate is not None:
        words = scale.estimate_words(Estimate(found.estimate, found.low, found.high))
        sentences.append(f"Posterior median {words.replace('CI', 'credible interval')}.")
    if found.below_null is not None:
        null = scale.write(scale.no_effect, 0)
        share = format_percent(found.below_null)
        sentences.append(f"Probability of a value below {null}: {share}.")
    return " ".join(sentences)
