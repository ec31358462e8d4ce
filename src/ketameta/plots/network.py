"""Network plot: which treatments were compared with which, and in how many trials."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ketameta.errors import UsageError, did_you_mean
from ketameta.formatting import format_count, plural
from ketameta.plots import look
from ketameta.plots.frame import Pen, table, titled
from ketameta.plots.scale import finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST, SMALLEST, UNKNOWN = 14.0, 3.2, 5.0
WIDEST_LINE, THINNEST_LINE = 7.0, 0.8
_LABEL_WIDTH, _RADIUS = 96.0, 122.0
#: A treatment compared with at least so many others, and with half of them, stands in the middle.
HUB = 4


@dataclass(frozen=True, slots=True)
class Node:
    """A treatment, its participants where known, and whether it is one of the question."""

    name: str
    participants: float | None = None
    highlight: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """Treatments and the pairs that trials compared, with the number of trials."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str, int], ...] = ()
    title: str = ""

    def __post_init__(self) -> None:
        names = [node.name for node in self.nodes]
        if not names:
            raise UsageError("nodes is empty; a network needs treatments")
        for name, count in Counter(names).items():
            if count > 1:
                raise UsageError(f"nodes names {name!r} more than once")
        for position, (one, two, trials) in enumerate(self.edges):
            for end in (one, two):
                if end not in names:
                    hint = did_you_mean(end, names)
                    raise UsageError(f"edges[{position}] names {end!r}, not a node{hint}")
            if not trials >= 1:
                raise UsageError(
                    f"edges[{position}] ({one} v {two}): trials is {trials!r}; an edge has at"
                    " least one trial"
                )

    @property
    def joined(self) -> frozenset[str]:
        """Treatments compared with another one."""
        return frozenset(name for one, two, _ in self.edges for name in (one, two))

    @property
    def hub(self) -> str | None:
        """The treatment that stands in the middle: compared with most of the others."""
        degrees = Counter(name for one, two, _ in self.edges for name in (one, two))
        name, degree = degrees.most_common(1)[0] if degrees else ("", 0)
        return name if degree >= max(HUB, (len(self.nodes) - 1) / 2) else None

    def places(self) -> dict[str, tuple[float, float]]:
        """Return where treatments stand: on a circle clockwise from the top, or in its middle."""
        around = [node.name for node in self.nodes if node.name != self.hub]
        found = {} if self.hub is None else {self.hub: (0.0, 0.0)}
        for index, name in enumerate(around):
            angle = math.pi / 2 - 2 * math.pi * index / len(around)
            found[name] = (_RADIUS * math.cos(angle), _RADIUS * math.sin(angle))
        return found

    def describe(self) -> str:
        """Return the plot in sentences, in numbers."""
        total = sum(trials for *_, trials in self.edges)
        sentences = [
            f"Network plot{f': {self.title}' if self.title else ''}.",
            f"{plural(len(self.nodes), 'treatment')}, {plural(len(self.edges), 'comparison')}"
            f" with direct trials ({plural(total, 'trial comparison')}).",
        ]
        if self.edges:
            one, two, most = max(self.edges, key=lambda edge: edge[2])
            sentences.append(f"Most studied: {one} against {two}, {plural(most, 'trial')}.")
        alone = [node.name for node in self.nodes if node.name not in self.joined]
        if alone:
            sentences.append(f"Compared with no other treatment: {', '.join(alone)}.")
        return " ".join(sentences)


def network_of(result: Any) -> Network:
    """Return what the plot shows of the result of ``network_meta_analysis``."""
    if isinstance(result, Network):
        return result
    look.check_shown(result, "a network plot", "a fit of network_meta_analysis()", "nodes", "edges")
    nodes = tuple(Node(look.clean(node.treatment), node.n) for node in result.nodes)
    edges = ((look.clean(e.first), look.clean(e.second), int(e.k)) for e in result.edges)
    return Network(nodes, tuple(edges))


def radii(network: Network) -> dict[str, float]:
    """Return the radius of each circle in points; its area is in proportion to participants."""
    people = {node.name: finite(node.participants) for node in network.nodes}
    most = max((count for count in people.values() if count), default=0.0)
    if not most:
        return dict.fromkeys(people, UNKNOWN)
    return {
        name: UNKNOWN if count is None else max(SMALLEST, LARGEST * math.sqrt(count / most))
        for name, count in people.items()
    }


@look.themed
def plot(result: Any, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw a network of treatments and return its axes.

    Parameters
    ----------
    result : the result of ``network_meta_analysis``, or Network
        The treatment that most others were compared with stands in the middle.
    ax : Axes, optional
    title : str, optional

    Returns
    -------
    Axes
        Parts: ``edge`` (width in proportion to trials), ``edge_label``, ``edge_count``, ``node``
        (area in proportion to participants), ``node_ring``, ``node_name``, ``node_count``.
        Treatments without a comparison are drawn dashed.
    """
    network = titled(network_of(result), title)
    labels = [line for node in network.nodes for line in _lines(node)]
    reach = _RADIUS + LARGEST + 8.0 + look.widest(labels, look.BODY)
    half = max(reach, look.PLOT_WIDTH / 2 - look.MARGIN), _RADIUS + LARGEST + 30.0
    pen = table(network, ax, 2 * (half[0] + look.MARGIN), 2 * half[1], [_legend(network)])
    ax, scale, wide = pen.ax, pen.scale, half[0] + look.MARGIN
    ax.set(xlim=(-wide, wide), ylim=(-half[1], half[1]), aspect="equal")
    places, sizes = network.places(), radii(network)
    most = max((trials for *_, trials in network.edges), default=1)
    for one, two, trials in network.edges:
        ends = zip(places[one], places[two], strict=True)
        width = max(THINNEST_LINE, WIDEST_LINE * trials / most)
        ax.plot(*ends, color="#9DB4C8", lw=scale * width, zorder=1, clip_on=False, gid="edge")
    _nodes(pen, network, places, sizes)
    for (x, y), trials in count_places(network):
        text = format_count(trials)
        size = 2 * max(5.4, look.text_width(text, look.SMALL, bold=True) / 2 + 1.8)
        pen.marks("edge_label", [(x, y)], size, look.PAPER, look.LIGHT, width=0.4, zorder=4)
        ax.text(x, y, text, ha="center", va="center_baseline", size=scale * look.SMALL, zorder=5,
                weight="bold", gid="edge_count")  # fmt: skip
    for node in network.nodes:
        _name(ax, node, places[node.name], sizes[node.name], network.hub, scale)
    return ax


def _nodes(
    pen: Pen, network: Network, places: dict[str, tuple[float, float]], sizes: dict[str, float]
) -> None:
    names = [node.name for node in network.nodes]
    rings = [node.name for node in network.nodes if node.highlight]
    joined = [name for name in names if name in network.joined]
    alone = [name for name in names if name not in network.joined]
    for part, here, more, fill, edge, how in (
        ("node_ring", rings, 2.6, look.PAPER, look.VERMILLION, {"width": 1.2}),
        ("node", joined, 0.0, look.BLUE, look.NAVY, {}),
        ("node", alone, 0.0, look.PAPER, look.NAVY, {"dashed": True}),
    ):
        wide = [2 * (sizes[name] + more) for name in here]
        pen.marks(part, [places[name] for name in here], wide, fill, edge, **how)


def count_places(network: Network) -> list[tuple[tuple[float, float], int]]:
    """Return where the number of each edge stands: on it, clear of circles and other numbers."""
    places, sizes = network.places(), radii(network)
    taken: list[tuple[float, float]] = []
    found = []
    for one, two, trials in network.edges:
        (x0, y0), (x1, y1) = places[one], places[two]
        if one == network.hub:
            (x0, y0), (x1, y1) = (x1, y1), (x0, y0)
        choices = [
            (x0 + share * (x1 - x0), y0 + share * (y1 - y0))
            for share in (0.42, 0.5, 0.34, 0.58, 0.27, 0.66, 0.75)
        ]

        def clear(at: tuple[float, float]) -> bool:
            off = all(math.dist(at, places[name]) > sizes[name] + 8.0 for name in places)
            return off and all(math.dist(at, other) > 13.0 for other in taken)

        at = next((choice for choice in choices if clear(choice)), choices[0])
        taken.append(at)
        found.append((at, trials))
    return found


def _lines(node: Node) -> tuple[str, ...]:
    return look.wrap(look.clean(node.name), _LABEL_WIDTH, look.BODY, most=2)


def _name(
    ax: Axes, node: Node, at: tuple[float, float], radius: float, hub: str | None, scale: float
) -> None:
    """Write the name and the participants outside the circle of nodes, the hub's above it."""
    length = math.hypot(*at)
    dx, dy = (at[0] / length, at[1] / length) if length else (0.0, 1.0)
    align = "center" if abs(dx) < 0.1 else "left" if dx > 0 else "right"
    lines = _lines(node)
    people = node.participants
    count = "" if people is None else f"n\u00a0=\u00a0{format_count(people)}"
    tall = look.LINE * (len(lines) * look.BODY + (look.SMALL if count else 0.0))
    reach = radius + (4.5 if node.highlight else 2.0) + 4.0
    x, y = at[0] + reach * dx, at[1] + reach * dy
    top = y + tall / 2 + dy * tall / 2
    behind = None
    if node.name == hub:  # lines pass behind the name
        behind = {"facecolor": look.PAPER, "edgecolor": "none", "alpha": 0.88, "pad": 0.8}
    for line in lines:
        top -= look.LINE * look.BODY
        ax.text(x, top + 0.25 * look.BODY, line, ha=align, size=scale * look.BODY, zorder=6,
                bbox=behind, gid="node_name")  # fmt: skip
    if count:
        top -= look.LINE * look.SMALL
        ax.text(x, top + 0.25 * look.SMALL, count, ha=align, size=scale * look.SMALL, zorder=6,
                color=look.GREY, bbox=behind, gid="node_count")  # fmt: skip


def _legend(network: Network) -> str:
    text = "Circle: treatment, area by participants. Line: compared in trials, width by their"
    text += " number, which stands on the line."
    if any(node.highlight for node in network.nodes):
        text += " Ring: treatments of the question."
    if len(network.joined) < len(network.nodes):
        text += " Dashed: compared with no other treatment here."
    return text
