"""Plots of results: each takes a fitted result, or typed data, and returns matplotlib axes.

``plots.forest(fit)``, ``plots.funnel(fit)`` and so on draw into a figure of their own, or into
``ax=``; nothing is shown or kept. ``save`` writes a plot to SVG, PNG or PDF, the same bytes on
every run; ``theme`` is the look, for drawings of one's own; ``find`` returns a plot's named parts.
"""
