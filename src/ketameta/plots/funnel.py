"""Contour-enhanced funnel plot: whether small trials are missing, and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ketameta.errors import UsageError
from ketameta.formatting import format_number, plural
from ketameta.plots import look
from ketameta.plots.frame import null_line, page
from ketameta.plots.scale import Axis, Scale, make_axis

if TYPE_CHECKING:
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


def axes_of(funnel: Funnel) -> tuple[Axis, Axis]:
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
def plot(
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
    import seaborn as sns

    if contours not in (True, False):
        raise UsageError(f"contours is {contours!r}; give True or False")
    funnel = funnel_of(result)
    scale = funnel.scale
    x, y = axes_of(funnel)
    ax = page(ax, x, y, title=funnel.title if title is None else title,
              notes=_notes(funnel, contours), height=HEIGHT)  # fmt: skip
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
    if funnel.pooled is not None:
        middle = scale.known(funnel.pooled)
        ax.plot([middle, middle], [0.0, y.high], color=look.NAVY, ls=look.DOTTED, lw=look.THIN,
                gid="pooled_line")  # fmt: skip
        for sign in (-1, 1):
            limit = show(funnel.pooled + sign * edges[1] * se)
            ax.plot(limit, se, color=look.NAVY, ls=look.DASHED, lw=look.THIN, gid="pseudo_limit")
    trials = list(zip(funnel.estimates, funnel.ses, strict=True))
    added = list(funnel.filled)
    for part, found, fill in (("study", trials, look.BLUE), ("filled_study", added, look.PAPER)):
        if found:
            estimates, depths = zip(*found, strict=True)
            sns.scatterplot(x=show(estimates), y=depths, ax=ax, s=26, color=fill, legend=False,
                            edgecolor=look.NAVY, linewidth=0.6, zorder=3, clip_on=False,
                            gid=part)  # fmt: skip
    ax.set(xlabel=x.label, ylabel=y.label)
    return ax


def _notes(funnel: Funnel, contours: bool) -> list[str]:
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


def describe(result: Any) -> str:
    """Return the plot in sentences, in numbers."""
    funnel = funnel_of(result)
    k, scale = len(funnel.estimates), funnel.scale
    sentences = [
        f"Funnel plot{f': {funnel.title}' if funnel.title else ''}.",
        f"{plural(k, 'trial')}; {scale.label}.",
        f"Standard errors from {format_number(min(funnel.ses))} to"
        f" {format_number(max(funnel.ses))}.",
    ]
    if funnel.pooled is not None:
        below = sum(estimate < funnel.pooled for estimate in funnel.estimates)
        middle = scale.write(scale.show(funnel.pooled))
        sentences.append(f"{below} of {k} estimates lie below the pooled estimate of {middle}.")
    if funnel.filled:
        sentences.append(f"Trim-and-fill added {plural(len(funnel.filled), 'trial')}.")
    if k < TRIALS_NEEDED:
        sentences.append("Too few trials to judge asymmetry.")
    return " ".join(sentences)
