"""What evidence there is: evidence map, risk of bias as traffic lights, network of comparisons."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ketameta.errors import UsageError, did_you_mean
from ketameta.formatting import format_count, plural
from ketameta.measures import ROB_DOMAINS
from ketameta.plots import look
from ketameta.plots.frame import EMPTY, NONE, OUTSIDE, centred, table, titled
from ketameta.plots.look import BODY, CAPITAL, LINE, MARGIN, SMALL
from ketameta.plots.scale import finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADINGS = {True: "Direct evidence", False: "Indirect evidence"}
ROW, HEADING = 25.0, 17.0
LARGEST, SMALLEST = 10.8, 6.4
LABEL_MOST, LABEL_LEAST, COLUMN_LEAST = 140.0, 112.0, 52.0


@dataclass(frozen=True, slots=True)
class Cell:
    """Trials and participants of one outcome and intervention; ``empty`` is what no trial means."""

    row: str
    column: str
    trials: int
    participants: float | None = None
    direct: bool = False
    empty: str = NONE

    @property
    def state(self) -> str:
        """``studied``, or what it means that no trial is there."""
        return "studied" if self.trials else self.empty


@dataclass(frozen=True, slots=True)
class EvidenceMap:
    """Outcomes by interventions; a pair that has no cell has no trial.

    ``directness`` says what direct evidence is, such as ``people with migraine``.
    """

    cells: tuple[Cell, ...]
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    title: str = ""
    directness: str = ""

    def __post_init__(self) -> None:
        if not all(self.labels):
            raise UsageError("an evidence map needs at least one row and one column")
        seen = set()
        for position, cell in enumerate(self.cells):
            where = f"cells[{position}] ({cell.row}, {cell.column})"
            if not cell.row or not cell.column:
                raise UsageError(f"cells[{position}] is {cell!r}; it needs a row and a column")
            if not isinstance(cell.trials, int) or cell.trials < 0:
                raise UsageError(
                    f"{where}: trials is {cell.trials!r}; give a whole number, 0 included"
                )
            key = (cell.row, cell.column, cell.direct)
            if key in seen:
                raise UsageError(f"{where} is there twice; join the cells")
            seen.add(key)

    @property
    def labels(self) -> tuple[list[str], list[str]]:
        """Rows and columns: the declared ones in order, then any others as they appear."""
        rows = dict.fromkeys([*self.rows, *(cell.row for cell in self.cells)])
        return list(rows), list(dict.fromkeys([*self.columns, *(c.column for c in self.cells)]))

    def lines(self) -> list[tuple[str, bool, list[Cell]]]:
        """Return the rows with their cells; one that holds both kinds of evidence stands twice."""
        labels, columns = self.labels
        known = {(cell.row, cell.column, cell.direct): cell for cell in self.cells}
        found = []
        for direct in (True, False):
            for label in labels:
                if any((label, name, direct) in known for name in columns) or (
                    direct and not self.cells
                ):
                    empty = [Cell(label, name, 0, 0.0, direct) for name in columns]
                    cells = [known.get((c.row, c.column, direct), c) for c in empty]
                    found.append((label, direct, cells))
        return found

    def describe(self) -> str:
        """Return the map in sentences, in numbers."""
        lines = self.lines()
        cells = [cell for _, _, here in lines for cell in here]
        columns = self.labels[1]

        def gaps(here: list[Cell]) -> str:
            counts = Counter(cell.state for cell in here)
            return "".join(f"; {state}: {counts[state]}" for state in EMPTY if counts[state])

        sentences = [
            f"Evidence map{f': {self.title}' if self.title else ''}.",
            f"{plural(len(lines), 'outcome')} by {plural(len(columns), 'intervention')};"
            f" {sum(cell.trials == 0 for cell in cells)} of {plural(len(cells), 'cell')} have no"
            f" study{gaps(cells)}.",
        ]
        for direct, words in HEADINGS.items():
            for column in columns if any(cell.direct == direct for cell in cells) else ():
                here = [cell for cell in cells if cell.column == column and cell.direct == direct]
                most = max(here, key=lambda cell: cell.trials)
                said = f"at most {plural(most.trials, 'study', 'studies')} ({most.row})"
                said = said if most.trials else "no study"
                sentences.append(f"{words}, {column}: {said}{gaps(here)}.")
        return " ".join(sentences)


def mark_radius(trials: int, most: int) -> float:
    """Return the radius of a mark; its area is in proportion to the trials."""
    return SMALLEST if not trials else max(SMALLEST, LARGEST * math.sqrt(trials / most))


@look.themed
def evidence_map(data: EvidenceMap, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw the map of outcomes by interventions and return its axes, in points.

    Returns
    -------
    Axes
        Parts: ``column``, ``heading``, ``label``, ``direct_cell`` (round), ``indirect_cell``
        (square), both also as ``empty_`` and ``unusable_``, ``trials``, ``participants``.
    """
    labels, columns = data.labels
    lines = data.lines()
    kinds = {direct for _, direct, _ in lines}
    least = [max(look.widest(c.split(" "), BODY, bold=True) + 5.0, COLUMN_LEAST) for c in columns]
    spare = look.PAGE_WIDTH - 2 * MARGIN - sum(least)
    label_width = min(look.widest(labels, BODY) + 4.0, max(spare, LABEL_LEAST), LABEL_MOST)
    width = look.PAGE_WIDTH + max(0.0, label_width - spare)
    widths = [needed + max(0.0, spare - label_width) / len(columns) for needed in least]
    rights = accumulate(widths, initial=MARGIN + label_width)
    centres = [left + wide / 2 for left, wide in zip(rights, widths, strict=False)]
    heads = [
        look.wrap(look.clean(c), wide - 5.0, BODY, bold=True, most=3)
        for c, wide in zip(columns, widths, strict=True)
    ]
    top = LINE * BODY * max(map(len, heads), default=0) + 8.0
    height = top + ROW * len(lines) + HEADING * (len(kinds) if len(kinds) > 1 else 0)
    pen = table(titled(data, title), ax, width, height, [_map_legend(data, kinds)])
    for words, x in zip(heads, centres, strict=True):
        middle = top - 4.4 - CAPITAL * BODY / 2 - (len(words) - 1) / 2 * LINE * BODY
        pen.block("column", x, middle, words, align="center", bold=True)
    right = width - MARGIN
    pen.line("rule", [(MARGIN, top), (right, top)])
    most = max((cell.trials for cell in data.cells), default=0)
    y, before = top, None
    marks = defaultdict[tuple[str, str], list[tuple[float, float, float]]](list)
    for label, direct, cells in lines:
        if direct is not before and len(kinds) > 1:
            pen.box("heading_band", MARGIN, y + 1.0, right, y + HEADING - 1.0, look.BAND)
            middle = centred(y + HEADING / 2, BODY)
            pen.text("heading", MARGIN + 3.0, middle, HEADINGS[direct], bold=True)
            y += HEADING
        before = direct
        middle = y + ROW / 2
        words = look.wrap(look.clean(label), label_width - 4.0, BODY, most=2)
        pen.block("label", MARGIN + 3.0, middle, words)
        for cell, x in zip(cells, centres, strict=True):
            usual = format_count(cell.trials), "", "", look.BLUE if direct else look.SKY
            sign, _, empty, fill = EMPTY.get(cell.state, usual)
            kind, at = f"{empty}{'' if direct else 'in'}direct_cell", x - 9.0
            if cell.state != OUTSIDE:
                marks[kind, fill].append((at, middle, mark_radius(cell.trials, most)))
            ink = look.GREY if not cell.trials else look.PAPER if direct else look.INK
            pen.text("trials", at, centred(middle, SMALL), sign, SMALL,
                     align="center", bold=bool(cell.trials), colour=ink)  # fmt: skip
            if cell.trials:
                pen.text("participants", at + LARGEST + 3.0, centred(middle, SMALL),
                         format_count(cell.participants), SMALL, colour=look.GREY)  # fmt: skip
        y += ROW
        pen.line("rule", [(MARGIN, y), (right, y)], width=0.4, colour=look.RULE)
    for (kind, fill), places in marks.items():
        studied, round_mark = fill in (look.BLUE, look.SKY), "indirect" not in kind
        # A square of the same area as the circle has a side of the root of pi times its radius.
        side = 2.0 if round_mark else math.sqrt(math.pi)
        pen.marks(
            kind, [(x, y) for x, y, _ in places], [side * radius for *_, radius in places],
            fill, look.NAVY if studied else look.LIGHT, dashed=kind.startswith("empty"),
            marker="o" if round_mark else "s", zorder=2,
        )  # fmt: skip
    return pen.ax


def _map_legend(data: EvidenceMap, kinds: set[bool]) -> str:
    text = "Number in a mark: studies, area by their number. Beside it: participants."
    found = {cell.state for _, _, cells in data.lines() for cell in cells}
    for state, (sign, mark, *_) in EMPTY.items():
        text += f" {sign} ({mark}): {state}." if state in found else ""
    if len(kinds) > 1:
        which = f" ({data.directness})" if data.directness else ""
        text += f" Circle: direct evidence{which}. Square: indirect evidence."
    return text


# --- risk of bias ---------------------------------------------------------------------------------

_NAME, _COLUMN, _ROW, _GAP = 150.0, 40.0, 15.0, 16.0
#: More studies without any judgement than this share one row.
MOST_ALONE = 12
_TOOLS = {"rob2": "RoB 2", "rob1": "RoB 1", "robins_i": "ROBINS-I"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """One judgement; ``outcome`` is empty for the whole trial, ``domain`` may be ``overall``."""

    study: str
    domain: str
    judgement: str
    outcome: str = ""
    tool: str = ""
    judge: str = ""


@dataclass(frozen=True, slots=True)
class RiskOfBias:
    """Names of all included studies, and what was judged of them."""

    studies: tuple[str, ...]
    judgements: tuple[Judgement, ...] = ()
    title: str = "Risk of bias"

    def __post_init__(self) -> None:
        if not self.studies:
            raise UsageError("studies is empty; name the included studies")
        seen = set()
        for position, item in enumerate(self.judgements):
            where = f"judgements[{position}]"
            if item.study not in self.studies:
                hint = did_you_mean(item.study, self.studies)
                raise UsageError(f"{where} is of {item.study!r}, not an included study{hint}")
            if item.judgement not in look.RISK_OF_BIAS:
                raise UsageError(
                    f"{where} ({item.study}) is {item.judgement!r}; choose one of"
                    f" {', '.join(look.RISK_OF_BIAS)}"
                )
            key = (item.study, item.outcome, item.tool, item.judge, item.domain)
            if key in seen:
                raise UsageError(f"{where} judges {item.domain!r} of {item.study!r} a second time")
            seen.add(key)

    @property
    def tools(self) -> list[str]:
        """The tools in which something was judged, the most used first."""
        return [tool for tool, _ in Counter(item.tool for item in self.judgements).most_common()]

    @property
    def silent(self) -> list[str]:
        """Studies without a judgement."""
        judged = {item.study for item in self.judgements}
        return [study for study in self.studies if study not in judged]

    def domains(self, tool: str) -> list[str]:
        """Return the domains of a tool that were judged, in its own order, overall last."""
        found = {item.domain for item in self.judgements if item.tool == tool}
        order = list(ROB_DOMAINS.get(tool, ()))
        return sorted(found, key=lambda name: (
            name == "overall", order.index(name) if name in order else len(order), name
        ))  # fmt: skip

    def rows(self, tool: str) -> list[tuple[str, list[str]]]:
        """Return name and judgements of each row of a tool: a study, or one outcome or judge."""
        found: dict[tuple[str, str, str], dict[str, str]] = {}
        for study in self.studies:
            for item in self.judgements:
                if item.study == study and item.tool == tool:
                    key = (study, item.outcome, item.judge)
                    found.setdefault(key, {})[item.domain] = item.judgement
        several = Counter(study for study, _, _ in found)
        named = []
        for (study, outcome, judge), judged in found.items():
            more = [outcome.replace("_", " "), judge] if several[study] > 1 else []
            name = ", ".join(filter(None, [study, *more]))
            lights = [judged.get(domain, "not_assessed") for domain in self.domains(tool)]
            named.append((name, lights))
        return named

    def describe(self) -> str:
        """Return the lights in sentences, in numbers."""
        judged = len(self.studies) - len(self.silent)
        sentences = [
            f"Risk of bias: {self.title}.",
            f"{judged} of {plural(len(self.studies), 'study', 'studies')} judged.",
        ]
        overall = Counter(item.judgement for item in self.judgements if item.domain == "overall")
        if overall:
            listed = ", ".join(
                f"{words} {overall[name]}"
                for name, (_, _, _, words) in look.RISK_OF_BIAS.items()
                if overall[name]
            )
            sentences.append(f"Overall judgements: {listed}.")
        return " ".join([*sentences, _silent_words(self)]).strip()


@look.themed
def risk_of_bias(data: RiskOfBias, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw the judgements of all included studies, tool by tool; return the axes, in points.

    Returns
    -------
    Axes
        Parts: ``tool``, ``study_name``, ``domain``, ``light``, ``sign``, ``not_assessed``,
        ``silent``.
    """
    blocks = [(tool, data.domains(tool), data.rows(tool)) for tool in data.tools]
    words = [[domain.replace("_", " ") for domain in domains] for _, domains, _ in blocks]
    wide = [
        [max(_COLUMN, look.widest(name.split(), SMALL, bold=True) + 4.0) for name in names]
        for names in words
    ]
    width = max(look.PLOT_WIDTH, 2 * MARGIN + _NAME + max(map(sum, wide), default=0.0))
    heads = [
        [look.wrap(name, room, SMALL, bold=True) for name, room in zip(names, rooms, strict=True)]
        for names, rooms in zip(words, wide, strict=True)
    ]
    depths = [max(map(len, lines)) * LINE * SMALL + 6.0 for lines in heads]
    silent = look.wrap(_silent_words(data), width - 2 * MARGIN - 4.0, SMALL)
    height = sum(
        depth + _ROW * len(rows) + _GAP for depth, (_, _, rows) in zip(depths, blocks, strict=True)
    )
    height += len(silent) * LINE * SMALL
    pen = table(titled(data, title), ax, width, height, [_lights_legend(data)])
    y, lights = 0.0, []
    for (tool, _, rows), names, rooms, depth in zip(blocks, heads, wide, depths, strict=True):
        y += depth
        rights = accumulate(rooms, initial=MARGIN + _NAME)
        middles = [left + room / 2 for left, room in zip(rights, rooms, strict=False)]
        which = f"Study ({_TOOLS.get(tool, tool)})" if tool else "Study"
        pen.text("tool", MARGIN + 2.0, y - 6.0, which, SMALL, bold=True)
        for lines, x in zip(names, middles, strict=True):
            for index, line in enumerate(reversed(lines)):
                pen.text("domain", x, y - 6.0 - index * LINE * SMALL, line, SMALL, align="center",
                         bold=True)  # fmt: skip
        pen.line("head_rule", [(MARGIN, y - 2.0), (width - MARGIN, y - 2.0)], width=look.MEDIUM)
        for index, (name, judged) in enumerate(rows):
            middle = y + (index + 0.5) * _ROW
            if index % 2 == 0:
                low, high = middle - _ROW / 2, middle + _ROW / 2
                pen.box("row_band", MARGIN, low, width - MARGIN, high, look.BAND)
            label = look.shorten(look.clean(name), _NAME - 8.0, BODY)
            pen.text("study_name", MARGIN + 2.0, centred(middle, BODY), label)
            lights += [(x, middle, found) for x, found in zip(middles, judged, strict=True)]
        y += _ROW * len(rows) + _GAP
    for index, line in enumerate(silent):
        pen.text("silent", MARGIN + 2.0, y + index * LINE * SMALL, line, SMALL, colour=look.GREY)
    pen.lights(lights, 10.4)
    return pen.ax


def _silent_words(data: RiskOfBias) -> str:
    """Return which studies nobody judged; where they are many, how many."""
    named = ", ".join(data.silent)
    if len(data.silent) > MOST_ALONE:
        named = f"{len(data.silent)} {'other ' if data.judgements else ''}studies"
    return f"Not assessed: {named}." if named else ""


def _lights_legend(data: RiskOfBias) -> str:
    found = {item.judgement for item in data.judgements}
    signs = [
        f"{sign} {words}"
        for name, (sign, _, _, words) in look.RISK_OF_BIAS.items()
        if sign and name in found
    ]
    return f"{'; '.join([*signs, 'dashed circle: not assessed'])}." if signs else ""


# --- the network of comparisons -------------------------------------------------------------------

LARGEST_NODE, SMALLEST_NODE, UNKNOWN_NODE = 14.0, 3.2, 5.0
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
        return dict.fromkeys(people, UNKNOWN_NODE)
    return {
        name: UNKNOWN_NODE
        if count is None
        else max(SMALLEST_NODE, LARGEST_NODE * math.sqrt(count / most))
        for name, count in people.items()
    }


@look.themed
def network(result: Any, *, ax: Axes | None = None, title: str | None = None) -> Axes:
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
    labels = [line for node in network.nodes for line in _node_lines(node)]
    reach = _RADIUS + LARGEST_NODE + 8.0 + look.widest(labels, look.BODY)
    half = max(reach, look.PLOT_WIDTH / 2 - look.MARGIN), _RADIUS + LARGEST_NODE + 30.0
    pen = table(network, ax, 2 * (half[0] + look.MARGIN), 2 * half[1], [_network_legend(network)])
    ax, scale, wide = pen.ax, pen.scale, half[0] + look.MARGIN
    ax.set(xlim=(-wide, wide), ylim=(-half[1], half[1]), aspect="equal")
    places, sizes = network.places(), radii(network)
    most = max((trials for *_, trials in network.edges), default=1)
    for one, two, trials in network.edges:
        ends = zip(places[one], places[two], strict=True)
        width = max(THINNEST_LINE, WIDEST_LINE * trials / most)
        ax.plot(*ends, color="#9DB4C8", lw=scale * width, zorder=1, clip_on=False, gid="edge")
    names = [node.name for node in network.nodes]
    for part, here, more, fill, edge, how in (
        ("node_ring", [x.name for x in network.nodes if x.highlight], 2.6, look.PAPER,
         look.VERMILLION, {"width": 1.2}),
        ("node", [x for x in names if x in network.joined], 0.0, look.BLUE, look.NAVY, {}),
        ("node", [x for x in names if x not in network.joined], 0.0, look.PAPER, look.NAVY,
         {"dashed": True}),
    ):  # fmt: skip
        sized = [2 * (sizes[name] + more) for name in here]
        pen.marks(part, [places[name] for name in here], sized, fill, edge, **how)
    for (x, y), trials in count_places(network):
        text = format_count(trials)
        size = 2 * max(5.4, look.text_width(text, look.SMALL, bold=True) / 2 + 1.8)
        pen.marks("edge_label", [(x, y)], size, look.PAPER, look.LIGHT, width=0.4, zorder=4)
        ax.text(x, y, text, ha="center", va="center_baseline", size=scale * look.SMALL, zorder=5,
                weight="bold", gid="edge_count")  # fmt: skip
    for node in network.nodes:
        _node_name(ax, node, places[node.name], sizes[node.name], network.hub, scale)
    return ax


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


def _node_lines(node: Node) -> tuple[str, ...]:
    return look.wrap(look.clean(node.name), _LABEL_WIDTH, look.BODY, most=2)


def _node_name(
    ax: Axes, node: Node, at: tuple[float, float], radius: float, hub: str | None, scale: float
) -> None:
    """Write the name and the participants outside the circle of nodes, the hub's above it."""
    length = math.hypot(*at)
    dx, dy = (at[0] / length, at[1] / length) if length else (0.0, 1.0)
    align = "center" if abs(dx) < 0.1 else "left" if dx > 0 else "right"
    written = [(line, look.BODY, "node_name", look.INK) for line in _node_lines(node)]
    if node.participants is not None:
        count = f"n\u00a0=\u00a0{format_count(node.participants)}"
        written.append((count, look.SMALL, "node_count", look.GREY))
    tall = look.LINE * sum(size for _, size, _, _ in written)
    reach = radius + (4.5 if node.highlight else 2.0) + 4.0
    x, y = at[0] + reach * dx, at[1] + reach * dy
    top = y + tall / 2 + dy * tall / 2
    behind = None
    if node.name == hub:  # lines pass behind the name
        behind = {"facecolor": look.PAPER, "edgecolor": "none", "alpha": 0.88, "pad": 0.8}
    for words, size, part, colour in written:
        top -= look.LINE * size
        ax.text(x, top + 0.25 * size, words, ha=align, size=scale * size, zorder=6, color=colour,
                bbox=behind, gid=part)  # fmt: skip


def _network_legend(network: Network) -> str:
    text = "Circle: treatment, area by participants. Line: compared in trials, width by their"
    text += " number, which stands on the line."
    if any(node.highlight for node in network.nodes):
        text += " Ring: treatments of the question."
    if len(network.joined) < len(network.nodes):
        text += " Dashed: compared with no other treatment here."
    return text
