"""Network plot: which medicines were compared with which, and in how many trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ketameta.errors import UsageError, did_you_mean
from ketameta.figures import style
from ketameta.figures.frame import PlotLayout, PlotPoint
from ketameta.figures.marks import (
    Align,
    Disc,
    Line,
    Mark,
    Text,
    block_height,
    centred_baseline,
    footnote_marks,
    text_block,
    wrap_notes,
)
from ketameta.figures.numbers import finite
from ketameta.figures.text import clean_text, text_width, wrap_text
from ketameta.numberformat import format_count, plural

_LARGEST_RADIUS = 15.0
_SMALLEST_RADIUS = 3.0
_WIDEST_LINE = 7.0
_LABEL_WIDTH = 92.0


def lay_out_network(
    data: Mapping[str, Any], *, title: str | None = None, width: float = style.PLOT_WIDTH
) -> PlotLayout:
    """Lay out a network of treatments on a circle.

    Parameters
    ----------
    data : mapping
        ``nodes`` (each ``name``, ``participants``, and ``highlight`` for the treatments of the
        question), ``edges`` (each ``from``, ``to``, ``trials``), ``title``, ``note``. Nodes stand
        clockwise from the top in the given order.
    title : str, optional
    width : float
        Of the page, in points.

    Returns
    -------
    PlotLayout
        Parts: ``edge`` (width in proportion to trials), ``edge_count``, ``node`` (area in
        proportion to participants; a ring marks highlighted ones), ``node_name``. Treatments
        without a comparison are drawn dashed.

    Raises
    ------
    UsageError
        If there are no nodes, a node is named twice, or an edge names an unknown node or has no
        positive number of trials.
    """
    nodes = list(data.get("nodes") or ())
    names = [clean_text(str(node.get("name") or "")) for node in nodes]
    if not names:
        raise UsageError("data['nodes'] is empty; a network needs treatments")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"data['nodes'] names {twice[0]!r} more than once")
    edges = _edges(data, names)
    words = clean_text(str(title if title is not None else data.get("title") or "Network"))
    inner = width - 2 * style.MARGIN
    title_lines = wrap_text(words, 0.97 * inner, style.TITLE_SIZE, bold=True)
    top = style.MARGIN + block_height(len(title_lines), style.TITLE_SIZE) + 10.0
    radius = min(inner / 2 - _LABEL_WIDTH - _LARGEST_RADIUS, 125.0)
    middle = (width / 2, top + 26.0 + _LARGEST_RADIUS + radius)
    people = [finite(node.get("participants")) for node in nodes]
    most_people = max((count for count in people if count is not None), default=0.0)
    most_trials = max((trials for *_, trials in edges), default=1)
    places: dict[str, tuple[float, float]] = {}
    points = []
    for index, (name, count) in enumerate(zip(names, people, strict=True)):
        angle = 2 * math.pi * index / len(names) - math.pi / 2
        places[name] = (
            middle[0] + radius * math.cos(angle),
            middle[1] + radius * math.sin(angle),
        )
        size = _radius(count, most_people)
        points.append(PlotPoint(name, angle, count or 0.0, places[name], math.pi * size**2))
    marks: list[Mark] = list(
        text_block(
            "title", title_lines, style.MARGIN, style.MARGIN, size=style.TITLE_SIZE, bold=True
        )
    )
    for one, two, trials in edges:
        thick = max(0.7, _WIDEST_LINE * trials / most_trials)
        marks.append(Line("edge", (places[one], places[two]), thick, "#9DB4C8"))
    marks.extend(_counts(edges, places))
    joined = {name for one, two, _ in edges for name in (one, two)}
    for point, node in zip(points, nodes, strict=True):
        size = math.sqrt(point.area / math.pi)
        alone = point.label not in joined
        fill = style.PAPER if alone else style.BLUE
        dash = (1.6, 1.6) if alone else ()
        if node.get("highlight"):
            marks.append(
                Disc("node_ring", point.at, size + 2.6, style.PAPER, style.VERMILLION, 1.2)
            )
        marks.append(Disc("node", point.at, size, fill, style.NAVY, 0.6, dash=dash))
        marks.extend(_name(point, size, finite(node.get("participants"))))
    legend = "Circle: treatment, area by participants. Line: compared in trials, width by their"
    legend += " number, which stands on the line."
    if any(node.get("highlight") for node in nodes):
        legend += " Ring: treatments of the question."
    if len(joined) < len(names):
        legend += " Dashed: compared with no other treatment here."
    bottom = middle[1] + radius + _LARGEST_RADIUS + 30.0
    notes = wrap_notes((legend, str(data.get("note") or "")), inner)
    foot, y = footnote_marks(notes, style.MARGIN, bottom)
    marks.extend(foot)
    sentences = _sentences(words, names, edges, joined)
    return PlotLayout(
        "network",
        width,
        y + style.MARGIN,
        words,
        None,
        tuple(points),
        tuple(marks),
        sentences,
    )


def _edges(data: Mapping[str, Any], names: list[str]) -> list[tuple[str, str, int]]:
    read = []
    for position, edge in enumerate(data.get("edges") or ()):
        ends = [clean_text(str(edge.get(key) or "")) for key in ("from", "to")]
        for end in ends:
            if end not in names:
                hint = did_you_mean(end, names)
                raise UsageError(f"data['edges'][{position}] names {end!r}, not a node{hint}")
        trials = finite(edge.get("trials"))
        if trials is None or trials < 1:
            raise UsageError(
                f"data['edges'][{position}] ({' v '.join(ends)}): trials is"
                f" {edge.get('trials')!r}; an edge has at least one trial"
            )
        read.append((ends[0], ends[1], round(trials)))
    return read


def _radius(count: float | None, most: float) -> float:
    if count is None or most <= 0:
        return 5.0
    return max(_SMALLEST_RADIUS, _LARGEST_RADIUS * math.sqrt(count / most))


def _counts(
    edges: list[tuple[str, str, int]], places: Mapping[str, tuple[float, float]]
) -> list[Mark]:
    """Return the number on each line, off its middle where lines cross."""
    marks: list[Mark] = []
    taken: list[tuple[float, float]] = []
    for one, two, trials in edges:
        (x0, y0), (x1, y1) = places[one], places[two]
        choices = [
            (x0 + share * (x1 - x0), y0 + share * (y1 - y0))
            for share in (0.5, 0.4, 0.6, 0.32, 0.68, 0.25, 0.75)
        ]
        clear = [c for c in choices if all(math.dist(c, other) > 13.0 for other in taken)]
        x, y = (clear or choices)[0]
        taken.append((x, y))
        text = format_count(trials)
        half = max(4.6, text_width(text, style.SMALL_SIZE, bold=True) / 2 + 1.6)
        marks.append(Disc("edge_label", (x, y), half, style.PAPER, style.LIGHT, 0.4))
        baseline = centred_baseline(y, style.SMALL_SIZE)
        marks.append(Text("edge_count", x, baseline, text, style.SMALL_SIZE, "center", True))
    return marks


def _name(point: PlotPoint, radius: float, people: float | None) -> list[Mark]:
    """Return the name and the number of participants, outside the circle of nodes."""
    dx, dy = math.cos(point.x), math.sin(point.x)
    align: Align = "center" if abs(dx) < 0.25 else "left" if dx > 0 else "right"
    lines = wrap_text(point.label, _LABEL_WIDTH, style.BODY_SIZE, most=2)
    count = f"n\u00a0=\u00a0{format_count(people)}" if people is not None else ""
    height = block_height(len(lines), style.BODY_SIZE)
    height += block_height(1, style.SMALL_SIZE) if count else 0.0
    x = point.at[0] + (radius + 6.0) * dx
    y = point.at[1] + (radius + 6.0) * dy
    top = y - height / 2 + dy * height / 2
    marks: list[Mark] = list(
        text_block("node_name", lines, x, top, size=style.BODY_SIZE, align=align)
    )
    below = top + block_height(len(lines), style.BODY_SIZE)
    if count:
        marks.extend(text_block("node_count", (count,), x, below, align=align, colour=style.GREY))
    return marks


def _sentences(
    title: str, names: list[str], edges: list[tuple[str, str, int]], joined: set[str]
) -> tuple[str, ...]:
    total = sum(trials for *_, trials in edges)
    sentences = [
        f"Network plot: {title}.",
        f"{plural(len(names), 'treatment')}, {plural(len(edges), 'comparison')} with direct trials"
        f" ({plural(total, 'trial comparison')}).",
    ]
    if edges:
        one, two, most = max(edges, key=lambda edge: edge[2])
        sentences.append(f"Most studied: {one} against {two}, {plural(most, 'trial')}.")
    alone = [name for name in names if name not in joined]
    if alone:
        sentences.append(f"Compared with no other treatment: {', '.join(alone)}.")
    return tuple(sentences)
