"""Plots of results: each takes a fitted result, or typed data, and returns matplotlib axes.

``plots.forest(fit)``, ``plots.funnel(fit)`` and so on draw into a figure of their own, or into
``ax=``; nothing is shown or kept. ``save`` writes a plot to SVG, PNG or PDF, the same bytes on
every run; ``theme`` is the look, for drawings of one's own; ``find`` returns a plot's named parts.
The module of each plot has its typed data and what the plot shows in words.
"""

from ketameta.plots.curves import dose_response, over_time, posterior
from ketameta.plots.forest import plot as forest
from ketameta.plots.harms import icons
from ketameta.plots.harms import plot as harms
from ketameta.plots.influence import baujat, gosh
from ketameta.plots.look import find, save, theme
from ketameta.plots.maps import evidence_map, risk_of_bias
from ketameta.plots.network import plot as network
from ketameta.plots.points import bubble, funnel
from ketameta.plots.specification_curve import plot as specification_curve

__all__ = [
    "baujat",
    "bubble",
    "dose_response",
    "evidence_map",
    "find",
    "forest",
    "funnel",
    "gosh",
    "harms",
    "icons",
    "network",
    "over_time",
    "posterior",
    "risk_of_bias",
    "save",
    "specification_curve",
    "theme",
]
