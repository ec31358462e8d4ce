"""What evidence there is and how it was judged: evidence map; risk of bias as traffic lights."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from ketameta.errors import UsageError, did_you_mean
from ketameta.formatting import format_count, plural
from ketameta.measures import ROB_DOMAINS
from ketameta.plots import look
from ketameta.plots.frame import centred, table, titled
from ketameta.plots.look import BODY, CAPITAL, LINE, MARGIN, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADINGS = {True: "Direct evidence", False: "Indirect evidence"}
ROW, HEADING = 25.0, 17.0
LARGEST, SMALLEST = 10.8, 6.4
LABEL_MOST, LABEL_LEAST, COLUMN_LEAST = 140.0, 112.0, 52.0


@dataclass(frozen=True, slots=True)
class Cell:
    """Trials and participants of one outcome and intervention; zero is a value like any other."""

    row: str
    column: str
    trials: int
    participants: float | None = None
    direct: bool = False


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
        empty = sum(cell.trials == 0 for cell in cells)
        sentences = [
            f"Evidence map{f': {self.title}' if self.title else ''}.",
            f"{plural(len(lines), 'outcome')} by {plural(len(columns), 'intervention')};"
            f" {empty} of {plural(len(cells), 'cell')} have no trial.",
        ]
        for direct, words in HEADINGS.items():
            for column in columns:
                here = [cell for cell in cells if cell.column == column and cell.direct == direct]
                if not here:
                    continue
                most = max(here, key=lambda cell: cell.trials)
                none = sum(cell.trials == 0 for cell in here)
                if most.trials == 0:
                    sentences.append(f"{words}, {column}: no trial for any outcome.")
                    continue
                rest = f"; none for {none} of {len(here)} outcomes" if none else ""
                trials = plural(most.trials, "trial")
                sentences.append(f"{words}, {column}: at most {trials} ({most.row}){rest}.")
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
        (square), ``empty_direct_cell``, ``empty_indirect_cell``, ``trials``, ``participants``.

    Notes
    -----
    The reader should see at once what has never been studied.
    """
    labels, columns = data.labels
    lines = data.lines()
    kinds = {direct for _, direct, _ in lines}
    inner = look.PAGE_WIDTH - 2 * MARGIN
    least = [max(look.widest(c.split(" "), BODY, bold=True) + 5.0, COLUMN_LEAST) for c in columns]
    spare = inner - sum(least)
    label_width = min(look.widest(labels, BODY) + 4.0, max(spare, LABEL_LEAST), LABEL_MOST)
    width = look.PAGE_WIDTH + max(0.0, label_width - spare)
    share = max(0.0, spare - label_width) / max(len(columns), 1)
    widths = [needed + share for needed in least]
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
    marks: dict[str, list[tuple[float, float, float]]] = {}
    for label, direct, cells in lines:
        if direct is not before and len(kinds) > 1:
            pen.box("heading_band", MARGIN, y + 1.0, right, y + HEADING - 1.0, look.BAND)
            baseline = centred(y + HEADING / 2, BODY)
            pen.text("heading", MARGIN + 3.0, baseline, HEADINGS[direct], bold=True)
            y += HEADING
        before = direct
        middle = y + ROW / 2
        words = look.wrap(look.clean(label), label_width - 4.0, BODY, most=2)
        pen.block("label", MARGIN + 3.0, middle, words)
        for cell, x in zip(cells, centres, strict=True):
            kind = f"{'' if cell.trials else 'empty_'}{'' if direct else 'in'}direct_cell"
            at = x - 9.0
            marks.setdefault(kind, []).append((at, middle, mark_radius(cell.trials, most)))
            ink = look.GREY if not cell.trials else look.PAPER if direct else look.INK
            pen.text("trials", at, centred(middle, SMALL), format_count(cell.trials), SMALL,
                     align="center", bold=bool(cell.trials), colour=ink)  # fmt: skip
            if cell.trials:
                pen.text("participants", at + LARGEST + 3.0, centred(middle, SMALL),
                         format_count(cell.participants), SMALL, colour=look.GREY)  # fmt: skip
        y += ROW
        pen.line("rule", [(MARGIN, y), (right, y)], width=0.4, colour=look.RULE)
    for kind, places in marks.items():
        empty, round_mark = kind.startswith("empty"), "indirect" not in kind
        # A square of the same area as the circle has a side of the root of pi times its radius.
        side = 2.0 if round_mark else math.sqrt(math.pi)
        pen.marks(
            kind, [(x, y) for x, y, _ in places], [side * radius for *_, radius in places],
            look.PAPER if empty else look.BLUE if round_mark else look.SKY,
            look.LIGHT if empty else look.NAVY, dashed=empty, zorder=2,
            marker="o" if round_mark else "s",
        )  # fmt: skip
    return pen.ax


def _map_legend(data: EvidenceMap, kinds: set[bool]) -> str:
    text = "Number in a mark: trials, area by their number. Beside it: participants."
    text += " Empty dashed mark: no trial."
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
    if not data.silent:
        return ""
    if len(data.silent) > MOST_ALONE:
        other = "other studies" if data.judgements else "studies"
        return f"Not assessed: {len(data.silent)} {other}."
    return f"Not assessed: {', '.join(data.silent)}."


def _lights_legend(data: RiskOfBias) -> str:
    found = {item.judgement for item in data.judgements}
    signs = [
        f"{sign} {words}"
        for name, (sign, _, _, words) in look.RISK_OF_BIAS.items()
        if sign and name in found
    ]
    return f"{'; '.join([*signs, 'dashed circle: not assessed'])}." if signs else ""
